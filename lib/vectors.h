/* SPDX-License-Identifier: MIT */
/*
 * Wide registers, for bytes by the page. A seam: the image has it in
 * arch/x86/cpu/vectors.c, programs on the development machine have plain C.
 *
 * WHOSE REGISTERS. x87, XMM and YMM registers are the guests', and stay so. No
 * guest is ever offered AVX-512, so ZMM16 to ZMM31, which share no bit with
 * those, are Umbra's; tools/check_purity.py holds that no others are used, and
 * nowhere else. The same goes for the mask registers K0 to K7. What is in them
 * counts only inside one function here.
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

#define VECTORS_CHANGE_BYTES 4096UL /* that are compared at once */

/*
 * `to` becomes `from`, each byte of which is read once; `changed` is what was
 * there XOR what is, also if it is the same place; and `which` has a bit for
 * each byte, 64 in a word, that says whether it changes. False: there are no
 * such registers, and nothing was done.
 */
MUST_CHECK bool vectors_change(void *to, const void *from, void *changed,
			       u64 which[VECTORS_CHANGE_BYTES / 64]);

/*
 * Whether any of the 4096 bytes at `page` is not zero: then `any` is not. They
 * may be a running guest's. False: there are no such registers.
 */
MUST_CHECK bool vectors_any(const void *page, u64 *any);

#endif
