/* SPDX-License-Identifier: MIT */
/*
 * A number becomes an address by name, where it enters Umbra.
 *
 * EXPECT: invalid initializer
 */
#include "mm/addr.h"

u64 frame_of(u64 number);

u64 frame_of(u64 number)
{
#ifdef WRONG
	hpa_t address = number;
#else
	hpa_t address = hpa(number);
#endif

	return hpa_raw(address);
}
