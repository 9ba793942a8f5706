/* SPDX-License-Identifier: MIT */
/*
 * The state record of a VM: sections in one fixed order (docs/MIGRATION.md).
 *
 *	 0      2         4        8
 *	| type | version | length | contents, length bytes
 *
 * Contents are the fields of structs, little-endian, without gaps, as layouts
 * list them. Both directions walk the same layouts, so what is written can be
 * read; each field names the bits that may ever be set in it, and a field that
 * has others is refused by its name. What must hold between fields is checked
 * by who knows the section.
 *
 * The first thing that is wrong is said in words; everything after it reads as
 * zero and is refused, too.
 */
#ifndef MIGRATE_RECORD_H
#define MIGRATE_RECORD_H

#include "lib/bits.h"
#include "migrate/wire.h"

/* In the order of their coming, but where it says so; those of a vCPU follow
 * each other. */
enum record_type {
	RECORD_VM = 0x01,
	RECORD_CPUID = 0x02,
	RECORD_VMX = 0x03,
	RECORD_HYPERV = 0x04, /* of a VM that has that interface */
	RECORD_VCPU = 0x10,
	RECORD_FPU = 0x11,
	RECORD_LAPIC = 0x12,
	RECORD_NESTED = 0x13,      /* of a vCPU in VMX operation */
	RECORD_EVMCS = 0x15,       /* of one that uses one: before L2 */
	RECORD_L2 = 0x14,          /* of one that runs its guest */
	RECORD_HYPERV_VCPU = 0x16, /* before nested VMX */
	RECORD_PLATFORM = 0x20,
	RECORD_UART = 0x21,
	RECORD_IOAPIC = 0x22,
	RECORD_PIC = 0x23,
	RECORD_PIT = 0x24,
	RECORD_RTC = 0x25,
	RECORD_ACPI_PM = 0x26,
	RECORD_I8042 = 0x27,
	RECORD_PCI = 0x28,
	RECORD_VIRTIO_CONSOLE = 0x29,
	RECORD_END = 0x7f,
};

#define RECORD_ANY  (~0UL)
#define RECORD_BOOL BIT(0)

struct record_field {
	const char *name;
	u16 offset;
	u16 count; /* of an array */
	u8 bytes;  /* of one: 1, 2, 4 or 8 */
	u64 bits;  /* that may be set */
};

#define RECORD_SIZE(type, member)    sizeof(((type *)0)->member)
#define RECORD_ELEMENT(type, member) sizeof(*((type *)0)->member)
#define RECORD_FIELD(type, member, allowed)                                    \
	{                                                                      \
		.name = #member, .offset = offsetof(type, member), .count = 1, \
		.bytes = RECORD_SIZE(type, member), .bits = (allowed)          \
	}
#define RECORD_ARRAY(type, member, allowed)                                   \
	{                                                                     \
		.name = #member, .offset = offsetof(type, member),            \
		.count =                                                      \
		    RECORD_SIZE(type, member) / RECORD_ELEMENT(type, member), \
		.bytes = RECORD_ELEMENT(type, member), .bits = (allowed)      \
	}

struct record_layout {
	const char *name; /* of the thing, for people */
	const struct record_field *fields;
	u32 count;
};

#define RECORD_LAYOUT(name, fields)                   \
	{                                             \
		(name), (fields), ARRAY_COUNT(fields) \
	}

/* --- Writing -------------------------------------------------------------- */

/* What record_end() needs to write the length. */
u32 record_begin(struct wire_writer *writer, enum record_type type,
		 u32 version);
void record_end(struct wire_writer *writer, u32 begun);

void record_put(struct wire_writer *writer, const struct record_layout *layout,
		const void *from);

/* --- Reading -------------------------------------------------------------- */

struct record_reader {
	struct wire_reader bytes;   /* of the whole record */
	struct wire_reader section; /* of the one that has been entered */
	const char *name;           /* of that */
	u32 version;
	bool is_wrong;
	char why[WIRE_TEXT_BYTES];
};

/* `data` stays in place. */
void record_read(struct record_reader *reader, const u8 *data, u32 bytes);

/* The type of the next section; 0 at the end. */
u32 record_next(const struct record_reader *reader);

/* It must be that one, of a version from 1 to `version_max`. */
void record_enter(struct record_reader *reader, enum record_type type,
		  u32 version_max);
/* All of it has been read, or it is wrong. */
void record_leave(struct record_reader *reader);

/* Zeroes, when something is or has been wrong. */
void record_get(struct record_reader *reader,
		const struct record_layout *layout, void *to);

/* For what a layout cannot say; the first reason stays. */
PRINTF(2, 3)
void record_refuse(struct record_reader *reader, const char *format, ...);

/* Refuses in the name of the section that is being read. */
static inline void record_must(struct record_reader *reader, bool holds,
			       const char *what)
{
	if (!holds)
		record_refuse(reader, "%s: %s cannot be", reader->name, what);
}

const char *record_type_name(u32 type);

#endif
