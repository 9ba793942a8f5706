/* SPDX-License-Identifier: MIT */
/* loader/elf: sound files of both classes, and every way to be damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/elf.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/kernel_files.h"
#include "tests/unit/support.h"

static struct elf_image elf;

static int reset(void **state)
{
	(void)state;
	file_reset();
	memset(&elf, 0xff, sizeof(elf));
	host_log_count = 0;
	host_last_log[0] = 0;
	return 0;
}

static enum err parse(void)
{
	struct image_file file = file_exact();
	enum err err = elf_parse(&file, &elf);

	free((void *)(uintptr_t)file.bytes);
	return err;
}

static void make_elf64(void)
{
	elf64_begin(0xffffffff80001010, 2);
	elf64_segment(0,
		      (struct made_segment){0x100, 0x100000, 0x100000, 16, 16});
	elf64_segment(1, (struct made_segment){0x110, 0xffffffff80001000,
					       0x201000, 0x20, 0x1000});
	file_put(0x12f, "x", 1);
}

static void both_classes_give_segments_and_entry(void **state)
{
	(void)state;
	make_elf64();
	assert_int_equal(parse(), OK);
	assert_int_equal(elf.class, ELF_64);
	assert_int_equal(elf.segment_count, 2);
	assert_int_equal(elf.segments[0].physical, 0x100000);
	assert_int_equal(elf.segments[1].physical, 0x201000);
	assert_int_equal(elf.segments[1].file_offset, 0x110);
	assert_int_equal(elf.segments[1].file_bytes, 0x20);
	assert_int_equal(elf.segments[1].memory_bytes, 0x1000);
	assert_int_equal(elf.entry, 0x201010); /* linked high */

	reset(state);
	elf32_begin(0xc0100004, 3);
	elf32_segment(
	    1, (struct made_segment){0x200, 0xc0100000, 0x100000, 8, 0x2000});
	file_put(0x207, "x", 1);
	assert_int_equal(parse(), OK);
	assert_int_equal(elf.class, ELF_32);
	assert_int_equal(elf.segment_count, 1);
	assert_int_equal(elf.entry, 0x100004);
	assert_int_equal(host_log_count, 0);
}

static void entry_may_be_given_as_a_physical_address(void **state)
{
	(void)state;
	make_elf64();
	file_put_u64(24, 0x201ffc);
	assert_int_equal(parse(), OK);
	assert_int_equal(elf.entry, 0x201ffc);
}

static void linear_match_counts_more_than_a_physical_one(void **state)
{
	(void)state;
	elf64_begin(0x100004, 2);
	elf64_segment(0, (struct made_segment){0x100, 0xffffffff80000000,
					       0x100000, 16, 16});
	elf64_segment(1,
		      (struct made_segment){0x110, 0x100000, 0x500000, 16, 16});
	file_put(0x11f, "x", 1);
	assert_int_equal(parse(), OK);
	assert_int_equal(elf.entry, 0x500004);
}

static void empty_and_other_segments_are_passed_over(void **state)
{
	(void)state;
	make_elf64();
	file_put_u32(ELF64_TABLE, 4); /* PT_NOTE, whatever it says */
	file_put_u64(ELF64_TABLE + 8, ~0ULL);
	assert_int_equal(parse(), OK);
	assert_int_equal(elf.segment_count, 1);
	file_put_u32(ELF64_TABLE, 1);
	file_put_u64(ELF64_TABLE + 40, 0); /* PT_LOAD of nothing */
	assert_int_equal(parse(), OK);
	assert_int_equal(elf.segment_count, 1);
}

/* One change to the sound file, and what must be said about it. */
struct damage {
	u64 at;
	u64 value;
	u8 bytes;
	enum err err;
	const char *words;
};

