/* SPDX-License-Identifier: MIT */
/*
 * EPT01 against a model: an array that says for every page of 3 GiB where it
 * goes and with which rights. What happens when CPUs, faults and the harvester
 * meet in one tree is in test_tracking.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/ept/ept.h"
#include "arch/x86/ept/ept_fix.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

#define SPAN  (3 * GIB)
#define PAGES (SPAN / PAGE_4K)

static const struct ept_format format = {
    .largest_leaf = EPT_1G,
    .physical_bits = 40,
    .accessed_dirty = true,
    .execute_only = true,
};

static const struct ept_attributes ram = {.rights = EPT_RWX, .type = EPT_WB};
static const struct ept_attributes rom = {.rights = EPT_R | EPT_X,
					  .type = EPT_WB};

static struct ept ept;

/* Frame address | rights for each page; 0 is a hole. */
static u64 model[PAGES];

static u64 free_bytes(void)
{
	struct frame_stats stats;

	frame_stats(&stats);
	return stats.free_bytes;
}

static void begin_with(const struct ept_format *with, u64 memory)
{
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(0x100000), memory), OK);
	assert_int_equal(ept_create(&ept, with), OK);
	memset(model, 0, sizeof(model));
}

static void begin(void)
{
	begin_with(&format, 64 * MIB);
}

/* Entry of the leaf for an address; there must be one. */
static u64 leaf_at(u64 address, enum ept_level *level)
{
	ept_entry_t entry = {0};

	assert_int_equal(ept_lookup(&ept, gpa(address), &entry, level), OK);
	return entry.raw;
}

static enum ept_level level_at(u64 address)
{
	enum ept_level level;

	leaf_at(address, &level);
	return level;
}

static u64 bits_at(u64 address)
{
	enum ept_level level;

	return leaf_at(address, &level);
}

static void map(u64 address, u64 frame, u64 bytes,
		const struct ept_attributes *attributes)
{
	assert_int_equal(
	    ept_map(&ept, gpa(address), hpa(frame), bytes, attributes), OK);
}

/* --- Random use ---------------------------------------------------------- */

static void assert_page(u64 page)
{
	ept_entry_t entry;
	enum ept_level level;
	enum err err = ept_lookup(&ept, gpa(page * PAGE_4K), &entry, &level);

	assert_int_equal(err == OK, model[page] != 0);
	if (err != OK)
		return;

	u64 size = ept_level_bytes(level);
	u64 rights = entry.raw & EPT_RWX;

	assert_int_equal(hpa_raw(ept_entry_address(entry)) +
			     (page * PAGE_4K) % size,
			 model[page] & EPT_ADDRESS);
	assert_int_equal(rights, model[page] & EPT_RWX);
	assert_int_equal(!!(entry.raw & EPT_MAY_WRITE), !!(rights & EPT_W));
	assert_false(ept_entry_misconfigured(entry, level, &format));
}

static void assert_all(void)
{
	u64 counts[EPT_TOP] = {0};

	for (u64 page = 0; page < PAGES;) {
		ept_entry_t entry;
		enum ept_level level = EPT_4K;

		if (ept_lookup(&ept, gpa(page * PAGE_4K), &entry, &level) == OK)
			counts[level]++;
		for (u64 i = 0; i < ept_level_bytes(level) / PAGE_4K; i += 257)
			assert_page(page + i);
		page += ept_level_bytes(level) / PAGE_4K;
	}
	for (u32 level = EPT_4K; level < EPT_TOP; level++)
		assert_int_equal(counts[level], ept.leaf_count[level]);
}

/* A range with a liking for the places where sizes change. */
static void choose_range(struct random *random, u64 *address, u64 *bytes)
{
	static const u64 grains[] = {PAGE_4K, PAGE_4K, PAGE_2M, PAGE_2M,
				     PAGE_1G};
	u64 grain = grains[random_below(random, ARRAY_COUNT(grains))];

	*address = random_below(random, SPAN / grain) * grain;
	*bytes = (1 + random_below(random, 700)) * grain;
	if (*bytes > SPAN - *address)
		*bytes = SPAN - *address;
}

static void map_some(struct random *random, u64 address, u64 bytes)
{
	u64 grain = random_below(random, 2) ? PAGE_1G : PAGE_4K;
	u64 frame =
	    random_below(random, 64 * GIB / grain) * grain + address % grain;
	const struct ept_attributes *with =
	    random_below(random, 3) ? &ram : &rom;
	bool free = true;
	enum err err = ept_map(&ept, gpa(address), hpa(frame), bytes, with);

	for (u64 i = address / PAGE_4K; i < (address + bytes) / PAGE_4K; i++)
		free = free && !model[i];
	assert_int_equal(err, free ? OK : ERR_OVERLAP);
	for (u64 i = 0; free && i < bytes / PAGE_4K; i++)
		model[address / PAGE_4K + i] =
		    (frame + i * PAGE_4K) | with->rights;
}

