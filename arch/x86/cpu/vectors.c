/* SPDX-License-Identifier: MIT */
/*
 * Copying, comparing and folding with ZMM16 to ZMM31: see lib/vectors.h. XCR0 is the
 * loaded guest's, which never has AVX-512 in it, and is so again afterwards.
 * Interrupts that come between find nothing that they would notice.
 */
#include "lib/vectors.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/insn.h"
#include "lib/check.h"
#include "lib/string.h"

#define COPY_BYTES (16UL * 64) /* in one turn: all sixteen registers */

static u64 take_registers(void)
{
	u64 xcr0 = insn_xgetbv(0);

	insn_xsetbv(0, xcr0 | XCR0_VECTORS);
	return xcr0;
}

static void give_registers_back(u64 xcr0)
{
	insn_xsetbv(0, xcr0);
}

void vectors_copy(void *to, const void *from, u64 bytes)
{
	const u8 *end = (const u8 *)from + bytes;
	u64 xcr0;

	if (!cpu_features.vectors || !bytes || bytes % COPY_BYTES) {
		memcpy(to, from, bytes);
		return;
	}
	xcr0 = take_registers();
	__asm__ volatile("1:\n\t"
			 ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, "
			 "26, 27, 28, 29, 30, 31\n\t"
			 "vmovdqu64 64 * (\\n - 16)(%1), %%zmm\\n\n\t"
			 ".endr\n\t"
			 ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, "
			 "26, 27, 28, 29, 30, 31\n\t"
			 "vmovdqu64 %%zmm\\n, 64 * (\\n - 16)(%0)\n\t"
			 ".endr\n\t"
			 "add $16 * 64, %1\n\t"
			 "add $16 * 64, %0\n\t"
			 "cmp %2, %1\n\t"
			 "jb 1b"
			 : "+r"(to), "+r"(from)
			 : "r"(end)
			 : "memory", "cc");
	give_registers_back(xcr0);
}

/* By words of `which`, up to its end. */
bool vectors_change(void *to, const void *from, void *changed,
		    u64 which[VECTORS_CHANGE_BYTES / 64])
{
	i64 at = -(i64)(VECTORS_CHANGE_BYTES / 8);
	u64 xcr0;

	if (!cpu_features.vectors)
		return false;
	xcr0 = take_registers();
	__asm__ volatile("1:\n\t"
			 ".irp n, 0, 1\n\t"
			 "vmovdqu64 4096 + 64 * \\n(%[from],%[at],8), "
			 "%%zmm16\n\t"
			 "vpxorq 4096 + 64 * \\n(%[to],%[at],8), %%zmm16, "
			 "%%zmm17\n\t"
			 "vmovdqu64 %%zmm16, "
			 "4096 + 64 * \\n(%[to],%[at],8)\n\t"
			 "vmovdqu64 %%zmm17, "
			 "4096 + 64 * \\n(%[changed],%[at],8)\n\t"
			 "vptestmb %%zmm17, %%zmm17, %%k1\n\t"
			 "kmovq %%k1, 512 + 8 * \\n(%[which],%[at])\n\t"
			 ".endr\n\t"
			 "add $16, %[at]\n\t"
			 "jnz 1b"
			 : [at] "+r"(at)
			 : [to] "r"(to), [from] "r"(from),
			   [changed] "r"(changed), [which] "r"(which)
			 : "memory", "cc");
	give_registers_back(xcr0);
	return true;
}

bool vectors_any(const void *page, u64 *any)
{
	const u8 *end = (const u8 *)page + 4096;
	u64 xcr0;

	if (!cpu_features.vectors)
		return false;
	xcr0 = take_registers();
	__asm__ volatile("vpxorq %%zmm16, %%zmm16, %%zmm16\n"
			 "1:\n\t"
			 ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, "
			 "13, 14, 15\n\t"
			 "vporq 64 * \\n(%[at]), %%zmm16, %%zmm16\n\t"
			 ".endr\n\t"
			 "add $16 * 64, %[at]\n\t"
			 "cmp %[end], %[at]\n\t"
			 "jb 1b\n\t"
			 "vptestmq %%zmm16, %%zmm16, %%k1\n\t"
			 "kmovq %%k1, %[any]"
			 : [at] "+r"(page), [any] "=r"(*any)
			 : [end] "r"(end)
			 : "memory", "cc");
	give_registers_back(xcr0);
	return true;
}

/* SDM vol. 2, "PCLMULQDQ-Carry-Less Multiplication Quadword". */
void vectors_fold(u32 crc, const u8 *at, u64 bytes, const u64 by[2],
		  u8 folded[VECTORS_FOLD_BYTES])
{
	const u8 *last = at + bytes - VECTORS_FOLD_BYTES;
	u64 xcr0;

	CHECK(cpu_features.vectors && bytes >= 2 * VECTORS_FOLD_BYTES &&
	      bytes % VECTORS_FOLD_BYTES == 0);
	xcr0 = take_registers();
	__asm__ volatile("vbroadcasti32x4 (%[by]), %%zmm20\n\t"
			 "vmovd %[crc], %%xmm21\n\t"
			 "vpxorq (%[at]), %%zmm21, %%zmm16\n\t"
			 "vmovdqu64 64(%[at]), %%zmm17\n\t"
			 "vmovdqu64 128(%[at]), %%zmm18\n\t"
			 "vmovdqu64 192(%[at]), %%zmm19\n"
			 "1:\n\t"
			 "add $256, %[at]\n\t"
			 ".irp n, 16, 17, 18, 19\n\t"
			 "vpclmulqdq $0x00, %%zmm20, %%zmm\\n, %%zmm21\n\t"
			 "vpclmulqdq $0x11, %%zmm20, %%zmm\\n, %%zmm\\n\n\t"
			 "vpternlogq $0x96, 64 * (\\n - 16)(%[at]), %%zmm21, "
			 "%%zmm\\n\n\t"
			 ".endr\n\t"
			 "cmp %[last], %[at]\n\t"
			 "jb 1b\n\t"
			 "vmovdqu64 %%zmm16, (%[folded])\n\t"
			 "vmovdqu64 %%zmm17, 64(%[folded])\n\t"
			 "vmovdqu64 %%zmm18, 128(%[folded])\n\t"
			 "vmovdqu64 %%zmm19, 192(%[folded])"
			 : [at] "+r"(at)
			 : [crc] "r"(crc), [by] "r"(by), [last] "r"(last),
			   [folded] "r"(folded)
			 : "memory", "cc");
	give_registers_back(xcr0);
}
