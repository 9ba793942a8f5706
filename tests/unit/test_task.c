/* SPDX-License-Identifier: MIT */
/* Hardware task switches against the SDM, volume 3, "Task Management". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "emulate/task.h"
#include "tests/unit/support.h"

#define MEMORY_BYTES 0x10000u
#define MISSING      0xe000u /* this page is not present */
#define READ_ONLY    0xb000u

#define GDT          0x1000u
#define OLD_TSS      0x2ff0u /* across two pages */
#define NEW_TSS      0x4000u
#define LDT          0x5000u
#define STACK        0x6000u

#define S_CODE       0x08
#define S_DATA       0x10
#define S_OLD        0x18
#define S_NEW        0x20
#define S_LDT        0x28
#define S_USER_CODE  0x30
#define S_USER_DATA  0x38
#define S_ABSENT     0x40
#define S_NEW16      0x48

#define VM           0x20000u
#define NT           0x4000u

static u8 memory[MEMORY_BYTES];
static struct task_switch t;
static u64 loaded_cr3;
static bool pdptes_are_wrong;
static u8 became;

/* --- A machine ------------------------------------------------------------ */

static enum err translate(void *context, gva_t address,
			  enum emulate_access access, gpa_t *result,
			  u32 *error_code)
{
	u64 linear = gva_raw(address), page = linear & ~0xfffULL;

	(void)context;
	*error_code = access == EMULATE_WRITE ? 2 : 0;
	if (page == MISSING)
		return ERR_RANGE;
	if (page == READ_ONLY && access == EMULATE_WRITE) {
		*error_code = 3;
		return ERR_RANGE;
	}
	if (page >= MEMORY_BYTES)
		return ERR_NOT_FOUND;
	*result = gpa(linear);
	return OK;
}

static enum err bus_read(void *context, gpa_t address, void *to, u32 bytes)
{
	(void)context;
	assert_true(gpa_raw(address) + bytes <= MEMORY_BYTES);
	memcpy(to, memory + gpa_raw(address), bytes);
	return OK;
}

static enum err bus_write(void *context, gpa_t address, const void *from,
			  u32 bytes)
{
	(void)context;
	assert_true(gpa_raw(address) + bytes <= MEMORY_BYTES);
	assert_true((gpa_raw(address) & ~0xfffULL) != READ_ONLY);
	memcpy(memory + gpa_raw(address), from, bytes);
	return OK;
}

static enum err load_cr3(void *context, u64 cr3)
{
	(void)context;
	loaded_cr3 = cr3;
	return pdptes_are_wrong ? ERR_RANGE : OK;
}

static void become(void *context, u8 cpl)
{
	(void)context;
	became = cpl;
}

static const struct emulate_bus bus = {
    .translate = translate, .read = bus_read, .write = bus_write};

static void set32(u32 address, u32 value)
{
	memcpy(memory + address, &value, 4);
}

static void set16(u32 address, u16 value)
{
	memcpy(memory + address, &value, 2);
}

static u32 get32(u32 address)
{
	u32 value;

	memcpy(&value, memory + address, 4);
	return value;
}

static u16 get16(u32 address)
{
	return (u16)get32(address);
}

/* `rights` as in the VMCS. */
static void describe(u32 selector, u32 base, u32 limit, u32 rights)
{
	u32 at = GDT + selector;

	set32(at, (base & 0xffff) << 16 | (limit & 0xffff));
	set32(at + 4, (base & 0xff000000) | (base >> 16 & 0xff) |
			  (limit & 0xf0000) | rights << 8);
}

static u8 type_of(u32 selector)
{
	return memory[GDT + selector + 5];
}

