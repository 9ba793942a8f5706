/* SPDX-License-Identifier: MIT */
/*
 * The interface of Hyper-V, as far as a guest needs it that is a hypervisor
 * (setting hyperv=on): Hyper-V Top-Level Functional Specification, "Feature and
 * Interface Discovery", "Hypercall Interface", "Timers", "Nested
 * Virtualization".
 *
 *	CPUID 40000000H-4000000AH   what there is; all else is not offered
 *	MSR 40000000H, 1H           guest OS id, hypercall page
 *	MSR 40000002H               VP index
 *	MSR 40000020H, 21H          reference counter, reference TSC page
 *	MSR 40000022H, 23H          frequencies of TSC and APIC timer
 *	MSR 40000070H-73H           EOI, ICR, TPR; VP-assist page
 *	MSR 40000118H               the TSC is invariant
 *
 * Reference time is in units of 100 ns. It is the VM's TSC, scaled: the counter
 * and what the guest computes from the page are the same number, and both go on
 * where they were when the VM has moved, for its TSC does.
 *
 * Pages that the guest names are written in place, and stay as they are when it
 * disables them: what was below an overlay of Hyper-V's does not come back.
 */
#ifndef DEVICES_HYPERV_H
#define DEVICES_HYPERV_H

#include "lib/bits.h"
#include "lib/err.h"
#include "mm/guest_mem.h"

#define HYPERV_CPUID_FIRST        0x40000000u
#define HYPERV_CPUID_LAST         0x4000000au
/* Where other interfaces of a hypervisor may begin. */
#define HYPERV_CPUID_END          0x40000100u

#define HYPERV_MSR_GUEST_OS_ID    0x40000000u
#define HYPERV_MSR_HYPERCALL      0x40000001u
#define HYPERV_MSR_VP_INDEX       0x40000002u
#define HYPERV_MSR_TIME_COUNT     0x40000020u
#define HYPERV_MSR_REFERENCE_TSC  0x40000021u
#define HYPERV_MSR_TSC_HZ         0x40000022u
#define HYPERV_MSR_APIC_HZ        0x40000023u
#define HYPERV_MSR_EOI            0x40000070u
#define HYPERV_MSR_ICR            0x40000071u
#define HYPERV_MSR_TPR            0x40000072u
#define HYPERV_MSR_VP_ASSIST      0x40000073u
#define HYPERV_MSR_TSC_INVARIANT  0x40000118u
#define HYPERV_MSR_FIRST          0x40000000u
#define HYPERV_MSR_END            0x40000200u

/* Of the MSRs that name a page: bit 0, the page in 63:12. */
#define HYPERV_PAGE_ENABLED       BIT(0)
#define HYPERV_HYPERCALL_LOCKED   BIT(1)

/* Fields of the VP-assist page. */
#define HYPERV_ASSIST_ENLIGHTENED 40u /* u8: VM entries use an eVMCS */
#define HYPERV_ASSIST_EVMCS       48u /* u64: at this address */

/* What a VM has of it, and moves with it. */
struct hyperv {
	bool on; /* offered at all */
	u64 guest_os_id;
	u64 hypercall;
	u64 reference_tsc;
	u64 tsc_invariant;
};

struct hyperv_vcpu {
	u64 vp_assist;
};

struct hyperv_leaf {
	u32 eax, ebx, ecx, edx;
};

/* What of the interface depends on the VM. */
struct hyperv_offer {
	u32 vcpu_max;
	bool nested; /* the guest sees VMX */
};

/* Any leaf from HYPERV_CPUID_FIRST on; what does not exist is 0. */
struct hyperv_leaf hyperv_cpuid(const struct hyperv_offer *offer, u32 leaf);

/* --- MSRs ----------------------------------------------------------------- */

enum hyperv_verdict {
	HYPERV_DONE,
	HYPERV_FAULT,  /* #GP(0); nothing has changed */
	HYPERV_ABSENT, /* not here: of the local APIC, or none of the MSRs */
};

/* Whoever asks. */
struct hyperv_asker {
	struct hyperv *vm;
	struct hyperv_vcpu *vcpu;
	struct guest_mem *mem;
	u32 index; /* of the vCPU */
	u64 tsc;   /* of the VM, now */
	u64 tsc_hz, apic_timer_hz;
};

MUST_CHECK enum hyperv_verdict hyperv_msr_read(const struct hyperv_asker *asker,
					       u32 msr, u64 *value);
MUST_CHECK enum hyperv_verdict
hyperv_msr_write(const struct hyperv_asker *asker, u32 msr, u64 value);

/* Could a guest's writes have left that? For state from a peer. */
bool hyperv_is_valid(const struct hyperv *vm);

/* --- Time ----------------------------------------------------------------- */

/*
 * Reference time = tsc * scale / 2^64: the reference TSC page's. 0: a TSC of at
 * most 10 MHz, for which there is no such scale.
 */
u64 hyperv_tsc_scale(u64 tsc_hz);
u64 hyperv_reference_time(u64 tsc, u64 tsc_hz);

/* --- Hypercalls ----------------------------------------------------------- */

enum hyperv_status {
	HYPERV_STATUS_SUCCESS = 0,
	HYPERV_STATUS_INVALID_CODE = 2,
	HYPERV_STATUS_INVALID_INPUT = 3,
	HYPERV_STATUS_INVALID_ALIGNMENT = 4,
};

enum hyperv_action {
	HYPERV_NOTHING,
	HYPERV_YIELD, /* the vCPU waits for another one */
};

/* May the guest call? Else VMCALL is what it is without the interface. */
static inline bool hyperv_may_call(const struct hyperv *vm)
{
	return vm->on && (vm->hypercall & HYPERV_PAGE_ENABLED);
}

/* The result value; what is to be done is in *action. */
u64 hyperv_call(u64 input, u64 input_address, enum hyperv_action *action);

/* --- The VP-assist page --------------------------------------------------- */

/* Only what has one can ask for an eVMCS. */
static inline bool hyperv_has_assist(const struct hyperv_vcpu *vcpu)
{
	return vcpu->vp_assist & HYPERV_PAGE_ENABLED;
}

/* Does it ask for an eVMCS? Then its address, as L1 wrote it, is in *evmcs. */
bool hyperv_wants_evmcs(const struct hyperv *vm, const struct hyperv_vcpu *vcpu,
			const struct guest_mem *mem, gpa_t *evmcs);

#endif
