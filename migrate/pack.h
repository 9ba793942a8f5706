/* SPDX-License-Identifier: MIT */
/*
 * Making pages smaller before they are sent: LZ4 of the page, or LZ4 of what
 * has changed in it since it was last sent.
 *
 * The guest may be writing the page: everything is made from one copy, so that
 * what the peer puts together is that copy, and what is remembered of a page is
 * what the peer has. (If the copy is of two moments, the page is dirty again.)
 *
 * A memory of sent pages is the caller's, as large as it likes, or none. It is
 * good for one migration to one peer.
 */
#ifndef MIGRATE_PACK_H
#define MIGRATE_PACK_H

#include "lib/lz4.h"
#include "migrate/pages.h"

/* More would cost as much as the page itself. */
#define PACK_BYTES_MAX 3840U

struct sent_page {
	u64 number_plus_1; /* 0: nothing yet */
	u8 contents[PAGE_4K];
};

struct page_change {
	u8 bytes[PAGE_4K];       /* XOR */
	u64 which[PAGE_4K / 64]; /* a bit for each that is not zero */
};

struct packer {
	u64 features; /* WIRE_FEATURE_LZ4, WIRE_FEATURE_DELTA */
	struct sent_page *sent;
	u32 sent_count;
	/* In a row: pages that did not become smaller, or less as changes. */
	u32 misses, delta_misses;
	struct lz4_memory lz4;
	u8 copy[PAGE_4K]; /* where there is no memory of it */
	struct page_change change;
	u8 packed[PACK_BYTES_MAX], other[PACK_BYTES_MAX];
};

struct packed_page {
	enum page_kind kind; /* PAGE_RAW, PAGE_LZ4 or PAGE_DELTA */
	const u8 *bytes;     /* of the packer, until the next page */
	u32 count;
};

void packer_init(struct packer *packer, u64 features, struct sent_page *sent,
		 u32 sent_count);

struct packed_page packer_pack(struct packer *packer, gpa_t page,
			       const void *contents);

/* What the peer has there now is not what was packed last. */
void packer_forget(struct packer *packer, gpa_t page);

/*
 * The peer's side: what was packed, in `page`; `before` is what is there now,
 * which PAGE_DELTA is about. False: the bytes are not such a page, and what
 * `page` holds is nothing.
 */
MUST_CHECK bool pack_undo(const struct packed_page *packed, const void *before,
			  u8 page[PAGE_4K]);

#endif
