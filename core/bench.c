/* SPDX-License-Identifier: MIT */
/* Counters and steps for a guest that measures: see core/bench.h. */
#include "core/bench.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/vm.h"
#include "core/sched.h"
#include "core/settings.h"
#include "lib/bench.h"
#include "lib/check.h"
#include "lib/log.h"
#include "lib/string.h"

#define BATCH_WORDS 1024 /* 256 MiB of guest memory */
#define CHUNK_BYTES (32 * MIB)

struct bench {
	struct vm *vm;
	u32 asked; /* atomic: the step that waits to be done, or 0 */
	u32 done_count;
	u64 ticks, pages; /* of the last step */
	u32 taken_count;  /* words of the last harvest */
	struct dirty_word words[BATCH_WORDS];
};

static struct bench bench;

enum err bench_start(struct vm *vm, const struct guest_plan *plan)
{
	const char *text = setting_text(plan, "bench");

	if (!text || !strcmp(text, "off"))
		return OK;
	if (strcmp(text, "on")) {
		log_error("guest %s: bench=%s: it is on or off", plan->name,
			  text);
		return ERR_BAD_FORMAT;
	}
	if (bench.vm)
		return ERR_BUSY;
	bench.vm = vm;
	return OK;
}

void bench_vm_ended(const struct vm *vm)
{
	if (bench.vm == vm)
		bench.vm = NULL;
}

/* --- Steps ---------------------------------------------------------------- */

static u64 end_of_log(void)
{
	return gpa_raw(dirty_log_end(bench.vm->track.log));
}

static u64 chunk_at(u64 at)
{
	u64 left = end_of_log() - at;

	return left < CHUNK_BYTES ? left : CHUNK_BYTES;
}

static enum err turn_on(enum track_mode mode)
{
	enum err err = vm_track_start(bench.vm, mode);

	if (err == OK)
		vm_sync(bench.vm);
	bench.pages = bench.vm->memory.bytes / PAGE_4K;
	return err;
}

static enum err split(void)
{
	enum err err = OK;

	for (u64 at = 0; err == OK && at < end_of_log(); at += chunk_at(at))
		err = ept_split(&bench.vm->ept, gpa(at), chunk_at(at));
	bench.pages = bench.vm->memory.bytes / PAGE_4K;
	return err;
}

static void count_pages(const struct dirty_batch *batch)
{
	for (u32 i = 0; i < batch->count; i++)
		bench.pages += bits_count(batch->words[i].bits);
}

/* The time of counting is not part of the harvest. */
static enum err harvest(void)
{
	gpa_t at = gpa(0), end = dirty_log_end(bench.vm->track.log);
	u64 counting = 0;

	if (bench.vm->track.mode == TRACK_OFF)
		return ERR_STATE;
	/* Running vCPUs drain what they have logged so far. */
	vm_sync(bench.vm);
	while (gpa_raw(at) < gpa_raw(end)) {
		struct dirty_batch batch = {bench.words, BATCH_WORDS, 0};
		u64 start;

		at = vm_harvest(bench.vm, at, end, &batch);
		start = insn_rdtsc();
		bench.taken_count = batch.count;
		count_pages(&batch);
		counting += insn_rdtsc() - start;
	}
	bench.ticks -= counting;
	return OK;
}

static enum err turn_off(void)
{
	if (bench.vm->track.mode == TRACK_OFF)
		return ERR_STATE;
	vm_track_stop(bench.vm);
	vm_sync(bench.vm);
	bench.pages = bench.vm->memory.bytes / PAGE_4K;
	return OK;
}

static enum err merge(void)
{
	gpa_t at = gpa(0);

	if (bench.vm->track.mode != TRACK_OFF)
		return ERR_STATE;
	while (gpa_raw(at) < end_of_log())
		at = vm_relax(bench.vm, at, CHUNK_BYTES);
	bench.pages = bench.vm->memory.bytes / PAGE_4K;
	return OK;
}

static enum err switch_to(enum track_mode mode)
{
	enum err err = mode == TRACK_PML && !vmx_capability.has_pml
			   ? ERR_UNSUPPORTED
			   : vm_track_switch(bench.vm, mode);

	if (err == OK)
		vm_sync(bench.vm);
	bench.pages = bench.vm->memory.bytes / PAGE_4K;
	return err;
}

