/* SPDX-License-Identifier: MIT */
/*
 * The local APIC against the SDM, Vol. 3, "Advanced Programmable Interrupt
 * Controller (APIC)".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/clock.h"
#include "devices/lapic.h"

#define TIMER_HZ 1000000000ULL
#define TSC_HZ   2000000000ULL
#define MASKED   0x10000U
#define PERIODIC 0x20000U
#define DEADLINE 0x40000U
#define DIVIDE_1 0xbU

static struct lapic lapic;

static int fresh(void **state)
{
	const struct lapic_config config = {
	    .timer_hz = TIMER_HZ,
	    .tsc_hz = TSC_HZ,
	    .apic_id = 5,
	    .phys_bits = 40,
	};

	(void)state;
	lapic_reset(&lapic, &config, LAPIC_IS_BSP);
	return 0;
}

static u32 get(u32 offset)
{
	return lapic_mmio_read(&lapic, offset, 0);
}

static struct lapic_outcome set(u32 offset, u32 value)
{
	return lapic_mmio_write(&lapic, offset, value, 0);
}

static void set_at(u32 offset, u32 value, u64 now_ns)
{
	struct lapic_outcome outcome =
	    lapic_mmio_write(&lapic, offset, value, now_ns);

	assert_int_equal(outcome.effect, LAPIC_EFFECT_NONE);
}

static u64 rdmsr(u32 msr)
{
	u64 value = 0;

	assert_int_equal(lapic_msr_read(&lapic, msr, 0, &value),
			 LAPIC_EFFECT_NONE);
	return value;
}

static bool wrmsr_faults(u32 msr, u64 value)
{
	return lapic_msr_write(&lapic, msr, value, 0).effect ==
	       LAPIC_EFFECT_FAULT;
}

static bool rdmsr_faults(u32 msr)
{
	u64 value = 0x5a5a;
	bool faults =
	    lapic_msr_read(&lapic, msr, 0, &value) == LAPIC_EFFECT_FAULT;

	if (faults)
		assert_int_equal(value, 0x5a5a);
	return faults;
}

static u32 x2apic(u32 offset)
{
	return MSR_X2APIC_FIRST + offset / 16;
}

static void enable(void)
{
	set(LAPIC_SVR, 0x1ff);
}

static void enter_x2apic(void)
{
	assert_false(wrmsr_faults(
	    MSR_IA32_APIC_BASE, rdmsr(MSR_IA32_APIC_BASE) | APIC_BASE_X2APIC));
	assert_false(wrmsr_faults(x2apic(LAPIC_SVR), 0x1ff));
}

static enum lapic_kick post(u8 vector)
{
	return lapic_post(&lapic, LAPIC_FIXED, vector, LAPIC_EDGE_TRIGGERED);
}

static int pending(void)
{
	lapic_sync(&lapic);
	return lapic_pending_vector(&lapic);
}

static void take(u8 vector)
{
	assert_int_equal(pending(), vector);
	lapic_accept(&lapic, vector);
}

/* --- Reset, identity, access rules ---------------------------------------- */

static void reset_gives_the_state_of_the_manual(void **state)
{
	(void)state;
	assert_int_equal(rdmsr(MSR_IA32_APIC_BASE), 0xfee00900);
	assert_int_equal(get(LAPIC_ID), 5 << 24);
	assert_int_equal(get(LAPIC_VERSION) & 0xff, 0x14);
	assert_int_equal(get(LAPIC_VERSION) >> 16 & 0xff, 5);
	assert_int_equal(get(LAPIC_DFR), 0xffffffff);
	assert_int_equal(get(LAPIC_LDR), 0);
	assert_int_equal(get(LAPIC_SVR), 0xff);
	assert_int_equal(get(LAPIC_LVT_TIMER), MASKED);
	assert_int_equal(get(LAPIC_LVT_LINT0), MASKED);
	assert_int_equal(get(LAPIC_LVT_ERROR), MASKED);
	assert_int_equal(lapic.timer_due_ns, CLOCK_NEVER);
	assert_int_equal(pending(), LAPIC_NO_VECTOR);
}

static void lvt_stays_masked_while_software_disabled(void **state)
{
	(void)state;
	set(LAPIC_LVT_LINT1, 0x400);
	assert_int_equal(get(LAPIC_LVT_LINT1), 0x400 | MASKED);
	enable();
	set(LAPIC_LVT_LINT1, 0x400);
	assert_int_equal(get(LAPIC_LVT_LINT1), 0x400);
	set(LAPIC_SVR, 0xff);
	assert_int_equal(get(LAPIC_LVT_LINT1), 0x400 | MASKED);
}

