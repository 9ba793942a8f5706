/* SPDX-License-Identifier: MIT */
/*
 * The source: see migrate/source.h and docs/MIGRATION.md.
 *
 * source_step is the engine: with an empty outbox, each phase either builds
 * one record, or asks the caller for something, or waits for the peer. What
 * the peer says only moves the phase (on_x); it never builds a record.
 */
#include "migrate/source.h"
#include "lib/check.h"
#include "lib/crc32c.h"
#include "lib/fmt.h"
#include "lib/log.h"
#include "lib/string.h"
#include "migrate/pages.h"

#define THROTTLE_FIRST  20 /* percent */
#define THROTTLE_STEP   10
#define THROTTLE_MOST   90
#define PAGE_WIRE_BYTES (PAGE_4K + 4) /* with its share of heads */
#define MEASURE_BYTES   (256 * KIB)   /* less says little about a link */
#define MEASURE_PAGES   16
#define US_PER_SECOND   1000000UL

void source_begin(struct source *source, const struct source_config *config,
		  u64 now_ns)
{
	CHECK(shape_is_of(config->shape, config->mem) && config->word_count);
	CHECK(!(config->features & ~(WIRE_FEATURES_PAGES | WIRE_FEATURE_LIVE)));
	memset(source, 0, sizeof(*source));
	source->config = *config;
	source->audit = config->audit;
	if (config->audit == AUDIT_SENT)
		memset(config->audited, 0,
		       config->mem->log.word_count * sizeof(u64));
	source->inbox.room = config->in;
	source->inbox.from = WIRE_DESTINATION;
	source->outbox.room = config->out;
	source->batch =
	    (struct dirty_batch){config->words, config->word_count, 0};
	source->asked_group = AUDIT_NO_GROUP;
	source->moved_ns = source->now_ns = now_ns;
}

/* --- When it goes wrong --------------------------------------------------- */

static bool is_over(const struct source *source)
{
	return source->phase >= SOURCE_MOVED;
}

/* What is left to be said is not. */
static void stop_talking(struct source *source)
{
	source->cancel_owed = false;
	wire_outbox_drop(&source->outbox);
}

/*
 * Before COMMIT the guest goes on here, at once, and the peer is told after
 * that: without COMMIT it never runs the guest. Afterwards it is a matter for
 * people.
 */
static COLD PRINTF(2, 3) void fail(struct source *source, const char *format,
				   ...)
{
	va_list args;

	if (is_over(source))
		return;
	va_start(args, format);
	fmt_va(source->why, sizeof(source->why), format, args);
	va_end(args);
	source->throttle_percent = 0;
	if (!source_is_owner(source)) {
		source->phase = SOURCE_UNCONFIRMED;
		/* COMMIT, if it has not left: it must not when that is said. */
		stop_talking(source);
		log_error("migration: %s was handed over, but the peer has "
			  "not said that it runs: %s. It stays stopped here: "
			  "look at the peer's console, then destroy it here "
			  "or, if the peer gave it up, resume it",
			  source->config.shape->name, source->why);
		return;
	}
	source->cancel_owed = source->phase != SOURCE_HELLO;
	source->phase = source->is_paused ? SOURCE_RESUMING : SOURCE_FAILED;
	source->moved_ns = source->now_ns; /* time to tell */
	dirty_log_mark_all(&source->config.mem->log);
	log_error("migration: %s stays here: %s", source->config.shape->name,
		  source->why);
}

enum err source_cancel(struct source *source, const char *why)
{
	if (!source_is_owner(source))
		return ERR_STATE;
	fail(source, "%s", why);
	return OK;
}

void source_link_lost(struct source *source, const char *why)
{
	fail(source, "%s", why);
	stop_talking(source);
}

/* --- Records that are built ----------------------------------------------- */

/* Only an audit proves pages that no CRC is of. */
static u64 offered(const struct source *source)
{
	u64 features = source->config.features;

	if (source->config.audit == AUDIT_OFF)
		features &= ~WIRE_FEATURE_LIVE;
	if (source->config.audit == AUDIT_SENT)
		features |= WIRE_FEATURE_AUDIT_SENT;
	return features;
}

