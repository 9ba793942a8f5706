/* SPDX-License-Identifier: MIT */
/*
 * Guests in their memory: the map, places for pieces, and what a multiboot
 * kernel of either version finds when it looks around.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/guest_place.h"
#include "tests/unit/loaded_guest.h"

#define INFO_AT 0x10000

static void assert_said(const char *words)
{
	if (!strstr(host_last_log, words))
		fail_msg("\"%s\" does not say \"%s\"", host_last_log, words);
}

static const struct guest_piece *piece_at(u64 at)
{
	for (u32 i = 0; i < load.piece_count; i++)
		if (gpa_raw(load.pieces[i].at) == at)
			return &load.pieces[i];
	fail_msg("no piece at %#lx", at);
	return NULL;
}

static void assert_text(u64 at, const char *expected)
{
	char text[256];

	peek(at, text, strlen(expected) + 1);
	assert_string_equal(text, expected);
}

/* --- Map ---------------------------------------------------------------- */

static void assert_range(const struct guest_map *map, u32 i, u64 base, u64 end,
			 enum guest_range_kind kind)
{
	assert_true(i < map->range_count);
	assert_int_equal(gpa_raw(map->ranges[i].base), base);
	assert_int_equal(map->ranges[i].bytes, end - base);
	assert_int_equal(map->ranges[i].kind, kind);
}

static void map_has_the_holes_of_a_pc(void **state)
{
	struct guest_map map;

	(void)state;
	guest_map_make(&map, 64 * MIB);
	assert_int_equal(map.range_count, 4);
	assert_range(&map, 0, 0, 0x9f000, GUEST_RANGE_RAM);
	assert_range(&map, 1, 0x9f000, 0xa0000, GUEST_RANGE_RESERVED);
	assert_range(&map, 2, 0xe0000, 0x100000, GUEST_RANGE_ROM);
	assert_range(&map, 3, MIB, 64 * MIB, GUEST_RANGE_RAM);
	guest_map_make(&map, MIB);
	assert_int_equal(map.range_count, 3);
	guest_map_make(&map, 3 * GIB);
	assert_int_equal(map.range_count, 4);
	assert_range(&map, 3, MIB, 3 * GIB, GUEST_RANGE_RAM);
	guest_map_make(&map, 5 * GIB + PAGE_4K);
	assert_int_equal(map.range_count, 5);
	assert_range(&map, 3, MIB, 3 * GIB, GUEST_RANGE_RAM);
	assert_range(&map, 4, 4 * GIB, 6 * GIB + PAGE_4K, GUEST_RANGE_RAM);
}

static void assert_told(const struct guest_map *map, u32 i, u64 base, u64 end)
{
	struct guest_range range;

	assert_true(guest_map_told(map, i, &range));
	assert_int_equal(gpa_raw(range.base), base);
	assert_int_equal(range.bytes, end - base);
	assert_int_equal(range.kind, i == 0 || base == MIB || base >= 4 * GIB
					 ? GUEST_RANGE_RAM
				     : base == 0xe0000 ? GUEST_RANGE_ROM
						       : GUEST_RANGE_RESERVED);
}

/* Any memory size: what is told is sorted, does not overlap, and adds up. */
static void guest_is_told_of_configuration_space(void **state)
{
	static const u64 sizes[] = {MIB,       64 * MIB, 3 * GIB - PAGE_4K,
				    3 * GIB,   4 * GIB,  64 * GIB,
				    1024 * GIB};
	struct guest_map map;
	struct guest_range range;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(sizes); i++) {
		u64 end = 0, high = 0;
		u32 count = 0;

		guest_map_make(&map, sizes[i]);
		for (; guest_map_told(&map, count, &range); count++) {
			assert_true(gpa_raw(range.base) >= end);
			end = gpa_raw(range.base) + range.bytes;
			if (gpa_raw(range.base) >= 4 * GIB)
				high += range.bytes;
		}
		assert_int_equal(count, map.range_count + 1);
		assert_false(guest_map_is_ram(&map, 0xe0000000, 1));
		assert_int_equal(high,
				 sizes[i] > 3 * GIB ? sizes[i] - 3 * GIB : 0);
	}
	guest_map_make(&map, 5 * GIB);
	assert_told(&map, 0, 0, 0x9f000);
	assert_told(&map, 1, 0x9f000, 0xa0000);
	assert_told(&map, 2, 0xe0000, 0x100000);
	assert_told(&map, 3, MIB, 3 * GIB);
	assert_told(&map, 4, 0xe0000000, 0xe0100000);
	assert_told(&map, 5, 4 * GIB, 6 * GIB);
	assert_false(guest_map_told(&map, 6, &range));
	assert_false(guest_map_told(&map, ~0u, &range));
}

