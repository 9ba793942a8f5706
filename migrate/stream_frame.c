/* SPDX-License-Identifier: MIT */
/* Frames of a stream as bytes: see migrate/stream_frame.h. */
#include "migrate/stream_frame.h"
#include "lib/crc32c.h"
#include "lib/string.h"

#define CRC_BYTES 4U

/* As it lies on the wire. */
struct head {
	u32 crc;
	u16 magic;
	u8 version, kind;
	u32 from, to;
	u32 number, due;
	u64 seen;
	u32 limit;
	u16 length, echo;
};

_Static_assert(sizeof(struct head) == STREAM_HEAD_BYTES, "no padding");
_Static_assert(offsetof(struct head, seen) == 24, "as drawn");

static u32 crc_of(enum stream_seal seal, const u8 *head, const u8 *body,
		  u32 body_bytes)
{
	u32 crc;

	if (seal == STREAM_SEAL_PORT)
		return 0;
	crc = crc32c(0, head + CRC_BYTES, STREAM_HEAD_BYTES - CRC_BYTES);
	return crc32c(crc, body, body_bytes);
}

void stream_frame_head(const struct stream_frame *frame, enum stream_seal seal,
		       u8 head[STREAM_HEAD_BYTES])
{
	struct head h = {
	    .magic = STREAM_MAGIC,
	    .version = STREAM_VERSION,
	    .kind = (u8)frame->kind,
	    .from = frame->from,
	    .to = frame->to,
	    .number = frame->number,
	    .due = frame->due,
	    .seen = frame->seen,
	    .limit = frame->limit,
	    .length = (u16)frame->body_bytes,
	    .echo = frame->echo,
	};

	memcpy(head, &h, sizeof(h));
	h.crc = crc_of(seal, head, frame->body, frame->body_bytes);
	memcpy(head, &h.crc, sizeof(h.crc));
}

static bool is_sound(const struct head *h, u32 count)
{
	return h->kind >= STREAM_HELLO && h->kind < STREAM_KINDS &&
	       h->from != STREAM_NOBODY && h->length <= STREAM_BODY_MAX &&
	       count >= STREAM_HEAD_BYTES + h->length &&
	       (h->kind == STREAM_DATA) == (h->length > 0);
}

/* Bytes past the frame are a network's padding. */
enum err stream_frame_parse(const u8 *bytes, u32 count, enum stream_seal seal,
			    struct stream_frame *frame)
{
	struct head h;

	if (count < STREAM_HEAD_BYTES)
		return ERR_BAD_FORMAT;
	memcpy(&h, bytes, sizeof(h));
	if (h.magic != STREAM_MAGIC)
		return ERR_BAD_FORMAT;
	if (h.version != STREAM_VERSION)
		return ERR_UNSUPPORTED;
	if (!is_sound(&h, count) ||
	    crc_of(seal, bytes, bytes + STREAM_HEAD_BYTES, h.length) != h.crc)
		return ERR_BAD_FORMAT;
	*frame = (struct stream_frame){
	    .kind = (enum stream_kind)h.kind,
	    .from = h.from,
	    .to = h.to,
	    .number = h.number,
	    .due = h.due,
	    .seen = h.seen,
	    .limit = h.limit,
	    .echo = h.echo,
	    .body = bytes + STREAM_HEAD_BYTES,
	    .body_bytes = h.length,
	};
	return OK;
}
