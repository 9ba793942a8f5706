/* SPDX-License-Identifier: MIT */
/*
 * The payload of a PAGES or LIVE record: guest pages in ascending order.
 *
 *	varint	skipped * 4 + kind	pages left out since the last one
 *	ZERO	varint count - 1	that many pages of zeroes
 *	RAW	4096 bytes		one page
 *	LZ4	varint n, n bytes	one page, as an LZ4 block
 *	DELTA	varint n, n bytes	one page: an LZ4 block of it XOR what
 *					the receiver has there
 *
 * A page in a row with the one before costs one byte beside its contents, a
 * run of zero pages two to five bytes whatever its length. The first entry
 * of a record counts from page 0, so that each record stands for itself. In
 * LIVE the contents of RAW pages lie at its end, lent (migrate/wire.h).
 */
#ifndef MIGRATE_PAGES_H
#define MIGRATE_PAGES_H

#include "migrate/wire.h"
#include "mm/addr.h"

enum page_kind {
	PAGE_ZERO = 0,
	PAGE_RAW = 1,
	PAGE_LZ4 = 2,   /* WIRE_FEATURE_LZ4 */
	PAGE_DELTA = 3, /* WIRE_FEATURE_DELTA */
};

/* --- Writing -------------------------------------------------------------- */

struct pages_writer {
	struct wire_writer *payload;
	u64 next;                   /* the page after the last entry's */
	u64 zero_first, zero_count; /* a run that has not been written yet */
};

static inline struct pages_writer pages_begin(struct wire_writer *payload)
{
	return (struct pages_writer){.payload = payload};
}

/* Is there room for one more page of any kind? */
bool pages_has_room(const struct pages_writer *writer);

/* In ascending order; the caller has asked for room. */
void pages_put_zero(struct pages_writer *writer, gpa_t page);
void pages_put_raw(struct pages_writer *writer, gpa_t page,
		   const void *contents);
/* As raw, of a record that is LIVE: `contents` are read when they are sent. */
void pages_lend_raw(struct pages_writer *writer, gpa_t page,
		    const void *contents);
/* `kind` is LZ4 or DELTA; fewer bytes than a page. */
void pages_put_packed(struct pages_writer *writer, gpa_t page,
		      enum page_kind kind, const u8 *bytes, u32 count);
/* After the last page of a record. */
void pages_end(struct pages_writer *writer);

/* --- Reading -------------------------------------------------------------- */

struct pages_entry {
	enum page_kind kind;
	gpa_t first;
	u64 count;          /* 1, or more of PAGE_ZERO */
	const u8 *contents; /* NULL for PAGE_ZERO */
	u32 bytes;          /* there */
};

struct pages_reader {
	struct wire_reader reader;
	struct wire_reader lent; /* contents of raw pages, if ... */
	bool is_live;
	u64 next;
};

static inline struct pages_reader
pages_reader_of(const struct wire_record *record)
{
	return (struct pages_reader){
	    .reader = wire_reader_of(record),
	    .lent = {record->payload + record->bytes, record->lent_bytes,
		     false},
	    .is_live = record->type == WIRE_LIVE,
	};
}

/*
 * ERR_NOT_FOUND: the record is over. ERR_BAD_FORMAT: it is cut off, of an
 * unknown kind, or reaches past the 52 bits that an address can have. The
 * addresses are the peer's: whether such memory exists is for the caller.
 */
MUST_CHECK enum err pages_next(struct pages_reader *reader,
			       struct pages_entry *entry);

/* Are these 4096 bytes zeroes? They may be a running guest's. */
bool page_is_zero(const void *page);

#endif
