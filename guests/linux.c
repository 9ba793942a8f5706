/* SPDX-License-Identifier: MIT */
/*
 * Starts Linux on the bare machine, to compare: module 0 is a bzImage, whose
 * command line follows " -- " in its string, module 1 its initial RAM disk,
 * just as Umbra's own modules are ("The Linux/x86 Boot Protocol", section
 * "64-bit Boot Protocol"). The last thing printed is the TSC at its entry:
 *
 *	linux: entry at tsc 123456
 */
#include "guests/lib/guest.h"

/* Offsets in the file and in boot_params alike. */
#define SETUP_SECTS      0x1f1
#define HEADER_LENGTH    0x201 /* counted from 0x202 */
#define TYPE_OF_LOADER   0x210
#define RAMDISK_IMAGE    0x218
#define RAMDISK_SIZE     0x21c
#define CMD_LINE_PTR     0x228
#define KERNEL_ALIGNMENT 0x230
#define INIT_SIZE        0x260
/* In boot_params only. */
#define E820_ENTRIES     0x1e8
#define E820_TABLE       0x2d0
#define E820_MOST        128

#define LOADER_UNDEFINED 0xff
#define SECTOR_BYTES     512
#define ENTRY_64_OFFSET  0x200

/* "__BOOT_CS" is 0x10, "__BOOT_DS" 0x18. */
static const u64 gdt[] = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff};

static u8 boot_params[4096] ALIGNED(4096);

static u32 number_at(const u8 *at)
{
	u32 value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void put(u32 offset, u64 value)
{
	const u32 low = (u32)value;

	memcpy(boot_params + offset, &low, sizeof(low));
}

static void put_memory_map(void)
{
	struct boot_map_entry entry;
	u32 count = 0;

	for (; count < E820_MOST && boot_map(count, &entry); count++) {
		u8 *at = boot_params + E820_TABLE + 20ULL * count;

		memcpy(at, &entry.base, 8);
		memcpy(at + 8, &entry.bytes, 8);
		memcpy(at + 16, &entry.type, 4);
	}
	boot_params[E820_ENTRIES] = (u8)count;
}

static const char *command_line_in(const char *text)
{
	for (; *text; text++)
		if (strncmp(text, " -- ", 4) == 0)
			return text + 4;
	return "";
}

static void put_boot_params(struct boot_file kernel)
{
	u64 line = (u64)command_line_in(kernel.text);
	u32 end = 0x202 + kernel.at[HEADER_LENGTH];

	memcpy(boot_params + SETUP_SECTS, kernel.at + SETUP_SECTS,
	       end - SETUP_SECTS);
	boot_params[TYPE_OF_LOADER] = LOADER_UNDEFINED;
	put(CMD_LINE_PTR, line);
	put_memory_map();
	if (boot_module_count() > 1) {
		put(RAMDISK_IMAGE, (u64)boot_module(1).at);
		put(RAMDISK_SIZE, boot_module(1).bytes);
	}
}

/* Where the kernel shall be: behind everything else, as it is aligned. */
static u8 *place_kernel(struct boot_file kernel)
{
	u32 sectors = kernel.at[SETUP_SECTS] ? kernel.at[SETUP_SECTS] : 4;
	u64 skipped = (1 + (u64)sectors) * SECTOR_BYTES;
	struct boot_range room = boot_free_range();
	u64 at = align_up(room.base, number_at(kernel.at + KERNEL_ALIGNMENT));

	if (at + number_at(kernel.at + INIT_SIZE) > room.base + room.bytes) {
		print("linux: too little memory\n");
		guest_exit(EXIT_USAGE);
	}
	memcpy((u8 *)at, kernel.at + skipped, kernel.bytes - skipped);
	return (u8 *)at;
}

static NORETURN void enter(const u8 *entry)
{
	const struct {
		u16 limit;
		u64 base;
	} PACKED gdtr = {sizeof(gdt) - 1, (u64)gdt};

	print("linux: entry at tsc %lu\n", rdtsc());
	console_drain();
	__asm__ volatile("cli\n\t"
			 "lgdt %[gdtr]\n\t"
			 "mov $0x18, %%eax\n\t"
			 "mov %%eax, %%ds\n\t"
			 "mov %%eax, %%es\n\t"
			 "mov %%eax, %%ss\n\t"
			 "pushq $0x10\n\t"
			 "pushq %[entry]\n\t"
			 "lretq"
			 :
			 : [gdtr] "m"(gdtr), [entry] "r"(entry),
			   "S"(boot_params)
			 : "rax", "memory");
	__builtin_unreachable();
}

u8 guest_main(void)
{
	if (!boot_module_count()) {
		print("linux: the kernel must be the first module\n");
		return EXIT_USAGE;
	}
	put_boot_params(boot_module(0));
	enter(place_kernel(boot_module(0)) + ENTRY_64_OFFSET);
}
