/* SPDX-License-Identifier: MIT */
/*
 * A guest-physical address is not where the bytes are: that is a lookup.
 *
 * EXPECT: incompatible type for argument 1 of 'phys_ptr'
 */
#include "mm/phys.h"

void *bytes_of(hpa_t host, gpa_t guest);

void *bytes_of(hpa_t host, gpa_t guest)
{
	(void)guest;
#ifdef WRONG
	host = hpa(0);
	return phys_ptr(guest);
#else
	return phys_ptr(host);
#endif
}
