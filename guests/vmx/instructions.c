/* SPDX-License-Identifier: MIT */
/*
 * The VMX instructions in VMX root operation: faults, failures, their numbers
 * and order, flags. SDM vol. 3, "VMX Instruction Reference".
 */
#include "guests/vmx/suite.h"

#define NOT_CANONICAL     0x0000900000000000ull
#define NOT_MAPPED        (64 * GIB)
#define UD                (VMX_FAULT + VECTOR_UD)
#define GP                (VMX_FAULT + VECTOR_GP)
#define PF                (VMX_FAULT + VECTOR_PF)
#define SS                (VMX_FAULT + VECTOR_SS)

#define RFLAGS_ARITHMETIC 0x8d5u /* OF SF ZF AF PF CF */
#define RFLAGS_CF         BIT(0)
#define RFLAGS_ZF         BIT(6)

static u64 region, other;

static u64 beyond_memory_width(void)
{
	u32 bits = cpuid(0x80000000, 0).eax >= 0x80000008
		       ? cpuid(0x80000008, 0).eax & 0xff
		       : 36;

	return 1ull << bits;
}

/* --- Each instruction as a function of no argument ------------------------ */

static u32 did_vmxon(void)
{
	return vmxon(region);
}

static u32 did_vmclear(void)
{
	return vmclear(other);
}

static u32 did_vmptrld(void)
{
	return vmptrld(other);
}

static u32 did_vmptrst(void)
{
	u64 pointer;

	return vmptrst_at(&pointer);
}

static u32 did_vmread(void)
{
	u64 value = 0;

	return vmread_try(VMCS_GUEST_RIP, &value);
}

static u32 did_vmwrite(void)
{
	return vmwrite_try(VMCS_GUEST_RIP, 0);
}

static u32 did_invept(void)
{
	return invept(INVEPT_ALL, 0, 0);
}

static u32 did_invvpid(void)
{
	return invvpid(INVVPID_ALL, 0, 0);
}

/*
 * A number that no hypervisor knows as a call to it. Bochs 2.7 stops for good
 * at a VMCALL in VMX root operation, whatever the privilege level.
 */
static u32 did_vmcall(void)
{
	register u32 fault __asm__("r8");
	bool carry, zero;

	__asm__ volatile(TRY("vmcall")
			 : "=&r"(fault), "=@ccc"(carry), "=@ccz"(zero)
			 : "a"(0x6e6f6e65ull)
			 : "memory");
	return vmx_did(fault, carry, zero);
}

struct instruction {
	const char *name;
	u32 (*act)(void);
	u8 bytes[6]; /* for compatibility mode; memory operands at [EAX] */
	u32 length;
};

static const struct instruction all[] = {
    {"vmclear", did_vmclear, {0x66, 0x0f, 0xc7, 0x30}, 4},
    {"vmptrld", did_vmptrld, {0x0f, 0xc7, 0x30}, 3},
    {"vmptrst", did_vmptrst, {0x0f, 0xc7, 0x38}, 3},
    {"vmread", did_vmread, {0x0f, 0x78, 0xc8}, 3},
    {"vmwrite", did_vmwrite, {0x0f, 0x79, 0xc8}, 3},
    {"invept", did_invept, {0x66, 0x0f, 0x38, 0x80, 0x08}, 5},
    {"invvpid", did_invvpid, {0x66, 0x0f, 0x38, 0x81, 0x08}, 5},
    {"vmlaunch", vmlaunch, {0x0f, 0x01, 0xc2}, 3},
    {"vmresume", vmresume, {0x0f, 0x01, 0xc3}, 3},
    {"vmxoff", vmxoff, {0x0f, 0x01, 0xc4}, 3},
    {"vmcall", did_vmcall, {0x0f, 0x01, 0xc1}, 3},
};

/* --- Outside VMX operation ------------------------------------------------ */

static void every_one_is(u32 wanted, const char *when)
{
	suite_case(when);
	for (u32 i = 0; i < ARRAY_COUNT(all); i++)
		suite_expect(all[i].act(), wanted, all[i].name);
}

static void outside_vmx_operation(void)
{
	write_cr4(read_cr4() & ~CR4_VMXE);
	every_one_is(UD, "without_vmxe");
	suite_expect(vmxon(region), UD, "vmxon");
	write_cr4(read_cr4() | CR4_VMXE);
	every_one_is(UD, "outside_vmx_operation");
}

static void vmxon_fails_invalid(u64 pointer, const char *name)
{
	u32 did;

	suite_case(name);
	did = vmxon(pointer);
	suite_expect(did, VMX_FAIL_INVALID, "vmxon");
	if (did == VMX_OK)
		vmxoff();
}

static void vmxon_with_revision(u32 revision, const char *name)
{
	u32 good = *(volatile u32 *)region;

	*(volatile u32 *)region = revision;
	vmxon_fails_invalid(region, name);
	*(volatile u32 *)region = good;
}

