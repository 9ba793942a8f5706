/* SPDX-License-Identifier: MIT */
/* Smaller pages: see migrate/pack.h. */
#include "migrate/pack.h"
#include "lib/string.h"

#define MISSES_MAX  8U   /* from then on only every so many-th page is tried */
#define SMALL_BYTES 512U /* small enough not to look for something smaller */

void packer_init(struct packer *packer, u64 features, struct sent_page *sent,
		 u32 sent_count)
{
	packer->features = features;
	packer->sent = sent;
	packer->sent_count = features & WIRE_FEATURE_DELTA ? sent_count : 0;
	packer->misses = 0;
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

static void remember(struct packer *packer, gpa_t page)
{
	struct sent_page *slot = slot_of(packer, page);

	if (!slot)
		return;
	slot->number_plus_1 = gpa_page(page) + 1;
	memcpy(slot->contents, packer->copy, PAGE_4K);
}

void packer_forget(struct packer *packer, gpa_t page)
{
	struct sent_page *slot = slot_of(packer, page);

	if (holds(slot, page))
		slot->number_plus_1 = 0;
}

/* Eight bytes at a time; the page that results is `to`. */
static void exclusive_or(u8 *to, const u8 *from)
{
	for (u32 i = 0; i < PAGE_4K; i += sizeof(u64)) {
		u64 a, b;

		memcpy(&a, to + i, sizeof(a));
		memcpy(&b, from + i, sizeof(b));
		a ^= b;
		memcpy(to + i, &a, sizeof(a));
	}
}

static struct packed_page pack_delta(struct packer *packer,
				     const struct sent_page *slot)
{
	struct packed_page result = {PAGE_DELTA, packer->packed, 0};

	memcpy(packer->changed, packer->copy, PAGE_4K);
	exclusive_or(packer->changed, slot->contents);
	result.count = lz4_compress(&packer->lz4, packer->changed, PAGE_4K,
				    packer->packed, PACK_BYTES_MAX);
	return result;
}

/* Where compression has not paid for a while, it is seldom tried. */
static bool is_worth_trying(struct packer *packer)
{
	if (!(packer->features & WIRE_FEATURE_LZ4))
		return false;
	if (packer->misses < MISSES_MAX)
		return true;
	return ++packer->misses % MISSES_MAX == 0;
}

/* `result`, or a smaller one of the page itself. */
static struct packed_page pack_whole(struct packer *packer,
				     struct packed_page result)
{
	u32 room = result.count ? result.count - 1 : PACK_BYTES_MAX, count;

	if (!is_worth_trying(packer))
		return result;
	count = lz4_compress(&packer->lz4, packer->copy, PAGE_4K, packer->other,
			     room);
	if (count)
		result = (struct packed_page){PAGE_LZ4, packer->other, count};
	packer->misses = count || result.count ? 0 : packer->misses + 1;
	return result;
}

struct packed_page packer_pack(struct packer *packer, gpa_t page,
			       const void *contents)
{
	const struct sent_page *slot = slot_of(packer, page);
	struct packed_page result = {.count = 0};

	memcpy(packer->copy, contents, PAGE_4K);
	/* The guest writes on: from here on only the copy may be read, also
	 * where the compiler knows where it is from. */
	__asm__ volatile("" ::: "memory");
	if (holds(slot, page))
		result = pack_delta(packer, slot);
	if (!result.count || result.count > SMALL_BYTES)
		result = pack_whole(packer, result);
	remember(packer, page);
	if (!result.count)
		result = (struct packed_page){PAGE_RAW, packer->copy, PAGE_4K};
	return result;
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
