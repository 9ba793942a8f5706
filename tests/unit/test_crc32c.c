/* SPDX-License-Identifier: MIT */
/*
 * CRC32C in both ways, against published values and against the definition:
 * a division, bit by bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/crc32c.h"
#include "tests/unit/support.h"

#define POLYNOMIAL 0x82f63b78U /* bits reversed */

static bool has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2");
}

static u32 divided(u32 before, const u8 *data, u64 bytes)
{
	u32 crc = ~before;

	for (u64 i = 0; i < bytes * 8; i++) {
		u32 bit = (crc ^ ((u32)data[i / 8] >> (i % 8))) & 1;

		crc = (crc >> 1) ^ (bit ? POLYNOMIAL : 0);
	}
	return ~crc;
}

/* RFC 3720, "CRC Examples", and the usual check value. */
static void assert_published_values(void)
{
	u8 data[32];

	memset(data, 0, sizeof(data));
	assert_int_equal(crc32c(0, data, 32), 0x8a9136aa);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(crc32c(0, data, 32), 0x62a8ab43);
	for (u32 i = 0; i < 32; i++)
		data[i] = (u8)i;
	assert_int_equal(crc32c(0, data, 32), 0x46dd794e);
	for (u32 i = 0; i < 32; i++)
		data[i] = (u8)(31 - i);
	assert_int_equal(crc32c(0, data, 32), 0x113fdb5c);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0x1234, data, 0), 0x1234);
}

static void published_values(void **state)
{
	(void)state;
	crc32c_choose(CRC32C_TABLE);
	assert_published_values();
	if (!has_instruction())
		skip();
	crc32c_choose(CRC32C_INSTRUCTION);
	assert_published_values();
}

static u8 data[64 * 1024 + 64];

static void assert_divides(const u8 *at, u64 first, u64 bytes, u32 expected)
{
	assert_int_equal(crc32c(0, at, bytes), expected);
	assert_int_equal(
	    crc32c(crc32c(0, at, first), at + first, bytes - first), expected);
}

/* All lengths around three chains of either kind, at every alignment, in two parts. */
static void all_ways_divide(void **state)
{
	static const u64 lengths[] = {
	    0,    511,  512,   513,   767,   768,   1,     7,     8,    9,
	    63,   1360, 4079,  4080,  4081,  4095,  4096,  4097,  8159, 8160,
	    8176, 8192, 12288, 20399, 20400, 20401, 24487, 40800, 65536};
	struct random random = random_from(1);

	(void)state;
	for (u64 i = 0; i < sizeof(data); i++)
		data[i] = (u8)random_next(&random);
	for (u64 i = 0; i < ARRAY_COUNT(lengths) * 8; i++) {
		const u8 *at = data + i % 8;
		u64 bytes = lengths[i / 8];
		u64 first = random_below(&random, bytes + 1);
		u32 expected = divided(0, at, bytes);

		crc32c_choose(CRC32C_TABLE);
		assert_int_equal(crc32c(0, at, bytes), expected);
		if (!has_instruction())
			continue;
		crc32c_choose(CRC32C_INSTRUCTION);
		assert_divides(at, first, bytes, expected);
		crc32c_choose(CRC32C_VECTORS);
		assert_divides(at, first, bytes, expected);
	}
}

/* Each single bit of a page counts, and each in its own way. */
static void every_bit_counts(void **state)
{
	static u32 seen[4096 / 16];
	u32 before;

	(void)state;
	if (has_instruction())
		crc32c_choose(CRC32C_INSTRUCTION);
	before = crc32c(0, data, 4096);
	for (u32 bit = 0; bit < 4096 * 8; bit++) {
		data[bit / 8] ^= (u8)(1 << (bit % 8));
		u32 crc = crc32c(0, data, 4096);

		assert_int_not_equal(crc, before);
		if (bit % 128 == 0)
			seen[bit / 128] = crc;
		data[bit / 8] ^= (u8)(1 << (bit % 8));
	}
	for (u32 i = 0; i < ARRAY_COUNT(seen); i++)
		for (u32 j = 0; j < i; j++)
			assert_int_not_equal(seen[i], seen[j]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(published_values),
	    cmocka_unit_test(all_ways_divide),
	    cmocka_unit_test(every_bit_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
