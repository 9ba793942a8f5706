/* SPDX-License-Identifier: MIT */
/*
 * A vCPU that may be a hypervisor: what it has besides any other vCPU.
 *
 *	vmcs01   L1 as any guest                 vcpu->vmcs
 *	vmcs12   what L1 wrote                   state.vmcs12
 *	vmcs02   L2, made of both                nested_vcpu.vmcs
 *
 *	      VMLAUNCH, VMRESUME                   nested_enter
 *	L1 <------------------------------> L2     (vcpu->in_l2)
 *	      an exit that is L1's                 nested_exit
 *
 * Exactly one of vmcs01 and vmcs02 is in use: it is current on the CPU that the
 * vCPU is loaded on, and what vcpu->registers says of a VMCS, and the flags of
 * windows and PML in struct vcpu, are of that one.
 *
 * Everything that must survive the vCPU, that is, move to a peer, is in
 * `state`, `l2` and `exception` once nested_vcpu_settle() has been called; the
 * rest is made again from it. A vCPU that has come in L2 gets its vmcs02 when
 * it is loaded for the first time; until then `state.in_l2` alone says where it
 * is.
 */
#ifndef ARCH_X86_VMX_NESTED_VCPU_H
#define ARCH_X86_VMX_NESTED_VCPU_H

#include "arch/x86/vmx/vcpu.h"
#include "nested/fields.h"
#include "nested/host_state.h"
#include "nested/instruction.h"
#include "nested/merge.h"
#include "nested/operand_page.h"
#include "nested/slots.h"
#include "shadow/shadow.h"

#define NESTED_OPERAND_PAGES 4 /* by the number of the page */

/* Of the VMCS that is not in use. */
struct nested_other_vmcs {
	u64 launched, host_rsp;
	bool elsewhere; /* its host state is another CPU's */
	u32 exit_work;  /* that its exit point does: mitigate.h */
	u32 of_vmcs;    /* as in struct vcpu */
};

/* What the CPU has been told about L2 in vmcs02, so as not to tell it again. */
struct nested_loaded {
	bool initialised; /* the VMCS has its first contents */
	bool merged_once; /* `merged` is what it has */
	bool controls;    /* `merged` is what it has, and is up to date */
	bool registers;   /* so are CR0 and CR4, which depend on controls */
	bool cold;        /* so is the guest state that is in no hurry */
	bool checked;     /* an entry has been OK; only hot fields changed */
	/* With these controls nothing comes from L1 that it does not tell. */
	bool keeps_all;
	/* L2 runs on an EPT12, and L1 logs its writes. */
	bool has_ept, l1_logs;
	const u64 *l1_bitmap;   /* its MSR bitmap; NULL: none, or no memory */
	u32 msr_bitmap_changes; /* of L1's vCPU, when they were merged */
	u64 l1_efer;            /* when it was */
	u32 held_nmis;          /* BLOCKING_BY_NMI, or 0: nested_held_nmis */
	u64 cr0_kept;           /* NESTED_CR0_KEPT, as L2 has it, or had it */
	u64 tsc_offset;         /* of L1 */
	u64 ept_pointer;
	const struct shadow_table *ept_table; /* of which it is made; or none */
	u64 ept_pointer12;
	bool ept_tracking; /* when it was */
	bool moved_apic;   /* nested_merge_moves_apic, and nothing flushed */
	/* What exits load: of the entry that has been checked. */
	struct nested_host_state host;
	struct nested_merged merged;
};

/*
 * A vmcs02, and what belongs to it: one for each slot of nested/slots.h. It is
 * kept when L1 goes to another of its VMCSs, for when it comes back.
 */
struct nested_vmcs02 {
	hpa_t vmcs, msr_bitmap;
	hpa_t shadow_vmcs;              /* vmcs_shadow.h */
	struct nested_other_vmcs other; /* while it is not `now` */
	bool is_active;                 /* on this CPU, it or its shadow */
	/* Of what is in shadow_vmcs: fields of events are not all 0; rights of
	 * CS and SS. */
	bool given_event;
	u64 given_rights;
	struct nested_free_words free_words; /* of Umbra's MSR bitmap */
	struct nested_loaded loaded;
};

/* L1's page-modification log, where it was found; NULL: not in RAM. */
struct nested_log_page {
	u64 address;
	const u64 *entries;
};

/* An exception that Umbra raises in L2: it may be L1's. */
struct nested_exception {
	u32 info; /* as an interruption-information field; 0: none */
	u32 error_code;
	u64 qualification; /* #PF: the address; #DB: as in DR6 */
};

/*
 * What L2 has and vmcs12 has not, because the exit controls do not ask for it:
 * written by nested_vcpu_settle() while L2 runs.
 */
struct nested_l2_registers {
	u64 efer, pat, dr7, debugctl;
	u64 pdpte[4];
	u64 cr0_kept;
};

