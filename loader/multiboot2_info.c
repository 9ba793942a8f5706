/* SPDX-License-Identifier: MIT */
/*
 * The information of a multiboot 2 loader: one block of tags, each with a
 * type and its own size, the next one 8-byte aligned behind it:
 *
 *	| total_size, 0 | tag | gap | tag | gap | ... | end tag |
 *
 * Tags come in any order, so those of which only the best is used (memory,
 * ACPI) are remembered by the first pass and read afterwards.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "loader/boot_reader.h"
#include "loader/multiboot.h"

/* No loader comes near; foreign counts must not keep us busy. */
#define TAGS_MAX         1024
#define MMAP_ENTRIES_MAX 1024

/* A tag that has been found: bytes behind its head; `at` 0: there is none. */
struct found {
	u64 at;
	u64 bytes;
};

struct tags {
	struct found basic_memory, mmap, efi_mmap;
	struct found acpi_old, acpi_new;
	bool firmware_runs;
};

/* UEFI Specification, "EFI_BOOT_SERVICES.AllocatePages()", memory types. */
enum efi_memory_type {
	EFI_LOADER_CODE = 1,
	EFI_LOADER_DATA = 2,
	EFI_BOOT_SERVICES_CODE = 3,
	EFI_BOOT_SERVICES_DATA = 4,
	EFI_CONVENTIONAL = 7,
	EFI_UNUSABLE = 8,
	EFI_ACPI_RECLAIM = 9,
	EFI_ACPI_NVS = 10,
};

/* The multiboot type for an EFI type, with boot services at an end. */
static u32 type_of_efi(u32 efi_type)
{
	switch (efi_type) {
	case EFI_LOADER_CODE:
	case EFI_LOADER_DATA:
	case EFI_BOOT_SERVICES_CODE:
	case EFI_BOOT_SERVICES_DATA:
	case EFI_CONVENTIONAL:
		return MB_MEMORY_AVAILABLE;
	case EFI_UNUSABLE:
		return MB_MEMORY_BADRAM;
	case EFI_ACPI_RECLAIM:
		return MB_MEMORY_ACPI_RECLAIMABLE;
	case EFI_ACPI_NVS:
		return MB_MEMORY_NVS;
	default:
		return MB_MEMORY_RESERVED;
	}
}

static void on_module(struct boot_reader *reader, struct found body)
{
	u32 range[2]; /* mod_start, mod_end */

	if (body.bytes < sizeof(range) ||
	    !boot_reader_copy(reader, body.at, range, sizeof(range))) {
		log_warn("a multiboot module tag is too short; left out");
		return;
	}
	boot_reader_module(reader, range[0], range[1], body.at + sizeof(range),
			   body.bytes - sizeof(range));
}

static void on_efi_table(struct boot_reader *reader, struct found body,
			 enum boot_efi efi)
{
	u64 table = 0;
	u64 bytes = efi == BOOT_EFI_64 ? 8 : 4;

	if (body.bytes < bytes ||
	    !boot_reader_copy(reader, body.at, &table, bytes))
		return;
	reader->boot->efi = efi;
	reader->boot->efi_system_table = hpa(table);
}

static void on_tag(struct boot_reader *reader, struct tags *tags, u32 type,
		   struct found body)
{
	struct boot_info *boot = reader->boot;

	switch (type) {
	case MB2_TAG_COMMAND_LINE:
		boot->command_line_cut = boot_reader_text(
		    reader, body.at, body.bytes, boot->command_line,
		    sizeof(boot->command_line));
		break;
	case MB2_TAG_BOOT_LOADER_NAME:
		boot_reader_text(reader, body.at, body.bytes, boot->loader_name,
				 sizeof(boot->loader_name));
		break;
	case MB2_TAG_MODULE:
		on_module(reader, body);
		break;
	case MB2_TAG_BASIC_MEMORY:
		tags->basic_memory = body;
		break;
	case MB2_TAG_MMAP:
		tags->mmap = body;
		break;
	case MB2_TAG_EFI_MMAP:
		tags->efi_mmap = body;
		break;
	case MB2_TAG_ACPI_OLD:
		tags->acpi_old = body;
		break;
	case MB2_TAG_ACPI_NEW:
		tags->acpi_new = body;
		break;
	case MB2_TAG_EFI32:
		on_efi_table(reader, body, BOOT_EFI_32);
		break;
	case MB2_TAG_EFI64:
		on_efi_table(reader, body, BOOT_EFI_64);
		break;
	case MB2_TAG_EFI_BS:
		tags->firmware_runs = true;
		break;
	default: /* nothing that we need */
		break;
	}
}

