/* SPDX-License-Identifier: MIT */
/* UDP, IPv4, ARP: see migrate/net.h. RFC 768, 791, 826, 3927. */
#include "migrate/net.h"
#include "lib/string.h"

#define TYPE_IPV4       0x0800
#define TYPE_ARP        0x0806
#define ARP_HARDWARE    1 /* Ethernet */
#define ARP_REQUEST     1
#define ARP_REPLY       2
#define IP_VERSION_4    4
#define IP_HEAD_WORDS   5
#define IP_DO_NOT_SPLIT 0x4000
#define IP_IS_SPLIT     0x3fff /* more follow, or not the first */
#define IP_TTL          64
#define IP_UDP          17
#define LINK_LOCAL      0xa9fe0000U /* 169.254.0.0/16 */

#define ETHERNET_BYTES  14U
#define IP_BYTES        20U
#define UDP_BYTES       8U
#define ARP_BODY_BYTES  28U

_Static_assert(ETHERNET_BYTES + IP_BYTES + UDP_BYTES == NET_HEAD_BYTES, "");
_Static_assert(ETHERNET_BYTES + ARP_BODY_BYTES == NET_ARP_BYTES, "");

static const u8 to_all[NET_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* --- Big-endian fields ---------------------------------------------------- */

static u32 get16(const u8 *at)
{
	return (u32)at[0] << 8 | at[1];
}

static u32 get32(const u8 *at)
{
	return get16(at) << 16 | get16(at + 2);
}

static void put16(u8 *at, u32 value)
{
	at[0] = (u8)(value >> 8);
	at[1] = (u8)value;
}

static void put32(u8 *at, u32 value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

/* --- Checksums ------------------------------------------------------------ */

#define SUM_BYTES (37 * 8U) /* five times: what UDP carries of a whole frame */

struct summed {
	u8 bytes[SUM_BYTES];
};

struct word {
	u64 value;
} PACKED;

static inline u64 add_word(u64 sum, const u8 *at)
{
	__asm__("addq %1, %0\n\t"
		"adcq $0, %0"
		: "+r"(sum)
		: "m"(*(const struct word *)(const void *)at)
		: "cc");
	return sum;
}

/* So many words and their carries: as many instructions and one. */
static inline u64 add_words(u64 sum, const u8 *at)
{
	__asm__("addq (%1), %0\n\t"
		".irp m, 0, 9, 18, 27\n\t"
		".irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9\n\t"
		"adcq 8 * (\\m + \\n)(%1), %0\n\t"
		".endr\n\t"
		".endr\n\t"
		"adcq $0, %0"
		: "+r"(sum)
		: "r"(at), "m"(*(const struct summed *)at)
		: "cc");
	return sum;
}

/*
 * RFC 1071: words of any width, in the order that they have in memory. An odd
 * last byte counts as if a zero followed it.
 */
static u64 sum_of(u64 sum, const u8 *at, u32 bytes)
{
	u8 last[8] = {0};

	for (; bytes >= SUM_BYTES; bytes -= SUM_BYTES, at += (u64)SUM_BYTES)
		sum = add_words(sum, at);
	for (; bytes >= 8; bytes -= 8, at += 8)
		sum = add_word(sum, at);
	if (!bytes)
		return sum;
	memcpy(last, at, bytes);
	return add_word(sum, last);
}

/* In 16 bits; 0 and 0xffff mean the same. */
static u16 folded(u64 sum)
{
	return (u16)(sum % 0xffff);
}

/* Of something that has its own checksum in it. */
static bool is_right(u64 sum)
{
	return !folded(sum);
}

static u64 sum_of_ip(const u8 *ip, u32 bytes)
{
	u64 sum = 0;

	for (u32 i = 0; i < bytes; i += 4) {
		u32 word;

		memcpy(&word, ip + i, sizeof(word));
		sum += word;
	}
	return sum;
}

/* RFC 768: as if addresses, protocol and length stood before UDP. */
static u64 pseudo_head(const u8 *ip, u32 udp_bytes)
{
	u32 from, to;
	u16 rest[2];

	memcpy(&from, ip + 12, sizeof(from));
	memcpy(&to, ip + 16, sizeof(to));
	put16((u8 *)&rest[0], IP_UDP);
	put16((u8 *)&rest[1], udp_bytes);
	return (u64)from + to + rest[0] + rest[1];
}

/* --- Neighbours ----------------------------------------------------------- */

void net_init(struct net *net, const u8 mac[NET_MAC_BYTES], u32 ip, u32 gateway)
{
	memset(net, 0, sizeof(*net));
	memcpy(net->mac, mac, NET_MAC_BYTES);
	net->gateway = gateway;
	/* The first and last 256 addresses are reserved (RFC 3927). */
	net->ip = ip ? ip : LINK_LOCAL | (1 + (u32)mac[4] % 254) << 8 | mac[5];
}

static const u8 *mac_of(const struct net *net, u32 ip)
{
	if (ip == NET_TO_ALL)
		return to_all;
	for (u32 i = 0; i < NET_KNOWN; i++)
		if (net->known[i].ip == ip)
			return net->known[i].mac;
	return NULL;
}

/* Neither nobody nor a group can be a neighbour. */
static void learn(struct net *net, u32 ip, const u8 *mac)
{
	struct net_neighbour *at = NULL;

	if (ip == 0 || ip == NET_TO_ALL || ip == net->ip || mac[0] & 1)
		return;
	for (u32 i = 0; i < NET_KNOWN && !at; i++)
		if (net->known[i].ip == ip)
			at = &net->known[i];
	if (!at)
		at = &net->known[net->next_known++ % NET_KNOWN];
	at->ip = ip;
	memcpy(at->mac, mac, NET_MAC_BYTES);
}

/* --- Sending -------------------------------------------------------------- */

static void put_ethernet(const struct net *net, const u8 *to, u32 type,
			 u8 *frame)
{
	memcpy(frame, to, NET_MAC_BYTES);
	memcpy(frame + 6, net->mac, NET_MAC_BYTES);
	put16(frame + 12, type);
}

static void put_arp(const struct net *net, u32 operation,
		    const struct net_neighbour *to, u8 *frame)
{
	u8 *arp = frame + ETHERNET_BYTES;

	put16(arp, ARP_HARDWARE);
	put16(arp + 2, TYPE_IPV4);
	arp[4] = NET_MAC_BYTES;
	arp[5] = 4;
	put16(arp + 6, operation);
	memcpy(arp + 8, net->mac, NET_MAC_BYTES);
	put32(arp + 14, net->ip);
	memcpy(arp + 18, to->mac, NET_MAC_BYTES);
	put32(arp + 24, to->ip);
}

void net_ask(const struct net *net, u32 to, u8 frame[NET_ARP_BYTES])
{
	const struct net_neighbour wanted = {
	    .ip = net->gateway ? net->gateway : to,
	};

	put_ethernet(net, to_all, TYPE_ARP, frame);
	put_arp(net, ARP_REQUEST, &wanted, frame);
}

bool net_wrap(struct net *net, u32 to, u32 payload_bytes,
	      u8 head[NET_HEAD_BYTES])
{
	u8 *ip = head + ETHERNET_BYTES, *udp = ip + IP_BYTES;
	const u8 *mac = mac_of(net, to);
	u16 sum;

	if (!mac && net->gateway)
		mac = mac_of(net, net->gateway);
	if (!mac)
		return false;
	put_ethernet(net, mac, TYPE_IPV4, head);
	memset(ip, 0, IP_BYTES);
	ip[0] = IP_VERSION_4 << 4 | IP_HEAD_WORDS;
	put16(ip + 2, IP_BYTES + UDP_BYTES + payload_bytes);
	put16(ip + 4, net->next_id++);
	put16(ip + 6, IP_DO_NOT_SPLIT);
	ip[8] = IP_TTL;
	ip[9] = IP_UDP;
	put32(ip + 12, net->ip);
	put32(ip + 16, to);
	put16(udp, NET_PORT);
	put16(udp + 2, NET_PORT);
	put16(udp + 4, UDP_BYTES + payload_bytes);
	sum = folded(pseudo_head(ip, UDP_BYTES + payload_bytes));
	memcpy(udp + 6, &sum, sizeof(sum));
	return true;
}

/* --- Receiving ------------------------------------------------------------ */

static enum net_news take_arp(struct net *net, const u8 *arp, u32 bytes,
			      struct net_taken *taken)
{
	struct net_neighbour sender;

	if (bytes < ARP_BODY_BYTES || get16(arp) != ARP_HARDWARE ||
	    get16(arp + 2) != TYPE_IPV4 || arp[4] != NET_MAC_BYTES ||
	    arp[5] != 4 || get32(arp + 24) != net->ip)
		return NET_NOTHING;
	memcpy(sender.mac, arp + 8, NET_MAC_BYTES);
	sender.ip = get32(arp + 14);
	learn(net, sender.ip, sender.mac);
	if (get16(arp + 6) != ARP_REQUEST)
		return NET_NOTHING;
	put_ethernet(net, sender.mac, TYPE_ARP, taken->answer);
	put_arp(net, ARP_REPLY, &sender, taken->answer);
	return NET_ANSWER;
}

/* The payload of a sound datagram for our port, or NULL. */
static const u8 *find_payload(const u8 *ip, const u8 *udp, u32 bytes,
			      u32 *payload_bytes)
{
	u32 length;

	if (bytes < UDP_BYTES)
		return NULL;
	length = get16(udp + 4);
	if (get16(udp + 2) != NET_PORT || length < UDP_BYTES ||
	    length > bytes ||
	    !is_right(sum_of(pseudo_head(ip, length), udp, length)))
		return NULL;
	*payload_bytes = length - UDP_BYTES;
	return udp + UDP_BYTES;
}

static enum net_news take_ip(struct net *net, const u8 *frame, u32 bytes,
			     struct net_taken *taken)
{
	const u8 *ip = frame + ETHERNET_BYTES;
	u32 head, total, to;

	if (bytes < IP_BYTES)
		return NET_NOTHING;
	head = (ip[0] & 15U) * 4;
	total = get16(ip + 2);
	to = get32(ip + 16);
	if (ip[0] >> 4 != IP_VERSION_4 || head < IP_BYTES || total < head ||
	    total > bytes || get16(ip + 6) & IP_IS_SPLIT || ip[9] != IP_UDP ||
	    (to != net->ip && to != NET_TO_ALL) ||
	    !is_right(sum_of_ip(ip, head)))
		return NET_NOTHING;
	taken->payload =
	    find_payload(ip, ip + head, total - head, &taken->payload_bytes);
	if (!taken->payload)
		return NET_NOTHING;
	taken->from = get32(ip + 12);
	learn(net, taken->from, frame + 6);
	return NET_PAYLOAD;
}

enum net_news net_take(struct net *net, const u8 *frame, u32 bytes,
		       struct net_taken *taken)
{
	if (bytes < ETHERNET_BYTES ||
	    (memcmp(frame, net->mac, NET_MAC_BYTES) != 0 &&
	     memcmp(frame, to_all, NET_MAC_BYTES) != 0))
		return NET_NOTHING;
	switch (get16(frame + 12)) {
	case TYPE_ARP:
		return take_arp(net, frame + ETHERNET_BYTES,
				bytes - ETHERNET_BYTES, taken);
	case TYPE_IPV4:
		return take_ip(net, frame, bytes - ETHERNET_BYTES, taken);
	default:
		return NET_NOTHING;
	}
}
