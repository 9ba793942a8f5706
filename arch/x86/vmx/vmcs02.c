/* SPDX-License-Identifier: MIT */
/* vmcs02: from vmcs12 into the CPU, and back. */
#include "arch/x86/vmx/vmcs02.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/vmcs_host.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "mm/phys.h"
#include "nested/fields.h"
#include "pml/pml.h"

void vmcs02_init(struct vcpu *vcpu)
{
	const struct nested_vcpu *n = vcpu->nested;

	vmcs_host_write_constants(vcpu);
	vmcs_host_write_this_cpu();
	vmcs_write(VMCS_MSR_BITMAP, hpa_raw(n->now->msr_bitmap));
	vmcs_write(VMCS_EPT_POINTER, ept_pointer(&vcpu->vm->ept));
	if (vmx_capability.has_vpid)
		vmcs_write(VMCS_VPID, n->vpid);
	if (vmx_capability.has_pml) {
		vmcs_write(VMCS_PML_ADDRESS, hpa_raw(vcpu->pml_page));
		vmcs_write(VMCS_PML_INDEX, PML_INDEX_EMPTY);
	}
}

/* --- Controls ------------------------------------------------------------- */

/* A page of L1's that the CPU is to use; 0: it is no memory. */
static hpa_t page_of(const struct vcpu *vcpu, u64 address)
{
	hpa_t frame;

	return guest_mem_frame(&vcpu->vm->memory, gpa(address), &frame) == OK
		   ? frame
		   : hpa(0);
}

static void describe_base(const struct vcpu *vcpu, u64 l1_cr0,
			  struct nested_base *base)
{
	const struct vmcs12 *v = &vcpu->nested->state.vmcs12;
	u32 secondary = nested_secondary_controls(v);

	memcpy(base->words, vmx_capability.controls.words, sizeof(base->words));
	/* What L1's CPU does not have, L2's does not have either. */
	base->words[CONTROLS_SECONDARY] = vcpu_secondary(vcpu);
	base->exception_bitmap = (u32)VCPU_EXCEPTIONS_EXITING;
	base->cr0_mask = control_registers_our_cr0();
	base->cr4_mask = control_registers_our_cr4(vcpu);
	base->cr0_fixed0 = vmx_capability.cr0_fixed0;
	base->cr4_fixed0 = vmx_capability.cr4_fixed0;
	base->tsc_offset = vcpu_tsc_offset(vcpu);
	base->tsc_multiplier = vcpu->vm->time.multiplier;
	base->l1_cr0 = l1_cr0;
	base->cr3_targets =
	    (u32)bits_get(vmx_capability.misc, MISC_CR3_TARGETS);
	base->virtual_apic = v->primary_controls & PRIMARY_TPR_SHADOW
				 ? page_of(vcpu, v->virtual_apic_address)
				 : hpa(0);
	base->apic_access = secondary & SECONDARY_APIC_ACCESSES
				? page_of(vcpu, v->apic_access_address)
				: hpa(0);
}

/*
 * Writes what differs; fields that do not exist or are not used stay. What
 * Umbra adds to the words later (windows, PML) goes with that.
 */
static void write_merged(struct vcpu *vcpu, const struct nested_merged *new)
{
	struct nested_loaded *loaded = &vcpu->nested->now->loaded;
	u64 *old = loaded->merged.values;

	for (u32 i = 0; i < MERGED_COUNT; i++) {
		if ((loaded->merged_once && old[i] == new->values[i]) ||
		    !nested_merged_is_used(new, (enum nested_merged_field)i))
			continue;
		vmcs_write((enum vmcs_field)nested_merged_rules[i].field,
			   new->values[i]);
		old[i] = new->values[i];
	}
	loaded->merged_once = true;
}

/* Takes back what Umbra has added. */
static void strip_words(struct vcpu *vcpu)
{
	const u64 *values = vcpu->nested->now->loaded.merged.values;

	if (vcpu->interrupt_window || vcpu->nmi_window)
		vmcs_write(VMCS_PRIMARY_CONTROLS, values[MERGED_PRIMARY]);
	if (vcpu->pml_on)
		vmcs_write(VMCS_SECONDARY_CONTROLS, values[MERGED_SECONDARY]);
	vcpu->interrupt_window = vcpu->nmi_window = vcpu->pml_on = false;
}

