/* SPDX-License-Identifier: MIT */
/* A VM's clock: exact where frequencies are equal, monotonic where not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/clock.h"
#include "devices/guest_time.h"
#include "tests/unit/support.h"

static void equal_frequencies_are_not_scaled(void **state)
{
	struct guest_time time;

	(void)state;
	assert_int_equal(
	    guest_time_init(&time, 2000000000, 2000400000, GUEST_TIME_FIXED),
	    OK);
	guest_time_set(&time, 5000, 70);
	assert_int_equal(guest_time_tsc(&time, 5001), 71);
	assert_int_equal(guest_time_host_tsc(&time, 71), 5001);
	assert_int_equal(guest_time_host_tsc(&time, 0), 4930);
	assert_int_equal(guest_time_host_tsc(&time, UINT64_MAX), UINT64_MAX);
}

static void other_frequencies_need_scaling(void **state)
{
	struct guest_time time;

	(void)state;
	assert_int_equal(
	    guest_time_init(&time, 3000000000, 2000000000, GUEST_TIME_FIXED),
	    ERR_UNSUPPORTED);
	assert_int_equal(guest_time_init(&time, 0, 1, GUEST_TIME_SCALABLE),
			 ERR_RANGE);
	assert_int_equal(
	    guest_time_init(&time, 1, CLOCK_HZ_MAX + 1, GUEST_TIME_SCALABLE),
	    ERR_RANGE);
	assert_int_equal(
	    guest_time_init(&time, 3000000000, 2000000000, GUEST_TIME_SCALABLE),
	    OK);
	guest_time_set(&time, 1000000, 5);
	assert_in_range(guest_time_tsc(&time, 1000000 + 2000000000),
			5 + 2999999999, 5 + 3000000001);
}

/* What has passed on a host that has run for less long is past. */
static void moments_before_the_host_began_are_past(void **state)
{
	struct guest_time time;

	(void)state;
	assert_int_equal(guest_time_init(&time, 1000, 1000, GUEST_TIME_FIXED),
			 OK);
	guest_time_set(&time, 10, 1000000);
	assert_int_equal(guest_time_host_tsc(&time, 500), 0);
}

static void moments_agree(u64 seed)
{
	struct random random = random_from(seed);
	struct guest_time time;
	u64 host_hz = 1 + random_below(&random, CLOCK_HZ_MAX);
	u64 guest_hz = 1 + random_below(&random, CLOCK_HZ_MAX);
	u64 now = random_next(&random) >> 16, tsc, host;

	assert_int_equal(
	    guest_time_init(&time, guest_hz, host_hz, GUEST_TIME_SCALABLE), OK);
	guest_time_set(&time, now, random_next(&random) >> 20);
	for (u32 i = 0; i < 50; i++) {
		u64 ns = random_next(&random) >> (10 + i);

		tsc = guest_time_reaching_ns(&time, ns);
		if (tsc == UINT64_MAX)
			continue;
		assert_true(guest_time_ns(&time, tsc) >= ns);
		host = guest_time_host_tsc(&time, tsc);
		if (host && host != UINT64_MAX)
			assert_true(guest_time_tsc(&time, host) >= tsc);
	}
}

static void moment_that_is_named_has_come(void **state)
{
	(void)state;
	for_seeds(500, moments_agree);
}

static void never_ends_in_time(void **state)
{
	struct guest_time time;

	(void)state;
	assert_int_equal(guest_time_init(&time, CLOCK_HZ_MAX, CLOCK_HZ_MAX,
					 GUEST_TIME_FIXED),
			 OK);
	assert_int_equal(guest_time_reaching_ns(&time, UINT64_MAX - 1),
			 UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(equal_frequencies_are_not_scaled),
	    cmocka_unit_test(other_frequencies_need_scaling),
	    cmocka_unit_test(moments_before_the_host_began_are_past),
	    cmocka_unit_test(moment_that_is_named_has_come),
	    cmocka_unit_test(never_ends_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
