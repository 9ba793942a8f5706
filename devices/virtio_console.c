/* SPDX-License-Identifier: MIT */
/*
 * See devices/virtio_console.h.
 *
 *	queue 0, 1	port 0: receive, transmit
 *	      2, 3	control: to the guest, from the guest
 *	      4, 5	port 1: receive, transmit
 */
#include "devices/virtio_console.h"
#include "lib/string.h"

#define DEVICE_TYPE_CONSOLE 3
#define CLASS_CODE          0x078000 /* simple communication, other */

#define F_MULTIPORT         BIT(1)

#define CONTROL_RECEIVE     2 /* as the guest sees it: to the guest */
#define CONTROL_TRANSMIT    3
#define QUEUE_COUNT         (2 * VIRTIO_CONSOLE_PORT_COUNT + 2)

/* One call of virtio_console_run() moves about this much. */
#define BUDGET_BYTES        8192
#define CHAIN_COST          64
#define CHUNK_BYTES         512

_Static_assert(QUEUE_COUNT <= VIRTIO_QUEUE_COUNT_MAX, "queues fit");
_Static_assert(QUEUE_COUNT < MSIX_VECTOR_COUNT, "a vector for each, and one");

/* "Multiport Device Operation". */
enum control_event {
	DEVICE_READY = 0,
	DEVICE_ADD = 1,
	DEVICE_REMOVE = 2,
	PORT_READY = 3,
	CONSOLE_PORT = 4,
	RESIZE = 5,
	PORT_OPEN = 6,
	PORT_NAME = 7,
};

struct control {
	u32 port;
	u16 event;
	u16 value;
};

_Static_assert(sizeof(struct control) == 8, "as in guest memory");

static const struct {
	enum platform_console channel;
	const char *name; /* a console has none */
} ports[VIRTIO_CONSOLE_PORT_COUNT] = {
    {PLATFORM_HVC0, NULL},
    {PLATFORM_PORT1, "umbra.0"},
};

#define CONSOLE 0U
#define SERIAL  1U

static u32 receive_queue(u32 port)
{
	return port ? 2 * port + 2 : 0;
}

static u32 transmit_queue(u32 port)
{
	return receive_queue(port) + 1;
}

/* One run over the device: its queues' memory, and what came of it. */
struct run {
	struct virtio_console *console;
	const struct virtqueue_memory *memory;
	u32 budget;
	u32 given; /* queues in which chains were given back, as bits */
	bool broken;
};

static struct virtqueue_state *queue_of(struct run *run, u32 queue)
{
	return &run->console->virtio.state.queues[queue];
}

static bool is_ok(struct run *run, enum virtqueue_result result)
{
	if (result == VIRTQUEUE_BROKEN)
		run->broken = true;
	return result == VIRTQUEUE_OK;
}

static bool take(struct run *run, u32 queue, u16 *head)
{
	return !run->broken &&
	       virtio_queue_is_ready(&run->console->virtio, queue) &&
	       is_ok(run,
		     virtqueue_take(run->memory, queue_of(run, queue), head));
}

static void give(struct run *run, u32 queue, u16 head, u32 written)
{
	if (is_ok(run, virtqueue_give(run->memory, queue_of(run, queue), head,
				      written)))
		run->given |= 1U << queue;
	run->budget -= run->budget < CHAIN_COST ? run->budget : CHAIN_COST;
}

/*
 * Breaks the device or interrupts the guest, as has turned out. A broken one is
 * of no use to the peer either, and its guest is told of nothing any more.
 */
static void finish(struct run *run)
{
	struct virtio_pci *virtio = &run->console->virtio;

	if (run->broken) {
		virtio_break(virtio);
		run->console->state.ports[SERIAL].guest_open = 0;
		run->console->state.ports[SERIAL].host_open = 0;
		run->memory->host->port_set(run->memory->context,
					    PLATFORM_PORT_CLOSED);
		return;
	}
	for (u32 queue = 0; queue < QUEUE_COUNT; queue++)
		if ((run->given >> queue & 1) &&
		    virtqueue_wants_interrupt(run->memory,
					      queue_of(run, queue)))
			virtio_interrupt_queue(virtio, queue);
}

/* --- Construction --------------------------------------------------------- */

void virtio_console_init(struct virtio_console *console,
			 const struct virtio_console_config *config)
{
	const struct virtio_config virtio = {
	    .device_type = DEVICE_TYPE_CONSOLE,
	    .class_code = CLASS_CODE,
	    .bar = config->bar,
	    .notify_port = config->notify_port,
	    .interrupt_line = config->interrupt_line,
	    .features = F_MULTIPORT,
	    .queue_count = QUEUE_COUNT,
	    .device_bytes = VIRTIO_CONSOLE_CONFIG_BYTES,
	};

	virtio_pci_init(&console->virtio, &virtio);
	virtio_console_reset(console);
}

void virtio_console_reset(struct virtio_console *console)
{
	memset(&console->state, 0, sizeof(console->state));
	console->state.ports[CONSOLE].host_open = 1;
}

