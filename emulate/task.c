/* SPDX-License-Identifier: MIT */
/* See task.h. */
#include "emulate/task.h"
#include "emulate/access.h"
#include "lib/bits.h"
#include "lib/string.h"

#define CR0_TS          BIT(3)
#define CR0_PG          BIT(31)
#define DR7_LOCAL       (BIT(0) | BIT(2) | BIT(4) | BIT(6) | BIT(8))

#define RFLAGS_ALWAYS   BIT(1)
#define RFLAGS_NT       BIT(14)
/* All that 32-bit code has. */
#define RFLAGS_OF_TASK  (BITS(21, 16) | BITS(14, 6) | BIT(4) | BIT(2) | BIT(0))

#define VECTOR_TS       10
#define VECTOR_NP       11
#define VECTOR_SS       12
#define VECTOR_GP       13
#define VECTOR_PF       14

#define SELECTOR_TI     BIT(2)
#define SELECTOR_RPL    BITS(1, 0)
#define SELECTOR_INDEX  BITS(15, 2) /* with TI */
#define ERROR_EXTERNAL  BIT(0)

/* Access rights, as in the upper half of a descriptor from bit 8 on. */
#define RIGHTS_S        BIT(4)
#define RIGHTS_DPL      BITS(6, 5)
#define RIGHTS_P        BIT(7)
#define RIGHTS_G        BIT(15)
#define RIGHTS_KEPT     0xf0ffu
#define TYPE_BUSY       BIT(1)
#define TYPE_32         BIT(3)
#define TYPE_LDT        2
#define TYPE_ACCESSED   BIT(0)
#define TYPE_CONFORMING BIT(2) /* code */
#define RIGHTS_V86      0xf3

#define TSS_BYTES_MAX   104
#define LIMIT_64K       0xffff

/* The two formats, as offsets; 0: it is not there. */
struct format {
	u8 bytes; /* that must be there */
	u8 width; /* of registers */
	u8 cr3, ip, flags, gpr, segments, segment_step, segment_count, ldt, t;
};

static const struct format format_16 = {44, 2, 0, 14, 16, 18, 34, 2, 4, 42, 0};
static const struct format format_32 = {104, 4, 28, 32, 36, 40,
					72,  4, 6,  96, 100};

/* Linear bytes in one or two pages. */
struct place {
	gpa_t parts[2];
	u32 part_bytes[2];
};

struct descriptor {
	struct emulate_segment segment;
	u64 linear;
};

/* --- Exceptions ----------------------------------------------------------- */

static enum emulate_result fault(struct task_switch *t, u8 vector, u32 code)
{
	if (t->event.is_external)
		code |= (u32)ERROR_EXTERNAL;
	t->fault = (struct emulate_fault){
	    .vector = vector, .has_error_code = true, .error_code = code};
	return EMULATE_FAULT;
}

static enum emulate_result selector_fault(struct task_switch *t, u8 vector,
					  u16 selector)
{
	return fault(t, vector,
		     (u32)(selector & (SELECTOR_INDEX | SELECTOR_TI)));
}

/* --- Memory --------------------------------------------------------------- */

static enum emulate_result result_of(enum err err)
{
	return err == OK ? EMULATE_DONE : EMULATE_STOPPED;
}

/* Linear addresses have 32 bits here, and wrap. */
static enum emulate_result map(struct task_switch *t, u64 linear, u32 bytes,
			       enum emulate_access access, struct place *place)
{
	u32 first = (u32)(PAGE_4K - linear % PAGE_4K);

	place->part_bytes[0] = first < bytes ? first : bytes;
	place->part_bytes[1] = bytes - place->part_bytes[0];
	for (u32 i = 0; i < 2 && place->part_bytes[i]; i++) {
		u64 address = low32(linear + (i ? place->part_bytes[0] : 0));
		u32 code = 0;
		enum err err = t->bus->translate(
		    t->context, gva(address), access, &place->parts[i], &code);

		if (err == ERR_RANGE) {
			t->fault = (struct emulate_fault){VECTOR_PF, true, code,
							  address};
			return EMULATE_FAULT;
		}
		if (err != OK)
			return result_of(err);
	}
	return EMULATE_DONE;
}

