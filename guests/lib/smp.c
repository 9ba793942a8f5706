/* SPDX-License-Identifier: MIT */
/* Starting other CPUs: see smp.h; their first instructions: start.asm. */
#include "guests/lib/smp.h"
#include "guests/lib/apic.h"
#include "guests/lib/boot.h"
#include "guests/lib/cpu.h"
#include "guests/lib/layout.h"
#include "guests/lib/time.h"
#include "guests/lib/trap.h"
#include "lib/bits.h"
#include "lib/string.h"

/* SDM volume 3, "Typical BSP Initialization Sequence". */
#define INIT_TO_SIPI_US 10000
#define SIPI_TO_SIPI_US 200

extern const u8 smp_trampoline[], smp_trampoline_end[];

static void (*work_of_others)(u32 cpu_index);
static u32 answered_count; /* without the first CPU */
static u32 done_count;

/* SDM vol. 2, "CPUID-CPU Identification", leaf 0BH: EBX counts what lies
 * below each level. */
static u32 cpus_by_topology(void)
{
	u32 count = 0;

	if (cpuid(0, 0).eax < 0xb)
		return 0;
	for (u32 level = 0; level < 8; level++) {
		struct cpuid topology = cpuid(0xb, level);

		if (!(topology.ecx & BITS(15, 8)))
			break;
		count = topology.ebx & 0xffff;
	}
	return count;
}

u32 smp_expected(void)
{
	u64 count = boot_number("cpus", cpus_by_topology());

	if (count == 0)
		return 1;
	return count < CPUS_MAX ? (u32)count : CPUS_MAX;
}

/* Called by start.asm on each other CPU, on its own stack. */
NORETURN void smp_started(u32 index);
void smp_started(u32 index)
{
	trap_init_cpu(index);
	apic_init_cpu();
	__atomic_fetch_add(&answered_count, 1, __ATOMIC_SEQ_CST);
	work_of_others(index);
	__atomic_fetch_add(&done_count, 1, __ATOMIC_SEQ_CST);
	cpu_stop();
}

static u32 answered(void)
{
	return __atomic_load_n(&answered_count, __ATOMIC_SEQ_CST);
}

u32 smp_start(void (*work)(u32 cpu_index), u64 timeout_us)
{
	u64 start = rdtsc();

	if (apic_mode() == APIC_NONE)
		return 1;
	work_of_others = work;
	memcpy((void *)SMP_TRAMPOLINE, smp_trampoline,
	       (u64)smp_trampoline_end - (u64)smp_trampoline);
	apic_broadcast_init();
	time_delay_us(INIT_TO_SIPI_US);
	apic_broadcast_sipi(SMP_TRAMPOLINE);
	time_delay_us(SIPI_TO_SIPI_US);
	if (answered() + 1 < smp_expected())
		apic_broadcast_sipi(SMP_TRAMPOLINE);
	while (answered() + 1 < smp_expected() &&
	       rdtsc() - start < time_us_to_tsc(timeout_us))
		cpu_pause();
	return answered() + 1;
}

bool smp_all_done(void)
{
	return __atomic_load_n(&done_count, __ATOMIC_SEQ_CST) == answered();
}
