/* SPDX-License-Identifier: MIT */
/* The platform: who answers to what, and where interrupt messages go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/platform_parts.h"
#include "tests/unit/fake_host.h"

#define COM1    0x3f8
#define X2APIC  0xfee00d00
#define MSR_SVR 0x80f
#define MSR_ICR 0x830
#define MSR_TPR 0x808

static int fresh(void **state)
{
	(void)state;
	now_ns = 0;
	return fake_platform() == OK ? 0 : -1;
}

static void wrmsr(u32 vcpu, u32 msr, u64 value)
{
	assert_int_equal(
	    platform_msr_write(&platform, vcpu, msr, value, now_ns),
	    PLATFORM_MSR_DONE);
}

static void all_in_x2apic_mode(void)
{
	for (u32 i = 0; i < FAKE_VCPU_COUNT; i++) {
		wrmsr(i, MSR_IA32_APIC_BASE, i ? X2APIC - 0x100 : X2APIC);
		wrmsr(i, MSR_SVR, 0x1ff);
	}
}

/* Which vCPUs have this vector pending; takes and ends it. */
static u32 reached(u8 vector)
{
	u32 set = 0;

	for (u32 i = 0; i < FAKE_VCPU_COUNT; i++) {
		int taken = take_interrupt(i);

		if (taken == -1)
			continue;
		assert_int_equal(taken, vector);
		assert_int_equal(take_interrupt(i), -1);
		wrmsr(i, 0x80b, 0);
		set |= 1U << i;
	}
	return set;
}

/* --- Setting up ----------------------------------------------------------- */

static void configuration_out_of_range_is_refused(void **state)
{
	struct platform_config config = fake_config;

	(void)state;
	config.vcpu_count = 0;
	assert_int_equal(platform_init(&platform, &config), ERR_RANGE);
	config.vcpu_count = 65;
	assert_int_equal(platform_init(&platform, &config), ERR_RANGE);
	config = fake_config;
	config.phys_bits = 53;
	assert_int_equal(platform_init(&platform, &config), ERR_RANGE);
	config = fake_config;
	config.tsc_hz = 0;
	assert_int_equal(platform_init(&platform, &config), ERR_RANGE);
	config = fake_config;
	config.apic_timer_hz = CLOCK_HZ_MAX + 1;
	assert_int_equal(platform_init(&platform, &config), ERR_RANGE);
	config = fake_config;
	config.ram_low_bytes = PLATFORM_RAM_LOW_MAX + 1;
	assert_int_equal(platform_init(&platform, &config), ERR_RANGE);
	assert_int_equal(platform_add_vcpu(&platform, &lapics[4]), ERR_RANGE);
}

static void boot_processor_has_the_virtual_wire(void **state)
{
	(void)state;
	assert_true(lapic_accepts_extint(&lapics[0]));
	assert_false(lapic_accepts_extint(&lapics[1]));
	assert_int_equal(lapics[0].base & APIC_BASE_BSP, APIC_BASE_BSP);
	assert_int_equal(lapics[1].base & APIC_BASE_BSP, 0);
}

/* --- Ports ---------------------------------------------------------------- */

static void unclaimed_ports_read_ones(void **state)
{
	(void)state;
	assert_int_equal(in(0x1234, 1), 0xff);
	assert_int_equal(in(0x1234, 2), 0xffff);
	assert_int_equal(in(0x1234, 4), 0xffffffff);
	out(0x1234, 4, 0);
	assert_true(platform.unclaimed_count > 0);
}

static void wide_access_is_cut_into_bytes(void **state)
{
	(void)state;
	out(COM1 + 7, 1, 0x5a);
	out(COM1 + 3, 2, 0x0803); /* LCR and MCR */
	assert_int_equal(in(COM1 + 3, 2), 0x0803);
	assert_int_equal(in(COM1 + 7, 2), 0xff5a);   /* 0x400 is nobody's */
	assert_int_equal(in(0xffff, 4), 0xffffffff); /* ports wrap */
}

static void com1_prints_and_reads(void **state)
{
	(void)state;
	out(COM1, 1, 'h');
	out(COM1, 1, 'i');
	assert_int_equal(fake.console_count[PLATFORM_COM1], 2);
	assert_memory_equal(fake.console[PLATFORM_COM1], "hi", 2);
	assert_int_equal(platform_console_input(&platform, PLATFORM_COM1,
						(const u8 *)"ab", 2, 0),
			 1);
	assert_int_equal(in(COM1, 1), 'a');
}

static void port_f4_ends_the_run_with_its_value(void **state)
{
	(void)state;
	out(0xf4, 4, 0x12345);
	assert_int_equal(fake.end_count, 1);
	assert_int_equal(fake.end, PLATFORM_EXIT_CODE);
	assert_int_equal(fake.end_value, 0x12345);
	out(0xf4, 1, 0x17f);
	assert_int_equal(fake.end_value, 0x7f);
}

static void port_80_is_there(void **state)
{
	(void)state;
	out(0x80, 1, 0x11);
	assert_int_equal(in(0x80, 1), 0xff);
	assert_int_equal(platform.unclaimed_count, 0);
}

/* --- MSRs and MMIO -------------------------------------------------------- */

