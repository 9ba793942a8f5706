/* SPDX-License-Identifier: MIT */
/* A vCPU's life: made, loaded, run, unloaded. */
#include "arch/x86/vmx/vcpu.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/mitigate.h"
#include "arch/x86/vmx/msr_bitmap.h"
#include "arch/x86/vmx/nested_entry.h"
#include "arch/x86/vmx/nested_events.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vcpu_apic.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vcpu_sync.h"
#include "arch/x86/vmx/vmcs02.h"
#include "arch/x86/vmx/vmcs_host.h"
#include "arch/x86/vmx/vmx_cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "arch/x86/vmx/vpid.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"
#include "pml/pml.h"

_Static_assert(offsetof(struct vcpu_registers, host_rsp) == 8UL * 16,
	       "enter.asm");
_Static_assert(offsetof(struct vcpu_registers, launched) == 8UL * 17,
	       "enter.asm");
_Static_assert(ACTION_RESUME < ACTION_SKIP && ACTION_SKIP < ACTION_STOP,
	       "run_until_stopped");

/* Pages of a vCPU's storage block. */
enum storage_page {
	STORAGE_RECORD,
	STORAGE_MSR_BITMAP,
	STORAGE_VMCS,
	STORAGE_FPU,
	STORAGE_PML,
	STORAGE_REMEMBERED,
	STORAGE_LAPIC, /* two pages */
	STORAGE_END = STORAGE_LAPIC + 2,
};
_Static_assert(sizeof(struct vcpu) <= PAGE_4K, "the record fits its page");
_Static_assert(STORAGE_END *PAGE_4K <= PAGE_4K << FRAME_32K, "the block");

#define FPU_FCW_RESET      0x37f
#define FPU_MXCSR_RESET    0x1f80
#define FPU_MXCSR_AT       24

/* PAUSEs that follow each other within so many ticks are a loop, which exits
 * when it has lasted so long: what a short critical section takes, and more. */
#define PAUSE_GAP_TICKS    128
#define PAUSE_WINDOW_TICKS 4096

/* The shortest stay in a guest; in ticks for where the TSC is slow. */
#define STAY_NS            1000
#define STAY_TICKS         50
#define MISC_ENABLE_RESET  (BIT(0) | BIT(11) | BIT(12)) /* no BTS, no PEBS */

static const u32 live_msr_numbers[LIVE_MSR_COUNT] = {
    [LIVE_STAR] = MSR_STAR,
    [LIVE_LSTAR] = MSR_LSTAR,
    [LIVE_CSTAR] = MSR_CSTAR,
    [LIVE_FMASK] = MSR_FMASK,
    [LIVE_KERNEL_GS_BASE] = MSR_KERNEL_GS_BASE,
    [LIVE_TSC_AUX] = MSR_TSC_AUX,
};

/* What a vCPU that does not tell has entered always. */
static const u64 shadow_of_nobody = SHADOW_OUTSIDE;

u16 vcpu_allocate_vpid(void)
{
	static u32 count;

	return vpid_of(__atomic_fetch_add(&count, 1, __ATOMIC_RELAXED));
}

bool vcpu_has_tsc_aux(void)
{
	return controls_have(&vmx_capability.controls, CONTROLS_SECONDARY,
			     SECONDARY_RDTSCP);
}

static void reset_fpu(struct vcpu *vcpu)
{
	u8 *area = vcpu->fpu;
	const u16 fcw = FPU_FCW_RESET;
	const u32 mxcsr = FPU_MXCSR_RESET;

	memset(area, 0, PAGE_4K);
	memcpy(area, &fcw, sizeof(fcw));
	memcpy(area + FPU_MXCSR_AT, &mxcsr, sizeof(mxcsr));
}

enum err vcpu_create(struct vm *vm, u32 index, struct vcpu **result)
{
	hpa_t block;
	struct vcpu *vcpu;
	enum err err = frame_alloc_zeroed(FRAME_32K, "a virtual CPU", &block);

