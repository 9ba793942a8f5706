/* SPDX-License-Identifier: MIT */
/*
 * A link: a stream of bytes to one peer and back, whatever carries it.
 *
 *	         link_connect
 *	LOST ------------------> CONNECTING ----- the peer is there ----> UP
 *	  ^                          |                                     |
 *	  +--------------------------+----- gone, closed, broken ----------+
 *
 * Nothing here waits: send takes what there is room for, receive gives what
 * has come, and link_poll, called often, does the rest. Bytes are taken whole
 * and in order; the taken ones are the link's own copy, unless they were lent.
 *
 * Lent bytes are read where they lie, when it suits the carrier: also after a
 * loss, until link_has_returned(). Their memory must exist so long, and if it is
 * written meanwhile, what goes is what it holds when it is read.
 *
 * When is the peer absent, and when gone? A link that knows says LOST, with
 * words why. One that cannot know (a cable without handshake lines) stays
 * CONNECTING or UP, and silence is judged by the engines, which count from
 * the last byte that went on (`silence_ns` of source_config and
 * receiver_config).
 *
 * What came before a loss can still be received. After LOST, link_connect
 * begins anew: a new stream, in which no byte of an old one appears, where the
 * link can tell them apart.
 */
#ifndef MIGRATE_LINK_H
#define MIGRATE_LINK_H

#include "lib/err.h"
#include "lib/types.h"

#define LINK_WHY_BYTES 100

enum link_state {
	LINK_LOST,
	LINK_CONNECTING,
	LINK_UP,
};

struct link;

/* Of one kind of link. None of them waits. */
struct link_operations {
	void (*connect)(struct link *link);
	/* Only while UP. Returns how many bytes were taken. */
	u32 (*send)(struct link *link, const u8 *bytes, u32 count);
	/* Likewise, without a copy; NULL: it cannot. And the two with it. */
	u32 (*lend)(struct link *link, const u8 *bytes, u32 count);
	bool (*has_returned)(struct link *link);
	enum err (*recall)(struct link *link);
	/* In any state. Returns how many bytes were there, up to `room`. */
	u32 (*receive)(struct link *link, u8 *bytes, u32 room);
	/* Moves bytes, and the state. */
	void (*poll)(struct link *link, u64 now_ns);
	/* Bytes taken that have not, as far as is known, left for the peer. */
	u32 (*pending)(struct link *link);
	/* Tells the peer, if there is a way to. */
	void (*close)(struct link *link);
};

struct link {
	const struct link_operations *operations;
	const char *name; /* "uart": as on the command line */
	enum link_state state;
	u64 sent_bytes, received_bytes; /* by this stream's users */
	char why[LINK_WHY_BYTES];       /* of LOST */
};

void link_connect(struct link *link);

/* Returns how many bytes were taken: none unless UP. */
u32 link_send(struct link *link, const u8 *bytes, u32 count);

static inline bool link_can_lend(const struct link *link)
{
	return link->operations->lend;
}

/* As link_send, of a link that can, without a copy. */
u32 link_lend(struct link *link, const u8 *bytes, u32 count);

/* Nothing that was lent will be read any more. In any state; polls. */
bool link_has_returned(struct link *link);

/*
 * Takes back at once what was lent: the link is LOST, and what was under way,
 * too. An error: its device does not let go, and the memory must stay.
 */
MUST_CHECK enum err link_recall(struct link *link);

/* Returns how many bytes have come, up to `room`. */
u32 link_receive(struct link *link, u8 *bytes, u32 room);

/* Whoever uses the link calls it often; `now_ns` never goes back. */
void link_poll(struct link *link, u64 now_ns);

/* Whether all bytes taken are on their way to the peer: before leaving. */
static inline bool link_is_drained(struct link *link)
{
	return link->state != LINK_UP || link->operations->pending(link) == 0;
}

/*
 * Ends the stream; what is pending may be lost. LOST afterwards. Who then
 * leaves the machine goes on polling for LINK_LINGER_NS: the word must get out,
 * and a peer that has not heard it is told again.
 */
#define LINK_LINGER_NS 1000000000UL
void link_close(struct link *link);

/* For the links themselves. Only the first reason counts. */
void link_is_lost(struct link *link, const char *why);

#endif
