/* SPDX-License-Identifier: MIT */
/*
 * A guest that does whatever comes to its mind: MSRs, ports, devices'
 * registers, VMX instructions, CPUID, control and debug registers, descriptors,
 * page tables, its APIC, code that it writes itself. What comes to its mind
 * follows from a seed; exceptions bring it back, and it goes on.
 *
 *	seed=N    the first seed (default 1)
 *	seeds=N   how many (default 20); 0: without end
 *	ops=N     operations for each (default 100)
 *	only=N    nothing but operation N of the table
 *	wild      also what may end it: resets, broken tables, random code; then
 *	          the seed is the time
 *	talk      each operation is named before it is done
 *
 * It must not bring down the machine, which its neighbours are to show. By
 * itself it passes if it comes to its end.
 */
#include "guests/lib/guest.h"

#define SEEDS_DEFAULT      20
#define OPERATIONS_DEFAULT 100

#define WINDOW             (512 * GIB) /* of the page tables that it breaks */
#define SOUP_STEPS         64          /* instructions of random code */
#define RFLAGS_TF          BIT(8)
#define RFLAGS_IF          BIT(9)

#define DEBUG_EXIT         0xf4
#define ACPI_FIRST         0x600
#define ACPI_LAST          0x60f
#define RESET_PORT         0xcf9
#define KEYBOARD_PORT      0x64
#define PORT_92            0x92

#define MSR_X2APIC_FIRST   0x800u
#define MSR_X2APIC_ICR     0x830u
/* In memory; and what lies so near that a string would reach it. */
#define ICR_FROM           0xfee00280ull
#define ICR_BYTES          0x90
/* Where its image lies, and what of a string would reach into it. */
#define STRING_BYTES       1024
#define LOW_TO             0xa0000ull
#define IMAGE_FROM         (0x100000ull - STRING_BYTES)
#define IMAGE_TO           0x400000ull
#define ICR_INIT           (5u << 8)
#define ICR_MODE           (7u << 8)

#define APIC_BASE_X2APIC   BIT(10)
#define APIC_BASE_ENABLE   BIT(11)
#define DR7_RESET          0x400ull
#define PAGE_PRESENT       BIT(0)
#define PAGE_LARGE         BIT(7)

/* hostile64.asm */
bool attempt(void (*operation)(void));
void run_by_steps(const void *code);
extern const u8 attempt_return[];
extern u64 attempt_stack;
typedef void odd_instruction(u64 rdi, u64 rsi, u64 rdx, u64 rcx);
extern odd_instruction *const odd_instructions[], *const odd_instructions_end[];

static bool is_wild, talks, window_has_devices;
static u64 random_state;
static volatile u64 exception_count, interrupt_count, soup_steps;
static u64 kernel_cr0, kernel_cr3, kernel_cr4, kernel_efer, kernel_gs;
static u8 playground[4 * 4096] ALIGNED(4096);
static u8 soup[4096] ALIGNED(4096);
static u64 tables[4][512] ALIGNED(4096);

static u64 draw(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dull;
}

static u64 below(u64 end)
{
	return (draw() >> 11) % end;
}

/* Numbers that are likely to matter. */
static u64 draw_value(void)
{
	switch (below(8)) {
	case 0:
		return 0;
	case 1:
		return ~0ull;
	case 2:
		return BIT(below(64));
	case 3:
		return ~BIT(below(64));
	case 4:
		return below(256);
	case 5:
		return (u32)draw();
	case 6:
		return (u64)playground + below(sizeof(playground));
	default:
		return draw();
	}
}

/* Devices, holes, the end of memory, what is not canonical, its own. */
static u64 draw_any_address(void)
{
	static const u64 places[] = {
	    0xfee00000, 0xfec00000, 0xe0000000, 0xc0000000,
	    0xf0000000, 0xa0000,    0xe0000,    0xfffff000,
	};

	switch (below(4)) {
	case 0:
		return (u64)playground + below(sizeof(playground));
	case 1:
		return draw_value();
	default:
		return places[below(ARRAY_COUNT(places))] +
		       (below(4) ? below(4096) & ~3ull : below(4096));
	}
}

