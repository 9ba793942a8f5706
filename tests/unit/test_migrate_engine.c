/* SPDX-License-Identifier: MIT */
/*
 * Source and receiver, joined by a link in memory, while the guest writes at
 * any moment: no page is lost, and never do both sides run it, whatever the
 * link does at whichever record.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/migration_world.h"

static void migrate_from(u32 from, enum harm harm)
{
	world_prepare(from);
	world.harm = harm;
	world_run();
	assert_one_owner();
}

static void assert_moved(void)
{
	assert_int_equal(world.source.phase, SOURCE_MOVED);
	assert_int_equal(world.receiver.phase, RECEIVER_OWNER);
}

static void there_and_back(u64 seed)
{
	world_begin(seed);
	world.writes_per_step = (u32)(seed % 5);
	migrate_from(0, HARM_NONE);
	assert_moved();
	world_remove_side(0);
	migrate_from(1, HARM_NONE);
	assert_moved();
	world_end();
}

static void guest_moves_there_and_back(void **state)
{
	(void)state;
	for_seeds(10, there_and_back);
}

/* --- One harm at each record ---------------------------------------------- */

/* Whoever has the guest now moves it again, and nothing was forgotten. */
static void migrate_once_more(void)
{
	u32 owner = world.from;

	if (receiver_side()->runs) {
		owner = !world.from;
		assert_int_equal(world.receiver.phase, RECEIVER_OWNER);
	} else if (!source_side()->runs) {
		/* Nobody runs: the peer has given it up, a person decides. */
		assert_int_equal(world.source.phase, SOURCE_UNCONFIRMED);
		assert_int_equal(world.receiver.phase, RECEIVER_LOST);
		source_side()->runs = true;
	}
	world_remove_side(!owner);
	migrate_from(owner, HARM_NONE);
	assert_moved();
}

static void harm_at(enum harm harm, u32 queue, u32 record, u64 seed)
{
	world_begin(seed);
	world.harm_queue = queue;
	world.harm_record = record;
	migrate_from(0, harm);
	assert_true(world.harmed);
	migrate_once_more();
	world_end();
}

static u32 record_counts[2];

static void count_records(u64 seed)
{
	world_begin(seed);
	migrate_from(0, HARM_NONE);
	for (u32 i = 0; i < 2; i++)
		record_counts[i] = world.queues[i].record_count;
	world_end();
}

static void harm_everywhere(u64 seed)
{
	count_records(seed);
	for (u32 queue = 0; queue < 2; queue++)
		for (u32 record = 0; record < record_counts[queue]; record++)
			for (u32 harm = 1; harm < HARM_KINDS; harm++)
				harm_at((enum harm)harm, queue, record, seed);
}

static void any_harm_at_any_record_leaves_one_owner(void **state)
{
	(void)state;
	for_seeds(4, harm_everywhere);
}

/* --- The hand-over, record by record -------------------------------------- */

static void end_of_harm(enum harm harm, u32 queue, u32 from_last)
{
	count_records(1);
	world_begin(1);
	world.harm_queue = queue;
	world.harm_record = record_counts[queue] - from_last;
	migrate_from(0, harm);
}

/* The last record of the source is COMMIT, of the destination RUNNING. */
static void lost_commit_stops_both_until_a_person_decides(void **state)
{
	(void)state;
	end_of_harm(HARM_CUT_BEFORE, 0, 1);
	assert_int_equal(world.source.phase, SOURCE_UNCONFIRMED);
	assert_int_equal(world.receiver.phase, RECEIVER_LOST);
	assert_int_equal(source_cancel(&world.source, "try"), ERR_STATE);
	world_end();
}

static void lost_running_leaves_the_guest_at_the_peer(void **state)
{
	(void)state;
	end_of_harm(HARM_CUT_BEFORE, 1, 1);
	assert_int_equal(world.source.phase, SOURCE_UNCONFIRMED);
	assert_int_equal(world.receiver.phase, RECEIVER_OWNER);
	world_end();
}

static void lost_ready_leaves_the_guest_here(void **state)
{
	(void)state;
	end_of_harm(HARM_CUT_BEFORE, 1, 2);
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_int_equal(world.receiver.phase, RECEIVER_LOST);
	assert_true(source_side()->runs);
	world_end();
}

/* --- Audit ---------------------------------------------------------------- */

