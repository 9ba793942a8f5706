/* SPDX-License-Identifier: MIT */
/*
 * See devices/guest_acpi.h. The tables' order in memory:
 *
 *	RSDP, RSDT, XSDT | FACS (64 aligned) | DSDT, FADT, MADT, MCFG
 *
 * A table is begun, filled and ended; ending it fills in its length and its
 * checksum. Whoever points at a table is patched when that table's place is
 * known.
 */
#include "devices/guest_acpi.h"
#include "devices/aml.h"
#include "devices/lapic.h"
#include "devices/platform.h"
#include "lib/string.h"

#define OEM_ID          "UMBRA "
#define OEM_TABLE_ID    "UMBRAVM "
#define CREATOR_ID      "UMBR"
#define OEM_REVISION    1

/* Offsets in the header that all tables but RSDP and FACS begin with. */
#define HEADER_LENGTH   4
#define HEADER_CHECKSUM 9

static u64 address_of(u32 offset)
{
	return PLATFORM_ACPI_BASE + offset;
}

static void align(struct aml *out, u32 alignment)
{
	while (out->used % alignment && out->result == AML_FITS)
		aml_put(out, 0, 1);
}

/* Makes the bytes from `start` on sum up to 0. */
static void set_checksum(struct aml *out, u32 start, u32 bytes, u32 at)
{
	u8 sum = 0;

	if (out->result != AML_FITS)
		return;
	aml_patch(out, at, 0, 1);
	for (u32 i = 0; i < bytes; i++)
		sum = (u8)(sum + out->bytes[start + i]);
	aml_patch(out, at, (u8)-sum, 1);
}

static u32 begin_table(struct aml *out, const char *signature, u8 revision)
{
	u32 start;

	align(out, 16);
	start = out->used;
	aml_put_bytes(out, signature, 4);
	aml_put(out, 0, 4); /* length */
	aml_put(out, revision, 1);
	aml_put(out, 0, 1); /* checksum */
	aml_put_bytes(out, OEM_ID, 6);
	aml_put_bytes(out, OEM_TABLE_ID, 8);
	aml_put(out, OEM_REVISION, 4);
	aml_put_bytes(out, CREATOR_ID, 4);
	aml_put(out, 1, 4);
	return start;
}

static void end_table(struct aml *out, u32 start)
{
	u32 bytes = out->used - start;

	aml_patch(out, start + HEADER_LENGTH, bytes, 4);
	set_checksum(out, start, bytes, start + HEADER_CHECKSUM);
}

/* --- Root: RSDP, RSDT, XSDT ----------------------------------------------- */

#define RSDP_BYTES          36
#define RSDP_BYTES_FIRST    20 /* what the first checksum covers */
#define RSDP_CHECKSUM       8
#define RSDP_RSDT           16
#define RSDP_XSDT           24
#define RSDP_CHECKSUM_WHOLE 32

enum listed { LISTED_FADT, LISTED_MADT, LISTED_MCFG, LISTED_COUNT };

#define ROOT_ENTRIES 36 /* offset of the addresses in RSDT and XSDT */

struct root {
	u32 rsdt;
	u32 xsdt;
};

static struct root put_root(struct aml *out)
{
	struct root root;
	u32 rsdp = out->used;

	aml_put_bytes(out, "RSD PTR ", 8);
	aml_put(out, 0, 1);
	aml_put_bytes(out, OEM_ID, 6);
	aml_put(out, 2, 1); /* revision: ACPI 2.0 and later */
	aml_put(out, 0, 4);
	aml_put(out, RSDP_BYTES, 4);
	aml_put(out, 0, 8);
	aml_put(out, 0, 4);
	root.rsdt = begin_table(out, "RSDT", 1);
	for (u32 i = 0; i < LISTED_COUNT; i++)
		aml_put(out, 0, 4);
	end_table(out, root.rsdt);
	root.xsdt = begin_table(out, "XSDT", 1);
	for (u32 i = 0; i < LISTED_COUNT; i++)
		aml_put(out, 0, 8);
	end_table(out, root.xsdt);
	aml_patch(out, rsdp + RSDP_RSDT, address_of(root.rsdt), 4);
	aml_patch(out, rsdp + RSDP_XSDT, address_of(root.xsdt), 8);
	set_checksum(out, rsdp, RSDP_BYTES_FIRST, rsdp + RSDP_CHECKSUM);
	set_checksum(out, rsdp, RSDP_BYTES, rsdp + RSDP_CHECKSUM_WHOLE);
	return root;
}