/* The new task's, all different. */
static void fill_new_tss(void)
{
	set32(NEW_TSS + 28, 0x9000);
	set32(NEW_TSS + 32, 0x1234);
	set32(NEW_TSS + 36, 0x202);
	for (u32 i = 0; i < 8; i++)
		set32(NEW_TSS + 40 + 4 * i, 0x11111111 * (i + 1));
	set32(NEW_TSS + 40 + 16, STACK + 0x100);
	for (u32 i = 0; i < 6; i++)
		set32(NEW_TSS + 72 + 4 * i, i == 1 ? S_CODE : S_DATA);
	set32(NEW_TSS + 96, 0);
	set16(NEW_TSS + 100, 0);
}

static void fill_new_tss16(void)
{
	set16(NEW_TSS + 14, 0x1234);
	set16(NEW_TSS + 16, 0x202);
	for (u32 i = 0; i < 8; i++)
		set16(NEW_TSS + 18 + 2 * i, (u16)(0x1111 * (i + 1)));
	set16(NEW_TSS + 18 + 8, STACK + 0x100);
	for (u32 i = 0; i < 4; i++)
		set16(NEW_TSS + 34 + 2 * i, i == 1 ? S_CODE : S_DATA);
	set16(NEW_TSS + 42, 0);
}

static int fresh(void **state)
{
	struct emulate_cpu *cpu = &t.cpu.core;

	(void)state;
	memset(memory, 0x5a, sizeof(memory));
	describe(0, 0, 0, 0);
	describe(S_CODE, 0, 0xfffff, 0xc09a);
	describe(S_DATA, 0, 0xfffff, 0xc092);
	describe(S_OLD, OLD_TSS, 0x67, 0x8b);
	describe(S_NEW, NEW_TSS, 0x67, 0x89);
	describe(S_LDT, LDT, 0xf, 0x82);
	describe(S_USER_CODE, 0, 0xfffff, 0xc0fa);
	describe(S_USER_DATA, 0, 0xfffff, 0xc0f2);
	describe(S_ABSENT, 0, 0xfffff, 0xc012);
	describe(S_NEW16, NEW_TSS, 0x2b, 0x81);
	fill_new_tss();
	memset(&t, 0, sizeof(t));
	t.bus = &bus;
	t.load_cr3 = load_cr3;
	t.become = become;
	t.source = TASK_JUMP;
	t.selector = S_NEW;
	t.return_rip = 0x4321;
	t.cpu.gdt_base = GDT;
	t.cpu.gdt_limit = 0x4f;
	t.cpu.cr3 = 0x8000;
	t.cpu.dr7 = 0x755;
	t.cpu.tr = (struct emulate_segment){OLD_TSS, 0x67, 0x8b, S_OLD};
	t.cpu.ldtr.access_rights = (u32)SEGMENT_UNUSABLE;
	cpu->cr0 = 0x80000011;
	cpu->rflags = 0x246;
	for (u32 i = 0; i < 8; i++)
		cpu->gpr[i] = 0xa0 + i;
	for (u32 i = 0; i < SEGMENT_COUNT; i++)
		cpu->segments[i].selector = (u16)(0x70 + 8 * i);
	loaded_cr3 = 0;
	pdptes_are_wrong = false;
	became = 0xff;
	return 0;
}

static void switches(void)
{
	assert_int_equal(task_switch(&t), EMULATE_DONE);
	assert_true(t.is_new);
}

/* In the old task: nothing at all has changed. */
static void faults(u8 vector, u32 code)
{
	static u8 before[MEMORY_BYTES];
	const struct task_cpu cpu = t.cpu;

	memcpy(before, memory, sizeof(before));
	assert_int_equal(task_switch(&t), EMULATE_FAULT);
	assert_false(t.is_new);
	assert_int_equal(t.fault.vector, vector);
	assert_int_equal(t.fault.error_code, code);
	assert_memory_equal(before, memory, sizeof(before));
	assert_memory_equal(&cpu, &t.cpu, sizeof(cpu));
}

static void faults_in_the_new_task(u8 vector, u32 code)
{
	assert_int_equal(task_switch(&t), EMULATE_FAULT);
	assert_true(t.is_new);
	assert_int_equal(t.fault.vector, vector);
	assert_int_equal(t.fault.error_code, code);
	assert_int_equal(t.cpu.tr.selector, S_NEW);
	assert_int_equal(t.cpu.core.rip, 0x1234);
}

