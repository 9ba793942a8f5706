/* SPDX-License-Identifier: MIT */
/*
 * A hostile driver against the virtio console: the queues are set up well,
 * then the input says how rings, descriptors and registers are damaged, what
 * is offered and notified, when the host's console is full, and what the peer
 * does at the other end of port 1's cable.
 */
#include "lib/check.h"
#include "tests/unit/virtio_driver.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes);

/* One step of the input: twelve bytes. */
struct step {
	u8 what;
	u8 queue;
	u8 index;
	u8 other;
	u64 value;
} PACKED;

/* Any descriptor, mostly one that points into RAM. */
static void set_any_descriptor(const struct step *step, u32 queue)
{
	struct driver_descriptor descriptor = {
	    .address = step->value,
	    .bytes = (u32)(step->value >> 40) & 0xffff,
	    .flags = step->other & 7,
	    .next = step->other >> 3,
	};

	if (step->what & 0x80)
		descriptor.address %= FAKE_RAM_BYTES;
	driver_set_descriptor(queue, step->index % DRIVER_QUEUE_SIZE,
			      descriptor);
}

static void control(const struct step *step)
{
	driver_send_control(step->other % 3, step->index % 9, (u16)step->value);
}

static void damage_ring(const struct step *step, u32 queue)
{
	u64 at = ring_address(queue, step->index % 3) + step->other;

	memcpy(guest_at(at), &step->value, sizeof(step->value));
}

static void input(const struct step *step)
{
	enum platform_console console =
	    (enum platform_console)(step->other % PLATFORM_CONSOLE_COUNT);

	(void)platform_console_input(&platform, console,
				     (const u8 *)&step->value, 8, now_ns);
}

static void peer(const struct step *step)
{
	static u8 bytes[2 * CABLE_BYTES];
	u64 count = step->value % sizeof(bytes);

	switch (step->other % 5) {
	case 0:
		cable_set_port(&fake.cable, 1, PLATFORM_PORT_CLOSED);
		break;
	case 1:
	case 2:
		cable_set_port(&fake.cable, 1, PLATFORM_PORT_OPEN);
		(void)cable_peer_port(&fake.cable, 1);
		break;
	case 3:
		CHECK(cable_write(&fake.cable, 1, bytes, count) <= count);
		break;
	default:
		count = cable_peek(&fake.cable, 1, bytes, count);
		CHECK(count <= CABLE_BYTES);
		cable_take(&fake.cable, 1, count);
		break;
	}
}

static void perform(const struct step *step)
{
	u32 queue = step->queue % 6;

	switch (step->what % 13) {
	case 0:
		set_any_descriptor(step, queue);
		break;
	case 1:
		driver_offer(queue, step->index);
		break;
	case 2:
		driver_notify(queue);
		break;
	case 3:
		driver_offer_buffer(queue, step->index % DRIVER_QUEUE_SIZE);
		break;
	case 4:
		driver_send(queue, step->index % DRIVER_QUEUE_SIZE,
			    &step->value, 8);
		break;
	case 5:
		control(step);
		break;
	case 6:
		damage_ring(step, queue);
		break;
	case 7:
		common_write(step->index % 0x40, 1U << step->other % 4,
			     step->value);
		break;
	case 8:
		config_write(1, step->index, 1U << step->other % 3,
			     (u32)step->value);
		break;
	case 9:
		fake.console_full = step->other & 1;
		platform_console_ready(&platform, now_ns);
		break;
	case 10:
		input(step);
		break;
	case 11:
		mmio_write(driver.msix + step->index * 4ULL, 4, step->value);
		break;
	default:
		driver_start(VIRTIO_F_VERSION_1 | (step->value & 2));
		break;
	}
}

/* Whatever the guest does, work comes in pieces and ends. */
static void let_it_work(void)
{
	u32 budget = 8192;

	while ((platform.devices.console_work || platform.port_called) &&
	       budget--)
		platform_tick(&platform, 0, now_ns);
	CHECK(!platform.devices.console_work && !platform.port_called);
}

/* Nobody is told of what is not so. */
static void check_port(void)
{
	const struct virtio_console_port_state *port =
	    &platform.devices.console.state.ports[1];
	enum platform_port wanted =
	    port->guest_open ? PLATFORM_PORT_OPEN : PLATFORM_PORT_CLOSED;

	CHECK(fake.guest_port == wanted);
	CHECK(fake.cable.ends[0].is_open == port->guest_open);
	CHECK(port->guest_open || !port->host_open);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes)
{
	struct step step;

	now_ns = 0;
	CHECK(fake_platform() == OK);
	fake_join();
	driver_find();
	driver_start(VIRTIO_F_VERSION_1 | 2);
	for (; bytes >= sizeof(step);
	     data += sizeof(step), bytes -= sizeof(step)) {
		memcpy(&step, data, sizeof(step));
		if (step.what % 14 == 13)
			peer(&step);
		else
			perform(&step);
		let_it_work();
		check_port();
	}
	return 0;
}
