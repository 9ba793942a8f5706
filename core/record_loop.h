/* SPDX-License-Identifier: MIT */
/*
 * A migration in place: proof that the state record is complete.
 *
 * Asked for by a guest's setting record.loop=ROUNDS. So often, at moments that
 * record.seed=N chooses, the guest is stopped and saved; its vCPUs and devices
 * are thrown away, made anew from the record, and saved again. Both records
 * must be equal, byte for byte, before the new vCPUs have been on a CPU and
 * after that; then the guest goes on with the new ones. What it computes must
 * not depend on any of this.
 *
 * record.wait=NS is the longest time between two moments (20 ms).
 *
 * record.at=exits: a round at each VM exit, right behind it, before anything has
 * been made of it, and another one when it has been decided what the next entry
 * takes in, which is where a migration may find the guest.
 *
 * record.least=on: a record says only what it must (core/vm_record.h).
 *
 * At the end it says where in VMX operation vCPUs were: in L2, with an entry
 * pending, ...
 */
#ifndef CORE_RECORD_LOOP_H
#define CORE_RECORD_LOOP_H

#include "lib/err.h"
#include "loader/guest_plan.h"

struct vm;

/* Begins if the guest's settings ask for it. Before its vCPUs run. */
MUST_CHECK enum err record_loop_start(struct vm *vm,
				      const struct guest_plan *plan);

/* The VM has ended and no vCPU of it runs. */
void record_loop_vm_ended(const struct vm *vm);

/* A round if one is due, in the first CPU's loop. */
void record_loop_step(void);

/* When one is due; host TSC. */
u64 record_loop_next_tsc(void);

#endif