static const u64 *find_msr_bitmap(const struct vcpu *vcpu)
{
	const struct vmcs12 *v = &vcpu->nested->state.vmcs12;

	if (!(v->primary_controls & PRIMARY_MSR_BITMAPS))
		return NULL;
	return guest_mem_ptr(&vcpu->vm->memory, gpa(v->msr_bitmap), PAGE_4K);
}

static void write_msr_bitmap(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;

	nested_merge_msr_bitmap(phys_ptr(n->now->msr_bitmap),
				phys_ptr(vcpu->msr_bitmap),
				n->now->loaded.l1_bitmap, &n->now->free_words,
				&n->now->loaded.merged);
	n->now->loaded.msr_bitmap_changes = vcpu->msr_bitmap_changes;
}

bool vmcs02_is_made_with(const struct vcpu *vcpu, u64 l1_cr0)
{
	const struct nested_loaded *loaded = &vcpu->nested->now->loaded;

	return loaded->cr0_kept == (l1_cr0 & NESTED_CR0_KEPT) &&
	       loaded->tsc_offset == vcpu_tsc_offset(vcpu);
}

/*
 * Both loaded at entries and saved at exits: then vmcs02 has it, unless L1 has
 * written it.
 */
static bool is_kept(const struct vmcs12 *v, u64 load, u64 save)
{
	return (v->entry_controls & load) && (v->exit_controls & save);
}

static bool keeps_all(const struct vmcs12 *v)
{
	return is_kept(v, ENTRY_LOAD_EFER, EXIT_SAVE_EFER) &&
	       is_kept(v, ENTRY_LOAD_PAT, EXIT_SAVE_PAT) &&
	       is_kept(v, ENTRY_LOAD_DEBUG_CONTROLS,
		       EXIT_SAVE_DEBUG_CONTROLS) &&
	       !v->entry_msr_load_count;
}

/*
 * Only pages of 4K are looked at: SDM vol. 3, "Issues Pertaining to Page Size
 * and TLB Management". An EPT12 has them, or L1 is at fault; without one EPT01
 * must, unless it is where EPT01 has nothing.
 */
static void note_apic(struct vcpu *vcpu, const struct nested_merged *merged)
{
	struct nested_state *state = &vcpu->nested->state;
	struct nested_loaded *loaded = &vcpu->nested->now->loaded;

	if (!nested_merge_moves_apic(&loaded->merged, merged))
		return;
	loaded->moved_apic = true;
	if (!(nested_secondary_controls(&state->vmcs12) & SECONDARY_EPT) &&
	    ept_keep_small(&vcpu->vm->ept,
			   gpa(state->vmcs12.apic_access_address)) ==
		ERR_NO_MEMORY)
		vcpu_fail(vcpu, "no memory for a small page");
}

static void load_controls(struct vcpu *vcpu, u64 l1_cr0)
{
	struct nested_vcpu *n = vcpu->nested;
	bool is_anew = !n->now->loaded.controls;

	strip_words(vcpu);
	if (is_anew) {
		struct nested_base base;
		struct nested_merged merged = {.values = {0}};

		describe_base(vcpu, l1_cr0, &base);
		nested_merge(&n->state.vmcs12, &base, &merged);
		note_apic(vcpu, &merged);
		write_merged(vcpu, &merged);
		n->now->loaded.registers = false;
		n->now->loaded.controls = true;
		n->now->loaded.l1_bitmap = find_msr_bitmap(vcpu);
		n->now->loaded.keeps_all = keeps_all(&n->state.vmcs12);
		n->now->loaded.has_ept =
		    nested_secondary_controls(&n->state.vmcs12) & SECONDARY_EPT;
		n->now->loaded.l1_logs =
		    nested_secondary_controls(&n->state.vmcs12) & SECONDARY_PML;
		n->now->loaded.cr0_kept = l1_cr0 & NESTED_CR0_KEPT;
		n->now->loaded.tsc_offset = vcpu_tsc_offset(vcpu);
	}
	/* L1 may change its bitmap without a word, but for what it promises
	 * with an eVMCS. */
	if (is_anew || !n->msr_bitmap_is_clean ||
	    n->now->loaded.msr_bitmap_changes != vcpu->msr_bitmap_changes)
		write_msr_bitmap(vcpu);
}

