/* SPDX-License-Identifier: MIT */
/* Draining the CPU's log: see pml/pml.h. */
#include "pml/pml.h"

#define WORD_SHIFT (PAGE_SHIFT + 6)

_Static_assert(1 << (WORD_SHIFT - PAGE_SHIFT) == DIRTY_WORD_PAGES,
	       "one word of the dirty log");

u32 pml_first_entry(u16 index)
{
	return index < PML_ENTRIES ? index + 1U : 0;
}

/*
 * Neighbours in the log are mostly neighbours in memory: pages of one word of
 * the dirty log are gathered and marked with one locked instruction. About
 * ten instructions per entry of a run, forty for an entry by itself.
 */
u32 pml_drain(const u64 page[PML_ENTRIES], u16 index, struct dirty_log *log)
{
	const u64 *at = page + pml_first_entry(index);
	const u64 *end = page + PML_ENTRIES;
	u32 count = (u32)(end - at);

	while (at < end) {
		u64 word = *at >> WORD_SHIFT;
		u64 bits = 0;

		for (; at < end && *at >> WORD_SHIFT == word; at++)
			bits |= BIT((*at >> PAGE_SHIFT) % DIRTY_WORD_PAGES);
		dirty_log_mark_word(log, gpa(word << WORD_SHIFT), bits);
	}
	return count;
}
