/* SPDX-License-Identifier: MIT */
/*
 * Events: exceptions that exit and those that do not, injection, what an exit
 * in the middle of a delivery says, interrupts, windows, NMIs, the timer. SDM
 * vol. 3, "Information for VM Exits Due to Vectored Events", "Information for
 * VM Exits That Occur During Event Delivery", "Event Injection".
 */
#include "guests/vmx/suite.h"

#define NOT_MAPPED    (64 * GIB)
#define NOT_CANONICAL 0x0000900000000000ull
#define VECTOR        0x60 /* an interrupt that nobody else uses */
#define EVENT_KNOWN   (BITS(11, 0) | EVENT_VALID)
#define TYPE(type)    ((u64)(type) << 8)
#define GATE_BYTES    16ul
#define DR6_BS        BIT(14)

/* Kept by handlers in L2. */
static volatile u64 handled, handled_vector, handled_error, handled_rip;
static volatile u64 handled_cr2;

static void on_event(struct trap_frame *frame)
{
	handled++;
	handled_vector = frame->vector;
	handled_error = frame->error;
	handled_rip = frame->rip;
	handled_cr2 = read_cr2();
	if (frame->vector >= VECTOR_EXCEPTIONS && frame->vector != VECTOR)
		apic_end_of_interrupt();
	frame->rflags &= ~RFLAGS_TF;
}

static void do_nothing(void)
{
}

static void make(const struct l2_controls *controls, void (*program)(void))
{
	handled = handled_vector = handled_error = 0;
	suite_make_l2(controls, program);
}

/* --- Exceptions ----------------------------------------------------------- */

#define FAULT_PROGRAM(name, before, instruction)                       \
	extern const u8 name[], name##_at[];                           \
	__asm__(".pushsection .text\n" #name ":\n\t" before "\n" #name \
		"_at:\n\t" instruction "\n\tret\n.popsection")

/* NOLINTBEGIN(bugprone-macro-parentheses): parts of assembly, initializers */
#define OF(name) .start = name, .at = name##_at
/* NOLINTEND(bugprone-macro-parentheses) */

FAULT_PROGRAM(do_ud, "", "ud2");
FAULT_PROGRAM(do_bp, "", "int3");
FAULT_PROGRAM(do_int1, "", ".byte 0xf1");
FAULT_PROGRAM(do_de, "xor %ecx, %ecx\n\txor %edx, %edx\n\tmov $1, %eax",
	      "div %ecx");
FAULT_PROGRAM(do_gp, "mov $0x1000, %eax", "mov %eax, %ds");
FAULT_PROGRAM(do_gp_0, "mov $0x0000900000000000, %rax", "mov (%rax), %cl");
FAULT_PROGRAM(do_ss, "mov $0x0000900000000000, %rbp", "mov (%rbp), %cl");
FAULT_PROGRAM(do_pf_read, "mov $0x1000000123, %rax", "mov (%rax), %cl");
FAULT_PROGRAM(do_pf_write, "mov $0x1000000123, %rax", "mov %cl, (%rax)");
FAULT_PROGRAM(do_db, "pushfq\n\torl $0x100, (%rsp)\n\tpopfq\n\tnop", "nop");
FAULT_PROGRAM(do_nm, "mov %cr0, %rax\n\tor $8, %rax\n\tmov %rax, %cr0",
	      "fninit");
FAULT_PROGRAM(do_int, "", ".byte 0xcd, 0x03");

struct exception_case {
	const char *name;
	const u8 *start, *at;
	u64 info; /* without the valid bit */
	u64 error, qualification, length;
};

static const struct exception_case exceptions[] = {
    {"ud", OF(do_ud), .info = TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_UD},
    {"int3", OF(do_bp), .info = TYPE(EVENT_SOFTWARE_EXCEPTION) | VECTOR_BP,
     .length = 1},
    {"int1", OF(do_int1),
     .info = TYPE(EVENT_PRIVILEGED_SOFTWARE_EXCEPTION) | VECTOR_DB,
     .length = 1},
    {"de", OF(do_de), .info = TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_DE},
    {"gp", OF(do_gp),
     .info = TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_GP | EVENT_HAS_ERROR_CODE,
     .error = 0x1000},
    {"gp_0", OF(do_gp_0),
     .info = TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_GP | EVENT_HAS_ERROR_CODE},
    {"ss", OF(do_ss),
     .info = TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_SS | EVENT_HAS_ERROR_CODE},
    {"pf_read", OF(do_pf_read),
     .info = TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_PF | EVENT_HAS_ERROR_CODE,
     .qualification = 0x1000000123},
    {"pf_write", OF(do_pf_write),
     .info = TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_PF | EVENT_HAS_ERROR_CODE,
     .error = 2, .qualification = 0x1000000123},
    {"nm", OF(do_nm), .info = TYPE(EVENT_HARDWARE_EXCEPTION) | 7},
};

