/* SPDX-License-Identifier: MIT */
/* See arch/x86/vmx/vpid.h. */
#include "arch/x86/vmx/vpid.h"
#include "lib/x86.h"

#define VPIDS UINT16_MAX /* 1 and up */

u16 vpid_of(u32 count)
{
	return (u16)(1 + count % VPIDS);
}

/* SDM vol. 3, "Operations that Invalidate TLBs and Paging-Structure Caches". */
bool vpid_emptied_by_cr0(u64 before, u64 after)
{
	return before & ~after & CR0_PG;
}

bool vpid_emptied_by_cr4(u64 before, u64 after)
{
	return ((before ^ after) & (CR4_PGE | CR4_PAE)) ||
	       (before & ~after & CR4_PCIDE) || (after & ~before & CR4_SMEP);
}
