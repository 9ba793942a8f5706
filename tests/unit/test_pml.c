/* SPDX-License-Identifier: MIT */
/*
 * Draining the CPU's log, and the policy, one thread at a time. What happens
 * between several is in weave_tracking.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mm/frame_alloc.h"
#include "mm/guest_mem.h"
#include "pml/pml.h"
#include "pml/track.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

#define VM_BYTES (16 * MIB)
#define VM_PAGES (VM_BYTES / PAGE_4K)

static struct guest_mem mem;
static struct ept ept;
static struct track track;
static u64 page[PML_ENTRIES];
static bool marked[VM_PAGES];

static void begin(void)
{
	static const struct ept_format format = {
	    .largest_leaf = EPT_2M,
	    .physical_bits = 40,
	    .accessed_dirty = true,
	};

	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(0x100000), 32 * MIB), OK);
	assert_int_equal(guest_mem_create(&mem, gpa(VM_BYTES), "test"), OK);
	assert_int_equal(guest_mem_add(&mem, gpa(0), VM_BYTES / 2), OK);
	assert_int_equal(
	    guest_mem_add(&mem, gpa(VM_BYTES * 3 / 4), VM_BYTES / 4), OK);
	assert_int_equal(ept_create(&ept, &format), OK);
	assert_int_equal(ept_map_guest(&ept, &mem), OK);
	track_init(&track, &ept, &mem.log);
	memset(marked, 0, sizeof(marked));
	memset(page, 0, sizeof(page));
}

static bool is_memory(u64 number)
{
	return number < VM_PAGES / 2 ||
	       (number >= VM_PAGES * 3 / 4 && number < VM_PAGES);
}

static void assert_log_is(const bool *expected)
{
	for (u64 i = 0; i < VM_PAGES; i++)
		assert_int_equal(
		    dirty_log_is_marked(&mem.log, gpa(i * PAGE_4K)),
		    expected[i]);
}

/* --- The CPU's log ------------------------------------------------------- */

/* Entries as CPUs, emulators and broken memory could leave them. */
static u64 random_entry(struct random *random)
{
	switch (random_below(random, 4)) {
	case 0:
		return random_below(random, VM_BYTES);
	case 1:
		return random_below(random, 200) * PAGE_4K;
	case 2:
		return VM_BYTES + random_below(random, GIB);
	default:
		return random_next(random);
	}
}

static void random_log(u64 seed)
{
	struct random random = random_from(seed);
	u16 index = (u16)random_below(&random, PML_ENTRIES + 3);
	u32 first = index < PML_ENTRIES ? index + 1U : 0;
	u64 foreign = 0;

	begin();
	for (u32 i = 0; i < PML_ENTRIES; i++) {
		u64 number;

		page[i] = random_entry(&random);
		number = page[i] / PAGE_4K;
		if (i >= first && is_memory(number))
			marked[number] = true;
		if (i >= first && !is_memory(number))
			foreign++;
	}
	assert_int_equal(pml_drain(page, index, &mem.log), PML_ENTRIES - first);
	assert_log_is(marked);
	/* An address that came twice in one run of a word counts once. */
	assert_true(mem.log.foreign_count <= foreign);
	assert_int_equal(mem.log.foreign_count > 0, foreign > 0);
}

static void any_log_marks_exactly_its_pages(void **state)
{
	(void)state;
	for_seeds(30, random_log);
}

static void an_empty_log_marks_nothing(void **state)
{
	(void)state;
	begin();
	assert_int_equal(pml_drain(page, PML_INDEX_EMPTY, &mem.log), 0);
	assert_log_is(marked);
}

static void the_slot_that_the_index_names_is_free(void **state)
{
	(void)state;
	begin();
	page[509] = PAGE_4K;
	page[510] = 2 * PAGE_4K;
	page[511] = 3 * PAGE_4K;
	assert_int_equal(pml_drain(page, 509, &mem.log), 2);
	marked[2] = marked[3] = true;
	assert_log_is(marked);
}

static void a_wrapped_index_means_a_full_log(void **state)
{
	(void)state;
	begin();
	for (u64 i = 0; i < PML_ENTRIES; i++) {
		page[i] = (i * 3 + 7) * PAGE_4K;
		marked[i * 3 + 7] = true;
	}
	assert_int_equal(pml_drain(page, 0xffff, &mem.log), PML_ENTRIES);
	assert_log_is(marked);
}

static void low_bits_of_an_entry_do_not_matter(void **state)
{
	(void)state;
	begin();
	page[511] = 0x15a48c;
	page[510] = 0x15bfff;
	assert_int_equal(pml_drain(page, 509, &mem.log), 2);
	marked[0x15a] = marked[0x15b] = true;
	assert_log_is(marked);
}

