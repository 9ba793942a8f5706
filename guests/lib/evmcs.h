/* SPDX-License-Identifier: MIT */
/*
 * An L2 by an enlightened VMCS (Hyper-V Top-Level Functional Specification,
 * "Nested Virtualization"): a page of this guest's memory instead of VMREAD and
 * VMWRITE. First an L2 is made as ever; then
 *
 *	evmcs_use(&l2, &evmcs);		takes over all that its VMCS says
 *	evmcs_dirty(evmcs);		all has been written by L1
 *	l2_enter(&l2);
 *	evmcs_get32(evmcs, EVMCS_EXIT_REASON)
 */
#ifndef GUESTS_LIB_EVMCS_H
#define GUESTS_LIB_EVMCS_H

#include "guests/lib/l2.h"

/* Where in the page; HV_VMX_ENLIGHTENED_VMCS. */
#define EVMCS_INSTRUCTION_ERROR  0x2b0u /* 32 bits */
#define EVMCS_EXIT_REASON        0x2b4u /* 32 bits */
#define EVMCS_INSTRUCTION_LENGTH 0x2c8u /* 32 bits */
#define EVMCS_GUEST_RIP          0x330u
#define EVMCS_CLEAN_FIELDS       0x338u /* 32 bits */

#define EVMCS_ALL_CLEAN          0xffffu

static inline u32 evmcs_get32(const volatile u8 *evmcs, u32 at)
{
	return *(const volatile u32 *)(evmcs + at);
}

static inline u64 evmcs_get64(const volatile u8 *evmcs, u32 at)
{
	return *(const volatile u64 *)(evmcs + at);
}

static inline void evmcs_put64(volatile u8 *evmcs, u32 at, u64 value)
{
	*(volatile u64 *)(evmcs + at) = value;
}

static inline void evmcs_say_clean(volatile u8 *evmcs, u32 groups)
{
	*(volatile u32 *)(evmcs + EVMCS_CLEAN_FIELDS) = groups;
}

/* Does the interface of Hyper-V offer version 1? */
bool evmcs_is_there(void);

/*
 * The L2, whose VMCS is current, runs by a page of its own from now on; NULL:
 * the VP-assist page cannot be enabled. Its next entry is a VMLAUNCH.
 */
volatile u8 *evmcs_use(struct l2 *l2);

/* What the VP-assist page says of the eVMCS. */
void evmcs_announce(u64 address);

#endif
