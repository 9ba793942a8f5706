/* SPDX-License-Identifier: MIT */
/*
 * Which guests' serial ports are joined: those of two guests with the same
 * setting connect=LABEL. See devices/cable.h for what a cable is.
 *
 * A guest that resets, ends, or moves to a peer closes its end; one that has
 * moved stays unplugged, here and there, because its cable does not go with it.
 * The other guest sees the port closed, and can go on with it once it is open
 * again.
 */
#ifndef CORE_CABLES_H
#define CORE_CABLES_H

#include "lib/err.h"
#include "loader/guest_plan.h"

struct vm;

/*
 * Reads the guest's setting, and says what is wrong with it. ERR_BUSY: two
 * guests have that label already.
 */
MUST_CHECK enum err cables_join(struct vm *vm, const struct guest_plan *plan);

/* All guests have been made: says which of them has no other end. */
void cables_check(void);

/* The VM has vCPUs that can be called, or has none any more. */
void cables_plug(struct vm *vm);
void cables_unplug(struct vm *vm);

/* Its guest has no port open: it begins anew, or never runs here again. */
void cables_close(struct vm *vm);

#endif
