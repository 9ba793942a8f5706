/* SPDX-License-Identifier: MIT */
/*
 * The guest's other CPUs.
 */
#ifndef GUESTS_LIB_SMP_H
#define GUESTS_LIB_SMP_H

#include "lib/types.h"

/*
 * How many CPUs there should be: `cpus=` on the command line, else what CPUID
 * says about the package, else 1.
 */
u32 smp_expected(void);

/*
 * Starts all other CPUs by broadcast INIT and SIPI and waits until they have
 * answered, or for `timeout_us`. Each runs `work` with its index, interrupts
 * off, and sleeps for good when that returns. Returns how many CPUs run now,
 * the first one included.
 */
u32 smp_start(void (*work)(u32 cpu_index), u64 timeout_us);

/* Whether all CPUs that answered have returned from their work. */
bool smp_all_done(void);

#endif
