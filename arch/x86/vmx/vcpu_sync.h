/* SPDX-License-Identifier: MIT */
/*
 * Dirty logging as one vCPU sees it: its PML page, and keeping up with the
 * changes that its VM's tracking makes.
 *
 * A vCPU that no CPU runs has an empty PML page: it is drained whenever
 * vcpu_run() comes back. So whoever wants all logged writes needs to reach
 * only the vCPUs that run (vm_sync).
 */
#ifndef ARCH_X86_VMX_VCPU_SYNC_H
#define ARCH_X86_VMX_VCPU_SYNC_H

#include "arch/x86/cpu/cpu.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vm.h"

/* Does what vcpu_sync() finds to be due. */
void vcpu_sync_now(struct vcpu *vcpu, u64 generation);

/* Keeps up with vm_sync(); before the guest is entered. */
static inline void vcpu_sync(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	u64 generation =
	    __atomic_load_n(&vm->sync_generation, __ATOMIC_SEQ_CST);

	if (unlikely(vcpu->sync_generation != generation ||
		     vm->flushed_generation[cpu_this()->index] != generation))
		vcpu_sync_now(vcpu, generation);
}

/*
 * PML in the VMCS in use as the VM's tracking has it. While L2 runs on a
 * shadow the CPU logs L2's addresses: then it is off, unless these are
 * translated.
 */
void vcpu_sync_set_pml(struct vcpu *vcpu);

static inline void vcpu_sync_pml(struct vcpu *vcpu)
{
	if (unlikely(vcpu->pml_on || track_wants_pml(&vcpu->vm->track)))
		vcpu_sync_set_pml(vcpu);
}

/* Keeps up with vm_use_shadow(); before the guest is entered. */
static inline void vcpu_sync_shadow(struct vcpu *vcpu)
{
	if (__atomic_load_n(&vcpu->vm->uses_shadow, __ATOMIC_SEQ_CST))
		nested_vcpu_tell_shadow(vcpu);
}

/* Moves what the CPU has logged for this vCPU into the VM's dirty log. */
void vcpu_sync_drain(struct vcpu *vcpu);

exit_handler on_pml_full;

#endif
