/* SPDX-License-Identifier: MIT */
/*
 * Everything but strings. One row per operation says which operands it reads
 * and writes; a short function computes. Around it:
 *
 *	map operands   may fault
 *	read           only what the operation looks at
 *	compute        may fault: #DE
 *	write          memory first, then registers, all at once
 */
#include "emulate/operation.h"
#include "emulate/access.h"
#include "lib/bits.h"
#include "lib/string.h"

#define VECTOR_DE    0
#define VECTOR_GP    13

#define CR0_EM       BIT(2)
#define CR0_TS       BIT(3)

#define VECTOR_BYTES 16

/* One instruction on its way. */
struct step {
	struct emulation *e;
	const struct instruction *in;
	struct span memory; /* of the memory operand, if there is one */
	struct span stack;  /* PUSH and POP */
	u64 a;              /* the destination's value, if it is read */
	u64 b;              /* the source's */
	u64 value;          /* for the destination */
	u32 bytes;          /* the destination's size, or the source's */
	u64 rflags;         /* becomes e->cpu's at the end */
	u64 *gpr;           /* e->cpu's, or with EARLY a copy that does */
};

/* --- Registers ------------------------------------------------------------ */

u64 operation_gpr(const u64 *gpr, u8 reg, u32 bytes)
{
	return alu_cut(gpr[reg], bytes);
}

/* 32-bit results clear the upper half; smaller ones leave the rest alone. */
void operation_set_gpr(u64 *gpr, u8 reg, u32 bytes, u64 value)
{
	if (bytes >= 4)
		gpr[reg] = alu_cut(value, bytes);
	else
		gpr[reg] = (gpr[reg] - alu_cut(gpr[reg], bytes)) |
			   alu_cut(value, bytes);
}

static void set_register(u64 *gpr, const struct operand *operand, u64 value)
{
	if (operand->kind == OPERAND_GPR_HIGH)
		gpr[operand->reg] =
		    bits_set(gpr[operand->reg], BITS(15, 8), value);
	else
		operation_set_gpr(gpr, operand->reg, operand->bytes, value);
}

/* --- Operands ------------------------------------------------------------- */

static u64 effective_address(const struct step *s)
{
	const struct instruction *in = s->in;
	u64 address = in->displacement;

	if (in->base == GPR_RIP)
		address += s->e->cpu.rip + in->length;
	else if (in->base != GPR_NONE)
		address += s->gpr[in->base];
	if (in->index != GPR_NONE)
		address += s->gpr[in->index] << in->scale_shift;
	if (in->operation == OP_XLAT)
		address += s->gpr[GPR_RAX] & 0xff;
	return alu_cut(address, in->address_bytes);
}

/*
 * BT and its kin with a register: a bit string that extends in both
 * directions from the operand; the register is a signed bit number.
 */
static u64 bit_string_offset(const struct step *s)
{
	const struct instruction *in = s->in;
	u32 bits_shift = (u32)__builtin_ctz(s->bytes * 8);
	i64 bit;

	if (in->operation < OP_BT || in->operation > OP_BTC ||
	    in->source.kind != OPERAND_GPR)
		return 0;
	bit = (i64)alu_extend(s->gpr[in->source.reg], s->bytes);
	return (u64)((bit >> bits_shift) * (i64)s->bytes);
}

static enum emulate_result map_memory(struct step *s, u32 bytes,
				      enum emulate_access access)
{
	const struct reference reference = {
	    .segment = s->in->segment,
	    .access = access,
	    .bytes = bytes,
	    .offset = alu_cut(effective_address(s) + bit_string_offset(s),
			      s->in->address_bytes),
	};

	return access_map(s->e, &reference, &s->memory);
}

static enum emulate_result
read_operand(struct step *s, const struct operand *operand, u64 *value)
{
	const struct emulate_cpu *cpu = &s->e->cpu;

	switch (operand->kind) {
	case OPERAND_GPR:
		*value = operation_gpr(cpu->gpr, operand->reg, operand->bytes);
		return EMULATE_DONE;
	case OPERAND_GPR_HIGH:
		*value = bits_get(cpu->gpr[operand->reg], BITS(15, 8));
		return EMULATE_DONE;
	case OPERAND_SEGMENT:
		*value = emulate_segment(s->e, operand->reg)->selector;
		return EMULATE_DONE;
	case OPERAND_IMMEDIATE:
		*value = s->in->immediate;
		return EMULATE_DONE;
	case OPERAND_MEMORY:
		return access_read(s->e, &s->memory, value);
	default:
		*value = 0;
		return EMULATE_DONE;
	}
}

