/* SPDX-License-Identifier: MIT */
/* See devices/pit.h. */
#include "devices/pit.h"
#include "devices/clock.h"
#include "lib/string.h"

#define CONTROL_PORT       3
#define CONTROL_CHANNEL    BITS(7, 6) /* 3: read-back command */
#define CONTROL_ACCESS     BITS(5, 4) /* 0: counter latch command */
#define CONTROL_MODE       BITS(3, 1)
#define CONTROL_BCD        BIT(0)
#define READ_BACK_NO_COUNT BIT(5)
#define READ_BACK_NO_STATE BIT(4)

#define STATUS_OUTPUT      BIT(7)
#define STATUS_NULL_COUNT  BIT(6)

#define PORT61_GATE        BIT(0)
#define PORT61_SPEAKER     BIT(1)
#define PORT61_REFRESH     BIT(4)
#define PORT61_OUTPUT      BIT(5)

/* Memory refresh flips its bit every 15.085 us on an AT. */
#define REFRESH_NS         15085

#define NO_EDGE            CLOCK_NEVER

static u64 tick_of(u64 now_ns)
{
	return clock_ticks(now_ns, PIT_HZ);
}

static bool is_periodic(const struct pit_channel_state *channel)
{
	return channel->mode == 2 || channel->mode == 3;
}

/* Modes 1 and 5 wait for a trigger at the gate after the count is set. */
static bool is_triggered_mode(const struct pit_channel_state *channel)
{
	return channel->mode == 1 || channel->mode == 5;
}

/* The count that runs, or 0 if counting has not begun. */
static u64 running_count(const struct pit_channel_state *channel)
{
	if (is_triggered_mode(channel) && !channel->triggered)
		return 0;
	return channel->count;
}

/* In modes 0 and 4 a low gate holds the counter, in 2 and 3 it stops it. */
static bool is_held(const struct pit_channel_state *channel)
{
	return !channel->gate && !is_triggered_mode(channel);
}

/* Ticks since the count was loaded. Time may lie a little behind. */
static u64 counted(const struct pit_channel_state *channel, u64 tick)
{
	if (is_held(channel))
		return channel->held_ticks;
	return tick > channel->start_tick ? tick - channel->start_tick : 0;
}

/* --- What follows from the time ------------------------------------------- */

static bool output_at(const struct pit_channel_state *channel, u64 tick)
{
	u64 done = counted(channel, tick);
	u64 count = running_count(channel);

	if (!count)
		return channel->mode != 0;
	switch (channel->mode) {
	case 0:
	case 1:
		return done >= count;
	case 2:
		return is_held(channel) || done % count != count - 1;
	case 3:
		return is_held(channel) || done % count < (count + 1) / 2;
	default: /* 4 and 5: low for one tick */
		return done != count;
	}
}

/* The tick at which the output rises next after `tick`, or NO_EDGE. */
static u64 edge_after(const struct pit_channel_state *channel, u64 tick)
{
	u64 start = channel->start_tick;
	u64 count = running_count(channel);
	u64 edge;

	if (!count || is_held(channel))
		return NO_EDGE;
	if (is_periodic(channel)) {
		u64 done = tick > start ? tick - start : 0;

		return start + (done / count + 1) * count;
	}
	edge = start + count + (channel->mode >= 4 ? 1 : 0);
	return edge > tick ? edge : NO_EDGE;
}

/* Channel 0's next rising edge after what has been reported. */
static void plan_edge(struct pit_state *pit)
{
	const struct pit_channel_state *channel = &pit->channels[0];
	u64 tick = edge_after(channel, channel->edge_tick);

	pit->edge_ns = tick == NO_EDGE ? CLOCK_NEVER : clock_ns(tick, PIT_HZ);
}

void pit_restored(struct pit_state *pit)
{
	plan_edge(pit);
}

static u16 to_bcd(u64 value)
{
	return (u16)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 |
		     value / 1000 % 10 << 12);
}

