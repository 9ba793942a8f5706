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

static const char *run_as_begun(u64 seed)
{
	const char *failure;

	for (u32 i = 0; i < SMP_CPUS; i++)
		weave_add(smp_cpu_main, &smp.cpus[i]);
	weave_add(smp_source_main, &smp);
	weave_run(seed, STEPS);
	failure = smp.failure;
	smp_end(&smp);
	return failure;
}

static const char *run(u64 seed, enum smp_fault fault, enum shadow_way way)
{
	smp_begin(&smp, seed, fault, way);
	return run_as_begun(seed);
}

/* Now by W and now by D. */
static const char *run_both_ways(u64 seed, enum smp_fault fault)
{
	smp_begin(&smp, seed, fault, SHADOW_BY_W);
	smp.switches = true;
	return run_as_begun(seed);
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

static void run_soundly_both_ways(u64 seed)
{
	const char *failure = run_both_ways(seed, SMP_SOUND);

	if (failure)
		fail_msg("seed %lu: %s", seed, failure);
}

static void no_write_is_lost_when_the_way_changes(void **state)
{
	(void)state;
	for_seeds(1000, run_soundly_both_ways);
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

/* --- Neighbours that are made like one that is being written ---------------
 */

/* L2 writes the second page as soon as there is a leaf for it. */
static void write_when_there(void *argument)
{
	struct smp_cpu *cpu = argument;
	u64 frame;

	smp_enter(cpu);
	while (!smp_translate(cpu, 1, &frame))
		sched_yield();
}

static void fault_on_the_first(void *argument)
{
	struct smp_cpu *cpu = argument;

	smp_enter(cpu);
	smp_write(cpu, 0);
}

/* Tracking by D, and nothing is marked. */
static void track_by_d(void)
{
	struct dirty_word words[W_LIMIT / PAGE_4K / DIRTY_WORD_PAGES];
	struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};
	enum flush flush;

	W_REQUIRE(track_start(&smp.w.track, TRACK_WP) == OK);
	shadow_track_start(&smp.w.shadow, SHADOW_BY_D);
	track_harvest(&smp.w.track, gpa(0), gpa(W_LIMIT), &batch, &flush);
	for (u32 i = 0; i < SMP_CPUS; i++)
		smp_drain(&smp.cpus[i]); /* PML is on */
}

/* L1 has set A and D, so that leaves are made without more. */
static void map_dirty(void)
{
	for (u32 page = 0; page < SMP_PAGES; page++)
		l1_store(&smp.w, smp.w.next_table + page * 8,
			 (SMP_FIRST + page * PAGE_4K) | EPT_RWX | EPT_A |
			     EPT_D | W_WB);
}

/* Which page is writable and dirty, and not marked? */
static const char *find_unmarked(void)
{
	for (u32 page = 0; page < SMP_PAGES; page++) {
		struct end_of_walk {
			hpa_t table;
			ept_entry_t entry;
		} at = {phys_of(smp.cpus[0].root.table), {0}};

		for (enum ept_level level = EPT_TOP;; level--) {
			const ept_entry_t *entries = phys_ptr(at.table);

			at.entry = entries[ept_index(page * PAGE_4K, level)];
			if (ept_entry_kind(at.entry, level) != EPT_TABLE)
				break;
			at.table = ept_entry_address(at.entry);
		}
		if ((at.entry.raw & EPT_W) && (at.entry.raw & EPT_D) &&
		    !dirty_log_is_marked(&smp.w.mem.log,
					 gpa(SMP_FIRST + page * PAGE_4K)))
			return "a leaf that is not armed is not marked";
	}
	return NULL;
}

static void meet_among_neighbours(u64 seed)
{
	const char *failure;

	smp_begin(&smp, seed, SMP_SOUND, SHADOW_BY_D);
	map_dirty();
	track_by_d();
	weave_add(fault_on_the_first, &smp.cpus[0]);
	weave_add(write_when_there, &smp.cpus[1]);
	weave_run(seed, STEPS);
	for (u32 i = 0; i < SMP_CPUS; i++) {
		smp_leave(&smp.cpus[i]);
		smp_drain(&smp.cpus[i]);
	}
	failure = smp.failure ? smp.failure : find_unmarked();
	smp_end(&smp);
	if (failure)
		fail_msg("seed %lu: %s", seed, failure);
}

static void leaf_made_like_one_that_is_written_is_armed(void **state)
{
	(void)state;
	for_seeds(300, meet_among_neighbours);
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

static void leaves_armed_before_pml_is_on_lose_a_page(void **state)
{
	bool is_lost = false;

	(void)state;
	for (u64 seed = 1; seed <= 5000 && !is_lost; seed++)
		is_lost = run_both_ways(seed, SMP_PML_ON_LATE) != NULL;
	assert_true(is_lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_write_of_l2_is_lost_in_any_order),
	    cmocka_unit_test(no_write_is_lost_when_the_way_changes),
	    cmocka_unit_test(invept_waits_for_who_compares),
	    cmocka_unit_test(leaf_made_like_one_that_is_written_is_armed),
	    cmocka_unit_test(no_flush_loses_a_page),
	    cmocka_unit_test(reading_before_the_flush_loses_a_page),
	    cmocka_unit_test(leaves_that_are_not_armed_lose_a_page),
	    cmocka_unit_test(a_last_harvest_of_a_running_guest_loses_a_page),
	    cmocka_unit_test(what_is_not_translated_is_lost),
	    cmocka_unit_test(leaves_armed_before_pml_is_on_lose_a_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
