/* SPDX-License-Identifier: MIT */
/* PML pages, flushes and pauses: vCPUs keeping up with their VM. */
#include "arch/x86/vmx/vcpu_sync.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/nested_entry.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vm.h"
#include "arch/x86/vmx/vmx_cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/check.h"
#include "mm/phys.h"
#include "pml/pml.h"

#define PML_NMI_UNBLOCKING BIT(12)

/* On EPT02 the CPU logs L2's addresses. */
static NOINLINE void drain_l2(struct vcpu *vcpu, u16 index)
{
	const u64 *page = phys_ptr(vcpu->pml_page);
	u32 first =
	    index == PML_INDEX_EMPTY ? PML_ENTRIES : pml_first_entry(index);

	nested_vcpu_drain(vcpu, page + first, PML_ENTRIES - first);
	vcpu->logged_count += PML_ENTRIES - first;
}

void vcpu_sync_drain(struct vcpu *vcpu)
{
	u16 index;

	if (vcpu->in_l2)
		nested_vcpu_mark_pages(vcpu);
	if (!vcpu->pml_on)
		return;
	index = (u16)vmcs_read(VMCS_PML_INDEX);
	if (nested_l2_has_ept(vcpu))
		drain_l2(vcpu, index);
	if (index == PML_INDEX_EMPTY)
		return;
	if (!nested_l2_has_ept(vcpu))
		vcpu->logged_count += pml_drain(phys_ptr(vcpu->pml_page), index,
						&vcpu->vm->memory.log);
	vmcs_write(VMCS_PML_INDEX, PML_INDEX_EMPTY);
}

static void set_pml(struct vcpu *vcpu, bool on)
{
	u64 controls = vmcs_read(VMCS_SECONDARY_CONTROLS);

	vmcs_write(VMCS_SECONDARY_CONTROLS,
		   on ? controls | SECONDARY_PML : controls & ~SECONDARY_PML);
	vcpu->pml_on = on;
}

void vcpu_sync_set_pml(struct vcpu *vcpu)
{
	bool wanted = track_wants_pml(&vcpu->vm->track) &&
		      (!nested_l2_has_ept(vcpu) || nested_l2_wants_pml(vcpu));

	/* Nothing is logged yet: from here on it counts what is cut. */
	if (wanted && nested_l2_has_ept(vcpu))
		nested_vcpu_drain(vcpu, NULL, 0);
	if (vcpu->pml_on != wanted)
		set_pml(vcpu, wanted);
}

void vcpu_sync_now(struct vcpu *vcpu, u64 generation)
{
	struct vm *vm = vcpu->vm;
	u64 *flushed = &vm->flushed_generation[cpu_this()->index];

	/* What this CPU cached of the VM may be from before the last change,
	 * also when the vCPU itself has kept up on another CPU. */
	if (*flushed != generation) {
		if (vm->nested)
			vmx_flush_all_ept();
		else
			vmx_flush_ept(ept_pointer(&vm->ept));
		*flushed = generation;
	}
	if (vcpu->sync_generation == generation)
		return;
	vcpu_sync_drain(vcpu);
	vcpu_sync_pml(vcpu);
	nested_entry_sync(vcpu);
	__atomic_store_n(&vcpu->sync_generation, generation, __ATOMIC_RELEASE);
}

enum exit_action on_pml_full(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	/* The IRET that would have logged had already unblocked NMIs. */
	if ((exit->qualification & PML_NMI_UNBLOCKING) &&
	    !(exit->idt_vectoring & EVENT_VALID))
		vcpu_events_block_nmi();
	vcpu_sync_drain(vcpu);
	return ACTION_RESUME;
}

/* Waits until this vCPU has kept up, or nobody runs it. */
static void wait_for(const struct vcpu *vcpu, u64 generation)
{
	while (vcpu_is_running(vcpu) &&
	       __atomic_load_n(&vcpu->sync_generation, __ATOMIC_ACQUIRE) <
		   generation)
		insn_pause();
}

/* Runs, and may have entered the guest without telling the shadow. */
static bool may_be_inside_untold(const struct vcpu *vcpu)
{
	return vcpu_is_running(vcpu) &&
	       !__atomic_load_n(&vcpu->tells_shadow, __ATOMIC_ACQUIRE);
}

void vm_unmap_apic_page(struct vm *vm)
{
	enum flush flush;

	if (!__atomic_load_n(&vm->apic_page_mapped, __ATOMIC_SEQ_CST))
		return;
	/* A leaf of 4K: nothing is split, which could need memory. */
	CHECK(ept_unmap(&vm->ept, gpa(LAPIC_BASE_DEFAULT), PAGE_4K, &flush) ==
	      OK);
	/* Who goes on by the old translation is in xAPIC mode, and right. The
	 * others are behind this, and flush before they enter. */
	__atomic_add_fetch(&vm->sync_generation, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&vm->apic_page_mapped, 0, __ATOMIC_SEQ_CST);
}

