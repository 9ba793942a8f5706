/* SPDX-License-Identifier: MIT */
/* The shadow EPT: what L2 gets is what L1's tables and EPT01 both say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/shadow_world.h"

static struct world w;

#define LEAF(rights) ((rights) | W_WB)

static void assert_reaches(u64 ngpa, u64 access, u64 address)
{
	struct w_result result = l2_access(&w, ngpa, access);
	hpa_t frame;

	assert_int_equal(result.outcome, SHADOW_RESUME);
	assert_int_equal(guest_mem_frame(&w.mem, gpa(address), &frame), OK);
	assert_int_equal(result.address, hpa_raw(frame) + address % PAGE_4K);
}

#define L2_READ  (EPT12_READ | EPT12_LINEAR_VALID | EPT12_TRANSLATED)
#define L2_WRITE (EPT12_WRITE | EPT12_LINEAR_VALID | EPT12_TRANSLATED)
#define L2_WALK  (EPT12_WRITE | EPT12_LINEAR_VALID)
#define AD       EPT12_POINTER_AD

static void assert_outcome(u64 ngpa, u64 access, enum shadow_outcome outcome)
{
	assert_int_equal(l2_access(&w, ngpa, access).outcome, outcome);
}

/* The exits that one access takes. */
static u64 exits_of(u64 ngpa, u64 access)
{
	u64 before = w.vm_exits;

	assert_outcome(ngpa, access, SHADOW_RESUME);
	return w.vm_exits - before;
}

static u64 entry_at(u64 ngpa, enum ept_level level)
{
	u64 table = w.pointer & EPT12_POINTER_TABLE;

	for (enum ept_level at = EPT_TOP; at > level; at--)
		table = w_read(&w, w_slot(table, ngpa, at)) & EPT_ADDRESS;
	return w_slot(table, ngpa, level);
}

static void start_tracking_by(enum shadow_way way)
{
	assert_int_equal(track_start(&w.track, TRACK_WP), OK);
	shadow_track_start(&w.shadow, way);
}

static void start_tracking(void)
{
	start_tracking_by(SHADOW_BY_W);
}

/* How many pages were dirty. */
static u64 harvest_all(void)
{
	static struct dirty_word words[W_LIMIT / PAGE_4K / DIRTY_WORD_PAGES];
	struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};
	enum flush flush;
	u64 pages = 0;

	track_harvest(&w.track, gpa(0), gpa(W_LIMIT), &batch, &flush);
	shadow_rearm(&w.shadow, &batch);
	for (u32 i = 0; i < batch.count; i++)
		pages += bits_count(words[i].bits);
	return pages;
}

static void begin(u64 ad)
{
	w_begin(&w);
	l1_new_ept(&w, ad);
}

static void end(void)
{
	check_world(&w);
	w_end(&w);
}

static void l2_page_goes_where_both_tables_say(void **state)
{
	(void)state;
	begin(0);
	l1_map(&w, 0x123000, EPT_4K, 0x5000 | LEAF(EPT_RWX));
	assert_reaches(0x123456, L2_WRITE, 0x5456);
	l1_map(&w, 0x40000000, EPT_2M, 0x600000 | LEAF(EPT_RWX) | EPT_LARGE);
	assert_reaches(0x40012345, L2_WRITE, 0x612345);
	l1_map(&w, 0x8000000000, EPT_1G, LEAF(EPT_RWX) | EPT_LARGE);
	assert_reaches(0x8000000000 + 0x7123, L2_WRITE, 0x7123);
	end();
}

static void device_and_rom_are_left_to_emulation(void **state)
{
	struct w_result result;

	(void)state;
	begin(0);
	l1_map(&w, 0x1000, EPT_4K, (W_RAM + MIB) | LEAF(EPT_RWX));
	l1_map(&w, 0x2000, EPT_4K, W_ROM | LEAF(EPT_RWX));
	result = l2_access(&w, 0x1234, L2_READ);
	assert_int_equal(result.outcome, SHADOW_DEVICE);
	assert_int_equal(result.address, W_RAM + MIB + 0x234);
	assert_reaches(0x2010, L2_READ, W_ROM + 0x10);
	assert_outcome(0x2010, L2_WRITE, SHADOW_DEVICE);
	/* L1's own rights come first. */
	l1_map(&w, 0x3000, EPT_4K, (W_RAM + MIB) | LEAF(EPT_R));
	assert_outcome(0x3000, L2_WRITE, SHADOW_VIOLATION);
	end();
}

static void tables_outside_memory_are_misconfigured(void **state)
{
	(void)state;
	begin(0);
	l1_store(&w, entry_at(0, EPT_TOP), (W_RAM + MIB) | EPT_RWX);
	assert_outcome(0, L2_READ, SHADOW_MISCONFIGURED);
	shadow_root_release(&w.shadow, &w.root);
	assert_int_equal(shadow_root_hold(&w.shadow,
					  (W_RAM + MIB) | EPT_WB | (3 << 3),
					  &w.root),
			 OK);
	assert_outcome(0, L2_READ, SHADOW_MISCONFIGURED);
	end();
}

static void page_walks_are_writes_with_ad(void **state)
{
	(void)state;
	begin(AD);
	l1_map(&w, 0x1000, EPT_4K, 0x5000 | LEAF(EPT_R) | EPT_A);
	/* The manual's qualification, whatever the CPU says. */
	assert_int_equal(l2_access(&w, 0x1000, L2_WALK).qualification, 0x8b);
	assert_int_equal(l2_access(&w, 0x1000, EPT12_READ | EPT12_LINEAR_VALID)
			     .qualification,
			 0x8b);
	assert_outcome(0x1000, L2_READ, SHADOW_RESUME);
	end();
}

static void nmi_unblocking_is_passed_through(void **state)
{
	(void)state;
	begin(0);
	assert_int_equal(
	    l2_access(&w, 0, L2_READ | EPT12_NMI_UNBLOCKING).qualification,
	    L2_READ | EPT12_NMI_UNBLOCKING);
	end();
}

/* --- L1's accessed and dirty flags, and its log --------------------------- */

static void flags_are_set_when_l2_comes_and_not_before(void **state)
{
	(void)state;
	begin(AD);
	for (u64 page = 0; page < 8; page++)
		l1_map(&w, page * PAGE_4K, EPT_4K,
		       (0x10000 + page * PAGE_4K) | LEAF(EPT_RWX));
	assert_outcome(0x3000, L2_READ, SHADOW_RESUME);
	for (u64 page = 0; page < 8; page++)
		assert_int_equal(w_read(&w, entry_at(page * PAGE_4K, EPT_4K)) &
				     (EPT_A | EPT_D),
				 page == 3 ? EPT_A : 0);
	assert_outcome(0x3000, L2_WRITE, SHADOW_RESUME);
	assert_true(w_read(&w, entry_at(0x3000, EPT_4K)) & EPT_D);
	assert_true(w_read(&w, entry_at(0, EPT_2M)) & EPT_A);
	end();
}