/* Through the APIC's command register it could reset itself, and without its
 * own code and tables it could not go on. */
static bool would_end_it(u64 address)
{
	return address - ICR_FROM < ICR_BYTES || address < LOW_TO ||
	       (address >= IMAGE_FROM && address < IMAGE_TO &&
		address - (u64)playground >= sizeof(playground) - STRING_BYTES);
}

static u64 draw_address(void)
{
	u64 address = draw_any_address();

	return !is_wild && would_end_it(address) ? (u64)playground : address;
}

/* --- Coming back ---------------------------------------------------------- */

static void on_exception(struct trap_frame *frame)
{
	exception_count++;
	__asm__ volatile("mov %0, %%dr7" ::"r"(DR7_RESET));
	if (!attempt_stack) {
		/* A breakpoint that was left behind, while it cleans up. */
		frame->rflags &= ~RFLAGS_TF;
		if (frame->vector == VECTOR_DB)
			return;
		print_emergency("RESULT FAIL vector %lu at %#lx\n",
				frame->vector, frame->rip);
		guest_exit(EXIT_EXCEPTION);
	}
	frame->rip = (u64)attempt_return;
	frame->cs = SELECTOR_CODE64;
	frame->ss = SELECTOR_DATA;
	frame->rsp = attempt_stack;
	frame->rflags = BIT(1);
}

/* Random code goes step by step, and not for ever. */
static void on_step(struct trap_frame *frame)
{
	if (soup_steps && --soup_steps &&
	    frame->rip - (u64)soup < sizeof(soup)) {
		frame->rflags |= RFLAGS_TF;
		return;
	}
	soup_steps = 0;
	on_exception(frame);
}

/* In whichever mode the APIC has been left. */
static void write_apic(u32 number, u32 value)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	if (base & APIC_BASE_X2APIC)
		(void)wrmsr_try(MSR_X2APIC_FIRST + number, value);
	else if (base & APIC_BASE_ENABLE)
		*(volatile u32 *)(0xfee00000ull + 16ul * number) = value;
}

/* A source that never stops would leave no time for anything else. */
static void silence_apic(void)
{
	static const u8 sources[] = {APIC_LVT_TIMER, 0x33,
				     0x34,           APIC_LVT_LINT0,
				     APIC_LVT_LINT1, APIC_LVT_ERROR};

	for (u32 i = 0; i < ARRAY_COUNT(sources); i++)
		write_apic(sources[i], APIC_LVT_MASKED);
}

static void on_interrupt(struct trap_frame *frame)
{
	write_apic(APIC_EOI, 0);
	if (++interrupt_count % 64)
		return;
	silence_apic();
	/* It may be a device's: a line that stays. */
	if (attempt_stack)
		on_exception(frame);
	else
		frame->rflags &= ~RFLAGS_IF;
}

static void on_nmi(struct trap_frame *frame)
{
	(void)frame;
	if (!(++interrupt_count % 64))
		silence_apic();
}

static void come_back_from_everything(void)
{
	for (u32 vector = 0; vector < 256; vector++)
		trap_handle(vector, vector < VECTOR_EXCEPTIONS ? on_exception
							       : on_interrupt);
	for (u32 vector = 0; vector < VECTOR_EXCEPTIONS; vector++)
		(void)trap_use_fault_stack(vector);
	trap_handle(VECTOR_DB, on_step);
	trap_handle(VECTOR_NMI, on_nmi);
	kernel_cr0 = read_cr0();
	kernel_cr3 = read_cr3();
	kernel_cr4 = read_cr4();
	kernel_efer = rdmsr(MSR_EFER);
	kernel_gs = rdmsr(MSR_GS_BASE);
}

