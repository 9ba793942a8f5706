/* SPDX-License-Identifier: MIT */
/*
 * Two machines and a link between them, for tests of migrate/.
 *
 *	side	a guest's memory, a source or receiver, does the guest run here?
 *	guest	writes a ring, one page after the other, and pages at random,
 *		at any moment while it runs
 *	link	two queues of records; at one chosen record it does one harm
 *
 * The guest's ring: one byte per page, incremented in order, so at every
 * instant it has exactly one edge. After every step at most one side runs.
 */
#ifndef TESTS_UNIT_MIGRATION_WORLD_H
#define TESTS_UNIT_MIGRATION_WORLD_H

#include <string.h>

#include "lib/crc32c.h"
#include "migrate/receiver.h"
#include "migrate/source.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

#define WORLD_BYTES       (12 * MIB) /* of both sides' machines */
#define WORLD_STATE_BYTES 70000      /* two records */
#define WORLD_WORDS       3
#define WORLD_LIMIT       (5 * MIB)
#define WORLD_SECOND_NS   1000000000UL

enum harm {
	HARM_NONE,
	HARM_CUT_BEFORE, /* the record is lost, and the link */
	HARM_CUT_INSIDE, /* half of it arrives */
	HARM_CUT_AFTER,
	HARM_DROP, /* the record is lost, the link stays */
	HARM_CORRUPT,
	HARM_DUPLICATE,
	HARM_SWAP,   /* with the one before, if that is still under way */
	HARM_DELAY,  /* for longer than anybody waits */
	HARM_CANCEL, /* a person cancels at that moment */
	HARM_KINDS,
};

struct side {
	struct guest_mem mem;
	bool exists;
	bool runs;
	u8 state[WORLD_STATE_BYTES];
};

struct queue {
	u8 bytes[256 * KIB];
	u32 filled, taken;
	u32 last_record;  /* where the last one begins */
	u32 record_count; /* ever given to it */
	bool is_cut;
	u64 held_until_ns;
};

struct world {
	struct side sides[2];
	u32 from;               /* the index of the source's side */
	struct queue queues[2]; /* 0: from the source */
	struct source source;
	struct receiver receiver;
	struct vm_shape shape;
	struct dirty_word words[WORLD_WORDS];
	u8 buffers[4][WIRE_RECORD_BYTES];
	u8 record[WIRE_RECORD_BYTES]; /* whose pieces are being gathered */
	u32 gathered;
	u8 received_state[WORLD_STATE_BYTES];
	struct sent_page sent[24]; /* fewer than there are pages */
	u64 audited[WORLD_LIMIT / AUDIT_GROUP_BYTES + 1];
	enum audit_mode audit;
	u64 features;
	struct random random;
	u64 now_ns;
	u64 session;
	u64 ring_at; /* the ring page that is incremented next */
	u32 writes_per_step;
	enum harm harm;
	u32 harm_queue, harm_record;
	bool harmed;
	bool source_done, receiver_done;
	bool same_at_run; /* memory and state when the receiver was let run */
	void (*on_step)(struct world *world);
	/* Half of a piece of the guest's memory has been read. */
	void (*on_lent)(const struct source_request *asked);
	/* Another link than the queues, which it then fills in on_step. */
	u32 (*carry)(u32 number, const u8 *bytes, u32 count);
};

static struct world world;

/* --- Memory and guest ----------------------------------------------------- */

static const struct {
	u64 base, bytes;
} world_slots[] = {{0, 640 * KIB}, {1 * MIB, 900 * KIB}, {4 * MIB, 64 * KIB}};
#define WORLD_ROM   2
#define RING_BASE   (1 * MIB)
#define RING_PAGES  40
#define RING_OFFSET 0x123

static void world_add_side(u32 number)
{
	struct side *side = &world.sides[number];

	assert_int_equal(guest_mem_create(&side->mem, gpa(WORLD_LIMIT), "test"),
			 OK);
	for (u32 i = 0; i < ARRAY_COUNT(world_slots); i++)
		assert_int_equal(guest_mem_add(&side->mem,
					       gpa(world_slots[i].base),
					       world_slots[i].bytes),
				 OK);
	assert_int_equal(
	    guest_mem_make_rom(&side->mem, gpa(world_slots[WORLD_ROM].base)),
	    OK);
	side->exists = true;
	side->runs = false;
}

