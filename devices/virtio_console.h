/* SPDX-License-Identifier: MIT */
/*
 * The virtio console device (virtio 1.1, "Console Device") with two ports:
 * port 0 is the guest's hvc0, port 1 a serial port named "umbra.0".
 *
 * Output goes to the host's console_write(); what it does not take stays in
 * the guest's buffers. Input goes straight into them: port 0's is brought, port
 * 1's is fetched from the host while both ends are open. So the device itself
 * holds no bytes, only where it stands in a buffer.
 *
 * Port 0 is always open at the host. Of port 1 the guest is told each change of
 * the peer's end, one after the other, and that it is closed whenever the guest
 * has closed its own.
 */
#ifndef DEVICES_VIRTIO_CONSOLE_H
#define DEVICES_VIRTIO_CONSOLE_H

#include "devices/virtio_pci.h"

#define VIRTIO_CONSOLE_PORT_COUNT   2
#define VIRTIO_CONSOLE_CONFIG_BYTES 12

struct virtio_console_port_state {
	u64 sent;      /* bytes of the chain `head` that the host has taken */
	u16 head;      /* the chain that is being sent */
	u8 has_head;   /* 0 or 1 */
	u8 guest_open; /* the guest has opened the port */
	u8 host_open;  /* what the guest is told of the other end */
	u8 owed;       /* control messages to be sent, as bits */
};

struct virtio_console_state {
	struct virtio_console_port_state ports[VIRTIO_CONSOLE_PORT_COUNT];
};

struct virtio_console {
	struct virtio_pci virtio;
	struct virtio_console_state state;
};

struct virtio_console_config {
	u32 bar;
	u16 notify_port;
	u8 interrupt_line;
};

void virtio_console_init(struct virtio_console *console,
			 const struct virtio_console_config *config);

/* The control messages that a port (below the count) can ever owe, as bits. */
u8 virtio_console_may_owe(u32 port);

/* The driver has reset the device: its ports are closed. */
void virtio_console_reset(struct virtio_console *console);

/* Does the guest care for what the port that is no console leads to? */
bool virtio_console_uses_port(const struct virtio_console *console);

/* Device configuration at an offset: four bytes. All of it is read-only. */
u32 virtio_console_config_read(u32 offset);

/*
 * Does what the queues ask for, as far as the host takes output. A bounded
 * piece of it: MORE says that the rest should follow soon.
 */
enum virtio_console_work { VIRTIO_CONSOLE_IDLE, VIRTIO_CONSOLE_MORE };

enum virtio_console_work
virtio_console_run(struct virtio_console *console,
		   const struct virtqueue_memory *memory);

/* Input for a port; returns how many bytes the guest had room for. */
u64 virtio_console_receive(struct virtio_console *console,
			   const struct virtqueue_memory *memory, u32 port,
			   const u8 *bytes, u64 count);

#endif
