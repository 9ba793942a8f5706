/* SPDX-License-Identifier: MIT */
/* Keeping the shadow VMCS and vmcs12 alike. */
#include "arch/x86/vmx/vmcs_shadow.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vmx_cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/string.h"
#include "mm/phys.h"
#include "nested/fields.h"

#define LINK_NONE UINT64_MAX

static void free_field(hpa_t bitmap, u32 field)
{
	u8 *bits = phys_ptr(bitmap);

	bits[field / 8] &= (u8) ~(1u << field % 8);
}

void vmcs_shadow_make(hpa_t region)
{
	u32 *revision = phys_ptr(region);

	vmx_write_revision(region);
	*revision |= (u32)VMCS12_SHADOW;
}

void vmcs_shadow_init(struct vcpu *vcpu)
{
	const struct nested_vcpu *n = vcpu->nested;

	memset(phys_ptr(n->vmread_bitmap), 0xff, PAGE_4K);
	memset(phys_ptr(n->vmwrite_bitmap), 0xff, PAGE_4K);
	for (u32 i = 0; i < NESTED_SHADOWED; i++) {
		free_field(n->vmread_bitmap, nested_shadowed[i].field);
		if (i < NESTED_SHADOWED_WRITABLE)
			free_field(n->vmwrite_bitmap, nested_shadowed[i].field);
	}
}

static void turn_off(struct nested_vcpu *n)
{
	n->shadowing = false;
	vmcs_write(VMCS_SECONDARY_CONTROLS, vmcs_read(VMCS_SECONDARY_CONTROLS) &
						~(u64)SECONDARY_VMCS_SHADOWING);
	vmcs_write(VMCS_LINK_POINTER, LINK_NONE);
}

void vmcs_shadow_switch(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	bool wanted =
	    vmx_capability.has_vmcs_shadowing && nested_has_current(&n->state);

	n->now->is_active |= wanted;

	if (n->shadowing == wanted) {
		if (wanted)
			vmcs_write(VMCS_LINK_POINTER,
				   hpa_raw(n->now->shadow_vmcs));
		return;
	}
	if (!wanted) {
		turn_off(n);
		return;
	}
	n->shadowing = true;
	vmcs_write(VMCS_SECONDARY_CONTROLS, vmcs_read(VMCS_SECONDARY_CONTROLS) |
						SECONDARY_VMCS_SHADOWING);
	vmcs_write(VMCS_VMREAD_BITMAP, hpa_raw(n->vmread_bitmap));
	vmcs_write(VMCS_VMWRITE_BITMAP, hpa_raw(n->vmwrite_bitmap));
	vmcs_write(VMCS_LINK_POINTER, hpa_raw(n->now->shadow_vmcs));
}

/* Spelled out, because it is done at nearly every exit and entry of L2. */
#define GIVE(field, member) vmcs_write_first(field, v->member);
#define TAKE(field, member) \
	v->member = (__typeof__(v->member))vmcs_read_first(field);

static u64 rights_of(const struct vmcs12 *v)
{
	return (u64)v->guest_rights[SEG12_SS] << 32 | v->guest_rights[SEG12_CS];
}

/*
 * Cleared before vmcs01 is in use again: what an entry finds through the link
 * pointer is memory.
 */
void vmcs_shadow_give(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	const struct vmcs12 *v = &n->state.vmcs12;

	if (!n->shadowing)
		return;
	vmcs_make_current(&n->now->shadow_vmcs);
	NESTED_SHADOWED_WRITABLE_FIELDS(GIVE)
	NESTED_SHADOWED_READ_FIELDS(GIVE)
	vmcs_write(VMCS_EXIT_REASON, v->exit_reason);
	n->now->given_event = true;
	n->now->given_rights = rights_of(v);
	vmcs_clear(&n->now->shadow_vmcs);
	vmcs_make_current(&vcpu->vmcs);
}

/* What L1 has not written does not make vmcs12 differ from memory. */
#define TAKE_IF_CHANGED(field, member)                             \
	do {                                                       \
		__typeof__(v->member) now =                        \
		    (__typeof__(v->member))vmcs_read_first(field); \
		changed |= now ^ v->member;                        \
		v->member = now;                                   \
	} while (0);

