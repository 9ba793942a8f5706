/* SPDX-License-Identifier: MIT */
/* Reading foreign files, always inside them. */
#include "loader/image_file.h"
#include "lib/string.h"

bool image_file_has(const struct image_file *file, u64 offset, u64 bytes)
{
	return bytes <= file->length && offset <= file->length - bytes;
}

bool image_file_copy(const struct image_file *file, u64 offset, void *to,
		     u64 bytes)
{
	if (!image_file_has(file, offset, bytes))
		return false;
	memcpy(to, file->bytes + offset, bytes);
	return true;
}
