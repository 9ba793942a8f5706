/* SPDX-License-Identifier: MIT */
/*
 * SDM vol. 3, "Checks on Guest Non-Register State" and "Checks on Guest
 * Page-Directory-Pointer-Table Entries".
 */
#include "nested/checks_parts.h"

#define BLOCKING_KNOWN                                            \
	(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS | BLOCKING_BY_SMI | \
	 BLOCKING_BY_NMI)

/* Breakpoints met; "enabled breakpoint"; single step. No RTM, no bus lock. */
#define DEBUG_KNOWN    (BITS(3, 0) | BIT(12) | BIT(14))
#define DEBUG_BS       BIT(14)
#define DEBUGCTL_BTF   BIT(1)

#define NO_LINK        (~0UL)
#define PDPTE_PRESENT  BIT(0)
#define PDPTE_RESERVED (BITS(2, 1) | BITS(8, 5))
#define PAE_CR3        BITS(31, 5)

static bool is_blocked(const struct nested_entry *e, u64 bits)
{
	return (e->v->guest_interruptibility & bits) != 0;
}

static bool activity_is_offered(const struct nested_entry *e)
{
	switch (e->v->guest_activity) {
	case ACTIVITY_ACTIVE:
		return true;
	case ACTIVITY_HLT:
		return e->offer->misc & MISC_HLT;
	case ACTIVITY_SHUTDOWN:
		return e->offer->misc & MISC_SHUTDOWN;
	case ACTIVITY_WAIT_FOR_SIPI:
		return e->offer->misc & MISC_WAIT_FOR_SIPI;
	default:
		return false;
	}
}

/* What wakes a halted CPU: interrupts, NMIs, #DB, #MC, an MTF exit. */
static bool wakes_from_hlt(enum event_type type, u64 vector)
{
	switch (type) {
	case EVENT_EXTERNAL_INTERRUPT:
	case EVENT_NMI:
	case EVENT_OTHER:
		return true;
	case EVENT_HARDWARE_EXCEPTION:
		return vector == EXCEPTION_DB || vector == EXCEPTION_MC;
	case EVENT_SOFTWARE_INTERRUPT:
	case EVENT_PRIVILEGED_SOFTWARE_EXCEPTION:
	case EVENT_SOFTWARE_EXCEPTION:
		break;
	}
	return false;
}

static bool event_fits_activity(const struct nested_entry *e)
{
	u32 info = e->v->entry_interruption_info;
	enum event_type type = event_type(info);
	u64 vector = info & EVENT_VECTOR;

	if (!is_injecting(e))
		return true;
	switch (e->v->guest_activity) {
	case ACTIVITY_HLT:
		return wakes_from_hlt(type, vector);
	case ACTIVITY_SHUTDOWN:
		return type == EVENT_NMI || (type == EVENT_HARDWARE_EXCEPTION &&
					     vector == EXCEPTION_MC);
	case ACTIVITY_WAIT_FOR_SIPI:
		return false;
	default:
		return true;
	}
}

static enum nested_rule check_activity(const struct nested_entry *e)
{
	u32 activity = e->v->guest_activity;
	u64 ss_dpl = bits_get(e->v->guest_rights[SEG12_SS], RIGHTS_DPL);

	RULE(activity_is_offered(e), ACTIVITY);
	RULE(activity != ACTIVITY_HLT || ss_dpl == 0, ACTIVITY_HLT);
	RULE(activity == ACTIVITY_ACTIVE ||
		 !is_blocked(e, BLOCKING_BY_STI | BLOCKING_BY_MOV_SS),
	     ACTIVITY_BLOCKING);
	RULE(event_fits_activity(e), ACTIVITY_EVENT);
	return RULE_NONE;
}

static enum nested_rule check_blocking(const struct nested_entry *e)
{
	bool sti = is_blocked(e, BLOCKING_BY_STI);
	bool mov_ss = is_blocked(e, BLOCKING_BY_MOV_SS);
	bool nmi = is_injecting_type(e, EVENT_NMI);

