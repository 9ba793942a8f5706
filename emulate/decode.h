/* SPDX-License-Identifier: MIT */
/*
 * Decoding of the integer instructions that touch memory, and of the moves
 * between memory and SSE registers.
 *
 * Pure and total: any bytes in any mode give one of the answers below, and
 * nothing is read beyond `byte_count`. What DECODE_OK describes is exactly
 * what the CPU would do; everything else that the CPU may know but Umbra does
 * not (x87, other SSE, AVX, system instructions, far transfers, register forms that
 * touch no memory) is DECODE_UNSUPPORTED, never something similar.
 *
 * tests/fuzz/fuzz_decode.c compares with Zydis.
 */
#ifndef EMULATE_DECODE_H
#define EMULATE_DECODE_H

#include "emulate/instruction.h"

enum decode_result {
	DECODE_OK,
	DECODE_TRUNCATED,   /* more bytes are needed to tell */
	DECODE_TOO_LONG,    /* more than 15 bytes: the CPU raises #GP(0) */
	DECODE_INVALID,     /* the CPU raises #UD */
	DECODE_UNSUPPORTED, /* not understood here */
};

/* `instruction->bytes` holds what was given, whatever the answer. */
MUST_CHECK enum decode_result decode(struct instruction *instruction,
				     const u8 *bytes, u32 byte_count,
				     enum code_size code_size);

/*
 * The bytes in hexadecimal, for messages; returns the length of the text.
 * 64 characters are always enough.
 */
size_t decode_print_bytes(const struct instruction *instruction, char *text,
			  size_t text_bytes);

#endif
