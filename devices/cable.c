/* SPDX-License-Identifier: MIT */
/* See devices/cable.h. */
#include "devices/cable.h"
#include "lib/check.h"
#include "lib/string.h"

_Static_assert(!(CABLE_BYTES & (CABLE_BYTES - 1)), "counters wrap around it");

static u64 filled(const struct cable_pipe *pipe)
{
	return pipe->put - pipe->taken;
}

static void empty(struct cable_pipe *pipe)
{
	pipe->taken = pipe->put;
	pipe->writer_waits = false;
}

static void call(const struct cable_end *end)
{
	if (end->call)
		end->call(end->context);
}

/* The part of the pipe's array from `at` on that is in one piece. */
static u64 piece(u64 at, u64 count)
{
	u64 until_wrap = CABLE_BYTES - at % CABLE_BYTES;

	return count < until_wrap ? count : until_wrap;
}

/* Both want it, and nothing of an older connection is left. */
static void connect(struct cable *cable)
{
	struct cable_end *ends = cable->ends;

	if (cable->is_up || !ends[0].is_open || !ends[1].is_open ||
	    ends[0].sees || ends[1].sees)
		return;
	cable->is_up = true;
	ends[0].sees = ends[1].sees = true;
	call(&ends[0]);
	call(&ends[1]);
}

/* Who closes reads no more; what it has written stays for the other end. */
static void disconnect(struct cable *cable, u32 end)
{
	cable->ends[end].sees = false;
	empty(&cable->pipes[end]);
	if (!cable->is_up)
		return;
	cable->is_up = false;
	call(&cable->ends[!end]);
}

void cable_init(struct cable *cable)
{
	memset(cable, 0, sizeof(*cable));
}

void cable_plug(struct cable *cable, u32 end, void (*callee)(void *context),
		void *context)
{
	CHECK(end < CABLE_ENDS);
	spin_lock(&cable->lock);
	cable->ends[end].call = callee;
	cable->ends[end].context = context;
	call(&cable->ends[end]);
	spin_unlock(&cable->lock);
}

void cable_set_port(struct cable *cable, u32 end, enum platform_port port)
{
	bool is_open = port == PLATFORM_PORT_OPEN;

	CHECK(end < CABLE_ENDS);
	spin_lock(&cable->lock);
	if (cable->ends[end].is_open != is_open) {
		cable->ends[end].is_open = is_open;
		if (!is_open)
			disconnect(cable, end);
		connect(cable);
	}
	spin_unlock(&cable->lock);
}

enum platform_port cable_peer_port(struct cable *cable, u32 end)
{
	struct cable_end *here = &cable->ends[end];
	enum platform_port port;

	CHECK(end < CABLE_ENDS);
	spin_lock(&cable->lock);
	if (!cable->is_up && !filled(&cable->pipes[end]))
		here->sees = false;
	port = here->sees ? PLATFORM_PORT_OPEN : PLATFORM_PORT_CLOSED;
	/* If that makes it come up, this end is called for it. */
	connect(cable);
	spin_unlock(&cable->lock);
	return port;
}

static u64 put(struct cable_pipe *pipe, const u8 *bytes, u64 count)
{
	u64 room = CABLE_BYTES - filled(pipe);
	u64 taken = count < room ? count : room;
	u64 first = piece(pipe->put, taken);

	memcpy(pipe->bytes + pipe->put % CABLE_BYTES, bytes, first);
	memcpy(pipe->bytes, bytes + first, taken - first);
	pipe->put += taken;
	pipe->writer_waits = taken < count;
	return taken;
}

/*
 * Who has found a pipe empty looks again only when called; who has left bytes
 * in it knows of them, and what hinders it is its own guest's to tell.
 */
u64 cable_write(struct cable *cable, u32 end, const u8 *bytes, u64 count)
{
	u64 taken = count;

	CHECK(end < CABLE_ENDS);
	spin_lock(&cable->lock);
	if (cable->is_up) {
		struct cable_pipe *pipe = &cable->pipes[!end];
		bool was_empty = !filled(pipe);

		taken = put(pipe, bytes, count);
		if (was_empty && taken)
			call(&cable->ends[!end]);
	}
	spin_unlock(&cable->lock);
	return taken;
}

u64 cable_peek(struct cable *cable, u32 end, u8 *bytes, u64 room)
{
	const struct cable_pipe *pipe = &cable->pipes[end];
	u64 count, first;

	CHECK(end < CABLE_ENDS);
	spin_lock(&cable->lock);
	count = filled(pipe) < room ? filled(pipe) : room;
	first = piece(pipe->taken, count);
	memcpy(bytes, pipe->bytes + pipe->taken % CABLE_BYTES, first);
	memcpy(bytes + first, pipe->bytes, count - first);
	spin_unlock(&cable->lock);
	return count;
}

void cable_take(struct cable *cable, u32 end, u64 count)
{
	struct cable_pipe *pipe = &cable->pipes[end];

	CHECK(end < CABLE_ENDS);
	spin_lock(&cable->lock);
	/* It may have been closed from outside since it was seen. */
	pipe->taken += count < filled(pipe) ? count : filled(pipe);
	if (pipe->writer_waits && filled(pipe) <= CABLE_BYTES / 2) {
		pipe->writer_waits = false;
		call(&cable->ends[!end]);
	}
	spin_unlock(&cable->lock);
}
