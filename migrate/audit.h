/* SPDX-License-Identifier: MIT */
/*
 * The audit: are two guest memories the same, and if not, which page is not?
 *
 *	page	CRC32C of its 4096 bytes
 *	group	CRC32C of the page CRCs, as little-endian words, of the pages
 *		that exist among 64 neighbours (the pages of one dirty word)
 *	root	CRC32C of the group hashes, as words, of all groups that have
 *		pages, in ascending order
 *
 * Group hashes go over the wire, 1/16 byte per page. Where one differs, the
 * page CRCs of that group are exchanged and name the pages.
 */
#ifndef MIGRATE_AUDIT_H
#define MIGRATE_AUDIT_H

#include "mm/guest_mem.h"

#define AUDIT_GROUP_PAGES DIRTY_WORD_PAGES
#define AUDIT_GROUP_BYTES (AUDIT_GROUP_PAGES * PAGE_4K)
#define AUDIT_NO_GROUP    (~0UL)

enum audit_mode {
	AUDIT_OFF = 0,
	AUDIT_FULL = 1,
};

struct audit_pages {
	u64 known; /* bit n: page n of the group exists */
	u32 crc[AUDIT_GROUP_PAGES];
};

/* The first group from `group` on that has pages. */
u64 audit_next_group(const struct guest_mem *mem, u64 group);

void audit_read_pages(const struct guest_mem *mem, u64 group,
		      struct audit_pages *pages);
u32 audit_group_hash(const struct guest_mem *mem, u64 group);

/* The bits of the pages in which both differ. */
u64 audit_difference(const struct audit_pages *a, const struct audit_pages *b);

#endif
