/* SPDX-License-Identifier: MIT */
/*
 * APIC virtualization: what is chosen of it, and a local APIC whose interrupts
 * a CPU delivers, as the manual writes that CPU down (SDM vol. 3, "APIC
 * Virtualization and Virtual Interrupts"), beside one that Umbra works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/vmx/apicv.h"
#include "arch/x86/vmx/msr_bitmap.h"
#include "devices/lapic.h"
#include "lib/x86.h"
#include "tests/unit/support.h"

/* --- What is chosen ------------------------------------------------------- */

#define PIN_PLAIN 0x3fu
#define CR8_EXITS (PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE)
#define DELIVERY  (SECONDARY_APIC_REGISTERS | SECONDARY_INTERRUPT_DELIVERY)
#define ALL_OF_IT (SECONDARY_APIC_ACCESSES | SECONDARY_X2APIC_MODE | DELIVERY)

static struct control_capability cpu[CONTROLS_COUNT];

/* may_be_1 of what matters; everything else is allowed. */
static void make_cpu(u64 pin, u64 primary, u64 secondary)
{
	for (u32 i = 0; i < CONTROLS_COUNT; i++)
		cpu[i] = control_capability(BITS(63, 32));
	cpu[CONTROLS_PIN].may_be_1 &= ~(u32)PIN_POSTED_INTERRUPTS | (u32)pin;
	cpu[CONTROLS_PRIMARY].may_be_1 &=
	    ~(u32)PRIMARY_TPR_SHADOW | (u32)primary;
	cpu[CONTROLS_SECONDARY].may_be_1 &= ~(u32)ALL_OF_IT | (u32)secondary;
}

static void nothing_is_used_without_the_tpr_shadow(void **state)
{
	struct apicv a;

	(void)state;
	make_cpu(PIN_POSTED_INTERRUPTS, 0, ALL_OF_IT);
	a = apicv_choose(cpu, APICV_ALL);
	assert_false(a.tpr_shadow || a.accesses || a.x2apic || a.delivery ||
		     a.posted);
	assert_int_equal(apicv_pin(&a, PIN_PLAIN), PIN_PLAIN);
	assert_int_equal(apicv_primary(&a, (u32)CR8_EXITS), CR8_EXITS);
	for (u32 mode = APICV_ELSEWHERE; mode <= APICV_X2APIC; mode++)
		assert_int_equal(
		    apicv_secondary(&a, (enum apicv_mode)mode, 0x82), 0x82);
}

static void delivery_can_be_left_out(void **state)
{
	struct apicv a;

	(void)state;
	make_cpu(PIN_POSTED_INTERRUPTS, PRIMARY_TPR_SHADOW, ALL_OF_IT);
	a = apicv_choose(cpu, APICV_NO_DELIVERY);
	assert_true(a.tpr_shadow && a.accesses && a.x2apic);
	assert_false(a.delivery || a.posted);
	assert_int_equal(apicv_secondary(&a, APICV_XAPIC, 0) & DELIVERY, 0);
}

static void off_is_off(void **state)
{
	struct apicv a;

	(void)state;
	make_cpu(PIN_POSTED_INTERRUPTS, PRIMARY_TPR_SHADOW, ALL_OF_IT);
	a = apicv_choose(cpu, APICV_OFF);
	assert_false(a.tpr_shadow || a.accesses || a.x2apic || a.delivery ||
		     a.posted);
}

/* A VM entry fails if any of these does not hold (SDM vol. 3, "VM-Execution
 * Control Fields"). */
