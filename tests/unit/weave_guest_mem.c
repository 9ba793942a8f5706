/* SPDX-License-Identifier: MIT */
/*
 * Umbra's own writers against the harvester, in every order that seeds find:
 * what is taken and read at last is what was written. No vCPU, no EPT; so few
 * steps that windows of one instruction are hit often.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mm/frame_alloc.h"
#include "mm/guest_mem.h"
#include "tests/unit/support.h"
#include "tests/unit/weave.h"

#define STEPS   100000
#define WRITERS 2
#define WRITES  6
#define BYTES   (256 * KIB)

/* Two pages of one word, and one of another. */
#define PAGES   2
static const u64 pages[PAGES] = {5, 6};

struct writer {
	u32 number;
	struct random random;
};

static struct guest_mem mem;
static struct writer writers[WRITERS];
static u32 writers_left;
static u64 received[PAGES][WRITERS];

static gpa_t place_of(u64 page, u64 writer)
{
	return gpa(page * PAGE_4K + writer * sizeof(u64));
}

static void write_once(const struct writer *writer, u64 page, u64 value)
{
	gpa_t place = place_of(page, writer->number);
	u64 before = value - 1;
	enum err err = OK;

	switch (value % 3) {
	case 0:
		err = guest_mem_write_u64(&mem, place, value);
		break;
	case 1:
		err = guest_mem_write(&mem, place, &value, sizeof(value));
		break;
	default:
		err = guest_mem_read_u64(&mem, place, &before);
		if (err == OK)
			err = guest_mem_swap_u64(&mem, place, &before, value);
	}
	if (err != OK)
		abort();
}

static void writer_main(void *argument)
{
	struct writer *writer = argument;
	u64 count = 1 + random_below(&writer->random, WRITES);

	for (u64 value = 1; value <= count; value++)
		write_once(writer, pages[random_below(&writer->random, PAGES)],
			   value);
	__atomic_fetch_add(&writers_left, -1U, __ATOMIC_SEQ_CST);
}

/* Takes what is marked and reads it; nothing has to be armed here. */
static void harvest(void)
{
	struct dirty_word words[1] = {0};
	struct dirty_batch batch = {words, 1, 0};

	dirty_log_take(&mem.log, gpa(0), dirty_log_end(&mem.log), &batch);
	for (u32 i = 0; i < PAGES; i++) {
		if (!batch.count || !(words[0].bits & BIT(pages[i])))
			continue;
		for (u32 writer = 0; writer < WRITERS; writer++) {
			const u64 *from = guest_mem_ptr(
			    &mem, place_of(pages[i], writer), sizeof(u64));

			received[i][writer] =
			    __atomic_load_n(from, __ATOMIC_RELAXED);
		}
	}
}

static void source_main(void *unused)
{
	(void)unused;
	while (__atomic_load_n(&writers_left, __ATOMIC_SEQ_CST))
		harvest();
	harvest();
}

static void write_and_harvest(u64 seed)
{
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(0x100000), MIB), OK);
	assert_int_equal(guest_mem_create(&mem, gpa(BYTES), "test"), OK);
	assert_int_equal(guest_mem_add(&mem, gpa(0), BYTES), OK);
	memset(received, 0, sizeof(received));
	writers_left = WRITERS;
	for (u32 i = 0; i < WRITERS; i++) {
		writers[i].number = i;
		writers[i].random = random_from(seed * WRITERS + i);
		weave_add(writer_main, &writers[i]);
	}
	weave_add(source_main, NULL);
	weave_run(seed, STEPS);
	for (u32 i = 0; i < PAGES; i++)
		for (u32 writer = 0; writer < WRITERS; writer++) {
			const u64 *here = guest_mem_ptr(
			    &mem, place_of(pages[i], writer), sizeof(u64));

			if (received[i][writer] != *here)
				fail_msg("seed %lu: page %lu was lost", seed,
					 pages[i]);
		}
	guest_mem_destroy(&mem);
}

static void no_write_of_ours_is_lost_in_any_order(void **state)
{
	(void)state;
	for_seeds(4000, write_and_harvest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_write_of_ours_is_lost_in_any_order),
	};

	return cmocka_run_group_tests_name("weave_guest_mem", tests, NULL,
					   NULL);
}
