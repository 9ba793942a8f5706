/* SPDX-License-Identifier: MIT */
/*
 * Dirty tracking in EPT01: arming pages and repairing write faults. See
 * mm/dirty_log.h for the contract that the orders here serve.
 *
 *	armed by D	W=1 D=0		the next write sets D and is logged
 *	armed by W	W=0 MAY_WRITE	the next write faults and is fixed
 *	not armed	W=1 D=1		marked, logged, taken or in a window
 *
 * Large leaves are never armed: every page under one is marked, or taken, in
 * which case the leaf is split first.
 */
#include "arch/x86/ept/ept.h"
#include "arch/x86/ept/ept_tree.h"
#include "arch/x86/ept/ept_walk.h"
#include "lib/check.h"
#include "mm/phys.h"

/*
 * Clears one bit in the leaves that `bits` names: find, clear, forget, loop,
 * eight instructions per page. The bit is a constant in both callers, so that
 * one locked BTR both clears it and says what it was.
 */
static inline __attribute__((always_inline)) bool
clear_in_leaves(ept_entry_t *leaves, u64 bits, const u64 bit)
{
	bool was_set = false;

	for (; bits; bits &= bits - 1) {
		u64 *raw = &leaves[__builtin_ctzll(bits)].raw;

		if (__atomic_fetch_and(raw, ~bit, __ATOMIC_SEQ_CST) & bit)
			was_set = true;
	}
	return was_set;
}

static bool arm_leaves(ept_entry_t *leaves, u64 bits, enum ept_arm arm)
{
	return arm == EPT_ARM_D ? clear_in_leaves(leaves, bits, EPT_D)
				: clear_in_leaves(leaves, bits, EPT_W);
}

/* The table of 4K leaves for `address`; NULL where nothing is mapped. */
static ept_entry_t *leaf_table(struct ept *ept, u64 address)
{
	struct ept_spot spot;

	CHECK(ept_tree_split_to_4k(ept, address, &spot) == OK);
	if (spot.level != EPT_4K)
		return NULL;
	return spot.slot - ept_index(address, EPT_4K);
}

enum flush ept_rearm(struct ept *ept, const struct dirty_batch *batch,
		     enum ept_arm arm)
{
	enum flush flush = FLUSH_NONE;
	ept_entry_t *table = NULL;
	u64 table_base = ~0ULL;

	spin_lock(&ept->lock);
	for (u32 i = 0; i < batch->count; i++) {
		u64 address = gpa_raw(batch->words[i].base);

		if (align_down(address, PAGE_2M) != table_base) {
			table_base = align_down(address, PAGE_2M);
			table = leaf_table(ept, address);
		}
		if (table && arm_leaves(&table[ept_index(address, EPT_4K)],
					batch->words[i].bits, arm))
			flush = FLUSH_OWED;
	}
	spin_unlock(&ept->lock);
	return flush;
}

/* From D=0 to W=0, unless the CPU sets D first and so logs the page. */
static enum flush arm_by_w(ept_entry_t *slot)
{
	for (;;) {
		ept_entry_t old = ept_read(slot);

		if ((old.raw & (EPT_W | EPT_D)) != EPT_W)
			return FLUSH_NONE;
		if (ept_swap(slot, old,
			     (ept_entry_t){(old.raw & ~EPT_W) | EPT_D}) ==
		    EPT_SWAPPED)
			return FLUSH_OWED;
	}
}

enum flush ept_rearm_by_w(struct ept *ept, gpa_t base, u64 bytes)
{
	u64 address = gpa_raw(base);
	u64 end = address + bytes;
	enum flush flush = FLUSH_NONE;

	spin_lock(&ept->lock);
	while (address < end) {
		struct ept_spot spot = ept_walk(ept->root, address, EPT_4K);

		if (spot.level == EPT_4K && arm_by_w(spot.slot) == FLUSH_OWED)
			flush = FLUSH_OWED;
		address = ept_tree_next(address, spot.level);
	}
	spin_unlock(&ept->lock);
	return flush;
}

enum flush ept_harvest_d(struct ept *ept, gpa_t base, u64 bytes,
			 struct dirty_log *log)
{
	u64 address = gpa_raw(base);
	u64 end = address + bytes;
	enum flush flush = FLUSH_NONE;

	spin_lock(&ept->lock);
	while (address < end) {
		struct ept_spot spot = ept_walk(ept->root, address, EPT_4K);
		u64 size = ept_level_bytes(spot.level);

		if (ept_entry_kind(spot.entry, spot.level) == EPT_LEAF &&
		    ept_tree_change(spot.slot, EPT_D, 0)) {
			dirty_log_mark_range(
			    log, gpa(align_down(address, size)), size);
			flush = FLUSH_OWED;
		}
		address = ept_tree_next(address, spot.level);
	}
	spin_unlock(&ept->lock);
	return flush;
}

enum ept_fix ept_fix_write(struct ept *ept, gpa_t address)
{
	struct ept_spot spot;

	if (gpa_raw(address) >= EPT_SPAN)
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

enum err ept_watch(struct ept *ept, gpa_t page, enum flush *flush)
{
	enum err err = ERR_NOT_FOUND;
	struct ept_spot spot;

	if (gpa_raw(page) >= EPT_SPAN)
		return ERR_NOT_FOUND;
	spin_lock(&ept->lock);
	if (ept_tree_split_to_4k(ept, gpa_raw(page), &spot) != OK) {
		err = ERR_NO_MEMORY;
	} else if (ept_entry_kind(spot.entry, spot.level) == EPT_LEAF) {
		/* MAY_WRITE counts: some TLB may still have it writable. */
		*flush = ept_tree_change(spot.slot, EPT_W | EPT_MAY_WRITE, 0)
			     ? FLUSH_OWED
			     : FLUSH_NONE;
		err = OK;
	}
	spin_unlock(&ept->lock);
	return err;
}

void ept_unwatch(struct ept *ept, gpa_t page)
{
	struct ept_spot spot;

	spin_lock(&ept->lock);
	spot = ept_walk(ept->root, gpa_raw(page), EPT_4K);
	if (spot.level == EPT_4K && (spot.entry.raw & EPT_HOST_WRITABLE))
		ept_tree_change(spot.slot, 0, EPT_MAY_WRITE);
	spin_unlock(&ept->lock);
}
