/* SPDX-License-Identifier: MIT */
/* The 16550A against its data sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/uart.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

static struct uart_state uart;

static int fresh(void **state)
{
	(void)state;
	uart_reset(&uart);
	return 0;
}

static u8 get(u32 index)
{
	return uart_read(&uart, index);
}

static void set(u32 index, u8 value)
{
	uart_write(&uart, index, value);
}

/* The host takes this many bytes of the output, which are then `text`. */
static void take_output(const char *text)
{
	u8 bytes[UART_FIFO_BYTES];
	u64 count = 0;

	while (text[count])
		count++;
	assert_true(uart_output(&uart, bytes) >= count);
	assert_memory_equal(bytes, text, count);
	uart_output_taken(&uart, count);
}

static u64 receive(const char *text, u64 count)
{
	return uart_receive(&uart, (const u8 *)text, count);
}

static void what_is_sent_waits_for_the_host(void **state)
{
	u8 bytes[UART_FIFO_BYTES];

	(void)state;
	set(DATA, 'x');
	assert_int_equal(get(LSR), 0x00);
	set(DATA, 'y'); /* no FIFO: the guest should have waited */
	take_output("x");
	assert_int_equal(get(LSR), 0x60);
	set(FCR, 1);
	set(IER, 2);
	get(IIR);
	for (u32 i = 0; i < 17; i++)
		set(DATA, (u8)('a' + i));
	take_output("abcde");
	assert_int_equal(get(LSR), 0x00);
	assert_int_equal(get(IIR), 0xc1);
	take_output("fghijklmnop");
	assert_int_equal(get(LSR), 0x60);
	assert_int_equal(get(IIR), 0xc2);
	assert_int_equal(uart_output(&uart, bytes), 0);
}

static void byte_passes_where_nothing_stands_before_it(void **state)
{
	struct uart_state before;

	(void)state;
	set(FCR, 1);
	set(IER, 2);
	get(IIR);
	assert_true(uart_pass(&uart));
	assert_int_equal(get(LSR), 0x60);
	assert_int_equal(get(IIR), 0xc2);
	get(IIR);
	before = uart;
	set(LCR, 0x83);
	assert_false(uart_pass(&uart)); /* it is for the divisor */
	set(LCR, 0x03);
	set(MCR, 0x10);
	assert_false(uart_pass(&uart)); /* it comes back */
	set(MCR, 0x00);
	get(MSR);
	assert_memory_equal(&uart, &before, sizeof(uart));
	set(DATA, 'x');
	assert_false(uart_pass(&uart)); /* it must wait its turn */
	take_output("x");
	assert_true(uart_pass(&uart));
}

static void divisor_hides_data_and_interrupt_enable(void **state)
{
	(void)state;
	set(LCR, 0x83);
	set(DATA, 1); /* the divisor now */
	set(IER, 2);
	assert_int_equal(get(DATA), 1);
	assert_int_equal(get(IER), 2);
	set(LCR, 0x03);
	assert_int_equal(get(IER), 0);
}

static void received_bytes_come_in_order_and_only_with_room(void **state)
{
	(void)state;
	assert_int_equal(receive("ab", 2), 1); /* no FIFO: one byte */
	assert_int_equal(get(LSR), 0x61);
	set(FCR, 1); /* turning FIFOs on empties them */
	assert_int_equal(get(LSR), 0x60);
	assert_int_equal(receive("0123456789abcdefXY", 18), 16);
	assert_int_equal(get(DATA), '0');
	assert_int_equal(get(DATA), '1');
	assert_int_equal(receive("XY", 2), 2);
	for (const char *at = "23456789abcdefXY"; *at; at++)
		assert_int_equal(get(DATA), *at);
	assert_int_equal(get(LSR), 0x60);
	assert_int_equal(get(DATA), 0);
}

