/* SPDX-License-Identifier: MIT */
/*
 * The frames of a stream (migrate/stream.h), and who carries them.
 *
 *	 0      4       6     7      8      12     16       20
 *	| CRC  | magic | ver | kind | from | to   | number | due |
 *	 24            32      36       38     40
 *	| seen        | limit | length | echo | length bytes
 *
 *	CRC	CRC32C of all that follows; 0 where who carries frames vouches
 *		for them
 *	from	the sender's name for this stream
 *	to	the receiver's; 0: unknown
 *	number	DATA: of this frame; else: of the next one that will be sent
 *	due	all frames before this number have arrived at the sender
 *	seen	bit n: so has the frame due + 1 + n
 *	limit	frames before this number are welcome
 *
 * All numbers are little-endian. Frames are foreign: stream_frame_parse gives
 * only those that are intact and say what can be.
 */
#ifndef MIGRATE_STREAM_FRAME_H
#define MIGRATE_STREAM_FRAME_H

#include "lib/err.h"
#include "lib/types.h"

#define STREAM_MAGIC      0x4d55 /* "UM" */
#define STREAM_VERSION    2
#define STREAM_HEAD_BYTES 40U
#define STREAM_BODY_MAX   1432U /* Ethernet's 1500, less IPv4, UDP, head */
#define STREAM_FRAME_MAX  (STREAM_HEAD_BYTES + STREAM_BODY_MAX)
#define STREAM_NOBODY     0U /* no stream has this name */

enum stream_kind {
	STREAM_HELLO = 1, /* who is there? */
	STREAM_DATA = 2,
	STREAM_ACK = 3,
	STREAM_PING = 4, /* wants an answer */
	STREAM_BYE = 5,
	STREAM_KINDS,
};

struct stream_frame {
	enum stream_kind kind;
	u32 from, to;
	u32 number, due;
	u64 seen;
	u32 limit;
	u16 echo;
	const u8 *body;
	u32 body_bytes;
};

/* Who vouches for a frame. */
enum stream_seal {
	STREAM_SEAL_CRC,
	STREAM_SEAL_PORT, /* a damaged one does not get here */
};

/* Writes the head; the CRC covers the body where it lies. */
void stream_frame_head(const struct stream_frame *frame, enum stream_seal seal,
		       u8 head[STREAM_HEAD_BYTES]);

/*
 * ERR_BAD_FORMAT: not of this protocol, or damaged. ERR_UNSUPPORTED: another
 * version of it.
 */
MUST_CHECK enum err stream_frame_parse(const u8 *bytes, u32 count,
				       enum stream_seal seal,
				       struct stream_frame *frame);

/* --- Who carries them ----------------------------------------------------- */

struct frame_port;

/*
 * May lose, damage, repeat and reorder frames. A station is whoever sent one,
 * as a number that means something to the port only.
 */
struct frame_port_operations {
	/* Is there room for a frame now? Cheap: asked before one is made. */
	bool (*has_room)(struct frame_port *port);
	/*
	 * False: no room now. `to` is a station or FRAME_TO_ALL. The body is
	 * read where it lies, perhaps later; what is sent after the peer has
	 * acknowledged the frame nobody takes, whatever has become of it.
	 */
	bool (*send)(struct frame_port *port, const u8 *head,
		     const struct stream_frame *frame, u64 to);
	/* One frame, which lies there until the next call. 0: none has come. */
	u32 (*receive)(struct frame_port *port, const u8 **frame, u64 *from);
	/*
	 * Or NULL: the stream copies. The frame that came last stays where it
	 * is until `release` with the number that this gives. The stream keeps
	 * STREAM_SLOTS frames at most; whatever it keeps, others must get in:
	 * among them is the one that it waits for.
	 */
	u32 (*keep)(struct frame_port *port);
	void (*release)(struct frame_port *port, u32 kept);
};

#define FRAME_TO_ALL (~0UL)

struct frame_port {
	const struct frame_port_operations *operations;
	const char *name;
	u32 body_max; /* at most STREAM_BODY_MAX */
	enum stream_seal seal;
};

#endif
