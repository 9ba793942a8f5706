/* SPDX-License-Identifier: MIT */
/*
 * What the pure floors need from below, for programs on the development
 * machine: physical memory, the log, and failing CHECKs.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/check.h"
#include "lib/log.h"
#include "tests/unit/host_seams.h"

u8 phys_memory[HOST_PHYS_BYTES] ALIGNED(PAGE_2M);

char host_last_log[512];
unsigned host_log_count;

void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	if (level != LOG_DEBUG)
		host_log_count++;
	va_start(args, format);
	vsnprintf(host_last_log, sizeof(host_last_log), format, args);
	va_end(args);
	if (getenv("UMBRA_TEST_LOG"))
		fprintf(stderr, "umbra: %s\n", host_last_log);
}

void check_failed(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, condition);
	abort();
}
