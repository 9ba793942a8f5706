/* SPDX-License-Identifier: MIT */
/*
 * What the files of entry checks share. Each area is a table of functions that
 * are called in turn; each returns the first rule that is broken.
 */
#ifndef NESTED_CHECKS_PARTS_H
#define NESTED_CHECKS_PARTS_H

#include "lib/x86.h"
#include "nested/checks.h"

/* Goes on if the condition holds, else the rule is the answer. */
#define RULE(condition, rule)               \
	do {                                \
		if (!(condition))           \
			return RULE_##rule; \
	} while (0)

#define RFLAGS_RESERVED (BITS(63, 22) | BIT(15) | BIT(5) | BIT(3))

typedef enum nested_rule nested_check(const struct nested_entry *e);

nested_check nested_check_controls;     /* checks_controls.c */
nested_check nested_check_tpr;          /* of them */
nested_check nested_check_exit_entry;   /* checks_events.c */
nested_check nested_check_event;        /* checks_events.c */
nested_check nested_check_host;         /* checks_host.c */
nested_check nested_check_registers;    /* checks_guest.c */
nested_check nested_check_segments;     /* checks_segments.c */
nested_check nested_check_tables;       /* checks_guest.c */
nested_check nested_check_non_register; /* checks_state.c */

/* PDPTEs as they will be loaded; RULE_PDPTE if one has reserved bits. */
enum nested_rule nested_check_pdptes(const struct nested_entry *e,
				     u64 pdptes[4]);

static inline bool has_pin(const struct nested_entry *e, u64 bit)
{
	return (e->v->pin_controls & bit) != 0;
}

static inline bool has_primary(const struct nested_entry *e, u64 bit)
{
	return (e->v->primary_controls & bit) != 0;
}

static inline bool has_secondary(const struct nested_entry *e, u64 bit)
{
	return (nested_secondary_controls(e->v) & bit) != 0;
}

static inline bool has_exit(const struct nested_entry *e, u64 bit)
{
	return (e->v->exit_controls & bit) != 0;
}

static inline bool has_entry(const struct nested_entry *e, u64 bit)
{
	return (e->v->entry_controls & bit) != 0;
}

static inline bool is_allowed(const struct nested_entry *e,
			      enum control_word word, u32 value)
{
	const struct control_capability *c = &e->offer->words[word];

	return (value & c->must_be_1) == c->must_be_1 &&
	       !(value & ~c->may_be_1);
}

static inline bool is_injecting(const struct nested_entry *e)
{
	return (e->v->entry_interruption_info & EVENT_VALID) != 0;
}

static inline bool is_injecting_type(const struct nested_entry *e,
				     enum event_type type)
{
	return is_injecting(e) &&
	       event_type(e->v->entry_interruption_info) == type;
}

static inline bool is_in_width(const struct nested_entry *e, u64 address)
{
	return !(address >> e->phys_bits);
}

static inline bool is_page(const struct nested_entry *e, u64 address)
{
	return is_aligned(address, PAGE_4K) && is_in_width(e, address);
}

/* Bits from the highest of the linear-address width on are all alike. */
static inline bool is_canonical(const struct nested_entry *e, u64 address)
{
	u64 upper = address >> (e->linear_bits - 1);

	return upper == 0 || upper == ~0UL >> (e->linear_bits - 1);
}

/* Only what the fixed-bit MSRs allow. */
static inline bool is_fixed(u64 value, u64 fixed0, u64 fixed1)
{
	return (value & fixed0) == fixed0 && !(value & ~fixed1);
}

/* SDM vol. 3, "Page Attribute Table (PAT)": 2 and 3 are reserved types. */
static inline bool is_pat(u64 value)
{
	u64 high = value & 0xf8f8f8f8f8f8f8f8UL;
	u64 two = value >> 1 & ~(value >> 2) & 0x0101010101010101UL;

	return !high && !two;
}

static inline enum nested_rule nested_run_checks(const struct nested_entry *e,
						 nested_check *const checks[],
						 u32 count)
{
	for (u32 i = 0; i < count; i++) {
		enum nested_rule rule = checks[i](e);

		if (rule != RULE_NONE)
			return rule;
	}
	return RULE_NONE;
}

#endif
