/* SPDX-License-Identifier: MIT */
/* The order of a VM entry's checks, their verdict, and MSR areas. */
#include "nested/checks_parts.h"

/* SDM vol. 3, "VM-Entry Failures During or After Loading Guest State". */
#define QUALIFICATION_PDPTE   2
#define QUALIFICATION_NMI_STI 3
#define QUALIFICATION_LINK    4

#define MSR_ENTRY_BYTES       16UL
#define MSR_ENTRY_VALUE       8UL
#define MSR_UPDATE_TRIGGER    0x79u
#define MSR_SMM_MONITOR_CTL   0x9bu
#define MSR_SMBASE            0x9eu

static const char *const rule_texts[RULE_COUNT] = {
#define TEXT(name, text) [RULE_##name] = (text),
    NESTED_CONTROL_RULES(TEXT) NESTED_HOST_RULES(TEXT) NESTED_GUEST_RULES(TEXT)
#undef TEXT
};

const char *nested_rule_text(enum nested_rule rule)
{
	if (rule >= RULE_COUNT || !rule_texts[rule])
		return "no rule is broken";
	return rule_texts[rule];
}

static u64 qualification_of(enum nested_rule rule)
{
	if (rule == RULE_PDPTE)
		return QUALIFICATION_PDPTE;
	if (rule == RULE_BLOCKING_NMI_STI)
		return QUALIFICATION_NMI_STI;
	if (rule >= RULE_LINK_ADDRESS && rule <= RULE_LINK_CURRENT)
		return QUALIFICATION_LINK;
	return 0;
}

static void conclude(struct nested_verdict *verdict, enum nested_rule rule)
{
	verdict->rule = rule;
	if (rule == RULE_NONE) {
		verdict->kind = NESTED_ENTRY_OK;
	} else if (rule < RULE_CONTROLS_END) {
		verdict->kind = NESTED_ENTRY_VMFAIL;
		verdict->number = VMX_ERROR_ENTRY_CONTROLS;
	} else if (rule < RULE_HOST_END) {
		verdict->kind = NESTED_ENTRY_VMFAIL;
		verdict->number = VMX_ERROR_ENTRY_HOST_STATE;
	} else {
		verdict->kind = NESTED_ENTRY_EXIT;
		verdict->number = EXIT_ENTRY_GUEST_STATE;
		verdict->qualification = qualification_of(rule);
	}
}

struct nested_verdict nested_check_entry(const struct nested_entry *e)
{
	static nested_check *const checks[] = {
	    nested_check_controls,     nested_check_exit_entry,
	    nested_check_host,         nested_check_registers,
	    nested_check_segments,     nested_check_tables,
	    nested_check_non_register,
	};
	struct nested_verdict verdict = {.rule = RULE_NONE};
	enum nested_rule rule =
	    nested_run_checks(e, checks, ARRAY_COUNT(checks));

	if (rule == RULE_NONE)
		rule = nested_check_pdptes(e, verdict.pdptes);
	conclude(&verdict, rule);
	return verdict;
}

enum nested_rule nested_check_controls_and_host(const struct nested_entry *e)
{
	static nested_check *const checks[] = {
	    nested_check_controls,
	    nested_check_exit_entry,
	    nested_check_host,
	};

	return nested_run_checks(e, checks, ARRAY_COUNT(checks));
}

enum nested_rule nested_check_guest_state(const struct nested_entry *e)
{
	static nested_check *const checks[] = {
	    nested_check_event,        nested_check_registers,
	    nested_check_segments,     nested_check_tables,
	    nested_check_non_register,
	};
	u64 pdptes[4];
	enum nested_rule rule =
	    nested_run_checks(e, checks, ARRAY_COUNT(checks));

	return rule == RULE_NONE ? nested_check_pdptes(e, pdptes) : rule;
}

