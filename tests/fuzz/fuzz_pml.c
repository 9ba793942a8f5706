/* SPDX-License-Identifier: MIT */
/*
 * What a CPU leaves in its PML page, whatever it is: draining marks only
 * guest memory and touches nothing but the log.
 */
#include "mm/dirty_log.h"
#include "pml/pml.h"
#include "tests/fuzz/fuzz.h"

/* Guest memory has a hole from 300 to 700. */
#define PAGES 1000

static struct dirty_log fuzzed;

static void begin(void)
{
	fuzz_open_window(MIB, MIB + 64 * KIB);
	frame_alloc_init();
	REQUIRE(frame_alloc_add(hpa(MIB), 64 * KIB) == OK);
	REQUIRE(dirty_log_create(&fuzzed, gpa(PAGES * PAGE_4K), "fuzz") == OK);
	dirty_log_cover(&fuzzed, gpa(0), 300 * PAGE_4K);
	dirty_log_cover(&fuzzed, gpa(700 * PAGE_4K), 300 * PAGE_4K);
}

static void check_word(const struct dirty_word *word)
{
	for (u64 bit = 0; bit < DIRTY_WORD_PAGES; bit++) {
		u64 page = gpa_page(word->base) + bit;

		if (word->bits & BIT(bit))
			REQUIRE(page < 300 || (page >= 700 && page < PAGES));
	}
}

/* Two bytes of index, then entries, repeated until they fill the page. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dirty_word words[PAGES / DIRTY_WORD_PAGES + 1];
	struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};
	u64 page[PML_ENTRIES];
	u16 index;

	if (!fuzzed.dirty)
		begin();
	if (size < sizeof(index) + sizeof(page[0]))
		return 0;
	memcpy(&index, data, sizeof(index));
	data += sizeof(index);
	size -= sizeof(index);
	for (size_t at = 0; at < sizeof(page); at += size) {
		size_t rest = sizeof(page) - at;

		memcpy((u8 *)page + at, data, size < rest ? size : rest);
	}
	REQUIRE(pml_drain(page, index, &fuzzed) <= PML_ENTRIES);
	dirty_log_take(&fuzzed, gpa(0), dirty_log_end(&fuzzed), &batch);
	for (u32 i = 0; i < batch.count; i++)
		check_word(&words[i]);
	REQUIRE(dirty_log_count(&fuzzed) == 0);
	return 0;
}
