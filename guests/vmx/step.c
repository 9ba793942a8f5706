/* SPDX-License-Identifier: MIT */
/*
 * The monitor trap flag: exits behind each instruction, or before the first,
 * and what comes before them. SDM vol. 3, "Monitor Trap Flag", "Pending MTF VM
 * Exits", "Injection of Pending MTF VM Exits".
 */
#include "guests/vmx/suite.h"

#define MTF_INFO (EVENT_VALID | (u64)EVENT_OTHER << 8)
#define DR6_BS   BIT(14)
#define IOAPIC   0xfec00000ul
#define NO_MSR   0x1ff0ul /* of those that a bitmap lets through */

/* It begins with these instructions, not with a call of them. */
#define STEPS(name, text)                                 \
	extern const u8 name[], name##_1[], name##_2[];   \
	__asm__(".pushsection .text\n" #name ":\n\t" text \
		"\n\txor %eax, %eax\n\tvmcall\n.popsection")

/* Instructions of which the CPU takes care. */
STEPS(do_nops, "nop\ndo_nops_1:\n\tnop\ndo_nops_2:");
STEPS(do_ud2, "ud2\ndo_ud2_1:\ndo_ud2_2:");
/* Those that a hypervisor below L1 may have to carry out. */
STEPS(do_port, "in $0x80, %al\ndo_port_1:\n\tout %al, $0x80\ndo_port_2:");
STEPS(do_msr, "rdmsr\ndo_msr_1:\n\twrmsr\ndo_msr_2:");
STEPS(do_device, "movl (%rbx), %eax\ndo_device_1:\n\t"
		 "movl %eax, (%rbx)\ndo_device_2:");
STEPS(do_string, "rep outsb\ndo_string_1:\ndo_string_2:");
STEPS(do_hlt, "hlt\ndo_hlt_1:\ndo_hlt_2:");

static volatile u64 handled;

static void on_event(struct trap_frame *frame)
{
	handled++;
	if (frame->vector == VECTOR_DB)
		frame->rflags &= ~RFLAGS_TF;
	else
		frame->rip += 2;
}

static void do_nothing(void)
{
}

static void make(const u8 *program, u64 pin)
{
	handled = 0;
	suite_make_l2(&(struct l2_controls){.pin = pin,
					    .primary = PRIMARY_MONITOR_TRAP |
						       PRIMARY_MSR_BITMAPS},
		      do_nothing);
	vmwrite(VMCS_GUEST_RIP, (u64)program);
	vmwrite(VMCS_MSR_BITMAP, pages_take(1));
}

static void expect_rip(const u8 *wanted)
{
	suite_expect(vmread(VMCS_GUEST_RIP), (u64)wanted, "RIP");
}

static void expect_step(const u8 *to)
{
	if (!suite_run(EXIT_MONITOR_TRAP))
		return;
	expect_rip(to);
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION), 0, "the qualification");
}

struct step_case {
	const char *name;
	const u8 *start, *first, *second;
	u64 rbx, rcx;
};

static const struct step_case steps[] = {
    {"step_port", do_port, do_port_1, do_port_2, 0, 0},
    {"step_msr", do_msr, do_msr_1, do_msr_2, 0, MSR_TSC_AUX},
    {"step_device", do_device, do_device_1, do_device_2, IOAPIC, 0},
};

/* Carried out below L1: no step of the CPU's. */
static void below_l1(const char *name)
{
	suite_case(name);
	suite_defect("monitor-trap");
}

static void step_over(const struct step_case *c)
{
	below_l1(c->name);
	make(c->start, 0);
	suite_l2.rbx = c->rbx;
	suite_l2.rcx = c->rcx;
	expect_step(c->first);
	if (suite_in_bochs())
		return;
	expect_step(c->second);
}

static void step_nops(void)
{
	suite_case("step_nops");
	suite_defect_below("monitor-trap");
	make(do_nops, 0);
	expect_step(do_nops_1);
	expect_step(do_nops_2);
	suite_case("no_step_without_the_control");
	make(do_nops, 0);
	l2_reset(VMCS_PRIMARY_CONTROLS, PRIMARY_MONITOR_TRAP);
	suite_finish();
}

