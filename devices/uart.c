/* SPDX-License-Identifier: MIT */
/* See devices/uart.h. Register and bit names are the data sheet's. */
#include "devices/uart.h"
#include "lib/string.h"

enum uart_register {
	RBR_THR = 0, /* receiver buffer, transmitter holding; divisor low */
	IER = 1,     /* interrupt enable; divisor high */
	IIR_FCR = 2, /* interrupt identification, FIFO control */
	LCR = 3,
	MCR = 4,
	LSR = 5,
	MSR = 6,
	SCR = 7,
};

#define IER_RECEIVED       BIT(0)
#define IER_TRANSMITTER    BIT(1)
#define IER_LINE_STATUS    BIT(2)
#define IER_MODEM_STATUS   BIT(3)

#define IIR_NONE           0x01
#define IIR_MODEM_STATUS   0x00
#define IIR_TRANSMITTER    0x02
#define IIR_RECEIVED       0x04
#define IIR_LINE_STATUS    0x06
#define IIR_TIME_OUT       0x0c
#define IIR_FIFOS_ENABLED  0xc0

#define FCR_ENABLE         BIT(0)
#define FCR_CLEAR_RECEIVER BIT(1)
#define FCR_DMA_MODE       BIT(3)
#define FCR_TRIGGER        BITS(7, 6)

#define LCR_DLAB           BIT(7)

#define MCR_DTR            BIT(0)
#define MCR_RTS            BIT(1)
#define MCR_OUT1           BIT(2)
#define MCR_OUT2           BIT(3)
#define MCR_LOOP           BIT(4)
#define MCR_BITS           BITS(4, 0)

#define LSR_DATA_READY     BIT(0)
#define LSR_OVERRUN        BIT(1)
#define LSR_THR_EMPTY      BIT(5)
#define LSR_ALL_EMPTY      BIT(6)

#define MSR_DELTAS         BITS(3, 0)
#define MSR_TRAILING_RING  BIT(2)
#define MSR_CTS            BIT(4)
#define MSR_DSR            BIT(5)
#define MSR_RING           BIT(6)
#define MSR_DCD            BIT(7)

void uart_reset(struct uart_state *uart)
{
	memset(uart, 0, sizeof(*uart));
	uart->divisor_low = 12; /* 9600 baud, as firmware leaves it */
	uart->line_control = 3; /* eight bits, no parity */
}

static bool has_fifo(const struct uart_state *uart)
{
	return uart->fifo_control & FCR_ENABLE;
}

static u32 capacity(const struct uart_state *uart)
{
	return has_fifo(uart) ? UART_FIFO_BYTES : 1;
}

static u32 trigger_level(const struct uart_state *uart)
{
	static const u8 levels[] = {1, 4, 8, 14};

	return has_fifo(uart)
		   ? levels[bits_get(uart->fifo_control, FCR_TRIGGER)]
		   : 1;
}

/* --- Lines ---------------------------------------------------------------- */

