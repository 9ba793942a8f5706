/* SPDX-License-Identifier: MIT */
/*
 * The link over a virtio-serial port, found by its name (Virtual I/O Device
 * Version 1.1, "Console Device"; QEMU: -device virtserialport,name=umbra.0).
 *
 *	sent	gathered into buffers, of which many are under way:
 *
 *		| head of a record | page, page | page |    one buffer, three
 *		   copied here       lent, where they lie   descriptors
 *
 *	come	pages lie ready; a page is taken when it is read
 *
 * (drivers/virtio_gather.h). Nobody can make a device give a buffer back but by a
 * reset: that is how lent memory is recalled.
 *
 * UP when the host says that the peer's side is open. A multiport device has
 * flow control; without that feature its only port is a console that throws
 * away what does not fit, and is refused.
 */
#ifndef DRIVERS_VIRTIO_LINK_H
#define DRIVERS_VIRTIO_LINK_H

#include "drivers/virtio.h"
#include "drivers/virtio_gather.h"
#include "migrate/link.h"

#define VIRTIO_LINK_NAME     "umbra.0"
#define VIRTIO_PORTS_MAX     32U
#define VIRTIO_LINK_PAGES    64U /* to receive into */
#define VIRTIO_CONTROLS      16U
#define VIRTIO_CONTROL_BYTES 128U

/* A page with bytes for the reader. */
struct virtio_ready {
	u32 page, bytes;
};

struct virtio_link {
	struct link link;
	struct virtio_device device;
	u32 port_count;
	struct virtio_queue control_in, control_out;
	struct virtio_queue queues[2 * VIRTIO_PORTS_MAX];
	u8 *in_pages, *out_pages;
	bool wants_open; /* link_connect was called */
	/* From here on: nothing after a reset. Our port; NULL: not found yet */
	struct virtio_queue *in, *out;
	u32 port;
	u64 open_ports; /* at the host's side, that is, the peer's */
	bool is_open;   /* ours of them */
	/* Received: what has come and has not been read. */
	u32 in_page[VIRTIO_QUEUE_MAX]; /* by the buffer's number */
	struct virtio_ready ready[VIRTIO_LINK_PAGES];
	u32 ready_put, ready_taken;  /* free-running */
	u32 ready_at;                /* in the oldest */
	struct virtio_gather gather; /* sent */
	/* The control queues. */
	u8 controls[VIRTIO_CONTROLS][VIRTIO_CONTROL_BYTES];
	u32 control_of[VIRTIO_QUEUE_MAX];
	u8 said[VIRTIO_CONTROLS][8];
	u32 said_put, said_done;
};

/*
 * ERR_NOT_FOUND: no virtio-serial device. ERR_UNSUPPORTED: one without
 * multiport, or that is broken. ERR_NO_MEMORY.
 */
MUST_CHECK enum err virtio_link_init(struct virtio_link *link);

#endif
