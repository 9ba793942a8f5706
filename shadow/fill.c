/* SPDX-License-Identifier: MIT */
/*
 * Making leaves of shadow tables: the one that is needed, and neighbours of it
 * that need nothing but making.
 */
#include "shadow/table.h"

enum err shadow_page_find(const struct shadow *shadow, struct shadow_page *page)
{
	return ept_lookup(shadow->config.ept, page->address,
			  &page->parts.leaf01, &page->parts.level01);
}

ept_entry_t shadow_page_leaf(const struct shadow_page *page,
			     enum ept_level level)
{
	u64 inside =
	    gpa_raw(page->address) & (ept_level_bytes(page->parts.level01) - 1);
	hpa_t frame = hpa_add(ept_entry_address(page->parts.leaf01),
			      align_down(inside, ept_level_bytes(level)));

	return shadow_compose(&page->parts, level, frame);
}

ept_entry_t shadow_entry12_made_up(const struct shadow_table *t, u32 index)
{
	enum ept_level level = shadow_table_level(t);
	u64 offset = index * ept_level_bytes(level);
	u64 raw;

	/* What is no memory reads as all ones. */
	if (!shadow_table_is_split(t))
		return (ept_entry_t){~0ULL};
	/* Rights and D are in the entries that lead here. */
	raw = (gpa_raw(shadow_table_base(t)) + offset) |
	      (t->key & SHADOW_KEY_TYPE) | EPT_RWX | EPT_A | EPT_D;
	return (ept_entry_t){level == EPT_4K ? raw : raw | EPT_LARGE};
}

/* A leaf of L1's for which EPT01 allows one leaf of the same size. */
static ept_entry_t make_leaf(struct shadow *shadow,
			     const struct shadow_table *t, ept_entry_t from12)
{
	enum ept_level level = shadow_table_level(t);
	struct shadow_page page = {
	    .address = ept12_address(from12),
	    .parts = {.leaf12 = from12,
		      .level12 = level,
		      .ad = shadow_table_has_ad(t),
		      .tracking = shadow->tracking,
		      .by_d = shadow_is_by_d(shadow, t),
		      .format01 = &shadow->config.ept->format},
	};

	if (shadow_page_find(shadow, &page) != OK ||
	    shadow_level(&page.parts) < level)
		return (ept_entry_t){0};
	return shadow_page_leaf(&page, level);
}

/* An entry that led to a table and still does so. */
static bool leads_to_same(const struct shadow_table *t, u32 index,
			  ept_entry_t from12)
{
	const struct shadow_table *child;

	if (!shadow_hardware(t, index).raw ||
	    shadow_entry_kind(t, index) != EPT_TABLE)
		return false;
	child = shadow_entry_table(t, index);
	return !shadow_table_is_split(child) &&
	       gpa_equal(shadow_table_base(child), ept12_address(from12));
}

void shadow_fill_entry(struct shadow *shadow, struct shadow_table *t, u32 index,
		       ept_entry_t from12)
{
	enum ept_level level = shadow_table_level(t);
	enum ept_kind kind = ept_entry_kind(from12, level);
	ept_entry_t leaf = {0};

	if (ept_entry_misconfigured(from12, level, &shadow->ept12.offered) ||
	    (shadow_table_has_ad(t) && !(from12.raw & EPT_A)))
		kind = EPT_HOLE;
	if (kind == EPT_TABLE && leads_to_same(t, index, from12)) {
		shadow_entry_put_table(
		    shadow, t, index,
		    (struct shadow_step){shadow_entry_table(t, index),
					 from12.raw & EPT_RWX},
		    from12);
		return;
	}
	if (kind == EPT_LEAF)
		leaf = make_leaf(shadow, t, from12);
	shadow_entry_put_leaf(shadow, t, index, leaf, from12);
	if (leaf.raw)
		shadow->counts.filled++;
}

/* --- Neighbours ---------------------------------------------------------- */

/*
 * Fills many entries of one table. Neighbours are mostly alike: what has the
 * same attributes as the last one gets the same leaf with another frame.
 */
struct filler {
	struct shadow *shadow;
	struct shadow_table *t;
	enum ept_level level; /* of its leaves */
	u64 alike12;          /* bits of L1's entry that the leaf depends on */
	ept_entry_t from12, leaf01, leaf;
	enum ept_level level01;
	/*
	 * Of EPT01, at [region, +region_bytes): the table of 4K leaves or the
	 * one large leaf. No bytes: not known.
	 */
	u64 region, region_bytes;
	const ept_entry_t *leaves;
	enum ept_level level_found;
	u32 filled;
};

u64 shadow_fill_alike12(const struct shadow *shadow,
			const struct shadow_table *t)
{
	const struct ept_format *offered = &shadow->ept12.offered;
	u64 bits = EPT_RWX | EPT_TYPE | EPT_IGNORE_PAT | EPT_LARGE;

	/* Reserved if they are above what L1 has, or in a large leaf. */
	bits |= EPT_ADDRESS & ~(BIT(offered->physical_bits) - 1);
	bits |= (ept_level_bytes(shadow_table_level(t)) - 1) & EPT_ADDRESS;
	return shadow_table_has_ad(t) ? bits | EPT_A | EPT_D : bits;
}