/* What an operation may have left behind that the next could not bear. */
static void clean_up(void)
{
	interrupts_off();
	__asm__ volatile("mov %0, %%dr7" ::"r"(DR7_RESET));
	wrmsr(MSR_GS_BASE, kernel_gs);
	wrmsr(MSR_EFER, kernel_efer);
	wrmsr(MSR_SYSENTER_CS, 0); /* else SYSENTER leads anywhere */
	write_cr0(kernel_cr0);
	if (read_cr3() != kernel_cr3)
		write_cr3(kernel_cr3);
	write_cr4(kernel_cr4);
	__asm__ volatile("mov %0, %%ds\n\tmov %0, %%es\n\tmov %0, %%ss"
			 :
			 : "r"(SELECTOR_DATA)
			 : "memory");
	soup_steps = 0;
}

/* --- Operations -------------------------------------------------------------
 */

static u32 draw_msr(void)
{
	static const u32 bases[] = {
	    0,     0x170,      0x270,      0x480,      0x800,
	    0x6e0, 0xc0000080, 0xc0000100, 0x40000000, 0x4b564d00};

	if (!below(8))
		return (u32)draw();
	return bases[below(ARRAY_COUNT(bases))] + (u32)below(64);
}

/* INIT to itself is a reset. */
static bool may_write(u32 msr, u64 value)
{
	return is_wild || msr != MSR_X2APIC_ICR ||
	       (value & ICR_MODE) != ICR_INIT;
}

static void read_msr(void)
{
	u64 value;

	(void)rdmsr_try(draw_msr(), &value);
}

static void write_msr(void)
{
	u32 msr = draw_msr();
	u64 value = draw_value();

	if (may_write(msr, value))
		(void)wrmsr_try(msr, value);
}

static void touch_apic(void)
{
	u32 msr = MSR_X2APIC_FIRST + (u32)below(0x40);
	u64 value = below(2) ? draw_value() : below(0x100000);

	if (may_write(msr, value))
		(void)wrmsr_try(msr, value);
	interrupts_on();
	for (u32 i = 0; i < 20; i++)
		cpu_pause();
}

/* Disabled, xAPIC, x2APIC, and what is none of these. */
static void change_apic_mode(void)
{
	(void)wrmsr_try(MSR_APIC_BASE, 0xfee00000 | below(16) << 8);
	if (!below(4))
		(void)wrmsr_try(MSR_APIC_BASE, draw_value());
}

/* Whether an access of up to four bytes touches ports `first` to `last`. */
static bool touches(u32 port, u32 first, u32 last)
{
	return port + 3 >= first && port <= last;
}

static bool may_use_port(u32 port)
{
	if (touches(port, DEBUG_EXIT, DEBUG_EXIT + 3) ||
	    touches(port, ACPI_FIRST, ACPI_LAST))
		return false;
	return is_wild || !(touches(port, KEYBOARD_PORT, KEYBOARD_PORT) ||
			    touches(port, PORT_92, PORT_92) ||
			    touches(port, RESET_PORT, RESET_PORT));
}

static u16 draw_port(void)
{
	static const u16 ports[] = {0x20,  0xa0, 0x40,  0x61,  0x70,   0x3f8,
				    0x4d0, 0x80, 0xcf8, 0xcfc, 0xc000, 0x60};
	u32 port;

	do {
		port = below(4)
			   ? ports[below(ARRAY_COUNT(ports))] + (u32)below(16)
			   : (u32)below(0x10000);
	} while (!may_use_port(port));
	return (u16)port;
}

static void use_port(void)
{
	u16 port = draw_port();
	u32 value = (u32)draw_value();

	switch (below(6)) {
	case 0:
		(void)in8(port);
		break;
	case 1:
		(void)in16(port);
		break;
	case 2:
		(void)in32(port);
		break;
	case 3:
		out8(port, (u8)value);
		break;
	case 4:
		out16(port, (u16)value);
		break;
	default:
		out32(port, value);
		break;
	}
}

static void use_port_by_string(void)
{
	u64 at = draw_address(), count = below(100);
	u16 port = draw_port();

	if (below(2))
		__asm__ volatile("rep outsl"
				 : "+S"(at), "+c"(count)
				 : "d"(port)
				 : "memory");
	else
		__asm__ volatile("rep insb"
				 : "+D"(at), "+c"(count)
				 : "d"(port)
				 : "memory");
}

