/* SPDX-License-Identifier: MIT */
/*
 * The end of Umbra: a fault of our own. Prints what is known, stops all CPUs,
 * and leaves the machine with status 125 if the command line said how.
 */
#ifndef CORE_PANIC_H
#define CORE_PANIC_H

#include "lib/types.h"

/* Prints the calls that led to `frame_pointer`, innermost first. */
void panic_backtrace(u64 rip, u64 frame_pointer);

NORETURN COLD void panic(const char *format, ...) PRINTF(1, 2);

#endif
