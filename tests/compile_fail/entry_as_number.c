/* SPDX-License-Identifier: MIT */
/*
 * A page-table entry is a value of its own type, not a u64.
 *
 * EXPECT: incompatible type for argument 1 of 'ept_entry_kind'
 */
#include "arch/x86/ept/ept_entry.h"

enum ept_kind kind_of(u64 raw);

enum ept_kind kind_of(u64 raw)
{
#ifdef WRONG
	return ept_entry_kind(raw, EPT_4K);
#else
	return ept_entry_kind((ept_entry_t){raw}, EPT_4K);
#endif
}
