/* SPDX-License-Identifier: MIT */
/* Mitigations for CPUs as they are sold, and for every single capability. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/vmx/mitigation.h"
#include "tests/unit/support.h"

#define OLD_MICROCODE  0u
#define IBRS_MICROCODE (u32)(LEAF7_EDX_IBRS | LEAF7_EDX_STIBP | LEAF7_EDX_SSBD)
#define FULL_MICROCODE \
	(u32)(IBRS_MICROCODE | LEAF7_EDX_MD_CLEAR | LEAF7_EDX_L1D_FLUSH)
#define NEW_MICROCODE (u32)(FULL_MICROCODE | LEAF7_EDX_ARCH_CAPABILITIES)

/* Values of IA32_ARCH_CAPABILITIES as these CPUs have them. */
#define CASCADE_LAKE                                                    \
	(ARCH_RDCL_NO | ARCH_IBRS_ALL | ARCH_SKIP_L1DFL | ARCH_MDS_NO | \
	 ARCH_PSCHANGE_MC_NO | ARCH_TSX_CTRL)
#define ICE_LAKE                                                        \
	(ARCH_RDCL_NO | ARCH_IBRS_ALL | ARCH_SKIP_L1DFL | ARCH_MDS_NO | \
	 ARCH_PSCHANGE_MC_NO | ARCH_TAA_NO | ARCH_FB_CLEAR)
#define SAPPHIRE_RAPIDS                                                \
	(ICE_LAKE | ARCH_SBDR_SSDP_NO | ARCH_FBSDP_NO | ARCH_PSDP_NO | \
	 ARCH_RRSBA | ARCH_PBRSB_NO | ARCH_GDS_NO)
#define ALDER_LAKE                                                      \
	(ARCH_RDCL_NO | ARCH_IBRS_ALL | ARCH_SKIP_L1DFL | ARCH_MDS_NO | \
	 ARCH_PSCHANGE_MC_NO | ARCH_TAA_NO | ARCH_RRSBA | ARCH_GDS_NO)
#define BOCHS_TIGER_LAKE                                              \
	(ARCH_RDCL_NO | ARCH_IBRS_ALL | ARCH_RSBA | ARCH_SKIP_L1DFL | \
	 ARCH_SSB_NO)

struct example {
	const char *name;
	struct mitigation_cpu cpu;
	struct mitigation_plan plan;
};