/* --- Switches ------------------------------------------------------------- */

static void registers_are_saved_and_loaded(void **state)
{
	const struct emulate_cpu *cpu = &t.cpu.core;

	(void)state;
	switches();
	assert_int_equal(get32(OLD_TSS + 32), 0x4321);
	assert_int_equal(get32(OLD_TSS + 36), 0x246);
	for (u32 i = 0; i < 8; i++)
		assert_int_equal(get32(OLD_TSS + 40 + 4 * i), 0xa0 + i);
	for (u32 i = 0; i < 6; i++)
		assert_int_equal(get16(OLD_TSS + 72 + 4 * i), 0x70 + 8 * i);
	/* Stacks of other levels, CR3 and LDT are never written. */
	for (u32 at = 0; at < 32; at++)
		assert_int_equal(memory[OLD_TSS + at], 0x5a);
	assert_int_equal(get32(OLD_TSS + 96), 0x5a5a5a5a);
	assert_int_equal(cpu->rip, 0x1234);
	assert_int_equal(cpu->rflags, 0x202);
	assert_int_equal(cpu->gpr[GPR_RAX], 0x11111111);
	assert_int_equal(cpu->gpr[GPR_RSP], STACK + 0x100);
	assert_int_equal(cpu->gpr[GPR_RDI], 0x88888888);
	assert_int_equal(cpu->segments[SEGMENT_CS].access_rights, 0xc09b);
	assert_int_equal(cpu->segments[SEGMENT_SS].limit, 0xffffffff);
	assert_int_equal(cpu->segments[SEGMENT_GS].selector, S_DATA);
	assert_int_equal(cpu->cr0, 0x80000019);
	assert_int_equal(loaded_cr3, 0x9000);
	assert_int_equal(t.cpu.dr7, 0x600);
	assert_int_equal(became, 0);
	assert_false(t.debug_trap);
	/* Accessed flags are in memory, too. */
	assert_int_equal(type_of(S_CODE), 0x9b);
	assert_int_equal(type_of(S_DATA), 0x93);
}

static void busy_flags_and_links(enum task_source source, u32 old, u32 new,
				 bool links)
{
	fresh(NULL);
	t.source = source;
	t.cpu.core.rflags |= NT;
	if (source == TASK_IRET)
		describe(S_NEW, NEW_TSS, 0x67, 0x8b);
	switches();
	assert_int_equal(type_of(S_OLD), old);
	assert_int_equal(type_of(S_NEW), new);
	assert_int_equal(t.cpu.tr.access_rights, 0x8b);
	assert_int_equal(get16(NEW_TSS), links ? S_OLD : 0x5a5a);
	assert_int_equal(t.cpu.core.rflags & NT, links ? NT : 0);
	/* IRET leaves NT behind in neither task. */
	assert_int_equal(get32(OLD_TSS + 36) & NT,
			 source == TASK_IRET ? 0 : NT);
}

static void each_way_sets_its_flags(void **state)
{
	(void)state;
	busy_flags_and_links(TASK_JUMP, 0x89, 0x8b, false);
	busy_flags_and_links(TASK_CALL, 0x8b, 0x8b, true);
	busy_flags_and_links(TASK_GATE, 0x8b, 0x8b, true);
	busy_flags_and_links(TASK_IRET, 0x89, 0x8b, false);
}