static void protect_some(u64 address, u64 bytes, u64 rights)
{
	enum flush flush;
	bool lost = false;

	assert_int_equal(ept_protect(&ept, gpa(address), bytes, rights, &flush),
			 OK);
	for (u64 i = address / PAGE_4K; i < (address + bytes) / PAGE_4K; i++) {
		if (!model[i])
			continue;
		lost = lost || (model[i] & EPT_RWX & ~rights);
		model[i] = (model[i] & ~EPT_RWX) | rights;
	}
	assert_int_equal(flush == FLUSH_OWED, lost);
}

static void unmap_some(u64 address, u64 bytes)
{
	enum flush flush;
	bool lost = false;

	assert_int_equal(ept_unmap(&ept, gpa(address), bytes, &flush), OK);
	for (u64 i = address / PAGE_4K; i < (address + bytes) / PAGE_4K; i++) {
		lost = lost || model[i];
		model[i] = 0;
	}
	assert_int_equal(flush == FLUSH_OWED, lost);
}

static void random_use(u64 seed)
{
	struct random random = random_from(seed);
	u64 before;

	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(0x100000), 64 * MIB), OK);
	before = free_bytes();
	begin();
	for (u32 step = 0; step < 60; step++) {
		u64 address, bytes;
		enum flush flush;

		choose_range(&random, &address, &bytes);
		switch (random_below(&random, 8)) {
		case 0:
		case 1:
		case 2:
			map_some(&random, address, bytes);
			break;
		case 3:
			unmap_some(address, bytes);
			break;
		case 4:
			protect_some(address, bytes, EPT_R);
			break;
		case 5:
			protect_some(address, bytes, EPT_RWX);
			break;
		case 6:
			assert_int_equal(
			    ept_split(&ept, gpa(address),
				      bytes < 64 * MIB ? bytes : 64 * MIB),
			    OK);
			break;
		default:
			ept_merge(&ept, gpa(address), bytes, &flush);
			ept_free_retired(&ept);
		}
		for (u32 i = 0; i < 200; i++)
			assert_page(random_below(&random, PAGES));
	}
	assert_all();
	ept_destroy(&ept);
	assert_int_equal(free_bytes(), before);
}

static void random_use_agrees_with_the_model(void **state)
{
	(void)state;
	for_seeds(4, random_use);
}

/* --- Mapping ------------------------------------------------------------- */

static void the_largest_pages_that_fit_are_used(void **state)
{
	(void)state;
	begin();
	map(PAGE_1G - PAGE_2M - PAGE_4K, 8 * GIB - PAGE_2M - PAGE_4K,
	    PAGE_1G + 2 * (PAGE_2M + PAGE_4K), &ram);
	assert_int_equal(level_at(PAGE_1G - PAGE_2M - PAGE_4K), EPT_4K);
	assert_int_equal(level_at(PAGE_1G - PAGE_2M), EPT_2M);
	assert_int_equal(level_at(PAGE_1G), EPT_1G);
	assert_int_equal(level_at(2 * PAGE_1G), EPT_2M);
	assert_int_equal(level_at(2 * PAGE_1G + PAGE_2M), EPT_4K);
	assert_int_equal(ept.leaf_count[EPT_4K], 2);
	assert_int_equal(ept.leaf_count[EPT_2M], 2);
	assert_int_equal(ept.leaf_count[EPT_1G], 1);
}

static void page_sizes_that_the_cpu_lacks_are_not_used(void **state)
{
	struct ept_format small = format;

	(void)state;
	small.largest_leaf = EPT_2M;
	begin_with(&small, 16 * MIB);
	map(PAGE_1G, PAGE_1G, PAGE_1G, &ram);
	assert_int_equal(level_at(PAGE_1G), EPT_2M);
	small.largest_leaf = EPT_4K;
	begin_with(&small, 16 * MIB);
	map(PAGE_2M, PAGE_2M, PAGE_2M, &ram);
	assert_int_equal(level_at(PAGE_2M), EPT_4K);
}

static void frames_out_of_step_get_small_pages(void **state)
{
	(void)state;
	begin();
	map(0, PAGE_4K, 2 * PAGE_2M, &ram);
	assert_int_equal(level_at(PAGE_2M), EPT_4K);
}

