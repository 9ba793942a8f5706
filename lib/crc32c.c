/* SPDX-License-Identifier: MIT */
/*
 * CRC32C: see lib/crc32c.h.
 *
 * A CRC is linear: that of a and b in a row is the CRC of a, moved on over as
 * many zero bytes as b has, exclusive-or the CRC of b begun at 0. So three
 * neighbouring chains can be computed at once and joined:
 *
 *	| chain 0: CHAIN bytes | chain 1: CHAIN bytes | chain 2: CHAIN bytes |
 *	        c0 ---move on---> ^ c1 ---move on----> ^ c2
 *
 * Three chains and two words are a page. Moving on over CHAIN bytes is a
 * table of 8 * 16 words, one row per four bits of the CRC. What is longer, such
 * as a record of pages, is taken in chains of LONG_CHAIN bytes first: moving on
 * is then a smaller part of the work.
 */
#include "lib/crc32c.h"
#include "lib/bits.h"
#include "lib/vectors.h"

#define CHAIN      1360UL /* bytes */
#define LONG       5UL    /* CHAINs */
#define LONG_CHAIN (LONG * CHAIN)
#define UNROLL     34UL /* words of each chain in one turn */

_Static_assert(CHAIN % (UNROLL * 8) == 0, "whole turns");
_Static_assert(3 * CHAIN + 16 == 4096, "a page");

/* The next CRC by its lowest four bits. */
static const u32 by_nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
    0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
    0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

/* What each four bits of a CRC become CHAIN zero bytes later. */
static const u32 moved_on[8][16] = {
    {
	0x00000000,
	0x79113270,
	0xf22264e0,
	0x8b335690,
	0xe1a8bf31,
	0x98b98d41,
	0x138adbd1,
	0x6a9be9a1,
	0xc6bd0893,
	0xbfac3ae3,
	0x349f6c73,
	0x4d8e5e03,
	0x2715b7a2,
	0x5e0485d2,
	0xd537d342,
	0xac26e132,
    },
    {
	0x00000000,
	0x889667d7,
	0x14c0b95f,
	0x9c56de88,
	0x298172be,
	0xa1171569,
	0x3d41cbe1,
	0xb5d7ac36,
	0x5302e57c,
	0xdb9482ab,
	0x47c25c23,
	0xcf543bf4,
	0x7a8397c2,
	0xf215f015,
	0x6e432e9d,
	0xe6d5494a,
    },
    {
	0x00000000,
	0xa605caf8,
	0x49e7e301,
	0xefe229f9,
	0x93cfc602,
	0x35ca0cfa,
	0xda282503,
	0x7c2deffb,
	0x2273faf5,
	0x8476300d,
	0x6b9419f4,
	0xcd91d30c,
	0xb1bc3cf7,
	0x17b9f60f,
	0xf85bdff6,
	0x5e5e150e,
    },
    {
	0x00000000,
	0x44e7f5ea,
	0x89cfebd4,
	0xcd281e3e,
	0x1673a159,
	0x529454b3,
	0x9fbc4a8d,
	0xdb5bbf67,
	0x2ce742b2,
	0x6800b758,
	0xa528a966,
	0xe1cf5c8c,
	0x3a94e3eb,
	0x7e731601,
	0xb35b083f,
	0xf7bcfdd5,
    },
    {
	0x00000000,
	0x59ce8564,
	0xb39d0ac8,
	0xea538fac,
	0x62d66361,
	0x3b18e605,
	0xd14b69a9,
	0x8885eccd,
	0xc5acc6c2,
	0x9c6243a6,
	0x7631cc0a,
	0x2fff496e,
	0xa77aa5a3,
	0xfeb420c7,
	0x14e7af6b,
	0x4d292a0f,
    },
    {
	0x00000000,
	0x8eb5fb75,
	0x1887801b,
	0x96327b6e,
	0x310f0036,
	0xbfbafb43,
	0x2988802d,
	0xa73d7b58,
	0x621e006c,
	0xecabfb19,
	0x7a998077,
	0xf42c7b02,
	0x5311005a,
	0xdda4fb2f,
	0x4b968041,
	0xc5237b34,
    },
    {
	0x00000000,
	0xc43c00d8,
	0x8d947741,
	0x49a87799,
	0x1ec49873,
	0xdaf898ab,
	0x9350ef32,
	0x576cefea,
	0x3d8930e6,
	0xf9b5303e,
	0xb01d47a7,
	0x7421477f,
	0x234da895,
	0xe771a84d,
	0xaed9dfd4,
	0x6ae5df0c,
    },
    {
	0x00000000,
	0x7b1261cc,
	0xf624c398,
	0x8d36a254,
	0xe9a5f1c1,
	0x92b7900d,
	0x1f813259,
	0x64935395,
	0xd6a79573,
	0xadb5f4bf,
	0x208356eb,
	0x5b913727,
	0x3f0264b2,
	0x4410057e,
	0xc926a72a,
	0xb234c6e6,
    },
};

