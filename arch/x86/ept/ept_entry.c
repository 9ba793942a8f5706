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

static bool bad_rights(u64 raw, const struct ept_format *format)
{
	u64 rights = raw & EPT_RWX;

	if (rights & EPT_R)
		return false;
	return (rights & EPT_W) || !format->execute_only;
}

static bool bad_type(u64 type)
{
	return type != EPT_UC && type != EPT_WC && type != EPT_WT &&
	       type != EPT_WP && type != EPT_WB;
}

/* Bits that must be zero besides those above MAXPHYADDR. */
static u64 reserved_low_bits(ept_entry_t entry, enum ept_level level,
			     const struct ept_format *format)
{
	if (level == EPT_TOP)
		return BITS(7, 3);
	if (ept_entry_kind(entry, level) == EPT_TABLE)
		return BITS(6, 3);
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
	reserved |= reserved_low_bits(entry, level, format);
	return bad_rights(entry.raw, format) || (entry.raw & reserved) ||
	       (kind == EPT_LEAF && bad_type(bits_get(entry.raw, EPT_TYPE)));
}
