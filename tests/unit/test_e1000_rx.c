/* SPDX-License-Identifier: MIT */
/*
 * drivers/e1000_rx: frames that are kept stay as they came, and stop no other,
 * above all not the one that a stream waits for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/e1000_rx.h"
#include "migrate/stream.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

#define RING         E1000_RX_RING
#define BUFFER_BYTES E1000_RX_BUFFER_BYTES
#define KEPT_MAX     E1000_KEPT_MAX
#define BUFFERS      (RING + KEPT_MAX)
#define RING_AT      0UL
#define BUFFERS_AT   (1 * MIB)
#define OTHERS_AT    (8 * MIB)
#define FRAME_BYTES  200U /* those whose bytes are looked at */

static struct e1000_rx rx;
static volatile struct e1000_rx_descriptor *ring;
static volatile u32 tail;

/* --- The controller ------------------------------------------------------- */

static u32 head;

static int begin(void **state)
{
	(void)state;
	ring = (volatile void *)(phys_memory + RING_AT);
	memset(phys_memory + RING_AT, 0xff, RING * sizeof(*ring));
	head = 0;
	tail = RING - 1;
	e1000_rx_begin(&rx, ring, &tail, phys_memory + BUFFERS_AT,
		       phys_memory + OTHERS_AT);
	return 0;
}

/* The next descriptor is filled; false: there is none, the frame is lost. */
static bool fill(const void *bytes, u32 count, u8 status, u8 errors)
{
	volatile struct e1000_rx_descriptor *at = &ring[head];

	if (head == tail)
		return false;
	assert_int_equal(at->status, 0);
	memcpy(phys_ptr(hpa(at->address)), bytes, count);
	at->length = (u16)count;
	at->errors = errors;
	at->status = status;
	head = (u32)((head + 1) % RING);
	return true;
}

static bool arrives(const void *bytes, u32 count)
{
	return fill(bytes, count, E1000_RX_DONE | E1000_RX_END_OF_PACKET, 0);
}

/* --- Frames that are numbers ---------------------------------------------- */

static bool number_arrives(u32 number)
{
	u32 frame[FRAME_BYTES / 4];

	for (u32 i = 0; i < FRAME_BYTES / 4; i++)
		frame[i] = number;
	return arrives(frame, FRAME_BYTES);
}

static void assert_number(const u8 *frame, u32 number)
{
	for (u32 i = 0; i < FRAME_BYTES; i += 4)
		assert_memory_equal(frame + i, &number, 4);
}

static const u8 *receive(u32 number)
{
	const u8 *frame;

	assert_int_equal(e1000_rx_receive(&rx, &frame), FRAME_BYTES);
	assert_number(frame, number);
	return frame;
}

static void receive_nothing(void)
{
	const u8 *frame;

	assert_int_equal(e1000_rx_receive(&rx, &frame), 0);
}

static void frame_lies_there_until_the_next_call(void **state)
{
	u32 sent = 0;

	(void)state;
	for (u32 got = 0; got < 3 * RING; got++) {
		const u8 *frame;

		while (number_arrives(sent))
			sent++;
		frame = receive(got);
		while (number_arrives(sent))
			sent++;
		assert_number(frame, got);
	}
	/* Most of the ring is the controller's at any time. */
	assert_true(sent > 3 * RING + RING * 7 / 8);
}

static void damaged_frames_and_parts_are_passed_over(void **state)
{
	static const u8 bytes[4096];

	(void)state;
	assert_true(fill(bytes, 60, E1000_RX_DONE, 0));
	assert_true(fill(bytes, 60, E1000_RX_DONE | E1000_RX_END_OF_PACKET, 1));
	assert_true(arrives(bytes, 0));
	assert_true(arrives(bytes, BUFFER_BYTES + 1));
	assert_true(number_arrives(7));
	receive(7);
	receive_nothing();
	for (u32 i = 0; i < 10 * RING; i++) {
		assert_true(fill(bytes, 60, E1000_RX_DONE, 0));
		receive_nothing();
	}
}

