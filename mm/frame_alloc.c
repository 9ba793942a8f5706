/* SPDX-License-Identifier: MIT */
/*
 * The buddy allocator: see mm/frame_alloc.h.
 *
 *	region		a piece of RAM without holes, inside one zone
 *	+-------+----------------------------------------+
 *	| state |  blocks                                |
 *	+-------+----------------------------------------+
 *	  one byte per frame of the region, those of `state` included
 *
 * Free blocks are linked through their own first bytes, in one list for each
 * zone and order. A block never reaches over the end of its region.
 */
#include "mm/frame_alloc.h"
#include "lib/check.h"
#include "lib/log.h"
#include "lib/spinlock.h"
#include "lib/string.h"
#include "mm/phys.h"

#define REGIONS_MAX  128
#define RESERVED_MAX 128
#define ZONES        (FRAME_ANYWHERE + 1)

/* The state of a block stands at its first frame; all others are INNER. */
#define STATE_INNER  0
#define STATE_FREE   0x40 /* | order */
#define STATE_USED   0x80 /* | order */

_Static_assert(FRAME_ORDERS <= STATE_FREE, "an order fits below the kind");

/* Frame numbers [first, end). */
struct span {
	u64 first;
	u64 end;
};

struct region {
	struct span frames;
	enum frame_zone zone;
	u8 *state; /* of frame `first` */
};

struct free_block {
	struct free_block *next;
	struct free_block **link; /* what points here */
};

static struct {
	struct spinlock lock;
	u32 region_count;
	u32 reserved_count;
	struct region regions[REGIONS_MAX];
	struct span reserved[RESERVED_MAX];
	struct free_block *free[ZONES][FRAME_ORDERS];
	u64 free_blocks[FRAME_ORDERS];
	u64 total_frames;
	u64 free_frames;
} ram;

static u64 frames_of(enum frame_order order)
{
	return 1ULL << order;
}

enum frame_order frame_order_for(u64 bytes)
{
	u32 order = FRAME_4K;

	while (order < FRAME_ORDERS && frame_bytes(order) < bytes)
		order++;
	return order;
}

static struct free_block *block_at(u64 frame)
{
	return phys_ptr(hpa(frame << PAGE_SHIFT));
}

static struct region *region_of(u64 frame)
{
	for (u32 i = 0; i < ram.region_count; i++) {
		struct region *region = &ram.regions[i];

		if (frame >= region->frames.first && frame < region->frames.end)
			return region;
	}
	return NULL;
}

static u8 *state_of(const struct region *region, u64 frame)
{
	return &region->state[frame - region->frames.first];
}

static void list_push(const struct region *region, u64 frame,
		      enum frame_order order)
{
	struct free_block **head = &ram.free[region->zone][order];
	struct free_block *block = block_at(frame);

	block->next = *head;
	block->link = head;
	if (block->next)
		block->next->link = &block->next;
	*head = block;
	ram.free_blocks[order]++;
	*state_of(region, frame) = (u8)(STATE_FREE | order);
}

static void list_remove(const struct region *region, u64 frame,
			enum frame_order order)
{
	struct free_block *block = block_at(frame);

	*block->link = block->next;
	if (block->next)
		block->next->link = block->link;
	ram.free_blocks[order]--;
	*state_of(region, frame) = STATE_INNER;
}

static bool is_free_block(const struct region *region, u64 frame,
			  enum frame_order order)
{
	return frame >= region->frames.first &&
	       frame + frames_of(order) <= region->frames.end &&
	       *state_of(region, frame) == (STATE_FREE | order);
}

/* Gives a block back and joins it with its buddy as often as that is free. */
static void release(const struct region *region, u64 frame,
		    enum frame_order order)
{
	ram.free_frames += frames_of(order);
	*state_of(region, frame) = STATE_INNER;
	for (; order < FRAME_1G; order++) {
		u64 buddy = frame ^ frames_of(order);

		if (!is_free_block(region, buddy, order))
			break;
		list_remove(region, buddy, order);
		frame &= ~frames_of(order);
	}
	list_push(region, frame, order);
}

/* The largest block that begins at `frame` and ends by `end`. */
static enum frame_order fitting_order(u64 frame, u64 end)
{
	enum frame_order order = FRAME_4K;