static void absent_register_is_recorded_in_esr(void **state)
{
	(void)state;
	assert_int_equal(get(0x40), 0);
	assert_int_equal(get(LAPIC_ESR), 0);
	set(LAPIC_ESR, 0);
	assert_int_equal(get(LAPIC_ESR), 0x80);
	set(LAPIC_ESR, 0);
	assert_int_equal(get(LAPIC_ESR), 0);
	get(LAPIC_EOI); /* exists, though write-only */
	set(LAPIC_PPR, 1);
	set(LAPIC_ESR, 0);
	assert_int_equal(get(LAPIC_ESR), 0);
}

static void error_interrupt_comes_once_until_esr_is_written(void **state)
{
	(void)state;
	enable();
	set(LAPIC_LVT_ERROR, 0x51);
	get(0x40);
	take(0x51);
	set(LAPIC_EOI, 0);
	get(0x40);
	assert_int_equal(pending(), LAPIC_NO_VECTOR);
	set(LAPIC_ESR, 0);
	get(0x40);
	assert_int_equal(pending(), 0x51);
}

static void error_interrupt_with_illegal_vector_ends(void **state)
{
	(void)state;
	enable();
	set(LAPIC_LVT_ERROR, 0x05);
	get(0x40);
	assert_int_equal(pending(), LAPIC_NO_VECTOR);
	set(LAPIC_ESR, 0);
	assert_int_equal(get(LAPIC_ESR), 0x80 | 0x40);
}

/* --- Delivery ------------------------------------------------------------- */

static void vectors_are_taken_by_priority(void **state)
{
	(void)state;
	enable();
	assert_int_equal(post(0x31), LAPIC_KICK_NOTIFY);
	assert_int_equal(post(0xe1), LAPIC_KICK_NOT_NEEDED);
	assert_int_equal(post(0x3f), LAPIC_KICK_NOT_NEEDED);
	take(0xe1);
	assert_int_equal(pending(), LAPIC_NO_VECTOR);
	assert_int_equal(get(LAPIC_PPR), 0xe0);
	assert_int_equal(get(LAPIC_ISR + 0x70), 1U << 1);
	set(LAPIC_EOI, 0);
	take(0x3f);
	assert_int_equal(pending(), LAPIC_NO_VECTOR); /* same class as 0x31 */
	set(LAPIC_EOI, 0);
	take(0x31);
	set(LAPIC_EOI, 0);
	assert_int_equal(get(LAPIC_PPR), 0);
	assert_int_equal(pending(), LAPIC_NO_VECTOR);
}

static void higher_class_nests_in_service(void **state)
{
	(void)state;
	enable();
	post(0x40);
	take(0x40);
	post(0x50);
	take(0x50);
	set(LAPIC_EOI, 0);
	assert_int_equal(get(LAPIC_PPR), 0x40);
	assert_int_equal(get(LAPIC_ISR + 0x20), 1);
	set(LAPIC_EOI, 0);
	assert_int_equal(get(LAPIC_ISR + 0x20), 0);
}

static void tpr_holds_back_its_class_and_below(void **state)
{
	(void)state;
	enable();
	set(LAPIC_TPR, 0x52);
	assert_int_equal(lapic_cr8(&lapic), 5);
	post(0x5f);
	assert_int_equal(pending(), LAPIC_NO_VECTOR);
	assert_int_equal(lapic_tpr_threshold(&lapic), 5);
	assert_int_equal(get(LAPIC_PPR), 0x52);
	post(0x60);
	assert_int_equal(pending(), 0x60);
	assert_int_equal(lapic_tpr_threshold(&lapic), 0);
	lapic_accept(&lapic, 0x60);
	assert_int_equal(lapic_tpr_threshold(&lapic), 0);
	set(LAPIC_EOI, 0);
	lapic_set_cr8(&lapic, 4);
	assert_int_equal(get(LAPIC_TPR), 0x40);
	assert_int_equal(pending(), 0x5f);
}

static void illegal_vector_received_is_recorded(void **state)
{
	(void)state;
	enable();
	post(15);
	assert_int_equal(pending(), LAPIC_NO_VECTOR);
	set(LAPIC_ESR, 0);
	assert_int_equal(get(LAPIC_ESR), 0x40);
	post(16);
	assert_int_equal(pending(), 16);
}

