/* SPDX-License-Identifier: MIT */
/*
 * A cable and the device that is called, under every order of steps that a seed
 * finds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/cable_ends.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/weave.h"

#define STEPS 400000

static void talk(u64 seed)
{
	ends_begin(seed, 3, seed % 4 ? 3000 : CABLE_BYTES * 2);
	for (u32 i = 0; i < CABLE_ENDS; i++)
		weave_add(end_main, &world.ends[i]);
	weave_run(seed, STEPS);
	for (u32 i = 0; i < CABLE_ENDS; i++)
		if (world.ends[i].failure)
			fail_msg("seed %lu, end %u: %s", seed, i,
				 world.ends[i].failure);
}

static void connections_do_not_meet_and_lose_nothing(void **state)
{
	(void)state;
	for_seeds(1500, talk);
}

/* --- platform_call_port --------------------------------------------------- */

#define CALLS 5

static u32 kicked, answered;

static void kick_0(void *context, u32 vcpu)
{
	(void)context;
	if (vcpu == 0)
		__atomic_store_n(&kicked, 1, __ATOMIC_SEQ_CST);
}

static u64 peek_and_count(void *context, u8 *bytes, u64 room)
{
	(void)context;
	(void)bytes;
	(void)room;
	__atomic_store_n(&answered, answered + 1, __ATOMIC_SEQ_CST);
	return 0;
}

/* Somebody calls, and waits for the answer. */
static void caller_main(void *unused)
{
	(void)unused;
	for (u32 i = 0; i < CALLS; i++) {
		u32 before = __atomic_load_n(&answered, __ATOMIC_SEQ_CST);

		platform_call_port(&platform);
		kick_0(NULL, 0);
		while (__atomic_load_n(&answered, __ATOMIC_SEQ_CST) == before)
			sched_yield();
	}
}

/* Another vCPU's accesses, which compute anew what is due. */
static void other_main(void *unused)
{
	const struct platform_access access = {1, 4, 0};

	(void)unused;
	while (__atomic_load_n(&answered, __ATOMIC_SEQ_CST) < CALLS) {
		platform_port_write(&platform, &access, 0xcf8, 0);
		sched_yield();
	}
}

/* vCPU 0 sleeps until it is kicked. */
static void owner_main(void *unused)
{
	(void)unused;
	while (__atomic_load_n(&answered, __ATOMIC_SEQ_CST) < CALLS) {
		if (!__atomic_exchange_n(&kicked, 0, __ATOMIC_SEQ_CST))
			sched_yield();
		else if (platform_next_event_ns(&platform, 0) <= now_ns)
			platform_tick(&platform, 0, now_ns);
	}
}

static void call(u64 seed)
{
	static struct platform_host host;

	assert_int_equal(fake_platform(), OK);
	host = fake_callbacks;
	host.vcpu_kick = kick_0;
	host.port_peek = peek_and_count;
	platform.config.host = &host;
	platform.devices.console.state.ports[1].guest_open = 1;
	platform.devices.console.virtio.state.status =
	    VIRTIO_DRIVER_OK | VIRTIO_FEATURES_OK;
	pci_config_write(&platform.devices.console.virtio.function, 4, 2, 7);
	kicked = answered = 0;
	weave_add(caller_main, NULL);
	weave_add(other_main, NULL);
	weave_add(owner_main, NULL);
	weave_run(seed, STEPS);
}

static void no_call_is_hidden_by_what_is_due_else(void **state)
{
	(void)state;
	for_seeds(1500, call);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(connections_do_not_meet_and_lose_nothing),
	    cmocka_unit_test(no_call_is_hidden_by_what_is_due_else),
	};

	return cmocka_run_group_tests_name("weave_cable", tests, NULL, NULL);
}
