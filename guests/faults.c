/* SPDX-License-Identifier: MIT */
/*
 * A guest that misbehaves in the one way that its command line names, so that
 * tests can show that Umbra survives, stops this guest when it must, and says
 * why.
 *
 *	n=N      how often the storms do it (default 10000)
 *	exit=V   the exit code of the ways that use port 0xf4
 *
 * Three kinds of ways, in this order in the table at the end of this file:
 * those after which the guest is lost, those that go on for ever, and those
 * that the machine must bear: they end with a RESULT line.
 */
#include "guests/lib/guest.h"

#define STORM_DEFAULT   10000

/* Below 4 GiB, so mapped; neither memory nor a device, here or on a PC. */
#define NO_MEMORY       0xf0000000ull
#define IOAPIC          0xfec00000ull

/* Above what the page tables map. */
#define NOT_MAPPED      (64 * GIB)

#define UNKNOWN_PORT    0x5a5a
#define UNKNOWN_MSR     0x0badc0deu
#define DEBUG_EXIT      0xf4
#define POST_PORT       0x80

#define MSR_SYSENTER_IP 0x176u
#define MSR_PAT         0x277u
#define MSR_LSTAR       0xc0000082u

#define CR0_NW          BIT(29)
#define CR0_CD          BIT(30)
#define CR0_PE          BIT(0)
#define CR4_PAE         BIT(5)
#define CR4_OSFXSR      BIT(9)
#define CR4_VMXE        BIT(13)
#define EFER_LME        BIT(8)
#define NOT_CANONICAL   0x0000900000000000ull

#define CPUID_1_ECX_VMX BIT(5)

/* faults32.asm: never returns. */
NORETURN void alignment_storm(void);

static u64 storm_count(void)
{
	return boot_number("n", STORM_DEFAULT);
}

/* --- The guest is lost ---------------------------------------------------- */

static void triple_fault(void)
{
	struct {
		u16 limit;
		u64 base;
	} PACKED none = {0, 0};

	__asm__ volatile("lidt %0\n\tud2" ::"m"(none));
}

static void lose_page_tables(void)
{
	write_cr3(NO_MEMORY);
}

static void jump_to_unmapped(void)
{
	((void (*)(void))NOT_MAPPED)();
}

static void jump_outside_memory(void)
{
	((void (*)(void))NO_MEMORY)();
}

static void page_tables_outside_memory(void)
{
	volatile u64 *pml4 = (volatile u64 *)read_cr3();

	pml4[1] = NO_MEMORY | 3;
	*(volatile u32 *)(512 * GIB) = 1;
}

/* A form that no device driver uses and Umbra does not emulate: MOVLPS. */
static void sse_store_outside_memory(void)
{
	write_cr4(read_cr4() | CR4_OSFXSR);
	__asm__ volatile("movlps %%xmm0, (%0)" ::"r"(NO_MEMORY) : "memory");
	check(true, "sse_store_goes_nowhere", "-");
}

static void halt_forever(void)
{
	cpu_stop();
}

/* --- For ever ------------------------------------------------------------- */

static void loop_forever(void)
{
	interrupts_on();
	for (;;)
		__asm__ volatile("");
}

static void loop_with_interrupts_off(void)
{
	for (;;)
		__asm__ volatile("");
}

static void return_to_same_instruction(struct trap_frame *frame)
{
	(void)frame;
}

static void invalid_opcode_forever(void)
{
	trap_handle(VECTOR_UD, return_to_same_instruction);
	__asm__ volatile("ud2");
}

static void page_fault_forever(void)
{
	trap_handle(VECTOR_PF, return_to_same_instruction);
	*(volatile u8 *)NOT_MAPPED = 0;
}

/*
 * A data breakpoint where the CPU itself pushes the frame of the #DB: each
 * delivery raises the next one and no instruction is ever executed between
 * them. Unless #DB exits, the CPU never leaves the guest again.
 */
