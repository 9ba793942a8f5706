/* SPDX-License-Identifier: MIT */
/*
 * The APIC that L1's controls make for L2: SDM vol. 3, "APIC Virtualization and
 * Virtual Interrupts". Posted interrupts have a file of their own.
 *
 *	L2: MOV CR8, RDMSR and WRMSR, the APIC-access page
 *		--> virtual-APIC page, or an exit
 */
#include "guests/vmx/suite.h"

#define ACCESSES     SECONDARY_APIC_ACCESSES
#define REGISTERS    SECONDARY_APIC_REGISTERS
#define DELIVERY     SECONDARY_INTERRUPT_DELIVERY
#define X2APIC       SECONDARY_X2APIC_MODE

#define TPR          0x80u
#define EOI          0xb0u
#define ISR          0x100u
#define IRR          0x200u
#define ICR          0x300u
#define ICR_HIGH     0x310u
#define SELF_IPI     0x3f0u
#define PAGE_END     0xff0u
#define ICR_SELF     (1u << 18)

#define TYPE_READ    (0u << 12)
#define TYPE_WRITE   (1u << 12)
#define TYPE_DELIVER (3u << 12)

#define HIGH         0x93u /* vectors of L2's */
#define LOW          0x32u
#define WRITTEN      0x12345678u /* no self-IPI */

static u64 access_page;
static volatile u8 *page; /* the virtual-APIC page */
static struct ept12 ept;  /* the APIC-access page is 4K there */
static volatile u32 handled[2];

static volatile u32 *register_at(u32 offset)
{
	return (volatile u32 *)(page + offset);
}

/* --- L2 ------------------------------------------------------------------- */

static volatile u64 wanted, value;
static volatile u32 fault;

static void read_32(void)
{
	value = *(volatile u32 *)wanted;
}

static void read_16(void)
{
	value = *(volatile u16 *)wanted;
}

static void read_64(void)
{
	value = *(volatile u64 *)wanted;
}

static void write_32(void)
{
	*(volatile u32 *)wanted = (u32)value;
}

static void read_cr8(void)
{
	u64 cr8;

	__asm__ volatile("mov %%cr8, %0" : "=r"(cr8));
	value = cr8;
}

static void write_cr8(void)
{
	__asm__ volatile("mov %0, %%cr8" ::"r"(value));
}

static void read_msr(void)
{
	u64 found = 0;

	fault = rdmsr_try((u32)wanted, &found);
	value = found;
}

static void write_msr(void)
{
	fault = wrmsr_try((u32)wanted, value);
}

static void put_out(void)
{
	u64 from = wanted;

	__asm__ volatile("outsb" : "+S"(from) : "d"((u16)0x80) : "memory");
}

static void do_nothing(void)
{
}

static void on_high(struct trap_frame *frame)
{
	(void)frame;
	handled[1]++;
}

static void on_low(struct trap_frame *frame)
{
	(void)frame;
	handled[0]++;
}

/* --- L1 ------------------------------------------------------------------- */

/* What the CPU lacks of it makes the case void. */
static bool make(u64 primary, u64 secondary)
{
	u64 pin = secondary & DELIVERY ? PIN_EXTERNAL_INTERRUPT : 0;

	if (!vmx_allows(CONTROLS_PRIMARY, primary) ||
	    !vmx_allows(CONTROLS_SECONDARY, secondary | SECONDARY_EPT))
		return false;
	suite_make_l2(
	    &(struct l2_controls){
		.pin = pin,
		.primary = primary | PRIMARY_MSR_BITMAPS,
		.secondary = secondary | SECONDARY_EPT,
		.ept_pointer = ept.pointer,
	    },
	    do_nothing);
	vmwrite(VMCS_MSR_BITMAP, pages_take(1));
	vmwrite(VMCS_APIC_ACCESS_ADDRESS, access_page);
	vmwrite(VMCS_VIRTUAL_APIC_ADDRESS, (u64)page);
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	memset((void *)(u64)page, 0, PAGE_BYTES);
	handled[0] = handled[1] = 0;
	return true;
}

static void want(void (*program)(void), u64 address, u64 what)
{
	wanted = address;
	value = what;
	fault = NO_FAULT;
	l2_begin(&suite_l2, program);
}

static void want_page(void (*program)(void), u32 offset, u64 what)
{
	want(program, access_page + offset, what);
}

