/* SPDX-License-Identifier: MIT */
/* This machine as the destination: what migrate/receiver.h asks for. */
#include "arch/x86/vmx/capability.h"
#include "core/console.h"
#include "core/guests.h"
#include "core/migration_parts.h"
#include "core/vm_make.h"
#include "core/vm_record.h"
#include "lib/log.h"

/* Hashes are told apart: see count_work(). One record of them, about. */
#define PIECE_BYTES 64U

void migration_begin_receiving(struct migration *m, u32 bytes)
{
	struct migration_room *room = m->room;
	const struct receiver_config config = {
	    .cpu = &room->cpu,
	    .silence_ns = m->silence_ns,
	    .in = room->in,
	    .out = room->out,
	    .state = room->state,
	    .state_room = sizeof(room->state),
	};

	vm_record_host_cpu(&room->cpu);
	receiver_begin(&room->receiver, &config, migration_now_ns());
	m->vm = NULL;
	m->work_ns = 0;
	m->left_at = 0;
	m->left = bytes;
	m->link_said = false;
	m->phase = MIGRATION_RECEIVING;
	log_info("migration: a peer has something to say");
}

/* --- What it asks for ----------------------------------------------------- */

/* A peer's word becomes a guest's name: one word, as ours are. */
static void make_plain(char *name)
{
	for (; *name; name++) {
		char c = *name;
		bool is_plain =
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';

		if (!is_plain)
			*name = '_';
	}
}

static void create(struct migration *m, struct receiver *receiver)
{
	enum err err = ERR_RANGE;

	make_plain(receiver->shape.name);
	if (receiver->shape.cpu_count <= PLATFORM_VCPU_MAX &&
	    guests_have_room())
		err = vm_make_of_shape(&receiver->shape, &m->vm);
	if (err != OK) {
		receiver_refuse(receiver, err == ERR_NO_MEMORY
					      ? "no memory for such a VM here"
					      : "this machine can make no such "
						"VM");
		return;
	}
	log_info("migration: guest %s comes: %lu MiB, %u vCPUs", m->vm->name,
		 m->vm->memory.bytes / MIB, m->vm->vcpu_count);
	receiver_created(receiver, &m->vm->memory);
}

/*
 * What the guest waits for here, by this machine's clock. Hashes are made while
 * the source makes more of them, so of those only the last count.
 */
static void count_work(struct migration *m, u64 groups, u64 start_ns)
{
	const struct receiver *receiver = &m->room->receiver;

	if (receiver->group_count != groups)
		m->work_ns = 0;
	if (receiver->phase >= RECEIVER_AUDIT)
		m->work_ns += migration_now_ns() - start_ns;
}

static void load(struct migration *m, struct receiver *receiver,
		 const struct receiver_request *asked)
{
	u64 start_ns = migration_now_ns();
	char why[WIRE_TEXT_BYTES];

	if (vm_record_restore(m->vm, asked->bytes, asked->byte_count, why,
			      sizeof(why)) != OK)
		receiver_refuse(receiver, why);
	else if (m->vm->has_started && !vmx_capability.usable)
		receiver_refuse(receiver, "without VMX no guest can run here");
	else
		receiver_loaded(receiver);
	m->work_ns += migration_now_ns() - start_ns;
}

static void run(struct migration *m, struct receiver *receiver)
{
	const struct receiver_counts *total = &receiver->total;
	u64 start_ns = migration_now_ns();

	vm_record_start_clock(m->vm);
	guests_adopt(m->vm);
	migration_came(m->vm);
	receiver_running(receiver);
	m->work_ns += migration_now_ns() - start_ns;
	log_info("migration: guest %s is here, after %u rounds, %lu pages and "
		 "%lu zero pages, %lu of the audit's groups compared",
		 m->vm->name, receiver->round, total->raw, total->zero,
		 receiver->group_count);
	console_record("arrived guest=%u name=%s groups=%lu work_us=%lu",
		       m->vm->index, m->vm->name, receiver->group_count,
		       m->work_ns / 1000);
}

static void send(struct migration *m, struct receiver *receiver,
		 const struct receiver_request *asked)
{
	receiver_sent(receiver,
		      link_send(m->link, asked->bytes, asked->byte_count));
}

/* What has come before goes first; whether anything was there. */
static bool feed(struct migration *m, struct receiver *receiver)
{
	u64 groups = receiver->group_count, start_ns;
	u32 here;

	if (!m->left) {
		m->left_at = 0;
		m->left =
		    link_receive(m->link, m->room->received, MIGRATION_CHUNK);
	}
	if (!m->left)
		return false;
	here = receiver->phase == RECEIVER_AUDIT && m->left > PIECE_BYTES
		   ? PIECE_BYTES
		   : m->left;
	start_ns = migration_now_ns();
	here = (u32)receiver_feed(receiver, m->room->received + m->left_at,
				  here, start_ns);
	m->left_at += here;
	m->left -= here;
	count_work(m, groups, start_ns);
	return true;
}

static void destroy(struct migration *m)
{
	if (m->vm)
		vm_destroy(m->vm);
	m->vm = NULL;
	migration_over();
}

enum progress { GOES_ON, WAITS };

static enum progress step(struct migration *m, struct receiver *receiver)
{
	struct receiver_request asked =
	    receiver_step(receiver, migration_now_ns());

	switch (asked.wants) {
	case RECEIVER_WANTS_BYTES:
		return feed(m, receiver) ? GOES_ON : WAITS;
	case RECEIVER_WANTS_SEND:
		send(m, receiver, &asked);
		return receiver->outbox.sent == receiver->outbox.filled
			   ? GOES_ON
			   : WAITS;
	case RECEIVER_WANTS_CREATE:
		create(m, receiver);
		return GOES_ON;
	case RECEIVER_WANTS_LOAD:
		load(m, receiver, &asked);
		return GOES_ON;
	case RECEIVER_WANTS_RUN:
		run(m, receiver);
		return GOES_ON;
	case RECEIVER_WANTS_NOTHING:
		m->vm = NULL;
		migration_done();
		return WAITS;
	case RECEIVER_WANTS_DESTROY:
		destroy(m);
		break;
	}
	return WAITS;
}

static void check_link(struct migration *m, struct receiver *receiver)
{
	if (m->link->state != LINK_LOST || m->link_said || m->left)
		return;
	/* What came before the loss may still be there. */
	m->left_at = 0;
	m->left = link_receive(m->link, m->room->received, MIGRATION_CHUNK);
	if (m->left)
		return;
	m->link_said = true;
	receiver_link_lost(receiver, m->link->why);
}

void migration_step_receiver(struct migration *m)
{
	struct receiver *receiver = &m->room->receiver;

	check_link(m, receiver);
	for (u32 i = 0; i < MIGRATION_STEPS; i++)
		if (m->phase != MIGRATION_RECEIVING ||
		    step(m, receiver) == WAITS)
			return;
}
