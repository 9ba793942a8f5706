/* SPDX-License-Identifier: MIT */
/*
 * The quick way of a fault: its table exists, all above it is as L1 has it, and
 * its leaf is like the last one that was made there. Most faults of an L2 that
 * touches page after page are so.
 *
 *	L1's leaf	alike in all that a leaf depends on (T->like.from12)
 *	EPT01's leaf	alike (T->like.leaf01, T->like.level01)
 *			-> the same leaf with another frame
 *
 * The way down is kept for the next fault. Shadow entries on it lead where they
 * did while the generation is the same: who cuts one, or takes rights from it,
 * owes a flush.
 *
 * Everything is looked at before anything is changed; what is not so goes the
 * slow way, which does not know that it was tried. Not while tracking.
 */
#include "shadow/table.h"

struct quick {
	struct shadow *shadow;
	const struct ept12_access *access;
	bool ad;
	u64 needs;
	/* Where the way down ends, and what is granted there. */
	struct shadow_table *t;
	u32 index;
	u64 rights;
	/* L1's leaf as it is, and as it will be. */
	ept_entry_t seen, from12;
};

/* Down along tables whose entries are what they were made from. */
static NOINLINE bool find_path(struct shadow *shadow, struct shadow_root *root,
			       u64 address)
{
	struct shadow_path *path = &root->path;
	struct shadow_table *t = root->table;

	*path = (struct shadow_path){.rights = EPT_RWX};
	for (enum ept_level level = EPT_TOP; level > EPT_4K; level--) {
		u32 index = ept_index(address, level);
		ept_entry_t entry = shadow_hardware(t, index);
		ept_entry_t now;

		if (!t->memory || ept_entry_kind(entry, level) != EPT_TABLE)
			return false;
		now = ept_read(&t->memory[index]);
		if (now.raw != t->copy[index].raw || (now.raw & EPT_LARGE) ||
		    (ept12_has_ad(root->pointer) && !(now.raw & EPT_A)))
			return false;
		path->at[EPT_TOP - level] = &t->memory[index];
		path->value[EPT_TOP - level] = now.raw;
		path->rights &= now.raw;
		t->recent = true;
		t = shadow_entry_table(t, index);
	}
	if (!t->memory)
		return false;
	path->t = t;
	path->region = address / PAGE_2M;
	path->generation = shadow->generation;
	return true;
}

/* Is the way of the last fault this one's, and as it was? */
static ALWAYS_INLINE bool is_path(const struct shadow *shadow,
				  const struct shadow_path *path, u64 address)
{
	u64 differ = 0;

	if (path->region != address / PAGE_2M ||
	    path->generation != shadow->generation)
		return false;
#pragma GCC unroll 3
	for (u32 i = 0; i < EPT_TOP - 1; i++)
		differ |= ept_read(path->at[i]).raw ^ path->value[i];
	return !differ;
}

static ALWAYS_INLINE bool go_down(struct quick *q, struct shadow_root *root)
{
	u64 address = ngpa_raw(q->access->address);

	if (unlikely(!is_path(q->shadow, &root->path, address)) &&
	    !find_path(q->shadow, root, address))
		return false;
	q->t = root->path.t;
	q->rights = root->path.rights;
	q->index = ept_index(address, EPT_4K);
	q->t->recent = true;
	return true;
}

/* Nothing is mapped there: L1's to handle. */
static struct shadow_result violation(const struct quick *q)
{
	const u64 kept =
	    EPT12_LINEAR_VALID | EPT12_TRANSLATED | EPT12_NMI_UNBLOCKING;

	return (struct shadow_result){
	    .outcome = SHADOW_VIOLATION,
	    .qualification = q->needs | (q->access->qualification & kept),
	};
}

