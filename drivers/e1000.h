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
#define E1000_KEPT_MAX    64U   /* frames */

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

/* Is there room for a frame now? */
bool e1000_has_room(void);

/*
 * Where the next frame is to be put together, E1000_FRAME_BYTES, or NULL: there
 * is no room now.
 */
u8 *e1000_room(void);

/* Sends the `bytes` bytes that lie there; after e1000_room() gave it. */
void e1000_send(u32 bytes);

/*
 * The same for UDP in IPv4 without options. The controller inserts both
 * checksums; IPv4's has to be 0, UDP's the sum of the pseudo head. The frame's
 * end, `end_bytes` (may be 0) at `end` in memory of Umbra's, is read where it
 * lies, perhaps after the call.
 */
void e1000_send_udp(u32 bytes, const u8 *end, u32 end_bytes);

/* One whole frame, which lies there until the next call. 0: none has come. */
u32 e1000_receive(const u8 **frame);

/*
 * The frame that the last e1000_receive() gave stays where it lies until
 * e1000_release() with the number that this gives, and stops no other frame.
 * Once for a frame, and at most E1000_KEPT_MAX at a time: one more is the
 * caller's fault.
 */
u32 e1000_keep(void);
void e1000_release(u32 kept);

#endif
