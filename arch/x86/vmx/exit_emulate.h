/* SPDX-License-Identifier: MIT */
/*
 * Carrying out the instruction at which a vCPU has exited: accesses to device
 * registers in memory, and string I/O.
 */
#ifndef ARCH_X86_VMX_EXIT_EMULATE_H
#define ARCH_X86_VMX_EXIT_EMULATE_H

#include "arch/x86/vmx/exit.h"
#include "emulate/emulate.h"
#include "mm/guest_walk.h"

/* What makes the next one cheaper; zeroes at first. */
struct exit_emulate_remembered {
	struct guest_paths paths; /* of the guest itself, not of its guests */
	struct known_instruction instructions[KNOWN_INSTRUCTIONS];
};

/*
 * Does the work of the instruction at RIP, or some iterations of it if it is
 * repeated; RIP has been moved when it is done. A fault has been raised. What
 * is not known how to do stops the guest, with the bytes shown.
 */
enum exit_action exit_emulate(struct vcpu *vcpu);

/* The loaded vCPU as emulate/ wants it, and its paging. */
void exit_emulate_read_cpu(const struct vcpu *vcpu, struct emulate_cpu *cpu);
void exit_emulate_read_paging(const struct vcpu *vcpu,
			      const struct emulate_cpu *cpu,
			      struct guest_paging *paging);

/*
 * One access of the vCPU to memory or a device, 1, 2, 4 or 8 bytes in one page.
 * Where nothing is, ones are read and writes are lost.
 */
void exit_emulate_bus_read(struct vcpu *vcpu, gpa_t address, void *to,
			   u32 bytes);
void exit_emulate_bus_write(struct vcpu *vcpu, gpa_t address, const void *from,
			    u32 bytes);

/* The exception that emulate/ has found. */
void exit_emulate_raise(struct vcpu *vcpu, const struct emulate_fault *fault);

/* The loaded vCPU's breakpoints; false: none is enabled. */
MUST_CHECK bool exit_emulate_read_breakpoints(const struct vcpu *vcpu,
					      struct breakpoints *breakpoints);

#endif
