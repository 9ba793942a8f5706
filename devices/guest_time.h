/* SPDX-License-Identifier: MIT */
/*
 * A VM's clock: what the host's time-stamp counter means to the guest.
 *
 *	host TSC --multiplier, offset--> guest TSC --hz--> guest time, ns
 *
 * Guest time is nothing but the guest's TSC in nanoseconds, whatever the host's
 * frequency is, so the devices' timers and the TSC that the guest reads never
 * drift apart, and a VM that has moved goes on with both where they were.
 * The multiplier is the VMCS field's (SDM vol. 3, "Time-Stamp Counter Offset
 * and Multiplier"): 48 fraction bits; 0 stands for no scaling.
 */
#ifndef DEVICES_GUEST_TIME_H
#define DEVICES_GUEST_TIME_H

#include "lib/err.h"
#include "lib/types.h"

#define GUEST_TIME_FRACTION  48
/* Crystals and measurements differ by less; more needs scaling. */
#define GUEST_TIME_PPM_EQUAL 250

struct guest_time {
	u64 hz;                             /* of the guest's TSC */
	u64 ns_per_tick_32, tick_per_ns_32; /* times 2^32 */
	u64 multiplier;
	u64 offset;
};

enum guest_time_scaling { GUEST_TIME_FIXED, GUEST_TIME_SCALABLE };

/*
 * A clock of `guest_hz` on a host of `host_hz` (both 1 to CLOCK_HZ_MAX), which
 * shows nothing useful before guest_time_set(). ERR_UNSUPPORTED: the
 * frequencies differ and this CPU cannot scale. ERR_RANGE: no clock has that.
 */
MUST_CHECK enum err guest_time_init(struct guest_time *time, u64 guest_hz,
				    u64 host_hz,
				    enum guest_time_scaling scaling);

/* At this host TSC the guest's is `tsc`. */
void guest_time_set(struct guest_time *time, u64 host_tsc, u64 tsc);

u64 guest_time_tsc(const struct guest_time *time, u64 host_tsc);
u64 guest_time_ns(const struct guest_time *time, u64 tsc);

/* The least TSC at which guest time is `ns` or more; ~0 for never. */
u64 guest_time_reaching_ns(const struct guest_time *time, u64 ns);

/* The first host TSC at which the guest's is `tsc` or more; ~0 for never. */
u64 guest_time_host_tsc(const struct guest_time *time, u64 tsc);

#endif
