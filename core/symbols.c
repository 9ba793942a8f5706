/* SPDX-License-Identifier: MIT */
/* Looking up a code address in the table that tools/symbols.py made. */
#include "core/symbols.h"

/* build/symbols.asm */
extern const u8 symbols_start[];
extern const u8 symbols_end[];

extern const u8 text_end[];

struct symbol symbols_find(u64 address)
{
	struct symbol_table table = {symbols_start, symbols_end};

	if (address >= (u64)text_end)
		return (struct symbol){"?", 0};
	return symbol_table_find(&table, address);
}
