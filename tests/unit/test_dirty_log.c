/* SPDX-License-Identifier: MIT */
/*
 * The dirty log, one thread, against a model: an array with one flag per page.
 * What happens when several write it at once is in test_tracking.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mm/dirty_log.h"
#include "mm/phys.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

/* More than two summary words (4096 pages each), and no round number. */
#define PAGES 9000

static struct dirty_log under_test;
static bool known[PAGES], marked[PAGES];
static struct dirty_word words[256];

static gpa_t page_at(u64 page)
{
	return gpa(page * PAGE_4K);
}

static void cover(u64 first, u64 count)
{
	dirty_log_cover(&under_test, page_at(first), count * PAGE_4K);
	for (u64 i = first; i < first + count; i++)
		known[i] = true;
}

/* Guest memory with a hole in it, as every PC has one. */
static void begin(void)
{
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(0x100000), 16 * MIB), OK);
	assert_int_equal(dirty_log_create(&under_test, page_at(PAGES), "test"),
			 OK);
	memset(known, 0, sizeof(known));
	memset(marked, 0, sizeof(marked));
	cover(0, 160);
	cover(256, 3000);
	cover(5001, PAGES - 5001);
}

/* Every marked page is marked there too, no other is, and a take finds it. */
static void assert_same(void)
{
	u64 count = 0;

	for (u64 i = 0; i < PAGES; i++) {
		assert_int_equal(dirty_log_is_marked(&under_test, page_at(i)),
				 marked[i]);
		count += marked[i];
	}
	assert_int_equal(dirty_log_count(&under_test), count);
	for (u64 word = 0; word < under_test.word_count; word++)
		if (under_test.dirty[word])
			assert_true(under_test.summary[word / 64] &
				    BIT(word % 64));
}

static void mark_in_model(u64 page)
{
	if (page < PAGES && known[page])
		marked[page] = true;
}

static void expect_taken(const struct dirty_batch *batch, u64 first, u64 end)
{
	u64 last_base = 0;

	for (u32 i = 0; i < batch->count; i++) {
		u64 base = gpa_page(batch->words[i].base);

		assert_true(i == 0 || base > last_base);
		assert_true(is_aligned(base, DIRTY_WORD_PAGES));
		assert_true(base >= first && base < end);
		assert_int_not_equal(batch->words[i].bits, 0);
		for (u64 bit = 0; bit < 64; bit++) {
			if (!(batch->words[i].bits & BIT(bit)))
				continue;
			assert_true(marked[base + bit]);
			marked[base + bit] = false;
		}
		last_base = base;
	}
	for (u64 i = first; i < end && i < PAGES; i++)
		assert_false(marked[i]);
}

static void take_some(struct random *random)
{
	u64 first = random_below(random, PAGES) & ~63ULL;
	u64 end = (first + random_below(random, PAGES)) & ~63ULL;
	struct dirty_batch batch = {words, 1 + (u32)random_below(random, 200),
				    0};
	gpa_t stopped =
	    dirty_log_take(&under_test, page_at(first), page_at(end), &batch);

	assert_true(gpa_page(stopped) >= first && gpa_page(stopped) <= end);
	assert_true(gpa_page(stopped) == end || batch.count == batch.capacity);
	expect_taken(&batch, first, gpa_page(stopped));
	if (random_below(random, 4) == 0) {
		dirty_log_give_back(&under_test, &batch);
		for (u32 i = 0; i < batch.count; i++)
			for (u64 bit = 0; bit < 64; bit++)
				if (batch.words[i].bits & BIT(bit))
					mark_in_model(
					    gpa_page(batch.words[i].base) +
					    bit);
	}
}

static void mark_some(struct random *random)
{
	u64 page = random_below(random, PAGES + 500);
	u64 count = random_below(random, 300);
	u64 bits = random_next(random) << random_below(random, 64);

	switch (random_below(random, 3)) {
	case 0:
		dirty_log_mark(&under_test, gpa(page * PAGE_4K + 0xabc));
		mark_in_model(page);
		break;
	case 1:
		dirty_log_mark_word(&under_test, page_at(page), bits);
		for (u64 bit = 0; bit < 64; bit++)
			if (bits & BIT(bit))
				mark_in_model((page & ~63ULL) + bit);
		break;
	default:
		dirty_log_mark_range(&under_test, page_at(page),
				     count * PAGE_4K);
		for (u64 i = 0; i < count; i++)
			mark_in_model(page + i);
	}
}

static void random_use(u64 seed)
{
	struct random random = random_from(seed);

	begin();
	for (u32 step = 0; step < 300; step++) {
		if (random_below(&random, 4))
			mark_some(&random);
		else
			take_some(&random);
		if (step % 10 == 0)
			assert_same();
	}
	assert_same();
	dirty_log_destroy(&under_test);
}

