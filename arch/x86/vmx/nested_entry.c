/* SPDX-License-Identifier: MIT */
/* VM entries of L1. */
#include "arch/x86/vmx/nested_entry.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/exit_msr.h"
#include "arch/x86/vmx/nested_exit.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vcpu_sync.h"
#include "arch/x86/vmx/vmcs02.h"
#include "arch/x86/vmx/vmcs_shadow.h"
#include "arch/x86/vmx/vmx_cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/log.h"
#include "lib/x86.h"

#define LINEAR_BITS  48
#define EFER_DEFINED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

void nested_entry_describe(const struct vcpu *vcpu, struct nested_entry *entry)
{
	*entry = (struct nested_entry){
	    .v = &vcpu->nested->state.vmcs12,
	    .offer = &vcpu->vm->offer,
	    .mem = &vcpu->vm->memory,
	    .region = vcpu->nested->state.current,
	    .efer_defined = EFER_DEFINED,
	    .debugctl_defined = DEBUGCTL_OF_GUESTS,
	    .phys_bits = vcpu->vm->platform.config.phys_bits,
	    .linear_bits = LINEAR_BITS,
	};
}

/* All but CR0. */
static inline void read_l1(struct vmcs02_of_l1 *l1)
{
	l1->efer = vmcs_read_first(VMCS_GUEST_EFER);
	l1->pat = vmcs_read_first(VMCS_GUEST_PAT);
	l1->dr7 = vmcs_read_first(VMCS_GUEST_DR7);
	l1->debugctl = vmcs_read(VMCS_GUEST_DEBUGCTL);
}

/* --- Translations --------------------------------------------------------- */

/* ERR_BUSY: other vCPUs have to flush first. */
static enum err hold_ept(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	const struct vmcs12 *v = &n->state.vmcs12;

	if (!(nested_secondary_controls(v) & SECONDARY_EPT) ||
	    (n->root.table && n->root.pointer == v->ept_pointer))
		return OK;
	return shadow_root_switch(&vcpu->vm->shadow, v->ept_pointer, &n->root);
}

static void write_ept_pointer(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	bool has_ept =
	    nested_secondary_controls(&n->state.vmcs12) & SECONDARY_EPT;
	bool tracking = shadow_is_tracking(&vcpu->vm->shadow);
	u64 pointer = has_ept ? shadow_root_pointer(&vcpu->vm->shadow, &n->root)
			      : ept_pointer(&vcpu->vm->ept);

	if (pointer != n->now->loaded.ept_pointer)
		vmcs_write(VMCS_EPT_POINTER, pointer);
	n->now->loaded.ept_pointer = pointer;
	n->now->loaded.ept_tracking = tracking;
	n->now->loaded.ept_table = has_ept ? n->root.table : NULL;
	n->now->loaded.ept_pointer12 = n->root.pointer;
}

/* As it was the last time? */
static inline bool has_ept_pointer(const struct vcpu *vcpu)
{
	const struct nested_vcpu *n = vcpu->nested;
	const struct nested_loaded *loaded = &n->now->loaded;

	return loaded->has_ept && loaded->ept_table == n->root.table &&
	       loaded->ept_pointer12 == n->root.pointer &&
	       loaded->ept_tracking == shadow_is_tracking(&vcpu->vm->shadow);
}

void nested_entry_sync(struct vcpu *vcpu)
{
	if (nested_l2_has_ept(vcpu))
		write_ept_pointer(vcpu);
}

/*
 * L2's own VPID stands for all of L1's, one at a time: whatever it is that L1
 * wants dropped at an entry, the VPID is emptied.
 */
static inline void flush_vpid(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	const struct vmcs12 *v = &n->state.vmcs12;
	u16 vpid12 =
	    nested_secondary_controls(v) & SECONDARY_VPID ? v->vpid : 0;

	if (likely(vpid12 && vpid12 == n->vpid12))
		return;
	/* Without one, what EPT12 means is looked up anew, too. */
	if (!vpid12 && nested_l2_has_ept(vcpu)) {
		nested_vcpu_leave_guest(vcpu);
		shadow_invalidate(&vcpu->vm->shadow);
	}
	if (vmx_capability.has_vpid)
		vmx_flush_vpid(n->vpid);
	n->vpid12 = vpid12;
}

/* --- The entry ------------------------------------------------------------ */