#define SPOILED 0x7000

/* A page that arrived becomes another one: broken memory, or our own fault. */
static void spoil_page(struct world *w)
{
	struct guest_mem *mem = &w->sides[!w->from].mem;

	if (w->receiver.phase == RECEIVER_STATE && w->sides[1].exists)
		assert_int_equal(
		    guest_mem_write_u8(mem, gpa(SPOILED + 5), 0xee), OK);
}

static void page_spoilt_is_named(enum audit_mode mode)
{
	world_begin(3);
	world.audit = mode;
	world.on_step = spoil_page;
	migrate_from(0, HARM_NONE);
	assert_int_equal(world.source.audit, mode);
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_non_null(strstr(world.receiver.why, "differ: 7000 (1 in"));
	assert_non_null(strstr(world.source.why, "differ: 7000 (1 in"));
	world.on_step = NULL;
	migrate_once_more();
	world_end();
}

static void audit_names_the_page_that_differs(void **state)
{
	(void)state;
	page_spoilt_is_named(AUDIT_FULL);
}

/* It travelled, so it counts, though it may be zero by now. */
static void audit_of_what_was_sent_names_the_page(void **state)
{
	(void)state;
	page_spoilt_is_named(AUDIT_SENT);
}

#define EMPTY_PAGE 0x90000 /* of 64 of which none ever has contents */

static void spoil_empty_page(struct world *w)
{
	struct guest_mem *mem = &w->sides[!w->from].mem;

	if (w->receiver.phase == RECEIVER_STATE && w->sides[1].exists)
		assert_int_equal(guest_mem_write_u8(mem, gpa(EMPTY_PAGE), 1),
				 OK);
}

/* That is what it is cheaper for. */
static void only_full_audit_is_of_pages_without_contents(void **state)
{
	u64 full_groups, full_bytes;

	(void)state;
	world_begin(3);
	world.audit = AUDIT_FULL;
	migrate_from(0, HARM_NONE);
	assert_moved();
	full_groups = world.receiver.group_count;
	full_bytes = world.source.stats.sent_bytes;
	world_end();
	world_begin(3);
	world.audit = AUDIT_FULL;
	world.on_step = spoil_empty_page;
	migrate_from(0, HARM_NONE);
	assert_non_null(strstr(world.source.why, "differ: 90000 "));
	world_end();
	world_begin(3);
	world.audit = AUDIT_SENT;
	world.on_step = spoil_empty_page;
	world_prepare(0);
	world_run();
	assert_moved();
	assert_false(world.same_at_run);
	assert_true(world.receiver.group_count < full_groups);
	print_message("%lu groups and %lu bytes instead of %lu and %lu\n",
		      world.receiver.group_count, world.source.stats.sent_bytes,
		      full_groups, full_bytes);
	world_end();
}

#define TURNED_ZERO 0x98000

/* It goes with contents, is zeroed, goes as zero, and breaks there. */
static void spoil_page_turned_zero(struct world *w)
{
	const struct source *source = &w->source;

	if (source->phase == SOURCE_SEEN && source->round == 0)
		assert_int_equal(guest_mem_zero(&source_side()->mem,
						gpa(TURNED_ZERO), PAGE_4K),
				 OK);
	if (w->receiver.phase == RECEIVER_STATE)
		assert_int_equal(guest_mem_write_u8(&receiver_side()->mem,
						    gpa(TURNED_ZERO), 1),
				 OK);
}

static void page_that_has_turned_zero_stays_in_the_audit(void **state)
{
	(void)state;
	world_begin(7);
	world.audit = AUDIT_SENT;
	assert_int_equal(
	    guest_mem_write_u8(&world.sides[0].mem, gpa(TURNED_ZERO), 1), OK);
	world.on_step = spoil_page_turned_zero;
	migrate_from(0, HARM_NONE);
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_non_null(strstr(world.source.why, "differ: 98000 (1 in"));
	assert_true(page_is_zero(
	    guest_mem_ptr(&world.sides[0].mem, gpa(TURNED_ZERO), PAGE_4K)));
	world_end();
}

