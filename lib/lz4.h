/* SPDX-License-Identifier: MIT */
/*
 * LZ4's block format: fast compression of small pieces, such as pages.
 *
 *	token | more literals | literals | offset 2 | more match | token | ...
 *	 4 bits literals, 4 bits match - 4; 15: bytes follow, 255 each, until
 *	 one that is less
 *
 * Written by the description of the format, and judged by the library of its
 * authors: what this makes that one reads, and the reverse
 * (tests/unit/test_lz4.c). No SSE, no memory but the caller's.
 *
 * What is decompressed is foreign. Whatever the bytes are, nothing outside both
 * buffers is read or written, and the time is bounded by their sizes.
 */
#ifndef LIB_LZ4_H
#define LIB_LZ4_H

#include "lib/types.h"

#define LZ4_INPUT_MAX  (64 * KIB - 1) /* positions have 16 bits */
#define LZ4_HASH_BITS  10U
#define LZ4_HASH_WORDS (1U << LZ4_HASH_BITS)

/* Need not be cleared: compression does. */
struct lz4_memory {
	u16 position[LZ4_HASH_WORDS];
};

/*
 * Returns how many bytes it became, or 0: they would be more than `room`, and
 * what `to` holds is nothing. `count` is at most LZ4_INPUT_MAX.
 */
u32 lz4_compress(struct lz4_memory *memory, const u8 *from, u32 count, u8 *to,
		 u32 room);

/*
 * The same of bytes most of which are zero, such as what has changed in a page:
 * `which` has a bit for each byte, 64 in a word, that says whether it is not
 * zero. Only those are looked at, and the time is theirs. Where this would
 * become too much it returns 0, too: lz4_compress finds more in that. `count`
 * is a multiple of 64, and not 0.
 */
u32 lz4_compress_sparse(const u8 *from, u32 count, const u64 *which, u8 *to,
			u32 room);

/* Whether `from` is exactly `count` bytes, which then stand in `to`. */
MUST_CHECK bool lz4_decompress(const u8 *from, u32 bytes, u8 *to, u32 count);

#endif
