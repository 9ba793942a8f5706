/* SPDX-License-Identifier: MIT */
/*
 * Guest memory: see mm/guest_mem.h.
 *
 * Each slot has a table with one u64 per page, the frame behind it with the
 * order of the frame's block in the low bits. A lookup is a scan over a
 * handful of slots and one load.
 */
#include "mm/guest_mem.h"
#include "lib/check.h"
#include "lib/string.h"
#include "lib/vectors.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

/* An entry of the table: frame address | order. */
#define BLOCK_FRAME BITS(63, 12)
#define BLOCK_ORDER BITS(4, 0)

_Static_assert(FRAME_1G <= BLOCK_ORDER, "orders fit below the frame address");

enum err guest_mem_create(struct guest_mem *mem, gpa_t limit, const char *name)
{
	struct dirty_log log;
	enum err err = dirty_log_create(&log, limit, name);

	if (err == OK)
		*mem = (struct guest_mem){.name = name, .log = log};
	return err;
}

/* --- Slots --------------------------------------------------------------- */

static hpa_t block_frame(u64 block)
{
	return hpa(block & BLOCK_FRAME);
}

static enum frame_order block_order(u64 block)
{
	return (enum frame_order)(block & BLOCK_ORDER);
}

/* Gives back the blocks of the first `pages` pages, and the table. */
static void release_slot(struct guest_slot *slot, u64 pages)
{
	for (u64 page = 0; page < pages;) {
		u64 block = slot->blocks[page];

		frame_free(block_frame(block), block_order(block));
		page += 1ULL << block_order(block);
	}
	frame_free(phys_of(slot->blocks), slot->blocks_order);
}

void guest_mem_destroy(struct guest_mem *mem)
{
	for (u32 i = 0; i < mem->slot_count; i++)
		release_slot(&mem->slots[i], mem->slots[i].bytes >> PAGE_SHIFT);
	dirty_log_destroy(&mem->log);
	if (mem->watched)
		frame_free(mem->watch_storage, mem->watch_order);
	*mem = (struct guest_mem){0};
}

/* The largest order for a block at `base` that ends within `bytes`. */
static enum frame_order largest_order(gpa_t base, u64 bytes)
{
	u32 order = FRAME_1G;

	while (order > FRAME_4K &&
	       (!is_aligned(gpa_raw(base), frame_bytes(order)) ||
		frame_bytes(order) > bytes))
		order--;
	return order;
}

/*
 * One zeroed block at `base`, as large as there is one. Only the last
 * attempt, for a single page, complains.
 */
static enum err back_block(struct guest_slot *slot, const char *who, u64 offset,
			   enum frame_order *order)
{
	gpa_t base = gpa_add(slot->base, offset);
	hpa_t frame;

	*order = largest_order(base, slot->bytes - offset);
	while (*order > FRAME_4K && frame_alloc_try(*order, &frame) != OK)
		--*order;
	if (*order == FRAME_4K && frame_alloc(*order, who, &frame) != OK)
		return ERR_NO_MEMORY;
	memset(phys_ptr(frame), 0, frame_bytes(*order));
	for (u64 page = 0; page < 1ULL << *order; page++)
		slot->blocks[(offset >> PAGE_SHIFT) + page] =
		    (hpa_raw(frame) + (page << PAGE_SHIFT)) | *order;
	return OK;
}

static enum err back_slot(struct guest_slot *slot, const char *who)
{
	hpa_t table;

	slot->blocks_order =
	    frame_order_for((slot->bytes >> PAGE_SHIFT) * sizeof(u64));
	if (slot->blocks_order >= FRAME_ORDERS)
		return ERR_RANGE;
	if (frame_alloc(slot->blocks_order, who, &table) != OK)
		return ERR_NO_MEMORY;
	slot->blocks = phys_ptr(table);
	for (u64 offset = 0; offset < slot->bytes;) {
		enum frame_order order;

		if (back_block(slot, who, offset, &order) != OK) {
			release_slot(slot, offset >> PAGE_SHIFT);
			return ERR_NO_MEMORY;
		}
		offset += frame_bytes(order);
	}
	return OK;
}

/* [base, +bytes) without wrapping, below `limit`. */
static bool is_below(gpa_t base, u64 bytes, gpa_t limit)
{
	return gpa_raw(base) <= gpa_raw(limit) &&
	       bytes <= gpa_raw(limit) - gpa_raw(base);
}