/* 64-bit guests, whose PDPTEs, segments and modes nobody looks at. */
bool nested_can_check_again(const struct vmcs12 *v)
{
	const u32 exception =
	    (u32)(EVENT_VALID | (u32)EVENT_HARDWARE_EXCEPTION << 8);

	return (v->entry_controls & ENTRY_IA32E_MODE_GUEST) &&
	       !(v->guest_rflags & RFLAGS_VM) &&
	       !(v->guest_interruptibility &
		 (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)) &&
	       v->guest_activity == ACTIVITY_ACTIVE &&
	       (v->entry_interruption_info & (EVENT_VALID | EVENT_TYPE)) !=
		   exception;
}

bool nested_needs_no_check(const struct vmcs12 *v, u32 linear_bits)
{
	u64 above = v->guest_rip >> linear_bits;

	return (v->entry_controls & ENTRY_IA32E_MODE_GUEST) &&
	       (v->guest_rights[SEG12_CS] & RIGHTS_LONG) &&
	       (above == 0 || above == ~0UL >> linear_bits) &&
	       (v->guest_rflags &
		(RFLAGS_RESERVED | RFLAGS_VM | RFLAGS_FIXED)) == RFLAGS_FIXED &&
	       !v->guest_interruptibility &&
	       v->guest_activity == ACTIVITY_ACTIVE &&
	       !(v->entry_interruption_info & EVENT_VALID) &&
	       v->link_pointer == UINT64_MAX &&
	       !(v->primary_controls & PRIMARY_TPR_SHADOW);
}

struct nested_verdict nested_check_entry_again(const struct nested_entry *e)
{
	static nested_check *const checks[] = {
	    nested_check_tpr,
	    nested_check_exit_entry,
	    nested_check_tables,
	    nested_check_non_register,
	};
	struct nested_verdict verdict = {.rule = RULE_NONE};

	conclude(&verdict, nested_run_checks(e, checks, ARRAY_COUNT(checks)));
	return verdict;
}

struct area {
	u64 address;
	u32 count;
};

static struct area area_of(const struct vmcs12 *v, enum nested_msr_area area)
{
	switch (area) {
	case NESTED_MSR_ENTRY_LOAD:
		return (struct area){v->entry_msr_load_address,
				     v->entry_msr_load_count};
	case NESTED_MSR_EXIT_LOAD:
		return (struct area){v->exit_msr_load_address,
				     v->exit_msr_load_count};
	case NESTED_MSR_EXIT_STORE:
		break;
	}
	return (struct area){v->exit_msr_store_address,
			     v->exit_msr_store_count};
}

/*
 * x2APIC registers are never switched so; FS and GS bases have fields of their
 * own; the rest are MSRs of SMM or of microcode updates.
 */
static bool may_be_in(enum nested_msr_area area, u32 msr)
{
	if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST)
		return false;
	if (area == NESTED_MSR_EXIT_STORE)
		return msr != MSR_SMBASE;
	return msr != MSR_FS_BASE && msr != MSR_GS_BASE &&
	       msr != MSR_SMM_MONITOR_CTL && msr != MSR_UPDATE_TRIGGER &&
	       msr != MSR_BIOS_SIGN_ID;
}

enum err nested_msr_get(const struct nested_entry *e, enum nested_msr_area area,
			u32 index, struct nested_msr *msr)
{
	struct area where = area_of(e->v, area);
	u64 words[2]; /* the MSR in bits 31:0, its value in 127:64 */

	if (index >= where.count)
		return ERR_NOT_FOUND;
	if (index >= nested_capability_msr_limit(e->offer) ||
	    guest_mem_read(e->mem, gpa(where.address + MSR_ENTRY_BYTES * index),
			   words, sizeof(words)) != OK ||
	    high32(words[0]) || !may_be_in(area, low32(words[0])))
		return ERR_STATE;
	*msr = (struct nested_msr){low32(words[0]), words[1]};
	return OK;
}

void nested_msr_put(const struct vmcs12 *v, struct guest_mem *mem, u32 index,
		    u64 value)
{
	enum err ignored =
	    guest_mem_write_u64(mem,
				gpa(v->exit_msr_store_address +
				    MSR_ENTRY_BYTES * index + MSR_ENTRY_VALUE),
				value);

	(void)ignored; /* the entry was read, but may lie in ROM */
}
