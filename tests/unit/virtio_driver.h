/* SPDX-License-Identifier: MIT */
/*
 * A driver for the virtio console in the fake host's memory, for tests: finds
 * the device on PCI bus 0 as software does, and works its queues.
 *
 *	0x100000 + queue * 0x4000: descriptors, + 0x1000 available,
 *	+ 0x2000 used;  0x140000 + queue * 0x10000: buffers of 1 KiB
 */
#ifndef TESTS_UNIT_VIRTIO_DRIVER_H
#define TESTS_UNIT_VIRTIO_DRIVER_H

#include "tests/unit/fake_host.h"

#define DRIVER_QUEUE_SIZE 16
#define BUFFER_BYTES      1024U

enum { RX0, TX0, CONTROL_RX, CONTROL_TX, RX1, TX1 };

/* Offsets in the common configuration structure. */
enum {
	C_DEVICE_SELECT = 0x00,
	C_DEVICE_FEATURE = 0x04,
	C_DRIVER_SELECT = 0x08,
	C_DRIVER_FEATURE = 0x0c,
	C_CONFIG_VECTOR = 0x10,
	C_QUEUE_COUNT = 0x12,
	C_STATUS = 0x14,
	C_QUEUE_SELECT = 0x16,
	C_QUEUE_SIZE = 0x18,
	C_QUEUE_VECTOR = 0x1a,
	C_QUEUE_ENABLE = 0x1c,
	C_QUEUE_DESCRIPTORS = 0x20,
	C_QUEUE_AVAILABLE = 0x28,
	C_QUEUE_USED = 0x30,
};

/* What the driver has found and done. */
static struct virtio_driver {
	u64 common, isr, device, notify;
	u16 notify_port;
	u64 msix;
	u32 msix_capability;
	u32 window;
	u16 next_available[6];
	u16 next_used[6];
} driver;

UNUSED static u32 config_read(u32 device, u32 offset, u32 bytes)
{
	out(0xcf8, 4, 1U << 31 | device << 11 | (offset & ~3U));
	return in((u16)(0xcfc + offset % 4), bytes);
}

UNUSED static void config_write(u32 device, u32 offset, u32 bytes, u32 value)
{
	out(0xcf8, 4, 1U << 31 | device << 11 | (offset & ~3U));
	out((u16)(0xcfc + offset % 4), bytes, value);
}

static u64 bar_address(u32 bar)
{
	return config_read(1, 0x10 + bar * 4, 4) & ~0xfU;
}

static void on_virtio_capability(u32 at)
{
	u32 bar = config_read(1, at + 4, 1);
	u64 address = bar_address(bar) + config_read(1, at + 8, 4);

	switch (config_read(1, at + 3, 1)) {
	case 1:
		driver.common = address;
		break;
	case 2:
		if (config_read(1, 0x10 + bar * 4, 4) & 1)
			driver.notify_port = (u16)address;
		else
			driver.notify = address;
		break;
	case 3:
		driver.isr = address;
		break;
	case 4:
		driver.device = address;
		break;
	default:
		driver.window = at;
		break;
	}
}

/* Walks the capabilities of device 1 and turns bus mastering on. */
UNUSED static void driver_find(void)
{
	memset(&driver, 0, sizeof(driver));
	for (u32 at = config_read(1, 0x34, 1); at;
	     at = config_read(1, at + 1, 1)) {
		if (config_read(1, at, 1) == 0x09)
			on_virtio_capability(at);
		if (config_read(1, at, 1) == 0x11) {
			driver.msix_capability = at;
			driver.msix =
			    bar_address(config_read(1, at + 4, 4) & 7);
		}
	}
	config_write(1, 4, 2, config_read(1, 4, 2) | 4);
}

UNUSED static u32 common_read(u32 offset, u32 bytes)
{
	return (u32)mmio_read(driver.common + offset, bytes);
}

UNUSED static void common_write(u32 offset, u32 bytes, u64 value)
{
	mmio_write(driver.common + offset, bytes, value);
}

static u64 ring_address(u32 queue, u32 part)
{
	return 0x100000 + queue * 0x4000ULL + part * 0x1000ULL;
}

static u64 buffer_address(u32 queue, u32 index)
{
	return 0x140000 + queue * 0x10000ULL + index * (u64)BUFFER_BYTES;
}

