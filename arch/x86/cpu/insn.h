/* SPDX-License-Identifier: MIT */
/*
 * The privileged and special instructions, each under its own name, and no
 * logic. The only files with inline assembly are this one, lib/string.c and
 * arch/x86/vmx/vmx_insn.h.
 */
#ifndef ARCH_X86_CPU_INSN_H
#define ARCH_X86_CPU_INSN_H

#include "lib/types.h"

struct cpuid_result {
	u32 eax, ebx, ecx, edx;
};

static inline struct cpuid_result insn_cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid_result r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

static inline u64 insn_rdmsr(u32 msr)
{
	u32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (u64)high << 32 | low;
}

static inline void insn_wrmsr(u32 msr, u64 value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32))
			 : "memory");
}

static inline u64 insn_rdtsc(void)
{
	u64 low, high;

	/* It clears the upper halves of both. */
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return high << 32 | low;
}

static inline u8 insn_in8(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u16 insn_in16(u16 port)
{
	u16 value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u32 insn_in32(u16 port)
{
	u32 value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void insn_out8(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void insn_ins8(u16 port, u8 *bytes, size_t count)
{
	__asm__ volatile("rep insb"
			 : "+D"(bytes), "+c"(count)
			 : "d"(port)
			 : "memory");
}

static inline void insn_outs8(u16 port, const u8 *bytes, size_t count)
{
	__asm__ volatile("rep outsb"
			 : "+S"(bytes), "+c"(count)
			 : "d"(port)
			 : "memory");
}

static inline void insn_out16(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void insn_out32(u16 port, u32 value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

#define DEFINE_CONTROL_REGISTER(n)                                             \
	static inline u64 insn_read_cr##n(void)                                \
	{                                                                      \
		u64 value;                                                     \
                                                                               \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(value));          \
		return value;                                                  \
	}                                                                      \
	static inline void insn_write_cr##n(u64 value)                         \
	{                                                                      \
		__asm__ volatile("mov %0, %%cr" #n : : "r"(value) : "memory"); \
	}                                                                      \
	_Static_assert(1, "")

DEFINE_CONTROL_REGISTER(0);
DEFINE_CONTROL_REGISTER(2);
DEFINE_CONTROL_REGISTER(3);
DEFINE_CONTROL_REGISTER(4);

struct descriptor_pointer {
	u16 limit;
	u64 base;
} PACKED;

static inline void insn_lgdt(const struct descriptor_pointer *pointer)
{
	__asm__ volatile("lgdt %0" : : "m"(*pointer) : "memory");
}

static inline void insn_lidt(const struct descriptor_pointer *pointer)
{
	__asm__ volatile("lidt %0" : : "m"(*pointer) : "memory");
}

static inline void insn_ltr(u16 selector)
{
	__asm__ volatile("ltr %0" : : "r"(selector) : "memory");
}

static inline void insn_invlpg(const void *address)
{
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static inline void insn_xsetbv(u32 index, u64 value)
{
	__asm__ volatile("xsetbv"
			 :
			 : "c"(index), "a"((u32)value), "d"((u32)(value >> 32))
			 : "memory");
}

static inline u64 insn_xgetbv(u32 index)
{
	u32 low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return (u64)high << 32 | low;
}

#define DEFINE_DEBUG_REGISTER(n)                                      \
	static inline u64 insn_read_dr##n(void)                       \
	{                                                             \
		u64 value;                                            \
                                                                      \
		__asm__ volatile("mov %%dr" #n ", %0" : "=r"(value)); \
		return value;                                         \
	}                                                             \
	static inline void insn_write_dr##n(u64 value)                \
	{                                                             \
		__asm__ volatile("mov %0, %%dr" #n : : "r"(value));   \
	}                                                             \
	_Static_assert(1, "")

DEFINE_DEBUG_REGISTER(0);
DEFINE_DEBUG_REGISTER(1);
DEFINE_DEBUG_REGISTER(2);
DEFINE_DEBUG_REGISTER(3);
DEFINE_DEBUG_REGISTER(6);

/*
 * FPU state. Umbra's own code uses none of it; these move a guest's between
 * the CPU and memory. All enabled components.
 */
static inline void insn_xsave(void *area)
{
	__asm__ volatile("xsave64 (%0)"
			 :
			 : "r"(area), "a"(UINT32_MAX), "d"(UINT32_MAX)
			 : "memory");
}

static inline void insn_xrstor(const void *area)
{
	__asm__ volatile("xrstor64 (%0)"
			 :
			 : "r"(area), "a"(UINT32_MAX), "d"(UINT32_MAX)
			 : "memory");
}

static inline void insn_fxsave(void *area)
{
	__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

static inline void insn_fxrstor(const void *area)
{
	__asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

/*
 * Delivers the NMI that caused a VM exit: the exit left NMIs blocked, and the
 * handler's IRET unblocks them (SDM vol. 3, "Handling Multiple NMIs").
 */
static inline void insn_int_nmi(void)
{
	__asm__ volatile("int $2" : : : "memory");
}

static inline void insn_int_machine_check(void)
{
	__asm__ volatile("int $18" : : : "memory");
}

static inline void insn_cli(void)
{
	__asm__ volatile("cli" : : : "memory");
}

static inline void insn_hlt(void)
{
	__asm__ volatile("hlt" : : : "memory");
}

/*
 * Waits for an interrupt and takes it; interrupts are off before and after.
 * STI holds interrupts back for one instruction, so that none slips in between
 * and leaves the CPU halted with its work already there.
 */
static inline void insn_sti_hlt_cli(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* Takes the interrupts that wait. */
static inline void insn_sti_nop_cli(void)
{
	__asm__ volatile("sti; nop; cli" : : : "memory");
}

/* Loads and stores before it come before all that comes after it. */
static inline void insn_mfence(void)
{
	__asm__ volatile("mfence" : : : "memory");
}

static inline void insn_pause(void)
{
	__asm__ volatile("pause" : : : "memory");
}

static inline u64 insn_frame_pointer(void)
{
	u64 value;

	__asm__ volatile("mov %%rbp, %0" : "=r"(value));
	return value;
}

#endif