static void debug_exception_storm(void)
{
	u64 pushed_at = trap_use_fault_stack(VECTOR_DB) - 8;

	__asm__ volatile("mov %0, %%dr0" ::"r"(pushed_at));
	/* SDM volume 3, "Debug Control Register (DR7)": G0, write, 8 bytes. */
	__asm__ volatile("mov %0, %%dr7" ::"r"(0x90402ull));
	*(volatile u64 *)pushed_at = 0;
	print("#DB during #DB: served, not repeated\n");
}

/* --- The machine must bear it --------------------------------------------- */

static void unknown_port(void)
{
	u8 byte;
	u32 dword;

	out8(UNKNOWN_PORT, 1);
	out16(UNKNOWN_PORT, 1);
	out32(UNKNOWN_PORT, 1);
	byte = in8(UNKNOWN_PORT);
	dword = in32(UNKNOWN_PORT);
	check(byte == 0xff, "unknown_port_reads_ones", "%#x", byte);
	check(dword == 0xffffffff, "unknown_port_reads_ones_32", "%#x", dword);
}

static void all_ports(void)
{
	u32 answering = 0;

	for (u32 port = 0; port < 0x10000; port++)
		answering += in8((u16)port) != 0xff;
	print("ports that answer: %u\n", answering);
	check(true, "all_ports_read", "-");
}

static void expect(const char *name, u32 fault, u32 expected)
{
	check(fault == expected, name, "vector %d instead of %d", (int)fault,
	      (int)expected);
}

static void unknown_msr(void)
{
	u64 value;

	expect("unknown_msr_read", rdmsr_try(UNKNOWN_MSR, &value), VECTOR_GP);
	expect("unknown_msr_write", wrmsr_try(UNKNOWN_MSR, 0), VECTOR_GP);
}

static void all_msrs(void)
{
	static const u32 bases[] = {0, 0x40000000, 0xc0000000, 0xc0010000};
	u32 readable = 0;
	u64 value;

	for (u32 i = 0; i < ARRAY_COUNT(bases); i++)
		for (u32 offset = 0; offset < 0x2000; offset++)
			readable +=
			    rdmsr_try(bases[i] + offset, &value) == NO_FAULT;
	print("MSRs that can be read: %u\n", readable);
	check(readable > 0, "all_msrs_read", "none is readable");
}

#define TRY_AT(instruction, object)                 \
	({                                          \
		register u32 fault_ __asm__("r8");  \
                                                    \
		__asm__ volatile(TRY(instruction)   \
				 : "=&r"(fault_)    \
				 : "m"(object)      \
				 : "memory", "cc"); \
		fault_;                             \
	})

static void bad_control_registers(void)
{
	expect("cr0_paging_without_protection",
	       TRY_WITH("mov %1, %%cr0", read_cr0() & ~CR0_PE), VECTOR_GP);
	expect("cr0_nw_without_cd",
	       TRY_WITH("mov %1, %%cr0", (read_cr0() & ~CR0_CD) | CR0_NW),
	       VECTOR_GP);
	expect("cr0_upper_half",
	       TRY_WITH("mov %1, %%cr0", read_cr0() | BIT(40)), VECTOR_GP);
	expect("cr3_reserved", TRY_WITH("mov %1, %%cr3", read_cr3() | BIT(60)),
	       VECTOR_GP);
	expect("cr4_pae_off_in_long_mode",
	       TRY_WITH("mov %1, %%cr4", read_cr4() & ~CR4_PAE), VECTOR_GP);
	expect("cr4_reserved", TRY_WITH("mov %1, %%cr4", read_cr4() | BIT(40)),
	       VECTOR_GP);
	expect("cr8_reserved", TRY_WITH("mov %1, %%cr8", 16), VECTOR_GP);
	expect("dr7_upper_half", TRY_WITH("mov %1, %%dr7", BIT(40)), VECTOR_GP);
}