static void bad_ranges_are_refused(void **state)
{
	const struct ept_attributes write_only = {EPT_W, EPT_WB, false};
	const struct ept_attributes nothing = {0, EPT_WB, false};
	const struct ept_attributes bad_type = {EPT_R, 7, false};
	enum flush flush;

	(void)state;
	begin();
	assert_int_equal(ept_map(&ept, gpa(1), hpa(0), PAGE_4K, &ram),
			 ERR_ALIGN);
	assert_int_equal(ept_map(&ept, gpa(0), hpa(1), PAGE_4K, &ram),
			 ERR_ALIGN);
	assert_int_equal(ept_map(&ept, gpa(BIT(48)), hpa(0), PAGE_4K, &ram),
			 ERR_RANGE);
	assert_int_equal(ept_map(&ept, gpa(PAGE_4K), hpa(0), ~0xfffULL, &ram),
			 ERR_RANGE);
	assert_int_equal(
	    ept_map(&ept, gpa(0), hpa(BIT(40) - PAGE_4K), PAGE_2M, &ram),
	    ERR_RANGE);
	assert_int_equal(ept_map(&ept, gpa(0), hpa(0), PAGE_4K, &write_only),
			 ERR_UNSUPPORTED);
	assert_int_equal(ept_map(&ept, gpa(0), hpa(0), PAGE_4K, &nothing),
			 ERR_UNSUPPORTED);
	assert_int_equal(ept_map(&ept, gpa(0), hpa(0), PAGE_4K, &bad_type),
			 ERR_UNSUPPORTED);
	assert_int_equal(ept_unmap(&ept, gpa(0), BIT(48) + PAGE_4K, &flush),
			 ERR_RANGE);
	assert_int_equal(ept_protect(&ept, gpa(0), PAGE_4K, EPT_W, &flush),
			 ERR_UNSUPPORTED);
	map(BIT(48) - PAGE_4K, 0, PAGE_4K, &ram);
	assert_int_equal(
	    ept_unmap(&ept, gpa(BIT(48) - PAGE_4K), PAGE_4K, &flush), OK);
	assert_int_equal(flush, FLUSH_OWED);
}

static void no_memory_leaves_everything_as_it_was(void **state)
{
	enum flush flush;

	(void)state;
	begin_with(&format, 8 * PAGE_4K);
	map(0, 0, PAGE_1G, &ram);
	assert_int_equal(
	    ept_map(&ept, gpa(PAGE_1G), hpa(PAGE_4K), 8 * PAGE_2M, &ram),
	    ERR_NO_MEMORY);
	for (u64 at = PAGE_1G; at < PAGE_1G + 8 * PAGE_2M; at += PAGE_4K) {
		ept_entry_t entry;
		enum ept_level level;

		assert_int_equal(ept_lookup(&ept, gpa(at), &entry, &level),
				 ERR_NOT_FOUND);
	}
	assert_int_equal(
	    ept_unmap(&ept, gpa(PAGE_4K), PAGE_1G - 2 * PAGE_4K, &flush),
	    ERR_NO_MEMORY);
	for (u64 at = 0; at < PAGE_1G; at += PAGE_2M)
		assert_int_equal(bits_at(at) & EPT_RWX, EPT_RWX);
	assert_int_equal(ept_reserve_tables(&ept), ERR_NO_MEMORY);
	assert_int_equal(ept.spare_count, 0);
	assert_false(ept.tables_reserved);
}

static void guest_memory_is_mapped_as_its_slots_say(void **state)
{
	struct guest_mem mem;
	hpa_t frame;

	(void)state;
	begin();
	assert_int_equal(guest_mem_create(&mem, gpa(16 * MIB), "test"), OK);
	assert_int_equal(guest_mem_add(&mem, gpa(0), 640 * KIB), OK);
	assert_int_equal(guest_mem_add(&mem, gpa(MIB), 7 * MIB), OK);
	assert_int_equal(guest_mem_add(&mem, gpa(12 * MIB), 64 * KIB), OK);
	assert_int_equal(guest_mem_make_rom(&mem, gpa(12 * MIB)), OK);
	assert_int_equal(ept_map_guest(&ept, &mem), OK);
	for (u64 at = 0; at < 16 * MIB; at += PAGE_4K) {
		ept_entry_t entry;
		enum ept_level level;
		enum err err = ept_lookup(&ept, gpa(at), &entry, &level);

		assert_int_equal(err == OK,
				 guest_mem_frame(&mem, gpa(at), &frame) == OK);
		if (err != OK)
			continue;
		assert_int_equal(hpa_raw(ept_entry_address(entry)) +
				     at % ept_level_bytes(level),
				 hpa_raw(frame));
		assert_int_equal(bits_get(entry.raw, EPT_TYPE), EPT_WB);
		assert_int_equal(entry.raw & EPT_RWX,
				 at < 12 * MIB ? EPT_RWX : EPT_R | EPT_X);
	}
	assert_int_equal(level_at(2 * MIB), EPT_2M);
}