/* In loopback the modem's inputs are our own outputs. */
static u8 modem_lines(const struct uart_state *uart)
{
	u8 control = uart->modem_control;

	if (!(control & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u8)((control & MCR_RTS ? MSR_CTS : 0) |
		    (control & MCR_DTR ? MSR_DSR : 0) |
		    (control & MCR_OUT1 ? MSR_RING : 0) |
		    (control & MCR_OUT2 ? MSR_DCD : 0));
}

/* Delta bits stand four below their line; RI counts only its trailing edge. */
static void set_modem_control(struct uart_state *uart, u8 value)
{
	u8 before = modem_lines(uart);
	u8 after, changed;

	uart->modem_control = value & MCR_BITS;
	after = modem_lines(uart);
	changed = (u8)((before ^ after) >> 4);
	if (after & MSR_RING)
		changed &= (u8)~MSR_TRAILING_RING;
	uart->modem_deltas |= changed;
}

/* Only where there is room, unless the guest overruns itself in loopback. */
static void fifo_put(struct uart_state *uart, u8 byte)
{
	u32 at = (uart->fifo_first + uart->fifo_count) % UART_FIFO_BYTES;

	uart->fifo[at] = byte;
	uart->fifo_count++;
}

static u8 fifo_take(struct uart_state *uart)
{
	u8 byte = uart->fifo[uart->fifo_first % UART_FIFO_BYTES];

	if (!uart->fifo_count)
		return 0;
	uart->fifo_first = (u8)((uart->fifo_first + 1) % UART_FIFO_BYTES);
	uart->fifo_count--;
	return byte;
}

u64 uart_receive(struct uart_state *uart, const u8 *bytes, u64 count)
{
	u64 taken = 0;

	if (uart->modem_control & MCR_LOOP)
		return 0;
	while (taken < count && uart->fifo_count < capacity(uart))
		fifo_put(uart, bytes[taken++]);
	return taken;
}

static enum uart_output transmit(struct uart_state *uart, u8 byte)
{
	uart->transmitter_empty = 1;
	if (!(uart->modem_control & MCR_LOOP))
		return UART_SENT_BYTE;
	if (uart->fifo_count < capacity(uart))
		fifo_put(uart, byte);
	else
		uart->line_errors |= LSR_OVERRUN;
	return UART_SENT_NOTHING;
}

/* --- Interrupts ----------------------------------------------------------- */

/* The pending interrupt of highest priority, as IIR bits 3:0. */
static u8 pending(const struct uart_state *uart)
{
	u8 enabled = uart->interrupt_enable;

	if ((enabled & IER_LINE_STATUS) && uart->line_errors)
		return IIR_LINE_STATUS;
	if ((enabled & IER_RECEIVED) && uart->fifo_count)
		return uart->fifo_count >= trigger_level(uart) ? IIR_RECEIVED
							       : IIR_TIME_OUT;
	if ((enabled & IER_TRANSMITTER) && uart->transmitter_empty)
		return IIR_TRANSMITTER;
	if ((enabled & IER_MODEM_STATUS) && uart->modem_deltas)
		return IIR_MODEM_STATUS;
	return IIR_NONE;
}

bool uart_interrupt(const struct uart_state *uart)
{
	return (uart->modem_control & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2 &&
	       pending(uart) != IIR_NONE;
}

/* --- Registers ------------------------------------------------------------ */

static bool divisor_selected(const struct uart_state *uart)
{
	return uart->line_control & LCR_DLAB;
}

/* Reading IIR ends the transmitter's interrupt, if that is what it names. */
static u8 read_iir(struct uart_state *uart)
{
	u8 value = pending(uart);

	if (value == IIR_TRANSMITTER)
		uart->transmitter_empty = 0;
	return has_fifo(uart) ? value | IIR_FIFOS_ENABLED : value;
}

static u8 read_lsr(struct uart_state *uart)
{
	u8 value = LSR_THR_EMPTY | LSR_ALL_EMPTY | uart->line_errors;

	uart->line_errors = 0;
	return uart->fifo_count ? value | LSR_DATA_READY : value;
}

static u8 read_msr(struct uart_state *uart)
{
	u8 value = modem_lines(uart) | uart->modem_deltas;

	uart->modem_deltas = 0;
	return value;
}

u8 uart_read(struct uart_state *uart, u32 index)
{
	switch (index) {
	case RBR_THR:
		return divisor_selected(uart) ? uart->divisor_low
					      : fifo_take(uart);
	case IER:
		return divisor_selected(uart) ? uart->divisor_high
					      : uart->interrupt_enable;
	case IIR_FCR:
		return read_iir(uart);
	case LCR:
		return uart->line_control;
	case MCR:
		return uart->modem_control;
	case LSR:
		return read_lsr(uart);
	case MSR:
		return read_msr(uart);
	case SCR:
		return uart->scratch;
	default:
		return 0xff;
	}
}

/* Enabling the transmitter's interrupt raises it: THR is always empty. */
static void set_interrupt_enable(struct uart_state *uart, u8 value)
{
	if ((value & IER_TRANSMITTER) &&
	    !(uart->interrupt_enable & IER_TRANSMITTER))
		uart->transmitter_empty = 1;
	uart->interrupt_enable = value & BITS(3, 0);
}

/* Turning FIFOs on or off empties them; other bits need FIFOs on. */
static void set_fifo_control(struct uart_state *uart, u8 value)
{
	if (((value ^ uart->fifo_control) & FCR_ENABLE) ||
	    (value & FCR_CLEAR_RECEIVER))
		uart->fifo_count = 0;
	uart->fifo_control =
	    value & FCR_ENABLE
		? value & (FCR_ENABLE | FCR_DMA_MODE | FCR_TRIGGER)
		: 0;
}

enum uart_output uart_write(struct uart_state *uart, u32 index, u8 value)
{
	switch (index) {
	case RBR_THR:
		if (!divisor_selected(uart))
			return transmit(uart, value);
		uart->divisor_low = value;
		break;
	case IER:
		if (divisor_selected(uart))
			uart->divisor_high = value;
		else
			set_interrupt_enable(uart, value);
		break;
	case IIR_FCR:
		set_fifo_control(uart, value);
		break;
	case LCR:
		uart->line_control = value;
		break;
	case MCR:
		set_modem_control(uart, value);
		break;
	case SCR:
		uart->scratch = value;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
	return UART_SENT_NOTHING;
}
