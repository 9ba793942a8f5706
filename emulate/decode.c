/* SPDX-License-Identifier: MIT */
/*
 * Instruction bytes to struct instruction: see decode.h.
 *
 *	prefixes  [REX]  opcode  [ModR/M  [SIB]  [displacement]]  [immediate]
 *
 * One table row per opcode says what is done and how operands are encoded.
 * Opcodes that share a number are told apart by ModR/M.reg ("groups").
 */
#include "emulate/decode.h"
#include "lib/bits.h"
#include "lib/fmt.h"
#include "lib/string.h"

/*
 * Operands, destination first. RM is the register or memory operand of
 * ModR/M, R its register operand, A is AL, AX, EAX or RAX.
 */
enum form {
	FORM_UNSUPPORTED,
	FORM_RM,
	FORM_RM_R,
	FORM_R_RM,
	FORM_RM_IMMEDIATE,  /* of the operand's size, 64 bits excepted */
	FORM_RM_IMMEDIATE8, /* sign-extended */
	FORM_RM_1,
	FORM_RM_CL,
	FORM_R_RM_IMMEDIATE,
	FORM_R_RM_IMMEDIATE8,
	FORM_RM_R_IMMEDIATE8,
	FORM_RM_R_CL,
	FORM_R_RM8, /* the source has its own size */
	FORM_R_RM16,
	FORM_R_RM32,
	FORM_RM_SEGMENT,
	FORM_POP_RM, /* operands of the stack's size */
	FORM_PUSH_RM,
	FORM_SOURCE_RM, /* the destination is implied */
	FORM_A_OFFSET,  /* an absolute address without ModR/M */
	FORM_OFFSET_A,
	FORM_STRING,
	FORM_PORT_STRING,
	FORM_XLAT,
	FORM_PAIR,   /* memory of twice the operand size */
	FORM_VECTOR, /* see vector_moves */
};

enum group {
	GROUP_NONE,
	GROUP_1,
	GROUP_1A,
	GROUP_2,
	GROUP_3,
	GROUP_4,
	GROUP_5,
	GROUP_8,
	GROUP_9,
	GROUP_11,
	GROUP_15,
	GROUP_COUNT,
};

/* Flags of a row. */
#define SIZED       0x01 /* a byte when bit 0 of the opcode is clear */
#define BYTE        0x02 /* always a byte */
#define NOT_66      0x04 /* is something else under this prefix */
#define NOT_F2      0x08
#define NOT_F3      0x10
#define NO_16       0x20 /* has no form with 16-bit operands */
#define MEMORY_ONLY 0x40 /* #UD when RM is a register */
#define NOT_IN_64   0x80 /* #UD in 64-bit code */

/* What an opcode means; a zero row is an unsupported one. */
struct row {
	u8 form;
	u8 flags;
	u8 group;     /* enum group; if there is one, it has the operation */
	u8 operation; /* enum operation */
};

#define ROW(op, form, flags)                              \
	{                                                 \
		FORM_##form, (flags), GROUP_NONE, OP_##op \
	}
#define GROUP(n, form, flags)                      \
	{                                          \
		FORM_##form, (flags), GROUP_##n, 0 \
	}
#define PAIR(opcode, op, form) \
	[opcode] = ROW(op, form, SIZED), [(opcode) + 1] = ROW(op, form, SIZED)
#define ALU(opcode, op) PAIR(opcode, op, RM_R), PAIR((opcode) + 2, op, R_RM)

