/* SPDX-License-Identifier: MIT */
/* Segments, paging and bytes of memory operands: see access.h. */
#include "emulate/access.h"
#include "lib/bits.h"
#include "lib/string.h"

#define CR0_PE          BIT(0)
#define CR0_AM          BIT(18)
#define EFER_LMA        BIT(10)

#define LINEAR_BITS     48 /* no LA57 */
#define ADDRESS_MASK_32 BITS(31, 0)

#define VECTOR_UD       6
#define VECTOR_SS       12
#define VECTOR_GP       13
#define VECTOR_PF       14
#define VECTOR_AC       17

enum emulate_result access_fault(struct emulation *e, u8 vector, u32 error_code)
{
	bool has_error_code = vector == VECTOR_SS || vector == VECTOR_GP ||
			      vector == VECTOR_PF || vector == VECTOR_AC;

	e->fault = (struct emulate_fault){
	    .vector = vector,
	    .has_error_code = has_error_code && (e->cpu.cr0 & CR0_PE),
	    .error_code = error_code,
	};
	return EMULATE_FAULT;
}

static bool is_real_mode(const struct emulate_cpu *cpu)
{
	return !(cpu->cr0 & CR0_PE) || (cpu->rflags & RFLAGS_VM);
}

enum code_size emulate_code_size(const struct emulate_cpu *cpu)
{
	u32 rights = cpu->segments[SEGMENT_CS].access_rights;

	if ((cpu->efer & EFER_LMA) && (rights & SEGMENT_LONG))
		return CODE_64;
	return rights & SEGMENT_BIG ? CODE_32 : CODE_16;
}

const struct emulate_segment *emulate_segment(struct emulation *e, u32 number)
{
	struct emulate_segment *segment = &e->cpu.segments[number];

	if (e->cpu.segments_unread & BIT(number)) {
		e->bus->read_segment(e->context, number, segment);
		e->cpu.segments_unread &= (u8)~BIT(number);
	}
	return segment;
}

/* --- Segments ------------------------------------------------------------- */

static bool is_canonical(u64 address)
{
	u64 upper = address >> (LINEAR_BITS - 1);

	return upper == 0 || upper == ~0ULL >> (LINEAR_BITS - 1);
}

static enum emulate_result segment_fault(struct emulation *e,
					 const struct reference *r)
{
	return access_fault(e, r->segment == SEGMENT_SS ? VECTOR_SS : VECTOR_GP,
			    0);
}

/* SDM volume 3, "Type Checking": may this segment be used this way? */
static bool type_allows(const struct emulate_segment *segment,
			enum emulate_access access)
{
	u32 rights = segment->access_rights;
	bool is_code = rights & SEGMENT_CODE;

	if (rights & SEGMENT_UNUSABLE)
		return false;
	if (access == EMULATE_WRITE)
		return !is_code && (rights & SEGMENT_WRITABLE);
	return access == EMULATE_FETCH || !is_code ||
	       (rights & SEGMENT_WRITABLE);
}

/* SDM volume 3, "Limit Checking": offsets first to last, both included. */
static bool limit_allows(const struct emulate_segment *segment, u64 first,
			 u64 last)
{
	u32 rights = segment->access_rights;
	u64 top = rights & SEGMENT_BIG ? 0xffffffff : 0xffff;

	if ((rights & SEGMENT_CODE) || !(rights & SEGMENT_EXPAND_DOWN))
		return last <= segment->limit;
	return first > segment->limit && last <= top;
}

static enum emulate_result linear_64(struct emulation *e,
				     const struct reference *r, u64 *linear)
{
	u64 address = r->offset;

	if (r->segment == SEGMENT_FS || r->segment == SEGMENT_GS)
		address += emulate_segment(e, r->segment)->base;
	if (!is_canonical(address) || !is_canonical(address + r->bytes - 1))
		return segment_fault(e, r);
	*linear = address;
	return EMULATE_DONE;
}

static enum emulate_result linear_32(struct emulation *e,
				     const struct reference *r, u64 *linear)
{
	const struct emulate_segment *segment = emulate_segment(e, r->segment);

	if (!is_real_mode(&e->cpu) && !type_allows(segment, r->access))
		return segment_fault(e, r);
	if (!limit_allows(segment, r->offset, r->offset + r->bytes - 1))
		return segment_fault(e, r);
	*linear = (segment->base + r->offset) & ADDRESS_MASK_32;
	return EMULATE_DONE;
}