/* The bus takes 8 bytes at a time. */
static enum emulate_result copy(struct task_switch *t,
				const struct place *place, u8 *bytes,
				enum emulate_access access)
{
	for (u32 i = 0; i < 2; i++)
		for (u32 at = 0; at < place->part_bytes[i];) {
			u32 left = place->part_bytes[i] - at;
			u32 step = left < 4 ? left : 4;
			gpa_t address = gpa_add(place->parts[i], at);
			enum err err =
			    access == EMULATE_READ
				? t->bus->read(t->context, address, bytes, step)
				: t->bus->write(t->context, address, bytes,
						step);

			if (err != OK)
				return result_of(err);
			bytes += step;
			at += step;
		}
	return EMULATE_DONE;
}

static enum emulate_result read(struct task_switch *t, u64 linear, void *to,
				u32 bytes)
{
	struct place place = {.part_bytes = {0}};
	enum emulate_result result =
	    map(t, linear, bytes, EMULATE_READ, &place);

	return result == EMULATE_DONE ? copy(t, &place, to, EMULATE_READ)
				      : result;
}

static enum emulate_result write(struct task_switch *t, u64 linear, void *from,
				 u32 bytes)
{
	struct place place = {.part_bytes = {0}};
	enum emulate_result result =
	    map(t, linear, bytes, EMULATE_WRITE, &place);

	return result == EMULATE_DONE ? copy(t, &place, from, EMULATE_WRITE)
				      : result;
}

/* May these bytes be written? Also sets the dirty flags, as the CPU does. */
static enum emulate_result check_writable(struct task_switch *t, u64 linear,
					  u32 bytes)
{
	struct place place = {.part_bytes = {0}};

	return map(t, linear, bytes, EMULATE_WRITE, &place);
}

/* --- Descriptors ---------------------------------------------------------- */

static void unpack(const u32 raw[2], u16 selector, struct emulate_segment *s)
{
	u32 limit = (raw[0] & 0xffff) | (raw[1] & 0xf0000);

	s->access_rights = raw[1] >> 8 & RIGHTS_KEPT;
	if (s->access_rights & RIGHTS_G)
		limit = limit << 12 | 0xfff;
	s->limit = limit;
	s->base = raw[0] >> 16 | (raw[1] & 0xff) << 16 | (raw[1] & 0xff000000);
	s->selector = selector;
}

/* `vector`: for a selector that leads nowhere. */
static enum emulate_result find(struct task_switch *t, u16 selector, u8 vector,
				struct descriptor *d)
{
	const struct task_cpu *cpu = &t->cpu;
	bool local = selector & SELECTOR_TI;
	u64 base = local ? cpu->ldtr.base : cpu->gdt_base;
	u32 limit = local ? cpu->ldtr.limit : cpu->gdt_limit;
	u32 offset = selector & ~7U;
	enum emulate_result result;
	u32 raw[2] = {0};

	if ((local && (cpu->ldtr.access_rights & SEGMENT_UNUSABLE)) ||
	    offset + 7 > limit)
		return selector_fault(t, vector, selector);
	d->linear = low32(base + offset);
	result = read(t, d->linear, raw, sizeof(raw));
	if (result == EMULATE_DONE)
		unpack(raw, selector, &d->segment);
	return result;
}

static u32 type_of(const struct descriptor *d)
{
	return d->segment.access_rights & (u32)(SEGMENT_TYPE | RIGHTS_S);
}

static u32 dpl_of(const struct emulate_segment *segment)
{
	return (u32)bits_get(segment->access_rights, RIGHTS_DPL);
}

static bool is_present(const struct descriptor *d)
{
	return d->segment.access_rights & RIGHTS_P;
}

/* The byte with the type, and what it becomes. */
static enum emulate_result set_type(struct task_switch *t,
				    const struct descriptor *d, u32 rights)
{
	u8 byte = (u8)rights;

	return write(t, d->linear + 5, &byte, 1);
}

/* --- The two tasks -------------------------------------------------------- */

static const struct format *format_of(u32 rights)
{
	return rights & TYPE_32 ? &format_32 : &format_16;
}

static enum emulate_result find_new(struct task_switch *t, struct descriptor *d)
{
	bool returns = t->source == TASK_IRET;
	u8 vector = returns ? VECTOR_TS : VECTOR_GP;
	enum emulate_result result;
	u32 type;

