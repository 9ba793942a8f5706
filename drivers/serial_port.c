/* SPDX-License-Identifier: MIT */
/* A UART's registers on a machine: see drivers/serial_port.h. */
#include "drivers/serial_port.h"
#include "arch/x86/cpu/insn.h"

u8 serial_port_in(u16 port)
{
	return insn_in8(port);
}

void serial_port_out(u16 port, u8 value)
{
	insn_out8(port, value);
}

void serial_port_ins(u16 port, u8 *bytes, u32 count)
{
	insn_ins8(port, bytes, count);
}

void serial_port_outs(u16 port, const u8 *bytes, u32 count)
{
	insn_outs8(port, bytes, count);
}
