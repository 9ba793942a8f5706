/* SPDX-License-Identifier: MIT */
/* PCI, virtio over PCI, and the console device, through a driver's eyes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/virtio_driver.h"

#define MULTIPORT  0x2ULL
#define VERSION_1  (1ULL << 32)
#define CONSOLE(n) (fake.console[n])

static int fresh(void **state)
{
	(void)state;
	now_ns = 0;
	if (fake_platform() != OK)
		return -1;
	driver_find();
	return 0;
}

static int started(void **state)
{
	if (fresh(state))
		return -1;
	driver_start(VERSION_1 | MULTIPORT);
	for (u16 i = 0; i < 8; i++)
		driver_offer_buffer(CONTROL_RX, i);
	driver_send_control(0, 0, 1);
	driver_send_control(0, 3, 1);
	driver_send_control(1, 3, 1);
	driver_send_control(0, 6, 1);
	driver_send_control(1, 6, 1);
	(void)mmio_read(driver.isr, 1);
	return 0;
}

static u64 type_in(enum platform_console console, const char *text)
{
	return platform_console_input(&platform, console, (const u8 *)text,
				      strlen(text), now_ns);
}

static void assert_printed(enum platform_console console, const char *text)
{
	assert_int_equal(fake.console_count[console], strlen(text));
	assert_memory_equal(CONSOLE(console), text, strlen(text));
}

static bool needs_reset(void)
{
	return common_read(C_STATUS, 1) & 0x40;
}

/* --- PCI ------------------------------------------------------------------ */

static void bus_has_a_bridge_and_a_console(void **state)
{
	(void)state;
	assert_int_equal(config_read(0, 0, 4), 0x0d578086);
	assert_int_equal(config_read(0, 8, 4), 0x06000000);
	assert_int_equal(config_read(1, 0, 4), 0x10431af4);
	assert_int_equal(config_read(1, 8, 4), 0x07800001);
	assert_int_equal(config_read(1, 0x3c, 2), 0x010b);
	for (u32 device = 2; device < 32; device++)
		assert_int_equal(config_read(device, 0, 4), 0xffffffff);
	out(0xcf8, 4, 1U << 31 | 1 << 8); /* function 1 */
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	out(0xcf8, 4, 1U << 31 | 1 << 16); /* bus 1 */
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	out(0xcf8, 4, 0); /* not enabled */
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
}

/* As Linux tests for mechanism #1. */
static void address_register_is_32_bits_at_once(void **state)
{
	(void)state;
	out(0xcfb, 1, 0x01);
	out(0xcf8, 4, 0x80000000);
	assert_int_equal(in(0xcf8, 4), 0x80000000);
	out(0xcf8, 4, 0xffffffff);
	assert_int_equal(in(0xcf8, 4), 0x80fffffc);
	out(0xcf8, 2, 0);
	assert_int_equal(in(0xcf8, 4), 0x80fffffc);
}

static void ecam_shows_the_same_space(void **state)
{
	u64 console = 0xe0000000 + (1 << 15);

	(void)state;
	assert_int_equal(mmio_read(0xe0000000, 4), 0x0d578086);
	for (u32 at = 0; at < 256; at += 4)
		assert_int_equal(mmio_read(console + at, 4),
				 config_read(1, at, 4));
	mmio_write(console + 0x3c, 1, 0x77);
	assert_int_equal(config_read(1, 0x3c, 1), 0x77);
	assert_int_equal(mmio_read(console + 2, 2), 0x1043);
	assert_int_equal(mmio_read(console + 256, 4), 0xffffffff);
	assert_int_equal(mmio_read(console + (1 << 12), 4), 0xffffffff);
	assert_int_equal(mmio_read(0xe0010000, 4), 0xffffffff);
	mmio_write(console + driver.window + 4, 1, 0);
	mmio_write(console + driver.window + 8, 4, C_QUEUE_COUNT);
	mmio_write(console + driver.window + 12, 4, 2);
	assert_int_equal(mmio_read(console + driver.window + 16, 2), 6);
}

