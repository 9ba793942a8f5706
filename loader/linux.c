/* SPDX-License-Identifier: MIT */
/*
 * Linux, started behind its real-mode part: "The Linux/x86 Boot Protocol",
 * sections "64-bit Boot Protocol" and "32-bit Boot Protocol".
 *
 *	bzImage:  | boot sector and setup | protected-mode kernel |
 *	guest:    boot_params ("zero page"), page tables, GDT and command
 *	          line in one block low in memory; the kernel at the address
 *	          it prefers; the initrds behind it
 *
 * Offsets are those of the protocol, which counts from the file's beginning
 * and, in boot_params, from the page's: the setup header has the same in both.
 */
#include "loader/linux.h"
#include "lib/check.h"
#include "lib/log.h"
#include "lib/string.h"
#include "loader/guest_place.h"
#include "mm/phys.h"

/* --- The setup header --------------------------------------------------- */

#define SETUP_SECTS        0x1f1
#define VID_MODE           0x1fa
#define JUMP_DISTANCE      0x201 /* from 0x202 on: where the header ends */
#define JUMP_ORIGIN        0x202
#define HEADER_MAGIC       0x202
#define VERSION            0x206
#define TYPE_OF_LOADER     0x210
#define LOADFLAGS          0x211
#define CODE32_START       0x214
#define RAMDISK_IMAGE      0x218
#define RAMDISK_SIZE       0x21c
#define CMD_LINE_PTR       0x228
#define INITRD_ADDR_MAX    0x22c
#define KERNEL_ALIGNMENT   0x230
#define RELOCATABLE        0x234
#define XLOADFLAGS         0x236
#define CMDLINE_SIZE       0x238
#define SETUP_DATA         0x250
#define PREF_ADDRESS       0x258
#define INIT_SIZE          0x260
#define HEADER_END_LEAST   0x264 /* with all of the above */
#define HEADER_END_MOST    0x290 /* boot_params has other things there */

#define LOADED_HIGH        BIT(0)
#define XLF_KERNEL_64      BIT(0)
#define VERSION_LEAST      0x20a /* the first with init_size */
#define VERSION_XLOADFLAGS 0x20c
#define LOADER_UNDEFINED   0xff
#define VID_MODE_NORMAL    0xffff

#define SECTOR_BYTES       512
#define ENTRY_64_OFFSET    0x200

/* --- boot_params -------------------------------------------------------- */

#define E820_ENTRIES       0x1e8
#define E820_TABLE         0x2d0
#define E820_RAM           1
#define E820_RESERVED      2

struct e820_entry {
	u64 address, bytes;
	u32 type;
} PACKED;

_Static_assert(sizeof(struct e820_entry) == 20, "boot protocol");

/* --- The block of boot information -------------------------------------- */

#define BLOCK_PAGE_TABLES  0x1000 /* PML4, PDPT, four page directories */
#define BLOCK_GDT          0x7000
#define BLOCK_COMMAND_LINE 0x7040

_Static_assert(BLOCK_COMMAND_LINE + BOOT_MODULE_TEXT_BYTES <=
		   GUEST_LOAD_INFO_BYTES,
	       "the block always fits");

/* "__BOOT_CS" and "__BOOT_DS". */
#define BOOT_CS           0x10
#define BOOT_DS           0x18

/* SDM, "Segment Descriptors": flat, present, accessed, ring 0. */
#define DESCRIPTOR_CODE64 0x00af9b000000ffffULL
#define DESCRIPTOR_CODE32 0x00cf9b000000ffffULL
#define DESCRIPTOR_DATA   0x00cf93000000ffffULL

/* SDM, "4-Level Paging and 5-Level Paging": present, writable; page size in a
 * directory. */
#define PAGE_TABLE        (BIT(1) | BIT(0))
#define PAGE_LARGE        (BIT(7) | BIT(1) | BIT(0))
#define TABLE_ENTRIES     512
#define DIRECTORIES       4ULL /* 4 GiB */

static u64 header_field(const struct image_file *file, u64 offset, u32 bytes)
{
	u64 value = 0;

	/* linux_read has made sure that the file is long enough. */
	CHECK(image_file_has(file, offset, bytes));
	memcpy(&value, file->bytes + offset, bytes);
	return value;
}

bool linux_is(const struct image_file *file)
{
	char magic[4];

	return image_file_copy(file, HEADER_MAGIC, magic, sizeof(magic)) &&
	       memcmp(magic, "HdrS", sizeof(magic)) == 0;
}

static enum err damaged(const struct image_file *file, const char *what)
{
	log_error("guest %s: its Linux kernel is damaged: %s", file->name,
		  what);
	return ERR_BAD_FORMAT;
}

static bool has_entry_64(const struct image_file *file, u16 version)
{
	return version >= VERSION_XLOADFLAGS &&
	       (header_field(file, XLOADFLAGS, 2) & XLF_KERNEL_64);
}

static enum err read_places(const struct image_file *file,
			    struct linux_image *image)
{
	u64 sectors = header_field(file, SETUP_SECTS, 1);
	u64 init_size = header_field(file, INIT_SIZE, 4);

