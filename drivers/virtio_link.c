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
	virtio_gather_begin(&v->gather, v->out_pages, v->out->size);
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

static void poll_sent(struct virtio_link *v)
{
	u16 id;
	u32 bytes;

	while (virtio_take(v->out, &id, &bytes))
		virtio_gather_returned(&v->gather, id);
}

/* What has been gathered becomes the device's. False: it has no room. */
static bool give_buffer(struct virtio_link *v)
{
	struct virtio_gather *gather = &v->gather;
	u16 id;

	if (!gather->part_count)
		return true;
	if (!virtio_gather_is_ready(gather) ||
	    !virtio_put(v->out, gather->parts, gather->part_count,
			VIRTIO_TO_DEVICE, &id))
		return false;
	virtio_gather_given(gather, id);
	virtio_kick(&v->device, v->out);
	return true;
}

/* A full one goes at once, or there is no room. */
static bool make_room(struct virtio_link *v)
{
	return virtio_gather_has_room(&v->gather) || give_buffer(v);
}

static u32 virtio_send(struct link *link, const u8 *bytes, u32 count)
{
	struct virtio_link *v = virtio_of(link);
	u32 taken = 0, here = 1;

	poll_sent(v);
	while (taken < count && here && make_room(v)) {
		here = virtio_gather_copy(&v->gather, bytes + taken,
					  count - taken);
		taken += here;
	}
	make_room(v);
	return taken;
}

static u32 virtio_lend(struct link *link, const u8 *bytes, u32 count)
{
	struct virtio_link *v = virtio_of(link);

	poll_sent(v);
	if (!make_room(v))
		return 0;
	virtio_gather_lend(&v->gather, bytes, count);
	make_room(v);
	return count;
}

static u32 virtio_pending(struct link *link)
{
	return virtio_gather_pending(&virtio_of(link)->gather);
}

static bool virtio_has_returned(struct link *link)
{
	struct virtio_link *v = virtio_of(link);

	if (v->out) {
		poll_sent(v);
		if (link->state != LINK_UP)
			virtio_gather_drop(&v->gather);
	}
	return v->gather.lent_bytes == 0;
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
		give_buffer(v);
}

/* What there is of an old stream, in either direction, goes with it. */
static void virtio_connect(struct link *link)
{
	struct virtio_link *v = virtio_of(link);
	u8 old[64];

	v->wants_open = true;
	while (virtio_receive(link, old, sizeof(old)))
		continue;
	if (!v->in)
		return;
	virtio_gather_drop(&v->gather);
	say(v, v->port, CONTROL_PORT_OPEN, 1);
}

static void virtio_close(struct link *link)
{
	struct virtio_link *v = virtio_of(link);

	v->wants_open = false;
	if (v->in)
		say(v, v->port, CONTROL_PORT_OPEN, 0);
}

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

static enum err take_pages(u32 count, u8 **pages)
{
	hpa_t base;
	enum err err = frame_alloc_zeroed(frame_order_for(count * PAGE_4K),
					  "virtio link", &base);

	if (err == OK)
		*pages = phys_ptr(base);
	return err;
}

/* After a reset of the device. */
static enum err begin(struct virtio_link *v)
{
	u64 kept = offsetof(struct virtio_link, in);
	enum err err;

	memset((u8 *)v + kept, 0, sizeof(*v) - kept);
	err = init_queues(v);
	if (err != OK)
		return err;
	virtio_go(&v->device);
	for (u32 i = 0; i < VIRTIO_CONTROLS; i++)
		listen(v, i);
	virtio_kick(&v->device, &v->control_in);
	say(v, ~0U, CONTROL_DEVICE_READY, 1);
	return OK;
}

/* The port is found anew, and opened if the link is to be connected. */
static enum err virtio_recall(struct link *link)
{
	struct virtio_link *v = virtio_of(link);
	enum err err = virtio_reset(&v->device, FEATURE_MULTIPORT);

	v->wants_open = false;
	return err == OK ? begin(v) : err;
}

static const struct link_operations operations = {
    .connect = virtio_connect,
    .send = virtio_send,
    .lend = virtio_lend,
    .has_returned = virtio_has_returned,
    .recall = virtio_recall,
    .receive = virtio_receive,
    .poll = virtio_poll,
    .pending = virtio_pending,
    .close = virtio_close,
};

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
	return OK;
}

enum err virtio_link_init(struct virtio_link *v)
{
	enum err err = begin_device(v);

	if (err == OK)
		err = take_pages(VIRTIO_LINK_PAGES, &v->in_pages);
	if (err == OK)
		err = take_pages(VIRTIO_GATHER_PAGES, &v->out_pages);
	if (err != OK)
		return err;
	v->link = (struct link){.operations = &operations, .name = "virtio"};
	return begin(v);
}
