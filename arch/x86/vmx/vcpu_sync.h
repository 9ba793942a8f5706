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

#include "arch/x86/vmx/exit.h"

struct vcpu;

/* Keeps up with vm_sync(); before the guest is entered. */
void vcpu_sync(struct vcpu *vcpu);

/* Moves what the CPU has logged for this vCPU into the VM's dirty log. */
void vcpu_sync_drain(struct vcpu *vcpu);

exit_handler on_pml_full;

#endif
