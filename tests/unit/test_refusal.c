/* SPDX-License-Identifier: MIT */
/* Why guests cannot run: each machine's own reason, and none for a good one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/vmx/controls.h"
#include "arch/x86/vmx/refusal.h"
#include "lib/x86.h"

#define GOOD_EPT (EPT_CAP_4_LEVELS | EPT_CAP_INVEPT | EPT_CAP_INVEPT_SINGLE)

static void assert_says(const char *refusal, const char *words)
{
	assert_non_null(refusal);
	assert_non_null(strstr(refusal, words));
}

static void cpu_without_vmx_is_named_whatever_the_msr(void **state)
{
	(void)state;
	assert_says(refusal_of_vmx(VMX_ABSENT, 0), "no VMX");
	assert_says(refusal_of_vmx(VMX_ABSENT, ~0UL), "no VMX");
}

static void firmware_that_locked_vmx_off_is_named(void **state)
{
	(void)state;
	assert_says(refusal_of_vmx(VMX_PRESENT, FEATURE_CONTROL_LOCK),
		    "firmware has disabled VMX and locked it");
}

static void unlocked_or_enabled_vmx_is_not_refused(void **state)
{
	(void)state;
	assert_null(refusal_of_vmx(VMX_PRESENT, 0));
	assert_null(
	    refusal_of_vmx(VMX_PRESENT, FEATURE_CONTROL_LOCK |
					    FEATURE_CONTROL_VMX_OUTSIDE_SMX));
}

static void missing_parts_of_ept_are_named(void **state)
{
	(void)state;
	assert_says(refusal_of_ept(0, GOOD_EPT), "no EPT");
	assert_says(refusal_of_ept(SECONDARY_EPT, GOOD_EPT & ~EPT_CAP_4_LEVELS),
		    "4-level");
	assert_says(refusal_of_ept(SECONDARY_EPT, GOOD_EPT & ~EPT_CAP_INVEPT),
		    "INVEPT");
	assert_says(
	    refusal_of_ept(SECONDARY_EPT, GOOD_EPT & ~EPT_CAP_INVEPT_SINGLE),
	    "INVEPT");
	assert_null(refusal_of_ept(SECONDARY_EPT, GOOD_EPT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cpu_without_vmx_is_named_whatever_the_msr),
	    cmocka_unit_test(firmware_that_locked_vmx_off_is_named),
	    cmocka_unit_test(unlocked_or_enabled_vmx_is_not_refused),
	    cmocka_unit_test(missing_parts_of_ept_are_named),
	};

	return cmocka_run_group_tests_name("refusal", tests, NULL, NULL);
}
