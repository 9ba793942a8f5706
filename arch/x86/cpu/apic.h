/* SPDX-License-Identifier: MIT */
/*
 * The local APIC of the calling CPU: who am I, IPIs, the timer.
 *
 * Uses x2APIC mode when the firmware left it on, or the CPU has it and nobody
 * minds, xAPIC otherwise. Destinations are physical APIC ids, always.
 * SDM vol. 3, "Advanced Programmable Interrupt Controller (APIC)".
 */
#ifndef ARCH_X86_CPU_APIC_H
#define ARCH_X86_CPU_APIC_H

#include "lib/err.h"
#include "lib/types.h"

/* Before the first apic_init(): x2APIC mode is not switched on. */
void apic_avoid_x2apic(void);

/*
 * Switches the calling CPU's APIC on. On the first CPU this also decides the
 * mode for all and maps the registers if it is xAPIC.
 */
void apic_init(void);

u32 apic_id(void);
bool apic_is_x2apic(void);
void apic_end_of_interrupt(void);

/* Sends `vector` to one CPU, which may be the sender. */
void apic_send_ipi(u32 destination, u32 vector);
void apic_send_init(u32 destination);
/* `frame` is the page number, below 0x100, where the CPU begins. */
void apic_send_startup(u32 destination, u8 frame);
void apic_send_nmi(u32 destination);

/*
 * Makes VECTOR_TIMER arrive once on the calling CPU, when its TSC reaches
 * `deadline_tsc` or soon after; replaces an earlier deadline.
 */
void apic_timer_arm(u64 deadline_tsc);
void apic_timer_stop(void);

/* Measures the APIC timer against the TSC, where it has no TSC deadline. */
void apic_timer_calibrate(void);

#endif