static void the_pointer_says_what_the_tables_are(void **state)
{
	struct ept_format plain = format;

	(void)state;
	begin();
	assert_int_equal(ept_pointer(&ept), hpa_raw(ept.root) | 0x5e);
	plain.accessed_dirty = false;
	plain.uncacheable_tables = true;
	begin_with(&plain, 16 * MIB);
	assert_int_equal(ept_pointer(&ept), hpa_raw(ept.root) | 0x18);
}

/* --- Entries ------------------------------------------------------------- */

struct entry_case {
	u64 raw;
	enum ept_level level;
	bool bad;
};

static void reserved_bits_and_types_are_judged_as_the_manual_does(void **state)
{
	static const struct entry_case cases[] = {
	    /* Nothing present: never a misconfiguration. */
	    {0, EPT_4K, false},
	    {~EPT_RWX, EPT_TOP, false},
	    /* Rights. */
	    {EPT_W | 6 << 3, EPT_4K, true},
	    {EPT_W | EPT_X | 6 << 3, EPT_4K, true},
	    {EPT_X | 6 << 3, EPT_4K, false},
	    {EPT_R | EPT_W | 6 << 3, EPT_4K, false},
	    {EPT_W, EPT_TOP, true},
	    /* Types of leaves: 2, 3 and 7 do not exist. */
	    {EPT_R | 0 << 3, EPT_4K, false},
	    {EPT_R | 1 << 3, EPT_4K, false},
	    {EPT_R | 2 << 3, EPT_4K, true},
	    {EPT_R | 3 << 3, EPT_4K, true},
	    {EPT_R | 4 << 3, EPT_4K, false},
	    {EPT_R | 5 << 3, EPT_4K, false},
	    {EPT_R | 7 << 3, EPT_4K, true},
	    {EPT_R | 7 << 3 | BIT(7), EPT_2M, true},
	    /* Tables have no type. */
	    {EPT_R | 1 << 3, EPT_2M, true},
	    {EPT_R | BIT(6), EPT_1G, true},
	    {EPT_R | BIT(7), EPT_TOP, true},
	    {EPT_R, EPT_TOP, false},
	    {EPT_RWX | BIT(8), EPT_TOP, false},
	    /* Addresses: above MAXPHYADDR, below the size of the page. */
	    {EPT_R | BIT(39), EPT_4K, false},
	    {EPT_R | BIT(40), EPT_4K, true},
	    {EPT_R | BIT(51), EPT_TOP, true},
	    {EPT_R | BIT(52), EPT_TOP, false},
	    {EPT_R | BIT(7) | BIT(12), EPT_2M, true},
	    {EPT_R | BIT(7) | BIT(20), EPT_2M, true},
	    {EPT_R | BIT(7) | BIT(21), EPT_2M, false},
	    {EPT_R | BIT(7) | BIT(29), EPT_1G, true},
	    {EPT_R | BIT(7) | BIT(30), EPT_1G, false},
	    {EPT_R | BIT(12), EPT_2M, false},
	    /* Ignored bits. */
	    {EPT_R | BIT(7) | BITS(11, 8) | BITS(63, 52), EPT_4K, false},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		ept_entry_t entry = {cases[i].raw};

		if (ept_entry_misconfigured(entry, cases[i].level, &format) !=
		    cases[i].bad)
			fail_msg("case %u: %lx", i, cases[i].raw);
	}
}

static void what_the_cpu_lacks_is_a_misconfiguration(void **state)
{
	struct ept_format poor = {.largest_leaf = EPT_4K, .physical_bits = 36};
	ept_entry_t execute_only = {EPT_X};
	ept_entry_t large = {EPT_R | EPT_LARGE};

	(void)state;
	assert_true(ept_entry_misconfigured(execute_only, EPT_4K, &poor));
	assert_true(ept_entry_misconfigured(large, EPT_2M, &poor));
	poor.largest_leaf = EPT_2M;
	assert_false(ept_entry_misconfigured(large, EPT_2M, &poor));
	assert_true(ept_entry_misconfigured(large, EPT_1G, &poor));
}

/* --- Splitting and merging ----------------------------------------------- */

