/* SPDX-License-Identifier: MIT */
/* The rule of composition: see shadow/compose.h. */
#include "shadow/compose.h"

#define TYPES (BITS(2, 0) + 1)

/*
 * The manual's table of effective memory types, see shadow/compose.h. Types
 * that do not exist are uncached.
 */
static u64 combine_types(u64 of_ept01, u64 of_l1)
{
	static const u8 table[TYPES][TYPES] = {
	    [EPT_WC] = {[EPT_WC] = EPT_WC, [EPT_WB] = EPT_WC},
	    [EPT_WT] = {[EPT_WC] = EPT_WC,
			[EPT_WT] = EPT_WT,
			[EPT_WP] = EPT_WP,
			[EPT_WB] = EPT_WT},
	    [EPT_WP] = {[EPT_WC] = EPT_WC,
			[EPT_WT] = EPT_WT,
			[EPT_WP] = EPT_WP,
			[EPT_WB] = EPT_WP},
	    [EPT_WB] = {[EPT_WC] = EPT_WC,
			[EPT_WT] = EPT_WT,
			[EPT_WP] = EPT_WP,
			[EPT_WB] = EPT_WB},
	    [EPT_UC] = {[EPT_WC] = EPT_WC},
	};

	return table[of_ept01 % TYPES][of_l1 % TYPES];
}

static u64 type_bits(const struct shadow_parts *parts)
{
	u64 type12 = bits_get(parts->leaf12.raw, EPT_TYPE);
	u64 type01 = bits_get(parts->leaf01.raw, EPT_TYPE);

	/* Whoever ignores the PAT below him ignores ours, too. */
	if (parts->leaf01.raw & EPT_IGNORE_PAT)
		return bits_set(EPT_IGNORE_PAT, EPT_TYPE, type01);
	return bits_set(parts->leaf12.raw & EPT_IGNORE_PAT, EPT_TYPE,
			combine_types(type01, type12));
}

/*
 * In EPT01 W comes and goes with tracking; whether the guest may write at all
 * is MAY_WRITE. A page that is watched has lost that.
 */
static u64 rights01(ept_entry_t leaf01)
{
	u64 rights = leaf01.raw & (EPT_R | EPT_X);

	return leaf01.raw & EPT_MAY_WRITE ? rights | EPT_W : rights;
}

u64 shadow_rights12(const struct shadow_parts *parts)
{
	u64 rights = parts->leaf12.raw & EPT_RWX;

	if (parts->ad && !(parts->leaf12.raw & EPT_D))
		return rights & ~EPT_W;
	return rights;
}

u64 shadow_rights(const struct shadow_parts *parts)
{
	u64 rights = shadow_rights12(parts) & rights01(parts->leaf01);

	if (rights & EPT_R)
		return rights;
	return parts->format01->execute_only ? rights & EPT_X : 0;
}

enum ept_level shadow_level(const struct shadow_parts *parts)
{
	enum ept_level level =
	    parts->level12 < parts->level01 ? parts->level12 : parts->level01;

	/* One bit of the log must not stand for 512 pages. */
	if (parts->tracking && (shadow_rights(parts) & EPT_W))
		return EPT_4K;
	return level < parts->format01->largest_leaf
		   ? level
		   : parts->format01->largest_leaf;
}

static enum shadow_tag tag_for(const struct shadow_parts *parts)
{
	if (parts->tracking && !parts->by_d)
		return SHADOW_TAG_WRITE_PROTECT;
	return parts->ad ? SHADOW_TAG_AD : SHADOW_TAG_NO_AD;
}

ept_entry_t shadow_compose(const struct shadow_parts *parts,
			   enum ept_level level, hpa_t frame)
{
	u64 rights = shadow_rights(parts);
	u64 raw = hpa_raw(frame) | type_bits(parts) | EPT_A | EPT_D;

	if (!rights)
		return (ept_entry_t){0};
	if (level != EPT_4K)
		raw |= EPT_LARGE;
	if (rights & EPT_W)
		raw |= EPT_MAY_WRITE;
	if (parts->tracking && (rights & EPT_W)) {
		if (parts->by_d)
			raw &= ~EPT_D;
		else
			rights &= ~EPT_W;
	}
	return (ept_entry_t){
	    bits_set(raw | rights, EPT_SHADOW_TAG, tag_for(parts))};
}
