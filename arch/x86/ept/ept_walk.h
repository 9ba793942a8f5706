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
 *
 * Inline, because a write fault, a harvest and a shadow fill cost little else:
 * with constant levels a step is seven instructions.
 */
#ifndef ARCH_X86_EPT_EPT_WALK_H
#define ARCH_X86_EPT_EPT_WALK_H

#include "arch/x86/ept/ept_entry.h"
#include "mm/phys.h"

struct ept_spot {
	ept_entry_t *slot;
	ept_entry_t entry; /* what *slot held when the walk came by */
	enum ept_level level;
};

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
	u64 old = expected.raw; /* a scalar can stay in its register */

	return __atomic_compare_exchange_n(&slot->raw, &old, entry.raw, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
		   ? EPT_SWAPPED
		   : EPT_CHANGED;
}

static inline struct ept_spot ept_spot_in(hpa_t table, u64 address,
					  enum ept_level level)
{
	ept_entry_t *entries = phys_ptr(table);
	ept_entry_t *slot = &entries[ept_index(address, level)];

	return (struct ept_spot){slot, ept_read(slot), level};
}

static inline struct ept_spot ept_spot_below(struct ept_spot spot, u64 address)
{
	return ept_spot_in(ept_entry_address(spot.entry), address,
			   spot.level - 1);
}

/* Does the walk go on below? */
static inline bool ept_spot_is_passed(struct ept_spot spot,
				      enum ept_level lowest)
{
	return spot.level != lowest &&
	       ept_entry_kind(spot.entry, spot.level) == EPT_TABLE;
}

/*
 * Ends at a leaf, a hole, or at level `lowest`, whichever comes first. The
 * address must be below 2^48.
 */
static ALWAYS_INLINE struct ept_spot ept_walk(hpa_t root, u64 address,
					      enum ept_level lowest)
{
	struct ept_spot spot = ept_spot_in(root, address, EPT_TOP);

	/* Written out, so that each level is a constant to the compiler. */
	if (!ept_spot_is_passed(spot, lowest))
		return spot;
	spot = ept_spot_below(spot, address);
	if (!ept_spot_is_passed(spot, lowest))
		return spot;
	spot = ept_spot_below(spot, address);
	if (!ept_spot_is_passed(spot, lowest))
		return spot;
	return ept_spot_below(spot, address);
}

#endif
