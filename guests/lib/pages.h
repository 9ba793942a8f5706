/* SPDX-License-Identifier: MIT */
/*
 * Pages of free memory, one after the other; nothing is ever given back.
 * The largest free range below 4 GiB is used (boot.h), so whoever takes that
 * range for himself must not use this.
 */
#ifndef GUESTS_LIB_PAGES_H
#define GUESTS_LIB_PAGES_H

#include "lib/types.h"

#define PAGE_BYTES 4096ul

/*
 * `count` pages in a row, zeroed. Ends the guest with EXIT_USAGE when there are
 * not so many. Any CPU may call.
 */
u64 pages_take(u64 count);

/* The same, the first of them at a multiple of `alignment` bytes. */
u64 pages_take_aligned(u64 count, u64 alignment);

/*
 * From now on pages begin at `base`, wherever the loader has put things, so
 * that addresses are the same in every run. Ends the guest with EXIT_USAGE
 * where that is not free. Before anything is taken.
 */
void pages_begin_at(u64 base);

/* How many are left. */
u64 pages_left(void);

#endif
