/* SPDX-License-Identifier: MIT */
/*
 * A stream with a hostile peer: frames with right checksums and any fields, raw
 * bytes, datagrams and stuffed bytes, while it sends and receives. Whatever
 * comes, its numbers stay in order, and an honest peer's answer still counts.
 */
#include <string.h>

#include "migrate/net.h"
#include "migrate/serial_frame.h"
#include "migrate/stream.h"
#include "tests/fuzz/fuzz.h"

static struct frame_port port;
static struct stream stream;
static u8 room[STREAM_ROOM_BYTES];
static u8 letter[STREAM_FRAME_MAX];
static u32 letter_bytes;
static u64 letter_from, now_ns;

static bool port_send(struct frame_port *p, const u8 *head,
		      const struct stream_frame *frame, u64 to)
{
	(void)p;
	(void)to;
	REQUIRE(frame->body_bytes <= STREAM_BODY_MAX && head);
	return now_ns % 5 != 0;
}

static bool port_has_room(struct frame_port *p)
{
	(void)p;
	return true;
}

static u32 port_receive(struct frame_port *p, const u8 **frame, u64 *from)
{
	u32 bytes = letter_bytes;

	(void)p;
	*frame = letter;
	*from = letter_from;
	letter_bytes = 0;
	return bytes;
}

static const struct frame_port_operations operations = {
    .has_room = port_has_room,
    .send = port_send,
    .receive = port_receive,
};

static void require_order(void)
{
	REQUIRE(stream.next - stream.acked <= STREAM_SLOTS);
	REQUIRE(stream.put - stream.acked <= STREAM_SLOTS);
	REQUIRE(stream.due - stream.taken <= STREAM_SLOTS);
	REQUIRE(stream.in_end - stream.taken <= STREAM_SLOTS);
	REQUIRE(stream.flying + stream.lost <= stream.next - stream.acked);
}

static u32 take(const u8 **data, size_t *left, u32 bytes)
{
	u32 value = 0;

	for (u32 i = 0; i < bytes && *left; i++, ++*data, --*left)
		value = value << 8 | **data;
	return value;
}

/* Near what the stream expects, so that it is not simply dropped. */
static void make_frame(const u8 **data, size_t *left)
{
	struct stream_frame frame = {
	    .kind = (enum stream_kind)(1 + take(data, left, 1) % 5),
	    .from = take(data, left, 1) % 8 ? stream.peer_id : 77,
	    .to = take(data, left, 1) % 8 ? stream.id : 0,
	    .number = stream.due + take(data, left, 1) - 20,
	    .due = stream.acked + take(data, left, 1) % 80 - 4,
	    .seen = (u64)take(data, left, 4) << 30 | take(data, left, 4),
	    .limit = stream.limit + take(data, left, 1) - 100,
	    .echo = (u16)(stream.ping - take(data, left, 1) % 2),
	};

	if (!frame.from)
		frame.from = 5;
	if (frame.kind == STREAM_DATA) {
		frame.body = letter + STREAM_HEAD_BYTES;
		frame.body_bytes = 1 + take(data, left, 2) % STREAM_BODY_MAX;
	}
	stream_frame_head(&frame, port.seal, letter);
	letter_bytes = STREAM_HEAD_BYTES + frame.body_bytes;
}

static void take_raw(const u8 *data, u32 bytes)
{
	static const u8 mac[NET_MAC_BYTES] = {2, 0, 0, 0, 0, 1};
	static struct serial_frame_reader reader;
	struct stream_frame frame;
	struct net_taken taken;
	struct net net;

	net_init(&net, mac, 0x0a000001, 0);
	if (net_take(&net, data, bytes, &taken) == NET_PAYLOAD)
		REQUIRE(taken.payload >= data &&
			taken.payload + taken.payload_bytes <= data + bytes);
	for (enum stream_seal seal = STREAM_SEAL_CRC; seal <= STREAM_SEAL_PORT;
	     seal++)
		if (stream_frame_parse(data, bytes, seal, &frame) == OK)
			REQUIRE(frame.body_bytes <= STREAM_BODY_MAX &&
				frame.body + frame.body_bytes <= data + bytes);
	while (bytes)
		REQUIRE(serial_frame_take(&reader, &data, &bytes) <=
			STREAM_FRAME_MAX);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	const struct stream_config config = {&port, room, 1000000000, 7};
	u8 buffer[3000] = {0};

	take_raw(data, (u32)size);
	port =
	    (struct frame_port){&operations, "fuzz", 200,
				size % 2 ? STREAM_SEAL_CRC : STREAM_SEAL_PORT};
	stream_init(&stream, &config);
	link_connect(&stream.link);
	for (u32 i = 0; size && i < 300; i++) {
		u32 what = take(&data, &size, 1);

		make_frame(&data, &size);
		letter_from = what % 16 == 0;
		now_ns += (what & 15) * 1000000UL;
		link_poll(&stream.link, now_ns);
		require_order();
		link_send(&stream.link, buffer, what * 8);
		link_receive(&stream.link, buffer, what * 5);
		require_order();
		if (stream.link.state == LINK_LOST)
			link_connect(&stream.link);
	}
	return 0;
}
