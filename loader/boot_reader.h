/* SPDX-License-Identifier: MIT */
/*
 * For the readers of boot loader records only: bounded reads of memory, and
 * entering what was read into boot_info. Everybody else wants boot_info.h.
 */
#ifndef LOADER_BOOT_READER_H
#define LOADER_BOOT_READER_H

#include "loader/boot_info.h"

struct boot_reader {
	struct boot_info *boot;
	u64 limit;          /* memory can be read below this */
	u32 module_entries; /* seen so far, good or bad */
};

/* Copies bytes out of memory; false, and nothing written, past the limit. */
MUST_CHECK bool boot_reader_copy(const struct boot_reader *reader, u64 at,
				 void *to, u64 bytes);

/*
 * Copies a zero-terminated text of at most `text_bytes`. Returns true when
 * not all of it fitted, or its end could not be read. Control characters
 * become blanks, so that text can be printed and split into words.
 */
bool boot_reader_text(const struct boot_reader *reader, u64 at, u64 text_bytes,
		      char *buffer, size_t buffer_bytes);

/* Enters a range with a memory type of the multiboot specifications. */
void boot_reader_memory(struct boot_reader *reader, u64 base, u64 bytes,
			u32 type);

/* For loaders that give no map: KiB from 0, and KiB from 1 MiB. */
void boot_reader_basic_memory(struct boot_reader *reader, u32 lower, u32 upper);

/*
 * Enters a module whose string is `text_bytes` at `text`; 0 bytes: none.
 * Entries past BOOT_MODULES_MAX are only counted.
 */
void boot_reader_module(struct boot_reader *reader, u64 start, u64 end,
			u64 text, u64 text_bytes);

/* The two formats, each in its file. */
MUST_CHECK enum err multiboot1_read(struct boot_reader *reader, u64 info);
MUST_CHECK enum err multiboot2_read(struct boot_reader *reader, u64 info);

#endif
