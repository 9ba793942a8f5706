/* SPDX-License-Identifier: MIT */
/*
 * Writing AML, the byte code of ACPI tables (ACPI specification, "ACPI Machine
 * Language (AML) Specification"), and other little-endian bytes.
 *
 * What does not fit is not written and makes the result AML_OVERFLOW; nothing
 * else can go wrong. Objects that contain others are begun and ended:
 *
 *	u32 scope = aml_begin_scope(&out, "\\_SB_");
 *	u32 device = aml_begin_device(&out, "COM1");
 *	aml_name(&out, "_UID");
 *	aml_integer(&out, 1);
 *	aml_end(&out, device);
 *	aml_end(&out, scope);
 *
 * Names are four characters, padded with '_'.
 */
#ifndef DEVICES_AML_H
#define DEVICES_AML_H

#include "lib/types.h"

enum aml_result { AML_FITS, AML_OVERFLOW };

struct aml {
	u8 *bytes;
	u32 limit;
	u32 used;
	enum aml_result result;
};

/* Little-endian numbers of 1 to 8 bytes, and bytes as they are. */
void aml_put(struct aml *out, u64 value, u32 bytes);
void aml_put_bytes(struct aml *out, const void *from, u32 bytes);

/* Replaces what was put at this offset. */
void aml_patch(struct aml *out, u32 at, u64 value, u32 bytes);

u32 aml_begin_scope(struct aml *out, const char *name);
u32 aml_begin_device(struct aml *out, const char *name);
u32 aml_begin_package(struct aml *out, u8 element_count);
void aml_end(struct aml *out, u32 begun);

/* "Name (X, ...": the object follows. */
void aml_name(struct aml *out, const char *name);

void aml_integer(struct aml *out, u64 value);

/* An identifier such as "PNP0A03", as the number that it is compressed to. */
void aml_eisa_id(struct aml *out, const char *id);

/* --- Resource templates, the contents of _CRS ----------------------------- */

u32 aml_begin_resources(struct aml *out);
void aml_end_resources(struct aml *out, u32 begun);

void aml_resource_ports(struct aml *out, u16 first, u8 count);
void aml_resource_irq(struct aml *out, u32 irq); /* edge, active high */

/* Memory that a device takes up. */
void aml_resource_memory(struct aml *out, u32 first, u32 bytes);

/* What a bridge hands on: bus numbers, ports, memory below 4 GiB. */
void aml_resource_buses(struct aml *out, u16 first, u16 last);
void aml_resource_port_window(struct aml *out, u16 first, u16 last);
void aml_resource_memory_window(struct aml *out, u32 first, u32 last);

#endif