/* Null on purpose, too: in this way the analyser does not mind. */
static volatile u8 *anywhere(void)
{
	volatile u8 *at;

	__asm__("" : "=r"(at) : "0"(draw_address()));
	return at;
}

static void access_memory(void)
{
	volatile u8 *at = anywhere();
	u64 value = draw_value();

	switch (below(8)) {
	case 0:
		(void)*(volatile u64 *)at;
		break;
	case 1:
		(void)*(volatile u32 *)at;
		break;
	case 2:
		*(volatile u32 *)at = (u32)value;
		break;
	case 3:
		*(volatile u64 *)at = value;
		break;
	case 4:
		*at = (u8)value;
		break;
	case 5:
		__atomic_fetch_add((volatile u32 *)at, (u32)value,
				   __ATOMIC_SEQ_CST);
		break;
	case 6:
		__asm__ volatile("lock btsq %1, %0"
				 : "+m"(*(volatile u64 *)at)
				 : "r"(value & 63)
				 : "cc");
		break;
	default:
		__asm__ volatile("xchg %w1, %0"
				 : "+m"(*(volatile u16 *)at)
				 : "r"(value));
		break;
	}
}

static void copy_by_string(void)
{
	u64 from = draw_address(), to = draw_address(), count = below(70);

	if (to < (u64)playground || to >= (u64)playground + sizeof(playground))
		count = below(4);
	switch (below(3)) {
	case 0:
		__asm__ volatile("rep movsb"
				 : "+S"(from), "+D"(to), "+c"(count)
				 :
				 : "memory");
		break;
	case 1:
		__asm__ volatile("rep movsq"
				 : "+S"(from), "+D"(to), "+c"(count)
				 :
				 : "memory");
		break;
	default:
		__asm__ volatile("repe cmpsb"
				 : "+S"(from), "+D"(to), "+c"(count)
				 :
				 : "memory", "cc");
		break;
	}
}

static void odd_one(void)
{
	u64 count = (u64)(odd_instructions_end - odd_instructions);
	odd_instruction *instruction = odd_instructions[below(count)];

	instruction(draw_value(),
		    (u64)playground + (below(sizeof(playground) - 64) & ~7ull),
		    draw_value(), below(16));
}

static void ask_cpuid(void)
{
	(void)cpuid(below(2) ? (u32)draw_value() : (u32)below(0x20),
		    (u32)draw_value());
	(void)cpuid(0x40000000 + (u32)below(0x100), (u32)below(8));
}

static void change_control_register(void)
{
	switch (below(5)) {
	case 0:
		write_cr0(kernel_cr0 ^ BIT(below(64)));
		break;
	case 1:
		write_cr4(kernel_cr4 ^ BIT(below(64)));
		break;
	case 2:
		/* Of the address bits none: that is what `wild` is for. */
		write_cr3(kernel_cr3 ^
			  BIT(below(2) ? below(12) : 52 + below(12)));
		break;
	case 3:
		__asm__ volatile("mov %0, %%cr8" ::"r"(draw_value()));
		break;
	default:
		(void)wrmsr_try(MSR_EFER, kernel_efer ^ BIT(below(64)));
		break;
	}
	ask_cpuid();
	*(volatile u32 *)0xf0000000ull = 1;
}

static void change_debug_register(void)
{
	u64 address = draw_address(), on = draw() & 0xffff03ffull;

	__asm__ volatile("mov %0, %%dr0" ::"r"(address));
	__asm__ volatile("mov %0, %%dr1" ::"r"(draw_value()));
	__asm__ volatile("mov %0, %%dr2" ::"r"(attempt_stack - below(256)));
	__asm__ volatile("mov %0, %%dr3" ::"r"((u64)playground));
	__asm__ volatile("mov %0, %%dr6" ::"r"(draw() & 0xffffffff));
	__asm__ volatile("mov %0, %%dr7" ::"r"(on));
	ask_cpuid();
	*(volatile u8 *)playground = 1;
	if (address < (u64)playground + sizeof(playground))
		(void)*(volatile u8 *)address;
}

