/* SPDX-License-Identifier: MIT */
/*
 * What the pure floors need from below, for programs on the development
 * machine: physical memory, the log, and failing CHECKs.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/log.h"
#include "lib/vectors.h"
#include "tests/unit/host_seams.h"

u8 phys_memory[HOST_PHYS_BYTES] ALIGNED(PAGE_2M);

char host_last_log[512];
unsigned host_log_count;

void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	if (level != LOG_DEBUG)
		host_log_count++;
	va_start(args, format);
	vsnprintf(host_last_log, sizeof(host_last_log), format, args);
	va_end(args);
	if (getenv("UMBRA_TEST_LOG"))
		fprintf(stderr, "umbra: %s\n", host_last_log);
}

/* Fuzzers link this file without cmocka. */
__attribute__((weak)) void cmocka_set_test_filter(const char *pattern);

/* A program of many tests runs one of them, if its environment says which. */
__attribute__((constructor)) static void choose_test(void)
{
	const char *name = getenv("UMBRA_TEST_ONLY");

	if (name && cmocka_set_test_filter)
		cmocka_set_test_filter(name);
}

void vectors_copy(void *to, const void *from, u64 bytes)
{
	memcpy(to, from, bytes);
}

/* Here the plain way is what is tested; core/linktest_memory.c compares both. */
bool vectors_change(void *to, const void *from, void *changed,
		    u64 which[VECTORS_CHANGE_BYTES / 64])
{
	(void)to;
	(void)from;
	(void)changed;
	(void)which;
	return false;
}

/* Every other time there are none, so that both ways are tested. */
bool vectors_any(const void *page, u64 *any)
{
	static bool are_there;
	const u64 *words = page;

	are_there = !are_there;
	if (!are_there)
		return false;
	*any = 0;
	for (u32 i = 0; i < 512; i++)
		*any |= words[i];
	return true;
}

/* The carry-less product of two 64-bit numbers. */
static unsigned __int128 multiplied(u64 a, u64 b)
{
	unsigned __int128 product = 0;

	for (u32 bit = 0; bit < 64; bit++)
		if (b >> bit & 1)
			product ^= (unsigned __int128)a << bit;
	return product;
}

void vectors_fold(u32 crc, const u8 *at, u64 bytes, const u64 by[2],
		  u8 folded[VECTORS_FOLD_BYTES])
{
	u64 words[VECTORS_FOLD_BYTES / 8], next[2];

	memcpy(words, at, sizeof(words));
	words[0] ^= crc;
	for (u64 i = VECTORS_FOLD_BYTES; i < bytes; i += 16) {
		u64 *here = &words[i % VECTORS_FOLD_BYTES / 8];
		unsigned __int128 sum =
		    multiplied(here[0], by[0]) ^ multiplied(here[1], by[1]);

		memcpy(next, at + i, sizeof(next));
		here[0] = next[0] ^ (u64)sum;
		here[1] = next[1] ^ (u64)(sum >> 64);
	}
	memcpy(folded, words, sizeof(words));
}

void check_failed(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, condition);
	abort();
}
