/* SPDX-License-Identifier: MIT */
/*
 * A guest that looks closely at how a CPU delivers exceptions and interrupts,
 * and at the state that a hypervisor has to switch. Each word of its command
 * line is a case; without one all run, one after the other.
 *
 *	n=N       how often the cases that repeat do it (default 200)
 *	seed=N    what the registers of the cases that keep them hold
 *
 * Nothing here is about Umbra: on the bare machine the same must come out.
 */
#include "guests/lib/guest.h"

#define REPEAT_DEFAULT        200

#define VECTOR_SOFTWARE       0x50
#define VECTOR_LOW            0x51
#define VECTOR_HIGH           0x61

#define RFLAGS_TF             BIT(8)
#define RFLAGS_RF             BIT(16)
#define UNKNOWN_MSR           0x0badc0deu

#define DR6_BREAKPOINT_0      BIT(0)
#define DR6_BREAKPOINT_1      BIT(1)
#define DR6_ACCESS            BIT(13)
#define DR6_STEP              BIT(14)
#define DR6_RESET             0xffff0ff0ull
#define DR6_SET_BITS          (BITS(3, 0) | BITS(15, 13))
#define DR7_RESET             0x400ull
#define DR7_GD                BIT(13)
#define DR7_CODE_0            BIT(1)
#define DR7_CODE_1            BIT(3)
#define DR7_READ_WORD_0       (BIT(1) | 3ull << 16 | 1ull << 18)
#define DR7_PORT_0            (BIT(1) | 2ull << 16)
#define DR7_READ_DWORD_1      (BIT(3) | 3ull << 20 | 3ull << 22)
#define POST_PORT             0x80
#define NO_MEMORY             0xf0000000ull

#define MSR_X2APIC_ICR        0x830u
#define MSR_MTRR_DEF          0x2ffu
#define MSR_DEBUGCTL          0x1d9u
#define MSR_PAT               0x277u

#define CR0_MP                BIT(1)
#define CR0_TS                BIT(3)
#define CR0_NE                BIT(5)
#define CR0_CD                BIT(30)
#define CR4_DE                BIT(3)
#define CR4_MCE               BIT(6)
#define CR4_OSFXSR            BIT(9)
#define CR4_OSXSAVE           BIT(18)

#define MSR_SPEC_CTRL         0x48u
#define MSR_PRED_CMD          0x49u
#define MSR_ARCH_CAPABILITIES 0x10au
#define MSR_FLUSH_CMD         0x10bu

#define CPUID_7_IBRS          BIT(26)
#define CPUID_7_STIBP         BIT(27)
#define CPUID_7_L1D_FLUSH     BIT(28)
#define CPUID_7_ARCH          BIT(29)

#define CPUID_1_MONITOR       BIT(3)
#define CPUID_1_XSAVE         BIT(26)
#define CPUID_1_AVX           BIT(28)
#define CPUID_7_AVX512F       BIT(16)

#define XCR0_SSE              3ull
#define XCR0_AVX              7ull
#define XCR0_AVX512           0xe7ull

#define NOT_MAPPED            (64 * GIB)

/* events64.asm: code to walk through, and where the #DBs must find it. */
void walk_step(void);
void walk_halt(void);
void walk_trap_first(u32 msr, u32 value);
void walk_stack_load(void);
void walk_stack_step(void);
void walk_breakpoints(void);
void walk_watched(void);
void walk_icebp(void);
extern const u64 walk_step_stops[], walk_halt_stops[], walk_trap_first_stops[],
    walk_stack_load_stops[], walk_stack_step_stops[], walk_breakpoints_stops[],
    walk_watched_stops[], walk_icebp_stops[];

void shadow_sti_nop(void);
void shadow_sti_exit(void);
void shadow_ss_exit(void);
void raise_software(void);
void raise_breakpoint(void);
extern const u8 shadow_sti_nop_after[], shadow_sti_exit_after[],
    shadow_ss_exit_after[], raise_software_after[], raise_breakpoint_after[];

void ymm_load(const void *from);
void ymm_store(void *to);
void zmm_load(const void *from);
void zmm_store(void *to);

static u64 repeat_count(void)
{
	return boot_number("n", REPEAT_DEFAULT);
}