static void only_ram_counts_as_ram(void **state)
{
	struct guest_map map;

	(void)state;
	guest_map_make(&map, 5 * GIB);
	assert_true(guest_map_is_ram(&map, 0, 0x9f000));
	assert_true(guest_map_is_ram(&map, 3 * GIB - 1, 1));
	assert_true(guest_map_is_ram(&map, 4 * GIB, 2 * GIB));
	assert_false(guest_map_is_ram(&map, 0, 0x9f001));
	assert_false(guest_map_is_ram(&map, 0x9f000, 1));
	assert_false(guest_map_is_ram(&map, 0xe0000, 1));
	assert_false(guest_map_is_ram(&map, 3 * GIB - 1, 2));
	assert_false(guest_map_is_ram(&map, 2 * GIB, 3 * GIB));
	assert_false(guest_map_is_ram(&map, 4 * GIB + 1, ~0ULL));
	assert_false(guest_map_is_ram(&map, ~0ULL, 2));
}

/* --- Places ------------------------------------------------------------- */

static gpa_t placed_in(u64 minimum, u64 limit, u64 alignment, u64 bytes)
{
	const struct guest_room room = {minimum, limit, alignment};
	const struct guest_piece piece = {.what = "p", .total_bytes = bytes};
	gpa_t at = gpa(~0ULL);

	(void)!guest_place_in(&load, &room, &piece, &at);
	return at;
}

#define assert_placed(at, ...) \
	assert_int_equal(gpa_raw(placed_in(__VA_ARGS__)), at)

static void begin_places(u64 memory_bytes)
{
	memset(&load, 0, sizeof(load));
	load.name = "g";
	guest_map_make(&load.map, memory_bytes);
}

static void pieces_go_to_the_lowest_free_place(void **state)
{
	(void)state;
	begin_places(16 * MIB);
	assert_placed(0x1000, 0x1000, 4 * GIB, 1, 0x1000);
	assert_placed(0x2000, 0, 4 * GIB, PAGE_4K, 0x1001);
	assert_placed(0x3001, 0x2000, 4 * GIB, 1, 1);
	assert_placed(0x0, 0, 4 * GIB, 1, 0x1000);
	assert_placed(0x4000, 0, 4 * GIB, PAGE_4K, 0x9b000); /* to the end */
	assert_placed(MIB, 0, 4 * GIB, PAGE_4K, PAGE_4K);
	assert_placed(8 * MIB, 0, 4 * GIB, 8 * MIB, 8 * MIB);
	assert_placed(MIB + PAGE_4K, 0, 4 * GIB, PAGE_4K, 7 * MIB - PAGE_4K);
	assert_placed(~0ULL, 0, 4 * GIB, PAGE_4K, PAGE_4K);
	assert_int_equal(load.misfit.bytes, PAGE_4K);
}

static void limits_of_a_room_hold(void **state)
{
	(void)state;
	begin_places(16 * MIB);
	assert_placed(~0ULL, 12 * MIB, 13 * MIB, 1, MIB + 1);
	assert_placed(12 * MIB, 12 * MIB, 13 * MIB, 1, MIB);
	assert_placed(~0ULL, 12 * MIB, 13 * MIB, 1, 1);
	assert_placed(~0ULL, 16 * MIB, 4 * GIB, 1, 1);
	assert_placed(~0ULL, ~0ULL, ~0ULL, PAGE_4K, 1);
	assert_placed(~0ULL, 0, 4 * GIB, 1, ~0ULL);
	assert_placed(~0ULL, 1, 4 * GIB, 1ULL << 63, 1);
}

static void empty_pieces_take_no_room(void **state)
{
	(void)state;
	begin_places(16 * MIB);
	assert_placed(2 * MIB, 2 * MIB, 4 * GIB, 1, 0);
	assert_placed(2 * MIB, 2 * MIB, 4 * GIB, 1, 5);
	assert_int_equal(load.piece_count, 1);
	assert_placed(16 * MIB, 16 * MIB, 4 * GIB, 1, 0); /* behind it all */
}

