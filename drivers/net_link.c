/* SPDX-License-Identifier: MIT */
/* A stream in UDP datagrams: see drivers/net_link.h. */
#include "drivers/net_link.h"
#include "drivers/e1000.h"
#include "lib/string.h"

_Static_assert(NET_HEAD_BYTES + STREAM_FRAME_MAX == E1000_FRAME_BYTES,
	       "a stream's frame fills one of the network's");

static struct net_link *net_of(struct frame_port *port)
{
	return (struct net_link *)((u8 *)port -
				   offsetof(struct net_link, port));
}

/* Where a frame to everybody goes: to the peer, if it has an address. */
static u32 address_of(const struct net_link *link, u64 to)
{
	if (to != FRAME_TO_ALL)
		return (u32)to;
	return link->peer ? link->peer : NET_TO_ALL;
}

static bool net_has_room(struct frame_port *port)
{
	(void)port;
	return e1000_has_room();
}

/* Everybody: who has that address? */
static bool ask(const struct net_link *link, u32 ip)
{
	u8 *room = e1000_room();

	if (!room)
		return false;
	net_ask(&link->net, ip, room);
	e1000_send(NET_ARP_BYTES);
	return true;
}

/* What is not known is asked for, and sent again when it is missed. */
static bool net_send(struct frame_port *port, const u8 *head,
		     const struct stream_frame *frame, u64 to)
{
	struct net_link *link = net_of(port);
	u32 ip = address_of(link, to);
	u8 *room = e1000_room();

	if (!room)
		return false;
	if (!net_wrap(&link->net, ip, STREAM_HEAD_BYTES + frame->body_bytes,
		      room))
		return ask(link, ip);
	memcpy(room + NET_HEAD_BYTES, head, STREAM_HEAD_BYTES);
	e1000_send_udp(NET_HEAD_BYTES + STREAM_HEAD_BYTES, frame->body,
		       frame->body_bytes);
	return true;
}

/* Lost if there is no room: the question comes again. */
static void answer(const u8 frame[NET_ARP_BYTES])
{
	u8 *room = e1000_room();

	if (!room)
		return;
	memcpy(room, frame, NET_ARP_BYTES);
	e1000_send(NET_ARP_BYTES);
}

static u32 net_receive(struct frame_port *port, const u8 **frame, u64 *from)
{
	struct net_link *link = net_of(port);
	struct net_taken taken;
	const u8 *bytes;
	u32 count;

	while ((count = e1000_receive(&bytes)) > 0) {
		switch (net_take(&link->net, bytes, count, &taken)) {
		case NET_PAYLOAD:
			if (link->peer && taken.from != link->peer)
				break;
			*frame = taken.payload;
			*from = taken.from;
			return taken.payload_bytes;
		case NET_ANSWER:
			answer(taken.answer);
			break;
		case NET_NOTHING:
			break;
		}
	}
	return 0;
}

static u32 net_keep(struct frame_port *port)
{
	(void)port;
	return e1000_keep();
}

static void net_release(struct frame_port *port, u32 kept)
{
	(void)port;
	e1000_release(kept);
}

_Static_assert(STREAM_SLOTS <= E1000_KEPT_MAX, "a stream's frames may stay");

static const struct frame_port_operations operations = {
    .has_room = net_has_room,
    .send = net_send,
    .receive = net_receive,
    .keep = net_keep,
    .release = net_release,
};

/*
 * Tells everybody whose address this is (RFC 5227, "Announcing an Address").
 * bxhub of Bochs 2.7 forwards nothing to a machine that has never spoken to
 * everybody, and a stream that already knows its peer does not.
 */
static void announce(const struct net_link *link)
{
	(void)ask(link, link->net.ip);
}

enum err net_link_init(struct net_link *link,
		       const struct net_link_config *config)
{
	enum err err = e1000_init();
	struct stream_config stream = {
	    .port = &link->port,
	    .room = link->room,
	    .silence_ns = config->silence_ns,
	    .entropy = config->entropy,
	};

	if (err != OK)
		return err;
	net_init(&link->net, e1000_mac(), config->ip, config->gateway);
	/* Two machines from one image differ at least in this. */
	for (u32 i = 0; i < NET_MAC_BYTES; i++)
		stream.entropy = stream.entropy * 257 + e1000_mac()[i];
	link->peer = config->peer;
	link->port = (struct frame_port){&operations, "net", STREAM_BODY_MAX,
					 STREAM_SEAL_PORT};
	stream_init(&link->stream, &stream);
	announce(link);
	return OK;
}
