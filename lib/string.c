/* SPDX-License-Identifier: MIT */
/*
 * The C library's memory and string functions for the image.
 *
 * Copy and fill use the string instructions: on every CPU with VMX they run at
 * memory speed, and in an emulator one eight-byte step costs one tick.
 */
#include "lib/string.h"

#undef memcpy
#undef memset
#undef memcmp

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	void *end = to;
	size_t count = bytes / 8;

	__asm__ volatile("rep movsq"
			 : "+D"(end), "+S"(from), "+c"(count)
			 :
			 : "memory");
	count = bytes % 8;
	__asm__ volatile("rep movsb"
			 : "+D"(end), "+S"(from), "+c"(count)
			 :
			 : "memory");
	return to;
}

static void copy_backwards(void *to, const void *from, size_t bytes)
{
	u8 *last_to = (u8 *)to + bytes - 1;
	const u8 *last_from = (const u8 *)from + bytes - 1;

	__asm__ volatile("std\n\trep movsb\n\tcld"
			 : "+D"(last_to), "+S"(last_from), "+c"(bytes)
			 :
			 : "memory");
}

void *memmove(void *to, const void *from, size_t bytes)
{
	/* Unsigned wrap: true also when `to` lies below `from`. */
	if ((u64)to - (u64)from >= bytes)
		return memcpy(to, from, bytes);
	copy_backwards(to, from, bytes);
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	void *end = to;
	size_t count = bytes / 8;
	u64 pattern = (u8)value * 0x0101010101010101ULL;

	__asm__ volatile("rep stosq"
			 : "+D"(end), "+c"(count)
			 : "a"(pattern)
			 : "memory");
	count = bytes % 8;
	__asm__ volatile("rep stosb"
			 : "+D"(end), "+c"(count)
			 : "a"(pattern)
			 : "memory");
	return to;
}

/* Bytes at the start of both that are surely equal, eight at a time. */
static size_t equal_words(const u8 *a, const u8 *b, size_t bytes)
{
	size_t i = 0;

	for (; i + 8 <= bytes; i += 8) {
		u64 left, right;

		__builtin_memcpy(&left, a + i, 8);
		__builtin_memcpy(&right, b + i, 8);
		if (left != right)
			break;
	}
	return i;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const u8 *left = a;
	const u8 *right = b;

	for (size_t i = equal_words(a, b, bytes); i < bytes; i++)
		if (left[i] != right[i])
			return left[i] < right[i] ? -1 : 1;
	return 0;
}

size_t strnlen(const char *text, size_t limit)
{
	size_t length = 0;

	while (length < limit && text[length])
		length++;
	return length;
}

size_t strlen(const char *text)
{
	return strnlen(text, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t limit)
{
	for (size_t i = 0; i < limit; i++) {
		if (a[i] != b[i])
			return (u8)a[i] < (u8)b[i] ? -1 : 1;
		if (!a[i])
			return 0;
	}
	return 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}
