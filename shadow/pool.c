/* SPDX-License-Identifier: MIT */
/*
 * Where shadow tables come from and where they go.
 *
 *	frame allocator --> free <--------- retired <-- evicted
 *	(up to the limit)    |    all CPUs have flushed    ^
 *			     +----> in use: found by key --+
 *
 * Tables are evicted only to make room; blocks are given back when the shadow
 * is destroyed. A few exist from the start, so that a fault can always be
 * handled: the way of one fault and a root for each vCPU.
 */
#include "lib/string.h"
#include "shadow/table.h"

#define WAY_TABLES 8 /* four levels; twice, for what waits to be flushed */

/* Twice what maps all of L1's memory in 4K pages, once. */
static u32 limit_for(const struct shadow_config *config)
{
	u64 least = WAY_TABLES + config->vcpu_count;
	u64 limit = config->table_limit;

	if (!limit)
		limit = 64 + 2 * (config->memory->bytes / PAGE_2M);
	if (limit > UINT32_MAX / EPT_ENTRIES - 1)
		limit = UINT32_MAX / EPT_ENTRIES - 1;
	return (u32)(limit < least ? least : limit);
}

static enum err make_table(struct shadow *shadow)
{
	struct shadow_table *t;
	hpa_t block;

	if (shadow->table_count == shadow->table_limit ||
	    frame_alloc_try(FRAME_16K, &block) != OK)
		return ERR_NO_MEMORY;
	t = phys_ptr(block);
	t->number = ++shadow->table_count;
	t->state = SHADOW_FREE;
	shadow->tables[t->number] = t;
	shadow_list_add(shadow, &shadow->free_list, t);
	return OK;
}

enum err shadow_pool_create(struct shadow *shadow)
{
	u64 pointers, bytes;

	shadow->table_limit = limit_for(&shadow->config);
	shadow->bucket_count = 2 * shadow->table_limit;
	pointers = (shadow->table_limit + 1) * sizeof(u64);
	bytes = pointers + shadow->bucket_count * sizeof(*shadow->buckets);
	shadow->lists_order = frame_order_for(bytes);
	if (shadow->lists_order >= FRAME_ORDERS)
		return ERR_RANGE;
	if (frame_alloc_zeroed(shadow->lists_order, "shadow EPT",
			       &shadow->lists) != OK)
		return ERR_NO_MEMORY;
	shadow->tables = phys_ptr(shadow->lists);
	shadow->buckets = (u32 *)phys_ptr(hpa_add(shadow->lists, pointers));
	while (shadow->table_count < WAY_TABLES + shadow->config.vcpu_count) {
		if (make_table(shadow) != OK) {
			shadow_pool_destroy(shadow);
			return ERR_NO_MEMORY;
		}
	}
	return OK;
}

void shadow_pool_destroy(struct shadow *shadow)
{
	for (u32 number = 1; number <= shadow->table_count; number++)
		frame_free(phys_of(shadow->tables[number]), FRAME_16K);
	frame_free(shadow->lists, shadow->lists_order);
}

/* --- Eviction ------------------------------------------------------------ */

static void bucket_remove(struct shadow *shadow, struct shadow_table *t)
{
	u32 *at = shadow_table_bucket(shadow, t->key);

	while (*at != t->number)
		at = &shadow_table_at(shadow, *at)->bucket_next;
	*at = t->bucket_next;
}

static void evict(struct shadow *shadow, struct shadow_table *t)
{
	shadow_table_detach(shadow, t);
	for (u32 i = 0; i < EPT_ENTRIES; i++)
		shadow_entry_drop(shadow, t, i);
	shadow_coherence_end(shadow, t);
	bucket_remove(shadow, t);
	t->state = SHADOW_RETIRED;
	t->retire_generation = shadow->generation;
	shadow_list_add(shadow, &shadow->retired_list, t);
	shadow->counts.evicted++;
}

static bool may_go(const struct shadow *shadow, const struct shadow_table *t)
{
	return t->state != SHADOW_FREE && t->state != SHADOW_RETIRED &&
	       !t->holds && t->stamp != shadow->stamp;
}

/* The second time round one is found, if there is any. */
static struct shadow_table *find_victim(struct shadow *shadow)
{
	for (u32 i = 0; i < 2 * shadow->table_count; i++) {
		struct shadow_table *t;

		shadow->clock = shadow->clock % shadow->table_count + 1;
		t = shadow_table_at(shadow, shadow->clock);
		if (may_go(shadow, t) && !t->recent)
			return t;
		t->recent = false;
	}
	return NULL;
}

/* --- Taking -------------------------------------------------------------- */

static void reclaim(struct shadow *shadow)
{
	u64 flushed = shadow_flushed_up_to(shadow);

	for (u32 number = shadow->retired_list; number;) {
		struct shadow_table *t = shadow_table_at(shadow, number);

		number = t->next;
		if (t->retire_generation > flushed)
			continue;
		shadow_list_remove(shadow, &shadow->retired_list, t);
		t->state = SHADOW_FREE;
		shadow_list_add(shadow, &shadow->free_list, t);
	}
}

static struct shadow_table *take_free(struct shadow *shadow)
{
	struct shadow_table *t;

	if (!shadow->free_list)
		return NULL;
	t = shadow_table_at(shadow, shadow->free_list);
	shadow_list_remove(shadow, &shadow->free_list, t);
	return t;
}

static struct shadow_table *take(struct shadow *shadow)
{
	struct shadow_table *victim;

	if (!shadow->free_list && shadow->retired_list)
		reclaim(shadow);
	if (!shadow->free_list && make_table(shadow) != OK &&
	    !shadow->retired_list) {
		victim = find_victim(shadow);
		if (victim) {
			evict(shadow, victim);
			reclaim(shadow);
		}
	}
	return take_free(shadow);
}

static struct shadow_table *make(struct shadow *shadow, u64 key)
{
	struct shadow_table *t = take(shadow);
	u32 *bucket = shadow_table_bucket(shadow, key);

	if (!t)
		return NULL;
	memset(t->hardware, 0, sizeof(t->hardware));
	t->key = key;
	/* Translations are found by their root's frame: here may be some from
	 * when it was the root of another VM's. */
	if (shadow_table_level(t) == EPT_TOP)
		shadow_owe(shadow);
	t->parents = 0;
	t->holds = 0;
	shadow_fill_forget(t);
	t->bucket_next = *bucket;
	*bucket = t->number;
	shadow_coherence_begin(shadow, t);
	shadow->counts.tables_made++;
	return t;
}

struct shadow_table *shadow_pool_get(struct shadow *shadow, u64 key)
{
	struct shadow_table *t = shadow_table_find(shadow, key);

	if (!t)
		t = make(shadow, key);
	if (!t)
		return NULL;
	/* Before anything that may evict another. */
	t->stamp = shadow->stamp;
	t->recent = true;
	if (t->state == SHADOW_SUSPENDED)
		shadow_coherence_resume(shadow, t);
	return t;
}