/* The leaf, if it is like the last one and grants what is needed. */
static ALWAYS_INLINE bool find_leaf(const struct quick *q, ept_entry_t *leaf)
{
	const struct shadow_like *like = &q->t->like;
	u64 address = gpa_raw(ept12_address(q->from12));
	struct ept_spot spot;
	u64 inside;

	if (!like->leaf.raw ||
	    ((q->from12.raw ^ like->from12.raw) & like->alike12) ||
	    (q->needs & ~(like->leaf.raw & q->rights)) || address >= EPT12_SPAN)
		return false;
	spot = ept_walk(q->shadow->config.ept->root, address, EPT_4K);
	if (spot.level != like->level01 ||
	    ((spot.entry.raw ^ like->leaf01.raw) & SHADOW_ALIKE_01))
		return false;
	inside = address & (ept_level_bytes(spot.level) - 1);
	leaf->raw = (like->leaf.raw & ~EPT_ADDRESS) |
		    (spot.entry.raw & EPT_ADDRESS) | inside;
	return true;
}

/* A and D in L1's leaf, and L1's log. */
static ALWAYS_INLINE bool set_flags(const struct quick *q,
				    struct ept12_log *log)
{
	const struct shadow_table *t = q->t;
	const struct guest_mem_spot spot = {
	    gpa_add(shadow_table_base(t), q->index * sizeof(u64)),
	    &t->memory[q->index].raw};
	bool logs = log->on && (q->from12.raw & ~q->seen.raw & EPT_D);

	if (q->seen.raw == q->from12.raw)
		return true;
	if (!t->in_ram || (logs && ept12_log_is_full(log)) ||
	    guest_mem_swap_unseen_spot(q->shadow->config.memory, spot,
				       q->seen.raw, q->from12.raw) != OK)
		return false;
	if (logs)
		ept12_log_write(&q->shadow->ept12, q->access->address, log);
	return true;
}

static ALWAYS_INLINE enum shadow_quick
quick_fault(struct shadow *shadow, struct shadow_root *root,
	    const struct ept12_access *access, struct ept12_log *log,
	    struct shadow_result *result)
{
	struct quick q = {.shadow = shadow,
			  .access = access,
			  .ad = ept12_has_ad(root->pointer),
			  .needs = access->qualification & EPT12_ACCESS};
	ept_entry_t leaf = {0};
	ept_entry_t before;

	if (shadow->tracking || ept12_is_beyond(access->address) ||
	    !(access->qualification & EPT12_TRANSLATED) || !go_down(&q, root))
		return SHADOW_QUICK_NO;
	before = shadow_hardware(q.t, q.index);
	/* Read-only because it was tracked: L1 has nothing to do with it. */
	if ((before.raw & (EPT_MAY_WRITE | EPT_W)) == EPT_MAY_WRITE)
		return SHADOW_QUICK_NO;
	q.seen = ept_read(&q.t->memory[q.index]);
	if (!(q.seen.raw & EPT_RWX)) {
		*result = violation(&q);
		return SHADOW_QUICK_RESULT;
	}
	q.from12.raw = q.seen.raw;
	if (q.ad)
		q.from12.raw |= q.needs & EPT12_WRITE ? EPT_A | EPT_D : EPT_A;
	if (!find_leaf(&q, &leaf) || !set_flags(&q, log))
		return SHADOW_QUICK_NO;
	if (before.raw) {
		shadow_entry_put_leaf(shadow, q.t, q.index, leaf, q.from12);
	} else {
		u64 page = gpa_page(ept12_address(q.from12));

		shadow_entry_fill(q.t, q.index, leaf, q.from12);
		shadow_entry_chain(shadow, q.t, q.index,
				   &shadow->page_heads[page]);
	}
	shadow->counts.filled++;
	if (q.t->window > 1)
		shadow_fill_around(shadow, q.t, q.index);
	return SHADOW_QUICK_RESUME;
}

enum shadow_quick shadow_fault_quickly(struct shadow *shadow,
				       struct shadow_root *root,
				       const struct ept12_access *access,
				       struct ept12_log *log,
				       struct shadow_result *result)
{
	enum shadow_quick done;

	spin_lock(&shadow->lock);
	done = quick_fault(shadow, root, access, log, result);
	if (unlikely(done == SHADOW_QUICK_NO) &&
	    shadow_fix_fast(shadow, root, access))
		done = SHADOW_QUICK_RESUME;
	shadow->counts.faults += done != SHADOW_QUICK_NO;
	spin_unlock(&shadow->lock);
	return done;
}