#define DEBUG_REGISTER(n)                                                      \
	static u64 read_dr##n(void)                                            \
	{                                                                      \
		u64 value;                                                     \
                                                                               \
		__asm__ volatile("mov %%dr" #n ", %0" : "=r"(value));          \
		return value;                                                  \
	}                                                                      \
	static void write_dr##n(u64 value)                                     \
	{                                                                      \
		__asm__ volatile("mov %0, %%dr" #n : : "r"(value) : "memory"); \
	}

DEBUG_REGISTER(0)
DEBUG_REGISTER(1)
DEBUG_REGISTER(2)
DEBUG_REGISTER(3)
DEBUG_REGISTER(6)
DEBUG_REGISTER(7)

static void expect(const char *name, u32 fault, u32 expected)
{
	check(fault == expected, name, "vector %d instead of %d", (int)fault,
	      (int)expected);
}

/* --- Walking with #DB ----------------------------------------------------- */

static struct walk {
	const u64 *stops;
	u32 count;         /* of #DBs so far */
	u32 interrupts;    /* that came, each after a #DB */
	u64 expected_bits; /* of DR6, at each */
	u64 wrong_rip, wrong_bits;
	u32 wrong_at; /* the first #DB that was not as it should; from 1 */
} walk;

static void on_debug(struct trap_frame *frame)
{
	u64 bits = read_dr6() & DR6_SET_BITS;
	u64 stop = walk.stops[walk.count];

	if (!walk.wrong_at &&
	    (frame->rip != stop || bits != walk.expected_bits)) {
		walk.wrong_at = walk.count + 1;
		walk.wrong_rip = frame->rip;
		walk.wrong_bits = bits;
	}
	walk.count += stop != 0;
	if (!stop || !walk.stops[walk.count])
		frame->rflags &= ~RFLAGS_TF;
	write_dr6(DR6_RESET);
}

static void begin_walk(const u64 *stops, u64 bits)
{
	walk = (struct walk){.stops = stops, .expected_bits = bits};
	trap_handle(VECTOR_DB, on_debug);
	write_dr6(DR6_RESET);
}

static void end_walk(const char *name)
{
	u32 stops = 0;

	while (walk.stops[stops])
		stops++;
	check(walk.count == stops, name, "%u #DBs instead of %u", walk.count,
	      stops);
	check(!walk.wrong_at, name,
	      "#DB %u at %#lx, %+ld from where it should be, DR6 %#lx",
	      walk.wrong_at, walk.wrong_rip,
	      (i64)(walk.wrong_rip -
		    walk.stops[walk.wrong_at ? walk.wrong_at - 1 : 0]),
	      walk.wrong_bits);
}

static void single_step(void)
{
	begin_walk(walk_step_stops, DR6_STEP);
	walk_step();
	end_walk("every_instruction_is_one_step");
}

/* Bochs 2.7 sleeps on: not among the cases that run by themselves. */
static void single_step_of_halt(void)
{
	begin_walk(walk_halt_stops, DR6_STEP);
	walk_halt();
	end_walk("trap_ends_hlt");
}

static void on_walk_interrupt(struct trap_frame *frame)
{
	(void)frame;
	/* The one that comes with the first #DB, before the second. */
	walk.interrupts += walk.count == 1;
	apic_end_of_interrupt();
}

static void trap_before_interrupt(void)
{
	if (apic_mode() != APIC_X2APIC)
		return;
	trap_handle(VECTOR_LOW, on_walk_interrupt);
	begin_walk(walk_trap_first_stops, DR6_STEP);
	walk_trap_first(MSR_X2APIC_ICR, 1u << 18 | VECTOR_LOW);
	end_walk("trap_comes_before_the_interrupt");
	check(walk.interrupts == 1, "interrupt_comes_after_the_trap",
	      "%u came between the traps", walk.interrupts);
}

static void icebp(void)
{
	begin_walk(walk_icebp_stops, 0);
	walk_icebp();
	end_walk("icebp_is_a_trap");
}

extern const u16 stack_selector;

static void stack_shadow(void)
{
	begin_walk(walk_stack_step_stops, DR6_STEP);
	walk_stack_step();
	end_walk("no_step_between_ss_and_sp");

	begin_walk(walk_stack_load_stops, DR6_BREAKPOINT_0);
	write_dr0((u64)&stack_selector);
	write_dr7(DR7_RESET | DR7_READ_WORD_0);
	walk_stack_load();
	write_dr7(DR7_RESET);
	end_walk("data_breakpoint_waits_for_the_instruction_behind");
}

/* --- Debug registers ------------------------------------------------------ */

static void on_breakpoint(struct trap_frame *frame)
{
	walk.expected_bits =
	    walk.count == 0 ? DR6_BREAKPOINT_0 : DR6_BREAKPOINT_1;
	on_debug(frame);
	frame->rflags |= RFLAGS_RF;
}

static void breakpoints(void)
{
	begin_walk(walk_breakpoints_stops, 0);
	trap_handle(VECTOR_DB, on_breakpoint);
	write_dr0(walk_breakpoints_stops[0]);
	write_dr1(walk_breakpoints_stops[1]);
	write_dr7(DR7_RESET | DR7_CODE_0 | DR7_CODE_1);
	walk_breakpoints();
	write_dr7(DR7_RESET);
	end_walk("breakpoint_behind_an_instruction_that_exits");
}

static void on_watched(struct trap_frame *frame)
{
	walk.expected_bits =
	    walk.count < 3 ? DR6_BREAKPOINT_0 : DR6_BREAKPOINT_1;
	on_debug(frame);
}

static void watched_devices(void)
{
	u64 cr4 = read_cr4();

	write_cr4(cr4 | CR4_DE);
	begin_walk(walk_watched_stops, 0);
	trap_handle(VECTOR_DB, on_watched);
	write_dr0(POST_PORT);
	write_dr1(NO_MEMORY);
	write_dr7(DR7_RESET | DR7_PORT_0 | DR7_READ_DWORD_1);
	walk_watched();
	write_dr7(DR7_RESET);
	write_cr4(cr4);
	end_walk("breakpoints_on_ports_and_devices");
}

static u64 pushed_rflags;

static void on_faulting(struct trap_frame *frame)
{
	pushed_rflags = frame->rflags;
	frame->rip += 2; /* RDMSR, UD2 */
}

/* A fault's image of RFLAGS has RF; whoever raises it. */
static void resume_flag(void)
{
	u64 value = UNKNOWN_MSR;

	trap_handle(VECTOR_UD, on_faulting);
	trap_handle(VECTOR_GP, on_faulting);
	pushed_rflags = 0;
	__asm__ volatile("ud2");
	check(pushed_rflags & RFLAGS_RF, "resume_flag_of_ud", "RFLAGS %#lx",
	      pushed_rflags);
	pushed_rflags = 0;
	__asm__ volatile("rdmsr" : "+c"(value) : : "rax", "rdx", "memory");
	check(pushed_rflags & RFLAGS_RF, "resume_flag_of_gp", "RFLAGS %#lx",
	      pushed_rflags);
	trap_handle(VECTOR_UD, NULL);
	trap_handle(VECTOR_GP, NULL);
}

static u64 guarded_dr6, guarded_dr7;

static void on_guarded(struct trap_frame *frame)
{
	(void)frame;
	guarded_dr6 = read_dr6() & DR6_SET_BITS;
	guarded_dr7 = read_dr7();
	write_dr6(DR6_RESET);
}

static void general_detect(void)
{
	trap_handle(VECTOR_DB, on_guarded);
	write_dr6(DR6_RESET);
	write_dr7(DR7_RESET | DR7_GD);
	(void)read_dr0();
	check(guarded_dr6 == DR6_ACCESS, "general_detect", "DR6 %#lx",
	      guarded_dr6);
	check(guarded_dr7 == DR7_RESET, "general_detect_ends", "DR7 %#lx",
	      guarded_dr7);
}

static void debug_register_faults(void)
{
	u64 cr4 = read_cr4();

	expect("dr7_upper_half", TRY_WITH("mov %1, %%dr7", BIT(40)), VECTOR_GP);
	expect("dr6_upper_half", TRY_WITH("mov %1, %%dr6", BIT(40)), VECTOR_GP);
	write_cr4(cr4 | CR4_DE);
	expect("dr4_with_de", TRY_WITH("mov %1, %%dr4", DR6_RESET), VECTOR_UD);
	write_cr4(cr4 & ~CR4_DE);
	expect("dr4_without_de", TRY_WITH("mov %1, %%dr4", DR6_RESET),
	       NO_FAULT);
	write_cr4(cr4);
}

/* A neighbour with another seed runs meanwhile. */
static void debug_registers_stay(void)
{
	u64 seed = boot_number("seed", 1) << 12;
	u64 first[4] = {seed + 1, seed + 2, seed + 3, seed + 4};
	bool same = true;

	write_dr0(first[0]);
	write_dr1(first[1]);
	write_dr2(first[2]);
	write_dr3(first[3]);
	write_dr6(DR6_RESET | (seed >> 12 & 0xf));
	for (u64 i = 0; same && i < repeat_count(); i++) {
		time_delay_us(200);
		cpuid(0, 0);
		same = read_dr0() == first[0] && read_dr1() == first[1] &&
		       read_dr2() == first[2] && read_dr3() == first[3] &&
		       (read_dr6() & 0xf) == (seed >> 12 & 0xf) &&
		       read_dr7() == DR7_RESET;
	}
	check(same, "debug_registers_stay", "%#lx %#lx %#lx %#lx DR6 %#lx",
	      read_dr0(), read_dr1(), read_dr2(), read_dr3(), read_dr6());
	write_dr6(DR6_RESET);
}

/* --- Interrupts, NMIs and their shadows ----------------------------------- */

static volatile u64 event_count, event_rip;

static void on_event(struct trap_frame *frame)
{
	event_count++;
	event_rip = frame->rip;
	apic_end_of_interrupt();
}

static void shadow(const char *name, void (*code)(void), const u8 *after)
{
	event_count = 0;
	apic_send(apic_id(), VECTOR_LOW);
	/* It is there before anything else happens. */
	time_delay_us(10);
	code();
	check(event_count == 1, name, "%lu interrupts", event_count);
	check(event_rip == (u64)after, name, "at %+ld",
	      (i64)(event_rip - (u64)after));
}

static void interrupt_shadows(void)
{
	trap_handle(VECTOR_LOW, on_event);
	shadow("sti_holds_for_one_instruction", shadow_sti_nop,
	       shadow_sti_nop_after);
	shadow("sti_holds_for_an_instruction_that_exits", shadow_sti_exit,
	       shadow_sti_exit_after);
	shadow("mov_ss_holds_for_an_instruction_that_exits", shadow_ss_exit,
	       shadow_ss_exit_after);
}

static volatile u32 order[4], order_count;

static void on_ordered(struct trap_frame *frame)
{
	if (order_count < ARRAY_COUNT(order))
		order[order_count++] = (u32)frame->vector;
	apic_end_of_interrupt();
}

/* Both wait; each opens its window in turn. */
static void interrupt_window(void)
{
	trap_handle(VECTOR_LOW, on_ordered);
	trap_handle(VECTOR_HIGH, on_ordered);
	order_count = 0;
	apic_send(apic_id(), VECTOR_LOW);
	apic_send(apic_id(), VECTOR_HIGH);
	time_delay_us(10);
	check(order_count == 0, "interrupts_wait", "%u came", order_count);
	interrupts_on();
	for (u32 i = 0; i < 1000 && order_count < 2; i++)
		cpu_pause();
	interrupts_off();
	check(order_count == 2 && order[0] == VECTOR_HIGH &&
		  order[1] == VECTOR_LOW,
	      "interrupts_come_by_priority", "%u: %#x %#x", order_count,
	      order[0], order[1]);
}

static volatile u32 nmi_depth, nmi_deepest, nmi_count;

static void on_nested_nmi(struct trap_frame *frame)
{
	(void)frame;
	nmi_depth++;
	nmi_count++;
	if (nmi_depth > nmi_deepest)
		nmi_deepest = nmi_depth;
	if (nmi_count == 1) {
		apic_send_nmi(apic_id());
		apic_send_nmi(apic_id());
		for (u32 i = 0; i < 50; i++)
			cpuid(0, 0);
		time_delay_us(20);
	}
	nmi_depth--;
}

/* Two NMIs in the handler are one that waits for the handler's IRET. */
static void nmi_blocking(void)
{
	trap_handle(VECTOR_NMI, on_nested_nmi);
	nmi_depth = nmi_deepest = nmi_count = 0;
	apic_send_nmi(apic_id());
	for (u32 i = 0; i < 1000 && nmi_count < 2; i++)
		cpu_pause();
	time_delay_us(50);
	check(nmi_count == 2, "nmis_wait_and_fall_together", "%u NMIs",
	      nmi_count);
	check(nmi_deepest == 1, "nmi_blocks_nmi", "%u deep", nmi_deepest);
}

static volatile u32 nmi_in_sleep;

static void on_sleep_nmi(struct trap_frame *frame)
{
	(void)frame;
	nmi_in_sleep++;
}

static volatile bool nmi_wanted;

static void on_timer_sends_nmi(struct trap_frame *frame)
{
	(void)frame;
	apic_end_of_interrupt();
	if (nmi_wanted)
		apic_send_nmi(apic_id());
	nmi_wanted = false;
}

/* Comes at once, in an interrupt's handler, whatever RFLAGS.IF says. */
static void nmi_while_interrupts_are_off(void)
{
	trap_handle(VECTOR_NMI, on_sleep_nmi);
	trap_handle(VECTOR_TIMER, on_timer_sends_nmi);
	nmi_in_sleep = 0;
	nmi_wanted = true;
	timer_start(TIMER_BEST, 100);
	while (nmi_wanted)
		cpu_sleep();
	for (u32 i = 0; i < 1000 && !nmi_in_sleep; i++)
		cpu_pause();
	check(nmi_in_sleep == 1, "nmi_needs_no_if", "%u NMIs", nmi_in_sleep);
}

/* --- Every kind of event, again and again --------------------------------- */

static volatile struct {
	u64 count, rip, error;
} last;

static void on_any(struct trap_frame *frame)
{
	last.count++;
	last.rip = frame->rip;
	last.error = frame->error;
}

static void on_any_interrupt(struct trap_frame *frame)
{
	on_any(frame);
	apic_end_of_interrupt();
}

/* What faults is passed over by the handler: its length is known. */
static void on_any_fault(struct trap_frame *frame)
{
	on_any(frame);
	frame->rip = frame->rbx;
}

static bool came_once(u64 rip, u64 error)
{
	bool good =
	    last.count == 1 && (!rip || last.rip == rip) && last.error == error;

	last.count = 0;
	return good;
}

static bool page_fault_comes(void)
{
	u64 address = NOT_MAPPED + 8;

	__asm__ volatile("lea 1f(%%rip), %%rbx\n\t"
			 "mov %%rax, (%0)\n"
			 "1:"
			 :
			 : "r"(address)
			 : "rbx", "memory");
	return came_once(0, 2) && read_cr2() == address;
}

static bool protection_fault_comes(void)
{
	__asm__ volatile("lea 1f(%%rip), %%rbx\n\t"
			 "mov %w0, %%es\n"
			 "1:"
			 :
			 : "r"(0x7ff8)
			 : "rbx", "memory");
	return came_once(0, 0x7ff8);
}

static bool interrupt_comes(void)
{
	apic_send(apic_id(), VECTOR_LOW);
	interrupts_on();
	for (u32 i = 0; i < 1000 && !last.count; i++)
		cpu_pause();
	interrupts_off();
	return came_once(0, 0);
}

static bool nmi_comes(void)
{
	apic_send_nmi(apic_id());
	for (u32 i = 0; i < 1000 && !last.count; i++)
		cpu_pause();
	return came_once(0, 0);
}

static bool software_interrupt_comes(void)
{
	raise_software();
	return came_once((u64)raise_software_after, 0);
}

static bool breakpoint_comes(void)
{
	raise_breakpoint();
	return came_once((u64)raise_breakpoint_after, 0);
}

/*
 * With dirty logging on, the page of the stack is again and again one that
 * must not be written: the exit cuts the delivery short.
 */
static void deliveries(void)
{
	static const struct {
		const char *name;
		bool (*comes)(void);
	} kinds[] = {
	    {"software_interrupt_comes_once", software_interrupt_comes},
	    {"breakpoint_comes_once", breakpoint_comes},
	    {"page_fault_comes_once", page_fault_comes},
	    {"protection_fault_comes_once", protection_fault_comes},
	    {"interrupt_comes_once", interrupt_comes},
	    {"nmi_comes_once", nmi_comes},
	};
	u64 good[ARRAY_COUNT(kinds)] = {0};

	trap_handle(VECTOR_SOFTWARE, on_any);
	trap_handle(VECTOR_BP, on_any);
	trap_handle(VECTOR_NMI, on_any);
	trap_handle(VECTOR_PF, on_any_fault);
	trap_handle(VECTOR_GP, on_any_fault);
	trap_handle(VECTOR_LOW, on_any_interrupt);
	last.count = 0;
	for (u64 n = 0; n < repeat_count(); n++)
		for (u32 i = 0; i < ARRAY_COUNT(kinds); i++)
			good[i] += kinds[i].comes();
	trap_handle(VECTOR_PF, NULL);
	trap_handle(VECTOR_GP, NULL);
	for (u32 i = 0; i < ARRAY_COUNT(kinds); i++)
		check(good[i] == repeat_count(), kinds[i].name, "%lu of %lu",
		      good[i], repeat_count());
}

/* --- Instructions that CPUID does not tell of
 * --------------------------------- */

/* With a CPU model older than the CPU it is hidden, and raises #UD. */
static void hidden(void)
{
	u32 basic = cpuid(0, 0).eax;
	u32 leaf1 = cpuid(1, 0).ecx;
	u32 leaf7 = basic >= 7 ? cpuid(7, 0).ebx : 0;
	u32 extended = cpuid(0x80000001, 0).edx;
	u64 descriptor[2] = {0, 0};

	if (!(leaf1 & BIT(30)))
		expect("rdrand_hidden", TRY_WITH("rdrand %1", 0), VECTOR_UD);
	if (!(leaf7 & BIT(18)))
		expect("rdseed_hidden", TRY_WITH("rdseed %1", 0), VECTOR_UD);
	if (!(leaf7 & BIT(10)))
		expect("invpcid_hidden",
		       TRY_WITH("invpcid (%1), %%rsp", (u64)descriptor),
		       VECTOR_UD);
	if (!(extended & BIT(27)))
		expect("rdtscp_hidden", TRY_WITH("rdtscp", 0), VECTOR_UD);
	check(true, "hidden", "-");
}

/* --- Vector state --------------------------------------------------------- */

static void xsetbv(u64 value)
{
	__asm__ volatile("xsetbv" ::"c"(0), "a"((u32)value),
			 "d"((u32)(value >> 32))
			 : "memory");
}

static u32 xsetbv_try(u32 index, u64 value)
{
	register u32 fault __asm__("r8");

	__asm__ volatile(TRY("xsetbv")
			 : "=&r"(fault)
			 : "c"(index), "a"((u32)value), "d"((u32)(value >> 32))
			 : "memory");
	return fault;
}

/* What XCR0 may hold; 0 without XSAVE. */
static u64 xcr0_allowed(void)
{
	if (!(cpuid(1, 0).ecx & CPUID_1_XSAVE))
		return 0;
	return cpuid(0xd, 0).eax;
}

static void xsetbv_faults(void)
{
	if (!xcr0_allowed())
		return;
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	expect("xsetbv_without_osxsave", xsetbv_try(0, 1), VECTOR_UD);
	write_cr4(read_cr4() | CR4_OSXSAVE | CR4_OSFXSR);
	expect("xcr0_without_x87", xsetbv_try(0, 2), VECTOR_GP);
	expect("xcr0_empty", xsetbv_try(0, 0), VECTOR_GP);
	expect("xcr0_avx_without_sse", xsetbv_try(0, 5), VECTOR_GP);
	expect("xcr0_unknown_bit", xsetbv_try(0, BIT(62) | 1), VECTOR_GP);
	expect("xcr1", xsetbv_try(1, 1), VECTOR_GP);
	if ((xcr0_allowed() & XCR0_AVX512) == XCR0_AVX512) {
		expect("xcr0_opmask_alone", xsetbv_try(0, 7 | BIT(5)),
		       VECTOR_GP);
		expect("xcr0_avx512_without_avx", xsetbv_try(0, 0xe3),
		       VECTOR_GP);
	}
	expect("xcr0_x87", xsetbv_try(0, 1), NO_FAULT);
	check(cpuid(0xd, 0).ebx == 576, "xsave_size_of_x87", "%u",
	      cpuid(0xd, 0).ebx);
	if (!(xcr0_allowed() & 4))
		return;
	expect("xcr0_avx", xsetbv_try(0, XCR0_AVX), NO_FAULT);
	check(cpuid(0xd, 0).ebx == 832, "xsave_size_of_avx", "%u",
	      cpuid(0xd, 0).ebx);
}

#define VECTOR_BYTES (64ul * 32)
#define ZMM_BYTES    (VECTOR_BYTES + 16) /* and 8 masks */

static u8 vectors_in[ZMM_BYTES] ALIGNED(64), vectors_out[ZMM_BYTES] ALIGNED(64);

static void fill_vectors(void)
{
	u64 seed = boot_number("seed", 1);
	u8 *masks = &vectors_in[VECTOR_BYTES];

	for (u32 i = 0; i < ZMM_BYTES; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		vectors_in[i] = (u8)(seed >> 56);
	}
	/* zmm_load takes the mask registers from the vectors' first words. */
	for (u64 i = 1; i < 8; i++)
		memcpy(&masks[2 * i], &vectors_in[64 * i], 2);
	memset(masks, 0, 2);
}

static void keep_vectors(const char *name, u32 bytes,
			 void (*load)(const void *), void (*store)(void *),
			 u64 other_xcr0)
{
	u64 xcr0 = bytes == ZMM_BYTES ? XCR0_AVX512 : XCR0_AVX;
	bool same = true;

	fill_vectors();
	xsetbv(xcr0);
	load(vectors_in);
	for (u64 i = 0; same && i < repeat_count(); i++) {
		xsetbv(other_xcr0);
		time_delay_us(200);
		xsetbv(xcr0);
		store(vectors_out);
		same = !memcmp(vectors_in, vectors_out, bytes);
	}
	check(same, name, "a register has changed");
}

/* A neighbour with another seed runs meanwhile. */
static void vectors_stay(void)
{
	if (!(xcr0_allowed() & 4)) {
		print("no AVX\n");
		return;
	}
	write_cr4(read_cr4() | CR4_OSXSAVE | CR4_OSFXSR);
	print("AVX\n");
	keep_vectors("avx_stays", 32 * 16, ymm_load, ymm_store, XCR0_AVX);
	keep_vectors("avx_stays_while_it_is_off", 32 * 16, ymm_load, ymm_store,
		     XCR0_SSE);
	if ((xcr0_allowed() & XCR0_AVX512) != XCR0_AVX512)
		return;
	print("AVX-512\n");
	keep_vectors("avx512_stays", ZMM_BYTES, zmm_load, zmm_store,
		     XCR0_AVX512);
	keep_vectors("avx512_stays_while_it_is_off", ZMM_BYTES, zmm_load,
		     zmm_store, XCR0_AVX);
}

/* --- Control registers, MSRs, instructions -------------------------------- */

static u64 status_word(void)
{
	u64 value;

	__asm__ volatile("smsw %0" : "=r"(value));
	return value;
}

static void lmsw(u64 value)
{
	__asm__ volatile("lmsw %w0" ::"r"(value) : "memory");
}

static bool cr0_takes(u64 value)
{
	write_cr0(value);
	return read_cr0() == value &&
	       (status_word() & 0xffff) == (value & 0xffff);
}

static void control_registers(void)
{
	u64 cr0 = read_cr0(), cr4 = read_cr4();

	check(cr0_takes(cr0 | CR0_CD), "cr0_cd_is_kept", "%#lx", read_cr0());
	check(cr0_takes(cr0), "cr0_cd_is_taken_back", "%#lx", read_cr0());
	check(cr0_takes(cr0 & ~CR0_NE), "cr0_ne_is_cleared", "%#lx",
	      read_cr0());
	write_cr0(cr0);
	lmsw((cr0 & ~1ull) | CR0_TS);
	check(read_cr0() == (cr0 | CR0_TS), "lmsw_keeps_pe", "%#lx",
	      read_cr0());
	__asm__ volatile("clts");
	check(read_cr0() == cr0, "clts", "%#lx", read_cr0());
	write_cr4(cr4 ^ CR4_MCE);
	check(read_cr4() == (cr4 ^ CR4_MCE), "cr4_mce_is_the_guests", "%#lx",
	      read_cr4());
	write_cr4(cr4);
	check(read_cr4() == cr4, "cr4_mce_is_taken_back", "%#lx", read_cr4());
}

static void memory_types(void)
{
	u64 pat = rdmsr(MSR_PAT), def = rdmsr(MSR_MTRR_DEF);

	for (u32 i = 0; i < 8; i++) {
		u64 others = pat & ~(0xffull << (8 * i));

		expect("pat_2", wrmsr_try(MSR_PAT, others | 2ull << (8 * i)),
		       VECTOR_GP);
		expect("pat_3", wrmsr_try(MSR_PAT, others | 3ull << (8 * i)),
		       VECTOR_GP);
		expect("pat_8", wrmsr_try(MSR_PAT, others | 8ull << (8 * i)),
		       VECTOR_GP);
		expect("pat_1", wrmsr_try(MSR_PAT, others | 1ull << (8 * i)),
		       NO_FAULT);
	}
	wrmsr(MSR_PAT, pat);
	expect("mtrr_type_2", wrmsr_try(MSR_MTRR_DEF, 0x802), VECTOR_GP);
	expect("mtrr_type_3", wrmsr_try(MSR_MTRR_DEF, 0x803), VECTOR_GP);
	expect("mtrr_type_7", wrmsr_try(MSR_MTRR_DEF, 0x807), VECTOR_GP);
	expect("mtrr_reserved", wrmsr_try(MSR_MTRR_DEF, 0x8006 | BIT(20)),
	       VECTOR_GP);
	expect("mtrr_write_back", wrmsr_try(MSR_MTRR_DEF, 0x806), NO_FAULT);
	check(rdmsr(MSR_MTRR_DEF) == 0x806, "mtrr_keeps", "%#lx",
	      rdmsr(MSR_MTRR_DEF));
	wrmsr(MSR_MTRR_DEF, def);
	expect("debugctl_reserved", wrmsr_try(MSR_DEBUGCTL, BIT(40)),
	       VECTOR_GP);
}

#define TRY_PLAIN(instruction, address)                         \
	({                                                      \
		register u32 fault_ __asm__("r8");              \
                                                                \
		__asm__ volatile(TRY(instruction)               \
				 : "=&r"(fault_)                \
				 : "a"(address), "c"(0), "d"(0) \
				 : "memory");                   \
		fault_;                                         \
	})

static void monitor_and_mwait(void)
{
	static u64 line;

	if (cpuid(1, 0).ecx & CPUID_1_MONITOR)
		return;
	expect("monitor_without_its_bit", TRY_PLAIN("monitor", &line),
	       VECTOR_UD);
	expect("mwait_without_its_bit", TRY_PLAIN("mwait", 0), VECTOR_UD);
}

static u32 leaf7_edx(void)
{
	return cpuid(0, 0).eax >= 7 ? cpuid(7, 0).edx : 0;
}

static u32 if_shown(u64 bit)
{
	return leaf7_edx() & bit ? NO_FAULT : VECTOR_GP;
}

static void speculation_msrs(void)
{
	u64 value;

	expect("spec_ctrl_read", rdmsr_try(MSR_SPEC_CTRL, &value),
	       if_shown(CPUID_7_IBRS));
	expect("spec_ctrl_ibrs", wrmsr_try(MSR_SPEC_CTRL, 1),
	       if_shown(CPUID_7_IBRS));
	expect("spec_ctrl_reserved", wrmsr_try(MSR_SPEC_CTRL, BIT(40)),
	       VECTOR_GP);
	expect("spec_ctrl_none", wrmsr_try(MSR_SPEC_CTRL, 0),
	       if_shown(CPUID_7_IBRS));
	expect("pred_cmd_barrier", wrmsr_try(MSR_PRED_CMD, 1),
	       if_shown(CPUID_7_IBRS));
	expect("pred_cmd_reserved", wrmsr_try(MSR_PRED_CMD, BIT(40)),
	       VECTOR_GP);
	expect("pred_cmd_read", rdmsr_try(MSR_PRED_CMD, &value), VECTOR_GP);
	expect("flush_cmd", wrmsr_try(MSR_FLUSH_CMD, 1),
	       if_shown(CPUID_7_L1D_FLUSH));
	expect("flush_cmd_reserved", wrmsr_try(MSR_FLUSH_CMD, BIT(40)),
	       VECTOR_GP);
	expect("arch_capabilities", rdmsr_try(MSR_ARCH_CAPABILITIES, &value),
	       if_shown(CPUID_7_ARCH));
	expect("arch_capabilities_write", wrmsr_try(MSR_ARCH_CAPABILITIES, 0),
	       VECTOR_GP);
}

/* A neighbour with another seed runs meanwhile. */
static void spec_ctrl_stays(void)
{
	u64 value = boot_number("seed", 1) & 3;
	bool same = true;

	if (!(leaf7_edx() & CPUID_7_IBRS) || !(leaf7_edx() & CPUID_7_STIBP))
		return;
	print("SPEC_CTRL %#lx\n", value);
	wrmsr(MSR_SPEC_CTRL, value);
	for (u64 i = 0; same && i < repeat_count(); i++) {
		time_delay_us(200);
		cpuid(0, 0);
		same = rdmsr(MSR_SPEC_CTRL) == value;
	}
	check(same, "spec_ctrl_stays", "%#lx", rdmsr(MSR_SPEC_CTRL));
	wrmsr(MSR_SPEC_CTRL, 0);
}

struct event_case {
	const char *word;
	void (*go)(void);
};

static const struct event_case cases[] = {
    {"step", single_step},
    {"trap-first", trap_before_interrupt},
    {"icebp", icebp},
    {"stack-shadow", stack_shadow},
    {"breakpoints", breakpoints},
    {"watched", watched_devices},
    {"resume-flag", resume_flag},
    {"general-detect", general_detect},
    {"debug-faults", debug_register_faults},
    {"debug-stay", debug_registers_stay},
    {"shadows", interrupt_shadows},
    {"window", interrupt_window},
    {"nmi-blocking", nmi_blocking},
    {"nmi-off", nmi_while_interrupts_are_off},
    {"hidden", hidden},
    {"deliveries", deliveries},
    {"xsetbv", xsetbv_faults},
    {"vectors", vectors_stay},
    {"control", control_registers},
    {"memory-types", memory_types},
    {"monitor", monitor_and_mwait},
    {"speculation", speculation_msrs},
    {"spec-stay", spec_ctrl_stays},
    /* Only if it is named. */
    {"halt-step", single_step_of_halt},
};
#define CASES_BY_THEMSELVES (ARRAY_COUNT(cases) - 1)

static bool any_is_named(void)
{
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++)
		if (boot_has_word(cases[i].word))
			return true;
	return false;
}

u8 guest_main(void)
{
	bool all = !any_is_named();

	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		if (!boot_has_word(cases[i].word) &&
		    !(all && i < CASES_BY_THEMSELVES))
			continue;
		print("events: %s\n", cases[i].word);
		cases[i].go();
	}
	return result_print();
}
