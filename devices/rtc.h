/* SPDX-License-Identifier: MIT */
/*
 * The real-time clock and CMOS memory of a PC (Motorola MC146818A data sheet),
 * with the century at 32H, where the ACPI tables say it is.
 *
 * The time is a number, seconds since 1970 UTC at guest time 0; the registers
 * are computed from it when they are read. The update of a second takes no
 * time, announced by UIP for the 244 us before it.
 */
#ifndef DEVICES_RTC_H
#define DEVICES_RTC_H

#include "lib/bits.h"
#include "lib/types.h"

#define RTC_CMOS_BYTES 128
#define RTC_CENTURY    0x32

struct rtc_state {
	i64 epoch_s;             /* seconds since 1970 at guest time 0 */
	u64 seen_ns;             /* up to here register C has been kept */
	u8 index;                /* what port 71H reads and writes */
	u8 flags;                /* register C: PF, AF, UF */
	u8 cmos[RTC_CMOS_BYTES]; /* 0-9 and century: only while SET is on */
};

struct rtc_config {
	u64 start_time_s;
	u64 ram_low_bytes;  /* below 4 GiB */
	u64 ram_high_bytes; /* from 4 GiB */
};

void rtc_reset(struct rtc_state *rtc, const struct rtc_config *config);

/* Ports 70H and 71H as 0 and 1. */
u8 rtc_read(struct rtc_state *rtc, u32 port, u64 now_ns);
void rtc_write(struct rtc_state *rtc, u32 port, u8 value, u64 now_ns);

/* Its interrupt line, up to date after rtc_tick() or an access. */
bool rtc_interrupt(const struct rtc_state *rtc);

/* When an enabled interrupt comes next, or CLOCK_NEVER. */
u64 rtc_next_event_ns(const struct rtc_state *rtc);
void rtc_tick(struct rtc_state *rtc, u64 now_ns);

#endif
