/* SPDX-License-Identifier: MIT */
/*
 * The SSE registers of this CPU, which hold a guest's: Umbra's own code uses
 * none. `number` is 0 to 15; 16 bytes are moved, and what a register has above
 * them stays.
 */
#ifndef ARCH_X86_CPU_XMM_H
#define ARCH_X86_CPU_XMM_H

#include "lib/types.h"

void xmm_read(u32 number, void *to);
void xmm_write(u32 number, const void *from);

#endif
