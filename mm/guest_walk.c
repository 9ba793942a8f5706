/* SPDX-License-Identifier: MIT */
/*
 * The walk, one loop for all kinds of paging:
 *
 *	         level 4      3         2         1
 *	32-bit                          PDE  ---> PTE	10 bits each
 *	PAE               (register) -> PDE  ---> PTE	9 bits each
 *	4-level  PML4E -> PDPTE ------> PDE  ---> PTE	9 bits each
 *
 * First down, noting entries and rights; then the rights are judged; then
 * the flags are set in the entries that were used, each by compare and swap.
 * If one of them has changed, the walk starts again.
 */
#include "mm/guest_walk.h"
#include "lib/bits.h"

#define CR0_WP         BIT(16)
#define CR0_PG         BIT(31)
#define CR4_PSE        BIT(4)
#define CR4_PAE        BIT(5)
#define CR4_SMEP       BIT(20)
#define CR4_SMAP       BIT(21)
#define EFER_LMA       BIT(10)
#define EFER_NXE       BIT(11)
#define RFLAGS_AC      BIT(18)

#define ENTRY_PRESENT  BIT(0)
#define ENTRY_WRITABLE BIT(1)
#define ENTRY_USER     BIT(2)
#define ENTRY_ACCESSED BIT(5)
#define ENTRY_DIRTY    BIT(6)
#define ENTRY_LARGE    BIT(7)
#define ENTRY_NX       BIT(63)
#define ENTRY_ADDRESS  BITS(51, 12)

/* PSE-36: a 4M page's frame has up to 40 bits, the upper ones at 20:13. */
#define PSE36_LOW      BITS(31, 22)
#define PSE36_HIGH     BITS(20, 13)
#define PSE36_BITS     40

#define LEVELS         4
#define ATTEMPTS       16

enum kind { PAGING_OFF, PAGING_32, PAGING_PAE, PAGING_4_LEVEL };

struct used_entry {
	gpa_t at;
	u64 value;
};

struct walk {
	struct guest_mem *mem;
	const struct guest_paging *paging;
	enum kind kind;
	u64 linear;
	enum guest_access access;

	struct used_entry used[LEVELS]; /* the last one maps the page */
	u32 used_count;
	bool is_writable, is_user, is_executable;
	u32 error_code;
};

static enum kind kind_of(const struct guest_paging *paging)
{
	if (!(paging->cr0 & CR0_PG))
		return PAGING_OFF;
	if (!(paging->cr4 & CR4_PAE))
		return PAGING_32;
	return paging->efer & EFER_LMA ? PAGING_4_LEVEL : PAGING_PAE;
}

/* --- What is asked -------------------------------------------------------- */

static bool is_write(const struct walk *w)
{
	return w->access == GUEST_WRITE || w->access == GUEST_SYSTEM_WRITE;
}

static bool is_system(const struct walk *w)
{
	return w->access == GUEST_SYSTEM_READ ||
	       w->access == GUEST_SYSTEM_WRITE;
}

static bool is_user(const struct walk *w)
{
	return w->paging->cpl == 3 && !is_system(w);
}

static bool has_nx(const struct walk *w)
{
	return w->kind != PAGING_32 && (w->paging->efer & EFER_NXE);
}

/* SDM volume 3, "Page-Fault Exceptions" */
static enum err fault(struct walk *w, u64 why)
{
	bool says_fetch = has_nx(w) || (w->paging->cr4 & CR4_SMEP);

	if (is_write(w))
		why |= PF_WRITE;
	if (is_user(w))
		why |= PF_USER;
	if (w->access == GUEST_FETCH && says_fetch)
		why |= PF_FETCH;
	w->error_code = (u32)why;
	return ERR_RANGE;
}

/* --- Entries -------------------------------------------------------------- */

static u32 index_bits(const struct walk *w)
{
	return w->kind == PAGING_32 ? 10 : 9;
}