static enum crc32c_way chosen;

/* For each eight bits, what they become a chain later. */
static u32 moved_byte[4][256], moved_byte_far[4][256];

static u64 move(const u32 by_byte[4][256], u64 crc)
{
	return by_byte[0][crc & 255] ^ by_byte[1][crc >> 8 & 255] ^
	       by_byte[2][crc >> 16 & 255] ^ by_byte[3][crc >> 24 & 255];
}

static void make_moved_bytes(void)
{
	for (u32 i = 0; i < 4; i++)
		for (u32 byte = 0; byte < 256; byte++)
			moved_byte[i][byte] = moved_on[2UL * i][byte & 15] ^
					      moved_on[2UL * i + 1][byte >> 4];
}

/* Of single bits first: the others are sums of those. */
static void make_moved_bytes_far(void)
{
	for (u32 bit = 0; bit < 32; bit++) {
		u64 crc = BIT(bit);

		for (u32 i = 0; i < LONG; i++)
			crc = move(moved_byte, crc);
		moved_byte_far[bit / 8][BIT(bit % 8)] = (u32)crc;
	}
	for (u32 i = 0; i < 4; i++)
		for (u32 byte = 1; byte < 256; byte++)
			moved_byte_far[i][byte] =
			    moved_byte_far[i][byte & (byte - 1)] ^
			    moved_byte_far[i][byte & -byte];
}

void crc32c_choose(enum crc32c_way way)
{
	make_moved_bytes();
	make_moved_bytes_far();
	chosen = way;
}

static u32 table_bytes(u32 crc, const u8 *at, u64 bytes)
{
	for (; bytes; bytes--) {
		crc ^= *at++;
		crc = (crc >> 4) ^ by_nibble[crc & 15];
		crc = (crc >> 4) ^ by_nibble[crc & 15];
	}
	return crc;
}

/* --- With the instruction ------------------------------------------------ */

/* Eight bytes anywhere: x86 does not mind, the compiler has to be told. */
struct word {
	u64 value;
} PACKED;

struct words {
	u8 bytes[64];
};

static inline u64 take_word(u64 crc, const u8 *at)
{
	const struct word *word = (const void *)at;

	__asm__("crc32q %1, %0" : "+r"(crc) : "m"(*word));
	return crc;
}

/* 64 bytes: a loop around each word would be most of the work. */
static inline u64 take_words(u64 crc, const u8 *at)
{
	__asm__(".irp n, 0, 8, 16, 24, 32, 40, 48, 56\n\t"
		"crc32q \\n(%1), %0\n\t"
		".endr"
		: "+r"(crc)
		: "r"(at), "m"(*(const struct words *)at));
	return crc;
}

static inline u64 take_byte(u64 crc, const u8 *at)
{
	__asm__("crc32b %1, %0" : "+r"(crc) : "m"(*at));
	return crc;
}

/* What one turn reads, for the compiler: from the first chain to the third. */
struct turn {
	u8 bytes[2 * CHAIN + UNROLL * 8];
};

struct long_turn {
	u8 bytes[2 * LONG_CHAIN + UNROLL * 8];
};

/*
 * UNROLL words of each chain. In one piece: between single instructions the
 * compiler moves the three results about, which is a third more work.
 */
