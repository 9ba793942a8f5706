/* SPDX-License-Identifier: MIT */
/* A link over frames: see migrate/stream.h. */
#include "migrate/stream.h"
#include "lib/bits.h"
#include "lib/check.h"
#include "lib/string.h"

#define MS                1000000UL
#define HELLO_FIRST_NS    (20 * MS)
#define HELLO_MAX_NS      (1000 * MS)
#define WAIT_FIRST_NS     (1000 * MS) /* before a round trip is known */
#define WAIT_MIN_NS       (20 * MS)
#define WAIT_MAX_NS       (4000 * MS)
#define SAY_DELAY_NS      (2 * MS) /* an acknowledgement waits for more */
#define SAY_FRAMES        8U       /* but not for more than these */
#define SAY_FRAMES_MAX    32U      /* of those that came together */
#define FILL_DELAY_NS     (1 * MS) /* half a frame waits for more bytes */
#define MIND_NS           (2 * MS) /* every so often it is seen to time */
#define FLIGHT_FIRST      8U
#define FLIGHT_MIN        2U
#define LOST_AFTER        3U   /* later frames that were seen */
#define FRAMES_AT_ONCE    256U /* of one poll */
#define PINGS_PER_SILENCE 4UL
#define GREETER_GONE_NS   (3 * HELLO_MAX_NS) /* it has greeted, and is silent */

_Static_assert((STREAM_SLOTS & (STREAM_SLOTS - 1)) == 0, "numbers wrap");
_Static_assert(STREAM_SLOTS <= 64, "`seen` has 64 bits");

static struct stream *stream_of(struct link *link)
{
	return (struct stream *)link;
}

_Static_assert(offsetof(struct stream, link) == 0, "stream_of is a cast");

/* Is `a` before `b`? Neither is further than 2^31 from the other. */
static bool is_before(u32 a, u32 b)
{
	return (i32)(a - b) < 0;
}

static struct stream_slot *out_slot(struct stream *stream, u32 number)
{
	return &stream->out[number % STREAM_SLOTS];
}

static struct stream_slot *in_slot(struct stream *stream, u32 number)
{
	return &stream->in[number % STREAM_SLOTS];
}

static u8 *out_body(struct stream *stream, u32 number)
{
	return stream->room + (u64)(number % STREAM_SLOTS) * STREAM_BODY_MAX;
}

static u8 *in_body(struct stream *stream, u32 number)
{
	return stream->room + STREAM_OUT_BYTES +
	       (u64)(number % STREAM_SLOTS) * STREAM_BODY_MAX;
}

/* --- Saying --------------------------------------------------------------- */

static u64 seen_bits(struct stream *stream)
{
	u64 seen = 0;

	for (u32 n = 0; is_before(stream->due + 1 + n, stream->in_end); n++)
		if (in_slot(stream, stream->due + 1 + n)->state ==
		    STREAM_SLOT_FULL)
			seen |= BIT(n);
	return seen;
}

/*
 * Every frame carries all that there is to say. A greeting goes to everybody
 * even when the peer is known: Bochs 2.7's bxhub learns who is where from
 * broadcasts alone, and the first may have been lost. False: no room at the
 * port.
 */
static bool say(struct stream *stream, enum stream_kind kind, u32 number)
{
	u8 head[STREAM_HEAD_BYTES];
	struct stream_frame frame = {
	    .kind = kind,
	    .from = stream->id,
	    .to = stream->peer_id,
	    .number = number,
	    .due = stream->due,
	    .seen = seen_bits(stream),
	    .limit = stream->taken + STREAM_SLOTS,
	    .echo = stream->echo,
	};

	if (kind == STREAM_DATA) {
		frame.body = out_body(stream, number);
		frame.body_bytes = out_slot(stream, number)->bytes;
	}
	stream_frame_head(&frame, stream->port->seal, head);
	if (!stream->port->operations->send(
		stream->port, head, &frame,
		kind == STREAM_HELLO ? FRAME_TO_ALL : stream->station))
		return false;
	stream->said_ns = stream->now_ns;
	stream->limit_said = frame.limit;
	stream->unsaid = 0;
	stream->must_say = false;
	return true;
}