static const struct row one_byte[256] = {
    ALU(0x00, ADD),
    ALU(0x08, OR),
    ALU(0x10, ADC),
    ALU(0x18, SBB),
    ALU(0x20, AND),
    ALU(0x28, SUB),
    ALU(0x30, XOR),
    ALU(0x38, CMP),
    [0x63] = ROW(MOVSX, R_RM32, 0),
    [0x69] = ROW(IMUL_SHORT, R_RM_IMMEDIATE, 0),
    [0x6b] = ROW(IMUL_SHORT, R_RM_IMMEDIATE8, 0),
    PAIR(0x6c, INS, PORT_STRING),
    PAIR(0x6e, OUTS, PORT_STRING),
    [0x80] = GROUP(1, RM_IMMEDIATE8, BYTE),
    [0x81] = GROUP(1, RM_IMMEDIATE, 0),
    [0x82] = GROUP(1, RM_IMMEDIATE8, BYTE | NOT_IN_64),
    [0x83] = GROUP(1, RM_IMMEDIATE8, 0),
    PAIR(0x84, TEST, RM_R),
    PAIR(0x86, XCHG, RM_R),
    PAIR(0x88, MOV, RM_R),
    PAIR(0x8a, MOV, R_RM),
    [0x8c] = ROW(MOV, RM_SEGMENT, 0),
    [0x8f] = GROUP(1A, POP_RM, 0),
    PAIR(0xa0, MOV, A_OFFSET),
    PAIR(0xa2, MOV, OFFSET_A),
    PAIR(0xa4, MOVS, STRING),
    PAIR(0xa6, CMPS, STRING),
    PAIR(0xaa, STOS, STRING),
    PAIR(0xac, LODS, STRING),
    PAIR(0xae, SCAS, STRING),
    [0xc0] = GROUP(2, RM_IMMEDIATE8, BYTE),
    [0xc1] = GROUP(2, RM_IMMEDIATE8, 0),
    [0xc6] = GROUP(11, RM_IMMEDIATE8, BYTE),
    [0xc7] = GROUP(11, RM_IMMEDIATE, 0),
    [0xd0] = GROUP(2, RM_1, BYTE),
    [0xd1] = GROUP(2, RM_1, 0),
    [0xd2] = GROUP(2, RM_CL, BYTE),
    [0xd3] = GROUP(2, RM_CL, 0),
    [0xd7] = ROW(XLAT, XLAT, BYTE),
    [0xf6] = GROUP(3, SOURCE_RM, BYTE),
    [0xf7] = GROUP(3, SOURCE_RM, 0),
    [0xfe] = GROUP(4, RM, BYTE),
    [0xff] = GROUP(5, RM, 0),
};

/* Behind 0F. CMOVcc and SETcc fill 16 rows each: see find_two_byte. */
static const struct row cmov_row = ROW(CMOV, R_RM, 0);
static const struct row set_row = ROW(SET, RM, BYTE);
static const struct row two_byte[256] = {
    [0xa3] = ROW(BT, RM_R, 0),
    [0xa4] = ROW(SHLD, RM_R_IMMEDIATE8, 0),
    [0xa5] = ROW(SHLD, RM_R_CL, 0),
    [0xab] = ROW(BTS, RM_R, 0),
    [0xac] = ROW(SHRD, RM_R_IMMEDIATE8, 0),
    [0xad] = ROW(SHRD, RM_R_CL, 0),
    [0xae] = GROUP(15, SOURCE_RM, BYTE | NOT_F2 | NOT_F3),
    [0xaf] = ROW(IMUL_SHORT, R_RM, 0),
    PAIR(0xb0, CMPXCHG, RM_R),
    [0xb3] = ROW(BTR, RM_R, 0),
    [0xb6] = ROW(MOVZX, R_RM8, 0),
    [0xb7] = ROW(MOVZX, R_RM16, 0),
    [0xba] = GROUP(8, RM_IMMEDIATE8, 0),
    [0xbb] = ROW(BTC, RM_R, 0),
    [0xbc] = ROW(BSF, R_RM, NOT_F3), /* TZCNT */
    [0xbd] = ROW(BSR, R_RM, NOT_F3), /* LZCNT */
    [0xbe] = ROW(MOVSX, R_RM8, 0),
    [0xbf] = ROW(MOVSX, R_RM16, 0),
    PAIR(0xc0, XADD, RM_R),
    [0xc3] = ROW(MOV, RM_R,
		 NOT_66 | NOT_F2 | NOT_F3 | NO_16 | MEMORY_ONLY), /* MOVNTI */
    [0xc7] = GROUP(9, PAIR, MEMORY_ONLY),
};

/* Behind 0F 38. */
static const struct row movbe_load =
    ROW(MOVBE, R_RM, NOT_F2 | NOT_F3 | MEMORY_ONLY);
static const struct row movbe_store =
    ROW(MOVBE, RM_R, NOT_F2 | NOT_F3 | MEMORY_ONLY);

/*
 * Moves of vector registers: what they are is the opcode's and a prefix's
 * matter, of which F2 and F3 come before 66.
 */
