/* SPDX-License-Identifier: MIT */
/* emulate/breakpoint.h, against a byte-by-byte reading of the manual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emulate/breakpoint.h"
#include "tests/unit/support.h"

/* SDM vol. 3, "Breakpoint Field Recognition": is this byte in its range? */
static bool watches(const struct breakpoints *b, u32 i, u64 byte)
{
	u32 length = (u32)(b->dr7 >> (18 + 4 * i)) & 3;
	u64 mask = length == 0 ? 0 : length == 1 ? 1 : length == 2 ? 7 : 3;

	return (byte & ~mask) == (b->addresses[i] & ~mask);
}

static u64 expected(const struct breakpoints *b, u64 address, u32 bytes,
		    u32 first_type, u32 second_type)
{
	u64 found = 0;

	for (u32 i = 0; i < BREAKPOINT_COUNT; i++) {
		u32 type = (u32)(b->dr7 >> (16 + 4 * i)) & 3;

		if (!(b->dr7 & (1u << 2 * i | 2u << 2 * i)) ||
		    (type != first_type && type != second_type))
			continue;
		for (u32 at = 0; at < bytes; at++)
			if (watches(b, i, address + at))
				found |= BIT(i);
	}
	return found;
}

static void data_and_ports_are_as_in_the_manual(void **state)
{
	struct random random = random_from(1);
	u32 hits = 0;

	(void)state;
	for (u32 round = 0; round < 200000; round++) {
		struct breakpoints b = {.dr7 =
					    random_next(&random) & 0xffff00ff,
					.has_ports = random_next(&random) & 1};
		u64 address = random_next(&random) % 32 - 8;
		u32 bytes = 1u << random_next(&random) % 4;

		for (u32 i = 0; i < BREAKPOINT_COUNT; i++)
			b.addresses[i] = random_next(&random) % 32 - 8;
		assert_int_equal(
		    breakpoints_of_data(&b, address, bytes, BREAKPOINT_WRITE),
		    expected(&b, address, bytes, 1, 3));
		assert_int_equal(
		    breakpoints_of_data(&b, address, bytes, BREAKPOINT_READ),
		    expected(&b, address, bytes, 3, 3));
		/* Ports do not wrap: what lies below 0 is none. */
		if (address < 32)
			assert_int_equal(
			    breakpoints_of_port(&b, (u16)address, bytes),
			    b.has_ports ? expected(&b, address, bytes, 2, 2)
					: 0);
		hits += breakpoints_of_data(&b, address, bytes,
					    BREAKPOINT_WRITE) != 0;
	}
	assert_in_range(hits, 20000, 180000);
}

static void none_is_enabled_by_itself(void **state)
{
	const struct breakpoints b = {.dr7 = 0xffff0400, .has_ports = true};

	(void)state;
	assert_int_equal(breakpoints_of_data(&b, 0, 8, BREAKPOINT_WRITE), 0);
	assert_int_equal(breakpoints_of_port(&b, 0, 4), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(data_and_ports_are_as_in_the_manual),
	    cmocka_unit_test(none_is_enabled_by_itself),
	};

	return cmocka_run_group_tests_name("breakpoint", tests, NULL, NULL);
}
