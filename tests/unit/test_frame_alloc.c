/* SPDX-License-Identifier: MIT */
/*
 * The frame allocator against a model that knows the owner of every frame.
 *
 * The model also knows when an allocation must succeed: buddies always join,
 * so whenever an aligned run of free frames lies in one piece of RAM, there is
 * a block of that order to be had.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mm/frame_alloc.h"
#include "mm/phys.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

#define FRAMES (HOST_PHYS_BYTES / PAGE_4K)

static u64 frame_of(hpa_t address)
{
	return hpa_page(address);
}

static u64 free_bytes(void)
{
	struct frame_stats stats;

	frame_stats(&stats);
	return stats.free_bytes;
}

static void add(u64 base, u64 bytes)
{
	assert_int_equal(frame_alloc_add(hpa(base), bytes), OK);
}

static void reserve(u64 base, u64 bytes)
{
	assert_int_equal(frame_alloc_reserve(hpa(base), bytes), OK);
}

/* --- The model ----------------------------------------------------------- */

enum owner {
	NOT_RAM, /* never to be seen */
	FREE,
	USED,
};

static u8 owners[FRAMES];

struct block {
	hpa_t frame;
	enum frame_order order;
};

static void claim(hpa_t frame, enum frame_order order)
{
	u64 count = 1ULL << order;

	assert_true(is_aligned(frame_of(frame), count));
	for (u64 i = 0; i < count; i++) {
		assert_int_equal(owners[frame_of(frame) + i], FREE);
		owners[frame_of(frame) + i] = USED;
	}
}

static void give_back(struct block block)
{
	memset(&owners[frame_of(block.frame)], FREE, 1ULL << block.order);
	frame_free(block.frame, block.order);
}

static u64 model_free_bytes(void)
{
	u64 count = 0;

	for (u64 i = 0; i < FRAMES; i++)
		count += owners[i] == FREE;
	return count * PAGE_4K;
}

/* Is there an aligned run of free frames? Pieces of RAM never touch here. */
static bool model_has(enum frame_order order, u64 limit)
{
	u64 count = 1ULL << order;

	for (u64 first = 0; first + count <= limit; first += count) {
		u64 i = 0;

		while (i < count && owners[first + i] == FREE)
			i++;
		if (i == count)
			return true;
	}
	return false;
}

/* Takes every frame there is, to learn which ones are under management. */
static void learn_frames(void)
{
	static hpa_t taken[FRAMES];
	u64 count = 0;

	memset(owners, NOT_RAM, sizeof(owners));
	while (frame_alloc_try(FRAME_4K, &taken[count]) == OK)
		owners[frame_of(taken[count++])] = FREE;
	assert_int_equal(free_bytes(), 0);
	while (count)
		frame_free(taken[--count], FRAME_4K);
	assert_int_equal(free_bytes(), model_free_bytes());
}

/* --- Tests --------------------------------------------------------------- */

#define HELD 400

static void random_traffic(u64 seed)
{
	static struct block held[HELD];
	struct random random = random_from(seed);
	u64 count = 0;

	frame_alloc_init();
	reserve(0x9f000, 0x61000);
	reserve(random_below(&random, HOST_PHYS_BYTES), 5 * MIB + 123);
	add(0, HOST_PHYS_BYTES);
	learn_frames();
	for (u32 step = 0; step < 2000; step++) {
		enum frame_order order = (u32)random_below(&random, 15);
		bool low = random_below(&random, 20) == 0;
		u64 limit = low ? MIB / PAGE_4K : FRAMES;
		hpa_t frame;

		if (count && (count == HELD || random_below(&random, 2))) {
			u64 which = random_below(&random, count);

			give_back(held[which]);
			held[which] = held[--count];
			continue;
		}
		if (frame_alloc_in(low ? FRAME_BELOW_1M : FRAME_ANYWHERE, order,
				   "test", &frame) == OK) {
			assert_true(frame_of(frame) < limit);
			claim(frame, order);
			held[count++] = (struct block){frame, order};
		} else {
			assert_false(model_has(order, limit));
		}
		if (step % 100 == 0)
			assert_int_equal(free_bytes(), model_free_bytes());
	}
	while (count)
		give_back(held[--count]);
	assert_int_equal(free_bytes(), model_free_bytes());
}

static void random_traffic_agrees_with_the_model(void **state)
{
	(void)state;
	for_seeds(4, random_traffic);
}

