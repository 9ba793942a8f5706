/* SPDX-License-Identifier: MIT */
/*
 * What the firmware asks of whoever uses the interrupt controllers.
 * Virtualization Technology for Directed I/O, "DMA Remapping Reporting
 * Structure".
 */
#include "acpi/acpi_table.h"

#define DMAR_FLAGS          37
#define FLAG_X2APIC_OPT_OUT BIT(1)

void dmar_read(struct acpi_info *info, const struct acpi_table *dmar)
{
	info->has_dmar = true;
	info->avoids_x2apic =
	    acpi_table_u8(dmar, DMAR_FLAGS) & FLAG_X2APIC_OPT_OUT;
}
