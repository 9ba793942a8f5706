/* SPDX-License-Identifier: MIT */
/* The costs of a page on its way: see core/linktest_memory.h. */
#include "core/linktest_memory.h"
#include "arch/x86/cpu/insn.h"
#include "lib/check.h"
#include "lib/crc32c.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/vectors.h"
#include "migrate/link_memory.h"
#include "migrate/pack.h"

#define PAGES      15UL /* a full record */
#define ROUNDS     64UL
#define RING_BYTES (128 * KIB)
#define CHANGES    8UL /* in a page that goes as a delta */
#define ODD_PIECES 64UL
#define ODD_BYTES  333UL /* fewer than are folded */

static u8 contents[PAGES * PAGE_4K] ALIGNED(4096);
static u8 zeroes[PAGES * PAGE_4K] ALIGNED(4096);
static u8 changing[PAGES * PAGE_4K] ALIGNED(4096);
static u8 room[WIRE_RECORD_BYTES], rings[2 * RING_BYTES];
static struct link_memory ends[2];
static struct packer packer, delta_packer;
static struct sent_page sent[PAGES];
static u8 there[PAGE_4K];

enum step {
	STEP_ZERO,
	STEP_COPY,
	STEP_HASH,
	STEP_LINK,
	STEP_PACK,
	STEP_UNPACK,
	STEP_DELTA,
	STEP_APPLY,
	STEP_LEND,
	STEPS
};

static u64 ticks[STEPS], begun;

static void begin(void)
{
	begun = insn_rdtsc();
}

static void end(enum step step)
{
	ticks[step] += insn_rdtsc() - begun;
}

/* Words of text and numbers, about as compressible as a program's memory. */
static void fill(void)
{
	u64 value = 1;

	for (u64 i = 0; i < sizeof(contents); i += sizeof(value)) {
		value = i % 64 ? value * 0x9e3779b97f4a7c15UL : 0x20656874;
		if (i % 24 == 0)
			value &= 0xffff;
		memcpy(contents + i, &value, sizeof(value));
	}
}

static void send_record(struct wire_outbox *outbox)
{
	struct wire_writer writer = wire_begin(outbox);
	struct pages_writer pages = pages_begin(&writer);

	begin();
	for (u32 i = 0; i < PAGES; i++)
		pages_put_raw(&pages, gpa((u64)i * PAGE_4K),
			      contents + i * PAGE_4K);
	pages_end(&pages);
	end(STEP_COPY);
	begin();
	wire_seal(outbox, WIRE_PAGES, &writer);
	end(STEP_HASH);
	begin();
	CHECK(link_send(&ends[0].link, outbox->room, outbox->filled) ==
	      outbox->filled);
	end(STEP_LINK);
	CHECK(link_receive(&ends[1].link, outbox->room, outbox->filled) ==
	      outbox->filled);
	outbox->sent = outbox->filled;
}

/* All that is done for pages that are lent: their heads, and its CRC. */
static void lend_record(struct wire_outbox *outbox)
{
	struct wire_writer writer;
	struct pages_writer pages;

	begin();
	writer = wire_begin(outbox);
	pages = pages_begin(&writer);
	for (u32 i = 0; i < PAGES; i++)
		if (!page_is_zero(contents + i * PAGE_4K))
			pages_lend_raw(&pages, gpa((u64)i * PAGE_4K),
				       contents + i * PAGE_4K);
	pages_end(&pages);
	wire_seal(outbox, WIRE_LIVE, &writer);
	end(STEP_LEND);
	CHECK(wire_next_piece(outbox).bytes ==
	      outbox->filled - PAGES * PAGE_4K);
	wire_outbox_drop(outbox);
}

/*
 * Wide registers are used where there is much: the same in small pieces must
 * come out alike, wherever it begins and ends.
 */
static void check_wide_registers(void)
{
	for (u64 i = 0; i < ODD_PIECES; i++) {
		const u8 *from = contents + 7 * i;
		u64 bytes = sizeof(contents) - 300 * i - 7 * i;
		u32 crc = 0;

		for (u64 at = 0; at < bytes; at += ODD_BYTES)
			crc = crc32c(crc, from + at,
				     bytes - at < ODD_BYTES ? bytes - at
							    : ODD_BYTES);
		CHECK(crc32c(0, from, bytes) == crc);
		vectors_copy(room + i, from, PAGE_4K);
		CHECK(memcmp(room + i, from, PAGE_4K) == 0);
	}
}

