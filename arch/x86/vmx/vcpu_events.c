/* SPDX-License-Identifier: MIT */
/* Events on their way into a vCPU. */
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/controls.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/nested_events.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vcpu.h"
#include "arch/x86/vmx/vcpu_apic.h"
#include "arch/x86/vmx/vcpu_sync.h"
#include "arch/x86/vmx/vmx_cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/log.h"
#include "lib/x86.h"

static void queue(struct vcpu *vcpu, enum event_type type, u32 vector)
{
	vcpu->injection = (struct vcpu_event){
	    .info = (u32)(EVENT_VALID | (u32)type << 8 | vector),
	};
}

void vcpu_events_postpone(struct vcpu *vcpu, u32 info)
{
	if (event_type(info) == EVENT_NMI)
		vcpu->nmi_pending = true;
	else
		vcpu->postponed_interrupt = info;
}

/* With the next entry, on top of what was being delivered. */
static void put_in(struct vcpu *vcpu, const struct vcpu_event *exception)
{
	u32 later;

	if (event_raise(&vcpu->injection, exception, &later) ==
	    EVENT_SHUTDOWN) {
		vcpu_triple_fault(vcpu);
		return;
	}
	if (later)
		vcpu_events_postpone(vcpu, later);
	vcpu->attention = 1;
}

/*
 * The instruction that faults will be met again. RF keeps its breakpoint from
 * coming a second time, and injection does not set it: SDM vol. 3,
 * "Instruction-Breakpoint Exception Condition".
 */
static void set_resume_flag(u32 vector)
{
	if (vector != EXCEPTION_DB && vector != EXCEPTION_MC)
		vmcs_write(VMCS_GUEST_RFLAGS,
			   vmcs_read(VMCS_GUEST_RFLAGS) | RFLAGS_RF);
}

/* `detail`: a page fault's address, or what a debug trap adds to DR6. */
static void raise(struct vcpu *vcpu, u32 info, u32 error_code, u64 detail)
{
	const struct vcpu_event exception = {
	    .info =
		info | (u32)(EVENT_VALID | (u32)EVENT_HARDWARE_EXCEPTION << 8),
	    .error_code = error_code,
	};

	set_resume_flag(info & (u32)EVENT_VECTOR);
	if (vcpu->in_l2)
		nested_events_raise(vcpu, &exception, detail);
	else
		put_in(vcpu, &exception);
}

void vcpu_raise(struct vcpu *vcpu, u32 vector)
{
	raise(vcpu, vector, 0, 0);
}

/* Real-mode handlers get no error code. */
static u32 error_flag(void)
{
	return vmcs_read(VMCS_GUEST_CR0) & CR0_PE ? (u32)EVENT_HAS_ERROR_CODE
						  : 0;
}

void vcpu_raise_with_code(struct vcpu *vcpu, u32 vector, u32 error_code)
{
	raise(vcpu, vector | error_flag(), error_code, 0);
}

void vcpu_raise_page_fault(struct vcpu *vcpu, u64 address, u32 error_code)
{
	/* If it is L1's, L2's CR2 does not change. */
	if (!vcpu->in_l2)
		insn_write_cr2(address);
	raise(vcpu, (u32)EXCEPTION_PF | error_flag(), error_code, address);
}

void vcpu_events_redeliver(struct vcpu *vcpu, u32 idt_vectoring)
{
	/* Bit 12 means something else on the way in, and must be 0. */
	vcpu->injection.info = idt_vectoring & ~(u32)EVENT_NMI_UNBLOCKING;
	vcpu->injection.error_code =
	    idt_vectoring & EVENT_HAS_ERROR_CODE
		? (u32)vmcs_read(VMCS_IDT_VECTORING_ERROR_CODE)
		: 0;
	vcpu->injection.instruction_length =
	    (u32)vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);
	vcpu->redelivered_count++;
	/* A redelivered NMI blocks NMIs by itself when it goes in. */
	if (event_type(idt_vectoring) == EVENT_NMI)
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
			   vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) &
			       ~BLOCKING_BY_NMI);
	vcpu->attention = 1;
}

void vcpu_events_set_dr6(u64 what)
{
	insn_write_dr6((insn_read_dr6() & ~DR6_BREAKPOINTS) | what);
}

void vcpu_events_raise_debug(struct vcpu *vcpu, u64 what)
{
	/* If it is L1's, L2's DR6 does not change. */
	if (!vcpu->in_l2)
		vcpu_events_set_dr6(what);
	raise(vcpu, EXCEPTION_DB, 0, what);
}