bool virtio_console_uses_port(const struct virtio_console *console)
{
	return console->state.ports[SERIAL].guest_open;
}

/* cols, rows (not offered), max_nr_ports, emerg_wr (not offered). */
u32 virtio_console_config_read(u32 offset)
{
	return offset == 4 ? VIRTIO_CONSOLE_PORT_COUNT : 0;
}

static bool is_multiport(const struct virtio_console *console)
{
	return console->virtio.state.driver_features & F_MULTIPORT;
}

/* --- Control messages ----------------------------------------------------- */

u8 virtio_console_may_owe(u32 port)
{
	return (u8)(BIT(DEVICE_ADD) | BIT(PORT_OPEN) |
		    (ports[port].name ? BIT(PORT_NAME) : BIT(CONSOLE_PORT)));
}

static void on_port_ready(struct run *run, u32 port)
{
	struct virtio_console_port_state *state =
	    &run->console->state.ports[port];

	state->owed |= ports[port].name ? BIT(PORT_NAME) : BIT(CONSOLE_PORT);
	if (state->host_open)
		state->owed |= BIT(PORT_OPEN);
}

static void tell_guest(struct virtio_console_port_state *state, u8 host_open)
{
	if (state->host_open == host_open)
		return;
	state->host_open = host_open;
	state->owed |= BIT(PORT_OPEN);
}

/* Each message counts, also of a guest that closes and opens at once. */
static void on_port_open(struct run *run, u32 port, bool is_open)
{
	struct virtio_console_port_state *state =
	    &run->console->state.ports[port];

	state->guest_open = is_open;
	if (port != SERIAL)
		return;
	run->memory->host->port_set(run->memory->context,
				    is_open ? PLATFORM_PORT_OPEN
					    : PLATFORM_PORT_CLOSED);
	if (!is_open)
		tell_guest(state, 0);
}

/* No news while the last ones wait: closed and open again are two messages. */
static void look_at_peer(struct run *run)
{
	struct virtio_console_port_state *state =
	    &run->console->state.ports[SERIAL];

	if (!state->guest_open || (state->owed & BIT(PORT_OPEN)))
		return;
	tell_guest(state, run->memory->host->port_peer(run->memory->context) ==
			      PLATFORM_PORT_OPEN);
}

static void on_control(struct run *run, const struct control *message)
{
	struct virtio_console_state *state = &run->console->state;

	if (message->event == DEVICE_READY && message->value)
		for (u32 i = 0; i < VIRTIO_CONSOLE_PORT_COUNT; i++)
			state->ports[i].owed |= BIT(DEVICE_ADD);
	if (message->port >= VIRTIO_CONSOLE_PORT_COUNT)
		return;
	if (message->event == PORT_READY && message->value)
		on_port_ready(run, message->port);
	if (message->event == PORT_OPEN)
		on_port_open(run, message->port, message->value != 0);
}

/* Messages shorter than they should be are given back unread. */
static void receive_control(struct run *run)
{
	u16 head;

	while (run->budget && take(run, CONTROL_TRANSMIT, &head)) {
		struct control message;
		const struct virtqueue_span span = {head, 0, sizeof(message)};
		u32 done = 0;

		if (!is_ok(run, virtqueue_read(run->memory,
					       queue_of(run, CONTROL_TRANSMIT),
					       &span, &message, &done)))
			return;
		if (done == sizeof(message))
			on_control(run, &message);
		give(run, CONTROL_TRANSMIT, head, 0);
	}
}

/* A message, and behind it the port's name if it is one about that. */
static void send_control(struct run *run, u16 head, u32 port,
			 enum control_event event)
{
	struct {
		struct control control;
		char name[16];
	} message = {.control = {port, (u16)event, 1}};
	u32 bytes = sizeof(struct control);
	u32 done = 0;

	if (event == PORT_OPEN)
		message.control.value =
		    run->console->state.ports[port].host_open;
	if (event == PORT_NAME) {
		u32 length = (u32)strnlen(ports[port].name, 16);

		memcpy(message.name, ports[port].name, length);
		bytes += length;
	}
	const struct virtqueue_span span = {head, 0, bytes};

	if (is_ok(run,
		  virtqueue_write(run->memory, queue_of(run, CONTROL_RECEIVE),
				  &span, &message, &done)))
		give(run, CONTROL_RECEIVE, head, done);
}

/* In the order of their numbers: a port is added before it is described. */
static void send_owed(struct run *run)
{
	for (u32 port = 0; port < VIRTIO_CONSOLE_PORT_COUNT; port++) {
		u8 *owed = &run->console->state.ports[port].owed;
		u16 head;

		while (*owed && take(run, CONTROL_RECEIVE, &head)) {
			u32 event = (u32)__builtin_ctz(*owed);

			*owed &= (u8)(*owed - 1);
			send_control(run, head, port,
				     (enum control_event)event);
		}
	}
}

