/* SPDX-License-Identifier: MIT */
/*
 * The link that every machine has: a 16550 at 115200 baud, with whatever
 * handshake the cable carries.
 *
 * A serial line loses bytes when nobody takes them in time, and does not know
 * its peer; so it carries frames (migrate/serial_frame.h) of a stream
 * (migrate/stream.h), which sees to both.
 */
#ifndef DRIVERS_UART_LINK_H
#define DRIVERS_UART_LINK_H

#include "drivers/serial.h"
#include "migrate/serial_frame.h"
#include "migrate/stream.h"

#define UART_BODY_BYTES  1000U
#define UART_FRAME_BYTES SERIAL_FRAME_BYTES(STREAM_HEAD_BYTES + UART_BODY_BYTES)
#define UART_INPUT_BYTES 64U

struct uart_link_config {
	u16 port;
	u64 silence_ns;
	u64 entropy;
};

struct uart_link {
	struct stream stream;
	struct frame_port port;
	struct serial serial;
	struct serial_frame_reader reader;
	u8 input[UART_INPUT_BYTES];
	const u8 *input_at;
	u32 input_left;
	u8 output[UART_FRAME_BYTES];
	u8 room[STREAM_ROOM_BYTES];
};

/* ERR_NOT_FOUND: no UART at that port. */
MUST_CHECK enum err uart_link_init(struct uart_link *uart,
				   const struct uart_link_config *config);

#endif
