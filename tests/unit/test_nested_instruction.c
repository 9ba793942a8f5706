/* SPDX-License-Identifier: MIT */
/* VMX instructions as a guest hypervisor executes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nested/fields.h"
#include "nested/instruction.h"
#include "nested/operand.h"
#include "nested/operand_page.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/nested_state.h"
#include "tests/unit/support.h"

/*
 * L1 runs 32-bit protected code without paging, or 64-bit code on tables that
 * map the first 2 MiB to themselves but for one page.
 */
#define PML4            0x18000UL
#define PDPT            0x19000UL
#define DIRECTORY       0x1a000UL
#define TABLE           0x1b000UL
#define PAGE_UNMAPPED   0x1f000UL
#define NO_MEMORY       0x40000UL
#define NO_CANONICAL    0x0000800000000000UL

/* Instruction information: [RAX], 64-bit addresses, DS, no index. */
#define INFO_MEMORY     (2u << 7 | 3u << 15 | 1u << 22)
#define INFO_MEMORY_32  (1u << 7 | 3u << 15 | 1u << 22)
#define INFO_SEGMENT(n) ((n) << 15)
#define INFO_REGISTERS  (1u << 10 | 1u << 22 | 1u << 27 | 2u << 3 | 3u << 28)
#define INFO_SECOND_3   (3u << 28) /* RBX */
#define RAX             0
#define RDX             2
#define RBX             3

#define CF              BIT(0)
#define ZF              BIT(6)
#define ALL_FLAGS       0x8d5UL

static struct guest_mem mem;
static struct nested_capability offer;
static struct nested_state nested;
static u64 gpr[16];
static struct nested_cpu cpu;

static void put_u64(u64 address, u64 value)
{
	assert_int_equal(guest_mem_write(&mem, gpa(address), &value, 8), OK);
}

static u64 get_u64(u64 address)
{
	u64 value = 0;

	assert_int_equal(guest_mem_read(&mem, gpa(address), &value, 8), OK);
	return value;
}

static void make_tables(void)
{
	put_u64(PML4, PDPT | 7);
	put_u64(PDPT, DIRECTORY | 7);
	put_u64(DIRECTORY, TABLE | 7);
	for (u64 page = 0; page < 512; page++)
		put_u64(TABLE + 8 * page, page << 12 | 7);
	put_u64(TABLE + 8 * (PAGE_UNMAPPED >> 12), 0);
}

/* A device on the two pages at NO_MEMORY. */
static u8 device[2 * PAGE_4K];

static u8 *register_at(gpa_t address, u32 bytes)
{
	u64 at = gpa_raw(address) - NO_MEMORY;

	assert_true(at < sizeof(device) && bytes <= PAGE_4K - at % PAGE_4K);
	return device + at;
}

static void read_device(void *context, gpa_t address, void *to, u32 bytes)
{
	assert_ptr_equal(context, device);
	memcpy(to, register_at(address, bytes), bytes);
}

static void write_device(void *context, gpa_t address, const void *from,
			 u32 bytes)
{
	assert_ptr_equal(context, device);
	memcpy(register_at(address, bytes), from, bytes);
}

static const struct nested_devices devices = {read_device, write_device};

static int make_cpu(void **state)
{
	(void)state;
	make_l1_memory(&mem);
	make_tables();
	offer = full_offer();
	nested_state_reset(&nested);
	memset(gpr, 0, sizeof(gpr));
	cpu = (struct nested_cpu){
	    .state = &nested,
	    .offer = &offer,
	    .mem = &mem,
	    .devices = &devices,
	    .context = device,
	    .gpr = gpr,
	    .linear_bits = 48,
	    .paging = {.cr0 = 0x80050033,
		       .cr3 = PML4,
		       .cr4 = CR4_PAE | CR4_VMXE,
		       .efer = L1_EFER,
		       .rflags = 2 | ALL_FLAGS,
		       .phys_bits = L1_PHYS_BITS},
	};
	for (u32 i = 0; i < NESTED_SEGMENTS; i++)
		cpu.segments[i] =
		    (struct nested_segment_state){0, 0xffffffff, 0xc093};
	cpu.segments[NESTED_CS].rights = 0xa09b;
	return 0;
}

static void make_32_bit(void)
{
	cpu.paging.efer = 0;
	cpu.paging.cr4 = CR4_VMXE;
	cpu.paging.cr0 = 0x31;
	cpu.segments[NESTED_CS].rights = 0xc09b;
}

static struct nested_result run(enum exit_reason reason, u32 information)
{
	const struct nested_instruction i = {reason, information, 0};

	return nested_execute(&cpu, &i);
}

/* With the pointer operand in memory at RAX. */
static struct nested_result run_pointer(enum exit_reason reason, u64 pointer)
{
	put_u64(PAGE_OPERAND, pointer);
	gpr[RAX] = PAGE_OPERAND;
	return run(reason, INFO_MEMORY);
}

static void expect_flags(struct nested_result result, u64 flags)
{
	assert_int_equal(result.outcome, NESTED_DONE);
	assert_int_equal(result.rflags & ALL_FLAGS, flags);
	assert_int_equal(result.rflags & ~ALL_FLAGS,
			 cpu.paging.rflags & ~ALL_FLAGS);
}

static void expect_error(struct nested_result result, u32 error)
{
	expect_flags(result, ZF);
	assert_int_equal(nested.vmcs12.instruction_error, error);
}

static void expect_fault(struct nested_result result, u32 vector)
{
	assert_int_equal(result.outcome, NESTED_FAULT);
	assert_int_equal(result.fault.vector, vector);
}

static void enter_vmx(void)
{
	expect_flags(run_pointer(EXIT_VMXON, PAGE_VMXON), 0);
	assert_true(nested_in_vmx(&nested));
}

static void make_current(void)
{
	enter_vmx();
	expect_flags(run_pointer(EXIT_VMCLEAR, PAGE_VMCS), 0);
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_VMCS), 0);
	assert_true(nested_has_current(&nested));
}

static const enum exit_reason all[] = {
    EXIT_VMCALL,  EXIT_VMCLEAR, EXIT_VMLAUNCH, EXIT_VMPTRLD,
    EXIT_VMPTRST, EXIT_VMREAD,  EXIT_VMRESUME, EXIT_VMWRITE,
    EXIT_VMXOFF,  EXIT_INVEPT,  EXIT_INVVPID,  EXIT_VMXON,
};

/* A fault leaves everything as it was. */
static void expect_all_fault(u32 vector, u32 count)
{
	const struct nested_state before = nested;

	for (u32 i = 0; i < count; i++) {
		expect_fault(run_pointer(all[i], PAGE_VMXON), vector);
		assert_memory_equal(&nested, &before, sizeof(before));
	}
}

