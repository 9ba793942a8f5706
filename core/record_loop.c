/* SPDX-License-Identifier: MIT */
/* Saving a guest, making it anew, saving it again: core/record_loop.h. */
#include "core/record_loop.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/vmx/nested_events.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "core/sched.h"
#include "core/settings.h"
#include "core/vm_make.h"
#include "core/vm_record.h"
#include "lib/fmt.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"
#include "pml/pml.h"

#define WAIT_NS     20000000
#define IDLE_ROUNDS 3 /* of a guest that sleeps, one after the other */

/* Where a vCPU that is a hypervisor can be, as far as the record knows. */
enum moment {
	IN_L1_WITHOUT_VMCS,
	IN_L1_BEFORE_LAUNCH,
	IN_L1_LAUNCHED,
	IN_L1_ENLIGHTENED,
	ENTRY_PENDING,
	IN_L2,
	L2_HALTED,
	EVENT_FOR_L2,
	EXCEPTION_FOR_L2,
	EXIT_WAITS,
	STEP_WAITS,
	NMI_BLOCKED,
	TIMER_RUNS,
	L1_LOG_PART_FULL,
	EPT12_CHANGED,
	L2_ENLIGHTENED,
	MOMENTS,
};

static const char *const moment_names[MOMENTS] = {
    "in L1 without a current VMCS",
    "in L1 before VMLAUNCH",
    "in L1 after VMLAUNCH",
    "in L1 with an enlightened VMCS",
    "entry pending",
    "in L2",
    "L2 halted",
    "event on its way into L2",
    "exception for L2",
    "exit to L1 pending",
    "exit by the monitor trap flag pending",
    "NMIs blocked in L2",
    "preemption timer of L1 running",
    "log of L1 part full",
    "EPT12 changed and not invalidated",
    "in L2 of an enlightened VMCS",
};

/* Of one vCPU's nested VMX, by where it is: host TSC ticks of all rounds. */
struct nested_cost {
	u64 rounds, save_ticks, restore_ticks, load_ticks;
};

enum place { PLACE_L1, PLACE_L2, PLACES };

static struct record_loop {
	struct vm *vm; /* NULL: nothing to do */
	bool at_exits; /* at each, instead of at moments */
	u32 idle_rounds;
	u64 rounds_left, rounds_done;
	u64 save_ticks, restore_ticks; /* of all rounds, host TSC */
	struct nested_cost nested[PLACES];
	u64 exits, most_exits; /* of a vCPU, between two rounds */
	u64 seen[MOMENTS];     /* how often a vCPU was there */
	u64 wait_ns;           /* between two rounds, at most */
	u64 random;
	u64 next_tsc;
	u64 stopped_tsc; /* the guest, for this round; host TSC */
	u32 room;
	hpa_t block; /* two records */
	u32 bytes;   /* of the last one */
} loop;

/* Xorshift: the moments need no better. */
static void wait_a_while(void)
{
	loop.random ^= loop.random << 13;
	loop.random ^= loop.random >> 7;
	loop.random ^= loop.random << 17;
	loop.next_tsc =
	    insn_rdtsc() + tsc_from_ns(loop.random % (loop.wait_ns + 1));
}

enum err record_loop_start(struct vm *vm, const struct guest_plan *plan)
{
	u64 rounds = 0, seed = 1, wait_ns = WAIT_NS;
	static const struct setting_choice at = {"record.at", "moments",
						 "exits"};
	bool at_exits;
	enum err err = setting_number(plan, "record.loop", &rounds);

