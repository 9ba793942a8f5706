/* SPDX-License-Identifier: MIT */
/* Kernels are recognised by content: multiboot 1 and 2, Linux, or neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/guest_image.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/kernel_files.h"

static struct guest_image image;

static int reset(void **state)
{
	(void)state;
	file_reset();
	memset(&image, 0xff, sizeof(image));
	host_log_count = 0;
	host_last_log[0] = 0;
	return 0;
}

static enum err read_file(void)
{
	struct image_file file = file_exact();
	enum err err = guest_image_read(&image, &file);

	free((void *)(uintptr_t)file.bytes);
	return err;
}

static void assert_fails(enum err expected, const char *words)
{
	host_log_count = 0;
	assert_int_equal(read_file(), expected);
	assert_int_equal(host_log_count, 1);
	if (!strstr(host_last_log, words))
		fail_msg("\"%s\" does not say \"%s\"", host_last_log, words);
}

static void assert_segment(u64 physical, u64 offset, u64 bytes, u64 memory)
{
	assert_int_equal(image.segment_count, 1);
	assert_int_equal(image.segments[0].physical, physical);
	assert_int_equal(image.segments[0].file_offset, offset);
	assert_int_equal(image.segments[0].file_bytes, bytes);
	assert_int_equal(image.segments[0].memory_bytes, memory);
}

/* --- Multiboot 1 -------------------------------------------------------- */

static void mb1_elf_is_taken_from_its_program_headers(void **state)
{
	(void)state;
	make_mb1_kernel();
	assert_int_equal(read_file(), OK);
	assert_int_equal(host_log_count, 0);
	assert_int_equal(image.kind, GUEST_IMAGE_MULTIBOOT1);
	assert_segment(0x100000, 0, 4096, 8192);
	assert_int_equal(image.entry, 0x100010);
}

static void entry_above_4g_is_refused(void **state)
{
	(void)state;
	make_mb1_kernel();
	elf64_begin(4 * GIB, 1);
	elf64_segment(0,
		      (struct made_segment){0, 4 * GIB, 4 * GIB, 4096, 8192});
	assert_fails(ERR_BAD_FORMAT, "above 4G");
	elf64_begin(4 * GIB - 1, 1);
	elf64_segment(0, (struct made_segment){0, 4 * GIB - 4096,
					       4 * GIB - 4096, 4096, 8192});
	assert_int_equal(read_file(), OK);
}

static void header_counts_only_where_it_may_be(void **state)
{
	static const struct {
		u64 at;
		enum err err;
	} cases[] = {{0xc0, OK},
		     {8192 - 12, OK},
		     {8192 - 8, ERR_BAD_FORMAT},
		     {0x202, ERR_BAD_FORMAT}};

	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		reset(state);
		elf64_begin(0x100010, 1);
		elf64_segment(0, (struct made_segment){0, 0x100000, 0x100000,
						       4096, 8192});
		mb1_header_at(cases[i].at, 0);
		file_put(9000, "x", 1);
		assert_int_equal(read_file(), cases[i].err);
	}
}

static void wrong_checksum_is_no_header(void **state)
{
	(void)state;
	make_mb1_kernel();
	file_put_u32(0x204, 1);
	assert_fails(ERR_BAD_FORMAT, "ELF file without a multiboot header");
}

static void unknown_requirements_are_refused(void **state)
{
	(void)state;
	make_mb1_kernel();
	mb1_header_at(0x200, 3 | BIT(5) | BIT(15));
	assert_fails(ERR_UNSUPPORTED, "feature bits 0x8020");
	mb1_header_at(0x200, 3 | (u32)BIT(31)); /* above bit 16: optional */
	assert_int_equal(read_file(), OK);
}

static void wish_for_a_screen_is_only_warned_about(void **state)
{
	(void)state;
	make_mb1_kernel();
	mb1_header_at(0x200, 7);
	assert_int_equal(read_file(), OK);
	assert_int_equal(host_log_count, 1);
	assert_non_null(strstr(host_last_log, "asks for a screen"));
}

/* A flat file of 0x1000 bytes with its header at 0x40. */
static void make_flat(u32 load_end, u32 bss_end)
{
	static const u32 load = 0x100000;

	file_reset();
	mb1_header_at(0x40, 3 | (u32)MB1_FLAG_ADDRESS_FIELDS);
	file_put_u32(0x4c, load + 0x40 - 0x10); /* the first 16 bytes: not */
	file_put_u32(0x50, load);
	file_put_u32(0x54, load_end);
	file_put_u32(0x58, bss_end);
	file_put_u32(0x5c, load + 0x100);
	file_put(0xfff, "x", 1);
}

static void flat_file_lies_where_its_header_says(void **state)
{
	(void)state;
	make_flat(0, 0);
	assert_int_equal(read_file(), OK);
	assert_segment(0x100000, 0x10, 0xff0, 0xff0);
	assert_int_equal(image.entry, 0x100100);
	make_flat(0x100800, 0x104000);
	assert_int_equal(read_file(), OK);
	assert_segment(0x100000, 0x10, 0x800, 0x4000);
	make_flat(0x100ff0, 0x100ff0);
	assert_int_equal(read_file(), OK);
	assert_segment(0x100000, 0x10, 0xff0, 0xff0);
}

