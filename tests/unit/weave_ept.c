/* SPDX-License-Identifier: MIT */
/*
 * One EPT entry, changed by two at once: nobody's change is lost. Both feeders
 * of the dirty log see the same writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/simulated_vm.h"
#include "tests/unit/weave.h"

#define STEPS 1000000

static struct ept ept;
static u64 seed_now;

static ept_entry_t *slot_of(u64 address, enum ept_level lowest)
{
	return ept_walk(ept.root, address, lowest).slot;
}

static void begin(u64 seed)
{
	static const struct ept_format format = {
	    .largest_leaf = EPT_2M,
	    .physical_bits = 40,
	    .accessed_dirty = true,
	};
	static const struct ept_attributes ram = {.rights = EPT_RWX,
						  .type = EPT_WB};

	seed_now = seed;
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(PAGE_2M), MIB), OK);
	assert_int_equal(ept_create(&ept, &format), OK);
	assert_int_equal(ept_map(&ept, gpa(0), hpa(PAGE_1G), PAGE_2M, &ram),
			 OK);
	assert_int_equal(ept_reserve_tables(&ept), OK);
}

/* Two threads on one tree, in all orders that the seeds find. */
static void weave(void (*one)(void *), void (*other)(void *))
{
	weave_add(one, NULL);
	weave_add(other, NULL);
	weave_run(seed_now, STEPS);
}

/* --- What the threads do ------------------------------------------------- */

static void cpu_sets(u64 bits)
{
	ept_entry_t *slot = slot_of(0, EPT_4K);
	ept_entry_t entry;

	do {
		entry = ept_read(slot);
	} while (ept_swap(slot, entry, (ept_entry_t){entry.raw | bits}) !=
		 EPT_SWAPPED);
}

static void cpu_sets_accessed(void *unused)
{
	(void)unused;
	cpu_sets(EPT_A);
}

/* A CPU that is in the middle of a walk when the leaf becomes a table. */
static void cpu_sets_dirty_in_the_large_leaf(void *unused)
{
	ept_entry_t *slot = slot_of(0, EPT_2M);
	ept_entry_t entry = ept_read(slot);

	(void)unused;
	while (
	    ept_entry_kind(entry, EPT_2M) == EPT_LEAF &&
	    ept_swap(slot, entry, (ept_entry_t){entry.raw | EPT_A | EPT_D}) !=
		EPT_SWAPPED)
		entry = ept_read(slot);
	if (ept_entry_kind(entry, EPT_2M) == EPT_TABLE)
		cpu_sets(EPT_A | EPT_D);
}

static void harvester_arms(enum ept_arm arm)
{
	struct dirty_word words[] = {{gpa(0), BIT(0)}};
	struct dirty_batch batch = {words, 1, 1};

	ept_rearm(&ept, &batch, arm);
}

static void harvester_arms_d(void *unused)
{
	(void)unused;
	harvester_arms(EPT_ARM_D);
}

static void harvester_arms_w(void *unused)
{
	(void)unused;
	harvester_arms(EPT_ARM_W);
}

static void somebody_splits(void *unused)
{
	(void)unused;
	(void)!ept_split(&ept, gpa(0), PAGE_2M);
}

static void somebody_watches(void *unused)
{
	enum flush flush;

	(void)unused;
	(void)!ept_watch(&ept, gpa(0), &flush);
}

static enum ept_fix fixes[2];

static void cpu_faults(void *unused)
{
	(void)unused;
	fixes[0] = ept_fix_write(&ept, gpa(0));
}

static void other_cpu_faults(void *unused)
{
	(void)unused;
	fixes[1] = ept_fix_write(&ept, gpa(0));
}

/* --- Tests --------------------------------------------------------------- */

static void arm_against_accessed(u64 seed)
{
	begin(seed);
	assert_int_equal(ept_split(&ept, gpa(0), PAGE_2M), OK);
	slot_of(0, EPT_4K)->raw &= ~EPT_A;
	weave(cpu_sets_accessed,
	      seed % 2 ? harvester_arms_d : harvester_arms_w);
	assert_true(slot_of(0, EPT_4K)->raw & EPT_A);
	assert_int_equal(slot_of(0, EPT_4K)->raw & (EPT_D | EPT_W),
			 seed % 2 ? EPT_W : EPT_D);
}

