/* SPDX-License-Identifier: MIT */
/* Reading the MC146818. */
#include "drivers/rtc.h"
#include "arch/x86/cpu/insn.h"
#include "lib/bits.h"
#include "lib/string.h"

#define CMOS_INDEX 0x70
#define CMOS_DATA  0x71

enum cmos_register {
	CMOS_SECONDS = 0x00,
	CMOS_MINUTES = 0x02,
	CMOS_HOURS = 0x04,
	CMOS_DAY = 0x07,
	CMOS_MONTH = 0x08,
	CMOS_YEAR = 0x09,
	CMOS_STATUS_A = 0x0a,
	CMOS_STATUS_B = 0x0b,
	CMOS_CENTURY = 0x32, /* by convention of the PC */
};

#define STATUS_A_UPDATING BIT(7)
#define STATUS_B_24_HOURS BIT(1)
#define STATUS_B_BINARY   BIT(2)
#define HOURS_PM          0x80

#define READS_MAX         16
#define UPDATE_POLLS_MAX  100000

struct date {
	u8 second, minute, hour, day, month, year, century;
};

static u8 get(enum cmos_register reg)
{
	insn_out8(CMOS_INDEX, (u8)reg);
	return insn_in8(CMOS_DATA);
}

static void wait_for_update(void)
{
	for (u32 i = 0; i < UPDATE_POLLS_MAX; i++)
		if (!(get(CMOS_STATUS_A) & STATUS_A_UPDATING))
			return;
}

static void read_raw(struct date *date)
{
	wait_for_update();
	*date = (struct date){
	    .second = get(CMOS_SECONDS),
	    .minute = get(CMOS_MINUTES),
	    .hour = get(CMOS_HOURS),
	    .day = get(CMOS_DAY),
	    .month = get(CMOS_MONTH),
	    .year = get(CMOS_YEAR),
	    .century = get(CMOS_CENTURY),
	};
}

static u8 from_bcd(u8 value)
{
	return (u8)((value >> 4) * 10 + (value & 15));
}

static void convert(struct date *date, u8 status_b)
{
	bool pm = date->hour & HOURS_PM;

	date->hour &= (u8)~HOURS_PM;
	if (!(status_b & STATUS_B_BINARY)) {
		date->second = from_bcd(date->second);
		date->minute = from_bcd(date->minute);
		date->hour = from_bcd(date->hour);
		date->day = from_bcd(date->day);
		date->month = from_bcd(date->month);
		date->year = from_bcd(date->year);
	}
	/* The century is BCD by convention, whatever status B says. */
	date->century = from_bcd(date->century);
	if (!(status_b & STATUS_B_24_HOURS))
		date->hour = (u8)(date->hour % 12 + (pm ? 12 : 0));
}

/* Days from 1970-01-01 to the first of the month, in the Gregorian calendar. */
static u64 days_before(u64 year, u64 month)
{
	/* Years that begin in March have their leap day at the end. */
	u64 y = month <= 2 ? year - 1 : year;
	u64 m = month <= 2 ? month + 9 : month - 3;

	return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 - 719468;
}

static bool is_valid(const struct date *date)
{
	return date->second < 60 && date->minute < 60 && date->hour < 24 &&
	       date->day >= 1 && date->day <= 31 && date->month >= 1 &&
	       date->month <= 12 && date->year < 100;
}

u64 rtc_seconds(void)
{
	struct date date, again;
	u64 year;

	/* Two equal readings: no update came between the registers. */
	read_raw(&date);
	for (u32 i = 0; i < READS_MAX; i++) {
		read_raw(&again);
		if (!memcmp(&date, &again, sizeof(date)))
			break;
		date = again;
	}
	convert(&date, get(CMOS_STATUS_B));
	if (!is_valid(&date))
		return 0;
	/* Where the century's register is something else, it is this one. */
	year = (date.century >= 19 && date.century <= 21 ? date.century : 20) *
		   100UL +
	       date.year;
	if (year < 1970)
		return 0;
	return ((days_before(year, date.month) + date.day - 1) * 24 +
		date.hour) *
		   3600 +
	       date.minute * 60UL + date.second;
}
