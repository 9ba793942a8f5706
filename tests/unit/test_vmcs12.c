/* SPDX-License-Identifier: MIT */
/* The layout of a vmcs12 and access to its fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nested/vmcs12.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/nested_host.h"
#include "tests/unit/support.h"

#define ENCODINGS     0x8000u
/* struct vmcs12, version 1. */
#define LAYOUT_BYTES  904
#define LAYOUT_DIGEST 0xc8a02455022d71c1
#define FIELD_COUNT   149
#define RAM           (16 * PAGE_4K)

static struct guest_mem mem;

static int make_memory(void **state)
{
	(void)state;
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(MIB), MIB), OK);
	assert_int_equal(guest_mem_create(&mem, gpa(GIB), "test"), OK);
	assert_int_equal(guest_mem_add(&mem, gpa(0), RAM), OK);
	return 0;
}

/* FNV-1a over every encoding and where its field is. */
static u64 digest(const struct nested_capability *offer)
{
	u64 hash = 0xcbf29ce484222325;

	for (u32 encoding = 0; encoding < ENCODINGS; encoding += 2) {
		u32 offset = vmcs12_field_offset(offer, encoding);

		if (!offset)
			continue;
		hash = (hash ^ encoding) * 0x100000001b3;
		hash = (hash ^ offset) * 0x100000001b3;
	}
	return hash;
}

/* Records of other versions of Umbra have this layout. */
static void layout_is_known_by_heart(void **state)
{
	struct nested_capability offer = full_offer();

	(void)state;
	assert_int_equal(NESTED_REVISION, 0x554c3101);
	assert_int_equal(sizeof(struct vmcs12), LAYOUT_BYTES);
	assert_int_equal(offsetof(struct vmcs12, launch_state), 8);
	assert_int_equal(vmcs12_field_offset(&offer, VMCS_IO_BITMAP_A), 16);
	assert_int_equal(digest(&offer), LAYOUT_DIGEST);
}

static void every_field_is_itself_alone(void **state)
{
	struct nested_capability offer = full_offer();
	u32 count = 0;

	(void)state;
	for (u32 encoding = 0; encoding < ENCODINGS; encoding += 2) {
		u32 offset = vmcs12_field_offset(&offer, encoding);
		u32 bytes = vmcs12_field_bytes(encoding);
		u64 all = bytes == 8 ? ~0UL : BIT(8 * bytes) - 1;
		struct vmcs12 v, expected;
		u64 value = 1;

		if (!offset)
			continue;
		count++;
		memset(&v, 0, sizeof(v));
		memset(&expected, 0, sizeof(expected));
		memset((u8 *)&expected + offset, 0xff, bytes);
		assert_true(offset >= 16 && offset + bytes <= sizeof(v));
		assert_int_equal(vmcs12_read(&v, &offer, encoding, &value), 0);
		assert_int_equal(value, 0);
		assert_int_equal(vmcs12_write(&v, &offer, encoding, ~0UL), 0);
		assert_memory_equal(&v, &expected, sizeof(v));
		assert_int_equal(vmcs12_read(&v, &offer, encoding, &value), 0);
		assert_int_equal(value, all);
	}
	assert_int_equal(count, FIELD_COUNT);
}

static void no_two_fields_share_a_byte(void **state)
{
	struct nested_capability offer = full_offer();
	u8 taken[sizeof(struct vmcs12)] = {0};

	(void)state;
	for (u32 encoding = 0; encoding < ENCODINGS; encoding += 2) {
		u32 offset = vmcs12_field_offset(&offer, encoding);

		for (u32 i = 0; offset && i < vmcs12_field_bytes(encoding); i++)
			if (taken[offset + i]++)
				fail_msg("%#x shares byte %u", encoding,
					 offset + i);
	}
}

static void halves_of_64_bit_fields_are_apart(void **state)
{
	struct nested_capability offer = full_offer();
	struct vmcs12 v = {0};
	u64 value;

	(void)state;
	assert_int_equal(vmcs12_write(&v, &offer, VMCS_TSC_OFFSET, 1), 0);
	assert_int_equal(
	    vmcs12_write(&v, &offer, VMCS_TSC_OFFSET + 1, 0x9988776655443322),
	    0);
	assert_int_equal(v.tsc_offset, 0x5544332200000001);
	assert_int_equal(vmcs12_read(&v, &offer, VMCS_TSC_OFFSET + 1, &value),
			 0);
	assert_int_equal(value, 0x55443322);
	assert_int_equal(vmcs12_read(&v, &offer, VMCS_TSC_OFFSET, &value), 0);
	assert_int_equal(value, 0x5544332200000001);
}

static void refuse(const struct nested_capability *offer, u64 encoding)
{
	struct vmcs12 v, before;
	u64 value = 0x1234;

	memset(&v, 0x5a, sizeof(v));
	before = v;
	assert_int_equal(vmcs12_read(&v, offer, encoding, &value),
			 VMX_ERROR_UNSUPPORTED_FIELD);
	assert_int_equal(value, 0x1234);
	assert_int_equal(vmcs12_write(&v, offer, encoding, 1),
			 VMX_ERROR_UNSUPPORTED_FIELD);
	assert_memory_equal(&v, &before, sizeof(v));
}

