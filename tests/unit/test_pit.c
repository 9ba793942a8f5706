/* SPDX-License-Identifier: MIT */
/* The 8254 and port 61H against the data sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/clock.h"
#include "devices/pit.h"

#define CONTROL 3

static struct pit_state pit;

/* The first moment at which this many ticks have passed. */
static u64 at(u64 tick)
{
	return clock_ns(tick, PIT_HZ);
}

static int fresh(void **state)
{
	(void)state;
	pit_reset(&pit);
	return 0;
}

static void set_count(u32 channel, u32 count, u64 tick)
{
	pit_write(&pit, channel, (u8)count, at(tick));
	pit_write(&pit, channel, (u8)(count >> 8), at(tick));
}

/* Control word for low and high byte, binary. */
static void program(u32 channel, u32 mode, u32 count, u64 tick)
{
	pit_write(&pit, CONTROL, (u8)(channel << 6 | 0x30 | mode << 1),
		  at(tick));
	set_count(channel, count, tick);
}

static u32 read_count(u32 channel, u64 tick)
{
	u32 low;

	pit_write(&pit, CONTROL, (u8)(channel << 6), at(tick));
	low = pit_read(&pit, channel, at(tick));
	return low | (u32)pit_read(&pit, channel, at(tick)) << 8;
}

static void gate_2(u8 gate, u64 tick)
{
	pit_write_port61(&pit, gate, at(tick));
}

static void firmware_state_ticks_at_18_hz(void **state)
{
	(void)state;
	assert_int_equal(pit_next_edge_ns(&pit), at(65536));
	assert_false(pit_take_edge(&pit, at(65536) - 1));
	assert_true(pit_take_edge(&pit, at(65536)));
	assert_false(pit_take_edge(&pit, at(65537)));
	assert_int_equal(pit_next_edge_ns(&pit), at(2 * 65536));
}

static void mode_0_raises_its_output_once(void **state)
{
	(void)state;
	program(0, 0, 100, 1000);
	assert_false(pit_output(&pit, 0, at(1099)));
	assert_true(pit_output(&pit, 0, at(1100)));
	assert_int_equal(read_count(0, 1040), 60);
	assert_int_equal(read_count(0, 1101), 0xffff); /* counts on */
	assert_int_equal(pit_next_edge_ns(&pit), at(1100));
	assert_true(pit_take_edge(&pit, at(2000)));
	assert_int_equal(pit_next_edge_ns(&pit), CLOCK_NEVER);
	set_count(0, 50, 3000); /* a new count starts it again */
	assert_int_equal(pit_next_edge_ns(&pit), at(3050));
}

static void mode_2_divides(void **state)
{
	(void)state;
	program(0, 2, 10, 0);
	assert_true(pit_output(&pit, 0, at(8)));
	assert_false(pit_output(&pit, 0, at(9)));
	assert_true(pit_output(&pit, 0, at(10)));
	assert_int_equal(read_count(0, 0), 10);
	assert_int_equal(read_count(0, 9), 1);
	assert_int_equal(read_count(0, 13), 7);
	assert_int_equal(pit_next_edge_ns(&pit), at(10));
	assert_true(pit_take_edge(&pit, at(35))); /* three at once are one */
	assert_int_equal(pit_next_edge_ns(&pit), at(40));
}

static void mode_3_is_a_square_wave(void **state)
{
	(void)state;
	program(0, 3, 10, 0);
	assert_true(pit_output(&pit, 0, at(4)));
	assert_false(pit_output(&pit, 0, at(5)));
	assert_false(pit_output(&pit, 0, at(9)));
	assert_true(pit_output(&pit, 0, at(10)));
	assert_int_equal(read_count(0, 1), 8); /* counts by two */
	assert_int_equal(read_count(0, 6), 8);
	program(0, 7, 9, 100); /* 7 is 3; odd: high for one tick more */
	assert_true(pit_output(&pit, 0, at(104)));
	assert_false(pit_output(&pit, 0, at(105)));
}

