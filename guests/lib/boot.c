/* SPDX-License-Identifier: MIT */
/* Multiboot 1 information and the command line: see boot.h. */
#include "guests/lib/boot.h"
#include "guests/lib/console.h"
#include "guests/lib/result.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "loader/multiboot.h"

static const struct mb1_info *info;

static const void *pointer(u32 address)
{
	return (const void *)(u64)address;
}

void boot_init(u32 magic, u32 info_address)
{
	if (magic != MB1_BOOT_MAGIC) {
		print("not started by a multiboot 1 loader: EAX=%#x\n", magic);
		guest_exit(EXIT_USAGE);
	}
	info = pointer(info_address);
}

static bool has(u64 flag)
{
	return info->flags & flag;
}

const char *boot_command_line(void)
{
	return has(MB1_INFO_COMMAND_LINE) ? pointer(info->cmdline) : "";
}

/* Steps through the memory map; NULL at its end. */
static const struct mb1_mmap_entry *
next_entry(const struct mb1_mmap_entry *entry)
{
	u64 end = (u64)info->mmap_addr + info->mmap_length;
	u64 at = entry ? (u64)entry + entry->size + sizeof(entry->size)
		       : info->mmap_addr;

	return at + sizeof(*entry) <= end ? (const void *)at : NULL;
}

bool boot_map(u32 index, struct boot_map_entry *result)
{
	const struct mb1_mmap_entry *entry = NULL;

	if (!has(MB1_INFO_MMAP))
		return false;
	do
		entry = next_entry(entry);
	while (entry && index--);
	if (!entry)
		return false;
	*result = (struct boot_map_entry){entry->base_addr, entry->length,
					  entry->type};
	return true;
}

u64 boot_memory_bytes(void)
{
	const struct mb1_mmap_entry *entry = NULL;
	u64 bytes = 0;

	if (!has(MB1_INFO_MMAP))
		return has(MB1_INFO_MEMORY)
			   ? ((u64)info->mem_lower + info->mem_upper) * KIB
			   : 0;
	while ((entry = next_entry(entry)))
		if (entry->type == MB_MEMORY_AVAILABLE)
			bytes += entry->length;
	return bytes;
}

u32 boot_module_count(void)
{
	return has(MB1_INFO_MODULES) ? info->mods_count : 0;
}

struct boot_file boot_module(u32 index)
{
	const struct mb1_module *modules = pointer(info->mods_addr);
	const struct mb1_module *module = &modules[index];

	return (struct boot_file){
	    .at = pointer(module->mod_start),
	    .bytes = module->mod_end - module->mod_start,
	    .text = module->string ? pointer(module->string) : "",
	};
}

/* Memory that is in use already: this image and what the loader left. */
static struct boot_range used_range(u32 index)
{
	extern const u8 image_end[];

	switch (index) {
	case 0: /* with the first megabyte: tables, trampoline, video */
		return (struct boot_range){0, (u64)image_end};
	case 1:
		return (struct boot_range){(u64)info, sizeof(*info)};
	case 2:
		return (struct boot_range){info->mmap_addr, info->mmap_length};
	case 3:
		return (struct boot_range){info->mods_addr,
					   boot_module_count() *
					       sizeof(struct mb1_module)};
	case 4:
		return (struct boot_range){(u64)boot_command_line(),
					   strlen(boot_command_line()) + 1};
	default:
		return (struct boot_range){(u64)boot_module(index - 5).at,
					   boot_module(index - 5).bytes};
	}
}

#define USED_RANGES (5 + boot_module_count())

/* What is free from `start`, which is aligned, up to `end` or what is used. */
static struct boot_range free_from(u64 start, u64 end)
{
	for (u32 i = 0; i < USED_RANGES; i++) {
		struct boot_range used = used_range(i);

		if (used.base <= start && used.base + used.bytes > start)
			return (struct boot_range){0, 0};
		if (used.base > start && used.bytes && used.base < end)
			end = align_down(used.base, 4 * KIB);
	}
	return (struct boot_range){start, end > start ? end - start : 0};
}

/* The largest free part of the memory from `base` to `end`. */
static struct boot_range largest_in(u64 base, u64 end)
{
	struct boot_range best = {0, 0};

	end = align_down(end < 4 * GIB ? end : 4 * GIB, 4 * KIB);
	for (u32 i = 0; i <= USED_RANGES; i++) {
		struct boot_range used =
		    i < USED_RANGES ? used_range(i) : (struct boot_range){0, 0};
		u64 start = align_up(used.base + used.bytes, 4 * KIB);
		struct boot_range range = free_from(
		    start > base ? start : align_up(base, 4 * KIB), end);

		if (range.bytes > best.bytes)
			best = range;
	}
	return best;
}

struct boot_range boot_free_range(void)
{
	const struct mb1_mmap_entry *entry = NULL;
	struct boot_range best = {0, 0};

	if (!has(MB1_INFO_MMAP) && has(MB1_INFO_MEMORY))
		return largest_in(MIB, MIB + info->mem_upper * KIB);
	while (has(MB1_INFO_MMAP) && (entry = next_entry(entry))) {
		struct boot_range range = {0, 0};

		if (entry->type == MB_MEMORY_AVAILABLE)
			range = largest_in(entry->base_addr,
					   entry->base_addr + entry->length);
		if (range.bytes > best.bytes)
			best = range;
	}
	return best;
}

/* The text after `key` where it stands as a word, or NULL. */
static const char *find_word(const char *key)
{
	size_t length = strlen(key);
	const char *at = boot_command_line();

	while (*at) {
		if (strncmp(at, key, length) == 0 &&
		    (!at[length] || at[length] == ' ' || at[length] == '='))
			return at + length;
		while (*at && *at != ' ')
			at++;
		while (*at == ' ')
			at++;
	}
	return NULL;
}

bool boot_has_word(const char *key)
{
	return find_word(key) != NULL;
}

static u32 digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (u32)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (u32)(c - 'a') + 10;
	return 16;
}

u64 boot_number(const char *key, u64 otherwise)
{
	const char *at = find_word(key);
	u64 base = 10;
	u64 number = 0;

	if (!at || *at != '=')
		return otherwise;
	at++;
	if (at[0] == '0' && at[1] == 'x') {
		base = 16;
		at += 2;
	}
	if (digit_of(*at) >= base)
		return otherwise;
	for (; digit_of(*at) < base; at++)
		number = number * base + digit_of(*at);
	return number;
}