	if (err != OK)
		return err;
	CHECK(vm->sync_generation);
	vcpu = phys_ptr(block);
	vcpu->storage = block;
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->shadow_entered = SHADOW_OUTSIDE;
	vcpu->shadow_generation = &shadow_of_nobody;
	vcpu->vpid = vcpu_allocate_vpid();
	vcpu->msr_bitmap = hpa_add(block, PAGE_4K * STORAGE_MSR_BITMAP);
	vcpu->vmcs = hpa_add(block, STORAGE_VMCS * PAGE_4K);
	vcpu->fpu = phys_ptr(hpa_add(block, STORAGE_FPU * PAGE_4K));
	vcpu->remembered =
	    phys_ptr(hpa_add(block, STORAGE_REMEMBERED * PAGE_4K));
	vcpu->lapic = phys_ptr(hpa_add(block, STORAGE_LAPIC * PAGE_4K));
	vcpu->pml_page = hpa_add(block, PAGE_4K * STORAGE_PML);
	vcpu->activity = index ? VCPU_WAIT_FOR_SIPI : VCPU_ACTIVE;
	vcpu->attention = 1;
	vcpu->xcr0 = XCR0_X87;
	vcpu->dr6 = DR6_RESET;
	mtrr_init(&vcpu->mtrr, vm->platform.config.phys_bits);
	vcpu->misc_enable = MISC_ENABLE_RESET;
	vcpu->stay_ticks = (i64)tsc_from_ns(STAY_NS) + STAY_TICKS;
	vcpu_choose_timer(vcpu);
	vcpu->next_event_ns = CLOCK_NEVER;
	vcpu->next_event_tsc = UINT64_MAX;
	vcpu_state_reset(&vcpu->start);
	reset_fpu(vcpu);
	msr_bitmap_init(phys_ptr(vcpu->msr_bitmap));
	mitigate_prepare(vcpu);
	vmx_write_revision(vcpu->vmcs);
	if (vm->nested)
		err = nested_vcpu_create(vcpu);
	if (err == OK)
		*result = vcpu;
	else
		frame_free(block, FRAME_32K);
	return err;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	nested_vcpu_destroy(vcpu);
	frame_free(vcpu->storage, FRAME_32K);
}

/* Only a VM that came from a CPU of another frequency needs it. */
static void write_tsc_multiplier(const struct vcpu *vcpu)
{
	if (!vcpu->vm->time.multiplier)
		return;
	vmcs_write(VMCS_TSC_MULTIPLIER, vcpu->vm->time.multiplier);
	vmcs_write(VMCS_SECONDARY_CONTROLS,
		   vmcs_read(VMCS_SECONDARY_CONTROLS) | SECONDARY_TSC_SCALING);
}

u32 vcpu_secondary(const struct vcpu *vcpu)
{
	return guest_cpuid_secondary(
	    &vcpu->vm->cpuid, vmx_capability.controls.words[CONTROLS_SECONDARY],
	    vmx_capability.words[CONTROLS_SECONDARY].may_be_1);
}

