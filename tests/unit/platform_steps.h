/* SPDX-License-Identifier: MIT */
/*
 * Anything that can happen to the platform of tests/unit/fake_host.h, as steps
 * of ten bytes: accesses to ports, MMIO and MSRs, CR8, time, console,
 * interrupts.
 */
#ifndef TESTS_UNIT_PLATFORM_STEPS_H
#define TESTS_UNIT_PLATFORM_STEPS_H

#include "lib/check.h"
#include "tests/unit/fake_host.h"

/* One step of the input: ten bytes. */
struct step {
	u8 what;
	u8 where;
	u64 value;
} PACKED;

static const u16 ports[] = {
    0x20,  0x21,  0x40,  0x41,  0x42,  0x43,  0x60,  0x61,  0x64,
    0x70,  0x71,  0x80,  0x92,  0xa0,  0xa1,  0xf4,  0x3f8, 0x3f9,
    0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, 0x4d0, 0x4d1, 0x600,
    0x602, 0x604, 0x608, 0xcf8, 0xcf9, 0xcfc, 0xcfd, 0xcfe, 0xcff,
};

static const u64 pages[] = {
    0xfee00000, 0xfec00000, 0xfec00000, 0xc0000000,
    0xc0001000, 0xc0002000, 0xe0008000, 0xc0004000,
};

static u16 port_of(const struct step *step)
{
	return step->where < ARRAY_COUNT(ports) ? ports[step->where]
						: (u16)(step->value >> 48);
}

static u64 address_of(const struct step *step)
{
	u64 page = pages[step->where % ARRAY_COUNT(pages)];

	return page + (step->value >> 52);
}

static bool is_com1(u16 port)
{
	return port / UART_PORTS == PLATFORM_COM1_PORT / UART_PORTS;
}

static void access_port(const struct step *step, u32 vcpu)
{
	const struct platform_access access = {
	    vcpu, 1U << (step->what >> 6) % 3, now_ns};

	if (step->value >> 32 & 1 && is_com1(port_of(step)) &&
	    (step->what & 8 || port_of(step) % 8)) {
		if (step->what & 8)
			platform_com1_write(&platform, port_of(step) % 8,
					    (u8)step->value);
		else
			(void)platform_com1_read(&platform, port_of(step) % 8);
		return;
	}
	if (step->what & 8)
		platform_port_write(&platform, &access, port_of(step),
				    (u32)step->value);
	else
		(void)platform_port_read(&platform, &access, port_of(step));
}

static void access_memory(const struct step *step, u32 vcpu)
{
	const struct platform_access access = {vcpu, 1 + (step->what >> 5) % 8U,
					       now_ns};
	u64 value;

	if (step->what & 8)
		(void)platform_mmio_write(&platform, &access,
					  gpa(address_of(step)), step->value);
	else
		(void)platform_mmio_read(&platform, &access,
					 gpa(address_of(step)), &value);
}

static void access_msr(const struct step *step, u32 vcpu)
{
	u32 msr = MSR_X2APIC_FIRST + step->where % 64;
	u64 value;

	if (step->where == 255)
		msr = MSR_IA32_APIC_BASE;
	if (step->where == 254)
		msr = MSR_IA32_TSC_DEADLINE;
	if (step->what & 8)
		CHECK(platform_msr_write(&platform, vcpu, msr, step->value,
					 now_ns) != PLATFORM_MSR_ABSENT);
	else
		CHECK(platform_msr_read(&platform, vcpu, msr, &value, now_ns) !=
		      PLATFORM_MSR_ABSENT);
}

/* Time goes on; now and then far, and now and then a little back. */
static void pass_time(const struct step *step)
{
	u64 ns = step->value >> step->where % 64;

	if (step->where < 64)
		now_ns -= now_ns < 1000 ? now_ns : step->value % 1000;
	else if (now_ns < 1ULL << 62)
		now_ns += ns % (1ULL << 61);
	for (u32 i = 0; i < FAKE_VCPU_COUNT; i++)
		platform_tick(&platform, i, now_ns);
}

static void interrupts(const struct step *step, u32 vcpu)
{
	u8 vector;

	switch (step->where % 5) {
	case 0:
		(void)take_interrupt(vcpu);
		break;
	case 1:
		lapic_set_cr8(&lapics[vcpu], step->value & 0xf);
		break;
	case 2:
		(void)lapic_take_nmi(&lapics[vcpu]);
		if (lapic_take_init(&lapics[vcpu]))
			lapic_on_init(&lapics[vcpu]);
		(void)lapic_take_sipi(&lapics[vcpu], &vector);
		break;
	case 3:
		platform_msi(&platform, step->value, (u32)step->value);
		break;
	default:
		lapic_set_tsc_offset(&lapics[vcpu], step->value, now_ns);
		break;
	}
}

static void outside(const struct step *step)
{
	fake.console_full = step->where & 1;
	switch (step->where % 6) {
	case 0:
	case 1:
		(void)platform_console_input(&platform, PLATFORM_COM1,
					     (const u8 *)&step->value, 8,
					     now_ns);
		break;
	case 2:
	case 3:
		(void)platform_console_input(&platform, PLATFORM_HVC0,
					     (const u8 *)&step->value, 8,
					     now_ns);
		break;
	case 4:
		platform_console_ready(&platform, now_ns);
		platform_hand_over(&platform);
		break;
	default:
		platform_power_button(&platform, now_ns);
		break;
	}
}

static void perform(const struct step *step)
{
	u32 vcpu = (step->what >> 4) % FAKE_VCPU_COUNT;

	switch (step->what % 8) {
	case 0:
	case 1:
		access_port(step, vcpu);
		break;
	case 2:
	case 3:
		access_memory(step, vcpu);
		break;
	case 4:
		access_msr(step, vcpu);
		break;
	case 5:
		pass_time(step);
		break;
	case 6:
		interrupts(step, vcpu);
		break;
	default:
		outside(step);
		break;
	}
}

#endif
