/* SPDX-License-Identifier: MIT */
/* boot_info from both multiboot versions, well-formed and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/boot_info.h"
#include "loader/multiboot.h"
#include "tests/unit/host_seams.h"

/* Where the tests put things in physical memory. */
#define INFO_AT   0x10000
#define MMAP_AT   0x20000
#define MODS_AT   0x30000
#define TEXT_AT   0x40000
#define MODULE_AT 0x400000
#define LIMIT     (16 * MIB)

static struct boot_info boot;
static struct mb1_info mb1;
static u64 tag_at; /* where the next multiboot 2 tag goes */

static int reset(void **state)
{
	(void)state;
	memset(phys_memory, 0, LIMIT + PAGE_4K);
	memset(&boot, 0xff, sizeof(boot));
	memset(&mb1, 0, sizeof(mb1));
	tag_at = INFO_AT + sizeof(struct mb2_info);
	host_log_count = 0;
	host_last_log[0] = 0;
	return 0;
}

static void poke(u64 at, const void *bytes, size_t count)
{
	memcpy(&phys_memory[at], bytes, count);
}

static u32 text_at(u64 at, const char *text)
{
	poke(at, text, strlen(text) + 1);
	return (u32)at;
}

static void assert_region(u32 i, u64 base, u64 bytes, enum region_kind kind)
{
	assert_true(i < boot.memory.region_count);
	assert_int_equal(hpa_raw(boot.memory.regions[i].base), base);
	assert_int_equal(boot.memory.regions[i].bytes, bytes);
	assert_int_equal(boot.memory.regions[i].kind, kind);
}

static void assert_said(const char *words)
{
	assert_non_null(strstr(host_last_log, words));
}

/* --- Version 1 ---------------------------------------------------------- */

static enum err read_mb1(void)
{
	poke(INFO_AT, &mb1, sizeof(mb1));
	return boot_info_from_multiboot(&boot, MB1_BOOT_MAGIC, hpa(INFO_AT),
					hpa(LIMIT));
}

static void mb1_entry(u32 size, u64 base, u64 length, u32 type)
{
	struct mb1_mmap_entry entry = {size, base, length, type};

	poke(MMAP_AT + mb1.mmap_length, &entry, sizeof(entry));
	mb1.flags |= MB1_INFO_MMAP;
	mb1.mmap_addr = MMAP_AT;
	mb1.mmap_length += size + 4;
}

static void mb1_module(u32 start, u32 end, u32 string)
{
	struct mb1_module module = {start, end, string, 0};

	poke(MODS_AT + mb1.mods_count * sizeof(module), &module,
	     sizeof(module));
	mb1.flags |= MB1_INFO_MODULES;
	mb1.mods_addr = MODS_AT;
	mb1.mods_count++;
}

static void mb1_basic_memory(void)
{
	mb1.flags |= MB1_INFO_MEMORY;
	mb1.mem_lower = 640;
	mb1.mem_upper = 1024;
}

static void mb1_information_is_copied_whole(void **state)
{
	(void)state;
	mb1.flags = MB1_INFO_COMMAND_LINE | MB1_INFO_BOOT_LOADER_NAME;
	mb1.cmdline = text_at(TEXT_AT, "umbra cpus=2\texit=qemu");
	mb1.boot_loader_name = text_at(TEXT_AT + 100, "GRUB 2.06");
	mb1_module(MODULE_AT, MODULE_AT + 5, text_at(TEXT_AT + 200, "guest"));
	mb1_module(MODULE_AT + 0x1000, MODULE_AT + 0x1000, 0);
	mb1_entry(20, 0, 0x9fc00, 1);
	mb1_entry(24, MIB, 15 * MIB, 1); /* as GRUB and others may pad it */
	mb1_entry(20, 15 * MIB, MIB, 3);
	mb1_entry(20, 0xf0000, 0x10000, 77);
	mb1_entry(20, 4 * GIB, 2 * GIB, 1);
	assert_int_equal(read_mb1(), OK);
	assert_int_equal(host_log_count, 0);
	assert_string_equal(boot.command_line, "umbra cpus=2 exit=qemu");
	assert_false(boot.command_line_cut);
	assert_string_equal(boot.loader_name, "GRUB 2.06");
	assert_int_equal(boot.module_count, 2);
	assert_int_equal(hpa_raw(boot.modules[0].base), MODULE_AT);
	assert_int_equal(boot.modules[0].bytes, 5);
	assert_string_equal(boot.modules[0].text, "guest");
	assert_int_equal(boot.modules[1].bytes, 0);
	assert_string_equal(boot.modules[1].text, "");
	assert_int_equal(boot.memory.region_count, 5);
	assert_region(0, 0, 0x9fc00, REGION_AVAILABLE);
	assert_region(1, 0xf0000, 0x10000, REGION_RESERVED);
	assert_region(2, MIB, 14 * MIB, REGION_AVAILABLE);
	assert_region(3, 15 * MIB, MIB, REGION_ACPI_RECLAIMABLE);
	assert_region(4, 4 * GIB, 2 * GIB, REGION_AVAILABLE);
	assert_int_equal(boot.rsdp_bytes, 0);
	assert_int_equal(boot.efi, BOOT_EFI_NONE);
}

