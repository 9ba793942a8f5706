/* SPDX-License-Identifier: MIT */
/*
 * Guest memory against a model: one flat array of what the guest must see.
 * After every write exactly the touched pages are marked in the dirty log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mm/frame_alloc.h"
#include "mm/guest_mem.h"
#include "mm/phys.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

#define LIMIT (8 * MIB)

static struct guest_mem mem;
static u8 model[LIMIT];
static bool is_ram[LIMIT / PAGE_4K], is_rom[LIMIT / PAGE_4K];

static void add_slot(u64 base, u64 bytes)
{
	assert_int_equal(guest_mem_add(&mem, gpa(base), bytes), OK);
	for (u64 i = 0; i < bytes / PAGE_4K; i++)
		is_ram[base / PAGE_4K + i] = true;
}

/*
 * RAM 0..640K, hole, RAM 1M..3M (touching the next), RAM 3M..4M, ROM at 6M,
 * then a hole. The host's memory is full of somebody's old secrets.
 */
static void begin(void)
{
	memset(phys_memory, 0x5a, 64 * MIB);
	memset(model, 0, sizeof(model));
	memset(is_ram, 0, sizeof(is_ram));
	memset(is_rom, 0, sizeof(is_rom));
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(0), 64 * MIB), OK);
	assert_int_equal(guest_mem_create(&mem, gpa(LIMIT), "test"), OK);
	add_slot(3 * MIB, MIB);
	add_slot(0, 640 * KIB);
	add_slot(6 * MIB, 256 * KIB);
	add_slot(MIB, 2 * MIB);
	assert_int_equal(guest_mem_make_rom(&mem, gpa(6 * MIB)), OK);
	memset(&is_rom[6 * MIB / PAGE_4K], 1, 64);
	memset(&is_ram[6 * MIB / PAGE_4K], 0, 64);
}

static bool all_in(const bool *map, const bool *or_map, u64 address, u64 bytes)
{
	for (u64 i = address; i < address + bytes; i++)
		if (i >= LIMIT || !(map[i / PAGE_4K] || or_map[i / PAGE_4K]))
			return false;
	return true;
}

static u64 clear_log(void)
{
	static struct dirty_word words[LIMIT / PAGE_4K / 64];
	struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};
	u64 count = 0;

	dirty_log_take(&mem.log, gpa(0), dirty_log_end(&mem.log), &batch);
	for (u32 i = 0; i < batch.count; i++)
		count += bits_count(batch.words[i].bits);
	return count;
}

static void assert_marked(u64 address, u64 bytes)
{
	u64 first = address / PAGE_4K;
	u64 last = (address + bytes - 1) / PAGE_4K;

	for (u64 page = first; page <= last && bytes; page++)
		assert_true(dirty_log_is_marked(&mem.log, gpa(page * PAGE_4K)));
	assert_int_equal(clear_log(), bytes ? last - first + 1 : 0);
}

/* --- Random use ---------------------------------------------------------- */

static u8 buffer[64 * KIB];

static void write_some(struct random *random, u64 address, u64 bytes)
{
	bool ok = all_in(is_ram, is_ram, address, bytes);
	bool zero = random_below(random, 3) == 0;
	enum err err;

	for (u64 i = 0; i < bytes; i++)
		buffer[i] = zero ? 0 : (u8)random_next(random);
	err = zero ? guest_mem_zero(&mem, gpa(address), bytes)
		   : guest_mem_write(&mem, gpa(address), buffer, bytes);
	assert_int_equal(err == OK, ok);
	if (ok)
		memcpy(&model[address], buffer, bytes);
	assert_marked(address, ok ? bytes : 0);
}

