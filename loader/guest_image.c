/* SPDX-License-Identifier: MIT */
/* Recognising kernels: see loader/guest_image.h. */
#include "loader/guest_image.h"
#include "lib/log.h"
#include "lib/string.h"
#include "loader/linux.h"
#include "loader/multiboot_header.h"

const char *guest_image_kind_text(enum guest_image_kind kind)
{
	switch (kind) {
	case GUEST_IMAGE_MULTIBOOT1:
		return "multiboot";
	case GUEST_IMAGE_MULTIBOOT2:
		return "multiboot 2";
	case GUEST_IMAGE_LINUX:
		return "Linux";
	}
	return "unknown";
}

static enum err read_elf_segments(struct guest_image *image)
{
	struct elf_image elf;
	enum err err = elf_parse(&image->file, &elf);

	if (err)
		return err;
	memcpy(image->segments, elf.segments, sizeof(image->segments));
	image->segment_count = elf.segment_count;
	image->entry = elf.entry;
	return OK;
}

static bool is_in_a_segment(const struct guest_image *image, u64 address)
{
	for (u32 i = 0; i < image->segment_count; i++)
		if (address - image->segments[i].physical <
		    image->segments[i].memory_bytes)
			return true;
	return false;
}

static enum err read_segments(struct guest_image *image,
			      const struct multiboot_header *header)
{
	if (!header->has_addresses)
		return read_elf_segments(image);
	image->segment_count = 1;
	if (header->has_entry)
		return multiboot_header_segment(&image->file, header,
						&image->segments[0]);
	log_error("guest %s: its kernel's multiboot header says where it "
		  "lies, but not where it begins",
		  image->file.name);
	return ERR_BAD_FORMAT;
}

static enum err read_multiboot(struct guest_image *image,
			       const struct multiboot_header *header)
{
	enum err err = read_segments(image, header);

	if (err)
		return err;
	image->kind = header->version == MULTIBOOT_1 ? GUEST_IMAGE_MULTIBOOT1
						     : GUEST_IMAGE_MULTIBOOT2;
	if (header->has_entry)
		image->entry = header->entry;
	if (!is_in_a_segment(image, image->entry)) {
		log_error("guest %s: its kernel's entry point %#lx is not in "
			  "the kernel",
			  image->file.name, image->entry);
		return ERR_BAD_FORMAT;
	}
	if (image->entry >= 4 * GIB) {
		log_error("guest %s: its kernel's entry point %#lx lies above "
			  "4G, where no multiboot kernel can start",
			  image->file.name, image->entry);
		return ERR_BAD_FORMAT;
	}
	if (header->wants_screen)
		log_warn("guest %s: its kernel asks for a screen; it has only "
			 "a serial console",
			 image->file.name);
	return OK;
}

/* What it is instead, as far as a look at the first bytes can tell. */
static const char *describe(const struct image_file *file)
{
	static const u8 gzip[] = {0x1f, 0x8b};
	static const u8 xz[] = {0xfd, '7', 'z', 'X', 'Z'};

	if (file->length == 0)
		return "it is empty";
	if (elf_is(file))
		return "it is an ELF file without a multiboot header in its "
		       "first 8 KiB";
	if (file->length >= sizeof(gzip) &&
	    memcmp(file->bytes, gzip, sizeof(gzip)) == 0)
		return "it is compressed; unpack it with gunzip";
	if (file->length >= sizeof(xz) &&
	    memcmp(file->bytes, xz, sizeof(xz)) == 0)
		return "it is compressed; unpack it with unxz";
	return "it is neither a multiboot kernel nor a Linux bzImage";
}

enum err guest_image_read(struct guest_image *image,
			  const struct image_file *file)
{
	struct multiboot_header header;

	memset(image, 0, sizeof(*image));
	image->file = *file;
	enum err err = multiboot_header_find(file, &header);

	if (err == OK)
		return read_multiboot(image, &header);
	if (err != ERR_NOT_FOUND)
		return err;
	if (linux_is(file)) {
		image->kind = GUEST_IMAGE_LINUX;
		return linux_read(file, &image->linux_image);
	}
	log_error("guest %s: its kernel is not one: %s", file->name,
		  describe(file));
	return ERR_BAD_FORMAT;
}
