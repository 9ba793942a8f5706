/* SPDX-License-Identifier: MIT */
/*
 * A switch over an enum names every value: a new one must be thought of.
 *
 * EXPECT: enumeration value 'FLUSH_OWED' not handled
 */
#include "arch/x86/ept/ept.h"

const char *words(enum flush flush);

const char *words(enum flush flush)
{
	switch (flush) {
	case FLUSH_NONE:
		return "nothing to flush";
#ifndef WRONG
	case FLUSH_OWED:
		return "a flush is owed";
#endif
	}
	return "never";
}