static enum emulate_result find_linear(struct emulation *e,
				       const struct reference *r, u64 *linear)
{
	*linear = 0;
	return emulate_code_size(&e->cpu) == CODE_64 ? linear_64(e, r, linear)
						     : linear_32(e, r, linear);
}

static bool is_misaligned(const struct emulation *e, u64 linear, u32 bytes)
{
	return e->cpu.cpl == 3 && (e->cpu.cr0 & CR0_AM) &&
	       (e->cpu.rflags & RFLAGS_AC) && !is_aligned(linear, bytes);
}

/* --- Paging and bytes ----------------------------------------------------- */

static enum emulate_result bus_result(enum err err)
{
	if (err == OK)
		return EMULATE_DONE;
	return err == ERR_BUSY ? EMULATE_AGAIN : EMULATE_STOPPED;
}

static enum emulate_result translate(struct emulation *e, u64 linear,
				     enum emulate_access access, gpa_t *result)
{
	u32 error_code = 0;
	enum err err = e->bus->translate(e->context, gva(linear), access,
					 result, &error_code);

	if (err != ERR_RANGE)
		return bus_result(err);
	access_fault(e, VECTOR_PF, error_code);
	e->fault.address = linear;
	return EMULATE_FAULT;
}

enum emulate_result access_map(struct emulation *e, const struct reference *r,
			       struct span *span)
{
	u64 linear, to_page_end;
	enum emulate_result result = find_linear(e, r, &linear);

	if (result != EMULATE_DONE)
		return result;
	if (e->breakpoints)
		e->met |= breakpoints_of_data(e->breakpoints, linear, r->bytes,
					      r->access == EMULATE_WRITE
						  ? BREAKPOINT_WRITE
						  : BREAKPOINT_READ);
	if (is_misaligned(e, linear, r->bytes))
		return access_fault(e, VECTOR_AC, 0);
	to_page_end = PAGE_4K - (linear & (PAGE_4K - 1));
	span->part_bytes[0] =
	    r->bytes <= to_page_end ? r->bytes : (u32)to_page_end;
	span->part_bytes[1] = r->bytes - span->part_bytes[0];
	result = translate(e, linear, r->access, &span->parts[0]);
	if (result != EMULATE_DONE || span->part_bytes[1] == 0)
		return result;
	linear += to_page_end;
	if (emulate_code_size(&e->cpu) != CODE_64)
		linear &= ADDRESS_MASK_32;
	return translate(e, linear, r->access, &span->parts[1]);
}

/* Where the operand's byte `done` is, and how many one access takes: 0 at its
 * end. */
static u32 next_piece(const struct span *span, u32 done, gpa_t *at)
{
	u32 part = done >= span->part_bytes[0];
	u32 offset = done - (part ? span->part_bytes[0] : 0);
	u32 rest = span->part_bytes[part] - offset;

	*at = gpa_add(span->parts[part], offset);
	return rest < sizeof(u64) ? rest : sizeof(u64);
}

enum emulate_result access_read_bytes(struct emulation *e,
				      const struct span *span, u8 *bytes)
{
	gpa_t at;
	u32 piece;

	for (u32 done = 0; (piece = next_piece(span, done, &at));
	     done += piece) {
		enum err err =
		    e->bus->read(e->context, at, bytes + done, piece);

		if (err != OK)
			return bus_result(err);
	}
	return EMULATE_DONE;
}

enum emulate_result access_write_bytes(struct emulation *e,
				       const struct span *span, const u8 *bytes)
{
	gpa_t at;
	u32 piece;

	for (u32 done = 0; (piece = next_piece(span, done, &at));
	     done += piece) {
		enum err err =
		    e->bus->write(e->context, at, bytes + done, piece);

		if (err != OK)
			return bus_result(err);
	}
	return EMULATE_DONE;
}

enum emulate_result access_read(struct emulation *e, const struct span *span,
				u64 *value)
{
	*value = 0;
	return access_read_bytes(e, span, (u8 *)value);
}

enum emulate_result access_write(struct emulation *e, const struct span *span,
				 u64 value)
{
	return access_write_bytes(e, span, (const u8 *)&value);
}

enum emulate_result access_swap(struct emulation *e, const struct span *span,
				u64 expected, u64 value)
{
	if (span->part_bytes[1] ||
	    !is_aligned(gpa_raw(span->parts[0]), span->part_bytes[0]))
		return access_write(e, span, value);
	return bus_result(e->bus->swap(e->context, span->parts[0], expected,
				       value, span->part_bytes[0]));
}

/* --- The instruction itself ----------------------------------------------- */

