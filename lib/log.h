/* SPDX-License-Identifier: MIT */
/*
 * What Umbra says to the person at the console: one line per call, without a
 * newline at the end. A line says what happened, to what, and what to do.
 *
 * May be called from any CPU in any state, interrupts on or off; the lines of
 * different CPUs are never mixed. Formats are those of lib/fmt.h.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include "lib/types.h"

enum log_level {
	LOG_ERROR, /* something did not work and the user should act */
	LOG_WARN,  /* works, but differently than asked for or expected */
	LOG_INFO,  /* what a user wants to read once */
	LOG_DEBUG, /* what a developer wants to read; off by default */
};

/* Seam: core/log.c in the image, tests/unit/host_seams.c on the host. */
void log_line(enum log_level level, const char *format, ...) PRINTF(2, 3);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
