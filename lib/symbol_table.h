/* SPDX-License-Identifier: MIT */
/*
 * Names of functions by their addresses, in few bytes.
 *
 *	256 pieces, each ended by 0: what a byte of a name stands for
 *	then each function, in the order of addresses:
 *		its distance from the one before, the first one's from 0:
 *		  7 bits a byte, low ones first; bit 7: more follow
 *		how many bytes its name has; those bytes
 *
 * tools/symbols.py makes it: pieces are what names have in common. It is read
 * from front to end when Umbra is broken already, without any memory but the
 * caller's. From a table that is damaged comes a wrong name, or none; nothing
 * outside it is read.
 */
#ifndef LIB_SYMBOL_TABLE_H
#define LIB_SYMBOL_TABLE_H

#include "lib/types.h"

#define SYMBOL_NAME_BYTES 64 /* longer names are cut */

struct symbol_table {
	const u8 *start;
	const u8 *end;
};

struct symbol {
	char name[SYMBOL_NAME_BYTES]; /* "?" before the first function */
	u64 offset;                   /* of the address in the function */
};

/* The last function that begins at `address` or before it. */
struct symbol symbol_table_find(const struct symbol_table *table, u64 address);

#endif