static enum emulate_result write_destination(struct step *s)
{
	const struct operand *operand = &s->in->destination;

	if (operand->kind != OPERAND_MEMORY) {
		set_register(s->gpr, operand, s->value);
		return EMULATE_DONE;
	}
	if (s->in->is_locked)
		return access_swap(s->e, &s->memory, s->a, s->value);
	return access_write(s->e, &s->memory, s->value);
}

/* --- The operations ------------------------------------------------------- */

static enum emulate_result take(struct step *s, struct alu alu)
{
	s->value = alu.value;
	s->rflags = alu.rflags;
	return EMULATE_DONE;
}

static enum emulate_result do_compute(struct step *s)
{
	return take(
	    s, alu_compute(s->in->operation, s->a, s->b, s->bytes, s->rflags));
}

static enum emulate_result do_shift(struct step *s)
{
	return take(
	    s, alu_shift(s->in->operation, s->a, s->b, s->bytes, s->rflags));
}

static enum emulate_result do_shift_double(struct step *s)
{
	u64 count;
	enum emulate_result result = read_operand(s, &s->in->third, &count);

	if (result != EMULATE_DONE)
		return result;
	return take(s, alu_shift_double(s->in->operation,
					(struct alu_pair){s->a, s->b}, count,
					s->bytes, s->rflags));
}

/* Products and quotients stand in AX, or in rDX:rAX. */
static void set_pair(struct step *s, u64 high, u64 low)
{
	if (s->bytes == 1) {
		operation_set_gpr(s->gpr, GPR_RAX, 2, high << 8 | low);
	} else {
		operation_set_gpr(s->gpr, GPR_RAX, s->bytes, low);
		operation_set_gpr(s->gpr, GPR_RDX, s->bytes, high);
	}
}

static enum emulate_result do_multiply(struct step *s)
{
	struct alu alu = alu_multiply(s->in->operation, s->gpr[GPR_RAX], s->b,
				      s->bytes, s->rflags);

	set_pair(s, alu.high, alu.value);
	return take(s, alu);
}

static enum emulate_result do_multiply_short(struct step *s)
{
	const struct instruction *in = s->in;
	u64 factor;
	enum emulate_result result = read_operand(
	    s, in->third.kind == OPERAND_NONE ? &in->destination : &in->third,
	    &factor);

	if (result != EMULATE_DONE)
		return result;
	return take(s,
		    alu_multiply(OP_IMUL, s->b, factor, s->bytes, s->rflags));
}

static enum emulate_result do_divide(struct step *s)
{
	u64 rax = s->gpr[GPR_RAX];
	struct alu_pair dividend = {
	    .low = rax,
	    .high = s->bytes == 1 ? rax >> 8 : s->gpr[GPR_RDX],
	};
	struct alu_division out;

	if (alu_divide(s->in->operation, dividend, s->b, s->bytes, &out) != OK)
		return access_fault(s->e, VECTOR_DE, 0);
	set_pair(s, out.remainder, out.quotient);
	return EMULATE_DONE;
}

static enum emulate_result do_bit(struct step *s)
{
	return take(s,
		    alu_bit(s->in->operation, s->a, s->b, s->bytes, s->rflags));
}

/* Without a bit the destination stays, upper half included. */
static enum emulate_result do_scan(struct step *s)
{
	struct alu alu =
	    alu_scan(s->in->operation, s->b, 0, s->bytes, s->rflags);

	s->rflags = alu.rflags;
	if (!(alu.rflags & RFLAGS_ZF))
		operation_set_gpr(s->gpr, s->in->destination.reg, s->bytes,
				  alu.value);
	return EMULATE_DONE;
}

static enum emulate_result do_move(struct step *s)
{
	s->value = s->b;
	return EMULATE_DONE;
}

static enum emulate_result do_move_signed(struct step *s)
{
	s->value = alu_extend(s->b, s->in->source.bytes);
	return EMULATE_DONE;
}

static enum emulate_result do_move_swapped(struct step *s)
{
	s->value = __builtin_bswap64(s->b) >> (64 - 8 * s->bytes);
	return EMULATE_DONE;
}

