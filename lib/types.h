/* SPDX-License-Identifier: MIT */
/*
 * The integer types and compiler attributes that every file uses.
 *
 * Addresses are never bare integers: see mm/addr.h.
 */
#ifndef LIB_TYPES_H
#define LIB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t i8;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;
typedef unsigned __int128 u128;

#define MUST_CHECK    __attribute__((warn_unused_result))
#define NORETURN      __attribute__((noreturn))
#define PACKED        __attribute__((packed))
#define ALIGNED(n)    __attribute__((aligned(n)))
#define COLD          __attribute__((cold))
#define NOINLINE      __attribute__((noinline))
/* Where a constant argument has to become part of the code. */
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define UNUSED        __attribute__((unused))
#define PRINTF(fmt_index, first_arg) \
	__attribute__((format(printf, fmt_index, first_arg)))

#define likely(x)      __builtin_expect(!!(x), 1)
#define unlikely(x)    __builtin_expect(!!(x), 0)

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define KIB            (1UL << 10)
#define MIB            (1UL << 20)
#define GIB            (1UL << 30)

_Static_assert(sizeof(void *) == 8, "Umbra is 64-bit only");

#endif
