/* SPDX-License-Identifier: MIT */
/* See devices/guest_time.h. */
#include "devices/guest_time.h"
#include "devices/clock.h"

/* high:low / divisor, rounded up; saturates. */
static u64 divide_up(u64 high, u64 low, u64 divisor)
{
	u64 quotient, rest;

	if (high >= divisor)
		return UINT64_MAX;
	__asm__("divq %4"
		: "=a"(quotient), "=d"(rest)
		: "a"(low), "d"(high), "rm"(divisor)
		: "cc");
	return rest && quotient != UINT64_MAX ? quotient + 1 : quotient;
}

static bool are_equal(u64 a, u64 b)
{
	u64 difference = a > b ? a - b : b - a;

	return difference <= b / (1000000 / GUEST_TIME_PPM_EQUAL);
}

enum err guest_time_init(struct guest_time *time, u64 guest_hz, u64 host_hz,
			 enum guest_time_scaling scaling)
{
	struct guest_time made = {.hz = guest_hz};

	if (!guest_hz || guest_hz > CLOCK_HZ_MAX || !host_hz ||
	    host_hz > CLOCK_HZ_MAX)
		return ERR_RANGE;
	if (!are_equal(guest_hz, host_hz)) {
		if (scaling == GUEST_TIME_FIXED)
			return ERR_UNSUPPORTED;
		made.multiplier =
		    divide_up(guest_hz >> (64 - GUEST_TIME_FRACTION),
			      guest_hz << GUEST_TIME_FRACTION, host_hz);
	}
	made.ns_per_tick_32 = (NS_PER_S << 32) / guest_hz;
	made.tick_per_ns_32 = (guest_hz / NS_PER_S << 32) +
			      (guest_hz % NS_PER_S << 32) / NS_PER_S;
	*time = made;
	return OK;
}

static u64 scaled(const struct guest_time *time, u64 host_tsc)
{
	return time->multiplier ? (u64)((u128)host_tsc * time->multiplier >>
					GUEST_TIME_FRACTION)
				: host_tsc;
}

void guest_time_set(struct guest_time *time, u64 host_tsc, u64 tsc)
{
	time->offset = tsc - scaled(time, host_tsc);
}

u64 guest_time_tsc(const struct guest_time *time, u64 host_tsc)
{
	return scaled(time, host_tsc) + time->offset;
}

u64 guest_time_ns(const struct guest_time *time, u64 tsc)
{
	return (u64)((u128)tsc * time->ns_per_tick_32 >> 32);
}

/* Too many ticks for 64 bits is never: both factors are rounded down. */
u64 guest_time_reaching_ns(const struct guest_time *time, u64 ns)
{
	u128 estimate = (u128)ns * time->tick_per_ns_32 >> 32;
	u64 ticks = (u64)estimate;

	if (estimate >= UINT64_MAX / 2 || !time->ns_per_tick_32)
		return UINT64_MAX;
	for (u64 have = guest_time_ns(time, ticks); have < ns;
	     have = guest_time_ns(time, ticks)) {
		u64 more =
		    (u64)((u128)(ns - have) * time->tick_per_ns_32 >> 32);

		ticks += more + 1;
	}
	return ticks;
}

u64 guest_time_host_tsc(const struct guest_time *time, u64 tsc)
{
	u64 ticks = tsc - time->offset;

	if (tsc == UINT64_MAX)
		return UINT64_MAX;
	if ((i64)ticks < 0) /* before this host was switched on */
		return 0;
	if (!time->multiplier)
		return ticks;
	return divide_up(ticks >> (64 - GUEST_TIME_FRACTION),
			 ticks << GUEST_TIME_FRACTION, time->multiplier);
}
