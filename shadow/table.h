/* SPDX-License-Identifier: MIT */
/*
 * A shadow table, and what hangs on its entries. Inside this floor only; all
 * functions need shadow->lock.
 *
 *	struct shadow_table, one block of 16K
 *	  hardware[512]	what the CPU walks
 *	  copy[512]	L1's entry that hardware[i] was made from
 *	  links[512]	neighbours of entry i in its chain
 *
 * Each entry that is no hole is in one chain:
 *
 *	leaf	of all leaves that map the same L1 page (by size): the reverse
 *		map from L1 addresses to leaves
 *	table	of all entries that lead to the same shadow table: its parents
 *
 * A link is number * 512 + index; 0 is none, since numbers begin at 1.
 */
#ifndef SHADOW_TABLE_H
#define SHADOW_TABLE_H

#include "arch/x86/ept/ept_walk.h"
#include "lib/check.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"
#include "shadow/compose.h"
#include "shadow/shadow.h"

enum shadow_state {
	SHADOW_FREE,
	SHADOW_RETIRED, /* left the tree; some CPU may still walk it */
	SHADOW_PROVEN,
	SHADOW_OPEN,
	SHADOW_SUSPENDED,
};

struct shadow_link {
	u32 next, previous;
};

/*
 * The last leaf that was made in a table: what it was made from, but for the
 * addresses. No leaf: nothing is known. See shadow/quick.c.
 */
struct shadow_like {
	u64 alike12; /* bits of L1's entry that a leaf depends on */
	ept_entry_t from12, leaf01, leaf;
	enum ept_level level01;
};

#define SHADOW_ALIKE_01 \
	(EPT_R | EPT_X | EPT_MAY_WRITE | EPT_TYPE | EPT_IGNORE_PAT | EPT_LARGE)

struct shadow_table {
	ept_entry_t hardware[EPT_ENTRIES];
	ept_entry_t copy[EPT_ENTRIES];
	struct shadow_link links[EPT_ENTRIES];
	u32 number;
	u32 next, previous; /* in the list of its state */
	u32 bucket_next;
	u32 parents; /* chain of the entries that lead here */
	u32 holds;   /* of vCPUs, on a top table */
	u64 key;
	const ept_entry_t *memory; /* L1's table; NULL: not of memory */
	enum shadow_state state;
	bool in_ram;  /* `memory` is, so L1's flags are set there */
	bool watched; /* L1's page is write-protected for us */
	u8 changes;   /* times in a row that it differed */
	bool recent;  /* was on a fault's way lately */
	u32 window;   /* how many entries a fault fills */
	struct shadow_like like;
	u64 stamp;             /* of the last fault that came by */
	u64 watch_generation;  /* proven once all have flushed up to here */
	u64 retire_generation; /* free then */
};

_Static_assert(sizeof(struct shadow_table) <= 4 * PAGE_4K, "one 16K block");
_Static_assert(offsetof(struct shadow_table, copy) == PAGE_4K, "a frame each");
_Static_assert(sizeof(struct shadow_link) * EPT_ENTRIES == PAGE_4K,
	       "links fill a frame");

/* --- Keys ---------------------------------------------------------------- */

/*
 *	51       12  8    7      6  5..3   2..0
 *	+-----------+----+-----+---+------+-----+
 *	| L1 address|split| A/D | I | type |level|
 *	+-----------+----+-----+---+------+-----+
 *
 * split: the table stands for one large leaf of L1's, whose memory type (type,
 * I) is in the key and whose rights are in the entries that lead here.
 */
#define SHADOW_KEY_ADDRESS BITS(51, 12)
#define SHADOW_KEY_SPLIT   BIT(8)
#define SHADOW_KEY_AD      BIT(7)
#define SHADOW_KEY_TYPE    (EPT_TYPE | EPT_IGNORE_PAT)
#define SHADOW_KEY_LEVEL   BITS(2, 0)

_Static_assert((SHADOW_KEY_TYPE & ~BITS(6, 3)) == 0, "no overlap");

static inline enum ept_level shadow_table_level(const struct shadow_table *t)
{
	return (enum ept_level)(t->key & SHADOW_KEY_LEVEL);
}

