/* SPDX-License-Identifier: MIT */
/*
 * The driver of Umbra's own UART against the UART that guests get: every byte
 * arrives, in order, though nobody looks but when an interrupt comes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/host_seams.h"
#include "tests/unit/uart_wire.h"

#define BYTES 30000U

static struct serial serials[2];
static struct random dice;

/* Byte `at` of what an end sends. */
static u8 byte_of(u32 end, u32 at)
{
	return (u8)((at + 7 * end) * 0x9e3779b1U >> 13);
}

static void set_up(bool has_interrupts)
{
	memset(serials, 0, sizeof(serials));
	for (u32 i = 0; i < 2; i++) {
		assert_int_equal(
		    serial_init(&serials[i], (u16)(WIRE_PORT + 8 * i)), OK);
		wire_ends[i].serial = &serials[i];
		if (has_interrupts)
			serial_use_interrupts(&serials[i]);
	}
}

/* --- Traffic -------------------------------------------------------------- */

static u32 sent[2], got[2]; /* of each end */

static void write_some(u32 end)
{
	u32 count = (u32)random_below(&dice, 300), left = BYTES - sent[end];
	u8 bytes[300];

	count = count < left ? count : left;
	for (u32 i = 0; i < count; i++)
		bytes[i] = byte_of(end, sent[end] + i);
	sent[end] += (u32)serial_write_some(&serials[end], bytes, count);
}

static void expect(u32 end, const u8 *bytes, u32 count)
{
	for (u32 i = 0; i < count; i++)
		assert_int_equal(bytes[i], byte_of(!end, got[end]++));
}

/* Either way of taking them. */
static void read_some(u32 end)
{
	u32 most = 1 + (u32)random_below(&dice, 400);
	const u8 *at;
	u8 bytes[400];

	if (random_below(&dice, 2)) {
		expect(end, bytes,
		       (u32)serial_read(&serials[end], bytes, most));
		return;
	}
	u32 here = serial_peek(&serials[end], &at);

	here = here < most ? here : most;
	expect(end, at, here);
	serial_drop(&serials[end], here);
}

/* An interrupt is late by a few bytes, as the FIFO allows. */
static void move(u32 end)
{
	for (u64 left = random_below(&dice, 9); left; left--)
		wire_step(&wire_ends[end]);
	wire_interrupt();
}

static void run(u32 rounds)
{
	for (u32 i = 0; i < rounds; i++) {
		u32 end = (u32)random_below(&dice, 2);

		switch (random_below(&dice, 8)) {
		case 0:
			write_some(end);
			break;
		case 1:
			read_some(end);
			break;
		default:
			move(end);
			break;
		}
		wire_interrupt();
	}
}

static void all_arrives(void)
{
	memset(sent, 0, sizeof(sent));
	memset(got, 0, sizeof(got));
	for (u32 i = 0; i < 1000 && (got[0] < BYTES || got[1] < BYTES); i++)
		run(1000);
	for (u32 end = 0; end < 2; end++) {
		assert_int_equal(sent[end], BYTES);
		assert_int_equal(got[end], BYTES);
		assert_int_equal(wire_ends[end].lost, 0);
		assert_int_equal(serials[end].input_lost, 0);
	}
}

/* --- Tests ---------------------------------------------------------------- */

static void by_interrupts(u64 seed)
{
	dice = random_from(seed);
	wire_reset();
	set_up(true);
	wire_dice = &dice;
	all_arrives();
}

static void interrupts_alone_carry_all(void **state)
{
	(void)state;
	for_seeds(20, by_interrupts);
}

/* What was written last, with nothing behind it, leaves by interrupts. */
static void what_waits_leaves_by_itself(void **state)
{
	static u8 bytes[1000];

	(void)state;
	wire_reset();
	set_up(true);
	serial_write(&serials[0], bytes, sizeof(bytes));
	for (u32 i = 0; i < 2000; i++) {
		wire_step(&wire_ends[0]);
		wire_interrupt();
	}
	assert_int_equal(serial_room(&serials[0]), SERIAL_RING_BYTES);
	assert_int_equal(serial_read(&serials[1], bytes, sizeof(bytes)), 1000);
}

/* As of a guest's UART: nobody sees the line fall when THR is written. */
static void bytes_that_leave_at_once_stop_nothing(void **state)
{
	static u8 bytes[6000];

	(void)state;
	wire_reset();
	set_up(true);
	wire_is_instant = true;
	for (u32 i = 0; i < sizeof(bytes); i++)
		bytes[i] = byte_of(0, i);
	serial_write(&serials[0], bytes, sizeof(bytes));
	for (u32 i = 0; i < 1000; i++)
		wire_interrupt();
	assert_int_equal(wire_left_count, sizeof(bytes));
	assert_memory_equal(wire_left, bytes, sizeof(bytes));
}