/* What has it seen of all that was sent until now? */
static void ask(struct stream *stream)
{
	u16 number = (u16)(stream->ping + 1);

	if (!say(stream, STREAM_PING, number))
		return;
	stream->ping = number;
	stream->ping_ns = stream->now_ns;
	stream->is_asked = true;
	stream->counts.pings++;
}

/* --- What is under way ---------------------------------------------------- */

static void measure(struct stream *stream, u64 rtt_ns)
{
	u64 off = rtt_ns > stream->rtt_ns ? rtt_ns - stream->rtt_ns
					  : stream->rtt_ns - rtt_ns;

	if (!stream->rtt_ns) {
		stream->rtt_ns = rtt_ns;
		stream->rtt_spread_ns = rtt_ns / 2;
	} else {
		stream->rtt_spread_ns = (3 * stream->rtt_spread_ns + off) / 4;
		stream->rtt_ns = (7 * stream->rtt_ns + rtt_ns) / 8;
	}
}

/* How long an acknowledgement may take. */
static u64 wait_of(const struct stream *stream)
{
	u64 wait = stream->rtt_ns + 4 * stream->rtt_spread_ns;

	if (!stream->rtt_ns)
		return WAIT_FIRST_NS;
	wait = wait > WAIT_MIN_NS ? wait : WAIT_MIN_NS;
	return wait < WAIT_MAX_NS ? wait : WAIT_MAX_NS;
}

static void grow_flight(struct stream *stream)
{
	if (stream->flight_max >= STREAM_SLOTS)
		return;
	if (stream->flight_max >= stream->flight_slow &&
	    ++stream->grown < stream->flight_max)
		return;
	stream->grown = 0;
	stream->flight_max++;
}

/* The losses of one flight count once. */
static void shrink_flight(struct stream *stream)
{
	if (is_before(stream->acked, stream->recover))
		return;
	stream->recover = stream->next;
	stream->flight_slow = stream->flight_max / 2 > FLIGHT_MIN
				  ? stream->flight_max / 2
				  : FLIGHT_MIN;
	stream->flight_max = stream->flight_slow;
}

static void is_seen(struct stream *stream, struct stream_slot *slot)
{
	if (slot->state == STREAM_SLOT_SEEN)
		return;
	if (slot->state == STREAM_SLOT_FLYING)
		stream->flying--;
	else
		stream->lost--;
	if (slot->sent_count == 1)
		measure(stream, stream->now_ns - slot->sent_ns);
	slot->state = STREAM_SLOT_SEEN;
	stream->wait_ns = wait_of(stream);
	grow_flight(stream);
}

static void is_missing(struct stream *stream, struct stream_slot *slot)
{
	slot->state = STREAM_SLOT_LOST;
	stream->flying--;
	stream->lost++;
}

/* One frame; false if the port has no room. */
static bool transmit(struct stream *stream, u32 number)
{
	struct stream_slot *slot = out_slot(stream, number);

	if (!stream->port->operations->has_room(stream->port) ||
	    !say(stream, STREAM_DATA, number))
		return false;
	stream->counts.frames++;
	if (slot->state == STREAM_SLOT_LOST) {
		stream->counts.again++;
		stream->lost--;
	}
	slot->state = STREAM_SLOT_FLYING;
	slot->sent_ns = stream->now_ns;
	slot->sent_count++;
	stream->flying++;
	return true;
}

static bool has_flight_room(const struct stream *stream)
{
	return stream->flying < stream->flight_max;
}

/* The slot that is being filled becomes a frame. */
static void ship(struct stream *stream)
{
	struct stream_slot *slot = out_slot(stream, stream->put);

	slot->bytes = stream->filling;
	slot->state = STREAM_SLOT_FULL;
	slot->sent_count = 0;
	stream->filling = 0;
	stream->put++;
}

static void transmit_lost(struct stream *stream)
{
	for (u32 n = stream->acked;
	     stream->lost && n != stream->next && has_flight_room(stream); n++)
		if (out_slot(stream, n)->state == STREAM_SLOT_LOST &&
		    !transmit(stream, n))
			return;
}

