/* SPDX-License-Identifier: MIT */
/* devices/cable: what two ends see of each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/cable.h"
#include "tests/unit/support.h"

static struct cable cable;
static u32 calls[CABLE_ENDS];

static void count_call(void *context)
{
	++*(u32 *)context;
}

static int fresh(void **state)
{
	(void)state;
	cable_init(&cable);
	for (u32 end = 0; end < CABLE_ENDS; end++)
		cable_plug(&cable, end, count_call, &calls[end]);
	memset(calls, 0, sizeof(calls));
	return 0;
}

static void open_port(u32 end)
{
	cable_set_port(&cable, end, PLATFORM_PORT_OPEN);
}

static void close_port(u32 end)
{
	cable_set_port(&cable, end, PLATFORM_PORT_CLOSED);
}

static int joined(void **state)
{
	(void)fresh(state);
	open_port(0);
	open_port(1);
	memset(calls, 0, sizeof(calls));
	return 0;
}

static bool sees(u32 end)
{
	return cable_peer_port(&cable, end) == PLATFORM_PORT_OPEN;
}

static u64 write_text(u32 end, const char *text)
{
	return cable_write(&cable, end, (const u8 *)text, strlen(text));
}

static void assert_reads(u32 end, const char *text)
{
	u8 bytes[64];
	u64 count = cable_peek(&cable, end, bytes, sizeof(bytes));

	assert_int_equal(count, strlen(text));
	assert_memory_equal(bytes, text, count);
	cable_take(&cable, end, count);
}

static void it_is_up_while_both_ports_are_open(void **state)
{
	(void)state;
	assert_false(sees(0) || sees(1));
	open_port(0);
	assert_false(sees(0) || sees(1));
	assert_int_equal(calls[0] + calls[1], 0);
	open_port(1);
	assert_true(sees(0) && sees(1));
	assert_int_equal(calls[0], 1);
	assert_int_equal(calls[1], 1);
	open_port(1); /* again */
	assert_int_equal(calls[0], 1);
	close_port(0);
	assert_false(sees(0) || sees(1));
	assert_int_equal(calls[0], 1);
	assert_int_equal(calls[1], 2);
}

static void bytes_come_as_they_went(void **state)
{
	(void)state;
	assert_int_equal(write_text(0, "to one"), 6);
	assert_int_equal(write_text(1, "to nought"), 9);
	assert_reads(0, "to nought");
	assert_reads(1, "to one");
	assert_reads(1, "");
}

static void what_was_seen_stays_until_taken(void **state)
{
	u8 bytes[4];

	(void)state;
	assert_int_equal(write_text(0, "abcdef"), 6);
	assert_int_equal(cable_peek(&cable, 1, bytes, 4), 4);
	cable_take(&cable, 1, 2);
	assert_reads(1, "cdef");
}

/* Who finds nothing is called for the first byte, and only for that. */
static void reader_is_called_for_the_first_byte(void **state)
{
	(void)state;
	assert_int_equal(write_text(0, "a"), 1);
	assert_int_equal(calls[1], 1);
	assert_int_equal(write_text(0, "b"), 1);
	assert_int_equal(calls[1], 1);
	assert_reads(1, "ab");
	assert_int_equal(write_text(0, "c"), 1);
	assert_int_equal(calls[1], 2);
	assert_int_equal(calls[0], 0);
}

static void full_pipe_holds_the_writer_up(void **state)
{
	static u8 bytes[CABLE_BYTES + 1];

	(void)state;
	assert_int_equal(cable_write(&cable, 0, bytes, sizeof(bytes)),
			 CABLE_BYTES);
	assert_int_equal(cable_write(&cable, 0, bytes, 1), 0);
	assert_int_equal(write_text(1, "the other way"), 13);
	cable_take(&cable, 1, CABLE_BYTES / 2 - 1);
	assert_int_equal(calls[0], 1); /* for what end 1 wrote */
	cable_take(&cable, 1, 1);
	assert_int_equal(calls[0], 2); /* for the room */
	cable_take(&cable, 1, 1);
	assert_int_equal(calls[0], 2);
	assert_int_equal(cable_write(&cable, 0, bytes, sizeof(bytes)),
			 CABLE_BYTES / 2 + 1);
}

static void without_a_peer_bytes_are_lost(void **state)
{
	(void)state;
	open_port(0);
	assert_int_equal(write_text(0, "nobody hears"), 12);
	open_port(1);
	assert_reads(1, "");
}

static void last_bytes_come_before_the_end(void **state)
{
	(void)state;
	assert_int_equal(write_text(0, "last"), 4);
	close_port(0);
	assert_true(sees(1));
	assert_int_equal(write_text(1, "in vain"), 7);
	assert_reads(1, "last");
	assert_false(sees(1));
	assert_reads(0, "");
}

/* Who closes does not find, when it opens again, what was for it before. */
static void connections_do_not_meet(void **state)
{
	(void)state;
	assert_int_equal(write_text(0, "old"), 3);
	assert_int_equal(write_text(1, "old, too"), 8);
	close_port(0);
	open_port(0);
	assert_false(
	    sees(0)); /* not before end 1 has seen that it was closed */
	assert_int_equal(write_text(0, "too early"), 9);
	assert_reads(1, "old");
	memset(calls, 0, sizeof(calls));
	assert_false(sees(1));
	assert_int_equal(calls[0], 1);
	assert_int_equal(calls[1], 1);
	assert_true(sees(0) && sees(1));
	assert_reads(0, "");
	assert_reads(1, "");
	assert_int_equal(write_text(0, "new"), 3);
	assert_reads(1, "new");
}

