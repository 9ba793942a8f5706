/* SPDX-License-Identifier: MIT */
/*
 * The time stamp counter: how fast it is, and nanoseconds from it.
 *
 * All CPUs' TSCs are taken to be in step, as every CPU with an invariant TSC
 * leaves reset.
 */
#ifndef ARCH_X86_CPU_TSC_H
#define ARCH_X86_CPU_TSC_H

#include "lib/err.h"
#include "lib/types.h"

/*
 * Measures the TSC against the ACPI PM timer if there is one (`pm_timer_port`
 * not 0), else against the PIT. CPUID's figure is believed only if it agrees
 * within 1 %, as emulators report that of the model they imitate, or if neither
 * clock runs. Takes 10-50 ms. ERR_NOT_FOUND: CPUID does not tell, either.
 */
MUST_CHECK enum err tsc_calibrate(u16 pm_timer_port, u32 pm_timer_bits);

u64 tsc_hz(void);
u64 tsc_to_ns(u64 ticks);
u64 tsc_from_ns(u64 ns);

/* Nanoseconds since tsc_calibrate(); never goes backwards on one CPU. */
u64 tsc_now_ns(void);

/* Waits at least so long. */
void tsc_delay_us(u64 us);

#endif