/* Twice: what has waited goes, and then there may be more. */
static void tell_news(struct run *run)
{
	for (u32 i = 0; i < 2; i++) {
		look_at_peer(run);
		send_owed(run);
	}
}

/* --- Bytes ---------------------------------------------------------------- */

enum progress { PROGRESS, STOPPED };

/* Offers the next piece of the chain in work to the host. */
static enum progress send_piece(struct run *run, u32 port)
{
	struct virtio_console_port_state *state =
	    &run->console->state.ports[port];
	u32 queue = transmit_queue(port);
	u8 bytes[CHUNK_BYTES];
	const struct virtqueue_span span = {state->head, state->sent,
					    sizeof(bytes)};
	u32 count = 0;
	u64 taken = 0;

	if (!is_ok(run, virtqueue_read(run->memory, queue_of(run, queue), &span,
				       bytes, &count)))
		return STOPPED;
	if (count)
		taken = run->memory->host->console_write(
		    run->memory->context, ports[port].channel, bytes, count);
	run->budget -= run->budget < count ? run->budget : count;
	state->sent += taken;
	if (taken < count)
		return STOPPED;
	if (count < sizeof(bytes)) {
		state->has_head = 0;
		give(run, queue, state->head, 0);
	}
	return PROGRESS;
}

static void send(struct run *run, u32 port)
{
	struct virtio_console_port_state *state =
	    &run->console->state.ports[port];

	if (!virtio_queue_is_ready(&run->console->virtio, transmit_queue(port)))
		return;
	while (run->budget && !run->broken) {
		if (!state->has_head) {
			if (!take(run, transmit_queue(port), &state->head))
				return;
			state->has_head = 1;
			state->sent = 0;
		}
		if (send_piece(run, port) == STOPPED)
			return;
	}
}

static void spend(struct run *run, u32 bytes)
{
	run->budget -= run->budget < bytes ? run->budget : bytes;
}

/* Fills a chain from what has been seen already, and what follows it. */
static void fill(struct run *run, u32 queue, u16 head, u8 *bytes, u32 count)
{
	const struct virtqueue_memory *memory = run->memory;
	u32 written = 0, done = 0;

	while (count) {
		const struct virtqueue_span span = {head, written, count};

		if (!is_ok(run, virtqueue_write(memory, queue_of(run, queue),
						&span, bytes, &done)))
			return;
		memory->host->port_take(memory->context, done);
		written += done;
		spend(run, done);
		if (done < count || !run->budget)
			break;
		count = (u32)memory->host->port_peek(memory->context, bytes,
						     CHUNK_BYTES);
	}
	give(run, queue, head, written);
}

/* What the peer has sent, as far as the guest has room and takes it. */
static void fetch(struct run *run)
{
	const struct virtqueue_memory *memory = run->memory;
	u32 queue = receive_queue(SERIAL);
	u8 bytes[CHUNK_BYTES];
	u16 head;

	if (!run->console->state.ports[SERIAL].guest_open)
		return;
	while (run->budget) {
		u32 count = (u32)memory->host->port_peek(memory->context, bytes,
							 sizeof(bytes));

		if (!count || !take(run, queue, &head))
			return;
		fill(run, queue, head, bytes, count);
	}
}

enum virtio_console_work
virtio_console_run(struct virtio_console *console,
		   const struct virtqueue_memory *memory)
{
	struct run run = {
	    .console = console,
	    .memory = memory,
	    .budget = BUDGET_BYTES,
	};

	if (!virtio_is_running(&console->virtio))
		return VIRTIO_CONSOLE_IDLE;
	if (is_multiport(console))
		receive_control(&run);
	for (u32 port = 0; port < VIRTIO_CONSOLE_PORT_COUNT; port++)
		send(&run, port);
	fetch(&run);
	if (is_multiport(console))
		tell_news(&run); /* behind the peer's last byte */
	finish(&run);
	return run.budget || run.broken ? VIRTIO_CONSOLE_IDLE
					: VIRTIO_CONSOLE_MORE;
}

u64 virtio_console_receive(struct virtio_console *console,
			   const struct virtqueue_memory *memory, u32 port,
			   const u8 *bytes, u64 count)
{
	struct run run = {
	    .console = console,
	    .memory = memory,
	    .budget = BUDGET_BYTES,
	};
	u32 queue = receive_queue(port % VIRTIO_CONSOLE_PORT_COUNT);
	u64 taken = 0;
	u16 head;

	if (port >= VIRTIO_CONSOLE_PORT_COUNT ||
	    (is_multiport(console) && !console->state.ports[port].guest_open))
		return 0;
	while (taken < count && run.budget && take(&run, queue, &head)) {
		u64 rest = count - taken;
		const struct virtqueue_span span = {
		    head, 0, rest < CHUNK_BYTES ? (u32)rest : CHUNK_BYTES};
		u32 done = 0;

		if (!is_ok(&run, virtqueue_write(memory, queue_of(&run, queue),
						 &span, bytes + taken, &done)))
			break;
		give(&run, queue, head, done);
		taken += done;
	}
	finish(&run);
	return taken;
}
