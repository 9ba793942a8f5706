/* SPDX-License-Identifier: MIT */
/*
 * What Umbra wants to know from the host's ACPI tables: which CPUs and
 * interrupt controllers there are, where the PM timer ticks, how to power off
 * and to reset, and where PCI configuration space is mapped.
 *
 * The tables are foreign bytes: every address, length and checksum is checked
 * before use, and a bad table costs one warning and only what it would have
 * told. No AML is interpreted; acpi/s5.c says how the one object that we need
 * is found.
 */
#ifndef ACPI_ACPI_H
#define ACPI_ACPI_H

#include "lib/err.h"
#include "lib/types.h"
#include "mm/addr.h"

#define ACPI_CPUS_MAX      256
#define ACPI_IOAPICS_MAX   16
#define ACPI_OVERRIDES_MAX 32
#define ACPI_ECAMS_MAX     8
#define ACPI_OEM_ID_BYTES  6

enum acpi_cpu_state {
	ACPI_CPU_ENABLED,
	ACPI_CPU_ONLINE_CAPABLE, /* absent now, may be plugged in: not started
				  */
};

struct acpi_cpu {
	u32 apic_id; /* above 254 only with x2APIC */
	u32 uid;     /* the firmware's number for the processor */
	enum acpi_cpu_state state;
};

struct acpi_ioapic {
	u8 id;
	hpa_t base;
	u32 gsi_base; /* the global system interrupt of its pin 0 */
};

enum acpi_polarity { ACPI_POLARITY_BUS, ACPI_ACTIVE_HIGH, ACPI_ACTIVE_LOW };
enum acpi_trigger { ACPI_TRIGGER_BUS, ACPI_EDGE, ACPI_LEVEL };

/* ISA interrupt `isa_irq` arrives as global system interrupt `gsi`. */
struct acpi_override {
	u8 isa_irq;
	u32 gsi;
	enum acpi_polarity polarity; /* BUS: as the ISA bus has it */
	enum acpi_trigger trigger;
};

/* Generic Address Structure: a register in one of several spaces. */
enum acpi_space {
	ACPI_SPACE_NONE, /* the register does not exist */
	ACPI_SPACE_MEMORY,
	ACPI_SPACE_PORT,
	ACPI_SPACE_PCI, /* bus 0; device, function and offset in `address` */
};

struct acpi_register {
	enum acpi_space space;
	u64 address;
	u8 access_bytes; /* 1, 2, 4 or 8 */
};

/* A PCI segment's configuration space, mapped in memory ("ECAM"). */
struct acpi_ecam {
	hpa_t base; /* of bus 0, whatever first_bus says */
	u16 segment;
	u8 first_bus, last_bus;
};

enum acpi_timer_width { ACPI_TIMER_24_BITS, ACPI_TIMER_32_BITS };

struct acpi_info {
	char oem_id[ACPI_OEM_ID_BYTES + 1]; /* the root pointer's */
	struct acpi_cpu cpus[ACPI_CPUS_MAX];
	u32 cpu_count;
	struct acpi_ioapic ioapics[ACPI_IOAPICS_MAX];
	u32 ioapic_count;
	struct acpi_override overrides[ACPI_OVERRIDES_MAX];
	u32 override_count;
	struct acpi_ecam ecams[ACPI_ECAMS_MAX];
	u32 ecam_count;

	bool has_madt;
	hpa_t local_apic; /* MMIO base of every CPU's local APIC */
	bool has_pic;     /* dual 8259s, to be masked */

	bool has_dmar;
	bool avoids_x2apic; /* the firmware cannot do with x2APIC mode */

	bool has_fadt;
	struct acpi_register pm_timer; /* 3579545 Hz */
	enum acpi_timer_width pm_timer_width;
	struct acpi_register pm1a_control; /* 16 bits each */
	struct acpi_register pm1b_control;
	struct acpi_register reset;
	u8 reset_value;
	u16 smi_command; /* port; 0: ACPI mode is always on */
	u8 acpi_enable;  /* the byte for it */
	u16 sci_irq;
	bool has_i8042;

	bool has_s5; /* power off: s5_type_* << 10 | 1 << 13 to PM1 control */
	u8 s5_type_a, s5_type_b;
};

/*
 * Tells whether `bytes` bytes at `at` are memory that can be read now. Tables
 * may lie anywhere in RAM, also above 4 GiB. A range that wraps is not
 * readable.
 */
struct acpi_memory {
	bool (*is_readable)(void *context, hpa_t at, u64 bytes);
	void *context;
};

/*
 * Reads everything. `rsdp` is a copy of the root pointer from the loader, or
 * NULL: then the BIOS areas below 1 MiB are searched.
 * ERR_NOT_FOUND   no valid root pointer
 * ERR_BAD_FORMAT  the root table is unusable
 * Otherwise OK, with as much as the tables tell; info is about 8 KB.
 */
MUST_CHECK enum err acpi_read(struct acpi_info *info, const u8 *rsdp,
			      u32 rsdp_bytes, const struct acpi_memory *memory);

#endif