static const struct example examples[] = {
    {"Haswell, microcode of 2014",
     {6, 0x3c, LEAF7_EBX_RTM, OLD_MICROCODE, 0, 0, true},
     {.exit = EXIT_FILL_RSB,
      .without = WITHOUT_L1TF | WITHOUT_BUFFERS | WITHOUT_BRANCHES,
      .siblings_leak = true}},
    {"Broadwell, microcode of 2018",
     {6, 0x4f, LEAF7_EBX_RTM, IBRS_MICROCODE, 0, 0, false},
     {.entry = ENTRY_SPEC_CTRL,
      .exit = EXIT_FILL_RSB | EXIT_WRITE_SPEC_CTRL,
      .barrier_between_guests = true,
      .host_spec_ctrl = SPEC_CTRL_IBRS,
      .without = WITHOUT_L1TF | WITHOUT_BUFFERS}},
    {"Skylake, full microcode",
     {6, 0x55, LEAF7_EBX_RTM, FULL_MICROCODE, 0, 0, true},
     {.entry = ENTRY_SPEC_CTRL | ENTRY_FLUSH_L1D | ENTRY_VERW,
      .exit = EXIT_FILL_RSB | EXIT_WRITE_SPEC_CTRL,
      .barrier_between_guests = true,
      .host_spec_ctrl = SPEC_CTRL_IBRS,
      .siblings_leak = true}},
    {"Cascade Lake with TSX",
     {6, 0x55, LEAF7_EBX_RTM, NEW_MICROCODE, 0, CASCADE_LAKE, true},
     {.entry = ENTRY_VERW,
      .exit = EXIT_GUARD_RETURN | EXIT_CLEAR_HISTORY,
      .barrier_between_guests = true,
      .host_spec_ctrl = SPEC_CTRL_IBRS,
      .siblings_leak = true}},
    {"Ice Lake",
     {6, 0x6a, 0, NEW_MICROCODE, 0, ICE_LAKE, true},
     {.exit = EXIT_GUARD_RETURN | EXIT_CLEAR_HISTORY,
      .barrier_between_guests = true,
      .host_spec_ctrl = SPEC_CTRL_IBRS}},
    {"Sapphire Rapids",
     {6, 0x8f, LEAF7_EBX_RTM, NEW_MICROCODE, LEAF7_2_EDX_BHI_CTRL,
      SAPPHIRE_RAPIDS, true},
     {.barrier_between_guests = true,
      .host_spec_ctrl = SPEC_CTRL_IBRS | SPEC_CTRL_BHI_DIS_S}},
    {"Alder Lake, before the microcode for RFDS",
     {6, 0x97, 0, NEW_MICROCODE, LEAF7_2_EDX_BHI_CTRL, ALDER_LAKE, true},
     {.exit = EXIT_GUARD_RETURN,
      .barrier_between_guests = true,
      .host_spec_ctrl = SPEC_CTRL_IBRS | SPEC_CTRL_BHI_DIS_S,
      .without = WITHOUT_BUFFERS}},
    {"Alder Lake, behind it",
     {6, 0x97, 0, NEW_MICROCODE, LEAF7_2_EDX_BHI_CTRL,
      ALDER_LAKE | ARCH_RFDS_CLEAR, true},
     {.entry = ENTRY_VERW,
      .exit = EXIT_GUARD_RETURN,
      .barrier_between_guests = true,
      .host_spec_ctrl = SPEC_CTRL_IBRS | SPEC_CTRL_BHI_DIS_S}},
    {"Goldmont with microcode",
     {6, 0x5c, 0, NEW_MICROCODE, 0,
      ARCH_RDCL_NO | ARCH_SKIP_L1DFL | ARCH_MDS_NO | ARCH_RFDS_CLEAR, false},
     {.entry = ENTRY_SPEC_CTRL | ENTRY_VERW,
      .exit = EXIT_FILL_RSB | EXIT_WRITE_SPEC_CTRL,
      .barrier_between_guests = true,
      .host_spec_ctrl = SPEC_CTRL_IBRS}},
    {"Xeon Phi",
     {6, 0x57, 0, FULL_MICROCODE, 0, 0, false},
     {.entry = ENTRY_SPEC_CTRL | ENTRY_VERW,
      .exit = EXIT_FILL_RSB | EXIT_WRITE_SPEC_CTRL,
      .barrier_between_guests = true,
      .host_spec_ctrl = SPEC_CTRL_IBRS}},
    {"Bochs 2.7 as a Tiger Lake",
     {6, 0x8c, 0, NEW_MICROCODE, 0, BOCHS_TIGER_LAKE, false},
     {.entry = ENTRY_VERW,
      .exit = EXIT_GUARD_RETURN | EXIT_CLEAR_HISTORY,
      .barrier_between_guests = true,
      .host_spec_ctrl = SPEC_CTRL_IBRS}},
    {"a CPU that has none of it",
     {6, 0xff, 0, NEW_MICROCODE, 0,
      ARCH_RDCL_NO | ARCH_IBRS_ALL | ARCH_SKIP_L1DFL | ARCH_MDS_NO |
	  ARCH_TAA_NO | ARCH_BHI_NO | ARCH_PBRSB_NO | ARCH_RFDS_NO,
      true},
     {.barrier_between_guests = true, .host_spec_ctrl = SPEC_CTRL_IBRS}},
};

static void assert_plan(const struct mitigation_plan *plan,
			const struct mitigation_plan *expected)
{
	assert_int_equal(plan->entry, expected->entry);
	assert_int_equal(plan->exit, expected->exit);
	assert_int_equal(plan->barrier_between_guests,
			 expected->barrier_between_guests);
	assert_int_equal(plan->host_spec_ctrl, expected->host_spec_ctrl);
	assert_int_equal(plan->without, expected->without);
	assert_int_equal(plan->siblings_leak, expected->siblings_leak);
}

static void each_cpu_gets_what_it_needs(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(examples); i++) {
		struct mitigation_plan plan;

		print_message("%s\n", examples[i].name);
		memset(&plan, 0xff, sizeof(plan));
		mitigation_choose(&examples[i].cpu, MITIGATION_AUTO, &plan);
		assert_plan(&plan, &examples[i].plan);
	}
}

static void off_means_nothing_at_all(void **state)
{
	const struct mitigation_plan nothing = {0};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(examples); i++) {
		struct mitigation_plan plan;

		memset(&plan, 0xff, sizeof(plan));
		mitigation_choose(&examples[i].cpu, MITIGATION_OFF, &plan);
		assert_plan(&plan, &nothing);
	}
}

