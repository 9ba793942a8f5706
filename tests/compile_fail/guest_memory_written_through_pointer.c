/* SPDX-License-Identifier: MIT */
/*
 * Pointers into guest memory are for reading: who writes marks the log.
 *
 * EXPECT: assignment of read-only location
 */
#include "mm/guest_mem.h"

u8 first_byte(struct guest_mem *mem);

u8 first_byte(struct guest_mem *mem)
{
	const u8 *bytes = guest_mem_ptr(mem, gpa(0), 1);

#ifdef WRONG
	*bytes = 1;
#endif
	return bytes ? *bytes : 0;
}
