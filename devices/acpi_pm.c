/* SPDX-License-Identifier: MIT */
/* See devices/acpi_pm.h. */
#include "devices/acpi_pm.h"
#include "devices/clock.h"
#include "lib/string.h"

#define TIMER_STATUS  BIT(0)
#define GLOBAL_STATUS BIT(5)
#define POWER_BUTTON  BIT(8)
#define SLEEP_BUTTON  BIT(9)
#define RTC_STATUS    BIT(10)
#define WAKE_STATUS   BIT(15)

#define ENABLE_BITS                                                   \
	(TIMER_STATUS | GLOBAL_STATUS | POWER_BUTTON | SLEEP_BUTTON | \
	 RTC_STATUS)

#define SCI_ENABLED    BIT(0)
#define BUS_MASTER     BIT(1)
#define SLEEP_TYPE     BITS(12, 10)
#define SLEEP_ENABLE   BIT(13) /* write-only */

/* The timer's highest bit changes every 2^31 ticks, ten minutes. */
#define TICKS_PER_FLIP (1ULL << 31)

void acpi_pm_reset(struct acpi_pm_state *pm)
{
	memset(pm, 0, sizeof(*pm));
	pm->control = SCI_ENABLED;
}

static u64 flip_after(u64 ns)
{
	u64 flips = clock_ticks(ns, ACPI_PM_TIMER_HZ) / TICKS_PER_FLIP;

	return clock_ns((flips + 1) * TICKS_PER_FLIP, ACPI_PM_TIMER_HZ);
}

void acpi_pm_tick(struct acpi_pm_state *pm, u64 now_ns)
{
	if (now_ns <= pm->seen_ns)
		return;
	if (flip_after(pm->seen_ns) <= now_ns)
		pm->status |= TIMER_STATUS;
	pm->seen_ns = now_ns;
}

u64 acpi_pm_next_event_ns(const struct acpi_pm_state *pm)
{
	return (pm->enable & TIMER_STATUS) && !(pm->status & TIMER_STATUS)
		   ? flip_after(pm->seen_ns)
		   : CLOCK_NEVER;
}

bool acpi_pm_interrupt(const struct acpi_pm_state *pm)
{
	return pm->status & pm->enable & ENABLE_BITS;
}

void acpi_pm_press_power_button(struct acpi_pm_state *pm)
{
	pm->status |= POWER_BUTTON;
}

/* The block as the bytes that a read at any offset and width cuts from. */
u32 acpi_pm_read(struct acpi_pm_state *pm, u32 offset, u64 now_ns)
{
	u64 timer = clock_ticks(now_ns, ACPI_PM_TIMER_HZ) & 0xffffffff;
	u64 low;

	acpi_pm_tick(pm, now_ns);
	low = pm->status | (u64)pm->enable << 16 | (u64)pm->control << 32;
	if (offset >= ACPI_PM_PORTS)
		return ~0U;
	if (offset >= ACPI_PM_TIMER)
		return (u32)(timer >> (offset - ACPI_PM_TIMER) * 8);
	return (u32)(low >> offset * 8);
}

/* Sleeping states other than S5 are not offered and do nothing. */
static enum acpi_pm_effect write_control(struct acpi_pm_state *pm, u16 value)
{
	pm->control = (u16)((value & (BUS_MASTER | SLEEP_TYPE)) | SCI_ENABLED);
	return (value & SLEEP_ENABLE) &&
		       bits_get(value, SLEEP_TYPE) == ACPI_S5_SLEEP_TYPE
		   ? ACPI_PM_POWER_OFF
		   : ACPI_PM_NONE;
}

/* A register as it is, with the written bytes replaced. */
static u16 merged(u16 before, u32 value, u32 shift, u32 bytes)
{
	u32 mask = (bytes >= 2 ? 0xffffU : 0xffU) << shift;

	return (u16)((before & ~mask) | (value << shift & mask));
}

static enum acpi_pm_effect write_word(struct acpi_pm_state *pm, u32 offset,
				      u32 bytes, u32 value)
{
	u32 shift = offset % 2 * 8;

	switch (offset - offset % 2) {
	case ACPI_PM1_STATUS: /* ones clear */
		pm->status &= (u16)~merged(0, value, shift, bytes);
		return ACPI_PM_NONE;
	case ACPI_PM1_ENABLE:
		pm->enable =
		    merged(pm->enable, value, shift, bytes) & ENABLE_BITS;
		return ACPI_PM_NONE;
	case ACPI_PM1_CONTROL:
		return write_control(pm,
				     merged(pm->control, value, shift, bytes));
	default:
		return ACPI_PM_NONE;
	}
}

/* Four bytes at status are status and enable. */
enum acpi_pm_effect acpi_pm_write(struct acpi_pm_state *pm, u32 offset,
				  u32 bytes, u32 value)
{
	if (bytes <= 2)
		return write_word(pm, offset, bytes, value);
	(void)write_word(pm, offset, 2, value & 0xffff);
	return write_word(pm, offset + 2, 2, value >> 16);
}
