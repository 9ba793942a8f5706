/* SPDX-License-Identifier: MIT */
/*
 * A VM on simulated CPUs: what the real machine does around the dirty log.
 *
 *	vCPU	has a TLB, a cache of leaf tables, a PML page with few slots;
 *		sets A and D in EPT entries; exits and drains on log-full;
 *		handles requests of others only between two instructions
 *	writer	Umbra itself, writing through guest_mem
 *	source	the harvester: rounds, last harvest, and what the destination
 *		has then received
 *
 * The machine side keeps the order that pml/track.h asks for; each `fault`
 * breaks it in one place, and a test shows that this loses a page.
 *
 * Contents are a few counters per page: one per vCPU and one for the writer.
 * Everything that several threads touch is atomic, so that the same code runs
 * woven (tests/unit/weave.h) and under the thread sanitizer.
 */
#ifndef TESTS_UNIT_SIMULATED_VM_H
#define TESTS_UNIT_SIMULATED_VM_H

#include <sched.h>
#include <string.h>

#include "arch/x86/ept/ept.h"
#include "arch/x86/ept/ept_walk.h"
#include "mm/frame_alloc.h"
#include "mm/guest_mem.h"
#include "mm/phys.h"
#include "pml/pml.h"
#include "pml/track.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

#define VM_CPUS     2
#define VM_BYTES    (4 * MIB)
#define VM_PAGES    (VM_BYTES / PAGE_4K)
#define VM_HOT      8 /* pages that are written at all */
#define VM_COUNTERS (VM_CPUS + 1)
#define VM_WRITER   VM_CPUS /* the writer's counter */

/*
 * The pages that are written: in several words and both tables of leaves.
 * Who writes which overlaps, but each has one to itself, which no other's
 * mark can save.
 */
static const u64 vm_hot[VM_HOT] = {3, 4, 70, 511, 512, 513, 700, 1023};
static const u32 vm_first_hot[VM_COUNTERS] = {0, 2, 5};
#define VM_OWN_HOT 4 /* pages of each from there on, wrapping around */

enum vm_fault {
	VM_FAULT_NONE,
	VM_FAULT_READ_BEFORE_FLUSH,
	VM_FAULT_NO_FLUSH,
	VM_FAULT_FLUSH_BEFORE_REARM,
	VM_FAULT_LAST_DRAIN_LATE, /* vCPUs stop, but their PML is forgotten */
	VM_FAULT_LAST_WHILE_RUNNING, /* the last harvest stops nobody */
	VM_FAULT_WRITER_UNMARKED,
	VM_FAULT_PML_ON_LATE,       /* armed by D before PML is on everywhere */
	VM_FAULT_PML_OFF_EARLY,     /* off while leaves with D=0 exist */
	VM_FAULT_FREE_BEFORE_FLUSH, /* merged tables are reused at once */
};

/* What a vCPU is asked to do before its next instruction. */
#define ASK_DRAIN BIT(0)
#define ASK_FLUSH BIT(1)
#define ASK_PML   BIT(2) /* on or off, as track_wants_pml says */

struct vm_translation {
	bool valid;
	bool writable_and_dirty;
	hpa_t frame;
};

struct vm_cpu {
	struct vm *vm;
	u32 number;
	u64 asked;          /* ASK_*, what was not begun yet */
	u64 asked_count;    /* requests ever made */
	u64 answered_count; /* of these, how many are done */
	u32 in_guest;       /* 0: stopped; all it logged is drained */
	bool pml_on;
	u16 pml_index;
	u64 pml[PML_ENTRIES];
	struct vm_translation tlb[VM_PAGES];
	ept_entry_t *leaf_tables[VM_BYTES / PAGE_2M]; /* cached by the CPU */
	struct random random;
	u64 rest; /* instructions without a store, still to come */
};

struct vm {
	enum vm_fault fault;
	struct random random; /* of the source */
	u32 over;             /* the source is done: everybody goes home */
	u32 stop;             /* everybody stays where they are */
	u32 writer_runs;      /* 0: stopped or finished */
	u64 writer_seed;
	bool plain_copies; /* the writer also copies bytes: no atomic access */
	const char *failure;
	struct guest_mem mem;
	struct ept ept;
	struct track track;
	struct vm_cpu cpus[VM_CPUS];
	u64 received[VM_HOT][VM_COUNTERS]; /* at the destination */
};