/* --- Registers on the APIC-access page ------------------------------------ */

/* SDM vol. 3, "Virtualizing Reads from the APIC-Access Page". */
static bool is_read(u32 offset)
{
	static const u32 others[] = {
	    0x20,     0x30,  TPR,   EOI,   0xd0,  0xe0,  0xf0,  0x280, ICR,
	    ICR_HIGH, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370, 0x380, 0x3e0};

	for (u32 i = 0; i < ARRAY_COUNT(others); i++)
		if (offset == others[i])
			return true;
	return offset >= ISR && offset < 0x280;
}

/* SDM vol. 3, "Determining Whether a Write Access is Virtualized". */
static bool is_written(u32 offset)
{
	return is_read(offset) && offset != 0x30 &&
	       (offset < ISR || offset >= 0x280);
}

static void expect_access_exit(u32 offset, u32 type)
{
	u64 rip = vmread(VMCS_GUEST_RIP);

	if (!suite_run(EXIT_APIC_ACCESS))
		return;
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION), offset | type,
		     "the qualification");
	suite_true(vmread(VMCS_GUEST_RIP) != rip, "that L2 has begun");
}

static void expect_write_exit(u32 offset)
{
	if (!suite_run(EXIT_APIC_WRITE))
		return;
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION), offset,
		     "the qualification");
	/* The instruction is done. */
	suite_finish();
}

static void read_register(u64 primary, u64 secondary, u32 offset)
{
	bool is_virtual =
	    (primary & PRIMARY_TPR_SHADOW) &&
	    (offset == TPR || ((secondary & REGISTERS) && is_read(offset)));

	*register_at(offset) = 0x30 + offset;
	want_page(read_32, offset, 0);
	if (!is_virtual) {
		expect_access_exit(offset, TYPE_READ);
		return;
	}
	suite_finish();
	suite_expect(value, 0x30 + offset, "what L2 has read");
}

/* SDM vol. 3, "APIC-Write Emulation". */
static void expect_emulation(u64 secondary, u32 offset)
{
	u32 left = WRITTEN;

	if (offset == TPR)
		left = (u8)WRITTEN;
	else if (offset == ICR_HIGH)
		left = WRITTEN & 0xff000000u;
	else if (offset == EOI && (secondary & DELIVERY))
		left = 0;
	if (left == WRITTEN)
		expect_write_exit(offset);
	else
		suite_finish();
	suite_expect(*register_at(offset), left, "the register");
}

static void write_register(u64 primary, u64 secondary, u32 offset)
{
	bool is_virtual =
	    (primary & PRIMARY_TPR_SHADOW) &&
	    (offset == TPR || ((secondary & REGISTERS) && is_written(offset)) ||
	     ((secondary & DELIVERY) && (offset == EOI || offset == ICR)));

	*register_at(offset) = 0;
	want_page(write_32, offset, WRITTEN);
	if (is_virtual)
		expect_emulation(secondary, offset);
	else
		expect_access_exit(offset, TYPE_WRITE);
}

static void registers_of(u64 primary, u64 secondary)
{
	char name[60];

	fmt(name, sizeof(name), "apic_registers_%lx", secondary);
	suite_case(name);
	if (!make(primary, secondary))
		return;
	for (u32 offset = 0; offset < 0x400; offset += 0x10) {
		/* With delivery the entry writes it: "PPR Virtualization". */
		if ((secondary & DELIVERY) &&
		    (offset == 0xa0 || offset == EOI || offset == ICR))
			continue;
		read_register(primary, secondary, offset);
	}
	for (u32 offset = 0; offset < 0x400; offset += 0x10)
		write_register(primary, secondary, offset);
	read_register(primary, secondary, PAGE_END);
	write_register(primary, secondary, PAGE_END);
}

/* Of a register's 16 bytes the lower 4 count, and no access is larger. */
static void size_counts(void)
{
	suite_case("apic_access_size");
	if (!make(PRIMARY_TPR_SHADOW, ACCESSES | REGISTERS))
		return;
	*register_at(TPR) = 0xa1b2c3d4;
	want_page(read_16, TPR + 2, 0);
	suite_finish();
	suite_expect(value, 0xa1b2, "the upper half");
	want_page(read_64, TPR, 0);
	expect_access_exit(TPR, TYPE_READ);
	want_page(read_32, TPR + 4, 0);
	expect_access_exit(TPR + 4, TYPE_READ);
	want_page(read_32, TPR + 2, 0);
	expect_access_exit(TPR + 2, TYPE_READ);
}