static void say_hello(struct source *source)
{
	struct wire_writer writer = wire_begin(&source->outbox);

	wire_put_u64(&writer, WIRE_MAGIC);
	wire_put_u16(&writer, WIRE_VERSION);
	wire_put_u16(&writer, 0);
	wire_put_u32(&writer, 0);
	wire_put_u64(&writer, source->config.session);
	wire_put_u64(&writer, offered(source));
	wire_put_u64(&writer, 0);
	wire_seal(&source->outbox, WIRE_HELLO, &writer);
	source->phase = SOURCE_WELCOME;
}

static void say_vm(struct source *source)
{
	struct wire_writer writer = wire_begin(&source->outbox);

	shape_put(&writer, source->config.shape);
	wire_seal(&source->outbox, WIRE_VM, &writer);
	source->phase = SOURCE_ACCEPT;
}

static bool has_batch(const struct source *source)
{
	return source->batch_at < source->batch.count;
}

/* The next page of the batch, whose bit is then gone. */
static gpa_t take_page(struct source *source)
{
	struct dirty_word *word = &source->batch.words[source->batch_at];
	u64 page = (u64)__builtin_ctzll(word->bits);

	word->bits &= word->bits - 1;
	if (!word->bits)
		source->batch_at++;
	return gpa_add(word->base, page * PAGE_4K);
}

/* From now on the audit is of this page, too, whatever becomes of it. */
static void count_for_audit(struct source *source, gpa_t page)
{
	u64 *word = &source->config.audited[gpa_raw(page) / AUDIT_GROUP_BYTES];
	u64 bit = BIT(gpa_page(page) % AUDIT_GROUP_PAGES);

	source->audited_count += !(*word & bit);
	*word |= bit;
}

/* The page as small as it gets, from a copy of it. */
static void put_packed(struct source *source, struct pages_writer *pages,
		       gpa_t page, const void *at)
{
	struct packed_page packed = packer_pack(&source->packer, page, at);

	if (packed.kind == PAGE_RAW) {
		pages_put_raw(pages, page, packed.bytes);
		return;
	}
	pages_put_packed(pages, page, packed.kind, packed.bytes, packed.count);
	if (packed.kind == PAGE_LZ4)
		source->stats.lz4_pages++;
	else
		source->stats.delta_pages++;
}

/* How the pages of a record go. */
enum going { GO_PACKED, GO_RAW, GO_LENT };

static enum going choose_going(const struct source *source)
{
	if (source->packer.features && source->unhindered < LINK_IS_FAST_BYTES)
		return GO_PACKED;
	return source->is_live ? GO_LENT : GO_RAW;
}

static void put_contents(struct source *source, struct pages_writer *pages,
			 gpa_t page, const void *at, enum going going)
{
	source->now.raw++;
	if (source->audit == AUDIT_SENT)
		count_for_audit(source, page);
	if (going == GO_PACKED) {
		put_packed(source, pages, page, at);
		return;
	}
	packer_forget(&source->packer, page);
	if (going == GO_LENT) {
		pages_lend_raw(pages, page, at);
		source->stats.lent_pages++;
	} else {
		pages_put_raw(pages, page, at);
	}
}

/*
 * As many pages as fit. The harvest is complete: what is written from now on,
 * before or after they are read, goes again.
 */
static void say_pages(struct source *source)
{
	enum going going = choose_going(source);
	struct wire_writer writer = wire_begin(&source->outbox);
	struct pages_writer pages = pages_begin(&writer);

	while (has_batch(source) && pages_has_room(&pages)) {
		gpa_t page = take_page(source);
		const void *at =
		    guest_mem_ptr(source->config.mem, page, PAGE_4K);

		CHECK(at); /* the log knows only guest memory */
		if (page_is_zero(at)) {
			pages_put_zero(&pages, page);
			packer_forget(&source->packer, page);
			source->now.zero++;
		} else {
			put_contents(source, &pages, page, at, going);
		}
	}
	pages_end(&pages);
	wire_seal(&source->outbox, going == GO_LENT ? WIRE_LIVE : WIRE_PAGES,
		  &writer);
}

