/* SPDX-License-Identifier: MIT */
/* Places for the pieces of a guest: see loader/guest_place.h. */
#include "loader/guest_place.h"
#include "lib/check.h"
#include "lib/log.h"
#include "lib/string.h"

/*
 * Above what firmware and kernels keep at the bottom (interrupt vectors, BIOS
 * data, start-up code for further CPUs).
 */
#define INFO_MINIMUM 0x10000

static u64 piece_end(const struct guest_piece *piece)
{
	return gpa_raw(piece->at) + piece->total_bytes;
}

/* A piece that [at, at + bytes) overlaps, or NULL; the range is in RAM. */
static const struct guest_piece *piece_in(const struct guest_load *load, u64 at,
					  u64 bytes)
{
	for (u32 i = 0; i < load->piece_count; i++) {
		const struct guest_piece *piece = &load->pieces[i];

		if (at < piece_end(piece) && gpa_raw(piece->at) < at + bytes)
			return piece;
	}
	return NULL;
}

static void add(struct guest_load *load, const struct guest_piece *piece)
{
	CHECK(piece->copy_bytes <= piece->total_bytes);
	CHECK(load->piece_count < GUEST_PIECES_MAX);
	load->pieces[load->piece_count++] = *piece;
}

enum err guest_place_at(struct guest_load *load,
			const struct guest_piece *piece)
{
	u64 at = gpa_raw(piece->at);

	if (piece->total_bytes == 0)
		return OK;
	if (!guest_map_is_ram(&load->map, at, piece->total_bytes)) {
		load->misfit = (struct guest_misfit){
		    piece->what, piece->total_bytes, at, true};
		return ERR_NO_MEMORY;
	}
	const struct guest_piece *other =
	    piece_in(load, at, piece->total_bytes);

	if (other) {
		log_error("guest %s: its %s at %#lx overlaps its %s at %#lx",
			  load->name, piece->what, at, other->what,
			  gpa_raw(other->at));
		return ERR_OVERLAP;
	}
	add(load, piece);
	return OK;
}

/* The lowest free place in one range; `*at` is written only when true. */
static bool find_in_range(const struct guest_load *load,
			  const struct guest_room *room, u64 bytes,
			  const struct guest_range *range, u64 *at)
{
	u64 base = gpa_raw(range->base);
	u64 end = base + range->bytes;
	u64 least = base < room->minimum ? room->minimum : base;
	u64 place = align_up(least, room->alignment);

	if (end > room->limit)
		end = room->limit;
	/* Rounding up may wrap around to below `least`. */
	while (place >= least && place < end && bytes <= end - place) {
		const struct guest_piece *other = piece_in(load, place, bytes);

		if (!other) {
			*at = place;
			return true;
		}
		place = align_up(piece_end(other), room->alignment);
	}
	return false;
}

enum err guest_place_in(struct guest_load *load, const struct guest_room *room,
			const struct guest_piece *piece, gpa_t *at)
{
	struct guest_piece placed = *piece;
	u64 place;

	if (piece->total_bytes == 0) {
		*at = gpa(align_up(room->minimum, room->alignment));
		return OK;
	}
	for (u32 i = 0; i < load->map.range_count; i++) {
		const struct guest_range *range = &load->map.ranges[i];

		if (range->kind != GUEST_RANGE_RAM ||
		    !find_in_range(load, room, piece->total_bytes, range,
				   &place))
			continue;
		placed.at = gpa(place);
		add(load, &placed);
		*at = placed.at;
		return OK;
	}
	load->misfit = (struct guest_misfit){piece->what, piece->total_bytes,
					     room->minimum, false};
	return ERR_NO_MEMORY;
}

enum err guest_place_info(struct guest_load *load, gpa_t *at)
{
	const struct guest_room room = {INFO_MINIMUM, 4 * GIB, PAGE_4K};
	const struct guest_piece piece = {
	    .what = "boot information",
	    .from = load->info,
	    .copy_bytes = sizeof(load->info),
	    .total_bytes = sizeof(load->info),
	};

	memset(load->info, 0, sizeof(load->info));
	return guest_place_in(load, &room, &piece, at);
}
