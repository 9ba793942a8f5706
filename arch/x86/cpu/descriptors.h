/* SPDX-License-Identifier: MIT */
/*
 * Segment and interrupt descriptors of one CPU.
 *
 * Three faults get stacks of their own (SDM vol. 3, "Interrupt Stack Table"),
 * because the stack in use may be the thing that is broken, or may be half
 * switched: double fault, NMI and machine check. Each of these stacks has an
 * unmapped page below it.
 */
#ifndef ARCH_X86_CPU_DESCRIPTORS_H
#define ARCH_X86_CPU_DESCRIPTORS_H

#include "arch/x86/cpu/cpu.h"

enum fault_stack {
	FAULT_STACK_DOUBLE_FAULT = 1, /* numbers of the IST entries */
	FAULT_STACK_NMI,
	FAULT_STACK_MACHINE_CHECK,
	FAULT_STACK_END,
};
#define FAULT_STACK_BYTES   (2 * PAGE_4K) /* a guard page and a stack page */
#define FAULT_STACKS_FRAMES ((FAULT_STACK_END - 1) * 2UL)

/* Fills the one IDT that all CPUs share. Once, before the first load. */
void descriptors_init_idt(void);

/* Builds the CPU's GDT and TSS and loads them with the shared IDT. */
void descriptors_load(struct cpu *cpu);

/*
 * What stands in the host fields of a VMCS. The GDT and TSS are the calling
 * CPU's, the IDT everybody's.
 */
u64 descriptors_idt_base(void);

#endif