struct vector_move {
	u8 map; /* 0x0f or 0x38 */
	u8 opcode, prefix;
	u8 bytes; /* in memory; 0: 4, with REX.W 8 */
	bool is_aligned;
	enum { LOAD, STORE } way;
};

#define VECTOR_LOAD(opcode, prefix, bytes)               \
	{                                                \
		0x0f, opcode, prefix, bytes, false, LOAD \
	}
#define VECTOR_STORE(opcode, prefix, bytes)               \
	{                                                 \
		0x0f, opcode, prefix, bytes, false, STORE \
	}
#define VECTOR_ALIGNED(opcode, prefix, way)         \
	{                                           \
		0x0f, opcode, prefix, 16, true, way \
	}

static const struct vector_move vector_moves[] = {
    VECTOR_LOAD(0x10, 0, 16), /* MOVUPS, MOVUPD, MOVSS, MOVSD */
    VECTOR_LOAD(0x10, 0x66, 16),
    VECTOR_LOAD(0x10, 0xf3, 4),
    VECTOR_LOAD(0x10, 0xf2, 8),
    VECTOR_STORE(0x11, 0, 16),
    VECTOR_STORE(0x11, 0x66, 16),
    VECTOR_STORE(0x11, 0xf3, 4),
    VECTOR_STORE(0x11, 0xf2, 8),
    VECTOR_ALIGNED(0x28, 0, LOAD), /* MOVAPS, MOVAPD */
    VECTOR_ALIGNED(0x28, 0x66, LOAD),
    VECTOR_ALIGNED(0x29, 0, STORE),
    VECTOR_ALIGNED(0x29, 0x66, STORE),
    VECTOR_ALIGNED(0x2b, 0, STORE), /* MOVNTPS, MOVNTPD */
    VECTOR_ALIGNED(0x2b, 0x66, STORE),
    VECTOR_LOAD(0x6e, 0x66, 0), /* MOVD, MOVQ */
    VECTOR_STORE(0x7e, 0x66, 0),
    VECTOR_LOAD(0x7e, 0xf3, 8), /* MOVQ */
    VECTOR_STORE(0xd6, 0x66, 8),
    VECTOR_ALIGNED(0x6f, 0x66, LOAD), /* MOVDQA */
    VECTOR_ALIGNED(0x7f, 0x66, STORE),
    VECTOR_LOAD(0x6f, 0xf3, 16), /* MOVDQU */
    VECTOR_STORE(0x7f, 0xf3, 16),
    VECTOR_ALIGNED(0xe7, 0x66, STORE),  /* MOVNTDQ */
    VECTOR_LOAD(0xf0, 0xf2, 16),        /* LDDQU */
    {0x38, 0x2a, 0x66, 16, true, LOAD}, /* MOVNTDQA */
};
static const struct row vector_row = ROW(MOV_VECTOR, VECTOR, 0);

/* By ModR/M.reg. A form of its own replaces that of the opcode's row. */
struct member {
	bool exists;
	u8 operation;
	u8 form;
};

#define MEMBER(op)                              \
	{                                       \
		true, OP_##op, FORM_UNSUPPORTED \
	}
#define MEMBER_AS(op, form)                \
	{                                  \
		true, OP_##op, FORM_##form \
	}

static const struct member groups[GROUP_COUNT][8] = {
    [GROUP_1] = {MEMBER(ADD), MEMBER(OR), MEMBER(ADC), MEMBER(SBB), MEMBER(AND),
		 MEMBER(SUB), MEMBER(XOR), MEMBER(CMP)},
    [GROUP_1A] = {[0] = MEMBER(POP)},
    [GROUP_2] = {MEMBER(ROL), MEMBER(ROR), MEMBER(RCL), MEMBER(RCR),
		 MEMBER(SHL), MEMBER(SHR), MEMBER(SHL), MEMBER(SAR)},
    [GROUP_3] = {MEMBER_AS(TEST, RM_IMMEDIATE), MEMBER_AS(TEST, RM_IMMEDIATE),
		 MEMBER_AS(NOT, RM), MEMBER_AS(NEG, RM), MEMBER(MUL),
		 MEMBER(IMUL), MEMBER(DIV), MEMBER(IDIV)},
    [GROUP_4] = {MEMBER(INC), MEMBER(DEC)},
    [GROUP_5] = {MEMBER(INC), MEMBER(DEC), [6] = MEMBER_AS(PUSH, PUSH_RM)},
    [GROUP_8] = {[4] = MEMBER(BT), MEMBER(BTS), MEMBER(BTR), MEMBER(BTC)},
    [GROUP_9] = {[1] = MEMBER(CMPXCHG_PAIR)},
    [GROUP_11] = {MEMBER(MOV)},
    [GROUP_15] = {[6] = MEMBER(FLUSH), [7] = MEMBER(FLUSH)},
};

