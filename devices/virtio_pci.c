/* SPDX-License-Identifier: MIT */
/* See devices/virtio_pci.h. */
#include "devices/virtio_pci.h"
#include "lib/check.h"
#include "lib/string.h"

#define VIRTIO_VENDOR      0x1af4
#define VIRTIO_DEVICE_BASE 0x1040 /* plus the device type */
#define VIRTIO_SUBSYSTEM   0x0040
#define VIRTIO_REVISION    1

#define ISR_QUEUE          BIT(0)
#define ISR_CONFIGURATION  BIT(1)

#define NO_VECTOR          0xffff

/* Offsets in the common configuration structure. */
enum common {
	DEVICE_FEATURE_SELECT = 0x00,
	DEVICE_FEATURE = 0x04,
	DRIVER_FEATURE_SELECT = 0x08,
	DRIVER_FEATURE = 0x0c,
	CONFIG_VECTOR = 0x10,
	QUEUE_COUNT = 0x12,
	STATUS = 0x14,
	CONFIG_GENERATION = 0x15,
	QUEUE_SELECT = 0x16,
	QUEUE_SIZE = 0x18,
	QUEUE_VECTOR = 0x1a,
	QUEUE_ENABLE = 0x1c,
	QUEUE_NOTIFY_OFFSET = 0x1e,
	QUEUE_DESCRIPTORS = 0x20,
	QUEUE_AVAILABLE = 0x28,
	QUEUE_USED = 0x30,
	COMMON_BYTES = 0x38,
};

/* --- PCI identity and capabilities ---------------------------------------- */

enum capability_type {
	CAPABILITY_COMMON = 1,
	CAPABILITY_NOTIFY = 2,
	CAPABILITY_ISR = 3,
	CAPABILITY_DEVICE = 4,
	CAPABILITY_WINDOW = 5,
};

/* cap_len and on: length, type, bar, padding, offset, length, and for
 * notifications the multiplier (0: one address for all queues). */
#define CAPABILITY_BODY_BYTES 18

static u32 add_capability(struct virtio_pci *virtio, enum capability_type type,
			  enum virtio_bar bar, u32 offset, u32 bytes)
{
	u8 body[CAPABILITY_BODY_BYTES] = {0};
	u32 body_bytes = type == CAPABILITY_NOTIFY || type == CAPABILITY_WINDOW
			     ? CAPABILITY_BODY_BYTES
			     : CAPABILITY_BODY_BYTES - 4;

	body[0] = (u8)(body_bytes + 2);
	body[1] = (u8)type;
	body[2] = (u8)bar;
	memcpy(body + 6, &offset, sizeof(offset));
	memcpy(body + 10, &bytes, sizeof(bytes));
	return pci_add_capability(&virtio->function, PCI_CAPABILITY_VENDOR,
				  body, body_bytes);
}

/* The window lets software without mappings reach the BARs: its bar, offset
 * and length are the guest's to write. */
static void add_window(struct virtio_pci *virtio)
{
	u32 at = add_capability(virtio, CAPABILITY_WINDOW, VIRTIO_BAR, 0, 0);

	virtio->window_capability = at;
	pci_let_write(&virtio->function, at + 4, 0x00ff);
	for (u32 i = 8; i < 16; i += 2)
		pci_let_write(&virtio->function, at + i, 0xffff);
}

static void make_function(struct virtio_pci *virtio,
			  const struct virtio_config *config)
{
	const struct pci_identity identity = {
	    .vendor = VIRTIO_VENDOR,
	    .device = (u16)(VIRTIO_DEVICE_BASE + config->device_type),
	    .subsystem_vendor = VIRTIO_VENDOR,
	    .subsystem = VIRTIO_SUBSYSTEM,
	    .class_code = config->class_code,
	    .revision = VIRTIO_REVISION,
	    .interrupt_pin = 1,
	    .interrupt_line = config->interrupt_line,
	};
	struct pci_function *function = &virtio->function;

	pci_init(function, &identity);
	pci_set_bar(function, VIRTIO_BAR, PCI_MEMORY_32, VIRTIO_BAR_BYTES,
		    config->bar);
	pci_set_bar(function, VIRTIO_MSIX_BAR, PCI_MEMORY_32, MSIX_BAR_BYTES,
		    config->bar + VIRTIO_BAR_BYTES);
	pci_set_bar(function, VIRTIO_NOTIFY_BAR, PCI_IO, VIRTIO_NOTIFY_BYTES,
		    config->notify_port);
}

static void reset(struct virtio_pci *virtio)
{
	struct virtio_state *state = &virtio->state;
	struct msix_state msix = state->msix;

	memset(state, 0, sizeof(*state));
	state->msix = msix; /* a PCI matter that a virtio reset leaves alone */
	state->msix.pending = 0;
	state->config_vector = NO_VECTOR;
	for (u32 i = 0; i < virtio->queue_count; i++)
		virtqueue_reset(&state->queues[i]);
}

