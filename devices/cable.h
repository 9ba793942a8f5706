/* SPDX-License-Identifier: MIT */
/*
 * A cable between the serial ports of two guests, back to back.
 *
 *	end 0                                            end 1
 *	device --cable_write--> [ pipe to end 1 ] --cable_peek/take--> device
 *	device <--peek/take---- [ pipe to end 0 ] <------cable_write-- device
 *
 * It is up while both guests have their ports open. What was written before one
 * of them closed can still be read; only then is the reader's view that the
 * other side is closed, and only when both have come to that view can the cable
 * be up again, with empty pipes. So the bytes of two connections never meet.
 *
 * A pipe is bounded: what does not fit is not taken, and its writer is called
 * when half of it is free. A port that does not read holds its writer up, and
 * nobody else. What is written to a cable that is not up is lost, as on a line
 * that is not plugged in.
 *
 * Any CPU may call these functions, at each end one at a time; the device's own
 * lock may be held. The other end is called with the cable's lock held: `call`
 * must not block, nor call a cable or a platform. It means: look soon, by
 * cable_peer_is_open(), cable_peek() and cable_write().
 */
#ifndef DEVICES_CABLE_H
#define DEVICES_CABLE_H

#include "devices/host.h"
#include "lib/spinlock.h"
#include "lib/types.h"

#define CABLE_BYTES (32 * KIB) /* that wait for one end at the most */
#define CABLE_ENDS  2U

struct cable_pipe {
	u64 put, taken; /* bytes, since the cable was made */
	bool writer_waits;
	u8 bytes[CABLE_BYTES];
};

struct cable_end {
	void (*call)(void *context); /* NULL: nobody can be called */
	void *context;
	bool is_open; /* its guest has opened the port */
	bool sees;    /* that the cable is, or has just been, up */
};

struct cable {
	struct spinlock lock;
	bool is_up;
	struct cable_end ends[CABLE_ENDS];
	struct cable_pipe pipes[CABLE_ENDS]; /* by the end that reads */
};

void cable_init(struct cable *cable);

/*
 * Who is called for this end (0 or 1) from now on, NULL for nobody: when this
 * returns, nobody else is being called. It is called at once, for what it may
 * have missed. The port stays open or closed.
 */
void cable_plug(struct cable *cable, u32 end, void (*call)(void *context),
		void *context);

/* The guest at this end has opened or closed its port; again is harmless. */
void cable_set_port(struct cable *cable, u32 end, enum platform_port port);

/* What this end sees of the other one; closed only after the last byte. */
enum platform_port cable_peer_port(struct cable *cable, u32 end);

/* Bytes for the other end; returns how many were taken. */
u64 cable_write(struct cable *cable, u32 end, const u8 *bytes, u64 count);

/*
 * The next bytes for this end, at most `room`, which stay where they are until
 * so many are taken.
 */
u64 cable_peek(struct cable *cable, u32 end, u8 *bytes, u64 room);
void cable_take(struct cable *cable, u32 end, u64 count);

#endif
