/* SPDX-License-Identifier: MIT */
/*
 * Where PCI configuration space is mapped. PCI Firmware Specification, "MCFG
 * Table Description".
 */
#include "acpi/acpi_table.h"
#include "lib/log.h"

#define MCFG_ENTRIES 44
#define ENTRY_BYTES  16

/* A bus has 32 devices of 8 functions with 4 KiB each. */
#define BUS_BYTES    MIB

static bool is_sound(const struct acpi_ecam *ecam)
{
	u64 base = hpa_raw(ecam->base);

	return base && is_aligned(base, BUS_BYTES) && base < BIT(51) &&
	       ecam->first_bus <= ecam->last_bus;
}

void mcfg_read(struct acpi_info *info, const struct acpi_table *mcfg)
{
	for (u32 at = MCFG_ENTRIES; at + ENTRY_BYTES <= mcfg->length;
	     at += ENTRY_BYTES) {
		struct acpi_ecam ecam = {
		    .base = hpa(acpi_table_u64(mcfg, at)),
		    .segment = acpi_table_u16(mcfg, at + 8),
		    .first_bus = acpi_table_u8(mcfg, at + 10),
		    .last_bus = acpi_table_u8(mcfg, at + 11),
		};

		if (!is_sound(&ecam)) {
			log_warn("ACPI: a PCI configuration space at %#lx for "
				 "the buses %u to %u is left out",
				 hpa_raw(ecam.base), ecam.first_bus,
				 ecam.last_bus);
		} else if (info->ecam_count == ACPI_ECAMS_MAX) {
			log_warn("ACPI: PCI segments beyond %u are left out",
				 ACPI_ECAMS_MAX);
			return;
		} else {
			info->ecams[info->ecam_count++] = ecam;
		}
	}
}
