/* SPDX-License-Identifier: MIT */
/*
 * A guest that checks its own dirty log. It asks Umbra for harvests at moments
 * of its choice (lib/bench.h) and compares what they took with what it has
 * written. Each of these words of its command line is a case; without one all
 * run that the number of CPUs allows.
 *
 *	exact	  every way to write one CPU has, and Umbra's own writes for it:
 *		  exactly the pages that were written are in the log. A line
 *		  for each harvest, the same whichever way Umbra logs:
 *			LOG n: N pages, sum 0x..
 *	delivery  an event whose frame goes to a page that is not dirty: the
 *		  log is full, or the page protected, in its delivery
 *	iret	  the same at the IRET of an NMI's handler
 *	oracle	  other CPUs write, this one harvests at any time: a page that
 *		  was not taken holds what it held when it was; one that was
 *		  taken has changed, or was taken the time before, too
 *	reach	  another CPU writes without ever leaving the guest
 *	split	  large pages go and come back while another CPU works
 *
 *	by=pml|wp|mixed  how Umbra logs; mixed: it changes all the time
 *	seed=N           what is written where, and when
 *	cpus=N           how many CPUs take part
 */
#include "guests/lib/guest.h"

#define PAGE          4096ul
#define PAGES         1024 /* that are watched */
#define GROUPS        (PAGES / 64)
#define LOG_ENTRIES   512 /* of the CPU's page-modification log */
#define POST_PORT     0x80
#define IOAPIC        0xfec00000ul
#define VECTOR_PLAIN  0x50
#define VECTOR_SPIN   0x51

#define ALIAS         (512 * GIB) /* the same memory through other tables */
#define ENTRY_TABLE   3ull        /* present, writable */
#define ENTRY_2M      0x83ull
#define NOT_MAPPED    (64 * GIB)

#define EXACT_ROUNDS  8
#define ORACLE_ROUNDS 25
#define REACH_ROUNDS  30

/* tracked64.asm */
u64 raise_ud(u64 page, u64 pages);
u64 raise_pf(u64 page, u64 pages);
u64 raise_gp(u64 page, u64 pages);
u64 raise_bp(u64 page, u64 pages);
u64 raise_software(u64 page, u64 pages);
u64 raise_interrupt(u64 page, u64 pages);
u64 raise_nmi(u64 page, u64 pages);
void nmi_round(void);
void nmi_entry(void);
extern const u8 nmi_round_end[];
extern u64 nmi_base;
extern volatile u64 nmi_second_rip;
extern u32 nmi_apic_id, nmi_bench_leaf, nmi_counters, nmi_harvest, nmi_pages;
extern volatile u32 nmi_count;

static u64 base; /* of the watched pages */
static u64 memory_end;
static u64 random_state;
static bool by_pml, mixed;

static u64 alias_pdpt[512] ALIGNED(4096), alias_directory[512] ALIGNED(4096);

