/* SPDX-License-Identifier: MIT */
/*
 * The information of a multiboot 1 loader: one block of fields, of which
 * `flags` says which are valid, with pointers to everything else.
 */
#include "lib/log.h"
#include "loader/boot_reader.h"
#include "loader/multiboot.h"

/* No firmware comes near; a foreign length must not keep us busy. */
#define MMAP_ENTRIES_MAX 1024

static void read_texts(struct boot_reader *reader, const struct mb1_info *info)
{
	struct boot_info *boot = reader->boot;

	if (info->flags & MB1_INFO_COMMAND_LINE)
		boot->command_line_cut = boot_reader_text(
		    reader, info->cmdline, reader->limit, boot->command_line,
		    sizeof(boot->command_line));
	if (info->flags & MB1_INFO_BOOT_LOADER_NAME)
		boot_reader_text(reader, info->boot_loader_name, reader->limit,
				 boot->loader_name, sizeof(boot->loader_name));
}

static void read_modules(struct boot_reader *reader,
			 const struct mb1_info *info)
{
	if (!(info->flags & MB1_INFO_MODULES))
		return;
	for (u32 i = 0; i < info->mods_count && i < BOOT_MODULES_MAX; i++) {
		struct mb1_module module;
		u64 at = info->mods_addr + (u64)i * sizeof(module);

		/* Entries that cannot be read end the list. */
		if (!boot_reader_copy(reader, at, &module, sizeof(module))) {
			log_warn("the boot loader's list of %u modules cannot "
				 "be read from entry %u on",
				 info->mods_count, i);
			return;
		}
		boot_reader_module(reader, module.mod_start, module.mod_end,
				   module.string,
				   module.string ? reader->limit : 0);
	}
	reader->module_entries = info->mods_count;
}

/* Reads up to where the list ends or makes no sense. */
static void read_mmap(struct boot_reader *reader, const struct mb1_info *info)
{
	u64 at = info->mmap_addr;
	u64 end = at + info->mmap_length;

	for (u32 i = 0; at < end; i++) {
		struct mb1_mmap_entry entry;

		if (end - at < sizeof(entry) ||
		    !boot_reader_copy(reader, at, &entry, sizeof(entry)) ||
		    entry.size < MB1_MMAP_ENTRY_MIN_SIZE ||
		    i == MMAP_ENTRIES_MAX) {
			log_warn("the boot loader's memory map makes no sense "
				 "from entry %u on; the rest is left out",
				 i);
			return;
		}
		boot_reader_memory(reader, entry.base_addr, entry.length,
				   entry.type);
		at += entry.size + sizeof(entry.size);
	}
}

enum err multiboot1_read(struct boot_reader *reader, u64 info_address)
{
	struct mb1_info info;

	if (!boot_reader_copy(reader, info_address, &info, sizeof(info))) {
		log_error("the multiboot information at %#lx cannot be read",
			  info_address);
		return ERR_RANGE;
	}
	read_texts(reader, &info);
	read_modules(reader, &info);
	if (info.flags & MB1_INFO_MMAP)
		read_mmap(reader, &info);
	if (!reader->boot->memory.region_count &&
	    (info.flags & MB1_INFO_MEMORY))
		boot_reader_basic_memory(reader, info.mem_lower,
					 info.mem_upper);
	return OK;
}
