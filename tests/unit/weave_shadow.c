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

/* --- An INVEPT while another CPU compares ---------------------------------
 */

/* The entry of L2's address 0 gets these rights. */
static void write_entry(u64 page, u64 rights)
{
	l1_store(&smp.w, smp.w.next_table,
		 page | rights | EPT_A | EPT_D | W_WB);
}

static void use_as_l2(void *cpu)
{
	smp_enter(cpu);
	smp_write(cpu, 0);
	smp_leave(cpu);
}

static void pass_time(struct smp_cpu *cpu, u64 steps_max)
{
	for (u64 i = random_below(&cpu->random, steps_max); i; i--)
		sched_yield();
}

/* L1 takes a right, executes INVEPT, and lets L2 go on. */
static void take_right_as_l1(void *argument)
{
	struct smp_cpu *cpu = argument;

	smp_enter(cpu);
	pass_time(cpu, 200); /* until the other one may compare */
	write_entry(SMP_FIRST, EPT_R | EPT_X);
	smp_leave(cpu);
	if (!shadow_invalidate_nothing(&smp.w.shadow))
		shadow_invalidate(&smp.w.shadow);
	pass_time(cpu, 1000); /* until it may be ready */
	smp_enter(cpu);
	if (smp_write(cpu, 0) != SHADOW_VIOLATION)
		smp_fail(&smp, "L2 has what L1 took before its INVEPT");
	smp_leave(cpu);
}

/* The table has differed so often that nobody watches it, and is suspended:
 * who comes by compares it while L1 may write it. */
static void suspend_what_is_not_watched(void)
{
	for (u32 i = 0; i < 6; i++) {
		write_entry(SMP_FIRST + i % 2 * PAGE_4K, EPT_RWX);
		shadow_invalidate(&smp.w.shadow);
		use_as_l2(&smp.cpus[0]);
		use_as_l2(&smp.cpus[1]);
	}
	shadow_invalidate(&smp.w.shadow);
}

static void meet_in_a_comparison(u64 seed)
{
	const char *failure;

	smp_begin(&smp, seed, SMP_SOUND, SHADOW_BY_W);
	suspend_what_is_not_watched();
	weave_add(use_as_l2, &smp.cpus[0]);
	weave_add(take_right_as_l1, &smp.cpus[1]);
	weave_run(seed, STEPS);
	failure = smp.failure;
	smp_end(&smp);
	if (failure)
		fail_msg("seed %lu: %s", seed, failure);
}

static void invept_waits_for_who_compares(void **state)
{
	(void)state;
	for_seeds(300, meet_in_a_comparison);
}

/* --- Mistakes -------------------------------------------------------------
 */

static bool is_caught_by(enum smp_fault fault, enum shadow_way way)
{
	for (u64 seed = 1; seed <= 2000; seed++)
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
	    cmocka_unit_test(invept_waits_for_who_compares),
	    cmocka_unit_test(no_flush_loses_a_page),
	    cmocka_unit_test(reading_before_the_flush_loses_a_page),
	    cmocka_unit_test(leaves_that_are_not_armed_lose_a_page),
	    cmocka_unit_test(a_last_harvest_of_a_running_guest_loses_a_page),
	    cmocka_unit_test(what_is_not_translated_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