void virtio_pci_init(struct virtio_pci *virtio,
		     const struct virtio_config *config)
{
	CHECK(config->queue_count <= VIRTIO_QUEUE_COUNT_MAX);
	memset(virtio, 0, sizeof(*virtio));
	virtio->features = config->features | VIRTIO_F_VERSION_1;
	virtio->queue_count = config->queue_count;
	make_function(virtio, config);
	virtio->msix_capability =
	    msix_add_capability(&virtio->function, VIRTIO_MSIX_BAR);
	(void)add_capability(virtio, CAPABILITY_COMMON, VIRTIO_BAR,
			     VIRTIO_COMMON_OFFSET, COMMON_BYTES);
	(void)add_capability(virtio, CAPABILITY_ISR, VIRTIO_BAR,
			     VIRTIO_ISR_OFFSET, 1);
	(void)add_capability(virtio, CAPABILITY_DEVICE, VIRTIO_BAR,
			     VIRTIO_DEVICE_OFFSET, config->device_bytes);
	/* Drivers take the first they can use: the port is the cheaper one. */
	(void)add_capability(virtio, CAPABILITY_NOTIFY, VIRTIO_NOTIFY_BAR, 0,
			     2);
	(void)add_capability(virtio, CAPABILITY_NOTIFY, VIRTIO_BAR,
			     VIRTIO_NOTIFY_OFFSET, 2);
	add_window(virtio);
	msix_reset(&virtio->state.msix);
	reset(virtio);
}

/* --- Common configuration ------------------------------------------------- */

/* The selected queue, or NULL when the driver has selected none that exists. */
static struct virtqueue_state *selected(struct virtio_pci *virtio)
{
	u16 select = virtio->state.queue_select;

	return select < virtio->queue_count ? &virtio->state.queues[select]
					    : NULL;
}

static void put(u8 *image, u32 offset, u64 value, u32 bytes)
{
	memcpy(image + offset, &value, bytes);
}

static void put_queue(const struct virtqueue_state *queue, u8 *image)
{
	put(image, QUEUE_SIZE, queue->size, 2);
	put(image, QUEUE_VECTOR, queue->vector, 2);
	put(image, QUEUE_ENABLE, queue->enabled, 2);
	put(image, QUEUE_DESCRIPTORS, queue->descriptors, 8);
	put(image, QUEUE_AVAILABLE, queue->available, 8);
	put(image, QUEUE_USED, queue->used, 8);
}

/* 32 bits of a feature word; words beyond the second are empty. */
static u32 feature_word(u64 features, u32 select)
{
	return select < 2 ? (u32)(features >> select * 32) : 0;
}

/* The structure as bytes, of which a read cuts what it wants. */
u32 virtio_common_read(const struct virtio_pci *virtio, u32 offset)
{
	const struct virtio_state *state = &virtio->state;
	u8 image[COMMON_BYTES + 4] = {0};
	u32 value;

	if (offset >= COMMON_BYTES)
		return 0;
	put(image, DEVICE_FEATURE_SELECT, state->device_feature_select, 4);
	put(image, DEVICE_FEATURE,
	    feature_word(virtio->features, state->device_feature_select), 4);
	put(image, DRIVER_FEATURE_SELECT, state->driver_feature_select, 4);
	put(image, DRIVER_FEATURE,
	    feature_word(state->driver_features, state->driver_feature_select),
	    4);
	put(image, CONFIG_VECTOR, state->config_vector, 2);
	put(image, QUEUE_COUNT, virtio->queue_count, 2);
	put(image, STATUS, state->status, 1);
	put(image, CONFIG_GENERATION, state->config_generation, 1);
	put(image, QUEUE_SELECT, state->queue_select, 2);
	if (state->queue_select < virtio->queue_count)
		put_queue(&state->queues[state->queue_select], image);
	memcpy(&value, image + offset, sizeof(value));
	return value;
}

static void write_driver_feature(struct virtio_state *state, u32 value)
{
	u64 shift = state->driver_feature_select * 32ULL;
	u64 mask = state->driver_feature_select < 2 ? BITS(31, 0) << shift : 0;

	if (mask && !(state->status & VIRTIO_FEATURES_OK))
		state->driver_features =
		    bits_set(state->driver_features, mask, value);
}

/*
 * FEATURES_OK stays only if the driver has chosen what can be: nothing that is
 * not offered, and always VERSION_1. NEEDS_RESET is the device's own.
 */
static enum virtio_effect write_status(struct virtio_pci *virtio, u8 value)
{
	struct virtio_state *state = &virtio->state;
	bool acceptable = !(state->driver_features & ~virtio->features) &&
			  (state->driver_features & VIRTIO_F_VERSION_1);

	if (!value) {
		reset(virtio);
		return VIRTIO_RESET;
	}
	if (!(state->status & VIRTIO_FEATURES_OK) && !acceptable)
		value &= (u8)~VIRTIO_FEATURES_OK;
	state->status = (u8)((value & ~VIRTIO_NEEDS_RESET) |
			     (state->status & VIRTIO_NEEDS_RESET));
	return VIRTIO_NOTHING;
}

