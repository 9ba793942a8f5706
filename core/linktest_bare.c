/* SPDX-License-Identifier: MIT */
/* Bare loops over the links' devices: see core/linktest_bare.h. */
#include "core/linktest_bare.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"
#include "core/console.h"
#include "core/links.h"
#include "drivers/e1000.h"
#include "drivers/serial.h"
#include "drivers/virtio_link.h"
#include "lib/log.h"
#include "lib/string.h"

#define FRAME_BYTES E1000_FRAME_BYTES
#define WINDOW      32U
#define SAY_EVERY   8U
#define GREETING    0x47U   /* of the bare serial line */
#define BARE_TYPE   0x88b5U /* IEEE 802: local experiments */
#define RESEND_NS   1000000000UL

static u8 piece[2048];

static void begin(void)
{
	log_info("linktest: begins");
	console_flush();
}

static void report(u64 bytes, u64 begun_ns)
{
	log_info("linktest: good: %lu bytes over the bare device, %lu us",
		 bytes, (tsc_now_ns() - begun_ns) / 1000);
}

/* --- UART ----------------------------------------------------------------- */

static void uart_send(u64 bytes)
{
	struct serial *serial = links_serial();
	u64 begun_ns, sent = 0;
	u8 byte = 0;

	while (!serial_read(serial, &byte, 1) || byte != GREETING)
		serial_poll(serial);
	begin();
	begun_ns = tsc_now_ns();
	while (sent < bytes) {
		u64 left = bytes - sent;

		sent += serial_write_some(
		    serial, piece, left < sizeof(piece) ? left : sizeof(piece));
		links_wait();
		serial_poll(serial);
	}
	while (!serial_read(serial, &byte, 1))
		serial_poll(serial);
	report(bytes, begun_ns);
}

static void uart_receive(u64 bytes)
{
	static const u8 greeting = GREETING;
	struct serial *serial = links_serial();
	u64 begun_ns = 0, got = 0;

	serial_write_some(serial, &greeting, 1);
	while (got < bytes) {
		size_t here;

		links_wait();
		serial_poll(serial);
		here = serial_read(serial, piece, sizeof(piece));
		if (here && !got) {
			begin();
			begun_ns = tsc_now_ns();
		}
		got += here;
	}
	serial_write_some(serial, &greeting, 1);
	serial_flush(serial);
	report(got, begun_ns);
}

/* --- Network -------------------------------------------------------------- */

/* | to all 6 | from 6 | type 2 | number 4 | whatever: the last may be lost. */
static bool put_frame(u32 number, u32 bytes)
{
	u8 *room = e1000_room();

	if (!room)
		return false;
	memset(piece, 0xff, 6);
	memcpy(piece + 6, e1000_mac(), 6);
	piece[12] = BARE_TYPE >> 8;
	piece[13] = BARE_TYPE & 0xff;
	memcpy(piece + 14, &number, sizeof(number));
	memcpy(room, piece, bytes);
	e1000_send(bytes);
	return true;
}

/* The number in the next frame of ours that has come. */
static bool get_number(u32 *number, u32 *bytes)
{
	const u8 *frame;

	while ((*bytes = e1000_receive(&frame)) > 0)
		if (*bytes >= 18 && frame[12] == BARE_TYPE >> 8 &&
		    frame[13] == (BARE_TYPE & 0xff)) {
			memcpy(number, frame + 14, sizeof(*number));
			return true;
		}
	return false;
}

static void net_send(u64 bytes)
{
	u32 count = (u32)((bytes + FRAME_BYTES - 1) / FRAME_BYTES), next = 0;
	u32 seen = 0, number, got;
	u64 begun_ns, said_ns;

	while (!get_number(&number, &got))
		continue;
	begin();
	begun_ns = said_ns = tsc_now_ns();
	while (seen < count) {
		while (get_number(&number, &got)) {
			seen = number > seen ? number : seen;
			said_ns = tsc_now_ns();
		}
		/* What is lost is not sent again: a bare loop. */
		if (tsc_now_ns() - said_ns > RESEND_NS) {
			put_frame(next - 1, FRAME_BYTES);
			said_ns = tsc_now_ns();
		}
		while (next < count && next - seen < WINDOW &&
		       put_frame(next, FRAME_BYTES))
			next++;
	}
	report(bytes, begun_ns);
}