	if (err == OK)
		err = setting_number(plan, "record.seed", &seed);
	if (err == OK)
		err = setting_number(plan, "record.wait", &wait_ns);
	if (err == OK)
		err = setting_choose(plan, &at, &at_exits);
	if (err != OK || !rounds)
		return err;
	if (loop.vm)
		return ERR_BUSY;
	loop.room = vm_record_room(vm->vcpu_count);
	err = frame_alloc_zeroed(frame_order_for(2UL * loop.room),
				 "two state records", &loop.block);
	if (err != OK)
		return err;
	loop.vm = vm;
	loop.at_exits = at_exits;
	loop.rounds_left = rounds;
	loop.wait_ns = wait_ns < WAIT_NS ? wait_ns : WAIT_NS;
	loop.random = seed * 0x9e3779b97f4a7c15UL + 1;
	wait_a_while();
	return OK;
}

static void say_cost(const struct nested_cost *cost, const char *where)
{
	u64 rounds = cost->rounds;

	if (rounds)
		log_info("record: nested VMX in %s, %lu rounds: saved in %lu "
			 "ticks, read in %lu, loaded in %lu",
			 where, rounds, cost->save_ticks / rounds,
			 cost->restore_ticks / rounds,
			 cost->load_ticks / rounds);
}

static void finish(void)
{
	u64 rounds = loop.rounds_done ? loop.rounds_done : 1;

	log_info("record: %lu rounds, %u bytes each: identical",
		 loop.rounds_done, loop.bytes);
	log_info("record: saved in %lu ticks, restored in %lu, on average",
		 loop.save_ticks / rounds, loop.restore_ticks / rounds);
	for (u32 i = 0; i < PLACES; i++)
		say_cost(&loop.nested[i], i == PLACE_L2 ? "L2" : "L1");
	log_info("record: %lu exits, at most %lu between two rounds",
		 loop.exits, loop.most_exits);
	for (u32 i = 0; i < MOMENTS; i++)
		if (loop.seen[i])
			log_info("record: %lu %s", loop.seen[i],
				 moment_names[i]);
	frame_free(loop.block, frame_order_for(2UL * loop.room));
	loop.vm = NULL;
}

void record_loop_vm_ended(const struct vm *vm)
{
	if (vm == loop.vm)
		finish();
}

/* No vCPU of it will run again. */
static void let_go(void)
{
	__atomic_store_n(&loop.vm->live_vcpus, 0, __ATOMIC_SEQ_CST);
	loop.vm = NULL;
}

static COLD void give_up(const char *what, const char *why)
{
	log_error("record: round %lu: %s%s", loop.rounds_done, what, why);
	vm_end(loop.vm, VM_END_FAILED, 0);
	let_go();
}

static u32 first_difference(const u8 *a, const u8 *b, u32 bytes)
{
	u32 i = 0;

	while (i < bytes && a[i] == b[i])
		i++;
	return i;
}

static bool is_made_anew(const u8 *record, u32 bytes)
{
	enum vcpu_step steps[PLATFORM_VCPU_MAX] = {VCPU_STEP_NONE};
	char why[WIRE_TEXT_BYTES];
	u64 start;
	enum err err;

	for (u32 i = 0; i < loop.vm->vcpu_count; i++)
		steps[i] = loop.vm->vcpus[i]->step;
	if (vm_power_on_empty(loop.vm, loop.vm->vcpu_count) != OK) {
		give_up("no memory for new vCPUs", "");
		return false;
	}
	for (u32 i = 0; i < loop.vm->vcpu_count; i++)
		loop.vm->vcpus[i]->step = steps[i];
	start = insn_rdtsc();
	err = vm_record_restore(loop.vm, record, bytes, why, sizeof(why));
	loop.restore_ticks += insn_rdtsc() - start;
	if (err != OK)
		give_up("it is refused: ", why);
	return err == OK;
}

/* --- Where it is ---------------------------------------------------------- */

/* nested_events_step() */
static bool step_waits(const struct vcpu *vcpu)
{
	u32 info = vcpu->injection.info;

	return (info & EVENT_VALID) && event_type(info) == EVENT_OTHER;
}

