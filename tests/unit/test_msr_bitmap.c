/* SPDX-License-Identifier: MIT */
/* The MSR bitmap, read back as the manual tells the CPU to read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/vmx/msr_bitmap.h"
#include "mm/addr.h"

#define GUARD      0x5a
#define LOW_FIRST  0u
#define HIGH_FIRST 0xc0000000u
#define MSR_COUNT  8192u

enum direction { READ, WRITE };

/* What a guest may do without an exit: state that entry and exit switch, or
 * that vcpu_load() does. Everything else exits. */
static const struct {
	u32 msr;
	bool read, write;
} free_msrs[] = {
    {0x10, true, false},       /* IA32_TIME_STAMP_COUNTER: offset by VMX */
    {0x174, true, true},       /* IA32_SYSENTER_CS */
    {0x175, true, true},       /* IA32_SYSENTER_ESP */
    {0x176, true, true},       /* IA32_SYSENTER_EIP */
    {0x277, true, false},      /* IA32_PAT: writes are checked */
    {0xc0000080, true, false}, /* IA32_EFER: writes are checked */
    {0xc0000081, true, true},  /* IA32_STAR */
    {0xc0000082, true, true},  /* IA32_LSTAR */
    {0xc0000083, true, true},  /* IA32_CSTAR */
    {0xc0000084, true, true},  /* IA32_FMASK */
    {0xc0000100, true, true},  /* IA32_FS_BASE */
    {0xc0000101, true, true},  /* IA32_GS_BASE */
    {0xc0000102, true, true},  /* IA32_KERNEL_GS_BASE */
};

static struct {
	u8 before[64];
	u8 bitmap[PAGE_4K];
	u8 after[64];
} memory;

static int make_bitmap(void **state)
{
	(void)state;
	memset(&memory, GUARD, sizeof(memory));
	msr_bitmap_init(memory.bitmap);
	return 0;
}

static bool is_expected_free(u32 msr, enum direction direction)
{
	for (u32 i = 0; i < ARRAY_COUNT(free_msrs); i++)
		if (free_msrs[i].msr == msr)
			return direction == READ ? free_msrs[i].read
						 : free_msrs[i].write;
	return false;
}

/*
 * SDM vol. 3, "MSR-Bitmap Address": read low at 0, read high at 1024, write
 * low at 2048, write high at 3072; a bit of 1 exits.
 */
static bool exits(u32 msr, enum direction direction)
{
	u32 at = direction == READ ? 0 : 2048;
	u32 index = msr;

	if (msr >= HIGH_FIRST) {
		at += 1024;
		index -= HIGH_FIRST;
	}
	return memory.bitmap[at + index / 8] >> (index % 8) & 1;
}

static void check_half(u32 first, enum direction direction)
{
	for (u32 msr = first; msr < first + MSR_COUNT; msr++)
		if (exits(msr, direction) == is_expected_free(msr, direction))
			fail_msg("MSR %#x, %s: exits %d", msr,
				 direction == READ ? "read" : "write",
				 exits(msr, direction));
}

static void exactly_the_listed_msrs_are_free(void **state)
{
	(void)state;
	check_half(LOW_FIRST, READ);
	check_half(HIGH_FIRST, READ);
	check_half(LOW_FIRST, WRITE);
	check_half(HIGH_FIRST, WRITE);
}

static void freed_msr_exits_no_more(void **state)
{
	static const u32 msrs[] = {0x48, 0x1fff, 0xc0000000, 0xc0001fff};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(msrs); i++) {
		assert_true(exits(msrs[i], READ) && exits(msrs[i], WRITE));
		msr_bitmap_free(memory.bitmap, msrs[i]);
		assert_false(exits(msrs[i], READ) || exits(msrs[i], WRITE));
	}
	assert_true(exits(0x47, READ) && exits(0x49, WRITE));
}

static void one_page_is_written(void **state)
{
	(void)state;
	for (u32 i = 0; i < sizeof(memory.before); i++) {
		assert_int_equal(memory.before[i], GUARD);
		assert_int_equal(memory.after[i], GUARD);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(exactly_the_listed_msrs_are_free,
				   make_bitmap),
	    cmocka_unit_test_setup(freed_msr_exits_no_more, make_bitmap),
	    cmocka_unit_test_setup(one_page_is_written, make_bitmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
