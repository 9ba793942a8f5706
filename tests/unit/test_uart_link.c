/* SPDX-License-Identifier: MIT */
/* Two ends of a link over UARTs: whatever the line does, every byte arrives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/uart_link.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/uart_wire.h"

#define MS      1000000UL
#define BYTE_NS 86800UL
#define BYTES   60000U

static struct uart_link links[2];
static struct random dice;
static u64 now_ns;

static struct link *link_of(u32 end)
{
	return &links[end].stream.link;
}

static void set_up(u64 seed)
{
	wire_reset();
	dice = random_from(seed);
	wire_dice = &dice;
	memset(links, 0, sizeof(links));
	for (u32 i = 0; i < 2; i++) {
		const struct uart_link_config config = {
		    .port = (u16)(WIRE_PORT + 8 * i),
		    .silence_ns = 60000 * MS,
		    .entropy = seed + i,
		};

		assert_int_equal(uart_link_init(&links[i], &config), OK);
		wire_ends[i].serial = &links[i].serial;
		serial_use_interrupts(&links[i].serial);
		link_connect(link_of(i));
	}
}

/* A byte's time: one each way, and the interrupts of it. */
static void pass_time(u32 bytes)
{
	for (u32 i = 0; i < bytes; i++) {
		now_ns += BYTE_NS;
		wire_step(&wire_ends[0]);
		wire_step(&wire_ends[1]);
		wire_interrupt();
	}
}

static void poll_end(u32 end)
{
	link_poll(link_of(end), now_ns);
	wire_interrupt();
}

static void until_up(void)
{
	while (link_of(0)->state != LINK_UP || link_of(1)->state != LINK_UP) {
		assert_true(now_ns < 3600000 * MS);
		pass_time(20);
		poll_end(0);
		poll_end(1);
	}
}

/* --- Traffic -------------------------------------------------------------- */

static u32 sent[2], got[2];

static u8 byte_of(u32 end, u32 at)
{
	return at % 5 < 2 ? 0 : (u8)((at + 7 * end) * 0x9e3779b1U >> 13);
}

static void send_some(u32 end)
{
	u32 count = 1 + (u32)random_below(&dice, 2000);
	u32 left = BYTES - sent[end];
	u8 bytes[2000];

	count = count < left ? count : left;
	for (u32 i = 0; i < count; i++)
		bytes[i] = byte_of(end, sent[end] + i);
	sent[end] += link_send(link_of(end), bytes, count);
}

static void take_some(u32 end)
{
	u8 bytes[3000];
	u32 count = link_receive(link_of(end), bytes,
				 1 + (u32)random_below(&dice, 3000));

	for (u32 i = 0; i < count; i++)
		assert_int_equal(bytes[i], byte_of(!end, got[end]++));
}

/* Who waits polls when there is news, or after a few milliseconds. */
static void wait_a_while(u32 end)
{
	for (u32 i = 0; i < 60 && !uart_link_has_news(&links[end]); i++)
		pass_time(1);
	poll_end(end);
}

static void all_crosses(u64 seed)
{
	u64 limit = now_ns + 7200000 * MS;

	memset(sent, 0, sizeof(sent));
	memset(got, 0, sizeof(got));
	until_up();
	while (got[0] < BYTES || got[1] < BYTES) {
		u32 end = (u32)random_below(&dice, 2);

		assert_true(now_ns < limit);
		send_some(end);
		wait_a_while(end);
		take_some(end);
		assert_int_equal(link_of(end)->state, LINK_UP);
	}
	(void)seed;
}

static void clean_line(u64 seed)
{
	set_up(seed);
	all_crosses(seed);
	for (u32 end = 0; end < 2; end++) {
		assert_int_equal(links[end].stream.counts.bad, 0);
		assert_int_equal(links[end].stream.counts.again, 0);
	}
}

static void noisy_line(u64 seed)
{
	set_up(seed);
	wire_noise = 3000;
	all_crosses(seed);
	assert_true(links[0].stream.counts.bad + links[1].stream.counts.bad >
		    0);
}

static void clean_line_carries_each_frame_once(void **state)
{
	(void)state;
	for_seeds(5, clean_line);
}

static void noise_costs_time_and_no_byte(void **state)
{
	(void)state;
	for_seeds(5, noisy_line);
}

/* A byte that the line made up stands behind the frame, and none follows. */
static void frame_with_noise_behind_it_is_taken(void **state)
{
	static const u8 noise = 0x55;
	u8 byte = 9;

	(void)state;
	set_up(1);
	until_up();
	pass_time(20000);
	poll_end(0);
	poll_end(1);
	pass_time(2000);
	assert_int_equal(link_send(link_of(0), &byte, 1), 1);
	poll_end(0);
	pass_time(100);
	assert_int_equal(uart_receive(&wire_ends[1].uart, &noise, 1), 1);
	wire_watch(&wire_ends[1]);
	wire_interrupt();
	poll_end(1);
	poll_end(1);
	byte = 0;
	assert_int_equal(link_receive(link_of(1), &byte, 1), 1);
	assert_int_equal(byte, 9);
}

/* A few bytes are none, the end of a frame is; and so is room that was sought. */
static void news_is_what_is_worth_a_poll(void **state)
{
	static const u8 few[] = {1, 2, 3}, zero;
	static u8 many[200];

	(void)state;
	set_up(1);
	until_up();
	pass_time(20000);
	poll_end(0);
	poll_end(0);
	assert_false(uart_link_has_news(&links[0]));
	uart_receive(&wire_ends[0].uart, few, sizeof(few));
	wire_watch(&wire_ends[0]);
	wire_interrupt();
	assert_false(uart_link_has_news(&links[0]));
	uart_receive(&wire_ends[0].uart, &zero, 1);
	wire_watch(&wire_ends[0]);
	wire_interrupt();
	assert_true(uart_link_has_news(&links[0]));
	poll_end(0);
	assert_false(uart_link_has_news(&links[0]));
	/* Until no frame has room in the ring. */
	while (serial_room(&links[0].serial) >= UART_FRAME_BYTES) {
		assert_true(link_send(link_of(0), many, sizeof(many)) > 0);
		poll_end(0);
	}
	link_send(link_of(0), many, sizeof(many));
	for (u32 i = 0; i < 20; i++)
		link_send(link_of(0), many, sizeof(many));
	poll_end(0);
	assert_false(uart_link_has_news(&links[0]));
	pass_time(UART_FRAME_BYTES + 16);
	assert_true(uart_link_has_news(&links[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(clean_line_carries_each_frame_once),
	    cmocka_unit_test(noise_costs_time_and_no_byte),
	    cmocka_unit_test(frame_with_noise_behind_it_is_taken),
	    cmocka_unit_test(news_is_what_is_worth_a_poll),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
