/* SPDX-License-Identifier: MIT */
/* The link, and who uses it: see core/migration.h. */
#include "core/migration.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"
#include "core/migration_parts.h"
#include "lib/log.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

#define POLL_NS      500000 /* while something is under way */
#define IDLE_POLL_NS 20000000
#define DRAIN_NS     5000000000
#define QUIET_NS     300000000 /* of the line, before a new stream begins */

struct migration migration;

static struct migration_room *allocate_room(void)
{
	hpa_t block;

	if (frame_alloc_zeroed(frame_order_for(sizeof(struct migration_room)),
			       "migration", &block) != OK)
		return NULL;
	return phys_ptr(block);
}

enum err migration_init(struct link *link, enum migration_receive receive,
			u64 silence_ns)
{
	struct migration *m = &migration;

	if (!link)
		return OK;
	m->room = allocate_room();
	if (!m->room)
		return ERR_NO_MEMORY;
	m->link = link;
	m->silence_ns = silence_ns;
	m->receives = receive == MIGRATION_RECEIVE_ON;
	m->phase = MIGRATION_IDLE;
	link_connect(link);
	return OK;
}

bool migration_waits(void)
{
	return migration.link && migration.receives;
}

u64 migration_now_ns(void)
{
	return tsc_now_ns();
}

/* --- Between two migrations ----------------------------------------------- */

void migration_over(void)
{
	migration.phase = MIGRATION_SETTLING;
	migration.quiet_ns = migration_now_ns();
}

void migration_done(void)
{
	migration.phase = MIGRATION_IDLE;
}

/* Whether nothing that was lent will be read any more. */
bool migration_recall(struct migration *m)
{
	enum err err;

	log_warn("link %s: the memory that it was lent is taken back: its "
		 "device begins anew",
		 m->link->name);
	err = link_recall(m->link);
	if (err != OK)
		log_error("migration: link %s: its device cannot be made to "
			  "let go of memory: %s",
			  m->link->name, err_text(err));
	return err == OK;
}

/*
 * What is still on its way is nobody's: a serial line cannot tell an old stream
 * from a new one.
 */
static void settle(struct migration *m)
{
	u64 now_ns = migration_now_ns();

	while (link_receive(m->link, m->room->received, MIGRATION_CHUNK))
		m->quiet_ns = now_ns;
	if (now_ns - m->quiet_ns < QUIET_NS)
		return;
	if (!link_is_drained(m->link) || !link_has_returned(m->link)) {
		if (now_ns - m->quiet_ns < DRAIN_NS)
			return;
		if (!link_has_returned(m->link))
			migration_recall(m);
	}
	if (m->link->state == LINK_LOST)
		link_connect(m->link);
	m->phase = MIGRATION_IDLE;
}

static void listen(struct migration *m)
{
	u32 bytes;

	if (m->link->state == LINK_LOST)
		link_connect(m->link);
	migration_send_next(m);
	if (m->phase != MIGRATION_IDLE)
		return;
	bytes = link_receive(m->link, m->room->received, MIGRATION_CHUNK);
	if (!bytes || !m->receives)
		return;
	migration_begin_receiving(m, bytes);
}

static void say_link(struct migration *m)
{
	if (m->link->state == m->link_state)
		return;
	m->link_state = m->link->state;
	if (m->link->state == LINK_UP)
		log_info("link %s: the peer is there", m->link->name);
	else if (m->link->state == LINK_LOST)
		log_info("link %s: lost: %s", m->link->name, m->link->why);
}

/* --- The step ------------------------------------------------------------- */

void migration_step(void)
{
	struct migration *m = &migration;

	if (!m->link || insn_rdtsc() < m->next_tsc)
		return;
	link_poll(m->link, migration_now_ns());
	say_link(m);
	switch (m->phase) {
	case MIGRATION_NONE:
		break;
	case MIGRATION_IDLE:
		listen(m);
		break;
	case MIGRATION_SENDING:
		migration_step_source(m);
		break;
	case MIGRATION_UNDECIDED:
		break;
	case MIGRATION_RETURNING:
		migration_step_return(m);
		break;
	case MIGRATION_RELAXING:
		migration_relax(m);
		break;
	case MIGRATION_RECEIVING:
		migration_step_receiver(m);
		break;
	case MIGRATION_SETTLING:
		settle(m);
		break;
	}
	link_poll(m->link, migration_now_ns());
	m->next_tsc =
	    insn_rdtsc() + tsc_from_ns(m->phase == MIGRATION_IDLE ||
					       m->phase == MIGRATION_UNDECIDED
					   ? IDLE_POLL_NS
					   : POLL_NS);
}

u64 migration_next_tsc(void)
{
	return migration.link ? migration.next_tsc : UINT64_MAX;
}