static void mb1_fields_without_their_flag_are_not_read(void **state)
{
	(void)state;
	mb1_entry(20, 0, MIB, 1);
	mb1.cmdline = text_at(TEXT_AT, "no");
	mb1.boot_loader_name = mb1.cmdline;
	mb1.mods_count = 3;
	assert_int_equal(read_mb1(), OK);
	assert_string_equal(boot.command_line, "");
	assert_string_equal(boot.loader_name, "");
	assert_int_equal(boot.module_count, 0);
}

static void mb1_without_map_uses_lower_and_upper(void **state)
{
	(void)state;
	mb1_basic_memory();
	assert_int_equal(read_mb1(), OK);
	assert_int_equal(boot.memory.region_count, 2);
	assert_region(0, 0, 640 * KIB, REGION_AVAILABLE);
	assert_region(1, MIB, MIB, REGION_AVAILABLE);
}

static void mb1_without_any_memory_is_refused(void **state)
{
	(void)state;
	assert_int_equal(read_mb1(), ERR_NOT_FOUND);
	assert_said("no usable memory");
	reset(state);
	mb1_entry(20, 0, MIB, 2);
	assert_int_equal(read_mb1(), ERR_NOT_FOUND);
}

static void unknown_magic_is_refused(void **state)
{
	(void)state;
	assert_int_equal(
	    boot_info_from_multiboot(&boot, 0x1234, hpa(INFO_AT), hpa(LIMIT)),
	    ERR_UNSUPPORTED);
	assert_said("0x1234");
}

static void information_past_the_limit_is_refused(void **state)
{
	static const u64 places[] = {LIMIT, LIMIT - 1, 0xffffffff, ~0ULL,
				     LIMIT - sizeof(mb1) + 1};
	u32 tiny = 4; /* of which the second half would lie past the limit */

	(void)state;
	poke(LIMIT - 4, &tiny, sizeof(tiny));
	for (u32 i = 0; i < ARRAY_COUNT(places); i++)
		assert_int_equal(boot_info_from_multiboot(&boot, MB1_BOOT_MAGIC,
							  hpa(places[i]),
							  hpa(LIMIT)),
				 ERR_RANGE);
	assert_int_equal(boot_info_from_multiboot(&boot, MB2_BOOT_MAGIC,
						  hpa(LIMIT - 4), hpa(LIMIT)),
			 ERR_RANGE);
	assert_said("cannot be read");
}

static void mb1_damaged_map_keeps_what_was_sound(void **state)
{
	(void)state;
	mb1_entry(20, 0, MIB, 1);
	mb1_entry(19, MIB, MIB, 1);
	assert_int_equal(read_mb1(), OK);
	assert_int_equal(boot.memory.region_count, 1);
	assert_said("from entry 1 on");

	reset(state);
	mb1_entry(20, 0, MIB, 1);
	mb1.mmap_length += 8; /* half an entry */
	assert_int_equal(read_mb1(), OK);
	assert_said("from entry 1 on");

	reset(state);
	mb1_basic_memory();
	mb1.flags |= MB1_INFO_MMAP;
	mb1.mmap_addr = 0xfffffff0;
	mb1.mmap_length = 0xffffffff;
	assert_int_equal(read_mb1(), OK);
	assert_said("from entry 0 on");
	assert_region(1, MIB, MIB, REGION_AVAILABLE);
}