static void both_logs_see_the_same_write(void **state)
{
	(void)state;
	begin(AD);
	l1_log(&w, 0x7000, 511);
	l1_map(&w, 0x3000, EPT_4K, 0x5000 | LEAF(EPT_RWX) | EPT_A);
	start_tracking();
	harvest_all();
	assert_outcome(0x3000, L2_READ, SHADOW_RESUME);
	harvest_all();
	assert_outcome(0x3458, L2_WRITE, SHADOW_RESUME);
	/* L1's has the address of L2, ours that of L1. */
	assert_int_equal(w.log.index, 510);
	assert_int_equal(w_read(&w, 0x7000 + 511 * 8), 0x3000);
	assert_true(dirty_log_is_marked(&w.mem.log, gpa(0x5000)));
	assert_false(dirty_log_is_marked(&w.mem.log, gpa(0x3000)));
	/* The page, L1's log, and L1's table, where D was set. */
	assert_true(dirty_log_is_marked(&w.mem.log, gpa(0x7000)));
	assert_true(
	    dirty_log_is_marked(&w.mem.log, gpa(entry_at(0x3000, EPT_4K))));
	assert_int_equal(dirty_log_count(&w.mem.log), 3);
	end();
}

static void full_log_sets_nothing(void **state)
{
	(void)state;
	begin(AD);
	l1_log(&w, 0x7000, 0xffff);
	l1_map(&w, 0x3000, EPT_4K, 0x5000 | LEAF(EPT_RWX));
	assert_outcome(0x3000, L2_WRITE, SHADOW_LOG_FULL);
	assert_int_equal(w.log.index, 0xffff);
	assert_false(w_read(&w, entry_at(0x3000, EPT_4K)) & (EPT_A | EPT_D));
	w.log.index = 0;
	assert_outcome(0x3000, L2_WRITE, SHADOW_RESUME);
	assert_int_equal(w.log.index, 0xffff);
	assert_int_equal(w_read(&w, 0x7000), 0x3000);
	end();
}

static void cleared_dirty_flag_is_set_again_after_invept(void **state)
{
	u64 slot;

	(void)state;
	begin(AD);
	l1_map(&w, 0x3000, EPT_4K, 0x5000 | LEAF(EPT_RWX));
	assert_outcome(0x3000, L2_WRITE, SHADOW_RESUME);
	slot = entry_at(0x3000, EPT_4K);
	l1_store(&w, slot, w_read(&w, slot) & ~EPT_D);
	l1_invept(&w);
	assert_outcome(0x3000, L2_WRITE, SHADOW_RESUME);
	assert_true(w_read(&w, slot) & EPT_D);
	end();
}

/* --- Coherence ----------------------------------------------------------- */

static void map_pages(u64 first, u64 count)
{
	for (u64 i = 0; i < count; i++)
		l1_map(&w, (first + i) * PAGE_4K, EPT_4K,
		       (0x400000 + i * PAGE_4K) | LEAF(EPT_RWX));
}

static void invept_costs_nothing_if_nothing_changed(void **state)
{
	(void)state;
	begin(0);
	map_pages(0, 2048);
	for (u64 page = 0; page < 2048; page++)
		assert_outcome(page * PAGE_4K, L2_WRITE, SHADOW_RESUME);
	/* L1 wrote its top table after it was watched: that is looked at. */
	l1_invept(&w);
	assert_outcome(0, L2_WRITE, SHADOW_RESUME);
	w.flushes = 0;
	for (u32 i = 0; i < 10; i++) {
		l1_invept(&w);
		for (u64 page = 0; page < 2048; page++)
			assert_int_equal(exits_of(page * PAGE_4K, L2_WRITE), 0);
	}
	assert_int_equal(w.flushes, 0);
	end();
}

static void invept_costs_an_exit_per_table_that_changed(void **state)
{
	u64 slot, exits = 0;

	(void)state;
	begin(0);
	map_pages(0, 2048);
	for (u64 page = 0; page < 2048; page++)
		assert_outcome(page * PAGE_4K, L2_WRITE, SHADOW_RESUME);
	slot = entry_at(5 * PAGE_4K, EPT_4K);
	for (u32 i = 0; i < 64; i++) {
		u64 entry = w_read(&w, slot);

		l1_store(&w, slot, entry & ~EPT_W);
		l1_invept(&w);
		l1_store(&w, slot, entry);
		l1_invept(&w);
	}
	for (u64 page = 0; page < 2048; page++)
		exits += exits_of(page * PAGE_4K, L2_WRITE);
	assert_int_equal(exits, 1);
	end();
}

static void less_counts_after_invept_and_more_at_once(void **state)
{
	u64 slot;

	(void)state;
	begin(0);
	map_pages(0, 2);
	slot = entry_at(0, EPT_4K);
	assert_outcome(0, L2_WRITE, SHADOW_RESUME);
	assert_false(shadow_is_behind(&w.shadow));
	l1_store(&w, slot, w_read(&w, slot) & ~EPT_W);
	assert_true(shadow_is_behind(&w.shadow));
	l1_invept(&w);
	assert_false(shadow_is_behind(&w.shadow));
	assert_outcome(0, L2_WRITE, SHADOW_VIOLATION);
	l1_store(&w, slot, w_read(&w, slot) | EPT_W);
	assert_outcome(0, L2_WRITE, SHADOW_RESUME);
	end();
}

static void writes_of_umbra_to_a_table_count(void **state)
{
	u64 slot;

	(void)state;
	begin(0);
	map_pages(0, 2);
	slot = entry_at(0, EPT_4K);
	assert_outcome(0, L2_WRITE, SHADOW_RESUME);
	assert_int_equal(guest_mem_write_u64(&w.mem, gpa(slot), 0), OK);
	l1_invept(&w);
	assert_outcome(0, L2_WRITE, SHADOW_VIOLATION);
	end();
}

/* A hit is not lost when the page becomes a table of another level, too. */
static void hit_survives_a_second_watch(void **state)
{
	u64 slot, table;

	(void)state;
	begin(0);
	map_pages(0, 2);
	slot = entry_at(0, EPT_4K);
	table = align_down(slot, PAGE_4K);
	assert_outcome(0, L2_WRITE, SHADOW_RESUME);
	assert_int_equal(guest_mem_write_u64(&w.mem, gpa(slot), 0), OK);
	/* The same page as a table of the next level. */
	l1_store(&w, entry_at(PAGE_1G, EPT_1G), table | EPT_RWX);
	l2_access(&w, PAGE_1G, L2_READ);
	l1_invept(&w);
	assert_outcome(0, L2_WRITE, SHADOW_VIOLATION);
	end();
}

