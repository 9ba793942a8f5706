/* SPDX-License-Identifier: MIT */
/* Sections and fields: see migrate/record.h. */
#include "migrate/record.h"
#include "lib/check.h"
#include "lib/fmt.h"
#include "lib/string.h"

#define HEADER_BYTES 8
#define LENGTH_AT    4

static const struct {
	enum record_type type;
	const char *name;
} names[] = {
    {RECORD_VM, "VM"},
    {RECORD_CPUID, "CPUID"},
    {RECORD_VMX, "VMX"},
    {RECORD_HYPERV, "Hyper-V interface"},
    {RECORD_VCPU, "vCPU"},
    {RECORD_FPU, "FPU"},
    {RECORD_LAPIC, "local APIC"},
    {RECORD_NESTED, "nested VMX"},
    {RECORD_L2, "L2"},
    {RECORD_EVMCS, "enlightened VMCS"},
    {RECORD_HYPERV_VCPU, "Hyper-V interface of a vCPU"},
    {RECORD_PLATFORM, "platform"},
    {RECORD_UART, "UART"},
    {RECORD_IOAPIC, "I/O APIC"},
    {RECORD_PIC, "PIC"},
    {RECORD_PIT, "PIT"},
    {RECORD_RTC, "RTC"},
    {RECORD_ACPI_PM, "ACPI PM"},
    {RECORD_I8042, "i8042"},
    {RECORD_PCI, "PCI"},
    {RECORD_VIRTIO_CONSOLE, "virtio console"},
    {RECORD_END, "end"},
};

const char *record_type_name(u32 type)
{
	for (u32 i = 0; i < ARRAY_COUNT(names); i++)
		if (names[i].type == type)
			return names[i].name;
	return NULL;
}

/* --- Writing -------------------------------------------------------------- */

u32 record_begin(struct wire_writer *writer, enum record_type type, u32 version)
{
	u32 begun = writer->filled;

	wire_put_u16(writer, (u16)type);
	wire_put_u16(writer, (u16)version);
	wire_put_u32(writer, 0);
	return begun;
}

void record_end(struct wire_writer *writer, u32 begun)
{
	u32 bytes = writer->filled - begun - HEADER_BYTES;

	memcpy(writer->at + begun + LENGTH_AT, &bytes, sizeof(bytes));
}

void record_put(struct wire_writer *writer, const struct record_layout *layout,
		const void *from)
{
	for (u32 i = 0; i < layout->count; i++) {
		const struct record_field *field = &layout->fields[i];

		wire_put_bytes(writer, (const u8 *)from + field->offset,
			       (u32)field->count * field->bytes);
	}
}

/* --- Reading -------------------------------------------------------------- */

void record_read(struct record_reader *reader, const u8 *data, u32 bytes)
{
	*reader = (struct record_reader){
	    .bytes = {data, bytes, false},
	    .name = "the record",
	};
}

void record_refuse(struct record_reader *reader, const char *format, ...)
{
	va_list args;

	if (reader->is_wrong)
		return;
	reader->is_wrong = true;
	va_start(args, format);
	fmt_va(reader->why, sizeof(reader->why), format, args);
	va_end(args);
}

u32 record_next(const struct record_reader *reader)
{
	struct wire_reader ahead = reader->bytes;
	u32 type = wire_get_u16(&ahead);

	return reader->is_wrong || ahead.is_short ? 0 : type;
}

static void refuse_type(struct record_reader *reader, u32 type)
{
	const char *known = record_type_name(type);

	if (!type)
		record_refuse(reader, "the state ends before its section %s",
			      reader->name);
	else if (known)
		record_refuse(reader,
			      "the state has section %s where %s belongs",
			      known, reader->name);
	else
		record_refuse(reader,
			      "the state has a section that this Umbra does "
			      "not know (%x, before %s): start the same Umbra "
			      "on both",
			      type, reader->name);
}

static void refuse_version(struct record_reader *reader, u32 version_max)
{
	record_refuse(reader,
		      "section %s of the state has version %u, this Umbra "
		      "reads up to %u: start the same Umbra on both",
		      reader->name, reader->version, version_max);
}

void record_enter(struct record_reader *reader, enum record_type type,
		  u32 version_max)
{
	u32 found = record_next(reader), bytes;
	const u8 *contents;

	reader->name = record_type_name(type);
	reader->section = (struct wire_reader){NULL, 0, true};
	if (found != type) {
		refuse_type(reader, found);
		return;
	}
	(void)wire_get_u16(&reader->bytes);
	reader->version = wire_get_u16(&reader->bytes);
	bytes = wire_get_u32(&reader->bytes);
	contents = wire_get_bytes(&reader->bytes, bytes);
	if (!contents)
		record_refuse(reader, "section %s of the state is cut off",
			      reader->name);
	else if (!reader->version || reader->version > version_max)
		refuse_version(reader, version_max);
	else
		reader->section = (struct wire_reader){contents, bytes, false};
}

void record_leave(struct record_reader *reader)
{
	if (!wire_is_done(&reader->section))
		record_refuse(reader, "section %s of the state is too %s",
			      reader->name,
			      reader->section.is_short ? "short" : "long");
}

static u64 load(const u8 *at, u32 bytes)
{
	u64 value = 0;

	memcpy(&value, at, bytes);
	return value;
}

static void check_bits(struct record_reader *reader,
		       const struct record_layout *layout,
		       const struct record_field *field, const u8 *at)
{
	if (field->bits == RECORD_ANY)
		return;
	for (u32 i = 0; i < field->count; i++) {
		u64 value = load(at + (size_t)i * field->bytes, field->bytes);

		if (value & ~field->bits)
			record_refuse(reader, "%s: %s cannot be %lx",
				      layout->name, field->name, value);
	}
}

void record_get(struct record_reader *reader,
		const struct record_layout *layout, void *to)
{
	for (u32 i = 0; i < layout->count; i++) {
		const struct record_field *field = &layout->fields[i];
		u32 bytes = (u32)field->count * field->bytes;
		const u8 *at = wire_get_bytes(&reader->section, bytes);

		if (at)
			check_bits(reader, layout, field, at);
		else
			record_refuse(reader,
				      "section %s of the state is too short",
				      reader->name);
		if (at && !reader->is_wrong)
			memcpy((u8 *)to + field->offset, at, bytes);
		else
			memset((u8 *)to + field->offset, 0, bytes);
	}
}
