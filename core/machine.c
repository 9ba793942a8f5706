/* SPDX-License-Identifier: MIT */
/* Leaving the machine: emulators' exits, ACPI power-off, reset. */
#include "core/machine.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/paging.h"
#include "arch/x86/cpu/tsc.h"
#include "core/console.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/phys.h"

/* Bochs 2.7's iodebug device: unlock it, then return to the debugger. */
#define BOCHS_IODEBUG        0x8a00
#define BOCHS_IODEBUG_ENABLE 0x8a00
#define BOCHS_IODEBUG_BREAK  0x8ae0
/* Bochs's shutdown port takes this word, byte by byte. */
#define BOCHS_SHUTDOWN       0x8900
#define QEMU_DEBUG_EXIT      0xf4

/* ACPI Specification, "PM1 Control Registers". */
#define PM1_SLP_TYPE_SHIFT   10
#define PM1_SLP_ENABLE       BIT(13)
#define PM1_SLEEP            BITS(13, 10)
#define PM1_SCI_ENABLE       BIT(0)

#define RESET_CONTROL        0xcf9
#define KEYBOARD_COMMAND     0x64
#define KEYBOARD_RESET       0xfe

struct acpi_info machine_acpi;
static enum exit_way exit_way = EXIT_STAY;

static bool is_readable(void *context, hpa_t at, u64 bytes)
{
	(void)context;
	return paging_is_readable(at, bytes);
}

void machine_read_acpi(const u8 *rsdp, u32 rsdp_bytes)
{
	const struct acpi_memory memory = {is_readable, NULL};
	enum err err = acpi_read(&machine_acpi, rsdp_bytes ? rsdp : NULL,
				 rsdp_bytes, &memory);

	if (err != OK)
		log_warn("ACPI tables: %s; only one CPU, no power-off",
			 err_text(err));
}

bool machine_is_bochs(void)
{
	return !cpu_features.hypervisor &&
	       strcmp(machine_acpi.oem_id, "BOCHS ") == 0;
}

struct interrupt_route machine_isa_route(u8 irq)
{
	struct interrupt_route route = {
	    .gsi = irq,
	    .polarity = INTERRUPT_ACTIVE_HIGH,
	    .trigger = INTERRUPT_EDGE,
	};

	for (u32 i = 0; i < machine_acpi.override_count; i++) {
		const struct acpi_override *o = &machine_acpi.overrides[i];

		if (o->isa_irq != irq)
			continue;
		route.gsi = o->gsi;
		if (o->polarity == ACPI_ACTIVE_LOW)
			route.polarity = INTERRUPT_ACTIVE_LOW;
		if (o->trigger == ACPI_LEVEL)
			route.trigger = INTERRUPT_LEVEL;
	}
	return route;
}

void machine_set_exit(enum exit_way way)
{
	exit_way = way;
}

enum exit_way machine_exit_way(void)
{
	return exit_way;
}

static void write_register(const struct acpi_register *reg, u32 value)
{
	if (reg->space == ACPI_SPACE_PORT && reg->access_bytes == 1)
		insn_out8((u16)reg->address, (u8)value);
	else if (reg->space == ACPI_SPACE_PORT)
		insn_out16((u16)reg->address, (u16)value);
	else if (reg->space == ACPI_SPACE_MEMORY &&
		 paging_is_readable(hpa(reg->address), 4))
		*(volatile u32 *)phys_ptr(hpa(reg->address)) = value;
}

static u32 read_port_register(const struct acpi_register *reg)
{
	return reg->space == ACPI_SPACE_PORT ? insn_in16((u16)reg->address) : 0;
}

/* ACPI Specification, "PM1 Control Registers": the other bits stay. */
static COLD void write_sleep_type(const struct acpi_register *reg, u8 type)
{
	u32 others = read_port_register(reg) & ~(u32)PM1_SLEEP;

	write_register(reg, others | (u32)type << PM1_SLP_TYPE_SHIFT |
				(u32)PM1_SLP_ENABLE);
}

/* ACPI Specification, "Legacy to ACPI mode": the firmware hands over. */
static void enter_acpi_mode(void)
{
	const struct acpi_info *acpi = &machine_acpi;

	if (!acpi->smi_command || !acpi->acpi_enable ||
	    (read_port_register(&acpi->pm1a_control) & PM1_SCI_ENABLE))
		return;
	insn_out8(acpi->smi_command, acpi->acpi_enable);
	for (u32 i = 0; i < 300; i++) {
		if (read_port_register(&acpi->pm1a_control) & PM1_SCI_ENABLE)
			return;
		tsc_delay_us(1000);
	}
}

void machine_power_off(void)
{
	const struct acpi_info *acpi = &machine_acpi;

	console_flush();
	if (!acpi->has_s5 || acpi->pm1a_control.space == ACPI_SPACE_NONE) {
		log_error("this machine's ACPI tables do not say how to power "
			  "off: switch it off by hand");
		return;
	}
	enter_acpi_mode();
	write_sleep_type(&acpi->pm1a_control, acpi->s5_type_a);
	if (acpi->pm1b_control.space != ACPI_SPACE_NONE)
		write_sleep_type(&acpi->pm1b_control, acpi->s5_type_b);
	tsc_delay_us(1000000);
	log_error("ACPI power-off had no effect: switch the machine off");
}

void machine_reset(void)
{
	console_flush();
	if (machine_acpi.reset.space == ACPI_SPACE_PORT ||
	    machine_acpi.reset.space == ACPI_SPACE_MEMORY) {
		write_register(&machine_acpi.reset, machine_acpi.reset_value);
		tsc_delay_us(100000);
	}
	insn_out8(RESET_CONTROL, 0x02);
	insn_out8(RESET_CONTROL, 0x06); /* full reset */
	tsc_delay_us(100000);
	insn_out8(KEYBOARD_COMMAND, KEYBOARD_RESET);
	for (;;)
		insn_hlt();
}

static void leave_bochs(u32 status)
{
	static const char word[] = "Shutdown";

	if (status == 0) {
		insn_out16(BOCHS_IODEBUG, BOCHS_IODEBUG_ENABLE);
		insn_out16(BOCHS_IODEBUG, BOCHS_IODEBUG_BREAK);
	}
	for (u32 i = 0; word[i]; i++)
		insn_out8(BOCHS_SHUTDOWN, (u8)word[i]);
}

void machine_leave(u32 status)
{
	console_record("end %u", status);
	console_flush();
	switch (exit_way) {
	case EXIT_STAY:
		break;
	case EXIT_BOCHS:
		leave_bochs(status);
		break;
	case EXIT_QEMU:
		insn_out32(QEMU_DEBUG_EXIT, status >> 1);
		break;
	case EXIT_ACPI:
		machine_power_off();
		break;
	}
	for (;;) {
		insn_cli();
		insn_hlt();
	}
}
