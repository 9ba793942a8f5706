/* SPDX-License-Identifier: MIT */
/* From RIP to the next instruction: see emulate.h. */
#include "emulate/emulate.h"
#include "emulate/access.h"
#include "emulate/operation.h"
#include "emulate/string_operation.h"

static bool is_string(const struct instruction *in)
{
	return in->operation >= OP_MOVS && in->operation <= OP_OUTS;
}

static void go_to_next_instruction(struct emulate_cpu *cpu, u32 length)
{
	u32 width = emulate_code_size(cpu) == CODE_64 ? 8 : 4;

	cpu->rip = alu_cut(cpu->rip + length, width);
	cpu->rflags &= ~RFLAGS_RF;
}

enum emulate_result emulate_step(struct emulation *e, u32 iterations)
{
	enum emulate_result result = access_fetch(e);

	e->met = 0;
	if (result != EMULATE_DONE)
		return result;
	result = is_string(&e->instruction)
		     ? string_operation_execute(e, iterations)
		     : operation_execute(e);
	if (result == EMULATE_DONE)
		go_to_next_instruction(&e->cpu, e->instruction.length);
	return result;
}