static void expect_exception(const struct exception_case *c)
{
	struct l2_exit exit;

	l2_read_exit(&exit);
	suite_expect(exit.interruption_info & EVENT_KNOWN,
		     c->info | EVENT_VALID, "the interruption information");
	if (c->info & EVENT_HAS_ERROR_CODE)
		suite_expect(exit.interruption_error, c->error,
			     "the error code");
	suite_expect(exit.qualification, c->qualification, "the qualification");
	suite_expect(vmread(VMCS_GUEST_RIP), (u64)c->at, "RIP");
	if (c->length)
		suite_expect(exit.instruction_length, c->length, "the length");
	suite_expect(exit.vectoring_info & EVENT_VALID, 0,
		     "the IDT-vectoring information");
}

static void exception_exits(const struct exception_case *c)
{
	suite_case(c->name);
	make(&(struct l2_controls){0}, (void (*)(void))(u64)c->start);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(c->info & EVENT_VECTOR));
	if (suite_run(EXIT_EXCEPTION_OR_NMI))
		expect_exception(c);
}

static void page_faults_by_error_code(u64 mask, u64 match, bool bit, bool exits)
{
	make(&(struct l2_controls){0}, (void (*)(void))(u64)do_pf_write);
	vmwrite(VMCS_EXCEPTION_BITMAP, bit ? BIT(VECTOR_PF) : 0);
	vmwrite(VMCS_PAGE_FAULT_ERROR_MASK, mask);
	vmwrite(VMCS_PAGE_FAULT_ERROR_MATCH, match);
	if (exits) {
		suite_run(EXIT_EXCEPTION_OR_NMI);
	} else {
		suite_run(EXIT_VMCALL);
		suite_expect(handled_cr2, 0x1000000123, "CR2 in the handler");
		suite_expect(handled_error, 2, "the error code there");
	}
}

/* The handler ends L2: the instruction would fault again. */
static void end_l2(struct trap_frame *frame)
{
	on_event(frame);
	l2_call(L2_CALL_END, 0);
}

static void page_fault_mask(void)
{
	suite_case("page_fault_mask");
	trap_handle(VECTOR_PF, end_l2);
	page_faults_by_error_code(0, 0, true, true);
	page_faults_by_error_code(0, 0, false, false);
	page_faults_by_error_code(2, 2, true, true);
	page_faults_by_error_code(2, 0, true, false);
	page_faults_by_error_code(2, 0, false, true);
	page_faults_by_error_code(1, 0, true, true);
	page_faults_by_error_code(0, 1, true, false);
	page_faults_by_error_code(0, 1, false, true);
	trap_handle(VECTOR_PF, NULL);
}

static void single_step_exits(void)
{
	struct l2_exit exit;

	suite_case("single_step");
	make(&(struct l2_controls){0}, (void (*)(void))(u64)do_db);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VECTOR_DB));
	if (!suite_run(EXIT_EXCEPTION_OR_NMI))
		return;
	l2_read_exit(&exit);
	suite_expect(exit.interruption_info & EVENT_KNOWN,
		     EVENT_VALID | TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_DB,
		     "the interruption information");
	suite_expect(exit.qualification, DR6_BS, "the qualification");
	suite_expect(vmread(VMCS_GUEST_RIP), (u64)do_db_at, "RIP");
}

/* --- Debug exceptions ----------------------------------------------------- */

static volatile u64 watched;

FAULT_PROGRAM(do_execute, "", "nop");
FAULT_PROGRAM(do_store, "mov %eax, watched_by_l2", "nop");
FAULT_PROGRAM(do_read_dr, "", "mov %dr1, %rax");
__asm__(".set watched_by_l2, watched");

#define DR7_FIRST_EXECUTE 0x402u
#define DR7_THIRD_WRITE   0x0d000420u
#define DR7_DETECT        0x2400u
#define DR6_BD            BIT(13)

static void load_breakpoints(u64 first, u64 third)
{
	__asm__ volatile("mov %0, %%dr0" ::"r"(first));
	__asm__ volatile("mov %0, %%dr2" ::"r"(third));
}

/* SDM vol. 3, "Exit Qualification for Debug Exceptions": as in DR6, which
 * itself stays as it is, and so does DR7. */