/* ModR/M.rm with 16-bit addresses. */
static const struct {
	u8 base, index;
} address_16[8] = {
    {GPR_RBX, GPR_RSI},  {GPR_RBX, GPR_RDI},  {GPR_RBP, GPR_RSI},
    {GPR_RBP, GPR_RDI},  {GPR_RSI, GPR_NONE}, {GPR_RDI, GPR_NONE},
    {GPR_RBP, GPR_NONE}, {GPR_RBX, GPR_NONE},
};

#define REX_B       0x01
#define REX_X       0x02
#define REX_R       0x04
#define REX_W       0x08

#define PREFIX_NONE 0xff

/* What is known while decoding; `in` is what comes of it. */
struct decoder {
	struct instruction *in;
	u32 at; /* the next byte */
	enum code_size code_size;
	enum decode_result trouble; /* DECODE_OK until a byte was missing */

	bool operand_prefix, address_prefix, lock_prefix;
	u8 repeat_prefix;  /* F2, F3 or 0 */
	u8 segment_prefix; /* enum segment or PREFIX_NONE */
	u8 rex;            /* 0: none */
	u8 opcode;
	const struct vector_move *vector;
	u8 mod, reg, rm; /* ModR/M, without REX */
	u8 operand_bytes;
};

/* 0 once bytes have run out; the caller looks at `trouble` at the end. */
static u8 next_byte(struct decoder *d)
{
	if (d->at < d->in->length)
		return d->in->bytes[d->at++];
	if (d->trouble == DECODE_OK)
		d->trouble = d->at == INSTRUCTION_BYTES_MAX ? DECODE_TOO_LONG
							    : DECODE_TRUNCATED;
	return 0;
}

/* A little-endian number of 1, 2, 4 or 8 bytes, sign-extended. */
static u64 next_signed(struct decoder *d, u32 bytes)
{
	u64 value = 0;

	for (u32 i = 0; i < bytes; i++)
		value |= (u64)next_byte(d) << 8 * i;
	return (u64)((i64)(value << (64 - 8 * bytes)) >> (64 - 8 * bytes));
}

/* --- Prefixes ------------------------------------------------------------- */

static bool take_segment_prefix(struct decoder *d, u8 byte)
{
	static const u8 segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};

	for (u32 i = 0; i < SEGMENT_COUNT; i++) {
		if (byte != segments[i])
			continue;
		/* The other four have no effect in 64-bit code. */
		if (d->code_size != CODE_64 || i >= SEGMENT_FS)
			d->segment_prefix = (u8)i;
		return true;
	}
	return false;
}

static bool take_prefix(struct decoder *d, u8 byte)
{
	switch (byte) {
	case 0x66:
		d->operand_prefix = true;
		return true;
	case 0x67:
		d->address_prefix = true;
		return true;
	case 0xf0:
		d->lock_prefix = true;
		return true;
	case 0xf2:
	case 0xf3:
		d->repeat_prefix = byte;
		return true;
	default:
		return take_segment_prefix(d, byte);
	}
}

/* Takes all prefixes and the first byte of the opcode. */
static u8 take_prefixes(struct decoder *d)
{
	for (;;) {
		u8 byte = next_byte(d);

		if (take_prefix(d, byte)) {
			d->rex = 0; /* counts only right before the opcode */
		} else if (d->code_size == CODE_64 && (byte & 0xf0) == 0x40) {
			d->rex = byte;
		} else {
			return byte;
		}
	}
}

static void find_sizes(struct decoder *d)
{
	static const u8 address_bytes[] = {2, 4, 8};
	static const u8 other_address_bytes[] = {4, 2, 4};
	bool is_16 = (d->code_size == CODE_16) != d->operand_prefix;

	d->operand_bytes = d->rex & REX_W ? 8 : is_16 ? 2 : 4;
	d->in->address_bytes = d->address_prefix
				   ? other_address_bytes[d->code_size]
				   : address_bytes[d->code_size];
}

