/* SPDX-License-Identifier: MIT */
/*
 * Posted interrupts of L2. L1's notification vector has come while L2 runs:
 *
 *	descriptor (L1's memory)             virtual-APIC page (L1's memory)
 *	  PIR, 256 bits   --- moved into -->   VIRR
 *	  ON              --- cleared          RVI: the highest of them, if higher
 *
 * A CPU does that between two instructions of L2. Umbra takes L1's interrupts,
 * so it is Umbra that does it, on every CPU with virtual-interrupt delivery,
 * whether that has posted interrupts or not. SDM vol. 3, "Posted-Interrupt
 * Processing".
 */
#ifndef NESTED_POSTED_H
#define NESTED_POSTED_H

#include "nested/vmcs12.h"

/* Is `vector`, from L1's local APIC, the one that says so? */
bool nested_is_notification(const struct vmcs12 *v, u32 vector);

/*
 * Moves what is posted. `status` is the guest interrupt status; the new one
 * comes back. What is not memory of L1's holds nothing and takes nothing. The
 * writes reach the dirty log.
 */
u16 nested_take_posted(const struct vmcs12 *v, struct guest_mem *mem,
		       u16 status);

#endif
