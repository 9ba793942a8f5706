/* SPDX-License-Identifier: MIT */
/*
 * The destination: see migrate/receiver.h and docs/MIGRATION.md.
 *
 * One record at a time: is its type due in this phase (allowed), is what it
 * says right (on_x), and only then does anything change.
 */
#include "migrate/receiver.h"
#include "lib/check.h"
#include "lib/crc32c.h"
#include "lib/fmt.h"
#include "lib/log.h"
#include "lib/string.h"
#include "migrate/pack.h"

static const u8 zero_page[PAGE_4K] ALIGNED(8);

void receiver_begin(struct receiver *receiver,
		    const struct receiver_config *config, u64 now_ns)
{
	memset(receiver, 0, sizeof(*receiver));
	receiver->config = *config;
	receiver->inbox.room = config->in;
	receiver->inbox.from = WIRE_SOURCE;
	receiver->outbox.room = config->out;
	receiver->moved_ns = now_ns;
	receiver->first_bad_group = AUDIT_NO_GROUP;
}

/* --- When it goes wrong --------------------------------------------------- */

static bool is_over(const struct receiver *receiver)
{
	return receiver->phase == RECEIVER_LOST || receiver_is_owner(receiver);
}

static COLD PRINTF(2, 3) void fail(struct receiver *receiver,
				   const char *format, ...)
{
	va_list args;

	if (is_over(receiver))
		return;
	va_start(args, format);
	fmt_va(receiver->why, sizeof(receiver->why), format, args);
	va_end(args);
	receiver->phase = RECEIVER_LOST;
	receiver->refuse_owed = true;
	receiver->has_moved = true; /* time to tell */
	log_error("migration: %s%snot taken over: %s", receiver->shape.name,
		  receiver->shape.name[0] ? ": " : "", receiver->why);
}

void receiver_refuse(struct receiver *receiver, const char *why)
{
	fail(receiver, "%s", why);
}

/* What is left to be said is not. */
static void stop_talking(struct receiver *receiver)
{
	receiver->refuse_owed = false;
	wire_outbox_drop(&receiver->outbox);
}

void receiver_link_lost(struct receiver *receiver, const char *why)
{
	fail(receiver, "%s", why);
	stop_talking(receiver);
}

static void fail_field(struct receiver *receiver,
		       const struct wire_record *record)
{
	fail(receiver, "record %s says what cannot be",
	     wire_type_name(record->type));
}

/* --- Beginning ------------------------------------------------------------ */

static void on_hello(struct receiver *receiver,
		     const struct wire_record *record)
{
	struct wire_reader reader = wire_reader_of(record);
	u64 magic = wire_get_u64(&reader);
	u32 version = wire_get_u16(&reader);
	u64 session, offered, required;

	wire_get_u16(&reader);
	wire_get_u32(&reader);
	session = wire_get_u64(&reader);
	offered = wire_get_u64(&reader);
	required = wire_get_u64(&reader);
	if (magic != WIRE_MAGIC) {
		fail(receiver, "the peer is no Umbra");
	} else if (version != WIRE_VERSION) {
		fail(receiver,
		     "the peer speaks version %u of the migration format, "
		     "this Umbra version %u: start the same Umbra on both",
		     version, WIRE_VERSION);
	} else if (!wire_is_done(&reader)) {
		fail_field(receiver, record);
	} else if (required & ~WIRE_FEATURES_KNOWN) {
		fail(receiver,
		     "the peer needs features that this Umbra does not have "
		     "(%lx): start the same Umbra on both",
		     required & ~WIRE_FEATURES_KNOWN);
	} else {
		struct wire_writer writer = wire_begin(&receiver->outbox);

		receiver->session = session;
		receiver->features = offered & WIRE_FEATURES_KNOWN;
		wire_put_u64(&writer, WIRE_MAGIC);
		wire_put_u16(&writer, WIRE_VERSION);
		wire_put_u16(&writer, 0);
		wire_put_u32(&writer, 0);
		wire_put_u64(&writer, session);
		wire_put_u64(&writer, receiver->features);
		wire_seal(&receiver->outbox, WIRE_WELCOME, &writer);
		receiver->phase = RECEIVER_VM;
	}
}

