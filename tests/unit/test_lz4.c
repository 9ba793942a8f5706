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

/* --- Of what is mostly zero ----------------------------------------------- */

static u64 which[LZ4_INPUT_MAX / 64];

/* In a buffer of exactly `room` bytes; it comes back by both decompressors. */
static u32 sparse_exactly(u32 count, u32 room)
{
	u8 *from = malloc(count), *packed = malloc(room ? room : 1);
	u32 bytes;

	memset(which, 0, sizeof(which));
	for (u32 i = 0; i < count; i++)
		which[i / 64] |= (u64)(plain[i] != 0) << i % 64;
	memcpy(from, plain, count);
	bytes = lz4_compress_sparse(from, count, which, packed, room);
	assert_in_range(bytes, 0, room);
	if (bytes) {
		assert_int_equal(LZ4_decompress_safe((char *)packed,
						     (char *)again, (int)bytes,
						     (int)count),
				 count);
		assert_memory_equal(again, plain, count);
		memset(again, 1, count);
		assert_true(lz4_decompress(packed, bytes, again, count));
		assert_memory_equal(again, plain, count);
	}
	free(from);
	free(packed);
	return bytes;
}

static void change_some(struct random *random, u32 count, u32 changes)
{
	memset(plain, 0, count);
	while (changes--) {
		u32 at = (u32)random_below(random, count);
		u32 bytes = 1 + (u32)random_below(random, 20);
		u8 value = (u8)random_below(random, 3);

		for (; bytes && at < count; bytes--, at++)
			plain[at] = value ? value : (u8)random_next(random);
	}
}

static void sparse(u64 seed)
{
	struct random random = random_from(seed);
	u32 count =
	    64 *
	    (1 + (u32)random_below(&random, seed % 8 ? 64 : sizeof(which) / 8));

	change_some(&random, count, (u32)random_below(&random, 40));
	sparse_exactly(count, ROOM(count));
	sparse_exactly(count, (u32)random_below(&random, 100));
}

static void few_changes_agree_with_its_authors(void **state)
{
	(void)state;
	for_seeds(2000, sparse);
}

static void one_byte_anywhere_is_little(void **state)
{
	(void)state;
	memset(plain, 0, 4096);
	assert_in_range(sparse_exactly(4096, ROOM(4096)), 1, 30);
	for (u32 i = 0; i < 4096; i++) {
		plain[i] = 0x5a;
		assert_in_range(sparse_exactly(4096, ROOM(4096)), 1, 40);
		plain[i] = 0;
	}
}

/* Two that differ lie so far apart, or so close to the end. */
static void two_bytes_at_any_distance_come_back(void **state)
{
	(void)state;
	memset(plain, 0, 128);
	for (u32 first = 0; first < 128; first++)
		for (u32 second = first + 1; second < 128; second++) {
			plain[first] = 1;
			plain[second] = 2;
			assert_in_range(sparse_exactly(128, ROOM(128)), 1, 25);
			plain[first] = plain[second] = 0;
		}
}

static void room_for_few_changes_is_never_exceeded(void **state)
{
	struct random random = random_from(5);
	u32 whole;

	(void)state;
	change_some(&random, 4096, 12);
	whole = sparse_exactly(4096, ROOM(4096));
	assert_in_range(whole, 100, 300);
	for (u32 room = 0; room < whole + 40; room++)
		assert_int_equal(sparse_exactly(4096, room),
				 room < whole ? 0 : whole);
}

static void many_changes_are_not_for_it(void **state)
{
	(void)state;
	memset(plain, 1, 4096);
	assert_int_equal(sparse_exactly(4096, 3840), 0);
	for (u32 i = 0; i < 4096; i++)
		plain[i] = i % 16 < 2 ? (u8)(i * 7 + 1) : 0;
	assert_int_equal(sparse_exactly(4096, 3840), 0);
}

/* Numbers that count the same in a row of structures are one match. */
static void repeated_change_is_found(void **state)
{
	(void)state;
	for (u32 i = 0; i < 4096; i++)
		plain[i] = i % 64 == 24 ? 3 : 0;
	assert_in_range(sparse_exactly(4096, 3840), 1, 50);
}

/* Words that count: no more than what the search for matches makes of them. */
static void few_changes_are_no_more_than_compressed(void **state)
{
	u32 ours = 0, searched = 0;
	u8 packed[ROOM(4096)];

	(void)state;
	for (u64 seed = 1; seed <= 300; seed++) {
		struct random random = random_from(seed);
		u32 bytes;

		memset(plain, 0, 4096);
		for (u64 i = random_below(&random, 30); i; i--) {
			u64 value = random_next(&random) >>
				    8 * random_below(&random, 8);

			memcpy(plain + 8 * random_below(&random, 512), &value,
			       sizeof(value));
		}
		bytes = sparse_exactly(4096, 3840);
		ours += bytes;
		searched += bytes ? lz4_compress(&memory, plain, 4096, packed,
						 sizeof(packed))
				  : 0;
	}
	assert_true(ours && ours <= searched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(agrees_with_its_authors),
	    cmocka_unit_test(room_is_never_exceeded),
	    cmocka_unit_test(damaged_blocks_harm_nothing),
	    cmocka_unit_test(wrong_lengths_are_refused),
	    cmocka_unit_test(sizes_are_what_one_expects),
	    cmocka_unit_test(few_changes_agree_with_its_authors),
	    cmocka_unit_test(one_byte_anywhere_is_little),
	    cmocka_unit_test(two_bytes_at_any_distance_come_back),
	    cmocka_unit_test(room_for_few_changes_is_never_exceeded),
	    cmocka_unit_test(many_changes_are_not_for_it),
	    cmocka_unit_test(repeated_change_is_found),
	    cmocka_unit_test(few_changes_are_no_more_than_compressed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
