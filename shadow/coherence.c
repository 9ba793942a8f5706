/* SPDX-License-Identifier: MIT */
/*
 * Shadow tables and what L1 writes into its own: proven, open, suspended. See
 * "COHERENCE" in shadow/shadow.h.
 *
 *	          L1 writes                INVEPT
 *	proven -------------> open ------------------> suspended
 *	   ^                   ^                           |
 *	   |                   | not watched, or           | L2 comes by:
 *	   |                   | not yet flushed           | compare
 *	   +-------------------+---------------------------+
 *
 * A table that has differed several times in a row is not watched the next
 * time: what L1 changes again and again costs no exits, only comparisons.
 *
 * The order is: write-protect L1's page; all CPUs in the guest have flushed
 * since; compare. Only then nothing can be missed.
 */
#include "shadow/table.h"

static bool is_mirror_of(const struct shadow_table *t, gpa_t page)
{
	return !shadow_table_is_split(t) &&
	       gpa_equal(shadow_table_base(t), page);
}

/* --- Watching ------------------------------------------------------------ */

static void drop_chain(struct shadow *shadow, const u32 *head)
{
	while (*head)
		shadow_entry_drop(shadow, shadow_link_table(shadow, *head),
				  shadow_link_index(*head));
}

/* L2 must not write the page past EPT01. */
static void drop_leaves_of(struct shadow *shadow, gpa_t page)
{
	drop_chain(shadow, shadow_leaf_head(shadow, page, EPT_4K));
	drop_chain(shadow, shadow_leaf_head(shadow, page, EPT_2M));
	drop_chain(shadow, shadow_leaf_head(shadow, page, EPT_1G));
}

/* Before entries are read that L1 may be writing: INVEPT waits from here on. */
static void unsettle(struct shadow *shadow)
{
	__atomic_store_n(&shadow->unsettled, 1, __ATOMIC_SEQ_CST);
}

/* All that was begun has been done. */
static void settle(struct shadow *shadow)
{
	if (!shadow->open_list)
		__atomic_store_n(&shadow->unsettled, 0, __ATOMIC_RELEASE);
}

static void open(struct shadow *shadow, struct shadow_table *t)
{
	unsettle(shadow);
	t->state = SHADOW_OPEN;
	shadow_list_add(shadow, &shadow->open_list, t);
}

/* No table made from the page (there is one per level) counts as watched. */
static enum shadow_watch open_all(struct shadow *shadow, gpa_t page)
{
	u64 key = shadow_key_mirror(page, EPT_TOP, 0);
	enum shadow_watch was = SHADOW_NOT_WATCHED;

	for (u32 number = *shadow_table_bucket(shadow, key); number;) {
		struct shadow_table *t = shadow_table_at(shadow, number);

		number = t->bucket_next;
		if (!t->watched || !is_mirror_of(t, page))
			continue;
		t->watched = false;
		if (t->state == SHADOW_PROVEN)
			open(shadow, t);
		was = SHADOW_WAS_WATCHED;
	}
	return was;
}

static void watch(struct shadow *shadow, struct shadow_table *t)
{
	gpa_t page = shadow_table_base(t);
	enum flush flush;

	if (!t->memory || ept_watch(shadow->config.ept, page, &flush) != OK)
		return;
	drop_leaves_of(shadow, page);
	/* If others watch it, and it has ended, they have been hit. */
	if (!guest_mem_watch(shadow->config.memory, page))
		(void)open_all(shadow, page);
	if (flush == FLUSH_OWED)
		shadow_owe(shadow);
	t->watched = true;
	t->watch_generation = shadow->generation;
}

static void unwatch_page(struct shadow *shadow, gpa_t page)
{
	guest_mem_unwatch(shadow->config.memory, page);
	ept_unwatch(shadow->config.ept, page);
}

enum shadow_watch shadow_coherence_written(struct shadow *shadow, gpa_t page)
{
	enum shadow_watch was = open_all(shadow, page);

	if (was == SHADOW_WAS_WATCHED)
		unwatch_page(shadow, page);
	return was;
}

/* Unless another table is made from the same page. */
static void unwatch(struct shadow *shadow, struct shadow_table *t)
{
	gpa_t page = shadow_table_base(t);

	if (!t->watched)
		return;
	t->watched = false;
	for (u32 number = *shadow_table_bucket(shadow, t->key); number;) {
		const struct shadow_table *other =
		    shadow_table_at(shadow, number);

		if (other->watched && is_mirror_of(other, page))
			return;
		number = other->bucket_next;
	}
	unwatch_page(shadow, page);
}

/* --- Comparing ----------------------------------------------------------- */

static ept_entry_t read_entry(const struct shadow_table *t, u32 index)
{
	return ept_read(&t->memory[index]);
}

/* Did an entry differ that something was made from? */
static bool refresh_entry(struct shadow *shadow, struct shadow_table *t,
			  u32 index)
{
	ept_entry_t now = read_entry(t, index);

	if (now.raw == t->copy[index].raw)
		return false;
	if (!shadow_hardware(t, index).raw) {
		t->copy[index] = now;
		return false;
	}
	shadow_fill_entry(shadow, t, index, now);
	return true;
}

#define GROUP 8 /* entries that are compared at once */