static void debug_exception_exits(const char *name, const u8 *start,
				  const u8 *at, u64 dr7, u64 qualification)
{
	u64 dr6;

	suite_case(name);
	make(&(struct l2_controls){.exit = EXIT_SAVE_DEBUG_CONTROLS,
				   .entry = ENTRY_LOAD_DEBUG_CONTROLS},
	     (void (*)(void))(u64)start);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VECTOR_DB));
	vmwrite(VMCS_GUEST_DR7, dr7);
	load_breakpoints((u64)do_execute_at, (u64)&watched);
	__asm__ volatile("mov %0, %%dr6" ::"r"(0xffff0ff0ull));
	if (!suite_run(EXIT_EXCEPTION_OR_NMI))
		return;
	suite_expect(vmread(VMCS_EXIT_INTERRUPTION_INFO) & EVENT_KNOWN,
		     EVENT_VALID | TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_DB,
		     "the interruption information");
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION), qualification,
		     "the qualification");
	suite_expect(vmread(VMCS_GUEST_RIP), (u64)at, "RIP");
	suite_expect(vmread(VMCS_GUEST_DR7), dr7, "DR7");
	__asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
	suite_expect(dr6, 0xffff0ff0, "DR6");
}

static void debug_exceptions_exit(void)
{
	debug_exception_exits("instruction_breakpoint", do_execute,
			      do_execute_at, DR7_FIRST_EXECUTE, BIT(0));
	debug_exception_exits("data_breakpoint", do_store, do_store_at,
			      DR7_THIRD_WRITE, BIT(2));
	debug_exception_exits("general_detect", do_read_dr, do_read_dr_at,
			      DR7_DETECT, DR6_BD);
	load_breakpoints(0, 0);
}

/* --- IRET that faults ----------------------------------------------------- */

FAULT_PROGRAM(do_bad_iret, "mov $0x0000900000000000, %rsp", "iretq");

/* NMIs were blocked before it, and are not any more: bit 12 tells. */
static void iret_that_faults(const char *name, u64 blocking)
{
	if (!vmx_allows(CONTROLS_PIN, PIN_VIRTUAL_NMIS))
		return;
	suite_case(name);
	make(&(struct l2_controls){.pin = PIN_NMI | PIN_VIRTUAL_NMIS},
	     (void (*)(void))(u64)do_bad_iret);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, blocking);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VECTOR_SS));
	if (!suite_run(EXIT_EXCEPTION_OR_NMI))
		return;
	suite_expect(vmread(VMCS_EXIT_INTERRUPTION_INFO),
		     EVENT_VALID | TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_SS |
			 EVENT_HAS_ERROR_CODE |
			 (blocking ? EVENT_NMI_UNBLOCKING : 0),
		     "the interruption information");
	suite_expect(vmread(VMCS_GUEST_INTERRUPTIBILITY), 0,
		     "the interruptibility");
}

FAULT_PROGRAM(do_far_iret, "mov far_stack, %rsp", "iretq");
static u64 far_stack_of_l2;
__asm__(".set far_stack, far_stack_of_l2");

static void iret_that_violates_ept(void)
{
	struct ept12 ept;

	if (!suite_ept12.root || !vmx_allows(CONTROLS_PIN, PIN_VIRTUAL_NMIS))
		return;
	suite_case("iret_that_violates_ept");
	make(&(struct l2_controls){.pin = PIN_NMI | PIN_VIRTUAL_NMIS},
	     (void (*)(void))(u64)do_far_iret);
	far_stack_of_l2 = pages_take(1);
	ept12_make(&ept);
	ept12_identity(&ept, 4 * GIB, EPT12_2M);
	*ept12_entry(&ept, far_stack_of_l2, EPT12_4K) = 0;
	vmwrite(VMCS_EPT_POINTER, ept.pointer);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_NMI);
	if (!suite_run(EXIT_EPT_VIOLATION))
		return;
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION) & 0x11ff,
		     EPT12_R | BITS(8, 7) | BIT(12), "the qualification");
	suite_expect(vmread(VMCS_GUEST_INTERRUPTIBILITY), 0,
		     "the interruptibility");
}

static void software_interrupt_does_not_exit(void)
{
	suite_case("int_n_does_not_exit");
	make(&(struct l2_controls){0}, (void (*)(void))(u64)do_int);
	trap_handle(VECTOR_BP, on_event);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VECTOR_BP));
	suite_finish();
	suite_expect(handled, 1, "calls of the handler");
	trap_handle(VECTOR_BP, NULL);
}

static void triple_fault(void)
{
	suite_case("triple_fault");
	make(&(struct l2_controls){0}, (void (*)(void))(u64)do_ud);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 0);
	suite_run(EXIT_TRIPLE_FAULT);
	suite_expect(vmread(VMCS_GUEST_RIP), (u64)do_ud_at, "RIP");
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION), 0, "the qualification");
}

/* --- Injection ------------------------------------------------------------ */

static void inject(u64 info, u64 error, u64 length)
{
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, info | EVENT_VALID);
	vmwrite(VMCS_ENTRY_EXCEPTION_ERROR_CODE, error);
	vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH, length);
}

