/* SPDX-License-Identifier: MIT */
/*
 * What a vCPU in VMX operation has of it, in the state record. The section
 * follows the local APIC's and is there only for such a vCPU: one that never
 * was a hypervisor has none, nor have records from before there was any. While
 * its L2 runs another section follows, with what L2 has besides the current
 * VMCS; without it the vCPU is in L1. docs/NESTED-STATE.md says what is in them
 * and what is not.
 *
 * The vCPU's own section has L1's registers in both cases, but for those that
 * L1 and L2 share. Guest memory is not looked at: what the current VMCS holds
 * comes with the record, as the vCPU had it.
 */
#ifndef MIGRATE_RECORD_NESTED_H
#define MIGRATE_RECORD_NESTED_H

#include "devices/hyperv.h"
#include "migrate/record_vcpu.h"
#include "nested/instruction.h"

/* The vCPU of the same record that is in VMX operation. */
struct record_l1 {
	const struct record_vcpu *vcpu;
	const struct nested_capability *offer;
	u32 physical_bits;
	const struct hyperv_vcpu *hyperv; /* NULL: has not that interface */
};

/* As enum vcpu_activity. */
enum record_l2_activity {
	RECORD_L2_ACTIVE,
	RECORD_L2_HALTED,
	RECORD_L2_WAIT_FOR_SIPI,
	RECORD_L2_SHUTDOWN,
};

/* Of a vCPU whose L2 runs, is halted, or is about to run. */
struct record_l2 {
	u32 activity;
	u8 entry_pending, timer_runs; /* as in struct nested_state, */
	u64 timer_deadline;           /* and this */
	/* On its way into L2. */
	u32 event, event_error_code, event_instruction_length;
	/* In service already, but an exception came first; 0 or as `event`. */
	u32 postponed_interrupt;
	/* That the next entry raises, or L1 intercepts; 0: none. */
	u32 exception, exception_error_code;
	u64 exception_qualification;
	/* Registers that the current VMCS need not tell. */
	u64 efer, pat, dr7, debugctl;
	u64 pdpte[4];
	u64 cr0_kept; /* what VM entries and exits leave alone: nested/merge.h
		       */
};

/* In VMX operation. */
void record_put_nested(struct wire_writer *writer,
		       const struct nested_state *state);

/*
 * Into a state as nested_state_reset() leaves it; the feature control is the
 * vCPU's section's and stays.
 */
void record_get_nested(struct record_reader *reader, const struct record_l1 *l1,
		       struct nested_state *state);

/*
 * Where the enlightened VMCS is that such a vCPU uses. A record without that
 * section is one that does not say it: the state's `evmcs` is
 * NESTED_NO_POINTER then, and whoever has the VM's memory finds the page by the
 * VP-assist page before the vCPU runs (nested_find_evmcs).
 */
void record_put_evmcs(struct wire_writer *writer,
		      const struct nested_state *state);
void record_get_evmcs(struct record_reader *reader, const struct record_l1 *l1,
		      struct nested_state *state);

void record_put_l2(struct wire_writer *writer, const struct record_l2 *l2);

/*
 * `state` as record_get_nested() has left it. Refuses, besides what no VM entry
 * takes, what cannot be while L2 runs. Does not touch `state`.
 */
void record_get_l2(struct record_reader *reader, const struct record_l1 *l1,
		   const struct nested_state *state, struct record_l2 *l2);

#endif
