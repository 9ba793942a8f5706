/* SPDX-License-Identifier: MIT */
/*
 * Doing what mitigation.h has planned for this machine.
 *
 * A vCPU that needs nothing at entry and exit pays nothing: its VMCS leads to
 * the plain exit point, and the entry looks at its work only where it looks at
 * the stack anyway (enter.asm).
 */
#ifndef ARCH_X86_VMX_MITIGATE_H
#define ARCH_X86_VMX_MITIGATE_H

#include "arch/x86/vmx/mitigation.h"

struct vcpu;

/* Plans, and says in one line what is done; a line more if something cannot
 * be. On the first CPU, before any guest is made. */
void mitigate_init(enum mitigation_mode mode);

/* The host's IA32_ARCH_CAPABILITIES, 0 where there is none. */
u64 mitigate_arch_capabilities(void);

/* What the calling CPU has on from now on. */
void mitigate_this_cpu(void);

/* A new vCPU's work. */
void mitigate_prepare(struct vcpu *vcpu);

/* Where the VM exits of this vCPU lead. */
u64 mitigate_exit_point(const struct vcpu *vcpu);

/* It is being loaded on the calling CPU: who was here before it? */
void mitigate_load(const struct vcpu *vcpu);

/* An entry failed behind the work: Umbra's own value comes back. */
void mitigate_entry_failed(const struct vcpu *vcpu);

/* The guest's IA32_SPEC_CTRL. Written once, it is the guest's own from then
 * on, without exits. The vCPU is loaded. */
u64 mitigate_read_spec_ctrl(const struct vcpu *vcpu);
void mitigate_write_spec_ctrl(struct vcpu *vcpu, u64 value);
/* The same for a vCPU that has never been loaded. */
void mitigate_restore_spec_ctrl(struct vcpu *vcpu, u64 value);

#endif