	if (!(t->selector & ~SELECTOR_RPL) || (t->selector & SELECTOR_TI))
		return selector_fault(t, vector, t->selector);
	result = find(t, t->selector, vector, d);
	if (result != EMULATE_DONE)
		return result;
	type = type_of(d);
	if ((type & ~(u32)TYPE_32) != (returns ? 3 : 1))
		return selector_fault(t, vector, t->selector);
	if (!is_present(d))
		return selector_fault(t, VECTOR_NP, t->selector);
	if (d->segment.limit + 1ULL < format_of(type)->bytes)
		return selector_fault(t, VECTOR_TS, t->selector);
	return EMULATE_DONE;
}

static enum emulate_result find_old(struct task_switch *t, struct descriptor *d)
{
	const struct emulate_segment *tr = &t->cpu.tr;
	enum emulate_result result = find(t, tr->selector, VECTOR_TS, d);

	if (result != EMULATE_DONE)
		return result;
	if (tr->limit + 1ULL < format_of(tr->access_rights)->bytes)
		return selector_fault(t, VECTOR_TS, tr->selector);
	return EMULATE_DONE;
}

static bool links(const struct task_switch *t)
{
	return t->source == TASK_CALL || t->source == TASK_GATE;
}

static bool leaves(const struct task_switch *t)
{
	return t->source == TASK_IRET || t->source == TASK_JUMP;
}

/* All that will be written later can be. */
static enum emulate_result check_places(struct task_switch *t,
					const struct descriptor *old,
					const struct descriptor *new)
{
	const struct format *format = format_of(t->cpu.tr.access_rights);
	enum emulate_result result =
	    check_writable(t, t->cpu.tr.base, format->bytes);

	if (result == EMULATE_DONE && leaves(t))
		result = check_writable(t, old->linear, 8);
	if (result == EMULATE_DONE && t->source != TASK_IRET)
		result = check_writable(t, new->linear, 8);
	if (result == EMULATE_DONE && links(t))
		result = check_writable(t, new->segment.base, 2);
	return result;
}

static enum emulate_result put(struct task_switch *t, u32 offset, u32 value,
			       u32 bytes)
{
	return write(t, low32(t->cpu.tr.base + offset), &value, bytes);
}

/* EIP to the last segment; the rest of a TSS is never written. */
static enum emulate_result save(struct task_switch *t)
{
	const struct emulate_cpu *cpu = &t->cpu.core;
	const struct format *f = format_of(t->cpu.tr.access_rights);
	u64 flags = cpu->rflags;
	enum emulate_result result;

	if (t->source == TASK_IRET)
		flags &= ~RFLAGS_NT;
	result = put(t, f->ip, t->return_rip, f->width);
	if (result == EMULATE_DONE)
		result = put(t, f->flags, (u32)flags, f->width);
	for (u32 i = 0; i < 8 && result == EMULATE_DONE; i++)
		result =
		    put(t, f->gpr + i * f->width, (u32)cpu->gpr[i], f->width);
	for (u32 i = 0; i < f->segment_count && result == EMULATE_DONE; i++)
		result = put(t, f->segments + i * f->segment_step,
			     cpu->segments[i].selector, 2);
	return result;
}

static u32 get(const u8 *tss, u32 offset, u32 bytes)
{
	u32 value = 0;

	memcpy(&value, tss + offset, bytes);
	return value;
}

/* Selectors without descriptors; CS and SS such that the CPU could be entered
 * if the first of them is wrong. */
static void load_selectors(struct task_switch *t, const u8 *tss,
			   const struct format *f)
{
	struct emulate_cpu *cpu = &t->cpu.core;
	u32 big = f->width == 4 ? (u32)SEGMENT_BIG : 0;
	u32 dpl;

	for (u32 i = 0; i < SEGMENT_COUNT; i++) {
		u16 selector =
		    i < f->segment_count
			? (u16)get(tss, f->segments + i * f->segment_step, 2)
			: 0;

		cpu->segments[i] = (struct emulate_segment){
		    .access_rights = (u32)SEGMENT_UNUSABLE,
		    .selector = selector};
	}
	cpu->cpl = (u8)(cpu->segments[SEGMENT_CS].selector & SELECTOR_RPL);
	dpl = (u32)cpu->cpl << 5;
	cpu->segments[SEGMENT_CS].access_rights = 0x9b | dpl | big;
	cpu->segments[SEGMENT_CS].limit = LIMIT_64K;
	cpu->segments[SEGMENT_SS].access_rights = 0x93 | dpl | big;
	cpu->segments[SEGMENT_SS].limit = LIMIT_64K;
	t->cpu.ldtr =
	    (struct emulate_segment){.access_rights = (u32)SEGMENT_UNUSABLE,
				     .selector = (u16)get(tss, f->ldt, 2)};
}

