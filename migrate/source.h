/* SPDX-License-Identifier: MIT */
/*
 * The source of a migration, without I/O of its own.
 *
 * Its caller does what source_step asks for and feeds it what comes back:
 *
 *	BYTES	wait for the peer; step again when time has passed
 *	SEND	give these bytes to the link, then source_sent. Those that are
 *		lent are the guest's memory, and may be read after that, too,
 *		as long as that memory exists (docs/MIGRATION.md, "Lent pages")
 *	HARVEST	take dirty pages of [from, to) into the batch, re-arm them,
 *		flush (pml/track.h), then source_harvested
 *	PAUSE	stop the guest for good: vCPUs stopped, their page logs
 *		drained, devices still, state saved and every page that this
 *		wrote marked; then source_paused with the state
 *	RESUME	the guest runs on here; then source_resumed
 *	MOVED	over: the peer runs the guest; destroy it here
 *	UNCONFIRMED  over: handed over, and the peer has not said that it
 *		runs. The guest stays stopped until a person decides
 *	FAILED	over: the guest runs here as if nothing had happened
 *
 * From round to round the caller gives the vCPUs for which source_throttles()
 * holds `throttle_percent` less time than they would like.
 *
 * ONE OWNER. The guest is the source's until COMMIT lies in the outbox; from
 * then on no path leads to RESUME (docs/MIGRATION.md). source_may_run says
 * which.
 *
 * PACKED OR NOT. Pages are made smaller while the link is slower than that: once
 * it has taken LINK_IS_FAST_BYTES without making anybody wait, they go as they
 * are, lent where the link can do that, until it does.
 *
 * NO PAGE LOST. All pages are marked when copying begins, a page is read only
 * after its harvest is complete, and the last harvest is made with the guest
 * stopped. When it fails, what the peer has is worth nothing, so all pages
 * are marked again: a next migration is complete whoever begins it.
 */
#ifndef MIGRATE_SOURCE_H
#define MIGRATE_SOURCE_H

#include "migrate/audit.h"
#include "migrate/pack.h"
#include "migrate/shape.h"
#include "migrate/wire.h"

#define LINK_IS_FAST_BYTES MIB

/* When the guest writes faster than the link carries, whatever is tried. */
enum source_stuck {
	SOURCE_STUCK_FAIL,   /* call it off, in words */
	SOURCE_STUCK_SWITCH, /* a longer downtime is better than none */
};

struct source_config {
	struct guest_mem *mem;
	const struct vm_shape *shape; /* of mem */
	u64 session;                  /* another one for each migration */
	u64 downtime_ns;              /* how long the guest may stand still */
	u64 fixed_ns; /* of it, what pausing, state and answers will take */
	u64 audit_page_ns; /* and each page of the audit, here and there */
	u64 silence_ns;    /* of the peer, that means it is gone */
	u32 rounds_max;    /* until `stuck` decides */
	enum source_stuck stuck;
	enum audit_mode audit;
	u64 *
	    audited; /* AUDIT_SENT: room for a bit per page, mem->log's words */
	u64 features; /* that are offered: of WIRE_FEATURES_PAGES, and LIVE */
	struct sent_page *sent; /* for deltas: what was last sent; or none */
	u32 sent_count;
	u8 *in, *out;             /* WIRE_RECORD_BYTES each */
	struct dirty_word *words; /* for harvests */
	u32 word_count;
};

enum source_phase {
	SOURCE_HELLO,
	SOURCE_WELCOME, /* is due from the peer; so is ... */
	SOURCE_VM,
	SOURCE_ACCEPT, /* ... this */
	SOURCE_COPY,
	SOURCE_SEEN, /* ... this */
	SOURCE_PREPARE,
	SOURCE_PREPARED, /* ... this */
	SOURCE_PAUSING,
	SOURCE_LAST_COPY,
	SOURCE_STATE,
	SOURCE_AUDIT,
	SOURCE_READY, /* ... this */
	SOURCE_COMMIT,
	/* From here on the guest is not ours any more. */
	SOURCE_RUNNING, /* ... and this */
	SOURCE_MOVED,
	SOURCE_UNCONFIRMED,
	/* From here on it is ours for good. */
	SOURCE_RESUMING,
	SOURCE_FAILED,
	SOURCE_PHASES,
};