/* An older peer answers without the feature, here as none was offered. */
static void peer_that_knows_only_full_audits_gets_one(void **state)
{
	(void)state;
	world_begin(5);
	world.audit = AUDIT_FULL;
	world_prepare(0);
	world.source.audit = AUDIT_SENT;
	world_run();
	assert_one_owner();
	assert_moved();
	assert_int_equal(world.source.audit, AUDIT_FULL);
	assert_int_equal(world.receiver.next_group, AUDIT_NO_GROUP);
	world_end();
}

/* What a source must not say: one number in AUDIT_SENT is another. */
static const struct {
	u32 at; /* in the record; its first group: number, pages, hash */
	u32 bytes;
	u64 value;
} wrong_audits[] = {
    {WIRE_HEADER_BYTES, 8, 3},                  /* a hole in its memory */
    {WIRE_HEADER_BYTES, 8, ~0UL / PAGE_4K + 1}, /* far past its end */
    {WIRE_HEADER_BYTES, 8, ~0UL},               /* no group at all */
    {WIRE_HEADER_BYTES + 8, 8, 0},              /* no page */
    {WIRE_HEADER_BYTES + 20, 8, 0},             /* the first one again */
    {12, 2, WIRE_AUDIT},                        /* not what was agreed on */
};
static u32 wrong_audit;

static u32 carry_wrong_audit(u32 number, const u8 *bytes, u32 count)
{
	static u8 copy[WIRE_RECORD_BYTES];
	struct queue *queue = &world.queues[number];
	u32 crc;

	forget_taken(queue);
	memcpy(copy, bytes, count);
	if (copy[12] == WIRE_AUDIT_SENT) {
		memcpy(copy + wrong_audits[wrong_audit].at,
		       &wrong_audits[wrong_audit].value,
		       wrong_audits[wrong_audit].bytes);
		crc = crc32c(0, copy + 4, count - 4);
		memcpy(copy, &crc, sizeof(crc));
		world.harmed = true;
	}
	queue_put(queue, copy, count);
	return count;
}

static void audit_of_what_there_is_not_is_refused(void **state)
{
	(void)state;
	for (wrong_audit = 0; wrong_audit < ARRAY_COUNT(wrong_audits);
	     wrong_audit++) {
		world_begin(2);
		world.audit = AUDIT_SENT;
		world.carry = carry_wrong_audit;
		migrate_from(0, HARM_NONE);
		assert_true(world.harmed);
		assert_int_equal(world.source.phase, SOURCE_FAILED);
		assert_non_null(
		    strstr(world.receiver.why, "says what cannot be"));
		world_end();
	}
}

/* A write that nobody marked is what the audit is for. */
static void write_past_the_log(struct world *w)
{
	if (w->source.phase == SOURCE_SEEN && w->source.round == 1) {
		hpa_t frame;

		assert_int_equal(
		    guest_mem_frame(&w->sides[0].mem, gpa(0x90000), &frame),
		    OK);
		*(u8 *)phys_ptr(frame) = 0x77;
	}
}

static void audit_finds_a_write_that_was_not_marked(void **state)
{
	(void)state;
	world_begin(4);
	world.audit = AUDIT_FULL;
	world.on_step = write_past_the_log;
	world.writes_per_step = 6;
	migrate_from(0, HARM_NONE);
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_non_null(strstr(world.source.why, "differ: 90000 "));
	world.on_step = NULL;
	migrate_once_more();
	world_end();
}

static void audit_can_be_left_out(void **state)
{
	(void)state;
	world_begin(5);
	world.audit = AUDIT_OFF;
	migrate_from(0, HARM_NONE);
	assert_moved();
	assert_int_equal(world.receiver.group_count, 0);
	world_end();
}

/* --- What a user reads, and what it costs --------------------------------- */

static void cpu_that_lacks_a_feature_is_refused_by_name(void **state)
{
	static struct cpu_model lesser;

	(void)state;
	lesser = world_cpu;
	lesser.features[CPU_7_EBX] = 0;
	world_begin(6);
	world_prepare(0);
	world.receiver.config.cpu = &lesser;
	world_run();
	assert_one_owner();
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_string_equal(world.source.why,
			    "the peer gave up: this CPU lacks what the guest "
			    "may be using: avx512f");
	world_end();
}