static void bars_size_and_move(void **state)
{
	static const u32 sizes[6] = {0x4000, 0x1000, 0x10, 0, 0, 0};

	(void)state;
	for (u32 bar = 0; bar < 6; bar++) {
		u32 before = config_read(1, 0x10 + bar * 4, 4);
		u32 mask;

		config_write(1, 0x10 + bar * 4, 4, 0xffffffff);
		mask = config_read(1, 0x10 + bar * 4, 4) & ~0xfU;
		assert_int_equal(mask ? ~mask + 1 : 0, sizes[bar]);
		config_write(1, 0x10 + bar * 4, 4, before);
		assert_int_equal(config_read(1, 0x10 + bar * 4, 4), before);
	}
	assert_int_equal(mmio_read(0xc0000012, 2), 6);
	config_write(1, 0x10, 4, 0xd0000000);
	assert_int_equal(mmio_read(0xc0000012, 2), 0xffff);
	assert_int_equal(mmio_read(0xd0000012, 2), 6);
	config_write(1, 4, 2, 0); /* decoding off */
	assert_int_equal(mmio_read(0xd0000012, 2), 0xffff);
	assert_int_equal(config_read(1, 0x30, 4), 0); /* no ROM */
}

static void identity_cannot_be_written(void **state)
{
	(void)state;
	for (u32 offset = 0; offset < 256; offset += 4)
		config_write(0, offset, 4, 0xffffffff);
	assert_int_equal(config_read(0, 0, 4), 0x0d578086);
	assert_int_equal(config_read(0, 4, 4), 0x00000547);
	assert_int_equal(config_read(0, 0x3c, 4), 0x000000ff);
	assert_int_equal(config_read(0, 0x40, 4), 0);
}

/* --- virtio over PCI ------------------------------------------------------ */

static void driver_finds_every_structure(void **state)
{
	(void)state;
	assert_int_equal(driver.common, 0xc0000000);
	assert_int_equal(driver.isr, 0xc0001000);
	assert_int_equal(driver.device, 0xc0002000);
	assert_int_equal(driver.notify, 0xc0003000);
	assert_int_equal(driver.notify_port, 0xc000);
	assert_int_equal(driver.msix, 0xc0004000);
	assert_true(driver.window != 0);
	assert_int_equal(config_read(1, driver.msix_capability + 2, 2), 7);
	assert_int_equal(mmio_read(driver.device + 4, 4), 2);
}

static void features_are_negotiated(void **state)
{
	(void)state;
	assert_int_equal(common_read(C_DEVICE_FEATURE, 4), MULTIPORT);
	common_write(C_DEVICE_SELECT, 4, 1);
	assert_int_equal(common_read(C_DEVICE_FEATURE, 4), 1);
	common_write(C_DEVICE_SELECT, 4, 2);
	assert_int_equal(common_read(C_DEVICE_FEATURE, 4), 0);
	driver_start(MULTIPORT); /* without VERSION_1 */
	assert_int_equal(common_read(C_STATUS, 1) & 8, 0);
	driver_start(VERSION_1 | 1); /* something that is not offered */
	assert_int_equal(common_read(C_STATUS, 1) & 8, 0);
	driver_start(VERSION_1);
	assert_int_equal(common_read(C_STATUS, 1), 15);
	common_write(C_DRIVER_SELECT, 4, 0);
	common_write(C_DRIVER_FEATURE, 4, MULTIPORT); /* too late */
	assert_int_equal(common_read(C_DRIVER_FEATURE, 4), 0);
}

