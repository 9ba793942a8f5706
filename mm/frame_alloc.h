/* SPDX-License-Identifier: MIT */
/*
 * The machine's RAM, handed out in blocks of 4 KiB << order.
 *
 * A buddy allocator: a block of order n is aligned to its size, and two free
 * buddies become one block again. Orders run from FRAME_4K to FRAME_1G, so
 * that guests can have the large pages that the CPU can map.
 *
 *	frame_alloc_init()		nothing is known yet
 *	frame_alloc_reserve() ...	image, boot modules, firmware: never
 * ours frame_alloc_add() ...		RAM of the loader's map, below 4 GiB
 * first frame_alloc_add() ...		the rest, once the page tables map it
 *
 * Maps may be sparse, unsorted, overlapping and unaligned: what is reserved,
 * or was added before, is never added again. Ranges that add() gets must be
 * mapped: one byte per frame, and the lists of free blocks, live in the RAM
 * itself. Frame 0 is never handed out, so that address 0 is nobody's.
 *
 * Contents of a frame are whatever the last owner left. Who hands frames to
 * a guest or to the CPU as a table zeroes them (frame_alloc_zeroed does).
 *
 * All functions but init, reserve and add may be called on any CPU at once.
 * A double free, a free of what was never handed out and a free with another
 * order than that of the allocation are our own bugs: CHECK.
 */
#ifndef MM_FRAME_ALLOC_H
#define MM_FRAME_ALLOC_H

#include "lib/err.h"
#include "mm/addr.h"

enum frame_order {
	FRAME_4K = 0,
	FRAME_8K,
	FRAME_16K,
	FRAME_32K,
	FRAME_64K,
	FRAME_128K,
	FRAME_256K,
	FRAME_512K,
	FRAME_1M,
	FRAME_2M = 9,
	FRAME_1G = 18,
};

#define FRAME_ORDERS (FRAME_1G + 1)

_Static_assert(PAGE_4K << FRAME_2M == PAGE_2M, "a 2M page is one block");
_Static_assert(PAGE_4K << FRAME_1G == PAGE_1G, "a 1G page is one block");

/* Where a block must lie; the scarce low zones are used up last. */
enum frame_zone {
	FRAME_BELOW_1M, /* real-mode code: the AP trampoline */
	FRAME_BELOW_4G, /* 32-bit pointers of devices */
	FRAME_ANYWHERE,
};

static inline u64 frame_bytes(enum frame_order order)
{
	return PAGE_4K << order;
}

/* The smallest order that holds `bytes`; FRAME_ORDERS if none does. */
enum frame_order frame_order_for(u64 bytes);

void frame_alloc_init(void);

/* Before the add() of any range it touches. ERR_NO_MEMORY: table full. */
MUST_CHECK enum err frame_alloc_reserve(hpa_t base, u64 bytes);

/*
 * ERR_NO_MEMORY: the map has too many pieces; those that fitted are in use.
 * Pieces smaller than two frames are dropped silently.
 */
MUST_CHECK enum err frame_alloc_add(hpa_t base, u64 bytes);

/*
 * A block, and on failure ERR_NO_MEMORY after one line on the console that
 * names `who`, what was wanted and what there is.
 */
MUST_CHECK enum err frame_alloc(enum frame_order order, const char *who,
				hpa_t *frame);
MUST_CHECK enum err frame_alloc_zeroed(enum frame_order order, const char *who,
				       hpa_t *frame);
MUST_CHECK enum err frame_alloc_in(enum frame_zone zone, enum frame_order order,
				   const char *who, hpa_t *frame);

/* As frame_alloc, silent: for callers that can do with less. */
MUST_CHECK enum err frame_alloc_try(enum frame_order order, hpa_t *frame);

void frame_free(hpa_t frame, enum frame_order order);

struct frame_stats {
	u64 total_bytes; /* RAM under management, own tables left out */
	u64 free_bytes;
	u64 largest_bytes;             /* the largest free block */
	u64 free_blocks[FRAME_ORDERS]; /* free blocks of each order */
};

void frame_stats(struct frame_stats *stats);

#endif