static void pointers_that_share_tables_share_shadows(void **state)
{
	u64 first, made;

	(void)state;
	begin(0);
	map_pages(0, 8);
	assert_outcome(0, L2_WRITE, SHADOW_RESUME);
	first = w_read(&w, w.pointer & EPT12_POINTER_TABLE);
	made = w.shadow.counts.tables_made;
	l1_new_ept(&w, 0);
	l1_store(&w, w.pointer & EPT12_POINTER_TABLE, first);
	assert_int_equal(exits_of(0, L2_WRITE), 1);
	/* Its own top table and no other. */
	assert_int_equal(w.shadow.counts.tables_made, made + 1);
	end();
}

/* L2 is given L1's table and writes itself another page. */
static void l2_that_writes_its_own_table_gets_no_more_than_l1(void **state)
{
	u64 slot, table;

	(void)state;
	begin(0);
	map_pages(0, 2);
	slot = entry_at(PAGE_4K, EPT_4K);
	table = align_down(slot, PAGE_4K);
	l1_map(&w, 0x2000, EPT_4K, table | LEAF(EPT_RWX));
	assert_reaches(0x2000, L2_WRITE, table);
	*w_bytes(&w, slot) = 0x900000 | LEAF(EPT_RWX);
	l1_invept(&w);
	assert_reaches(0x1000, L2_WRITE, 0x900000);
	/* By then it is watched again: the next write is seen. */
	assert_int_equal(exits_of(0x2000, L2_WRITE), 1);
	end();
}

/* --- Dirty tracking ------------------------------------------------------ */

static void two_l2_pages_alias_one_l1_page(void **state)
{
	(void)state;
	begin(0);
	l1_map(&w, 0x1000, EPT_4K, 0x5000 | LEAF(EPT_RWX));
	l1_map(&w, 0x2000, EPT_4K, 0x5000 | LEAF(EPT_RWX));
	start_tracking();
	harvest_all();
	assert_outcome(0x1000, L2_READ, SHADOW_RESUME);
	assert_outcome(0x2000, L2_READ, SHADOW_RESUME);
	assert_int_equal(harvest_all(), 0);
	for (u32 i = 0; i < 3; i++) {
		assert_int_equal(exits_of(0x1000, L2_WRITE), 1);
		assert_int_equal(exits_of(0x1000, L2_WRITE), 0);
		assert_true(dirty_log_is_marked(&w.mem.log, gpa(0x5000)));
		/* The other address is a way of its own to the page. */
		assert_int_equal(exits_of(0x2000, L2_WRITE), 1);
		assert_int_equal(harvest_all(), 1);
	}
	end();
}

/* And it ends with what it leads through. */
static void tracked_write_goes_the_last_ones_way(void **state)
{
	u64 slot, entry;

	(void)state;
	begin(0);
	l1_map(&w, 0x1000, EPT_4K, 0x5000 | LEAF(EPT_RWX));
	l1_map(&w, 0x64000, EPT_4K, 0x6000 | LEAF(EPT_RWX));
	l1_map(&w, PAGE_2M + 0x1000, EPT_4K, 0x7000 | LEAF(EPT_RWX));
	start_tracking();
	harvest_all();
	assert_outcome(0x1000, L2_READ, SHADOW_RESUME);
	assert_outcome(0x64000, L2_READ, SHADOW_RESUME);
	assert_outcome(PAGE_2M + 0x1000, L2_READ, SHADOW_RESUME);
	harvest_all();
	assert_true(shadow_fix_tracked(&w.shadow, &w.root, ngpa(0x1000)));
	assert_false(shadow_fix_tracked(&w.shadow, &w.root, ngpa(0x1000)));
	/* Another table of leaves, by the same index. */
	assert_true(
	    shadow_fix_tracked(&w.shadow, &w.root, ngpa(PAGE_2M + 0x1000)));
	assert_true(dirty_log_is_marked(&w.mem.log, gpa(0x7000)));
	assert_int_equal(harvest_all(), 2);
	/* L1 takes W from the way. */
	slot = entry_at(0, EPT_2M);
	entry = w_read(&w, slot);
	l1_store(&w, slot, entry & ~EPT_W);
	l1_invept(&w);
	assert_outcome(0x64000, L2_READ, SHADOW_RESUME);
	assert_false(shadow_fix_tracked(&w.shadow, &w.root, ngpa(0x64000)));
	assert_outcome(0x64000, L2_WRITE, SHADOW_VIOLATION);
	/* No way leads to the table any more. */
	harvest_all();
	assert_outcome(PAGE_2M + 0x1000, L2_WRITE, SHADOW_RESUME);
	harvest_all();
	shadow_table_detach(&w.shadow, w.root.last_fix.t);
	assert_false(
	    shadow_fix_tracked(&w.shadow, &w.root, ngpa(PAGE_2M + 0x1000)));
	assert_false(shadow_fix_tracked(&w.shadow, &w.root, ngpa(EPT12_SPAN)));
	end();
}

/* --- By D: the CPU logs L2's addresses ------------------------------------- */

static void drain(void)
{
	w_drain(&w.shadow, &w.root, &w.logged);
}

#define FLAGS (EPT_A | EPT_D)

static void begin_by_d(void)
{
	begin(AD);
	l1_map(&w, 0x1000, EPT_4K, 0x5000 | LEAF(EPT_RWX) | FLAGS);
	l1_map(&w, 0x2000, EPT_4K, 0x6000 | LEAF(EPT_RWX) | FLAGS);
	l1_map(&w, 0x3000, EPT_4K, 0x5000 | LEAF(EPT_RWX) | FLAGS);
	l1_map(&w, PAGE_2M, EPT_4K, 0x7000 | LEAF(EPT_RWX) | FLAGS);
	start_tracking_by(SHADOW_BY_D);
	harvest_all();
	assert_outcome(0x1000, L2_READ, SHADOW_RESUME);
	assert_outcome(0x2000, L2_READ, SHADOW_RESUME);
	assert_outcome(0x3000, L2_READ, SHADOW_RESUME);
	assert_outcome(PAGE_2M, L2_READ, SHADOW_RESUME);
	drain();
	harvest_all(); /* L1's tables have got flags */
	drain();
	assert_int_equal(harvest_all(), 0);
}

static void logged_addresses_become_l1_pages(void **state)
{
	(void)state;
	begin_by_d();
	for (u32 i = 0; i < 3; i++) {
		/* Two ways to one page. */
		assert_int_equal(exits_of(0x1000, L2_WRITE), 0);
		assert_int_equal(exits_of(0x3000, L2_WRITE), 0);
		assert_int_equal(exits_of(PAGE_2M, L2_WRITE), 0);
		assert_int_equal(exits_of(PAGE_2M, L2_WRITE), 0);
		drain();
		assert_true(dirty_log_is_marked(&w.mem.log, gpa(0x5000)));
		assert_true(dirty_log_is_marked(&w.mem.log, gpa(0x7000)));
		assert_int_equal(harvest_all(), 2);
	}
	assert_int_equal(w.shadow.counts.searched, 0);
	end();
}

