/* SPDX-License-Identifier: MIT */
/*
 * How drivers/serial.c reaches a UART's registers: by instructions on a machine
 * (drivers/serial_port.c), while a test has UARTs of its own.
 */
#ifndef DRIVERS_SERIAL_PORT_H
#define DRIVERS_SERIAL_PORT_H

#include "lib/types.h"

u8 serial_port_in(u16 port);
void serial_port_out(u16 port, u8 value);

/* As many times in a row. */
void serial_port_ins(u16 port, u8 *bytes, u32 count);
void serial_port_outs(u16 port, const u8 *bytes, u32 count);

#endif
