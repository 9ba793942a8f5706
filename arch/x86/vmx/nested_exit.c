/* SPDX-License-Identifier: MIT */
/* Exits of L2, to L1 or to Umbra. */
#include "arch/x86/vmx/nested_exit.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/exit_emulate.h"
#include "arch/x86/vmx/exit_msr.h"
#include "arch/x86/vmx/nested_entry.h"
#include "arch/x86/vmx/nested_events.h"
#include "arch/x86/vmx/nested_memory.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vcpu_sync.h"
#include "arch/x86/vmx/vmcs02.h"
#include "arch/x86/vmx/vmcs_shadow.h"
#include "arch/x86/vmx/vmx_cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/log.h"
#include "lib/x86.h"
#include "nested/operand.h"

/* --- What is recorded ----------------------------------------------------- */

static void read_exit(struct nested_exit *exit)
{
	u64 qualification = vmcs_read_first(VMCS_EXIT_QUALIFICATION);

	exit->interruption = (u32)vmcs_read_first(VMCS_EXIT_INTERRUPTION_INFO);
	exit->error_code =
	    (u32)vmcs_read_first(VMCS_EXIT_INTERRUPTION_ERROR_CODE);
	exit->idt_vectoring = (u32)vmcs_read_first(VMCS_IDT_VECTORING_INFO);
	exit->idt_error_code =
	    (u32)vmcs_read_first(VMCS_IDT_VECTORING_ERROR_CODE);
	exit->instruction_length =
	    (u32)vmcs_read_first(VMCS_EXIT_INSTRUCTION_LENGTH);
	exit->instruction_information =
	    (u32)vmcs_read_first(VMCS_EXIT_INSTRUCTION_INFO);
	exit->qualification = nested_operand_qualification(
	    (enum exit_reason)exit->reason, exit->instruction_information,
	    qualification);
	exit->linear = gva(vmcs_read_first(VMCS_GUEST_LINEAR_ADDRESS));
	exit->physical = ngpa(vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS));
}

static void record(struct vmcs12 *v, const struct nested_exit *exit)
{
	v->exit_reason = exit->reason;
	v->exit_qualification = exit->qualification;
	v->exit_interruption_info = exit->interruption;
	v->exit_interruption_error_code = exit->error_code;
	v->idt_vectoring_info = exit->idt_vectoring;
	v->idt_vectoring_error_code = exit->idt_error_code;
	v->exit_instruction_length = exit->instruction_length;
	v->exit_instruction_info = exit->instruction_information;
	v->guest_linear_address = gva_raw(exit->linear);
	v->guest_physical_address = ngpa_raw(exit->physical);
	v->entry_interruption_info &= ~(u32)EVENT_VALID;
}

/* An event that was on its way into L2 and has not got there. */
static void record_delivery(struct vcpu *vcpu)
{
	struct vmcs12 *v = &vcpu->nested->state.vmcs12;
	const struct vcpu_event *event = &vcpu->injection;

	if (!(event->info & EVENT_VALID)) {
		/* It had to give way to another one. */
		if (vcpu->postponed_interrupt)
			v->idt_vectoring_info = vcpu->postponed_interrupt;
		vcpu->postponed_interrupt = 0;
		return;
	}
	v->idt_vectoring_info = event->info;
	v->idt_vectoring_error_code = event->error_code;
	v->exit_instruction_length = event->instruction_length;
}

static u32 activity_of(enum vcpu_activity activity)
{
	switch (activity) {
	case VCPU_HALTED:
		return ACTIVITY_HLT;
	case VCPU_SHUTDOWN:
		return ACTIVITY_SHUTDOWN;
	case VCPU_WAIT_FOR_SIPI:
		return ACTIVITY_WAIT_FOR_SIPI;
	case VCPU_ACTIVE:
		break;
	}
	return ACTIVITY_ACTIVE;
}

static NOINLINE void save_timer(struct vcpu *vcpu)
{
	struct nested_state *state = &vcpu->nested->state;
	u64 now = vcpu_tsc(vcpu);
	u32 shift;
	shift = (u32)bits_get(vcpu->vm->offer.misc, MISC_PREEMPTION_SHIFT);
	state->vmcs12.preemption_timer =
	    state->timer_deadline > now
		? (u32)((state->timer_deadline - now) >> shift)
		: 0;
}

