/* SPDX-License-Identifier: MIT */
/*
 * May L1's VM entry happen? Everything that the manual has a CPU check before
 * it runs L2, done in software: emulators accept what the manual refuses, CPUs
 * have errata, and what vmcs02 is made of is not what L1 wrote.
 *
 *	nested_check_entry	controls, host state: VMfailValid(7) or (8)
 *	   |			guest state: exit 33 with its qualification
 *	   v
 *	nested_msr_get		the MSR-load area, entry by entry:
 *				exit 34, qualification = the entry's number
 *
 * The basic checks (current VMCS, launch state, MOV SS) belong to VMLAUNCH and
 * VMRESUME themselves: nested/instruction.h.
 *
 * Nothing here is changed but the verdict. Memory of L1 that is looked at (the
 * virtual TPR, PDPTEs, the link pointer's region) may change meanwhile; what
 * was checked is handed out, and is what must be loaded.
 */
#ifndef NESTED_CHECKS_H
#define NESTED_CHECKS_H

#include "nested/capability.h"
#include "nested/rules.h"
#include "nested/vmcs12.h"

struct nested_entry {
	const struct vmcs12 *v;
	const struct nested_capability *offer;
	/* NULL: there is none yet, and what only it says is not looked at;
	 * PDPTEs are those of the VMCS then, also without EPT. */
	const struct guest_mem *mem;
	gpa_t region;         /* the current-VMCS pointer */
	u64 l1_efer;          /* at the VM entry */
	u64 efer_defined;     /* bits that L1's CPU has */
	u64 debugctl_defined; /* likewise of IA32_DEBUGCTL */
	u32 phys_bits;        /* L1's MAXPHYADDR */
	u32 linear_bits;      /* 48, or 57 */
};

enum nested_entry_kind {
	NESTED_ENTRY_OK,
	NESTED_ENTRY_VMFAIL, /* `number` is the VM-instruction error */
	NESTED_ENTRY_EXIT,   /* `number` is the basic exit reason */
};

struct nested_verdict {
	enum nested_entry_kind kind;
	enum nested_rule rule;
	u32 number;
	u64 qualification;
	u64 pdptes[4]; /* if nested_uses_pae(): checked, to be loaded */
};

/* All but the MSR-load area. */
struct nested_verdict nested_check_entry(const struct nested_entry *e);

/*
 * For a vCPU whose state somebody else has sent: only controls and host state;
 * or only the event to inject and the guest state, under controls that are not
 * in question.
 */
enum nested_rule nested_check_controls_and_host(const struct nested_entry *e);
enum nested_rule nested_check_guest_state(const struct nested_entry *e);

/*
 * The same for an entry of which, since one that was OK, nothing has changed
 * but what L2's exits save, fields of NESTED_GROUP_HOT, and L1's memory. Of the
 * guest state that is not hot, only the rights of CS and SS need be up to date;
 * what depends on more (nested_can_check_again) is checked in full.
 */
bool nested_can_check_again(const struct vmcs12 *v);
struct nested_verdict nested_check_entry_again(const struct nested_entry *e);

/* "guest CR3: beyond the physical-address width", never NULL. */
const char *nested_rule_text(enum nested_rule rule);

/* Will L2 use PAE paging, and so PDPTEs? */
bool nested_uses_pae(const struct vmcs12 *v);

/*
 * Is it an EPT pointer that a VM entry would take? Also for INVEPT and for EPTP
 * switching. SDM vol. 3, "Extended-Page-Table Pointer (EPTP)".
 */
bool nested_eptp_is_valid(u64 eptp, const struct nested_capability *offer,
			  u32 phys_bits);

/* The secondary controls in force: 0 where the primary ones switch them off. */
/*
 * Is an entry OK that differs from one which was in hot fields only
 * (nested/fields.h)? False: nested_check_entry_again knows. Most entries:
 * 64-bit code, no event, nothing blocked.
 */
bool nested_needs_no_check(const struct vmcs12 *v, u32 linear_bits);

static inline u32 nested_secondary_controls(const struct vmcs12 *v)
{
	return v->primary_controls & PRIMARY_SECONDARY ? v->secondary_controls
						       : 0;
}

/*
 * MSR areas (SDM vol. 3, "Loading MSRs", "Saving MSRs"). The caller walks
 * `index` from 0 to the count and stops at the first refusal; a load also stops
 * when WRMSR of the value at CPL 0 would fault.
 *
 * IA32_VMX_MISC recommends a largest size; what comes of more entries the
 * manual does not define ("Miscellaneous Data"). Those past it are refused, so
 * that the walk ends: the VM entry fails with the first one's number as its
 * qualification, a VM exit ends in a VMX abort, after all before it were done.
 */
enum nested_msr_area {
	NESTED_MSR_ENTRY_LOAD,
	NESTED_MSR_EXIT_STORE,
	NESTED_MSR_EXIT_LOAD,
};

struct nested_msr {
	u32 index;
	u64 value; /* not for NESTED_MSR_EXIT_STORE */
};

/*
 * Entry number `index` (from 0). ERR_NOT_FOUND: the area has no more entries;
 * ERR_STATE: the entry fails.
 */
MUST_CHECK enum err nested_msr_get(const struct nested_entry *e,
				   enum nested_msr_area area, u32 index,
				   struct nested_msr *msr);

/* Writes the value of an entry of the exit MSR-store area. */
void nested_msr_put(const struct vmcs12 *v, struct guest_mem *mem, u32 index,
		    u64 value);

#endif