static bool overlaps(const struct guest_slot *slot, gpa_t base, u64 bytes)
{
	return gpa_raw(base) < gpa_raw(slot->base) + slot->bytes &&
	       gpa_raw(slot->base) < gpa_raw(base) + bytes;
}

/* Nearly all that is looked for is in the largest one. */
static void sort_by_size(struct guest_mem *mem)
{
	for (u32 i = 0; i < mem->slot_count; i++) {
		u32 at = i;

		while (at && mem->slots[mem->by_size[at - 1]].bytes <
				 mem->slots[i].bytes) {
			mem->by_size[at] = mem->by_size[at - 1];
			at--;
		}
		mem->by_size[at] = (u8)i;
	}
}

enum err guest_mem_add(struct guest_mem *mem, gpa_t base, u64 bytes)
{
	struct guest_slot slot = {.base = base, .bytes = bytes};
	u32 at = 0;

	if (!is_aligned(gpa_raw(base) | bytes, PAGE_4K))
		return ERR_ALIGN;
	if (bytes == 0 || !is_below(base, bytes, dirty_log_end(&mem->log)))
		return ERR_RANGE;
	for (u32 i = 0; i < mem->slot_count; i++)
		if (overlaps(&mem->slots[i], base, bytes))
			return ERR_OVERLAP;
	if (mem->slot_count == GUEST_MEM_SLOTS)
		return ERR_NO_MEMORY;

	enum err err = back_slot(&slot, mem->name);

	if (err != OK)
		return err;
	while (at < mem->slot_count &&
	       gpa_raw(mem->slots[at].base) < gpa_raw(base))
		at++;
	memmove(&mem->slots[at + 1], &mem->slots[at],
		(mem->slot_count - at) * sizeof(slot));
	mem->slots[at] = slot;
	mem->slot_count++;
	sort_by_size(mem);
	mem->bytes += bytes;
	dirty_log_cover(&mem->log, base, bytes);
	return OK;
}

enum err guest_mem_make_rom(struct guest_mem *mem, gpa_t base)
{
	for (u32 i = 0; i < mem->slot_count; i++) {
		if (gpa_equal(mem->slots[i].base, base)) {
			mem->slots[i].kind = GUEST_ROM;
			return OK;
		}
	}
	return ERR_NOT_FOUND;
}

/* --- Lookup -------------------------------------------------------------- */

static const struct guest_slot *slot_of(const struct guest_mem *mem,
					gpa_t address)
{
	for (u32 i = 0; i < mem->slot_count; i++) {
		const struct guest_slot *slot = &mem->slots[mem->by_size[i]];

		/* Unsigned: an address below the slot is far past it. */
		if (gpa_raw(address) - gpa_raw(slot->base) < slot->bytes)
			return slot;
	}
	return NULL;
}

static u64 block_of(const struct guest_slot *slot, gpa_t address)
{
	return slot
	    ->blocks[(gpa_raw(address) - gpa_raw(slot->base)) >> PAGE_SHIFT];
}

/* The bytes at an address that allows() has found to be in a slot. */
static void *bytes_of(const struct guest_mem *mem, gpa_t address)
{
	const struct guest_slot *slot = slot_of(mem, address);

	CHECK(slot);
	return phys_ptr(
	    hpa_add(block_frame(block_of(slot, address)), gpa_offset(address)));
}

enum err guest_mem_frame(const struct guest_mem *mem, gpa_t address,
			 hpa_t *frame)
{
	const struct guest_slot *slot = slot_of(mem, address);

	if (!slot)
		return ERR_RANGE;
	*frame = block_frame(block_of(slot, address));
	return OK;
}

enum err guest_mem_block(const struct guest_mem *mem, gpa_t address,
			 hpa_t *frame, u64 *bytes)
{
	static const enum frame_order sizes[] = {FRAME_1G, FRAME_2M, FRAME_4K};
	const struct guest_slot *slot = slot_of(mem, address);

	if (!slot)
		return ERR_RANGE;
	if (gpa_offset(address))
		return ERR_ALIGN;

	u64 block = block_of(slot, address);

	/*
	 * A block is aligned to its size in both spaces, so any aligned part
	 * of it is a candidate, and the single page always is.
	 */
	for (u32 i = 0; i < ARRAY_COUNT(sizes); i++) {
		if (sizes[i] > block_order(block) ||
		    !is_aligned(gpa_raw(address), frame_bytes(sizes[i])))
			continue;
		*frame = block_frame(block);
		*bytes = frame_bytes(sizes[i]);
		break;
	}
	return OK;
}

