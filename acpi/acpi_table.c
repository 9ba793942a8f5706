/* SPDX-License-Identifier: MIT */
/* Checked access to ACPI tables: see acpi/acpi_table.h. */
#include "acpi/acpi_table.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/phys.h"

/* ACPI Specification, "System Description Table Header". */
#define HEADER_LENGTH   4

/* The largest real ones are DSDTs of some hundred KiB. */
#define TABLE_BYTES_MAX (16 * MIB)

bool acpi_memory_is_readable(const struct acpi_memory *memory, u64 at,
			     u64 bytes)
{
	return memory->is_readable(memory->context, hpa(at), bytes);
}

u8 acpi_checksum(const u8 *bytes, u32 length)
{
	u8 sum = 0;

	for (u32 i = 0; i < length; i++)
		sum = (u8)(sum + bytes[i]);
	return sum;
}

/* Copies a field out, or what there is of it. */
static u64 field(const struct acpi_table *table, u32 offset, u32 bytes)
{
	u64 value = 0;

	if (offset < table->length && bytes <= table->length - offset)
		memcpy(&value, table->bytes + offset, bytes);
	return value;
}

u8 acpi_table_u8(const struct acpi_table *table, u32 offset)
{
	return (u8)field(table, offset, 1);
}

u16 acpi_table_u16(const struct acpi_table *table, u32 offset)
{
	return (u16)field(table, offset, 2);
}

u32 acpi_table_u32(const struct acpi_table *table, u32 offset)
{
	return (u32)field(table, offset, 4);
}

u64 acpi_table_u64(const struct acpi_table *table, u32 offset)
{
	return field(table, offset, 8);
}

bool acpi_table_has_signature(const struct acpi_memory *memory, u64 at,
			      const char *signature)
{
	return acpi_memory_is_readable(memory, at, ACPI_HEADER_BYTES) &&
	       memcmp(phys_ptr(hpa(at)), signature, strlen(signature)) == 0;
}

/* Why it cannot be used, in words; NULL: it can. */
static const char *fault_of(const struct acpi_memory *memory, u64 at,
			    const char *signature, struct acpi_table *table)
{
	if (!acpi_memory_is_readable(memory, at, ACPI_HEADER_BYTES))
		return "it does not lie in memory that can be read";
	if (!acpi_table_has_signature(memory, at, signature))
		return "there is something else";
	*table = (struct acpi_table){phys_ptr(hpa(at)), ACPI_HEADER_BYTES};
	table->length = acpi_table_u32(table, HEADER_LENGTH);
	if (table->length < ACPI_HEADER_BYTES ||
	    table->length > TABLE_BYTES_MAX ||
	    !acpi_memory_is_readable(memory, at, table->length))
		return "its length makes no sense";
	if (acpi_checksum(table->bytes, table->length) != 0)
		return "its checksum is wrong";
	return NULL;
}

enum err acpi_table_open(const struct acpi_memory *memory, u64 at,
			 const char *signature, struct acpi_table *table)
{
	struct acpi_table found;
	const char *fault = fault_of(memory, at, signature, &found);

	if (fault) {
		log_warn("ACPI: the table %s at %#lx is left out: %s",
			 signature, at, fault);
		return ERR_BAD_FORMAT;
	}
	*table = found;
	return OK;
}