static void end_round(struct source *source)
{
	struct source_round *last = &source->stats.last_round;

	*last = source->now;
	last->ns = source->now_ns - source->now.ns;
	source->stats.rounds++;
}

static void say_round(struct source *source)
{
	bool is_last = source->phase == SOURCE_LAST_COPY;
	struct wire_writer writer = wire_begin(&source->outbox);

	wire_put_u32(&writer, source->round);
	wire_put_u32(&writer, is_last);
	wire_put_u64(&writer, source->now.raw);
	wire_put_u64(&writer, source->now.zero);
	wire_seal(&source->outbox, WIRE_ROUND, &writer);
	source->stats.raw_pages += source->now.raw;
	source->stats.zero_pages += source->now.zero;
	if (is_last)
		source->stats.copied_ns = source->now_ns;
	source->phase = is_last ? SOURCE_STATE : SOURCE_SEEN;
}

static void begin_round(struct source *source)
{
	source->harvest_at = gpa(0);
	source->batch.count = source->batch_at = 0;
	source->now = (struct source_round){.ns = source->now_ns};
}

/* The next group that the audit is of, from `group` on. */
static u64 find_group(const struct source *source, u64 group)
{
	const struct guest_mem *mem = source->config.mem;

	if (source->audit == AUDIT_FULL)
		return audit_next_group(mem, group);
	if (source->audit == AUDIT_SENT)
		for (; group < mem->log.word_count; group++)
			if (source->config.audited[group])
				return group;
	return AUDIT_NO_GROUP;
}

/* Of the pages of that group. */
static u64 audited_pages(const struct source *source, u64 group)
{
	return source->audit == AUDIT_SENT ? source->config.audited[group]
					   : AUDIT_ALL_PAGES;
}

static void say_state(struct source *source)
{
	struct wire_writer writer = wire_begin(&source->outbox);
	u32 left = source->state_bytes - source->state_sent;
	u32 here;

	wire_put_u32(&writer, source->state_sent);
	wire_put_u32(&writer, source->state_bytes);
	here = writer.room - writer.filled;
	here = left < here ? left : here;
	wire_put_bytes(&writer, source->state + source->state_sent, here);
	wire_seal(&source->outbox, WIRE_STATE, &writer);
	source->state_sent += here;
	if (source->state_sent == source->state_bytes) {
		source->phase = SOURCE_AUDIT;
		source->next_group = find_group(source, 0);
	}
}

/* So many in a row that the peer has some to hash while this side goes on. */
#define STEP_GROUPS 8
_Static_assert(STEP_GROUPS <= WIRE_AUDIT_GROUPS, "of one record");

static void put_group(struct source *source, struct wire_writer *writer,
		      u64 group)
{
	u64 count = audited_pages(source, group);
	u32 hash = audit_group_hash(source->config.mem, group, count);

	if (source->audit == AUDIT_FULL) {
		source->root = audit_root_of_full(source->root, hash);
	} else {
		source->root =
		    audit_root_of_sent(source->root, group, count, hash);
		wire_put_u64(writer, group);
		wire_put_u64(writer, count);
	}
	wire_put_u32(writer, hash);
}

static void say_audit(struct source *source)
{
	struct wire_writer writer = wire_begin(&source->outbox);

	if (source->audit == AUDIT_FULL)
		wire_put_u64(&writer, source->next_group);
	for (u32 i = 0; i < STEP_GROUPS && source->next_group != AUDIT_NO_GROUP;
	     i++) {
		put_group(source, &writer, source->next_group);
		source->group_count++;
		source->next_group = find_group(source, source->next_group + 1);
	}
	wire_seal(&source->outbox,
		  source->audit == AUDIT_FULL ? WIRE_AUDIT : WIRE_AUDIT_SENT,
		  &writer);
}