static void load_segment(void)
{
	static u64 gdt[16];
	struct {
		u16 limit;
		u64 base;
	} PACKED kept, pointer = {sizeof(gdt) - 1, (u64)gdt};
	u64 selector = below(2) ? below(128) : draw();

	__asm__ volatile("sgdt %0" : "=m"(kept));
	memcpy(gdt, (void *)kept.base, 48);
	for (u32 i = 6; i < 16; i++)
		gdt[i] = below(2) ? draw() | BIT(47) : draw();
	__asm__ volatile("lgdt %0" ::"m"(pointer));
	switch (below(6)) {
	case 0:
		(void)TRY_WITH("mov %w1, %%ds", selector);
		break;
	case 1:
		(void)TRY_WITH("mov %w1, %%fs", selector);
		break;
	case 2:
		(void)TRY_WITH("mov %w1, %%ss", selector);
		break;
	case 3:
		(void)TRY_WITH("lldt %w1", selector);
		break;
	case 4:
		(void)TRY_WITH("lsl %1, %%rax", selector);
		break;
	default:
		(void)TRY_WITH("mov %w1, %%es", selector);
		break;
	}
	ask_cpuid();
	__asm__ volatile("lgdt %0" ::"m"(kept));
}

/* Far returns and IRETs to descriptors that are none, or not for this. */
static void jump_far(void)
{
	u64 selector = below(2) ? below(64) : below(0x10000);

	/* As 32-bit code what follows is anything. */
	if (!is_wild && (selector & ~3ull) == SELECTOR_CODE32)
		return;
	__asm__ volatile("push %0\n\t"
			 "lea 1f(%%rip), %%rax\n\t"
			 "push %%rax\n\t"
			 "lretq\n"
			 "1:"
			 :
			 : "r"(selector)
			 : "rax", "memory");
}

/*
 * An entry of four levels of its own for a window. Where it leads to devices no
 * code is run (that ends a guest), and nowhere to its own code.
 */
static u64 draw_entry(u32 level)
{
	u64 entry = draw() & (BITS(63, 52) | BITS(11, 1));
	u64 target = level ? (u64)tables[level - 1] : (u64)playground;

	if (below(4))
		entry &= BITS(8, 1);
	if (level == 0 && window_has_devices && below(2))
		target = 0xe0000000 | (draw() & BITS(28, 12));
	if (level)
		entry &= ~PAGE_LARGE;
	if ((level == 1 || level == 2) && window_has_devices && !below(8)) {
		entry |= PAGE_LARGE;
		target = 0xc0000000 | (draw() & BITS(29, 12));
	}
	return entry | (below(16) ? PAGE_PRESENT : 0) | target;
}

static void break_page_tables(void)
{
	static u64 top[512] ALIGNED(4096);
	volatile u8 *at =
	    (volatile u8 *)(WINDOW + below(8) * 4096 + below(4096));

	window_has_devices = below(2);
	memcpy(top, (void *)kernel_cr3, sizeof(top));
	top[1] = draw_entry(3);
	for (u32 level = 0; level < 3; level++)
		for (u32 i = 0; i < 8; i++)
			tables[level][i] = draw_entry(level);
	write_cr3((u64)top);
	switch (below(window_has_devices ? 3 : 4)) {
	case 0:
		(void)*(volatile u64 *)at;
		break;
	case 1:
		*at = 1;
		break;
	case 2:
		__atomic_fetch_add((volatile u32 *)at, 1, __ATOMIC_SEQ_CST);
		break;
	default:
		/* RET, wherever it lands. */
		memset(playground, 0xc3, sizeof(playground));
		((void (*)(void))(u64)at)();
		break;
	}
}

/* Code that changes under the CPU's feet: MOV EAX, n; RET. */
static void modify_own_code(void)
{
	u32 (*code)(void) = (u32(*)(void))soup;

	for (u32 i = 0; i < 20; i++) {
		u32 number = (u32)draw(), got;

		soup[0] = 0xb8;
		memcpy(&soup[1], &number, 4);
		soup[5] = 0xc3;
		got = code();
		check(got == number, "own_code_is_what_was_written",
		      "%#x instead of %#x", got, number);
	}
}