static u32 shift_of(const struct walk *w, u32 level)
{
	return PAGE_SHIFT + (level - 1) * index_bits(w);
}

static enum err below(const struct walk *w, enum guest_access access,
		      enum guest_target target, gpa_t *address)
{
	u64 physical = gpa_raw(*address);

	const struct guest_below *b = w->paging->below;

	if (!b)
		return OK;
	return b->translate(b->context, physical, access, target, address);
}

static enum err read_entry(const struct walk *w, gpa_t at, u64 *value)
{
	enum err err;
	u32 narrow = 0;

	err = below(w, GUEST_READ, GUEST_TABLE_ENTRY, &at);
	if (err != OK)
		return err;
	if (w->kind == PAGING_32) {
		err = guest_mem_read_u32(w->mem, at, &narrow);
		*value = narrow;
	} else {
		err = guest_mem_read_u64(w->mem, at, value);
	}
	return err == OK ? OK : ERR_NOT_FOUND;
}

static enum err swap_entry(const struct walk *w, const struct used_entry *used,
			   u64 value)
{
	u64 expected = used->value;
	u32 narrow = (u32)expected;
	gpa_t at = used->at;
	enum err err = below(w, GUEST_WRITE, GUEST_TABLE_ENTRY, &at);

	if (err != OK)
		return err;
	if (w->kind == PAGING_32)
		err = guest_mem_swap_u32(w->mem, at, &narrow, (u32)value);
	else
		err = guest_mem_swap_u64(w->mem, at, &expected, value);
	if (err == OK || err == ERR_BUSY)
		return err;
	return ERR_NOT_FOUND;
}

static bool is_leaf(const struct walk *w, u32 level, u64 entry)
{
	if (level == 1)
		return true;
	if (!(entry & ENTRY_LARGE) || level == 4)
		return false;
	return w->kind != PAGING_32 || (w->paging->cr4 & CR4_PSE);
}

/* The address bits of a large page's entry below its frame, but for PAT. */
static u64 unused_frame_bits(const struct walk *w, u32 level)
{
	return BITS(51, 13) & (BIT(shift_of(w, level)) - 1);
}

static u64 reserved_32(const struct walk *w, u32 level, u64 entry)
{
	u32 high_bits = w->paging->phys_bits < PSE36_BITS
			    ? w->paging->phys_bits - 32
			    : PSE36_BITS - 32;

	if (level == 1 || !is_leaf(w, level, entry))
		return 0;
	return BITS(21, 13) & ~((BIT(high_bits) - 1) << 13);
}

/* SDM volume 3, "Paging": the bits that must be 0 in a present entry. */
static u64 reserved_bits(const struct walk *w, u32 level, u64 entry)
{
	u64 reserved = BITS(51, 0) & ~(BIT(w->paging->phys_bits) - 1);

	if (w->kind == PAGING_32)
		return reserved_32(w, level, entry);
	if (!has_nx(w))
		reserved |= ENTRY_NX;
	if (w->kind == PAGING_PAE)
		reserved |= BITS(62, 52);
	if (level == 4 || (level == 3 && !w->paging->has_1g_pages))
		reserved |= ENTRY_LARGE;
	if (level > 1 && is_leaf(w, level, entry))
		reserved |= unused_frame_bits(w, level);
	return reserved;
}

/* --- Down ----------------------------------------------------------------- */

static gpa_t entry_address(const struct walk *w, u64 table, u32 level)
{
	u64 index = w->linear >> shift_of(w, level) & (BIT(index_bits(w)) - 1);

	return gpa(table + index * (w->kind == PAGING_32 ? 4 : 8));
}

/*
 * Where the first table is, and its level. A PAE guest's four pointers have
 * neither rights nor flags.
 */
static enum err find_root(struct walk *w, u64 *table, u32 *level)
{
	u64 pointer = w->paging->cr3;