static void outside_vmx_operation_only_vmxon_exists(void **state)
{
	(void)state;
	expect_all_fault(EXCEPTION_UD, ARRAY_COUNT(all) - 1);
	enter_vmx();
	expect_flags(run(EXIT_VMXOFF, 0), 0);
	assert_false(nested_in_vmx(&nested));
	expect_all_fault(EXCEPTION_UD, ARRAY_COUNT(all) - 1);
}

static void wrong_modes_come_before_privilege(void **state)
{
	const struct guest_paging right = cpu.paging;

	(void)state;
	for (u32 vmx = 0; vmx < 2; vmx++) {
		cpu.paging.cpl = 3;
		cpu.paging.cr0 &= ~CR0_PE;
		expect_all_fault(EXCEPTION_UD, ARRAY_COUNT(all));
		cpu.paging.cr0 = right.cr0;
		cpu.paging.rflags |= RFLAGS_VM;
		expect_all_fault(EXCEPTION_UD, ARRAY_COUNT(all));
		cpu.paging.rflags = right.rflags;
		cpu.segments[NESTED_CS].rights = 0xc09b; /* compatibility */
		expect_all_fault(EXCEPTION_UD, ARRAY_COUNT(all));
		cpu.segments[NESTED_CS].rights = 0xa09b;
		cpu.paging = right;
		if (!vmx)
			enter_vmx();
	}
	cpu.paging.cpl = 3;
	expect_all_fault(EXCEPTION_GP, ARRAY_COUNT(all));
}

static void vmxon_checks_in_order(void **state)
{
	const struct guest_paging right = cpu.paging;

	(void)state;
	cpu.paging.cr4 &= ~CR4_VMXE;
	cpu.paging.cpl = 3;
	expect_fault(run_pointer(EXIT_VMXON, PAGE_VMXON), EXCEPTION_UD);
	cpu.paging = right;
	cpu.paging.cpl = 1;
	expect_fault(run_pointer(EXIT_VMXON, PAGE_VMXON), EXCEPTION_GP);
	cpu.paging = right;
	cpu.paging.cr0 &= ~CR0_NE;
	expect_fault(run_pointer(EXIT_VMXON, PAGE_VMXON), EXCEPTION_GP);
	cpu.paging = right;
	cpu.paging.cr4 |= CR4_SMXE;
	expect_fault(run_pointer(EXIT_VMXON, PAGE_VMXON), EXCEPTION_GP);
	cpu.paging = right;
	nested.feature_control = FEATURE_CONTROL_VMX_OUTSIDE_SMX;
	expect_fault(run_pointer(EXIT_VMXON, PAGE_VMXON), EXCEPTION_GP);
	nested.feature_control = FEATURE_CONTROL_LOCK;
	expect_fault(run_pointer(EXIT_VMXON, PAGE_VMXON), EXCEPTION_GP);
	nested.feature_control = NESTED_FEATURE_CONTROL_RESET;
	expect_flags(run_pointer(EXIT_VMXON, PAGE_VMXON + 8), CF);
	expect_flags(run_pointer(EXIT_VMXON, BIT(L1_PHYS_BITS)), CF);
	expect_flags(run_pointer(EXIT_VMXON, PAGE_NO_VMCS), CF);
	expect_flags(run_pointer(EXIT_VMXON, PAGE_SHADOW), CF);
	expect_flags(run_pointer(EXIT_VMXON, NO_MEMORY), CF);
	assert_false(nested_in_vmx(&nested));
	enter_vmx();
	assert_false(nested_has_current(&nested));
	/* VMfail without a current VMCS is VMfailInvalid. */
	expect_flags(run_pointer(EXIT_VMXON, PAGE_VMXON), CF);
}

static void vmxon_in_vmx_operation_fails(void **state)
{
	(void)state;
	make_current();
	expect_error(run_pointer(EXIT_VMXON, PAGE_VMXON),
		     VMX_ERROR_VMXON_IN_ROOT);
	expect_error(run(EXIT_VMCALL, 0), VMX_ERROR_VMCALL_IN_ROOT);
}

static void vmptrld_checks_in_order(void **state)
{
	(void)state;
	make_current();
	expect_error(run_pointer(EXIT_VMPTRLD, PAGE_VMXON + 1), 9);
	expect_error(run_pointer(EXIT_VMPTRLD, BIT(L1_PHYS_BITS)), 9);
	expect_error(run_pointer(EXIT_VMPTRLD, PAGE_VMXON), 10);
	expect_error(run_pointer(EXIT_VMPTRLD, PAGE_NO_VMCS), 11);
	expect_error(run_pointer(EXIT_VMPTRLD, NO_MEMORY), 11);
	assert_int_equal(gpa_raw(nested.current), PAGE_VMCS);
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_SHADOW), 0);
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_VMCS), 0);
	offer.words[CONTROLS_SECONDARY].may_be_1 &=
	    ~(u32)SECONDARY_VMCS_SHADOWING;
	expect_error(run_pointer(EXIT_VMPTRLD, PAGE_SHADOW), 11);
}

static void vmclear_checks_in_order(void **state)
{
	(void)state;
	make_current();
	expect_error(run_pointer(EXIT_VMCLEAR, PAGE_VMXON + 1), 2);
	expect_error(run_pointer(EXIT_VMCLEAR, BIT(L1_PHYS_BITS)), 2);
	expect_error(run_pointer(EXIT_VMCLEAR, PAGE_VMXON), 3);
	expect_flags(run_pointer(EXIT_VMCLEAR, NO_MEMORY), 0);
	expect_flags(run_pointer(EXIT_VMCLEAR, PAGE_OTHER_VMCS), 0);
	assert_true(nested_has_current(&nested));
	expect_flags(run_pointer(EXIT_VMCLEAR, PAGE_VMCS), 0);
	assert_false(nested_has_current(&nested));
	expect_flags(run_pointer(EXIT_VMCLEAR, PAGE_VMXON), CF);
}

static void vmptrst_stores_the_pointer(void **state)
{
	(void)state;
	enter_vmx();
	gpr[RAX] = PAGE_OPERAND + 0xffc; /* over a page's end */
	expect_flags(run(EXIT_VMPTRST, INFO_MEMORY), 0);
	assert_int_equal(get_u64(PAGE_OPERAND + 0xffc), ~0UL);
	make_cpu(NULL);
	make_current();
	gpr[RAX] = PAGE_OPERAND + 0xffc;
	expect_flags(run(EXIT_VMPTRST, INFO_MEMORY), 0);
	assert_int_equal(get_u64(PAGE_OPERAND + 0xffc), PAGE_VMCS);
}

