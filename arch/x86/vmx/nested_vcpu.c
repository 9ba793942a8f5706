/* SPDX-License-Identifier: MIT */
/* The record of a vCPU that may be a hypervisor, and its two VMCSs. */
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/mitigate.h"
#include "arch/x86/vmx/nested_entry.h"
#include "arch/x86/vmx/vcpu_apic.h"
#include "arch/x86/vmx/vcpu_sync.h"
#include "arch/x86/vmx/vmcs02.h"
#include "arch/x86/vmx/vmcs_host.h"
#include "arch/x86/vmx/vmcs_shadow.h"
#include "arch/x86/vmx/vmx_cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/string.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

#define BLOCK FRAME_128K

/* Pages of the record's block. */
enum storage_page {
	STORAGE_RECORD,
	STORAGE_VMREAD_BITMAP,
	STORAGE_VMWRITE_BITMAP,
	STORAGE_ACCESS,
	STORAGE_SLOTS,                          /* two pages */
	STORAGE_ALL_VMCS02 = STORAGE_SLOTS + 2, /* two pages */
	STORAGE_VMCS02 = STORAGE_ALL_VMCS02 + 2,
	STORAGE_MSR_BITMAP = STORAGE_VMCS02 + NESTED_SLOTS,
	STORAGE_SHADOW_VMCS = STORAGE_MSR_BITMAP + NESTED_SLOTS,
	STORAGE_END = STORAGE_SHADOW_VMCS + NESTED_SLOTS,
};
_Static_assert(sizeof(struct nested_access) * NESTED_ACCESS_COUNT <= PAGE_4K,
	       "so does the table");
_Static_assert(sizeof(struct nested_vcpu) <= PAGE_4K, "the record fits");
_Static_assert(sizeof(struct nested_slots) <= 2 * PAGE_4K, "slots fit");
_Static_assert(sizeof(struct nested_vmcs02) * NESTED_SLOTS <= 2 * PAGE_4K,
	       "so do their VMCSs' records");
_Static_assert(STORAGE_END *PAGE_4K <= PAGE_4K << BLOCK, "the block");

static void *page_at(hpa_t block, u32 page)
{
	return phys_ptr(hpa_add(block, page * PAGE_4K));
}

static void make_vmcs02(const struct vcpu *vcpu, hpa_t block, u32 i)
{
	struct nested_vmcs02 *vmcs02 = &vcpu->nested->all[i];

	vmcs02->vmcs = hpa_add(block, (STORAGE_VMCS02 + i) * PAGE_4K);
	vmcs02->msr_bitmap = hpa_add(block, (STORAGE_MSR_BITMAP + i) * PAGE_4K);
	vmcs02->shadow_vmcs =
	    hpa_add(block, (STORAGE_SHADOW_VMCS + i) * PAGE_4K);
	memset(phys_ptr(vmcs02->msr_bitmap), 0xff, PAGE_4K);
	nested_free_words_find(phys_ptr(vcpu->msr_bitmap), &vmcs02->free_words);
	vmx_write_revision(vmcs02->vmcs);
	vmcs_shadow_make(vmcs02->shadow_vmcs);
}

enum err nested_vcpu_create(struct vcpu *vcpu)
{
	hpa_t block;
	struct nested_vcpu *n;
	enum err err = frame_alloc_zeroed(BLOCK, "a vCPU's nested VMX", &block);

	if (err != OK)
		return err;
	n = phys_ptr(block);
	vcpu->nested = n;
	n->vpid = vcpu_allocate_vpid();
	n->is_first = true;
	n->invept_pointer = NESTED_NO_POINTER;
	n->log_page.address = NESTED_NO_POINTER;
	nested_state_reset(&n->state);
	n->state.slots = page_at(block, STORAGE_SLOTS);
	nested_slots_reset(n->state.slots);
	n->all = page_at(block, STORAGE_ALL_VMCS02);
	for (u32 i = 0; i < NESTED_SLOTS; i++)
		make_vmcs02(vcpu, block, i);
	n->now = n->all;
	n->vmread_bitmap = hpa_add(block, STORAGE_VMREAD_BITMAP * PAGE_4K);
	n->vmwrite_bitmap = hpa_add(block, STORAGE_VMWRITE_BITMAP * PAGE_4K);
	n->access = page_at(block, STORAGE_ACCESS);
	nested_access_fill(n->access, &vcpu->vm->offer);
	for (u32 i = 0; i < NESTED_OPERAND_PAGES; i++)
		nested_operand_page_forget(&n->operand_pages[i]);
	vmcs_shadow_init(vcpu);
	return OK;
}

void nested_vcpu_destroy(struct vcpu *vcpu)
{
	if (!vcpu->nested)
		return;
	shadow_root_release(&vcpu->vm->shadow, &vcpu->nested->root);
	frame_free(phys_of(vcpu->nested), BLOCK);
	vcpu->nested = NULL;
}