static void read_some(u64 address, u64 bytes)
{
	bool ok = all_in(is_ram, is_rom, address, bytes);

	memset(buffer, 0xee, sizeof(buffer));
	assert_int_equal(
	    guest_mem_read(&mem, gpa(address), buffer, bytes) == OK, ok);
	if (ok)
		assert_memory_equal(buffer, &model[address], bytes);
	else
		for (u64 i = 0; i < bytes; i++)
			assert_int_equal(buffer[i], 0xee);
	assert_int_equal(clear_log(), 0);
}

static void random_use(u64 seed)
{
	struct random random = random_from(seed);

	begin();
	for (u32 step = 0; step < 400; step++) {
		u64 address = random_below(&random, LIMIT + 8 * KIB);
		u64 bytes = 1 + random_below(&random, 1 + (step % 4) * 12000);

		/* Seams are where mistakes live. */
		if (random_below(&random, 3) == 0)
			address = (1 + random_below(&random, 6)) * MIB - 100;
		if (random_below(&random, 2))
			write_some(&random, address, bytes);
		else
			read_some(address, bytes);
	}
	guest_mem_destroy(&mem);
}

static void random_use_agrees_with_the_model(void **state)
{
	(void)state;
	for_seeds(4, random_use);
}

/* --- Single cases -------------------------------------------------------- */

static void a_guest_never_sees_old_contents(void **state)
{
	static const u8 zeroes[PAGE_4K];

	(void)state;
	begin();
	for (u64 at = 0; at < LIMIT; at += PAGE_4K) {
		const u8 *page = guest_mem_ptr(&mem, gpa(at), PAGE_4K);

		assert_int_equal(page != NULL,
				 is_ram[at / PAGE_4K] || is_rom[at / PAGE_4K]);
		if (page)
			assert_memory_equal(page, zeroes, PAGE_4K);
	}
}

static void slots_must_make_sense(void **state)
{
	(void)state;
	begin();
	assert_int_equal(guest_mem_add(&mem, gpa(0x1000), 0x1000), ERR_OVERLAP);
	assert_int_equal(guest_mem_add(&mem, gpa(4 * MIB), 0), ERR_RANGE);
	assert_int_equal(guest_mem_add(&mem, gpa(4 * MIB), 0x800), ERR_ALIGN);
	assert_int_equal(guest_mem_add(&mem, gpa(4 * MIB + 1), PAGE_4K),
			 ERR_ALIGN);
	assert_int_equal(guest_mem_add(&mem, gpa(LIMIT), PAGE_4K), ERR_RANGE);
	assert_int_equal(guest_mem_add(&mem, gpa(7 * MIB), -PAGE_4K),
			 ERR_RANGE);
	assert_int_equal(guest_mem_add(&mem, gpa(4 * MIB), 2 * MIB + PAGE_4K),
			 ERR_OVERLAP);
	assert_int_equal(guest_mem_make_rom(&mem, gpa(5 * MIB)), ERR_NOT_FOUND);
	assert_int_equal(mem.slot_count, 4);
	for (u64 i = 0; i < GUEST_MEM_SLOTS - 4; i++)
		assert_int_equal(
		    guest_mem_add(&mem, gpa(4 * MIB + i * 8 * KIB), PAGE_4K),
		    OK);
	assert_int_equal(guest_mem_add(&mem, gpa(5 * MIB), PAGE_4K),
			 ERR_NO_MEMORY);
}

static void too_much_memory_is_refused_and_given_back(void **state)
{
	struct frame_stats before, after;
	struct guest_mem big;

	(void)state;
	begin();
	assert_int_equal(guest_mem_create(&big, gpa(GIB), "big"), OK);
	frame_stats(&before);
	assert_int_equal(guest_mem_add(&big, gpa(0), 512 * MIB), ERR_NO_MEMORY);
	assert_non_null(strstr(host_last_log, "out of memory: big wanted"));
	frame_stats(&after);
	assert_memory_equal(&before, &after, sizeof(before));
	guest_mem_destroy(&big);
}

