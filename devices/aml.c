/* SPDX-License-Identifier: MIT */
/* See devices/aml.h. */
#include "devices/aml.h"
#include "lib/bits.h"
#include "lib/string.h"

enum opcode {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_EXTENDED = 0x5b,
	OP_EXTENDED_DEVICE = 0x82, /* after OP_EXTENDED */
};

void aml_put_bytes(struct aml *out, const void *from, u32 bytes)
{
	if (bytes > out->limit - out->used) {
		out->result = AML_OVERFLOW;
		return;
	}
	memcpy(out->bytes + out->used, from, bytes);
	out->used += bytes;
}

void aml_put(struct aml *out, u64 value, u32 bytes)
{
	aml_put_bytes(out, &value, bytes);
}

void aml_patch(struct aml *out, u32 at, u64 value, u32 bytes)
{
	if (at > out->used || bytes > out->used - at)
		return;
	memcpy(out->bytes + at, &value, bytes);
}

/* --- Objects -------------------------------------------------------------- */

/*
 * Lengths are written in three bytes, whatever they are: four bits with the
 * count of the following bytes, then eight bits each. The length counts its
 * own bytes, too.
 */
#define LENGTH_BYTES     3
#define LENGTH_FOLLOWING (2 << 6)

static u32 begin_length(struct aml *out)
{
	u32 begun = out->used;

	aml_put(out, 0, LENGTH_BYTES);
	return begun;
}

void aml_end(struct aml *out, u32 begun)
{
	u32 length = out->used - begun;

	aml_patch(out, begun,
		  LENGTH_FOLLOWING | (length & 0xf) | (length >> 4) << 8,
		  LENGTH_BYTES);
}

static void put_name(struct aml *out, const char *name)
{
	aml_put_bytes(out, name, (u32)strlen(name));
}

u32 aml_begin_scope(struct aml *out, const char *name)
{
	u32 begun;

	aml_put(out, OP_SCOPE, 1);
	begun = begin_length(out);
	put_name(out, name);
	return begun;
}

u32 aml_begin_device(struct aml *out, const char *name)
{
	u32 begun;

	aml_put(out, OP_EXTENDED | OP_EXTENDED_DEVICE << 8, 2);
	begun = begin_length(out);
	put_name(out, name);
	return begun;
}

u32 aml_begin_package(struct aml *out, u8 element_count)
{
	u32 begun;

	aml_put(out, OP_PACKAGE, 1);
	begun = begin_length(out);
	aml_put(out, element_count, 1);
	return begun;
}

void aml_name(struct aml *out, const char *name)
{
	aml_put(out, OP_NAME, 1);
	put_name(out, name);
}

void aml_integer(struct aml *out, u64 value)
{
	if (value <= 1)
		aml_put(out, value ? OP_ONE : OP_ZERO, 1);
	else if (value <= 0xff)
		aml_put(out, OP_BYTE | value << 8, 2);
	else if (value <= 0xffff)
		aml_put(out, OP_WORD | value << 8, 3);
	else
		aml_put(out, OP_DWORD | (value & 0xffffffff) << 8, 5);
}

static u32 digit(char c)
{
	return (u32)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* Three letters of five bits, four hexadecimal digits; big-endian. */
void aml_eisa_id(struct aml *out, const char *id)
{
	u32 value = ((u32)id[0] - 0x40) << 26 | ((u32)id[1] - 0x40) << 21 |
		    ((u32)id[2] - 0x40) << 16;

	for (u32 i = 0; i < 4; i++)
		value |= digit(id[3 + i]) << (12 - i * 4);
	aml_put(out, OP_DWORD, 1);
	aml_put(out, __builtin_bswap32(value), 4);
}

/* --- Resources ------------------------------------------------------------ */

#define SMALL_IRQ       0x22 /* two bytes follow */
#define SMALL_PORTS     0x47 /* seven bytes follow */
#define SMALL_END       0x79 /* one byte follows: a checksum, or 0 */
#define LARGE_MEMORY    0x86 /* "32-Bit Fixed Memory Range Descriptor" */
#define LARGE_DWORD     0x87 /* "DWord Address Space Descriptor" */
#define LARGE_WORD      0x88 /* "Word Address Space Descriptor" */

#define PORTS_DECODE_16 1

#define WINDOW_MEMORY   0
#define WINDOW_PORTS    1
#define WINDOW_BUSES    2
#define WINDOW_FIXED    0x0c /* minimum and maximum are fixed */
#define PORTS_ENTIRE    0x03 /* ISA and other ranges */
#define MEMORY_WRITABLE 0x01

/* A buffer's size stands behind its length: a word, patched at the end. */
u32 aml_begin_resources(struct aml *out)
{
	u32 begun;

	aml_put(out, OP_BUFFER, 1);
	begun = begin_length(out);
	aml_put(out, OP_WORD, 3);
	return begun;
}

void aml_end_resources(struct aml *out, u32 begun)
{
	u32 contents = begun + LENGTH_BYTES + 3;

	aml_put(out, SMALL_END, 2);
	aml_patch(out, contents - 2, out->used - contents, 2);
	aml_end(out, begun);
}

void aml_resource_ports(struct aml *out, u16 first, u8 count)
{
	aml_put(out, SMALL_PORTS | PORTS_DECODE_16 << 8, 2);
	aml_put(out, first, 2);
	aml_put(out, first, 2);
	aml_put(out, 1, 1); /* alignment */
	aml_put(out, count, 1);
}

void aml_resource_irq(struct aml *out, u32 irq)
{
	aml_put(out, SMALL_IRQ, 1);
	aml_put(out, BIT(irq % 16), 2);
}

void aml_resource_memory(struct aml *out, u32 first, u32 bytes)
{
	aml_put(out, LARGE_MEMORY, 1);
	aml_put(out, 9, 2);
	aml_put(out, MEMORY_WRITABLE, 1);
	aml_put(out, first, 4);
	aml_put(out, bytes, 4);
}

static void word_window(struct aml *out, u8 type, u8 flags, u16 first, u16 last)
{
	aml_put(out, LARGE_WORD, 1);
	aml_put(out, 13, 2);
	aml_put(out, type, 1);
	aml_put(out, WINDOW_FIXED, 1);
	aml_put(out, flags, 1);
	aml_put(out, 0, 2); /* granularity */
	aml_put(out, first, 2);
	aml_put(out, last, 2);
	aml_put(out, 0, 2); /* translation */
	aml_put(out, (u64)last - first + 1, 2);
}

void aml_resource_buses(struct aml *out, u16 first, u16 last)
{
	word_window(out, WINDOW_BUSES, 0, first, last);
}

void aml_resource_port_window(struct aml *out, u16 first, u16 last)
{
	word_window(out, WINDOW_PORTS, PORTS_ENTIRE, first, last);
}

void aml_resource_memory_window(struct aml *out, u32 first, u32 last)
{
	aml_put(out, LARGE_DWORD, 1);
	aml_put(out, 23, 2);
	aml_put(out, WINDOW_MEMORY, 1);
	aml_put(out, WINDOW_FIXED, 1);
	aml_put(out, MEMORY_WRITABLE, 1);
	aml_put(out, 0, 4); /* granularity */
	aml_put(out, first, 4);
	aml_put(out, last, 4);
	aml_put(out, 0, 4); /* translation */
	aml_put(out, (u64)last - first + 1, 4);
}
