/* SPDX-License-Identifier: MIT */
/* The local APIC in both modes: see apic.h. */
#include "guests/lib/apic.h"
#include "guests/lib/boot.h"
#include "guests/lib/cpu.h"
#include "guests/lib/trap.h"
#include "lib/bits.h"

#define CPUID_1_ECX_X2APIC BIT(21)
#define CPUID_1_EDX_APIC   BIT(9)

#define APIC_BASE_ENABLE   BIT(11)
#define APIC_BASE_X2APIC   BIT(10)
#define APIC_BASE_ADDRESS  BITS(51, 12)

#define SVR_ENABLE         BIT(8)

#define ICR_NMI            (4u << 8)
#define ICR_INIT           (5u << 8)
#define ICR_SIPI           (6u << 8)
#define ICR_PENDING        BIT(12) /* memory-mapped mode only */
#define ICR_ASSERT         BIT(14)
#define ICR_OTHERS         (3u << 18)

static enum apic_mode mode;
static volatile u32 *registers; /* memory-mapped mode */

static enum apic_mode choose_mode(void)
{
	struct cpuid features = cpuid(1, 0);
	u64 base;

	if (!(features.edx & CPUID_1_EDX_APIC))
		return APIC_NONE;
	base = rdmsr(MSR_APIC_BASE);
	if (base & APIC_BASE_X2APIC) /* there is no way straight back */
		return APIC_X2APIC;
	if (!(features.ecx & CPUID_1_ECX_X2APIC) || boot_has_word("apic"))
		return APIC_XAPIC;
	return APIC_X2APIC;
}

static void mask_pic(void)
{
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
}

void apic_init_cpu(void)
{
	u64 base;

	if (cpu_index() == 0) {
		mode = choose_mode();
		mask_pic();
	}
	if (mode == APIC_NONE)
		return;
	base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;
	wrmsr(MSR_APIC_BASE, base);
	if (mode == APIC_X2APIC)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
	else
		registers = (volatile u32 *)(base & APIC_BASE_ADDRESS);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
	apic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
	apic_write(APIC_LVT_LINT1, APIC_LVT_MASKED);
	apic_write(APIC_LVT_ERROR, APIC_LVT_MASKED);
	apic_write(APIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
}

enum apic_mode apic_mode(void)
{
	return mode;
}

const char *apic_mode_text(void)
{
	static const char *const texts[] = {
	    [APIC_NONE] = "none",
	    [APIC_XAPIC] = "xAPIC",
	    [APIC_X2APIC] = "x2APIC",
	};

	return texts[mode];
}

u32 apic_read(enum apic_register number)
{
	if (mode == APIC_X2APIC)
		return (u32)rdmsr(0x800 + number);
	return registers[(size_t)number * 4];
}

void apic_write(enum apic_register number, u32 value)
{
	if (mode == APIC_X2APIC)
		wrmsr(0x800 + number, value);
	else
		registers[(size_t)number * 4] = value;
}

u32 apic_id(void)
{
	if (mode == APIC_NONE)
		return 0;
	return mode == APIC_X2APIC ? apic_read(APIC_ID)
				   : apic_read(APIC_ID) >> 24;
}

void apic_end_of_interrupt(void)
{
	apic_write(APIC_EOI, 0);
}

static void command(u32 apic_id, u32 low)
{
	if (mode == APIC_X2APIC) {
		wrmsr(0x800 + APIC_ICR, (u64)apic_id << 32 | low);
		return;
	}
	apic_write(APIC_ICR_HIGH, apic_id << 24);
	apic_write(APIC_ICR, low);
	while (apic_read(APIC_ICR) & ICR_PENDING)
		cpu_pause();
}

void apic_send(u32 apic_id, u8 vector)
{
	command(apic_id, ICR_ASSERT | vector);
}

void apic_send_nmi(u32 apic_id)
{
	command(apic_id, ICR_ASSERT | ICR_NMI);
}

void apic_broadcast(u8 vector)
{
	command(0, ICR_OTHERS | ICR_ASSERT | vector);
}

void apic_broadcast_init(void)
{
	command(0, ICR_OTHERS | ICR_ASSERT | ICR_INIT);
}

void apic_broadcast_sipi(u32 code_address)
{
	command(0, ICR_OTHERS | ICR_ASSERT | ICR_SIPI | code_address >> 12);
}