static void software_disabled_apic_takes_only_events(void **state)
{
	u8 vector = 0;

	(void)state;
	assert_int_equal(post(0x40), LAPIC_KICK_NOT_NEEDED);
	assert_int_equal(pending(), LAPIC_NO_VECTOR);
	assert_int_equal(lapic_post(&lapic, LAPIC_NMI, 0, LAPIC_EDGE_TRIGGERED),
			 LAPIC_KICK_NEEDED);
	assert_true(lapic_take_nmi(&lapic));
	assert_false(lapic_take_nmi(&lapic));
	lapic_post(&lapic, LAPIC_SIPI, 0x9a, LAPIC_EDGE_TRIGGERED);
	lapic_post(&lapic, LAPIC_SIPI, 0x11, LAPIC_EDGE_TRIGGERED);
	assert_true(lapic_take_sipi(&lapic, &vector));
	assert_int_equal(vector, 0x9a);
	assert_false(lapic_take_sipi(&lapic, &vector));
}

static void init_discards_an_older_sipi(void **state)
{
	u8 vector = 0;

	(void)state;
	lapic_post(&lapic, LAPIC_SIPI, 0x12, LAPIC_EDGE_TRIGGERED);
	lapic_post(&lapic, LAPIC_INIT, 0, LAPIC_EDGE_TRIGGERED);
	lapic_post(&lapic, LAPIC_SIPI, 0x34, LAPIC_EDGE_TRIGGERED);
	assert_false(lapic_take_sipi(&lapic, &vector)); /* INIT goes first */
	assert_true(lapic_take_init(&lapic));
	assert_true(lapic_take_sipi(&lapic, &vector));
	assert_int_equal(vector, 0x34);
	assert_int_equal(lapic_events(&lapic), 0);
}

/* In VMX non-root operation INIT may be blocked where a SIPI is not. */
static void sipi_passes_an_init_that_is_blocked(void **state)
{
	u8 vector = 0;

	(void)state;
	assert_false(lapic_take_sipi_past_init(&lapic, &vector));
	lapic_post(&lapic, LAPIC_INIT, 0, LAPIC_EDGE_TRIGGERED);
	lapic_post(&lapic, LAPIC_SIPI, 0x34, LAPIC_EDGE_TRIGGERED);
	assert_true(lapic_take_sipi_past_init(&lapic, &vector));
	assert_int_equal(vector, 0x34);
	assert_int_equal(lapic_events(&lapic), LAPIC_EVENT_INIT);
}

static void sipi_that_is_awaited_is_remembered_no_longer(void **state)
{
	u8 vector = 0;

	(void)state;
	lapic_await_sipi(&lapic);
	lapic_post(&lapic, LAPIC_INIT, 0, LAPIC_EDGE_TRIGGERED);
	assert_int_equal(lapic_events(&lapic),
			 LAPIC_EVENT_INIT | LAPIC_EVENT_AWAITED);
	assert_true(lapic_take_init(&lapic));
	assert_false(lapic_take_sipi_past_init(&lapic, &vector));
	lapic_await_sipi_no_more(&lapic);
	lapic_await_sipi_no_more(&lapic);
	assert_int_equal(lapic_events(&lapic), 0);
}

static void init_resets_all_but_identity_and_base(void **state)
{
	(void)state;
	enter_x2apic();
	post(0x40);
	assert_false(wrmsr_faults(x2apic(LAPIC_TPR), 0x20));
	lapic_on_init(&lapic);
	assert_int_equal(pending(), LAPIC_NO_VECTOR);
	assert_int_equal(rdmsr(MSR_IA32_APIC_BASE), 0xfee00d00);
	assert_int_equal(rdmsr(x2apic(LAPIC_ID)), 5);
	assert_int_equal(rdmsr(x2apic(LAPIC_TPR)), 0);
	assert_int_equal(rdmsr(x2apic(LAPIC_SVR)), 0xff);
}

static void level_triggered_eoi_is_broadcast(void **state)
{
	struct lapic_outcome outcome;

	(void)state;
	enable();
	lapic_post(&lapic, LAPIC_FIXED, 0x71, LAPIC_LEVEL_TRIGGERED);
	take(0x71);
	assert_int_equal(get(LAPIC_TMR + 0x30), 1U << 17);
	outcome = set(LAPIC_EOI, 0);
	assert_int_equal(outcome.effect, LAPIC_EFFECT_EOI);
	assert_int_equal(outcome.vector, 0x71);
	post(0x71); /* now by edge: the trigger mode register follows */
	take(0x71);
	assert_int_equal(get(LAPIC_TMR + 0x30), 0);
	assert_int_equal(set(LAPIC_EOI, 0).effect, LAPIC_EFFECT_NONE);
	assert_int_equal(set(LAPIC_EOI, 0).effect, LAPIC_EFFECT_NONE);
}