struct injection_case {
	const char *name;
	u64 info, error, length;
	bool if_set;
};

static const struct injection_case injections[] = {
    {"inject_interrupt", VECTOR, 0, 0, true},
    {"inject_nmi", TYPE(EVENT_NMI) | VECTOR_NMI, 0, 0, false},
    {"inject_ud", TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_UD, 0, 0, false},
    {"inject_gp",
     TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_GP | EVENT_HAS_ERROR_CODE, 0x58, 0,
     false},
    {"inject_int_n", TYPE(EVENT_SOFTWARE_INTERRUPT) | VECTOR, 0, 2, false},
    {"inject_int3", TYPE(EVENT_SOFTWARE_EXCEPTION) | VECTOR_BP, 0, 1, false},
    {"inject_int1", TYPE(EVENT_PRIVILEGED_SOFTWARE_EXCEPTION) | VECTOR_DB, 0, 1,
     false},
};

/* What software causes comes back behind its instruction. */
static void injected_event_arrives(const struct injection_case *c)
{
	u64 rip;

	suite_case(c->name);
	make(&(struct l2_controls){0}, do_nothing);
	trap_handle(c->info & EVENT_VECTOR, on_event);
	if (c->if_set)
		l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	rip = vmread(VMCS_GUEST_RIP);
	vmwrite(VMCS_GUEST_RIP, rip - c->length);
	inject(c->info, c->error, c->length);
	suite_finish();
	suite_expect(handled, 1, "calls of the handler");
	suite_expect(handled_vector, c->info & EVENT_VECTOR, "the vector");
	suite_expect(handled_error, c->error, "the error code");
	suite_expect(handled_rip, rip, "the RIP that was pushed");
	suite_expect(vmread(VMCS_ENTRY_INTERRUPTION_INFO) & EVENT_VALID, 0,
		     "the valid bit after the exit");
	trap_handle(c->info & EVENT_VECTOR, NULL);
}

/* The bitmap is for what L2 does, not for what L1 injects. */
static void injected_exception_does_not_exit(void)
{
	suite_case("injected_exception_does_not_exit");
	make(&(struct l2_controls){0}, do_nothing);
	trap_handle(VECTOR_UD, on_event);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0xffffffff);
	inject(TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_UD, 0, 0);
	suite_finish();
	suite_expect(handled, 1, "calls of the handler");
	trap_handle(VECTOR_UD, NULL);
}

static void injection_wakes_from_hlt(void)
{
	if (!(rdmsr(MSR_VMX_MISC) & MISC_HLT))
		return;
	suite_case("injection_wakes_from_hlt");
	make(&(struct l2_controls){0}, do_nothing);
	trap_handle(VECTOR, on_event);
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
	inject(VECTOR, 0, 0);
	suite_finish();
	suite_expect(handled, 1, "calls of the handler");
	suite_expect(vmread(VMCS_GUEST_ACTIVITY_STATE), ACTIVITY_ACTIVE,
		     "the activity state");
	trap_handle(VECTOR, NULL);
}

/* --- Exits in the middle of a delivery ------------------------------------ */

static u64 ept_hole;

/* EPT in which the page with that vector's gate is missing. */
static void hide_gate(struct ept12 *ept, u64 vector)
{
	u64 idt = vmread(VMCS_GUEST_IDTR_BASE) + vector * GATE_BYTES;

	ept12_make(ept);
	ept12_identity(ept, 4 * GIB, EPT12_2M);
	*ept12_entry(ept, idt, EPT12_4K) = 0;
	ept_hole = align_down(idt, PAGE_BYTES);
	vmwrite(VMCS_EPT_POINTER, ept->pointer);
}

static void delivery_is_cut_short(const struct injection_case *c)
{
	struct l2_exit exit;
	struct ept12 ept;

	make(&(struct l2_controls){0}, do_nothing);
	hide_gate(&ept, c->info & EVENT_VECTOR);
	trap_handle(c->info & EVENT_VECTOR, on_event);
	if (c->if_set)
		l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	inject(c->info, c->error, c->length);
	if (!suite_run(EXIT_EPT_VIOLATION))
		return;
	l2_read_exit(&exit);
	suite_expect(exit.vectoring_info & EVENT_KNOWN, c->info | EVENT_VALID,
		     "the IDT-vectoring information");
	if (c->info & EVENT_HAS_ERROR_CODE)
		suite_expect(exit.vectoring_error, c->error, "its error code");
	if (c->length)
		suite_expect(exit.instruction_length, c->length, "the length");
	suite_expect(align_down(exit.physical_address, PAGE_BYTES), ept_hole,
		     "physical address");
	/* As a hypervisor would: repair, and inject once more. */
	*ept12_entry(&ept, ept_hole, EPT12_4K) =
	    ept_hole | EPT12_RWX | EPT12_TYPE_WB;
	inject(exit.vectoring_info & EVENT_KNOWN, exit.vectoring_error,
	       exit.instruction_length);
	suite_finish();
	suite_expect(handled, 1, "calls of the handler");
	suite_expect(handled_error, c->error, "the error code");
	trap_handle(c->info & EVENT_VECTOR, NULL);
}

