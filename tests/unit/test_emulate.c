/* SPDX-License-Identifier: MIT */
/*
 * emulate/: what the comparison with a real CPU (test_emulate_native.c) does
 * not reach: faults and that nothing has happened then, devices, segments and
 * 16- and 32-bit code, repeated strings, ports, other CPUs in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "emulate/emulate.h"

/* A machine of 16 pages; linear and physical addresses are the same. */
#define PAGES      16
#define CODE       0x1000u
#define DATA       0x4000u
#define NOT_THERE  0x8000u /* this page is not present */
#define READ_ONLY  0xa000u
#define DEVICE     0xc000u
#define STACK      0xf000u

#define PF_PRESENT 1u
#define PF_WRITE   2u
#define PF_FETCH   16u

struct event {
	char what; /* r, w, s: swap, i, o */
	u64 address;
	u64 value;
	u32 bytes;
};

struct machine {
	u8 memory[PAGES * PAGE_4K];
	struct event events[64]; /* of the device and the ports */
	u32 event_count;
	u64 device_value; /* what the device and the ports read as */
	u32 busy_swaps;   /* so many find that another CPU was faster */
	u32 busy_translations_after; /* how many succeed, plus 1; 0: all */
	bool is_broken;              /* the device refuses */
	u64 vectors[16][2];
	struct emulate_segment segments[SEGMENT_COUNT];
	u32 segments_read; /* bits of those that the bus was asked for */
};

static struct machine machine;
static struct emulation e;

static void note(char what, u64 address, u64 value, u32 bytes)
{
	assert_true(machine.event_count < ARRAY_COUNT(machine.events));
	machine.events[machine.event_count++] =
	    (struct event){what, address, value, bytes};
}

static bool is_device(u64 address)
{
	return align_down(address, PAGE_4K) == DEVICE;
}

static enum err translate(void *context, gva_t address,
			  enum emulate_access access, gpa_t *result,
			  u32 *error_code)
{
	u64 raw = gva_raw(address);
	u64 page = align_down(raw, PAGE_4K);

	assert_ptr_equal(context, &machine);
	if (machine.busy_translations_after &&
	    --machine.busy_translations_after == 0) {
		machine.busy_translations_after = 1;
		return ERR_BUSY;
	}
	*error_code = access == EMULATE_WRITE   ? PF_WRITE
		      : access == EMULATE_FETCH ? PF_FETCH
						: 0;
	if (page >= sizeof(machine.memory))
		return ERR_STATE;
	if (page == NOT_THERE)
		return ERR_RANGE;
	*error_code |= PF_PRESENT;
	if (page == READ_ONLY && access == EMULATE_WRITE)
		return ERR_RANGE;
	*result = gpa(raw);
	return OK;
}

static enum err bus_read(void *context, gpa_t address, void *to, u32 bytes)
{
	u64 raw = gpa_raw(address);

	(void)context;
	assert_true(bytes <= 8 && (raw & (PAGE_4K - 1)) + bytes <= PAGE_4K);
	if (!is_device(raw)) {
		memcpy(to, machine.memory + raw, bytes);
		return OK;
	}
	if (machine.is_broken)
		return ERR_STATE;
	memcpy(to, &machine.device_value, bytes);
	note('r', raw, 0, bytes);
	return OK;
}

static enum err bus_write(void *context, gpa_t address, const void *from,
			  u32 bytes)
{
	u64 raw = gpa_raw(address);
	u64 value = 0;

	(void)context;
	assert_true(bytes <= 8 && (raw & (PAGE_4K - 1)) + bytes <= PAGE_4K);
	if (!is_device(raw)) {
		memcpy(machine.memory + raw, from, bytes);
		return OK;
	}
	if (machine.is_broken)
		return ERR_STATE;
	memcpy(&value, from, bytes);
	note('w', raw, value, bytes);
	return OK;
}

static enum err bus_swap(void *context, gpa_t address, u64 expected, u64 value,
			 u32 bytes)
{
	u64 raw = gpa_raw(address);

	assert_int_equal(raw % bytes, 0);
	if (is_device(raw)) {
		note('s', raw, value, bytes);
		return OK;
	}
	if (machine.busy_swaps) {
		machine.busy_swaps--;
		machine.memory[raw]++; /* another CPU's increment */
		return ERR_BUSY;
	}
	if (memcmp(machine.memory + raw, &expected, bytes) != 0)
		return ERR_BUSY;
	return bus_write(context, address, &value, bytes);
}

static enum err port_in(void *context, u16 port, u32 *value, u32 bytes)
{
	(void)context;
	*value = (u32)machine.device_value;
	note('i', port, 0, bytes);
	return OK;
}

static enum err port_out(void *context, u16 port, u32 value, u32 bytes)
{
	(void)context;
	note('o', port, value, bytes);
	return OK;
}

static void read_vector(void *context, u32 number, void *to)
{
	(void)context;
	memcpy(to, machine.vectors[number], sizeof(machine.vectors[number]));
}

static void write_vector(void *context, u32 number, const void *from)
{
	(void)context;
	memcpy(machine.vectors[number], from, sizeof(machine.vectors[number]));
}

