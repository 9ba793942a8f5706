/* SPDX-License-Identifier: MIT */
/*
 * What the loader told this guest: multiboot 1 information, checked as far as
 * a guest needs it and kept where it is.
 */
#ifndef GUESTS_LIB_BOOT_H
#define GUESTS_LIB_BOOT_H

#include "lib/types.h"

struct boot_range {
	u64 base, bytes;
};

struct boot_file {
	const u8 *at;
	u64 bytes;
	const char *text;
};

/* Called by the runtime before guest_main. */
void boot_init(u32 magic, u32 info_address);

const char *boot_command_line(void); /* "" when there is none */

struct boot_map_entry {
	u64 base, bytes;
	u32 type; /* as the specification counts; 1 is RAM */
};

/* Entry `index` of the loader's memory map; false: there is none. */
bool boot_map(u32 index, struct boot_map_entry *result);

/* All memory that is free to use, in bytes. */
u64 boot_memory_bytes(void);

/*
 * The largest part of free memory below 4 GiB that holds neither this image
 * nor a module nor the loader's information.
 */
struct boot_range boot_free_range(void);

u32 boot_module_count(void);
struct boot_file boot_module(u32 index);

/* Whether the word `key`, or a word `key=...`, is on the command line. */
bool boot_has_word(const char *key);

/* The number after `key=`, decimal or 0x, or `otherwise` without one. */
u64 boot_number(const char *key, u64 otherwise);

#endif