static void fixed_pieces_must_not_overlap(void **state)
{
	static const struct {
		u64 at, bytes;
		enum err err;
	} cases[] = {{2 * MIB, MIB, OK},
		     {MIB, MIB, OK},
		     {3 * MIB, 1, OK},
		     {3 * MIB, 1, ERR_OVERLAP},
		     {2 * MIB - 1, 2, ERR_OVERLAP},
		     {MIB, 4 * MIB, ERR_OVERLAP},
		     {0xa0000, 1, ERR_NO_MEMORY},
		     {0x9e000, 0x1001, ERR_NO_MEMORY},
		     {16 * MIB - 1, 2, ERR_NO_MEMORY},
		     {~0ULL, 1, ERR_NO_MEMORY},
		     {5 * MIB, ~0ULL, ERR_NO_MEMORY},
		     {~0ULL, 0, OK}};

	(void)state;
	begin_places(16 * MIB);
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		const struct guest_piece piece = {.what = "p",
						  .at = gpa(cases[i].at),
						  .total_bytes =
						      cases[i].bytes};

		assert_int_equal(guest_place_at(&load, &piece), cases[i].err);
	}
	assert_int_equal(load.piece_count, 3);
	assert_said("its p at 0x100000 overlaps its p at 0x200000");
}

/* --- Multiboot 1 -------------------------------------------------------- */

static void mb1_kernel_and_modules_are_copied(void **state)
{
	u8 byte;

	(void)state;
	make_mb1_kernel();
	begin_guest(16 * MIB, "one \"two\" -- three");
	attach_module(GUEST_MODULE, "first", 5, "m1 text");
	attach_module(GUEST_INITRD, "", 0, "");
	attach_module(GUEST_MODULE, "third", 5, "m3");
	assert_int_equal(plan_guest(), OK);
	assert_int_equal(host_log_count, 0);
	assert_int_equal(commit_guest(), OK);
	assert_int_equal(load.entry.mode, GUEST_ENTRY_PROTECTED);
	assert_int_equal(load.entry.rip, 0x100010);
	assert_int_equal(load.entry.rax, 0x2badb002);
	assert_int_equal(load.entry.rbx, INFO_AT);
	assert_int_equal(load.entry.rsi, 0);
	assert_int_equal(load.entry.gdt_bytes, 0);
	peek(0x100fff, &byte, 1);
	assert_int_equal(byte, 'k');
	peek(0x101000, &byte, 1); /* the bss */
	assert_int_equal(byte, 0);
	assert_int_equal(piece_at(0x102000)->total_bytes, 5);
	peek(0x102004, &byte, 1);
	assert_int_equal(byte, 't');
}

static void mb1_information_says_all_this(void **state)
{
	struct mb1_info info;
	struct mb1_module modules[3];
	struct mb1_mmap_entry entry;

	mb1_kernel_and_modules_are_copied(state);
	peek(INFO_AT, &info, sizeof(info));
	assert_int_equal(info.flags, 0x24d);
	assert_int_equal(info.mem_lower, 636);
	assert_int_equal(info.mem_upper, 15 * 1024);
	assert_text(info.cmdline, "one \"two\" -- three");
	assert_text(info.boot_loader_name, "Umbra");
	assert_int_equal(info.mods_count, 3);
	peek(info.mods_addr, modules, sizeof(modules));
	assert_int_equal(modules[0].mod_start, 0x102000);
	assert_int_equal(modules[0].mod_end, 0x102005);
	assert_text(modules[0].string, "m1 text");
	assert_int_equal(modules[1].mod_start, modules[1].mod_end);
	assert_text(modules[1].string, "");
	assert_int_equal(modules[2].mod_start, 0x103000);
	assert_int_equal(modules[2].mod_end, 0x103005);
	assert_text(modules[2].string, "m3");
	assert_int_equal(info.mmap_length, 5 * sizeof(entry));
	peek(info.mmap_addr, &entry, sizeof(entry));
	assert_int_equal(entry.size, 20);
	assert_int_equal(entry.base_addr, 0);
	assert_int_equal(entry.length, 0x9f000);
	assert_int_equal(entry.type, 1);
	peek(info.mmap_addr + 2 * sizeof(entry), &entry, sizeof(entry));
	assert_int_equal(entry.base_addr, 0xe0000);
	assert_int_equal(entry.type, 2);
	peek(info.mmap_addr + 3 * sizeof(entry), &entry, sizeof(entry));
	assert_int_equal(entry.base_addr, MIB);
	assert_int_equal(entry.length, 15 * MIB);
}