static void others_pass_while_as_many_are_kept_as_may_be(void **state)
{
	const u8 *frames[KEPT_MAX];
	u32 kept[KEPT_MAX], number = 0;

	(void)state;
	for (; number < KEPT_MAX; number++) {
		assert_true(number_arrives(number));
		frames[number] = receive(number);
		kept[number] = e1000_rx_keep(&rx);
	}
	for (; number < 10 * RING; number++) {
		assert_true(number_arrives(number));
		receive(number);
	}
	for (u32 i = 0; i < KEPT_MAX; i++) {
		assert_number(frames[i], i);
		e1000_rx_release(&rx, kept[i]);
	}
}

/* --- Any order ------------------------------------------------------------ */

struct kept {
	const u8 *frame;
	u32 number, kept;
};

struct walk {
	struct random dice;
	u32 sent, got;
	const u8 *last; /* or NULL: has been kept */
	struct kept kept[KEPT_MAX];
	u32 count;
};

static void keep_last(struct walk *walk)
{
	if (!walk->last || walk->count == KEPT_MAX)
		return;
	walk->kept[walk->count++] =
	    (struct kept){walk->last, walk->got - 1, e1000_rx_keep(&rx)};
	walk->last = NULL;
}

static void release_one(struct walk *walk)
{
	struct kept *kept = &walk->kept[random_below(&walk->dice, walk->count)];

	assert_number(kept->frame, kept->number);
	e1000_rx_release(&rx, kept->kept);
	*kept = walk->kept[--walk->count];
}

static void step(struct walk *walk)
{
	switch (random_below(&walk->dice, 5)) {
	case 0:
	case 1:
		for (u64 i = random_below(&walk->dice, 40); i; i--)
			walk->sent += number_arrives(walk->sent);
		break;
	case 2:
		for (u64 i = random_below(&walk->dice, 40); i; i--) {
			if (walk->got == walk->sent)
				break;
			walk->last = receive(walk->got++);
			if (i % 2)
				keep_last(walk);
		}
		break;
	case 3:
		keep_last(walk);
		break;
	default:
		for (u64 i = random_below(&walk->dice, 20); i; i--)
			if (walk->count)
				release_one(walk);
		break;
	}
	if (walk->last)
		assert_number(walk->last, walk->got - 1);
}

static u64 number_of(u64 address)
{
	return address >= OTHERS_AT
		   ? RING + (address - OTHERS_AT) / BUFFER_BYTES
		   : (address - BUFFERS_AT) / BUFFER_BYTES;
}

/* Each buffer is somewhere, so that none is in two places. */
static void assert_all_buffers(void)
{
	bool is_there[BUFFERS] = {false};

	for (u32 i = 0; i < RING; i++)
		is_there[number_of(ring[i].address)] = true;
	for (u32 i = 0; i < KEPT_MAX; i++)
		is_there[number_of(hpa_raw(phys_of(rx.others[i])))] = true;
	for (u32 i = 0; i < BUFFERS; i++)
		assert_true(is_there[i]);
}

static void random_walk(u64 seed)
{
	struct walk walk = {.dice = random_from(seed)};

	begin(NULL);
	for (u32 i = 0; i < 3000; i++)
		step(&walk);
	assert_true(walk.got > 10 * RING);
	assert_all_buffers();
	while (walk.count)
		release_one(&walk);
}

static void frames_are_kept_and_released_in_any_order(void **state)
{
	(void)state;
	for_seeds(20, random_walk);
}

/* --- What the user may not do --------------------------------------------- */

static void keep_one_too_many(void)
{
	for (u32 i = 0; i <= KEPT_MAX; i++) {
		number_arrives(i);
		receive(i);
		e1000_rx_keep(&rx);
	}
}

static void keep_twice(void)
{
	number_arrives(0);
	receive(0);
	e1000_rx_keep(&rx);
	e1000_rx_keep(&rx);
}

/* Its descriptor may be the controller's again. */
static void keep_one_of_before(void)
{
	number_arrives(0);
	receive(0);
	receive_nothing();
	e1000_rx_keep(&rx);
}

static void release_twice(void)
{
	u32 kept;

	number_arrives(0);
	receive(0);
	kept = e1000_rx_keep(&rx);
	e1000_rx_release(&rx, kept);
	e1000_rx_release(&rx, kept);
}

static void release_what_cannot_be(void)
{
	e1000_rx_release(&rx, KEPT_MAX);
}

static void users_faults_are_noticed(void **state)
{
	(void)state;
	assert_true(fails_check(keep_one_too_many));
	assert_true(fails_check(keep_twice));
	assert_true(fails_check(keep_one_of_before));
	assert_true(fails_check(release_twice));
	assert_true(fails_check(release_what_cannot_be));
}