static void vm_fail(struct vm *vm, const char *why)
{
	__atomic_store_n(&vm->failure, why, __ATOMIC_RELAXED);
}

static bool vm_failed(const struct vm *vm)
{
	return __atomic_load_n(&vm->failure, __ATOMIC_RELAXED) != NULL;
}

static bool vm_is_over(const struct vm *vm)
{
	return vm_failed(vm) || __atomic_load_n(&vm->over, __ATOMIC_SEQ_CST);
}

/* A page of a vCPU's or the writer's own. */
static u64 vm_choose_page(u32 who, struct random *random)
{
	u64 choice = vm_first_hot[who] + random_below(random, VM_OWN_HOT);

	return vm_hot[choice % VM_HOT];
}

/*
 * Stores come in bursts: what is lost must stay lost for a while, or the next
 * store to the same page makes good for it.
 */
static bool vm_rests(u64 *rest, struct random *random)
{
	if (*rest) {
		--*rest;
		return true;
	}
	if (random_below(random, 4) == 0)
		*rest = random_below(random, 1ULL << random_below(random, 13));
	return false;
}

static u64 *vm_counters(hpa_t frame)
{
	return phys_ptr(frame);
}

/* --- A vCPU -------------------------------------------------------------- */

/* Few slots, so that they run out: the others name what is no guest memory. */
#define VM_PML_FIRST 3

static void vm_pml_reset(struct vm_cpu *cpu)
{
	for (u32 i = 0; i < PML_ENTRIES; i++)
		cpu->pml[i] = BIT(50);
	cpu->pml_index = VM_PML_FIRST;
}

static void vm_drain(struct vm_cpu *cpu)
{
	pml_drain(cpu->pml, cpu->pml_index, &cpu->vm->mem.log);
	vm_pml_reset(cpu);
}

static void vm_drop_translations(struct vm_cpu *cpu)
{
	for (u32 i = 0; i < VM_PAGES; i++)
		cpu->tlb[i].valid = false;
	for (u32 i = 0; i < ARRAY_COUNT(cpu->leaf_tables); i++)
		cpu->leaf_tables[i] = NULL;
}

/*
 * Between two instructions: exits, does what was asked, comes back. Requests
 * are counted: a bit alone could be cleared after it was set a second time.
 */
static void vm_answer(struct vm_cpu *cpu)
{
	u64 count = __atomic_load_n(&cpu->asked_count, __ATOMIC_SEQ_CST);
	u64 asked = __atomic_exchange_n(&cpu->asked, 0, __ATOMIC_SEQ_CST);

	if (asked & (ASK_DRAIN | ASK_PML))
		vm_drain(cpu);
	if (asked & ASK_FLUSH)
		vm_drop_translations(cpu);
	if (asked & ASK_PML)
		cpu->pml_on = track_wants_pml(&cpu->vm->track);
	__atomic_store_n(&cpu->answered_count, count, __ATOMIC_SEQ_CST);
}

/* The walk of the CPU, which may begin at a leaf table that it remembers. */
static struct ept_spot vm_walk(struct vm_cpu *cpu, u64 page)
{
	ept_entry_t **cached = &cpu->leaf_tables[page / EPT_ENTRIES];
	struct ept_spot spot;

	if (*cached) {
		spot.slot = &(*cached)[page % EPT_ENTRIES];
		spot.entry = ept_read(spot.slot);
		spot.level = EPT_4K;
		return spot;
	}
	spot = ept_walk(cpu->vm->ept.root, page * PAGE_4K, EPT_4K);
	if (spot.level == EPT_4K)
		*cached = spot.slot - page % EPT_ENTRIES;
	return spot;
}