/* SDM vol. 3, "Exit Qualification for APIC-Access VM Exits": L2's stack is
 * there, and an event comes. */
static void delivery_into_the_page(void)
{
	suite_case("apic_access_in_delivery");
	if (!make(0, ACCESSES))
		return;
	vmwrite(VMCS_GUEST_RSP, access_page + PAGE_BYTES);
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, EVENT_VALID | HIGH);
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	if (!suite_run(EXIT_APIC_ACCESS))
		return;
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION) & BITS(15, 12),
		     TYPE_DELIVER, "the type");
	suite_expect(vmread(VMCS_IDT_VECTORING_INFO), EVENT_VALID | HIGH,
		     "the event");
}

/* One that L0 may well carry out, as the port is not L2's. */
static void string_out_of_the_page(void)
{
	suite_case("apic_access_by_outs");
	if (!make(0, ACCESSES))
		return;
	want_page(put_out, 0x20, 0);
	expect_access_exit(0x20, TYPE_READ);
}

/* L1's own APIC: no memory, so that no CPU but L1's knows that page. */
static void page_that_is_no_memory(void)
{
	const u64 apic = 0xfee00000;

	suite_case("apic_access_to_no_memory");
	if (!make(0, ACCESSES))
		return;
	vmwrite(VMCS_APIC_ACCESS_ADDRESS, apic);
	want(read_32, apic + 0x30, 0);
	expect_access_exit(0x30, TYPE_READ);
	want(write_32, apic + TPR, 0);
	expect_access_exit(TPR, TYPE_WRITE);
	suite_case("apic_access_to_no_memory_without_ept");
	l2_reset(VMCS_SECONDARY_CONTROLS, SECONDARY_EPT);
	want(read_32, apic + 0x30, 0);
	expect_access_exit(0x30, TYPE_READ);
}

/* --- The TPR -------------------------------------------------------------- */

/* SDM vol. 3, "Virtualizing CR8-Based TPR Accesses". */
static void cr8_is_virtual(void)
{
	suite_case("cr8_is_virtual");
	if (!make(PRIMARY_TPR_SHADOW, 0))
		return;
	*register_at(TPR) = 0xa1b2c3d4;
	want(read_cr8, 0, 0);
	suite_finish();
	suite_expect(value, 0xd, "CR8");
	want(write_cr8, 0, 5);
	suite_finish();
	suite_expect(*register_at(TPR), 0x50, "the virtual TPR");
}

static void expect_below(void)
{
	u64 rip = vmread(VMCS_GUEST_RIP);

	if (!suite_run(EXIT_TPR_BELOW_THRESHOLD))
		return;
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION), 0, "the qualification");
	suite_true(vmread(VMCS_GUEST_RIP) != rip, "that L2 has begun");
}

/* SDM vol. 3, "TPR Virtualization": the exit comes behind the access; that of
 * an entry is in order.c. */
static void tpr_falls_below(void)
{
	suite_case("tpr_falls_below_on_the_page");
	if (make(PRIMARY_TPR_SHADOW, ACCESSES)) {
		vmwrite(VMCS_TPR_THRESHOLD, 5);
		*register_at(TPR) = 0x90;
		want_page(write_32, TPR, 0x4f);
		expect_below();
		suite_expect(*register_at(TPR), 0x4f, "the virtual TPR");
		vmwrite(VMCS_TPR_THRESHOLD, 4);
		suite_finish();
	}
	suite_case("tpr_falls_below_by_msr");
	if (make(PRIMARY_TPR_SHADOW, X2APIC)) {
		vmwrite(VMCS_TPR_THRESHOLD, 5);
		*register_at(TPR) = 0x90;
		want(write_msr, 0x808, 0x4f);
		expect_below();
		vmwrite(VMCS_TPR_THRESHOLD, 4);
		suite_finish();
	}
}

static volatile u8 *untouched;

static void lower_in_memory(void)
{
	page[TPR] = 0;
	value = *untouched; /* EPT has it, and L0 may not yet */
}

/*
 * L2 writes the page itself. What a CPU makes of that is not said (SDM vol. 3,
 * "Software Access to Related Structures"), but it makes something of it.
 */
