/* SPDX-License-Identifier: MIT */
/* lib/fmt against the C library's snprintf, and its own promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/fmt.h"

#define assert_same(...)                                                      \
	do {                                                                  \
		char ours[256], theirs[256];                                  \
		size_t length = fmt(ours, sizeof(ours), __VA_ARGS__);         \
		int expected = snprintf(theirs, sizeof(theirs), __VA_ARGS__); \
		assert_string_equal(ours, theirs);                            \
		assert_int_equal(length, expected);                           \
	} while (0)

static void integers_print_as_in_c(void **state)
{
	(void)state;
	assert_same("%d %d %d", 0, -1, 2147483647);
	assert_same("%5d|%-5d|%05d|%+d|% d", 42, 42, 42, 42, 42);
	assert_same("%u %lu %llu", 4294967295u, ~0ul, ~0ull);
	assert_same("%ld %ld", -1l, (-9223372036854775807l - 1));
	assert_same("%x %X %#x %#lx %016lx", 255u, 255u, 255u, 0xabcdeful, 1ul);
	assert_same("%.3d|%8.3d|%-8.3x|%.0d", 7, 7, 7u, 0);
	assert_same("%hhu %hu %zu", (unsigned char)200, (unsigned short)60000,
		    sizeof(int));
	assert_same("%*d|%-*d|%.*d", 6, 1, 6, 2, 4, 3);
}

static void text_prints_as_in_c(void **state)
{
	(void)state;
	assert_same("%s|%10s|%-10s|%.2s|%c%%", "abc", "abc", "abc", "abc", 'x');
}

static void output_is_cut_and_terminated(void **state)
{
	char buffer[8];

	(void)state;
	memset(buffer, 'z', sizeof(buffer));
	assert_int_equal(fmt(buffer, 4, "%s", "abcdef"), 6);
	assert_string_equal(buffer, "abc");
	assert_int_equal(buffer[4], 'z');
	assert_int_equal(fmt(buffer, 0, "%s", "abcdef"), 6);
	assert_int_equal(buffer[0], 'a');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(integers_print_as_in_c),
	    cmocka_unit_test(text_prints_as_in_c),
	    cmocka_unit_test(output_is_cut_and_terminated),
	};

	return cmocka_run_group_tests_name("fmt", tests, NULL, NULL);
}
