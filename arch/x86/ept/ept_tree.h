/* SPDX-License-Identifier: MIT */
/*
 * What the files of this folder share and nobody else uses. All functions
 * need ept->lock, which their callers took.
 */
#ifndef ARCH_X86_EPT_EPT_TREE_H
#define ARCH_X86_EPT_EPT_TREE_H

#include "arch/x86/ept/ept.h"
#include "arch/x86/ept/ept_fix.h"
#include "arch/x86/ept/ept_walk.h"

/* The first address after the entry of `level` that covers `address`. */
static inline u64 ept_tree_next(u64 address, enum ept_level level)
{
	return align_down(address, ept_level_bytes(level)) +
	       ept_level_bytes(level);
}

/* Atomically clears and sets bits; returns which were cleared. */
static inline u64 ept_tree_change(ept_entry_t *slot, u64 clear, u64 set)
{
	ept_entry_t old;

	do {
		old = ept_read(slot);
	} while (ept_swap(slot, old, (ept_entry_t){(old.raw & ~clear) | set}) !=
		 EPT_SWAPPED);
	return old.raw & clear;
}

/* One large leaf becomes a table of leaves that say the same. */
MUST_CHECK enum err ept_tree_split(struct ept *ept, struct ept_spot spot);

/* Until the walk for `address` ends at a 4K entry or in a hole. */
MUST_CHECK enum err ept_tree_split_to_4k(struct ept *ept, u64 address,
					 struct ept_spot *spot);

#endif