hpa_t nested_vcpu_vmcs(const struct vcpu *vcpu)
{
	return vcpu->in_l2 ? vcpu->nested->now->vmcs : vcpu->vmcs;
}

bool nested_l2_has_ept(const struct vcpu *vcpu)
{
	return vcpu->in_l2 &&
	       (nested_secondary_controls(&vcpu->nested->state.vmcs12) &
		SECONDARY_EPT);
}

bool nested_l2_wants_pml(const struct vcpu *vcpu)
{
	return shadow_wants_pml(&vcpu->vm->shadow, &vcpu->nested->root);
}

void nested_vcpu_drain(struct vcpu *vcpu, const u64 *entries, u32 count)
{
	struct nested_vcpu *n = vcpu->nested;

	shadow_drain(&vcpu->vm->shadow, &n->root, entries, count,
		     &n->shadow_cuts);
}

void nested_vcpu_mark_pages(struct vcpu *vcpu)
{
	const struct nested_vcpu *n = vcpu->nested;

	if (n->now->loaded.merged.values[MERGED_PRIMARY] & PRIMARY_TPR_SHADOW)
		guest_mem_mark(&vcpu->vm->memory,
			       gpa(n->state.vmcs12.virtual_apic_address),
			       PAGE_4K);
}

/*
 * A record need not say where the eVMCS is: the VP-assist page does. The vCPU
 * is loaded for the first time, so its VM's memory is all there. In L1 it is
 * found again at the next VM entry; L2 could not exit without.
 */
static void find_evmcs(struct vcpu *vcpu)
{
	struct nested_state *state = &vcpu->nested->state;
	gpa_t evmcs;

	if (!state->is_enlightened || nested_knows_evmcs(state))
		return;
	if (hyperv_wants_evmcs(&vcpu->vm->hyperv, &vcpu->hyperv,
			       &vcpu->vm->memory, &evmcs) &&
	    nested_find_evmcs(state, evmcs,
			      vcpu->vm->platform.config.phys_bits) == OK)
		return;
	if (!state->in_l2) {
		state->is_enlightened = false;
		return;
	}
	state->in_l2 = false;
	vcpu_fail(vcpu, "its enlightened VMCS is not where its VP-assist page "
			"says");
}

/* On this CPU none of them is active any more. */
static void clear_active(const struct vcpu *vcpu)
{
	for (u32 i = 0; i < NESTED_SLOTS; i++) {
		struct nested_vmcs02 *vmcs02 = &vcpu->nested->all[i];

		if (!vmcs02->is_active)
			continue;
		CHECK(insn_vmclear(vmcs02->vmcs) == VMX_SUCCEED);
		CHECK(insn_vmclear(vmcs02->shadow_vmcs) == VMX_SUCCEED);
		vmcs02->is_active = false;
	}
}

static void forget_cpu(struct nested_other_vmcs *other)
{
	other->launched = 0;
	other->host_rsp = 0;
	other->elsewhere = true;
}

/*
 * Then what other vCPUs that have no such page have left in this CPU, by the
 * same EPT, is not to be used: nested_merge_moves_apic().
 */
static bool uses_apic_page(const struct nested_vcpu *n)
{
	for (u32 i = 0; i < NESTED_SLOTS; i++)
		if (nested_merged_is_used(&n->all[i].loaded.merged,
					  MERGED_APIC_ACCESS))
			return true;
	return false;
}

void nested_vcpu_load(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	u64 start = insn_rdtsc();

	if (!n)
		return;
	if (n->is_first) {
		for (u32 i = 0; i < NESTED_SLOTS; i++)
			n->all[i].is_active = true;
		clear_active(vcpu);
		/* It may have come with a current VMCS. */
		vmcs_shadow_switch(vcpu);
		vmcs_shadow_give(vcpu);
		find_evmcs(vcpu);
	}
	forget_cpu(&n->other);
	for (u32 i = 0; i < NESTED_SLOTS; i++)
		forget_cpu(&n->all[i].other);
	/* Translations of L2's that this CPU has may be from long ago. */
	if (vmx_capability.has_vpid)
		vmx_flush_vpid(n->vpid);
	if (uses_apic_page(n))
		vmx_flush_all_ept();
	/* It may have come in L2. */
	if (n->is_first && n->state.in_l2)
		nested_entry_resume(vcpu);
	if (n->is_first)
		n->first_ticks = insn_rdtsc() - start;
	n->is_first = false;
}

void nested_vcpu_unload(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;

	if (!n)
		return;
	/* The one that is in use is the caller's, once more. */
	clear_active(vcpu);
	if (vcpu->in_l2)
		CHECK(insn_vmclear(vcpu->vmcs) == VMX_SUCCEED);
}

