/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables that tell a guest about its platform (ACPI specification
 * 6.0, "ACPI Software Programming Model"): RSDP, RSDT, XSDT, FADT, FACS, MADT,
 * MCFG and a DSDT with \_S5, the PCI root and its interrupt routing, the serial
 * port and the clock.
 */
#ifndef DEVICES_GUEST_ACPI_H
#define DEVICES_GUEST_ACPI_H

#include "lib/err.h"
#include "lib/types.h"

/* Enough for the tables of 64 vCPUs. */
#define GUEST_ACPI_BYTES 4096

/*
 * Builds the tables to lie at PLATFORM_ACPI_BASE; the RSDP is their first
 * bytes. `used` of `buffer` are to be copied there, into memory that the guest
 * is told is reserved. ERR_NO_MEMORY: `bytes` is too small.
 */
MUST_CHECK enum err guest_acpi_build(u8 *buffer, u32 bytes, u32 vcpu_count,
				     u32 *used);

#endif
