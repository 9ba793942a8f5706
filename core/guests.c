/* SPDX-License-Identifier: MIT */
/* The guests of a run: started, watched, reset, ended. */
#include "core/guests.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/mitigate.h"
#include "arch/x86/vmx/vcpu.h"
#include "arch/x86/vmx/vmx_cpu.h"
#include "core/bench.h"
#include "core/cables.h"
#include "core/console.h"
#include "core/loopback.h"
#include "core/machine.h"
#include "core/migration.h"
#include "core/monitor.h"
#include "core/record_loop.h"
#include "core/sched.h"
#include "core/settings.h"
#include "core/typed.h"
#include "core/vm_make.h"
#include "lib/log.h"
#include "lib/string.h"
#include "loader/guest_plan.h"

/* Exit statuses of a run; docs/ARCHITECTURE.md lists them all. */
#define STATUS_OK           0
#define STATUS_RESET        0
#define STATUS_GUEST_FAILED 126
#define STATUS_NOT_STARTED  125

#define RESTART_PERIOD_NS   100000000 /* at the most one reset in this */

static struct vm *vms[GUESTS_MAX];
static const struct guest_plan *vm_plans[GUESTS_MAX];
static enum platform_console
    vm_inputs[GUESTS_MAX]; /* what is typed goes there */
static const struct boot_info *boot_info;
static u32 vm_count;
static u32 alive_count;   /* VMs that have not been reaped */
static u32 first_failure; /* the status of the first guest that was not OK */
static struct guest_plans plans;

void guests_init_vmx(enum mitigation_mode mitigations, enum apicv_choice apicv,
		     enum mtf_choice mtf)
{
	vmx_capability_read(apicv, mtf);
	if (vmx_capability.usable)
		mitigate_init(mitigations);
}

struct vm *guests_find(u32 index)
{
	return index < vm_count ? vms[index] : NULL;
}

void guests_print_in_panic(void)
{
	for (u32 i = 0; i < vm_count; i++)
		platform_print_in_panic(&vms[i]->platform);
}

void guests_console_input(u32 index, const u8 *bytes, size_t count)
{
	struct vm *vm = guests_find(index);

	if (!vm || vm_has_ended(vm))
		return;
	typed_add(vm, bytes, count);
	typed_offer(vm, vm_inputs[index]);
}

void guests_offer_input(void)
{
	for (u32 i = 0; i < vm_count; i++)
		typed_offer(vms[i], vm_inputs[i]);
}

/* input=hvc0: the virtio console; input=com1, the default: the UART. */
static enum platform_console wanted_input(const struct guest_plan *plan)
{
	const char *text = setting_text(plan, "input");

	if (text && strcmp(text, "hvc0") == 0)
		return PLATFORM_HVC0;
	if (text && strcmp(text, "com1") != 0)
		log_warn("guest %s: input=%s: it can be com1 or hvc0; it is "
			 "com1",
			 plan->name, text);
	return PLATFORM_COM1;
}

