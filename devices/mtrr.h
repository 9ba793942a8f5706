/* SPDX-License-Identifier: MIT */
/*
 * The memory-type range registers of a virtual CPU (SDM vol. 3, "Memory Type
 * Range Registers (MTRRs)"): they keep what is written, and refuse what a CPU
 * refuses. With EPT no CPU looks at them (SDM vol. 3, "EPT and Memory Typing");
 * a guest's RAM is write-back, and arch/x86/ept/ept.c says why.
 *
 * They begin as a PC's firmware leaves them: everything write-back, the hole
 * for devices below 4 GiB and the video memory uncached.
 *
 * Pure, plain data: this is the whole state.
 */
#ifndef DEVICES_MTRR_H
#define DEVICES_MTRR_H

#include "lib/types.h"

#define MTRR_VARIABLE_COUNT 8
#define MTRR_FIXED_COUNT    11
#define MTRR_COUNT          (1 + MTRR_FIXED_COUNT + 2 * MTRR_VARIABLE_COUNT)

/* IA32_MTRR_DEF_TYPE, the fixed ranges by address, then base and mask of each
 * variable range. */
struct mtrr {
	u64 values[MTRR_COUNT];
};

enum mtrr_verdict {
	MTRR_DONE,
	MTRR_FAULT,  /* #GP(0); nothing has changed */
	MTRR_ABSENT, /* that MSR is none of these */
};

/* `physical_bits` is the guest's MAXPHYADDR. */
void mtrr_init(struct mtrr *mtrr, u32 physical_bits);

/* IA32_MTRRCAP is among them. */
enum mtrr_verdict mtrr_read(const struct mtrr *mtrr, u32 msr, u64 *value);
/* Could all of it have been written? For state that comes from elsewhere. */
bool mtrr_is_valid(const struct mtrr *mtrr, u32 physical_bits);

enum mtrr_verdict mtrr_write(struct mtrr *mtrr, u32 physical_bits, u32 msr,
			     u64 value);

#endif
