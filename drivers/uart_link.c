/* SPDX-License-Identifier: MIT */
/* A stream on a serial line: see drivers/uart_link.h. */
#include "drivers/uart_link.h"

#define PIECE_BYTES 64U /* four FIFOs: little work for the slowest CPU */

static struct uart_link *uart_of(struct frame_port *port)
{
	return (struct uart_link *)((u8 *)port -
				    offsetof(struct uart_link, port));
}

static bool uart_has_room(struct frame_port *port)
{
	return serial_room(&uart_of(port)->serial) >= UART_FRAME_BYTES;
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

static u32 uart_receive(struct frame_port *port, const u8 **frame, u64 *from)
{
	struct uart_link *uart = uart_of(port);

	for (;;) {
		u32 bytes = serial_frame_take(&uart->reader, &uart->input_at,
					      &uart->input_left);

		*frame = uart->reader.frame;
		*from = 0;
		if (bytes)
			return bytes;
		serial_poll(&uart->serial);
		uart->input_at = uart->input;
		uart->input_left = (u32)serial_read(&uart->serial, uart->input,
						    sizeof(uart->input));
		if (!uart->input_left)
			return 0;
	}
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