void nested_kick_others(const struct vcpu *vcpu)
{
	for (u32 i = 0; i < vcpu->vm->vcpu_count; i++)
		if (vcpu->vm->vcpus[i] != vcpu)
			vcpu_kick(vcpu->vm->vcpus[i]);
}

/* The instruction is executed again once the others have flushed. */
static enum exit_action wait_or_stop(struct vcpu *vcpu, enum err err)
{
	if (err == ERR_BUSY) {
		nested_kick_others(vcpu);
		return ACTION_RESUME;
	}
	vcpu_fail(vcpu, "no memory for the shadow of its EPT");
	return ACTION_STOP;
}

/* SDM vol. 3, "Loading MSRs": 0, or the number of the entry that fails. */
static u64 load_msrs(struct vcpu *vcpu)
{
	struct nested_entry entry;
	struct nested_msr msr;

	nested_entry_describe(vcpu, &entry);
	for (u32 i = 0;; i++) {
		enum err err =
		    nested_msr_get(&entry, NESTED_MSR_ENTRY_LOAD, i, &msr);

		if (err == ERR_NOT_FOUND)
			return 0;
		if (err != OK ||
		    exit_msr_write(vcpu, msr.index, msr.value) != MSR_DONE)
			return i + 1;
	}
}

static void start_timer(struct vcpu *vcpu)
{
	struct nested_state *state = &vcpu->nested->state;
	u32 shift;

	state->timer_runs = state->vmcs12.pin_controls & PIN_PREEMPTION_TIMER;
	if (!state->timer_runs)
		return;
	shift = (u32)bits_get(vcpu->vm->offer.misc, MISC_PREEMPTION_SHIFT);
	state->timer_deadline =
	    vcpu_tsc(vcpu) + ((u64)state->vmcs12.preemption_timer << shift);
}

u64 nested_timer_tsc(const struct vcpu *vcpu)
{
	const struct nested_state *state = &vcpu->nested->state;

	if (!vcpu->in_l2 || !state->timer_runs)
		return UINT64_MAX;
	return guest_time_host_tsc(
	    &vcpu->vm->time, state->timer_deadline - vcpu->lapic->tsc_offset);
}

i64 nested_ticks_to_stay(struct vcpu *vcpu, i64 ticks)
{
	u64 due = nested_timer_tsc(vcpu);
	i64 left;

	if (vcpu->leave == VCPU_LEAVE_AT_ONCE)
		return 0;
	if (ticks < vcpu->stay_ticks || vcpu->leave == VCPU_LEAVE_SOON) {
		ticks = vcpu->stay_ticks;
		vcpu->attention = 1;
	}
	if (due == UINT64_MAX)
		return ticks;
	left = (i64)(due - insn_rdtsc());
	if (left < 0)
		return 0;
	return left < ticks ? left : ticks;
}

static enum vcpu_activity activity_of(u32 activity)
{
	switch (activity) {
	case ACTIVITY_HLT:
		return VCPU_HALTED;
	case ACTIVITY_SHUTDOWN:
		return VCPU_SHUTDOWN;
	case ACTIVITY_WAIT_FOR_SIPI:
		return VCPU_WAIT_FOR_SIPI;
	default:
		return VCPU_ACTIVE;
	}
}

/* The event that L1 injects; the CPU delivers it at the entry. */
static void take_injection(struct vcpu *vcpu)
{
	struct vmcs12 *v = &vcpu->nested->state.vmcs12;

	vcpu->activity = activity_of(v->guest_activity);
	vcpu->halted_for_good = false;
	if (!(v->entry_interruption_info & EVENT_VALID))
		return;
	vcpu->injection = (struct vcpu_event){
	    .info = v->entry_interruption_info,
	    .error_code = v->entry_exception_error_code,
	    .instruction_length = v->entry_instruction_length,
	};
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
		   nested_interruptibility_enter(v));
	vcpu->attention = 1;
	/* An exit that is pending (nested_events.h) delivers nothing. */
	if (event_type(vcpu->injection.info) != EVENT_OTHER)
		vcpu->activity = VCPU_ACTIVE;
}

/*
 * What is blocked for as long as L2 runs is in no field of vmcs02. The next
 * entry is one in full, which asks again.
 */
