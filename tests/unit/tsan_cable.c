/* SPDX-License-Identifier: MIT */
/* Two guests' CPUs at one cable. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/cable_ends.h"

static void *run(void *end)
{
	end_main(end);
	return NULL;
}

static void ends_share_a_cable_without_a_race(void **state)
{
	pthread_t threads[CABLE_ENDS];

	(void)state;
	ends_begin(1, 20, CABLE_BYTES * 3);
	for (u32 i = 0; i < CABLE_ENDS; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, run, &world.ends[i]), 0);
	for (u32 i = 0; i < CABLE_ENDS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (u32 i = 0; i < CABLE_ENDS; i++)
		if (world.ends[i].failure)
			fail_msg("end %u: %s", i, world.ends[i].failure);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ends_share_a_cable_without_a_race),
	};

	return cmocka_run_group_tests_name("cable threads", tests, NULL, NULL);
}