/* --- Reading ------------------------------------------------------------- */

enum slot_use {
	USE_READ,
	USE_WRITE,
	USE_LOAD, /* writes ROM too */
};

/* May all of [address, +bytes) be used so? It may reach over several slots. */
static enum err allows(const struct guest_mem *mem, gpa_t address, u64 bytes,
		       enum slot_use use)
{
	while (bytes) {
		const struct guest_slot *slot = slot_of(mem, address);

		if (!slot)
			return ERR_RANGE;
		if (use == USE_WRITE && slot->kind == GUEST_ROM)
			return ERR_STATE;

		u64 in_slot =
		    gpa_raw(slot->base) + slot->bytes - gpa_raw(address);

		if (bytes <= in_slot)
			break;
		bytes -= in_slot;
		address = gpa_add(address, in_slot);
	}
	return OK;
}

/* How much of `bytes` lies in the page of `address`. */
static u64 bytes_in_page(gpa_t address, u64 bytes)
{
	u64 rest = PAGE_4K - gpa_offset(address);

	return bytes < rest ? bytes : rest;
}

const void *guest_mem_ptr(const struct guest_mem *mem, gpa_t address, u64 bytes)
{
	const struct guest_slot *slot = slot_of(mem, address);

	if (!slot || bytes_in_page(address, bytes) < bytes)
		return NULL;
	return phys_ptr(
	    hpa_add(block_frame(block_of(slot, address)), gpa_offset(address)));
}

enum err guest_mem_read(const struct guest_mem *mem, gpa_t address, void *to,
			u64 bytes)
{
	enum err err = allows(mem, address, bytes, USE_READ);
	u8 *at = to;

	if (err != OK)
		return err;
	while (bytes) {
		u64 here = bytes_in_page(address, bytes);

		memcpy(at, bytes_of(mem, address), here);
		at += here;
		address = gpa_add(address, here);
		bytes -= here;
	}
	return OK;
}

/* --- Watching ------------------------------------------------------------ */

#define WATCH_PAGES 64 /* of one word */

enum err guest_mem_watch_create(struct guest_mem *mem)
{
	u64 words = gpa_page(dirty_log_end(&mem->log)) / WATCH_PAGES;
	u64 bytes = words * sizeof(*mem->watched);
	enum frame_order order = frame_order_for(bytes);

	if (frame_alloc_zeroed(order, mem->name, &mem->watch_storage) != OK)
		return ERR_NO_MEMORY;
	mem->watch_order = order;
	mem->watch_words = words;
	mem->watched = phys_ptr(mem->watch_storage);
	return OK;
}

/* The word that has the page's bit, NULL if the page cannot be watched. */
static u64 *watch_word(const struct guest_mem *mem, gpa_t page)
{
	u64 word = gpa_page(page) / WATCH_PAGES;

	return word < mem->watch_words ? &mem->watched[word] : NULL;
}

static u64 watch_bit(gpa_t page)
{
	return BIT(gpa_page(page) % WATCH_PAGES);
}

bool guest_mem_watch(struct guest_mem *mem, gpa_t page)
{
	u64 *word = watch_word(mem, page);
	u64 bit = watch_bit(page);

	return word && (__atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST) & bit);
}

void guest_mem_unwatch(struct guest_mem *mem, gpa_t page)
{
	u64 *word = watch_word(mem, page);

	if (word)
		__atomic_fetch_and(word, ~watch_bit(page), __ATOMIC_SEQ_CST);
}

static ALWAYS_INLINE bool is_watched(const struct guest_mem *mem, gpa_t page)
{
	const u64 *word = watch_word(mem, page);

	return word &&
	       (__atomic_load_n(word, __ATOMIC_SEQ_CST) & watch_bit(page));
}

bool guest_mem_is_watched(const struct guest_mem *mem, gpa_t page)
{
	return is_watched(mem, page);
}

u64 guest_mem_watch_hits(const struct guest_mem *mem)
{
	return __atomic_load_n(&mem->watch_hits, __ATOMIC_SEQ_CST);
}

