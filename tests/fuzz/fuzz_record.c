/* SPDX-License-Identifier: MIT */
/*
 * A state record from somebody hostile. The first bytes of the input are steps
 * that bring the devices somewhere; then the record is taken and patched, four
 * bytes a patch. Whatever comes: it is refused with a reason, or the machine
 * that it makes can be used like any other, and saves to a record that is
 * stable from then on.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/platform_steps.h"
#include "tests/unit/record_world.h"

#define PATCH_BYTES 4

static u8 first[WORLD_BYTES], second[WORLD_BYTES];

static const u8 *run_steps(const u8 *data, size_t *bytes, u32 count)
{
	struct step step;

	for (; count && *bytes >= sizeof(step); count--) {
		memcpy(&step, data, sizeof(step));
		perform(&step);
		data += sizeof(step);
		*bytes -= sizeof(step);
	}
	return data;
}

static void patch(const u8 *data, size_t bytes, u32 length)
{
	for (; bytes >= PATCH_BYTES;
	     data += PATCH_BYTES, bytes -= PATCH_BYTES) {
		u32 at = (data[0] | (u32)data[1] << 8) % length;

		first[at] = data[2];
		if (data[3] & 1)
			first[(at + 1) % length] = data[3];
	}
}

/* What has been taken is a state like any other. */
static void check_taken(const u8 *data, size_t bytes)
{
	u32 length = save_world(first), again;

	REQUIRE(!load_world(first, length));
	again = save_world(second);
	REQUIRE(again == length && !memcmp(first, second, length));
	(void)run_steps(data, &bytes, 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	u32 steps = size ? data[0] % 32 : 0, length;
	size_t bytes = size ? size - 1 : 0;
	const char *why;

	now_ns = 1000000;
	if (size && data[0] & 0x80)
		make_enlightened_world();
	else
		make_world();
	data = run_steps(data + 1, &bytes, steps);
	length = save_world(first);
	patch(data, bytes, length);
	if (size % 7 == 0)
		length = (u32)(size * 97 % length);
	why = load_world(first, length);
	if (why)
		REQUIRE(why[0]);
	else
		check_taken(data, bytes);
	return 0;
}
