/* SPDX-License-Identifier: MIT */
/*
 * A host for the platform of devices/: remembers what it was told, and gives
 * the guest a small array as memory. For one program: everything is static.
 */
#ifndef TESTS_UNIT_FAKE_HOST_H
#define TESTS_UNIT_FAKE_HOST_H

#include <string.h>

#include "devices/cable.h"
#include "devices/platform.h"

#define FAKE_RAM_BYTES     (2 * MIB)
#define FAKE_VCPU_COUNT    4
#define FAKE_CONSOLE_BYTES 4096

static struct fake_host {
	u8 ram[FAKE_RAM_BYTES];
	char console[PLATFORM_CONSOLE_COUNT][FAKE_CONSOLE_BYTES];
	u64 console_count[PLATFORM_CONSOLE_COUNT];
	u32 console_full;  /* 1: takes nothing */
	u64 console_takes; /* at once, at most; 0: all */
	u32 is_joined;     /* port 1 has end 0 of this cable */
	struct cable cable;
	enum platform_port guest_port;
	u32 kicks[PLATFORM_VCPU_MAX];
	u32 end_count;
	enum platform_end end;
	u32 end_value;
	u64 printed_at_end; /* by COM1 */
} fake;

static struct platform platform;
static struct lapic lapics[PLATFORM_VCPU_MAX];

UNUSED static u64 fake_console_write(void *context,
				     enum platform_console console,
				     const u8 *bytes, u64 count)
{
	(void)context;
	if (fake.console_full)
		return 0;
	if (fake.console_takes && count > fake.console_takes)
		count = fake.console_takes;
	if (console == PLATFORM_PORT1 && fake.is_joined)
		return cable_write(&fake.cable, 0, bytes, count);
	for (u64 i = 0; i < count; i++)
		fake.console[console][fake.console_count[console]++ %
				      FAKE_CONSOLE_BYTES] = (char)bytes[i];
	return count;
}

UNUSED static void fake_port_set(void *context, enum platform_port port)
{
	(void)context;
	fake.guest_port = port;
	if (fake.is_joined)
		cable_set_port(&fake.cable, 0, port);
}

UNUSED static enum platform_port fake_port_peer(void *context)
{
	(void)context;
	return fake.is_joined ? cable_peer_port(&fake.cable, 0)
			      : PLATFORM_PORT_CLOSED;
}

UNUSED static u64 fake_port_peek(void *context, u8 *bytes, u64 room)
{
	(void)context;
	return fake.is_joined ? cable_peek(&fake.cable, 0, bytes, room) : 0;
}

UNUSED static void fake_port_take(void *context, u64 count)
{
	(void)context;
	cable_take(&fake.cable, 0, count);
}

UNUSED static void fake_call(void *context)
{
	platform_call_port(context);
}

UNUSED static void fake_vcpu_kick(void *context, u32 vcpu)
{
	(void)context;
	fake.kicks[vcpu]++;
}

UNUSED static void fake_end(void *context, enum platform_end how, u32 value)
{
	(void)context;
	fake.end_count++;
	fake.end = how;
	fake.end_value = value;
	fake.printed_at_end = fake.console_count[PLATFORM_COM1];
}

static bool fake_in_ram(gpa_t address, u64 bytes)
{
	return gpa_raw(address) <= FAKE_RAM_BYTES &&
	       bytes <= FAKE_RAM_BYTES - gpa_raw(address);
}

UNUSED static enum err fake_memory_read(void *context, gpa_t from, void *to,
					u64 bytes)
{
	(void)context;
	if (!fake_in_ram(from, bytes))
		return ERR_RANGE;
	memcpy(to, fake.ram + gpa_raw(from), bytes);
	return OK;
}

UNUSED static enum err fake_memory_write(void *context, gpa_t to,
					 const void *from, u64 bytes)
{
	(void)context;
	if (!fake_in_ram(to, bytes))
		return ERR_RANGE;
	memcpy(fake.ram + gpa_raw(to), from, bytes);
	return OK;
}

static const struct platform_host fake_callbacks = {
    .console_write = fake_console_write,
    .port_set = fake_port_set,
    .port_peer = fake_port_peer,
    .port_peek = fake_port_peek,
    .port_take = fake_port_take,
    .vcpu_kick = fake_vcpu_kick,
    .vcpu_notify = fake_vcpu_kick,
    .end = fake_end,
    .memory_read = fake_memory_read,
    .memory_write = fake_memory_write,
};

static const struct platform_config fake_config = {
    .vcpu_count = FAKE_VCPU_COUNT,
    .phys_bits = 40,
    .tsc_hz = 1000000000,
    .apic_timer_hz = 1000000000,
    .ram_low_bytes = FAKE_RAM_BYTES,
    .start_time_s = 1700000000, /* 2023-11-14 22:13:20 UTC, a Tuesday */
    .host = &fake_callbacks,
};

/* A fresh platform with all its vCPUs; OK or what it was refused for. */
UNUSED static enum err fake_platform(void)
{
	enum err err = platform_init(&platform, &fake_config);

	memset(&fake, 0, sizeof(fake));
	for (u32 i = 0; err == OK && i < FAKE_VCPU_COUNT; i++)
		err = platform_add_vcpu(&platform, &lapics[i]);
	return err;
}

/* Port 1 gets a cable, of which the test has end 1. */
UNUSED static void fake_join(void)
{
	fake.is_joined = 1;
	cable_init(&fake.cable);
	cable_plug(&fake.cable, 0, fake_call, &platform);
}

/* Accesses by vCPU 0, at this time: */
static u64 now_ns;

/* vCPU 0 comes round, as often as it is due. */
UNUSED static void fake_let_work(void)
{
	u32 rounds = 0;

	while (platform_next_event_ns(&platform, 0) <= now_ns &&
	       rounds++ < 10000)
		platform_tick(&platform, 0, now_ns);
}

UNUSED static u32 in(u16 port, u32 bytes)
{
	const struct platform_access access = {0, bytes, now_ns};

	return platform_port_read(&platform, &access, port);
}

UNUSED static void out(u16 port, u32 bytes, u32 value)
{
	const struct platform_access access = {0, bytes, now_ns};

	platform_port_write(&platform, &access, port, value);
}

UNUSED static u64 mmio_read(u64 address, u32 bytes)
{
	const struct platform_access access = {0, bytes, now_ns};
	u64 value = 0;

	(void)platform_mmio_read(&platform, &access, gpa(address), &value);
	return value;
}

UNUSED static void mmio_write(u64 address, u32 bytes, u64 value)
{
	const struct platform_access access = {0, bytes, now_ns};

	(void)platform_mmio_write(&platform, &access, gpa(address), value);
}

/* The vector that this vCPU takes next, or -1. */
UNUSED static int take_interrupt(u32 vcpu)
{
	enum platform_interrupt pending =
	    platform_interrupt_pending(&platform, vcpu);

	return pending == PLATFORM_INTERRUPT_NONE
		   ? -1
		   : platform_interrupt_take(&platform, vcpu, pending);
}

#endif