/* An EPT violation: the CPU forgets the page, Umbra repairs it or not. */
static void vm_on_violation(struct vm_cpu *cpu, u64 page)
{
	struct vm *vm = cpu->vm;

	cpu->tlb[page].valid = false;
	cpu->leaf_tables[page / EPT_ENTRIES] = NULL;
	if (track_write_fault(&vm->track, gpa(page * PAGE_4K + 0x7f8)) !=
	    TRACK_FAULT_FIXED)
		vm_fail(vm, "a write fault nobody could repair");
}

/* D goes from 0 to 1: logged before the instruction ends, or it exits. */
static void vm_set_dirty(struct vm_cpu *cpu, struct ept_spot spot, u64 page)
{
	ept_entry_t dirty = {spot.entry.raw | EPT_A | EPT_D};

	if (cpu->pml_on && cpu->pml_index >= PML_ENTRIES) {
		vm_drain(cpu);
		return;
	}
	if (ept_swap(spot.slot, spot.entry, dirty) != EPT_SWAPPED)
		return;
	/* Some emulators log the full address. */
	if (cpu->pml_on)
		cpu->pml[cpu->pml_index--] = page * PAGE_4K + 0x48c;
}

/* The translation for a write to `page`; may fault and walk several times. */
static struct vm_translation *vm_translate(struct vm_cpu *cpu, u64 page)
{
	struct vm_translation *known = &cpu->tlb[page];

	/* A TLB is small: it may have forgotten. */
	if (random_below(&cpu->random, 4) == 0)
		known->valid = false;
	while (!known->valid || !known->writable_and_dirty) {
		struct ept_spot spot = vm_walk(cpu, page);
		u64 size = ept_level_bytes(spot.level);
		hpa_t expected;

		if (vm_failed(cpu->vm))
			return NULL;
		if (!(spot.entry.raw & EPT_W)) {
			vm_on_violation(cpu, page);
			continue;
		}
		if (!(spot.entry.raw & EPT_D)) {
			vm_set_dirty(cpu, spot, page);
			continue;
		}
		known->frame = hpa_add(ept_entry_address(spot.entry),
				       (page * PAGE_4K) % size);
		if (guest_mem_frame(&cpu->vm->mem, gpa(page * PAGE_4K),
				    &expected) != OK ||
		    !hpa_equal(expected, known->frame)) {
			vm_fail(cpu->vm, "a vCPU walked into foreign memory");
			return NULL;
		}
		known->valid = known->writable_and_dirty = true;
	}
	return known;
}

static void vm_store(struct vm_cpu *cpu, u64 page, u64 value)
{
	struct vm_translation *translation = vm_translate(cpu, page);

	if (translation)
		__atomic_store_n(&vm_counters(translation->frame)[cpu->number],
				 value, __ATOMIC_RELAXED);
}

/* Leaves the guest, and stays out while everybody is to stop. */
static void vm_stay_out(struct vm_cpu *cpu)
{
	if (cpu->vm->fault != VM_FAULT_LAST_DRAIN_LATE)
		vm_drain(cpu);
	__atomic_store_n(&cpu->in_guest, 0, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&cpu->vm->stop, __ATOMIC_SEQ_CST))
		sched_yield();
	__atomic_store_n(&cpu->in_guest, 1, __ATOMIC_SEQ_CST);
}

UNUSED static void vm_cpu_main(void *argument)
{
	struct vm_cpu *cpu = argument;
	u64 value = 1;

	while (!vm_is_over(cpu->vm)) {
		if (__atomic_load_n(&cpu->vm->stop, __ATOMIC_SEQ_CST)) {
			vm_stay_out(cpu);
			continue;
		}
		vm_answer(cpu);
		sched_yield();
		if (vm_rests(&cpu->rest, &cpu->random))
			continue;
		vm_store(cpu, vm_choose_page(cpu->number, &cpu->random),
			 value++);
	}
	__atomic_store_n(&cpu->in_guest, 0, __ATOMIC_SEQ_CST);
}

/* --- The writer ---------------------------------------------------------- */

/* Each of the ways in which Umbra writes guest memory, in turn. */
static enum err vm_put(struct vm *vm, gpa_t address, u64 value)
{
	u64 before = 0;
	enum err err;