static void mb1_endless_map_is_cut(void **state)
{
	(void)state;
	for (u32 i = 0; i < 2000; i++)
		mb1_entry(20, 0, MIB, 1);
	assert_int_equal(read_mb1(), OK);
	assert_int_equal(host_log_count, 1);
	assert_said("from entry 1024 on");
}

static void too_many_regions_are_counted_in_words(void **state)
{
	(void)state;
	for (u32 i = 0; i < 200; i++)
		mb1_entry(20, 2 * MIB * i, MIB, 1);
	assert_int_equal(read_mb1(), OK);
	assert_int_equal(boot.memory.region_count, REGIONS_MAX);
	assert_int_equal(host_log_count, 1);
	assert_said("73728 KiB"); /* 72 of 1 MiB */
}

static void mb1_bad_modules_are_left_out(void **state)
{
	(void)state;
	mb1_entry(20, 0, MIB, 1);
	mb1_module(MODULE_AT + 1, MODULE_AT, 0);
	mb1_module(MODULE_AT, (u32)LIMIT + 1, 0);
	mb1_module(MODULE_AT, (u32)LIMIT, 0);
	assert_int_equal(read_mb1(), OK);
	assert_int_equal(boot.module_count, 1);
	assert_int_equal(host_log_count, 2);
	assert_int_equal(boot.modules[0].bytes, LIMIT - MODULE_AT);
}

static void mb1_module_list_past_the_limit_ends(void **state)
{
	(void)state;
	mb1_entry(20, 0, MIB, 1);
	mb1.flags |= MB1_INFO_MODULES;
	mb1.mods_addr = (u32)LIMIT - sizeof(struct mb1_module);
	mb1.mods_count = 5;
	assert_int_equal(read_mb1(), OK);
	assert_int_equal(boot.module_count, 1);
	assert_said("list of 5 modules cannot be read from entry 1 on");
}

static void too_many_modules_are_counted_in_words(void **state)
{
	(void)state;
	mb1_entry(20, 0, MIB, 1);
	for (u32 i = 0; i < 70; i++)
		mb1_module(MODULE_AT + i, MODULE_AT + 2 * i, 0);
	assert_int_equal(read_mb1(), OK);
	assert_int_equal(boot.module_count, BOOT_MODULES_MAX);
	assert_int_equal(boot.modules[63].bytes, 63);
	assert_int_equal(host_log_count, 1);
	assert_said("6 boot modules are left out");

	/* A count that no list can have must not keep us busy. */
	mb1.mods_count = 0xffffffff;
	assert_int_equal(read_mb1(), OK);
	assert_said("4294967231 boot modules");
}

static void long_texts_are_cut_and_flagged(void **state)
{
	(void)state;
	mb1_entry(20, 0, MIB, 1);
	mb1.flags |= MB1_INFO_COMMAND_LINE | MB1_INFO_BOOT_LOADER_NAME;
	mb1.cmdline = mb1.boot_loader_name = TEXT_AT;
	memset(&phys_memory[TEXT_AT], 'x', BOOT_COMMAND_LINE_BYTES - 1);
	mb1_module(MODULE_AT, MODULE_AT, TEXT_AT);
	assert_int_equal(read_mb1(), OK);
	assert_false(boot.command_line_cut);
	assert_int_equal(strlen(boot.command_line),
			 BOOT_COMMAND_LINE_BYTES - 1);
	assert_int_equal(strlen(boot.loader_name), BOOT_LOADER_NAME_BYTES - 1);
	assert_int_equal(strlen(boot.modules[0].text),
			 BOOT_MODULE_TEXT_BYTES - 1);
	assert_true(boot.modules[0].text_cut);
	assert_said("boot module 0 is cut after 1023");

	phys_memory[TEXT_AT + BOOT_COMMAND_LINE_BYTES - 1] = 'x';
	assert_int_equal(read_mb1(), OK);
	assert_true(boot.command_line_cut);
	assert_int_equal(strlen(boot.command_line),
			 BOOT_COMMAND_LINE_BYTES - 1);
	assert_said("command line is cut after 2047");
}

