/* SPDX-License-Identifier: MIT */
/*
 * SDM vol. 3, "Checks on Guest Control Registers, Debug Registers, and MSRs",
 * "Checks on Guest Descriptor-Table Registers", "Checks on Guest RIP, RFLAGS,
 * and SSP".
 */
#include "nested/checks_parts.h"

static bool is_long(const struct nested_entry *e)
{
	return has_entry(e, ENTRY_IA32E_MODE_GUEST);
}

/*
 * CD and NW are never changed by a VM entry, and so are not looked at;
 * "unrestricted guest" frees PE and PG.
 */
static bool cr0_fits(const struct nested_entry *e)
{
	u64 fixed0 = e->offer->cr0_fixed0 & ~(CR0_CD | CR0_NW);

	if (has_secondary(e, SECONDARY_UNRESTRICTED_GUEST))
		fixed0 &= ~(CR0_PE | CR0_PG);
	return is_fixed(e->v->guest_cr0, fixed0,
			e->offer->cr0_fixed1 | CR0_CD | CR0_NW);
}

static enum nested_rule check_control_registers(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;
	const struct nested_capability *c = e->offer;

	RULE(cr0_fits(e), GUEST_CR0);
	RULE((v->guest_cr0 & CR0_PE) || !(v->guest_cr0 & CR0_PG),
	     GUEST_CR0_PAGING);
	RULE(is_fixed(v->guest_cr4, c->cr4_fixed0, c->cr4_fixed1), GUEST_CR4);
	if (has_entry(e, ENTRY_LOAD_DEBUG_CONTROLS))
		RULE(!(v->guest_debugctl & ~e->debugctl_defined),
		     GUEST_DEBUGCTL);
	RULE(!is_long(e) ||
		 ((v->guest_cr0 & CR0_PG) && (v->guest_cr4 & CR4_PAE)),
	     GUEST_LONG_PAGING);
	RULE(is_long(e) || !(v->guest_cr4 & CR4_PCIDE), GUEST_PCIDE);
	RULE(is_in_width(e, v->guest_cr3), GUEST_CR3);
	if (has_entry(e, ENTRY_LOAD_DEBUG_CONTROLS))
		RULE(!high32(v->guest_dr7), GUEST_DR7);
	return RULE_NONE;
}

static enum nested_rule check_msrs(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;
	u64 efer = v->guest_efer;

	RULE(is_canonical(e, v->guest_sysenter_esp), GUEST_SYSENTER_ESP);
	RULE(is_canonical(e, v->guest_sysenter_eip), GUEST_SYSENTER_EIP);
	if (has_entry(e, ENTRY_LOAD_PAT))
		RULE(is_pat(v->guest_pat), GUEST_PAT);
	if (!has_entry(e, ENTRY_LOAD_EFER))
		return RULE_NONE;
	RULE(!(efer & ~e->efer_defined), GUEST_EFER_RESERVED);
	RULE(((efer & EFER_LMA) != 0) == is_long(e), GUEST_EFER_LMA);
	RULE(!(v->guest_cr0 & CR0_PG) ||
		 ((efer & EFER_LMA) != 0) == ((efer & EFER_LME) != 0),
	     GUEST_EFER_LME);
	return RULE_NONE;
}

enum nested_rule nested_check_registers(const struct nested_entry *e)
{
	static nested_check *const checks[] = {check_control_registers,
					       check_msrs};

	return nested_run_checks(e, checks, ARRAY_COUNT(checks));
}

static enum nested_rule check_descriptor_tables(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;

	RULE(is_canonical(e, v->guest_base[SEG12_GDTR]) &&
		 is_canonical(e, v->guest_base[SEG12_IDTR]),
	     TABLE_BASE);
	RULE(v->guest_limit[SEG12_GDTR] <= 0xffff &&
		 v->guest_limit[SEG12_IDTR] <= 0xffff,
	     TABLE_LIMIT);
	return RULE_NONE;
}

/*
 * In 64-bit code RIP need not be canonical: its highest bit that exists may
 * differ from those above.
 */
static bool rip_is_in_width(const struct nested_entry *e)
{
	u64 above = e->v->guest_rip >> e->linear_bits;

	return above == 0 || above == ~0UL >> e->linear_bits;
}

static enum nested_rule check_rip_rflags(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;
	u64 rflags = v->guest_rflags;

	if (is_long(e) && (v->guest_rights[SEG12_CS] & RIGHTS_LONG))
		RULE(rip_is_in_width(e), RIP_64);
	else
		RULE(!high32(v->guest_rip), RIP_32);
	RULE(!(rflags & RFLAGS_RESERVED) && (rflags & RFLAGS_FIXED),
	     FLAGS_RESERVED);
	RULE(!(rflags & RFLAGS_VM) || (!is_long(e) && (v->guest_cr0 & CR0_PE)),
	     FLAGS_VM);
	RULE((rflags & RFLAGS_IF) ||
		 !is_injecting_type(e, EVENT_EXTERNAL_INTERRUPT),
	     FLAGS_IF);
	return RULE_NONE;
}

enum nested_rule nested_check_tables(const struct nested_entry *e)
{
	static nested_check *const checks[] = {check_descriptor_tables,
					       check_rip_rflags};

	return nested_run_checks(e, checks, ARRAY_COUNT(checks));
}
