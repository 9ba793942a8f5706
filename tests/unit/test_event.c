/* SPDX-License-Identifier: MIT */
/* An exception on top of every kind of event, by the manual's table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/vmx/event.h"
#include "lib/x86.h"
#include "tests/unit/support.h"

static struct vcpu_event event(enum event_type type, u32 vector)
{
	return (struct vcpu_event){
	    .info = (u32)(EVENT_VALID | (u32)type << 8 | vector),
	    .error_code = 7,
	    .instruction_length = 2,
	};
}

static struct vcpu_event exception(u32 vector)
{
	return event(EVENT_HARDWARE_EXCEPTION, vector);
}

static u32 vector_of(const struct vcpu_event *e)
{
	return e->info & (u32)EVENT_VECTOR;
}

/* SDM vol. 3, table of "Conditions for Generating a Double Fault". */
enum class { BENIGN, CONTRIBUTORY, PAGE_FAULT };

static enum class class_of(u32 vector) {
	static const u8 contributory[] = {0, 10, 11, 12, 13, 21};

	if (vector == 14) return PAGE_FAULT;
	for (u32 i = 0; i < ARRAY_COUNT(contributory);
	     i++) if (contributory[i] == vector) return CONTRIBUTORY;
	return BENIGN;
}

static bool doubles(u32 first, u32 second)
{
	if (class_of(first) == BENIGN || class_of(second) == BENIGN)
		return false;
	return class_of(first) == PAGE_FAULT ||
	       class_of(second) == CONTRIBUTORY;
}

static void exceptions_combine_as_the_manual_says(void **state)
{
	(void)state;
	for (u32 first = 0; first < 32; first++)
		for (u32 second = 0; second < 32; second++) {
			struct vcpu_event current = exception(first);
			const struct vcpu_event on_top = exception(second);
			u32 later = 1;

			if (first == EXCEPTION_DF || first == EXCEPTION_NMI ||
			    second == EXCEPTION_NMI)
				continue;
			assert_int_equal(event_raise(&current, &on_top, &later),
					 EVENT_GOES_IN);
			assert_int_equal(later, 0);
			if (!doubles(first, second)) {
				assert_memory_equal(&current, &on_top,
						    sizeof(current));
				continue;
			}
			assert_int_equal(current.info, 0x80000b08);
			assert_int_equal(current.error_code, 0);
		}
}

static void fault_in_a_double_fault_shuts_down(void **state)
{
	(void)state;
	for (u32 second = 0; second < 32; second++) {
		struct vcpu_event current = exception(EXCEPTION_DF);
		const struct vcpu_event on_top = exception(second);
		u32 later;

		assert_int_equal(event_raise(&current, &on_top, &later),
				 EVENT_SHUTDOWN);
	}
}

static void interrupts_and_nmis_come_later(void **state)
{
	static const enum event_type types[] = {EVENT_EXTERNAL_INTERRUPT,
						EVENT_NMI};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(types); i++) {
		struct vcpu_event current = event(types[i], 0x42);
		const struct vcpu_event before = current;
		const struct vcpu_event on_top = exception(EXCEPTION_AC);
		u32 later = 0;

		assert_int_equal(event_raise(&current, &on_top, &later),
				 EVENT_GOES_IN);
		assert_int_equal(vector_of(&current), EXCEPTION_AC);
		assert_int_equal(later, before.info);
	}
}

static void software_events_are_executed_again(void **state)
{
	static const enum event_type types[] = {
	    EVENT_SOFTWARE_INTERRUPT, EVENT_PRIVILEGED_SOFTWARE_EXCEPTION,
	    EVENT_SOFTWARE_EXCEPTION};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(types); i++) {
		/* Vector 13: were it taken for #GP it would make a #DF. */
		struct vcpu_event current = event(types[i], EXCEPTION_GP);
		const struct vcpu_event on_top = exception(EXCEPTION_GP);
		u32 later = 1;

		assert_int_equal(event_raise(&current, &on_top, &later),
				 EVENT_GOES_IN);
		assert_memory_equal(&current, &on_top, sizeof(current));
		assert_int_equal(later, 0);
	}
}

/* What is not valid is nothing, whatever its other bits say. */
static void nothing_on_its_way_changes_nothing(void **state)
{
	struct vcpu_event current = exception(EXCEPTION_DF);
	const struct vcpu_event on_top = exception(EXCEPTION_PF);
	u32 later = 1;

	(void)state;
	current.info &= ~(u32)EVENT_VALID;
	assert_int_equal(event_raise(&current, &on_top, &later), EVENT_GOES_IN);
	assert_memory_equal(&current, &on_top, sizeof(current));
	assert_int_equal(later, 0);
}

/* --- In L2 ---------------------------------------------------------------- */

#define VECTOR_BIT(vector) (1u << (vector))

static struct vcpu_event current, exits;
static u32 postponed;

/* `on_top` in L2 while `before` is on its way; L1 wants these vectors. */
static enum event_outcome in_l2(struct vcpu_event before,
				struct vcpu_event on_top, u32 wanted)
{
	current = before;
	exits = (struct vcpu_event){0};
	postponed = 1;
	return event_raise_in_l2(&current, &on_top, wanted, &exits, &postponed);
}

static void double_fault_that_exits_is_in_no_delivery(void **state)
{
	const struct vcpu_event gp = exception(EXCEPTION_GP);
	const struct vcpu_event np = exception(EXCEPTION_NP);

	(void)state;
	assert_int_equal(in_l2(gp, np, VECTOR_BIT(EXCEPTION_DF)), EVENT_EXITS);
	assert_int_equal(exits.info, EVENT_VALID | EVENT_HAS_ERROR_CODE |
					 EVENT_HARDWARE_EXCEPTION << 8 |
					 EXCEPTION_DF);
	assert_int_equal(exits.error_code, 0);
	assert_false(current.info & EVENT_VALID);
	/* L1 does not want it: it goes in. */
	assert_int_equal(in_l2(gp, np, VECTOR_BIT(EXCEPTION_GP)),
			 EVENT_GOES_IN);
	assert_int_equal(vector_of(&current), EXCEPTION_DF);
	assert_int_equal(exits.info, 0);
}

static void triple_fault_of_l2_is_in_no_delivery(void **state)
{
	(void)state;
	assert_int_equal(in_l2(exception(EXCEPTION_DF), exception(EXCEPTION_NP),
			       VECTOR_BIT(EXCEPTION_DF)),
			 EVENT_SHUTDOWN);
	assert_false(current.info & EVENT_VALID);
}

static void exception_that_l2_keeps_goes_in(void **state)
{
	const struct vcpu_event interrupt =
	    event(EVENT_EXTERNAL_INTERRUPT, 0x42);
	const struct vcpu_event np = exception(EXCEPTION_NP);

	(void)state;
	assert_int_equal(in_l2(interrupt, np, ~VECTOR_BIT(EXCEPTION_NP)),
			 EVENT_GOES_IN);
	assert_memory_equal(&current, &np, sizeof(np));
	assert_int_equal(postponed, interrupt.info);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exceptions_combine_as_the_manual_says),
	    cmocka_unit_test(fault_in_a_double_fault_shuts_down),
	    cmocka_unit_test(interrupts_and_nmis_come_later),
	    cmocka_unit_test(software_events_are_executed_again),
	    cmocka_unit_test(nothing_on_its_way_changes_nothing),
	    cmocka_unit_test(double_fault_that_exits_is_in_no_delivery),
	    cmocka_unit_test(triple_fault_of_l2_is_in_no_delivery),
	    cmocka_unit_test(exception_that_l2_keeps_goes_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