/* --- L1's host state ------------------------------------------------------ */

static inline bool is_64_bit_host(const struct vmcs12 *v)
{
	return v->exit_controls & EXIT_HOST_ADDRESS_SPACE_SIZE;
}

static u64 efer_of_host(const struct vmcs12 *v, u64 efer_of_l2)
{
	const u64 mode = EFER_LMA | EFER_LME;

	if (v->exit_controls & EXIT_LOAD_EFER)
		return v->host_efer;
	return (efer_of_l2 & ~mode) | (is_64_bit_host(v) ? mode : 0);
}

/* SDM vol. 3, "Updating Non-Register State"; an entry that fails changes
 * nothing. */
static NOINLINE u64 blocking_otherwise(const struct vmcs12 *v)
{
	if (v->exit_reason & EXIT_REASON_ENTRY_FAILED)
		return vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_BY_NMI;
	if ((v->exit_reason & EXIT_REASON_BASIC) == EXIT_EXCEPTION_OR_NMI &&
	    event_type(v->exit_interruption_info) == EVENT_NMI)
		return BLOCKING_BY_NMI;
	/* Virtual NMIs are L2's alone. */
	return v->pin_controls & PIN_VIRTUAL_NMIS
		   ? 0
		   : v->guest_interruptibility & BLOCKING_BY_NMI;
}

/* An exit by an NMI blocks them, and others leave them as L2 had them. */
static ALWAYS_INLINE u64 blocking_of_host(const struct vmcs12 *v)
{
	/* Neither a failed entry nor reason 0, exceptions and NMIs. */
	bool is_usual = v->exit_reason - 1 < INT32_MAX &&
			!(v->guest_interruptibility & BLOCKING_BY_NMI);

	return likely(is_usual) ? 0 : blocking_otherwise(v);
}

#define LOAD(field) vmcs_write_first(field, host->values[HOST_STATE_##field]);

/*
 * At every exit: nothing here is a loop, or computed. EFER and PAT are L2's,
 * where the exit controls do not load them. The mode in vmcs01's entry controls
 * is that of before the entry: see nested_entry.c.
 */
static ALWAYS_INLINE void load_host_state(struct vcpu *vcpu, u64 efer, u64 pat)
{
	const struct nested_loaded *loaded = &vcpu->nested->now->loaded;
	const struct nested_host_state *host = &loaded->host;
	const struct vmcs12 *v = &vcpu->nested->state.vmcs12;
	bool is_64_bit = is_64_bit_host(v);

	NESTED_HOST_FIELDS(LOAD)
	vmcs_write_first(VMCS_GUEST_EFER, efer_of_host(v, efer));
	vmcs_write_first(VMCS_GUEST_PAT,
			 v->exit_controls & EXIT_LOAD_PAT ? v->host_pat : pat);
	vmcs_write_first(VMCS_GUEST_INTERRUPTIBILITY, blocking_of_host(v));
	control_registers_load_l1(
	    (v->host_cr0 & ~NESTED_CR0_KEPT) | loaded->cr0_kept,
	    is_64_bit ? v->host_cr4 | CR4_PAE : v->host_cr4 & ~CR4_PCIDE);
}

static enum nested_abort load_host_pdptes(struct vcpu *vcpu)
{
	u64 pdptes[4];
	bool has_pdptes;
	enum nested_abort abort = nested_host_find_pdptes(
	    &vcpu->nested->state.vmcs12, &vcpu->vm->memory,
	    vcpu->vm->platform.config.phys_bits, pdptes, &has_pdptes);

	for (u32 i = 0; has_pdptes && i < 4; i++)
		vmcs_write(VMCS_GUEST_PDPTE0 + 2 * i, pdptes[i]);
	return abort;
}

/* --- MSR areas ------------------------------------------------------------ */

