/* SPDX-License-Identifier: MIT */
/*
 * VMCSs of L1's that are active on a vCPU and not current: SDM vol. 3,
 * "Software Use of Virtual-Machine Control Structures" lets a CPU keep them to
 * itself until VMCLEAR.
 *
 *	         VMPTRLD of another
 *	current --------------------> parked      state->vmcs12 -> slot
 *	        <--------------------             slot -> state->vmcs12
 *	            VMPTRLD
 *	memory <--- VMCLEAR, VMXOFF, a slot that is needed for another, a link
 *	            pointer that L2 goes by; before the vCPU is saved
 *
 * WHAT HOLDS
 *
 * 1. The truth is where the arrow last led: of the current VMCS in
 *    state->vmcs12, of a parked one in its slot, of all others in memory.
 * 2. A parked vmcs12 is complete: who parks it has taken all that a CPU had of
 *    it (nested_vcpu_settle).
 * 3. One slot is the current VMCS's, or free: slots[current]. What a vCPU has
 *    made of the VMCS in a slot (vmcs02) is good until is_new says that the slot
 *    has another one, or one that was cleared in between.
 * 4. `changed` says that memory is behind; nothing is lost that L1 does not
 *    lose on a CPU.
 *
 * Slots are never sent to a peer: what is parked is in memory by then
 * (nested_slots_write_back), and VMPTRLD finds it there.
 */
#ifndef NESTED_SLOTS_H
#define NESTED_SLOTS_H

#include "nested/instruction.h"

#define NESTED_SLOTS 6u

struct nested_slot {
	gpa_t address;       /* parked: L1's region; else NESTED_NO_POINTER */
	const u32 *revision; /* parked: in the region; NULL: not in memory */
	u64 parked_at;       /* by nested_slots.clock */
	bool changed;        /* since it was read from memory */
	bool is_same;        /* as state->vmcs12 was when it became current */
	bool is_new;         /* whoever looks takes it back */
	struct vmcs12 vmcs12;
};

struct nested_slots {
	u32 current;
	u64 clock;
	struct nested_slot slots[NESTED_SLOTS];
};

/* Nothing is parked. */
void nested_slots_reset(struct nested_slots *s);

/* The current VMCS is so no more, and memory has it. */
void nested_slots_let_go(struct nested_slots *s);

/* The slot of a parked VMCS, or NESTED_SLOTS. */
static inline u32 nested_slots_find(const struct nested_slots *s, gpa_t address)
{
#pragma GCC unroll 6
	for (u32 i = 0; i < NESTED_SLOTS; i++)
		if (gpa_equal(s->slots[i].address, address))
			return i;
	return NESTED_SLOTS;
}

/*
 * VMPTRLD of `address`, no NESTED_NO_POINTER and not the current VMCS: that one
 * is parked, if there is one, and this one becomes current. With the revision
 * that was found in it when it was read.
 */
void nested_slots_switch(struct nested_state *state, struct guest_mem *mem,
			 gpa_t address);

/* If it is parked, memory has it again, and it is not. */
void nested_slots_drop(struct nested_state *state, struct guest_mem *mem,
		       gpa_t address);
void nested_slots_drop_all(struct nested_state *state, struct guest_mem *mem);

/* Memory has what is parked; it stays parked. */
void nested_slots_write_back(struct nested_state *state, struct guest_mem *mem);

#endif
