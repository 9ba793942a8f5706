/* SPDX-License-Identifier: MIT */
/* LZ4 blocks: see lib/lz4.h. */
#include "lib/lz4.h"
#include "lib/check.h"
#include "lib/string.h"

#define MATCH_MIN     4U
#define RUN_MASK      15U
/* The format: the last five bytes are literals, no match begins later than */
#define LAST_LITERALS 5U
#define MATCH_LIMIT   12U /* bytes before the end. */
#define FEW_BYTES     16U
#define SKIP_SHIFT    5U /* after 32 misses in a row every other byte, ... */

static u32 load32(const u8 *at)
{
	u32 value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static u64 load64(const u8 *at)
{
	u64 value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static ALWAYS_INLINE void copy_16(u8 *to, const u8 *from)
{
	u64 low = load64(from), high = load64(from + sizeof(low));

	memcpy(to, &low, sizeof(low));
	memcpy(to + sizeof(low), &high, sizeof(high));
}

/* A few bytes, as sixteen where there is room for that on both sides. */
static ALWAYS_INLINE void copy_few(u8 *to, const u8 *to_end, const u8 *from,
				   const u8 *from_end, u64 count)
{
	if (count <= FEW_BYTES && to_end - to >= (i64)FEW_BYTES &&
	    from_end - from >= (i64)FEW_BYTES)
		copy_16(to, from);
	else
		memcpy(to, from, count);
}

/* --- Compressing ---------------------------------------------------------- */

struct writer {
	u8 *at, *end;
	const u8 *from_end;
};

static u32 hash_of(u32 word)
{
	return word * 2654435761U >> (32 - LZ4_HASH_BITS);
}

/* How many bytes are the same at both places, before `end`. */
static u32 match_length(const u8 *a, const u8 *b, const u8 *end)
{
	u64 same = 0, most = (u64)(end - a);

	for (; same + sizeof(u64) <= most; same += sizeof(u64)) {
		u64 differ = load64(a + same) ^ load64(b + same);

		if (differ)
			return (u32)(same + (u32)__builtin_ctzll(differ) / 8);
	}
	while (same < most && a[same] == b[same])
		same++;
	return (u32)same;
}

/* What a length needs besides its four bits. */
static u32 extra_bytes(u32 length)
{
	return length < RUN_MASK ? 0 : (length - RUN_MASK) / 255 + 1;
}

static u8 *put_extra(u8 *at, u32 length)
{
	if (length < RUN_MASK)
		return at;
	for (length -= RUN_MASK; length >= 255; length -= 255)
		*at++ = 255;
	*at++ = (u8)length;
	return at;
}

/* Literals and a match, or with no `length` the last ones. */
static NOINLINE bool put_any_sequence(struct writer *to, const u8 *literals,
				      u32 count, u32 offset, u32 length)
{
	u32 code = length - MATCH_MIN;
	u64 need = 1UL + extra_bytes(count) + count;
	u8 *token = to->at, *at = token + 1;

	if (length)
		need += 2 + extra_bytes(code);
	if (need > (u64)(to->end - token))
		return false;
	*token = (u8)((count < RUN_MASK ? count : RUN_MASK) << 4);
	at = put_extra(at, count);
	memcpy(at, literals, count);
	at += count;
	if (length) {
		*at++ = (u8)offset;
		*at++ = (u8)(offset >> 8);
		*token |= (u8)(code < RUN_MASK ? code : RUN_MASK);
		at = put_extra(at, code);
	}
	to->at = at;
	return true;
}

/* The same of few literals, with plenty of room on both sides: most are such. */
static bool put_sequence(struct writer *to, const u8 *literals, u32 count,
			 u32 offset, u32 length)
{
	u32 code = length - MATCH_MIN;
	u8 *at = to->at;

	if (count >= RUN_MASK || !length ||
	    (u64)(to->end - at) < 2 * FEW_BYTES + length / 128 ||
	    to->from_end - literals < (i64)FEW_BYTES)
		return put_any_sequence(to, literals, count, offset, length);
	*at = (u8)(count << 4 | (code < RUN_MASK ? code : RUN_MASK));
	copy_16(at + 1, literals);
	at += 1 + count;
	*at++ = (u8)offset;
	*at++ = (u8)(offset >> 8);
	to->at = put_extra(at, code);
	return true;
}

/*
 * The next place from `at` on, before `limit`, that repeats an earlier one; the
 * further it has to look the less closely it does. `limit`: there is none.
 * An empty slot says 0, where the first word is: that need not be asked for.
 */
static u64 find_match(struct lz4_memory *memory, const u8 *from, u64 at,
		      u64 limit, u64 *match)
{
	at += at == 0;
	for (u64 step = 1UL << SKIP_SHIFT; at < limit;
	     at += step++ >> SKIP_SHIFT) {
		u32 word = load32(from + at);
		u16 *slot = &memory->position[hash_of(word)];
		u64 before = *slot;

		*slot = (u16)at;
		if (load32(from + before) == word) {
			*match = before;
			return at;
		}
	}
	return limit;
}

u32 lz4_compress(struct lz4_memory *memory, const u8 *from, u32 count, u8 *to,
		 u32 room)
{
	struct writer writer = {to, to + room, from + count};
	u64 limit = count > MATCH_LIMIT ? count - MATCH_LIMIT : 0;
	u64 anchor = 0, match = 0;

	CHECK(count <= LZ4_INPUT_MAX);
	memset(memory, 0, sizeof(*memory));
	for (;;) {
		u64 at = find_match(memory, from, anchor, limit, &match);
		u32 length;

		if (at >= limit)
			break;
		length = MATCH_MIN + match_length(from + at + MATCH_MIN,
						  from + match + MATCH_MIN,
						  from + count - LAST_LITERALS);
		if (!put_sequence(&writer, from + anchor, (u32)(at - anchor),
				  (u32)(at - match), length))
			return 0;
		anchor = at + length;
	}
	if (!put_sequence(&writer, from + anchor, (u32)(count - anchor), 0, 0))
		return 0;
	return (u32)(writer.at - to);
}

/* --- Compressing what is mostly zero -------------------------------------- */

#define RUN_MIN    5U  /* fewer zeroes are less as what they are */
#define BASE_BYTES 64U /* what it may become: so many, and ... */
#define PER_BYTES  10U /* one for each so many */

struct sparse {
	const u8 *from;
	u32 limit, last;    /* where the last match may begin, and must end */
	u32 anchor;         /* what is before this is written */
	u32 run, run_bytes; /* the longest run of zeroes */
	u32 changed, zero_bytes; /* what was changed last, and the run before */
	struct writer to;
};

/* The first place from `at` on whose bit is not as those of `flip`. */
static u32 next_bit(const u64 *which, u32 at, u32 count, u64 flip)
{
	u32 i = at / 64;
	u64 bits = (which[i] ^ flip) & (~0UL << at % 64);

	while (!bits) {
		if (++i == count / 64)
			return count;
		bits = which[i] ^ flip;
	}
	return i * 64 + (u32)__builtin_ctzll(bits);
}

/* What is not written yet before `at`, and then a match. */
static bool put_match(struct sparse *sparse, u32 at, u32 offset, u32 length)
{
	u32 anchor = sparse->anchor;

	sparse->anchor = at + length;
	return put_sequence(&sparse->to, sparse->from + anchor, at - anchor,
			    offset, length);
}

/* Zeroes: as those of an earlier run, or as one of them that repeats itself. */
static bool put_zeroes(struct sparse *sparse, u32 at, u32 bytes)
{
	if (sparse->run_bytes >= bytes)
		return put_match(sparse, at, at - sparse->run, bytes);
	sparse->run = at;
	sparse->run_bytes = bytes;
	return put_match(sparse, at + 1, 1, bytes - 1);
}

/*
 * After as many zeroes as stood before the last change there may be the same
 * one, and so on: numbers in a row of structures that count the same.
 */
static bool put_repeated(struct sparse *sparse, u32 bytes)
{
	const u8 *at = sparse->from + sparse->anchor;
	u32 offset = sparse->anchor - sparse->changed;

	if (bytes == sparse->zero_bytes && sparse->anchor < sparse->limit &&
	    load64(at) == load64(at - offset))
		return put_match(
		    sparse, sparse->anchor, offset,
		    match_length(at, at - offset, sparse->from + sparse->last));
	sparse->changed = sparse->anchor;
	sparse->zero_bytes = bytes;
	return true;
}

u32 lz4_compress_sparse(const u8 *from, u32 count, const u64 *which, u8 *to,
			u32 room)
{
	struct sparse sparse = {.from = from,
				.limit = count - MATCH_LIMIT,
				.last = count - LAST_LITERALS,
				.to = {to, to + room, from + count}};
	u32 zero, at;

	CHECK(count && count % 64 == 0 && count <= LZ4_INPUT_MAX);
	for (at = 0; at < count; at = at < sparse.anchor ? sparse.anchor : at) {
		zero = next_bit(which, at, count, ~0UL);
		if (zero >= sparse.limit)
			break;
		at = next_bit(which, zero, count, 0);
		at = at < sparse.last ? at : sparse.last;
		if (at - zero < RUN_MIN)
			continue;
		if (!put_zeroes(&sparse, zero, at - zero) ||
		    !put_repeated(&sparse, at - zero) ||
		    sparse.to.at - to > BASE_BYTES + at / PER_BYTES)
			return 0;
	}
	if (!put_sequence(&sparse.to, from + sparse.anchor,
			  count - sparse.anchor, 0, 0))
		return 0;
	return (u32)(sparse.to.at - to);
}

/* --- Decompressing -------------------------------------------------------- */

struct reader {
	const u8 *at, *end;
};

/* The bytes after a token's 15. False: they do not end, or are too many. */
static bool get_extra(struct reader *from, u32 *length, u32 most)
{
	u8 byte = 255;

	if (*length < RUN_MASK)
		return *length <= most;
	while (byte == 255) {
		if (from->at == from->end || *length > most)
			return false;
		byte = *from->at++;
		*length += byte;
	}
	return *length <= most;
}

static bool copy_literals(struct reader *from, struct writer *to, u32 token)
{
	u32 count = token >> 4;

	if (!get_extra(from, &count, (u32)(to->end - to->at)) ||
	    count > (u64)(from->end - from->at))
		return false;
	copy_few(to->at, to->end, from->at, from->end, count);
	from->at += count;
	to->at += count;
	return true;
}

/* It may reach into what it writes: then the bytes repeat. */
static bool copy_match(struct reader *from, struct writer *to, const u8 *base,
		       u32 token)
{
	u32 length = token & RUN_MASK, offset;

	if (from->end - from->at < 2)
		return false;
	offset = from->at[0] | (u32)from->at[1] << 8;
	from->at += 2;
	if (offset == 0 || offset > (u64)(to->at - base) ||
	    (u64)(to->end - to->at) < MATCH_MIN ||
	    !get_extra(from, &length, (u32)(to->end - to->at) - MATCH_MIN))
		return false;
	length += MATCH_MIN;
	if (offset == 1) { /* a run, of zeroes as a rule */
		memset(to->at, to->at[-1], length);
		to->at += length;
		return true;
	}
	while (length) {
		u32 here = length < offset ? length : offset;

		copy_few(to->at, to->end, to->at - offset, to->end, here);
		to->at += here;
		length -= here;
		/* What was written is a period more to copy from. */
		offset += here;
	}
	return true;
}

bool lz4_decompress(const u8 *from, u32 bytes, u8 *to, u32 count)
{
	struct reader reader = {from, from + bytes};
	struct writer writer = {.at = to, .end = to + count};

	while (reader.at != reader.end) {
		u32 token = *reader.at++;

		if (!copy_literals(&reader, &writer, token))
			return false;
		if (reader.at == reader.end) /* the last has no match */
			return (token & RUN_MASK) == 0 &&
			       writer.at == writer.end;
		if (!copy_match(&reader, &writer, to, token))
			return false;
	}
	return false;
}
