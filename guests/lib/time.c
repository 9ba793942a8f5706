/* SPDX-License-Identifier: MIT */
/*
 * The TSC's frequency and the APIC's timer: see time.h.
 *
 * Under a hypervisor CPUID tells the truth. On bare machines and emulators it
 * may name the frequency of some model, so there the PIT comes first.
 */
#include "guests/lib/time.h"
#include "guests/lib/apic.h"
#include "guests/lib/cpu.h"
#include "guests/lib/trap.h"
#include "lib/bits.h"

#define CPUID_1_ECX_TSC_DEADLINE BIT(24)
#define CPUID_1_ECX_HYPERVISOR   BIT(31)

#define PIT_HZ                   1193182u
#define PIT_CHANNEL_2            0x42
#define PIT_COMMAND              0x43
#define PIT_CHANNEL_2_MODE_0     0xb0 /* low byte, high byte, one count */
#define SPEAKER_PORT             0x61
#define SPEAKER_GATE             0x01
#define SPEAKER_DATA             0x02
#define SPEAKER_OUT              0x20

#define PIT_COUNT                (PIT_HZ / 100) /* 10 ms */
#define PIT_POLLS                20000000u

#define ASSUMED_HZ               100000000u

#define TIMER_CALIBRATION_US     1000

static u64 tsc_hz;
static const char *tsc_source;
static u64 timer_hz; /* at divide 1; 0: not measured yet */

/* SDM vol. 2, "CPUID-CPU Identification", leaves 15H and 16H; 0 where they
 * say nothing. */
static u64 hz_from_crystal(void)
{
	struct cpuid ratio;

	if (cpuid(0, 0).eax < 0x15)
		return 0;
	ratio = cpuid(0x15, 0);
	if (!ratio.eax || !ratio.ebx)
		return 0;
	return (u64)ratio.ecx * ratio.ebx / ratio.eax;
}

static u64 hz_from_base(void)
{
	if (cpuid(0, 0).eax < 0x16)
		return 0;
	return (cpuid(0x16, 0).eax & 0xffff) * 1000000ull;
}

/* 0 where no PIT counts down. */
static u64 hz_from_pit(void)
{
	u8 speaker = in8(SPEAKER_PORT) & (u8) ~(SPEAKER_DATA | SPEAKER_OUT);
	u64 start;
	u32 poll = 0;

	out8(SPEAKER_PORT, speaker | SPEAKER_GATE);
	out8(PIT_COMMAND, PIT_CHANNEL_2_MODE_0);
	out8(PIT_CHANNEL_2, PIT_COUNT & 0xff);
	out8(PIT_CHANNEL_2, PIT_COUNT >> 8);
	start = rdtsc();
	if (in8(SPEAKER_PORT) & SPEAKER_OUT)
		return 0;
	while (!(in8(SPEAKER_PORT) & SPEAKER_OUT))
		if (poll++ == PIT_POLLS)
			return 0;
	return (rdtsc() - start) * PIT_HZ / PIT_COUNT;
}

static bool ask(u64 (*method)(void), const char *name)
{
	if (tsc_hz)
		return true;
	tsc_hz = method();
	if (tsc_hz)
		tsc_source = name;
	return tsc_hz;
}

static u64 hz_assumed(void)
{
	return ASSUMED_HZ;
}

void time_init(void)
{
	if (cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR)
		ask(hz_from_crystal, "CPUID 0x15");
	ask(hz_from_pit, "PIT");
	ask(hz_from_crystal, "CPUID 0x15");
	ask(hz_from_base, "CPUID 0x16");
	ask(hz_assumed, "assumed");
}

u64 time_tsc_hz(void)
{
	return tsc_hz;
}

const char *time_tsc_source(void)
{
	return tsc_source;
}

u64 time_us_to_tsc(u64 us)
{
	return us * tsc_hz / 1000000;
}

u64 time_tsc_to_us(u64 ticks)
{
	return ticks * 1000000 / tsc_hz;
}

void time_delay_us(u64 us)
{
	u64 start = rdtsc();

	while (rdtsc() - start < time_us_to_tsc(us))
		cpu_pause();
}

/* How fast the APIC's timer counts is told nowhere reliably: measure it. */
static void measure_timer(void)
{
	u64 start, ticks;
	u32 counted;

	apic_write(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED | VECTOR_TIMER);
	apic_write(APIC_TIMER_INITIAL, 0xffffffff);
	start = rdtsc();
	time_delay_us(TIMER_CALIBRATION_US);
	counted = 0xffffffff - apic_read(APIC_TIMER_CURRENT);
	ticks = rdtsc() - start;
	apic_write(APIC_TIMER_INITIAL, 0);
	timer_hz = counted * tsc_hz / ticks;
}

static u32 timer_count(u64 us)
{
	u64 count = us * timer_hz / 1000000;

	if (count == 0)
		return 1;
	return count > 0xffffffff ? 0xffffffff : (u32)count;
}

enum timer_kind timer_start(enum timer_kind kind, u64 us)
{
	if (kind == TIMER_BEST)
		kind = cpuid(1, 0).ecx & CPUID_1_ECX_TSC_DEADLINE
			   ? TIMER_TSC_DEADLINE
			   : TIMER_ONE_SHOT;
	if (kind == TIMER_TSC_DEADLINE) {
		apic_write(APIC_LVT_TIMER,
			   APIC_TIMER_TSC_DEADLINE | VECTOR_TIMER);
		/* SDM volume 3, "TSC-Deadline Mode": LVT first, in order. */
		__asm__ volatile("mfence" ::: "memory");
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + time_us_to_tsc(us));
		return kind;
	}
	if (!timer_hz)
		measure_timer();
	apic_write(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
	apic_write(APIC_TIMER_INITIAL, timer_count(us));
	return kind;
}