/* --- Opcode --------------------------------------------------------------- */

static const struct row *find_vector(struct decoder *d, u8 map, u8 opcode)
{
	static const struct row unsupported;
	u8 prefix = d->repeat_prefix    ? d->repeat_prefix
		    : d->operand_prefix ? 0x66
					: 0;

	for (u32 i = 0; i < ARRAY_COUNT(vector_moves); i++) {
		const struct vector_move *move = &vector_moves[i];

		if (move->map != map || move->opcode != opcode ||
		    move->prefix != prefix)
			continue;
		d->vector = move;
		return &vector_row;
	}
	return &unsupported;
}

static const struct row *find_two_byte(struct decoder *d)
{
	u8 byte = next_byte(d);

	d->opcode = byte;
	d->in->condition = byte & 0x0f;
	if (byte == 0x38) {
		byte = next_byte(d);
		return byte == 0xf0   ? &movbe_load
		       : byte == 0xf1 ? &movbe_store
				      : find_vector(d, 0x38, byte);
	}
	if ((byte & 0xf0) == 0x40)
		return &cmov_row;
	if ((byte & 0xf0) == 0x90)
		return &set_row;
	if (two_byte[byte].form == FORM_UNSUPPORTED)
		return find_vector(d, 0x0f, byte);
	return &two_byte[byte];
}

static struct row find_row(struct decoder *d)
{
	d->opcode = take_prefixes(d);
	find_sizes(d);
	if (d->opcode == 0x0f)
		return *find_two_byte(d);
	return one_byte[d->opcode];
}

static bool has_modrm(const struct row *row)
{
	switch (row->form) {
	case FORM_A_OFFSET:
	case FORM_OFFSET_A:
	case FORM_STRING:
	case FORM_PORT_STRING:
	case FORM_XLAT:
		return false;
	default:
		return true;
	}
}

static void take_modrm(struct decoder *d)
{
	u8 byte = next_byte(d);

	d->mod = byte >> 6;
	d->reg = byte >> 3 & 7;
	d->rm = byte & 7;
}

/* 0F AE: under 66 two, without it one of the members flushes a line. */
static bool is_flush(const struct decoder *d)
{
	return d->mod != 3 && (d->reg == 7 || d->operand_prefix);
}

static enum decode_result resolve_group(struct decoder *d, struct row *row)
{
	const struct member *member = &groups[row->group][d->reg];

	if (row->group == GROUP_NONE)
		return DECODE_OK;
	if (!member->exists || (row->group == GROUP_15 && !is_flush(d)))
		return DECODE_UNSUPPORTED;
	row->operation = member->operation;
	if (member->form != FORM_UNSUPPORTED)
		row->form = member->form;
	return DECODE_OK;
}

/* What the row's flags forbid. */
static enum decode_result check_flags(const struct decoder *d,
				      const struct row *row)
{
	if (row->form == FORM_UNSUPPORTED)
		return DECODE_UNSUPPORTED;
	/* ARPL; and manuals differ about MOVSXD with 16-bit operands. */
	if (row->form == FORM_R_RM32 &&
	    (d->code_size != CODE_64 || d->operand_bytes == 2))
		return DECODE_UNSUPPORTED;
	if ((row->flags & NOT_IN_64) && d->code_size == CODE_64)
		return DECODE_INVALID;
	if (((row->flags & NOT_66) && d->operand_prefix) ||
	    ((row->flags & NOT_F2) && d->repeat_prefix == 0xf2) ||
	    ((row->flags & NOT_F3) && d->repeat_prefix == 0xf3))
		return DECODE_UNSUPPORTED;
	return DECODE_OK;
}

/* --- Addresses ------------------------------------------------------------ */

static bool is_stack_register(u8 base)
{
	return base == GPR_RSP || base == GPR_RBP;
}

static void find_segment(struct decoder *d)
{
	if (d->segment_prefix != PREFIX_NONE)
		d->in->segment = d->segment_prefix;
	else
		d->in->segment =
		    is_stack_register(d->in->base) ? SEGMENT_SS : SEGMENT_DS;
}

static void take_displacement(struct decoder *d, u32 bytes)
{
	d->in->displacement = bytes ? next_signed(d, bytes) : 0;
}