/* A word in a row of its own, and some that count up. */
static void change(u8 *page)
{
	u64 value;

	for (u32 i = 0; i < CHANGES; i++) {
		u8 *at = page + 8UL * i * (i + 57);

		memcpy(&value, at, sizeof(value));
		value = i % 4 ? value + 1 : value * 0x9e3779b97f4a7c15UL;
		memcpy(at, &value, sizeof(value));
	}
}

static void pack_round(struct packer *by, u8 *pages, enum step pack,
		       enum step undo)
{
	for (u32 i = 0; i < PAGES; i++) {
		u8 *page = pages + i * PAGE_4K;
		struct packed_page packed;

		memcpy(there, page, PAGE_4K);
		if (pages == changing)
			change(page);
		begin();
		packed = packer_pack(by, gpa((u64)i * PAGE_4K), page);
		end(pack);
		CHECK(packed.kind ==
		      (pages == changing ? PAGE_DELTA : PAGE_LZ4));
		begin();
		CHECK(pack_undo(&packed, there, room));
		end(undo);
		CHECK(memcmp(room, page, PAGE_4K) == 0);
	}
}

/* The same for what has changed, byte by byte. */
static void check_wide_change(void)
{
	u8 *page = room, *changed = room + PAGE_4K;
	u64 which[PAGE_4K / 64], any;

	memcpy(page, contents, PAGE_4K);
	memcpy(there, contents, PAGE_4K);
	change(there);
	if (!vectors_change(page, there, changed, which))
		return;
	CHECK(memcmp(page, there, PAGE_4K) == 0);
	for (u64 i = 0; i < PAGE_4K; i++) {
		CHECK(changed[i] == (contents[i] ^ there[i]));
		CHECK((which[i / 64] >> i % 64 & 1) == (changed[i] != 0));
		zeroes[i] = 1;
		CHECK(vectors_any(zeroes, &any) && any);
		zeroes[i] = 0;
	}
	CHECK(vectors_change(changed, contents, changed, which));
	CHECK(memcmp(changed, there, PAGE_4K) == 0);
}

static void measure_round(struct wire_outbox *outbox)
{
	u32 zero_count = 0;

	begin();
	for (u32 i = 0; i < PAGES; i++)
		zero_count += page_is_zero(zeroes + i * PAGE_4K);
	end(STEP_ZERO);
	CHECK(zero_count == PAGES);
	send_record(outbox);
	lend_record(outbox);
	pack_round(&packer, contents, STEP_PACK, STEP_UNPACK);
	pack_round(&delta_packer, changing, STEP_DELTA, STEP_APPLY);
}

/* Thousandths of a tick for eight bytes. */
static u64 per_word(enum step step)
{
	return ticks[step] * 1000 / (ROUNDS * PAGES * (PAGE_4K / 8));
}

void linktest_memory(void)
{
	struct wire_outbox outbox = {.room = room};

	fill();
	check_wide_registers();
	check_wide_change();
	link_memory_join(&ends[0], &ends[1], rings, (u32)RING_BYTES);
	for (u32 i = 0; i < 2; i++)
		link_connect(&ends[i].link);
	for (u32 i = 0; i < 2; i++)
		link_poll(&ends[i].link, 0);
	packer_init(&packer, WIRE_FEATURE_LZ4, NULL, 0);
	packer_init(&delta_packer, WIRE_FEATURES_PAGES, sent, PAGES);
	memcpy(changing, contents, sizeof(changing));
	for (u32 i = 0; i < PAGES; i++)
		packer_pack(&delta_packer, gpa((u64)i * PAGE_4K),
			    changing + i * PAGE_4K);
	for (u32 i = 0; i < ROUNDS; i++)
		measure_round(&outbox);
	log_info("linktest: ticks per 1000 words: zero %lu copy %lu hash %lu "
		 "link %lu pack %lu unpack %lu delta %lu apply %lu lend %lu",
		 per_word(STEP_ZERO), per_word(STEP_COPY), per_word(STEP_HASH),
		 per_word(STEP_LINK), per_word(STEP_PACK),
		 per_word(STEP_UNPACK), per_word(STEP_DELTA),
		 per_word(STEP_APPLY), per_word(STEP_LEND));
}
