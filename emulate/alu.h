/* SPDX-License-Identifier: MIT */
/*
 * Integer arithmetic as the CPU does it, with the arithmetic flags.
 *
 * Operands may have anything above their size; results are cut to it. Where
 * the manual leaves a flag undefined it keeps its value here. All functions
 * are total: operation, size and values may be anything that decoding gives.
 */
#ifndef EMULATE_ALU_H
#define EMULATE_ALU_H

#include "emulate/instruction.h"
#include "lib/bits.h"
#include "lib/err.h"

#define RFLAGS_CF BIT(0)
#define RFLAGS_PF BIT(2)
#define RFLAGS_AF BIT(4)
#define RFLAGS_ZF BIT(6)
#define RFLAGS_SF BIT(7)
#define RFLAGS_TF BIT(8)
#define RFLAGS_IF BIT(9)
#define RFLAGS_DF BIT(10)
#define RFLAGS_OF BIT(11)
#define RFLAGS_RF BIT(16)
#define RFLAGS_VM BIT(17)
#define RFLAGS_AC BIT(18)

struct alu {
	u64 value;
	u64 rflags; /* all of it, with what the operation changes */
	u64 high;   /* of a multiplication: the product's upper half */
};

struct alu_pair {
	u64 low, high;
};

struct alu_division {
	u64 quotient, remainder;
};

/* The low `bytes` bytes, and the same sign-extended to 64 bits. */
u64 alu_cut(u64 value, u32 bytes);
u64 alu_extend(u64 value, u32 bytes);

/*
 * ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST; the last two give the value
 * that SUB and AND would. INC, DEC, NOT, NEG look at `a` only.
 */
struct alu alu_compute(enum operation operation, u64 a, u64 b, u32 bytes,
		       u64 rflags);

/* ROL, ROR, RCL, RCR, SHL, SHR, SAR; `count` as the instruction has it. */
struct alu alu_shift(enum operation operation, u64 value, u64 count, u32 bytes,
		     u64 rflags);

/* SHLD, SHRD of pair.low; what comes in are the bits of pair.high. */
struct alu alu_shift_double(enum operation operation, struct alu_pair pair,
			    u64 count, u32 bytes, u64 rflags);

/* MUL, IMUL */
struct alu alu_multiply(enum operation operation, u64 a, u64 b, u32 bytes,
			u64 rflags);

/*
 * DIV, IDIV. Flags stay. ERR_RANGE: divisor 0, or the quotient does not fit:
 * the CPU raises #DE.
 */
MUST_CHECK enum err alu_divide(enum operation operation,
			       struct alu_pair dividend, u64 divisor, u32 bytes,
			       struct alu_division *out);

/* BT, BTS, BTR, BTC: `bit` modulo the size. */
struct alu alu_bit(enum operation operation, u64 value, u64 bit, u32 bytes,
		   u64 rflags);

/* BSF, BSR: with ZF set there was no bit, and value is `otherwise`. */
struct alu alu_scan(enum operation operation, u64 value, u64 otherwise,
		    u32 bytes, u64 rflags);

enum alu_condition { CONDITION_FALSE, CONDITION_TRUE };

/* The condition codes of Jcc, SETcc and CMOVcc: O, NO, B, ... G. */
enum alu_condition alu_condition(u8 condition, u64 rflags);

#endif