static void full_log_is_drained_and_goes_on(void **state)
{
	u64 exits = 0;

	(void)state;
	begin(AD);
	for (u64 page = 0; page < 64; page++)
		l1_map(&w, page * PAGE_4K, EPT_4K,
		       (page * PAGE_4K) | LEAF(EPT_RWX) | FLAGS);
	start_tracking_by(SHADOW_BY_D);
	harvest_all();
	assert_outcome(0, L2_READ, SHADOW_RESUME);
	harvest_all(); /* L1's tables have got flags */
	for (u64 page = 0; page < 64; page++)
		exits += exits_of(page * PAGE_4K, L2_WRITE);
	drain();
	assert_int_equal(harvest_all(), 64);
	assert_true(exits < 64);
	end();
}

static void leaf_that_goes_marks_its_page(void **state)
{
	(void)state;
	begin_by_d();
	w_enter(&w);
	assert_non_null(w_find(&w, 0x2000, L2_WRITE));
	assert_int_equal(w.logged.count, 1);
	/* L1 takes it away on another CPU: nobody has drained. */
	l1_store(&w, entry_at(0x2000, EPT_4K), 0);
	l1_invept(&w);
	drain();
	assert_true(dirty_log_is_marked(&w.mem.log, gpa(0x6000)));
	end();
}

static void way_that_is_cut_hides_nothing(void **state)
{
	const struct ept12_access read = {ngpa(0x2000), L2_READ};
	u64 table, other;

	(void)state;
	begin_by_d();
	table = entry_at(0x2000, EPT_4K) & ~(PAGE_4K - 1);
	other = l1_new_table(&w);
	l1_store(&w, w_slot(other, 0x2000, EPT_4K),
		 0x9000 | LEAF(EPT_RWX) | FLAGS);
	drain();
	harvest_all();
	w_enter(&w);
	assert_non_null(w_find(&w, 0x2000, L2_WRITE));
	assert_int_equal(w.logged.count, 1);
	/* Another table takes the place of the one by which it was written. */
	l1_store(&w, entry_at(0x2000, EPT_2M), other | EPT_RWX | EPT_A);
	l1_invept(&w);
	/* Another vCPU makes the new way, before this one drains. */
	assert_int_equal(
	    shadow_fault(&w.shadow, &w.root, &read, &w.log).outcome,
	    SHADOW_RESUME);
	assert_false(dirty_log_is_marked(&w.mem.log, gpa(0x6000)));
	assert_int_not_equal(w_read(&w, w_slot(table, 0x2000, EPT_4K)), 0);
	drain();
	assert_true(dirty_log_is_marked(&w.mem.log, gpa(0x6000)));
	assert_int_equal(w.shadow.counts.searched, 1);
	end();
}

static void without_flags_of_l1_it_is_by_w(void **state)
{
	(void)state;
	begin(0);
	l1_map(&w, 0x1000, EPT_4K, 0x5000 | LEAF(EPT_RWX));
	start_tracking_by(SHADOW_BY_D);
	harvest_all();
	assert_false(shadow_wants_pml(&w.shadow, &w.root));
	assert_outcome(0x1000, L2_READ, SHADOW_RESUME);
	assert_int_equal(exits_of(0x1000, L2_WRITE), 1);
	assert_int_equal(w.logged.count, 0);
	assert_int_equal(harvest_all(), 1);
	end();
}

static void what_l1_wants_to_see_dirty_still_exits(void **state)
{
	(void)state;
	begin_by_d();
	l1_store(&w, entry_at(0x2000, EPT_4K), 0x6000 | LEAF(EPT_RWX) | EPT_A);
	l1_invept(&w);
	harvest_all();
	assert_int_equal(exits_of(0x2000, L2_WRITE), 1);
	assert_true(w_read(&w, entry_at(0x2000, EPT_4K)) & EPT_D);
	drain();
	assert_true(dirty_log_is_marked(&w.mem.log, gpa(0x6000)));
	end();
}

static void other_way_keeps_what_was_written(void **state)
{
	(void)state;
	begin_by_d();
	w_enter(&w);
	assert_non_null(w_find(&w, 0x1000, L2_WRITE));
	shadow_track_switch(&w.shadow, SHADOW_BY_W);
	drain();
	assert_int_equal(harvest_all(), 1);
	assert_int_equal(exits_of(0x2000, L2_WRITE), 1);
	assert_int_equal(w.logged.count, 0);
	assert_int_equal(harvest_all(), 1);
	shadow_track_switch(&w.shadow, SHADOW_BY_D);
	assert_int_equal(exits_of(0x2000, L2_WRITE), 1);
	drain();
	assert_int_equal(harvest_all(), 1);
	assert_int_equal(exits_of(0x2000, L2_WRITE), 0);
	drain();
	assert_int_equal(harvest_all(), 1);
	end();
}

static void large_leaf_is_not_writable_while_tracking(void **state)
{
	(void)state;
	begin(0);
	l1_map(&w, 0, EPT_2M, 0x600000 | LEAF(EPT_RWX) | EPT_LARGE);
	assert_int_equal(exits_of(0x1000, L2_WRITE), 1);
	assert_int_equal(exits_of(0x2000, L2_WRITE), 0);
	start_tracking();
	harvest_all();
	assert_int_equal(exits_of(0x1000, L2_WRITE), 1);
	assert_int_equal(exits_of(0x2000, L2_WRITE), 1);
	check_world(&w);
	assert_int_equal(harvest_all(), 2);
	/* And large again afterwards, once EPT01 is. */
	track_stop(&w.track);
	shadow_track_stop(&w.shadow);
	{
		enum flush flush;

		track_relax(&w.track, gpa(0), W_RAM, &flush);
		ept_free_retired(&w.ept);
	}
	assert_int_equal(exits_of(0x1000, L2_WRITE), 1);
	for (u64 page = 0; page < 512; page++)
		assert_int_equal(exits_of(page * PAGE_4K, L2_WRITE), 0);
	end();
}

static void tracking_ends_at_one_exit_per_table(void **state)
{
	u64 exits = 0;

	(void)state;
	begin(0);
	map_pages(0, 512);
	start_tracking();
	harvest_all();
	for (u64 page = 0; page < 512; page++)
		assert_outcome(page * PAGE_4K, L2_READ, SHADOW_RESUME);
	track_stop(&w.track);
	shadow_track_stop(&w.shadow);
	for (u64 page = 0; page < 512; page++)
		exits += exits_of(page * PAGE_4K, L2_WRITE);
	assert_int_equal(exits, 1);
	end();
}

