/* SPDX-License-Identifier: MIT */
/*
 * Code at privilege level 3, and code in compatibility mode.
 *
 * Both run in the same memory, on stacks of their own, with interrupts off, and
 * return; TRY works in either. On one CPU at a time; #BP is used to come back.
 */
#ifndef GUESTS_LIB_USER_H
#define GUESTS_LIB_USER_H

#include "lib/types.h"

/* Level 3, 64-bit. From the first call on, level 3 may use all memory. */
void user_run(void (*code)(void));

/*
 * Level 0, compatibility mode: the bytes of `code` up to `bytes`, which must
 * not touch the stack, are run at the address of a buffer below 4 GiB. Returns
 * the vector that their first byte raised, or NO_FAULT.
 */
u32 user_run_compatibility(const u8 *code, u32 bytes);

#endif