static void text_that_runs_past_the_limit_is_cut(void **state)
{
	(void)state;
	mb1_entry(20, 0, MIB, 1);
	mb1.flags |= MB1_INFO_COMMAND_LINE;
	mb1.cmdline = (u32)LIMIT - 3;
	memset(&phys_memory[LIMIT - 3], 'x', 10);
	assert_int_equal(read_mb1(), OK);
	assert_string_equal(boot.command_line, "xxx");
	assert_true(boot.command_line_cut);
}

static void control_characters_become_blanks(void **state)
{
	(void)state;
	mb1_entry(20, 0, MIB, 1);
	mb1.flags |= MB1_INFO_COMMAND_LINE;
	mb1.cmdline = text_at(TEXT_AT, "a\x1e!end 0\nb\x7f\xc3\xa4");
	assert_int_equal(read_mb1(), OK);
	assert_string_equal(boot.command_line, "a !end 0 b \xc3\xa4");
}

/* --- Version 2 ---------------------------------------------------------- */

static void tag_of_size(u32 type, const void *body, u32 body_bytes, u32 size)
{
	struct mb2_tag tag = {type, size};

	poke(tag_at, &tag, sizeof(tag));
	poke(tag_at + sizeof(tag), body, body_bytes);
	tag_at = (tag_at + sizeof(tag) + body_bytes + 7) & ~7ULL;
}

static void tag(u32 type, const void *body, u32 body_bytes)
{
	tag_of_size(type, body, body_bytes,
		    (u32)sizeof(struct mb2_tag) + body_bytes);
}

static enum err read_mb2(void)
{
	struct mb2_info info = {0};

	tag(MB2_TAG_END, "", 0);
	info.total_size = (u32)(tag_at - INFO_AT);
	poke(INFO_AT, &info, sizeof(info));
	return boot_info_from_multiboot(&boot, MB2_BOOT_MAGIC, hpa(INFO_AT),
					hpa(LIMIT));
}

static void module_tag(u32 start, u32 end, const char *text)
{
	u8 body[64];

	memcpy(body, &start, 4);
	memcpy(body + 4, &end, 4);
	memcpy(body + 8, text, strlen(text) + 1);
	tag(MB2_TAG_MODULE, body, 8 + (u32)strlen(text) + 1);
}

struct mmap_body {
	u32 entry_size, entry_version;
	struct mb2_mmap_entry entries[2];
};

static void mmap_tag(void)
{
	struct mmap_body body = {sizeof(struct mb2_mmap_entry),
				 0,
				 {{0, 0x9f000, 1, 0}, {MIB, 3 * MIB, 1, 0}}};

	tag(MB2_TAG_MMAP, &body, sizeof(body));
}

struct efi_body {
	u32 descr_size, descr_vers;
	struct {
		struct efi_memory_descriptor descriptor;
		u64 larger_than_we_know;
	} entries[6];
};

static void efi_mmap_tag(void)
{
	struct efi_body body = {
	    48,
	    1,
	    {{{7, 0, 0, 0, 0x9f, 0}, 0},         /* conventional */
	     {{3, 0, MIB, 0, 256, 0}, 0},        /* boot services code */
	     {{2, 0, 2 * MIB, 0, 256, 0}, 0},    /* loader data */
	     {{9, 0, 3 * MIB, 0, 1, 0}, 0},      /* ACPI reclaim */
	     {{6, 0, 4 * MIB, 0, 1, 0}, 0},      /* runtime services data */
	     {{8, 0, 5 * MIB, 0, ~0ULL, 0}, 0}}, /* unusable, no size */
	};

	tag(MB2_TAG_EFI_MMAP, &body, sizeof(body));
}

