/* SPDX-License-Identifier: MIT */
/*
 * Any instruction in any state on a bus that does whatever it likes: no
 * undefined behaviour, every access within its page, and nothing has happened
 * to the registers unless the instruction, or an iteration of it, is done. What
 * was decoded before is what would be decoded now.
 */
#include <stdlib.h>
#include <string.h>

#include "emulate/emulate.h"

#define MUST(condition)           \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

/* Decisions of the bus, taken from the input until it is used up. */
struct whims {
	const u8 *at;
	size_t left;
	const u8 *code;
	u32 fetched; /* bytes of it */
	bool is_fetch;
	const struct emulate_segment *segments;
};

static u8 next(struct whims *whims)
{
	if (whims->left == 0)
		return 0xff; /* everything works from here on */
	whims->left--;
	return *whims->at++;
}

static void check_range(gpa_t address, u32 bytes)
{
	MUST(bytes >= 1 && bytes <= 8);
	MUST(gpa_offset(address) + bytes <= PAGE_4K);
}

static enum err whim(struct whims *whims)
{
	static const enum err errs[] = {ERR_RANGE, ERR_BUSY, ERR_NOT_FOUND};
	u8 choice = next(whims);

	return choice < ARRAY_COUNT(errs) ? errs[choice] : OK;
}

static enum err translate(void *context, gva_t address,
			  enum emulate_access access, gpa_t *result,
			  u32 *error_code)
{
	struct whims *whims = context;
	u64 raw = gva_raw(address);
	enum err err = access == EMULATE_FETCH ? OK : whim(whims);

	whims->is_fetch = access == EMULATE_FETCH;
	*error_code = (u32)access;
	if (err == OK)
		*result = gpa(raw);
	return err;
}

static enum err bus_read(void *context, gpa_t address, void *to, u32 bytes)
{
	struct whims *whims = context;
	u8 *out = to;

	check_range(address, bytes);
	if (whims->is_fetch) {
		for (u32 i = 0; i < bytes; i++)
			out[i] = whims->code[whims->fetched++];
		return OK;
	}
	for (u32 i = 0; i < bytes; i++)
		out[i] = next(whims);
	return whim(whims);
}

static enum err bus_write(void *context, gpa_t address, const void *from,
			  u32 bytes)
{
	u8 copy[8];

	check_range(address, bytes);
	MUST(bytes <= sizeof(copy));
	memcpy(copy, from, bytes);
	return whim(context);
}

static enum err bus_swap(void *context, gpa_t address, u64 expected, u64 value,
			 u32 bytes)
{
	(void)expected;
	(void)value;
	check_range(address, bytes);
	MUST(is_aligned(gpa_raw(address), bytes));
	return whim(context);
}

static enum err port_in(void *context, u16 port, u32 *value, u32 bytes)
{
	(void)port;
	MUST(bytes == 1 || bytes == 2 || bytes == 4);
	*value = next(context);
	return whim(context);
}

static enum err port_out(void *context, u16 port, u32 value, u32 bytes)
{
	(void)port;
	(void)value;
	MUST(bytes == 1 || bytes == 2 || bytes == 4);
	return whim(context);
}

static void read_vector(void *context, u32 number, void *to)
{
	MUST(number < 16);
	memset(to, next(context), 16);
}

static void write_vector(void *context, u32 number, const void *from)
{
	u8 copy[16];

	(void)context;
	MUST(number < 16);
	memcpy(copy, from, sizeof(copy));
}

static void read_segment(void *context, u32 number,
			 struct emulate_segment *segment)
{
	const struct whims *whims = context;

	MUST(number < SEGMENT_COUNT);
	*segment = whims->segments[number];
}

static const struct emulate_bus bus = {
    .translate = translate,
    .read = bus_read,
    .write = bus_write,
    .swap = bus_swap,
    .port_in = port_in,
    .port_out = port_out,
    .read_vector = read_vector,
    .write_vector = write_vector,
    .read_segment = read_segment,
};

struct input {
	u8 code[INSTRUCTION_BYTES_MAX];
	u8 iterations;
	struct emulate_cpu cpu;
};

static bool is_string(const struct instruction *in)
{
	return in->operation >= OP_MOVS && in->operation <= OP_OUTS;
}

/* Segments and control registers are never changed. */
static bool is_same(const struct emulate_cpu *a, const struct emulate_cpu *b)
{
	return memcmp(a->gpr, b->gpr, sizeof(a->gpr)) == 0 &&
	       a->rip == b->rip && a->rflags == b->rflags;
}

static void check_result(const struct emulation *e, enum emulate_result result,
			 const struct emulate_cpu *before)
{
	bool same = is_same(before, &e->cpu);

	switch (result) {
	case EMULATE_DONE:
		MUST(!(e->cpu.rflags & RFLAGS_RF));
		MUST(e->cpu.rip != before->rip);
		return;
	case EMULATE_CONTINUE:
		MUST(is_string(&e->instruction));
		MUST(e->cpu.rip == before->rip);
		return;
	case EMULATE_FAULT:
		MUST(e->fault.vector < 32);
		MUST(same || e->instruction.repeat != REPEAT_NONE);
		return;
	case EMULATE_AGAIN:
	case EMULATE_STOPPED:
		MUST(same || e->instruction.repeat != REPEAT_NONE);
		return;
	case EMULATE_UNSUPPORTED:
		MUST(same);
		return;
	}
	abort();
}

/* Known ones are the fuzzer's: nothing is forgotten from input to input. */
static struct known_instruction known[KNOWN_INSTRUCTIONS];

static bool are_same(const struct instruction *a, const struct instruction *b)
{
	return a->length == b->length && a->operation == b->operation &&
	       a->condition == b->condition && a->repeat == b->repeat &&
	       a->is_locked == b->is_locked && a->is_aligned == b->is_aligned &&
	       memcmp(&a->destination, &b->destination,
		      sizeof(a->destination)) == 0 &&
	       memcmp(&a->source, &b->source, sizeof(a->source)) == 0 &&
	       memcmp(&a->third, &b->third, sizeof(a->third)) == 0 &&
	       a->immediate == b->immediate &&
	       a->address_bytes == b->address_bytes &&
	       a->segment == b->segment && a->base == b->base &&
	       a->index == b->index && a->scale_shift == b->scale_shift &&
	       a->displacement == b->displacement;
}

static void check_instruction(const struct instruction *in,
			      const struct whims *whims,
			      const struct emulate_cpu *cpu)
{
	struct instruction fresh;

	MUST(decode(&fresh, whims->code, whims->fetched,
		    emulate_code_size(cpu)) == DECODE_OK);
	MUST(are_same(&fresh, in));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input input;
	struct whims whims;
	struct emulation e = {.bus = &bus, .context = &whims, .known = known};
	struct emulate_cpu before;
	enum emulate_result result;

	memset(&input, 0, sizeof(input));
	memcpy(&input, data, size < sizeof(input) ? size : sizeof(input));
	whims = (struct whims){
	    .at = data, .code = input.code, .segments = input.cpu.segments};
	if (size > sizeof(input)) {
		whims.at = data + sizeof(input);
		whims.left = size - sizeof(input);
	}
	e.cpu = input.cpu;
	before = e.cpu;
	result = emulate_step(&e, 1U + input.iterations % 8U);
	check_result(&e, result, &before);
	if (result == EMULATE_DONE)
		check_instruction(&e.instruction, &whims, &before);
	return 0;
}