	*level = w->kind == PAGING_4_LEVEL ? 4 : 2;
	if (w->kind == PAGING_32) {
		pointer &= BITS(31, 12);
	} else if (w->kind == PAGING_PAE) {
		pointer = w->paging->pdptes[w->linear >> 30 & 3];
		if (!(pointer & ENTRY_PRESENT))
			return fault(w, 0);
	}
	*table = pointer & ENTRY_ADDRESS;
	return OK;
}

static void note_entry(struct walk *w, gpa_t at, u64 entry)
{
	w->used[w->used_count++] = (struct used_entry){at, entry};
	if (!(entry & ENTRY_WRITABLE))
		w->is_writable = false;
	if (!(entry & ENTRY_USER))
		w->is_user = false;
	if (entry & ENTRY_NX)
		w->is_executable = false;
}

/* Ends at the entry that maps the page, and its level, or with a fault. */
static enum err descend(struct walk *w, u32 *level)
{
	u64 table = 0;
	enum err err = find_root(w, &table, level);

	w->used_count = 0;
	w->is_writable = w->is_user = w->is_executable = true;
	for (; err == OK; (*level)--) {
		gpa_t at = entry_address(w, table, *level);
		u64 entry;

		err = read_entry(w, at, &entry);
		if (err != OK)
			return err;
		if (!(entry & ENTRY_PRESENT))
			return fault(w, 0);
		if (entry & reserved_bits(w, *level, entry))
			return fault(w, PF_PRESENT | PF_RESERVED);
		note_entry(w, at, entry);
		if (is_leaf(w, *level, entry))
			return OK;
		table = entry & ENTRY_ADDRESS;
	}
	return err;
}

/* --- Rights --------------------------------------------------------------- */

/* CR4.SMAP: a supervisor keeps off users' data, unless it says otherwise. */
static bool smap_forbids(const struct walk *w)
{
	return w->is_user && (w->paging->cr4 & CR4_SMAP) &&
	       (is_system(w) || !(w->paging->rflags & RFLAGS_AC));
}

/* SDM volume 3, "Determination of Access Rights" */
static bool is_allowed(const struct walk *w)
{
	const struct guest_paging *paging = w->paging;

	if (w->access == GUEST_LOOK)
		return true;
	if (is_user(w) && !w->is_user)
		return false;
	if (w->access == GUEST_FETCH)
		return w->is_executable &&
		       (is_user(w) || !w->is_user || !(paging->cr4 & CR4_SMEP));
	if (!is_user(w) && smap_forbids(w))
		return false;
	if (!is_write(w) || w->is_writable)
		return true;
	return !is_user(w) && !(paging->cr0 & CR0_WP);
}

/* --- Flags ---------------------------------------------------------------- */

static enum err set_flags(struct walk *w)
{
	for (u32 i = 0; i < w->used_count; i++) {
		struct used_entry *used = &w->used[i];
		bool is_last = i == w->used_count - 1;
		u64 wanted = used->value | ENTRY_ACCESSED;
		enum err err;

		if (is_last && is_write(w))
			wanted |= ENTRY_DIRTY;
		if (wanted == used->value)
			continue;
		err = swap_entry(w, used, wanted);
		if (err != OK)
			return err;
		used->value = wanted;
	}
	return OK;
}

/* --- Paths ---------------------------------------------------------------- */

static struct guest_path *path_of(const struct guest_paging *paging, u64 linear,
				  enum guest_access access)
{
	if (!paging->paths || access < GUEST_READ || access > GUEST_FETCH)
		return NULL;
	return &paging->paths->of[access - GUEST_READ]
				 [linear / PAGE_4K % GUEST_PATHS_OF_ACCESS];
}

/* Would a walk go this way again? */
static bool holds(const struct guest_path *path,
		  const struct guest_paging *paging, u64 linear)
{
	if (path->linear != align_down(linear, PAGE_4K) + 1 ||
	    path->cr3 != paging->cr3 || path->cr0 != paging->cr0 ||
	    path->cr4 != paging->cr4 || path->efer != paging->efer ||
	    path->cpl != paging->cpl ||
	    ((path->rflags ^ paging->rflags) & RFLAGS_AC))
		return false;
#pragma GCC unroll 4
	for (u32 i = 0; i < GUEST_PATH_LEVELS; i++)
		if (__atomic_load_n(path->at[i], __ATOMIC_ACQUIRE) !=
		    path->value[i])
			return false;
	return true;
}