static void deliveries_are_cut_short(void)
{
	char name[60];

	if (!suite_ept12.root)
		return;
	for (u32 i = 0; i < ARRAY_COUNT(injections); i++) {
		fmt(name, sizeof(name), "cut_short_%s", injections[i].name);
		suite_case(name);
		delivery_is_cut_short(&injections[i]);
	}
}

/* An exception of L2's own, whose delivery violates EPT. */
static void own_exception_is_cut_short(void)
{
	struct l2_exit exit;
	struct ept12 ept;

	suite_case("own_exception_is_cut_short");
	make(&(struct l2_controls){0}, (void (*)(void))(u64)do_gp);
	hide_gate(&ept, VECTOR_GP);
	if (!suite_run(EXIT_EPT_VIOLATION))
		return;
	l2_read_exit(&exit);
	suite_expect(exit.vectoring_info & EVENT_KNOWN,
		     EVENT_VALID | TYPE(EVENT_HARDWARE_EXCEPTION) |
			 EVENT_HAS_ERROR_CODE | VECTOR_GP,
		     "the IDT-vectoring information");
	suite_expect(exit.vectoring_error, 0x1000, "its error code");
	suite_expect(vmread(VMCS_GUEST_RIP), (u64)do_gp_at, "RIP");
}

/* #UD whose gate is not present: #NP exits, and says what it interrupted. */
static void nested_exception(void)
{
	struct l2_exit exit;

	suite_case("exception_during_delivery");
	make(&(struct l2_controls){0}, (void (*)(void))(u64)do_ud);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 5 * GATE_BYTES); /* up to #BR */
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VECTOR_GP));
	if (!suite_run(EXIT_EXCEPTION_OR_NMI))
		return;
	l2_read_exit(&exit);
	suite_expect(exit.interruption_info & EVENT_KNOWN,
		     EVENT_VALID | TYPE(EVENT_HARDWARE_EXCEPTION) |
			 EVENT_HAS_ERROR_CODE | VECTOR_GP,
		     "the interruption information");
	suite_expect(exit.interruption_error, VECTOR_UD << 3 | 2 | 1,
		     "the error code");
	suite_expect(exit.vectoring_info & EVENT_KNOWN,
		     EVENT_VALID | TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_UD,
		     "the IDT-vectoring information");
}

/* #GP without a gate for it: the #DF that exits is not in its delivery. */
static void double_fault(void)
{
	struct l2_exit exit;

	suite_case("double_fault_exits");
	make(&(struct l2_controls){0}, (void (*)(void))(u64)do_gp);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 5 * GATE_BYTES); /* up to #BR */
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VECTOR_DF));
	if (!suite_run(EXIT_EXCEPTION_OR_NMI))
		return;
	l2_read_exit(&exit);
	suite_expect(exit.interruption_info & EVENT_KNOWN,
		     EVENT_VALID | TYPE(EVENT_HARDWARE_EXCEPTION) |
			 EVENT_HAS_ERROR_CODE | VECTOR_DF,
		     "the interruption information");
	suite_expect(exit.interruption_error, 0, "the error code");
	suite_expect(exit.vectoring_info & EVENT_VALID, 0,
		     "the IDT-vectoring information");
}

/* --- Windows -------------------------------------------------------------- */

static volatile u64 steps;

static void open_window(void)
{
	steps = 1;
	interrupts_on();
	steps = 2;
	steps = 3;
	interrupts_off();
	steps = 4;
}

static void interrupt_window(void)
{
	suite_case("interrupt_window");
	make(&(struct l2_controls){.primary = PRIMARY_INTERRUPT_WINDOW},
	     open_window);
	steps = 0;
	if (!suite_run(EXIT_INTERRUPT_WINDOW))
		return;
	suite_expect(vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF, RFLAGS_IF, "IF");
	suite_expect(vmread(VMCS_GUEST_INTERRUPTIBILITY), 0,
		     "the interruptibility");
	suite_expect(steps, 2, "how far L2 came"); /* STI blocks once */
	l2_reset(VMCS_PRIMARY_CONTROLS, PRIMARY_INTERRUPT_WINDOW);
	suite_finish();
	suite_expect(steps, 4, "how far L2 came");
}

