/* SPDX-License-Identifier: MIT */
/*
 * What dirty logging costs, page by page: one line each for the benchmarks, as
 * bench_print() writes it (guests/lib/bench.h). The guest writes a byte into
 * each of many pages; Umbra, asked through lib/bench.h, turns logging on,
 * harvests and turns it off. Without Umbra there is only the guest's share.
 *
 *	mb=N         how much memory (default 256)
 *	by=pml|wp    how Umbra logs (default pml)
 *
 * The lines, in the order in which it is done; per page that was
 *	touch_first, touch     written, before any logging
 *	log_on                 in the guest
 *	split                  in the guest: large pages become small ones
 *	harvest_start          in the guest: all are dirty at the start
 *	dirty                  written, for the first time since it was armed
 *	dirty_again            written, when it is dirty already
 *	harvest_all            dirty, and all were
 *	harvest_10, harvest_1  dirty, and one of ten, one of a hundred was
 *	harvest_none           in the guest, and none was
 *	log_off, merge         in the guest
 *	touch_after            written, after logging
 */
#include "guests/lib/guest.h"

#define PAGE 4096

static volatile u8 *base;
static u64 page_count; /* that are written */

/* What the guest itself dirties besides: stack, data, page tables. */
#define OWN_PAGES_MAX 32

/* A byte into each `stride`th page; four instructions for each. */
static NOINLINE u64 write_pages(u64 stride)
{
	static u8 value;
	volatile u8 *end = base + page_count * PAGE;
	u64 count = 0;

	value++;
	for (volatile u8 *at = base; at < end; at += stride * PAGE)
		*at = value;
	count = (page_count + stride - 1) / stride;
	return count;
}

static void measure_writes(const char *name)
{
	struct bench_cost cost;
	u64 count;

	bench_begin(&cost);
	count = write_pages(1);
	bench_end(&cost);
	bench_print(name, &cost, count);
}

/* A step that concerns all of the guest's pages. */
static void measure_step(const char *name, enum bench_subleaf step)
{
	struct bench_cost cost;
	u64 pages = bench_step(step, &cost);

	check(pages >= page_count, name, "%lu pages of %lu", pages, page_count);
	bench_print(name, &cost, pages ? pages : 1);
}

/* A harvest of what the guest has written: so many pages and its own. */
static void measure_harvest(const char *name, u64 written)
{
	struct bench_cost cost;
	u64 pages = bench_step(BENCH_HARVEST, &cost);

	check(pages >= written && pages <= written + OWN_PAGES_MAX, name,
	      "%lu pages, but %lu were written", pages, written);
	bench_print(name, &cost, written ? pages : page_count);
}

static void measure_logging(enum bench_subleaf log_on)
{
	struct bench_cost cost;

	measure_step("log_on", log_on);
	measure_step("split", BENCH_SPLIT);
	measure_step("harvest_start", BENCH_HARVEST);
	measure_writes("dirty");
	measure_writes("dirty_again");
	measure_harvest("harvest_all", page_count);
	measure_harvest("harvest_10", write_pages(10));
	measure_harvest("harvest_1", write_pages(100));
	bench_step(BENCH_HARVEST, &cost);
	measure_harvest("harvest_none", 0);
	measure_step("log_off", BENCH_STOP_LOGGING);
	measure_step("merge", BENCH_MERGE);
	measure_writes("touch_after");
}

u8 guest_main(void)
{
	struct boot_range range = boot_free_range();

	page_count = boot_number("mb", 256) * MIB / PAGE;
	base = (volatile u8 *)range.base;
	if (!page_count || page_count * PAGE > range.bytes) {
		print("pages: mb=%lu does not fit into the %lu KiB that are "
		      "free, or is nothing\n",
		      page_count * PAGE >> 20, range.bytes >> 10);
		return EXIT_USAGE;
	}
	measure_writes("touch_first");
	measure_writes("touch");
	if (bench_counts())
		measure_logging(boot_has_word("by=wp") ? BENCH_LOG_BY_WP
						       : BENCH_LOG_BY_PML);
	check(true, "measured", "-");
	return result_print();
}