/* Told before anything of that version has to be understood. */
static void other_version_is_refused_in_words(void **state)
{
	struct wire_outbox newer = {.room = world.buffers[1]};
	struct wire_writer writer;

	(void)state;
	world_begin(6);
	world_prepare(0);
	writer = wire_begin(&newer);
	wire_put_u64(&writer, WIRE_MAGIC);
	wire_put_u16(&writer, WIRE_VERSION + 1);
	wire_put_bytes(&writer, "what version 2 says and we do not know: ...",
		       43);
	wire_seal(&newer, WIRE_HELLO, &writer);
	assert_int_equal(receiver_feed(&world.receiver, newer.room,
				       newer.filled, world.now_ns),
			 newer.filled);
	assert_string_equal(world.receiver.why,
			    "the peer speaks version 2 of the migration "
			    "format, this Umbra version 1: start the same "
			    "Umbra on both");
	world_end();
}

static void silent_peer_is_given_up(void **state)
{
	(void)state;
	world_begin(7);
	world_prepare(0);
	world.queues[1].held_until_ns = ~0UL;
	world.receiver_done = true;
	world_run();
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_non_null(strstr(world.source.why, "silent"));
	assert_true(source_side()->runs);
	world_end();
}

/* In the middle of a record it takes no more, and says nothing of a loss. */
static u32 carry_some(u32 number, const u8 *bytes, u32 count)
{
	struct queue *queue = &world.queues[number];

	forget_taken(queue);
	if (number == 0 && world.source.stats.sent_bytes > 100000)
		return 0;
	queue_put(queue, bytes, count);
	return count;
}

/* Whether a side says no more from here on. */
static bool (*is_mute)(u32 number);

static u32 carry_until_mute(u32 number, const u8 *bytes, u32 count)
{
	forget_taken(&world.queues[number]);
	if (is_mute(number))
		return 0;
	queue_put(&world.queues[number], bytes, count);
	return count;
}

static void migrate_until_mute(u64 seed, bool (*is)(u32 number))
{
	world_begin(seed);
	is_mute = is;
	world.carry = carry_until_mute;
	migrate_from(0, HARM_NONE);
	world.carry = NULL;
}

static bool commit_is_due(u32 number)
{
	return number == 0 && !source_is_owner(&world.source);
}

static bool running_is_due(u32 number)
{
	return number == 1 && world.receiver.phase == RECEIVER_OWNER;
}

static bool state_has_come(u32 number)
{
	return number == 0 ? world.source.phase == SOURCE_READY
			   : world.receiver.phase >= RECEIVER_AUDIT;
}

/* What it takes no more is the last word of a side, which is over by then. */
static void last_word_that_cannot_be_said_is_not(void **state)
{
	(void)state;
	migrate_until_mute(11, commit_is_due);
	assert_int_equal(world.source.phase, SOURCE_UNCONFIRMED);
	assert_int_equal(world.receiver.phase, RECEIVER_LOST);
	assert_true(wire_outbox_is_empty(&world.source.outbox));
	migrate_once_more();
	world_end();
	migrate_until_mute(12, running_is_due);
	assert_int_equal(world.source.phase, SOURCE_UNCONFIRMED);
	assert_int_equal(world.receiver.phase, RECEIVER_OWNER);
	migrate_once_more();
	world_end();
	migrate_until_mute(13, state_has_come);
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_int_equal(world.receiver.phase, RECEIVER_LOST);
	migrate_once_more();
	world_end();
}

static void who_has_said_nothing_takes_nothing_back(void **state)
{
	(void)state;
	world_begin(14);
	world_prepare(0);
	assert_int_equal(source_cancel(&world.source, "at once"), OK);
	world.receiver_done = true;
	world_run();
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_int_equal(world.queues[0].filled, 0);
	migrate_once_more();
	world_end();
}

static void link_that_takes_nothing_is_given_up(void **state)
{
	(void)state;
	world_begin(10);
	world.features = WIRE_FEATURE_LIVE;
	world.carry = carry_some;
	migrate_from(0, HARM_NONE);
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_non_null(strstr(world.source.why, "silent"));
	assert_true(source_side()->runs);
	world.carry = NULL;
	migrate_once_more();
	world_end();
}

/* Too fast for the link: slower, and after some rounds a word to the user. */
static void fast_writer_is_throttled_and_then_called_off(void **state)
{
	(void)state;
	world_begin(8);
	world.writes_per_step = 50;
	world_prepare(0);
	world.source.config.downtime_ns = 1;
	world.source.config.stuck = SOURCE_STUCK_FAIL;
	world.source.config.rounds_max = 6;
	world_run();
	assert_one_owner();
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_int_equal(world.source.round, 6);
	assert_int_equal(world.source.throttle_percent, 0);
	assert_non_null(strstr(world.source.why, "pages/s"));
	world_end();
}