/* All that was used is in memory: it has just been read. */
static void keep_path(struct guest_path *path, const struct walk *w,
		      gpa_t address)
{
	const struct guest_paging *paging = w->paging;

	*path = (struct guest_path){
	    .linear = align_down(w->linear, PAGE_4K) + 1,
	    .cr0 = paging->cr0,
	    .cr3 = paging->cr3,
	    .cr4 = paging->cr4,
	    .efer = paging->efer,
	    .rflags = paging->rflags,
	    .cpl = paging->cpl,
	    .page = gpa(align_down(gpa_raw(address), PAGE_4K)),
	};
	for (u32 i = 0; i < GUEST_PATH_LEVELS; i++) {
		u32 used = i < w->used_count ? i : 0;

		path->at[i] =
		    guest_mem_ptr(w->mem, w->used[used].at, sizeof(u64));
		path->value[i] = w->used[used].value;
	}
}

/* -------------------------------------------------------------------------- */

static u64 frame_of(const struct walk *w, u32 level)
{
	u64 leaf = w->used[w->used_count - 1].value;

	if (w->kind == PAGING_32 && level == 2)
		return (leaf & PSE36_LOW) | bits_get(leaf, PSE36_HIGH) << 32;
	return align_down(leaf & ENTRY_ADDRESS, BIT(shift_of(w, level)));
}

/* What the page has below it may be smaller; 4K always are in one piece. */
static enum err finish(const struct walk *w, u64 physical, u64 bytes,
		       struct guest_page *page)
{
	gpa_t address = gpa(physical);
	enum err err = below(w, w->access, GUEST_PAGE, &address);

	if (err == OK)
		*page = (struct guest_page){
		    address, w->paging->below ? PAGE_4K : bytes, 0};
	return err;
}

static enum err walk_once(struct walk *w, struct guest_page *page)
{
	u32 level = 0;
	enum err err = descend(w, &level);
	u64 bytes;

	if (err != OK)
		return err;
	if (!is_allowed(w))
		return fault(w, PF_PRESENT);
	if (w->access != GUEST_LOOK)
		err = set_flags(w);
	if (err != OK)
		return err;
	bytes = BIT(shift_of(w, level));
	return finish(w, frame_of(w, level) | (w->linear & (bytes - 1)), bytes,
		      page);
}

static NOINLINE enum err walk_anew(struct walk *w, struct guest_path *path,
				   struct guest_page *page)
{
	enum err err = ERR_BUSY;

	w->kind = kind_of(w->paging);
	if (w->kind == PAGING_OFF)
		return finish(w, w->linear, PAGE_4K, page);
	for (u32 attempt = 0; attempt < ATTEMPTS && err == ERR_BUSY; attempt++)
		err = walk_once(w, page);
	if (err == ERR_RANGE)
		page->error_code = w->error_code;
	else if (err == OK && path && w->kind == PAGING_4_LEVEL)
		keep_path(path, w, page->address);
	return err;
}

enum err guest_walk(struct guest_mem *mem, const struct guest_paging *paging,
		    gva_t address, enum guest_access access,
		    struct guest_page *page)
{
	struct guest_path *path = path_of(paging, gva_raw(address), access);
	struct walk w;

	if (path && holds(path, paging, gva_raw(address))) {
		*page = (struct guest_page){
		    gpa_add(path->page, gva_raw(address) % PAGE_4K), PAGE_4K,
		    0};
		return OK;
	}
	w.mem = mem;
	w.paging = paging;
	w.linear = gva_raw(address);
	w.access = access;
	w.error_code = 0;
	return walk_anew(&w, path, page);
}