static void hold_nmis(struct vcpu *vcpu)
{
	struct nested_loaded *loaded = &vcpu->nested->now->loaded;

	loaded->held_nmis = nested_held_nmis(&vcpu->nested->state.vmcs12);
	if (loaded->held_nmis)
		loaded->checked = false;
}

static void flush_moved_apic(struct vcpu *vcpu)
{
	struct nested_loaded *loaded = &vcpu->nested->now->loaded;

	if (!loaded->moved_apic)
		return;
	loaded->moved_apic = false;
	vmx_flush_ept(loaded->ept_pointer);
}

/* The way into L2, whoever asks for it: vmcs02 in use, as vmcs12 says. */
static void use_l2(struct vcpu *vcpu, const struct vmcs02_of_l1 *l1,
		   const u64 pdptes[4])
{
	vcpu_sync_drain(vcpu);
	nested_vcpu_use_vmcs02(vcpu);
	vmcs02_load(vcpu, l1, pdptes);
	write_ept_pointer(vcpu);
	flush_moved_apic(vcpu);
	flush_vpid(vcpu);
}

/* From now on vmcs02 has L2's registers. */
static inline void begin_l2(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;

	n->cold_is_newer = true;
	n->cold_exit_controls = n->state.vmcs12.exit_controls;
	vcpu_sync_pml(vcpu);
}

/*
 * vmcs01 has the mode that L1 exits to, which is the one that it entered in
 * (SDM vol. 3, "Checks Related to Address-Space Size"); no exit says it again.
 */
static void write_mode_of_l1(const struct vmcs12 *v)
{
	vmcs_write(
	    VMCS_ENTRY_CONTROLS,
	    bits_set(vmcs_read(VMCS_ENTRY_CONTROLS), ENTRY_IA32E_MODE_GUEST,
		     bits_get(v->exit_controls, EXIT_HOST_ADDRESS_SPACE_SIZE)));
}

void nested_entry_resume(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	struct vmcs02_of_l1 l1;
	enum err err;

	while ((err = hold_ept(vcpu)) == ERR_BUSY) {
		nested_kick_others(vcpu);
		insn_pause();
	}
	if (err != OK) {
		n->state.in_l2 = false;
		vcpu_fail(vcpu, "no memory for the shadow of its EPT");
		return;
	}
	nested_host_make(&n->state.vmcs12, &n->now->loaded.host);
	write_mode_of_l1(&n->state.vmcs12);
	read_l1(&l1);
	l1.cr0 =
	    (control_registers_read_cr0() & ~NESTED_CR0_KEPT) | n->l2.cr0_kept;
	use_l2(vcpu, &l1, n->l2.pdpte);
	hold_nmis(vcpu);
	vmcs02_load_rest(&n->l2);
	begin_l2(vcpu);
}

/* All that the entry loads is in vmcs02. */
static ALWAYS_INLINE void go_into_l2(struct vcpu *vcpu)
{
	begin_l2(vcpu);
	vcpu->nested->state.entry_pending = true;
	start_timer(vcpu);
	vcpu_choose_timer(vcpu);
	/* What waited for L1 may end L2 at once. */
	vcpu_events_check(vcpu);
	if (vcpu->activity != VCPU_ACTIVE || vcpu->nmi_pending ||
	    lapic_events(vcpu->lapic))
		vcpu->attention = 1;
}

static enum exit_action enter_l2(struct vcpu *vcpu,
				 const struct nested_verdict *verdict)
{
	struct nested_vcpu *n = vcpu->nested;
	struct vmcs02_of_l1 l1;
	u64 failed;

	CHECK(vcpu->tells_shadow);
	read_l1(&l1);
	l1.cr0 = control_registers_read_cr0();
	if (!vmcs02_is_made_with(vcpu, l1.cr0) ||
	    n->state.vmcs12.entry_msr_load_count) {
		nested_vcpu_settle(vcpu);
		n->now->loaded.controls = false;
	}
	use_l2(vcpu, &l1, verdict->pdptes);
	hold_nmis(vcpu);
	failed = load_msrs(vcpu);
	if (failed) {
		nested_exit_failed_entry(vcpu, EXIT_ENTRY_MSR_LOADING, failed);
		return ACTION_RESUME;
	}
	n->full_entry = (struct nested_full_entry){
	    .number = nested_entry_number(vcpu),
	    .was_clear = n->state.vmcs12.launch_state == VMCS12_CLEAR,
	    .cold_was_newer = n->cold_is_newer,
	};
	nested_launched(&n->state);
	take_injection(vcpu);
	go_into_l2(vcpu);
	return ACTION_RESUME;
}

