/* SPDX-License-Identifier: MIT */
/*
 * A guest that looks closely at its local APIC: registers, priorities, ends of
 * interrupts, level-triggered ones, timers, and other CPUs. Each word of its
 * command line is a case; without one all run.
 *
 *	apic=x    the memory-mapped mode
 *	n=N       how often the cases that repeat do it (default 100)
 *
 * On the bare machine the same must come out; only some cases need a
 * hypervisor: `level` (Bochs' I/O APIC keeps no remote IRR), `text` (Bochs' UART
 * leaves the line high when THR is written, so that no edge follows), `odd` (Bochs
 * does not survive it) and `moved` (an APIC that was switched off stays so in
 * Bochs).
 */
#include "guests/lib/guest.h"

#define REPEAT_DEFAULT         100

#define VECTOR_LOW             0x51
#define VECTOR_LOW_TOO         0x52
#define VECTOR_HIGH            0x61
#define VECTOR_LEVEL           0x71
#define VECTOR_TEXT            0x72
#define VECTOR_PIC             0x30 /* eight of them */

#define APIC_PPR               0x0a
#define APIC_LDR               0x0d
#define APIC_DFR               0x0e
#define APIC_ISR               0x10
#define APIC_TMR               0x18
#define APIC_IRR               0x20
#define APIC_SELF_IPI          0x3f

#define ICR_ASSERT             BIT(14)
#define ICR_SELF               (1u << 18)

#define XAPIC                  0xfee00000ul
#define MOVED_XAPIC            0xfef00000ul
#define IOAPIC_SELECT          ((volatile u32 *)0xfec00000)
#define IOAPIC_WINDOW          ((volatile u32 *)0xfec00010)
#define IOAPIC_COM1            0x18 /* the lower half of pin 4's entry */
#define IOAPIC_LEVEL           BIT(15)
#define IOAPIC_REMOTE_IRR      BIT(14)
#define IOAPIC_MASKED          BIT(16)

#define COM1                   0x3f8
#define COM1_ENABLE            (COM1 + 1)
#define COM1_IDENTIFY          (COM1 + 2)
#define COM1_MODEM             (COM1 + 4)
#define COM1_STATUS            (COM1 + 5)
#define COM1_THR_EMPTY         2
#define COM1_STATUS_THR_EMPTY  BIT(5)
#define COM1_OUT2              0x0b /* the interrupt's gate, beside DTR and RTS */

#define CPUID_1_ECX_HYPERVISOR BIT(31)

static u64 repeat_count(void)
{
	return boot_number("n", REPEAT_DEFAULT);
}

static bool is_guest(void)
{
	return cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR;
}

static void same(const char *name, u64 found, u64 expected)
{
	check(found == expected, name, "%#lx instead of %#lx", found, expected);
}

static bool apic_bit(u32 first, u8 vector)
{
	return apic_read((enum apic_register)(first + vector / 32)) >>
		   vector % 32 &
	       1;
}

static void write_cr8(u64 value)
{
	__asm__ volatile("mov %0, %%cr8" ::"r"(value) : "memory");
}

static u64 read_cr8(void)
{
	u64 value;

	__asm__ volatile("mov %%cr8, %0" : "=r"(value));
	return value;
}

/* --- What has come -------------------------------------------------------- */

#define LOG_MAX 16

/* Vectors in the order in which their handlers began. */
static volatile struct {
	u32 count;
	u8 vectors[LOG_MAX];
} came;

static void note(struct trap_frame *frame)
{
	if (came.count < LOG_MAX)
		came.vectors[came.count] = (u8)frame->vector;
	came.count++;
}

static void on_plain(struct trap_frame *frame)
{
	note(frame);
	apic_end_of_interrupt();
}

/* One that the task priority took back on its way; it has no end. */
static void on_spurious(struct trap_frame *frame)
{
	(void)frame;
}

static void forget(void)
{
	came.count = 0;
}

static void let_in(void)
{
	interrupts_on();
	__asm__ volatile("nop");
	interrupts_off();
}

static void came_in_order(const char *name, u32 count, u8 first, u8 second)
{
	same(name, came.count, count);
	if (count > 0)
		same(name, came.vectors[0], first);
	if (count > 1)
		same(name, came.vectors[1], second);
}

static void send_self(u8 vector)
{
	apic_send(apic_id(), vector);
}