static void memory_above_4g_is_in_the_map_only(void **state)
{
	struct mb1_info info;
	struct mb1_mmap_entry entry;

	(void)state;
	make_mb1_kernel();
	begin_guest(5 * GIB, "");
	assert_int_equal(plan_guest(), OK);
	memcpy(&info, load.info, sizeof(info));
	assert_int_equal(info.mem_upper, (3 * GIB - MIB) / KIB);
	assert_int_equal(info.mmap_length, 6 * sizeof(entry));
	memcpy(&entry, load.info + info.mmap_addr - INFO_AT + 5 * sizeof(entry),
	       sizeof(entry));
	assert_int_equal(entry.base_addr, 4 * GIB);
	assert_int_equal(entry.length, 2 * GIB);
}

static void information_makes_way_for_a_low_kernel(void **state)
{
	(void)state;
	file_reset();
	elf64_begin(0x8000, 1);
	elf64_segment(
	    0, (struct made_segment){0, 0x8000, 0x8000, 0x1000, 0x90000});
	mb1_header_at(0x200, 0);
	file_put(4095, "k", 1);
	begin_guest(16 * MIB, "low");
	attach_module(GUEST_MODULE, "m", 1, "");
	assert_int_equal(plan_guest(), OK);
	assert_int_equal(load.entry.rbx, MIB);
	assert_int_equal(commit_guest(), OK);
	piece_at(MIB + GUEST_LOAD_INFO_BYTES); /* the module behind it */
}

/* --- Multiboot 2 -------------------------------------------------------- */

static void make_mb2_kernel(void)
{
	file_reset();
	elf32_begin(0x100010, 1);
	elf32_segment(0,
		      (struct made_segment){0, 0x100000, 0x100000, 4096, 8192});
	mb2_header_at(0x100, 16);
	file_put(4095, "k", 1);
}

/* Finds the `nth` tag of a type; all tags must be well formed. */
static u64 find_tag(u32 type, u32 nth)
{
	struct mb2_info info;
	struct mb2_tag tag;
	u64 at = INFO_AT + sizeof(info);

	peek(INFO_AT, &info, sizeof(info));
	for (;; at += align_up(tag.size, 8)) {
		assert_true(at + sizeof(tag) <= INFO_AT + info.total_size);
		peek(at, &tag, sizeof(tag));
		assert_true(tag.size >= sizeof(tag));
		if (tag.type == type && nth-- == 0)
			return at;
		if (tag.type == 0)
			fail_msg("no tag %u", type);
	}
}

static void mb2_information_is_a_list_of_tags(void **state)
{
	struct mb2_info info;
	struct mb2_tag_module module;
	struct mb2_tag_basic_memory basic;
	struct mb2_tag_mmap mmap;
	struct mb2_mmap_entry entry;

	(void)state;
	make_mb2_kernel();
	begin_guest(16 * MIB, "some text");
	attach_module(GUEST_MODULE, "first", 5, "m1");
	attach_module(GUEST_MODULE, "2nd", 3, "");
	assert_int_equal(plan_guest(), OK);
	assert_int_equal(commit_guest(), OK);
	assert_int_equal(load.entry.rax, 0x36d76289);
	assert_int_equal(load.entry.rbx, INFO_AT);
	peek(INFO_AT, &info, sizeof(info));
	assert_int_equal(find_tag(0, 0) + 8, INFO_AT + info.total_size);
	assert_text(find_tag(1, 0) + 8, "some text");
	assert_text(find_tag(2, 0) + 8, "Umbra");
	peek(find_tag(3, 0), &module, sizeof(module));
	assert_int_equal(module.mod_start, 0x102000);
	assert_int_equal(module.mod_end, 0x102005);
	assert_int_equal(module.tag.size, 19);
	assert_text(find_tag(3, 0) + 16, "m1");
	peek(find_tag(3, 1), &module, sizeof(module));
	assert_int_equal(module.mod_start, 0x103000);
	peek(find_tag(4, 0), &basic, sizeof(basic));
	assert_int_equal(basic.mem_lower, 636);
	assert_int_equal(basic.mem_upper, 15 * 1024);
	peek(find_tag(6, 0), &mmap, sizeof(mmap));
	assert_int_equal(mmap.entry_size, 24);
	assert_int_equal(mmap.entry_version, 0);
	assert_int_equal(mmap.tag.size, 16 + 5 * 24);
	peek(find_tag(6, 0) + 16 + 3 * 24, &entry, sizeof(entry));
	assert_int_equal(entry.base_addr, MIB);
	assert_int_equal(entry.length, 15 * MIB);
	assert_int_equal(entry.type, 1);
}