/* Lost frames first, then new ones. */
static void transmit_all(struct stream *stream)
{
	transmit_lost(stream);
	while (stream->next != stream->put && has_flight_room(stream) &&
	       is_before(stream->next, stream->limit)) {
		if (!transmit(stream, stream->next))
			return;
		stream->next++;
	}
}

/* --- What the peer says --------------------------------------------------- */

/* A frame is lost if enough later ones have been seen, and not just resent. */
static void find_lost(struct stream *stream, u32 last_seen)
{
	for (u32 n = stream->acked; is_before(n + LOST_AFTER - 1, last_seen);
	     n++) {
		struct stream_slot *slot = out_slot(stream, n);

		if (slot->state != STREAM_SLOT_FLYING ||
		    (slot->sent_count > 1 &&
		     stream->now_ns - slot->sent_ns < wait_of(stream)))
			continue;
		is_missing(stream, slot);
		shrink_flight(stream);
	}
}

/* The answer to a PING: what flew before it, and was not seen, is missing. */
static void on_answer(struct stream *stream)
{
	stream->is_asked = false;
	for (u32 n = stream->acked; is_before(n, stream->next); n++) {
		struct stream_slot *slot = out_slot(stream, n);

		if (slot->state != STREAM_SLOT_FLYING ||
		    slot->sent_ns >= stream->ping_ns)
			continue;
		is_missing(stream, slot);
		shrink_flight(stream);
	}
}

static void forget_until(struct stream *stream, u32 due)
{
	for (; stream->acked != due; stream->acked++) {
		struct stream_slot *slot = out_slot(stream, stream->acked);

		is_seen(stream, slot);
		stream->pending -= slot->bytes;
		slot->state = STREAM_SLOT_EMPTY;
	}
}

static void on_said(struct stream *stream, const struct stream_frame *frame)
{
	u32 last_seen = frame->due;

	/* What was never sent cannot have come; what is old says nothing. */
	if (is_before(frame->due, stream->acked) ||
	    is_before(stream->next, frame->due))
		return;
	forget_until(stream, frame->due);
	for (u64 seen = frame->seen; seen; seen &= seen - 1) {
		u32 number = frame->due + 1 + (u32)__builtin_ctzll(seen);

		if (!is_before(number, stream->next))
			break;
		is_seen(stream, out_slot(stream, number));
		last_seen = number;
	}
	find_lost(stream, last_seen);
	if (stream->is_asked && frame->echo == stream->ping)
		on_answer(stream);
	if (is_before(stream->limit, frame->limit) &&
	    frame->limit - frame->due <= STREAM_SLOTS)
		stream->limit = frame->limit;
}

/* A frame's body until it is taken: where it came, if the port can. */
static void hold(struct stream *stream, struct stream_slot *slot,
		 const struct stream_frame *frame)
{
	if (stream->port->operations->keep) {
		slot->body = frame->body;
		slot->kept = stream->port->operations->keep(stream->port);
	} else {
		u8 *room = in_body(stream, frame->number);

		memcpy(room, frame->body, frame->body_bytes);
		slot->body = room;
	}
	slot->bytes = frame->body_bytes;
	slot->state = STREAM_SLOT_FULL;
}

static void let_go(struct stream *stream, struct stream_slot *slot)
{
	if (slot->state == STREAM_SLOT_FULL && stream->port->operations->keep)
		stream->port->operations->release(stream->port, slot->kept);
	slot->state = STREAM_SLOT_EMPTY;
}

static void on_data(struct stream *stream, const struct stream_frame *frame)
{
	struct stream_slot *slot = in_slot(stream, frame->number);
	bool in_order = frame->number == stream->due;

	if (!stream->unsaid++)
		stream->unsaid_ns = stream->now_ns;
	if (is_before(frame->number, stream->due) ||
	    !is_before(frame->number, stream->taken + STREAM_SLOTS) ||
	    slot->state == STREAM_SLOT_FULL) {
		stream->counts.repeated++;
		stream->must_say = true;
		return;
	}
	stream->counts.received++;
	hold(stream, slot, frame);
	if (!is_before(frame->number, stream->in_end))
		stream->in_end = frame->number + 1;
	while (is_before(stream->due, stream->taken + STREAM_SLOTS) &&
	       in_slot(stream, stream->due)->state == STREAM_SLOT_FULL)
		stream->due++;
	if (!in_order || stream->unsaid >= SAY_FRAMES)
		stream->must_say = true;
}