	while (order < FRAME_1G && is_aligned(frame, frames_of(order + 1)) &&
	       frame + frames_of(order + 1) <= end)
		order++;
	return order;
}

/* --- Building the map, on one CPU ---------------------------------------- */

void frame_alloc_init(void)
{
	memset(&ram, 0, sizeof(ram));
	ram.reserved[0] = (struct span){0, 1};
	ram.reserved_count = 1;
}

/* Physical addresses end at 2^52; what a map says beyond that is ignored. */
#define LIMIT BIT(52)

static u64 start_of(hpa_t base)
{
	return hpa_raw(base) < LIMIT ? hpa_raw(base) : LIMIT;
}

static u64 end_of(hpa_t base, u64 bytes)
{
	u64 room = LIMIT - start_of(base);

	return start_of(base) + (bytes < room ? bytes : room);
}

enum err frame_alloc_reserve(hpa_t base, u64 bytes)
{
	struct span touched = {
	    .first = start_of(base) >> PAGE_SHIFT,
	    .end = align_up(end_of(base, bytes), PAGE_4K) >> PAGE_SHIFT,
	};

	if (bytes == 0 || touched.first >= touched.end)
		return OK;
	if (ram.reserved_count == RESERVED_MAX)
		return ERR_NO_MEMORY;
	ram.reserved[ram.reserved_count++] = touched;
	return OK;
}

static enum err add_region(struct span frames, enum frame_zone zone)
{
	u64 count = frames.end - frames.first;
	u64 own = align_up(count, PAGE_4K) >> PAGE_SHIFT;
	struct region *region = &ram.regions[ram.region_count];

	if (count <= own)
		return OK;
	if (ram.region_count == REGIONS_MAX)
		return ERR_NO_MEMORY;
	*region = (struct region){
	    .frames = frames,
	    .zone = zone,
	    .state = phys_ptr(hpa(frames.first << PAGE_SHIFT)),
	};
	memset(region->state, STATE_INNER, count);
	ram.region_count++;
	ram.total_frames += count - own;
	for (u64 frame = frames.first + own; frame < frames.end;) {
		enum frame_order order = fitting_order(frame, frames.end);

		release(region, frame, order);
		frame += frames_of(order);
	}
	return OK;
}

/*
 * Cuts a known span out of a piece: the piece begins after a span that covers
 * its first frame, and ends where a span begins inside it.
 */
static void cut(struct span *piece, const struct span *known)
{
	if (known->end <= piece->first || known->first >= piece->end)
		return;
	if (known->first > piece->first)
		piece->end = known->first;
	else if (known->end < piece->end)
		piece->first = known->end;
	else
		piece->first = piece->end;
}

/* The first piece of `wanted` that is neither reserved nor there already. */
static struct span first_piece(struct span wanted)
{
	struct span piece = wanted;
	struct span before;

	/* Moving past one span may lead into another that was looked at. */
	do {
		before = piece;
		piece.end = wanted.end;
		for (u32 i = 0; i < ram.reserved_count; i++)
			cut(&piece, &ram.reserved[i]);
		for (u32 i = 0; i < ram.region_count; i++)
			cut(&piece, &ram.regions[i].frames);
	} while (piece.first != before.first);
	return piece;
}

static enum err add_in_zone(struct span wanted, enum frame_zone zone)
{
	enum err err = OK;

	while (wanted.first < wanted.end) {
		struct span piece = first_piece(wanted);

		if (piece.first < piece.end && add_region(piece, zone) != OK)
			err = ERR_NO_MEMORY;
		wanted.first = piece.end;
	}
	return err;
}

enum err frame_alloc_add(hpa_t base, u64 bytes)
{
	static const u64 zone_end[ZONES] = {
	    [FRAME_BELOW_1M] = MIB >> PAGE_SHIFT,
	    [FRAME_BELOW_4G] = (4 * GIB) >> PAGE_SHIFT,
	    [FRAME_ANYWHERE] = LIMIT >> PAGE_SHIFT,
	};
	u64 first = align_up(start_of(base), PAGE_4K) >> PAGE_SHIFT;
	u64 end = end_of(base, bytes) >> PAGE_SHIFT;
	enum err err = OK;