static void write_controls(struct vcpu *vcpu)
{
	const struct controls *controls = &vmx_capability.controls;

	vmcs_write(VMCS_PIN_CONTROLS, controls->words[CONTROLS_PIN]);
	vmcs_write(VMCS_PRIMARY_CONTROLS, controls->words[CONTROLS_PRIMARY]);
	vmcs_write(VMCS_SECONDARY_CONTROLS, vcpu_secondary(vcpu));
	if (vcpu_secondary(vcpu) & SECONDARY_XSAVES)
		vmcs_write(VMCS_XSS_EXITING_BITMAP, 0);
	vmcs_write(VMCS_EXIT_CONTROLS, controls->words[CONTROLS_EXIT]);
	vmcs_write(VMCS_ENTRY_CONTROLS, controls->words[CONTROLS_ENTRY]);
	vmcs_write(VMCS_EXCEPTION_BITMAP, VCPU_EXCEPTIONS_EXITING);
	vmcs_write(VMCS_MSR_BITMAP, hpa_raw(vcpu->msr_bitmap));
	vmcs_write(VMCS_EPT_POINTER, ept_pointer(&vcpu->vm->ept));
	vcpu_load_tsc(vcpu);
	write_tsc_multiplier(vcpu);
	if (vmx_capability.has_vpid)
		vmcs_write(VMCS_VPID, vcpu->vpid);
	if (controls_have(controls, CONTROLS_SECONDARY, SECONDARY_PAUSE_LOOP)) {
		vmcs_write(VMCS_PLE_GAP, PAUSE_GAP_TICKS);
		vmcs_write(VMCS_PLE_WINDOW, PAUSE_WINDOW_TICKS);
	}
	if (vmx_capability.has_pml) {
		vmcs_write(VMCS_PML_ADDRESS, hpa_raw(vcpu->pml_page));
		vmcs_write(VMCS_PML_INDEX, PML_INDEX_EMPTY);
	}
}

static void init_vmcs(struct vcpu *vcpu)
{
	write_controls(vcpu);
	vcpu_apic_init(vcpu);
	vmcs_host_write_constants(vcpu);
	control_registers_init(vcpu);
	vcpu_state_write(vcpu, &vcpu->start);
}

/* A guest whose CPU has no XSAVE cannot reach more than FXSAVE keeps. */
static bool uses_xsave(const struct vcpu *vcpu)
{
	return cpu_features.xsave && vcpu->vm->xcr0_allowed;
}

static void load_fpu(const struct vcpu *vcpu)
{
	if (!uses_xsave(vcpu)) {
		insn_fxrstor(vcpu->fpu);
		return;
	}
	/* All that the guest may ever use, whatever it has switched on now. */
	/* Umbra's own vectors are no guest's: lib/vectors.h. */
	CHECK(!(vcpu->vm->xcr0_allowed & XCR0_AVX512));
	insn_xsetbv(0, vcpu->vm->xcr0_allowed);
	insn_xrstor(vcpu->fpu);
	insn_xsetbv(0, vcpu->xcr0);
}

static void save_fpu(struct vcpu *vcpu)
{
	if (!uses_xsave(vcpu)) {
		insn_fxsave(vcpu->fpu);
		return;
	}
	insn_xsetbv(0, vcpu->vm->xcr0_allowed);
	insn_xsave(vcpu->fpu);
}

static void load_live_registers(const struct vcpu *vcpu)
{
	for (u32 i = 0; i < LIVE_MSR_COUNT; i++)
		if (i != LIVE_TSC_AUX || vcpu_has_tsc_aux())
			insn_wrmsr(live_msr_numbers[i], vcpu->live_msrs[i]);
	insn_write_dr0(vcpu->dr[0]);
	insn_write_dr1(vcpu->dr[1]);
	insn_write_dr2(vcpu->dr[2]);
	insn_write_dr3(vcpu->dr[3]);
	insn_write_dr6(vcpu->dr6);
	/* Umbra has no page faults of its own that it survives. */
	insn_write_cr2(vcpu->cr2);
	load_fpu(vcpu);
}

static void save_live_registers(struct vcpu *vcpu)
{
	for (u32 i = 0; i < LIVE_MSR_COUNT; i++)
		if (i != LIVE_TSC_AUX || vcpu_has_tsc_aux())
			vcpu->live_msrs[i] = insn_rdmsr(live_msr_numbers[i]);
	vcpu->dr[0] = insn_read_dr0();
	vcpu->dr[1] = insn_read_dr1();
	vcpu->dr[2] = insn_read_dr2();
	vcpu->dr[3] = insn_read_dr3();
	vcpu->dr6 = insn_read_dr6();
	vcpu->cr2 = insn_read_cr2();
	save_fpu(vcpu);
}

