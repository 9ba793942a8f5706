/* SPDX-License-Identifier: MIT */
/* Copying a running guest's memory by its dirty log, and comparing. */
#include "core/loopback.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/vm.h"
#include "core/guests.h"
#include "core/settings.h"
#include "lib/check.h"
#include "lib/log.h"
#include "lib/string.h"

#define BATCH_WORDS      4 /* up to 256 pages in one step */
#define WAIT_NS_MAX      100000000
#define BREATHE_NS       500000     /* the guest's turn between two chunks */
#define RELAX_BYTES      (32 * MIB) /* in one step */
#define DIFFERENCES_SAID 8

enum phase {
	PHASE_NONE,
	PHASE_WAITING, /* until the next round */
	PHASE_COPYING,
	PHASE_RELAXING, /* after the comparison */
};

struct loopback {
	enum phase phase;
	struct vm *vm;
	struct guest_mem copy;
	u32 rounds_left, rounds_done;
	u64 random;
	bool mixed;
	bool compares_rounds; /* each, not only the last */
	u64 next_tsc;
	gpa_t at; /* where this round's harvest, or relaxing, goes on */
	u64 pages_copied, pages_last_round;
	struct dirty_word words[BATCH_WORDS];
};

static struct loopback loopback;

/* Xorshift: the moments need no better. */
static u64 draw(struct loopback *l, u64 below)
{
	l->random ^= l->random << 13;
	l->random ^= l->random >> 7;
	l->random ^= l->random << 17;
	return l->random % below;
}

static enum err choose_mode(struct loopback *l, const struct guest_plan *plan,
			    enum track_mode *mode)
{
	const char *text = setting_text(plan, "dirty");
	enum track_policy policy = TRACK_POLICY_AUTO;
	enum track_cpu cpu =
	    vmx_capability.has_pml ? TRACK_CPU_HAS_PML : TRACK_CPU_PLAIN;
	enum err err = OK;

	l->mixed = text && !strcmp(text, "mixed");
	if (text && !l->mixed)
		err = track_policy_parse(text, &policy);
	if (err == OK)
		err = track_choose(policy, cpu, mode);
	if (err != OK)
		log_error("guest %s: dirty=%s: %s; it can be pml (if the CPU "
			  "has it), wp, auto or mixed",
			  plan->name, text, err_text(err));
	return err;
}

static enum err make_copy(struct loopback *l, const struct guest_map *map)
{
	const struct guest_range *last = &map->ranges[map->range_count - 1];
	enum err err = guest_mem_create(
	    &l->copy, gpa_add(last->base, last->bytes), "loopback copy");

	for (u32 i = 0; err == OK && i < map->range_count; i++)
		err = guest_mem_add(&l->copy, map->ranges[i].base,
				    map->ranges[i].bytes);
	return err;
}

static void wait_a_while(struct loopback *l)
{
	l->phase = PHASE_WAITING;
	l->next_tsc = insn_rdtsc() + tsc_from_ns(draw(l, WAIT_NS_MAX));
}

enum err loopback_start(struct vm *vm, const struct guest_plan *plan,
			const struct guest_map *map)
{
	struct loopback *l = &loopback;
	static const struct setting_choice when = {"loopback.compare", "end",
						   "rounds"};
	enum track_mode mode;
	u64 rounds = 0, seed = 1;
	bool compares_rounds;
	enum err err = setting_number(plan, "loopback", &rounds);

	if (err == OK)
		err = setting_number(plan, "loopback.seed", &seed);
	if (err == OK)
		err = setting_choose(plan, &when, &compares_rounds);
	if (err != OK || !rounds)
		return err;
	if (l->phase != PHASE_NONE)
		return ERR_BUSY;
	l->vm = vm;
	l->rounds_left = (u32)rounds;
	l->compares_rounds = compares_rounds;
	l->random = seed * 0x9e3779b97f4a7c15UL + 1;
	err = choose_mode(l, plan, &mode);
	if (err == OK)
		err = make_copy(l, map);
	if (err == OK)
		err = vm_track_start(vm, mode);
	if (err == OK)
		wait_a_while(l);
	return err;
}

/* In mixed mode each round may be armed in another way than the last. */
static void maybe_switch(struct loopback *l)
{
	struct track *track = &l->vm->track;
	enum track_mode other = track->mode == TRACK_PML ? TRACK_WP : TRACK_PML;

	if (!l->mixed || !vmx_capability.has_pml || draw(l, 2))
		return;
	CHECK(vm_track_switch(l->vm, other) == OK);
}

static void copy_page(struct loopback *l, gpa_t page)
{
	const void *from = guest_mem_ptr(&l->vm->memory, page, PAGE_4K);

	/* The log names guest memory only, and both have the same slots. */
	CHECK(from && guest_mem_load(&l->copy, page, from, PAGE_4K) == OK);
	l->pages_copied++;
	l->pages_last_round++;
}

static void copy_batch(struct loopback *l, const struct dirty_batch *batch)
{
	for (u32 i = 0; i < batch->count; i++) {
		const struct dirty_word *word = &batch->words[i];

		for (u64 bits = word->bits; bits; bits &= bits - 1)
			copy_page(l,
				  gpa_add(word->base,
					  PAGE_4K * (u64)__builtin_ctzl(bits)));
	}
}

