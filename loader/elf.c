/* SPDX-License-Identifier: MIT */
/*
 * ELF program headers into load segments. Names are those of the System V
 * ABI, "Object Files" and "Program Loading and Dynamic Linking".
 */
#include "loader/elf.h"
#include "lib/log.h"
#include "lib/string.h"

#define EI_CLASS    4
#define EI_DATA     5
#define ELFCLASS32  1
#define ELFCLASS64  2
#define ELFDATA2LSB 1
#define ET_EXEC     2
#define ET_DYN      3
#define EM_386      3
#define EM_X86_64   62
#define PT_LOAD     1

struct elf32_header {
	u8 e_ident[16];
	u16 e_type, e_machine;
	u32 e_version, e_entry, e_phoff, e_shoff, e_flags;
	u16 e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx;
};

struct elf64_header {
	u8 e_ident[16];
	u16 e_type, e_machine;
	u32 e_version;
	u64 e_entry, e_phoff, e_shoff;
	u32 e_flags;
	u16 e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx;
};

struct elf32_program_header {
	u32 p_type, p_offset, p_vaddr, p_paddr;
	u32 p_filesz, p_memsz, p_flags, p_align;
};

struct elf64_program_header {
	u32 p_type, p_flags;
	u64 p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align;
};

_Static_assert(sizeof(struct elf32_header) == 52, "System V ABI");
_Static_assert(sizeof(struct elf64_header) == 64, "System V ABI");
_Static_assert(sizeof(struct elf32_program_header) == 32, "System V ABI");
_Static_assert(sizeof(struct elf64_program_header) == 56, "System V ABI");

/* What both classes' headers say, in one form. */
struct header {
	enum elf_class class;
	u16 type, machine;
	u64 entry; /* linear, as linked */
	u64 table_offset;
	u32 entry_bytes, entry_count;
};

static enum err damaged(const struct image_file *file, const char *what)
{
	log_error("guest %s: its kernel is a damaged ELF file: %s", file->name,
		  what);
	return ERR_BAD_FORMAT;
}

static enum err unsupported(const struct image_file *file, const char *what)
{
	log_error("guest %s: its kernel is an ELF file, but %s", file->name,
		  what);
	return ERR_UNSUPPORTED;
}

bool elf_is(const struct image_file *file)
{
	u8 magic[4];

	return image_file_copy(file, 0, magic, sizeof(magic)) &&
	       memcmp(magic, "\177ELF", sizeof(magic)) == 0;
}

static bool read_header32(const struct image_file *file, struct header *header)
{
	struct elf32_header raw;

	if (!image_file_copy(file, 0, &raw, sizeof(raw)))
		return false;
	*header = (struct header){ELF_32,      raw.e_type,  raw.e_machine,
				  raw.e_entry, raw.e_phoff, raw.e_phentsize,
				  raw.e_phnum};
	return true;
}

static bool read_header64(const struct image_file *file, struct header *header)
{
	struct elf64_header raw;

	if (!image_file_copy(file, 0, &raw, sizeof(raw)))
		return false;
	*header = (struct header){ELF_64,      raw.e_type,  raw.e_machine,
				  raw.e_entry, raw.e_phoff, raw.e_phentsize,
				  raw.e_phnum};
	return true;
}

static enum err check_header(const struct image_file *file,
			     const struct header *header)
{
	u64 least = header->class == ELF_64
			? sizeof(struct elf64_program_header)
			: sizeof(struct elf32_program_header);

	if (header->machine != EM_386 && header->machine != EM_X86_64)
		return unsupported(file, "not for x86");
	if (header->type == ET_DYN)
		return unsupported(file, "position independent; link it as an "
					 "executable with fixed addresses");
	if (header->type != ET_EXEC)
		return unsupported(file, "not an executable");
	if (header->entry_bytes < least)
		return damaged(file, "its program headers are too short");
	if (!image_file_has(file, header->table_offset,
			    (u64)header->entry_bytes * header->entry_count))
		return damaged(file, "its program headers lie past its end");
	return OK;
}

static enum err read_header(const struct image_file *file,
			    struct header *header)
{
	u8 ident[16];
	bool read = false;

