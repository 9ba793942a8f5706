/* SPDX-License-Identifier: MIT */
/*
 * The multiboot specifications, versions 1 (0.6.96) and 2: what a kernel's
 * header says to the loader, and what the loader says to the kernel; as much
 * of it as Umbra uses.
 *
 * Terms and field names are those of the specifications. Both directions use
 * these: Umbra is a multiboot kernel, and loads multiboot kernels. All
 * numbers are little endian; all structures are packed by their nature.
 */
#ifndef LOADER_MULTIBOOT_H
#define LOADER_MULTIBOOT_H

#include "lib/bits.h"
#include "lib/types.h"

/* --- Version 1: the header in the kernel's file ------------------------- */

#define MB1_HEADER_MAGIC        0x1badb002u
#define MB1_HEADER_SEARCH_BYTES 8192u /* the header lies wholly within */
#define MB1_HEADER_ALIGN        4u

#define MB1_FLAG_PAGE_ALIGN     BIT(0)      /* modules on page boundaries */
#define MB1_FLAG_MEMORY_INFO    BIT(1)      /* mem_* must be given */
#define MB1_FLAG_VIDEO_MODE     BIT(2)      /* a video mode must be set up */
#define MB1_FLAG_ADDRESS_FIELDS BIT(16)     /* the "a.out kludge" is valid */
#define MB1_FLAGS_REQUIRED      BITS(15, 0) /* refuse those not understood */

struct mb1_header {
	u32 magic;
	u32 flags;
	u32 checksum; /* magic + flags + checksum == 0 */
};

/* Follows when MB1_FLAG_ADDRESS_FIELDS is set. */
struct mb1_header_addresses {
	u32 header_addr;   /* where this header's magic is to be */
	u32 load_addr;     /* where the text begins */
	u32 load_end_addr; /* where the data ends; 0: the whole file */
	u32 bss_end_addr;  /* where the bss ends; 0: no bss */
	u32 entry_addr;
};

_Static_assert(sizeof(struct mb1_header) == 12, "specification");
_Static_assert(sizeof(struct mb1_header_addresses) == 20, "specification");

/* --- Version 1: the information for the kernel -------------------------- */

#define MB1_BOOT_MAGIC            0x2badb002u

#define MB1_INFO_MEMORY           BIT(0)
#define MB1_INFO_COMMAND_LINE     BIT(2)
#define MB1_INFO_MODULES          BIT(3)
#define MB1_INFO_MMAP             BIT(6)
#define MB1_INFO_BOOT_LOADER_NAME BIT(9)

struct mb1_info {
	u32 flags;
	u32 mem_lower; /* KiB from 0; valid with MB1_INFO_MEMORY */
	u32 mem_upper; /* KiB from 1 MiB */
	u32 boot_device;
	u32 cmdline;
	u32 mods_count;
	u32 mods_addr;
	u32 syms[4];
	u32 mmap_length;
	u32 mmap_addr;
	u32 drives_length;
	u32 drives_addr;
	u32 config_table;
	u32 boot_loader_name;
	u32 apm_table;
	u32 vbe[4]; /* four addresses and four half-words */
	u8 framebuffer[28];
};

struct mb1_module {
	u32 mod_start;
	u32 mod_end; /* the first byte behind it */
	u32 string;
	u32 reserved;
};

/* `size` does not count itself; the next entry is at + size + 4. */
struct mb1_mmap_entry {
	u32 size;
	u64 base_addr;
	u64 length;
	u32 type;
} PACKED;

#define MB1_MMAP_ENTRY_MIN_SIZE 20u

_Static_assert(sizeof(struct mb1_info) == 116, "specification");
_Static_assert(offsetof(struct mb1_info, mmap_length) == 44, "specification");
_Static_assert(offsetof(struct mb1_info, boot_loader_name) == 64,
	       "specification");
_Static_assert(sizeof(struct mb1_module) == 16, "specification");
_Static_assert(sizeof(struct mb1_mmap_entry) == 24, "specification");