static void a_split_says_the_same_in_small(void **state)
{
	(void)state;
	begin();
	map(PAGE_1G, 4 * GIB, PAGE_1G, &rom);
	assert_int_equal(ept_split(&ept, gpa(PAGE_1G + PAGE_2M), PAGE_4K), OK);
	assert_int_equal(ept.leaf_count[EPT_1G], 0);
	assert_int_equal(ept.leaf_count[EPT_2M], 511);
	assert_int_equal(ept.leaf_count[EPT_4K], 512);
	assert_int_equal(level_at(PAGE_1G), EPT_2M);
	for (u64 at = 0; at < PAGE_1G; at += PAGE_4K * 7) {
		enum ept_level level;
		u64 leaf = leaf_at(PAGE_1G + at, &level);

		assert_int_equal((leaf & EPT_ADDRESS) +
				     at % ept_level_bytes(level),
				 4 * GIB + at);
		assert_int_equal(leaf & ~(EPT_ADDRESS | EPT_LARGE),
				 EPT_R | EPT_X | 6 << 3 | EPT_A | EPT_D);
		assert_int_equal(!!(leaf & EPT_LARGE), level == EPT_2M);
	}
}

static void a_split_keeps_a_clear_d(void **state)
{
	struct dirty_log log;

	(void)state;
	begin();
	assert_int_equal(dirty_log_create(&log, gpa(4 * MIB), "test"), OK);
	dirty_log_cover(&log, gpa(0), 4 * MIB);
	map(0, 0, PAGE_2M, &ram);
	assert_int_equal(ept_harvest_d(&ept, gpa(0), PAGE_2M, &log),
			 FLUSH_OWED);
	assert_int_equal(dirty_log_count(&log), 512);
	assert_int_equal(ept_harvest_d(&ept, gpa(0), PAGE_2M, &log),
			 FLUSH_NONE);
	assert_int_equal(ept_split(&ept, gpa(0), PAGE_2M), OK);
	assert_int_equal(bits_at(PAGE_4K) & (EPT_A | EPT_D), EPT_A);
}

static void merging_gives_large_pages_and_memory_back(void **state)
{
	enum flush flush;
	gpa_t stopped;
	u64 before;

	(void)state;
	begin();
	map(0, 0, 2 * PAGE_1G, &ram);
	before = free_bytes();
	assert_int_equal(ept_split(&ept, gpa(0), 2 * PAGE_1G), OK);
	assert_int_equal(ept.leaf_count[EPT_4K], 512 * 1024);
	stopped = ept_merge(&ept, gpa(0), 2 * PAGE_1G, &flush);
	assert_int_equal(flush, FLUSH_OWED);
	assert_true(gpa_raw(stopped) < 2 * PAGE_1G);
	/* Not a single table is reused before the caller has flushed. */
	assert_true(free_bytes() < before);
	while (gpa_raw(stopped) < 2 * PAGE_1G) {
		ept_free_retired(&ept);
		stopped = ept_merge(&ept, stopped,
				    2 * PAGE_1G - gpa_raw(stopped), &flush);
	}
	ept_free_retired(&ept);
	assert_int_equal(free_bytes(), before);
	assert_int_equal(ept.leaf_count[EPT_1G], 2);
	assert_int_equal(ept.leaf_count[EPT_2M] + ept.leaf_count[EPT_4K], 0);
	assert_int_equal(ept.table_count, 2);
}

static void retired_tables_keep_their_contents(void **state)
{
	const ept_entry_t *table;
	enum flush flush;

	(void)state;
	begin();
	map(0, 0, PAGE_2M, &ram);
	assert_int_equal(ept_split(&ept, gpa(0), PAGE_2M), OK);
	ept_merge(&ept, gpa(0), PAGE_2M, &flush);
	assert_int_equal(ept.retired_count, 1);
	table = phys_ptr(hpa(ept.retired[0]));
	for (u64 i = 0; i < EPT_ENTRIES; i++)
		assert_int_equal(table[i].raw & (EPT_ADDRESS | EPT_RWX),
				 i * PAGE_4K | EPT_RWX);
}

static void what_differs_is_not_merged(void **state)
{
	enum flush flush;

	(void)state;
	begin();
	/* Another frame order, a hole, a watched page, rights. */
	map(0, PAGE_4K, PAGE_2M, &ram);
	map(PAGE_2M, PAGE_2M, PAGE_2M - PAGE_4K, &ram);
	map(2 * PAGE_2M, 2 * PAGE_2M, 2 * PAGE_2M, &ram);
	assert_int_equal(
	    ept_watch(&ept, gpa(2 * PAGE_2M + 5 * PAGE_4K), &flush), OK);
	assert_int_equal(
	    ept_protect(&ept, gpa(3 * PAGE_2M), PAGE_4K, EPT_R | EPT_X, &flush),
	    OK);
	ept_merge(&ept, gpa(0), PAGE_1G, &flush);
	assert_int_equal(flush, FLUSH_NONE);
	for (u64 at = 0; at < 4 * PAGE_2M; at += PAGE_2M)
		assert_int_equal(level_at(at), EPT_4K);
	assert_int_equal(bits_at(2 * PAGE_2M + 5 * PAGE_4K) & EPT_W, 0);
	assert_int_equal(bits_at(3 * PAGE_2M) & EPT_W, 0);
}

