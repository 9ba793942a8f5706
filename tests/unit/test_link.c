/* SPDX-License-Identifier: MIT */
/* Links: the contract of migrate/link.h, in memory and with faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/link_fault.h"
#include "migrate/link_memory.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

#define RING_BYTES 4096U

static u8 rings[2 * RING_BYTES];
static struct link_memory ends[2];
static struct link_fault shim;

static void join(void)
{
	link_memory_join(&ends[0], &ends[1], rings, RING_BYTES);
}

static void connect_both(void)
{
	for (u32 i = 0; i < 2; i++)
		link_connect(&ends[i].link);
	for (u32 i = 0; i < 2; i++)
		link_poll(&ends[i].link, 0);
}

static void nothing_moves_before_both_connect(void **state)
{
	u8 bytes[4] = {1, 2, 3, 4};

	(void)state;
	join();
	assert_int_equal(ends[0].link.state, LINK_LOST);
	link_connect(&ends[0].link);
	link_poll(&ends[0].link, 0);
	assert_int_equal(ends[0].link.state, LINK_CONNECTING);
	assert_int_equal(link_send(&ends[0].link, bytes, 4), 0);
	connect_both();
	assert_int_equal(ends[0].link.state, LINK_UP);
	assert_int_equal(link_send(&ends[0].link, bytes, 4), 4);
	assert_int_equal(link_receive(&ends[1].link, bytes, 4), 4);
}

/* Any portions, until the ring has gone round many times. */
static void stream_round(u64 seed)
{
	struct random random = random_from(seed);
	u32 put = 0, got = 0;

	join();
	connect_both();
	while (got < 200000) {
		u8 bytes[RING_BYTES + 100];
		u32 count = (u32)random_below(&random, sizeof(bytes));

		for (u32 i = 0; i < count; i++)
			bytes[i] = (u8)((put + i) * 7 / 3);
		put += link_send(&ends[0].link, bytes, count);
		assert_true(put - got <= RING_BYTES);
		count = link_receive(&ends[1].link, bytes,
				     (u32)random_below(&random, sizeof(bytes)));
		for (u32 i = 0; i < count; i++, got++)
			assert_int_equal(bytes[i], (u8)(got * 7 / 3));
		assert_int_equal(link_is_drained(&ends[0].link), put == got);
	}
	assert_int_equal(ends[0].link.sent_bytes, put);
	assert_int_equal(ends[1].link.received_bytes, got);
}

static void stream_arrives_whole_and_in_order(void **state)
{
	(void)state;
	for_seeds(10, stream_round);
}

static void what_came_before_the_loss_is_received(void **state)
{
	u8 bytes[4] = {1, 2, 3, 4};

	(void)state;
	join();
	connect_both();
	assert_int_equal(link_send(&ends[0].link, bytes, 4), 4);
	link_close(&ends[0].link);
	link_poll(&ends[1].link, 0);
	assert_int_equal(ends[1].link.state, LINK_LOST);
	assert_non_null(strstr(ends[1].link.why, "the peer has closed"));
	assert_int_equal(link_send(&ends[1].link, bytes, 4), 0);
	assert_int_equal(link_receive(&ends[1].link, bytes, 4), 4);
}

static void new_stream_has_nothing_of_the_old_one(void **state)
{
	u8 bytes[4] = {1, 2, 3, 4};

	(void)state;
	join();
	connect_both();
	assert_int_equal(link_send(&ends[0].link, bytes, 4), 4);
	link_close(&ends[0].link);
	link_close(&ends[1].link);
	connect_both();
	assert_int_equal(ends[1].link.state, LINK_UP);
	assert_int_equal(link_receive(&ends[1].link, bytes, 4), 0);
}

/* --- Faults --------------------------------------------------------------- */

static u8 record_room[WIRE_RECORD_BYTES];
static struct wire_outbox outbox;
static u8 arrived[64 * 1024];
static u32 arrived_bytes;

static void begin_shim(enum link_harm harm, u32 record)
{
	struct link_fault_plan plan = {
	    .harm = harm, .record = record, .seed = 5, .delay_ns = 1000};

	join();
	link_fault_wrap(&shim, &ends[0].link, &plan);
	link_connect(&shim.link);
	link_connect(&ends[1].link);
	link_poll(&shim.link, 0);
	link_poll(&shim.link, 0);
	link_poll(&ends[1].link, 0);
	outbox = (struct wire_outbox){.room = record_room};
	arrived_bytes = 0;
	assert_int_equal(shim.link.state, LINK_UP);
}

static void collect(void)
{
	arrived_bytes += link_receive(&ends[1].link, arrived + arrived_bytes,
				      (u32)sizeof(arrived) - arrived_bytes);
}

/* `count` records with the numbers 0, 1, ... in portions of 5 bytes. */
static void send_records(u32 count)
{
	for (u32 i = 0; i < count; i++) {
		u32 tries = 0;

		wire_send_u64(&outbox, WIRE_PREPARE, i);
		while (!wire_outbox_is_empty(&outbox) && tries++ < 100) {
			u32 left = outbox.filled - outbox.sent;

			outbox.sent +=
			    link_send(&shim.link, outbox.room + outbox.sent,
				      left < 5 ? left : 5);
			link_poll(&shim.link, 0);
			collect();
		}
		outbox.sent = outbox.filled;
	}
}

