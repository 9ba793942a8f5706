/* SPDX-License-Identifier: MIT */
/* Memory-type range registers: what they begin with, take and refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "devices/mtrr.h"
#include "lib/bits.h"
#include "lib/x86.h"

#define BITS_40 40

static struct mtrr mtrr;

static int set_up(void **state)
{
	(void)state;
	memset(&mtrr, 0xff, sizeof(mtrr));
	mtrr_init(&mtrr, BITS_40);
	return 0;
}

static u64 read(u32 msr)
{
	u64 value = ~0ULL;

	assert_int_equal(mtrr_read(&mtrr, msr, &value), MTRR_DONE);
	return value;
}

static enum mtrr_verdict write(u32 msr, u64 value)
{
	return mtrr_write(&mtrr, BITS_40, msr, value);
}

static bool is_type(u64 number)
{
	return number == 0 || number == 1 || (number >= 4 && number <= 6);
}

/* Independently of the code: the type of an address, as a CPU finds it. */
static u64 type_of(u64 address)
{
	u64 def = read(0x2ff);

	if (!(def & BIT(11)))
		return 0;
	if (address < MIB && (def & BIT(10))) {
		u32 msr = address < 0x80000 ? 0x250
			  : address < 0xc0000
			      ? 0x258 + (u32)(address >= 0xa0000)
			      : 0x268 + (u32)((address - 0xc0000) / 0x8000);
		u64 unit = address < 0x80000   ? 0x10000
			   : address < 0xc0000 ? 0x4000
					       : 0x1000;

		return read(msr) >> (address / unit % 8 * 8) & 0xff;
	}
	for (u32 i = 0; i < 8; i++) {
		u64 base = read(0x200 + 2 * i), mask = read(0x201 + 2 * i);

		if ((mask & BIT(11)) &&
		    (address & mask & ~0xfffULL) == (base & mask & ~0xfffULL))
			return base & 0xff;
	}
	return def & 0xff;
}

static void begins_as_firmware_leaves_it(void **state)
{
	(void)state;
	assert_int_equal(read(MSR_MTRRCAP), 8 | BIT(8) | BIT(10));
	assert_int_equal(type_of(0), 6);
	assert_int_equal(type_of(0x9ffff), 6);
	assert_int_equal(type_of(0xa0000), 0);
	assert_int_equal(type_of(0xbffff), 0);
	assert_int_equal(type_of(0xe0000), 6);
	assert_int_equal(type_of(MIB), 6);
	assert_int_equal(type_of(3 * GIB - 1), 6);
	assert_int_equal(type_of(3 * GIB), 0);
	assert_int_equal(type_of(0xe0000000), 0);
	assert_int_equal(type_of(0xfee00000), 0);
	assert_int_equal(type_of(4 * GIB - 1), 0);
	assert_int_equal(type_of(4 * GIB), 6);
	assert_int_equal(type_of(BIT(39)), 6);
	assert_int_equal(type_of(BIT(39) + 3 * GIB), 6);
}

static void default_takes_types_and_switches(void **state)
{
	(void)state;
	for (u64 type = 0; type < 256; type++)
		for (u64 switches = 0; switches < 4; switches++)
			assert_int_equal(write(0x2ff, switches << 10 | type) ==
					     MTRR_DONE,
					 is_type(type));
	for (u32 bit = 8; bit < 64; bit++)
		assert_int_equal(write(0x2ff, 6 | BIT(bit)) == MTRR_DONE,
				 bit == 10 || bit == 11);
}

static void fixed_takes_types_only(void **state)
{
	static const u32 msrs[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
				   0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(msrs); i++)
		for (u32 place = 0; place < 8; place++)
			for (u64 type = 0; type < 256; type++)
				assert_int_equal(
				    write(msrs[i], type << (8 * place)) ==
					MTRR_DONE,
				    is_type(type));
	/* Every one is a register of its own. */
	for (u32 i = 0; i < ARRAY_COUNT(msrs); i++)
		assert_int_equal(write(msrs[i], (i % 2) * 6), MTRR_DONE);
	for (u32 i = 0; i < ARRAY_COUNT(msrs); i++)
		assert_int_equal(read(msrs[i]), (i % 2) * 6);
}

static void variable_keeps_to_the_address_width(void **state)
{
	(void)state;
	for (u32 bit = 0; bit < 64; bit++) {
		bool is_address = bit >= 12 && bit < BITS_40;

		assert_int_equal(write(0x202, BIT(bit)) == MTRR_DONE,
				 is_address || bit == 0 || bit == 2);
		assert_int_equal(write(0x203, BIT(bit)) == MTRR_DONE,
				 is_address || bit == 11);
	}
	assert_int_equal(write(0x20e, 0x1234567006), MTRR_DONE);
	assert_int_equal(write(0x20f, 0xfffffff800), MTRR_DONE);
	assert_int_equal(read(0x20e), 0x1234567006);
	assert_int_equal(read(0x20f), 0xfffffff800);
}

static void refused_write_changes_nothing(void **state)
{
	struct mtrr before = mtrr;

	(void)state;
	assert_int_equal(write(MSR_MTRRCAP, 0), MTRR_FAULT);
	assert_int_equal(write(0x2ff, 7), MTRR_FAULT);
	assert_int_equal(write(0x250, 2), MTRR_FAULT);
	assert_int_equal(write(0x200, BIT(BITS_40)), MTRR_FAULT);
	assert_memory_equal(&before, &mtrr, sizeof(mtrr));
}

/* What came from elsewhere: one value at a time that no WRMSR would take. */
static void what_no_guest_can_write_is_not_valid(void **state)
{
	(void)state;
	assert_true(mtrr_is_valid(&mtrr, BITS_40));
	assert_false(mtrr_is_valid(&mtrr, 39)); /* the mask is 40 bits wide */
	for (u32 i = 0; i < MTRR_COUNT; i++) {
		u64 before = mtrr.values[i];

		mtrr.values[i] = before | BIT(63);
		assert_false(mtrr_is_valid(&mtrr, BITS_40));
		mtrr.values[i] = before;
	}
	assert_true(mtrr_is_valid(&mtrr, BITS_40));
}

static void other_numbers_are_absent(void **state)
{
	static const u32 absent[] = {0,     0x1ff, 0x210, 0x24f, 0x251,
				     0x257, 0x25a, 0x267, 0x270, 0x277,
				     0x2fe, 0x300, ~0u};
	u64 value = 5;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(absent); i++) {
		assert_int_equal(mtrr_read(&mtrr, absent[i], &value),
				 MTRR_ABSENT);
		assert_int_equal(write(absent[i], 0), MTRR_ABSENT);
	}
	assert_int_equal(value, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(begins_as_firmware_leaves_it, set_up),
	    cmocka_unit_test_setup(default_takes_types_and_switches, set_up),
	    cmocka_unit_test_setup(fixed_takes_types_only, set_up),
	    cmocka_unit_test_setup(variable_keeps_to_the_address_width, set_up),
	    cmocka_unit_test_setup(refused_write_changes_nothing, set_up),
	    cmocka_unit_test_setup(what_no_guest_can_write_is_not_valid,
				   set_up),
	    cmocka_unit_test_setup(other_numbers_are_absent, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