static void world_remove_side(u32 number)
{
	if (!world.sides[number].exists)
		return;
	guest_mem_destroy(&world.sides[number].mem);
	world.sides[number].exists = false;
	world.sides[number].runs = false;
}

static void ring_step(struct guest_mem *mem)
{
	gpa_t at = gpa(RING_BASE + world.ring_at * PAGE_4K + RING_OFFSET);
	u8 value;

	assert_int_equal(guest_mem_read_u8(mem, at, &value), OK);
	assert_int_equal(guest_mem_write_u8(mem, at, (u8)(value + 1)), OK);
	world.ring_at = (world.ring_at + 1) % RING_PAGES;
}

/* Every page before ring_at is one ahead of every page from there on. */
static void assert_ring(const struct guest_mem *mem)
{
	u8 first = 0, value;

	for (u64 i = 0; i < RING_PAGES; i++) {
		assert_int_equal(guest_mem_read_u8(
				     mem,
				     gpa(RING_BASE + i * PAGE_4K + RING_OFFSET),
				     &value),
				 OK);
		if (i == 0)
			first = value;
		assert_int_equal(value, (u8)(i < world.ring_at || !world.ring_at
						 ? first
						 : first - 1));
	}
}

/* A write somewhere in low memory; now and then it makes a page zero. */
static void random_write(struct guest_mem *mem)
{
	u64 page = random_below(&world.random, 64);
	gpa_t at = gpa(page * PAGE_4K);

	if (random_below(&world.random, 8) == 0) {
		assert_int_equal(guest_mem_zero(mem, at, PAGE_4K), OK);
		return;
	}
	at = gpa_add(at, random_below(&world.random, 512) * 8);
	assert_int_equal(
	    guest_mem_write_u64(mem, at, random_next(&world.random)), OK);
}

static void guest_runs_a_bit(void)
{
	assert_false(world.sides[0].runs && world.sides[1].runs);
	for (u32 i = 0; i < 2; i++) {
		u64 count =
		    random_below(&world.random, world.writes_per_step + 1);

		if (!world.sides[i].runs)
			continue;
		while (count--) {
			ring_step(&world.sides[i].mem);
			random_write(&world.sides[i].mem);
		}
	}
}

static bool same_memory(void)
{
	for (u32 i = 0; i < ARRAY_COUNT(world_slots); i++)
		for (u64 at = 0; at < world_slots[i].bytes; at += PAGE_4K) {
			gpa_t page = gpa(world_slots[i].base + at);

			if (memcmp(guest_mem_ptr(&world.sides[0].mem, page,
						 PAGE_4K),
				   guest_mem_ptr(&world.sides[1].mem, page,
						 PAGE_4K),
				   PAGE_4K) != 0)
				return false;
		}
	return true;
}

static const struct cpu_model world_cpu = {
    .vendor = "GenuineIntel",
    .brand = "A CPU for tests",
    .physical_bits = 40,
    .xcr0 = 7,
    .features = {[CPU_1_ECX] = 1, [CPU_7_EBX] = 1 << 16},
};

/* Marks were taken before, by whoever: a migration may not count on them. */
static void lose_marks(struct guest_mem *mem)
{
	gpa_t at = gpa(0), end = dirty_log_end(&mem->log);

	while (gpa_raw(at) < gpa_raw(end)) {
		struct dirty_batch batch = {world.words, WORLD_WORDS, 0};

		at = dirty_log_take(&mem->log, at, end, &batch);
	}
}