static void controls_depend_on_each_other_as_entries_check(void **state)
{
	static const u64 parts[] = {
	    SECONDARY_APIC_ACCESSES, SECONDARY_X2APIC_MODE,
	    SECONDARY_APIC_REGISTERS, SECONDARY_INTERRUPT_DELIVERY};

	(void)state;
	for (u32 i = 0; i < 1U << 6; i++) {
		u64 secondary = 0;

		for (u32 j = 0; j < ARRAY_COUNT(parts); j++)
			if (i >> j & 1)
				secondary |= parts[j];
		make_cpu(i & 16 ? PIN_POSTED_INTERRUPTS : 0,
			 i & 32 ? PRIMARY_TPR_SHADOW : 0, secondary);
		for (u32 mode = APICV_ELSEWHERE; mode <= APICV_X2APIC; mode++) {
			struct apicv a = apicv_choose(cpu, APICV_ALL);
			u32 words[3] = {
			    apicv_pin(&a, PIN_PLAIN),
			    apicv_primary(&a, (u32)CR8_EXITS),
			    apicv_secondary(&a, (enum apicv_mode)mode, 0),
			};

			assert_false(words[0] & ~cpu[CONTROLS_PIN].may_be_1);
			assert_false(words[1] &
				     ~cpu[CONTROLS_PRIMARY].may_be_1);
			assert_false(words[2] &
				     ~cpu[CONTROLS_SECONDARY].may_be_1);
			if (!(words[1] & PRIMARY_TPR_SHADOW)) {
				assert_int_equal(words[2], 0);
				assert_int_equal(words[1], CR8_EXITS);
			}
			assert_false((words[2] & SECONDARY_APIC_ACCESSES) &&
				     (words[2] & SECONDARY_X2APIC_MODE));
			assert_true(!(words[0] & PIN_POSTED_INTERRUPTS) ||
				    (words[2] & SECONDARY_INTERRUPT_DELIVERY));
		}
	}
}

static void mode_follows_the_base(void **state)
{
	(void)state;
	assert_int_equal(apicv_mode(0xfee00900), APICV_XAPIC);
	assert_int_equal(apicv_mode(0xfee00800), APICV_XAPIC);
	assert_int_equal(apicv_mode(0xfee00d00), APICV_X2APIC);
	assert_int_equal(apicv_mode(0xfee01d00), APICV_X2APIC);
	assert_int_equal(apicv_mode(0xfee00100), APICV_ELSEWHERE);
	assert_int_equal(apicv_mode(0xfee01900), APICV_ELSEWHERE);
	assert_int_equal(apicv_mode(0x1fee00900), APICV_ELSEWHERE);
}

static bool exits(const u8 *bitmap, u32 msr, u32 half)
{
	return bitmap[half + msr / 8] >> (msr % 8) & 1;
}

/* What is not read from the page, and not the CPU's to do, has to exit. */
static void msrs_pass_that_the_cpu_does_itself(void **state)
{
	static u8 bitmap[PAGE_4K], before[PAGE_4K];
	struct apicv a;

	(void)state;
	make_cpu(0, PRIMARY_TPR_SHADOW, ALL_OF_IT);
	a = apicv_choose(cpu, APICV_ALL);
	msr_bitmap_init(bitmap);
	memcpy(before, bitmap, sizeof(before));
	apicv_set_msr_bitmap(&a, APICV_X2APIC, bitmap);
	for (u32 msr = 0x800; msr < 0x900; msr++) {
		bool reads = msr == 0x802 || msr == 0x803 || msr == 0x808 ||
			     msr == 0x80a || msr == 0x80d ||
			     (msr >= 0x80f && msr <= 0x828) || msr == 0x830 ||
			     (msr >= 0x832 && msr <= 0x838) || msr == 0x83e;
		bool writes = msr == 0x808 || msr == 0x80b || msr == 0x83f;

		assert_int_equal(exits(bitmap, msr, 0), !reads);
		assert_int_equal(exits(bitmap, msr, 2048), !writes);
	}
	apicv_set_msr_bitmap(&a, APICV_XAPIC, bitmap);
	assert_memory_equal(bitmap, before, sizeof(before));
	/* Without delivery the CPU has the TPR only. */
	make_cpu(0, PRIMARY_TPR_SHADOW, SECONDARY_X2APIC_MODE);
	a = apicv_choose(cpu, APICV_ALL);
	apicv_set_msr_bitmap(&a, APICV_X2APIC, bitmap);
	for (u32 msr = 0x800; msr < 0x900; msr++) {
		assert_int_equal(exits(bitmap, msr, 0), msr != 0x808);
		assert_int_equal(exits(bitmap, msr, 2048), msr != 0x808);
	}
}

