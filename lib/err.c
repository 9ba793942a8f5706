/* SPDX-License-Identifier: MIT */
/* The words for enum err. */
#include "lib/err.h"

const char *err_text(enum err err)
{
	switch (err) {
	case OK:
		return "no error";
	case ERR_NO_MEMORY:
		return "out of memory";
	case ERR_RANGE:
		return "out of range";
	case ERR_ALIGN:
		return "not aligned";
	case ERR_OVERLAP:
		return "overlaps something that is already there";
	case ERR_NOT_FOUND:
		return "not found";
	case ERR_BAD_FORMAT:
		return "malformed";
	case ERR_UNSUPPORTED:
		return "not supported";
	case ERR_BUSY:
		return "busy";
	case ERR_TIMEOUT:
		return "timed out";
	case ERR_STATE:
		return "not possible in this state";
	}
	return "unknown error";
}
