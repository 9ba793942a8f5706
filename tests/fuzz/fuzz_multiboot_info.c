/* SPDX-License-Identifier: MIT */
/*
 * What a loader leaves in memory. The first byte chooses the version and how
 * much memory can be read; the rest lies at 0, the information at 0x40, so
 * that small numbers are pointers to something.
 */
#include "loader/boot_info.h"
#include "loader/multiboot.h"
#include "tests/fuzz/fuzz.h"

#define MEMORY_BYTES (64 * KIB)
#define INFO_AT      0x40

static struct boot_info boot;

static void check_memory(void)
{
	const struct region_map *map = &boot.memory;
	u64 last_end = 0;

	REQUIRE(map->region_count <= REGIONS_MAX);
	for (u32 i = 0; i < map->region_count; i++) {
		const struct region *region = &map->regions[i];

		REQUIRE(region->bytes > 0);
		REQUIRE(hpa_raw(region->base) >= last_end);
		last_end = hpa_raw(region->base) + region->bytes;
		REQUIRE(last_end <= BIT(52));
	}
	REQUIRE(region_map_bytes(map, REGION_AVAILABLE) > 0);
}

static void check_modules(u64 limit)
{
	REQUIRE(boot.module_count <= BOOT_MODULES_MAX);
	for (u32 i = 0; i < boot.module_count; i++) {
		const struct boot_module *module = &boot.modules[i];

		REQUIRE(hpa_raw(module->base) <= limit);
		REQUIRE(module->bytes <= limit - hpa_raw(module->base));
		REQUIRE(strnlen(module->text, sizeof(module->text)) <
			sizeof(module->text));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > MEMORY_BYTES)
		return 0;
	u32 magic = data[0] & 1 ? MB1_BOOT_MAGIC : MB2_BOOT_MAGIC;
	u64 limit = data[0] & 2 ? (size - 1) & ~7ULL : MEMORY_BYTES;

	fuzz_open_window(0, MEMORY_BYTES);
	memset(phys_memory, 0, MEMORY_BYTES);
	memcpy(phys_memory, data + 1, size - 1);
	fuzz_close_window(limit, MEMORY_BYTES);
	memset(&boot, 0xff, sizeof(boot));
	if (boot_info_from_multiboot(&boot, magic, hpa(INFO_AT), hpa(limit)))
		return 0;
	check_memory();
	check_modules(limit);
	REQUIRE(strnlen(boot.command_line, sizeof(boot.command_line)) <
		sizeof(boot.command_line));
	REQUIRE(strnlen(boot.loader_name, sizeof(boot.loader_name)) <
		sizeof(boot.loader_name));
	REQUIRE(boot.rsdp_bytes <= sizeof(boot.rsdp));
	return 0;
}