static void there_and_back_is_where_it_was(void **state)
{
	struct emulate_cpu before;

	(void)state;
	for (u32 i = 0; i < SEGMENT_COUNT; i++)
		t.cpu.core.segments[i].selector =
		    i == SEGMENT_CS ? S_CODE : S_DATA;
	set32(OLD_TSS + 28, 0x8000);
	set32(OLD_TSS + 96, 0);
	set16(OLD_TSS + 100, 0);
	before = t.cpu.core;
	t.source = TASK_CALL;
	switches();
	t.source = TASK_IRET;
	t.selector = get16(NEW_TSS);
	t.return_rip = 0x1236;
	switches();
	assert_int_equal(t.cpu.core.rip, 0x4321);
	assert_int_equal(t.cpu.core.rflags, before.rflags);
	assert_memory_equal(t.cpu.core.gpr, before.gpr, sizeof(before.gpr));
	assert_int_equal(t.cpu.tr.selector, S_OLD);
	assert_int_equal(type_of(S_OLD), 0x8b);
	assert_int_equal(type_of(S_NEW), 0x89);
	assert_int_equal(get32(NEW_TSS + 32), 0x1236);
	assert_int_equal(loaded_cr3, 0x8000);
}

static void task_of_16_bits(void **state)
{
	(void)state;
	fill_new_tss16();
	t.selector = S_NEW16;
	t.source = TASK_CALL;
	switches();
	assert_int_equal(t.cpu.core.rip, 0x1234);
	assert_int_equal(t.cpu.core.gpr[GPR_RAX], 0x1111);
	assert_int_equal(t.cpu.core.segments[SEGMENT_DS].selector, S_DATA);
	assert_true(t.cpu.core.segments[SEGMENT_FS].access_rights &
		    SEGMENT_UNUSABLE);
	assert_int_equal(t.cpu.tr.access_rights, 0x83);
	assert_int_equal(loaded_cr3, 0x8000); /* it has none of its own */
	/* And back, from a 16-bit task into the other one. */
	t.source = TASK_IRET;
	t.selector = get16(NEW_TSS);
	t.return_rip = 0x77;
	for (u32 i = 0; i < 6; i++)
		set32(OLD_TSS + 72 + 4 * i, i == 1 ? S_CODE : S_DATA);
	set32(OLD_TSS + 96, 0);
	switches();
	assert_int_equal(get16(NEW_TSS + 14), 0x77);
	assert_int_equal(get16(NEW_TSS + 18), 0x1111);
	assert_int_equal(t.cpu.core.rip, 0x4321);
}

static void user_task_and_its_ldt(void **state)
{
	(void)state;
	memcpy(memory + LDT + 8, memory + GDT + S_USER_DATA, 8);
	set32(NEW_TSS + 96, S_LDT);
	for (u32 i = 0; i < 6; i++)
		set32(NEW_TSS + 72 + 4 * i,
		      i == 1 ? S_USER_CODE | 3 : (8 | 4 | 3));
	set32(NEW_TSS + 88, 0);
	switches();
	assert_int_equal(became, 3);
	assert_int_equal(t.cpu.core.cpl, 3);
	assert_int_equal(t.cpu.ldtr.access_rights, 0x82);
	assert_int_equal(t.cpu.ldtr.base, LDT);
	assert_int_equal(t.cpu.core.segments[SEGMENT_SS].access_rights, 0xc0f3);
	assert_int_equal(memory[LDT + 8 + 5], 0xf3);
	assert_true(t.cpu.core.segments[SEGMENT_FS].access_rights &
		    SEGMENT_UNUSABLE);
}

static void task_in_virtual_8086_mode(void **state)
{
	(void)state;
	set32(NEW_TSS + 36, VM | 0x3202);
	for (u32 i = 0; i < 6; i++)
		set32(NEW_TSS + 72 + 4 * i, 0x300 + i);
	switches();
	assert_int_equal(t.cpu.core.cpl, 3);
	for (u32 i = 0; i < SEGMENT_COUNT; i++) {
		const struct emulate_segment *s = &t.cpu.core.segments[i];

		assert_int_equal(s->base, (0x300 + i) << 4);
		assert_int_equal(s->limit, 0xffff);
		assert_int_equal(s->access_rights, 0xf3);
	}
}

