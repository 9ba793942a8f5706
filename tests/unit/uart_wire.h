/* SPDX-License-Identifier: MIT */
/*
 * Two UARTs (devices/uart.h, what guests get) with a line between them, for the
 * driver of Umbra's own (drivers/serial.h). Interrupts are edges: what leaves
 * its cause standing hears no other.
 */
#ifndef TESTS_UNIT_UART_WIRE_H
#define TESTS_UNIT_UART_WIRE_H

#include "devices/uart.h"
#include "drivers/serial.h"
#include "drivers/serial_port.h"
#include "lib/bits.h"
#include "tests/unit/support.h"

#define WIRE_PORT 0x2f0U /* of the first; 8 on, the second */

struct wire_end {
	struct uart_state uart;
	struct serial *serial; /* whose interrupt it is, or NULL: nobody's */
	bool level, edge;
	bool rts;
	u64 lost; /* that came when the FIFO was full */
};

static struct wire_end wire_ends[2];
static bool wire_has_fifos, wire_has_handshake;
static bool wire_runs;       /* by itself, while somebody looks at a status */
static bool wire_is_instant; /* a byte has left before its write is over */
static u8 wire_left[8192];   /* those, and how many */
static u32 wire_left_count;
static struct random *wire_dice; /* or now and then, at any register */
static u32 wire_noise; /* one byte in so many is another, by wire_dice; or 0 */

static void wire_step(struct wire_end *from);

static struct wire_end *wire_end_of(u16 port)
{
	u32 index = (port - WIRE_PORT) / 8U;

	return port >= WIRE_PORT && index < 2 ? &wire_ends[index] : NULL;
}

static struct wire_end *wire_other(const struct wire_end *end)
{
	return &wire_ends[end == wire_ends];
}

static void wire_watch(struct wire_end *end)
{
	bool level = uart_interrupt(&end->uart);

	end->edge |= level && !end->level;
	end->level = level;
}

/* One byte, if one waits. */
static void wire_step(struct wire_end *from)
{
	struct wire_end *to = wire_other(from);
	u8 bytes[UART_FIFO_BYTES];

	if (!uart_output(&from->uart, bytes))
		return;
	uart_output_taken(&from->uart, 1);
	if (wire_noise && random_below(wire_dice, wire_noise) == 0)
		bytes[0] = (u8)random_next(wire_dice);
	to->lost += uart_receive(&to->uart, bytes, 1) == 0;
	wire_watch(from);
	wire_watch(to);
}

/* Edges reach their handlers. */
static void wire_interrupt(void)
{
	for (u32 i = 0; i < 2; i++) {
		struct wire_end *end = &wire_ends[i];

		while (end->edge) {
			end->edge = false;
			if (end->serial && end->serial->interrupts)
				serial_poll(end->serial);
		}
	}
}

static void wire_reset(void)
{
	memset(wire_ends, 0, sizeof(wire_ends));
	for (u32 i = 0; i < 2; i++)
		uart_reset(&wire_ends[i].uart);
	wire_has_fifos = true;
	wire_has_handshake = wire_runs = wire_is_instant = false;
	wire_dice = NULL;
	wire_noise = wire_left_count = 0;
}

/* --- Below the driver ----------------------------------------------------- */

u8 serial_port_in(u16 port)
{
	struct wire_end *end = wire_end_of(port);
	u32 index = port % 8U;
	u8 value;

	if (!end)
		return 0xff;
	if (index == 5 && wire_runs)
		wire_step(end);
	value = uart_read(&end->uart, index);
	wire_watch(end);
	if (wire_dice && random_below(wire_dice, 8) == 0)
		wire_step(&wire_ends[random_below(wire_dice, 2)]);
	if (index == 6) {
		value &= (u8)~BIT(4);
		if (wire_has_handshake && wire_other(end)->rts)
			value |= (u8)BIT(4);
	}
	return value;
}

void serial_port_out(u16 port, u8 value)
{
	struct wire_end *end = wire_end_of(port);
	u32 index = port % 8U;

	if (!end || (index == 2 && !wire_has_fifos))
		return;
	if (index == 4)
		end->rts = value & BIT(1);
	uart_write(&end->uart, index, value);
	if (index == 0 && wire_is_instant) {
		uart_output_taken(&end->uart, 1);
		wire_left[wire_left_count++ % sizeof(wire_left)] = value;
	}
	wire_watch(end);
}

void serial_port_ins(u16 port, u8 *bytes, u32 count)
{
	for (u32 i = 0; i < count; i++)
		bytes[i] = serial_port_in(port);
}

void serial_port_outs(u16 port, const u8 *bytes, u32 count)
{
	for (u32 i = 0; i < count; i++)
		serial_port_out(port, bytes[i]);
}

#endif
