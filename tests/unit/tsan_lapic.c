/* SPDX-License-Identifier: MIT */
/*
 * Senders on other CPUs against the owner of a local APIC: no interrupt is
 * lost, none comes twice, and the last one is always announced by a kick.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/lapic.h"

#define SENDER_COUNT 3
#define ROUND_COUNT  3000

static struct lapic lapic;
static u32 taken[SENDER_COUNT]; /* rounds that the owner has acknowledged */
static u32 kicked;              /* a kick is outstanding */

/* One vector per sender; the next round begins when this one was taken. */
static void *send(void *argument)
{
	u32 sender = *(u32 *)argument;
	u8 vector = (u8)(0x40 + sender * 0x41);

	for (u32 round = 0; round < ROUND_COUNT; round++) {
		if (lapic_is_addressed(&lapic, LAPIC_PHYSICAL, 1) &&
		    lapic_post(&lapic, LAPIC_FIXED, vector,
			       round % 2 ? LAPIC_LEVEL_TRIGGERED
					 : LAPIC_EDGE_TRIGGERED) !=
			LAPIC_KICK_NOT_NEEDED)
			__atomic_store_n(&kicked, 1, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&taken[sender], __ATOMIC_ACQUIRE) ==
		       round)
			sched_yield();
	}
	return NULL;
}

static void take_all(u32 *total)
{
	int vector;

	lapic_sync(&lapic);
	while ((vector = lapic_pending_vector(&lapic)) != LAPIC_NO_VECTOR) {
		u32 sender = ((u32)vector - 0x40) / 0x41;
		u32 round = taken[sender];
		struct lapic_outcome outcome;

		lapic_accept(&lapic, (u8)vector);
		outcome = lapic_mmio_write(&lapic, LAPIC_EOI, 0, 0);
		assert_int_equal(outcome.effect, round % 2 ? LAPIC_EFFECT_EOI
							   : LAPIC_EFFECT_NONE);
		__atomic_store_n(&taken[sender], round + 1, __ATOMIC_RELEASE);
		(*total)++;
	}
}

static void posted_interrupts_are_taken_exactly_once(void **state)
{
	const struct lapic_config config = {
	    .timer_hz = 1,
	    .tsc_hz = 1,
	    .apic_id = 1,
	    .phys_bits = 40,
	};
	pthread_t threads[SENDER_COUNT];
	u32 numbers[SENDER_COUNT];
	u32 total = 0;

	(void)state;
	lapic_reset(&lapic, &config, LAPIC_IS_AP);
	assert_int_equal(lapic_mmio_write(&lapic, LAPIC_SVR, 0x1ff, 0).effect,
			 LAPIC_EFFECT_NONE);
	for (u32 i = 0; i < SENDER_COUNT; i++) {
		numbers[i] = i;
		assert_int_equal(
		    pthread_create(&threads[i], NULL, send, &numbers[i]), 0);
	}
	/* The owner looks only when kicked: a lost kick hangs here. */
	while (total < SENDER_COUNT * ROUND_COUNT) {
		if (__atomic_exchange_n(&kicked, 0, __ATOMIC_SEQ_CST))
			take_all(&total);
		else
			sched_yield();
	}
	for (u32 i = 0; i < SENDER_COUNT; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	lapic_sync(&lapic);
	assert_int_equal(lapic_pending_vector(&lapic), LAPIC_NO_VECTOR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(posted_interrupts_are_taken_exactly_once),
	};

	return cmocka_run_group_tests_name("lapic threads", tests, NULL, NULL);
}
