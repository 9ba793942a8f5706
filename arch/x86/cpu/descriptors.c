/* SPDX-License-Identifier: MIT */
/* GDT, TSS and IDT. */
#include "arch/x86/cpu/descriptors.h"
#include "arch/x86/cpu/traps.h"
#include "lib/string.h"
#include "lib/x86.h"

/* SDM vol. 3, "64-Bit Mode IDT". */
struct gate {
	u16 offset_low;
	u16 selector;
	u8 ist;
	u8 type;
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
};
_Static_assert(sizeof(struct gate) == 16, "as the CPU reads it");

#define GATE_INTERRUPT 0x8e /* present, DPL 0, 64-bit interrupt gate */

#define GDT_CODE64     0x00af9b000000ffffULL
#define GDT_DATA       0x00cf93000000ffffULL

static struct gate idt[256] ALIGNED(16);

static u8 ist_of(u32 vector)
{
	switch (vector) {
	case EXCEPTION_DF:
		return FAULT_STACK_DOUBLE_FAULT;
	case EXCEPTION_NMI:
		return FAULT_STACK_NMI;
	case EXCEPTION_MC:
		return FAULT_STACK_MACHINE_CHECK;
	default:
		return 0;
	}
}

void descriptors_init_idt(void)
{
	for (u32 vector = 0; vector < 256; vector++) {
		u64 entry = trap_entry_address(vector);

		idt[vector] = (struct gate){
		    .offset_low = (u16)entry,
		    .selector = SELECTOR_CODE,
		    .ist = ist_of(vector),
		    .type = GATE_INTERRUPT,
		    .offset_middle = (u16)(entry >> 16),
		    .offset_high = high32(entry),
		};
	}
}

/* SDM vol. 3, "TSS Descriptor in 64-bit mode": base and limit, scattered. */
static void put_tss_descriptor(u64 entries[2], u64 base)
{
	u64 limit = sizeof(struct tss) - 1;

	entries[0] = limit | bits_get(base, BITS(23, 0)) << 16 | 0x89ULL << 40 |
		     bits_get(base, BITS(31, 24)) << 56;
	entries[1] = high32(base);
}

void descriptors_load(struct cpu *cpu)
{
	struct descriptor_pointer gdtr = {sizeof(cpu->gdt) - 1, (u64)cpu->gdt};
	struct descriptor_pointer idtr = {sizeof(idt) - 1, (u64)idt};

	memset(&cpu->tss, 0, sizeof(cpu->tss));
	cpu->tss.io_map_base = sizeof(struct tss);
	for (u32 stack = 1; cpu->fault_stacks && stack < FAULT_STACK_END;
	     stack++)
		cpu->tss.ist[stack - 1] =
		    (u64)cpu->fault_stacks + stack * FAULT_STACK_BYTES;

	cpu->gdt[0] = 0;
	cpu->gdt[SELECTOR_CODE / 8] = GDT_CODE64;
	cpu->gdt[SELECTOR_DATA / 8] = GDT_DATA;
	put_tss_descriptor(&cpu->gdt[SELECTOR_TSS / 8], (u64)&cpu->tss);
	insn_lgdt(&gdtr);
	insn_lidt(&idtr);
	insn_ltr(SELECTOR_TSS);
}

u64 descriptors_idt_base(void)
{
	return (u64)idt;
}