static void suppressed_eoi_is_not_broadcast(void **state)
{
	(void)state;
	set(LAPIC_SVR, 0x11ff);
	lapic_post(&lapic, LAPIC_FIXED, 0x71, LAPIC_LEVEL_TRIGGERED);
	take(0x71);
	assert_int_equal(set(LAPIC_EOI, 0).effect, LAPIC_EFFECT_NONE);
	assert_int_equal(get(LAPIC_PPR), 0);
}

static void hardware_changed_page_is_read_afresh(void **state)
{
	struct lapic_outcome outcome;

	(void)state;
	enable();
	lapic.page[(LAPIC_ISR + 0x30) / 4] = 1U << 3;
	lapic.page[(LAPIC_IRR + 0x50) / 4] = 1U << 1;
	lapic_delivered_by(&lapic, LAPIC_BY_CPU);
	assert_int_equal(get(LAPIC_PPR), 0x60);
	assert_int_equal(pending(), 0xa1);
	lapic.page[(LAPIC_ISR + 0x30) / 4] = 0;
	lapic.page[(LAPIC_TMR + 0x30) / 4] = 1U << 3;
	outcome = lapic_on_virtual_eoi(&lapic, 0x63);
	assert_int_equal(outcome.effect, LAPIC_EFFECT_EOI);
	assert_int_equal(get(LAPIC_PPR), 0);
}

static void lint_pins_deliver_as_programmed(void **state)
{
	(void)state;
	enable();
	assert_int_equal(lapic_lint(&lapic, 1), LAPIC_KICK_NOT_NEEDED);
	set(LAPIC_LVT_LINT1, 0x400);
	assert_int_equal(lapic_lint(&lapic, 1), LAPIC_KICK_NEEDED);
	assert_true(lapic_take_nmi(&lapic));
	assert_false(lapic_accepts_extint(&lapic));
	set(LAPIC_LVT_LINT0, 0x700);
	assert_true(lapic_accepts_extint(&lapic));
	set(LAPIC_LVT_LINT0, 0x700 | MASKED);
	assert_false(lapic_accepts_extint(&lapic));
	set(LAPIC_LVT_LINT0, 0x42);
	lapic_lint(&lapic, 0);
	assert_int_equal(pending(), 0x42);
}

/* --- Addressing ----------------------------------------------------------- */

static void physical_destination_is_the_apic_id(void **state)
{
	(void)state;
	assert_true(lapic_is_addressed(&lapic, LAPIC_PHYSICAL, 5));
	assert_false(lapic_is_addressed(&lapic, LAPIC_PHYSICAL, 4));
	assert_false(lapic_is_addressed(&lapic, LAPIC_PHYSICAL, 0x105));
	assert_true(
	    lapic_is_addressed(&lapic, LAPIC_PHYSICAL, LAPIC_EVERYBODY));
}

static void logical_flat_and_cluster_follow_dfr(void **state)
{
	(void)state;
	set(LAPIC_LDR, 0x24000000);
	assert_true(lapic_is_addressed(&lapic, LAPIC_LOGICAL, 0x04));
	assert_true(lapic_is_addressed(&lapic, LAPIC_LOGICAL, 0xff));
	assert_false(lapic_is_addressed(&lapic, LAPIC_LOGICAL, 0x18));
	set(LAPIC_DFR, 0);
	assert_int_equal(get(LAPIC_DFR), 0x0fffffff);
	assert_true(lapic_is_addressed(&lapic, LAPIC_LOGICAL, 0x26));
	assert_false(lapic_is_addressed(&lapic, LAPIC_LOGICAL, 0x16));
	assert_false(lapic_is_addressed(&lapic, LAPIC_LOGICAL, 0x23));
	assert_true(lapic_is_addressed(&lapic, LAPIC_LOGICAL, 0xf4));
	set(LAPIC_DFR, 0x50000000); /* no such model */
	assert_false(lapic_is_addressed(&lapic, LAPIC_LOGICAL, 0x26));
}

static void x2apic_logical_id_comes_from_the_id(void **state)
{
	const struct lapic_config config = {
	    .timer_hz = 1,
	    .tsc_hz = 1,
	    .apic_id = 0x23,
	    .phys_bits = 40,
	};

	(void)state;
	lapic_reset(&lapic, &config, LAPIC_IS_AP);
	enter_x2apic();
	assert_int_equal(rdmsr(x2apic(LAPIC_LDR)), 0x00020008);
	assert_true(lapic_is_addressed(&lapic, LAPIC_LOGICAL, 0x0002000f));
	assert_false(lapic_is_addressed(&lapic, LAPIC_LOGICAL, 0x00020007));
	assert_false(lapic_is_addressed(&lapic, LAPIC_LOGICAL, 0x0001000f));
	assert_true(lapic_is_addressed(&lapic, LAPIC_LOGICAL, LAPIC_EVERYBODY));
}

