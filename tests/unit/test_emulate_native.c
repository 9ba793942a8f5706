/* SPDX-License-Identifier: MIT */
/*
 * Random instructions on random registers and memory, executed by this
 * machine's CPU and by emulate/: registers, flags, memory and #DE must be the
 * same. 64-bit code; the rest is in test_emulate.c.
 *
 *	UMBRA_TEST_CASES=N  cases per opcode (default 1500)
 *	UMBRA_TEST_SEED=N   another sequence
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "emulate/emulate.h"

/* Low addresses: the thunk reaches them with 32-bit displacements. */
#define CODE_PAGE     0x10000000u
#define CODE_AT       (CODE_PAGE + 0x400)
#define STATE_PAGE    0x10001000u
#define BUFFER        0x10010000u
#define BUFFER_BYTES  0x4000u
#define MIDDLE        (BUFFER + BUFFER_BYTES / 2)

#define VECTORS       16
#define VECTOR_DE     0
#define VECTOR_GP     13

#define DEFAULT_CASES 1500

#define ARITHMETIC \
	(RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* What the thunk loads and stores. */
struct native_state {
	u64 in[GPR_COUNT], out[GPR_COUNT];
	u64 rflags_in, rflags_out;
	u64 host_rsp;
	u64 vectors_in[VECTORS][2], vectors_out[VECTORS][2];
};

static struct native_state *const native = (void *)(u64)STATE_PAGE;
static u8 *const native_buffer = (void *)(u64)BUFFER;
static u8 emulated_buffer[BUFFER_BYTES];
static u64 emulated_vectors[VECTORS][2];

/* --- Random numbers ------------------------------------------------------- */

static u64 random_state;

static u64 random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1dull;
}

static u32 below(u32 limit)
{
	return (u32)(random64() >> 32) % limit;
}

/* Often one of the values where carries, signs and overflows happen. */
static u64 interesting64(void)
{
	static const u64 edges[] = {0,          1,          2,      0x7f,
				    0x80,       0xff,       0x7fff, 0x8000,
				    0x7fffffff, 0x80000000, ~0ull,  1ull << 63,
				    ~0ull >> 1};

	switch (below(4)) {
	case 0:
		return edges[below(ARRAY_COUNT(edges))];
	case 1:
		return random64() >> below(64);
	case 2:
		return below(100);
	default:
		return random64();
	}
}

/* --- The thunk ------------------------------------------------------------ */

static u8 *emit(u8 *at, const char *bytes, size_t count)
{
	memcpy(at, bytes, count);
	return at + count;
}

/* ModR/M for a register, or an opcode's number, and an absolute address. */
static u8 *emit_absolute(u8 *at, u32 reg, const u64 *address)
{
	u32 displacement = (u32)(u64)address;

	*at++ = (u8)(4 | (reg & 7) << 3);
	*at++ = 0x25;
	memcpy(at, &displacement, 4);
	return at + 4;
}

/* mov [address], reg or mov reg, [address], 64 bits. */
static u8 *emit_move(u8 *at, u8 opcode, u32 reg, const u64 *address)
{
	*at++ = (u8)(0x48 | (reg >= 8 ? 4 : 0));
	*at++ = opcode;
	return emit_absolute(at, reg, address);
}

#define STORE 0x89
#define LOAD  0x8b

/* movups [address], xmm or movups xmm, [address]. */
static u8 *emit_vector_move(u8 *at, u8 opcode, u32 number, const u64 *address)
{
	*at++ = (u8)(0x40 | (number >= 8 ? 4 : 0));
	*at++ = 0x0f;
	*at++ = opcode;
	return emit_absolute(at, number, address);
}

#define VECTOR_STORE 0x11
#define VECTOR_LOAD  0x10

/* push [address] or pop [address] */
static u8 *emit_stack(u8 *at, u8 opcode, u8 reg, const u64 *address)
{
	*at++ = opcode;
	return emit_absolute(at, reg, address);
}

static u8 *emit_jump(u8 *at, u64 target)
{
	i32 distance = (i32)(target - (u64)at - 5);

	*at++ = 0xe9;
	memcpy(at, &distance, 4);
	return at + 4;
}