static void queue_registers_keep_what_is_valid(void **state)
{
	(void)state;
	common_write(C_STATUS, 1, 0);
	assert_int_equal(common_read(C_QUEUE_COUNT, 2), 6);
	assert_int_equal(common_read(C_QUEUE_SIZE, 2), 64);
	common_write(C_QUEUE_SIZE, 2, 48);
	common_write(C_QUEUE_SIZE, 2, 128);
	common_write(C_QUEUE_SIZE, 2, 0);
	assert_int_equal(common_read(C_QUEUE_SIZE, 2), 64);
	assert_int_equal(common_read(C_QUEUE_VECTOR, 2), 0xffff);
	common_write(C_QUEUE_VECTOR, 2, 8);
	assert_int_equal(common_read(C_QUEUE_VECTOR, 2), 0xffff);
	common_write(C_QUEUE_VECTOR, 2, 7);
	assert_int_equal(common_read(C_QUEUE_VECTOR, 2), 7);
	common_write(C_QUEUE_DESCRIPTORS, 4, 0x11223344);
	common_write(C_QUEUE_DESCRIPTORS + 4, 4, 0x55);
	assert_int_equal(mmio_read(driver.common + C_QUEUE_DESCRIPTORS, 8),
			 0x5511223344);
	common_write(C_QUEUE_ENABLE, 2, 1);
	common_write(C_QUEUE_DESCRIPTORS, 4, 0); /* fixed now */
	assert_int_equal(common_read(C_QUEUE_DESCRIPTORS, 4), 0x11223344);
	common_write(C_QUEUE_SELECT, 2, 6); /* no such queue */
	assert_int_equal(common_read(C_QUEUE_SIZE, 2), 0);
	common_write(C_QUEUE_ENABLE, 2, 1);
	common_write(C_STATUS, 1, 0);
	assert_int_equal(common_read(C_QUEUE_ENABLE, 2), 0);
	assert_int_equal(common_read(C_QUEUE_DESCRIPTORS, 4), 0);
}

static void window_reaches_the_structures(void **state)
{
	u32 at = driver.window;

	(void)state;
	config_write(1, at + 4, 1, 0);
	config_write(1, at + 8, 4, C_QUEUE_COUNT);
	config_write(1, at + 12, 4, 2);
	assert_int_equal(config_read(1, at + 16, 4), 6);
	config_write(1, at + 8, 4, C_STATUS);
	config_write(1, at + 12, 4, 1);
	config_write(1, at + 16, 1, 3);
	assert_int_equal(common_read(C_STATUS, 1), 3);
	config_write(1, at + 8, 4, 0xfffffff0); /* outside the BAR */
	config_write(1, at + 16, 1, 0);
	config_write(1, at + 4, 1, 5); /* no such BAR */
	config_write(1, at + 16, 1, 0);
	assert_int_equal(common_read(C_STATUS, 1), 3);
}

/* --- Interrupts ----------------------------------------------------------- */

static void enable_vcpu_0(void)
{
	mmio_write(0xfee000f0, 4, 0x1ff);
}

static void set_msix(u32 vector, u32 data, u32 masked)
{
	mmio_write(driver.msix + vector * 16, 4, 0xfee00000);
	mmio_write(driver.msix + vector * 16 + 4, 4, 0);
	mmio_write(driver.msix + vector * 16 + 8, 4, data);
	mmio_write(driver.msix + vector * 16 + 12, 4, masked);
}

static void msix_interrupts_by_queue(void **state)
{
	(void)state;
	enable_vcpu_0();
	set_msix(TX0 + 1, 0x51, 0);
	config_write(1, driver.msix_capability + 2, 2, 0x8000);
	driver_send(TX0, 0, "x", 1);
	assert_int_equal(take_interrupt(0), 0x51);
	assert_int_equal(mmio_read(driver.isr, 1), 0);
}

static void masked_msix_waits_in_the_pba(void **state)
{
	(void)state;
	enable_vcpu_0();
	set_msix(TX0 + 1, 0x51, 1);
	config_write(1, driver.msix_capability + 2, 2, 0xc000);
	driver_send(TX0, 0, "x", 1);
	assert_int_equal(take_interrupt(0), -1);
	assert_int_equal(mmio_read(driver.msix + 0x800, 8), 1 << (TX0 + 1));
	config_write(1, driver.msix_capability + 2, 2, 0x8000);
	assert_int_equal(take_interrupt(0), -1);
	set_msix(TX0 + 1, 0x52, 0);
	assert_int_equal(take_interrupt(0), 0x52);
	assert_int_equal(mmio_read(driver.msix + 0x800, 4), 0);
	assert_int_equal(mmio_read(driver.msix + 8 * 16, 4), 0); /* beyond */
}

static void intx_is_a_level_until_isr_is_read(void **state)
{
	(void)state;
	enable_vcpu_0();
	mmio_write(0xfec00000, 1, 0x10 + 11 * 2);
	mmio_write(0xfec00010, 4, 0xa05b); /* level, active low */
	driver_send(TX0, 0, "x", 1);
	assert_int_equal(take_interrupt(0), 0x5b);
	mmio_write(0xfee000b0, 4, 0);
	assert_int_equal(take_interrupt(0), 0x5b); /* still asserted */
	assert_int_equal(mmio_read(driver.isr, 1), 1);
	mmio_write(0xfee000b0, 4, 0);
	assert_int_equal(take_interrupt(0), -1);
	config_write(1, 4, 2, 0x0407); /* INTx off */
	driver_send(TX0, 1, "x", 1);
	assert_int_equal(take_interrupt(0), -1);
}

