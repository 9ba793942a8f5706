/* SPDX-License-Identifier: MIT */
/* VMX operation of a vCPU: see migrate/record_nested.h. */
#include "migrate/record_nested.h"
#include "lib/check.h"
#include "lib/string.h"

#define NESTED_VERSION       1

#define NESTED(member, bits) RECORD_FIELD(struct nested_state, member, bits)

static const struct record_field pointer_fields[] = {
    NESTED(vmxon, RECORD_ANY),
    NESTED(current, RECORD_ANY),
};

static const struct record_layout pointer_layout =
    RECORD_LAYOUT("VMX operation", pointer_fields);

/* Only if there is a current VMCS. */
static const struct record_field current_fields[] = {
    NESTED(vmcs12_changed, RECORD_BOOL),
};

static const struct record_layout current_layout =
    RECORD_LAYOUT("current VMCS", current_fields);

void record_put_nested(struct wire_writer *writer,
		       const struct nested_state *state)
{
	u32 begun = record_begin(writer, RECORD_NESTED, NESTED_VERSION);

	CHECK(nested_in_vmx(state) && !state->in_l2);
	record_put(writer, &pointer_layout, state);
	if (nested_has_current(state)) {
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

void record_get_nested(struct record_reader *reader, const struct record_l1 *l1,
		       struct nested_state *state)
{
	record_enter(reader, RECORD_NESTED, NESTED_VERSION);
	record_get(reader, &pointer_layout, state);
	if (!reader->is_wrong && nested_has_current(state))
		get_current(reader, l1, state);
	record_leave(reader);
	check_cpu(reader, l1);
	check_pointers(reader, l1, state);
}