static void list(struct aml *out, const struct root *root, enum listed which,
		 u32 table)
{
	u64 address = address_of(table);
	u32 rsdt_bytes = ROOT_ENTRIES + 4 * LISTED_COUNT;
	u32 xsdt_bytes = ROOT_ENTRIES + 8 * LISTED_COUNT;

	aml_patch(out, root->rsdt + ROOT_ENTRIES + 4 * which, address, 4);
	aml_patch(out, root->xsdt + ROOT_ENTRIES + 8 * which, address, 8);
	set_checksum(out, root->rsdt, rsdt_bytes, root->rsdt + HEADER_CHECKSUM);
	set_checksum(out, root->xsdt, xsdt_bytes, root->xsdt + HEADER_CHECKSUM);
}

/* --- FACS ----------------------------------------------------------------- */

#define FACS_BYTES 64

static u32 put_facs(struct aml *out)
{
	const u8 rest[FACS_BYTES - 8] = {[24] = 2}; /* version */
	u32 start;

	align(out, 64);
	start = out->used;
	aml_put_bytes(out, "FACS", 4);
	aml_put(out, FACS_BYTES, 4);
	aml_put_bytes(out, rest, sizeof(rest));
	return start;
}

/* --- DSDT ----------------------------------------------------------------- */

/* Four numbers: sleep types for PM1a and PM1b, and two reserved. */
static void put_s5(struct aml *out)
{
	u32 package;

	aml_name(out, "_S5_");
	package = aml_begin_package(out, 4);
	aml_integer(out, ACPI_S5_SLEEP_TYPE);
	aml_integer(out, ACPI_S5_SLEEP_TYPE);
	aml_integer(out, 0);
	aml_integer(out, 0);
	aml_end(out, package);
}

/* Address (device, any function), pin, no link device, line. */
static void put_route(struct aml *out, u32 device, u32 pin)
{
	u32 package = aml_begin_package(out, 4);

	aml_integer(out, device << 16 | 0xffff);
	aml_integer(out, pin);
	aml_integer(out, 0);
	aml_integer(out, PLATFORM_PCI_LINE(device, pin));
	aml_end(out, package);
}

static void put_routes(struct aml *out)
{
	u32 package;

	aml_name(out, "_PRT");
	package = aml_begin_package(out, 4 * (PLATFORM_PCI_DEVICE_COUNT - 1));
	for (u32 device = 1; device < PLATFORM_PCI_DEVICE_COUNT; device++)
		for (u32 pin = 0; pin < 4; pin++)
			put_route(out, device, pin);
	aml_end(out, package);
}

static void put_pci_resources(struct aml *out)
{
	u32 resources;

	aml_name(out, "_CRS");
	resources = aml_begin_resources(out);
	aml_resource_buses(out, 0, 0);
	aml_resource_ports(out, 0xcf8, 8);
	aml_resource_port_window(out, 0, 0xcf7);
	aml_resource_port_window(out, 0xd00, 0xffff);
	aml_resource_memory_window(
	    out, (u32)PLATFORM_PCI_BASE,
	    (u32)(PLATFORM_PCI_BASE + PLATFORM_PCI_BYTES - 1));
	aml_end_resources(out, resources);
}

static void put_pci(struct aml *out)
{
	u32 device = aml_begin_device(out, "PCI0");

	aml_name(out, "_HID");
	aml_eisa_id(out, "PNP0A03");
	aml_name(out, "_UID");
	aml_integer(out, 0);
	put_pci_resources(out);
	put_routes(out);
	aml_end(out, device);
}

/* "Motherboard resources": what software may find mapped, and not take. */
static void put_board(struct aml *out)
{
	u32 device = aml_begin_device(out, "BORD");
	u32 resources;

	aml_name(out, "_HID");
	aml_eisa_id(out, "PNP0C02");
	aml_name(out, "_UID");
	aml_integer(out, 0);
	aml_name(out, "_CRS");
	resources = aml_begin_resources(out);
	aml_resource_memory(out, (u32)PLATFORM_ECAM_BASE,
			    (u32)PLATFORM_ECAM_BYTES);
	aml_end_resources(out, resources);
	aml_end(out, device);
}

/* A device on the ISA bus with some ports and an interrupt. */
struct isa_device {
	const char *name, *id;
	u32 uid;
	u16 port;
	u8 port_count;
	u8 irq;
};

static void put_isa_device(struct aml *out, const struct isa_device *isa)
{
	u32 device = aml_begin_device(out, isa->name);
	u32 resources;

	aml_name(out, "_HID");
	aml_eisa_id(out, isa->id);
	aml_name(out, "_UID");
	aml_integer(out, isa->uid);
	aml_name(out, "_CRS");
	resources = aml_begin_resources(out);
	aml_resource_ports(out, isa->port, isa->port_count);
	aml_resource_irq(out, isa->irq);
	aml_end_resources(out, resources);
	aml_end(out, device);
}

