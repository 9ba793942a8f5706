/* SPDX-License-Identifier: MIT */
/* Integer arithmetic with flags: see alu.h. */
#include "emulate/alu.h"

#define ARITHMETIC \
	(RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

static u64 mask_of(u32 bytes)
{
	return bytes >= 8 ? ~0ULL : BIT(bytes * 8) - 1;
}

static u64 top_bit(u32 bytes)
{
	return BIT(bytes * 8 - 1);
}

u64 alu_cut(u64 value, u32 bytes)
{
	return value & mask_of(bytes);
}

u64 alu_extend(u64 value, u32 bytes)
{
	u64 top = top_bit(bytes);

	return ((value & mask_of(bytes)) ^ top) - top;
}

static struct alu give(u64 value, u64 rflags)
{
	return (struct alu){.value = value, .rflags = rflags};
}

static u64 flag_if(bool condition, u64 flag)
{
	return condition ? flag : 0;
}

/* `rflags` with those in `which` taken from `new`. */
static u64 replace(u64 rflags, u64 which, u64 new)
{
	return (rflags & ~which) | (new &which);
}

/* PF: an even number of ones in the low byte; all ends up in bit 0. */
static u64 parity(u64 value)
{
	value ^= value >> 4;
	value ^= value >> 2;
	value ^= value >> 1;
	return flag_if(!(value & 1), RFLAGS_PF);
}

static u64 sign_zero_parity(u64 value, u32 bytes)
{
	return flag_if(alu_cut(value, bytes) == 0, RFLAGS_ZF) |
	       flag_if(value & top_bit(bytes), RFLAGS_SF) | parity(value);
}

/*
 * Carries out of every bit at once: a carry leaves bit i when at least two of
 * a, b and the carry into it are set, and the carry into it is what makes the
 * sum differ from a ^ b.
 */
static struct alu add(u64 a, u64 b, u64 carry_in, u32 bytes, u64 rflags)
{
	u64 sum = a + b + carry_in;
	u64 carries = (a & b) | ((a | b) & ~sum);
	u64 top = top_bit(bytes);

	return give(
	    alu_cut(sum, bytes),
	    replace(rflags, ARITHMETIC,
		    flag_if(carries & top, RFLAGS_CF) |
			flag_if(carries & 8, RFLAGS_AF) |
			flag_if((a ^ sum) & (b ^ sum) & top, RFLAGS_OF) |
			sign_zero_parity(sum, bytes)));
}

/* The same with borrows. */
static struct alu subtract(u64 a, u64 b, u64 borrow_in, u32 bytes, u64 rflags)
{
	u64 difference = a - b - borrow_in;
	u64 borrows = (~a & b) | ((~a | b) & difference);
	u64 top = top_bit(bytes);

	return give(
	    alu_cut(difference, bytes),
	    replace(rflags, ARITHMETIC,
		    flag_if(borrows & top, RFLAGS_CF) |
			flag_if(borrows & 8, RFLAGS_AF) |
			flag_if((a ^ b) & (a ^ difference) & top, RFLAGS_OF) |
			sign_zero_parity(difference, bytes)));
}

static struct alu logical(u64 value, u32 bytes, u64 rflags)
{
	return give(alu_cut(value, bytes),
		    replace(rflags, ARITHMETIC & ~RFLAGS_AF,
			    sign_zero_parity(value, bytes)));
}

/* INC and DEC leave CF alone. */
static struct alu keep_carry(struct alu alu, u64 rflags)
{
	alu.rflags = replace(alu.rflags, RFLAGS_CF, rflags);
	return alu;
}

struct alu alu_compute(enum operation operation, u64 a, u64 b, u32 bytes,
		       u64 rflags)
{
	u64 carry = rflags & RFLAGS_CF;

	switch ((u32)operation) {
	case OP_ADD:
		return add(a, b, 0, bytes, rflags);
	case OP_ADC:
		return add(a, b, carry, bytes, rflags);
	case OP_SUB:
	case OP_CMP:
		return subtract(a, b, 0, bytes, rflags);
	case OP_SBB:
		return subtract(a, b, carry, bytes, rflags);
	case OP_NEG:
		return subtract(0, a, 0, bytes, rflags);
	case OP_INC:
		return keep_carry(add(a, 1, 0, bytes, rflags), rflags);
	case OP_DEC:
		return keep_carry(subtract(a, 1, 0, bytes, rflags), rflags);
	case OP_OR:
		return logical(a | b, bytes, rflags);
	case OP_AND:
	case OP_TEST:
		return logical(a & b, bytes, rflags);
	case OP_XOR:
		return logical(a ^ b, bytes, rflags);
	default: /* OP_NOT */
		return give(alu_cut(~a, bytes), rflags);
	}
}

/* --- Shifts and rotates --------------------------------------------------- */

/* One step at a time: obviously right, and at most 63 steps. */
static struct alu shift_once(enum operation operation, struct alu in, u32 bytes)
{
	u64 top = top_bit(bytes);
	u64 carry_in = in.rflags & RFLAGS_CF;
	u64 low = in.value & 1;
	u64 high = flag_if(in.value & top, 1);
	u64 out = high;
	u64 value = in.value << 1;

	switch ((u32)operation) {
	case OP_ROL:
		value |= high;
		break;
	case OP_RCL:
		value |= carry_in;
		break;
	case OP_SHL:
	case OP_SAL:
		break;
	default:
		out = low;
		value = in.value >> 1;
		if (operation == OP_ROR)
			value |= low ? top : 0;
		else if (operation == OP_RCR)
			value |= carry_in ? top : 0;
		else if (operation == OP_SAR)
			value |= in.value & top;
	}
	return give(alu_cut(value, bytes), replace(in.rflags, RFLAGS_CF, out));
}

static bool is_rotate(enum operation operation)
{
	return operation == OP_ROL || operation == OP_ROR ||
	       operation == OP_RCL || operation == OP_RCR;
}

/*
 * OF, defined for a count of one: has the top bit changed? It reads the same
 * for every shift and rotate, SAR included, whose top bit never does.
 */
static u64 overflow(u64 before, u64 after, u32 bytes)
{
	return flag_if((before ^ after) & top_bit(bytes), RFLAGS_OF);
}

struct alu alu_shift(enum operation operation, u64 value, u64 count, u32 bytes,
		     u64 rflags)
{
	struct alu alu = give(alu_cut(value, bytes), rflags);

	count &= bytes == 8 ? 0x3f : 0x1f;
	if (count == 0)
		return alu;
	for (u64 i = 0; i < count; i++)
		alu = shift_once(operation, alu, bytes);
	if (count == 1)
		alu.rflags = replace(alu.rflags, RFLAGS_OF,
				     overflow(value, alu.value, bytes));
	if (!is_rotate(operation))
		alu.rflags =
		    replace(alu.rflags, RFLAGS_SF | RFLAGS_ZF | RFLAGS_PF,
			    sign_zero_parity(alu.value, bytes));
	return alu;
}

struct alu alu_shift_double(enum operation operation, struct alu_pair pair,
			    u64 count, u32 bytes, u64 rflags)
{
	u64 bits = bytes * 8ULL;
	u64 value = alu_cut(pair.low, bytes);
	u64 filler = alu_cut(pair.high, bytes);
	u64 carry, shifted;

	count &= bytes == 8 ? 0x3f : 0x1f;
	if (count == 0)
		return give(value, rflags);
	if (operation == OP_SHLD) {
		u128 both = (u128)value << bits | filler;

		shifted = (u64)(both << count >> bits);
		carry = (u64)(both >> (2 * bits - count)) & 1;
	} else {
		u128 both = (u128)filler << bits | value;

		shifted = (u64)(both >> count);
		carry = (u64)(both >> (count - 1)) & 1;
	}
	rflags = replace(rflags, RFLAGS_CF, carry);
	rflags = replace(rflags, RFLAGS_SF | RFLAGS_ZF | RFLAGS_PF,
			 sign_zero_parity(shifted, bytes));
	if (count == 1)
		rflags =
		    replace(rflags, RFLAGS_OF, overflow(value, shifted, bytes));
	return give(alu_cut(shifted, bytes), rflags);
}

/* --- Multiplication and division ------------------------------------------ */

struct alu alu_multiply(enum operation operation, u64 a, u64 b, u32 bytes,
			u64 rflags)
{
	bool has_sign = operation == OP_IMUL;
	u128 product = has_sign ? (u128)((__int128)(i64)alu_extend(a, bytes) *
					 (i64)alu_extend(b, bytes))
				: (u128)alu_cut(a, bytes) * alu_cut(b, bytes);
	u64 low = alu_cut((u64)product, bytes);
	u64 high = alu_cut((u64)(product >> bytes * 8), bytes);
	u64 plain_high =
	    has_sign && (low & top_bit(bytes)) ? mask_of(bytes) : 0;

	/* Both are set when the low half alone is not the product. */
	return (struct alu){
	    low,
	    replace(rflags, RFLAGS_CF | RFLAGS_OF,
		    flag_if(high != plain_high, RFLAGS_CF | RFLAGS_OF)),
	    high,
	};
}

/* The caller has seen to it that the quotient fits: high < divisor. */
static struct alu_division divide_128(struct alu_pair dividend, u64 divisor)
{
	struct alu_division out;

	__asm__("divq %4"
		: "=a"(out.quotient), "=d"(out.remainder)
		: "a"(dividend.low), "d"(dividend.high), "rm"(divisor)
		: "cc");
	return out;
}

static enum err divide_unsigned(struct alu_pair dividend, u64 divisor,
				u32 bytes, struct alu_division *out)
{
	if (dividend.high >= divisor)
		return ERR_RANGE;
	if (bytes == 8) {
		*out = divide_128(dividend, divisor);
	} else {
		u64 whole = dividend.high << bytes * 8 | dividend.low;

		out->quotient = whole / divisor;
		out->remainder = whole % divisor;
	}
	return OK;
}

static struct alu_pair negate(struct alu_pair pair, u32 bytes)
{
	return (struct alu_pair){
	    .low = alu_cut(-pair.low, bytes),
	    .high = alu_cut(~pair.high + (pair.low == 0), bytes),
	};
}

/* By magnitudes: the remainder has the sign of the dividend. */
static enum err divide_signed(struct alu_pair dividend, u64 divisor, u32 bytes,
			      struct alu_division *out)
{
	u64 top = top_bit(bytes);
	bool dividend_negative = dividend.high & top;
	bool divisor_negative = divisor & top;
	bool negative = dividend_negative != divisor_negative;
	enum err err;

	if (dividend_negative)
		dividend = negate(dividend, bytes);
	if (divisor_negative)
		divisor = alu_cut(-divisor, bytes);
	err = divide_unsigned(dividend, divisor, bytes, out);
	if (err != OK)
		return err;
	if (out->quotient > (negative ? top : top - 1))
		return ERR_RANGE;
	if (negative)
		out->quotient = alu_cut(-out->quotient, bytes);
	if (dividend_negative)
		out->remainder = alu_cut(-out->remainder, bytes);
	return OK;
}

enum err alu_divide(enum operation operation, struct alu_pair dividend,
		    u64 divisor, u32 bytes, struct alu_division *out)
{
	struct alu_division result;
	enum err err;

	dividend.low = alu_cut(dividend.low, bytes);
	dividend.high = alu_cut(dividend.high, bytes);
	divisor = alu_cut(divisor, bytes);
	err = operation == OP_DIV
		  ? divide_unsigned(dividend, divisor, bytes, &result)
		  : divide_signed(dividend, divisor, bytes, &result);
	if (err == OK)
		*out = result;
	return err;
}

/* --- Bits ----------------------------------------------------------------- */

struct alu alu_bit(enum operation operation, u64 value, u64 bit, u32 bytes,
		   u64 rflags)
{
	u64 mask = BIT(bit & (bytes * 8 - 1));
	u64 found = flag_if(value & mask, RFLAGS_CF);

	if (operation == OP_BTS)
		value |= mask;
	else if (operation == OP_BTR)
		value &= ~mask;
	else if (operation == OP_BTC)
		value ^= mask;
	return give(alu_cut(value, bytes), replace(rflags, RFLAGS_CF, found));
}

struct alu alu_scan(enum operation operation, u64 value, u64 otherwise,
		    u32 bytes, u64 rflags)
{
	value = alu_cut(value, bytes);
	if (value == 0)
		return give(otherwise, rflags | RFLAGS_ZF);
	return give(operation == OP_BSF ? (u64)__builtin_ctzll(value)
					: 63 - (u64)__builtin_clzll(value),
		    rflags & ~RFLAGS_ZF);
}

enum alu_condition alu_condition(u8 condition, u64 rflags)
{
	bool less = !(rflags & RFLAGS_SF) != !(rflags & RFLAGS_OF);
	const bool truths[8] = {
	    rflags & RFLAGS_OF,
	    rflags & RFLAGS_CF,
	    rflags & RFLAGS_ZF,
	    rflags & (RFLAGS_CF | RFLAGS_ZF),
	    rflags & RFLAGS_SF,
	    rflags & RFLAGS_PF,
	    less,
	    less || (rflags & RFLAGS_ZF),
	};
	bool truth = truths[condition >> 1 & 7];

	/* Odd numbers are the negations. */
	return truth != (condition & 1) ? CONDITION_TRUE : CONDITION_FALSE;
}