static void tpr_falls_below_in_memory(void)
{
	u32 reason;

	suite_case("tpr_falls_below_in_memory");
	if (!make(PRIMARY_TPR_SHADOW, 0))
		return;
	untouched = (volatile u8 *)pages_take_aligned(512, 2 * MIB);
	vmwrite(VMCS_TPR_THRESHOLD, 5);
	*register_at(TPR) = 0x90;
	l2_begin(&suite_l2, lower_in_memory);
	reason = l2_run(&suite_l2);
	if (reason == EXIT_TPR_BELOW_THRESHOLD) {
		vmwrite(VMCS_TPR_THRESHOLD, 0);
		suite_finish();
	} else {
		suite_expect(reason, EXIT_VMCALL, "the exit reason");
	}
}

/* --- MSRs ----------------------------------------------------------------- */

static void expect_msr(void (*program)(void), u32 msr, u64 what, u32 raised)
{
	want(program, msr, what);
	suite_finish();
	suite_expect(fault, raised, "the exception");
}

/* SDM vol. 3, "Virtualizing MSR-Based APIC Accesses". */
static void msrs_are_virtual(void)
{
	suite_case("x2apic_tpr_is_virtual");
	if (make(PRIMARY_TPR_SHADOW, X2APIC)) {
		*(volatile u64 *)(page + TPR) = 0x1122334455667788;
		expect_msr(read_msr, 0x808, 0, NO_FAULT);
		suite_expect(value, 0x1122334455667788, "what L2 has read");
		expect_msr(write_msr, 0x808, 0x95, NO_FAULT);
		suite_expect(*(volatile u64 *)(page + TPR), 0x95,
			     "the virtual TPR");
		expect_msr(write_msr, 0x808, 0x100, VECTOR_GP);
	}
	suite_case("x2apic_id_is_l1s");
	if (apic_mode() == APIC_X2APIC && make(PRIMARY_TPR_SHADOW, X2APIC)) {
		*(volatile u64 *)(page + 0x20) = 0x99;
		expect_msr(read_msr, 0x802, 0, NO_FAULT);
		suite_expect(value, apic_id(), "what L2 has read");
	}
	suite_case("x2apic_registers_are_read");
	if (!make(PRIMARY_TPR_SHADOW, X2APIC | REGISTERS))
		return;
	for (u32 i = 0; i < 0x100; i += 7) {
		*(volatile u64 *)(page + 16UL * i) = 0x99887766554433 + i;
		expect_msr(read_msr, 0x800 + i, 0, NO_FAULT);
		suite_expect(value, 0x99887766554433 + i, "what L2 has read");
	}
}

/* --- Virtual interrupts --------------------------------------------------- */

/* What a delivery touches is in the shadow behind this: see posted.c. */
static void warm_up(u32 vector)
{
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, EVENT_VALID | vector);
	suite_finish();
	l2_begin(&suite_l2, do_nothing);
}

static bool make_delivery(u64 secondary)
{
	if (!make(PRIMARY_TPR_SHADOW, DELIVERY | secondary))
		return false;
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, 0);
	for (u32 i = 0; i < 4; i++)
		vmwrite(VMCS_EOI_EXIT_BITMAP_0 + 2 * i, 0);
	warm_up(HIGH);
	warm_up(LOW);
	handled[0] = handled[1] = 0;
	return true;
}

static void request(u32 vector)
{
	*register_at(IRR + vector / 32 * 16) |= 1u << vector % 32;
}

static void serve(u32 vector)
{
	*register_at(ISR + vector / 32 * 16) |= 1u << vector % 32;
}

static void expect_status(u64 in_service, u64 requested)
{
	suite_expect(vmread(VMCS_GUEST_INTERRUPT_STATUS),
		     in_service << 8 | requested, "the interrupt status");
}

