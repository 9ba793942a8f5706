/* SPDX-License-Identifier: MIT */
/*
 * The 8254 programmable interval timer of a PC (Intel 8254 data sheet) and
 * port 61H, which gates its channel 2.
 *
 * Nothing counts: a channel keeps the tick at which its count was loaded, and
 * what its outputs and counters are follows from the time. One difference from
 * the data sheet: a count that is written while modes 2 and 3 run takes effect
 * at once, not at the end of the period.
 */
#ifndef DEVICES_PIT_H
#define DEVICES_PIT_H

#include "lib/bits.h"
#include "lib/types.h"

#define PIT_HZ            1193182ULL
#define PIT_CHANNEL_COUNT 3

/* Whoever reads or writes a byte at a time remembers which is next. */
enum pit_byte { PIT_LOW_BYTE, PIT_HIGH_BYTE };

struct pit_channel_state {
	u64 start_tick;   /* when the count was loaded, or a trigger came */
	u64 edge_tick;    /* up to here rising edges have been reported */
	u64 held_ticks;   /* gate low: ticks that had been counted */
	u32 count;        /* 1 to 65536, or 10000 in BCD; 0: none yet */
	u16 latched;      /* counter value held for reading */
	u8 latched_bytes; /* of `latched` still to be read: 0, 1 or 2 */
	u8 status;        /* status byte held for reading */
	u8 status_latched;
	u8 mode;      /* 0 to 5 */
	u8 bcd;       /* 0 or 1 */
	u8 access;    /* 1 low byte, 2 high byte, 3 low then high */
	u8 gate;      /* 0 or 1 */
	u8 triggered; /* modes 1 and 5: a trigger has come */
	u8 next_read;
	u8 next_write;
	u8 written_low;
};

struct pit_state {
	struct pit_channel_state channels[PIT_CHANNEL_COUNT];
	u64 edge_ns; /* when channel 0 rises next, or CLOCK_NEVER */
	u8 speaker;  /* port 61H, bit 1 */
};

/* As a PC's firmware leaves it: channel 0 in mode 3 at 18.2 Hz. */
void pit_reset(struct pit_state *pit);

/* Ports 40H to 43H as 0 to 3. */
u8 pit_read(struct pit_state *pit, u32 port, u64 now_ns);
void pit_write(struct pit_state *pit, u32 port, u8 value, u64 now_ns);

/* Port 61H: gate and output of channel 2, speaker, refresh toggle. */
u8 pit_read_port61(const struct pit_state *pit, u64 now_ns);
void pit_write_port61(struct pit_state *pit, u8 value, u64 now_ns);

/*
 * The output of channel 0 is interrupt line 0. next: when it rises next, or
 * CLOCK_NEVER. take: has it risen since the last time this was asked?
 */
static inline u64 pit_next_edge_ns(const struct pit_state *pit)
{
	return pit->edge_ns;
}

/* Its channels have been put in place: when does channel 0 rise next? */
void pit_restored(struct pit_state *pit);

bool pit_take_edge(struct pit_state *pit, u64 now_ns);

/* The output of a channel (0 to 2) now. */
bool pit_output(const struct pit_state *pit, u32 channel, u64 now_ns);

#endif
