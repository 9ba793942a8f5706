/* SPDX-License-Identifier: MIT */
/*
 * Whole migrations through the shim of migrate/link_fault.h: whatever it does,
 * one side has the guest, and moves it again with a clean audit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/link_fault.h"
#include "migrate/link_memory.h"
#include "tests/unit/migration_world.h"

#define RING_BYTES  (64U * 1024)
#define SEEDS       240
#define HARMED_MIN  120
#define DELAY_NS    (20 * WORLD_SECOND_NS) /* longer than anybody waits */
#define RECORDS     40 /* of the source, among which one is chosen */
#define RECORDS_DUE 8  /* of the destination */

static u8 rings[2 * RING_BYTES];
static struct link_memory ends[2];
static struct link_fault shims[2]; /* 0: the source's */
static u32 harmed_count;

static u32 carry(u32 number, const u8 *bytes, u32 count)
{
	return link_send(&shims[number].link, bytes, count);
}

static u32 pump_one(u32 number)
{
	static u8 bytes[16 * 1024];
	struct queue *queue = &world.queues[number];
	u32 count;

	forget_taken(queue);
	if (queue->filled + sizeof(bytes) > sizeof(queue->bytes))
		return 1; /* later */
	count = link_receive(&shims[!number].link, bytes, sizeof(bytes));
	queue_put(queue, bytes, count);
	return count;
}

/* A side hears of a loss after all that came before it. */
static void pump(struct world *w)
{
	u32 count;

	for (u32 i = 0; i < 2; i++)
		link_poll(&shims[i].link, w->now_ns);
	count = pump_one(0) + pump_one(1);
	for (u32 i = 0; i < 2; i++)
		if (!count && shims[i].link.state == LINK_LOST)
			w->queues[0].is_cut = w->queues[1].is_cut = true;
}

static void connect_both(u32 side, const struct link_fault_plan *plan)
{
	const struct link_fault_plan none = {.harm = LINK_HARM_NONE};

	link_memory_join(&ends[0], &ends[1], rings, RING_BYTES);
	for (u32 i = 0; i < 2; i++)
		link_fault_wrap(&shims[i], &ends[i].link,
				i == side ? plan : &none);
	for (u32 i = 0; i < 2; i++)
		link_connect(&shims[i].link);
	for (u32 i = 0; i < 4; i++)
		link_poll(&shims[i % 2].link, world.now_ns);
	assert_int_equal(shims[0].link.state, LINK_UP);
	assert_int_equal(shims[1].link.state, LINK_UP);
}

static void migrate(u32 from, u32 side, const struct link_fault_plan *plan)
{
	world_prepare(from);
	connect_both(side, plan);
	world.carry = carry;
	world.on_step = pump;
	world_run();
	assert_one_owner();
}

/* Who has it now; if nobody may run it, a person decides. */
static u32 find_owner(void)
{
	if (receiver_side()->runs)
		return !world.from;
	if (!source_side()->runs) {
		assert_int_equal(world.source.phase, SOURCE_UNCONFIRMED);
		assert_int_equal(world.receiver.phase, RECEIVER_LOST);
		source_side()->runs = true;
	}
	return world.from;
}

static void harm_and_move_again(u64 seed)
{
	struct random random = random_from(seed);
	u32 side = (u32)random_below(&random, 2), owner;
	struct link_fault_plan plan = {
	    .harm = (enum link_harm)(1 + seed % (LINK_HARM_KINDS - 1)),
	    .record = (u32)random_below(&random, side ? RECORDS_DUE : RECORDS),
	    .seed = seed,
	    .delay_ns = DELAY_NS,
	};

	world_begin(seed);
	migrate(0, side, &plan);
	harmed_count += shims[side].harmed;
	owner = find_owner();
	world_remove_side(!owner);
	plan.harm = LINK_HARM_NONE;
	migrate(owner, side, &plan);
	assert_int_equal(world.source.phase, SOURCE_MOVED);
	assert_int_equal(world.receiver.phase, RECEIVER_OWNER);
	assert_true(world.receiver.group_count > 0);
	world_end();
}

static void any_fault_leaves_one_owner_who_can_move_it(void **state)
{
	(void)state;
	for_seeds(SEEDS, harm_and_move_again);
	print_message("%u of %u migrations were harmed\n", harmed_count, SEEDS);
	assert_true(harmed_count >= HARMED_MIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(any_fault_leaves_one_owner_who_can_move_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
