/* SPDX-License-Identifier: MIT */
/* A stream on a serial line: see drivers/uart_link.h. */
#include "drivers/uart_link.h"

#define PIECE_BYTES 128U /* eight FIFOs: little work for the slowest CPU */

static struct uart_link *uart_of(struct frame_port *port)
{
	return (struct uart_link *)((u8 *)port -
				    offsetof(struct uart_link, port));
}

static bool has_room(struct uart_link *uart)
{
	return serial_room(&uart->serial) >= UART_FRAME_BYTES;
}

static bool uart_has_room(struct frame_port *port)
{
	struct uart_link *uart = uart_of(port);

	uart->wants_room = !has_room(uart);
	return !uart->wants_room;
}

/* A frame goes whole into the output ring, or not at all. */
static bool uart_send(struct frame_port *port, const u8 *head,
		      const struct stream_frame *frame, u64 to)
{
	struct uart_link *uart = uart_of(port);
	struct serial_frame_writer writer;
	u32 count;

	(void)to; /* there is one other end */
	if (!uart_has_room(port))
		return false;
	serial_frame_begin(&writer, uart->output);
	serial_frame_add(&writer, head, STREAM_HEAD_BYTES);
	/* The line must not wait for the stuffing. */
	for (u32 at = 0; at < frame->body_bytes; at += PIECE_BYTES) {
		u32 left = frame->body_bytes - at;

		serial_frame_add(&writer, frame->body + at,
				 left < PIECE_BYTES ? left : PIECE_BYTES);
		serial_poll(&uart->serial);
	}
	count = serial_frame_end(&writer);
	return serial_write_some(&uart->serial, uart->output, count) == count;
}

/* A few bytes at a time cost more than they are, unless they end a frame. */
static bool are_worth_taking(const u8 *bytes, u32 count)
{
	return count >= PIECE_BYTES || (count && !bytes[count - 1]);
}

static u32 uart_receive(struct frame_port *port, const u8 **frame, u64 *from)
{
	struct uart_link *uart = uart_of(port);
	const u8 *at;
	u32 here;

	serial_poll(&uart->serial);
	while ((here = serial_peek(&uart->serial, &at)) > 0) {
		u32 left = here, bytes;

		/* Or if no more have come since the last look. */
		if (!are_worth_taking(at, here) && here != uart->seen) {
			uart->seen = here;
			break;
		}
		uart->seen = 0;
		bytes = serial_frame_take(&uart->reader, &at, &left);
		serial_drop(&uart->serial, here - left);
		*frame = uart->reader.frame;
		*from = 0;
		if (bytes)
			return bytes;
	}
	return 0;
}

bool uart_link_has_news(struct uart_link *uart)
{
	const u8 *at;
	u32 here = serial_peek(&uart->serial, &at);

	return are_worth_taking(at, here) ||
	       (uart->wants_room && has_room(uart));
}

static const struct frame_port_operations operations = {
    .has_room = uart_has_room,
    .send = uart_send,
    .receive = uart_receive,
};

enum err uart_link_init(struct uart_link *uart,
			const struct uart_link_config *config)
{
	const struct stream_config stream = {
	    .port = &uart->port,
	    .room = uart->room,
	    .silence_ns = config->silence_ns,
	    .entropy = config->entropy,
	};
	enum err err = serial_init(&uart->serial, config->port);

	if (err != OK)
		return err;
	serial_use_handshake(&uart->serial);
	uart->port = (struct frame_port){&operations, "uart", UART_BODY_BYTES,
					 STREAM_SEAL_CRC};
	stream_init(&uart->stream, &stream);
	return OK;
}
