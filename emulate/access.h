/* SPDX-License-Identifier: MIT */
/*
 * Memory operands: from segment and offset to bytes, in two strokes.
 *
 * access_map checks everything that can go wrong (segment, canonical form,
 * alignment, paging) and finds where the bytes are; afterwards reading and
 * writing them cannot raise an exception.
 */
#ifndef EMULATE_ACCESS_H
#define EMULATE_ACCESS_H

#include "emulate/emulate.h"

/* Bytes of a segment, and what for. */
struct reference {
	u8 segment; /* enum segment */
	enum emulate_access access;
	u32 bytes;
	u64 offset;
};

/* A checked operand: its first part, and the rest if it crosses a page. */
struct span {
	gpa_t parts[2];
	u32 part_bytes[2];
};

/* Notes the exception in e->fault. */
enum emulate_result access_fault(struct emulation *e, u8 vector,
				 u32 error_code);

MUST_CHECK enum emulate_result
access_map(struct emulation *e, const struct reference *r, struct span *span);

/* So many bytes as the span has, in accesses of at most 8. */
MUST_CHECK enum emulate_result
access_read_bytes(struct emulation *e, const struct span *span, u8 *bytes);
MUST_CHECK enum emulate_result access_write_bytes(struct emulation *e,
						  const struct span *span,
						  const u8 *bytes);

/* The values are little-endian, of 1, 2, 4 or 8 bytes. */
MUST_CHECK enum emulate_result access_read(struct emulation *e,
					   const struct span *span, u64 *value);
MUST_CHECK enum emulate_result access_write(struct emulation *e,
					    const struct span *span, u64 value);

/*
 * Writes only if memory still holds `expected`; else EMULATE_AGAIN. Where
 * that cannot be had in one piece (across two pages, or not naturally
 * aligned) it is a plain write.
 */
MUST_CHECK enum emulate_result access_swap(struct emulation *e,
					   const struct span *span,
					   u64 expected, u64 value);

/* Fetches and decodes the instruction at RIP into e->instruction. */
MUST_CHECK enum emulate_result access_fetch(struct emulation *e);

#endif
