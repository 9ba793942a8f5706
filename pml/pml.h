/* SPDX-License-Identifier: MIT */
/*
 * The CPU's page-modification log: from its page into the dirty log.
 *
 *	index	  what it means			entries that count
 *	511	  nothing logged yet		none
 *	n	  next free slot is n		n + 1 .. 511
 *	0xffff	  511..0 are used (wrapped)	all 512
 *
 * The index counts down. The CPU exits (log-full, exit 62) only when it needs
 * a slot and the index is not in 0..511, which can be in the middle of
 * delivering an event. (SDM section "Page-Modification Logging".)
 *
 * Drained by the CPU that runs the vCPU, in VMX root operation: at log-full and
 * when a harvest asks, not at every exit. Then the vCPU's index in its VMCS is
 * set to PML_INDEX_EMPTY.
 *
 * Entries are addresses that EPT translated. While EPT02 is in force these are
 * L2 addresses, so PML is off in vmcs02 then, or the shadow translates them
 * (shadow_drain). What stands in the page was always logged under one EPT: it
 * is drained before another comes into force. Low bits are not trusted (some emulators log
 * the full address), nor that an address is guest memory.
 */
#ifndef PML_PML_H
#define PML_PML_H

#include "lib/types.h"
#include "mm/dirty_log.h"

#define PML_ENTRIES     512
#define PML_INDEX_EMPTY (PML_ENTRIES - 1)

/* Where the entries that count begin in the page; they all reach to its end. */
u32 pml_first_entry(u16 index);

/*
 * Marks the pages that the CPU has logged since the index was last
 * PML_INDEX_EMPTY; returns how many entries that were.
 */
u32 pml_drain(const u64 page[PML_ENTRIES], u16 index, struct dirty_log *log);

#endif