static u32 from_bcd(u16 value)
{
	return (value & 0xfU) + (value >> 4 & 0xfU) * 10 +
	       (value >> 8 & 0xfU) * 100 + (value >> 12 & 0xfU) * 1000;
}

/* Modes that are not periodic count on below zero, modulo the full range. */
static u16 counter_at(const struct pit_channel_state *channel, u64 tick)
{
	u64 range = channel->bcd ? 10000 : 0x10000;
	u64 done = counted(channel, tick);
	u64 count = running_count(channel);
	u64 value;

	if (!count)
		value = channel->count;
	else if (channel->mode == 3) /* by two, twice per period */
		value = count - 2 * done % count;
	else if (channel->mode == 2)
		value = count - done % count;
	else
		value = count + range - done % range;
	value %= range;
	return channel->bcd ? to_bcd(value) : (u16)value;
}

/* --- Counters ------------------------------------------------------------- */

static void start(struct pit_channel_state *channel, u64 tick)
{
	channel->start_tick = tick;
	channel->edge_tick = tick;
	channel->held_ticks = 0;
}

static void load(struct pit_channel_state *channel, u16 value, u64 tick)
{
	u32 count = channel->bcd ? from_bcd(value) : value;

	channel->count = count ? count : channel->bcd ? 10000 : 0x10000;
	if (!is_triggered_mode(channel))
		start(channel, tick);
}

static void latch_counter(struct pit_channel_state *channel, u64 tick)
{
	if (channel->latched_bytes)
		return; /* a second latch command before the read is ignored */
	channel->latched = counter_at(channel, tick);
	channel->latched_bytes = channel->access == 3 ? 2 : 1;
	if (channel->access == 2)
		channel->latched >>= 8;
}

static void latch_status(struct pit_channel_state *channel, u64 tick)
{
	if (channel->status_latched)
		return;
	channel->status_latched = 1;
	channel->status = channel->bcd;
	channel->status |= (u8)(channel->mode << 1);
	channel->status |= (u8)(channel->access << 4);
	if (!channel->count)
		channel->status |= STATUS_NULL_COUNT;
	if (output_at(channel, tick))
		channel->status |= STATUS_OUTPUT;
}

static u8 read_counter(struct pit_channel_state *channel, u64 tick)
{
	u16 value;
	u8 byte = channel->access == 2 ? PIT_HIGH_BYTE : PIT_LOW_BYTE;

	if (channel->status_latched) {
		channel->status_latched = 0;
		return channel->status;
	}
	if (channel->latched_bytes) {
		value = channel->latched;
		channel->latched_bytes--;
		channel->latched >>= 8;
		return (u8)value;
	}
	value = counter_at(channel, tick);
	if (channel->access == 3) {
		byte = channel->next_read;
		channel->next_read ^= 1;
	}
	return (u8)(byte == PIT_HIGH_BYTE ? value >> 8 : value);
}

static u16 word(u8 low, u8 high)
{
	return (u16)(low | (u32)high << 8);
}

/* In mode 0 the first of two bytes stops the count. */
static void write_counter(struct pit_channel_state *channel, u8 value, u64 tick)
{
	switch (channel->access) {
	case 1:
		load(channel, value, tick);
		break;
	case 2:
		load(channel, word(0, value), tick);
		break;
	default:
		if (channel->next_write == PIT_LOW_BYTE) {
			channel->written_low = value;
			if (channel->mode == 0)
				channel->count = 0;
		} else {
			load(channel, word(channel->written_low, value), tick);
		}
		channel->next_write ^= 1;
	}
}

/* --- Control word --------------------------------------------------------- */

static void set_mode(struct pit_channel_state *channel, u8 control)
{
	u8 mode = (u8)bits_get(control, CONTROL_MODE);

	channel->mode = mode >= 6 ? mode - 4 : mode; /* 6 is 2, 7 is 3 */
	channel->access = (u8)bits_get(control, CONTROL_ACCESS);
	channel->bcd = control & CONTROL_BCD;
	channel->count = 0;
	channel->triggered = 0;
	channel->held_ticks = 0;
	channel->latched_bytes = 0;
	channel->status_latched = 0;
	channel->next_read = PIT_LOW_BYTE;
	channel->next_write = PIT_LOW_BYTE;
}

