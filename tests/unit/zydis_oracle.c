/* SPDX-License-Identifier: MIT */
/*
 * Translates what Zydis says about an instruction into struct instruction and
 * compares. Also the other way round: an instruction that Zydis knows under a
 * name that we claim to support, with an operand in memory, must not be
 * unsupported here.
 */
#include <stdio.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "tests/unit/zydis_oracle.h"

#define NO_OPERATION OP_COUNT

struct name {
	ZydisMnemonic mnemonic;
	enum operation operation;
};

#define N(mnemonic, op)                            \
	{                                          \
		ZYDIS_MNEMONIC_##mnemonic, OP_##op \
	}

static const struct name names[] = {
    N(ADD, ADD),
    N(OR, OR),
    N(ADC, ADC),
    N(SBB, SBB),
    N(AND, AND),
    N(SUB, SUB),
    N(XOR, XOR),
    N(CMP, CMP),
    N(ROL, ROL),
    N(ROR, ROR),
    N(RCL, RCL),
    N(RCR, RCR),
    N(SHL, SHL),
    N(SHR, SHR),
    N(SAR, SAR),
    N(TEST, TEST),
    N(NOT, NOT),
    N(NEG, NEG),
    N(MUL, MUL),
    N(IMUL, IMUL),
    N(DIV, DIV),
    N(IDIV, IDIV),
    N(INC, INC),
    N(DEC, DEC),
    N(SHLD, SHLD),
    N(SHRD, SHRD),
    N(BT, BT),
    N(BTS, BTS),
    N(BTR, BTR),
    N(BTC, BTC),
    N(BSF, BSF),
    N(BSR, BSR),
    N(MOV, MOV),
    N(MOVNTI, MOV),
    N(MOVZX, MOVZX),
    N(MOVSX, MOVSX),
    N(MOVSXD, MOVSX),
    N(MOVBE, MOVBE),
    N(XCHG, XCHG),
    N(XADD, XADD),
    N(CMPXCHG, CMPXCHG),
    N(CMPXCHG8B, CMPXCHG_PAIR),
    N(PUSH, PUSH),
    N(CMPXCHG16B, CMPXCHG_PAIR),
    N(POP, POP),
    N(XLAT, XLAT),
    N(CLFLUSH, FLUSH),
    N(CLFLUSHOPT, FLUSH),
    N(CLWB, FLUSH),
    N(MOVSB, MOVS),
    N(MOVSW, MOVS),
    N(MOVSD, MOVS),
    N(MOVSQ, MOVS),
    N(CMPSB, CMPS),
    N(CMPSW, CMPS),
    N(CMPSD, CMPS),
    N(CMPSQ, CMPS),
    N(STOSB, STOS),
    N(STOSW, STOS),
    N(STOSD, STOS),
    N(STOSQ, STOS),
    N(LODSB, LODS),
    N(LODSW, LODS),
    N(LODSD, LODS),
    N(LODSQ, LODS),
    N(SCASB, SCAS),
    N(SCASW, SCAS),
    N(SCASD, SCAS),
    N(SCASQ, SCAS),
    N(INSB, INS),
    N(INSW, INS),
    N(INSD, INS),
    N(OUTSB, OUTS),
    N(OUTSW, OUTS),
    N(OUTSD, OUTS),
    N(CMOVB, CMOV),
    N(CMOVBE, CMOV),
    N(CMOVL, CMOV),
    N(CMOVLE, CMOV),
    N(CMOVNB, CMOV),
    N(CMOVNBE, CMOV),
    N(CMOVNL, CMOV),
    N(CMOVNLE, CMOV),
    N(CMOVNO, CMOV),
    N(CMOVNP, CMOV),
    N(CMOVNS, CMOV),
    N(CMOVNZ, CMOV),
    N(CMOVO, CMOV),
    N(CMOVP, CMOV),
    N(CMOVS, CMOV),
    N(CMOVZ, CMOV),
    N(SETB, SET),
    N(SETBE, SET),
    N(SETL, SET),
    N(SETLE, SET),
    N(SETNB, SET),
    N(SETNBE, SET),
    N(SETNL, SET),
    N(SETNLE, SET),
    N(SETNO, SET),
    N(SETNP, SET),
    N(SETNS, SET),
    N(SETNZ, SET),
    N(SETO, SET),
    N(SETP, SET),
    N(SETS, SET),
    N(SETZ, SET),
    N(MOVUPS, MOV_VECTOR),
    N(MOVUPD, MOV_VECTOR),
    N(MOVSS, MOV_VECTOR),
    N(MOVAPS, MOV_VECTOR),
    N(MOVAPD, MOV_VECTOR),
    N(MOVNTPS, MOV_VECTOR),
    N(MOVNTPD, MOV_VECTOR),
    N(MOVD, MOV_VECTOR),
    N(MOVQ, MOV_VECTOR),
    N(MOVDQA, MOV_VECTOR),
    N(MOVDQU, MOV_VECTOR),
    N(MOVNTDQ, MOV_VECTOR),
    N(MOVNTDQA, MOV_VECTOR),
    N(LDDQU, MOV_VECTOR),
};