static void closing_wakes_a_writer_that_waits(void **state)
{
	static u8 bytes[CABLE_BYTES + 1];

	(void)state;
	assert_int_equal(cable_write(&cable, 0, bytes, sizeof(bytes)),
			 CABLE_BYTES);
	close_port(1);
	assert_int_equal(calls[0], 1);
	assert_int_equal(cable_write(&cable, 0, bytes, 1), 1); /* lost */
	assert_false(sees(0));
}

static void who_is_unplugged_is_called_when_plugged_again(void **state)
{
	(void)state;
	cable_plug(&cable, 1, NULL, NULL);
	assert_int_equal(write_text(0, "missed"), 6);
	assert_int_equal(calls[1], 0);
	assert_true(sees(0) && sees(1)); /* its port is as it was */
	cable_plug(&cable, 1, count_call, &calls[1]);
	assert_int_equal(calls[1], 1);
	assert_reads(1, "missed");
}

/* Closed from outside between a look and the taking. */
static void more_is_taken_than_there_is(void **state)
{
	u8 bytes[8];

	(void)state;
	assert_int_equal(write_text(0, "abc"), 3);
	assert_int_equal(cable_peek(&cable, 1, bytes, 8), 3);
	close_port(1);
	cable_take(&cable, 1, 3);
	open_port(1);
	(void)sees(0);
	assert_true(sees(0) && sees(1));
	assert_int_equal(write_text(0, "def"), 3);
	assert_reads(1, "def");
}

/* --- Against a model that is as simple as can be -------------------------- */

#define MODEL_BYTES (2U << 20) /* more than 200 writes */

struct model_end {
	u8 *bytes; /* all that was ever put for this end */
	u64 put, taken;
	bool is_open, sees;
};

static u8 model_bytes[CABLE_ENDS][MODEL_BYTES];

static void model_connect(struct model_end *ends, bool *is_up)
{
	if (*is_up || !ends[0].is_open || !ends[1].is_open || ends[0].sees ||
	    ends[1].sees)
		return;
	*is_up = ends[0].sees = ends[1].sees = true;
}

static void model_port(struct model_end *ends, bool *is_up, u32 end, bool open)
{
	if (ends[end].is_open == open)
		return;
	ends[end].is_open = open;
	if (!open) {
		ends[end].taken = ends[end].put;
		ends[end].sees = *is_up = false;
	}
	model_connect(ends, is_up);
}

static void check_read(struct model_end *end, u32 number, struct random *random)
{
	u8 bytes[3000];
	u64 room = random_below(random, sizeof(bytes));
	u64 count = cable_peek(&cable, number, bytes, room);
	u64 there = end->put - end->taken;

	assert_int_equal(count, there < room ? there : room);
	assert_memory_equal(bytes, end->bytes + end->taken, count);
	count = random_below(random, count + 1);
	cable_take(&cable, number, count);
	end->taken += count;
}

static void check_write(struct model_end *peer, u32 number, bool is_up,
			struct random *random)
{
	u8 bytes[9000] = {0};
	u64 count = random_below(random, sizeof(bytes));
	u64 room = CABLE_BYTES - (peer->put - peer->taken);
	u64 expected = !is_up || count < room ? count : room;

	for (u64 i = 0; i < count; i++)
		bytes[i] = (u8)random_next(random);
	assert_int_equal(cable_write(&cable, number, bytes, count), expected);
	if (!is_up)
		return;
	memcpy(peer->bytes + peer->put, bytes, expected);
	peer->put += expected;
}

static void check_peer(struct model_end *ends, u32 end, bool *is_up)
{
	if (!*is_up && ends[end].put == ends[end].taken)
		ends[end].sees = false;
	assert_int_equal(sees(end), ends[end].sees);
	model_connect(ends, is_up);
}

static void use_at_random(u64 seed)
{
	struct random random = random_from(seed);
	struct model_end ends[CABLE_ENDS] = {{.bytes = model_bytes[0]},
					     {.bytes = model_bytes[1]}};
	bool is_up = false;

	(void)fresh(NULL);
	for (u32 step = 0; step < 200; step++) {
		u32 end = (u32)random_below(&random, 2);
		u64 what = random_below(&random, 10);
		bool open = random_below(&random, 3) > 0;

		if (what == 0) {
			cable_set_port(&cable, end,
				       open ? PLATFORM_PORT_OPEN
					    : PLATFORM_PORT_CLOSED);
			model_port(ends, &is_up, end, open);
		} else if (what < 4) {
			check_write(&ends[!end], end, is_up, &random);
		} else if (what < 8) {
			check_read(&ends[end], end, &random);
		} else {
			check_peer(ends, end, &is_up);
		}
	}
}

static void random_use_agrees_with_the_model(void **state)
{
	(void)state;
	for_seeds(500, use_at_random);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(it_is_up_while_both_ports_are_open, fresh),
	    cmocka_unit_test_setup(bytes_come_as_they_went, joined),
	    cmocka_unit_test_setup(what_was_seen_stays_until_taken, joined),
	    cmocka_unit_test_setup(reader_is_called_for_the_first_byte, joined),
	    cmocka_unit_test_setup(full_pipe_holds_the_writer_up, joined),
	    cmocka_unit_test_setup(without_a_peer_bytes_are_lost, fresh),
	    cmocka_unit_test_setup(last_bytes_come_before_the_end, joined),
	    cmocka_unit_test_setup(connections_do_not_meet, joined),
	    cmocka_unit_test_setup(closing_wakes_a_writer_that_waits, joined),
	    cmocka_unit_test_setup(
		who_is_unplugged_is_called_when_plugged_again, joined),
	    cmocka_unit_test_setup(more_is_taken_than_there_is, joined),
	    cmocka_unit_test(random_use_agrees_with_the_model),
	};

	return cmocka_run_group_tests_name("cable", tests, NULL, NULL);
}