static void arming_keeps_what_a_cpu_sets_meanwhile(void **state)
{
	(void)state;
	for_seeds(100, arm_against_accessed);
}

static void split_against_dirty(u64 seed)
{
	begin(seed);
	slot_of(0, EPT_2M)->raw &= ~(EPT_A | EPT_D);
	weave(cpu_sets_dirty_in_the_large_leaf, somebody_splits);
	assert_int_equal(slot_of(0, EPT_4K)->raw & (EPT_A | EPT_D),
			 EPT_A | EPT_D);
}

static void splitting_keeps_what_a_cpu_sets_meanwhile(void **state)
{
	(void)state;
	for_seeds(100, split_against_dirty);
}

static void fix_against_watch(u64 seed)
{
	begin(seed);
	assert_int_equal(ept_split(&ept, gpa(0), PAGE_2M), OK);
	harvester_arms(EPT_ARM_W);
	weave(cpu_faults, somebody_watches);
	assert_int_equal(slot_of(0, EPT_4K)->raw & (EPT_W | EPT_MAY_WRITE), 0);
}

static void a_late_fix_does_not_undo_a_watch(void **state)
{
	(void)state;
	for_seeds(100, fix_against_watch);
}

static void fix_against_fix(u64 seed)
{
	begin(seed);
	assert_int_equal(ept_split(&ept, gpa(0), PAGE_2M), OK);
	harvester_arms(EPT_ARM_W);
	weave(cpu_faults, other_cpu_faults);
	assert_true(slot_of(0, EPT_4K)->raw & EPT_W);
	assert_int_equal((fixes[0] == EPT_FIXED) + (fixes[1] == EPT_FIXED), 1);
	assert_int_equal(
	    (fixes[0] == EPT_FIX_STALE) + (fixes[1] == EPT_FIX_STALE), 1);
}

static void of_two_faults_one_is_the_fix(void **state)
{
	(void)state;
	for_seeds(100, fix_against_fix);
}

/* --- Both feeders -------------------------------------------------------- */

static struct vm vm;

/* The pages that one vCPU dirties in one round, in one mode. */
static u64 dirtied(u64 seed, enum track_mode mode)
{
	struct dirty_word words[VM_PAGES / DIRTY_WORD_PAGES] = {0};
	struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};
	struct random random = random_from(seed);
	u64 hot = 0;
	enum flush flush;

	vm_begin(&vm, seed, VM_FAULT_NONE);
	assert_int_equal(track_start(&vm.track, mode), OK);
	vm.cpus[0].pml_on = track_wants_pml(&vm.track);
	track_harvest(&vm.track, gpa(0), gpa(VM_BYTES), &batch, &flush);
	for (u64 stores = random_below(&random, 10); stores; stores--)
		vm_store(&vm.cpus[0], vm_hot[random_below(&random, VM_HOT)], 1);
	vm_drain(&vm.cpus[0]);
	track_harvest(&vm.track, gpa(0), gpa(VM_BYTES), &batch, &flush);
	for (u32 i = 0; i < batch.count; i++)
		for (u32 page = 0; page < VM_HOT; page++)
			if (gpa_page(words[i].base) ==
				(vm_hot[page] & ~63ULL) &&
			    words[i].bits & BIT(vm_hot[page] % 64))
				hot |= BIT(page);
	assert_null(vm.failure);
	vm_end(&vm);
	return hot;
}

static void same_log(u64 seed)
{
	u64 by_pml = dirtied(seed, TRACK_PML);
	u64 by_wp = dirtied(seed, TRACK_WP);

	assert_int_equal(by_pml, by_wp);
}

static void both_feeders_give_the_same_log(void **state)
{
	(void)state;
	for_seeds(50, same_log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(arming_keeps_what_a_cpu_sets_meanwhile),
	    cmocka_unit_test(splitting_keeps_what_a_cpu_sets_meanwhile),
	    cmocka_unit_test(a_late_fix_does_not_undo_a_watch),
	    cmocka_unit_test(of_two_faults_one_is_the_fix),
	    cmocka_unit_test(both_feeders_give_the_same_log),
	};

	return cmocka_run_group_tests_name("weave_ept", tests, NULL, NULL);
}