static void say_seal(struct source *source)
{
	struct wire_writer writer = wire_begin(&source->outbox);

	source->state_crc = crc32c(0, source->state, source->state_bytes);
	wire_put_u64(&writer, source->config.session);
	wire_put_u32(&writer, source->state_bytes);
	wire_put_u32(&writer, source->state_crc);
	wire_put_u32(&writer, source->audit);
	wire_put_u32(&writer, source->root);
	wire_put_u64(&writer, source->group_count);
	wire_seal(&source->outbox, WIRE_SEAL, &writer);
	source->stats.sealed_ns = source->now_ns;
	end_round(source);
	source->phase = SOURCE_READY;
}

/* The peer's memory differs there, and it wants to name the pages. */
static void say_audit_pages(struct source *source)
{
	struct wire_writer writer = wire_begin(&source->outbox);
	struct audit_pages pages;

	audit_read_pages(source->config.mem, source->asked_group,
			 audited_pages(source, source->asked_group), &pages);
	wire_put_u64(&writer, source->asked_group);
	wire_put_u64(&writer, pages.known);
	for (u32 i = 0; i < AUDIT_GROUP_PAGES; i++)
		if (pages.known & BIT(i))
			wire_put_u32(&writer, pages.crc[i]);
	wire_seal(&source->outbox, WIRE_AUDIT_PAGES, &writer);
	source->asked_group = AUDIT_NO_GROUP;
}

/* --- Between two rounds --------------------------------------------------- */

static u64 per_second(u64 count, u64 us)
{
	return count * US_PER_SECOND / us;
}

/*
 * How long the pages that are left would take. What the last round was of,
 * they are of, too: a page that is sent as what has changed takes a fraction
 * of a whole one's time. The first round is of other pages, and one of few
 * pages says little: then all of them count as whole.
 */
static u64 ns_for_pages(const struct source *source, u64 pages)
{
	const struct source_round *last = &source->stats.last_round;

	if (source->round > 0 && last->raw >= MEASURE_PAGES)
		return pages * (last->ns / last->raw);
	return per_second(pages * PAGE_WIRE_BYTES, source->stats.bandwidth) *
	       1000;
}

static u64 audit_ns(const struct source *source)
{
	u64 pages = source->audit == AUDIT_FULL
			? source->config.mem->bytes / PAGE_4K
			: source->audited_count;

	return pages * source->config.audit_page_ns;
}

/* A round is over when the peer has seen it, so buffers are no bandwidth. */
static void measure(struct source *source)
{
	struct source_stats *stats = &source->stats;
	u64 us, bandwidth;

	end_round(source);
	us = stats->last_round.ns / 1000;
	us = us ? us : 1;
	bandwidth = per_second(source->now.bytes, us);
	if (!stats->bandwidth)
		stats->bandwidth = bandwidth;
	else if (source->now.bytes >= MEASURE_BYTES)
		stats->bandwidth = (stats->bandwidth + 3 * bandwidth) / 4;
	if (!stats->bandwidth)
		stats->bandwidth = 1;
	stats->pages_left = dirty_log_count(&source->config.mem->log);
	stats->dirty_rate = per_second(stats->pages_left, us);
	stats->estimated_downtime_ns = source->config.fixed_ns +
				       audit_ns(source) +
				       ns_for_pages(source, stats->pages_left);
}

bool source_throttles(u64 writes, u64 total, u32 vcpus)
{
	return writes >= total / (2 * (u64)vcpus);
}

/* Not even half as many as after the round before: slower, then. */
static void throttle(struct source *source, u64 left_before)
{
	if (source->round == 0 || source->stats.pages_left * 2 < left_before)
		return;
	if (!source->throttle_percent)
		source->throttle_percent = THROTTLE_FIRST;
	else if (source->throttle_percent < THROTTLE_MOST)
		source->throttle_percent += THROTTLE_STEP;
}

/* No round makes it take less. */
static void fail_by_audit(struct source *source)
{
	fail(source,
	     "even if it wrote nothing more it would stand still for %lu ms "
	     "for the audit, and %lu are allowed: allow more by downtime=, or "
	     "audit=%s",
	     audit_ns(source) / 1000000, source->config.downtime_ns / 1000000,
	     source->audit == AUDIT_FULL ? "sent or audit=off" : "off");
}