/* --- A stream ------------------------------------------------------------- */

#define PEER       77U
#define BODY_BYTES 100U

static struct stream stream;
static u8 room[STREAM_OUT_BYTES];
static u64 now_ns;

static bool port_has_room(struct frame_port *port)
{
	(void)port;
	return true;
}

static bool port_send(struct frame_port *port, const u8 *bytes,
		      const struct stream_frame *frame, u64 to)
{
	(void)port;
	(void)bytes;
	(void)frame;
	(void)to;
	return true;
}

static u32 port_receive(struct frame_port *port, const u8 **frame, u64 *from)
{
	(void)port;
	*from = 1;
	return e1000_rx_receive(&rx, frame);
}

static u32 port_keep(struct frame_port *port)
{
	(void)port;
	return e1000_rx_keep(&rx);
}

static void port_release(struct frame_port *port, u32 kept)
{
	(void)port;
	e1000_rx_release(&rx, kept);
}

static const struct frame_port_operations operations = {
    .has_room = port_has_room,
    .send = port_send,
    .receive = port_receive,
    .keep = port_keep,
    .release = port_release,
};

static void poll_once(void)
{
	now_ns += 100000;
	link_poll(&stream.link, now_ns);
}

static void peer_says(enum stream_kind kind, u32 number)
{
	u8 bytes[STREAM_HEAD_BYTES + BODY_BYTES];
	struct stream_frame frame = {
	    .kind = kind,
	    .from = PEER,
	    .to = stream.id,
	    .number = number,
	    .limit = STREAM_SLOTS,
	    .body = bytes + STREAM_HEAD_BYTES,
	    .body_bytes = kind == STREAM_DATA ? BODY_BYTES : 0,
	};

	memset(bytes + STREAM_HEAD_BYTES, (u8)number + 1, BODY_BYTES);
	stream_frame_head(&frame, STREAM_SEAL_PORT, bytes);
	assert_true(arrives(bytes, STREAM_HEAD_BYTES + frame.body_bytes));
	poll_once();
}

static void begin_stream(void)
{
	static struct frame_port port = {&operations, "test", BODY_BYTES,
					 STREAM_SEAL_PORT};
	const struct stream_config config = {
	    .port = &port,
	    .room = room,
	    .silence_ns = 1000000000UL,
	    .entropy = 5,
	};

	now_ns = 1;
	stream_init(&stream, &config);
	link_connect(&stream.link);
	poll_once();
	peer_says(STREAM_HELLO, 0);
	assert_int_equal(stream.link.state, LINK_UP);
}

/* All but the first of as many as the peer may send, and others' frames. */
static void missing_frame_gets_in_whatever_comes_before_it(void **state)
{
	u8 bytes[BODY_BYTES], expected[BODY_BYTES];

	(void)state;
	begin_stream();
	for (u32 number = 1; number < STREAM_SLOTS; number++)
		peer_says(STREAM_DATA, number);
	for (u32 i = 0; i < 4 * RING; i++) {
		assert_true(number_arrives(i));
		poll_once();
	}
	assert_int_equal(stream.counts.bad, 4 * RING);
	assert_int_equal(link_receive(&stream.link, bytes, BODY_BYTES), 0);
	peer_says(STREAM_DATA, 0);
	for (u32 number = 0; number < STREAM_SLOTS; number++) {
		memset(expected, (u8)number + 1, BODY_BYTES);
		assert_int_equal(link_receive(&stream.link, bytes, BODY_BYTES),
				 BODY_BYTES);
		assert_memory_equal(bytes, expected, BODY_BYTES);
	}
	assert_int_equal(rx.spares, ~0UL);
	assert_int_equal(stream.link.state, LINK_UP);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
	const struct CMUnitTest tests[] = {
	    TEST(frame_lies_there_until_the_next_call),
	    TEST(damaged_frames_and_parts_are_passed_over),
	    TEST(others_pass_while_as_many_are_kept_as_may_be),
	    TEST(frames_are_kept_and_released_in_any_order),
	    TEST(users_faults_are_noticed),
	    TEST(missing_frame_gets_in_whatever_comes_before_it),
	};

	return cmocka_run_group_tests_name("e1000_rx", tests, NULL, NULL);
}