static void net_receive(u64 bytes)
{
	u32 count = (u32)((bytes + FRAME_BYTES - 1) / FRAME_BYTES);
	u32 seen = 0, said = 0, number, got;
	u64 begun_ns = 0, said_ns = 0, carried = 0;

	while (seen < count) {
		if (get_number(&number, &got) && got > 60) {
			if (!seen) {
				begin();
				begun_ns = tsc_now_ns();
			}
			if (number >= seen) {
				seen = number + 1;
				carried += FRAME_BYTES;
			}
		}
		if (seen - said < SAY_EVERY &&
		    tsc_now_ns() - said_ns < RESEND_NS)
			continue;
		put_frame(seen, 60);
		said = seen;
		said_ns = tsc_now_ns();
	}
	for (u32 i = 0; i < 8; i++)
		put_frame(seen, 60);
	tsc_delay_us(1000000);
	report(carried < bytes ? carried : bytes, begun_ns);
}

/* --- Virtio --------------------------------------------------------------- */

#define VIRTIO_PARTS 8U

static u8 pages[VIRTIO_PARTS * PAGE_4K] ALIGNED(4096);

static struct virtio_link *virtio_up(void)
{
	struct virtio_link *v = links_virtio();

	link_connect(&v->link);
	while (v->link.state != LINK_UP)
		link_poll(&v->link, tsc_now_ns());
	begin();
	return v;
}

/* The same buffer again and again, as often as descriptors are free. */
static void virtio_send(u64 bytes)
{
	struct virtio_part parts[VIRTIO_PARTS];
	struct virtio_link *v = virtio_up();
	u64 begun_ns = tsc_now_ns();
	u16 id;
	u32 done;
	u8 word;

	for (u32 i = 0; i < VIRTIO_PARTS; i++)
		parts[i] = (struct virtio_part){pages + i * PAGE_4K, PAGE_4K};
	for (u64 sent = 0; sent < bytes;) {
		while (virtio_take(v->out, &id, &done))
			continue;
		while (sent < bytes && virtio_put(v->out, parts, VIRTIO_PARTS,
						  VIRTIO_TO_DEVICE, &id)) {
			sent += sizeof(pages);
			virtio_kick(&v->device, v->out);
		}
	}
	while (!link_receive(&v->link, &word, 1))
		continue;
	report(bytes, begun_ns);
}

/* Pages come and go back; the last word tells the sender that all came. */
static void virtio_receive(u64 bytes)
{
	struct virtio_link *v = virtio_up();
	u64 begun_ns = tsc_now_ns(), got = 0;
	u32 count;
	u16 id;

	while (got < bytes)
		while (virtio_take(v->in, &id, &count)) {
			const struct virtio_part part = {
			    v->in_pages + v->in_page[id] * PAGE_4K, PAGE_4K};
			u32 page = v->in_page[id];

			got += count;
			if (virtio_put(v->in, &part, 1, VIRTIO_FROM_DEVICE,
				       &id))
				v->in_page[id] = page;
			virtio_kick(&v->device, v->in);
		}
	link_send(&v->link, pages, 1);
	for (u64 until = tsc_now_ns() + RESEND_NS; tsc_now_ns() < until;)
		link_poll(&v->link, tsc_now_ns());
	report(got, begun_ns);
}

/* --- Each ----------------------------------------------------------------- */

void linktest_bare_send(const struct options *options)
{
	u64 bytes = options->linktest.bytes;

	switch (options->link.kind) {
	case LINK_KIND_UART:
		uart_send(bytes);
		break;
	case LINK_KIND_NET:
		net_send(bytes);
		break;
	case LINK_KIND_VIRTIO:
		virtio_send(bytes);
		break;
	case LINK_KIND_NONE:
		break;
	}
}

void linktest_bare_receive(const struct options *options)
{
	u64 bytes = options->linktest.bytes;

	switch (options->link.kind) {
	case LINK_KIND_UART:
		uart_receive(bytes);
		break;
	case LINK_KIND_NET:
		net_receive(bytes);
		break;
	case LINK_KIND_VIRTIO:
		virtio_receive(bytes);
		break;
	case LINK_KIND_NONE:
		break;
	}
}
