/* SPDX-License-Identifier: MIT */
/* Decoding of instruction information; memory operands. */
#include "nested/operand.h"
#include "lib/string.h"
#include "lib/x86.h"

/* SDM vol. 3, "Information for VM Exits Due to Instruction Execution". */
#define INFO_SCALE        BITS(1, 0)
#define INFO_ADDRESS_SIZE BITS(9, 7)
#define INFO_SEGMENT      BITS(17, 15)
#define INFO_INDEX        BITS(21, 18)
#define INFO_NO_INDEX     BIT(22)
#define INFO_BASE         BITS(26, 23)
#define INFO_NO_BASE      BIT(27)

#define TYPE_WRITABLE     BIT(1) /* of code: readable */
#define TYPE_EXPAND_DOWN  BIT(2)
#define TYPE_CODE         BIT(3)

/* What is wanted of the operand. */
struct want {
	enum guest_access access;
	u32 bytes;
};

/* Where the bytes are, page by page. */
struct span {
	gpa_t parts[2];
	u32 first_bytes;
};

bool nested_is_64_bit(const struct nested_cpu *cpu)
{
	return (cpu->paging.efer & EFER_LMA) &&
	       (cpu->segments[NESTED_CS].rights & RIGHTS_LONG);
}

bool nested_raise(struct nested_result *result, u32 vector, u32 error_code)
{
	*result = (struct nested_result){
	    .outcome = NESTED_FAULT,
	    .fault = {.vector = vector, .error_code = error_code},
	};
	return false;
}

static u64 offset_of(const struct nested_cpu *cpu,
		     const struct nested_instruction *i)
{
	u32 info = i->information;
	u64 offset = i->displacement;

	if (!(info & INFO_NO_BASE))
		offset += cpu->gpr[bits_get(info, INFO_BASE)];
	if (!(info & INFO_NO_INDEX))
		offset += cpu->gpr[bits_get(info, INFO_INDEX)]
			  << bits_get(info, INFO_SCALE);
	switch (bits_get(info, INFO_ADDRESS_SIZE)) {
	case 0:
		return offset & BITS(15, 0);
	case 1:
		return offset & BITS(31, 0);
	default:
		return offset;
	}
}

static bool is_canonical(const struct nested_cpu *cpu, u64 address)
{
	u64 upper = address >> (cpu->linear_bits - 1);

	return upper == 0 || upper == ~0UL >> (cpu->linear_bits - 1);
}

/* SDM vol. 3, "Limit Checking". */
static bool is_in_limit(const struct nested_segment_state *s, u64 offset,
			u32 bytes)
{
	u64 last = offset + bytes - 1;
	u64 top = s->rights & RIGHTS_32 ? BITS(31, 0) : BITS(15, 0);

	if (!(s->rights & TYPE_CODE) && (s->rights & TYPE_EXPAND_DOWN))
		return offset > s->limit && last <= top;
	return last <= s->limit;
}

/* SDM vol. 3, "Type Checking". */
static bool type_allows(u32 rights, enum guest_access access)
{
	if (rights & RIGHTS_UNUSABLE)
		return false;
	if (access == GUEST_WRITE)
		return !(rights & TYPE_CODE) && (rights & TYPE_WRITABLE);
	return !(rights & TYPE_CODE) || (rights & TYPE_WRITABLE);
}

/* From the segmented address to the linear one. */
static bool find_linear(const struct nested_cpu *cpu,
			const struct nested_instruction *i, struct want want,
			u64 *linear, struct nested_result *result)
{
	u32 segment = (u32)bits_get(i->information, INFO_SEGMENT);
	u32 vector = segment == NESTED_SS ? EXCEPTION_SS : EXCEPTION_GP;
	u64 offset = offset_of(cpu, i);
	const struct nested_segment_state *s;

	if (segment >= NESTED_SEGMENTS)
		return nested_raise(result, EXCEPTION_UD, 0);
	s = &cpu->segments[segment];
	if (nested_is_64_bit(cpu)) {
		*linear = offset;
		if (segment == NESTED_FS || segment == NESTED_GS)
			*linear += s->base;
		if (!is_canonical(cpu, *linear) ||
		    !is_canonical(cpu, *linear + want.bytes - 1))
			return nested_raise(result, vector, 0);
		return true;
	}
	if (!type_allows(s->rights, want.access) ||
	    !is_in_limit(s, offset, want.bytes))
		return nested_raise(result, vector, 0);
	*linear = (s->base + offset) & BITS(31, 0);
	return true;
}

static bool walk(const struct nested_cpu *cpu, u64 linear,
		 enum guest_access access, gpa_t *address,
		 struct nested_result *result)
{
	struct guest_page page = {.error_code = 0};
	enum err err =
	    guest_walk(cpu->mem, &cpu->paging, gva(linear), access, &page);

	if (err == OK) {
		*address = page.address;
		return true;
	}
	/* ERR_STATE: translation below knows what is to be done. */
	if (err == ERR_BUSY || err == ERR_STATE) {
		*result = (struct nested_result){.outcome = NESTED_AGAIN,
						 .address = gva(linear)};
		return false;
	}
	/* A table where nobody answers is read as ones: reserved bits. */
	if (err != ERR_RANGE)
		page.error_code = PF_PRESENT | PF_RESERVED |
				  (access == GUEST_WRITE ? PF_WRITE : 0);
	nested_raise(result, EXCEPTION_PF, page.error_code);
	result->fault.address = linear;
	return false;
}

static bool map(const struct nested_cpu *cpu,
		const struct nested_instruction *i, struct want want,
		struct span *span, struct nested_result *result)
{
	u64 linear = 0;
	u64 room;

	if (!find_linear(cpu, i, want, &linear, result) ||
	    !walk(cpu, linear, want.access, &span->parts[0], result))
		return false;
	room = PAGE_4K - gva_offset(gva(linear));
	span->first_bytes = want.bytes <= room ? want.bytes : (u32)room;
	return want.bytes <= room ||
	       walk(cpu, linear + room, want.access, &span->parts[1], result);
}

static ALWAYS_INLINE void load(const struct nested_cpu *cpu, gpa_t address,
			       void *to, u32 bytes)
{
	if (guest_mem_read(cpu->mem, address, to, bytes) != OK)
		cpu->devices->read(cpu->context, address, to, bytes);
}

bool nested_operand_read(const struct nested_cpu *cpu,
			 const struct nested_instruction *i, void *to,
			 u32 bytes, struct nested_result *result)
{
	struct span span;
	u32 first;

	if (!map(cpu, i, (struct want){GUEST_READ, bytes}, &span, result))
		return false;
	first = span.first_bytes;
	load(cpu, span.parts[0], to, first);
	if (first < bytes)
		load(cpu, span.parts[1], (u8 *)to + first, bytes - first);
	return true;
}

static ALWAYS_INLINE void store(const struct nested_cpu *cpu, gpa_t address,
				const void *from, u32 bytes)
{
	enum err err = guest_mem_write(cpu->mem, address, from, bytes);

	if (err != OK && err != ERR_STATE)
		cpu->devices->write(cpu->context, address, from, bytes);
}

bool nested_operand_write(const struct nested_cpu *cpu,
			  const struct nested_instruction *i, const void *from,
			  u32 bytes, struct nested_result *result)
{
	struct span span;
	u32 first;

	if (!map(cpu, i, (struct want){GUEST_WRITE, bytes}, &span, result))
		return false;
	first = span.first_bytes;
	store(cpu, span.parts[0], from, first);
	if (first < bytes)
		store(cpu, span.parts[1], (const u8 *)from + first,
		      bytes - first);
	return true;
}