static void foreign_msrs_are_absent(void **state)
{
	u64 value;

	(void)state;
	assert_int_equal(platform_msr_read(&platform, 0, 0x10, &value, 0),
			 PLATFORM_MSR_ABSENT);
	assert_int_equal(platform_msr_write(&platform, 0, 0x900, 0, 0),
			 PLATFORM_MSR_ABSENT);
	assert_int_equal(platform_msr_read(&platform, 0, 0x802, &value, 0),
			 PLATFORM_MSR_FAULT);
	assert_int_equal(platform_msr_write(&platform, 0, 0x1b, 1, 0),
			 PLATFORM_MSR_FAULT);
}

static void lapic_answers_four_bytes_at_sixteen(void **state)
{
	(void)state;
	mmio_write(0xfee00080, 4, 0x35);
	assert_int_equal(mmio_read(0xfee00080, 4), 0x35);
	assert_int_equal(mmio_read(0xfee00080, 8), 0x35);
	assert_int_equal(mmio_read(0xfee00030, 1), 0x14);
	assert_int_equal(mmio_read(0xfee00032, 2), 0x0105);
	assert_int_equal(mmio_read(0xfee00084, 4), 0);
	mmio_write(0xfee00080, 1, 0x99);
	mmio_write(0xfee00084, 4, 0x99);
	assert_int_equal(mmio_read(0xfee00080, 4), 0x35);
}

static void absent_memory_reads_ones(void **state)
{
	const struct platform_access access = {0, 2, 0};
	u64 value = 0;

	(void)state;
	assert_int_equal(
	    platform_mmio_read(&platform, &access, gpa(0xf0000000), &value),
	    PLATFORM_MMIO_ABSENT);
	assert_int_equal(value, 0xffff);
	assert_int_equal(
	    platform_mmio_write(&platform, &access, gpa(0xf0000000), 1),
	    PLATFORM_MMIO_ABSENT);
}

/* --- Interrupt messages --------------------------------------------------- */

static void ipi_reaches_its_destination(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	wrmsr(0, MSR_ICR, 2ULL << 32 | 0x4041);
	assert_int_equal(reached(0x41), 1 << 2);
	assert_int_equal(fake.kicks[2], 1);
	assert_int_equal(fake.kicks[1], 0);
	wrmsr(0, MSR_ICR, 0xbULL << 32 | 0x4841); /* logical 0, 1 and 3 */
	assert_int_equal(reached(0x41), 0xb);
	wrmsr(0, MSR_ICR, 0xffffffffULL << 32 | 0x4041);
	assert_int_equal(reached(0x41), 0xf);
	wrmsr(0, MSR_ICR, 77ULL << 32 | 0x4041); /* nobody */
	assert_int_equal(reached(0x41), 0);
}

static void shorthands_choose_the_set(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	wrmsr(1, MSR_ICR, 0x44041);
	assert_int_equal(reached(0x41), 1 << 1);
	wrmsr(1, MSR_ICR, 0x84041);
	assert_int_equal(reached(0x41), 0xf);
	wrmsr(1, MSR_ICR, 0xc4041);
	assert_int_equal(reached(0x41), 0xd);
}

static void events_go_to_others_only(void **state)
{
	u8 vector = 0;

	(void)state;
	all_in_x2apic_mode();
	wrmsr(0, MSR_ICR, 0xc4500);
	wrmsr(0, MSR_ICR, 0xc4699);
	wrmsr(0, MSR_ICR, 0x44400); /* NMI to oneself: no such thing */
	assert_int_equal(lapic_events(&lapics[0]), 0);
	for (u32 i = 1; i < FAKE_VCPU_COUNT; i++) {
		assert_true(lapic_take_init(&lapics[i]));
		assert_true(lapic_take_sipi(&lapics[i], &vector));
		assert_int_equal(vector, 0x99);
	}
}

static void xapic_broadcast_reaches_apics_of_both_modes(void **state)
{
	(void)state;
	wrmsr(1, MSR_IA32_APIC_BASE, X2APIC - 0x100);
	wrmsr(1, MSR_SVR, 0x1ff);
	mmio_write(0xfee00310, 4, 0xff000000);
	mmio_write(0xfee00300, 4, 0x4052);
	assert_int_equal(take_interrupt(0), 0x52);
	assert_int_equal(take_interrupt(1), 0x52);
	assert_int_equal(take_interrupt(2), -1); /* software-disabled */
}

static void lowest_priority_goes_to_one_with_low_tpr(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	wrmsr(0, MSR_TPR, 0x30);
	wrmsr(1, MSR_TPR, 0x30);
	wrmsr(2, MSR_TPR, 0x20);
	wrmsr(3, MSR_TPR, 0x20);
	u32 seen = 0;

	for (u32 i = 0; i < 8; i++) {
		platform_msi(&platform, 0xfee0f00c, 0x0141);
		u32 set = reached(0x41);

		assert_true(set == 4 || set == 8);
		seen |= set;
	}
	assert_int_equal(seen, 0xc); /* equals take turns */
}

static void msi_is_decoded_as_in_the_manual(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	platform_msi(&platform, 0xfee03000, 0x0041);
	assert_int_equal(reached(0x41), 1 << 3);
	platform_msi(&platform, 0xfeeff000, 0x0041);
	assert_int_equal(reached(0x41), 0xf);
	platform_msi(&platform, 0xfee06004, 0x0041); /* logical 1 and 2 */
	assert_int_equal(reached(0x41), 0x6);
	platform_msi(&platform, 0xfee03000, 0x0400);
	assert_true(lapic_take_nmi(&lapics[3]));
	platform_msi(&platform, 0xfed03000, 0x0041); /* not the APIC range */
	platform_msi(&platform, 0x1fee03000, 0x0041);
	assert_int_equal(reached(0x41), 0);
	platform_msi(&platform, 0xfee03000, 0xc041); /* level */
	assert_int_equal(take_interrupt(3), 0x41);
	assert_int_equal(lapics[3].page[(LAPIC_TMR + 0x20) / 4], 2);
}