/* --- Registers ------------------------------------------------------------ */

static void case_registers(void)
{
	static const struct {
		enum apic_register number;
		u32 value, kept;
	} writes[] = {
	    {APIC_TPR, 0xa5, 0xa5},
	    {APIC_LVT_TIMER, 0x30041, 0x30041},
	    {APIC_LVT_LINT1, 0x10400, 0x10400},
	    {APIC_LVT_ERROR, 0x100fe, 0x100fe},
	    {APIC_TIMER_DIVIDE, 0xa, 0xa},
	    {APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_1, APIC_DIVIDE_BY_1},
	    {APIC_LVT_TIMER, APIC_LVT_MASKED, APIC_LVT_MASKED},
	    {APIC_TPR, 0, 0},
	};
	u32 id = apic_read(APIC_ID), version = apic_read(APIC_VERSION);

	for (u32 i = 0; i < ARRAY_COUNT(writes); i++) {
		apic_write(writes[i].number, writes[i].value);
		same("written", apic_read(writes[i].number), writes[i].kept);
	}
	check((version & 0xff) >= 0x10 && (version & 0xff) < 0x16, "version",
	      "%#x", version);
	same("nothing in service", apic_read((enum apic_register)APIC_PPR), 0);
	apic_write(APIC_TPR, 0x35);
	same("priority", apic_read((enum apic_register)APIC_PPR), 0x35);
	same("cr8", read_cr8(), 3);
	write_cr8(9);
	same("by cr8", apic_read(APIC_TPR), 0x90);
	write_cr8(0);
	apic_write(APIC_ESR, 0);
	same("no error", apic_read(APIC_ESR), 0);
	if (apic_mode() == APIC_XAPIC) {
		apic_write((enum apic_register)APIC_LDR, 0x80000000);
		same("logical id", apic_read((enum apic_register)APIC_LDR),
		     0x80000000);
		apic_write((enum apic_register)APIC_DFR, 0xffffffff);
		same("model", apic_read((enum apic_register)APIC_DFR),
		     0xffffffff);
	}
	same("id stays", apic_read(APIC_ID), id);
}

/* What x2APIC mode does not have raises #GP, written or read. */
static void case_faults(void)
{
	static const u32 unreadable[] = {0x80b, 0x80e, 0x831, 0x83f, 0x8ff};
	static const u32 unwritable[] = {0x802, 0x803, 0x80a, 0x80d,
					 0x810, 0x820, 0x839};
	u64 value;

	if (apic_mode() != APIC_X2APIC)
		return;
	for (u32 i = 0; i < ARRAY_COUNT(unreadable); i++)
		same("read faults", rdmsr_try(unreadable[i], &value),
		     VECTOR_GP);
	for (u32 i = 0; i < ARRAY_COUNT(unwritable); i++)
		same("write faults", wrmsr_try(unwritable[i], 0), VECTOR_GP);
	same("tpr has 8 bits", wrmsr_try(0x808, 0x100), VECTOR_GP);
	same("eoi is 0", wrmsr_try(0x80b, 1), VECTOR_GP);
	/* Bochs 2.7 sends vector 0x41. */
	if (is_guest())
		same("self ipi is a vector", wrmsr_try(0x83f, 0x141),
		     VECTOR_GP);
}

/* --- One CPU's interrupts ------------------------------------------------- */

static void send_by(u32 way, u8 vector)
{
	if (way == 0)
		send_self(vector);
	else if (way == 1)
		apic_write(APIC_ICR, (u32)ICR_ASSERT | ICR_SELF | vector);
	else
		wrmsr(0x800 + APIC_SELF_IPI, vector);
}

static void case_self(void)
{
	u32 ways = apic_mode() == APIC_X2APIC ? 3 : 2;

	for (u64 i = 0; i < repeat_count(); i++) {
		u32 way = (u32)(i % ways);

		forget();
		send_by(way, VECTOR_LOW);
		same("waits", came.count, 0);
		check(apic_bit(APIC_IRR, VECTOR_LOW), "requested",
		      "by way %u: not in IRR", way);
		let_in();
		came_in_order("comes once", 1, VECTOR_LOW, 0);
		check(!apic_bit(APIC_IRR, VECTOR_LOW) &&
			  !apic_bit(APIC_ISR, VECTOR_LOW),
		      "over", "still in IRR or ISR");
		forget();
		interrupts_on();
		send_by(way, VECTOR_LOW);
		while (!came.count)
			cpu_pause();
		interrupts_off();
		came_in_order("comes at once", 1, VECTOR_LOW, 0);
	}
}

