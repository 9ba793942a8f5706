/* SPDX-License-Identifier: MIT */
/*
 * A table of function names with any bytes in it, in a buffer of exactly its
 * size: what is found is a name that ends, at or before the address.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/symbol_table.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct symbol_table table;
	struct symbol symbol;
	u64 address;
	u8 *copy;

	if (size < sizeof(address))
		return 0;
	memcpy(&address, data, sizeof(address));
	size -= sizeof(address);
	copy = malloc(size);
	memcpy(copy, data + sizeof(address), size);
	table = (struct symbol_table){copy, copy + size};
	symbol = symbol_table_find(&table, address);
	REQUIRE(strnlen(symbol.name, SYMBOL_NAME_BYTES) < SYMBOL_NAME_BYTES);
	REQUIRE(symbol.offset <= address);
	free(copy);
	return 0;
}
