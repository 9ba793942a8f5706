/* SPDX-License-Identifier: MIT */
/*
 * From the root pointer to the tables:
 *
 *	RSDP --> XSDT (or RSDT) --> APIC: CPUs and interrupt controllers
 *	                        --> FACP: PM timer, reset --> DSDT: \_S5
 *	                        --> MCFG: PCI configuration space
 *	                        --> DMAR: whether to leave x2APIC alone
 *	                        --> SSDTs: \_S5
 */
#include "acpi/acpi.h"
#include "acpi/acpi_table.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/phys.h"

/* ACPI Specification, "Root System Description Pointer (RSDP) Structure". */
#define RSDP_SIGNATURE   "RSD PTR "
#define RSDP_V1_BYTES    20u
#define RSDP_V2_BYTES    36u
#define RSDP_OEM_ID      9
#define RSDP_REVISION    15
#define RSDP_RSDT        16
#define RSDP_XSDT        24

/* "Finding the RSDP on IA-PC Systems". */
#define EBDA_SEGMENT_AT  0x40e
#define EBDA_BYTES       (1 * KIB)
#define BIOS_AREA_AT     0xe0000
#define BIOS_AREA_BYTES  (128 * KIB)
#define RSDP_ALIGN       16u

#define ROOT_ENTRIES_MAX 512

/* The root table, which lists the others by 4- or 8-byte addresses. */
struct root {
	struct acpi_table table;
	u32 entry_bytes;
};

/* Whether `bytes` begins with a valid root pointer of version 1 or 2. */
static bool is_rsdp(const u8 *bytes, u32 readable)
{
	if (readable < RSDP_V1_BYTES ||
	    memcmp(bytes, RSDP_SIGNATURE, strlen(RSDP_SIGNATURE)) != 0 ||
	    acpi_checksum(bytes, RSDP_V1_BYTES) != 0)
		return false;
	return bytes[RSDP_REVISION] < 2 || readable < RSDP_V2_BYTES ||
	       acpi_checksum(bytes, RSDP_V2_BYTES) == 0;
}

static bool scan(const struct acpi_memory *memory, u64 at, u64 bytes,
		 struct acpi_table *rsdp)
{
	if (!acpi_memory_is_readable(memory, at, bytes))
		return false;
	for (u64 offset = 0; offset + RSDP_V1_BYTES <= bytes;
	     offset += RSDP_ALIGN) {
		u64 here = at + offset;
		struct acpi_table found = {phys_ptr(hpa(here)), RSDP_V2_BYTES};

		/* The end of the area cuts no pointer that begins in it. */
		if (!acpi_memory_is_readable(memory, here, RSDP_V2_BYTES))
			found.length = RSDP_V1_BYTES;
		if (is_rsdp(found.bytes, found.length)) {
			*rsdp = found;
			return true;
		}
	}
	return false;
}

static bool scan_bios_areas(const struct acpi_memory *memory,
			    struct acpi_table *rsdp)
{
	u16 ebda_segment = 0;

	if (acpi_memory_is_readable(memory, EBDA_SEGMENT_AT,
				    sizeof(ebda_segment)))
		memcpy(&ebda_segment, phys_ptr(hpa(EBDA_SEGMENT_AT)),
		       sizeof(ebda_segment));
	return (ebda_segment &&
		scan(memory, (u64)ebda_segment << 4, EBDA_BYTES, rsdp)) ||
	       scan(memory, BIOS_AREA_AT, BIOS_AREA_BYTES, rsdp);
}

/* The XSDT if there is one that can be used, else the RSDT. */
static enum err open_root(const struct acpi_memory *memory,
			  const struct acpi_table *rsdp, struct root *root)
{
	u64 xsdt = acpi_table_u8(rsdp, RSDP_REVISION) >= 2
		       ? acpi_table_u64(rsdp, RSDP_XSDT)
		       : 0;

	root->entry_bytes = 8;
	if (xsdt && !acpi_table_open(memory, xsdt, "XSDT", &root->table))
		return OK;
	root->entry_bytes = 4;
	return acpi_table_open(memory, acpi_table_u32(rsdp, RSDP_RSDT), "RSDT",
			       &root->table);
}

