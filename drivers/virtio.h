/* SPDX-License-Identifier: MIT */
/*
 * A virtio device on PCI, from the driver's side: modern (virtio 1.x) and
 * legacy, whichever the device offers, and its split queues (Virtual I/O Device
 * Version 1.1, "Virtio Over PCI Bus" and "Split Virtqueues").
 *
 * Polled: queues ask for no interrupts. A device is trusted with memory, as any
 * that does DMA, but not with our indices: what it says has been used is
 * checked before it is believed.
 */
#ifndef DRIVERS_VIRTIO_H
#define DRIVERS_VIRTIO_H

#include "drivers/pci.h"
#include "lib/err.h"
#include "lib/types.h"

#define VIRTIO_QUEUE_MAX 256U /* descriptors used of a longer queue */

struct virtio_device {
	struct pci_function at;
	bool is_legacy;
	u16 ports; /* legacy */
	/* Modern. */
	volatile u8 *common, *notify, *config;
	u32 notify_step;
	u64 features; /* agreed */
};

/* Part of a buffer in memory. */
struct virtio_part {
	const void *at;
	u32 bytes;
};

enum virtio_direction { VIRTIO_TO_DEVICE, VIRTIO_FROM_DEVICE };

struct virtio_queue {
	u16 index, size;
	hpa_t memory; /* of all three parts */
	u64 memory_bytes;
	volatile struct virtio_descriptor *descriptors;
	volatile u16 *available;
	volatile u8 *used;
	u16 used_seen;
	u32 free_count;
	u16 free_first;
	volatile u16 *notify;       /* modern */
	u16 next[VIRTIO_QUEUE_MAX]; /* of a free one, and in a chain */
};

/*
 * Makes it forget all that it was given, and agrees on features again; then
 * virtio_queue_init as at first. ERR_TIMEOUT: it goes on using memory, perhaps.
 */
MUST_CHECK enum err virtio_reset(struct virtio_device *device, u64 wanted);

/*
 * The first device of that kind (3: console), modern if it can be that. Resets
 * it and agrees on features: of `wanted`, those that it offers.
 * ERR_NOT_FOUND, ERR_UNSUPPORTED: it does not keep to the standard.
 */
MUST_CHECK enum err virtio_begin(struct virtio_device *device, u16 kind,
				 u64 wanted);

/*
 * Before virtio_go(). `queue` is all zero, or was of that device and index: then
 * it keeps its memory. ERR_NOT_FOUND: no such queue. ERR_NO_MEMORY.
 */
MUST_CHECK enum err virtio_queue_init(struct virtio_device *device,
				      struct virtio_queue *queue, u16 index);

/* The device may use its queues from here on. */
void virtio_go(struct virtio_device *device);

u32 virtio_config_u32(struct virtio_device *device, u32 offset);

/*
 * Gives one buffer, in parts that need not be neighbours, to the device. False:
 * not so many descriptors are free. `id` is its number until it comes back.
 */
bool virtio_put(struct virtio_queue *queue, const struct virtio_part *parts,
		u32 part_count, enum virtio_direction direction, u16 *id);

/* Tells the device, if it wants to be told. */
void virtio_kick(struct virtio_device *device, struct virtio_queue *queue);

/* A buffer that came back; `bytes` were written into it. False: none. */
bool virtio_take(struct virtio_queue *queue, u16 *id, u32 *bytes);

#endif
