/* SPDX-License-Identifier: MIT */
/* See devices/rtc.h. */
#include "devices/rtc.h"
#include "devices/clock.h"
#include "lib/string.h"

enum rtc_register {
	SECONDS = 0x00,
	SECONDS_ALARM = 0x01,
	MINUTES = 0x02,
	MINUTES_ALARM = 0x03,
	HOURS = 0x04,
	HOURS_ALARM = 0x05,
	WEEKDAY = 0x06,
	DAY = 0x07,
	MONTH = 0x08,
	YEAR = 0x09,
	REGISTER_A = 0x0a,
	REGISTER_B = 0x0b,
	REGISTER_C = 0x0c,
	REGISTER_D = 0x0d,
};

#define A_UIP         BIT(7)
#define A_DIVIDER     BITS(6, 4)
#define A_RATE        BITS(3, 0)
#define DIVIDER_32KHZ 2

#define B_SET         BIT(7)
#define B_DAYLIGHT    BIT(0)
#define B_24_HOURS    BIT(1)
#define B_BINARY      BIT(2)

/* The same bits enable in register B and report in register C. */
#define PERIODIC      BIT(6)
#define ALARM         BIT(5)
#define UPDATE_ENDED  BIT(4)
#define INTERRUPTS    (PERIODIC | ALARM | UPDATE_ENDED)
#define C_REQUEST     BIT(7)

#define D_VALID       BIT(7)

#define HOURS_PM      BIT(7)
#define ALARM_ANY     0xc0 /* alarm bytes from here on match everything */

#define UIP_NS        244000
#define DAY_S         86400
#define PERIODIC_HZ   32768

struct calendar {
	u32 second, minute, hour;
	u32 weekday;    /* 1 is Sunday */
	u32 day, month; /* from 1 */
	i64 year;       /* such as 2024 */
};

/* --- Calendar ------------------------------------------------------------- */

/*
 * Days since 1970-01-01 of a date of the Gregorian calendar. Years begin in
 * March here, so that the leap day is the last day of a year; an era is 400
 * years, 146,097 days.
 */
static i64 days_of_date(i64 year, u32 month, u32 day)
{
	i64 y = month <= 2 ? year - 1 : year;
	i64 era = (y >= 0 ? y : y - 399) / 400;
	i64 year_of_era = y - era * 400;
	i64 day_of_year = (153 * (i64)((month + 9) % 12) + 2) / 5 + day - 1;
	i64 day_of_era = year_of_era * 365 + year_of_era / 4 -
			 year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

static void date_of_days(i64 days, struct calendar *date)
{
	i64 shifted = days + 719468;
	i64 era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	i64 day_of_era = shifted - era * 146097;
	i64 year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
			   day_of_era / 146096) /
			  365;
	i64 day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 -
					year_of_era / 100);
	i64 month = (5 * day_of_year + 2) / 153;

	date->day = (u32)(day_of_year - (153 * month + 2) / 5 + 1);
	date->month = (u32)(month < 10 ? month + 3 : month - 9);
	date->year = year_of_era + era * 400 + (date->month <= 2 ? 1 : 0);
}

/* Division that rounds down also below zero. */
static i64 days_of(i64 seconds)
{
	return (seconds >= 0 ? seconds : seconds - (DAY_S - 1)) / DAY_S;
}

static void calendar_of(i64 seconds, struct calendar *date)
{
	i64 days = days_of(seconds);
	u32 second_of_day = (u32)(seconds - days * DAY_S);

	date_of_days(days, date);
	date->second = second_of_day % 60;
	date->minute = second_of_day / 60 % 60;
	date->hour = second_of_day / 3600;
	date->weekday = (u32)((days % 7 + 7 + 4) % 7 + 1); /* a Thursday */
}

/* Whatever the guest has put together is some time: fields may overflow. */
static i64 seconds_of(const struct calendar *date)
{
	u32 month = date->month < 1 || date->month > 12 ? 1 : date->month;

	return days_of_date(date->year, month, 1) * DAY_S +
	       ((i64)date->day - 1) * DAY_S + (i64)date->hour * 3600 +
	       (i64)date->minute * 60 + date->second;
}

/* --- Number formats ------------------------------------------------------- */