static void bad_msrs(void)
{
	expect("efer_reserved", wrmsr_try(MSR_EFER, rdmsr(MSR_EFER) | BIT(63)),
	       VECTOR_GP);
	expect("efer_long_mode_off",
	       wrmsr_try(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_LME), VECTOR_GP);
	expect("lstar_not_canonical", wrmsr_try(MSR_LSTAR, NOT_CANONICAL),
	       VECTOR_GP);
	expect("sysenter_not_canonical",
	       wrmsr_try(MSR_SYSENTER_IP, NOT_CANONICAL), VECTOR_GP);
	expect("fs_base_not_canonical", wrmsr_try(MSR_FS_BASE, NOT_CANONICAL),
	       VECTOR_GP);
	expect("pat_unknown_type", wrmsr_try(MSR_PAT, 2), VECTOR_GP);
	expect("apic_base_reserved",
	       wrmsr_try(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BIT(60)),
	       VECTOR_GP);
}

static void bad_descriptors(void)
{
	struct {
		u16 limit;
		u64 base;
	} PACKED wild = {0xfff, NOT_CANONICAL};

	expect("gdt_not_canonical", TRY_AT("lgdt %1", wild), VECTOR_GP);
	expect("idt_not_canonical", TRY_AT("lidt %1", wild), VECTOR_GP);
	expect("task_register_beyond_gdt", TRY_WITH("ltr %w1", 0x7ff8),
	       VECTOR_GP);
	expect("ldt_of_wrong_type", TRY_WITH("lldt %w1", SELECTOR_CODE64),
	       VECTOR_GP);
	expect("data_from_tss", TRY_WITH("mov %w1, %%ds", SELECTOR_TSS64),
	       VECTOR_GP);
	expect("stack_of_null", TRY_WITH("mov %w1, %%ss", 3), VECTOR_GP);
}

static void invalid_state(void)
{
	bad_control_registers();
	bad_msrs();
	bad_descriptors();
}

static void vmx_instructions(void)
{
	static u64 region[512] ALIGNED(4096);
	u64 address = (u64)region;
	u64 descriptor[2] = {0, 0};

	expect("vmxon", TRY_AT("vmxon %1", address), VECTOR_UD);
	expect("vmclear", TRY_AT("vmclear %1", address), VECTOR_UD);
	expect("vmptrld", TRY_AT("vmptrld %1", address), VECTOR_UD);
	expect("vmptrst", TRY_AT("vmptrst %1", address), VECTOR_UD);
	expect("vmread", TRY_WITH("vmread %1, %%rax", 0), VECTOR_UD);
	expect("vmlaunch", TRY_WITH("vmlaunch", 0), VECTOR_UD);
	expect("vmresume", TRY_WITH("vmresume", 0), VECTOR_UD);
	expect("vmxoff", TRY_WITH("vmxoff", 0), VECTOR_UD);
	expect("invept", TRY_AT("invept %1, %%rax", descriptor), VECTOR_UD);
	expect("invvpid", TRY_AT("invvpid %1, %%rax", descriptor), VECTOR_UD);
	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_VMX))
		expect("cr4_vmxe_without_vmx",
		       TRY_WITH("mov %1, %%cr4", read_cr4() | CR4_VMXE),
		       VECTOR_GP);
}

/* As on a bus where nobody answers. */
static void read_outside_memory(void)
{
	u32 value = *(volatile u32 *)NO_MEMORY;

	check(value == 0xffffffff, "outside_reads_ones", "%#x", value);
}

static void write_outside_memory(void)
{
	u64 value;

	*(volatile u64 *)NO_MEMORY = 1;
	value = *(volatile u64 *)NO_MEMORY;
	check(value == ~0ull, "outside_is_not_written", "%#lx", value);
}

/*
 * By every SSE register: all ones come from where nothing is, and the I/O
 * APIC's select register keeps what is written.
 */