/* A guest that has run for a while, on side 0. */
static void world_begin(u64 seed)
{
	static const u64 features[] = {WIRE_FEATURE_LIVE, WIRE_FEATURES_PAGES,
				       0,
				       WIRE_FEATURES_PAGES | WIRE_FEATURE_LIVE};

	/* Sums of all memory in the other way are most of a run. */
	if (__builtin_cpu_supports("sse4.2"))
		crc32c_choose(CRC32C_INSTRUCTION);
	memset(&world, 0, sizeof(world));
	memset(phys_memory, 0x5a, WORLD_BYTES);
	world.random = random_from(seed);
	world.now_ns = seed * 12345;
	world.writes_per_step = 2;
	world.features = features[seed % ARRAY_COUNT(features)];
	world.audit = seed % 3 ? AUDIT_FULL : AUDIT_SENT;
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(0), WORLD_BYTES), OK);
	world_add_side(0);
	for (u32 i = 0; i < 100; i++) {
		u64 value = random_next(&world.random);
		gpa_t at = gpa(RING_BASE + (i + RING_PAGES) * PAGE_4K);

		assert_int_equal(
		    guest_mem_write_u64(&world.sides[0].mem, at, value), OK);
	}
	assert_int_equal(guest_mem_load(&world.sides[0].mem,
					gpa(world_slots[WORLD_ROM].base),
					"firmware", 8),
			 OK);
	lose_marks(&world.sides[0].mem);
	world.sides[0].runs = true;
}

static void world_end(void)
{
	world_remove_side(0);
	world_remove_side(1);
}

/* --- The link ------------------------------------------------------------- */

static void queue_put(struct queue *queue, const u8 *bytes, u32 count)
{
	assert_true(queue->filled + count <= sizeof(queue->bytes));
	memcpy(queue->bytes + queue->filled, bytes, count);
	queue->filled += count;
}

static void swap_with_last(struct queue *queue, const u8 *bytes, u32 count)
{
	static u8 last[WIRE_RECORD_BYTES];
	u32 begin = queue->last_record;
	u32 last_bytes = queue->filled - begin;

	if (queue->taken > begin || !last_bytes) {
		queue_put(queue, bytes, count);
		return;
	}
	memcpy(last, queue->bytes + begin, last_bytes);
	queue->filled = begin;
	queue_put(queue, bytes, count);
	queue_put(queue, last, last_bytes);
}

static void do_harm(struct queue *queue, u8 *bytes, u32 count)
{
	world.harmed = true;
	switch (world.harm) {
	case HARM_CUT_BEFORE:
		queue->is_cut = true;
		break;
	case HARM_CUT_INSIDE:
		queue_put(queue, bytes, count / 2);
		queue->is_cut = true;
		break;
	case HARM_CUT_AFTER:
		queue_put(queue, bytes, count);
		queue->is_cut = true;
		break;
	case HARM_DROP:
		break;
	case HARM_CORRUPT:
		bytes[random_below(&world.random, count)] ^=
		    (u8)(1 << random_below(&world.random, 8));
		queue_put(queue, bytes, count);
		break;
	case HARM_DUPLICATE:
		queue_put(queue, bytes, count);
		queue_put(queue, bytes, count);
		break;
	case HARM_SWAP:
		swap_with_last(queue, bytes, count);
		break;
	case HARM_DELAY:
		queue_put(queue, bytes, count);
		queue->held_until_ns = world.now_ns + 20 * WORLD_SECOND_NS;
		break;
	case HARM_CANCEL:
		queue_put(queue, bytes, count);
		if (source_cancel(&world.source, "somebody says so") != OK)
			assert_false(source_is_owner(&world.source));
		break;
	case HARM_NONE:
	case HARM_KINDS:
		fail();
	}
}

static void forget_taken(struct queue *queue)
{
	memmove(queue->bytes, queue->bytes + queue->taken,
		queue->filled - queue->taken);
	queue->filled -= queue->taken;
	queue->last_record = queue->last_record > queue->taken
				 ? queue->last_record - queue->taken
				 : 0;
	queue->taken = 0;
}

static bool is_full(const struct queue *queue)
{
	return queue->filled - queue->taken > WIRE_RECORD_BYTES;
}

/* One whole record goes onto the link; returns how much it took: all or 0. */
static u32 queue_send(u32 number, const u8 *bytes, u32 count)
{
	struct queue *queue = &world.queues[number];
	static u8 copy[WIRE_RECORD_BYTES];
	u32 begin;

	if (queue->is_cut)
		return count;
	if (world.carry)
		return world.carry(number, bytes, count);
	if (is_full(queue))
		return 0;
	forget_taken(queue);
	begin = queue->filled;
	memcpy(copy, bytes, count);
	if (world.harm != HARM_NONE && !world.harmed &&
	    number == world.harm_queue &&
	    queue->record_count == world.harm_record)
		do_harm(queue, copy, count);
	else
		queue_put(queue, bytes, count);
	queue->last_record = begin;
	queue->record_count++;
	return count;
}

