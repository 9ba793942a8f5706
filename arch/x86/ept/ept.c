/* SPDX-License-Identifier: MIT */
/*
 * The tree of EPT01: making, mapping, unmapping, protecting, splitting and
 * merging. See arch/x86/ept/ept.h for who may change what; dirty tracking is
 * in arch/x86/ept/ept_track.c.
 *
 * Mapping works in two strokes. prepare() makes every table that the range
 * needs and looks for what is in the way; tables that it leaves behind when
 * it fails are empty, which means the same as not being there. commit() then
 * only writes leaves.
 */
#include "arch/x86/ept/ept.h"
#include "arch/x86/ept/ept_tree.h"
#include "arch/x86/ept/ept_walk.h"
#include "lib/check.h"
#include "lib/string.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

#define RETIRED_MAX      EPT_ENTRIES /* addresses in one frame */

/* EPT pointer (SDM section "Extended-Page-Table Pointer (EPTP)"). */
#define EPTP_TYPE        BITS(2, 0)
#define EPTP_WALK_LENGTH BITS(5, 3) /* levels - 1 */
#define EPTP_AD          BIT(6)

enum err ept_create(struct ept *ept, const struct ept_format *format)
{
	hpa_t root, retired;

	if (frame_alloc_zeroed(FRAME_4K, "EPT root", &root) != OK)
		return ERR_NO_MEMORY;
	if (frame_alloc(FRAME_4K, "EPT list", &retired) != OK) {
		frame_free(root, FRAME_4K);
		return ERR_NO_MEMORY;
	}
	*ept = (struct ept){
	    .root = root,
	    .format = *format,
	    .table_count = 1,
	    .retired = phys_ptr(retired),
	};
	return OK;
}

static void free_tables(hpa_t table, enum ept_level level)
{
	const ept_entry_t *entries = phys_ptr(table);

	for (u32 i = 0; i < EPT_ENTRIES && level > EPT_4K; i++)
		if (ept_entry_kind(entries[i], level) == EPT_TABLE)
			free_tables(ept_entry_address(entries[i]), level - 1);
	frame_free(table, FRAME_4K);
}

void ept_destroy(struct ept *ept)
{
	ept_release_tables(ept);
	ept_free_retired(ept);
	frame_free(phys_of(ept->retired), FRAME_4K);
	free_tables(ept->root, EPT_TOP);
	*ept = (struct ept){0};
}

u64 ept_pointer(const struct ept *ept)
{
	u64 pointer = hpa_raw(ept->root);

	pointer = bits_set(pointer, EPTP_TYPE,
			   ept->format.uncacheable_tables ? EPT_UC : EPT_WB);
	pointer = bits_set(pointer, EPTP_WALK_LENGTH, EPT_TOP - 1);
	return ept->format.accessed_dirty ? pointer | EPTP_AD : pointer;
}

/* --- Mapping ------------------------------------------------------------- */

/* The largest level whose leaf fits here. */
static enum ept_level fitting_level(const struct ept *ept, u64 address,
				    u64 frame, u64 bytes)
{
	enum ept_level level = ept->format.largest_leaf;

	/* While tables are set aside for splitting, their number is fixed. */
	if (ept->tables_reserved)
		return EPT_4K;
	while (level > EPT_4K &&
	       (!is_aligned(address | frame, ept_level_bytes(level)) ||
		ept_level_bytes(level) > bytes))
		level--;
	return level;
}

static enum err link_table(struct ept *ept, struct ept_spot *spot)
{
	hpa_t table;

	if (frame_alloc_zeroed(FRAME_4K, "EPT table", &table) != OK)
		return ERR_NO_MEMORY;
	ept_write(spot->slot, ept_entry_table(table));
	ept->table_count++;
	return OK;
}

/*
 * Finds the hole for a leaf of at most `wanted`, making the tables above it.
 * An empty table in the place of a large leaf makes the leaf smaller.
 */
