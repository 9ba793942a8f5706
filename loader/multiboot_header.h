/* SPDX-License-Identifier: MIT */
/*
 * The multiboot header in a kernel's file: found, and checked for what it
 * requires of us.
 */
#ifndef LOADER_MULTIBOOT_HEADER_H
#define LOADER_MULTIBOOT_HEADER_H

#include "lib/err.h"
#include "loader/elf.h"
#include "loader/image_file.h"

enum multiboot_version { MULTIBOOT_NONE, MULTIBOOT_1, MULTIBOOT_2 };

struct multiboot_header {
	enum multiboot_version version;
	u64 offset; /* in the file */

	/* The header says where a flat file lies; else the file is an ELF. */
	bool has_addresses;
	u32 header_addr, load_addr, load_end_addr, bss_end_addr;

	bool has_entry; /* an entry point that counts instead of the ELF's */
	u32 entry;

	bool wants_screen; /* which no guest gets; not a reason to refuse */
};

/*
 * Finds the header of version 1, or else of version 2. ERR_NOT_FOUND without
 * a word: there is none. After one line in the log:
 * ERR_BAD_FORMAT   damaged
 * ERR_UNSUPPORTED  it requires what Umbra does not have
 */
MUST_CHECK enum err multiboot_header_find(const struct image_file *file,
					  struct multiboot_header *header);

/* The one segment of a file with has_addresses. ERR_BAD_FORMAT, logged. */
MUST_CHECK enum err
multiboot_header_segment(const struct image_file *file,
			 const struct multiboot_header *header,
			 struct elf_segment *segment);

#endif
