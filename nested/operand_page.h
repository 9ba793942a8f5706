/* SPDX-License-Identifier: MIT */
/*
 * A page of L1's linear memory in which operands of VMX instructions were
 * found, so that the next one is found without a walk.
 *
 * It is no TLB: nothing tells when L1 changes its tables. Each entry that the
 * walk used is kept beside the place where it stands, and whoever uses the page
 * compares them again, from the top, as a walk would read them. While they are
 * what they were a walk would end where it did, and would have nothing to
 * write: only entries with A set are kept.
 *
 * Only for what needs no more than that: reads by 64-bit code at CPL 0, of a
 * supervisor's page, where neither CR0.WP nor CR4.SMAP nor RFLAGS.AC matter.
 */
#ifndef NESTED_OPERAND_PAGE_H
#define NESTED_OPERAND_PAGE_H

#include "lib/bits.h"
#include "mm/guest_walk.h"

#define OPERAND_PAGE_LEVELS 4u

struct nested_operand_page {
	u64 linear;      /* of the page; not canonical: nothing is known */
	u64 cr3, efer;   /* that it was found with */
	const u8 *bytes; /* the page */
	/* From the top down; what is left over always holds. */
	const u64 *at[OPERAND_PAGE_LEVELS];
	u64 value[OPERAND_PAGE_LEVELS];
	u64 nothing; /* for the rest of them: 0 */
} ALIGNED(128);      /* one is found by a shift */

void nested_operand_page_forget(struct nested_operand_page *page);

/* If `linear` (canonical) can be kept, keeps its page; else forgets. */
void nested_operand_page_learn(struct nested_operand_page *page,
			       const struct guest_mem *mem,
			       const struct guest_paging *paging, gva_t linear);

/*
 * Are the `bytes` at `linear`, which 64-bit code at CPL 0 reads with this CR3
 * and EFER, in it? Else a walk has to find them.
 */
static inline bool
nested_operand_page_holds(const struct nested_operand_page *page, u64 linear,
			  u64 bytes, u64 cr3, u64 efer)
{
	u64 offset = linear - page->linear;

	if (offset > PAGE_4K - bytes || page->cr3 != cr3 || page->efer != efer)
		return false;
#pragma GCC unroll 4
	for (u32 i = 0; i < OPERAND_PAGE_LEVELS; i++)
		if (__atomic_load_n(page->at[i], __ATOMIC_ACQUIRE) !=
		    page->value[i])
			return false;
	return true;
}

/* They are here. L1 may change them at any time: to be read once. */
static inline const void *
nested_operand_page_at(const struct nested_operand_page *page, u64 linear)
{
	return page->bytes + (linear - page->linear);
}

#endif
