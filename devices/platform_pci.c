/* SPDX-License-Identifier: MIT */
/*
 * Bus 0: the host bridge and the virtio console, behind their BARs and
 * configuration mechanism #1 (PCI Local Bus Specification 3.0, "Software
 * Generation of Configuration Transactions") or ECAM (PCI Express Base
 * Specification, "PCI Express Enhanced Configuration Access Mechanism").
 */
#include "devices/platform_parts.h"

#define ADDRESS_ENABLE   BIT(31)
#define ADDRESS_BUS      BITS(23, 16)
#define ADDRESS_DEVICE   BITS(15, 11)
#define ADDRESS_FUNCTION BITS(10, 8)
#define ADDRESS_REGISTER BITS(7, 2)
#define ADDRESS_BITS                                                        \
	(ADDRESS_ENABLE | ADDRESS_BUS | ADDRESS_DEVICE | ADDRESS_FUNCTION | \
	 ADDRESS_REGISTER)

/* The host bridge of virtual machines: a known one that has no quirks. */
#define BRIDGE_VENDOR  0x8086
#define BRIDGE_DEVICE  0x0d57
#define CLASS_BRIDGE   0x060000

#define CONSOLE_DEVICE 1
#define CONSOLE_BAR    PLATFORM_PCI_BASE

static struct virtio_pci *console_of(struct platform *platform)
{
	return &platform->devices.console.virtio;
}

static struct virtqueue_memory memory_of(const struct platform *platform)
{
	return (struct virtqueue_memory){
	    .host = platform->config.host,
	    .context = platform->config.host_context,
	};
}

void platform_pci_reset(struct platform_devices *devices)
{
	const struct pci_identity bridge = {
	    .vendor = BRIDGE_VENDOR,
	    .device = BRIDGE_DEVICE,
	    .class_code = CLASS_BRIDGE,
	};
	const struct virtio_console_config console = {
	    .bar = (u32)CONSOLE_BAR,
	    .notify_port = PLATFORM_PCI_PORT,
	    .interrupt_line = PLATFORM_PCI_LINE(CONSOLE_DEVICE, 0),
	};

	pci_init(&devices->bridge, &bridge);
	virtio_console_init(&devices->console, &console);
}

/* --- The console's queues ------------------------------------------------- */

void platform_run_console(struct platform *platform)
{
	const struct virtqueue_memory memory = memory_of(platform);

	/* Both are the guest's console: what was printed first comes first. */
	platform_send_com1(platform);
	platform->devices.console_work =
	    virtio_console_run(&platform->devices.console, &memory) ==
	    VIRTIO_CONSOLE_MORE;
}

u64 platform_receive_console(struct platform *platform, u32 port,
			     const u8 *bytes, u64 count)
{
	const struct virtqueue_memory memory = memory_of(platform);

	return virtio_console_receive(&platform->devices.console, &memory, port,
				      bytes, count);
}

static void do_effect(struct platform *platform, enum virtio_effect effect)
{
	switch (effect) {
	case VIRTIO_NOTHING:
		break;
	case VIRTIO_RESET:
		virtio_console_reset(&platform->devices.console);
		platform->config.host->port_set(platform->config.host_context,
						PLATFORM_PORT_CLOSED);
		break;
	case VIRTIO_NOTIFIED:
		platform_run_console(platform);
		break;
	}
}

/* --- The console's BAR, four bytes at most -------------------------------- */

#define STRUCTURE BITS(13, 12) /* which of BAR 0's structures */
#define WITHIN    BITS(11, 0)

_Static_assert(VIRTIO_ISR_OFFSET == 1 << 12, "structures are pages");
_Static_assert(VIRTIO_DEVICE_OFFSET == 2 << 12, "structures are pages");
_Static_assert(VIRTIO_NOTIFY_OFFSET == 3 << 12, "structures are pages");

static u32 read_structure(struct platform *platform, u32 offset)
{
	u32 within = offset & (u32)WITHIN;

	switch (offset - within) {
	case VIRTIO_COMMON_OFFSET:
		return virtio_common_read(console_of(platform), within);
	case VIRTIO_ISR_OFFSET:
		return within ? 0 : virtio_isr_read(console_of(platform));
	case VIRTIO_DEVICE_OFFSET:
		return virtio_console_config_read(within - within % 4) >>
		       within % 4 * 8;
	default:
		return 0;
	}
}

static void write_structure(struct platform *platform, u32 offset, u32 bytes,
			    u32 value)
{
	u32 within = offset & (u32)WITHIN;

	switch (offset - within) {
	case VIRTIO_COMMON_OFFSET:
		do_effect(platform, virtio_common_write(console_of(platform),
							within, bytes, value));
		break;
	case VIRTIO_NOTIFY_OFFSET:
		do_effect(platform, VIRTIO_NOTIFIED);
		break;
	default: /* ISR and device configuration are read-only */
		break;
	}
}

