/* SPDX-License-Identifier: MIT */
/*
 * What a vCPU in VMX operation has of it, in the state record. The section
 * follows the local APIC's and is there only for such a vCPU: one that never
 * was a hypervisor has none, nor have records from before there was any.
 * docs/NESTED-STATE.md says what is in it and what is not.
 *
 * L1 is what runs, not its L2. Guest memory is not looked at: what the current
 * VMCS holds comes with the record, as the vCPU had it.
 */
#ifndef MIGRATE_RECORD_NESTED_H
#define MIGRATE_RECORD_NESTED_H

#include "migrate/record_vcpu.h"
#include "nested/instruction.h"

/* The vCPU of the same record that is in VMX operation. */
struct record_l1 {
	const struct record_vcpu *vcpu;
	const struct nested_capability *offer;
	u32 physical_bits;
};

/* In VMX operation, and not in L2. */
void record_put_nested(struct wire_writer *writer,
		       const struct nested_state *state);

/*
 * Into a state as nested_state_reset() leaves it; the feature control is the
 * vCPU's section's and stays.
 */
void record_get_nested(struct record_reader *reader, const struct record_l1 *l1,
		       struct nested_state *state);

#endif
