/* SPDX-License-Identifier: MIT */
/*
 * The C library's memory functions, which the compiler itself may call, and
 * the few string functions that we use. The image links lib/string.c; host
 * builds use the C library's.
 */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include "lib/types.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t limit);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t limit);

/*
 * -ffreestanding makes plain calls of these. Asked for by its own name, the
 * compiler writes a copy of a few bytes as a few instructions, and calls the
 * function only where it does not know how many they are. It may then read the
 * source twice: what a guest can change meanwhile is read by guest_mem_read(),
 * or has a barrier behind its copy.
 */
#define memcpy(to, from, bytes)  __builtin_memcpy(to, from, bytes)
#define memset(to, value, bytes) __builtin_memset(to, value, bytes)
#define memcmp(a, b, bytes)      __builtin_memcmp(a, b, bytes)

#endif
