/* SPDX-License-Identifier: MIT */
/* What the parts have in common: see suite.h. */
#include "guests/vmx/suite.h"

/* Bochs' debugger can be talked to; elsewhere nobody answers. */
#define BOCHS_IODEBUG_PORT 0x8a00

struct l2 suite_l2;
struct ept12 suite_ept12;

static const char *case_name = "";
static const char *case_defect;
static bool is_defect_below;

void suite_case(const char *name)
{
	case_name = name;
	if (boot_has_word("verbose"))
		print("case %s at %lu\n", name, rdtsc());
	case_defect = NULL;
}

void suite_defect(const char *word)
{
	case_defect = word;
	is_defect_below = false;
}

void suite_defect_below(const char *word)
{
	case_defect = word;
	is_defect_below = true;
}

bool suite_in_bochs(void)
{
	out16(BOCHS_IODEBUG_PORT, BOCHS_IODEBUG_PORT);
	return in16(BOCHS_IODEBUG_PORT) == BOCHS_IODEBUG_PORT;
}

void suite_expect(u64 found, u64 wanted, const char *what)
{
	bool known =
	    found != wanted && case_defect &&
	    (suite_in_bochs() || (is_defect_below && boot_has_word("bochs")));

	if (known)
		print("KNOWN %s %s: %s is %#lx, not %#lx\n", case_defect,
		      case_name, what, found, wanted);
	check(found == wanted || known, case_name, "%s is %#lx, not %#lx", what,
	      found, wanted);
}

void suite_true(bool fact, const char *what)
{
	suite_expect(fact, true, what);
}

void suite_expect_error(u32 did, enum vmx_error error)
{
	suite_expect(did, VMX_FAIL_VALID, "the outcome");
	if (did == VMX_FAIL_VALID)
		suite_expect(vmread(VMCS_INSTRUCTION_ERROR), error,
			     "the VM-instruction error");
}

static void make_ept(void)
{
	if (suite_ept12.root)
		return;
	ept12_make(&suite_ept12);
	ept12_identity(&suite_ept12, 4 * GIB, EPT12_2M);
}

void suite_make_l2(const struct l2_controls *controls, void (*program)(void))
{
	struct l2_controls all = *controls;

	make_ept();
	if (!all.ept_pointer && vmx_allows(CONTROLS_SECONDARY, SECONDARY_EPT)) {
		all.secondary |= SECONDARY_EPT;
		all.ept_pointer = suite_ept12.pointer;
	}
	if (suite_l2.vmcs)
		l2_remake(&suite_l2, &all);
	else
		l2_make(&suite_l2, &all);
	l2_begin(&suite_l2, program);
}

bool suite_run(u32 reason)
{
	u32 found = l2_run(&suite_l2);

	suite_expect(found, reason, "the exit reason");
	if (found == L2_NOT_ENTERED + VMX_FAIL_VALID)
		suite_expect(vmread(VMCS_INSTRUCTION_ERROR), 0,
			     "the VM-instruction error");
	return found == reason;
}

void suite_finish(void)
{
	if (suite_run(EXIT_VMCALL))
		suite_true(l2_has_ended(&suite_l2), "L2's end");
}
