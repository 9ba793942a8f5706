/* SPDX-License-Identifier: MIT */
/* The shadow EPT as a whole, and its faults: see shadow/shadow.h. */
#include "shadow/shadow.h"
#include "lib/string.h"
#include "shadow/table.h"

/* EPT pointer (SDM section "Extended-Page-Table Pointer (EPTP)"). */
#define EPTP_TYPE        BITS(2, 0)
#define EPTP_WALK_LENGTH BITS(5, 3) /* levels - 1 */
#define EPTP_AD          BIT(6)

/* --- Beginning and end --------------------------------------------------- */

static enum err make_heads(struct shadow *shadow)
{
	u64 pages = gpa_page(dirty_log_end(&shadow->config.memory->log));
	u64 pages_2m = pages / EPT_ENTRIES + 1;
	u64 pages_1g = pages_2m / EPT_ENTRIES + 1;
	u64 bytes = (pages + pages_2m + pages_1g) * sizeof(u32);

	shadow->heads_order = frame_order_for(bytes);
	if (shadow->heads_order >= FRAME_ORDERS)
		return ERR_RANGE;
	if (frame_alloc_zeroed(shadow->heads_order, "shadow EPT",
			       &shadow->heads) != OK)
		return ERR_NO_MEMORY;
	shadow->page_heads = phys_ptr(shadow->heads);
	shadow->heads_2m = shadow->page_heads + pages;
	shadow->heads_1g = shadow->heads_2m + pages_2m;
	return OK;
}

enum err shadow_create(struct shadow *shadow,
		       const struct shadow_config *config)
{
	enum err err;

	/* A CPU that is not looked at would not be waited for. */
	CHECK(config->cpu_count && config->cpu_count <= SHADOW_CPUS);
	memset(shadow, 0, sizeof(*shadow));
	shadow->config = *config;
	shadow->ept12 = (struct ept12){config->memory, config->offered};
	for (u32 cpu = 0; cpu < SHADOW_CPUS; cpu++)
		shadow->inside[cpu] = SHADOW_OUTSIDE;
	/* A CPU that has flushed up to 0 has not flushed. */
	shadow->generation = 1;
	if (!config->memory->watched) {
		err = guest_mem_watch_create(config->memory);
		if (err != OK)
			return err;
	}
	err = make_heads(shadow);
	if (err != OK)
		return err;
	err = shadow_pool_create(shadow);
	if (err != OK)
		frame_free(shadow->heads, shadow->heads_order);
	return err;
}

void shadow_destroy(struct shadow *shadow)
{
	shadow_pool_destroy(shadow);
	frame_free(shadow->heads, shadow->heads_order);
	memset(shadow, 0, sizeof(*shadow));
}

/* --- Roots --------------------------------------------------------------- */

static u64 key_ad(u64 pointer)
{
	return ept12_has_ad(pointer) ? SHADOW_KEY_AD : 0;
}

enum err shadow_root_hold(struct shadow *shadow, u64 pointer,
			  struct shadow_root *root)
{
	gpa_t base = gpa(pointer & EPT12_POINTER_TABLE);
	struct shadow_table *t;

	spin_lock(&shadow->lock);
	shadow->stamp++;
	t = shadow_pool_get(shadow,
			    shadow_key_mirror(base, EPT_TOP, key_ad(pointer)));
	if (t)
		t->holds++;
	spin_unlock(&shadow->lock);
	if (!t)
		return ERR_BUSY;
	*root = (struct shadow_root){.pointer = pointer, .table = t};
	return OK;
}

void shadow_root_release(struct shadow *shadow, struct shadow_root *root)
{
	if (!root->table)
		return;
	spin_lock(&shadow->lock);
	root->table->holds--;
	spin_unlock(&shadow->lock);
	*root = (struct shadow_root){0};
}

enum err shadow_root_switch(struct shadow *shadow, u64 pointer,
			    struct shadow_root *root)
{
	struct shadow_root next;
	enum err err = shadow_root_hold(shadow, pointer, &next);

	if (err != OK)
		return err;
	shadow_root_release(shadow, root);
	*root = next;
	return OK;
}

