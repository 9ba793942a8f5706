/* SPDX-License-Identifier: MIT */
/*
 * Intel's 8254x network controllers and the 82574, which share registers and
 * descriptors (Intel, "PCI/PCI-X Family of Gigabit Ethernet Controllers
 * Software Developer's Manual", and "82574 Family GbE Controller Datasheet").
 *
 * Polled: frames go into and come out of rings in memory, and nobody waits.
 * One controller, one user, no lock.
 */
#ifndef DRIVERS_E1000_H
#define DRIVERS_E1000_H

#include "lib/err.h"
#include "lib/types.h"

#define E1000_FRAME_BYTES 1514U /* without the checksum */

/* What is put together into one frame. */
struct e1000_part {
	const u8 *bytes;
	u32 count;
};

/*
 * Finds the first controller, resets it and lets it send and receive.
 * ERR_NOT_FOUND: none here. ERR_TIMEOUT: it does not come out of reset.
 * ERR_UNSUPPORTED: it has no memory BAR or no address. ERR_NO_MEMORY.
 */
MUST_CHECK enum err e1000_init(void);

/* Six bytes. */
const u8 *e1000_mac(void);

/* Is there a cable with somebody at its other end? */
bool e1000_has_carrier(void);

/* Would e1000_send() take a frame now? */
bool e1000_has_room(void);

/* False: the ring is full. Copies. At most E1000_FRAME_BYTES. */
bool e1000_send(const struct e1000_part *parts, u32 part_count);

/* One whole frame, which lies there until the next call. 0: none has come. */
u32 e1000_receive(const u8 **frame);

#endif