static u8 encode(const struct rtc_state *rtc, u32 value)
{
	return rtc->cmos[REGISTER_B] & B_BINARY
		   ? (u8)value
		   : (u8)(value / 10 % 10 << 4 | value % 10);
}

static u32 decode(const struct rtc_state *rtc, u8 value)
{
	return rtc->cmos[REGISTER_B] & B_BINARY
		   ? value
		   : (value >> 4) * 10U + (value & 0xfU);
}

/* 12-hour mode: 12, 1, ... 11, with the highest bit from noon on. */
static u8 encode_hour(const struct rtc_state *rtc, u32 hour)
{
	u32 of_twelve = hour % 12 ? hour % 12 : 12;

	if (rtc->cmos[REGISTER_B] & B_24_HOURS)
		return encode(rtc, hour);
	return encode(rtc, of_twelve) | (hour >= 12 ? HOURS_PM : 0);
}

static u32 decode_hour(const struct rtc_state *rtc, u8 value)
{
	if (rtc->cmos[REGISTER_B] & B_24_HOURS)
		return decode(rtc, value);
	return decode(rtc, value & (u8)~HOURS_PM) % 12 +
	       (value & HOURS_PM ? 12 : 0);
}

/* --- Time registers ------------------------------------------------------- */

static bool is_set_mode(const struct rtc_state *rtc)
{
	return rtc->cmos[REGISTER_B] & B_SET;
}

static i64 time_at(const struct rtc_state *rtc, u64 now_ns)
{
	return rtc->epoch_s + (i64)(now_ns / NS_PER_S);
}

static bool is_time_register(u32 index)
{
	switch (index) {
	case SECONDS:
	case MINUTES:
	case HOURS:
	case WEEKDAY:
	case DAY:
	case MONTH:
	case YEAR:
	case RTC_CENTURY:
		return true;
	default:
		return false;
	}
}

static void store_time(struct rtc_state *rtc, u64 now_ns)
{
	struct calendar date;
	u32 century;

	calendar_of(time_at(rtc, now_ns), &date);
	century = (u32)(date.year / 100 % 100);
	rtc->cmos[SECONDS] = encode(rtc, date.second);
	rtc->cmos[MINUTES] = encode(rtc, date.minute);
	rtc->cmos[HOURS] = encode_hour(rtc, date.hour);
	rtc->cmos[WEEKDAY] = encode(rtc, date.weekday);
	rtc->cmos[DAY] = encode(rtc, date.day);
	rtc->cmos[MONTH] = encode(rtc, date.month);
	rtc->cmos[YEAR] = encode(rtc, (u32)(date.year % 100));
	rtc->cmos[RTC_CENTURY] = encode(rtc, century);
}

static void load_time(struct rtc_state *rtc, u64 now_ns)
{
	struct calendar date = {
	    .second = decode(rtc, rtc->cmos[SECONDS]),
	    .minute = decode(rtc, rtc->cmos[MINUTES]),
	    .hour = decode_hour(rtc, rtc->cmos[HOURS]),
	    .day = decode(rtc, rtc->cmos[DAY]),
	    .month = decode(rtc, rtc->cmos[MONTH]),
	    .year = (i64)decode(rtc, rtc->cmos[RTC_CENTURY]) * 100 +
		    decode(rtc, rtc->cmos[YEAR]),
	};

	rtc->epoch_s = seconds_of(&date) - (i64)(now_ns / NS_PER_S);
}

/* --- Events --------------------------------------------------------------- */

/* Rates 1 and 2 repeat those of 8 and 9; 0 and a stopped divider are none. */
static u32 periodic_hz(const struct rtc_state *rtc)
{
	u64 rate = bits_get(rtc->cmos[REGISTER_A], A_RATE);

	if (!rate ||
	    bits_get(rtc->cmos[REGISTER_A], A_DIVIDER) != DIVIDER_32KHZ)
		return 0;
	return PERIODIC_HZ >> ((rate <= 2 ? rate + 7 : rate) - 1);
}

static bool alarm_matches(u8 alarm, u32 wanted, u32 value)
{
	return alarm >= ALARM_ANY || wanted == value;
}

