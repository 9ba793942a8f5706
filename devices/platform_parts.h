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

/* The PIT's output has risen: line 0 pulses. */
void platform_pulse_pit(struct platform *platform);

/* Does what a local APIC's write asks for. The lock is not held. */
void platform_do_outcome(struct platform *platform, u32 vcpu,
			 struct lapic_outcome outcome);

/* Offers COM1's output to the host. */
void platform_send_com1(struct platform *platform);

/* Counts an access that nobody answered; says so now and then. */
void platform_note_unclaimed(struct platform *platform,
			     const struct platform_access *access,
			     const char *what, u64 address);

/* All ones in as many bytes (1 to 8) as are asked for. */
static inline u64 platform_all_ones(u32 bytes)
{
	return bytes >= 8 ? ~0ULL : BIT(bytes * 8) - 1;
}

#endif