static void accesses_are_told_apart(void **state)
{
	(void)state;
	assert_int_equal(apicv_access(0x0080), APICV_ACCESS_DATA);
	assert_int_equal(apicv_access(0x1080), APICV_ACCESS_DATA);
	assert_int_equal(apicv_access(0x2000), APICV_ACCESS_FETCH);
	assert_int_equal(apicv_access(0x3ff8), APICV_ACCESS_DELIVERY);
	assert_int_equal(apicv_access(0xa000), APICV_ACCESS_DELIVERY);
	assert_int_equal(apicv_access(0xf000), APICV_ACCESS_PHYSICAL);
}

/* --- A CPU with virtual-interrupt delivery ---------------------------------
 */

#define TIMER_HZ      1000000000ULL
#define TSC_HZ        2000000000ULL
#define LEVEL_VECTORS 0xa0 /* from here on: what an I/O APIC sends */
#define NO_VECTOR     (-1)
#define STEPS         4000

/* Two APICs that are told the same: Umbra's own work, and the CPU's. */
static struct lapic ours, cpus;
static struct {
	u8 rvi, svi;
	u64 eoi_exits[4];
} virtual_cpu;

static u32 *page_word(u32 base, u32 vector)
{
	return &cpus.page[(base + vector / 32 * 16) / 4];
}

static bool page_bit(u32 base, u32 vector)
{
	return *page_word(base, vector) >> vector % 32 & 1;
}

static u8 highest_in(u32 base)
{
	for (u32 vector = 255; vector; vector--)
		if (page_bit(base, vector))
			return (u8)vector;
	return 0;
}

static u32 virtual_ppr(void)
{
	u32 tpr = cpus.page[LAPIC_TPR / 4] & 0xff;

	return tpr >> 4 >= virtual_cpu.svi >> 4 ? tpr : virtual_cpu.svi & 0xf0U;
}

/* "Evaluation of Pending Virtual Interrupts" and "Virtual-Interrupt Delivery".
 */
static int virtual_delivery(void)
{
	u8 vector = virtual_cpu.rvi;

	if (vector >> 4 <= virtual_ppr() >> 4)
		return NO_VECTOR;
	*page_word(LAPIC_ISR, vector) |= 1U << vector % 32;
	virtual_cpu.svi = vector;
	*page_word(LAPIC_IRR, vector) &= ~(1U << vector % 32);
	virtual_cpu.rvi = highest_in(LAPIC_IRR);
	return vector;
}

/* "EOI Virtualization". */
static struct lapic_outcome virtual_eoi(void)
{
	u8 vector = virtual_cpu.svi;
	struct lapic_outcome nothing = {.effect = LAPIC_EFFECT_NONE};

	*page_word(LAPIC_ISR, vector) &= ~(1U << vector % 32);
	virtual_cpu.svi = highest_in(LAPIC_ISR);
	if (virtual_cpu.eoi_exits[vector / 64] >> vector % 64 & 1)
		return lapic_on_virtual_eoi(&cpus, vector);
	return nothing;
}

/* "Self-IPI Virtualization". */
static void virtual_self_ipi(u8 vector)
{
	*page_word(LAPIC_IRR, vector) |= 1U << vector % 32;
	if (vector > virtual_cpu.rvi)
		virtual_cpu.rvi = vector;
}

static void enter(void)
{
	u16 status;

	if (!lapic_is_news(&cpus))
		return;
	status = lapic_interrupt_status(&cpus, virtual_cpu.eoi_exits);
	virtual_cpu.rvi = (u8)status;
	virtual_cpu.svi = (u8)(status >> 8);
}

