/* SPDX-License-Identifier: MIT */
/*
 * From L1 to L2: VMLAUNCH and VMRESUME, from the checks on.
 *
 *	checks fail	VMfail, or exit 33 to L1 without leaving it
 *	vmcs02		in use, loaded with what it has not got yet
 *	MSR-load area	exit 34 to L1
 *	L2		entry_pending until the CPU has entered it
 */
#ifndef ARCH_X86_VMX_NESTED_ENTRY_H
#define ARCH_X86_VMX_NESTED_ENTRY_H

#include "arch/x86/vmx/exit.h"
#include "nested/instruction.h"
#include "nested/owner.h"

/* L1 has executed VMLAUNCH or VMRESUME, and its basic checks have passed. */
enum exit_action nested_enter(struct vcpu *vcpu, struct nested_cpu *cpu);

/*
 * A vCPU that has come in L2 (`state.in_l2`, and vmcs02 has never been in use)
 * goes on there: vmcs02 is made as at any entry. When it is loaded for the
 * first time; waits for other CPUs to leave their guests, which do not wait for
 * it.
 */
void nested_entry_resume(struct vcpu *vcpu);

/* What nested/checks.h wants to know of this vCPU; vmcs01 is in use. */
void nested_entry_describe(const struct vcpu *vcpu, struct nested_entry *entry);

/* The EPT pointer of vmcs12 has changed while L2 runs (EPTP switching). */
enum exit_action nested_entry_switch_ept(struct vcpu *vcpu);

/*
 * The coming stay in L2, which Umbra would let last `ticks`: L1's timer, and
 * events for L1 that wait for an injection, may end it sooner, even at once.
 */
i64 nested_ticks_to_stay(struct vcpu *vcpu, i64 ticks);

/* The VM's other vCPUs come out of the guest, and flush. */
void nested_kick_others(const struct vcpu *vcpu);

/* When L1's preemption timer runs out, as a host TSC; UINT64_MAX: never. */
u64 nested_timer_tsc(const struct vcpu *vcpu);

/*
 * VMRESUME of a VMCS that is current, launched and as the last entry has found
 * it but for hot fields (nested/fields.h): most are. False: it is not, and
 * nothing has changed.
 */
bool nested_enter_again(struct vcpu *vcpu);

/* exit_vmx.c: what the pure code wants to know of the vCPU, but operands. */
void exit_vmx_read_cpu(struct vcpu *vcpu, struct nested_cpu *cpu);
enum exit_action exit_vmx_finish(struct vcpu *vcpu,
				 const struct nested_result *result,
				 u64 rsp_before);

/* VMREAD or VMWRITE of L2, which L1 lets access a shadow VMCS. */
enum exit_action exit_vmx_access_shadow(struct vcpu *vcpu,
					const struct nested_exit *exit);

/* Tracking has begun or ended while L2 runs: what of it is in vmcs02. */
void nested_entry_sync(struct vcpu *vcpu);

#endif
