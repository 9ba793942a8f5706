/* SPDX-License-Identifier: MIT */
/*
 * The migration wire: records in a stream of bytes. docs/MIGRATION.md is the
 * specification; this file is its framing and its field types.
 *
 *	 0        4          8        12     14     16
 *	| CRC32C | sequence | length | type | lent | payload, length bytes
 *	          `-- what the CRC is of, without the lent pages: the last
 *	              `lent` times 4096 bytes of the payload --------------'
 *
 * Lent pages are the guest's own, sent from where they lie while it may be
 * writing them. Only LIVE records have any; the audit is what proves them.
 *
 * All numbers are little-endian. Each direction counts its records from 0.
 *
 * Everything that arrives is foreign: an inbox takes bytes in any portions
 * and gives a record only if its type exists in that direction, its length is
 * allowed for its type, its number is the next one, and its CRC is right. What
 * is inside is read through a wire_reader, which never reads past the end and
 * never lets a caller forget that something was short or left over.
 */
#ifndef MIGRATE_WIRE_H
#define MIGRATE_WIRE_H

#include "lib/err.h"
#include "lib/types.h"

#define WIRE_MAGIC              0x47494d4152424d55UL /* "UMBRAMIG" */
#define WIRE_VERSION            1
#define WIRE_HEADER_BYTES       16
#define WIRE_RECORD_BYTES       (64 * KIB) /* the longest record */
#define WIRE_PAYLOAD_BYTES      (WIRE_RECORD_BYTES - WIRE_HEADER_BYTES)
#define WIRE_TEXT_BYTES         200 /* of a reason in words */
#define WIRE_AUDIT_GROUPS       64  /* in one record: what one step hashes */
#define WIRE_AUDIT_SENT_BYTES   20  /* of each group in AUDIT_SENT */
#define WIRE_LENT_MAX           15  /* pages, in one record */

/* What both sides must agree on before they use it: bits of HELLO. */
#define WIRE_FEATURE_LZ4        1UL /* pages as LZ4 blocks */
#define WIRE_FEATURE_DELTA      2UL /* and as what has changed in them */
#define WIRE_FEATURE_AUDIT_SENT 4UL /* of what was sent, instead of all */
#define WIRE_FEATURE_LIVE       8UL /* pages that the guest may be writing */
#define WIRE_FEATURES_PAGES     (WIRE_FEATURE_LZ4 | WIRE_FEATURE_DELTA)
#define WIRE_FEATURES_KNOWN \
	(WIRE_FEATURES_PAGES | WIRE_FEATURE_AUDIT_SENT | WIRE_FEATURE_LIVE)

/*
 * Two ranges, one per direction, so that a record that comes back to its
 * sender is not understood.
 */
enum wire_type {
	/* from the source */
	WIRE_HELLO = 0x01,
	WIRE_VM = 0x02,
	WIRE_PAGES = 0x03,
	WIRE_ROUND = 0x04,
	WIRE_PREPARE = 0x05,
	WIRE_STATE = 0x06,
	WIRE_AUDIT = 0x07,
	WIRE_SEAL = 0x08,
	WIRE_AUDIT_PAGES = 0x09,
	WIRE_COMMIT = 0x0a,
	WIRE_CANCEL = 0x0b,
	WIRE_AUDIT_SENT = 0x0c,
	WIRE_LIVE = 0x0d,
	/* from the destination */
	WIRE_WELCOME = 0x41,
	WIRE_ACCEPT = 0x42,
	WIRE_ROUND_SEEN = 0x43,
	WIRE_PREPARED = 0x44,
	WIRE_AUDIT_ASK = 0x45,
	WIRE_READY = 0x46,
	WIRE_RUNNING = 0x47,
	WIRE_REFUSE = 0x48,
};

enum wire_side {
	WIRE_SOURCE,
	WIRE_DESTINATION,
};

/* "PAGES", never NULL. */
const char *wire_type_name(u32 type);

/*
 * How many bytes the record has whose header this is, as it claims: for who
 * passes records on. At most WIRE_RECORD_BYTES.
 */
u32 wire_record_bytes(const u8 *header);
u32 wire_record_type(const u8 *header); /* as it claims */

/* --- Sending -------------------------------------------------------------- */