static bool is_at_in_l2(const struct vcpu *vcpu, enum moment moment)
{
	const struct nested_vcpu *n = vcpu->nested;
	const struct vmcs12 *v = &n->state.vmcs12;

	switch (moment) {
	case ENTRY_PENDING:
		return n->state.entry_pending;
	case IN_L2:
		return !n->state.entry_pending && vcpu->activity == VCPU_ACTIVE;
	case L2_HALTED:
		return vcpu->activity == VCPU_HALTED;
	case EVENT_FOR_L2:
		return (vcpu->injection.info & EVENT_VALID) &&
		       !n->state.entry_pending && !step_waits(vcpu);
	case EXCEPTION_FOR_L2:
		return n->exception.info & EVENT_VALID;
	case EXIT_WAITS:
		return nested_events_exit_waits(vcpu, loop.stopped_tsc);
	case STEP_WAITS:
		return step_waits(vcpu);
	case NMI_BLOCKED: /* as of the last save */
		return v->guest_interruptibility & BLOCKING_BY_NMI;
	case TIMER_RUNS:
		return n->state.timer_runs;
	case L1_LOG_PART_FULL:
		return (nested_secondary_controls(v) & SECONDARY_PML) &&
		       v->pml_index < PML_INDEX_EMPTY;
	case L2_ENLIGHTENED:
		return n->state.is_enlightened;
	case IN_L1_WITHOUT_VMCS:
	case IN_L1_BEFORE_LAUNCH:
	case IN_L1_LAUNCHED:
	case IN_L1_ENLIGHTENED:
	case EPT12_CHANGED:
	case MOMENTS:
		break;
	}
	return false;
}

static bool is_at(const struct vcpu *vcpu, enum moment moment)
{
	const struct nested_state *state;
	bool is_launched;

	if (!nested_vcpu_in_vmx(vcpu))
		return false;
	state = &vcpu->nested->state;
	if (state->in_l2)
		return is_at_in_l2(vcpu, moment);
	if (state->is_enlightened)
		return moment == IN_L1_ENLIGHTENED;
	if (!nested_has_current(state))
		return moment == IN_L1_WITHOUT_VMCS;
	is_launched = state->vmcs12.launch_state == VMCS12_LAUNCHED;
	return moment == (is_launched ? IN_L1_LAUNCHED : IN_L1_BEFORE_LAUNCH);
}

static bool any_is_at(enum moment moment)
{
	if (moment == EPT12_CHANGED)
		return loop.vm->nested && shadow_is_behind(&loop.vm->shadow);
	for (u32 i = 0; i < loop.vm->vcpu_count; i++)
		if (is_at(loop.vm->vcpus[i], moment))
			return true;
	return false;
}

/* Each vCPU is new since the last round. */
static void count_exits(void)
{
	for (u32 i = 0; i < loop.vm->vcpu_count; i++) {
		u64 exits = vcpu_exit_count(loop.vm->vcpus[i]);

		loop.exits += exits;
		if (exits > loop.most_exits)
			loop.most_exits = exits;
	}
}

static void count_moments(void)
{
	for (u32 i = 0; i < MOMENTS; i++)
		loop.seen[i] += any_is_at((enum moment)i);
}

/* --- A round -------------------------------------------------------------- */

/* NULL: no or several vCPUs that it could be of. */
static struct nested_cost *cost_of(const struct vm *vm)
{
	const struct vcpu *vcpu = vm->vcpus[0];

	if (vm->vcpu_count != 1 || !nested_vcpu_in_vmx(vcpu) ||
	    !nested_has_vmcs12(&vcpu->nested->state))
		return NULL;
	return &loop.nested[vcpu->nested->state.in_l2 ? PLACE_L2 : PLACE_L1];
}

static void add_cost(struct nested_cost *sum, const struct nested_cost *one)
{
	sum->rounds += one->rounds;
	sum->save_ticks += one->save_ticks;
	sum->restore_ticks += one->restore_ticks;
	sum->load_ticks += one->load_ticks;
}