	if (!elf_is(file) || !image_file_copy(file, 0, ident, sizeof(ident)))
		return damaged(file, "it has no ELF header");
	if (ident[EI_DATA] != ELFDATA2LSB)
		return unsupported(file, "not little endian");
	if (ident[EI_CLASS] == ELFCLASS32)
		read = read_header32(file, header);
	else if (ident[EI_CLASS] == ELFCLASS64)
		read = read_header64(file, header);
	else
		return unsupported(file, "neither 32 nor 64 bit");
	return read ? check_header(file, header)
		    : damaged(file, "its header is cut off");
}

/* Program header `i` in the form of the larger class. */
static bool read_program_header(const struct image_file *file,
				const struct header *header, u32 i,
				struct elf64_program_header *program)
{
	u64 offset = header->table_offset + (u64)i * header->entry_bytes;
	struct elf32_program_header raw;

	if (header->class == ELF_64)
		return image_file_copy(file, offset, program, sizeof(*program));
	if (!image_file_copy(file, offset, &raw, sizeof(raw)))
		return false;
	*program = (struct elf64_program_header){
	    .p_type = raw.p_type,
	    .p_flags = raw.p_flags,
	    .p_offset = raw.p_offset,
	    .p_vaddr = raw.p_vaddr,
	    .p_paddr = raw.p_paddr,
	    .p_filesz = raw.p_filesz,
	    .p_memsz = raw.p_memsz,
	    .p_align = raw.p_align,
	};
	return true;
}

static enum err add_segment(const struct image_file *file,
			    const struct elf64_program_header *program,
			    struct elf_image *elf)
{
	if (elf->segment_count == ELF_SEGMENTS_MAX)
		return unsupported(file, "with too many segments to load");
	if (program->p_filesz > program->p_memsz)
		return damaged(file, "a segment is larger in the file than in "
				     "memory");
	if (!image_file_has(file, program->p_offset, program->p_filesz))
		return damaged(file, "a segment lies past its end");
	if (program->p_paddr > ~0ULL - program->p_memsz)
		return damaged(file, "a segment wraps around the address "
				     "space");
	elf->segments[elf->segment_count++] = (struct elf_segment){
	    .physical = program->p_paddr,
	    .file_offset = program->p_offset,
	    .file_bytes = program->p_filesz,
	    .memory_bytes = program->p_memsz,
	};
	return OK;
}

/*
 * The entry point is linear in the file, but the guest starts without paging.
 * Kernels that are linked high mean the physical place of that byte; some
 * give it themselves. The better match of all segments counts.
 */
enum entry_match { ENTRY_NOWHERE, ENTRY_PHYSICAL, ENTRY_LINEAR };

static enum entry_match match_entry(const struct elf64_program_header *program,
				    u64 entry, u64 *physical)
{
	u64 offset = entry - program->p_vaddr;

	if (offset < program->p_memsz) {
		*physical = program->p_paddr + offset;
		return ENTRY_LINEAR;
	}
	*physical = entry;
	return entry - program->p_paddr < program->p_memsz ? ENTRY_PHYSICAL
							   : ENTRY_NOWHERE;
}

/* Takes program header `i` in, if it is something to load. */
static enum err read_segment(const struct image_file *file,
			     const struct header *header, u32 i,
			     struct elf_image *elf, enum entry_match *best)
{
	struct elf64_program_header program;
	u64 entry;

	if (!read_program_header(file, header, i, &program))
		return damaged(file, "its program headers are cut off");
	if (program.p_type != PT_LOAD || program.p_memsz == 0)
		return OK;
	enum entry_match match = match_entry(&program, header->entry, &entry);

	if (match > *best) {
		*best = match;
		elf->entry = entry;
	}
	return add_segment(file, &program, elf);
}

enum err elf_parse(const struct image_file *file, struct elf_image *elf)
{
	struct header header = {0};
	enum entry_match match = ENTRY_NOWHERE;
	enum err err = read_header(file, &header);

	elf->class = header.class;
	elf->segment_count = 0;
	for (u32 i = 0; err == OK && i < header.entry_count; i++)
		err = read_segment(file, &header, i, elf, &match);
	if (err)
		return err;
	if (!elf->segment_count)
		return damaged(file, "it has nothing to load");
	if (match == ENTRY_NOWHERE)
		return damaged(file, "its entry point is in no segment");
	return OK;
}