/* --- Sending -------------------------------------------------------------- */

static void xapic_icr_sends_with_eight_bit_destination(void **state)
{
	struct lapic_outcome outcome;

	(void)state;
	set(LAPIC_ICR_HIGH, 0x03ffffff);
	assert_int_equal(get(LAPIC_ICR_HIGH), 0x03000000);
	outcome = set(LAPIC_ICR, 0x00004055 | 1 << 12);
	assert_int_equal(outcome.effect, LAPIC_EFFECT_IPI);
	assert_int_equal(outcome.icr, 0x0000000300004055);
	assert_int_equal(get(LAPIC_ICR), 0x4055); /* delivery status idle */
	set(LAPIC_ICR_HIGH, 0xff000000);
	assert_int_equal(set(LAPIC_ICR, 0x4055).icr >> 32, LAPIC_EVERYBODY);
	assert_int_equal(set(LAPIC_ICR, 0x4855).icr >> 32, 0xff); /* logical */
}

static void illegal_vector_is_not_sent(void **state)
{
	(void)state;
	assert_int_equal(set(LAPIC_ICR, 0x400f).effect, LAPIC_EFFECT_NONE);
	set(LAPIC_ESR, 0);
	assert_int_equal(get(LAPIC_ESR), 0x20);
	assert_int_equal(set(LAPIC_ICR, 0x4600).effect, LAPIC_EFFECT_IPI);
}

static void init_deassert_is_not_sent(void **state)
{
	(void)state;
	assert_int_equal(set(LAPIC_ICR, 0x8500).effect, LAPIC_EFFECT_NONE);
	assert_int_equal(set(LAPIC_ICR, 0xc500).effect, LAPIC_EFFECT_IPI);
}

/* --- x2APIC mode ---------------------------------------------------------- */

static void mode_changes_are_those_of_the_manual(void **state)
{
	(void)state;
	/* xAPIC: EXTD without EN, reserved bits, address too wide */
	assert_true(wrmsr_faults(MSR_IA32_APIC_BASE, 0xfee00500));
	assert_true(wrmsr_faults(MSR_IA32_APIC_BASE, 0xfee00901));
	assert_true(wrmsr_faults(MSR_IA32_APIC_BASE, 0xfee00b00));
	assert_true(wrmsr_faults(MSR_IA32_APIC_BASE, 1ULL << 40 | 0x900));
	enter_x2apic();
	assert_true(wrmsr_faults(MSR_IA32_APIC_BASE, 0xfee00900));
	assert_int_equal(rdmsr(MSR_IA32_APIC_BASE), 0xfee00d00);
	assert_false(wrmsr_faults(MSR_IA32_APIC_BASE, 0xfee00100));
	assert_false(lapic_is_addressed(&lapic, LAPIC_PHYSICAL, 5));
	assert_true(wrmsr_faults(MSR_IA32_APIC_BASE, 0xfee00d00));
	assert_false(wrmsr_faults(MSR_IA32_APIC_BASE, 0xfee00900));
	assert_int_equal(get(LAPIC_SVR), 0xff);
	assert_int_equal(get(LAPIC_ID), 5 << 24);
}

static void mmio_answers_only_in_xapic_mode_at_the_base(void **state)
{
	(void)state;
	assert_true(lapic_claims(&lapic, gpa(0xfee00ffc)));
	assert_false(lapic_claims(&lapic, gpa(0xfee01000)));
	assert_false(wrmsr_faults(MSR_IA32_APIC_BASE, 0x812345000 | 0x900));
	assert_true(lapic_claims(&lapic, gpa(0x812345080)));
	assert_false(lapic_claims(&lapic, gpa(0xfee00000)));
	enter_x2apic();
	assert_false(lapic_claims(&lapic, gpa(0x812345080)));
}

static void x2apic_msrs_fault_outside_x2apic_mode(void **state)
{
	(void)state;
	assert_true(rdmsr_faults(x2apic(LAPIC_ID)));
	assert_true(wrmsr_faults(x2apic(LAPIC_TPR), 0));
}