static void next_round(struct source *source)
{
	const struct source_stats *stats = &source->stats;
	u64 left_before = stats->pages_left;

	measure(source);
	source->round++;
	if (stats->estimated_downtime_ns <= source->config.downtime_ns ||
	    (source->round >= source->config.rounds_max &&
	     source->config.stuck == SOURCE_STUCK_SWITCH)) {
		source->phase = SOURCE_PREPARE;
	} else if (audit_ns(source) > source->config.downtime_ns &&
		   source->config.stuck == SOURCE_STUCK_FAIL) {
		fail_by_audit(source);
	} else if (source->round >= source->config.rounds_max) {
		fail(source,
		     "it writes %lu pages/s and the link carries %lu KB/s: "
		     "after %u rounds it would still stand still for %lu ms, "
		     "and %lu are allowed",
		     stats->dirty_rate, stats->bandwidth / 1000, source->round,
		     stats->estimated_downtime_ns / 1000000,
		     source->config.downtime_ns / 1000000);
	} else {
		throttle(source, left_before);
		begin_round(source);
		source->phase = SOURCE_COPY;
	}
}

/* --- Records that come ---------------------------------------------------- */

static bool is_session(struct source *source, u64 session)
{
	if (session == source->config.session)
		return true;
	fail(source, "the peer answers to another migration");
	return false;
}

static void on_welcome(struct source *source, struct wire_reader *reader)
{
	u64 magic = wire_get_u64(reader);
	u32 version = wire_get_u16(reader);
	u64 features;

	wire_get_u16(reader);
	wire_get_u32(reader);
	if (magic != WIRE_MAGIC || version != WIRE_VERSION) {
		fail(source, "the peer is no Umbra of this version (%u)",
		     version);
		return;
	}
	if (!is_session(source, wire_get_u64(reader)))
		return;
	features = wire_get_u64(reader);
	if (!wire_is_done(reader) || features & ~offered(source)) {
		fail(source, "the peer wants to use what was not offered");
		return;
	}
	if (source->audit == AUDIT_SENT &&
	    !(features & WIRE_FEATURE_AUDIT_SENT))
		source->audit = AUDIT_FULL; /* which everybody can */
	source->is_live = features & WIRE_FEATURE_LIVE;
	packer_init(&source->packer, features & WIRE_FEATURES_PAGES,
		    source->config.sent, source->config.sent_count);
	source->phase = SOURCE_VM;
}

static void on_accept(struct source *source, struct wire_reader *reader)
{
	if (!is_session(source, wire_get_u64(reader)))
		return;
	dirty_log_mark_all(&source->config.mem->log);
	begin_round(source);
	source->phase = SOURCE_COPY;
}

static void on_round_seen(struct source *source, struct wire_reader *reader)
{
	if (wire_get_u32(reader) != source->round || wire_get_u32(reader))
		fail(source, "the peer saw a round that was not sent");
	else
		next_round(source);
}

static void on_prepared(struct source *source, struct wire_reader *reader)
{
	if (!is_session(source, wire_get_u64(reader)))
		return;
	source->stats.pause_ns = source->now_ns;
	source->phase = SOURCE_PAUSING;
}

static void on_audit_ask(struct source *source, struct wire_reader *reader)
{
	u64 group = wire_get_u64(reader);

	if (group == AUDIT_NO_GROUP || find_group(source, group) != group)
		fail(source, "the peer asks for memory that there is not");
	else
		source->asked_group = group;
}

static void on_ready(struct source *source, struct wire_reader *reader)
{
	u32 state_crc, root;

	if (!is_session(source, wire_get_u64(reader)))
		return;
	state_crc = wire_get_u32(reader);
	root = wire_get_u32(reader);
	if (state_crc != source->state_crc ||
	    (source->audit != AUDIT_OFF && root != source->root)) {
		fail(source, "the peer is ready with something else");
		return;
	}
	source->stats.ready_ns = source->now_ns;
	source->phase = SOURCE_COMMIT;
}

static void on_running(struct source *source, struct wire_reader *reader)
{
	if (!is_session(source, wire_get_u64(reader)))
		return;
	source->stats.running_ns = source->now_ns;
	source->phase = SOURCE_MOVED;
}