/* A CPU goes into shutdown then, out of which only a reset leads. */
static COLD void abort_vmx(struct vcpu *vcpu, enum nested_abort indicator)
{
	struct nested_state *state = &vcpu->nested->state;

	state->vmcs12.abort = indicator;
	if (state->is_enlightened)
		evmcs_write_abort(&vcpu->vm->memory, state->evmcs, indicator);
	state->vmcs12_changed = true;
	nested_write_back(state, &vcpu->vm->memory);
	log_error("guest %s, vCPU %u: VMX abort %u", vcpu->vm->name,
		  vcpu->index, indicator);
	vcpu_triple_fault(vcpu);
	vcpu->attention = 1;
}

static NOINLINE bool store_msrs(struct vcpu *vcpu)
{
	const struct vmcs12 *v = &vcpu->nested->state.vmcs12;
	struct nested_entry entry;
	struct nested_msr msr;
	u64 value;

	nested_entry_describe(vcpu, &entry);
	for (u32 i = 0;; i++) {
		enum err err =
		    nested_msr_get(&entry, NESTED_MSR_EXIT_STORE, i, &msr);

		if (err == ERR_NOT_FOUND)
			return true;
		if (err != OK ||
		    exit_msr_read(vcpu, msr.index, &value) != MSR_DONE)
			return false;
		nested_msr_put(v, &vcpu->vm->memory, i, value);
	}
}

static NOINLINE bool load_msrs(struct vcpu *vcpu)
{
	struct nested_entry entry;
	struct nested_msr msr;

	nested_entry_describe(vcpu, &entry);
	for (u32 i = 0;; i++) {
		enum err err =
		    nested_msr_get(&entry, NESTED_MSR_EXIT_LOAD, i, &msr);

		if (err == ERR_NOT_FOUND)
			return true;
		if (err != OK ||
		    exit_msr_write(vcpu, msr.index, msr.value) != MSR_DONE)
			return false;
	}
}

/* --- Leaving L2 ----------------------------------------------------------- */

static NOINLINE void load_host(struct vcpu *vcpu, u64 efer_of_l2, u64 pat_of_l2)
{
	struct nested_vcpu *n = vcpu->nested;
	const struct vmcs12 *v = &n->state.vmcs12;
	enum nested_abort abort;

	vcpu->activity = VCPU_ACTIVE;
	vcpu->injection.info = 0;
	vcpu->leave = VCPU_LEAVE_ANY_TIME;
	n->exception.info = 0;
	n->state.entry_pending = false;
	n->state.vmcs12_changed = true;
	if (n->state.is_enlightened)
		evmcs_write(v, &vcpu->vm->memory, n->state.evmcs);
	load_host_state(vcpu, efer_of_l2, pat_of_l2);
	/* Without VPIDs a VM exit empties the TLB. */
	if (vmx_capability.has_vpid && !n->vpid12)
		vmx_flush_vpid(vcpu->vpid);
	vcpu_sync_pml(vcpu);
	/* What L2 kept from going in, and windows that are to be closed. */
	if (vcpu->nmi_pending || vcpu->nmi_window || vcpu->interrupt_window ||
	    lapic_events(vcpu->lapic))
		vcpu->attention = 1;
	vcpu_events_check(vcpu);
	abort = is_64_bit_host(v) ? NESTED_ABORT_NONE : load_host_pdptes(vcpu);
	if (unlikely(abort))
		abort_vmx(vcpu, abort);
	else if (unlikely(v->exit_msr_load_count) && !load_msrs(vcpu))
		abort_vmx(vcpu, NESTED_ABORT_LOADING_MSR);
}

/* L2's, as far as L1 keeps them. */
static inline u64 efer_for_host(const struct vmcs12 *v)
{
	return v->exit_controls & EXIT_LOAD_EFER ? 0
						 : vmcs_read(VMCS_GUEST_EFER);
}

static inline u64 pat_for_host(const struct vmcs12 *v)
{
	return v->exit_controls & EXIT_LOAD_PAT ? 0 : vmcs_read(VMCS_GUEST_PAT);
}

/* vmcs12 says why; from here on there is no way back. */
static ALWAYS_INLINE void leave_l2(struct vcpu *vcpu,
				   enum vmcs_shadow_exit kind)
{
	struct nested_vcpu *n = vcpu->nested;
	struct vmcs12 *v = &n->state.vmcs12;
	u64 efer = efer_for_host(v);
	u64 pat = pat_for_host(v);
	bool stored;

