/* SPDX-License-Identifier: MIT */
/*
 * CR0, CR4 and EFER as the guest sees them and as the CPU must have them.
 *
 * The guest owns every bit that it may set freely: moving those does not exit
 * (SDM vol. 3, "Guest/Host Masks and Read Shadows for CR0 and CR4"). Ours are
 *
 *	CR0	NE	VMX operation needs it 1; the guest may see 0
 *		CD, NW	one VM must not switch off caches for all
 *	CR4	VMXE	VMX operation needs it 1
 *	CR0	PE, PG	while the guest is in VMX operation itself, which holds
 *			them 1
 *	and all bits of features that the guest's CPU does not have.
 *
 * What a guest writes to a bit of ours comes here, is checked as the CPU would
 * check it, and lands in the read shadow.
 */
#ifndef ARCH_X86_VMX_CONTROL_REGISTERS_H
#define ARCH_X86_VMX_CONTROL_REGISTERS_H

#include "lib/types.h"

struct vcpu;

/*
 * Sets the masks of vmcs01: once, and when the guest's VMX operation begins or
 * ends. What the guest sees does not change.
 */
void control_registers_init(struct vcpu *vcpu);

/* The bits that are ours, whoever else wants them. */
u64 control_registers_our_cr0(void);
u64 control_registers_our_cr4(const struct vcpu *vcpu);

/* The guest's view, composed from field and shadow. */
u64 control_registers_read_cr0(void);
u64 control_registers_read_cr4(void);

/*
 * What is in force for the guest, also where its L1 shows an L2 something else;
 * and what is after it has written `value`.
 */
u64 control_registers_true_cr0(const struct vcpu *vcpu);
u64 control_registers_true_cr4(const struct vcpu *vcpu);
u64 control_registers_written_cr0(const struct vcpu *vcpu, u64 value);
u64 control_registers_written_cr4(const struct vcpu *vcpu, u64 value);

/*
 * Gives the guest these values, which have been checked. CR0.PG together with
 * EFER.LME also decides EFER.LMA and the "IA-32e mode guest" control.
 */
void control_registers_write_cr0(struct vcpu *vcpu, u64 value);
void control_registers_write_cr4(struct vcpu *vcpu, u64 value);

/* The same of an L1 that a VM exit of its L2's gives them; vmcs01 is in use.
 * The mode is the caller's. */
void control_registers_load_l1(u64 cr0, u64 cr4);

enum control_register_verdict {
	CONTROL_REGISTER_OK,
	CONTROL_REGISTER_FAULT, /* raise #GP(0) */
};

/* The checks of MOV to CR0 and CR4, of what is written in the end, and of WRMSR
 * to IA32_EFER. */
enum control_register_verdict
control_registers_check_cr0(const struct vcpu *vcpu, u64 value);
enum control_register_verdict
control_registers_check_cr4(const struct vcpu *vcpu, u64 value);
enum control_register_verdict control_registers_set_efer(struct vcpu *vcpu,
							 u64 value);

/* PAE paging's four entries, from where CR3 of a guest that is no L2 points.
 * Nothing has changed if one of them is wrong (exit_cr.c). */
enum control_register_verdict exit_cr_load_pdptes(struct vcpu *vcpu);

#endif