static inline bool shadow_table_is_split(const struct shadow_table *t)
{
	return (t->key & SHADOW_KEY_SPLIT) != 0;
}

static inline bool shadow_table_has_ad(const struct shadow_table *t)
{
	return (t->key & SHADOW_KEY_AD) != 0;
}

/* L1's table, or the first page that a split table maps. */
static inline gpa_t shadow_table_base(const struct shadow_table *t)
{
	return gpa(t->key & SHADOW_KEY_ADDRESS);
}

static inline u64 shadow_key_mirror(gpa_t table, enum ept_level level, u64 ad)
{
	return (gpa_raw(table) & SHADOW_KEY_ADDRESS) | level | ad;
}

static inline u64 shadow_key_split(gpa_t base, enum ept_level level,
				   ept_entry_t leaf12, u64 ad)
{
	return shadow_key_mirror(base, level, ad) | SHADOW_KEY_SPLIT |
	       (leaf12.raw & SHADOW_KEY_TYPE);
}

/* The first of the tables that share a bucket: all those of one address do. */
u32 *shadow_table_bucket(const struct shadow *shadow, u64 key);
struct shadow_table *shadow_table_find(const struct shadow *shadow, u64 key);

static inline struct shadow_table *shadow_table_at(const struct shadow *shadow,
						   u32 number)
{
	return shadow->tables[number];
}

/* --- Links --------------------------------------------------------------- */

static inline u32 shadow_link_to(const struct shadow_table *t, u32 index)
{
	return t->number * EPT_ENTRIES + index;
}

static inline struct shadow_table *
shadow_link_table(const struct shadow *shadow, u32 link)
{
	return shadow->tables[link / EPT_ENTRIES];
}

static inline u32 shadow_link_index(u32 link)
{
	return link % EPT_ENTRIES;
}

static inline u32 shadow_link_next(const struct shadow *shadow, u32 link)
{
	return shadow_link_table(shadow, link)
	    ->links[shadow_link_index(link)]
	    .next;
}

/* The first leaf of `level` that maps the page of `address`. */
u32 *shadow_leaf_head(const struct shadow *shadow, gpa_t address,
		      enum ept_level level);

/* Are its writable leaves armed by D? */
static inline bool shadow_is_by_d(const struct shadow *shadow,
				  const struct shadow_table *t)
{
	return shadow->by_d && t->state != SHADOW_FREE &&
	       t->state != SHADOW_RETIRED && shadow_table_has_ad(t);
}

/* --- Entries ------------------------------------------------------------- */

/* A CPU may set D in it at any time. */
static inline ept_entry_t shadow_hardware(const struct shadow_table *t,
					  u32 index)
{
	return ept_read(&t->hardware[index]);
}

static inline enum ept_kind shadow_entry_kind(const struct shadow_table *t,
					      u32 index)
{
	return ept_entry_kind(shadow_hardware(t, index), shadow_table_level(t));
}

/* The table that an entry of kind EPT_TABLE leads to. */
static inline struct shadow_table *
shadow_entry_table(const struct shadow_table *t, u32 index)
{
	return phys_ptr(ept_entry_address(shadow_hardware(t, index)));
}

/* Makes the entry a hole. */
void shadow_entry_drop(struct shadow *shadow, struct shadow_table *t,
		       u32 index);

/* Makes it `leaf`, which may be a hole, from L1's `from12`. */
void shadow_entry_put_leaf(struct shadow *shadow, struct shadow_table *t,
			   u32 index, ept_entry_t leaf, ept_entry_t from12);

/*
 * Entry `index`, a hole, becomes `leaf`, which is put into the chain at
 * shadow_leaf_head() of L1's page next; that is one that EPT01 has.
 */
static ALWAYS_INLINE void shadow_entry_fill(struct shadow_table *t, u32 index,
					    ept_entry_t leaf,
					    ept_entry_t from12)
{
	t->copy[index] = from12;
	ept_write(&t->hardware[index], leaf);
}

