/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic on addresses has a name, too, and stays in its space.
 *
 * EXPECT: invalid operands to binary \+
 */
#include "mm/addr.h"

gva_t next(gva_t address);

gva_t next(gva_t address)
{
#ifdef WRONG
	return address + 8;
#else
	return gva_add(address, 8);
#endif
}