static void wholly_watched_tables_stay_small(void **state)
{
	enum flush flush;

	(void)state;
	begin();
	map(0, 0, PAGE_2M, &ram);
	for (u64 at = 0; at < PAGE_2M; at += PAGE_4K)
		assert_int_equal(ept_watch(&ept, gpa(at), &flush), OK);
	ept_merge(&ept, gpa(0), PAGE_2M, &flush);
	assert_int_equal(level_at(0), EPT_4K);
}

static void page_that_is_kept_small_stays_so(void **state)
{
	enum flush flush;

	(void)state;
	begin();
	map(0, 0, 2 * PAGE_2M, &ram);
	assert_int_equal(ept_keep_small(&ept, gpa(0)), OK);
	assert_int_equal(ept_split(&ept, gpa(PAGE_2M), PAGE_2M), OK);
	ept_merge(&ept, gpa(0), 2 * PAGE_2M, &flush);
	assert_int_equal(level_at(0), EPT_4K);
	assert_int_equal(level_at(PAGE_2M), EPT_2M);
	/* Where all are kept, too. */
	for (u64 at = 0; at < PAGE_2M; at += PAGE_4K)
		assert_int_equal(ept_keep_small(&ept, gpa(at)), OK);
	ept_merge(&ept, gpa(0), PAGE_2M, &flush);
	assert_int_equal(level_at(0), EPT_4K);
}

static void read_only_pages_merge_too(void **state)
{
	enum flush flush;

	(void)state;
	begin();
	map(0, 0, PAGE_2M, &rom);
	assert_int_equal(ept_split(&ept, gpa(0), PAGE_2M), OK);
	ept_merge(&ept, gpa(0), PAGE_2M, &flush);
	assert_int_equal(level_at(0), EPT_2M);
	assert_int_equal(bits_at(0) & EPT_RWX, EPT_R | EPT_X);
}

static void set_aside_tables_make_splits_certain(void **state)
{
	struct dirty_word words[] = {{gpa(PAGE_1G + 77 * PAGE_2M), 1}};
	struct dirty_batch batch = {words, 1, 1};
	hpa_t frame;

	(void)state;
	begin();
	map(0, 0, 4 * PAGE_2M, &ram);
	map(PAGE_1G, PAGE_1G, PAGE_1G, &ram);
	assert_int_equal(ept_reserve_tables(&ept), OK);
	assert_int_equal(ept.spare_count, 4 + 513);
	while (frame_alloc_try(FRAME_4K, &frame) == OK)
		;
	assert_int_equal(ept_rearm(&ept, &batch, EPT_ARM_D), FLUSH_OWED);
	assert_int_equal(level_at(PAGE_1G + 77 * PAGE_2M), EPT_4K);
	assert_int_equal(level_at(PAGE_1G + 78 * PAGE_2M), EPT_2M);
	assert_int_equal(ept_split(&ept, gpa(0), 2 * PAGE_1G), OK);
	assert_int_equal(ept.spare_count, 0);
	assert_int_equal(ept.leaf_count[EPT_2M] + ept.leaf_count[EPT_1G], 0);
}

static void pages_mapped_while_tables_are_set_aside_are_small(void **state)
{
	(void)state;
	begin();
	assert_int_equal(ept_reserve_tables(&ept), OK);
	map(0, 0, PAGE_2M, &ram);
	assert_int_equal(level_at(0), EPT_4K);
	ept_release_tables(&ept);
	map(PAGE_2M, PAGE_2M, PAGE_2M, &ram);
	assert_int_equal(level_at(PAGE_2M), EPT_2M);
}

/* --- Tracking ------------------------------------------------------------ */

#define PAGE(n) ((n)*PAGE_4K)

/* 2M of RAM in small pages, and one batch that names pages 64, 65 and 127. */
static struct dirty_word named_words[] = {
    {{PAGE(64)}, BIT(0) | BIT(1) | BIT(63)}};
static const struct dirty_batch named = {named_words, 1, 1};

static bool is_named(u64 page)
{
	return page == 64 || page == 65 || page == 127;
}

static void begin_tracking(void)
{
	begin();
	map(0, 0, PAGE_2M, &ram);
	assert_int_equal(ept_reserve_tables(&ept), OK);
}