/*
 * Raised by us and not left to the pending debug exceptions, which an interrupt
 * that goes in with the same entry would take the place of (SDM vol. 3,
 * "Delivery of Pending Debug Exceptions after VM Entry").
 */
void vcpu_events_debug_trap(struct vcpu *vcpu, u64 step)
{
	u64 pending = vmcs_read(VMCS_GUEST_PENDING_DEBUG);

	vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
	step |= pending & DR6_BREAKPOINTS;
	vcpu_events_raise_debug(vcpu, step);
}

void vcpu_events_block_nmi(void)
{
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
		   vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) | BLOCKING_BY_NMI);
}

/* Asks for an exit as soon as interrupts, or NMIs, can be delivered. */
static void set_window(bool *flag, bool wanted, u64 control)
{
	u64 controls;

	if (*flag == wanted)
		return;
	controls = vmcs_read(VMCS_PRIMARY_CONTROLS);
	vmcs_write(VMCS_PRIMARY_CONTROLS,
		   wanted ? controls | control : controls & ~control);
	*flag = wanted;
}

static void inject(struct vcpu *vcpu)
{
	u32 info = vcpu->injection.info;

	vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, info);
	if (info & EVENT_HAS_ERROR_CODE)
		vmcs_write(VMCS_ENTRY_EXCEPTION_ERROR_CODE,
			   vcpu->injection.error_code);
	switch (event_type(info)) {
	case EVENT_SOFTWARE_INTERRUPT:
	case EVENT_PRIVILEGED_SOFTWARE_EXCEPTION:
	case EVENT_SOFTWARE_EXCEPTION:
		vmcs_write(VMCS_ENTRY_INSTRUCTION_LENGTH,
			   vcpu->injection.instruction_length);
		break;
	case EVENT_EXTERNAL_INTERRUPT:
	case EVENT_NMI:
	case EVENT_HARDWARE_EXCEPTION:
	case EVENT_OTHER:
		break;
	}
	vcpu->injection.info = 0;
}

bool vcpu_events_can_take_nmi(u64 blocking)
{
	return !(blocking &
		 (BLOCKING_BY_NMI | BLOCKING_BY_MOV_SS | BLOCKING_BY_STI));
}

bool vcpu_events_can_take_interrupt(u64 blocking)
{
	return (vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_IF) &&
	       !(blocking & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS));
}

/* Is there one that Umbra has to put in? */
static bool interrupt_waits(const struct vcpu *vcpu)
{
	struct platform *platform = &vcpu->vm->platform;

	if (vcpu->postponed_interrupt)
		return true;
	if (vcpu_apic_delivers(vcpu))
		return platform_extint_pending(platform, vcpu->index);
	return platform_interrupt_pending(platform, vcpu->index) !=
	       PLATFORM_INTERRUPT_NONE;
}

/* One that the CPU will deliver at the entry ends HLT all the same. */
static bool cpu_will_wake(const struct vcpu *vcpu, u64 blocking)
{
	return vcpu->activity == VCPU_HALTED && vcpu_apic_delivers(vcpu) &&
	       vcpu_events_can_take_interrupt(blocking) &&
	       platform_interrupt_pending(&vcpu->vm->platform, vcpu->index) ==
		   PLATFORM_INTERRUPT_LAPIC;
}

static void take_interrupt(struct vcpu *vcpu)
{
	struct platform *platform = &vcpu->vm->platform;

	if (vcpu->postponed_interrupt) {
		vcpu->injection.info = vcpu->postponed_interrupt;
		vcpu->postponed_interrupt = 0;
		return;
	}
	queue(vcpu, EVENT_EXTERNAL_INTERRUPT,
	      platform_interrupt_take(
		  platform, vcpu->index,
		  platform_interrupt_pending(platform, vcpu->index)));
}

/*
 * The window in which an NMI can go in. Behind STI it is the one of interrupts,
 * which are on by then: some CPUs let the NMI window exit in that shadow and
 * yet refuse the NMI (SDM vol. 3, "Checks on Guest Non-Register State").
 */
static void ask_for_windows(struct vcpu *vcpu, u64 blocking)
{
	bool behind_sti = blocking & BLOCKING_BY_STI;

	set_window(&vcpu->nmi_window, vcpu->nmi_pending && !behind_sti,
		   PRIMARY_NMI_WINDOW);
	set_window(&vcpu->interrupt_window,
		   interrupt_waits(vcpu) || (vcpu->nmi_pending && behind_sti),
		   PRIMARY_INTERRUPT_WINDOW);
}

