/* SPDX-License-Identifier: MIT */
/* Virtio on PCI: see drivers/virtio.h. */
#include "drivers/virtio.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/paging.h"
#include "arch/x86/cpu/tsc.h"
#include "lib/bits.h"
#include "lib/check.h"
#include "lib/string.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

#define VENDOR               0x1af4
#define ID_TRANSITIONAL      0x1000 /* 0x1000 to 0x103f; kind by subsystem */
#define ID_MODERN            0x1040 /* and the kind */
#define TRANSITIONAL_CONSOLE 0x1003

/* "Virtio Structure PCI Capabilities". */
#define CAPABILITY_VENDOR    9
#define CAP_TYPE             3U
#define CAP_BAR              4U
#define CAP_OFFSET           8U
#define CAP_LENGTH           12U
#define CAP_NOTIFY_STEP      16U
#define TYPE_COMMON          1
#define TYPE_NOTIFY          2
#define TYPE_DEVICE          4

/* "Common configuration structure layout". */
enum common_register {
	COMMON_DEVICE_FEATURE_SELECT = 0x00,
	COMMON_DEVICE_FEATURE = 0x04,
	COMMON_DRIVER_FEATURE_SELECT = 0x08,
	COMMON_DRIVER_FEATURE = 0x0c,
	COMMON_STATUS = 0x14,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY = 0x1e,
	COMMON_QUEUE_DESCRIPTORS = 0x20,
	COMMON_QUEUE_AVAILABLE = 0x28,
	COMMON_QUEUE_USED = 0x30,
	COMMON_BYTES = 0x38,
};

/* "Legacy Interfaces: A Note on PCI Device Layout", MSI-X off. */
enum legacy_register {
	LEGACY_DEVICE_FEATURES = 0x00,
	LEGACY_DRIVER_FEATURES = 0x04,
	LEGACY_QUEUE_PAGE = 0x08,
	LEGACY_QUEUE_SIZE = 0x0c,
	LEGACY_QUEUE_SELECT = 0x0e,
	LEGACY_QUEUE_NOTIFY = 0x10,
	LEGACY_STATUS = 0x12,
	LEGACY_CONFIG = 0x14,
};

#define STATUS_ACKNOWLEDGE BIT(0)
#define STATUS_DRIVER      BIT(1)
#define STATUS_DRIVER_OK   BIT(2)
#define STATUS_FEATURES_OK BIT(3)
#define FEATURE_VERSION_1  BIT(32)
#define RESET_US           100000U

#define DESCRIPTOR_NEXT    BIT(0)
#define DESCRIPTOR_WRITE   BIT(1)
#define AVAILABLE_SILENT   1 /* no interrupts, please */
#define USED_NO_NOTIFY     1

struct virtio_descriptor {
	u64 address;
	u32 bytes;
	u16 flags, next;
};

struct used_element {
	u32 id, bytes;
};

_Static_assert(sizeof(struct virtio_descriptor) == 16, "");
_Static_assert(sizeof(struct used_element) == 8, "");

/* --- Registers ------------------------------------------------------------ */

static u8 get8(const struct virtio_device *device, u32 offset)
{
	return device->common[offset];
}

static volatile u16 *common16(const struct virtio_device *device, u32 offset)
{
	return (volatile u16 *)(device->common + offset);
}

static volatile u32 *common32(const struct virtio_device *device, u32 offset)
{
	return (volatile u32 *)(device->common + offset);
}

static void set64(const struct virtio_device *device, u32 offset, u64 value)
{
	*common32(device, offset) = low32(value);
	*common32(device, offset + 4) = high32(value);
}

static u16 port(const struct virtio_device *device, enum legacy_register reg)
{
	return (u16)(device->ports + (u32)reg);
}

static u8 get_status(const struct virtio_device *device)
{
	return device->is_legacy ? insn_in8(port(device, LEGACY_STATUS))
				 : get8(device, COMMON_STATUS);
}