static void read_segment(void *context, u32 number,
			 struct emulate_segment *segment)
{
	(void)context;
	assert_true(number < SEGMENT_COUNT);
	assert_int_equal(machine.segments_read & BIT(number), 0);
	machine.segments_read |= 1U << number;
	*segment = machine.segments[number];
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

#define RIGHTS_DATA_16 0x0093u
#define RIGHTS_DATA_32 0xc093u
#define RIGHTS_CODE_16 0x009bu
#define RIGHTS_CODE_32 0xc09bu
#define RIGHTS_CODE_64 0xa09bu

static void start(const char *code, u32 count, enum code_size code_size)
{
	static const u32 code_rights[] = {RIGHTS_CODE_16, RIGHTS_CODE_32,
					  RIGHTS_CODE_64};
	u32 data = code_size == CODE_16 ? RIGHTS_DATA_16 : RIGHTS_DATA_32;

	memset(&machine, 0, sizeof(machine));
	memcpy(machine.memory + CODE, code, count);
	e = (struct emulation){.bus = &bus, .context = &machine};
	e.cpu.rip = CODE;
	e.cpu.rflags = 2;
	e.cpu.cr0 = 0x80000001;
	e.cpu.efer = code_size == CODE_64 ? 0x500 : 0;
	e.cpu.gpr[GPR_RSP] = STACK;
	for (u32 i = 0; i < SEGMENT_COUNT; i++)
		e.cpu.segments[i] = (struct emulate_segment){
		    .limit = code_size == CODE_16 ? 0xffff : 0xffffffff,
		    .access_rights = data,
		};
	e.cpu.segments[SEGMENT_CS].access_rights = code_rights[code_size];
}

#define START(code, size) start(code, sizeof(code) - 1, size)

static void expect_fault(u8 vector, u32 error_code)
{
	struct emulate_cpu before = e.cpu;

	assert_int_equal(emulate_step(&e, 1), EMULATE_FAULT);
	assert_int_equal(e.fault.vector, vector);
	assert_int_equal(e.fault.error_code, error_code);
	assert_memory_equal(&before, &e.cpu, sizeof(before));
	assert_int_equal(machine.event_count, 0);
}

static void expect_done(u32 length)
{
	u64 rip = e.cpu.rip;

	assert_int_equal(emulate_step(&e, 1), EMULATE_DONE);
	assert_int_equal(e.cpu.rip, rip + length);
}

static void expect_event(u32 index, char what, u64 address, u64 value,
			 u32 bytes)
{
	assert_true(index < machine.event_count);
	assert_int_equal(machine.events[index].what, what);
	assert_int_equal(machine.events[index].address, address);
	assert_int_equal(machine.events[index].value, value);
	assert_int_equal(machine.events[index].bytes, bytes);
}

static u64 memory_u64(u64 address)
{
	u64 value;

	memcpy(&value, machine.memory + address, sizeof(value));
	return value;
}

/* --- Devices -------------------------------------------------------------- */

static void device_sees_one_access_of_the_right_size(void **state)
{
	(void)state;
	START("\x89\x07", CODE_64); /* mov [rdi], eax */
	e.cpu.gpr[GPR_RDI] = DEVICE + 0x380;
	e.cpu.gpr[GPR_RAX] = 0xffffffff12345678;
	expect_done(2);
	assert_int_equal(machine.event_count, 1);
	expect_event(0, 'w', DEVICE + 0x380, 0x12345678, 4);

	START("\x0f\xb6\x47\x10", CODE_64); /* movzx eax, byte [rdi + 16] */
	e.cpu.gpr[GPR_RDI] = DEVICE;
	e.cpu.gpr[GPR_RAX] = ~0ull;
	machine.device_value = 0x1ff;
	expect_done(4);
	assert_int_equal(machine.event_count, 1);
	expect_event(0, 'r', DEVICE + 0x10, 0, 1);
	assert_int_equal(e.cpu.gpr[GPR_RAX], 0xff);
}

static void read_modify_write_reads_once_and_writes_once(void **state)
{
	(void)state;
	START("\x83\x0f\x40", CODE_64); /* or dword [rdi], 0x40 */
	e.cpu.gpr[GPR_RDI] = DEVICE;
	machine.device_value = 3;
	expect_done(3);
	assert_int_equal(machine.event_count, 2);
	expect_event(0, 'r', DEVICE, 0, 4);
	expect_event(1, 'w', DEVICE, 0x43, 4);

	START("\xf0\x83\x0f\x40", CODE_64); /* lock or ... */
	e.cpu.gpr[GPR_RDI] = DEVICE;
	expect_done(4);
	expect_event(1, 's', DEVICE, 0x40, 4);
}

static void moves_without_reading_do_not_read(void **state)
{
	(void)state;
	START("\xc7\x07\x01\x00\x00\x00", CODE_64); /* mov dword [rdi], 1 */
	e.cpu.gpr[GPR_RDI] = DEVICE;
	expect_done(6);
	assert_int_equal(machine.event_count, 1);

	START("\x0f\x94\x07", CODE_64); /* sete [rdi] */
	e.cpu.gpr[GPR_RDI] = DEVICE;
	expect_done(3);
	assert_int_equal(machine.event_count, 1);
	expect_event(0, 'w', DEVICE, 0, 1);

	START("\x0f\xae\x3f", CODE_64); /* clflush [rdi] */
	e.cpu.gpr[GPR_RDI] = DEVICE;
	expect_done(3);
	assert_int_equal(machine.event_count, 0);
}

static void push_and_pop_reach_devices(void **state)
{
	(void)state;
	START("\xff\x37\x8f\x47\x08", CODE_64); /* push [rdi]; pop [rdi+8] */
	e.cpu.gpr[GPR_RDI] = DEVICE;
	machine.device_value = 0x1122334455667788;
	expect_done(2);
	assert_int_equal(e.cpu.gpr[GPR_RSP], STACK - 8);
	assert_int_equal(memory_u64(STACK - 8), 0x1122334455667788);
	expect_done(3);
	assert_int_equal(e.cpu.gpr[GPR_RSP], STACK);
	expect_event(1, 'w', DEVICE + 8, 0x1122334455667788, 8);
}

static void refusing_device_stops_the_guest(void **state)
{
	struct emulate_cpu before;

	(void)state;
	START("\x01\x07", CODE_64); /* add [rdi], eax */
	e.cpu.gpr[GPR_RDI] = DEVICE;
	machine.is_broken = true;
	before = e.cpu;
	assert_int_equal(emulate_step(&e, 1), EMULATE_STOPPED);
	assert_memory_equal(&before, &e.cpu, sizeof(before));
}

static void unknown_forms_are_shown_not_guessed(void **state)
{
	char text[64];

	(void)state;
	START("\xc5\xfe\x7f\x07", CODE_64); /* vmovdqu [rdi], ymm0 */
	e.cpu.gpr[GPR_RDI] = DEVICE;
	assert_int_equal(emulate_step(&e, 1), EMULATE_UNSUPPORTED);
	decode_print_bytes(&e.instruction, text, sizeof(text));
	assert_memory_equal(text, "c5 fe 7f 07", 11);
	assert_int_equal(machine.event_count, 0);
}

/* --- Vector registers ----------------------------------------------------- */

static void vector_moves_reach_a_device_in_halves(void **state)
{
	(void)state;
	START("\xf3\x44\x0f\x7f\x0f", CODE_64); /* movdqu [rdi], xmm9 */
	e.cpu.gpr[GPR_RDI] = DEVICE + 8;
	machine.vectors[9][0] = 0x1111;
	machine.vectors[9][1] = 0x2222;
	expect_done(5);
	assert_int_equal(machine.event_count, 2);
	expect_event(0, 'w', DEVICE + 8, 0x1111, 8);
	expect_event(1, 'w', DEVICE + 16, 0x2222, 8);

	START("\xf3\x0f\x10\x17", CODE_64); /* movss xmm2, [rdi] */
	e.cpu.gpr[GPR_RDI] = DEVICE + 4;
	machine.device_value = 0x12345678;
	memset(machine.vectors, 0xff, sizeof(machine.vectors));
	expect_done(4);
	assert_int_equal(machine.event_count, 1);
	expect_event(0, 'r', DEVICE + 4, 0, 4);
	assert_int_equal(machine.vectors[2][0], 0x12345678);
	assert_int_equal(machine.vectors[2][1], 0);
}

static void vector_moves_cross_pages(void **state)
{
	(void)state;
	START("\x0f\x10\x07", CODE_64); /* movups xmm0, [rdi] */
	e.cpu.gpr[GPR_RDI] = DATA + PAGE_4K - 3;
	for (u32 i = 0; i < 16; i++)
		machine.memory[DATA + PAGE_4K - 3 + i] = (u8)(i + 1);
	expect_done(3);
	assert_int_equal(machine.vectors[0][0], 0x0807060504030201);
	assert_int_equal(machine.vectors[0][1], 0x100f0e0d0c0b0a09);

	START("\x0f\x11\x07", CODE_64); /* movups [rdi], xmm0 */
	e.cpu.gpr[GPR_RDI] = NOT_THERE - 8;
	expect_fault(14, PF_WRITE);
	assert_int_equal(e.fault.address, NOT_THERE);
	assert_int_equal(machine.memory[NOT_THERE - 8], 0);
}

static void aligned_vector_moves_want_alignment(void **state)
{
	(void)state;
	START("\x66\x0f\xe7\x07", CODE_64); /* movntdq [rdi], xmm0 */
	e.cpu.gpr[GPR_RDI] = DEVICE + 8;
	expect_fault(13, 0);
	e.cpu.gpr[GPR_RDI] = DEVICE + 16;
	expect_done(4);
	assert_int_equal(machine.event_count, 2);
}

/* The CPU will say which exception it is. */
static void vector_moves_that_cr0_forbids_are_tried_again(void **state)
{
	(void)state;
	for (u32 bit = 2; bit <= 3; bit++) {
		START("\x0f\x11\x07", CODE_64); /* movups [rdi], xmm0 */
		e.cpu.gpr[GPR_RDI] = DEVICE;
		e.cpu.cr0 |= 1u << bit;
		assert_int_equal(emulate_step(&e, 1), EMULATE_AGAIN);
		assert_int_equal(e.cpu.rip, CODE);
		assert_int_equal(machine.event_count, 0);
	}
}

static void vector_stays_when_the_device_refuses(void **state)
{
	(void)state;
	START("\x0f\x10\x07", CODE_64); /* movups xmm0, [rdi] */
	e.cpu.gpr[GPR_RDI] = DEVICE;
	machine.is_broken = true;
	machine.vectors[0][0] = 7;
	assert_int_equal(emulate_step(&e, 1), EMULATE_STOPPED);
	assert_int_equal(machine.vectors[0][0], 7);
}

/* --- Paging --------------------------------------------------------------- */

static void page_fault_changes_nothing(void **state)
{
	(void)state;
	START("\x48\x01\x07", CODE_64); /* add [rdi], rax */
	e.cpu.gpr[GPR_RDI] = NOT_THERE + 8;
	expect_fault(14, PF_WRITE);
	assert_int_equal(e.fault.address, NOT_THERE + 8);
	assert_true(e.fault.has_error_code);

	START("\x48\x3b\x07", CODE_64); /* cmp rax, [rdi] */
	e.cpu.gpr[GPR_RDI] = NOT_THERE;
	expect_fault(14, 0);
}

/* The read half of a read-modify-write asks for write access, too. */
static void read_only_page_faults_before_anything_is_read(void **state)
{
	(void)state;
	START("\xff\x07", CODE_64); /* inc dword [rdi] */
	e.cpu.gpr[GPR_RDI] = READ_ONLY;
	expect_fault(14, PF_PRESENT | PF_WRITE);

	START("\x83\x3f\x00", CODE_64); /* cmp dword [rdi], 0 */
	e.cpu.gpr[GPR_RDI] = READ_ONLY;
	expect_done(3);
}

static void operand_across_pages_faults_at_the_second_page(void **state)
{
	(void)state;
	START("\x48\x89\x07", CODE_64); /* mov [rdi], rax */
	e.cpu.gpr[GPR_RDI] = NOT_THERE - 3;
	e.cpu.gpr[GPR_RAX] = ~0ull;
	expect_fault(14, PF_WRITE);
	assert_int_equal(e.fault.address, NOT_THERE);
	assert_int_equal(memory_u64(NOT_THERE - 8), 0);
}

static void operand_across_pages_is_put_together(void **state)
{
	(void)state;
	START("\x48\x87\x07", CODE_64); /* xchg [rdi], rax */
	e.cpu.gpr[GPR_RDI] = DATA + PAGE_4K - 3;
	e.cpu.gpr[GPR_RAX] = 0x0102030405060708;
	memcpy(machine.memory + DATA + PAGE_4K - 3, "\1\2\3\4\5\6\7\10", 8);
	expect_done(3);
	assert_int_equal(e.cpu.gpr[GPR_RAX], 0x0807060504030201);
	assert_int_equal(memory_u64(DATA + PAGE_4K - 3), 0x0102030405060708);
}

/* movs from a device into a page that is missing must not read the device. */
static void destination_is_checked_before_the_device_is_read(void **state)
{
	(void)state;
	START("\xa5", CODE_64); /* movsd */
	e.cpu.gpr[GPR_RSI] = DEVICE;
	e.cpu.gpr[GPR_RDI] = NOT_THERE;
	expect_fault(14, PF_WRITE);

	START("\xff\x37", CODE_64); /* push [rdi] */
	e.cpu.gpr[GPR_RDI] = DEVICE;
	e.cpu.gpr[GPR_RSP] = NOT_THERE + 8;
	expect_fault(14, PF_WRITE);

	START("\x6d", CODE_64); /* insd */
	e.cpu.gpr[GPR_RDI] = READ_ONLY;
	expect_fault(14, PF_PRESENT | PF_WRITE);
}

/* --- Fetching ------------------------------------------------------------- */

static void place_code(u64 at, const char *code, u32 count)
{
	memcpy(machine.memory + at, code, count);
	e.cpu.rip = at;
}

static void instruction_across_pages_is_fetched(void **state)
{
	(void)state;
	START("", CODE_64);
	place_code(CODE + PAGE_4K - 2, "\xc7\x07\x04\x03\x02\x01", 6);
	e.cpu.gpr[GPR_RDI] = DATA;
	expect_done(6);
	assert_int_equal(memory_u64(DATA), 0x01020304);
}

static void missing_second_page_matters_only_if_needed(void **state)
{
	(void)state;
	START("", CODE_64);
	place_code(NOT_THERE - 2, "\x89\x07", 2); /* ends with the page */
	e.cpu.gpr[GPR_RDI] = DATA;
	expect_done(2);

	START("", CODE_64);
	place_code(NOT_THERE - 2, "\xc7\x07", 2);
	expect_fault(14, PF_FETCH);
	assert_int_equal(e.fault.address, NOT_THERE);
}

static void code_limit_and_length_raise_gp(void **state)
{
	(void)state;
	START("\x89\x05\x00\x40\x00\x00", CODE_32); /* mov [0x4000], eax */
	e.cpu.segments[SEGMENT_CS].limit = CODE + 4;
	expect_fault(13, 0);
	e.cpu.segments[SEGMENT_CS].limit = CODE + 5;
	expect_done(6);

	START("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x89"
	      "\x07",
	      CODE_64);
	expect_fault(13, 0);
	START("\xf0\x89\x07", CODE_64); /* lock mov */
	expect_fault(6, 0);
	assert_false(e.fault.has_error_code);
}

static void rex_counts_only_right_before_the_opcode(void **state)
{
	(void)state;
	START("\x48\x66\x89\x07", CODE_64); /* rex.w; data16 mov [rdi], ax */
	e.cpu.gpr[GPR_RDI] = DATA;
	e.cpu.gpr[GPR_RAX] = ~0ull;
	expect_done(4);
	assert_int_equal(memory_u64(DATA), 0xffff);
}

/* --- Segments and code sizes ---------------------------------------------- */

static void segment_limits_and_types_are_checked(void **state)
{
	struct emulate_segment *ds = &e.cpu.segments[SEGMENT_DS];

	(void)state;
	START("\x89\x07", CODE_32); /* mov [edi], eax */
	e.cpu.gpr[GPR_RDI] = DATA;
	ds->limit = DATA + 2;
	expect_fault(13, 0);
	ds->limit = DATA + 3;
	ds->access_rights = RIGHTS_DATA_32 & ~2u; /* read-only */
	expect_fault(13, 0);
	ds->access_rights = RIGHTS_DATA_32 | SEGMENT_UNUSABLE;
	expect_fault(13, 0);
	ds->access_rights = RIGHTS_CODE_32; /* not writable either */
	expect_fault(13, 0);
	ds->access_rights = RIGHTS_DATA_32;
	expect_done(2);
}

static void expand_down_segments_allow_what_lies_above(void **state)
{
	struct emulate_segment *ds = &e.cpu.segments[SEGMENT_DS];

	(void)state;
	START("\x89\x07", CODE_32);
	ds->access_rights = 0x0097; /* expand-down, up to 64 KiB */
	ds->limit = DATA;
	e.cpu.gpr[GPR_RDI] = DATA;
	expect_fault(13, 0);
	e.cpu.gpr[GPR_RDI] = 0xfffd;
	expect_fault(13, 0);
	e.cpu.gpr[GPR_RDI] = DATA + 1;
	expect_done(2);
}

static void stack_segment_faults_are_ss(void **state)
{
	(void)state;
	START("\x89\x45\x00", CODE_32); /* mov [ebp], eax */
	e.cpu.gpr[GPR_RBP] = DATA;
	e.cpu.segments[SEGMENT_SS].limit = DATA;
	expect_fault(12, 0);

	START("\x89\x45\x00", CODE_64);
	e.cpu.gpr[GPR_RBP] = 0x0000800000000000;
	expect_fault(12, 0);
	START("\x89\x07", CODE_64);
	e.cpu.gpr[GPR_RDI] = 0x00007ffffffffffd; /* its last byte is beyond */
	expect_fault(13, 0);
}

static void segment_bases_count_in_every_size(void **state)
{
	(void)state;
	START("\x26\x89\x07", CODE_32); /* mov es:[edi], eax */
	e.cpu.segments[SEGMENT_ES].base = 0xfffff000;
	e.cpu.gpr[GPR_RDI] = DATA + 0x1000; /* wraps at 4 GiB */
	e.cpu.gpr[GPR_RAX] = 0x11;
	expect_done(3);
	assert_int_equal(memory_u64(DATA), 0x11);

	START("\x65\x89\x07", CODE_64); /* mov gs:[rdi], eax */
	e.cpu.segments[SEGMENT_GS].base = DATA;
	e.cpu.segments[SEGMENT_DS].base = 0x1234; /* ignored */
	e.cpu.gpr[GPR_RDI] = 8;
	e.cpu.gpr[GPR_RAX] = 0x22;
	expect_done(3);
	assert_int_equal(memory_u64(DATA + 8), 0x22);
}

static void real_mode_ignores_types_and_uses_16_bit_addresses(void **state)
{
	(void)state;
	START("\x2e\x89\x41\x10", CODE_16); /* mov cs:[bx+di+16], ax */
	e.cpu.cr0 = 0x10;
	e.cpu.segments[SEGMENT_CS].base = 0x1000;
	e.cpu.rip = 0;
	e.cpu.gpr[GPR_RBX] = 0xffff2000;
	e.cpu.gpr[GPR_RDI] = 0xeeee1000;
	e.cpu.gpr[GPR_RAX] = 0xabcd1234;
	expect_done(4);
	assert_int_equal(memory_u64(0x4010), 0x1234);

	START("\x89\x44\xff", CODE_16); /* mov [si-1], ax */
	e.cpu.gpr[GPR_RSI] = 0;
	e.cpu.cr0 = 0x10;
	expect_fault(13, 0); /* at 0xffff: one byte too long */
	assert_false(e.fault.has_error_code);
	e.cpu.cr0 = 0x11;
	expect_fault(13, 0);
	assert_true(e.fault.has_error_code);
}

static void stack_width_follows_the_stack_segment(void **state)
{
	(void)state;
	START("\x66\xff\x36\x00\x40", CODE_16); /* push dword [0x4000] */
	e.cpu.gpr[GPR_RSP] = 0x12340000 + STACK;
	machine.memory[DATA] = 0x77;
	expect_done(5);
	assert_int_equal(e.cpu.gpr[GPR_RSP], 0x12340000 + STACK - 4);
	assert_int_equal(memory_u64(STACK - 4), 0x77);
}

static void alignment_check_faults_only_where_it_is_on(void **state)
{
	(void)state;
	START("\x8b\x07", CODE_64); /* mov eax, [rdi] */
	e.cpu.gpr[GPR_RDI] = DATA + 2;
	e.cpu.cr0 |= BIT(18);
	e.cpu.rflags |= RFLAGS_AC;
	e.cpu.cpl = 3;
	expect_fault(17, 0);
	assert_true(e.fault.has_error_code);
	e.cpu.cpl = 0;
	expect_done(2);
}

static void cmpxchg16b_wants_alignment(void **state)
{
	(void)state;
	START("\x48\x0f\xc7\x0f", CODE_64);
	e.cpu.gpr[GPR_RDI] = DATA + 8;
	expect_fault(13, 0);
	e.cpu.gpr[GPR_RDI] = DATA + 16;
	e.cpu.gpr[GPR_RBX] = 5;
	expect_done(4);
	assert_int_equal(memory_u64(DATA + 16), 5);
}

/* Nothing but the access rights of CS and SS is there. */
static void hide_segments(void)
{
	const u32 code = e.cpu.segments[SEGMENT_CS].access_rights;
	const u32 stack = e.cpu.segments[SEGMENT_SS].access_rights;

	machine.segments_read = 0;
	memcpy(machine.segments, e.cpu.segments, sizeof(machine.segments));
	memset(e.cpu.segments, 0xee, sizeof(e.cpu.segments));
	e.cpu.segments[SEGMENT_CS].access_rights = code;
	e.cpu.segments[SEGMENT_SS].access_rights = stack;
	e.cpu.segments_unread = BITS(SEGMENT_COUNT - 1, 0);
}

static void segments_are_read_where_they_count(void **state)
{
	(void)state;
	START("\x89\x07\x65\x89\x07\x65\x89\x47\x04\x8c\x1f", CODE_64);
	e.cpu.segments[SEGMENT_GS].base = DATA;
	e.cpu.segments[SEGMENT_DS].selector = 0x2b;
	hide_segments();
	e.cpu.gpr[GPR_RDI] = DEVICE;
	expect_done(2); /* mov [rdi], eax */
	assert_int_equal(machine.segments_read, 0);
	e.cpu.gpr[GPR_RDI] = 8;
	e.cpu.gpr[GPR_RAX] = 0x22;
	expect_done(3); /* mov gs:[rdi], eax */
	expect_done(4); /* mov gs:[rdi + 4], eax: not read again */
	assert_int_equal(memory_u64(DATA + 8), 0x2200000022);
	assert_int_equal(machine.segments_read, BIT(SEGMENT_GS));
	e.cpu.gpr[GPR_RDI] = DEVICE;
	expect_done(2); /* mov [rdi], ds */
	expect_event(1, 'w', DEVICE, 0x2b, 2);

	START("\x89\x07", CODE_32); /* mov [edi], eax */
	e.cpu.segments[SEGMENT_DS].limit = DATA + 2;
	e.cpu.gpr[GPR_RDI] = DATA;
	hide_segments();
	assert_int_equal(emulate_step(&e, 1), EMULATE_FAULT);
	assert_int_equal(e.fault.vector, 13);
	assert_int_equal(machine.segments_read,
			 BIT(SEGMENT_CS) | BIT(SEGMENT_DS));
	START("\x89\x07", CODE_32);
	e.cpu.segments[SEGMENT_CS].limit = CODE;
	hide_segments();
	assert_int_equal(emulate_step(&e, 1), EMULATE_FAULT);
	assert_int_equal(e.fault.vector, 13);
}

/* --- Instructions that are known ------------------------------------------ */

static struct known_instruction known[KNOWN_INSTRUCTIONS];

static void start_known(const char *code, u32 count, enum code_size size)
{
	start(code, count, size);
	e.known = known;
	e.cpu.gpr[GPR_RDI] = DEVICE;
}

#define START_KNOWN(code, size) start_known(code, sizeof(code) - 1, size)

static void expect_written(u32 length, u64 value, u32 bytes)
{
	expect_done(length);
	assert_int_equal(machine.event_count, 1);
	expect_event(0, 'w', DEVICE, value, bytes);
}

static void known_instruction_is_not_decoded(void **state)
{
	(void)state;
	memset(known, 0, sizeof(known));
	START_KNOWN("\xc7\x07\x05\x00\x00\x00", CODE_64);
	expect_written(6, 5, 4); /* mov dword [rdi], 5 */
	for (u32 i = 0; i < KNOWN_INSTRUCTIONS; i++)
		known[i].instruction.immediate += 10;
	START_KNOWN("\xc7\x07\x05\x00\x00\x00\x90", CODE_64);
	expect_written(6, 15, 4);
}

/* Who changes code, its size or its place gets what the bytes say. */
static void known_instruction_goes_by_its_bytes(void **state)
{
	static const char move[] = /* mov dword [DEVICE], 5 */
	    "\xc7\x04\x25\x00\xc0\x00\x00\x05\x00\x00";

	(void)state;
	memset(known, 0, sizeof(known));
	START_KNOWN("\xc7\x07\x05\x00\x00\x00", CODE_64);
	expect_written(6, 5, 4);
	START_KNOWN("\xc7\x07\x05\x00\x00\x01", CODE_64);
	expect_written(6, 0x1000005, 4);
	START_KNOWN("\x89\x07\x05\x00\x00\x01", CODE_64);
	e.cpu.gpr[GPR_RAX] = 9;
	expect_written(2, 9, 4);
	START_KNOWN("\x89\x07\x05\x00\x00\x01", CODE_16); /* [bx] */
	e.cpu.gpr[GPR_RBX] = DEVICE;
	e.cpu.gpr[GPR_RAX] = 9;
	expect_written(2, 9, 2);
	for (char last = 1; last < 4; last++) {
		start_known(move, sizeof(move), CODE_64);
		machine.memory[CODE + 10] = (u8)last;
		expect_written(11, 5U | (u32)last << 24, 4);
	}
}

/* The byte that is missing is no zero. */
static void known_instruction_needs_all_its_bytes(void **state)
{
	const u64 end = NOT_THERE - 2; /* the same place as CODE + 16 */

	(void)state;
	memset(known, 0, sizeof(known));
	START_KNOWN("", CODE_64);
	memcpy(machine.memory + CODE + 16, "\x89\x47\x00", 3);
	memcpy(machine.memory + end, "\x89\x47", 2);
	e.cpu.rip = CODE + 16;
	expect_written(3, 0, 4); /* mov [rdi + 0], eax */
	machine.event_count = 0;
	e.cpu.rip = end;
	expect_fault(14, PF_FETCH);
	assert_int_equal(e.fault.address, NOT_THERE);
}

/* --- Repeated strings ----------------------------------------------------- */

static void repeated_string_stops_between_iterations(void **state)
{
	(void)state;
	START("\xf3\xab", CODE_64); /* rep stosd */
	e.cpu.gpr[GPR_RDI] = DEVICE;
	e.cpu.gpr[GPR_RCX] = 5;
	e.cpu.gpr[GPR_RAX] = 9;
	assert_int_equal(emulate_step(&e, 3), EMULATE_CONTINUE);
	assert_int_equal(e.cpu.rip, CODE);
	assert_int_equal(e.cpu.gpr[GPR_RCX], 2);
	assert_int_equal(e.cpu.gpr[GPR_RDI], DEVICE + 12);
	assert_int_equal(machine.event_count, 3);
	assert_int_equal(emulate_step(&e, 3), EMULATE_DONE);
	assert_int_equal(e.cpu.rip, CODE + 2);
	assert_int_equal(machine.event_count, 5);
	expect_event(4, 'w', DEVICE + 16, 9, 4);
}

static void repeated_string_keeps_what_it_did_before_a_fault(void **state)
{
	(void)state;
	START("\xf3\xa4", CODE_64); /* rep movsb */
	e.cpu.gpr[GPR_RSI] = DATA;
	e.cpu.gpr[GPR_RDI] = NOT_THERE - 4;
	e.cpu.gpr[GPR_RCX] = 10;
	memset(machine.memory + DATA, 0x5a, 16);
	assert_int_equal(emulate_step(&e, 64), EMULATE_FAULT);
	assert_int_equal(e.fault.address, NOT_THERE);
	assert_int_equal(e.cpu.rip, CODE);
	assert_int_equal(e.cpu.gpr[GPR_RCX], 6);
	assert_int_equal(e.cpu.gpr[GPR_RSI], DATA + 4);
	assert_int_equal(e.cpu.gpr[GPR_RDI], NOT_THERE);
	assert_int_equal(memory_u64(NOT_THERE - 4), 0x5a5a5a5a);
}

/* What is done must not be done twice: the caller keeps the registers. */
static void repeated_string_interrupted_by_others_goes_on(void **state)
{
	(void)state;
	START("\xf3\xa4", CODE_64); /* rep movsb */
	e.cpu.gpr[GPR_RSI] = DATA;
	e.cpu.gpr[GPR_RDI] = DEVICE;
	e.cpu.gpr[GPR_RCX] = 4;
	machine.busy_translations_after = 6; /* code, and two for each byte */
	assert_int_equal(emulate_step(&e, 64), EMULATE_CONTINUE);
	assert_int_equal(e.cpu.gpr[GPR_RCX], 2);
	assert_int_equal(machine.event_count, 2);
	machine.busy_translations_after = 1;
	assert_int_equal(emulate_step(&e, 64), EMULATE_AGAIN);
	assert_int_equal(e.cpu.gpr[GPR_RCX], 2);
	machine.busy_translations_after = 0;
	assert_int_equal(emulate_step(&e, 64), EMULATE_DONE);
	assert_int_equal(machine.event_count, 4);
}

/* SDM vol. 3, "Data Memory and I/O Breakpoint Exception Conditions". */
static void repeated_string_stops_behind_a_breakpoint(void **state)
{
	/* DR1: two bytes written; DR2: this port, one byte. */
	const struct breakpoints watched = {
	    .addresses = {0, DEVICE + 8, 0x71, 0},
	    .dr7 = 1u << 2 | 1u << 20 | 1u << 22 | 1u << 4 | 2u << 24,
	    .has_ports = true,
	};

	(void)state;
	START("\xf3\xab\xf3\x6f", CODE_64); /* rep stosd; rep outsd */
	e.breakpoints = &watched;
	e.cpu.gpr[GPR_RDI] = DEVICE;
	e.cpu.gpr[GPR_RCX] = 5;
	assert_int_equal(emulate_step(&e, 64), EMULATE_CONTINUE);
	assert_int_equal(e.met, BIT(1));
	assert_int_equal(e.cpu.gpr[GPR_RCX], 2);
	assert_int_equal(emulate_step(&e, 64), EMULATE_DONE);
	assert_int_equal(e.met, 0);

	e.cpu.gpr[GPR_RSI] = DEVICE + 8; /* reads it, which is not watched */
	e.cpu.gpr[GPR_RDX] = 0x6f;
	e.cpu.gpr[GPR_RCX] = 1;
	assert_int_equal(emulate_step(&e, 64), EMULATE_DONE);
	assert_int_equal(e.met, BIT(2));
}

/* The iteration that has met it is not done: it will meet it again. */
static void breakpoint_of_an_iteration_to_come_is_not_told(void **state)
{
	const struct breakpoints watched = {.addresses = {DATA + 2},
					    .dr7 = 1u | 3u << 16};

	(void)state;
	START("\xf3\xa4", CODE_64); /* rep movsb */
	e.breakpoints = &watched;
	e.cpu.gpr[GPR_RSI] = DATA;
	e.cpu.gpr[GPR_RDI] = DEVICE;
	e.cpu.gpr[GPR_RCX] = 4;
	machine.busy_translations_after = 7; /* in the third byte's write */
	assert_int_equal(emulate_step(&e, 64), EMULATE_CONTINUE);
	assert_int_equal(e.cpu.gpr[GPR_RCX], 2);
	assert_int_equal(e.met, 0);
	machine.busy_translations_after = 0;
	assert_int_equal(emulate_step(&e, 64), EMULATE_CONTINUE);
	assert_int_equal(e.cpu.gpr[GPR_RCX], 1);
	assert_int_equal(e.met, BIT(0));
}

static void repeat_count_of_zero_touches_nothing(void **state)
{
	(void)state;
	START("\xf3\xa4", CODE_64);
	e.cpu.gpr[GPR_RSI] = NOT_THERE;
	e.cpu.gpr[GPR_RDI] = NOT_THERE;
	expect_done(2);
}

static void address_size_limits_string_registers(void **state)
{
	(void)state;
	START("\xf3\xab", CODE_16); /* rep stosw */
	e.cpu.gpr[GPR_RDI] = 0xaaaa0000 + DATA;
	e.cpu.gpr[GPR_RCX] = 0xbbbb0001;
	expect_done(2);
	assert_int_equal(e.cpu.gpr[GPR_RDI], 0xaaaa0000 + DATA + 2);
	assert_int_equal(e.cpu.gpr[GPR_RCX], 0xbbbb0000);
}

static void ports_and_memory_are_joined_by_string_io(void **state)
{
	(void)state;
	START("\xf3\x6d", CODE_64); /* rep insd */
	e.cpu.gpr[GPR_RDI] = DATA;
	e.cpu.gpr[GPR_RCX] = 2;
	e.cpu.gpr[GPR_RDX] = 0xffff01f0;
	machine.device_value = 0x11223344;
	assert_int_equal(emulate_step(&e, 64), EMULATE_DONE);
	assert_int_equal(memory_u64(DATA), 0x1122334411223344);
	expect_event(1, 'i', 0x1f0, 0, 4);

	START("\x66\x6f", CODE_64); /* outsw */
	e.cpu.gpr[GPR_RSI] = DATA;
	e.cpu.gpr[GPR_RDX] = 0xf4;
	machine.memory[DATA] = 0x21;
	expect_done(2);
	expect_event(0, 'o', 0xf4, 0x21, 2);
	assert_int_equal(e.cpu.gpr[GPR_RSI], DATA + 2);
}

/* --- Other CPUs ----------------------------------------------------------- */

static void locked_instruction_starts_again_if_memory_changed(void **state)
{
	struct emulate_cpu before;

	(void)state;
	START("\xf0\x48\x0f\xc1\x07", CODE_64); /* lock xadd [rdi], rax */
	e.cpu.gpr[GPR_RDI] = DATA;
	e.cpu.gpr[GPR_RAX] = 10;
	machine.busy_swaps = 1;
	before = e.cpu;
	assert_int_equal(emulate_step(&e, 1), EMULATE_AGAIN);
	assert_memory_equal(&before, &e.cpu, sizeof(before));
	expect_done(5);
	assert_int_equal(memory_u64(DATA), 11); /* both increments */
	assert_int_equal(e.cpu.gpr[GPR_RAX], 1);
}

static void exchange_is_locked_without_a_prefix(void **state)
{
	(void)state;
	START("\x87\x07", CODE_64); /* xchg [rdi], eax */
	e.cpu.gpr[GPR_RDI] = DATA;
	machine.busy_swaps = 1;
	assert_int_equal(emulate_step(&e, 1), EMULATE_AGAIN);
	expect_done(2);
}

/* --- Flags ---------------------------------------------------------------- */

static void resume_flag_ends_with_the_instruction(void **state)
{
	(void)state;
	START("\x89\x07", CODE_64);
	e.cpu.gpr[GPR_RDI] = DATA;
	e.cpu.rflags |= RFLAGS_RF | RFLAGS_TF;
	expect_done(2);
	assert_int_equal(e.cpu.rflags, 2 | RFLAGS_TF);
}

static enum err divide(enum operation operation, u64 high, u64 low, u64 divisor,
		       u32 bytes)
{
	struct alu_division out = {99, 99};
	enum err err = alu_divide(operation, (struct alu_pair){low, high},
				  divisor, bytes, &out);

	if (err != OK)
		assert_int_equal(out.quotient, 99); /* nothing is written */
	return err;
}

static void division_knows_the_largest_quotients(void **state)
{
	(void)state;
	/* -128 fits a byte, 128 does not. */
	assert_int_equal(divide(OP_IDIV, 0xff, 0x80, 1, 1), OK);
	assert_int_equal(divide(OP_IDIV, 0, 0x80, 1, 1), ERR_RANGE);
	assert_int_equal(divide(OP_IDIV, 0, 0x80, 0xff, 1), OK);
	assert_int_equal(divide(OP_IDIV, 0xff, 0x80, 0xff, 1), ERR_RANGE);
	assert_int_equal(divide(OP_IDIV, 0xff, 0x7f, 1, 1), ERR_RANGE);
	assert_int_equal(divide(OP_IDIV, 1ull << 63, 0, ~0ull, 8), ERR_RANGE);
	assert_int_equal(divide(OP_IDIV, ~0ull, 1ull << 63, ~0ull, 8),
			 ERR_RANGE);
	assert_int_equal(divide(OP_DIV, 6, ~0ull, 7, 8), OK);
	assert_int_equal(divide(OP_DIV, 7, 0, 7, 8), ERR_RANGE);
	assert_int_equal(divide(OP_DIV, 0, 1, 0, 4), ERR_RANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(device_sees_one_access_of_the_right_size),
	    cmocka_unit_test(read_modify_write_reads_once_and_writes_once),
	    cmocka_unit_test(moves_without_reading_do_not_read),
	    cmocka_unit_test(push_and_pop_reach_devices),
	    cmocka_unit_test(refusing_device_stops_the_guest),
	    cmocka_unit_test(unknown_forms_are_shown_not_guessed),
	    cmocka_unit_test(vector_moves_reach_a_device_in_halves),
	    cmocka_unit_test(vector_moves_cross_pages),
	    cmocka_unit_test(aligned_vector_moves_want_alignment),
	    cmocka_unit_test(vector_moves_that_cr0_forbids_are_tried_again),
	    cmocka_unit_test(vector_stays_when_the_device_refuses),
	    cmocka_unit_test(page_fault_changes_nothing),
	    cmocka_unit_test(read_only_page_faults_before_anything_is_read),
	    cmocka_unit_test(operand_across_pages_faults_at_the_second_page),
	    cmocka_unit_test(operand_across_pages_is_put_together),
	    cmocka_unit_test(destination_is_checked_before_the_device_is_read),
	    cmocka_unit_test(instruction_across_pages_is_fetched),
	    cmocka_unit_test(missing_second_page_matters_only_if_needed),
	    cmocka_unit_test(code_limit_and_length_raise_gp),
	    cmocka_unit_test(rex_counts_only_right_before_the_opcode),
	    cmocka_unit_test(segment_limits_and_types_are_checked),
	    cmocka_unit_test(expand_down_segments_allow_what_lies_above),
	    cmocka_unit_test(stack_segment_faults_are_ss),
	    cmocka_unit_test(segment_bases_count_in_every_size),
	    cmocka_unit_test(real_mode_ignores_types_and_uses_16_bit_addresses),
	    cmocka_unit_test(stack_width_follows_the_stack_segment),
	    cmocka_unit_test(alignment_check_faults_only_where_it_is_on),
	    cmocka_unit_test(cmpxchg16b_wants_alignment),
	    cmocka_unit_test(segments_are_read_where_they_count),
	    cmocka_unit_test(known_instruction_is_not_decoded),
	    cmocka_unit_test(known_instruction_goes_by_its_bytes),
	    cmocka_unit_test(known_instruction_needs_all_its_bytes),
	    cmocka_unit_test(repeated_string_stops_between_iterations),
	    cmocka_unit_test(repeated_string_keeps_what_it_did_before_a_fault),
	    cmocka_unit_test(repeated_string_interrupted_by_others_goes_on),
	    cmocka_unit_test(repeat_count_of_zero_touches_nothing),
	    cmocka_unit_test(address_size_limits_string_registers),
	    cmocka_unit_test(ports_and_memory_are_joined_by_string_io),
	    cmocka_unit_test(locked_instruction_starts_again_if_memory_changed),
	    cmocka_unit_test(exchange_is_locked_without_a_prefix),
	    cmocka_unit_test(repeated_string_stops_behind_a_breakpoint),
	    cmocka_unit_test(breakpoint_of_an_iteration_to_come_is_not_told),
	    cmocka_unit_test(resume_flag_ends_with_the_instruction),
	    cmocka_unit_test(division_knows_the_largest_quotients),
	};

	return cmocka_run_group_tests_name("emulate", tests, NULL, NULL);
}
