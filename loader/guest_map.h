/* SPDX-License-Identifier: MIT */
/*
 * Where a guest has memory. Every guest's looks the same but for its size,
 * as on a PC:
 *
 *	0       636K 640K      896K  1M             3G     4G
 *	|  RAM  |EBDA|.........|BIOS|     RAM       |......|  RAM, what is left
 *
 * Dots are holes, for devices. "mem=64M" counts as it does everywhere: the
 * last byte is at 64M, the hole below 1M is not made up for; but what would
 * lie above 3G lies above 4G.
 *
 * core makes a memory slot of every range; the loaders tell the guest.
 */
#ifndef LOADER_GUEST_MAP_H
#define LOADER_GUEST_MAP_H

#include "lib/types.h"
#include "mm/addr.h"

#define GUEST_MAP_RANGES_MAX 5

/* The extended BIOS data area, and the area that is searched for tables. */
#define GUEST_EBDA           0x9f000ULL
#define GUEST_EBDA_BYTES     0x1000ULL
#define GUEST_BIOS           0xe0000ULL
#define GUEST_BIOS_BYTES     0x20000ULL

#define GUEST_LOW_END        (3 * GIB) /* RAM below 4G ends here */

enum guest_range_kind {
	GUEST_RANGE_RAM,
	GUEST_RANGE_RESERVED, /* RAM that the guest is told to leave alone */
	GUEST_RANGE_ROM,      /* firmware tables; the guest cannot write */
};

struct guest_range {
	gpa_t base;
	u64 bytes; /* whole pages, never 0 */
	enum guest_range_kind kind;
};

/* PCI configuration space: no memory, but firmware lists it as taken, too. */
#define GUEST_ECAM       0xe0000000ULL
#define GUEST_ECAM_BYTES 0x100000ULL

struct guest_map {
	struct guest_range ranges[GUEST_MAP_RANGES_MAX]; /* sorted */
	u32 range_count;
};

/* `memory_bytes` is a multiple of 4K, at least 1M. */
void guest_map_make(struct guest_map *map, u64 memory_bytes);

/*
 * What the guest is told, one after the other by address: the ranges, and what
 * holds no memory and is taken all the same. False: there is no more.
 */
#define GUEST_MAP_TOLD_MAX (GUEST_MAP_RANGES_MAX + 1)
bool guest_map_told(const struct guest_map *map, u32 index,
		    struct guest_range *range);

/* Whether [base, base + bytes) lies wholly in one range of RAM. */
bool guest_map_is_ram(const struct guest_map *map, u64 base, u64 bytes);

#endif