static bool condition_holds(const struct step *s)
{
	return alu_condition(s->in->condition, s->rflags) == CONDITION_TRUE;
}

static enum emulate_result do_move_if(struct step *s)
{
	s->value = condition_holds(s) ? s->b : s->a;
	return EMULATE_DONE;
}

static enum emulate_result do_set(struct step *s)
{
	s->value = condition_holds(s);
	return EMULATE_DONE;
}

static enum emulate_result do_exchange(struct step *s)
{
	set_register(s->gpr, &s->in->source, s->a);
	s->value = s->b;
	return EMULATE_DONE;
}

static enum emulate_result do_exchange_add(struct step *s)
{
	set_register(s->gpr, &s->in->source, s->a);
	return take(s, alu_compute(OP_ADD, s->a, s->b, s->bytes, s->rflags));
}

/* The destination is written in any case, with what it held if not equal. */
static enum emulate_result do_compare_exchange(struct step *s)
{
	u64 accumulator = operation_gpr(s->gpr, GPR_RAX, s->bytes);
	struct alu alu =
	    alu_compute(OP_CMP, accumulator, s->a, s->bytes, s->rflags);

	s->rflags = alu.rflags;
	s->value = s->b;
	if (!(alu.rflags & RFLAGS_ZF)) {
		operation_set_gpr(s->gpr, GPR_RAX, s->bytes, s->a);
		s->value = s->a;
	}
	return EMULATE_DONE;
}

static enum emulate_result do_nothing(struct step *s)
{
	(void)s;
	return EMULATE_DONE;
}

/* --- Two halves: CMPXCHG8B and CMPXCHG16B --------------------------------- */

/* The halves of a 16-byte operand; aligned, so it is in one page. */
static struct span half_of(const struct span *whole, u32 index)
{
	return (struct span){
	    .parts = {gpa_add(whole->parts[0], index * 8ULL)},
	    .part_bytes = {8},
	};
}

static void compare_pair(struct step *s, u32 half_bytes, const u64 found[2],
			 u64 stored[2])
{
	u64 *next = s->gpr;
	bool equal = operation_gpr(next, GPR_RAX, half_bytes) == found[0] &&
		     operation_gpr(next, GPR_RDX, half_bytes) == found[1];

	if (equal) {
		stored[0] = operation_gpr(next, GPR_RBX, half_bytes);
		stored[1] = operation_gpr(next, GPR_RCX, half_bytes);
		s->rflags |= RFLAGS_ZF;
	} else {
		stored[0] = found[0];
		stored[1] = found[1];
		operation_set_gpr(next, GPR_RAX, half_bytes, found[0]);
		operation_set_gpr(next, GPR_RDX, half_bytes, found[1]);
		s->rflags &= ~RFLAGS_ZF;
	}
}

static enum emulate_result exchange_8(struct step *s)
{
	u64 found[2], stored[2];
	enum emulate_result result = access_read(s->e, &s->memory, &s->a);

	if (result != EMULATE_DONE)
		return result;
	found[0] = low32(s->a);
	found[1] = high32(s->a);
	compare_pair(s, 4, found, stored);
	s->value = stored[1] << 32 | stored[0];
	return write_destination(s);
}

/* Not in one piece for other CPUs: no device and no shared memory needs it. */
static enum emulate_result exchange_16(struct step *s)
{
	struct span low = half_of(&s->memory, 0);
	struct span high = half_of(&s->memory, 1);
	u64 found[2], stored[2];
	enum emulate_result result;

	if (!is_aligned(gpa_raw(s->memory.parts[0]), 16))
		return access_fault(s->e, VECTOR_GP, 0);
	result = access_read(s->e, &low, &found[0]);
	if (result == EMULATE_DONE)
		result = access_read(s->e, &high, &found[1]);
	if (result != EMULATE_DONE)
		return result;
	compare_pair(s, 8, found, stored);
	result = access_write(s->e, &low, stored[0]);
	return result == EMULATE_DONE ? access_write(s->e, &high, stored[1])
				      : result;
}

static enum emulate_result do_compare_exchange_pair(struct step *s)
{
	return s->bytes == 16 ? exchange_16(s) : exchange_8(s);
}

/* --- Vector registers ----------------------------------------------------- */

