/* SPDX-License-Identifier: MIT */
/* The shadow under every order of steps that a seed finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/shadow_smp.h"
#include "tests/unit/weave.h"

#define STEPS 4000000

static struct smp smp;

static const char *run(u64 seed, enum smp_fault fault, enum shadow_way way)
{
	const char *failure;

	smp_begin(&smp, seed, fault, way);
	for (u32 i = 0; i < SMP_CPUS; i++)
		weave_add(smp_cpu_main, &smp.cpus[i]);
	weave_add(smp_source_main, &smp);
	weave_run(seed, STEPS);
	failure = smp.failure;
	smp_end(&smp);
	return failure;
}

static void run_soundly(u64 seed)
{
	for (u32 way = SHADOW_BY_W; way <= SHADOW_BY_D; way++) {
		const char *failure =
		    run(seed, SMP_SOUND, (enum shadow_way)way);

		if (failure)
			fail_msg("seed %lu, way %u: %s", seed, way, failure);
	}
}

static void no_write_of_l2_is_lost_in_any_order(void **state)
{
	(void)state;
	for_seeds(1000, run_soundly);
}

static bool is_caught_by(enum smp_fault fault, enum shadow_way way)
{
	for (u64 seed = 1; seed <= 300; seed++)
		if (run(seed, fault, way))
			return true;
	return false;
}

static bool is_caught(enum smp_fault fault)
{
	return is_caught_by(fault, SHADOW_BY_W) &&
	       is_caught_by(fault, SHADOW_BY_D);
}

static void no_flush_loses_a_page(void **state)
{
	(void)state;
	assert_true(is_caught(SMP_NO_FLUSH));
}

static void reading_before_the_flush_loses_a_page(void **state)
{
	(void)state;
	assert_true(is_caught(SMP_READ_BEFORE_FLUSH));
}

static void leaves_that_are_not_armed_lose_a_page(void **state)
{
	(void)state;
	assert_true(is_caught(SMP_NO_REARM));
}

static void a_last_harvest_of_a_running_guest_loses_a_page(void **state)
{
	(void)state;
	assert_true(is_caught(SMP_LAST_WHILE_RUNNING));
}

static void what_is_not_translated_is_lost(void **state)
{
	(void)state;
	assert_true(is_caught_by(SMP_NOT_TRANSLATED, SHADOW_BY_D));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_write_of_l2_is_lost_in_any_order),
	    cmocka_unit_test(no_flush_loses_a_page),
	    cmocka_unit_test(reading_before_the_flush_loses_a_page),
	    cmocka_unit_test(leaves_that_are_not_armed_lose_a_page),
	    cmocka_unit_test(a_last_harvest_of_a_running_guest_loses_a_page),
	    cmocka_unit_test(what_is_not_translated_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
