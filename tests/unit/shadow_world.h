/* SPDX-License-Identifier: MIT */
/*
 * A guest hypervisor and its guest, simulated: L1 writes EPT tables into its
 * memory, L2 accesses memory through what the shadow makes of them.
 *
 *	l1_store	a store of L1's through EPT01, with its faults
 *	l2_access	an access of L2's through a TLB and EPT02, with its
 *			faults; what comes of it
 *	reference	the same by two naive walks, for comparison
 *
 * One CPU with a TLB that forgets only what it is told to forget.
 */
#ifndef TESTS_UNIT_SHADOW_WORLD_H
#define TESTS_UNIT_SHADOW_WORLD_H

#include <string.h>

#include "arch/x86/ept/ept.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"
#include "pml/track.h"
#include "shadow/table.h"
#include "tests/unit/support.h"

#ifndef W_RAM
#define W_RAM (16 * MIB)
#endif
#define W_ROM       W_RAM /* 64K of it */
#define W_ROM_BYTES (64 * KIB)
#define W_LIMIT     (2 * W_RAM) /* above the ROM nothing is */
#define W_TLB       64
#define W_LOGGED    4
#define W_FRAMES    (32 * MIB)
#ifndef W_FRAMES_MAX
#define W_FRAMES_MAX (160 * MIB)
#endif

struct w_translation {
	bool valid;
	u64 page; /* of ngpa */
	u64 frame;
	u64 rights;
	bool dirty; /* D was seen or set, or there is none */
};

/* A vCPU's page-modification log. */
struct w_log {
	bool on;
	u64 entries[W_LOGGED];
	u32 count;
	u64 cuts; /* shadow_drain()'s */
};

struct world {
	struct guest_mem mem;
	struct ept ept;
	struct track track;
	struct shadow shadow;
	struct shadow_root root;
	struct w_translation tlb[W_TLB];
	struct random random;
	u64 next_table; /* of L1's, a page number */
	u64 pointer;    /* L1's EPT pointer */
	u64 vm_exits;
	u64 flushes;
	struct ept12_log log;
	struct w_log logged;
};

static const struct ept_format w_format = {
    .largest_leaf = EPT_1G,
    .physical_bits = 40,
    .accessed_dirty = true,
    .execute_only = true,
};

#define W_REQUIRE(condition)                                             \
	do {                                                             \
		if (!(condition)) {                                      \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
				__LINE__, #condition);                   \
			abort();                                         \
		}                                                        \
	} while (0)

static void w_begin_with(struct world *w, struct shadow_config config)
{
	memset(w, 0, sizeof(*w));
	frame_alloc_init();
	W_REQUIRE(frame_alloc_add(hpa(W_FRAMES), W_FRAMES_MAX) == OK);
	W_REQUIRE(guest_mem_create(&w->mem, gpa(W_LIMIT), "test") == OK);
	W_REQUIRE(guest_mem_add(&w->mem, gpa(0), W_RAM) == OK);
	W_REQUIRE(guest_mem_add(&w->mem, gpa(W_ROM), W_ROM_BYTES) == OK);
	W_REQUIRE(guest_mem_make_rom(&w->mem, gpa(W_ROM)) == OK);
	W_REQUIRE(ept_create(&w->ept, &w_format) == OK);
	W_REQUIRE(ept_map_guest(&w->ept, &w->mem) == OK);
	track_init(&w->track, &w->ept, &w->mem.log);
	config.memory = &w->mem;
	config.ept = &w->ept;
	config.offered = w_format;
	config.cpu_count = config.cpu_count ? config.cpu_count : 1;
	config.vcpu_count = config.vcpu_count ? config.vcpu_count : 1;
	W_REQUIRE(shadow_create(&w->shadow, &config) == OK);
	w->next_table = MIB >> PAGE_SHIFT;
}

UNUSED static void w_begin(struct world *w)
{
	w_begin_with(w, (struct shadow_config){0});
}

static void w_end(struct world *w)
{
	shadow_root_release(&w->shadow, &w->root);
	shadow_destroy(&w->shadow);
	ept_destroy(&w->ept);
	guest_mem_destroy(&w->mem);
}

/* --- L1 ------------------------------------------------------------------ */

