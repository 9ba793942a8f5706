/* SPDX-License-Identifier: MIT */
/*
 * The object \_S5: which sleep types switch the machine off.
 *
 * The values stand in a definition block, in ACPI machine language, always as
 * a constant package. An interpreter is not worth them: ACPICA is several
 * times the size of all of Umbra, wants memory allocation, an operating
 * system layer and interrupts, and would let firmware run programs in the
 * hypervisor. So the bytes are searched for the one form in which compilers
 * write this object (ACPI Specification, "ACPI Machine Language (AML)
 * Specification"):
 *
 *	NameOp [RootChar] '_S5_' PackageOp PkgLength NumElements
 *	  element (PM1a's type) element (PM1b's type) ...
 *
 * with every element a small integer. A match that does not parse to its end
 * is passed over. Firmware that computes the values at run time gets no
 * power-off; `has_s5` says so.
 */
#include "acpi/acpi_table.h"
#include "lib/string.h"

#define AML_ZERO_OP    0x00
#define AML_ONE_OP     0x01
#define AML_NAME_OP    0x08
#define AML_BYTE_OP    0x0a
#define AML_WORD_OP    0x0b
#define AML_DWORD_OP   0x0c
#define AML_PACKAGE_OP 0x12
#define AML_ROOT_CHAR  0x5c

#define SLEEP_TYPE_MAX 7 /* the field in PM1 control has three bits */

static const char name[] = "_S5_";
#define NAME_BYTES 4u

/* A place in the table; reads past the end give 0 and are noticed by `at`. */
struct aml {
	const struct acpi_table *table;
	u32 at;
};

static u8 take(struct aml *aml)
{
	return acpi_table_u8(aml->table, aml->at++);
}

/* "Package Length Encoding"; gives where the package ends. */
static u32 take_package_end(struct aml *aml)
{
	u32 start = aml->at;
	u8 lead = take(aml);
	u32 more = lead >> 6;
	u32 length = more ? lead & 0xf : lead & 0x3f;

	for (u32 i = 0; i < more; i++)
		length |= (u32)take(aml) << (4 + 8 * i);
	return start + length;
}

/* A small integer constant; 0xffffffff: something else. */
static u32 take_integer(struct aml *aml)
{
	u32 value;

	switch (take(aml)) {
	case AML_ZERO_OP:
		return 0;
	case AML_ONE_OP:
		return 1;
	case AML_BYTE_OP:
		return take(aml);
	case AML_WORD_OP:
		value = acpi_table_u16(aml->table, aml->at);
		aml->at += 2;
		return value;
	case AML_DWORD_OP:
		value = acpi_table_u32(aml->table, aml->at);
		aml->at += 4;
		return value;
	default:
		return ~0u;
	}
}

/* Parses the package that follows the name. */
static bool take_types(struct aml *aml, u32 *type_a, u32 *type_b)
{
	if (take(aml) != AML_PACKAGE_OP)
		return false;
	u32 end = take_package_end(aml);
	u8 count = take(aml);

	if (count == 0)
		return false;
	*type_a = take_integer(aml);
	*type_b = count > 1 ? take_integer(aml) : 0;
	return aml->at <= end && end <= aml->table->length &&
	       *type_a <= SLEEP_TYPE_MAX && *type_b <= SLEEP_TYPE_MAX;
}

/* Whether the name at `at` is being defined there. */
static bool is_definition(const struct acpi_table *aml, u32 at)
{
	const u8 *bytes = aml->bytes + at;

	return memcmp(bytes, name, NAME_BYTES) == 0 &&
	       (bytes[-1] == AML_NAME_OP ||
		(bytes[-1] == AML_ROOT_CHAR && bytes[-2] == AML_NAME_OP));
}

void s5_read(struct acpi_info *info, const struct acpi_table *aml)
{
	for (u32 at = ACPI_HEADER_BYTES + 1; at + NAME_BYTES <= aml->length;
	     at++) {
		struct aml place = {aml, at + NAME_BYTES};
		u32 type_a, type_b;

		if (!is_definition(aml, at) ||
		    !take_types(&place, &type_a, &type_b))
			continue;
		info->has_s5 = true;
		info->s5_type_a = (u8)type_a;
		info->s5_type_b = (u8)type_b;
		return;
	}
}