/*
 * One that waits while interrupts are off does not come, whatever else the
 * machine is busy with meanwhile: what was just printed is on its way out.
 * (Bochs 2.7 as the CPU that delivers lets it in with the host's interrupts.)
 */
static void case_masked(void)
{
	const u32 lines = 8;
	const volatile u32 *count = &came.count;

	for (u32 i = 0; i < lines; i++) {
		forget();
		print("masked: a line that takes its time to go out, %u\n", i);
		send_by(apic_mode() == APIC_X2APIC ? 2 : 0, VECTOR_LOW);
		interrupts_off(); /* they are, but Bochs needs the word */
		for (u32 j = 0; j < 100000 && !*count; j++)
			; /* without an exit of its own */
		same("does not come", came.count, 0);
		let_in();
		came_in_order("comes later", 1, VECTOR_LOW, 0);
	}
}

static void case_priority(void)
{
	forget();
	send_self(VECTOR_LOW);
	send_self(VECTOR_HIGH);
	send_self(VECTOR_LOW);
	let_in();
	came_in_order("higher first", 2, VECTOR_HIGH, VECTOR_LOW);
	/* Held back by the task priority: its class and below. */
	forget();
	apic_write(APIC_TPR, 0x5f);
	send_self(VECTOR_LOW);
	send_self(VECTOR_HIGH);
	let_in();
	came_in_order("above the task", 1, VECTOR_HIGH, 0);
	write_cr8(5);
	let_in();
	came_in_order("still above", 1, VECTOR_HIGH, 0);
	interrupts_on();
	write_cr8(4);
	__asm__ volatile("nop");
	interrupts_off();
	came_in_order("released by cr8", 2, VECTOR_HIGH, VECTOR_LOW);
	forget();
	write_cr8(15);
	send_self(VECTOR_HIGH);
	let_in();
	same("all held", came.count, 0);
	interrupts_on();
	apic_write(APIC_TPR, 0);
	__asm__ volatile("nop");
	interrupts_off();
	came_in_order("released by tpr", 1, VECTOR_HIGH, 0);
}

static volatile u8 send_in_handler;
static volatile u32 priority_in_handler;
static volatile bool seen_in_service;

/* A handler that lets others in. */
static void on_nesting(struct trap_frame *frame)
{
	note(frame);
	priority_in_handler = apic_read((enum apic_register)APIC_PPR);
	seen_in_service = apic_bit(APIC_ISR, (u8)frame->vector);
	if (send_in_handler)
		send_self(send_in_handler);
	send_in_handler = 0;
	let_in();
	note(frame);
	apic_end_of_interrupt();
}

static void case_nesting(void)
{
	trap_handle(VECTOR_LOW, on_nesting);
	forget();
	send_in_handler = VECTOR_HIGH;
	send_self(VECTOR_LOW);
	let_in();
	same("higher interrupts", came.count, 3);
	same("higher is second", came.vectors[1], VECTOR_HIGH);
	same("priority", priority_in_handler, VECTOR_LOW & 0xf0);
	check(seen_in_service, "in service", "not in ISR");
	/* Of its own class, too, it waits for the end of the interrupt. */
	forget();
	send_in_handler = VECTOR_LOW_TOO;
	send_self(VECTOR_LOW);
	let_in();
	same("same class waits", came.count, 3);
	same("same class is third", came.vectors[2], VECTOR_LOW_TOO);
	trap_handle(VECTOR_LOW, on_plain);
}

static void case_sleep(void)
{
	for (u64 i = 0; i < repeat_count(); i++) {
		forget();
		send_by((u32)(i % 2), VECTOR_LOW);
		cpu_sleep();
		came_in_order("wakes", 1, VECTOR_LOW, 0);
		timer_start(TIMER_BEST, 50);
		while (came.count == 1)
			cpu_sleep();
		came_in_order("timer wakes", 2, VECTOR_LOW, VECTOR_TIMER);
	}
}

