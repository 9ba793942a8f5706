/* SPDX-License-Identifier: MIT */
/*
 * The smallest hypervisor: an L1 whose L2 does one thing after the other, each
 * of which must come out as the manual says.
 *
 *	ept=0    L2 runs on the guest's own page tables (default: EPT, where
 *	         there is one)
 *	n=N      how many CPUIDs L2 does (default 10)
 *	lost     L2 gets an interrupt, and its stack is where L1 has no memory
 */
#include "guests/lib/ept12.h"
#include "guests/lib/guest.h"
#include "guests/lib/l2.h"
#include "guests/lib/pages.h"
#include "lib/x86.h"

#define PATTERN   0x1122334455667788ull
#define ANSWER    0x0a0b0c0d01020304ull
#define CALL_ECHO L2_CALL_USER
#define NO_MEMORY 0xd0000000ull

static volatile u64 written, answered;

static void program(void)
{
	u64 count = boot_number("n", 10);

	for (u64 i = 0; i < count; i++)
		written += cpuid(0x12345678, (u32)i).eax;
	answered = l2_call(CALL_ECHO, PATTERN);
	__asm__ volatile("hlt");
	written++;
}

static struct l2 l2;

static u32 expect(u32 reason, const char *what)
{
	u32 found = l2_run(&l2);

	check(found == reason, what, "exit reason %#x, not %#x; error %lu",
	      found, reason, vmread(VMCS_INSTRUCTION_ERROR));
	return found;
}

static bool answer_cpuids(void)
{
	u64 count = boot_number("n", 10);

	for (u64 i = 0; i < count; i++) {
		if (expect(EXIT_CPUID, "cpuid_exits") != EXIT_CPUID)
			return false;
		check(low32(l2.rax) == 0x12345678 && low32(l2.rcx) == i,
		      "cpuid_registers", "EAX %#lx, ECX %#lx", l2.rax, l2.rcx);
		l2.rax = i + 1;
		l2.rbx = l2.rcx = l2.rdx = 0;
		check(vmread(VMCS_EXIT_INSTRUCTION_LENGTH) == 2, "cpuid_length",
		      "%lu", vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
		l2_skip(&l2);
	}
	return true;
}

static void follow_program(void)
{
	u64 count = boot_number("n", 10);

	if (!answer_cpuids())
		return;
	expect(EXIT_VMCALL, "vmcall_exits");
	check(l2.rax == CALL_ECHO && l2.rcx == PATTERN, "vmcall_registers",
	      "RAX %#lx, RCX %#lx", l2.rax, l2.rcx);
	check(written == count * (count + 1) / 2, "l2_has_written", "%lu",
	      written);
	l2.rax = ANSWER;
	l2_skip(&l2);
	expect(EXIT_HLT, "hlt_exits");
	check(answered == ANSWER, "l1_has_answered", "%#lx", answered);
	l2_skip(&l2);
	expect(EXIT_VMCALL, "last_call_exits");
	check(l2_has_ended(&l2), "l2_has_ended", "RAX %#lx", l2.rax);
	check(written == count * (count + 1) / 2 + 1, "l2_went_on", "%lu",
	      written);
}

/* Its first instruction reaches the same page, but may not be done. */
static void write_without_memory(void)
{
	*(volatile u8 *)NO_MEMORY = 1;
}

static void lose_the_stack(void)
{
	l2_begin(&l2, write_without_memory);
	vmwrite(VMCS_GUEST_RSP, NO_MEMORY + PAGE_BYTES);
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, EVENT_VALID | 0x40);
	check(false, "l2_has_ended", "by %#x", l2_run(&l2));
}

static void make_l2(void)
{
	struct l2_controls controls = {.primary = PRIMARY_HLT};
	struct ept12 ept;

	if (boot_number("ept", 1) &&
	    vmx_allows(CONTROLS_SECONDARY, SECONDARY_EPT)) {
		ept12_make(&ept);
		ept12_identity(&ept, 4 * GIB, EPT12_2M);
		controls.secondary = SECONDARY_EPT;
		controls.ept_pointer = ept.pointer;
	}
	l2_make(&l2, &controls);
	l2_begin(&l2, program);
	print("L1: an L2 %s\n",
	      controls.secondary ? "with EPT" : "without EPT");
}

u8 guest_main(void)
{
	u32 did;

	if (!vmx_is_there()) {
		check(false, "vmx_is_there", "this CPU has no VMX to use");
		return result_print();
	}
	did = vmx_on();
	check(did == VMX_OK, "vmxon", "%#x", did);
	if (did == VMX_OK) {
		make_l2();
		if (boot_has_word("lost"))
			lose_the_stack();
		else
			follow_program();
		vmx_off();
	}
	return result_print();
}
