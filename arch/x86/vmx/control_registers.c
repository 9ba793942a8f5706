/* SPDX-License-Identifier: MIT */
/* The guest's CR0, CR4 and EFER. */
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vcpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/x86.h"

#define CR0_DEFINED                                                     \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | \
	 CR0_AM | CR0_NW | CR0_CD | CR0_PG)
/* What the guest may set without our knowing. */
#define CR0_GUEST_OWNED \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_WP | CR0_AM | CR0_PG)

#define TYPE_TSS16      1
#define TYPE_TSS16_BUSY 3

static u64 cr4_allowed(const struct vcpu *vcpu)
{
	return guest_cpuid_cr4_allowed(&vcpu->vm->cpuid) &
	       vmx_capability.cr4_fixed1;
}

u64 control_registers_our_cr0(void)
{
	return ~CR0_GUEST_OWNED;
}

/*
 * Not MCE: without it a machine check of the host's, which has nothing to do
 * with the guest, would shut the CPU down instead of ending in an exit.
 */
u64 control_registers_our_cr4(const struct vcpu *vcpu)
{
	return ~(cr4_allowed(vcpu) & ~(CR4_VMXE | CR4_MCE));
}

void control_registers_init(struct vcpu *vcpu)
{
	bool in_vmx = nested_vcpu_in_vmx(vcpu);
	u64 held = in_vmx ? CR0_PE | CR0_PG : 0;
	u64 cr0 = control_registers_read_cr0();

	vmcs_write(VMCS_CR0_MASK, control_registers_our_cr0() | held);
	vmcs_write(VMCS_CR0_SHADOW, cr0);
	vmcs_write(VMCS_CR4_MASK, control_registers_our_cr4(vcpu));
	if (vcpu->nested)
		vcpu->nested->in_vmx = in_vmx;
}

/* What VMX operation holds at 1 for the guest that runs. */
static u64 held_cr0(const struct vcpu *vcpu)
{
	const struct vmcs12 *v;

	if (!nested_vcpu_in_vmx(vcpu))
		return 0;
	v = &vcpu->nested->state.vmcs12;
	if (vcpu->in_l2 &&
	    (nested_secondary_controls(v) & SECONDARY_UNRESTRICTED_GUEST))
		return vcpu->vm->offer.cr0_fixed0 & ~(CR0_PE | CR0_PG);
	return vcpu->vm->offer.cr0_fixed0;
}

static u64 held_cr4(const struct vcpu *vcpu)
{
	return nested_vcpu_in_vmx(vcpu) ? vcpu->vm->offer.cr4_fixed0 : 0;
}

static u64 compose(enum vmcs_field field, enum vmcs_field mask_field,
		   enum vmcs_field shadow)
{
	u64 mask = vmcs_read(mask_field);

	return (vmcs_read(field) & ~mask) | (vmcs_read(shadow) & mask);
}

u64 control_registers_read_cr0(void)
{
	return compose(VMCS_GUEST_CR0, VMCS_CR0_MASK, VMCS_CR0_SHADOW);
}

u64 control_registers_read_cr4(void)
{
	return compose(VMCS_GUEST_CR4, VMCS_CR4_MASK, VMCS_CR4_SHADOW);
}

u64 control_registers_true_cr0(const struct vcpu *vcpu)
{
	const struct nested_cr cr = {vmcs_read(VMCS_GUEST_CR0),
				     vmcs_read(VMCS_CR0_SHADOW)};
	const struct vmcs12 *v;
	u64 kept;

	if (!vcpu->in_l2)
		return control_registers_read_cr0();
	v = &vcpu->nested->state.vmcs12;
	kept = nested_cr0_kept(cr.shadow, v->cr0_mask,
			       vcpu->nested->now->loaded.cr0_kept);
	return nested_cr0_leave(v, control_registers_our_cr0(), cr, kept);
}

u64 control_registers_true_cr4(const struct vcpu *vcpu)
{
	const struct nested_cr cr = {vmcs_read(VMCS_GUEST_CR4),
				     vmcs_read(VMCS_CR4_SHADOW)};
	const struct vmcs12 *v;

	if (!vcpu->in_l2)
		return control_registers_read_cr4();
	v = &vcpu->nested->state.vmcs12;
	return nested_cr_leave(v->guest_cr4, v->cr4_mask,
			       control_registers_our_cr4(vcpu), cr);
}

u64 control_registers_written_cr0(const struct vcpu *vcpu, u64 value)
{
	if (!vcpu->in_l2)
		return value;
	return nested_cr_written(value, vcpu->nested->state.vmcs12.cr0_mask,
				 control_registers_true_cr0(vcpu));
}

u64 control_registers_written_cr4(const struct vcpu *vcpu, u64 value)
{
	if (!vcpu->in_l2)
		return value;
	return nested_cr_written(value, vcpu->nested->state.vmcs12.cr4_mask,
				 control_registers_true_cr4(vcpu));
}

static void update_long_mode(u64 cr0)
{
	u64 efer = vmcs_read(VMCS_GUEST_EFER);
	u64 entry = vmcs_read(VMCS_ENTRY_CONTROLS);

	if ((efer & EFER_LME) && (cr0 & CR0_PG)) {
		efer |= EFER_LMA;
		entry |= ENTRY_IA32E_MODE_GUEST;
	} else {
		efer &= ~EFER_LMA;
		entry &= ~ENTRY_IA32E_MODE_GUEST;
	}
	vmcs_write(VMCS_GUEST_EFER, efer);
	vmcs_write(VMCS_ENTRY_CONTROLS, entry);
}

