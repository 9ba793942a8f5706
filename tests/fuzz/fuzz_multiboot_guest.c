/* SPDX-License-Identifier: MIT */
/* Multiboot kernels of both versions, or what claims to be one. */
#include "tests/fuzz/guest_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_guest_load(data, size);
	return 0;
}
