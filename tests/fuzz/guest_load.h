/* SPDX-License-Identifier: MIT */
/*
 * Plans a guest whose kernel is the input, and requires of a plan that was
 * made: pieces in RAM, none over another, all their bytes in the file, the
 * modules or the information.
 *
 * The first two bytes of the input are the guest's memory in MiB, the third
 * the number of modules.
 */
#ifndef TESTS_FUZZ_GUEST_LOAD_H
#define TESTS_FUZZ_GUEST_LOAD_H

#include "loader/guest_load.h"
#include "tests/fuzz/fuzz.h"

#define HEAD_BYTES   3
#define FILE_END     (64 * KIB)
#define MODULE_AT    (128 * KIB)
#define MODULE_BYTES 5000

static void check_piece(const struct guest_load *load, u32 i)
{
	const struct guest_piece *piece = &load->pieces[i];
	u64 at = gpa_raw(piece->at);
	const volatile u8 *from = piece->from;

	REQUIRE(piece->total_bytes > 0);
	REQUIRE(piece->copy_bytes <= piece->total_bytes);
	REQUIRE(guest_map_is_ram(&load->map, at, piece->total_bytes));
	for (u32 j = 0; j < i; j++) {
		u64 other = gpa_raw(load->pieces[j].at);

		REQUIRE(at >= other + load->pieces[j].total_bytes ||
			other >= at + piece->total_bytes);
	}
	if (piece->copy_bytes) { /* the sanitizer looks at both ends */
		(void)from[0];
		(void)from[piece->copy_bytes - 1];
	}
}

static void fuzz_guest_load(const uint8_t *data, size_t size)
{
	static struct boot_info boot;
	static struct guest_plan plan = {.name = "g", .command_line = "a b"};
	static struct guest_load load;

	if (size < HEAD_BYTES || size - HEAD_BYTES > FILE_END)
		return;
	u64 at =
	    fuzz_place_before(FILE_END, data + HEAD_BYTES, size - HEAD_BYTES);

	fuzz_open_window(MODULE_AT, MODULE_AT + MODULE_BYTES);
	boot.modules[0].base = hpa(at);
	boot.modules[0].bytes = size - HEAD_BYTES;
	boot.modules[1].base = hpa(MODULE_AT);
	boot.modules[1].bytes = MODULE_BYTES;
	plan.memory_bytes = (1 + (data[0] | (u64)data[1] << 8)) * MIB;
	plan.attachment_count = data[2] % (GUEST_ATTACHMENTS_MAX + 1);
	for (u32 i = 0; i < plan.attachment_count; i++)
		plan.attachments[i] = (struct guest_attachment){
		    GUEST_MODULE, 1, "text of a module"};
	if (guest_load_plan(&load, &plan, &boot) == OK) {
		REQUIRE(load.piece_count <= GUEST_PIECES_MAX);
		REQUIRE(load.entry.rip < 4 * GIB && load.entry.rbx < 4 * GIB &&
			load.entry.rsi < 4 * GIB && load.entry.cr3 < 4 * GIB);
		for (u32 i = 0; i < load.piece_count; i++)
			check_piece(&load, i);
	}
	fuzz_close_window(at & ~7ULL, FILE_END);
}

#endif
