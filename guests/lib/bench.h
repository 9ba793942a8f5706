/* SPDX-License-Identifier: MIT */
/*
 * What a piece of work costs: ticks of the TSC, and, under an Umbra that was
 * asked to tell (bench=on), exits, flushes and IPIs.
 */
#ifndef GUESTS_LIB_BENCH_H
#define GUESTS_LIB_BENCH_H

#include "lib/bench.h"
#include "lib/types.h"

struct bench_cost {
	u64 ticks;
	u32 exits, flushes, ipis; /* where bench_counts() */
};

/* Does Umbra tell what the guest costs? */
bool bench_counts(void);

/* Around the work. What the two themselves cost is not in the result. */
void bench_begin(struct bench_cost *cost);
void bench_end(struct bench_cost *cost);

/*
 * A line for whoever collects results: ticks per operation, how many operations
 * there were, and counts of all of them.
 *
 *	ticks NAME 12.345 times 1000 [exits 1000 flushes 0 ipis 0]
 */
void bench_print(const char *name, const struct bench_cost *cost, u64 count);

/*
 * Has Umbra do a step of dirty logging. Returns how many pages it concerned;
 * its ticks, and what it cost the guest besides, are in `cost`.
 */
u64 bench_step(enum bench_subleaf step, struct bench_cost *cost);

/* Did the last harvest take the page of this address? */
bool bench_has_taken(u64 address);

/* See BENCH_LEAVES in lib/bench.h. */
struct bench_leaves {
	u32 of_4k, of_2m, of_1g, tables;
};
struct bench_leaves bench_leaves(void);

/* See BENCH_EVENTS. */
struct bench_events {
	u32 full_logs, cut_short;
};
struct bench_events bench_events(void);

#endif
