/* SPDX-License-Identifier: MIT */
/*
 * A file that somebody wants to run: foreign bytes, and the only ways to read
 * them. The name is for messages.
 */
#ifndef LOADER_IMAGE_FILE_H
#define LOADER_IMAGE_FILE_H

#include "lib/types.h"

struct image_file {
	const char *name; /* of the guest that wants to run it */
	const u8 *bytes;
	u64 length;
};

/* Whether the file has `bytes` bytes at `offset`. */
bool image_file_has(const struct image_file *file, u64 offset, u64 bytes);

/* Copies bytes out; false, and nothing written, past the file's end. */
MUST_CHECK bool image_file_copy(const struct image_file *file, u64 offset,
				void *to, u64 bytes);

#endif
