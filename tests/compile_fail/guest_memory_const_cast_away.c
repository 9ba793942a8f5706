/* SPDX-License-Identifier: MIT */
/*
 * Nor does a cast make them writable.
 *
 * EXPECT: cast discards 'const' qualifier
 */
#include "mm/guest_mem.h"

u8 first_byte(struct guest_mem *mem);

u8 first_byte(struct guest_mem *mem)
{
#ifdef WRONG
	u8 *bytes = (u8 *)guest_mem_ptr(mem, gpa(0), 1);
#else
	const u8 *bytes = guest_mem_ptr(mem, gpa(0), 1);
#endif

	return bytes ? *bytes : 0;
}
