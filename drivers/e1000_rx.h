/* SPDX-License-Identifier: MIT */
/*
 * The receive ring of an e1000 (drivers/e1000.h), and what lies in its buffers.
 * Pure: the controller is whoever fills descriptors up to the tail.
 *
 *	ring:		| taken | filled | empty: the controller's |
 *			back    next                            tail
 *	buffers:	| one in each descriptor | others: spare, or kept |
 *
 * Descriptors go back in their order, so that none may stay behind: while a
 * stream waits for a lost frame with the later ones kept, that frame, and
 * everything else that arrives before it, needs descriptors. So a frame that is
 * kept takes its buffer along, and a spare one takes that one's place.
 *
 * INVARIANT: each buffer is in one descriptor or one place of `others`. They
 * only ever change places.
 */
#ifndef DRIVERS_E1000_RX_H
#define DRIVERS_E1000_RX_H

#include "drivers/e1000.h"
#include "lib/types.h"

#define E1000_RX_RING          256UL /* descriptors */
#define E1000_RX_BUFFER_BYTES  2048UL

#define E1000_RX_DONE          1U /* status */
#define E1000_RX_END_OF_PACKET 2U

/* The legacy format. The controller writes all but the address. */
struct e1000_rx_descriptor {
	u64 address;
	u16 length, checksum;
	u8 status, errors;
	u16 special;
};

struct e1000_rx {
	volatile struct e1000_rx_descriptor *ring;
	volatile u32 *tail; /* register: the controller fills up to here */
	u32 next;           /* the descriptor that is filled next */
	u32 back;           /* the first that the controller has not got back */
	u32 last;           /* with the frame that came last, or NOTHING */
	u64 spares;         /* bits: which of `others` are no kept frames */
	u8 *buffers[E1000_RX_RING];
	u8 *others[E1000_KEPT_MAX];
};

/*
 * E1000_RX_RING descriptors, as many buffers for them, and E1000_KEPT_MAX
 * others. The tail is the caller's to set, to E1000_RX_RING - 1: a full ring
 * would look like an empty one.
 */
void e1000_rx_begin(struct e1000_rx *rx,
		    volatile struct e1000_rx_descriptor *ring,
		    volatile u32 *tail, u8 *buffers, u8 *others);

/* See e1000_receive(), e1000_keep() and e1000_release(). */
u32 e1000_rx_receive(struct e1000_rx *rx, const u8 **frame);
u32 e1000_rx_keep(struct e1000_rx *rx);
void e1000_rx_release(struct e1000_rx *rx, u32 kept);

#endif