static void who_writes_its_share_is_throttled(void **state)
{
	(void)state;
	/* Who has written next to nothing goes on. */
	assert_true(source_throttles(990, 1000, 2));
	assert_false(source_throttles(10, 1000, 2));
	assert_true(source_throttles(250, 1000, 2));
	assert_false(source_throttles(249, 1000, 2));
	/* All alike: all of them; nothing is known: all of them. */
	assert_true(source_throttles(1, 4, 4));
	assert_true(source_throttles(0, 0, 4));
	assert_true(source_throttles(UINT64_MAX, UINT64_MAX, UINT32_MAX));
}

static u64 least_estimate;
static u32 least_rounds;

static void note_estimate(struct world *w)
{
	const struct source_stats *stats = &w->source.stats;

	if (w->source.round > 1 && stats->rounds != least_rounds &&
	    stats->pages_left) {
		u64 per_page = stats->estimated_downtime_ns / stats->pages_left;

		least_rounds = stats->rounds;
		least_estimate =
		    per_page < least_estimate ? per_page : least_estimate;
	}
}

/* Of 410 pages, all in both memories, each takes a millisecond. */
static void audit_that_takes_too_long_is_said_at_once(void **state)
{
	static const enum audit_mode modes[] = {AUDIT_FULL, AUDIT_SENT};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(modes); i++) {
		world_begin(15);
		world.audit = modes[i];
		world_prepare(0);
		world.source.config.stuck = SOURCE_STUCK_FAIL;
		world.source.config.audit_page_ns = WORLD_SECOND_NS / 1000;
		world_run();
		assert_int_equal(world.source.phase, SOURCE_FAILED);
		assert_int_equal(world.source.round, 1);
		assert_non_null(strstr(world.source.why, "audit=off"));
		assert_int_equal(strstr(world.source.why, "sent") == NULL, i);
		assert_true(source_side()->runs);
		world_remove_side(1);
		world_prepare(0);
		world.source.config.stuck = SOURCE_STUCK_FAIL;
		world.source.config.downtime_ns = WORLD_SECOND_NS;
		world.source.config.audit_page_ns = WORLD_SECOND_NS / 1000;
		world_run();
		assert_moved();
		world_end();
	}
}

/* What goes as what has changed is not waited for as if it were whole pages. */
static void estimate_knows_what_pages_cost_on_the_wire(void **state)
{
	u64 whole, packed;

	(void)state;
	for (u32 i = 0; i < 2; i++) {
		whole = i ? least_estimate : 0;
		least_estimate = ~0UL;
		least_rounds = 0;
		world_begin(17);
		world.features = i ? WIRE_FEATURES_PAGES : 0;
		world.writes_per_step = 60;
		world.on_step = note_estimate;
		world_prepare(0);
		world.source.config.downtime_ns = 1;
		world.source.config.fixed_ns = 0;
		world.source.config.rounds_max = 6;
		world_run();
		assert_moved();
		world_end();
	}
	packed = least_estimate;
	print_message("%lu ns for a whole page, %lu for what has changed\n",
		      whole, packed);
	assert_true(packed < whole / 2);
}

static u32 most_throttled;

static void note_throttle(struct world *w)
{
	if (w->source.throttle_percent > most_throttled)
		most_throttled = w->source.throttle_percent;
}

static void throttling_rises_with_the_rounds(void **state)
{
	(void)state;
	most_throttled = 0;
	world_begin(8);
	world.writes_per_step = 50;
	world.on_step = note_throttle;
	world_prepare(0);
	world.source.config.downtime_ns = 1;
	world.source.config.rounds_max = 6;
	world_run();
	assert_moved();
	assert_true(most_throttled >= 40 && most_throttled <= 90);
	world_end();
}