static void x2apic_access_rules_hold_for_every_msr(void **state)
{
	/* From the table "Local APIC Register Address Map Supported by x2APIC",
	 * as offsets: read-only, write-only, read and write. */
	static const u32 read_only[] = {0x20, 0x30, 0xa0, 0xd0, 0x390};
	static const u32 write_only[] = {0xb0, 0x3f0};
	static const u32 both[] = {0x80,  0xf0,  0x280, 0x300, 0x320, 0x330,
				   0x340, 0x350, 0x360, 0x370, 0x380, 0x3e0};

	(void)state;
	enter_x2apic();
	for (u32 msr = MSR_X2APIC_FIRST; msr <= MSR_X2APIC_LAST; msr++) {
		u32 offset = (msr - MSR_X2APIC_FIRST) * 16;
		bool readable = offset >= 0x100 && offset < 0x280;
		bool writable = false;

		for (u32 i = 0; i < ARRAY_COUNT(read_only); i++)
			readable |= offset == read_only[i];
		for (u32 i = 0; i < ARRAY_COUNT(both); i++)
			readable |= offset == both[i];
		for (u32 i = 0; i < ARRAY_COUNT(both); i++)
			writable |= offset == both[i];
		for (u32 i = 0; i < ARRAY_COUNT(write_only); i++)
			writable |= offset == write_only[i];
		assert_int_equal(rdmsr_faults(msr), !readable);
		assert_int_equal(wrmsr_faults(msr, 0), !writable);
		if (msr != x2apic(LAPIC_ICR))
			assert_true(wrmsr_faults(msr, 1ULL << 32));
	}
}

static void x2apic_reserved_bits_fault(void **state)
{
	(void)state;
	enter_x2apic();
	assert_true(wrmsr_faults(x2apic(LAPIC_EOI), 1));
	assert_true(wrmsr_faults(x2apic(LAPIC_ESR), 1));
	assert_true(wrmsr_faults(x2apic(LAPIC_TPR), 0x100));
	assert_true(wrmsr_faults(x2apic(LAPIC_SVR), 0x2000));
	assert_true(wrmsr_faults(x2apic(LAPIC_LVT_TIMER), 0x100));
	assert_true(wrmsr_faults(x2apic(LAPIC_TIMER_DIVIDE), 4));
	assert_true(wrmsr_faults(x2apic(LAPIC_SELF_IPI), 0x100));
	assert_true(wrmsr_faults(x2apic(LAPIC_ICR), 1 << 13));
	assert_true(wrmsr_faults(x2apic(LAPIC_ICR), 1 << 20));
	assert_false(wrmsr_faults(x2apic(LAPIC_LVT_LINT0), 0x1f7ff));
}

static void x2apic_icr_is_one_register_of_64_bits(void **state)
{
	struct lapic_outcome outcome;

	(void)state;
	enter_x2apic();
	outcome = lapic_msr_write(&lapic, x2apic(LAPIC_ICR), 0x100000004033, 0);
	assert_int_equal(outcome.effect, LAPIC_EFFECT_IPI);
	assert_int_equal(outcome.icr, 0x100000004033);
	assert_int_equal(rdmsr(x2apic(LAPIC_ICR)), 0x100000004033);
}

static void self_ipi_comes_back(void **state)
{
	(void)state;
	enter_x2apic();
	assert_false(wrmsr_faults(x2apic(LAPIC_SELF_IPI), 0x61));
	assert_int_equal(pending(), 0x61);
	assert_false(wrmsr_faults(x2apic(LAPIC_SELF_IPI), 3));
	assert_false(wrmsr_faults(x2apic(LAPIC_ESR), 0));
	assert_int_equal(rdmsr(x2apic(LAPIC_ESR)), 0x20);
}

/* --- Timer ---------------------------------------------------------------- */

static void start_timer(u32 mode, u32 initial, u32 divide)
{
	enable();
	set(LAPIC_LVT_TIMER, 0x40 | mode);
	set(LAPIC_TIMER_DIVIDE, divide);
	set_at(LAPIC_TIMER_INITIAL, initial, 100);
}

static void one_shot_fires_once(void **state)
{
	(void)state;
	start_timer(0, 1000, DIVIDE_1);
	assert_int_equal(lapic.timer_due_ns, 1100);
	assert_int_equal(lapic_mmio_read(&lapic, LAPIC_TIMER_CURRENT, 500),
			 600);
	lapic_tick(&lapic, 1099);
	assert_int_equal(pending(), LAPIC_NO_VECTOR);
	lapic_tick(&lapic, 1100);
	take(0x40);
	set(LAPIC_EOI, 0);
	assert_int_equal(lapic.timer_due_ns, CLOCK_NEVER);
	assert_int_equal(lapic_mmio_read(&lapic, LAPIC_TIMER_CURRENT, 1200), 0);
	assert_int_equal(get(LAPIC_TIMER_INITIAL), 1000);
	lapic_tick(&lapic, 5000);
	assert_int_equal(pending(), LAPIC_NO_VECTOR);
}

