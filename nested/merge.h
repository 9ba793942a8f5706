/* SPDX-License-Identifier: MIT */
/*
 * What vmcs02 is made of: L1's wishes (vmcs12) and Umbra's own (vmcs01), as
 * values for the control fields, and CR0 and CR4 on their way in and out.
 *
 *	vmcs12 ----+
 *	           +--> nested_merge --> struct nested_merged --> vmcs02
 *	vmcs01 ----+                       a value per field; who loads it
 *	                                   writes those that are not there yet
 *
 * A VM exit happens if either side asks for it; whose it is says
 * nested/owner.h. L2 may use of the CPU what L1 lets it and L1 may use itself:
 * the VM-entry checks have held L1's controls against its offer.
 *
 * Host addresses come from the caller, who has translated L1's: hpa(0) stands
 * for a page of L1's that is no memory.
 */
#ifndef NESTED_MERGE_H
#define NESTED_MERGE_H

#include "nested/vmcs12.h"

/* What of vmcs01 goes into every vmcs02, and what the CPU is like. */
struct nested_base {
	u32 words[CONTROLS_COUNT];  /* without windows */
	u32 exception_bitmap;       /* without #PF */
	u64 cr0_mask, cr4_mask;     /* the bits that are Umbra's */
	u64 cr0_fixed0, cr4_fixed0; /* what the CPU wants to be 1 */
	u64 tsc_offset;             /* of L1 */
	u64 tsc_multiplier;         /* of L1; 0: not scaled */
	u64 l1_cr0;                 /* a VM entry does not load all of CR0 */
	u32 cr3_targets;            /* how many the CPU compares */
	hpa_t virtual_apic, apic_access;
};

enum nested_merged_field {
	MERGED_PIN,
	MERGED_PRIMARY,
	MERGED_SECONDARY,
	MERGED_EXIT,
	MERGED_ENTRY,
	MERGED_EXCEPTIONS,
	MERGED_PAGE_FAULT_MASK,
	MERGED_PAGE_FAULT_MATCH,
	MERGED_CR0_MASK,
	MERGED_CR4_MASK,
	MERGED_CR3_TARGET_COUNT,
	MERGED_CR3_TARGET_0,
	MERGED_CR3_TARGET_1,
	MERGED_CR3_TARGET_2,
	MERGED_CR3_TARGET_3,
	MERGED_TSC_OFFSET,
	MERGED_TSC_MULTIPLIER,
	MERGED_VIRTUAL_APIC,
	MERGED_TPR_THRESHOLD,
	MERGED_APIC_ACCESS,
	MERGED_EOI_EXIT_0,
	MERGED_EOI_EXIT_1,
	MERGED_EOI_EXIT_2,
	MERGED_EOI_EXIT_3,
	MERGED_XSS_EXITING,
	MERGED_PLE_GAP,
	MERGED_PLE_WINDOW,
	MERGED_VMFUNC_CONTROLS,
	MERGED_COUNT,
};

struct nested_merged {
	u64 values[MERGED_COUNT];
};

/*
 * The field of each value. Those with a control exist, and are of use, only
 * if the merged control word has it.
 */
struct nested_merged_rule {
	u16 field;
	u8 control; /* MERGED_PRIMARY, MERGED_SECONDARY; MERGED_PIN: always */
	u32 bit;
};
extern const struct nested_merged_rule nested_merged_rules[MERGED_COUNT];

/* `v` has passed nested_check_entry. */
void nested_merge(const struct vmcs12 *v, const struct nested_base *base,
		  struct nested_merged *merged);

/*
 * Is this value to be in vmcs02? CR3 targets beyond the count, and fields of
 * controls that are off, may not exist.
 */
bool nested_merged_is_used(const struct nested_merged *merged,
			   enum nested_merged_field field);

/*
 * Does L2's APIC-access page come to be where it was not? What a CPU has cached
 * of that address is an ordinary page's, and must be dropped: SDM vol. 3, "Issues
 * Pertaining to Page Size and TLB Management". L1's INVEPT alone does not see to
 * that, as nothing of its tables has changed. All zeros: never merged.
 */