/*
 * Not in one piece for other CPUs, which the manual does not promise either.
 * CR0 has allowed it when the CPU touched memory; if it does not now, the code
 * has been changed since then, and the CPU has to look again.
 */
static enum emulate_result do_move_vector(struct step *s)
{
	const struct instruction *in = s->in;
	struct emulation *e = s->e;
	u8 bytes[VECTOR_BYTES] = {0};
	enum emulate_result result;

	if (s->e->cpu.cr0 & (CR0_EM | CR0_TS))
		return EMULATE_AGAIN;
	if (in->is_aligned &&
	    !is_aligned(gpa_raw(s->memory.parts[0]), VECTOR_BYTES))
		return access_fault(e, VECTOR_GP, 0);
	if (in->destination.kind == OPERAND_MEMORY) {
		e->bus->read_vector(e->context, in->source.reg, bytes);
		return access_write_bytes(e, &s->memory, bytes);
	}
	result = access_read_bytes(e, &s->memory, bytes);
	if (result == EMULATE_DONE)
		e->bus->write_vector(e->context, in->destination.reg, bytes);
	return result;
}

/* --- Stack ---------------------------------------------------------------- */

static u32 stack_address_bytes(const struct step *s)
{
	const struct emulate_cpu *cpu = &s->e->cpu;

	if (emulate_code_size(cpu) == CODE_64)
		return 8;
	return cpu->segments[SEGMENT_SS].access_rights & SEGMENT_BIG ? 4 : 2;
}

static void move_stack_pointer(struct step *s, u64 bytes)
{
	u32 width = stack_address_bytes(s);

	operation_set_gpr(s->gpr, GPR_RSP, width, s->gpr[GPR_RSP] + bytes);
}

static enum emulate_result map_stack(struct step *s, enum emulate_access access)
{
	const struct reference reference = {
	    .segment = SEGMENT_SS,
	    .access = access,
	    .bytes = s->bytes,
	    .offset = operation_gpr(s->gpr, GPR_RSP, stack_address_bytes(s)),
	};

	return access_map(s->e, &reference, &s->stack);
}

static enum emulate_result do_push(struct step *s)
{
	return access_write(s->e, &s->stack, s->b);
}

static enum emulate_result do_pop(struct step *s)
{
	return access_read(s->e, &s->stack, &s->value);
}

/* --- Putting it together -------------------------------------------------- */

#define READS_A  0x01 /* the destination's old value */
#define WRITES   0x02
#define READS_B  0x04
#define EARLY    0x08 /* registers change before memory, which may fail */
#define BOTH     (READS_A | READS_B)
#define UPDATES  (READS_A | WRITES)
#define COMBINES (BOTH | WRITES)

struct behaviour {
	enum emulate_result (*run)(struct step *s);
	u8 operands;
};

