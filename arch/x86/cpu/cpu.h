/* SPDX-License-Identifier: MIT */
/*
 * One physical CPU: its own data, reached through GS, and its features.
 *
 * cpu_this() is valid on every CPU from cpu_init() on. A CPU's record is
 * written by that CPU only, except for the fields that say otherwise.
 */
#ifndef ARCH_X86_CPU_CPU_H
#define ARCH_X86_CPU_CPU_H

#include "arch/x86/cpu/insn.h"
#include "lib/bits.h"
#include "lib/types.h"
#include "mm/addr.h"

#define CPU_MAX 64

/* SDM vol. 3, "Task Management in 64-bit Mode". */
struct tss {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3;
	u16 io_map_base;
} PACKED;
_Static_assert(sizeof(struct tss) == 104, "as the CPU reads it");

#define GDT_ENTRIES 5 /* null, code, data, and the TSS in two */

struct cpu {
	struct cpu *self; /* at GS:0 */
	u32 index;        /* 0 is the bootstrap processor */
	u32 apic_id;
	u64 stack_top;    /* of this CPU's C stack */
	u64 stack_bottom; /* the guard page lies just below */
	u64 gdt[GDT_ENTRIES];
	struct tss tss;
	u8 *fault_stacks;       /* one page with a guard below per IST entry */
	volatile u32 online;    /* set by the CPU when it has come up */
	volatile u32 nmi_count; /* NMIs taken in root mode */
	u64 tsc_when_online;    /* its own, when it came up */
	/* What costs more than its instruction: only counted. */
	u64 flush_count; /* INVEPT and INVVPID */
	u64 ipi_count;   /* sent */
};

static inline struct cpu *cpu_this(void)
{
	struct cpu *self;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(self));
	return self;
}

/* All CPUs by index; `cpu_count` of them exist, each either online or not. */
extern struct cpu cpus[CPU_MAX];
extern u32 cpu_count;

/* Of XCR0: the three parts of AVX-512, and what they do not go without. */
#define XCR0_AVX512  BITS(7, 5)
#define XCR0_VECTORS (BITS(2, 1) | XCR0_AVX512)

/* What the CPUs can do; the same on all of them, read on the first. */
struct cpu_features {
	char vendor[13];
	char brand[49];
	u32 family, model, stepping;
	u32 max_leaf;
	u32 physical_bits;
	bool vmx;
	bool x2apic;
	bool tsc_deadline;
	bool invariant_tsc;
	bool pages_1g;
	bool xsave;
	bool xsaves;
	bool smep;
	bool smap;
	bool umip;
	bool fsgsbase;
	bool crc32;      /* the instruction, of SSE4.2 */
	bool vectors;    /* AVX-512 for bytes, VPCLMULQDQ (lib/vectors.h) */
	bool hypervisor; /* Umbra is itself a guest */
};
extern struct cpu_features cpu_features;

/* Fills cpu_features. First thing on the bootstrap processor. */
void cpu_read_features(void);

/*
 * Makes the calling CPU ours: descriptors, GS, fault stacks, control
 * registers, PAT. `cpu` must have index, stack and fault stacks filled in.
 */
void cpu_init(struct cpu *cpu);

#endif