static void case_timer(void)
{
	u32 first, second;

	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
	apic_write(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_1);
	apic_write(APIC_TIMER_INITIAL, 0xffffffff);
	first = apic_read(APIC_TIMER_CURRENT);
	second = apic_read(APIC_TIMER_CURRENT);
	check(second < first, "counts down", "%#x, then %#x", first, second);
	same("initial count", apic_read(APIC_TIMER_INITIAL), 0xffffffff);
	forget();
	apic_write(APIC_LVT_TIMER, APIC_TIMER_PERIODIC | VECTOR_TIMER);
	apic_write(APIC_TIMER_INITIAL, 20000);
	while (came.count < 5)
		cpu_sleep();
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
	apic_write(APIC_TIMER_INITIAL, 0);
	let_in();
	same("stands", apic_read(APIC_TIMER_CURRENT), 0);
	/* An interrupt that its LVT entry masks does not come. */
	forget();
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED | VECTOR_TIMER);
	apic_write(APIC_TIMER_INITIAL, 100);
	while (apic_read(APIC_TIMER_CURRENT))
		cpu_pause();
	let_in();
	same("masked", came.count, 0);
}

/* --- Level-triggered: the I/O APIC must hear of the end --------------------
 */

static u32 ioapic_read(u32 number)
{
	*IOAPIC_SELECT = number;
	return *IOAPIC_WINDOW;
}

static void ioapic_write(u32 number, u32 value)
{
	*IOAPIC_SELECT = number;
	*IOAPIC_WINDOW = value;
}

static volatile u32 level_left; /* so often it goes unserved */
static volatile u32 level_remote;

static void on_level(struct trap_frame *frame)
{
	note(frame);
	level_remote += ioapic_read(IOAPIC_COM1) & IOAPIC_REMOTE_IRR ? 1 : 0;
	if (level_left)
		level_left--;
	else
		in8(COM1_IDENTIFY); /* its line falls */
	apic_end_of_interrupt();
}

static void case_level(void)
{
	u32 times = 3, rounds = 5;

	if (!is_guest())
		return;
	trap_handle(VECTOR_LEVEL, on_level);
	ioapic_write(IOAPIC_COM1 + 1, apic_id() << 24);
	ioapic_write(IOAPIC_COM1, (u32)IOAPIC_LEVEL | VECTOR_LEVEL);
	out8(COM1_MODEM, COM1_OUT2);
	for (u32 i = 0; i < rounds; i++) {
		forget();
		level_remote = 0;
		level_left = times;
		out8(COM1_ENABLE, 0);
		out8(COM1_ENABLE, COM1_THR_EMPTY);
		time_delay_us(50);
		for (u32 j = 0; j < 1000 && came.count <= times; j++)
			let_in();
		let_in();
		same("comes until it is served", came.count, times + 1);
		same("in service at the I/O APIC", level_remote, times + 1);
		same("ended", ioapic_read(IOAPIC_COM1) & IOAPIC_REMOTE_IRR, 0);
		/* An edge of another vector between two of them. */
		forget();
		send_self(VECTOR_LOW);
		let_in();
		came_in_order("edge", 1, VECTOR_LOW, 0);
		check(!apic_bit(APIC_TMR, VECTOR_LOW) &&
			  apic_bit(APIC_TMR, VECTOR_LEVEL),
		      "trigger mode", "TMR is wrong");
	}
	out8(COM1_ENABLE, 0);
	in8(COM1_IDENTIFY);
	ioapic_write(IOAPIC_COM1, (u32)IOAPIC_MASKED);
}

/* --- From the PIC, past the local APIC -------------------------------------
 */

static void on_pic(struct trap_frame *frame)
{
	note(frame);
	out8(0x20, 0x20);
}

static void write_pic(u8 mask)
{
	out8(0x20, 0x11);
	out8(0x21, VECTOR_PIC);
	out8(0x21, 4);
	out8(0x21, 1);
	out8(0x21, mask);
}

static void case_pic(void)
{
	const u16 divisor = 1193; /* a millisecond */

	trap_handle(VECTOR_PIC, on_pic);
	forget();
	apic_write(APIC_LVT_LINT0, 7 << 8);
	out8(0x43, 0x34);
	out8(0x40, (u8)divisor);
	out8(0x40, divisor >> 8);
	write_pic(0xfe);
	while (came.count < 3) {
		send_self(VECTOR_LOW);
		cpu_sleep();
	}
	out8(0x21, 0xff);
	apic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
	let_in();
	check(true, "the PIC's come", "-");
}

