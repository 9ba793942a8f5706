/* SPDX-License-Identifier: MIT */
/* Records on the migration wire: see migrate/wire.h. */
#include "migrate/wire.h"
#include "lib/check.h"
#include "lib/crc32c.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "lib/vectors.h"
#include "mm/addr.h"

#define CRC_BYTES   4
#define SEQUENCE_AT 4
#define LENGTH_AT   8
#define TYPE_AT     12
#define LENT_AT     14

/*
 * What may come from whom, and how long. The first of each side may be another
 * version's, which is to be told in words and not by its length.
 */
struct rule {
	const char *name;
	u32 least, most; /* payload bytes */
};

#define ANY  WIRE_PAYLOAD_BYTES
#define TEXT WIRE_TEXT_BYTES

static const struct rule from_source[] = {
    [WIRE_HELLO] = {"HELLO", 12, 1024},
    [WIRE_VM] = {"VM", 1, 1024},
    [WIRE_PAGES] = {"PAGES", 2, ANY},
    [WIRE_ROUND] = {"ROUND", 24, 24},
    [WIRE_PREPARE] = {"PREPARE", 8, 8},
    [WIRE_STATE] = {"STATE", 9, ANY},
    [WIRE_AUDIT] = {"AUDIT", 12, 8 + WIRE_AUDIT_GROUPS * 4},
    [WIRE_LIVE] = {"LIVE", 2, ANY},
    [WIRE_AUDIT_SENT] = {"AUDIT_SENT", WIRE_AUDIT_SENT_BYTES,
			 WIRE_AUDIT_GROUPS *WIRE_AUDIT_SENT_BYTES},
    [WIRE_SEAL] = {"SEAL", 32, 32},
    [WIRE_AUDIT_PAGES] = {"AUDIT_PAGES", 20, 16 + 64 * 4},
    [WIRE_COMMIT] = {"COMMIT", 8, 8},
    [WIRE_CANCEL] = {"CANCEL", 0, TEXT},
};

#define DESTINATION_FIRST 0x41U
_Static_assert(WIRE_WELCOME == DESTINATION_FIRST, "the lowest of them");

static const struct rule from_destination[] = {
    [WIRE_WELCOME - DESTINATION_FIRST] = {"WELCOME", 12, 1024},
    [WIRE_ACCEPT - DESTINATION_FIRST] = {"ACCEPT", 8, 8},
    [WIRE_ROUND_SEEN - DESTINATION_FIRST] = {"ROUND_SEEN", 8, 8},
    [WIRE_PREPARED - DESTINATION_FIRST] = {"PREPARED", 8, 8},
    [WIRE_AUDIT_ASK - DESTINATION_FIRST] = {"AUDIT_ASK", 8, 8},
    [WIRE_READY - DESTINATION_FIRST] = {"READY", 16, 16},
    [WIRE_RUNNING - DESTINATION_FIRST] = {"RUNNING", 8, 8},
    [WIRE_REFUSE - DESTINATION_FIRST] = {"REFUSE", 0, TEXT},
};

/* NULL: there is no such type in that direction. */
static const struct rule *rule_of(enum wire_side from, u32 type)
{
	const struct rule *rules = from_source;
	u64 index = type, count = ARRAY_COUNT(from_source);

	if (from == WIRE_DESTINATION) {
		rules = from_destination;
		count = ARRAY_COUNT(from_destination);
		index = (u64)type - DESTINATION_FIRST; /* below: far past it */
	}
	return index < count && rules[index].name ? &rules[index] : NULL;
}

const char *wire_type_name(u32 type)
{
	const struct rule *rule = rule_of(WIRE_SOURCE, type);

	if (!rule)
		rule = rule_of(WIRE_DESTINATION, type);
	return rule ? rule->name : "unknown";
}

/* --- Numbers -------------------------------------------------------------- */

static u64 load(const u8 *at, u32 bytes)
{
	u64 value = 0;

	memcpy(&value, at, bytes);
	return value;
}

u32 wire_record_bytes(const u8 *header)
{
	u64 payload = load(header + LENGTH_AT, 4);

	return WIRE_HEADER_BYTES + (u32)(payload < WIRE_PAYLOAD_BYTES
					     ? payload
					     : WIRE_PAYLOAD_BYTES);
}

u32 wire_record_type(const u8 *header)
{
	return (u32)load(header + TYPE_AT, 2);
}

void wire_put_bytes(struct wire_writer *writer, const void *from, u32 bytes)
{
	CHECK(bytes <= writer->room - writer->filled);
	memcpy(writer->at + writer->filled, from, bytes);
	writer->filled += bytes;
}

