/* SPDX-License-Identifier: MIT */
/*
 * From the loader's map to page tables and free frames, in two steps, because
 * the page tables that the boot stage made reach 4 GiB only:
 *
 *	1. free memory below 4 GiB to the allocator
 *	2. final page tables over all memory, made from it
 *	3. free memory above 4 GiB to the allocator
 */
#include "core/memory.h"
#include "arch/x86/cpu/paging.h"
#include "lib/check.h"
#include "lib/log.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

extern const u8 image_start[], image_end[];

#define BOOT_MAPPED_END (4 * GIB)

static enum err reserve_what_is_in_use(const struct boot_info *boot)
{
	enum err err = frame_alloc_reserve(phys_of(image_start),
					   (u64)image_end - (u64)image_start);

	for (u32 i = 0; err == OK && i < boot->module_count; i++)
		err = frame_alloc_reserve(boot->modules[i].base,
					  boot->modules[i].bytes);
	return err;
}

/* Gives the allocator the free memory of [from, to). */
static enum err add_free(const struct region_map *map, u64 from, u64 to)
{
	enum err first = OK;

	for (u32 i = 0; i < map->region_count; i++) {
		const struct region *region = &map->regions[i];
		u64 base = hpa_raw(region->base);
		u64 end = base + region->bytes;
		enum err err = OK;

		base = base > from ? base : from;
		end = end < to ? end : to;
		if (region->kind == REGION_AVAILABLE && base < end)
			err = frame_alloc_add(hpa(base), end - base);
		if (err != OK && first == OK)
			first = err;
	}
	return first;
}

/* Firmware tables lie in the other kinds: everything but bad memory. */
static enum err map_regions(const struct region_map *map)
{
	enum err err = OK;

	for (u32 i = 0; err == OK && i < map->region_count; i++)
		if (map->regions[i].kind != REGION_BAD)
			err = paging_map_ram(map->regions[i].base,
					     map->regions[i].bytes);
	return err;
}

enum err memory_init(const struct boot_info *boot)
{
	enum err err;

	frame_alloc_init();
	err = reserve_what_is_in_use(boot);
	if (err == OK)
		err = add_free(&boot->memory, 0, BOOT_MAPPED_END);
	if (err == OK)
		err = paging_init();
	if (err == OK)
		err = map_regions(&boot->memory);
	/* Firmware leaves tables here that its memory map does not list. */
	if (err == OK)
		err = paging_map_ram(hpa(0), 1 * MIB);
	if (err != OK)
		return err;
	paging_enter();
	err = add_free(&boot->memory, BOOT_MAPPED_END, UINT64_MAX);
	if (err != OK)
		log_warn("some memory above 4 GiB stays unused: %s",
			 err_text(err));
	return OK;
}

void memory_guard_null(void)
{
	CHECK(paging_protect(hpa(0), PAGE_4K, PAGING_NONE) == OK);
}