static void load_registers(struct task_switch *t, const u8 *tss,
			   const struct format *f)
{
	struct emulate_cpu *cpu = &t->cpu.core;
	cpu->rip = get(tss, f->ip, f->width);
	cpu->rflags =
	    (get(tss, f->flags, f->width) & RFLAGS_OF_TASK) | RFLAGS_ALWAYS;
	if (links(t))
		cpu->rflags |= RFLAGS_NT;
	for (u32 i = 0; i < 8; i++)
		cpu->gpr[i] = get(tss, f->gpr + i * f->width, f->width);
	load_selectors(t, tss, f);
	cpu->cr0 |= CR0_TS;
	t->cpu.dr7 &= ~DR7_LOCAL;
	t->debug_trap = f->t && (get(tss, f->t, 2) & 1);
	if (f->cr3 && (cpu->cr0 & CR0_PG))
		t->cpu.cr3 = get(tss, f->cr3, 4);
}

/* --- The new task's segments ---------------------------------------------- */

static void load_v86(struct emulate_cpu *cpu)
{
	for (u32 i = 0; i < SEGMENT_COUNT; i++) {
		struct emulate_segment *s = &cpu->segments[i];

		s->base = (u64)s->selector << 4;
		s->limit = LIMIT_64K;
		s->access_rights = RIGHTS_V86;
	}
	cpu->cpl = 3;
}

static enum emulate_result load_ldt(struct task_switch *t)
{
	u16 selector = t->cpu.ldtr.selector;
	struct descriptor d = {.linear = 0};
	enum emulate_result result;

	if (!(selector & ~SELECTOR_RPL))
		return EMULATE_DONE;
	if (selector & SELECTOR_TI)
		return selector_fault(t, VECTOR_TS, selector);
	result = find(t, selector, VECTOR_TS, &d);
	if (result != EMULATE_DONE)
		return result;
	if (type_of(&d) != TYPE_LDT || !is_present(&d))
		return selector_fault(t, VECTOR_TS, selector);
	t->cpu.ldtr = d.segment;
	return EMULATE_DONE;
}

/* SDM volume 3, "Exception Conditions Checked During a Task Switch". */
static bool is_right(const struct emulate_cpu *cpu, enum segment which,
		     const struct descriptor *d)
{
	u32 type = type_of(d), rpl = d->segment.selector & SELECTOR_RPL;
	u32 dpl = dpl_of(&d->segment);
	bool is_code = type & SEGMENT_CODE;

	if (!(type & RIGHTS_S))
		return false;
	if (which == SEGMENT_CS)
		return is_code &&
		       (type & TYPE_CONFORMING ? dpl <= rpl : dpl == rpl);
	if (which == SEGMENT_SS)
		return !is_code && (type & SEGMENT_WRITABLE) &&
		       dpl == cpu->cpl && rpl == cpu->cpl;
	if (!is_code)
		return dpl >= cpu->cpl && dpl >= rpl;
	return (type & SEGMENT_WRITABLE) &&
	       ((type & TYPE_CONFORMING) || (dpl >= cpu->cpl && dpl >= rpl));
}

static enum emulate_result load_segment(struct task_switch *t,
					enum segment which)
{
	struct emulate_segment *segment = &t->cpu.core.segments[which];
	u16 selector = segment->selector;
	struct descriptor d = {.linear = 0};
	enum emulate_result result;

	if (!(selector & ~SELECTOR_RPL)) {
		if (which == SEGMENT_CS || which == SEGMENT_SS)
			return selector_fault(t, VECTOR_TS, selector);
		return EMULATE_DONE;
	}
	result = find(t, selector, VECTOR_TS, &d);
	if (result != EMULATE_DONE)
		return result;
	if (!is_right(&t->cpu.core, which, &d))
		return selector_fault(t, VECTOR_TS, selector);
	if (!is_present(&d))
		return selector_fault(
		    t, which == SEGMENT_SS ? VECTOR_SS : VECTOR_NP, selector);
	if (!(d.segment.access_rights & TYPE_ACCESSED)) {
		d.segment.access_rights |= (u32)TYPE_ACCESSED;
		result = set_type(t, &d, d.segment.access_rights);
	}
	if (result == EMULATE_DONE)
		*segment = d.segment;
	return result;
}