static void vmxon_bad_pointers(void)
{
	u32 revision = (u32)(vmx_basic() & BASIC_REVISION);

	vmxon_fails_invalid(region + 8, "vmxon_misaligned");
	vmxon_fails_invalid(region | beyond_memory_width(),
			    "vmxon_beyond_memory_width");
	vmxon_with_revision(revision ^ 1, "vmxon_other_revision");
	vmxon_with_revision(revision | (u32)BIT(31), "vmxon_shadow_bit");
}

static void vmxon_bad_registers(void)
{
	u64 cr0 = read_cr0();
	u32 did;

	suite_case("vmxon_cr0_ne_clear");
	if (!(rdmsr(MSR_VMX_CR0_FIXED0) & CR0_NE))
		return;
	write_cr0(cr0 & ~CR0_NE);
	did = vmxon(region);
	write_cr0(cr0);
	suite_expect(did, GP, "vmxon");
	if (did == VMX_OK)
		vmxoff();
}

/* --- Privilege and modes -------------------------------------------------- */

static u32 user_outcome[ARRAY_COUNT(all) + 1];

static void try_all_in_user_mode(void)
{
	for (u32 i = 0; i < ARRAY_COUNT(all); i++)
		user_outcome[i] = all[i].act();
	user_outcome[ARRAY_COUNT(all)] = did_vmxon();
}

static void privilege_level_3(const char *name, u32 wanted, u32 wanted_vmxon)
{
	user_run(try_all_in_user_mode);
	suite_case(name);
	for (u32 i = 0; i < ARRAY_COUNT(all); i++)
		suite_expect(user_outcome[i], wanted, all[i].name);
	suite_expect(user_outcome[ARRAY_COUNT(all)], wanted_vmxon, "vmxon");
}

static void compatibility_mode(const char *name)
{
	static const u8 vmxon_bytes[] = {0xf3, 0x0f, 0xc7, 0x30};

	suite_case(name);
	for (u32 i = 0; i < ARRAY_COUNT(all); i++)
		suite_expect(
		    user_run_compatibility(all[i].bytes, all[i].length),
		    VECTOR_UD, all[i].name);
	suite_expect(user_run_compatibility(vmxon_bytes, 4), VECTOR_UD,
		     "vmxon");
}

/* --- Memory operands ------------------------------------------------------ */

struct operand_case {
	const char *name;
	u32 (*act)(u64 address);
};

static u32 at_vmptrst(u64 a)
{
	return vmptrst_at((volatile u64 *)a);
}

static u32 at_vmptrld(u64 a)
{
	return vmptrld_at((const volatile u64 *)a);
}

static u32 at_vmclear(u64 a)
{
	return vmclear_at((const volatile u64 *)a);
}

static u32 at_vmxon(u64 a)
{
	return vmxon_at((const volatile u64 *)a);
}

static u32 at_vmread(u64 a)
{
	return vmread_to(VMCS_GUEST_RIP, (volatile u64 *)a);
}

static u32 at_invept(u64 a)
{
	return invept_at(INVEPT_ALL, (const struct vmx_invalidation *)a);
}

static u32 at_invvpid(u64 a)
{
	return invvpid_at(INVVPID_ALL, (const struct vmx_invalidation *)a);
}

static const struct operand_case operands[] = {
    {"vmxon", at_vmxon},     {"vmclear", at_vmclear}, {"vmptrld", at_vmptrld},
    {"vmptrst", at_vmptrst}, {"vmread", at_vmread},   {"invept", at_invept},
    {"invvpid", at_invvpid},
};

static u32 vmptrst_on_stack_segment(u64 address)
{
	register u32 fault __asm__("r8");
	bool carry, zero;

	__asm__ volatile("push %%rbp\n\t"
			 "mov %3, %%rbp\n\t" TRY("vmptrst (%%rbp)") "\n\t"
								    "pop %%rbp"
			 : "=&r"(fault), "=@ccc"(carry), "=@ccz"(zero)
			 : "r"(address)
			 : "memory");
	return vmx_did(fault, carry, zero);
}

/* VMXON in VMX root operation looks at no operand. */
static void bad_operands(void)
{
	for (u32 i = 1; i < ARRAY_COUNT(operands); i++) {
		suite_case(operands[i].name);
		suite_expect(operands[i].act(NOT_CANONICAL), GP,
			     "an operand at no canonical address");
		suite_expect(trap_error(), 0, "its error code");
		suite_expect(operands[i].act(NOT_MAPPED), PF,
			     "an operand that is not mapped");
		suite_expect(read_cr2(), NOT_MAPPED, "its CR2");
		suite_expect(trap_error(),
			     operands[i].act == at_vmptrst ||
				     operands[i].act == at_vmread
				 ? 2
				 : 0,
			     "its error code");
	}
	suite_case("operand_in_the_stack_segment");
	suite_expect(vmptrst_on_stack_segment(NOT_CANONICAL), SS, "vmptrst");
}

static void vmxon_operands(void)
{
	suite_case("vmxon_operand");
	suite_expect(at_vmxon(NOT_CANONICAL), GP, "not canonical");
	suite_expect(at_vmxon(NOT_MAPPED), PF, "not mapped");
	suite_expect(read_cr2(), NOT_MAPPED, "CR2");
}

