/* SPDX-License-Identifier: MIT */
/*
 * As much of a network as a link needs: UDP in IPv4 on Ethernet, and ARP.
 *
 *	| Ethernet 14 | IPv4 20 | UDP 8 | payload |
 *
 * The UDP checksum is always there and always checked: what carries frames of a
 * stream vouches for their bodies.
 *
 * A station is an IPv4 address, as a number (10.0.0.1 is 0x0a000001). Where
 * frames to it go is learned from ARP and from the frames that come from it,
 * so that a peer behind a router is answered through the router.
 *
 * Everything that arrives is foreign. What is not for this machine, is cut off
 * or is of another protocol is nothing; fragments are not put together.
 */
#ifndef MIGRATE_NET_H
#define MIGRATE_NET_H

#include "lib/types.h"

#define NET_PORT       21837 /* UDP, on both sides: "UM" */
#define NET_HEAD_BYTES 42U
#define NET_ARP_BYTES  42U
#define NET_MAC_BYTES  6U
#define NET_KNOWN      8U
#define NET_TO_ALL     0xffffffffU

struct net_neighbour {
	u32 ip; /* 0: free */
	u8 mac[NET_MAC_BYTES];
};

struct net {
	u8 mac[NET_MAC_BYTES];
	u32 ip;
	u32 gateway; /* 0: everybody is on this network */
	u16 next_id;
	u32 next_known; /* the entry that is overwritten next */
	struct net_neighbour known[NET_KNOWN];
};

/* `ip` 0: a link-local address (169.254.x.y) made of the MAC. */
void net_init(struct net *net, const u8 mac[NET_MAC_BYTES], u32 ip,
	      u32 gateway);

/*
 * Writes what stands before a payload of that many bytes. Both checksums are
 * left to the controller (e1000_send_udp): IPv4's is 0, and UDP's is what it
 * begins with, the sum of the pseudo head. False: where frames to `to` go is
 * not known; net_ask then makes the frame that asks for it.
 */
bool net_wrap(struct net *net, u32 to, u32 payload_bytes,
	      u8 head[NET_HEAD_BYTES]);
void net_ask(const struct net *net, u32 to, u8 frame[NET_ARP_BYTES]);

enum net_news {
	NET_NOTHING,
	NET_PAYLOAD,
	NET_ANSWER, /* an ARP frame is to be sent */
};

struct net_taken {
	const u8 *payload; /* where it lies in the frame */
	u32 payload_bytes;
	u32 from;
	u8 answer[NET_ARP_BYTES];
};

enum net_news net_take(struct net *net, const u8 *frame, u32 bytes,
		       struct net_taken *taken);

#endif