static enum emulate_result load_segments(struct task_switch *t)
{
	static const enum segment order[] = {SEGMENT_CS, SEGMENT_SS,
					     SEGMENT_ES, SEGMENT_DS,
					     SEGMENT_FS, SEGMENT_GS};
	enum emulate_result result = load_ldt(t);

	if (result == EMULATE_DONE && (t->cpu.core.rflags & RFLAGS_VM)) {
		load_v86(&t->cpu.core);
		return EMULATE_DONE;
	}
	for (u32 i = 0; i < ARRAY_COUNT(order) && result == EMULATE_DONE; i++)
		result = load_segment(t, order[i]);
	return result;
}

/* --- The end -------------------------------------------------------------- */

static enum emulate_result push_error_code(struct task_switch *t,
					   const struct format *format)
{
	struct emulation e = {
	    .bus = t->bus, .context = t->context, .cpu = t->cpu.core};
	bool big = e.cpu.segments[SEGMENT_SS].access_rights & SEGMENT_BIG;
	u64 mask = big ? BITS(31, 0) : BITS(15, 0);
	u64 rsp = e.cpu.gpr[GPR_RSP];
	u64 top = (rsp - format->width) & mask;
	const struct reference r = {SEGMENT_SS, EMULATE_WRITE, format->width,
				    top};
	struct span span;
	enum emulate_result result = access_map(&e, &r, &span);

	if (result == EMULATE_DONE)
		result = access_write(&e, &span, t->event.error_code);
	if (result == EMULATE_FAULT)
		t->fault = e.fault;
	if (result == EMULATE_DONE)
		t->cpu.core.gpr[GPR_RSP] = (rsp & ~mask) | top;
	return result;
}

static enum emulate_result begin(struct task_switch *t,
				 const struct format *format)
{
	enum emulate_result result;

	if (t->load_cr3(t->context, t->cpu.cr3) != OK)
		return fault(t, VECTOR_GP, 0);
	result = load_segments(t);
	if (result != EMULATE_DONE)
		return result;
	if (t->cpu.core.rip > t->cpu.core.segments[SEGMENT_CS].limit)
		return fault(t, VECTOR_GP, 0);
	t->become(t->context, t->cpu.core.cpl);
	return t->event.has_error_code ? push_error_code(t, format)
				       : EMULATE_DONE;
}

/* Memory of both tasks; what was checked is not refused now. */
static enum emulate_result write_tasks(struct task_switch *t,
				       const struct descriptor *old,
				       struct descriptor *new)
{
	u16 link = t->cpu.tr.selector;
	enum emulate_result result = EMULATE_DONE;

	if (leaves(t))
		result = set_type(t, old,
				  old->segment.access_rights & ~(u32)TYPE_BUSY);
	if (result == EMULATE_DONE)
		result = save(t);
	if (result == EMULATE_DONE && links(t))
		result = write(t, new->segment.base, &link, sizeof(link));
	if (result == EMULATE_DONE && t->source != TASK_IRET)
		result = set_type(t, new,
				  new->segment.access_rights | (u32)TYPE_BUSY);
	new->segment.access_rights |= (u32)TYPE_BUSY;
	return result;
}

enum emulate_result task_switch(struct task_switch *t)
{
	const struct format *format;
	struct descriptor old = {.linear = 0}, new = {.linear = 0};
	u8 tss[TSS_BYTES_MAX] = {0};
	enum emulate_result result = find_new(t, &new);

	t->is_new = t->debug_trap = false;
	if (result == EMULATE_DONE)
		result = find_old(t, &old);
	if (result != EMULATE_DONE)
		return result;
	format = format_of(new.segment.access_rights);
	result = check_places(t, &old, &new);
	if (result == EMULATE_DONE)
		result = read(t, new.segment.base, tss, format->bytes);
	if (result == EMULATE_DONE)
		result = write_tasks(t, &old, &new);
	if (result != EMULATE_DONE)
		return result;
	t->is_new = true;
	load_registers(t, tss, format);
	t->cpu.tr = new.segment;
	return begin(t, format);
}
