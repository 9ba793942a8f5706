/* SPDX-License-Identifier: MIT */
/* Events while L2 runs. */
#include "arch/x86/vmx/nested_events.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/vmx/nested_entry.h"
#include "arch/x86/vmx/nested_exit.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/x86.h"
#include "nested/posted.h"

static bool has_pin(const struct vcpu *vcpu, u64 bit)
{
	return (vcpu->nested->state.vmcs12.pin_controls & bit) != 0;
}

/* --- Exceptions that Umbra raises ----------------------------------------- */

void nested_events_raise(struct vcpu *vcpu, const struct vcpu_event *exception,
			 u64 qualification)
{
	vcpu->nested->exception = (struct nested_exception){
	    .info = exception->info,
	    .error_code = exception->error_code,
	    .qualification = qualification,
	};
	vcpu->attention = 1;
}

static void exit_by_exception(struct vcpu *vcpu,
			      const struct nested_exception *e)
{
	struct nested_exit exit = nested_exit_of(EXIT_EXCEPTION_OR_NMI);

	exit.interruption = e->info;
	exit.error_code = e->error_code;
	exit.qualification = e->qualification;
	nested_exit(vcpu, &exit);
}

static void exit_by_triple_fault(struct vcpu *vcpu)
{
	const struct nested_exit exit = nested_exit_of(EXIT_TRIPLE_FAULT);

	nested_exit(vcpu, &exit);
}

/* What the CPU does to registers when the exception is delivered. */
static void set_registers(const struct nested_exception *e)
{
	u32 vector = e->info & (u32)EVENT_VECTOR;

	if (vector == EXCEPTION_PF)
		insn_write_cr2(e->qualification);
	else if (vector == EXCEPTION_DB)
		vcpu_events_set_dr6(e->qualification);
}

/*
 * It exits, goes in as it is, or makes a double fault of what was being
 * delivered, which may exit in turn: then it is no exit in the middle of a
 * delivery (SDM vol. 3, "Information for VM Exits That Occur During Event
 * Delivery").
 */
static void settle_exception(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	const struct nested_exception e = n->exception;
	const struct vcpu_event new = {.info = e.info,
				       .error_code = e.error_code};
	u32 bitmap = n->state.vmcs12.exception_bitmap;
	struct vcpu_event df;
	u32 later;

	n->exception.info = 0;
	if (nested_exception_is_l1s(&n->state.vmcs12,
				    e.info & (u32)EVENT_VECTOR, e.error_code)) {
		exit_by_exception(vcpu, &e);
		return;
	}
	set_registers(&e);
	switch (
	    event_raise_in_l2(&vcpu->injection, &new, bitmap, &df, &later)) {
	case EVENT_GOES_IN:
		if (later)
			vcpu_events_postpone(vcpu, later);
		vcpu->attention = 1;
		break;
	case EVENT_EXITS:
		exit_by_exception(vcpu,
				  &(struct nested_exception){.info = df.info});
		break;
	case EVENT_SHUTDOWN:
		exit_by_triple_fault(vcpu);
		break;
	}
}

/* --- The TPR threshold ---------------------------------------------------- */

static bool takes_interrupts(const struct vcpu *vcpu)
{
	return vcpu->activity == VCPU_ACTIVE || vcpu->activity == VCPU_HALTED;
}

/*
 * At an entry, but for an event that goes in before: the CPU finds out by
 * itself where L2 is entered at all. SDM vol. 3, "VM Exits Induced by the TPR
 * Threshold".
 */
static bool tpr_exit_is_due(const struct vcpu *vcpu)
{
	const struct nested_l2 l2 = {
	    .v = &vcpu->nested->state.vmcs12,
	    .mem = &vcpu->vm->memory,
	};
	u32 info = vcpu->injection.info;

	if (!vcpu->nested->state.entry_pending || !takes_interrupts(vcpu) ||
	    ((info & EVENT_VALID) && event_type(info) != EVENT_OTHER))
		return false;
	return nested_tpr_is_below(&l2);
}

/* What was to go in with an entry that did not take place. */
static void take_back_injection(struct vcpu *vcpu)
{
	u32 info = (u32)vmcs_read(VMCS_ENTRY_INTERRUPTION_INFO);

	if (!(info & EVENT_VALID))
		return;
	vcpu->injection = (struct vcpu_event){
	    .info = info,
	    .error_code = (u32)vmcs_read(VMCS_ENTRY_EXCEPTION_ERROR_CODE),
	    .instruction_length = (u32)vmcs_read(VMCS_ENTRY_INSTRUCTION_LENGTH),
	};
	vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, 0);
}

