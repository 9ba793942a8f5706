/* SPDX-License-Identifier: MIT */
/* The memory of a guest: see the drawing in loader/guest_map.h. */
#include "loader/guest_map.h"

static void add(struct guest_map *map, u64 base, u64 end,
		enum guest_range_kind kind)
{
	if (base < end)
		map->ranges[map->range_count++] =
		    (struct guest_range){gpa(base), end - base, kind};
}

void guest_map_make(struct guest_map *map, u64 memory_bytes)
{
	u64 low_end =
	    memory_bytes < GUEST_LOW_END ? memory_bytes : GUEST_LOW_END;

	map->range_count = 0;
	add(map, 0, GUEST_EBDA, GUEST_RANGE_RAM);
	add(map, GUEST_EBDA, GUEST_EBDA + GUEST_EBDA_BYTES,
	    GUEST_RANGE_RESERVED);
	add(map, GUEST_BIOS, GUEST_BIOS + GUEST_BIOS_BYTES, GUEST_RANGE_ROM);
	add(map, MIB, low_end, GUEST_RANGE_RAM);
	add(map, 4 * GIB, 4 * GIB + (memory_bytes - low_end), GUEST_RANGE_RAM);
}

bool guest_map_told(const struct guest_map *map, u32 index,
		    struct guest_range *range)
{
	u32 below = 0;

	while (below < map->range_count &&
	       gpa_raw(map->ranges[below].base) < GUEST_ECAM)
		below++;
	if (index > map->range_count)
		return false;
	if (index == below)
		*range = (struct guest_range){gpa(GUEST_ECAM), GUEST_ECAM_BYTES,
					      GUEST_RANGE_RESERVED};
	else
		*range = map->ranges[index < below ? index : index - 1];
	return true;
}

bool guest_map_is_ram(const struct guest_map *map, u64 base, u64 bytes)
{
	for (u32 i = 0; i < map->range_count; i++) {
		const struct guest_range *range = &map->ranges[i];
		u64 offset = base - gpa_raw(range->base);

		if (range->kind == GUEST_RANGE_RAM && offset < range->bytes &&
		    bytes <= range->bytes - offset)
			return true;
	}
	return false;
}
