/* SPDX-License-Identifier: MIT */
/* Which weaknesses a CPU has, and what is done about them. */
#include "arch/x86/vmx/mitigation.h"
#include "lib/fmt.h"
#include "lib/string.h"

#define FAMILY_6     6

/* What a model is free of, or has besides, that its MSRs may not tell. */
#define FREE_OF_L1TF BIT(0)
#define FREE_OF_MDS  BIT(1)
#define HAS_RFDS     BIT(2)

struct model {
	u8 model;
	u8 traits;
};

/* Family 6: Atoms, Xeon Phi, and what has Atom cores. Others have all of it. */
static const struct model models[] = {
    {0x1c, FREE_OF_L1TF | FREE_OF_MDS}, /* Bonnell: in order */
    {0x26, FREE_OF_L1TF | FREE_OF_MDS}, /* Saltwell and its kin */
    {0x27, FREE_OF_L1TF | FREE_OF_MDS},
    {0x35, FREE_OF_L1TF | FREE_OF_MDS},
    {0x36, FREE_OF_L1TF | FREE_OF_MDS},
    {0x37, FREE_OF_L1TF}, /* Silvermont */
    {0x4a, FREE_OF_L1TF},
    {0x4c, FREE_OF_L1TF}, /* Airmont */
    {0x4d, FREE_OF_L1TF},
    {0x57, FREE_OF_L1TF}, /* Xeon Phi */
    {0x5a, FREE_OF_L1TF},
    {0x5c, FREE_OF_L1TF | FREE_OF_MDS | HAS_RFDS}, /* Goldmont */
    {0x5f, FREE_OF_L1TF | FREE_OF_MDS | HAS_RFDS},
    {0x75, FREE_OF_L1TF},
    {0x7a, FREE_OF_L1TF | FREE_OF_MDS | HAS_RFDS},
    {0x85, FREE_OF_L1TF}, /* Xeon Phi */
    {0x86, HAS_RFDS},     /* Tremont */
    {0x96, HAS_RFDS},
    {0x97, HAS_RFDS}, /* Alder Lake */
    {0x9a, HAS_RFDS},
    {0x9c, HAS_RFDS}, /* Tremont */
    {0xb7, HAS_RFDS}, /* Raptor Lake */
    {0xba, HAS_RFDS},
    {0xbe, HAS_RFDS}, /* Gracemont */
    {0xbf, HAS_RFDS},
};

static u32 traits_of(const struct mitigation_cpu *cpu)
{
	if (cpu->family != FAMILY_6)
		return FREE_OF_L1TF;
	for (u32 i = 0; i < ARRAY_COUNT(models); i++)
		if (models[i].model == cpu->model)
			return models[i].traits;
	return 0;
}

static bool has(const struct mitigation_cpu *cpu, u64 capability)
{
	return cpu->arch_capabilities & capability;
}

static bool has_l1tf(const struct mitigation_cpu *cpu)
{
	return !has(cpu, ARCH_RDCL_NO) && !(traits_of(cpu) & FREE_OF_L1TF);
}

static bool has_mds(const struct mitigation_cpu *cpu)
{
	return !has(cpu, ARCH_MDS_NO) && !(traits_of(cpu) & FREE_OF_MDS);
}

/* Transactions can be there without CPUID's showing them. */
static bool has_taa(const struct mitigation_cpu *cpu)
{
	return !has(cpu, ARCH_TAA_NO) &&
	       ((cpu->leaf7_ebx & LEAF7_EBX_RTM) || has(cpu, ARCH_TSX_CTRL));
}

static bool has_rfds(const struct mitigation_cpu *cpu)
{
	return !has(cpu, ARCH_RFDS_NO) &&
	       (has(cpu, ARCH_RFDS_CLEAR) || (traits_of(cpu) & HAS_RFDS));
}

static void choose_for_data(const struct mitigation_cpu *cpu,
			    struct mitigation_plan *plan)
{
	bool l1tf = has_l1tf(cpu);
	bool md = has_mds(cpu) || has_taa(cpu);
	bool md_clear = cpu->leaf7_edx & LEAF7_EDX_MD_CLEAR;
	bool rfds = has_rfds(cpu);
	bool rfds_clear = has(cpu, ARCH_RFDS_CLEAR);

	if (l1tf && !has(cpu, ARCH_SKIP_L1DFL)) {
		if (cpu->leaf7_edx & LEAF7_EDX_L1D_FLUSH)
			plan->entry |= ENTRY_FLUSH_L1D;
		else
			plan->without |= WITHOUT_L1TF;
	}
	if ((md && md_clear) || (rfds && rfds_clear))
		plan->entry |= ENTRY_VERW;
	if ((md && !md_clear) || (rfds && !rfds_clear))
		plan->without |= WITHOUT_BUFFERS;
	plan->siblings_leak = cpu->hyper_threads && (l1tf || md);
}

static void choose_for_history(const struct mitigation_cpu *cpu,
			       struct mitigation_plan *plan)
{
	if (has(cpu, ARCH_BHI_NO))
		return;
	if (cpu->leaf7_2_edx & LEAF7_2_EDX_BHI_CTRL)
		plan->host_spec_ctrl |= SPEC_CTRL_BHI_DIS_S;
	else
		plan->exit |= EXIT_CLEAR_HISTORY;
}

