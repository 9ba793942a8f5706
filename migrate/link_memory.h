/* SPDX-License-Identifier: MIT */
/*
 * A link in memory: two ends in one machine, for tests and measurements.
 *
 *	a --send--> | ring of a | --receive--> b       and the same back
 *
 * Both ends belong to one caller; there is no lock.
 */
#ifndef MIGRATE_LINK_MEMORY_H
#define MIGRATE_LINK_MEMORY_H

#include "migrate/link.h"

struct link_memory {
	struct link link;
	struct link_memory *peer;
	u8 *ring; /* what this end has sent */
	u32 ring_bytes;
	u64 put, taken; /* free-running; put - taken bytes are inside */
};

/* `rings` holds one ring per end, `ring_bytes` each, a power of two. */
void link_memory_join(struct link_memory *a, struct link_memory *b, u8 *rings,
		      u32 ring_bytes);

#endif