/* Beside their contents pages cost a few bytes, zero pages hardly any. */
static void a_page_costs_a_few_bytes_beside_its_contents(void **state)
{
	struct source_stats *stats = &world.source.stats;
	u64 beside;

	(void)state;
	world_begin(9);
	world.features = 0;
	world.writes_per_step = 0;
	for (u64 page = 0; page < 160; page++)
		assert_int_equal(guest_mem_write_u8(&world.sides[0].mem,
						    gpa(page * PAGE_4K + page),
						    1),
				 OK);
	migrate_from(0, HARM_NONE);
	assert_moved();
	assert_true(stats->raw_pages >= 160 && stats->zero_pages >= 100);
	beside =
	    stats->sent_bytes - stats->raw_pages * PAGE_4K - WORLD_STATE_BYTES;
	print_message("%lu pages and %lu zero pages: %lu bytes beside their "
		      "contents, with hand-shake and audit\n",
		      stats->raw_pages, stats->zero_pages, beside);
	assert_true(beside < 700 + stats->raw_pages * 4);
	world_end();
}

/* Most pages of this guest are a few words in a page, changed a bit. */
static void packed_pages_are_fewer_bytes_and_the_same(void **state)
{
	struct source_stats *stats = &world.source.stats;

	(void)state;
	world_begin(11);
	world.features = WIRE_FEATURES_PAGES;
	migrate_from(0, HARM_NONE);
	assert_moved();
	assert_true(stats->lz4_pages > 20 && stats->delta_pages > 5);
	assert_true(stats->sent_bytes <
		    WORLD_STATE_BYTES + stats->raw_pages * PAGE_4K / 4);
	world_end();
}

/* A source that thinks the peer has what it has not sends wrong deltas. */
static void forget_what_was_sent(struct world *w)
{
	for (u32 i = 0; i < ARRAY_COUNT(w->sent); i++)
		w->sent[i].contents[7] += 1;
}

static void audit_finds_a_wrong_delta(void **state)
{
	(void)state;
	world_begin(13);
	world.features = WIRE_FEATURES_PAGES;
	world.on_step = forget_what_was_sent;
	migrate_from(0, HARM_NONE);
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_non_null(strstr(world.source.why, "differ"));
	world.on_step = NULL;
	migrate_once_more();
	world_end();
}

/* --- Pages that the guest is writing while they are read ------------------ */

#define TORN 0x97000UL

static u32 torn_count, spoilt_count;

static bool is_page(const struct source_request *asked, u64 page)
{
	const u8 *at = guest_mem_ptr(&source_side()->mem, gpa(page), PAGE_4K);

	return at >= asked->bytes && at < asked->bytes + asked->byte_count;
}

/* First and last word always agree, but never in what has been read. */
static void tear(const struct source_request *asked)
{
	struct guest_mem *mem = &source_side()->mem;

	if (!source_side()->runs || !is_page(asked, TORN) || torn_count >= 3)
		return;
	torn_count++;
	for (u64 at = 0; at < PAGE_4K; at += 8)
		assert_int_equal(
		    guest_mem_write_u64(mem, gpa(TORN + at), torn_count), OK);
}

static void torn_page_goes_again(enum audit_mode mode)
{
	u64 first = 0, last = 0;

	world_begin(9);
	world.features = WIRE_FEATURE_LIVE;
	world.audit = mode;
	world.on_lent = tear;
	torn_count = 0;
	assert_int_equal(
	    guest_mem_write_u64(&world.sides[0].mem, gpa(TORN), 77), OK);
	migrate_from(0, HARM_NONE);
	assert_moved();
	assert_true(torn_count > 0);
	assert_int_equal(world.source.stats.lent_pages,
			 world.source.stats.raw_pages);
	assert_true(world.receiver.group_count > 0);
	assert_int_equal(
	    guest_mem_read(&receiver_side()->mem, gpa(TORN), &first, 8), OK);
	assert_int_equal(guest_mem_read(&receiver_side()->mem,
					gpa(TORN + PAGE_4K - 8), &last, 8),
			 OK);
	assert_int_equal(first, torn_count);
	assert_int_equal(last, torn_count);
	world_end();
}

static void page_torn_while_it_is_sent_goes_again(void **state)
{
	(void)state;
	torn_page_goes_again(AUDIT_FULL);
	torn_page_goes_again(AUDIT_SENT);
}

