/* SPDX-License-Identifier: MIT */
/* Packed pages: the peer gets what was packed, whatever was sent before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/pack.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

#define PAGES 12U
#define SENT  5U /* some pages share a place */

static struct packer packer;
static struct sent_page sent[SENT];
static u8 here[PAGES][PAGE_4K] ALIGNED(8), there[PAGES][PAGE_4K] ALIGNED(8);

static void begin(u64 features)
{
	memset(here, 0, sizeof(here));
	memset(there, 0, sizeof(there));
	packer_init(&packer, features, sent, SENT);
}

/* As source and receiver do. */
static enum page_kind send_page(u32 number)
{
	struct packed_page packed =
	    packer_pack(&packer, gpa(number * PAGE_4K), here[number]);
	static u8 page[PAGE_4K];

	if (packed.kind == PAGE_RAW) {
		memcpy(there[number], packed.bytes, PAGE_4K);
	} else {
		assert_in_range(packed.count, 1, PACK_BYTES_MAX);
		assert_true(pack_undo(&packed, there[number], page));
		memcpy(there[number], page, PAGE_4K);
	}
	assert_memory_equal(here[number], there[number], PAGE_4K);
	return packed.kind;
}

static void zero_page(u32 number)
{
	memset(here[number], 0, PAGE_4K);
	memset(there[number], 0, PAGE_4K);
	packer_forget(&packer, gpa(number * PAGE_4K));
}

static void change(struct random *random, u8 *page)
{
	u64 words = random_below(random, 4) ? random_below(random, 8) : 512;

	while (words--) {
		u64 value = random_next(random);

		memcpy(page + random_below(random, 512) * 8, &value, 8);
	}
}

static void life(u64 seed)
{
	struct random random = random_from(seed);

	begin(seed % 4);
	for (u32 i = 0; i < 200; i++) {
		u32 number = (u32)random_below(&random, PAGES);

		if (random_below(&random, 10) == 0) {
			zero_page(number);
			continue;
		}
		change(&random, here[number]);
		send_page(number);
	}
}

static void peer_gets_every_page_as_it_was(void **state)
{
	(void)state;
	for_seeds(40, life);
}

static void small_change_of_noise_is_a_delta(void **state)
{
	struct random random = random_from(1);

	(void)state;
	begin(WIRE_FEATURES_KNOWN);
	for (u32 i = 0; i < PAGE_4K; i++)
		here[1][i] = (u8)random_next(&random);
	assert_int_equal(send_page(1), PAGE_RAW);
	here[1][77]++;
	assert_int_equal(send_page(1), PAGE_DELTA);
	zero_page(1);
	here[1][77] = 1;
	assert_int_equal(send_page(1), PAGE_LZ4);
}

static void what_was_not_agreed_is_not_used(void **state)
{
	(void)state;
	begin(0);
	for (u32 i = 0; i < 3; i++)
		assert_int_equal(send_page(2), PAGE_RAW);
	begin(WIRE_FEATURE_LZ4);
	for (u32 i = 0; i < 3; i++)
		assert_int_equal(send_page(2), PAGE_LZ4);
}

static void noise_is_soon_left_alone_and_tried_again(void **state)
{
	struct random random = random_from(2);
	u32 compressed = 0;

	(void)state;
	begin(WIRE_FEATURE_LZ4);
	for (u32 i = 0; i < 20; i++) {
		for (u32 k = 0; k < PAGE_4K; k++)
			here[0][k] = (u8)random_next(&random);
		assert_int_equal(send_page(0), PAGE_RAW);
	}
	memset(here[0], 1, PAGE_4K);
	for (u32 i = 0; i < 20; i++)
		compressed += send_page(0) == PAGE_LZ4;
	assert_in_range(compressed, 12, 19);
}

/* Other words each time: what has changed is more than what is there. */
static void write_words(struct random *random, u8 *page)
{
	for (u32 i = 0; i < PAGE_4K; i += 16)
		memset(page + i, 'a' + (int)random_below(random, 8), 16);
}

static void change_everywhere(struct random *random, u8 *page)
{
	for (u32 i = 0; i < PAGE_4K; i += 16)
		page[i + random_below(random, 16)] = (u8)random_next(random);
}

static void changes_that_do_not_pay_are_seldom_tried_and_again(void **state)
{
	struct random random = random_from(3);
	u32 deltas = 0;

	(void)state;
	begin(WIRE_FEATURES_PAGES);
	for (u32 i = 0; i < PAGE_4K; i++)
		here[1][i] = (u8)random_next(&random);
	assert_int_equal(send_page(1), PAGE_RAW);
	for (u32 i = 0; i < 10; i++) {
		write_words(&random, here[0]);
		assert_int_equal(send_page(0), PAGE_LZ4);
	}
	for (u32 i = 0; i < 20; i++) {
		change_everywhere(&random, here[1]);
		deltas += send_page(1) == PAGE_DELTA;
	}
	assert_in_range(deltas, 12, 19);
	/* Few changes are found whatever became of many. */
	for (u32 i = 0; i < 20; i++) {
		write_words(&random, here[0]);
		assert_int_equal(send_page(0), PAGE_LZ4);
		here[1][i * 200]++;
		assert_int_equal(send_page(1), PAGE_DELTA);
	}
}

static void one_byte_anywhere_is_a_small_delta(void **state)
{
	struct random random = random_from(4);

	(void)state;
	begin(WIRE_FEATURES_PAGES);
	for (u32 i = 0; i < PAGE_4K; i++)
		here[1][i] = (u8)random_next(&random);
	assert_int_equal(send_page(1), PAGE_RAW);
	for (u32 i = 0; i < PAGE_4K; i++) {
		here[1][i] ^= (u8)(1U << i % 8);
		assert_int_equal(send_page(1), PAGE_DELTA);
	}
}

static void bytes_that_are_no_page_are_refused(void **state)
{
	static const u8 bad[] = {0x10, 1, 0, 0};
	struct packed_page packed = {PAGE_LZ4, bad, sizeof(bad)};
	u8 page[PAGE_4K];

	(void)state;
	assert_false(pack_undo(&packed, here[0], page));
	packed.kind = PAGE_DELTA;
	assert_false(pack_undo(&packed, here[0], page));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(peer_gets_every_page_as_it_was),
	    cmocka_unit_test(small_change_of_noise_is_a_delta),
	    cmocka_unit_test(what_was_not_agreed_is_not_used),
	    cmocka_unit_test(noise_is_soon_left_alone_and_tried_again),
	    cmocka_unit_test(
		changes_that_do_not_pay_are_seldom_tried_and_again),
	    cmocka_unit_test(one_byte_anywhere_is_a_small_delta),
	    cmocka_unit_test(bytes_that_are_no_page_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
