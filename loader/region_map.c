/* SPDX-License-Identifier: MIT */
/*
 * The memory map. A new range is entered stretch by stretch, each stretch
 * lying either in a gap or in one region that is already there:
 *
 *	there:      |--available--|      |--reserved--|
 *	new:   |===============reserved==================|
 *	stretches:  gap |  inside  | gap  |   inside   |gap
 */
#include "loader/region_map.h"
#include "lib/string.h"

/* Physical addresses have at most 52 bits (SDM, "Paging", MAXPHYADDR). */
#define ADDRESS_END BIT(52)

static u64 region_end(const struct region *region)
{
	return hpa_raw(region->base) + region->bytes;
}

static u32 first_ending_after(const struct region_map *map, u64 address)
{
	u32 i = 0;

	while (i < map->region_count && region_end(&map->regions[i]) <= address)
		i++;
	return i;
}

/* Makes room for `count` more regions before region `at`. */
static bool open_slots(struct region_map *map, u32 at, u32 count)
{
	if (map->region_count + count > REGIONS_MAX || map->unlisted_bytes)
		return false;
	memmove(&map->regions[at + count], &map->regions[at],
		(map->region_count - at) * sizeof(map->regions[0]));
	map->region_count += count;
	return true;
}

static void close_slot(struct region_map *map, u32 at)
{
	map->region_count--;
	memmove(&map->regions[at], &map->regions[at + 1],
		(map->region_count - at) * sizeof(map->regions[0]));
}

static void set_region(struct region_map *map, u32 at, u64 from, u64 end,
		       enum region_kind kind)
{
	map->regions[at] = (struct region){hpa(from), end - from, kind};
}

/* Enters a stretch that lies in a gap before region `at`. */
static void fill_gap(struct region_map *map, u32 at, u64 from, u64 end,
		     enum region_kind kind)
{
	if (open_slots(map, at, 1))
		set_region(map, at, from, end, kind);
	else
		map->unlisted_bytes += end - from;
}

/*
 * Without room for the pieces: region `at` gives up the stretch and, when that
 * leaves two ends, the smaller one. All this becomes memory nobody may use.
 * Once it has happened nothing is entered into gaps any more (open_slots), or
 * a later AVAILABLE could come to lie over a restriction that was left out.
 */
static void give_up(struct region_map *map, u32 at, u64 from, u64 end)
{
	struct region *region = &map->regions[at];
	u64 before = from - hpa_raw(region->base);
	u64 behind = region_end(region) - end;

	map->unlisted_bytes +=
	    region->bytes - (before > behind ? before : behind);
	if (before == 0 && behind == 0)
		close_slot(map, at);
	else if (before > behind)
		region->bytes = before;
	else
		set_region(map, at, end, end + behind, region->kind);
}

/* Gives another kind to a stretch that lies inside region `at`. */
static void replace(struct region_map *map, u32 at, u64 from, u64 end,
		    enum region_kind kind)
{
	const struct region old = map->regions[at];
	u32 before = from > hpa_raw(old.base);
	u32 behind = end < region_end(&old);

	if (before + behind && !open_slots(map, at, before + behind)) {
		give_up(map, at, from, end);
		return;
	}
	if (before)
		set_region(map, at, hpa_raw(old.base), from, old.kind);
	set_region(map, at + before, from, end, kind);
	if (behind)
		set_region(map, at + before + 1, end, region_end(&old),
			   old.kind);
}

/* Enters the first stretch of a range; returns where it ends. */
static u64 add_stretch(struct region_map *map, u64 from, u64 end,
		       enum region_kind kind)
{
	u32 at = first_ending_after(map, from);
	const struct region *next = &map->regions[at];

	if (at == map->region_count || hpa_raw(next->base) >= end) {
		fill_gap(map, at, from, end, kind);
		return end;
	}
	if (hpa_raw(next->base) > from) {
		u64 gap_end = hpa_raw(next->base);

		fill_gap(map, at, from, gap_end, kind);
		return gap_end;
	}
	u64 stop = region_end(next) < end ? region_end(next) : end;

	if (next->kind < kind)
		replace(map, at, from, stop, kind);
	return stop;
}

static void merge_neighbours(struct region_map *map)
{
	for (u32 i = 1; i < map->region_count;) {
		struct region *left = &map->regions[i - 1];
		const struct region *right = &map->regions[i];

		if (left->kind == right->kind &&
		    region_end(left) == hpa_raw(right->base)) {
			left->bytes += right->bytes;
			close_slot(map, i);
		} else {
			i++;
		}
	}
}

void region_map_add(struct region_map *map, hpa_t base, u64 bytes,
		    enum region_kind kind)
{
	u64 from = hpa_raw(base);

	if (from >= ADDRESS_END)
		return;
	u64 end = bytes < ADDRESS_END - from ? from + bytes : ADDRESS_END;

	while (from < end)
		from = add_stretch(map, from, end, kind);
	merge_neighbours(map);
}

u64 region_map_bytes(const struct region_map *map, enum region_kind kind)
{
	u64 bytes = 0;

	for (u32 i = 0; i < map->region_count; i++)
		if (map->regions[i].kind == kind)
			bytes += map->regions[i].bytes;
	return bytes;
}

const char *region_kind_text(enum region_kind kind)
{
	switch (kind) {
	case REGION_AVAILABLE:
		return "available";
	case REGION_ACPI_RECLAIMABLE:
		return "ACPI tables";
	case REGION_ACPI_NVS:
		return "ACPI non-volatile";
	case REGION_RESERVED:
		return "reserved";
	case REGION_BAD:
		return "defective";
	}
	return "unknown";
}