struct nested_vcpu {
	struct nested_state state;
	struct nested_l2_registers l2;
	struct nested_state of_l2; /* while L2 accesses its shadow VMCS */
	struct nested_vmcs02 *now; /* of the current VMCS */
	struct nested_vmcs02 *all; /* NESTED_SLOTS */
	hpa_t vmread_bitmap, vmwrite_bitmap;
	bool msr_bitmap_is_clean; /* L1 has not written its own; evmcs.h */
	bool shadowing;           /* in vmcs01: vmcs_shadow.h */
	u16 vpid;
	u16 vpid12;    /* whose translations `vpid` stands for */
	bool is_first; /* vmcs02 has never been cleared */
	/* vmcs02's guest state is newer than that of vmcs12 (nested/fields.h);
	 * what of it L1 asked to be saved at the exit. */
	bool cold_is_newer;
	u32 cold_exit_controls;
	struct nested_other_vmcs other;
	struct shadow_root root;
	u64 shadow_cuts; /* shadow_drain()'s */
	/* Of the last entry that was checked and made in full. */
	struct nested_full_entry {
		u64 number; /* nested_entry_number() */
		bool was_clear, cold_was_newer;
	} full_entry;
	u64 first_ticks; /* host TSC ticks that it was loaded in the first time */
	struct nested_log_page log_page;
	struct nested_exception exception;
	u64 vmcs01_tsc_offset; /* what is in vmcs01 */
	bool in_vmx; /* as the masks of CR0 and CR4 in vmcs01 know it */
	/* In VMX operation, and in 64-bit mode: see exit_vmx_fast.c. */
	bool is_64_bit;
	/* The form of the last memory operand that was a register and a
	 * displacement: its information, 0 if there was none, and register. */
	u32 operand_form, operand_base;
	u64 invept_pointer;           /* one that INVEPT has accepted */
	struct nested_access *access; /* of all fields */
	struct nested_operand_page operand_pages[NESTED_OPERAND_PAGES];
};

/* Makes the record; the guest may be a hypervisor from now on. */
MUST_CHECK enum err nested_vcpu_create(struct vcpu *vcpu);
void nested_vcpu_destroy(struct vcpu *vcpu);

/* When the vCPU is loaded on a CPU, and when it leaves it. */
void nested_vcpu_load(struct vcpu *vcpu);
void nested_vcpu_unload(struct vcpu *vcpu);

/* The VMCS that is in use. */
hpa_t nested_vcpu_vmcs(const struct vcpu *vcpu);

/*
 * After a VMPTRLD: the vmcs02 of the slot that is current now, and what L1 sees
 * of it without an exit. vmcs01 is in use; what the CPU had of the VMCS before
 * has been taken (nested_vcpu_settle).
 */
void nested_vcpu_take_slot(struct vcpu *vcpu);

/*
 * VMPTRLD of one that has been current before: false, and nothing has changed,
 * if it is not, or not to be had quickly.
 */
bool nested_vcpu_switch(struct vcpu *vcpu, gpa_t address);

/*
 * Makes vmcs02, or vmcs01, the one in use. Before that vcpu_sync_drain: who is
 * not in use has logged nothing.
 */
void nested_vcpu_use_vmcs02(struct vcpu *vcpu);
void nested_vcpu_use_vmcs01(struct vcpu *vcpu);

/*
 * Makes `state` and `l2` complete: guest state that only vmcs02 has goes into
 * vmcs12. Loaded on this CPU.
 */
void nested_vcpu_settle(struct vcpu *vcpu);

/* What L1 has in slots goes into its memory: before the state is read. */
void nested_vcpu_write_back(struct vcpu *vcpu);

/* Reads L1's registers, also while L2 runs. Loaded on this CPU. */
void nested_vcpu_read_l1(struct vcpu *vcpu, struct vcpu_state *state);

/* Does L2 run, and on an EPT12 of L1's? */
bool nested_l2_has_ept(const struct vcpu *vcpu);

/* Is PML to be on, and does it log what the shadow translates? */
bool nested_l2_wants_pml(const struct vcpu *vcpu);

/* Entries of its PML page that were logged on EPT02: L2's addresses. */
void nested_vcpu_drain(struct vcpu *vcpu, const u64 *entries, u32 count);

/* Pages of L1's that the CPU writes past EPT while L2 runs. */
void nested_vcpu_mark_pages(struct vcpu *vcpu);

/*
 * VMX operation has begun or ended, or a VMCS been made anew: CR0 and CR4 bits
 * that a CPU then holds fast.
 */
void nested_vcpu_set_masks(struct vcpu *vcpu);

/*
 * The VM's shadow is told before the guest is entered. It is told that it has
 * been left when the vCPU stops, and before anything is asked of it.
 */
void nested_vcpu_tell_shadow(struct vcpu *vcpu);
void nested_vcpu_enter_guest(struct vcpu *vcpu);

static inline void nested_vcpu_leave_guest(struct vcpu *vcpu)
{
	if (vcpu->shadow_entered == SHADOW_OUTSIDE)
		return;
	shadow_leave(&vcpu->vm->shadow, cpu_this()->index);
	vcpu->shadow_entered = SHADOW_OUTSIDE;
}

/* Counts L1's entries: a number that no two have. */
static inline u64 nested_entry_number(const struct vcpu *vcpu)
{
	return vcpu->exits_by_reason[EXIT_VMLAUNCH] +
	       vcpu->exits_by_reason[EXIT_VMRESUME];
}

static inline bool nested_vcpu_in_vmx(const struct vcpu *vcpu)
{
	return vcpu->nested && nested_in_vmx(&vcpu->nested->state);
}

#endif
