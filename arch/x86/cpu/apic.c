/* SPDX-License-Identifier: MIT */
/* The local APIC, in either of its two modes. */
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/paging.h"
#include "arch/x86/cpu/traps.h"
#include "arch/x86/cpu/tsc.h"
#include "lib/check.h"
#include "lib/x86.h"
#include "mm/phys.h"

/* Register offsets of the xAPIC page; x2APIC MSRs are 0x800 + offset / 16. */
enum apic_register {
	APIC_ID = 0x20,
	APIC_TPR = 0x80,
	APIC_EOI = 0xb0,
	APIC_SPURIOUS = 0xf0,
	APIC_ESR = 0x280,
	APIC_ICR = 0x300,
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_TIMER_INITIAL = 0x380,
	APIC_TIMER_CURRENT = 0x390,
	APIC_TIMER_DIVIDE = 0x3e0,
};

#define SPURIOUS_APIC_ENABLE BIT(8)
#define LVT_MASKED           BIT(16)
#define LVT_DELIVERY_NMI     (4u << 8)
#define LVT_TSC_DEADLINE     (2u << 17)
#define DIVIDE_BY_1          0xbu

#define ICR_DELIVERY_FIXED   (0u << 8)
#define ICR_DELIVERY_NMI     (4u << 8)
#define ICR_DELIVERY_INIT    (5u << 8)
#define ICR_DELIVERY_STARTUP (6u << 8)
#define ICR_PENDING          BIT(12)
#define ICR_ASSERT           BIT(14)

static bool x2apic, avoids_x2apic;
static hpa_t xapic_page;

/* APIC timer ticks per TSC tick as a fraction of 2^32; xAPIC timers only. */
static u64 timer_per_tsc;

/*
 * The register page tolerates aligned 32-bit accesses only. (Bochs 2.7 panics
 * on any other, but the manual does not allow them either.)
 */
static volatile u32 *xapic_register(enum apic_register reg)
{
	return phys_ptr(hpa_add(xapic_page, reg));
}

static u32 apic_read(enum apic_register reg)
{
	if (x2apic)
		return (u32)insn_rdmsr(MSR_X2APIC_FIRST + reg / 16);
	return *xapic_register(reg);
}

static void apic_write(enum apic_register reg, u32 value)
{
	if (x2apic)
		insn_wrmsr(MSR_X2APIC_FIRST + reg / 16, value);
	else
		*xapic_register(reg) = value;
}

/*
 * x2APIC whenever the CPU has it and the firmware can do with it: handlers of its
 * own that know xAPIC only would lose interrupts. Once on it cannot go back to
 * xAPIC without a detour over "disabled", so the firmware's choice of x2APIC
 * stands.
 */
static void choose_mode(void)
{
	u64 base = insn_rdmsr(MSR_IA32_APIC_BASE);

	x2apic = (cpu_features.x2apic && !avoids_x2apic) ||
		 (base & APIC_BASE_X2APIC);
	if (!x2apic) {
		xapic_page = hpa(base & APIC_BASE_ADDRESS);
		paging_map_device(xapic_page, PAGE_4K);
	}
}

void apic_avoid_x2apic(void)
{
	avoids_x2apic = true;
}

static void enable_mode(void)
{
	u64 base = insn_rdmsr(MSR_IA32_APIC_BASE);

	base |= APIC_BASE_ENABLE;
	insn_wrmsr(MSR_IA32_APIC_BASE, base);
	if (x2apic)
		insn_wrmsr(MSR_IA32_APIC_BASE, base | APIC_BASE_X2APIC);
}

void apic_init(void)
{
	if (cpu_this()->index == 0)
		choose_mode();
	enable_mode();
	apic_write(APIC_SPURIOUS, SPURIOUS_APIC_ENABLE | VECTOR_SPURIOUS);
	apic_write(APIC_TPR, 0);
	/* The legacy PIC is masked; its wire would only bring noise. */
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	apic_write(APIC_LVT_LINT1, LVT_DELIVERY_NMI);
	apic_write(APIC_LVT_ERROR, LVT_MASKED | VECTOR_APIC_ERROR);
	apic_timer_stop();
	apic_end_of_interrupt();
}

u32 apic_id(void)
{
	return x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

bool apic_is_x2apic(void)
{
	return x2apic;
}

void apic_end_of_interrupt(void)
{
	apic_write(APIC_EOI, 0);
}

static void send(u32 destination, u32 command)
{
	cpu_this()->ipi_count++;
	if (x2apic) {
		/*
		 * This WRMSR is not serializing (SDM vol. 3, "MSR Access in
		 * x2APIC Mode"): what we stored must be visible before the
		 * other CPU is told to look.
		 */
		__asm__ volatile("mfence; lfence" : : : "memory");
		insn_wrmsr(MSR_X2APIC_FIRST + APIC_ICR / 16,
			   (u64)destination << 32 | command);
		return;
	}
	while (apic_read(APIC_ICR) & ICR_PENDING)
		insn_pause();
	apic_write(APIC_ICR_HIGH, destination << 24);
	apic_write(APIC_ICR, command);
}

void apic_send_ipi(u32 destination, u32 vector)
{
	CHECK(vector >= EXCEPTION_COUNT && vector < 256);
	send(destination, ICR_DELIVERY_FIXED | ICR_ASSERT | vector);
}

void apic_send_init(u32 destination)
{
	send(destination, ICR_DELIVERY_INIT | ICR_ASSERT);
}

void apic_send_startup(u32 destination, u8 frame)
{
	send(destination, ICR_DELIVERY_STARTUP | ICR_ASSERT | frame);
}

void apic_send_nmi(u32 destination)
{
	send(destination, ICR_DELIVERY_NMI | ICR_ASSERT);
}

void apic_timer_arm(u64 deadline_tsc)
{
	u64 now, ticks;

	if (cpu_features.tsc_deadline) {
		apic_write(APIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR_TIMER);
		/* SDM vol. 3, "TSC-Deadline Mode": a store to memory may come
		 * after the WRMSR, which then arms nothing. */
		if (!x2apic)
			insn_mfence();
		/* 0 would disarm it; a deadline in the past fires at once. */
		insn_wrmsr(MSR_IA32_TSC_DEADLINE,
			   deadline_tsc ? deadline_tsc : 1);
		return;
	}
	now = insn_rdtsc();
	ticks = deadline_tsc > now ? deadline_tsc - now : 0;
	ticks = (u64)((u128)ticks * timer_per_tsc >> 32);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_TIMER_INITIAL,
		   ticks >= UINT32_MAX ? UINT32_MAX : (u32)ticks + 1);
}

void apic_timer_stop(void)
{
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
	if (cpu_features.tsc_deadline)
		insn_wrmsr(MSR_IA32_TSC_DEADLINE, 0);
	else
		apic_write(APIC_TIMER_INITIAL, 0);
}

void apic_timer_calibrate(void)
{
	u64 start;
	u64 wait = tsc_hz() / 200; /* 5 ms */

	if (cpu_features.tsc_deadline)
		return;
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_TIMER_INITIAL, UINT32_MAX);
	start = insn_rdtsc();
	while (insn_rdtsc() - start < wait)
		insn_pause();
	timer_per_tsc =
	    ((u64)(UINT32_MAX - apic_read(APIC_TIMER_CURRENT)) << 32) /
	    (insn_rdtsc() - start);
	apic_timer_stop();
}