/* --- Pointers ------------------------------------------------------------- */

static u64 current(void)
{
	u64 pointer = 0;

	vmptrst_at(&pointer);
	return pointer;
}

static void without_current_vmcs(void)
{
	suite_case("no_current_vmcs");
	suite_expect(current(), VMX_NO_POINTER, "vmptrst");
	suite_expect(did_vmread(), VMX_FAIL_INVALID, "vmread");
	suite_expect(did_vmwrite(), VMX_FAIL_INVALID, "vmwrite");
	suite_expect(vmlaunch(), VMX_FAIL_INVALID, "vmlaunch");
	suite_expect(vmresume(), VMX_FAIL_INVALID, "vmresume");
	suite_expect(vmxon(region), VMX_FAIL_INVALID, "vmxon in VMX operation");
	suite_expect(vmptrld(region), VMX_FAIL_INVALID,
		     "vmptrld of the VMXON region");
	suite_expect(vmclear(region), VMX_FAIL_INVALID,
		     "vmclear of the VMXON region");
	suite_expect(vmclear(other + 1), VMX_FAIL_INVALID,
		     "vmclear, unaligned");
	suite_expect(invept(7, 0, 0), VMX_FAIL_INVALID, "invept of type 7");
	if (!suite_in_bochs())
		suite_expect(did_vmcall(), VMX_FAIL_INVALID, "vmcall");
}

static void vmptrld_checks(void)
{
	u32 revision = (u32)(vmx_basic() & BASIC_REVISION);

	suite_case("vmptrld");
	suite_expect_error(vmptrld(other + 4), VMX_ERROR_VMPTRLD_ADDRESS);
	suite_expect_error(vmptrld(other | beyond_memory_width()),
			   VMX_ERROR_VMPTRLD_ADDRESS);
	suite_expect_error(vmptrld(region), VMX_ERROR_VMPTRLD_VMXON_POINTER);
	*(volatile u32 *)other = revision ^ 4;
	suite_expect_error(vmptrld(other), VMX_ERROR_VMPTRLD_REVISION);
	*(volatile u32 *)other = revision | (u32)BIT(31);
	if (!vmx_allows(CONTROLS_SECONDARY, SECONDARY_VMCS_SHADOWING))
		suite_expect_error(vmptrld(other), VMX_ERROR_VMPTRLD_REVISION);
	*(volatile u32 *)other = revision;
	suite_expect(current(), suite_l2.vmcs, "the pointer after failures");
}

static void vmclear_checks(void)
{
	suite_case("vmclear");
	suite_expect_error(vmclear(other + 2048), VMX_ERROR_VMCLEAR_ADDRESS);
	suite_expect_error(vmclear(other | beyond_memory_width()),
			   VMX_ERROR_VMCLEAR_ADDRESS);
	suite_expect_error(vmclear(region), VMX_ERROR_VMCLEAR_VMXON_POINTER);
	suite_expect(vmclear(other), VMX_OK, "vmclear of another");
	suite_expect(current(), suite_l2.vmcs, "the pointer then");
	suite_expect(vmclear(suite_l2.vmcs), VMX_OK, "vmclear of the current");
	suite_expect(current(), VMX_NO_POINTER, "the pointer then");
	l2_use(&suite_l2);
}

static void data_stay_with_the_region(void)
{
	suite_case("two_vmcss");
	vmwrite(VMCS_GUEST_RIP, 0x1111);
	vmclear(other);
	vmptrld(other);
	vmwrite(VMCS_GUEST_RIP, 0x2222);
	l2_use(&suite_l2);
	suite_expect(vmread(VMCS_GUEST_RIP), 0x1111, "RIP of the first");
	vmptrld(other);
	suite_expect(vmread(VMCS_GUEST_RIP), 0x2222, "RIP of the second");
	vmclear(other);
	vmptrld(other);
	suite_expect(vmread(VMCS_GUEST_RIP), 0x2222, "RIP after VMCLEAR");
	l2_use(&suite_l2);
}

#define MANY_VMCSS 9u /* more than a CPU need keep to itself */

static void expect_data_of(u32 i)
{
	suite_expect(vmread(VMCS_GUEST_RIP), 0x1000 + i, "RIP");
	suite_expect(vmread(VMCS_HOST_RIP), 0x2000 + i, "host RIP");
	suite_expect(vmread(VMCS_GUEST_TR_BASE), 0x3000 + i, "base of TR");
	suite_expect(vmread(VMCS_ENTRY_EXCEPTION_ERROR_CODE), i, "error code");
}