#define SAVED   "\x53\x55\x41\x54\x41\x55\x41\x56\x41\x57" /* push rbx ... */
#define RESTORE "\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5d\x5b"

/* Where the tested instruction continues. */
#define BACK_AT (CODE_PAGE + 0x800)

static void build_thunk(void)
{
	u8 *at = (u8 *)(u64)CODE_PAGE;

	at = emit(at, SAVED, sizeof(SAVED) - 1);
	at = emit_move(at, STORE, GPR_RSP, &native->host_rsp);
	for (u32 i = 0; i < VECTORS; i++)
		at =
		    emit_vector_move(at, VECTOR_LOAD, i, native->vectors_in[i]);
	at = emit_stack(at, 0xff, 6, &native->rflags_in); /* push */
	*at++ = 0x9d;                                     /* popf */
	for (u32 reg = 0; reg < GPR_COUNT; reg++)
		at = emit_move(at, LOAD, reg, &native->in[reg]);
	emit_jump(at, CODE_AT);

	at = (u8 *)(u64)BACK_AT;
	for (u32 reg = 0; reg < GPR_COUNT; reg++)
		at = emit_move(at, STORE, reg, &native->out[reg]);
	at = emit_move(at, LOAD, GPR_RSP, &native->host_rsp);
	*at++ = 0x9c;                                      /* pushf */
	at = emit_stack(at, 0x8f, 0, &native->rflags_out); /* pop */
	for (u32 i = 0; i < VECTORS; i++)
		at = emit_vector_move(at, VECTOR_STORE, i,
				      native->vectors_out[i]);
	*at++ = 0xfc; /* cld */
	at = emit(at, RESTORE, sizeof(RESTORE) - 1);
	*at = 0xc3;
}

static sigjmp_buf after_fault;

static void on_signal(int number)
{
	siglongjmp(after_fault, number);
}