static void mb2_information_is_copied_whole(void **state)
{
	u8 rsdp[36];
	u64 table = 0x123456789abcULL;

	(void)state;
	memset(rsdp, 7, sizeof(rsdp));
	tag(MB2_TAG_COMMAND_LINE, "exit=qemu", 10);
	tag(MB2_TAG_BOOT_LOADER_NAME, "GRUB", 5);
	module_tag(MODULE_AT, MODULE_AT + 9, "guest name=a");
	module_tag(MODULE_AT, MODULE_AT + 1, "");
	tag(MB2_TAG_ACPI_NEW, rsdp, sizeof(rsdp));
	tag(MB2_TAG_ACPI_OLD, "old old old old old ", 20);
	tag(MB2_TAG_EFI64, &table, sizeof(table));
	tag(99, "unknown", 7);
	mmap_tag();
	assert_int_equal(read_mb2(), OK);
	assert_int_equal(host_log_count, 0);
	assert_string_equal(boot.command_line, "exit=qemu");
	assert_string_equal(boot.loader_name, "GRUB");
	assert_int_equal(boot.module_count, 2);
	assert_string_equal(boot.modules[0].text, "guest name=a");
	assert_int_equal(hpa_raw(boot.modules[0].base), MODULE_AT);
	assert_int_equal(boot.modules[0].bytes, 9);
	assert_int_equal(boot.rsdp_bytes, 36);
	assert_memory_equal(boot.rsdp, rsdp, 36);
	assert_int_equal(boot.efi, BOOT_EFI_64);
	assert_int_equal(hpa_raw(boot.efi_system_table), table);
	assert_int_equal(boot.memory.region_count, 2);
	assert_region(1, MIB, 3 * MIB, REGION_AVAILABLE);
}

static void mb2_old_root_pointer_is_taken_without_a_new_one(void **state)
{
	u32 table = 0x1234;

	(void)state;
	mmap_tag();
	tag(MB2_TAG_ACPI_OLD, "old old old old old ", 20);
	tag(MB2_TAG_EFI32, &table, sizeof(table));
	assert_int_equal(read_mb2(), OK);
	assert_int_equal(boot.rsdp_bytes, 20);
	assert_int_equal(boot.efi, BOOT_EFI_32);
	assert_int_equal(hpa_raw(boot.efi_system_table), 0x1234);
}

static void mb2_best_memory_list_wins(void **state)
{
	u32 basic[2] = {640, 2048};

	(void)state;
	tag(MB2_TAG_BASIC_MEMORY, basic, sizeof(basic));
	assert_int_equal(read_mb2(), OK);
	assert_region(1, MIB, 2 * MIB, REGION_AVAILABLE);

	reset(state);
	efi_mmap_tag();
	tag(MB2_TAG_BASIC_MEMORY, basic, sizeof(basic));
	assert_int_equal(read_mb2(), OK);
	assert_int_equal(boot.memory.region_count, 5);
	assert_region(0, 0, 0x9f000, REGION_AVAILABLE);
	assert_region(1, MIB, 2 * MIB, REGION_AVAILABLE);
	assert_region(2, 3 * MIB, PAGE_4K, REGION_ACPI_RECLAIMABLE);
	assert_region(3, 4 * MIB, PAGE_4K, REGION_RESERVED);
	assert_region(4, 5 * MIB, BIT(52) - 5 * MIB, REGION_BAD);

	reset(state);
	efi_mmap_tag();
	mmap_tag();
	assert_int_equal(read_mb2(), OK);
	assert_int_equal(boot.memory.region_count, 2);
}

static void mb2_map_with_odd_entry_size_is_left_out(void **state)
{
	static const u32 sizes[] = {0, 1, 8, 23};
	u32 basic[2] = {640, 2048};
	struct mmap_body body = {0};

	for (u32 i = 0; i < ARRAY_COUNT(sizes); i++) {
		reset(state);
		body.entry_size = sizes[i];
		tag(MB2_TAG_MMAP, &body, sizeof(body));
		tag(MB2_TAG_BASIC_MEMORY, basic, sizeof(basic));
		assert_int_equal(read_mb2(), OK);
		assert_int_equal(boot.memory.region_count, 2);
		assert_said("makes no sense");
	}
}

static void mb2_running_firmware_is_refused(void **state)
{
	(void)state;
	mmap_tag();
	tag(MB2_TAG_EFI_BS, "", 0);
	assert_int_equal(read_mb2(), ERR_UNSUPPORTED);
	assert_said("boot services");
}