static void make_both(void)
{
	const struct lapic_config config = {
	    .timer_hz = TIMER_HZ,
	    .tsc_hz = TSC_HZ,
	    .apic_id = 1,
	    .phys_bits = 40,
	};
	struct lapic *both[] = {&ours, &cpus};

	for (u32 i = 0; i < ARRAY_COUNT(both); i++) {
		lapic_reset(both[i], &config, LAPIC_IS_AP);
		assert_int_equal(
		    lapic_mmio_write(both[i], LAPIC_SVR, 0x1ff, 0).effect,
		    LAPIC_EFFECT_NONE);
	}
	lapic_delivered_by(&cpus, LAPIC_BY_CPU);
	memset(&virtual_cpu, 0, sizeof(virtual_cpu));
	enter();
}

/* The APIC that the CPU works is what moves to a peer, and comes back. */
static void move(void)
{
	struct lapic_state one, other;

	lapic_save(&ours, &one, 0);
	lapic_save(&cpus, &other, 0);
	assert_memory_equal(&one, &other, sizeof(one));
	make_both();
	assert_int_equal(lapic_restore(&ours, &one, 0), OK);
	assert_int_equal(lapic_restore(&cpus, &other, 0), OK);
	enter();
}

static void take(void)
{
	int vector = NO_VECTOR;

	lapic_sync(&ours);
	vector = lapic_pending_vector(&ours);
	if (vector != LAPIC_NO_VECTOR)
		lapic_accept(&ours, (u8)vector);
	assert_int_equal(virtual_delivery(), vector);
}

/* As while L2 runs: Umbra delivers from the same page. */
static void take_by_software(void)
{
	int vector, other;

	lapic_sync(&ours);
	lapic_sync(&cpus);
	vector = lapic_pending_vector(&ours);
	other = lapic_pending_vector(&cpus);
	assert_int_equal(vector, other);
	if (vector == LAPIC_NO_VECTOR)
		return;
	lapic_accept(&ours, (u8)vector);
	lapic_accept(&cpus, (u8)vector);
	assert_int_equal(lapic_is_news(&cpus), cpus.by_cpu);
}

static void end(bool by_software)
{
	struct lapic_outcome one = lapic_mmio_write(&ours, LAPIC_EOI, 0, 0);
	struct lapic_outcome other =
	    by_software ? lapic_mmio_write(&cpus, LAPIC_EOI, 0, 0)
			: virtual_eoi();

	assert_int_equal(one.effect, other.effect);
	if (one.effect == LAPIC_EFFECT_EOI)
		assert_int_equal(one.vector, other.vector);
}

static void set_tpr(u32 tpr)
{
	assert_int_equal(lapic_mmio_write(&ours, LAPIC_TPR, tpr, 0).effect,
			 LAPIC_EFFECT_NONE);
	cpus.page[LAPIC_TPR / 4] = tpr; /* "TPR Virtualization" */
}

static void post_both(u8 vector)
{
	enum lapic_trigger trigger = vector >= LEVEL_VECTORS
					 ? LAPIC_LEVEL_TRIGGERED
					 : LAPIC_EDGE_TRIGGERED;
	enum lapic_kick kick = lapic_post(&ours, LAPIC_FIXED, vector, trigger);

	assert_int_equal(lapic_post(&cpus, LAPIC_FIXED, vector, trigger), kick);
}

static void send_self(u8 vector)
{
	lapic_post(&ours, LAPIC_FIXED, vector, LAPIC_EDGE_TRIGGERED);
	virtual_self_ipi(vector);
}

static void step(struct random *random)
{
	u8 vector = (u8)(16 + random_below(random, 240));

	switch (random_below(random, 12)) {
	case 0 ... 2:
		post_both(vector);
		break;
	case 3:
		send_self((u8)(16 + vector % (LEVEL_VECTORS - 16)));
		break;
	case 4:
		set_tpr((u32)random_below(random, 2)
			    ? (u32)random_below(random, 256)
			    : 0);
		break;
	case 5 ... 7:
		enter();
		take();
		break;
	case 8 ... 9:
		enter();
		end(false);
		break;
	case 10:
		/* As while writes are tracked. */
		if (random_below(random, 4) == 0) {
			lapic_delivered_by(&cpus, LAPIC_BY_SOFTWARE);
			take_by_software();
			end(true);
			lapic_delivered_by(&cpus, LAPIC_BY_CPU);
		}
		take_by_software();
		if (random_below(random, 2))
			end(true);
		break;
	default:
		if (random_below(random, 10) == 0)
			move();
		break;
	}
	assert_int_equal(lapic_mmio_read(&ours, LAPIC_PPR, 0),
			 lapic_mmio_read(&cpus, LAPIC_PPR, 0));
}

