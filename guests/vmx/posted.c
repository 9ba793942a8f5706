/* SPDX-License-Identifier: MIT */
/*
 * Posted interrupts: the notification vector moves what is in the descriptor
 * to the virtual APIC, and L2 has it without an exit. SDM vol. 3,
 * "Posted-Interrupt Processing".
 */
#include "guests/vmx/suite.h"

#define NOTIFICATION 0x61
#define VECTOR       0x93
#define LOWER        0x32
#define VIRTUAL_IRR  0x200
#define POSTED_ON    1ull

static volatile u64 *descriptor; /* PIR, then the control word */
static volatile u8 *page;
static volatile u64 handled, handled_lower, handled_below;

static void on_posted(struct trap_frame *frame)
{
	(void)frame;
	handled++;
}

static void on_lower(struct trap_frame *frame)
{
	(void)frame;
	handled_lower++;
}

/* It must not get past the hypervisor that it is for. */
static void on_notification(struct trap_frame *frame)
{
	(void)frame;
	handled_below++;
	apic_end_of_interrupt();
}

static void do_nothing(void)
{
}

/*
 * What a delivery touches is in the shadow behind this: Bochs loses a virtual
 * interrupt whose delivery is cut short (docs/TESTING.md).
 */
static void warm_up(u32 vector)
{
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, EVENT_VALID | vector);
	suite_finish();
	l2_begin(&suite_l2, do_nothing);
}

/* The notification waits in the local APIC when L2 is entered. */
static void make(const char *name)
{
	suite_case(name);
	suite_make_l2(
	    &(struct l2_controls){.pin = PIN_EXTERNAL_INTERRUPT |
					 PIN_POSTED_INTERRUPTS,
				  .primary = PRIMARY_TPR_SHADOW,
				  .secondary = SECONDARY_INTERRUPT_DELIVERY,
				  .exit = EXIT_ACKNOWLEDGE_INTERRUPT},
	    do_nothing);
	page = (volatile u8 *)pages_take(1);
	descriptor = (volatile u64 *)pages_take(1);
	vmwrite(VMCS_VIRTUAL_APIC_ADDRESS, (u64)page);
	vmwrite(VMCS_POSTED_INTERRUPT_VECTOR, NOTIFICATION);
	vmwrite(VMCS_POSTED_INTERRUPT_DESCRIPTOR, (u64)descriptor);
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, 0);
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	trap_handle(VECTOR, on_posted);
	trap_handle(LOWER, on_lower);
	trap_handle(NOTIFICATION, on_notification);
	warm_up(VECTOR);
	warm_up(LOWER);
	handled = handled_lower = handled_below = 0;
}

static void post(u32 vector)
{
	descriptor[vector / 64] |= BIT(vector % 64);
	descriptor[4] |= POSTED_ON;
}

static void expect_no_notification(void)
{
	interrupts_on();
	cpu_pause();
	interrupts_off();
	suite_expect(handled_below, 0, "notifications that L1 got");
	suite_expect(descriptor[4] & POSTED_ON, 0, "ON");
	for (u32 i = 0; i < 4; i++)
		suite_expect(descriptor[i], 0, "PIR");
}

static void goes_to_l2(void)
{
	make("posted_goes_to_l2");
	post(VECTOR);
	apic_send(apic_id(), NOTIFICATION);
	suite_finish();
	suite_expect(handled, 1, "calls of L2's handler");
	suite_expect(vmread(VMCS_GUEST_INTERRUPT_STATUS), VECTOR << 8,
		     "the interrupt status");
	expect_no_notification();
}

/* The one below stays behind the one in service. */
static void highest_is_first(void)
{
	make("posted_highest_is_first");
	post(VECTOR);
	post(LOWER);
	apic_send(apic_id(), NOTIFICATION);
	suite_finish();
	suite_expect(handled, 1, "calls of L2's handler");
	suite_expect(handled_lower, 0, "calls of that of the lower vector");
	suite_expect(page[VIRTUAL_IRR + LOWER / 32 * 16 + LOWER % 32 / 8],
		     BIT(LOWER % 8), "the virtual IRR");
	expect_no_notification();
}

static void nothing_is_posted(void)
{
	make("posted_nothing");
	apic_send(apic_id(), NOTIFICATION);
	suite_finish();
	suite_expect(handled, 0, "calls of L2's handler");
	suite_expect(vmread(VMCS_GUEST_INTERRUPT_STATUS), 0,
		     "the interrupt status");
	expect_no_notification();
}

/* Not in Bochs, where interrupts do not come while L2 keeps them off. */
static void lower_than_what_waits(void)
{
	if (suite_in_bochs())
		return;
	make("posted_lower_than_what_waits");
	l2_reset(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, VECTOR);
	post(LOWER);
	apic_send(apic_id(), NOTIFICATION);
	suite_finish();
	suite_expect(vmread(VMCS_GUEST_INTERRUPT_STATUS), VECTOR,
		     "the interrupt status");
	expect_no_notification();
}

static void another_vector_exits(void)
{
	make("posted_another_vector_exits");
	post(VECTOR);
	apic_send(apic_id(), LOWER);
	suite_run(EXIT_EXTERNAL_INTERRUPT);
	suite_expect(vmread(VMCS_EXIT_INTERRUPTION_INFO) & BITS(7, 0), LOWER,
		     "the vector");
	apic_end_of_interrupt();
	suite_expect(descriptor[4] & POSTED_ON, POSTED_ON, "ON");
}

/* Not in Bochs, where no interrupt ends HLT (docs/TESTING.md). */
static void wakes_from_hlt(void)
{
	if (suite_in_bochs() || !(rdmsr(MSR_VMX_MISC) & MISC_HLT))
		return;
	make("posted_wakes_from_hlt");
	vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
	post(VECTOR);
	apic_send(apic_id(), NOTIFICATION);
	suite_finish();
	suite_expect(handled, 1, "calls of L2's handler");
	expect_no_notification();
}

void suite_posted(void)
{
	if (!vmx_allows(CONTROLS_PIN, PIN_POSTED_INTERRUPTS) ||
	    apic_mode() == APIC_NONE)
		return;
	goes_to_l2();
	highest_is_first();
	nothing_is_posted();
	lower_than_what_waits();
	another_vector_exits();
	wakes_from_hlt();
	trap_handle(VECTOR, NULL);
	trap_handle(LOWER, NULL);
	trap_handle(NOTIFICATION, NULL);
}