/* The link itself breaks contents of that page, each time. */
static u32 carry_spoilt(u32 number, const u8 *bytes, u32 count)
{
	static u8 copy[WIRE_RECORD_BYTES];
	struct queue *queue = &world.queues[number];
	u8 *found = NULL;

	forget_taken(queue);
	memcpy(copy, bytes, count);
	for (u32 at = 0; number == 0 && at + 8 <= count; at += 8)
		if (!memcmp(copy + at, "SPOILME!", 8))
			found = copy + at;
	if (found) {
		found[3] ^= 4;
		spoilt_count++;
	}
	queue_put(queue, copy, count);
	return count;
}

/* No CRC is of it, so the audit has to see it, and does. */
static void lent_page_broken_on_the_way_is_named(enum audit_mode mode)
{
	u64 word;

	world_begin(10);
	world.features = WIRE_FEATURE_LIVE;
	world.audit = mode;
	world.carry = carry_spoilt;
	spoilt_count = 0;
	memcpy(&word, "SPOILME!", 8);
	assert_int_equal(
	    guest_mem_write_u64(&world.sides[0].mem, gpa(TORN + 512), word),
	    OK);
	migrate_from(0, HARM_NONE);
	assert_true(spoilt_count > 0);
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_non_null(strstr(world.source.why, "differ: 97000 (1 in"));
	assert_true(source_side()->runs);
	world.carry = NULL;
	migrate_once_more();
	world_end();
}

static void contents_broken_on_the_way_are_found_by_the_audit(void **state)
{
	(void)state;
	lent_page_broken_on_the_way_is_named(AUDIT_FULL);
	lent_page_broken_on_the_way_is_named(AUDIT_SENT);
}

/* Without an audit nothing would prove them. */
static void nothing_is_lent_without_an_audit(void **state)
{
	(void)state;
	world_begin(10);
	world.features = WIRE_FEATURE_LIVE;
	world.audit = AUDIT_OFF;
	migrate_from(0, HARM_NONE);
	assert_moved();
	assert_int_equal(world.source.stats.lent_pages, 0);
	world_end();
}

/* A source that lends and then does without an audit is refused. */
static void drop_audit(struct world *w)
{
	if (w->source.phase == SOURCE_STATE)
		w->source.audit = AUDIT_OFF;
}

static void lent_pages_without_an_audit_are_refused(void **state)
{
	(void)state;
	world_begin(10);
	world.features = WIRE_FEATURE_LIVE;
	world.audit = AUDIT_FULL;
	world.on_step = drop_audit;
	migrate_from(0, HARM_NONE);
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_non_null(strstr(world.receiver.why, "SEAL says what cannot be"));
	world_end();
}

static void lend_anyway(struct world *w)
{
	w->source.is_live = true;
}

static void lent_pages_that_were_not_agreed_on_are_refused(void **state)
{
	(void)state;
	world_begin(10);
	world.features = 0;
	world.on_step = lend_anyway;
	migrate_from(0, HARM_NONE);
	assert_int_equal(world.source.phase, SOURCE_FAILED);
	assert_non_null(strstr(world.receiver.why, "LIVE says what cannot be"));
	world_end();
}

/* --- Small or as they are ------------------------------------------------- */

/* A link that takes all at once, until it is said to be full. */
static bool is_hindered;

static u32 carry_at_once(u32 number, const u8 *bytes, u32 count)
{
	struct queue *queue = &world.queues[number];

	forget_taken(queue);
	if (is_hindered && number == 0 && count > 1)
		count /= 2;
	queue_put(queue, bytes, count);
	return count;
}

/* Most pages of the guest get a bit smaller, and no more. */
static void fill_pages(u64 base, u64 bytes)
{
	for (u64 at = 0; at < bytes; at += 8)
		if (at % PAGE_4K < 3584)
			assert_int_equal(
			    guest_mem_write_u64(&world.sides[0].mem,
						gpa(base + at),
						random_next(&world.random)),
			    OK);
}

static void migrate_much(u64 features)
{
	u64 ring_bytes = RING_PAGES * PAGE_4K;

	world_begin(11);
	world.features = features;
	world.carry = carry_at_once;
	fill_pages(0, world_slots[0].bytes);
	fill_pages(RING_BASE + ring_bytes, world_slots[1].bytes - ring_bytes);
	migrate_from(0, HARM_NONE);
	assert_moved();
	world_end();
}

