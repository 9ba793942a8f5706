/* SPDX-License-Identifier: MIT */
/* The machine as a whole: what the firmware told, and how to leave it. */
#ifndef CORE_MACHINE_H
#define CORE_MACHINE_H

#include "acpi/acpi.h"
#include "drivers/interrupts.h"
#include "lib/types.h"
#include "loader/options.h"

/* Valid from machine_read_acpi() on; all zero before or without ACPI. */
extern struct acpi_info machine_acpi;

/* Reads the host's tables. All RAM is mapped by then. */
void machine_read_acpi(const u8 *rsdp, u32 rsdp_bytes);

/*
 * Is this machine Bochs, which has defects that Umbra works round? Its firmware
 * says so, as QEMU's does, whose CPUs have the bit of a hypervisor.
 */
bool machine_is_bochs(void);

/* Where an interrupt of the ISA bus arrives; vector and CPU are to be added. */
struct interrupt_route machine_isa_route(u8 irq);

/* How machine_leave() works; EXIT_STAY until set. */
void machine_set_exit(enum exit_way way);
enum exit_way machine_exit_way(void);

/*
 * Tells the front end the run's status, then leaves the machine by the chosen
 * way. If that is EXIT_STAY, or does not work, the CPU halts for ever.
 */
NORETURN void machine_leave(u32 status);

/* Powers off by ACPI; returns only if that is not possible, after saying so. */
void machine_power_off(void);

/* Resets the machine by every means there is. */
NORETURN void machine_reset(void);

#endif
