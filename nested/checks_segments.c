/* SPDX-License-Identifier: MIT */
/* SDM vol. 3, "Checks on Guest Segment Registers". */
#include "nested/checks_parts.h"

#define SELECTOR_TI     BIT(2)
#define SELECTOR_RPL    BITS(1, 0)

#define TYPE_ACCESSED   BIT(0)
#define TYPE_READABLE   BIT(1) /* of code */
#define TYPE_CODE       BIT(3)
#define TYPE_DATA_RW    3u  /* read/write, accessed, expand-up */
#define TYPE_DATA_DOWN  7u  /* the same, expand-down */
#define TYPE_CONFORMING 13u /* the least type of conforming code, accessed */
#define TYPE_LDT        2u
#define TYPE_TSS_16     3u
#define TYPE_TSS        11u

#define RIGHTS_RESERVED (BITS(11, 8) | BITS(31, 17))
#define V86_RIGHTS_ALL  0xf3u
#define V86_LIMIT_ALL   0xffffu
#define LAST_DATA       SEG12_GS /* ES, CS, SS, DS, FS, GS */

static bool is_v86(const struct nested_entry *e)
{
	return e->v->guest_rflags & RFLAGS_VM;
}

static bool is_long(const struct nested_entry *e)
{
	return has_entry(e, ENTRY_IA32E_MODE_GUEST);
}

static bool is_unrestricted(const struct nested_entry *e)
{
	return has_secondary(e, SECONDARY_UNRESTRICTED_GUEST);
}

static u32 rights(const struct nested_entry *e, u32 segment)
{
	return e->v->guest_rights[segment];
}

static bool is_usable(const struct nested_entry *e, u32 segment)
{
	return !(rights(e, segment) & RIGHTS_UNUSABLE);
}

/* CS is checked whether or not it is marked unusable. */
static bool is_checked(const struct nested_entry *e, u32 segment)
{
	return segment == SEG12_CS || is_usable(e, segment);
}

static u32 type(const struct nested_entry *e, u32 segment)
{
	return rights(e, segment) & RIGHTS_TYPE;
}

static u32 dpl(const struct nested_entry *e, u32 segment)
{
	return (u32)bits_get(rights(e, segment), RIGHTS_DPL);
}

static u32 rpl(const struct nested_entry *e, u32 segment)
{
	return e->v->guest_selector[segment] & SELECTOR_RPL;
}

/* G=0: the limit is in bytes, up to 1M; G=1: in pages, so it ends in 0xfff. */
static bool limit_fits(const struct nested_entry *e, u32 segment)
{
	u32 limit = e->v->guest_limit[segment];

	if (rights(e, segment) & RIGHTS_4K_LIMIT)
		return (limit & BITS(11, 0)) == BITS(11, 0);
	return !(limit & BITS(31, 20));
}

static bool base_fits_32(const struct nested_entry *e, u32 segment)
{
	return !is_usable(e, segment) || !high32(e->v->guest_base[segment]);
}

static enum nested_rule check_selectors(const struct nested_entry *e)
{
	const u16 *selector = e->v->guest_selector;

	RULE(!(selector[SEG12_TR] & SELECTOR_TI), TR_TI);
	RULE(!is_usable(e, SEG12_LDTR) || !(selector[SEG12_LDTR] & SELECTOR_TI),
	     LDTR_TI);
	RULE(is_v86(e) || is_unrestricted(e) ||
		 rpl(e, SEG12_SS) == rpl(e, SEG12_CS),
	     SS_RPL);
	return RULE_NONE;
}

static enum nested_rule check_bases(const struct nested_entry *e)
{
	const u64 *base = e->v->guest_base;

	for (u32 i = 0; i <= LAST_DATA; i++)
		RULE(!is_v86(e) || base[i] == (u64)e->v->guest_selector[i] << 4,
		     V86_BASE);
	RULE(is_canonical(e, base[SEG12_TR]) &&
		 is_canonical(e, base[SEG12_FS]) &&
		 is_canonical(e, base[SEG12_GS]) &&
		 (!is_usable(e, SEG12_LDTR) ||
		  is_canonical(e, base[SEG12_LDTR])),
	     SYSTEM_BASE);
	RULE(!high32(base[SEG12_CS]), CS_BASE);
	RULE(base_fits_32(e, SEG12_SS) && base_fits_32(e, SEG12_DS) &&
		 base_fits_32(e, SEG12_ES),
	     DATA_BASE);
	return RULE_NONE;
}

static enum nested_rule check_v86(const struct nested_entry *e)
{
	for (u32 i = 0; is_v86(e) && i <= LAST_DATA; i++) {
		RULE(e->v->guest_limit[i] == V86_LIMIT_ALL, V86_LIMIT);
		RULE(rights(e, i) == V86_RIGHTS_ALL, V86_RIGHTS);
	}
	return RULE_NONE;
}