void vmcs02_load_tsc(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	struct nested_base base;
	struct nested_merged merged = {.values = {0}};

	if (n->now->loaded.tsc_offset == vcpu_tsc_offset(vcpu))
		return;
	describe_base(vcpu, control_registers_read_cr0(), &base);
	nested_merge(&n->state.vmcs12, &base, &merged);
	vmcs_write(VMCS_TSC_OFFSET, merged.values[MERGED_TSC_OFFSET]);
	n->now->loaded.merged.values[MERGED_TSC_OFFSET] =
	    merged.values[MERGED_TSC_OFFSET];
	n->now->loaded.tsc_offset = vcpu_tsc_offset(vcpu);
}

/* --- Guest state ---------------------------------------------------------- */

static void write_cold_fields(const struct vmcs12 *v)
{
	const u8 *from = (const u8 *)v;

	for (u32 i = 0; i < NESTED_COLD_16; i++)
		vmcs_write((enum vmcs_field)nested_cold_16[i].field,
			   *(const u16 *)(from + nested_cold_16[i].offset));
	for (u32 i = 0; i < NESTED_COLD_32; i++)
		vmcs_write((enum vmcs_field)nested_cold_32[i].field,
			   *(const u32 *)(from + nested_cold_32[i].offset));
	for (u32 i = 0; i < NESTED_COLD_64; i++)
		vmcs_write((enum vmcs_field)nested_cold_64[i].field,
			   *(const u64 *)(from + nested_cold_64[i].offset));
}

static void read_cold_fields(struct vmcs12 *v)
{
	u8 *to = (u8 *)v;

	for (u32 i = 0; i < NESTED_COLD_16; i++)
		*(u16 *)(to + nested_cold_16[i].offset) =
		    (u16)vmcs_read((enum vmcs_field)nested_cold_16[i].field);
	for (u32 i = 0; i < NESTED_COLD_32; i++)
		*(u32 *)(to + nested_cold_32[i].offset) =
		    (u32)vmcs_read((enum vmcs_field)nested_cold_32[i].field);
	for (u32 i = 0; i < NESTED_COLD_64; i++)
		*(u64 *)(to + nested_cold_64[i].offset) =
		    vmcs_read((enum vmcs_field)nested_cold_64[i].field);
}

static void write_control_registers(const struct vcpu *vcpu, u64 l1_cr0)
{
	const struct vmcs12 *v = &vcpu->nested->state.vmcs12;
	const struct nested_base base = {
	    .cr0_fixed0 = vmx_capability.cr0_fixed0,
	    .cr4_fixed0 = vmx_capability.cr4_fixed0,
	    .l1_cr0 = l1_cr0,
	};
	struct nested_cr cr = nested_cr0_enter(v, &base);

	vmcs_write(VMCS_GUEST_CR0, cr.guest);
	vmcs_write(VMCS_CR0_SHADOW, cr.shadow);
	cr = nested_cr4_enter(v, &base);
	vmcs_write(VMCS_GUEST_CR4, cr.guest);
	vmcs_write(VMCS_CR4_SHADOW, cr.shadow);
}

/* SDM vol. 3, "Loading Guest Control Registers, Debug Registers, and MSRs". */
static inline u64 efer_of_l2(const struct vmcs12 *v, u64 l1_efer)
{
	const u64 mode = EFER_LMA | EFER_LME;

	if (v->entry_controls & ENTRY_LOAD_EFER)
		return v->guest_efer;
	if (v->entry_controls & ENTRY_IA32E_MODE_GUEST)
		return l1_efer | mode;
	/* With paging off, LME stays as it is. */
	return v->guest_cr0 & CR0_PG ? l1_efer & ~mode : l1_efer & ~EFER_LMA;
}

