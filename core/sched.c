/* SPDX-License-Identifier: MIT */
/* The CPUs' loops and the queue of vCPUs between them. */
#include "core/sched.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/traps.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/vcpu.h"
#include "arch/x86/vmx/vmx_cpu.h"
#include "core/bench.h"
#include "core/console.h"
#include "core/guests.h"
#include "core/loopback.h"
#include "core/migration.h"
#include "core/record_loop.h"
#include "core/typed.h"
#include "lib/check.h"
#include "lib/spinlock.h"

#define SLICE_NS      10000000ULL /* 10 ms, while others wait */
#define INPUT_POLL_NS 50000000ULL /* where the console has no interrupt */
/*
 * The longest run of a vCPU, also if nobody is known to wait: for vCPUs that
 * other CPUs let go, and because Bochs 2.7 does not exit for interrupts while
 * the guest's RFLAGS.IF is 0, so that what is typed would wait for ever.
 */
#define RUN_NS_MAX    50000000ULL
#define NO_CPU        UINT32_MAX

enum schedule_state {
	SCHEDULE_READY,
	SCHEDULE_RUNNING,
	SCHEDULE_BLOCKED,
	SCHEDULE_GONE,
};

/* One CPU as the scheduler sees it. */
struct worker {
	struct vcpu *loaded;  /* its VMCS is current here */
	struct vcpu *running; /* being run right now; under the lock */
	struct vcpu
	    *yielder; /* it gave up its run for others; under the lock */
	u64 started;  /* when it began to; host TSC */
	bool idle;    /* waits for an interrupt; under the lock */
	bool can_run_guests;
	u32 poked; /* atomic: leave the guest, go round the loop */
};

static struct worker workers[CPU_MAX];
static struct spinlock lock;
static struct vcpu *all; /* every vCPU that is not GONE */
static u64 least_used;   /* no vCPU's claim reaches further back */

static struct worker *this_worker(void)
{
	return &workers[cpu_this()->index];
}

static void on_kick(u32 vector)
{
	/* Its arrival is its meaning: the CPU has left the guest or HLT. */
	(void)vector;
}

static void on_timer(u32 vector)
{
	(void)vector;
}

/* It was meant for a vCPU that had left the guest, which looks by itself. */
static void on_notify(u32 vector)
{
	(void)vector;
}

void sched_init(void)
{
	interrupt_set_handler(VECTOR_KICK, on_kick);
	interrupt_set_handler(VECTOR_TIMER, on_timer);
	interrupt_set_handler(VECTOR_NOTIFY, on_notify);
}

/* The CPU goes round its loop, and its vCPU looks whether it should stop. */
static void poke(struct worker *worker)
{
	struct vcpu *running =
	    __atomic_load_n(&worker->running, __ATOMIC_RELAXED);

	__atomic_store_n(&worker->poked, 1, __ATOMIC_RELEASE);
	if (running)
		vcpu_call_attention(running);
}

void sched_poke_this_cpu(void)
{
	poke(this_worker());
}

bool vcpu_should_stop(void)
{
	return __atomic_load_n(&this_worker()->poked, __ATOMIC_ACQUIRE);
}

static void interrupt_cpu(u32 index)
{
	if (index != cpu_this()->index)
		apic_send_ipi(cpus[index].apic_id, VECTOR_KICK);
}

void sched_poke_first_cpu(void)
{
	poke(&workers[0]);
	interrupt_cpu(0);
}

/* A vCPU of a pinned guest has one CPU; others go where there is room. */
static bool is_allowed_on(const struct vcpu *vcpu, u32 cpu)
{
	const struct vm *vm = vcpu->vm;

	return !vm->pin_count || vm->pins[vcpu->index % vm->pin_count] == cpu;
}

/*
 * A vCPU that writes faster than its VM's migration carries runs for short
 * times, and then rests for as long as it has to. Nobody else waits for that.
 */
#define THROTTLED_RUN_NS 5000000

static void make_rest(struct vcpu *vcpu, u64 ran, u64 now)
{
	u32 percent =
	    __atomic_load_n(&vcpu->schedule.throttle_percent, __ATOMIC_RELAXED);

	vcpu->schedule.rest_until = percent && percent < 100
					? now + ran * percent / (100 - percent)
					: 0;
}

static bool may_run_on(const struct vcpu *vcpu, u32 cpu)
{
	return !vm_is_paused(vcpu->vm) && is_allowed_on(vcpu, cpu) &&
	       (vcpu->schedule.cpu == NO_CPU || vcpu->schedule.cpu == cpu);
}

