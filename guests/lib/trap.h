/* SPDX-License-Identifier: MIT */
/*
 * Exceptions and interrupts of the guest's CPUs.
 *
 * An exception without a handler prints everything and ends the guest with
 * EXIT_EXCEPTION. An instruction under TRY (cpu.h) is passed over instead and
 * its vector given to the caller.
 */
#ifndef GUESTS_LIB_TRAP_H
#define GUESTS_LIB_TRAP_H

#include "guests/lib/layout.h"
#include "lib/types.h"

enum vector {
	VECTOR_DE = 0,
	VECTOR_DB = 1,
	VECTOR_NMI = 2,
	VECTOR_BP = 3,
	VECTOR_UD = 6,
	VECTOR_DF = 8,
	VECTOR_NP = 11,
	VECTOR_SS = 12,
	VECTOR_GP = 13,
	VECTOR_PF = 14,
	VECTOR_AC = 17,
	VECTOR_MC = 18,
	VECTOR_EXCEPTIONS = 32, /* from here on: interrupts */
	VECTOR_TIMER = 0x40,
	VECTOR_IPI = 0x41,
	VECTOR_SPURIOUS = 0xff,
};

/* As vectors.asm leaves the stack. */
struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

typedef void trap_handler(struct trap_frame *frame);

/* Sets up descriptors and exceptions of the CPU that calls. */
void trap_init_cpu(u32 cpu_index);

/* Where the frame of an event goes that interrupts privilege level 3. */
void trap_set_kernel_stack(u64 top);

/* The error code of the last exception under TRY on this CPU, 0 without one. */
u64 trap_error(void);

/* NULL: none. An interrupt's handler signals its end to the APIC itself. */
void trap_handle(u32 vector, trap_handler *handler);

/*
 * Lets a vector be served on this CPU's fault stack, on which every delivery
 * begins anew at the top. Returns the top.
 */
u64 trap_use_fault_stack(u32 vector);

/* Where this CPU's fault stack ends from now on. */
void trap_move_fault_stack(u64 top);

/* An entry of the guest's own, on the fault stack, instead of a handler. */
void trap_enter_at(u32 vector, void (*entry)(void));

/* Index of the CPU that calls; 0 is the one that the loader started. */
u32 cpu_index(void);

#endif