/* --- Who is there --------------------------------------------------------- */

/* Another name each time: names of old streams are not known any more. */
static u32 new_name(struct stream *stream)
{
	u32 name;

	do {
		stream->entropy =
		    (stream->entropy ^ stream->now_ns) * 0x9e3779b97f4a7c15UL +
		    1;
		name = high32(stream->entropy);
	} while (name == STREAM_NOBODY || name == stream->id);
	return name;
}

static void is_up(struct stream *stream)
{
	if (stream->link.state != LINK_CONNECTING)
		return;
	stream->link.state = LINK_UP;
	stream->must_say = true; /* the peer is UP when it hears that */
}

static void adopt(struct stream *stream, u32 id, u64 station)
{
	stream->peer_id = id;
	stream->station = station;
	stream->heard_ns = stream->hello_ns = stream->now_ns;
	stream->hello_wait_ns = HELLO_FIRST_NS;
}

/* Its station greets under another name: is it still there as our peer? */
static void suspect(struct stream *stream)
{
	stream->suspect_ns =
	    stream->now_ns + stream->silence_ns / PINGS_PER_SILENCE;
	ask(stream);
}

static void on_hello(struct stream *stream, const struct stream_frame *frame,
		     u64 station)
{
	if (frame->from != stream->peer_id) {
		if (stream->link.state == LINK_CONNECTING)
			adopt(stream, frame->from, station);
		else if (!stream->suspect_ns)
			suspect(stream);
	} else {
		stream->must_say = true;
	}
	if (frame->from == stream->peer_id && frame->to == stream->id)
		is_up(stream);
}

static void on_peer(struct stream *stream, const struct stream_frame *frame)
{
	is_up(stream);
	on_said(stream, frame);
	switch (frame->kind) {
	case STREAM_DATA:
		on_data(stream, frame);
		break;
	case STREAM_PING:
		stream->echo = (u16)frame->number;
		stream->must_say = true;
		break;
	case STREAM_BYE:
		link_is_lost(&stream->link, "the peer has closed the link");
		break;
	case STREAM_HELLO:
	case STREAM_ACK:
	case STREAM_KINDS:
		break;
	}
}

/*
 * Whoever has greeted first is not waited for for ever: it may have gone before
 * it heard an answer.
 */
static bool may_take_its_place(const struct stream *stream,
			       const struct stream_frame *frame)
{
	return stream->link.state == LINK_CONNECTING &&
	       frame->kind == STREAM_HELLO &&
	       stream->now_ns - stream->heard_ns > GREETER_GONE_NS;
}

/* Is it for this stream, and if not for a new one, from its peer? */
static bool is_ours(const struct stream *stream,
		    const struct stream_frame *frame, u64 station)
{
	if (stream->peer_id != STREAM_NOBODY && station != stream->station &&
	    !may_take_its_place(stream, frame))
		return false;
	if (frame->kind == STREAM_HELLO)
		return frame->to == STREAM_NOBODY || frame->to == stream->id;
	return frame->from == stream->peer_id && frame->to == stream->id;
}

/* An echo, or two machines that are too much alike: another name, then. */
static void on_own_name(struct stream *stream)
{
	if (stream->link.state == LINK_CONNECTING &&
	    stream->peer_id == STREAM_NOBODY)
		stream->id = new_name(stream);
}