/* An alarm for the 75th second never comes: do not search for it. */
static bool alarm_is_possible(const struct rtc_state *rtc)
{
	const u8 *cmos = rtc->cmos;

	return (cmos[HOURS_ALARM] >= ALARM_ANY ||
		decode_hour(rtc, cmos[HOURS_ALARM]) < 24) &&
	       (cmos[MINUTES_ALARM] >= ALARM_ANY ||
		decode(rtc, cmos[MINUTES_ALARM]) < 60) &&
	       (cmos[SECONDS_ALARM] >= ALARM_ANY ||
		decode(rtc, cmos[SECONDS_ALARM]) < 60);
}

/*
 * The first second of the day from `from` on at which the alarm matches, or
 * DAY_S. Whole hours and minutes that cannot match are stepped over.
 */
static u32 alarm_from(const struct rtc_state *rtc, u32 from)
{
	const u8 *cmos = rtc->cmos;
	u32 hour = decode_hour(rtc, cmos[HOURS_ALARM]);
	u32 minute = decode(rtc, cmos[MINUTES_ALARM]);
	u32 second = decode(rtc, cmos[SECONDS_ALARM]);
	u32 at = from;

	if (!alarm_is_possible(rtc))
		return DAY_S;
	while (at < DAY_S) {
		if (!alarm_matches(cmos[HOURS_ALARM], hour, at / 3600))
			at = (at / 3600 + 1) * 3600;
		else if (!alarm_matches(cmos[MINUTES_ALARM], minute,
					at / 60 % 60))
			at = (at / 60 + 1) * 60;
		else if (!alarm_matches(cmos[SECONDS_ALARM], second, at % 60))
			at++;
		else
			return at;
	}
	return DAY_S;
}

/* Guest time of the first alarm after the moment `ns`, or CLOCK_NEVER. */
static u64 alarm_after(const struct rtc_state *rtc, u64 ns)
{
	i64 first = time_at(rtc, ns) + 1;
	i64 day = days_of(first);
	u32 second = alarm_from(rtc, (u32)(first - day * DAY_S));

	if (second == DAY_S) {
		day++;
		second = alarm_from(rtc, 0);
	}
	if (second == DAY_S)
		return CLOCK_NEVER;
	return (u64)(day * DAY_S + second - rtc->epoch_s) * NS_PER_S;
}

static u64 update_after(u64 ns)
{
	return (ns / NS_PER_S + 1) * NS_PER_S;
}

static u64 periodic_after(const struct rtc_state *rtc, u64 ns)
{
	u32 hz = periodic_hz(rtc);

	return hz ? clock_ns(clock_ticks(ns, hz) + 1, hz) : CLOCK_NEVER;
}

/* Sets what has happened up to now. While SET is on, no second passes. */
void rtc_tick(struct rtc_state *rtc, u64 now_ns)
{
	u64 seen = rtc->seen_ns;

	if (now_ns <= seen)
		return;
	rtc->seen_ns = now_ns;
	if (periodic_after(rtc, seen) <= now_ns)
		rtc->flags |= PERIODIC;
	if (is_set_mode(rtc))
		return;
	if (update_after(seen) <= now_ns)
		rtc->flags |= UPDATE_ENDED;
	if (!(rtc->flags & ALARM) && alarm_after(rtc, seen) <= now_ns)
		rtc->flags |= ALARM;
}

/* Only flags that are enabled and not set yet are worth waking up for. */
u64 rtc_next_event_ns(const struct rtc_state *rtc)
{
	u8 wanted = rtc->cmos[REGISTER_B] & (u8)~rtc->flags;
	u64 next = CLOCK_NEVER;
	u64 at;

	if (rtc_interrupt(rtc))
		return CLOCK_NEVER;
	if (wanted & PERIODIC)
		next = periodic_after(rtc, rtc->seen_ns);
	if (is_set_mode(rtc))
		return next;
	at = wanted & UPDATE_ENDED ? update_after(rtc->seen_ns) : CLOCK_NEVER;
	next = at < next ? at : next;
	at = wanted & ALARM ? alarm_after(rtc, rtc->seen_ns) : CLOCK_NEVER;
	return at < next ? at : next;
}

bool rtc_interrupt(const struct rtc_state *rtc)
{
	return rtc->flags & rtc->cmos[REGISTER_B] & INTERRUPTS;
}

/* --- Registers ------------------------------------------------------------ */

static u8 read_a(const struct rtc_state *rtc, u64 now_ns)
{
	bool soon = now_ns % NS_PER_S >= NS_PER_S - UIP_NS;

	return soon && !is_set_mode(rtc) ? rtc->cmos[REGISTER_A] | A_UIP
					 : rtc->cmos[REGISTER_A];
}

