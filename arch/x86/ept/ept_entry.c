/* SPDX-License-Identifier: MIT */
/* EPT entries as values: see arch/x86/ept/ept_entry.h. */
#include "arch/x86/ept/ept_entry.h"

ept_entry_t ept_entry_leaf(hpa_t frame, enum ept_level level,
			   const struct ept_attributes *attributes)
{
	u64 raw = hpa_raw(frame) | attributes->rights | EPT_A | EPT_D;

	raw = bits_set(raw, EPT_TYPE, attributes->type);
	if (attributes->ignore_pat)
		raw |= EPT_IGNORE_PAT;
	if (level != EPT_4K)
		raw |= EPT_LARGE;
	if (attributes->rights & EPT_W)
		raw |= EPT_HOST_WRITABLE | EPT_MAY_WRITE;
	return (ept_entry_t){raw};
}

/* Sets of values of a three-bit field, one bit each. */
#define BAD_RIGHTS (BIT(EPT_W) | BIT(EPT_W | EPT_X))
#define BAD_TYPES  (BIT(2) | BIT(3) | BIT(7))

_Static_assert(!(BAD_TYPES & (BIT(EPT_UC) | BIT(EPT_WC) | BIT(EPT_WT) |
			      BIT(EPT_WP) | BIT(EPT_WB))),
	       "the others are reserved");

static bool bad_rights(u64 raw, const struct ept_format *format)
{
	u64 bad = format->execute_only ? BAD_RIGHTS : BAD_RIGHTS | BIT(EPT_X);

	return bad >> (raw & EPT_RWX) & 1;
}

static bool bad_type(u64 raw)
{
	return BAD_TYPES >> bits_get(raw, EPT_TYPE) & 1;
}

/* Bits that must be zero besides those above MAXPHYADDR. */
static u64 reserved_low_bits(enum ept_level level, enum ept_kind kind,
			     const struct ept_format *format)
{
	if (kind == EPT_TABLE)
		return level == EPT_TOP ? BITS(7, 3) : BITS(6, 3);
	if (level > format->largest_leaf)
		return EPT_LARGE;
	return (ept_level_bytes(level) - 1) & EPT_ADDRESS;
}

bool ept_entry_misconfigured(ept_entry_t entry, enum ept_level level,
			     const struct ept_format *format)
{
	enum ept_kind kind = ept_entry_kind(entry, level);
	u64 reserved = EPT_ADDRESS & ~(BIT(format->physical_bits) - 1);

	if (kind == EPT_HOLE)
		return false;
	reserved |= reserved_low_bits(level, kind, format);
	return bad_rights(entry.raw, format) || (entry.raw & reserved) ||
	       (kind == EPT_LEAF && bad_type(entry.raw));
}