static ALWAYS_INLINE void write_loaded(const struct vmcs12 *v,
				       const struct vmcs02_of_l1 *l1, bool cold)
{
	bool debug = v->entry_controls & ENTRY_LOAD_DEBUG_CONTROLS;

	if (!cold || !is_kept(v, ENTRY_LOAD_EFER, EXIT_SAVE_EFER))
		vmcs_write_first(VMCS_GUEST_EFER, efer_of_l2(v, l1->efer));
	if (!cold || !is_kept(v, ENTRY_LOAD_PAT, EXIT_SAVE_PAT))
		vmcs_write_first(VMCS_GUEST_PAT,
				 v->entry_controls & ENTRY_LOAD_PAT
				     ? v->guest_pat
				     : l1->pat);
	if (cold &&
	    is_kept(v, ENTRY_LOAD_DEBUG_CONTROLS, EXIT_SAVE_DEBUG_CONTROLS))
		return;
	vmcs_write_first(VMCS_GUEST_DR7, debug ? v->guest_dr7 : l1->dr7);
	vmcs_write(VMCS_GUEST_DEBUGCTL,
		   debug ? v->guest_debugctl : l1->debugctl);
}

static void load_cold(struct vcpu *vcpu, const struct vmcs02_of_l1 *l1,
		      const u64 pdptes[4])
{
	struct nested_vcpu *n = vcpu->nested;
	const struct vmcs12 *v = &n->state.vmcs12;

	write_loaded(v, l1, n->now->loaded.cold);
	if (!n->now->loaded.cold) {
		write_cold_fields(v);
		if (n->now->loaded.merged.values[MERGED_SECONDARY] &
		    SECONDARY_INTERRUPT_DELIVERY)
			vmcs_write(VMCS_GUEST_INTERRUPT_STATUS,
				   v->guest_interrupt_status);
	}
	if (!n->now->loaded.cold || !n->now->loaded.registers) {
		write_control_registers(vcpu, l1->cr0);
		/*
		 * IA-32e mode is L2's to change: each exit saves it, and what
		 * was merged may be of before that.
		 */
		vmcs_write(VMCS_ENTRY_CONTROLS,
			   bits_set(n->now->loaded.merged.values[MERGED_ENTRY],
				    ENTRY_IA32E_MODE_GUEST,
				    bits_get(v->entry_controls,
					     ENTRY_IA32E_MODE_GUEST)));
	}
	n->now->loaded.cold = n->now->loaded.registers = true;
	if (nested_uses_pae(v))
		for (u32 i = 0; i < 4; i++)
			vmcs_write(VMCS_GUEST_PDPTE0 + 2 * i, pdptes[i]);
}

static void load_hot(const struct vmcs12 *v)
{
	vmcs_write_first(VMCS_GUEST_RIP, v->guest_rip);
	vmcs_write_first(VMCS_GUEST_RSP, v->guest_rsp);
	vmcs_write_first(VMCS_GUEST_RFLAGS, v->guest_rflags);
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, v->guest_interruptibility);
}

void vmcs02_load(struct vcpu *vcpu, const struct vmcs02_of_l1 *l1,
		 const u64 pdptes[4])
{
	const struct vmcs12 *v = &vcpu->nested->state.vmcs12;

	load_controls(vcpu, l1->cr0);
	load_cold(vcpu, l1, pdptes);
	load_hot(v);
	if (nested_held_nmis(v))
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
			   nested_interruptibility_enter(v));
}

bool vmcs02_has_all_but_hot(const struct vcpu *vcpu)
{
	const struct nested_loaded *loaded = &vcpu->nested->now->loaded;

	return (loaded->controls & loaded->registers & loaded->cold) &&
	       loaded->cr0_kept ==
		   (vmcs_read(VMCS_CR0_SHADOW) & NESTED_CR0_KEPT) &&
	       loaded->tsc_offset == vcpu_tsc_offset(vcpu);
}

void vmcs02_load_hot(struct vcpu *vcpu, const struct vmcs02_of_l1 *l1)
{
	struct nested_vcpu *n = vcpu->nested;

	strip_words(vcpu);
	write_msr_bitmap(vcpu);
	if (!n->now->loaded.keeps_all)
		write_loaded(&n->state.vmcs12, l1, true);
	load_hot(&n->state.vmcs12);
}

