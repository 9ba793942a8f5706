/* SPDX-License-Identifier: MIT */
/*
 * The instructions that C does not have, under their own names.
 *
 * Those with _try return the vector of the exception that the instruction
 * raised, or NO_FAULT; the trap handler then resumes behind it (trap.h).
 */
#ifndef GUESTS_LIB_CPU_H
#define GUESTS_LIB_CPU_H

#include "lib/types.h"

struct cpuid {
	u32 eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid out;

	__asm__ volatile("cpuid"
			 : "=a"(out.eax), "=b"(out.ebx), "=c"(out.ecx),
			   "=d"(out.edx)
			 : "a"(leaf), "c"(subleaf));
	return out;
}

static inline u64 rdtsc(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
	return (u64)high << 32 | low;
}

static inline u64 rdmsr(u32 index)
{
	u32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
	return (u64)high << 32 | low;
}

static inline void wrmsr(u32 index, u64 value)
{
	__asm__ volatile("wrmsr" ::"c"(index), "a"((u32)value),
			 "d"((u32)(value >> 32))
			 : "memory");
}

#define NO_FAULT 0xffffffffu

/*
 * An instruction that may fault. Its first output must be a u32 in R8, marked
 * as early clobber: NO_FAULT, or the vector that the trap handler puts there
 * when it finds the instruction's address in the table of fixups.
 */
#define TRY(instruction)                 \
	"mov $0xffffffff, %%r8d\n\t"     \
	"1: " instruction "\n"           \
	"2:\n\t"                         \
	".pushsection fixups, \"a\"\n\t" \
	".quad 1b, 2b\n\t"               \
	".popsection"

/* Such an instruction with one operand, a number in %1: what it raised. */
#define TRY_WITH(instruction, value)               \
	({                                         \
		register u32 fault_ __asm__("r8"); \
		u64 value_ = (value);              \
                                                   \
		__asm__ volatile(TRY(instruction)  \
				 : "=&r"(fault_)   \
				 : "r"(value_)     \
				 : "memory");      \
		fault_;                            \
	})

static inline u32 rdmsr_try(u32 index, u64 *value)
{
	register u32 fault __asm__("r8");
	u32 low = 0, high = 0;

	__asm__ volatile(TRY("rdmsr")
			 : "=&r"(fault), "+a"(low), "+d"(high)
			 : "c"(index));
	*value = (u64)high << 32 | low;
	return fault;
}

static inline u32 wrmsr_try(u32 index, u64 value)
{
	register u32 fault __asm__("r8");

	__asm__ volatile(TRY("wrmsr")
			 : "=&r"(fault)
			 : "c"(index), "a"((u32)value), "d"((u32)(value >> 32))
			 : "memory");
	return fault;
}

static inline void out8(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline void out16(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline void out32(u16 port, u32 value)
{
	__asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline u8 in8(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline u16 in16(u16 port)
{
	u16 value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline u32 in32(u16 port)
{
	u32 value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

#define CONTROL_REGISTER(n)                                                  \
	static inline u64 read_cr##n(void)                                   \
	{                                                                    \
		u64 value;                                                   \
                                                                             \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(value));        \
		return value;                                                \
	}                                                                    \
	static inline void write_cr##n(u64 value)                            \
	{                                                                    \
		__asm__ volatile("mov %0, %%cr" #n ::"r"(value) : "memory"); \
	}

CONTROL_REGISTER(0)
CONTROL_REGISTER(2)
CONTROL_REGISTER(3)
CONTROL_REGISTER(4)

static inline void cpu_pause(void)
{
	__asm__ volatile("pause" ::: "memory");
}

static inline void interrupts_off(void)
{
	__asm__ volatile("cli" ::: "memory");
}

static inline void interrupts_on(void)
{
	__asm__ volatile("sti" ::: "memory");
}

/*
 * Sleeps until an interrupt has been served, and returns with interrupts off.
 * STI takes effect behind HLT: an interrupt that is already there is not lost.
 */
static inline void cpu_sleep(void)
{
	__asm__ volatile("sti\n\thlt\n\tcli" ::: "memory");
}

static inline NORETURN void cpu_stop(void)
{
	for (;;)
		__asm__ volatile("cli\n\thlt" ::: "memory");
}

#define MSR_APIC_BASE    0x1bu
#define MSR_SYSENTER_CS  0x174u
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_EFER         0xc0000080u
#define MSR_FS_BASE      0xc0000100u
#define MSR_GS_BASE      0xc0000101u

#endif
