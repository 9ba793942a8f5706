/* SPDX-License-Identifier: MIT */
/* ELF files: whatever is accepted must lie in the file. */
#include "loader/elf.h"
#include "tests/fuzz/fuzz.h"

#define FILE_END (64 * KIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_image elf;

	if (size > FILE_END)
		return 0;
	u64 at = fuzz_place_before(FILE_END, data, size);
	const struct image_file file = {"g", phys_memory + at, size};

	if (elf_parse(&file, &elf) == OK) {
		REQUIRE(elf.segment_count >= 1);
		REQUIRE(elf.segment_count <= ELF_SEGMENTS_MAX);
		for (u32 i = 0; i < elf.segment_count; i++) {
			const struct elf_segment *it = &elf.segments[i];

			REQUIRE(it->file_bytes <= it->memory_bytes);
			REQUIRE(it->file_bytes <= size);
			REQUIRE(it->file_offset <= size - it->file_bytes);
			REQUIRE(it->physical <= ~0ULL - it->memory_bytes);
		}
	}
	fuzz_close_window(at & ~7ULL, FILE_END);
	return 0;
}
