/* SPDX-License-Identifier: MIT */
/*
 * For the readers of ACPI tables only: a table that has been checked, and its
 * fields. Everybody else wants acpi/acpi.h.
 *
 * A field past the table's end reads as 0. Tables have grown with each
 * revision of the specification, and its defaults for what an older table
 * does not have are zeros.
 */
#ifndef ACPI_ACPI_TABLE_H
#define ACPI_ACPI_TABLE_H

#include "acpi/acpi.h"

#define ACPI_HEADER_BYTES 36

struct acpi_table {
	const u8 *bytes; /* `length` of them can be read */
	u32 length;      /* at least ACPI_HEADER_BYTES */
};

bool acpi_memory_is_readable(const struct acpi_memory *memory, u64 at,
			     u64 bytes);

/* The sum of the bytes, which is 0 for everything that is valid. */
u8 acpi_checksum(const u8 *bytes, u32 length);

/* False also when the place cannot be read. */
bool acpi_table_has_signature(const struct acpi_memory *memory, u64 at,
			      const char *signature);

/*
 * Checks the table at `at`: readable, of this signature, of sane length, with
 * a valid checksum. ERR_BAD_FORMAT after one line in the log.
 */
MUST_CHECK enum err acpi_table_open(const struct acpi_memory *memory, u64 at,
				    const char *signature,
				    struct acpi_table *table);

u8 acpi_table_u8(const struct acpi_table *table, u32 offset);
u16 acpi_table_u16(const struct acpi_table *table, u32 offset);
u32 acpi_table_u32(const struct acpi_table *table, u32 offset);
u64 acpi_table_u64(const struct acpi_table *table, u32 offset);

/* The readers of single tables, each in its file. */
void madt_read(struct acpi_info *info, const struct acpi_table *madt);
void mcfg_read(struct acpi_info *info, const struct acpi_table *mcfg);
void dmar_read(struct acpi_info *info, const struct acpi_table *dmar);
/* Returns where the DSDT is; 0: nowhere. */
u64 fadt_read(struct acpi_info *info, const struct acpi_table *fadt);
/* Looks for the object \_S5 in a DSDT or SSDT. */
void s5_read(struct acpi_info *info, const struct acpi_table *aml);

#endif