void vmcs02_save_hot(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	struct vmcs12 *v = &n->state.vmcs12;
	const u32 long_mode = (u32)ENTRY_IA32E_MODE_GUEST;

	v->guest_rip = vmcs_read_first(VMCS_GUEST_RIP);
	v->guest_rsp = vmcs_read_first(VMCS_GUEST_RSP);
	v->guest_rflags = vmcs_read_first(VMCS_GUEST_RFLAGS);
	v->guest_interruptibility =
	    (u32)vmcs_read_first(VMCS_GUEST_INTERRUPTIBILITY) |
	    n->now->loaded.held_nmis;
	v->guest_rights[SEG12_CS] =
	    (u32)vmcs_read_first(VMCS_GUEST_CS_ACCESS_RIGHTS);
	v->guest_rights[SEG12_SS] =
	    (u32)vmcs_read_first(VMCS_GUEST_SS_ACCESS_RIGHTS);
	v->entry_controls =
	    (v->entry_controls & ~long_mode) |
	    ((u32)vmcs_read_first(VMCS_ENTRY_CONTROLS) & long_mode);
	n->now->loaded.cr0_kept = nested_cr0_kept(
	    vmcs_read(VMCS_CR0_SHADOW), v->cr0_mask, n->now->loaded.cr0_kept);
}

static void save_control_registers(const struct vcpu *vcpu)
{
	struct vmcs12 *v = &vcpu->nested->state.vmcs12;
	struct nested_cr cr0 = {vmcs_read(VMCS_GUEST_CR0),
				vmcs_read(VMCS_CR0_SHADOW)};
	struct nested_cr cr4 = {vmcs_read(VMCS_GUEST_CR4),
				vmcs_read(VMCS_CR4_SHADOW)};

	v->guest_cr0 = nested_cr0_leave(v, control_registers_our_cr0(), cr0,
					vcpu->nested->now->loaded.cr0_kept);
	v->guest_cr4 = nested_cr_leave(v->guest_cr4, v->cr4_mask,
				       control_registers_our_cr4(vcpu), cr4);
}

/* SDM vol. 3, "Saving Control Registers, Debug Registers, and MSRs". */
static void save_as_asked(struct vmcs12 *v, u32 exit_controls)
{
	if (exit_controls & EXIT_SAVE_EFER)
		v->guest_efer = vmcs_read(VMCS_GUEST_EFER);
	if (exit_controls & EXIT_SAVE_PAT)
		v->guest_pat = vmcs_read(VMCS_GUEST_PAT);
	if (exit_controls & EXIT_SAVE_DEBUG_CONTROLS) {
		v->guest_dr7 = vmcs_read(VMCS_GUEST_DR7);
		v->guest_debugctl = vmcs_read(VMCS_GUEST_DEBUGCTL);
	}
}

void vmcs02_save_cold(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	struct vmcs12 *v = &n->state.vmcs12;

	read_cold_fields(v);
	save_control_registers(vcpu);
	save_as_asked(v, n->cold_exit_controls);
	if (nested_secondary_controls(v) & SECONDARY_EPT)
		for (u32 i = 0; i < 4; i++)
			v->guest_pdpte[i] =
			    vmcs_read(VMCS_GUEST_PDPTE0 + 2 * i);
	if (n->now->loaded.merged.values[MERGED_SECONDARY] &
	    SECONDARY_INTERRUPT_DELIVERY)
		v->guest_interrupt_status =
		    (u16)vmcs_read(VMCS_GUEST_INTERRUPT_STATUS);
	n->state.vmcs12_changed = true;
}

void vmcs02_save_rest(const struct vcpu *vcpu, struct nested_l2_registers *l2)
{
	l2->efer = vmcs_read(VMCS_GUEST_EFER);
	l2->pat = vmcs_read(VMCS_GUEST_PAT);
	l2->dr7 = vmcs_read(VMCS_GUEST_DR7);
	l2->debugctl = vmcs_read(VMCS_GUEST_DEBUGCTL);
	for (u32 i = 0; i < ARRAY_COUNT(l2->pdpte); i++)
		l2->pdpte[i] = vmcs_read(VMCS_GUEST_PDPTE0 + 2 * i);
	l2->cr0_kept = vcpu->nested->now->loaded.cr0_kept;
}

void vmcs02_load_rest(const struct nested_l2_registers *l2)
{
	vmcs_write(VMCS_GUEST_EFER, l2->efer);
	vmcs_write(VMCS_GUEST_PAT, l2->pat);
	vmcs_write(VMCS_GUEST_DR7, l2->dr7);
	vmcs_write(VMCS_GUEST_DEBUGCTL, l2->debugctl);
	for (u32 i = 0; i < ARRAY_COUNT(l2->pdpte); i++)
		vmcs_write(VMCS_GUEST_PDPTE0 + 2 * i, l2->pdpte[i]);
}