static void set_status(const struct virtio_device *device, u64 value)
{
	if (device->is_legacy)
		insn_out8(port(device, LEGACY_STATUS), (u8)value);
	else
		device->common[COMMON_STATUS] = (u8)value;
}

u32 virtio_config_u32(struct virtio_device *device, u32 offset)
{
	if (device->is_legacy)
		return insn_in32((u16)(port(device, LEGACY_CONFIG) + offset));
	return *(volatile u32 *)(device->config + offset);
}

/* --- Finding -------------------------------------------------------------- */

/* Maps what a capability points to; NULL if that is nowhere. */
static volatile u8 *map(const struct pci_function *at, u32 capability,
			u32 least)
{
	struct pci_bar bar =
	    pci_read_bar(at, pci_read8(at, capability + CAP_BAR));
	u64 offset = pci_read32(at, capability + CAP_OFFSET);
	u64 length = pci_read32(at, capability + CAP_LENGTH);
	u64 base;

	if (bar.space != PCI_SPACE_MEMORY || length < least ||
	    offset > bar.bytes || length > bar.bytes - offset)
		return NULL;
	base = bar.base + offset;
	paging_map_device(hpa(align_down(base, PAGE_4K)),
			  align_up(base % PAGE_4K + length, PAGE_4K));
	return phys_ptr(hpa(base));
}

static void read_capability(struct virtio_device *device, u32 capability)
{
	switch (pci_read8(&device->at, capability + CAP_TYPE)) {
	case TYPE_COMMON:
		if (!device->common)
			device->common =
			    map(&device->at, capability, COMMON_BYTES);
		break;
	case TYPE_NOTIFY:
		if (device->notify)
			break;
		device->notify = map(&device->at, capability, 2);
		device->notify_step =
		    pci_read32(&device->at, capability + CAP_NOTIFY_STEP);
		break;
	case TYPE_DEVICE:
		if (!device->config)
			device->config = map(&device->at, capability, 8);
		break;
	default:
		break;
	}
}

static enum err find(struct virtio_device *device, u16 kind)
{
	const struct pci_id ids[] = {
	    {VENDOR, (u16)(ID_MODERN + kind)},
	    {VENDOR, (u16)(ID_TRANSITIONAL + kind)},
	};
	struct pci_bar bar;

	/* By order of appearance a transitional console is 0x1003. */
	_Static_assert(ID_TRANSITIONAL + 3 == TRANSITIONAL_CONSOLE, "");
	if (pci_find(ids, ARRAY_COUNT(ids), &device->at) != OK)
		return ERR_NOT_FOUND;
	for (u32 c = pci_capability(&device->at, CAPABILITY_VENDOR, 0); c;
	     c = pci_capability(&device->at, CAPABILITY_VENDOR, c))
		read_capability(device, c);
	device->is_legacy =
	    !device->common || !device->notify || !device->config;
	bar = pci_read_bar(&device->at, 0);
	if (device->is_legacy && bar.space != PCI_SPACE_PORTS)
		return ERR_UNSUPPORTED;
	device->ports = (u16)bar.base;
	pci_enable(&device->at, PCI_ANSWERS);
	return OK;
}

/* --- Beginning ------------------------------------------------------------ */

static enum err forget(struct virtio_device *device)
{
	set_status(device, 0);
	for (u32 us = 0; get_status(device) != 0; us += 100) {
		if (us > RESET_US)
			return ERR_TIMEOUT;
		tsc_delay_us(100);
	}
	pci_enable(&device->at, PCI_REACHES_MEMORY);
	set_status(device, STATUS_ACKNOWLEDGE);
	set_status(device, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	return OK;
}

static u64 offered(const struct virtio_device *device)
{
	u64 low;

	if (device->is_legacy)
		return insn_in32(port(device, LEGACY_DEVICE_FEATURES));
	*common32(device, COMMON_DEVICE_FEATURE_SELECT) = 0;
	low = *common32(device, COMMON_DEVICE_FEATURE);
	*common32(device, COMMON_DEVICE_FEATURE_SELECT) = 1;
	return low | (u64)*common32(device, COMMON_DEVICE_FEATURE) << 32;
}

static enum err agree(struct virtio_device *device, u64 wanted)
{
	u64 offer = offered(device);