static void driver_can_ask_for_no_interrupt(void **state)
{
	(void)state;
	put16(ring_address(TX0, 1), 1);
	driver_send(TX0, 0, "x", 1);
	assert_int_equal(mmio_read(driver.isr, 1), 0);
	put16(ring_address(TX0, 1), 0);
	driver_send(TX0, 1, "x", 1);
	assert_int_equal(mmio_read(driver.isr, 1), 1);
}

/* --- Console -------------------------------------------------------------- */

static void handshake_describes_both_ports(void **state)
{
	static const struct driver_control expected[] = {
	    {0, 1, 1}, {1, 1, 1}, {0, 4, 1}, {0, 6, 1}, {1, 7, 1},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(expected); i++) {
		u32 count = 0;
		int head = driver_used(CONTROL_RX, &count);

		assert_int_equal(head, i);
		assert_memory_equal(
		    guest_at(buffer_address(CONTROL_RX, (u32)head)),
		    &expected[i], sizeof(expected[i]));
		assert_int_equal(count, i == 4 ? 15 : 8);
	}
	assert_memory_equal(guest_at(buffer_address(CONTROL_RX, 4) + 8),
			    "umbra.0", 7);
}

static void control_messages_wait_for_buffers(void **state)
{
	u32 count;

	(void)state;
	driver_start(VERSION_1 | MULTIPORT);
	driver_send_control(0, 0, 1);
	assert_int_equal(driver_used(CONTROL_RX, &count), -1);
	driver_offer_buffer(CONTROL_RX, 3);
	driver_notify(CONTROL_RX);
	assert_int_equal(driver_used(CONTROL_RX, &count), 3);
	assert_int_equal(driver_used(CONTROL_RX, &count), -1);
}

static void guest_prints_on_hvc0(void **state)
{
	u32 count;

	(void)state;
	driver_send(TX0, 0, "hello", 5);
	assert_printed(PLATFORM_HVC0, "hello");
	assert_int_equal(driver_used(TX0, &count), 0);
	driver_send(TX1, 0, "port", 4);
	assert_printed(PLATFORM_PORT1, "port");
	mmio_write(driver.notify, 2, TX0); /* the other way to notify */
	driver_set_descriptor(
	    TX0, 1,
	    (struct driver_descriptor){buffer_address(TX0, 0), 5, 0, 0});
	driver_offer(TX0, 1);
	mmio_write(driver.notify, 2, TX0);
	assert_printed(PLATFORM_HVC0, "hellohello");
}

static void chains_are_gathered(void **state)
{
	(void)state;
	memcpy(guest_at(buffer_address(TX0, 0)), "abcdef", 6);
	driver_set_descriptor(
	    TX0, 5,
	    (struct driver_descriptor){buffer_address(TX0, 0), 2, 1, 9});
	driver_set_descriptor(
	    TX0, 9,
	    (struct driver_descriptor){buffer_address(TX0, 0), 0, 1, 2});
	driver_set_descriptor(
	    TX0, 2,
	    (struct driver_descriptor){buffer_address(TX0, 0) + 2, 4, 0, 0});
	driver_offer(TX0, 5);
	driver_notify(TX0);
	assert_printed(PLATFORM_HVC0, "abcdef");
}

static void full_console_keeps_the_guests_buffer(void **state)
{
	u32 count;

	(void)state;
	fake.console_full = 1;
	driver_send(TX0, 0, "wait", 4);
	assert_int_equal(driver_used(TX0, &count), -1);
	driver_send(TX1, 0, "", 0);
	fake.console_full = 0;
	platform_console_ready(&platform, 0);
	assert_printed(PLATFORM_HVC0, "wait");
	assert_int_equal(driver_used(TX0, &count), 0);
}

