/* SPDX-License-Identifier: MIT */
/*
 * The enlightened VMCS against the Top-Level Functional Specification: where
 * its fields are, when they are read, and what an exit writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/phys.h"
#include "nested/evmcs.h"
#include "nested/fields.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/nested_state.h"
#include "tests/unit/support.h"

#define PAGE_EVMCS 0xe000UL

static struct guest_mem mem;
static struct vmcs12 v;
static struct evmcs_read found;

static u8 *page(void)
{
	hpa_t frame = hpa(0);

	assert_int_equal(guest_mem_frame(&mem, gpa(PAGE_EVMCS), &frame), OK);
	return phys_ptr(frame);
}

static int make(void **state)
{
	(void)state;
	make_l1_memory(&mem);
	put_u32(&mem, PAGE_EVMCS, EVMCS_VERSION);
	memset(&v, 0, sizeof(v));
	return 0;
}

static u64 at_field(const void *base, u64 offset, u32 bytes)
{
	u64 value = 0;

	memcpy(&value, (const u8 *)base + offset, bytes);
	return value;
}

static void fill_page(struct random *random)
{
	u8 *to = page();

	for (u32 i = sizeof(u32); i < EVMCS_REGION_BYTES; i++)
		to[i] = (u8)random_next(random);
}

static void set_word(u64 offset, u32 value)
{
	put_u32(&mem, PAGE_EVMCS + offset, value);
}

#define CLEAN_FIELDS   824
#define ENLIGHTENMENTS 836

/* --- The layout ----------------------------------------------------------- */