static enum err find_hole(struct ept *ept, u64 address, enum ept_level wanted,
			  struct ept_spot *spot)
{
	for (;;) {
		*spot = ept_walk(ept->root, address, wanted);
		switch (ept_entry_kind(spot->entry, spot->level)) {
		case EPT_LEAF:
			return ERR_OVERLAP;
		case EPT_TABLE:
			wanted--;
			break;
		case EPT_HOLE:
			if (spot->level == wanted)
				return OK;
			if (link_table(ept, spot) != OK)
				return ERR_NO_MEMORY;
			break;
		}
	}
}

struct mapping {
	u64 address;
	u64 frame;
	u64 bytes;
	const struct ept_attributes *attributes;
};

enum stroke {
	PREPARE,
	COMMIT,
};

static enum err map_stroke(struct ept *ept, struct mapping map,
			   enum stroke stroke)
{
	while (map.bytes) {
		enum ept_level level =
		    fitting_level(ept, map.address, map.frame, map.bytes);
		struct ept_spot spot;
		enum err err = find_hole(ept, map.address, level, &spot);

		if (err != OK)
			return err;
		if (stroke == COMMIT) {
			ept_write(spot.slot,
				  ept_entry_leaf(hpa(map.frame), spot.level,
						 map.attributes));
			ept->leaf_count[spot.level]++;
		}

		u64 done = ept_level_bytes(spot.level);

		map.address += done;
		map.frame += done;
		map.bytes -= done;
	}
	return OK;
}

/* [base, +bytes) is whole pages below the 48 bits that four levels reach. */
static enum err check_range(gpa_t base, u64 bytes)
{
	if (!is_aligned(gpa_raw(base) | bytes, PAGE_4K))
		return ERR_ALIGN;
	if (gpa_raw(base) > EPT_SPAN || bytes > EPT_SPAN - gpa_raw(base))
		return ERR_RANGE;
	return OK;
}

static enum err check_frames(const struct ept *ept, hpa_t frame, u64 bytes,
			     const struct ept_attributes *attributes)
{
	u64 limit = BIT(ept->format.physical_bits);

	if (!is_aligned(hpa_raw(frame), PAGE_4K))
		return ERR_ALIGN;
	if (hpa_raw(frame) > limit || bytes > limit - hpa_raw(frame))
		return ERR_RANGE;
	if (!(attributes->rights & EPT_RWX) || (attributes->rights & ~EPT_RWX))
		return ERR_UNSUPPORTED;
	if (ept_entry_misconfigured(ept_entry_leaf(frame, EPT_4K, attributes),
				    EPT_4K, &ept->format))
		return ERR_UNSUPPORTED;
	return OK;
}

enum err ept_map(struct ept *ept, gpa_t base, hpa_t frame, u64 bytes,
		 const struct ept_attributes *attributes)
{
	struct mapping map = {gpa_raw(base), hpa_raw(frame), bytes, attributes};
	enum err err = check_range(base, bytes);

	if (err == OK)
		err = check_frames(ept, frame, bytes, attributes);
	if (err != OK)
		return err;
	spin_lock(&ept->lock);
	err = map_stroke(ept, map, PREPARE);
	if (err == OK)
		CHECK(map_stroke(ept, map, COMMIT) == OK);
	spin_unlock(&ept->lock);
	return err;
}

/*
 * One type for one frame: Umbra reads and writes guest memory write-back, and
 * so does the guest, whatever its PAT says ("ignore PAT"). Nothing but CPUs,
 * whose caches are coherent, ever sees that memory: no device is passed
 * through, and those that are emulated are Umbra. So what a guest makes
 * uncached or write-combining for a device's sake behaves as it expects, only
 * faster.
 */
static enum err map_slot(struct ept *ept, const struct guest_mem *mem,
			 const struct guest_slot *slot)
{
	const struct ept_attributes attributes = {
	    .rights = slot->kind == GUEST_ROM ? EPT_R | EPT_X : EPT_RWX,
	    .type = EPT_WB,
	    .ignore_pat = true,
	};
	u64 bytes;

	for (u64 offset = 0; offset < slot->bytes; offset += bytes) {
		gpa_t at = gpa_add(slot->base, offset);
		hpa_t frame;
		enum err err = guest_mem_block(mem, at, &frame, &bytes);

		if (err == OK)
			err = ept_map(ept, at, frame, bytes, &attributes);
		if (err != OK)
			return err;
	}
	return OK;
}