u64 shadow_root_pointer(const struct shadow *shadow,
			const struct shadow_root *root)
{
	const struct ept_format *format = &shadow->config.ept->format;
	u64 pointer = hpa_raw(phys_of(root->table));
	bool ad = ept12_has_ad(root->pointer);

	if (shadow->config.walks == SHADOW_WALKS_ARE_WRITES_WHILE_TRACKING &&
	    shadow_is_tracking(shadow))
		ad = true;
	pointer = bits_set(pointer, EPTP_TYPE,
			   format->uncacheable_tables ? EPT_UC : EPT_WB);
	pointer = bits_set(pointer, EPTP_WALK_LENGTH, EPT_TOP - 1);
	return ad && format->accessed_dirty ? pointer | EPTP_AD : pointer;
}

/* --- Entering the guest --------------------------------------------------- */

u64 shadow_enter(struct shadow *shadow, u32 cpu, enum flush *flush)
{
	u64 generation;

	do {
		generation =
		    __atomic_load_n(&shadow->generation, __ATOMIC_SEQ_CST);
		/* Said before it is looked at again: see shadow_leave. */
		__atomic_exchange_n(&shadow->inside[cpu], generation,
				    __ATOMIC_SEQ_CST);
	} while (generation !=
		 __atomic_load_n(&shadow->generation, __ATOMIC_SEQ_CST));
	*flush = shadow->flushed[cpu] == generation ? FLUSH_NONE : FLUSH_OWED;
	shadow->flushed[cpu] = generation;
	return generation;
}

/* --- One fault ----------------------------------------------------------- */

/* Everything that one fault is about. */
struct fault {
	struct shadow *shadow;
	const struct shadow_root *root;
	const struct ept12_access *access;
	struct ept12_log *log;
	struct ept12_walk walk;
	/* Where the shadow's own walk stands, at walk.level. */
	struct shadow_table *at;
};

static u32 index_at(const struct fault *f, enum ept_level level)
{
	return ept_index(ngpa_raw(f->walk.from), level);
}

/*
 * Goes down as far as shadow tables say what L1's tables say at this moment.
 * Most faults end in a table that exists. Returns L1's entry that it stops at.
 */
static ept_entry_t descend(struct fault *f)
{
	struct ept12_walk *walk = &f->walk;
	struct shadow_table *t = f->root->table;
	enum ept_level level = EPT_TOP;
	ept_entry_t now;

	for (;;) {
		u32 index = index_at(f, level);
		ept_entry_t entry = shadow_hardware(t, index);

		now = shadow_entry12(t, index);
		t->stamp = f->shadow->stamp;
		t->recent = true;
		/* Large: a table in the place of a leaf of L1's. */
		if (ept_entry_kind(entry, level) != EPT_TABLE ||
		    now.raw != t->copy[index].raw || (now.raw & EPT_LARGE))
			break;
		walk->entries[level] = now;
		walk->rights &= now.raw;
		t = phys_ptr(ept_entry_address(entry));
		walk->tables[--level] = shadow_table_base(t);
	}
	walk->level = level;
	f->at = t;
	return now;
}

/* The walk through L1's tables, to its end. */
static void walk12(struct fault *f)
{
	ept12_begin(&f->walk, f->root->pointer, f->access);
	if (ept12_is_beyond(f->walk.from))
		f->walk.outcome = EPT12_VIOLATION;
	else
		ept12_walk_from(&f->shadow->ept12, &f->walk, descend(f));
}

static struct shadow_result resume(void)
{
	return (struct shadow_result){.outcome = SHADOW_RESUME};
}

static ALWAYS_INLINE void mark_leaf(struct shadow *shadow,
				    const struct shadow_table *t, u32 index)
{
	dirty_log_mark(&shadow->config.memory->log,
		       ept12_address(t->copy[index]));
}

/* Makes a leaf writable: writable first, mark second. */
static ALWAYS_INLINE void fix_leaf(struct shadow *shadow,
				   struct shadow_table *t, u32 index)
{
	ept_write(&t->hardware[index],
		  (ept_entry_t){shadow_hardware(t, index).raw | EPT_W});
	if (!shadow->tracking)
		return;
	mark_leaf(shadow, t, index);
	shadow->counts.marked++;
}

/* Does a leaf lack W for tracking alone? */
static inline bool is_tracked(ept_entry_t leaf)
{
	return (leaf.raw & (EPT_MAY_WRITE | EPT_W)) == EPT_MAY_WRITE;
}

