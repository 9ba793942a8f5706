/* SPDX-License-Identifier: MIT */
/*
 * Streams over a network that loses, damages, repeats and reorders frames:
 * every byte arrives once and in order, or the link says that it is lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/bits.h"
#include "migrate/stream.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

#define MS          1000000UL
#define SILENCE_NS  (4000 * MS)
#define UNDER_WAY   256U
#define STATIONS    3U
#define NOBODY_ELSE 99U

/* --- The network ---------------------------------------------------------- */

struct letter {
	u8 bytes[STREAM_FRAME_MAX];
	u32 count;
	const u8 *body; /* that has not been read yet, or NULL */
	u64 from, due_ns, order;
};

/* That lie before the reader, one of them not kept. */
#define OPEN (STREAM_SLOTS + 1)

struct station {
	struct frame_port port;
	u64 number;
	struct letter letters[UNDER_WAY]; /* to it; count 0: free */
	struct letter open[OPEN];
	bool is_kept[OPEN];
	u32 last, kept;
	struct stream stream;
	u8 room[STREAM_ROOM_BYTES];
};

static struct station stations[STATIONS];
static struct random dice;
static u64 now_ns, letter_count;
/* Of a hundred frames. */
static u32 loss, damage, twice, late;
static bool is_full;     /* ports take nothing */
static bool is_direct;   /* ports vouch, keep, and read bodies late */
static bool is_cut;      /* nothing arrives */
static bool is_learning; /* only who has spoken to all is spoken to */
static bool has_spoken[STATIONS];

/* Who vouches for frames notices. */
static void harm(struct letter *letter)
{
	if (is_direct)
		letter->count = 0;
	else
		letter->bytes[random_below(&dice, letter->count)] ^=
		    (u8)(1U << random_below(&dice, 8));
}

static void deliver(struct station *to, const struct letter *letter)
{
	for (u32 i = 0; i < UNDER_WAY; i++) {
		struct letter *free = &to->letters[i];

		if (free->count)
			continue;
		*free = *letter;
		free->due_ns = now_ns + MS;
		free->order = ++letter_count;
		if (random_below(&dice, 100) < late)
			free->due_ns += random_below(&dice, 40) * MS;
		if (random_below(&dice, 100) < damage)
			harm(free);
		return;
	}
	/* Full: lost. */
}

static bool net_send(struct frame_port *port, const u8 *head,
		     const struct stream_frame *frame, u64 to)
{
	struct station *from = (struct station *)port;
	static struct letter letter;

	if (is_full)
		return false;
	letter.from = from->number;
	letter.body = is_direct && frame->body_bytes ? frame->body : NULL;
	letter.count = STREAM_HEAD_BYTES + frame->body_bytes;
	memcpy(letter.bytes, head, STREAM_HEAD_BYTES);
	if (frame->body_bytes)
		memcpy(letter.bytes + STREAM_HEAD_BYTES, frame->body,
		       frame->body_bytes);
	has_spoken[from - stations] |= to == FRAME_TO_ALL;
	for (u32 i = 0; i < STATIONS && !is_cut; i++) {
		struct station *station = &stations[i];

		if (station == from || !station->stream.port ||
		    (to != FRAME_TO_ALL && to != station->number))
			continue;
		if (is_learning && to != FRAME_TO_ALL && !has_spoken[i])
			continue;
		if (random_below(&dice, 100) < loss)
			continue;
		deliver(station, &letter);
		if (random_below(&dice, 100) < twice)
			deliver(station, &letter);
	}
	return true;
}

static bool is_earlier(const struct letter *a, const struct letter *b)
{
	return a->due_ns < b->due_ns ||
	       (a->due_ns == b->due_ns && a->order < b->order);
}

static bool net_has_room(struct frame_port *port)
{
	(void)port;
	return !is_full;
}

static struct letter *open_one(struct station *station)
{
	for (u32 i = 0; i < OPEN; i++) {
		if (station->is_kept[i])
			continue;
		station->last = i;
		return &station->open[i];
	}
	fail_msg("all are kept");
	return NULL;
}

