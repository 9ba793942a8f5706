/* SPDX-License-Identifier: MIT */
/*
 * Faults on purpose: a link that goes through another one and, at one chosen
 * record of the migration, does one harm to what is sent. Once: what is sent
 * after that, also over a new connection, goes through.
 *
 *	sender -> | one whole record | -harm-> | what is to go out | -> inner
 *
 * A record is taken whole before any of it goes on, so "lost", "twice" and
 * "in the wrong order" mean whole records: all that a wrong link could do to
 * the protocol. Everything else is passed through.
 */
#ifndef MIGRATE_LINK_FAULT_H
#define MIGRATE_LINK_FAULT_H

#include "migrate/link.h"
#include "migrate/wire.h"

enum link_harm {
	LINK_HARM_NONE,
	LINK_HARM_CUT_BEFORE, /* the record is lost, and the link */
	LINK_HARM_CUT_INSIDE, /* half of it arrives */
	LINK_HARM_CUT_AFTER,
	LINK_HARM_DROP,    /* the record is lost, the link stays */
	LINK_HARM_CORRUPT, /* one bit of it */
	LINK_HARM_DUPLICATE,
	LINK_HARM_SWAP,  /* with the record after it */
	LINK_HARM_DELAY, /* by `delay_ns` */
	LINK_HARM_KINDS,
};

/* "cut-before", never NULL. */
const char *link_harm_name(enum link_harm harm);

struct link_fault_plan {
	enum link_harm harm;
	u32 type;   /* of the record; 0: of any type */
	u32 record; /* of those, in one connection; the first one is 0 */
	u64 seed;   /* of the bit that is corrupted */
	u64 delay_ns;
};

struct link_fault {
	struct link link;
	struct link *inner;
	struct link_fault_plan plan;
	bool harmed;
	bool cut_owed;
	bool swap_owed;
	u32 record_count; /* of that type, that have come whole */
	u32 record_bytes; /* of the one that is coming */
	u32 out_bytes, out_sent;
	u64 now_ns, held_until_ns;
	u8 record[WIRE_RECORD_BYTES];
	u8 out[2 * WIRE_RECORD_BYTES];
};

/* To be connected then. Another plan needs another wrap, while LOST. */
void link_fault_wrap(struct link_fault *fault, struct link *inner,
		     const struct link_fault_plan *plan);

#endif
