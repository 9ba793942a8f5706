/* SPDX-License-Identifier: MIT */
/*
 * The MSRs of a guest, as RDMSR and WRMSR at CPL 0 see them; also for the MSR
 * areas of a guest hypervisor. Of the loaded vCPU.
 */
#ifndef ARCH_X86_VMX_EXIT_MSR_H
#define ARCH_X86_VMX_EXIT_MSR_H

#include "arch/x86/vmx/vcpu.h"

enum msr_verdict {
	MSR_DONE,
	MSR_FAULT, /* #GP(0); nothing has changed */
};

MUST_CHECK enum msr_verdict exit_msr_read(struct vcpu *vcpu, u32 msr,
					  u64 *value);
MUST_CHECK enum msr_verdict exit_msr_write(struct vcpu *vcpu, u32 msr,
					   u64 value);

#endif
