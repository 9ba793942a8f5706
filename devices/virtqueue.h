/* SPDX-License-Identifier: MIT */
/*
 * The device's side of a split virtqueue (virtio 1.1, "Split Virtqueues").
 *
 * Everything in the rings is the guest's choice and is read once, by copy: an
 * index or descriptor that cannot be is VIRTQUEUE_BROKEN, and no chain is
 * followed for more steps than the queue has descriptors. Neither indirect
 * descriptors nor event indices are offered.
 */
#ifndef DEVICES_VIRTQUEUE_H
#define DEVICES_VIRTQUEUE_H

#include "devices/host.h"
#include "lib/bits.h"
#include "lib/types.h"

#define VIRTQUEUE_SIZE_MAX 64

struct virtqueue_state {
	u64 descriptors; /* guest-physical addresses of the three parts */
	u64 available;
	u64 used;
	u16 size; /* a power of two up to VIRTQUEUE_SIZE_MAX */
	u16 vector;
	u16 enabled;        /* 0 or 1 */
	u16 next_available; /* what we take next */
	u16 next_used;      /* what we give back next */
};

/* Whose memory it is: the host's callbacks with their context. */
struct virtqueue_memory {
	const struct platform_host *host;
	void *context;
};

enum virtqueue_result {
	VIRTQUEUE_OK,
	VIRTQUEUE_EMPTY, /* nothing available */
	VIRTQUEUE_BROKEN,
};

void virtqueue_reset(struct virtqueue_state *queue);

/* The head of the next available chain; it is then ours. */
enum virtqueue_result virtqueue_take(const struct virtqueue_memory *memory,
				     struct virtqueue_state *queue, u16 *head);

/* Part of a chain: `bytes` of it from `offset` on. */
struct virtqueue_span {
	u16 head;
	u64 offset;
	u32 bytes;
};

/*
 * Copies between a chain's buffers and ours; `done` is less than asked for
 * where the chain ends. Reading uses a chain that has only device-readable
 * descriptors, writing one that has only device-writable ones.
 */
enum virtqueue_result virtqueue_read(const struct virtqueue_memory *memory,
				     const struct virtqueue_state *queue,
				     const struct virtqueue_span *span,
				     void *to, u32 *done);
enum virtqueue_result virtqueue_write(const struct virtqueue_memory *memory,
				      const struct virtqueue_state *queue,
				      const struct virtqueue_span *span,
				      const void *from, u32 *done);

/* Gives a chain back, with so many bytes written into it. */
enum virtqueue_result virtqueue_give(const struct virtqueue_memory *memory,
				     struct virtqueue_state *queue, u16 head,
				     u32 written);

/* Does the driver want an interrupt for what was given back? */
bool virtqueue_wants_interrupt(const struct virtqueue_memory *memory,
			       const struct virtqueue_state *queue);

#endif
