/* SPDX-License-Identifier: MIT */
/*
 * What the string operations do; the inside of emulate.h.
 */
#ifndef EMULATE_STRING_OPERATION_H
#define EMULATE_STRING_OPERATION_H

#include "emulate/emulate.h"

/*
 * Does e->instruction, at most `iterations` times if it is repeated; RIP
 * stays. Iterations that are complete have changed the registers, whatever
 * the result.
 */
MUST_CHECK enum emulate_result string_operation_execute(struct emulation *e,
							u32 iterations);

#endif