static void flat_file_with_wrong_addresses_is_refused(void **state)
{
	static const struct {
		u32 at, value;
		const char *words;
	} cases[] = {
	    {0x4c, 0xfffff, "before the address"},  /* header below load */
	    {0x4c, 0x100041, "before the address"}, /* file begins earlier */
	    {0x54, 0x100ff1, "more bytes than the file has"},
	    {0x54, 0xfffff, "more bytes than the file has"},
	    {0x58, 0x100fef, "bss ends before"},
	    {0x5c, 0x100ff0, "entry point 0x100ff0 is not in the kernel"},
	    {0x5c, 0xfffff, "entry point"},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		make_flat(0, 0);
		file_put_u32(cases[i].at, cases[i].value);
		assert_fails(ERR_BAD_FORMAT, cases[i].words);
	}
	make_flat(0, 0);
	file_length = 0x5f;
	assert_fails(ERR_BAD_FORMAT, "address fields are cut off");
}

static void address_fields_count_more_than_an_elf_header(void **state)
{
	(void)state;
	elf64_begin(0x900000, 1);
	mb1_header_at(0x100, (u32)MB1_FLAG_ADDRESS_FIELDS);
	file_put_u32(0x10c, 0x100100);
	file_put_u32(0x110, 0x100000);
	file_put_u32(0x11c, 0x100000);
	assert_int_equal(read_file(), OK);
	assert_segment(0x100000, 0, file_length, file_length);
}

/* --- Multiboot 2 -------------------------------------------------------- */

/* Returns where the first tag of the header goes. */
static u64 make_mb2(void)
{
	file_reset();
	elf32_begin(0x100010, 1);
	elf32_segment(0,
		      (struct made_segment){0, 0x100000, 0x100000, 4096, 8192});
	file_put(4095, "x", 1);
	mb2_header_at(0x100, 0x100);
	file_put_u32(0x114, 8); /* an end tag */
	return 0x110;
}

static void mb2_elf_is_taken_from_its_program_headers(void **state)
{
	(void)state;
	make_mb2();
	assert_int_equal(read_file(), OK);
	assert_int_equal(image.kind, GUEST_IMAGE_MULTIBOOT2);
	assert_segment(0x100000, 0, 4096, 8192);
	assert_int_equal(image.entry, 0x100010);
	assert_int_equal(host_log_count, 0);
}

static void mb2_header_may_lie_in_32k(void **state)
{
	(void)state;
	make_mb2();
	file_put_u32(0x100, 0);
	mb2_header_at(32768 - 16, 16);
	assert_int_equal(read_file(), OK);
	mb2_header_at(32768 - 16, 24);
	assert_fails(ERR_BAD_FORMAT, "longer than it may be");
	file_put_u32(32768 - 16, 0);
	mb2_header_at(32768 - 8, 16);
	assert_fails(ERR_BAD_FORMAT, "ELF file without");
}

static void mb2_other_machine_is_refused(void **state)
{
	(void)state;
	make_mb2();
	file_put_u32(0x104, 4); /* MIPS */
	file_put_u32(0x10c, 0u - MB2_HEADER_MAGIC - 0x100 - 4);
	assert_fails(ERR_UNSUPPORTED, "not for x86");
}

static void mb2_requests_are_met_or_refused(void **state)
{
	static const u32 given[] = {1, 2, 3, 4, 6};
	static const u32 missing[] = {6, 14};

	(void)state;
	mb2_header_tag(make_mb2(), 1, 0, given, sizeof(given));
	assert_int_equal(read_file(), OK);
	mb2_header_tag(make_mb2(), 1, 0, missing, sizeof(missing));
	assert_fails(ERR_UNSUPPORTED, "information of type 14");
	mb2_header_tag(make_mb2(), 1, 1, missing, sizeof(missing));
	assert_int_equal(read_file(), OK);
}

static void mb2_unknown_tags_count_unless_optional(void **state)
{
	(void)state;
	mb2_header_tag(make_mb2(), 77, 0, "", 0);
	assert_fails(ERR_UNSUPPORTED, "requires tag 77");
	mb2_header_tag(make_mb2(), 77, 1, "abc", 3);
	assert_int_equal(read_file(), OK);
}