void vmcs_shadow_take(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	struct vmcs12 *v = &n->state.vmcs12;
	u64 changed = 0;

	if (!n->shadowing)
		return;
	vmcs_make_current(&n->now->shadow_vmcs);
	NESTED_SHADOWED_WRITABLE_FIELDS(TAKE_IF_CHANGED)
	v->guest_rip = vmcs_read(VMCS_GUEST_RIP);
	if (changed)
		n->state.vmcs12_changed = true;
	vmcs_clear(&n->now->shadow_vmcs);
	vmcs_make_current(&vcpu->vmcs);
}

bool vmcs_shadow_pause(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;

	if (!n || vcpu->in_l2 || !n->shadowing)
		return false;
	vmcs_shadow_take(vcpu);
	turn_off(n);
	return true;
}

void vmcs_shadow_go_on(struct vcpu *vcpu)
{
	if (vcpu->in_l2 || vcpu->nested->shadowing)
		return;
	vmcs_shadow_switch(vcpu);
	vmcs_shadow_give(vcpu);
}

void vmcs_shadow_take_event(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	struct vmcs12 *v = &n->state.vmcs12;

	if (!n->shadowing)
		return;
	vmcs_make_current(&n->now->shadow_vmcs);
	TAKE(VMCS_ENTRY_EXCEPTION_ERROR_CODE, entry_exception_error_code)
	v->entry_instruction_length =
	    (u32)vmcs_read(VMCS_ENTRY_INSTRUCTION_LENGTH);
	vmcs_clear(&n->now->shadow_vmcs);
	vmcs_make_current(&n->now->vmcs);
}

void vmcs_shadow_take_at_entry(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	struct vmcs12 *v = &n->state.vmcs12;

	if (!n->shadowing)
		return;
	vmcs_make_current(&n->now->shadow_vmcs);
	TAKE(VMCS_GUEST_RIP, guest_rip)
	TAKE(VMCS_GUEST_RSP, guest_rsp)
	TAKE(VMCS_GUEST_RFLAGS, guest_rflags)
	TAKE(VMCS_GUEST_INTERRUPTIBILITY, guest_interruptibility)
	v->entry_interruption_info =
	    (u32)vmcs_read(VMCS_ENTRY_INTERRUPTION_INFO);
	n->state.vmcs12_changed = true;
	vmcs_clear(&n->now->shadow_vmcs);
}

void vmcs_shadow_give_at_exit(struct vcpu *vcpu, enum vmcs_shadow_exit kind)
{
	struct nested_vcpu *n = vcpu->nested;
	const struct vmcs12 *v = &n->state.vmcs12;
	u64 rights = rights_of(v);

	if (!n->shadowing)
		return;
	vmcs_make_current(&n->now->shadow_vmcs);
	GIVE(VMCS_GUEST_RIP, guest_rip)
	GIVE(VMCS_GUEST_RSP, guest_rsp)
	GIVE(VMCS_GUEST_RFLAGS, guest_rflags)
	GIVE(VMCS_GUEST_INTERRUPTIBILITY, guest_interruptibility)
	GIVE(VMCS_EXIT_QUALIFICATION, exit_qualification)
	GIVE(VMCS_EXIT_INSTRUCTION_LENGTH, exit_instruction_length)
	if (unlikely(rights != n->now->given_rights)) {
		GIVE(VMCS_GUEST_CS_ACCESS_RIGHTS, guest_rights[SEG12_CS])
		GIVE(VMCS_GUEST_SS_ACCESS_RIGHTS, guest_rights[SEG12_SS])
		n->now->given_rights = rights;
	}
	if (kind == VMCS_SHADOW_EXIT_ANY || n->now->given_event) {
		NESTED_SHADOWED_READ_FIELDS(GIVE)
		/* All of the event that an exit changes. */
		GIVE(VMCS_ENTRY_INTERRUPTION_INFO, entry_interruption_info)
		n->now->given_event = kind == VMCS_SHADOW_EXIT_ANY;
	}
	vmcs_write(VMCS_EXIT_REASON, v->exit_reason);
	vmcs_clear(&n->now->shadow_vmcs);
}
