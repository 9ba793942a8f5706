/* SPDX-License-Identifier: MIT */
/* Descriptor tables and what happens at an exception: see trap.h. */
#include "guests/lib/trap.h"
#include "guests/lib/console.h"
#include "guests/lib/cpu.h"
#include "guests/lib/result.h"
#include "lib/bits.h"

/* Double faults, NMIs and machine checks may come on a broken stack. */
#define FAULT_STACK_BYTES 2048
enum { IST_NONE, IST_FAULT };

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

_Static_assert(sizeof(struct tss) == 104, "manual");

struct gate {
	u16 offset_low;
	u16 selector;
	u8 ist;
	u8 type;
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
};

_Static_assert(sizeof(struct gate) == 16, "manual");

#define GATE_INTERRUPT 0x8e /* present, DPL 0, 64-bit interrupt gate */
#define GATE_USER      0xee /* the same, DPL 3 */

struct table_pointer {
	u16 limit;
	u64 base;
} PACKED;

struct cpu {
	u64 index; /* first: found through GS */
	u64 gdt[8];
	u64 error; /* of the last exception under TRY */
	struct tss tss;
	u8 fault_stack[FAULT_STACK_BYTES] ALIGNED(16);
};

struct fixup {
	u64 fault_rip;
	u64 resume_rip;
};

extern const u64 trap_entries[256];
extern const struct fixup fixups_start[], fixups_end[];

static struct cpu cpus[CPUS_MAX];
static struct gate idt[256] ALIGNED(16);
static trap_handler *handlers[256];

u32 cpu_index(void)
{
	u64 index;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(index));
	return (u32)index;
}

static void set_gate(u32 vector, u64 entry, u8 ist)
{
	idt[vector] = (struct gate){
	    .offset_low = (u16)entry,
	    .selector = SELECTOR_CODE64,
	    .ist = ist,
	    .type = vector == VECTOR_BP ? GATE_USER : GATE_INTERRUPT,
	    .offset_middle = (u16)(entry >> 16),
	    .offset_high = (u32)(entry >> 32),
	};
}

static void fill_idt(void)
{
	for (u32 vector = 0; vector < 256; vector++) {
		bool own_stack = vector == VECTOR_DF || vector == VECTOR_NMI ||
				 vector == VECTOR_MC;

		set_gate(vector, trap_entries[vector],
			 own_stack ? IST_FAULT : IST_NONE);
	}
}

/* SDM volume 3, "TSS Descriptor in 64-bit mode": available 64-bit TSS. */
static void describe_tss(u64 descriptor[2], const struct tss *tss)
{
	u64 base = (u64)tss;

	descriptor[0] = (sizeof(*tss) - 1) | (base & BITS(23, 0)) << 16 |
			0x89ull << 40 | (base & BITS(31, 24)) << 32;
	descriptor[1] = base >> 32;
}

static void load_tables(const struct cpu *cpu)
{
	struct table_pointer gdt = {sizeof(cpu->gdt) - 1, (u64)cpu->gdt};
	struct table_pointer idtr = {sizeof(idt) - 1, (u64)idt};

	__asm__ volatile("lgdt %0\n\t"
			 "lidt %1\n\t"
			 "pushq %2\n\t"
			 "lea 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\n\t"
			 "mov %3, %%ds\n\t"
			 "mov %3, %%es\n\t"
			 "mov %3, %%ss\n\t"
			 "ltr %w4"
			 :
			 : "m"(gdt), "m"(idtr), "i"(SELECTOR_CODE64),
			   "r"(SELECTOR_DATA), "r"(SELECTOR_TSS64)
			 : "rax", "memory");
}