/* By the specification's own order and widths, counted by hand. */
static const struct {
	u32 encoding, at, clean;
} known[] = {
    {VMCS_HOST_ES_SELECTOR, 8, 1 << 14},
    {VMCS_HOST_GS_SELECTOR, 18, 1 << 14},
    {VMCS_HOST_TR_SELECTOR, 20, 1 << 14},
    {VMCS_HOST_PAT, 24, 1 << 14},
    {VMCS_HOST_EFER, 32, 1 << 14},
    {VMCS_HOST_CR0, 40, 1 << 14},
    {VMCS_HOST_CR3, 48, 1 << 14},
    {VMCS_HOST_CR4, 56, 1 << 14},
    {VMCS_HOST_SYSENTER_ESP, 64, 1 << 14},
    {VMCS_HOST_SYSENTER_EIP, 72, 1 << 14},
    {VMCS_HOST_RIP, 80, 1 << 14},
    {VMCS_HOST_SYSENTER_CS, 88, 1 << 14},
    {VMCS_PIN_CONTROLS, 92, 1 << 3},
    {VMCS_EXIT_CONTROLS, 96, 1 << 3},
    {VMCS_SECONDARY_CONTROLS, 100, 1 << 3},
    {VMCS_IO_BITMAP_A, 104, 1 << 0},
    {VMCS_IO_BITMAP_B, 112, 1 << 0},
    {VMCS_MSR_BITMAP, 120, 1 << 1},
    {VMCS_GUEST_ES_SELECTOR, 128, 1 << 12},
    {VMCS_GUEST_TR_SELECTOR, 142, 1 << 12},
    {VMCS_GUEST_ES_LIMIT, 144, 1 << 12},
    {VMCS_GUEST_TR_LIMIT, 172, 1 << 12},
    {VMCS_GUEST_GDTR_LIMIT, 176, 1 << 12},
    {VMCS_GUEST_IDTR_LIMIT, 180, 1 << 12},
    {VMCS_GUEST_ES_ACCESS_RIGHTS, 184, 1 << 12},
    {VMCS_GUEST_TR_ACCESS_RIGHTS, 212, 1 << 12},
    {VMCS_GUEST_ES_BASE, 216, 1 << 12},
    {VMCS_GUEST_GDTR_BASE, 280, 1 << 12},
    {VMCS_GUEST_IDTR_BASE, 288, 1 << 12},
    {VMCS_EXIT_MSR_STORE_ADDRESS, 320, 0},
    {VMCS_EXIT_MSR_LOAD_ADDRESS, 328, 0},
    {VMCS_ENTRY_MSR_LOAD_ADDRESS, 336, 0},
    {VMCS_CR3_TARGET_0, 344, 0},
    {VMCS_CR3_TARGET_3, 368, 0},
    {VMCS_PAGE_FAULT_ERROR_MASK, 376, 0},
    {VMCS_PAGE_FAULT_ERROR_MATCH, 380, 0},
    {VMCS_CR3_TARGET_COUNT, 384, 0},
    {VMCS_EXIT_MSR_STORE_COUNT, 388, 0},
    {VMCS_EXIT_MSR_LOAD_COUNT, 392, 0},
    {VMCS_ENTRY_MSR_LOAD_COUNT, 396, 0},
    {VMCS_TSC_OFFSET, 400, 1 << 2},
    {VMCS_VIRTUAL_APIC_ADDRESS, 408, 1 << 2},
    {VMCS_LINK_POINTER, 416, 1 << 11},
    {VMCS_GUEST_DEBUGCTL, 424, 1 << 11},
    {VMCS_GUEST_PAT, 432, 1 << 11},
    {VMCS_GUEST_EFER, 440, 1 << 11},
    {VMCS_GUEST_PDPTE0, 448, 1 << 11},
    {VMCS_GUEST_PDPTE3, 472, 1 << 11},
    {VMCS_GUEST_PENDING_DEBUG, 480, 1 << 11},
    {VMCS_GUEST_SYSENTER_ESP, 488, 1 << 11},
    {VMCS_GUEST_SYSENTER_EIP, 496, 1 << 11},
    {VMCS_GUEST_ACTIVITY_STATE, 504, 1 << 11},
    {VMCS_GUEST_SYSENTER_CS, 508, 1 << 11},
    {VMCS_CR0_MASK, 512, 1 << 8},
    {VMCS_CR4_MASK, 520, 1 << 8},
    {VMCS_CR0_SHADOW, 528, 1 << 8},
    {VMCS_CR4_SHADOW, 536, 1 << 8},
    {VMCS_GUEST_CR0, 544, 1 << 8},
    {VMCS_GUEST_CR3, 552, 1 << 8},
    {VMCS_GUEST_CR4, 560, 1 << 8},
    {VMCS_GUEST_DR7, 568, 1 << 8},
    {VMCS_HOST_FS_BASE, 576, 1 << 13},
    {VMCS_HOST_GS_BASE, 584, 1 << 13},
    {VMCS_HOST_TR_BASE, 592, 1 << 13},
    {VMCS_HOST_GDTR_BASE, 600, 1 << 13},
    {VMCS_HOST_IDTR_BASE, 608, 1 << 13},
    {VMCS_HOST_RSP, 616, 1 << 13},
    {VMCS_EPT_POINTER, 624, 1 << 9},
    {VMCS_VPID, 632, 1 << 9},
    {VMCS_GUEST_PHYSICAL_ADDRESS, 680, 0},
    {VMCS_INSTRUCTION_ERROR, 688, 0},
    {VMCS_EXIT_REASON, 692, 0},
    {VMCS_EXIT_INTERRUPTION_INFO, 696, 0},
    {VMCS_EXIT_INTERRUPTION_ERROR_CODE, 700, 0},
    {VMCS_IDT_VECTORING_INFO, 704, 0},
    {VMCS_IDT_VECTORING_ERROR_CODE, 708, 0},
    {VMCS_EXIT_INSTRUCTION_LENGTH, 712, 0},
    {VMCS_EXIT_INSTRUCTION_INFO, 716, 0},
    {VMCS_EXIT_QUALIFICATION, 720, 0},
    {VMCS_IO_RCX, 728, 0},
    {VMCS_IO_RIP, 752, 0},
    {VMCS_GUEST_LINEAR_ADDRESS, 760, 0},
    {VMCS_GUEST_RSP, 768, 1 << 10},
    {VMCS_GUEST_RFLAGS, 776, 1 << 10},
    {VMCS_GUEST_INTERRUPTIBILITY, 784, 1 << 10},
    {VMCS_PRIMARY_CONTROLS, 788, 1 << 4},
    {VMCS_EXCEPTION_BITMAP, 792, 1 << 7},
    {VMCS_ENTRY_CONTROLS, 796, 1 << 6},
    {VMCS_ENTRY_INTERRUPTION_INFO, 800, 1 << 5},
    {VMCS_ENTRY_EXCEPTION_ERROR_CODE, 804, 1 << 5},
    {VMCS_ENTRY_INSTRUCTION_LENGTH, 808, 1 << 5},
    {VMCS_TPR_THRESHOLD, 812, 0},
    {VMCS_GUEST_RIP, 816, 0},
    {VMCS_XSS_EXITING_BITMAP, 960, 1 << 2},
    {VMCS_TSC_MULTIPLIER, 984, 1 << 2},
};