	if (device->is_legacy) {
		device->features = offer & wanted;
		insn_out32(port(device, LEGACY_DRIVER_FEATURES),
			   low32(device->features));
		return OK;
	}
	device->features = offer & (wanted | FEATURE_VERSION_1);
	if (!(device->features & FEATURE_VERSION_1))
		return ERR_UNSUPPORTED;
	*common32(device, COMMON_DRIVER_FEATURE_SELECT) = 0;
	*common32(device, COMMON_DRIVER_FEATURE) = low32(device->features);
	*common32(device, COMMON_DRIVER_FEATURE_SELECT) = 1;
	*common32(device, COMMON_DRIVER_FEATURE) = high32(device->features);
	set_status(device, get_status(device) | STATUS_FEATURES_OK);
	return get_status(device) & STATUS_FEATURES_OK ? OK : ERR_UNSUPPORTED;
}

enum err virtio_begin(struct virtio_device *device, u16 kind, u64 wanted)
{
	enum err err;

	*device = (struct virtio_device){0};
	err = find(device, kind);
	return err == OK ? virtio_reset(device, wanted) : err;
}

enum err virtio_reset(struct virtio_device *device, u64 wanted)
{
	enum err err = forget(device);

	return err == OK ? agree(device, wanted) : err;
}

void virtio_go(struct virtio_device *device)
{
	set_status(device, get_status(device) | STATUS_DRIVER_OK);
}

/* --- Queues --------------------------------------------------------------- */

/* "Legacy Interfaces: A Note on Virtqueue Layout"; modern ones do not mind. */
static u64 used_offset(u32 size)
{
	return align_up(size * sizeof(struct virtio_descriptor) +
			    (3UL + size) * sizeof(u16),
			PAGE_4K);
}

static enum err take_memory(struct virtio_queue *queue, hpa_t *base)
{
	u64 bytes = used_offset(queue->size) + 3 * sizeof(u16) +
		    queue->size * sizeof(struct used_element);
	enum err err;

	if (queue->memory_bytes < bytes) {
		err = frame_alloc_zeroed(frame_order_for(bytes), "virtio queue",
					 &queue->memory);
		if (err != OK)
			return err;
		queue->memory_bytes = bytes;
	}
	*base = queue->memory;
	memset(phys_ptr(*base), 0, bytes);
	queue->descriptors = phys_ptr(*base);
	queue->available = (volatile u16 *)(queue->descriptors + queue->size);
	queue->used = (volatile u8 *)phys_ptr(*base) + used_offset(queue->size);
	queue->available[0] = AVAILABLE_SILENT;
	for (u32 i = 0; i < queue->size; i++)
		queue->next[i] = (u16)(i + 1);
	queue->free_count = queue->size;
	return OK;
}

static enum err init_legacy(struct virtio_device *device,
			    struct virtio_queue *queue)
{
	hpa_t base;
	enum err err;

	insn_out16(port(device, LEGACY_QUEUE_SELECT), queue->index);
	queue->size = insn_in16(port(device, LEGACY_QUEUE_SIZE));
	if (!queue->size)
		return ERR_NOT_FOUND;
	/* Its size is the device's choice. */
	if (queue->size > VIRTIO_QUEUE_MAX)
		return ERR_UNSUPPORTED;
	err = take_memory(queue, &base);
	if (err == OK)
		insn_out32(port(device, LEGACY_QUEUE_PAGE),
			   (u32)(hpa_raw(base) / PAGE_4K));
	return err;
}

static enum err init_modern(struct virtio_device *device,
			    struct virtio_queue *queue)
{
	u64 notify;
	hpa_t base;
	enum err err;

