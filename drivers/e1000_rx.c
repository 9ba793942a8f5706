/* SPDX-License-Identifier: MIT */
/* See drivers/e1000_rx.h. */
#include "drivers/e1000_rx.h"
#include "lib/bits.h"
#include "lib/check.h"
#include "mm/phys.h"

#define RING      E1000_RX_RING
#define NOTHING   ((u32)RING)
#define GIVE_BACK 16U /* a register is slow: not for each */

_Static_assert(sizeof(struct e1000_rx_descriptor) == 16, "legacy format");
_Static_assert(GIVE_BACK < RING / 2, "most lie ready");
_Static_assert(E1000_KEPT_MAX == 64, "`spares` has a bit for each");

static void set_buffer(struct e1000_rx *rx, u32 at, u8 *buffer)
{
	rx->buffers[at] = buffer;
	rx->ring[at].address = hpa_raw(phys_of(buffer));
}

void e1000_rx_begin(struct e1000_rx *rx,
		    volatile struct e1000_rx_descriptor *ring,
		    volatile u32 *tail, u8 *buffers, u8 *others)
{
	rx->ring = ring;
	rx->tail = tail;
	rx->next = rx->back = 0;
	rx->last = NOTHING;
	rx->spares = ~0UL;
	for (u32 i = 0; i < RING; i++) {
		rx->ring[i].status = 0;
		set_buffer(rx, i, buffers + i * E1000_RX_BUFFER_BYTES);
	}
	for (u32 i = 0; i < E1000_KEPT_MAX; i++)
		rx->others[i] = others + i * E1000_RX_BUFFER_BYTES;
}

/* x86 keeps stores in order: the descriptors are empty before the tail moves. */
static void give_back(struct e1000_rx *rx)
{
	u32 back = rx->back, next = rx->next;

	if ((next - back) % RING < GIVE_BACK)
		return;
	for (; back != next; back = (u32)((back + 1) % RING))
		rx->ring[back].status = 0;
	rx->back = next;
	*rx->tail = (u32)((next + RING - 1) % RING);
}

/* A damaged frame, or a part of one that was too long, is passed over. */
u32 e1000_rx_receive(struct e1000_rx *rx, const u8 **frame)
{
	give_back(rx);
	rx->last = NOTHING;
	for (u32 i = 0; i < RING; i++) {
		u32 at = rx->next, bytes;
		u8 status = rx->ring[at].status;

		if (!(status & E1000_RX_DONE))
			return 0;
		bytes = rx->ring[at].length; /* only now is it there */
		rx->next = (u32)((at + 1) % RING);
		if (!(status & E1000_RX_END_OF_PACKET) || rx->ring[at].errors ||
		    !bytes || bytes > E1000_RX_BUFFER_BYTES)
			continue;
		rx->last = at;
		*frame = rx->buffers[at];
		return bytes;
	}
	return 0;
}

/* Its descriptor is not the controller's yet: the next call gives it back. */
u32 e1000_rx_keep(struct e1000_rx *rx)
{
	u32 last = rx->last, kept;
	u8 *spare;

	CHECK(last != NOTHING && rx->spares);
	kept = (u32)bits_lowest(rx->spares);
	rx->spares &= rx->spares - 1;
	spare = rx->others[kept];
	rx->others[kept] = rx->buffers[last];
	set_buffer(rx, last, spare);
	rx->last = NOTHING;
	return kept;
}

void e1000_rx_release(struct e1000_rx *rx, u32 kept)
{
	CHECK(kept < E1000_KEPT_MAX && !(rx->spares & BIT(kept)));
	rx->spares |= BIT(kept);
}