static void arming_touches_exactly_the_pages_of_the_batch(void **state)
{
	(void)state;
	begin_tracking();
	assert_int_equal(ept_rearm(&ept, &named, EPT_ARM_D), FLUSH_OWED);
	for (u64 page = 0; page < 512; page++) {
		u64 leaf = bits_at(PAGE(page));

		assert_int_equal(!(leaf & EPT_D), is_named(page));
		assert_true(leaf & EPT_W);
	}
	assert_int_equal(ept_rearm(&ept, &named, EPT_ARM_D), FLUSH_NONE);

	begin_tracking();
	assert_int_equal(ept_rearm(&ept, &named, EPT_ARM_W), FLUSH_OWED);
	for (u64 page = 0; page < 512; page++) {
		u64 leaf = bits_at(PAGE(page));

		assert_int_equal(!(leaf & EPT_W), is_named(page));
		assert_true((leaf & EPT_D) && (leaf & EPT_MAY_WRITE));
	}
	assert_int_equal(ept_rearm(&ept, &named, EPT_ARM_W), FLUSH_NONE);
}

static void arming_a_hole_is_harmless(void **state)
{
	struct dirty_word words[] = {{gpa(PAGE_1G), ~0ULL},
				     {gpa(PAGE_4K * 64), ~0ULL}};
	struct dirty_batch batch = {words, 2, 2};

	(void)state;
	begin();
	map(PAGE(70), 0, PAGE_4K, &ram);
	assert_int_equal(ept_rearm(&ept, &batch, EPT_ARM_W), FLUSH_OWED);
	assert_int_equal(ept.leaf_count[EPT_4K], 1);
	assert_int_equal(bits_at(PAGE(70)) & EPT_W, 0);
}

static void a_fault_is_fixed_once(void **state)
{
	(void)state;
	begin_tracking();
	ept_rearm(&ept, &named, EPT_ARM_W);
	assert_int_equal(ept_fix_write(&ept, gpa(PAGE(64) + 8)), EPT_FIXED);
	assert_int_equal(ept_fix_write(&ept, gpa(PAGE(64) + 8)), EPT_FIX_STALE);
	assert_int_equal(bits_at(PAGE(64)) & (EPT_W | EPT_D), EPT_W | EPT_D);
	assert_int_equal(bits_at(PAGE(65)) & EPT_W, 0);
}

static void what_needs_somebody_else_takes_the_slow_path(void **state)
{
	enum flush flush;

	(void)state;
	begin();
	map(0, 0, PAGE_2M, &ram);
	map(PAGE_2M, PAGE_2M, PAGE_4K, &rom);
	map(2 * PAGE_2M, 2 * PAGE_2M, PAGE_2M, &rom);
	map(3 * PAGE_2M, 3 * PAGE_2M, PAGE_4K, &ram);
	assert_int_equal(ept_fix_write(&ept, gpa(PAGE_1G)), EPT_FIX_SLOW);
	assert_int_equal(ept_fix_write(&ept, gpa(~0ULL)), EPT_FIX_SLOW);
	assert_int_equal(ept_fix_write(&ept, gpa(PAGE_2M)), EPT_FIX_SLOW);
	assert_int_equal(ept_fix_write(&ept, gpa(2 * PAGE_2M)), EPT_FIX_SLOW);
	assert_int_equal(ept_fix_write(&ept, gpa(0)), EPT_FIX_STALE);
	assert_int_equal(ept_watch(&ept, gpa(3 * PAGE_2M), &flush), OK);
	assert_int_equal(ept_fix_write(&ept, gpa(3 * PAGE_2M)), EPT_FIX_SLOW);
	assert_int_equal(bits_at(3 * PAGE_2M) & EPT_W, 0);
}

static void a_large_leaf_is_never_fixed(void **state)
{
	ept_entry_t *slot;
	ept_entry_t *top, *middle;

	(void)state;
	begin();
	map(0, 0, PAGE_2M, &ram);
	top = phys_ptr(ept.root);
	middle = phys_ptr(ept_entry_address(top[0]));
	slot = phys_ptr(ept_entry_address(middle[0]));
	slot->raw &= ~EPT_W;
	assert_int_equal(ept_fix_write(&ept, gpa(PAGE_4K)), EPT_FIX_SLOW);
	assert_int_equal(slot->raw & EPT_W, 0);
}

static void watching_owes_a_flush_even_when_w_is_clear(void **state)
{
	enum flush flush = FLUSH_NONE;

	(void)state;
	begin_tracking();
	ept_rearm(&ept, &named, EPT_ARM_W);
	/* W=0 already, but its flush may be deferred: MAY_WRITE tells. */
	assert_int_equal(ept_watch(&ept, gpa(PAGE(64)), &flush), OK);
	assert_int_equal(flush, FLUSH_OWED);
	assert_int_equal(ept_watch(&ept, gpa(PAGE(64)), &flush), OK);
	assert_int_equal(flush, FLUSH_NONE);
	assert_int_equal(ept_watch(&ept, gpa(PAGE_1G), &flush), ERR_NOT_FOUND);
	assert_int_equal(ept_watch(&ept, gpa(~0ULL), &flush), ERR_NOT_FOUND);
}