void vcpu_load(struct vcpu *vcpu)
{
	/* A VMCS that has never been used must be cleared before it is. */
	if (!vcpu->initialised)
		CHECK(insn_vmclear(vcpu->vmcs) == VMX_SUCCEED);
	CHECK(insn_vmptrld(nested_vcpu_vmcs(vcpu)) == VMX_SUCCEED);
	vcpu->registers.launched = 0;
	/* The stack may be another CPU's: the entry must write it again. */
	vcpu->registers.host_rsp = 0;
	vmcs_host_write_this_cpu();
	if (!vcpu->initialised)
		init_vmcs(vcpu);
	vcpu->initialised = true;
	/* Another vCPU may have used this VPID's translations elsewhere, and
	 * this one may have changed tables on another CPU since. */
	if (vmx_capability.has_vpid)
		vmx_flush_vpid(vcpu->vpid);
	mitigate_load(vcpu);
	nested_vcpu_load(vcpu);
	load_live_registers(vcpu);
}

void vcpu_unload(struct vcpu *vcpu)
{
	save_live_registers(vcpu);
	nested_vcpu_unload(vcpu);
	CHECK(insn_vmclear(nested_vcpu_vmcs(vcpu)) == VMX_SUCCEED);
}

static inline void arm_preemption_timer(i64 ticks)
{
	/* The entry finds out if there is no VMCS. */
	vmcs_write_first(VMCS_PREEMPTION_TIMER,
			 (u64)ticks >> vmx_capability.preemption_shift);
}

void vcpu_choose_timer(struct vcpu *vcpu)
{
	bool is_plain = !vcpu->in_l2 || (!vcpu->nested->state.timer_runs &&
					 vcpu->leave == VCPU_LEAVE_ANY_TIME);

	vcpu->plain_ticks = vmx_capability.has_preemption_timer && is_plain
				? vcpu->stay_ticks
				: INT64_MAX;
}

/* L2, a stay that is too short, or a CPU without a preemption timer. */
static NOINLINE void arm_otherwise(struct vcpu *vcpu, i64 ticks)
{
	if (vcpu->in_l2) {
		arm_preemption_timer(nested_ticks_to_stay(vcpu, ticks));
		return;
	}
	if (ticks < vcpu->stay_ticks) {
		ticks = vcpu->stay_ticks;
		/* A guest that exits all the time never lets it run out. */
		vcpu->attention = 1;
	}
	if (vmx_capability.has_preemption_timer)
		arm_preemption_timer(ticks);
	else
		apic_timer_arm(insn_rdtsc() + (u64)ticks);
}

/*
 * Ends the coming stay in the guest at deadline_tsc. A guest may ask for a
 * timer that is always due: some of its own instructions must come between two
 * exits, or it would make no progress.
 */
static inline void arm_timer(struct vcpu *vcpu)
{
	/* Negative when the deadline is past. */
	i64 ticks = (i64)(vcpu->deadline_tsc - insn_rdtsc());

	if (likely(ticks >= vcpu->plain_ticks))
		arm_preemption_timer(ticks);
	else
		arm_otherwise(vcpu, ticks);
}

static NOINLINE bool goes_on_after_failure(struct vcpu *vcpu,
					   enum vmx_outcome outcome)
{
	mitigate_entry_failed(vcpu);
	if (outcome == VMX_FAIL_VALID && vcpu->in_l2 &&
	    nested_events_take_refusal(vcpu))
		return true;
	if (outcome == VMX_FAIL_VALID)
		vcpu_fail(vcpu,
			  "the CPU refuses to enter it: VM-instruction "
			  "error %lu",
			  vmcs_read(VMCS_INSTRUCTION_ERROR));
	else
		vcpu_fail(vcpu, "the CPU refuses to enter it: no current VMCS");
	return false;
}

