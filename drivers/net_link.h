/* SPDX-License-Identifier: MIT */
/*
 * The link over a network: a stream (migrate/stream.h) in UDP datagrams
 * (migrate/net.h) through the first Intel controller (drivers/e1000.h).
 *
 * Without a peer's address everybody on the segment is asked, and the first
 * Umbra that answers is the peer.
 */
#ifndef DRIVERS_NET_LINK_H
#define DRIVERS_NET_LINK_H

#include "migrate/net.h"
#include "migrate/stream.h"

struct net_link_config {
	u32 ip, peer, gateway; /* 0: made up, whoever answers, none */
	u64 silence_ns;
	u64 entropy;
};

struct net_link {
	struct stream stream;
	struct frame_port port;
	struct net net;
	u32 peer;
	u8 room[STREAM_OUT_BYTES]; /* the controller keeps what came */
};

/* As e1000_init. */
MUST_CHECK enum err net_link_init(struct net_link *link,
				  const struct net_link_config *config);

#endif
