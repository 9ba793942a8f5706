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

void vmcs_shadow_init(struct vcpu *vcpu)
{
	const struct nested_vcpu *n = vcpu->nested;
	u32 *revision = phys_ptr(n->shadow_vmcs);

	vmx_write_revision(n->shadow_vmcs);
	*revision |= (u32)VMCS12_SHADOW;
	memset(phys_ptr(n->vmread_bitmap), 0xff, PAGE_4K);
	memset(phys_ptr(n->vmwrite_bitmap), 0xff, PAGE_4K);
	for (u32 i = 0; i < NESTED_SHADOWED; i++) {
		free_field(n->vmread_bitmap, nested_shadowed[i].field);
		if (i < NESTED_SHADOWED_WRITABLE)
			free_field(n->vmwrite_bitmap, nested_shadowed[i].field);
	}
}

void vmcs_shadow_switch(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	bool wanted =
	    vmx_capability.has_vmcs_shadowing && nested_has_current(&n->state);
	u64 secondary;

	if (n->shadowing == wanted)
		return;
	n->shadowing = wanted;
	secondary = vmcs_read(VMCS_SECONDARY_CONTROLS);
	if (!wanted) {
		vmcs_write(VMCS_SECONDARY_CONTROLS,
			   secondary & ~SECONDARY_VMCS_SHADOWING);
		vmcs_write(VMCS_LINK_POINTER, LINK_NONE);
		return;
	}
	vmcs_write(VMCS_SECONDARY_CONTROLS,
		   secondary | SECONDARY_VMCS_SHADOWING);
	vmcs_write(VMCS_VMREAD_BITMAP, hpa_raw(n->vmread_bitmap));
	vmcs_write(VMCS_VMWRITE_BITMAP, hpa_raw(n->vmwrite_bitmap));
	vmcs_write(VMCS_LINK_POINTER, hpa_raw(n->shadow_vmcs));
}

/*
 * Cleared before vmcs01 is in use again: what an entry finds through the link
 * pointer is memory.
 */
static inline void back(const struct vcpu *vcpu)
{
	CHECK(insn_vmclear(vcpu->nested->shadow_vmcs) == VMX_SUCCEED);
	CHECK(insn_vmptrld(vcpu->vmcs) == VMX_SUCCEED);
}

/* Spelled out, because it is done at nearly every exit and entry of L2. */
#define GIVE(field, member) vmcs_write_first(field, v->member);
#define TAKE(field, member) \
	v->member = (__typeof__(v->member))vmcs_read_first(field);

void vmcs_shadow_give(struct vcpu *vcpu)
{
	const struct nested_vcpu *n = vcpu->nested;
	const struct vmcs12 *v = &n->state.vmcs12;

	if (!n->shadowing)
		return;
	CHECK(insn_vmptrld(n->shadow_vmcs) == VMX_SUCCEED);
	NESTED_SHADOWED_WRITABLE_FIELDS(GIVE)
	NESTED_SHADOWED_READ_FIELDS(GIVE)
	vmcs_write(VMCS_EXIT_REASON, v->exit_reason);
	back(vcpu);
}

void vmcs_shadow_take(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	struct vmcs12 *v = &n->state.vmcs12;

	if (!n->shadowing)
		return;
	CHECK(insn_vmptrld(n->shadow_vmcs) == VMX_SUCCEED);
	NESTED_SHADOWED_WRITABLE_FIELDS(TAKE)
	v->guest_rip = vmcs_read(VMCS_GUEST_RIP);
	n->state.vmcs12_changed = true;
	back(vcpu);
}