static void on_frame(struct stream *stream, const u8 *bytes, u32 count,
		     u64 station)
{
	struct stream_frame frame;

	if (stream_frame_parse(bytes, count, stream->port->seal, &frame) !=
	    OK) {
		stream->counts.bad++;
		return;
	}
	if (frame.from == stream->id) {
		on_own_name(stream);
		return;
	}
	if (!is_ours(stream, &frame, station)) {
		stream->counts.foreign++;
		return;
	}
	if (stream->link.state == LINK_LOST) {
		/* A peer that has not heard the end hears it again. */
		if (frame.kind != STREAM_BYE && frame.kind != STREAM_HELLO)
			say(stream, STREAM_BYE, stream->next);
		return;
	}
	if (frame.from == stream->peer_id) {
		stream->heard_ns = stream->now_ns;
		stream->suspect_ns = 0;
	}
	if (frame.kind == STREAM_HELLO)
		on_hello(stream, &frame, station);
	else
		on_peer(stream, &frame);
}

/* --- Time ----------------------------------------------------------------- */

/* Nothing has been heard of the oldest frame for too long: ask. */
static void check_silence(struct stream *stream)
{
	u32 n = stream->acked;

	while (is_before(n, stream->next) &&
	       out_slot(stream, n)->state != STREAM_SLOT_FLYING)
		n++;
	if (!is_before(n, stream->next) ||
	    stream->now_ns - out_slot(stream, n)->sent_ns < stream->wait_ns ||
	    (stream->is_asked &&
	     stream->now_ns - stream->ping_ns < stream->wait_ns))
		return;
	ask(stream);
	stream->wait_ns = 2 * stream->wait_ns < WAIT_MAX_NS
			      ? 2 * stream->wait_ns
			      : WAIT_MAX_NS;
}

static void greet(struct stream *stream)
{
	if (stream->now_ns < stream->hello_ns ||
	    !say(stream, STREAM_HELLO, stream->next))
		return;
	stream->hello_ns = stream->now_ns + stream->hello_wait_ns;
	if (stream->hello_wait_ns < HELLO_MAX_NS)
		stream->hello_wait_ns *= 2;
}

/* Is somebody there, and is anything held back for want of a word? */
static void keep_alive(struct stream *stream)
{
	u64 every = stream->silence_ns / PINGS_PER_SILENCE;
	bool is_held = stream->next != stream->put && !stream->flying;

	if (stream->suspect_ns && stream->now_ns >= stream->suspect_ns)
		link_is_lost(&stream->link, "the peer has started anew");
	else if (stream->now_ns - stream->heard_ns > stream->silence_ns)
		link_is_lost(&stream->link, "the peer is not heard any more");
	else if (stream->now_ns - stream->said_ns >
		 (is_held ? stream->wait_ns : every))
		ask(stream);
}

static void say_what_is_owed(struct stream *stream)
{
	u32 limit = stream->taken + STREAM_SLOTS;

	if (stream->must_say ||
	    limit - stream->limit_said >= STREAM_SLOTS / 2 ||
	    (stream->unsaid &&
	     stream->now_ns - stream->unsaid_ns >= SAY_DELAY_NS))
		say(stream, STREAM_ACK, stream->next);
}

/* Half a frame goes when nothing is under way that it could wait for. */
static void ship_the_rest(struct stream *stream)
{
	if (stream->filling &&
	    (stream->acked == stream->put ||
	     stream->now_ns - stream->filled_ns >= FILL_DELAY_NS))
		ship(stream);
}

/* While nobody looked, nobody could be heard. */
static void take_time(struct stream *stream, u64 now_ns)
{
	u64 gap = now_ns - stream->now_ns;

	if (gap > stream->silence_ns / (2 * PINGS_PER_SILENCE)) {
		stream->heard_ns += gap;
		stream->suspect_ns += stream->suspect_ns ? gap : 0;
	}
	stream->now_ns = now_ns;
}

static void take_frames(struct stream *stream)
{
	const u8 *bytes;
	u64 station;

	for (u32 i = 0; i < FRAMES_AT_ONCE; i++) {
		u32 count = stream->port->operations->receive(stream->port,
							      &bytes, &station);

		if (!count)
			return;
		stream->has_news = true;
		on_frame(stream, bytes, count, station);
		/* One word for many that came together. */
		if (stream->unsaid >= SAY_FRAMES_MAX &&
		    stream->link.state == LINK_UP)
			say(stream, STREAM_ACK, stream->next);
	}
}