/* --- Text by interrupts alone ---------------------------------------------
 *
 * A byte for each interrupt of COM1, whose cause nobody reads: only the byte itself
 * takes the transmitter's interrupt back, and each new edge says that it has left.
 */

static const char *volatile text;

static void send_byte(struct trap_frame *frame)
{
	note(frame);
	if (!(in8(COM1_STATUS) & COM1_STATUS_THR_EMPTY))
		return;
	if (*text)
		out8(COM1, (u8)*text++);
	else
		out8(COM1_ENABLE, 0);
}

static void on_text(struct trap_frame *frame)
{
	send_byte(frame);
	apic_end_of_interrupt();
}

static void on_pic_text(struct trap_frame *frame)
{
	send_byte(frame);
	out8(0x20, 0x20);
}

static void send_text(const char *name, const char *all)
{
	const u32 milliseconds = 1000; /* without a byte: none comes any more */
	u32 waited = 0;

	forget();
	text = all;
	out8(COM1_MODEM, COM1_OUT2);
	out8(COM1_ENABLE, COM1_THR_EMPTY);
	while (in8(COM1_ENABLE) && waited < milliseconds) {
		u32 before = came.count;

		let_in();
		time_delay_us(1000);
		waited = came.count == before ? waited + 1 : 0;
	}
	same(name, strlen(text), 0);
	out8(COM1_ENABLE, 0);
	let_in();
}

static void case_text(void)
{
	if (!is_guest())
		return;
	trap_handle(VECTOR_TEXT, on_text);
	ioapic_write(IOAPIC_COM1 + 1, apic_id() << 24);
	ioapic_write(IOAPIC_COM1, VECTOR_TEXT);
	send_text("bytes left", "text by the I/O APIC's interrupts alone\n");
	ioapic_write(IOAPIC_COM1, (u32)IOAPIC_MASKED);
	trap_handle(VECTOR_PIC + 4, on_pic_text);
	apic_write(APIC_LVT_LINT0, 7 << 8);
	write_pic(0xef);
	send_text("bytes left to the PIC",
		  "text by the PIC's interrupts alone\n");
	out8(0x21, 0xff);
	apic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
}

/* --- Other CPUs ----------------------------------------------------------- */

static volatile u32 asked, answered, other_id, others;
static volatile bool other_sleeps, other_ends;

static void on_ask(struct trap_frame *frame)
{
	(void)frame;
	answered++;
	apic_end_of_interrupt();
}

static void work_of_other(u32 index)
{
	if (index != 1)
		return;
	other_id = apic_id();
	others = 1;
	while (!other_ends) {
		if (other_sleeps) {
			cpu_sleep();
		} else {
			interrupts_on();
			cpu_pause();
			interrupts_off();
		}
	}
}

static void case_others(void)
{
	if (smp_expected() < 2)
		return;
	trap_handle(VECTOR_IPI, on_ask);
	smp_start(work_of_other, 1000000);
	for (u32 i = 0; i < 1000 && !others; i++)
		time_delay_us(1000);
	check(others == 1, "another CPU", "does not start");
	if (!others)
		return;
	for (u64 i = 0; i < 2 * repeat_count(); i++) {
		other_sleeps = i >= repeat_count();
		asked++;
		apic_send(other_id, VECTOR_IPI);
		while (answered != asked)
			cpu_pause();
	}
	same("each comes once", answered, asked);
	other_ends = true;
	apic_send(other_id, VECTOR_IPI);
}

/* --- Accesses that nobody makes ------------------------------------------- */

static void case_odd(void)
{
	u64 wide;
	u32 swapped = 0;
	u8 narrow;

	if (!is_guest() || apic_mode() != APIC_XAPIC)
		return;
	apic_write(APIC_TPR, 0x42);
	narrow = *(volatile u8 *)(XAPIC + 0x80);
	same("a byte", narrow, 0x42);
	wide = *(volatile u64 *)(XAPIC + 0x80);
	same("a quadword", (u32)wide, 0x42);
	__asm__ volatile("orl $0x11, (%0)" ::"r"(XAPIC + 0x80) : "memory");
	same("read and written", apic_read(APIC_TPR), 0x53);
	__asm__ volatile("xchgl %0, (%1)"
			 : "+r"(swapped)
			 : "r"(XAPIC + 0x80)
			 : "memory");
	same("exchanged", swapped, 0x53);
	same("by 0", apic_read(APIC_TPR), 0);
	*(volatile u8 *)(XAPIC + 0x88) = 1;
	same("between registers", *(volatile u32 *)(XAPIC + 0x88), 0);
	apic_write((enum apic_register)APIC_ID, 0x55000000);
	same("id is no one's to write", apic_read(APIC_ID), apic_id() << 24);
}

