/* SPDX-License-Identifier: MIT */
/*
 * The Multiple APIC Description Table: a head, then entries of a type and a
 * length each. ACPI Specification, "Multiple APIC Description Table (MADT)".
 */
#include "acpi/acpi_table.h"
#include "lib/log.h"
#include "mm/addr.h"

#define MADT_LOCAL_APIC    36
#define MADT_FLAGS         40
#define MADT_ENTRIES       44
#define FLAG_PCAT_COMPAT   BIT(0)

/* Where every local APIC is after reset (SDM, "Local APIC Status and
 * Location"). */
#define LOCAL_APIC_DEFAULT 0xfee00000ULL

#define CPU_ENABLED        BIT(0)
#define CPU_ONLINE_CAPABLE BIT(1)

enum entry_type {
	ENTRY_LOCAL_APIC = 0,
	ENTRY_IOAPIC = 1,
	ENTRY_OVERRIDE = 2,
	ENTRY_LOCAL_APIC_ADDRESS = 5,
	ENTRY_LOCAL_X2APIC = 9,
};

/* "MPS INTI Flags" of an interrupt source override. */
#define INTI_POLARITY BITS(1, 0)
#define INTI_TRIGGER  BITS(3, 2)

/* What did not fit, for one line each at the end. */
struct losses {
	u32 cpus, ioapics, overrides;
};

static void add_cpu(struct acpi_info *info, struct losses *losses, u32 apic_id,
		    u32 uid, u32 flags)
{
	if (!(flags & (CPU_ENABLED | CPU_ONLINE_CAPABLE)))
		return; /* a socket without a CPU */
	for (u32 i = 0; i < info->cpu_count; i++)
		if (info->cpus[i].apic_id == apic_id)
			return; /* some firmware lists it in both forms */
	if (info->cpu_count == ACPI_CPUS_MAX) {
		losses->cpus++;
		return;
	}
	info->cpus[info->cpu_count++] = (struct acpi_cpu){
	    .apic_id = apic_id,
	    .uid = uid,
	    .state = flags & CPU_ENABLED ? ACPI_CPU_ENABLED
					 : ACPI_CPU_ONLINE_CAPABLE,
	};
}

static void on_local_apic(struct acpi_info *info, struct losses *losses,
			  const struct acpi_table *entry)
{
	u8 id = acpi_table_u8(entry, 3);

	if (id != 0xff) /* the broadcast address is nobody's */
		add_cpu(info, losses, id, acpi_table_u8(entry, 2),
			acpi_table_u32(entry, 4));
}

static void on_local_x2apic(struct acpi_info *info, struct losses *losses,
			    const struct acpi_table *entry)
{
	u32 id = acpi_table_u32(entry, 4);

	if (id != 0xffffffff)
		add_cpu(info, losses, id, acpi_table_u32(entry, 12),
			acpi_table_u32(entry, 8));
}

static void on_ioapic(struct acpi_info *info, struct losses *losses,
		      const struct acpi_table *entry)
{
	if (info->ioapic_count == ACPI_IOAPICS_MAX) {
		losses->ioapics++;
		return;
	}
	info->ioapics[info->ioapic_count++] = (struct acpi_ioapic){
	    .id = acpi_table_u8(entry, 2),
	    .base = hpa(acpi_table_u32(entry, 4)),
	    .gsi_base = acpi_table_u32(entry, 8),
	};
}

static enum acpi_polarity polarity_of(u16 flags)
{
	switch (bits_get(flags, INTI_POLARITY)) {
	case 1:
		return ACPI_ACTIVE_HIGH;
	case 3:
		return ACPI_ACTIVE_LOW;
	default:
		return ACPI_POLARITY_BUS;
	}
}

static enum acpi_trigger trigger_of(u16 flags)
{
	switch (bits_get(flags, INTI_TRIGGER)) {
	case 1:
		return ACPI_EDGE;
	case 3:
		return ACPI_LEVEL;
	default:
		return ACPI_TRIGGER_BUS;
	}
}