/* What Zydis found, under its own names. */
struct theirs {
	bool is_valid;
	ZydisDecodedInstruction instruction;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	enum operation operation; /* or NO_OPERATION */
};

static bool is_string(enum operation operation)
{
	return operation >= OP_MOVS && operation <= OP_OUTS;
}

static enum operation operation_of(const ZydisDecodedInstruction *in)
{
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		enum operation operation = names[i].operation;

		if (names[i].mnemonic != in->mnemonic)
			continue;
		if (is_string(operation) !=
		    (in->meta.category == ZYDIS_CATEGORY_STRINGOP ||
		     in->meta.category == ZYDIS_CATEGORY_IOSTRINGOP))
			return in->mnemonic == ZYDIS_MNEMONIC_MOVSD
				   ? OP_MOV_VECTOR
				   : NO_OPERATION; /* CMPSD of SSE */
		if (operation == OP_IMUL && in->operand_count_visible > 1)
			return OP_IMUL_SHORT;
		return operation;
	}
	return NO_OPERATION;
}

static void decode_theirs(struct theirs *theirs, const u8 *bytes,
			  u32 byte_count, enum code_size code_size)
{
	static const ZydisMachineMode modes[] = {
	    ZYDIS_MACHINE_MODE_LEGACY_16,
	    ZYDIS_MACHINE_MODE_LEGACY_32,
	    ZYDIS_MACHINE_MODE_LONG_64,
	};
	static const ZydisStackWidth widths[] = {
	    ZYDIS_STACK_WIDTH_16,
	    ZYDIS_STACK_WIDTH_32,
	    ZYDIS_STACK_WIDTH_64,
	};
	ZydisDecoder decoder;

	memset(theirs, 0, sizeof(*theirs));
	ZydisDecoderInit(&decoder, modes[code_size], widths[code_size]);
	theirs->is_valid = ZYAN_SUCCESS(
	    ZydisDecoderDecodeFull(&decoder, bytes, byte_count,
				   &theirs->instruction, theirs->operands));
	theirs->operation = theirs->is_valid
				? operation_of(&theirs->instruction)
				: NO_OPERATION;
}

static bool has_memory_operand(const struct theirs *theirs)
{
	for (u32 i = 0; i < theirs->instruction.operand_count; i++)
		if (theirs->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    theirs->operands[i].mem.type == ZYDIS_MEMOP_TYPE_MEM)
			return true;
	return false;
}

static u8 gpr_of(ZydisRegister reg)
{
	if (reg == ZYDIS_REGISTER_NONE)
		return GPR_NONE;
	if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return GPR_RIP;
	reg = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
	return (u8)(reg - ZYDIS_REGISTER_RAX);
}

static u8 segment_of(ZydisRegister reg)
{
	return (u8)ZydisRegisterGetId(reg);
}

static struct operand operand_of(const ZydisDecodedOperand *from)
{
	struct operand operand = {OPERAND_NONE, 0, (u8)(from->size / 8)};
	ZydisRegister reg = from->reg.value;

	switch ((int)from->type) {
	case ZYDIS_OPERAND_TYPE_MEMORY:
		operand.kind = OPERAND_MEMORY;
		break;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		operand.kind = OPERAND_IMMEDIATE;
		break;
	case ZYDIS_OPERAND_TYPE_REGISTER:
		if (ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_XMM) {
			operand.kind = OPERAND_VECTOR;
			operand.reg = (u8)ZydisRegisterGetId(reg);
		} else if (ZydisRegisterGetClass(reg) ==
			   ZYDIS_REGCLASS_SEGMENT) {
			operand.kind = OPERAND_SEGMENT;
			operand.reg = segment_of(reg);
		} else if (reg >= ZYDIS_REGISTER_AH &&
			   reg <= ZYDIS_REGISTER_BH) {
			operand.kind = OPERAND_GPR_HIGH;
			operand.reg = (u8)(reg - ZYDIS_REGISTER_AH);
		} else {
			operand.kind = OPERAND_GPR;
			operand.reg = gpr_of(reg);
		}
		break;
	default:
		break;
	}
	return operand;
}