	/* "For backwards compatibility, if this contains 0, it means 4." */
	image->kernel_offset = (1 + (sectors ? sectors : 4)) * SECTOR_BYTES;
	if (image->kernel_offset + ENTRY_64_OFFSET >= file->length)
		return damaged(file, "it ends before the kernel proper");
	image->kernel_bytes = file->length - image->kernel_offset;
	image->init_bytes =
	    init_size > image->kernel_bytes ? init_size : image->kernel_bytes;
	image->preferred_address = header_field(file, PREF_ADDRESS, 8);
	image->alignment = header_field(file, KERNEL_ALIGNMENT, 4);
	image->is_relocatable = header_field(file, RELOCATABLE, 1);
	if (image->alignment == 0 ||
	    (image->alignment & (image->alignment - 1)))
		return damaged(file, "its alignment is no power of two");
	if (image->preferred_address > ~0ULL - image->init_bytes)
		return damaged(file, "it wraps around the address space");
	return OK;
}

enum err linux_read(const struct image_file *file, struct linux_image *image)
{
	if (!image_file_has(file, 0, HEADER_END_LEAST))
		return damaged(file, "its setup header is cut off");
	u16 version = (u16)header_field(file, VERSION, 2);
	bool loads_high = header_field(file, LOADFLAGS, 1) & LOADED_HIGH;

	if (version < VERSION_LEAST || !loads_high) {
		log_error("guest %s: its Linux kernel has boot protocol "
			  "%u.%02u%s; Umbra starts bzImages from 2.10 on",
			  file->name, version >> 8, version & 0xff,
			  loads_high ? "" : " and is a zImage");
		return ERR_UNSUPPORTED;
	}
	u64 header_end = JUMP_ORIGIN + header_field(file, JUMP_DISTANCE, 1);

	if (header_end < HEADER_END_LEAST)
		return damaged(file, "its setup header is too short");
	if (header_end > HEADER_END_MOST)
		header_end = HEADER_END_MOST;
	if (header_end > file->length)
		return damaged(file, "its setup header is cut off");
	image->version = version;
	image->header_bytes = header_end - SETUP_SECTS;
	image->has_entry_64 = has_entry_64(file, version);
	image->initrd_limit = header_field(file, INITRD_ADDR_MAX, 4) + 1;
	image->command_line_max = header_field(file, CMDLINE_SIZE, 4);
	return read_places(file, image);
}

/* --- Places ------------------------------------------------------------- */

/* At the preferred address, or where there is room if it can move. */
static enum err place_kernel(struct guest_load *load, gpa_t *at)
{
	const struct linux_image *image = &load->image.linux_image;
	const struct guest_room room = {MIB, 4 * GIB, image->alignment};
	const struct guest_piece piece = {
	    .what = "kernel",
	    .at = gpa(image->preferred_address),
	    .from = load->image.file.bytes + image->kernel_offset,
	    .copy_bytes = image->kernel_bytes,
	    .total_bytes = image->init_bytes,
	};
	bool fits_32_bits =
	    image->preferred_address + image->init_bytes <= 4 * GIB;
	enum err err =
	    fits_32_bits ? guest_place_at(load, &piece) : ERR_NO_MEMORY;

	if (err == ERR_NO_MEMORY && image->is_relocatable)
		return guest_place_in(load, &room, &piece, at);
	if (err)
		return err;
	*at = piece.at;
	return OK;
}

struct initrd {
	gpa_t at;
	u64 bytes;
};

/* One archive may follow another, at a multiple of 4. */
static u64 initrd_bytes(const struct guest_plan *plan,
			const struct boot_info *boot)
{
	u64 bytes = 0;

	for (u32 i = 0; i < plan->attachment_count; i++)
		bytes = align_up(bytes, 4) +
			boot->modules[plan->attachments[i].module].bytes;
	return bytes;
}

/*
 * Finds room for all initrds with a piece for the whole, which then shrinks
 * to nothing in favour of one piece for each.
 */
static enum err place_initrds(struct guest_load *load,
			      const struct guest_plan *plan,
			      const struct boot_info *boot, u64 kernel_end,
			      struct initrd *initrd)
{
	u64 limit = load->image.linux_image.initrd_limit;
	const struct guest_room room = {kernel_end, limit, PAGE_4K};
	struct guest_piece piece = {.what = "initrd",
				    .total_bytes = initrd_bytes(plan, boot)};
	enum err err = guest_place_in(load, &room, &piece, &piece.at);

	if (err || piece.total_bytes == 0)
		return err;
	*initrd = (struct initrd){piece.at, piece.total_bytes};
	load->piece_count--;
	for (u32 i = 0; i < plan->attachment_count; i++) {
		const struct boot_module *module =
		    &boot->modules[plan->attachments[i].module];

		piece.at = gpa(align_up(gpa_raw(piece.at), 4));
		piece.from = phys_ptr(module->base);
		piece.copy_bytes = module->bytes;
		piece.total_bytes = module->bytes;
		err = guest_place_at(load, &piece);
		if (err)
			return err;
		piece.at = gpa_add(piece.at, module->bytes);
	}
	return OK;
}