static u32 put_dsdt(struct aml *out)
{
	static const struct isa_device com1 = {
	    "COM1", "PNP0501", 1, PLATFORM_COM1_PORT, 8, PLATFORM_LINE_COM1};
	static const struct isa_device rtc = {"RTC0", "PNP0B00",        0, 0x70,
					      2,      PLATFORM_LINE_RTC};
	u32 start = begin_table(out, "DSDT", 2);
	u32 scope;

	put_s5(out);
	scope = aml_begin_scope(out, "\\_SB_");
	put_pci(out);
	put_board(out);
	put_isa_device(out, &com1);
	put_isa_device(out, &rtc);
	aml_end(out, scope);
	end_table(out, start);
	return start;
}

/* --- FADT ----------------------------------------------------------------- */

#define FADT_BYTES          268 /* revision 5 */

#define FLAG_WBINVD         BIT(0)
#define FLAG_C1_SUPPORTED   BIT(2)
#define FLAG_SLEEP_BUTTON   BIT(5) /* not in the fixed registers */
#define FLAG_FIX_RTC        BIT(6) /* nor is RTC wake-up */
#define FLAG_TIMER_32_BITS  BIT(8)
#define FLAG_RESET_REGISTER BIT(10)

#define BOOT_LEGACY_DEVICES BIT(0)
#define BOOT_NO_VGA         BIT(2)

#define RESET_PORT          0xcf9
#define RESET_VALUE         6

/* Offsets in the FADT. */
enum fadt {
	FADT_FACS = 36,
	FADT_DSDT = 40,
	FADT_SCI = 46,
	FADT_PM1A_EVENT = 56,
	FADT_PM1A_CONTROL = 64,
	FADT_PM_TIMER = 76,
	FADT_PM1_EVENT_BYTES = 88,
	FADT_PM1_CONTROL_BYTES = 89,
	FADT_PM_TIMER_BYTES = 91,
	FADT_C2_LATENCY = 96,
	FADT_C3_LATENCY = 98,
	FADT_CENTURY = 108,
	FADT_BOOT = 109,
	FADT_FLAGS = 112,
	FADT_RESET = 116,
	FADT_RESET_VALUE = 128,
	FADT_X_FACS = 132,
	FADT_X_DSDT = 140,
	FADT_X_PM1A_EVENT = 148,
	FADT_X_PM1A_CONTROL = 172,
	FADT_X_PM_TIMER = 208,
};

/* A port register, as a "Generic Address Structure". */
static void patch_register(struct aml *out, u32 at, u16 port, u32 bytes)
{
	u32 access = bytes == 1 ? 1 : bytes == 2 ? 2 : 3;

	aml_patch(out, at, 1, 1); /* I/O space */
	aml_patch(out, at + 1, bytes * 8ULL, 1);
	aml_patch(out, at + 3, access, 1);
	aml_patch(out, at + 4, port, 8);
}

static void patch_power(struct aml *out, u32 start)
{
	const u16 event = PLATFORM_PM_PORT + ACPI_PM1_STATUS;
	const u16 control = PLATFORM_PM_PORT + ACPI_PM1_CONTROL;
	const u16 timer = PLATFORM_PM_PORT + ACPI_PM_TIMER;

	aml_patch(out, start + FADT_SCI, PLATFORM_LINE_SCI, 2);
	aml_patch(out, start + FADT_PM1A_EVENT, event, 4);
	aml_patch(out, start + FADT_PM1A_CONTROL, control, 4);
	aml_patch(out, start + FADT_PM_TIMER, timer, 4);
	aml_patch(out, start + FADT_PM1_EVENT_BYTES, 4, 1);
	aml_patch(out, start + FADT_PM1_CONTROL_BYTES, 2, 1);
	aml_patch(out, start + FADT_PM_TIMER_BYTES, 4, 1);
	patch_register(out, start + FADT_X_PM1A_EVENT, event, 4);
	patch_register(out, start + FADT_X_PM1A_CONTROL, control, 2);
	patch_register(out, start + FADT_X_PM_TIMER, timer, 4);
	patch_register(out, start + FADT_RESET, RESET_PORT, 1);
	aml_patch(out, start + FADT_RESET_VALUE, RESET_VALUE, 1);
	/* Above 100 and 1000 us: no C2, no C3. */
	aml_patch(out, start + FADT_C2_LATENCY, 0xfff, 2);
	aml_patch(out, start + FADT_C3_LATENCY, 0xfff, 2);
}