static void window_is_open_at_entry(void)
{
	u64 rip;

	suite_case("window_is_open_at_entry");
	make(&(struct l2_controls){.primary = PRIMARY_INTERRUPT_WINDOW},
	     do_nothing);
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	rip = vmread(VMCS_GUEST_RIP);
	suite_run(EXIT_INTERRUPT_WINDOW);
	suite_expect(vmread(VMCS_GUEST_RIP), rip, "RIP");
}

static void nmi_window(void)
{
	u64 rip;

	if (!vmx_allows(CONTROLS_PIN, PIN_VIRTUAL_NMIS))
		return;
	suite_case("nmi_window");
	make(&(struct l2_controls){.pin = PIN_NMI | PIN_VIRTUAL_NMIS,
				   .primary = PRIMARY_NMI_WINDOW},
	     do_nothing);
	rip = vmread(VMCS_GUEST_RIP);
	suite_run(EXIT_NMI_WINDOW);
	suite_expect(vmread(VMCS_GUEST_RIP), rip, "RIP");
}

static void on_nmi_in_l2(struct trap_frame *frame)
{
	on_event(frame);
	l2_call(L2_CALL_USER, 0); /* virtual NMIs are blocked here */
}

/* An injected NMI blocks virtual NMIs until IRET, and then the window opens. */
static void virtual_nmi_blocking(void)
{
	if (!vmx_allows(CONTROLS_PIN, PIN_VIRTUAL_NMIS))
		return;
	suite_case("virtual_nmi_blocking");
	trap_handle(VECTOR_NMI, on_nmi_in_l2);
	make(&(struct l2_controls){.pin = PIN_NMI | PIN_VIRTUAL_NMIS},
	     do_nothing);
	inject(TYPE(EVENT_NMI) | VECTOR_NMI, 0, 0);
	suite_run(EXIT_VMCALL);
	suite_expect(vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_BY_NMI,
		     BLOCKING_BY_NMI, "blocking in the handler");
	l2_skip(&suite_l2);
	l2_set(VMCS_PRIMARY_CONTROLS, PRIMARY_NMI_WINDOW);
	suite_run(EXIT_NMI_WINDOW);
	suite_expect(vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_BY_NMI, 0,
		     "blocking behind IRET");
	l2_reset(VMCS_PRIMARY_CONTROLS, PRIMARY_NMI_WINDOW);
	suite_finish();
	trap_handle(VECTOR_NMI, NULL);
}

/* Without virtual NMIs L2 has those of the CPU, which an exit leaves blocked. */
static void nmi_blocking_stays(void)
{
	suite_case("nmi_blocking_stays");
	trap_handle(VECTOR_NMI, on_event);
	make(&(struct l2_controls){0}, do_nothing);
	l2_set(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_NMI);
	suite_run(EXIT_VMCALL);
	apic_send_nmi(apic_id());
	for (u32 i = 0; i < 1000; i++)
		cpu_pause();
	suite_expect(handled, 0, "before IRET");
	{
		register u32 fault __asm__("r8");

		/* The handler ends in an IRET. */
		__asm__ volatile(TRY("ud2") : "=&r"(fault)::"memory");
	}
	for (u32 i = 0; i < 1000; i++)
		cpu_pause();
	suite_expect(handled, 1, "behind IRET");
	trap_handle(VECTOR_NMI, NULL);
}

/* --- Interrupts of the machine -------------------------------------------- */

static volatile bool spin;

static void spin_with_interrupts(void)
{
	interrupts_on();
	while (spin)
		cpu_pause();
	interrupts_off();
}

static void send_to_self(void)
{
	apic_send(apic_id(), VECTOR_IPI);
}

/* Pending in L1, which has interrupts off, when L2 turns them on. */
static void interrupt_exits(bool acknowledge)
{
	suite_case(acknowledge ? "interrupt_acknowledged" : "interrupt_exits");
	make(&(struct l2_controls){.pin = PIN_EXTERNAL_INTERRUPT,
				   .exit = acknowledge
					       ? EXIT_ACKNOWLEDGE_INTERRUPT
					       : 0},
	     spin_with_interrupts);
	trap_handle(VECTOR_IPI, on_event);
	spin = true;
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	send_to_self();
	suite_run(EXIT_EXTERNAL_INTERRUPT);
	suite_expect(vmread(VMCS_EXIT_INTERRUPTION_INFO) & EVENT_KNOWN,
		     acknowledge ? EVENT_VALID | VECTOR_IPI : 0,
		     "the interruption information");
	if (acknowledge)
		apic_end_of_interrupt();
	interrupts_on();
	cpu_pause();
	interrupts_off();
	suite_expect(handled, !acknowledge, "what L1 has handled");
	spin = false;
	suite_finish();
	trap_handle(VECTOR_IPI, NULL);
}

