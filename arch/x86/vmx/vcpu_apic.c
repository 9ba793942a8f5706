/* SPDX-License-Identifier: MIT */
/* See vcpu_apic.h. */
#include "arch/x86/vmx/vcpu_apic.h"
#include "arch/x86/cpu/traps.h"
#include "arch/x86/vmx/exit_emulate.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vcpu_sync.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "mm/phys.h"

#define SECONDARY_APICV                                    \
	(SECONDARY_APIC_ACCESSES | SECONDARY_X2APIC_MODE | \
	 SECONDARY_APIC_REGISTERS | SECONDARY_INTERRUPT_DELIVERY)

#define QUALIFICATION_OFFSET BITS(11, 0)
#define QUALIFICATION_VECTOR BITS(7, 0)

static void clear_eoi_exits(struct vcpu *vcpu)
{
	for (u32 i = 0; i < ARRAY_COUNT(vcpu->eoi_exits); i++) {
		vmcs_write(VMCS_EOI_EXIT_BITMAP_0 + 2 * i, 0);
		vcpu->eoi_exits[i] = 0;
	}
}

static void set_threshold(struct vcpu *vcpu, u32 threshold)
{
	if (threshold == vcpu->tpr_threshold)
		return;
	vmcs_write(VMCS_TPR_THRESHOLD, threshold);
	vcpu->tpr_threshold = threshold;
}

void vcpu_apic_set(struct vcpu *vcpu, enum apicv_mode mode,
		   enum lapic_deliverer deliverer)
{
	bool delivers = deliverer == LAPIC_BY_CPU;
	struct apicv apicv = vmx_capability.apicv;
	u32 secondary = (u32)vmcs_read(VMCS_SECONDARY_CONTROLS);

	if (apicv.posted)
		vmcs_write(
		    VMCS_PIN_CONTROLS,
		    apicv_pin(delivers ? &apicv : &(struct apicv){0},
			      vmx_capability.controls.words[CONTROLS_PIN]));
	apicv.delivery = delivers;
	vmcs_write(VMCS_SECONDARY_CONTROLS,
		   (secondary & ~(u32)SECONDARY_APICV) |
		       apicv_secondary(&apicv, mode, 0));
	apicv_set_msr_bitmap(&apicv, mode, phys_ptr(vcpu->msr_bitmap));
	vcpu->msr_bitmap_changes++;
	if (delivers != vcpu->apic_delivers)
		lapic_delivered_by(vcpu->lapic, deliverer);
	vcpu->apic_mode = mode;
	vcpu->apic_delivers = delivers;
	if (mode == APICV_XAPIC)
		return;
	/*
	 * It finds nothing where an xAPIC would be. The EPT is that of all
	 * vCPUs, so the page goes for all of them: the others' accesses are
	 * emulated from now on.
	 */
	vm_unmap_apic_page(vcpu->vm);
	vcpu_sync(vcpu);
}

void vcpu_apic_init(struct vcpu *vcpu)
{
	const struct apicv *apicv = &vmx_capability.apicv;
	const u32 *words = vmx_capability.controls.words;

	if (!apicv->tpr_shadow)
		return;
	vmcs_write(VMCS_PRIMARY_CONTROLS,
		   apicv_primary(apicv, words[CONTROLS_PRIMARY]));
	vmcs_write(VMCS_VIRTUAL_APIC_ADDRESS,
		   hpa_raw(phys_of(vcpu->lapic->page)));
	vmcs_write(VMCS_TPR_THRESHOLD, 0);
	vcpu->tpr_threshold = 0;
	if (apicv->accesses)
		vmcs_write(VMCS_APIC_ACCESS_ADDRESS,
			   hpa_raw(vcpu->vm->apic_page));
	if (apicv->delivery) {
		vmcs_write(VMCS_GUEST_INTERRUPT_STATUS, 0);
		clear_eoi_exits(vcpu);
	}
	if (apicv->posted) {
		vmcs_write(VMCS_POSTED_INTERRUPT_VECTOR, VECTOR_NOTIFY);
		vmcs_write(VMCS_POSTED_INTERRUPT_DESCRIPTOR,
			   hpa_raw(phys_of(&vcpu->lapic->posted)));
	}
	vcpu->apic_delivers = false;
	vcpu_apic_set(vcpu, apicv_mode(vcpu->lapic->base),
		      vcpu_apic_deliverer(vcpu));
}

/* The CPU has changed the status itself while the guest ran. */
static NOINLINE void tell_news(struct vcpu *vcpu)
{
	u64 exits[ARRAY_COUNT(vcpu->eoi_exits)];
	u16 status = lapic_interrupt_status(vcpu->lapic, exits);

	if (status != vmcs_read(VMCS_GUEST_INTERRUPT_STATUS))
		vmcs_write(VMCS_GUEST_INTERRUPT_STATUS, status);
	for (u32 i = 0; i < ARRAY_COUNT(exits); i++) {
		if (exits[i] == vcpu->eoi_exits[i])
			continue;
		vmcs_write(VMCS_EOI_EXIT_BITMAP_0 + 2 * i, exits[i]);
		vcpu->eoi_exits[i] = exits[i];
	}
}

void vcpu_apic_look(struct vcpu *vcpu)
{
	if (!vmx_capability.apicv.tpr_shadow || vcpu->in_l2)
		return;
	/* Without delivery a vector that only the TPR holds back waits for an
	 * exit. */
	if (!vcpu->apic_delivers)
		set_threshold(vcpu, lapic_tpr_threshold(vcpu->lapic));
	else if (lapic_is_news(vcpu->lapic))
		tell_news(vcpu);
}

/* --- Exits ---------------------------------------------------------------- */

static enum exit_action lost(struct vcpu *vcpu, const char *why)
{
	vcpu_fail(vcpu, "%s at its APIC's registers, where it has no memory",
		  why);
	return ACTION_STOP;
}

/* What the CPU does not virtualize: an odd size, a register without storage. */
enum exit_action on_apic_access(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	if (exit->idt_vectoring & EVENT_VALID)
		return lost(vcpu, "an exception or interrupt needs its stack "
				  "or tables");
	switch (apicv_access(exit->qualification)) {
	case APICV_ACCESS_DATA:
		return exit_emulate(vcpu);
	case APICV_ACCESS_FETCH:
		return lost(vcpu, "it runs code");
	case APICV_ACCESS_DELIVERY:
		return lost(vcpu, "an exception or interrupt needs its stack "
				  "or tables");
	case APICV_ACCESS_PHYSICAL:
		break;
	}
	return lost(vcpu, "its page tables are");
}

/* These come behind the instruction: RIP has moved. */
enum exit_action on_apic_write(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	platform_apic_written(
	    &vcpu->vm->platform, vcpu->index,
	    (u32)bits_get(exit->qualification, QUALIFICATION_OFFSET),
	    vm_now_ns(vcpu->vm));
	vcpu_events_check(vcpu);
	return ACTION_RESUME;
}

enum exit_action on_virtual_eoi(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	platform_virtual_eoi(
	    &vcpu->vm->platform, vcpu->index,
	    (u8)bits_get(exit->qualification, QUALIFICATION_VECTOR));
	vcpu_events_check(vcpu);
	return ACTION_RESUME;
}

enum exit_action on_tpr_below_threshold(struct vcpu *vcpu,
					const struct vmx_exit *exit)
{
	(void)exit;
	vcpu->attention = 1;
	return ACTION_RESUME;
}