static void freed_buddies_become_the_largest_block_again(void **state)
{
	struct frame_stats before, after;
	hpa_t frames[64];

	(void)state;
	frame_alloc_init();
	add(0x100000, HOST_PHYS_BYTES - 0x100000);
	frame_stats(&before);
	for (u32 i = 0; i < 64; i++)
		assert_int_equal(frame_alloc(FRAME_4K, "test", &frames[i]), OK);
	for (u32 i = 0; i < 64; i += 2)
		frame_free(frames[i], FRAME_4K);
	for (u32 i = 1; i < 64; i += 2)
		frame_free(frames[i], FRAME_4K);
	frame_stats(&after);
	assert_memory_equal(&before, &after, sizeof(before));
}

static void large_blocks_are_aligned(void **state)
{
	hpa_t frame;

	(void)state;
	frame_alloc_init();
	add(0, HOST_PHYS_BYTES);
	assert_int_equal(frame_alloc(FRAME_2M, "test", &frame), OK);
	assert_true(is_aligned(hpa_raw(frame), PAGE_2M));
	assert_int_equal(frame_alloc(15, "test", &frame), OK);
	assert_true(is_aligned(hpa_raw(frame), 128 * MIB));
	assert_int_equal(frame_alloc(FRAME_1G, "test", &frame), ERR_NO_MEMORY);
}

static void reserved_and_double_memory_is_left_out(void **state)
{
	hpa_t frame;

	(void)state;
	frame_alloc_init();
	/* A loader's map with overlaps, out of order, ends inside frames. */
	reserve(0x200800, 0x1000);
	reserve(0x280000, 0x80000);
	add(0x200000, 0x100000);
	add(0x180000, 0x100000);
	add(0x1fffff, 2);
	learn_frames();
	assert_int_equal(owners[0x200], NOT_RAM);
	assert_int_equal(owners[0x201], NOT_RAM);
	for (u64 i = 0x280; i < 0x300; i++)
		assert_int_equal(owners[i], NOT_RAM);
	for (u64 i = 0x203; i < 0x280; i++)
		assert_int_equal(owners[i], FREE);
	for (u64 i = 0x181; i < 0x200; i++)
		assert_int_equal(owners[i], FREE);
	assert_int_equal(owners[0x17f], NOT_RAM);
	assert_int_equal(frame_alloc(FRAME_512K, "test", &frame),
			 ERR_NO_MEMORY);
}

static void absurd_maps_are_survived(void **state)
{
	struct frame_stats stats;

	(void)state;
	frame_alloc_init();
	reserve(~0ULL - 5, ~0ULL);
	reserve(0x1000, 0);
	add(~0ULL, ~0ULL);
	add(BIT(52) - 0x1000, 0x1000000);
	add(0x5000, 0);
	add(0x5800, 0x900);
	add(0x7000, 0x1000);
	frame_stats(&stats);
	assert_int_equal(stats.total_bytes, 0);
	add(0x8000, 0x2000);
	frame_stats(&stats);
	assert_int_equal(stats.total_bytes, 0x1000);
}

static void a_map_of_too_many_pieces_says_so_and_goes_on(void **state)
{
	enum err err = OK;
	hpa_t frame;

	(void)state;
	frame_alloc_init();
	for (u64 i = 0; i < 300; i++)
		if (frame_alloc_add(hpa(0x100000 + i * 0x4000), 0x2000) != OK)
			err = ERR_NO_MEMORY;
	assert_int_equal(err, ERR_NO_MEMORY);
	assert_int_equal(free_bytes(), 128 * PAGE_4K);
	assert_int_equal(frame_alloc(FRAME_4K, "test", &frame), OK);
}

static void memory_added_later_is_used_first(void **state)
{
	hpa_t low, high;

	(void)state;
	frame_alloc_init();
	add(0x1000, 0x9f000);
	assert_int_equal(frame_alloc(FRAME_4K, "test", &low), OK);
	assert_true(hpa_raw(low) < MIB);
	add(0x100000, 0x100000);
	assert_int_equal(frame_alloc(FRAME_4K, "test", &high), OK);
	assert_true(hpa_raw(high) >= MIB);
	assert_int_equal(frame_alloc_in(FRAME_BELOW_1M, FRAME_4K, "test", &low),
			 OK);
	assert_true(hpa_raw(low) < MIB);
}