static void pages_are_packed_while_the_link_is_slower(void **state)
{
	struct source_stats *stats = &world.source.stats;

	(void)state;
	is_hindered = false;
	migrate_much(WIRE_FEATURE_LZ4);
	assert_true(stats->lz4_pages * PAGE_4K >= LINK_IS_FAST_BYTES);
	assert_true(stats->raw_pages - stats->lz4_pages > 20);
	assert_int_equal(stats->lent_pages, 0);
	migrate_much(WIRE_FEATURES_PAGES | WIRE_FEATURE_LIVE);
	assert_true(stats->lent_pages > 20);
	assert_true(stats->lz4_pages > 20);
	is_hindered = true;
	migrate_much(WIRE_FEATURES_PAGES | WIRE_FEATURE_LIVE);
	assert_int_equal(stats->lent_pages, 0);
}

/* Packed, packed, lent, packed, ... */
static void make_fast_by_turns(struct world *w)
{
	w->source.unhindered =
	    w->source.round % 3 == 1 ? LINK_IS_FAST_BYTES : 0;
}

/* Nobody knows what the peer has of it. */
static void delta_is_never_of_a_page_that_was_lent(void **state)
{
	u64 deltas = 0;

	(void)state;
	for (u32 seed = 0; seed < 8; seed++) {
		world_begin(seed);
		world.features = WIRE_FEATURES_PAGES | WIRE_FEATURE_LIVE;
		world.on_step = make_fast_by_turns;
		world.writes_per_step = 2;
		world_prepare(0);
		world.source.config.downtime_ns = 1;
		world_run();
		assert_one_owner();
		assert_moved();
		assert_true(world.source.stats.lent_pages > 0);
		deltas += world.source.stats.delta_pages;
		world_end();
	}
	print_message("%lu deltas\n", deltas);
	assert_true(deltas > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(guest_moves_there_and_back),
	    cmocka_unit_test(any_harm_at_any_record_leaves_one_owner),
	    cmocka_unit_test(lost_commit_stops_both_until_a_person_decides),
	    cmocka_unit_test(lost_running_leaves_the_guest_at_the_peer),
	    cmocka_unit_test(lost_ready_leaves_the_guest_here),
	    cmocka_unit_test(audit_names_the_page_that_differs),
	    cmocka_unit_test(audit_of_what_was_sent_names_the_page),
	    cmocka_unit_test(only_full_audit_is_of_pages_without_contents),
	    cmocka_unit_test(page_that_has_turned_zero_stays_in_the_audit),
	    cmocka_unit_test(peer_that_knows_only_full_audits_gets_one),
	    cmocka_unit_test(audit_of_what_there_is_not_is_refused),
	    cmocka_unit_test(audit_finds_a_write_that_was_not_marked),
	    cmocka_unit_test(audit_can_be_left_out),
	    cmocka_unit_test(cpu_that_lacks_a_feature_is_refused_by_name),
	    cmocka_unit_test(other_version_is_refused_in_words),
	    cmocka_unit_test(silent_peer_is_given_up),
	    cmocka_unit_test(link_that_takes_nothing_is_given_up),
	    cmocka_unit_test(last_word_that_cannot_be_said_is_not),
	    cmocka_unit_test(who_has_said_nothing_takes_nothing_back),
	    cmocka_unit_test(who_writes_its_share_is_throttled),
	    cmocka_unit_test(fast_writer_is_throttled_and_then_called_off),
	    cmocka_unit_test(throttling_rises_with_the_rounds),
	    cmocka_unit_test(audit_that_takes_too_long_is_said_at_once),
	    cmocka_unit_test(estimate_knows_what_pages_cost_on_the_wire),
	    cmocka_unit_test(a_page_costs_a_few_bytes_beside_its_contents),
	    cmocka_unit_test(packed_pages_are_fewer_bytes_and_the_same),
	    cmocka_unit_test(audit_finds_a_wrong_delta),
	    cmocka_unit_test(page_torn_while_it_is_sent_goes_again),
	    cmocka_unit_test(contents_broken_on_the_way_are_found_by_the_audit),
	    cmocka_unit_test(nothing_is_lent_without_an_audit),
	    cmocka_unit_test(lent_pages_without_an_audit_are_refused),
	    cmocka_unit_test(lent_pages_that_were_not_agreed_on_are_refused),
	    cmocka_unit_test(pages_are_packed_while_the_link_is_slower),
	    cmocka_unit_test(delta_is_never_of_a_page_that_was_lent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
