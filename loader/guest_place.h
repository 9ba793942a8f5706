/* SPDX-License-Identifier: MIT */
/*
 * For the planners of single formats: finding a place for each piece of a
 * guest in its RAM, so that no two overlap.
 *
 * A piece that does not fit is ERR_NO_MEMORY without a word. guest_load_plan
 * then plans the same guest with the most memory there can be, and so knows
 * how much would do.
 */
#ifndef LOADER_GUEST_PLACE_H
#define LOADER_GUEST_PLACE_H

#include "loader/guest_load.h"

/* Where a piece may go, when it has no address of its own. */
struct guest_room {
	u64 minimum;   /* not below this address */
	u64 limit;     /* ends at or below this one */
	u64 alignment; /* a power of two */
};

/*
 * Puts `piece` at piece->at. ERR_NO_MEMORY: not wholly in RAM;
 * ERR_OVERLAP: with another piece, after one line in the log.
 */
MUST_CHECK enum err guest_place_at(struct guest_load *load,
				   const struct guest_piece *piece);

/*
 * Puts `piece` at the lowest place in `room` and says where. A piece of no
 * bytes takes no room, and gets the lowest address even if nothing is there.
 * ERR_NO_MEMORY: there is no room.
 */
MUST_CHECK enum err guest_place_in(struct guest_load *load,
				   const struct guest_room *room,
				   const struct guest_piece *piece, gpa_t *at);

/*
 * The block of information for the kernel, which guest_load.info holds and
 * which is placed before it is filled, because it names its own addresses.
 */
MUST_CHECK enum err guest_place_info(struct guest_load *load, gpa_t *at);

#endif
