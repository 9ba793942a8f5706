/* SPDX-License-Identifier: MIT */
/*
 * One C type per address space, and no casts between them.
 *
 *	gva_t ----guest page tables----> gpa_t ----EPT01----> hpa_t
 *	              L2: ngpa_t ----EPT12----> gpa_t
 *
 * A translation is a lookup that can fail, never a conversion. gcc -O2 emits
 * for these the same instructions as for a bare u64.
 */
#ifndef MM_ADDR_H
#define MM_ADDR_H

#include "lib/bits.h"
#include "lib/types.h"

#define PAGE_SHIFT 12
#define PAGE_4K    (4 * KIB)
#define PAGE_2M    (2 * MIB)
#define PAGE_1G    (1 * GIB)

/*
 * For each space X: X_t, X(raw) to make one from a number that has just
 * entered Umbra (a register, a table entry, a loader's record), X_raw() for
 * the number, and arithmetic that stays inside the space.
 */
#define DEFINE_ADDRESS_SPACE(space)                                       \
	typedef struct {                                                  \
		u64 space##_value;                                        \
	} space##_t;                                                      \
	UNUSED static inline space##_t space(u64 raw)                     \
	{                                                                 \
		return (space##_t){raw};                                  \
	}                                                                 \
	UNUSED static inline u64 space##_raw(space##_t address)           \
	{                                                                 \
		return address.space##_value;                             \
	}                                                                 \
	UNUSED static inline space##_t space##_add(space##_t address,     \
						   u64 bytes)             \
	{                                                                 \
		return (space##_t){address.space##_value + bytes};        \
	}                                                                 \
	UNUSED static inline u64 space##_page(space##_t address)          \
	{                                                                 \
		return address.space##_value >> PAGE_SHIFT;               \
	}                                                                 \
	UNUSED static inline u64 space##_offset(space##_t address)        \
	{                                                                 \
		return address.space##_value & (PAGE_4K - 1);             \
	}                                                                 \
	UNUSED static inline bool space##_equal(space##_t a, space##_t b) \
	{                                                                 \
		return a.space##_value == b.space##_value;                \
	}                                                                 \
	_Static_assert(sizeof(space##_t) == sizeof(u64), "costs nothing")

DEFINE_ADDRESS_SPACE(hpa);  /* host-physical: what the memory bus sees */
DEFINE_ADDRESS_SPACE(gpa);  /* L1 guest-physical: the log, the wire, slots */
DEFINE_ADDRESS_SPACE(ngpa); /* L2 guest-physical: never in the log */
DEFINE_ADDRESS_SPACE(gva);  /* guest-linear, of whichever guest runs */

#endif