static void read_aml(struct acpi_info *info, const struct acpi_memory *memory,
		     u64 at, const char *signature)
{
	struct acpi_table table;

	if (!info->has_s5 && !acpi_table_open(memory, at, signature, &table))
		s5_read(info, &table);
}

static void read_fadt(struct acpi_info *info, const struct acpi_memory *memory,
		      const struct acpi_table *fadt)
{
	u64 dsdt = fadt_read(info, fadt);

	if (dsdt)
		read_aml(info, memory, dsdt, "DSDT");
}

/* Opens a table of which only the first one counts. */
static bool open_first(const struct acpi_memory *memory, u64 at,
		       const char *signature, bool is_first,
		       struct acpi_table *table)
{
	return is_first && acpi_table_has_signature(memory, at, signature) &&
	       acpi_table_open(memory, at, signature, table) == OK;
}

/* Reads what stands at `at`, if it is one of the tables that we use. */
static void read_table(struct acpi_info *info, const struct acpi_memory *memory,
		       u64 at)
{
	struct acpi_table table;

	if (!acpi_memory_is_readable(memory, at, ACPI_HEADER_BYTES))
		log_warn("ACPI: a table at %#lx is left out: it does not lie "
			 "in memory that can be read",
			 at);
	else if (open_first(memory, at, "APIC", !info->has_madt, &table))
		madt_read(info, &table);
	else if (open_first(memory, at, "FACP", !info->has_fadt, &table))
		read_fadt(info, memory, &table);
	else if (open_first(memory, at, "MCFG", !info->ecam_count, &table))
		mcfg_read(info, &table);
	else if (open_first(memory, at, "DMAR", !info->has_dmar, &table))
		dmar_read(info, &table);
	else if (acpi_table_has_signature(memory, at, "SSDT"))
		read_aml(info, memory, at, "SSDT");
}

static void read_tables(struct acpi_info *info,
			const struct acpi_memory *memory,
			const struct root *root)
{
	const struct acpi_table *table = &root->table;
	u32 count = (table->length - ACPI_HEADER_BYTES) / root->entry_bytes;

	if (count > ROOT_ENTRIES_MAX) {
		log_warn("ACPI: %u of %u tables are left out",
			 count - ROOT_ENTRIES_MAX, count);
		count = ROOT_ENTRIES_MAX;
	}
	for (u32 i = 0; i < count; i++) {
		u32 entry = ACPI_HEADER_BYTES + i * root->entry_bytes;

		read_table(info, memory,
			   root->entry_bytes == 8
			       ? acpi_table_u64(table, entry)
			       : acpi_table_u32(table, entry));
	}
}

/* The loader's copy of the root pointer if it is sound, else the BIOS's. */
static bool find_rsdp(const u8 *given, u32 given_bytes,
		      const struct acpi_memory *memory, struct acpi_table *rsdp)
{
	if (given && is_rsdp(given, given_bytes)) {
		*rsdp = (struct acpi_table){given, given_bytes};
		return true;
	}
	if (given)
		log_warn("ACPI: the root pointer from the boot loader is "
			 "damaged; searching for another");
	return scan_bios_areas(memory, rsdp);
}

enum err acpi_read(struct acpi_info *info, const u8 *rsdp, u32 rsdp_bytes,
		   const struct acpi_memory *memory)
{
	struct acpi_table pointer;
	struct root root;

	if (!find_rsdp(rsdp, rsdp_bytes, memory, &pointer))
		return ERR_NOT_FOUND;
	enum err err = open_root(memory, &pointer, &root);

	if (err)
		return err;
	memset(info, 0, sizeof(*info));
	memcpy(info->oem_id, pointer.bytes + RSDP_OEM_ID, ACPI_OEM_ID_BYTES);
	read_tables(info, memory, &root);
	return OK;
}
