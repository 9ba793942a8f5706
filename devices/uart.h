/* SPDX-License-Identifier: MIT */
/*
 * A 16550A UART as a guest sees it (National Semiconductor PC16550D data
 * sheet): eight byte registers, FIFOs of 16, interrupts, loopback.
 *
 * The line is infinitely fast: what is transmitted has left at once, and a
 * receive FIFO below its trigger level reports the character time-out at once.
 * What would overrun is not accepted, so nothing is lost. The modem at the
 * other end is always there: CTS, DSR and DCD.
 */
#ifndef DEVICES_UART_H
#define DEVICES_UART_H

#include "lib/bits.h"
#include "lib/types.h"

#define UART_PORTS      8
#define UART_FIFO_BYTES 16

struct uart_state {
	u8 interrupt_enable;
	u8 fifo_control;
	u8 line_control;
	u8 modem_control;
	u8 line_errors;  /* LSR bits that reading clears: overrun */
	u8 modem_deltas; /* MSR bits 3:0 */
	u8 scratch;
	u8 divisor_low;
	u8 divisor_high;
	u8 transmitter_empty; /* its interrupt is pending: 0 or 1 */
	u8 fifo_first;        /* oldest byte */
	u8 fifo_count;
	u8 fifo[UART_FIFO_BYTES];
};

void uart_reset(struct uart_state *uart);

/* Registers 0-7. */
u8 uart_read(struct uart_state *uart, u32 index);

enum uart_output { UART_SENT_NOTHING, UART_SENT_BYTE };

/* SENT_BYTE: `value` has left through the line. */
enum uart_output uart_write(struct uart_state *uart, u32 index, u8 value);

/* Bytes come in through the line; returns how many were taken. */
u64 uart_receive(struct uart_state *uart, const u8 *bytes, u64 count);

/* The level of its interrupt line, which OUT2 gates on a PC. */
bool uart_interrupt(const struct uart_state *uart);

#endif