static void much_output_is_done_in_pieces(void **state)
{
	u32 count, ticks = 0;

	(void)state;
	memset(guest_at(0x180000), 'm', 0x40000);
	driver_set_descriptor(
	    TX0, 0, (struct driver_descriptor){0x180000, 0x40000, 0, 0});
	driver_offer(TX0, 0);
	driver_notify(TX0);
	assert_true(fake.console_count[PLATFORM_HVC0] < 0x4000);
	while (platform_next_event_ns(&platform, 0) <= now_ns) {
		platform_tick(&platform, 0, now_ns);
		ticks++;
	}
	assert_int_equal(fake.console_count[PLATFORM_HVC0], 0x40000);
	assert_in_range(ticks, 10, 64);
	assert_int_equal(driver_used(TX0, &count), 0);
}

static void input_fills_the_guests_buffers(void **state)
{
	u32 count = 0;

	(void)state;
	assert_int_equal(type_in(PLATFORM_HVC0, "nobody"), 0);
	driver_offer_buffer(RX0, 4);
	assert_int_equal(type_in(PLATFORM_HVC0, "key"), 3);
	assert_int_equal(driver_used(RX0, &count), 4);
	assert_int_equal(count, 3);
	assert_memory_equal(guest_at(buffer_address(RX0, 4)), "key", 3);
	driver_offer_buffer(RX1, 2);
	assert_int_equal(type_in(PLATFORM_PORT1, "data"), 4);
	assert_int_equal(driver_used(RX1, &count), 2);
	driver_send_control(0, 6, 0); /* the guest closes the port */
	driver_offer_buffer(RX0, 5);
	assert_int_equal(type_in(PLATFORM_HVC0, "x"), 0);
}

static void without_multiport_port_0_just_works(void **state)
{
	(void)state;
	driver_start(VERSION_1);
	driver_offer_buffer(RX0, 0);
	assert_int_equal(type_in(PLATFORM_HVC0, "x"), 1);
	driver_send(TX0, 0, "y", 1);
	assert_printed(PLATFORM_HVC0, "y");
}

static void nothing_happens_without_bus_mastering(void **state)
{
	(void)state;
	config_write(1, 4, 2, 3);
	driver_send(TX0, 0, "x", 1);
	assert_printed(PLATFORM_HVC0, "");
	config_write(1, 4, 2, 7);
	driver_notify(TX0);
	assert_printed(PLATFORM_HVC0, "x");
}

static void reset_forgets_what_was_in_work(void **state)
{
	(void)state;
	fake.console_full = 1;
	driver_send(TX0, 0, "old", 3);
	memset(fake.ram, 0, sizeof(fake.ram));
	driver_find();
	driver_start(VERSION_1);
	fake.console_full = 0;
	platform_console_ready(&platform, 0);
	driver_send(TX0, 1, "new", 3);
	assert_printed(PLATFORM_HVC0, "new");
}

/* --- Port 1, at a cable of which the test has the other end ---------------- */

static int at_a_cable(void **state)
{
	u32 count;

	if (started(state))
		return -1;
	while (driver_used(CONTROL_RX, &count) >= 0)
		continue;
	for (u16 i = 8; i < 16; i++)
		driver_offer_buffer(CONTROL_RX, i);
	driver_send_control(1, 6, 0);
	fake_join();
	return 0;
}

static int connected(void **state)
{
	u32 count;

	if (at_a_cable(state))
		return -1;
	driver_send_control(1, 6, 1);
	cable_set_port(&fake.cable, 1, PLATFORM_PORT_OPEN);
	fake_let_work();
	return driver_used(CONTROL_RX, &count) < 0;
}

static bool peer_sees_us(void)
{
	return cable_peer_port(&fake.cable, 1) == PLATFORM_PORT_OPEN;
}

/* The next message about port 1's other end: its value, or -1. */
static int told(void)
{
	struct driver_control message;
	u32 count;
	int head = driver_used(CONTROL_RX, &count);

	if (head < 0)
		return -1;
	memcpy(&message, guest_at(buffer_address(CONTROL_RX, (u32)head)),
	       sizeof(message));
	assert_int_equal(message.port, 1);
	assert_int_equal(message.event, 6);
	return message.value;
}