static void random_use_agrees_with_the_model(void **state)
{
	(void)state;
	for_seeds(8, random_use);
}

static void a_partly_touched_page_is_marked(void **state)
{
	(void)state;
	begin();
	dirty_log_mark_range(&under_test, gpa(0x1fff), 2);
	assert_true(dirty_log_is_marked(&under_test, gpa(0x1000)));
	assert_true(dirty_log_is_marked(&under_test, gpa(0x2000)));
	assert_int_equal(dirty_log_count(&under_test), 2);
	dirty_log_mark_range(&under_test, gpa(0x5000), 0);
	assert_int_equal(dirty_log_count(&under_test), 2);
}

static void all_marked_means_all_that_exist(void **state)
{
	(void)state;
	begin();
	dirty_log_mark_all(&under_test);
	memcpy(marked, known, sizeof(known));
	assert_same();
}

static void what_is_no_guest_memory_is_only_counted(void **state)
{
	(void)state;
	begin();
	dirty_log_mark(&under_test, page_at(200));
	dirty_log_mark(&under_test, page_at(PAGES + 1000));
	dirty_log_mark(&under_test, gpa(~0ULL));
	dirty_log_mark_word(&under_test, page_at(128), ~0ULL);
	assert_int_equal(under_test.foreign_count, 3 + 32);
	assert_int_equal(dirty_log_count(&under_test), 32);
}

/* What follows the bits in memory must not be taken for more of them. */
static void the_word_past_the_end_is_foreign(void **state)
{
	struct dirty_log small;

	(void)state;
	begin();
	assert_int_equal(dirty_log_create(&small, page_at(64), "test"), OK);
	dirty_log_cover(&small, page_at(32), 32 * PAGE_4K);
	dirty_log_mark_all(&small);
	dirty_log_mark_word(&small, page_at(64), ~0ULL);
	assert_int_equal(small.foreign_count, 64);
	/* What lies behind the words has this bit set: it is no word. */
	dirty_log_mark(&small, page_at(64));
	assert_int_equal(small.foreign_count, 65);
	dirty_log_mark(&small, page_at(0));
	assert_false(dirty_log_is_marked(&small, page_at(0)));
	assert_int_equal(dirty_log_count(&small), 32);
}

static void endless_ranges_end(void **state)
{
	(void)state;
	begin();
	/* One that does not end is ended. */
	alarm(10);
	dirty_log_mark_range(&under_test, page_at(PAGES - 1), ~0ULL);
	dirty_log_mark_range(&under_test, gpa(~0ULL - 5), ~0ULL);
	dirty_log_cover(&under_test, gpa(BIT(63)), ~0ULL);
	alarm(0);
	assert_int_equal(dirty_log_count(&under_test), 1);
}

static void an_empty_batch_takes_nothing(void **state)
{
	struct dirty_batch batch = {words, 0, 0};

	(void)state;
	begin();
	dirty_log_mark(&under_test, page_at(70));
	assert_int_equal(
	    gpa_page(dirty_log_take(&under_test, page_at(0),
				    dirty_log_end(&under_test), &batch)),
	    64);
	assert_true(dirty_log_is_marked(&under_test, page_at(70)));
	batch.capacity = 1;
	dirty_log_take(&under_test, page_at(0), dirty_log_end(&under_test),
		       &batch);
	assert_int_equal(batch.count, 1);
}

static void absurd_sizes_are_refused(void **state)
{
	struct dirty_log log;

	(void)state;
	begin();
	assert_int_equal(dirty_log_create(&log, gpa(0), "test"), ERR_RANGE);
	assert_int_equal(dirty_log_create(&log, gpa(~0ULL), "test"), ERR_RANGE);
	assert_int_equal(dirty_log_create(&log, gpa(BIT(52)), "test"),
			 ERR_RANGE);
	assert_int_equal(dirty_log_create(&log, gpa(BIT(40)), "test"),
			 ERR_NO_MEMORY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_use_agrees_with_the_model),
	    cmocka_unit_test(a_partly_touched_page_is_marked),
	    cmocka_unit_test(all_marked_means_all_that_exist),
	    cmocka_unit_test(what_is_no_guest_memory_is_only_counted),
	    cmocka_unit_test(the_word_past_the_end_is_foreign),
	    cmocka_unit_test(endless_ranges_end),
	    cmocka_unit_test(an_empty_batch_takes_nothing),
	    cmocka_unit_test(absurd_sizes_are_refused),
	};

	return cmocka_run_group_tests_name("dirty_log", tests, NULL, NULL);
}
