/* SPDX-License-Identifier: MIT */
/* Lists of guest-state fields, and the group of each field. */
#include "nested/fields.h"

#define SEGMENT_16(i)                                                       \
	{                                                                   \
		VMCS_GUEST_ES_SELECTOR + 2 * (i), OFFSET(guest_selector[i]) \
	}
#define LIMIT_32(i)                                                   \
	{                                                             \
		VMCS_GUEST_ES_LIMIT + 2 * (i), OFFSET(guest_limit[i]) \
	}
#define RIGHTS_32_(i)                                                          \
	{                                                                      \
		VMCS_GUEST_ES_ACCESS_RIGHTS + 2 * (i), OFFSET(guest_rights[i]) \
	}
#define BASE_64(i)                                                  \
	{                                                           \
		VMCS_GUEST_ES_BASE + 2 * (i), OFFSET(guest_base[i]) \
	}
#define OFFSET(member) offsetof(struct vmcs12, member)

/* The fields of a segment register stand in the order of enum vmcs12_segment.
 */
const struct nested_field nested_cold_16[] = {
    SEGMENT_16(SEG12_ES),   SEGMENT_16(SEG12_CS), SEGMENT_16(SEG12_SS),
    SEGMENT_16(SEG12_DS),   SEGMENT_16(SEG12_FS), SEGMENT_16(SEG12_GS),
    SEGMENT_16(SEG12_LDTR), SEGMENT_16(SEG12_TR),
};

const struct nested_field nested_cold_32[] = {
    LIMIT_32(SEG12_ES),
    LIMIT_32(SEG12_CS),
    LIMIT_32(SEG12_SS),
    LIMIT_32(SEG12_DS),
    LIMIT_32(SEG12_FS),
    LIMIT_32(SEG12_GS),
    LIMIT_32(SEG12_LDTR),
    LIMIT_32(SEG12_TR),
    LIMIT_32(SEG12_GDTR),
    LIMIT_32(SEG12_IDTR),
    RIGHTS_32_(SEG12_ES),
    RIGHTS_32_(SEG12_CS),
    RIGHTS_32_(SEG12_SS),
    RIGHTS_32_(SEG12_DS),
    RIGHTS_32_(SEG12_FS),
    RIGHTS_32_(SEG12_GS),
    RIGHTS_32_(SEG12_LDTR),
    RIGHTS_32_(SEG12_TR),
    {VMCS_GUEST_SYSENTER_CS, OFFSET(guest_sysenter_cs)},
};

const struct nested_field nested_cold_64[] = {
    BASE_64(SEG12_ES),
    BASE_64(SEG12_CS),
    BASE_64(SEG12_SS),
    BASE_64(SEG12_DS),
    BASE_64(SEG12_FS),
    BASE_64(SEG12_GS),
    BASE_64(SEG12_LDTR),
    BASE_64(SEG12_TR),
    BASE_64(SEG12_GDTR),
    BASE_64(SEG12_IDTR),
    {VMCS_GUEST_CR3, OFFSET(guest_cr3)},
    {VMCS_GUEST_PENDING_DEBUG, OFFSET(guest_pending_debug)},
    {VMCS_GUEST_SYSENTER_ESP, OFFSET(guest_sysenter_esp)},
    {VMCS_GUEST_SYSENTER_EIP, OFFSET(guest_sysenter_eip)},
};

_Static_assert(VMCS_GUEST_TR_LIMIT - VMCS_GUEST_ES_LIMIT == 2 * SEG12_TR,
	       "the lists count in steps of two");
_Static_assert(VMCS_GUEST_GDTR_LIMIT - VMCS_GUEST_ES_LIMIT == 2 * SEG12_GDTR,
	       "and on to the tables");
_Static_assert(VMCS_GUEST_IDTR_BASE - VMCS_GUEST_ES_BASE == 2 * SEG12_IDTR,
	       "bases too");

#define SHADOWED(field, member) {field, OFFSET(member)},

const struct nested_field nested_shadowed[NESTED_SHADOWED] = {
    NESTED_SHADOWED_WRITABLE_FIELDS(SHADOWED)
	NESTED_SHADOWED_READ_FIELDS(SHADOWED)};

static bool is_hot(u64 encoding)
{
	switch (encoding) {
	case VMCS_GUEST_RIP:
	case VMCS_GUEST_RSP:
	case VMCS_GUEST_RFLAGS:
	case VMCS_GUEST_INTERRUPTIBILITY:
	case VMCS_GUEST_ACTIVITY_STATE:
	case VMCS_PREEMPTION_TIMER:
	case VMCS_PML_INDEX:
	case VMCS_LINK_POINTER:
	case VMCS_ENTRY_INTERRUPTION_INFO:
	case VMCS_ENTRY_EXCEPTION_ERROR_CODE:
	case VMCS_ENTRY_INSTRUCTION_LENGTH:
		return true;
	default:
		return false;
	}
}

enum nested_group nested_field_group(u64 encoding)
{
	if (is_hot(encoding))
		return NESTED_GROUP_HOT;
	if (encoding == VMCS_GUEST_CS_ACCESS_RIGHTS ||
	    encoding == VMCS_GUEST_SS_ACCESS_RIGHTS)
		return NESTED_GROUP_SAVED;
	switch ((enum vmcs_kind)bits_get(encoding, VMCS_ENCODING_KIND)) {
	case VMCS_KIND_CONTROL:
		return NESTED_GROUP_CONTROLS;
	case VMCS_KIND_GUEST:
		return NESTED_GROUP_COLD;
	case VMCS_KIND_READ_ONLY:
	case VMCS_KIND_HOST:
		break;
	}
	return NESTED_GROUP_OTHER;
}

/* --- By encoding ---------------------------------------------------------- */

static struct nested_access access_to(const struct nested_capability *offer,
				      u64 encoding)
{
	u64 kind = bits_get(encoding, VMCS_ENCODING_KIND);
	u32 offset = vmcs12_field_offset(offer, encoding);
	struct nested_access access = {
	    .offset = (u16)offset,
	    .unused_bits = (u8)(64 - 8 * vmcs12_field_bytes(encoding)),
	};
	enum nested_group group;

	/* Most encodings are of no field. */
	if (!offset)
		return (struct nested_access){0};
	group = nested_field_group(encoding);
	if (group == NESTED_GROUP_COLD)
		access.flags |= (u8)NESTED_ACCESS_COLD;
	/* What L1 reads in the shadow VMCS is to be changed there, too. */
	if (kind != VMCS_KIND_READ_ONLY)
		access.flags |= (u8)NESTED_ACCESS_SAME;
	if (group == NESTED_GROUP_HOT)
		access.flags |= (u8)NESTED_ACCESS_WRITE;
	if (kind == VMCS_KIND_HOST)
		access.flags |=
		    (u8)(NESTED_ACCESS_WRITE | NESTED_ACCESS_CHECKED);
	return access;
}

void nested_access_fill(struct nested_access table[NESTED_ACCESS_COUNT],
			const struct nested_capability *offer)
{
	for (u64 encoding = 0; encoding <= NESTED_ACCESS_ENCODING;
	     encoding += 2) {
		if (encoding & ~NESTED_ACCESS_ENCODING)
			continue;
		table[nested_access_index(encoding)] =
		    access_to(offer, encoding);
	}
}