static bool cs_type_fits(const struct nested_entry *e)
{
	u32 cs = type(e, SEG12_CS);

	return (cs == TYPE_DATA_RW && is_unrestricted(e)) ||
	       ((cs & TYPE_CODE) && (cs & TYPE_ACCESSED));
}

static bool data_type_fits(u32 type)
{
	return (type & TYPE_ACCESSED) &&
	       (!(type & TYPE_CODE) || (type & TYPE_READABLE));
}

static enum nested_rule check_types(const struct nested_entry *e)
{
	u32 ss = type(e, SEG12_SS);

	if (is_v86(e))
		return RULE_NONE;
	RULE(cs_type_fits(e), CS_TYPE);
	RULE(!is_usable(e, SEG12_SS) || ss == TYPE_DATA_RW ||
		 ss == TYPE_DATA_DOWN,
	     SS_TYPE);
	for (u32 i = 0; i <= LAST_DATA; i++)
		RULE(i == SEG12_CS || i == SEG12_SS || !is_usable(e, i) ||
			 data_type_fits(type(e, i)),
		     DATA_TYPE);
	for (u32 i = 0; i <= LAST_DATA; i++)
		RULE(!is_checked(e, i) || (rights(e, i) & RIGHTS_S), SEGMENT_S);
	return RULE_NONE;
}

static bool cs_dpl_fits(const struct nested_entry *e)
{
	u32 cs = type(e, SEG12_CS);

	if (cs == TYPE_DATA_RW)
		return dpl(e, SEG12_CS) == 0;
	if (cs >= TYPE_CONFORMING)
		return dpl(e, SEG12_CS) <= dpl(e, SEG12_SS);
	return dpl(e, SEG12_CS) == dpl(e, SEG12_SS);
}

static enum nested_rule check_privilege(const struct nested_entry *e)
{
	bool real_mode =
	    type(e, SEG12_CS) == TYPE_DATA_RW || !(e->v->guest_cr0 & CR0_PE);

	if (is_v86(e))
		return RULE_NONE;
	RULE(cs_dpl_fits(e), CS_DPL);
	RULE(is_unrestricted(e) || dpl(e, SEG12_SS) == rpl(e, SEG12_SS),
	     SS_DPL);
	RULE(!real_mode || dpl(e, SEG12_SS) == 0, SS_DPL_REAL);
	for (u32 i = 0; i <= LAST_DATA; i++) {
		if (i == SEG12_CS || i == SEG12_SS)
			continue;
		RULE(is_unrestricted(e) || !is_usable(e, i) ||
			 type(e, i) >= 12 || dpl(e, i) >= rpl(e, i),
		     DATA_DPL);
	}
	return RULE_NONE;
}

static enum nested_rule check_rights(const struct nested_entry *e)
{
	if (is_v86(e))
		return RULE_NONE;
	for (u32 i = 0; i <= LAST_DATA; i++)
		RULE(!is_checked(e, i) || (rights(e, i) & RIGHTS_PRESENT),
		     SEGMENT_PRESENT);
	for (u32 i = 0; i <= LAST_DATA; i++)
		RULE(!is_checked(e, i) || !(rights(e, i) & RIGHTS_RESERVED),
		     SEGMENT_RESERVED);
	RULE(!is_long(e) || !(rights(e, SEG12_CS) & RIGHTS_LONG) ||
		 !(rights(e, SEG12_CS) & RIGHTS_32),
	     CS_BIG);
	for (u32 i = 0; i <= LAST_DATA; i++)
		RULE(!is_checked(e, i) || limit_fits(e, i), SEGMENT_LIMIT);
	return RULE_NONE;
}

/* What TR and a usable LDTR have in common. */
static bool system_rights_fit(u32 rights)
{
	return !(rights & RIGHTS_S) && (rights & RIGHTS_PRESENT) &&
	       !(rights & RIGHTS_RESERVED);
}

static enum nested_rule check_system(const struct nested_entry *e)
{
	u32 tr = type(e, SEG12_TR);

	RULE(tr == TYPE_TSS || (tr == TYPE_TSS_16 && !is_long(e)), TR_TYPE);
	RULE(system_rights_fit(rights(e, SEG12_TR)) && is_usable(e, SEG12_TR),
	     TR_RIGHTS);
	RULE(limit_fits(e, SEG12_TR), TR_LIMIT);
	if (!is_usable(e, SEG12_LDTR))
		return RULE_NONE;
	RULE(type(e, SEG12_LDTR) == TYPE_LDT, LDTR_TYPE);
	RULE(system_rights_fit(rights(e, SEG12_LDTR)), LDTR_RIGHTS);
	RULE(limit_fits(e, SEG12_LDTR), LDTR_LIMIT);
	return RULE_NONE;
}

enum nested_rule nested_check_segments(const struct nested_entry *e)
{
	static nested_check *const checks[] = {
	    check_selectors, check_bases,  check_v86,    check_types,
	    check_privilege, check_rights, check_system,
	};

	return nested_run_checks(e, checks, ARRAY_COUNT(checks));
}
