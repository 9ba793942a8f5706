/* SPDX-License-Identifier: MIT */
/*
 * The calls that have led to a place in Umbra, on the CPU that asks. Takes no
 * lock and no memory: for faults, and for the handler of an NMI.
 */
#ifndef CORE_BACKTRACE_H
#define CORE_BACKTRACE_H

#include "lib/log.h"
#include "lib/types.h"

#define BACKTRACE_MAX 24

struct backtrace {
	u32 count;
	u64 calls[BACKTRACE_MAX]; /* in instructions, innermost first */
};

/*
 * Follows the frame pointers as long as they lie on this CPU's stacks. `rip` is
 * in the instruction that is to be explained. Of a call that is its last byte:
 * where it would return to is another function if it never does.
 */
void backtrace_take(struct backtrace *trace, u64 rip, u64 frame_pointer);

/* A line for each, with the function's name. */
void backtrace_say(const struct backtrace *trace, enum log_level level);

#endif
