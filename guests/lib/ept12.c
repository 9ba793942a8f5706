/* SPDX-License-Identifier: MIT */
/* EPT for L2: see ept12.h. */
#include "guests/lib/ept12.h"
#include "guests/lib/pages.h"

#define ENTRIES     512u
#define FOUR_LEVELS (3u << 3)
#define POINTER_WB  6u

void ept12_make(struct ept12 *ept)
{
	ept->root = pages_take(1);
	ept->pointer = ept->root | FOUR_LEVELS | POINTER_WB;
}

/* Leaves below this table become 0. */
static void clear(u64 *table, enum ept12_level level)
{
	for (u32 i = 0; i < ENTRIES; i++) {
		bool is_table = level > EPT12_4K && table[i] & EPT12_RWX &&
				!(table[i] & EPT12_LARGE);

		if (is_table) {
			clear((u64 *)(table[i] & EPT12_ADDRESS), level - 1);
			table[i] &= ~(EPT12_A | EPT12_D);
		} else {
			table[i] = 0;
		}
	}
}

void ept12_clear(struct ept12 *ept)
{
	clear((u64 *)ept->root, EPT12_TOP);
}

static u32 index_of(u64 address, enum ept12_level level)
{
	return (u32)(address >> (3 + 9 * level)) % ENTRIES;
}

/* A table that says the same as the large leaf. */
static u64 table_of_leaf(u64 leaf, enum ept12_level level)
{
	u64 *table = (u64 *)pages_take(1);
	enum ept12_level below = level - 1;
	u64 bits = leaf & ~EPT12_ADDRESS;

	if (below == EPT12_4K)
		bits &= ~EPT12_LARGE;
	for (u32 i = 0; i < ENTRIES; i++)
		table[i] =
		    ((leaf & EPT12_ADDRESS) + i * ept12_bytes(below)) | bits;
	return (u64)table;
}

static void make_table(u64 *entry, enum ept12_level level)
{
	if (!(*entry & EPT12_RWX))
		*entry = pages_take(1) | EPT12_RWX;
	else if (*entry & EPT12_LARGE)
		*entry = table_of_leaf(*entry, level) | EPT12_RWX;
}

volatile u64 *ept12_entry(struct ept12 *ept, u64 l2, enum ept12_level level)
{
	u64 *table = (u64 *)ept->root;

	for (enum ept12_level at = EPT12_TOP; at > level; at--) {
		u64 *entry = &table[index_of(l2, at)];

		make_table(entry, at);
		table = (u64 *)(*entry & EPT12_ADDRESS);
	}
	return &table[index_of(l2, level)];
}

void ept12_map(struct ept12 *ept, const struct ept12_range *range)
{
	u64 step = ept12_bytes(range->level);
	u64 bits = range->rights | EPT12_TYPE_WB;

	if (range->level != EPT12_4K)
		bits |= EPT12_LARGE;
	for (u64 at = 0; at < range->bytes; at += step)
		*ept12_entry(ept, range->l2 + at, range->level) =
		    (range->l1 + at) | bits;
}

void ept12_identity(struct ept12 *ept, u64 end, enum ept12_level level)
{
	ept12_map(ept, &(struct ept12_range){
			   .bytes = align_up(end, ept12_bytes(level)),
			   .level = level,
			   .rights = EPT12_RWX,
		       });
}