/* Tracking has ended: all leaves of the table get back what they may have. */
static void relax_table(struct shadow_table *t)
{
	for (u32 i = 0; i < EPT_ENTRIES; i++) {
		ept_entry_t entry = shadow_hardware(t, i);

		if (is_tracked(entry))
			ept_write(&t->hardware[i],
				  (ept_entry_t){entry.raw | EPT_W});
	}
}

/* Where the CPU's walk ends, and which rights it has there. */
struct end {
	struct shadow_table *t;
	u32 index;
	u64 rights;
};

static bool find_4k_leaf(const struct shadow_root *root, u64 address,
			 struct end *end)
{
	*end = (struct end){.t = root->table, .rights = EPT_RWX};
	for (enum ept_level level = EPT_TOP;; level--) {
		ept_entry_t entry;

		end->index = ept_index(address, level);
		entry = shadow_hardware(end->t, end->index);
		if (level == EPT_4K)
			return entry.raw != 0;
		end->rights &= entry.raw;
		if (ept_entry_kind(entry, level) != EPT_TABLE)
			return false;
		end->t = phys_ptr(ept_entry_address(entry));
	}
}

/*
 * A write to a leaf that lacks W for tracking alone: L1's tables are not looked
 * at, as a CPU would not that had the translation in its TLB.
 */
bool shadow_fix_fast(struct shadow *shadow, const struct shadow_root *root,
		     const struct ept12_access *access)
{
	u64 needs = access->qualification & (EPT12_WRITE | EPT12_FETCH);
	struct end end;
	ept_entry_t leaf;

	if (needs != EPT12_WRITE || ept12_is_beyond(access->address) ||
	    !find_4k_leaf(root, ngpa_raw(access->address), &end) ||
	    !(end.rights & EPT_W))
		return false;
	leaf = shadow_hardware(end.t, end.index);
	if (!is_tracked(leaf))
		return false;
	/* What was split for tracking becomes large again by the slow way. */
	if (!shadow->tracking && shadow_table_is_split(end.t))
		return false;
	fix_leaf(shadow, end.t, end.index);
	if (!shadow->tracking)
		relax_table(end.t);
	shadow->counts.fast_fixes++;
	return true;
}

static NOINLINE bool find_last(struct shadow *shadow, struct shadow_root *root,
			       u64 address)
{
	struct end end;

	if (address >= EPT12_SPAN || !find_4k_leaf(root, address, &end) ||
	    !(end.rights & EPT_W))
		return false;
	root->last_fix = (struct shadow_last_fix){
	    .t = end.t,
	    .region = address / PAGE_2M,
	    .generation = shadow->generation,
	};
	return true;
}

static ALWAYS_INLINE bool is_near(const struct shadow *shadow,
				  const struct shadow_last_fix *last,
				  u64 address)
{
	return last->region == address / PAGE_2M &&
	       last->generation == shadow->generation;
}

/* As shadow_fix_fast. Neighbours mostly follow one another. */
bool shadow_fix_tracked(struct shadow *shadow, struct shadow_root *root,
			ngpa_t address)
{
	u64 at = ngpa_raw(address);
	bool fixed = false;
	u32 index = ept_index(at, EPT_4K);

	spin_lock(&shadow->lock);
	if (likely(shadow->tracking) &&
	    (likely(is_near(shadow, &root->last_fix, at)) ||
	     find_last(shadow, root, at)) &&
	    is_tracked(shadow_hardware(root->last_fix.t, index))) {
		fix_leaf(shadow, root->last_fix.t, index);
		shadow->counts.faults++;
		shadow->counts.fast_fixes++;
		fixed = true;
	}
	spin_unlock(&shadow->lock);
	return fixed;
}

/* --- The slow way: L1's tables have been walked --------------------------- */

enum made {
	MADE,
	MADE_NOTHING_BUSY,  /* no table */
	MADE_NOTHING_AGAIN, /* L1's entries have changed */
	MADE_NOTHING_THERE, /* EPT01 does not allow it */
};

/*
 * The table for the next lower level of L1's, linked. It may be watched only
 * since now, so that the entry there has to be looked at again.
 */