static u64 *w_bytes(struct world *w, u64 address)
{
	hpa_t frame;

	W_REQUIRE(guest_mem_frame(&w->mem, gpa(address), &frame) == OK);
	return phys_ptr(hpa_add(frame, address % PAGE_4K));
}

static u64 w_read(struct world *w, u64 address)
{
	return __atomic_load_n(w_bytes(w, address), __ATOMIC_RELAXED);
}

/* L1 logs what L2 writes, in this page. */
UNUSED static void l1_log(struct world *w, u64 page, u16 index)
{
	w->log = (struct ept12_log){
	    .on = true,
	    .page = gpa(page),
	    .index = index,
	    .entries = guest_mem_ptr(&w->mem, gpa(page), PAGE_4K),
	};
}

/* A store of L1's. EPT01 decides; its faults are handled as by exits. */
static void l1_store(struct world *w, u64 address, u64 value)
{
	for (u32 i = 0; i < 8; i++) {
		enum ept_level level;
		ept_entry_t leaf;

		W_REQUIRE(ept_lookup(&w->ept, gpa(address), &leaf, &level) ==
			  OK);
		if (leaf.raw & EPT_W) {
			__atomic_store_n(w_bytes(w, address), value,
					 __ATOMIC_SEQ_CST);
			return;
		}
		w->vm_exits++;
		if (track_write_fault(&w->track, gpa(address)) ==
		    TRACK_FAULT_FIXED)
			continue;
		W_REQUIRE(shadow_table_written(&w->shadow, gpa(address)) ==
			  SHADOW_WAS_WATCHED);
	}
	W_REQUIRE(false); /* it does not get through */
}

static u64 l1_new_table(struct world *w)
{
	u64 page = w->next_table++;

	for (u64 i = 0; i < PAGE_4K; i += sizeof(u64))
		l1_store(w, page * PAGE_4K + i, 0);
	return page * PAGE_4K;
}

static u64 w_slot(u64 table, u64 ngpa, enum ept_level level)
{
	return table + ept_index(ngpa, level) * sizeof(u64);
}

/* Writes `entry` at `level`, making tables (with all rights) above it. */
UNUSED static void l1_map(struct world *w, u64 ngpa, enum ept_level level,
			  u64 entry)
{
	u64 table = w->pointer & EPT12_POINTER_TABLE;

	for (enum ept_level at = EPT_TOP; at > level; at--) {
		u64 slot = w_slot(table, ngpa, at);
		u64 old = w_read(w, slot);

		if (ept_entry_kind((ept_entry_t){old}, at) != EPT_TABLE) {
			old = l1_new_table(w) | EPT_RWX;
			l1_store(w, slot, old);
		}
		table = old & EPT_ADDRESS;
	}
	l1_store(w, w_slot(table, ngpa, level), entry);
}

#define W_WB ((u64)EPT_WB << 3)

/* An empty EPT12. */
UNUSED static void l1_new_ept(struct world *w, u64 ad)
{
	shadow_root_release(&w->shadow, &w->root);
	w->pointer = l1_new_table(w) | EPT_WB | (3 << 3) | ad;
	W_REQUIRE(shadow_root_hold(&w->shadow, w->pointer, &w->root) == OK);
}

/* --- What should come of an access --------------------------------------- */

struct w_result {
	enum shadow_outcome outcome;
	u64 qualification;
	u64 address; /* of L1, on RESUME and DEVICE */
};

static u64 reference_entry(struct world *w, u64 slot)
{
	u64 raw = ~0ULL;

	return guest_mem_read_u64(&w->mem, gpa(slot), &raw) == OK ? raw : ~0ULL;
}

/* By the manual, and by nothing that the shadow uses. */
static bool reference_misconfigured(u64 entry, int level)
{
	u64 type = (entry >> 3) & 7;
	bool leaf = level == 1 || (level < 4 && (entry & BIT(7)));
	u64 reserved = BITS(51, 40);

	if (!(entry & 7))
		return false;
	if ((entry & 7) == 2 || (entry & 7) == 6)
		return true;
	if (level == 4)
		reserved |= BITS(7, 3);
	else if (!leaf)
		reserved |= BITS(6, 3);
	else if (level == 2)
		reserved |= BITS(20, 12);
	else if (level == 3)
		reserved |= BITS(29, 12);
	if (entry & reserved)
		return true;
	return leaf && (type == 2 || type == 3 || type == 7);
}