static void take_address_16(struct decoder *d)
{
	d->in->base = address_16[d->rm].base;
	d->in->index = address_16[d->rm].index;
	if (d->mod == 0 && d->rm == 6) {
		d->in->base = GPR_NONE;
		take_displacement(d, 2);
	} else {
		take_displacement(d, d->mod); /* 0, 1 or 2 bytes */
	}
}

static u8 extend(const struct decoder *d, u8 bit, u8 reg)
{
	return (u8)(reg | (d->rex & bit ? 8 : 0));
}

static void take_sib(struct decoder *d)
{
	u8 byte = next_byte(d);
	u8 base = byte & 7;

	d->in->scale_shift = byte >> 6;
	d->in->index = extend(d, REX_X, byte >> 3 & 7);
	if (d->in->index == GPR_RSP)
		d->in->index = GPR_NONE;
	d->in->base = extend(d, REX_B, base);
	if (d->mod == 0 && base == GPR_RBP)
		d->in->base = GPR_NONE;
}

static void take_address_32(struct decoder *d)
{
	static const u8 displacement_bytes[] = {0, 1, 4};

	d->in->index = GPR_NONE;
	d->in->base = extend(d, REX_B, d->rm);
	if (d->rm == GPR_RSP)
		take_sib(d);
	else if (d->mod == 0 && d->rm == GPR_RBP)
		d->in->base = d->code_size == CODE_64 ? GPR_RIP : GPR_NONE;
	if (d->mod == 0 && (d->in->base == GPR_NONE || d->in->base == GPR_RIP))
		take_displacement(d, 4);
	else
		take_displacement(d, displacement_bytes[d->mod]);
}

static void take_address(struct decoder *d)
{
	if (d->in->address_bytes == 2)
		take_address_16(d);
	else
		take_address_32(d);
	find_segment(d);
}

/* --- Operands ------------------------------------------------------------- */

static struct operand gpr_operand(const struct decoder *d, u8 reg, u8 bytes)
{
	struct operand operand = {OPERAND_GPR, reg, bytes};

	if (bytes == 1 && !d->rex && reg >= 4) {
		operand.kind = OPERAND_GPR_HIGH;
		operand.reg = reg & 3;
	}
	return operand;
}

static struct operand reg_operand(const struct decoder *d, u8 bytes)
{
	return gpr_operand(d, extend(d, REX_R, d->reg), bytes);
}

/* Also takes SIB and displacement, so it is called once. */
static struct operand rm_operand(struct decoder *d, u8 bytes)
{
	if (d->mod == 3)
		return gpr_operand(d, extend(d, REX_B, d->rm), bytes);
	take_address(d);
	return (struct operand){OPERAND_MEMORY, 0, bytes};
}

static struct operand immediate_operand(struct decoder *d, u8 bytes)
{
	d->in->immediate = next_signed(d, bytes > 4 ? 4 : bytes);
	return (struct operand){OPERAND_IMMEDIATE, 0, bytes};
}

static struct operand one_operand(struct decoder *d)
{
	d->in->immediate = 1;
	return (struct operand){OPERAND_IMMEDIATE, 0, 1};
}

static struct operand offset_operand(struct decoder *d, u8 bytes)
{
	d->in->base = GPR_NONE;
	d->in->index = GPR_NONE;
	take_displacement(d, d->in->address_bytes);
	find_segment(d);
	return (struct operand){OPERAND_MEMORY, 0, bytes};
}

static u8 stack_operand_bytes(const struct decoder *d)
{
	if (d->code_size == CODE_64)
		return d->operand_bytes == 2 ? 2 : 8;
	return d->operand_bytes;
}

static const struct operand cl_operand = {OPERAND_GPR, GPR_RCX, 1};

/* Shift counts are bytes whatever is shifted. */
static u8 immediate_bytes(const struct row *row, u8 bytes)
{
	return row->form == FORM_RM_IMMEDIATE8 ||
		       row->form == FORM_R_RM_IMMEDIATE8
		   ? 1
		   : bytes;
}