/* What a CPU cannot do is never asked of it: it would fault. */
static void nothing_is_done_that_the_cpu_has_not(void **state)
{
	(void)state;
	for (u32 i = 0; i < 1u << 12; i++) {
		struct mitigation_cpu cpu = {
		    .family = 6,
		    .model = i % 7 ? 0x55 : 0x9c,
		    .leaf7_edx = (i & 1 ? (u32)LEAF7_EDX_IBRS : 0) |
				 (i & 2 ? (u32)LEAF7_EDX_L1D_FLUSH : 0) |
				 (i & 4 ? (u32)LEAF7_EDX_MD_CLEAR : 0),
		    .leaf7_2_edx = i & 8 ? (u32)LEAF7_2_EDX_BHI_CTRL : 0,
		    .arch_capabilities = (i & 16 ? ARCH_IBRS_ALL : 0) |
					 (i & 32 ? ARCH_RDCL_NO : 0) |
					 (i & 64 ? ARCH_SKIP_L1DFL : 0) |
					 (i & 128 ? ARCH_MDS_NO : 0) |
					 (i & 256 ? ARCH_RFDS_CLEAR : 0) |
					 (i & 512 ? ARCH_PBRSB_NO : 0) |
					 (i & 1024 ? ARCH_BHI_NO : 0) |
					 (i & 2048 ? ARCH_TAA_NO : 0),
		};
		struct mitigation_plan plan;

		mitigation_choose(&cpu, MITIGATION_AUTO, &plan);
		if (!(cpu.leaf7_edx & LEAF7_EDX_IBRS)) {
			assert_int_equal(plan.host_spec_ctrl, 0);
			assert_false(plan.barrier_between_guests);
			assert_int_equal(plan.entry & ENTRY_SPEC_CTRL, 0);
			assert_int_equal(plan.exit & EXIT_WRITE_SPEC_CTRL, 0);
		}
		if (!(cpu.leaf7_edx & LEAF7_EDX_L1D_FLUSH))
			assert_int_equal(plan.entry & ENTRY_FLUSH_L1D, 0);
		if (!(cpu.leaf7_2_edx & LEAF7_2_EDX_BHI_CTRL))
			assert_int_equal(
			    plan.host_spec_ctrl & SPEC_CTRL_BHI_DIS_S, 0);
		/* Umbra's own value is back before anything else. */
		if (plan.entry & ENTRY_SPEC_CTRL)
			assert_true(plan.exit & EXIT_WRITE_SPEC_CTRL);
		assert_int_equal(plan.exit & EXIT_READ_SPEC_CTRL, 0);
	}
}

static void plans_are_told_in_words(void **state)
{
	char text[200];
	struct mitigation_plan plan = {0};

	(void)state;
	mitigation_describe(&plan, text, sizeof(text));
	assert_string_equal(text, "nothing");
	mitigation_describe_missing(&plan, text, sizeof(text));
	assert_string_equal(text, "");
	mitigation_choose(&examples[2].cpu, MITIGATION_AUTO, &plan);
	mitigation_describe(&plan, text, sizeof(text));
	assert_string_equal(text, "L1D flush at entry, VERW at entry, IBRS at "
				  "exit, return stack filled at exit, IBPB "
				  "between guests");
	mitigation_choose(&examples[0].cpu, MITIGATION_AUTO, &plan);
	mitigation_describe_missing(&plan, text, sizeof(text));
	assert_string_equal(text, "L1TF (no L1D_FLUSH), MDS (no MD_CLEAR), "
				  "branch injection (no IBRS)");
}

static void long_texts_are_cut(void **state)
{
	struct mitigation_plan all = {UINT32_MAX, UINT32_MAX, true,
				      UINT64_MAX, UINT32_MAX, true};
	struct {
		char text[20];
		char guard;
	} small = {.guard = 'x'};

	(void)state;
	mitigation_describe(&all, small.text, sizeof(small.text));
	assert_int_equal(strlen(small.text), sizeof(small.text) - 1);
	assert_int_equal(small.guard, 'x');
}

static void guests_are_told_no_switch_that_they_do_not_get(void **state)
{
	u64 told = mitigation_guest_capabilities(UINT64_MAX);

	(void)state;
	assert_int_equal(told & (ARCH_TSX_CTRL | BIT(18) | BIT(25)), 0);
	assert_int_equal(mitigation_guest_capabilities(0), 0);
	assert_int_equal(mitigation_guest_capabilities(ICE_LAKE), ICE_LAKE);
}

static void spec_ctrl_has_the_bits_that_cpuid_shows(void **state)
{
	(void)state;
	assert_int_equal(mitigation_guest_spec_ctrl(0), 0);
	assert_int_equal(mitigation_guest_spec_ctrl((u32)LEAF7_EDX_IBRS), 1);
	assert_int_equal(mitigation_guest_spec_ctrl((u32)LEAF7_EDX_STIBP), 2);
	assert_int_equal(mitigation_guest_spec_ctrl((u32)LEAF7_EDX_SSBD), 4);
	assert_int_equal(mitigation_guest_spec_ctrl(UINT32_MAX), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_cpu_gets_what_it_needs),
	    cmocka_unit_test(off_means_nothing_at_all),
	    cmocka_unit_test(nothing_is_done_that_the_cpu_has_not),
	    cmocka_unit_test(plans_are_told_in_words),
	    cmocka_unit_test(long_texts_are_cut),
	    cmocka_unit_test(guests_are_told_no_switch_that_they_do_not_get),
	    cmocka_unit_test(spec_ctrl_has_the_bits_that_cpuid_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