static void destroying_gives_everything_back(void **state)
{
	struct frame_stats before, after;

	(void)state;
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(0), 64 * MIB), OK);
	frame_stats(&before);
	assert_int_equal(guest_mem_create(&mem, gpa(LIMIT), "test"), OK);
	assert_int_equal(guest_mem_add(&mem, gpa(0x3000), 5 * MIB), OK);
	assert_int_equal(guest_mem_add(&mem, gpa(6 * MIB), 2 * MIB), OK);
	guest_mem_destroy(&mem);
	frame_stats(&after);
	assert_memory_equal(&before, &after, sizeof(before));
}

static void blocks_are_large_where_they_can_be(void **state)
{
	hpa_t frame;
	u64 bytes;

	(void)state;
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(0), 64 * MIB), OK);
	assert_int_equal(guest_mem_create(&mem, gpa(64 * MIB), "test"), OK);
	assert_int_equal(guest_mem_add(&mem, gpa(MIB), 9 * MIB + PAGE_4K), OK);
	assert_int_equal(guest_mem_block(&mem, gpa(MIB), &frame, &bytes), OK);
	assert_int_equal(bytes, PAGE_4K);
	for (u64 at = 2 * MIB; at < 10 * MIB; at += 2 * MIB) {
		assert_int_equal(guest_mem_block(&mem, gpa(at), &frame, &bytes),
				 OK);
		assert_int_equal(bytes, PAGE_2M);
		assert_true(is_aligned(hpa_raw(frame), PAGE_2M));
		assert_int_equal(
		    guest_mem_block(&mem, gpa(at + 4096), &frame, &bytes), OK);
		assert_int_equal(bytes, PAGE_4K);
	}
	assert_int_equal(guest_mem_block(&mem, gpa(10 * MIB), &frame, &bytes),
			 OK);
	assert_int_equal(bytes, PAGE_4K);
	assert_int_equal(guest_mem_block(&mem, gpa(11 * MIB), &frame, &bytes),
			 ERR_RANGE);
	assert_int_equal(
	    guest_mem_block(&mem, gpa(2 * MIB + 8), &frame, &bytes), ERR_ALIGN);
}

static void memory_in_pieces_backs_a_guest_too(void **state)
{
	hpa_t holes[600];
	u32 count = 0;

	(void)state;
	frame_alloc_init();
	/* 4 MiB in which every other page is taken: no block above 4K. */
	assert_int_equal(frame_alloc_add(hpa(0x100000), 4 * MIB), OK);
	while (count < 600 && frame_alloc_try(FRAME_8K, &holes[count]) == OK)
		count++;
	for (u32 i = 0; i < count; i++) {
		frame_free(holes[i], FRAME_8K);
		assert_int_equal(frame_alloc(FRAME_4K, "test", &holes[i]), OK);
	}
	assert_int_equal(guest_mem_create(&mem, gpa(2 * MIB), "test"), OK);
	assert_int_equal(guest_mem_add(&mem, gpa(0), MIB), OK);
	memset(buffer, 0x77, sizeof(buffer));
	assert_int_equal(guest_mem_write(&mem, gpa(5000), buffer, 60000), OK);
	assert_int_equal(guest_mem_read(&mem, gpa(5000), model, 60000), OK);
	assert_memory_equal(model, buffer, 60000);
}

static void frames_are_found(void **state)
{
	hpa_t frame, next;

	(void)state;
	begin();
	assert_int_equal(guest_mem_frame(&mem, gpa(MIB + 0x123), &frame), OK);
	assert_int_equal(hpa_offset(frame), 0);
	assert_int_equal(guest_mem_frame(&mem, gpa(MIB + 0x1000), &next), OK);
	assert_false(hpa_equal(frame, next));
	assert_int_equal(guest_mem_frame(&mem, gpa(640 * KIB), &frame),
			 ERR_RANGE);
	assert_int_equal(guest_mem_frame(&mem, gpa(~0ULL), &frame), ERR_RANGE);
	assert_int_equal(guest_mem_write_u32(&mem, gpa(MIB + 4), 0x1234), OK);
	assert_int_equal(guest_mem_frame(&mem, gpa(MIB), &frame), OK);
	assert_int_equal(*(u32 *)phys_ptr(hpa_add(frame, 4)), 0x1234);
}

