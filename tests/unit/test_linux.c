/* SPDX-License-Identifier: MIT */
/* Linux bzImages: the setup header, the places, and what the kernel finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/linux.h"
#include "tests/unit/loaded_guest.h"

#define ZERO_PAGE 0x10000

static void assert_said(const char *words)
{
	if (!strstr(host_last_log, words))
		fail_msg("\"%s\" does not say \"%s\"", host_last_log, words);
}

static u64 peek_u64(u64 at, u64 bytes)
{
	u64 value = 0;

	peek(at, &value, bytes);
	return value;
}

static void begin_linux(u64 memory_bytes, const char *command_line)
{
	make_bzimage();
	begin_guest(memory_bytes, command_line);
}

/* One field of the header changed: plan it again. */
static enum err plan_changed(u64 at, u64 value, u64 bytes)
{
	make_bzimage();
	file_put(at, &value, bytes);
	begin_guest(64 * MIB, "");
	return plan_guest();
}

static void kernel_goes_where_it_prefers(void **state)
{
	(void)state;
	begin_linux(64 * MIB, "console=ttyS0");
	assert_int_equal(plan_guest(), OK);
	assert_int_equal(host_log_count, 0);
	assert_int_equal(commit_guest(), OK);
	assert_int_equal(peek_u64(BZIMAGE_PREFERRED, 4), 0x12345678);
	assert_int_equal(peek_u64(BZIMAGE_PREFERRED + 0x7fc, 4), 0x87654321);
	assert_int_equal(load.entry.mode, GUEST_ENTRY_LONG);
	assert_int_equal(load.entry.rip, BZIMAGE_PREFERRED + 0x200);
	assert_int_equal(load.entry.rsi, ZERO_PAGE);
	assert_int_equal(load.entry.rax, 0);
	assert_int_equal(load.entry.rbx, 0);
	assert_int_equal(load.entry.cs, 0x10);
	assert_int_equal(load.entry.ss_ds_es, 0x18);
}

static void boot_params_hold_header_and_map(void **state)
{
	char text[32];

	kernel_goes_where_it_prefers(state);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x1f1, 1), 2);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x202, 4), 0x53726448);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x206, 2), 0x20f);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x1fa, 2), 0xffff);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x210, 1), 0xff);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x211, 1), 0x01);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x214, 4), BZIMAGE_PREFERRED);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x218, 8), 0); /* no initrd */
	assert_int_equal(peek_u64(ZERO_PAGE + 0x258, 8), BZIMAGE_PREFERRED);
	/* Before and behind the setup header there is nothing of the file. */
	for (u64 at = 0; at < 0x1e8; at += 8)
		assert_int_equal(peek_u64(ZERO_PAGE + at, 8), 0);
	for (u64 at = 0x26c; at < 0x2d0; at += 4)
		assert_int_equal(peek_u64(ZERO_PAGE + at, 4), 0);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x1ef, 1), 0); /* sentinel */
	peek(peek_u64(ZERO_PAGE + 0x228, 4), text, sizeof(text));
	assert_string_equal(text, "console=ttyS0");
	assert_int_equal(peek_u64(ZERO_PAGE + 0x1e8, 1), 5);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x2d0 + 8, 8), 0x9f000);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x2d0 + 16, 4), 1);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x2d0 + 36, 4), 2);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x2d0 + 60, 8), MIB);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x2d0 + 68, 8), 63 * MIB);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x2d0 + 80, 8), 0xe0000000);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x2d0 + 88, 8), MIB);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x2d0 + 96, 4), 2);
}

/* Walks the tables as a CPU does; gives ~0 where it would fault. */
static u64 translate(u64 linear)
{
	u64 table = load.entry.cr3;

	for (u32 shift = 39;; shift -= 9) {
		u64 entry = peek_u64(table + ((linear >> shift) & 511) * 8, 8);

		if ((entry & 3) != 3)
			return ~0ULL;
		if (entry & BIT(7))
			return (entry & BITS(51, 21)) | (linear & BITS(20, 0));
		assert_int_equal(entry & BITS(11, 2), 0);
		table = entry & BITS(51, 12);
		assert_true(shift > 21);
	}
}

