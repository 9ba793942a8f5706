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
#include "arch/x86/cpu/traps.h"
#include "core/backtrace.h"
#include "core/console.h"
#include "core/guests.h"
#include "core/machine.h"
#include "lib/check.h"
#include "lib/fmt.h"
#include "lib/log.h"
#include "lib/x86.h"

#define STATUS_BROKEN 125

static u32 panicking_cpu_plus_1;

static void say_calls(u64 rip, u64 frame_pointer)
{
	struct backtrace trace;

	backtrace_take(&trace, rip, frame_pointer);
	backtrace_say(&trace, LOG_ERROR);
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
	/* Should they be what is broken, the rest has been said. */
	guests_print_in_panic();
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
	say_calls(frame->rip, frame->rbp);
	finish();
}

void panic_stop_if_another_does(void)
{
	if (__atomic_load_n(&panicking_cpu_plus_1, __ATOMIC_SEQ_CST))
		for (;;)
			insn_hlt();
}

void check_failed(const char *file, int line, const char *condition)
{
	begin();
	log_error("%s:%d: CHECK failed: %s (CPU %u)", file, line, condition,
		  cpu_this()->index);
	say_calls((u64)__builtin_return_address(0) - 1,
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
	say_calls((u64)__builtin_return_address(0) - 1,
		  *(const u64 *)insn_frame_pointer());
	finish();
}
