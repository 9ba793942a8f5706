/* SPDX-License-Identifier: MIT */
/* See devices/uart.h. Register and bit names are the data sheet's. */
#include "devices/uart.h"
#include "devices/clock.h"
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

/* Four characters of ten bits at 115,200 a second, the fastest that there is. */
#define TIME_OUT_NS        (40 * 1000000000ULL / 115200)

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

static bool divisor_selected(const struct uart_state *uart)
{
	return uart->line_control & LCR_DLAB;
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

static bool fifo_put(struct uart_fifo *fifo, u32 limit, u8 byte)
{
	if (fifo->count >= limit)
		return false;
	fifo->bytes[(fifo->first + fifo->count) % UART_FIFO_BYTES] = byte;
	fifo->count++;
	return true;
}

static u8 fifo_take(struct uart_fifo *fifo)
{
	u8 byte = fifo->bytes[fifo->first % UART_FIFO_BYTES];

	if (!fifo->count)
		return 0;
	fifo->first = (u8)((fifo->first + 1) % UART_FIFO_BYTES);
	fifo->count--;
	return byte;
}

u64 uart_receive(struct uart_state *uart, const u8 *bytes, u64 count)
{
	u64 taken = 0;

	if (uart->modem_control & MCR_LOOP)
		return 0;
	if (!uart->received.count)
		uart->quiet_until_ns = 0;
	while (taken < count &&
	       fifo_put(&uart->received, capacity(uart), bytes[taken]))
		taken++;
	return taken;
}

/* A guest that does not wait for THRE loses bytes, as on any UART. */
static void transmit(struct uart_state *uart, u8 byte)
{
	uart->transmitter_empty = 0;
	if (!(uart->modem_control & MCR_LOOP)) {
		(void)fifo_put(&uart->transmitted, capacity(uart), byte);
		return;
	}
	if (!fifo_put(&uart->received, capacity(uart), byte))
		uart->line_errors |= LSR_OVERRUN;
	uart->transmitter_empty = 1;
}

bool uart_pass(struct uart_state *uart)
{
	if ((uart->line_control & LCR_DLAB) ||
	    (uart->modem_control & MCR_LOOP) || uart->transmitted.count)
		return false;
	uart->transmitter_empty = 1;
	return true;
}

u32 uart_output(const struct uart_state *uart, u8 bytes[UART_FIFO_BYTES])
{
	const struct uart_fifo *fifo = &uart->transmitted;

	for (u32 i = 0; i < fifo->count; i++)
		bytes[i] = fifo->bytes[(fifo->first + i) % UART_FIFO_BYTES];
	return fifo->count;
}

void uart_output_taken(struct uart_state *uart, u64 count)
{
	for (u64 i = 0; i < count && uart->transmitted.count; i++)
		(void)fifo_take(&uart->transmitted);
	if (count && !uart->transmitted.count)
		uart->transmitter_empty = 1;
}

/* --- Interrupts ----------------------------------------------------------- */

static bool is_below_trigger(const struct uart_state *uart)
{
	return uart->received.count < trigger_level(uart);
}

static bool tells_received(const struct uart_state *uart)
{
	return uart->received.count &&
	       (!uart->quiet_until_ns || !is_below_trigger(uart));
}

void uart_was_read(struct uart_state *uart, u64 now_ns)
{
	if (!divisor_selected(uart))
		uart->quiet_until_ns =
		    uart->received.count ? now_ns + TIME_OUT_NS : 0;
}

void uart_tick(struct uart_state *uart, u64 now_ns)
{
	if (now_ns >= uart->quiet_until_ns)
		uart->quiet_until_ns = 0;
}

u64 uart_next_event_ns(const struct uart_state *uart)
{
	return uart->quiet_until_ns ? uart->quiet_until_ns : CLOCK_NEVER;
}

/* All that are pending and enabled, as bits of IER. */
static NOINLINE u8 causes(const struct uart_state *uart)
{
	return uart->interrupt_enable &
	       (u8)((tells_received(uart) ? IER_RECEIVED : 0) |
		    (uart->transmitter_empty ? IER_TRANSMITTER : 0) |
		    (uart->line_errors ? IER_LINE_STATUS : 0) |
		    (uart->modem_deltas ? IER_MODEM_STATUS : 0));
}

/* The pending interrupt of highest priority, as IIR bits 3:0. */
static u8 pending(const struct uart_state *uart)
{
	u8 all = causes(uart);

	if (all & IER_LINE_STATUS)
		return IIR_LINE_STATUS;
	if (all & IER_RECEIVED)
		return is_below_trigger(uart) ? IIR_TIME_OUT : IIR_RECEIVED;
	if (all & IER_TRANSMITTER)
		return IIR_TRANSMITTER;
	return all ? IIR_MODEM_STATUS : IIR_NONE;
}

bool uart_interrupt(const struct uart_state *uart)
{
	return (uart->modem_control & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2 &&
	       causes(uart);
}

bool uart_is_back(const struct uart_state *uart, enum uart_access access)
{
	return access == UART_THR_WRITTEN && !divisor_selected(uart) &&
	       causes(uart) == IER_TRANSMITTER;
}

/* --- Registers ------------------------------------------------------------ */

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
	u8 value = uart->line_errors;

	uart->line_errors = 0;
	if (!uart->transmitted.count)
		value |= LSR_THR_EMPTY | LSR_ALL_EMPTY;
	if (uart->received.count)
		value |= LSR_DATA_READY;
	return value;
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
					      : fifo_take(&uart->received);
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

/* Enabling the transmitter's interrupt raises it if THR is empty. */
static void set_interrupt_enable(struct uart_state *uart, u8 value)
{
	if ((value & IER_TRANSMITTER) && !uart->transmitted.count &&
	    !(uart->interrupt_enable & IER_TRANSMITTER))
		uart->transmitter_empty = 1;
	uart->interrupt_enable = value & BITS(3, 0);
}

/*
 * Turning FIFOs on or off empties them; other bits need FIFOs on. What has
 * been transmitted counts as gone: it is not emptied.
 */
static void set_fifo_control(struct uart_state *uart, u8 value)
{
	if (((value ^ uart->fifo_control) & FCR_ENABLE) ||
	    (value & FCR_CLEAR_RECEIVER))
		uart->received.count = 0;
	uart->fifo_control =
	    value & FCR_ENABLE
		? value & (FCR_ENABLE | FCR_DMA_MODE | FCR_TRIGGER)
		: 0;
}

void uart_write(struct uart_state *uart, u32 index, u8 value)
{
	switch (index) {
	case RBR_THR:
		if (divisor_selected(uart))
			uart->divisor_low = value;
		else
			transmit(uart, value);
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
}