UNUSED static void *guest_at(u64 address)
{
	return fake.ram + address;
}

static void put16(u64 address, u16 value)
{
	memcpy(guest_at(address), &value, sizeof(value));
}

static u16 get16(u64 address)
{
	u16 value;

	memcpy(&value, guest_at(address), sizeof(value));
	return value;
}

static u32 get32(u64 address)
{
	u32 value;

	memcpy(&value, guest_at(address), sizeof(value));
	return value;
}

UNUSED static void driver_set_queue(u32 queue, u16 vector)
{
	common_write(C_QUEUE_SELECT, 2, queue);
	common_write(C_QUEUE_SIZE, 2, DRIVER_QUEUE_SIZE);
	common_write(C_QUEUE_VECTOR, 2, vector);
	common_write(C_QUEUE_DESCRIPTORS, 8, ring_address(queue, 0));
	common_write(C_QUEUE_AVAILABLE, 8, ring_address(queue, 1));
	common_write(C_QUEUE_USED, 8, ring_address(queue, 2));
	common_write(C_QUEUE_ENABLE, 2, 1);
}

/* Up to DRIVER_OK, with these features; queue q interrupts by vector q + 1. */
UNUSED static void driver_start(u64 features)
{
	common_write(C_STATUS, 1, 0);
	common_write(C_STATUS, 1, 1);
	common_write(C_STATUS, 1, 3);
	for (u32 i = 0; i < 2; i++) {
		common_write(C_DRIVER_SELECT, 4, i);
		common_write(C_DRIVER_FEATURE, 4, (u32)(features >> i * 32));
	}
	common_write(C_STATUS, 1, 11);
	common_write(C_CONFIG_VECTOR, 2, 0);
	for (u32 queue = 0; queue < 6; queue++)
		driver_set_queue(queue, (u16)(queue + 1));
	common_write(C_STATUS, 1, 15);
}

struct driver_descriptor {
	u64 address;
	u32 bytes;
	u16 flags;
	u16 next;
};

UNUSED static void driver_set_descriptor(u32 queue, u32 index,
					 struct driver_descriptor descriptor)
{
	memcpy(guest_at(ring_address(queue, 0) + index * 16), &descriptor,
	       sizeof(descriptor));
}

/* Makes descriptor `head` available, without telling the device. */
UNUSED static void driver_offer(u32 queue, u16 head)
{
	u16 at = driver.next_available[queue]++;

	put16(ring_address(queue, 1) + 4 + at % DRIVER_QUEUE_SIZE * 2ULL, head);
	put16(ring_address(queue, 1) + 2, driver.next_available[queue]);
}

UNUSED static void driver_notify(u32 queue)
{
	out(driver.notify_port, 2, queue);
}

/* An empty buffer for the device to fill, in descriptor `index`. */
UNUSED static void driver_offer_buffer(u32 queue, u16 index)
{
	driver_set_descriptor(
	    queue, index,
	    (struct driver_descriptor){buffer_address(queue, index),
				       BUFFER_BYTES, 2, 0});
	driver_offer(queue, index);
}

/* A filled one for the device to read. */
UNUSED static void driver_send(u32 queue, u16 index, const void *bytes,
			       u32 count)
{
	memcpy(guest_at(buffer_address(queue, index)), bytes, count);
	driver_set_descriptor(queue, index,
			      (struct driver_descriptor){
				  buffer_address(queue, index), count, 0, 0});
	driver_offer(queue, index);
	driver_notify(queue);
}

/* The next chain given back: its head, or -1; `count` bytes written. */
UNUSED static int driver_used(u32 queue, u32 *count)
{
	u64 ring = ring_address(queue, 2);
	u64 element =
	    ring + 4 + driver.next_used[queue] % DRIVER_QUEUE_SIZE * 8ULL;

	if (get16(ring + 2) == driver.next_used[queue])
		return -1;
	driver.next_used[queue]++;
	*count = get32(element + 4);
	return (int)get32(element);
}

struct driver_control {
	u32 port;
	u16 event;
	u16 value;
};

UNUSED static void driver_send_control(u32 port, u16 event, u16 value)
{
	static u16 index;
	const struct driver_control message = {port, event, value};

	index = (u16)((index + 1) % DRIVER_QUEUE_SIZE);
	driver_send(CONTROL_TX, index, &message, sizeof(message));
}

#endif
