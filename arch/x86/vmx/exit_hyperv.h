/* SPDX-License-Identifier: MIT */
/*
 * The interface of devices/hyperv.h at a vCPU: its CPUID leaves, its MSRs, its
 * hypercalls, and what its VP-assist page asks of VM entries. Of the loaded
 * vCPU. Without the setting hyperv=on nothing of it is there.
 */
#ifndef ARCH_X86_VMX_EXIT_HYPERV_H
#define ARCH_X86_VMX_EXIT_HYPERV_H

#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/exit_msr.h"
#include "nested/instruction.h"

/* Is the leaf one of the interface's? */
bool exit_hyperv_cpuid(const struct vcpu *vcpu, u32 number,
		       struct cpuid_leaf *leaf);

static inline bool exit_hyperv_has_msr(const struct vcpu *vcpu, u32 msr)
{
	return vcpu->vm->hyperv.on && msr >= HYPERV_MSR_FIRST &&
	       msr < HYPERV_MSR_END;
}

MUST_CHECK enum msr_verdict exit_hyperv_read(struct vcpu *vcpu, u32 msr,
					     u64 *value);
MUST_CHECK enum msr_verdict exit_hyperv_write(struct vcpu *vcpu, u32 msr,
					      u64 value);

/* VMCALL of L1, where hyperv_may_call() holds. */
enum exit_action exit_hyperv_call(struct vcpu *vcpu);

/* Before VMLAUNCH, VMRESUME and VMCLEAR are carried out. */
void exit_hyperv_read_assist(const struct vcpu *vcpu, struct nested_cpu *cpu);

#endif