bool nested_events_take_refusal(struct vcpu *vcpu)
{
	const struct nested_exit exit =
	    nested_exit_of(EXIT_TPR_BELOW_THRESHOLD);
	const struct nested_l2 l2 = {
	    .v = &vcpu->nested->state.vmcs12,
	    .mem = &vcpu->vm->memory,
	};

	if (vmcs_read(VMCS_INSTRUCTION_ERROR) != VMX_ERROR_ENTRY_CONTROLS ||
	    !nested_tpr_is_refused(&l2))
		return false;
	take_back_injection(vcpu);
	nested_exit(vcpu, &exit);
	return true;
}

/* A pending step is lost then, as by INIT. */
static void exit_by_tpr(struct vcpu *vcpu)
{
	const struct nested_exit exit =
	    nested_exit_of(EXIT_TPR_BELOW_THRESHOLD);

	vcpu->injection.info = 0;
	nested_exit(vcpu, &exit);
}

/* --- INIT and start-up IPIs ----------------------------------------------- */

static bool init_is_due(const struct vcpu *vcpu)
{
	return (lapic_events(vcpu->lapic) & LAPIC_EVENT_INIT) &&
	       vcpu->activity != VCPU_WAIT_FOR_SIPI;
}

static void exit_by_init(struct vcpu *vcpu)
{
	const struct nested_exit exit = nested_exit_of(EXIT_INIT);

	if (!lapic_take_init(vcpu->lapic))
		return;
	lapic_await_sipi(vcpu->lapic);
	nested_exit(vcpu, &exit);
}

/*
 * Must L1 first hear of the INIT that a start-up IPI follows, and do what a CPU
 * does, which is to wait for it? The sender has waited for that, but for a CPU,
 * which is always there.
 */
static bool sipi_is_early(const struct vcpu *vcpu)
{
	u32 events = lapic_events(vcpu->lapic);

	if (vcpu->in_l2)
		return init_is_due(vcpu);
	return events & (LAPIC_EVENT_INIT | LAPIC_EVENT_AWAITED);
}

/*
 * In VMX root operation INIT waits, and start-up IPIs are lost; to an L2 that
 * waits for one it comes, whether an INIT waits or not.
 */
void nested_events_init_and_sipi(struct vcpu *vcpu)
{
	bool waits = vcpu->in_l2 && vcpu->activity == VCPU_WAIT_FOR_SIPI;
	struct nested_exit exit = nested_exit_of(EXIT_SIPI);
	u8 page;

	if (sipi_is_early(vcpu))
		return;
	lapic_await_sipi_no_more(vcpu->lapic);
	if (!lapic_take_sipi_past_init(vcpu->lapic, &page) || !waits)
		return;
	exit.qualification = page;
	nested_exit(vcpu, &exit);
}

/* What has come in VMX root operation, or for an L2 that never came. */
void nested_events_end(struct vcpu *vcpu)
{
	u8 page;

	lapic_await_sipi_no_more(vcpu->lapic);
	(void)lapic_take_sipi_past_init(vcpu->lapic, &page);
}

/* --- The monitor trap flag ------------------------------------------------ */

bool nested_events_are_stepped(const struct vcpu *vcpu)
{
	return vcpu->nested->state.vmcs12.primary_controls &
	       PRIMARY_MONITOR_TRAP;
}

void nested_events_step(struct vcpu *vcpu)
{
	if (!nested_events_are_stepped(vcpu))
		return;
	vcpu->injection = (struct vcpu_event){
	    .info = (u32)(EVENT_VALID | (u32)EVENT_OTHER << 8)};
	vcpu->attention = 1;
}

static bool step_is_due(const struct vcpu *vcpu)
{
	return (vcpu->injection.info & EVENT_VALID) &&
	       event_type(vcpu->injection.info) == EVENT_OTHER;
}

/* The trap of the instruction that is done comes after the exit. */
static void leave_trap_pending(struct nested_exception *e)
{
	u64 pending = e->qualification & (DR6_BREAKPOINTS | DR6_SINGLE_STEP);

	if (!(e->info & EVENT_VALID) ||
	    (e->info & EVENT_VECTOR) != EXCEPTION_DB)
		return;
	if (pending & DR6_BREAKPOINTS)
		pending |= PENDING_DEBUG_ENABLED;
	vmcs_write(VMCS_GUEST_PENDING_DEBUG, pending);
	e->info = 0;
}

