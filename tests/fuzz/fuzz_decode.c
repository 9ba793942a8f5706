/* SPDX-License-Identifier: MIT */
/* Any bytes in any mode: emulate/decode.c and Zydis must agree. */
#include <stdlib.h>

#include "tests/unit/zydis_oracle.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	enum decode_result result;

	if (size < 1)
		return 0;
	/* More than an instruction can have: the rest must not matter. */
	if (size > 20)
		size = 20;
	if (!zydis_agrees(data + 1, (u32)(size - 1), data[0] % 3, &result))
		abort();
	return 0;
}