bool vm_use_shadow(struct vm *vm)
{
	bool all_tell = true;
	bool is_first =
	    !__atomic_exchange_n(&vm->uses_shadow, 1, __ATOMIC_SEQ_CST);

	/* What L1 maps for L2 at that address is L1's APIC, not L2's. */
	vm_unmap_apic_page(vm);
	/* Who begins to run after this sees it when it looks first. */
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		if (!may_be_inside_untold(vm->vcpus[i]))
			continue;
		all_tell = false;
		if (is_first)
			vcpu_kick(vm->vcpus[i]);
	}
	return all_tell;
}

void vm_sync(struct vm *vm)
{
	u64 generation =
	    __atomic_add_fetch(&vm->sync_generation, 1, __ATOMIC_SEQ_CST);

	for (u32 i = 0; i < vm->vcpu_count; i++)
		if (vcpu_is_running(vm->vcpus[i]))
			vcpu_kick(vm->vcpus[i]);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		wait_for(vm->vcpus[i], generation);
}

enum err vm_track_start(struct vm *vm, enum track_mode mode)
{
	enum err err = track_start(&vm->track, mode);

	if (err != OK)
		return err;
	__atomic_store_n(&vm->writes_are_armed, 1, __ATOMIC_SEQ_CST);
	if (vm->nested)
		shadow_track_start(
		    &vm->shadow, mode == TRACK_PML ? vm->l2_way : SHADOW_BY_W);
	/* Before the first page is armed, nobody delivers but Umbra. */
	if (vmx_capability.apicv.delivery)
		vm_sync(vm);
	return OK;
}

/* All CPUs log before the first leaf of the shadow is armed by D. */
static void switch_shadow_to_pml(struct vm *vm)
{
	if (vm->l2_way == SHADOW_BY_D) {
		shadow_track_prepare(&vm->shadow);
		vm_sync(vm);
	}
	shadow_track_switch(&vm->shadow, vm->l2_way);
}

enum err vm_track_switch(struct vm *vm, enum track_mode mode)
{
	struct track *track = &vm->track;
	enum err err = track_switch(track, mode);

	if (err != OK)
		return err;
	if (mode == TRACK_PML) {
		if (vm->nested)
			switch_shadow_to_pml(vm);
		return OK;
	}
	/* Pages armed by D become armed by W; only then may PML go off. */
	track_leave_pml(track, gpa(0), gpa_raw(dirty_log_end(track->log)));
	if (vm->nested)
		shadow_track_switch(&vm->shadow, SHADOW_BY_W);
	vm_sync(vm);
	track_left_pml(track);
	return OK;
}

gpa_t vm_relax(struct vm *vm, gpa_t from, u64 bytes)
{
	gpa_t end = dirty_log_end(vm->track.log);
	u64 left = gpa_raw(end) - gpa_raw(from);
	enum flush flush;
	gpa_t at =
	    track_relax(&vm->track, from, left < bytes ? left : bytes, &flush);

	if (flush == FLUSH_OWED)
		vm_sync(vm);
	ept_free_retired(&vm->ept);
	if (gpa_raw(at) >= gpa_raw(end))
		__atomic_store_n(&vm->writes_are_armed, 0, __ATOMIC_SEQ_CST);
	return at;
}

void vm_track_stop(struct vm *vm)
{
	track_stop(&vm->track);
	if (vm->nested)
		shadow_track_stop(&vm->shadow);
}

gpa_t vm_harvest(struct vm *vm, gpa_t from, gpa_t to, struct dirty_batch *batch)
{
	enum flush flush, shadow = FLUSH_NONE;
	gpa_t stopped = track_harvest(&vm->track, from, to, batch, &flush);

	if (vm->nested)
		shadow = shadow_rearm(&vm->shadow, batch);
	if (flush == FLUSH_OWED || shadow == FLUSH_OWED)
		vm_sync(vm);
	return stopped;
}

static u64 load(const u64 *count)
{
	return __atomic_load_n(count, __ATOMIC_RELAXED);
}

/* The short way of a write fault counts nothing but its exit. */
void vm_count_writes(const struct vm *vm, struct vm_writes *writes)
{
	*writes = (struct vm_writes){0};
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		const struct vcpu *vcpu = vm->vcpus[i];

		writes->logged += load(&vcpu->logged_count);
		writes->faults +=
		    load(&vcpu->exits_by_reason[EXIT_EPT_VIOLATION]) -
		    load(&vcpu->untracked_violations);
	}
	if (!vm->nested)
		return;
	writes->l2_faults = load(&vm->shadow.counts.marked);
	writes->l2_logged = load(&vm->shadow.counts.translated);
	writes->logged -= writes->l2_logged;
	writes->faults -= load(&vm->shadow.counts.faults);
}

void vm_pause(struct vm *vm)
{
	__atomic_store_n(&vm->paused, 1, __ATOMIC_SEQ_CST);
	/* Kicking takes the scheduler's lock, so that it has seen `paused`:
	 * what does not run now will not run. */
	for (u32 i = 0; i < vm->vcpu_count; i++)
		vcpu_kick(vm->vcpus[i]);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		while (vcpu_is_running(vm->vcpus[i]))
			insn_pause();
}

void vm_resume(struct vm *vm)
{
	platform_go_on(&vm->platform);
	__atomic_store_n(&vm->paused, 0, __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		vcpu_kick(vm->vcpus[i]);
}
