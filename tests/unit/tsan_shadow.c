/* SPDX-License-Identifier: MIT */
/* The shadow with real threads under the thread sanitizer. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/shadow_smp.h"

static struct smp smp;

static void *cpu_thread(void *cpu)
{
	smp_cpu_main(cpu);
	return NULL;
}

static void run(u64 seed)
{
	pthread_t threads[SMP_CPUS];

	smp_begin(&smp, seed, SMP_SOUND, seed % 2 ? SHADOW_BY_D : SHADOW_BY_W);
	for (u32 i = 0; i < SMP_CPUS; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, cpu_thread, &smp.cpus[i]),
		    0);
	smp_source_main(&smp);
	for (u32 i = 0; i < SMP_CPUS; i++)
		pthread_join(threads[i], NULL);
	if (smp.failure)
		fail_msg("seed %lu: %s", seed, smp.failure);
	smp_end(&smp);
}

static void no_race_and_no_lost_write_of_l2(void **state)
{
	(void)state;
	for_seeds(30, run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_race_and_no_lost_write_of_l2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
