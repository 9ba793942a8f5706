/* SPDX-License-Identifier: MIT */
/*
 * The end of Umbra: a fault of our own. Prints what is known, stops all CPUs,
 * and leaves the machine with status 125 if the command line said how.
 */
#ifndef CORE_PANIC_H
#define CORE_PANIC_H

#include "lib/types.h"

/* Comes back only if no CPU panics. For the NMI by which one stops others. */
void panic_stop_if_another_does(void);

NORETURN COLD void panic(const char *format, ...) PRINTF(1, 2);

#endif