static void interrupts_have_the_priorities_of_the_data_sheet(void **state)
{
	(void)state;
	set(FCR, 0x81); /* trigger level 8 */
	set(MCR, 0x08);
	assert_int_equal(get(IIR), 0xc1);
	set(IER, 0x0f);
	assert_true(uart_interrupt(&uart));
	assert_int_equal(receive("abcdefgh", 7), 7);
	assert_int_equal(get(IIR), 0xcc); /* time-out: below the level */
	assert_int_equal(receive("h", 1), 1);
	assert_int_equal(get(IIR), 0xc4);
	uart.line_errors = 2;
	assert_int_equal(get(IIR), 0xc6);
	assert_int_equal(get(LSR), 0x63);
	assert_int_equal(get(IIR), 0xc4);
	set(FCR, 0x83);
	assert_int_equal(get(IIR), 0xc2); /* transmitter; reading ends it */
	assert_int_equal(get(IIR), 0xc1);
	assert_false(uart_interrupt(&uart));
}

static void enabling_the_transmitter_interrupt_raises_it(void **state)
{
	(void)state;
	set(IER, 2);
	assert_int_equal(get(IIR), 2);
	assert_int_equal(get(IIR), 1);
	set(IER, 2); /* already on */
	assert_int_equal(get(IIR), 1);
	set(IER, 0);
	set(IER, 2);
	assert_int_equal(get(IIR), 2);
	set(DATA, 'x');
	assert_int_equal(get(IIR), 1);
	take_output("x");
	assert_int_equal(get(IIR), 2);
}

static void interrupt_that_is_back_at_once_has_been_away(void **state)
{
	(void)state;
	set(IER, 2);
	assert_true(uart_is_back(&uart, UART_THR_WRITTEN));
	set(LCR, 0x83);
	assert_false(uart_is_back(&uart, UART_THR_WRITTEN));
	set(LCR, 0x03);
	set(DATA, 'x');
	assert_false(uart_is_back(&uart, UART_THR_WRITTEN));
	take_output("x");
	assert_true(uart_is_back(&uart, UART_THR_WRITTEN));
	set(IER, 3);
	receive("y", 1);
	assert_false(uart_is_back(&uart, UART_THR_WRITTEN));
}

/* Data sheet, "FIFO Interrupt Mode Operation", the character time-out. */
static void time_out_waits_until_nobody_reads_on(void **state)
{
	const u64 four_characters = 347222;
	u64 now_ns = 1000;

	(void)state;
	set(FCR, 0x41); /* trigger level 4 */
	set(MCR, 0x08);
	set(IER, 1);
	receive("abcdef", 6);
	assert_int_equal(uart_next_event_ns(&uart), ~0ull);
	for (u32 left = 5; left >= 4; left--) {
		get(DATA);
		uart_was_read(&uart, now_ns);
		assert_int_equal(get(IIR), 0xc4); /* by the level, at once */
	}
	for (u32 left = 3; left >= 2; left--) {
		get(DATA);
		uart_was_read(&uart, now_ns);
		assert_int_equal(get(IIR), 0xc1);
		assert_int_equal(get(LSR), 0x61);
		assert_false(uart_interrupt(&uart));
	}
	assert_int_equal(uart_next_event_ns(&uart), now_ns + four_characters);
	uart_tick(&uart, now_ns + four_characters - 1);
	assert_false(uart_interrupt(&uart));
	set(LCR, 0x83); /* the divisor is no byte of the line's */
	get(DATA);
	uart_was_read(&uart, now_ns + four_characters);
	set(LCR, 0x03);
	uart_tick(&uart, now_ns + four_characters);
	assert_int_equal(get(IIR), 0xcc);
	get(DATA);
	uart_was_read(&uart, now_ns);
	receive("gh", 2); /* now there are enough */
	assert_int_equal(get(IIR), 0xc1);
	receive("i", 1);
	assert_int_equal(get(IIR), 0xc4);
}

