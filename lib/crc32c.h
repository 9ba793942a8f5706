/* SPDX-License-Identifier: MIT */
/*
 * CRC32C, the Castagnoli polynomial (RFC 3720, "iSCSI CRC"): finds every
 * error of up to 32 bits in a row and, in a page, every error of up to three
 * single bits. It proves nothing against somebody who wants to deceive.
 *
 * Three ways to the same number. The CRC32 instruction (SSE4.2, but it works on
 * general registers) takes eight bytes at a time, in three chains because its
 * result is there only after three cycles; a page costs little more than one
 * instruction per eight bytes. Where there are vectors, what is long is first
 * folded to 256 bytes with the same remainder, at half an instruction per eight
 * bytes. The table way runs everywhere, and is what is used until somebody who
 * knows the CPU chooses.
 */
#ifndef LIB_CRC32C_H
#define LIB_CRC32C_H

#include "lib/types.h"

enum crc32c_way {
	CRC32C_TABLE,
	CRC32C_INSTRUCTION, /* CPUID leaf 1, ECX bit 20 */
	CRC32C_VECTORS,     /* and AVX-512 with VPCLMULQDQ (lib/vectors.h) */
};

/* Before other CPUs run. */
void crc32c_choose(enum crc32c_way way);

/*
 * The CRC of `bytes` bytes that follow those whose CRC is `before` (0: none):
 * crc32c(crc32c(0, a), b) is that of a and b in a row.
 */
u32 crc32c(u32 before, const void *data, u64 bytes);

#endif