#define TAKE_TURN(first, second, third, at, chain, turn)                 \
	__asm__(".irp m, 0, 17\n\t"                                      \
		".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, " \
		"14, 15, 16\n\t"                                         \
		"crc32q 8 * (\\m + \\n)(%3), %0\n\t"                     \
		"crc32q %c4 + 8 * (\\m + \\n)(%3), %1\n\t"               \
		"crc32q 2 * %c4 + 8 * (\\m + \\n)(%3), %2\n\t"           \
		".endr\n\t"                                              \
		".endr"                                                  \
		: "+r"(first), "+r"(second), "+r"(third)                 \
		: "r"(at), "i"(chain), "m"(*(const struct turn *)(at)))

_Static_assert(UNROLL == 34, "as many as TAKE_TURN counts");

static u64 take_three_chains(u64 crc, const u8 *at)
{
	const u8 *end = at + CHAIN;
	u64 second = 0, third = 0;

	for (; at < end; at += UNROLL * 8)
		TAKE_TURN(crc, second, third, at, CHAIN, turn);
	return move(moved_byte, move(moved_byte, crc) ^ second) ^ third;
}

static u64 take_three_long_chains(u64 crc, const u8 *at)
{
	const u8 *end = at + LONG_CHAIN;
	u64 second = 0, third = 0;

	for (; at < end; at += UNROLL * 8)
		TAKE_TURN(crc, second, third, at, LONG_CHAIN, long_turn);
	return move(moved_byte_far, move(moved_byte_far, crc) ^ second) ^ third;
}

static u32 instruction_bytes(u32 before, const u8 *at, u64 bytes)
{
	u64 crc = before;

	for (; bytes >= 3 * LONG_CHAIN;
	     bytes -= 3 * LONG_CHAIN, at += 3 * LONG_CHAIN)
		crc = take_three_long_chains(crc, at);
	for (; bytes >= 3 * CHAIN; bytes -= 3 * CHAIN, at += 3 * CHAIN)
		crc = take_three_chains(crc, at);
	for (; bytes >= 64; bytes -= 64, at += 64)
		crc = take_words(crc, at);
	for (; bytes >= 8; bytes -= 8, at += 8)
		crc = take_word(crc, at);
	for (; bytes; bytes--, at++)
		crc = take_byte(crc, at);
	return (u32)crc;
}

/* --- With vectors -------------------------------------------------------- */

/* x to the power of 2048 + 32 and of 2048 - 32, reflected: on by 256 bytes. */
static const u64 fold_by[2] = {0xdcb17aa4, 0xb9e02b86};

_Static_assert(VECTORS_FOLD_BYTES == 256, "what fold_by is for");

/* Of less, taking the registers and giving them back is too much of it. */
#define VECTORS_LEAST (8 * VECTORS_FOLD_BYTES)

struct folded {
	u8 bytes[VECTORS_FOLD_BYTES];
};

/* All that a fold leaves, one after the other. */
static u32 folded_bytes(const u8 folded[VECTORS_FOLD_BYTES])
{
	u64 crc = 0;

	__asm__(".irp m, 0, 64, 128, 192\n\t"
		".irp n, 0, 8, 16, 24, 32, 40, 48, 56\n\t"
		"crc32q \\m + \\n(%1), %0\n\t"
		".endr\n\t"
		".endr"
		: "+r"(crc)
		: "r"(folded), "m"(*(const struct folded *)folded));
	return (u32)crc;
}

static u32 vector_bytes(u32 crc, const u8 *at, u64 bytes)
{
	u8 folded[VECTORS_FOLD_BYTES];
	u64 whole = bytes - bytes % VECTORS_FOLD_BYTES;

	if (whole >= VECTORS_LEAST) {
		vectors_fold(crc, at, whole, fold_by, folded);
		crc = folded_bytes(folded);
		at += whole;
		bytes -= whole;
	}
	return instruction_bytes(crc, at, bytes);
}

u32 crc32c(u32 before, const void *data, u64 bytes)
{
	u32 crc = ~before;

	if (chosen == CRC32C_VECTORS)
		return ~vector_bytes(crc, data, bytes);
	crc = chosen == CRC32C_INSTRUCTION ? instruction_bytes(crc, data, bytes)
					   : table_bytes(crc, data, bytes);
	return ~crc;
}