/*
 * Enters the guest; comes back after the next VM exit, or if there was no
 * entry. The call is spelled out because of what it loses: enter.asm.
 */
static inline enum vmx_outcome enter(struct vcpu *vcpu)
{
	struct vcpu_registers *registers = &vcpu->registers;
	enum vmx_outcome outcome;

	__asm__ volatile("call vmx_enter"
			 : "=a"(outcome), "+D"(registers)
			 :
			 : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12",
			   "r13", "r14", "r15", "memory", "cc");
	return outcome;
}

/* STI and MOV SS hold interrupts for one instruction, and MOV SS traps, too. */
static NOINLINE void end_shadow(struct vcpu *vcpu, u64 blocking, u64 rflags)
{
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
		   blocking & ~(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS));
	if ((blocking & BLOCKING_BY_MOV_SS) && !(rflags & RFLAGS_TF) &&
	    (vmcs_read(VMCS_GUEST_PENDING_DEBUG) & PENDING_DEBUG_ENABLED))
		vcpu_events_debug_trap(vcpu, 0);
}

/* RF is for one instruction: this one. A single step ends here too. */
static NOINLINE void end_debugging(struct vcpu *vcpu, u64 rflags)
{
	if (rflags & RFLAGS_RF)
		vmcs_write(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
	/* No instruction that Umbra carries out is a branch. */
	if ((rflags & RFLAGS_TF) &&
	    !(vmcs_read(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF))
		vcpu_events_debug_trap(vcpu, DR6_SINGLE_STEP);
}

static inline void instruction_done(struct vcpu *vcpu)
{
	u64 blocking = vmcs_read_first(VMCS_GUEST_INTERRUPTIBILITY);
	u64 rflags = vmcs_read(VMCS_GUEST_RFLAGS);

	if (unlikely(blocking & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)))
		end_shadow(vcpu, blocking, rflags);
	if (unlikely(rflags & (RFLAGS_TF | RFLAGS_RF)))
		end_debugging(vcpu, rflags);
}

/* Outside 64-bit code RIP has 32 bits, also past the end of the address space:
 * the entry would refuse another one. */
static NOINLINE u64 wrap_rip(u64 rip)
{
	bool is_long = (vmcs_read(VMCS_GUEST_CS_ACCESS_RIGHTS) & RIGHTS_LONG) &&
		       (vmcs_read(VMCS_GUEST_EFER) & EFER_LMA);

	return is_long ? rip : low32(rip);
}

static inline void skip_instruction(struct vcpu *vcpu)
{
	u64 rip = vmcs_read_first(VMCS_GUEST_RIP);
	u64 next = rip + vmcs_read_first(VMCS_EXIT_INSTRUCTION_LENGTH);

	if (unlikely(low32(next) < low32(rip)))
		next = wrap_rip(next);
	vmcs_write_first(VMCS_GUEST_RIP, next);
	instruction_done(vcpu);
}

/* They wait as those do that MOV SS holds back, and come with the step. */
static void note_breakpoints(u64 met)
{
	if (met)
		vmcs_write(VMCS_GUEST_PENDING_DEBUG,
			   vmcs_read(VMCS_GUEST_PENDING_DEBUG) | met |
			       PENDING_DEBUG_ENABLED);
}

static void end_instruction(struct vcpu *vcpu, u64 met)
{
	if (met &&
	    (vmcs_read(VMCS_GUEST_PENDING_DEBUG) & PENDING_DEBUG_ENABLED))
		vcpu_events_debug_trap(vcpu, 0);
	if (vcpu->in_l2)
		nested_events_step(vcpu);
}

void vcpu_instruction_done(struct vcpu *vcpu, u64 met)
{
	note_breakpoints(met);
	instruction_done(vcpu);
	end_instruction(vcpu, met);
}

void vcpu_skip_instruction(struct vcpu *vcpu, u64 met)
{
	note_breakpoints(met);
	skip_instruction(vcpu);
	end_instruction(vcpu, met);
}

/* The last thing before an entry that may owe a flush. */
static inline void tell_shadow(struct vcpu *vcpu)
{
	if (unlikely(!shadow_has_entered(vcpu->shadow_generation,
					 vcpu->shadow_entered)))
		nested_vcpu_enter_guest(vcpu);
}

static enum vcpu_stop run_until_stopped(struct vcpu *vcpu, u64 until_tsc)
{
	enum vcpu_stop stop;
	enum vmx_outcome outcome;
	i32 action;

	for (;;) {
		tell_shadow(vcpu);
		if (unlikely(vcpu->attention)) {
			if (vcpu_events_look(vcpu, until_tsc, &stop) ==
			    VCPU_LOOK_STOP)
				return stop;
			tell_shadow(vcpu);
		}
		arm_timer(vcpu);
		outcome = enter(vcpu);
		if (unlikely(outcome != VMX_SUCCEED)) {
			if (goes_on_after_failure(vcpu, outcome))
				continue;
			return VCPU_STOP_ENDED;
		}
		/* One comparison: ACTION_SKIP stands in the middle. */
		action = (i32)exit_handle(vcpu) - (i32)ACTION_SKIP;
		if (action < 0)
			continue;
		if (unlikely(action))
			return VCPU_STOP_ENDED;
		skip_instruction(vcpu);
	}
}

enum vcpu_stop vcpu_run(struct vcpu *vcpu, u64 until_tsc)
{
	enum vcpu_stop stop;

	/* Much may have happened since it ran last. */
	vcpu->attention = 1;
	vcpu_choose_timer(vcpu);
	stop = run_until_stopped(vcpu, until_tsc);
	nested_vcpu_leave_guest(vcpu);
	platform_hand_over(&vcpu->vm->platform);
	/* Whoever does not run has nothing in its PML page: see vm_sync. */
	vcpu_sync_drain(vcpu);
	return stop;
}

/* The short way of a write fault counts nothing but its exit. */
u64 vcpu_writes(const struct vcpu *vcpu)
{
	const u64 *violations = &vcpu->exits_by_reason[EXIT_EPT_VIOLATION];

	return __atomic_load_n(&vcpu->logged_count, __ATOMIC_RELAXED) +
	       __atomic_load_n(violations, __ATOMIC_RELAXED) -
	       __atomic_load_n(&vcpu->untracked_violations, __ATOMIC_RELAXED);
}

u64 vcpu_exit_count(const struct vcpu *vcpu)
{
	u64 count = 0;

	for (u32 i = 0; i < ARRAY_COUNT(vcpu->exits_by_reason); i++)
		count += vcpu->exits_by_reason[i];
	return count;
}

u64 vcpu_tsc(const struct vcpu *vcpu)
{
	return guest_time_tsc(&vcpu->vm->time, insn_rdtsc()) +
	       vcpu->lapic->tsc_offset;
}

void vcpu_load_tsc(struct vcpu *vcpu)
{
	/* While L2 runs, its own follows from L1's. */
	if (vcpu->in_l2) {
		vmcs02_load_tsc(vcpu);
		return;
	}
	vmcs_write(VMCS_TSC_OFFSET, vcpu_tsc_offset(vcpu));
	/* L2 may move it back to what it was before. */
	if (vcpu->nested)
		vcpu->nested->vmcs01_tsc_offset = vcpu_tsc_offset(vcpu);
}

u64 vcpu_wake_tsc(const struct vcpu *vcpu)
{
	u64 timer = vcpu->nested && vcpu->activity != VCPU_WAIT_FOR_SIPI
			? nested_timer_tsc(vcpu)
			: UINT64_MAX;

	return timer < vcpu->next_event_tsc ? timer : vcpu->next_event_tsc;
}