/*
 * Chooses what goes in with the next entry: what was interrupted, else an
 * NMI, else an interrupt; asks for a window for what has to wait. Returns
 * whether something goes in, which also ends HLT.
 */
static bool choose_event(struct vcpu *vcpu)
{
	u64 blocking = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
	bool busy = vcpu->injection.info & EVENT_VALID;

	if (lapic_take_nmi(vcpu->lapic))
		vcpu->nmi_pending = true;
	if (!busy && vcpu->nmi_pending && vcpu_events_can_take_nmi(blocking)) {
		queue(vcpu, EVENT_NMI, EXCEPTION_NMI);
		vcpu->nmi_pending = false;
		busy = true;
	}
	if (!busy && interrupt_waits(vcpu) &&
	    vcpu_events_can_take_interrupt(blocking)) {
		take_interrupt(vcpu);
		busy = true;
	}
	ask_for_windows(vcpu, blocking);
	if (!busy && cpu_will_wake(vcpu, blocking))
		vcpu->activity = VCPU_ACTIVE;
	return busy;
}

/* L2 may have ended by that: then L1 is looked after. */
static bool choose_event_for_who_runs(struct vcpu *vcpu)
{
	bool busy;

	if (!vcpu->in_l2)
		return choose_event(vcpu);
	busy = nested_events_choose(vcpu);
	return vcpu->in_l2 ? busy : choose_event(vcpu);
}

/* A vCPU that is not asleep needs us only for what the CPU does not deliver. */
static bool interrupt_is_possible(const struct vcpu *vcpu)
{
	const struct platform *platform = &vcpu->vm->platform;

	if (vcpu->activity == VCPU_ACTIVE && vcpu_apic_delivers(vcpu))
		return platform_extint_possible(platform);
	return platform_interrupt_possible(platform, vcpu->index);
}

/* Nothing to inject, nothing that waits, and no window to close. */
static bool has_no_event(const struct vcpu *vcpu)
{
	return (!vcpu->in_l2 || nested_events_none(vcpu)) &&
	       !(vcpu->injection.info | vcpu->postponed_interrupt |
		 vcpu->nmi_pending | vcpu->nmi_window | vcpu->interrupt_window |
		 lapic_events(vcpu->lapic)) &&
	       !interrupt_is_possible(vcpu);
}

/* What INIT does to registers that are in no VMCS field (SDM vol. 3, "Processor
 * State After Reset"). */
static void reset_unswitched(struct vcpu *vcpu)
{
	insn_write_dr0(0);
	insn_write_dr1(0);
	insn_write_dr2(0);
	insn_write_dr3(0);
	insn_write_dr6(DR6_RESET);
	vcpu->registers.gpr[REG_RDX] = vcpu->vm->cpuid.basic[1].eax;
}

static void take_init(struct vcpu *vcpu)
{
	struct vcpu_state state;

	/* The first vCPU would go on at the reset vector, where a machine has
	 * its firmware: an INIT for it is a reset of the machine. */
	if (vcpu->index == 0) {
		vm_end(vcpu->vm, VM_END_RESET, 0);
		return;
	}
	lapic_on_init(vcpu->lapic);
	vcpu_state_reset(&state);
	vcpu_state_write(vcpu, &state);
	reset_unswitched(vcpu);
	/* INIT empties the TLB. */
	if (vmx_capability.has_vpid)
		vmx_flush_vpid(vcpu->vpid);
	vcpu->injection.info = 0;
	vcpu->postponed_interrupt = 0;
	vcpu->nmi_pending = false;
	vcpu->activity = VCPU_WAIT_FOR_SIPI;
}

static void take_sipi(struct vcpu *vcpu, u8 page)
{
	struct vcpu_state state;

	if (vcpu->activity != VCPU_WAIT_FOR_SIPI)
		return;
	vcpu_state_start_up(&state, page);
	vcpu_state_write(vcpu, &state);
	reset_unswitched(vcpu);
	vcpu->activity = VCPU_ACTIVE;
}

static void take_init_and_sipi(struct vcpu *vcpu)
{
	u8 page;

	if (nested_vcpu_in_vmx(vcpu)) {
		nested_events_init_and_sipi(vcpu);
		return;
	}
	if (lapic_take_init(vcpu->lapic))
		take_init(vcpu);
	if (lapic_take_sipi(vcpu->lapic, &page))
		take_sipi(vcpu, page);
}