#define RECORD_BYTES 24U

static void assert_arrived(const char *numbers)
{
	u32 count = (u32)strlen(numbers);

	collect();
	assert_int_equal(arrived_bytes, count * RECORD_BYTES);
	for (u32 i = 0; i < count; i++)
		assert_int_equal(arrived[i * RECORD_BYTES + 16],
				 numbers[i] - '0');
}

static void harm_of_whole_records(void **state)
{
	static const struct {
		enum link_harm harm;
		const char *numbers;
	} cases[] = {
	    {LINK_HARM_NONE, "01234"},       {LINK_HARM_DROP, "0134"},
	    {LINK_HARM_DUPLICATE, "012234"}, {LINK_HARM_SWAP, "01324"},
	    {LINK_HARM_CUT_BEFORE, "01"},    {LINK_HARM_CUT_AFTER, "012"},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		begin_shim(cases[i].harm, 2);
		send_records(5);
		assert_arrived(cases[i].numbers);
		assert_int_equal(shim.harmed, cases[i].harm != LINK_HARM_NONE);
	}
}

static void cut_is_noticed_by_both(void **state)
{
	(void)state;
	begin_shim(LINK_HARM_CUT_INSIDE, 1);
	send_records(3);
	assert_int_equal(arrived_bytes, RECORD_BYTES + RECORD_BYTES / 2);
	link_poll(&shim.link, 0);
	link_poll(&ends[1].link, 0);
	assert_int_equal(shim.link.state, LINK_LOST);
	assert_int_equal(ends[1].link.state, LINK_LOST);
}

/* Wherever in the stream that is, and in no later stream. */
static void harm_to_a_type_is_done_to_its_first_record(void **state)
{
	const struct link_fault_plan plan = {.harm = LINK_HARM_CUT_BEFORE,
					     .type = WIRE_COMMIT};

	(void)state;
	begin_shim(LINK_HARM_NONE, 0);
	link_close(&ends[0].link);
	link_fault_wrap(&shim, &ends[0].link, &plan);
	for (u32 i = 0; i < 2; i++) {
		link_connect(&shim.link);
		link_connect(&ends[1].link);
		link_poll(&shim.link, 0);
		link_poll(&shim.link, 0);
		link_poll(&ends[1].link, 0);
		arrived_bytes = 0;
		send_records(5);
		assert_arrived("01234");
		assert_int_equal(shim.link.state, LINK_UP);
		wire_send_u64(&outbox, WIRE_COMMIT, 5);
		assert_int_equal(
		    link_send(&shim.link, outbox.room, outbox.filled),
		    outbox.filled);
		outbox.sent = outbox.filled;
		link_poll(&shim.link, 0);
		link_poll(&shim.link, 0);
		assert_int_equal(shim.harmed, true);
		assert_int_equal(shim.link.state, i ? LINK_UP : LINK_LOST);
		collect();
		assert_int_equal(arrived_bytes, (i ? 6 : 5) * RECORD_BYTES);
	}
}

static void corruption_is_one_bit(void **state)
{
	struct wire_outbox clean = {.room = (u8[WIRE_RECORD_BYTES]){0}};
	u32 bits = 0;

	(void)state;
	begin_shim(LINK_HARM_CORRUPT, 0);
	send_records(1);
	wire_send_u64(&clean, WIRE_PREPARE, 0);
	assert_int_equal(arrived_bytes, RECORD_BYTES);
	for (u32 i = 0; i < RECORD_BYTES; i++)
		bits += (u32)__builtin_popcount(arrived[i] ^ clean.room[i]);
	assert_int_equal(bits, 1);
}

static void delay_ends(void **state)
{
	(void)state;
	begin_shim(LINK_HARM_DELAY, 1);
	send_records(2);
	assert_arrived("0");
	link_poll(&shim.link, 999);
	assert_arrived("0");
	assert_false(link_is_drained(&shim.link));
	link_poll(&shim.link, 1000);
	assert_arrived("01");
}

/* A header that lies about its length is passed on, not believed. */
static void foreign_bytes_are_passed_on(void **state)
{
	u8 bytes[64];
	u32 sent = 0;

	(void)state;
	begin_shim(LINK_HARM_NONE, 0);
	memset(bytes, 0xff, sizeof(bytes));
	for (u32 i = 0; i < 5000; i++) {
		sent += link_send(&shim.link, bytes, sizeof(bytes));
		link_poll(&shim.link, 0);
		while (link_receive(&ends[1].link, arrived, sizeof(arrived)))
			link_poll(&shim.link, 0);
	}
	assert_int_equal(sent, 5000 * sizeof(bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_moves_before_both_connect),
	    cmocka_unit_test(stream_arrives_whole_and_in_order),
	    cmocka_unit_test(what_came_before_the_loss_is_received),
	    cmocka_unit_test(new_stream_has_nothing_of_the_old_one),
	    cmocka_unit_test(harm_of_whole_records),
	    cmocka_unit_test(cut_is_noticed_by_both),
	    cmocka_unit_test(harm_to_a_type_is_done_to_its_first_record),
	    cmocka_unit_test(corruption_is_one_bit),
	    cmocka_unit_test(delay_ends),
	    cmocka_unit_test(foreign_bytes_are_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