#define MOVE_BY(n)                                                           \
	do {                                                                 \
		__asm__ volatile("movups (%1), %%xmm" #n "\n\t"              \
				 "movups %%xmm" #n ", %0\n\t"                \
				 "movd %2, %%xmm" #n "\n\t"                  \
				 "movd %%xmm" #n ", (%3)"                    \
				 : "=m"(read)                                \
				 : "r"(NO_MEMORY), "r"((n) + 1), "r"(IOAPIC) \
				 : "memory");                                \
		is_right &= read[0] == ~0ull && read[1] == ~0ull &&          \
			    *(volatile u32 *)IOAPIC == (n) + 1;              \
	} while (0)

static void sse_moves_to_devices(void)
{
	u64 read[2];
	bool is_right = true;

	write_cr4(read_cr4() | CR4_OSFXSR);
	MOVE_BY(0);
	MOVE_BY(1);
	MOVE_BY(2);
	MOVE_BY(3);
	MOVE_BY(4);
	MOVE_BY(5);
	MOVE_BY(6);
	MOVE_BY(7);
	MOVE_BY(8);
	MOVE_BY(9);
	MOVE_BY(10);
	MOVE_BY(11);
	MOVE_BY(12);
	MOVE_BY(13);
	MOVE_BY(14);
	MOVE_BY(15);
	check(is_right, "sse_registers_reach_devices", "a value is lost");
}

static void cpuid_storm(void)
{
	for (u64 i = 0; i < storm_count(); i++)
		cpuid((u32)i, (u32)(i >> 8));
	check(true, "cpuid_storm", "-");
}

static void port_storm(void)
{
	for (u64 i = 0; i < storm_count(); i++) {
		out8(POST_PORT, (u8)i);
		in8(POST_PORT);
	}
	check(true, "port_storm", "-");
}

static void string_port_storm(void)
{
	struct boot_range range = boot_free_range();
	u64 count =
	    storm_count() < range.bytes / 4 ? storm_count() : range.bytes / 4;
	void *from = (void *)range.base;
	void *to = (void *)range.base;
	u64 left = count;

	__asm__ volatile("rep outsl"
			 : "+S"(from), "+c"(left)
			 : "d"(POST_PORT)
			 : "memory");
	check(left == 0 && from == (void *)(range.base + count * 4),
	      "string_out_is_whole", "%lu left", left);
	left = count;
	__asm__ volatile("rep insl"
			 : "+D"(to), "+c"(left)
			 : "d"(UNKNOWN_PORT)
			 : "memory");
	check(left == 0 && to == (void *)(range.base + count * 4),
	      "string_in_is_whole", "%lu left", left);
	check(*((u8 *)to - 1) == 0xff, "string_in_writes", "%#x",
	      *((u8 *)to - 1));
}

static void msr_storm(void)
{
	u64 value;

	for (u64 i = 0; i < storm_count(); i++)
		(void)!rdmsr_try(UNKNOWN_MSR, &value);
	check(true, "msr_storm", "-");
}

static void control_register_storm(void)
{
	for (u64 i = 0; i < storm_count(); i++) {
		write_cr0(read_cr0() ^ BIT(16)); /* WP */
		write_cr4(read_cr4() ^ BIT(7));  /* PGE */
		write_cr3(read_cr3());
	}
	check(true, "control_register_storm", "-");
}

static volatile u64 interrupt_count;

static void on_self_ipi(struct trap_frame *frame)
{
	(void)frame;
	if (++interrupt_count < storm_count())
		apic_send(apic_id(), VECTOR_IPI);
	apic_end_of_interrupt();
}

static void interrupt_storm(void)
{
	trap_handle(VECTOR_IPI, on_self_ipi);
	apic_send(apic_id(), VECTOR_IPI);
	while (interrupt_count < storm_count())
		cpu_sleep();
	check(interrupt_count == storm_count(), "interrupt_storm",
	      "%lu interrupts", interrupt_count);
}

static void on_nmi(struct trap_frame *frame)
{
	(void)frame;
	interrupt_count++;
}

static void nmi_storm(void)
{
	trap_handle(VECTOR_NMI, on_nmi);
	for (u64 i = 0; i < storm_count(); i++) {
		u64 before = interrupt_count;

		apic_send_nmi(apic_id());
		for (u32 wait = 0; wait < 1000 && interrupt_count == before;
		     wait++)
			cpu_pause();
	}
	check(interrupt_count == storm_count(), "nmi_storm", "%lu of %lu NMIs",
	      interrupt_count, storm_count());
}