static u32 net_receive(struct frame_port *port, const u8 **frame, u64 *from)
{
	struct station *station = (struct station *)port;
	struct letter *next = NULL, *open;

	for (u32 i = 0; i < UNDER_WAY; i++) {
		struct letter *letter = &station->letters[i];

		if (letter->count && letter->due_ns <= now_ns &&
		    (!next || is_earlier(letter, next)))
			next = letter;
	}
	if (!next)
		return 0;
	open = open_one(station);
	*open = *next;
	next->count = 0;
	if (open->body)
		memcpy(open->bytes + STREAM_HEAD_BYTES, open->body,
		       open->count - STREAM_HEAD_BYTES);
	*frame = open->bytes;
	*from = open->from;
	return open->count;
}

static u32 net_keep(struct frame_port *port)
{
	struct station *station = (struct station *)port;

	assert_false(station->is_kept[station->last]);
	station->is_kept[station->last] = true;
	station->kept++;
	return station->last;
}

/* What is read afterwards is wrong. */
static void net_release(struct frame_port *port, u32 kept)
{
	struct station *station = (struct station *)port;

	assert_true(kept < OPEN && station->is_kept[kept]);
	station->is_kept[kept] = false;
	station->kept--;
	memset(station->open[kept].bytes, 0xdd, STREAM_FRAME_MAX);
}

static const struct frame_port_operations net = {
    .has_room = net_has_room,
    .send = net_send,
    .receive = net_receive,
};

static const struct frame_port_operations direct_net = {
    .has_room = net_has_room,
    .send = net_send,
    .receive = net_receive,
    .keep = net_keep,
    .release = net_release,
};

static void add_station(u32 i, u64 entropy)
{
	struct stream_config config = {
	    .port = &stations[i].port,
	    .room = stations[i].room,
	    .silence_ns = SILENCE_NS,
	    .entropy = entropy,
	};

	stations[i].port =
	    (struct frame_port){is_direct ? &direct_net : &net, "test", 500,
				is_direct ? STREAM_SEAL_PORT : STREAM_SEAL_CRC};
	stations[i].number = 10 + i;
	stream_init(&stations[i].stream, &config);
	stations[i].stream.now_ns = now_ns;
}

static struct link *link_of(u32 i)
{
	return &stations[i].stream.link;
}

static void poll_all(void)
{
	now_ns += MS / 4 + random_below(&dice, MS);
	for (u32 i = 0; i < STATIONS; i++)
		if (stations[i].stream.port)
			link_poll(link_of(i), now_ns + i);
}

static void begin(u64 seed)
{
	memset(stations, 0, sizeof(stations));
	loss = damage = twice = late = 0;
	is_full = is_cut = is_learning = false;
	memset(has_spoken, 0, sizeof(has_spoken));
	dice = random_from(seed);
	now_ns = seed * 1000003;
	add_station(0, seed);
	add_station(1, seed + 1000);
}

static void connect_both(void)
{
	link_connect(link_of(0));
	link_connect(link_of(1));
	for (u32 i = 0; i < 5000; i++) {
		poll_all();
		if (link_of(0)->state == LINK_UP &&
		    link_of(1)->state == LINK_UP)
			return;
	}
	fail_msg("they do not find each other");
}

/* --- Both ways at once ---------------------------------------------------- */

struct flow {
	u32 put, got;
};

static u8 byte_at(u32 flow, u32 at)
{
	return (u8)((at * 2654435761U >> 13) + flow * 77);
}

static void flow_step(struct flow *flow, u32 from, u32 end)
{
	u8 bytes[3000];
	u32 count = (u32)random_below(&dice, sizeof(bytes));

	count = count < end - flow->put ? count : end - flow->put;
	for (u32 i = 0; i < count; i++)
		bytes[i] = byte_at(from, flow->put + i);
	flow->put += link_send(link_of(from), bytes, count);
	count = link_receive(link_of(!from), bytes,
			     (u32)random_below(&dice, sizeof(bytes)));
	for (u32 i = 0; i < count; i++, flow->got++)
		assert_int_equal(bytes[i], byte_at(from, flow->got));
}