static void on_vm(struct receiver *receiver, const struct wire_record *record)
{
	struct wire_reader reader = wire_reader_of(record);
	char why[WIRE_TEXT_BYTES];

	if (shape_get(&reader, &receiver->shape, why, sizeof(why)) != OK ||
	    cpu_model_fits(&receiver->shape.cpu, receiver->config.cpu, why,
			   sizeof(why)) != OK)
		fail(receiver, "%s", why);
	else
		receiver->phase = RECEIVER_CREATING;
}

void receiver_created(struct receiver *receiver, struct guest_mem *mem)
{
	CHECK(receiver->phase == RECEIVER_CREATING ||
	      receiver->phase == RECEIVER_LOST);
	if (receiver->phase == RECEIVER_LOST)
		return;
	CHECK(shape_is_of(&receiver->shape, mem));
	receiver->mem = mem;
	receiver->has_moved = true;
	wire_send_u64(&receiver->outbox, WIRE_ACCEPT, receiver->session);
	receiver->phase = RECEIVER_ROUNDS;
}

/* --- Memory --------------------------------------------------------------- */

static bool is_memory(const struct receiver *receiver,
		      const struct pages_entry *entry)
{
	for (u64 i = 0; i < entry->count; i++)
		if (!guest_mem_ptr(receiver->mem,
				   gpa_add(entry->first, i * PAGE_4K), PAGE_4K))
			return false;
	return true;
}

/* Fresh memory is zero: most zero pages need no write. */
static void put_zeroes(struct receiver *receiver, gpa_t first, u64 count)
{
	for (u64 i = 0; i < count; i++) {
		gpa_t page = gpa_add(first, i * PAGE_4K);
		const void *at = guest_mem_ptr(receiver->mem, page, PAGE_4K);

		CHECK(at);
		if (!page_is_zero(at))
			CHECK(guest_mem_load(receiver->mem, page, zero_page,
					     PAGE_4K) == OK);
	}
}

static bool is_agreed(const struct receiver *receiver, enum page_kind kind)
{
	if (kind == PAGE_LZ4)
		return receiver->features & WIRE_FEATURE_LZ4;
	if (kind == PAGE_DELTA)
		return receiver->features & WIRE_FEATURE_DELTA;
	return true;
}

/* Everything that can be seen without unpacking a page. */
static bool are_pages_right(struct receiver *receiver,
			    const struct wire_record *record)
{
	struct pages_reader pages = pages_reader_of(record);
	struct pages_entry entry;
	enum err err = OK;

	while ((err = pages_next(&pages, &entry)) == OK) {
		if (!is_agreed(receiver, entry.kind)) {
			fail_field(receiver, record);
			return false;
		}
		if (is_memory(receiver, &entry))
			continue;
		fail(receiver,
		     "the peer sent a page at %lx, where the VM has no memory",
		     gpa_raw(entry.first));
		return false;
	}
	if (err != ERR_NOT_FOUND)
		fail_field(receiver, record);
	return err == ERR_NOT_FOUND;
}

/* False: it cannot be unpacked. */
static bool put_page(struct receiver *receiver, const struct pages_entry *entry)
{
	const struct packed_page packed = {entry->kind, entry->contents,
					   entry->bytes};
	const void *contents = entry->contents;

	if (entry->kind != PAGE_RAW) {
		if (!pack_undo(
			&packed,
			guest_mem_ptr(receiver->mem, entry->first, PAGE_4K),
			receiver->page))
			return false;
		contents = receiver->page;
	}
	CHECK(guest_mem_load(receiver->mem, entry->first, contents, PAGE_4K) ==
	      OK);
	receiver->in_round.raw++;
	return true;
}

static void on_pages(struct receiver *receiver,
		     const struct wire_record *record)
{
	struct pages_reader pages = pages_reader_of(record);
	struct pages_entry entry;

	if (!are_pages_right(receiver, record))
		return;
	while (pages_next(&pages, &entry) == OK) {
		if (entry.kind == PAGE_ZERO) {
			put_zeroes(receiver, entry.first, entry.count);
			receiver->in_round.zero += entry.count;
		} else if (!put_page(receiver, &entry)) {
			fail_field(receiver, record);
			return;
		}
	}
}

