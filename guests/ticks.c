/* SPDX-License-Identifier: MIT */
/*
 * What single operations cost the guest: one line each for the benchmarks, as
 * bench_print() writes it (guests/lib/bench.h). The loop around the operation
 * is part of the figure; the line `nothing` shows what an empty loop costs.
 *
 *	n=N      how often each is done (default 1000)
 *	best=N   all that so many times, the cheapest counts (default 1): without
 *	         the interrupts of Umbra's own that came in between
 *	cpus=N   with 2 or more: interrupts from one CPU to another, too
 */
#include "guests/lib/guest.h"

#define COUNT_DEFAULT          1000

#define MSR_TSC_ADJUST         0x3bu
#define MSR_KERNEL_GS_BASE     0xc0000102u
#define CR0_WP                 BIT(16)
#define POST_PORT              0x80
#define PIC_MASK_PORT          0x21
#define UART_DATA              0x3f8
#define UART_INTERRUPT_ENABLE  0x3f9
#define UART_MODEM_CONTROL     0x3fc
#define UART_LINE_STATUS       0x3fd
#define NOBODYS_PORT           0x1230
#define IOAPIC_SELECT          ((volatile u32 *)0xfec00000)
#define IOAPIC_WINDOW          ((volatile u32 *)0xfec00010)
#define IOAPIC_COM1            0x18 /* the lower half of pin 4's entry */
#define IOAPIC_MASKED          BIT(16)

#define UART_THR_EMPTY         2
#define UART_OUT2              0x0b

#define CPUID_1_ECX_HYPERVISOR BIT(31)
#define CPUID_7_EBX_TSC_ADJUST BIT(1)

/* --- The operations ------------------------------------------------------- */

static void nothing(void)
{
	__asm__ volatile("");
}

static void do_cpuid(void)
{
	cpuid(0, 0);
}

static void do_vmcall(void)
{
	register u32 fault __asm__("r8");

	/* A number that no hypervisor knows: refused, or #UD where VMCALL is
	 * no instruction. */
	__asm__ volatile(TRY("vmcall") : "=&r"(fault) : "a"(~0ull) : "memory");
}

static void do_port_out(void)
{
	out8(POST_PORT, 0);
}

static void do_port_in(void)
{
	in8(POST_PORT);
}

/* The interrupt controller's mask, which kernels emulate themselves. */
static void do_pic_out(void)
{
	out8(PIC_MASK_PORT, 0xff);
}

static void do_pic_in(void)
{
	in8(PIC_MASK_PORT);
}

static void do_rdtsc(void)
{
	rdtsc();
}

static void do_rdmsr(void)
{
	rdmsr(MSR_TSC_ADJUST);
}

static void do_wrmsr(void)
{
	wrmsr(MSR_TSC_ADJUST, 0);
}

static void do_rdmsr_apic_base(void)
{
	rdmsr(MSR_APIC_BASE);
}

static void do_kernel_gs_base(void)
{
	wrmsr(MSR_KERNEL_GS_BASE, 0);
}

static void do_wbinvd(void)
{
	__asm__ volatile("wbinvd" ::: "memory");
}

static void do_toggle_wp(void)
{
	write_cr0(read_cr0() ^ CR0_WP);
}

static void do_reload_cr3(void)
{
	write_cr3(read_cr3());
}

static void do_cr8(void)
{
	__asm__ volatile("mov %0, %%cr8" ::"r"(0ull));
}

static void do_debug_register(void)
{
	__asm__ volatile("mov %0, %%dr0" ::"r"(0ull));
}

static void do_invlpg(void)
{
	__asm__ volatile("invlpg (%0)" ::"r"(do_invlpg) : "memory");
}

static void do_pause(void)
{
	cpu_pause();
}

/* What a byte of text costs is these two. This one moves no cursor. */
static void do_uart_out(void)
{
	out8(UART_DATA, '\r');
}

