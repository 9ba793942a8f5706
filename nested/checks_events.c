/* SPDX-License-Identifier: MIT */
/*
 * SDM vol. 3, "VM-Exit Control Fields" and "VM-Entry Control Fields", among the
 * checks of VM entries: MSR areas and the event to inject.
 */
#include "nested/checks_parts.h"

#define EVENT_RESERVED  BITS(30, 12)
#define ERROR_CODE_BITS BITS(15, 0)
#define LENGTH_MAX      15

/* Those that normally push an error code; #CP would need CET, not offered. */
#define WITH_ERROR_CODE                                              \
	(BIT(EXCEPTION_DF) | BIT(EXCEPTION_TS) | BIT(EXCEPTION_NP) | \
	 BIT(EXCEPTION_SS) | BIT(EXCEPTION_GP) | BIT(EXCEPTION_PF) | \
	 BIT(EXCEPTION_AC))

/* 16 bytes per entry; a count of 0 has no address. */
static bool is_area(const struct nested_entry *e, u64 address, u32 count)
{
	u64 last = address + 16UL * count - 1;

	return !count || (is_aligned(address, 16) && is_in_width(e, address) &&
			  is_in_width(e, last));
}

static enum nested_rule check_exit(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;

	RULE(is_allowed(e, CONTROLS_EXIT, v->exit_controls), EXIT_RESERVED);
	RULE(has_pin(e, PIN_PREEMPTION_TIMER) ||
		 !has_exit(e, EXIT_SAVE_PREEMPTION_TIMER),
	     SAVE_TIMER);
	RULE(is_area(e, v->exit_msr_store_address, v->exit_msr_store_count),
	     EXIT_STORE_AREA);
	RULE(is_area(e, v->exit_msr_load_address, v->exit_msr_load_count),
	     EXIT_LOAD_AREA);
	return RULE_NONE;
}

static bool is_type(const struct nested_entry *e, enum event_type type)
{
	if (type == EVENT_OTHER)
		return nested_capability_allows(e->offer, CONTROLS_PRIMARY,
						PRIMARY_MONITOR_TRAP);
	return (u32)type != 1;
}

static bool vector_fits(enum event_type type, u64 vector)
{
	switch (type) {
	case EVENT_NMI:
		return vector == EXCEPTION_NMI;
	case EVENT_HARDWARE_EXCEPTION:
		return vector < EXCEPTION_COUNT;
	case EVENT_OTHER:
		return vector == 0;
	case EVENT_EXTERNAL_INTERRUPT:
	case EVENT_SOFTWARE_INTERRUPT:
	case EVENT_PRIVILEGED_SOFTWARE_EXCEPTION:
	case EVENT_SOFTWARE_EXCEPTION:
		break;
	}
	return true;
}

/* In real mode nothing has an error code; else the vector decides, or L1. */
static bool error_code_fits(const struct nested_entry *e, enum event_type type,
			    u64 vector)
{
	bool delivers = e->v->entry_interruption_info & EVENT_HAS_ERROR_CODE;
	bool real_mode = has_secondary(e, SECONDARY_UNRESTRICTED_GUEST) &&
			 !(e->v->guest_cr0 & CR0_PE);

	if (type != EVENT_HARDWARE_EXCEPTION || real_mode)
		return !delivers;
	if (e->offer->basic & BASIC_ANY_ERROR_CODE)
		return true;
	return delivers == ((WITH_ERROR_CODE >> vector & 1) != 0);
}

static bool length_fits(const struct nested_entry *e, enum event_type type)
{
	u32 length = e->v->entry_instruction_length;

	if (type != EVENT_SOFTWARE_INTERRUPT &&
	    type != EVENT_PRIVILEGED_SOFTWARE_EXCEPTION &&
	    type != EVENT_SOFTWARE_EXCEPTION)
		return true;
	if (length == 0)
		return (e->offer->misc & MISC_INJECT_LENGTH_0) != 0;
	return length <= LENGTH_MAX;
}

enum nested_rule nested_check_event(const struct nested_entry *e)
{
	u32 info = e->v->entry_interruption_info;
	enum event_type type = event_type(info);
	u64 vector = info & EVENT_VECTOR;

	if (!is_injecting(e))
		return RULE_NONE;
	RULE(is_type(e, type), INJECT_TYPE);
	RULE(vector_fits(type, vector), INJECT_VECTOR);
	RULE(error_code_fits(e, type, vector), INJECT_ERROR_CODE);
	RULE(!(info & EVENT_RESERVED), INJECT_RESERVED);
	RULE(!(info & EVENT_HAS_ERROR_CODE) ||
		 !(e->v->entry_exception_error_code & ~ERROR_CODE_BITS),
	     INJECT_ERROR_VALUE);
	RULE(length_fits(e, type), INJECT_LENGTH);
	return RULE_NONE;
}

/* Entering SMM and leaving its dual-monitor treatment are not offered. */
static enum nested_rule check_entry(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;
	enum nested_rule rule;

	RULE(is_allowed(e, CONTROLS_ENTRY, v->entry_controls), ENTRY_RESERVED);
	rule = nested_check_event(e);
	if (rule != RULE_NONE)
		return rule;
	RULE(is_area(e, v->entry_msr_load_address, v->entry_msr_load_count),
	     ENTRY_LOAD_AREA);
	return RULE_NONE;
}

enum nested_rule nested_check_exit_entry(const struct nested_entry *e)
{
	static nested_check *const checks[] = {check_exit, check_entry};

	return nested_run_checks(e, checks, ARRAY_COUNT(checks));
}