static void on_live(struct receiver *receiver, const struct wire_record *record)
{
	if (receiver->features & WIRE_FEATURE_LIVE)
		on_pages(receiver, record);
	else
		fail_field(receiver, record);
}

static void answer_round(struct receiver *receiver)
{
	struct wire_writer writer = wire_begin(&receiver->outbox);

	wire_put_u32(&writer, receiver->round);
	wire_put_u32(&writer, 0);
	wire_seal(&receiver->outbox, WIRE_ROUND_SEEN, &writer);
}

static void on_round(struct receiver *receiver,
		     const struct wire_record *record)
{
	struct wire_reader reader = wire_reader_of(record);
	bool due_last = receiver->phase == RECEIVER_LAST_ROUND;
	u32 round = wire_get_u32(&reader);
	u32 is_last = wire_get_u32(&reader);
	u64 raw = wire_get_u64(&reader);
	u64 zero = wire_get_u64(&reader);

	if (round != receiver->round || is_last != due_last) {
		fail_field(receiver, record);
	} else if (raw != receiver->in_round.raw ||
		   zero != receiver->in_round.zero) {
		fail(receiver,
		     "round %u had %lu pages and %lu zero pages, but %lu and "
		     "%lu have come",
		     round, raw, zero, receiver->in_round.raw,
		     receiver->in_round.zero);
	} else {
		receiver->total.raw += raw;
		receiver->total.zero += zero;
		receiver->in_round = (struct receiver_counts){0};
		if (due_last)
			receiver->phase = RECEIVER_STATE;
		else
			answer_round(receiver);
		receiver->round++;
	}
}

/* --- Handing over --------------------------------------------------------- */

static bool is_of_session(struct receiver *receiver,
			  const struct wire_record *record)
{
	struct wire_reader reader = wire_reader_of(record);

	if (wire_get_u64(&reader) == receiver->session)
		return true;
	fail(receiver, "record %s is of another migration",
	     wire_type_name(record->type));
	return false;
}

static void on_prepare(struct receiver *receiver,
		       const struct wire_record *record)
{
	if (!is_of_session(receiver, record))
		return;
	wire_send_u64(&receiver->outbox, WIRE_PREPARED, receiver->session);
	receiver->phase = RECEIVER_LAST_ROUND;
}

static void on_state(struct receiver *receiver,
		     const struct wire_record *record)
{
	struct wire_reader reader = wire_reader_of(record);
	u32 offset = wire_get_u32(&reader);
	u32 total = wire_get_u32(&reader);
	u32 here = reader.left;

	if (total > receiver->config.state_room) {
		fail(receiver, "the VM's state has %u bytes, room is for %u",
		     total, receiver->config.state_room);
		return;
	}
	if (offset != receiver->state_bytes || here > total - offset ||
	    (offset && total != receiver->state_total)) {
		fail_field(receiver, record);
		return;
	}
	memcpy(receiver->config.state + offset, reader.at, here);
	receiver->state_bytes += here;
	receiver->state_total = total;
	if (receiver->state_bytes == total) {
		receiver->phase = RECEIVER_AUDIT;
		receiver->next_group = audit_next_group(receiver->mem, 0);
	}
}

/* If there is any. */
static enum audit_mode audit_due(const struct receiver *receiver)
{
	return receiver->features & WIRE_FEATURE_AUDIT_SENT ? AUDIT_SENT
							    : AUDIT_FULL;
}

static void compare_group(struct receiver *receiver, u64 group, u32 ours,
			  u32 theirs)
{
	if (ours != theirs) {
		if (!receiver->bad_group_count++)
			receiver->first_bad_group = group;
	}
	receiver->group_count++;
}

static void audit_one(struct receiver *receiver, u32 theirs)
{
	u64 group = receiver->next_group;
	u32 ours = audit_group_hash(receiver->mem, group, AUDIT_ALL_PAGES);

	receiver->root = audit_root_of_full(receiver->root, ours);
	compare_group(receiver, group, ours, theirs);
	receiver->next_group = audit_next_group(receiver->mem, group + 1);
}