/*
 * One that the peer has: pages with contents and without, and what it took. The
 * last one: with the state and the audit.
 */
struct source_round {
	u64 raw, zero, bytes, ns;
};

struct source_stats {
	u32 rounds;
	struct source_round last_round;
	u64 raw_pages, zero_pages;  /* raw: with contents, in any form */
	u64 lz4_pages, delta_pages; /* of the raw ones, and ... */
	u64 lent_pages;             /* ... these */
	u64 sent_bytes;
	u64 bandwidth;  /* bytes per second */
	u64 dirty_rate; /* pages per second */
	u64 pages_left; /* at the end of the last round */
	u64 estimated_downtime_ns;
	/* Moments of the switch, 0 until then. */
	u64 pause_ns, paused_ns, copied_ns, told_ns, sealed_ns, ready_ns;
	u64 running_ns;
};

struct source {
	struct source_config config;
	enum source_phase phase;
	struct wire_inbox inbox;
	struct wire_outbox outbox;
	struct packer packer;
	struct dirty_batch batch;
	u32 batch_at; /* the word whose pages come next */
	gpa_t harvest_at;
	u32 round;
	struct source_round now; /* so far; ns: when it began */
	const u8 *state;
	u32 state_bytes, state_sent, state_crc;
	enum audit_mode audit; /* that was agreed on */
	u64 audited_count;     /* pages, of AUDIT_SENT */
	u64 next_group, group_count;
	u32 root;
	u64 asked_group; /* AUDIT_NO_GROUP: none */
	u32 throttle_percent;
	u64 now_ns;
	u64 moved_ns;   /* when something last went on */
	u64 unhindered; /* bytes taken since the link last was full */
	bool has_moved;
	bool is_live;     /* pages may be lent */
	bool is_paused;   /* or was asked to be */
	bool cancel_owed; /* the peer does not know yet that it is over */
	struct source_stats stats;
	char why[WIRE_TEXT_BYTES];
};

enum source_wants {
	SOURCE_WANTS_BYTES,
	SOURCE_WANTS_SEND,
	SOURCE_WANTS_HARVEST,
	SOURCE_WANTS_PAUSE,
	SOURCE_WANTS_RESUME,
	SOURCE_WANTS_NOTHING,  /* MOVED */
	SOURCE_WANTS_DECISION, /* UNCONFIRMED */
	SOURCE_WANTS_NO_MORE,  /* FAILED */
};

struct source_request {
	enum source_wants wants;
	const u8 *bytes; /* to send */
	u32 byte_count;
	bool are_lent;
	gpa_t from, to; /* to harvest */
	struct dirty_batch *batch;
};

void source_begin(struct source *source, const struct source_config *config,
		  u64 now_ns);

struct source_request source_step(struct source *source, u64 now_ns);

/* Takes all of it, whatever it is. */
void source_feed(struct source *source, const u8 *data, u64 bytes, u64 now_ns);
void source_sent(struct source *source, u32 bytes);
/* The harvest has come as far as `next`. */
void source_harvested(struct source *source, gpa_t next);
/* The state stays where it is until the migration is over. */
void source_paused(struct source *source, const u8 *state, u32 bytes);
void source_resumed(struct source *source);

/* ERR_STATE: too late, it has been handed over. */
/*
 * Is it a vCPU that writes too much? `writes` of `total` in the last round were
 * its own: at least half of an equal share. For at least one of `vcpus`, it is.
 */
bool source_throttles(u64 writes, u64 total, u32 vcpus);

MUST_CHECK enum err source_cancel(struct source *source, const char *why);
/* Any time; what it means depends on when. */
void source_link_lost(struct source *source, const char *why);

/* Is the guest still this side's to run, if only after RESUME? */
static inline bool source_is_owner(const struct source *source)
{
	return source->phase < SOURCE_RUNNING ||
	       source->phase >= SOURCE_RESUMING;
}

#endif