	vmcs02_save_hot(vcpu);
	v->guest_activity = activity_of(vcpu->activity);
	n->state.timer_runs = false;
	if (unlikely(v->exit_controls & EXIT_SAVE_PREEMPTION_TIMER))
		save_timer(vcpu);
	n->cold_is_newer = true;
	n->cold_exit_controls = v->exit_controls;
	if (n->state.is_enlightened) {
		/* L1 will look without asking. */
		vmcs02_save_cold(vcpu);
		n->cold_is_newer = false;
	}
	stored = likely(!v->exit_msr_store_count) || store_msrs(vcpu);
	vcpu_sync_drain(vcpu);
	vmcs_shadow_give_at_exit(vcpu, kind);
	nested_vcpu_use_vmcs01(vcpu);
	if (stored)
		load_host(vcpu, efer, pat);
	else
		abort_vmx(vcpu, NESTED_ABORT_STORING_MSR);
}

void nested_exit(struct vcpu *vcpu, const struct nested_exit *exit)
{
	record(&vcpu->nested->state.vmcs12, exit);
	record_delivery(vcpu);
	leave_l2(vcpu, VMCS_SHADOW_EXIT_ANY);
}

void nested_exit_by_access(struct vcpu *vcpu, const struct nested_exit *exit)
{
	if (nested_exit_sets_rf(exit, vcpu->injection.info))
		vmcs_write(VMCS_GUEST_RFLAGS,
			   vmcs_read(VMCS_GUEST_RFLAGS) | RFLAGS_RF);
	nested_exit(vcpu, exit);
}

/* nested_exit_is_plain; nothing was to be delivered. */
static NOINLINE enum exit_action exit_plainly(struct vcpu *vcpu, u32 reason)
{
	struct vmcs12 *v = &vcpu->nested->state.vmcs12;

	vcpu->nested->state.entry_pending = false;
	v->exit_reason = reason;
	v->exit_qualification = 0;
	v->exit_interruption_info = 0;
	v->idt_vectoring_info = 0;
	v->exit_instruction_length =
	    (u32)vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);
	leave_l2(vcpu, VMCS_SHADOW_EXIT_PLAIN);
	return ACTION_RESUME;
}

void nested_exit_failed_entry(struct vcpu *vcpu, enum exit_reason reason,
			      u64 qualification)
{
	struct nested_vcpu *n = vcpu->nested;
	struct vmcs12 *v = &n->state.vmcs12;
	u64 efer = vmcs_read(VMCS_GUEST_EFER);
	u64 pat = vmcs_read(VMCS_GUEST_PAT);

	/* The guest state stays what the last exit has saved. */
	nested_vcpu_settle(vcpu);
	v->exit_reason = reason | (u32)EXIT_REASON_ENTRY_FAILED;
	v->exit_qualification = qualification;
	n->state.timer_runs = false;
	n->state.evmcs_is_known = false;
	n->cold_is_newer = false;
	n->now->loaded.cold = n->now->loaded.controls = n->now->loaded.checked =
	    false;
	if (vcpu->in_l2) {
		vcpu_sync_drain(vcpu);
		nested_vcpu_use_vmcs01(vcpu);
	}
	n->now->loaded.cr0_kept =
	    control_registers_read_cr0() & NESTED_CR0_KEPT;
	nested_host_make(v, &n->now->loaded.host);
	vmcs_shadow_give(vcpu);
	load_host(vcpu, efer, pat);
}

/* --- Exits of L2 that need more than a rule ------------------------------- */

/* L2 goes on where it was: what the exit interrupted is done again. */
static inline enum exit_action
resume_after_fault(struct vcpu *vcpu, u32 idt_vectoring, u64 qualification)
{
	if (unlikely(idt_vectoring & EVENT_VALID))
		vcpu_events_redeliver(vcpu, idt_vectoring);
	else if (unlikely(qualification & EPT12_NMI_UNBLOCKING))
		vcpu_events_block_nmi();
	return ACTION_RESUME;
}

static enum exit_action to_l1(struct vcpu *vcpu, struct nested_exit *exit,
			      enum exit_reason reason, u64 qualification)
{
	exit->reason = reason;
	exit->qualification = qualification;
	nested_exit(vcpu, exit);
	return ACTION_RESUME;
}

