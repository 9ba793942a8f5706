/* SPDX-License-Identifier: MIT */
/*
 * Of two exits that are due at once the manual says which comes first; what
 * wakes an L2 that sleeps; what holds NMIs and interrupts back. SDM vol. 3,
 * "Other Causes of VM Exits", "VMX-Preemption Timer", "VM Exits Induced by the
 * TPR Threshold", "Interruptibility State".
 */
#include "guests/vmx/suite.h"

#define SPIN                 1000u
#define PIT_CHANNEL_0        0x40
#define PIT_COMMAND          0x43
#define PIT_CHANNEL_0_MODE_0 0x30 /* low byte, high byte, one count */

#define IOAPIC_SELECT        ((volatile u32 *)0xfec00000)
#define IOAPIC_WINDOW        ((volatile u32 *)0xfec00010)
#define IOAPIC_PIT           0x14 /* the lower half of pin 2's entry */
#define IOAPIC_NMI           (4u << 8)
#define IOAPIC_MASKED        (1u << 16)

#define EVENT(type, vector)  (EVENT_VALID | (u64)(type) << 8 | (u64)(vector))

static volatile u64 handled;

static void on_event(struct trap_frame *frame)
{
	handled++;
	if (frame->vector == VECTOR_IPI)
		apic_end_of_interrupt();
}

static void do_nothing(void)
{
}

static void spin(void)
{
	for (u32 i = 0; i < SPIN; i++)
		cpu_pause();
}

static void make(const struct l2_controls *controls, void (*program)(void))
{
	handled = 0;
	suite_make_l2(controls, program);
}

static bool can_sleep(u64 state)
{
	return rdmsr(MSR_VMX_MISC) & state;
}

/* --- Shutdown ------------------------------------------------------------- */

static void ioapic_write(u32 number, u32 value)
{
	*IOAPIC_SELECT = number;
	*IOAPIC_WINDOW = value;
}

/*
 * Runs L2 from shutdown. If what is to end it does not, the PIT does, after 55
 * ms, by an NMI, which does it always: so that this case fails, and no more.
 */
static void run_in_shutdown(u32 reason)
{
	trap_handle(VECTOR_NMI, on_event);
	ioapic_write(IOAPIC_PIT + 1, apic_id() << 24);
	ioapic_write(IOAPIC_PIT, IOAPIC_NMI);
	out8(PIT_COMMAND, PIT_CHANNEL_0_MODE_0);
	out8(PIT_CHANNEL_0, 0xff);
	out8(PIT_CHANNEL_0, 0xff);
	vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_SHUTDOWN);
	suite_run(reason);
	ioapic_write(IOAPIC_PIT, IOAPIC_MASKED);
}

/* --- Interrupts and NMIs that wait for L1 --------------------------------- */

/* L1 has interrupts off: it waits. */
static void send_interrupt(void)
{
	trap_handle(VECTOR_IPI, on_event);
	apic_send(apic_id(), VECTOR_IPI);
}

static void take_interrupt(void)
{
	interrupts_on();
	cpu_pause();
	interrupts_off();
	trap_handle(VECTOR_IPI, NULL);
}

static void window_before_interrupt(const char *name, u64 activity)
{
	suite_case(name);
	make(&(struct l2_controls){.pin = PIN_EXTERNAL_INTERRUPT,
				   .primary = PRIMARY_INTERRUPT_WINDOW},
	     do_nothing);
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	vmwrite(VMCS_GUEST_ACTIVITY_STATE, activity);
	send_interrupt();
	suite_run(EXIT_INTERRUPT_WINDOW);
	suite_defect("window-activity");
	suite_expect(vmread(VMCS_GUEST_ACTIVITY_STATE), activity,
		     "the activity state");
	l2_reset(VMCS_PRIMARY_CONTROLS, PRIMARY_INTERRUPT_WINDOW);
	suite_run(EXIT_EXTERNAL_INTERRUPT);
	take_interrupt();
	suite_expect(handled, 1, "interrupts");
}

/* The instruction behind STI, or MOV SS, is done before the exit. */
static void shadow_before_interrupt(const char *name, u64 blocking)
{
	u64 rip;

	suite_case(name);
	make(&(struct l2_controls){.pin = PIN_EXTERNAL_INTERRUPT}, spin);
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, blocking);
	rip = vmread(VMCS_GUEST_RIP);
	send_interrupt();
	suite_run(EXIT_EXTERNAL_INTERRUPT);
	suite_true(vmread(VMCS_GUEST_RIP) != rip, "that L2 has gone on");
	suite_expect(vmread(VMCS_GUEST_INTERRUPTIBILITY), 0,
		     "the interruptibility");
	take_interrupt();
}

/* NMIs are blocked in L1, and one waits. */
static void block_and_send_nmi(void)
{
	trap_handle(VECTOR_NMI, on_event);
	make(&(struct l2_controls){0}, do_nothing);
	l2_set(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_NMI);
	suite_run(EXIT_VMCALL);
	apic_send_nmi(apic_id());
	spin();
	suite_expect(handled, 0, "NMIs while they are blocked");
}

