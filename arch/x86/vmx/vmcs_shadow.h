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
 *
 * Which fields: nested/fields.h. SDM vol. 3, "VMCS Shadowing Bitmap Addresses".
 */
#ifndef ARCH_X86_VMX_VMCS_SHADOW_H
#define ARCH_X86_VMX_VMCS_SHADOW_H

struct vcpu;

/* Once: the bitmaps, and the revision of the shadow. */
void vmcs_shadow_init(struct vcpu *vcpu);

/* As there is a current VMCS or not; vmcs01 is in use. */
void vmcs_shadow_switch(struct vcpu *vcpu);

/* vmcs01 is in use; nothing is done while shadowing is off. */
void vmcs_shadow_give(struct vcpu *vcpu);
void vmcs_shadow_take(struct vcpu *vcpu);

#endif