static u32 read_bar(struct platform *platform, enum virtio_bar bar, u32 offset)
{
	switch (bar) {
	case VIRTIO_BAR:
		return read_structure(platform, offset);
	case VIRTIO_MSIX_BAR:
		return msix_read(&console_of(platform)->state.msix,
				 offset - offset % 4) >>
		       offset % 4 * 8;
	case VIRTIO_NOTIFY_BAR:
		break;
	}
	return 0;
}

/* MSI-X tables are written in whole 32-bit words. */
static void write_bar(struct platform *platform, enum virtio_bar bar,
		      const struct platform_piece *piece)
{
	switch (bar) {
	case VIRTIO_BAR:
		write_structure(platform, piece->offset, piece->bytes,
				piece->value);
		break;
	case VIRTIO_MSIX_BAR:
		if (piece->bytes == 4 && piece->offset % 4 == 0)
			msix_write(&console_of(platform)->state.msix,
				   piece->offset, piece->value);
		break;
	case VIRTIO_NOTIFY_BAR:
		do_effect(platform, VIRTIO_NOTIFIED);
		break;
	}
}

/* --- Configuration space -------------------------------------------------- */

/* Bus 0 has no function but the first of these devices. */
static struct pci_function *function_at(struct platform *platform, u64 device,
					u64 function)
{
	if (function)
		return NULL;
	switch (device) {
	case 0:
		return &platform->devices.bridge;
	case CONSOLE_DEVICE:
		return &console_of(platform)->function;
	default:
		return NULL;
	}
}

/*
 * The window capability of virtio: its last four bytes are those of a BAR at
 * the place that its other fields choose (virtio 1.1, "PCI configuration
 * access capability"). What they choose must lie inside the BAR and be as
 * aligned as it is wide.
 */
#define WINDOW_BAR    4
#define WINDOW_OFFSET 8
#define WINDOW_LENGTH 12
#define WINDOW_DATA   16

static bool is_window(struct platform *platform,
		      const struct pci_function *function, u32 at)
{
	const struct virtio_pci *console = console_of(platform);

	return function == &console->function &&
	       at == console->window_capability + WINDOW_DATA;
}

static bool find_window(struct platform *platform, enum virtio_bar *bar,
			struct platform_piece *piece)
{
	const struct virtio_pci *console = console_of(platform);
	u32 base = console->window_capability;
	u32 number = pci_config_read(&console->function, base + WINDOW_BAR, 1);
	u32 limit = number == VIRTIO_BAR        ? VIRTIO_BAR_BYTES
		    : number == VIRTIO_MSIX_BAR ? MSIX_BAR_BYTES
						: VIRTIO_NOTIFY_BYTES;

	piece->offset =
	    pci_config_read(&console->function, base + WINDOW_OFFSET, 4);
	piece->bytes =
	    pci_config_read(&console->function, base + WINDOW_LENGTH, 4);
	*bar = (enum virtio_bar)number;
	return number <= VIRTIO_NOTIFY_BAR && piece->offset < limit &&
	       (piece->bytes == 1 || piece->bytes == 2 || piece->bytes == 4) &&
	       piece->offset % piece->bytes == 0;
}

/* Part of a function's configuration space; no function reads all ones. */
static u32 read_config(struct platform *platform,
		       const struct pci_function *function, u32 at, u32 bytes)
{
	struct platform_piece piece;
	enum virtio_bar bar;

	if (!function)
		return ~0U;
	if (is_window(platform, function, at) &&
	    find_window(platform, &bar, &piece))
		return read_bar(platform, bar, piece.offset);
	return pci_config_read(function, at, bytes);
}

static void write_config(struct platform *platform,
			 struct pci_function *function,
			 const struct platform_piece *written)
{
	struct platform_piece piece;
	enum virtio_bar bar;

	if (!function)
		return;
	pci_config_write(function, written->offset, written->bytes,
			 written->value);
	if (!is_window(platform, function, written->offset) ||
	    !find_window(platform, &bar, &piece))
		return;
	piece.value = written->value;
	write_bar(platform, bar, &piece);
}

/* --- Mechanism #1 --------------------------------------------------------- */

static struct pci_function *selected(struct platform *platform)
{
	u32 address = platform->devices.pci_address;

	if (!(address & ADDRESS_ENABLE) || (address & ADDRESS_BUS))
		return NULL;
	return function_at(platform, bits_get(address, ADDRESS_DEVICE),
			   bits_get(address, ADDRESS_FUNCTION));
}