static enum made step_down(struct fault *f)
{
	enum ept_level below = shadow_table_level(f->at) - 1;
	ept_entry_t entry = f->walk.entries[below + 1];
	struct shadow_step step = {.rights = entry.raw & EPT_RWX};

	step.child = shadow_pool_get(
	    f->shadow, shadow_key_mirror(f->walk.tables[below], below,
					 key_ad(f->walk.pointer)));
	if (!step.child)
		return MADE_NOTHING_BUSY;
	shadow_entry_put_table(f->shadow, f->at, index_at(f, below + 1), step,
			       entry);
	f->at = step.child;
	if (shadow_entry12(f->at, index_at(f, below)).raw !=
	    f->walk.entries[below].raw)
		return MADE_NOTHING_AGAIN;
	return MADE;
}

/* A table for one large leaf of L1's that must be smaller here. */
static enum made step_into_leaf(struct fault *f, struct shadow_parts *parts)
{
	enum ept_level level = parts->level12;
	ept_entry_t leaf12 = parts->leaf12;
	u64 ad = key_ad(f->walk.pointer);
	gpa_t base =
	    gpa(align_down(gpa_raw(f->walk.to), ept_level_bytes(level)));
	struct shadow_step step = {.rights = shadow_rights12(parts)};

	step.child = shadow_pool_get(
	    f->shadow, shadow_key_split(base, level - 1, leaf12, ad));
	if (!step.child)
		return MADE_NOTHING_BUSY;
	shadow_entry_put_table(f->shadow, f->at, index_at(f, level), step,
			       leaf12);
	f->at = step.child;
	parts->level12 = level - 1;
	parts->leaf12 = shadow_entry12(f->at, index_at(f, level - 1));
	return MADE;
}

/* The parts of the leaf that the walk has ended at, as f->at has it. */
static struct shadow_page page_of(const struct fault *f, ept_entry_t leaf12)
{
	return (struct shadow_page){
	    .address = f->walk.to,
	    .parts = {.leaf12 = leaf12,
		      .level12 = shadow_table_level(f->at),
		      .ad = ept12_has_ad(f->walk.pointer),
		      .tracking = f->shadow->tracking,
		      .by_d = f->shadow->by_d && ept12_has_ad(f->walk.pointer),
		      .format01 = &f->shadow->config.ept->format},
	};
}

/*
 * A write to a page that holds a table of L1's: that is watched no more. The
 * page may have got W in EPT01 by this.
 */
static enum err find_page(struct fault *f, struct shadow_page *page)
{
	gpa_t at = gpa(align_down(gpa_raw(page->address), PAGE_4K));
	enum err err = shadow_page_find(f->shadow, page);

	if (err == OK && (f->walk.access & EPT12_WRITE) &&
	    !(page->parts.leaf01.raw & EPT_MAY_WRITE) &&
	    shadow_coherence_written(f->shadow, at) == SHADOW_WAS_WATCHED)
		err = shadow_page_find(f->shadow, page);
	return err;
}

/* For the next one: shadow/quick.c. */
static void remember(const struct fault *f, const struct shadow_parts *parts,
		     u32 index)
{
	if (parts->tracking || parts->level12 != EPT_4K)
		return;
	f->at->like = (struct shadow_like){
	    .alike12 = shadow_fill_alike12(f->shadow, f->at),
	    .from12 = parts->leaf12,
	    .leaf01 = parts->leaf01,
	    .leaf = shadow_hardware(f->at, index),
	    .level01 = parts->level01,
	};
}

static enum made make_leaf(struct fault *f)
{
	struct shadow_page page = page_of(f, f->walk.entries[f->walk.level]);
	struct shadow_parts *parts = &page.parts;
	u32 index;

	if (find_page(f, &page) != OK)
		return MADE_NOTHING_THERE;
	while (shadow_level(parts) < parts->level12) {
		enum made made = step_into_leaf(f, parts);

		if (made != MADE)
			return made;
	}
	index = index_at(f, parts->level12);
	shadow_entry_put_leaf(f->shadow, f->at, index,
			      shadow_page_leaf(&page, parts->level12),
			      parts->leaf12);
	f->shadow->counts.filled++;
	remember(f, parts, index);
	if (f->walk.access & ~shadow_rights(parts))
		return MADE_NOTHING_THERE;
	if ((f->walk.access & EPT12_WRITE) &&
	    !(shadow_hardware(f->at, index).raw & EPT_W))
		fix_leaf(f->shadow, f->at, index);
	shadow_fill_around(f->shadow, f->at, index);
	return MADE;
}