static void operands_may_be_devices(void **state)
{
	u64 value;

	(void)state;
	make_current();
	memset(device, 0, sizeof(device));
	gpr[RAX] = NO_MEMORY + 8;
	expect_flags(run(EXIT_VMPTRST, INFO_MEMORY), 0);
	memcpy(&value, device + 8, sizeof(value));
	assert_int_equal(value, PAGE_VMCS);
	/* From the end of one page to the next one. */
	gpr[RAX] = NO_MEMORY + 0xffd;
	value = 0x123456789abcdef0;
	memcpy(device + 0xffd, &value, sizeof(value));
	gpr[RBX] = VMCS_GUEST_RIP;
	expect_flags(run(EXIT_VMWRITE, INFO_MEMORY | INFO_SECOND_3), 0);
	assert_int_equal(nested.vmcs12.guest_rip, value);
	memset(device, 0, sizeof(device));
	expect_flags(run(EXIT_VMREAD, INFO_MEMORY | INFO_SECOND_3), 0);
	memcpy(&value, device + 0xffd, sizeof(value));
	assert_int_equal(value, 0x123456789abcdef0);
}

static void fields_go_through_registers(void **state)
{
	(void)state;
	make_current();
	gpr[RBX] = VMCS_GUEST_RIP;
	gpr[RDX] = 0x1122334455667788;
	expect_flags(run(EXIT_VMWRITE, INFO_REGISTERS), 0);
	assert_int_equal(nested.vmcs12.guest_rip, 0x1122334455667788);
	gpr[RDX] = 0;
	expect_flags(run(EXIT_VMREAD, INFO_REGISTERS), 0);
	assert_int_equal(gpr[RDX], 0x1122334455667788);
	gpr[RBX] = VMCS_GUEST_ES_SELECTOR;
	gpr[RDX] = ~0UL;
	expect_flags(run(EXIT_VMREAD, INFO_REGISTERS), 0);
	assert_int_equal(gpr[RDX], 0);
	gpr[RBX] = VMCS_GUEST_RIP | BIT(32);
	expect_error(run(EXIT_VMREAD, INFO_REGISTERS), 12);
	expect_error(run(EXIT_VMWRITE, INFO_REGISTERS), 12);
	gpr[RBX] = VMCS_INSTRUCTION_ERROR;
	expect_flags(run(EXIT_VMREAD, INFO_REGISTERS), 0);
	assert_int_equal(gpr[RDX], 12);
	offer.misc &= ~MISC_VMWRITE_ANY;
	expect_error(run(EXIT_VMWRITE, INFO_REGISTERS), 13);
}

static void fields_go_through_memory(void **state)
{
	(void)state;
	make_current();
	put_u64(PAGE_OPERAND, 0x1122334455667788);
	gpr[RAX] = PAGE_OPERAND;
	gpr[RBX] = VMCS_GUEST_RIP;
	expect_flags(run(EXIT_VMWRITE, INFO_MEMORY | INFO_SECOND_3), 0);
	assert_int_equal(nested.vmcs12.guest_rip, 0x1122334455667788);
	gpr[RAX] = PAGE_OPERAND + 16;
	expect_flags(run(EXIT_VMREAD, INFO_MEMORY | INFO_SECOND_3), 0);
	assert_int_equal(get_u64(PAGE_OPERAND + 16), 0x1122334455667788);
}

static void operands_have_32_bits_in_32_bit_mode(void **state)
{
	(void)state;
	make_current();
	make_32_bit();
	gpr[RBX] = VMCS_GUEST_RIP | BIT(40);
	gpr[RDX] = ~0UL;
	expect_flags(run(EXIT_VMWRITE, INFO_REGISTERS), 0);
	assert_int_equal(nested.vmcs12.guest_rip, 0xffffffff);
	nested.vmcs12.guest_rip = 0x1122334455667788;
	expect_flags(run(EXIT_VMREAD, INFO_REGISTERS), 0);
	assert_int_equal(gpr[RDX], 0x55667788);
	put_u64(PAGE_OPERAND, ~0UL);
	gpr[RAX] = PAGE_OPERAND;
	expect_flags(run(EXIT_VMREAD, INFO_MEMORY_32 | INFO_SECOND_3), 0);
	assert_int_equal(get_u64(PAGE_OPERAND), 0xffffffff55667788);
}

static void fields_need_a_current_vmcs(void **state)
{
	(void)state;
	enter_vmx();
	gpr[RBX] = 0x7fff; /* no field either */
	expect_flags(run(EXIT_VMREAD, INFO_REGISTERS), CF);
	expect_flags(run(EXIT_VMWRITE, INFO_REGISTERS), CF);
}

static void vmcs_is_written_back_when_it_is_left(void **state)
{
	const u64 rip = PAGE_VMCS + offsetof(struct vmcs12, guest_rip);

	(void)state;
	make_current();
	gpr[RBX] = VMCS_GUEST_RIP;
	gpr[RDX] = 1;
	expect_flags(run(EXIT_VMWRITE, INFO_REGISTERS), 0);
	assert_int_equal(get_u64(rip), 0);
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_OTHER_VMCS), 0);
	assert_int_equal(get_u64(rip), 1);
	assert_int_equal(nested.vmcs12.guest_rip, 0);
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_VMCS), 0);
	assert_int_equal(nested.vmcs12.guest_rip, 1);
	gpr[RDX] = 2;
	expect_flags(run(EXIT_VMWRITE, INFO_REGISTERS), 0);
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_VMCS), 0); /* the same */
	assert_int_equal(nested.vmcs12.guest_rip, 2);
	expect_flags(run_pointer(EXIT_VMCLEAR, PAGE_VMCS), 0);
	assert_int_equal(get_u64(rip), 2);
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_VMCS), 0);
	gpr[RDX] = 3;
	expect_flags(run(EXIT_VMWRITE, INFO_REGISTERS), 0);
	expect_flags(run(EXIT_VMXOFF, 0), 0);
	assert_int_equal(get_u64(rip), 3);
}

static void entry_checks_in_order(void **state)
{
	(void)state;
	enter_vmx();
	cpu.interruptibility = BLOCKING_BY_MOV_SS;
	expect_flags(run(EXIT_VMLAUNCH, 0), CF);
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_SHADOW), 0);
	expect_flags(run(EXIT_VMLAUNCH, 0), CF);
	expect_flags(run(EXIT_VMRESUME, 0), CF);
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_VMCS), 0);
	expect_error(run(EXIT_VMRESUME, 0), 26);
	expect_error(run(EXIT_VMLAUNCH, 0), 26);
	cpu.interruptibility = 0;
	expect_error(run(EXIT_VMRESUME, 0), 5);
	assert_int_equal(run(EXIT_VMLAUNCH, 0).outcome, NESTED_ENTER);
	expect_error(nested_fail(&cpu, VMX_ERROR_ENTRY_CONTROLS), 7);
	assert_int_equal(run(EXIT_VMLAUNCH, 0).outcome, NESTED_ENTER);
	nested_launched(&nested);
	expect_error(run(EXIT_VMLAUNCH, 0), 4);
	assert_int_equal(run(EXIT_VMRESUME, 0).outcome, NESTED_ENTER);
}

