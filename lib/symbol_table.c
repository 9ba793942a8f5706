/* SPDX-License-Identifier: MIT */
/* See lib/symbol_table.h. */
#include "lib/symbol_table.h"

#define DISTANCE_BITS_MAX 63

/* What is left to read; past its end there are zeros. */
struct bytes {
	const u8 *at;
	const u8 *end;
};

static u8 take(struct bytes *bytes)
{
	return bytes->at < bytes->end ? *bytes->at++ : 0;
}

static u64 take_distance(struct bytes *bytes)
{
	u64 distance = 0;

	for (u32 shift = 0; shift < DISTANCE_BITS_MAX; shift += 7) {
		u8 byte = take(bytes);

		distance |= (u64)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
	}
	return distance;
}

static struct bytes take_name(struct bytes *bytes)
{
	size_t count = take(bytes);
	struct bytes name = *bytes;

	if (count < (size_t)(name.end - name.at))
		name.end = name.at + count;
	bytes->at = name.end;
	return name;
}

static void skip_pieces(struct bytes *bytes, u32 count)
{
	while (count && bytes->at < bytes->end)
		count -= take(bytes) == 0;
}

static void spell(const struct symbol_table *table, struct bytes name,
		  char text[SYMBOL_NAME_BYTES])
{
	u32 length = 0;

	while (name.at < name.end) {
		struct bytes piece = {table->start, table->end};
		char letter;

		skip_pieces(&piece, take(&name));
		while ((letter = (char)take(&piece)) &&
		       length < SYMBOL_NAME_BYTES - 1)
			text[length++] = letter;
	}
	text[length] = 0;
}

struct symbol symbol_table_find(const struct symbol_table *table, u64 address)
{
	struct bytes bytes = {table->start, table->end};
	struct symbol symbol = {"?", 0};
	struct bytes name = {NULL, NULL};
	u64 begin = 0;

	skip_pieces(&bytes, 256);
	while (bytes.at < bytes.end) {
		u64 distance = take_distance(&bytes);

		if (distance > address - begin)
			break;
		begin += distance;
		name = take_name(&bytes);
	}
	if (name.at) {
		spell(table, name, symbol.name);
		symbol.offset = address - begin;
	}
	return symbol;
}
