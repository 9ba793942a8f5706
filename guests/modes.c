/* SPDX-License-Identifier: MIT */
/*
 * A guest that goes through all modes of a CPU, down to real mode and up again
 * (modes32.asm), and in each does what exits or what needs the tables of that
 * mode; on the way it switches tasks by the CPU's own means.
 *
 *	n=N   how often (default 20)
 *
 * Nothing here is about Umbra: on the bare machine the same must come out.
 */
#include "guests/lib/guest.h"

#define TOURS_DEFAULT 20
#define SCRATCH_VALUE 0x12345678u
#define ALIAS_SCRATCH 0x40006ff0u
#define STACK_OF_REAL 0x5ff0u
#define NOTHING       0xffffffffu

/* In the order of modes32.asm. */
enum mode_result {
	CPUID32,
	PORT32,
	MMIO32,
	INT32,
	GP32_VECTOR,
	GP32_ERROR,
	PAE_ALIAS,
	PAE_MMIO,
	PAE_KEPT,
	PAE_FAULT_VECTOR,
	PAE_FAULT_ERROR,
	PAE_FAULT_CR2,
	PAE_BAD_VECTOR,
	PAE_RELOADED,
	PSE_ALIAS,
	PSE_MMIO,
	PSE_FAULT_VECTOR,
	PSE_FAULT_ERROR,
	V86_CPUID,
	V86_END,
	REAL_INT,
	REAL_CPUID,
	REAL_UD,
	REAL_GP,
	REAL_MMIO,
	REAL_OUTS,
	REAL_NMI,
	REAL_INTERRUPT,
	REAL_STACK,
	STOP,
	LONG_TSS16,
	TASK_CALL,
	TASK_LINK,
	TASK_BUSY,
	TASK_TS,
	TASK_JUMP,
	TASK_INT,
	TASK_ERROR,
	TASK_16,
	TASK_PAGING,
	TASK_BAD,
	RESULT_COUNT,
};

/* modes32.asm */
void mode_tour(void);
extern u32 mode_results[RESULT_COUNT];

struct expected {
	const char *name;
	u32 value;
};

#define VENDOR 0 /* as CPUID says in 64-bit mode */

static const struct expected expected[RESULT_COUNT] = {
    [CPUID32] = {"cpuid_in_32_bit_code", VENDOR},
    [PORT32] = {"port_in_32_bit_code", NOTHING},
    [MMIO32] = {"device_in_32_bit_code", NOTHING},
    [INT32] = {"int_in_32_bit_code", 0x50},
    [GP32_VECTOR] = {"fault_in_32_bit_code", VECTOR_GP},
    [GP32_ERROR] = {"its_error_code", 0x7ff8},
    [PAE_ALIAS] = {"pae_translates", SCRATCH_VALUE},
    [PAE_MMIO] = {"device_through_pae", NOTHING},
    [PAE_KEPT] = {"pdptes_are_registers", SCRATCH_VALUE},
    [PAE_FAULT_VECTOR] = {"cr3_loads_pdptes", VECTOR_PF},
    [PAE_FAULT_ERROR] = {"not_present_by_pae", 0},
    [PAE_FAULT_CR2] = {"address_of_that_fault", ALIAS_SCRATCH},
    [PAE_BAD_VECTOR] = {"reserved_bits_of_a_pdpte", VECTOR_GP},
    [PAE_RELOADED] = {"cd_loads_pdptes", SCRATCH_VALUE},
    [PSE_ALIAS] = {"4_mib_pages_translate", SCRATCH_VALUE},
    [PSE_MMIO] = {"device_through_4_mib_pages", NOTHING},
    [PSE_FAULT_VECTOR] = {"read_only_4_mib_page", VECTOR_PF},
    [PSE_FAULT_ERROR] = {"its_write_faults", 3},
    [V86_CPUID] = {"cpuid_in_virtual_8086_mode", VENDOR},
    [V86_END] = {"hlt_leaves_virtual_8086_mode", VECTOR_GP},
    [REAL_INT] = {"int_in_real_mode", 0x50},
    [REAL_CPUID] = {"cpuid_in_real_mode", VENDOR},
    [REAL_UD] = {"ud_in_real_mode", VECTOR_UD},
    [REAL_GP] = {"limit_in_real_mode", VECTOR_GP},
    [REAL_MMIO] = {"device_in_real_mode", NOTHING},
    [REAL_OUTS] = {"outs_in_real_mode", 5},
    [REAL_NMI] = {"nmi_in_real_mode", VECTOR_NMI},
    [REAL_INTERRUPT] = {"interrupt_in_real_mode", 0x51},
    [REAL_STACK] = {"stack_of_real_mode", STACK_OF_REAL},
    [STOP] = {"back_in_32_bit_mode", 1},
    [LONG_TSS16] = {"no_long_mode_with_a_16_bit_task", VECTOR_GP},
    [TASK_CALL] = {"task_comes_back_with_its_registers", 5},
    [TASK_LINK] = {"called_task_has_its_own", 8},
    [TASK_BUSY] = {"only_the_task_that_runs_is_busy", 0x8b89},
    [TASK_TS] = {"task_switch_sets_ts", 8},
    [TASK_JUMP] = {"jump_through_a_task_gate", 0x11},
    [TASK_INT] = {"interrupt_through_a_task_gate", 8},
    [TASK_ERROR] = {"error_code_is_on_the_tasks_stack", 0x7ff8},
    [TASK_16] = {"task_of_16_bits", 0x16},
    [TASK_PAGING] = {"task_has_its_own_cr3", SCRATCH_VALUE},
    [TASK_BAD] = {"bad_segment_faults_in_the_new_task", 0xa0038},
};

static void compare(void)
{
	for (u32 i = 0; i < RESULT_COUNT; i++) {
		u32 value = expected[i].value;

		if ((i == REAL_NMI || i == REAL_INTERRUPT) &&
		    apic_mode() != APIC_X2APIC)
			continue;
		if (value == VENDOR && i != PAE_FAULT_ERROR)
			value = cpuid(0, 0).ebx;
		check(mode_results[i] == value, expected[i].name,
		      "%#x instead of %#x", mode_results[i], value);
	}
}

u8 guest_main(void)
{
	u64 tours = boot_number("n", TOURS_DEFAULT);

	for (u64 i = 0; i < tours; i++) {
		memset(mode_results, 0, sizeof(mode_results));
		mode_tour();
		compare();
	}
	print("modes: %lu tours\n", tours);
	return result_print();
}
