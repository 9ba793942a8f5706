/* SPDX-License-Identifier: MIT */
/* Whose VM exit is it: each exit reason against the manual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nested/owner.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/nested_state.h"

#define RCX 1
#define RDX 2

static struct guest_mem mem;
static struct vmcs12 v;
static u64 gpr[16];
static struct nested_exit exit_of_l2;

static int set_up(void **state)
{
	(void)state;
	make_l1_memory(&mem);
	v = (struct vmcs12){0};
	memset(gpr, 0, sizeof(gpr));
	exit_of_l2 = (struct nested_exit){0};
	return 0;
}

static bool is_l1s(u32 reason)
{
	const struct nested_l2 l2 = {&v, &mem, gpr};

	exit_of_l2.reason = reason;
	return nested_exit_is_l1s(&l2, &exit_of_l2);
}

/* SDM vol. 3, "Instructions That Cause VM Exits": unconditionally. */
static void what_exits_always_is_l1s(void **state)
{
	static const u32 reasons[] = {
	    EXIT_CPUID,    EXIT_GETSEC,  EXIT_INVD,        EXIT_XSETBV,
	    EXIT_INVEPT,   EXIT_INVVPID, EXIT_VMCALL,      EXIT_VMCLEAR,
	    EXIT_VMLAUNCH, EXIT_VMPTRLD, EXIT_VMPTRST,     EXIT_VMRESUME,
	    EXIT_VMXOFF,   EXIT_VMXON,   EXIT_TASK_SWITCH, EXIT_TRIPLE_FAULT,
	    EXIT_VMREAD,   EXIT_VMWRITE, EXIT_INIT,        EXIT_SIPI,
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(reasons); i++)
		assert_true(is_l1s(reasons[i]));
}

/* SDM vol. 3, "Information for VM Exits Due to Instruction Execution": these
 * leave more than their length. */
static void plain_exits_tell_no_more_than_a_length(void **state)
{
	static const u32 others[] = {
	    EXIT_CONTROL_REGISTER, EXIT_DEBUG_REGISTER, EXIT_IO,
	    EXIT_INVLPG,           EXIT_GDTR_IDTR,      EXIT_LDTR_TR,
	    EXIT_VMCLEAR,          EXIT_VMPTRLD,        EXIT_VMPTRST,
	    EXIT_VMREAD,           EXIT_VMWRITE,        EXIT_VMXON,
	    EXIT_INVEPT,           EXIT_INVVPID,        EXIT_INVPCID,
	    EXIT_RDRAND,           EXIT_RDSEED,         EXIT_EPT_VIOLATION,
	    EXIT_PML_FULL,         EXIT_TASK_SWITCH,    EXIT_APIC_ACCESS,
	    EXIT_EXCEPTION_OR_NMI, EXIT_TRIPLE_FAULT,   EXIT_VMFUNC,
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(others); i++)
		assert_false(nested_exit_is_plain(others[i]));
	assert_false(nested_exit_is_plain(EXIT_CPUID | 1U << 31));
	for (u32 reason = 0; reason < 64; reason++) {
		if (!nested_exit_is_always_l1s(reason))
			continue;
		assert_true(nested_exit_is_plain(reason));
		assert_true(is_l1s(reason));
	}
}

/* What the machine does, or what only Umbra's controls ask for. */
static void the_machines_events_are_ours(void **state)
{
	static const u32 reasons[] = {
	    EXIT_EXTERNAL_INTERRUPT,  EXIT_PREEMPTION_TIMER,
	    EXIT_ENTRY_MACHINE_CHECK, EXIT_PML_FULL,
	    EXIT_EPT_VIOLATION,       EXIT_EPT_MISCONFIGURATION,
	};

	(void)state;
	memset(&v, 0xff, sizeof(v));
	for (u32 i = 0; i < ARRAY_COUNT(reasons); i++)
		assert_false(is_l1s(reasons[i]));
	exit_of_l2.interruption = (u32)(EVENT_VALID | (u32)EVENT_NMI << 8 | 2);
	assert_false(is_l1s(EXIT_EXCEPTION_OR_NMI));
	exit_of_l2.interruption =
	    (u32)(EVENT_VALID | (u32)EVENT_HARDWARE_EXCEPTION << 8 | 18);
	assert_false(is_l1s(EXIT_EXCEPTION_OR_NMI));
}