static void on_fast_timer(struct trap_frame *frame)
{
	(void)frame;
	if (++interrupt_count == storm_count())
		apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
	apic_end_of_interrupt();
}

static void timer_storm(void)
{
	trap_handle(VECTOR_TIMER, on_fast_timer);
	apic_write(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, APIC_TIMER_PERIODIC | VECTOR_TIMER);
	apic_write(APIC_TIMER_INITIAL, 1);
	while (interrupt_count < storm_count())
		cpu_sleep();
	/* One more may have been on its way when the timer was masked. */
	check(interrupt_count <= storm_count() + 1, "timer_storm",
	      "%lu interrupts", interrupt_count);
}

/* --- Port 0xf4 in all sizes: must end the run ----------------------------- */

static u8 exit_code(void)
{
	return (u8)boot_number("exit", EXIT_OK);
}

static void run_goes_on(void)
{
	check(false, "exit_ends_the_run", "it goes on");
}

static void exit_by_byte(void)
{
	out8(DEBUG_EXIT, exit_code());
	run_goes_on();
}

static void exit_by_word(void)
{
	out16(DEBUG_EXIT, exit_code());
	run_goes_on();
}

static void exit_by_dword(void)
{
	out32(DEBUG_EXIT, exit_code());
	run_goes_on();
}

static void exit_by_string(void)
{
	u8 code = exit_code();
	const u8 *from = &code;

	__asm__ volatile("outsb" : "+S"(from) : "d"(DEBUG_EXIT) : "memory");
	run_goes_on();
}

struct way {
	const char *word;
	void (*go)(void);
};

static const struct way ways[] = {
    /* The guest is lost; "unmapped" by its own doing, with exit code 3. */
    {"triple", triple_fault},
    {"cr3", lose_page_tables},
    {"jump-unmapped", jump_to_unmapped},
    {"jump-outside", jump_outside_memory},
    {"tables-outside", page_tables_outside_memory},
    {"sse-outside", sse_store_outside_memory},
    /* For ever. */
    {"halt", halt_forever},
    {"loop", loop_forever},
    {"loop-off", loop_with_interrupts_off},
    {"ud-loop", invalid_opcode_forever},
    {"pf-loop", page_fault_forever},
    {"db-storm", debug_exception_storm},
    {"ac-storm", alignment_storm},
    /* The machine must bear it. */
    {"port", unknown_port},
    {"ports", all_ports},
    {"msr", unknown_msr},
    {"msrs", all_msrs},
    {"state", invalid_state},
    {"vmx", vmx_instructions},
    {"read-outside", read_outside_memory},
    {"write-outside", write_outside_memory},
    {"sse-device", sse_moves_to_devices},
    {"cpuid-storm", cpuid_storm},
    {"port-storm", port_storm},
    {"string-storm", string_port_storm},
    {"msr-storm", msr_storm},
    {"cr-storm", control_register_storm},
    {"interrupt-storm", interrupt_storm},
    {"nmi-storm", nmi_storm},
    {"timer-storm", timer_storm},
    /* Ends the run with the code that `exit=` gives. */
    {"exit8", exit_by_byte},
    {"exit16", exit_by_word},
    {"exit32", exit_by_dword},
    {"exit-string", exit_by_string},
};

u8 guest_main(void)
{
	for (u32 i = 0; i < ARRAY_COUNT(ways); i++) {
		if (!boot_has_word(ways[i].word))
			continue;
		print("faults: %s\n", ways[i].word);
		console_drain();
		ways[i].go();
		return result_print();
	}
	print("faults: the command line names none of:");
	for (u32 i = 0; i < ARRAY_COUNT(ways); i++)
		print(" %s", ways[i].word);
	print("\n");
	return EXIT_USAGE;
}
