/* SPDX-License-Identifier: MIT */
/*
 * lib/symbol_table with tables made by hand; tests/build/test_symbols.py has it
 * read those that tools/symbols.py makes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/symbol_table.h"

#define PIECES      256
#define TABLE_BYTES 2048

/* Pieces 0 to 3, and 255; the others are empty. */
static const char *const first_pieces[] = {"pml", "_", "drain", "set_"};
#define LAST_PIECE "end"

static u8 bytes[TABLE_BYTES];
static u32 count;

static void put(const void *what, size_t size)
{
	assert_true(count + size <= sizeof(bytes));
	memcpy(bytes + count, what, size);
	count += (u32)size;
}

static int begin_table(void **state)
{
	(void)state;
	count = 0;
	for (u32 i = 0; i < PIECES; i++) {
		const char *piece = i < 4             ? first_pieces[i]
				    : i == PIECES - 1 ? LAST_PIECE
						      : "";

		put(piece, strlen(piece) + 1);
	}
	return 0;
}

#define FUNCTION(...) \
	put((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

/* pml_drain at 0x100, set_end at 0x12345. */
static void put_two_functions(void)
{
	FUNCTION(0x80, 0x02, 3, 0, 1, 2);
	FUNCTION(0xc5, 0xc4, 0x04, 2, 3, 255);
}

static struct symbol find(u64 address)
{
	struct symbol_table table = {bytes, bytes + count};

	return symbol_table_find(&table, address);
}

static void assert_found(u64 address, const char *name, u64 offset)
{
	struct symbol symbol = find(address);

	assert_string_equal(symbol.name, name);
	assert_int_equal(symbol.offset, offset);
}

static void address_is_in_the_function_that_begins_before(void **state)
{
	(void)state;
	put_two_functions();
	assert_found(0x100, "pml_drain", 0);
	assert_found(0x12344, "pml_drain", 0x12244);
	assert_found(0x12345, "set_end", 0);
	assert_found(~0UL, "set_end", ~0UL - 0x12345);
}

static void address_before_all_functions_has_no_name(void **state)
{
	(void)state;
	assert_found(0x100, "?", 0);
	put_two_functions();
	assert_found(0, "?", 0);
	assert_found(0xff, "?", 0);
	count = 0;
	assert_found(0x100, "?", 0);
}

static void long_name_is_cut(void **state)
{
	char expected[SYMBOL_NAME_BYTES] = "";

	(void)state;
	FUNCTION(0x10, 100);
	for (u32 i = 0; i < 100; i++)
		FUNCTION(2);
	for (u32 i = 0; i < SYMBOL_NAME_BYTES - 1; i++)
		expected[i] = "drain"[i % 5];
	assert_found(0x10, expected, 0);
}

/* Of two that are cut alike, what lies behind them differs. */
static void cut_table_is_read_to_its_end(void **state)
{
	u8 other[TABLE_BYTES];

	(void)state;
	put_two_functions();
	for (u32 left = 1; left < count; left++) {
		struct symbol_table cut = {bytes, bytes + left};
		struct symbol_table same = {other, other + left};

		memset(other, 0xa5, sizeof(other));
		memcpy(other, bytes, left);
		for (u64 address = 0; address < 0x20000; address += 0x80) {
			struct symbol a = symbol_table_find(&cut, address);
			struct symbol b = symbol_table_find(&same, address);

			assert_string_equal(a.name, b.name);
			assert_int_equal(a.offset, b.offset);
		}
	}
}

static void endless_distance_ends(void **state)
{
	(void)state;
	for (u32 i = 0; i < 100; i++)
		FUNCTION(0xff);
	(void)find(0x100);
	(void)find(~0UL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(
		address_is_in_the_function_that_begins_before, begin_table),
	    cmocka_unit_test_setup(address_before_all_functions_has_no_name,
				   begin_table),
	    cmocka_unit_test_setup(long_name_is_cut, begin_table),
	    cmocka_unit_test_setup(cut_table_is_read_to_its_end, begin_table),
	    cmocka_unit_test_setup(endless_distance_ends, begin_table),
	};

	return cmocka_run_group_tests_name("symbol_table", tests, NULL, NULL);
}