static void on_refuse(struct source *source, const struct wire_record *record)
{
	char text[WIRE_TEXT_BYTES];

	wire_get_text(record, text, sizeof(text));
	fail(source, "the peer gave up: %s", text);
	source->cancel_owed = false; /* it knows */
}

static const struct {
	enum wire_type type;
	enum source_phase phase; /* in which it is due */
	void (*on)(struct source *source, struct wire_reader *reader);
} records[] = {
    {WIRE_WELCOME, SOURCE_WELCOME, on_welcome},
    {WIRE_ACCEPT, SOURCE_ACCEPT, on_accept},
    {WIRE_ROUND_SEEN, SOURCE_SEEN, on_round_seen},
    {WIRE_PREPARED, SOURCE_PREPARED, on_prepared},
    {WIRE_AUDIT_ASK, SOURCE_READY, on_audit_ask},
    {WIRE_READY, SOURCE_READY, on_ready},
    {WIRE_RUNNING, SOURCE_RUNNING, on_running},
};

static void on_record(struct source *source, const struct wire_record *record)
{
	struct wire_reader reader = wire_reader_of(record);

	if (record->type == WIRE_REFUSE) {
		on_refuse(source, record);
		return;
	}
	for (u32 i = 0; i < ARRAY_COUNT(records); i++) {
		if (records[i].type != record->type ||
		    records[i].phase != source->phase)
			continue;
		records[i].on(source, &reader);
		return;
	}
	fail(source, "the peer's %s came out of turn",
	     wire_type_name(record->type));
}

void source_feed(struct source *source, const u8 *data, u64 bytes, u64 now_ns)
{
	source->now_ns = now_ns;
	source->has_moved = true;
	while (bytes && !is_over(source)) {
		struct wire_record record;
		enum wire_status status =
		    wire_take(&source->inbox, &data, &bytes, &record);

		if (status == WIRE_BROKEN)
			fail(source, "%s", source->inbox.why);
		else if (status == WIRE_HAS_RECORD)
			on_record(source, &record);
	}
}

/* --- The caller's answers ------------------------------------------------- */

void source_sent(struct source *source, u32 bytes)
{
	struct wire_outbox *outbox = &source->outbox;

	CHECK(bytes <= outbox->filled - outbox->sent);
	if (bytes && bytes == wire_next_piece(outbox).bytes)
		source->unhindered += bytes;
	else
		source->unhindered = 0;
	outbox->sent += bytes;
	source->stats.sent_bytes += bytes;
	source->now.bytes += bytes;
	source->has_moved |= bytes > 0;
}

void source_harvested(struct source *source, gpa_t next)
{
	CHECK(source->phase == SOURCE_COPY ||
	      source->phase == SOURCE_LAST_COPY || is_over(source));
	source->harvest_at = next;
	source->batch_at = 0;
}

void source_paused(struct source *source, const u8 *state, u32 bytes)
{
	CHECK(bytes && (source->phase == SOURCE_PAUSING || is_over(source)));
	if (is_over(source))
		return;
	source->state = state;
	source->state_bytes = bytes;
	source->stats.paused_ns = source->now_ns;
	source->phase = SOURCE_LAST_COPY;
	begin_round(source);
}

void source_resumed(struct source *source)
{
	CHECK(source->phase == SOURCE_RESUMING);
	source->is_paused = false;
	source->phase = SOURCE_FAILED;
}

/* --- Stepping ------------------------------------------------------------- */

static struct source_request request(enum source_wants wants)
{
	return (struct source_request){.wants = wants};
}

static struct source_request ask_send(const struct source *source)
{
	struct source_request asked = request(SOURCE_WANTS_SEND);
	struct wire_piece piece = wire_next_piece(&source->outbox);

	asked.bytes = piece.at;
	asked.byte_count = piece.bytes;
	asked.are_lent = piece.is_lent;
	return asked;
}

/* Pages of the batch first, then more of them, then the round is over. */
static struct source_request copy(struct source *source)
{
	struct source_request asked = request(SOURCE_WANTS_HARVEST);
	gpa_t end = dirty_log_end(&source->config.mem->log);

