/* SPDX-License-Identifier: MIT */
/*
 * Function names for backtraces. The table is made from the linked image by
 * tools/symbols.py and linked in at its end.
 */
#ifndef CORE_SYMBOLS_H
#define CORE_SYMBOLS_H

#include "lib/symbol_table.h"

/* The name is "?" outside the image's text, and in an image without names. */
struct symbol symbols_find(u64 address);

#endif
