/* SPDX-License-Identifier: MIT */
/*
 * The VMX instructions as L1 executes them: SDM vol. 3, "VMX Instruction
 * Reference", with faults, VMfailInvalid and VMfailValid in its order.
 *
 *	L1: VMREAD, VMPTRLD, ...  ->  VM exit  ->  nested_execute
 *	      DONE    registers, RFLAGS and memory are changed; skip it
 *	      FAULT   inject the exception; nothing has changed
 *	      AGAIN   page tables were changing: run the instruction again
 *	      ENTER   VMLAUNCH, VMRESUME: nested_check_entry comes next, then
 *	              nested_launched or nested_fail
 *
 * Executed in L2 the instructions exit to L1 and do not come here, except for
 * VMREAD and VMWRITE with VMCS shadowing (nested_shadow_exits) and VMFUNC
 * (nested_vmfunc).
 *
 * While a VMCS is current, its contents are in the state (`vmcs12`), as the
 * manual allows a CPU to do; they are written back when it is cleared, by
 * VMXOFF, and, where there are no slots for them (nested/slots.h), when another
 * one becomes current. Who changes `vmcs12` says so in
 * `vmcs12_changed`. The memory of the guest is written by mm/guest_mem.h, so
 * the dirty log knows.
 */
#ifndef NESTED_INSTRUCTION_H
#define NESTED_INSTRUCTION_H

#include "mm/guest_walk.h"
#include "nested/checks.h"
#include "nested/evmcs.h"

#define NESTED_NO_POINTER (~0UL)

/* SDM vol. 3, "Conventions": what VMX instructions answer with, CF to OF. */
#define NESTED_FLAGS      (BIT(0) | BIT(2) | BIT(4) | BIT(6) | BIT(7) | BIT(11))

/* What a vCPU has of VMX. Zero is no state: nested_state_reset. */
struct nested_state {
	u64 feature_control;
	gpa_t vmxon;         /* NESTED_NO_POINTER: outside VMX operation */
	gpa_t current;       /* NESTED_NO_POINTER: no current VMCS */
	bool vmcs12_changed; /* since it was read from L1's memory */
	/* L2 runs, or is halted; vmcs12 is in use until it exits. */
	bool in_l2;
	/* The VM entry has been accepted, and nothing of L2 has run yet. */
	bool entry_pending;
	bool timer_runs; /* L1's preemption timer */
	/*
	 * The VMCS in `vmcs12` is the enlightened one at `evmcs`, and there is
	 * no current VMCS. Known: what L1 calls clean is in vmcs12 already; a
	 * VM that moves does not take that along.
	 */
	bool is_enlightened;
	bool evmcs_is_known;
	u64 timer_deadline; /* when it runs out, by L1's TSC */
	/* NESTED_NO_POINTER, though it is used: it has come from a record that
	 * does not say where, and has not run since. */
	gpa_t evmcs;
	/* Where the VMCSs are that are active and not current (nested/slots.h);
	 * NULL: in memory. */
	struct nested_slots *slots;
	struct vmcs12 vmcs12;
};

/* In the order of the instruction information. */
enum nested_segment {
	NESTED_ES,
	NESTED_CS,
	NESTED_SS,
	NESTED_DS,
	NESTED_FS,
	NESTED_GS,
	NESTED_SEGMENTS,
};

struct nested_segment_state {
	u64 base;
	u32 limit;
	u32 rights; /* as in a VMCS */
};

/*
 * Memory operands where the guest has no memory: `bytes` of one page, up to 16.
 * A read fills all of them.
 */
struct nested_devices {
	void (*read)(void *context, gpa_t address, void *to, u32 bytes);
	void (*write)(void *context, gpa_t address, const void *from,
		      u32 bytes);
};

/* The vCPU that executes the instruction, in L1. */
struct nested_cpu {
	struct nested_state *state;
	/*
	 * NULL but for VMREAD and VMWRITE in L2 with VMCS shadowing: the VMCS
	 * that the link pointer names is current here (none, if it names none),
	 * and that is what they access. Failures are told in `state`.
	 */
	struct nested_state *linked;
	const struct nested_capability *offer;
	struct guest_mem *mem;
	const struct nested_devices *devices;
	void *context; /* theirs */
	u64 *gpr;      /* 16, in the order of encodings, with RSP */
	/* CR0 and CR4 as the guest reads them. */
	struct guest_paging paging;
	struct nested_segment_state segments[NESTED_SEGMENTS];
	u32 interruptibility;
	u32 linear_bits;
	/* The VP-assist page asks for the eVMCS at `evmcs`; what VMLAUNCH or
	 * VMRESUME has found there. */
	bool wants_evmcs;
	gpa_t evmcs;
	struct evmcs_read found;
	/*
	 * Not NULL: mode and privilege are right, and the pointer that the
	 * instruction reads is this. Then only what is above counts of the
	 * rest, without segments and paging, but for `rflags` and `phys_bits`.
	 */
	const u64 *pointer;
};

