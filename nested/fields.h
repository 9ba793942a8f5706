/* SPDX-License-Identifier: MIT */
/*
 * The guest state of L2, as lists of fields that are copied between vmcs12 and
 * vmcs02, and which of them are copied when.
 *
 *	hot	at every entry and exit: what nearly every exit handler of a
 *		hypervisor looks at
 *	cold	out of vmcs02 only when L1 looks or another VMCS becomes
 *		current; into it only when L1 has written one of them
 *
 * The rights of CS and SS are saved at every exit, as they say L2's mode.
 *
 * Not in the lists, because more than a copy is to be done: CR0, CR4,
 * IA32_EFER, IA32_PAT, the debug controls, PDPTEs, the activity state.
 */
#ifndef NESTED_FIELDS_H
#define NESTED_FIELDS_H

#include "nested/vmcs12.h"

struct nested_field {
	u16 field;
	u16 offset; /* in struct vmcs12 */
};

#define NESTED_COLD_16 8
#define NESTED_COLD_32 19
#define NESTED_COLD_64 14
extern const struct nested_field nested_cold_16[NESTED_COLD_16];
extern const struct nested_field nested_cold_32[NESTED_COLD_32];
extern const struct nested_field nested_cold_64[NESTED_COLD_64];

/*
 * With VMCS shadowing L1 reads these without an exit, and writes the first of
 * them. All are fields of 32 bits or more that every exit or L1 changes: what
 * they hold does not depend on what is loaded where.
 */
#define NESTED_SHADOWED_WRITABLE_FIELDS(X)                             \
	X(VMCS_GUEST_RIP, guest_rip)                                   \
	X(VMCS_GUEST_RSP, guest_rsp)                                   \
	X(VMCS_GUEST_RFLAGS, guest_rflags)                             \
	X(VMCS_GUEST_INTERRUPTIBILITY, guest_interruptibility)         \
	X(VMCS_ENTRY_INTERRUPTION_INFO, entry_interruption_info)       \
	X(VMCS_ENTRY_EXCEPTION_ERROR_CODE, entry_exception_error_code) \
	X(VMCS_ENTRY_INSTRUCTION_LENGTH, entry_instruction_length)
#define NESTED_SHADOWED_READ_FIELDS(X)                                     \
	X(VMCS_EXIT_REASON, exit_reason)                                   \
	X(VMCS_EXIT_INTERRUPTION_INFO, exit_interruption_info)             \
	X(VMCS_EXIT_INTERRUPTION_ERROR_CODE, exit_interruption_error_code) \
	X(VMCS_IDT_VECTORING_INFO, idt_vectoring_info)                     \
	X(VMCS_IDT_VECTORING_ERROR_CODE, idt_vectoring_error_code)         \
	X(VMCS_EXIT_INSTRUCTION_LENGTH, exit_instruction_length)           \
	X(VMCS_EXIT_INSTRUCTION_INFO, exit_instruction_info)               \
	X(VMCS_EXIT_QUALIFICATION, exit_qualification)                     \
	X(VMCS_GUEST_PHYSICAL_ADDRESS, guest_physical_address)             \
	X(VMCS_GUEST_LINEAR_ADDRESS, guest_linear_address)                 \
	X(VMCS_GUEST_CS_ACCESS_RIGHTS, guest_rights[SEG12_CS])             \
	X(VMCS_GUEST_SS_ACCESS_RIGHTS, guest_rights[SEG12_SS])

#define NESTED_SHADOWED_WRITABLE 7
#define NESTED_SHADOWED          19
extern const struct nested_field nested_shadowed[NESTED_SHADOWED];

/* What a VMREAD or VMWRITE of L1 has to do with vmcs02. */
enum nested_group {
	NESTED_GROUP_HOT,      /* vmcs12 is up to date; loaded at each entry */
	NESTED_GROUP_SAVED,    /* up to date; loaded as cold ones are */
	NESTED_GROUP_COLD,     /* guest state: vmcs02 may be newer */
	NESTED_GROUP_CONTROLS, /* vmcs02's are made of them */
	NESTED_GROUP_OTHER,    /* vmcs02 has nothing of it */
};

enum nested_group nested_field_group(u64 encoding);

/*
 * All fields of an offer, by encoding: what a VMREAD or VMWRITE of a whole
 * field needs to know. Fields that only part of this holds for have no entry,
 * and neither has what does not exist.
 */
struct nested_access {
	u16 offset;     /* in struct vmcs12; 0: no entry */
	u8 unused_bits; /* of 64 */
	u8 flags;       /* NESTED_ACCESS_* */
};

#define NESTED_ACCESS_COLD     BIT(0) /* vmcs02 may be newer */
#define NESTED_ACCESS_SAME     BIT(1) /* a VMWRITE of what it is does nothing */
#define NESTED_ACCESS_WRITE    BIT(2) /* a VMWRITE is a store, and then: */
#define NESTED_ACCESS_CHECKED  BIT(3) /* the entry is to be checked again */

#define NESTED_ACCESS_COUNT    1024u
#define NESTED_ACCESS_ENCODING (BITS(14, 13) | BITS(11, 10) | BITS(5, 1))

/* Of an encoding with no other bits; only those below the count. */
static inline u32 nested_access_index(u64 encoding)
{
	return (u32)((encoding >> 1 & BITS(4, 0)) |
		     (encoding >> 5 & (BITS(9, 8) | BITS(6, 5))));
}

void nested_access_fill(struct nested_access table[NESTED_ACCESS_COUNT],
			const struct nested_capability *offer);

#endif
