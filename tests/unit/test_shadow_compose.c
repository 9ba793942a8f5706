/* SPDX-License-Identifier: MIT */
/*
 * Rights, by enumeration: for every combination of what EPT12 and EPT01 may
 * say, the leaf that the two make grants no more than both, and no less.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shadow/compose.h"

static const u64 types[] = {EPT_UC, EPT_WC, EPT_WT, EPT_WP, EPT_WB};

static u64 combinations;

struct choice {
	struct shadow_parts parts;
	struct ept_format format;
	u64 wanted; /* rights that both grant, tracking left aside */
};

/* --- What is to come out, by the manual and by nothing else --------------- */

/* The table of effective memory types: rows MTRR, columns PAT. */
static u64 wanted_type(u64 mtrr, u64 pat)
{
	static const u64 table[7][7] = {
	    /* UC WC - - WT WP WB */
	    [EPT_UC] = {0, 1, 0, 0, 0, 0, 0}, [EPT_WC] = {0, 1, 0, 0, 0, 0, 1},
	    [EPT_WT] = {0, 1, 0, 0, 4, 5, 4}, [EPT_WP] = {0, 1, 0, 0, 4, 5, 5},
	    [EPT_WB] = {0, 1, 0, 0, 4, 5, 6},
	};

	return table[mtrr][pat];
}

static bool both_grant_w(const struct shadow_parts *parts)
{
	if (!(parts->leaf12.raw & EPT_W) ||
	    !(parts->leaf01.raw & EPT_MAY_WRITE))
		return false;
	return !parts->ad || (parts->leaf12.raw & EPT_D);
}

static u64 wanted_rights(const struct choice *c)
{
	const struct shadow_parts *parts = &c->parts;
	bool r = parts->leaf12.raw & parts->leaf01.raw & EPT_R;
	bool x = parts->leaf12.raw & parts->leaf01.raw & EPT_X;

	if (!r)
		return x && c->format.execute_only ? EPT_X : 0;
	return EPT_R | (both_grant_w(parts) ? EPT_W : 0) | (x ? EPT_X : 0);
}

static u64 wanted_level(const struct choice *c)
{
	u64 level = c->parts.level12;

	if (level > c->parts.level01)
		level = c->parts.level01;
	if (level > c->format.largest_leaf)
		level = c->format.largest_leaf;
	return c->parts.tracking && (c->wanted & EPT_W) ? EPT_4K : level;
}

static void check_attributes(const struct choice *c, u64 raw)
{
	u64 type12 = bits_get(c->parts.leaf12.raw, EPT_TYPE);
	u64 type01 = bits_get(c->parts.leaf01.raw, EPT_TYPE);

	if (c->parts.leaf01.raw & EPT_IGNORE_PAT) {
		assert_true(raw & EPT_IGNORE_PAT);
		assert_int_equal(bits_get(raw, EPT_TYPE), type01);
	} else {
		assert_int_equal(raw & EPT_IGNORE_PAT,
				 c->parts.leaf12.raw & EPT_IGNORE_PAT);
		assert_int_equal(bits_get(raw, EPT_TYPE),
				 wanted_type(type01, type12));
	}
}

static void check_tag(const struct choice *c, ept_entry_t leaf)
{
	enum shadow_tag wanted = c->parts.ad ? SHADOW_TAG_AD : SHADOW_TAG_NO_AD;

	if (c->parts.tracking)
		wanted = SHADOW_TAG_WRITE_PROTECT;
	assert_int_equal(shadow_tag(leaf), wanted);
	/* A CPU has nothing to write into a leaf. */
	assert_true((leaf.raw & (EPT_A | EPT_D)) == (EPT_A | EPT_D));
}