static const struct {
	u32 reason;
	u64 primary, secondary;
} by_control[] = {
    {EXIT_INTERRUPT_WINDOW, PRIMARY_INTERRUPT_WINDOW, 0},
    {EXIT_NMI_WINDOW, PRIMARY_NMI_WINDOW, 0},
    {EXIT_HLT, PRIMARY_HLT, 0},
    {EXIT_INVLPG, PRIMARY_INVLPG, 0},
    {EXIT_INVPCID, PRIMARY_INVLPG, 0},
    {EXIT_RDPMC, PRIMARY_RDPMC, 0},
    {EXIT_RDTSC, PRIMARY_RDTSC, 0},
    {EXIT_RDTSCP, PRIMARY_RDTSC, 0},
    {EXIT_DEBUG_REGISTER, PRIMARY_MOV_DR, 0},
    {EXIT_MWAIT, PRIMARY_MWAIT, 0},
    {EXIT_MONITOR, PRIMARY_MONITOR, 0},
    {EXIT_MONITOR_TRAP, PRIMARY_MONITOR_TRAP, 0},
    {EXIT_PAUSE, PRIMARY_PAUSE, 0},
    {EXIT_PAUSE, 0, SECONDARY_PAUSE_LOOP},
    {EXIT_TPR_BELOW_THRESHOLD, PRIMARY_TPR_SHADOW, 0},
    {EXIT_APIC_ACCESS, 0, SECONDARY_APIC_ACCESSES},
    {EXIT_VIRTUALIZED_EOI, 0, SECONDARY_INTERRUPT_DELIVERY},
    {EXIT_GDTR_IDTR, 0, SECONDARY_DESCRIPTOR_TABLES},
    {EXIT_LDTR_TR, 0, SECONDARY_DESCRIPTOR_TABLES},
    {EXIT_WBINVD, 0, SECONDARY_WBINVD},
    {EXIT_RDRAND, 0, SECONDARY_RDRAND},
    {EXIT_RDSEED, 0, SECONDARY_RDSEED},
    {EXIT_VMFUNC, 0, SECONDARY_VMFUNC},
    {EXIT_XSAVES, 0, SECONDARY_XSAVES},
    {EXIT_XRSTORS, 0, SECONDARY_XSAVES},
};

static void a_control_decides_its_exit(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(by_control); i++) {
		v.primary_controls =
		    ~(u32)(by_control[i].primary | PRIMARY_PAUSE);
		v.secondary_controls =
		    ~(u32)(by_control[i].secondary | SECONDARY_PAUSE_LOOP);
		if (by_control[i].primary)
			v.secondary_controls = 0;
		assert_false(is_l1s(by_control[i].reason));
		v.primary_controls = (u32)by_control[i].primary;
		v.secondary_controls = (u32)by_control[i].secondary;
		if (by_control[i].secondary) {
			/* Not in force without the primary control. */
			assert_false(is_l1s(by_control[i].reason));
			v.primary_controls |= (u32)PRIMARY_SECONDARY;
		}
		assert_true(is_l1s(by_control[i].reason));
	}
}

static void exceptions_go_by_the_bitmap(void **state)
{
	(void)state;
	for (u32 vector = 0; vector < 32; vector++) {
		v.exception_bitmap = 1u << vector;
		for (u32 other = 0; other < 32; other++) {
			exit_of_l2.interruption =
			    (u32)(EVENT_VALID |
				  (u32)EVENT_HARDWARE_EXCEPTION << 8 | other);
			if (other != EXCEPTION_MC)
				assert_int_equal(is_l1s(EXIT_EXCEPTION_OR_NMI),
						 other == vector);
		}
	}
}

