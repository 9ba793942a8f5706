/* SPDX-License-Identifier: MIT */
/*
 * Whether two addresses are equal is asked with X_equal.
 *
 * EXPECT: invalid operands to binary ==
 */
#include "mm/addr.h"

bool same(gpa_t a, gpa_t b);

bool same(gpa_t a, gpa_t b)
{
#ifdef WRONG
	return a == b;
#else
	return gpa_equal(a, b);
#endif
}
