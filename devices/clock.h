/* SPDX-License-Identifier: MIT */
/*
 * Guest time and the ticks of a clock that runs at `hz`.
 *
 * Guest time is a count of nanoseconds since the VM was created. The two
 * functions are exact, split at whole seconds so that 64 bits suffice, and
 * fit each other: clock_ticks(clock_ns(t, hz), hz) >= t, so a timer that is
 * looked at when clock_ns() said so is really due.
 *
 * Frequencies are chosen by us, not by a guest: 1 Hz to CLOCK_HZ_MAX.
 */
#ifndef DEVICES_CLOCK_H
#define DEVICES_CLOCK_H

#include "lib/types.h"

#define NS_PER_S     1000000000ULL
#define CLOCK_HZ_MAX 16000000000ULL

_Static_assert(CLOCK_HZ_MAX <= ~0ULL / NS_PER_S, "ns * hz fits 64 bits");

/* "At no time": later than every moment. */
#define CLOCK_NEVER (~0ULL)

/* Whole ticks that have passed at `now_ns`. */
static inline u64 clock_ticks(u64 now_ns, u64 hz)
{
	return now_ns / NS_PER_S * hz + now_ns % NS_PER_S * hz / NS_PER_S;
}

/* The first nanosecond at which `ticks` have passed; may be CLOCK_NEVER. */
static inline u64 clock_ns(u64 ticks, u64 hz)
{
	u64 seconds = ticks / hz;

	if (seconds >= CLOCK_NEVER / NS_PER_S)
		return CLOCK_NEVER;
	return seconds * NS_PER_S + (ticks % hz * NS_PER_S + hz - 1) / hz;
}

#endif
