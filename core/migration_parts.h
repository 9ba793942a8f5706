/* SPDX-License-Identifier: MIT */
/* For the files of core/migration.h only: what they do for each other. */
#ifndef CORE_MIGRATION_PARTS_H
#define CORE_MIGRATION_PARTS_H

#include "arch/x86/vmx/vm.h"
#include "core/migration.h"
#include "migrate/receiver.h"
#include "migrate/source.h"
#include "mm/frame_alloc.h"

#define MIGRATION_CHUNK       (16 * KIB)
#define MIGRATION_STATE_BYTES (460 * KIB) /* of 64 vCPUs */
#define MIGRATION_WORDS       8           /* up to 512 pages in one harvest */
#define MIGRATION_STEPS       24          /* of an engine, in one of ours */

enum migration_phase {
	MIGRATION_NONE,
	MIGRATION_IDLE,
	MIGRATION_SENDING,
	MIGRATION_UNDECIDED, /* handed over, and nobody has confirmed it */
	MIGRATION_RETURNING, /* it has moved: what the link reads must stay */
	MIGRATION_RELAXING,  /* it stays here: tracking ends in pieces */
	MIGRATION_RECEIVING,
	MIGRATION_SETTLING, /* until the line is quiet */
};

/* Large: in frames of its own. */
struct migration_room {
	u8 in[WIRE_RECORD_BYTES], out[WIRE_RECORD_BYTES];
	u8 received[MIGRATION_CHUNK];
	u8 state[MIGRATION_STATE_BYTES];
	struct dirty_word words[MIGRATION_WORDS];
	struct vm_shape shape;
	struct cpu_model cpu;
	struct source source;
	struct receiver receiver;
};

/* What a guest's settings ask for. */
struct migration_wishes {
	u64 downtime_ns;
	enum audit_mode audit;
	enum source_stuck stuck;
	enum track_mode track;
	u64 features; /* of the wire, that are offered */
};

struct migration {
	struct link *link;
	bool receives;
	enum link_state link_state; /* that was said last */
	u64 silence_ns;             /* of the peer, that means it is gone */
	enum migration_phase phase;
	struct migration_room *room;
	u64 next_tsc;
	u64 quiet_ns;
	struct vm *next_vm; /* asked for while the last one was cleared up */
	struct vm *vm;      /* that is sent, or has been made */
	u32 left_at, left;  /* of `received`, not fed yet */
	bool link_said;     /* that it is lost */
	bool is_tracking;
	gpa_t relaxed_to;
	u64 work_ns; /* while the guest that comes stands still: see arrived= */
	u64 said_ns; /* the last record for the front end */
	u32 rounds_said, rounds_throttled;
	u64 returning_ns; /* since when */
	bool recalled;
	struct vm_writes writes; /* when it began */
	u64 began_ns;
	struct sent_page *sent; /* a block of that order, or none */
	enum frame_order sent_order;
	u64 *audited; /* likewise */
	enum frame_order audited_order;
};

extern struct migration migration;

u64 migration_now_ns(void);

/* It has failed: what is still under way is nobody's, and has to pass. */
void migration_over(void);
/* Both sides agree that it has moved: nothing is under way any more. */
void migration_done(void);

/* What the link was lent is ours again; false, and said: it is not. */
bool migration_recall(struct migration *m);

/* migration_source.c */
void migration_came(const struct vm *vm); /* no settings came with it */
void migration_step_source(struct migration *m);
void migration_relax(struct migration *m);
void migration_step_return(struct migration *m);
void migration_send_next(struct migration *m); /* if one was asked for */

/* migration_receiver.c; so many bytes are in room->received. */
void migration_begin_receiving(struct migration *m, u32 bytes);
void migration_step_receiver(struct migration *m);

#endif
