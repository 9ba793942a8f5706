/* SPDX-License-Identifier: MIT */
/*
 * One walk down a tree of EPT tables that Umbra owns, levels as data.
 *
 *	root --> [512G] --> [1G] --> [2M] --> [4K]
 *
 * The address is a bare number because the same walk serves EPT01 (gpa_t)
 * and the shadow EPT02 (ngpa_t): the typed callers stand above it.
 *
 * Entries may be changed by CPUs (A, D) and by the lock-free fix (W) at any
 * moment: `entry` is what was read once, `slot` is where to compare-and-swap.
 */
#ifndef ARCH_X86_EPT_EPT_WALK_H
#define ARCH_X86_EPT_EPT_WALK_H

#include "arch/x86/ept/ept_entry.h"

struct ept_spot {
	ept_entry_t *slot;
	ept_entry_t entry; /* what *slot held when the walk came by */
	enum ept_level level;
};

/*
 * Ends at a leaf, a hole, or at level `lowest`, whichever comes first. The
 * address must be below 2^48.
 */
struct ept_spot ept_walk(hpa_t root, u64 address, enum ept_level lowest);

static inline ept_entry_t ept_read(const ept_entry_t *slot)
{
	return (ept_entry_t){__atomic_load_n(&slot->raw, __ATOMIC_ACQUIRE)};
}

static inline void ept_write(ept_entry_t *slot, ept_entry_t entry)
{
	__atomic_store_n(&slot->raw, entry.raw, __ATOMIC_RELEASE);
}

enum ept_swap {
	EPT_SWAPPED,
	EPT_CHANGED, /* *slot held something else; nothing was written */
};

static inline enum ept_swap ept_swap(ept_entry_t *slot, ept_entry_t expected,
				     ept_entry_t entry)
{
	return __atomic_compare_exchange_n(&slot->raw, &expected.raw, entry.raw,
					   false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST)
		   ? EPT_SWAPPED
		   : EPT_CHANGED;
}

#endif