/* One pass over all tags; `at` and `end` enclose them. */
static void walk_tags(struct boot_reader *reader, struct tags *tags, u64 at,
		      u64 end)
{
	for (u32 i = 0; at < end; i++) {
		struct mb2_tag tag;

		if (i == TAGS_MAX ||
		    !boot_reader_copy(reader, at, &tag, sizeof(tag)) ||
		    tag.size < sizeof(tag) || tag.size > end - at) {
			log_warn("the multiboot information makes no sense "
				 "from %#lx on; the rest is left out",
				 at);
			return;
		}
		if (tag.type == MB2_TAG_END)
			return;
		on_tag(
		    reader, tags, tag.type,
		    (struct found){at + sizeof(tag), tag.size - sizeof(tag)});
		at += align_up(tag.size, MB2_TAG_ALIGN);
	}
}

/*
 * Reads a table of entries whose size the loader gives: `head` is that size
 * and a version, `entry_bytes` what we need of each.
 */
static void read_table(struct boot_reader *reader, struct found body,
		       u64 entry_bytes,
		       void (*on_entry)(struct boot_reader *reader, u64 at))
{
	u32 head[2];

	if (!body.at || body.bytes < sizeof(head) ||
	    !boot_reader_copy(reader, body.at, head, sizeof(head)))
		return;
	u64 stride = head[0];
	u64 count = stride ? (body.bytes - sizeof(head)) / stride : 0;

	if (stride < entry_bytes || count > MMAP_ENTRIES_MAX) {
		log_warn("the boot loader's memory map has %lu entries of %lu "
			 "bytes, which makes no sense; it is left out",
			 count, stride);
		return;
	}
	for (u64 i = 0; i < count; i++)
		on_entry(reader, body.at + sizeof(head) + i * stride);
}

static void on_mmap_entry(struct boot_reader *reader, u64 at)
{
	struct mb2_mmap_entry entry;

	if (boot_reader_copy(reader, at, &entry, sizeof(entry)))
		boot_reader_memory(reader, entry.base_addr, entry.length,
				   entry.type);
}

static void on_efi_entry(struct boot_reader *reader, u64 at)
{
	struct efi_memory_descriptor entry;

	if (!boot_reader_copy(reader, at, &entry, sizeof(entry)))
		return;
	/* More pages than addresses: the map clips at the end of memory. */
	u64 pages = entry.number_of_pages < BIT(52) ? entry.number_of_pages
						    : BIT(52) - 1;

	boot_reader_memory(reader, entry.physical_start, pages * PAGE_4K,
			   type_of_efi(entry.type));
}

/* The best of three lists. */
static void read_memory(struct boot_reader *reader, const struct tags *tags)
{
	const struct region_map *memory = &reader->boot->memory;
	u32 basic[2]; /* mem_lower, mem_upper */

	read_table(reader, tags->mmap, sizeof(struct mb2_mmap_entry),
		   on_mmap_entry);
	if (!memory->region_count)
		read_table(reader, tags->efi_mmap,
			   sizeof(struct efi_memory_descriptor), on_efi_entry);
	if (!memory->region_count && tags->basic_memory.at &&
	    tags->basic_memory.bytes >= sizeof(basic) &&
	    boot_reader_copy(reader, tags->basic_memory.at, basic,
			     sizeof(basic)))
		boot_reader_basic_memory(reader, basic[0], basic[1]);
}

static void read_rsdp(struct boot_reader *reader, const struct tags *tags)
{
	struct boot_info *boot = reader->boot;
	struct found best = tags->acpi_new.at ? tags->acpi_new : tags->acpi_old;
	u32 bytes =
	    best.bytes < BOOT_RSDP_BYTES ? (u32)best.bytes : BOOT_RSDP_BYTES;

	if (best.at && boot_reader_copy(reader, best.at, boot->rsdp, bytes))
		boot->rsdp_bytes = bytes;
}

enum err multiboot2_read(struct boot_reader *reader, u64 info_address)
{
	struct mb2_info info;
	struct tags tags = {0};

	if (!boot_reader_copy(reader, info_address, &info, sizeof(info)) ||
	    info_address + info.total_size > reader->limit) {
		log_error("the multiboot information at %#lx cannot be read",
			  info_address);
		return ERR_RANGE;
	}
	if (info.total_size < sizeof(info)) {
		log_error("the multiboot information at %#lx has a size of "
			  "%u bytes",
			  info_address, info.total_size);
		return ERR_BAD_FORMAT;
	}
	walk_tags(reader, &tags, info_address + sizeof(info),
		  info_address + info.total_size);
	if (tags.firmware_runs) {
		log_error("the boot loader has not ended the EFI boot "
			  "services; Umbra cannot run beside them");
		return ERR_UNSUPPORTED;
	}
	read_memory(reader, &tags);
	read_rsdp(reader, &tags);
	return OK;
}