static void timer_interrupts_its_own_vcpu(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	wrmsr(2, 0x832, 0x40061); /* TSC deadline */
	wrmsr(2, MSR_IA32_TSC_DEADLINE, 5000);
	assert_int_equal(platform_next_event_ns(&platform, 2), 5000);
	platform_tick(&platform, 2, 4999);
	assert_int_equal(reached(0x61), 0);
	platform_tick(&platform, 2, 5000);
	assert_int_equal(reached(0x61), 1 << 2);
	assert_int_equal(platform_next_event_ns(&platform, 2), CLOCK_NEVER);
}

/* --- Interrupt lines ------------------------------------------------------ */

static void program_ioapic(u32 pin, u64 entry)
{
	mmio_write(0xfec00000, 1, 0x11 + pin * 2);
	mmio_write(0xfec00010, 4, entry >> 32);
	mmio_write(0xfec00000, 1, 0x10 + pin * 2);
	mmio_write(0xfec00010, 4, entry & 0xffffffff);
}

static void init_pic(void)
{
	out(0x20, 1, 0x11);
	out(0x21, 1, 0x30);
	out(0x21, 1, 0x04);
	out(0x21, 1, 0x01);
	out(0xa0, 1, 0x11);
	out(0xa1, 1, 0x38);
	out(0xa1, 1, 0x02);
	out(0xa1, 1, 0x01);
}

static void pit_ticks_through_ioapic_pin_2(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	program_ioapic(2, 0x0100000000000031);
	out(0x43, 1, 0x34);
	out(0x40, 1, 0xa9);
	out(0x40, 1, 0x04);
	for (u32 i = 1; i <= 3; i++) {
		now_ns = clock_ns(1193 * i, 1193182);
		assert_int_equal(platform_next_event_ns(&platform, 0), now_ns);
		assert_int_equal(platform_next_event_ns(&platform, 1),
				 CLOCK_NEVER);
		platform_tick(&platform, 0, now_ns);
		assert_int_equal(reached(0x31), 2);
	}
}

static void write_to_the_pit_comes_after_an_edge_that_is_due(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	program_ioapic(2, 0x40);
	out(0x43, 1, 0x30); /* channel 0, two bytes, mode 0 */
	out(0x40, 1, 100);
	out(0x40, 1, 0);
	now_ns += 100000; /* 119 ticks */
	assert_int_equal(take_interrupt(0), -1);
	out(0x40, 1, 100); /* the next one, before anybody has looked */
	assert_int_equal(take_interrupt(0), 0x40);
	out(0x40, 1, 0);
	wrmsr(0, 0x80b, 0);
	platform_tick(&platform, 0, now_ns);
	assert_int_equal(take_interrupt(0), -1);
	now_ns += 100000;
	platform_tick(&platform, 0, now_ns);
	assert_int_equal(take_interrupt(0), 0x40);
}

static void pit_ticks_through_pic_and_virtual_wire(void **state)
{
	(void)state;
	init_pic();
	now_ns = clock_ns(65536, 1193182);
	platform_tick(&platform, 0, now_ns);
	assert_int_equal(platform_interrupt_pending(&platform, 0),
			 PLATFORM_INTERRUPT_EXTINT);
	assert_int_equal(platform_interrupt_pending(&platform, 1),
			 PLATFORM_INTERRUPT_NONE);
	assert_true(fake.kicks[0] > 0);
	assert_int_equal(take_interrupt(0), 0x30);
	assert_int_equal(take_interrupt(0), -1);
}

static void pic_reaches_a_cpu_whose_apic_is_off(void **state)
{
	(void)state;
	init_pic();
	wrmsr(0, MSR_IA32_APIC_BASE, 0xfee00100);
	now_ns = clock_ns(65536, 1193182);
	platform_tick(&platform, 0, now_ns);
	assert_int_equal(take_interrupt(0), 0x30);
}

static void pic_reaches_lint0_in_fixed_mode(void **state)
{
	(void)state;
	init_pic();
	mmio_write(0xfee00350, 4, 0x46);
	now_ns = clock_ns(65536, 1193182);
	platform_tick(&platform, 0, now_ns);
	assert_int_equal(take_interrupt(0), 0x46);
}

static void another_cpu_moving_a_timer_kicks_vcpu_0(void **state)
{
	const struct platform_access access = {2, 1, 0};
	u32 before = fake.kicks[0];

	(void)state;
	platform_port_write(&platform, &access, 0x43, 0x34);
	platform_port_write(&platform, &access, 0x40, 100);
	platform_port_write(&platform, &access, 0x40, 0);
	assert_int_equal(fake.kicks[0], before + 1);
	assert_int_equal(platform_next_event_ns(&platform, 0),
			 clock_ns(100, 1193182));
}