/* Nine at a time, so that each place in a batch meets the ring's end. */
static void batches_go_round_the_rings_end(void **state)
{
	u8 bytes[9], here[9];
	u32 next = 0;

	(void)state;
	wire_reset();
	set_up(true);
	for (u32 i = 0; i < 20 * SERIAL_RING_BYTES / 9; i++) {
		for (u32 k = 0; k < 9; k++)
			bytes[k] = byte_of(0, next++);
		assert_int_equal(uart_receive(&wire_ends[1].uart, bytes, 9), 9);
		wire_watch(&wire_ends[1]);
		wire_interrupt();
		assert_int_equal(serial_read(&serials[1], here, 9), 9);
		assert_memory_equal(here, bytes, 9);
	}
}

static void without_fifos(u64 seed)
{
	dice = random_from(seed);
	wire_reset();
	wire_has_fifos = false;
	set_up(true);
	memset(sent, 0, sizeof(sent));
	memset(got, 0, sizeof(got));
	/* One byte of room leaves no time at all. */
	for (u32 i = 0; i < 200000; i++) {
		u32 end = (u32)random_below(&dice, 2);

		write_some(end);
		read_some(!end);
		wire_step(&wire_ends[end]);
		wire_interrupt();
	}
	assert_int_equal(got[0], BYTES);
	assert_int_equal(got[1], BYTES);
	assert_int_equal(wire_ends[0].lost + wire_ends[1].lost, 0);
}

static void uart_without_fifos_loses_nothing(void **state)
{
	(void)state;
	for_seeds(2, without_fifos);
}

/* Nobody reads until the sender has long been stopped. */
static void reader_that_sleeps_holds_the_sender_up(void **state)
{
	(void)state;
	dice = random_from(1);
	wire_reset();
	wire_has_handshake = true;
	set_up(true);
	for (u32 i = 0; i < 2; i++)
		serial_use_handshake(&serials[i]);
	memset(sent, 0, sizeof(sent));
	memset(got, 0, sizeof(got));
	for (u32 i = 0; i < 60000; i++) {
		write_some(0);
		wire_step(&wire_ends[0]);
		wire_interrupt();
	}
	assert_true(sent[0] < BYTES);
	for (u32 i = 0; i < 200000 && got[1] < BYTES; i++) {
		write_some(0);
		wire_step(&wire_ends[0]);
		wire_interrupt();
		read_some(1);
		if (i % 100 == 0) /* nothing else tells that CTS is high */
			serial_poll(&serials[0]);
	}
	assert_int_equal(got[1], BYTES);
	assert_int_equal(wire_ends[1].lost, 0);
	assert_int_equal(serials[1].input_lost, 0);
}

/* A cause that nobody serves would keep out the edge of what comes in. */
static void who_is_held_up_still_hears(void **state)
{
	static u8 bytes[100];

	(void)state;
	wire_reset();
	wire_has_handshake = true;
	set_up(true);
	serial_use_handshake(&serials[0]);
	serial_poll(&serials[0]);
	assert_true(serials[0].handshake);
	serial_write(&serials[0], bytes, 1); /* sees CTS */
	wire_step(&wire_ends[0]);
	wire_interrupt();
	wire_ends[1].rts = false;
	serial_write(&serials[0], bytes, sizeof(bytes));
	wire_interrupt();
	serial_write(&serials[1], bytes, 1);
	wire_step(&wire_ends[1]);
	wire_interrupt();
	assert_true(serial_has_input(&serials[0]));
	assert_int_equal(serial_room(&serials[0]),
			 SERIAL_RING_BYTES - sizeof(bytes));
}

/* Before there are interrupts, and in a panic. */
static void writing_without_interrupts_waits_for_the_line(void **state)
{
	static u8 bytes[20000], end;

	(void)state;
	wire_reset();
	set_up(false);
	wire_ends[1].serial = NULL;
	wire_runs = true;
	serial_write(&serials[0], bytes, sizeof(bytes));
	assert_int_equal(serial_room(&serials[0]), SERIAL_RING_BYTES);
	serial_flush(&serials[0]);
	assert_int_equal(uart_output(&wire_ends[0].uart, bytes), 0);
	/* Whoever had the lock never comes back. */
	serials[0].lock.next++;
	serial_break_lock(&serials[0]);
	serial_write(&serials[0], &end, 1);
	serial_flush(&serials[0]);
}

static void port_without_a_uart_is_found_out(void **state)
{
	struct serial serial = {.port = 0};
	u8 byte = 1;

	(void)state;
	wire_reset();
	assert_int_equal(serial_init(&serial, 0x3f8), ERR_NOT_FOUND);
	serial_use_interrupts(&serial);
	serial_poll(&serial);
	serial_write(&serial, &byte, 1);
	assert_int_equal(serial_write_some(&serial, &byte, 1), 0);
	assert_int_equal(serial_read(&serial, &byte, 1), 0);
	serial_flush(&serial);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(interrupts_alone_carry_all),
	    cmocka_unit_test(what_waits_leaves_by_itself),
	    cmocka_unit_test(bytes_that_leave_at_once_stop_nothing),
	    cmocka_unit_test(batches_go_round_the_rings_end),
	    cmocka_unit_test(uart_without_fifos_loses_nothing),
	    cmocka_unit_test(reader_that_sleeps_holds_the_sender_up),
	    cmocka_unit_test(who_is_held_up_still_hears),
	    cmocka_unit_test(writing_without_interrupts_waits_for_the_line),
	    cmocka_unit_test(port_without_a_uart_is_found_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