struct w_path {
	int level; /* of the last entry */
	u64 slots[5], entries[5];
	u64 rights;
};

static struct w_result reference_walk(struct world *w, u64 ngpa, u64 access,
				      struct w_path *path)
{
	struct w_result result = {SHADOW_RESUME, access, 0};
	u64 table = w->pointer & EPT12_POINTER_TABLE;

	path->rights = 7;
	for (path->level = 4;; path->level--) {
		int level = path->level;
		u64 index = (ngpa >> (3 + 9 * level)) & 511;
		u64 entry = reference_entry(w, table + 8 * index);

		path->slots[level] = table + 8 * index;
		path->entries[level] = entry;
		if (reference_misconfigured(entry, level)) {
			result.outcome = SHADOW_MISCONFIGURED;
			return result;
		}
		path->rights &= entry;
		if (!(entry & 7) || level == 1 ||
		    (level < 4 && (entry & BIT(7))))
			break;
		table = entry & EPT_ADDRESS;
	}
	result.qualification |= path->rights << 3;
	if (access & 7 & ~path->rights)
		result.outcome = SHADOW_VIOLATION;
	result.address = (path->entries[path->level] & EPT_ADDRESS &
			  ~(BIT(3 + 9 * path->level) - 1)) |
			 (ngpa & (BIT(3 + 9 * path->level) - 1));
	return result;
}

static bool w_is_memory(const struct world *w, u64 address, u64 access)
{
	(void)w;
	if (address < W_RAM)
		return true;
	return address - W_ROM < W_ROM_BYTES && !(access & EPT12_WRITE);
}

/* What should come of it, without changing anything. */
UNUSED static struct w_result reference(struct world *w, u64 ngpa, u64 access,
					struct w_path *path)
{
	struct w_result result = reference_walk(w, ngpa, access, path);

	if (result.outcome == SHADOW_RESUME &&
	    !w_is_memory(w, result.address, access))
		result.outcome = SHADOW_DEVICE;
	return result;
}

/* --- L2 ------------------------------------------------------------------ */

static void w_flush(struct world *w)
{
	memset(w->tlb, 0, sizeof(w->tlb));
	w->flushes++;
}

/* As shadow_drain() wants it, on every way out of the guest. */
static void w_drain(struct shadow *shadow, const struct shadow_root *root,
		    struct w_log *log)
{
	shadow_drain(shadow, root, log->entries, log->count, &log->cuts);
	log->count = 0;
	log->on = shadow_wants_pml(shadow, root);
}

enum w_dirty { W_DIRTY, W_CHANGED, W_FULL };