static void guest_is_told_of_the_peers_end(void **state)
{
	(void)state;
	cable_set_port(&fake.cable, 1, PLATFORM_PORT_OPEN);
	fake_let_work();
	assert_int_equal(told(), -1); /* its own is closed */
	driver_send_control(1, 6, 1);
	fake_let_work();
	assert_true(peer_sees_us());
	assert_int_equal(told(), 1);
	cable_set_port(&fake.cable, 1, PLATFORM_PORT_CLOSED);
	fake_let_work();
	assert_int_equal(told(), 0);
	cable_set_port(&fake.cable, 1, PLATFORM_PORT_OPEN);
	fake_let_work();
	assert_int_equal(told(), 1);
	driver_send_control(1, 6, 0); /* the guest closes */
	assert_int_equal(told(), 0);
	assert_false(peer_sees_us());
	assert_int_equal(told(), -1);
}

static void close_and_open_at_once(void)
{
	static const struct driver_control messages[2] = {{1, 6, 0}, {1, 6, 1}};

	for (u16 i = 0; i < 2; i++) {
		memcpy(guest_at(buffer_address(CONTROL_TX, i)), &messages[i],
		       sizeof(messages[i]));
		driver_set_descriptor(
		    CONTROL_TX, i,
		    (struct driver_descriptor){buffer_address(CONTROL_TX, i), 8,
					       0, 0});
		driver_offer(CONTROL_TX, i);
	}
	driver_notify(CONTROL_TX);
}

/* Two streams must not look like one. */
static void closed_and_opened_at_once_are_two_messages(void **state)
{
	(void)state;
	close_and_open_at_once();
	assert_int_equal(told(), 0);
	assert_int_equal(told(), -1); /* the peer has not seen it yet */
	assert_false(peer_sees_us());
	fake_let_work();
	assert_int_equal(told(), 1);
	assert_true(peer_sees_us());
}

static void set_port_while_the_peer_looks(void *context,
					  enum platform_port port)
{
	fake_port_set(context, port);
	(void)peer_sees_us();
}

static void they_are_two_also_for_a_peer_that_looks_between(void **state)
{
	static struct platform_host host;

	(void)state;
	host = fake_callbacks;
	host.port_set = set_port_while_the_peer_looks;
	platform.config.host = &host;
	close_and_open_at_once();
	assert_int_equal(told(), 0);
	assert_int_equal(told(), 1);
}

static void news_of_the_peer_waits_for_buffers(void **state)
{
	(void)state;
	driver.next_available[CONTROL_RX] =
	    platform.devices.console.virtio.state.queues[CONTROL_RX]
		.next_available;
	put16(ring_address(CONTROL_RX, 1) + 2,
	      driver.next_available[CONTROL_RX]); /* all taken back */
	for (u32 i = 0; i < 2; i++) {
		cable_set_port(&fake.cable, 1, PLATFORM_PORT_CLOSED);
		fake_let_work();
		cable_set_port(&fake.cable, 1, PLATFORM_PORT_OPEN);
		fake_let_work();
	}
	for (u16 i = 0; i < 4; i++)
		driver_offer_buffer(CONTROL_RX, i);
	driver_notify(CONTROL_RX);
	fake_let_work();
	assert_int_equal(told(), 0);
	assert_int_equal(told(), 1);
	assert_int_equal(told(), -1);
}

static void bytes_go_both_ways(void **state)
{
	static u8 sent[2 * BUFFER_BYTES], got[2 * BUFFER_BYTES];
	u32 count = 0;

	(void)state;
	driver_send(TX1, 0, "to the peer", 11);
	assert_int_equal(cable_peek(&fake.cable, 1, got, sizeof(got)), 11);
	assert_memory_equal(got, "to the peer", 11);
	for (u32 i = 0; i < sizeof(sent); i++)
		sent[i] = (u8)(i * 3 + (i >> 8));
	assert_int_equal(cable_write(&fake.cable, 1, sent, sizeof(sent) - 7),
			 sizeof(sent) - 7);
	fake_let_work(); /* there is no buffer yet */
	assert_int_equal(driver_used(RX1, &count), -1);
	driver_offer_buffer(RX1, 0);
	driver_notify(RX1);
	assert_int_equal(driver_used(RX1, &count), 0);
	assert_int_equal(count, BUFFER_BYTES); /* a buffer is filled */
	driver_offer_buffer(RX1, 1);
	driver_notify(RX1);
	assert_int_equal(driver_used(RX1, &count), 1);
	assert_int_equal(count, BUFFER_BYTES - 7);
	assert_memory_equal(guest_at(buffer_address(RX1, 0)), sent,
			    sizeof(sent) - 7);
	assert_int_equal(driver_used(RX1, &count), -1);
}

