/* SPDX-License-Identifier: MIT */
/*
 * What a guest's kernel is, judged by its content alone, and what of the file
 * goes where:
 *
 *	multiboot 1	header in the first 8 KiB; an ELF executable, or a flat
 *			file whose header says where it lies
 *	multiboot 2	header in the first 32 KiB; likewise
 *	Linux		a bzImage of boot protocol 2.10 or later
 *
 * A kernel that is multiboot 1 and 2 is taken as multiboot 1.
 */
#ifndef LOADER_GUEST_IMAGE_H
#define LOADER_GUEST_IMAGE_H

#include "lib/err.h"
#include "loader/elf.h"
#include "loader/image_file.h"

enum guest_image_kind {
	GUEST_IMAGE_MULTIBOOT1,
	GUEST_IMAGE_MULTIBOOT2,
	GUEST_IMAGE_LINUX,
};

/* The parts of a bzImage; see loader/linux.h. */
struct linux_image {
	u16 version;       /* of the boot protocol, such as 0x20f */
	bool has_entry_64; /* else it starts in 32-bit protected mode */
	u64 header_bytes;  /* of the setup header, which begins at 0x1f1 */
	u64 kernel_offset; /* of the protected-mode kernel in the file */
	u64 kernel_bytes;
	u64 preferred_address;
	bool is_relocatable;
	u64 alignment;        /* when it is not at its preferred address */
	u64 init_bytes;       /* memory that it needs where it is loaded */
	u64 initrd_limit;     /* an initrd must end at or below this */
	u64 command_line_max; /* characters, without the terminator */
};

struct guest_image {
	enum guest_image_kind kind;
	struct image_file file;

	/* Multiboot kernels. */
	struct elf_segment segments[ELF_SEGMENTS_MAX];
	u32 segment_count;
	u64 entry;

	/* Linux. */
	struct linux_image linux_image;
};

const char *guest_image_kind_text(enum guest_image_kind kind);

/*
 * Recognises and takes apart. Errors after one line in the log:
 * ERR_BAD_FORMAT   none of the above, or damaged
 * ERR_UNSUPPORTED  one of them, but it requires what we do not have
 */
MUST_CHECK enum err guest_image_read(struct guest_image *image,
				     const struct image_file *file);

#endif
