/* SPDX-License-Identifier: MIT */
/* Bytes over the link, checked and timed: see core/linktest.h. */
#include "core/linktest.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"
#include "core/console.h"
#include "core/links.h"
#include "core/linktest_bare.h"
#include "core/linktest_memory.h"
#include "core/machine.h"
#include "drivers/virtio_link.h"
#include "lib/log.h"
#include "lib/string.h"

#define STATUS_FAILED 125
#define PIECE_BYTES   (32 * KIB)
#define DONE          0x5a /* the last byte of each direction */

static struct {
	struct link *link;
	u64 to_send, sent; /* bytes of the test; then DONE */
	u64 to_get, got;
	bool done_sent, done_got;
	bool is_checked; /* else only counted: for speed */
	bool lends;
	u64 now_ns;         /* of the last look */
	u64 moved_ns;       /* when a byte last moved */
	u32 out_at, out_to; /* of `out`: still to be sent */
	u8 out[PIECE_BYTES], in[PIECE_BYTES], expected[PIECE_BYTES];
} test;

static NORETURN COLD void fail(const char *why)
{
	log_error("linktest: failed: %s, after %lu of %lu bytes sent, %lu of "
		  "%lu received",
		  why, test.sent, test.to_send, test.got, test.to_get);
	machine_leave(STATUS_FAILED);
}

/* Bytes `at` and on of the endless stream; whole words. */
static void make_bytes(u8 *bytes, u64 at, u32 count)
{
	for (u32 i = 0; i < count; i += 8) {
		u64 value = (at + i + 1) * 0x9e3779b97f4a7c15UL;

		value ^= value >> 29;
		memcpy(bytes + i, &value, sizeof(value));
	}
}

/* Word by word: what is compared here is part of what is measured. */
static bool is_same(const u8 *a, const u8 *b, u32 count)
{
	u32 i = 0;

	for (; i + 8 <= count; i += 8) {
		u64 words[2];

		memcpy(&words[0], a + i, 8);
		memcpy(&words[1], b + i, 8);
		if (words[0] != words[1])
			return false;
	}
	return memcmp(a + i, b + i, count - i) == 0;
}

/* Whole pieces, so that a word's bytes are never split between two. */
static bool refill(void)
{
	u64 left = test.to_send - test.sent;

	if (test.out_at < test.out_to)
		return true;
	test.out_at = 0;
	test.out_to = (u32)(left < PIECE_BYTES ? left : PIECE_BYTES);
	if (test.is_checked || !test.sent)
		make_bytes(test.out, test.sent, PIECE_BYTES);
	return test.out_to > 0;
}

static void send_some(void)
{
	static const u8 done = DONE;

	while (test.sent < test.to_send && refill()) {
		u32 left = test.out_to - test.out_at;
		const u8 *at = test.out + test.out_at;
		u32 taken = test.lends ? link_lend(test.link, at, left)
				       : link_send(test.link, at, left);

		if (!taken)
			return;
		test.out_at += taken;
		test.sent += taken;
		test.moved_ns = test.now_ns;
	}
	/* Only who has all from the other side lets it go. */
	if (!test.done_sent && test.got == test.to_get)
		test.done_sent = link_send(test.link, &done, 1) == 1;
}

/* The expected bytes of a whole piece are made at its first byte. */
static void receive_some(void)
{
	u32 at = (u32)(test.got % PIECE_BYTES), count;
	u64 left = test.to_get - test.got;
	u8 byte;

	if (!left) {
		if (!link_receive(test.link, &byte, 1))
			return;
		if (byte != DONE || test.done_got)
			fail("a byte too many");
		test.done_got = true;
		return;
	}
	count = PIECE_BYTES - at;
	count = link_receive(test.link, test.in,
			     (u32)(left < count ? left : count));
	if (!count)
		return;
	if (at == 0 && test.is_checked)
		make_bytes(test.expected, test.got, PIECE_BYTES);
	if (test.is_checked && !is_same(test.in, test.expected + at, count))
		fail("a byte is not the one that was sent");
	test.got += count;
	test.moved_ns = test.now_ns;
}

static void look(void)
{
	test.now_ns = tsc_now_ns();
	link_poll(test.link, test.now_ns);
}

static void wait_for_peer(void)
{
	link_connect(test.link);
	log_info("linktest: waits for the peer, link=%s", test.link->name);
	while (test.link->state == LINK_CONNECTING) {
		look();
		links_wait();
	}
	log_info("linktest: begins");
	console_flush();
	test.moved_ns = tsc_now_ns();
}

static bool is_over(void)
{
	return test.done_sent && test.done_got && link_is_drained(test.link) &&
	       link_has_returned(test.link);
}

static void move_all(u64 silence_ns)
{
	while (!is_over()) {
		look();
		send_some();
		receive_some();
		if (test.now_ns == test.moved_ns)
			insn_sti_nop_cli();
		else
			links_wait();
		/* The peer may leave as soon as it has our DONE. */
		if (test.link->state == LINK_LOST &&
		    !(test.done_sent && test.done_got))
			fail(test.link->why);
		if (test.now_ns - test.moved_ns > silence_ns)
			fail("no byte has moved for too long");
	}
}

static void leave_peer(void)
{
	u64 until = tsc_now_ns() + LINK_LINGER_NS;

	link_close(test.link);
	while (tsc_now_ns() < until) {
		look();
		links_wait();
	}
}

static void say_buffers(const struct virtio_counts *counts)
{
	log_info("linktest: %lu buffers of %lu parts, at most %u under way",
		 counts->buffers, counts->parts, counts->most_under_way);
}

static void run_link(const struct options *options)
{
	enum linktest_way way = options->linktest.way;
	u64 begun, us;

	test.is_checked = way == LINKTEST_BOTH;
	test.lends = way == LINKTEST_LEND;
	if (test.lends && !link_can_lend(test.link))
		fail("this link copies what it sends");
	test.to_send = way == LINKTEST_RECEIVE ? 0 : options->linktest.bytes;
	test.to_get = way == LINKTEST_SEND || way == LINKTEST_LEND
			  ? 0
			  : options->linktest.bytes;
	wait_for_peer();
	begun = tsc_now_ns();
	move_all(options->link.silence_seconds * 1000000000UL);
	us = (tsc_now_ns() - begun) / 1000;
	if (options->link.kind == LINK_KIND_VIRTIO)
		say_buffers(&links_virtio()->gather.counts);
	log_info("linktest: good: %lu bytes sent, %lu received, %lu us",
		 test.sent, test.got, us);
	leave_peer();
	machine_leave(0);
}

void linktest_run(const struct options *options)
{
	if (options->linktest.way == LINKTEST_MEMORY) {
		linktest_memory();
		machine_leave(0);
	}
	test.link = links_open(&options->link);
	if (!test.link)
		fail("there is no link; link=uart, net and virtio are known");
	switch (options->linktest.way) {
	case LINKTEST_BARE_SEND:
		linktest_bare_send(options);
		break;
	case LINKTEST_BARE_RECEIVE:
		linktest_bare_receive(options);
		break;
	case LINKTEST_NONE:
	case LINKTEST_MEMORY:
	case LINKTEST_BOTH:
	case LINKTEST_SEND:
	case LINKTEST_LEND:
	case LINKTEST_RECEIVE:
		run_link(options);
		break;
	}
	machine_leave(0);
}
