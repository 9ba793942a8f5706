/* SPDX-License-Identifier: MIT */
/*
 * The lock-free repair of a write fault in EPT01.
 *
 * A file of its own, and inline, because it is nearly all that dirty logging
 * by write protection costs a guest per page. arch/x86/ept/ept.h says who may
 * change what, mm/dirty_log.h what its caller owes.
 */
#ifndef ARCH_X86_EPT_EPT_FIX_H
#define ARCH_X86_EPT_EPT_FIX_H

#include "arch/x86/ept/ept.h"
#include "arch/x86/ept/ept_walk.h"

#define EPT_SPAN BIT(48) /* what four levels reach */

enum ept_fix {
	EPT_FIXED,     /* made writable by this call: now mark the page */
	EPT_FIX_STALE, /* was writable already: just resume */
	EPT_FIX_SLOW,  /* hole, large leaf, or someone must be asked */
};

/*
 * A write to `address` violated EPT. Lock-free, for any number of CPUs at
 * once. On EPT_FIXED the caller marks the dirty log before it does anything
 * that could let it be stopped.
 */
static ALWAYS_INLINE enum ept_fix ept_fix_write(struct ept *ept, gpa_t address)
{
	struct ept_spot spot;

	if (unlikely(gpa_raw(address) >= EPT_SPAN))
		return EPT_FIX_SLOW;
	spot = ept_walk(ept->root, gpa_raw(address), EPT_4K);
	for (;; spot.entry = ept_read(spot.slot)) {
		if (ept_entry_kind(spot.entry, spot.level) != EPT_LEAF)
			return EPT_FIX_SLOW;
		if (spot.entry.raw & EPT_W)
			return EPT_FIX_STALE;
		/* One bit of the log must not stand for 512 pages. */
		if (spot.level != EPT_4K || !(spot.entry.raw & EPT_MAY_WRITE))
			return EPT_FIX_SLOW;

		u64 fixed = spot.entry.raw | EPT_W | EPT_A | EPT_D;

		if (ept_swap(spot.slot, spot.entry, (ept_entry_t){fixed}) ==
		    EPT_SWAPPED)
			return EPT_FIXED;
	}
}

#endif