/* SDM vol. 3, "Self-IPI Virtualization". */
static void self_ipi_is_delivered(void)
{
	suite_case("self_ipi_on_the_page");
	if (make_delivery(ACCESSES)) {
		want_page(write_32, ICR, ICR_SELF | HIGH);
		suite_finish();
		suite_expect(handled[1], 1, "calls of the handler");
		expect_status(HIGH, 0);
		suite_case("ipi_to_others_exits");
		want_page(write_32, ICR, HIGH);
		expect_write_exit(ICR);
	}
	suite_case("self_ipi_by_msr");
	if (!make_delivery(X2APIC))
		return;
	expect_msr(write_msr, 0x83f, HIGH, NO_FAULT);
	suite_expect(handled[1], 1, "calls of the handler");
	expect_status(HIGH, 0);
	suite_case("self_ipi_by_msr_of_a_wrong_vector");
	want(write_msr, 0x83f, 15);
	expect_write_exit(SELF_IPI);
	expect_msr(write_msr, 0x83f, 0x100, VECTOR_GP);
}

/* SDM vol. 3, "EOI Virtualization": the next one in service, and what waits
 * below it. */
static void end_of_interrupt(void)
{
	suite_case("eoi_lets_the_next_one_come");
	if (!make_delivery(X2APIC))
		return;
	serve(HIGH);
	request(LOW);
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, HIGH << 8 | LOW);
	suite_finish();
	suite_expect(handled[0], 0, "calls of the handler");
	expect_status(HIGH, LOW);
	expect_msr(write_msr, 0x80b, 0, NO_FAULT);
	suite_expect(handled[0], 1, "calls of the handler");
	expect_status(LOW, 0);
	expect_msr(write_msr, 0x80b, 1, VECTOR_GP);
	suite_case("eoi_exits");
	vmwrite(VMCS_EOI_EXIT_BITMAP_0 + 2 * (LOW / 64), BIT(LOW % 64));
	want(write_msr, 0x80b, 0);
	if (!suite_run(EXIT_VIRTUALIZED_EOI))
		return;
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION), LOW, "the qualification");
	expect_status(0, 0);
	suite_finish();
}

/* SDM vol. 3, "PPR Virtualization" and "Evaluation of Pending Virtual
 * Interrupts". */
static void priority_counts(void)
{
	suite_case("virtual_tpr_holds_an_interrupt");
	if (!make_delivery(0))
		return;
	*register_at(TPR) = 0x30;
	request(LOW);
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, LOW);
	suite_finish();
	suite_expect(handled[0], 0, "calls of the handler");
	suite_expect(*register_at(0xa0), 0x30, "the virtual PPR");
	want(write_cr8, 0, 2);
	suite_finish();
	suite_expect(handled[0], 1, "calls of the handler");
	expect_status(LOW, 0);
	suite_expect(*register_at(0xa0), LOW & 0xf0, "the virtual PPR");
	suite_case("interrupt_window_comes_first");
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, HIGH);
	request(HIGH);
	l2_set(VMCS_PRIMARY_CONTROLS, PRIMARY_INTERRUPT_WINDOW);
	l2_begin(&suite_l2, do_nothing);
	suite_run(EXIT_INTERRUPT_WINDOW);
	expect_status(0, HIGH);
	l2_reset(VMCS_PRIMARY_CONTROLS, PRIMARY_INTERRUPT_WINDOW);
	suite_finish();
	suite_expect(handled[1], 1, "calls of the handler");
}

static void make_page(void)
{
	access_page = pages_take(1);
	page = (volatile u8 *)pages_take(1);
	ept12_make(&ept);
	ept12_identity(&ept, 4 * GIB, EPT12_2M);
	(void)ept12_entry(&ept, access_page, EPT12_4K);
}

void suite_apic(void)
{
	if (!vmx_allows(CONTROLS_SECONDARY, SECONDARY_EPT))
		return;
	make_page();
	trap_handle(HIGH, on_high);
	trap_handle(LOW, on_low);
	registers_of(0, ACCESSES);
	registers_of(PRIMARY_TPR_SHADOW, ACCESSES);
	registers_of(PRIMARY_TPR_SHADOW, ACCESSES | DELIVERY);
	registers_of(PRIMARY_TPR_SHADOW, ACCESSES | REGISTERS);
	registers_of(PRIMARY_TPR_SHADOW, ACCESSES | REGISTERS | DELIVERY);
	size_counts();
	delivery_into_the_page();
	string_out_of_the_page();
	page_that_is_no_memory();
	cr8_is_virtual();
	tpr_falls_below();
	tpr_falls_below_in_memory();
	msrs_are_virtual();
	self_ipi_is_delivered();
	end_of_interrupt();
	priority_counts();
	trap_handle(HIGH, NULL);
	trap_handle(LOW, NULL);
}