/* Within the test: around it, cmocka has handlers of its own. */
static void catch_signals(void)
{
	static u8 signal_stack[64 * KIB];
	stack_t stack = {.ss_sp = signal_stack,
			 .ss_size = sizeof(signal_stack)};
	struct sigaction action = {.sa_handler = on_signal,
				   .sa_flags = SA_ONSTACK | SA_NODEFER};

	sigaltstack(&stack, NULL);
	sigaction(SIGFPE, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

static void map_at(u32 address, size_t bytes, int access)
{
	assert_true(mmap((void *)(u64)address, bytes, access,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			 0) == (void *)(u64)address);
}

static int set_up(void **state)
{
	(void)state;
	map_at(CODE_PAGE, PAGE_4K, PROT_READ | PROT_WRITE | PROT_EXEC);
	map_at(STATE_PAGE, PAGE_4K, PROT_READ | PROT_WRITE);
	map_at(BUFFER, BUFFER_BYTES, PROT_READ | PROT_WRITE);
	build_thunk();
	return 0;
}

/* Returns 0 or the signal that the instruction raised. */
static int run_natively(const struct instruction *in)
{
	u8 *code = (u8 *)(u64)CODE_AT;
	int signal_number = sigsetjmp(after_fault, 1);

	if (signal_number)
		return signal_number;
	memcpy(code, in->bytes, in->length);
	emit_jump(code + in->length, BACK_AT);
	((void (*)(void))(u64)CODE_PAGE)();
	return 0;
}

/* --- The emulation -------------------------------------------------------- */

static enum err translate(void *context, gva_t address,
			  enum emulate_access access, gpa_t *result,
			  u32 *error_code)
{
	u64 raw = gva_raw(address);

	(void)context;
	(void)access;
	(void)error_code;
	*result = gpa(raw);
	return OK;
}

static u8 *memory_at(gpa_t address, u32 bytes)
{
	u64 raw = gpa_raw(address);

	if (raw >= CODE_PAGE && raw + bytes <= CODE_PAGE + PAGE_4K)
		return (u8 *)raw;
	if (raw < BUFFER || raw + bytes > BUFFER + BUFFER_BYTES)
		return NULL;
	return emulated_buffer + (raw - BUFFER);
}

static enum err read_memory(void *context, gpa_t address, void *to, u32 bytes)
{
	const u8 *from = memory_at(address, bytes);

	(void)context;
	if (!from)
		return ERR_NOT_FOUND;
	memcpy(to, from, bytes);
	return OK;
}

static enum err write_memory(void *context, gpa_t address, const void *from,
			     u32 bytes)
{
	u8 *to = memory_at(address, bytes);

	(void)context;
	if (!to)
		return ERR_NOT_FOUND;
	memcpy(to, from, bytes);
	return OK;
}

static enum err swap_memory(void *context, gpa_t address, u64 expected,
			    u64 value, u32 bytes)
{
	u8 *at = memory_at(address, bytes);

	(void)context;
	if (!at)
		return ERR_NOT_FOUND;
	if (memcmp(at, &expected, bytes) != 0)
		return ERR_BUSY;
	memcpy(at, &value, bytes);
	return OK;
}

static void read_vector(void *context, u32 number, void *to)
{
	(void)context;
	memcpy(to, emulated_vectors[number], sizeof(emulated_vectors[number]));
}

static void write_vector(void *context, u32 number, const void *from)
{
	(void)context;
	memcpy(emulated_vectors[number], from,
	       sizeof(emulated_vectors[number]));
}

static const struct emulate_bus bus = {
    .translate = translate,
    .read = read_memory,
    .write = write_memory,
    .swap = swap_memory,
    .read_vector = read_vector,
    .write_vector = write_vector,
};

static void fill_cpu(struct emulate_cpu *cpu)
{
	*cpu = (struct emulate_cpu){
	    .rip = CODE_AT,
	    .rflags = native->rflags_in,
	    .cr0 = 0x80000011,
	    .efer = 0x500,
	    .cpl = 3,
	};
	memcpy(cpu->gpr, native->in, sizeof(cpu->gpr));
	cpu->segments[SEGMENT_CS].access_rights = 0xa0fb;
}

/* --- Choosing instructions ------------------------------------------------ */

struct opcode {
	u8 map; /* 0: one byte, 1: after 0F, 2: after 0F 38 */
	u8 byte;
};

/* All that the decoder knows and that has a native meaning for a process. */
static u32 list_opcodes(struct opcode *list)
{
	u32 count = 0;

	for (u32 i = 0; i < 256; i++)
		if ((i < 0x40 && (i & 7) < 4) || i == 0x63 || i == 0x69 ||
		    i == 0x6b || i == 0x80 || i == 0x81 ||
		    (i >= 0x83 && i <= 0x8b) || i == 0x8f ||
		    (i >= 0xa0 && i <= 0xa7) || (i >= 0xaa && i <= 0xaf) ||
		    i == 0xc0 || i == 0xc1 || i == 0xc6 || i == 0xc7 ||
		    (i >= 0xd0 && i <= 0xd3) || i == 0xd7 || i == 0xf6 ||
		    i == 0xf7 || i == 0xfe || i == 0xff)
			list[count++] = (struct opcode){0, (u8)i};
	for (u32 i = 0; i < 256; i++)
		if ((i & 0xf0) == 0x40 || (i & 0xf0) == 0x90 || i == 0xa3 ||
		    i == 0xa4 || i == 0xa5 || i == 0xab || i == 0xac ||
		    i == 0xad || i == 0xaf || i == 0xb0 || i == 0xb1 ||
		    i == 0xb3 || i == 0xb6 || i == 0xb7 || i == 0xba ||
		    i == 0xbb || i == 0xbc || i == 0xbd || i == 0xbe ||
		    i == 0xbf || i == 0xc0 || i == 0xc1 || i == 0xc3 ||
		    i == 0xc7 || i == 0x10 || i == 0x11 || i == 0x28 ||
		    i == 0x29 || i == 0x2b || i == 0x6e || i == 0x6f ||
		    i == 0x7e || i == 0x7f || i == 0xd6 || i == 0xe7 ||
		    i == 0xf0)
			list[count++] = (struct opcode){1, (u8)i};
	list[count++] = (struct opcode){2, 0x2a};
	list[count++] = (struct opcode){2, 0xf0};
	list[count++] = (struct opcode){2, 0xf1};
	return count;
}

static u32 put_prefixes(u8 *bytes)
{
	u32 at = 0;

	if (below(4) == 0)
		bytes[at++] = 0x66;
	if (below(6) == 0)
		bytes[at++] = 0x67;
	if (below(6) == 0)
		bytes[at++] = 0xf0;
	if (below(3) == 0)
		bytes[at++] = below(2) ? 0xf2 : 0xf3;
	if (below(2))
		bytes[at++] = (u8)(0x40 | below(16));
	return at;
}

/* Random bytes behind a given opcode; most of them decode. */
static bool choose(struct opcode opcode, struct instruction *in, u32 *modrm_at)
{
	u8 bytes[INSTRUCTION_BYTES_MAX];
	u32 at = put_prefixes(bytes);

	if (opcode.map)
		bytes[at++] = 0x0f;
	if (opcode.map == 2)
		bytes[at++] = 0x38;
	bytes[at++] = opcode.byte;
	*modrm_at = at;
	while (at < sizeof(bytes))
		bytes[at++] = (u8)random64();
	/* Small counts and displacements, too. */
	if (below(2))
		bytes[*modrm_at + 1 + below(5)] = (u8)below(3);
	return decode(in, bytes, sizeof(bytes), CODE_64) == DECODE_OK;
}

/* Puts the displacement where a memory operand without registers needs it. */
static bool set_displacement(struct instruction *in, u32 modrm_at, u64 target)
{
	u8 bytes[INSTRUCTION_BYTES_MAX];
	u32 at = modrm_at;
	u32 length = 4;
	u64 displacement =
	    in->base == GPR_RIP ? target - CODE_AT - in->length : target;

	memcpy(bytes, in->bytes, sizeof(bytes));
	if (in->operation == OP_MOV && bytes[modrm_at - 1] >= 0xa0 &&
	    bytes[modrm_at - 1] <= 0xa3)
		length = in->address_bytes;
	else
		at += (bytes[modrm_at] & 7) == 4 ? 2 : 1;
	memcpy(bytes + at, &displacement, length);
	return decode(in, bytes, sizeof(bytes), CODE_64) == DECODE_OK;
}

static void aim_register(u8 reg, u64 value, u32 address_bytes)
{
	if (address_bytes == 4)
		value = (value & 0xffffffff) | random64() << 32;
	native->in[reg] = value;
}

/* Chooses registers so that the memory operand lies near `target`. */
static bool aim(struct instruction *in, u32 modrm_at, u64 target)
{
	u64 index = 0;

	if (in->base == GPR_NONE && in->index == GPR_NONE)
		return set_displacement(in, modrm_at, target);
	if (in->base == GPR_RIP)
		return set_displacement(in, modrm_at, target);
	if (in->base == GPR_NONE) { /* near, because low bits are lost */
		aim_register(in->index,
			     (target - in->displacement) >> in->scale_shift,
			     in->address_bytes);
		return true;
	}
	if (in->base == in->index)
		return false; /* would need a division */
	if (in->index != GPR_NONE)
		index = native->in[in->index] << in->scale_shift;
	aim_register(in->base, target - index - in->displacement,
		     in->address_bytes);
	return true;
}

static bool has_memory(const struct instruction *in)
{
	return in->destination.kind == OPERAND_MEMORY ||
	       in->source.kind == OPERAND_MEMORY;
}

static bool is_string(const struct instruction *in)
{
	return in->operation >= OP_MOVS && in->operation <= OP_OUTS;
}

static bool uses_stack(const struct instruction *in)
{
	return in->operation == OP_PUSH || in->operation == OP_POP;
}

static void aim_string(const struct instruction *in)
{
	aim_register(GPR_RSI, MIDDLE - 1000 + below(2000), in->address_bytes);
	aim_register(GPR_RDI, MIDDLE - 1000 + below(2000), in->address_bytes);
	if (in->repeat != REPEAT_NONE)
		aim_register(GPR_RCX, below(40), in->address_bytes);
	/* With a 32-bit count of 0 CPUs differ about the upper halves. */
	if (in->repeat != REPEAT_NONE && in->address_bytes == 4 &&
	    (u32)native->in[GPR_RCX] == 0)
		native->in[GPR_RCX] = 1;
}

/* False: this one cannot be tried; take another. */
static bool set_registers(struct instruction *in, u32 modrm_at)
{
	u64 target = MIDDLE - 40 + below(80);

	for (u32 reg = 0; reg < GPR_COUNT; reg++)
		native->in[reg] = interesting64();
	native->in[GPR_RSP] = MIDDLE + below(64) * 8;
	native->rflags_in =
	    0x202 | (random64() & ARITHMETIC) | (below(2) ? RFLAGS_DF : 0);
	if (in->operation >= OP_BT && in->operation <= OP_BTC &&
	    in->source.kind == OPERAND_GPR && has_memory(in))
		native->in[in->source.reg] =
		    (u64)(i64)((i32)below(16000) - 8000);
	if (in->operation == OP_CMPXCHG_PAIR || (in->is_aligned && below(8)))
		target &= ~15ull;
	if (is_string(in)) {
		aim_string(in);
		return true;
	}
	if (in->operation == OP_XLAT) {
		aim_register(GPR_RBX, MIDDLE, in->address_bytes);
		return true;
	}
	if (!has_memory(in))
		return !uses_stack(in);
	if (!aim(in, modrm_at, target))
		return false;
	/* The bit number may be the base, and a stack has to be one. */
	if (in->source.kind == OPERAND_GPR && in->source.reg == in->base &&
	    in->operation >= OP_BT && in->operation <= OP_BTC)
		return false;
	return !uses_stack(in) || in->base != GPR_RSP ||
	       (in->index == GPR_NONE &&
		native->in[GPR_RSP] - MIDDLE + 4000 < 8000);
}

/* --- What the manual leaves undefined ------------------------------------- */

static u64 count_of(const struct instruction *in, const struct operand *operand)
{
	u64 count = operand->kind == OPERAND_IMMEDIATE ? in->immediate
						       : native->in[GPR_RCX];

	return count & (in->destination.bytes == 8 ? 63 : 31);
}

static u64 undefined_by_shift(const struct instruction *in, u64 count)
{
	u64 bits = in->destination.bytes * 8u;
	u64 undefined = 0;

	if (count == 0)
		return 0;
	if (count != 1)
		undefined |= RFLAGS_OF;
	if (in->operation >= OP_SHL || in->operation == OP_SHLD)
		undefined |= RFLAGS_AF;
	if ((in->operation == OP_SHL || in->operation == OP_SHR) &&
	    count >= bits)
		undefined |= RFLAGS_CF;
	return undefined;
}

static u64 undefined_flags(const struct instruction *in)
{
	switch (in->operation) {
	case OP_AND:
	case OP_OR:
	case OP_XOR:
	case OP_TEST:
		return RFLAGS_AF;
	case OP_MUL:
	case OP_IMUL:
	case OP_IMUL_SHORT:
		return RFLAGS_SF | RFLAGS_ZF | RFLAGS_AF | RFLAGS_PF;
	case OP_DIV:
	case OP_IDIV:
		return ARITHMETIC;
	case OP_ROL:
	case OP_ROR:
	case OP_RCL:
	case OP_RCR:
	case OP_SHL:
	case OP_SHR:
	case OP_SAR:
		return undefined_by_shift(in, count_of(in, &in->source));
	case OP_SHLD:
	case OP_SHRD:
		return undefined_by_shift(in, count_of(in, &in->third));
	case OP_BT:
	case OP_BTS:
	case OP_BTR:
	case OP_BTC:
		return RFLAGS_OF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF;
	case OP_BSF:
	case OP_BSR:
		return ARITHMETIC & ~RFLAGS_ZF;
	default:
		return 0;
	}
}

/* Not only flags: there is no one right result. */
static bool is_undefined(const struct instruction *in)
{
	if (in->operation == OP_SHLD || in->operation == OP_SHRD)
		return count_of(in, &in->third) > in->destination.bytes * 8u;
	/* Without memory, CPUs differ about upper halves of what is equal. */
	return in->operation == OP_CMPXCHG && !has_memory(in);
}

/* --- Comparing ------------------------------------------------------------ */

static void show_difference(const struct instruction *in, const char *what,
			    u64 emulated, u64 expected)
{
	char bytes[64];

	decode_print_bytes(in, bytes, sizeof(bytes));
	fprintf(stderr, "%s: %s %#lx, natively %#lx\n", bytes, what, emulated,
		expected);
	for (u32 reg = 0; reg < GPR_COUNT; reg++)
		fprintf(stderr, "  r%u in %#lx natively out %#lx\n", reg,
			native->in[reg], native->out[reg]);
	fprintf(stderr, "  rflags in %#lx out %#lx\n", native->rflags_in,
		native->rflags_out);
}

static bool same(const struct instruction *in, const char *what, u64 emulated,
		 u64 expected)
{
	if (emulated == expected)
		return true;
	show_difference(in, what, emulated, expected);
	return false;
}

static bool same_state(const struct emulation *e, const struct instruction *in)
{
	u64 compared = ~undefined_flags(in);

	for (u32 reg = 0; reg < GPR_COUNT; reg++)
		if (!same(in, "register", e->cpu.gpr[reg], native->out[reg]))
			return false;
	return same(in, "rflags", e->cpu.rflags & compared,
		    native->rflags_out & compared) &&
	       same(in, "rip", e->cpu.rip, CODE_AT + in->length) &&
	       same(in, "memory", 0,
		    (u64)(memcmp(emulated_buffer, native_buffer,
				 BUFFER_BYTES) != 0)) &&
	       same(in, "vectors", 0,
		    (u64)(memcmp(emulated_vectors, native->vectors_out,
				 sizeof(emulated_vectors)) != 0));
}

static enum emulate_result step_to_end(struct emulation *e)
{
	enum emulate_result result;

	do
		result = emulate_step(e, 1 + below(10));
	while (result == EMULATE_CONTINUE);
	return result;
}

static bool is_misaligned(const struct instruction *in, int signal_number)
{
	return signal_number == SIGSEGV && in->is_aligned;
}

static bool try_one(const struct instruction *in)
{
	static struct known_instruction known[KNOWN_INSTRUCTIONS];
	struct emulation e = {.bus = &bus, .known = known};
	int signal_number;
	enum emulate_result result;

	fill_cpu(&e.cpu);
	for (u32 i = 0; i < BUFFER_BYTES / 8; i += 1 + below(8))
		((u64 *)native_buffer)[i] = interesting64();
	memcpy(emulated_buffer, native_buffer, BUFFER_BYTES);
	for (u32 i = 0; i < VECTORS; i++)
		for (u32 half = 0; half < 2; half++)
			native->vectors_in[i][half] = random64();
	memcpy(emulated_vectors, native->vectors_in, sizeof(emulated_vectors));
	signal_number = run_natively(in);
	result = step_to_end(&e);
	if (signal_number == SIGFPE || is_misaligned(in, signal_number))
		return same(in, "result", result, EMULATE_FAULT) &&
		       same(in, "vector", e.fault.vector,
			    signal_number == SIGFPE ? VECTOR_DE : VECTOR_GP) &&
		       same(in, "rip", e.cpu.rip, CODE_AT) &&
		       same(in, "registers", 0,
			    (u64)(memcmp(e.cpu.gpr, native->in,
					 sizeof(e.cpu.gpr)) != 0));
	return same(in, "signal", 0, (u64)signal_number) &&
	       same(in, "result", result, EMULATE_DONE) && same_state(&e, in);
}

static u64 setting(const char *name, u64 otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void instructions_do_what_the_cpu_does(void **state)
{
	struct opcode opcodes[512];
	u32 count = list_opcodes(opcodes);
	u64 cases = setting("UMBRA_TEST_CASES", DEFAULT_CASES);

	(void)state;
	catch_signals();
	random_state = setting("UMBRA_TEST_SEED", 0x756d627261ull);
	for (u32 i = 0; i < count; i++) {
		u64 tried = 0;

		for (u64 attempt = 0; tried < cases && attempt < 40 * cases;
		     attempt++) {
			struct instruction in;
			u32 modrm_at;

			if (!choose(opcodes[i], &in, &modrm_at) ||
			    !set_registers(&in, modrm_at) || is_undefined(&in))
				continue;
			tried++;
			assert_true(try_one(&in));
		}
		/* An opcode that could hardly be tried has not been tested. */
		if (tried < cases)
			fail_msg("opcode map %u byte %02x: %lu cases",
				 opcodes[i].map, opcodes[i].byte, tried);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(instructions_do_what_the_cpu_does),
	};

	return cmocka_run_group_tests_name("emulate_native", tests, set_up,
					   NULL);
}