	if (has_batch(source)) {
		say_pages(source);
		return ask_send(source);
	}
	if (gpa_raw(source->harvest_at) >= gpa_raw(end)) {
		say_round(source);
		return ask_send(source);
	}
	source->batch.count = source->batch_at = 0;
	asked.from = source->harvest_at;
	asked.to = end;
	asked.batch = &source->batch;
	return asked;
}

/* What it is about has left by now. */
static struct source_request audit(struct source *source)
{
	if (!source->stats.told_ns)
		source->stats.told_ns = source->now_ns;
	if (source->next_group != AUDIT_NO_GROUP)
		say_audit(source);
	else
		say_seal(source);
	return ask_send(source);
}

static struct source_request wait_ready(struct source *source)
{
	if (source->asked_group == AUDIT_NO_GROUP)
		return request(SOURCE_WANTS_BYTES);
	say_audit_pages(source);
	return ask_send(source);
}

/* COMMIT: from this line on the guest belongs to the peer. */
static struct source_request commit(struct source *source)
{
	source->phase = SOURCE_RUNNING;
	wire_send_u64(&source->outbox, WIRE_COMMIT, source->config.session);
	return ask_send(source);
}

/* Only after the guest runs again. */
static struct source_request end_failed(struct source *source)
{
	if (!source->cancel_owed)
		return request(SOURCE_WANTS_NO_MORE);
	source->cancel_owed = false;
	wire_send_text(&source->outbox, WIRE_CANCEL, source->why);
	return ask_send(source);
}

static struct source_request by_phase(struct source *source)
{
	switch (source->phase) {
	case SOURCE_HELLO:
		say_hello(source);
		return ask_send(source);
	case SOURCE_VM:
		say_vm(source);
		return ask_send(source);
	case SOURCE_COPY:
	case SOURCE_LAST_COPY:
		return copy(source);
	case SOURCE_PREPARE:
		wire_send_u64(&source->outbox, WIRE_PREPARE,
			      source->config.session);
		source->phase = SOURCE_PREPARED;
		return ask_send(source);
	case SOURCE_PAUSING:
		/* Half paused is paused: whatever comes now, RESUME does. */
		source->is_paused = true;
		return request(SOURCE_WANTS_PAUSE);
	case SOURCE_STATE:
		say_state(source);
		return ask_send(source);
	case SOURCE_AUDIT:
		return audit(source);
	case SOURCE_READY:
		return wait_ready(source);
	case SOURCE_COMMIT:
		return commit(source);
	case SOURCE_MOVED:
		return request(SOURCE_WANTS_NOTHING);
	case SOURCE_UNCONFIRMED:
		return request(SOURCE_WANTS_DECISION);
	case SOURCE_RESUMING:
		return request(SOURCE_WANTS_RESUME);
	case SOURCE_FAILED:
		return end_failed(source);
	case SOURCE_WELCOME:
	case SOURCE_ACCEPT:
	case SOURCE_SEEN:
	case SOURCE_PREPARED:
	case SOURCE_RUNNING:
	case SOURCE_PHASES:
		break;
	}
	return request(SOURCE_WANTS_BYTES);
}

/*
 * Counts from the last byte that went either way; pausing takes its time. A link
 * that takes nothing cannot tell the peer that it is over, either.
 */
static void check_silence(struct source *source)
{
	u64 silent_ns = source->now_ns - source->moved_ns;

	if (source->has_moved || source->phase == SOURCE_PAUSING) {
		source->moved_ns = source->now_ns;
		source->has_moved = false;
	} else if (silent_ns > source->config.silence_ns) {
		if (source->phase == SOURCE_FAILED)
			stop_talking(source);
		fail(source, "the peer has been silent for %lu ms",
		     silent_ns / 1000000);
	}
}

struct source_request source_step(struct source *source, u64 now_ns)
{
	source->now_ns = now_ns;
	check_silence(source);
	if (source->phase == SOURCE_RESUMING)
		return request(SOURCE_WANTS_RESUME);
	if (!wire_outbox_is_empty(&source->outbox))
		return ask_send(source);
	return by_phase(source);
}