/* The trap handler ends in an IRET. */
static void unblock_nmis(void)
{
	register u32 fault __asm__("r8");

	__asm__ volatile(TRY("ud2") : "=&r"(fault)::"memory");
}

static void end_of_nmis(u64 wanted)
{
	unblock_nmis();
	spin();
	suite_expect(handled, wanted, "NMIs in L1");
	trap_handle(VECTOR_NMI, NULL);
}

static void window_before_nmi(const char *name, u64 activity)
{
	suite_case(name);
	block_and_send_nmi();
	make(&(struct l2_controls){.pin = PIN_NMI | PIN_VIRTUAL_NMIS,
				   .primary = PRIMARY_NMI_WINDOW},
	     do_nothing);
	vmwrite(VMCS_GUEST_ACTIVITY_STATE, activity);
	suite_run(EXIT_NMI_WINDOW);
	/* Nothing blocks it any more. */
	suite_defect("nmi-unblocked");
	suite_expect(handled, 1, "NMIs in L1 behind the exit");
	end_of_nmis(1);
}

/*
 * With NMI exiting and without virtual NMIs they are those of the CPU: blocked
 * as the field says, and no IRET of L2's changes that.
 */
static void unblock_in_l2(void)
{
	unblock_nmis();
	spin();
}

static void nmis_stay_blocked_in_l2(void)
{
	suite_case("nmis_stay_blocked_in_l2");
	block_and_send_nmi();
	make(&(struct l2_controls){.pin = PIN_NMI}, unblock_in_l2);
	l2_set(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_NMI);
	suite_finish();
	suite_expect(vmread(VMCS_GUEST_INTERRUPTIBILITY), BLOCKING_BY_NMI,
		     "the interruptibility");
	suite_expect(handled, 0, "NMIs in L1");
	end_of_nmis(1);
}

static void injected_nmi_blocks_them(void)
{
	suite_case("injected_nmi_blocks_them");
	trap_handle(VECTOR_NMI, on_event);
	make(&(struct l2_controls){.pin = PIN_NMI}, unblock_in_l2);
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, EVENT(EVENT_NMI, VECTOR_NMI));
	suite_finish();
	suite_expect(handled, 1, "NMIs in L2");
	suite_expect(vmread(VMCS_GUEST_INTERRUPTIBILITY), BLOCKING_BY_NMI,
		     "the interruptibility");
	unblock_nmis();
	trap_handle(VECTOR_NMI, NULL);
}

/* --- The TPR threshold ---------------------------------------------------- */

static volatile u8 *virtual_apic;

/* A virtual TPR of class 2 below a threshold of 5. */
static bool make_below_threshold(u64 pin, u64 primary)
{
	if (!vmx_allows(CONTROLS_PRIMARY, PRIMARY_TPR_SHADOW) ||
	    !vmx_allows(CONTROLS_SECONDARY, SECONDARY_APIC_ACCESSES) ||
	    !vmx_allows(CONTROLS_PIN, pin))
		return false;
	if (!virtual_apic)
		virtual_apic = (volatile u8 *)pages_take(2);
	make(&(struct l2_controls){.pin = pin,
				   .primary = primary | PRIMARY_TPR_SHADOW,
				   .secondary = SECONDARY_APIC_ACCESSES},
	     do_nothing);
	virtual_apic[0x80] = 0x20;
	vmwrite(VMCS_VIRTUAL_APIC_ADDRESS, (u64)virtual_apic);
	vmwrite(VMCS_APIC_ACCESS_ADDRESS, (u64)virtual_apic + PAGE_BYTES);
	vmwrite(VMCS_TPR_THRESHOLD, 5);
	return true;
}

static void expect_tpr_exit(void)
{
	u64 rip = vmread(VMCS_GUEST_RIP);

	suite_run(EXIT_TPR_BELOW_THRESHOLD);
	suite_expect(vmread(VMCS_GUEST_RIP), rip, "RIP");
	vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
	l2_reset(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	virtual_apic[0x80] = 0x50;
	suite_finish();
}

static void threshold_at_entry(void)
{
	suite_case("threshold_at_entry");
	if (make_below_threshold(0, 0))
		expect_tpr_exit();
	suite_case("threshold_ends_hlt");
	if (can_sleep(MISC_HLT) &&
	    make_below_threshold(PIN_PREEMPTION_TIMER, 0)) {
		vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
		vmwrite(VMCS_PREEMPTION_TIMER, 1000000);
		expect_tpr_exit();
	}
	suite_case("threshold_before_timer");
	if (make_below_threshold(PIN_PREEMPTION_TIMER, 0)) {
		vmwrite(VMCS_PREEMPTION_TIMER, 0);
		expect_tpr_exit();
	}
	suite_case("threshold_before_a_trap");
	if (make_below_threshold(0, 0)) {
		vmwrite(VMCS_GUEST_PENDING_DEBUG,
			PENDING_DEBUG_ENABLED | BIT(1));
		suite_run(EXIT_TPR_BELOW_THRESHOLD);
		suite_expect(vmread(VMCS_GUEST_PENDING_DEBUG),
			     PENDING_DEBUG_ENABLED | BIT(1),
			     "the pending debug exceptions");
	}
}

static void threshold_before_interrupt(void)
{
	suite_case("threshold_before_interrupt");
	if (!make_below_threshold(PIN_EXTERNAL_INTERRUPT, 0))
		return;
	send_interrupt();
	suite_run(EXIT_TPR_BELOW_THRESHOLD);
	take_interrupt();
}

static void threshold_behind_an_event(void)
{
	u64 rip;

	suite_case("threshold_behind_an_event");
	if (!make_below_threshold(0, 0))
		return;
	rip = vmread(VMCS_GUEST_RIP);
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO,
		EVENT(EVENT_HARDWARE_EXCEPTION, VECTOR_UD));
	suite_run(EXIT_TPR_BELOW_THRESHOLD);
	suite_true(vmread(VMCS_GUEST_RIP) != rip, "that it is delivered");
	suite_expect(vmread(VMCS_IDT_VECTORING_INFO) & EVENT_VALID, 0,
		     "the IDT-vectoring information");
}

