/* SPDX-License-Identifier: MIT */
/* loader/region_map against a plain array of what every byte should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/region_map.h"

#define UNITS    1000 /* addresses 0 to 999 in the oracle */
#define UNLISTED (-1)

static struct region_map map;

static int reset(void **state)
{
	(void)state;
	memset(&map, 0, sizeof(map));
	return 0;
}

static void add(u64 base, u64 end, enum region_kind kind)
{
	region_map_add(&map, hpa(base), end - base, kind);
}

static void assert_region(u32 i, u64 base, u64 end, enum region_kind kind)
{
	assert_true(i < map.region_count);
	assert_int_equal(hpa_raw(map.regions[i].base), base);
	assert_int_equal(hpa_raw(map.regions[i].base) + map.regions[i].bytes,
			 end);
	assert_int_equal(map.regions[i].kind, kind);
}

static void assert_well_formed(void)
{
	assert_true(map.region_count <= REGIONS_MAX);
	for (u32 i = 0; i < map.region_count; i++) {
		const struct region *region = &map.regions[i];
		u64 base = hpa_raw(region->base);

		assert_true(region->bytes > 0);
		assert_true(base + region->bytes <= BIT(52));
		if (i == 0)
			continue;
		const struct region *left = region - 1;
		u64 left_end = hpa_raw(left->base) + left->bytes;

		assert_true(left_end <= base);
		assert_false(left_end == base && left->kind == region->kind);
	}
}

static int listed_kind(u64 address)
{
	for (u32 i = 0; i < map.region_count; i++)
		if (address - hpa_raw(map.regions[i].base) <
		    map.regions[i].bytes)
			return (int)map.regions[i].kind;
	return UNLISTED;
}

static void regions_out_of_order_are_sorted_and_merged(void **state)
{
	(void)state;
	add(300, 400, REGION_AVAILABLE);
	add(100, 200, REGION_AVAILABLE);
	add(500, 600, REGION_RESERVED);
	add(200, 300, REGION_AVAILABLE);
	assert_int_equal(map.region_count, 2);
	assert_region(0, 100, 400, REGION_AVAILABLE);
	assert_region(1, 500, 600, REGION_RESERVED);
}

static void restrictive_kind_wins_in_either_order(void **state)
{
	for (int order = 0; order < 2; order++) {
		reset(state);
		if (order == 0)
			add(100, 400, REGION_AVAILABLE);
		add(200, 300, REGION_RESERVED);
		if (order == 1)
			add(100, 400, REGION_AVAILABLE);
		assert_int_equal(map.region_count, 3);
		assert_region(0, 100, 200, REGION_AVAILABLE);
		assert_region(1, 200, 300, REGION_RESERVED);
		assert_region(2, 300, 400, REGION_AVAILABLE);
	}
}

static void addresses_past_52_bits_are_clipped(void **state)
{
	(void)state;
	region_map_add(&map, hpa(BIT(52) - 100), ~0ULL, REGION_RESERVED);
	region_map_add(&map, hpa(BIT(52)), 100, REGION_AVAILABLE);
	region_map_add(&map, hpa(~0ULL), ~0ULL, REGION_AVAILABLE);
	region_map_add(&map, hpa(50), 0, REGION_AVAILABLE);
	assert_int_equal(map.region_count, 1);
	assert_region(0, BIT(52) - 100, BIT(52), REGION_RESERVED);
}

static void bytes_are_summed_per_kind(void **state)
{
	(void)state;
	add(0, 10, REGION_AVAILABLE);
	add(20, 50, REGION_AVAILABLE);
	add(50, 70, REGION_BAD);
	assert_int_equal(region_map_bytes(&map, REGION_AVAILABLE), 40);
	assert_int_equal(region_map_bytes(&map, REGION_BAD), 20);
	assert_int_equal(region_map_bytes(&map, REGION_RESERVED), 0);
}

/* Random ranges; every address must have its most restrictive kind. */
static void random_ranges_agree_with_the_oracle(void **state)
{
	srand(1);
	for (int round = 0; round < 300; round++) {
		int expected[UNITS];

		reset(state);
		memset(expected, 0xff, sizeof(expected));
		for (int i = 0; i < 30; i++) {
			int base = rand() % UNITS;
			int end = base + rand() % (UNITS - base);
			int kind = rand() % (REGION_BAD + 1);

			add((u64)base, (u64)end, (enum region_kind)kind);
			assert_well_formed();
			for (int u = base; u < end; u++)
				if (expected[u] < kind)
					expected[u] = kind;
		}
		assert_int_equal(map.unlisted_bytes, 0);
		for (int u = 0; u < UNITS; u++)
			assert_int_equal(listed_kind((u64)u), expected[u]);
	}
}

/*
 * Far more pieces than the map can hold: it may forget memory, but it never
 * lists an address with less restriction than it has.
 */
static void full_map_forgets_memory_but_no_restriction(void **state)
{
	int overflowed = 0;

	srand(2);
	for (int round = 0; round < 200; round++) {
		int expected[UNITS];

		reset(state);
		memset(expected, 0xff, sizeof(expected));
		for (int i = 0; i < 600; i++) {
			int base = rand() % (UNITS - 9);
			int end = base + 1 + rand() % 8;
			int kind = rand() % (REGION_BAD + 1);

			add((u64)base, (u64)end, (enum region_kind)kind);
			assert_well_formed();
			for (int u = base; u < end; u++)
				if (expected[u] < kind)
					expected[u] = kind;
		}
		overflowed += map.unlisted_bytes != 0;
		for (int u = 0; u < UNITS; u++) {
			int listed = listed_kind((u64)u);

			assert_true(listed == UNLISTED ||
				    listed == expected[u]);
			assert_true(listed == expected[u] ||
				    map.unlisted_bytes);
		}
	}
	assert_int_equal(overflowed, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(regions_out_of_order_are_sorted_and_merged,
				   reset),
	    cmocka_unit_test_setup(restrictive_kind_wins_in_either_order,
				   reset),
	    cmocka_unit_test_setup(addresses_past_52_bits_are_clipped, reset),
	    cmocka_unit_test_setup(bytes_are_summed_per_kind, reset),
	    cmocka_unit_test(random_ranges_agree_with_the_oracle),
	    cmocka_unit_test(full_map_forgets_memory_but_no_restriction),
	};

	return cmocka_run_group_tests_name("region_map", tests, NULL, NULL);
}
