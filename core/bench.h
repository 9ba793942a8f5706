/* SPDX-License-Identifier: MIT */
/*
 * Lets a guest measure what it costs, and what dirty logging costs.
 *
 * Asked for by the guest's setting bench=on; lib/bench.h is what it then finds
 * in CPUID. Its steps of dirty logging are done by the first CPU between two
 * runs of guests, by the functions that a migration uses, and timed; vCPUs on
 * other CPUs go on meanwhile. One guest at a time.
 */
#ifndef CORE_BENCH_H
#define CORE_BENCH_H

#include "lib/err.h"
#include "loader/guest_plan.h"

struct vm;

/* Begins if the guest's settings ask for it. Before its vCPUs run. */
MUST_CHECK enum err bench_start(struct vm *vm, const struct guest_plan *plan);

/* The VM has ended and no vCPU of it runs. */
void bench_vm_ended(const struct vm *vm);

/* The step that the guest has asked for, in the first CPU's loop. */
void bench_step(void);

#endif
