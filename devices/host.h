/* SPDX-License-Identifier: MIT */
/*
 * What the devices of a VM need from what is around it.
 *
 * The functions may be called with the platform's lock held and on any CPU:
 * they must not block and must not call platform_*.
 */
#ifndef DEVICES_HOST_H
#define DEVICES_HOST_H

#include "lib/err.h"
#include "lib/types.h"
#include "mm/addr.h"

/* How a guest ends itself. */
enum platform_end {
	PLATFORM_EXIT_CODE, /* it wrote `value` to port 0xf4 */
	PLATFORM_POWER_OFF, /* ACPI S5 */
	PLATFORM_RESET,     /* 0xcf9, port 0x92 or keyboard controller */
};

/* The guest's byte streams. */
enum platform_console {
	PLATFORM_COM1,  /* its first serial port */
	PLATFORM_HVC0,  /* port 0 of its virtio console */
	PLATFORM_PORT1, /* port 1 of that device: not a console */
	PLATFORM_CONSOLE_COUNT,
};

/* One end of the port that is no console. */
enum platform_port { PLATFORM_PORT_CLOSED, PLATFORM_PORT_OPEN };

struct platform_host {
	/*
	 * The guest prints these bytes. Returns how many were taken: the guest
	 * waits with the rest until platform_console_ready() says that there
	 * is room again.
	 */
	u64 (*console_write)(void *context, enum platform_console console,
			     const u8 *bytes, u64 count);
	/*
	 * PLATFORM_PORT1 may lead to a peer. The guest has opened or closed
	 * its end; is the peer's end open, as far as this guest may know; the
	 * peer's next bytes, which are here until so many have been taken.
	 * platform_call_port() says that any of it may have changed.
	 */
	void (*port_set)(void *context, enum platform_port port);
	enum platform_port (*port_peer)(void *context);
	u64 (*port_peek)(void *context, u8 *bytes, u64 room);
	void (*port_take)(void *context, u64 count);
	/*
	 * An interrupt, NMI, INIT or SIPI became pending for this vCPU, or its
	 * next timer moved nearer: it must look soon (leave the guest, wake
	 * from HLT). It may be the calling vCPU.
	 */
	void (*vcpu_kick)(void *context, u32 vcpu);
	/*
	 * The same, where only an edge-triggered vector is new, in its
	 * posted-interrupt descriptor: a CPU that processes posted interrupts
	 * need not leave the guest.
	 */
	void (*vcpu_notify)(void *context, u32 vcpu);
	/*
	 * The guest has ended itself. Its vCPUs should not run on; accesses
	 * that still come are harmless.
	 */
	void (*end)(void *context, enum platform_end how, u32 value);
	/*
	 * DMA. All of it is in RAM, or nothing happens and ERR_RANGE comes.
	 * The write marks the pages dirty.
	 */
	enum err (*memory_read)(void *context, gpa_t from, void *to, u64 bytes);
	enum err (*memory_write)(void *context, gpa_t to, const void *from,
				 u64 bytes);
};

#endif
