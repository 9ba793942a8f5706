/* SPDX-License-Identifier: MIT */
/*
 * The destination of a migration, without I/O of its own.
 *
 * Its caller feeds it the bytes of the link, in any portions, and does what
 * receiver_step asks for:
 *
 *	WAIT	feed bytes when there are some; step again when time has passed
 *	SEND	give these bytes to the link, then receiver_sent
 *	CREATE	make a stopped VM of that shape, then receiver_created, or
 *		receiver_refuse with the reason
 *	LOAD	put that state into it, then receiver_loaded, or receiver_refuse
 *	RUN	let it run, then receiver_running
 *	MOVED	over: the guest lives here
 *	FAILED	over: destroy what CREATE made; `why` says what happened
 *
 * The guest may run only after RUN, and RUN is asked for only after COMMIT of
 * this very session has come (docs/MIGRATION.md, "One owner"). Until then
 * everything that goes wrong (bytes that are not right, silence, a lost link)
 * ends in FAILED, with one line on the console, and nothing has been changed
 * but the VM that CREATE made. After RUN nothing ends in FAILED any more.
 *
 * All memory is the caller's; nothing is allocated.
 */
#ifndef MIGRATE_RECEIVER_H
#define MIGRATE_RECEIVER_H

#include "migrate/audit.h"
#include "migrate/shape.h"
#include "migrate/wire.h"

struct receiver_config {
	const struct cpu_model *cpu; /* what this machine can offer */
	u64 silence_ns;              /* of the peer, that means it is gone */
	u8 *in, *out;                /* WIRE_RECORD_BYTES each */
	u8 *state;                   /* for the VM's state record */
	u32 state_room;              /* bytes there */
};

/* What is due from the source, or from the caller. */
enum receiver_phase {
	RECEIVER_HELLO,
	RECEIVER_VM,
	RECEIVER_CREATING, /* the caller's turn */
	RECEIVER_ROUNDS,
	RECEIVER_LAST_ROUND, /* the guest is stopped there */
	RECEIVER_STATE,
	RECEIVER_AUDIT,
	RECEIVER_NAMING,  /* the pages of a group that differs */
	RECEIVER_LOADING, /* the caller's turn */
	RECEIVER_COMMIT,
	RECEIVER_STARTING, /* the caller's turn */
	RECEIVER_OWNER,
	RECEIVER_LOST,
	RECEIVER_PHASES,
};

struct receiver_counts {
	u64 raw, zero; /* pages */
};

struct receiver {
	struct receiver_config config;
	enum receiver_phase phase;
	struct wire_inbox inbox;
	struct wire_outbox outbox;
	u64 session;
	u64 features; /* agreed */
	u64 moved_ns; /* when something last went on */
	bool has_moved;
	struct vm_shape shape;
	struct guest_mem *mem;
	u32 round;
	struct receiver_counts in_round, total;
	u32 state_bytes, state_total;
	u64 next_group;  /* of the audit */
	u64 group_count; /* audited */
	u32 root;        /* of this side */
	u64 first_bad_group;
	u64 bad_group_count;
	bool refuse_owed; /* the peer does not know yet that it is over */
	char why[WIRE_TEXT_BYTES];
	u8 page[PAGE_4K]; /* one that is unpacked */
};

enum receiver_wants {
	RECEIVER_WANTS_BYTES,
	RECEIVER_WANTS_SEND,
	RECEIVER_WANTS_CREATE,
	RECEIVER_WANTS_LOAD,
	RECEIVER_WANTS_RUN,
	RECEIVER_WANTS_NOTHING, /* MOVED: the guest lives here */
	RECEIVER_WANTS_DESTROY, /* FAILED */
};

struct receiver_request {
	enum receiver_wants wants;
	const u8 *bytes; /* to send, or the state to load */
	u32 byte_count;
};

void receiver_begin(struct receiver *receiver,
		    const struct receiver_config *config, u64 now_ns);

struct receiver_request receiver_step(struct receiver *receiver, u64 now_ns);

/*
 * Takes bytes until one of them makes it want something else; returns how
 * many. The rest is to be fed again after receiver_step.
 */
u64 receiver_feed(struct receiver *receiver, const u8 *data, u64 bytes,
		  u64 now_ns);

void receiver_sent(struct receiver *receiver, u32 bytes);
void receiver_created(struct receiver *receiver, struct guest_mem *mem);
void receiver_loaded(struct receiver *receiver);
void receiver_running(struct receiver *receiver);

/* In CREATE or LOAD: it cannot be done here. */
void receiver_refuse(struct receiver *receiver, const char *why);
/* Any time. After RUN it means nothing. */
void receiver_link_lost(struct receiver *receiver, const char *why);

/* May the caller let the guest run? */
static inline bool receiver_is_owner(const struct receiver *receiver)
{
	return receiver->phase == RECEIVER_STARTING ||
	       receiver->phase == RECEIVER_OWNER;
}

#endif
