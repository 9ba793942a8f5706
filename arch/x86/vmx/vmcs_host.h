/* SPDX-License-Identifier: MIT */
/*
 * What every VMCS of Umbra's says of the host, and the fields of the guest that
 * are 0 in all of them. Of the current VMCS.
 */
#ifndef ARCH_X86_VMX_VMCS_HOST_H
#define ARCH_X86_VMX_VMCS_HOST_H

struct vcpu;

/* Once per VMCS. */
void vmcs_host_write_constants(const struct vcpu *vcpu);

/* What differs between host CPUs. */
void vmcs_host_write_this_cpu(void);

#endif