static u16 valid_vector(u32 value)
{
	return value < MSIX_VECTOR_COUNT ? (u16)value : NO_VECTOR;
}

static bool is_queue_size(u32 value)
{
	return value && value <= VIRTQUEUE_SIZE_MAX && !(value & (value - 1));
}

static void set_half(u64 *address, u32 offset, u32 value)
{
	*address =
	    bits_set(*address, offset % 8 ? BITS(63, 32) : BITS(31, 0), value);
}

/* Size and addresses are fixed once a queue is enabled. */
static void write_queue(struct virtqueue_state *queue, u32 offset, u32 value)
{
	if (offset == QUEUE_VECTOR)
		queue->vector = valid_vector(value);
	if (queue->enabled)
		return;
	switch (offset) {
	case QUEUE_SIZE:
		if (is_queue_size(value))
			queue->size = (u16)value;
		break;
	case QUEUE_ENABLE:
		queue->enabled = value == 1;
		break;
	case QUEUE_DESCRIPTORS:
	case QUEUE_DESCRIPTORS + 4:
		set_half(&queue->descriptors, offset, value);
		break;
	case QUEUE_AVAILABLE:
	case QUEUE_AVAILABLE + 4:
		set_half(&queue->available, offset, value);
		break;
	case QUEUE_USED:
	case QUEUE_USED + 4:
		set_half(&queue->used, offset, value);
		break;
	default:
		break;
	}
}

/* Width of the field at an offset; accesses of another width are dropped. */
static u32 width_of(u32 offset)
{
	switch (offset) {
	case STATUS:
	case CONFIG_GENERATION:
		return 1;
	case CONFIG_VECTOR:
	case QUEUE_COUNT:
	case QUEUE_SELECT:
	case QUEUE_SIZE:
	case QUEUE_VECTOR:
	case QUEUE_ENABLE:
	case QUEUE_NOTIFY_OFFSET:
		return 2;
	default:
		return offset % 4 == 0 && offset < COMMON_BYTES ? 4 : 0;
	}
}

enum virtio_effect virtio_common_write(struct virtio_pci *virtio, u32 offset,
				       u32 bytes, u32 value)
{
	struct virtio_state *state = &virtio->state;
	struct virtqueue_state *queue = selected(virtio);

	if (bytes != width_of(offset))
		return VIRTIO_NOTHING;
	switch (offset) {
	case DEVICE_FEATURE_SELECT:
		state->device_feature_select = value;
		break;
	case DRIVER_FEATURE_SELECT:
		state->driver_feature_select = value;
		break;
	case DRIVER_FEATURE:
		write_driver_feature(state, value);
		break;
	case CONFIG_VECTOR:
		state->config_vector = valid_vector(value);
		break;
	case STATUS:
		return write_status(virtio, (u8)value);
	case QUEUE_SELECT:
		state->queue_select = (u16)value;
		break;
	default:
		if (queue)
			write_queue(queue, offset, value);
		break;
	}
	return VIRTIO_NOTHING;
}

/* --- Interrupts ----------------------------------------------------------- */

u32 virtio_isr_read(struct virtio_pci *virtio)
{
	u32 value = virtio->state.isr;

	virtio->state.isr = 0;
	return value;
}

bool virtio_intx(const struct virtio_pci *virtio)
{
	u16 command = pci_config_word(&virtio->function, PCI_COMMAND);

	return virtio->state.isr && !(command & PCI_COMMAND_NO_INTX) &&
	       !msix_is_enabled(&virtio->function, virtio->msix_capability);
}

static void interrupt(struct virtio_pci *virtio, u16 vector, u8 isr)
{
	if (msix_is_enabled(&virtio->function, virtio->msix_capability))
		msix_raise(&virtio->state.msix, vector);
	else
		virtio->state.isr |= isr;
}

void virtio_interrupt_queue(struct virtio_pci *virtio, u32 queue)
{
	interrupt(virtio, virtio->state.queues[queue].vector, ISR_QUEUE);
}

void virtio_break(struct virtio_pci *virtio)
{
	if (virtio->state.status & VIRTIO_NEEDS_RESET)
		return;
	virtio->state.status |= VIRTIO_NEEDS_RESET;
	interrupt(virtio, virtio->state.config_vector, ISR_CONFIGURATION);
}

/* Queues are in memory: without bus mastering the device cannot reach them. */
bool virtio_is_running(const struct virtio_pci *virtio)
{
	const u8 needed = VIRTIO_DRIVER_OK | VIRTIO_FEATURES_OK;

	return (virtio->state.status & (needed | VIRTIO_NEEDS_RESET)) ==
		   needed &&
	       (pci_config_word(&virtio->function, PCI_COMMAND) &
		PCI_COMMAND_MASTER);
}

bool virtio_queue_is_ready(const struct virtio_pci *virtio, u32 queue)
{
	return virtio_is_running(virtio) && queue < virtio->queue_count &&
	       virtio->state.queues[queue].enabled;
}
