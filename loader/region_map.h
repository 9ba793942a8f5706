/* SPDX-License-Identifier: MIT */
/*
 * A machine's memory map: sorted, without overlaps, adjacent equals merged.
 *
 * Firmware lists overlap and come in any order. Where two entries disagree,
 * the more restrictive kind wins, because taking memory that is not ours is
 * worse than leaving some unused. Memory that is in no region is nobody's:
 * nothing is known about it, so nothing may use it.
 *
 * The map never grows past its array. When it is full, what is lost is always
 * usable memory, never a restriction; `unlisted_bytes` counts what could not
 * be entered.
 */
#ifndef LOADER_REGION_MAP_H
#define LOADER_REGION_MAP_H

#include "lib/types.h"
#include "mm/addr.h"

#define REGIONS_MAX 128

/* From free to use to not to be touched: the higher value wins an overlap. */
enum region_kind {
	REGION_AVAILABLE,
	REGION_ACPI_RECLAIMABLE, /* free once the ACPI tables have been read */
	REGION_ACPI_NVS,         /* the firmware's, also while we run */
	REGION_RESERVED,
	REGION_BAD, /* the memory is defective */
};

struct region {
	hpa_t base;
	u64 bytes; /* never 0; base + bytes <= 2^52 */
	enum region_kind kind;
};

struct region_map {
	struct region regions[REGIONS_MAX];
	u32 region_count;
	u64 unlisted_bytes; /* did not fit into the array */
};

/*
 * Enters one range; parts of it may already be there with another kind.
 * Addresses are clipped to the 52 bits that x86 can have, empty ranges are
 * ignored. Neither base nor size needs to be page aligned.
 */
void region_map_add(struct region_map *map, hpa_t base, u64 bytes,
		    enum region_kind kind);

/* How many bytes the map lists as `kind`. */
u64 region_map_bytes(const struct region_map *map, enum region_kind kind);

/* A word for listings ("available"), never NULL. */
const char *region_kind_text(enum region_kind kind);

#endif