static void divisors_are_those_of_the_manual(void **state)
{
	static const struct {
		u32 code;
		u64 divisor;
	} table[] = {{0, 2},  {1, 4},  {2, 8},    {3, 16},
		     {8, 32}, {9, 64}, {10, 128}, {11, 1}};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(table); i++) {
		start_timer(0, 10, table[i].code);
		assert_int_equal(lapic.timer_due_ns,
				 100 + 10 * table[i].divisor);
	}
}

static void periodic_keeps_its_phase_when_looked_at_late(void **state)
{
	(void)state;
	start_timer(PERIODIC, 1000, DIVIDE_1);
	lapic_tick(&lapic, 3700); /* three periods have gone by unseen */
	take(0x40);
	set(LAPIC_EOI, 0);
	assert_int_equal(pending(), LAPIC_NO_VECTOR);
	assert_int_equal(lapic.timer_due_ns, 4100);
	assert_int_equal(lapic_mmio_read(&lapic, LAPIC_TIMER_CURRENT, 3800),
			 300);
	set_at(LAPIC_TIMER_INITIAL, 0, 3900);
	assert_int_equal(lapic.timer_due_ns, CLOCK_NEVER);
}

static void masked_timer_counts_without_interrupt(void **state)
{
	(void)state;
	start_timer(PERIODIC | MASKED, 1000, DIVIDE_1);
	lapic_tick(&lapic, 1100);
	assert_int_equal(pending(), LAPIC_NO_VECTOR);
	set_at(LAPIC_LVT_TIMER, 0x40 | PERIODIC, 1200);
	lapic_tick(&lapic, 2100);
	assert_int_equal(pending(), 0x40);
}

static void divisor_change_keeps_the_count(void **state)
{
	(void)state;
	start_timer(0, 1000, DIVIDE_1);
	set_at(LAPIC_TIMER_DIVIDE, 0, 700); /* 400 left, now at half speed */
	assert_int_equal(lapic_mmio_read(&lapic, LAPIC_TIMER_CURRENT, 700),
			 400);
	assert_int_equal(lapic.timer_due_ns, 1500);
}

static void one_shot_turned_periodic_goes_on(void **state)
{
	(void)state;
	start_timer(0, 1000, DIVIDE_1);
	set_at(LAPIC_LVT_TIMER, 0x40 | PERIODIC, 300);
	lapic_tick(&lapic, 1100);
	assert_int_equal(lapic.timer_due_ns, 2100);
}

static void deadline_fires_when_the_tsc_gets_there(void **state)
{
	(void)state;
	enable();
	assert_false(wrmsr_faults(MSR_IA32_TSC_DEADLINE, 99));
	assert_int_equal(rdmsr(MSR_IA32_TSC_DEADLINE), 0); /* other mode */
	set(LAPIC_LVT_TIMER, 0x40 | DEADLINE);
	assert_false(wrmsr_faults(MSR_IA32_TSC_DEADLINE, 2001));
	assert_int_equal(lapic.timer_due_ns, 1001); /* 2 GHz, rounded up */
	assert_int_equal(rdmsr(MSR_IA32_TSC_DEADLINE), 2001);
	set_at(LAPIC_TIMER_INITIAL, 55, 0); /* ignored in this mode */
	assert_int_equal(get(LAPIC_TIMER_INITIAL), 0);
	lapic_tick(&lapic, 1001);
	take(0x40);
	set(LAPIC_EOI, 0);
	assert_int_equal(rdmsr(MSR_IA32_TSC_DEADLINE), 0);
	assert_int_equal(lapic.timer_due_ns, CLOCK_NEVER);
}

static void past_deadline_fires_at_once(void **state)
{
	struct lapic_outcome outcome;

	(void)state;
	enable();
	set(LAPIC_LVT_TIMER, 0x40 | DEADLINE);
	outcome = lapic_msr_write(&lapic, MSR_IA32_TSC_DEADLINE, 5, 1000);
	assert_int_equal(outcome.effect, LAPIC_EFFECT_NONE);
	assert_int_equal(pending(), 0x40);
	assert_int_equal(lapic.timer_due_ns, CLOCK_NEVER);
}

