/* SPDX-License-Identifier: MIT */
/*
 * VMCS shadowing for L1, where the CPU has it: fields of the current VMCS that
 * L1 reads and writes at nearly every exit of L2 are in a VMCS that the link
 * pointer of vmcs01 names, and L1's VMREAD and VMWRITE of them do not exit.
 *
 *	L2 exits to L1		vmcs12 -> shadow	vmcs_shadow_give
 *	L1 enters L2, leaves	shadow -> vmcs12	vmcs_shadow_take
 *	  the VMCS
 *	another VMCS, or none	on or off		vmcs_shadow_switch
 *	an operand is a device	off for one of them	vmcs_shadow_pause, go_on
 *
 * Which fields: nested/fields.h. SDM vol. 3, "VMCS Shadowing Bitmap Addresses".
 */
#ifndef ARCH_X86_VMX_VMCS_SHADOW_H
#define ARCH_X86_VMX_VMCS_SHADOW_H

#include "mm/addr.h"

struct vcpu;

/* Once: the bitmaps; and for each region, its revision. */
void vmcs_shadow_init(struct vcpu *vcpu);
void vmcs_shadow_make(hpa_t region);

/* As there is a current VMCS or not, and which; vmcs01 is in use. */
void vmcs_shadow_switch(struct vcpu *vcpu);

/* vmcs01 is in use; nothing is done while shadowing is off. */
void vmcs_shadow_give(struct vcpu *vcpu);
void vmcs_shadow_take(struct vcpu *vcpu);

/*
 * L1 has come upon memory that is none, by an instruction that is emulated as
 * VMREAD or VMWRITE only: from now on these exit. False: they have already, or
 * it is not L1. vmcs_shadow_go_on() then when one of them has been done.
 */
bool vmcs_shadow_pause(struct vcpu *vcpu);
void vmcs_shadow_go_on(struct vcpu *vcpu);

/*
 * On the way from one VMCS to the other: no VMCS is current afterwards, unless
 * shadowing is off. What an entry needs is taken; error code and instruction
 * length of an event only by the next vmcs_shadow_take, or, while L2 runs, by
 * vmcs_shadow_take_event. Until then only the shadow has them, and an exit does
 * not change them.
 */
enum vmcs_shadow_exit {
	VMCS_SHADOW_EXIT_PLAIN, /* nested/owner.h; no event is told */
	VMCS_SHADOW_EXIT_ANY,
};
void vmcs_shadow_take_at_entry(struct vcpu *vcpu);
void vmcs_shadow_take_event(struct vcpu *vcpu);
void vmcs_shadow_give_at_exit(struct vcpu *vcpu, enum vmcs_shadow_exit kind);

#endif