/* The walk has ended MAPPED, its flags are set. */
static enum made compose(struct fault *f)
{
	while (shadow_table_level(f->at) > f->walk.level) {
		enum made made = step_down(f);

		if (made != MADE)
			return made;
	}
	return make_leaf(f);
}

static struct shadow_result reflect(const struct ept12_walk *walk)
{
	static const enum shadow_outcome outcomes[] = {
	    [EPT12_VIOLATION] = SHADOW_VIOLATION,
	    [EPT12_MISCONFIGURED] = SHADOW_MISCONFIGURED,
	    [EPT12_LOG_FULL] = SHADOW_LOG_FULL,
	    [EPT12_CHANGING] = SHADOW_RESUME,
	};

	return (struct shadow_result){
	    .outcome = outcomes[walk->outcome],
	    .qualification = walk->qualification,
	};
}

/* One attempt; false: L1's tables have changed under it. */
static bool attempt(struct fault *f, struct shadow_result *result)
{
	walk12(f);
	if (f->walk.outcome == EPT12_MAPPED)
		ept12_set_flags(&f->shadow->ept12, &f->walk, f->log);
	*result = reflect(&f->walk);
	if (f->walk.outcome == EPT12_CHANGING)
		return false;
	if (f->walk.outcome != EPT12_MAPPED)
		return true;
	switch (compose(f)) {
	case MADE:
		*result = resume();
		return true;
	case MADE_NOTHING_BUSY:
		result->outcome = SHADOW_BUSY;
		return true;
	case MADE_NOTHING_THERE:
		result->outcome = SHADOW_DEVICE;
		result->address = f->walk.to;
		return true;
	case MADE_NOTHING_AGAIN:
		break;
	}
	return false;
}

/* After as many changes L2 tries again by itself. */
#define ATTEMPTS 4

static NOINLINE struct shadow_result
fault_slowly(struct shadow *shadow, const struct shadow_root *root,
	     const struct ept12_access *access, struct ept12_log *log)
{
	struct fault fault = {
	    .shadow = shadow, .root = root, .access = access, .log = log};
	struct shadow_result result = resume();

	shadow->stamp++;
	for (u32 i = 0; i < ATTEMPTS; i++)
		if (attempt(&fault, &result))
			break;
	return result;
}

struct shadow_result shadow_fault(struct shadow *shadow,
				  const struct shadow_root *root,
				  const struct ept12_access *access,
				  struct ept12_log *log)
{
	struct shadow_result result;

	spin_lock(&shadow->lock);
	shadow->counts.faults++;
	result = fault_slowly(shadow, root, access, log);
	spin_unlock(&shadow->lock);
	return result;
}

void shadow_prefault(struct shadow *shadow, const struct shadow_root *root,
		     const struct ept12_access *access)
{
	struct fault fault = {.shadow = shadow, .root = root, .access = access};

	spin_lock(&shadow->lock);
	shadow->stamp++;
	walk12(&fault);
	if (fault.walk.outcome == EPT12_MAPPED && ept12_has_flags(&fault.walk))
		(void)compose(&fault);
	spin_unlock(&shadow->lock);
}

/* --- EPT01 grants less ---------------------------------------------------- */

static void drop_chain(struct shadow *shadow, const u32 *head)
{
	while (*head)
		shadow_entry_drop(shadow, shadow_link_table(shadow, *head),
				  shadow_link_index(*head));
}

static void forget_level(struct shadow *shadow, enum ept_level level,
			 gpa_t base, gpa_t end)
{
	u64 bytes = ept_level_bytes(level);

	for (u64 at = align_down(gpa_raw(base), bytes); at < gpa_raw(end);
	     at += bytes)
		drop_chain(shadow, shadow_leaf_head(shadow, gpa(at), level));
}