/* A CPU that idles and may run this vCPU, else NO_CPU. */
static u32 find_idle_cpu(const struct vcpu *vcpu)
{
	for (u32 i = 0; i < cpu_count; i++)
		if (workers[i].idle && workers[i].can_run_guests &&
		    may_run_on(vcpu, i))
			return i;
	return NO_CPU;
}

/* What the vCPU that this CPU runs has had by now. */
static u64 used_by_now(const struct worker *worker, u64 now)
{
	return worker->running->schedule.used + (now - worker->started);
}

/* The CPU whose vCPU has had the most time, of those that may run this one. */
static u32 find_busiest_cpu(const struct vcpu *vcpu)
{
	u64 now = insn_rdtsc(), most = 0;
	u32 found = NO_CPU;

	for (u32 i = 0; i < cpu_count; i++) {
		if (!workers[i].running || !may_run_on(vcpu, i) ||
		    used_by_now(&workers[i], now) < most)
			continue;
		most = used_by_now(&workers[i], now);
		found = i;
	}
	return found;
}

/* Called once, a CPU looks for itself; the next vCPU calls another. */
static void call_cpu(u32 cpu)
{
	workers[cpu].idle = false;
	poke(&workers[cpu]);
	interrupt_cpu(cpu);
}

/*
 * The vCPU can run again: an idle CPU takes it, or a busy one must look at
 * its queue, if only to limit the slice of what it runs. The lock is held.
 */
static void make_ready(struct vcpu *vcpu)
{
	u32 cpu = find_idle_cpu(vcpu);
	u64 credit = tsc_from_ns(SLICE_NS);

	vcpu->schedule.state = SCHEDULE_READY;
	/* Who slept long does not get all that time back at once. */
	if (vcpu->schedule.used + credit < least_used)
		vcpu->schedule.used = least_used - credit;
	if (cpu == NO_CPU)
		cpu = find_busiest_cpu(vcpu);
	if (cpu != NO_CPU)
		call_cpu(cpu);
}

void vcpu_kick(struct vcpu *vcpu)
{
	vcpu_call_attention(vcpu);
	spin_lock(&lock);
	switch ((enum schedule_state)vcpu->schedule.state) {
	case SCHEDULE_BLOCKED:
	case SCHEDULE_READY: /* its VM may have been resumed just now */
		make_ready(vcpu);
		break;
	case SCHEDULE_RUNNING:
		interrupt_cpu(vcpu->schedule.cpu);
		break;
	case SCHEDULE_GONE:
		break;
	}
	spin_unlock(&lock);
}

/*
 * A CPU that is in the guest takes the vector there. One that is in Umbra, with
 * interrupts off, takes it at its next entry; if it does not enter this vCPU
 * again, the vCPU looks before it runs or sleeps. One whose guest is L2, where
 * nothing is posted, exits by it and looks (arch/x86/vmx/vcpu_apic.h).
 */
void vcpu_notify(struct vcpu *vcpu)
{
	bool told = false;

	if (vmx_capability.apicv.posted) {
		spin_lock(&lock);
		told = vcpu->schedule.state == SCHEDULE_RUNNING &&
		       vcpu->schedule.cpu != cpu_this()->index;
		/* If it is about to sleep, it must not: put_back(). */
		if (told) {
			vcpu_call_attention(vcpu);
			apic_send_ipi(cpus[vcpu->schedule.cpu].apic_id,
				      VECTOR_NOTIFY);
		}
		spin_unlock(&lock);
	}
	if (!told)
		vcpu_kick(vcpu);
}

bool vcpu_is_running(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->schedule.state, __ATOMIC_SEQ_CST) ==
	       SCHEDULE_RUNNING;
}

void sched_add(struct vcpu *vcpu)
{
	spin_lock(&lock);
	vcpu->schedule.cpu = NO_CPU;
	vcpu->schedule.used = least_used;
	vcpu->schedule.next = all;
	all = vcpu;
	make_ready(vcpu);
	spin_unlock(&lock);
}

/* Timers of blocked vCPUs that are due. The lock is held. */
static void wake_due(u64 now)
{
	for (struct vcpu *v = all; v; v = v->schedule.next)
		if (v->schedule.state == SCHEDULE_BLOCKED &&
		    v->schedule.wake_tsc <= now) {
			vcpu_call_attention(v);
			make_ready(v);
		}
}

/* The ready vCPU with the least time that this CPU may run, or NULL; who has
 * just yielded comes last. */
static struct vcpu *least_used_ready(const struct worker *worker, u32 cpu,
				     u64 now)
{
	struct vcpu *best = NULL;

	for (struct vcpu *v = all; v; v = v->schedule.next)
		if (v->schedule.state == SCHEDULE_READY && may_run_on(v, cpu) &&
		    v->schedule.rest_until <= now &&
		    (!best || best == worker->yielder ||
		     (v != worker->yielder &&
		      v->schedule.used < best->schedule.used)))
			best = v;
	return best;
}