static volatile u32 *here(u32 number)
{
	return (volatile u32 *)(XAPIC + 16ul * number);
}

static volatile u32 *moved(u32 number)
{
	return (volatile u32 *)(MOVED_XAPIC + 16ul * number);
}

/* The registers move, and then become MSRs: nothing is left behind. */
static void case_moved(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);
	u32 version = apic_read(APIC_VERSION);

	if (!is_guest() || apic_mode() != APIC_XAPIC)
		return;
	wrmsr(MSR_APIC_BASE, (base & BITS(11, 0)) | MOVED_XAPIC);
	same("registers", *moved(APIC_VERSION), version);
	same("nothing here", *here(APIC_VERSION), 0xffffffff);
	*here(APIC_TPR) = 0x77;
	same("no memory here", *here(APIC_TPR), 0xffffffff);
	*moved(APIC_TPR) = 0x35;
	same("is the same", read_cr8(), 3);
	*moved(APIC_TPR) = 0;
	forget();
	*moved(APIC_ICR) = (u32)ICR_ASSERT | ICR_SELF | VECTOR_LOW;
	wrmsr(MSR_APIC_BASE, base);
	let_in();
	came_in_order("came", 1, VECTOR_LOW, 0);
	same("and back", *here(APIC_VERSION), version);
	same("nothing there", *moved(APIC_VERSION), 0xffffffff);
	wrmsr(MSR_APIC_BASE, base | BIT(10));
	same("msr", (u32)rdmsr(0x803), version);
	same("none in memory", *here(APIC_VERSION), 0xffffffff);
	forget();
	wrmsr(0x83f, VECTOR_HIGH);
	wrmsr(0x830,
	      (u64)(u32)rdmsr(0x802) << 32 | ICR_ASSERT | (VECTOR_LOW + 0x20));
	same("requested", rdmsr(0x823) >> (VECTOR_HIGH - 0x60) & 1, 1);
	wrmsr(MSR_APIC_BASE, base & ~BIT(11));
	same("off", rdmsr(MSR_APIC_BASE) & BIT(11), 0);
	let_in();
	same("forgotten", came.count, 0);
	wrmsr(MSR_APIC_BASE, base);
	same("reset", *here(APIC_SVR), 0xff);
}

/* --- All ------------------------------------------------------------------ */

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
    {"registers", case_registers},
    {"faults", case_faults},
    {"self", case_self},
    {"masked", case_masked},
    {"priority", case_priority},
    {"nesting", case_nesting},
    {"sleep", case_sleep},
    {"timer", case_timer},
    {"level", case_level},
    {"pic", case_pic},
    {"text", case_text},
    {"others", case_others},
    {"odd", case_odd},
    {"moved", case_moved},
};

static bool is_chosen(u32 index)
{
	bool any = false;

	for (u32 i = 0; i < ARRAY_COUNT(cases); i++)
		any = any || boot_has_word(cases[i].name);
	return !any || boot_has_word(cases[index].name);
}

u8 guest_main(void)
{
	static const u8 plain[] = {VECTOR_LOW, VECTOR_LOW_TOO, VECTOR_HIGH,
				   VECTOR_TIMER};

	if (apic_mode() == APIC_NONE) {
		check(false, "apic", "there is none");
		return result_print();
	}
	for (u32 i = 0; i < ARRAY_COUNT(plain); i++)
		trap_handle(plain[i], on_plain);
	trap_handle(VECTOR_SPURIOUS, on_spurious);
	print("mode %s\n", apic_mode_text());
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		if (!is_chosen(i))
			continue;
		print("interrupts: %s\n", cases[i].name);
		/* Until that is out: see what Bochs does in case_masked(). */
		time_delay_us(5000);
		cases[i].run();
	}
	return result_print();
}
