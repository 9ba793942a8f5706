/* SPDX-License-Identifier: MIT */
/*
 * Faults of our own: CHECKs, exceptions in root mode, and stopping.
 *
 * Nothing here takes a lock that another CPU, or this one before the fault,
 * may hold: console_break_locks() comes first.
 */
#include "core/panic.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/descriptors.h"
#include "arch/x86/cpu/traps.h"
#include "core/console.h"
#include "core/machine.h"
#include "core/symbols.h"
#include "lib/check.h"
#include "lib/fmt.h"
#include "lib/log.h"
#include "lib/x86.h"

#define BACKTRACE_MAX 24
#define STATUS_BROKEN 125

static u32 panicking_cpu_plus_1;

static bool is_on_stack(const struct cpu *cpu, u64 address)
{
	return address >= cpu->stack_bottom && address + 16 <= cpu->stack_top &&
	       address % 8 == 0;
}

static bool is_on_fault_stacks(const struct cpu *cpu, u64 address)
{
	u64 start = (u64)cpu->fault_stacks;

	/* Guard pages are unmapped: only the upper page of each pair counts. */
	return start && address >= start &&
	       address + 16 <= start + FAULT_STACKS_FRAMES * PAGE_4K &&
	       ((address - start) / PAGE_4K) % 2 == 1 && address % 8 == 0;
}

void panic_backtrace(u64 rip, u64 frame_pointer)
{
	const struct cpu *cpu = cpu_this();

	for (u32 depth = 0; depth < BACKTRACE_MAX; depth++) {
		struct symbol symbol = symbols_find(rip);
		const u64 *frame = (const u64 *)frame_pointer;

		log_error("  %2u  %#lx  %s+%#lx", depth, rip, symbol.name,
			  symbol.offset);
		if (!is_on_stack(cpu, frame_pointer) &&
		    !is_on_fault_stacks(cpu, frame_pointer))
			return;
		rip = frame[1];
		frame_pointer = frame[0];
		if (!rip)
			return;
	}
}

/* The first CPU to panic speaks; the others fall silent. */
static void begin(void)
{
	u32 nobody = 0;
	u32 me = cpu_this()->index + 1;

	insn_cli();
	if (!__atomic_compare_exchange_n(&panicking_cpu_plus_1, &nobody, me,
					 false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST)) {
		/* A fault inside the panic itself: say no more. */
		if (nobody == me)
			machine_leave(STATUS_BROKEN);
		for (;;)
			insn_hlt();
	}
	for (u32 i = 0; i < cpu_count; i++)
		if (cpus[i].online && i != me - 1)
			apic_send_nmi(cpus[i].apic_id);
	console_break_locks();
}

NORETURN static void finish(void)
{
	log_error("Umbra stops. All guests are lost. Please report the lines "
		  "above with the command that led to them.");
	machine_leave(STATUS_BROKEN);
}

static void print_registers(const struct trap_frame *f, u64 cr2)
{
	log_error("RAX=%016lx RBX=%016lx RCX=%016lx RDX=%016lx", f->rax, f->rbx,
		  f->rcx, f->rdx);
	log_error("RSI=%016lx RDI=%016lx RBP=%016lx RSP=%016lx", f->rsi, f->rdi,
		  f->rbp, f->rsp);
	log_error("R8 =%016lx R9 =%016lx R10=%016lx R11=%016lx", f->r8, f->r9,
		  f->r10, f->r11);
	log_error("R12=%016lx R13=%016lx R14=%016lx R15=%016lx", f->r12, f->r13,
		  f->r14, f->r15);
	log_error("RIP=%016lx RFL=%016lx CS=%04lx SS=%04lx", f->rip, f->rflags,
		  f->cs, f->ss);
	log_error("CR0=%016lx CR2=%016lx CR3=%016lx CR4=%016lx",
		  insn_read_cr0(), cr2, insn_read_cr3(), insn_read_cr4());
}

static const char *hint_for(const struct trap_frame *f, u64 cr2)
{
	const struct cpu *cpu = cpu_this();

	if ((f->vector == EXCEPTION_PF || f->vector == EXCEPTION_DF) &&
	    cr2 >= cpu->stack_bottom - PAGE_4K && cr2 < cpu->stack_bottom)
		return ": the stack has overflowed";
	if (f->vector == EXCEPTION_PF && cr2 < PAGE_4K)
		return ": a null pointer";
	return "";
}

void trap_fatal(const struct trap_frame *frame, u64 cr2)
{
	begin();
	log_error("%s in Umbra on CPU %u, error code %#lx%s",
		  exception_name(frame->vector), cpu_this()->index,
		  frame->error, hint_for(frame, cr2));
	print_registers(frame, cr2);
	panic_backtrace(frame->rip, frame->rbp);
	finish();
}

void trap_nmi(const struct trap_frame *frame)
{
	(void)frame;
	if (__atomic_load_n(&panicking_cpu_plus_1, __ATOMIC_SEQ_CST))
		for (;;)
			insn_hlt();
	cpu_this()->nmi_count++;
}

void check_failed(const char *file, int line, const char *condition)
{
	begin();
	log_error("%s:%d: CHECK failed: %s (CPU %u)", file, line, condition,
		  cpu_this()->index);
	panic_backtrace((u64)__builtin_return_address(0),
			*(const u64 *)insn_frame_pointer());
	finish();
}

void panic(const char *format, ...)
{
	char text[256];
	va_list args;

	begin();
	va_start(args, format);
	fmt_va(text, sizeof(text), format, args);
	va_end(args);
	log_error("%s", text);
	panic_backtrace((u64)__builtin_return_address(0),
			*(const u64 *)insn_frame_pointer());
	finish();
}