	switch (vm->plain_copies ? value % 3 : value % 2) {
	case 0:
		return guest_mem_write_u64(&vm->mem, address, value);
	case 1:
		err = guest_mem_read_u64(&vm->mem, address, &before);
		return err == OK ? guest_mem_swap_u64(&vm->mem, address,
						      &before, value)
				 : err;
	default:
		return guest_mem_write(&vm->mem, address, &value,
				       sizeof(value));
	}
}

static void vm_write_for_guest(struct vm *vm, u64 page, u64 value)
{
	gpa_t address = gpa(page * PAGE_4K + VM_WRITER * sizeof(u64));
	hpa_t frame;
	enum err err = guest_mem_frame(&vm->mem, address, &frame);

	if (vm->fault == VM_FAULT_WRITER_UNMARKED)
		__atomic_store_n(&vm_counters(frame)[VM_WRITER], value,
				 __ATOMIC_RELAXED);
	else if (err == OK)
		err = vm_put(vm, address, value);
	if (err != OK)
		vm_fail(vm, "guest memory cannot be written");
}

UNUSED static void vm_writer_main(void *argument)
{
	struct vm *vm = argument;
	struct random random = random_from(vm->writer_seed);
	u64 value = 1, rest = 0;

	while (!vm_is_over(vm)) {
		if (!__atomic_load_n(&vm->stop, __ATOMIC_SEQ_CST)) {
			sched_yield();
			if (vm_rests(&rest, &random))
				continue;
			vm_write_for_guest(
			    vm, vm_choose_page(VM_WRITER, &random), value++);
			continue;
		}
		__atomic_store_n(&vm->writer_runs, 0, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&vm->stop, __ATOMIC_SEQ_CST))
			sched_yield();
		__atomic_store_n(&vm->writer_runs, 1, __ATOMIC_SEQ_CST);
	}
	__atomic_store_n(&vm->writer_runs, 0, __ATOMIC_SEQ_CST);
}

/* --- The source ---------------------------------------------------------- */

/*
 * Asks all vCPUs and waits until each has done it. One that is out of the
 * guest needs not: it will before it enters again.
 */
static void vm_ask(struct vm *vm, u64 what)
{
	u64 count[VM_CPUS];

	for (u32 i = 0; i < VM_CPUS; i++) {
		struct vm_cpu *cpu = &vm->cpus[i];

		__atomic_fetch_or(&cpu->asked, what, __ATOMIC_SEQ_CST);
		count[i] = 1 + __atomic_fetch_add(&cpu->asked_count, 1,
						  __ATOMIC_SEQ_CST);
	}
	for (u32 i = 0; i < VM_CPUS; i++) {
		struct vm_cpu *cpu = &vm->cpus[i];

		while (__atomic_load_n(&cpu->answered_count, __ATOMIC_SEQ_CST) <
			   count[i] &&
		       __atomic_load_n(&cpu->in_guest, __ATOMIC_SEQ_CST))
			sched_yield();
	}
}

static void vm_flush(struct vm *vm, enum flush flush)
{
	if (flush == FLUSH_OWED && vm->fault != VM_FAULT_NO_FLUSH &&
	    vm->fault != VM_FAULT_FLUSH_BEFORE_REARM)
		vm_ask(vm, ASK_FLUSH);
}

static void vm_send_page(struct vm *vm, u64 page)
{
	const u64 *counters =
	    guest_mem_ptr(&vm->mem, gpa(page * PAGE_4K), PAGE_4K);

	for (u32 i = 0; i < VM_HOT; i++)
		if (vm_hot[i] == page)
			for (u32 who = 0; who < VM_COUNTERS; who++)
				vm->received[i][who] = __atomic_load_n(
				    &counters[who], __ATOMIC_RELAXED);
}

static void vm_send(struct vm *vm, const struct dirty_batch *batch)
{
	for (u32 i = 0; i < batch->count; i++)
		for (u64 bits = batch->words[i].bits; bits; bits &= bits - 1)
			vm_send_page(vm, gpa_page(batch->words[i].base) +
					     (u64)__builtin_ctzll(bits));
}