	RULE(!is_blocked(e, ~BLOCKING_KNOWN), BLOCKING_RESERVED);
	RULE(!sti || !mov_ss, BLOCKING_BOTH);
	RULE(!sti || (e->v->guest_rflags & RFLAGS_IF), BLOCKING_STI_IF);
	RULE((!sti && !mov_ss) ||
		 !is_injecting_type(e, EVENT_EXTERNAL_INTERRUPT),
	     BLOCKING_INTERRUPT);
	RULE(!nmi || !mov_ss, BLOCKING_NMI_MOV_SS);
	RULE(!is_blocked(e, BLOCKING_BY_SMI), BLOCKING_SMI);
	RULE(!nmi || !sti, BLOCKING_NMI_STI);
	RULE(!nmi || !has_pin(e, PIN_VIRTUAL_NMIS) ||
		 !is_blocked(e, BLOCKING_BY_NMI),
	     BLOCKING_NMI);
	return RULE_NONE;
}

static enum nested_rule check_debug(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;
	bool held_back = is_blocked(e, BLOCKING_BY_STI | BLOCKING_BY_MOV_SS) ||
			 v->guest_activity == ACTIVITY_HLT;
	bool steps = (v->guest_rflags & RFLAGS_TF) &&
		     !(v->guest_debugctl & DEBUGCTL_BTF);

	RULE(!(v->guest_pending_debug & ~DEBUG_KNOWN), DEBUG_RESERVED);
	RULE(!held_back || ((v->guest_pending_debug & DEBUG_BS) != 0) == steps,
	     DEBUG_BS);
	return RULE_NONE;
}

static enum nested_rule check_link(const struct nested_entry *e)
{
	u64 link = e->v->link_pointer;
	u32 revision;

	if (link == NO_LINK)
		return RULE_NONE;
	RULE(is_page(e, link), LINK_ADDRESS);
	if (!e->mem)
		return RULE_NONE;
	revision = vmcs12_load_revision(e->mem, gpa(link));
	RULE((revision & ~VMCS12_SHADOW) == NESTED_REVISION, LINK_REVISION);
	RULE(((revision & VMCS12_SHADOW) != 0) ==
		 has_secondary(e, SECONDARY_VMCS_SHADOWING),
	     LINK_SHADOW);
	RULE(!gpa_equal(gpa(link), e->region), LINK_CURRENT);
	return RULE_NONE;
}

enum nested_rule nested_check_non_register(const struct nested_entry *e)
{
	static nested_check *const checks[] = {check_activity, check_blocking,
					       check_debug, check_link};

	return nested_run_checks(e, checks, ARRAY_COUNT(checks));
}

bool nested_uses_pae(const struct vmcs12 *v)
{
	return (v->guest_cr0 & CR0_PG) && (v->guest_cr4 & CR4_PAE) &&
	       !(v->entry_controls & ENTRY_IA32E_MODE_GUEST);
}

/* Without EPT they come from where CR3 points to. */
static void find_pdptes(const struct nested_entry *e, u64 pdptes[4])
{
	gpa_t table = gpa(e->v->guest_cr3 & PAE_CR3);

	for (u32 i = 0; i < 4; i++)
		if (has_secondary(e, SECONDARY_EPT) || !e->mem)
			pdptes[i] = e->v->guest_pdpte[i];
		else if (guest_mem_read_u64(e->mem, gpa_add(table, 8UL * i),
					    &pdptes[i]) != OK)
			pdptes[i] = ~0UL;
}

enum nested_rule nested_check_pdptes(const struct nested_entry *e,
				     u64 pdptes[4])
{
	u64 reserved = PDPTE_RESERVED | ~0UL << e->phys_bits;

	if (!nested_uses_pae(e->v))
		return RULE_NONE;
	find_pdptes(e, pdptes);
	for (u32 i = 0; i < 4; i++)
		RULE(!(pdptes[i] & PDPTE_PRESENT) || !(pdptes[i] & reserved),
		     PDPTE);
	return RULE_NONE;
}