static void error_code_is_pushed(void **state)
{
	(void)state;
	t.source = TASK_GATE;
	t.event = (struct task_event){true, true, 0xabcd};
	switches();
	assert_int_equal(t.cpu.core.gpr[GPR_RSP], STACK + 0xfc);
	assert_int_equal(get32(STACK + 0xfc), 0xabcd);
	fresh(NULL);
	fill_new_tss16();
	t.source = TASK_GATE;
	t.selector = S_NEW16;
	t.event = (struct task_event){true, true, 0xabcd};
	switches();
	assert_int_equal(get16(STACK + 0xfe), 0xabcd);
	/* A stack that is not there is the new task's trouble. */
	fresh(NULL);
	t.source = TASK_GATE;
	t.event = (struct task_event){true, true, 0xabcd};
	set32(NEW_TSS + 56, MISSING + 0x10);
	assert_int_equal(task_switch(&t), EMULATE_FAULT);
	assert_true(t.is_new);
	assert_int_equal(t.fault.vector, 14);
	assert_int_equal(t.fault.address, MISSING + 0xc);
}

static void trap_flag_is_told(void **state)
{
	(void)state;
	set16(NEW_TSS + 100, 1);
	switches();
	assert_true(t.debug_trap);
}

static void paging_off_keeps_cr3(void **state)
{
	(void)state;
	t.cpu.core.cr0 = 0x11;
	switches();
	assert_int_equal(loaded_cr3, 0x8000);
}

/* --- Exceptions of the old task --------------------------------------------
 */

static void wrong_descriptors_fault_in_the_old_task(void **state)
{
	(void)state;
	t.selector = 0;
	faults(13, 0);
	t.selector = S_NEW | 4;
	faults(13, S_NEW | 4);
	t.selector = 0x50;
	faults(13, 0x50);
	t.selector = S_OLD; /* busy */
	faults(13, S_OLD);
	t.selector = S_DATA;
	faults(13, S_DATA);
	t.source = TASK_IRET;
	t.selector = S_NEW; /* not busy */
	faults(10, S_NEW);
	t.source = TASK_JUMP;
	describe(S_NEW, NEW_TSS, 0x67, 0x09);
	faults(11, S_NEW);
	describe(S_NEW, NEW_TSS, 0x66, 0x89);
	faults(10, S_NEW);
	describe(S_NEW, NEW_TSS, 0x67, 0x89);
	t.cpu.tr.limit = 0x66;
	faults(10, S_OLD);
	t.event.is_external = true;
	faults(10, S_OLD | 1);
}

static void missing_pages_fault_in_the_old_task(void **state)
{
	(void)state;
	describe(S_NEW, MISSING, 0x67, 0x89);
	faults(14, 0);
	assert_int_equal(t.fault.address, MISSING);
	describe(S_NEW, MISSING - 0x40, 0x67, 0x89);
	faults(14, 0);
	t.source = TASK_CALL;
	describe(S_NEW, READ_ONLY, 0x67, 0x89);
	memcpy(memory + READ_ONLY, memory + NEW_TSS, 104);
	faults(14, 3);
	describe(S_NEW, NEW_TSS, 0x67, 0x89);
	t.cpu.tr.base = MISSING - 0x30;
	faults(14, 2);
}

/* --- Exceptions of the new one ----------------------------------------------
 */

static void wrong_segments_fault_in_the_new_task(void **state)
{
	static const struct {
		u32 offset, value;
		u8 vector;
		u16 code;
	} wrong[] = {
	    {76, 0, 10, 0},                         /* no CS */
	    {76, S_DATA, 10, S_DATA},               /* CS is data */
	    {76, S_CODE | 3, 10, S_CODE},           /* its DPL is not its RPL */
	    {80, 0, 10, 0},                         /* no SS */
	    {80, S_CODE, 10, S_CODE},               /* SS is code */
	    {80, S_USER_DATA | 3, 10, S_USER_DATA}, /* of another level */
	    {80, S_ABSENT, 12, S_ABSENT},           /* SS is not present */
	    {84, S_ABSENT, 11, S_ABSENT},           /* nor DS */
	    {84, S_NEW, 10, S_NEW},                 /* a system segment */
	    {92, 0x50, 10, 0x50},                   /* beyond the GDT */
	    {92, 0xc, 10, 0xc},                     /* there is no LDT */
	    {96, S_DATA, 10, S_DATA},               /* LDT is none */
	    {96, 0xc, 10, 0xc},                     /* LDT is in an LDT */
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(wrong); i++) {
		fresh(NULL);
		set32(NEW_TSS + wrong[i].offset, wrong[i].value);
		faults_in_the_new_task(wrong[i].vector, wrong[i].code);
	}
	fresh(NULL);
	pdptes_are_wrong = true;
	faults_in_the_new_task(13, 0);
	fresh(NULL);
	describe(S_CODE, 0, 0x1233, 0x409a);
	faults_in_the_new_task(13, 0);
}

