/* SPDX-License-Identifier: MIT */
/* UDP, IPv4 and ARP: frames as others write them, and what is not ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/net.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

static const u8 mac_a[6] = {0x52, 0x54, 0, 0x12, 0x34, 1};
static const u8 mac_b[6] = {0x52, 0x54, 0, 0x12, 0x34, 2};
#define IP_A 0x0a000001U
#define IP_B 0x0a000002U

static struct net a, b;
static u8 frame[1514];
static struct net_taken taken;

static void begin(void)
{
	net_init(&a, mac_a, IP_A, 0);
	net_init(&b, mac_b, IP_B, 0);
	memset(frame, 0, sizeof(frame));
}

/* As the controller does: adds what is there, and puts the rest in place. */
static void insert_sum(u32 from, u32 end, u32 at)
{
	u32 sum = 0;

	for (u32 i = from; i < end; i++)
		sum += (i - from) % 2 ? frame[i] : (u32)frame[i] << 8;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	frame[at] = (u8)(sum >> 8);
	frame[at + 1] = (u8)sum;
}

static u32 seal(u32 payload_bytes)
{
	u32 end = NET_HEAD_BYTES + payload_bytes;

	insert_sum(14, 34, 24);
	insert_sum(34, end, 40);
	return end;
}

/* A frame of A's to B or to all, with "umbra" in it. */
static u32 wrap(u32 to)
{
	assert_true(net_wrap(&a, to, 5, frame));
	for (u32 i = 0; i < 5; i++)
		frame[NET_HEAD_BYTES + i] = (u8) "umbra"[i];
	return seal(5);
}

static void address_is_asked_for_answered_and_used(void **state)
{
	u8 question[NET_ARP_BYTES];

	(void)state;
	begin();
	assert_false(net_wrap(&a, IP_B, 5, frame));
	net_ask(&a, IP_B, question);
	assert_int_equal(net_take(&b, question, sizeof(question), &taken),
			 NET_ANSWER);
	assert_int_equal(
	    net_take(&a, taken.answer, sizeof(taken.answer), &taken),
	    NET_NOTHING);
	assert_int_equal(net_take(&b, frame, wrap(IP_B), &taken), NET_PAYLOAD);
	assert_int_equal(taken.payload_bytes, 5);
	assert_memory_equal(taken.payload, "umbra", 5);
	assert_int_equal(taken.from, IP_A);
}

static void who_speaks_needs_not_be_asked(void **state)
{
	(void)state;
	begin();
	assert_int_equal(net_take(&b, frame, wrap(NET_TO_ALL), &taken),
			 NET_PAYLOAD);
	assert_true(net_wrap(&b, IP_A, 1, frame));
	assert_memory_equal(frame, mac_a, 6);
}

/* Written down by hand: RFC 791 and 768, checksums of another program. */
static void head_is_what_the_standards_say(void **state)
{
	static const u8 expected[NET_HEAD_BYTES] = {
	    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0x00, 0x12, 0x34,
	    0x01, 0x08, 0x00, 0x45, 0x00, 0x00, 0x21, 0x00, 0x00, 0x40, 0x00,
	    0x40, 0x11, 0x30, 0xcc, 0x0a, 0x00, 0x00, 0x01, 0xff, 0xff, 0xff,
	    0xff, 0x55, 0x4d, 0x55, 0x4d, 0x00, 0x0d, 0x12, 0x59};

	(void)state;
	begin();
	wrap(NET_TO_ALL);
	assert_memory_equal(frame, expected, sizeof(expected));
}

static void peers_behind_a_router_are_reached_through_it(void **state)
{
	u8 question[NET_ARP_BYTES];

	(void)state;
	begin();
	net_init(&a, mac_a, IP_A, IP_B); /* B is the router */
	net_ask(&a, 0x08080808, question);
	assert_int_equal(net_take(&b, question, sizeof(question), &taken),
			 NET_ANSWER);
	net_take(&a, taken.answer, sizeof(taken.answer), &taken);
	assert_true(net_wrap(&a, 0x08080808, 5, frame));
	assert_memory_equal(frame, mac_b, 6);
}