static void assert_in_order(const struct stream *s)
{
	assert_true(s->next - s->acked <= STREAM_SLOTS);
	assert_true(s->put - s->next <= STREAM_SLOTS);
	assert_true(s->put - s->acked <= STREAM_SLOTS);
	assert_true(s->due - s->taken <= STREAM_SLOTS);
	assert_true(s->in_end - s->due <= STREAM_SLOTS);
	assert_true(s->flying + s->lost <= s->next - s->acked);
}

static void move(u32 bytes)
{
	struct flow flows[2] = {{0, 0}, {0, 0}};

	for (u32 i = 0;
	     flows[0].got < bytes || flows[1].got < bytes ||
	     !link_is_drained(link_of(0)) || !link_is_drained(link_of(1));
	     i++) {
		assert_true(i < 400000);
		for (u32 from = 0; from < 2; from++) {
			flow_step(&flows[from], from, bytes);
			assert_in_order(&stations[from].stream);
			assert_int_equal(link_of(from)->state, LINK_UP);
		}
		poll_all();
	}
}

static void clean_network(u64 seed)
{
	begin(seed);
	connect_both();
	move(200000);
	for (u32 i = 0; i < 2; i++) {
		assert_int_equal(stations[i].stream.counts.again, 0);
		assert_int_equal(stations[i].stream.counts.bad, 0);
	}
}

static void nothing_is_sent_twice_on_a_clean_network(void **state)
{
	(void)state;
	for_seeds(5, clean_network);
}

static void bad_network(u64 seed)
{
	begin(seed);
	loss = (u32)(seed % 4) * 7;
	damage = (u32)(seed / 4 % 3) * 3;
	twice = (u32)(seed % 3) * 10;
	late = (u32)(seed % 5) * 8;
	connect_both();
	move(60000);
}

static void every_byte_arrives_once_and_in_order(void **state)
{
	(void)state;
	for_seeds(60, bad_network);
}

/* What came stays with such a port: its stream has room for no copies. */
static void assert_nothing_copied(const struct station *station)
{
	static const u8 nothing[STREAM_ROOM_BYTES - STREAM_OUT_BYTES];

	assert_memory_equal(station->room + STREAM_OUT_BYTES, nothing,
			    sizeof(nothing));
}

/*
 * The worst of what a controller may do that sends from where a body lies: it
 * reads it when the frame arrives, and says that it is intact.
 */
static void direct_network(u64 seed)
{
	is_direct = true;
	bad_network(seed);
	is_direct = false;
	assert_int_equal(stations[0].kept + stations[1].kept, 0);
	assert_nothing_copied(&stations[0]);
	assert_nothing_copied(&stations[1]);
}

static void frames_may_stay_where_they_came_and_be_read_late(void **state)
{
	(void)state;
	for_seeds(60, direct_network);
}

static void frames_that_nobody_took_are_let_go(void **state)
{
	static u8 bytes[STREAM_SLOTS * 500];

	(void)state;
	is_direct = true;
	begin(5);
	connect_both();
	for (u32 i = 0; i < 200; i++) {
		link_send(link_of(0), bytes, sizeof(bytes));
		poll_all();
	}
	is_direct = false;
	assert_int_equal(stations[1].kept, STREAM_SLOTS);
	link_connect(link_of(1));
	assert_int_equal(stations[1].kept, 0);
}

/* A frame that is lost costs about itself, not all that came after it. */
static void lost_frames_are_sent_again_alone(void **state)
{
	const struct stream_counts *counts = &stations[0].stream.counts;

	(void)state;
	begin(7);
	loss = 3;
	connect_both();
	move(1000000);
	assert_true(counts->again > 0);
	assert_true(counts->again < counts->frames / 10);
}

