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
static bool go_down(struct quick *q, const struct shadow_root *root)
{
	u64 address = ngpa_raw(q->access->address);
	struct shadow_table *t = root->table;

	q->rights = EPT_RWX;
	for (enum ept_level level = EPT_TOP; level > EPT_4K; level--) {
		u32 index = ept_index(address, level);
		ept_entry_t entry = shadow_hardware(t, index);
		ept_entry_t now;

		if (!t->memory || ept_entry_kind(entry, level) != EPT_TABLE)
			return false;
		now = ept_read(&t->memory[index]);
		if (now.raw != t->copy[index].raw || (now.raw & EPT_LARGE) ||
		    (q->ad && !(now.raw & EPT_A)))
			return false;
		q->rights &= now.raw;
		t->recent = true;
		t = shadow_entry_table(t, index);
	}
	q->t = t;
	q->index = ept_index(address, EPT_4K);
	t->recent = true;
	return t->memory != NULL;
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
static bool find_leaf(struct quick *q, ept_entry_t *leaf)
{
	const struct shadow_like *like = &q->t->like;
	gpa_t address = ept12_address(q->from12);
	ept_entry_t leaf01;
	enum ept_level level01;
	u64 inside;

	if (!like->leaf.raw ||
	    ((q->from12.raw ^ like->from12.raw) & like->alike12) ||
	    (q->needs & ~(like->leaf.raw & q->rights)) ||
	    ept_lookup(q->shadow->config.ept, address, &leaf01, &level01) !=
		OK ||
	    level01 != like->level01 ||
	    ((leaf01.raw ^ like->leaf01.raw) & SHADOW_ALIKE_01))
		return false;
	inside = gpa_raw(address) & (ept_level_bytes(level01) - 1);
	leaf->raw = (like->leaf.raw & ~EPT_ADDRESS) |
		    (leaf01.raw & EPT_ADDRESS) | inside;
	return true;
}

/* A and D in L1's leaf, and L1's log. */
static bool set_flags(const struct quick *q, struct ept12_log *log)
{
	if (q->seen.raw == q->from12.raw)
		return true;
	return ept12_set_leaf_flags(
	    &q->shadow->ept12,
	    &(struct ept12_leaf){shadow_table_base(q->t), q->index,
				 q->access->address, q->seen, q->from12},
	    log);
}

bool shadow_quick_fault(struct shadow *shadow, const struct shadow_root *root,
			const struct ept12_access *access,
			struct ept12_log *log, struct shadow_result *result)
{
	struct quick q = {.shadow = shadow,
			  .access = access,
			  .ad = ept12_has_ad(root->pointer),
			  .needs = access->qualification & EPT12_ACCESS};
	ept_entry_t leaf = {0};

	if (shadow->tracking || ept12_is_beyond(access->address) ||
	    !(access->qualification & EPT12_TRANSLATED) || !go_down(&q, root))
		return false;
	/* Read-only because it was tracked: L1 has nothing to do with it. */
	if ((shadow_hardware(q.t, q.index).raw & (EPT_MAY_WRITE | EPT_W)) ==
	    EPT_MAY_WRITE)
		return false;
	q.seen = ept_read(&q.t->memory[q.index]);
	if (!(q.seen.raw & EPT_RWX)) {
		*result = violation(&q);
		return true;
	}
	q.from12.raw = q.seen.raw;
	if (q.ad)
		q.from12.raw |= q.needs & EPT12_WRITE ? EPT_A | EPT_D : EPT_A;
	if (!find_leaf(&q, &leaf) || !set_flags(&q, log))
		return false;
	shadow_entry_put_leaf(shadow, q.t, q.index, leaf, q.from12);
	shadow->counts.filled++;
	if (q.t->window > 1)
		shadow_fill_around(shadow, q.t, q.index);
	*result = (struct shadow_result){.outcome = SHADOW_RESUME};
	return true;
}
