/* SPDX-License-Identifier: MIT */
/*
 * Which MSRs a guest reads and writes without an exit
 * (SDM vol. 3, "MSR-Bitmap Address").
 */
#ifndef ARCH_X86_VMX_MSR_BITMAP_H
#define ARCH_X86_VMX_MSR_BITMAP_H

#include "lib/types.h"

/* Everything exits except what vmcs01 or vcpu_load() switches anyway. */
void msr_bitmap_init(u8 *bitmap);

enum msr_way { MSR_READS, MSR_WRITES };
enum msr_exits { MSR_EXITS, MSR_PASSES };

/* What reads, or writes, of this MSR do from now on. */
void msr_bitmap_set(u8 *bitmap, u32 msr, enum msr_way way,
		    enum msr_exits exits);

/* From now on neither reads nor writes of this MSR exit. */
void msr_bitmap_free(u8 *bitmap, u32 msr);

#endif