void wire_put_page(struct wire_writer *writer, const void *page)
{
	CHECK(PAGE_4K <= writer->room - writer->filled);
	vectors_copy(writer->at + writer->filled, page, PAGE_4K);
	writer->filled += (u32)PAGE_4K;
}

void wire_lend_page(struct wire_writer *writer, const void *page)
{
	struct wire_outbox *outbox = writer->outbox;

	CHECK(PAGE_4K <= writer->room - writer->filled);
	CHECK(outbox->lent_count < WIRE_LENT_MAX);
	writer->room -= (u32)PAGE_4K;
	outbox->lent[outbox->lent_count++] = page;
}

void wire_put_u16(struct wire_writer *writer, u16 value)
{
	wire_put_bytes(writer, &value, sizeof(value));
}

void wire_put_u32(struct wire_writer *writer, u32 value)
{
	wire_put_bytes(writer, &value, sizeof(value));
}

void wire_put_u64(struct wire_writer *writer, u64 value)
{
	wire_put_bytes(writer, &value, sizeof(value));
}

void wire_put_varint(struct wire_writer *writer, u64 value)
{
	for (; value >= 0x80; value >>= 7) {
		u8 low = (u8)(value | 0x80);

		wire_put_bytes(writer, &low, 1);
	}
	wire_put_bytes(writer, &value, 1);
}

const u8 *wire_get_bytes(struct wire_reader *reader, u32 bytes)
{
	const u8 *at = reader->at;

	if (bytes > reader->left) {
		reader->is_short = true;
		reader->left = 0;
		return NULL;
	}
	reader->at += bytes;
	reader->left -= bytes;
	return at;
}

static u64 get(struct wire_reader *reader, u32 bytes)
{
	const u8 *at = wire_get_bytes(reader, bytes);

	return at ? load(at, bytes) : 0;
}

u16 wire_get_u16(struct wire_reader *reader)
{
	return (u16)get(reader, sizeof(u16));
}

u32 wire_get_u32(struct wire_reader *reader)
{
	return (u32)get(reader, sizeof(u32));
}

u64 wire_get_u64(struct wire_reader *reader)
{
	return get(reader, sizeof(u64));
}

