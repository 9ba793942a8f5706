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

static void l2_page_goes_where_both_tables_say(void **state)
{
	(void)state;
	w_begin(&w);
	l1_new_ept(&w, 0);
	l1_map(&w, 0x123000, EPT_4K, 0x5000 | LEAF(EPT_RWX));
	assert_reaches(0x123456, EPT12_WRITE, 0x5456);
	check_world(&w);
	w_end(&w);
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
	r.exact = true;
}

static void toggle_tracking(void)
{
	if (w.shadow.tracking) {
		track_stop(&w.track);
		shadow_track_stop(&w.shadow);
		return;
	}
	assert_int_equal(track_start(&w.track, TRACK_WP), OK);
	shadow_track_start(&w.shadow);
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
	w.log.on = random_below(&w.random, 2);
	w.log.page = gpa(3 * MIB);
	w.log.index = 511;
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
	    cmocka_unit_test(random_use_agrees_with_two_walks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
