/* SPDX-License-Identifier: MIT */
/*
 * What may go wrong and is the caller's to decide.
 *
 * Three kinds of trouble, three words: `enum err` for what may happen;
 * the guest's own fault is injected, reflected, or stops that VM; our own
 * fault is a CHECK (lib/check.h). A function that returns an error has
 * changed nothing and has written no out-parameter.
 */
#ifndef LIB_ERR_H
#define LIB_ERR_H

#include "lib/types.h"

enum err {
	OK = 0,
	ERR_NO_MEMORY,   /* no frame, slot or table entry left */
	ERR_RANGE,       /* an address or index outside what exists */
	ERR_ALIGN,       /* not aligned as the callee needs it */
	ERR_OVERLAP,     /* collides with something that is there already */
	ERR_NOT_FOUND,   /* the named thing does not exist */
	ERR_BAD_FORMAT,  /* foreign bytes that do not parse */
	ERR_UNSUPPORTED, /* well formed, but this build or CPU cannot do it */
	ERR_BUSY,        /* in use now, may work later */
	ERR_TIMEOUT,     /* a device or peer did not answer in time */
	ERR_STATE,       /* not allowed in the state that the object is in */
};

/* A short English phrase ("out of memory"), never NULL. */
const char *err_text(enum err err);

#endif
