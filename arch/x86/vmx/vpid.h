/* SPDX-License-Identifier: MIT */
/*
 * VPIDs: their numbers, and what empties them.
 *
 * While VPIDs are on, neither a VM entry nor an exit drops what a CPU has cached
 * of linear addresses. An instruction of the guest's that would, and that Umbra
 * carries out in its place, has to be followed by INVVPID (SDM vol. 3,
 * "Guidelines for Use of the INVVPID Instruction").
 */
#ifndef ARCH_X86_VMX_VPID_H
#define ARCH_X86_VMX_VPID_H

#include "lib/types.h"

/*
 * The VPID of the vCPU that is the `count`th to be given one, from 0 on. Never
 * 0, which is Umbra's own. Numbers come again: whoever is loaded on a CPU empties
 * his there.
 */
u16 vpid_of(u32 count);

/* Does a MOV to CR0, or to CR4, with this effect drop all translations? */
bool vpid_emptied_by_cr0(u64 before, u64 after);
bool vpid_emptied_by_cr4(u64 before, u64 after);

#endif
