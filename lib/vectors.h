/* SPDX-License-Identifier: MIT */
/*
 * Wide registers, for bytes by the page. A seam: the image has it in
 * arch/x86/cpu/vectors.c, programs on the development machine have plain C.
 *
 * WHOSE REGISTERS. x87, XMM and YMM registers are the guests', and stay so. No
 * guest is ever offered AVX-512, so ZMM16 to ZMM31, which share no bit with
 * those, are Umbra's; tools/check_purity.py holds that no others are used, and
 * nowhere else. What is in them counts only inside one function here.
 */
#ifndef LIB_VECTORS_H
#define LIB_VECTORS_H

#include "lib/types.h"

#define VECTORS_FOLD_BYTES 256UL /* what is left of any number of those */

/* As memcpy. Any number of bytes, any alignment. */
void vectors_copy(void *to, const void *from, u64 bytes);

/*
 * Folds `bytes` bytes, two or more times VECTORS_FOLD_BYTES, to that many with
 * the same remainder: for CRC32C begun at `crc`, not inverted. `by` are the
 * multipliers of the lower and the upper half of 16 bytes.
 */
void vectors_fold(u32 crc, const u8 *at, u64 bytes, const u64 by[2],
		  u8 folded[VECTORS_FOLD_BYTES]);

#endif
