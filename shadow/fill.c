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

ept_entry_t shadow_entry12(const struct shadow_table *t, u32 index)
{
	enum ept_level level = shadow_table_level(t);
	u64 offset = index * ept_level_bytes(level);
	u64 raw;

	if (t->memory)
		return ept_read(&t->memory[index]);
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

	if (!t->hardware[index].raw || shadow_entry_kind(t, index) != EPT_TABLE)
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

/*
 * Where L2 has come once it comes again, and then not to one page only: of few
 * entries at first, of the whole table at the third fault.
 */
static u32 window_of(struct shadow_table *t)
{
	static const u32 sizes[] = {16, 64, EPT_ENTRIES};
	u32 count = t->fault_count;

	if (count < ARRAY_COUNT(sizes) - 1)
		t->fault_count++;
	return sizes[count];
}

void shadow_fill_around(struct shadow *shadow, struct shadow_table *t,
			u32 index)
{
	u32 size = window_of(t);
	u32 first = (u32)align_down(index, size);

	for (u32 i = first; i < first + size; i++) {
		ept_entry_t from12;

		if (t->hardware[i].raw)
			continue;
		from12 = shadow_entry12(t, i);
		if (ept_entry_kind(from12, shadow_table_level(t)) == EPT_LEAF)
			shadow_fill_entry(shadow, t, i, from12);
	}
}
