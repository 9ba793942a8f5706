/* SPDX-License-Identifier: MIT */
/*
 * The dirty-log protocol in the real code, under orders that a seed chooses:
 * no write is lost at switchover, whatever the mode, and each order that the
 * contract (mm/dirty_log.h) asks of the machine side is needed: broken, it
 * loses a page within a few hundred seeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/simulated_vm.h"
#include "tests/unit/weave.h"

#define STEPS 10000000

static struct vm vm;

/* What went wrong in this seed; NULL if nothing did. */
static const char *run(u64 seed, enum vm_fault fault)
{
	vm_begin(&vm, seed, fault);
	vm.plain_copies = true;
	for (u32 i = 0; i < VM_CPUS; i++)
		weave_add(vm_cpu_main, &vm.cpus[i]);
	weave_add(vm_writer_main, &vm);
	weave_add(vm_source_main, &vm);
	weave_run(seed, STEPS);
	vm_end(&vm);
	return vm.failure;
}

static void keep_order(u64 seed)
{
	const char *failure = run(seed, VM_FAULT_NONE);

	if (failure)
		fail_msg("seed %lu: %s", seed, failure);
}

static void no_write_is_lost_in_any_order(void **state)
{
	(void)state;
	for_seeds(1500, keep_order);
}

/* Seeds until a broken order does harm. */
static u64 seeds_until_caught(enum vm_fault fault, u64 most)
{
	for (u64 seed = 1; seed <= most; seed++)
		if (run(seed, fault))
			return seed;
	return 0;
}

#define BROKEN(name, fault)                                              \
	static void name(void **state)                                   \
	{                                                                \
		(void)state;                                             \
		assert_int_not_equal(seeds_until_caught(fault, 600), 0); \
	}

BROKEN(reading_before_the_flush_loses_a_page, VM_FAULT_READ_BEFORE_FLUSH)
BROKEN(no_flush_loses_a_page, VM_FAULT_NO_FLUSH)
BROKEN(flushing_before_arming_loses_a_page, VM_FAULT_FLUSH_BEFORE_REARM)
BROKEN(draining_after_the_last_harvest_loses_a_page, VM_FAULT_LAST_DRAIN_LATE)
BROKEN(a_last_harvest_of_a_running_guest_loses_a_page,
       VM_FAULT_LAST_WHILE_RUNNING)
BROKEN(an_unmarked_writer_loses_a_page, VM_FAULT_WRITER_UNMARKED)
BROKEN(pml_turned_on_late_loses_a_page, VM_FAULT_PML_ON_LATE)
BROKEN(pml_turned_off_early_loses_a_page, VM_FAULT_PML_OFF_EARLY)
BROKEN(reusing_tables_before_the_flush_does_harm, VM_FAULT_FREE_BEFORE_FLUSH)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_write_is_lost_in_any_order),
	    cmocka_unit_test(reading_before_the_flush_loses_a_page),
	    cmocka_unit_test(no_flush_loses_a_page),
	    cmocka_unit_test(flushing_before_arming_loses_a_page),
	    cmocka_unit_test(draining_after_the_last_harvest_loses_a_page),
	    cmocka_unit_test(a_last_harvest_of_a_running_guest_loses_a_page),
	    cmocka_unit_test(an_unmarked_writer_loses_a_page),
	    cmocka_unit_test(pml_turned_on_late_loses_a_page),
	    cmocka_unit_test(pml_turned_off_early_loses_a_page),
	    cmocka_unit_test(reusing_tables_before_the_flush_does_harm),
	};

	return cmocka_run_group_tests_name("weave_tracking", tests, NULL, NULL);
}