static void com1_interrupts_by_edge_and_level(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	program_ioapic(4, 0x34);
	out(COM1 + 4, 1, 0x08);
	out(COM1 + 1, 1, 0x01);
	assert_int_equal(platform_console_input(&platform, PLATFORM_COM1,
						(const u8 *)"x", 1, 0),
			 1);
	assert_int_equal(reached(0x34), 1);
	assert_int_equal(reached(0x34), 0);
	program_ioapic(4, 0x8034);
	assert_int_equal(take_interrupt(0), 0x34);
	wrmsr(0, 0x80b, 0); /* EOI: still asserted */
	assert_int_equal(take_interrupt(0), 0x34);
	in(COM1, 1);
	wrmsr(0, 0x80b, 0);
	assert_int_equal(take_interrupt(0), -1);
}

static void virtual_eoi_reaches_the_ioapic(void **state)
{
	u64 vectors[4];

	(void)state;
	all_in_x2apic_mode();
	program_ioapic(4, 0x8034);
	out(COM1 + 4, 1, 0x08);
	out(COM1 + 1, 1, 0x02);
	assert_int_equal(take_interrupt(0), 0x34);
	lapic_interrupt_status(&lapics[0], vectors);
	assert_int_equal(vectors[0], 1ULL << 0x34);
	lapics[0].page[(LAPIC_ISR + 0x10) / 4] = 0; /* as the CPU does */
	platform_virtual_eoi(&platform, 0, 0x34);
	assert_int_equal(take_interrupt(0), 0x34);
}

static void rtc_interrupts_through_line_8(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	program_ioapic(8, 0x38);
	out(0x70, 1, 0x0b);
	out(0x71, 1, 0x12);
	assert_int_equal(platform_next_event_ns(&platform, 0),
			 clock_ns(65536, 1193182)); /* the PIT comes first */
	platform_tick(&platform, 0, NS_PER_S);
	assert_int_equal(reached(0x38), 1);
	out(0x70, 1, 0x0c);
	assert_int_equal(in(0x71, 1) & 0x90, 0x90);
}

/* --- Console flow --------------------------------------------------------- */

static void guest_waits_for_a_full_console(void **state)
{
	(void)state;
	fake.console_full = 1;
	out(COM1, 1, 'a');
	assert_int_equal(in(COM1 + 5, 1), 0);
	fake.console_full = 0;
	platform_console_ready(&platform, 0);
	assert_int_equal(in(COM1 + 5, 1), 0x60);
	assert_int_equal(fake.console_count[PLATFORM_COM1], 1);
}

static void print(const char *text)
{
	for (; *text; text++)
		platform_com1_write(&platform, 0, (u8)*text);
}

static void expect_printed(const char *text)
{
	assert_int_equal(fake.console_count[PLATFORM_COM1], strlen(text));
	assert_memory_equal(fake.console[PLATFORM_COM1], text, strlen(text));
}

static void printed_bytes_go_to_the_host_together(void **state)
{
	(void)state;
	print("0123456789abcde");
	expect_printed("");
	assert_int_equal(platform_com1_read(&platform, 5), 0x60);
	print("f");
	expect_printed("0123456789abcdef");
	print("gh");
	expect_printed("0123456789abcdef");
	platform_hand_over(&platform);
	expect_printed("0123456789abcdefgh");
	print("i");
	out(COM1, 1, 'j'); /* part of a string */
	expect_printed("0123456789abcdefghij");
}

static void printed_bytes_come_before_what_follows(void **state)
{
	(void)state;
	print("a");
	out(0xf4, 1, 0);
	assert_int_equal(fake.printed_at_end, 1);
	print("b");
	out(0xcf9, 1, 6);
	assert_int_equal(fake.printed_at_end, 2);
	print("c");
	platform_still(&platform, 0);
	expect_printed("abc");
}

/* Its state has been saved: a byte would be in no record, or in memory only. */
static void nothing_is_typed_into_a_machine_that_stands_still(void **state)
{
	static struct platform_devices before;
	const u8 *x = (const u8 *)"x";

	(void)state;
	platform_still(&platform, 5);
	before = platform.devices;
	for (u32 i = 0; i < PLATFORM_CONSOLE_COUNT; i++)
		assert_int_equal(
		    platform_console_input(&platform, (enum platform_console)i,
					   x, 1, 7),
		    0);
	assert_memory_equal(&before, &platform.devices, sizeof(before));
	platform_go_on(&platform);
	assert_int_equal(
	    platform_console_input(&platform, PLATFORM_COM1, x, 1, 7), 1);
	assert_int_equal(in(COM1, 1), 'x');
}

static void full_host_holds_up_what_was_collected(void **state)
{
	(void)state;
	fake.console_full = 1;
	platform_com1_write(&platform, 2, 1);
	print("0123456789abcdef");
	platform_hand_over(&platform);
	assert_int_equal(platform_com1_read(&platform, 5), 0x60);
	print("g");
	assert_int_equal(platform_com1_read(&platform, 5), 0);
	fake.console_full = 0;
	fake.console_takes = 5;
	platform_console_ready(&platform, 0);
	expect_printed("01234");
	assert_int_equal(platform_com1_read(&platform, 5), 0);
	fake.console_full = 1;
	print("h"); /* there is room before `g` now */
	fake.console_full = 0;
	for (u32 i = 0; i < 4; i++)
		platform_console_ready(&platform, 0);
	expect_printed("0123456789abcdefgh");
	assert_int_equal(platform_com1_read(&platform, 5), 0x60);
}

/* --- COM1 by its registers, and as any port -------------------------------- */

enum way { AS_ANY_PORT, BY_REGISTER };