static void the_first_frame_is_nobodys(void **state)
{
	(void)state;
	frame_alloc_init();
	add(0, MIB);
	learn_frames();
	assert_int_equal(owners[0], NOT_RAM);
}

static void running_out_names_who_wanted_what(void **state)
{
	hpa_t frame = hpa(0x1234);

	(void)state;
	frame_alloc_init();
	add(0x100000, 0x80000);
	assert_int_equal(frame_alloc(FRAME_2M, "a test", &frame),
			 ERR_NO_MEMORY);
	assert_int_equal(hpa_raw(frame), 0x1234);
	assert_string_equal(host_last_log,
			    "out of memory: a test wanted 2048 KiB (508 KiB "
			    "free, largest block 256 KiB)");
	assert_int_equal(
	    frame_alloc_in(FRAME_BELOW_1M, FRAME_4K, "a trampoline", &frame),
	    ERR_NO_MEMORY);
	assert_string_equal(host_last_log,
			    "out of memory: a trampoline wanted 4 KiB below 1 "
			    "MiB (508 KiB free, largest block 256 KiB)");
	host_last_log[0] = 0;
	assert_int_equal(frame_alloc_try(FRAME_2M, &frame), ERR_NO_MEMORY);
	assert_string_equal(host_last_log, "");
}

static void zeroed_frames_are_zero(void **state)
{
	static const u8 zeroes[8 * KIB];
	hpa_t frame;

	(void)state;
	frame_alloc_init();
	memset(&phys_memory[0x100000], 0xa5, 0x100000);
	add(0x100000, 0x100000);
	assert_int_equal(frame_alloc_zeroed(FRAME_8K, "test", &frame), OK);
	assert_memory_equal(phys_ptr(frame), zeroes, sizeof(zeroes));
}

static void order_for_rounds_up(void **state)
{
	(void)state;
	assert_int_equal(frame_order_for(0), FRAME_4K);
	assert_int_equal(frame_order_for(1), FRAME_4K);
	assert_int_equal(frame_order_for(PAGE_4K), FRAME_4K);
	assert_int_equal(frame_order_for(PAGE_4K + 1), FRAME_8K);
	assert_int_equal(frame_order_for(PAGE_2M), FRAME_2M);
	assert_int_equal(frame_order_for(PAGE_1G), FRAME_1G);
	assert_int_equal(frame_order_for(PAGE_1G + 1), FRAME_ORDERS);
	assert_int_equal(frame_order_for(~0ULL), FRAME_ORDERS);
}

static hpa_t victim;

static void free_victim_twice(void)
{
	frame_free(victim, FRAME_16K);
	frame_free(victim, FRAME_16K);
}

static void free_victim_with_wrong_size(void)
{
	frame_free(victim, FRAME_8K);
}

static void free_inside_victim(void)
{
	frame_free(hpa_add(victim, PAGE_4K), FRAME_4K);
}

static void free_off_a_frame(void)
{
	frame_free(hpa_add(victim, 8), FRAME_16K);
}

static void free_what_never_was(void)
{
	frame_free(hpa(0x50000000), FRAME_4K);
}

static void wrong_frees_fail_a_check(void **state)
{
	(void)state;
	frame_alloc_init();
	add(0x100000, 0x100000);
	assert_int_equal(frame_alloc(FRAME_16K, "test", &victim), OK);
	assert_true(fails_check(free_victim_twice));
	assert_true(fails_check(free_victim_with_wrong_size));
	assert_true(fails_check(free_inside_victim));
	assert_true(fails_check(free_off_a_frame));
	assert_true(fails_check(free_what_never_was));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_traffic_agrees_with_the_model),
	    cmocka_unit_test(freed_buddies_become_the_largest_block_again),
	    cmocka_unit_test(large_blocks_are_aligned),
	    cmocka_unit_test(reserved_and_double_memory_is_left_out),
	    cmocka_unit_test(absurd_maps_are_survived),
	    cmocka_unit_test(a_map_of_too_many_pieces_says_so_and_goes_on),
	    cmocka_unit_test(memory_added_later_is_used_first),
	    cmocka_unit_test(the_first_frame_is_nobodys),
	    cmocka_unit_test(running_out_names_who_wanted_what),
	    cmocka_unit_test(zeroed_frames_are_zero),
	    cmocka_unit_test(order_for_rounds_up),
	    cmocka_unit_test(wrong_frees_fail_a_check),
	};

	return cmocka_run_group_tests_name("frame_alloc", tests, NULL, NULL);
}