/* --- The policy ---------------------------------------------------------- */

static void the_policy_has_three_words(void **state)
{
	enum track_policy policy = TRACK_POLICY_AUTO;

	(void)state;
	assert_int_equal(track_policy_parse("pml", &policy), OK);
	assert_int_equal(policy, TRACK_POLICY_PML);
	assert_int_equal(track_policy_parse("wp", &policy), OK);
	assert_int_equal(policy, TRACK_POLICY_WP);
	assert_int_equal(track_policy_parse("auto", &policy), OK);
	assert_int_equal(policy, TRACK_POLICY_AUTO);
	assert_int_equal(track_policy_parse("PML", &policy), ERR_BAD_FORMAT);
	assert_int_equal(track_policy_parse("", &policy), ERR_BAD_FORMAT);
	assert_int_equal(policy, TRACK_POLICY_AUTO);
}

static void pml_is_used_where_it_is_and_wanted(void **state)
{
	enum track_mode mode = TRACK_OFF;

	(void)state;
	assert_int_equal(
	    track_choose(TRACK_POLICY_AUTO, TRACK_CPU_HAS_PML, &mode), OK);
	assert_int_equal(mode, TRACK_PML);
	assert_int_equal(
	    track_choose(TRACK_POLICY_AUTO, TRACK_CPU_PLAIN, &mode), OK);
	assert_int_equal(mode, TRACK_WP);
	assert_int_equal(
	    track_choose(TRACK_POLICY_PML, TRACK_CPU_HAS_PML, &mode), OK);
	assert_int_equal(mode, TRACK_PML);
	assert_int_equal(
	    track_choose(TRACK_POLICY_WP, TRACK_CPU_HAS_PML, &mode), OK);
	assert_int_equal(mode, TRACK_WP);
	host_last_log[0] = 0;
	assert_int_equal(track_choose(TRACK_POLICY_PML, TRACK_CPU_PLAIN, &mode),
			 ERR_UNSUPPORTED);
	assert_int_equal(mode, TRACK_WP);
	assert_non_null(strstr(host_last_log, "dirty=wp"));
}

/* --- Tracking ------------------------------------------------------------ */

static struct dirty_word words[VM_PAGES / DIRTY_WORD_PAGES];
static struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};

static u64 harvest_all(enum flush *flush)
{
	u64 count = 0;

	assert_int_equal(gpa_raw(track_harvest(&track, gpa(0), gpa(VM_BYTES),
					       &batch, flush)),
			 VM_BYTES);
	for (u32 i = 0; i < batch.count; i++)
		count += bits_count(batch.words[i].bits);
	return count;
}

static u64 leaf_at(u64 number)
{
	ept_entry_t leaf = {0};
	enum ept_level level;

	assert_int_equal(ept_lookup(&ept, gpa(number * PAGE_4K), &leaf, &level),
			 OK);
	return leaf.raw;
}

static void tracking_begins_with_all_pages_and_none_armed(void **state)
{
	enum flush flush;

	(void)state;
	begin();
	assert_int_equal(track_start(&track, TRACK_PML), OK);
	for (u64 i = 0; i < VM_PAGES; i++) {
		if (!is_memory(i))
			continue;
		assert_true(dirty_log_is_marked(&mem.log, gpa(i * PAGE_4K)));
		assert_int_equal(leaf_at(i) & (EPT_W | EPT_D), EPT_W | EPT_D);
	}
	assert_true(leaf_at(0) & EPT_LARGE);
	assert_int_equal(harvest_all(&flush), VM_PAGES * 3 / 4);
	assert_int_equal(flush, FLUSH_OWED);
	assert_int_equal(leaf_at(0) & (EPT_W | EPT_D | EPT_LARGE), EPT_W);
	assert_int_equal(harvest_all(&flush), 0);
	assert_int_equal(flush, FLUSH_NONE);
}

static void only_the_harvested_chunk_is_split_and_armed(void **state)
{
	enum flush flush;

	(void)state;
	begin();
	assert_int_equal(track_start(&track, TRACK_WP), OK);
	track_harvest(&track, gpa(64 * PAGE_4K), gpa(128 * PAGE_4K), &batch,
		      &flush);
	assert_int_equal(batch.count, 1);
	for (u64 i = 0; i < 512; i++)
		assert_int_equal(!(leaf_at(i) & EPT_W), i >= 64 && i < 128);
	assert_true(leaf_at(512) & EPT_LARGE);
}

