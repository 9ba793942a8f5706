/* SPDX-License-Identifier: MIT */
/* Finding and judging multiboot headers: see loader/multiboot_header.h. */
#include "loader/multiboot_header.h"
#include "lib/log.h"
#include "lib/string.h"
#include "loader/multiboot.h"

/* Header flags of version 1 below bit 16 that we can do something about. */
#define MB1_FLAGS_UNDERSTOOD \
	(MB1_FLAG_PAGE_ALIGN | MB1_FLAG_MEMORY_INFO | MB1_FLAG_VIDEO_MODE)

static enum err damaged(const struct image_file *file, const char *what)
{
	log_error("guest %s: its kernel's multiboot header is damaged: %s",
		  file->name, what);
	return ERR_BAD_FORMAT;
}

/* --- Version 1 ---------------------------------------------------------- */

static bool find_mb1(const struct image_file *file, struct mb1_header *raw,
		     u64 *offset)
{
	for (u64 at = 0; at + sizeof(*raw) <= MB1_HEADER_SEARCH_BYTES &&
			 image_file_copy(file, at, raw, sizeof(*raw));
	     at += MB1_HEADER_ALIGN) {
		if (raw->magic == MB1_HEADER_MAGIC &&
		    raw->magic + raw->flags + raw->checksum == 0) {
			*offset = at;
			return true;
		}
	}
	return false;
}

static enum err read_mb1(const struct image_file *file,
			 const struct mb1_header *raw,
			 struct multiboot_header *header)
{
	struct mb1_header_addresses addresses;
	u64 unknown =
	    raw->flags & MB1_FLAGS_REQUIRED & ~(u64)MB1_FLAGS_UNDERSTOOD;

	header->version = MULTIBOOT_1;
	if (unknown) {
		log_error("guest %s: its kernel's multiboot header requires "
			  "feature bits %#lx, which Umbra does not know",
			  file->name, unknown);
		return ERR_UNSUPPORTED;
	}
	header->wants_screen = raw->flags & MB1_FLAG_VIDEO_MODE;
	if (!(raw->flags & MB1_FLAG_ADDRESS_FIELDS))
		return OK;
	if (!image_file_copy(file, header->offset + sizeof(*raw), &addresses,
			     sizeof(addresses)))
		return damaged(file, "its address fields are cut off");
	header->has_addresses = true;
	header->header_addr = addresses.header_addr;
	header->load_addr = addresses.load_addr;
	header->load_end_addr = addresses.load_end_addr;
	header->bss_end_addr = addresses.bss_end_addr;
	header->has_entry = true;
	header->entry = addresses.entry_addr;
	return OK;
}

/* --- Version 2 ---------------------------------------------------------- */

static bool find_mb2(const struct image_file *file, struct mb2_header *raw,
		     u64 *offset)
{
	for (u64 at = 0; at + sizeof(*raw) <= MB2_HEADER_SEARCH_BYTES &&
			 image_file_copy(file, at, raw, sizeof(*raw));
	     at += MB2_HEADER_ALIGN) {
		if (raw->magic == MB2_HEADER_MAGIC &&
		    raw->magic + raw->architecture + raw->header_length +
			    raw->checksum ==
			0) {
			*offset = at;
			return true;
		}
	}
	return false;
}

/* Information that we give, or that is allowed to be missing. */
static bool gives(u32 type)
{
	switch (type) {
	case MB2_TAG_END:
	case MB2_TAG_COMMAND_LINE:
	case MB2_TAG_BOOT_LOADER_NAME:
	case MB2_TAG_MODULE:
	case MB2_TAG_BASIC_MEMORY:
	case MB2_TAG_MMAP:
		return true;
	default:
		return false;
	}
}

/* A tag of the header: its head, where its body is, and how large. */
struct header_tag {
	struct mb2_header_tag head;
	u64 body_at;
	u64 body_bytes;
};

static enum err on_information_request(const struct image_file *file,
				       const struct header_tag *tag)
{
	for (u64 i = 0; i + 4 <= tag->body_bytes; i += 4) {
		u32 type;

		if (!image_file_copy(file, tag->body_at + i, &type,
				     sizeof(type)))
			return damaged(file, "a tag is cut off");
		if (!gives(type) &&
		    !(tag->head.flags & MB2_HEADER_TAG_FLAG_OPTIONAL)) {
			log_error("guest %s: its kernel requires multiboot 2 "
				  "information of type %u, which Umbra does "
				  "not give",
				  file->name, type);
			return ERR_UNSUPPORTED;
		}
	}
	return OK;
}

static enum err on_address(const struct image_file *file,
			   const struct header_tag *tag,
			   struct multiboot_header *header)
{
	u32 body[4]; /* header, load, load_end, bss_end */

	if (tag->body_bytes < sizeof(body) ||
	    !image_file_copy(file, tag->body_at, body, sizeof(body)))
		return damaged(file, "its address tag is too short");
	header->has_addresses = true;
	header->header_addr = body[0];
	header->load_addr = body[1];
	header->load_end_addr = body[2];
	header->bss_end_addr = body[3];
	/* All ones: the file is loaded from its first byte on. */
	if (header->load_addr == ~0u)
		header->load_addr = header->header_addr - (u32)header->offset;
	return OK;
}