static void take_rm_operands(struct decoder *d, const struct row *row, u8 bytes)
{
	struct instruction *in = d->in;

	in->destination = rm_operand(d, bytes);
	switch (row->form) {
	case FORM_RM_R:
		in->source = reg_operand(d, bytes);
		break;
	case FORM_RM_IMMEDIATE:
	case FORM_RM_IMMEDIATE8:
		in->source = immediate_operand(d, immediate_bytes(row, bytes));
		break;
	case FORM_RM_1:
		in->source = one_operand(d);
		break;
	case FORM_RM_CL:
		in->source = cl_operand;
		break;
	case FORM_RM_R_IMMEDIATE8:
		in->source = reg_operand(d, bytes);
		in->third = immediate_operand(d, 1);
		break;
	case FORM_RM_R_CL:
		in->source = reg_operand(d, bytes);
		in->third = cl_operand;
		break;
	default:
		break;
	}
}

static u8 source_bytes(const struct row *row, u8 bytes)
{
	switch (row->form) {
	case FORM_R_RM8:
		return 1;
	case FORM_R_RM16:
		return 2;
	case FORM_R_RM32:
		return 4;
	default:
		return bytes;
	}
}

static void take_r_operands(struct decoder *d, const struct row *row, u8 bytes)
{
	struct instruction *in = d->in;

	in->destination = reg_operand(d, bytes);
	in->source = rm_operand(d, source_bytes(row, bytes));
	if (row->form == FORM_R_RM_IMMEDIATE ||
	    row->form == FORM_R_RM_IMMEDIATE8)
		in->third = immediate_operand(d, immediate_bytes(row, bytes));
}

/* The memory operand of strings is implied, but its sizes are not. */
static void take_string_operands(struct decoder *d, u8 bytes)
{
	struct instruction *in = d->in;

	in->destination = (struct operand){OPERAND_NONE, 0, bytes};
	in->base = GPR_RSI;
	in->index = GPR_NONE;
	find_segment(d);
	in->repeat = d->repeat_prefix == 0xf3   ? REPEAT_EQUAL
		     : d->repeat_prefix == 0xf2 ? REPEAT_NOT_EQUAL
						: REPEAT_NONE;
}

static void take_xlat_operands(struct decoder *d)
{
	d->in->base = GPR_RBX;
	d->in->index = GPR_NONE;
	find_segment(d);
	d->in->destination = (struct operand){OPERAND_GPR, GPR_RAX, 1};
	d->in->source = (struct operand){OPERAND_MEMORY, 0, 1};
}

static enum decode_result take_segment_operands(struct decoder *d, u8 bytes)
{
	if (d->reg >= SEGMENT_COUNT)
		return DECODE_INVALID;
	/* In memory a selector has 16 bits whatever the operand size. */
	d->in->destination = rm_operand(d, d->mod == 3 ? bytes : 2);
	d->in->source = (struct operand){OPERAND_SEGMENT, d->reg, 2};
	return DECODE_OK;
}

/* Between two registers it touches no memory. */
static enum decode_result take_vector_operands(struct decoder *d)
{
	struct instruction *in = d->in;
	u8 bytes = d->vector->bytes ? d->vector->bytes : d->rex & REX_W ? 8 : 4;
	const struct operand vector = {OPERAND_VECTOR, extend(d, REX_R, d->reg),
				       bytes};

	if (d->mod == 3)
		return DECODE_UNSUPPORTED;
	in->is_aligned = d->vector->is_aligned;
	if (d->vector->way == LOAD) {
		in->destination = vector;
		in->source = rm_operand(d, bytes);
	} else {
		in->destination = rm_operand(d, bytes);
		in->source = vector;
	}
	return DECODE_OK;
}