static void full_port_delays_and_loses_nothing(void **state)
{
	u8 byte = 9;

	(void)state;
	begin(3);
	connect_both();
	is_full = true;
	assert_int_equal(link_send(link_of(0), &byte, 1), 1);
	for (u32 i = 0; i < 50; i++)
		poll_all();
	assert_int_equal(link_receive(link_of(1), &byte, 1), 0);
	is_full = false;
	for (u32 i = 0; i < 50; i++)
		poll_all();
	assert_int_equal(link_receive(link_of(1), &byte, 1), 1);
	assert_int_equal(byte, 9);
}

/* Nobody reads for long; the words that it goes on again are lost, too. */
static void reader_that_waits_loses_nothing(void **state)
{
	static u8 bytes[3 * STREAM_SLOTS * 500];
	u32 sent = 0, got = 0;

	(void)state;
	begin(11);
	connect_both();
	for (u32 i = 0; i < 3000; i++) {
		sent += link_send(link_of(0), bytes + sent,
				  (u32)sizeof(bytes) - sent);
		poll_all();
	}
	assert_true(sent < sizeof(bytes));
	assert_int_equal(link_of(0)->state, LINK_UP);
	loss = 40;
	for (u32 i = 0; i < 60000 && got < sizeof(bytes); i++) {
		sent += link_send(link_of(0), bytes + sent,
				  (u32)sizeof(bytes) - sent);
		got += link_receive(link_of(1), bytes, 700);
		poll_all();
	}
	assert_int_equal(got, sizeof(bytes));
}

/* --- Who is there --------------------------------------------------------- */

static void names_that_collide_are_changed(void **state)
{
	(void)state;
	begin(1);
	add_station(1, 1);
	connect_both();
	assert_true(stations[0].stream.id != stations[1].stream.id);
}

static void absent_peer_is_waited_for(void **state)
{
	(void)state;
	begin(2);
	link_connect(link_of(0));
	for (u32 i = 0; i < 30000; i++)
		poll_all();
	assert_int_equal(link_of(0)->state, LINK_CONNECTING);
	connect_both();
}

static void wait_for_loss(u32 i, const char *why)
{
	u64 begun_ns = now_ns;

	while (link_of(i)->state == LINK_UP) {
		assert_true(now_ns - begun_ns < 2 * SILENCE_NS);
		poll_all();
	}
	assert_non_null(strstr(link_of(i)->why, why));
}

/* A network that learns from broadcasts alone who is where (bxhub). */
static void greetings_are_broadcast_even_to_a_known_peer(void **state)
{
	(void)state;
	begin(12);
	is_learning = true;
	link_connect(link_of(0));
	link_connect(link_of(1));
	link_poll(link_of(0), now_ns);
	/* The second knows the first before it has said a word. */
	now_ns += 2 * MS;
	link_poll(link_of(1), now_ns);
	for (u32 i = 0; i < 5000 && link_of(1)->state != LINK_UP; i++)
		poll_all();
	assert_int_equal(link_of(1)->state, LINK_UP);
	move(5000);
}

static void idle_peers_stay_up_and_a_gone_one_is_noticed(void **state)
{
	(void)state;
	begin(4);
	connect_both();
	for (u32 i = 0; i < 30000; i++)
		poll_all();
	assert_int_equal(link_of(0)->state, LINK_UP);
	is_cut = true;
	wait_for_loss(0, "not heard any more");
}

/* Its guest ran for long, and nobody looked at the link. */
static void who_does_not_look_cannot_say_that_nobody_is_there(void **state)
{
	(void)state;
	begin(4);
	connect_both();
	now_ns += 10 * SILENCE_NS;
	poll_all();
	for (u32 i = 0; i < 100; i++)
		poll_all();
	assert_int_equal(link_of(0)->state, LINK_UP);
	assert_int_equal(link_of(1)->state, LINK_UP);
}