/* Without the control, L2 handles the machine's interrupts itself. */
static void interrupt_goes_to_l2(void)
{
	suite_case("interrupt_goes_to_l2");
	make(&(struct l2_controls){.primary = PRIMARY_MSR_BITMAPS},
	     open_window);
	vmwrite(VMCS_MSR_BITMAP, pages_take(1));
	trap_handle(VECTOR_IPI, on_event);
	send_to_self();
	suite_finish();
	suite_expect(handled, 1, "calls of L2's handler");
	trap_handle(VECTOR_IPI, NULL);
}

/* --- The preemption timer ------------------------------------------------- */

static void spin_for_ever(void)
{
	while (spin)
		cpu_pause();
}

static void preemption_timer(void)
{
	u64 before;

	if (!vmx_allows(CONTROLS_PIN, PIN_PREEMPTION_TIMER))
		return;
	suite_case("preemption_timer");
	make(&(struct l2_controls){.pin = PIN_PREEMPTION_TIMER}, spin_for_ever);
	spin = true;
	vmwrite(VMCS_PREEMPTION_TIMER, 10000);
	before = rdtsc();
	suite_run(EXIT_PREEMPTION_TIMER);
	suite_true(rdtsc() - before >= 10000ull << (rdmsr(MSR_VMX_MISC) &
						    MISC_PREEMPTION_SHIFT),
		   "that the timer is not early");
	suite_expect(vmread(VMCS_PREEMPTION_TIMER), 10000, "the field");
	spin = false;
	vmwrite(VMCS_PREEMPTION_TIMER, 0xffffffff);
	suite_finish();
}

static void timer_of_zero(void)
{
	u64 rip;

	if (!vmx_allows(CONTROLS_PIN, PIN_PREEMPTION_TIMER))
		return;
	suite_case("timer_of_zero");
	make(&(struct l2_controls){.pin = PIN_PREEMPTION_TIMER}, do_nothing);
	rip = vmread(VMCS_GUEST_RIP);
	vmwrite(VMCS_PREEMPTION_TIMER, 0);
	suite_run(EXIT_PREEMPTION_TIMER);
	suite_expect(vmread(VMCS_GUEST_RIP), rip, "RIP");
}

/*
 * What L2's last instruction has left pending comes before the timer, though
 * that has run out (SDM vol. 3, "VMX-Preemption Timer").
 */
static void debug_trap_before_timer(void)
{
	u64 rip;

	if (!vmx_allows(CONTROLS_PIN, PIN_PREEMPTION_TIMER))
		return;
	suite_case("debug_trap_before_timer");
	make(&(struct l2_controls){.pin = PIN_PREEMPTION_TIMER}, do_nothing);
	rip = vmread(VMCS_GUEST_RIP);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXCEPTION_DB));
	vmwrite(VMCS_PREEMPTION_TIMER, 0);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_ENABLED | BIT(1));
	if (!suite_run(EXIT_EXCEPTION_OR_NMI))
		return;
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION), BIT(1),
		     "the qualification");
	suite_expect(vmread(VMCS_GUEST_RIP), rip, "RIP");
}

/* It ends HLT, too. */
static void debug_trap_wakes_from_hlt(void)
{
	if (!(rdmsr(MSR_VMX_MISC) & MISC_HLT))
		return;
	suite_case("debug_trap_wakes_from_hlt");
	suite_defect("pending-debug");
	/* The timer ends the sleep of a CPU that does not wake. */
	make(&(struct l2_controls){.pin = PIN_PREEMPTION_TIMER}, do_nothing);
	vmwrite(VMCS_PREEMPTION_TIMER, 1000000);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(EXCEPTION_DB));
	vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_ENABLED | BIT(0));
	if (!suite_run(EXIT_EXCEPTION_OR_NMI))
		return;
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION), BIT(0),
		     "the qualification");
}

static void saved_timer(void)
{
	u64 left;

	if (!vmx_allows(CONTROLS_PIN, PIN_PREEMPTION_TIMER) ||
	    !vmx_allows(CONTROLS_EXIT, EXIT_SAVE_PREEMPTION_TIMER))
		return;
	suite_case("saved_timer");
	make(&(struct l2_controls){.pin = PIN_PREEMPTION_TIMER,
				   .exit = EXIT_SAVE_PREEMPTION_TIMER},
	     do_nothing);
	vmwrite(VMCS_PREEMPTION_TIMER, 100000000);
	suite_finish();
	left = vmread(VMCS_PREEMPTION_TIMER);
	suite_true(left < 100000000 && left > 0, "that time has passed");
	vmwrite(VMCS_PREEMPTION_TIMER, 0);
	l2_begin(&suite_l2, do_nothing);
	suite_run(EXIT_PREEMPTION_TIMER);
	suite_defect("timer-zero");
	suite_expect(vmread(VMCS_PREEMPTION_TIMER), 0, "a timer that is due");
}

