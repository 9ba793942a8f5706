/* SPDX-License-Identifier: MIT */
/*
 * Threads woven by a seed: the real code under every order that chance finds.
 *
 * Real threads seldom meet in a window of three instructions, and never twice
 * the same way. Here "threads" are coroutines of one thread; before each
 * atomic operation and each memory copy of the code under test the seed
 * decides who goes on. A failing seed fails always.
 *
 * The Makefile compiles the pure floors and tests/unit/weave_*.c with
 * `-include tests/unit/weave.h`, so no source knows about it. Orders are
 * sequentially consistent; what a weaker one could do on x86 (a load passing
 * an earlier store) is left to review and to the locked instructions.
 */
#ifndef TESTS_UNIT_WEAVE_H
#define TESTS_UNIT_WEAVE_H

#include <sched.h>
#include <string.h>

/* Read now, before the macros below; lib/string.h declares the same. */
#define LIB_STRING_H

#include "lib/types.h"

/* Somebody else may go on here. Does nothing outside weave_run. */
void weave_step(void);

#define WEAVE_THREADS 8

/* For the next weave_run; WEAVE_THREADS at most. */
void weave_add(void (*body)(void *argument), void *argument);

/*
 * Runs all threads to their ends, the same way for the same seed. More steps
 * than `limit` mean that they wait for each other for ever: the test fails.
 */
void weave_run(u64 seed, u64 limit);

/*
 * A macro's own name inside it is not expanded again: these are the compiler's
 * builtins and the C library's functions with a step in front.
 */
/* NOLINTBEGIN(bugprone-reserved-identifier): replacing them is the point. */
#define __atomic_load_n(...)  (weave_step(), __atomic_load_n(__VA_ARGS__))
#define __atomic_store_n(...) (weave_step(), __atomic_store_n(__VA_ARGS__))
#define __atomic_exchange_n(...) \
	(weave_step(), __atomic_exchange_n(__VA_ARGS__))
#define __atomic_compare_exchange_n(...) \
	(weave_step(), __atomic_compare_exchange_n(__VA_ARGS__))
#define __atomic_fetch_add(...) (weave_step(), __atomic_fetch_add(__VA_ARGS__))
#define __atomic_fetch_or(...)  (weave_step(), __atomic_fetch_or(__VA_ARGS__))
#define __atomic_fetch_and(...) (weave_step(), __atomic_fetch_and(__VA_ARGS__))
#define sched_yield()           weave_step()
#define memcpy(...)             (weave_step(), memcpy(__VA_ARGS__))
#define memset(...)             (weave_step(), memset(__VA_ARGS__))
/* NOLINTEND(bugprone-reserved-identifier) */

#endif