static void peer_that_does_not_read_holds_the_guest_up(void **state)
{
	static u8 got[CABLE_BYTES];
	u32 count;

	(void)state;
	memset(guest_at(0x180000), 'm', 2 * CABLE_BYTES);
	driver_set_descriptor(
	    TX1, 0,
	    (struct driver_descriptor){0x180000, 2 * CABLE_BYTES, 0, 0});
	driver_offer(TX1, 0);
	driver_notify(TX1);
	fake_let_work();
	assert_int_equal(driver_used(TX1, &count), -1);
	assert_int_equal(cable_peek(&fake.cable, 1, got, sizeof(got)),
			 CABLE_BYTES);
	driver_send(TX0, 0, "console", 7); /* which it does not hold up */
	assert_printed(PLATFORM_HVC0, "console");
	cable_take(&fake.cable, 1, CABLE_BYTES);
	fake_let_work();
	assert_int_equal(driver_used(TX1, &count), 0);
	assert_int_equal(cable_peek(&fake.cable, 1, got, sizeof(got)),
			 CABLE_BYTES);
}

static void last_bytes_come_before_the_news(void **state)
{
	u32 count;

	(void)state;
	assert_int_equal(cable_write(&fake.cable, 1, (const u8 *)"last", 4), 4);
	cable_set_port(&fake.cable, 1, PLATFORM_PORT_CLOSED);
	fake_let_work();
	assert_int_equal(told(), -1);
	driver_offer_buffer(RX1, 0);
	driver_notify(RX1);
	assert_int_equal(driver_used(RX1, &count), 0);
	assert_int_equal(told(), 0);
}

static void reset_closes_the_port(void **state)
{
	(void)state;
	assert_true(peer_sees_us());
	common_write(C_STATUS, 1, 0);
	assert_false(peer_sees_us());
}

static void broken_rings_close_the_port(void **state)
{
	(void)state;
	assert_true(peer_sees_us());
	driver_set_descriptor(
	    RX1, 0, (struct driver_descriptor){FAKE_RAM_BYTES - 1, 2, 2, 0});
	driver_offer(RX1, 0);
	assert_int_equal(cable_write(&fake.cable, 1, (const u8 *)"xy", 2), 2);
	fake_let_work();
	assert_true(needs_reset());
	assert_false(peer_sees_us());
	assert_false(platform.devices.console.state.ports[1].host_open);
}

/* Elsewhere it is not joined: the guest learns that when it runs. */
static void guest_that_has_moved_finds_the_port_closed(void **state)
{
	(void)state;
	fake.is_joined = 0;
	platform_restored(&platform);
	fake_let_work();
	assert_int_equal(told(), 0);
}

/* --- Drivers that break their rings --------------------------------------- */

static void offer_bad(struct driver_descriptor descriptor)
{
	driver_set_descriptor(TX0, 0, descriptor);
	driver_offer(TX0, 0);
	driver_notify(TX0);
}

static void buffer_outside_memory_breaks(void **state)
{
	(void)state;
	offer_bad((struct driver_descriptor){FAKE_RAM_BYTES - 1, 2, 0, 0});
	assert_true(needs_reset());
	assert_int_equal(mmio_read(driver.isr, 1) & 2, 2);
	driver_find();
	driver_start(VERSION_1);
	assert_false(needs_reset());
	offer_bad((struct driver_descriptor){~0ULL, 0xffffffff, 0, 0});
	assert_true(needs_reset());
}

static void writable_buffer_for_output_breaks(void **state)
{
	(void)state;
	offer_bad((struct driver_descriptor){0x180000, 1, 2, 0});
	assert_true(needs_reset());
}

static void indirect_descriptor_breaks(void **state)
{
	(void)state;
	offer_bad((struct driver_descriptor){0x180000, 16, 4, 0});
	assert_true(needs_reset());
}

static void chain_that_loops_breaks(void **state)
{
	(void)state;
	offer_bad((struct driver_descriptor){0x180000, 1, 1, 0});
	assert_true(needs_reset());
}