void shadow_forget(struct shadow *shadow, gpa_t base, u64 bytes)
{
	gpa_t limit = dirty_log_end(&shadow->config.memory->log);
	gpa_t end = gpa_add(base, bytes);

	if (gpa_raw(base) >= gpa_raw(limit))
		return;
	if (bytes > gpa_raw(limit) - gpa_raw(base))
		end = limit;
	spin_lock(&shadow->lock);
	forget_level(shadow, EPT_4K, base, end);
	forget_level(shadow, EPT_2M, base, end);
	forget_level(shadow, EPT_1G, base, end);
	spin_unlock(&shadow->lock);
}

/* --- Dirty tracking ------------------------------------------------------ */

static void set_way(struct shadow *shadow, bool by_d)
{
	__atomic_store_n(&shadow->logs, by_d, __ATOMIC_RELEASE);
	__atomic_store_n(&shadow->by_d, by_d, __ATOMIC_RELEASE);
}

static void set_tracking(struct shadow *shadow, bool tracking, bool by_d)
{
	spin_lock(&shadow->lock);
	__atomic_store_n(&shadow->tracking, tracking, __ATOMIC_RELEASE);
	set_way(shadow, by_d);
	spin_unlock(&shadow->lock);
}

void shadow_track_start(struct shadow *shadow, enum shadow_way way)
{
	set_tracking(shadow, true, way == SHADOW_BY_D);
}

void shadow_track_stop(struct shadow *shadow)
{
	set_tracking(shadow, false, false);
}

/* All leaves by D become leaves by W. What was written by them is marked. */
static void arm_by_w(struct shadow *shadow, struct shadow_table *t)
{
	for (u32 i = 0; i < EPT_ENTRIES; i++) {
		u64 *raw = &t->hardware[i].raw;

		if (!(*raw & EPT_W))
			continue;
		if (__atomic_fetch_and(raw, ~EPT_W, __ATOMIC_SEQ_CST) & EPT_D)
			mark_leaf(shadow, t, i);
	}
}

void shadow_track_prepare(struct shadow *shadow)
{
	__atomic_store_n(&shadow->logs, true, __ATOMIC_RELEASE);
}

void shadow_track_switch(struct shadow *shadow, enum shadow_way way)
{
	spin_lock(&shadow->lock);
	for (u32 number = 1; number <= shadow->table_count; number++) {
		struct shadow_table *t = shadow_table_at(shadow, number);

		if (way == SHADOW_BY_W && shadow_is_by_d(shadow, t) &&
		    shadow_table_level(t) == EPT_4K)
			arm_by_w(shadow, t);
	}
	shadow_owe(shadow);
	set_way(shadow, way == SHADOW_BY_D);
	spin_unlock(&shadow->lock);
}

/* A large leaf that is writable: one bit of the log would be 512 pages. */
static void rearm_large(struct shadow *shadow, gpa_t address,
			enum ept_level level)
{
	u32 link = *shadow_leaf_head(shadow, address, level);

	while (link) {
		struct shadow_table *t = shadow_link_table(shadow, link);
		u32 index = shadow_link_index(link);

		link = t->links[index].next;
		if (shadow_hardware(t, index).raw & EPT_W)
			shadow_entry_drop(shadow, t, index);
	}
}

/* A CPU may set D at the same time: then it has logged that. */
static bool rearm_by_d(ept_entry_t *leaf)
{
	return __atomic_fetch_and(&leaf->raw, ~EPT_D, __ATOMIC_SEQ_CST) & EPT_D;
}

/* All leaves of one page lose W, or D. */
static bool rearm_page(struct shadow *shadow, u32 link)
{
	bool lost = false;

	while (link) {
		struct shadow_table *t = shadow_link_table(shadow, link);
		u32 index = shadow_link_index(link);
		ept_entry_t leaf = shadow_hardware(t, index);

		link = t->links[index].next;
		if (!(leaf.raw & EPT_W))
			continue;
		if (shadow_is_by_d(shadow, t)) {
			lost |= rearm_by_d(&t->hardware[index]);
			continue;
		}
		leaf.raw = bits_set(leaf.raw & ~EPT_W, EPT_SHADOW_TAG,
				    SHADOW_TAG_WRITE_PROTECT);
		ept_write(&t->hardware[index], leaf);
		lost = true;
	}
	return lost;
}