static void forgotten_pages_are_not_reached(void **state)
{
	enum flush flush;

	(void)state;
	begin(0);
	map_pages(0, 4);
	assert_outcome(0, L2_WRITE, SHADOW_RESUME);
	assert_int_equal(ept_unmap(&w.ept, gpa(0x400000), PAGE_4K, &flush), OK);
	shadow_forget(&w.shadow, gpa(0x400000), PAGE_4K);
	assert_outcome(0, L2_WRITE, SHADOW_DEVICE);
	assert_reaches(0x1000, L2_WRITE, 0x401000);
	end();
}

/* --- Several CPUs, and limits --------------------------------------------- */

static enum flush enter_on_cpu_1(void)
{
	enum flush flush;

	shadow_enter(&w.shadow, 1, &flush);
	return flush;
}

/* Also where making the table has taken nothing from L1's memory. */
static void new_root_owes_a_flush(void **state)
{
	(void)state;
	begin(0);
	assert_int_equal(enter_on_cpu_1(), FLUSH_OWED);
	assert_int_equal(enter_on_cpu_1(), FLUSH_NONE);
	shadow_root_release(&w.shadow, &w.root);
	assert_int_equal(shadow_root_hold(&w.shadow,
					  (W_RAM + MIB) | EPT_WB | (3 << 3),
					  &w.root),
			 OK);
	assert_int_equal(enter_on_cpu_1(), FLUSH_OWED);
	assert_int_equal(enter_on_cpu_1(), FLUSH_NONE);
	end();
}

static void begin_on_two_cpus(u32 table_limit)
{
	const struct shadow_config config = {
	    .cpu_count = 2,
	    .vcpu_count = 2,
	    .table_limit = table_limit,
	};

	w_begin_with(&w, config);
	l1_new_ept(&w, 0);
}

/* Empty tables of L1's, far from all that it has: EPT pointers. */
static u64 pointer_at(u32 number)
{
	return (8 * MIB + number * PAGE_4K) | EPT_WB | (3 << 3);
}

/*
 * CPU 1 is in the guest and has not flushed, so that no table is free: L2 goes
 * on by the EPT that it had.
 */
static void root_that_cannot_be_had_leaves_the_old_one(void **state)
{
	struct shadow_root others[16] = {{0}};
	u64 pointer;
	u32 count = 0;

	(void)state;
	begin_on_two_cpus(1);
	map_pages(0, 1);
	pointer = w.pointer;
	assert_outcome(0, L2_WRITE, SHADOW_RESUME);
	(void)enter_on_cpu_1();
	while (shadow_root_hold(&w.shadow, pointer_at(count), &others[count]) ==
	       OK)
		assert_true(++count < ARRAY_COUNT(others));
	assert_int_equal(
	    shadow_root_switch(&w.shadow, pointer_at(count), &w.root),
	    ERR_BUSY);
	assert_int_equal(w.root.pointer, pointer);
	assert_non_null(w.root.table);
	shadow_leave(&w.shadow, 1);
	assert_int_equal(
	    shadow_root_switch(&w.shadow, pointer_at(count), &w.root), OK);
	assert_int_equal(w.root.pointer, pointer_at(count));
	for (u32 i = 0; i < count; i++)
		shadow_root_release(&w.shadow, &others[i]);
	end();
}

/* Another CPU may write a table that it has not flushed since the watch. */
static void table_is_not_proven_before_all_have_flushed(void **state)
{
	u64 slot;

	(void)state;
	begin_on_two_cpus(0);
	map_pages(0, 2);
	(void)enter_on_cpu_1();
	assert_outcome(0, L2_WRITE, SHADOW_RESUME);
	slot = entry_at(0, EPT_4K);
	/* Through its TLB: no exit tells. */
	*w_bytes(&w, slot) = 0;
	l1_invept(&w);
	assert_outcome(0, L2_WRITE, SHADOW_VIOLATION);
	shadow_leave(&w.shadow, 1);
	end();
}

/*
 * CPU 1 can still write a page by a leaf that CPU 0's INVEPT has removed. The
 * harvest that takes the page has no leaf to arm, and has to flush.
 */
static void harvest_waits_for_flushes_owed_before(void **state)
{
	static struct dirty_word words[W_LIMIT / PAGE_4K / DIRTY_WORD_PAGES];
	struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};
	enum flush flush;

	(void)state;
	begin_on_two_cpus(0);
	map_pages(0, 2);
	start_tracking();
	harvest_all();
	assert_outcome(0, L2_WRITE, SHADOW_RESUME);
	(void)enter_on_cpu_1();
	l1_store(&w, entry_at(0, EPT_4K), 0);
	l1_invept(&w);
	/* L2 comes by: the table is compared, the leaf is gone. */
	assert_outcome(0x1000, L2_READ, SHADOW_RESUME);
	track_harvest(&w.track, gpa(0), gpa(W_LIMIT), &batch, &flush);
	assert_true(batch.count > 0);
	assert_int_equal(shadow_rearm(&w.shadow, &batch), FLUSH_OWED);
	shadow_leave(&w.shadow, 1);
	/* Out of the guest it has nothing to flush before it enters. */
	assert_int_equal(shadow_rearm(&w.shadow, &batch), FLUSH_NONE);
	assert_int_equal(enter_on_cpu_1(), FLUSH_OWED);
	shadow_leave(&w.shadow, 1);
	end();
}

/* Far enough apart not to be filled as neighbours of each other. */
static void leaf_is_taken_over_only_where_entries_are_alike(void **state)
{
	(void)state;
	begin(0);
	l1_map(&w, 0, EPT_4K, 0x5000 | LEAF(EPT_RWX));
	l1_map(&w, 0x64000, EPT_4K, 0x6000 | LEAF(EPT_RWX));
	l1_map(&w, 0xc8000, EPT_4K, 0x7000 | LEAF(EPT_R | EPT_X));
	assert_outcome(0, L2_WRITE, SHADOW_RESUME);
	assert_outcome(0x64000, L2_READ, SHADOW_RESUME);
	assert_outcome(0x64000, L2_WRITE, SHADOW_RESUME);
	assert_outcome(0xc8000, L2_READ, SHADOW_RESUME);
	assert_outcome(0xc8000, L2_WRITE, SHADOW_VIOLATION);
	end();
}