/* One chunk of a round: take, re-arm, flush, and only then read. */
static void copy_chunk(struct loopback *l)
{
	struct dirty_batch batch = {l->words, BATCH_WORDS, 0};
	gpa_t end = dirty_log_end(l->vm->track.log);

	l->at = vm_harvest(l->vm, l->at, end, &batch);
	copy_batch(l, &batch);
}

static bool round_is_complete(const struct loopback *l)
{
	return gpa_raw(l->at) >= gpa_raw(dirty_log_end(l->vm->track.log));
}

static void begin_round(struct loopback *l)
{
	maybe_switch(l);
	l->at = gpa(0);
	l->pages_last_round = 0;
	l->phase = PHASE_COPYING;
	/* Running vCPUs drain what they have logged so far. */
	vm_sync(l->vm);
}

static u64 compare_slot(const struct loopback *l, const struct guest_slot *slot)
{
	u64 differences = 0;

	for (u64 offset = 0; offset < slot->bytes; offset += PAGE_4K) {
		gpa_t page = gpa_add(slot->base, offset);
		const void *a = guest_mem_ptr(&l->vm->memory, page, PAGE_4K);
		const void *b = guest_mem_ptr(&l->copy, page, PAGE_4K);

		CHECK(a && b);
		if (!memcmp(a, b, PAGE_4K))
			continue;
		if (differences++ < DIFFERENCES_SAID)
			log_error("loopback: page %#lx differs", gpa_raw(page));
	}
	return differences;
}

/* How many pages differ; says which. */
static u64 compare(const struct loopback *l)
{
	const struct guest_mem *memory = &l->vm->memory;
	u64 differences = 0;

	for (u32 i = 0; i < memory->slot_count; i++)
		differences += compare_slot(l, memory->slots + i);
	return differences;
}

static void say_identical(const struct loopback *l)
{
	struct vm_writes found;

	vm_count_writes(l->vm, &found);
	log_info("loopback: found by PML %lu, by write protection %lu, of L2 "
		 "%lu and %lu",
		 found.logged, found.faults, found.l2_logged, found.l2_faults);
	log_info("loopback: %u rounds, %lu pages copied, %lu of them while "
		 "stopped: memory is identical",
		 l->rounds_done, l->pages_copied, l->pages_last_round);
}

static void fail(struct loopback *l, u64 differences)
{
	log_error("loopback: %lu pages were written and not logged, in round "
		  "%u",
		  differences, l->rounds_done);
	vm_end(l->vm, VM_END_FAILED, 0);
	/* Also if it has ended well meanwhile. */
	l->vm->end = VM_END_FAILED;
}

static void stop_tracking(struct loopback *l)
{
	vm_track_stop(l->vm);
	vm_sync(l->vm);
	l->at = gpa(0);
	l->phase = PHASE_RELAXING;
}

/* With all vCPUs stopped, this harvest is complete. */
static void compare_while_stopped(struct loopback *l)
{
	u64 differences;

	vm_pause(l->vm);
	begin_round(l);
	while (!round_is_complete(l))
		copy_chunk(l);
	differences = compare(l);
	if (differences)
		fail(l, differences);
	else if (!l->rounds_left)
		say_identical(l);
	if (differences || !l->rounds_left)
		stop_tracking(l);
	else
		wait_a_while(l);
	vm_resume(l->vm);
}

static void end_round(struct loopback *l)
{
	l->rounds_done++;
	l->rounds_left--;
	if (l->compares_rounds || !l->rounds_left)
		compare_while_stopped(l);
	else
		wait_a_while(l);
}

/* Large pages come back in place, a piece at a time, while the guest runs. */
static void relax(struct loopback *l)
{
	l->at = vm_relax(l->vm, l->at, RELAX_BYTES);
	if (gpa_raw(l->at) < gpa_raw(dirty_log_end(l->vm->track.log)))
		return;
	guest_mem_destroy(&l->copy);
	l->phase = PHASE_NONE;
}

void loopback_vm_ended(struct vm *vm)
{
	struct loopback *l = &loopback;

	if (l->vm != vm)
		return;
	if (l->phase == PHASE_WAITING || l->phase == PHASE_COPYING) {
		l->rounds_left = 0;
		compare_while_stopped(l);
	}
	while (l->phase == PHASE_RELAXING)
		relax(l);
}

void loopback_step(void)
{
	struct loopback *l = &loopback;

	if (likely(l->phase == PHASE_NONE) || insn_rdtsc() < l->next_tsc)
		return;
	switch (l->phase) {
	case PHASE_NONE:
		break;
	case PHASE_WAITING:
		begin_round(l);
		break;
	case PHASE_COPYING:
		copy_chunk(l);
		l->next_tsc = insn_rdtsc() + tsc_from_ns(draw(l, BREATHE_NS));
		if (round_is_complete(l))
			end_round(l);
		break;
	case PHASE_RELAXING:
		relax(l);
		break;
	}
}

u64 loopback_next_tsc(void)
{
	return loopback.phase == PHASE_NONE ? UINT64_MAX : loopback.next_tsc;
}