bool nested_merge_moves_apic(const struct nested_merged *before,
			     const struct nested_merged *after);

/* --- CR0 and CR4 ---------------------------------------------------------- */

/*
 * Bits of CR0 that neither a VM entry nor a VM exit loads, the reserved ones
 * among them: L2 has them from L1, and L1 gets them as L2 leaves them. SDM
 * vol. 3, "Loading Guest Control Registers, Debug Registers, and MSRs".
 */
#define NESTED_CR0_KEPT \
	(CR0_ET | CR0_NW | CR0_CD | BITS(15, 6) | BIT(17) | BITS(28, 19))

/* A control register as vmcs02 has it. */
struct nested_cr {
	u64 guest;  /* what is in force */
	u64 shadow; /* what L2 reads of the bits that it does not own */
};

struct nested_cr nested_cr0_enter(const struct vmcs12 *v,
				  const struct nested_base *base);
struct nested_cr nested_cr4_enter(const struct vmcs12 *v,
				  const struct nested_base *base);

/*
 * The guest CR0 (or CR4) of vmcs12 after L2 has run: bits of L1's as they were,
 * bits of Umbra's as L2 has written them, and L2's own as they are.
 */
u64 nested_cr_leave(u64 guest12, u64 mask12, u64 ours, struct nested_cr cr);

/*
 * The same of CR0, and what of it is kept: L2 may change that where L1 does not
 * mask it.
 */
u64 nested_cr0_kept(u64 shadow, u64 mask12, u64 l1_cr0);
u64 nested_cr0_leave(const struct vmcs12 *v, u64 ours, struct nested_cr cr,
		     u64 kept);

/*
 * What comes of a MOV of `value` that does not exit to L1: bits of L1's stay as
 * they are in force, whatever L2 reads of them. The result is what is checked:
 * SDM vol. 3, "Changes to Instruction Behavior in VMX Non-Root Operation".
 */
u64 nested_cr_written(u64 value, u64 mask12, u64 in_force);

/* L2 has written `value` to a bit of ours that is not L1's. */
struct nested_cr nested_cr_write(u64 value, u64 mask12, u64 must_be_1,
				 struct nested_cr cr);

/*
 * The interruptibility of vmcs02 when L1 injects this event. Virtual NMIs are
 * always on there, so the CPU would refuse an NMI while NMIs are blocked, which
 * it takes of an L1 that has none (SDM vol. 3, "Checks on Guest Non-Register
 * State"). Once in, it blocks them.
 */
u32 nested_interruptibility_enter(const struct vmcs12 *v);

/*
 * With NMI exiting and without virtual NMIs no IRET of L2's unblocks NMIs: what
 * is blocked at the entry is so until the exit. vmcs02, whose NMIs are virtual,
 * cannot say it: BLOCKING_BY_NMI, or 0, is to be added to what it says. SDM
 * vol. 3, "Interruptibility State".
 */
u32 nested_held_nmis(const struct vmcs12 *v);

/* --- The MSR bitmap ------------------------------------------------------- */

#define NESTED_BITMAP_WORDS (4096 / 8)
#define NESTED_FREE_MAX     32

/* Words of a bitmap of Umbra's that are not all ones. */
struct nested_free_words {
	u16 at[NESTED_FREE_MAX];
	u32 count;
	/* What is in the bitmap that is written: these words of L1's, of that
	 * bitmap; and x2APIC's are not all ones. */
	u64 merged[NESTED_FREE_MAX];
	const u64 *merged_from;
	bool is_merged;
	bool x2apic;
};

void nested_free_words_find(const u64 *ours, struct nested_free_words *words);

/*
 * Writes those words, and those of x2APIC registers, of a bitmap that is all
 * ones elsewhere. `l1s` is NULL if L1 uses no bitmap, or one that is no memory.
 */
void nested_merge_msr_bitmap(u64 *to, const u64 *ours, const u64 *l1s,
			     struct nested_free_words *words,
			     const struct nested_merged *merged);

#endif