enum err ept_map_guest(struct ept *ept, const struct guest_mem *mem)
{
	enum err err = OK;

	for (u32 i = 0; i < mem->slot_count && err == OK; i++)
		err = map_slot(ept, mem, &mem->slots[i]);
	return err;
}

enum err ept_lookup(const struct ept *ept, gpa_t address, ept_entry_t *leaf,
		    enum ept_level *level)
{
	struct ept_spot spot;

	if (gpa_raw(address) >= EPT_SPAN)
		return ERR_NOT_FOUND;
	spot = ept_walk(ept->root, gpa_raw(address), EPT_4K);
	if (ept_entry_kind(spot.entry, spot.level) != EPT_LEAF)
		return ERR_NOT_FOUND;
	*leaf = spot.entry;
	*level = spot.level;
	return OK;
}

/* --- Splitting ----------------------------------------------------------- */

static enum err take_table(struct ept *ept, hpa_t *table)
{
	if (!ept->spare_count)
		return frame_alloc(FRAME_4K, "EPT table", table);
	*table = ept->spare;
	ept->spare = *(const hpa_t *)phys_ptr(*table);
	ept->spare_count--;
	return OK;
}

/*
 * Three instructions per entry, unrolled by the compiler or not: this is what
 * turning dirty logging on costs per page of large-page memory.
 */
static void fill(ept_entry_t *table, ept_entry_t leaf, enum ept_level level)
{
	u64 step = ept_level_bytes(level);
	u64 raw = level == EPT_4K ? leaf.raw & ~EPT_LARGE : leaf.raw;

	for (u32 i = 0; i < EPT_ENTRIES; i++, raw += step)
		table[i].raw = raw;
}

enum err ept_tree_split(struct ept *ept, struct ept_spot spot)
{
	hpa_t table;
	enum err err = take_table(ept, &table);

	if (err != OK)
		return err;
	/* At most twice more: a CPU may set A, and then D, meanwhile. */
	do {
		spot.entry = ept_read(spot.slot);
		fill(phys_ptr(table), spot.entry, spot.level - 1);
	} while (ept_swap(spot.slot, spot.entry, ept_entry_table(table)) !=
		 EPT_SWAPPED);
	ept->leaf_count[spot.level]--;
	ept->leaf_count[spot.level - 1] += EPT_ENTRIES;
	ept->table_count++;
	return OK;
}

enum err ept_tree_split_to_4k(struct ept *ept, u64 address,
			      struct ept_spot *spot)
{
	for (;;) {
		*spot = ept_walk(ept->root, address, EPT_4K);
		if (spot->level == EPT_4K ||
		    ept_entry_kind(spot->entry, spot->level) == EPT_HOLE)
			return OK;
		if (ept_tree_split(ept, *spot) != OK)
			return ERR_NO_MEMORY;
	}
}

enum err ept_split(struct ept *ept, gpa_t base, u64 bytes)
{
	enum err err = check_range(base, bytes);
	u64 address = gpa_raw(base);
	u64 end = address + bytes;

	spin_lock(&ept->lock);
	while (err == OK && address < end) {
		struct ept_spot spot;

		err = ept_tree_split_to_4k(ept, address, &spot);
		/* A table of 4K leaves is done as a whole. */
		address = ept_tree_next(
		    address, spot.level == EPT_4K ? EPT_2M : spot.level);
	}
	spin_unlock(&ept->lock);
	return err;
}

enum err ept_reserve_tables(struct ept *ept)
{
	enum err err = OK;
	u64 needed;

