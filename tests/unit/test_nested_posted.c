/* SPDX-License-Identifier: MIT */
/* Posted-interrupt processing for L2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nested/posted.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/nested_state.h"
#include "tests/unit/support.h"

#define PAGE_DESCRIPTOR 0xe000UL
#define DESCRIPTOR      (PAGE_DESCRIPTOR + 64)
#define NO_MEMORY       (L1_RAM_BYTES + PAGE_4K)
#define NOTIFICATION    0xf2
#define ROUNDS          500

static struct guest_mem mem;
static struct vmcs12 v;

static int make(void **state)
{
	(void)state;
	make_l1_memory(&mem);
	memset(&v, 0, sizeof(v));
	v.pin_controls = (u32)PIN_POSTED_INTERRUPTS;
	v.posted_interrupt_vector = NOTIFICATION;
	v.posted_interrupt_descriptor = DESCRIPTOR;
	v.virtual_apic_address = PAGE_APIC;
	return 0;
}

static u32 get_u32(u64 address)
{
	u32 value;

	assert_int_equal(guest_mem_read_u32(&mem, gpa(address), &value), OK);
	return value;
}

static void post(u32 vector)
{
	u64 at = DESCRIPTOR + 4UL * (vector / 32);

	put_u32(&mem, at, get_u32(at) | 1U << vector % 32);
	put_u32(&mem, DESCRIPTOR + 32, get_u32(DESCRIPTOR + 32) | 1);
}

static u64 irr_of(u32 vector)
{
	return PAGE_APIC + 0x200 + 16UL * (vector / 32);
}

static bool is_requested(u32 vector)
{
	return get_u32(irr_of(vector)) & 1U << vector % 32;
}

static void only_its_vector_says_so(void **state)
{
	(void)state;
	assert_true(nested_is_notification(&v, NOTIFICATION));
	assert_false(nested_is_notification(&v, NOTIFICATION - 1));
	v.pin_controls = 0;
	assert_false(nested_is_notification(&v, NOTIFICATION));
}

static void every_vector_moves(void **state)
{
	(void)state;
	for (u32 vector = 16; vector < 256; vector++) {
		(void)make(NULL);
		post(vector);
		assert_int_equal(nested_take_posted(&v, &mem, 0x2000),
				 0x2000 | vector);
		assert_true(is_requested(vector));
		for (u32 i = 0; i < 8; i++)
			assert_int_equal(get_u32(DESCRIPTOR + 4UL * i), 0);
		assert_int_equal(get_u32(DESCRIPTOR + 32), 0);
	}
}

static void nothing_that_waits_is_lost(void **state)
{
	struct random random = {1};

	(void)state;
	for (u32 round = 0; round < ROUNDS; round++) {
		u32 before[8], posted[8], highest = 0;
		u16 status;

		for (u32 i = 0; i < 8; i++) {
			before[i] = (u32)random_next(&random);
			posted[i] = round % 3 ? (u32)random_next(&random) &
						    (u32)random_next(&random)
					      : 0;
			put_u32(&mem, irr_of(32 * i), before[i]);
			put_u32(&mem, DESCRIPTOR + 4UL * i, posted[i]);
			for (u32 bit = 0; bit < 32; bit++)
				if (posted[i] & 1U << bit)
					highest = 32 * i + bit;
		}
		status = (u16)random_next(&random);
		if ((status & 0xff) > highest)
			highest = status & 0xff;
		assert_int_equal(nested_take_posted(&v, &mem, status),
				 (status & 0xff00) | highest);
		for (u32 i = 0; i < 8; i++) {
			assert_int_equal(get_u32(irr_of(32 * i)),
					 before[i] | posted[i]);
			assert_int_equal(get_u32(DESCRIPTOR + 4UL * i), 0);
		}
	}
}

/* Of the control word ON is the CPU's; notification's vector and target stay. */
static void rest_of_the_descriptor_stays(void **state)
{
	(void)state;
	put_u32(&mem, DESCRIPTOR + 32, 0x00f20003);
	put_u32(&mem, DESCRIPTOR + 36, 0x12345678);
	put_u32(&mem, DESCRIPTOR + 40, 0x9abcdef0);
	(void)nested_take_posted(&v, &mem, 0);
	assert_int_equal(get_u32(DESCRIPTOR + 32), 0x00f20002);
	assert_int_equal(get_u32(DESCRIPTOR + 36), 0x12345678);
	assert_int_equal(get_u32(DESCRIPTOR + 40), 0x9abcdef0);
}

static void writes_reach_the_log(void **state)
{
	static struct dirty_word words[L1_RAM_BYTES / PAGE_4K / 64 + 1];
	struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};

	(void)state;
	post(0x40);
	dirty_log_take(&mem.log, gpa(0), dirty_log_end(&mem.log), &batch);
	assert_false(dirty_log_is_marked(&mem.log, gpa(PAGE_DESCRIPTOR)));
	assert_false(dirty_log_is_marked(&mem.log, gpa(PAGE_APIC)));
	(void)nested_take_posted(&v, &mem, 0);
	assert_true(dirty_log_is_marked(&mem.log, gpa(PAGE_DESCRIPTOR)));
	assert_true(dirty_log_is_marked(&mem.log, gpa(PAGE_APIC)));
}

static void what_is_no_memory_holds_nothing(void **state)
{
	(void)state;
	v.posted_interrupt_descriptor = NO_MEMORY;
	assert_int_equal(nested_take_posted(&v, &mem, 0x3041), 0x3041);
	v.posted_interrupt_descriptor = DESCRIPTOR;
	v.virtual_apic_address = NO_MEMORY;
	post(0x80);
	assert_int_equal(nested_take_posted(&v, &mem, 0x3041), 0x3080);
}

#define TEST(name) cmocka_unit_test_setup(name, make)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(only_its_vector_says_so),
	    TEST(every_vector_moves),
	    TEST(nothing_that_waits_is_lost),
	    TEST(rest_of_the_descriptor_stays),
	    TEST(writes_reach_the_log),
	    TEST(what_is_no_memory_holds_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
