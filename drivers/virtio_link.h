/* SPDX-License-Identifier: MIT */
/*
 * The link over a virtio-serial port, found by its name (Virtual I/O Device
 * Version 1.1, "Console Device"; QEMU: -device virtserialport,name=umbra.0).
 *
 *	sent	gathered from up to eight pages of ours into one buffer, many of
 *		which are under way
 *	come	pages lie ready; a page is taken when it is read
 *
 * Bytes are copied once on their way out, and not gathered from the guest's
 * memory: a record's checksum is of what the device reads, and a guest that
 * runs may write a page between the two. The peer would have to take pages on
 * trust until the audit, and a page could not leave the guest (it has ended, it
 * has moved) before the device gives it back, which nobody can make it do. The
 * copy is half an instruction per 8 bytes (./umbra bench --only links), a third
 * of finding out that a page is not zero.
 *
 * UP when the host says that the peer's side is open. A multiport device has
 * flow control; without that feature its only port is a console that throws
 * away what does not fit, and is refused.
 */
#ifndef DRIVERS_VIRTIO_LINK_H
#define DRIVERS_VIRTIO_LINK_H

#include "drivers/virtio.h"
#include "migrate/link.h"

#define VIRTIO_LINK_NAME     "umbra.0"
#define VIRTIO_PORTS_MAX     32U
#define VIRTIO_LINK_PAGES    64U /* for each direction */
#define VIRTIO_CONTROLS      16U
#define VIRTIO_CONTROL_BYTES 128U

/* A page with bytes for the reader. */
struct virtio_ready {
	u32 page, bytes;
};

/* A buffer that the device is sending. */
struct virtio_sending {
	u16 id;
	bool is_done;
	u32 pages;
};

struct virtio_link {
	struct link link;
	struct virtio_device device;
	u32 port_count;
	struct virtio_queue control_in, control_out;
	struct virtio_queue queues[2 * VIRTIO_PORTS_MAX];
	struct virtio_queue *in, *out; /* of our port; NULL: not found yet */
	u32 port;
	u64 open_ports;  /* at the host's side, that is, the peer's */
	bool is_open;    /* ours of them */
	bool wants_open; /* link_connect was called */
	/* Received: what has come and has not been read. */
	u8 *in_pages;
	u32 in_page[VIRTIO_QUEUE_MAX]; /* by the buffer's number */
	struct virtio_ready ready[VIRTIO_LINK_PAGES];
	u32 ready_put, ready_taken; /* free-running */
	u32 ready_at;               /* in the oldest */
	/* Sent: pages are used round and round. done <= given <= put */
	u8 *out_pages;
	u32 out_put, out_given, out_done; /* pages, free-running */
	u32 out_filled;                   /* bytes of the page of out_put */
	struct virtio_sending sending[VIRTIO_LINK_PAGES];
	u32 sending_put, sending_done;
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