/* L2 has gone this way a moment ago. */
static void quick_way_ends_with_what_it_leads_through(void **state)
{
	u64 slot, entry, other;

	(void)state;
	begin(0);
	l1_map(&w, 0, EPT_4K, 0x5000 | LEAF(EPT_RWX));
	l1_map(&w, 0x64000, EPT_4K, 0x6000 | LEAF(EPT_RWX));
	l1_map(&w, 0xc8000, EPT_4K, 0x7000 | LEAF(EPT_RWX));
	l1_map(&w, PAGE_2M, EPT_4K, 0x8000 | LEAF(EPT_RWX));
	assert_outcome(0, L2_WRITE, SHADOW_RESUME);
	assert_outcome(0x64000, L2_WRITE, SHADOW_RESUME);
	/* Another table of leaves, by the same index. */
	assert_reaches(PAGE_2M, L2_READ, 0x8000);
	assert_outcome(0x96000, L2_READ, SHADOW_VIOLATION);
	/* L1 gives another table, which maps more: that counts at once. */
	slot = entry_at(0, EPT_2M);
	entry = w_read(&w, slot);
	other = l1_new_table(&w);
	l1_store(&w, w_slot(other, 0x96000, EPT_4K), 0x9000 | LEAF(EPT_RWX));
	l1_store(&w, slot, (entry & ~EPT_ADDRESS) | other);
	assert_reaches(0x96000, L2_READ, 0x9000);
	/* And takes W from the way. */
	l1_store(&w, slot, entry & ~EPT_W);
	l1_invept(&w);
	assert_outcome(0xc8000, L2_WRITE, SHADOW_VIOLATION);
	end();
}

/* A table that is no longer in the tree is not filled. */
static void quick_way_is_not_gone_past_a_cut(void **state)
{
	struct shadow_table *t;
	struct shadow_result result;
	const struct ept12_access access = {ngpa(0xc8000), L2_WRITE};

	(void)state;
	begin(0);
	l1_map(&w, 0, EPT_4K, 0x5000 | LEAF(EPT_RWX));
	l1_map(&w, 0x64000, EPT_4K, 0x6000 | LEAF(EPT_RWX));
	l1_map(&w, 0xc8000, EPT_4K, 0x7000 | LEAF(EPT_RWX));
	assert_outcome(0, L2_WRITE, SHADOW_RESUME);
	assert_outcome(0x64000, L2_WRITE, SHADOW_RESUME);
	t = w.root.path.t;
	assert_non_null(t);
	shadow_table_detach(&w.shadow, t);
	assert_int_equal(
	    shadow_fault_quickly(&w.shadow, &w.root, &access, &w.log, &result),
	    SHADOW_QUICK_NO);
	assert_outcome(0xc8000, L2_WRITE, SHADOW_RESUME);
	end();
}

/* Every access is under another table of its own. */
static enum shadow_outcome touch_anew(u64 number)
{
	return l2_access(&w, number * PAGE_2M, L2_READ).outcome;
}

static void tables_are_reused_after_all_have_flushed(void **state)
{
	enum shadow_outcome outcome = SHADOW_RESUME;

	(void)state;
	begin_on_two_cpus(12);
	for (u64 i = 0; i < 64; i++)
		l1_map(&w, i * PAGE_2M, EPT_4K, 0x5000 | LEAF(EPT_RWX));
	assert_int_equal(touch_anew(0), SHADOW_RESUME);
	(void)enter_on_cpu_1();
	for (u64 i = 1; i < 64 && outcome == SHADOW_RESUME; i++)
		outcome = touch_anew(i);
	assert_int_equal(outcome, SHADOW_BUSY);
	/* The other CPU was kicked, and has come back. */
	shadow_leave(&w.shadow, 1);
	assert_int_equal(enter_on_cpu_1(), FLUSH_OWED);
	assert_int_equal(touch_anew(60), SHADOW_RESUME);
	shadow_leave(&w.shadow, 1);
	for (u64 i = 0; i < 64; i++)
		assert_int_equal(touch_anew(i), SHADOW_RESUME);
	assert_int_equal(w.shadow.table_count, 12);
	end();
}

/* --- Random use ---------------------------------------------------------- */

/*
 * Some pages of L1's are EPT tables, linked at random: into each other, into
 * themselves, into ROM, into nothing; and mapped into L2, which writes them.
 */
#define R_TABLES  10
#define R_HOT     4
#define R_ACTIONS 400

static const u64 hot[R_HOT] = {0, 1, 2, 511};

static struct {
	u64 tables[R_TABLES];
	bool edited; /* L1 has not executed INVEPT since */
	bool exact;  /* which pages are dirty is known */
	bool written[W_LIMIT / PAGE_4K];
} r;

static u64 any_hot(void)
{
	return hot[random_below(&w.random, R_HOT)];
}

static u64 any_ngpa(void)
{
	u64 at = random_below(&w.random, PAGE_4K);

	for (u64 level = 1; level <= 4; level++)
		at |= (level > 2 ? random_below(&w.random, 2) : any_hot())
		      << (3 + 9 * level);
	/* Beyond four levels, rarely. */
	return random_below(&w.random, 200) ? at : at | BIT(49);
}

static u64 any_page(void)
{
	switch (random_below(&w.random, 8)) {
	case 0:
		return r.tables[random_below(&w.random, R_TABLES)];
	case 1:
		return W_ROM + random_below(&w.random, 3) * PAGE_4K;
	case 2:
		return W_RAM + MIB + random_below(&w.random, 3) * PAGE_4K;
	case 3:
		return random_below(&w.random, 8) * PAGE_2M;
	default:
		return 8 * MIB + random_below(&w.random, 20) * PAGE_4K;
	}
}

/* Tables 0; 1, 2; 3 to 5; 6 to 9 are mostly of levels 4, 3, 2 and 1. */
static const u8 first_of_level[] = {R_TABLES, 6, 3, 1, 0};

/* Any table, or one of a level from 1 to 4. */
static u64 table_for(u64 level)
{
	u64 first = first_of_level[level];
	u64 end = first_of_level[level - 1];

	if (random_below(&w.random, 12) == 0)
		return r.tables[random_below(&w.random, R_TABLES)];
	return r.tables[first + random_below(&w.random, end - first)];
}

/* For an entry of a table of `level`, mostly. */
static u64 any_entry(u64 level)
{
	static const u8 rights[] = {7, 7, 7, 7, 7, 7, 7, 7, 3,
				    3, 1, 5, 4, 6, 2, 7, 7};
	u64 entry = rights[random_below(&w.random, sizeof(rights))] |
		    (random_next(&w.random) & (EPT_A | EPT_D | BIT(10)));

	if (random_below(&w.random, 2))
		entry |= EPT_A;
	switch (random_below(&w.random, 20)) {
	case 0:
		return 0;
	case 1:
		return random_next(&w.random) & random_next(&w.random);
	case 2:
	case 3:
		return entry | any_page() | W_WB;
	case 4:
	case 5:
		return entry | align_down(any_page(), PAGE_2M) | W_WB |
		       EPT_LARGE;
	case 6:
		return entry | W_WB | EPT_LARGE |
		       (random_below(&w.random, 3) * PAGE_1G);
	default:
		return level > 1 ? entry | table_for(level - 1)
				 : entry | any_page() | W_WB;
	}
}