/* What has arrived, in portions of any size. */
static u32 link_take(u32 number, const u8 **bytes)
{
	struct queue *queue = &world.queues[number];
	u32 left = queue->filled - queue->taken;

	if (world.now_ns < queue->held_until_ns || !left)
		return 0;
	*bytes = queue->bytes + queue->taken;
	return 1 +
	       (u32)random_below(&world.random,
				 random_below(&world.random, 4) ? left : 20) %
		   left;
}

static bool link_is_dead(void)
{
	return world.queues[0].is_cut || world.queues[1].is_cut;
}

static bool is_drained(u32 number)
{
	return world.queues[number].taken == world.queues[number].filled;
}

/* --- The two callers ------------------------------------------------------ */

static struct side *source_side(void)
{
	return &world.sides[world.from];
}

static struct side *receiver_side(void)
{
	return &world.sides[!world.from];
}

static void pause_guest(void)
{
	struct side *side = source_side();

	side->runs = false;
	for (u32 i = 0; i < WORLD_STATE_BYTES; i++)
		side->state[i] = (u8)random_next(&world.random);
	/* Saving state may write guest memory too. */
	random_write(&side->mem);
	source_paused(&world.source, side->state, WORLD_STATE_BYTES);
}

/* Take, "re-arm", flush; the guest may write between that and the reading. */
static void harvest(const struct source_request *asked)
{
	source_harvested(&world.source,
			 dirty_log_take(&source_side()->mem.log, asked->from,
					asked->to, asked->batch));
	guest_runs_a_bit();
}

/* What is lent is read in two halves, and the guest writes between them. */
static void read_piece(u8 *to, const struct source_request *asked)
{
	u32 half = asked->byte_count / 2;

	memcpy(to, asked->bytes, half);
	if (asked->are_lent) {
		guest_runs_a_bit();
		if (world.on_lent)
			world.on_lent(asked);
	}
	memcpy(to + half, asked->bytes + half, asked->byte_count - half);
}

/* Records are made whole from their pieces, and harmed as a whole. */
static u32 send_piece(const struct source_request *asked)
{
	static u8 piece[WIRE_RECORD_BYTES];

	if (world.queues[0].is_cut)
		return asked->byte_count;
	if (world.carry) {
		read_piece(piece, asked);
		return world.carry(0, piece, asked->byte_count);
	}
	if (!world.gathered && is_full(&world.queues[0]))
		return 0;
	read_piece(world.record + world.gathered, asked);
	world.gathered += asked->byte_count;
	if (world.gathered == wire_record_bytes(world.record)) {
		assert_int_equal(queue_send(0, world.record, world.gathered),
				 world.gathered);
		world.gathered = 0;
	}
	return asked->byte_count;
}

static void step_source(void)
{
	struct source_request asked = source_step(&world.source, world.now_ns);

	switch (asked.wants) {
	case SOURCE_WANTS_SEND:
		source_sent(&world.source, send_piece(&asked));
		break;
	case SOURCE_WANTS_HARVEST:
		harvest(&asked);
		break;
	case SOURCE_WANTS_PAUSE:
		pause_guest();
		break;
	case SOURCE_WANTS_RESUME:
		assert_true(source_is_owner(&world.source));
		source_side()->runs = true;
		source_resumed(&world.source);
		break;
	case SOURCE_WANTS_NOTHING:
	case SOURCE_WANTS_DECISION:
	case SOURCE_WANTS_NO_MORE:
		world.source_done = true;
		break;
	case SOURCE_WANTS_BYTES:
		break;
	}
}

static void feed_source(void)
{
	const u8 *bytes;
	u32 count = link_take(1, &bytes);

	if (count) {
		source_feed(&world.source, bytes, count, world.now_ns);
		world.queues[1].taken += count;
	} else if (link_is_dead() && is_drained(1)) {
		source_link_lost(&world.source, "the link is gone");
	}
}

static void let_run(void)
{
	assert_true(receiver_is_owner(&world.receiver));
	assert_false(source_is_owner(&world.source));
	world.same_at_run =
	    same_memory() && !memcmp(world.received_state, source_side()->state,
				     WORLD_STATE_BYTES);
	receiver_side()->runs = true;
	receiver_running(&world.receiver);
}