static void on_audit(struct receiver *receiver,
		     const struct wire_record *record)
{
	struct wire_reader reader = wire_reader_of(record);

	if (audit_due(receiver) != AUDIT_FULL ||
	    wire_get_u64(&reader) != receiver->next_group ||
	    reader.left % sizeof(u32)) {
		fail_field(receiver, record);
		return;
	}
	while (reader.left && receiver->next_group != AUDIT_NO_GROUP)
		audit_one(receiver, wire_get_u32(&reader));
	if (reader.left)
		fail_field(receiver, record);
}

/* False: out of order, or of pages that there are not. */
static bool audit_one_sent(struct receiver *receiver,
			   struct wire_reader *reader)
{
	u64 group = wire_get_u64(reader);
	u64 count = wire_get_u64(reader);
	u32 theirs = wire_get_u32(reader), ours;

	if (group < receiver->next_group || !count ||
	    count & ~audit_known_pages(receiver->mem, group))
		return false;
	ours = audit_group_hash(receiver->mem, group, count);
	receiver->root = audit_root_of_sent(receiver->root, group, count, ours);
	compare_group(receiver, group, ours, theirs);
	receiver->next_group = group + 1;
	return true;
}

static void on_audit_sent(struct receiver *receiver,
			  const struct wire_record *record)
{
	struct wire_reader reader = wire_reader_of(record);
	bool is_right = audit_due(receiver) == AUDIT_SENT &&
			reader.left % WIRE_AUDIT_SENT_BYTES == 0;

	while (is_right && reader.left)
		is_right = audit_one_sent(receiver, &reader);
	if (!is_right)
		fail_field(receiver, record);
}

/* Is that what came, and all of it? */
static bool is_seal_right(struct receiver *receiver, struct wire_reader *reader,
			  u32 state_crc)
{
	u32 state_bytes = wire_get_u32(reader);
	u32 their_crc = wire_get_u32(reader);
	u32 mode = wire_get_u32(reader);
	u32 root = wire_get_u32(reader);
	u64 groups = wire_get_u64(reader);

	if (state_bytes != receiver->state_bytes || their_crc != state_crc ||
	    groups != receiver->group_count)
		return false;
	/* Lent pages are proven by it, and by nothing else. */
	if (mode == AUDIT_OFF)
		return groups == 0 && root == 0 &&
		       !(receiver->features & WIRE_FEATURE_LIVE);
	if (mode != audit_due(receiver) ||
	    (mode == AUDIT_FULL && receiver->next_group != AUDIT_NO_GROUP))
		return false;
	return receiver->bad_group_count || root == receiver->root;
}

static void on_seal(struct receiver *receiver, const struct wire_record *record)
{
	struct wire_reader reader = wire_reader_of(record);
	u32 state_crc =
	    crc32c(0, receiver->config.state, receiver->state_bytes);

	if (!is_of_session(receiver, record))
		return;
	wire_get_u64(&reader);
	if (!is_seal_right(receiver, &reader, state_crc)) {
		fail_field(receiver, record);
	} else if (receiver->bad_group_count) {
		wire_send_u64(&receiver->outbox, WIRE_AUDIT_ASK,
			      receiver->first_bad_group);
		receiver->phase = RECEIVER_NAMING;
	} else {
		receiver->phase = RECEIVER_LOADING;
	}
}

#define PAGES_NAMED_MAX 4

static void name_pages(struct receiver *receiver, u64 bits)
{
	char names[PAGES_NAMED_MAX * 20] = "";
	gpa_t base = gpa(receiver->first_bad_group * AUDIT_GROUP_BYTES);
	u32 used = 0, named = 0;

	for (u64 left = bits; left && named < PAGES_NAMED_MAX;
	     left &= left - 1, named++)
		used += (u32)fmt(names + used, sizeof(names) - used, " %lx",
				 gpa_raw(base) +
				     PAGE_4K * (u64)__builtin_ctzll(left));
	fail(receiver,
	     "the audit found pages that differ:%s%s (%u in their group, %lu "
	     "more groups differ)",
	     names, bits_count(bits) > PAGES_NAMED_MAX ? " and more" : "",
	     bits_count(bits), receiver->bad_group_count - 1);
}

