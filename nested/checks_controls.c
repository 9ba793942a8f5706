/* SPDX-License-Identifier: MIT */
/* SDM vol. 3, "VM-Execution Control Fields", among the checks of VM entries. */
#include "nested/checks_parts.h"

#define EPTP_TYPE      BITS(2, 0)
#define EPTP_WALK      BITS(5, 3)
#define EPTP_DIRTY     BIT(6)
#define EPTP_RESERVED  BITS(11, 7)
#define EPTP_TYPE_UC   0
#define EPTP_TYPE_WB   6
#define EPTP_WALK_4    3

#define APIC_TPR       0x80
#define THRESHOLD      BITS(3, 0)
#define NOT_AN_ADDRESS BITS(5, 0)

static enum nested_rule check_words(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;

	RULE(is_allowed(e, CONTROLS_PIN, v->pin_controls), PIN_RESERVED);
	RULE(is_allowed(e, CONTROLS_PRIMARY, v->primary_controls),
	     PRIMARY_RESERVED);
	RULE(is_allowed(e, CONTROLS_SECONDARY, nested_secondary_controls(v)) ||
		 !has_primary(e, PRIMARY_SECONDARY),
	     SECONDARY_RESERVED);
	return RULE_NONE;
}

static enum nested_rule check_bitmaps(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;

	RULE(v->cr3_target_count <= nested_capability_cr3_targets(e->offer),
	     CR3_TARGETS);
	if (has_primary(e, PRIMARY_IO_BITMAPS)) {
		RULE(is_page(e, v->io_bitmap_a), IO_BITMAP_A);
		RULE(is_page(e, v->io_bitmap_b), IO_BITMAP_B);
	}
	if (has_primary(e, PRIMARY_MSR_BITMAPS))
		RULE(is_page(e, v->msr_bitmap), MSR_BITMAP);
	return RULE_NONE;
}

static enum nested_rule check_nmi(const struct nested_entry *e)
{
	RULE(has_pin(e, PIN_NMI) || !has_pin(e, PIN_VIRTUAL_NMIS), NMI_EXITING);
	RULE(has_pin(e, PIN_VIRTUAL_NMIS) ||
		 !has_primary(e, PRIMARY_NMI_WINDOW),
	     NMI_WINDOW);
	return RULE_NONE;
}

/* Where nobody answers, ones are read: the highest priority. */
static u32 virtual_tpr(const struct nested_entry *e)
{
	u32 tpr;

	if (!e->mem)
		return ~0u;
	if (guest_mem_read_u32(
		e->mem, gpa(e->v->virtual_apic_address + APIC_TPR), &tpr) != OK)
		return ~0u;
	return tpr;
}

enum nested_rule nested_check_tpr(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;

	if (!has_primary(e, PRIMARY_TPR_SHADOW)) {
		RULE(!has_secondary(e, SECONDARY_X2APIC_MODE |
					   SECONDARY_APIC_REGISTERS |
					   SECONDARY_INTERRUPT_DELIVERY),
		     NO_TPR_SHADOW);
		return RULE_NONE;
	}
	RULE(is_page(e, v->virtual_apic_address), VIRTUAL_APIC);
	if (has_secondary(e, SECONDARY_INTERRUPT_DELIVERY))
		return RULE_NONE;
	RULE(!(v->tpr_threshold & ~THRESHOLD), TPR_THRESHOLD_RESERVED);
	if (!has_secondary(e, SECONDARY_APIC_ACCESSES))
		RULE(v->tpr_threshold <= bits_get(virtual_tpr(e), BITS(7, 4)),
		     TPR_THRESHOLD);
	return RULE_NONE;
}