static void on_override(struct acpi_info *info, struct losses *losses,
			const struct acpi_table *entry)
{
	u16 flags = acpi_table_u16(entry, 8);

	if (info->override_count == ACPI_OVERRIDES_MAX) {
		losses->overrides++;
		return;
	}
	info->overrides[info->override_count++] = (struct acpi_override){
	    .isa_irq = acpi_table_u8(entry, 3),
	    .gsi = acpi_table_u32(entry, 4),
	    .polarity = polarity_of(flags),
	    .trigger = trigger_of(flags),
	};
}

static void set_local_apic(struct acpi_info *info, u64 address)
{
	if (address && is_aligned(address, PAGE_4K) && address < BIT(52))
		info->local_apic = hpa(address);
	else
		log_warn("ACPI: the local APIC cannot be at %#lx; taking %#lx",
			 address, hpa_raw(info->local_apic));
}

/* Reads one entry that has at least the length which its type needs. */
static void read_entry(struct acpi_info *info, struct losses *losses,
		       const struct acpi_table *entry)
{
	switch (acpi_table_u8(entry, 0)) {
	case ENTRY_LOCAL_APIC:
		on_local_apic(info, losses, entry);
		break;
	case ENTRY_IOAPIC:
		on_ioapic(info, losses, entry);
		break;
	case ENTRY_OVERRIDE:
		on_override(info, losses, entry);
		break;
	case ENTRY_LOCAL_APIC_ADDRESS:
		set_local_apic(info, acpi_table_u64(entry, 4));
		break;
	case ENTRY_LOCAL_X2APIC:
		on_local_x2apic(info, losses, entry);
		break;
	default: /* nothing that we need */
		break;
	}
}

/* The length that the specification gives a type that we read; else 2. */
static u32 length_of(u8 type)
{
	switch (type) {
	case ENTRY_LOCAL_APIC:
		return 8;
	case ENTRY_IOAPIC:
	case ENTRY_LOCAL_APIC_ADDRESS:
		return 12;
	case ENTRY_OVERRIDE:
		return 10;
	case ENTRY_LOCAL_X2APIC:
		return 16;
	default:
		return 2;
	}
}

static void read_entries(struct acpi_info *info, struct losses *losses,
			 const struct acpi_table *madt)
{
	u32 at = MADT_ENTRIES;

	while (at < madt->length) {
		u8 type = acpi_table_u8(madt, at);
		u32 length = acpi_table_u8(madt, at + 1);

		if (length < length_of(type) || length > madt->length - at) {
			log_warn("ACPI: the MADT makes no sense from byte %u "
				 "on; the rest is left out",
				 at);
			return;
		}
		struct acpi_table entry = {madt->bytes + at, length};

		read_entry(info, losses, &entry);
		at += length;
	}
}

void madt_read(struct acpi_info *info, const struct acpi_table *madt)
{
	struct losses losses = {0};

	info->has_madt = true;
	info->local_apic = hpa(LOCAL_APIC_DEFAULT);
	info->has_pic = acpi_table_u32(madt, MADT_FLAGS) & FLAG_PCAT_COMPAT;
	set_local_apic(info, acpi_table_u32(madt, MADT_LOCAL_APIC));
	read_entries(info, &losses, madt);
	if (losses.cpus)
		log_warn("ACPI: %u CPUs are left out: Umbra takes %u",
			 losses.cpus, ACPI_CPUS_MAX);
	if (losses.ioapics)
		log_warn("ACPI: %u I/O APICs are left out: Umbra takes %u",
			 losses.ioapics, ACPI_IOAPICS_MAX);
	if (losses.overrides)
		log_warn("ACPI: %u interrupt source overrides are left out: "
			 "Umbra takes %u",
			 losses.overrides, ACPI_OVERRIDES_MAX);
}