	*common16(device, COMMON_QUEUE_SELECT) = queue->index;
	queue->size = *common16(device, COMMON_QUEUE_SIZE);
	if (!queue->size)
		return ERR_NOT_FOUND;
	if (queue->size > VIRTIO_QUEUE_MAX)
		queue->size = VIRTIO_QUEUE_MAX;
	*common16(device, COMMON_QUEUE_SIZE) = queue->size;
	err = take_memory(queue, &base);
	if (err != OK)
		return err;
	set64(device, COMMON_QUEUE_DESCRIPTORS, hpa_raw(base));
	set64(device, COMMON_QUEUE_AVAILABLE,
	      hpa_raw(base) + queue->size * sizeof(struct virtio_descriptor));
	set64(device, COMMON_QUEUE_USED,
	      hpa_raw(base) + used_offset(queue->size));
	notify =
	    (u64)*common16(device, COMMON_QUEUE_NOTIFY) * device->notify_step;
	queue->notify = (volatile u16 *)(device->notify + notify);
	*common16(device, COMMON_QUEUE_ENABLE) = 1;
	return OK;
}

enum err virtio_queue_init(struct virtio_device *device,
			   struct virtio_queue *queue, u16 index)
{
	*queue = (struct virtio_queue){
	    .index = index,
	    .memory = queue->memory,
	    .memory_bytes = queue->memory_bytes,
	};
	return device->is_legacy ? init_legacy(device, queue)
				 : init_modern(device, queue);
}

/* --- Buffers -------------------------------------------------------------- */

bool virtio_put(struct virtio_queue *queue, const struct virtio_part *parts,
		u32 part_count, enum virtio_direction direction, u16 *id)
{
	u16 at = queue->free_first;
	u16 slot = queue->available[1];

	if (part_count > queue->free_count)
		return false;
	*id = at;
	for (u32 i = 0; i < part_count; i++) {
		volatile struct virtio_descriptor *d = &queue->descriptors[at];
		bool is_last = i + 1 == part_count;

		d->address = hpa_raw(phys_of(parts[i].at));
		d->bytes = parts[i].bytes;
		d->flags =
		    (u16)((is_last ? 0 : DESCRIPTOR_NEXT) |
			  (direction == VIRTIO_FROM_DEVICE ? DESCRIPTOR_WRITE
							   : 0));
		d->next = queue->next[at];
		at = queue->next[at];
	}
	queue->free_first = at;
	queue->free_count -= part_count;
	queue->available[2 + slot % queue->size] = *id;
	/* x86 keeps stores in order; the compiler keeps volatile ones. */
	queue->available[1] = (u16)(slot + 1);
	return true;
}

void virtio_kick(struct virtio_device *device, struct virtio_queue *queue)
{
	/* Its wish is read after our index is written. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (*(volatile u16 *)queue->used & USED_NO_NOTIFY)
		return;
	if (device->is_legacy)
		insn_out16(port(device, LEGACY_QUEUE_NOTIFY), queue->index);
	else
		*queue->notify = queue->index;
}

static void free_chain(struct virtio_queue *queue, u16 first)
{
	u16 last = first;

	queue->free_count++;
	while (queue->descriptors[last].flags & DESCRIPTOR_NEXT) {
		last = queue->next[last];
		queue->free_count++;
	}
	queue->next[last] = queue->free_first;
	queue->free_first = first;
}

bool virtio_take(struct virtio_queue *queue, u16 *id, u32 *bytes)
{
	volatile u16 *index = (volatile u16 *)(queue->used + 2);
	const volatile struct used_element *element;

	if (*index == queue->used_seen)
		return false;
	element = (const volatile struct used_element *)(queue->used + 4) +
		  queue->used_seen % queue->size;
	queue->used_seen++;
	/* A broken device; the buffer is lost, and no index is wrong. */
	if (element->id >= queue->size || queue->free_count == queue->size)
		return false;
	*id = (u16)element->id;
	*bytes = element->bytes;
	free_chain(queue, *id);
	return true;
}