static void launch_state_is_the_vmcs_own(void **state)
{
	(void)state;
	make_current();
	nested_launched(&nested);
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_OTHER_VMCS), 0);
	expect_error(run(EXIT_VMRESUME, 0), 5);
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_VMCS), 0);
	assert_int_equal(run(EXIT_VMRESUME, 0).outcome, NESTED_ENTER);
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_OTHER_VMCS), 0);
	expect_flags(run_pointer(EXIT_VMCLEAR, PAGE_VMCS), 0);
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_VMCS), 0);
	expect_error(run(EXIT_VMRESUME, 0), 5);
}

static struct nested_result run_descriptor(enum exit_reason reason, u64 type,
					   u64 first, u64 second)
{
	put_u64(PAGE_OPERAND, first);
	put_u64(PAGE_OPERAND + 8, second);
	gpr[RAX] = PAGE_OPERAND;
	gpr[RBX] = type;
	return run(reason, INFO_MEMORY | INFO_SECOND_3);
}

static void invept_checks_in_order(void **state)
{
	struct nested_result result;

	(void)state;
	make_current();
	expect_error(run_descriptor(EXIT_INVEPT, 0, 0x1001e, 0), 28);
	expect_error(run_descriptor(EXIT_INVEPT, 3, 0x1001e, 0), 28);
	expect_error(run_descriptor(EXIT_INVEPT, BIT(32) | 1, 0x1001e, 0), 28);
	expect_error(run_descriptor(EXIT_INVEPT, 1, 0x1001f, 0), 28);
	expect_error(run_descriptor(EXIT_INVEPT, 1, 0x1001e, 1), 28);
	result = run_descriptor(EXIT_INVEPT, 1, 0x1001e, 0);
	expect_flags(result, 0);
	assert_int_equal(result.invalidation, NESTED_INVALIDATE_EPT);
	assert_int_equal(result.eptp, 0x1001e);
	result = run_descriptor(EXIT_INVEPT, 2, ~0UL, ~0UL);
	expect_flags(result, 0);
	assert_int_equal(result.invalidation, NESTED_INVALIDATE_ALL_EPT);
	offer.ept_vpid &= ~EPT_CAP_INVEPT_SINGLE;
	expect_error(run_descriptor(EXIT_INVEPT, 1, 0x1001e, 0), 28);
	/* The type is judged before the operand is touched. */
	gpr[RAX] = PAGE_UNMAPPED;
	gpr[RBX] = 1;
	expect_error(run(EXIT_INVEPT, INFO_MEMORY | INFO_SECOND_3), 28);
	gpr[RBX] = 2;
	expect_fault(run(EXIT_INVEPT, INFO_MEMORY | INFO_SECOND_3),
		     EXCEPTION_PF);
	offer.ept_vpid &= ~EPT_CAP_INVEPT;
	cpu.paging.cpl = 3;
	expect_fault(run_descriptor(EXIT_INVEPT, 2, 0, 0), EXCEPTION_UD);
}

static void invvpid_checks_in_order(void **state)
{
	static const enum nested_invalidation whats[] = {
	    NESTED_INVALIDATE_ADDRESS, NESTED_INVALIDATE_VPID,
	    NESTED_INVALIDATE_ALL_VPIDS, NESTED_INVALIDATE_VPID_BUT_GLOBALS};

	(void)state;
	make_current();
	for (u64 type = 0; type < 4; type++) {
		struct nested_result result =
		    run_descriptor(EXIT_INVVPID, type, 7, 0x123000);

		expect_flags(result, 0);
		assert_int_equal(result.invalidation, whats[type]);
		assert_int_equal(result.vpid, 7);
		assert_int_equal(gva_raw(result.address), 0x123000);
		expect_error(run_descriptor(EXIT_INVVPID, type, 7 | BIT(16), 0),
			     28);
		result = run_descriptor(EXIT_INVVPID, type, 0, 0);
		if (type == 2)
			expect_flags(result, 0);
		else
			expect_error(result, 28);
		result = run_descriptor(EXIT_INVVPID, type, 7, NO_CANONICAL);
		if (type == 0)
			expect_error(result, 28);
		else
			expect_flags(result, 0);
		offer.ept_vpid &= ~(BIT(40) << type);
		expect_error(run_descriptor(EXIT_INVVPID, type, 7, 0), 28);
	}
	expect_error(run_descriptor(EXIT_INVVPID, 4, 7, 0), 28);
	offer.ept_vpid &= ~EPT_CAP_INVVPID;
	expect_fault(run_descriptor(EXIT_INVVPID, 2, 7, 0), EXCEPTION_UD);
}

static void operand_page_faults_say_where(void **state)
{
	struct nested_result result;

	(void)state;
	make_current();
	gpr[RAX] = PAGE_UNMAPPED - 4;
	result = run(EXIT_VMPTRST, INFO_MEMORY);
	expect_fault(result, EXCEPTION_PF);
	assert_int_equal(result.fault.address, PAGE_UNMAPPED);
	assert_int_equal(result.fault.error_code, PF_WRITE);
	assert_int_equal(get_u64(PAGE_UNMAPPED - 8), 0); /* nothing stored */
	result = run(EXIT_VMPTRLD, INFO_MEMORY);
	expect_fault(result, EXCEPTION_PF);
	assert_int_equal(result.fault.error_code, 0);
	/* Tables that lie where nothing is. */
	put_u64(DIRECTORY, NO_MEMORY | 7);
	result = run(EXIT_VMPTRLD, INFO_MEMORY);
	expect_fault(result, EXCEPTION_PF);
	assert_int_equal(result.fault.error_code, PF_PRESENT | PF_RESERVED);
}

static void operand_addresses_are_composed(void **state)
{
	/* [RBX + RDX * 8 + displacement], base RBX, index RDX. */
	const u32 information = 3 | 2u << 7 | 3u << 15 | 2u << 18 | 3u << 23;
	struct nested_instruction i = {EXIT_VMPTRST, information, 0x10};

	(void)state;
	make_current();
	gpr[RBX] = PAGE_OPERAND;
	gpr[RDX] = 4;
	expect_flags(nested_execute(&cpu, &i), 0);
	assert_int_equal(get_u64(PAGE_OPERAND + 0x30), PAGE_VMCS);
	/* 32-bit addresses wrap. */
	i.information = (information & ~(7u << 7)) | 1u << 7;
	i.displacement = ~0UL - 0x1f;
	gpr[RBX] = PAGE_OPERAND | BIT(33);
	gpr[RDX] = 12;
	expect_flags(nested_execute(&cpu, &i), 0);
	assert_int_equal(get_u64(PAGE_OPERAND + 0x40), PAGE_VMCS);
	/* FS has a base in 64-bit code, DS has none. */
	cpu.segments[NESTED_FS].base = 0x100;
	cpu.segments[NESTED_DS].base = 0x200;
	i.information = (i.information & ~(7u << 15)) | 4u << 15;
	expect_flags(nested_execute(&cpu, &i), 0);
	assert_int_equal(get_u64(PAGE_OPERAND + 0x140), PAGE_VMCS);
}

