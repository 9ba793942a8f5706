/* SPDX-License-Identifier: MIT */
/*
 * A 16550A UART as a guest sees it (National Semiconductor PC16550D data
 * sheet): eight byte registers, FIFOs of 16, interrupts, loopback.
 *
 * The line is as fast as what stands behind it: what was written leaves when
 * the host takes it, mostly at once, and a receive FIFO below its trigger level
 * reports the character time-out at once. Only behind a read does it keep quiet
 * for four characters, as the data sheet has it: else a driver that empties the
 * FIFO would find an interrupt for nothing. What would overrun the receiver is
 * not accepted, so nothing is lost. The modem at the other end is always there:
 * CTS, DSR and DCD.
 */
#ifndef DEVICES_UART_H
#define DEVICES_UART_H

#include "lib/bits.h"
#include "lib/types.h"

#define UART_PORTS      8
#define UART_FIFO_BYTES 16

struct uart_fifo {
	u8 first; /* index of the oldest byte */
	u8 count;
	u8 bytes[UART_FIFO_BYTES];
};

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
	struct uart_fifo received;
	struct uart_fifo transmitted; /* written, and not yet taken */
	/* No time-out before that; 0 if nobody waits. No part of what is saved:
	 * a guest that goes on elsewhere has waited. */
	u64 quiet_until_ns;
};

void uart_reset(struct uart_state *uart);

/* Registers 0-7. */
u8 uart_read(struct uart_state *uart, u32 index);
void uart_write(struct uart_state *uart, u32 index, u8 value);

/*
 * A byte that goes to THR may pass through at once, because nothing stands before
 * it and no loop is closed: it has been transmitted if this says so, and must go
 * to the host. Else nothing has changed, and uart_write() is the way.
 */
bool uart_pass(struct uart_state *uart);

/* What waits to leave, oldest first; returns how many bytes. */
u32 uart_output(const struct uart_state *uart, u8 bytes[UART_FIFO_BYTES]);

/* The host has taken this many of them. */
void uart_output_taken(struct uart_state *uart, u64 count);

/* Bytes come in through the line; returns how many were taken. */
u64 uart_receive(struct uart_state *uart, const u8 *bytes, u64 count);

/* RBR has just been read: what is left is no time-out for a while. */
void uart_was_read(struct uart_state *uart, u64 now_ns);

/* The end of that, if it has come by now; and when it comes, or CLOCK_NEVER. */
void uart_tick(struct uart_state *uart, u64 now_ns);
u64 uart_next_event_ns(const struct uart_state *uart);

/* The level of its interrupt line, which OUT2 gates on a PC. */
bool uart_interrupt(const struct uart_state *uart);

/*
 * Writing THR ends the transmitter's interrupt. Here a byte leaves in no time, so
 * that the interrupt may be back before the access is over. True if it is, and no
 * other has kept the line high meanwhile: one that was high has been low, and has
 * risen.
 */
enum uart_access { UART_OTHER_ACCESS, UART_THR_WRITTEN };

bool uart_is_back(const struct uart_state *uart, enum uart_access access);

#endif
