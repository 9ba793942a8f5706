/* SPDX-License-Identifier: MIT */
/*
 * Host-physical memory as bytes.
 *
 * Umbra maps all RAM one to one, so in the image `phys_memory` is a symbol
 * with the value 0 (linker.ld) and phys_ptr() costs nothing. Host tests link
 * a large array in its place (tests/unit/host_seams.c): the same page-table
 * code then runs under the sanitizers.
 */
#ifndef MM_PHYS_H
#define MM_PHYS_H

#include "mm/addr.h"

extern u8 phys_memory[];

/* The caller owns the frame, or knows who does. */
static inline void *phys_ptr(hpa_t address)
{
	return phys_memory + hpa_raw(address);
}

/* The address of an object in a frame or, in the image, of any object. */
static inline hpa_t phys_of(const void *object)
{
	return hpa((u64)((const u8 *)object - phys_memory));
}

#endif
