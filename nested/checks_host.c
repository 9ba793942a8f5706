/* SPDX-License-Identifier: MIT */
/*
 * SDM vol. 3, "Checks on Host Control Registers, MSRs, and SSP", "Checks on
 * Host Segment and Descriptor-Table Registers", "Checks Related to
 * Address-Space Size".
 */
#include "nested/checks_parts.h"

#define SELECTOR_TI_RPL BITS(2, 0)

static bool is_64_bit(const struct nested_entry *e)
{
	return has_exit(e, EXIT_HOST_ADDRESS_SPACE_SIZE);
}

static enum nested_rule check_registers(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;
	const struct nested_capability *c = e->offer;

	RULE(is_fixed(v->host_cr0, c->cr0_fixed0, c->cr0_fixed1), HOST_CR0);
	RULE(is_fixed(v->host_cr4, c->cr4_fixed0, c->cr4_fixed1), HOST_CR4);
	RULE(is_in_width(e, v->host_cr3), HOST_CR3);
	RULE(is_canonical(e, v->host_sysenter_esp), HOST_SYSENTER_ESP);
	RULE(is_canonical(e, v->host_sysenter_eip), HOST_SYSENTER_EIP);
	if (has_exit(e, EXIT_LOAD_PAT))
		RULE(is_pat(v->host_pat), HOST_PAT);
	if (has_exit(e, EXIT_LOAD_EFER)) {
		u64 mode = is_64_bit(e) ? EFER_LMA | EFER_LME : 0;

		RULE(!(v->host_efer & ~e->efer_defined), HOST_EFER_RESERVED);
		RULE((v->host_efer & (EFER_LMA | EFER_LME)) == mode,
		     HOST_EFER_MODE);
	}
	return RULE_NONE;
}

static enum nested_rule check_selectors(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;
	u32 all = v->host_tr_selector;

	for (u32 i = 0; i < ARRAY_COUNT(v->host_selector); i++)
		all |= v->host_selector[i];
	RULE(!(all & SELECTOR_TI_RPL), HOST_SELECTORS);
	RULE(v->host_selector[SEG12_CS] != 0, HOST_CS);
	RULE(v->host_tr_selector != 0, HOST_TR);
	RULE(v->host_selector[SEG12_SS] != 0 || is_64_bit(e), HOST_SS);
	RULE(is_canonical(e, v->host_fs_base) &&
		 is_canonical(e, v->host_gs_base) &&
		 is_canonical(e, v->host_gdtr_base) &&
		 is_canonical(e, v->host_idtr_base) &&
		 is_canonical(e, v->host_tr_base),
	     HOST_BASES);
	return RULE_NONE;
}

static enum nested_rule check_size(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;
	bool l1_is_long = e->l1_efer & EFER_LMA;

	RULE(is_64_bit(e) == l1_is_long, HOST_SIZE_NOW);
	if (!is_64_bit(e)) {
		RULE(!has_entry(e, ENTRY_IA32E_MODE_GUEST), HOST_SIZE_GUEST);
		RULE(!(v->host_cr4 & CR4_PCIDE), HOST_SIZE_PCIDE);
		RULE(!high32(v->host_rip), HOST_SIZE_RIP);
	} else {
		RULE(v->host_cr4 & CR4_PAE, HOST_SIZE_PAE);
		RULE(is_canonical(e, v->host_rip), HOST_RIP);
	}
	return RULE_NONE;
}

enum nested_rule nested_check_host(const struct nested_entry *e)
{
	static nested_check *const checks[] = {check_registers, check_selectors,
					       check_size};

	return nested_run_checks(e, checks, ARRAY_COUNT(checks));
}
