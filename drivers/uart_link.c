/* SPDX-License-Identifier: MIT */
/* A UART as a link: see drivers/uart_link.h. */
#include "drivers/uart_link.h"

static struct uart_link *uart_of(struct link *link)
{
	return (struct uart_link *)link;
}

_Static_assert(offsetof(struct uart_link, link) == 0, "uart_of is a cast");

/* What is left of an old stream goes with it, as far as it has come. */
static void uart_connect(struct link *link)
{
	u8 old[64];

	serial_poll(&uart_of(link)->serial);
	while (serial_read(&uart_of(link)->serial, old, sizeof(old)))
		continue;
	link->state = LINK_UP;
}

static u32 uart_send(struct link *link, const u8 *bytes, u32 count)
{
	return (u32)serial_write_some(&uart_of(link)->serial, bytes, count);
}

static u32 uart_receive(struct link *link, u8 *bytes, u32 room)
{
	return (u32)serial_read(&uart_of(link)->serial, bytes, room);
}

static void uart_poll(struct link *link, u64 now_ns)
{
	struct serial *serial = &uart_of(link)->serial;

	(void)now_ns;
	serial_poll(serial);
	if (serial->input_lost || serial->overruns)
		link_is_lost(link, "bytes were lost on the serial line, which "
				   "has no working handshake (RTS, CTS)");
}

static u32 uart_pending(struct link *link)
{
	return (u32)serial_pending(&uart_of(link)->serial);
}

static void uart_close(struct link *link)
{
	(void)link;
}

static const struct link_operations operations = {
    .connect = uart_connect,
    .send = uart_send,
    .receive = uart_receive,
    .poll = uart_poll,
    .pending = uart_pending,
    .close = uart_close,
};

enum err uart_link_init(struct uart_link *uart, u16 port)
{
	enum err err = serial_init(&uart->serial, port);

	if (err != OK)
		return err;
	serial_use_handshake(&uart->serial);
	uart->link = (struct link){.operations = &operations, .name = "uart"};
	return OK;
}
