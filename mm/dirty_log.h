/* SPDX-License-Identifier: MIT */
/*
 * Which pages of a VM were written, by L1 guest-physical page.
 *
 * One log per VM, one bit per page. Two feeders that never see each other
 * (the CPU's page-modification log, and write-protection faults) and Umbra's
 * own writes for the guest set bits; one harvester takes them. This file is
 * where they meet.
 *
 * THE CONTRACT
 *
 * Whenever a vCPU may run, for each page that differs from what was last
 * sent, one of these holds:
 *
 *   marked	its bit is set here, or
 *   logged	it stands in a PML page that has not been drained, or
 *   taken	it is in the batch being sent, not read yet, or
 *   window	a writer has written it (or made its entry writable) and will
 *		set the bit before that writer can be stopped.
 *
 * Every other page is armed: its next write by a vCPU is seen, because its
 * leaf has D=0 (and PML is on) or W=0.
 *
 * Writers:	 (1) write the page, or make its entry writable;
 *		 (2) set the bit. Never the other way round: the harvester could
 *		     take the bit before the write and send the old contents.
 * The harvester:(1) takes and zeroes bits, a word at a time, atomically;
 *		 (2) re-arms exactly the pages of the taken bits;
 *		 (3) flushes the TLBs of every CPU that may run the guest;
 *		 (4) only then reads the contents of the taken pages.
 *
 * What a harvest promises while vCPUs run: every write that happens after it
 * returned is found by a later harvest. A write during it is in this batch's
 * contents or in a later harvest. It promises no more: a write from before
 * may still stand in an undrained PML page or in a writer's window.
 * What it promises when all vCPUs are stopped (each has left its handlers),
 * all PML pages are drained and no device writes: nothing else was written.
 * Only such a harvest is complete, and a migration ends with one.
 *
 * A write through a stale TLB entry, after (1) and before (3), is harmless:
 * its page is in the batch and is read after (3).
 *
 * Marking never stops: it goes on when no migration runs, so that no writer
 * has to ask whether it should, and could be told no one instant too early.
 * A migration begins with dirty_log_mark_all.
 *
 * Concurrency: marks come from any number of CPUs at any time. One harvester
 * at a time takes. Words and summary meet like this (both sides with locked
 * instructions, in this order):
 *
 *	mark: set bit in word;  then set the word's bit in the summary
 *	take: clear in summary; then exchange the word with 0
 *
 * so a summary bit of 0 means that no completed mark lies in its word.
 */
#ifndef MM_DIRTY_LOG_H
#define MM_DIRTY_LOG_H

#include "lib/err.h"
#include "mm/addr.h"
#include "mm/frame_alloc.h"

#define DIRTY_WORD_PAGES  64 /* pages of one word, and of one dirty_word */
#define DIRTY_WORD_BYTES  (DIRTY_WORD_PAGES * PAGE_4K) /* of guest memory */
#define DIRTY_GROUP_WORDS 64 /* words of one summary word */

struct dirty_log {
	u64 *dirty;        /* one bit per page */
	u64 *summary;      /* one bit per word of `dirty` that may be nonzero */
	u64 *known;        /* one bit per page that is guest memory */
	u64 word_count;    /* of `dirty`: from address 0, holes included */
	u64 foreign_count; /* marks of what is not guest memory; ignored */
	hpa_t storage;
	enum frame_order storage_order;
};

/* Up to 64 pages that a harvest took: bit n is the page at base + n * 4K. */
struct dirty_word {
	gpa_t base;
	u64 bits;
};

/* What one harvest took; `words` belongs to the harvester. */
struct dirty_batch {
	struct dirty_word *words;
	u32 capacity; /* of `words` */
	u32 count;
};

/* For addresses below `limit`; knows no page yet. ERR_RANGE: absurd limit. */
MUST_CHECK enum err dirty_log_create(struct dirty_log *log, gpa_t limit,
				     const char *who);
void dirty_log_destroy(struct dirty_log *log);

/* These pages are guest memory. Before any vCPU runs. */
void dirty_log_cover(struct dirty_log *log, gpa_t base, u64 bytes);

/* Some of these pages are no guest memory: those are counted, not marked. */
COLD void dirty_log_mark_foreign(struct dirty_log *log, gpa_t base, u64 bits);

/* As dirty_log_mark_word, of pages that are known to be guest memory. */
static inline void dirty_log_mark_known(struct dirty_log *log, u64 word,
					u64 bits)
{
	u64 *summary = &log->summary[word / DIRTY_GROUP_WORDS];
	u64 summary_bit = BIT(word % DIRTY_GROUP_WORDS);

	/*
	 * Locked, so that what the writer wrote is visible before the bit. The
	 * summary is read after that: finding its bit set means that a harvest
	 * will take the word later, and with it these bits.
	 */
	__atomic_fetch_or(&log->dirty[word], bits, __ATOMIC_SEQ_CST);
	if (!(__atomic_load_n(summary, __ATOMIC_SEQ_CST) & summary_bit))
		__atomic_fetch_or(summary, summary_bit, __ATOMIC_SEQ_CST);
}

/*
 * The pages in the 64 pages around `base` whose bits are set were written.
 * Pages that are no guest memory are counted and otherwise ignored. Any CPU,
 * any time. When it returns, a harvest that begins finds the pages.
 */
static inline void dirty_log_mark_word(struct dirty_log *log, gpa_t base,
				       u64 bits)
{
	u64 word = gpa_raw(base) / DIRTY_WORD_BYTES;

	if (unlikely(word >= log->word_count || (bits & ~log->known[word])))
		dirty_log_mark_foreign(log, base, bits);
	else
		dirty_log_mark_known(log, word, bits);
}

/* The page of `address` was written. */
static inline void dirty_log_mark(struct dirty_log *log, gpa_t address)
{
	dirty_log_mark_word(log, address,
			    BIT(gpa_page(address) % DIRTY_WORD_PAGES));
}

void dirty_log_mark_range(struct dirty_log *log, gpa_t base, u64 bytes);
void dirty_log_mark_all(struct dirty_log *log);

/*
 * Takes and zeroes the bits of [from, to), both 64-page aligned, in ascending
 * order until the batch is full. Appends to the batch. Returns where it
 * stopped: `to`, or where to go on. Only step (1) of a harvest.
 */
gpa_t dirty_log_take(struct dirty_log *log, gpa_t from, gpa_t to,
		     struct dirty_batch *batch);

/* A harvest that was not sent after all (link lost, migration cancelled). */
void dirty_log_give_back(struct dirty_log *log,
			 const struct dirty_batch *batch);

/* Pages marked at this moment; an estimate while anyone marks. */
u64 dirty_log_count(const struct dirty_log *log);
bool dirty_log_is_marked(const struct dirty_log *log, gpa_t address);

/* One past the last page that the log covers, 64-page aligned. */
gpa_t dirty_log_end(const struct dirty_log *log);

#endif
