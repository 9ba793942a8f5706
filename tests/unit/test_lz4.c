/* SPDX-License-Identifier: MIT */
/* LZ4 blocks, with the library of the format's authors as the judge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lz4.h>

#include "lib/lz4.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

#define ROOM(count) ((count) + (count) / 255 + 16)

static struct lz4_memory memory;
static u8 plain[LZ4_INPUT_MAX], again[LZ4_INPUT_MAX];

/* Words from a small vocabulary, runs, zeroes, and noise. */
static void fill(struct random *random, u32 count)
{
	u64 noise = random_below(random, 100);
	u32 i = 0;

	while (i < count) {
		u32 run = 1 + (u32)random_below(random, 40);
		u32 back = 1 + (u32)random_below(random, 5000);
		bool fresh = random_below(random, 100) < noise || back > i;

		for (; run && i < count; run--, i++)
			plain[i] =
			    fresh ? (u8)random_next(random) : plain[i - back];
	}
}

/* In buffers of exactly that size, so that ASan sees one byte too far. */
static u32 compress_exactly(u32 count, u8 **packed)
{
	u8 *from = malloc(count ? count : 1);
	u32 room = ROOM(count), bytes;

	memcpy(from, plain, count);
	*packed = malloc(room);
	bytes = lz4_compress(&memory, from, count, *packed, room);
	free(from);
	assert_in_range(bytes, 1, room);
	*packed = realloc(*packed, bytes);
	return bytes;
}

static void both_ways(u64 seed)
{
	struct random random = random_from(seed);
	u32 count = (u32)random_below(&random, seed % 8 ? 5000 : LZ4_INPUT_MAX);
	u8 *packed, *theirs = malloc((size_t)ROOM(count));
	u32 bytes;
	int their_bytes;

	fill(&random, count);
	bytes = compress_exactly(count, &packed);
	assert_int_equal(LZ4_decompress_safe((char *)packed, (char *)again,
					     (int)bytes, (int)sizeof(again)),
			 count);
	assert_memory_equal(again, plain, count);
	memset(again, 1, count);
	assert_true(lz4_decompress(packed, bytes, again, count));
	assert_memory_equal(again, plain, count);
	their_bytes = LZ4_compress_default((char *)plain, (char *)theirs,
					   (int)count, (int)ROOM(count));
	memset(again, 1, count);
	assert_true(lz4_decompress(theirs, (u32)their_bytes, again, count));
	assert_memory_equal(again, plain, count);
	free(packed);
	free(theirs);
}

static void agrees_with_its_authors(void **state)
{
	(void)state;
	for_seeds(500, both_ways);
}

static void room_is_never_exceeded(void **state)
{
	struct random random = random_from(1);
	u32 whole;
	u8 *packed;

	(void)state;
	fill(&random, 4096);
	whole = compress_exactly(4096, &packed);
	free(packed);
	for (u32 room = 0; room < whole + 3; room++) {
		packed = malloc(room ? room : 1);
		assert_int_equal(
		    lz4_compress(&memory, plain, 4096, packed, room),
		    room < whole ? 0 : whole);
		free(packed);
	}
}

/* As the authors' library judges them, if it judges at all. */
static void damaged(u64 seed)
{
	struct random random = random_from(seed);
	u32 count = 1 + (u32)random_below(&random, 3000);
	u8 *packed, *to;
	u32 bytes;
	int theirs;
	bool ours;

	fill(&random, count);
	bytes = compress_exactly(count, &packed);
	for (u64 i = 1 + random_below(&random, 3); i; i--)
		packed[random_below(&random, bytes)] ^=
		    (u8)(1U << random_below(&random, 8));
	if (random_below(&random, 3) == 0)
		bytes = (u32)random_below(&random, bytes) + 1;
	to = malloc(count);
	ours = lz4_decompress(packed, bytes, to, count);
	theirs = LZ4_decompress_safe((char *)packed, (char *)again, (int)bytes,
				     (int)count);
	if (ours && theirs == (int)count)
		assert_memory_equal(to, again, count);
	free(packed);
	free(to);
}

static void damaged_blocks_harm_nothing(void **state)
{
	(void)state;
	for_seeds(3000, damaged);
}

static void wrong_lengths_are_refused(void **state)
{
	struct random random = random_from(3);
	u8 *packed;
	u32 bytes;

	(void)state;
	fill(&random, 1000);
	bytes = compress_exactly(1000, &packed);
	assert_false(lz4_decompress(packed, bytes, again, 999));
	assert_false(lz4_decompress(packed, bytes, again, 1001));
	assert_false(lz4_decompress(packed, bytes - 1, again, 1000));
	assert_false(lz4_decompress(packed, 0, again, 0));
	assert_false(lz4_decompress(packed, 0, again, 1000));
	free(packed);
}

/* A page of one pattern is a few bytes, and one of noise does not explode. */
static void sizes_are_what_one_expects(void **state)
{
	struct random random = random_from(4);
	u8 packed[ROOM(4096)];
	u32 ours, theirs;

	(void)state;
	memset(plain, 0x5a, 4096);
	assert_in_range(
	    lz4_compress(&memory, plain, 4096, packed, sizeof(packed)), 1, 40);
	for (u32 i = 0; i < 4096; i++)
		plain[i] = (u8)random_next(&random);
	assert_in_range(
	    lz4_compress(&memory, plain, 4096, packed, sizeof(packed)), 4096,
	    4096 + 20);
	for (u32 i = 0; i < 4096; i++)
		plain[i] =
		    (u8) "umbra migrates guests that run guests "[i % 37 +
								  i % 5 / 4];
	ours = lz4_compress(&memory, plain, 4096, packed, sizeof(packed));
	theirs = (u32)LZ4_compress_default((char *)plain, (char *)packed, 4096,
					   sizeof(packed));
	assert_true(ours <= theirs + theirs / 10 + 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(agrees_with_its_authors),
	    cmocka_unit_test(room_is_never_exceeded),
	    cmocka_unit_test(damaged_blocks_harm_nothing),
	    cmocka_unit_test(wrong_lengths_are_refused),
	    cmocka_unit_test(sizes_are_what_one_expects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
