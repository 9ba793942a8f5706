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
#define SKIP_SHIFT    5U  /* after 32 misses in a row every other byte, ... */

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

/* --- Compressing ---------------------------------------------------------- */

struct writer {
	u8 *at, *end;
};

static u32 hash_of(u32 word)
{
	return word * 2654435761U >> (32 - LZ4_HASH_BITS);
}

/* How many bytes are the same at both places, before `end`. */
static u32 match_length(const u8 *a, const u8 *b, const u8 *end)
{
	const u8 *begin = a;

	while (a + sizeof(u64) <= end) {
		u64 differ = load64(a) ^ load64(b);

		if (differ)
			return (u32)(a - begin) +
			       (u32)__builtin_ctzll(differ) / 8;
		a += sizeof(u64);
		b += sizeof(u64);
	}
	while (a < end && *a == *b) {
		a++;
		b++;
	}
	return (u32)(a - begin);
}

/* What a length needs besides its four bits. */
static u32 extra_bytes(u32 length)
{
	return length < RUN_MASK ? 0 : (length - RUN_MASK) / 255 + 1;
}

static void put_extra(struct writer *to, u32 length)
{
	if (length < RUN_MASK)
		return;
	for (length -= RUN_MASK; length >= 255; length -= 255)
		*to->at++ = 255;
	*to->at++ = (u8)length;
}

static u8 *put_literals(struct writer *to, const u8 *from, u32 count, u32 more)
{
	u8 *token = to->at;

	if (1 + extra_bytes(count) + count + more > (u64)(to->end - to->at))
		return NULL;
	to->at++;
	*token = (u8)((count < RUN_MASK ? count : RUN_MASK) << 4);
	put_extra(to, count);
	memcpy(to->at, from, count);
	to->at += count;
	return token;
}

static bool put_sequence(struct writer *to, const u8 *literals, u32 count,
			 u32 offset, u32 length)
{
	u32 code = length - MATCH_MIN;
	u8 *token = put_literals(to, literals, count, 2 + extra_bytes(code));

	if (!token)
		return false;
	*to->at++ = (u8)offset;
	*to->at++ = (u8)(offset >> 8);
	*token |= (u8)(code < RUN_MASK ? code : RUN_MASK);
	put_extra(to, code);
	return true;
}

/*
 * The next place from `at` on, before `limit`, that repeats an earlier one; the
 * further it has to look the less closely it does. `limit`: there is none.
 */
static const u8 *find_match(struct lz4_memory *memory, const u8 *base,
			    const u8 *at, const u8 *limit, const u8 **match)
{
	for (u32 tries = 1U << SKIP_SHIFT; at < limit;
	     at += tries++ >> SKIP_SHIFT) {
		u32 word = load32(at);
		u16 *slot = &memory->position[hash_of(word)];
		const u8 *before = base + *slot;

		*slot = (u16)(at - base);
		/* An empty slot says 0: the first word cannot repeat itself. */
		if (before < at && load32(before) == word) {
			*match = before;
			return at;
		}
	}
	return limit;
}

u32 lz4_compress(struct lz4_memory *memory, const u8 *from, u32 count, u8 *to,
		 u32 room)
{
	struct writer writer = {to, to + room};
	const u8 *end = from + count, *anchor = from, *match = NULL;
	const u8 *limit = count > MATCH_LIMIT ? end - MATCH_LIMIT : from;

	CHECK(count <= LZ4_INPUT_MAX);
	memset(memory, 0, sizeof(*memory));
	for (;;) {
		const u8 *at = find_match(memory, from, anchor, limit, &match);
		u32 length;

		if (at == limit || at > limit)
			break;
		length =
		    MATCH_MIN + match_length(at + MATCH_MIN, match + MATCH_MIN,
					     end - LAST_LITERALS);
		if (!put_sequence(&writer, anchor, (u32)(at - anchor),
				  (u32)(at - match), length))
			return 0;
		anchor = at + length;
	}
	if (!put_literals(&writer, anchor, (u32)(end - anchor), 0))
		return 0;
	return (u32)(writer.at - to);
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
	memcpy(to->at, from->at, count);
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
	while (length) {
		u32 here = length < offset ? length : offset;

		memcpy(to->at, to->at - offset, here);
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
	struct writer writer = {to, to + count};

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
