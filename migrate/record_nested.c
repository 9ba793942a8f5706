/* SPDX-License-Identifier: MIT */
/* VMX operation of a vCPU: see migrate/record_nested.h. */
#include "migrate/record_nested.h"
#include "lib/check.h"
#include "lib/string.h"
#include "nested/checks.h"
#include "nested/merge.h"

/* With an enlightened VMCS, whose contents follow; the current VMCS is none. */
#define NESTED_ENLIGHTENED   2
#define NESTED_VERSION       1 /* of all others, and of all older records */
#define EVMCS_VERSION_1      1
#define L2_VERSION           1
#define LINEAR_BITS          48

#define NESTED(member, bits) RECORD_FIELD(struct nested_state, member, bits)

static const struct record_field pointer_fields[] = {
    NESTED(vmxon, RECORD_ANY),
    NESTED(current, RECORD_ANY),
};

static const struct record_layout pointer_layout =
    RECORD_LAYOUT("VMX operation", pointer_fields);

/* Only if there is a current VMCS, or an enlightened one. */
static const struct record_field current_fields[] = {
    NESTED(vmcs12_changed, RECORD_BOOL),
};

static const struct record_layout current_layout =
    RECORD_LAYOUT("current VMCS", current_fields);

void record_put_nested(struct wire_writer *writer,
		       const struct nested_state *state)
{
	u32 begun = record_begin(writer, RECORD_NESTED,
				 state->is_enlightened ? NESTED_ENLIGHTENED
						       : NESTED_VERSION);

	CHECK(nested_in_vmx(state));
	record_put(writer, &pointer_layout, state);
	if (nested_has_vmcs12(state)) {
		record_put(writer, &current_layout, state);
		wire_put_bytes(writer, &state->vmcs12, sizeof(state->vmcs12));
	}
	record_end(writer, begun);
}

/* --- May a CPU be in that state? ------------------------------------------ */

/* What VMXON asks for; INIT is blocked in VMX operation. */
static void check_cpu(struct record_reader *reader, const struct record_l1 *l1)
{
	const struct nested_capability *c = l1->offer;
	const struct record_vcpu *vcpu = l1->vcpu;
	const u64 enabled =
	    FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX;

	record_must(reader, (vcpu->feature_control & enabled) == enabled,
		    "VMX operation that IA32_FEATURE_CONTROL forbids");
	record_must(reader,
		    (vcpu->cr0 & c->cr0_fixed0) == c->cr0_fixed0 &&
			!(vcpu->cr0 & ~c->cr0_fixed1),
		    "VMX operation with such a CR0");
	record_must(reader,
		    (vcpu->cr4 & c->cr4_fixed0) == c->cr4_fixed0 &&
			!(vcpu->cr4 & ~c->cr4_fixed1),
		    "VMX operation with such a CR4");
	record_must(reader, vcpu->activity != RECORD_WAIT_FOR_SIPI,
		    "VMX operation while waiting for a start-up IPI");
}

static bool is_region(const struct record_l1 *l1, gpa_t region)
{
	return is_aligned(gpa_raw(region), PAGE_4K) &&
	       !(gpa_raw(region) >> l1->physical_bits);
}

static void check_pointers(struct record_reader *reader,
			   const struct record_l1 *l1,
			   const struct nested_state *state)
{
	record_must(reader, is_region(l1, state->vmxon), "the VMXON pointer");
	record_must(reader,
		    !nested_has_current(state) ||
			(is_region(l1, state->current) &&
			 !gpa_equal(state->current, state->vmxon)),
		    "the current-VMCS pointer");
}

/* What VMPTRLD refuses; all else L1 may have written there. */
static void check_vmcs12(struct record_reader *reader,
			 const struct record_l1 *l1, const struct vmcs12 *v)
{
	bool may_shadow = nested_capability_allows(
	    l1->offer, CONTROLS_SECONDARY, SECONDARY_VMCS_SHADOWING);

	record_must(reader,
		    (v->revision & ~(u32)VMCS12_SHADOW) == NESTED_REVISION,
		    "the revision of the current VMCS");
	record_must(reader, may_shadow || !(v->revision & (u32)VMCS12_SHADOW),
		    "a shadow VMCS, which this VM has not got,");
	record_must(reader,
		    v->launch_state == VMCS12_CLEAR ||
			v->launch_state == VMCS12_LAUNCHED,
		    "the launch state");
}

