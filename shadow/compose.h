/* SPDX-License-Identifier: MIT */
/*
 * The rule of composition: one leaf of EPT12 and the leaf of EPT01 behind it
 * make one leaf of EPT02.
 *
 *	rights	those that both grant; no W where L1's D is to be set, and
 *		where a write must exit for another reason
 *	size	the smaller of both; 4K for what is written while tracking
 *	type	L1's, where EPT01 allows it: EPT01's type stands in the place
 *		of the MTRRs' and L1's in that of the PAT's
 *
 * SDM vol. 3,
 * "Selecting Memory Types for Pentium III and More Recent Processor Families".
 *
 * Leaves carry one of three tags (EPT_SHADOW_TAG): how writes to them become
 * known. A leaf with MAY_WRITE and W=0 lacks W for dirty tracking alone.
 */
#ifndef SHADOW_COMPOSE_H
#define SHADOW_COMPOSE_H

#include "arch/x86/ept/ept_entry.h"
#include "lib/types.h"

enum shadow_tag {
	SHADOW_TAG_NONE,
	SHADOW_TAG_AD,            /* EPT02 has A/D on; not tracked, or by D */
	SHADOW_TAG_NO_AD,         /* EPT02 has A/D off; not tracked */
	SHADOW_TAG_WRITE_PROTECT, /* tracked, by W alone */
};

struct shadow_parts {
	ept_entry_t leaf12;
	ept_entry_t leaf01;
	enum ept_level level12, level01;
	bool ad; /* L1 has A/D on for this EPT12 */
	bool tracking;
	bool by_d;                         /* tracking: by D=0, not by W=0 */
	const struct ept_format *format01; /* what the CPU can do */
};

/*
 * What L2 may do at most, before dirty tracking has its say: of EPT_RWX.
 */
u64 shadow_rights(const struct shadow_parts *parts);

/* How much one leaf may cover. */
enum ept_level shadow_level(const struct shadow_parts *parts);

/*
 * The leaf of `level` (shadow_level, or less) that maps `frame`. A hole if no
 * right is left. While tracking it is made read-only, or not dirty.
 */
ept_entry_t shadow_compose(const struct shadow_parts *parts,
			   enum ept_level level, hpa_t frame);

/* L1's rights in leaf12, without W as long as D=0 has a meaning. */
u64 shadow_rights12(const struct shadow_parts *parts);

static inline enum shadow_tag shadow_tag(ept_entry_t leaf)
{
	return (enum shadow_tag)bits_get(leaf.raw, EPT_SHADOW_TAG);
}

#endif