/* Each has its own, whether it was cleared or another one became current. */
static void many_vmcss(void)
{
	u64 regions[MANY_VMCSS];

	suite_case("many_vmcss");
	for (u32 i = 0; i < MANY_VMCSS; i++) {
		regions[i] = vmx_region();
		vmclear(regions[i]);
		vmptrld(regions[i]);
		vmwrite(VMCS_GUEST_RIP, 0x1000 + i);
		vmwrite(VMCS_HOST_RIP, 0x2000 + i);
		vmwrite(VMCS_GUEST_TR_BASE, 0x3000 + i);
		vmwrite(VMCS_ENTRY_EXCEPTION_ERROR_CODE, i);
	}
	for (u32 step = 0; step < 3 * MANY_VMCSS; step++) {
		u32 i = step * 5 % MANY_VMCSS;

		vmptrld(regions[i]);
		expect_data_of(i);
		if (step % 4 == 0)
			vmclear(regions[(i + step) % MANY_VMCSS]);
	}
	for (u32 i = 0; i < MANY_VMCSS; i++)
		vmclear(regions[i]);
	l2_use(&suite_l2);
}

/* --- Fields --------------------------------------------------------------- */

static u64 width_mask(u64 field)
{
	switch (bits_get(field, VMCS_ENCODING_WIDTH)) {
	case VMCS_WIDTH_16:
		return 0xffff;
	case VMCS_WIDTH_32:
		return 0xffffffff;
	default:
		return ~0ull;
	}
}

static void field_holds(u64 field)
{
	u64 pattern = 0xa5a5deadbeef1234ull ^ field << 17;
	u64 kept = vmread((enum vmcs_field)field);
	char name[40];

	fmt(name, sizeof(name), "field %#lx", field);
	suite_expect(vmwrite_try(field, pattern), VMX_OK, name);
	suite_expect(vmread((enum vmcs_field)field),
		     pattern & width_mask(field), name);
	vmwrite((enum vmcs_field)field, kept);
}

static void high_half(u64 field)
{
	u64 high = 0;

	vmwrite((enum vmcs_field)field, 0x1122334455667788ull);
	suite_expect(vmread_try(field + 1, &high), VMX_OK, "a high half");
	suite_expect(high, 0x11223344, "a high half");
	suite_expect(vmwrite_try(field + 1, 0xfedcba9899aabbccull), VMX_OK,
		     "a high half written");
	suite_expect(vmread((enum vmcs_field)field), 0x99aabbcc55667788ull,
		     "the field after its high half");
}

static void fields_hold_their_width(void)
{
	static const u16 fields[] = {
	    VMCS_GUEST_ES_SELECTOR,
	    VMCS_GUEST_TR_SELECTOR,
	    VMCS_HOST_CS_SELECTOR,
	    VMCS_HOST_TR_SELECTOR,
	    VMCS_IO_BITMAP_A,
	    VMCS_MSR_BITMAP,
	    VMCS_TSC_OFFSET,
	    VMCS_LINK_POINTER,
	    VMCS_GUEST_DEBUGCTL,
	    VMCS_PIN_CONTROLS,
	    VMCS_EXCEPTION_BITMAP,
	    VMCS_EXIT_CONTROLS,
	    VMCS_ENTRY_CONTROLS,
	    VMCS_ENTRY_INTERRUPTION_INFO,
	    VMCS_GUEST_CS_LIMIT,
	    VMCS_GUEST_CS_ACCESS_RIGHTS,
	    VMCS_GUEST_ACTIVITY_STATE,
	    VMCS_GUEST_SYSENTER_CS,
	    VMCS_HOST_SYSENTER_CS,
	    VMCS_CR0_MASK,
	    VMCS_CR4_SHADOW,
	    VMCS_CR3_TARGET_3,
	    VMCS_GUEST_CR0,
	    VMCS_GUEST_RIP,
	    VMCS_GUEST_RFLAGS,
	    VMCS_GUEST_PENDING_DEBUG,
	    VMCS_HOST_CR3,
	    VMCS_HOST_RSP,
	    VMCS_HOST_RIP,
	};

	suite_case("fields");
	for (u32 i = 0; i < ARRAY_COUNT(fields); i++)
		field_holds(fields[i]);
	suite_case("high_halves");
	high_half(VMCS_TSC_OFFSET);
	high_half(VMCS_LINK_POINTER);
}

static void fields_that_are_none(void)
{
	static const u64 wrong[] = {
	    0x6401,  /* high half of a field of natural width */
	    0x4401,  /* of 32 bits */
	    0x0801,  /* of 16 bits */
	    0x7800,  /* guest state, natural, with bit 12 */
	    0xe81e,  /* bit 15 */
	    0x1681e, /* bit 16 */
	    0x6bfe,  /* the highest index */
	    ~0ull,   0x100000000ull | VMCS_GUEST_RIP,
	};
	u64 value = 0x1234;

	suite_case("fields_that_are_none");
	for (u32 i = 0; i < ARRAY_COUNT(wrong); i++) {
		suite_expect_error(vmread_try(wrong[i], &value),
				   VMX_ERROR_UNSUPPORTED_FIELD);
		suite_expect_error(vmwrite_try(wrong[i], 0),
				   VMX_ERROR_UNSUPPORTED_FIELD);
	}
	suite_expect(value, 0x1234, "the destination of a failing VMREAD");
	suite_expect_error(vmread_to(0x6bfe, (volatile u64 *)NOT_MAPPED),
			   VMX_ERROR_UNSUPPORTED_FIELD);
}

