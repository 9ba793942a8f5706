/* SPDX-License-Identifier: MIT */
/*
 * Frames on a line that only knows bytes, so that a receiver that comes late
 * or loses a byte finds the next frame: consistent overhead byte stuffing
 * (Cheshire and Baker, 1999).
 *
 *	frame	1 2 0 3              no zero inside: one before, one behind
 *	line	0 | 3 1 2 | 2 3 | 0  `n`: n - 1 bytes follow, then a zero
 *
 * 255 stands for 254 bytes and no zero, so 254 bytes cost at most one more.
 * Two zeroes in a row are no frame. What a frame says is for others to check.
 *
 * The zero before a frame ends whatever an idle line has brought by itself, as
 * in RFC 1055.
 */
#ifndef MIGRATE_SERIAL_FRAME_H
#define MIGRATE_SERIAL_FRAME_H

#include "migrate/stream_frame.h"

/* What a frame of that many bytes may become. */
#define SERIAL_FRAME_BYTES(bytes) ((bytes) + (bytes) / 254 + 3)

/* Stuffs pieces of one frame after each other. */
struct serial_frame_writer {
	u8 *at; /* SERIAL_FRAME_BYTES of the whole frame */
	u32 filled;
	u32 code_at; /* where the count of the run that is open stands */
};

void serial_frame_begin(struct serial_frame_writer *writer, u8 *at);
void serial_frame_add(struct serial_frame_writer *writer, const u8 *bytes,
		      u32 count);
/* Returns how many bytes the frame has on the line. */
u32 serial_frame_end(struct serial_frame_writer *writer);

/* Takes bytes of the line until a frame is whole. */
struct serial_frame_reader {
	u8 frame[STREAM_FRAME_MAX];
	u32 filled;
	u32 run_left;    /* bytes of the open run that are still to come */
	bool zero_owed;  /* after the run, if the frame goes on */
	bool is_spoiled; /* too long: nothing until the next zero */
};

/*
 * Moves *bytes and *count on. Returns the frame's length when one is whole,
 * which lies in the reader until the next call, or 0: all was taken.
 */
u32 serial_frame_take(struct serial_frame_reader *reader, const u8 **bytes,
		      u32 *count);

#endif