/* Only INIT comes before it, and then it is lost. */
static void exit_by_step(struct vcpu *vcpu)
{
	const struct nested_exit exit = nested_exit_of(EXIT_MONITOR_TRAP);

	vcpu->injection.info = 0;
	leave_trap_pending(&vcpu->nested->exception);
	if (init_is_due(vcpu))
		exit_by_init(vcpu);
	else
		nested_exit(vcpu, &exit);
}

/* --- Interrupts and NMIs -------------------------------------------------- */

static void exit_by_interrupt(struct vcpu *vcpu,
			      enum platform_interrupt interrupt)
{
	const struct vmcs12 *v = &vcpu->nested->state.vmcs12;
	struct nested_exit exit = nested_exit_of(EXIT_EXTERNAL_INTERRUPT);

	if (v->exit_controls & EXIT_ACKNOWLEDGE_INTERRUPT) {
		u8 vector = platform_interrupt_take(&vcpu->vm->platform,
						    vcpu->index, interrupt);

		exit.interruption =
		    (u32)(EVENT_VALID | (u32)EVENT_EXTERNAL_INTERRUPT << 8 |
			  vector);
	}
	nested_exit(vcpu, &exit);
}

static void exit_by_nmi(struct vcpu *vcpu)
{
	struct nested_exit exit = nested_exit_of(EXIT_EXCEPTION_OR_NMI);

	exit.interruption =
	    (u32)(EVENT_VALID | (u32)EVENT_NMI << 8 | (u32)EXCEPTION_NMI);
	vcpu->nmi_pending = false;
	nested_exit(vcpu, &exit);
}

static void exit_by_timer(struct vcpu *vcpu)
{
	const struct nested_exit exit = nested_exit_of(EXIT_PREEMPTION_TIMER);

	nested_exit(vcpu, &exit);
}

static bool timer_is_due(const struct vcpu *vcpu, u64 now)
{
	/* It ends shutdown, too: SDM vol. 3, "VMX-Preemption Timer". */
	return vcpu->activity != VCPU_WAIT_FOR_SIPI &&
	       now >= nested_timer_tsc(vcpu);
}

static bool takes_nmis(const struct vcpu *vcpu)
{
	return vcpu->activity != VCPU_WAIT_FOR_SIPI;
}

static bool nmi_is_due(const struct vcpu *vcpu)
{
	return vcpu->nmi_pending && has_pin(vcpu, PIN_NMI) &&
	       !vcpu->nested->now->loaded.held_nmis && takes_nmis(vcpu);
}

static bool interrupt_is_due(const struct vcpu *vcpu,
			     enum platform_interrupt interrupt)
{
	return interrupt != PLATFORM_INTERRUPT_NONE &&
	       has_pin(vcpu, PIN_EXTERNAL_INTERRUPT) && takes_interrupts(vcpu);
}

/* Is there anything for which L1 wants L2 to exit? */
static bool exit_is_due(const struct vcpu *vcpu,
			enum platform_interrupt interrupt, u64 now)
{
	return init_is_due(vcpu) || timer_is_due(vcpu, now) ||
	       nmi_is_due(vcpu) || interrupt_is_due(vcpu, interrupt);
}

/*
 * L1's windows. They open before what they are for exits, and wake an L2 that
 * sleeps, which the CPU does not know.
 */
static bool nmi_window_opens(const struct vcpu *vcpu, u64 blocking)
{
	return (vcpu->nested->state.vmcs12.primary_controls &
		PRIMARY_NMI_WINDOW) &&
	       takes_nmis(vcpu) && vcpu_events_can_take_nmi(blocking);
}

static bool interrupt_window_opens(const struct vcpu *vcpu, u64 blocking)
{
	return (vcpu->nested->state.vmcs12.primary_controls &
		PRIMARY_INTERRUPT_WINDOW) &&
	       takes_interrupts(vcpu) &&
	       vcpu_events_can_take_interrupt(blocking);
}

static void exit_by_window(struct vcpu *vcpu, u32 reason)
{
	const struct nested_exit exit = nested_exit_of(reason);

	nested_exit(vcpu, &exit);
}

/*
 * The CPU delivers debug exceptions that L2's last instruction has left
 * pending before anything that L1 waits for but INIT (SDM vol. 3,
 * "Prioritization of Concurrent Events"; "Delivery of Pending Debug Exceptions
 * after VM Entry"); they end HLT.
 */
static bool debug_trap_is_due(const struct vcpu *vcpu)
{
	return takes_interrupts(vcpu) &&
	       (vmcs_read(VMCS_GUEST_PENDING_DEBUG) &
		(PENDING_DEBUG_ENABLED | DR6_SINGLE_STEP)) &&
	       !(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_BY_MOV_SS);
}