static void read_only_fields(void)
{
	static const u16 fields[] = {VMCS_INSTRUCTION_ERROR, VMCS_EXIT_REASON,
				     VMCS_EXIT_QUALIFICATION,
				     VMCS_GUEST_LINEAR_ADDRESS};
	bool writable = rdmsr(MSR_VMX_MISC) & MISC_VMWRITE_ANY;

	suite_case("read_only_fields");
	for (u32 i = 0; i < ARRAY_COUNT(fields); i++) {
		if (writable)
			field_holds(fields[i]);
		else
			suite_expect_error(vmwrite_try(fields[i], 0),
					   VMX_ERROR_READ_ONLY_FIELD);
	}
}

/* A field exists only where a control does that uses it. */
static void fields_follow_controls(void)
{
	static const struct {
		u64 field, control;
	} pairs[] = {
	    {VMCS_VPID, SECONDARY_VPID},
	    {VMCS_EPT_POINTER, SECONDARY_EPT},
	    {VMCS_PML_ADDRESS, SECONDARY_PML},
	    {VMCS_VMFUNC_CONTROLS, SECONDARY_VMFUNC},
	    {VMCS_TSC_MULTIPLIER, SECONDARY_TSC_SCALING},
	    {VMCS_VMREAD_BITMAP, SECONDARY_VMCS_SHADOWING},
	    {VMCS_XSS_EXITING_BITMAP, SECONDARY_XSAVES},
	    {VMCS_EOI_EXIT_BITMAP_0, SECONDARY_INTERRUPT_DELIVERY},
	};

	suite_case("fields_follow_controls");
	for (u32 i = 0; i < ARRAY_COUNT(pairs); i++) {
		u64 value = 0;
		u32 did = vmread_try(pairs[i].field, &value);

		if (vmx_allows(CONTROLS_SECONDARY, pairs[i].control))
			suite_expect(did, VMX_OK, "vmread");
		else
			suite_expect_error(did, VMX_ERROR_UNSUPPORTED_FIELD);
	}
}

/* --- Flags ---------------------------------------------------------------- */

/* All arithmetic flags are set before; RFLAGS after. */
static u64 flags_of_vmread(u64 field)
{
	u64 flags;

	__asm__ volatile("pushfq\n\t"
			 "orq $0x8d5, (%%rsp)\n\t"
			 "popfq\n\t"
			 "vmread %1, %%rax\n\t"
			 "pushfq\n\t"
			 "pop %0"
			 : "=r"(flags)
			 : "r"(field)
			 : "rax", "cc", "memory");
	return flags & RFLAGS_ARITHMETIC;
}

static u64 flags_of_vmptrld(u64 pointer)
{
	u64 flags;

	__asm__ volatile("pushfq\n\t"
			 "orq $0x8d5, (%%rsp)\n\t"
			 "popfq\n\t"
			 "vmptrld %1\n\t"
			 "pushfq\n\t"
			 "pop %0"
			 : "=r"(flags)
			 : "m"(pointer)
			 : "cc", "memory");
	return flags & RFLAGS_ARITHMETIC;
}

static void flags_with_current_vmcs(void)
{
	suite_case("flags");
	suite_expect(flags_of_vmread(VMCS_GUEST_RIP), 0, "flags of success");
	suite_expect(flags_of_vmread(0x6bfe), RFLAGS_ZF, "of VMfailValid");
	suite_expect(flags_of_vmptrld(suite_l2.vmcs), 0, "of VMPTRLD");
	suite_expect(flags_of_vmptrld(1), RFLAGS_ZF, "of VMPTRLD that fails");
}

/* --- Entries that are none ------------------------------------------------ */

static u32 vmlaunch_behind_mov_ss(void)
{
	register u32 fault __asm__("r8");
	bool carry, zero;
	u16 selector = SELECTOR_DATA;

	__asm__ volatile("mov $0xffffffff, %%r8d\n\t"
			 "mov %w3, %%ss\n\t"
			 "vmlaunch"
			 : "=&r"(fault), "=@ccc"(carry), "=@ccz"(zero)
			 : "r"(selector)
			 : "memory");
	return vmx_did(fault, carry, zero);
}

static void program_that_ends(void)
{
}

static void program_that_asks(void)
{
	for (;;)
		l2_call(L2_CALL_USER, 0);
}

/* Fields of an event that is not injected stay as they were written, also where
 * they are those of another VMCS in between. */
static void event_fields_stay(void)
{
	u64 region2 = vmx_region();

	suite_case("event_fields");
	suite_make_l2(&(struct l2_controls){0}, program_that_asks);
	suite_run(EXIT_VMCALL);
	vmwrite(VMCS_ENTRY_EXCEPTION_ERROR_CODE, 0x77);
	vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH, 5);
	vmclear(region2);
	for (u32 i = 0; i < 4; i++) {
		suite_run(EXIT_VMCALL);
		if (i == 2) {
			vmptrld(region2);
			l2_use(&suite_l2);
		}
		suite_expect(vmread(VMCS_ENTRY_EXCEPTION_ERROR_CODE), 0x77,
			     "error code");
		suite_expect(vmread(VMCS_ENTRY_INSTRUCTION_LENGTH), 5,
			     "length");
	}
}