/* One iteration is a step. */
static void step_string(void)
{
	static const u8 bytes[3] = {1, 2, 3};

	below_l1("step_string");
	make(do_string, 0);
	suite_l2.rsi = (u64)bytes;
	suite_l2.rdx = 0x80;
	suite_l2.rcx = sizeof(bytes);
	for (u64 left = sizeof(bytes) - 1; left; left--) {
		expect_step(do_string);
		suite_expect(suite_l2.rcx, left, "RCX");
		if (suite_in_bochs())
			return;
	}
	expect_step(do_string_1);
}

/* The trap of an instruction that has been done waits until L2 goes on. */
static void step_with_trap_flag(void)
{
	below_l1("step_with_trap_flag");
	make(do_port, 0);
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_TF);
	trap_handle(VECTOR_DB, on_event);
	expect_step(do_port_1);
	suite_expect(vmread(VMCS_GUEST_PENDING_DEBUG) & DR6_BS, DR6_BS,
		     "the pending single step");
	suite_expect(handled, 0, "calls of the handler");
	trap_handle(VECTOR_DB, NULL);
}

static void step_into_hlt(void)
{
	if (!(rdmsr(MSR_VMX_MISC) & MISC_HLT))
		return;
	below_l1("step_into_hlt");
	/* The timer ends the sleep of a CPU that does not exit. */
	make(do_hlt, PIN_PREEMPTION_TIMER);
	vmwrite(VMCS_PREEMPTION_TIMER, 1000000);
	expect_step(do_hlt_1);
}

/* Behind the delivery, so before the handler's first instruction. */
static void step_into_handler(const char *name, const u8 *program, u32 vector)
{
	suite_case(name);
	suite_defect_below("monitor-trap");
	make(program, 0);
	suite_l2.rcx = NO_MSR;
	trap_handle(vector, on_event);
	suite_run(EXIT_MONITOR_TRAP);
	suite_true(vmread(VMCS_GUEST_RIP) != (u64)program,
		   "that the exception is delivered");
	suite_expect(handled, 0, "calls of the handler");
	trap_handle(vector, NULL);
}

/* --- Injected ------------------------------------------------------------- */

static void make_injected(u64 pin)
{
	make(do_nops, pin);
	l2_reset(VMCS_PRIMARY_CONTROLS, PRIMARY_MONITOR_TRAP);
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, MTF_INFO);
}

static void injected(void)
{
	below_l1("step_injected");
	make_injected(0);
	expect_step(do_nops);
	suite_expect(vmread(VMCS_ENTRY_INTERRUPTION_INFO) & EVENT_VALID, 0,
		     "the valid bit after the exit");
	suite_expect(vmread(VMCS_IDT_VECTORING_INFO) & EVENT_VALID, 0,
		     "the IDT-vectoring information");
	suite_finish();
}

static void injected_comes_before_the_timer(void)
{
	if (!vmx_allows(CONTROLS_PIN, PIN_PREEMPTION_TIMER))
		return;
	below_l1("step_injected_comes_before_the_timer");
	make_injected(PIN_PREEMPTION_TIMER);
	vmwrite(VMCS_PREEMPTION_TIMER, 0);
	expect_step(do_nops);
}

static void injected_comes_before_a_trap(void)
{
	below_l1("step_injected_comes_before_a_trap");
	make_injected(0);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXCEPTION_DB));
	vmwrite(VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_ENABLED | BIT(1));
	expect_step(do_nops);
	suite_expect(vmread(VMCS_GUEST_PENDING_DEBUG),
		     PENDING_DEBUG_ENABLED | BIT(1),
		     "the pending debug exceptions");
}

static void injected_ends_hlt(void)
{
	if (!(rdmsr(MSR_VMX_MISC) & MISC_HLT))
		return;
	below_l1("step_injected_ends_hlt");
	make_injected(PIN_PREEMPTION_TIMER);
	vmwrite(VMCS_PREEMPTION_TIMER, 1000000);
	vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
	expect_step(do_nops);
}

void suite_step(void)
{
	if (!vmx_allows(CONTROLS_PRIMARY, PRIMARY_MONITOR_TRAP))
		return;
	step_nops();
	for (u32 i = 0; i < ARRAY_COUNT(steps); i++)
		step_over(&steps[i]);
	step_string();
	step_with_trap_flag();
	step_into_hlt();
	step_into_handler("step_into_handler", do_ud2, VECTOR_UD);
	step_into_handler("step_into_handler_of_a_refused_msr", do_msr,
			  VECTOR_GP);
	injected();
	injected_comes_before_the_timer();
	injected_comes_before_a_trap();
	injected_ends_hlt();
}