static NOINLINE void hit(struct guest_mem *mem, gpa_t page)
{
	guest_mem_unwatch(mem, page);
	__atomic_fetch_add(&mem->watch_hits, 1, __ATOMIC_SEQ_CST);
}

/* After a write and its mark, which is a locked instruction. */
static ALWAYS_INLINE void look_for_watch(struct guest_mem *mem, gpa_t address)
{
	if (unlikely(is_watched(mem, address)))
		hit(mem, address);
}

/* --- Writing: bytes first, mark second (mm/dirty_log.h) ------------------ */

/* The page of `address` has been written. */
static void wrote(struct guest_mem *mem, gpa_t address)
{
	dirty_log_mark(&mem->log, address);
	look_for_watch(mem, address);
}

/* Within one page. NULL puts zeroes. */
static void put(struct guest_mem *mem, gpa_t address, const u8 *from, u64 bytes)
{
	void *to = bytes_of(mem, address);

	if (from && bytes == PAGE_4K)
		vectors_copy(to, from, PAGE_4K);
	else if (from)
		memcpy(to, from, bytes);
	else
		memset(to, 0, bytes);
	wrote(mem, address);
}

static enum err put_all(struct guest_mem *mem, gpa_t address, const void *from,
			u64 bytes, enum slot_use use)
{
	enum err err = allows(mem, address, bytes, use);
	const u8 *at = from;

	if (err != OK)
		return err;
	while (bytes) {
		u64 here = bytes_in_page(address, bytes);

		put(mem, address, at, here);
		at = at ? at + here : NULL;
		address = gpa_add(address, here);
		bytes -= here;
	}
	return OK;
}

enum err guest_mem_write(struct guest_mem *mem, gpa_t address, const void *from,
			 u64 bytes)
{
	return put_all(mem, address, from, bytes, USE_WRITE);
}

enum err guest_mem_zero(struct guest_mem *mem, gpa_t address, u64 bytes)
{
	return put_all(mem, address, NULL, bytes, USE_WRITE);
}

enum err guest_mem_load(struct guest_mem *mem, gpa_t address, const void *from,
			u64 bytes)
{
	return put_all(mem, address, from, bytes, USE_LOAD);
}

/* --- Single accesses ----------------------------------------------------- */

/* Naturally aligned, so in one page of one slot: `at` is where. */
static enum err single(const struct guest_mem *mem, gpa_t address, u64 bytes,
		       enum slot_use use, void **at)
{
	const struct guest_slot *slot = slot_of(mem, address);

	if (!is_aligned(gpa_raw(address), bytes))
		return ERR_ALIGN;
	if (!slot)
		return ERR_RANGE;
	if (use == USE_WRITE && slot->kind == GUEST_ROM)
		return ERR_STATE;
	*at = phys_ptr(
	    hpa_add(block_frame(block_of(slot, address)), gpa_offset(address)));
	return OK;
}

enum err guest_mem_read_u8(const struct guest_mem *mem, gpa_t address,
			   u8 *value)
{
	void *at;
	enum err err = single(mem, address, sizeof(*value), USE_READ, &at);

	if (err != OK)
		return err;
	*value = __atomic_load_n((const u8 *)at, __ATOMIC_ACQUIRE);
	return OK;
}

enum err guest_mem_read_u16(const struct guest_mem *mem, gpa_t address,
			    u16 *value)
{
	void *at;
	enum err err = single(mem, address, sizeof(*value), USE_READ, &at);

	if (err != OK)
		return err;
	*value = __atomic_load_n((const u16 *)at, __ATOMIC_ACQUIRE);
	return OK;
}

enum err guest_mem_read_u32(const struct guest_mem *mem, gpa_t address,
			    u32 *value)
{
	void *at;
	enum err err = single(mem, address, sizeof(*value), USE_READ, &at);

	if (err != OK)
		return err;
	*value = __atomic_load_n((const u32 *)at, __ATOMIC_ACQUIRE);
	return OK;
}

enum err guest_mem_read_u64(const struct guest_mem *mem, gpa_t address,
			    u64 *value)
{
	void *at;
	enum err err = single(mem, address, sizeof(*value), USE_READ, &at);

	if (err != OK)
		return err;
	*value = __atomic_load_n((const u64 *)at, __ATOMIC_ACQUIRE);
	return OK;
}