static void read_back(struct pit_state *pit, u8 control, u64 tick)
{
	for (u32 i = 0; i < PIT_CHANNEL_COUNT; i++) {
		if (!(control & BIT(i + 1)))
			continue;
		if (!(control & READ_BACK_NO_COUNT))
			latch_counter(&pit->channels[i], tick);
		if (!(control & READ_BACK_NO_STATE))
			latch_status(&pit->channels[i], tick);
	}
}

static void write_control(struct pit_state *pit, u8 control, u64 tick)
{
	u64 channel = bits_get(control, CONTROL_CHANNEL);

	if (channel >= PIT_CHANNEL_COUNT)
		read_back(pit, control, tick);
	else if (control & CONTROL_ACCESS)
		set_mode(&pit->channels[channel], control);
	else
		latch_counter(&pit->channels[channel], tick);
}

u8 pit_read(struct pit_state *pit, u32 port, u64 now_ns)
{
	if (port >= PIT_CHANNEL_COUNT)
		return 0xff; /* the control word is write-only */
	return read_counter(&pit->channels[port], tick_of(now_ns));
}

void pit_write(struct pit_state *pit, u32 port, u8 value, u64 now_ns)
{
	if (port == CONTROL_PORT)
		write_control(pit, value, tick_of(now_ns));
	else if (port < PIT_CHANNEL_COUNT)
		write_counter(&pit->channels[port], value, tick_of(now_ns));
	plan_edge(pit);
}

/* --- Gate and port 61H ---------------------------------------------------- */

static void set_gate(struct pit_channel_state *channel, u8 gate, u64 tick)
{
	u64 done = counted(channel, tick);

	if (channel->gate == gate)
		return;
	channel->gate = gate;
	if (!gate) {
		channel->held_ticks = is_triggered_mode(channel) ? 0 : done;
		return;
	}
	if (is_triggered_mode(channel))
		channel->triggered = channel->count != 0;
	if (is_periodic(channel) || is_triggered_mode(channel))
		start(channel, tick);
	else
		channel->start_tick = tick - done;
}

u8 pit_read_port61(const struct pit_state *pit, u64 now_ns)
{
	return (u8)((pit->channels[2].gate ? PORT61_GATE : 0) |
		    (pit->speaker ? PORT61_SPEAKER : 0) |
		    (now_ns / REFRESH_NS % 2 ? PORT61_REFRESH : 0) |
		    (pit_output(pit, 2, now_ns) ? PORT61_OUTPUT : 0));
}

void pit_write_port61(struct pit_state *pit, u8 value, u64 now_ns)
{
	set_gate(&pit->channels[2], value & PORT61_GATE, tick_of(now_ns));
	pit->speaker = value & PORT61_SPEAKER ? 1 : 0;
}

/* --- Output --------------------------------------------------------------- */

bool pit_output(const struct pit_state *pit, u32 channel, u64 now_ns)
{
	return output_at(&pit->channels[channel % PIT_CHANNEL_COUNT],
			 tick_of(now_ns));
}

bool pit_take_edge(struct pit_state *pit, u64 now_ns)
{
	if (now_ns < pit->edge_ns || pit->edge_ns == CLOCK_NEVER)
		return false;
	pit->channels[0].edge_tick = tick_of(now_ns);
	plan_edge(pit);
	return true;
}

void pit_reset(struct pit_state *pit)
{
	memset(pit, 0, sizeof(*pit));
	for (u32 i = 0; i < PIT_CHANNEL_COUNT; i++) {
		pit->channels[i].gate = i != 2;
		pit->channels[i].access = 3;
		pit->channels[i].mode = 3;
	}
	load(&pit->channels[0], 0, 0);
	plan_edge(pit);
}
