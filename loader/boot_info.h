/* SPDX-License-Identifier: MIT */
/*
 * What the boot loader told us, in one place and in our own memory.
 *
 * The loader's records lie in memory that Umbra will soon give away, come in
 * two formats, and are foreign bytes. They are read once, early, and copied
 * here; afterwards nobody looks at them again. Modules stay where the loader
 * put them: `modules` says which memory must not be given away.
 *
 * boot_info is about 70 KB: it belongs in static storage, not on a stack.
 */
#ifndef LOADER_BOOT_INFO_H
#define LOADER_BOOT_INFO_H

#include "lib/err.h"
#include "lib/types.h"
#include "loader/region_map.h"
#include "mm/addr.h"

#define BOOT_LOADER_NAME_BYTES  64
#define BOOT_COMMAND_LINE_BYTES 2048
#define BOOT_MODULE_TEXT_BYTES  1024
#define BOOT_MODULES_MAX        64
#define BOOT_RSDP_BYTES         36 /* revision 2; revision 0 has 20 */

struct boot_module {
	hpa_t base; /* as loaded; GRUB aligns to 4 KiB, others need not */
	u64 bytes;  /* may be 0: an empty file */
	char text[BOOT_MODULE_TEXT_BYTES]; /* its command line, terminated */
	bool text_cut;                     /* `text` is only the beginning */
};

/* Which kind of EFI firmware started the loader. */
enum boot_efi {
	BOOT_EFI_NONE, /* none, or the loader does not say */
	BOOT_EFI_32,
	BOOT_EFI_64,
};

struct boot_info {
	char loader_name[BOOT_LOADER_NAME_BYTES]; /* "" when not given */
	char command_line[BOOT_COMMAND_LINE_BYTES];
	bool command_line_cut; /* `command_line` is only the beginning */

	/*
	 * All memory, as the firmware sees it: our own image, the modules and
	 * the first megabyte's tables lie in AVAILABLE memory.
	 */
	struct region_map memory;

	struct boot_module modules[BOOT_MODULES_MAX];
	u32 module_count;

	/* A copy of the ACPI root pointer; 0 bytes: not given, scan for it. */
	u8 rsdp[BOOT_RSDP_BYTES];
	u32 rsdp_bytes;

	enum boot_efi efi;
	hpa_t efi_system_table; /* 0 unless `efi` says there is one */
};

/*
 * Reads what a multiboot loader left: `magic` is EAX and `info` is EBX at
 * entry, for multiboot 1 (0x2BADB002) and 2 (0x36D76289). Memory can be read
 * from 0 up to, not including, `limit`; nothing above is touched.
 *
 * What is damaged or too much is left out, each with one warning in the log.
 * Only these are errors, after one line in the log:
 * ERR_UNSUPPORTED  `magic` is neither version's, or the firmware still runs
 * ERR_RANGE        the information block itself cannot be read
 * ERR_BAD_FORMAT   the block's own size makes no sense
 * ERR_NOT_FOUND    it names no usable memory
 * After an error `*boot` is of no use.
 */
MUST_CHECK enum err boot_info_from_multiboot(struct boot_info *boot, u32 magic,
					     hpa_t info, hpa_t limit);

/* Lists all of it, line by line, at LOG_DEBUG. */
void boot_info_log(const struct boot_info *boot);

#endif
