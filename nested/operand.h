/* SPDX-License-Identifier: MIT */
/*
 * Operands of VMX instructions, from the VM-exit instruction information
 * (SDM vol. 3, "Information for VM Exits Due to Instruction Execution"), and
 * memory operands in L1's linear memory.
 *
 * Addresses are checked by segment, canonical form and paging, as the
 * instruction's own access would be. Where the guest has no memory a device may
 * be; ROM swallows writes.
 */
#ifndef NESTED_OPERAND_H
#define NESTED_OPERAND_H

#include "nested/instruction.h"

/* VMREAD and VMWRITE: the operand is a register, not memory. */
static inline bool nested_operand_is_register(u32 information)
{
	return information & BIT(10);
}

/*
 * The exit qualification as the manual has it (SDM vol. 3, "Basic VM-Exit
 * Information"): 0 if an instruction that has one names a register, where Bochs
 * 2.7 leaves what it decoded before.
 */
static inline u64 nested_operand_qualification(enum exit_reason reason,
					       u32 information,
					       u64 qualification)
{
	if ((reason == EXIT_LDTR_TR || reason == EXIT_VMREAD ||
	     reason == EXIT_VMWRITE) &&
	    nested_operand_is_register(information))
		return 0;
	return qualification;
}

/* The two register operands, as indices; the second is VMREAD's encoding. */
static inline u32 nested_operand_first(u32 information)
{
	return (u32)bits_get(information, BITS(6, 3));
}

static inline u32 nested_operand_second(u32 information)
{
	return information >> 28;
}

/* Is it 64-bit code? Else registers have 32 bits. */
bool nested_is_64_bit(const struct nested_cpu *cpu);

/* The memory operand's bytes, up to 16. False: `result` says why. */
MUST_CHECK bool nested_operand_read(const struct nested_cpu *cpu,
				    const struct nested_instruction *i,
				    void *to, u32 bytes,
				    struct nested_result *result);
MUST_CHECK bool nested_operand_write(const struct nested_cpu *cpu,
				     const struct nested_instruction *i,
				     const void *from, u32 bytes,
				     struct nested_result *result);

/* Makes `result` an exception. Always false. */
bool nested_raise(struct nested_result *result, u32 vector, u32 error_code);

#endif
