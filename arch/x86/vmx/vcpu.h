/* SPDX-License-Identifier: MIT */
/*
 * One virtual CPU: explicit state and a step function, no stack of its own.
 *
 *	        vcpu_load          vcpu_run           vcpu_unload
 *	(anywhere) ----> on this CPU ----> its reason ----> (anywhere)
 *
 * Between vcpu_load and vcpu_unload the VMCS is current on one CPU, and the
 * guest's FPU, debug registers and unswitched MSRs are live in that CPU:
 * Umbra itself is compiled to touch none of them. Everything below that does
 * not say otherwise is called on that CPU only.
 */
#ifndef ARCH_X86_VMX_VCPU_H
#define ARCH_X86_VMX_VCPU_H

#include "arch/x86/vmx/apicv.h"
#include "arch/x86/vmx/event.h"
#include "arch/x86/vmx/vcpu_state.h"
#include "arch/x86/vmx/vm.h"
#include "devices/mtrr.h"
#include "lib/err.h"
#include "lib/x86.h"
#include "mm/addr.h"

/* What vmx_enter() loads and stores; offsets in enter.asm. */
struct vcpu_registers {
	u64 gpr[16];    /* in the order of encodings; RSP lives in the VMCS */
	u64 host_rsp;   /* what the VMCS's host RSP field holds */
	u64 launched;   /* since VMCLEAR: 1 */
	u32 entry_work; /* ENTRY_* of mitigation.h */
	u32 exit_work;  /* EXIT_* */
	u64 guest_spec_ctrl, host_spec_ctrl;
};

/*
 * What the last VM exit left, read once. Fields that its reason does not fill
 * (exit.c says which) are those of an earlier exit.
 */
struct vmx_exit {
	u64 qualification;
	u32 reason;       /* with its flags */
	u32 interruption; /* exceptions, NMIs and interrupts */
	u32 error_code;
	u32 idt_vectoring; /* the event whose delivery was cut short, or 0 */
	gpa_t physical;    /* EPT violations and misconfigurations */
};

enum vcpu_activity {
	VCPU_ACTIVE,
	VCPU_HALTED,        /* HLT: an event wakes it */
	VCPU_WAIT_FOR_SIPI, /* after INIT */
	VCPU_SHUTDOWN,      /* of an L2: NMI and INIT end it */
};

/* Why vcpu_run came back. */
enum vcpu_stop {
	VCPU_STOP_PREEMPTED, /* its time is over, or somebody asked */
	VCPU_STOP_IDLE,      /* halted; see vcpu_wake_tsc */
	VCPU_STOP_PAUSED,    /* its VM is paused */
	VCPU_STOP_ENDED,     /* the VM has ended */
};

/* The MSRs that no VMCS field switches and Umbra does not use itself. */
enum vcpu_live_msr {
	LIVE_STAR,
	LIVE_LSTAR,
	LIVE_CSTAR,
	LIVE_FMASK,
	LIVE_KERNEL_GS_BASE,
	LIVE_TSC_AUX,
	LIVE_MSR_COUNT,
};

#define EXIT_REASONS_MAX 80 /* exit.h knows them */

/*
 * Intercepted: a machine check is ours; an endless chain of #AC or #DB in the
 * delivery of the same must not hold the CPU.
 */
#define VCPU_EXCEPTIONS_EXITING \
	(BIT(EXCEPTION_MC) | BIT(EXCEPTION_AC) | BIT(EXCEPTION_DB))

/*
 * One exit at a time, for who looks at a vCPU in each state that it goes
 * through (core/record_loop.h): vcpu_run() comes back right behind an exit, and
 * again when it has been decided what the next entry takes in.
 */
enum vcpu_step {
	VCPU_STEP_NONE,
	VCPU_STEP_ENTER,  /* it will enter; */
	VCPU_STEP_EXITED, /* has been in the guest, and stops at once; */
	VCPU_STEP_DECIDE, /* will decide, and stop before it enters */
};

/* When the coming stay in L2 ends. */
enum vcpu_leave {
	VCPU_LEAVE_ANY_TIME,
	VCPU_LEAVE_AT_ONCE, /* when what is injected has been delivered */
	VCPU_LEAVE_SOON,    /* behind the shadow of STI or MOV SS */
};