static void launch_states(void)
{
	suite_case("launch_state");
	suite_make_l2(&(struct l2_controls){0}, program_that_ends);
	suite_expect_error(vmresume(), VMX_ERROR_VMRESUME_NOT_LAUNCHED);
	suite_run(EXIT_VMCALL);
	suite_expect_error(vmlaunch(), VMX_ERROR_VMLAUNCH_NOT_CLEAR);
	suite_expect_error(vmlaunch_behind_mov_ss(),
			   VMX_ERROR_BLOCKED_BY_MOV_SS);
	/* Before the controls are looked at. */
	vmwrite(VMCS_PIN_CONTROLS, 0xffffffff);
	suite_expect_error(vmlaunch(), VMX_ERROR_VMLAUNCH_NOT_CLEAR);
	vmclear(suite_l2.vmcs);
	l2_use(&suite_l2);
	suite_expect_error(vmresume(), VMX_ERROR_VMRESUME_NOT_LAUNCHED);
	suite_expect_error(vmlaunch(), VMX_ERROR_ENTRY_CONTROLS);
}

/* --- Invalidations -------------------------------------------------------- */

static void invept_operands(void)
{
	u64 good = suite_ept12.pointer;

	suite_case("invept");
	for (u64 type = 0; type < 5; type++)
		if (type != INVEPT_SINGLE && type != INVEPT_ALL)
			suite_expect_error(invept(type, good, 0),
					   VMX_ERROR_INVALIDATE_OPERAND);
	suite_expect(invept(INVEPT_SINGLE, good, 0), VMX_OK, "one context");
	suite_expect(invept(INVEPT_ALL, ~0ull, 0), VMX_OK, "all contexts");
	suite_expect_error(invept(INVEPT_SINGLE, good ^ 1, 0),
			   VMX_ERROR_INVALIDATE_OPERAND);
	suite_expect_error(invept(INVEPT_SINGLE, good ^ BIT(5), 0),
			   VMX_ERROR_INVALIDATE_OPERAND);
	suite_expect_error(invept(INVEPT_SINGLE, good | BIT(11), 0),
			   VMX_ERROR_INVALIDATE_OPERAND);
	suite_expect_error(
	    invept(INVEPT_SINGLE, good | beyond_memory_width(), 0),
	    VMX_ERROR_INVALIDATE_OPERAND);
}

static void invept_type_has_64_bits(void)
{
	suite_case("invept_type_has_64_bits");
	suite_defect("wide-type");
	suite_expect(invept(1ull << 32 | INVEPT_SINGLE, suite_ept12.pointer, 0),
		     VMX_FAIL_VALID, "the outcome");
}

static void invvpid_operands(void)
{
	suite_case("invvpid");
	for (u64 type = 0; type < 4; type++)
		suite_expect(invvpid(type, 1, 0), VMX_OK, "a good operand");
	suite_expect_error(invvpid(4, 1, 0), VMX_ERROR_INVALIDATE_OPERAND);
	suite_expect_error(invvpid(~0ull, 1, 0), VMX_ERROR_INVALIDATE_OPERAND);
	suite_expect(invvpid(INVVPID_ALL, 0, 0), VMX_OK, "all, VPID 0");
	suite_expect_error(invvpid(INVVPID_ADDRESS, 0, 0),
			   VMX_ERROR_INVALIDATE_OPERAND);
	suite_expect_error(invvpid(INVVPID_SINGLE, 0, 0),
			   VMX_ERROR_INVALIDATE_OPERAND);
	suite_expect_error(invvpid(INVVPID_SINGLE_BUT_GLOBALS, 0, 0),
			   VMX_ERROR_INVALIDATE_OPERAND);
	suite_expect_error(invvpid(INVVPID_ADDRESS, 1, NOT_CANONICAL),
			   VMX_ERROR_INVALIDATE_OPERAND);
	suite_expect_error(invvpid(INVVPID_SINGLE, 1 | BIT(16), 0),
			   VMX_ERROR_INVALIDATE_OPERAND);
}

/* --- In VMX operation ----------------------------------------------------- */

static u32 write_cr0_try(u64 value)
{
	register u32 fault __asm__("r8");

	__asm__ volatile(TRY("mov %1, %%cr0")
			 : "=&r"(fault)
			 : "r"(value)
			 : "memory");
	return fault;
}

static u32 write_cr4_try(u64 value)
{
	register u32 fault __asm__("r8");

	__asm__ volatile(TRY("mov %1, %%cr4")
			 : "=&r"(fault)
			 : "r"(value)
			 : "memory");
	return fault;
}

static void fixed_bits_stay(void)
{
	suite_case("fixed_bits_in_vmx_operation");
	suite_expect(write_cr4_try(read_cr4() & ~CR4_VMXE), VECTOR_GP,
		     "CR4.VMXE cleared");
	if (rdmsr(MSR_VMX_CR0_FIXED0) & CR0_NE)
		suite_expect(write_cr0_try(read_cr0() & ~CR0_NE), VECTOR_GP,
			     "CR0.NE cleared");
	suite_expect(write_cr0_try(read_cr0() & ~CR0_PG), VECTOR_GP,
		     "CR0.PG cleared");
}

