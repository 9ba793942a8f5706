/* SPDX-License-Identifier: MIT */
/* Byte stuffing: any frame comes out as it went in, whatever was before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/serial_frame.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

static struct serial_frame_reader reader;
static u8 frame[STREAM_FRAME_MAX];
static u8 line[SERIAL_FRAME_BYTES(STREAM_FRAME_MAX)];

static u32 stuff(u32 bytes, u32 first_part)
{
	struct serial_frame_writer writer;
	u32 count;

	serial_frame_begin(&writer, line);
	serial_frame_add(&writer, frame, first_part);
	serial_frame_add(&writer, frame + first_part, bytes - first_part);
	count = serial_frame_end(&writer);
	assert_true(count <= SERIAL_FRAME_BYTES(bytes));
	assert_int_equal(line[0], 0);
	assert_int_equal(line[count - 1], 0);
	assert_null(memchr(line + 1, 0, count - 2));
	return count;
}

static u32 frames_taken;

/* In portions; returns the length of the last frame. */
static u32 take(u32 count, struct random *random)
{
	const u8 *at = line;
	u32 length = 0;

	frames_taken = 0;

	while (count) {
		u32 here = 1 + (u32)random_below(random, count), left = here;
		u32 found = serial_frame_take(&reader, &at, &left);

		count -= here - left;
		if (found) {
			length = found;
			frames_taken++;
		}
	}
	return length;
}

/* Zeroes seldom, often, or nearly always. */
static void fill(struct random *random, u32 bytes)
{
	u64 every = 1 + random_below(random, 400);

	for (u32 i = 0; i < bytes; i++)
		frame[i] = random_below(random, every)
			       ? (u8)(1 + random_below(random, 255))
			       : 0;
}

static void round_trip(u64 seed)
{
	struct random random = random_from(seed);
	u32 bytes = 1 + (u32)random_below(&random, STREAM_FRAME_MAX);
	u32 count;

	fill(&random, bytes);
	count = stuff(bytes, (u32)random_below(&random, bytes + 1));
	assert_int_equal(take(count, &random), bytes);
	assert_memory_equal(reader.frame, frame, bytes);
}

static void alone(u64 seed)
{
	round_trip(seed);
	assert_int_equal(frames_taken, 1);
}

static void what_goes_in_comes_out(void **state)
{
	(void)state;
	memset(&reader, 0, sizeof(reader));
	for_seeds(3000, alone);
}

/* Runs of 253 to 255 bytes, with and without a zero after them. */
static void full_runs_are_told_from_zeroes(void **state)
{
	struct random random = random_from(1);

	(void)state;
	memset(&reader, 0, sizeof(reader));
	for (u32 run = 252; run < 258; run++)
		for (u32 zeroes = 0; zeroes < 3; zeroes++) {
			u32 bytes = run + zeroes;

			memset(frame, 7, run);
			memset(frame + run, 0, zeroes);
			assert_int_equal(take(stuff(bytes, run), &random),
					 bytes);
			assert_memory_equal(reader.frame, frame, bytes);
		}
}

/* The rest of a frame whose beginning was missed spoils nothing else. */
static void spoiled(u64 seed)
{
	struct random random = random_from(seed);
	u32 junk = 1 + (u32)random_below(&random, sizeof(line) - 1);

	for (u32 i = 0; i < junk; i++)
		line[i] = (u8)random_next(&random);
	line[junk - 1] = 0;
	for (u32 at = 0; at < junk;) {
		const u8 *bytes = line + at;
		u32 left = junk - at;

		assert_true(serial_frame_take(&reader, &bytes, &left) <=
			    STREAM_FRAME_MAX);
		at = junk - left;
	}
	round_trip(seed);
}

static void next_frame_is_found_after_anything(void **state)
{
	(void)state;
	memset(&reader, 0, sizeof(reader));
	for_seeds(1000, spoiled);
}

/* What an idle line brings by itself: without a zero behind it. */
static void frame_after_noise(u64 seed)
{
	struct random random = random_from(seed);
	u32 noise = 1 + (u32)random_below(&random, 40), left = noise;
	const u8 *bytes = line;

	for (u32 i = 0; i < noise; i++)
		line[i] = (u8)(1 + random_below(&random, 255));
	assert_int_equal(serial_frame_take(&reader, &bytes, &left), 0);
	round_trip(seed);
}

/* Whether it ends in the midst of a run or by chance makes a frame. */
static void noise_before_a_frame_does_not_harm_it(void **state)
{
	(void)state;
	memset(&reader, 0, sizeof(reader));
	for_seeds(1000, frame_after_noise);
}

static void frame_that_is_too_long_is_none(void **state)
{
	const u8 *at = line;
	u32 count;

	(void)state;
	memset(&reader, 0, sizeof(reader));
	for (u32 i = 0; i < 3; i++) {
		memset(line, 200, sizeof(line));
		at = line;
		count = sizeof(line);
		assert_int_equal(serial_frame_take(&reader, &at, &count), 0);
	}
	line[0] = 0;
	at = line;
	count = 1;
	assert_int_equal(serial_frame_take(&reader, &at, &count), 0);
	round_trip(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_goes_in_comes_out),
	    cmocka_unit_test(full_runs_are_told_from_zeroes),
	    cmocka_unit_test(next_frame_is_found_after_anything),
	    cmocka_unit_test(noise_before_a_frame_does_not_harm_it),
	    cmocka_unit_test(frame_that_is_too_long_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
