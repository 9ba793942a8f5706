/* SPDX-License-Identifier: MIT */
/* What all links have in common: see migrate/link.h. */
#include "migrate/link.h"
#include "lib/check.h"
#include "lib/fmt.h"

void link_connect(struct link *link)
{
	link->state = LINK_CONNECTING;
	link->sent_bytes = link->received_bytes = 0;
	link->why[0] = 0;
	link->operations->connect(link);
}

u32 link_send(struct link *link, const u8 *bytes, u32 count)
{
	u32 taken = 0;

	if (link->state == LINK_UP && count)
		taken = link->operations->send(link, bytes, count);
	CHECK(taken <= count);
	link->sent_bytes += taken;
	return taken;
}

u32 link_lend(struct link *link, const u8 *bytes, u32 count)
{
	u32 taken = 0;

	if (link->state == LINK_UP && count)
		taken = link->operations->lend(link, bytes, count);
	CHECK(taken <= count);
	link->sent_bytes += taken;
	return taken;
}

bool link_has_returned(struct link *link)
{
	return !link_can_lend(link) || link->operations->has_returned(link);
}

enum err link_recall(struct link *link)
{
	link_is_lost(link, "what was lent to it was taken back");
	return link_has_returned(link) ? OK : link->operations->recall(link);
}

u32 link_receive(struct link *link, u8 *bytes, u32 room)
{
	u32 got = room ? link->operations->receive(link, bytes, room) : 0;

	CHECK(got <= room);
	link->received_bytes += got;
	return got;
}

void link_poll(struct link *link, u64 now_ns)
{
	link->operations->poll(link, now_ns);
}

void link_close(struct link *link)
{
	if (link->state != LINK_LOST)
		link->operations->close(link);
	link_is_lost(link, "the link was closed on this side");
}

void link_is_lost(struct link *link, const char *why)
{
	if (link->state == LINK_LOST)
		return;
	link->state = LINK_LOST;
	fmt(link->why, sizeof(link->why), "%s", why);
}