static bool group_is_same(const ept_entry_t *memory, const ept_entry_t *copy)
{
	u64 differ = 0;

#pragma GCC unroll 8
	for (u32 i = 0; i < GROUP; i++)
		differ |= __atomic_load_n(&memory[i].raw, __ATOMIC_RELAXED) ^
			  copy[i].raw;
	return !differ;
}

static bool refresh(struct shadow *shadow, struct shadow_table *t)
{
	bool changed = false;

	shadow->counts.compared++;
	for (u32 first = 0; first < EPT_ENTRIES; first += GROUP) {
		if (group_is_same(&t->memory[first], &t->copy[first]))
			continue;
		for (u32 i = first; i < first + GROUP; i++)
			changed |= refresh_entry(shadow, t, i);
	}
	return changed;
}

/* --- States -------------------------------------------------------------- */

/* Times in a row that a table has differed and is still worth watching. */
#define CHANGES_MAX 2

/* The table's entries become what L1's are. */
static void compare(struct shadow *shadow, struct shadow_table *t)
{
	bool proven;

	unsettle(shadow);
	if (!t->watched && t->changes < CHANGES_MAX)
		watch(shadow, t);
	proven =
	    t->watched && shadow_flushed_up_to(shadow) >= t->watch_generation;
	if (!refresh(shadow, t))
		t->changes = 0;
	else if (t->changes < CHANGES_MAX)
		t->changes++;
	if (proven)
		t->state = SHADOW_PROVEN;
	else
		open(shadow, t);
	settle(shadow);
}

void shadow_coherence_begin(struct shadow *shadow, struct shadow_table *t)
{
	t->watched = false;
	t->changes = 0;
	t->memory = NULL;
	if (!shadow_table_is_split(t))
		t->memory = guest_mem_ptr(shadow->config.memory,
					  shadow_table_base(t), PAGE_4K);
	t->in_ram = t->memory && guest_mem_is_ram(shadow->config.memory,
						  shadow_table_base(t));
	t->state = SHADOW_PROVEN;
	if (!t->memory)
		return;
	watch(shadow, t);
	if (!t->watched || shadow_flushed_up_to(shadow) < t->watch_generation)
		open(shadow, t);
}

void shadow_coherence_end(struct shadow *shadow, struct shadow_table *t)
{
	if (t->state == SHADOW_OPEN)
		shadow_list_remove(shadow, &shadow->open_list, t);
	unwatch(shadow, t);
}

void shadow_coherence_resume(struct shadow *shadow, struct shadow_table *t)
{
	shadow_fill_forget(t);
	compare(shadow, t);
}

enum shadow_watch shadow_table_written(struct shadow *shadow, gpa_t address)
{
	gpa_t page = gpa(align_down(gpa_raw(address), PAGE_4K));
	enum shadow_watch was;

	spin_lock(&shadow->lock);
	was = shadow_coherence_written(shadow, page);
	if (was == SHADOW_WAS_WATCHED)
		shadow->counts.watch_exits++;
	spin_unlock(&shadow->lock);
	return was;
}

static bool table_is_behind(const struct shadow_table *t)
{
	for (u32 i = 0; i < EPT_ENTRIES; i++)
		if (shadow_hardware(t, i).raw &&
		    read_entry(t, i).raw != t->copy[i].raw)
			return true;
	return false;
}

bool shadow_is_behind(struct shadow *shadow)
{
	bool is_behind = false;

	spin_lock(&shadow->lock);
	for (u32 number = shadow->open_list; number && !is_behind;) {
		const struct shadow_table *t = shadow_table_at(shadow, number);

		is_behind = table_is_behind(t);
		number = t->next;
	}
	spin_unlock(&shadow->lock);
	return is_behind;
}

/* --- INVEPT -------------------------------------------------------------- */

/* Umbra itself has written a watched page: rare, so all are looked at. */
static void find_hits(struct shadow *shadow)
{
	u64 hits = guest_mem_watch_hits(shadow->config.memory);

	if (likely(hits == shadow->watch_hits))
		return;
	__atomic_store_n(&shadow->watch_hits, hits, __ATOMIC_RELEASE);
	for (u32 number = 1; number <= shadow->table_count; number++) {
		struct shadow_table *t = shadow_table_at(shadow, number);

		if (t->state != SHADOW_FREE && t->state != SHADOW_RETIRED &&
		    t->watched &&
		    !guest_mem_is_watched(shadow->config.memory,
					  shadow_table_base(t)))
			shadow_coherence_written(shadow, shadow_table_base(t));
	}
}

static void suspend(struct shadow *shadow, struct shadow_table *t)
{
	shadow_list_remove(shadow, &shadow->open_list, t);
	t->state = SHADOW_SUSPENDED;
	if (t->holds || shadow_is_by_d(shadow, t)) {
		/* Nothing leads to a root that a vCPU may walk, and what leads
		 * to leaves by D is not cut: now. */
		compare(shadow, t);
		return;
	}
	shadow_table_detach(shadow, t);
	shadow->counts.suspended++;
}

void shadow_invalidate(struct shadow *shadow)
{
	u32 number;

	spin_lock(&shadow->lock);
	shadow->counts.invalidations++;
	unsettle(shadow);
	find_hits(shadow);
	for (number = shadow->open_list; number;) {
		struct shadow_table *t = shadow_table_at(shadow, number);

		/* Read before: what stays open goes to the list's head. */
		number = t->next;
		suspend(shadow, t);
	}
	settle(shadow);
	spin_unlock(&shadow->lock);
}