/* Enhanced IBRS is switched on once and keeps the return stack apart, too. */
static void choose_for_branches(const struct mitigation_cpu *cpu,
				struct mitigation_plan *plan)
{
	bool ibrs = cpu->leaf7_edx & LEAF7_EDX_IBRS;

	if (!ibrs)
		plan->without |= WITHOUT_BRANCHES;
	plan->barrier_between_guests = ibrs;
	if (!ibrs || !has(cpu, ARCH_IBRS_ALL)) {
		plan->exit |= EXIT_FILL_RSB;
	} else {
		if (!has(cpu, ARCH_PBRSB_NO))
			plan->exit |= EXIT_GUARD_RETURN;
		choose_for_history(cpu, plan);
	}
	if (!ibrs)
		return;
	plan->host_spec_ctrl |= SPEC_CTRL_IBRS;
	if (!has(cpu, ARCH_IBRS_ALL)) {
		plan->entry |= ENTRY_SPEC_CTRL;
		plan->exit |= EXIT_WRITE_SPEC_CTRL;
	}
}

void mitigation_choose(const struct mitigation_cpu *cpu,
		       enum mitigation_mode mode, struct mitigation_plan *plan)
{
	*plan = (struct mitigation_plan){0};
	if (mode == MITIGATION_OFF)
		return;
	choose_for_data(cpu, plan);
	choose_for_branches(cpu, plan);
}

/* --- In words --------------------------------------------------------------
 */

struct phrase {
	bool applies;
	const char *text;
};

static void join(const struct phrase *phrases, u32 count, char *text,
		 size_t size)
{
	const char *comma = "";
	size_t length = 0;

	for (u32 i = 0; i < count && length < size; i++) {
		if (!phrases[i].applies)
			continue;
		length += fmt(text + length, size - length, "%s%s", comma,
			      phrases[i].text);
		comma = ", ";
	}
}

void mitigation_describe(const struct mitigation_plan *plan, char *text,
			 size_t size)
{
	bool at_exit = plan->exit & EXIT_WRITE_SPEC_CTRL;
	const struct phrase phrases[] = {
	    {plan->entry & ENTRY_FLUSH_L1D, "L1D flush at entry"},
	    {plan->entry & ENTRY_VERW, "VERW at entry"},
	    {at_exit, "IBRS at exit"},
	    {(plan->host_spec_ctrl & SPEC_CTRL_IBRS) && !at_exit,
	     "enhanced IBRS"},
	    {plan->host_spec_ctrl & SPEC_CTRL_BHI_DIS_S, "BHI_DIS_S"},
	    {plan->exit & EXIT_FILL_RSB, "return stack filled at exit"},
	    {plan->exit & EXIT_GUARD_RETURN, "fence at exit"},
	    {plan->exit & EXIT_CLEAR_HISTORY, "branch history cleared at exit"},
	    {plan->barrier_between_guests, "IBPB between guests"},
	};

	(void)fmt(text, size, "nothing");
	join(phrases, ARRAY_COUNT(phrases), text, size);
}

void mitigation_describe_missing(const struct mitigation_plan *plan, char *text,
				 size_t size)
{
	const struct phrase phrases[] = {
	    {plan->without & WITHOUT_L1TF, "L1TF (no L1D_FLUSH)"},
	    {plan->without & WITHOUT_BUFFERS, "MDS (no MD_CLEAR)"},
	    {plan->without & WITHOUT_BRANCHES, "branch injection (no IBRS)"},
	};

	(void)fmt(text, size, "%s", "");
	join(phrases, ARRAY_COUNT(phrases), text, size);
}

/* --- What guests are told ----------------------------------------------------
 */

u64 mitigation_guest_capabilities(u64 arch_capabilities)
{
	return arch_capabilities &
	       (ARCH_RDCL_NO | ARCH_IBRS_ALL | ARCH_RSBA | ARCH_SKIP_L1DFL |
		ARCH_SSB_NO | ARCH_MDS_NO | ARCH_PSCHANGE_MC_NO | ARCH_TAA_NO |
		ARCH_SBDR_SSDP_NO | ARCH_FBSDP_NO | ARCH_PSDP_NO |
		ARCH_FB_CLEAR | ARCH_RRSBA | ARCH_BHI_NO | ARCH_PBRSB_NO |
		ARCH_GDS_NO | ARCH_RFDS_NO | ARCH_RFDS_CLEAR);
}

u64 mitigation_guest_spec_ctrl(u32 leaf7_edx)
{
	u64 bits = 0;

	if (leaf7_edx & LEAF7_EDX_IBRS)
		bits |= SPEC_CTRL_IBRS;
	if (leaf7_edx & LEAF7_EDX_STIBP)
		bits |= SPEC_CTRL_STIBP;
	if (leaf7_edx & LEAF7_EDX_SSBD)
		bits |= SPEC_CTRL_SSBD;
	return bits;
}