/*
 * Who is still ready may run on another CPU that sleeps: called for one vCPU,
 * this CPU may have chosen another.
 */
static void pass_on(void)
{
	for (struct vcpu *v = all; v; v = v->schedule.next) {
		u32 cpu = v->schedule.state == SCHEDULE_READY ? find_idle_cpu(v)
							      : NO_CPU;

		if (cpu != NO_CPU)
			call_cpu(cpu);
	}
}

/*
 * It spins and waits for somebody, who perhaps waits for this very CPU. The
 * time that it has not had stays its own.
 */
void vcpu_yield(struct vcpu *vcpu)
{
	struct worker *worker = this_worker();
	u32 cpu = cpu_this()->index;

	spin_lock(&lock);
	for (struct vcpu *v = all; v; v = v->schedule.next)
		if (v->schedule.state == SCHEDULE_READY && may_run_on(v, cpu)) {
			worker->yielder = vcpu;
			poke(worker);
			break;
		}
	spin_unlock(&lock);
}

/* The first CPU's other work, if it comes earlier than `until`. */
static u64 serve_next(u64 until)
{
	const u64 due[] = {loopback_next_tsc(), record_loop_next_tsc(),
			   migration_next_tsc(), guests_next_tsc(),
			   typed_next_tsc()};

	for (u32 i = 0; i < ARRAY_COUNT(due); i++)
		until = due[i] < until ? due[i] : until;
	return until;
}

static u64 later(u64 a, u64 b)
{
	return a > b ? a : b;
}

/* Until when may this CPU run or sleep without looking again? */
static u64 next_look(u32 cpu, u64 now)
{
	u64 until = UINT64_MAX;

	for (struct vcpu *v = all; v; v = v->schedule.next) {
		u64 due = UINT64_MAX;

		if (!may_run_on(v, cpu))
			continue;
		if (v->schedule.state == SCHEDULE_READY)
			due = later(now + tsc_from_ns(SLICE_NS),
				    v->schedule.rest_until);
		else if (v->schedule.state == SCHEDULE_BLOCKED)
			due = v->schedule.wake_tsc;
		until = due < until ? due : until;
	}
	if (cpu == 0)
		until = serve_next(until);
	if (cpu == 0 && !console_has_interrupt() &&
	    until > now + tsc_from_ns(INPUT_POLL_NS))
		until = now + tsc_from_ns(INPUT_POLL_NS);
	return until;
}

static void limit_run(const struct vcpu *vcpu, u64 now, u64 *until)
{
	u64 most =
	    now + tsc_from_ns(vcpu->schedule.throttle_percent ? THROTTLED_RUN_NS
							      : RUN_NS_MAX);

	if (*until > most)
		*until = most;
}

/* Chooses what this CPU does next: a vCPU, or NULL for idling. */
static struct vcpu *pick(struct worker *worker, u64 *until)
{
	u32 cpu = cpu_this()->index;
	u64 now = insn_rdtsc();
	struct vcpu *vcpu;

	spin_lock(&lock);
	__atomic_store_n(&worker->poked, 0, __ATOMIC_RELEASE);
	wake_due(now);
	vcpu =
	    worker->can_run_guests ? least_used_ready(worker, cpu, now) : NULL;
	worker->yielder = NULL;
	if (vcpu) {
		vcpu->schedule.state = SCHEDULE_RUNNING;
		vcpu->schedule.cpu = cpu;
		worker->running = vcpu;
		worker->started = now;
		if (vcpu->schedule.used > least_used)
			least_used = vcpu->schedule.used;
	}
	worker->idle = !vcpu;
	pass_on();
	*until = next_look(cpu, now);
	if (vcpu)
		limit_run(vcpu, now, until);
	spin_unlock(&lock);
	return vcpu;
}

/*
 * The loaded vCPU becomes anybody's: whoever idles may take it now. Busy CPUs
 * are left alone: this one has just chosen what it runs, with a slice that
 * takes the vCPU into account, and must get to run it.
 */
static void release(struct worker *worker)
{
	struct vcpu *vcpu = worker->loaded;
	u32 cpu;

	if (!vcpu)
		return;
	vcpu_unload(vcpu);
	worker->loaded = NULL;
	spin_lock(&lock);
	vcpu->schedule.cpu = NO_CPU;
	cpu = find_idle_cpu(vcpu);
	if (vcpu->schedule.state == SCHEDULE_READY && cpu != NO_CPU)
		call_cpu(cpu);
	spin_unlock(&lock);
}

