/* SPDX-License-Identifier: MIT */
/* The machine's battery-backed clock (MC146818), for guests' time of day. */
#ifndef DRIVERS_RTC_H
#define DRIVERS_RTC_H

#include "lib/types.h"

/*
 * Seconds since 1970, taking the clock to run in UTC; 0 if it shows no valid
 * date. Takes up to a few milliseconds. First CPU only.
 */
u64 rtc_seconds(void);

#endif
