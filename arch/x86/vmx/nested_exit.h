/* SPDX-License-Identifier: MIT */
/*
 * From L2 to L1: exits that are L1's, whether the CPU or Umbra made them.
 *
 *	L2 -> VM exit -> nested_exit_handle -> L1's: nested_exit
 *	                                    -> ours: as of any guest
 *	events for L1, while L2 runs        -> nested_exit
 *
 * SDM vol. 3, "VM Exits": what is recorded, guest state, the MSR-store area,
 * host state, the MSR-load area, in this order.
 */
#ifndef ARCH_X86_VMX_NESTED_EXIT_H
#define ARCH_X86_VMX_NESTED_EXIT_H

#include "arch/x86/vmx/exit.h"
#include "nested/owner.h"

/* An exit of L2 that has just happened; `reason` as the VMCS has it. */
enum exit_action nested_exit_handle(struct vcpu *vcpu, u32 reason);

/* Leaves L2: vmcs01 is in use and L1 goes on at its host RIP. */
void nested_exit(struct vcpu *vcpu, const struct nested_exit *exit);

/*
 * The same, before an instruction that Umbra carries out for L2: EPT12 does not
 * allow one of its accesses.
 */
void nested_exit_by_access(struct vcpu *vcpu, const struct nested_exit *exit);

/*
 * A VM entry has failed: L1 goes on likewise, with its guest state untouched.
 * vmcs01 may be in use still.
 */
void nested_exit_failed_entry(struct vcpu *vcpu, enum exit_reason reason,
			      u64 qualification);

/* An exit that only has a reason; for the others fill in what they have. */
static inline struct nested_exit nested_exit_of(u32 reason)
{
	return (struct nested_exit){.reason = reason};
}

#endif
