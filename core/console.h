/* SPDX-License-Identifier: MIT */
/*
 * The one serial line on which Umbra talks, and all guests with it.
 *
 * For a person at a terminal (console=com1) Umbra's lines and the guests'
 * bytes simply follow each other; a line of one source is never broken by
 * another without a line break. For a front end (console=mux) both directions
 * are multiplexed, marked by the byte RS (0x1e):
 *
 *	RS RS          the byte 0x1e itself
 *	RS '@'         what follows is Umbra's (or for the monitor)
 *	RS 'A' + n     what follows is of (or for) the console of guest n
 *	RS '!' text LF a record: "end STATUS", "guest N name=NAME"
 *
 * A person has the pairs that select a channel, too: Ctrl-^ is RS.
 *
 * Before options are known the line is in plain mode. Writing works from any
 * CPU at any time.
 */
#ifndef CORE_CONSOLE_H
#define CORE_CONSOLE_H

#include "lib/types.h"
#include "loader/options.h"

#define CONSOLE_UMBRA    0
#define CONSOLE_GUEST(n) ((n) + 1)

/* Finds COM1. Nothing before this is seen by anybody. */
void console_init(void);
void console_set_mode(enum console_mode mode);

/*
 * Lets the UART interrupt a CPU instead of being waited for; the caller has
 * routed COM1's interrupt to a vector with console_interrupt as its handler.
 */
void console_use_interrupts(void);
void console_interrupt(u32 vector);
bool console_has_interrupt(void);

void console_write(u32 channel, const u8 *bytes, size_t count);

/* A record for the front end; nothing in plain mode. Not thread-safe text. */
void console_record(const char *format, ...) PRINTF(1, 2);

/*
 * Distributes what was typed: to core/monitor, or to a guest. Called by the
 * first CPU's loop.
 */
void console_poll_input(void);

/* Where input goes in plain mode until RS says else; in mux mode RS says it. */
void console_set_plain_input(u32 channel);

/* Waits until everything is on the line. */
void console_flush(void);

/* For a panic: see serial_break_lock(). */
void console_break_locks(void);

#endif