static void both_ways_of_seed(u64 seed)
{
	struct random random = random_from(seed);

	make_both();
	for (u32 i = 0; i < STEPS; i++) {
		step(&random);
		enter();
		assert_int_equal(virtual_cpu.svi, highest_in(LAPIC_ISR));
		assert_int_equal(virtual_cpu.rvi, highest_in(LAPIC_IRR));
	}
	move();
}

static void cpu_delivers_what_umbra_would(void **state)
{
	(void)state;
	for_seeds(20, both_ways_of_seed);
}

/* Hardware moves the descriptor's vectors into IRR and clears ON, without a
 * word; whatever is level-triggered must not be among them. */
static void posted_processing_leaves_level_to_software(void **state)
{
	(void)state;
	make_both();
	assert_int_equal(
	    lapic_post(&cpus, LAPIC_FIXED, 0x51, LAPIC_EDGE_TRIGGERED),
	    LAPIC_KICK_NOTIFY);
	assert_int_equal(
	    lapic_post(&cpus, LAPIC_FIXED, 0xa1, LAPIC_LEVEL_TRIGGERED),
	    LAPIC_KICK_NEEDED);
	assert_int_equal(
	    lapic_post(&cpus, LAPIC_FIXED, 0xa2, LAPIC_LEVEL_TRIGGERED),
	    LAPIC_KICK_NOT_NEEDED);
	assert_int_equal(cpus.posted.vectors[1], BIT(0x51 - 64));
	assert_int_equal(cpus.posted.vectors[2], 0);
	/* "Posted-Interrupt Processing". */
	cpus.posted.control &= ~LAPIC_POSTED_ON;
	cpus.posted.vectors[1] = 0;
	virtual_self_ipi(0x51);
	assert_true(lapic_is_news(&cpus));
	enter();
	assert_int_equal(virtual_cpu.rvi, 0xa2);
	assert_int_equal(virtual_cpu.eoi_exits[2], 3ULL << (0xa1 - 128));
	assert_int_equal(virtual_cpu.eoi_exits[1], 0);
	assert_int_equal(virtual_delivery(), 0xa2);
	assert_int_equal(virtual_eoi().effect, LAPIC_EFFECT_EOI);
	assert_int_equal(virtual_delivery(), 0xa1);
	assert_int_equal(virtual_eoi().effect, LAPIC_EFFECT_EOI);
	assert_int_equal(virtual_delivery(), 0x51);
	assert_int_equal(virtual_eoi().effect, LAPIC_EFFECT_NONE);
}

/* The descriptor has the manual's layout: vectors, then ON in bit 256. */
static void descriptor_is_the_manuals(void **state)
{
	const u8 *bytes = (const u8 *)&cpus.posted;

	(void)state;
	make_both();
	assert_int_equal((uintptr_t)bytes % 64, 0);
	lapic_post(&cpus, LAPIC_FIXED, 0x9d, LAPIC_EDGE_TRIGGERED);
	for (u32 i = 0; i < 64; i++)
		assert_int_equal(bytes[i], i == 0x9d / 8  ? 1 << 0x9d % 8
					   : i == 256 / 8 ? 1
							  : 0);
}

/* --- Registers that the guest writes into the page -------------------------
 */

/* As "APIC-Write Emulation" leaves it when it exits. */
static void write_page(u32 offset, u32 value, u64 now_ns)
{
	cpus.page[offset / 4] = value;
	assert_int_equal(lapic_written(&cpus, offset, now_ns).effect,
			 LAPIC_EFFECT_NONE);
}