static enum err on_entry(const struct image_file *file,
			 const struct header_tag *tag,
			 struct multiboot_header *header)
{
	if (tag->body_bytes < sizeof(header->entry) ||
	    !image_file_copy(file, tag->body_at, &header->entry,
			     sizeof(header->entry)))
		return damaged(file, "its entry tag is too short");
	header->has_entry = true;
	return OK;
}

/*
 * Modules are page aligned for everybody. A relocatable kernel is loaded
 * where it is linked, which it must be able to bear. The EFI tags mean
 * nothing where there is no EFI.
 */
static enum err on_tag(const struct image_file *file,
		       const struct header_tag *tag,
		       struct multiboot_header *header)
{
	switch (tag->head.type) {
	case MB2_HEADER_TAG_INFORMATION:
		return on_information_request(file, tag);
	case MB2_HEADER_TAG_ADDRESS:
		return on_address(file, tag, header);
	case MB2_HEADER_TAG_ENTRY:
		return on_entry(file, tag, header);
	case MB2_HEADER_TAG_CONSOLE:
	case MB2_HEADER_TAG_FRAMEBUFFER:
		if (!(tag->head.flags & MB2_HEADER_TAG_FLAG_OPTIONAL))
			header->wants_screen = true;
		return OK;
	case MB2_HEADER_TAG_MODULE_ALIGN:
	case MB2_HEADER_TAG_EFI_BS:
	case MB2_HEADER_TAG_ENTRY_EFI32:
	case MB2_HEADER_TAG_ENTRY_EFI64:
	case MB2_HEADER_TAG_RELOCATABLE:
		return OK;
	default:
		if (tag->head.flags & MB2_HEADER_TAG_FLAG_OPTIONAL)
			return OK;
		log_error("guest %s: its kernel's multiboot header requires "
			  "tag %u, which Umbra does not know",
			  file->name, tag->head.type);
		return ERR_UNSUPPORTED;
	}
}

static enum err read_mb2(const struct image_file *file,
			 const struct mb2_header *raw,
			 struct multiboot_header *header)
{
	u64 at = header->offset + sizeof(*raw);
	u64 end = header->offset + raw->header_length;

	header->version = MULTIBOOT_2;
	if (raw->architecture != MB2_ARCHITECTURE_I386) {
		log_error("guest %s: its kernel is not for x86", file->name);
		return ERR_UNSUPPORTED;
	}
	if (end > MB2_HEADER_SEARCH_BYTES || end > file->length)
		return damaged(file, "it is longer than it may be");
	while (at < end) {
		struct header_tag tag;

		if (end - at < sizeof(tag.head) ||
		    !image_file_copy(file, at, &tag.head, sizeof(tag.head)) ||
		    tag.head.size < sizeof(tag.head) ||
		    tag.head.size > end - at)
			return damaged(file, "a tag's size makes no sense");
		if (tag.head.type == MB2_HEADER_TAG_END)
			return OK;
		tag.body_at = at + sizeof(tag.head);
		tag.body_bytes = tag.head.size - sizeof(tag.head);
		enum err err = on_tag(file, &tag, header);

		if (err)
			return err;
		at += align_up(tag.head.size, MB2_HEADER_ALIGN);
	}
	return OK;
}

enum err multiboot_header_find(const struct image_file *file,
			       struct multiboot_header *header)
{
	struct mb1_header mb1;
	struct mb2_header mb2;

	memset(header, 0, sizeof(*header));
	if (find_mb1(file, &mb1, &header->offset))
		return read_mb1(file, &mb1, header);
	if (find_mb2(file, &mb2, &header->offset))
		return read_mb2(file, &mb2, header);
	return ERR_NOT_FOUND;
}

enum err multiboot_header_segment(const struct image_file *file,
				  const struct multiboot_header *header,
				  struct elf_segment *segment)
{
	u64 before = (u64)header->header_addr - header->load_addr;
	u64 start = header->offset - before;

	if (header->load_addr > header->header_addr || before > header->offset)
		return damaged(file, "it lies before the address that the "
				     "file is loaded to");
	u64 bytes = header->load_end_addr
			? (u64)header->load_end_addr - header->load_addr
			: file->length - start;

	if ((header->load_end_addr &&
	     header->load_end_addr < header->load_addr) ||
	    !image_file_has(file, start, bytes))
		return damaged(file, "it wants more bytes than the file has");
	u64 load_end = header->load_addr + bytes;

	if (header->bss_end_addr && header->bss_end_addr < load_end)
		return damaged(file, "the bss ends before it begins");
	u64 end = header->bss_end_addr ? header->bss_end_addr : load_end;

	*segment = (struct elf_segment){
	    .physical = header->load_addr,
	    .file_offset = start,
	    .file_bytes = bytes,
	    .memory_bytes = end - header->load_addr,
	};
	return OK;
}