	spin_lock(&ept->lock);
	needed = ept->leaf_count[EPT_2M] +
		 ept->leaf_count[EPT_1G] * (1 + EPT_ENTRIES);
	while (err == OK && ept->spare_count < needed) {
		hpa_t table;

		err = frame_alloc(FRAME_4K, "dirty tracking", &table);
		if (err != OK)
			break;
		*(hpa_t *)phys_ptr(table) = ept->spare;
		ept->spare = table;
		ept->spare_count++;
	}
	ept->tables_reserved = err == OK;
	spin_unlock(&ept->lock);
	if (err != OK)
		ept_release_tables(ept);
	return err;
}

void ept_release_tables(struct ept *ept)
{
	spin_lock(&ept->lock);
	ept->tables_reserved = false;
	while (ept->spare_count) {
		hpa_t table;

		CHECK(take_table(ept, &table) == OK);
		frame_free(table, FRAME_4K);
	}
	spin_unlock(&ept->lock);
}

/* --- Taking rights away -------------------------------------------------- */

/* Splits a large leaf that `edge` cuts through, so that it lies between two. */
static enum err split_at(struct ept *ept, u64 edge)
{
	for (;;) {
		struct ept_spot spot;

		if (edge == EPT_SPAN)
			return OK;
		spot = ept_walk(ept->root, edge, EPT_4K);
		if (ept_entry_kind(spot.entry, spot.level) != EPT_LEAF ||
		    is_aligned(edge, ept_level_bytes(spot.level)))
			return OK;
		if (ept_tree_split(ept, spot) != OK)
			return ERR_NO_MEMORY;
	}
}

/* What happens to the bits of a leaf: some go, then some come. */
struct leaf_change {
	u64 clear;
	u64 set;
};

/* Changes every leaf between two edges. */
static enum flush change_leaves(struct ept *ept, u64 address, u64 end,
				struct leaf_change change)
{
	u64 lost = 0;

	while (address < end) {
		struct ept_spot spot = ept_walk(ept->root, address, EPT_4K);

		if (ept_entry_kind(spot.entry, spot.level) == EPT_LEAF) {
			lost |= ept_tree_change(spot.slot, change.clear,
						change.set);
			if (change.clear == ~0ULL)
				ept->leaf_count[spot.level]--;
		}
		address = ept_tree_next(address, spot.level);
	}
	return lost & (EPT_RWX | EPT_MAY_WRITE) ? FLUSH_OWED : FLUSH_NONE;
}

static enum err change_range(struct ept *ept, gpa_t base, u64 bytes,
			     struct leaf_change change, enum flush *flush)
{
	u64 end = gpa_raw(base) + bytes;
	enum err err = check_range(base, bytes);

	if (err != OK)
		return err;
	spin_lock(&ept->lock);
	err = split_at(ept, gpa_raw(base));
	if (err == OK)
		err = split_at(ept, end);
	if (err == OK)
		*flush = change_leaves(ept, gpa_raw(base), end, change);
	spin_unlock(&ept->lock);
	return err;
}

/* Nothing goes, so nothing is owed. */
enum err ept_keep_small(struct ept *ept, gpa_t page)
{
	const struct leaf_change change = {.set = EPT_KEEP_SMALL};
	enum flush flush;

	return change_range(ept, page, PAGE_4K, change, &flush);
}

enum err ept_unmap(struct ept *ept, gpa_t base, u64 bytes, enum flush *flush)
{
	const struct leaf_change change = {.clear = ~0ULL};

	return change_range(ept, base, bytes, change, flush);
}

enum err ept_protect(struct ept *ept, gpa_t base, u64 bytes, u64 rights,
		     enum flush *flush)
{
	const struct ept_attributes attributes = {.rights = rights,
						  .type = EPT_WB};
	ept_entry_t like = ept_entry_leaf(hpa(0), EPT_4K, &attributes);
	u64 owned = EPT_RWX | EPT_HOST_WRITABLE | EPT_MAY_WRITE;
	struct leaf_change change = {.clear = owned & ~like.raw,
				     .set = owned & like.raw};

	if (check_frames(ept, hpa(0), 0, &attributes) != OK)
		return ERR_UNSUPPORTED;
	return change_range(ept, base, bytes, change, flush);
}

/* --- Merging ------------------------------------------------------------- */