/* --- The block of boot information -------------------------------------- */

static void poke(struct guest_load *load, u64 offset, u64 value, u32 bytes)
{
	CHECK(offset + bytes <= GUEST_LOAD_INFO_BYTES);
	memcpy(load->info + offset, &value, bytes);
}

static void build_e820(struct guest_load *load)
{
	struct guest_range range;
	u32 count = 0;

	for (; guest_map_told(&load->map, count, &range); count++) {
		const struct e820_entry entry = {
		    .address = gpa_raw(range.base),
		    .bytes = range.bytes,
		    .type = range.kind == GUEST_RANGE_RAM ? E820_RAM
							  : E820_RESERVED,
		};

		memcpy(load->info + E820_TABLE + count * sizeof(entry), &entry,
		       sizeof(entry));
	}
	poke(load, E820_ENTRIES, count, 1);
}

static void build_boot_params(struct guest_load *load, gpa_t kernel,
			      const struct initrd *initrd, gpa_t block)
{
	const struct guest_image *image = &load->image;

	memcpy(load->info + SETUP_SECTS, image->file.bytes + SETUP_SECTS,
	       image->linux_image.header_bytes);
	poke(load, VID_MODE, VID_MODE_NORMAL, 2);
	poke(load, TYPE_OF_LOADER, LOADER_UNDEFINED, 1);
	poke(load, LOADFLAGS, LOADED_HIGH, 1);
	poke(load, CODE32_START, gpa_raw(kernel), 4);
	poke(load, RAMDISK_IMAGE, gpa_raw(initrd->at), 4);
	poke(load, RAMDISK_SIZE, initrd->bytes, 4);
	poke(load, SETUP_DATA, 0, 8);
	poke(load, CMD_LINE_PTR, gpa_raw(block) + BLOCK_COMMAND_LINE, 4);
	build_e820(load);
}

/* The first 4 GiB one to one, in pages of 2 MiB, which every CPU has. */
static void build_page_tables(struct guest_load *load, gpa_t block)
{
	u64 pml4 = BLOCK_PAGE_TABLES;
	u64 pdpt = pml4 + PAGE_4K;
	u64 directory = pdpt + PAGE_4K;

	poke(load, pml4, (gpa_raw(block) + pdpt) | PAGE_TABLE, 8);
	for (u64 i = 0; i < DIRECTORIES; i++)
		poke(load, pdpt + i * 8,
		     (gpa_raw(block) + directory + i * PAGE_4K) | PAGE_TABLE,
		     8);
	for (u64 i = 0; i < DIRECTORIES * TABLE_ENTRIES; i++)
		poke(load, directory + i * 8, i * PAGE_2M | PAGE_LARGE, 8);
}

static void set_entry(struct guest_load *load, gpa_t kernel, gpa_t block)
{
	bool is_64 = load->image.linux_image.has_entry_64;

	poke(load, BLOCK_GDT + BOOT_CS,
	     is_64 ? DESCRIPTOR_CODE64 : DESCRIPTOR_CODE32, 8);
	poke(load, BLOCK_GDT + BOOT_DS, DESCRIPTOR_DATA, 8);
	load->entry = (struct guest_entry){
	    .mode = is_64 ? GUEST_ENTRY_LONG : GUEST_ENTRY_PROTECTED,
	    .rip = gpa_raw(kernel) + (is_64 ? ENTRY_64_OFFSET : 0),
	    .rsi = gpa_raw(block),
	    .cr3 = is_64 ? gpa_raw(block) + BLOCK_PAGE_TABLES : 0,
	    .cs = BOOT_CS,
	    .ss_ds_es = BOOT_DS,
	    .gdt = gpa_add(block, BLOCK_GDT),
	    .gdt_bytes = BOOT_DS + 8,
	};
}

static enum err build_command_line(struct guest_load *load,
				   const struct guest_plan *plan)
{
	u64 length = strlen(plan->command_line);
	u64 most = load->image.linux_image.command_line_max;

	if (length > most) {
		log_error("guest %s: its command line has %lu characters; "
			  "this Linux kernel takes %lu",
			  load->name, length, most);
		return ERR_UNSUPPORTED;
	}
	CHECK(BLOCK_COMMAND_LINE + length < GUEST_LOAD_INFO_BYTES);
	memcpy(load->info + BLOCK_COMMAND_LINE, plan->command_line, length + 1);
	return OK;
}

enum err linux_plan(struct guest_load *load, const struct guest_plan *plan,
		    const struct boot_info *boot)
{
	gpa_t kernel, block;
	struct initrd initrd = {0};
	enum err err = place_kernel(load, &kernel);

	if (err)
		return err;
	err = guest_place_info(load, &block);
	if (err)
		return err;
	err = place_initrds(
	    load, plan, boot,
	    gpa_raw(kernel) + load->image.linux_image.init_bytes, &initrd);
	if (err)
		return err;
	err = build_command_line(load, plan);
	if (err)
		return err;
	build_boot_params(load, kernel, &initrd, block);
	build_page_tables(load, block);
	set_entry(load, kernel, block);
	return OK;
}