static void mode_4_strobes(void **state)
{
	(void)state;
	program(0, 4, 10, 0);
	assert_true(pit_output(&pit, 0, at(9)));
	assert_false(pit_output(&pit, 0, at(10)));
	assert_true(pit_output(&pit, 0, at(11)));
	assert_int_equal(pit_next_edge_ns(&pit), at(11));
	assert_true(pit_take_edge(&pit, at(11)));
	assert_int_equal(pit_next_edge_ns(&pit), CLOCK_NEVER);
}

static void mode_1_waits_for_its_gate(void **state)
{
	(void)state;
	program(2, 1, 10, 0);
	assert_true(pit_output(&pit, 2, at(50)));
	gate_2(1, 100);
	assert_false(pit_output(&pit, 2, at(100)));
	assert_false(pit_output(&pit, 2, at(109)));
	assert_true(pit_output(&pit, 2, at(110)));
	gate_2(0, 120);
	gate_2(1, 130); /* retriggers */
	assert_false(pit_output(&pit, 2, at(130)));
	assert_int_equal(read_count(2, 133), 7);
}

static void mode_5_strobes_after_its_gate(void **state)
{
	(void)state;
	program(2, 5, 10, 0);
	gate_2(1, 100);
	assert_true(pit_output(&pit, 2, at(109)));
	assert_false(pit_output(&pit, 2, at(110)));
	assert_true(pit_output(&pit, 2, at(111)));
	program(0, 5, 10, 0); /* channel 0 is never triggered */
	assert_int_equal(pit_next_edge_ns(&pit), CLOCK_NEVER);
}

static void low_gate_holds_mode_0(void **state)
{
	(void)state;
	gate_2(1, 0);
	program(2, 0, 100, 0);
	gate_2(0, 40);
	assert_int_equal(read_count(2, 70), 60);
	gate_2(1, 1000);
	assert_int_equal(read_count(2, 1010), 50);
	assert_false(pit_output(&pit, 2, at(1059)));
	assert_true(pit_output(&pit, 2, at(1060)));
}

static void gate_restarts_mode_3(void **state)
{
	(void)state;
	gate_2(1, 0);
	program(2, 3, 100, 0);
	gate_2(0, 70);
	assert_true(pit_output(&pit, 2, at(80)));
	gate_2(1, 200);
	assert_true(pit_output(&pit, 2, at(249)));
	assert_false(pit_output(&pit, 2, at(250)));
}

/* Linux, pit_calibrate_tsc: channel 2, mode 0, and bit 5 of port 61H. */
static void linux_calibrates_with_channel_2(void **state)
{
	(void)state;
	pit_write_port61(&pit, (u8)((pit_read_port61(&pit, at(0)) & ~2) | 1),
			 at(0));
	program(2, 0, 59659, 10);
	assert_int_equal(pit_read_port61(&pit, at(10 + 59658)) & 0x23, 0x01);
	assert_int_equal(pit_read_port61(&pit, at(10 + 59659)) & 0x23, 0x21);
}

static void port_61_refresh_bit_moves(void **state)
{
	u32 changes = 0;
	u8 before = 0;

	(void)state;
	for (u64 ns = 0; ns < 152000; ns += 1000) {
		u8 bit = pit_read_port61(&pit, ns) & 0x10;

		changes += bit != before;
		before = bit;
	}
	assert_int_equal(changes, 10);
	pit_write_port61(&pit, 0xff, 0);
	assert_int_equal(pit_read_port61(&pit, 0) & 0x8f, 0x03);
}