/*
 * In the order of the manual. False: nothing yet, because STI or MOV SS holds
 * it back for one instruction.
 */
static bool exit_by_what_is_due(struct vcpu *vcpu,
				enum platform_interrupt interrupt)
{
	u64 blocking = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
	bool held = blocking & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS);

	if (init_is_due(vcpu))
		exit_by_init(vcpu);
	else if (timer_is_due(vcpu, insn_rdtsc()))
		exit_by_timer(vcpu);
	else if (held)
		return false;
	else if (nmi_window_opens(vcpu, blocking))
		exit_by_window(vcpu, EXIT_NMI_WINDOW);
	else if (nmi_is_due(vcpu))
		exit_by_nmi(vcpu);
	else if (interrupt_window_opens(vcpu, blocking))
		exit_by_window(vcpu, EXIT_INTERRUPT_WINDOW);
	else
		exit_by_interrupt(vcpu, interrupt);
	return true;
}

/*
 * What L1's notification vector says is posted goes to L2, which does not exit.
 * Returns what waits behind it.
 */
static enum platform_interrupt take_posted(struct vcpu *vcpu,
					   enum platform_interrupt interrupt)
{
	struct platform *platform = &vcpu->vm->platform;
	const struct vmcs12 *v = &vcpu->nested->state.vmcs12;
	u32 secondary =
	    (u32)vcpu->nested->now->loaded.merged.values[MERGED_SECONDARY];
	u64 status;

	while (
	    interrupt == PLATFORM_INTERRUPT_LAPIC &&
	    nested_is_notification(v, (u32)lapic_pending_vector(vcpu->lapic))) {
		(void)platform_interrupt_take(platform, vcpu->index, interrupt);
		(void)platform_apic_write(platform, vcpu->index, LAPIC_EOI, 0,
					  vm_now_ns(vcpu->vm));
		/* Without the page nothing is delivered: nested/merge.c. */
		if (secondary & SECONDARY_INTERRUPT_DELIVERY) {
			status = vmcs_read(VMCS_GUEST_INTERRUPT_STATUS);
			vmcs_write(VMCS_GUEST_INTERRUPT_STATUS,
				   nested_take_posted(v, &vcpu->vm->memory,
						      (u16)status));
		}
		interrupt = platform_interrupt_pending(platform, vcpu->index);
	}
	return interrupt;
}

/* 0, or the exit reason. */
static u32 window_of_sleeper(const struct vcpu *vcpu)
{
	u64 blocking = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

	if (vcpu->activity == VCPU_ACTIVE)
		return 0;
	if (nmi_window_opens(vcpu, blocking))
		return EXIT_NMI_WINDOW;
	if (interrupt_window_opens(vcpu, blocking))
		return EXIT_INTERRUPT_WINDOW;
	return 0;
}

/* The CPU delivers it at the entry, once L2 is awake. */
static bool virtual_interrupt_wakes(const struct vcpu *vcpu)
{
	const struct nested_l2 l2 = {
	    .v = &vcpu->nested->state.vmcs12,
	    .mem = &vcpu->vm->memory,
	};

	if (vcpu->activity != VCPU_HALTED ||
	    !(nested_secondary_controls(l2.v) & SECONDARY_INTERRUPT_DELIVERY))
		return false;
	return vcpu_events_can_take_interrupt(
		   vmcs_read(VMCS_GUEST_INTERRUPTIBILITY)) &&
	       nested_virtual_interrupt_waits(
		   &l2, (u16)vmcs_read(VMCS_GUEST_INTERRUPT_STATUS));
}

/* Umbra's windows on top of L1's. */
static void set_windows(struct vcpu *vcpu, bool nmi, bool interrupt)
{
	u64 primary = vcpu->nested->now->loaded.merged.values[MERGED_PRIMARY];

	if (vcpu->nmi_window == nmi && vcpu->interrupt_window == interrupt)
		return;
	vcpu->nmi_window = nmi;
	vcpu->interrupt_window = interrupt;
	vmcs_write(VMCS_PRIMARY_CONTROLS,
		   primary | (nmi ? PRIMARY_NMI_WINDOW : 0) |
		       (interrupt ? PRIMARY_INTERRUPT_WINDOW : 0));
}

