/* SPDX-License-Identifier: MIT */
/*
 * A link over frames that may be lost, damaged, repeated and reordered.
 *
 *	bytes -> | slots, one frame each | -> frames -> | slots | -> bytes
 *	            ^ kept until acknowledged            ^ put in order
 *
 * Frames are numbered from 0. Every frame that is sent says what has arrived
 * (`due`, `seen`) and what is welcome (`limit`). A frame is sent again only
 * when the peer, asked or not, has said something that shows it is missing:
 * three later ones have come, or the answer to a PING that was sent after it.
 * Time alone, which in an emulator stretches, only makes it ask (PING), first
 * after what a round trip takes, then after twice that, up to a bound. Fewer
 * frames are under way while a network loses some.
 *
 * Who is there: each link_connect takes a new name; HELLO says it to everybody
 * on the line until somebody answers. From then on only frames count that bear
 * both names and come from that station, so that nothing of an old stream and
 * nothing of a third party gets in:
 *
 *	A                        B
 *	HELLO  A, to nobody  -->             B knows A
 *	       A knows B     <-- HELLO B, to A
 *	       UP                ACK   A, to B -->  UP
 *
 * A peer that has not been heard for `silence_ns`, though asked (PING), is
 * gone, and so is one that greets under another name and keeps silent under
 * its old one.
 *
 * INVARIANT (numbers wrap, so "<=" is by distance)
 *	out:	acked <= next <= put <= acked + STREAM_SLOTS
 *	in:	taken <= due <= in_end <= taken + STREAM_SLOTS
 * tests/model/stream.pml is this protocol for spin.
 */
#ifndef MIGRATE_STREAM_H
#define MIGRATE_STREAM_H

#include "migrate/link.h"
#include "migrate/stream_frame.h"

#define STREAM_SLOTS      64U /* frames under way; `seen` has as many bits */
/* For bodies: of frames under way, and of those that came and were copied. */
#define STREAM_OUT_BYTES  ((u64)STREAM_SLOTS * STREAM_BODY_MAX)
#define STREAM_ROOM_BYTES (2 * STREAM_OUT_BYTES)

enum stream_slot_state {
	STREAM_SLOT_EMPTY,
	STREAM_SLOT_FULL,   /* out: not sent yet; in: has arrived */
	STREAM_SLOT_FLYING, /* sent, not heard of */
	STREAM_SLOT_LOST,   /* to be sent again */
	STREAM_SLOT_SEEN,   /* it has arrived, others before it have not */
};

struct stream_slot {
	enum stream_slot_state state;
	u32 bytes;
	u32 sent_count; /* out */
	u64 sent_ns;    /* out */
	const u8 *body; /* in */
	u32 kept;       /* in: by the port, under this number */
};

struct stream_counts {
	u64 frames, again; /* DATA sent, and of them not for the first time */
	u64 received, repeated;
	u64 bad, foreign; /* damaged; of somebody else or of an old stream */
	u64 pings;
};

struct stream {
	struct link link;
	struct frame_port *port;
	u8 *room; /* as configured */
	u64 silence_ns;
	u64 entropy;
	u32 id, peer_id; /* names; STREAM_NOBODY: not known */
	u64 station;
	u64 now_ns, heard_ns, said_ns;
	u64 minded_ns;               /* when it was last looked what is due */
	u64 hello_ns, hello_wait_ns; /* when the next HELLO is due */
	u64 suspect_ns; /* the peer is gone then, if not heard; 0: no doubt */
	/* Sending. */
	u32 acked, next, put;
	u32 limit;       /* of the peer */
	u32 filling;     /* bytes in the slot of `put` */
	u64 filled_ns;   /* when the last of them came */
	u32 flying;      /* slots */
	u32 lost;        /* slots */
	u32 flight_max;  /* slots: what the network seems to bear */
	u32 flight_slow; /* from here on it grows slowly */
	u32 grown;       /* acknowledged since it grew */
	u32 recover;     /* losses before this number are one event */
	u32 pending;     /* bytes not acknowledged */
	u64 rtt_ns, rtt_spread_ns, wait_ns; /* of a frame's acknowledgement */
	u16 ping;                           /* the last one's number */
	bool is_asked;                      /* and it has not been answered */
	u64 ping_ns;                        /* when it was sent */
	struct stream_slot out[STREAM_SLOTS];
	/* Receiving. */
	u32 due, taken;
	u32 in_end;      /* no frame from there on has come */
	u16 echo;        /* the peer's last PING */
	u32 taken_bytes; /* of the slot of `taken` */
	u32 limit_said;
	u32 unsaid;    /* frames that have arrived since the last said `due` */
	u64 unsaid_ns; /* since when */
	bool must_say; /* without waiting for more */
	bool has_news; /* since minded_ns: something may be due */
	struct stream_slot in[STREAM_SLOTS];
	struct stream_counts counts;
};

struct stream_config {
	struct frame_port *port;
	u8 *room; /* STREAM_ROOM_BYTES; if the port keeps, STREAM_OUT_BYTES */
	u64 silence_ns;
	u64 entropy; /* another number for each machine and boot */
};

void stream_init(struct stream *stream, const struct stream_config *config);

#endif
