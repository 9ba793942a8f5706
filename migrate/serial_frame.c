/* SPDX-License-Identifier: MIT */
/* Byte stuffing: see migrate/serial_frame.h. */
#include "migrate/serial_frame.h"
#include "lib/string.h"

#define RUN_MAX 255U /* its code; 254 bytes, and no zero after them */

/*
 * How many bytes stand before the first zero: all, if there is none. A line's
 * time for a byte is few instructions on a slow machine, so eight at a time.
 */
static u32 bytes_before_zero(const u8 *bytes, u32 count)
{
	u32 at = 0;

	for (; count - at >= 8; at += 8) {
		u64 word, zeroes;

		memcpy(&word, bytes + at, sizeof(word));
		/* The lowest bit that is set is of a byte that is zero. */
		zeroes = (word - 0x0101010101010101UL) & ~word &
			 0x8080808080808080UL;
		if (zeroes)
			return at + (u32)__builtin_ctzll(zeroes) / 8;
	}
	while (at < count && bytes[at])
		at++;
	return at;
}

/* --- Writing -------------------------------------------------------------- */

static void open_run(struct serial_frame_writer *writer)
{
	writer->code_at = writer->filled++;
}

static void close_run(struct serial_frame_writer *writer)
{
	writer->at[writer->code_at] = (u8)(writer->filled - writer->code_at);
}

static void next_run(struct serial_frame_writer *writer)
{
	close_run(writer);
	open_run(writer);
}

void serial_frame_begin(struct serial_frame_writer *writer, u8 *at)
{
	*writer = (struct serial_frame_writer){.at = at};
	writer->at[writer->filled++] = 0;
	open_run(writer);
}

void serial_frame_add(struct serial_frame_writer *writer, const u8 *bytes,
		      u32 count)
{
	while (count) {
		u32 room = RUN_MAX - (writer->filled - writer->code_at);
		u32 most = count < room ? count : room;
		u32 run = bytes_before_zero(bytes, most);

		memcpy(writer->at + writer->filled, bytes, run);
		writer->filled += run;
		bytes += run;
		count -= run;
		if (run < most) {
			next_run(writer); /* stands for the zero */
			bytes++;
			count--;
		} else if (count) {
			/* Only now is it known that the full run goes on. */
			next_run(writer);
		}
	}
}

u32 serial_frame_end(struct serial_frame_writer *writer)
{
	close_run(writer);
	writer->at[writer->filled++] = 0;
	return writer->filled;
}

/* --- Reading -------------------------------------------------------------- */

static void put(struct serial_frame_reader *reader, const u8 *bytes, u32 count)
{
	if (count > sizeof(reader->frame) - reader->filled) {
		reader->is_spoiled = true;
		return;
	}
	memcpy(reader->frame + reader->filled, bytes, count);
	reader->filled += count;
}

/* What there is of the open run, or of what is spoiled; returns how much. */
static u32 take_run(struct serial_frame_reader *reader, const u8 *bytes,
		    u32 count)
{
	u32 run;

	if (reader->is_spoiled)
		return bytes_before_zero(bytes, count);
	run = bytes_before_zero(
	    bytes, count < reader->run_left ? count : reader->run_left);
	put(reader, bytes, run);
	reader->run_left -= run;
	return run;
}

static void take_code(struct serial_frame_reader *reader, u8 code)
{
	static const u8 zero;

	if (reader->zero_owed)
		put(reader, &zero, 1);
	reader->run_left = code - 1U;
	reader->zero_owed = code != RUN_MAX;
}

/* The zero at the end. */
static u32 finish(struct serial_frame_reader *reader)
{
	bool is_good = !reader->is_spoiled && !reader->run_left;
	u32 length = is_good ? reader->filled : 0;

	reader->filled = reader->run_left = 0;
	reader->zero_owed = reader->is_spoiled = false;
	return length;
}

u32 serial_frame_take(struct serial_frame_reader *reader, const u8 **bytes,
		      u32 *count)
{
	while (*count) {
		u32 run = take_run(reader, *bytes, *count);
		u8 byte;

		*bytes += run;
		*count -= run;
		if (!*count)
			break;
		/* A code; or a zero, also in the midst of a run. */
		byte = *(*bytes)++;
		--*count;
		if (byte) {
			take_code(reader, byte);
		} else {
			u32 length = finish(reader);

			if (length)
				return length;
		}
	}
	return 0;
}