/* One that goes on past 64 bits counts as short. */
u64 wire_get_varint(struct wire_reader *reader)
{
	u64 value = 0;

	for (u32 shift = 0; shift < 64; shift += 7) {
		u64 byte = get(reader, 1);

		if (shift == 63 && byte > 1)
			break;
		value |= (byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	reader->is_short = true;
	return 0;
}

void wire_get_text(const struct wire_record *record, char *text, u32 text_bytes)
{
	u32 count = 0;

	for (; count < record->bytes && count + 1 < text_bytes; count++) {
		u8 c = record->payload[count];

		text[count] = c >= ' ' && c <= '~' ? (char)c : '?';
	}
	text[count] = 0;
}

/* --- Sending -------------------------------------------------------------- */

struct wire_writer wire_begin(struct wire_outbox *outbox)
{
	CHECK(wire_outbox_is_empty(outbox));
	outbox->lent_count = 0;
	return (struct wire_writer){
	    .at = outbox->room + WIRE_HEADER_BYTES,
	    .room = WIRE_PAYLOAD_BYTES,
	    .outbox = outbox,
	};
}

void wire_seal(struct wire_outbox *outbox, enum wire_type type,
	       const struct wire_writer *payload)
{
	struct wire_writer header = {.at = outbox->room,
				     .room = WIRE_HEADER_BYTES};
	u32 bytes = WIRE_HEADER_BYTES + payload->filled;
	u32 lent = outbox->lent_count;
	u32 crc;

	CHECK(!lent || type == WIRE_LIVE);
	wire_put_u32(&header, 0);
	wire_put_u32(&header, outbox->sequence++);
	wire_put_u32(&header, payload->filled + lent * (u32)PAGE_4K);
	wire_put_u16(&header, (u16)type);
	wire_put_u16(&header, (u16)lent);
	crc = crc32c(0, outbox->room + CRC_BYTES, bytes - CRC_BYTES);
	memcpy(outbox->room, &crc, sizeof(crc));
	outbox->sent = 0;
	outbox->filled = bytes + lent * (u32)PAGE_4K;
}

/* Pages that are neighbours in memory go as one. */
static struct wire_piece lent_piece(const struct wire_outbox *outbox, u32 at)
{
	u32 page = at / (u32)PAGE_4K, first = page;
	const u8 *from = outbox->lent[page] + at % PAGE_4K;

	while (page + 1 < outbox->lent_count &&
	       outbox->lent[page + 1] == outbox->lent[page] + PAGE_4K)
		page++;
	return (struct wire_piece){
	    from, (page + 1 - first) * (u32)PAGE_4K - at % (u32)PAGE_4K, true};
}

struct wire_piece wire_next_piece(const struct wire_outbox *outbox)
{
	u32 own = outbox->filled - outbox->lent_count * (u32)PAGE_4K;

	CHECK(!wire_outbox_is_empty(outbox));
	if (outbox->sent >= own)
		return lent_piece(outbox, outbox->sent - own);
	return (struct wire_piece){outbox->room + outbox->sent,
				   own - outbox->sent, false};
}

void wire_outbox_drop(struct wire_outbox *outbox)
{
	outbox->sent = outbox->filled;
}

void wire_send_u64(struct wire_outbox *outbox, enum wire_type type, u64 value)
{
	struct wire_writer writer = wire_begin(outbox);

	wire_put_u64(&writer, value);
	wire_seal(outbox, type, &writer);
}

void wire_send_text(struct wire_outbox *outbox, enum wire_type type,
		    const char *text)
{
	struct wire_writer writer = wire_begin(outbox);

	wire_put_bytes(&writer, text, (u32)strnlen(text, WIRE_TEXT_BYTES));
	wire_seal(outbox, type, &writer);
}

/* --- Receiving ------------------------------------------------------------ */

static void fill(struct wire_inbox *inbox, u32 until, const u8 **data,
		 u64 *bytes)
{
	u32 here = until - inbox->filled;

	if (here > *bytes)
		here = (u32)*bytes;
	memcpy(inbox->room + inbox->filled, *data, here);
	inbox->filled += here;
	*data += here;
	*bytes -= here;
}

/*
 * Of a whole header: only what must be right before the payload is waited
 * for. Its own words are not trusted further than that yet.
 */
static bool is_plausible(struct wire_inbox *inbox)
{
	u32 type = (u32)load(inbox->room + TYPE_AT, 2);
	u32 length = (u32)load(inbox->room + LENGTH_AT, 4);
	u32 lent = (u32)load(inbox->room + LENT_AT, 2);
	const struct rule *rule = rule_of(inbox->from, type);

	if (!rule || (lent && type != WIRE_LIVE)) {
		fmt(inbox->why, sizeof(inbox->why),
		    "record %u is none of the migration's (type %x)",
		    inbox->sequence, type);
		return false;
	}
	if (length > rule->most || lent > WIRE_LENT_MAX ||
	    length < rule->least + lent * PAGE_4K) {
		fmt(inbox->why, sizeof(inbox->why),
		    "record %u (%s) claims %u bytes", inbox->sequence,
		    rule->name, length);
		return false;
	}
	return true;
}

static u32 lent_bytes(const struct wire_inbox *inbox)
{
	return (u32)load(inbox->room + LENT_AT, 2) * (u32)PAGE_4K;
}

static bool is_intact(struct wire_inbox *inbox)
{
	u32 summed = inbox->filled - lent_bytes(inbox);
	u32 sequence = (u32)load(inbox->room + SEQUENCE_AT, 4);
	const char *name = wire_type_name((u32)load(inbox->room + TYPE_AT, 2));

	if (crc32c(0, inbox->room + CRC_BYTES, summed - CRC_BYTES) !=
	    load(inbox->room, CRC_BYTES)) {
		fmt(inbox->why, sizeof(inbox->why),
		    "record %u (%s) was damaged on the way", inbox->sequence,
		    name);
		return false;
	}
	if (sequence != inbox->sequence) {
		fmt(inbox->why, sizeof(inbox->why),
		    "record %u (%s) came where record %u was due", sequence,
		    name, inbox->sequence);
		return false;
	}
	return true;
}

enum wire_status wire_take(struct wire_inbox *inbox, const u8 **data,
			   u64 *bytes, struct wire_record *record)
{
	u32 whole;

	if (inbox->filled < WIRE_HEADER_BYTES)
		fill(inbox, WIRE_HEADER_BYTES, data, bytes);
	if (inbox->filled < WIRE_HEADER_BYTES)
		return WIRE_NEEDS_MORE;
	if (!is_plausible(inbox))
		return WIRE_BROKEN;
	whole = WIRE_HEADER_BYTES + (u32)load(inbox->room + LENGTH_AT, 4);
	fill(inbox, whole, data, bytes);
	if (inbox->filled < whole)
		return WIRE_NEEDS_MORE;
	if (!is_intact(inbox))
		return WIRE_BROKEN;
	*record = (struct wire_record){
	    .type = (enum wire_type)load(inbox->room + TYPE_AT, 2),
	    .payload = inbox->room + WIRE_HEADER_BYTES,
	    .bytes = whole - WIRE_HEADER_BYTES - lent_bytes(inbox),
	    .lent_bytes = lent_bytes(inbox),
	};
	inbox->sequence++;
	inbox->filled = 0;
	return WIRE_HAS_RECORD;
}
