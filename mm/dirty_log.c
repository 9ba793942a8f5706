/* SPDX-License-Identifier: MIT */
/*
 * The dirty log: see mm/dirty_log.h for the contract.
 *
 *	summary	[ 0 0 1 0 ... ]			one bit per word
 *		      |
 *	dirty	[word][word][word] ...		one bit per page, 64 per word
 *	known	[word][word][word] ...		which pages exist
 *
 * What costs, in instructions: an empty harvest twenty per summary word (4096
 * pages); a marked word fifteen, whether one of its pages or all are.
 */
#include "mm/dirty_log.h"
#include "lib/string.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

#define WORD_BYTES  DIRTY_WORD_BYTES
#define GROUP_WORDS DIRTY_GROUP_WORDS

static u64 word_of(gpa_t address)
{
	return gpa_raw(address) / WORD_BYTES;
}

static gpa_t base_of(u64 word)
{
	return gpa(word * WORD_BYTES);
}

enum err dirty_log_create(struct dirty_log *log, gpa_t limit, const char *who)
{
	u64 words = align_up(gpa_raw(limit), WORD_BYTES) / WORD_BYTES;
	u64 groups = align_up(words, GROUP_WORDS) / GROUP_WORDS;
	u64 bytes = (2 * words + groups) * sizeof(u64);
	enum frame_order order = frame_order_for(bytes);
	hpa_t storage;

	if (words == 0 || order >= FRAME_ORDERS)
		return ERR_RANGE;
	if (frame_alloc_zeroed(order, who, &storage) != OK)
		return ERR_NO_MEMORY;
	*log = (struct dirty_log){
	    .dirty = phys_ptr(storage),
	    .known = (u64 *)phys_ptr(storage) + words,
	    .summary = (u64 *)phys_ptr(storage) + 2 * words,
	    .word_count = words,
	    .storage = storage,
	    .storage_order = order,
	};
	return OK;
}

void dirty_log_destroy(struct dirty_log *log)
{
	frame_free(log->storage, log->storage_order);
	*log = (struct dirty_log){0};
}

/*
 * The bits of [base, base + bytes) in the word that `base` lies in; *bytes
 * becomes what is left after that word. Partly covered pages count.
 */
static u64 next_bits(gpa_t base, u64 *bytes)
{
	u64 first = gpa_page(base) % DIRTY_WORD_PAGES;
	u64 in_word = WORD_BYTES - gpa_raw(base) % WORD_BYTES;
	u64 here = *bytes < in_word ? *bytes : in_word;
	u64 last = gpa_page(gpa_add(base, here - 1)) % DIRTY_WORD_PAGES;

	*bytes -= here;
	return BITS(last, first);
}

void dirty_log_cover(struct dirty_log *log, gpa_t base, u64 bytes)
{
	for (; bytes && word_of(base) < log->word_count;
	     base = base_of(word_of(base) + 1))
		log->known[word_of(base)] |= next_bits(base, &bytes);
}

static void count_foreign(struct dirty_log *log, u64 bits)
{
	__atomic_fetch_add(&log->foreign_count, bits_count(bits),
			   __ATOMIC_RELAXED);
}

void dirty_log_mark_foreign(struct dirty_log *log, gpa_t base, u64 bits)
{
	u64 word = word_of(base);
	u64 known = word < log->word_count ? log->known[word] : 0;

	count_foreign(log, bits & ~known);
	if (bits & known)
		dirty_log_mark_word(log, base, bits & known);
}

void dirty_log_mark_range(struct dirty_log *log, gpa_t base, u64 bytes)
{
	for (; bytes && word_of(base) < log->word_count;
	     base = base_of(word_of(base) + 1))
		dirty_log_mark_word(log, base, next_bits(base, &bytes));
	if (bytes)
		count_foreign(log, 1);
}

