/* SPDX-License-Identifier: MIT */
/*
 * Live migration on this machine: drives the engines of migrate/ over a link,
 * in bounded steps of the first CPU's loop.
 *
 *	idle --migration_send--> sending --> moved | stays here | unconfirmed
 *	  |
 *	  +--bytes of a peer (receive=on)--> receiving --> runs here | refused
 *
 * One at a time. What is done for the engines: harvests of the guest's dirty
 * log, stopping it, its state record, making a VM and putting a record into it.
 *
 * A guest's settings: downtime=300ms (how long it may stand still),
 * audit=off|sent|full, compress=off|lz4|on, dirty=pml|wp|auto,
 * dirty.l2=wp|translate (how its own guest's writes are found),
 * stuck=fail|switch (when it writes faster than the link carries, whatever is
 * tried).
 *
 * The front end is told by records: "migration round=... " while it goes on,
 * and one "migrated ..." at its end; docs/MIGRATION.md lists their words.
 */
#ifndef CORE_MIGRATION_H
#define CORE_MIGRATION_H

#include "lib/err.h"
#include "loader/guest_plan.h"
#include "migrate/link.h"

struct vm;

enum migration_receive {
	MIGRATION_RECEIVE_OFF,
	MIGRATION_RECEIVE_ON, /* a peer may send a guest */
};

/*
 * `link` may be NULL: then nothing can be sent or received. A peer that is
 * silent for so long is gone.
 */
MUST_CHECK enum err migration_init(struct link *link,
				   enum migration_receive receive,
				   u64 silence_ns);

/* Will this machine take a guest? Then it waits also without any. */
bool migration_waits(void);

/* Reads and keeps the guest's settings; says what is wrong with them. */
MUST_CHECK enum err migration_plan(const struct vm *vm,
				   const struct guest_plan *plan);

/*
 * For the monitor; each says what came of it. `wishes`: words such as
 * "downtime=2s audit=off", instead of the guest's settings.
 */
void migration_send(struct vm *vm, const char *wishes);
void migration_cancel(void);
void migration_say_status(void);

/* After a hand-over that nobody has confirmed, a person decides. */
enum migration_decision {
	MIGRATION_DESTROY, /* it runs at the peer */
	MIGRATION_RESUME,  /* it does not, and never will */
};
void migration_decide(enum migration_decision decision);

/* The VM has ended and no vCPU of it runs. */
void migration_vm_ended(const struct vm *vm);

void migration_step(void);
u64 migration_next_tsc(void); /* when it is due; host TSC */

#endif
