/* SPDX-License-Identifier: MIT */
/* A virtio-serial port as a link: see drivers/virtio_link.h. */
#include "drivers/virtio_link.h"
#include "lib/bits.h"
#include "lib/check.h"
#include "lib/string.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

#define KIND_CONSOLE      3
#define FEATURE_MULTIPORT BIT(1)
#define CONFIG_PORTS      4U /* offset of max_nr_ports */
#define CONTROL_IN        2
#define CONTROL_OUT       3
#define PAGES_AT_ONCE     8U

/* "Multiport Device Operation". */
enum control_event {
	CONTROL_DEVICE_READY = 0,
	CONTROL_PORT_ADD = 1,
	CONTROL_PORT_REMOVE = 2,
	CONTROL_PORT_READY = 3,
	CONTROL_PORT_OPEN = 6,
	CONTROL_PORT_NAME = 7,
};

struct control {
	u32 port;
	u16 event, value;
};

_Static_assert(sizeof(struct control) == 8, "as on the wire");

static struct virtio_link *virtio_of(struct link *link)
{
	return (struct virtio_link *)link;
}

_Static_assert(offsetof(struct virtio_link, link) == 0, "a cast");

/* --- Control -------------------------------------------------------------- */

static void say(struct virtio_link *v, u32 port, enum control_event event,
		u16 value)
{
	u8 *at = v->said[v->said_put % VIRTIO_CONTROLS];
	const struct control message = {port, (u16)event, value};
	const struct virtio_part part = {at, sizeof(message)};
	u16 id;
	u32 bytes;

	while (virtio_take(&v->control_out, &id, &bytes))
		v->said_done++;
	/* A device that answers nothing hears no more from us. */
	if (v->said_put - v->said_done == VIRTIO_CONTROLS)
		return;
	memcpy(at, &message, sizeof(message));
	if (!virtio_put(&v->control_out, &part, 1, VIRTIO_TO_DEVICE, &id))
		return;
	v->said_put++;
	virtio_kick(&v->device, &v->control_out);
}

static void listen(struct virtio_link *v, u32 slot)
{
	const struct virtio_part part = {v->controls[slot],
					 VIRTIO_CONTROL_BYTES};
	u16 id;

	if (virtio_put(&v->control_in, &part, 1, VIRTIO_FROM_DEVICE, &id))
		v->control_of[id] = slot;
}

static void give_page(struct virtio_link *v, u32 page)
{
	const struct virtio_part part = {v->in_pages + page * PAGE_4K, PAGE_4K};
	u16 id;

	if (virtio_put(v->in, &part, 1, VIRTIO_FROM_DEVICE, &id))
		v->in_page[id] = page;
}

static bool is_our_name(const u8 *name, u32 bytes)
{
	static const char ours[] = VIRTIO_LINK_NAME;
	u32 length = sizeof(ours) - 1;

	/* QEMU counts a zero at the end, and others need not. */
	return (bytes == length || (bytes == length + 1 && !name[length])) &&
	       memcmp(name, ours, length) == 0;
}

static void found_port(struct virtio_link *v, u32 port)
{
	if (v->in)
		return;
	v->port = port;
	v->in = &v->queues[2UL * port];
	v->out = &v->queues[2UL * port + 1];
	for (u32 i = 0; i < VIRTIO_LINK_PAGES; i++)
		give_page(v, i);
	virtio_kick(&v->device, v->in);
	if (v->wants_open)
		say(v, port, CONTROL_PORT_OPEN, 1);
}

static void on_open(struct virtio_link *v, bool is_open)
{
	v->is_open = is_open;
	if (!is_open && v->link.state == LINK_UP)
		link_is_lost(&v->link, "the peer's end of the port is closed");
}

/* Port 0 is a console, in every device there is. */
static void on_control(struct virtio_link *v, const u8 *bytes, u32 count)
{
	struct control message;

	if (count < sizeof(message))
		return;
	memcpy(&message, bytes, sizeof(message));
	if (message.port == 0 || message.port >= v->port_count)
		return;
	switch (message.event) {
	case CONTROL_PORT_ADD:
		say(v, message.port, CONTROL_PORT_READY, 1);
		break;
	case CONTROL_PORT_NAME:
		if (is_our_name(bytes + sizeof(message),
				count - (u32)sizeof(message)))
			found_port(v, message.port);
		break;
	case CONTROL_PORT_OPEN:
		/* It may come before the name does. */
		v->open_ports = message.value
				    ? v->open_ports | BIT(message.port)
				    : v->open_ports & ~BIT(message.port);
		break;
	case CONTROL_PORT_REMOVE:
		v->open_ports &= ~BIT(message.port);
		break;
	default:
		break;
	}
	if (v->in)
		on_open(v, v->open_ports & BIT(v->port));
}