static NOINLINE const u64 *find_log_page(struct vcpu *vcpu, u64 address)
{
	struct nested_log_page *page = &vcpu->nested->log_page;
	const struct guest_mem *memory = &vcpu->vm->memory;

	*page = (struct nested_log_page){.address = address};
	if (guest_mem_is_ram(memory, gpa(address)))
		page->entries = guest_mem_ptr(memory, gpa(address), PAGE_4K);
	return page->entries;
}

/* L1's page-modification log. */
static inline void begin_log(struct vcpu *vcpu, struct ept12_log *log)
{
	const struct nested_log_page *page = &vcpu->nested->log_page;
	const struct vmcs12 *v = &vcpu->nested->state.vmcs12;

	log->on = vcpu->nested->now->loaded.l1_logs;
	if (!log->on)
		return;
	log->page = gpa(v->pml_address);
	log->index = v->pml_index;
	log->entries = likely(page->address == v->pml_address)
			   ? page->entries
			   : find_log_page(vcpu, v->pml_address);
}

static inline void end_log(struct vcpu *vcpu, const struct ept12_log *log)
{
	if (log->on)
		vcpu->nested->state.vmcs12.pml_index = log->index;
}

/*
 * A first write since the last harvest, and no event was on its way: nothing
 * but Umbra's log stands in the way of most of them while writes are tracked.
 */
static ALWAYS_INLINE bool fix_tracked(struct vcpu *vcpu)
{
	const u64 what = EPT12_WRITE | EPT12_FETCH | EPT12_NMI_UNBLOCKING;
	u64 qualification = vmcs_read_first(VMCS_EXIT_QUALIFICATION);
	u64 vectoring = vmcs_read_first(VMCS_IDT_VECTORING_INFO);

	return (qualification & what) == EPT12_WRITE &&
	       likely(!(vectoring & EVENT_VALID)) &&
	       shadow_fix_tracked(&vcpu->vm->shadow, &vcpu->nested->root,
				  ngpa(vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS)));
}

/* Most violations need a leaf and no more. */
static ALWAYS_INLINE enum shadow_quick
resolve_quickly(struct vcpu *vcpu, struct shadow_result *result)
{
	struct nested_vcpu *n = vcpu->nested;
	const struct ept12_access access = {
	    ngpa(vmcs_read_first(VMCS_GUEST_PHYSICAL_ADDRESS)),
	    vmcs_read(VMCS_EXIT_QUALIFICATION),
	};
	enum shadow_quick done;
	struct ept12_log log;

	begin_log(vcpu, &log);
	done = shadow_fault_quickly(&vcpu->vm->shadow, &n->root, &access, &log,
				    result);
	end_log(vcpu, &log);
	if (likely(done == SHADOW_QUICK_RESUME))
		resume_after_fault(vcpu,
				   (u32)vmcs_read(VMCS_IDT_VECTORING_INFO),
				   access.qualification);
	return done;
}

static struct shadow_result resolve(struct vcpu *vcpu,
				    const struct nested_exit *exit)
{
	struct nested_vcpu *n = vcpu->nested;
	const struct ept12_access access = {exit->physical,
					    exit->qualification};
	struct shadow_result result;
	struct ept12_log log;

	begin_log(vcpu, &log);
	nested_vcpu_leave_guest(vcpu);
	result = shadow_fault(&vcpu->vm->shadow, &n->root, &access, &log);
	end_log(vcpu, &log);
	return result;
}

/* A violation, or a misconfiguration, of EPT02. */
static NOINLINE enum exit_action
after_shadow_fault(struct vcpu *vcpu, u32 reason,
		   const struct shadow_result *quick)
{
	struct nested_exit all = {.reason = reason};
	struct nested_exit *exit = &all;
	struct shadow_result result;

	read_exit(exit);
	result = quick ? *quick : resolve(vcpu, exit);
	switch (result.outcome) {
	case SHADOW_RESUME:
		break;
	case SHADOW_VIOLATION:
		return to_l1(vcpu, exit, EXIT_EPT_VIOLATION,
			     result.qualification);
	case SHADOW_MISCONFIGURED:
		return to_l1(vcpu, exit, EXIT_EPT_MISCONFIGURATION, 0);
	case SHADOW_LOG_FULL:
		return to_l1(vcpu, exit, EXIT_PML_FULL,
			     exit->qualification & EPT12_NMI_UNBLOCKING);
	case SHADOW_DEVICE:
		if (nested_memory_is_apic(vcpu, result.address, exit)) {
			nested_exit_by_access(vcpu, exit);
			return ACTION_RESUME;
		}
		vcpu->exit.physical = result.address;
		vcpu->exit.qualification = exit->qualification;
		vcpu->exit.idt_vectoring = exit->idt_vectoring;
		return exit_ept_device(vcpu, &vcpu->exit);
	case SHADOW_BUSY:
		nested_kick_others(vcpu);
		break;
	}
	return resume_after_fault(vcpu, exit->idt_vectoring,
				  exit->qualification);
}

