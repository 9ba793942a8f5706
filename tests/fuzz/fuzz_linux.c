/* SPDX-License-Identifier: MIT */
/*
 * Linux bzImages: every input long enough for it gets the magic, and a
 * version that we take, so that the rest of the header is what varies.
 */
#include "tests/fuzz/guest_load.h"

#define SETUP_END 0x264

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char magic[4] = {'H', 'd', 'r', 'S'};
	static u8 input[HEAD_BYTES + FILE_END];

	if (size > sizeof(input))
		return 0;
	memcpy(input, data, size);
	if (size >= HEAD_BYTES + SETUP_END) {
		u8 *file = input + HEAD_BYTES;

		memcpy(file + 0x202, magic, sizeof(magic));
		file[0x206] = (u8)(0x0a + file[0x206] % 6);
		file[0x207] = 2;
		file[0x211] |= 1;
	}
	fuzz_guest_load(input, size);
	return 0;
}