/* --- Too little, too much ----------------------------------------------- */

static void too_little_memory_says_how_much_would_do(void **state)
{
	static u8 big[3 * MIB];

	(void)state;
	make_mb1_kernel();
	begin_guest(MIB, "");
	assert_int_equal(plan_guest(), ERR_NO_MEMORY);
	assert_int_equal(host_log_count, 1);
	assert_said("guest g: its kernel of 8K bytes does not fit into 1M of "
		    "memory; mem=2M would do");
	plan.memory_bytes = 2 * MIB;
	assert_int_equal(plan_guest(), OK);

	begin_guest(4 * MIB, "");
	attach_module(GUEST_MODULE, big, sizeof(big), "");
	assert_int_equal(plan_guest(), ERR_NO_MEMORY);
	assert_said("its module of 3M bytes does not fit into 4M of memory; "
		    "mem=5M would do");
	plan.memory_bytes = 5 * MIB;
	assert_int_equal(plan_guest(), OK);
}

static void kernel_in_a_hole_fits_no_guest(void **state)
{
	static const u64 places[] = {0xa0000, 0x9e001,     0xe0000,
				     3 * GIB, 3 * GIB - 1, 4 * GIB - 8192};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(places); i++) {
		make_mb1_kernel();
		elf64_segment(0, (struct made_segment){0, 0x100000, places[i],
						       4096, 8192});
		begin_guest(64 * MIB, "");
		assert_int_equal(plan_guest(), ERR_RANGE);
		assert_int_equal(host_log_count, 1);
		assert_said("no guest has that much memory there");
	}
}

static void overlapping_segments_are_refused(void **state)
{
	(void)state;
	file_reset();
	elf64_begin(0x100000, 2);
	elf64_segment(0, (struct made_segment){0, 0x100000, 0x100000, 1, 9});
	elf64_segment(1, (struct made_segment){0, 0x100008, 0x100008, 1, 9});
	mb1_header_at(0x200, 0);
	begin_guest(16 * MIB, "");
	assert_int_equal(plan_guest(), ERR_OVERLAP);
	assert_int_equal(host_log_count, 1);
	assert_said("its kernel at 0x100008 overlaps its kernel at 0x100000");
}

static void most_modules_with_longest_texts_fit(void **state)
{
	static char text[BOOT_MODULE_TEXT_BYTES];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	for (int version = 1; version <= 2; version++) {
		if (version == 1)
			make_mb1_kernel();
		else
			make_mb2_kernel();
		begin_guest(16 * MIB, text);
		for (u32 i = 0; i < GUEST_ATTACHMENTS_MAX; i++)
			attach_module(GUEST_MODULE, "m", 1, text);
		assert_int_equal(plan_guest(), OK);
	}
}

static void commit_into_other_memory_is_an_error(void **state)
{
	(void)state;
	make_mb1_kernel();
	begin_guest(16 * MIB, "");
	assert_int_equal(plan_guest(), OK);
	load.map.ranges[3].base = gpa(2 * MIB); /* no memory at 1M */
	assert_int_equal(commit_guest(), ERR_RANGE);
	assert_said("its kernel cannot be copied to 0x100000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(map_has_the_holes_of_a_pc),
	    cmocka_unit_test(guest_is_told_of_configuration_space),
	    cmocka_unit_test(only_ram_counts_as_ram),
	    cmocka_unit_test(pieces_go_to_the_lowest_free_place),
	    cmocka_unit_test(limits_of_a_room_hold),
	    cmocka_unit_test(empty_pieces_take_no_room),
	    cmocka_unit_test(fixed_pieces_must_not_overlap),
	    cmocka_unit_test(mb1_kernel_and_modules_are_copied),
	    cmocka_unit_test(mb1_information_says_all_this),
	    cmocka_unit_test(memory_above_4g_is_in_the_map_only),
	    cmocka_unit_test(information_makes_way_for_a_low_kernel),
	    cmocka_unit_test(mb2_information_is_a_list_of_tags),
	    cmocka_unit_test(too_little_memory_says_how_much_would_do),
	    cmocka_unit_test(kernel_in_a_hole_fits_no_guest),
	    cmocka_unit_test(overlapping_segments_are_refused),
	    cmocka_unit_test(most_modules_with_longest_texts_fit),
	    cmocka_unit_test(commit_into_other_memory_is_an_error),
	};

	return cmocka_run_group_tests_name("guest_load", tests, NULL, NULL);
}