/* From the VM exit. */
struct nested_instruction {
	enum exit_reason reason;
	u32 information;  /* VM-exit instruction information */
	u64 displacement; /* exit qualification */
};

enum nested_outcome {
	NESTED_DONE,
	NESTED_FAULT,
	NESTED_AGAIN,
	NESTED_ENTER,
};

/* What an INVEPT or INVVPID that succeeds asks for. */
enum nested_invalidation {
	NESTED_INVALIDATE_NOTHING,
	NESTED_INVALIDATE_EPT, /* of `eptp` */
	NESTED_INVALIDATE_ALL_EPT,
	NESTED_INVALIDATE_ADDRESS, /* of `vpid`, `address` */
	NESTED_INVALIDATE_VPID,
	NESTED_INVALIDATE_ALL_VPIDS,
	NESTED_INVALIDATE_VPID_BUT_GLOBALS,
};

struct nested_result {
	enum nested_outcome outcome;
	u64 rflags; /* DONE: L1's from now on */
	struct {
		u32 vector;
		u32 error_code; /* every fault here but #UD has one */
		u64 address;    /* #PF: CR2 */
	} fault;
	enum nested_invalidation invalidation;
	u64 eptp;
	u16 vpid;
	gva_t address; /* of an invalidation; AGAIN: of the operand */
};

void nested_state_reset(struct nested_state *state);

static inline bool nested_in_vmx(const struct nested_state *state)
{
	return gpa_raw(state->vmxon) != NESTED_NO_POINTER;
}

static inline bool nested_has_current(const struct nested_state *state)
{
	return gpa_raw(state->current) != NESTED_NO_POINTER;
}

/* Is there something in `vmcs12`? */
static inline bool nested_has_vmcs12(const struct nested_state *state)
{
	return nested_has_current(state) || state->is_enlightened;
}

static inline bool nested_knows_evmcs(const struct nested_state *state)
{
	return gpa_raw(state->evmcs) != NESTED_NO_POINTER;
}

/*
 * Of a state that does not know where its eVMCS is: it is the one that the
 * VP-assist page names. ERR_NOT_FOUND: that cannot be one; nothing has changed.
 */
MUST_CHECK enum err nested_find_evmcs(struct nested_state *state, gpa_t evmcs,
				      u32 phys_bits);

/*
 * Any VMX instruction but VMFUNC, by its exit reason. VMCALL is the one in VMX
 * root operation; a hypercall to Umbra is the caller's to recognise before.
 */
struct nested_result nested_execute(struct nested_cpu *cpu,
				    const struct nested_instruction *i);

/*
 * VMCLEAR of an address at CPL 0 that is neither the current VMCS nor anything
 * to refuse, as most are; false: it is, and nothing has changed.
 */
bool nested_clear_another(struct nested_state *state, struct guest_mem *mem,
			  u32 phys_bits, u64 address);

/* VMfail(error): for a VM entry that nested_check_entry has refused. */
struct nested_result nested_fail(struct nested_cpu *cpu, enum vmx_error error);

/* The VM entry has happened. */
void nested_launched(struct nested_state *state);

/* Writes the current VMCS to L1's memory; it stays current. */
void nested_write_back(struct nested_state *state, struct guest_mem *mem);

/*
 * A VMREAD or VMWRITE of L2 with VMCS shadowing: does it exit to L1? The
 * bitmap is v->vmread_bitmap or v->vmwrite_bitmap.
 */
bool nested_shadow_exits(const struct guest_mem *mem, u64 bitmap, u64 encoding);

/* VMFUNC in L2, with the EAX and ECX that it has (EPTP switching). */
enum nested_vmfunc {
	NESTED_VMFUNC_UD,
	NESTED_VMFUNC_EXIT,     /* to L1 */
	NESTED_VMFUNC_SWITCHED, /* the EPT pointer of vmcs12 has changed */
};
enum nested_vmfunc nested_vmfunc(struct nested_cpu *cpu, u32 eax, u32 ecx);

#endif
