/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's APIC and the CPU's help with it (apicv.h).
 *
 * The page of struct lapic is the virtual-APIC page, so there is no second
 * copy of the registers: what is saved, moved or looked at is always there.
 * Only the guest interrupt status and the EOI-exit bitmap of vmcs01 are copies,
 * which vcpu_apic_look() makes again whenever software has changed what they
 * are made of (lapic_is_news).
 *
 * All of this is vmcs01's. While L2 runs, Umbra delivers L1's interrupts
 * itself, by the same page; when L1 runs again, it has the news.
 */
#ifndef ARCH_X86_VMX_VCPU_APIC_H
#define ARCH_X86_VMX_VCPU_APIC_H

#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/vcpu.h"

/* The control words and addresses of vmcs01, at its first contents. */
void vcpu_apic_init(struct vcpu *vcpu);

/* Does the CPU deliver what is in IRR, by the VMCS in use? */
static inline bool vcpu_apic_delivers(const struct vcpu *vcpu)
{
	return vcpu->apic_delivers && !vcpu->in_l2;
}

/*
 * While writes are tracked, Umbra delivers: a delivery may then be cut short,
 * because the stack's page exits or fills the log, and Bochs 2.7 tells what was
 * delivered before as what it interrupted. (Elsewhere this costs a migration
 * some exits.)
 */
static inline enum lapic_deliverer vcpu_apic_deliverer(const struct vcpu *vcpu)
{
	return vmx_capability.apicv.delivery &&
		       !__atomic_load_n(&vcpu->vm->writes_are_armed,
					__ATOMIC_SEQ_CST)
		   ? LAPIC_BY_CPU
		   : LAPIC_BY_SOFTWARE;
}

void vcpu_apic_set(struct vcpu *vcpu, enum apicv_mode mode,
		   enum lapic_deliverer deliverer);

/* Makes vmcs01, which is in use, what it has to be now: on the way into the
 * guest before events are chosen, and after L2. */
static inline void vcpu_apic_settle(struct vcpu *vcpu)
{
	enum apicv_mode mode;

	if (!vmx_capability.apicv.tpr_shadow)
		return;
	mode = apicv_mode(vcpu->lapic->base);
	if (unlikely(vcpu->apic_mode != mode ||
		     vcpu->apic_delivers !=
			 (vcpu_apic_deliverer(vcpu) == LAPIC_BY_CPU)))
		vcpu_apic_set(vcpu, mode, vcpu_apic_deliverer(vcpu));
}

/* On the way into the guest, after all else has been looked at. */
void vcpu_apic_look(struct vcpu *vcpu);

exit_handler on_apic_access, on_apic_write;          /* vcpu_apic.c */
exit_handler on_virtual_eoi, on_tpr_below_threshold; /* vcpu_apic.c */

#endif