/* Harvests and sends [from, to), in as many chunks as it takes. */
static void vm_harvest(struct vm *vm, u64 from, u64 to)
{
	struct dirty_word words[3] = {0};
	gpa_t at = gpa(from), end = gpa(to);

	while (gpa_raw(at) < to) {
		struct dirty_batch batch = {
		    words, 1 + (u32)random_below(&vm->random, 3), 0};
		enum flush flush;

		if (vm->fault == VM_FAULT_FLUSH_BEFORE_REARM)
			vm_ask(vm, ASK_FLUSH);
		at = track_harvest(&vm->track, at, end, &batch, &flush);
		if (vm->fault == VM_FAULT_READ_BEFORE_FLUSH)
			vm_send(vm, &batch);
		vm_flush(vm, flush);
		if (random_below(&vm->random, 8) == 0) {
			/* The link was not ready: later, then. */
			dirty_log_give_back(&vm->mem.log, &batch);
			at = gpa(to);
		} else if (vm->fault != VM_FAULT_READ_BEFORE_FLUSH) {
			vm_send(vm, &batch);
		}
	}
}

static void vm_set_mode(struct vm *vm, enum track_mode mode)
{
	enum flush flush;

	if (track_switch(&vm->track, mode) != OK)
		vm_fail(vm, "no switch to another mode");
	vm_ask(vm, ASK_PML);
	if (mode == TRACK_PML)
		return;
	if (vm->fault == VM_FAULT_PML_OFF_EARLY) {
		track_left_pml(&vm->track);
		vm_ask(vm, ASK_PML);
	}
	flush = track_leave_pml(&vm->track, gpa(0), VM_BYTES);
	vm_flush(vm, flush);
	track_left_pml(&vm->track);
	vm_ask(vm, ASK_PML);
}

static void vm_random_round(struct vm *vm)
{
	u64 chunk = DIRTY_WORD_PAGES * PAGE_4K;
	u64 from = random_below(&vm->random, VM_BYTES / chunk) * chunk;
	u64 to = random_below(&vm->random, 2)
		     ? VM_BYTES
		     : from + random_below(&vm->random, 6) * chunk;

	if (random_below(&vm->random, 2))
		vm_ask(vm, ASK_DRAIN);
	vm_harvest(vm, random_below(&vm->random, 2) ? 0 : from,
		   to < VM_BYTES ? to : VM_BYTES);
	if (random_below(&vm->random, 3) == 0)
		vm_set_mode(vm, random_below(&vm->random, 2) ? TRACK_PML
							     : TRACK_WP);
}

static void vm_stop_all(struct vm *vm)
{
	if (vm->fault == VM_FAULT_LAST_WHILE_RUNNING)
		return;
	__atomic_store_n(&vm->stop, 1, __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < VM_CPUS; i++)
		while (__atomic_load_n(&vm->cpus[i].in_guest, __ATOMIC_SEQ_CST))
			sched_yield();
	while (__atomic_load_n(&vm->writer_runs, __ATOMIC_SEQ_CST))
		sched_yield();
}

/* Every page at the destination as it is here, or a page was lost. */
static void vm_compare(struct vm *vm)
{
	for (u32 i = 0; i < VM_HOT; i++) {
		const u64 *here =
		    guest_mem_ptr(&vm->mem, gpa(vm_hot[i] * PAGE_4K), PAGE_4K);

		for (u32 who = 0; who < VM_COUNTERS; who++)
			if (vm->received[i][who] !=
			    __atomic_load_n(&here[who], __ATOMIC_RELAXED))
				vm_fail(vm, "a write was lost");
	}
}

/* Whoever asks now gets everything, and then nothing: no page stays dirty. */
static void vm_last_harvest(struct vm *vm)
{
	struct dirty_word words[VM_PAGES / DIRTY_WORD_PAGES] = {0};
	struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};
	enum flush flush;

	track_harvest(&vm->track, gpa(0), gpa(VM_BYTES), &batch, &flush);
	vm_send(vm, &batch);
	vm_flush(vm, flush);
	track_harvest(&vm->track, gpa(0), gpa(VM_BYTES), &batch, &flush);
	if (batch.count && vm->fault == VM_FAULT_NONE)
		vm_fail(vm, "a page stays dirty though nobody writes");
}