/* L2 that waits for an interrupt that never comes. */
static void timer_wakes_from_hlt(void)
{
	if (!vmx_allows(CONTROLS_PIN, PIN_PREEMPTION_TIMER) ||
	    !(rdmsr(MSR_VMX_MISC) & MISC_HLT))
		return;
	suite_case("timer_wakes_from_hlt");
	make(&(struct l2_controls){.pin = PIN_PREEMPTION_TIMER}, do_nothing);
	vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
	vmwrite(VMCS_PREEMPTION_TIMER, 5000);
	suite_run(EXIT_PREEMPTION_TIMER);
	suite_expect(vmread(VMCS_GUEST_ACTIVITY_STATE), ACTIVITY_HLT,
		     "the activity state");
}

/* --- The virtual TPR ------------------------------------------------------ */

static void lower_tpr(void)
{
	__asm__ volatile("mov %0, %%cr8" ::"r"(2ull));
}

static void tpr_below_threshold(void)
{
	volatile u8 *page = (volatile u8 *)pages_take(1);

	if (!vmx_allows(CONTROLS_PRIMARY, PRIMARY_TPR_SHADOW))
		return;
	suite_case("tpr_below_threshold");
	make(&(struct l2_controls){.primary = PRIMARY_TPR_SHADOW}, lower_tpr);
	vmwrite(VMCS_VIRTUAL_APIC_ADDRESS, (u64)page);
	vmwrite(VMCS_TPR_THRESHOLD, 5);
	page[0x80] = 0x90;
	suite_run(EXIT_TPR_BELOW_THRESHOLD);
	suite_expect(page[0x80], 0x20, "the virtual TPR");
	vmwrite(VMCS_TPR_THRESHOLD, 2);
	suite_finish();
}

/* --- Virtual interrupts --------------------------------------------------- */

/*
 * SDM vol. 3, "Evaluation of Pending Virtual Interrupts". Not in Bochs 2.7: no
 * interrupt ends HLT there (docs/TESTING.md).
 */
static void virtual_interrupt_wakes_from_hlt(void)
{
	if (suite_in_bochs() || !(rdmsr(MSR_VMX_MISC) & MISC_HLT) ||
	    !vmx_allows(CONTROLS_PIN, PIN_EXTERNAL_INTERRUPT) ||
	    !vmx_allows(CONTROLS_SECONDARY, SECONDARY_INTERRUPT_DELIVERY))
		return;
	suite_case("virtual_interrupt_wakes_from_hlt");
	make(&(struct l2_controls){.pin = PIN_EXTERNAL_INTERRUPT,
				   .primary = PRIMARY_TPR_SHADOW,
				   .secondary = SECONDARY_INTERRUPT_DELIVERY},
	     do_nothing);
	vmwrite(VMCS_VIRTUAL_APIC_ADDRESS, pages_take(1));
	trap_handle(VECTOR, on_event);
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, VECTOR);
	suite_finish();
	suite_expect(handled, 1, "calls of the handler");
	suite_expect(vmread(VMCS_GUEST_INTERRUPT_STATUS), VECTOR << 8,
		     "the interrupt status");
	trap_handle(VECTOR, NULL);
}

void suite_events(void)
{
	for (u32 i = 0; i < ARRAY_COUNT(exceptions); i++)
		exception_exits(&exceptions[i]);
	single_step_exits();
	debug_exceptions_exit();
	iret_that_faults("iret_that_faults", 0);
	iret_that_faults("iret_that_faults_with_nmis_blocked", BLOCKING_BY_NMI);
	iret_that_violates_ept();
	page_fault_mask();
	software_interrupt_does_not_exit();
	triple_fault();
	for (u32 i = 0; i < ARRAY_COUNT(injections); i++)
		injected_event_arrives(&injections[i]);
	injected_exception_does_not_exit();
	injection_wakes_from_hlt();
	deliveries_are_cut_short();
	own_exception_is_cut_short();
	nested_exception();
	double_fault();
	interrupt_window();
	window_is_open_at_entry();
	nmi_window();
	virtual_nmi_blocking();
	nmi_blocking_stays();
	if (apic_mode() != APIC_NONE) {
		interrupt_exits(false);
		interrupt_exits(true);
		interrupt_goes_to_l2();
	}
	preemption_timer();
	timer_of_zero();
	debug_trap_before_timer();
	debug_trap_wakes_from_hlt();
	saved_timer();
	timer_wakes_from_hlt();
	tpr_below_threshold();
	virtual_interrupt_wakes_from_hlt();
}