static void check(struct choice *c)
{
	enum ept_level level;
	ept_entry_t leaf;
	u64 now;

	c->parts.format01 = &c->format;
	c->wanted = wanted_rights(c);
	level = shadow_level(&c->parts);
	leaf = shadow_compose(&c->parts, level, hpa(PAGE_1G));
	now = c->parts.tracking ? c->wanted & ~EPT_W : c->wanted;
	combinations++;
	assert_int_equal(shadow_rights(&c->parts), c->wanted);
	assert_int_equal(level, wanted_level(c));
	assert_int_equal(leaf.raw & EPT_RWX, now);
	if (!now) {
		assert_int_equal(leaf.raw, 0);
		return;
	}
	assert_false(ept_entry_misconfigured(leaf, level, &c->format));
	assert_int_equal(ept_entry_kind(leaf, level), EPT_LEAF);
	assert_int_equal(hpa_raw(ept_entry_address(leaf)), PAGE_1G);
	assert_int_equal((leaf.raw & EPT_MAY_WRITE) != 0,
			 (c->wanted & EPT_W) != 0);
	/* Of a large leaf no page is written unseen. */
	if (c->parts.tracking && level != EPT_4K)
		assert_false(leaf.raw & (EPT_W | EPT_MAY_WRITE));
	check_attributes(c, leaf.raw);
	check_tag(c, leaf);
}

/* --- All of it ----------------------------------------------------------- */

/* EPT01: rights and types as Umbra makes them, armed or not, watched or not. */
static void with_all_of_ept01(struct choice *c)
{
	for (u64 bits = 0; bits < 32; bits++) {
		u64 raw = (bits & EPT_RWX) | EPT_A | EPT_D;

		/* Rights that the CPU cannot have do not stand in EPT01. */
		if (!(raw & EPT_R) &&
		    ((raw & EPT_W) || !c->format.execute_only))
			continue;
		if (bits & BIT(3))
			raw |= EPT_HOST_WRITABLE;
		if ((bits & BIT(3)) && (bits & BIT(4)) && (raw & EPT_R))
			raw |= EPT_MAY_WRITE;
		for (u32 type = 0; type < 2 * ARRAY_COUNT(types); type++) {
			c->parts.leaf01.raw =
			    bits_set(raw, EPT_TYPE, types[type / 2]) |
			    (type % 2 ? EPT_IGNORE_PAT : 0);
			check(c);
		}
	}
}

/* EPT12: everything that is no misconfiguration. */
static void with_all_of_ept12(struct choice *c)
{
	for (u64 bits = 0; bits < 32; bits++) {
		u64 raw = (bits & EPT_RWX) | EPT_A |
			  (bits & BIT(3) ? EPT_D : 0) |
			  (bits & BIT(4) ? EPT_IGNORE_PAT : 0);

		for (u32 type = 0; type < ARRAY_COUNT(types); type++) {
			c->parts.leaf12.raw =
			    bits_set(raw, EPT_TYPE, types[type]);
			if ((raw & EPT_RWX) &&
			    !ept_entry_misconfigured(c->parts.leaf12, EPT_4K,
						     &c->format))
				with_all_of_ept01(c);
		}
	}
}

static void with_all_sizes(struct choice *c)
{
	for (u32 sizes = 0; sizes < 9; sizes++) {
		c->parts.level12 = (enum ept_level)(EPT_4K + sizes % 3);
		c->parts.level01 = (enum ept_level)(EPT_4K + sizes / 3);
		with_all_of_ept12(c);
	}
}

static void every_combination_grants_what_both_grant(void **state)
{
	(void)state;
	for (u32 i = 0; i < 24; i++) {
		struct choice c = {
		    .parts = {.ad = i & 1, .tracking = i & 2},
		    .format = {.physical_bits = 40,
			       .accessed_dirty = true,
			       .execute_only = i & 4,
			       .largest_leaf =
				   (enum ept_level)(EPT_4K + i / 8)},
		};

		with_all_sizes(&c);
	}
	assert_true(combinations > 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_combination_grants_what_both_grant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
