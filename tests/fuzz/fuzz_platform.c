/* SPDX-License-Identifier: MIT */
/*
 * Random accesses to everything that a guest can reach: ports, MMIO, MSRs,
 * CR8, time, console, interrupts. Beside the sanitizers' findings, some things
 * must hold after each step.
 */
#include "lib/check.h"
#include "tests/unit/platform_steps.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes);

static void check_lapic(u32 vcpu)
{
	struct lapic *lapic = &lapics[vcpu];
	int pending;

	(void)platform_interrupt_pending(&platform, vcpu);
	pending = lapic_pending_vector(lapic);
	CHECK(pending == LAPIC_NO_VECTOR || (pending >= 16 && pending <= 255));
	CHECK(lapic->isr_top < 256);
	CHECK(!(lapic->posted.control & LAPIC_POSTED_ON));
	CHECK(lapic_cr8(lapic) < 16);
}

static void check_platform(void)
{
	const struct platform_devices *devices = &platform.devices;

	for (u32 i = 0; i < FAKE_VCPU_COUNT; i++)
		check_lapic(i);
	CHECK(devices->com1.received.count <= UART_FIFO_BYTES);
	CHECK(devices->com1.transmitted.count <= UART_FIFO_BYTES);
	CHECK(platform.batch_count <= PLATFORM_COM1_BATCH);
	CHECK(uart_interrupt(&devices->com1) ==
	      (devices->lines >> PLATFORM_LINE_COM1 & 1));
	CHECK(devices->ioapic.lines < 1U << IOAPIC_PIN_COUNT);
	CHECK(platform.pic_interrupt == pic_interrupt(&devices->pic));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes)
{
	struct step step;

	now_ns = 0;
	CHECK(fake_platform() == OK);
	for (; bytes >= sizeof(step);
	     data += sizeof(step), bytes -= sizeof(step)) {
		memcpy(&step, data, sizeof(step));
		perform(&step);
		check_platform();
	}
	return 0;
}