/* --- Comparing ------------------------------------------------------------ */

#define SAME(what, ours, theirs_)                                       \
	do {                                                            \
		if ((u64)(ours) != (u64)(theirs_)) {                    \
			fprintf(stderr, "%s: %#lx, Zydis %#lx\n", what, \
				(u64)(ours), (u64)(theirs_));           \
			return false;                                   \
		}                                                       \
	} while (0)

static u64 mask_of(u32 bytes)
{
	return bytes >= 8 ? ~0ull : (1ull << 8 * bytes) - 1;
}

/*
 * Zydis 4.0.0 takes R13D for the base where SIB says "no base, disp32", if
 * REX.B is set and addresses have 32 bits. A CPU does not; see
 * test_emulate_native.c.
 */
static bool is_known_mistake(const struct instruction *in)
{
	return in->base == GPR_NONE && in->address_bytes == 4;
}

static bool same_address(const struct instruction *in,
			 const ZydisDecodedOperand *theirs)
{
	const ZydisDecodedOperandMem *mem = &theirs->mem;
	u64 mask = mask_of(in->address_bytes);

	if (is_known_mistake(in) && mem->base == ZYDIS_REGISTER_R13D)
		return true;

	SAME("segment", in->segment, segment_of(mem->segment));
	SAME("base", in->base, gpr_of(mem->base));
	SAME("index", in->index, gpr_of(mem->index));
	if (in->index != GPR_NONE)
		SAME("scale", 1 << in->scale_shift,
		     mem->scale ? mem->scale : 1);
	SAME("displacement", in->displacement & mask,
	     mem->disp.has_displacement ? (u64)mem->disp.value & mask : 0);
	return true;
}

static bool same_operand(const struct instruction *in,
			 const struct operand *ours,
			 const ZydisDecodedOperand *theirs)
{
	struct operand expected = operand_of(theirs);
	/* Counts and bit numbers are bytes without a sign. */
	u64 mask = mask_of(theirs->imm.is_signed ? in->destination.bytes
						 : expected.bytes);

	SAME("operand kind", ours->kind, expected.kind);
	if (ours->kind == OPERAND_IMMEDIATE) {
		SAME("immediate", in->immediate & mask,
		     theirs->imm.value.u & mask);
		return true;
	}
	SAME("operand register", ours->reg, expected.reg);
	/* Theirs: the whole line, and the whole register. */
	if (in->operation != OP_FLUSH && ours->kind != OPERAND_VECTOR)
		SAME("operand size", ours->bytes, expected.bytes);
	return ours->kind != OPERAND_MEMORY || same_address(in, theirs);
}

/* MOVS, CMPS, ...: all is implied but sizes and the source's segment. */
static bool same_string(const struct instruction *in,
			const struct theirs *theirs)
{
	for (u32 i = 0; i < theirs->instruction.operand_count; i++) {
		const ZydisDecodedOperand *operand = &theirs->operands[i];

		if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		SAME("string size", in->destination.bytes, operand->size / 8);
		if (gpr_of(operand->mem.base) == GPR_RSI)
			SAME("string segment", in->segment,
			     segment_of(operand->mem.segment));
	}
	return true;
}