static void capability_msrs(void)
{
	u64 value;

	suite_case("capability_msrs");
	for (u32 msr = MSR_VMX_BASIC; msr <= MSR_VMX_VMCS_ENUM; msr++) {
		suite_expect(rdmsr_try(msr, &value), NO_FAULT, "rdmsr");
		suite_expect(wrmsr_try(msr, value), VECTOR_GP, "wrmsr");
	}
	for (u32 word = 0; word < CONTROLS_COUNT; word++) {
		struct control_capability c =
		    vmx_capability((enum control_word)word);

		suite_expect(c.must_be_1 & ~c.may_be_1, 0,
			     "a control that must be 1 and may not");
	}
	if (rdmsr(MSR_FEATURE_CONTROL) & FEATURE_CONTROL_LOCK)
		suite_expect(
		    wrmsr_try(MSR_FEATURE_CONTROL, rdmsr(MSR_FEATURE_CONTROL)),
		    VECTOR_GP, "a locked FEATURE_CONTROL written");
	suite_expect(rdmsr(MSR_VMX_CR4_FIXED1) & CR4_VMXE, CR4_VMXE,
		     "CR4.VMXE in CR4_FIXED1");
}

/* --- XSAVES, and its control ----------------------------------------------
 */

#define CPUID_D1_XSAVES BIT(3)
#define XCOMP_BV        520 /* offset in the area; bit 63: compacted */

static u8 xsave_area[4096] __attribute__((aligned(64)));
static volatile u32 saved, restored;

#define TRY_AREA(instruction)                                          \
	({                                                             \
		register u32 fault_ __asm__("r8");                     \
                                                                       \
		__asm__ volatile(TRY(instruction " (%1)")              \
				 : "=&r"(fault_)                       \
				 : "r"(xsave_area), "a"(~0u), "d"(~0u) \
				 : "memory");                          \
		fault_;                                                \
	})

static void program_that_saves(void)
{
	saved = TRY_AREA("xsaves");
	restored = saved == NO_FAULT ? TRY_AREA("xrstors") : saved;
}

static void xsaves_in_l2(u64 secondary, u32 wanted, const char *what)
{
	suite_make_l2(&(struct l2_controls){.secondary = secondary},
		      program_that_saves);
	if (vmx_allows(CONTROLS_SECONDARY, SECONDARY_XSAVES))
		vmwrite(VMCS_XSS_EXITING_BITMAP, ~0ull);
	suite_finish();
	suite_expect(saved, wanted, what);
	suite_expect(restored, wanted, what);
}

static void xsaves_has_a_control(void)
{
	bool is_there =
	    cpuid(0xd, 0).eax && (cpuid(0xd, 1).eax & CPUID_D1_XSAVES);
	u64 cr4 = read_cr4();
	u64 value;

	suite_case("xsaves");
	suite_true(vmx_allows(CONTROLS_SECONDARY, SECONDARY_XSAVES) == is_there,
		   "the control is allowed where the instruction is");
	suite_expect(rdmsr_try(MSR_XSS, &value),
		     is_there ? NO_FAULT : VECTOR_GP, "RDMSR");
	suite_expect(wrmsr_try(MSR_XSS, 0), is_there ? NO_FAULT : VECTOR_GP,
		     "WRMSR");
	suite_expect(wrmsr_try(MSR_XSS, 1), VECTOR_GP, "WRMSR of 1");
	if (!is_there)
		return;
	write_cr4(cr4 | CR4_OSXSAVE);
	program_that_saves();
	suite_expect(saved, NO_FAULT, "in L1");
	suite_true(xsave_area[XCOMP_BV + 7] & 0x80, "it is compacted");
	xsaves_in_l2(0, VECTOR_UD, "without its control");
	/* No bit of IA32_XSS: nothing exits. */
	xsaves_in_l2(SECONDARY_XSAVES, NO_FAULT, "with its control");
	write_cr4(cr4);
}

/* --- Operands that are no memory ------------------------------------------
 */

#define IOAPIC_INDEX 0xfec00000ull /* keeps what is written, in 8 bits */
#define NOTHING      0xf0000000ull

static void field_in_a_device(u64 field, const char *name)
{
	volatile u32 *index = (volatile u32 *)IOAPIC_INDEX;
	volatile u64 *at = (volatile u64 *)IOAPIC_INDEX;

	vmwrite_try(field, 0x12);
	suite_expect(vmread_to(field, at), VMX_OK, name);
	suite_expect(*index, 0x12, name);
	*index = 0x34;
	suite_expect(vmwrite_from(field, at), VMX_OK, name);
	suite_expect(vmread((enum vmcs_field)field), 0x34, name);
	at = (volatile u64 *)NOTHING;
	suite_expect(vmread_to(field, at), VMX_OK, name);
	suite_expect(vmwrite_from(field, at), VMX_OK, name);
	suite_expect(vmread((enum vmcs_field)field), ~0ull, name);
}

