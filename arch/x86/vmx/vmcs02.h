/* SPDX-License-Identifier: MIT */
/*
 * Loading and saving vmcs02, a field at a time and only what has changed. It is
 * current.
 */
#ifndef ARCH_X86_VMX_VMCS02_H
#define ARCH_X86_VMX_VMCS02_H

#include "arch/x86/vmx/nested_vcpu.h"

/* What a VM entry leaves as L1 had it; read out of vmcs01. */
struct vmcs02_of_l1 {
	u64 cr0, efer, pat, dr7, debugctl;
};

/* Once: what does not change while the VMCS lives. */
void vmcs02_init(struct vcpu *vcpu);

/*
 * Makes it what vmcs12 says, which has been checked; `pdptes` as the check has
 * found them.
 */
void vmcs02_load(struct vcpu *vcpu, const struct vmcs02_of_l1 *l1,
		 const u64 pdptes[4]);

/*
 * The same where vmcs02_has_all_but_hot: of vmcs12 it needs hot fields only, of
 * L1 what vmcs12 does not keep (loaded.keeps_all), and no PDPTEs. The first is
 * asked while vmcs01 is in use.
 */
bool vmcs02_has_all_but_hot(const struct vcpu *vcpu);
void vmcs02_load_hot(struct vcpu *vcpu, const struct vmcs02_of_l1 *l1);

/* Is it made with these bits of L1's, or must its controls be made anew? */
bool vmcs02_is_made_with(const struct vcpu *vcpu, u64 l1_cr0);

/*
 * For an L2 that has come from elsewhere: registers that vmcs12 does not tell.
 * After vmcs02_load. And back.
 */
void vmcs02_load_rest(const struct nested_l2_registers *l2);
void vmcs02_save_rest(const struct vcpu *vcpu, struct nested_l2_registers *l2);

/* The TSC offset, which follows L1's. */
void vmcs02_load_tsc(struct vcpu *vcpu);

/* What is in vmcs12 after every exit: nested/fields.h. */
void vmcs02_save_hot(struct vcpu *vcpu);

/* The rest of the guest state, as the exit was to save it. */
void vmcs02_save_cold(struct vcpu *vcpu);

#endif