static void what_is_not_ours_is_nothing(void **state)
{
	/* Offset, xor. */
	static const struct {
		u32 at;
		u8 change;
	} harms[] = {
	    {0, 2},  {12, 1}, {14, 0x10}, {14, 1}, {17, 1}, {20, 0x20}, {21, 1},
	    {23, 1}, {24, 1}, {30, 1},    {33, 1}, {36, 1}, {38, 1},
	};

	(void)state;
	begin();
	for (u32 i = 0; i < ARRAY_COUNT(harms); i++) {
		u32 bytes = wrap(NET_TO_ALL);

		frame[harms[i].at] ^= harms[i].change;
		assert_int_equal(net_take(&b, frame, bytes, &taken),
				 NET_NOTHING);
	}
	for (u32 bytes = 0; bytes < NET_HEAD_BYTES + 5; bytes++) {
		wrap(NET_TO_ALL);
		assert_int_equal(net_take(&b, frame, bytes, &taken),
				 NET_NOTHING);
	}
}

static u32 wrap_any(struct random *dice, u32 bytes)
{
	assert_true(net_wrap(&a, NET_TO_ALL, bytes, frame));
	for (u32 i = 0; i < bytes; i++)
		frame[NET_HEAD_BYTES + i] = (u8)random_below(dice, 256);
	return seal(bytes);
}

/* Of every length, at every bit of UDP's head and its payload. */
static void what_is_damaged_is_nothing(void **state)
{
	struct random dice = random_from(1);

	(void)state;
	begin();
	for (u32 bytes = 0; bytes < sizeof(frame) - NET_HEAD_BYTES;
	     bytes += 1 + bytes / 8) {
		u32 end = wrap_any(&dice, bytes);

		assert_int_equal(net_take(&b, frame, end, &taken), NET_PAYLOAD);
		for (u32 bit = 34 * 8; bit < end * 8; bit++) {
			frame[bit / 8] ^= (u8)(1U << bit % 8);
			if (net_take(&b, frame, end, &taken) != NET_NOTHING)
				fail_msg("bit %u of %u bytes", bit, bytes);
			frame[bit / 8] ^= (u8)(1U << bit % 8);
		}
	}
}

/* Zero and all ones mean the same: a controller may insert either. */
static void sum_of_zero_is_a_sum(void **state)
{
	struct random dice = random_from(2);

	(void)state;
	begin();
	for (u32 i = 0; i < 1000000; i++) {
		u32 end = wrap_any(&dice, 2);

		assert_int_equal(net_take(&b, frame, end, &taken), NET_PAYLOAD);
		if (frame[40] || frame[41])
			continue;
		memset(frame + 40, 0xff, 2);
		assert_int_equal(net_take(&b, frame, end, &taken), NET_PAYLOAD);
		return;
	}
	fail_msg("never zero");
}

static void padding_is_not_payload(void **state)
{
	(void)state;
	begin();
	wrap(NET_TO_ALL);
	assert_int_equal(net_take(&b, frame, 60, &taken), NET_PAYLOAD);
	assert_int_equal(taken.payload_bytes, 5);
}

static void nobody_and_groups_are_no_neighbours(void **state)
{
	(void)state;
	begin();
	wrap(NET_TO_ALL);
	frame[6] |= 1; /* sent by a group */
	net_take(&b, frame, NET_HEAD_BYTES + 5, &taken);
	assert_false(net_wrap(&b, IP_A, 1, frame));
}

static void link_local_addresses_differ_and_are_allowed(void **state)
{
	(void)state;
	begin();
	net_init(&a, mac_a, 0, 0);
	net_init(&b, mac_b, 0, 0);
	assert_int_not_equal(a.ip, b.ip);
	for (u32 i = 0; i < 65536; i++) {
		const u8 mac[6] = {2, 0, 0, 0, (u8)(i >> 8), (u8)i};

		net_init(&a, mac, 0, 0);
		assert_int_equal(a.ip >> 16, 0xa9fe);
		assert_in_range(a.ip >> 8 & 0xff, 1, 254);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(address_is_asked_for_answered_and_used),
	    cmocka_unit_test(who_speaks_needs_not_be_asked),
	    cmocka_unit_test(head_is_what_the_standards_say),
	    cmocka_unit_test(peers_behind_a_router_are_reached_through_it),
	    cmocka_unit_test(what_is_not_ours_is_nothing),
	    cmocka_unit_test(what_is_damaged_is_nothing),
	    cmocka_unit_test(sum_of_zero_is_a_sum),
	    cmocka_unit_test(padding_is_not_payload),
	    cmocka_unit_test(nobody_and_groups_are_no_neighbours),
	    cmocka_unit_test(link_local_addresses_differ_and_are_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