static void step_receiver(void)
{
	struct receiver_request asked =
	    receiver_step(&world.receiver, world.now_ns);

	switch (asked.wants) {
	case RECEIVER_WANTS_SEND:
		receiver_sent(&world.receiver,
			      queue_send(1, asked.bytes, asked.byte_count));
		break;
	case RECEIVER_WANTS_CREATE:
		world_add_side(!world.from);
		receiver_created(&world.receiver, &receiver_side()->mem);
		break;
	case RECEIVER_WANTS_LOAD:
		assert_int_equal(asked.byte_count, WORLD_STATE_BYTES);
		receiver_loaded(&world.receiver);
		break;
	case RECEIVER_WANTS_RUN:
		let_run();
		break;
	case RECEIVER_WANTS_NOTHING:
	case RECEIVER_WANTS_DESTROY:
		world.receiver_done = true;
		break;
	case RECEIVER_WANTS_BYTES:
		break;
	}
}

static void feed_receiver(void)
{
	const u8 *bytes;
	u32 count;

	while ((count = link_take(0, &bytes)) > 0) {
		u32 taken = (u32)receiver_feed(&world.receiver, bytes, count,
					       world.now_ns);

		world.queues[0].taken += taken;
		if (taken < count || random_below(&world.random, 4) == 0)
			return;
	}
	if (link_is_dead() && is_drained(0))
		receiver_link_lost(&world.receiver, "the link is gone");
}

/* --- One migration -------------------------------------------------------- */

static void world_prepare(u32 from)
{
	struct source_config source = {
	    .mem = &world.sides[from].mem,
	    .shape = &world.shape,
	    .session = ++world.session * 0x1234567,
	    .downtime_ns = WORLD_SECOND_NS / 10,
	    .silence_ns = 10 * WORLD_SECOND_NS,
	    .rounds_max = 5,
	    .stuck = SOURCE_STUCK_SWITCH,
	    .audit = world.audit,
	    .audited = world.audited,
	    .features = world.features,
	    .sent = world.sent,
	    .sent_count = ARRAY_COUNT(world.sent),
	    .in = world.buffers[0],
	    .out = world.buffers[1],
	    .words = world.words,
	    .word_count = WORLD_WORDS,
	};
	struct receiver_config receiver = {
	    .cpu = &world_cpu,
	    .silence_ns = 10 * WORLD_SECOND_NS,
	    .in = world.buffers[2],
	    .out = world.buffers[3],
	    .state = world.received_state,
	    .state_room = WORLD_STATE_BYTES,
	};

	world.from = from;
	memset(world.queues, 0, sizeof(world.queues));
	world.gathered = 0;
	world.shape = (struct vm_shape){.cpu_count = 2, .cpu = world_cpu};
	shape_take_memory(&world.shape, source.mem);
	world.source_done = world.receiver_done = world.harmed = false;
	world.same_at_run = false;
	source_begin(&world.source, &source, world.now_ns);
	receiver_begin(&world.receiver, &receiver, world.now_ns);
}

/* Everybody in turn, until both are done. */
static void world_run(void)
{
	for (u32 i = 0; !world.source_done || !world.receiver_done; i++) {
		assert_true(i < 100000);
		step_source();
		guest_runs_a_bit();
		feed_receiver();
		step_receiver();
		guest_runs_a_bit();
		feed_source();
		if (world.on_step)
			world.on_step(&world);
		world.now_ns += random_below(&world.random, 20000000);
	}
}

/* What must be true of every end, and what the guest then does. */
static void assert_one_owner(void)
{
	bool here = source_side()->runs, there = receiver_side()->runs;

	assert_false(here && there);
	if (world.source.phase == SOURCE_MOVED) {
		assert_true(there);
	} else if (world.source.phase == SOURCE_FAILED) {
		assert_true(here);
		assert_int_equal(dirty_log_count(&source_side()->mem.log),
				 source_side()->mem.bytes / PAGE_4K);
	} else {
		assert_int_equal(world.source.phase, SOURCE_UNCONFIRMED);
		assert_false(here);
	}
	if (there) {
		assert_true(world.same_at_run);
		assert_ring(&receiver_side()->mem);
	}
	if (here)
		assert_ring(&source_side()->mem);
}

#endif