void control_registers_write_cr0(struct vcpu *vcpu, u64 value)
{
	/* "Unrestricted guest" exempts PE and PG from the fixed bits. */
	u64 must = vmx_capability.cr0_fixed0 & ~(CR0_PE | CR0_PG);

	/* Reserved bits stay 0 whatever is written. */
	u64 new = (value & CR0_DEFINED) | CR0_ET;
	struct nested_cr cr = {.guest = new, .shadow = new};

	if (vcpu->in_l2) {
		cr = (struct nested_cr){vmcs_read(VMCS_GUEST_CR0),
					vmcs_read(VMCS_CR0_SHADOW)};
		cr = nested_cr_write(new, vcpu->nested->state.vmcs12.cr0_mask,
				     0, cr);
	}
	vmcs_write(VMCS_CR0_SHADOW, cr.shadow);
	vmcs_write(VMCS_GUEST_CR0,
		   (cr.guest & ~(CR0_CD | CR0_NW)) | CR0_ET | must);
	update_long_mode(cr.guest);
}

void control_registers_write_cr4(struct vcpu *vcpu, u64 value)
{
	struct nested_cr cr = {.guest = value, .shadow = value};

	if (vcpu->in_l2) {
		cr = (struct nested_cr){vmcs_read(VMCS_GUEST_CR4),
					vmcs_read(VMCS_CR4_SHADOW)};
		cr = nested_cr_write(value, vcpu->nested->state.vmcs12.cr4_mask,
				     0, cr);
	}
	vmcs_write(VMCS_CR4_SHADOW, cr.shadow);
	vmcs_write(VMCS_GUEST_CR4,
		   cr.guest | vmx_capability.cr4_fixed0 | CR4_MCE);
}

void control_registers_load_l1(u64 cr0, u64 cr4)
{
	u64 must = vmx_capability.cr0_fixed0 & ~(CR0_PE | CR0_PG);

	cr0 = (cr0 & CR0_DEFINED) | CR0_ET;
	vmcs_write(VMCS_CR0_SHADOW, cr0);
	vmcs_write(VMCS_GUEST_CR0, (cr0 & ~(CR0_CD | CR0_NW)) | must);
	vmcs_write(VMCS_CR4_SHADOW, cr4);
	vmcs_write(VMCS_GUEST_CR4, cr4 | vmx_capability.cr4_fixed0 | CR4_MCE);
}

static bool task_is_16_bit(void)
{
	u64 type =
	    bits_get(vmcs_read(VMCS_GUEST_TR_ACCESS_RIGHTS), RIGHTS_TYPE);

	return type == TYPE_TSS16 || type == TYPE_TSS16_BUSY;
}

/* SDM vol. 2, "MOV-Move to/from Control Registers". */
enum control_register_verdict
control_registers_check_cr0(const struct vcpu *vcpu, u64 value)
{
	u64 cr4 = vmcs_read(VMCS_GUEST_CR4);
	u64 efer = vmcs_read(VMCS_GUEST_EFER);
	bool code_is_long =
	    vmcs_read(VMCS_GUEST_CS_ACCESS_RIGHTS) & RIGHTS_LONG;

	if ((value & BITS(63, 32)) || (held_cr0(vcpu) & ~value))
		return CONTROL_REGISTER_FAULT;
	if ((value & CR0_PG) && !(value & CR0_PE))
		return CONTROL_REGISTER_FAULT;
	if ((value & CR0_NW) && !(value & CR0_CD))
		return CONTROL_REGISTER_FAULT;
	if ((value & CR0_PG) && (efer & EFER_LME) && !(efer & EFER_LMA) &&
	    (!(cr4 & CR4_PAE) || code_is_long || task_is_16_bit()))
		return CONTROL_REGISTER_FAULT;
	if (!(value & CR0_PG) &&
	    ((cr4 & CR4_PCIDE) || ((efer & EFER_LMA) && code_is_long)))
		return CONTROL_REGISTER_FAULT;
	return CONTROL_REGISTER_OK;
}

enum control_register_verdict
control_registers_check_cr4(const struct vcpu *vcpu, u64 value)
{
	u64 old = control_registers_true_cr4(vcpu);
	u64 efer = vmcs_read(VMCS_GUEST_EFER);

	if ((value & ~cr4_allowed(vcpu)) || (held_cr4(vcpu) & ~value))
		return CONTROL_REGISTER_FAULT;
	if ((efer & EFER_LMA) && !(value & CR4_PAE))
		return CONTROL_REGISTER_FAULT;
	if ((value & CR4_PCIDE) && !(old & CR4_PCIDE) &&
	    (!(efer & EFER_LMA) || (vmcs_read(VMCS_GUEST_CR3) & BITS(11, 0))))
		return CONTROL_REGISTER_FAULT;
	return CONTROL_REGISTER_OK;
}

/* SDM vol. 3, "Extended Feature Enable Register". */
enum control_register_verdict control_registers_set_efer(struct vcpu *vcpu,
							 u64 value)
{
	u64 old = vmcs_read(VMCS_GUEST_EFER);
	u64 defined = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	bool paging = vmcs_read(VMCS_GUEST_CR0) & CR0_PG;

	(void)vcpu;
	if (value & ~defined)
		return CONTROL_REGISTER_FAULT;
	if (paging && ((value ^ old) & EFER_LME))
		return CONTROL_REGISTER_FAULT;
	/* LMA is the CPU's to change; writes to it are ignored. */
	vmcs_write(VMCS_GUEST_EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
	return CONTROL_REGISTER_OK;
}
