/* SPDX-License-Identifier: MIT */
/* See drivers/virtio_gather.h. */
#include "drivers/virtio_gather.h"
#include "lib/bits.h"
#include "lib/string.h"

static void begin_buffer(struct virtio_gather *g)
{
	g->part_count = g->bytes = g->lent = 0;
	g->pages_given = g->pages_put;
	g->page_left = 0;
}

void virtio_gather_begin(struct virtio_gather *g, u8 *pages, u32 parts_max)
{
	memset(g, 0, sizeof(*g));
	g->pages = pages;
	g->parts_max =
	    parts_max < VIRTIO_GATHER_PARTS ? parts_max : VIRTIO_GATHER_PARTS;
}

bool virtio_gather_has_room(const struct virtio_gather *g)
{
	return g->part_count < g->parts_max && g->bytes < VIRTIO_GATHER_BYTES;
}

static void add_part(struct virtio_gather *g, const u8 *at, u32 bytes)
{
	struct virtio_part *last =
	    g->part_count ? &g->parts[g->part_count - 1] : NULL;

	g->bytes += bytes;
	if (last && (const u8 *)last->at + last->bytes == at)
		last->bytes += bytes;
	else
		g->parts[g->part_count++] = (struct virtio_part){at, bytes};
}

static u8 *page(const struct virtio_gather *g, u32 number)
{
	return g->pages + (u64)(number % VIRTIO_GATHER_PAGES) * PAGE_4K;
}

u32 virtio_gather_copy(struct virtio_gather *g, const u8 *bytes, u32 count)
{
	u32 here;
	u8 *at;

	if (!g->page_left) {
		if (g->pages_put - g->pages_done == VIRTIO_GATHER_PAGES)
			return 0;
		g->pages_put++;
		g->page_left = PAGE_4K;
	}
	here = count < g->page_left ? count : g->page_left;
	at = page(g, g->pages_put - 1) + PAGE_4K - g->page_left;
	memcpy(at, bytes, here);
	add_part(g, at, here);
	g->page_left -= here;
	return here;
}

void virtio_gather_lend(struct virtio_gather *g, const u8 *bytes, u32 count)
{
	add_part(g, bytes, count);
	g->lent += count;
	g->lent_bytes += count;
}

bool virtio_gather_is_ready(const struct virtio_gather *g)
{
	return g->part_count &&
	       g->buffers_put - g->buffers_done < VIRTIO_BUFFERS_MAX;
}

void virtio_gather_given(struct virtio_gather *g, u16 id)
{
	u32 under_way;

	g->buffers[g->buffers_put % VIRTIO_BUFFERS_MAX] =
	    (struct virtio_buffer){
		.id = id,
		.pages = g->pages_put - g->pages_given,
		.lent = g->lent,
	    };
	under_way = ++g->buffers_put - g->buffers_done;
	g->counts.buffers++;
	g->counts.parts += g->part_count;
	if (under_way > g->counts.most_under_way)
		g->counts.most_under_way = under_way;
	begin_buffer(g);
}

static struct virtio_buffer *find(struct virtio_gather *g, u16 id)
{
	for (u32 n = g->buffers_done; n != g->buffers_put; n++) {
		struct virtio_buffer *buffer =
		    &g->buffers[n % VIRTIO_BUFFERS_MAX];

		/* Its number may have gone to another one since. */
		if (buffer->id == id && !buffer->is_done)
			return buffer;
	}
	return NULL;
}

void virtio_gather_returned(struct virtio_gather *g, u16 id)
{
	struct virtio_buffer *buffer = find(g, id);

	if (!buffer)
		return;
	buffer->is_done = true;
	g->lent_bytes -= buffer->lent;
	while (g->buffers_done != g->buffers_put) {
		buffer = &g->buffers[g->buffers_done % VIRTIO_BUFFERS_MAX];
		if (!buffer->is_done)
			break;
		g->pages_done += buffer->pages;
		g->buffers_done++;
	}
}

void virtio_gather_drop(struct virtio_gather *g)
{
	g->lent_bytes -= g->lent;
	g->pages_put = g->pages_given;
	begin_buffer(g);
}

u32 virtio_gather_pending(const struct virtio_gather *g)
{
	return (u32)((g->pages_put - g->pages_done) * PAGE_4K) + g->lent_bytes;
}