/* One record at a time: built, sealed, sent in any portions. */
struct wire_outbox {
	u8 *room;   /* WIRE_RECORD_BYTES */
	u32 filled; /* bytes of the record, lent pages included */
	u32 sent;
	u32 sequence; /* of the next record */
	u32 lent_count;
	const u8 *lent[WIRE_LENT_MAX];
};

/* Appends fields to a payload. Running out of room is our own fault. */
struct wire_writer {
	u8 *at;
	u32 room; /* without what lent pages take of it */
	u32 filled;
	struct wire_outbox *outbox; /* to lend by; or NULL */
};

/* The payload of the next record. Everything before has been sent. */
struct wire_writer wire_begin(struct wire_outbox *outbox);
void wire_seal(struct wire_outbox *outbox, enum wire_type type,
	       const struct wire_writer *payload);

static inline bool wire_outbox_is_empty(const struct wire_outbox *outbox)
{
	return outbox->sent == outbox->filled;
}

/* Bytes in a row that come next, of a record that has not been sent whole. */
struct wire_piece {
	const u8 *at;
	u32 bytes;
	bool is_lent; /* the guest's memory, which stays where it is */
};

struct wire_piece wire_next_piece(const struct wire_outbox *outbox);

/* Nothing of it is sent any more. */
void wire_outbox_drop(struct wire_outbox *outbox);

void wire_put_u16(struct wire_writer *writer, u16 value);
void wire_put_u32(struct wire_writer *writer, u32 value);
void wire_put_u64(struct wire_writer *writer, u64 value);
void wire_put_bytes(struct wire_writer *writer, const void *from, u32 bytes);

/* The bytes of a guest's page, which it may be writing. */
void wire_put_page(struct wire_writer *writer, const void *page);

/*
 * That page, in place, behind everything that is put: not copied, and not
 * summed up. At most WIRE_LENT_MAX, in the order of the calls.
 */
void wire_lend_page(struct wire_writer *writer, const void *page);

/* Seven bits per byte, lowest first; the top bit says that more follow. */
#define WIRE_VARINT_MAX 10
void wire_put_varint(struct wire_writer *writer, u64 value);

/* A whole record with nothing but a session number, or a reason in words. */
void wire_send_u64(struct wire_outbox *outbox, enum wire_type type, u64 value);
void wire_send_text(struct wire_outbox *outbox, enum wire_type type,
		    const char *text);

/* --- Receiving ------------------------------------------------------------ */

struct wire_record {
	enum wire_type type;
	const u8 *payload;
	u32 bytes;      /* that the CRC is of */
	u32 lent_bytes; /* that follow them, as they came */
};

struct wire_inbox {
	u8 *room; /* WIRE_RECORD_BYTES */
	u32 filled;
	u32 sequence;        /* that is due */
	enum wire_side from; /* whose records these are */
	char why[WIRE_TEXT_BYTES];
};

enum wire_status {
	WIRE_NEEDS_MORE,
	WIRE_HAS_RECORD, /* call again with the rest after using it */
	WIRE_BROKEN, /* inbox->why says how; nothing after it can be trusted */
};

/*
 * Takes bytes up to the end of one record and moves *data and *bytes on. The
 * record lies in the inbox until the next call.
 */
enum wire_status wire_take(struct wire_inbox *inbox, const u8 **data,
			   u64 *bytes, struct wire_record *record);

/* Getting past the end gives zeroes and is remembered. */
struct wire_reader {
	const u8 *at;
	u32 left;
	bool is_short;
};

static inline struct wire_reader
wire_reader_of(const struct wire_record *record)
{
	return (struct wire_reader){record->payload, record->bytes, false};
}

u16 wire_get_u16(struct wire_reader *reader);
u32 wire_get_u32(struct wire_reader *reader);
u64 wire_get_u64(struct wire_reader *reader);
u64 wire_get_varint(struct wire_reader *reader);
/* In place; NULL when there are not that many. */
const u8 *wire_get_bytes(struct wire_reader *reader, u32 bytes);

/* All that was asked for was there, and nothing else is. */
static inline bool wire_is_done(const struct wire_reader *reader)
{
	return !reader->is_short && reader->left == 0;
}

/*
 * A peer's words for our console: its bytes as far as they are printable. At
 * least one byte of room.
 */
void wire_get_text(const struct wire_record *record, char *text,
		   u32 text_bytes);

#endif
