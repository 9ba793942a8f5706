/* SPDX-License-Identifier: MIT */
/*
 * The dirty-log protocol with real threads under the thread sanitizer: vCPUs
 * that dirty pages through EPT, Umbra's own writer, and the source that
 * harvests, switches modes, calls off and begins again. No data race, and no
 * write lost.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/simulated_vm.h"

static struct vm vm;

static void *cpu_thread(void *cpu)
{
	vm_cpu_main(cpu);
	return NULL;
}

static void *writer_thread(void *unused)
{
	(void)unused;
	vm_writer_main(&vm);
	return NULL;
}

static void migrate(u64 seed)
{
	pthread_t threads[VM_CPUS + 1];

	vm_begin(&vm, seed, VM_FAULT_NONE);
	for (u32 i = 0; i < VM_CPUS; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, cpu_thread, &vm.cpus[i]),
		    0);
	assert_int_equal(
	    pthread_create(&threads[VM_CPUS], NULL, writer_thread, NULL), 0);
	vm_source_main(&vm);
	for (u32 i = 0; i < ARRAY_COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	if (vm.failure)
		fail_msg("seed %lu: %s", seed, vm.failure);
	vm_end(&vm);
}

static void no_race_and_no_lost_write(void **state)
{
	(void)state;
	for_seeds(40, migrate);
}

/* --- The log alone, as fast as threads can ------------------------------- */

#define MARKERS 3
#define PAGES   256
#define MARKS   20000

static struct dirty_log under_test;
static u64 written[MARKERS][PAGES], seen[MARKERS][PAGES];
static u32 markers_left;

static void *marker_thread(void *argument)
{
	u64 number = (u64)(uintptr_t)argument;
	struct random random = random_from(number);

	for (u64 value = 1; value <= MARKS; value++) {
		u64 page = random_below(&random, PAGES);

		__atomic_store_n(&written[number][page], value,
				 __ATOMIC_RELAXED);
		dirty_log_mark(&under_test, gpa(page * PAGE_4K));
	}
	__atomic_fetch_sub(&markers_left, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void take_and_read(void)
{
	struct dirty_word words[2] = {0};
	gpa_t at = gpa(0);

	while (gpa_raw(at) < PAGES * PAGE_4K) {
		struct dirty_batch batch = {words, 2, 0};

		at = dirty_log_take(&under_test, at, gpa(PAGES * PAGE_4K),
				    &batch);
		for (u32 i = 0; i < batch.count; i++)
			for (u64 bit = 0; bit < 64; bit++)
				for (u32 n = 0; n < MARKERS; n++) {
					u64 page =
					    gpa_page(words[i].base) + bit;

					if (words[i].bits & BIT(bit))
						seen[n][page] = __atomic_load_n(
						    &written[n][page],
						    __ATOMIC_RELAXED);
				}
	}
}

static void marks_and_takes_lose_nothing(void **state)
{
	pthread_t threads[MARKERS];

	(void)state;
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(0x100000), MIB), OK);
	assert_int_equal(
	    dirty_log_create(&under_test, gpa(PAGES * PAGE_4K), "test"), OK);
	dirty_log_cover(&under_test, gpa(0), PAGES * PAGE_4K);
	markers_left = MARKERS;
	for (u64 i = 0; i < MARKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						marker_thread,
						(void *)(uintptr_t)i),
				 0);
	while (__atomic_load_n(&markers_left, __ATOMIC_SEQ_CST))
		take_and_read();
	take_and_read();
	for (u32 i = 0; i < MARKERS; i++)
		pthread_join(threads[i], NULL);
	assert_memory_equal(seen, written, sizeof(seen));
	assert_int_equal(dirty_log_count(&under_test), 0);
}

/* --- The frame allocator ------------------------------------------------- */

static u32 allocators_left;

static void *allocator_thread(void *argument)
{
	struct random random = random_from((u64)(uintptr_t)argument);
	hpa_t frames[16];
	enum frame_order orders[16];
	u32 count = 0;

	for (u32 step = 0; step < 5000; step++) {
		u32 order = (u32)random_below(&random, 6);

		if (count < 16 &&
		    frame_alloc_try(order, &frames[count]) == OK) {
			/* Ours alone: the sanitizer would see another owner. */
			memset(phys_ptr(frames[count]), (int)step, 64);
			orders[count++] = order;
		} else if (count) {
			count--;
			frame_free(frames[count], orders[count]);
		}
	}
	while (count) {
		count--;
		frame_free(frames[count], orders[count]);
	}
	__atomic_fetch_sub(&allocators_left, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void frames_have_one_owner(void **state)
{
	struct frame_stats before, after;
	pthread_t threads[3];

	(void)state;
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(0x100000), MIB), OK);
	frame_stats(&before);
	allocators_left = 3;
	for (u64 i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						allocator_thread,
						(void *)(uintptr_t)(i + 1)),
				 0);
	for (u32 i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(allocators_left, 0);
	frame_stats(&after);
	assert_memory_equal(&before, &after, sizeof(before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_race_and_no_lost_write),
	    cmocka_unit_test(marks_and_takes_lose_nothing),
	    cmocka_unit_test(frames_have_one_owner),
	};

	return cmocka_run_group_tests_name("tsan_tracking", tests, NULL, NULL);
}
