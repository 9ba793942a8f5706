/* SPDX-License-Identifier: MIT */
/* Comparing guest memories by hashes: see migrate/audit.h. */
#include "migrate/audit.h"
#include "lib/check.h"
#include "lib/crc32c.h"
#include "lib/vectors.h"

#define ZERO_PAGE_CRC 0x98f94189U /* of 4096 zeroes */

const char *audit_mode_name(enum audit_mode mode)
{
	return mode == AUDIT_OFF ? "off" : mode == AUDIT_FULL ? "full" : "sent";
}

u64 audit_next_group(const struct guest_mem *mem, u64 group)
{
	for (u32 i = 0; i < mem->slot_count; i++) {
		const struct guest_slot *slot = &mem->slots[i];
		u64 first = gpa_raw(slot->base) / AUDIT_GROUP_BYTES;
		u64 last =
		    (gpa_raw(slot->base) + slot->bytes - 1) / AUDIT_GROUP_BYTES;

		if (group <= last)
			return group > first ? group : first;
	}
	return AUDIT_NO_GROUP;
}

u64 audit_known_pages(const struct guest_mem *mem, u64 group)
{
	return group < mem->log.word_count ? mem->log.known[group] : 0;
}

/* With wide registers a page of zeroes is found sooner than it is summed up. */
static u32 hash_page(const void *page)
{
	const u64 *first = page;
	u64 any;

	if (!*first && vectors_any(page, &any) && !any)
		return ZERO_PAGE_CRC;
	return crc32c(0, page, PAGE_4K);
}

void audit_read_pages(const struct guest_mem *mem, u64 group, u64 count,
		      struct audit_pages *pages)
{
	gpa_t base = gpa(group * AUDIT_GROUP_BYTES);

	*pages = (struct audit_pages){0};
	for (u64 left = count & audit_known_pages(mem, group); left;
	     left &= left - 1) {
		u64 i = (u64)__builtin_ctzll(left);
		const void *page =
		    guest_mem_ptr(mem, gpa_add(base, i * PAGE_4K), PAGE_4K);

		CHECK(page); /* the log knows guest memory, and only that */
		pages->known |= BIT(i);
		pages->crc[i] = hash_page(page);
	}
}

u32 audit_group_hash(const struct guest_mem *mem, u64 group, u64 count)
{
	struct audit_pages pages;
	u32 in_a_row = 0;

	audit_read_pages(mem, group, count, &pages);
	for (u64 left = pages.known; left; left &= left - 1)
		pages.crc[in_a_row++] = pages.crc[__builtin_ctzll(left)];
	return crc32c(0, pages.crc, in_a_row * sizeof(pages.crc[0]));
}

u32 audit_root_of_full(u32 root, u32 hash)
{
	return crc32c(root, &hash, sizeof(hash));
}

u32 audit_root_of_sent(u32 root, u64 group, u64 count, u32 hash)
{
	root = crc32c(root, &group, sizeof(group));
	root = crc32c(root, &count, sizeof(count));
	return crc32c(root, &hash, sizeof(hash));
}

u64 audit_difference(const struct audit_pages *a, const struct audit_pages *b)
{
	u64 bits = a->known ^ b->known;

	for (u32 i = 0; i < AUDIT_GROUP_PAGES; i++)
		if (a->crc[i] != b->crc[i])
			bits |= BIT(i);
	return bits;
}
