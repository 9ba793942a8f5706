/* SPDX-License-Identifier: MIT */
/*
 * Two CPUs that run an L2 on one shadow, and a harvester, for tests that let
 * them meet: woven by a seed (weave_shadow.c) or as real threads under the
 * thread sanitizer (tsan_shadow.c).
 *
 * Each CPU counts in its own word of pages that both reach, each page by two
 * addresses. CPU 1 is also L1: it takes rights from entries of its EPT and
 * gives them back. The harvester copies the pages. In the end the copy must
 * have all counts; and after its own INVEPT CPU 1 must get what it has written
 * into its tables, no more and no less.
 */
#ifndef TESTS_UNIT_SHADOW_SMP_H
#define TESTS_UNIT_SHADOW_SMP_H

#include <sched.h>

#define W_RAM (4 * MIB)

#include "tests/unit/shadow_world.h"

#define SMP_CPUS  2
#define SMP_PAGES 3
#define SMP_WAYS  2 /* addresses of each page */
#define SMP_FIRST (2 * MIB)

enum smp_fault {
	SMP_SOUND,
	SMP_NO_FLUSH,
	SMP_READ_BEFORE_FLUSH,
	SMP_NO_REARM,
	SMP_LAST_WHILE_RUNNING,
	SMP_NOT_TRANSLATED, /* what the CPUs have logged; by D only */
	SMP_PML_ON_LATE,    /* leaves are armed by D first */
};

struct smp_cpu {
	struct smp *smp;
	u32 number;
	struct random random;
	struct shadow_root root;
	struct w_translation tlb[SMP_PAGES * SMP_WAYS];
	struct w_log log;
	u64 asked, answered; /* to come out of the guest */
	u32 in_guest;
	u64 entered; /* as shadow_enter() has said */
	u64 value;
};

struct smp {
	struct world w;
	struct smp_cpu cpus[SMP_CPUS];
	enum smp_fault fault;
	enum shadow_way way;
	bool switches; /* the way, before some rounds */
	u64 sent[SMP_PAGES][SMP_CPUS];
	u64 steps;
	u32 stop, over;
	const char *failure;
};