static void closing_is_told_even_if_the_word_is_lost(void **state)
{
	u8 byte = 1;

	(void)state;
	begin(5);
	connect_both();
	is_cut = true;
	link_close(link_of(1));
	is_cut = false;
	assert_int_equal(link_send(link_of(0), &byte, 1), 1);
	wait_for_loss(0, "has closed the link");
}

static void peer_that_started_anew_is_not_the_old_one(void **state)
{
	u8 byte = 1;

	(void)state;
	begin(6);
	connect_both();
	assert_int_equal(link_send(link_of(0), &byte, 1), 1);
	add_station(1, 4711); /* a reset machine */
	link_connect(link_of(1));
	wait_for_loss(0, "has started anew");
	connect_both();
	move(10000);
	assert_int_equal(link_receive(link_of(1), &byte, 1), 0);
}

static void third_party_is_not_listened_to(void **state)
{
	(void)state;
	begin(8);
	connect_both();
	add_station(2, 12345);
	link_connect(link_of(2));
	move(100000);
	assert_int_equal(link_of(2)->state, LINK_CONNECTING);
	assert_int_equal(stations[0].stream.suspect_ns, 0);
}

/* It has greeted, nothing more is heard of it, and it does not come back. */
static void greeter_that_has_gone_keeps_nobody_out(void **state)
{
	u64 start_ns;

	(void)state;
	begin(9);
	link_connect(link_of(0));
	add_station(2, 12345);
	link_connect(link_of(2));
	link_poll(link_of(2), now_ns);
	memset(&stations[2], 0, sizeof(stations[2]));
	while (!stations[0].stream.peer_id)
		poll_all();
	assert_int_equal(link_of(0)->state, LINK_CONNECTING);
	link_connect(link_of(1));
	for (start_ns = now_ns; now_ns - start_ns < 2000 * MS;)
		poll_all();
	assert_int_equal(link_of(0)->state, LINK_CONNECTING);
	for (; now_ns - start_ns < 6000 * MS;)
		poll_all();
	move(10000);
}

/* Frames of the stream before, from the same station, arrive late. */
static void frames_of_an_old_stream_are_refused(void **state)
{
	static struct letter old[UNDER_WAY];
	u8 bytes[2000] = {1};

	(void)state;
	begin(9);
	connect_both();
	assert_int_equal(link_send(link_of(0), bytes, sizeof(bytes)),
			 sizeof(bytes));
	poll_all();
	memcpy(old, stations[1].letters, sizeof(old));
	link_close(link_of(0));
	link_close(link_of(1));
	connect_both();
	memcpy(stations[1].letters, old, sizeof(old));
	for (u32 i = 0; i < 100; i++)
		poll_all();
	assert_int_equal(link_receive(link_of(1), bytes, sizeof(bytes)), 0);
	assert_true(stations[1].stream.counts.foreign > 0);
	assert_int_equal(link_of(1)->state, LINK_UP);
}

static void big_numbers_wrap(void **state)
{
	(void)state;
	begin(10);
	connect_both();
	for (u32 i = 0; i < 2; i++) {
		struct stream *s = &stations[i].stream;

		s->acked = s->next = s->put = s->recover = (u32)-40;
		s->due = s->taken = s->in_end = (u32)-40;
		s->limit = s->limit_said = (u32)-40 + STREAM_SLOTS;
	}
	memset(stations[0].letters, 0, sizeof(stations[0].letters));
	memset(stations[1].letters, 0, sizeof(stations[1].letters));
	loss = 10;
	move(60000);
	assert_true(stations[0].stream.next < 1000);
}

/* --- Frames --------------------------------------------------------------- */

static enum err parse(const u8 *bytes, u32 count, struct stream_frame *frame)
{
	return stream_frame_parse(bytes, count, STREAM_SEAL_CRC, frame);
}

