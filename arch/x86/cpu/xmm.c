/* SPDX-License-Identifier: MIT */
/* An instruction names its register: one of sixteen. */
#include "arch/x86/cpu/xmm.h"
#include "lib/check.h"

#define FOR_ALL(CASE) \
	CASE(0)       \
	CASE(1)       \
	CASE(2)       \
	CASE(3)       \
	CASE(4)       \
	CASE(5)       \
	CASE(6)       \
	CASE(7)       \
	CASE(8)       \
	CASE(9)       \
	CASE(10)      \
	CASE(11)      \
	CASE(12)      \
	CASE(13)      \
	CASE(14)      \
	CASE(15)

#define READ(n)                                             \
	case n:                                             \
		__asm__ volatile("movups %%xmm" #n ", (%0)" \
				 :                          \
				 : "r"(to)                  \
				 : "memory");               \
		return;
#define WRITE(n)                                         \
	case n:                                          \
		__asm__ volatile("movups (%0), %%xmm" #n \
				 :                       \
				 : "r"(from)             \
				 : "memory");            \
		return;

void xmm_read(u32 number, void *to)
{
	CHECK(number <= 15);
	switch (number) {
		FOR_ALL(READ)
	}
}

void xmm_write(u32 number, const void *from)
{
	CHECK(number <= 15);
	switch (number) {
		FOR_ALL(WRITE)
	}
}