/* Whoever waits polls all the time: what time alone brings is not urgent. */
static void stream_poll(struct link *link, u64 now_ns)
{
	struct stream *stream = stream_of(link);

	take_time(stream, now_ns);
	take_frames(stream);
	if (!stream->has_news && now_ns - stream->minded_ns < MIND_NS)
		return;
	stream->has_news = false;
	stream->minded_ns = now_ns;
	if (link->state == LINK_CONNECTING)
		greet(stream);
	if (link->state != LINK_UP)
		return;
	check_silence(stream);
	ship_the_rest(stream);
	transmit_all(stream);
	say_what_is_owed(stream);
	keep_alive(stream);
}

/* --- The link ------------------------------------------------------------- */

/* All as it was made, but for the time and the next name. */
static void stream_connect(struct link *link)
{
	struct stream *stream = stream_of(link);
	const struct stream_config config = {
	    .port = stream->port,
	    .room = stream->room,
	    .silence_ns = stream->silence_ns,
	    .entropy = stream->entropy,
	};
	u64 now_ns = stream->now_ns;
	u32 id = new_name(stream);

	for (u32 i = 0; i < STREAM_SLOTS; i++)
		let_go(stream, &stream->in[i]);
	stream_init(stream, &config);
	link->state = LINK_CONNECTING;
	stream->id = id;
	stream->entropy += id;
	stream->now_ns = stream->heard_ns = stream->hello_ns = now_ns;
	stream->hello_wait_ns = HELLO_FIRST_NS;
	stream->limit = stream->limit_said = STREAM_SLOTS;
	stream->flight_max = FLIGHT_FIRST;
	stream->flight_slow = STREAM_SLOTS;
	stream->wait_ns = WAIT_FIRST_NS;
}

static bool has_slot(const struct stream *stream)
{
	return stream->put - stream->acked < STREAM_SLOTS;
}

static u32 stream_send(struct link *link, const u8 *bytes, u32 count)
{
	struct stream *stream = stream_of(link);
	u32 most = stream->port->body_max, taken = 0;

	while (taken < count && has_slot(stream)) {
		u32 here = most - stream->filling;

		here = here < count - taken ? here : count - taken;
		memcpy(out_body(stream, stream->put) + stream->filling,
		       bytes + taken, here);
		stream->filling += here;
		taken += here;
		if (stream->filling == most)
			ship(stream);
	}
	if (!taken)
		return 0;
	stream->pending += taken;
	stream->filled_ns = stream->now_ns;
	stream->has_news = true;
	transmit_all(stream);
	return taken;
}

static u32 stream_receive(struct link *link, u8 *bytes, u32 room)
{
	struct stream *stream = stream_of(link);
	u32 got = 0;

	while (got < room && stream->taken != stream->due) {
		struct stream_slot *slot = in_slot(stream, stream->taken);
		u32 here = slot->bytes - stream->taken_bytes;

		here = here < room - got ? here : room - got;
		memcpy(bytes + got, slot->body + stream->taken_bytes, here);
		stream->taken_bytes += here;
		got += here;
		if (stream->taken_bytes < slot->bytes)
			break;
		let_go(stream, slot);
		stream->taken_bytes = 0;
		stream->taken++;
		stream->has_news = true;
	}
	return got;
}

static u32 stream_pending(struct link *link)
{
	return stream_of(link)->pending;
}

static void stream_close(struct link *link)
{
	struct stream *stream = stream_of(link);

	if (link->state == LINK_UP)
		say(stream, STREAM_BYE, stream->next);
}

static const struct link_operations operations = {
    .connect = stream_connect,
    .send = stream_send,
    .receive = stream_receive,
    .poll = stream_poll,
    .pending = stream_pending,
    .close = stream_close,
};

void stream_init(struct stream *stream, const struct stream_config *config)
{
	CHECK(config->port->body_max &&
	      config->port->body_max <= STREAM_BODY_MAX);
	memset(stream, 0, sizeof(*stream));
	stream->link.operations = &operations;
	stream->link.name = config->port->name;
	stream->port = config->port;
	stream->room = config->room;
	stream->silence_ns = config->silence_ns;
	stream->entropy = config->entropy;
}
