/* SPDX-License-Identifier: MIT */
/*
 * Exceptions and interrupts that arrive while Umbra itself runs.
 *
 * An exception is our own fault: it prints everything and stops. Interrupts
 * arrive only while a CPU idles, and as VM exits while it runs a guest; both
 * ways lead to interrupt_dispatch().
 */
#ifndef ARCH_X86_CPU_TRAPS_H
#define ARCH_X86_CPU_TRAPS_H

#include "lib/types.h"

/* As trap_entries.asm pushes it; the last five are the CPU's own. */
struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rbp, rdi, rsi, rdx, rcx, rbx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

/* Vectors of our own. Low priority classes first. */
enum host_vector {
	VECTOR_FIRST_DEVICE = 0x40,
	VECTOR_KICK = 0xf0,   /* look again: there may be work for you */
	VECTOR_TIMER = 0xf1,  /* the local APIC's timer */
	VECTOR_NOTIFY = 0xf2, /* a guest has posted interrupts */
	VECTOR_APIC_ERROR = 0xfe,
	VECTOR_SPURIOUS = 0xff,
};

/* Where the IDT points for this vector. */
u64 trap_entry_address(u32 vector);

/*
 * Handles the interrupt `vector` on the calling CPU and acknowledges it at the
 * local APIC. Interrupts are off.
 */
void interrupt_dispatch(u32 vector);

typedef void interrupt_handler(u32 vector);

/* Registers the handler of a vector; before the vector can arrive. */
void interrupt_set_handler(u32 vector, interrupt_handler *handler);

/* Seam, core/panic.c: reports the fault with all registers and stops. */
NORETURN void trap_fatal(const struct trap_frame *frame, u64 cr2);

/* Seam, core/panic.c: an NMI in root mode; returns if it was not a stop. */
void trap_nmi(const struct trap_frame *frame);

/* "#PF page fault" and so on; never NULL. */
const char *exception_name(u64 vector);

#endif
