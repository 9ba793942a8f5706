/* SPDX-License-Identifier: MIT */
/*
 * What a virtio link sends, gathered into buffers: bytes that are copied, into
 * pages used round and round, and bytes that are lent, which the device reads
 * where they lie. Pure: drivers/virtio_link.h moves the buffers.
 *
 *		pages:	| free |  under way  | being filled | free |
 *		              done         given          put
 *
 * Parts that are neighbours in memory become one. Buffers may come back in any
 * order. Their pages are free in the order in which they were filled; what was
 * lent is returned with its buffer.
 */
#ifndef DRIVERS_VIRTIO_GATHER_H
#define DRIVERS_VIRTIO_GATHER_H

#include "drivers/virtio.h"
#include "lib/types.h"

#define VIRTIO_GATHER_PAGES 64U
#define VIRTIO_GATHER_PARTS 16U /* of a buffer: a record's head, 15 pages */
#define VIRTIO_GATHER_BYTES (64U * KIB) /* of a buffer that takes no more */
#define VIRTIO_BUFFERS_MAX  64U         /* under way */

/* A buffer that is under way. */
struct virtio_buffer {
	u16 id; /* virtio_put() */
	bool is_done;
	u32 pages; /* with copied bytes, and ... */
	u32 lent;  /* ... bytes that lie elsewhere */
};

/* What has been given since it began. */
struct virtio_counts {
	u64 buffers, parts;
	u32 most_under_way; /* at a moment, or behind one that is */
};

struct virtio_gather {
	u8 *pages; /* VIRTIO_GATHER_PAGES */
	u32 parts_max;
	/* The buffer that is being filled. */
	struct virtio_part parts[VIRTIO_GATHER_PARTS];
	u32 part_count, bytes, lent;
	/* Pages, free-running. */
	u32 pages_put, pages_given, pages_done;
	u32 page_left; /* bytes, in the last one put */
	struct virtio_buffer buffers[VIRTIO_BUFFERS_MAX];
	u32 buffers_put, buffers_done; /* free-running */
	u32 lent_bytes;                /* not returned */
	struct virtio_counts counts;
};

/* `pages` stay the caller's; a buffer has so many parts at most. */
void virtio_gather_begin(struct virtio_gather *g, u8 *pages, u32 parts_max);

/* Does the buffer that is being filled take one more part? */
bool virtio_gather_has_room(const struct virtio_gather *g);

/* Where it has room. Returns how many bytes were copied; 0: no page is free. */
u32 virtio_gather_copy(struct virtio_gather *g, const u8 *bytes, u32 count);
void virtio_gather_lend(struct virtio_gather *g, const u8 *bytes, u32 count);

/* Is there one that may be put? Then it was, as `id`. */
bool virtio_gather_is_ready(const struct virtio_gather *g);
void virtio_gather_given(struct virtio_gather *g, u16 id);

/* It came back. One that is not under way is nobody's. */
void virtio_gather_returned(struct virtio_gather *g, u16 id);

/* What was not given is forgotten; what was lent for it is returned. */
void virtio_gather_drop(struct virtio_gather *g);

/* Bytes that have not been sent, at most: whole pages are counted. */
u32 virtio_gather_pending(const struct virtio_gather *g);

#endif