static bool find_region(struct filler *f, u64 address)
{
	struct ept_spot spot;

	f->region_bytes = 0;
	if (address >= EPT12_SPAN)
		return false;
	spot = ept_walk(f->shadow->config.ept->root, address, EPT_4K);
	if (ept_entry_kind(spot.entry, spot.level) != EPT_LEAF)
		return false;
	f->level_found = spot.level;
	f->leaves = spot.slot;
	f->region_bytes = ept_level_bytes(spot.level);
	if (spot.level == EPT_4K) {
		f->leaves -= ept_index(address, EPT_4K);
		f->region_bytes = PAGE_2M;
	}
	f->region = align_down(address, f->region_bytes);
	return true;
}

static bool find_leaf01(struct filler *f, gpa_t address, ept_entry_t *leaf01,
			enum ept_level *level01)
{
	u64 raw = gpa_raw(address);

	if (raw - f->region >= f->region_bytes && !find_region(f, raw))
		return false;
	*level01 = f->level_found;
	*leaf01 = ept_read(f->level_found == EPT_4K
			       ? &f->leaves[ept_index(raw, EPT_4K)]
			       : f->leaves);
	if (ept_entry_kind(*leaf01, *level01) == EPT_LEAF)
		return true;
	/* A hole; or the leaf has been split just now: look again. */
	f->region_bytes = 0;
	return false;
}

/* As the last one, if both entries are like the last ones. */
static inline bool make_alike(struct filler *f, ept_entry_t from12,
			      ept_entry_t leaf01, enum ept_level level01)
{
	u64 bytes = ept_level_bytes(f->level);
	u64 inside = from12.raw & (ept_level_bytes(level01) - 1);

	if (!f->leaf.raw || level01 != f->level01 ||
	    ((from12.raw ^ f->from12.raw) & f->alike12) ||
	    ((leaf01.raw ^ f->leaf01.raw) & SHADOW_ALIKE_01))
		return false;
	f->leaf.raw = (f->leaf.raw & ~EPT_ADDRESS) |
		      (leaf01.raw & EPT_ADDRESS) |
		      (align_down(inside, bytes) & EPT_ADDRESS);
	return true;
}

/*
 * The leaf that has just been made, as it was made: where D arms it another CPU
 * may have written its page by now. What is alike has not been written.
 */
static ept_entry_t leaf_as_made(const struct filler *f, u32 index)
{
	ept_entry_t leaf = shadow_hardware(f->t, index);

	if (shadow_is_by_d(f->shadow, f->t) && (leaf.raw & EPT_W))
		leaf.raw &= ~EPT_D;
	return leaf;
}

static void fill_hole(struct filler *f, u32 index, ept_entry_t from12)
{
	ept_entry_t leaf01;
	enum ept_level level01;

	if (!find_leaf01(f, ept12_address(from12), &leaf01, &level01))
		return;
	if (make_alike(f, from12, leaf01, level01)) {
		u32 *head = shadow_leaf_head(f->shadow, ept12_address(from12),
					     f->level);

		shadow_entry_fill(f->t, index, f->leaf, from12);
		shadow_entry_chain(f->shadow, f->t, index, head);
	} else {
		shadow_fill_entry(f->shadow, f->t, index, from12);
		f->from12 = from12;
		f->leaf01 = leaf01;
		f->level01 = level01;
		f->leaf = leaf_as_made(f, index);
	}
	if (shadow_hardware(f->t, index).raw)
		f->filled++;
}

/*
 * How far around is worth looking: more after it was, less after it was not.
 */
#define WINDOW_FIRST 16
#define WINDOW_STEP  4

static void learn(struct shadow_table *t, u32 holes, u32 filled)
{
	if (2 * filled < holes)
		t->window /= WINDOW_STEP;
	else if (t->window < EPT_ENTRIES)
		t->window *= WINDOW_STEP;
	if (t->window > EPT_ENTRIES)
		t->window = EPT_ENTRIES;
}

void shadow_fill_forget(struct shadow_table *t)
{
	t->window = WINDOW_FIRST;
	t->like.leaf.raw = 0;
}

void shadow_fill_around(struct shadow *shadow, struct shadow_table *t,
			u32 index)
{
	enum ept_level level = shadow_table_level(t);
	struct filler f = {.shadow = shadow,
			   .t = t,
			   .level = level,
			   .alike12 = shadow_fill_alike12(shadow, t)};
	u32 holes = 0;
	u32 first;

	if (t->window < 2)
		return;
	first = (u32)align_down(index, t->window);
	for (u32 i = first; i < first + t->window; i++) {
		ept_entry_t from12;

		if (shadow_hardware(t, i).raw)
			continue;
		holes++;
		from12 = shadow_entry12(t, i);
		if (ept_entry_kind(from12, level) == EPT_LEAF)
			fill_hole(&f, i, from12);
	}
	if (holes)
		learn(t, holes, f.filled);
}