static const struct evmcs_field *field_of(u32 encoding)
{
	for (u32 i = 0; i < EVMCS_FIELDS; i++)
		if (evmcs_fields[i].field == encoding)
			return &evmcs_fields[i];
	fail_msg("no field %x", encoding);
	return NULL;
}

static void layout_is_the_specifications(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(known); i++) {
		const struct evmcs_field *field = field_of(known[i].encoding);

		if (field->at != known[i].at || field->clean != known[i].clean)
			fail_msg("field %x: at %u, clean %x", field->field,
				 field->at, field->clean);
	}
	assert_int_equal(offsetof(struct evmcs, clean_fields), CLEAN_FIELDS);
	assert_int_equal(offsetof(struct evmcs, enlightenments),
			 ENLIGHTENMENTS);
	assert_int_equal(offsetof(struct evmcs, vp_id), 840);
	assert_int_equal(offsetof(struct evmcs, vm_id), 848);
	assert_int_equal(offsetof(struct evmcs, partition_assist_page), 856);
	assert_int_equal(offsetof(struct evmcs, guest_bndcfgs), 896);
	assert_int_equal(EVMCS_USES_MSR_BITMAP, 2);
}

static void fields_do_not_overlap_and_are_those_of_vmcs12(void **state)
{
	const struct nested_capability offer = full_offer();
	u32 end = 8;

	(void)state;
	for (u32 i = 0; i < EVMCS_FIELDS; i++) {
		const struct evmcs_field *field = &evmcs_fields[i];

		assert_true(field->at >= end);
		assert_int_equal(field->bytes,
				 vmcs12_field_bytes(field->field));
		end = field->at + vmcs12_field_bytes(field->field);
		assert_int_equal(field->in12,
				 vmcs12_field_offset(&offer, field->field));
		assert_true(!(field->clean & (field->clean - 1)));
	}
	assert_true(end <= EVMCS_BYTES);
}

/* --- Entries -------------------------------------------------------------- */

static enum err read_page(enum evmcs_trust trust)
{
	return evmcs_read(&v, &mem, gpa(PAGE_EVMCS), trust, &found);
}

/* Of the field, in vmcs12 and in the page. */
static bool is_as_in_page(const struct evmcs_field *field)
{
	u32 bytes = vmcs12_field_bytes(field->field);

	return at_field(&v, field->in12, bytes) ==
	       at_field(page(), field->at, bytes);
}