static bool is_the_same(const u8 *first, u32 bytes, const char *when)
{
	u8 *second = (u8 *)phys_ptr(loop.block) + loop.room;
	u32 again =
	    vm_record_save(loop.vm, loop.vm->stopped_tsc, second, loop.room);
	u32 at = first_difference(first, second, bytes);
	char where[96];

	if (again == bytes && at == bytes)
		return true;
	fmt(where, sizeof(where), "%s: %u, at byte %u of %u", when, again, at,
	    bytes);
	give_up("saved again it is another one, ", where);
	return false;
}

/* Each as it is when the CPU has it: what is made for that is made. */
static void load_once(struct vm *vm)
{
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		vcpu_load(vm->vcpus[i]);
		vcpu_unload(vm->vcpus[i]);
	}
}

/* Their CPUs have been told already how far their TSC is off. */
static void start_clock(struct vm *vm)
{
	vm_record_start_clock(vm);
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		vcpu_load(vm->vcpus[i]);
		vcpu_load_tsc(vm->vcpus[i]);
		vcpu_unload(vm->vcpus[i]);
	}
}

/* Where the guest comes to, nobody knows by which entries L2 has gone on. */
static void forget_old_entries(struct vm *vm)
{
	if (!vm->nested || !shadow_is_behind(&vm->shadow))
		return;
	shadow_forget(&vm->shadow, gpa(0),
		      gpa_raw(dirty_log_end(&vm->memory.log)));
}

static void go_round(void)
{
	struct vm *vm = loop.vm;
	u8 *first = phys_ptr(loop.block);
	u64 start = insn_rdtsc();
	u32 bytes = vm_record_save(vm, vm_record_moment(vm), first, loop.room);
	struct nested_cost *cost = cost_of(vm);
	struct nested_cost one = {.rounds = 1};

	loop.save_ticks += insn_rdtsc() - start;
	loop.stopped_tsc = start;
	one.save_ticks = vm_record_nested_ticks();
	count_moments();
	count_exits();
	sched_remove(vm);
	if (!is_made_anew(first, bytes))
		return;
	one.restore_ticks = vm_record_nested_ticks();
	if (!is_the_same(first, bytes, "before it is loaded"))
		return;
	load_once(vm);
	if (vm_has_ended(vm)) {
		let_go(); /* one cannot go on, and has said why */
		return;
	}
	if (cost) {
		one.load_ticks = vm->vcpus[0]->nested->first_ticks;
		add_cost(cost, &one);
	}
	if (!is_the_same(first, bytes, "after it was loaded"))
		return;
	loop.bytes = bytes;
	forget_old_entries(vm);
	start_clock(vm);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		sched_add(vm->vcpus[i]);
}

/* Each stop is one behind an exit or before an entry; but one that sleeps may
 * be found again and again. */
static bool has_stepped(struct vm *vm)
{
	bool is_idle = true;

	for (u32 i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpus[i];

		if (vcpu->step == VCPU_STEP_NONE)
			vcpu->step = VCPU_STEP_ENTER;
		is_idle = is_idle && vcpu->activity != VCPU_ACTIVE;
	}
	loop.idle_rounds = is_idle ? loop.idle_rounds + 1 : 0;
	return loop.idle_rounds <= IDLE_ROUNDS;
}

static bool is_due(struct vm *vm)
{
	if (vm_has_ended(vm))
		return false;
	return loop.at_exits ? has_stepped(vm) : insn_rdtsc() >= loop.next_tsc;
}

void record_loop_step(void)
{
	struct vm *vm = loop.vm;

	if (likely(!vm) || !is_due(vm))
		return;
	vm_pause(vm);
	if (!vm_has_ended(vm)) {
		sched_unload(vm);
		go_round();
	}
	vm_resume(vm);
	if (!loop.vm)
		return;
	loop.rounds_done++;
	wait_a_while();
	if (!--loop.rounds_left)
		finish();
}

u64 record_loop_next_tsc(void)
{
	return loop.vm && !loop.at_exits && !vm_has_ended(loop.vm)
		   ? loop.next_tsc
		   : UINT64_MAX;
}