static u64 level_of_table(u64 address)
{
	u64 level = 4;

	for (u32 i = 0; i < R_TABLES; i++)
		if (r.tables[i] == align_down(address, PAGE_4K))
			while (i >= first_of_level[level - 1])
				level--;
	return level;
}

static void note_write(u64 address)
{
	if (address < W_LIMIT)
		r.written[address / PAGE_4K] = true;
}

static void edit(void)
{
	static const u8 flips[] = {0, 1, 2, 8, 9, 9};
	u64 at =
	    table_for(random_below(&w.random, 9) / 2 % 4 + 1) + 8 * any_hot();
	u64 entry = any_entry(level_of_table(at));

	/* Most edits change little. */
	if (random_below(&w.random, 3) == 0)
		entry = w_read(&w, at) ^ BIT(flips[random_below(&w.random, 6)]);
	if (random_below(&w.random, 8) == 0)
		assert_int_equal(guest_mem_write_u64(&w.mem, gpa(at), entry),
				 OK);
	else
		l1_store(&w, at, entry);
	note_write(at);
	r.edited = true;
}

/* Is the page, whatever it is, walked as a table? */
static bool is_table(u64 address)
{
	for (u32 i = 1; i <= w.shadow.table_count; i++) {
		const struct shadow_table *t = shadow_table_at(&w.shadow, i);

		if (t->state != SHADOW_FREE && t->state != SHADOW_RETIRED &&
		    t->memory &&
		    gpa_page(shadow_table_base(t)) == address / PAGE_4K)
			return true;
	}
	return false;
}

/* Data, or an entry if it is a table. */
static void l2_store(u64 frame, u64 address)
{
	u64 value = any_entry(random_below(&w.random, 4) + 1);

	if (is_table(address)) {
		r.edited = true;
		frame = align_down(frame, PAGE_4K) + 8 * any_hot();
	}
	__atomic_store_n((u64 *)phys_ptr(hpa(align_down(frame, 8))), value,
			 __ATOMIC_SEQ_CST);
	note_write(address);
}

/* The page of L1's that has this frame. */
static u64 page_of_frame(u64 frame)
{
	for (u64 page = 0; page < W_RAM + W_ROM_BYTES; page += PAGE_4K) {
		hpa_t at;

		assert_int_equal(guest_mem_frame(&w.mem, gpa(page), &at), OK);
		if (hpa_raw(at) == align_down(frame, PAGE_4K))
			return page;
	}
	fail_msg("frame %#lx is not of L1's memory", frame);
	return 0;
}

/* What L1's entries hold after an access that happens. */
static void expect_flags(const struct w_path *path, u64 access, u64 entries[5])
{
	for (int level = 4; level >= path->level; level--) {
		entries[level] = path->entries[level];
		if (!(w.pointer & EPT12_POINTER_AD) ||
		    path->slots[level] >= W_RAM)
			continue;
		entries[level] |= EPT_A;
		if (level == path->level && (access & EPT12_WRITE))
			entries[level] |= EPT_D;
	}
}

static void check_flags(const struct w_path *path, const u64 entries[5])
{
	for (int level = 4; level >= path->level; level--) {
		/* One slot may stand at several levels of one walk. */
		u64 wanted = entries[level];

		for (int other = 4; other >= path->level; other--)
			if (path->slots[other] == path->slots[level])
				wanted |= entries[other];
		assert_int_equal(reference_entry(&w, path->slots[level]),
				 wanted);
		if (entries[level] != path->entries[level])
			note_write(path->slots[level]);
	}
}

/* L1's log holds the page if and only if D was set. */
static void check_log(const struct w_path *path, u64 at, u64 access,
		      u16 index_before)
{
	bool logs = w.log.on && (w.pointer & EPT12_POINTER_AD) &&
		    (access & EPT12_WRITE) &&
		    !(path->entries[path->level] & EPT_D) &&
		    path->slots[path->level] < W_RAM;

	assert_int_equal(w.log.index, (u16)(index_before - logs));
	if (!logs)
		return;
	assert_int_equal(w_read(&w, gpa_raw(w.log.page) + 8 * index_before),
			 align_down(at, PAGE_4K));
	note_write(gpa_raw(w.log.page));
	r.edited |= is_table(gpa_raw(w.log.page));
}

static bool log_full_is_due(const struct w_path *path, u64 access)
{
	u64 entries[5];
	bool due = false;

	if (!w.log.on || w.log.index < 512)
		return false;
	expect_flags(path, access, entries);
	for (int level = 4; level >= path->level; level--)
		due |= entries[level] != path->entries[level];
	return due;
}

/* L1 has changed nothing since its INVEPT: everything is determined. */
static void access_exactly(u64 at, u64 access)
{
	struct w_path path;
	u64 entries[5];
	u16 index = w.log.index;
	struct w_result wanted = reference(&w, at, access, &path), got;

	if (at >= BIT(48))
		wanted = (struct w_result){SHADOW_VIOLATION, access, 0};
	else if (wanted.outcome == SHADOW_RESUME ||
		 wanted.outcome == SHADOW_DEVICE)
		expect_flags(&path, access, entries);
	else
		memcpy(entries, path.entries, sizeof(entries));
	if ((wanted.outcome == SHADOW_RESUME ||
	     wanted.outcome == SHADOW_DEVICE) &&
	    log_full_is_due(&path, access)) {
		wanted.outcome = SHADOW_LOG_FULL;
		memcpy(entries, path.entries, sizeof(entries));
	}
	got = l2_access(&w, at, access);
	assert_int_equal(got.outcome, wanted.outcome);
	if (got.outcome == SHADOW_VIOLATION)
		assert_int_equal(got.qualification, wanted.qualification);
	if (at >= BIT(48))
		return;
	check_flags(&path, entries);
	if (got.outcome == SHADOW_DEVICE)
		assert_int_equal(got.address, wanted.address);
	if (got.outcome == SHADOW_DEVICE || got.outcome == SHADOW_RESUME)
		check_log(&path, at, access, index);
	if (got.outcome != SHADOW_RESUME)
		return;
	assert_int_equal(page_of_frame(got.address),
			 align_down(wanted.address, PAGE_4K));
	if (access & EPT12_WRITE)
		l2_store(got.address, wanted.address);
}

/* A TLB may know better than the tables, but never more than EPT01. */
static void access_any(u64 at, u64 access)
{
	struct w_path path;
	struct w_result wanted = reference(&w, at, access, &path), got;
	u64 page;

	got = l2_access(&w, at, access);
	if (at < BIT(48) && (got.outcome == SHADOW_VIOLATION ||
			     got.outcome == SHADOW_MISCONFIGURED ||
			     got.outcome == SHADOW_DEVICE))
		assert_int_equal(got.outcome, wanted.outcome);
	if (got.outcome == SHADOW_VIOLATION && at < BIT(48))
		assert_int_equal(got.qualification, wanted.qualification);
	/* What was set meanwhile, nobody knows. */
	r.exact = false;
	if (got.outcome != SHADOW_RESUME)
		return;
	page = page_of_frame(got.address);
	assert_true(page < W_RAM || !(access & EPT12_WRITE));
	if (access & EPT12_WRITE)
		l2_store(got.address, page);
}