static void do_uart_status(void)
{
	in8(UART_LINE_STATUS);
}

static void do_nobody_out(void)
{
	out8(NOBODYS_PORT, 0);
}

static void do_nobody_in(void)
{
	in8(NOBODYS_PORT);
}

static void do_apic_read(void)
{
	apic_read(APIC_TPR);
}

static void do_apic_write(void)
{
	apic_write(APIC_TPR, 0);
}

/* A device's registers in memory: what reads them is emulated. */
static void do_mmio_read(void)
{
	(void)*IOAPIC_WINDOW;
}

static void do_mmio_write(void)
{
	*IOAPIC_SELECT = 0;
}

/* Nothing is in service. */
static void do_end_of_interrupt(void)
{
	apic_end_of_interrupt();
}

static void do_page_fault(void)
{
	register u32 fault __asm__("r8");

	__asm__ volatile(TRY("movb $0, (%1)")
			 : "=&r"(fault)
			 : "r"(64 * GIB)
			 : "memory");
}

/* --- Interrupts ----------------------------------------------------------- */

static volatile u64 interrupt_count;

static void on_interrupt(struct trap_frame *frame)
{
	(void)frame;
	interrupt_count++;
	apic_end_of_interrupt();
}

static void wait_spinning(u64 count_before)
{
	interrupts_on();
	while (interrupt_count == count_before)
		cpu_pause();
	interrupts_off();
}

static void do_self_ipi(void)
{
	u64 before = interrupt_count;

	apic_send(apic_id(), VECTOR_IPI);
	wait_spinning(before);
}

static void do_self_ipi_sleeping(void)
{
	u64 before = interrupt_count;

	apic_send(apic_id(), VECTOR_IPI);
	while (interrupt_count == before)
		cpu_sleep();
}

static void do_timer(void)
{
	u64 before = interrupt_count;

	timer_start(TIMER_BEST, 0);
	wait_spinning(before);
}

static void do_timer_sleeping(void)
{
	u64 before = interrupt_count;

	timer_start(TIMER_BEST, 0);
	while (interrupt_count == before)
		cpu_sleep();
}

/* Of a byte that has left; it takes the interrupt back, and brings the next. */
static void do_uart_interrupt(void)
{
	u64 before = interrupt_count;

	out8(UART_DATA, '\r');
	wait_spinning(before);
}

static void write_ioapic(u32 number, u32 value)
{
	*IOAPIC_SELECT = number;
	*IOAPIC_WINDOW = value;
}

/* --- Interrupts between two CPUs ------------------------------------------ */

enum other_cpu { OTHER_NOT_THERE, OTHER_SPINS, OTHER_SLEEPS };

static volatile enum other_cpu other_cpu;
static volatile u64 other_count; /* what the other CPU has received */
static volatile u32 other_apic_id;

static void on_other(struct trap_frame *frame)
{
	(void)frame;
	other_count++;
	apic_end_of_interrupt();
}

static void work_of_other(u32 index)
{
	if (index != 1)
		return;
	other_apic_id = apic_id();
	other_cpu = OTHER_SPINS;
	for (;;) {
		if (other_cpu == OTHER_SLEEPS) {
			cpu_sleep();
		} else {
			interrupts_on();
			cpu_pause();
			interrupts_off();
		}
	}
}

static void do_ipi(void)
{
	u64 before = other_count;

	apic_send(other_apic_id, VECTOR_IPI + 1);
	while (other_count == before)
		cpu_pause();
}

/* --- Measuring ------------------------------------------------------------ */

/* Inlined, so that the operation is: a call of it would be in the figure. */
static inline __attribute__((always_inline)) void
measure(const char *name, void (*operation)(void))
{
	u64 count = boot_number("n", COUNT_DEFAULT);
	u64 times = boot_number("best", 1);
	struct bench_cost best = {.ticks = UINT64_MAX};

	if (count == 0)
		count = 1;
	operation(); /* whatever happens only once */
	do {
		struct bench_cost cost;

		bench_begin(&cost);
		for (u64 i = 0; i < count; i++)
			operation();
		bench_end(&cost);
		if (cost.ticks < best.ticks)
			best = cost;
	} while (times-- > 1);
	bench_print(name, &best, count);
}