/* Interrupts and NMIs that L1 leaves to L2. */
static bool inject_into_l2(struct vcpu *vcpu, enum platform_interrupt interrupt,
			   bool busy)
{
	u64 blocking = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

	if (!busy && vcpu->nmi_pending && !has_pin(vcpu, PIN_NMI) &&
	    takes_nmis(vcpu) && vcpu_events_can_take_nmi(blocking)) {
		vcpu->injection = (struct vcpu_event){
		    .info = (u32)(EVENT_VALID | (u32)EVENT_NMI << 8 |
				  (u32)EXCEPTION_NMI)};
		vcpu->nmi_pending = false;
		busy = true;
	}
	if (!busy && vcpu->postponed_interrupt &&
	    vcpu_events_can_take_interrupt(blocking)) {
		vcpu->injection.info = vcpu->postponed_interrupt;
		vcpu->postponed_interrupt = 0;
		busy = true;
	}
	if (!busy && interrupt != PLATFORM_INTERRUPT_NONE &&
	    !has_pin(vcpu, PIN_EXTERNAL_INTERRUPT) && takes_interrupts(vcpu) &&
	    vcpu_events_can_take_interrupt(blocking)) {
		u8 vector = platform_interrupt_take(&vcpu->vm->platform,
						    vcpu->index, interrupt);

		vcpu->injection = (struct vcpu_event){
		    .info = (u32)(EVENT_VALID |
				  (u32)EVENT_EXTERNAL_INTERRUPT << 8 | vector)};
		busy = true;
		interrupt = platform_interrupt_pending(&vcpu->vm->platform,
						       vcpu->index);
	}
	set_windows(vcpu, vcpu->nmi_pending && !has_pin(vcpu, PIN_NMI),
		    vcpu->postponed_interrupt ||
			(interrupt != PLATFORM_INTERRUPT_NONE &&
			 !has_pin(vcpu, PIN_EXTERNAL_INTERRUPT)));
	return busy;
}

/* What comes before all that waits outside L2. */
static void settle_first(struct vcpu *vcpu)
{
	if (tpr_exit_is_due(vcpu))
		exit_by_tpr(vcpu);
	else if (step_is_due(vcpu))
		exit_by_step(vcpu);
	else if (vcpu->nested->exception.info)
		settle_exception(vcpu);
}

bool nested_events_choose(struct vcpu *vcpu)
{
	enum platform_interrupt interrupt;
	bool injects, busy;
	u32 window;

	vcpu->leave = VCPU_LEAVE_ANY_TIME;
	vcpu_choose_timer(vcpu);
	settle_first(vcpu);
	if (!vcpu->in_l2)
		return false;
	if (lapic_take_nmi(vcpu->lapic))
		vcpu->nmi_pending = true;
	interrupt =
	    platform_interrupt_pending(&vcpu->vm->platform, vcpu->index);
	if (takes_interrupts(vcpu) && has_pin(vcpu, PIN_POSTED_INTERRUPTS))
		interrupt = take_posted(vcpu, interrupt);
	/* What is being delivered goes in first, and then L2 exits. */
	injects = vcpu->injection.info & EVENT_VALID;
	busy = injects || debug_trap_is_due(vcpu);
	if (exit_is_due(vcpu, interrupt, insn_rdtsc())) {
		vcpu->leave = VCPU_LEAVE_AT_ONCE;
		if (!busy || (!injects && init_is_due(vcpu))) {
			if (exit_by_what_is_due(vcpu, interrupt))
				return false;
			vcpu->leave = VCPU_LEAVE_SOON;
		}
		vcpu_choose_timer(vcpu);
	}
	window = busy ? 0 : window_of_sleeper(vcpu);
	if (window) {
		exit_by_window(vcpu, window);
		return false;
	}
	if (virtual_interrupt_wakes(vcpu))
		vcpu->activity = VCPU_ACTIVE;
	return inject_into_l2(vcpu, interrupt, busy);
}

bool nested_events_exit_waits(const struct vcpu *vcpu, u64 now)
{
	const struct nested_vcpu *n = vcpu->nested;
	const struct nested_exception *e = &n->exception;
	enum platform_interrupt interrupt;

	if ((e->info & EVENT_VALID) &&
	    nested_exception_is_l1s(&n->state.vmcs12,
				    e->info & (u32)EVENT_VECTOR, e->error_code))
		return true;
	interrupt =
	    platform_interrupt_pending(&vcpu->vm->platform, vcpu->index);
	return exit_is_due(vcpu, interrupt, now);
}

bool nested_events_none(const struct vcpu *vcpu)
{
	return !vcpu->nested->exception.info && vcpu->activity == VCPU_ACTIVE &&
	       !vcpu->nested->state.timer_runs;
}
