/* SPDX-License-Identifier: MIT */
/*
 * How a guest says what came out of it.
 *
 * The last line is one of
 *	RESULT PASS n/n
 *	RESULT FAIL n/m
 * and each check that fails has a line of its own before: "FAIL name: text".
 */
#ifndef GUESTS_LIB_RESULT_H
#define GUESTS_LIB_RESULT_H

#include "lib/types.h"

/* Codes of our own for guest_exit; a run's status is (code << 1) | 1. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,    /* a check failed */
	EXIT_USAGE = 2,     /* the command line makes no sense */
	EXIT_EXCEPTION = 3, /* an exception that nobody expected */
};

/* Writes the code to port 0xf4; where nobody listens there, stops. */
NORETURN void guest_exit(u8 code);

/* Counts one check. A failing one prints its name and the explanation. */
void check(bool passed, const char *name, const char *format, ...) PRINTF(3, 4);

/* Prints the RESULT line; returns EXIT_OK or EXIT_FAILED. */
u8 result_print(void);

#endif
