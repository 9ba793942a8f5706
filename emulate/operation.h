/* SPDX-License-Identifier: MIT */
/*
 * What the instructions do; the inside of emulate.h.
 */
#ifndef EMULATE_OPERATION_H
#define EMULATE_OPERATION_H

#include "emulate/emulate.h"

/* A general register's low bytes, and writing them as the CPU does. */
u64 operation_gpr(const u64 *gpr, u8 reg, u32 bytes);
void operation_set_gpr(u64 *gpr, u8 reg, u32 bytes, u64 value);

/*
 * Does the work of e->instruction, which is no string operation; RIP stays.
 * With any other result than EMULATE_DONE no register has changed.
 */
MUST_CHECK enum emulate_result operation_execute(struct emulation *e);

#endif