void trap_init_cpu(u32 index)
{
	struct cpu *cpu = &cpus[index];

	if (index == 0)
		fill_idt();
	cpu->index = index;
	cpu->gdt[SELECTOR_CODE64 / 8] = 0x00af9b000000ffff;
	cpu->gdt[SELECTOR_DATA / 8] = 0x00cf93000000ffff;
	cpu->gdt[SELECTOR_CODE32 / 8] = 0x00cf9b000000ffff;
	cpu->gdt[SELECTOR_USER_DATA / 8] = 0x00cff3000000ffff;
	cpu->gdt[SELECTOR_USER_CODE64 / 8] = 0x00affb000000ffff;
	describe_tss(&cpu->gdt[SELECTOR_TSS64 / 8], &cpu->tss);
	cpu->tss.ist[IST_FAULT - 1] =
	    (u64)(cpu->fault_stack + FAULT_STACK_BYTES);
	cpu->tss.io_map_base = sizeof(cpu->tss);
	load_tables(cpu);
	wrmsr(MSR_GS_BASE, (u64)cpu);
}

void trap_handle(u32 vector, trap_handler *handler)
{
	handlers[vector & 0xff] = handler;
}

void trap_set_kernel_stack(u64 top)
{
	cpus[cpu_index()].tss.rsp[0] = top;
}

u64 trap_error(void)
{
	return cpus[cpu_index()].error;
}

u64 trap_use_fault_stack(u32 vector)
{
	idt[vector & 0xff].ist = IST_FAULT;
	return cpus[cpu_index()].tss.ist[IST_FAULT - 1];
}

void trap_move_fault_stack(u64 top)
{
	cpus[cpu_index()].tss.ist[IST_FAULT - 1] = top;
}

void trap_enter_at(u32 vector, void (*entry)(void))
{
	set_gate(vector & 0xff, (u64)entry, IST_FAULT);
}

static const char *name_of(u64 vector)
{
	static const char *const names[VECTOR_EXCEPTIONS] = {
	    [0] = "#DE",  [1] = "#DB",  [2] = "NMI",  [3] = "#BP",
	    [4] = "#OF",  [5] = "#BR",  [6] = "#UD",  [7] = "#NM",
	    [8] = "#DF",  [10] = "#TS", [11] = "#NP", [12] = "#SS",
	    [13] = "#GP", [14] = "#PF", [16] = "#MF", [17] = "#AC",
	    [18] = "#MC", [19] = "#XM", [20] = "#VE", [21] = "#CP",
	};

	if (vector >= VECTOR_EXCEPTIONS)
		return "interrupt";
	return names[vector] ? names[vector] : "reserved";
}

static NORETURN void unexpected(const struct trap_frame *f)
{
	print_emergency("EXCEPTION %s vector=%lu error=%#lx cpu=%u\n"
			"  rip=%016lx cs=%04lx rflags=%08lx cr2=%016lx\n"
			"  rax=%016lx rbx=%016lx rcx=%016lx rdx=%016lx\n"
			"  rsi=%016lx rdi=%016lx rbp=%016lx rsp=%016lx\n"
			"  r8 =%016lx r9 =%016lx r10=%016lx r11=%016lx\n"
			"  r12=%016lx r13=%016lx r14=%016lx r15=%016lx\n",
			name_of(f->vector), f->vector, f->error, cpu_index(),
			f->rip, f->cs, f->rflags, read_cr2(), f->rax, f->rbx,
			f->rcx, f->rdx, f->rsi, f->rdi, f->rbp, f->rsp, f->r8,
			f->r9, f->r10, f->r11, f->r12, f->r13, f->r14, f->r15);
	print_emergency("RESULT FAIL unexpected exception\n");
	guest_exit(EXIT_EXCEPTION);
}

static bool resume_at_fixup(struct trap_frame *frame)
{
	for (const struct fixup *f = fixups_start; (u64)f < (u64)fixups_end;
	     f++) {
		if (f->fault_rip == frame->rip) {
			frame->rip = f->resume_rip;
			frame->r8 = frame->vector;
			cpus[cpu_index()].error = frame->error;
			return true;
		}
	}
	return false;
}

/* Called by vectors.asm. */
void trap_dispatch(struct trap_frame *frame);
void trap_dispatch(struct trap_frame *frame)
{
	if (frame->vector < VECTOR_EXCEPTIONS && resume_at_fixup(frame))
		return;
	if (!handlers[frame->vector])
		unexpected(frame);
	handlers[frame->vector](frame);
}