static void run_vcpus(struct vm *vm)
{
	vm->live_vcpus = vm->vcpu_count;
	vm->restart_tsc = insn_rdtsc() + tsc_from_ns(RESTART_PERIOD_NS);
	vm->has_started = true;
	__atomic_store_n(&vm->state, VM_RUNNING, __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		sched_add(vm->vcpus[i]);
}

/* Where a VM was that has moved to a peer, else a new place, if there is one.
 */
static u32 free_place(void)
{
	for (u32 i = 0; i < vm_count; i++)
		if (vms[i]->reaped && vms[i]->end == VM_END_MOVED)
			return i;
	return vm_count;
}

bool guests_have_room(void)
{
	return free_place() < GUESTS_MAX;
}

void guests_adopt(struct vm *vm)
{
	vm->index = free_place();
	if (vm->index < vm_count)
		vm_destroy(vms[vm->index]);
	else
		vm_count++;
	vms[vm->index] = vm;
	vm_plans[vm->index] = NULL;
	alive_count++;
	console_record("guest %u name=%s", vm->index, vm->name);
	console_set_plain_input(CONSOLE_GUEST(vm->index));
	if (vm->has_started)
		run_vcpus(vm);
}

void guests_run(u32 index)
{
	struct vm *vm = guests_find(index);

	if (!vm || vm->state != VM_STARTING || vm_is_paused(vm))
		log_info("no guest is waiting for that");
	else if (!vmx_capability.usable)
		log_error("guest %s cannot run here: see above", vm->name);
	else
		run_vcpus(vm);
}

void guests_moved(struct vm *vm)
{
	enum vm_end none = VM_END_NONE;

	if (vm->state != VM_STARTING)
		sched_remove(vm);
	(void)__atomic_compare_exchange_n(&vm->end, &none, VM_END_MOVED, false,
					  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	__atomic_store_n(&vm->state, VM_ENDED, __ATOMIC_SEQ_CST);
	vm_empty(vm);
	__atomic_store_n(&vm->live_vcpus, 0, __ATOMIC_SEQ_CST);
}

/* reset=restart: a reset begins anew; reset=stop, the default, ends the run. */
static bool wants_restart(const struct guest_plan *plan)
{
	const char *text = setting_text(plan, "reset");

	if (text && strcmp(text, "restart") != 0 && strcmp(text, "stop") != 0)
		log_warn("guest %s: reset=%s: it can be restart or stop; it "
			 "stops",
			 plan->name, text);
	return text && strcmp(text, "restart") == 0;
}

/*
 * start=no: loaded, and left to be sent to a peer, or to the monitor.
 * start=reset: not even that; its files are for a guest that began with the
 * same ones, came from a peer, and resets here.
 */
static bool starts(const struct guest_plan *plan, const char *how)
{
	const char *text = setting_text(plan, "start");

	return text && strcmp(text, how) == 0;
}

static void check_start(const struct guest_plan *plan)
{
	const char *text = setting_text(plan, "start");

	if (text && strcmp(text, "yes") != 0 && !starts(plan, "no"))
		log_warn("guest %s: start=%s: it can be yes, no or reset; it "
			 "starts",
			 plan->name, text);
}

static void make_guest(const struct guest_plan *plan)
{
	struct vm *vm = NULL;

	settings_check(plan);
	enum err err = vm_make(plan, boot_info, vm_count, &vm);

	if (err != OK || !vm) {
		log_error("guest %s is not started: %s", plan->name,
			  err_text(err));
		if (!first_failure)
			first_failure = STATUS_NOT_STARTED;
		return;
	}
	vm->restarts = wants_restart(plan);
	if (vm->restarts)
		vm->began_with = guest_plan_fingerprint(plan, boot_info);
	vm->is_held = starts(plan, "no");
	check_start(plan);
	if (migration_plan(vm, plan) != OK && !first_failure)
		first_failure = STATUS_NOT_STARTED;
	vm_plans[vm_count] = plan;
	vm_inputs[vm_count] = wanted_input(plan);
	vms[vm_count++] = vm;
	alive_count++;
	console_record("guest %u name=%s", vm->index, vm->name);
	log_info("guest %s starts: %lu MiB, %u vCPU%s, CPU model %s", vm->name,
		 plan->memory_bytes / MIB, vm->vcpu_count,
		 vm->vcpu_count == 1 ? "" : "s", vm->cpu_name);
}

/* --- The end -------------------------------------------------------------- */

static void all_have_ended(void)
{
	if (machine_exit_way() != EXIT_STAY)
		machine_leave(first_failure);
	console_record("end %u", first_failure);
	log_info("no guest is running; \"help\" lists what you can do");
	monitor_prompt();
}

static u32 status_of(const struct vm *vm)
{
	switch (vm->end) {
	case VM_END_EXIT_CODE:
		/* As QEMU's isa-debug-exit makes it, in a process's 8 bits. */
		return (vm->end_value << 1 | 1) & 0xff;
	case VM_END_POWER_OFF:
		return STATUS_OK;
	case VM_END_RESET:
		return STATUS_RESET;
	case VM_END_MOVED:
		return STATUS_OK;
	case VM_END_NONE:
	case VM_END_FAILED:
		break;
	}
	return STATUS_GUEST_FAILED;
}

static const char *end_text(const struct vm *vm)
{
	switch (vm->end) {
	case VM_END_EXIT_CODE:
		return "wrote to port 0xf4";
	case VM_END_POWER_OFF:
		return "powered off";
	case VM_END_RESET:
		return "asked for a reset";
	case VM_END_MOVED:
		return "has moved to the peer";
	case VM_END_NONE:
	case VM_END_FAILED:
		break;
	}
	return "was stopped by Umbra, as said above";
}

void guests_vcpu_gone(struct vcpu *vcpu)
{
	__atomic_sub_fetch(&vcpu->vm->live_vcpus, 1, __ATOMIC_SEQ_CST);
}

static void log_vcpu_exits(const struct vcpu *vcpu, enum log_level level)
{
	log_line(level, "  vCPU %u: %lu exits", vcpu->index,
		 vcpu_exit_count(vcpu));
	for (u32 i = 0; i < EXIT_REASON_COUNT; i++)
		if (vcpu->exits_by_reason[i])
			log_line(level, "    %8lu %s", vcpu->exits_by_reason[i],
				 exit_reason_text(i));
}

void guests_log_exits(const struct vm *vm, enum log_level level)
{
	for (u32 i = 0; i < vm->vcpu_count; i++)
		log_vcpu_exits(vm->vcpus[i], level);
}

static bool will_restart(const struct vm *vm)
{
	return vm->end == VM_END_RESET && vm->restarts;
}

/* All its vCPUs are gone and nothing has been done about it yet. */
static bool has_stopped(const struct vm *vm)
{
	return !vm->reaped && vm->state != VM_STARTING &&
	       !__atomic_load_n(&vm->live_vcpus, __ATOMIC_SEQ_CST);
}

/*
 * For one that came from a peer, what is here and begins the same guest; into
 * memory that is not the plan's vm_reset() loads nothing.
 */
static const struct guest_plan *plan_to_restart(const struct vm *vm)
{
	if (vm_plans[vm->index])
		return vm_plans[vm->index];
	return guest_plan_find(&plans, boot_info, vm->began_with,
			       vm->vcpu_count);
}

static void refuse_restart(struct vm *vm)
{
	log_error("guest %s asks for a reset, which is to begin anew "
		  "(reset=restart). Its kernel did not move here with it, so "
		  "it ends. Give this machine the same files, command line, "
		  "memory and CPUs as a guest with start=reset, and the next "
		  "one begins anew here",
		  vm->name);
	vm->end = VM_END_FAILED;
}

/* Whether the guest has begun anew. */
static bool restart(struct vm *vm)
{
	const struct guest_plan *plan;
	enum err err;

	if (!will_restart(vm))
		return false;
	plan = plan_to_restart(vm);
	if (!plan) {
		refuse_restart(vm);
		return false;
	}
	/* The next time it need not be looked for, which takes reading it. */
	vm_plans[vm->index] = plan;
	log_info("guest %s resets", vm->name);
	err = vm_reset(vm, plan, boot_info);
	if (err != OK) {
		log_error("guest %s cannot start again: %s", vm->name,
			  err_text(err));
		vm->end = VM_END_FAILED;
		return false;
	}
	run_vcpus(vm);
	return true;
}

static void reap(struct vm *vm)
{
	u32 status;

	loopback_vm_ended(vm);
	record_loop_vm_ended(vm);
	migration_vm_ended(vm);
	cables_close(vm);
	if (restart(vm))
		return;
	bench_vm_ended(vm);
	status = status_of(vm);
	log_info("guest %s has ended: it %s; status %u", vm->name, end_text(vm),
		 status);
	guests_log_exits(vm, LOG_DEBUG);
	if (status && !first_failure)
		first_failure = status;
	vm->reaped = true;
	/* Who waits for guests has not ended because one has moved on. */
	if (!--alive_count && !(vm->end == VM_END_MOVED && migration_waits()))
		all_have_ended();
}

void guests_reap(void)
{
	for (u32 i = 0; i < vm_count; i++) {
		struct vm *vm = vms[i];

		if (!has_stopped(vm))
			continue;
		/* Who resets again and again must not keep this CPU busy. */
		if (!will_restart(vm) || insn_rdtsc() >= vm->restart_tsc)
			reap(vm);
	}
}

u64 guests_next_tsc(void)
{
	u64 next = UINT64_MAX;

	for (u32 i = 0; i < vm_count; i++)
		if (has_stopped(vms[i]) && vms[i]->restart_tsc < next)
			next = vms[i]->restart_tsc;
	return next;
}

static void nothing_to_run(void)
{
	if (first_failure || !migration_waits()) {
		all_have_ended();
		return;
	}
	log_info("no guest here: waiting for one from a peer");
	console_record("waiting");
}

void guests_start(const struct boot_info *boot)
{
	boot_info = boot;
	guest_plan_all(&plans, boot);
	if (plans.refused_count)
		first_failure = STATUS_NOT_STARTED;
	if (vmx_capability.usable && vmx_cpu_enable() != OK)
		vmx_capability.usable = false;
	for (u32 i = 0; i < plans.guest_count; i++) {
		const struct guest_plan *plan = &plans.guests[i];

		if (starts(plan, "reset"))
			continue;
		if (vmx_capability.usable || starts(plan, "no"))
			make_guest(plan);
		else
			first_failure = STATUS_NOT_STARTED;
	}
	if (!vm_count) {
		nothing_to_run();
		return;
	}
	cables_check();
	console_set_plain_input(CONSOLE_GUEST(0));
	for (u32 i = 0; i < vm_count; i++)
		if (!vms[i]->is_held)
			run_vcpus(vms[i]);
}