	for (u32 zone = 0; zone < ZONES && first < end; zone++) {
		u64 stop = end < zone_end[zone] ? end : zone_end[zone];

		if (first >= stop)
			continue;
		if (add_in_zone((struct span){first, stop},
				(enum frame_zone)zone) != OK)
			err = ERR_NO_MEMORY;
		first = stop;
	}
	return err;
}

/* --- Handing out, on any CPU --------------------------------------------- */

/* The order of the smallest free block that will do; FRAME_ORDERS if none. */
static u32 smallest_free(u32 zone, enum frame_order wanted)
{
	u32 order = wanted;

	while (order < FRAME_ORDERS && !ram.free[zone][order])
		order++;
	return order;
}

static enum err take_from(u32 zone, enum frame_order wanted, hpa_t *frame)
{
	u32 order = smallest_free(zone, wanted);

	if (order >= FRAME_ORDERS)
		return ERR_NO_MEMORY;

	u64 first = hpa_page(phys_of(ram.free[zone][order]));
	const struct region *region = region_of(first);

	list_remove(region, first, order);
	while (order > wanted) {
		order--;
		list_push(region, first + frames_of(order), order);
	}
	*state_of(region, first) = (u8)(STATE_USED | wanted);
	ram.free_frames -= frames_of(wanted);
	*frame = hpa(first << PAGE_SHIFT);
	return OK;
}

/* The scarce zones come last. */
static enum err take(enum frame_zone zone, enum frame_order order, hpa_t *frame)
{
	enum err err = ERR_NO_MEMORY;

	spin_lock(&ram.lock);
	for (u32 z = zone + 1U; z-- > 0 && err != OK;)
		err = take_from(z, order, frame);
	spin_unlock(&ram.lock);
	return err;
}

enum err frame_alloc_try(enum frame_order order, hpa_t *frame)
{
	return take(FRAME_ANYWHERE, order, frame);
}

static COLD void say_no_memory(enum frame_zone zone, enum frame_order order,
			       const char *who)
{
	static const char *const where[ZONES] = {
	    [FRAME_BELOW_1M] = " below 1 MiB",
	    [FRAME_BELOW_4G] = " below 4 GiB",
	    [FRAME_ANYWHERE] = "",
	};
	struct frame_stats stats;

	frame_stats(&stats);
	log_error("out of memory: %s wanted %lu KiB%s (%lu KiB free, "
		  "largest block %lu KiB)",
		  who, frame_bytes(order) >> 10, where[zone],
		  stats.free_bytes >> 10, stats.largest_bytes >> 10);
}

enum err frame_alloc_in(enum frame_zone zone, enum frame_order order,
			const char *who, hpa_t *frame)
{
	enum err err = take(zone, order, frame);

	if (err != OK)
		say_no_memory(zone, order, who);
	return err;
}

enum err frame_alloc(enum frame_order order, const char *who, hpa_t *frame)
{
	return frame_alloc_in(FRAME_ANYWHERE, order, who, frame);
}

enum err frame_alloc_zeroed(enum frame_order order, const char *who,
			    hpa_t *frame)
{
	enum err err = frame_alloc(order, who, frame);

	if (err == OK)
		memset(phys_ptr(*frame), 0, frame_bytes(order));
	return err;
}

void frame_free(hpa_t frame, enum frame_order order)
{
	spin_lock(&ram.lock);

	const struct region *region = region_of(hpa_page(frame));

	CHECK(region && hpa_offset(frame) == 0);
	CHECK(*state_of(region, hpa_page(frame)) == (STATE_USED | order));
	release(region, hpa_page(frame), order);
	spin_unlock(&ram.lock);
}

void frame_stats(struct frame_stats *stats)
{
	*stats = (struct frame_stats){0};
	spin_lock(&ram.lock);
	stats->total_bytes = ram.total_frames << PAGE_SHIFT;
	stats->free_bytes = ram.free_frames << PAGE_SHIFT;
	for (u32 order = 0; order < FRAME_ORDERS; order++) {
		stats->free_blocks[order] = ram.free_blocks[order];
		if (ram.free_blocks[order])
			stats->largest_bytes = frame_bytes(order);
	}
	spin_unlock(&ram.lock);
}