static void poll_control(struct virtio_link *v)
{
	u16 id;
	u32 bytes;

	while (virtio_take(&v->control_in, &id, &bytes)) {
		u32 slot = v->control_of[id];

		on_control(v, v->controls[slot],
			   bytes < VIRTIO_CONTROL_BYTES ? bytes
							: VIRTIO_CONTROL_BYTES);
		listen(v, slot);
		virtio_kick(&v->device, &v->control_in);
	}
}

/* --- Sending -------------------------------------------------------------- */

static u8 *out_page(const struct virtio_link *v, u32 number)
{
	return v->out_pages + (u64)(number % VIRTIO_LINK_PAGES) * PAGE_4K;
}

/* Full pages in one buffer; the last may be a part, which then counts as one.
 */
static bool give_pages(struct virtio_link *v, u32 pages, u32 last_bytes)
{
	struct virtio_part parts[PAGES_AT_ONCE];
	struct virtio_sending *sending =
	    &v->sending[v->sending_put % VIRTIO_LINK_PAGES];

	for (u32 i = 0; i < pages; i++)
		parts[i] = (struct virtio_part){out_page(v, v->out_given + i),
						PAGE_4K};
	parts[pages - 1].bytes = last_bytes;
	if (!virtio_put(v->out, parts, pages, VIRTIO_TO_DEVICE, &sending->id))
		return false;
	sending->is_done = false;
	sending->pages = pages;
	v->sending_put++;
	v->out_given += pages;
	virtio_kick(&v->device, v->out);
	return true;
}

/* Buffers may come back in any order; pages are free again in theirs. */
static void poll_sent(struct virtio_link *v)
{
	u16 id;
	u32 bytes;

	while (virtio_take(v->out, &id, &bytes))
		for (u32 n = v->sending_done; n != v->sending_put; n++) {
			struct virtio_sending *sending =
			    &v->sending[n % VIRTIO_LINK_PAGES];

			if (sending->id == id && !sending->is_done) {
				sending->is_done = true;
				break;
			}
		}
	while (v->sending_done != v->sending_put &&
	       v->sending[v->sending_done % VIRTIO_LINK_PAGES].is_done)
		v->out_done +=
		    v->sending[v->sending_done++ % VIRTIO_LINK_PAGES].pages;
}

/* What is full in large buffers; what is not full, too, when it is time. */
static void give_full(struct virtio_link *v)
{
	while (v->out_put - v->out_given >= PAGES_AT_ONCE)
		if (!give_pages(v, PAGES_AT_ONCE, PAGE_4K))
			return;
}

static void give_rest(struct virtio_link *v)
{
	u32 full = v->out_put - v->out_given;
	u32 pages = full + (v->out_filled > 0);

	if (pages == 0 || pages > PAGES_AT_ONCE ||
	    !give_pages(v, pages, v->out_filled ? v->out_filled : PAGE_4K))
		return;
	v->out_put += pages - full;
	v->out_filled = 0;
}

static u32 virtio_send(struct link *link, const u8 *bytes, u32 count)
{
	struct virtio_link *v = virtio_of(link);
	u32 taken = 0;

	poll_sent(v);
	while (taken < count && v->out_put - v->out_done < VIRTIO_LINK_PAGES) {
		u32 here = PAGE_4K - v->out_filled;

		here = here < count - taken ? here : count - taken;
		memcpy(out_page(v, v->out_put) + v->out_filled, bytes + taken,
		       here);
		taken += here;
		v->out_filled += here;
		if (v->out_filled < PAGE_4K)
			break;
		v->out_put++;
		v->out_filled = 0;
	}
	give_full(v);
	return taken;
}

static u32 virtio_pending(struct link *link)
{
	struct virtio_link *v = virtio_of(link);

	return (u32)((v->out_put - v->out_done) * PAGE_4K) + v->out_filled;
}

/* --- Receiving ------------------------------------------------------------ */