static u64 draw(u64 below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static volatile u8 *page_at(u64 page)
{
	return (volatile u8 *)(base + page * PAGE);
}

static u64 step(enum bench_subleaf what)
{
	struct bench_cost cost;

	return bench_step(what, &cost);
}

static u64 step_ticks(enum bench_subleaf what)
{
	struct bench_cost cost;

	bench_step(what, &cost);
	return cost.ticks;
}

static void log_on(void)
{
	step(by_pml ? BENCH_LOG_BY_PML : BENCH_LOG_BY_WP);
	step(BENCH_HARVEST);
}

static void log_off(void)
{
	step(BENCH_STOP_LOGGING);
	step(BENCH_MERGE);
}

/* The first GiB once more at ALIAS, by tables that nothing else uses. */
static void map_alias(void)
{
	u64 *pml4 = (u64 *)read_cr3();

	for (u64 i = 0; i < 512; i++)
		alias_directory[i] = i * 2 * MIB | ENTRY_2M;
	alias_pdpt[0] = (u64)alias_directory | ENTRY_TABLE;
	pml4[ALIAS >> 39 & 511] = (u64)alias_pdpt | ENTRY_TABLE;
}

/* --- exact ---------------------------------------------------------------- */

static u64 expected[GROUPS];

static void expect_page(u64 page)
{
	expected[page / 64] |= BIT(page % 64);
}

static void push_into(volatile u8 *end)
{
	__asm__ volatile("xchg %0, %%rsp\n\t"
			 "push %0\n\t"
			 "lea 8(%%rsp), %%rsp\n\t"
			 "xchg %0, %%rsp"
			 : "+r"(end)
			 :
			 : "memory");
}

static void strings_into(volatile u8 *to, u64 count)
{
	const u8 *from = (const u8 *)(base + PAGES * PAGE);

	__asm__ volatile("rep movsb"
			 : "+D"(to), "+S"(from), "+c"(count)
			 :
			 : "memory");
}

/* Umbra carries these two out, and writes the memory itself. */
static void ports_into(volatile u8 *to, u64 count)
{
	__asm__ volatile("rep insb"
			 : "+D"(to), "+c"(count)
			 : "d"(POST_PORT)
			 : "memory");
}

static void device_into(volatile u8 *to)
{
	const u8 *from = (const u8 *)IOAPIC;

	__asm__ volatile("movsl" : "+D"(to), "+S"(from) : : "memory");
}

enum way {
	STORE,
	STORE_ACROSS,
	LOCKED,
	PUSH,
	STRING,
	PORT_STRING,
	DEVICE_STRING,
	READ_ONLY,
	WAYS,
};

static void write_somehow(u64 page)
{
	u64 offset = draw(PAGE - 64);
	volatile u8 *at = page_at(page) + offset;
	enum way way = (enum way)draw(WAYS);

	if (way != READ_ONLY)
		expect_page(page);
	switch (way) {
	case STORE:
		*at = 1;
		break;
	case STORE_ACROSS:
		if (page + 1 == PAGES)
			return;
		*(volatile u64 *)(page_at(page + 1) - 4) = 2;
		expect_page(page + 1);
		break;
	case LOCKED:
		__atomic_fetch_add((volatile u64 *)((u64)at & ~7ul), 1,
				   __ATOMIC_SEQ_CST);
		break;
	case PUSH:
		push_into((volatile u8 *)((u64)(at + 8) & ~7ul));
		break;
	case STRING:
		strings_into(at, 1 + draw(60));
		break;
	case PORT_STRING:
		ports_into(at, 1 + draw(60));
		break;
	case DEVICE_STRING:
		device_into(at);
		break;
	case READ_ONLY:
	case WAYS:
		(void)*at;
		break;
	}
}

/* One line of the log, and whether the watched pages are as they should. */
static void compare_log(u64 round)
{
	u64 pages = 0, sum = 0;

	for (u64 address = 0; address < memory_end; address += PAGE) {
		bool taken = bench_has_taken(address);

		if (taken) {
			pages++;
			sum = (sum ^ address / PAGE) * 0x100000001b3ull;
		}
		if (address < base || address >= base + PAGES * PAGE)
			continue;

		u64 page = (address - base) / PAGE;
		bool written = expected[page / 64] & BIT(page % 64);

		check(taken == written, "exact", "round %lu, page %lu: %s",
		      round, page,
		      written ? "written, but not logged"
			      : "logged, but not written");
	}
	print("LOG %lu: %lu pages, sum %#lx\n", round, pages, sum);
}

static void exact(void)
{
	log_on();
	for (u64 round = 0; round < EXACT_ROUNDS; round++) {
		bool walk = round % 2;

		memset(expected, 0, sizeof(expected));
		for (u64 count = draw(600); count; count--)
			write_somehow(draw(PAGES));
		if (walk)
			(void)*(volatile u8 *)(ALIAS + base);
		step(BENCH_HARVEST);
		compare_log(round);
		check(bench_has_taken((u64)alias_directory) == walk,
		      "walks_are_writes", "round %lu: the CPU has %s", round,
		      walk ? "walked tables that are not in the log"
			   : "not walked tables that are in the log");
	}
	log_off();
}

/* --- delivery ------------------------------------------------------------- */

static volatile struct {
	u64 vector, error, rip, rsp, cr2, count;
} came;

static void on_event(struct trap_frame *frame)
{
	came.vector = frame->vector;
	came.error = frame->error;
	came.rip = frame->rip;
	came.rsp = frame->rsp;
	came.cr2 = read_cr2();
	came.count++;
	if (frame->vector == VECTOR_IPI)
		apic_end_of_interrupt();
	/* Faults are left behind: all that are raised here have two bytes. */
	if (frame->vector == VECTOR_UD || frame->vector == VECTOR_PF ||
	    frame->vector == VECTOR_GP)
		frame->rip += 2;
}

/* Emulators exit for a full log at any walk of EPT: one whose instruction
 * walks page tables exits before it is found. */
enum walk {
	WALKS_NOTHING,
	WALKS_TABLES,
};

static const struct event {
	const char *name;
	u64 (*raise)(u64 page, u64 pages);
	u32 vector;
	enum walk walk; /* before it is raised */
	u64 error;
	u64 cr2;
} events[] = {
    {"exception", raise_ud, VECTOR_UD, WALKS_NOTHING, 0, 0},
    {"page_fault", raise_pf, VECTOR_PF, WALKS_TABLES, 2, NOT_MAPPED + 0x123},
    {"protection_fault", raise_gp, VECTOR_GP, WALKS_NOTHING, 0x7f8, 0},
    {"breakpoint", raise_bp, VECTOR_BP, WALKS_NOTHING, 0, 0},
    {"software_interrupt", raise_software, VECTOR_PLAIN, WALKS_NOTHING, 0, 0},
    {"interrupt", raise_interrupt, VECTOR_IPI, WALKS_NOTHING, 0, 0},
    {"nmi", raise_nmi, VECTOR_NMI, WALKS_NOTHING, 0, 0},
};

/* Once, with so many pages written before; was its delivery cut short? */
static bool deliver(const struct event *event, u64 pages)
{
	u64 top = base + (LOG_ENTRIES + 4) * PAGE;
	struct bench_events before, after;
	u64 rip;

	came.count = 0;
	step(BENCH_HARVEST);
	trap_move_fault_stack(top);
	before = bench_events();
	rip = event->raise(base, pages);
	after = bench_events();
	check(came.count == 1 && came.vector == event->vector &&
		  came.error == event->error && (!rip || came.rip == rip) &&
		  (!event->cr2 || came.cr2 == event->cr2),
	      event->name,
	      "behind %lu pages: came %lu times, vector %lu, error %#lx, at "
	      "%#lx instead of %#lx, CR2 %#lx",
	      pages, came.count, came.vector, came.error, came.rip, rip,
	      came.cr2);
	return after.cut_short != before.cut_short &&
	       (!by_pml || after.full_logs != before.full_logs);
}

static void delivery(void)
{
	nmi_apic_id = apic_id();
	log_on();
	for (u32 i = 0; i < ARRAY_COUNT(events); i++) {
		u64 least = by_pml ? LOG_ENTRIES - 40 : 1;
		u64 most = by_pml ? LOG_ENTRIES : 1;
		u32 cut_short = 0;

		trap_handle(events[i].vector, on_event);
		trap_use_fault_stack(events[i].vector);
		for (u64 pages = least; pages <= most; pages++)
			cut_short += deliver(&events[i], pages);
		check(cut_short || (by_pml && events[i].walk == WALKS_TABLES),
		      events[i].name, "its delivery was never cut short");
		print("DELIVERY %s cut short %u times\n", events[i].name,
		      cut_short);
	}
	log_off();
}

/* --- iret ----------------------------------------------------------------- */

static void iret(void)
{
	u64 least = by_pml ? LOG_ENTRIES - 40 : 1;
	u64 most = by_pml ? LOG_ENTRIES : 1;

	log_on();
	nmi_apic_id = apic_id();
	nmi_bench_leaf = BENCH_LEAF;
	nmi_counters = BENCH_COUNTERS;
	nmi_harvest = BENCH_HARVEST;
	nmi_base = base;
	trap_move_fault_stack(ALIAS + base + (LOG_ENTRIES + 4) * PAGE);
	trap_enter_at(VECTOR_NMI, nmi_entry);
	for (u64 pages = least; pages <= most; pages++) {
		nmi_pages = (u32)pages;
		nmi_second_rip = 0;
		nmi_round();
		check(nmi_count == 2, "both_nmis_come", "%u came", nmi_count);
		check(nmi_second_rip >= (u64)nmi_round &&
			  nmi_second_rip < (u64)nmi_round_end,
		      "nmi_waits_for_iret",
		      "behind %lu pages the second came at %#lx, in the "
		      "handler of the first",
		      pages, nmi_second_rip);
	}
	log_off();
}

/* --- Other CPUs ----------------------------------------------------------- */

static volatile enum work {
	WORK_NOTHING,
	WORK_RANDOM,  /* pages of its own ring, now and then */
	WORK_IN_TURN, /* one page after the other, counted in `progress` */
	WORK_COUNT,
} work;
static volatile u64 progress;
static u32 ring_count; /* of the watched pages: one for each writer */

/* The first word of a watched page counts its writes. */
static volatile u64 *counter_of(u64 page)
{
	return (volatile u64 *)page_at(page);
}

static u64 next_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* A page of the part that belongs to one writer. */
static u64 page_of_ring(u32 ring, u64 random)
{
	u64 each = PAGES / ring_count;

	return ring * each + random % each;
}

static void write_at_random(u32 ring, u64 *state)
{
	u64 random = next_random(state);

	++*counter_of(page_of_ring(ring, random >> 16));
	for (u64 i = random % 1500; i; i--)
		__asm__ volatile("");
}

/* Slowly, and without anything that a hypervisor could exit for. */
static void write_in_turn(void)
{
	++*counter_of(progress % PAGES);
	progress = progress + 1;
	for (u32 i = 100; i; i--)
		__asm__ volatile("");
}

static void work_of_other(u32 index)
{
	u64 state = index * 0x9e3779b97f4a7c15ull + random_state;

	/* So that it can be called out of the guest in emulators, too. */
	interrupts_on();
	for (;;) {
		switch (work) {
		case WORK_NOTHING:
			cpu_pause();
			break;
		case WORK_RANDOM:
			write_at_random(index - 1, &state);
			break;
		case WORK_IN_TURN:
			if (index == 1)
				write_in_turn();
			break;
		case WORK_COUNT:
			if (index == 1)
				progress = progress + 1;
			break;
		}
	}
}

/* --- oracle --------------------------------------------------------------- */

static u64 reported[PAGES], before[PAGES];
static bool taken_last[PAGES];
static u32 clean_count, dirty_count, unchanged_count;

static void judge(u64 page, u64 round)
{
	bool taken = bench_has_taken((u64)page_at(page));
	u64 content = *counter_of(page);

	if (!taken) {
		clean_count++;
		check(before[page] == reported[page], "clean_page_is_old",
		      "round %lu, page %lu: not logged, holds %lu, but was "
		      "last logged with %lu",
		      round, page, before[page], reported[page]);
	} else if (content == reported[page]) {
		unchanged_count++;
		check(taken_last[page], "dirty_page_is_new",
		      "round %lu, page %lu: logged again with %lu, without a "
		      "write",
		      round, page, content);
	} else {
		dirty_count++;
	}
	if (taken)
		reported[page] = content;
	taken_last[page] = taken;
}

static void maybe_change_way(u64 round)
{
	if (mixed && round)
		step(round % 2 ? BENCH_TO_WP : BENCH_TO_PML);
}

static void oracle(void)
{
	u64 state = random_state;

	ring_count = smp_expected() > 1 ? smp_expected() - 1 : 1;
	log_on();
	for (u64 page = 0; page < PAGES; page++)
		reported[page] = *counter_of(page);
	work = WORK_RANDOM;
	for (u64 round = 0; round < ORACLE_ROUNDS; round++) {
		for (u64 i = draw(20000); i; i--)
			__asm__ volatile("");
		for (u64 i = draw(40); smp_expected() == 1 && i; i--)
			write_at_random(0, &state);
		maybe_change_way(round);
		for (u64 page = 0; page < PAGES; page++)
			before[page] = *counter_of(page);
		step(BENCH_HARVEST);
		for (u64 page = 0; page < PAGES; page++)
			judge(page, round);
	}
	work = WORK_NOTHING;
	check(clean_count && dirty_count, "oracle_has_seen_both",
	      "%u clean, %u dirty pages", clean_count, dirty_count);
	print("ORACLE %u clean, %u dirty, %u of them unchanged, %u writers\n",
	      clean_count, dirty_count + unchanged_count, unchanged_count,
	      ring_count);
	log_off();
}

/* --- reach ---------------------------------------------------------------- */

/* All that was written before the harvest began is in it. */
static void reach(void)
{
	u64 longest = 0;

	log_on();
	progress = 0;
	work = WORK_IN_TURN;
	for (u64 round = 0; round < REACH_ROUNDS; round++) {
		u64 from = progress, to, ticks;

		for (u64 i = 100 + draw(3000); i; i--)
			__asm__ volatile("");
		to = progress;
		if (to - from > PAGES)
			from = to - PAGES;
		ticks = step_ticks(BENCH_HARVEST);
		longest = ticks > longest ? ticks : longest;
		for (; from < to; from++)
			check(bench_has_taken((u64)page_at(from % PAGES)),
			      "reached", "round %lu: write %lu of %lu", round,
			      from, to);
		/* The next writes begin on pages that are armed. */
		step(BENCH_HARVEST);
	}
	work = WORK_NOTHING;
	/* By itself a vCPU comes out of the guest after a millisecond. */
	check(longest < time_us_to_tsc(200), "reached_at_once",
	      "a harvest took %lu us", time_tsc_to_us(longest));
	print("REACH longest harvest %lu ticks, %lu pages written\n", longest,
	      progress);
	log_off();
}

/* --- split ---------------------------------------------------------------- */

/* A step while the other CPU counts: how far it has come meanwhile. */
static u64 counted_during(enum bench_subleaf what, u64 *ticks)
{
	u64 start = progress;

	*ticks = step_ticks(what);
	return progress - start;
}

static void split(void)
{
	struct bench_leaves large = bench_leaves(), small, again;
	u64 split_ticks, merge_ticks, split_count, merge_count;

	work = WORK_COUNT;
	step(by_pml ? BENCH_LOG_BY_PML : BENCH_LOG_BY_WP);
	split_count = counted_during(BENCH_SPLIT, &split_ticks);
	small = bench_leaves();
	step(BENCH_HARVEST);
	step(BENCH_STOP_LOGGING);
	merge_count = counted_during(BENCH_MERGE, &merge_ticks);
	again = bench_leaves();
	work = WORK_NOTHING;
	check(large.of_2m && !small.of_2m && small.of_4k > large.of_4k, "split",
	      "%u large pages, then %u", large.of_2m, small.of_2m);
	check(memcmp(&large, &again, sizeof(large)) == 0, "merged",
	      "%u leaves of 4K, %u of 2M, %u tables instead of %u, %u, %u",
	      again.of_4k, again.of_2m, again.tables, large.of_4k, large.of_2m,
	      large.tables);
	/* Its loop has less than twenty instructions. */
	check(split_count > split_ticks / 100 &&
		  merge_count > merge_ticks / 100,
	      "goes_on",
	      "in %lu ticks of splitting it counted %lu, in %lu of "
	      "merging %lu",
	      split_ticks, split_count, merge_ticks, merge_count);
	print("SPLIT %u pages of 2M, counted %lu in %lu ticks; merged, counted "
	      "%lu in %lu\n",
	      large.of_2m, split_count, split_ticks, merge_count, merge_ticks);
}

/* -------------------------------------------------------------------------- */

static const struct {
	const char *word;
	void (*run)(void);
	u32 cpus;
} cases[] = {
    {"exact", exact, 1}, {"oracle", oracle, 1},     {"reach", reach, 2},
    {"split", split, 2}, {"delivery", delivery, 1}, {"iret", iret, 1},
};

static bool any_is_named(void)
{
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++)
		if (boot_has_word(cases[i].word))
			return true;
	return false;
}

static bool find_memory(void)
{
	struct boot_range range = boot_free_range();

	base = (range.base + PAGE - 1) & ~(PAGE - 1);
	memory_end = range.base + range.bytes;
	/* One more, from which strings are copied. */
	if (range.bytes < (PAGES + 2) * PAGE)
		return false;
	memset((void *)base, 0, (PAGES + 1) * PAGE);
	return true;
}

u8 guest_main(void)
{
	u32 cpus = smp_expected();

	if (!bench_counts() || !find_memory()) {
		print("tracked: needs an Umbra with bench=on, and 6 MiB\n");
		return EXIT_USAGE;
	}
	random_state = boot_number("seed", 1) * 0x9e3779b97f4a7c15ull + 1;
	by_pml = !boot_has_word("by=wp");
	mixed = boot_has_word("by=mixed");
	map_alias();
	if (cpus > 1)
		check(smp_start(work_of_other, 1000000) == cpus,
		      "all_cpus_answer", "not %u", cpus);
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++)
		if (cases[i].cpus <= cpus &&
		    (boot_has_word(cases[i].word) || !any_is_named()))
			cases[i].run();
	return result_print();
}