static void written_registers_become_what_mmio_makes_of_them(void **state)
{
	static const u16 offsets[] = {
	    LAPIC_ID,
	    LAPIC_LDR,
	    LAPIC_DFR,
	    LAPIC_SVR,
	    LAPIC_ESR,
	    LAPIC_ICR_HIGH,
	    LAPIC_LVT_TIMER,
	    LAPIC_LVT_THERMAL,
	    LAPIC_LVT_PERFORMANCE,
	    LAPIC_LVT_LINT0,
	    LAPIC_LVT_LINT1,
	    LAPIC_LVT_ERROR,
	    LAPIC_TIMER_INITIAL,
	    LAPIC_TIMER_DIVIDE,
	};
	struct random random = random_from(7);

	(void)state;
	make_both();
	for (u32 i = 0; i < STEPS; i++) {
		u32 offset =
		    offsets[random_below(&random, ARRAY_COUNT(offsets))];
		u32 value = (u32)random_next(&random);
		u64 now = i * 1000ULL;
		struct lapic_state one, other;

		assert_int_equal(
		    lapic_mmio_write(&ours, offset, value, now).effect,
		    LAPIC_EFFECT_NONE);
		write_page(offset, value, now);
		assert_int_equal(ours.timer_due_ns, cpus.timer_due_ns);
		lapic_save(&ours, &one, now);
		lapic_save(&cpus, &other, now);
		assert_memory_equal(&one, &other, sizeof(one));
		for (u32 at = 0; at < 0x400; at += 16)
			assert_int_equal(lapic_mmio_read(&ours, at, now),
					 lapic_mmio_read(&cpus, at, now));
	}
}

static void written_command_is_sent(void **state)
{
	struct lapic_outcome outcome;

	(void)state;
	make_both();
	write_page(LAPIC_ICR_HIGH, 3U << 24, 0);
	cpus.page[LAPIC_ICR / 4] = 0x4041;
	outcome = lapic_written(&cpus, LAPIC_ICR, 0);
	assert_int_equal(outcome.effect, LAPIC_EFFECT_IPI);
	assert_int_equal(outcome.icr, 3ULL << 32 | 0x4041);
}

/* The CPU sends a self-IPI itself unless the vector does not exist. */
static void written_self_ipi_of_a_bad_vector_is_an_error(void **state)
{
	(void)state;
	make_both();
	assert_int_equal(lapic_msr_write(&cpus, MSR_IA32_APIC_BASE,
					 cpus.base | APIC_BASE_X2APIC, 0)
			     .effect,
			 LAPIC_EFFECT_NONE);
	assert_true(lapic_is_news(&cpus));
	cpus.page[LAPIC_SELF_IPI / 4] = 5;
	assert_int_equal(lapic_written(&cpus, LAPIC_SELF_IPI, 0).effect,
			 LAPIC_EFFECT_NONE);
	assert_int_equal(cpus.errors, BIT(5));
}

static void written_offsets_stay_in_the_page(void **state)
{
	(void)state;
	make_both();
	for (u32 offset = 0; offset < 0x10000; offset += 0x11)
		(void)lapic_written(&cpus, offset, 0).effect;
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(nothing_is_used_without_the_tpr_shadow),
	    TEST(delivery_can_be_left_out),
	    TEST(off_is_off),
	    TEST(controls_depend_on_each_other_as_entries_check),
	    TEST(mode_follows_the_base),
	    TEST(msrs_pass_that_the_cpu_does_itself),
	    TEST(accesses_are_told_apart),
	    TEST(cpu_delivers_what_umbra_would),
	    TEST(posted_processing_leaves_level_to_software),
	    TEST(descriptor_is_the_manuals),
	    TEST(written_registers_become_what_mmio_makes_of_them),
	    TEST(written_command_is_sent),
	    TEST(written_self_ipi_of_a_bad_vector_is_an_error),
	    TEST(written_offsets_stay_in_the_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