static u32 put_fadt(struct aml *out, u32 facs, u32 dsdt)
{
	u32 start = begin_table(out, "FACP", 5);

	while (out->used - start < FADT_BYTES && out->result == AML_FITS)
		aml_put(out, 0, 4);
	aml_patch(out, start + FADT_FACS, address_of(facs), 4);
	aml_patch(out, start + FADT_DSDT, address_of(dsdt), 4);
	aml_patch(out, start + FADT_X_DSDT, address_of(dsdt), 8);
	patch_power(out, start);
	aml_patch(out, start + FADT_CENTURY, RTC_CENTURY, 1);
	aml_patch(out, start + FADT_BOOT, BOOT_LEGACY_DEVICES | BOOT_NO_VGA, 2);
	aml_patch(out, start + FADT_FLAGS,
		  FLAG_WBINVD | FLAG_C1_SUPPORTED | FLAG_SLEEP_BUTTON |
		      FLAG_FIX_RTC | FLAG_TIMER_32_BITS | FLAG_RESET_REGISTER,
		  4);
	end_table(out, start);
	return start;
}

/* --- MADT ----------------------------------------------------------------- */

#define MADT_PCAT_COMPATIBLE 1 /* there is a pair of 8259s, too */
#define CPU_ENABLED          1
#define ALL_CPUS             0xff
#define LINT1                1
#define ACTIVE_HIGH          1
#define LEVEL_TRIGGERED      (3 << 2)

static void put_override(struct aml *out, u8 irq, u32 gsi, u16 flags)
{
	aml_put(out, 2, 1);
	aml_put(out, 10, 1);
	aml_put(out, 0, 1); /* ISA */
	aml_put(out, irq, 1);
	aml_put(out, gsi, 4);
	aml_put(out, flags, 2);
}

static void put_cpu(struct aml *out, u32 vcpu)
{
	aml_put(out, 0, 1);
	aml_put(out, 8, 1);
	aml_put(out, vcpu, 1); /* the firmware's number */
	aml_put(out, vcpu, 1); /* APIC id */
	aml_put(out, CPU_ENABLED, 4);
}

static void put_ioapic(struct aml *out)
{
	aml_put(out, 1, 1);
	aml_put(out, 12, 1);
	aml_put(out, 0, 2); /* id */
	aml_put(out, PLATFORM_IOAPIC_BASE, 4);
	aml_put(out, 0, 4); /* first interrupt */
}

static void put_nmi(struct aml *out)
{
	aml_put(out, 4, 1);
	aml_put(out, 6, 1);
	aml_put(out, ALL_CPUS, 1);
	aml_put(out, 0, 2); /* as the bus has it */
	aml_put(out, LINT1, 1);
}

static u32 put_madt(struct aml *out, u32 vcpu_count)
{
	u32 start = begin_table(out, "APIC", 3);

	aml_put(out, LAPIC_BASE_DEFAULT, 4);
	aml_put(out, MADT_PCAT_COMPATIBLE, 4);
	for (u32 i = 0; i < vcpu_count; i++)
		put_cpu(out, i);
	put_ioapic(out);
	put_override(out, PLATFORM_LINE_PIT, PLATFORM_PIT_PIN, 0);
	put_override(out, PLATFORM_LINE_SCI, PLATFORM_LINE_SCI,
		     ACTIVE_HIGH | LEVEL_TRIGGERED);
	put_nmi(out);
	end_table(out, start);
	return start;
}

/* --- MCFG ----------------------------------------------------------------- */

static u32 put_mcfg(struct aml *out)
{
	u32 start = begin_table(out, "MCFG", 1);

	aml_put(out, 0, 8);
	aml_put(out, PLATFORM_ECAM_BASE, 8);
	aml_put(out, 0, 2); /* segment */
	aml_put(out, 0, 2); /* first and last bus */
	aml_put(out, 0, 4);
	end_table(out, start);
	return start;
}

enum err guest_acpi_build(u8 *buffer, u32 bytes, u32 vcpu_count, u32 *used)
{
	struct aml out = {.bytes = buffer, .limit = bytes};
	struct root root = put_root(&out);
	u32 facs = put_facs(&out);
	u32 dsdt = put_dsdt(&out);

	list(&out, &root, LISTED_FADT, put_fadt(&out, facs, dsdt));
	list(&out, &root, LISTED_MADT, put_madt(&out, vcpu_count));
	list(&out, &root, LISTED_MCFG, put_mcfg(&out));
	if (out.result != AML_FITS)
		return ERR_NO_MEMORY;
	*used = out.used;
	return OK;
}