static void chain_out_of_the_table_breaks(void **state)
{
	(void)state;
	offer_bad((struct driver_descriptor){0x180000, 1, 1, 16});
	assert_true(needs_reset());
}

static void head_out_of_the_table_breaks(void **state)
{
	(void)state;
	driver_offer(TX0, 16);
	driver_notify(TX0);
	assert_true(needs_reset());
}

static void index_too_far_ahead_breaks(void **state)
{
	(void)state;
	put16(ring_address(TX0, 1) + 2, DRIVER_QUEUE_SIZE + 1);
	driver_notify(TX0);
	assert_true(needs_reset());
}

static void rings_outside_memory_break(void **state)
{
	(void)state;
	common_write(C_STATUS, 1, 0);
	common_write(C_DRIVER_SELECT, 4, 1);
	common_write(C_DRIVER_FEATURE, 4, 1);
	common_write(C_STATUS, 1, 11);
	common_write(C_QUEUE_SELECT, 2, TX0);
	common_write(C_QUEUE_AVAILABLE, 8, ~0ULL - 3);
	common_write(C_QUEUE_ENABLE, 2, 1);
	common_write(C_STATUS, 1, 15);
	driver_notify(TX0);
	assert_true(needs_reset());
	fake.console_count[PLATFORM_HVC0] = 0;
	driver_send(TX0, 0, "x", 1);
	assert_printed(PLATFORM_HVC0, "");
}

#define FRESH(name)      cmocka_unit_test_setup(name, fresh)
#define STARTED(name)    cmocka_unit_test_setup(name, started)
#define AT_A_CABLE(name) cmocka_unit_test_setup(name, at_a_cable)
#define CONNECTED(name)  cmocka_unit_test_setup(name, connected)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    FRESH(bus_has_a_bridge_and_a_console),
	    FRESH(address_register_is_32_bits_at_once),
	    FRESH(ecam_shows_the_same_space),
	    FRESH(bars_size_and_move),
	    FRESH(identity_cannot_be_written),
	    FRESH(driver_finds_every_structure),
	    FRESH(features_are_negotiated),
	    FRESH(queue_registers_keep_what_is_valid),
	    FRESH(window_reaches_the_structures),
	    STARTED(msix_interrupts_by_queue),
	    STARTED(masked_msix_waits_in_the_pba),
	    STARTED(intx_is_a_level_until_isr_is_read),
	    STARTED(driver_can_ask_for_no_interrupt),
	    STARTED(handshake_describes_both_ports),
	    FRESH(control_messages_wait_for_buffers),
	    STARTED(guest_prints_on_hvc0),
	    STARTED(chains_are_gathered),
	    STARTED(full_console_keeps_the_guests_buffer),
	    STARTED(much_output_is_done_in_pieces),
	    STARTED(input_fills_the_guests_buffers),
	    FRESH(without_multiport_port_0_just_works),
	    STARTED(nothing_happens_without_bus_mastering),
	    STARTED(reset_forgets_what_was_in_work),
	    AT_A_CABLE(guest_is_told_of_the_peers_end),
	    CONNECTED(closed_and_opened_at_once_are_two_messages),
	    CONNECTED(they_are_two_also_for_a_peer_that_looks_between),
	    CONNECTED(news_of_the_peer_waits_for_buffers),
	    CONNECTED(bytes_go_both_ways),
	    CONNECTED(peer_that_does_not_read_holds_the_guest_up),
	    CONNECTED(last_bytes_come_before_the_news),
	    CONNECTED(reset_closes_the_port),
	    CONNECTED(broken_rings_close_the_port),
	    CONNECTED(guest_that_has_moved_finds_the_port_closed),
	    STARTED(buffer_outside_memory_breaks),
	    STARTED(writable_buffer_for_output_breaks),
	    STARTED(indirect_descriptor_breaks),
	    STARTED(chain_that_loops_breaks),
	    STARTED(chain_out_of_the_table_breaks),
	    STARTED(head_out_of_the_table_breaks),
	    STARTED(index_too_far_ahead_breaks),
	    STARTED(rings_outside_memory_break),
	};

	return cmocka_run_group_tests_name("virtio", tests, NULL, NULL);
}