static bool same_xlat(const struct instruction *in, const struct theirs *theirs)
{
	for (u32 i = 0; i < theirs->instruction.operand_count; i++)
		if (theirs->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			SAME("xlat segment", in->segment,
			     segment_of(theirs->operands[i].mem.segment));
	return true;
}

/* Explicit operands in their order: destination, source, third. */
static bool same_operands(const struct instruction *in,
			  const struct theirs *theirs)
{
	const struct operand *ours[] = {&in->destination, &in->source,
					&in->third};
	u32 next = 0;

	if (is_string(in->operation))
		return same_string(in, theirs);
	if (in->operation == OP_XLAT)
		return same_xlat(in, theirs);
	for (size_t i = 0; i < ARRAY_COUNT(ours); i++) {
		if (ours[i]->kind == OPERAND_NONE)
			continue;
		if (!same_operand(in, ours[i], &theirs->operands[next++]))
			return false;
	}
	SAME("operand count", next, theirs->instruction.operand_count_visible);
	return true;
}

static u8 repeat_of(const ZydisDecodedInstruction *in)
{
	if (in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		return REPEAT_EQUAL;
	return in->attributes & ZYDIS_ATTRIB_HAS_REPNE ? REPEAT_NOT_EQUAL
						       : REPEAT_NONE;
}

static bool same(const struct instruction *in, const struct theirs *theirs)
{
	SAME("validity", true, theirs->is_valid);
	SAME("length", in->length, theirs->instruction.length);
	SAME("operation", in->operation, theirs->operation);
	if (in->operation == OP_CMOV || in->operation == OP_SET)
		SAME("condition", in->condition,
		     theirs->instruction.opcode & 0x0f);
	SAME("address size", in->address_bytes,
	     theirs->instruction.address_width / 8);
	if (in->operation == OP_XCHG)
		SAME("implied lock", in->is_locked, has_memory_operand(theirs));
	else
		SAME(
		    "lock", in->is_locked,
		    !!(theirs->instruction.attributes & ZYDIS_ATTRIB_HAS_LOCK));
	if (is_string(in->operation))
		SAME("repeat", in->repeat, repeat_of(&theirs->instruction));
	return same_operands(in, theirs);
}

/* The ones of our names that have other instructions under them as well. */
static bool is_left_out(const struct theirs *theirs)
{
	const ZydisDecodedInstruction *in = &theirs->instruction;

	/* Of MMX. */
	if (theirs->operation == OP_MOV_VECTOR)
		for (u32 i = 0; i < in->operand_count_visible; i++)
			if (theirs->operands[i].type ==
				ZYDIS_OPERAND_TYPE_REGISTER &&
			    ZydisRegisterGetClass(
				theirs->operands[i].reg.value) ==
				ZYDIS_REGCLASS_MMX)
				return true;
	/* MOV to segment, control and debug registers; PUSH, POP likewise. */
	if (theirs->operation == OP_MOV &&
	    (in->opcode == 0x8e || in->opcode_map == ZYDIS_OPCODE_MAP_0F))
		return in->mnemonic != ZYDIS_MNEMONIC_MOVNTI;
	if (in->mnemonic == ZYDIS_MNEMONIC_MOVSXD)
		return in->operand_width == 16;
	if (theirs->operation == OP_PUSH)
		return in->opcode != 0xff;
	return theirs->operation == OP_POP && in->opcode != 0x8f;
}

static bool judge(const struct instruction *in, enum decode_result result,
		  const struct theirs *theirs)
{
	switch (result) {
	case DECODE_OK:
		return same(in, theirs);
	case DECODE_UNSUPPORTED:
		if (theirs->operation == NO_OPERATION ||
		    !has_memory_operand(theirs) || is_left_out(theirs))
			return true;
		fprintf(stderr, "unsupported, but has a name that we know\n");
		return false;
	case DECODE_TRUNCATED:
	case DECODE_TOO_LONG:
	case DECODE_INVALID:
		SAME("refused", false, theirs->is_valid);
		return true;
	}
	return false;
}

static void show(const struct instruction *in, enum code_size code_size,
		 const struct theirs *theirs)
{
	ZydisFormatter formatter;
	char bytes[64], text[128] = "invalid";

	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	if (theirs->is_valid)
		ZydisFormatterFormatInstruction(
		    &formatter, &theirs->instruction, theirs->operands,
		    theirs->instruction.operand_count_visible, text,
		    sizeof(text), 0, NULL);
	decode_print_bytes(in, bytes, sizeof(bytes));
	fprintf(stderr, "code size %d, bytes %s: Zydis says: %s\n",
		(int)code_size, bytes, text);
}

bool zydis_agrees(const u8 *bytes, u32 byte_count, enum code_size code_size,
		  enum decode_result *result)
{
	struct instruction ours;
	struct theirs theirs;

	*result = decode(&ours, bytes, byte_count, code_size);
	decode_theirs(&theirs, bytes, byte_count, code_size);
	if (judge(&ours, *result, &theirs))
		return true;
	show(&ours, code_size, &theirs);
	return false;
}
