/* SPDX-License-Identifier: MIT */
/* A 16550 UART with rings on both sides. */
#include "drivers/serial.h"
#include "drivers/serial_port.h"
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
#define IIR_CAUSE       0x0f
#define IIR_RECEIVED    0x04 /* as many as the trigger level */
#define IIR_FIFOS       0xc0 /* are there, are on, and work */
/*
 * FIFOs on and cleared; the interrupt comes at eight bytes, which leaves time
 * for as many, or when they have waited for four characters' time.
 */
#define FCR_ON          0x87
#define TRIGGER_BYTES   8U
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
/* The peer's FIFO may still send that much after RTS has fallen. */
#define HOLD_ROOM       512U
#define RELEASE_ROOM    (SERIAL_RING_BYTES / 2)

static u8 get(const struct serial *serial, enum serial_register reg)
{
	return serial_port_in((u16)(serial->port + reg));
}

static void set(const struct serial *serial, enum serial_register reg,
		u64 value)
{
	serial_port_out((u16)(serial->port + reg), (u8)value);
}

static u32 ring_room(const struct serial_ring *ring)
{
	return SERIAL_RING_BYTES - (ring->put - ring->taken);
}

static bool ring_put(struct serial_ring *ring, u8 byte)
{
	if (!ring_room(ring))
		return false;
	ring->bytes[ring->put++ % SERIAL_RING_BYTES] = byte;
	return true;
}

static u32 least(size_t a, u32 b)
{
	return a < b ? (u32)a : b;
}

/* As many as there is room for; returns how many. */
static u32 ring_fill(struct serial_ring *ring, const u8 *bytes, size_t count)
{
	u32 at = ring->put % SERIAL_RING_BYTES;
	u32 here = least(count, ring_room(ring));
	u32 first = least(here, SERIAL_RING_BYTES - at);

	memcpy(ring->bytes + at, bytes, first);
	memcpy(ring->bytes, bytes + first, here - first);
	ring->put += here;
	return here;
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
	/* Others than a 16550A hold one byte each way. */
	serial->fifo_bytes =
	    (get(serial, UART_IIR) & IIR_FIFOS) == IIR_FIFOS ? FIFO_BYTES : 1;
	set(serial, UART_MCR, MCR_DTR | MCR_RTS | MCR_OUT2);
	serial->present = true;
	return OK;
}

/* Reading the status takes what it says of an overrun. */
static u8 get_status(struct serial *serial)
{
	u8 status = get(serial, UART_LSR);

	if (unlikely(status & LSR_OVERRUN))
		serial->overruns++;
	return status;
}

/* --- Sending -------------------------------------------------------------- */