static void get_current(struct record_reader *reader,
			const struct record_l1 *l1, struct nested_state *state)
{
	const u8 *vmcs12;

	record_get(reader, &current_layout, state);
	vmcs12 = wire_get_bytes(&reader->section, sizeof(state->vmcs12));
	if (!vmcs12) {
		record_refuse(reader, "section %s of the state is too short",
			      reader->name);
		return;
	}
	memcpy(&state->vmcs12, vmcs12, sizeof(state->vmcs12));
	check_vmcs12(reader, l1, &state->vmcs12);
}

/* What L1 calls clean is not trusted: its page is read anew at its entry. */
static void begin_evmcs(struct record_reader *reader,
			const struct record_l1 *l1, struct nested_state *state)
{
	record_must(reader, l1->hyperv,
		    "an enlightened VMCS, which this VM has not got,");
	record_must(reader, !nested_has_current(state),
		    "a current VMCS beside an enlightened one");
	state->is_enlightened = true;
	state->evmcs_is_known = false;
	state->evmcs = gpa(NESTED_NO_POINTER);
}

void record_get_nested(struct record_reader *reader, const struct record_l1 *l1,
		       struct nested_state *state)
{
	record_enter(reader, RECORD_NESTED, NESTED_ENLIGHTENED);
	record_get(reader, &pointer_layout, state);
	if (reader->version == NESTED_ENLIGHTENED)
		begin_evmcs(reader, l1, state);
	if (!reader->is_wrong && nested_has_vmcs12(state))
		get_current(reader, l1, state);
	record_must(reader,
		    !state->is_enlightened ||
			!(state->vmcs12.revision & (u32)VMCS12_SHADOW),
		    "a shadow VMCS that is enlightened");
	record_leave(reader);
	check_cpu(reader, l1);
	check_pointers(reader, l1, state);
}

/* --- An enlightened VMCS -------------------------------------------------- */

static const struct record_field evmcs_record_fields[] = {
    NESTED(evmcs, RECORD_ANY),
};

static const struct record_layout evmcs_layout =
    RECORD_LAYOUT("enlightened VMCS", evmcs_record_fields);

void record_put_evmcs(struct wire_writer *writer,
		      const struct nested_state *state)
{
	u32 begun = record_begin(writer, RECORD_EVMCS, EVMCS_VERSION_1);

	CHECK(state->is_enlightened);
	record_put(writer, &evmcs_layout, state);
	record_end(writer, begun);
}

void record_get_evmcs(struct record_reader *reader, const struct record_l1 *l1,
		      struct nested_state *state)
{
	record_enter(reader, RECORD_EVMCS, EVMCS_VERSION_1);
	record_get(reader, &evmcs_layout, state);
	record_leave(reader);
	record_must(reader, state->is_enlightened,
		    "an address of one that is not used");
	record_must(reader,
		    is_region(l1, state->evmcs) &&
			!gpa_equal(state->evmcs, state->vmxon),
		    "the address of the enlightened VMCS");
}

/* --- While L2 runs -------------------------------------------------------- */

#define L2(member, bits) RECORD_FIELD(struct record_l2, member, bits)

static const struct record_field l2_fields[] = {
    L2(activity, BITS(1, 0)),
    L2(entry_pending, RECORD_BOOL),
    L2(timer_runs, RECORD_BOOL),
    L2(timer_deadline, RECORD_ANY),
    L2(event, RECORD_ANY),
    L2(event_error_code, RECORD_ANY),
    L2(event_instruction_length, RECORD_ANY),
    L2(postponed_interrupt, EVENT_VALID | EVENT_TYPE | EVENT_VECTOR),
    L2(exception,
       EVENT_VALID | EVENT_HAS_ERROR_CODE | EVENT_TYPE | EVENT_VECTOR),
    L2(exception_error_code, RECORD_ANY),
    L2(exception_qualification, RECORD_ANY),
    L2(efer, RECORD_EFER),
    L2(pat, RECORD_ANY),
    L2(dr7, BITS(31, 0)),
    L2(debugctl, DEBUGCTL_OF_GUESTS),
    RECORD_ARRAY(struct record_l2, pdpte, RECORD_ANY),
    L2(cr0_kept, NESTED_CR0_KEPT),
};

static const struct record_layout l2_layout = RECORD_LAYOUT("L2", l2_fields);

void record_put_l2(struct wire_writer *writer, const struct record_l2 *l2)
{
	u32 begun = record_begin(writer, RECORD_L2, L2_VERSION);

	record_put(writer, &l2_layout, l2);
	record_end(writer, begun);
}

static bool is_exception(u32 info)
{
	return (info & EVENT_VALID) &&
	       event_type(info) == EVENT_HARDWARE_EXCEPTION &&
	       (info & EVENT_VECTOR) < 32;
}

static bool is_interrupt(u32 info)
{
	return (info & EVENT_VALID) &&
	       event_type(info) == EVENT_EXTERNAL_INTERRUPT;
}

