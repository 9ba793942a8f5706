/* SPDX-License-Identifier: MIT */
/*
 * Bits and bit fields, written as the manuals write them: BITS(51, 12).
 *
 * All helpers are pure and total: no argument makes them undefined, except
 * alignments that are not powers of two and an empty mask.
 */
#ifndef LIB_BITS_H
#define LIB_BITS_H

#include "lib/types.h"

#define BIT(n)       (1UL << (n))
#define BITS(hi, lo) ((~0UL >> (63 - (hi))) & (~0UL << (lo)))

_Static_assert(BITS(51, 12) == 0x000ffffffffff000ULL, "address field");
_Static_assert(BITS(63, 0) == ~0ULL, "all bits");
_Static_assert(BITS(0, 0) == 1, "lowest bit");

/* The field of `value` that `mask` selects, shifted down to bit 0. */
static inline u64 bits_get(u64 value, u64 mask)
{
	return (value & mask) >> __builtin_ctzll(mask);
}

/* `value` with the field that `mask` selects replaced by `field`. */
static inline u64 bits_set(u64 value, u64 mask, u64 field)
{
	return (value & ~mask) | ((field << __builtin_ctzll(mask)) & mask);
}

/* Alignment is a power of two. align_up wraps to 0 past the end of u64. */
static inline u64 align_down(u64 value, u64 alignment)
{
	return value & ~(alignment - 1);
}

static inline u64 align_up(u64 value, u64 alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

static inline bool is_aligned(u64 value, u64 alignment)
{
	return (value & (alignment - 1)) == 0;
}

/* How many bits are set. (The compiler's own may call a library.) */
static inline u32 bits_count(u64 value)
{
	value -= (value >> 1) & 0x5555555555555555ULL;
	value = (value & 0x3333333333333333ULL) +
		((value >> 2) & 0x3333333333333333ULL);
	value = (value + (value >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (u32)((value * 0x0101010101010101ULL) >> 56);
}

/* The number of the lowest bit that is set; `value` is not 0. */
static inline u64 bits_lowest(u64 value)
{
	return (u64)__builtin_ctzll(value);
}

static inline u32 low32(u64 value)
{
	return (u32)value;
}

static inline u32 high32(u64 value)
{
	return (u32)(value >> 32);
}

#endif