static bool rearm_word(struct shadow *shadow, const struct dirty_word *word)
{
	const u32 *heads = shadow_leaf_head(shadow, word->base, EPT_4K);
	bool lost = false;

	rearm_large(shadow, word->base, EPT_2M);
	rearm_large(shadow, word->base, EPT_1G);
	for (u64 bits = word->bits; bits; bits &= bits - 1) {
		u32 link = heads[__builtin_ctzll(bits)];

		if (link && rearm_page(shadow, link))
			lost = true;
	}
	return lost;
}

/*
 * A flush that somebody owed before is this harvest's, too: a CPU that has not
 * done it may still write a page of the batch by a leaf that is gone, or one
 * that says W=0 by now.
 */
enum flush shadow_rearm(struct shadow *shadow, const struct dirty_batch *batch)
{
	bool lost = false;

	spin_lock(&shadow->lock);
	for (u32 i = 0; i < batch->count && shadow->entry_count; i++)
		lost |= rearm_word(shadow, &batch->words[i]);
	if (lost)
		shadow_owe(shadow);
	lost = shadow_flushed_up_to(shadow) < shadow->generation;
	spin_unlock(&shadow->lock);
	return lost ? FLUSH_OWED : FLUSH_NONE;
}

/* --- What the CPU has logged ---------------------------------------------- */

/* Whatever was written by a leaf that is still there. */
static NOINLINE void mark_all_dirty(struct shadow *shadow)
{
	shadow->counts.searched++;
	for (u32 number = 1; number <= shadow->table_count; number++) {
		struct shadow_table *t = shadow_table_at(shadow, number);

		if (!shadow_is_by_d(shadow, t) ||
		    shadow_table_level(t) != EPT_4K)
			continue;
		for (u32 i = 0; i < EPT_ENTRIES; i++)
			if ((shadow_hardware(t, i).raw & (EPT_W | EPT_D)) ==
			    (EPT_W | EPT_D))
				mark_leaf(shadow, t, i);
	}
}

/* Pages of L1's that are marked together. */
struct gathered {
	u64 word; /* of the dirty log, from 0 on */
	u64 bits;
};

static void mark_gathered(struct shadow *shadow, const struct gathered *g)
{
	if (g->bits)
		dirty_log_mark_word(&shadow->config.memory->log,
				    gpa(g->word * DIRTY_WORD_PAGES * PAGE_4K),
				    g->bits);
}

static ALWAYS_INLINE void gather(struct shadow *shadow, struct gathered *g,
				 gpa_t address)
{
	u64 page = gpa_page(address);

	if (page / DIRTY_WORD_PAGES != g->word) {
		mark_gathered(shadow, g);
		*g = (struct gathered){.word = page / DIRTY_WORD_PAGES};
	}
	g->bits |= BIT(page % DIRTY_WORD_PAGES);
}

/*
 * Neighbours in the log are mostly neighbours in L2's memory, and in L1's: the
 * table of the last one is the next one's, and so is the word of the dirty log.
 * False: some leaf is not there.
 */
static bool mark_logged(struct shadow *shadow, const struct shadow_root *root,
			const u64 *entries, u32 count)
{
	struct gathered gathered = {.bits = 0};
	struct end end = {.t = NULL};
	u64 region = 0;
	u32 i;

	for (i = 0; i < count; i++) {
		u64 address = entries[i] & EPT_ADDRESS;

		if (!end.t || address / PAGE_2M != region) {
			if (address >= EPT12_SPAN ||
			    !find_4k_leaf(root, address, &end))
				break;
			region = address / PAGE_2M;
		}
		end.index = ept_index(address, EPT_4K);
		if (!(shadow_hardware(end.t, end.index).raw & EPT_W))
			break;
		gather(shadow, &gathered,
		       ept12_address(end.t->copy[end.index]));
	}
	mark_gathered(shadow, &gathered);
	return i == count;
}

void shadow_drain(struct shadow *shadow, const struct shadow_root *root,
		  const u64 *entries, u32 count, u64 *cuts)
{
	if (!count) {
		*cuts = __atomic_load_n(&shadow->cuts, __ATOMIC_SEQ_CST);
		return;
	}
	spin_lock(&shadow->lock);
	if (*cuts != shadow->cuts || !mark_logged(shadow, root, entries, count))
		mark_all_dirty(shadow);
	*cuts = shadow->cuts;
	shadow->counts.translated += count;
	spin_unlock(&shadow->lock);
}
