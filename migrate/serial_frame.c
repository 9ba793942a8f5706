/* SPDX-License-Identifier: MIT */
/* Byte stuffing: see migrate/serial_frame.h. */
#include "migrate/serial_frame.h"

#define RUN_MAX 255U /* its code; 254 bytes, and no zero after them */

/* --- Writing -------------------------------------------------------------- */

static void open_run(struct serial_frame_writer *writer)
{
	writer->code_at = writer->filled++;
}

static void close_run(struct serial_frame_writer *writer)
{
	writer->at[writer->code_at] = (u8)(writer->filled - writer->code_at);
}

void serial_frame_begin(struct serial_frame_writer *writer, u8 *at)
{
	*writer = (struct serial_frame_writer){.at = at};
	open_run(writer);
}

void serial_frame_add(struct serial_frame_writer *writer, const u8 *bytes,
		      u32 count)
{
	for (u32 i = 0; i < count; i++) {
		/* Only now is it known that something follows the full run. */
		if (writer->filled - writer->code_at == RUN_MAX) {
			close_run(writer);
			open_run(writer);
		}
		if (bytes[i]) {
			writer->at[writer->filled++] = bytes[i];
		} else {
			close_run(writer);
			open_run(writer);
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

static void put(struct serial_frame_reader *reader, u8 byte)
{
	if (reader->filled < sizeof(reader->frame))
		reader->frame[reader->filled++] = byte;
	else
		reader->is_spoiled = true;
}

static void take_byte(struct serial_frame_reader *reader, u8 byte)
{
	if (reader->is_spoiled)
		return;
	if (reader->run_left) {
		put(reader, byte);
		reader->run_left--;
		return;
	}
	if (reader->zero_owed)
		put(reader, 0);
	reader->run_left = byte - 1U;
	reader->zero_owed = byte != RUN_MAX;
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
		u8 byte = **bytes;

		++*bytes;
		--*count;
		if (byte) {
			take_byte(reader, byte);
		} else {
			u32 length = finish(reader);

			if (length)
				return length;
		}
	}
	return 0;
}