/* Who is paused may be wanted elsewhere: sched_unload. */
static void release_paused(struct worker *worker)
{
	if (worker->loaded && vm_is_paused(worker->loaded->vm))
		release(worker);
}

static bool is_loaded(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->schedule.cpu, __ATOMIC_ACQUIRE) != NO_CPU;
}

void sched_unload(const struct vm *vm)
{
	release_paused(this_worker());
	spin_lock(&lock);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		if (is_loaded(vm->vcpus[i]))
			call_cpu(vm->vcpus[i]->schedule.cpu);
	spin_unlock(&lock);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		while (is_loaded(vm->vcpus[i]))
			insn_pause();
}

static void load(struct worker *worker, struct vcpu *vcpu)
{
	if (worker->loaded == vcpu)
		return;
	release(worker);
	vcpu_load(vcpu);
	worker->loaded = vcpu;
}

static void forget(struct vcpu *vcpu)
{
	for (struct vcpu **link = &all; *link; link = &(*link)->schedule.next)
		if (*link == vcpu) {
			*link = vcpu->schedule.next;
			return;
		}
}

void sched_remove(const struct vm *vm)
{
	spin_lock(&lock);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		forget(vm->vcpus[i]);
	spin_unlock(&lock);
}

/* The vCPU has come back from its run. */
static void put_back(struct worker *worker, struct vcpu *vcpu,
		     enum vcpu_stop stop, u64 ran)
{
	if (stop == VCPU_STOP_ENDED) {
		vcpu_unload(vcpu);
		worker->loaded = NULL;
	}
	spin_lock(&lock);
	worker->running = NULL;
	vcpu->schedule.used += ran;
	make_rest(vcpu, ran, insn_rdtsc());
	switch (stop) {
	case VCPU_STOP_PREEMPTED:
	case VCPU_STOP_PAUSED:
		vcpu->schedule.state = SCHEDULE_READY;
		break;
	case VCPU_STOP_IDLE:
		/* A kick since it looked finds it running, and is not lost. */
		vcpu->schedule.wake_tsc = vcpu_wake_tsc(vcpu);
		vcpu->schedule.state =
		    vcpu->attention ? SCHEDULE_READY : SCHEDULE_BLOCKED;
		break;
	case VCPU_STOP_ENDED:
		vcpu->schedule.state = SCHEDULE_GONE;
		vcpu->schedule.cpu = NO_CPU;
		forget(vcpu);
		break;
	}
	spin_unlock(&lock);
}

static void idle(struct worker *worker, u64 until)
{
	if (until != UINT64_MAX)
		apic_timer_arm(until);
	/* Interrupts are off: one that came since pick() ends the HLT. */
	if (!__atomic_load_n(&worker->poked, __ATOMIC_ACQUIRE))
		insn_sti_hlt_cli();
	if (until != UINT64_MAX)
		apic_timer_stop();
}

static void run(struct worker *worker, struct vcpu *vcpu, u64 until)
{
	u64 start;
	enum vcpu_stop stop;

	load(worker, vcpu);
	start = insn_rdtsc();
	stop = vcpu_run(vcpu, until);
	put_back(worker, vcpu, stop, insn_rdtsc() - start);
	/* Interrupts that should have ended the run (RUN_NS_MAX), if any. */
	insn_sti_nop_cli();
	if (stop == VCPU_STOP_ENDED) {
		guests_vcpu_gone(vcpu);
		sched_poke_first_cpu();
	}
}

struct sched_place sched_place(void)
{
	const struct vcpu *vcpu =
	    __atomic_load_n(&this_worker()->running, __ATOMIC_RELAXED);

	return vcpu ? (struct sched_place){vcpu->vm->name, vcpu->index}
		    : (struct sched_place){NULL, 0};
}

/* The first CPU's work besides running guests, a piece at a time. */
static void serve(struct worker *worker)
{
	guests_offer_input();
	console_poll_input();
	guests_reap();
	bench_step();
	record_loop_step();
	if (loopback_next_tsc() > insn_rdtsc() &&
	    migration_next_tsc() > insn_rdtsc())
		return;
	/* It may take a while: let another CPU run our guest meanwhile. */
	if (cpu_count > 1)
		release(worker);
	loopback_step();
	migration_step();
}

void sched_run(void)
{
	struct worker *worker = this_worker();
	bool first = cpu_this()->index == 0;

	worker->can_run_guests =
	    vmx_capability.usable &&
	    (vmx_cpu_is_enabled() || vmx_cpu_enable() == OK);
	for (;;) {
		struct vcpu *vcpu;
		u64 until;

		release_paused(worker);
		if (first)
			serve(worker);
		vcpu = pick(worker, &until);
		if (vcpu)
			run(worker, vcpu, until);
		else
			idle(worker, until);
	}
}