static void a_write_fault_is_fixed_and_marked(void **state)
{
	enum flush flush;

	(void)state;
	begin();
	assert_int_equal(track_start(&track, TRACK_WP), OK);
	harvest_all(&flush);
	assert_int_equal(track_write_fault(&track, gpa(5 * PAGE_4K + 123)),
			 TRACK_FAULT_FIXED);
	assert_int_equal(track_write_fault(&track, gpa(5 * PAGE_4K)),
			 TRACK_FAULT_FIXED);
	assert_int_equal(track_write_fault(&track, gpa(VM_BYTES / 2)),
			 TRACK_FAULT_SLOW);
	marked[5] = true;
	assert_log_is(marked);
	assert_int_equal(harvest_all(&flush), 1);
	assert_int_equal(flush, FLUSH_OWED);
	assert_int_equal(leaf_at(5) & EPT_W, 0);
}

static void states_are_kept(void **state)
{
	(void)state;
	begin();
	assert_int_equal(track_switch(&track, TRACK_WP), ERR_STATE);
	assert_int_equal(track_start(&track, TRACK_OFF), ERR_STATE);
	assert_int_equal(track_start(&track, TRACK_WP), OK);
	assert_int_equal(track_start(&track, TRACK_WP), ERR_STATE);
	assert_int_equal(track_switch(&track, TRACK_OFF), ERR_STATE);
	track_stop(&track);
	assert_int_equal(ept.spare_count, 0);
	assert_int_equal(track_start(&track, TRACK_PML), OK);
}

static void pml_is_wanted_as_long_as_a_leaf_may_need_it(void **state)
{
	(void)state;
	begin();
	assert_false(track_wants_pml(&track));
	assert_int_equal(track_start(&track, TRACK_WP), OK);
	assert_false(track_wants_pml(&track));
	assert_int_equal(track_switch(&track, TRACK_PML), OK);
	assert_true(track_wants_pml(&track));
	track_left_pml(&track);
	assert_true(track_wants_pml(&track));
	assert_int_equal(track_switch(&track, TRACK_WP), OK);
	assert_true(track_wants_pml(&track));
	track_left_pml(&track);
	assert_false(track_wants_pml(&track));
	track_stop(&track);
	assert_int_equal(track_start(&track, TRACK_PML), OK);
	assert_true(track_wants_pml(&track));
	track_stop(&track);
	assert_false(track_wants_pml(&track));
}

static void no_memory_for_tables_means_no_tracking(void **state)
{
	hpa_t frame;

	(void)state;
	begin();
	while (frame_alloc_try(FRAME_4K, &frame) == OK)
		;
	assert_int_equal(track_start(&track, TRACK_PML), ERR_NO_MEMORY);
	assert_log_is(marked);
	assert_int_equal(track.mode, TRACK_OFF);
	assert_false(track_wants_pml(&track));
}

static void relaxing_gives_large_writable_pages_back(void **state)
{
	struct frame_stats before, after;
	enum flush flush;

	(void)state;
	begin();
	frame_stats(&before);
	assert_int_equal(track_start(&track, TRACK_WP), OK);
	harvest_all(&flush);
	track_stop(&track);
	assert_int_equal(gpa_raw(track_relax(&track, gpa(0), VM_BYTES, &flush)),
			 VM_BYTES);
	assert_int_equal(flush, FLUSH_OWED);
	ept_free_retired(&ept);
	for (u64 i = 0; i < VM_PAGES; i += 100)
		if (is_memory(i))
			assert_int_equal(leaf_at(i) & (EPT_W | EPT_LARGE),
					 EPT_W | EPT_LARGE);
	frame_stats(&after);
	assert_memory_equal(&before, &after, sizeof(before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(any_log_marks_exactly_its_pages),
	    cmocka_unit_test(an_empty_log_marks_nothing),
	    cmocka_unit_test(the_slot_that_the_index_names_is_free),
	    cmocka_unit_test(a_wrapped_index_means_a_full_log),
	    cmocka_unit_test(low_bits_of_an_entry_do_not_matter),
	    cmocka_unit_test(the_policy_has_three_words),
	    cmocka_unit_test(pml_is_used_where_it_is_and_wanted),
	    cmocka_unit_test(tracking_begins_with_all_pages_and_none_armed),
	    cmocka_unit_test(only_the_harvested_chunk_is_split_and_armed),
	    cmocka_unit_test(a_write_fault_is_fixed_and_marked),
	    cmocka_unit_test(states_are_kept),
	    cmocka_unit_test(pml_is_wanted_as_long_as_a_leaf_may_need_it),
	    cmocka_unit_test(no_memory_for_tables_means_no_tracking),
	    cmocka_unit_test(relaxing_gives_large_writable_pages_back),
	};

	return cmocka_run_group_tests_name("pml", tests, NULL, NULL);
}
