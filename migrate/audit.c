/* SPDX-License-Identifier: MIT */
/* Comparing guest memories by hashes: see migrate/audit.h. */
#include "migrate/audit.h"
#include "lib/crc32c.h"

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

void audit_read_pages(const struct guest_mem *mem, u64 group,
		      struct audit_pages *pages)
{
	gpa_t base = gpa(group * AUDIT_GROUP_BYTES);

	*pages = (struct audit_pages){0};
	for (u32 i = 0; i < AUDIT_GROUP_PAGES; i++) {
		const void *page =
		    guest_mem_ptr(mem, gpa_add(base, i * PAGE_4K), PAGE_4K);

		if (!page)
			continue;
		pages->known |= BIT(i);
		pages->crc[i] = crc32c(0, page, PAGE_4K);
	}
}

u32 audit_group_hash(const struct guest_mem *mem, u64 group)
{
	struct audit_pages pages;
	u32 hash = 0;

	audit_read_pages(mem, group, &pages);
	for (u32 i = 0; i < AUDIT_GROUP_PAGES; i++)
		if (pages.known & BIT(i))
			hash =
			    crc32c(hash, &pages.crc[i], sizeof(pages.crc[i]));
	return hash;
}

u64 audit_difference(const struct audit_pages *a, const struct audit_pages *b)
{
	u64 bits = a->known ^ b->known;

	for (u32 i = 0; i < AUDIT_GROUP_PAGES; i++)
		if (a->crc[i] != b->crc[i])
			bits |= BIT(i);
	return bits;
}