static void mb2_wishes_for_a_screen_make_one_warning(void **state)
{
	u64 at = make_mb2();

	(void)state;
	at = mb2_header_tag(at, 4, 0, "\1\0\0\0", 4);
	mb2_header_tag(at, 5, 0, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
	assert_int_equal(read_file(), OK);
	assert_int_equal(host_log_count, 1);
	mb2_header_tag(make_mb2(), 5, 1, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
	host_log_count = 0;
	assert_int_equal(read_file(), OK);
	assert_int_equal(host_log_count, 0);
}

static void mb2_tags_give_addresses_and_entry(void **state)
{
	u32 addresses[] = {0x200100, 0x200000, 0, 0x208000};
	u32 from_the_first_byte[] = {0x200100, ~0u, 0x200800, 0};
	u32 entry = 0x200400;
	u64 at = make_mb2();

	(void)state;
	at = mb2_header_tag(at, 2, 0, addresses, sizeof(addresses));
	mb2_header_tag(at, 3, 0, &entry, sizeof(entry));
	assert_int_equal(read_file(), OK);
	assert_segment(0x200000, 0, 4096, 0x8000);
	assert_int_equal(image.entry, 0x200400);

	at = mb2_header_tag(make_mb2(), 2, 0, from_the_first_byte,
			    sizeof(from_the_first_byte));
	assert_fails(ERR_BAD_FORMAT, "not where it begins");
	mb2_header_tag(at, 3, 0, &entry, sizeof(entry));
	assert_int_equal(read_file(), OK);
	assert_segment(0x200000, 0, 0x800, 0x800);

	/* An entry point instead of the ELF's. */
	entry = 0x101fff;
	mb2_header_tag(make_mb2(), 3, 0, &entry, sizeof(entry));
	assert_int_equal(read_file(), OK);
	assert_int_equal(image.entry, 0x101fff);
	entry = 0x102000;
	mb2_header_tag(make_mb2(), 3, 0, &entry, sizeof(entry));
	assert_fails(ERR_BAD_FORMAT, "not in the kernel");
}

static void mb2_damaged_tags_are_refused(void **state)
{
	static const u32 sizes[] = {0, 7, 0xf1, 0xffffffff};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(sizes); i++) {
		u64 at = make_mb2();

		file_put_u16(at, 10);
		file_put_u32(at + 4, sizes[i]);
		assert_fails(ERR_BAD_FORMAT, "size makes no sense");
	}
	mb2_header_tag(make_mb2(), 2, 0, "123456789012345", 15);
	assert_fails(ERR_BAD_FORMAT, "address tag is too short");
	mb2_header_tag(make_mb2(), 3, 0, "123", 3);
	assert_fails(ERR_BAD_FORMAT, "entry tag is too short");
	make_mb2();
	file_length = 0x1ff;
	assert_fails(ERR_BAD_FORMAT, "longer than it may be");
}

/* --- Which of them ------------------------------------------------------ */

static void kernel_of_both_versions_is_taken_as_the_first(void **state)
{
	(void)state;
	make_mb2();
	mb1_header_at(0x400, 3);
	assert_int_equal(read_file(), OK);
	assert_int_equal(image.kind, GUEST_IMAGE_MULTIBOOT1);
}

static void bzimage_is_recognised(void **state)
{
	(void)state;
	make_bzimage();
	assert_int_equal(read_file(), OK);
	assert_int_equal(image.kind, GUEST_IMAGE_LINUX);
}

static void what_is_no_kernel_is_named(void **state)
{
	static const struct {
		const char *bytes;
		u64 length;
		const char *words;
	} cases[] = {{"", 0, "empty"},
		     {"\177ELF", 4, "ELF file without"},
		     {"\x1f\x8b\x08", 3, "gunzip"},
		     {"\xfd"
		      "7zXZ",
		      5, "unxz"},
		     {"#!/bin/sh", 9, "neither a multiboot kernel nor"},
		     {"\x1f", 1, "neither"}};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		file_reset();
		file_put(0, cases[i].bytes, cases[i].length);
		assert_fails(ERR_BAD_FORMAT, cases[i].words);
	}
}

static void every_cut_of_every_kind_stays_in_the_file(void **state)
{
	static void (*const makers[])(void) = {make_mb1_kernel, make_bzimage};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(makers); i++) {
		makers[i]();
		for (u64 length = file_length; length-- > 0;) {
			file_length = length;
			(void)!read_file();
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, reset)
	const struct CMUnitTest tests[] = {
	    TEST(mb1_elf_is_taken_from_its_program_headers),
	    TEST(entry_above_4g_is_refused),
	    TEST(header_counts_only_where_it_may_be),
	    TEST(wrong_checksum_is_no_header),
	    TEST(unknown_requirements_are_refused),
	    TEST(wish_for_a_screen_is_only_warned_about),
	    TEST(flat_file_lies_where_its_header_says),
	    TEST(flat_file_with_wrong_addresses_is_refused),
	    TEST(address_fields_count_more_than_an_elf_header),
	    TEST(mb2_elf_is_taken_from_its_program_headers),
	    TEST(mb2_header_may_lie_in_32k),
	    TEST(mb2_other_machine_is_refused),
	    TEST(mb2_requests_are_met_or_refused),
	    TEST(mb2_unknown_tags_count_unless_optional),
	    TEST(mb2_wishes_for_a_screen_make_one_warning),
	    TEST(mb2_tags_give_addresses_and_entry),
	    TEST(mb2_damaged_tags_are_refused),
	    TEST(kernel_of_both_versions_is_taken_as_the_first),
	    TEST(bzimage_is_recognised),
	    TEST(what_is_no_kernel_is_named),
	    TEST(every_cut_of_every_kind_stays_in_the_file),
	};

	return cmocka_run_group_tests_name("guest_image", tests, NULL, NULL);
}