/* VMCS shadowing spares an exit for some of the fields. Bochs' own I/O APIC
 * takes no 64-bit accesses. */
static void operands_in_devices(void)
{
	suite_case("operand_in_a_device");
	if (suite_in_bochs())
		return;
	for (u32 i = 0; i < 2; i++) {
		field_in_a_device(VMCS_GUEST_RIP, "of guest RIP");
		field_in_a_device(VMCS_HOST_RSP, "of host RSP");
	}
	suite_expect(vmptrst_at((volatile u64 *)IOAPIC_INDEX), VMX_OK,
		     "vmptrst");
	suite_expect(*(volatile u32 *)IOAPIC_INDEX, current() & 0xff,
		     "the pointer");
	suite_expect_error(vmptrld_at((const volatile u64 *)NOTHING),
			   VMX_ERROR_VMPTRLD_ADDRESS);
}

/* --- Traps ----------------------------------------------------------------
 */

static volatile u64 traps, trap_rip;

static void on_trap(struct trap_frame *frame)
{
	traps++;
	trap_rip = frame->rip;
	frame->rflags &= ~RFLAGS_TF;
}

/* With TF from the instruction on: a trap is due behind it. */
#define STEP(instruction, behind, a, b)                   \
	__asm__ volatile("lea 1f(%%rip), %0\n\t"          \
			 "pushfq\n\t"                     \
			 "orq $0x100, (%%rsp)\n\t"        \
			 "popfq\n\t" instruction "\n1:\n" \
			 : "=&r"(behind)                  \
			 : "r"(a), "r"(b)                 \
			 : "memory", "cc", "rcx")

static void expect_trap(u64 behind, const char *name)
{
	suite_expect(traps, 1, name);
	suite_expect(trap_rip, behind, name);
	traps = 0;
}

/* Several times: what a hypervisor knows of an operand may spare it steps. */
static void instructions_trap(void)
{
	const struct vmx_invalidation one = {suite_ept12.pointer, 0};
	const u64 field = VMCS_HOST_RSP;
	u64 value = vmread(field);
	u64 now = current();
	u64 behind;

	suite_case("single_step");
	trap_handle(VECTOR_DB, on_trap);
	for (u32 i = 0; i < 3; i++) {
		STEP("vmread %1, %%rcx", behind, field, value);
		expect_trap(behind, "vmread");
		STEP("vmwrite %2, %1", behind, field, value);
		expect_trap(behind, "vmwrite");
		STEP("vmptrld (%1)", behind, &now, value);
		expect_trap(behind, "vmptrld");
		STEP("vmclear (%1)", behind, &other, value);
		expect_trap(behind, "vmclear");
		if (!suite_ept12.root)
			continue;
		STEP("invept (%1), %2", behind, &one, (u64)INVEPT_SINGLE);
		expect_trap(behind, "invept");
	}
	trap_handle(VECTOR_DB, NULL);
}

static void with_current_vmcs(void)
{
	suite_make_l2(&(struct l2_controls){0}, program_that_ends);
	suite_case("vmxon_in_vmx_operation");
	suite_expect_error(vmxon(region), VMX_ERROR_VMXON_IN_ROOT);
	suite_case("vmcall_in_root");
	if (!suite_in_bochs())
		suite_expect_error(did_vmcall(), VMX_ERROR_VMCALL_IN_ROOT);
	vmptrld_checks();
	vmclear_checks();
	data_stay_with_the_region();
	many_vmcss();
	fields_hold_their_width();
	fields_that_are_none();
	read_only_fields();
	fields_follow_controls();
	flags_with_current_vmcs();
	bad_operands();
	invept_operands();
	invept_type_has_64_bits();
	invvpid_operands();
	operands_in_devices();
	instructions_trap();
	privilege_level_3("privilege_level_3", GP, GP);
	compatibility_mode("compatibility_mode");
	event_fields_stay();
	launch_states();
	xsaves_has_a_control();
}

static void vmxoff_ends_it(void)
{
	suite_case("vmxoff");
	suite_expect(vmxoff(), VMX_OK, "vmxoff");
	suite_expect(did_vmptrst(), UD, "vmptrst behind it");
	suite_expect(vmxon(region), VMX_OK, "vmxon again");
	suite_expect(current(), VMX_NO_POINTER, "the pointer then");
}

/* Comes and leaves in VMX operation. */
void suite_instructions(void)
{
	region = vmx_region();
	other = vmx_region();
	vmxoff();
	outside_vmx_operation();
	privilege_level_3("level_3_outside_vmx_operation", UD, GP);
	compatibility_mode("compatibility_mode_outside_vmx_operation");
	vmxon_bad_pointers();
	vmxon_bad_registers();
	vmxon_operands();
	suite_case("vmxon");
	suite_expect(vmxon(region), VMX_OK, "vmxon");
	without_current_vmcs();
	fixed_bits_stay();
	capability_msrs();
	with_current_vmcs();
	vmxoff_ends_it();
	vmxoff();
	suite_expect(vmx_on(), VMX_OK, "vmxon of the guest's own region");
}