static NOINLINE enum exit_action on_shadow_fault(struct vcpu *vcpu, u32 reason)
{
	struct shadow_result result;
	enum shadow_quick done;

	vcpu->nested->state.entry_pending = false;
	if (likely(reason == EXIT_EPT_VIOLATION)) {
		if (shadow_is_tracking(&vcpu->vm->shadow) && fix_tracked(vcpu))
			return ACTION_RESUME;
		done = resolve_quickly(vcpu, &result);
		if (likely(done == SHADOW_QUICK_RESUME))
			return ACTION_RESUME;
		if (done == SHADOW_QUICK_RESULT)
			return after_shadow_fault(vcpu, reason, &result);
	}
	return after_shadow_fault(vcpu, reason, NULL);
}

/* With VMCS shadowing: does L1 leave this access to L2? */
static bool is_shadow_access(const struct vcpu *vcpu,
			     const struct nested_exit *exit)
{
	const struct vmcs12 *v = &vcpu->nested->state.vmcs12;
	u32 second = nested_operand_second(exit->instruction_information);
	bool is_64_bit = (vmcs_read(VMCS_GUEST_EFER) & EFER_LMA) &&
			 (vmcs_read(VMCS_GUEST_CS_ACCESS_RIGHTS) & RIGHTS_LONG);
	u64 encoding = second == REG_RSP ? vmcs_read(VMCS_GUEST_RSP)
					 : vcpu->registers.gpr[second];

	if (!(nested_secondary_controls(v) & SECONDARY_VMCS_SHADOWING))
		return false;
	return !nested_shadow_exits(
	    &vcpu->vm->memory,
	    exit->reason == EXIT_VMREAD ? v->vmread_bitmap : v->vmwrite_bitmap,
	    is_64_bit ? encoding : low32(encoding));
}

static enum exit_action note_step(struct vcpu *vcpu, enum exit_action action)
{
	if (action == ACTION_SKIP)
		nested_events_step(vcpu);
	return action;
}

static enum exit_action on_vmfunc(struct vcpu *vcpu, struct nested_exit *exit)
{
	struct nested_cpu cpu;
	const u64 *gpr = vcpu->registers.gpr;

	exit_vmx_read_cpu(vcpu, &cpu);
	cpu.paging.phys_bits = vcpu->vm->platform.config.phys_bits;
	switch (nested_vmfunc(&cpu, low32(gpr[REG_RAX]), low32(gpr[REG_RCX]))) {
	case NESTED_VMFUNC_SWITCHED:
		return note_step(vcpu, nested_entry_switch_ept(vcpu));
	case NESTED_VMFUNC_UD:
		vcpu_raise(vcpu, EXCEPTION_UD);
		return ACTION_RESUME;
	case NESTED_VMFUNC_EXIT:
		break;
	}
	nested_exit(vcpu, exit);
	return ACTION_RESUME;
}

/* Was one on its way into L2? */
static inline bool has_event(const struct vcpu *vcpu)
{
	return ((vcpu->nested->state.vmcs12.entry_interruption_info |
		 vcpu->injection.info) &
		EVENT_VALID) ||
	       vcpu->postponed_interrupt;
}

/*
 * The CPU has refused what Umbra's checks let pass: as a CPU of L1's that checks
 * so. VMCS12 is as it was before the entry, with its event and launch state (SDM
 * vol. 3, "VM-Entry Failures During or After Loading Guest State").
 */