static void noncanonical_operands_fault(void **state)
{
	(void)state;
	make_current();
	gpr[RAX] = NO_CANONICAL;
	expect_fault(run(EXIT_VMPTRST, INFO_MEMORY), EXCEPTION_GP);
	gpr[RAX] = NO_CANONICAL - 4;
	expect_fault(run(EXIT_VMPTRST, INFO_MEMORY), EXCEPTION_GP);
	expect_fault(run(EXIT_VMPTRST,
			 (INFO_MEMORY & ~INFO_SEGMENT(7u)) | INFO_SEGMENT(2u)),
		     EXCEPTION_SS);
}

static void segments_are_checked_in_32_bit_mode(void **state)
{
	struct nested_segment_state *ds = &cpu.segments[NESTED_DS];

	(void)state;
	make_current();
	make_32_bit();
	gpr[RAX] = PAGE_OPERAND;
	put_u64(PAGE_OPERAND, PAGE_VMCS);
	*ds = (struct nested_segment_state){0, PAGE_OPERAND + 7, 0x4093};
	expect_flags(run(EXIT_VMPTRST, INFO_MEMORY_32), 0);
	ds->limit--;
	expect_fault(run(EXIT_VMPTRST, INFO_MEMORY_32), EXCEPTION_GP);
	ds->limit = 0xffffffff;
	ds->rights = 0xc091; /* read-only data */
	expect_fault(run(EXIT_VMPTRST, INFO_MEMORY_32), EXCEPTION_GP);
	expect_flags(run(EXIT_VMPTRLD, INFO_MEMORY_32), 0);
	ds->rights = 0xc099; /* execute-only code */
	expect_fault(run(EXIT_VMPTRLD, INFO_MEMORY_32), EXCEPTION_GP);
	ds->rights = 0xc09b; /* readable code */
	expect_flags(run(EXIT_VMPTRLD, INFO_MEMORY_32), 0);
	expect_fault(run(EXIT_VMPTRST, INFO_MEMORY_32), EXCEPTION_GP);
	ds->rights = (u32)RIGHTS_UNUSABLE;
	expect_fault(run(EXIT_VMPTRLD, INFO_MEMORY_32), EXCEPTION_GP);
	/* Expand-down: what lies above the limit. */
	*ds = (struct nested_segment_state){0, PAGE_OPERAND - 1, 0x4097};
	expect_flags(run(EXIT_VMPTRST, INFO_MEMORY_32), 0);
	ds->limit = PAGE_OPERAND;
	expect_fault(run(EXIT_VMPTRST, INFO_MEMORY_32), EXCEPTION_GP);
	*ds = (struct nested_segment_state){0x100, 0xffffffff, 0xc093};
	expect_flags(run(EXIT_VMPTRST, INFO_MEMORY_32), 0);
	assert_int_equal(get_u64(PAGE_OPERAND + 0x100), PAGE_VMCS);
	cpu.segments[NESTED_SS].limit = 0;
	expect_fault(run(EXIT_VMPTRST, (INFO_MEMORY_32 & ~INFO_SEGMENT(7u)) |
					   INFO_SEGMENT(2u)),
		     EXCEPTION_SS);
}

static void shadow_bitmaps_have_a_bit_per_encoding(void **state)
{
	(void)state;
	assert_false(nested_shadow_exits(&mem, 0x12000, VMCS_GUEST_RIP));
	put_u64(0x12000 + VMCS_GUEST_RIP / 64 * 8, BIT(VMCS_GUEST_RIP % 64));
	assert_true(nested_shadow_exits(&mem, 0x12000, VMCS_GUEST_RIP));
	assert_false(nested_shadow_exits(&mem, 0x12000, VMCS_GUEST_RSP));
	assert_true(nested_shadow_exits(&mem, 0x12000, BIT(15)));
	assert_true(nested_shadow_exits(&mem, NO_MEMORY, VMCS_GUEST_RSP));
}

/* SDM vol. 3, "VMX Instruction Reference": VMREAD and VMWRITE in L2. */
static void shadowed_access_fails_in_the_current_vmcs(void **state)
{
	static struct nested_state linked;

	(void)state;
	make_current();
	nested_state_reset(&linked);
	cpu.linked = &linked;
	gpr[RBX] = VMCS_GUEST_RIP;
	expect_flags(run(EXIT_VMREAD, INFO_REGISTERS), CF);
	expect_flags(run(EXIT_VMWRITE, INFO_REGISTERS), CF);
	assert_int_equal(nested.vmcs12.instruction_error, VMX_ERROR_NONE);

	linked.current = gpa(PAGE_SHADOW);
	linked.vmcs12.guest_rip = 0x1234;
	gpr[RDX] = 0;
	expect_flags(run(EXIT_VMREAD, INFO_REGISTERS), 0);
	assert_int_equal(gpr[RDX], 0x1234);
	gpr[RDX] = 0x5678;
	expect_flags(run(EXIT_VMWRITE, INFO_REGISTERS), 0);
	assert_int_equal(linked.vmcs12.guest_rip, 0x5678);
	assert_int_equal(nested.vmcs12.guest_rip, 0);
	assert_true(linked.vmcs12_changed);

	linked.vmcs12_changed = nested.vmcs12_changed = false;
	gpr[RBX] = 0x6bfe;
	for (u32 i = 0; i < 2; i++) {
		nested.vmcs12.instruction_error = VMX_ERROR_NONE;
		expect_flags(
		    run(i ? EXIT_VMREAD : EXIT_VMWRITE, INFO_REGISTERS), ZF);
		assert_int_equal(nested.vmcs12.instruction_error,
				 VMX_ERROR_UNSUPPORTED_FIELD);
	}
	assert_true(nested.vmcs12_changed);
	assert_int_equal(linked.vmcs12.instruction_error, VMX_ERROR_NONE);
	assert_false(linked.vmcs12_changed);
}