static void find_next_event(struct vcpu *vcpu)
{
	u64 next_ns = platform_next_event_ns(&vcpu->vm->platform, vcpu->index);

	if (likely(next_ns == vcpu->next_event_ns))
		return;
	vcpu->next_event_ns = next_ns;
	vcpu->next_event_tsc = vm_tsc_at(vcpu->vm, next_ns);
}

static void run_timers(struct vcpu *vcpu, u64 now)
{
	find_next_event(vcpu);
	if (likely(now < vcpu->next_event_tsc))
		return;
	platform_tick(&vcpu->vm->platform, vcpu->index, vm_now_ns(vcpu->vm));
	find_next_event(vcpu);
}

/*
 * The longest stays. On a CPU every interrupt ends one at once; Bochs 2.7 does
 * not exit for any while the guest's RFLAGS.IF is 0, so what is typed, and
 * another CPU's call (vm_sync, more urgent), would wait for ever.
 */
#define STAY_MAX_NS     50000000
#define STAY_TRACKED_NS 1000000

/* The end of the coming stay in the guest, if nothing ends it before. */
static void set_deadline(struct vcpu *vcpu, u64 until_tsc, u64 now)
{
	bool is_tracked = cpu_count > 1 && vcpu->vm->track.mode != TRACK_OFF;
	u64 deadline =
	    now + tsc_from_ns(is_tracked ? STAY_TRACKED_NS : STAY_MAX_NS);

	if (until_tsc < deadline)
		deadline = until_tsc;
	if (vcpu->next_event_tsc < deadline)
		deadline = vcpu->next_event_tsc;
	vcpu->deadline_tsc = deadline;
}

static bool has_decided(struct vcpu *vcpu)
{
	if (likely(vcpu->step != VCPU_STEP_DECIDE))
		return false;
	vcpu->step = VCPU_STEP_ENTER;
	return true;
}

/* Whether the vCPU must not go into the guest now, whatever is pending. */
static bool must_stop(struct vcpu *vcpu, u64 until_tsc, u64 now,
		      enum vcpu_stop *stop)
{
	if (vm_has_ended(vcpu->vm))
		*stop = VCPU_STOP_ENDED;
	else if (vm_is_paused(vcpu->vm))
		*stop = VCPU_STOP_PAUSED;
	else if (vcpu->activity != VCPU_ACTIVE)
		*stop = VCPU_STOP_IDLE;
	else if (vcpu_should_stop() || now >= until_tsc || has_decided(vcpu))
		*stop = VCPU_STOP_PREEMPTED;
	else
		return false;
	return true;
}

/* Right behind an exit, before anything is made of it. */
static bool has_stepped(struct vcpu *vcpu, enum vcpu_stop *stop)
{
	if (likely(vcpu->step != VCPU_STEP_EXITED) || vm_has_ended(vcpu->vm))
		return false;
	vcpu->step = VCPU_STEP_DECIDE;
	*stop = VCPU_STOP_PREEMPTED;
	return true;
}

static void begin_step(struct vcpu *vcpu)
{
	if (likely(vcpu->step == VCPU_STEP_NONE))
		return;
	vcpu->step = VCPU_STEP_EXITED;
	vcpu->attention = 1;
}

enum vcpu_look vcpu_events_look(struct vcpu *vcpu, u64 until_tsc,
				enum vcpu_stop *stop)
{
	u64 now = insn_rdtsc();
	bool busy = false;

	__atomic_store_n(&vcpu->attention, 0, __ATOMIC_SEQ_CST);
	if (has_stepped(vcpu, stop))
		return VCPU_LOOK_STOP;
	platform_hand_over(&vcpu->vm->platform);
	vcpu_sync(vcpu);
	vcpu_sync_shadow(vcpu);
	if (!vcpu->in_l2)
		vcpu_apic_settle(vcpu);
	if (unlikely(lapic_events(vcpu->lapic)))
		take_init_and_sipi(vcpu);
	run_timers(vcpu, now);
	if (!has_no_event(vcpu) &&
	    (vcpu->in_l2 || vcpu->activity != VCPU_WAIT_FOR_SIPI))
		busy = choose_event_for_who_runs(vcpu);
	if (busy)
		vcpu->activity = VCPU_ACTIVE;
	if (must_stop(vcpu, until_tsc, now, stop))
		return VCPU_LOOK_STOP;
	set_deadline(vcpu, until_tsc, now);
	vcpu_apic_look(vcpu);
	if (busy)
		inject(vcpu);
	begin_step(vcpu);
	return VCPU_LOOK_ENTER;
}