static u32 next_random(u32 *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Its CPU may have been stopped with the lock in its hands. */
static void panic_prints_what_was_collected(void **state)
{
	(void)state;
	print("abcde");
	expect_printed("");
	spin_lock(&platform.lock);
	platform_print_in_panic(&platform);
	expect_printed("abcde");
	platform.batch_count = PLATFORM_COM1_BATCH + 1; /* all may be broken */
	platform_print_in_panic(&platform);
	expect_printed("abcde");
	spin_unlock(&platform.lock);
}

static u32 use_com1(enum way way, u32 *seed)
{
	u32 what = next_random(seed);
	u32 index = what % 8;
	u32 more = next_random(seed);
	u8 value = (u8)(more & more >> 8); /* few modes at a time */
	u8 byte = (u8)what;

	if (what % 32 == 31)
		return (u32)platform_console_input(&platform, PLATFORM_COM1,
						   &byte, 1, 0);
	if (what >> 7 & 1)
		return way == BY_REGISTER && index
			   ? platform_com1_read(&platform, index)
			   : in((u16)(COM1 + index), 1);
	if (way == BY_REGISTER)
		platform_com1_write(&platform, index, value);
	else
		out((u16)(COM1 + index), 1, value);
	return 0;
}

#define ACCESSES 20000

/* After each access: what was read, and what it has led to. */
struct outcome {
	u32 value;
	u32 interrupts;
	u32 lines;
	struct uart_state com1;
	struct pic_state pic;
};

static void run_com1(enum way way, struct outcome *outcomes)
{
	u32 seed = 1;

	assert_int_equal(fake_platform(), OK);
	all_in_x2apic_mode();
	program_ioapic(4, 0x34);
	for (u32 i = 0; i < ACCESSES; i++) {
		struct outcome *outcome = &outcomes[i];

		memset(outcome, 0, sizeof(*outcome));
		outcome->value = use_com1(way, &seed);
		outcome->interrupts = reached(0x34);
		outcome->lines = platform.devices.lines;
		outcome->com1 = platform.devices.com1;
		/* Empty always, but where it has been is no matter. */
		assert_int_equal(outcome->com1.transmitted.count, 0);
		outcome->com1.transmitted = (struct uart_fifo){0};
		outcome->pic = platform.devices.pic;
	}
	platform_hand_over(&platform);
}

static void com1_is_the_same_by_its_registers(void **state)
{
	static struct outcome outcomes[2][ACCESSES];
	static struct fake_host before;
	u32 interrupts = 0;

	(void)state;
	run_com1(AS_ANY_PORT, outcomes[0]);
	before = fake;
	run_com1(BY_REGISTER, outcomes[1]);
	for (u32 i = 0; i < ACCESSES; i++) {
		assert_memory_equal(&outcomes[0][i], &outcomes[1][i],
				    sizeof(outcomes[0][i]));
		interrupts += outcomes[0][i].interrupts;
	}
	assert_true(interrupts > 100);
	assert_true(before.console_count[PLATFORM_COM1] > 100);
	assert_int_equal(fake.console_count[PLATFORM_COM1],
			 before.console_count[PLATFORM_COM1]);
	assert_memory_equal(fake.console, before.console, sizeof(fake.console));
}

/* --- COM1's edges ---------------------------------------------------------- */

/* The same UART in slow motion, looked at before a byte has left. */
struct slow_uart {
	struct uart_state uart;
	bool level, rose;
};

static void watch(struct slow_uart *slow, const struct uart_state *uart)
{
	bool level = uart_interrupt(uart);

	slow->rose |= level && !slow->level;
	slow->level = level;
}

/* Says what was read, or 0. */
static u32 use_slowly(struct slow_uart *slow, bool is_read, u32 index, u8 value)
{
	u32 was_read = 0;
	u64 count;
	u8 bytes[UART_FIFO_BYTES];

	slow->rose = false;
	if (is_read)
		was_read = uart_read(&slow->uart, index);
	else
		uart_write(&slow->uart, index, value);
	if (is_read && index == 0)
		uart_was_read(&slow->uart, now_ns);
	watch(slow, &slow->uart);
	count = uart_output(&slow->uart, bytes);
	uart_output_taken(&slow->uart, count);
	watch(slow, &slow->uart);
	return was_read;
}

/* What a UART that takes its time tells by edges, this one does, too. */
static void com1_loses_no_edge(void **state)
{
	struct slow_uart slow = {0};
	u32 seed = 5, edges = 0;

	(void)state;
	all_in_x2apic_mode();
	program_ioapic(4, 0x34);
	uart_reset(&slow.uart);
	for (u32 i = 0; i < ACCESSES; i++) {
		u32 what = next_random(&seed);
		bool is_read = what >> 7 & 1;
		u32 index = what >> 8 & 1 ? what % 8 : 0;
		u8 value = (u8)(next_random(&seed) & what >> 10);
		u32 was_read;

		if (index ==
		    4) /* the gate is open mostly, and no loop closed */
			value = value % 8 ? 0x08 : 0;
		if (index == 3) /* few divisors */
			value &= value & 0x40 ? 0x83 : 0x03;
		if (what % 64 == 63) {
			slow.rose = false;
			(void)uart_receive(&slow.uart, (const u8 *)"123", 3);
			watch(&slow, &slow.uart);
			(void)platform_console_input(&platform, PLATFORM_COM1,
						     (const u8 *)"123", 3, 0);
		} else if (what % 64 == 62) {
			now_ns += 400000;
			slow.rose = false;
			uart_tick(&slow.uart, now_ns);
			watch(&slow, &slow.uart);
			platform_tick(&platform, 0, now_ns);
		} else {
			was_read = use_slowly(&slow, is_read, index, value);
			if (is_read && index == 0)
				assert_int_equal(in(COM1, 1), was_read);
			else if (is_read)
				assert_int_equal(
				    platform_com1_read(&platform, index),
				    was_read);
			else if (what >> 9 & 1)
				platform_com1_write(&platform, index, value);
			else
				out((u16)(COM1 + index), 1, value);
		}
		assert_int_equal(reached(0x34), slow.rose);
		edges += slow.rose;
	}
	assert_true(edges > 500);
}

/* A byte for each interrupt, without a look at IIR. */
static void send_by(enum way way, u8 byte)
{
	if (way == BY_REGISTER)
		platform_com1_write(&platform, 0, byte);
	else
		out(COM1, 1, byte);
}

static void bytes_are_sent_by_interrupts_alone(void **state)
{
	(void)state;
	init_pic();
	out(0x21, 1, 0xef);
	out(COM1 + 4, 1, 0x08);
	out(COM1 + 1, 1, 0x02);
	for (u32 i = 0; i < 40; i++) {
		assert_int_equal(take_interrupt(0), 0x34);
		out(0x20, 1, 0x20);
		assert_int_equal(take_interrupt(0), -1);
		send_by(i % 3 ? BY_REGISTER : AS_ANY_PORT, (u8)('a' + i));
	}
	fake.console_full = 1;
	for (u32 i = 0; i < PLATFORM_COM1_BATCH + 2; i++)
		send_by(BY_REGISTER, 'x');
	assert_int_equal(take_interrupt(0), 0x34);
	out(0x20, 1, 0x20);
	assert_int_equal(take_interrupt(0), -1);
	fake.console_full = 0;
	platform_console_ready(&platform, 0);
	assert_int_equal(take_interrupt(0), 0x34);
}

static void no_edge_while_another_cause_stands(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	program_ioapic(4, 0x34);
	out(COM1 + 4, 1, 0x08);
	out(COM1 + 1, 1, 0x03);
	assert_int_equal(reached(0x34), 1);
	(void)platform_console_input(&platform, PLATFORM_COM1, (const u8 *)"x",
				     1, 0);
	send_by(BY_REGISTER, 'a');
	assert_int_equal(reached(0x34), 0);
	in(COM1, 1);
	send_by(BY_REGISTER, 'b');
	assert_int_equal(reached(0x34), 1);
}

/* One CPU has accepted its interrupt, another's still waits. */
static void edge_goes_to_all_that_have_none_waiting(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	program_ioapic(4, 0xff00000000000034);
	out(COM1 + 4, 1, 0x08);
	out(COM1 + 1, 1, 0x02);
	assert_int_equal(take_interrupt(0), 0x34);
	wrmsr(0, 0x80b, 0);
	send_by(BY_REGISTER, 'a');
	assert_int_equal(reached(0x34), 0xf);
	send_by(BY_REGISTER, 'b');
	assert_int_equal(reached(0x34), 0xf);
}

static void pass(u64 ns)
{
	now_ns += ns;
	platform_tick(&platform, 0, now_ns);
}

/* A kernel that takes as many as the trigger level says hears of the rest. */
static void bytes_that_are_left_time_out_anew(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	program_ioapic(4, 0x34);
	out(COM1 + 2, 1, 0x41);
	out(COM1 + 4, 1, 0x08);
	out(COM1 + 1, 1, 0x01);
	(void)platform_console_input(&platform, PLATFORM_COM1,
				     (const u8 *)"abcdef", 6, 0);
	assert_int_equal(reached(0x34), 1);
	for (u32 i = 0; i < 4; i++)
		(void)in(COM1, 1);
	assert_int_equal(reached(0x34), 0);
	pass(300000);
	assert_int_equal(reached(0x34), 0);
	pass(50000);
	assert_int_equal(reached(0x34), 1);
	(void)in(COM1, 1);
	/* Where the guest is saved it has waited. */
	platform_still(&platform, now_ns);
	assert_int_equal(reached(0x34), 1);
	(void)in(COM1, 1);
	pass(400000);
	assert_int_equal(reached(0x34), 0);
}

/* One that empties the FIFO finds no interrupt for nothing behind it. */
static void burst_that_is_read_is_one_interrupt(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	program_ioapic(4, 0x34);
	out(COM1 + 2, 1, 0x81);
	out(COM1 + 4, 1, 0x08);
	out(COM1 + 1, 1, 0x01);
	for (u32 count = 1; count <= 10; count++) {
		(void)platform_console_input(&platform, PLATFORM_COM1,
					     (const u8 *)"abcdefghij", count,
					     0);
		assert_int_equal(take_interrupt(0), 0x34);
		while (in(COM1 + 5, 1) & 1) {
			(void)in(COM1, 1);
			pass(1000);
		}
		wrmsr(0, 0x80b, 0);
		pass(400000);
		assert_int_equal(take_interrupt(0), -1);
	}
}

/* --- What a port settles --------------------------------------------------- */

static void pass_time(u32 *seed)
{
	now_ns += next_random(seed) % 300000;
	for (u32 i = 0; i < FAKE_VCPU_COUNT; i++)
		platform_tick(&platform, i, now_ns);
	if (next_random(seed) % 4 == 0)
		(void)take_interrupt(0);
}

static void use_a_port(u32 *seed)
{
	static const u16 ports[] = {
	    0x20, 0x21, 0xa0,  0xa1,  0x4d0, 0x4d1, 0x40,  0x41,  0x43,  0x61,
	    0x60, 0x64, 0x70,  0x71,  0x92,  0xcf9, 0x3f8, 0x3f9, 0x3fa, 0x3fc,
	    0x80, 0xf4, 0x600, 0x602, 0x604, 0x608, 0xcf8, 0xcfc,
	};
	u16 port = ports[next_random(seed) % ARRAY_COUNT(ports)];
	u32 bytes = 1U << next_random(seed) % 8 / 3;
	u32 value = next_random(seed);

	if (bytes == 4)
		value |= value << 24;
	if (port == 0x71 && next_random(seed) % 2)
		out(0x70, 1, 0xb + next_random(seed) % 2);
	if (next_random(seed) % 2)
		out(port, bytes, value);
	else
		(void)in(port, bytes);
}

/* Looked at anew, no device has anything to say that is not known. */
static void ports_settle_all_that_they_change(void **state)
{
	static struct platform settled;
	u32 seed = 7, interrupts = 0;

	(void)state;
	all_in_x2apic_mode();
	program_ioapic(4, 0x34);
	program_ioapic(8, 0x38);
	init_pic();
	for (u32 i = 0; i < 5 * ACCESSES; i++) {
		if (next_random(&seed) % 8 == 0)
			pass_time(&seed);
		use_a_port(&seed);
		settled = platform;
		platform_settle(&settled);
		assert_memory_equal(&settled, &platform, sizeof(settled));
		interrupts += platform.pic_interrupt;
	}
	assert_true(interrupts > 1000);
}

/* --- Power ---------------------------------------------------------------- */

static void s5_powers_off(void **state)
{
	(void)state;
	assert_int_equal(in(0x604, 2), 1); /* always in ACPI mode */
	out(0x604, 2, 0x3400 & ~0x1400);   /* S0 is not a way to sleep */
	assert_int_equal(fake.end_count, 0);
	out(0x604, 2, 0x3400);
	assert_int_equal(fake.end_count, 1);
	assert_int_equal(fake.end, PLATFORM_POWER_OFF);
	out(0x605, 1, 0x34); /* the same in one byte */
	assert_int_equal(fake.end_count, 2);
}

static void power_button_raises_the_sci(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	program_ioapic(9, 0x8039);
	out(0x602, 2, 0x0100);
	platform_power_button(&platform, 0);
	assert_int_equal(take_interrupt(0), 0x39);
	assert_int_equal(in(0x600, 2), 0x0100);
	out(0x600, 2, 0x0100);
	assert_int_equal(in(0x600, 2), 0);
	wrmsr(0, 0x80b, 0);
	assert_int_equal(take_interrupt(0), -1);
}

static void pm_timer_counts_at_its_frequency(void **state)
{
	u32 start = in(0x608, 4);

	(void)state;
	now_ns = NS_PER_S;
	assert_int_equal(in(0x608, 4) - start, 3579545);
	now_ns = 2 * NS_PER_S;
	assert_int_equal(in(0x609, 1), 2 * 3579545 >> 8 & 0xff);
	out(0x608, 4, 0);
	assert_int_equal(in(0x608, 4) - start, 2 * 3579545);
}

static void pm_timer_overflow_raises_the_sci(void **state)
{
	u64 flip = clock_ns(1ULL << 31, 3579545);

	(void)state;
	all_in_x2apic_mode();
	program_ioapic(9, 0x8039);
	out(0x602, 2, 0x0001);
	platform_tick(&platform, 0, flip - 1);
	assert_int_equal(take_interrupt(0), -1);
	platform_tick(&platform, 0, flip);
	assert_int_equal(take_interrupt(0), 0x39);
	now_ns = flip;
	assert_int_equal(in(0x600, 4), 0x00010001);
}

static void every_reset_resets(void **state)
{
	(void)state;
	out(0xcf9, 1, 0x02);
	assert_int_equal(fake.end_count, 0);
	out(0xcf9, 1, 0x06);
	assert_int_equal(fake.end_count, 1);
	out(0x64, 1, 0xfe);
	assert_int_equal(fake.end_count, 2);
	out(0x92, 1, 0x01);
	assert_int_equal(fake.end_count, 3);
	out(0x64, 1, 0xd1);
	out(0x60, 1, 0xfe);
	assert_int_equal(fake.end_count, 4);
	assert_int_equal(fake.end, PLATFORM_RESET);
	assert_int_equal(in(0x92, 1) & 2, 2);
}

static void keyboard_controller_has_no_keyboard(void **state)
{
	(void)state;
	assert_int_equal(in(0x64, 1) & 3, 0);
	out(0x64, 1, 0xaa);
	assert_int_equal(in(0x64, 1) & 1, 1);
	assert_int_equal(in(0x60, 1), 0x55);
	out(0x64, 1, 0x60);
	out(0x60, 1, 0x45);
	out(0x64, 1, 0x20);
	assert_int_equal(in(0x60, 1), 0x45);
	out(0x60, 1, 0xf5); /* to the keyboard: times out */
	assert_int_equal(in(0x64, 1) & 0x61, 0x41);
	assert_int_equal(in(0x60, 1), 0xfe);
	out(0x64, 1, 0xd4);
	out(0x60, 1, 0xff); /* to the mouse */
	assert_int_equal(in(0x64, 1) & 0x61, 0x61);
	out(0x64, 1, 0xd3); /* loops back, as Linux tests it */
	out(0x60, 1, 0x5a);
	assert_int_equal(in(0x64, 1) & 0x61, 0x21);
	assert_int_equal(in(0x60, 1), 0x5a);
	assert_int_equal(in(0x64, 1) & 1, 0);
}

static void write_register(u32 vcpu, u32 offset, u64 value)
{
	assert_int_equal(
	    platform_apic_write(&platform, vcpu, offset, value, now_ns),
	    PLATFORM_MSR_DONE);
}

static void goes_by_registers(u64 destination_1)
{
	u64 value = 0;

	write_register(0, LAPIC_ICR, destination_1 | 0x4041);
	assert_int_equal(take_interrupt(0), -1);
	assert_int_equal(take_interrupt(1), 0x41);
	write_register(1, LAPIC_EOI, 0);
	assert_int_equal(
	    platform_apic_read(&platform, 0, LAPIC_ICR, &value, now_ns),
	    PLATFORM_MSR_DONE);
	assert_int_equal(value & ~BIT(14), destination_1 | 0x41);
	write_register(1, LAPIC_TPR, 0x50);
	assert_int_equal(
	    platform_apic_read(&platform, 1, LAPIC_TPR, &value, now_ns),
	    PLATFORM_MSR_DONE);
	assert_int_equal(value, 0x50);
	write_register(0, LAPIC_ICR, destination_1 | 0x4041);
	assert_int_equal(take_interrupt(1), -1);
	write_register(1, LAPIC_TPR, 0);
	assert_int_equal(take_interrupt(1), 0x41);
	write_register(1, LAPIC_EOI, 0);
	write_register(0, LAPIC_ICR, destination_1 | 0x4041);
	assert_int_equal(take_interrupt(1), 0x41);
	write_register(1, LAPIC_EOI, 0);
}

static void own_apic_is_reached_by_registers_in_every_mode(void **state)
{
	u64 value = 0x5a;

	(void)state;
	for (u32 i = 0; i < FAKE_VCPU_COUNT; i++)
		write_register(i, LAPIC_SVR, 0x1ff);
	goes_by_registers(1UL << 56);
	all_in_x2apic_mode();
	goes_by_registers(1UL << 32);
	/* Switched off. */
	wrmsr(0, MSR_IA32_APIC_BASE, 0xfee00100);
	assert_int_equal(
	    platform_apic_write(&platform, 0, LAPIC_EOI, 0, now_ns),
	    PLATFORM_MSR_FAULT);
	assert_int_equal(
	    platform_apic_read(&platform, 0, LAPIC_TPR, &value, now_ns),
	    PLATFORM_MSR_FAULT);
	assert_int_equal(value, 0x5a);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

static const struct CMUnitTest tests[] = {
    TEST(configuration_out_of_range_is_refused),
    TEST(boot_processor_has_the_virtual_wire),
    TEST(unclaimed_ports_read_ones),
    TEST(wide_access_is_cut_into_bytes),
    TEST(com1_prints_and_reads),
    TEST(port_f4_ends_the_run_with_its_value),
    TEST(port_80_is_there),
    TEST(foreign_msrs_are_absent),
    TEST(lapic_answers_four_bytes_at_sixteen),
    TEST(absent_memory_reads_ones),
    TEST(ipi_reaches_its_destination),
    TEST(shorthands_choose_the_set),
    TEST(events_go_to_others_only),
    TEST(xapic_broadcast_reaches_apics_of_both_modes),
    TEST(lowest_priority_goes_to_one_with_low_tpr),
    TEST(msi_is_decoded_as_in_the_manual),
    TEST(timer_interrupts_its_own_vcpu),
    TEST(pit_ticks_through_ioapic_pin_2),
    TEST(pit_ticks_through_pic_and_virtual_wire),
    TEST(pic_reaches_a_cpu_whose_apic_is_off),
    TEST(pic_reaches_lint0_in_fixed_mode),
    TEST(another_cpu_moving_a_timer_kicks_vcpu_0),
    TEST(com1_interrupts_by_edge_and_level),
    TEST(virtual_eoi_reaches_the_ioapic),
    TEST(own_apic_is_reached_by_registers_in_every_mode),
    TEST(rtc_interrupts_through_line_8),
    TEST(guest_waits_for_a_full_console),
    TEST(printed_bytes_go_to_the_host_together),
    TEST(printed_bytes_come_before_what_follows),
    TEST(nothing_is_typed_into_a_machine_that_stands_still),
    TEST(full_host_holds_up_what_was_collected),
    TEST(panic_prints_what_was_collected),
    TEST(com1_is_the_same_by_its_registers),
    TEST(com1_loses_no_edge),
    TEST(bytes_are_sent_by_interrupts_alone),
    TEST(no_edge_while_another_cause_stands),
    TEST(edge_goes_to_all_that_have_none_waiting),
    TEST(bytes_that_are_left_time_out_anew),
    TEST(burst_that_is_read_is_one_interrupt),
    TEST(write_to_the_pit_comes_after_an_edge_that_is_due),
    TEST(ports_settle_all_that_they_change),
    TEST(s5_powers_off),
    TEST(power_button_raises_the_sci),
    TEST(pm_timer_counts_at_its_frequency),
    TEST(pm_timer_overflow_raises_the_sci),
    TEST(every_reset_resets),
    TEST(keyboard_controller_has_no_keyboard),
};

int main(void)
{
	return cmocka_run_group_tests_name("platform", tests, NULL, NULL);
}
