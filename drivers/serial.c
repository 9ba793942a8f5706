/* SPDX-License-Identifier: MIT */
/* A 16550 UART with rings on both sides. */
#include "drivers/serial.h"
#include "arch/x86/cpu/insn.h"
#include "lib/bits.h"
#include "lib/string.h"

enum serial_register {
	UART_DATA = 0,        /* DLAB=0 */
	UART_DIVISOR_LOW = 0, /* DLAB=1 */
	UART_IER = 1,
	UART_DIVISOR_HIGH = 1, /* DLAB=1 */
	UART_IIR = 2,
	UART_FCR = 2,
	UART_LCR = 3,
	UART_MCR = 4,
	UART_LSR = 5,
	UART_MSR = 6,
	UART_SCRATCH = 7,
};

#define IER_RECEIVED    BIT(0)
#define IER_TRANSMITTED BIT(1)
#define IIR_NONE        BIT(0)
/* FIFOs on and cleared, interrupt at 14 bytes or four idle characters. */
#define FCR_ON          0xc7
#define LCR_8N1         0x03
#define LCR_DLAB        0x80
#define MCR_DTR         BIT(0)
#define MCR_RTS         BIT(1)
#define MCR_OUT2        BIT(3) /* connects the interrupt line on a PC */
#define LSR_RECEIVED    BIT(0)
#define LSR_OVERRUN     BIT(1)
#define LSR_THRE        BIT(5) /* the whole FIFO is free */
#define LSR_TEMT        BIT(6) /* the last bit has left */

#define MSR_CTS         BIT(4)

#define FIFO_BYTES      16
#define SEND_EVERY      64U /* bytes, while many are queued */
/* The peer's FIFO may still send that much after RTS has fallen. */
#define HOLD_ROOM       512U
#define RELEASE_ROOM    (SERIAL_RING_BYTES / 2)

static u8 get(const struct serial *serial, enum serial_register reg)
{
	return insn_in8((u16)(serial->port + reg));
}

static void set(const struct serial *serial, enum serial_register reg,
		u64 value)
{
	insn_out8((u16)(serial->port + reg), (u8)value);
}

static bool ring_put(struct serial_ring *ring, u8 byte)
{
	if (ring->put - ring->taken == SERIAL_RING_BYTES)
		return false;
	ring->bytes[ring->put++ % SERIAL_RING_BYTES] = byte;
	return true;
}

/* As many as there is room for; returns how many. */
static size_t ring_fill(struct serial_ring *ring, const u8 *bytes, size_t count)
{
	u32 at = ring->put % SERIAL_RING_BYTES;
	u32 room = SERIAL_RING_BYTES - (ring->put - ring->taken);
	u32 first =
	    room < SERIAL_RING_BYTES - at ? room : SERIAL_RING_BYTES - at;

	if (count < first)
		first = (u32)count;
	memcpy(ring->bytes + at, bytes, first);
	ring->put += first;
	return first;
}

static bool ring_take(struct serial_ring *ring, u8 *byte)
{
	if (ring->put == ring->taken)
		return false;
	*byte = ring->bytes[ring->taken++ % SERIAL_RING_BYTES];
	return true;
}

enum err serial_init(struct serial *serial, u16 port)
{
	serial->port = port;
	set(serial, UART_SCRATCH, 0x5a);
	if (get(serial, UART_SCRATCH) != 0x5a)
		return ERR_NOT_FOUND;
	set(serial, UART_IER, 0);
	set(serial, UART_LCR, LCR_DLAB);
	set(serial, UART_DIVISOR_LOW, 1);
	set(serial, UART_DIVISOR_HIGH, 0);
	set(serial, UART_LCR, LCR_8N1);
	set(serial, UART_FCR, FCR_ON);
	set(serial, UART_MCR, MCR_DTR | MCR_RTS | MCR_OUT2);
	serial->present = true;
	return OK;
}

static bool may_send(struct serial *serial)
{
	bool cts;

	if (!serial->handshake)
		return true;
	cts = get(serial, UART_MSR) & MSR_CTS;
	serial->has_cts |= cts;
	return cts || !serial->has_cts;
}

/* While nothing waits, nobody wants to know that the FIFO is empty. */
static void ask_for_interrupts(struct serial *serial)
{
	u8 wanted = IER_RECEIVED;

	if (!serial->interrupts)
		return;
	if (serial->output.put != serial->output.taken)
		wanted |= IER_TRANSMITTED;
	if (wanted == serial->asked)
		return;
	serial->asked = wanted;
	set(serial, UART_IER, wanted);
}

/* What fills the FIFO, or stands before the ring's end. */
static void fill_fifo(struct serial *serial)
{
	struct serial_ring *ring = &serial->output;
	u32 at = ring->taken % SERIAL_RING_BYTES;
	u32 count = ring->put - ring->taken;

	if (count > FIFO_BYTES)
		count = FIFO_BYTES;
	if (count > SERIAL_RING_BYTES - at)
		count = SERIAL_RING_BYTES - at;
	insn_outs8((u16)(serial->port + UART_DATA), ring->bytes + at, count);
	ring->taken += count;
}

