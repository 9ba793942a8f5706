/* SPDX-License-Identifier: MIT */
/*
 * The fixed hardware: PM timer, PM1 control, reset. ACPI Specification,
 * "Fixed ACPI Description Table (FADT)".
 *
 * Most registers have two descriptions: a port number of old, and a Generic
 * Address Structure since ACPI 2.0, which counts when it is there and not 0.
 */
#include "acpi/acpi_table.h"
#include "lib/log.h"

#define FADT_DSDT            40
#define FADT_SCI_INT         46
#define FADT_SMI_CMD         48
#define FADT_ACPI_ENABLE     52
#define FADT_PM1A_CNT_BLK    64
#define FADT_PM1B_CNT_BLK    68
#define FADT_PM_TMR_BLK      76
#define FADT_IAPC_BOOT_ARCH  109
#define FADT_FLAGS           112
#define FADT_RESET_REG       116
#define FADT_RESET_VALUE     128
#define FADT_X_DSDT          140
#define FADT_X_PM1A_CNT_BLK  172
#define FADT_X_PM1B_CNT_BLK  184
#define FADT_X_PM_TMR_BLK    208

#define HEADER_REVISION      8

/* Before this revision (ACPI 2.0) the bits are reserved. */
#define REVISION_BOOT_ARCH   3
#define BOOT_ARCH_8042       BIT(1)

#define FLAG_TMR_VAL_EXT     BIT(8)
#define FLAG_RESET_REG_SUP   BIT(10)
#define FLAG_HW_REDUCED_ACPI BIT(20)

/* "Generic Address Structure": offsets and address space numbers. */
#define GAS_SPACE            0
#define GAS_BIT_WIDTH        1
#define GAS_ACCESS_SIZE      3
#define GAS_ADDRESS          4

static const struct acpi_register no_register = {.space = ACPI_SPACE_NONE};

static enum acpi_space space_of(u8 number)
{
	switch (number) {
	case 0:
		return ACPI_SPACE_MEMORY;
	case 1:
		return ACPI_SPACE_PORT;
	case 2:
		return ACPI_SPACE_PCI;
	default:
		return ACPI_SPACE_NONE;
	}
}

/* "Access Size", or without one what the width suggests. */
static u8 access_bytes_of(u8 access_size, u8 bit_width)
{
	if (access_size >= 1 && access_size <= 4)
		return (u8)(1u << (access_size - 1));
	if (bit_width <= 8)
		return 1;
	if (bit_width <= 16)
		return 2;
	return bit_width <= 32 ? 4 : 8;
}

/* A register that does not fit its space does not exist. */
static struct acpi_register checked(struct acpi_register it)
{
	u64 end = it.space == ACPI_SPACE_PORT ? 0x10000 : BIT(52);

	if (it.address == 0 || it.address > end - it.access_bytes)
		return no_register;
	return it;
}

static struct acpi_register generic(const struct acpi_table *fadt, u32 offset)
{
	return checked((struct acpi_register){
	    .space = space_of(acpi_table_u8(fadt, offset + GAS_SPACE)),
	    .address = acpi_table_u64(fadt, offset + GAS_ADDRESS),
	    .access_bytes =
		access_bytes_of(acpi_table_u8(fadt, offset + GAS_ACCESS_SIZE),
				acpi_table_u8(fadt, offset + GAS_BIT_WIDTH)),
	});
}

static struct acpi_register port(const struct acpi_table *fadt, u32 offset,
				 u8 access_bytes)
{
	return checked((struct acpi_register){
	    .space = ACPI_SPACE_PORT,
	    .address = acpi_table_u32(fadt, offset),
	    .access_bytes = access_bytes,
	});
}

/* The newer description where there is one; the access is what we do. */
static struct acpi_register either(const struct acpi_table *fadt, u32 extended,
				   u32 legacy, u8 access_bytes)
{
	struct acpi_register it = generic(fadt, extended);

	if (it.space == ACPI_SPACE_NONE)
		return port(fadt, legacy, access_bytes);
	it.access_bytes = access_bytes;
	return checked(it);
}

static void read_fixed_hardware(struct acpi_info *info,
				const struct acpi_table *fadt, u32 flags)
{
	u32 smi_command = acpi_table_u32(fadt, FADT_SMI_CMD);

	info->pm_timer = either(fadt, FADT_X_PM_TMR_BLK, FADT_PM_TMR_BLK, 4);
	info->pm_timer_width =
	    flags & FLAG_TMR_VAL_EXT ? ACPI_TIMER_32_BITS : ACPI_TIMER_24_BITS;
	info->pm1a_control =
	    either(fadt, FADT_X_PM1A_CNT_BLK, FADT_PM1A_CNT_BLK, 2);
	info->pm1b_control =
	    either(fadt, FADT_X_PM1B_CNT_BLK, FADT_PM1B_CNT_BLK, 2);
	info->sci_irq = acpi_table_u16(fadt, FADT_SCI_INT);
	if (smi_command <= 0xffff) {
		info->smi_command = (u16)smi_command;
		info->acpi_enable = acpi_table_u8(fadt, FADT_ACPI_ENABLE);
	}
}

u64 fadt_read(struct acpi_info *info, const struct acpi_table *fadt)
{
	u32 flags = acpi_table_u32(fadt, FADT_FLAGS);
	u64 dsdt = acpi_table_u64(fadt, FADT_X_DSDT);

	info->has_fadt = true;
	/* "Hardware-Reduced ACPI": the fixed registers are to be ignored. */
	if (!(flags & FLAG_HW_REDUCED_ACPI))
		read_fixed_hardware(info, fadt, flags);
	if (flags & FLAG_RESET_REG_SUP) {
		info->reset = generic(fadt, FADT_RESET_REG);
		info->reset_value = acpi_table_u8(fadt, FADT_RESET_VALUE);
	}
	info->has_i8042 =
	    acpi_table_u8(fadt, HEADER_REVISION) < REVISION_BOOT_ARCH ||
	    (acpi_table_u16(fadt, FADT_IAPC_BOOT_ARCH) & BOOT_ARCH_8042);
	return dsdt ? dsdt : acpi_table_u32(fadt, FADT_DSDT);
}