static u8 read_c(struct rtc_state *rtc)
{
	u8 value = rtc->flags | (rtc_interrupt(rtc) ? C_REQUEST : 0);

	rtc->flags = 0;
	return value;
}

u8 rtc_read(struct rtc_state *rtc, u32 port, u64 now_ns)
{
	u32 index = rtc->index % RTC_CMOS_BYTES;

	if (port == 0)
		return 0xff; /* write-only */
	rtc_tick(rtc, now_ns);
	switch (index) {
	case REGISTER_A:
		return read_a(rtc, now_ns);
	case REGISTER_C:
		return read_c(rtc);
	case REGISTER_D:
		return D_VALID;
	default:
		if (is_time_register(index) && !is_set_mode(rtc))
			store_time(rtc, now_ns);
		return rtc->cmos[index];
	}
}

/*
 * Setting SET freezes the registers and turns the update interrupt off; when
 * it is cleared, time goes on from what they say then.
 */
static void write_b(struct rtc_state *rtc, u8 value, u64 now_ns)
{
	bool was_set = is_set_mode(rtc);

	if (!was_set)
		store_time(rtc, now_ns);
	if (value & B_SET)
		value &= (u8)~UPDATE_ENDED;
	rtc->cmos[REGISTER_B] = value;
	if (was_set && !(value & B_SET))
		load_time(rtc, now_ns);
}

static void write_time(struct rtc_state *rtc, u32 index, u8 value, u64 now_ns)
{
	if (is_set_mode(rtc)) {
		rtc->cmos[index] = value;
		return;
	}
	store_time(rtc, now_ns);
	rtc->cmos[index] = value;
	load_time(rtc, now_ns);
}

void rtc_write(struct rtc_state *rtc, u32 port, u8 value, u64 now_ns)
{
	u32 index = rtc->index % RTC_CMOS_BYTES;

	if (port == 0) {
		rtc->index = value % RTC_CMOS_BYTES; /* bit 7 masks NMI */
		return;
	}
	rtc_tick(rtc, now_ns);
	switch (index) {
	case REGISTER_A:
		rtc->cmos[REGISTER_A] = value & (u8)~A_UIP;
		break;
	case REGISTER_B:
		write_b(rtc, value, now_ns);
		break;
	case REGISTER_C:
	case REGISTER_D:
		break;
	default:
		if (is_time_register(index))
			write_time(rtc, index, value, now_ns);
		else
			rtc->cmos[index] = value;
	}
}

/* --- Reset ---------------------------------------------------------------- */

static void set_word(struct rtc_state *rtc, u32 index, u64 value)
{
	u64 limited = value > 0xffff ? 0xffff : value;

	rtc->cmos[index] = (u8)limited;
	rtc->cmos[index + 1] = (u8)(limited >> 8);
}

/* Memory sizes where firmware of PCs and emulators puts them. */
static void set_memory_sizes(struct rtc_state *rtc,
			     const struct rtc_config *config)
{
	u64 above_1m = config->ram_low_bytes > MIB
			   ? (config->ram_low_bytes - MIB) / KIB
			   : 0;
	u64 above_16m = config->ram_low_bytes > 16 * MIB
			    ? (config->ram_low_bytes - 16 * MIB) / (64 * KIB)
			    : 0;

	set_word(rtc, 0x15, 640);
	set_word(rtc, 0x17, above_1m);
	set_word(rtc, 0x30, above_1m);
	set_word(rtc, 0x34, above_16m);
	rtc->cmos[0x5b] = (u8)(config->ram_high_bytes >> 16);
	rtc->cmos[0x5c] = (u8)(config->ram_high_bytes >> 24);
	rtc->cmos[0x5d] = (u8)(config->ram_high_bytes >> 32);
}

void rtc_reset(struct rtc_state *rtc, const struct rtc_config *config)
{
	memset(rtc, 0, sizeof(*rtc));
	rtc->epoch_s = (i64)(config->start_time_s % (1ULL << 40));
	rtc->cmos[REGISTER_A] = DIVIDER_32KHZ << 4 | 6; /* 1024 Hz */
	rtc->cmos[REGISTER_B] = B_24_HOURS;
	set_memory_sizes(rtc, config);
}