static COLD enum exit_action refuse_entry(struct vcpu *vcpu, u32 reason)
{
	struct nested_vcpu *n = vcpu->nested;
	const struct nested_full_entry *full = &n->full_entry;
	u64 qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);

	vmcs_shadow_take_event(vcpu);
	if (full->number != nested_entry_number(vcpu)) {
		vmcs02_save_cold(vcpu);
	} else {
		if (full->cold_was_newer)
			vmcs02_save_cold(vcpu);
		if (full->was_clear)
			n->state.vmcs12.launch_state = VMCS12_CLEAR;
	}
	n->cold_is_newer = false;
	n->state.entry_pending = false;
	nested_exit_failed_entry(
	    vcpu, (enum exit_reason)(reason & (u32)EXIT_REASON_BASIC),
	    qualification);
	return ACTION_RESUME;
}

static bool is_refusal(u32 reason)
{
	return (reason & EXIT_REASON_ENTRY_FAILED) &&
	       (reason & EXIT_REASON_BASIC) != EXIT_ENTRY_MACHINE_CHECK;
}

/* L2 without EPT has L1's addresses. */
static enum exit_action on_our_violation(struct vcpu *vcpu,
					 struct nested_exit *exit)
{
	gpa_t address = gpa(vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS));

	if (!nested_memory_is_apic(vcpu, address, exit))
		return exit_handle_ours(vcpu);
	nested_exit_by_access(vcpu, exit);
	return ACTION_RESUME;
}

static NOINLINE enum exit_action handle_others(struct vcpu *vcpu, u32 reason)
{
	struct nested_exit exit = {.reason = reason};
	const struct nested_l2 l2 = {
	    .v = &vcpu->nested->state.vmcs12,
	    .mem = &vcpu->vm->memory,
	    .gpr = vcpu->registers.gpr,
	};

	if (unlikely(is_refusal(reason))) {
		/* An entry that fails leaves the event in vmcs02. */
		vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, 0);
		if (vcpu->nested->state.entry_pending)
			return refuse_entry(vcpu, reason);
	}
	vcpu->nested->state.entry_pending = false;
	read_exit(&exit);
	if (reason == EXIT_EPT_VIOLATION || reason == EXIT_EPT_MISCONFIGURATION)
		return on_our_violation(vcpu, &exit);
	if ((reason == EXIT_VMREAD || reason == EXIT_VMWRITE) &&
	    is_shadow_access(vcpu, &exit))
		return note_step(vcpu, exit_vmx_access_shadow(vcpu, &exit));
	if (reason == EXIT_VMFUNC)
		return on_vmfunc(vcpu, &exit);
	if (reason == EXIT_CONTROL_REGISTER)
		vcpu->registers.gpr[REG_RSP] = vmcs_read(VMCS_GUEST_RSP);
	if (!nested_exit_is_l1s(&l2, &exit))
		return note_step(vcpu, exit_handle_ours(vcpu));
	nested_exit(vcpu, &exit);
	return ACTION_RESUME;
}

/* What L1's controls say of one of which nothing but the reason counts. */
static NOINLINE bool l1_asks_for(const struct vcpu *vcpu, u32 reason)
{
	const struct nested_l2 l2 = {
	    .v = &vcpu->nested->state.vmcs12,
	    .mem = &vcpu->vm->memory,
	    .gpr = vcpu->registers.gpr,
	};

	return nested_exit_is_l1s(&l2, &(struct nested_exit){.reason = reason});
}

static ALWAYS_INLINE bool is_plain_and_l1s(const struct vcpu *vcpu, u32 reason)
{
	return nested_exit_is_plain(reason) && !has_event(vcpu) &&
	       (nested_exit_is_always_l1s(reason) || l1_asks_for(vcpu, reason));
}

enum exit_action nested_exit_handle(struct vcpu *vcpu, u32 reason)
{
	if ((reason == EXIT_EPT_VIOLATION ||
	     reason == EXIT_EPT_MISCONFIGURATION) &&
	    vcpu->nested->now->loaded.has_ept)
		return on_shadow_fault(vcpu, reason);
	if (is_plain_and_l1s(vcpu, reason))
		return exit_plainly(vcpu, reason);
	return handle_others(vcpu, reason);
}
