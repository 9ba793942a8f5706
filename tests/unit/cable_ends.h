/* SPDX-License-Identifier: MIT */
/*
 * Two devices at a cable, each in a thread, that look only when they are
 * called: several connections one after the other, with other bytes in each.
 * A call that is lost lets a thread wait for ever.
 */
#ifndef TESTS_UNIT_CABLE_ENDS_H
#define TESTS_UNIT_CABLE_ENDS_H

#include <sched.h>
#include <string.h>

#include "devices/cable.h"
#include "tests/unit/support.h"

#define END_PIECE 5000U

struct end {
	u32 number;
	u32 called; /* atomic */
	struct random random;
	u64 sent, received; /* of this connection */
	u32 connection;
	bool saw_open;
	const char *failure;
};

struct ends_world {
	struct cable cable;
	struct end ends[CABLE_ENDS];
	u32 connections;
	u64 bytes; /* each way, in each connection */
};

static struct ends_world world;

static void end_call(void *context)
{
	struct end *end = context;

	__atomic_store_n(&end->called, 1, __ATOMIC_SEQ_CST);
}

static u8 byte_at(u32 sender, u32 connection, u64 at)
{
	return (u8)(at * 7 + sender * 101 + connection * 59 + (at >> 8));
}

static void end_send(struct end *end)
{
	u8 bytes[END_PIECE];

	while (end->sent < world.bytes) {
		u64 count = 1 + random_below(&end->random, END_PIECE);
		u64 taken;

		if (count > world.bytes - end->sent)
			count = world.bytes - end->sent;
		for (u64 i = 0; i < count; i++)
			bytes[i] = byte_at(end->number, end->connection,
					   end->sent + i);
		taken = cable_write(&world.cable, end->number, bytes, count);
		end->sent += taken;
		if (taken < count)
			return;
	}
}

static void end_receive(struct end *end)
{
	u8 bytes[END_PIECE];
	u64 count;

	while ((count = cable_peek(&world.cable, end->number, bytes,
				   1 + random_below(&end->random, END_PIECE))) >
	       0) {
		u64 taken = 1 + random_below(&end->random, count);

		for (u64 i = 0; i < taken; i++)
			if (bytes[i] != byte_at(!end->number, end->connection,
						end->received + i))
				end->failure = "a byte that was not sent here";
		cable_take(&world.cable, end->number, taken);
		end->received += taken;
	}
}

/*
 * End 0 closes when it has everything, and opens again. End 1 stays open: when
 * it sees that, it can be of the next connection already.
 */
static bool end_has_done(struct end *end)
{
	bool all = end->sent == world.bytes && end->received == world.bytes;

	return end->number == 0 ? all : end->saw_open;
}

static void end_again(struct end *end)
{
	if (end->received != world.bytes)
		end->failure = "bytes were lost";
	end->sent = end->received = 0;
	end->saw_open = false;
	end->connection++;
	if (end->number == 0)
		cable_set_port(&world.cable, 0, PLATFORM_PORT_CLOSED);
	if (end->number == 0 && end->connection < world.connections)
		cable_set_port(&world.cable, end->number, PLATFORM_PORT_OPEN);
	end_call(end);
}

static void end_look(struct end *end)
{
	enum platform_port peer;

	end_receive(end);
	peer = cable_peer_port(&world.cable, end->number);
	if (peer == PLATFORM_PORT_OPEN) {
		end->saw_open = true;
		end_send(end);
		end_receive(end);
		if (end->number == 0 && end_has_done(end))
			end_again(end);
	} else if (end->number == 1 && end_has_done(end)) {
		end_again(end);
	}
}

static void end_main(void *argument)
{
	struct end *end = argument;

	cable_plug(&world.cable, end->number, end_call, end);
	cable_set_port(&world.cable, end->number, PLATFORM_PORT_OPEN);
	while (end->connection < world.connections && !end->failure) {
		if (__atomic_exchange_n(&end->called, 0, __ATOMIC_SEQ_CST))
			end_look(end);
		else
			sched_yield();
	}
	cable_set_port(&world.cable, end->number, PLATFORM_PORT_CLOSED);
	cable_plug(&world.cable, end->number, NULL, NULL);
}

static void ends_begin(u64 seed, u32 connections, u64 bytes)
{
	memset(&world, 0, sizeof(world));
	cable_init(&world.cable);
	world.connections = connections;
	world.bytes = bytes;
	for (u32 i = 0; i < CABLE_ENDS; i++) {
		world.ends[i].number = i;
		world.ends[i].random = random_from(seed * CABLE_ENDS + i);
	}
}

#endif