static void first_entry_reads_all_and_no_more(u64 seed)
{
	struct random random = random_from(seed);
	static struct vmcs12 expected;

	make(NULL);
	fill_page(&random);
	memset(&v, 0x5a, sizeof(v));
	v.launch_state = VMCS12_LAUNCHED;
	set_word(CLEAN_FIELDS, EVMCS_ALL); /* of another one, then */
	set_word(ENLIGHTENMENTS, ~0u);
	assert_int_equal(read_page(EVMCS_READ_ALL), OK);
	expected = (struct vmcs12){.revision = NESTED_REVISION,
				   .launch_state = VMCS12_LAUNCHED};
	for (u32 i = 0; i < EVMCS_FIELDS; i++) {
		const struct evmcs_field *field = &evmcs_fields[i];

		if (field->way != EVMCS_OUT)
			memcpy((u8 *)&expected + field->in12,
			       page() + field->at,
			       vmcs12_field_bytes(field->field));
	}
	assert_memory_equal(&v, &expected, sizeof(v));
	assert_int_equal(found.changed, ~0u);
	assert_false(found.msr_bitmap_is_clean);
}

static void first_entry_ignores_clean_fields(void **state)
{
	(void)state;
	for_seeds(20, first_entry_reads_all_and_no_more);
}

static void one_group_is_clean(u32 clean)
{
	static u8 before[EVMCS_BYTES];
	struct random random = random_from(clean);

	make(NULL);
	fill_page(&random);
	assert_int_equal(read_page(EVMCS_READ_ALL), OK);
	memcpy(before, page(), sizeof(before));
	for (u32 i = 4; i < EVMCS_BYTES; i++)
		page()[i] ^= 0xff;
	set_word(CLEAN_FIELDS, clean);
	assert_int_equal(read_page(EVMCS_TRUST_CLEAN), OK);
	for (u32 i = 0; i < EVMCS_FIELDS; i++) {
		const struct evmcs_field *field = &evmcs_fields[i];
		bool is_trusted = field->clean & clean;

		if (field->way == EVMCS_OUT)
			continue;
		if (is_as_in_page(field) == is_trusted)
			fail_msg("field %x, clean %x", field->field, clean);
		if (!is_trusted)
			assert_true(found.changed &
				    BIT(nested_field_group(field->field)));
	}
}

static void clean_groups_are_honoured_one_by_one(void **state)
{
	(void)state;
	for (u32 i = 0; i < 16; i++)
		one_group_is_clean(1u << i);
	one_group_is_clean(0);
	one_group_is_clean(EVMCS_ALL);
}

static void what_is_the_same_has_not_changed(void **state)
{
	struct random random = random_from(1);

	(void)state;
	fill_page(&random);
	assert_int_equal(read_page(EVMCS_READ_ALL), OK);
	set_word(CLEAN_FIELDS, 0);
	assert_int_equal(read_page(EVMCS_TRUST_CLEAN), OK);
	assert_int_equal(found.changed, 0);
	put_u32(&mem, PAGE_EVMCS + 816, 0x1234); /* RIP: loaded at each entry */
	assert_int_equal(read_page(EVMCS_TRUST_CLEAN), OK);
	assert_int_equal(found.changed, BIT(NESTED_GROUP_HOT));
	put_u32(&mem, PAGE_EVMCS + 788, 0x1234); /* primary controls */
	assert_int_equal(read_page(EVMCS_TRUST_CLEAN), OK);
	assert_int_equal(found.changed, BIT(NESTED_GROUP_CONTROLS));
}

/* Only together: L1 uses that enlightenment, and says so now. */
static void promise_about_the_msr_bitmap(void **state)
{
	(void)state;
	assert_int_equal(read_page(EVMCS_READ_ALL), OK);
	set_word(ENLIGHTENMENTS, 2);
	set_word(CLEAN_FIELDS, EVMCS_MSR_BITMAP);
	assert_int_equal(read_page(EVMCS_TRUST_CLEAN), OK);
	assert_true(found.msr_bitmap_is_clean);
	set_word(CLEAN_FIELDS, EVMCS_ALL & ~EVMCS_MSR_BITMAP);
	assert_int_equal(read_page(EVMCS_TRUST_CLEAN), OK);
	assert_false(found.msr_bitmap_is_clean);
	set_word(CLEAN_FIELDS, EVMCS_ALL);
	set_word(ENLIGHTENMENTS, 1);
	assert_int_equal(read_page(EVMCS_TRUST_CLEAN), OK);
	assert_false(found.msr_bitmap_is_clean);
}

