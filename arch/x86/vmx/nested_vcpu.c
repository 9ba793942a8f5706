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

/* Pages of the record's block. */
enum storage_page {
	STORAGE_RECORD,
	STORAGE_VMCS02,
	STORAGE_MSR_BITMAP,
	STORAGE_SHADOW_VMCS,
	STORAGE_VMREAD_BITMAP,
	STORAGE_VMWRITE_BITMAP,
	STORAGE_ACCESS,
	STORAGE_END,
};
_Static_assert(sizeof(struct nested_access) * NESTED_ACCESS_COUNT <= PAGE_4K,
	       "so does the table");
_Static_assert(sizeof(struct nested_vcpu) <= PAGE_4K, "the record fits");
_Static_assert(STORAGE_END *PAGE_4K <= PAGE_4K << FRAME_32K, "the block");

enum err nested_vcpu_create(struct vcpu *vcpu)
{
	hpa_t block;
	struct nested_vcpu *n;
	enum err err =
	    frame_alloc_zeroed(FRAME_32K, "a vCPU's nested VMX", &block);

	if (err != OK)
		return err;
	n = phys_ptr(block);
	n->vmcs = hpa_add(block, STORAGE_VMCS02 * PAGE_4K);
	n->msr_bitmap = hpa_add(block, STORAGE_MSR_BITMAP * PAGE_4K);
	n->vpid = vcpu_allocate_vpid();
	n->is_first = true;
	n->invept_pointer = NESTED_NO_POINTER;
	n->log_page.address = NESTED_NO_POINTER;
	nested_state_reset(&n->state);
	memset(phys_ptr(n->msr_bitmap), 0xff, PAGE_4K);
	nested_free_words_find(phys_ptr(vcpu->msr_bitmap), &n->free_words);
	vmx_write_revision(n->vmcs);
	n->shadow_vmcs = hpa_add(block, STORAGE_SHADOW_VMCS * PAGE_4K);
	n->vmread_bitmap = hpa_add(block, STORAGE_VMREAD_BITMAP * PAGE_4K);
	n->vmwrite_bitmap = hpa_add(block, STORAGE_VMWRITE_BITMAP * PAGE_4K);
	n->access = phys_ptr(hpa_add(block, STORAGE_ACCESS * PAGE_4K));
	nested_access_fill(n->access, &vcpu->vm->offer);
	for (u32 i = 0; i < NESTED_OPERAND_PAGES; i++)
		nested_operand_page_forget(&n->operand_pages[i]);
	vcpu->nested = n;
	vmcs_shadow_init(vcpu);
	return OK;
}

static hpa_t block_of(const struct nested_vcpu *n)
{
	return hpa_add(n->vmcs, 0 - STORAGE_VMCS02 * PAGE_4K);
}

void nested_vcpu_destroy(struct vcpu *vcpu)
{
	if (!vcpu->nested)
		return;
	shadow_root_release(&vcpu->vm->shadow, &vcpu->nested->root);
	frame_free(block_of(vcpu->nested), FRAME_32K);
	vcpu->nested = NULL;
}

hpa_t nested_vcpu_vmcs(const struct vcpu *vcpu)
{
	return vcpu->in_l2 ? vcpu->nested->vmcs : vcpu->vmcs;
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

	if (n->loaded.merged.values[MERGED_PRIMARY] & PRIMARY_TPR_SHADOW)
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

void nested_vcpu_load(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	u64 start = insn_rdtsc();

	if (!n)
		return;
	if (n->is_first) {
		CHECK(insn_vmclear(n->vmcs) == VMX_SUCCEED);
		CHECK(insn_vmclear(n->shadow_vmcs) == VMX_SUCCEED);
		/* It may have come with a current VMCS. */
		vmcs_shadow_switch(vcpu);
		vmcs_shadow_give(vcpu);
		find_evmcs(vcpu);
	}
	n->other.launched = 0;
	n->other.host_rsp = 0;
	n->other.elsewhere = true;
	/* Translations of L2's that this CPU has may be from long ago. */
	if (vmx_capability.has_vpid)
		vmx_flush_vpid(n->vpid);
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
	CHECK(insn_vmclear(vcpu->in_l2 ? vcpu->vmcs : n->vmcs) == VMX_SUCCEED);
	CHECK(insn_vmclear(n->shadow_vmcs) == VMX_SUCCEED);
}

static inline void use(struct vcpu *vcpu, hpa_t vmcs)
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
	CHECK(insn_vmptrld(vmcs) == VMX_SUCCEED);
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

	/* Who is not in use has logged nothing: vcpu_sync.h. */
	vcpu_sync_drain(vcpu);
	use(vcpu, n->vmcs);
	if (!n->loaded.initialised)
		vmcs02_init(vcpu);
	n->loaded.initialised = true;
	vcpu->in_l2 = n->state.in_l2 = true;
	vcpu->plain_ticks = INT64_MAX; /* as vcpu_choose_timer() has it */
}

void nested_vcpu_use_vmcs01(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;

	vcpu_sync_drain(vcpu);
	use(vcpu, vcpu->vmcs);
	vcpu->in_l2 = n->state.in_l2 = false;
	vcpu_choose_timer(vcpu);
	/* L2 may have moved it. */
	if (n->vmcs01_tsc_offset != vcpu_tsc_offset(vcpu))
		vmcs_write(VMCS_TSC_OFFSET, vcpu_tsc_offset(vcpu));
	n->vmcs01_tsc_offset = vcpu_tsc_offset(vcpu);
	vcpu_apic_settle(vcpu);
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
		vmcs02_save_hot(vcpu);
		vmcs02_save_cold(vcpu);
		vmcs02_save_rest(vcpu, &n->l2);
		return;
	}
	CHECK(insn_vmptrld(n->vmcs) == VMX_SUCCEED);
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
		CHECK(insn_vmptrld(vcpu->nested->vmcs) == VMX_SUCCEED);
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
