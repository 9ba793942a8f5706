/* SPDX-License-Identifier: MIT */
/* Pages on the wire: see migrate/pages.h. */
#include "migrate/pages.h"
#include "lib/check.h"
#include "lib/vectors.h"

#define KIND_BITS       2
#define KIND_MASK       BITS(1, 0)
#define PAGE_LIMIT      BIT(52 - PAGE_SHIFT) /* pages of any address space */

/*
 * A zero run that is still to be written, a head, and the page: three numbers
 * of up to six bytes, because 42 bits of a page number and kind are six times
 * seven, and so is a count.
 */
#define ENTRY_BYTES_MAX (24UL + PAGE_4K)

_Static_assert(52 - PAGE_SHIFT + KIND_BITS <= 6 * 7, "six bytes are enough");

bool pages_has_room(const struct pages_writer *writer)
{
	return writer->payload->room - writer->payload->filled >=
	       ENTRY_BYTES_MAX;
}

static void put_head(struct pages_writer *writer, u64 page, enum page_kind kind)
{
	CHECK(page >= writer->next && page < PAGE_LIMIT);
	wire_put_varint(writer->payload,
			((page - writer->next) << KIND_BITS) | kind);
}

void pages_end(struct pages_writer *writer)
{
	if (!writer->zero_count)
		return;
	put_head(writer, writer->zero_first, PAGE_ZERO);
	wire_put_varint(writer->payload, writer->zero_count - 1);
	writer->next = writer->zero_first + writer->zero_count;
	writer->zero_count = 0;
}

void pages_put_zero(struct pages_writer *writer, gpa_t page)
{
	u64 number = gpa_page(page);

	if (writer->zero_count &&
	    number == writer->zero_first + writer->zero_count) {
		writer->zero_count++;
		return;
	}
	pages_end(writer);
	writer->zero_first = number;
	writer->zero_count = 1;
}

void pages_put_raw(struct pages_writer *writer, gpa_t page,
		   const void *contents)
{
	pages_end(writer);
	put_head(writer, gpa_page(page), PAGE_RAW);
	wire_put_page(writer->payload, contents);
	writer->next = gpa_page(page) + 1;
}

void pages_lend_raw(struct pages_writer *writer, gpa_t page,
		    const void *contents)
{
	pages_end(writer);
	put_head(writer, gpa_page(page), PAGE_RAW);
	wire_lend_page(writer->payload, contents);
	writer->next = gpa_page(page) + 1;
}

void pages_put_packed(struct pages_writer *writer, gpa_t page,
		      enum page_kind kind, const u8 *bytes, u32 count)
{
	CHECK(count < PAGE_4K);
	pages_end(writer);
	put_head(writer, gpa_page(page), kind);
	wire_put_varint(writer->payload, count);
	wire_put_bytes(writer->payload, bytes, count);
	writer->next = gpa_page(page) + 1;
}

/* --- Reading -------------------------------------------------------------- */

static const u8 *get_contents(struct pages_reader *pages,
			      const struct pages_entry *entry)
{
	bool is_lent = pages->is_live && entry->kind == PAGE_RAW;

	return wire_get_bytes(is_lent ? &pages->lent : &pages->reader,
			      entry->bytes);
}

enum err pages_next(struct pages_reader *pages, struct pages_entry *entry)
{
	struct wire_reader *reader = &pages->reader;
	struct pages_entry found = {.count = 1};
	u64 head, skipped, packed, more = 0;

	if (wire_is_done(reader))
		return wire_is_done(&pages->lent) ? ERR_NOT_FOUND
						  : ERR_BAD_FORMAT;
	head = wire_get_varint(reader);
	skipped = head >> KIND_BITS;
	found.kind = (enum page_kind)(head & KIND_MASK);
	switch (found.kind) {
	case PAGE_ZERO:
		more = wire_get_varint(reader);
		break;
	case PAGE_RAW:
		found.bytes = PAGE_4K;
		break;
	case PAGE_LZ4:
	case PAGE_DELTA:
		packed = wire_get_varint(reader);
		if (!packed || packed >= PAGE_4K)
			return ERR_BAD_FORMAT;
		found.bytes = (u32)packed;
		break;
	}
	if (found.bytes)
		found.contents = get_contents(pages, &found);
	/* All three are below 2^62 or refused: their sum does not wrap. */
	if (reader->is_short || pages->lent.is_short || skipped >= PAGE_LIMIT ||
	    more >= PAGE_LIMIT || pages->next + skipped + more >= PAGE_LIMIT)
		return ERR_BAD_FORMAT;
	found.first = gpa((pages->next + skipped) << PAGE_SHIFT);
	found.count += more;
	pages->next += skipped + found.count;
	*entry = found;
	return OK;
}

/* Sixteen words in a turn: an or each, one test. */
bool page_is_zero(const void *page)
{
	const u64 *at = page, *end = at + PAGE_4K / sizeof(u64);
	u64 any;

	if (at[0])
		return false;
	if (vectors_any(page, &any))
		return !any;
	for (; at < end; at += 16)
		if (at[0] | at[1] | at[2] | at[3] | at[4] | at[5] | at[6] |
		    at[7] | at[8] | at[9] | at[10] | at[11] | at[12] | at[13] |
		    at[14] | at[15])
			return false;
	return true;
}