/* Shutdown suppresses it. */
static void threshold_in_shutdown(void)
{
	suite_case("threshold_in_shutdown");
	suite_defect("threshold-shutdown");
	if (!can_sleep(MISC_SHUTDOWN) ||
	    !make_below_threshold(PIN_PREEMPTION_TIMER, 0))
		return;
	vmwrite(VMCS_PREEMPTION_TIMER, 5000);
	run_in_shutdown(EXIT_PREEMPTION_TIMER);
	suite_expect(vmread(VMCS_GUEST_ACTIVITY_STATE), ACTIVITY_SHUTDOWN,
		     "the activity state");
}

static void timer_ends_shutdown(void)
{
	suite_case("timer_ends_shutdown");
	if (!can_sleep(MISC_SHUTDOWN) ||
	    !vmx_allows(CONTROLS_PIN, PIN_PREEMPTION_TIMER))
		return;
	make(&(struct l2_controls){.pin = PIN_PREEMPTION_TIMER}, do_nothing);
	vmwrite(VMCS_PREEMPTION_TIMER, 5000);
	run_in_shutdown(EXIT_PREEMPTION_TIMER);
	suite_expect(vmread(VMCS_GUEST_ACTIVITY_STATE), ACTIVITY_SHUTDOWN,
		     "the activity state");
}

static void nmi_window_ends_shutdown(void)
{
	suite_case("nmi_window_ends_shutdown");
	if (!can_sleep(MISC_SHUTDOWN))
		return;
	make(&(struct l2_controls){.pin = PIN_NMI | PIN_VIRTUAL_NMIS |
					  PIN_PREEMPTION_TIMER,
				   .primary = PRIMARY_NMI_WINDOW |
					      PRIMARY_INTERRUPT_WINDOW},
	     do_nothing);
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	vmwrite(VMCS_PREEMPTION_TIMER, 1000000);
	run_in_shutdown(EXIT_NMI_WINDOW);
}

/* Interrupts, and their window, leave it asleep. */
static void interrupts_do_not_end_shutdown(void)
{
	suite_case("interrupts_do_not_end_shutdown");
	if (!can_sleep(MISC_SHUTDOWN) || apic_mode() == APIC_NONE)
		return;
	make(&(struct l2_controls){.pin = PIN_EXTERNAL_INTERRUPT |
					  PIN_PREEMPTION_TIMER,
				   .primary = PRIMARY_INTERRUPT_WINDOW},
	     do_nothing);
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	vmwrite(VMCS_PREEMPTION_TIMER, 5000);
	send_interrupt();
	run_in_shutdown(EXIT_PREEMPTION_TIMER);
	take_interrupt();
}

void suite_order(void)
{
	if (apic_mode() != APIC_NONE) {
		window_before_interrupt("window_before_interrupt",
					ACTIVITY_ACTIVE);
		if (can_sleep(MISC_HLT))
			window_before_interrupt(
			    "window_before_interrupt_in_hlt", ACTIVITY_HLT);
		shadow_before_interrupt("sti_before_interrupt",
					BLOCKING_BY_STI);
		shadow_before_interrupt("mov_ss_before_interrupt",
					BLOCKING_BY_MOV_SS);
		window_before_nmi("window_before_nmi", ACTIVITY_ACTIVE);
		if (can_sleep(MISC_HLT))
			window_before_nmi("window_before_nmi_in_hlt",
					  ACTIVITY_HLT);
		nmis_stay_blocked_in_l2();
		threshold_before_interrupt();
	}
	injected_nmi_blocks_them();
	threshold_at_entry();
	threshold_behind_an_event();
	threshold_in_shutdown();
	timer_ends_shutdown();
	nmi_window_ends_shutdown();
	interrupts_do_not_end_shutdown();
}