static void every_damage_has_its_words(void **state)
{
	static const struct damage cases[] = {
	    {0, 0, 1, ERR_BAD_FORMAT, "no ELF header"},
	    {4, 3, 1, ERR_UNSUPPORTED, "neither 32 nor 64"},
	    {5, 2, 1, ERR_UNSUPPORTED, "little endian"},
	    {16, 3, 2, ERR_UNSUPPORTED, "position independent"},
	    {16, 1, 2, ERR_UNSUPPORTED, "not an executable"},
	    {18, 183, 2, ERR_UNSUPPORTED, "not for x86"},
	    {54, 55, 2, ERR_BAD_FORMAT, "too short"},
	    {32, 0x130 - 111, 8, ERR_BAD_FORMAT, "headers lie past its end"},
	    {32, ~0ULL, 8, ERR_BAD_FORMAT, "headers lie past its end"},
	    {56, 0xffff, 2, ERR_BAD_FORMAT, "headers lie past its end"},
	    {56, 0, 2, ERR_BAD_FORMAT, "nothing to load"},
	    {24, 0x100010, 8, ERR_BAD_FORMAT, "entry point is in no segment"},
	    {24, 0x202000, 8, ERR_BAD_FORMAT, "entry point is in no segment"},
	    {ELF64_TABLE + 32, 17, 8, ERR_BAD_FORMAT, "larger in the file"},
	    {ELF64_TABLE + 8, 0x121, 8, ERR_BAD_FORMAT, "segment lies past"},
	    {ELF64_TABLE + 8, ~0ULL, 8, ERR_BAD_FORMAT, "segment lies past"},
	    {ELF64_TABLE + 24, ~0ULL, 8, ERR_BAD_FORMAT, "wraps around"},
	};

	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		reset(state);
		make_elf64();
		file_put(cases[i].at, &cases[i].value, cases[i].bytes);
		assert_int_equal(parse(), cases[i].err);
		assert_int_equal(host_log_count, 1);
		assert_non_null(strstr(host_last_log, "guest g: "));
		assert_non_null(strstr(host_last_log, cases[i].words));
	}
}

static void more_segments_than_we_take_are_refused(void **state)
{
	(void)state;
	elf64_begin(0, ELF_SEGMENTS_MAX + 1);
	for (u32 i = 0; i < ELF_SEGMENTS_MAX; i++)
		elf64_segment(i, (struct made_segment){0, i, i, 1, 1});
	assert_int_equal(parse(), OK);
	elf64_segment(ELF_SEGMENTS_MAX, (struct made_segment){0, 0, 0, 1, 1});
	assert_int_equal(parse(), ERR_UNSUPPORTED);
	assert_non_null(strstr(host_last_log, "too many segments"));
}

/* The sanitizer watches: no cut reads past the end, none is taken whole. */
static void every_cut_is_noticed(void **state)
{
	for (u32 bits = 32; bits <= 64; bits += 32) {
		reset(state);
		if (bits == 64) {
			make_elf64();
		} else {
			elf32_begin(0x100004, 1);
			elf32_segment(0, (struct made_segment){
					     0x54, 0x100000, 0x100000, 64, 64});
			file_put(0x93, "x", 1);
		}
		u64 whole = file_length;

		assert_int_equal(parse(), OK);
		for (file_length = 0; file_length < whole; file_length++)
			assert_int_not_equal(parse(), OK);
	}
}

static void change_bytes(u64 seed)
{
	struct random random = random_from(seed);

	file_reset();
	make_elf64();
	for (u32 i = 0; i < 3; i++)
		file_bytes[random_below(&random, 0xb0)] =
		    (u8)random_next(&random);
	if (parse() != OK)
		return;
	assert_true(elf.segment_count >= 1);
	for (u32 i = 0; i < elf.segment_count; i++) {
		const struct elf_segment *it = &elf.segments[i];

		assert_true(it->file_bytes <= it->memory_bytes);
		assert_true(it->file_offset + it->file_bytes <= file_length);
		assert_true(it->physical + it->memory_bytes >= it->physical);
	}
}

static void whatever_is_accepted_lies_in_the_file(void **state)
{
	(void)state;
	for_seeds(20000, change_bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, reset)
	const struct CMUnitTest tests[] = {
	    TEST(both_classes_give_segments_and_entry),
	    TEST(entry_may_be_given_as_a_physical_address),
	    TEST(linear_match_counts_more_than_a_physical_one),
	    TEST(empty_and_other_segments_are_passed_over),
	    TEST(every_damage_has_its_words),
	    TEST(more_segments_than_we_take_are_refused),
	    TEST(every_cut_is_noticed),
	    TEST(whatever_is_accepted_lies_in_the_file),
	};

	return cmocka_run_group_tests_name("elf", tests, NULL, NULL);
}