enum err guest_mem_write_u8(struct guest_mem *mem, gpa_t address, u8 value)
{
	void *at;
	enum err err = single(mem, address, sizeof(value), USE_WRITE, &at);

	if (err != OK)
		return err;
	__atomic_store_n((u8 *)at, value, __ATOMIC_RELEASE);
	wrote(mem, address);
	return OK;
}

enum err guest_mem_write_u16(struct guest_mem *mem, gpa_t address, u16 value)
{
	void *at;
	enum err err = single(mem, address, sizeof(value), USE_WRITE, &at);

	if (err != OK)
		return err;
	__atomic_store_n((u16 *)at, value, __ATOMIC_RELEASE);
	wrote(mem, address);
	return OK;
}

enum err guest_mem_write_u32(struct guest_mem *mem, gpa_t address, u32 value)
{
	void *at;
	enum err err = single(mem, address, sizeof(value), USE_WRITE, &at);

	if (err != OK)
		return err;
	__atomic_store_n((u32 *)at, value, __ATOMIC_RELEASE);
	wrote(mem, address);
	return OK;
}

enum err guest_mem_write_u64(struct guest_mem *mem, gpa_t address, u64 value)
{
	void *at;
	enum err err = single(mem, address, sizeof(value), USE_WRITE, &at);

	if (err != OK)
		return err;
	__atomic_store_n((u64 *)at, value, __ATOMIC_RELEASE);
	wrote(mem, address);
	return OK;
}

enum err guest_mem_swap_u32(struct guest_mem *mem, gpa_t address, u32 *expected,
			    u32 value)
{
	void *at;
	enum err err = single(mem, address, sizeof(value), USE_WRITE, &at);

	if (err != OK)
		return err;
	if (!__atomic_compare_exchange_n((u32 *)at, expected, value, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return ERR_BUSY;
	wrote(mem, address);
	return OK;
}

enum err guest_mem_swap_unseen_u64(struct guest_mem *mem, gpa_t address,
				   u64 *expected, u64 value)
{
	void *at;
	enum err err = single(mem, address, sizeof(value), USE_WRITE, &at);

	if (err != OK)
		return err;
	if (!__atomic_compare_exchange_n((u64 *)at, expected, value, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return ERR_BUSY;
	dirty_log_mark(&mem->log, address);
	return OK;
}

bool guest_mem_is_ram(const struct guest_mem *mem, gpa_t address)
{
	const struct guest_slot *slot = slot_of(mem, address);

	return slot && slot->kind == GUEST_RAM;
}

/* The page is RAM, so the log knows it. */
static ALWAYS_INLINE void mark_ram(struct guest_mem *mem, gpa_t address)
{
	dirty_log_mark_known(&mem->log, gpa_raw(address) / DIRTY_WORD_BYTES,
			     BIT(gpa_page(address) % DIRTY_WORD_PAGES));
}

void guest_mem_write_spot(struct guest_mem *mem, struct guest_mem_spot spot,
			  u64 value)
{
	u64 *at = phys_ptr(phys_of(spot.at));

	__atomic_store_n(at, value, __ATOMIC_RELEASE);
	mark_ram(mem, spot.address);
	look_for_watch(mem, spot.address);
}

enum err guest_mem_swap_unseen_spot(struct guest_mem *mem,
				    struct guest_mem_spot spot, u64 expected,
				    u64 value)
{
	u64 *at = phys_ptr(phys_of(spot.at));

	if (!__atomic_compare_exchange_n(at, &expected, value, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return ERR_BUSY;
	mark_ram(mem, spot.address);
	return OK;
}

enum err guest_mem_swap_u64(struct guest_mem *mem, gpa_t address, u64 *expected,
			    u64 value)
{
	enum err err = guest_mem_swap_unseen_u64(mem, address, expected, value);

	if (err == OK)
		look_for_watch(mem, address);
	return err;
}

void guest_mem_mark(struct guest_mem *mem, gpa_t address, u64 bytes)
{
	dirty_log_mark_range(&mem->log, address, bytes);
	while (mem->watch_words && bytes) {
		u64 here = bytes_in_page(address, bytes);

		look_for_watch(mem, address);
		address = gpa_add(address, here);
		bytes -= here;
	}
}
