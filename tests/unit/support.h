/* SPDX-License-Identifier: MIT */
/*
 * For property tests: numbers that a seed determines, and code that is
 * expected to fail a CHECK.
 *
 * Every test that draws numbers runs a few fixed seeds. UMBRA_TEST_SEED=n in
 * the environment makes it run that one seed instead.
 */
#ifndef TESTS_UNIT_SUPPORT_H
#define TESTS_UNIT_SUPPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/types.h"

struct random {
	u64 state;
};

UNUSED static inline struct random random_from(u64 seed)
{
	return (struct random){seed * 0x9e3779b97f4a7c15ULL + 1};
}

/* xorshift64*: good enough to choose what a test does. */
UNUSED static inline u64 random_next(struct random *random)
{
	random->state ^= random->state >> 12;
	random->state ^= random->state << 25;
	random->state ^= random->state >> 27;
	return random->state * 0x2545f4914f6cdd1dULL;
}

UNUSED static inline u64 random_below(struct random *random, u64 limit)
{
	return (random_next(random) >> 11) % limit;
}

/* Runs `body` for `count` seeds, or for the one that the user names. */
UNUSED static inline void for_seeds(u64 count, void (*body)(u64 seed))
{
	const char *only = getenv("UMBRA_TEST_SEED");

	if (only) {
		body(strtoull(only, NULL, 0));
		return;
	}
	for (u64 seed = 1; seed <= count; seed++)
		body(seed);
}

/* Does `body` end in a failing CHECK? It runs in a process of its own. */
UNUSED static inline bool fails_check(void (*body)(void))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		body();
		_exit(0);
	}
	return child > 0 && waitpid(child, &status, 0) == child &&
	       WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#endif