/* Memory types, the same in both versions; what is not listed is reserved. */
#define MB_MEMORY_AVAILABLE          1u
#define MB_MEMORY_RESERVED           2u
#define MB_MEMORY_ACPI_RECLAIMABLE   3u
#define MB_MEMORY_NVS                4u
#define MB_MEMORY_BADRAM             5u

/* --- Version 2: the header in the kernel's file ------------------------- */

#define MB2_HEADER_MAGIC             0xe85250d6u
#define MB2_HEADER_SEARCH_BYTES      32768u
#define MB2_HEADER_ALIGN             8u
#define MB2_ARCHITECTURE_I386        0u

#define MB2_HEADER_TAG_END           0u
#define MB2_HEADER_TAG_INFORMATION   1u
#define MB2_HEADER_TAG_ADDRESS       2u
#define MB2_HEADER_TAG_ENTRY         3u
#define MB2_HEADER_TAG_CONSOLE       4u
#define MB2_HEADER_TAG_FRAMEBUFFER   5u
#define MB2_HEADER_TAG_MODULE_ALIGN  6u
#define MB2_HEADER_TAG_EFI_BS        7u
#define MB2_HEADER_TAG_ENTRY_EFI32   8u
#define MB2_HEADER_TAG_ENTRY_EFI64   9u
#define MB2_HEADER_TAG_RELOCATABLE   10u

#define MB2_HEADER_TAG_FLAG_OPTIONAL BIT(0)

struct mb2_header {
	u32 magic;
	u32 architecture;
	u32 header_length; /* with all tags */
	u32 checksum;      /* the four sum up to 0 */
};

/* Every tag begins 8-byte aligned; `size` counts this head, not the gap. */
struct mb2_header_tag {
	u16 type;
	u16 flags;
	u32 size;
};

_Static_assert(sizeof(struct mb2_header) == 16, "specification");
_Static_assert(sizeof(struct mb2_header_tag) == 8, "specification");

/* --- Version 2: the information for the kernel -------------------------- */

#define MB2_BOOT_MAGIC           0x36d76289u
#define MB2_TAG_ALIGN            8u

#define MB2_TAG_END              0u
#define MB2_TAG_COMMAND_LINE     1u
#define MB2_TAG_BOOT_LOADER_NAME 2u
#define MB2_TAG_MODULE           3u
#define MB2_TAG_BASIC_MEMORY     4u
#define MB2_TAG_MMAP             6u
#define MB2_TAG_EFI32            11u
#define MB2_TAG_EFI64            12u
#define MB2_TAG_ACPI_OLD         14u
#define MB2_TAG_ACPI_NEW         15u
#define MB2_TAG_EFI_MMAP         17u
#define MB2_TAG_EFI_BS           18u /* boot services still run */

struct mb2_info {
	u32 total_size; /* with this head and all tags */
	u32 reserved;
};

struct mb2_tag {
	u32 type;
	u32 size; /* with this head, without the gap to the next */
};

struct mb2_tag_module {
	struct mb2_tag tag;
	u32 mod_start;
	u32 mod_end;
	/* the string, zero terminated */
};

struct mb2_tag_basic_memory {
	struct mb2_tag tag;
	u32 mem_lower;
	u32 mem_upper;
};

struct mb2_tag_mmap {
	struct mb2_tag tag;
	u32 entry_size; /* a multiple of 8, at least that of the struct */
	u32 entry_version;
	/* the entries */
};

struct mb2_mmap_entry {
	u64 base_addr;
	u64 length;
	u32 type;
	u32 reserved;
};

_Static_assert(sizeof(struct mb2_tag_module) == 16, "specification");
_Static_assert(sizeof(struct mb2_tag_mmap) == 16, "specification");
_Static_assert(sizeof(struct mb2_mmap_entry) == 24, "specification");

/* UEFI Specification, "EFI_BOOT_SERVICES.GetMemoryMap()". */
struct efi_memory_descriptor {
	u32 type;
	u32 padding;
	u64 physical_start;
	u64 virtual_start;
	u64 number_of_pages; /* of 4 KiB */
	u64 attribute;
};

_Static_assert(sizeof(struct efi_memory_descriptor) == 40, "specification");

#endif
