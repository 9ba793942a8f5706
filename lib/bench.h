/* SPDX-License-Identifier: MIT */
/*
 * What Umbra and a guest that measures share: one leaf of CPUID, which a VM
 * has that was started with bench=on. For all others it reads 0.
 *
 *	subleaf			what it does, and EAX, EBX, ECX, EDX
 *	BENCH_COUNTERS		exits of this VM, flushes and IPIs of all CPUs
 *				(modulo 2^32), how many steps have been done
 *	BENCH_RESULT		of the last step: ticks (64 bits), pages (64)
 *	BENCH_TAKEN + 256 * n	EAX: 1 if the last harvest took page n; for VMs
 *				up to 256 MiB
 *	BENCH_LEAVES		EPT01: leaves of 4K, 2M and 1G, and tables
 *	BENCH_EVENTS		exits because a page-modification log was full;
 *				events whose delivery was cut short
 *	a step			is done before long; BENCH_COUNTERS tells
 *
 * A flush is an INVEPT or INVVPID. The numbers count from the start.
 */
#ifndef LIB_BENCH_H
#define LIB_BENCH_H

#include "lib/bits.h"

#define BENCH_LEAF       0x40000001u

#define BENCH_SUBLEAF    BITS(7, 0)
#define BENCH_TAKEN_PAGE BITS(31, 8)

enum bench_subleaf {
	BENCH_COUNTERS,
	BENCH_RESULT,
	BENCH_LOG_BY_PML,   /* turns dirty logging on: all pages are dirty */
	BENCH_LOG_BY_WP,    /* the same by write protection */
	BENCH_SPLIT,        /* splits all large pages */
	BENCH_HARVEST,      /* takes and re-arms all dirty pages */
	BENCH_STOP_LOGGING, /* turns it off */
	BENCH_MERGE,        /* gives rights back and merges pages */
	BENCH_TO_PML,       /* from now on pages are armed for PML */
	BENCH_TO_WP,        /* from now on all pages by write protection */
	BENCH_TAKEN,
	BENCH_LEAVES,
	BENCH_EVENTS,
};

#endif
