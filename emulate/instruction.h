/* SPDX-License-Identifier: MIT */
/*
 * An x86 instruction, decoded: the integer instructions that touch memory, and
 * the moves of SSE registers.
 *
 * A VM exit for an access to a device's registers says which address was
 * touched, not what the instruction wanted. So Umbra fetches and decodes it
 * (decode.h) and does its work (emulate.h). Terms are those of the SDM,
 * volume 2, "Instruction Format".
 */
#ifndef EMULATE_INSTRUCTION_H
#define EMULATE_INSTRUCTION_H

#include "lib/types.h"

#define INSTRUCTION_BYTES_MAX 15

/* The size of code that CS gives: defaults of operands and addresses. */
enum code_size {
	CODE_16,
	CODE_32,
	CODE_64,
};

/* General registers and segments in the order of their encoding. */
enum gpr {
	GPR_RAX,
	GPR_RCX,
	GPR_RDX,
	GPR_RBX,
	GPR_RSP,
	GPR_RBP,
	GPR_RSI,
	GPR_RDI,
	GPR_R8, /* and so on to R15 */
	GPR_COUNT = 16,
	GPR_NONE = 0xfe, /* no base, no index */
	GPR_RIP = 0xff,  /* as a base only */
};

enum segment {
	SEGMENT_ES,
	SEGMENT_CS,
	SEGMENT_SS,
	SEGMENT_DS,
	SEGMENT_FS,
	SEGMENT_GS,
	SEGMENT_COUNT,
};

/*
 * What is done. The first two groups of eight stand in the order in which
 * opcodes and ModR/M.reg number them.
 */
enum operation {
	OP_ADD,
	OP_OR,
	OP_ADC,
	OP_SBB,
	OP_AND,
	OP_SUB,
	OP_XOR,
	OP_CMP,

	OP_ROL,
	OP_ROR,
	OP_RCL,
	OP_RCR,
	OP_SHL,
	OP_SHR,
	OP_SAL, /* another number for SHL */
	OP_SAR,

	OP_TEST,
	OP_NOT,
	OP_NEG,
	OP_MUL, /* rDX:rAX = rAX * source, as the next three */
	OP_IMUL,
	OP_DIV,
	OP_IDIV,
	OP_IMUL_SHORT, /* destination = source * third, cut */
	OP_INC,
	OP_DEC,
	OP_SHLD,
	OP_SHRD,

	OP_BT,
	OP_BTS,
	OP_BTR,
	OP_BTC,
	OP_BSF,
	OP_BSR,

	OP_MOV,
	OP_MOVZX,
	OP_MOVSX,
	OP_MOVBE,
	OP_CMOV,
	OP_SET,
	OP_XCHG,
	OP_XADD,
	OP_CMPXCHG,
	OP_CMPXCHG_PAIR, /* CMPXCHG8B and CMPXCHG16B */
	OP_PUSH,
	OP_POP,
	OP_XLAT,
	OP_FLUSH,      /* CLFLUSH, CLFLUSHOPT, CLWB: a read without a result */
	OP_MOV_VECTOR, /* MOVUPS, MOVDQA, MOVQ, ...: the rest becomes 0 */

	OP_MOVS,
	OP_CMPS,
	OP_STOS,
	OP_LODS,
	OP_SCAS,
	OP_INS,
	OP_OUTS,

	OP_COUNT,
};

enum operand_kind {
	OPERAND_NONE,
	OPERAND_GPR,
	OPERAND_GPR_HIGH, /* AH, CH, DH, BH: bits 15:8 of the first four */
	OPERAND_SEGMENT,  /* a selector */
	OPERAND_VECTOR,   /* the low bytes of XMM0 to XMM15 */
	OPERAND_MEMORY,
	OPERAND_IMMEDIATE,
};

struct operand {
	u8 kind;  /* enum operand_kind */
	u8 reg;   /* enum gpr or enum segment, or the vector's number */
	u8 bytes; /* 1, 2, 4, 8; 16 for CMPXCHG16B and vectors */
};

enum repeat {
	REPEAT_NONE,
	REPEAT_EQUAL,     /* F3; for MOVS, STOS, LODS, INS, OUTS: REP */
	REPEAT_NOT_EQUAL, /* F2; the same for those */
};

struct instruction {
	u8 bytes[INSTRUCTION_BYTES_MAX];
	u8 length; /* with DECODE_OK, else how many of `bytes` are known */

	u8 operation; /* enum operation */
	u8 condition; /* of CMOV and SET: the low four bits of the opcode */
	u8 repeat;    /* enum repeat; only for string operations */
	bool is_locked;
	bool is_aligned; /* the operand must be: #GP */

	struct operand destination;
	struct operand source;
	struct operand third; /* IMUL: a factor; SHLD, SHRD: the count */
	u64 immediate;        /* sign-extended; at most one operand is it */

	/* The memory operand, if there is one. */
	u8 address_bytes; /* 2, 4 or 8; also of string operations */
	u8 segment;       /* enum segment */
	u8 base;          /* enum gpr, GPR_NONE or GPR_RIP */
	u8 index;         /* enum gpr or GPR_NONE */
	u8 scale_shift;   /* the index counts 1 << this bytes */
	u64 displacement; /* sign-extended */
};

#endif