/* --- Anything --------------------------------------------------------------
 */

/* What the VM entry would refuse, it refuses the whole guest for. */
static void can_be_entered(void)
{
	const struct emulate_cpu *cpu = &t.cpu.core;
	u32 cs = cpu->segments[SEGMENT_CS].access_rights;
	u32 ss = cpu->segments[SEGMENT_SS].access_rights;

	assert_true(cpu->rflags & 2);
	assert_int_equal(t.cpu.tr.access_rights & 0x1f & ~8U, 3);
	if (cpu->rflags & VM) {
		assert_true(cs == 0xf3 || t.fault.vector);
		return;
	}
	assert_false(cs & SEGMENT_UNUSABLE);
	assert_true(cs & SEGMENT_CODE && cs & 0x10 && cs & 0x80 && cs & 1);
	assert_int_equal(ss & 0x13, 0x13);
	assert_int_equal(ss >> 5 & 3, cpu->segments[SEGMENT_CS].selector & 3);
	if (!(cs & 4))
		assert_int_equal(cs >> 5 & 3, ss >> 5 & 3);
}

static void random_tables(u64 seed)
{
	struct random random = random_from(seed);

	for (u32 i = 0; i < 400; i++) {
		fresh(NULL);
		t.source = (enum task_source)random_below(&random, 4);
		t.selector =
		    (u16)(random_below(&random, 4) ? S_NEW
						   : random_next(&random));
		t.cpu.gdt_limit = (u32)random_below(&random, 0x10000);
		for (u32 j = 0; j < random_below(&random, 12); j++)
			memory[GDT + random_below(&random, 0x50)] =
			    (u8)random_next(&random);
		for (u32 j = 0; j < random_below(&random, 12); j++)
			memory[NEW_TSS + random_below(&random, 104)] =
			    (u8)random_next(&random);
		t.event.has_error_code = random_below(&random, 2);
		switch (task_switch(&t)) {
		case EMULATE_DONE:
			assert_true(t.is_new);
			t.fault.vector = 0;
			can_be_entered();
			break;
		case EMULATE_FAULT:
			if (t.is_new)
				can_be_entered();
			break;
		case EMULATE_STOPPED:
			break;
		case EMULATE_CONTINUE:
		case EMULATE_AGAIN:
		case EMULATE_UNSUPPORTED:
			fail();
		}
	}
}

static void whatever_the_tables_hold_can_be_entered(void **state)
{
	(void)state;
	for_seeds(25, random_tables);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(registers_are_saved_and_loaded),
	    TEST(each_way_sets_its_flags),
	    TEST(there_and_back_is_where_it_was),
	    TEST(task_of_16_bits),
	    TEST(user_task_and_its_ldt),
	    TEST(task_in_virtual_8086_mode),
	    TEST(error_code_is_pushed),
	    TEST(trap_flag_is_told),
	    TEST(paging_off_keeps_cr3),
	    TEST(wrong_descriptors_fault_in_the_old_task),
	    TEST(missing_pages_fault_in_the_old_task),
	    TEST(wrong_segments_fault_in_the_new_task),
	    TEST(whatever_the_tables_hold_can_be_entered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