/* A write by a leaf that was `seen`: D is set and logged, if it is not set. */
UNUSED static enum w_dirty w_set_dirty(struct w_log *log, u64 *leaf, u64 seen,
				       u64 ngpa)
{
	if (seen & EPT_D)
		return W_DIRTY;
	if (log->on && log->count == W_LOGGED)
		return W_FULL;
	if (!__atomic_compare_exchange_n(leaf, &seen, seen | EPT_D, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return W_CHANGED;
	/* The low bits are no one's to trust. */
	if (log->on)
		log->entries[log->count++] = ngpa | 0xabc;
	return W_DIRTY;
}

/* L2 is entered. */
static void w_enter(struct world *w)
{
	enum flush flush;

	w_drain(&w->shadow, &w->root, &w->logged);
	shadow_enter(&w->shadow, 0, &flush);
	if (flush == FLUSH_OWED)
		w_flush(w);
}

static bool w_walk(struct world *w, u64 ngpa, u64 access,
		   struct w_translation *to);

/* The log is full: an exit, of which nothing else comes. */
static bool w_walk_again(struct world *w, u64 ngpa, u64 access,
			 struct w_translation *to)
{
	w->vm_exits++;
	w_enter(w);
	return w_walk(w, ngpa, access, to);
}

/* As the CPU walks EPT02: false where there is no leaf. */
static bool w_walk(struct world *w, u64 ngpa, u64 access,
		   struct w_translation *to)
{
	u64 pointer = shadow_root_pointer(&w->shadow, &w->root);
	hpa_t table = hpa(pointer & EPT_ADDRESS);
	u64 rights = EPT_RWX;

	for (enum ept_level level = EPT_TOP;; level--) {
		ept_entry_t *entries = phys_ptr(table);
		ept_entry_t *at = &entries[ept_index(ngpa, level)];
		ept_entry_t entry = ept_read(at);
		u64 bytes = ept_level_bytes(level);

		W_REQUIRE(!ept_entry_misconfigured(entry, level, &w_format));
		rights &= entry.raw;
		switch (ept_entry_kind(entry, level)) {
		case EPT_HOLE:
			return false;
		case EPT_TABLE:
			table = ept_entry_address(entry);
			break;
		case EPT_LEAF:
			*to = (struct w_translation){
			    true, ngpa / PAGE_4K,
			    align_down((entry.raw & EPT_ADDRESS) + ngpa % bytes,
				       PAGE_4K),
			    rights, true};
			if (!(pointer & EPT12_POINTER_AD) ||
			    !(access & rights & EPT12_WRITE))
				to->dirty = entry.raw & EPT_D ||
					    !(pointer & EPT12_POINTER_AD);
			else if (w_set_dirty(&w->logged, &at->raw, entry.raw,
					     ngpa) == W_FULL)
				return w_walk_again(w, ngpa, access, to);
			return true;
		}
	}
}

/* A translation that allows the access, if there is one. */
static const struct w_translation *w_find(struct world *w, u64 ngpa, u64 access)
{
	struct w_translation *cached = &w->tlb[(ngpa / PAGE_4K) % W_TLB];
	struct w_translation walked = {0};

	if (ngpa >= EPT12_SPAN)
		return NULL;

	if (cached->valid && cached->page == ngpa / PAGE_4K &&
	    !(access & EPT12_ACCESS & ~cached->rights) &&
	    (cached->dirty || !(access & EPT12_WRITE)))
		return cached;
	/* What it had of this address is dropped by the fault, or replaced. */
	cached->valid = false;
	if (!w_walk(w, ngpa, access, &walked) ||
	    (access & EPT12_ACCESS & ~walked.rights))
		return NULL;
	*cached = walked;
	return cached;
}

/* As arch/x86/vmx/nested_exit.c asks. */
UNUSED static struct shadow_result w_fault_of(struct shadow *shadow,
					      struct shadow_root *root,
					      const struct ept12_access *how,
					      struct ept12_log *log)
{
	u64 what = how->qualification & (EPT12_WRITE | EPT12_FETCH);
	struct shadow_result result = {.outcome = SHADOW_RESUME};

	if (shadow_is_tracking(shadow) && what == EPT12_WRITE &&
	    shadow_fix_tracked(shadow, root, how->address))
		return result;
	if (shadow_fault_quickly(shadow, root, how, log, &result) ==
	    SHADOW_QUICK_NO)
		return shadow_fault(shadow, root, how, log);
	return result;
}

/* `access` is a qualification. On RESUME the address is where it went. */
UNUSED static struct w_result l2_access(struct world *w, u64 at, u64 access)
{
	struct ept12_access how = {ngpa(at), access};

	w_enter(w);
	for (u32 i = 0; i < 8; i++) {
		const struct w_translation *to = w_find(w, at, access);
		struct shadow_result result;

		shadow_leave(&w->shadow, 0);
		if (to)
			return (struct w_result){SHADOW_RESUME, access,
						 to->frame + at % PAGE_4K};
		w->vm_exits++;
		result = w_fault_of(&w->shadow, &w->root, &how, &w->log);
		if (result.outcome != SHADOW_RESUME)
			return (struct w_result){result.outcome,
						 result.qualification,
						 gpa_raw(result.address)};
		w_enter(w);
	}
	W_REQUIRE(false); /* it faults for ever */
	return (struct w_result){0};
}

UNUSED static void l1_invept(struct world *w)
{
	w->vm_exits++;
	if (!shadow_invalidate_nothing(&w->shadow))
		shadow_invalidate(&w->shadow);
}

/* --- What must hold at every moment -------------------------------------- */

static void check_leaf(struct world *w, const struct shadow_table *t, u32 index)
{
	enum ept_level level = shadow_table_level(t);
	ept_entry_t entry = t->hardware[index];
	u64 address = gpa_raw(ept12_address(t->copy[index]));

	for (u64 at = 0; at < ept_level_bytes(level); at += PAGE_4K) {
		enum ept_level level01;
		ept_entry_t leaf01;
		hpa_t frame;

		W_REQUIRE(ept_lookup(&w->ept, gpa(address + at), &leaf01,
				     &level01) == OK);
		W_REQUIRE(guest_mem_frame(&w->mem, gpa(address + at), &frame) ==
			  OK);
		W_REQUIRE(hpa_raw(frame) == (entry.raw & EPT_ADDRESS) + at);
		/* Never wider; a watched page is not writable. */
		if (entry.raw & (EPT_W | EPT_MAY_WRITE))
			W_REQUIRE(leaf01.raw & EPT_MAY_WRITE);
		if (w->shadow.tracking && (entry.raw & EPT_W) &&
		    (!shadow_is_by_d(&w->shadow, t) || level != EPT_4K ||
		     (entry.raw & EPT_D)))
			W_REQUIRE(dirty_log_is_marked(&w->mem.log,
						      gpa(address + at)));
	}
	W_REQUIRE(!(entry.raw & EPT_RWX & ~t->copy[index].raw));
	if (shadow_table_has_ad(t) && !(t->copy[index].raw & EPT_D))
		W_REQUIRE(!(entry.raw & (EPT_W | EPT_MAY_WRITE)));
}

static bool is_in_chain(struct world *w, u32 link, u32 wanted)
{
	for (; link; link = shadow_link_next(&w->shadow, link))
		if (link == wanted)
			return true;
	return false;
}

static void check_entry(struct world *w, struct shadow_table *t, u32 index)
{
	u32 head;

	switch (shadow_entry_kind(t, index)) {
	case EPT_HOLE:
		W_REQUIRE(!t->hardware[index].raw);
		return;
	case EPT_TABLE:
		head = shadow_entry_table(t, index)->parents;
		W_REQUIRE(shadow_entry_table(t, index)->state !=
			  SHADOW_SUSPENDED);
		break;
	case EPT_LEAF:
		check_leaf(w, t, index);
		head =
		    *shadow_leaf_head(&w->shadow, ept12_address(t->copy[index]),
				      shadow_table_level(t));
		break;
	}
	W_REQUIRE(is_in_chain(w, head, shadow_link_to(t, index)));
}

/*
 * A flag that we set in L1's entry for a table of one level is not in the copy
 * that a table of another level has of it: that one has less, until it faults.
 * Flags of entries in ROM are set in the copy alone.
 */
static bool says_no_less(const struct shadow_table *t, u32 index)
{
	u64 flags = EPT_A | EPT_D;
	u64 memory = t->memory[index].raw;
	u64 copy = t->copy[index].raw;

	if (gpa_raw(shadow_table_base(t)) >= W_ROM)
		return (memory | flags) == (copy | flags);
	return (copy | (memory & flags)) == memory;
}

static void check_table(struct world *w, struct shadow_table *t)
{
	enum ept_level level;
	ept_entry_t leaf;

	/* What Umbra itself has written is found at the next INVEPT. */
	if (t->state == SHADOW_PROVEN && t->memory &&
	    guest_mem_is_watched(&w->mem, shadow_table_base(t))) {
		W_REQUIRE(t->watched);
		for (u32 i = 0; i < EPT_ENTRIES; i++)
			W_REQUIRE(!t->hardware[i].raw || says_no_less(t, i));
	}
	if (t->watched) {
		W_REQUIRE(ept_lookup(&w->ept, shadow_table_base(t), &leaf,
				     &level) == OK);
		W_REQUIRE(!(leaf.raw & (EPT_W | EPT_MAY_WRITE)));
	}
	for (u32 i = 0; i < EPT_ENTRIES; i++)
		check_entry(w, t, i);
}

UNUSED static void check_world(struct world *w)
{
	w_drain(&w->shadow, &w->root, &w->logged);
	for (u32 i = 1; i <= w->shadow.table_count; i++) {
		struct shadow_table *t = shadow_table_at(&w->shadow, i);

		if (t->state != SHADOW_FREE && t->state != SHADOW_RETIRED)
			check_table(w, t);
	}
}

#endif