static bool has_tsc_adjust(void)
{
	return cpuid(0, 0).eax >= 7 && cpuid(7, 0).ebx & CPUID_7_EBX_TSC_ADJUST;
}

static void measure_instructions(void)
{
	measure("nothing", nothing);
	measure("cpuid", do_cpuid);
	if (cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR)
		measure("vmcall", do_vmcall);
	measure("port_out", do_port_out);
	measure("port_in", do_port_in);
	measure("pic_out", do_pic_out);
	measure("pic_in", do_pic_in);
	measure("uart_status", do_uart_status);
	measure("uart_out", do_uart_out);
	measure("nobody_in", do_nobody_in);
	measure("nobody_out", do_nobody_out);
	measure("rdtsc", do_rdtsc);
	if (has_tsc_adjust()) {
		measure("rdmsr_tsc_adjust", do_rdmsr);
		measure("wrmsr_tsc_adjust", do_wrmsr);
	}
	measure("wrmsr_kernel_gs_base", do_kernel_gs_base);
	measure("wbinvd", do_wbinvd);
	measure("toggle_cr0_wp", do_toggle_wp);
	measure("reload_cr3", do_reload_cr3);
	measure("cr8", do_cr8);
	measure("debug_register", do_debug_register);
	measure("invlpg", do_invlpg);
	measure("pause", do_pause);
	measure("page_fault", do_page_fault);
	measure("mmio_read", do_mmio_read);
	measure("mmio_write", do_mmio_write);
}

static void measure_interrupts(void)
{
	trap_handle(VECTOR_TIMER, on_interrupt);
	trap_handle(VECTOR_IPI, on_interrupt);
	measure("rdmsr_apic_base", do_rdmsr_apic_base);
	measure("apic_read", do_apic_read);
	measure("apic_write", do_apic_write);
	measure("apic_eoi", do_end_of_interrupt);
	measure("self_ipi", do_self_ipi);
	measure("self_ipi_sleeping", do_self_ipi_sleeping);
	measure("timer", do_timer);
	measure("timer_sleeping", do_timer_sleeping);
}

/*
 * Text by interrupts: bytes while one waits (a kernel that fills the FIFO in its
 * handler), and one for each.
 */
static void measure_uart_interrupts(void)
{
	write_ioapic(IOAPIC_COM1 + 1, apic_id() << 24);
	write_ioapic(IOAPIC_COM1, VECTOR_IPI);
	out8(UART_MODEM_CONTROL, UART_OUT2);
	out8(UART_INTERRUPT_ENABLE, UART_THR_EMPTY);
	measure("uart_out_interrupts", do_uart_out);
	measure("uart_interrupt", do_uart_interrupt);
	out8(UART_INTERRUPT_ENABLE, 0);
	write_ioapic(IOAPIC_COM1, (u32)IOAPIC_MASKED);
}

static void measure_other_cpu(void)
{
	trap_handle(VECTOR_IPI + 1, on_other);
	if (smp_expected() < 2)
		return;
	smp_start(work_of_other, 1000000);
	check(other_cpu == OTHER_SPINS, "other_cpu_starts", "it does not");
	if (other_cpu != OTHER_SPINS)
		return;
	measure("ipi", do_ipi);
	other_cpu = OTHER_SLEEPS;
	do_ipi();
	measure("ipi_to_sleeping", do_ipi);
}

u8 guest_main(void)
{
	measure_instructions();
	if (apic_mode() != APIC_NONE) {
		measure_interrupts();
		if (cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR)
			measure_uart_interrupts();
		measure_other_cpu();
	}
	check(true, "measured", "-");
	return result_print();
}