static void on_audit_pages(struct receiver *receiver,
			   const struct wire_record *record)
{
	struct wire_reader reader = wire_reader_of(record);
	struct audit_pages ours, theirs = {0};
	u64 group = wire_get_u64(&reader);

	theirs.known = wire_get_u64(&reader);
	for (u64 left = theirs.known; left; left &= left - 1)
		theirs.crc[__builtin_ctzll(left)] = wire_get_u32(&reader);
	if (!wire_is_done(&reader) || group != receiver->first_bad_group) {
		fail_field(receiver, record);
		return;
	}
	audit_read_pages(receiver->mem, group,
			 audit_due(receiver) == AUDIT_SENT ? theirs.known
							   : AUDIT_ALL_PAGES,
			 &ours);
	name_pages(receiver, audit_difference(&ours, &theirs));
}

void receiver_loaded(struct receiver *receiver)
{
	struct wire_writer writer;

	CHECK(receiver->phase == RECEIVER_LOADING ||
	      receiver->phase == RECEIVER_LOST);
	if (receiver->phase == RECEIVER_LOST)
		return;
	writer = wire_begin(&receiver->outbox);
	wire_put_u64(&writer, receiver->session);
	wire_put_u32(&writer,
		     crc32c(0, receiver->config.state, receiver->state_bytes));
	wire_put_u32(&writer, receiver->root);
	wire_seal(&receiver->outbox, WIRE_READY, &writer);
	receiver->phase = RECEIVER_COMMIT;
}

static void on_commit(struct receiver *receiver,
		      const struct wire_record *record)
{
	if (is_of_session(receiver, record))
		receiver->phase = RECEIVER_STARTING;
}

void receiver_running(struct receiver *receiver)
{
	CHECK(receiver->phase == RECEIVER_STARTING);
	receiver->phase = RECEIVER_OWNER;
	wire_send_u64(&receiver->outbox, WIRE_RUNNING, receiver->session);
}

static void on_cancel(struct receiver *receiver,
		      const struct wire_record *record)
{
	char text[WIRE_TEXT_BYTES];

	wire_get_text(record, text, sizeof(text));
	fail(receiver, "the source has called it off: %s", text);
	receiver->refuse_owed = false; /* it knows */
}

/* --- Records -------------------------------------------------------------- */

static const struct {
	void (*on)(struct receiver *receiver, const struct wire_record *record);
	u64 phases; /* in which it may come */
} records[] = {
    [WIRE_HELLO] = {on_hello, BIT(RECEIVER_HELLO)},
    [WIRE_VM] = {on_vm, BIT(RECEIVER_VM)},
    [WIRE_PAGES] = {on_pages, BIT(RECEIVER_ROUNDS) | BIT(RECEIVER_LAST_ROUND)},
    [WIRE_LIVE] = {on_live, BIT(RECEIVER_ROUNDS) | BIT(RECEIVER_LAST_ROUND)},
    [WIRE_ROUND] = {on_round, BIT(RECEIVER_ROUNDS) | BIT(RECEIVER_LAST_ROUND)},
    [WIRE_PREPARE] = {on_prepare, BIT(RECEIVER_ROUNDS)},
    [WIRE_STATE] = {on_state, BIT(RECEIVER_STATE)},
    [WIRE_AUDIT] = {on_audit, BIT(RECEIVER_AUDIT)},
    [WIRE_AUDIT_SENT] = {on_audit_sent, BIT(RECEIVER_AUDIT)},
    [WIRE_SEAL] = {on_seal, BIT(RECEIVER_AUDIT)},
    [WIRE_AUDIT_PAGES] = {on_audit_pages, BIT(RECEIVER_NAMING)},
    [WIRE_COMMIT] = {on_commit, BIT(RECEIVER_COMMIT)},
    [WIRE_CANCEL] = {on_cancel, BITS(RECEIVER_COMMIT, RECEIVER_VM)},
};