static void vmfunc_switches_the_ept_pointer(void **state)
{
	(void)state;
	make_current();
	make_vmcs12(&nested.vmcs12);
	put_u64(PAGE_EPTP_LIST, 0x1501e);
	put_u64(PAGE_EPTP_LIST + 511 * 8, 0x1601e);
	put_u64(PAGE_EPTP_LIST + 8, 0x1601f);
	assert_int_equal(nested_vmfunc(&cpu, 0, 0), NESTED_VMFUNC_SWITCHED);
	assert_int_equal(nested.vmcs12.ept_pointer, 0x1501e);
	assert_int_equal(nested_vmfunc(&cpu, 0, 511), NESTED_VMFUNC_SWITCHED);
	assert_int_equal(nested.vmcs12.ept_pointer, 0x1601e);
	assert_int_equal(nested_vmfunc(&cpu, 0, 1), NESTED_VMFUNC_EXIT);
	assert_int_equal(nested_vmfunc(&cpu, 0, 512), NESTED_VMFUNC_EXIT);
	assert_int_equal(nested_vmfunc(&cpu, 1, 0), NESTED_VMFUNC_EXIT);
	assert_int_equal(nested_vmfunc(&cpu, 63, 0), NESTED_VMFUNC_EXIT);
	assert_int_equal(nested_vmfunc(&cpu, 64, 0), NESTED_VMFUNC_UD);
	assert_int_equal(nested.vmcs12.ept_pointer, 0x1601e);
	nested.vmcs12.vmfunc_controls = 0;
	assert_int_equal(nested_vmfunc(&cpu, 0, 0), NESTED_VMFUNC_EXIT);
	nested.vmcs12.secondary_controls &= ~(u32)SECONDARY_VMFUNC;
	assert_int_equal(nested_vmfunc(&cpu, 0, 0), NESTED_VMFUNC_UD);
}

/* Bochs 2.7 leaves there what it decoded before. */
static void register_operand_has_no_displacement(void **state)
{
	const u32 in_register = BIT(10);

	(void)state;
	assert_int_equal(
	    nested_operand_qualification(EXIT_LDTR_TR, in_register, 0xe60), 0);
	assert_int_equal(
	    nested_operand_qualification(EXIT_VMREAD, in_register, 0xe60), 0);
	assert_int_equal(
	    nested_operand_qualification(EXIT_VMWRITE, in_register, 0xe60), 0);
	assert_int_equal(nested_operand_qualification(EXIT_VMREAD, 0, 0xe60),
			 0xe60);
	assert_int_equal(nested_operand_qualification(EXIT_CONTROL_REGISTER,
						      in_register, 0xe60),
			 0xe60);
}

/* --- What exit_vmx_fast.c goes by ------------------------------------------
 */

static struct nested_operand_page page;

static const u8 *find(u64 linear, u64 bytes)
{
	if (!nested_operand_page_holds(&page, linear, bytes, cpu.paging.cr3,
				       cpu.paging.efer))
		return NULL;
	return nested_operand_page_at(&page, linear);
}

/* As an access has left them: A is set, D in the leaf. */
static void set_flags_in_tables(void)
{
	struct guest_page found;

	for (u64 at = 0; at < 512; at++)
		if (at != PAGE_UNMAPPED >> 12)
			assert_int_equal(guest_walk(&mem, &cpu.paging,
						    gva(at << 12), GUEST_WRITE,
						    &found),
					 OK);
}

/* Tables for a supervisor. */
static void make_supervisor_tables(void)
{
	put_u64(PML4, PDPT | 3);
	set_flags_in_tables();
}

static void learn(u64 linear)
{
	nested_operand_page_learn(&page, &mem, &cpu.paging, gva(linear));
}

static void operand_page_holds_while_its_entries_do(void **state)
{
	static const u64 entries[] = {PML4, PDPT, DIRECTORY,
				      TABLE + 8 * (PAGE_OPERAND >> 12)};

	(void)state;
	make_supervisor_tables();
	put_u64(PAGE_OPERAND + 8, 0x123456789abcdef0);
	learn(PAGE_OPERAND + 0x777);
	assert_int_equal(*(const u64 *)find(PAGE_OPERAND + 8, 8),
			 0x123456789abcdef0);
	assert_non_null(find(PAGE_OPERAND + PAGE_4K - 16, 16));
	assert_null(find(PAGE_OPERAND + PAGE_4K - 15, 16));
	assert_null(find(PAGE_OPERAND - 1, 8));
	for (u32 i = 0; i < ARRAY_COUNT(entries); i++) {
		u64 value = get_u64(entries[i]);

		put_u64(entries[i], value ^ BIT(5));
		assert_null(find(PAGE_OPERAND, 8));
		put_u64(entries[i], value);
		assert_non_null(find(PAGE_OPERAND, 8));
	}
	cpu.paging.cr3 += PAGE_4K;
	assert_null(find(PAGE_OPERAND, 8));
	cpu.paging.cr3 -= PAGE_4K;
	cpu.paging.efer ^= EFER_NXE;
	assert_null(find(PAGE_OPERAND, 8));
	cpu.paging.efer ^= EFER_NXE;
	nested_operand_page_forget(&page);
	assert_null(find(PAGE_OPERAND, 8));
}

static void operand_page_is_learned_where_nothing_is_forgotten(void **state)
{
	(void)state;
	nested_operand_page_forget(&page);
	/* Neither 0 nor what is not canonical is in a page of nothing. */
	assert_false(nested_operand_page_holds(&page, 0, 8, 0, L1_EFER));
	assert_false(nested_operand_page_holds(&page, BIT(62), 8, 0, L1_EFER));
	make_32_bit();
	learn(PAGE_OPERAND);
	assert_null(find(PAGE_OPERAND, 8));
}

static void mix_entry(struct random *random, u64 at)
{
	static const u64 bits[] = {BIT(0),  BIT(2),  BIT(5),
				   BIT(7),  BIT(12), BIT(L1_PHYS_BITS),
				   BIT(63), BIT(1)};
	u64 value = get_u64(at);

	for (u64 count = random_below(random, 3); count; count--)
		value ^= bits[random_below(random, ARRAY_COUNT(bits))];
	put_u64(at, value);
}

