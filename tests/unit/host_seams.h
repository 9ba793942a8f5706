/* SPDX-License-Identifier: MIT */
/* The host's stand-ins for what lies below the pure floors. */
#ifndef TESTS_UNIT_HOST_SEAMS_H
#define TESTS_UNIT_HOST_SEAMS_H

#include "mm/phys.h"

/* Host-physical memory of a test: addresses 0 up to this. */
#define HOST_PHYS_BYTES (256 * MIB)

/* The last line that was logged, without a newline. */
extern char host_last_log[512];

/* How many lines were logged, LOG_DEBUG not counted; a test may set it. */
extern unsigned host_log_count;

#endif