static void on_record(struct receiver *receiver,
		      const struct wire_record *record)
{
	/* The inbox lets only types of this direction through. */
	CHECK(record->type < ARRAY_COUNT(records) && records[record->type].on);
	if (records[record->type].phases & BIT(receiver->phase))
		records[record->type].on(receiver, record);
	else
		fail(receiver, "record %s came out of turn",
		     wire_type_name(record->type));
}

/* Nothing to send, and it is not the caller's turn. */
static bool is_listening(const struct receiver *receiver)
{
	return wire_outbox_is_empty(&receiver->outbox) &&
	       receiver->phase != RECEIVER_CREATING &&
	       receiver->phase != RECEIVER_LOADING && !is_over(receiver);
}

u64 receiver_feed(struct receiver *receiver, const u8 *data, u64 bytes,
		  u64 now_ns)
{
	u64 left = bytes;

	while (left && is_listening(receiver)) {
		struct wire_record record;
		enum wire_status status =
		    wire_take(&receiver->inbox, &data, &left, &record);

		receiver->moved_ns = now_ns;
		if (status == WIRE_BROKEN)
			fail(receiver, "%s", receiver->inbox.why);
		else if (status == WIRE_HAS_RECORD)
			on_record(receiver, &record);
	}
	/* What comes after the end is nobody's. */
	return is_over(receiver) ? bytes : bytes - left;
}

void receiver_sent(struct receiver *receiver, u32 bytes)
{
	struct wire_outbox *outbox = &receiver->outbox;

	CHECK(bytes <= outbox->filled - outbox->sent);
	outbox->sent += bytes;
	receiver->has_moved |= bytes > 0;
}

/* --- Stepping ------------------------------------------------------------- */

static struct receiver_request request(enum receiver_wants wants)
{
	return (struct receiver_request){.wants = wants};
}

static struct receiver_request by_phase(const struct receiver *receiver)
{
	static const enum receiver_wants wants[RECEIVER_PHASES] = {
	    [RECEIVER_CREATING] = RECEIVER_WANTS_CREATE,
	    [RECEIVER_LOADING] = RECEIVER_WANTS_LOAD,
	    [RECEIVER_STARTING] = RECEIVER_WANTS_RUN,
	    [RECEIVER_OWNER] = RECEIVER_WANTS_NOTHING,
	    [RECEIVER_LOST] = RECEIVER_WANTS_DESTROY,
	}; /* all others: RECEIVER_WANTS_BYTES, which is 0 */

	return request(wants[receiver->phase]);
}

/*
 * The caller's turn may take as long as it takes. A link that takes nothing is
 * told nothing when it is over, either.
 */
static void check_silence(struct receiver *receiver, u64 now_ns)
{
	u64 silent_ns = now_ns - receiver->moved_ns;

	if (receiver->has_moved ||
	    (by_phase(receiver).wants != RECEIVER_WANTS_BYTES &&
	     wire_outbox_is_empty(&receiver->outbox))) {
		receiver->moved_ns = now_ns;
		receiver->has_moved = false;
	} else if (silent_ns > receiver->config.silence_ns) {
		if (is_over(receiver))
			stop_talking(receiver);
		fail(receiver, "the source has been silent for %lu ms",
		     silent_ns / 1000000);
	}
}

struct receiver_request receiver_step(struct receiver *receiver, u64 now_ns)
{
	struct wire_outbox *outbox = &receiver->outbox;
	struct receiver_request asked;

	check_silence(receiver, now_ns);
	if (receiver->refuse_owed && wire_outbox_is_empty(outbox)) {
		wire_send_text(outbox, WIRE_REFUSE, receiver->why);
		receiver->refuse_owed = false;
	}
	/* Who may run the guest starts it first and talks after. */
	if (!wire_outbox_is_empty(outbox) &&
	    receiver->phase != RECEIVER_STARTING) {
		asked = request(RECEIVER_WANTS_SEND);
		asked.bytes = outbox->room + outbox->sent;
		asked.byte_count = outbox->filled - outbox->sent;
		return asked;
	}
	asked = by_phase(receiver);
	if (asked.wants == RECEIVER_WANTS_LOAD) {
		asked.bytes = receiver->config.state;
		asked.byte_count = receiver->state_bytes;
	}
	return asked;
}
