/* SPDX-License-Identifier: MIT */
/* Looking up a code address in the table that tools/symbols.py made. */
#include "core/symbols.h"

/* build/symbols.asm; sorted, `symbols_count` addresses with as many names. */
extern const u32 symbols_count;
extern const u32 symbols_addresses[];
extern const u32 symbols_name_offsets[];
extern const char symbols_names[];

extern const u8 text_end[];

struct symbol symbols_find(u64 address)
{
	u32 low = 0, high = symbols_count;

	if (!symbols_count || address < symbols_addresses[0] ||
	    address >= (u64)text_end)
		return (struct symbol){"?", 0};
	while (high - low > 1) {
		u32 middle = low + (high - low) / 2;

		if (symbols_addresses[middle] <= address)
			low = middle;
		else
			high = middle;
	}
	return (struct symbol){symbols_names + symbols_name_offsets[low],
			       address - symbols_addresses[low]};
}
