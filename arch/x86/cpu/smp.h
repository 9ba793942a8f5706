/* SPDX-License-Identifier: MIT */
/*
 * Starting the other processors.
 * SDM vol. 3, "Multiple-Processor Management": INIT, then start-up IPIs.
 */
#ifndef ARCH_X86_CPU_SMP_H
#define ARCH_X86_CPU_SMP_H

#include "arch/x86/cpu/cpu.h"
#include "lib/err.h"

/*
 * Gives the CPU its stacks (with unmapped guard pages) and its index. The
 * first CPU keeps the boot stack; it must load its descriptors again to use
 * the fault stacks.
 */
MUST_CHECK enum err smp_prepare_cpu(struct cpu *cpu, u32 index, u32 apic_id);

/*
 * Starts the processors with these APIC ids, one after the other, and waits
 * for each. Each calls `entry` on its own stack, its cpu_this() valid, its
 * APIC on, interrupts off; `entry` does not return. A processor that does not
 * answer costs one line in the log. Sets cpu_count.
 */
void smp_start(const u32 *apic_ids, u32 count, void (*entry)(void));

#endif