static const struct behaviour behaviours[OP_COUNT] = {
    [OP_ADD] = {do_compute, COMBINES},
    [OP_OR] = {do_compute, COMBINES},
    [OP_ADC] = {do_compute, COMBINES},
    [OP_SBB] = {do_compute, COMBINES},
    [OP_AND] = {do_compute, COMBINES},
    [OP_SUB] = {do_compute, COMBINES},
    [OP_XOR] = {do_compute, COMBINES},
    [OP_CMP] = {do_compute, BOTH},
    [OP_TEST] = {do_compute, BOTH},
    [OP_NOT] = {do_compute, UPDATES},
    [OP_NEG] = {do_compute, UPDATES},
    [OP_INC] = {do_compute, UPDATES},
    [OP_DEC] = {do_compute, UPDATES},
    [OP_ROL] = {do_shift, COMBINES},
    [OP_ROR] = {do_shift, COMBINES},
    [OP_RCL] = {do_shift, COMBINES},
    [OP_RCR] = {do_shift, COMBINES},
    [OP_SHL] = {do_shift, COMBINES},
    [OP_SHR] = {do_shift, COMBINES},
    [OP_SAL] = {do_shift, COMBINES},
    [OP_SAR] = {do_shift, COMBINES},
    [OP_SHLD] = {do_shift_double, COMBINES},
    [OP_SHRD] = {do_shift_double, COMBINES},
    [OP_MUL] = {do_multiply, READS_B},
    [OP_IMUL] = {do_multiply, READS_B},
    [OP_DIV] = {do_divide, READS_B},
    [OP_IDIV] = {do_divide, READS_B},
    [OP_IMUL_SHORT] = {do_multiply_short, READS_B | WRITES},
    [OP_BT] = {do_bit, BOTH},
    [OP_BTS] = {do_bit, COMBINES},
    [OP_BTR] = {do_bit, COMBINES},
    [OP_BTC] = {do_bit, COMBINES},
    [OP_BSF] = {do_scan, READS_B},
    [OP_BSR] = {do_scan, READS_B},
    [OP_MOV] = {do_move, READS_B | WRITES},
    [OP_MOVZX] = {do_move, READS_B | WRITES},
    [OP_MOVSX] = {do_move_signed, READS_B | WRITES},
    [OP_MOVBE] = {do_move_swapped, READS_B | WRITES},
    [OP_XLAT] = {do_move, READS_B | WRITES},
    [OP_CMOV] = {do_move_if, COMBINES},
    [OP_SET] = {do_set, WRITES},
    [OP_XCHG] = {do_exchange, COMBINES | EARLY},
    [OP_XADD] = {do_exchange_add, COMBINES | EARLY},
    [OP_CMPXCHG] = {do_compare_exchange, COMBINES | EARLY},
    [OP_CMPXCHG_PAIR] = {do_compare_exchange_pair, EARLY},
    [OP_PUSH] = {do_push, READS_B | EARLY},
    [OP_POP] = {do_pop, WRITES | EARLY},
    [OP_FLUSH] = {do_nothing, 0},
    [OP_MOV_VECTOR] = {do_move_vector, 0},
};

static enum emulate_result map_memory_operand(struct step *s, u8 operands)
{
	const struct instruction *in = s->in;
	bool writes = (operands & WRITES) || in->operation == OP_CMPXCHG_PAIR ||
		      in->operation == OP_MOV_VECTOR;

	if (in->destination.kind == OPERAND_MEMORY)
		return map_memory(s, in->destination.bytes,
				  writes ? EMULATE_WRITE : EMULATE_READ);
	if (in->source.kind == OPERAND_MEMORY)
		return map_memory(s, in->source.bytes, EMULATE_READ);
	return EMULATE_DONE;
}

/*
 * Everything that can fault but #DE. An operand that is addressed by RSP
 * sees it as it is before a PUSH and after a POP.
 */
static enum emulate_result map_operands(struct step *s, u8 operands)
{
	enum emulate_result result = EMULATE_DONE;

	if (s->in->operation == OP_POP) {
		result = map_stack(s, EMULATE_READ);
		move_stack_pointer(s, s->bytes);
	}
	if (result == EMULATE_DONE)
		result = map_memory_operand(s, operands);
	if (result == EMULATE_DONE && s->in->operation == OP_PUSH) {
		move_stack_pointer(s, -(u64)s->bytes);
		result = map_stack(s, EMULATE_WRITE);
	}
	return result;
}

enum emulate_result operation_execute(struct emulation *e)
{
	const struct instruction *in = &e->instruction;
	const struct behaviour *behaviour = &behaviours[in->operation];
	struct step s = {
	    .e = e,
	    .in = in,
	    .rflags = e->cpu.rflags,
	    .gpr = e->cpu.gpr,
	};
	u64 copy[GPR_COUNT];
	enum emulate_result result;

	if (behaviour->operands & EARLY)
		s.gpr = memcpy(copy, e->cpu.gpr, sizeof(copy));
	s.bytes = in->destination.kind != OPERAND_NONE ? in->destination.bytes
						       : in->source.bytes;
	result = map_operands(&s, behaviour->operands);
	if (result == EMULATE_DONE && (behaviour->operands & READS_B))
		result = read_operand(&s, &in->source, &s.b);
	if (result == EMULATE_DONE && (behaviour->operands & READS_A))
		result = read_operand(&s, &in->destination, &s.a);
	if (result == EMULATE_DONE)
		result = behaviour->run(&s);
	if (result == EMULATE_DONE && (behaviour->operands & WRITES))
		result = write_destination(&s);
	if (result == EMULATE_DONE) {
		e->cpu.rflags = s.rflags;
		if (behaviour->operands & EARLY)
			memcpy(e->cpu.gpr, copy, sizeof(copy));
	}
	return result;
}
