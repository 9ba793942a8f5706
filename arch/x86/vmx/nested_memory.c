/* SPDX-License-Identifier: MIT */
/* Translating for L2. */
#include "arch/x86/vmx/nested_memory.h"
#include "arch/x86/vmx/nested_vcpu.h"

static u64 access_bit(enum guest_access access)
{
	switch (access) {
	case GUEST_WRITE:
	case GUEST_SYSTEM_WRITE:
		return EPT12_WRITE;
	case GUEST_FETCH:
		return EPT12_FETCH;
	case GUEST_LOOK:
	case GUEST_READ:
	case GUEST_SYSTEM_READ:
		break;
	}
	return EPT12_READ;
}

/* As the CPU would have exited. */
static enum err refuse(struct nested_memory *memory,
		       const struct ept12_walk *walk, u64 physical)
{
	struct nested_exit *exit = &memory->exit;

	exit->physical = ngpa(physical);
	exit->qualification = 0;
	switch (walk->outcome) {
	case EPT12_VIOLATION:
		exit->reason = EXIT_EPT_VIOLATION;
		exit->qualification = walk->qualification;
		break;
	case EPT12_MISCONFIGURED:
		exit->reason = EXIT_EPT_MISCONFIGURATION;
		break;
	case EPT12_LOG_FULL:
		exit->reason = EXIT_PML_FULL;
		break;
	case EPT12_CHANGING:
	case EPT12_MAPPED:
		return ERR_BUSY;
	}
	return ERR_STATE;
}

static enum err look_up(struct nested_memory *memory,
			const struct ept12_access *what, gpa_t *address)
{
	struct vmcs12 *v = &memory->vcpu->nested->state.vmcs12;
	struct ept12_log log = {
	    .on = nested_secondary_controls(v) & SECONDARY_PML,
	    .page = gpa(v->pml_address),
	    .index = v->pml_index,
	};
	struct ept12_walk walk;

	ept12_translate(&memory->vcpu->vm->shadow.ept12, v->ept_pointer, what,
			&log, &walk);
	if (log.on)
		v->pml_index = log.index;
	if (walk.outcome != EPT12_MAPPED)
		return refuse(memory, &walk, ngpa_raw(what->address));
	*address = walk.to;
	return OK;
}

/* SDM vol. 3, "Exit Qualification for APIC-Access VM Exits": bits 15:12. */
enum apic_access {
	APIC_READ,
	APIC_WRITE,
	APIC_FETCH,
	APIC_IN_DELIVERY,
	APIC_PHYSICAL_IN_DELIVERY = 10,
	APIC_PHYSICAL = 15,
};
#define APIC_ACCESS_SHIFT 12

static enum apic_access type_of(const struct nested_exit *exit)
{
	const u64 final = EPT12_LINEAR_VALID | EPT12_TRANSLATED;
	bool delivers = exit->idt_vectoring & EVENT_VALID;

	if ((exit->qualification & final) != final)
		return delivers ? APIC_PHYSICAL_IN_DELIVERY : APIC_PHYSICAL;
	if (delivers)
		return APIC_IN_DELIVERY;
	if (exit->qualification & EPT12_FETCH)
		return APIC_FETCH;
	return exit->qualification & EPT12_WRITE ? APIC_WRITE : APIC_READ;
}

bool nested_memory_is_apic(const struct vcpu *vcpu, gpa_t address,
			   struct nested_exit *exit)
{
	const struct vmcs12 *v = &vcpu->nested->state.vmcs12;

	if (!(nested_secondary_controls(v) & SECONDARY_APIC_ACCESSES) ||
	    align_down(gpa_raw(address), PAGE_4K) != v->apic_access_address)
		return false;
	exit->qualification = (u64)type_of(exit) << APIC_ACCESS_SHIFT |
			      (gpa_raw(address) & (PAGE_4K - 1));
	exit->reason = EXIT_APIC_ACCESS;
	return true;
}

static enum err translate(void *context, u64 physical, enum guest_access access,
			  enum guest_target target, gpa_t *address)
{
	const struct ept12_access what = {
	    .address = ngpa(physical),
	    .qualification = access_bit(access) | EPT12_LINEAR_VALID |
			     (target == GUEST_PAGE ? EPT12_TRANSLATED : 0),
	};
	struct nested_memory *memory = context;
	enum err err = look_up(memory, &what, address);

	if (err != OK || target != GUEST_PAGE)
		return err;
	/* No instruction that Umbra carries out goes past that page. */
	memory->exit.qualification = what.qualification;
	return nested_memory_is_apic(memory->vcpu, *address, &memory->exit)
		   ? ERR_STATE
		   : OK;
}

const struct guest_below *nested_memory_init(struct nested_memory *memory,
					     struct vcpu *vcpu)
{
	*memory = (struct nested_memory){
	    .vcpu = vcpu,
	    .below = {.translate = translate, .context = memory},
	};
	return nested_l2_has_ept(vcpu) ? &memory->below : NULL;
}

/* The table is aligned to its size: it is in one page. */
enum err nested_memory_read_pdptes(struct nested_memory *memory,
				   struct vcpu *vcpu, u64 physical,
				   u64 pdptes[4])
{
	const struct ept12_access what = {
	    .address = ngpa(physical),
	    .qualification = EPT12_READ,
	};
	gpa_t table = gpa(physical);
	enum err err = OK;

	if (nested_memory_init(memory, vcpu))
		err = look_up(memory, &what, &table);
	if (err != OK)
		return err;
	return guest_mem_read(&vcpu->vm->memory, table, pdptes,
			      4 * sizeof(*pdptes)) == OK
		   ? OK
		   : ERR_NOT_FOUND;
}