static void other_encodings_are_refused(void **state)
{
	struct nested_capability offer = full_offer();

	(void)state;
	for (u32 bit = 15; bit < 64; bit++)
		refuse(&offer, VMCS_GUEST_RIP | BIT(bit));
	refuse(&offer, VMCS_GUEST_RIP | BIT(12));
	refuse(&offer, VMCS_GUEST_RIP | 1);
	refuse(&offer, VMCS_PIN_CONTROLS | 1);
	refuse(&offer, VMCS_VPID | 1);
	refuse(&offer, VMCS_VPID | 32 << 1); /* an index past the table */
	refuse(&offer, VMCS_EPTP_INDEX);
	refuse(&offer, VMCS_GUEST_PERF_GLOBAL_CTRL);
	refuse(&offer, VMCS_CR3_TARGET_3 + 2);
}

static void read_only_fields_follow_misc(void **state)
{
	struct nested_capability offer = full_offer();
	struct vmcs12 v = {0};

	(void)state;
	assert_int_equal(vmcs12_write(&v, &offer, VMCS_EXIT_REASON, 7), 0);
	assert_int_equal(v.exit_reason, 7);
	offer.misc &= ~MISC_VMWRITE_ANY;
	for (u32 encoding = 0; encoding < ENCODINGS; encoding += 2)
		if (vmcs12_field_offset(&offer, encoding))
			assert_int_equal(vmcs12_write(&v, &offer, encoding, 1),
					 bits_get(encoding, BITS(11, 10)) == 1
					     ? VMX_ERROR_READ_ONLY_FIELD
					     : VMX_ERROR_NONE);
	assert_int_equal(v.exit_reason, 7);
}

/* One row per control that fields depend on. */
static const struct {
	enum control_word word;
	u32 bit;
	u64 gone[7];
} dependent[] = {
    {CONTROLS_SECONDARY, SECONDARY_VPID, {0x0}},
    {CONTROLS_PIN, PIN_POSTED_INTERRUPTS, {0x2, 0x2016}},
    {CONTROLS_SECONDARY,
     SECONDARY_INTERRUPT_DELIVERY,
     {0x810, 0x201c, 0x201e, 0x2020, 0x2022}},
    {CONTROLS_SECONDARY, SECONDARY_PML, {0x812, 0x200e}},
    {CONTROLS_PRIMARY, PRIMARY_MSR_BITMAPS, {0x2004}},
    {CONTROLS_PRIMARY, PRIMARY_TPR_SHADOW, {0x2012, 0x401c}},
    {CONTROLS_SECONDARY, SECONDARY_APIC_ACCESSES, {0x2014}},
    {CONTROLS_SECONDARY, SECONDARY_VMFUNC, {0x2018, 0x2024}},
    {CONTROLS_SECONDARY,
     SECONDARY_EPT,
     {0x201a, 0x2400, 0x280a, 0x280c, 0x280e, 0x2810}},
    {CONTROLS_SECONDARY, SECONDARY_VMCS_SHADOWING, {0x2026, 0x2028}},
    {CONTROLS_SECONDARY, SECONDARY_XSAVES, {0x202c}},
    {CONTROLS_SECONDARY, SECONDARY_TSC_SCALING, {0x2032}},
    {CONTROLS_SECONDARY, SECONDARY_PAUSE_LOOP, {0x4020, 0x4022}},
    {CONTROLS_PIN, PIN_PREEMPTION_TIMER, {0x482e}},
    {CONTROLS_EXIT, EXIT_LOAD_PAT, {0x2c00}},
    {CONTROLS_EXIT, EXIT_LOAD_EFER, {0x2c02}},
    {CONTROLS_EXIT, EXIT_SAVE_PAT, {~0UL}}, /* the other control remains */
    {CONTROLS_ENTRY, ENTRY_LOAD_EFER, {~0UL}},
};

static bool is_gone(u32 row, u64 encoding)
{
	for (u32 i = 0; i < ARRAY_COUNT(dependent[row].gone); i++)
		if (dependent[row].gone[i] == encoding &&
		    (encoding || (i == 0 && row == 0)))
			return true;
	return false;
}

static void fields_exist_with_their_controls(void **state)
{
	const struct nested_capability full = full_offer();

	(void)state;
	for (u32 row = 0; row < ARRAY_COUNT(dependent); row++) {
		struct nested_capability offer = full;

		offer.words[dependent[row].word].may_be_1 &=
		    ~dependent[row].bit;
		for (u32 encoding = 0; encoding < ENCODINGS; encoding += 2) {
			bool was = vmcs12_field_offset(&full, encoding);
			bool is = vmcs12_field_offset(&offer, encoding);

			if (is != (was && !is_gone(row, encoding)))
				fail_msg("row %u, field %#x: %d", row, encoding,
					 is);
		}
	}
}