/* SDM vol. 3, "Exception Bitmap": mask and match turn the bit around. */
static void page_faults_go_by_mask_and_match(void **state)
{
	(void)state;
	v.page_fault_error_mask = 0x1f;
	v.page_fault_error_match = 0x12;
	v.exception_bitmap = (u32)BIT(EXCEPTION_PF);
	assert_true(nested_exception_is_l1s(&v, EXCEPTION_PF, 0x12));
	assert_true(nested_exception_is_l1s(&v, EXCEPTION_PF, 0x8012));
	assert_false(nested_exception_is_l1s(&v, EXCEPTION_PF, 0x10));
	v.exception_bitmap = 0;
	assert_false(nested_exception_is_l1s(&v, EXCEPTION_PF, 0x12));
	assert_true(nested_exception_is_l1s(&v, EXCEPTION_PF, 0x10));
	assert_false(nested_exception_is_l1s(&v, EXCEPTION_GP, 0x10));
}

static bool moves(u32 number, u64 value)
{
	gpr[RDX] = value;
	exit_of_l2.qualification = number | (u64)RDX << 8;
	return is_l1s(EXIT_CONTROL_REGISTER);
}

static void writes_of_masked_bits_exit_if_they_differ(void **state)
{
	(void)state;
	v.cr0_mask = CR0_TS | CR0_NE;
	v.cr0_shadow = CR0_NE;
	assert_false(moves(0, CR0_NE | CR0_PE | CR0_MP));
	assert_true(moves(0, CR0_PE));
	assert_true(moves(0, CR0_NE | CR0_TS));
	v.cr4_mask = CR4_VMXE;
	assert_true(moves(4, CR4_VMXE));
	assert_false(moves(4, CR4_PAE));
}

static void cr3_targets_do_not_exit(void **state)
{
	(void)state;
	assert_false(moves(3, 0x1000));
	v.primary_controls = (u32)PRIMARY_CR3_LOAD;
	v.cr3_target[1] = 0x1000;
	v.cr3_target_count = 1;
	assert_true(moves(3, 0x1000));
	v.cr3_target_count = 2;
	assert_false(moves(3, 0x1000));
	v.cr3_target_count = ~0u;
	assert_true(moves(3, 0x2000));
}

static void other_control_register_accesses(void **state)
{
	(void)state;
	assert_false(moves(8, 0));
	v.primary_controls = (u32)PRIMARY_CR8_LOAD;
	assert_true(moves(8, 0));
	exit_of_l2.qualification = 1 << 4 | 8;
	assert_false(is_l1s(EXIT_CONTROL_REGISTER));
	v.primary_controls = (u32)PRIMARY_CR8_STORE;
	assert_true(is_l1s(EXIT_CONTROL_REGISTER));
	exit_of_l2.qualification = 1 << 4 | 3;
	assert_false(is_l1s(EXIT_CONTROL_REGISTER));
	v.primary_controls = (u32)PRIMARY_CR3_STORE;
	assert_true(is_l1s(EXIT_CONTROL_REGISTER));
}

/* CLTS exits if TS is L1's and L2 reads it as 1; LMSW cannot clear PE. */
static void clts_and_lmsw(void **state)
{
	(void)state;
	exit_of_l2.qualification = 2 << 4;
	v.cr0_mask = CR0_TS;
	assert_false(is_l1s(EXIT_CONTROL_REGISTER));
	v.cr0_shadow = CR0_TS;
	assert_true(is_l1s(EXIT_CONTROL_REGISTER));
	v.cr0_mask = 0;
	assert_false(is_l1s(EXIT_CONTROL_REGISTER));

	v.cr0_mask = CR0_PE | CR0_MP;
	v.cr0_shadow = CR0_PE;
	exit_of_l2.qualification = 3 << 4;
	assert_false(is_l1s(EXIT_CONTROL_REGISTER));
	exit_of_l2.qualification = 3 << 4 | CR0_MP << 16;
	assert_true(is_l1s(EXIT_CONTROL_REGISTER));
	v.cr0_shadow = 0;
	exit_of_l2.qualification = 3 << 4 | CR0_PE << 16;
	assert_true(is_l1s(EXIT_CONTROL_REGISTER));
	v.cr0_mask = CR0_WP;
	exit_of_l2.qualification = 3 << 4 | 0xffffUL << 16;
	assert_false(is_l1s(EXIT_CONTROL_REGISTER));
}

static bool does_io(u32 port, u32 bytes)
{
	exit_of_l2.qualification = (u64)port << 16 | (bytes - 1);
	return is_l1s(EXIT_IO);
}

