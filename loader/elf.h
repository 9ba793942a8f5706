/* SPDX-License-Identifier: MIT */
/*
 * ELF executables for x86, 32 and 64 bit: what to load where.
 *
 * Only program headers are looked at. Everything that is returned has been
 * checked against the file; addresses are those that the file asks for, which
 * the caller checks against the memory that there is.
 */
#ifndef LOADER_ELF_H
#define LOADER_ELF_H

#include "lib/err.h"
#include "loader/image_file.h"

#define ELF_SEGMENTS_MAX 16

enum elf_class { ELF_32, ELF_64 };

struct elf_segment {
	u64 physical; /* where it is to lie */
	u64 file_offset;
	u64 file_bytes;   /* the file has them */
	u64 memory_bytes; /* at least file_bytes; the rest is zeros */
};

struct elf_image {
	enum elf_class class;
	u64 entry; /* a physical address */
	struct elf_segment segments[ELF_SEGMENTS_MAX];
	u32 segment_count; /* at least 1 */
};

bool elf_is(const struct image_file *file);

/*
 * ERR_BAD_FORMAT   damaged
 * ERR_UNSUPPORTED  not an executable for x86, or too many segments
 * Each after one line in the log; `elf` is then of no use.
 */
MUST_CHECK enum err elf_parse(const struct image_file *file,
			      struct elf_image *elf);

#endif