/*
 * Fills the FIFO if it is empty. The interrupt is asked for behind that: it comes
 * also if the FIFO has become empty before. The lock is held.
 */
static void send_some(struct serial *serial)
{
	if (serial->output.put != serial->output.taken &&
	    (get(serial, UART_LSR) & LSR_THRE) && may_send(serial))
		fill_fifo(serial);
	ask_for_interrupts(serial);
}

static void send_all(struct serial *serial)
{
	while (serial->output.put != serial->output.taken)
		send_some(serial);
}

/* By how full the input ring is. The lock is held. */
static void hold_or_release(struct serial *serial)
{
	u32 room =
	    SERIAL_RING_BYTES - (serial->input.put - serial->input.taken);

	if (!serial->handshake)
		return;
	if (room < HOLD_ROOM && !serial->is_held) {
		serial->is_held = true;
		set(serial, UART_MCR, MCR_DTR | MCR_OUT2);
	} else if (room > RELEASE_ROOM && serial->is_held) {
		serial->is_held = false;
		set(serial, UART_MCR, MCR_DTR | MCR_RTS | MCR_OUT2);
	}
}

/* The lock is held. The count is bounded: a dead UART reads all ones. */
static void receive_some(struct serial *serial)
{
	for (u32 i = 0; i < 4 * FIFO_BYTES; i++) {
		u8 status = get(serial, UART_LSR);

		if (status & LSR_OVERRUN)
			serial->overruns++;
		if (!(status & LSR_RECEIVED))
			break;
		if (!ring_put(&serial->input, get(serial, UART_DATA)))
			serial->input_lost++;
	}
	hold_or_release(serial);
}

void serial_use_interrupts(struct serial *serial)
{
	if (!serial->present)
		return;
	spin_lock(&serial->lock);
	serial->interrupts = true;
	ask_for_interrupts(serial);
	spin_unlock(&serial->lock);
}

void serial_use_handshake(struct serial *serial)
{
	serial->handshake = true;
}

void serial_poll(struct serial *serial)
{
	if (!serial->present)
		return;
	spin_lock(&serial->lock);
	/*
	 * Serve until no cause is left: the line is edge triggered, and a
	 * cause that stays would keep the next edge from coming.
	 */
	for (u32 i = 0; i < 16; i++) {
		receive_some(serial);
		send_some(serial);
		if (get(serial, UART_IIR) & IIR_NONE)
			break;
	}
	spin_unlock(&serial->lock);
}

void serial_write(struct serial *serial, const u8 *bytes, size_t count)
{
	if (!serial->present)
		return;
	spin_lock(&serial->lock);
	for (;;) {
		size_t taken = ring_fill(&serial->output, bytes, count);

		bytes += taken;
		count -= taken;
		if (!count)
			break;
		send_some(serial);
	}
	if (serial->interrupts)
		send_some(serial);
	else
		send_all(serial);
	spin_unlock(&serial->lock);
}

size_t serial_write_some(struct serial *serial, const u8 *bytes, size_t count)
{
	size_t taken = 0;

	if (!serial->present)
		return 0;
	spin_lock(&serial->lock);
	while (taken < count && ring_put(&serial->output, bytes[taken]))
		if (++taken % SEND_EVERY == 0)
			send_some(serial);
	send_some(serial);
	spin_unlock(&serial->lock);
	return taken;
}

size_t serial_room(struct serial *serial)
{
	size_t room;

	spin_lock(&serial->lock);
	room = SERIAL_RING_BYTES - (serial->output.put - serial->output.taken);
	spin_unlock(&serial->lock);
	return room;
}

size_t serial_read(struct serial *serial, u8 *bytes, size_t limit)
{
	size_t count = 0;

	if (!serial->present)
		return 0;
	spin_lock(&serial->lock);
	while (count < limit && ring_take(&serial->input, &bytes[count]))
		count++;
	hold_or_release(serial);
	spin_unlock(&serial->lock);
	return count;
}

bool serial_has_input(const struct serial *serial)
{
	return serial->input.put != serial->input.taken;
}

void serial_flush(struct serial *serial)
{
	if (!serial->present)
		return;
	spin_lock(&serial->lock);
	send_all(serial);
	while (!(get(serial, UART_LSR) & LSR_TEMT))
		insn_pause();
	spin_unlock(&serial->lock);
}

void serial_break_lock(struct serial *serial)
{
	__atomic_store_n(&serial->lock.owner,
			 __atomic_load_n(&serial->lock.next, __ATOMIC_RELAXED),
			 __ATOMIC_RELEASE);
	serial->interrupts = false;
}