static inline void use(struct vcpu *vcpu, const hpa_t *vmcs)
{
	struct nested_other_vmcs *other = &vcpu->nested->other;
	struct vcpu_registers *registers = &vcpu->registers;
	const struct nested_other_vmcs next = *other;

	other->launched = registers->launched;
	other->host_rsp = registers->host_rsp;
	other->of_vmcs = vcpu->of_vmcs;
	registers->launched = next.launched;
	registers->host_rsp = next.host_rsp;
	vcpu->of_vmcs = next.of_vmcs;
	vmcs_make_current(vmcs);
	if (unlikely(next.elsewhere))
		vmcs_host_write_this_cpu();
	other->elsewhere = false;
	other->exit_work = registers->exit_work;
	if (unlikely(next.exit_work != registers->exit_work))
		vmcs_write(VMCS_HOST_RIP, mitigate_exit_point(vcpu));
}

void nested_vcpu_use_vmcs02(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;

	use(vcpu, &n->now->vmcs);
	n->now->is_active = true;
	if (!n->now->loaded.initialised)
		vmcs02_init(vcpu);
	n->now->loaded.initialised = true;
	vcpu->in_l2 = n->state.in_l2 = true;
	vcpu->plain_ticks = INT64_MAX; /* as vcpu_choose_timer() has it */
}

void nested_vcpu_use_vmcs01(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;

	use(vcpu, &vcpu->vmcs);
	vcpu->in_l2 = n->state.in_l2 = false;
	vcpu_choose_timer(vcpu);
	/* L2 may have moved it. */
	if (n->vmcs01_tsc_offset != vcpu_tsc_offset(vcpu))
		vcpu_load_tsc(vcpu);
	vcpu_apic_settle(vcpu);
}

void nested_vcpu_take_slot(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	struct nested_slots *s = n->state.slots;
	struct nested_slot *slot = &s->slots[s->current];
	struct nested_vmcs02 *next = &n->all[s->current];

	if (n->now != next) {
		n->now->other = n->other;
		n->now = next;
		n->other = next->other;
	}
	vmcs_shadow_switch(vcpu);
	if (!slot->is_new)
		return;
	slot->is_new = false;
	n->now->loaded.controls = n->now->loaded.cold = false;
	n->now->loaded.checked = false;
	vmcs_shadow_give(vcpu);
}

bool nested_vcpu_switch(struct vcpu *vcpu, gpa_t address)
{
	struct nested_state *state = &vcpu->nested->state;
	const struct nested_slots *s = state->slots;
	u32 found = nested_slots_find(s, address);
	const struct nested_slot *slot = &s->slots[found];

	if (found == NESTED_SLOTS || state->is_enlightened || !slot->revision ||
	    __atomic_load_n(slot->revision, __ATOMIC_RELAXED) !=
		slot->vmcs12.revision)
		return false;
	nested_vcpu_settle(vcpu);
	nested_slots_switch(state, &vcpu->vm->memory, address);
	nested_vcpu_take_slot(vcpu);
	return true;
}

void nested_vcpu_write_back(struct vcpu *vcpu)
{
	if (vcpu->nested)
		nested_slots_write_back(&vcpu->nested->state,
					&vcpu->vm->memory);
}

void nested_vcpu_settle(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;

	if (!n)
		return;
	if (!vcpu->in_l2)
		vmcs_shadow_take(vcpu);
	if (!n->cold_is_newer)
		return;
	if (vcpu->in_l2) {
		vmcs_shadow_take_event(vcpu);
		vmcs02_save_hot(vcpu);
		vmcs02_save_cold(vcpu);
		vmcs02_save_rest(vcpu, &n->l2);
		return;
	}
	CHECK(insn_vmptrld(n->now->vmcs) == VMX_SUCCEED);
	vmcs02_save_cold(vcpu);
	CHECK(insn_vmptrld(vcpu->vmcs) == VMX_SUCCEED);
	n->cold_is_newer = false;
}

void nested_vcpu_read_l1(struct vcpu *vcpu, struct vcpu_state *state)
{
	if (vcpu->in_l2)
		CHECK(insn_vmptrld(vcpu->vmcs) == VMX_SUCCEED);
	vcpu_state_read(vcpu, state);
	if (vcpu->in_l2)
		CHECK(insn_vmptrld(vcpu->nested->now->vmcs) == VMX_SUCCEED);
}

void nested_vcpu_tell_shadow(struct vcpu *vcpu)
{
	vcpu->shadow_generation = &vcpu->vm->shadow.generation;
	__atomic_store_n(&vcpu->tells_shadow, true, __ATOMIC_RELEASE);
}

void nested_vcpu_enter_guest(struct vcpu *vcpu)
{
	enum flush flush;

	vcpu->shadow_entered =
	    shadow_enter(&vcpu->vm->shadow, cpu_this()->index, &flush);
	if (flush == FLUSH_OWED)
		vmx_flush_all_ept();
}

void nested_vcpu_set_masks(struct vcpu *vcpu)
{
	if (vcpu->nested->in_vmx != nested_vcpu_in_vmx(vcpu))
		control_registers_init(vcpu);
}