/* Whatever is found, a walk would find, and would change nothing. */
static void operand_page_is_what_a_walk_finds(void **state)
{
	struct random random = random_from(7);
	u32 found_count = 0;

	(void)state;
	for (u32 round = 0; round < 10000; round++) {
		u64 number = random_below(&random, NO_MEMORY / PAGE_4K + 1);
		u64 leaf = TABLE + 8 * number;
		struct guest_page walked = {.error_code = 0};
		const u8 *found;

		put_u64(PML4, PDPT | 0x23);
		put_u64(PDPT, DIRECTORY | 0x27);
		put_u64(DIRECTORY, TABLE | 0x27);
		put_u64(leaf, number << 12 | 0x27);
		mix_entry(&random, random_below(&random, 2) ? PML4 : PDPT);
		mix_entry(&random, random_below(&random, 2) ? DIRECTORY : leaf);
		cpu.paging.efer = L1_EFER & ~(u64)EFER_NXE;
		if (random_below(&random, 2))
			cpu.paging.efer |= EFER_NXE;
		cpu.paging.has_1g_pages = random_below(&random, 2);
		cpu.paging.cr4 |= BIT(21); /* SMAP */
		learn(number << 12);
		if (random_below(&random, 4) == 0)
			mix_entry(&random, leaf);
		found = find(number << 12, 8);
		if (!found)
			continue;
		found_count++;
		assert_int_equal(guest_walk(&mem, &cpu.paging,
					    gva(number << 12), GUEST_READ,
					    &walked),
				 OK);
		assert_ptr_equal(found, guest_mem_ptr(&mem, walked.address, 8));
		assert_ptr_equal(find(number << 12, 8), found);
	}
	assert_true(found_count > 1000);
}

/* The table says of each encoding what the functions say. */
static void access_table_is_the_fields(void **state)
{
	static struct nested_access table[NESTED_ACCESS_COUNT];
	u32 count = 0;

	(void)state;
	nested_access_fill(table, &offer);
	for (u64 encoding = 0; encoding < 0x8000; encoding++) {
		const struct nested_access *a =
		    &table[nested_access_index(encoding)];
		u32 offset = vmcs12_field_offset(&offer, encoding);

		if (encoding & ~NESTED_ACCESS_ENCODING)
			continue;
		assert_int_equal(a->offset, offset);
		if (!offset)
			continue;
		count++;
		assert_int_equal(64 - a->unused_bits,
				 8 * vmcs12_field_bytes(encoding));
		assert_true(offset + 8 <= sizeof(struct vmcs12));
		assert_int_equal(!!(a->flags & NESTED_ACCESS_COLD),
				 nested_field_group(encoding) ==
				     NESTED_GROUP_COLD);
		if (a->flags & NESTED_ACCESS_SAME)
			assert_int_equal(vmcs12_may_write(&offer, encoding),
					 VMX_ERROR_NONE);
	}
	assert_true(count > 100);
}

/* --- Enlightened VMCSs ---------------------------------------------------- */

#define PAGE_EVMCS   0xe000UL
#define PAGE_EVMCS2  0xf000UL
#define EVMCS_ERROR  688
#define EVMCS_CR3    552
#define EVMCS_RIP    816
#define EVMCS_CLEAN  824
#define EVMCS_LAUNCH 8 /* where a VMCS region has its launch state */

static void ask_for_evmcs(u64 address)
{
	cpu.wants_evmcs = true;
	cpu.evmcs = gpa(address);
}

static void make_evmcs(void)
{
	offer = full_offer();
	evmcs_limit_offer(&offer);
	enter_vmx();
	put_u32(&mem, PAGE_EVMCS, EVMCS_VERSION);
	put_u32(&mem, PAGE_EVMCS2, EVMCS_VERSION);
	ask_for_evmcs(PAGE_EVMCS);
}

static void enters(enum exit_reason reason)
{
	assert_int_equal(run(reason, 0).outcome, NESTED_ENTER);
	nested_launched(&nested);
	assert_true(nested.is_enlightened);
	assert_false(nested_has_current(&nested));
	assert_true(gpa_equal(nested.evmcs, cpu.evmcs));
}

/* L1 says that all is clean, and has written the field all the same. */
static void write_clean_cr3(u64 address, u64 value)
{
	put_u64(address + EVMCS_CR3, value);
	put_u32(&mem, address + EVMCS_CLEAN, EVMCS_ALL);
}

static void evmcs_is_entered_without_vmptrld(void **state)
{
	(void)state;
	make_evmcs();
	put_u64(PAGE_EVMCS + EVMCS_RIP, 0x1111);
	enters(EXIT_VMLAUNCH);
	assert_int_equal(nested.vmcs12.guest_rip, 0x1111);
	put_u64(PAGE_EVMCS + EVMCS_RIP, 0x2222);
	enters(EXIT_VMRESUME);
	assert_int_equal(nested.vmcs12.guest_rip, 0x2222);
	/* It has no launch state. */
	enters(EXIT_VMLAUNCH);
	enters(EXIT_VMRESUME);
	/* VMREAD and VMWRITE have no VMCS. */
	gpr[RBX] = VMCS_GUEST_RIP;
	expect_flags(run(EXIT_VMREAD, INFO_REGISTERS), CF);
	expect_flags(run(EXIT_VMWRITE, INFO_REGISTERS), CF);
}

static void clean_fields_count_at_vmresume(void **state)
{
	(void)state;
	make_evmcs();
	put_u64(PAGE_EVMCS + EVMCS_CR3, 0x1000);
	enters(EXIT_VMLAUNCH);
	write_clean_cr3(PAGE_EVMCS, 0x2000);
	enters(EXIT_VMRESUME);
	assert_int_equal(nested.vmcs12.guest_cr3, 0x1000);
	assert_int_equal(cpu.found.changed, 0);
	put_u32(&mem, PAGE_EVMCS + EVMCS_CLEAN, EVMCS_ALL & ~EVMCS_CRDR);
	enters(EXIT_VMRESUME);
	assert_int_equal(nested.vmcs12.guest_cr3, 0x2000);
	assert_int_equal(cpu.found.changed, BIT(NESTED_GROUP_COLD));
}

static void read_anew(u64 address, enum exit_reason reason)
{
	static u64 value = 0x100000;

	value += PAGE_4K;
	write_clean_cr3(address, value);
	ask_for_evmcs(address);
	enters(reason);
	assert_int_equal(nested.vmcs12.guest_cr3, value);
	assert_int_equal(cpu.found.changed, ~0u);
}

static void clean_fields_do_not_count_where_they_must_not(void **state)
{
	(void)state;
	make_evmcs();
	read_anew(PAGE_EVMCS, EXIT_VMLAUNCH);
	read_anew(PAGE_EVMCS, EXIT_VMLAUNCH);
	/* Another one, and back. */
	read_anew(PAGE_EVMCS2, EXIT_VMRESUME);
	read_anew(PAGE_EVMCS, EXIT_VMRESUME);
	/* After VMCLEAR. */
	expect_flags(run_pointer(EXIT_VMCLEAR, PAGE_EVMCS), 0);
	assert_false(nested.is_enlightened);
	read_anew(PAGE_EVMCS, EXIT_VMRESUME);
	/* After an ordinary VMCS. */
	cpu.wants_evmcs = false;
	expect_flags(run_pointer(EXIT_VMPTRLD, PAGE_VMCS), 0);
	assert_false(nested.is_enlightened);
	read_anew(PAGE_EVMCS, EXIT_VMRESUME);
	/* After an entry that has failed. */
	nested_fail(&cpu, VMX_ERROR_ENTRY_CONTROLS);
	read_anew(PAGE_EVMCS, EXIT_VMRESUME);
	/* And on a machine that the vCPU has come to. */
	nested.evmcs_is_known = false;
	read_anew(PAGE_EVMCS, EXIT_VMRESUME);
	/* L1 has asked for none in between. */
	cpu.wants_evmcs = false;
	expect_flags(run(EXIT_VMRESUME, 0), CF);
	read_anew(PAGE_EVMCS, EXIT_VMRESUME);
}