static void set_bit(u64 bitmap, u64 bit)
{
	u8 byte = 0;

	assert_int_equal(guest_mem_read_u8(&mem, gpa(bitmap + bit / 8), &byte),
			 OK);
	assert_int_equal(guest_mem_write_u8(&mem, gpa(bitmap + bit / 8),
					    byte | (u8)(1u << bit % 8)),
			 OK);
}

static void ports_go_by_the_bitmaps(void **state)
{
	(void)state;
	assert_false(does_io(0x80, 1));
	v.primary_controls = (u32)PRIMARY_ALL_IO;
	assert_true(does_io(0x80, 1));
	/* With bitmaps the control that stands for all is ignored. */
	v.primary_controls |= (u32)PRIMARY_IO_BITMAPS;
	v.io_bitmap_a = PAGE_BITMAPS;
	v.io_bitmap_b = PAGE_BITMAPS + 0x1000;
	assert_false(does_io(0x80, 1));
	set_bit(v.io_bitmap_a, 0x83);
	set_bit(v.io_bitmap_b, 0x7fff);
	set_bit(v.io_bitmap_b, 0);
	assert_false(does_io(0x80, 2));
	assert_true(does_io(0x80, 4));
	assert_true(does_io(0x83, 1));
	assert_true(does_io(0xffff, 1));
	assert_true(does_io(0x7fff, 2));
	assert_false(does_io(0x7ffe, 2));
	assert_true(does_io(0xfffe, 4));
	v.io_bitmap_a = 1UL << 39;
	assert_true(does_io(0x60, 1));
}

static bool reads_msr(u32 msr)
{
	gpr[RCX] = 0xabcd00000000UL | msr;
	return is_l1s(EXIT_RDMSR);
}

static bool writes_msr(u32 msr)
{
	gpr[RCX] = msr;
	return is_l1s(EXIT_WRMSR);
}

static void msrs_go_by_the_bitmap(void **state)
{
	(void)state;
	assert_true(reads_msr(0x10));
	assert_true(writes_msr(0x10));
	v.primary_controls = (u32)PRIMARY_MSR_BITMAPS;
	v.msr_bitmap = PAGE_BITMAPS;
	assert_false(reads_msr(0x10));
	set_bit(PAGE_BITMAPS, 0x10);
	set_bit(PAGE_BITMAPS + 1024, 0x80);
	set_bit(PAGE_BITMAPS + 2048, 0x1fff);
	set_bit(PAGE_BITMAPS + 3072, 0x102);
	assert_true(reads_msr(0x10));
	assert_false(writes_msr(0x10));
	assert_true(reads_msr(0xc0000080));
	assert_false(reads_msr(0x80));
	assert_false(writes_msr(0xc0000080));
	assert_true(writes_msr(0x1fff));
	assert_true(writes_msr(0xc0000102));
	assert_false(reads_msr(0xc0000102));
	/* No bit stands for these. */
	assert_true(reads_msr(0x2000));
	assert_true(writes_msr(0xc0002000));
	assert_true(reads_msr(0x40000010));
	assert_true(reads_msr(0x80000010));
}

static void an_entry_that_the_cpu_refuses_is_l1s(void **state)
{
	(void)state;
	assert_true(
	    is_l1s(EXIT_ENTRY_GUEST_STATE | (u32)EXIT_REASON_ENTRY_FAILED));
	assert_true(
	    is_l1s(EXIT_ENTRY_MSR_LOADING | (u32)EXIT_REASON_ENTRY_FAILED));
	assert_false(
	    is_l1s(EXIT_ENTRY_MACHINE_CHECK | (u32)EXIT_REASON_ENTRY_FAILED));
}

static void access_in_a_delivery_leaves_rf_alone(void **state)
{
	struct nested_exit exit = {.reason = EXIT_APIC_ACCESS};

	(void)state;
	assert_true(nested_exit_sets_rf(&exit, 0));
	assert_false(nested_exit_sets_rf(&exit, EVENT_VALID));
	/* The CPU was delivering it. */
	exit.idt_vectoring = EVENT_VALID | 0x30;
	assert_false(nested_exit_sets_rf(&exit, 0));
}

