/* SPDX-License-Identifier: MIT */
/* Costs, and Umbra's leaf of CPUID that tells them: see bench.h. */
#include "guests/lib/bench.h"
#include "guests/lib/console.h"
#include "guests/lib/cpu.h"

static struct cpuid counters(void)
{
	return cpuid(BENCH_LEAF, BENCH_COUNTERS);
}

bool bench_counts(void)
{
	struct cpuid name = cpuid(0x40000000, 0);

	/* "Umbr", and at least the exits until now. */
	return name.ebx == 0x72626d55 && counters().eax;
}

void bench_begin(struct bench_cost *cost)
{
	struct cpuid before = counters();

	*cost = (struct bench_cost){
	    .exits = before.eax,
	    .flushes = before.ebx,
	    .ipis = before.ecx,
	};
	cost->ticks = rdtsc();
}

void bench_end(struct bench_cost *cost)
{
	u64 now = rdtsc();
	struct cpuid after = counters();

	cost->ticks = now - cost->ticks;
	/* Each answer counts the exit that asks for it. */
	cost->exits = after.eax - cost->exits - 1;
	cost->flushes = after.ebx - cost->flushes;
	cost->ipis = after.ecx - cost->ipis;
}

void bench_print(const char *name, const struct bench_cost *cost, u64 count)
{
	u64 thousandths = (cost->ticks * 1000 + count / 2) / count;

	print("ticks %s %lu.%03lu times %lu", name, thousandths / 1000,
	      thousandths % 1000, count);
	if (bench_counts())
		print(" exits %u flushes %u ipis %u", cost->exits,
		      cost->flushes, cost->ipis);
	print("\n");
}

u64 bench_step(enum bench_subleaf step, struct bench_cost *cost)
{
	u32 done = counters().edx;
	struct cpuid result;

	bench_begin(cost);
	cpuid(BENCH_LEAF, step);
	while (counters().edx == done)
		cpu_pause();
	bench_end(cost);
	result = cpuid(BENCH_LEAF, BENCH_RESULT);
	cost->ticks = (u64)result.ebx << 32 | result.eax;
	return (u64)result.edx << 32 | result.ecx;
}

bool bench_has_taken(u64 address)
{
	u32 page = (u32)(address / 4096);

	return cpuid(BENCH_LEAF, BENCH_TAKEN | page << 8).eax;
}

struct bench_leaves bench_leaves(void)
{
	struct cpuid told = cpuid(BENCH_LEAF, BENCH_LEAVES);

	return (struct bench_leaves){told.eax, told.ebx, told.ecx, told.edx};
}

struct bench_events bench_events(void)
{
	struct cpuid told = cpuid(BENCH_LEAF, BENCH_EVENTS);

	return (struct bench_events){told.eax, told.ebx};
}
