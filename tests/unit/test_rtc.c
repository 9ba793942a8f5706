/* SPDX-License-Identifier: MIT */
/* The real-time clock against the MC146818A data sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "devices/clock.h"
#include "devices/rtc.h"

#define START 1700000000 /* 2023-11-14 22:13:20 UTC, a Tuesday */
#define S     NS_PER_S

static struct rtc_state rtc;
static u64 now;

static void reset_at(u64 start_time_s)
{
	const struct rtc_config config = {
	    .start_time_s = start_time_s,
	    .ram_low_bytes = 512 * MIB,
	    .ram_high_bytes = 3 * GIB,
	};

	now = 0;
	rtc_reset(&rtc, &config);
}

static int fresh(void **state)
{
	(void)state;
	reset_at(START);
	return 0;
}

static u8 get(u8 index)
{
	rtc_write(&rtc, 0, index, now);
	return rtc_read(&rtc, 1, now);
}

static void set(u8 index, u8 value)
{
	rtc_write(&rtc, 0, index, now);
	rtc_write(&rtc, 1, value, now);
}

static u32 bcd(u8 value)
{
	return (value >> 4) * 10U + (value & 0xfU);
}

static void time_reads_in_bcd_and_24_hours(void **state)
{
	(void)state;
	now = 5 * S;
	assert_int_equal(get(0), 0x25);
	assert_int_equal(get(2), 0x13);
	assert_int_equal(get(4), 0x22);
	assert_int_equal(get(6), 3);
	assert_int_equal(get(7), 0x14);
	assert_int_equal(get(8), 0x11);
	assert_int_equal(get(9), 0x23);
	assert_int_equal(get(0x32), 0x20);
	assert_int_equal(get(0x0d), 0x80);
	assert_int_equal(get(0x0b), 0x02);
	assert_int_equal(get(0x0a), 0x26);
	assert_int_equal(rtc_read(&rtc, 0, now), 0xff);
}

static void dates_agree_with_the_c_library(void **state)
{
	(void)state;
	for (u64 t = 0; t < 8000000000; t += 86400 * 13 + 12347) {
		time_t seconds = (time_t)t;
		struct tm tm;

		reset_at(t);
		assert_non_null(gmtime_r(&seconds, &tm));
		assert_int_equal(bcd(get(0)), tm.tm_sec);
		assert_int_equal(bcd(get(2)), tm.tm_min);
		assert_int_equal(bcd(get(4)), tm.tm_hour);
		assert_int_equal(get(6), tm.tm_wday + 1);
		assert_int_equal(bcd(get(7)), tm.tm_mday);
		assert_int_equal(bcd(get(8)), tm.tm_mon + 1);
		assert_int_equal(bcd(get(9)) + 100 * bcd(get(0x32)),
				 tm.tm_year + 1900);
	}
}

static void twelve_hour_and_binary_formats_read_right(void **state)
{
	(void)state;
	set(0x0b, 0x04); /* binary, 12 hours */
	assert_int_equal(get(4), 0x80 | 10);
	assert_int_equal(get(2), 13);
	now = 2 * 3600 * S; /* half past midnight */
	assert_int_equal(get(4), 12);
	now = 14 * 3600 * S;
	assert_int_equal(get(4), 0x80 | 12);
	set(0x0b, 0x00);
	assert_int_equal(get(4), 0x92);
}

/* As Linux does: SET on, write, SET off. */
static void guest_sets_the_time(void **state)
{
	(void)state;
	now = 77 * S + 5;
	set(0x0b, 0x82);
	now = 79 * S;
	assert_int_equal(get(0), 0x37); /* frozen: 22:14:37 */
	set(9, 0x24);
	set(8, 0x02);
	set(7, 0x28);
	set(4, 0x23);
	set(2, 0x59);
	set(0, 0x58);
	set(0x32, 0x20);
	set(0x0b, 0x02);
	now = 82 * S;
	assert_int_equal(get(0), 0x01);
	assert_int_equal(get(4), 0x00);
	assert_int_equal(get(7), 0x29); /* 2024 is a leap year */
	assert_int_equal(get(6), 5);    /* a Thursday */
}

static void nonsense_time_is_some_time(void **state)
{
	(void)state;
	for (u32 index = 0; index < 10; index++)
		for (u32 value = 0; value < 256; value += 5) {
			set((u8)index, (u8)value);
			get(0);
			get(9);
		}
	set(0x32, 0xff);
	assert_true(bcd(get(7)) >= 1 && bcd(get(7)) <= 31);
}

static void update_in_progress_announces_the_second(void **state)
{
	(void)state;
	now = S - 244001;
	assert_int_equal(get(0x0a), 0x26);
	now = S - 244000;
	assert_int_equal(get(0x0a), 0xa6);
	now = S;
	assert_int_equal(get(0x0a), 0x26);
	set(0x0a, 0xff);
	assert_int_equal(get(0x0a), 0x7f);
}

