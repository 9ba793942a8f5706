/* SPDX-License-Identifier: MIT */
/*
 * A migration without a link: proof that no write is lost.
 *
 * While a guest runs, its memory is copied by harvests of its dirty log into a
 * second memory beside it, as a peer would receive it. Then the guest is
 * stopped, the last harvest copied, and both memories compared byte by byte:
 * a page that differs was written without the log knowing.
 *
 * Asked for by a guest's settings: loopback=ROUNDS copies for so many rounds,
 * at moments that loopback.seed=N chooses, then compares; the guest goes on.
 * loopback.compare=rounds compares at the end of each round, for which it is
 * stopped: a write that was lost is seen also where the page is written again.
 * dirty=pml|wp|auto is the way of tracking, dirty=mixed changes it from round
 * to round. A difference ends the guest as failed.
 */
#ifndef CORE_LOOPBACK_H
#define CORE_LOOPBACK_H

#include "lib/err.h"
#include "loader/guest_load.h"
#include "loader/guest_plan.h"

struct vm;

/* Begins if the guest's settings ask for it. Before its vCPUs run. */
MUST_CHECK enum err loopback_start(struct vm *vm, const struct guest_plan *plan,
				   const struct guest_map *map);

/* The VM has ended and no vCPU of it runs: what is left is done at once. */
void loopback_vm_ended(struct vm *vm);

/* A bounded piece of work, in the first CPU's loop. */
void loopback_step(void);

/* When there is something to do for loopback_step(); host TSC. */
u64 loopback_next_tsc(void);

#endif