static void pointers_stay_inside_a_page(void **state)
{
	(void)state;
	begin();
	assert_non_null(guest_mem_ptr(&mem, gpa(MIB + 0xff8), 8));
	assert_null(guest_mem_ptr(&mem, gpa(MIB + 0xff8), 9));
	assert_null(guest_mem_ptr(&mem, gpa(MIB), ~0ULL));
	assert_null(guest_mem_ptr(&mem, gpa(640 * KIB), 1));
}

static void rom_is_read_and_not_written(void **state)
{
	u32 value = 0;

	(void)state;
	begin();
	assert_int_equal(guest_mem_load(&mem, gpa(6 * MIB), "BIOS", 4), OK);
	assert_marked(6 * MIB, 4);
	assert_int_equal(guest_mem_read_u32(&mem, gpa(6 * MIB), &value), OK);
	assert_memory_equal(&value, "BIOS", 4);
	assert_int_equal(guest_mem_write(&mem, gpa(6 * MIB), "XXXX", 4),
			 ERR_STATE);
	assert_int_equal(guest_mem_write_u8(&mem, gpa(6 * MIB), 1), ERR_STATE);
	assert_int_equal(guest_mem_zero(&mem, gpa(6 * MIB), 4), ERR_STATE);
	assert_int_equal(guest_mem_swap_u32(&mem, gpa(6 * MIB), &value, 1),
			 ERR_STATE);
	assert_int_equal(clear_log(), 0);
	assert_int_equal(guest_mem_load(&mem, gpa(640 * KIB), "x", 1),
			 ERR_RANGE);
}

static void single_accesses_are_marked_and_aligned(void **state)
{
	u64 v64 = 0;
	u32 v32 = 0;
	u16 v16 = 0;
	u8 v8 = 0;

	(void)state;
	begin();
	assert_int_equal(
	    guest_mem_write_u64(&mem, gpa(0x2008), 0x1122334455667788), OK);
	assert_marked(0x2008, 8);
	assert_int_equal(guest_mem_write_u32(&mem, gpa(0x300c), 0xaabbccdd),
			 OK);
	assert_marked(0x300c, 4);
	assert_int_equal(guest_mem_write_u16(&mem, gpa(0x4002), 0xeeff), OK);
	assert_marked(0x4002, 2);
	assert_int_equal(guest_mem_write_u8(&mem, gpa(0x5001), 0x99), OK);
	assert_marked(0x5001, 1);
	assert_int_equal(guest_mem_read_u64(&mem, gpa(0x2008), &v64), OK);
	assert_int_equal(guest_mem_read_u32(&mem, gpa(0x300c), &v32), OK);
	assert_int_equal(guest_mem_read_u16(&mem, gpa(0x4002), &v16), OK);
	assert_int_equal(guest_mem_read_u8(&mem, gpa(0x5001), &v8), OK);
	assert_true(v64 == 0x1122334455667788 && v32 == 0xaabbccdd &&
		    v16 == 0xeeff && v8 == 0x99);
	assert_int_equal(guest_mem_read_u64(&mem, gpa(0x2004), &v64),
			 ERR_ALIGN);
	assert_int_equal(guest_mem_write_u16(&mem, gpa(0x2001), 1), ERR_ALIGN);
	assert_int_equal(guest_mem_read_u32(&mem, gpa(0xffffffff000), &v32),
			 ERR_RANGE);
	assert_int_equal(guest_mem_write_u32(&mem, gpa(640 * KIB), 1),
			 ERR_RANGE);
	assert_int_equal(clear_log(), 0);
}