static void page_tables_are_one_to_one_below_4g(void **state)
{
	static const u64 addresses[] = {0,       0x10123,     MIB,
					GIB - 1, 2 * GIB + 5, 4 * GIB - 1};

	kernel_goes_where_it_prefers(state);
	for (u32 i = 0; i < ARRAY_COUNT(addresses); i++)
		assert_int_equal(translate(addresses[i]), addresses[i]);
	assert_int_equal(translate(4 * GIB), ~0ULL);
	assert_int_equal(translate(1ULL << 39), ~0ULL);
}

static void descriptors_stand_where_the_selectors_say(void **state)
{
	kernel_goes_where_it_prefers(state);
	assert_int_equal(load.entry.gdt_bytes, 0x20);
	u64 gdt = gpa_raw(load.entry.gdt);

	assert_int_equal(peek_u64(gdt, 8), 0);
	assert_int_equal(peek_u64(gdt + 0x10, 8), 0x00af9b000000ffff);
	assert_int_equal(peek_u64(gdt + 0x18, 8), 0x00cf93000000ffff);
}

static void kernel_without_64_bit_entry_starts_in_protected_mode(void **state)
{
	(void)state;
	assert_int_equal(plan_changed(0x236, 0x3e, 2), OK);
	assert_int_equal(load.entry.mode, GUEST_ENTRY_PROTECTED);
	assert_int_equal(load.entry.rip, BZIMAGE_PREFERRED);
	assert_int_equal(load.entry.rsi, ZERO_PAGE);
	assert_int_equal(load.entry.cr3, 0);
	assert_int_equal(commit_guest(), OK);
	assert_int_equal(peek_u64(gpa_raw(load.entry.gdt) + 0x10, 8),
			 0x00cf9b000000ffff);
	/* Before 2.12 the flags were something else. */
	assert_int_equal(plan_changed(0x206, 0x20b, 2), OK);
	assert_int_equal(load.entry.mode, GUEST_ENTRY_PROTECTED);
}

static void initrds_follow_each_other_behind_the_kernel(void **state)
{
	u64 at = BZIMAGE_PREFERRED + BZIMAGE_INIT_SIZE;
	char text[16];

	(void)state;
	begin_linux(64 * MIB, "");
	attach_module(GUEST_INITRD, "first", 5, "");
	attach_module(GUEST_INITRD, "", 0, "");
	attach_module(GUEST_MODULE, "second", 6, "");
	assert_int_equal(plan_guest(), OK);
	assert_int_equal(commit_guest(), OK);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x218, 4), at);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x21c, 4), 14);
	peek(at, text, 15);
	assert_memory_equal(text, "first\0\0\0second\0", 15);
}

static void initrd_stays_below_the_kernels_limit(void **state)
{
	(void)state;
	make_bzimage();
	file_put_u32(0x22c, BZIMAGE_PREFERRED + BZIMAGE_INIT_SIZE + 99);
	begin_guest(64 * MIB, "");
	static const u8 initrd[101];

	attach_module(GUEST_INITRD, initrd, 100, "");
	assert_int_equal(plan_guest(), OK);
	boot.modules[1].bytes = 101;
	assert_int_equal(plan_guest(), ERR_RANGE);
	assert_said("its initrd of 101 bytes does not fit above 0x1200000");
}

static void relocatable_kernel_moves_where_there_is_room(void **state)
{
	(void)state;
	begin_linux(8 * MIB, "");
	assert_int_equal(plan_guest(), OK);
	assert_int_equal(load.entry.rip, 2 * MIB + 0x200);
	assert_int_equal(commit_guest(), OK);
	assert_int_equal(peek_u64(2 * MIB + 0x7fc, 4), 0x87654321);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x214, 4), 2 * MIB);
	/* Not above what a 32-bit field can say, however much it prefers it. */
	make_bzimage();
	file_put_u64(0x258, 4 * GIB);
	begin_guest(6 * GIB, "");
	assert_int_equal(plan_guest(), OK);
	assert_int_equal(load.entry.rip, 2 * MIB + 0x200);
}

static void fixed_kernel_needs_its_place(void **state)
{
	(void)state;
	make_bzimage();
	file_put(0x234, "\0", 1);
	begin_guest(16 * MIB, "");
	assert_int_equal(plan_guest(), ERR_NO_MEMORY);
	assert_said("its kernel of 2M bytes does not fit into 16M of memory; "
		    "mem=18M would do");
	plan.memory_bytes = 18 * MIB;
	assert_int_equal(plan_guest(), OK);
}

static void too_small_a_guest_says_how_much_would_do(void **state)
{
	(void)state;
	begin_linux(3 * MIB, "");
	assert_int_equal(plan_guest(), ERR_NO_MEMORY);
	assert_said("does not fit into 3M of memory; mem=18M would do");
}