static void unknown_reasons_are_nobodys(void **state)
{
	(void)state;
	memset(&v, 0xff, sizeof(v));
	assert_false(is_l1s(EXIT_REASON_COUNT));
	assert_false(is_l1s(0xffff));
}

/* SDM vol. 3, "Evaluation of Pending Virtual Interrupts". */
static void virtual_interrupts_wait_by_their_class(void **state)
{
	static const struct {
		u16 status;
		u8 tpr;
		bool waits;
	} cases[] = {
	    {0x0000, 0x00, false}, {0x000f, 0x00, false}, {0x0010, 0x00, true},
	    {0x00f1, 0xe0, true},  {0x00f1, 0xef, true},  {0x00f1, 0xf0, false},
	    {0x4145, 0x00, false}, {0x4150, 0x00, true},  {0x4150, 0x50, false},
	    {0x8150, 0x40, false},
	};
	const struct nested_l2 l2 = {&v, &mem, gpr};

	(void)state;
	v.primary_controls = PRIMARY_SECONDARY;
	v.virtual_apic_address = PAGE_VMCS;
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		v.secondary_controls = SECONDARY_INTERRUPT_DELIVERY;
		assert_int_equal(guest_mem_write(&mem, gpa(PAGE_VMCS + 0x80),
						 &cases[i].tpr, 1),
				 OK);
		assert_int_equal(
		    nested_virtual_interrupt_waits(&l2, cases[i].status),
		    cases[i].waits);
		v.secondary_controls = 0;
		assert_false(
		    nested_virtual_interrupt_waits(&l2, cases[i].status));
	}
}

/* Only at entries with an APIC-access page, and by the class alone. */
static void virtual_tpr_is_below_by_its_class(void **state)
{
	static const struct {
		u8 tpr;
		u32 threshold;
		bool is_below;
	} cases[] = {
	    {0x00, 0, false}, {0x0f, 1, true},  {0x10, 1, false},
	    {0x4f, 5, true},  {0x50, 5, false}, {0xff, 15, false},
	};
	const struct nested_l2 l2 = {&v, &mem, gpr};

	(void)state;
	v.virtual_apic_address = PAGE_VMCS;
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		v.primary_controls = PRIMARY_SECONDARY | PRIMARY_TPR_SHADOW;
		v.secondary_controls = SECONDARY_APIC_ACCESSES;
		v.tpr_threshold = cases[i].threshold;
		assert_int_equal(guest_mem_write(&mem, gpa(PAGE_VMCS + 0x80),
						 &cases[i].tpr, 1),
				 OK);
		assert_int_equal(nested_tpr_is_below(&l2), cases[i].is_below);
		assert_false(nested_tpr_is_refused(&l2));
		v.secondary_controls |= (u32)SECONDARY_INTERRUPT_DELIVERY;
		assert_false(nested_tpr_is_below(&l2));
		v.secondary_controls = 0;
		assert_false(nested_tpr_is_below(&l2));
		assert_int_equal(nested_tpr_is_refused(&l2), cases[i].is_below);
		v.secondary_controls = SECONDARY_APIC_ACCESSES;
		v.primary_controls = PRIMARY_SECONDARY;
		assert_false(nested_tpr_is_below(&l2));
	}
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_exits_always_is_l1s),
	    TEST(plain_exits_tell_no_more_than_a_length),
	    TEST(the_machines_events_are_ours),
	    TEST(a_control_decides_its_exit),
	    TEST(exceptions_go_by_the_bitmap),
	    TEST(page_faults_go_by_mask_and_match),
	    TEST(writes_of_masked_bits_exit_if_they_differ),
	    TEST(cr3_targets_do_not_exit),
	    TEST(other_control_register_accesses),
	    TEST(clts_and_lmsw),
	    TEST(ports_go_by_the_bitmaps),
	    TEST(msrs_go_by_the_bitmap),
	    TEST(an_entry_that_the_cpu_refuses_is_l1s),
	    TEST(access_in_a_delivery_leaves_rf_alone),
	    TEST(unknown_reasons_are_nobodys),
	    TEST(virtual_interrupts_wait_by_their_class),
	    TEST(virtual_tpr_is_below_by_its_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