static void access_modes_choose_the_bytes(void **state)
{
	(void)state;
	pit_write(&pit, CONTROL, 0x14, 0); /* low byte only, mode 2 */
	pit_write(&pit, 0, 200, 0);
	assert_int_equal(pit_read(&pit, 0, at(50)), 150);
	pit_write(&pit, CONTROL, 0x24, 0); /* high byte only */
	pit_write(&pit, 0, 2, 0);
	assert_int_equal(pit_read(&pit, 0, at(256)), 1);
	pit_write(&pit, CONTROL, 0x00, at(256));
	assert_int_equal(pit_read(&pit, 0, at(256)), 1);
	pit_write(&pit, CONTROL, 0x34, 0); /* both */
	set_count(0, 0x1234, 0);
	assert_int_equal(pit_read(&pit, 0, at(0)), 0x34);
	assert_int_equal(pit_read(&pit, 0, at(0)), 0x12);
	assert_int_equal(pit_read(&pit, 0, at(0)), 0x34);
}

static void latched_count_stands_still_until_read(void **state)
{
	(void)state;
	program(0, 2, 1000, 0);
	pit_write(&pit, CONTROL, 0x00, at(100));
	pit_write(&pit, CONTROL, 0x00, at(200)); /* ignored */
	assert_int_equal(pit_read(&pit, 0, at(300)), 900 & 0xff);
	assert_int_equal(pit_read(&pit, 0, at(300)), 900 >> 8);
	assert_int_equal(pit_read(&pit, 0, at(400)), 600 & 0xff);
}

static void read_back_latches_status_then_count(void **state)
{
	(void)state;
	program(0, 2, 1000, 0);
	program(1, 3, 10, 0);
	pit_write(&pit, CONTROL, 0xc6, at(100)); /* both of 0 and 1 */
	assert_int_equal(pit_read(&pit, 0, at(300)), 0xb4);
	assert_int_equal(pit_read(&pit, 0, at(300)), 900 & 0xff);
	assert_int_equal(pit_read(&pit, 0, at(300)), 900 >> 8);
	assert_int_equal(pit_read(&pit, 1, at(300)), 0xb6);
	pit_write(&pit, CONTROL, 0xe2, at(100)); /* status of 0 only */
	assert_int_equal(pit_read(&pit, 0, at(400)), 0xb4);
	assert_int_equal(pit_read(&pit, 0, at(400)), 600 & 0xff);
	pit_write(&pit, CONTROL, 0x30, 0);
	pit_write(&pit, CONTROL, 0xe2, 0); /* null count, output low */
	assert_int_equal(pit_read(&pit, 0, 0), 0x70);
	assert_int_equal(pit_read(&pit, CONTROL, 0), 0xff);
}

static void bcd_counts_in_tens(void **state)
{
	(void)state;
	pit_write(&pit, CONTROL, 0x35, 0);
	set_count(0, 0x1000, 0);
	assert_int_equal(read_count(0, 1), 0x0999);
	assert_int_equal(pit_next_edge_ns(&pit), at(1000));
	pit_write(&pit, CONTROL, 0x31, 0);
	set_count(0, 0, 0); /* 10000 */
	assert_int_equal(read_count(0, 1), 0x9999);
	assert_int_equal(pit_next_edge_ns(&pit), at(10000));
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(firmware_state_ticks_at_18_hz),
	    TEST(mode_0_raises_its_output_once),
	    TEST(mode_2_divides),
	    TEST(mode_3_is_a_square_wave),
	    TEST(mode_4_strobes),
	    TEST(mode_1_waits_for_its_gate),
	    TEST(mode_5_strobes_after_its_gate),
	    TEST(low_gate_holds_mode_0),
	    TEST(gate_restarts_mode_3),
	    TEST(linux_calibrates_with_channel_2),
	    TEST(port_61_refresh_bit_moves),
	    TEST(access_modes_choose_the_bytes),
	    TEST(latched_count_stands_still_until_read),
	    TEST(read_back_latches_status_then_count),
	    TEST(bcd_counts_in_tens),
	};

	return cmocka_run_group_tests_name("pit", tests, NULL, NULL);
}