/* Somebody gets the frames that were freed last, and fills them. */
static void vm_reuse_frames(void)
{
	hpa_t frames[4];
	u32 count = 0;

	while (count < ARRAY_COUNT(frames) &&
	       frame_alloc_try(FRAME_4K, &frames[count]) == OK)
		memset(phys_ptr(frames[count++]), 0x77, PAGE_4K);
	while (count)
		frame_free(frames[--count], FRAME_4K);
}

/* Back to large pages, while the guest runs. */
static void vm_relax(struct vm *vm)
{
	gpa_t at = gpa(0);

	track_stop(&vm->track);
	vm_ask(vm, ASK_PML);
	while (gpa_raw(at) < VM_BYTES) {
		enum flush flush;

		at =
		    track_relax(&vm->track, at, VM_BYTES - gpa_raw(at), &flush);
		if (vm->fault != VM_FAULT_FREE_BEFORE_FLUSH)
			vm_flush(vm, flush);
		ept_free_retired(&vm->ept);
		vm_reuse_frames();
	}
}

static void vm_migrate(struct vm *vm, u64 rounds)
{
	enum track_mode mode =
	    random_below(&vm->random, 2) ? TRACK_PML : TRACK_WP;

	memset(vm->received, 0xff, sizeof(vm->received));
	if (track_start(&vm->track, mode) != OK)
		vm_fail(vm, "tracking does not start");
	if (vm->fault == VM_FAULT_PML_ON_LATE)
		vm_harvest(vm, 0, VM_BYTES);
	vm_ask(vm, ASK_PML);
	while (rounds-- && !vm_failed(vm))
		vm_random_round(vm);
	vm_stop_all(vm);
	vm_last_harvest(vm);
}

/*
 * Two migrations: the first one is called off after its last harvest, as if
 * the link had failed, and the guest goes on; the second must be complete.
 */
UNUSED static void vm_source_main(void *argument)
{
	struct vm *vm = argument;

	vm_migrate(vm, random_below(&vm->random, 6));
	vm_compare(vm);
	__atomic_store_n(&vm->stop, 0, __ATOMIC_SEQ_CST);
	vm_relax(vm);
	vm_migrate(vm, random_below(&vm->random, 6));
	vm_compare(vm);
	__atomic_store_n(&vm->over, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&vm->stop, 0, __ATOMIC_SEQ_CST);
}

/* --- Beginning and end --------------------------------------------------- */

static void vm_begin(struct vm *vm, u64 seed, enum vm_fault fault)
{
	static const struct ept_format format = {
	    .largest_leaf = EPT_2M,
	    .physical_bits = 40,
	    .accessed_dirty = true,
	};
	enum err err;

	memset(vm, 0, sizeof(*vm));
	vm->fault = fault;
	vm->random = random_from(seed);
	vm->writer_runs = 1;
	vm->writer_seed = seed * 16 + VM_CPUS;
	frame_alloc_init();
	err = frame_alloc_add(hpa(PAGE_2M), 8 * MIB);
	if (err == OK)
		err = guest_mem_create(&vm->mem, gpa(VM_BYTES), "test");
	if (err == OK)
		err = guest_mem_add(&vm->mem, gpa(0), VM_BYTES);
	if (err == OK)
		err = ept_create(&vm->ept, &format);
	if (err == OK)
		err = ept_map_guest(&vm->ept, &vm->mem);
	if (err != OK)
		vm_fail(vm, "not enough memory for the test");
	track_init(&vm->track, &vm->ept, &vm->mem.log);
	for (u32 i = 0; i < VM_CPUS; i++) {
		vm->cpus[i].vm = vm;
		vm->cpus[i].number = i;
		vm->cpus[i].in_guest = 1;
		vm->cpus[i].random = random_from(seed * 16 + i);
		vm_pml_reset(&vm->cpus[i]);
	}
}

static void vm_end(struct vm *vm)
{
	ept_destroy(&vm->ept);
	guest_mem_destroy(&vm->mem);
}

#endif
