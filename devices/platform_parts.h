/* SPDX-License-Identifier: MIT */
/*
 * For the files of the platform only: what they do for each other. All of it
 * with the platform's lock held, except where it says otherwise.
 */
#ifndef DEVICES_PLATFORM_PARTS_H
#define DEVICES_PLATFORM_PARTS_H

#include "devices/platform.h"

/* Lets time come up to what this access brings. */
static inline void platform_advance(struct platform *platform, u64 now_ns)
{
	if (now_ns > platform->devices.now_ns)
		platform->devices.now_ns = now_ns;
}

/*
 * After anything that changes a shared device: its interrupt lines go to PIC
 * and I/O APIC, their outputs to local APICs, and due_ns is computed anew.
 */
void platform_settle(struct platform *platform);

/*
 * The same where nothing but the PIC, the I/O APIC, what is due, or this line has
 * changed.
 */
void platform_settle_pic(struct platform *platform);
void platform_settle_ioapic(struct platform *platform);
void platform_settle_due(struct platform *platform);

enum platform_level { PLATFORM_LOW, PLATFORM_HIGH };

void platform_set_line(struct platform *platform, enum platform_line line,
		       enum platform_level level);
/* Low and high again, of a high line whose device the guest has to wait for. */
void platform_pulse_line(struct platform *platform, enum platform_line line);

/* The PIT's output has risen: line 0 pulses. */
void platform_pulse_pit(struct platform *platform);

/* Does what a local APIC's write asks for. The lock is not held. */
void platform_do_outcome(struct platform *platform, u32 vcpu,
			 struct lapic_outcome outcome);

/* Offers COM1's output to the host, what was collected first. */
void platform_send_com1(struct platform *platform);

/* Counts an access that nobody answered; says so now and then. */
void platform_note_unclaimed(struct platform *platform,
			     const struct platform_access *access,
			     const char *what, u64 address);

/* --- PCI (platform_pci.c) ------------------------------------------------- */

/* Part of a device's registers, and what is written there. */
struct platform_piece {
	u32 offset;
	u32 bytes;
	u32 value;
};

void platform_pci_reset(struct platform_devices *devices);

/* Ports 0xcf8, and 0xcfc plus an offset of 0 to 3. */
u32 platform_pci_address(const struct platform *platform);
void platform_pci_set_address(struct platform *platform, u32 value);
u32 platform_pci_config_read(struct platform *platform, u32 offset, u32 bytes);
void platform_pci_config_write(struct platform *platform, u32 offset, u32 bytes,
			       u32 value);

/* The notification port, wherever its BAR puts it. */
bool platform_pci_claims_port(struct platform *platform, u16 port);
void platform_pci_notify(struct platform *platform);

/* Memory BARs and ECAM. */
enum platform_mmio platform_pci_read(struct platform *platform, u64 address,
				     u64 *value);
enum platform_mmio platform_pci_write(struct platform *platform, u64 address,
				      u32 bytes, u64 value);

/* MSI-X messages that are due; lines that are asserted. */
void platform_pci_send_messages(struct platform *platform);
u32 platform_pci_lines(const struct platform_devices *devices);

/*
 * Output of COM1, then the virtio console: work on its queues; input for one of
 * its ports.
 */
void platform_run_console(struct platform *platform);
u64 platform_receive_console(struct platform *platform, u32 port,
			     const u8 *bytes, u64 count);

/* --- Small things --------------------------------------------------------- */

/* All ones in as many bytes (1 to 8) as are asked for. */
static inline u64 platform_all_ones(u32 bytes)
{
	return bytes >= 8 ? ~0ULL : BIT(bytes * 8) - 1;
}

#endif
