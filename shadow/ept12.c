/* SPDX-License-Identifier: MIT */
/* EPT12, L1's tables: see shadow/ept12.h. */
#include "shadow/ept12.h"

#define NOTHING_THERE ~0ULL /* what a bus returns where no memory is */

/* Attempts to set flags in entries that other CPUs keep changing. */
#define FLAG_ATTEMPTS 8

ept_entry_t ept12_read(const struct guest_mem *memory, gpa_t table, u32 index)
{
	u64 raw = NOTHING_THERE;

	if (guest_mem_read_u64(memory, gpa_add(table, index * sizeof(u64)),
			       &raw) != OK)
		return (ept_entry_t){NOTHING_THERE};
	return (ept_entry_t){raw};
}

/* Is it an access to one of L2's own paging structures? */
static bool is_page_walk(u64 qualification)
{
	return (qualification & (EPT12_LINEAR_VALID | EPT12_TRANSLATED)) ==
	       EPT12_LINEAR_VALID;
}

void ept12_begin(struct ept12_walk *walk, u64 pointer,
		 const struct ept12_access *access)
{
	u64 needs = access->qualification & EPT12_ACCESS;

	/* Some CPUs say write alone, or (with A/D off in EPT02) read alone. */
	if (ept12_has_ad(pointer) && is_page_walk(access->qualification))
		needs |= EPT12_READ | EPT12_WRITE;
	walk->outcome = EPT12_MAPPED;
	walk->access = needs;
	walk->qualification =
	    needs |
	    (access->qualification &
	     (EPT12_LINEAR_VALID | EPT12_TRANSLATED | EPT12_NMI_UNBLOCKING));
	walk->rights = EPT_RWX;
	walk->pointer = pointer;
	walk->from = access->address;
	walk->to = gpa(0);
	walk->level = EPT_TOP;
	walk->tables[EPT_TOP] = gpa(pointer & EPT12_POINTER_TABLE);
}

static void end_at_leaf(struct ept12_walk *walk)
{
	u64 bytes = ept_level_bytes(walk->level);
	gpa_t base = ept12_address(walk->entries[walk->level]);

	walk->to = gpa(align_down(gpa_raw(base), bytes) |
		       (ngpa_raw(walk->from) & (bytes - 1)));
	if (walk->access & ~walk->rights)
		walk->outcome = EPT12_VIOLATION;
}

static void end(struct ept12_walk *walk, enum ept_kind kind)
{
	if (kind == EPT_LEAF)
		end_at_leaf(walk);
	else
		walk->outcome = EPT12_VIOLATION;
	walk->qualification =
	    bits_set(walk->qualification, EPT12_RIGHTS, walk->rights & EPT_RWX);
}

static ept_entry_t read_entry(const struct ept12 *ept12,
			      const struct ept12_walk *walk)
{
	return ept12_read(ept12->memory, walk->tables[walk->level],
			  ept_index(ngpa_raw(walk->from), walk->level));
}

void ept12_walk_from(const struct ept12 *ept12, struct ept12_walk *walk,
		     ept_entry_t entry)
{
	for (;;) {
		enum ept_kind kind = ept_entry_kind(entry, walk->level);

		walk->entries[walk->level] = entry;
		if (ept_entry_misconfigured(entry, walk->level,
					    &ept12->offered)) {
			walk->outcome = EPT12_MISCONFIGURED;
			return;
		}
		walk->rights &= entry.raw;
		if (kind != EPT_TABLE) {
			end(walk, kind);
			return;
		}
		walk->tables[--walk->level] = ept12_address(entry);
		entry = read_entry(ept12, walk);
	}
}

void ept12_walk(const struct ept12 *ept12, struct ept12_walk *walk)
{
	if (ept12_is_beyond(walk->from))
		walk->outcome = EPT12_VIOLATION;
	else
		ept12_walk_from(ept12, walk, read_entry(ept12, walk));
}

/* --- Accessed and dirty flags, and L1's log ------------------------------- */

static u64 wanted_flags(const struct ept12_walk *walk, enum ept_level level)
{
	return level == walk->level && (walk->access & EPT12_WRITE)
		   ? EPT_A | EPT_D
		   : EPT_A;
}

/* The highest entry that lacks a flag; below the leaf: none does. */
static enum ept_level first_without_flags(const struct ept12_walk *walk)
{
	enum ept_level level = EPT_TOP;

	while (level > walk->level && (walk->entries[level].raw & EPT_A))
		level--;
	if (level == walk->level &&
	    !(wanted_flags(walk, level) & ~walk->entries[level].raw))
		level--;
	return level;
}

bool ept12_has_flags(const struct ept12_walk *walk)
{
	return !ept12_has_ad(walk->pointer) ||
	       first_without_flags(walk) < walk->level;
}

/*
 * One entry. ERR_BUSY: it is no longer what the walk has seen. Where no RAM is
 * the CPU's update would go nowhere and the access would happen.
 */
static enum err set_flags_at(const struct ept12 *ept12, struct ept12_walk *walk,
			     enum ept_level level)
{
	u64 seen = walk->entries[level].raw;
	u64 wanted = seen | wanted_flags(walk, level);
	u64 offset =
	    ept_index(ngpa_raw(walk->from), level) * sizeof(ept_entry_t);

	if (seen != wanted &&
	    guest_mem_swap_unseen_u64(ept12->memory,
				      gpa_add(walk->tables[level], offset),
				      &seen, wanted) == ERR_BUSY)
		return ERR_BUSY;
	walk->entries[level].raw = wanted;
	return OK;
}

void ept12_set_flags(const struct ept12 *ept12, struct ept12_walk *walk,
		     struct ept12_log *log)
{
	bool logs = log && log->on;
	u64 leaf_before = walk->entries[walk->level].raw;

	if (ept12_has_flags(walk))
		return;
	if (logs && ept12_log_is_full(log)) {
		walk->outcome = EPT12_LOG_FULL;
		return;
	}
	for (enum ept_level level = first_without_flags(walk);
	     level >= walk->level; level--) {
		if (set_flags_at(ept12, walk, level) != OK) {
			walk->outcome = EPT12_CHANGING;
			return;
		}
	}
	if (logs && (walk->entries[walk->level].raw & ~leaf_before & EPT_D))
		ept12_log_write(ept12, walk->from, log);
}

void ept12_translate(const struct ept12 *ept12, u64 pointer,
		     const struct ept12_access *access, struct ept12_log *log,
		     struct ept12_walk *walk)
{
	for (u32 i = 0; i < FLAG_ATTEMPTS; i++) {
		ept12_begin(walk, pointer, access);
		ept12_walk(ept12, walk);
		if (walk->outcome == EPT12_MAPPED)
			ept12_set_flags(ept12, walk, log);
		if (walk->outcome != EPT12_CHANGING)
			return;
	}
}