/* Gives a leaf all that it may have; returns what it holds then. */
static ept_entry_t relax(ept_entry_t *slot)
{
	ept_entry_t entry = ept_read(slot);
	u64 full = EPT_A | EPT_D;

	if (entry.raw & EPT_MAY_WRITE)
		full |= EPT_W;
	if ((entry.raw & full) != full)
		ept_tree_change(slot, 0, full);
	return (ept_entry_t){entry.raw | full};
}

/* Is W missing for another reason than dirty tracking? */
static bool is_watched(ept_entry_t leaf)
{
	return (leaf.raw & (EPT_HOST_WRITABLE | EPT_MAY_WRITE)) ==
	       EPT_HOST_WRITABLE;
}

/*
 * Relaxes the leaves of one table. Do they continue each other, so that one
 * leaf of `level` (that of the entry above) can say the same?
 */
static bool relax_table(ept_entry_t *table, enum ept_level level)
{
	u64 step = ept_level_bytes(level - 1);
	ept_entry_t first = ept_read(table);
	bool same = true;

	for (u32 i = 0; i < EPT_ENTRIES; i++) {
		if (ept_entry_kind(ept_read(&table[i]), level - 1) !=
		    EPT_LEAF) {
			same = false;
			continue;
		}

		ept_entry_t entry = relax(&table[i]);

		if (i == 0)
			first = entry;
		if (entry.raw != first.raw + i * step ||
		    (entry.raw & EPT_KEEP_SMALL))
			same = false;
	}
	return same && !is_watched(first) &&
	       is_aligned(hpa_raw(ept_entry_address(first)),
			  ept_level_bytes(level));
}

/* Makes the table below `spot` one leaf, if its entries allow it. */
static enum flush merge_table(struct ept *ept, struct ept_spot spot)
{
	hpa_t table = ept_entry_address(spot.entry);
	ept_entry_t *leaves = phys_ptr(table);

	if (!relax_table(leaves, spot.level) ||
	    spot.level > ept->format.largest_leaf)
		return FLUSH_NONE;
	ept_write(spot.slot, (ept_entry_t){ept_read(leaves).raw | EPT_LARGE});
	ept->retired[ept->retired_count++] = hpa_raw(table);
	ept->leaf_count[spot.level - 1] -= EPT_ENTRIES;
	ept->leaf_count[spot.level]++;
	ept->table_count--;
	return FLUSH_OWED;
}

/* The table of leaves of `level - 1` that maps `address`, if there is one. */
static enum flush merge_at(struct ept *ept, u64 address, enum ept_level level)
{
	struct ept_spot spot = ept_walk(ept->root, address, level);

	if (spot.level != level)
		return FLUSH_NONE;
	switch (ept_entry_kind(spot.entry, level)) {
	case EPT_HOLE:
		return FLUSH_NONE;
	case EPT_LEAF:
		relax(spot.slot);
		return FLUSH_NONE;
	case EPT_TABLE:
		return merge_table(ept, spot);
	}
	return FLUSH_NONE;
}

gpa_t ept_merge(struct ept *ept, gpa_t base, u64 bytes, enum flush *flush)
{
	u64 address = gpa_raw(base);
	u64 end = address + bytes;

	*flush = FLUSH_NONE;
	spin_lock(&ept->lock);
	/* Each step may retire two tables. */
	while (address < end && ept->retired_count + 2 <= RETIRED_MAX) {
		u64 next = ept_tree_next(address, EPT_2M);

		if (merge_at(ept, address, EPT_2M) == FLUSH_OWED)
			*flush = FLUSH_OWED;
		if ((is_aligned(next, PAGE_1G) || next >= end) &&
		    merge_at(ept, address, EPT_1G) == FLUSH_OWED)
			*flush = FLUSH_OWED;
		address = next;
	}
	spin_unlock(&ept->lock);
	return gpa(address < end ? address : end);
}

void ept_free_retired(struct ept *ept)
{
	spin_lock(&ept->lock);
	while (ept->retired_count)
		frame_free(hpa(ept->retired[--ept->retired_count]), FRAME_4K);
	spin_unlock(&ept->lock);
}