static void raise_interrupt(void)
{
	apic_send(apic_id(), (u8)below(256));
	if (!below(4))
		apic_send_nmi(apic_id());
	interrupts_on();
	for (u32 i = 0; i < 20; i++)
		cpu_pause();
}

static void step_over_odd_one(void)
{
	soup_steps = SOUP_STEPS;
	__asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" ::
			     : "memory", "cc");
	odd_one();
}

/* --- What may end it --------------------------------------------------------
 */

static void run_soup(void)
{
	for (u32 i = 0; i < sizeof(soup); i++)
		soup[i] = (u8)draw();
	soup_steps = SOUP_STEPS;
	run_by_steps(soup + below(64));
}

static void lose_tables(void)
{
	struct {
		u16 limit;
		u64 base;
	} PACKED pointer = {(u16)draw(), draw_address()};

	if (below(16))
		return;
	switch (below(3)) {
	case 0:
		__asm__ volatile("lidt %0" ::"m"(pointer));
		break;
	case 1:
		__asm__ volatile("lgdt %0" ::"m"(pointer));
		break;
	default:
		write_cr3(draw() & BITS(23, 12));
		break;
	}
	raise_interrupt();
}

static void ask_for_reset(void)
{
	if (below(64))
		return;
	switch (below(3)) {
	case 0:
		out8(RESET_PORT, 6);
		break;
	case 1:
		out8(KEYBOARD_PORT, 0xfe);
		break;
	default:
		(void)wrmsr_try(MSR_X2APIC_ICR, ICR_INIT | 1u << 14);
		break;
	}
}

struct operation {
	const char *name;
	void (*go)(void);
};

static const struct operation operations[] = {
    {"read_msr", read_msr},
    {"write_msr", write_msr},
    {"touch_apic", touch_apic},
    {"change_apic_mode", change_apic_mode},
    {"use_port", use_port},
    {"use_port_by_string", use_port_by_string},
    {"access_memory", access_memory},
    {"copy_by_string", copy_by_string},
    {"odd_one", odd_one},
    {"ask_cpuid", ask_cpuid},
    {"change_control_register", change_control_register},
    {"change_debug_register", change_debug_register},
    {"load_segment", load_segment},
    {"jump_far", jump_far},
    {"break_page_tables", break_page_tables},
    {"modify_own_code", modify_own_code},
    {"raise_interrupt", raise_interrupt},
    {"step_over_odd_one", step_over_odd_one},
    /* Only with `wild`. */
    {"run_soup", run_soup},
    {"lose_tables", lose_tables},
    {"ask_for_reset", ask_for_reset},
};
#define WILD_COUNT 3

static u32 draw_operation(void)
{
	u64 only = boot_number("only", ARRAY_COUNT(operations));
	u32 count = ARRAY_COUNT(operations) - (is_wild ? 0 : WILD_COUNT);

	return only < ARRAY_COUNT(operations) ? (u32)only : (u32)below(count);
}

static void run_seed(u64 seed)
{
	u64 count = boot_number("ops", OPERATIONS_DEFAULT);

	random_state = seed * 0x9e3779b97f4a7c15ull | 1;
	for (u64 i = 0; i < count; i++) {
		const struct operation *operation =
		    &operations[draw_operation()];

		if (talks) {
			console_init();
			print("%lu.%lu %s\n", seed, i, operation->name);
			console_drain();
		}
		(void)attempt(operation->go);
		clean_up();
	}
}

u8 guest_main(void)
{
	u64 seeds = boot_number("seeds", SEEDS_DEFAULT);
	u64 first;

	is_wild = boot_has_word("wild");
	talks = boot_has_word("talk");
	first = is_wild ? rdtsc() : boot_number("seed", 1);
	come_back_from_everything();
	print("hostile: from seed %lu\n", first);
	for (u64 i = 0; seeds == 0 || i < seeds; i++)
		run_seed(first + i);
	silence_apic();
	console_init(); /* it has talked to the UART, too */
	print("hostile: %lu seeds, %lu exceptions, %lu interrupts\n", seeds,
	      exception_count, interrupt_count);
	check(exception_count > 0, "exceptions_come", "none came");
	return result_print();
}
