/* SPDX-License-Identifier: MIT */
/*
 * Function names for backtraces. The table is made from the linked image by
 * tools/symbols.py and linked in at its end.
 */
#ifndef CORE_SYMBOLS_H
#define CORE_SYMBOLS_H

#include "lib/types.h"

struct symbol {
	const char *name; /* never NULL: "?" outside the image's text */
	u64 offset;       /* of the address in the function */
};

struct symbol symbols_find(u64 address);

#endif
