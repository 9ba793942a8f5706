/* SPDX-License-Identifier: MIT */
/*
 * The guest's console: COM1, polled, as a plain driver would do it.
 *
 * Text of different CPUs is never mixed within one call. Formats are those of
 * lib/fmt.h; one call prints at most 511 characters.
 */
#ifndef GUESTS_LIB_CONSOLE_H
#define GUESTS_LIB_CONSOLE_H

#include "lib/types.h"

void console_init(void);

void print(const char *format, ...) PRINTF(1, 2);

/* The same from an exception handler: whoever prints now is interrupted. */
void print_emergency(const char *format, ...) PRINTF(1, 2);

void console_write(const char *text, size_t length);

/* Waits until the last character has left the UART. */
void console_drain(void);

#endif
