/* SPDX-License-Identifier: MIT */
/*
 * For fuzzers whose target reads physical memory: a window of it that can be
 * read, with everything around poisoned, so that the sanitizer sees each byte
 * that is read outside.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/host_seams.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold for every input. */
#define REQUIRE(condition)                \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

/* Only [from, end) can be read from now on. */
UNUSED static void fuzz_open_window(u64 from, u64 end)
{
	static bool closed;

	if (!closed)
		ASAN_POISON_MEMORY_REGION(phys_memory, HOST_PHYS_BYTES);
	closed = true;
	ASAN_UNPOISON_MEMORY_REGION(phys_memory + from, end - from);
}

UNUSED static void fuzz_close_window(u64 from, u64 end)
{
	ASAN_POISON_MEMORY_REGION(phys_memory + from, end - from);
}

/*
 * Puts the input where it ends with the window at `end` (a multiple of 8) and
 * opens exactly that. Returns where it begins.
 */
UNUSED static u64 fuzz_place_before(u64 end, const uint8_t *data, size_t size)
{
	u64 from = end - size;

	fuzz_open_window(from, end);
	memcpy(phys_memory + from, data, size);
	return from;
}

/* A copy with a terminator, of exactly its size; the caller frees it. */
UNUSED static char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = 0;
	return text;
}

#endif
