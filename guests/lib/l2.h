/* SPDX-License-Identifier: MIT */
/*
 * An L2 of a guest of ours: a VMCS, registers, and a 64-bit C function in the
 * same image that L2 runs, with the page tables, descriptors and exception
 * handlers of the CPU that made it.
 *
 *	struct l2 l2;
 *
 *	vmx_on();
 *	l2_make(&l2, &(struct l2_controls){.primary = PRIMARY_HLT});
 *	l2_begin(&l2, program);
 *	while (l2_run(&l2) != EXIT_VMCALL || !l2_has_ended(&l2))
 *		l2_skip(&l2);
 *
 * A failed entry is an exit, too: exit_reason() has bit 31, or is one of
 * L2_NOT_ENTERED and up. The VMCS of an L2 must be current where it is used;
 * l2_make and l2_use make it so.
 */
#ifndef GUESTS_LIB_L2_H
#define GUESTS_LIB_L2_H

#include "guests/lib/vmx.h"

/* The first part is known to l2_enter.asm. */
struct l2 {
	union {
		u64 registers[16]; /* as instructions number them */
		struct {
			u64 rax, rcx, rdx, rbx, rsp_unused, rbp, rsi, rdi;
			u64 r8, r9, r10, r11, r12, r13, r14, r15;
		};
	};
	u64 host_rsp; /* as the VMCS has it */
	u64 launched;
	u64 evmcs; /* what it runs by; 0: its VMCS. See evmcs.h. */

	u64 vmcs;
	u64 stack_top;
	u64 entries; /* how often it was entered */
};

/* Wanted; what the CPU demands is added, what it lacks left out. */
struct l2_controls {
	u64 pin, primary, secondary, exit, entry;
	u64 ept_pointer;
};

/* What an exit says; l2_read_exit() reads it. */
struct l2_exit {
	u64 reason, qualification;
	u64 interruption_info, interruption_error;
	u64 vectoring_info, vectoring_error;
	u64 instruction_length, instruction_info;
	u64 linear_address, physical_address;
};

/* Reasons of our own: the entry instruction failed, its enum vmx_did added. */
#define L2_NOT_ENTERED 0x10000u

/* The number of a call is in RAX, its argument in RCX. */
#define L2_CALL_END    0u /* l2_enter.asm: the program has returned */
#define L2_CALL_USER   0x100u

void l2_make(struct l2 *l2, const struct l2_controls *controls);

/* The same again, with the VMCS and the stack that it has. */
void l2_remake(struct l2 *l2, const struct l2_controls *controls);

/* The host state of the current VMCS: this CPU as it is now. */
void l2_write_host_state(void);

/* Sets RIP and RSP so that `program` runs from its beginning. */
void l2_begin(struct l2 *l2, void (*program)(void));

/* Makes its VMCS current. */
void l2_use(const struct l2 *l2);

/* VMCLEAR: the next entry is a VMLAUNCH, after l2_use. */
void l2_clear(struct l2 *l2);

enum vmx_did l2_enter(struct l2 *l2);

/* Enters once, and returns the exit reason, or L2_NOT_ENTERED and up. */
u32 l2_run(struct l2 *l2);

void l2_read_exit(struct l2_exit *exit);

/* L2 goes on behind the instruction that has exited. */
void l2_skip(struct l2 *l2);

/* After EXIT_VMCALL: was it the last one? */
bool l2_has_ended(const struct l2 *l2);

/* Changes bits of a control field of the current VMCS. */
void l2_set(enum vmcs_field field, u64 bits);
void l2_reset(enum vmcs_field field, u64 bits);

/* In L2: a call to L1, whose answer is RAX. */
static inline u64 l2_call(u64 number, u64 argument)
{
	__asm__ volatile("vmcall" : "+a"(number), "+c"(argument) : : "memory");
	return number;
}

#endif
