/* SPDX-License-Identifier: MIT */
/*
 * Formatting text into a caller's buffer.
 *
 * A subset of C's printf: %s %c %d %i %u %x %X %p %% with the flags - 0 + #
 * and space, width and precision (also as *), and the lengths hh h l ll z.
 * Anything else prints itself, so that a mistake shows instead of crashing.
 * Output never exceeds the buffer and is always terminated when it has room
 * for at least one character.
 */
#ifndef LIB_FMT_H
#define LIB_FMT_H

#include <stdarg.h>

#include "lib/types.h"

/*
 * Returns the number of characters that the whole text has, without the
 * terminator: more than `buffer_bytes - 1` means that it was cut.
 */
size_t fmt(char *buffer, size_t buffer_bytes, const char *format, ...)
    PRINTF(3, 4);
size_t fmt_va(char *buffer, size_t buffer_bytes, const char *format,
	      va_list args) PRINTF(3, 0);

#endif