static void periodic_interrupt_comes_at_its_rate(void **state)
{
	(void)state;
	set(0x0b, 0x42);
	assert_int_equal(rtc_next_event_ns(&rtc), clock_ns(1, 1024));
	now = clock_ns(1, 1024);
	rtc_tick(&rtc, now);
	assert_true(rtc_interrupt(&rtc));
	assert_int_equal(rtc_next_event_ns(&rtc), CLOCK_NEVER);
	assert_int_equal(get(0x0c), 0xc0);
	assert_false(rtc_interrupt(&rtc));
	assert_int_equal(rtc_next_event_ns(&rtc), clock_ns(2, 1024));
	set(0x0a, 0x2f); /* 2 Hz */
	assert_int_equal(rtc_next_event_ns(&rtc), S / 2);
	set(0x0a, 0x21); /* 1 is 256 Hz */
	assert_int_equal(rtc_next_event_ns(&rtc), clock_ns(1, 256));
	set(0x0a, 0x20);
	assert_int_equal(rtc_next_event_ns(&rtc), CLOCK_NEVER);
}

static void update_interrupt_comes_every_second(void **state)
{
	(void)state;
	now = S / 3;
	set(0x0b, 0x12);
	assert_int_equal(rtc_next_event_ns(&rtc), S);
	now = S;
	rtc_tick(&rtc, now);
	assert_true(rtc_interrupt(&rtc));
	assert_int_equal(get(0x0c) & 0xb0, 0x90);
	now = S + 1;
	rtc_tick(&rtc, now);
	assert_int_equal(get(0x0c) & 0xb0, 0);
	set(0x0b, 0x92); /* SET turns it off */
	assert_int_equal(get(0x0b), 0x82);
}

static void alarm_comes_at_its_time(void **state)
{
	(void)state;
	set(1, 0x10); /* 22:14:10, in 50 seconds */
	set(3, 0x14);
	set(5, 0x22);
	set(0x0b, 0x22);
	assert_int_equal(rtc_next_event_ns(&rtc), 50 * S);
	now = 50 * S - 1;
	rtc_tick(&rtc, now);
	assert_false(rtc_interrupt(&rtc));
	now = 50 * S;
	rtc_tick(&rtc, now);
	assert_true(rtc_interrupt(&rtc));
	assert_int_equal(get(0x0c) & 0xa0, 0xa0);
	assert_int_equal(rtc_next_event_ns(&rtc), (86400 + 50) * S);
	set(5, 0x05); /* tomorrow morning */
	assert_int_equal(rtc_next_event_ns(&rtc),
			 (1 * 3600 + 46 * 60 + 40 + 5 * 3600 + 14 * 60 + 10) *
			     S);
}

static void alarm_wildcards_repeat(void **state)
{
	(void)state;
	set(1, 0x30);
	set(3, 0xff);
	set(5, 0xc0);
	set(0x0b, 0x22);
	assert_int_equal(rtc_next_event_ns(&rtc), 10 * S);
	now = 10 * S;
	rtc_tick(&rtc, now);
	get(0x0c);
	assert_int_equal(rtc_next_event_ns(&rtc), 70 * S);
	set(1, 0xff);
	assert_int_equal(rtc_next_event_ns(&rtc), 11 * S);
}

static void impossible_alarm_never_comes(void **state)
{
	(void)state;
	set(0x0b, 0x22);
	set(1, 0x75);
	set(3, 0xff);
	set(5, 0xff);
	assert_int_equal(rtc_next_event_ns(&rtc), CLOCK_NEVER);
	set(1, 0x30);
	set(5, 0x24);
	assert_int_equal(rtc_next_event_ns(&rtc), CLOCK_NEVER);
}

static void flags_are_set_without_being_enabled(void **state)
{
	(void)state;
	now = 3 * S;
	assert_int_equal(get(0x0c) & 0xf0, 0x50);
	assert_int_equal(get(0x0c), 0);
}

static void memory_sizes_stand_where_firmware_puts_them(void **state)
{
	(void)state;
	assert_int_equal(get(0x15) | get(0x16) << 8, 640);
	assert_int_equal(get(0x34) | get(0x35) << 8, 496 * 16);
	assert_int_equal(get(0x30) | get(0x31) << 8, 0xffff);
	assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16,
			 3 * 16384);
	set(0x40, 0x77); /* battery-backed memory */
	assert_int_equal(get(0x40), 0x77);
	assert_int_equal(get(0xc0), 0x77); /* bit 7 is the NMI mask */
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(time_reads_in_bcd_and_24_hours),
	    TEST(dates_agree_with_the_c_library),
	    TEST(twelve_hour_and_binary_formats_read_right),
	    TEST(guest_sets_the_time),
	    TEST(nonsense_time_is_some_time),
	    TEST(update_in_progress_announces_the_second),
	    TEST(periodic_interrupt_comes_at_its_rate),
	    TEST(update_interrupt_comes_every_second),
	    TEST(alarm_comes_at_its_time),
	    TEST(alarm_wildcards_repeat),
	    TEST(impossible_alarm_never_comes),
	    TEST(flags_are_set_without_being_enabled),
	    TEST(memory_sizes_stand_where_firmware_puts_them),
	};

	return cmocka_run_group_tests_name("rtc", tests, NULL, NULL);
}
