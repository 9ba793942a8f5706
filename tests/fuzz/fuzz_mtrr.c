/* SPDX-License-Identifier: MIT */
/*
 * Any writes to memory-type range registers, in any order: what is taken is
 * read back, what is not changes nothing, and all of it stays a state that a
 * CPU could be in.
 */
#include "devices/mtrr.h"
#include "lib/check.h"
#include "lib/string.h"

#define PHYSICAL_BITS 46

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes);

static void write_one(struct mtrr *mtrr, u32 msr, u64 value)
{
	const struct mtrr before = *mtrr;
	u64 found = ~value;
	enum mtrr_verdict written = mtrr_write(mtrr, PHYSICAL_BITS, msr, value);
	enum mtrr_verdict read = mtrr_read(mtrr, msr, &found);

	CHECK((written == MTRR_ABSENT) == (read == MTRR_ABSENT));
	CHECK(written != MTRR_DONE || found == value);
	CHECK(written == MTRR_DONE ||
	      memcmp(&before, mtrr, sizeof(before)) == 0);
	CHECK(mtrr_is_valid(mtrr, PHYSICAL_BITS));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes)
{
	struct mtrr mtrr;
	u64 value;

	mtrr_init(&mtrr, PHYSICAL_BITS);
	/* A byte chooses one of the registers, or one beside them. */
	for (; bytes >= 9; data += 9, bytes -= 9) {
		memcpy(&value, data + 1, sizeof(value));
		write_one(&mtrr, data[0] == 0xff ? 0x2ff : 0x1f8U + data[0],
			  value);
	}
	return 0;
}