static u32 register_of(const struct platform *platform, u32 offset)
{
	return (platform->devices.pci_address & (u32)ADDRESS_REGISTER) + offset;
}

u32 platform_pci_config_read(struct platform *platform, u32 offset, u32 bytes)
{
	return read_config(platform, selected(platform),
			   register_of(platform, offset), bytes);
}

void platform_pci_config_write(struct platform *platform, u32 offset, u32 bytes,
			       u32 value)
{
	const struct platform_piece piece = {
	    .offset = register_of(platform, offset),
	    .bytes = bytes,
	    .value = value,
	};

	write_config(platform, selected(platform), &piece);
}

u32 platform_pci_address(const struct platform *platform)
{
	return platform->devices.pci_address;
}

void platform_pci_set_address(struct platform *platform, u32 value)
{
	platform->devices.pci_address = value & (u32)ADDRESS_BITS;
}

/* --- ECAM ----------------------------------------------------------------- */

#define ECAM_DEVICE   BITS(19, 15)
#define ECAM_FUNCTION BITS(14, 12)
#define ECAM_REGISTER BITS(11, 0)

static bool is_ecam(u64 address)
{
	return address - PLATFORM_ECAM_BASE < PLATFORM_ECAM_BYTES;
}

static struct pci_function *ecam_function(struct platform *platform,
					  u64 address)
{
	return function_at(platform, bits_get(address, ECAM_DEVICE),
			   bits_get(address, ECAM_FUNCTION));
}

/* --- BARs ----------------------------------------------------------------- */

bool platform_pci_claims_port(struct platform *platform, u16 port)
{
	u32 offset;

	return pci_bar_claims(&console_of(platform)->function,
			      VIRTIO_NOTIFY_BAR, port, &offset);
}

void platform_pci_notify(struct platform *platform)
{
	do_effect(platform, VIRTIO_NOTIFIED);
}

static bool find_bar(struct platform *platform, u64 address,
		     enum virtio_bar *bar, u32 *offset)
{
	const struct pci_function *function = &console_of(platform)->function;

	*bar = VIRTIO_BAR;
	if (pci_bar_claims(function, VIRTIO_BAR, address, offset))
		return true;
	*bar = VIRTIO_MSIX_BAR;
	return pci_bar_claims(function, VIRTIO_MSIX_BAR, address, offset);
}

enum platform_mmio platform_pci_read(struct platform *platform, u64 address,
				     u64 *value)
{
	enum virtio_bar bar;
	u32 offset;

	if (is_ecam(address)) {
		*value = read_config(platform, ecam_function(platform, address),
				     (u32)(address & ECAM_REGISTER), 4);
		return PLATFORM_MMIO_DONE;
	}
	if (!find_bar(platform, address, &bar, &offset))
		return PLATFORM_MMIO_ABSENT;
	*value = read_bar(platform, bar, offset);
	if (offset % 8 == 0)
		*value |= (u64)read_bar(platform, bar, offset + 4) << 32;
	return PLATFORM_MMIO_DONE;
}

/* Eight bytes are two words; what is no register's width is dropped there. */
enum platform_mmio platform_pci_write(struct platform *platform, u64 address,
				      u32 bytes, u64 value)
{
	struct platform_piece piece = {.bytes = bytes, .value = low32(value)};
	enum virtio_bar bar;

	if (is_ecam(address)) {
		piece.offset = (u32)(address & ECAM_REGISTER);
		write_config(platform, ecam_function(platform, address),
			     &piece);
		return PLATFORM_MMIO_DONE;
	}
	if (!find_bar(platform, address, &bar, &piece.offset))
		return PLATFORM_MMIO_ABSENT;
	if (bytes == 8)
		piece.bytes = 4;
	write_bar(platform, bar, &piece);
	if (bytes == 8 && piece.offset % 8 == 0) {
		piece.offset += 4;
		piece.value = high32(value);
		write_bar(platform, bar, &piece);
	}
	return PLATFORM_MMIO_DONE;
}

/* --- Interrupts ----------------------------------------------------------- */

void platform_pci_send_messages(struct platform *platform)
{
	struct virtio_pci *console = console_of(platform);
	struct msix_message message;

	while (msix_take(&console->state.msix, &console->function,
			 console->msix_capability, &message) == MSIX_MESSAGE)
		platform_msi(platform, message.address, message.data);
}

u32 platform_pci_lines(const struct platform_devices *devices)
{
	return virtio_intx(&devices->console.virtio)
		   ? 1U << PLATFORM_PCI_LINE(CONSOLE_DEVICE, 0)
		   : 0;
}
