/* SPDX-License-Identifier: MIT */
/*
 * Faults on purpose, for the monitor: what a fault of Umbra's own looks like
 * on this machine's console, and proof that the guards are where they must be.
 *
 *	null    reads through a null pointer
 *	check   a CHECK that fails
 *	stack   runs over the end of the stack, into its guard page
 *	code    writes to Umbra's own code
 *	data    runs data as code
 */
#ifndef CORE_CRASH_H
#define CORE_CRASH_H

/*
 * Does not come back, unless `how` is no way of crashing or a guard is
 * missing; it says so then. An empty string means null.
 */
void crash(const char *how);

#endif