static void frames_say_what_was_put_in(void **state)
{
	static u8 bytes[STREAM_FRAME_MAX];
	struct stream_frame frame = {.kind = STREAM_DATA,
				     .from = 1,
				     .to = 2,
				     .number = 3,
				     .due = 4,
				     .seen = BITS(63, 60),
				     .limit = 5,
				     .echo = 6,
				     .body = bytes + STREAM_HEAD_BYTES,
				     .body_bytes = 100};
	struct stream_frame got;

	(void)state;
	stream_frame_head(&frame, STREAM_SEAL_CRC, bytes);
	assert_int_equal(parse(bytes, 140, &got), OK);
	assert_int_equal(got.kind, STREAM_DATA);
	assert_int_equal(got.from, 1);
	assert_int_equal(got.to, 2);
	assert_int_equal(got.number, 3);
	assert_int_equal(got.due, 4);
	assert_int_equal(got.seen, frame.seen);
	assert_int_equal(got.limit, 5);
	assert_int_equal(got.echo, 6);
	assert_ptr_equal(got.body, frame.body);
	assert_int_equal(got.body_bytes, 100);
	assert_int_equal(parse(bytes, 139, &got), ERR_BAD_FORMAT);
	for (u32 bit = 0; bit < 140 * 8; bit++) {
		bytes[bit / 8] ^= (u8)(1U << bit % 8);
		assert_int_not_equal(parse(bytes, 140, &got), OK);
		bytes[bit / 8] ^= (u8)(1U << bit % 8);
	}
	bytes[6]++;
	assert_int_equal(parse(bytes, 140, &got), ERR_UNSUPPORTED);
}

/* Of the body nothing is known, but fields that cannot be are seen. */
static void ports_vouch_for_frames_without_a_checksum(void **state)
{
	static u8 bytes[STREAM_FRAME_MAX];
	const struct stream_frame frame = {.kind = STREAM_DATA,
					   .from = 1,
					   .body = bytes + STREAM_HEAD_BYTES,
					   .body_bytes = 100};
	struct stream_frame got;

	(void)state;
	stream_frame_head(&frame, STREAM_SEAL_PORT, bytes);
	assert_memory_equal(bytes, "\0\0\0\0", 4);
	assert_int_equal(stream_frame_parse(bytes, 140, STREAM_SEAL_PORT, &got),
			 OK);
	assert_int_equal(parse(bytes, 140, &got), ERR_BAD_FORMAT);
	assert_int_equal(stream_frame_parse(bytes, 139, STREAM_SEAL_PORT, &got),
			 ERR_BAD_FORMAT);
	stream_frame_head(&frame, STREAM_SEAL_CRC, bytes);
	assert_int_equal(stream_frame_parse(bytes, 140, STREAM_SEAL_PORT, &got),
			 ERR_BAD_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_sent_twice_on_a_clean_network),
	    cmocka_unit_test(every_byte_arrives_once_and_in_order),
	    cmocka_unit_test(frames_may_stay_where_they_came_and_be_read_late),
	    cmocka_unit_test(frames_that_nobody_took_are_let_go),
	    cmocka_unit_test(lost_frames_are_sent_again_alone),
	    cmocka_unit_test(full_port_delays_and_loses_nothing),
	    cmocka_unit_test(reader_that_waits_loses_nothing),
	    cmocka_unit_test(names_that_collide_are_changed),
	    cmocka_unit_test(absent_peer_is_waited_for),
	    cmocka_unit_test(greetings_are_broadcast_even_to_a_known_peer),
	    cmocka_unit_test(idle_peers_stay_up_and_a_gone_one_is_noticed),
	    cmocka_unit_test(who_does_not_look_cannot_say_that_nobody_is_there),
	    cmocka_unit_test(closing_is_told_even_if_the_word_is_lost),
	    cmocka_unit_test(peer_that_started_anew_is_not_the_old_one),
	    cmocka_unit_test(third_party_is_not_listened_to),
	    cmocka_unit_test(greeter_that_has_gone_keeps_nobody_out),
	    cmocka_unit_test(frames_of_an_old_stream_are_refused),
	    cmocka_unit_test(big_numbers_wrap),
	    cmocka_unit_test(frames_say_what_was_put_in),
	    cmocka_unit_test(ports_vouch_for_frames_without_a_checksum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