static void refused(u64 address, enum err wanted)
{
	static const struct evmcs_read untouched = {.changed = 77};
	static struct vmcs12 before;

	for (u32 trust = 0; trust < 2; trust++) {
		memset(&v, 0x33, sizeof(v));
		before = v;
		found = untouched;
		assert_int_equal(evmcs_read(&v, &mem, gpa(address),
					    (enum evmcs_trust)trust, &found),
				 wanted);
		assert_memory_equal(&v, &before, sizeof(v));
		assert_int_equal(found.changed, 77);
	}
}

static void page_that_is_none_is_refused(void **state)
{
	(void)state;
	refused(PAGE_EVMCS + 8, ERR_RANGE);
	refused(PAGE_EVMCS + 1, ERR_RANGE);
	refused(L1_RAM_BYTES, ERR_RANGE);
	refused(L1_RAM_BYTES - 1, ERR_RANGE);
	refused(~0UL, ERR_RANGE);
	refused(~0xfffUL, ERR_RANGE);
	refused(BIT(52), ERR_RANGE);
}

static void version_is_1_or_the_vmx_revision(void **state)
{
	(void)state;
	put_u32(&mem, PAGE_EVMCS, 0);
	refused(PAGE_EVMCS, ERR_BAD_FORMAT);
	put_u32(&mem, PAGE_EVMCS, 2);
	refused(PAGE_EVMCS, ERR_BAD_FORMAT);
	put_u32(&mem, PAGE_EVMCS, EVMCS_VERSION | (u32)VMCS12_SHADOW);
	refused(PAGE_EVMCS, ERR_BAD_FORMAT);
	put_u32(&mem, PAGE_EVMCS, NESTED_REVISION | (u32)VMCS12_SHADOW);
	refused(PAGE_EVMCS, ERR_BAD_FORMAT);
	put_u32(&mem, PAGE_EVMCS, NESTED_REVISION);
	assert_int_equal(read_page(EVMCS_READ_ALL), OK);
}

/* --- Exits ---------------------------------------------------------------- */

static void exit_writes_what_is_the_cpus(u64 seed)
{
	static u8 expected[EVMCS_REGION_BYTES];
	struct random random = random_from(seed);

	make(NULL);
	fill_page(&random);
	memcpy(expected, page(), sizeof(expected));
	for (u32 i = 0; i < sizeof(v); i++)
		((u8 *)&v)[i] = (u8)random_next(&random);
	for (u32 i = 0; i < EVMCS_FIELDS; i++) {
		const struct evmcs_field *field = &evmcs_fields[i];

		if (field->way != EVMCS_IN)
			memcpy(expected + field->at, (u8 *)&v + field->in12,
			       vmcs12_field_bytes(field->field));
	}
	evmcs_write(&v, &mem, gpa(PAGE_EVMCS));
	assert_memory_equal(page(), expected, sizeof(expected));
}

static void exits_leave_what_is_l1s(void **state)
{
	(void)state;
	for_seeds(20, exit_writes_what_is_the_cpus);
}

static void errors_have_their_fields(void **state)
{
	static u8 before[EVMCS_REGION_BYTES];

	(void)state;
	memcpy(before, page(), sizeof(before));
	evmcs_write_error(&mem, gpa(PAGE_EVMCS), 7);
	evmcs_write_abort(&mem, gpa(PAGE_EVMCS), 4);
	before[688] = 7;
	before[4] = 4;
	assert_memory_equal(page(), before, sizeof(before));
}

