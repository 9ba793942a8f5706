/* SPDX-License-Identifier: MIT */
/* The TSC's frequency and time derived from it. */
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/cpu/cpu.h"
#include "lib/bits.h"
#include "lib/log.h"

#define PM_TIMER_HZ     3579545ULL
#define PIT_HZ          1193182ULL
#define NS_PER_S        1000000000ULL

#define PIT_CHANNEL_2   0x42
#define PIT_COMMAND     0x43
#define PIT_COMMAND_2   0xb0 /* channel 2, low then high byte, mode 0 */
#define PORT_B          0x61
#define PORT_B_GATE_2   BIT(0)
#define PORT_B_SPEAKER  BIT(1)
#define PORT_B_OUTPUT_2 BIT(5)
#define PIT_TICKS_MAX   BIT(32) /* of any TSC: far more than it can take */

static u64 frequency_hz;
static u64 ns_per_tick_32; /* nanoseconds per tick, times 2^32 */
static u64 tick_per_ns_32; /* ticks per nanosecond, times 2^32 */
static u64 started_at;

struct measure {
	u64 tsc_ticks;
	u64 reference_ticks;
	u64 reference_hz;
};

/*
 * Counts both clocks for about 20 ms, from one edge of the PM timer to
 * another. Returns false if the timer stands still.
 */
static bool measure_by_pm_timer(u16 port, u32 bits, struct measure *result)
{
	u32 mask = bits >= 32 ? UINT32_MAX : (u32)BITS(bits - 1, 0);
	u32 wanted = PM_TIMER_HZ / 50;
	u32 first = insn_in32(port) & mask;
	u32 start, now;
	u64 tsc_start, tries = 0;

	do {
		start = insn_in32(port) & mask;
		if (++tries > 1000000)
			return false;
	} while (start == first);
	tsc_start = insn_rdtsc();
	do {
		now = insn_in32(port) & mask;
	} while (((now - start) & mask) < wanted);
	*result = (struct measure){
	    .tsc_ticks = insn_rdtsc() - tsc_start,
	    .reference_ticks = (now - start) & mask,
	    .reference_hz = PM_TIMER_HZ,
	};
	return true;
}

/* The same by the PIT's channel 2, whose output can be read back: after 20 ms,
 * or never where the firmware has stopped the PIT's clock. */
static bool measure_by_pit(struct measure *result)
{
	const u16 count = PIT_HZ / 50;
	u8 port_b = insn_in8(PORT_B) & (u8) ~(PORT_B_SPEAKER | PORT_B_GATE_2);
	u64 tsc_start;

	insn_out8(PORT_B, port_b);
	insn_out8(PIT_COMMAND, PIT_COMMAND_2);
	insn_out8(PIT_CHANNEL_2, count & 0xff);
	insn_out8(PIT_CHANNEL_2, count >> 8);
	insn_out8(PORT_B, port_b | PORT_B_GATE_2);
	tsc_start = insn_rdtsc();
	while (!(insn_in8(PORT_B) & PORT_B_OUTPUT_2))
		if (insn_rdtsc() - tsc_start > PIT_TICKS_MAX)
			return false;
	result->tsc_ticks = insn_rdtsc() - tsc_start;
	result->reference_ticks = count;
	result->reference_hz = PIT_HZ;
	insn_out8(PORT_B, port_b);
	return true;
}

/*
 * SDM vol. 2, "CPUID-CPU Identification", leaf 15H: crystal frequency times
 * a ratio. 0 where the CPU does not tell.
 */
static u64 frequency_by_cpuid(void)
{
	struct cpuid_result r;

	if (cpu_features.max_leaf < 0x15)
		return 0;
	r = insn_cpuid(0x15, 0);
	if (!r.eax || !r.ebx || !r.ecx)
		return 0;
	return (u64)r.ecx * r.ebx / r.eax;
}

static bool agrees_within_1_percent(u64 a, u64 b)
{
	u64 difference = a > b ? a - b : b - a;

	return difference <= b / 100;
}

/* 0: no clock runs. */
static u64 measured_frequency(u16 pm_timer_port, u32 pm_timer_bits,
			      const char **how)
{
	struct measure m;

	*how = "the ACPI PM timer";
	if (!pm_timer_port ||
	    !measure_by_pm_timer(pm_timer_port, pm_timer_bits, &m)) {
		*how = "the PIT";
		if (!measure_by_pit(&m))
			return 0;
	}
	return m.tsc_ticks * m.reference_hz / m.reference_ticks;
}

enum err tsc_calibrate(u16 pm_timer_port, u32 pm_timer_bits)
{
	u64 told = frequency_by_cpuid();
	const char *how;

	frequency_hz = measured_frequency(pm_timer_port, pm_timer_bits, &how);
	if (told &&
	    (!frequency_hz || agrees_within_1_percent(told, frequency_hz))) {
		frequency_hz = told;
		how = "CPUID";
	}
	if (!frequency_hz)
		return ERR_NOT_FOUND;
	ns_per_tick_32 = (NS_PER_S << 32) / frequency_hz;
	tick_per_ns_32 = (frequency_hz / NS_PER_S << 32) +
			 (frequency_hz % NS_PER_S << 32) / NS_PER_S;
	started_at = insn_rdtsc();
	log_info("TSC: %lu.%03lu MHz, by %s", frequency_hz / 1000000,
		 frequency_hz / 1000 % 1000, how);
	return OK;
}

u64 tsc_hz(void)
{
	return frequency_hz;
}

u64 tsc_to_ns(u64 ticks)
{
	return (u64)((u128)ticks * ns_per_tick_32 >> 32);
}

u64 tsc_from_ns(u64 ns)
{
	return (u64)((u128)ns * tick_per_ns_32 >> 32);
}

u64 tsc_now_ns(void)
{
	return tsc_to_ns(insn_rdtsc() - started_at);
}

void tsc_delay_us(u64 us)
{
	u64 start = insn_rdtsc();
	u64 ticks = tsc_from_ns(us * 1000) + 1;

	while (insn_rdtsc() - start < ticks)
		insn_pause();
}
