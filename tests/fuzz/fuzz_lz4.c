/* SPDX-License-Identifier: MIT */
/*
 * LZ4: any bytes are decompressed or refused, in buffers of exactly the claimed
 * sizes; and what is made of them comes back as it was.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/lz4.h"
#include "tests/fuzz/fuzz.h"

static struct lz4_memory memory;

static void there_and_back(const u8 *data, u32 bytes)
{
	u32 room = bytes + bytes / 255 + 16, packed_bytes;
	u8 *packed = malloc(room), *again = malloc(bytes + 1);

	packed_bytes = lz4_compress(&memory, data, bytes, packed, room);
	REQUIRE(packed_bytes);
	REQUIRE(lz4_decompress(packed, packed_bytes, again, bytes));
	REQUIRE(memcmp(again, data, bytes) == 0);
	free(packed);
	free(again);
}

/* Pairs of zeroes to leave out and a byte, up to whole words of bits. */
static void few_there_and_back(const u8 *data, size_t size)
{
	static u8 from[4096], again[4096];
	u32 room = (u32)data[0] * 16, at = 0, bytes;
	u64 which[sizeof(from) / 64] = {0};
	u8 *packed = malloc(room + 1UL);

	memset(from, 0, sizeof(from));
	for (size_t i = 1; i + 1 < size; i += 2) {
		at += data[i] % 128;
		if (at >= sizeof(from))
			break;
		from[at] = data[i + 1];
		which[at / 64] |= (u64)(data[i + 1] != 0) << at % 64;
		at++;
	}
	bytes = lz4_compress_sparse(from, sizeof(from), which, packed, room);
	REQUIRE(bytes <= room);
	REQUIRE(!bytes ||
		(lz4_decompress(packed, bytes, again, sizeof(again)) &&
		 memcmp(again, from, sizeof(from)) == 0));
	free(packed);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	u32 count;
	u8 *to;

	if (size < 2 || size > LZ4_INPUT_MAX)
		return 0;
	count = data[0] * 32U;
	to = malloc(count + 1UL);
	(void)!lz4_decompress(data + 1, (u32)size - 1, to, count);
	free(to);
	there_and_back(data, (u32)size);
	few_there_and_back(data, size);
	return 0;
}
