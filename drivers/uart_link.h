/* SPDX-License-Identifier: MIT */
/*
 * The link that every machine has: a 16550, at 115200 baud, with whatever
 * handshake the cable carries.
 *
 * A serial line does not know its peer: the link is UP at once, and whether
 * anybody is there is for the engines to find out (silence).
 */
#ifndef DRIVERS_UART_LINK_H
#define DRIVERS_UART_LINK_H

#include "drivers/serial.h"
#include "migrate/link.h"

struct uart_link {
	struct link link;
	struct serial serial;
};

/* ERR_NOT_FOUND: no UART at that port. */
MUST_CHECK enum err uart_link_init(struct uart_link *uart, u16 port);

#endif