static void mb2_damaged_tag_ends_the_list(void **state)
{
	static const u32 sizes[] = {0, 7, 1000, 0xffffffff};

	for (u32 i = 0; i < ARRAY_COUNT(sizes); i++) {
		reset(state);
		mmap_tag();
		tag_of_size(MB2_TAG_BOOT_LOADER_NAME, "", 0, sizes[i]);
		tag(MB2_TAG_COMMAND_LINE, "lost", 5);
		assert_int_equal(read_mb2(), OK);
		assert_string_equal(boot.command_line, "");
		assert_int_equal(host_log_count, 1);
		assert_said("makes no sense");
	}
}

static void mb2_texts_end_with_their_tag(void **state)
{
	(void)state;
	mmap_tag();
	tag(MB2_TAG_COMMAND_LINE, "abcdefgh", 4);
	tag(MB2_TAG_MODULE, "1234", 4);
	assert_int_equal(read_mb2(), OK);
	assert_string_equal(boot.command_line, "abcd");
	assert_int_equal(boot.module_count, 0);
	assert_said("too short");
}

static void mb2_total_size_is_checked(void **state)
{
	static const struct {
		u32 size;
		enum err err;
	} cases[] = {{0, ERR_BAD_FORMAT},
		     {7, ERR_BAD_FORMAT},
		     {0xffffffff, ERR_RANGE},
		     {(u32)LIMIT - INFO_AT + 1, ERR_RANGE}};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		poke(INFO_AT, &cases[i].size, 4);
		assert_int_equal(boot_info_from_multiboot(&boot, MB2_BOOT_MAGIC,
							  hpa(INFO_AT),
							  hpa(LIMIT)),
				 cases[i].err);
	}
}

static void mb2_endless_tags_are_cut(void **state)
{
	(void)state;
	mmap_tag();
	for (u32 i = 0; i < 2000; i++)
		tag(99, "", 0);
	tag(MB2_TAG_COMMAND_LINE, "lost", 5);
	assert_int_equal(read_mb2(), OK);
	assert_int_equal(host_log_count, 1);
	assert_said("makes no sense");
	assert_string_equal(boot.command_line, "");
}

static void everything_is_listed_for_the_developer(void **state)
{
	(void)state;
	mmap_tag();
	module_tag(MODULE_AT, MODULE_AT + 9, "guest name=a");
	assert_int_equal(read_mb2(), OK);
	boot_info_log(&boot);
	assert_int_equal(host_log_count, 0);
	assert_said("0x400000");
	assert_said("\"guest name=a\"");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, reset)
	const struct CMUnitTest tests[] = {
	    TEST(mb1_information_is_copied_whole),
	    TEST(mb1_fields_without_their_flag_are_not_read),
	    TEST(mb1_without_map_uses_lower_and_upper),
	    TEST(mb1_without_any_memory_is_refused),
	    TEST(unknown_magic_is_refused),
	    TEST(information_past_the_limit_is_refused),
	    TEST(mb1_damaged_map_keeps_what_was_sound),
	    TEST(mb1_endless_map_is_cut),
	    TEST(too_many_regions_are_counted_in_words),
	    TEST(mb1_bad_modules_are_left_out),
	    TEST(mb1_module_list_past_the_limit_ends),
	    TEST(too_many_modules_are_counted_in_words),
	    TEST(long_texts_are_cut_and_flagged),
	    TEST(text_that_runs_past_the_limit_is_cut),
	    TEST(control_characters_become_blanks),
	    TEST(mb2_information_is_copied_whole),
	    TEST(mb2_old_root_pointer_is_taken_without_a_new_one),
	    TEST(mb2_best_memory_list_wins),
	    TEST(mb2_map_with_odd_entry_size_is_left_out),
	    TEST(mb2_running_firmware_is_refused),
	    TEST(mb2_damaged_tag_ends_the_list),
	    TEST(mb2_texts_end_with_their_tag),
	    TEST(mb2_total_size_is_checked),
	    TEST(mb2_endless_tags_are_cut),
	    TEST(everything_is_listed_for_the_developer),
	};

	return cmocka_run_group_tests_name("multiboot_info", tests, NULL, NULL);
}