/* L1 may have given its page away since the entry. */
static void page_that_has_gone_swallows_exits(void **state)
{
	(void)state;
	memset(&v, 0x5a, sizeof(v));
	evmcs_write(&v, &mem, gpa(L1_RAM_BYTES));
	evmcs_write(&v, &mem, gpa(~0UL - 100));
	evmcs_write_error(&mem, gpa(~0UL), 7);
	evmcs_write_abort(&mem, gpa(L1_RAM_BYTES), 7);
}

/* --- The offer ------------------------------------------------------------ */

static void controls_without_fields_are_not_offered(void **state)
{
	struct nested_capability offer = full_offer();
	u64 value;

	(void)state;
	assert_false(evmcs_can_serve(&offer));
	assert_true(nested_capability_allows(&offer, CONTROLS_SECONDARY,
					     SECONDARY_PML));
	evmcs_limit_offer(&offer);
	assert_true(evmcs_can_serve(&offer));
	assert_int_equal(offer.words[CONTROLS_PIN].may_be_1 &
			     (PIN_PREEMPTION_TIMER | PIN_POSTED_INTERRUPTS),
			 0);
	assert_int_equal(offer.words[CONTROLS_SECONDARY].may_be_1 &
			     (SECONDARY_APIC_ACCESSES |
			      SECONDARY_APIC_REGISTERS |
			      SECONDARY_INTERRUPT_DELIVERY | SECONDARY_PML |
			      SECONDARY_VMFUNC | SECONDARY_VMCS_SHADOWING |
			      SECONDARY_PAUSE_LOOP | SECONDARY_TSC_SCALING),
			 0);
	assert_int_equal(offer.words[CONTROLS_EXIT].may_be_1 &
			     EXIT_SAVE_PREEMPTION_TIMER,
			 0);
	assert_int_equal(nested_capability_read(&offer, MSR_VMX_VMFUNC, &value),
			 ERR_NOT_FOUND);
	assert_true(nested_capability_allows(&offer, CONTROLS_SECONDARY,
					     SECONDARY_EPT | SECONDARY_VPID));
}

/* Every field that a control of such an offer needs is in an eVMCS. */
static void offered_fields_are_there(void **state)
{
	static const u32 none[] = {VMCS_EXECUTIVE_VMCS_POINTER,
				   VMCS_GUEST_SMBASE, VMCS_PLE_GAP,
				   VMCS_PLE_WINDOW};
	struct nested_capability offer = full_offer();

	(void)state;
	evmcs_limit_offer(&offer);
	for (u32 encoding = 0; encoding < 0x8000; encoding += 2) {
		bool is_there = false;

		for (u32 i = 0; i < EVMCS_FIELDS; i++)
			is_there |= evmcs_fields[i].field == encoding;
		for (u32 i = 0; i < ARRAY_COUNT(none); i++)
			is_there |= none[i] == encoding;
		if (!is_there && vmcs12_field_offset(&offer, encoding))
			fail_msg("field %x", encoding);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(layout_is_the_specifications, make),
	    cmocka_unit_test_setup(
		fields_do_not_overlap_and_are_those_of_vmcs12, make),
	    cmocka_unit_test_setup(first_entry_ignores_clean_fields, make),
	    cmocka_unit_test_setup(clean_groups_are_honoured_one_by_one, make),
	    cmocka_unit_test_setup(what_is_the_same_has_not_changed, make),
	    cmocka_unit_test_setup(promise_about_the_msr_bitmap, make),
	    cmocka_unit_test_setup(page_that_is_none_is_refused, make),
	    cmocka_unit_test_setup(version_is_1_or_the_vmx_revision, make),
	    cmocka_unit_test_setup(exits_leave_what_is_l1s, make),
	    cmocka_unit_test_setup(errors_have_their_fields, make),
	    cmocka_unit_test_setup(page_that_has_gone_swallows_exits, make),
	    cmocka_unit_test_setup(controls_without_fields_are_not_offered,
				   make),
	    cmocka_unit_test_setup(offered_fields_are_there, make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
