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
 * Clears one bit in the leaves that `bits` names; says whether any had it:
 * find, clear, forget, loop, eight instructions per page. The bit is a constant
 * in both callers, so that one locked BTR both clears it and tells.
 */
static ALWAYS_INLINE bool clear_in_leaves(ept_entry_t *leaves, u64 bits,
					  const u64 bit, bool had_it)
{
	for (; bits; bits &= bits - 1) {
		u64 *raw = &leaves[bits_lowest(bits)].raw;

		if (__atomic_fetch_and(raw, ~bit, __ATOMIC_SEQ_CST) & bit)
			had_it = true;
	}
	return had_it;
}

/* A table of 4K leaves is made; NULL where nothing is mapped. */
static NOINLINE ept_entry_t *make_leaves(struct ept *ept, u64 address)
{
	struct ept_spot spot;

	CHECK(ept_tree_split_to_4k(ept, address, &spot) == OK);
	if (spot.level != EPT_4K)
		return NULL;
	return spot.slot - ept_index(address, EPT_4K);
}

/* The table of 4K leaves for `address`; NULL where nothing is mapped. */
static inline ept_entry_t *find_leaves(struct ept *ept, u64 address)
{
	struct ept_spot spot = ept_walk(ept->root, address, EPT_2M);

	if (likely(spot.level == EPT_2M &&
		   ept_entry_kind(spot.entry, EPT_2M) == EPT_TABLE))
		return phys_ptr(ept_entry_address(spot.entry));
	return make_leaves(ept, address);
}

/* One walk per table of leaves, not per page or word. */
static ALWAYS_INLINE enum flush
clear_in_batch(struct ept *ept, const struct dirty_batch *batch, const u64 bit)
{
	const struct dirty_word *word = batch->words;
	const struct dirty_word *end = word + batch->count;
	ept_entry_t *leaves = NULL;
	u64 base = BIT(63); /* of what `leaves` maps; no address is near */
	bool had_it = false;

	for (; word < end; word++) {
		u64 address = gpa_raw(word->base);

		if (address - base >= PAGE_2M) {
			base = align_down(address, PAGE_2M);
			leaves = find_leaves(ept, address);
		}
		if (leaves)
			had_it =
			    clear_in_leaves(&leaves[(address - base) / PAGE_4K],
					    word->bits, bit, had_it);
	}
	return had_it ? FLUSH_OWED : FLUSH_NONE;
}

enum flush ept_rearm(struct ept *ept, const struct dirty_batch *batch,
		     enum ept_arm arm)
{
	enum flush flush;

	spin_lock(&ept->lock);
	flush = arm == EPT_ARM_D ? clear_in_batch(ept, batch, EPT_D)
				 : clear_in_batch(ept, batch, EPT_W);
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
