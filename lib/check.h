/* SPDX-License-Identifier: MIT */
/*
 * CHECK: our own fault, and nobody else's.
 *
 * A failing CHECK stops Umbra with file, line, condition and a backtrace. It
 * never looks at anything that a guest, a boot module, a peer or the command
 * line can choose: those are errors (lib/err.h).
 */
#ifndef LIB_CHECK_H
#define LIB_CHECK_H

#include "lib/types.h"

#define CHECK(condition)                                              \
	do {                                                          \
		if (unlikely(!(condition)))                           \
			check_failed(__FILE__, __LINE__, #condition); \
	} while (0)

/* Seam: core/panic.c in the image, tests/unit/host_seams.c on the host. */
NORETURN COLD void check_failed(const char *file, int line,
				const char *condition);

#endif
