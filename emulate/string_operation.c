/* SPDX-License-Identifier: MIT */
/*
 * String operations, one iteration at a time.
 *
 * The source is at rSI in a segment that can be chosen, the destination at
 * rDI in ES. Both are mapped before anything is read, because a device may
 * notice reads.
 */
#include "emulate/string_operation.h"
#include "emulate/access.h"
#include "emulate/operation.h"

struct iteration {
	struct emulation *e;
	u32 bytes;
	struct span source, destination;
};

static u64 offset_in(const struct iteration *i, u8 reg)
{
	return operation_gpr(i->e->cpu.gpr, reg,
			     i->e->instruction.address_bytes);
}

static enum emulate_result map_source(struct iteration *i)
{
	const struct reference reference = {
	    .segment = i->e->instruction.segment,
	    .access = EMULATE_READ,
	    .bytes = i->bytes,
	    .offset = offset_in(i, GPR_RSI),
	};

	return access_map(i->e, &reference, &i->source);
}

static enum emulate_result map_destination(struct iteration *i,
					   enum emulate_access access)
{
	const struct reference reference = {
	    .segment = SEGMENT_ES,
	    .access = access,
	    .bytes = i->bytes,
	    .offset = offset_in(i, GPR_RDI),
	};

	return access_map(i->e, &reference, &i->destination);
}

static void advance(struct iteration *i, u8 reg)
{
	struct emulate_cpu *cpu = &i->e->cpu;
	u64 step = cpu->rflags & RFLAGS_DF ? -(u64)i->bytes : i->bytes;

	operation_set_gpr(cpu->gpr, reg, i->e->instruction.address_bytes,
			  cpu->gpr[reg] + step);
}

static enum emulate_result do_movs(struct iteration *i)
{
	enum emulate_result result = map_source(i);
	u64 value;

	if (result == EMULATE_DONE)
		result = map_destination(i, EMULATE_WRITE);
	if (result == EMULATE_DONE)
		result = access_read(i->e, &i->source, &value);
	if (result == EMULATE_DONE)
		result = access_write(i->e, &i->destination, value);
	if (result != EMULATE_DONE)
		return result;
	advance(i, GPR_RSI);
	advance(i, GPR_RDI);
	return EMULATE_DONE;
}

static void compare(struct iteration *i, u64 a, u64 b)
{
	struct emulate_cpu *cpu = &i->e->cpu;

	cpu->rflags = alu_compute(OP_CMP, a, b, i->bytes, cpu->rflags).rflags;
}

static enum emulate_result do_cmps(struct iteration *i)
{
	enum emulate_result result = map_source(i);
	u64 a, b;

	if (result == EMULATE_DONE)
		result = map_destination(i, EMULATE_READ);
	if (result == EMULATE_DONE)
		result = access_read(i->e, &i->source, &a);
	if (result == EMULATE_DONE)
		result = access_read(i->e, &i->destination, &b);
	if (result != EMULATE_DONE)
		return result;
	compare(i, a, b);
	advance(i, GPR_RSI);
	advance(i, GPR_RDI);
	return EMULATE_DONE;
}

static enum emulate_result do_stos(struct iteration *i)
{
	enum emulate_result result = map_destination(i, EMULATE_WRITE);

	if (result == EMULATE_DONE)
		result =
		    access_write(i->e, &i->destination, i->e->cpu.gpr[GPR_RAX]);
	if (result == EMULATE_DONE)
		advance(i, GPR_RDI);
	return result;
}

static enum emulate_result do_lods(struct iteration *i)
{
	enum emulate_result result = map_source(i);
	u64 value;

	if (result == EMULATE_DONE)
		result = access_read(i->e, &i->source, &value);
	if (result != EMULATE_DONE)
		return result;
	operation_set_gpr(i->e->cpu.gpr, GPR_RAX, i->bytes, value);
	advance(i, GPR_RSI);
	return EMULATE_DONE;
}

