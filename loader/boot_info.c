/* SPDX-License-Identifier: MIT */
/* What both multiboot versions share in filling boot_info. */
#include "loader/boot_info.h"
#include "lib/log.h"
#include "lib/string.h"
#include "loader/boot_reader.h"
#include "loader/multiboot.h"
#include "mm/phys.h"

bool boot_reader_copy(const struct boot_reader *reader, u64 at, void *to,
		      u64 bytes)
{
	if (bytes > reader->limit || at > reader->limit - bytes)
		return false;
	memcpy(to, phys_ptr(hpa(at)), bytes);
	return true;
}

static char printable(char c)
{
	return (u8)c < ' ' || c == 0x7f ? ' ' : c;
}

bool boot_reader_text(const struct boot_reader *reader, u64 at, u64 text_bytes,
		      char *buffer, size_t buffer_bytes)
{
	size_t length = 0;
	bool cut = false;

	for (u64 i = 0; i < text_bytes; i++) {
		char c;

		cut = !boot_reader_copy(reader, at + i, &c, 1) ||
		      (c && length + 1 == buffer_bytes);
		if (cut || !c)
			break;
		buffer[length++] = printable(c);
	}
	buffer[length] = 0;
	return cut;
}

static enum region_kind kind_of(u32 type)
{
	switch (type) {
	case MB_MEMORY_AVAILABLE:
		return REGION_AVAILABLE;
	case MB_MEMORY_ACPI_RECLAIMABLE:
		return REGION_ACPI_RECLAIMABLE;
	case MB_MEMORY_NVS:
		return REGION_ACPI_NVS;
	case MB_MEMORY_BADRAM:
		return REGION_BAD;
	default:
		return REGION_RESERVED;
	}
}

void boot_reader_memory(struct boot_reader *reader, u64 base, u64 bytes,
			u32 type)
{
	region_map_add(&reader->boot->memory, hpa(base), bytes, kind_of(type));
}

void boot_reader_basic_memory(struct boot_reader *reader, u32 lower, u32 upper)
{
	boot_reader_memory(reader, 0, lower * KIB, MB_MEMORY_AVAILABLE);
	boot_reader_memory(reader, MIB, upper * KIB, MB_MEMORY_AVAILABLE);
}

void boot_reader_module(struct boot_reader *reader, u64 start, u64 end,
			u64 text, u64 text_bytes)
{
	struct boot_info *boot = reader->boot;

	if (reader->module_entries++ >= BOOT_MODULES_MAX)
		return;
	if (start > end || end > reader->limit) {
		log_warn("boot module %#lx-%#lx does not lie in memory that "
			 "can be read; it is left out",
			 start, end);
		return;
	}
	struct boot_module *module = &boot->modules[boot->module_count++];

	module->base = hpa(start);
	module->bytes = end - start;
	module->text_cut = boot_reader_text(reader, text, text_bytes,
					    module->text, sizeof(module->text));
	if (module->text_cut)
		log_warn("the string of boot module %u is cut after %zu "
			 "characters",
			 boot->module_count - 1, strlen(module->text));
}

static enum err read_by_magic(struct boot_reader *reader, u32 magic, u64 info)
{
	switch (magic) {
	case MB1_BOOT_MAGIC:
		return multiboot1_read(reader, info);
	case MB2_BOOT_MAGIC:
		return multiboot2_read(reader, info);
	default:
		log_error("not started by a multiboot loader: eax is %#x; "
			  "start Umbra with GRUB or qemu -kernel",
			  magic);
		return ERR_UNSUPPORTED;
	}
}

static void report_losses(const struct boot_reader *reader)
{
	const struct boot_info *boot = reader->boot;

	if (boot->command_line_cut)
		log_warn("Umbra's command line is cut after %zu characters",
			 strlen(boot->command_line));
	if (reader->module_entries > BOOT_MODULES_MAX)
		log_warn("%u boot modules are left out: Umbra takes %u",
			 reader->module_entries - BOOT_MODULES_MAX,
			 BOOT_MODULES_MAX);
	if (boot->memory.unlisted_bytes)
		log_warn("%lu KiB of the machine's memory are left out: the "
			 "memory map has more than %u regions",
			 boot->memory.unlisted_bytes >> 10, REGIONS_MAX);
}

enum err boot_info_from_multiboot(struct boot_info *boot, u32 magic, hpa_t info,
				  hpa_t limit)
{
	struct boot_reader reader = {.boot = boot, .limit = hpa_raw(limit)};

	memset(boot, 0, sizeof(*boot));
	enum err err = read_by_magic(&reader, magic, hpa_raw(info));

	if (err)
		return err;
	report_losses(&reader);
	if (!region_map_bytes(&boot->memory, REGION_AVAILABLE)) {
		log_error("the boot loader names no usable memory");
		return ERR_NOT_FOUND;
	}
	return OK;
}

static const char *efi_text(enum boot_efi efi)
{
	switch (efi) {
	case BOOT_EFI_32:
		return ", 32-bit EFI";
	case BOOT_EFI_64:
		return ", 64-bit EFI";
	case BOOT_EFI_NONE:
		break;
	}
	return "";
}

void boot_info_log(const struct boot_info *boot)
{
	log_debug("boot: loader \"%s\"%s, command line \"%s\"",
		  boot->loader_name, efi_text(boot->efi), boot->command_line);
	for (u32 i = 0; i < boot->memory.region_count; i++) {
		const struct region *region = &boot->memory.regions[i];

		log_debug("boot: memory %#lx, %#lx bytes: %s",
			  hpa_raw(region->base), region->bytes,
			  region_kind_text(region->kind));
	}
	for (u32 i = 0; i < boot->module_count; i++) {
		const struct boot_module *module = &boot->modules[i];

		log_debug("boot: module %u at %#lx, %#lx bytes: \"%s\"", i,
			  hpa_raw(module->base), module->bytes, module->text);
	}
}