static void guest_pat_needs_one_of_two_controls(void **state)
{
	struct nested_capability offer = full_offer();

	(void)state;
	offer.words[CONTROLS_ENTRY].may_be_1 &= ~(u32)ENTRY_LOAD_PAT;
	assert_true(vmcs12_field_offset(&offer, VMCS_GUEST_PAT));
	offer.words[CONTROLS_EXIT].may_be_1 &= ~(u32)EXIT_SAVE_PAT;
	assert_false(vmcs12_field_offset(&offer, VMCS_GUEST_PAT));
	assert_true(vmcs12_field_offset(&offer, VMCS_GUEST_EFER));
}

static void targets_exist_as_counted(void **state)
{
	struct nested_capability offer = full_offer();

	(void)state;
	offer.misc = bits_set(offer.misc, MISC_CR3_TARGETS, 2);
	assert_true(vmcs12_field_offset(&offer, VMCS_CR3_TARGET_1));
	assert_false(vmcs12_field_offset(&offer, VMCS_CR3_TARGET_2));
}

static void highest_index_is_computed(void **state)
{
	struct nested_capability offer = full_offer();

	(void)state;
	assert_int_equal(vmcs12_enum(&offer), 0x19 << 1);
	offer.words[CONTROLS_SECONDARY].may_be_1 &= ~(u32)SECONDARY_TSC_SCALING;
	assert_int_equal(vmcs12_enum(&offer), 0x17 << 1); /* preemption timer */
	offer.words[CONTROLS_PIN].may_be_1 &= ~(u32)PIN_PREEMPTION_TIMER;
	assert_int_equal(vmcs12_enum(&offer), 0x16 << 1); /* XSS bitmap */
}

static void region_in_memory_is_the_struct(void **state)
{
	struct vmcs12 v, read;

	(void)state;
	for (u32 i = 0; i < sizeof(v); i++)
		((u8 *)&v)[i] = (u8)(i * 7);
	v.launch_state = VMCS12_LAUNCHED;
	vmcs12_store(&v, &mem, gpa(PAGE_4K));
	assert_memory_equal(guest_mem_ptr(&mem, gpa(PAGE_4K), sizeof(v)), &v,
			    sizeof(v));
	vmcs12_load(&read, &mem, gpa(PAGE_4K));
	assert_memory_equal(&read, &v, sizeof(v));
	assert_int_equal(vmcs12_load_revision(&mem, gpa(PAGE_4K)), v.revision);

	vmcs12_store_clear(&mem, gpa(PAGE_4K));
	v.launch_state = VMCS12_CLEAR;
	vmcs12_load(&read, &mem, gpa(PAGE_4K));
	assert_memory_equal(&read, &v, sizeof(v));
}

static void stored_region_is_marked_dirty(void **state)
{
	static struct dirty_word words[4];
	struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};
	struct vmcs12 v = {0};

	(void)state;
	dirty_log_take(&mem.log, gpa(0), dirty_log_end(&mem.log), &batch);
	vmcs12_store(&v, &mem, gpa(3 * PAGE_4K));
	vmcs12_store_clear(&mem, gpa(5 * PAGE_4K));
	assert_int_equal(dirty_log_count(&mem.log), 2);
}

static void unknown_launch_state_is_clear(void **state)
{
	const u32 odd = 0xffffffff;
	struct vmcs12 v;

	(void)state;
	assert_int_equal(guest_mem_write(&mem, gpa(PAGE_4K + 8), &odd, 4), OK);
	vmcs12_load(&v, &mem, gpa(PAGE_4K));
	assert_int_equal(v.launch_state, VMCS12_CLEAR);
}

static void missing_memory_reads_as_ones(void **state)
{
	struct vmcs12 v = {0};

	(void)state;
	assert_int_equal(vmcs12_load_revision(&mem, gpa(RAM)), 0xffffffff);
	vmcs12_load(&v, &mem, gpa(RAM));
	assert_int_equal(v.revision, 0xffffffff);
	assert_int_equal(v.launch_state, VMCS12_CLEAR);
	assert_int_equal(v.guest_rip, ~0UL);
	vmcs12_store(&v, &mem, gpa(RAM));
	vmcs12_store_clear(&mem, gpa(~0UL - 4095));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(layout_is_known_by_heart),
	    cmocka_unit_test(every_field_is_itself_alone),
	    cmocka_unit_test(no_two_fields_share_a_byte),
	    cmocka_unit_test(halves_of_64_bit_fields_are_apart),
	    cmocka_unit_test(other_encodings_are_refused),
	    cmocka_unit_test(read_only_fields_follow_misc),
	    cmocka_unit_test(fields_exist_with_their_controls),
	    cmocka_unit_test(guest_pat_needs_one_of_two_controls),
	    cmocka_unit_test(targets_exist_as_counted),
	    cmocka_unit_test(highest_index_is_computed),
	    cmocka_unit_test_setup(region_in_memory_is_the_struct, make_memory),
	    cmocka_unit_test_setup(stored_region_is_marked_dirty, make_memory),
	    cmocka_unit_test_setup(unknown_launch_state_is_clear, make_memory),
	    cmocka_unit_test_setup(missing_memory_reads_as_ones, make_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
