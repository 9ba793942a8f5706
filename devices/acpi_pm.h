/* SPDX-License-Identifier: MIT */
/*
 * The fixed hardware of ACPI (specification, "ACPI Hardware Specification"):
 * PM1a event and control registers, power button, PM timer of 32 bits. The
 * machine is always in ACPI mode: there is no SMI command port.
 */
#ifndef DEVICES_ACPI_PM_H
#define DEVICES_ACPI_PM_H

#include "lib/bits.h"
#include "lib/types.h"

/* Offsets from the base port; the ACPI tables tell the guest. */
#define ACPI_PM1_STATUS    0 /* two bytes */
#define ACPI_PM1_ENABLE    2 /* two bytes */
#define ACPI_PM1_CONTROL   4 /* two bytes */
#define ACPI_PM_TIMER      8 /* four bytes, read-only */
#define ACPI_PM_PORTS      12

#define ACPI_PM_TIMER_HZ   3579545ULL

/* What SLP_TYP of PM1 control is for S5, also told by \_S5 of the DSDT. */
#define ACPI_S5_SLEEP_TYPE 5

struct acpi_pm_state {
	u64 seen_ns; /* up to here the timer's overflow has been recorded */
	u16 status;
	u16 enable;
	u16 control;
};

void acpi_pm_reset(struct acpi_pm_state *pm);

/* Accesses of 1, 2 or 4 bytes at an offset below ACPI_PM_PORTS. */
u32 acpi_pm_read(struct acpi_pm_state *pm, u32 offset, u64 now_ns);

enum acpi_pm_effect { ACPI_PM_NONE, ACPI_PM_POWER_OFF };

enum acpi_pm_effect acpi_pm_write(struct acpi_pm_state *pm, u32 offset,
				  u32 bytes, u32 value);

/* Somebody has pressed the power button. */
void acpi_pm_press_power_button(struct acpi_pm_state *pm);

/* The level of the SCI, up to date after an access or acpi_pm_tick(). */
bool acpi_pm_interrupt(const struct acpi_pm_state *pm);
u64 acpi_pm_next_event_ns(const struct acpi_pm_state *pm);
void acpi_pm_tick(struct acpi_pm_state *pm, u64 now_ns);

#endif
