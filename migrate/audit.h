/* SPDX-License-Identifier: MIT */
/*
 * The audit: are two guest memories the same, and if not, which page is not?
 *
 *	page	CRC32C of its 4096 bytes
 *	group	CRC32C of the page CRCs, as little-endian words, of the pages
 *		that count among 64 neighbours (the pages of one dirty word)
 *	root	full: CRC32C of the group hashes, as words
 *		sent: CRC32C of number u64, pages u64, hash u32 of each group
 *		of all groups that have pages that count, in ascending order
 *
 * A full audit counts every page that exists. One of what was sent counts the
 * pages that have gone with contents at least once: it finds what broke on the
 * way, for the price of the pages that are in use. A page that was only ever
 * said to be zero is not looked at, so a write that nobody marked in such a
 * page is for the full one to find.
 *
 * Group hashes go over the wire, 1/16 byte per page; with them, where not all
 * pages count, which do. Where one differs, the page CRCs of that group are
 * exchanged and name the pages.
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
	AUDIT_SENT = 2,
};

#define AUDIT_ALL_PAGES (~0UL)

/* "full", never NULL. */
const char *audit_mode_name(enum audit_mode mode);

struct audit_pages {
	u64 known; /* bit n: page n of the group exists, and counts */
	u32 crc[AUDIT_GROUP_PAGES];
};

/* The first group from `group` on that has pages. */
u64 audit_next_group(const struct guest_mem *mem, u64 group);

/* Which pages of the group exist. Any number, also a peer's. */
u64 audit_known_pages(const struct guest_mem *mem, u64 group);

/* Of a group that has pages; of them, those that count. */
void audit_read_pages(const struct guest_mem *mem, u64 group, u64 count,
		      struct audit_pages *pages);
u32 audit_group_hash(const struct guest_mem *mem, u64 group, u64 count);

/* The root, with one group more. */
u32 audit_root_of_full(u32 root, u32 hash);
u32 audit_root_of_sent(u32 root, u64 group, u64 count, u32 hash);

/* The bits of the pages in which both differ. */
u64 audit_difference(const struct audit_pages *a, const struct audit_pages *b);

#endif
