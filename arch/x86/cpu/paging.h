/* SPDX-License-Identifier: MIT */
/*
 * Umbra's own page tables: all RAM one to one, once, with rights.
 *
 *	page 0            not mapped: a null pointer faults
 *	image: text       r-x
 *	image: rodata     r--
 *	image: data, bss  rw-
 *	stack guards      not mapped
 *	other RAM         rw-  in the largest pages that fit
 *	devices           rw-  uncached, mapped when asked for
 *
 * Every frame has one mapping only, so "nothing is writable and executable"
 * holds for memory and not just for one alias of it. All CPUs share the
 * tables. Changes are made by one CPU at a time (a lock inside); whoever
 * removes rights while other CPUs run owes them a flush.
 */
#ifndef ARCH_X86_CPU_PAGING_H
#define ARCH_X86_CPU_PAGING_H

#include "lib/err.h"
#include "lib/types.h"
#include "mm/addr.h"

enum paging_rights {
	PAGING_NONE, /* not mapped */
	PAGING_R,
	PAGING_RW,
	PAGING_RX,
	PAGING_DEVICE, /* read, write, strong uncacheable */
};

/*
 * Begins new tables with the image in them. Until paging_enter() the boot
 * loader stage's tables, which reach 4 GiB, stay in force, so the frame
 * allocator must hold only memory below that.
 */
MUST_CHECK enum err paging_init(void);

/*
 * Maps RAM, rounded outwards to whole pages; parts that are mapped already
 * (the image, an overlap) keep what they have. ERR_NO_MEMORY, ERR_RANGE.
 */
MUST_CHECK enum err paging_map_ram(hpa_t base, u64 bytes);

/* Loads the tables on the calling CPU. */
void paging_enter(void);

/*
 * Gives whole pages other rights, splitting large pages. Flushes the calling
 * CPU's TLB.
 */
MUST_CHECK enum err paging_protect(hpa_t base, u64 bytes,
				   enum paging_rights rights);

/*
 * Maps device registers. Out of memory here is the end: without its interrupt
 * controller Umbra cannot run.
 */
void paging_map_device(hpa_t base, u64 bytes);

/* Whether all of a range can be read. Never faults, whatever the range. */
bool paging_is_readable(hpa_t base, u64 bytes);

/* For CR3, the trampoline and the VMCS's host state; lies below 4 GiB. */
hpa_t paging_root(void);

#endif