static ALWAYS_INLINE void shadow_entry_chain(struct shadow *shadow,
					     struct shadow_table *t, u32 index,
					     u32 *head)
{
	u32 next = *head;
	u32 link = shadow_link_to(t, index);

	t->links[index] = (struct shadow_link){.next = next};
	if (next)
		shadow_link_table(shadow, next)
		    ->links[shadow_link_index(next)]
		    .previous = link;
	*head = link;
	shadow->entry_count++;
}

/* Makes it lead to `child` with those of `rights`. */
struct shadow_step {
	struct shadow_table *child;
	u64 rights;
};
void shadow_entry_put_table(struct shadow *shadow, struct shadow_table *t,
			    u32 index, struct shadow_step step,
			    ept_entry_t from12);

/* Nothing leads to it any more. */
void shadow_table_detach(struct shadow *shadow, struct shadow_table *t);

/* --- Flushing ------------------------------------------------------------ */

/* Rights were taken away: no CPU enters from now on without a flush. */
static inline void shadow_owe(struct shadow *shadow)
{
	__atomic_add_fetch(&shadow->generation, 1, __ATOMIC_SEQ_CST);
}

/* All CPUs that are in the guest have flushed up to this generation. */
u64 shadow_flushed_up_to(const struct shadow *shadow);

/* --- The pool (shadow/pool.c) -------------------------------------------- */

MUST_CHECK enum err shadow_pool_create(struct shadow *shadow);
void shadow_pool_destroy(struct shadow *shadow);

/*
 * The table with this key, made if need be and in use for this fault. NULL:
 * ERR_BUSY of shadow/shadow.h.
 */
struct shadow_table *shadow_pool_get(struct shadow *shadow, u64 key);

/* --- Lists of tables by state -------------------------------------------- */

void shadow_list_add(struct shadow *shadow, u32 *list, struct shadow_table *t);
void shadow_list_remove(struct shadow *shadow, u32 *list,
			struct shadow_table *t);

/* --- Coherence (shadow/coherence.c) --------------------------------------- */

/* A table that has just been made: watched from now on, if that can be. */
void shadow_coherence_begin(struct shadow *shadow, struct shadow_table *t);

/* It leaves the tree. */
void shadow_coherence_end(struct shadow *shadow, struct shadow_table *t);

/* A suspended table is compared and may be used again. */
void shadow_coherence_resume(struct shadow *shadow, struct shadow_table *t);

/* L1's page is about to be written: tables made from it are open. */
enum shadow_watch shadow_coherence_written(struct shadow *shadow, gpa_t page);

/* A write that only dirty tracking stands in the way of: done, or false. */
bool shadow_fix_fast(struct shadow *shadow, const struct shadow_root *root,
		     const struct ept12_access *access);

/* --- Filling (shadow/fill.c) --------------------------------------------- */

/* Both leaves for an address of L1's. */
struct shadow_page {
	gpa_t address;
	struct shadow_parts parts;
};

/* ERR_NOT_FOUND: EPT01 has a hole there. */
MUST_CHECK enum err shadow_page_find(const struct shadow *shadow,
				     struct shadow_page *page);

/* The leaf of `level` around page->address. */
ept_entry_t shadow_page_leaf(const struct shadow_page *page,
			     enum ept_level level);

/* L1's entry as table `t` has it now; that of a split table is made up. */
ept_entry_t shadow_entry12_made_up(const struct shadow_table *t, u32 index);

static inline ept_entry_t shadow_entry12(const struct shadow_table *t,
					 u32 index)
{
	return likely(t->memory) ? ept_read(&t->memory[index])
				 : shadow_entry12_made_up(t, index);
}

/*
 * Makes entry `index` anew from L1's `from12`, as far as that needs no other
 * table and sets no flag of L1's; else a hole.
 */
void shadow_fill_entry(struct shadow *shadow, struct shadow_table *t, u32 index,
		       ept_entry_t from12);

/*
 * Holes around `index` that can be filled without setting L1's flags: as many
 * as seems worthwhile. Of a new or changed table nothing is known.
 */
void shadow_fill_around(struct shadow *shadow, struct shadow_table *t,
			u32 index);
void shadow_fill_forget(struct shadow_table *t);

/* Bits of L1's entries that leaves of `t` depend on, but for the frame. */
u64 shadow_fill_alike12(const struct shadow *shadow,
			const struct shadow_table *t);

#endif