struct nested_vcpu;
struct exit_emulate_remembered;

struct vcpu {
	struct vcpu_registers registers;
	struct vm *vm;
	struct nested_vcpu *nested; /* nested_vcpu.h; NULL: it sees no VMX */
	u32 index;
	u16 vpid;
	bool initialised;  /* the VMCS has its first contents */
	bool in_l2;        /* vmcs02 is the one in use; nested_vcpu.h */
	bool tells_shadow; /* when it is in the guest; see vm_use_shadow() */
	/* What shadow_enter() said, and by what it is out of date: for whoever
	 * does not tell, never. */
	u64 shadow_entered;
	const u64 *shadow_generation;
	hpa_t vmcs;
	hpa_t pml_page;
	u64 sync_generation; /* of the VM when it last entered; see vm_sync */
	enum vcpu_leave leave;

	/*
	 * Somebody wants this vCPU to look before it enters the guest: set by
	 * any CPU, cleared by who runs it, who then looks at everything.
	 */
	bool attention;

	enum vcpu_step step;

	u64 deadline_tsc; /* the coming stay in the guest ends here at last */
	i64 stay_ticks;   /* the shortest stay */
	i64 plain_ticks;  /* from here on a stay needs the timer only */

	enum vcpu_activity activity;
	struct vcpu_event injection; /* goes in with the next entry */
	/* Taken from the APIC, but an exception came first; as `info`, or 0. */
	u32 postponed_interrupt;
	bool halted_for_good; /* in HLT, with interrupts off */
	/* What is in the VMCS that is in use: exits asked for, and PML. */
	union {
		struct {
			bool interrupt_window, nmi_window, pml_on;
		};
		u32 of_vmcs; /* all of them */
	};
	bool nmi_pending;   /* taken from the APIC, waits for its window */
	u64 next_event_ns;  /* earliest timer of the devices, guest time */
	u64 next_event_tsc; /* the same as a host TSC value */

	struct vcpu_state start; /* what the VMCS begins with */

	/* Guest state that is in neither the VMCS nor `registers`. */
	u64 live_msrs[LIVE_MSR_COUNT];
	u64 cr2;
	u64 dr[4], dr6;
	u64 xcr0, xss;
	u64 misc_enable;
	u64 tsc_adjust;
	struct hyperv_vcpu hyperv;
	struct mtrr mtrr;
	void *fpu; /* an XSAVE area of fpu_bytes */
	struct exit_emulate_remembered *remembered; /* exit_emulate.h */

	struct lapic *lapic;
	/* Of it in vmcs01: vcpu_apic.h. */
	enum apicv_mode apic_mode;
	bool apic_delivers; /* the CPU delivers what is in IRR */
	u32 tpr_threshold;
	u64 eoi_exits[4];
	hpa_t storage; /* the block in which this record and its areas lie */
	hpa_t msr_bitmap;
	u32 msr_bitmap_changes; /* counted, for who merges it: vmcs02.c */
	struct vmx_exit exit;
	u64 exits_by_reason[EXIT_REASONS_MAX];
	u64 redelivered_count; /* events whose delivery was cut short */
	u64 logged_count;      /* entries that its PML page had, when drained */
	/* Of EPT01, that were no writes kept off for the dirty log. */
	u64 untracked_violations;

	/* The scheduler's (core/sched.c). */
	struct vcpu_schedule {
		u32 state;
		u32 cpu;  /* where it runs, or is loaded */
		u64 used; /* weighted TSC ticks: the least is next */
		u64 wake_tsc;
		u32 throttle_percent; /* of its time that it does without */
		u64 writes;           /* vcpu_writes() when that was said */
		u64 writes_new;       /* and how many of them were new */
		u64 rest_until;       /* throttled: not to run before */
		struct vcpu *next;
	} schedule;
};

/* Power-on state: not loaded anywhere. Needs vmx_capability.usable. */
MUST_CHECK enum err vcpu_create(struct vm *vm, u32 index, struct vcpu **vcpu);

/* Frees it; it is loaded nowhere and in no schedule. */
void vcpu_destroy(struct vcpu *vcpu);

void vcpu_load(struct vcpu *vcpu);
void vcpu_unload(struct vcpu *vcpu);

