/* SPDX-License-Identifier: MIT */
/*
 * Makes kernel files for tests: ELF executables, multiboot headers, bzImages.
 * For one program: everything is static.
 */
#ifndef TESTS_UNIT_KERNEL_FILES_H
#define TESTS_UNIT_KERNEL_FILES_H

#include <stdlib.h>
#include <string.h>

#include "loader/image_file.h"
#include "loader/multiboot.h"

/* The file that is being made; bytes past file_length are not part of it. */
static u8 file_bytes[128 * KIB];
static u64 file_length;

UNUSED static void file_reset(void)
{
	memset(file_bytes, 0, sizeof(file_bytes));
	file_length = 0;
}

static void file_put(u64 at, const void *bytes, u64 count)
{
	memcpy(file_bytes + at, bytes, count);
	if (file_length < at + count)
		file_length = at + count;
}

UNUSED static void file_put_u16(u64 at, u16 value)
{
	file_put(at, &value, sizeof(value));
}

UNUSED static void file_put_u32(u64 at, u32 value)
{
	file_put(at, &value, sizeof(value));
}

UNUSED static void file_put_u64(u64 at, u64 value)
{
	file_put(at, &value, sizeof(value));
}

/*
 * The file in memory of exactly its size, so that the sanitizer sees every
 * byte that is read past its end. The caller frees `bytes`.
 */
UNUSED static struct image_file file_exact(void)
{
	u8 *bytes = malloc(file_length ? file_length : 1);

	memcpy(bytes, file_bytes, file_length);
	return (struct image_file){"g", bytes, file_length};
}

/* --- ELF ---------------------------------------------------------------- */

#define ELF64_TABLE 64
#define ELF64_ENTRY 56
#define ELF32_TABLE 52
#define ELF32_ENTRY 32

UNUSED static void elf64_begin(u64 entry, u16 segments)
{
	file_put(0, "\177ELF\2\1\1", 8);
	file_put_u16(16, 2);  /* ET_EXEC */
	file_put_u16(18, 62); /* EM_X86_64 */
	file_put_u32(20, 1);
	file_put_u64(24, entry);
	file_put_u64(32, ELF64_TABLE);
	file_put_u16(54, ELF64_ENTRY);
	file_put_u16(56, segments);
	file_put_u64(ELF64_TABLE + ELF64_ENTRY * (u64)segments - 8, 0);
}

struct made_segment {
	u64 offset, linear, physical, file_bytes, memory_bytes;
};

UNUSED static void elf64_segment(u32 i, struct made_segment it)
{
	u64 at = ELF64_TABLE + ELF64_ENTRY * (u64)i;

	file_put_u32(at, 1); /* PT_LOAD */
	file_put_u64(at + 8, it.offset);
	file_put_u64(at + 16, it.linear);
	file_put_u64(at + 24, it.physical);
	file_put_u64(at + 32, it.file_bytes);
	file_put_u64(at + 40, it.memory_bytes);
}

UNUSED static void elf32_begin(u32 entry, u16 segments)
{
	file_put(0, "\177ELF\1\1\1", 8);
	file_put_u16(16, 2); /* ET_EXEC */
	file_put_u16(18, 3); /* EM_386 */
	file_put_u32(20, 1);
	file_put_u32(24, entry);
	file_put_u32(28, ELF32_TABLE);
	file_put_u16(42, ELF32_ENTRY);
	file_put_u16(44, segments);
	file_put_u32(ELF32_TABLE + ELF32_ENTRY * (u64)segments - 4, 0);
}

UNUSED static void elf32_segment(u32 i, struct made_segment it)
{
	u64 at = ELF32_TABLE + ELF32_ENTRY * (u64)i;

	file_put_u32(at, 1); /* PT_LOAD */
	file_put_u32(at + 4, (u32)it.offset);
	file_put_u32(at + 8, (u32)it.linear);
	file_put_u32(at + 12, (u32)it.physical);
	file_put_u32(at + 16, (u32)it.file_bytes);
	file_put_u32(at + 20, (u32)it.memory_bytes);
}

/* --- Multiboot headers -------------------------------------------------- */

UNUSED static void mb1_header_at(u64 at, u32 flags)
{
	file_put_u32(at, MB1_HEADER_MAGIC);
	file_put_u32(at + 4, flags);
	file_put_u32(at + 8, 0u - MB1_HEADER_MAGIC - flags);
}

UNUSED static void mb2_header_at(u64 at, u32 length)
{
	file_put_u32(at, MB2_HEADER_MAGIC);
	file_put_u32(at + 4, MB2_ARCHITECTURE_I386);
	file_put_u32(at + 8, length);
	file_put_u32(at + 12, 0u - MB2_HEADER_MAGIC - length);
}

/* A tag and the end tag behind it; returns where the next tag goes. */
UNUSED static u64 mb2_header_tag(u64 at, u16 type, u16 flags, const void *body,
				 u32 body_bytes)
{
	u64 next = align_up(at + 8 + body_bytes, 8);

	file_put_u16(at, type);
	file_put_u16(at + 2, flags);
	file_put_u32(at + 4, 8 + body_bytes);
	file_put(at + 8, body, body_bytes);
	file_put_u32(next, MB2_HEADER_TAG_END);
	file_put_u32(next + 4, 8);
	return next;
}

/* A small, good multiboot 1 kernel: ELF, one segment at 1M, 8K in memory. */
UNUSED static void make_mb1_kernel(void)
{
	file_reset();
	elf64_begin(0x100010, 1);
	elf64_segment(0,
		      (struct made_segment){0, 0x100000, 0x100000, 4096, 8192});
	mb1_header_at(0x200, 3);
	file_put(4095, "k", 1);
}

/* --- bzImage ------------------------------------------------------------ */

#define BZIMAGE_KERNEL_AT 0x600
#define BZIMAGE_PREFERRED 0x1000000
#define BZIMAGE_INIT_SIZE 0x200000

/* A good bzImage of protocol 2.15 with 64-bit entry, like Linux 6. */
UNUSED static void make_bzimage(void)
{
	file_reset();
	file_put(0x1f1, "\2", 1); /* setup sectors */
	file_put_u16(0x1fe, 0xaa55);
	file_put_u16(0x200, 0x6aeb); /* jump: the header ends at 0x26c */
	file_put(0x202, "HdrS", 4);
	file_put_u16(0x206, 0x20f);
	file_put(0x211, "\x81", 1);
	file_put_u32(0x22c, 0x7fffffff);
	file_put_u32(0x230, 0x200000);
	file_put(0x234, "\1", 1);
	file_put_u16(0x236, 0x3f);
	file_put_u32(0x238, 2047);
	file_put_u64(0x258, BZIMAGE_PREFERRED);
	file_put_u32(0x260, BZIMAGE_INIT_SIZE);
	file_put_u32(BZIMAGE_KERNEL_AT, 0x12345678);
	file_put_u32(BZIMAGE_KERNEL_AT + 0x200, 0x64646464);
	file_put_u32(BZIMAGE_KERNEL_AT + 0x7fc, 0x87654321);
}

#endif