static enum decode_result take_operands(struct decoder *d,
					const struct row *row, u8 bytes)
{
	struct instruction *in = d->in;
	const struct operand a = {OPERAND_GPR, GPR_RAX, bytes};

	switch (row->form) {
	case FORM_RM_SEGMENT:
		return take_segment_operands(d, bytes);
	case FORM_POP_RM:
		in->destination = rm_operand(d, stack_operand_bytes(d));
		break;
	case FORM_PUSH_RM:
		in->source = rm_operand(d, stack_operand_bytes(d));
		break;
	case FORM_SOURCE_RM:
		in->source = rm_operand(d, bytes);
		break;
	case FORM_A_OFFSET:
		in->destination = a;
		in->source = offset_operand(d, bytes);
		break;
	case FORM_OFFSET_A:
		in->destination = offset_operand(d, bytes);
		in->source = a;
		break;
	case FORM_STRING:
		take_string_operands(d, bytes);
		break;
	case FORM_PORT_STRING:
		take_string_operands(d, bytes < 4 ? bytes : 4);
		break;
	case FORM_XLAT:
		take_xlat_operands(d);
		break;
	case FORM_PAIR:
		in->destination = rm_operand(d, bytes < 8 ? 8 : 16);
		break;
	case FORM_R_RM:
	case FORM_R_RM8:
	case FORM_R_RM16:
	case FORM_R_RM32:
	case FORM_R_RM_IMMEDIATE:
	case FORM_R_RM_IMMEDIATE8:
		take_r_operands(d, row, bytes);
		break;
	default:
		take_rm_operands(d, row, bytes);
	}
	return DECODE_OK;
}

static u8 operand_bytes(const struct decoder *d, const struct row *row)
{
	if ((row->flags & BYTE) || ((row->flags & SIZED) && !(d->opcode & 1)))
		return 1;
	if ((row->flags & NO_16) && d->operand_bytes == 2)
		return 4;
	return d->operand_bytes;
}

/* --- LOCK ----------------------------------------------------------------- */

/* SDM volume 2, "LOCK-Assert LOCK# Signal Prefix": only these, and only with
 * memory as destination. */
static bool can_be_locked(const struct instruction *in)
{
	if (in->destination.kind != OPERAND_MEMORY)
		return false;
	switch (in->operation) {
	case OP_ADD:
	case OP_OR:
	case OP_ADC:
	case OP_SBB:
	case OP_AND:
	case OP_SUB:
	case OP_XOR:
	case OP_NOT:
	case OP_NEG:
	case OP_INC:
	case OP_DEC:
	case OP_BTS:
	case OP_BTR:
	case OP_BTC:
	case OP_XCHG:
	case OP_XADD:
	case OP_CMPXCHG:
	case OP_CMPXCHG_PAIR:
		return true;
	default:
		return false;
	}
}

static enum decode_result find_lock(struct decoder *d)
{
	struct instruction *in = d->in;

	if (d->lock_prefix && !can_be_locked(in))
		return DECODE_INVALID;
	in->is_locked =
	    d->lock_prefix || (in->operation == OP_XCHG &&
			       in->destination.kind == OPERAND_MEMORY);
	return DECODE_OK;
}

/* -------------------------------------------------------------------------- */

static enum decode_result decode_all(struct decoder *d)
{
	struct row row = find_row(d);
	enum decode_result result = check_flags(d, &row);

	if (result != DECODE_OK)
		return result;
	if (has_modrm(&row))
		take_modrm(d);
	if (d->trouble != DECODE_OK)
		return d->trouble;
	result = resolve_group(d, &row);
	if (result != DECODE_OK)
		return result;
	if ((row.flags & MEMORY_ONLY) && d->mod == 3)
		return DECODE_INVALID;
	d->in->operation = row.operation;
	result = d->vector ? take_vector_operands(d)
			   : take_operands(d, &row, operand_bytes(d, &row));
	return result == DECODE_OK ? find_lock(d) : result;
}

enum decode_result decode(struct instruction *instruction, const u8 *bytes,
			  u32 byte_count, enum code_size code_size)
{
	struct decoder d = {
	    .in = instruction,
	    .code_size = code_size,
	    .segment_prefix = PREFIX_NONE,
	};
	enum decode_result result;

	*instruction = (struct instruction){0};
	instruction->length = byte_count < INSTRUCTION_BYTES_MAX
				  ? (u8)byte_count
				  : INSTRUCTION_BYTES_MAX;
	memcpy(instruction->bytes, bytes, instruction->length);
	result = decode_all(&d);
	if (d.trouble != DECODE_OK)
		return d.trouble;
	if (result == DECODE_OK)
		instruction->length = (u8)d.at;
	return result;
}

size_t decode_print_bytes(const struct instruction *instruction, char *text,
			  size_t text_bytes)
{
	size_t length = 0;

	if (text_bytes)
		text[0] = 0;
	for (u32 i = 0; i < instruction->length && length < text_bytes; i++)
		length += fmt(text + length, text_bytes - length, "%s%02x",
			      i ? " " : "", instruction->bytes[i]);
	return length;
}