static void smp_fail(struct smp *smp, const char *what)
{
	const char *none = NULL;

	__atomic_compare_exchange_n(&smp->failure, &none, what, false,
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static u64 *smp_counter(struct smp *smp, u32 page, u32 cpu)
{
	return w_bytes(&smp->w, SMP_FIRST + page * PAGE_4K + 8UL * cpu);
}

/* Each page has one address in each of two tables of L1's. */
static u64 smp_address(u32 way)
{
	return way % SMP_PAGES * PAGE_4K + way / SMP_PAGES * PAGE_2M;
}

/* --- The CPUs ------------------------------------------------------------ */

static void smp_enter(struct smp_cpu *cpu)
{
	const u64 *generation = &cpu->smp->w.shadow.generation;
	enum flush flush;

	if (shadow_has_entered(generation, cpu->entered))
		return;
	cpu->entered = shadow_enter(&cpu->smp->w.shadow, cpu->number, &flush);
	if (flush == FLUSH_OWED)
		memset(cpu->tlb, 0, sizeof(cpu->tlb));
}

/* Before anything else, on the way out of the guest. */
static void smp_drain(struct smp_cpu *cpu)
{
	if (cpu->smp->fault == SMP_NOT_TRANSLATED)
		cpu->log.count = 0;
	w_drain(&cpu->smp->w.shadow, &cpu->root, &cpu->log);
}

static void smp_leave(struct smp_cpu *cpu)
{
	shadow_leave(&cpu->smp->w.shadow, cpu->number);
	cpu->entered = SHADOW_OUTSIDE;
}

/* An exit that does not come to the shadow: now and then it is not told. */
static void smp_leave_for_others(struct smp_cpu *cpu)
{
	if (random_below(&cpu->random, 2))
		smp_leave(cpu);
}

/* By what the CPU has cached, or by EPT02. */
static bool smp_translate(struct smp_cpu *cpu, u32 way, u64 *frame)
{
	struct w_translation *known = &cpu->tlb[way];

	while (!known->valid) {
		hpa_t table = phys_of(cpu->root.table);
		u64 rights = EPT_RWX;
		ept_entry_t entry, *at;

		for (enum ept_level level = EPT_TOP;; level--) {
			ept_entry_t *entries = phys_ptr(table);

			at = &entries[ept_index(smp_address(way), level)];
			entry = ept_read(at);
			rights &= entry.raw;
			if (ept_entry_kind(entry, level) != EPT_TABLE)
				break;
			table = ept_entry_address(entry);
		}
		if (!(rights & EPT_W))
			return false;
		switch (w_set_dirty(&cpu->log, &at->raw, entry.raw,
				    smp_address(way))) {
		case W_DIRTY:
			*known = (struct w_translation){
			    .valid = true, .frame = entry.raw & EPT_ADDRESS};
			break;
		case W_FULL:
			smp_drain(cpu);
			smp_enter(cpu);
			break;
		case W_CHANGED:
			break;
		}
	}
	*frame = known->frame;
	return true;
}

/* One write of L2's, in the guest before and after. */
static enum shadow_outcome smp_write(struct smp_cpu *cpu, u32 way)
{
	const struct ept12_access access = {ngpa(smp_address(way)),
					    EPT12_WRITE | EPT12_LINEAR_VALID |
						EPT12_TRANSLATED};
	struct ept12_log log = {.on = false};
	struct shadow_result result;
	u64 frame;

	for (u32 i = 0; i < 20; i++) {
		if (smp_translate(cpu, way, &frame)) {
			__atomic_store_n(
			    (u64 *)phys_ptr(hpa(frame + 8UL * cpu->number)),
			    ++cpu->value, __ATOMIC_SEQ_CST);
			return SHADOW_RESUME;
		}
		smp_leave_for_others(cpu);
		if (random_below(&cpu->random, 2))
			smp_drain(cpu);
		result =
		    w_fault_of(&cpu->smp->w.shadow, &cpu->root, &access, &log);
		smp_enter(cpu);
		if (result.outcome != SHADOW_RESUME)
			return result.outcome;
	}
	smp_fail(cpu->smp, "a write faults for ever");
	return SHADOW_RESUME;
}

/* L1 clears D at times, so that L2's first write comes to it. */
static u64 smp_dirty12(struct smp_cpu *cpu)
{
	return random_below(&cpu->random, 2) ? EPT_A | EPT_D : 0;
}

/* L1 changes the entry for one address, and asks for it to count. */
static void smp_edit(struct smp_cpu *cpu)
{
	struct smp *smp = cpu->smp;
	u32 way = (u32)random_below(&cpu->random, SMP_PAGES * SMP_WAYS);
	u64 slot = smp->w.next_table; /* of the first table's entries */
	u64 at = slot + way / SMP_PAGES * PAGE_4K + way % SMP_PAGES * 8;
	u64 rights = random_below(&cpu->random, 2) ? EPT_RWX : EPT_R | EPT_X;
	u64 page = SMP_FIRST + way % SMP_PAGES * PAGE_4K;
	enum shadow_outcome outcome;

	/* L2 is left before L1 does anything. */
	smp_drain(cpu);
	l1_store(&smp->w, at, page | rights | smp_dirty12(cpu) | W_WB);
	smp_leave_for_others(cpu);
	if (!shadow_invalidate_nothing(&smp->w.shadow))
		shadow_invalidate(&smp->w.shadow);
	smp_enter(cpu);
	outcome = smp_write(cpu, way);
	if (outcome != (rights & EPT_W ? SHADOW_RESUME : SHADOW_VIOLATION))
		smp_fail(smp, "L1 does not get what it has written");
}

static void smp_answer(struct smp_cpu *cpu)
{
	u64 asked = __atomic_load_n(&cpu->asked, __ATOMIC_SEQ_CST);

	if (cpu->answered == asked)
		return;
	smp_leave_for_others(cpu);
	smp_drain(cpu);
	smp_enter(cpu);
	__atomic_store_n(&cpu->answered, asked, __ATOMIC_SEQ_CST);
}

UNUSED static void smp_cpu_main(void *argument)
{
	struct smp_cpu *cpu = argument;
	struct smp *smp = cpu->smp;

	smp_enter(cpu);
	while (!__atomic_load_n(&smp->over, __ATOMIC_SEQ_CST)) {
		if (__atomic_load_n(&smp->stop, __ATOMIC_SEQ_CST)) {
			smp_leave(cpu);
			smp_drain(cpu);
			__atomic_store_n(&cpu->in_guest, 0, __ATOMIC_SEQ_CST);
			while (__atomic_load_n(&smp->stop, __ATOMIC_SEQ_CST))
				sched_yield();
			__atomic_store_n(&cpu->in_guest, 1, __ATOMIC_SEQ_CST);
			smp_enter(cpu);
		}
		smp_answer(cpu);
		sched_yield();
		if (cpu->number == 1 && random_below(&cpu->random, 4) == 0)
			smp_edit(cpu);
		else
			smp_write(cpu, (u32)random_below(&cpu->random,
							 SMP_PAGES * SMP_WAYS));
	}
	smp_leave(cpu);
	__atomic_store_n(&cpu->in_guest, 0, __ATOMIC_SEQ_CST);
}

/* --- The harvester ------------------------------------------------------- */

static void smp_sync(struct smp *smp)
{
	u64 asked[SMP_CPUS];

	for (u32 i = 0; i < SMP_CPUS; i++)
		asked[i] = 1 + __atomic_fetch_add(&smp->cpus[i].asked, 1,
						  __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < SMP_CPUS; i++) {
		struct smp_cpu *cpu = &smp->cpus[i];

		while (__atomic_load_n(&cpu->answered, __ATOMIC_SEQ_CST) <
			   asked[i] &&
		       __atomic_load_n(&cpu->in_guest, __ATOMIC_SEQ_CST))
			sched_yield();
	}
}

static void smp_send(struct smp *smp, const struct dirty_batch *batch)
{
	for (u32 i = 0; i < batch->count; i++) {
		for (u32 page = 0; page < SMP_PAGES; page++) {
			u64 number = SMP_FIRST / PAGE_4K + page;

			if (number / 64 !=
				gpa_page(batch->words[i].base) / 64 ||
			    !(batch->words[i].bits & BIT(number % 64)))
				continue;
			for (u32 cpu = 0; cpu < SMP_CPUS; cpu++)
				smp->sent[page][cpu] =
				    __atomic_load_n(smp_counter(smp, page, cpu),
						    __ATOMIC_SEQ_CST);
		}
	}
}

static void smp_harvest(struct smp *smp)
{
	struct dirty_word words[W_LIMIT / PAGE_4K / DIRTY_WORD_PAGES];
	struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};
	enum flush flush, shadow = FLUSH_NONE;

	track_harvest(&smp->w.track, gpa(0), gpa(W_LIMIT), &batch, &flush);
	if (smp->fault != SMP_NO_REARM)
		shadow = shadow_rearm(&smp->w.shadow, &batch);
	if (smp->fault == SMP_READ_BEFORE_FLUSH)
		smp_send(smp, &batch);
	if ((flush == FLUSH_OWED || shadow == FLUSH_OWED) &&
	    smp->fault != SMP_NO_FLUSH)
		smp_sync(smp);
	if (smp->fault != SMP_READ_BEFORE_FLUSH)
		smp_send(smp, &batch);
}

static void smp_switch(struct smp *smp)
{
	smp->way = smp->way == SHADOW_BY_D ? SHADOW_BY_W : SHADOW_BY_D;
	if (smp->way == SHADOW_BY_D && smp->fault != SMP_PML_ON_LATE) {
		shadow_track_prepare(&smp->w.shadow);
		smp_sync(smp);
	}
	shadow_track_switch(&smp->w.shadow, smp->way);
	smp_sync(smp);
}

UNUSED static void smp_source_main(void *argument)
{
	struct smp *smp = argument;
	u64 rounds = 2 + random_below(&smp->w.random, 4);

	for (u64 i = 0; i < smp->steps; i++)
		sched_yield();
	/* Only that: which way EPT01 is armed matters to nobody here. */
	W_REQUIRE(track_start(&smp->w.track, TRACK_WP) == OK);
	shadow_track_start(&smp->w.shadow, smp->way);
	smp_sync(smp); /* PML is on */
	while (rounds--) {
		if (smp->switches && random_below(&smp->w.random, 2))
			smp_switch(smp);
		smp_harvest(smp);
		for (u64 i = 0; i < smp->steps; i++)
			sched_yield();
		smp_sync(smp); /* each drains what it has logged */
	}
	if (smp->fault != SMP_LAST_WHILE_RUNNING) {
		__atomic_store_n(&smp->stop, 1, __ATOMIC_SEQ_CST);
		for (u32 i = 0; i < SMP_CPUS; i++)
			while (__atomic_load_n(&smp->cpus[i].in_guest,
					       __ATOMIC_SEQ_CST))
				sched_yield();
	}
	smp_harvest(smp);
	for (u32 page = 0; page < SMP_PAGES; page++)
		for (u32 cpu = 0; cpu < SMP_CPUS; cpu++)
			if (smp->sent[page][cpu] !=
			    __atomic_load_n(smp_counter(smp, page, cpu),
					    __ATOMIC_SEQ_CST))
				smp_fail(smp, "a write was lost");
	__atomic_store_n(&smp->over, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&smp->stop, 0, __ATOMIC_SEQ_CST);
}

/* --- Beginning and end --------------------------------------------------- */

/* Two tables of L1's, next to each other, under one of each upper level. */
static void smp_map(struct world *w)
{
	u64 upper[3];
	u64 first;

	for (u32 i = 0; i < 3; i++)
		upper[i] = l1_new_table(w);
	first = l1_new_table(w);
	W_REQUIRE(l1_new_table(w) == first + PAGE_4K);
	w->pointer = upper[0] | EPT_WB | (3 << 3) | EPT12_POINTER_AD;
	l1_store(w, upper[0], upper[1] | EPT_RWX);
	l1_store(w, upper[1], upper[2] | EPT_RWX);
	for (u32 way = 0; way < SMP_PAGES * SMP_WAYS; way++) {
		u64 table = first + way / SMP_PAGES * PAGE_4K;

		l1_store(w, upper[2] + way / SMP_PAGES * 8, table | EPT_RWX);
		l1_store(w, table + way % SMP_PAGES * 8,
			 (SMP_FIRST + way % SMP_PAGES * PAGE_4K) | EPT_RWX |
			     W_WB);
	}
	w->next_table = first;
}

UNUSED static void smp_begin(struct smp *smp, u64 seed, enum smp_fault fault,
			     enum shadow_way way)
{
	const struct shadow_config config = {.cpu_count = SMP_CPUS,
					     .vcpu_count = SMP_CPUS};

	memset(smp, 0, sizeof(*smp));
	w_begin_with(&smp->w, config);
	smp->fault = fault;
	smp->way = way;
	smp->w.random = random_from(seed);
	smp->steps = 20 + random_below(&smp->w.random, 60);
	smp_map(&smp->w);
	for (u32 i = 0; i < SMP_CPUS; i++) {
		struct smp_cpu *cpu = &smp->cpus[i];

		cpu->smp = smp;
		cpu->number = i;
		cpu->in_guest = 1;
		cpu->entered = SHADOW_OUTSIDE;
		cpu->random = random_from(seed * 8 + i);
		W_REQUIRE(shadow_root_hold(&smp->w.shadow, smp->w.pointer,
					   &cpu->root) == OK);
	}
}

UNUSED static void smp_end(struct smp *smp)
{
	for (u32 i = 0; i < SMP_CPUS; i++)
		shadow_root_release(&smp->w.shadow, &smp->cpus[i].root);
	w_end(&smp->w);
}

#endif
