/* SPDX-License-Identifier: MIT */
/*
 * The log speaks L1 addresses; an L2 address is never in it.
 *
 * EXPECT: incompatible type for argument 2 of 'dirty_log_mark'
 */
#include "mm/dirty_log.h"

void mark(struct dirty_log *log, gpa_t l1, ngpa_t l2);

void mark(struct dirty_log *log, gpa_t l1, ngpa_t l2)
{
	(void)l2;
	dirty_log_mark(log, l1);
#ifdef WRONG
	dirty_log_mark(log, l2);
#endif
}