static bool has_output(const struct serial *serial)
{
	return serial->output.put != serial->output.taken;
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

/*
 * While nothing waits, or the peer wants none, nobody wants to know that the
 * FIFO is empty: a cause that nobody serves would keep the line up, which is
 * edge triggered.
 */
static void ask_for_interrupts(struct serial *serial, bool is_held_back)
{
	u8 wanted = IER_RECEIVED;

	if (!serial->interrupts)
		return;
	if (has_output(serial) && !is_held_back)
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
	u32 count = least(ring->put - ring->taken, serial->fifo_bytes);

	count = least(count, SERIAL_RING_BYTES - at);
	serial_port_outs((u16)(serial->port + UART_DATA), ring->bytes + at,
			 count);
	ring->taken += count;
}

/*
 * Reading the cause takes it back, and the line falls. Writing does so, too, but
 * where bytes leave in no time (a UART made of software, such as that of Bochs 2.7)
 * nobody may see that, and no edge would tell that the FIFO is empty again.
 */
static void take_cause_back(const struct serial *serial)
{
	if (serial->interrupts)
		(void)get(serial, UART_IIR);
}

/*
 * Fills the FIFO if it is empty; says whether it did. The interrupt is asked
 * for behind that: it comes also if the FIFO has become empty before. The lock
 * is held.
 */
static bool send_some(struct serial *serial, u8 status)
{
	bool is_due = has_output(serial) && (status & LSR_THRE);
	bool may = is_due && may_send(serial);

	if (may) {
		take_cause_back(serial);
		fill_fifo(serial);
	}
	ask_for_interrupts(serial, is_due && !may);
	return may;
}

static void send_all(struct serial *serial)
{
	while (has_output(serial))
		send_some(serial, get_status(serial));
}

/* --- Receiving ------------------------------------------------------------ */

/* By how full the input ring is. The lock is held. */
static void hold_or_release(struct serial *serial)
{
	u32 room = ring_room(&serial->input);

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

/*
 * Where the interrupt is on, its cause tells that as many have come as the
 * trigger level says: these need no look at the status for each.
 */
static bool has_trigger_level(const struct serial *serial)
{
	return serial->interrupts && serial->fifo_bytes > 1 &&
	       (get(serial, UART_IIR) & IIR_CAUSE) == IIR_RECEIVED;
}

/* In one piece; near the ring's end they go byte by byte. */
static void receive_trigger_level(struct serial *serial)
{
	struct serial_ring *ring = &serial->input;
	u32 at = ring->put % SERIAL_RING_BYTES;

	if (ring_room(ring) < TRIGGER_BYTES ||
	    SERIAL_RING_BYTES - at < TRIGGER_BYTES)
		return;
	serial_port_ins((u16)(serial->port + UART_DATA), ring->bytes + at,
			TRIGGER_BYTES);
	ring->put += TRIGGER_BYTES;
}

/*
 * Returns the status after the last byte. The lock is held. The count is
 * bounded: a dead UART reads all ones.
 */
static u8 receive_some(struct serial *serial, u8 status)
{
	if (has_trigger_level(serial)) {
		receive_trigger_level(serial);
		status = get_status(serial);
	}
	for (u32 i = 0; i < 4 * FIFO_BYTES && status & LSR_RECEIVED; i++) {
		if (!ring_put(&serial->input, get(serial, UART_DATA)))
			serial->input_lost++;
		status = get_status(serial);
	}
	hold_or_release(serial);
	return status;
}

/* Says whether there was anything to do. The lock is held. */
static bool serve(struct serial *serial)
{
	u8 status = get_status(serial);
	bool has_come = status & LSR_RECEIVED;

	if (has_come)
		status = receive_some(serial, status);
	return send_some(serial, status) || has_come;
}

/* --- For others ----------------------------------------------------------- */

void serial_use_interrupts(struct serial *serial)
{
	if (!serial->present)
		return;
	spin_lock(&serial->lock);
	serial->interrupts = true;
	ask_for_interrupts(serial, false);
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
	for (u32 i = 0; i < 16 && serve(serial); i++)
		continue;
	spin_unlock(&serial->lock);
}

void serial_write(struct serial *serial, const u8 *bytes, size_t count)
{
	if (!serial->present)
		return;
	spin_lock(&serial->lock);
	for (;;) {
		u32 taken = ring_fill(&serial->output, bytes, count);

		bytes += taken;
		count -= taken;
		if (!count)
			break;
		send_some(serial, get_status(serial));
	}
	if (serial->interrupts)
		send_some(serial, get_status(serial));
	else
		send_all(serial);
	spin_unlock(&serial->lock);
}

size_t serial_write_some(struct serial *serial, const u8 *bytes, size_t count)
{
	u32 taken;

	if (!serial->present)
		return 0;
	spin_lock(&serial->lock);
	taken = ring_fill(&serial->output, bytes, count);
	send_some(serial, get_status(serial));
	spin_unlock(&serial->lock);
	return taken;
}

size_t serial_room(struct serial *serial)
{
	size_t room;

	spin_lock(&serial->lock);
	room = ring_room(&serial->output);
	spin_unlock(&serial->lock);
	return room;
}

u32 serial_peek(const struct serial *serial, const u8 **bytes)
{
	const struct serial_ring *ring = &serial->input;
	u32 at = ring->taken % SERIAL_RING_BYTES;
	u32 here = __atomic_load_n(&ring->put, __ATOMIC_ACQUIRE) - ring->taken;

	*bytes = ring->bytes + at;
	return least(here, SERIAL_RING_BYTES - at);
}

void serial_drop(struct serial *serial, u32 count)
{
	spin_lock(&serial->lock);
	serial->input.taken += count;
	hold_or_release(serial);
	spin_unlock(&serial->lock);
}

size_t serial_read(struct serial *serial, u8 *bytes, size_t limit)
{
	size_t count = 0;

	if (!serial_has_input(serial))
		return 0;
	spin_lock(&serial->lock);
	while (count < limit && serial_has_input(serial)) {
		const u8 *at;
		u32 here = least(limit - count, serial_peek(serial, &at));

		memcpy(bytes + count, at, here);
		serial->input.taken += here;
		count += here;
	}
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
		__builtin_ia32_pause();
	spin_unlock(&serial->lock);
}

void serial_break_lock(struct serial *serial)
{
	__atomic_store_n(&serial->lock.owner,
			 __atomic_load_n(&serial->lock.next, __ATOMIC_RELAXED),
			 __ATOMIC_RELEASE);
	serial->interrupts = false;
}