static enum exit_action fail(struct vcpu *vcpu, struct nested_cpu *cpu,
			     u32 error)
{
	struct nested_result result = nested_fail(cpu, (enum vmx_error)error);

	return exit_vmx_finish(vcpu, &result, cpu->gpr[REG_RSP]);
}

/* Most entries differ from one that was OK in a few registers of L2's. */
static void check(struct vcpu *vcpu, const struct nested_entry *entry,
		  struct nested_verdict *verdict)
{
	struct nested_loaded *loaded = &vcpu->nested->now->loaded;

	if (loaded->checked && loaded->l1_efer == entry->l1_efer &&
	    nested_can_check_again(entry->v)) {
		*verdict = nested_check_entry_again(entry);
		return;
	}
	nested_vcpu_settle(vcpu);
	*verdict = nested_check_entry(entry);
	loaded->checked = verdict->kind == NESTED_ENTRY_OK;
	loaded->l1_efer = entry->l1_efer;
	nested_host_make(entry->v, &loaded->host);
}

enum exit_action nested_enter(struct vcpu *vcpu, struct nested_cpu *cpu)
{
	struct nested_entry entry;
	struct nested_verdict verdict;
	enum err err;

	nested_entry_describe(vcpu, &entry);
	entry.l1_efer = cpu->paging.efer;
	check(vcpu, &entry, &verdict);
	if (verdict.kind != NESTED_ENTRY_OK)
		log_debug("guest %s, vCPU %u: its VM entry is refused: %s",
			  vcpu->vm->name, vcpu->index,
			  nested_rule_text(verdict.rule));
	switch (verdict.kind) {
	case NESTED_ENTRY_VMFAIL:
		return fail(vcpu, cpu, verdict.number);
	case NESTED_ENTRY_EXIT:
		nested_exit_failed_entry(vcpu, (enum exit_reason)verdict.number,
					 verdict.qualification);
		return ACTION_RESUME;
	case NESTED_ENTRY_OK:
		break;
	}
	err = hold_ept(vcpu);
	return err == OK ? enter_l2(vcpu, &verdict) : wait_or_stop(vcpu, err);
}

/* Has the root for L2 not changed? The controls have not. */
static bool has_root(const struct nested_vcpu *n)
{
	const struct vmcs12 *v = &n->state.vmcs12;

	return !n->now->loaded.has_ept ||
	       (n->root.table && n->root.pointer == v->ept_pointer);
}

bool nested_enter_again(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	const struct vmcs12 *v = &n->state.vmcs12;
	struct vmcs02_of_l1 l1;

	if (!n->now->loaded.checked ||
	    vmcs_read(VMCS_GUEST_EFER) != n->now->loaded.l1_efer ||
	    v->entry_msr_load_count || !vmcs02_has_all_but_hot(vcpu) ||
	    !has_root(n))
		return false;
	if (!n->now->loaded.keeps_all)
		read_l1(&l1);
	vcpu_sync_drain(vcpu);
	vmcs_shadow_take_at_entry(vcpu);
	if (unlikely(!nested_needs_no_check(v, LINEAR_BITS))) {
		vmcs_make_current(&vcpu->vmcs);
		return false;
	}
	nested_vcpu_use_vmcs02(vcpu);
	vmcs02_load_hot(vcpu, &l1);
	if (!has_ept_pointer(vcpu))
		write_ept_pointer(vcpu);
	flush_vpid(vcpu);
	vcpu->activity = VCPU_ACTIVE;
	vcpu->halted_for_good = false;
	go_into_l2(vcpu);
	return true;
}

enum exit_action nested_entry_switch_ept(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	enum err err;

	nested_vcpu_leave_guest(vcpu);
	/* What has been logged is translated by the EPT that it was by. */
	vcpu_sync_drain(vcpu);
	err = hold_ept(vcpu);
	if (err != OK) {
		/* What L2 does before VMFUNC is executed again, it does by the
		 * EPT that it has. */
		n->state.vmcs12.ept_pointer = n->root.pointer;
		return wait_or_stop(vcpu, err);
	}
	write_ept_pointer(vcpu);
	vcpu_sync_pml(vcpu);
	return ACTION_SKIP;
}
