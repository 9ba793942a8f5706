/* SPDX-License-Identifier: MIT */
/*
 * Umbra's own 16550 UARTs, for the console and the migration link.
 *
 * Output goes through a ring: whoever writes puts bytes in and lets the FIFO
 * take what it can; the transmitter's interrupt, on while anything waits, takes
 * the rest. Before serial_use_interrupts() and after serial_flush() nothing
 * waits in the ring.
 * Input is collected by the interrupt handler (or serial_poll()).
 *
 * A handshake, if asked for and where the line has it: RTS falls while the
 * input ring is nearly full, and nothing is sent while CTS is low on a line
 * where CTS has ever been high. (A cable of three wires never raises it.) Not
 * for the console, which must not wait for whoever is at the other end.
 *
 * Every function may be called from any CPU; a lock per UART is inside.
 */
#ifndef DRIVERS_SERIAL_H
#define DRIVERS_SERIAL_H

#include "lib/err.h"
#include "lib/spinlock.h"
#include "lib/types.h"

#define UART_COM1_PORT    0x3f8
#define UART_COM1_IRQ     4
#define UART_COM2_PORT    0x2f8
#define UART_COM2_IRQ     3

#define SERIAL_RING_BYTES 8192 /* a power of two */

struct serial_ring {
	u8 bytes[SERIAL_RING_BYTES];
	u32 put; /* free-running; put - taken bytes are inside */
	u32 taken;
};

struct serial {
	struct spinlock lock;
	u16 port;
	u8 fifo_bytes; /* that THR takes when it is empty */
	bool present;
	bool interrupts;
	u8 asked; /* of the interrupts: those in IER */
	struct serial_ring output;
	struct serial_ring input;
	u64 input_lost; /* bytes that found the input ring full */
	u64 overruns;   /* times that the FIFO was full, too */
	bool handshake; /* was asked for */
	bool has_cts;   /* CTS was seen high: the line has handshake wires */
	bool is_held;   /* RTS is low: the peer is to wait */
};

/*
 * Programs 115200 baud, 8N1, FIFOs on where there are any that work.
 * ERR_NOT_FOUND if nothing answers at the port; then writing is a no-op and
 * reading finds nothing.
 */
enum err serial_init(struct serial *serial, u16 port);

/* Lets the UART raise its interrupt; the caller has routed it to a CPU. */
void serial_use_interrupts(struct serial *serial);

/* Before the first byte. */
void serial_use_handshake(struct serial *serial);

/* The interrupt's handler, and what may be called instead at any time. */
void serial_poll(struct serial *serial);

/* Queues all bytes; waits for the line only when the ring is full. */
void serial_write(struct serial *serial, const u8 *bytes, size_t count);

/* Queues what there is room for and returns how much that was; no waiting. */
size_t serial_write_some(struct serial *serial, const u8 *bytes, size_t count);

/* How much serial_write_some() would take now. */
size_t serial_room(struct serial *serial);

/* Returns how many bytes were there, up to `limit`. */
size_t serial_read(struct serial *serial, u8 *bytes, size_t limit);

/*
 * Bytes that have come, where they lie, for a caller who is the only one that
 * takes them; returns how many are in one piece. They go by serial_drop().
 */
u32 serial_peek(const struct serial *serial, const u8 **bytes);

/* As many as have been looked at, or fewer. */
void serial_drop(struct serial *serial, u32 count);

/* Whether serial_read() would return something; may be called unlocked. */
bool serial_has_input(const struct serial *serial);

/* Waits until the last byte is on the line. */
void serial_flush(struct serial *serial);

/*
 * For a panic: whoever held the lock will never return, so it is taken by
 * force; from then on every write waits for the line.
 */
void serial_break_lock(struct serial *serial);

#endif