static void empty_receiver_waits_for_nothing(void **state)
{
	(void)state;
	set(FCR, 0x41);
	set(IER, 1);
	receive("ab", 2);
	get(DATA);
	uart_was_read(&uart, 1000);
	get(DATA);
	uart_was_read(&uart, 1000);
	assert_int_equal(uart_next_event_ns(&uart), ~0ull);
	receive("ab", 2);
	assert_int_equal(get(IIR), 0xcc);
	get(DATA);
	uart_was_read(&uart, 1000);
	set(FCR, 0x43);
	receive("c", 1);
	assert_int_equal(get(IIR), 0xcc);
}

static void out2_gates_the_interrupt_line(void **state)
{
	(void)state;
	set(IER, 1);
	receive("x", 1);
	assert_int_equal(get(IIR), 4);
	assert_false(uart_interrupt(&uart));
	set(MCR, 0x08);
	assert_true(uart_interrupt(&uart));
	set(MCR, 0x18);
	assert_false(uart_interrupt(&uart));
}

static void loopback_returns_bytes_and_modem_lines(void **state)
{
	(void)state;
	assert_int_equal(get(MSR), 0xb0);
	set(MCR, 0x10);
	assert_int_equal(get(MSR), 0x0b); /* CTS, DSR and DCD went away */
	assert_int_equal(get(MSR), 0x00);
	set(MCR, 0x1a); /* RTS and OUT2 */
	assert_int_equal(get(MSR), 0x99);
	set(MCR, 0x14); /* OUT1: RI rises, which is no event */
	assert_int_equal(get(MSR), 0x49);
	set(MCR, 0x10); /* ... its trailing edge is */
	assert_int_equal(get(MSR), 0x04);
	set(DATA, 'q');
	assert_int_equal(receive("z", 1), 0);
	assert_int_equal(get(LSR), 0x61);
	set(DATA, 'r'); /* no FIFO: overrun */
	assert_int_equal(get(LSR), 0x63);
	assert_int_equal(get(LSR), 0x61);
	assert_int_equal(get(DATA), 'q');
}

static void modem_interrupt_ends_with_reading_msr(void **state)
{
	(void)state;
	set(IER, 8);
	set(MCR, 0x10);
	assert_int_equal(get(IIR), 0);
	get(MSR);
	assert_int_equal(get(IIR), 1);
}

static void linux_recognises_a_16550a(void **state)
{
	(void)state;
	set(IER, 0xff);
	assert_int_equal(get(IER), 0x0f); /* no UUE bit: not an XScale */
	set(IER, 0);
	set(FCR, 1);
	assert_int_equal(get(IIR) >> 6, 3);
	set(LCR, 0xbf);
	assert_int_not_equal(get(IIR), 0); /* no EFR */
	set(LCR, 0);
	set(FCR, 0x21);
	assert_int_equal(get(IIR) >> 5, 6); /* no 64-byte FIFO */
	set(SCR, 0xa5);
	assert_int_equal(get(SCR), 0xa5);
	set(LSR, 0); /* read-only */
	set(MSR, 0);
	assert_int_equal(get(LSR), 0x60);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_is_sent_waits_for_the_host),
	    TEST(byte_passes_where_nothing_stands_before_it),
	    TEST(divisor_hides_data_and_interrupt_enable),
	    TEST(received_bytes_come_in_order_and_only_with_room),
	    TEST(interrupts_have_the_priorities_of_the_data_sheet),
	    TEST(enabling_the_transmitter_interrupt_raises_it),
	    TEST(interrupt_that_is_back_at_once_has_been_away),
	    TEST(time_out_waits_until_nobody_reads_on),
	    TEST(empty_receiver_waits_for_nothing),
	    TEST(out2_gates_the_interrupt_line),
	    TEST(loopback_returns_bytes_and_modem_lines),
	    TEST(modem_interrupt_ends_with_reading_msr),
	    TEST(linux_recognises_a_16550a),
	};

	return cmocka_run_group_tests_name("uart", tests, NULL, NULL);
}
