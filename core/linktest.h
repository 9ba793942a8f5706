/* SPDX-License-Identifier: MIT */
/*
 * The link alone, without a guest: does every byte arrive, and how fast?
 *
 *	linktest=both          seeded bytes both ways at once, each one checked
 *	linktest=send          to the peer, which runs linktest=receive; counted
 *	                       only, so that the checking is not measured
 *	linktest=lend          likewise, read by the device from where they lie
 *	linktest=bare-send     the same over the bare device, without the link's
 *	                       protocol: what the device could carry at most.
 *	                       Nothing is checked, and nothing sent again
 *	linktest=memory        no peer: what a page costs Umbra itself, in ticks,
 *	                       on its way into a link in memory
 *
 * It ends with the line "linktest: good: ..." and status 0, or with "linktest:
 * failed: ..." and 125. Another machine may be the peer, or a program.
 */
#ifndef CORE_LINKTEST_H
#define CORE_LINKTEST_H

#include "loader/options.h"

/* Instead of guests; leaves the machine. First CPU, interrupts off. */
NORETURN void linktest_run(const struct options *options);

#endif
