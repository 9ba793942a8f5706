/* SPDX-License-Identifier: MIT */
/*
 * Time: the TSC, how fast it is, and a timer interrupt.
 */
#ifndef GUESTS_LIB_TIME_H
#define GUESTS_LIB_TIME_H

#include "lib/types.h"

/* Called by the runtime before guest_main. */
void time_init(void);

u64 time_tsc_hz(void);

/* Who told: "CPUID 0x15", "CPUID 0x16", "PIT" or "assumed". */
const char *time_tsc_source(void);

u64 time_us_to_tsc(u64 us);
u64 time_tsc_to_us(u64 ticks);
void time_delay_us(u64 us);

enum timer_kind {
	TIMER_BEST, /* TSC deadline where there is one, else one-shot */
	TIMER_ONE_SHOT,
	TIMER_TSC_DEADLINE,
};

/*
 * One VECTOR_TIMER interrupt on this CPU after `us`; needs a local APIC. The
 * handler is the caller's. Returns the kind that was used.
 */
enum timer_kind timer_start(enum timer_kind kind, u64 us);

#endif
