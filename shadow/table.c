/* SPDX-License-Identifier: MIT */
/* Entries of shadow tables and their chains: see shadow/table.h. */
#include "shadow/table.h"

u32 *shadow_table_bucket(const struct shadow *shadow, u64 key)
{
	u64 hash = (key >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ULL;

	return &shadow->buckets[(hash >> 32) % shadow->bucket_count];
}

struct shadow_table *shadow_table_find(const struct shadow *shadow, u64 key)
{
	for (u32 number = *shadow_table_bucket(shadow, key); number;) {
		struct shadow_table *t = shadow_table_at(shadow, number);

		if (t->key == key)
			return t;
		number = t->bucket_next;
	}
	return NULL;
}

/* --- Chains -------------------------------------------------------------- */

u32 *shadow_leaf_head(const struct shadow *shadow, gpa_t address,
		      enum ept_level level)
{
	u64 page = gpa_page(address);

	if (level == EPT_4K)
		return &shadow->page_heads[page];
	return level == EPT_2M
		   ? &shadow->heads_2m[page / EPT_ENTRIES]
		   : &shadow->heads_1g[page / EPT_ENTRIES / EPT_ENTRIES];
}

/* The chain that entry `index`, no hole, is in. */
static u32 *chain_of(const struct shadow *shadow, struct shadow_table *t,
		     u32 index)
{
	if (shadow_entry_kind(t, index) == EPT_TABLE)
		return &shadow_entry_table(t, index)->parents;
	return shadow_leaf_head(shadow, ept12_address(t->copy[index]),
				shadow_table_level(t));
}

static struct shadow_link *link_at(const struct shadow *shadow, u32 link)
{
	return &shadow_link_table(shadow, link)->links[shadow_link_index(link)];
}

static void chain_add(struct shadow *shadow, struct shadow_table *t, u32 index)
{
	u32 *head = chain_of(shadow, t, index);
	u32 link = shadow_link_to(t, index);

	t->links[index] = (struct shadow_link){.next = *head};
	if (*head)
		link_at(shadow, *head)->previous = link;
	*head = link;
	shadow->entry_count++;
}

static void chain_remove(struct shadow *shadow, struct shadow_table *t,
			 u32 index)
{
	struct shadow_link *link = &t->links[index];

	if (link->previous)
		link_at(shadow, link->previous)->next = link->next;
	else
		*chain_of(shadow, t, index) = link->next;
	if (link->next)
		link_at(shadow, link->next)->previous = link->previous;
	shadow->entry_count--;
}

/* --- Entries ------------------------------------------------------------- */

/*
 * A way that is cut is counted after the flush for it is owed: a vCPU that has
 * seen the count flushes before it enters.
 */
static void owe_for_way(struct shadow *shadow, struct shadow_table *t)
{
	shadow_owe(shadow);
	if (shadow_is_by_d(shadow, t))
		__atomic_add_fetch(&shadow->cuts, 1, __ATOMIC_SEQ_CST);
}

/* What has been logged, or may still be written, by a leaf that goes. */
static void mark_gone(struct shadow *shadow, const struct shadow_table *t,
		      u32 index)
{
	if (shadow_is_by_d(shadow, t) && shadow_table_level(t) == EPT_4K &&
	    (shadow_hardware(t, index).raw & EPT_W))
		dirty_log_mark(&shadow->config.memory->log,
			       ept12_address(t->copy[index]));
}

void shadow_entry_drop(struct shadow *shadow, struct shadow_table *t, u32 index)
{
	bool was_way;

	if (!shadow_hardware(t, index).raw)
		return;
	was_way = shadow_entry_kind(t, index) == EPT_TABLE;
	mark_gone(shadow, t, index);
	chain_remove(shadow, t, index);
	ept_write(&t->hardware[index], (ept_entry_t){0});
	if (was_way)
		owe_for_way(shadow, t);
	else
		shadow_owe(shadow);
}

/*
 * From one entry to another that leads to the same place: what is added owes
 * no flush.
 */
static void change_in_place(struct shadow *shadow, struct shadow_table *t,
			    u32 index, ept_entry_t entry)
{
	u64 lost = shadow_hardware(t, index).raw & ~entry.raw & EPT_RWX;

	ept_write(&t->hardware[index], entry);
	if (lost)
		owe_for_way(shadow, t);
}

static void put(struct shadow *shadow, struct shadow_table *t, u32 index,
		ept_entry_t entry, ept_entry_t from12)
{
	shadow_entry_drop(shadow, t, index);
	t->copy[index] = from12;
	if (!entry.raw)
		return;
	ept_write(&t->hardware[index], entry);
	chain_add(shadow, t, index);
}

/* Bits in which two entries that map the same memory may differ. */
#define IN_PLACE (EPT_RWX | EPT_MAY_WRITE | EPT_SHADOW_TAG)

void shadow_entry_put_leaf(struct shadow *shadow, struct shadow_table *t,
			   u32 index, ept_entry_t leaf, ept_entry_t from12)
{
	u64 differ = leaf.raw ^ shadow_hardware(t, index).raw;
	bool same_page = !((from12.raw ^ t->copy[index].raw) & EPT_ADDRESS);

	/* By D the CPU writes the leaf, too. */
	if (leaf.raw && shadow_hardware(t, index).raw &&
	    !(differ & ~IN_PLACE) && same_page && !shadow_is_by_d(shadow, t)) {
		change_in_place(shadow, t, index, leaf);
		t->copy[index] = from12;
	} else {
		put(shadow, t, index, leaf, from12);
	}
}

void shadow_entry_put_table(struct shadow *shadow, struct shadow_table *t,
			    u32 index, struct shadow_step step,
			    ept_entry_t from12)
{
	/* A is set, so that the CPU has nothing to write into our tables. */
	ept_entry_t entry = {hpa_raw(phys_of(step.child)) | step.rights |
			     EPT_A};
	u64 differ = entry.raw ^ shadow_hardware(t, index).raw;

	if (shadow_hardware(t, index).raw && !(differ & ~EPT_RWX)) {
		change_in_place(shadow, t, index, entry);
		t->copy[index] = from12;
	} else {
		put(shadow, t, index, entry, from12);
	}
}

void shadow_table_detach(struct shadow *shadow, struct shadow_table *t)
{
	while (t->parents)
		shadow_entry_drop(shadow, shadow_link_table(shadow, t->parents),
				  shadow_link_index(t->parents));
}

u64 shadow_flushed_up_to(const struct shadow *shadow)
{
	u64 oldest = SHADOW_OUTSIDE;

	for (u32 cpu = 0; cpu < shadow->config.cpu_count; cpu++) {
		u64 inside =
		    __atomic_load_n(&shadow->inside[cpu], __ATOMIC_SEQ_CST);

		if (inside < oldest)
			oldest = inside;
	}
	return oldest;
}

/* --- Lists --------------------------------------------------------------- */

void shadow_list_add(struct shadow *shadow, u32 *list, struct shadow_table *t)
{
	t->previous = 0;
	t->next = *list;
	if (t->next)
		shadow_table_at(shadow, t->next)->previous = t->number;
	*list = t->number;
}

void shadow_list_remove(struct shadow *shadow, u32 *list,
			struct shadow_table *t)
{
	if (t->previous)
		shadow_table_at(shadow, t->previous)->next = t->next;
	else
		*list = t->next;
	if (t->next)
		shadow_table_at(shadow, t->next)->previous = t->previous;
}