static void poll_ready(struct virtio_link *v)
{
	u16 id;
	u32 bytes;

	while (virtio_take(v->in, &id, &bytes)) {
		v->ready[v->ready_put % VIRTIO_LINK_PAGES] =
		    (struct virtio_ready){v->in_page[id],
					  bytes < PAGE_4K ? bytes : PAGE_4K};
		v->ready_put++;
	}
}

static u32 virtio_receive(struct link *link, u8 *bytes, u32 room)
{
	struct virtio_link *v = virtio_of(link);
	u32 got = 0;

	if (!v->in)
		return 0;
	poll_ready(v);
	while (got < room && v->ready_taken != v->ready_put) {
		const struct virtio_ready *ready =
		    &v->ready[v->ready_taken % VIRTIO_LINK_PAGES];
		u32 here = ready->bytes - v->ready_at;

		here = here < room - got ? here : room - got;
		memcpy(bytes + got,
		       v->in_pages + ready->page * PAGE_4K + v->ready_at, here);
		got += here;
		v->ready_at += here;
		if (v->ready_at < ready->bytes)
			break;
		give_page(v, ready->page);
		v->ready_at = 0;
		v->ready_taken++;
	}
	if (got)
		virtio_kick(&v->device, v->in);
	return got;
}

/* --- The link ------------------------------------------------------------- */

static void virtio_poll(struct link *link, u64 now_ns)
{
	struct virtio_link *v = virtio_of(link);

	(void)now_ns;
	poll_control(v);
	if (link->state == LINK_CONNECTING && v->in && v->is_open)
		link->state = LINK_UP;
	if (!v->in)
		return;
	poll_sent(v);
	if (link->state == LINK_UP)
		give_rest(v);
}

/* What has come of an old stream goes with it. */
static void virtio_connect(struct link *link)
{
	struct virtio_link *v = virtio_of(link);
	u8 old[64];

	v->wants_open = true;
	while (virtio_receive(link, old, sizeof(old)))
		continue;
	if (v->in)
		say(v, v->port, CONTROL_PORT_OPEN, 1);
}

static void virtio_close(struct link *link)
{
	struct virtio_link *v = virtio_of(link);

	v->wants_open = false;
	if (v->in)
		say(v, v->port, CONTROL_PORT_OPEN, 0);
}

static const struct link_operations operations = {
    .connect = virtio_connect,
    .send = virtio_send,
    .receive = virtio_receive,
    .poll = virtio_poll,
    .pending = virtio_pending,
    .close = virtio_close,
};

/* Ports from 1 on have the queues from 4 on, two each. */
static enum err init_queues(struct virtio_link *v)
{
	enum err err =
	    virtio_queue_init(&v->device, &v->control_in, CONTROL_IN);

	if (err == OK)
		err =
		    virtio_queue_init(&v->device, &v->control_out, CONTROL_OUT);
	for (u32 i = 2; err == OK && i < 2 * v->port_count; i++)
		err =
		    virtio_queue_init(&v->device, &v->queues[i], (u16)(i + 2));
	return err;
}

static enum err take_pages(u8 **pages)
{
	hpa_t base;
	enum err err = frame_alloc_zeroed(
	    frame_order_for(VIRTIO_LINK_PAGES * PAGE_4K), "virtio link", &base);

	if (err == OK)
		*pages = phys_ptr(base);
	return err;
}

static enum err begin_device(struct virtio_link *v)
{
	enum err err =
	    virtio_begin(&v->device, KIND_CONSOLE, FEATURE_MULTIPORT);

	if (err != OK)
		return err;
	if (!(v->device.features & FEATURE_MULTIPORT))
		return ERR_UNSUPPORTED;
	v->port_count = virtio_config_u32(&v->device, CONFIG_PORTS);
	if (v->port_count < 2)
		return ERR_UNSUPPORTED;
	if (v->port_count > VIRTIO_PORTS_MAX)
		v->port_count = VIRTIO_PORTS_MAX;
	return init_queues(v);
}

enum err virtio_link_init(struct virtio_link *v)
{
	enum err err = begin_device(v);

	if (err == OK)
		err = take_pages(&v->in_pages);
	if (err == OK)
		err = take_pages(&v->out_pages);
	if (err != OK)
		return err;
	v->link = (struct link){.operations = &operations, .name = "virtio"};
	virtio_go(&v->device);
	for (u32 i = 0; i < VIRTIO_CONTROLS; i++)
		listen(v, i);
	virtio_kick(&v->device, &v->control_in);
	say(v, ~0U, CONTROL_DEVICE_READY, 1);
	return OK;
}
