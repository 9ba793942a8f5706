/* SPDX-License-Identifier: MIT */
/* VMX instructions: what exit_vmx_fast.c leaves to exit_vmx.c. */
#ifndef ARCH_X86_VMX_EXIT_VMX_H
#define ARCH_X86_VMX_EXIT_VMX_H

#include "arch/x86/vmx/exit.h"

/*
 * VMCLEAR or VMPTRLD of 64-bit code at CPL 0 in VMX operation, with the pointer
 * that its operand holds.
 */
enum exit_action exit_vmx_with_pointer(struct vcpu *vcpu,
				       const struct vmx_exit *exit,
				       const u64 *pointer);

#endif
