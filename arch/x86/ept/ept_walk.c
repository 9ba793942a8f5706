/* SPDX-License-Identifier: MIT */
/* The walk: see arch/x86/ept/ept_walk.h. */
#include "arch/x86/ept/ept_walk.h"
#include "mm/phys.h"

struct ept_spot ept_walk(hpa_t root, u64 address, enum ept_level lowest)
{
	struct ept_spot spot;
	ept_entry_t *table = phys_ptr(root);

	for (spot.level = EPT_TOP;; spot.level--) {
		spot.slot = &table[ept_index(address, spot.level)];
		spot.entry = ept_read(spot.slot);
		if (spot.level == lowest ||
		    ept_entry_kind(spot.entry, spot.level) != EPT_TABLE)
			return spot;
		table = phys_ptr(ept_entry_address(spot.entry));
	}
}