static enum nested_rule check_apic(const struct nested_entry *e)
{
	if (has_secondary(e, SECONDARY_APIC_ACCESSES)) {
		RULE(is_page(e, e->v->apic_access_address), APIC_ACCESS);
		RULE(!has_secondary(e, SECONDARY_X2APIC_MODE),
		     X2APIC_AND_ACCESSES);
	}
	if (has_secondary(e, SECONDARY_INTERRUPT_DELIVERY))
		RULE(has_pin(e, PIN_EXTERNAL_INTERRUPT), DELIVERY_EXITING);
	return RULE_NONE;
}

static enum nested_rule check_posted(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;

	if (!has_pin(e, PIN_POSTED_INTERRUPTS))
		return RULE_NONE;
	RULE(has_secondary(e, SECONDARY_INTERRUPT_DELIVERY), POSTED_DELIVERY);
	RULE(has_exit(e, EXIT_ACKNOWLEDGE_INTERRUPT), POSTED_ACKNOWLEDGE);
	RULE(v->posted_interrupt_vector <= 255, POSTED_VECTOR);
	RULE(!(v->posted_interrupt_descriptor & NOT_AN_ADDRESS) &&
		 is_in_width(e, v->posted_interrupt_descriptor),
	     POSTED_DESCRIPTOR);
	return RULE_NONE;
}

bool nested_eptp_is_valid(u64 eptp, const struct nested_capability *offer,
			  u32 phys_bits)
{
	u64 type = bits_get(eptp, EPTP_TYPE);
	bool type_fits =
	    (type == EPTP_TYPE_UC && (offer->ept_vpid & EPT_CAP_UC)) ||
	    (type == EPTP_TYPE_WB && (offer->ept_vpid & EPT_CAP_WB));

	return type_fits && bits_get(eptp, EPTP_WALK) == EPTP_WALK_4 &&
	       (!(eptp & EPTP_DIRTY) ||
		(offer->ept_vpid & EPT_CAP_ACCESSED_DIRTY)) &&
	       !(eptp & EPTP_RESERVED) && !(eptp >> phys_bits);
}

static enum nested_rule check_translation(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;
	bool ept = has_secondary(e, SECONDARY_EPT);

	if (has_secondary(e, SECONDARY_VPID))
		RULE(v->vpid != 0, VPID);
	if (ept)
		RULE(nested_eptp_is_valid(v->ept_pointer, e->offer,
					  e->phys_bits),
		     EPT_POINTER);
	if (has_secondary(e, SECONDARY_PML)) {
		RULE(ept, PML_EPT);
		RULE(is_page(e, v->pml_address), PML_ADDRESS);
	}
	RULE(ept || !has_secondary(e, SECONDARY_UNRESTRICTED_GUEST),
	     UNRESTRICTED_EPT);
	return RULE_NONE;
}

static enum nested_rule check_functions(const struct nested_entry *e)
{
	const struct vmcs12 *v = e->v;

	if (has_secondary(e, SECONDARY_VMFUNC)) {
		RULE(!(v->vmfunc_controls & ~e->offer->vmfunc),
		     VMFUNC_RESERVED);
		if (v->vmfunc_controls & VMFUNC_EPTP_SWITCHING) {
			RULE(has_secondary(e, SECONDARY_EPT),
			     EPTP_SWITCHING_EPT);
			RULE(is_page(e, v->eptp_list_address), EPTP_LIST);
		}
	}
	if (has_secondary(e, SECONDARY_VMCS_SHADOWING)) {
		RULE(is_page(e, v->vmread_bitmap), VMREAD_BITMAP);
		RULE(is_page(e, v->vmwrite_bitmap), VMWRITE_BITMAP);
	}
	if (has_secondary(e, SECONDARY_TSC_SCALING))
		RULE(v->tsc_multiplier, TSC_MULTIPLIER);
	return RULE_NONE;
}

enum nested_rule nested_check_controls(const struct nested_entry *e)
{
	static nested_check *const checks[] = {
	    check_words, check_bitmaps, check_nmi,         nested_check_tpr,
	    check_apic,  check_posted,  check_translation, check_functions,
	};

	return nested_run_checks(e, checks, ARRAY_COUNT(checks));
}
