/* SPDX-License-Identifier: MIT */
/* The I/O APIC against the 82093AA data sheet and its later EOI register. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/ioapic.h"

#define SELECT 0x00
#define WINDOW 0x10
#define EOIR   0x40

static struct ioapic_state ioapic;

static int fresh(void **state)
{
	(void)state;
	ioapic_reset(&ioapic);
	return 0;
}

static u32 get(u32 index)
{
	ioapic_write(&ioapic, SELECT, index);
	return ioapic_read(&ioapic, WINDOW);
}

static void set(u32 index, u32 value)
{
	ioapic_write(&ioapic, SELECT, index);
	ioapic_write(&ioapic, WINDOW, value);
}

static void program(u32 pin, u64 entry)
{
	set(0x11 + pin * 2, high32(entry));
	set(0x10 + pin * 2, low32(entry));
}

/* The vector of the next message, or -1. */
static int next(void)
{
	u64 entry = 0;

	return ioapic_next(&ioapic, &entry) == IOAPIC_MESSAGE
		   ? (int)(entry & 0xff)
		   : -1;
}

static void raise(u32 pin)
{
	ioapic_set_line(&ioapic, pin, IOAPIC_ASSERTED);
}

static void lower(u32 pin)
{
	ioapic_set_line(&ioapic, pin, IOAPIC_LOW);
}

static void registers_are_those_of_the_data_sheet(void **state)
{
	(void)state;
	assert_int_equal(get(1), 0x00170020); /* 24 entries, version 20H */
	set(0, 0xffffffff);
	assert_int_equal(get(0), 0x0f000000);
	assert_int_equal(get(2), 0x0f000000);
	assert_int_equal(get(0x10), 0x00010000);
	assert_int_equal(get(0x3e), 0x00010000);
	assert_int_equal(get(0x40), 0);
	set(0x40, 0xffffffff);
	set(0xff, 0xffffffff);
	ioapic_write(&ioapic, SELECT, 0x1ff);
	assert_int_equal(ioapic_read(&ioapic, SELECT), 0xff);
	assert_int_equal(ioapic_read(&ioapic, 0x20), 0);
}

static void read_only_bits_of_an_entry_stay(void **state)
{
	(void)state;
	program(3, ~0ULL);
	assert_int_equal(get(0x16), 0x0001afff);
	assert_int_equal(get(0x17), 0xff000000);
}

static void edge_is_sent_once(void **state)
{
	u64 entry = 0;

	(void)state;
	program(4, 0x0200000000000834);
	raise(4);
	assert_int_equal(ioapic_next(&ioapic, &entry), IOAPIC_MESSAGE);
	assert_int_equal(entry, 0x0200000000000834);
	assert_int_equal(next(), -1);
	raise(4); /* no new edge */
	assert_int_equal(next(), -1);
	lower(4);
	raise(4);
	assert_int_equal(next(), 0x34);
}

static void edge_at_a_masked_pin_is_not_held(void **state)
{
	(void)state;
	program(4, 0x10034);
	raise(4);
	program(4, 0x34);
	assert_int_equal(next(), -1);
}

static void level_is_sent_again_after_each_eoi(void **state)
{
	(void)state;
	program(10, 0x8045);
	raise(10);
	assert_int_equal(next(), 0x45);
	assert_int_equal(get(0x10 + 20) & 0x4000, 0x4000);
	assert_int_equal(next(), -1);
	ioapic_eoi(&ioapic, 0x46); /* somebody else's */
	assert_int_equal(next(), -1);
	ioapic_eoi(&ioapic, 0x45);
	assert_int_equal(next(), 0x45);
	lower(10);
	ioapic_write(&ioapic, EOIR, 0x45);
	assert_int_equal(next(), -1);
	assert_int_equal(get(0x10 + 20) & 0x4000, 0);
}

static void level_at_a_masked_pin_waits(void **state)
{
	(void)state;
	program(10, 0x18045);
	raise(10);
	assert_int_equal(next(), -1);
	program(10, 0x8045);
	assert_int_equal(next(), 0x45);
}

static void edge_mode_clears_remote_irr(void **state)
{
	(void)state;
	program(10, 0x8045);
	raise(10);
	assert_int_equal(next(), 0x45);
	program(10, 0x10045); /* masked, edge */
	assert_int_equal(get(0x10 + 20), 0x10045);
	program(10, 0x8045);
	assert_int_equal(next(), 0x45);
}

static void pins_are_independent(void **state)
{
	(void)state;
	for (u32 pin = 0; pin < IOAPIC_PIN_COUNT; pin++)
		program(pin, 0x40 + pin);
	for (u32 pin = 0; pin < 40; pin++)
		raise(pin);
	for (u32 pin = 0; pin < IOAPIC_PIN_COUNT; pin++)
		assert_int_equal(next(), 0x40 + pin);
	assert_int_equal(next(), -1);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(registers_are_those_of_the_data_sheet),
	    TEST(read_only_bits_of_an_entry_stay),
	    TEST(edge_is_sent_once),
	    TEST(edge_at_a_masked_pin_is_not_held),
	    TEST(level_is_sent_again_after_each_eoi),
	    TEST(level_at_a_masked_pin_waits),
	    TEST(edge_mode_clears_remote_irr),
	    TEST(pins_are_independent),
	};

	return cmocka_run_group_tests_name("ioapic", tests, NULL, NULL);
}
