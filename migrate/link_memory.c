/* SPDX-License-Identifier: MIT */
/* A pair of ends with a ring for each direction: see migrate/link_memory.h. */
#include "migrate/link_memory.h"
#include "lib/check.h"
#include "lib/string.h"

static struct link_memory *end_of(struct link *link)
{
	return (struct link_memory *)link;
}

_Static_assert(offsetof(struct link_memory, link) == 0, "end_of is a cast");

/* UP as soon as both want to be. */
static void memory_poll(struct link *link, u64 now_ns)
{
	struct link *peer = &end_of(link)->peer->link;

	(void)now_ns;
	if (link->state == LINK_CONNECTING && peer->state != LINK_LOST)
		link->state = LINK_UP;
	else if (link->state == LINK_UP && peer->state == LINK_LOST)
		link_is_lost(link, "the peer has closed the link");
}

static void memory_connect(struct link *link)
{
	struct link_memory *end = end_of(link);

	end->put = end->taken = 0;
}

static u32 memory_send(struct link *link, const u8 *bytes, u32 count)
{
	struct link_memory *end = end_of(link);
	u32 room = end->ring_bytes - (u32)(end->put - end->taken);
	u32 at = (u32)end->put & (end->ring_bytes - 1), first;

	count = count < room ? count : room;
	first = end->ring_bytes - at;
	first = count < first ? count : first;
	memcpy(end->ring + at, bytes, first);
	memcpy(end->ring, bytes + first, count - first);
	end->put += count;
	return count;
}

static u32 memory_receive(struct link *link, u8 *bytes, u32 room)
{
	struct link_memory *from = end_of(link)->peer;
	u32 count = (u32)(from->put - from->taken);
	u32 at = (u32)from->taken & (from->ring_bytes - 1), first;

	count = count < room ? count : room;
	first = from->ring_bytes - at;
	first = count < first ? count : first;
	memcpy(bytes, from->ring + at, first);
	memcpy(bytes + first, from->ring, count - first);
	from->taken += count;
	return count;
}

static u32 memory_pending(struct link *link)
{
	const struct link_memory *end = end_of(link);

	return (u32)(end->put - end->taken);
}

static void memory_close(struct link *link)
{
	(void)link; /* the peer looks at our state */
}

static const struct link_operations operations = {
    .connect = memory_connect,
    .send = memory_send,
    .receive = memory_receive,
    .poll = memory_poll,
    .pending = memory_pending,
    .close = memory_close,
};

void link_memory_join(struct link_memory *a, struct link_memory *b, u8 *rings,
		      u32 ring_bytes)
{
	CHECK(ring_bytes && (ring_bytes & (ring_bytes - 1)) == 0);
	*a = (struct link_memory){
	    .link = {.operations = &operations, .name = "memory"},
	    .peer = b,
	    .ring = rings,
	    .ring_bytes = ring_bytes,
	};
	*b = *a;
	b->peer = a;
	b->ring = rings + ring_bytes;
}