static void overlong_command_line_is_refused(void **state)
{
	(void)state;
	make_bzimage();
	file_put_u32(0x238, 5);
	begin_guest(64 * MIB, "12345");
	assert_int_equal(plan_guest(), OK);
	plan.command_line = "123456";
	assert_int_equal(plan_guest(), ERR_UNSUPPORTED);
	assert_said("its command line has 6 characters; this Linux kernel "
		    "takes 5");
}

static void old_kernels_are_named(void **state)
{
	(void)state;
	assert_int_equal(plan_changed(0x206, 0x209, 2), ERR_UNSUPPORTED);
	assert_said("boot protocol 2.09;");
	assert_int_equal(plan_changed(0x211, 0x80, 1), ERR_UNSUPPORTED);
	assert_said("2.15 and is a zImage");
	assert_int_equal(plan_changed(0x206, 0x20a, 2), OK);
}

static void damaged_headers_have_their_words(void **state)
{
	static const struct {
		u64 at, value, bytes;
		const char *words;
	} cases[] = {
	    {0x201, 0x61, 1, "header is too short"},
	    {0x230, 0, 4, "alignment is no power of two"},
	    {0x230, 0x300000, 4, "alignment is no power of two"},
	    {0x1f1, 200, 1, "ends before the kernel proper"},
	    {0x258, ~0ULL, 8, "wraps around"},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_int_equal(
		    plan_changed(cases[i].at, cases[i].value, cases[i].bytes),
		    ERR_BAD_FORMAT);
		assert_int_equal(host_log_count, 1);
		assert_said(cases[i].words);
	}
	make_bzimage();
	file_length = 0x263;
	begin_guest(64 * MIB, "");
	assert_int_equal(plan_guest(), ERR_BAD_FORMAT);
	assert_said("cut off");
}

static void setup_data_of_the_file_is_not_passed_on(void **state)
{
	(void)state;
	assert_int_equal(plan_changed(0x250, 0x1234, 8), OK);
	assert_int_equal(commit_guest(), OK);
	assert_int_equal(peek_u64(ZERO_PAGE + 0x250, 8), 0);
}

static void header_longer_than_its_place_is_cut(void **state)
{
	(void)state;
	make_bzimage();
	file_put(0x201, "\xff", 1);
	file_put(0x290, "\xee", 1);
	begin_guest(64 * MIB, "");
	assert_int_equal(plan_guest(), OK);
	assert_int_equal(load.info[0x290], 0);
}

static void zero_setup_sectors_mean_four(void **state)
{
	(void)state;
	make_bzimage();
	file_put(0x1f1, "\0", 1);
	file_put_u32(5 * 512, 0xabcd);
	file_length = 5 * 512 + 0x201;
	begin_guest(64 * MIB, "");
	assert_int_equal(plan_guest(), OK);
	assert_int_equal(load.image.linux_image.kernel_offset, 5 * 512);
	file_length--;
	begin_guest(64 * MIB, "");
	assert_int_equal(plan_guest(), ERR_BAD_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(kernel_goes_where_it_prefers),
	    cmocka_unit_test(boot_params_hold_header_and_map),
	    cmocka_unit_test(page_tables_are_one_to_one_below_4g),
	    cmocka_unit_test(descriptors_stand_where_the_selectors_say),
	    cmocka_unit_test(
		kernel_without_64_bit_entry_starts_in_protected_mode),
	    cmocka_unit_test(initrds_follow_each_other_behind_the_kernel),
	    cmocka_unit_test(initrd_stays_below_the_kernels_limit),
	    cmocka_unit_test(relocatable_kernel_moves_where_there_is_room),
	    cmocka_unit_test(fixed_kernel_needs_its_place),
	    cmocka_unit_test(too_small_a_guest_says_how_much_would_do),
	    cmocka_unit_test(overlong_command_line_is_refused),
	    cmocka_unit_test(old_kernels_are_named),
	    cmocka_unit_test(damaged_headers_have_their_words),
	    cmocka_unit_test(setup_data_of_the_file_is_not_passed_on),
	    cmocka_unit_test(header_longer_than_its_place_is_cut),
	    cmocka_unit_test(zero_setup_sectors_mean_four),
	};

	return cmocka_run_group_tests_name("linux", tests, NULL, NULL);
}