static enum err do_step(enum bench_subleaf step)
{
	switch (step) {
	case BENCH_LOG_BY_PML:
		return vmx_capability.has_pml ? turn_on(TRACK_PML)
					      : ERR_UNSUPPORTED;
	case BENCH_LOG_BY_WP:
		return turn_on(TRACK_WP);
	case BENCH_SPLIT:
		return split();
	case BENCH_HARVEST:
		return harvest();
	case BENCH_STOP_LOGGING:
		return turn_off();
	case BENCH_MERGE:
		return merge();
	case BENCH_TO_PML:
		return switch_to(TRACK_PML);
	case BENCH_TO_WP:
		return switch_to(TRACK_WP);
	case BENCH_COUNTERS:
	case BENCH_RESULT:
	case BENCH_TAKEN:
	case BENCH_LEAVES:
	case BENCH_EVENTS:
		break;
	}
	return ERR_RANGE;
}

void bench_step(void)
{
	u32 step = __atomic_load_n(&bench.asked, __ATOMIC_ACQUIRE);
	u64 start;
	enum err err;

	if (likely(!step))
		return;
	bench.asked = 0;
	if (!bench.vm)
		return;
	bench.pages = 0;
	bench.ticks = 0;
	start = insn_rdtsc();
	err = do_step((enum bench_subleaf)step);
	bench.ticks += insn_rdtsc() - start;
	if (err != OK) {
		log_error("bench: step %u: %s", step, err_text(err));
		bench.pages = 0;
	}
	__atomic_fetch_add(&bench.done_count, 1, __ATOMIC_RELEASE);
}

/* --- What the guest sees -------------------------------------------------- */

static void answer_counters(struct cpuid_leaf *leaf)
{
	u64 exits = 0, flushes = 0, ipis = 0;

	for (u32 i = 0; i < bench.vm->vcpu_count; i++)
		exits += vcpu_exit_count(bench.vm->vcpus[i]);
	for (u32 i = 0; i < cpu_count; i++) {
		flushes += cpus[i].flush_count;
		ipis += cpus[i].ipi_count;
	}
	*leaf = (struct cpuid_leaf){
	    .eax = low32(exits),
	    .ebx = low32(flushes),
	    .ecx = low32(ipis),
	    .edx = __atomic_load_n(&bench.done_count, __ATOMIC_ACQUIRE),
	};
}

/* Did the last harvest take this page? Its words are in ascending order. */
static bool has_taken(u64 page)
{
	u32 low = 0, high = bench.taken_count;

	while (low < high) {
		u32 middle = (low + high) / 2;
		const struct dirty_word *word = &bench.words[middle];

		if (page < gpa_page(word->base))
			high = middle;
		else if (page >= gpa_page(word->base) + DIRTY_WORD_PAGES)
			low = middle + 1;
		else
			return word->bits & BIT(page % DIRTY_WORD_PAGES);
	}
	return false;
}

static void answer_leaves(struct cpuid_leaf *leaf)
{
	const struct ept *ept = &bench.vm->ept;

	*leaf = (struct cpuid_leaf){
	    .eax = low32(ept->leaf_count[EPT_4K]),
	    .ebx = low32(ept->leaf_count[EPT_2M]),
	    .ecx = low32(ept->leaf_count[EPT_1G]),
	    .edx = low32(ept->table_count),
	};
}

static void answer_events(struct cpuid_leaf *leaf)
{
	for (u32 i = 0; i < bench.vm->vcpu_count; i++) {
		const struct vcpu *vcpu = bench.vm->vcpus[i];

		leaf->eax += low32(vcpu->exits_by_reason[EXIT_PML_FULL]);
		leaf->ebx += low32(vcpu->redelivered_count);
	}
}

void vcpu_answer_bench_leaf(const struct vcpu *vcpu, u32 subleaf,
			    struct cpuid_leaf *leaf)
{
	*leaf = (struct cpuid_leaf){0};
	if (vcpu->vm != bench.vm)
		return;
	switch (subleaf & BENCH_SUBLEAF) {
	case BENCH_COUNTERS:
		answer_counters(leaf);
		break;
	case BENCH_TAKEN:
		leaf->eax = has_taken(bits_get(subleaf, BENCH_TAKEN_PAGE));
		break;
	case BENCH_LEAVES:
		answer_leaves(leaf);
		break;
	case BENCH_EVENTS:
		answer_events(leaf);
		break;
	case BENCH_RESULT:
		*leaf = (struct cpuid_leaf){
		    low32(bench.ticks),
		    high32(bench.ticks),
		    low32(bench.pages),
		    high32(bench.pages),
		};
		break;
	default:
		__atomic_store_n(&bench.asked, subleaf, __ATOMIC_RELEASE);
		sched_poke_first_cpu();
		break;
	}
}