static void deadline_follows_the_guests_tsc(void **state)
{
	(void)state;
	enable();
	set(LAPIC_LVT_TIMER, 0x40 | DEADLINE);
	lapic_set_tsc_offset(&lapic, 0 - 1000ULL, 0);
	assert_false(wrmsr_faults(MSR_IA32_TSC_DEADLINE, ~0ULL));
	assert_int_equal(lapic.timer_due_ns, 500); /* TSC wraps: -1000 at 0 */
	lapic_set_tsc_offset(&lapic, 5, 10);
	assert_true(lapic.timer_due_ns > 1ULL << 62);
	assert_false(wrmsr_faults(MSR_IA32_TSC_DEADLINE, 105));
	assert_int_equal(lapic.timer_due_ns, 50);
	assert_false(wrmsr_faults(MSR_IA32_TSC_DEADLINE, 0));
	assert_int_equal(lapic.timer_due_ns, CLOCK_NEVER);
}

static void leaving_deadline_mode_disarms(void **state)
{
	(void)state;
	enable();
	set(LAPIC_LVT_TIMER, 0x40 | DEADLINE);
	assert_false(wrmsr_faults(MSR_IA32_TSC_DEADLINE, 2000));
	set(LAPIC_LVT_TIMER, 0x40);
	assert_int_equal(lapic.timer_due_ns, CLOCK_NEVER);
	start_timer(0, 1000, DIVIDE_1);
	set(LAPIC_LVT_TIMER, 0x40 | DEADLINE);
	assert_int_equal(lapic.timer_due_ns, CLOCK_NEVER);
}

static void clock_conversions_fit_each_other(void **state)
{
	static const u64 hertz[] = {
	    1, 32768, 1193182, 3579545, 1000000000, 2893299993, CLOCK_HZ_MAX};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(hertz); i++) {
		for (u64 ticks = 1; ticks < 1ULL << 55; ticks = ticks * 3 + 1) {
			u64 ns = clock_ns(ticks, hertz[i]);

			if (ns == CLOCK_NEVER)
				break;
			assert_true(clock_ticks(ns, hertz[i]) >= ticks);
			assert_true(clock_ticks(ns - 1, hertz[i]) < ticks);
		}
	}
	assert_int_equal(clock_ns(~0ULL, 1), CLOCK_NEVER);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(reset_gives_the_state_of_the_manual),
	    TEST(lvt_stays_masked_while_software_disabled),
	    TEST(absent_register_is_recorded_in_esr),
	    TEST(error_interrupt_comes_once_until_esr_is_written),
	    TEST(error_interrupt_with_illegal_vector_ends),
	    TEST(vectors_are_taken_by_priority),
	    TEST(higher_class_nests_in_service),
	    TEST(tpr_holds_back_its_class_and_below),
	    TEST(illegal_vector_received_is_recorded),
	    TEST(software_disabled_apic_takes_only_events),
	    TEST(init_discards_an_older_sipi),
	    TEST(sipi_passes_an_init_that_is_blocked),
	    TEST(sipi_that_is_awaited_is_remembered_no_longer),
	    TEST(init_resets_all_but_identity_and_base),
	    TEST(level_triggered_eoi_is_broadcast),
	    TEST(suppressed_eoi_is_not_broadcast),
	    TEST(hardware_changed_page_is_read_afresh),
	    TEST(lint_pins_deliver_as_programmed),
	    TEST(physical_destination_is_the_apic_id),
	    TEST(logical_flat_and_cluster_follow_dfr),
	    TEST(x2apic_logical_id_comes_from_the_id),
	    TEST(xapic_icr_sends_with_eight_bit_destination),
	    TEST(illegal_vector_is_not_sent),
	    TEST(init_deassert_is_not_sent),
	    TEST(mode_changes_are_those_of_the_manual),
	    TEST(mmio_answers_only_in_xapic_mode_at_the_base),
	    TEST(x2apic_msrs_fault_outside_x2apic_mode),
	    TEST(x2apic_access_rules_hold_for_every_msr),
	    TEST(x2apic_reserved_bits_fault),
	    TEST(x2apic_icr_is_one_register_of_64_bits),
	    TEST(self_ipi_comes_back),
	    TEST(one_shot_fires_once),
	    TEST(divisors_are_those_of_the_manual),
	    TEST(periodic_keeps_its_phase_when_looked_at_late),
	    TEST(masked_timer_counts_without_interrupt),
	    TEST(divisor_change_keeps_the_count),
	    TEST(one_shot_turned_periodic_goes_on),
	    TEST(deadline_fires_when_the_tsc_gets_there),
	    TEST(past_deadline_fires_at_once),
	    TEST(deadline_follows_the_guests_tsc),
	    TEST(leaving_deadline_mode_disarms),
	    TEST(clock_conversions_fit_each_other),
	};

	return cmocka_run_group_tests_name("lapic", tests, NULL, NULL);
}