/* How many bytes at RIP the code segment has, at most 15; 0: #GP. */
static u32 code_bytes(struct emulation *e)
{
	const struct emulate_cpu *cpu = &e->cpu;
	const struct emulate_segment *cs;
	u32 bytes = INSTRUCTION_BYTES_MAX;

	if (emulate_code_size(cpu) == CODE_64) {
		while (bytes && (!is_canonical(cpu->rip) ||
				 !is_canonical(cpu->rip + bytes - 1)))
			bytes--;
		return bytes;
	}
	cs = emulate_segment(e, SEGMENT_CS);
	if (cpu->rip > cs->limit)
		return 0;
	if (cs->limit - cpu->rip < bytes - 1)
		return (u32)(cs->limit - cpu->rip) + 1;
	return bytes;
}

/* As many of `wanted` bytes as one read gives: no more than 8, one page. */
static enum emulate_result fetch_part(struct emulation *e, u8 *bytes, u32 *at,
				      u32 wanted)
{
	const struct reference first = {
	    .segment = SEGMENT_CS,
	    .access = EMULATE_FETCH,
	    .bytes = 1,
	    .offset = e->cpu.rip + *at,
	};
	u64 linear, to_page_end;
	gpa_t address;
	u32 count = wanted - *at;
	enum emulate_result result = find_linear(e, &first, &linear);

	if (result != EMULATE_DONE)
		return result;
	to_page_end = PAGE_4K - (linear & (PAGE_4K - 1));
	if (count > to_page_end)
		count = (u32)to_page_end;
	if (count > sizeof(u64))
		count = sizeof(u64);
	result = translate(e, linear, EMULATE_FETCH, &address);
	if (result != EMULATE_DONE)
		return result;
	result =
	    bus_result(e->bus->read(e->context, address, bytes + *at, count));
	if (result == EMULATE_DONE)
		*at += count;
	return result;
}

static bool are_equal(const u8 *a, const u8 *b, u32 count)
{
	u64 all[2], ends[2];

	memcpy(&all[0], a, sizeof(u64));
	memcpy(&all[1], b, sizeof(u64));
	if (count < sizeof(u64))
		return !((all[0] ^ all[1]) << 8 * (sizeof(u64) - count));
	memcpy(&ends[0], a + count - sizeof(u64), sizeof(u64));
	memcpy(&ends[1], b + count - sizeof(u64), sizeof(u64));
	return all[0] == all[1] && ends[0] == ends[1];
}

/* Where what is at RIP is known, if it is. */
static struct known_instruction *place_of(const struct emulation *e)
{
	return &e->known[(e->cpu.rip ^ e->cpu.rip / KNOWN_INSTRUCTIONS) %
			 KNOWN_INSTRUCTIONS];
}

/* Do the `count` bytes begin with what is known? Then nothing is to decode. */
static bool recall(struct emulation *e, const u8 *bytes, u32 count)
{
	const struct known_instruction *known = place_of(e);
	u32 length = known->instruction.length;

	if (!length || length > count ||
	    known->code_size != emulate_code_size(&e->cpu) ||
	    !are_equal(known->instruction.bytes, bytes, length))
		return false;
	e->instruction = known->instruction;
	return true;
}

static enum emulate_result remember(struct emulation *e)
{
	if (e->known)
		*place_of(e) = (struct known_instruction){
		    e->instruction, emulate_code_size(&e->cpu)};
	return EMULATE_DONE;
}

/*
 * What the instruction does not reach is not touched: it may be in a page
 * that is not there, or in a device.
 */
enum emulate_result access_fetch(struct emulation *e)
{
	u8 bytes[INSTRUCTION_BYTES_MAX] = {0};
	u32 wanted = code_bytes(e);
	u32 count = 0;
	enum decode_result decoded;

	do {
		enum emulate_result result =
		    count < wanted ? fetch_part(e, bytes, &count, wanted)
				   : access_fault(e, VECTOR_GP, 0);

		if (result != EMULATE_DONE)
			return result;
		if (e->known && recall(e, bytes, count))
			return EMULATE_DONE;
		decoded = decode(&e->instruction, bytes, count,
				 emulate_code_size(&e->cpu));
	} while (decoded == DECODE_TRUNCATED);

	switch (decoded) {
	case DECODE_OK:
		return remember(e);
	case DECODE_TOO_LONG:
		return access_fault(e, VECTOR_GP, 0);
	case DECODE_INVALID:
		return access_fault(e, VECTOR_UD, 0);
	case DECODE_TRUNCATED:
	case DECODE_UNSUPPORTED:
		break;
	}
	return EMULATE_UNSUPPORTED;
}