static enum emulate_result do_scas(struct iteration *i)
{
	enum emulate_result result = map_destination(i, EMULATE_READ);
	u64 value;

	if (result == EMULATE_DONE)
		result = access_read(i->e, &i->destination, &value);
	if (result != EMULATE_DONE)
		return result;
	compare(i, i->e->cpu.gpr[GPR_RAX], value);
	advance(i, GPR_RDI);
	return EMULATE_DONE;
}

static u16 port_of(const struct iteration *i)
{
	return (u16)i->e->cpu.gpr[GPR_RDX];
}

static void look_at_port(struct iteration *i)
{
	if (i->e->breakpoints)
		i->e->met |= breakpoints_of_port(i->e->breakpoints, port_of(i),
						 i->bytes);
}

static enum emulate_result do_ins(struct iteration *i)
{
	enum emulate_result result = map_destination(i, EMULATE_WRITE);
	u32 value = 0;

	if (result != EMULATE_DONE)
		return result;
	look_at_port(i);
	if (i->e->bus->port_in(i->e->context, port_of(i), &value, i->bytes) !=
	    OK)
		return EMULATE_STOPPED;
	result = access_write(i->e, &i->destination, value);
	if (result == EMULATE_DONE)
		advance(i, GPR_RDI);
	return result;
}

static enum emulate_result do_outs(struct iteration *i)
{
	enum emulate_result result = map_source(i);
	u64 value;

	if (result == EMULATE_DONE)
		result = access_read(i->e, &i->source, &value);
	if (result != EMULATE_DONE)
		return result;
	look_at_port(i);
	if (i->e->bus->port_out(i->e->context, port_of(i), (u32)value,
				i->bytes) != OK)
		return EMULATE_STOPPED;
	advance(i, GPR_RSI);
	return EMULATE_DONE;
}

static enum emulate_result run(struct iteration *i)
{
	switch (i->e->instruction.operation) {
	case OP_MOVS:
		return do_movs(i);
	case OP_CMPS:
		return do_cmps(i);
	case OP_STOS:
		return do_stos(i);
	case OP_LODS:
		return do_lods(i);
	case OP_SCAS:
		return do_scas(i);
	case OP_INS:
		return do_ins(i);
	default:
		return do_outs(i);
	}
}

/* SDM volume 2, "REP/REPE/REPZ/REPNE/REPNZ-Repeat String Operation Prefix": may
 * the next one follow? */
static bool goes_on(const struct emulation *e)
{
	const struct instruction *in = &e->instruction;
	bool equal = e->cpu.rflags & RFLAGS_ZF;

	if (operation_gpr(e->cpu.gpr, GPR_RCX, in->address_bytes) == 0)
		return false;
	if (in->operation != OP_CMPS && in->operation != OP_SCAS)
		return true;
	return equal == (in->repeat == REPEAT_EQUAL);
}

enum emulate_result string_operation_execute(struct emulation *e,
					     u32 iterations)
{
	const struct instruction *in = &e->instruction;
	struct iteration i = {.e = e, .bytes = in->destination.bytes};

	if (in->repeat == REPEAT_NONE)
		return run(&i);
	if (operation_gpr(e->cpu.gpr, GPR_RCX, in->address_bytes) == 0)
		return EMULATE_DONE;
	for (u32 done = 0; done < iterations; done++) {
		enum emulate_result result = run(&i);

		if (result == EMULATE_AGAIN && done) {
			e->met = 0;
			return EMULATE_CONTINUE;
		}
		if (result != EMULATE_DONE)
			return result;
		operation_set_gpr(e->cpu.gpr, GPR_RCX, in->address_bytes,
				  e->cpu.gpr[GPR_RCX] - 1);
		if (!goes_on(e))
			return EMULATE_DONE;
		if (e->met)
			break;
	}
	return EMULATE_CONTINUE;
}
