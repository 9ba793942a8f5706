/* SPDX-License-Identifier: MIT */
/* Smaller pages: see migrate/pack.h. */
#include "migrate/pack.h"
#include "lib/string.h"
#include "lib/vectors.h"

#define MISSES_MAX  8U   /* from then on only every so many-th page is tried */
#define SMALL_BYTES 512U /* small enough not to look for something smaller */

void packer_init(struct packer *packer, u64 features, struct sent_page *sent,
		 u32 sent_count)
{
	packer->features = features;
	packer->sent = sent;
	packer->sent_count = features & WIRE_FEATURE_DELTA ? sent_count : 0;
	packer->misses = packer->delta_misses = 0;
	for (u32 i = 0; i < packer->sent_count; i++)
		sent[i].number_plus_1 = 0;
}

static struct sent_page *slot_of(struct packer *packer, gpa_t page)
{
	return packer->sent_count
		   ? &packer->sent[gpa_page(page) % packer->sent_count]
		   : NULL;
}

static bool holds(const struct sent_page *slot, gpa_t page)
{
	return slot && slot->number_plus_1 == gpa_page(page) + 1;
}

void packer_forget(struct packer *packer, gpa_t page)
{
	struct sent_page *slot = slot_of(packer, page);

	if (holds(slot, page))
		slot->number_plus_1 = 0;
}

/* One bit for each byte that is not zero: its highest, then all eight together. */
static u64 bits_of_bytes(u64 word)
{
	const u64 low = 0x7f7f7f7f7f7f7f7fUL;

	return (((((word & low) + low) | word) & ~low) >> 7) *
		   0x0102040810204080UL >>
	       56;
}

/* Without wide registers. The guest may be writing `from`. */
static u64 change_64_bytes(u8 *to, const volatile u64 *from, u8 *changed)
{
	u64 any = 0, which = 0, word;

#pragma GCC unroll 8
	for (u32 i = 0; i < 8; i++) {
		u64 now = from[i];

		memcpy(&word, to + 8UL * i, sizeof(word));
		word ^= now;
		any |= word;
		memcpy(changed + 8UL * i, &word, sizeof(word));
		memcpy(to + 8UL * i, &now, sizeof(now));
	}
	for (u32 i = 0; any && i < 8; i++) {
		memcpy(&word, changed + 8UL * i, sizeof(word));
		which |= bits_of_bytes(word) << 8 * i;
	}
	return which;
}

/* `page` becomes `now`; `change` says what of it that changes. */
static void change_page(u8 *page, const void *now, struct page_change *change)
{
	const volatile u64 *from = now;

	if (vectors_change(page, now, change->bytes, change->which))
		return;
	for (u32 i = 0; i < PAGE_4K / 64; i++)
		change->which[i] = change_64_bytes(
		    page + 64UL * i, from + 8UL * i, change->bytes + 64UL * i);
}

/* What has not paid for a while is seldom tried. */
static bool is_worth_trying(u32 *misses)
{
	return *misses < MISSES_MAX || ++*misses % MISSES_MAX == 0;
}

/* 4096 bytes, if they become less than what is the least so far. */
static void try_lz4(struct packer *packer, struct packed_page *least,
		    enum page_kind kind, const u8 *bytes, u8 *to)
{
	u32 room =
	    least->count <= PACK_BYTES_MAX ? least->count - 1 : PACK_BYTES_MAX;
	u32 count = lz4_compress(&packer->lz4, bytes, PAGE_4K, to, room);

	if (count)
		*least = (struct packed_page){kind, to, count};
}

/* The page, or what has changed in it: whatever is less. */
static struct packed_page pack_much(struct packer *packer, const u8 *page,
				    bool is_known)
{
	struct packed_page least = {PAGE_RAW, page, PAGE_4K};

	if (is_known && is_worth_trying(&packer->delta_misses)) {
		try_lz4(packer, &least, PAGE_DELTA, packer->change.bytes,
			packer->packed);
		packer->delta_misses++;
	}
	if (least.count > SMALL_BYTES && packer->features & WIRE_FEATURE_LZ4 &&
	    is_worth_trying(&packer->misses)) {
		try_lz4(packer, &least, PAGE_LZ4, page, packer->other);
		packer->misses =
		    least.kind == PAGE_RAW ? packer->misses + 1 : 0;
	}
	if (least.kind == PAGE_DELTA)
		packer->delta_misses = 0;
	return least;
}

/*
 * The guest writes on: from the first copy on only that may be read, also where
 * the compiler knows where it is from. That copy is what is remembered, too.
 */
struct packed_page packer_pack(struct packer *packer, gpa_t page,
			       const void *contents)
{
	struct sent_page *slot = slot_of(packer, page);
	u8 *copy = slot ? slot->contents : packer->copy;
	bool is_known = holds(slot, page);
	u32 count = 0;

	if (is_known)
		change_page(copy, contents, &packer->change);
	else
		vectors_copy(copy, contents, PAGE_4K);
	__asm__ volatile("" ::: "memory");
	if (is_known)
		count = lz4_compress_sparse(packer->change.bytes, PAGE_4K,
					    packer->change.which,
					    packer->packed, PACK_BYTES_MAX);
	else if (slot)
		slot->number_plus_1 = gpa_page(page) + 1;
	if (count)
		return (struct packed_page){PAGE_DELTA, packer->packed, count};
	return pack_much(packer, copy, is_known);
}

/* The page that results is `to`. */
static void exclusive_or(u8 *to, const u8 *from)
{
	u64 which[PAGE_4K / 64];

	if (vectors_change(to, from, to, which))
		return;
#pragma GCC unroll 8
	for (u32 i = 0; i < PAGE_4K; i += sizeof(u64)) {
		u64 a, b;

		memcpy(&a, to + i, sizeof(a));
		memcpy(&b, from + i, sizeof(b));
		a ^= b;
		memcpy(to + i, &a, sizeof(a));
	}
}

bool pack_undo(const struct packed_page *packed, const void *before,
	       u8 page[PAGE_4K])
{
	if (!lz4_decompress(packed->bytes, packed->count, page, PAGE_4K))
		return false;
	if (packed->kind == PAGE_DELTA)
		exclusive_or(page, before);
	return true;
}