void dirty_log_mark_all(struct dirty_log *log)
{
	/*
	 * Stores will do: there is no other harvester, and a mark that comes
	 * meanwhile sets nothing that `known` does not have.
	 */
	for (u64 word = 0; word < log->word_count; word++)
		__atomic_store_n(&log->dirty[word], log->known[word],
				 __ATOMIC_RELEASE);
	for (u64 word = 0; word < log->word_count; word += GROUP_WORDS) {
		u64 left = log->word_count - word;
		u64 last = (left < GROUP_WORDS ? left : GROUP_WORDS) - 1;

		__atomic_fetch_or(&log->summary[word / GROUP_WORDS],
				  BITS(last, 0), __ATOMIC_SEQ_CST);
	}
}

/* Up to `count` of the bits that are set, the lowest ones. */
static u64 lowest_bits(u64 bits, u32 count)
{
	u64 rest = bits;

	for (; rest && count; count--)
		rest &= rest - 1;
	return bits & ~rest;
}

/*
 * Takes those words of one group that `mask` names. Returns the bits of the
 * words that did not fit into the batch.
 */
static u64 take_group(struct dirty_log *log, u64 group, u64 mask,
		      struct dirty_batch *batch)
{
	u64 *summary = &log->summary[group];
	u64 *dirty = &log->dirty[group * GROUP_WORDS];
	struct dirty_word *next = batch->words + batch->count;
	u64 found = __atomic_load_n(summary, __ATOMIC_SEQ_CST) & mask;
	u64 taken = found;

	if (!found)
		return 0;
	if (batch->capacity - batch->count < GROUP_WORDS)
		taken = lowest_bits(found, batch->capacity - batch->count);
	/* Before the words: a mark that comes after sets its bit again. */
	__atomic_fetch_and(summary, ~taken, __ATOMIC_SEQ_CST);
	for (u64 left = taken; left; left &= left - 1) {
		u64 word = bits_lowest(left);

		next->base = base_of(group * GROUP_WORDS + word);
		next->bits =
		    __atomic_exchange_n(&dirty[word], 0, __ATOMIC_SEQ_CST);
		/* An empty one is overwritten by the next. */
		next += next->bits != 0;
	}
	batch->count = (u32)(next - batch->words);
	return found & ~taken;
}

gpa_t dirty_log_take(struct dirty_log *log, gpa_t from, gpa_t to,
		     struct dirty_batch *batch)
{
	u64 word = word_of(from);
	u64 end = word_of(to) < log->word_count ? word_of(to) : log->word_count;

	while (word < end) {
		u64 group = word / GROUP_WORDS;
		u64 stop = (group + 1) * GROUP_WORDS;
		u64 last = (stop < end ? stop : end) - 1;
		u64 mask = BITS(last % GROUP_WORDS, word % GROUP_WORDS);
		u64 left = take_group(log, group, mask, batch);

		if (left)
			return base_of(group * GROUP_WORDS + bits_lowest(left));
		word = stop;
	}
	return to;
}

void dirty_log_give_back(struct dirty_log *log, const struct dirty_batch *batch)
{
	for (u32 i = 0; i < batch->count; i++)
		dirty_log_mark_word(log, batch->words[i].base,
				    batch->words[i].bits);
}

u64 dirty_log_count(const struct dirty_log *log)
{
	u64 count = 0;

	for (u64 word = 0; word < log->word_count; word++)
		count += bits_count(
		    __atomic_load_n(&log->dirty[word], __ATOMIC_RELAXED));
	return count;
}

bool dirty_log_is_marked(const struct dirty_log *log, gpa_t address)
{
	u64 word = word_of(address);

	return word < log->word_count &&
	       (__atomic_load_n(&log->dirty[word], __ATOMIC_SEQ_CST) &
		BIT(gpa_page(address) % DIRTY_WORD_PAGES));
}

gpa_t dirty_log_end(const struct dirty_log *log)
{
	return base_of(log->word_count);
}
