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

#define UART_BODY_BYTES  STREAM_BODY_MAX
#define UART_FRAME_BYTES SERIAL_FRAME_BYTES(STREAM_HEAD_BYTES + UART_BODY_BYTES)

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
	u32 seen;        /* bytes that had come at the last look, and stayed */
	bool wants_room; /* for a frame: there was none */
	u8 output[UART_FRAME_BYTES];
	u8 room[STREAM_ROOM_BYTES];
};

/* ERR_NOT_FOUND: no UART at that port. */
MUST_CHECK enum err uart_link_init(struct uart_link *uart,
				   const struct uart_link_config *config);

/*
 * Is it worth while to poll the link? Else what its interrupt has brought is
 * not much yet. To be polled every few milliseconds in any case.
 */
bool uart_link_has_news(struct uart_link *uart);

#endif