static void an_unwatched_page_faults_once_more(void **state)
{
	enum flush flush;

	(void)state;
	begin_tracking();
	assert_int_equal(ept_watch(&ept, gpa(PAGE(9)), &flush), OK);
	ept_unwatch(&ept, gpa(PAGE(9)));
	assert_int_equal(bits_at(PAGE(9)) & EPT_W, 0);
	assert_int_equal(ept_fix_write(&ept, gpa(PAGE(9))), EPT_FIXED);
	/* A page that is not RAM gains nothing. */
	assert_int_equal(
	    ept_protect(&ept, gpa(PAGE(10)), PAGE_4K, EPT_R, &flush), OK);
	ept_unwatch(&ept, gpa(PAGE(10)));
	assert_int_equal(ept_fix_write(&ept, gpa(PAGE(10))), EPT_FIX_SLOW);
}

static void leaving_pml_turns_d_into_w(void **state)
{
	(void)state;
	begin_tracking();
	ept_rearm(&ept, &named, EPT_ARM_D);
	assert_int_equal(ept_rearm_by_w(&ept, gpa(0), PAGE_1G), FLUSH_OWED);
	for (u64 page = 0; page < 512; page++) {
		u64 leaf = bits_at(PAGE(page));

		assert_int_equal(!(leaf & EPT_W), is_named(page));
		assert_true(leaf & EPT_D);
	}
	assert_int_equal(ept_rearm_by_w(&ept, gpa(0), PAGE_1G), FLUSH_NONE);
}

static void d_bits_are_harvested(void **state)
{
	struct dirty_log log;

	(void)state;
	begin_tracking();
	assert_int_equal(dirty_log_create(&log, gpa(4 * MIB), "test"), OK);
	dirty_log_cover(&log, gpa(0), 4 * MIB);
	assert_int_equal(ept_split(&ept, gpa(0), PAGE_2M), OK);
	assert_int_equal(ept_harvest_d(&ept, gpa(0), PAGE(10), &log),
			 FLUSH_OWED);
	assert_int_equal(dirty_log_count(&log), 10);
	assert_int_equal(bits_at(PAGE(9)) & EPT_D, 0);
	assert_int_equal(bits_at(PAGE(10)) & EPT_D, EPT_D);
	assert_int_equal(ept_harvest_d(&ept, gpa(0), PAGE(11), &log),
			 FLUSH_OWED);
	assert_int_equal(dirty_log_count(&log), 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_use_agrees_with_the_model),
	    cmocka_unit_test(the_largest_pages_that_fit_are_used),
	    cmocka_unit_test(page_sizes_that_the_cpu_lacks_are_not_used),
	    cmocka_unit_test(frames_out_of_step_get_small_pages),
	    cmocka_unit_test(bad_ranges_are_refused),
	    cmocka_unit_test(no_memory_leaves_everything_as_it_was),
	    cmocka_unit_test(guest_memory_is_mapped_as_its_slots_say),
	    cmocka_unit_test(the_pointer_says_what_the_tables_are),
	    cmocka_unit_test(
		reserved_bits_and_types_are_judged_as_the_manual_does),
	    cmocka_unit_test(what_the_cpu_lacks_is_a_misconfiguration),
	    cmocka_unit_test(a_split_says_the_same_in_small),
	    cmocka_unit_test(a_split_keeps_a_clear_d),
	    cmocka_unit_test(merging_gives_large_pages_and_memory_back),
	    cmocka_unit_test(retired_tables_keep_their_contents),
	    cmocka_unit_test(what_differs_is_not_merged),
	    cmocka_unit_test(wholly_watched_tables_stay_small),
	    cmocka_unit_test(page_that_is_kept_small_stays_so),
	    cmocka_unit_test(read_only_pages_merge_too),
	    cmocka_unit_test(set_aside_tables_make_splits_certain),
	    cmocka_unit_test(pages_mapped_while_tables_are_set_aside_are_small),
	    cmocka_unit_test(arming_touches_exactly_the_pages_of_the_batch),
	    cmocka_unit_test(arming_a_hole_is_harmless),
	    cmocka_unit_test(a_fault_is_fixed_once),
	    cmocka_unit_test(what_needs_somebody_else_takes_the_slow_path),
	    cmocka_unit_test(a_large_leaf_is_never_fixed),
	    cmocka_unit_test(watching_owes_a_flush_even_when_w_is_clear),
	    cmocka_unit_test(an_unwatched_page_faults_once_more),
	    cmocka_unit_test(leaving_pml_turns_d_into_w),
	    cmocka_unit_test(d_bits_are_harvested),
	};

	return cmocka_run_group_tests_name("ept", tests, NULL, NULL);
}