static void evmcs_that_is_none_fails_invalid(void **state)
{
	static const u64 bad[] = {
	    PAGE_EVMCS + 8, NO_MEMORY,         ~0UL,       ~0xfffUL,
	    BIT(52),        BIT(L1_PHYS_BITS), PAGE_VMXON, PAGE_NO_VMCS};
	struct nested_state before;

	(void)state;
	make_evmcs();
	enters(EXIT_VMLAUNCH);
	before = nested;
	for (u32 i = 0; i < ARRAY_COUNT(bad); i++) {
		ask_for_evmcs(bad[i]);
		expect_flags(run(EXIT_VMRESUME, 0), CF);
		expect_flags(run(EXIT_VMLAUNCH, 0), CF);
		assert_memory_equal(&nested, &before, sizeof(nested));
	}
	/* What was used before is used still. */
	ask_for_evmcs(PAGE_EVMCS);
	enters(EXIT_VMRESUME);
}

/* What L1 had in a VMCS is in its memory before an eVMCS takes its place. */
static void evmcs_ends_the_current_vmcs(void **state)
{
	static struct vmcs12 in_memory;

	(void)state;
	make_current();
	evmcs_limit_offer(&offer);
	nested.vmcs12.guest_rip = 0x4321;
	nested.vmcs12_changed = true;
	put_u32(&mem, PAGE_EVMCS, EVMCS_VERSION);
	ask_for_evmcs(PAGE_EVMCS);
	enters(EXIT_VMLAUNCH);
	vmcs12_load(&in_memory, &mem, gpa(PAGE_VMCS));
	assert_int_equal(in_memory.guest_rip, 0x4321);
}

/* Whether it is one cannot be told, so nothing is written there. */
static void vmclear_leaves_an_evmcs_as_it_is(void **state)
{
	(void)state;
	make_evmcs();
	put_u32(&mem, PAGE_EVMCS + EVMCS_LAUNCH, 0x5a5a5a5a);
	put_u32(&mem, PAGE_EVMCS2 + EVMCS_LAUNCH, 0x5a5a5a5a);
	enters(EXIT_VMLAUNCH);
	expect_flags(run_pointer(EXIT_VMCLEAR, PAGE_EVMCS2), 0);
	assert_true(nested.is_enlightened);
	expect_flags(run_pointer(EXIT_VMCLEAR, PAGE_EVMCS), 0);
	assert_false(nested.is_enlightened);
	assert_int_equal(low32(get_u64(PAGE_EVMCS + EVMCS_LAUNCH)), 0x5a5a5a5a);
	assert_int_equal(low32(get_u64(PAGE_EVMCS2 + EVMCS_LAUNCH)),
			 0x5a5a5a5a);
	/* A VMCS is cleared where no eVMCS is asked for. */
	cpu.wants_evmcs = false;
	put_u32(&mem, PAGE_VMCS + EVMCS_LAUNCH, VMCS12_LAUNCHED);
	expect_flags(run_pointer(EXIT_VMCLEAR, PAGE_VMCS), 0);
	assert_int_equal(low32(get_u64(PAGE_VMCS + EVMCS_LAUNCH)),
			 VMCS12_CLEAR);
}

static void errors_are_told_in_the_evmcs(void **state)
{
	(void)state;
	make_evmcs();
	enters(EXIT_VMLAUNCH);
	cpu.interruptibility = BLOCKING_BY_MOV_SS;
	expect_error(run(EXIT_VMRESUME, 0), VMX_ERROR_BLOCKED_BY_MOV_SS);
	assert_int_equal(low32(get_u64(PAGE_EVMCS + EVMCS_ERROR)),
			 VMX_ERROR_BLOCKED_BY_MOV_SS);
	assert_false(nested.evmcs_is_known);
}

static void vmxoff_ends_an_evmcs(void **state)
{
	(void)state;
	make_evmcs();
	enters(EXIT_VMLAUNCH);
	expect_flags(run(EXIT_VMXOFF, 0), 0);
	assert_false(nested.is_enlightened);
	enter_vmx();
	assert_false(nested.is_enlightened);
	assert_false(nested_has_vmcs12(&nested));
}

#define TEST(name) cmocka_unit_test_setup(name, make_cpu)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(outside_vmx_operation_only_vmxon_exists),
	    TEST(wrong_modes_come_before_privilege),
	    TEST(vmxon_checks_in_order),
	    TEST(vmxon_in_vmx_operation_fails),
	    TEST(vmptrld_checks_in_order),
	    TEST(vmclear_checks_in_order),
	    TEST(vmptrst_stores_the_pointer),
	    TEST(operands_may_be_devices),
	    TEST(fields_go_through_registers),
	    TEST(fields_go_through_memory),
	    TEST(register_operand_has_no_displacement),
	    TEST(operands_have_32_bits_in_32_bit_mode),
	    TEST(fields_need_a_current_vmcs),
	    TEST(vmcs_is_written_back_when_it_is_left),
	    TEST(entry_checks_in_order),
	    TEST(launch_state_is_the_vmcs_own),
	    TEST(invept_checks_in_order),
	    TEST(invvpid_checks_in_order),
	    TEST(operand_page_faults_say_where),
	    TEST(operand_addresses_are_composed),
	    TEST(noncanonical_operands_fault),
	    TEST(segments_are_checked_in_32_bit_mode),
	    TEST(shadow_bitmaps_have_a_bit_per_encoding),
	    TEST(shadowed_access_fails_in_the_current_vmcs),
	    TEST(vmfunc_switches_the_ept_pointer),
	    TEST(operand_page_holds_while_its_entries_do),
	    TEST(operand_page_is_learned_where_nothing_is_forgotten),
	    TEST(operand_page_is_what_a_walk_finds),
	    TEST(access_table_is_the_fields),
	    TEST(evmcs_is_entered_without_vmptrld),
	    TEST(clean_fields_count_at_vmresume),
	    TEST(clean_fields_do_not_count_where_they_must_not),
	    TEST(evmcs_that_is_none_fails_invalid),
	    TEST(evmcs_ends_the_current_vmcs),
	    TEST(vmclear_leaves_an_evmcs_as_it_is),
	    TEST(errors_are_told_in_the_evmcs),
	    TEST(vmxoff_ends_an_evmcs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