static void access_somewhere(void)
{
	static const u64 kinds[] = {EPT12_READ, EPT12_WRITE, EPT12_FETCH,
				    EPT12_READ | EPT12_WRITE};
	u64 access = kinds[random_below(&w.random, 4)] | EPT12_LINEAR_VALID |
		     EPT12_TRANSLATED;
	u64 at = any_ngpa();

	if (r.edited)
		access_any(at, access);
	else
		access_exactly(at, access);
}

static void harvest(void)
{
	static struct dirty_word words[W_LIMIT / PAGE_4K / DIRTY_WORD_PAGES];
	struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};
	static bool taken[W_LIMIT / PAGE_4K];
	enum flush flush;

	if (!w.shadow.tracking)
		return;
	w_drain(&w.shadow, &w.root, &w.logged);
	track_harvest(&w.track, gpa(0), gpa(W_LIMIT), &batch, &flush);
	shadow_rearm(&w.shadow, &batch);
	memset(taken, 0, sizeof(taken));
	for (u32 i = 0; i < batch.count; i++)
		for (u64 bits = words[i].bits; bits; bits &= bits - 1)
			taken[gpa_page(words[i].base) +
			      (u64)__builtin_ctzll(bits)] = true;
	for (u64 page = 0; page < (W_RAM + W_ROM_BYTES) / PAGE_4K; page++) {
		if (r.written[page])
			assert_true(taken[page]);
		else if (r.exact)
			assert_false(taken[page]);
	}
	memset(r.written, 0, sizeof(r.written));
	/* By D, what goes is marked whether it was written or not. */
	r.exact = !w.shadow.by_d;
}

static void toggle_tracking(void)
{
	if (w.shadow.tracking) {
		track_stop(&w.track);
		shadow_track_stop(&w.shadow);
		return;
	}
	start_tracking_by(random_below(&w.random, 2) ? SHADOW_BY_D
						     : SHADOW_BY_W);
	r.exact = false;
}

static void act(void)
{
	switch (random_below(&w.random, 24)) {
	case 0 ... 7:
		edit();
		break;
	case 8:
	case 9:
		l1_invept(&w);
		r.edited = false;
		break;
	case 10:
		harvest();
		break;
	case 11:
		if (random_below(&w.random, 5) == 0)
			toggle_tracking();
		break;
	case 12:
		check_world(&w);
		break;
	case 13:
		w.log.index = (u16)random_below(&w.random, 520);
		break;
	default:
		access_somewhere();
		break;
	}
}

static void random_begin(u64 seed)
{
	struct shadow_config config = {
	    .table_limit = seed % 3 == 0 ? 9 : 0,
	};

	w_begin_with(&w, config);
	w.random = random_from(seed);
	memset(&r, 0, sizeof(r));
	l1_new_ept(&w, random_below(&w.random, 2) ? EPT12_POINTER_AD : 0);
	l1_log(&w, 3 * MIB, 511);
	w.log.on = random_below(&w.random, 2);
	if (seed % 2)
		w.log.entries = NULL;
	r.tables[0] = w.pointer & EPT12_POINTER_TABLE;
	for (u32 i = 1; i < R_TABLES; i++)
		r.tables[i] = l1_new_table(&w);
	/* So that walks go somewhere from the beginning. */
	for (u32 i = 0; i < 120; i++)
		edit();
}

static void random_run(u64 seed)
{
	random_begin(seed);
	for (u32 i = 0; i < R_ACTIONS; i++)
		act();
	check_world(&w);
	w_end(&w);
}

static void random_use_agrees_with_two_walks(void **state)
{
	(void)state;
	for_seeds(400, random_run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(l2_page_goes_where_both_tables_say),
	    cmocka_unit_test(device_and_rom_are_left_to_emulation),
	    cmocka_unit_test(tables_outside_memory_are_misconfigured),
	    cmocka_unit_test(new_root_owes_a_flush),
	    cmocka_unit_test(root_that_cannot_be_had_leaves_the_old_one),
	    cmocka_unit_test(page_walks_are_writes_with_ad),
	    cmocka_unit_test(nmi_unblocking_is_passed_through),
	    cmocka_unit_test(flags_are_set_when_l2_comes_and_not_before),
	    cmocka_unit_test(both_logs_see_the_same_write),
	    cmocka_unit_test(full_log_sets_nothing),
	    cmocka_unit_test(cleared_dirty_flag_is_set_again_after_invept),
	    cmocka_unit_test(invept_costs_nothing_if_nothing_changed),
	    cmocka_unit_test(invept_costs_an_exit_per_table_that_changed),
	    cmocka_unit_test(less_counts_after_invept_and_more_at_once),
	    cmocka_unit_test(writes_of_umbra_to_a_table_count),
	    cmocka_unit_test(hit_survives_a_second_watch),
	    cmocka_unit_test(pointers_that_share_tables_share_shadows),
	    cmocka_unit_test(l2_that_writes_its_own_table_gets_no_more_than_l1),
	    cmocka_unit_test(two_l2_pages_alias_one_l1_page),
	    cmocka_unit_test(logged_addresses_become_l1_pages),
	    cmocka_unit_test(full_log_is_drained_and_goes_on),
	    cmocka_unit_test(leaf_that_goes_marks_its_page),
	    cmocka_unit_test(way_that_is_cut_hides_nothing),
	    cmocka_unit_test(without_flags_of_l1_it_is_by_w),
	    cmocka_unit_test(what_l1_wants_to_see_dirty_still_exits),
	    cmocka_unit_test(other_way_keeps_what_was_written),
	    cmocka_unit_test(tracked_write_goes_the_last_ones_way),
	    cmocka_unit_test(large_leaf_is_not_writable_while_tracking),
	    cmocka_unit_test(tracking_ends_at_one_exit_per_table),
	    cmocka_unit_test(forgotten_pages_are_not_reached),
	    cmocka_unit_test(table_is_not_proven_before_all_have_flushed),
	    cmocka_unit_test(harvest_waits_for_flushes_owed_before),
	    cmocka_unit_test(tables_are_reused_after_all_have_flushed),
	    cmocka_unit_test(leaf_is_taken_over_only_where_entries_are_alike),
	    cmocka_unit_test(quick_way_ends_with_what_it_leads_through),
	    cmocka_unit_test(quick_way_is_not_gone_past_a_cut),
	    cmocka_unit_test(random_use_agrees_with_two_walks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