static void check_l2_events(struct record_reader *reader,
			    const struct nested_state *state,
			    const struct record_l2 *l2)
{
	record_must(reader,
		    (l2->event & EVENT_VALID) ||
			!(l2->event | l2->event_error_code |
			  l2->event_instruction_length),
		    "an event that is none");
	record_must(reader,
		    !l2->postponed_interrupt ||
			is_interrupt(l2->postponed_interrupt),
		    "an interrupt that is none");
	record_must(reader,
		    is_exception(l2->exception) ||
			!(l2->exception | l2->exception_error_code |
			  l2->exception_qualification),
		    "an exception that is none");
	record_must(reader,
		    !l2->timer_runs ||
			(state->vmcs12.pin_controls & PIN_PREEMPTION_TIMER),
		    "a preemption timer that L1 has not asked for,");
}

/*
 * As a VM entry of vmcs02 would find it: the event of Umbra, under controls of
 * L1's and Umbra's together, with registers that the entry would load.
 */
static void describe_l2(const struct record_l2 *l2, struct vmcs12 *v)
{
	v->guest_interruptibility &= ~nested_held_nmis(v);
	v->pin_controls |= (u32)(PIN_NMI | PIN_VIRTUAL_NMIS);
	v->entry_controls |=
	    (u32)(ENTRY_LOAD_EFER | ENTRY_LOAD_PAT | ENTRY_LOAD_DEBUG_CONTROLS);
	v->guest_efer = l2->efer;
	v->guest_pat = l2->pat;
	v->guest_dr7 = l2->dr7;
	v->guest_debugctl = l2->debugctl;
	memcpy(v->guest_pdpte, l2->pdpte, sizeof(v->guest_pdpte));
	v->guest_activity = ACTIVITY_ACTIVE;
	v->entry_interruption_info = l2->event;
	v->entry_exception_error_code = l2->event_error_code;
	v->entry_instruction_length = l2->event_instruction_length;
}

/* The entry that led to it must have been possible, and so must another be. */
static enum nested_rule broken_rule(const struct record_l1 *l1,
				    const struct nested_state *state,
				    const struct record_l2 *l2)
{
	static struct vmcs12 v; /* large; one record is read at a time */
	const struct nested_entry e = {
	    .v = &v,
	    .offer = l1->offer,
	    .region = state->current,
	    .l1_efer = l1->vcpu->efer,
	    .efer_defined = RECORD_EFER,
	    .debugctl_defined = DEBUGCTL_OF_GUESTS,
	    .phys_bits = l1->physical_bits,
	    .linear_bits = LINEAR_BITS,
	};
	enum nested_rule rule;

	v = state->vmcs12;
	/* What it injected has been taken out of it. */
	v.entry_interruption_info &= ~(u32)EVENT_VALID;
	rule = nested_check_controls_and_host(&e);
	if (rule != RULE_NONE)
		return rule;
	describe_l2(l2, &v);
	return nested_check_guest_state(&e);
}

static void check_l2(struct record_reader *reader, const struct record_l1 *l1,
		     const struct nested_state *state,
		     const struct record_l2 *l2)
{
	enum nested_rule rule;

	record_must(reader,
		    nested_has_vmcs12(state) &&
			state->vmcs12.launch_state == VMCS12_LAUNCHED &&
			!(state->vmcs12.revision & (u32)VMCS12_SHADOW),
		    "L2 without a launched VMCS");
	record_must(reader,
		    !(l1->vcpu->event & EVENT_VALID) &&
			!l1->vcpu->postponed_interrupt &&
			l1->vcpu->activity == RECORD_ACTIVE,
		    "an L1 that waits for its own events");
	record_must(reader,
		    !state->is_enlightened || nested_knows_evmcs(state) ||
			hyperv_has_assist(l1->hyperv),
		    "an enlightened VMCS that nothing leads to");
	check_l2_events(reader, state, l2);
	if (reader->is_wrong)
		return;
	rule = broken_rule(l1, state, l2);
	if (rule != RULE_NONE)
		record_refuse(reader,
			      "vCPU %u: no CPU can be in that state of L2: %s",
			      l1->vcpu->index, nested_rule_text(rule));
}

void record_get_l2(struct record_reader *reader, const struct record_l1 *l1,
		   const struct nested_state *state, struct record_l2 *l2)
{
	memset(l2, 0, sizeof(*l2));
	record_enter(reader, RECORD_L2, L2_VERSION);
	record_get(reader, &l2_layout, l2);
	record_leave(reader);
	if (!reader->is_wrong)
		check_l2(reader, l1, state, l2);
}
