/* SPDX-License-Identifier: MIT */
/* From the trap stubs to whoever is responsible. */
#include "arch/x86/cpu/traps.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/insn.h"
#include "lib/check.h"
#include "lib/log.h"
#include "lib/x86.h"

extern const u8
    trap_entries[]; /* trap_entries.asm: 256 entries of equal size */
#define TRAP_ENTRY_BYTES 16

static interrupt_handler *handlers[256];

u64 trap_entry_address(u32 vector)
{
	return (u64)(trap_entries + (u64)vector * TRAP_ENTRY_BYTES);
}

void interrupt_set_handler(u32 vector, interrupt_handler *handler)
{
	CHECK(vector >= EXCEPTION_COUNT && vector < 256);
	handlers[vector] = handler;
}

void interrupt_dispatch(u32 vector)
{
	/* A spurious interrupt is no interrupt: it is not acknowledged. */
	if (vector == VECTOR_SPURIOUS)
		return;
	if (vector < 256 && handlers[vector])
		handlers[vector](vector);
	else
		log_warn("interrupt with vector %#x that nobody expects",
			 vector);
	apic_end_of_interrupt();
}

/* Called by trap_entries.asm. */
void trap_dispatch(struct trap_frame *frame);
void trap_dispatch(struct trap_frame *frame)
{
	if (frame->vector == EXCEPTION_NMI)
		trap_nmi(frame);
	else if (frame->vector < EXCEPTION_COUNT)
		trap_fatal(frame, insn_read_cr2());
	else
		interrupt_dispatch((u32)frame->vector);
}

static const char *const exception_names[EXCEPTION_COUNT] = {
    [EXCEPTION_DE] = "#DE divide error",
    [EXCEPTION_DB] = "#DB debug exception",
    [EXCEPTION_NMI] = "NMI",
    [EXCEPTION_BP] = "#BP breakpoint",
    [EXCEPTION_OF] = "#OF overflow",
    [EXCEPTION_BR] = "#BR bound range exceeded",
    [EXCEPTION_UD] = "#UD invalid opcode",
    [EXCEPTION_NM] = "#NM device not available",
    [EXCEPTION_DF] = "#DF double fault",
    [EXCEPTION_TS] = "#TS invalid TSS",
    [EXCEPTION_NP] = "#NP segment not present",
    [EXCEPTION_SS] = "#SS stack-segment fault",
    [EXCEPTION_GP] = "#GP general protection",
    [EXCEPTION_PF] = "#PF page fault",
    [EXCEPTION_MF] = "#MF x87 floating-point error",
    [EXCEPTION_AC] = "#AC alignment check",
    [EXCEPTION_MC] = "#MC machine check",
    [EXCEPTION_XM] = "#XM SIMD floating-point exception",
    [EXCEPTION_VE] = "#VE virtualization exception",
    [EXCEPTION_CP] = "#CP control protection exception",
};

const char *exception_name(u64 vector)
{
	if (vector < EXCEPTION_COUNT && exception_names[vector])
		return exception_names[vector];
	return vector < EXCEPTION_COUNT ? "reserved exception" : "interrupt";
}