static void a_swap_happens_once(void **state)
{
	u64 expected = 0;
	u32 expected32 = 5;

	(void)state;
	begin();
	assert_int_equal(guest_mem_swap_u64(&mem, gpa(0x2000), &expected, 7),
			 OK);
	assert_marked(0x2000, 8);
	assert_int_equal(guest_mem_swap_u64(&mem, gpa(0x2000), &expected, 8),
			 ERR_BUSY);
	assert_int_equal(expected, 7);
	assert_int_equal(guest_mem_swap_u32(&mem, gpa(0x3000), &expected32, 9),
			 ERR_BUSY);
	assert_int_equal(expected32, 0);
	assert_int_equal(clear_log(), 0);
	assert_int_equal(guest_mem_swap_u32(&mem, gpa(0x3000), &expected32, 9),
			 OK);
	assert_marked(0x3000, 4);
}

static void spots_are_marked_and_watched(void **state)
{
	struct guest_mem_spot there = {.address = gpa(0x2008)};

	(void)state;
	begin();
	assert_int_equal(guest_mem_watch_create(&mem), OK);
	assert_true(guest_mem_is_ram(&mem, gpa(0x2000)));
	assert_false(guest_mem_is_ram(&mem, gpa(6 * MIB)));
	assert_false(guest_mem_is_ram(&mem, gpa(700 * KIB)));
	there.at = guest_mem_ptr(&mem, there.address, sizeof(u64));
	guest_mem_watch(&mem, gpa(0x2000));
	assert_int_equal(guest_mem_swap_unseen_spot(&mem, there, 1, 5),
			 ERR_BUSY);
	assert_int_equal(clear_log(), 0);
	assert_int_equal(guest_mem_swap_unseen_spot(&mem, there, 0, 5), OK);
	assert_int_equal(*there.at, 5);
	assert_marked(0x2008, 8);
	/* The watcher's own is no hit, but anybody else's is. */
	assert_true(guest_mem_is_watched(&mem, gpa(0x2000)));
	guest_mem_write_spot(&mem, there, 9);
	assert_int_equal(*there.at, 9);
	assert_marked(0x2008, 8);
	assert_false(guest_mem_is_watched(&mem, gpa(0x2000)));
	assert_int_equal(guest_mem_watch_hits(&mem), 1);
}

static void wraparound_is_out_of_range(void **state)
{
	(void)state;
	begin();
	assert_int_equal(guest_mem_read(&mem, gpa(~0ULL - 3), buffer, 16),
			 ERR_RANGE);
	assert_int_equal(guest_mem_write(&mem, gpa(MIB), buffer, ~0ULL),
			 ERR_RANGE);
	assert_int_equal(guest_mem_zero(&mem, gpa(MIB), 1ULL << 63), ERR_RANGE);
	guest_mem_mark(&mem, gpa(~0ULL - 3), ~0ULL);
	assert_int_equal(clear_log(), 0);
	guest_mem_mark(&mem, gpa(0x1ffc), 8);
	assert_marked(0x1ffc, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_use_agrees_with_the_model),
	    cmocka_unit_test(a_guest_never_sees_old_contents),
	    cmocka_unit_test(slots_must_make_sense),
	    cmocka_unit_test(too_much_memory_is_refused_and_given_back),
	    cmocka_unit_test(destroying_gives_everything_back),
	    cmocka_unit_test(blocks_are_large_where_they_can_be),
	    cmocka_unit_test(memory_in_pieces_backs_a_guest_too),
	    cmocka_unit_test(frames_are_found),
	    cmocka_unit_test(pointers_stay_inside_a_page),
	    cmocka_unit_test(rom_is_read_and_not_written),
	    cmocka_unit_test(single_accesses_are_marked_and_aligned),
	    cmocka_unit_test(a_swap_happens_once),
	    cmocka_unit_test(spots_are_marked_and_watched),
	    cmocka_unit_test(wraparound_is_out_of_range),
	};

	return cmocka_run_group_tests_name("guest_mem", tests, NULL, NULL);
}