/*
 * Runs the guest until its TSC reaches `until_tsc` (host TSC), it idles, its VM
 * ends, or vcpu_ask_to_stop() is called. Loaded on this CPU.
 */
enum vcpu_stop vcpu_run(struct vcpu *vcpu, u64 until_tsc);

/* How often the guest has been left. */
u64 vcpu_exit_count(const struct vcpu *vcpu);

/* How many of its writes dirty tracking has found; of one that runs, about. */
u64 vcpu_writes(const struct vcpu *vcpu);

/* When a vCPU that idles has its next timer, as a host TSC value. */
u64 vcpu_wake_tsc(const struct vcpu *vcpu);

/* Any CPU: makes the vCPU look. Does not wake or interrupt it by itself. */
static inline void vcpu_call_attention(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->attention, 1, __ATOMIC_RELEASE);
}

/*
 * in_l2, `leave` or L1's preemption timer have changed: decides which
 * stays need more than the timer.
 */
void vcpu_choose_timer(struct vcpu *vcpu);

/* The guest's TSC now, and its offset in vmcs01. */
u64 vcpu_tsc(const struct vcpu *vcpu);

static inline u64 vcpu_tsc_offset(const struct vcpu *vcpu)
{
	return vcpu->vm->time.offset + vcpu->lapic->tsc_offset;
}

/* The VM's clock has been set anew, or the offset. Loaded on this CPU. */
void vcpu_load_tsc(struct vcpu *vcpu);

/* The secondary controls that its CPU model asks for, besides everybody's. */
u32 vcpu_secondary(const struct vcpu *vcpu);

/* See vpid_of(). */
u16 vcpu_allocate_vpid(void);

/* Is there an IA32_TSC_AUX for guests? Not where RDTSCP cannot be allowed. */
bool vcpu_has_tsc_aux(void);

/* --- For exit handlers ---------------------------------------------------- */

enum vcpu_register {
	REG_RAX,
	REG_RCX,
	REG_RDX,
	REG_RBX,
	REG_RSP,
	REG_RBP,
	REG_RSI,
	REG_RDI,
};

/* Raises an exception; the instruction that exited is not skipped. */
void vcpu_raise(struct vcpu *vcpu, u32 vector);
void vcpu_raise_with_code(struct vcpu *vcpu, u32 vector, u32 error_code);
void vcpu_raise_page_fault(struct vcpu *vcpu, u64 address, u32 error_code);

/*
 * RIP of the loaded vCPU has just been moved behind an instruction that was
 * carried out for it: what a CPU does then (the end of RF and of the STI and
 * MOV-SS shadow, traps, among them the exit that L1 steps L2 by) is done.
 * Nothing else is being injected.
 */
void vcpu_instruction_done(struct vcpu *vcpu, u64 met);

/*
 * The instruction that has exited is done. `met`, here and above: breakpoints
 * of its own, as in DR6.
 */
void vcpu_skip_instruction(struct vcpu *vcpu, u64 met);

/*
 * The guest has done what cannot go on:says why with the vCPU's whole state,
 * and ends its VM.
 */
COLD void vcpu_fail(struct vcpu *vcpu, const char *format, ...) PRINTF(2, 3);

/* To a machine a reset; to whoever debugs the guest, by default, its end. */
void vcpu_triple_fault(struct vcpu *vcpu);

/* Seam, core/sched.c: whether some CPUis in vcpu_run for it. */
bool vcpu_is_running(const struct vcpu *vcpu);

/* Seam, core/sched.c: it spins; others that wait for this CPU come first. */
void vcpu_yield(struct vcpu *vcpu);

/* Seam, core/sched.c: the calling CPU shouldgive up its vCPU soon. */
bool vcpu_should_stop(void);

/* Seam, core/bench.c: the leaf of lib/bench.h. */
void vcpu_answer_bench_leaf(const struct vcpu *vcpu, u32 subleaf,
			    struct cpuid_leaf *leaf);

/* Seam, core/sched.c: wakes the vCPU, or interrupts the CPU it runs on. */
void vcpu_kick(struct vcpu *vcpu);

/*
 * Seam, core/sched.c: the same for a vector in its posted-interrupt descriptor,
 * which a CPU with posted interrupts takes from there without leaving the
 * guest.
 */
void vcpu_notify(struct vcpu *vcpu);

#endif
