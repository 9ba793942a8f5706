/* SPDX-License-Identifier: MIT */
/*
 * The local APIC timer (SDM Vol. 3, "APIC Timer" and "TSC-Deadline Mode").
 *
 * Nothing counts down: the tick at which counting began says everything. The
 * moment of the next interrupt is kept in timer_due_ns, so that the way into
 * the guest reads one number. A timer whose interrupt is masked counts too.
 */
#include "devices/clock.h"
#include "devices/lapic_page.h"

static enum lapic_timer_mode mode_of(const struct lapic *lapic)
{
	return (enum lapic_timer_mode)bits_get(lapic->timer_lvt,
					       LVT_TIMER_MODE);
}

/* Bits 3, 1, 0 of the divide configuration: 111 is 1, else 2 << them. */
static u64 divisor_of(const struct lapic *lapic)
{
	u32 value = lapic->timer_divide;
	u32 field = (value & 3) | (value >> 1 & 4);

	return field == 7 ? 1 : 2ULL << field;
}

/* Ticks of the timer clock from one start to its zero. */
static u64 span_of(const struct lapic *lapic)
{
	return lapic->timer_initial * divisor_of(lapic);
}

/*
 * Ticks since counting began, which a change of divisor may have put before
 * the VM's first tick. Time read on another CPU may lie a little behind.
 */
static u64 elapsed(const struct lapic *lapic, u64 now_ns)
{
	u64 now = clock_ticks(now_ns, lapic->config.timer_hz);
	i64 ticks = (i64)(now - lapic->timer_start);

	return ticks > 0 ? (u64)ticks : 0;
}

static void arm_count(struct lapic *lapic)
{
	u64 span = span_of(lapic);

	lapic->timer_due_ns =
	    span ? clock_ns(lapic->timer_start + span, lapic->config.timer_hz)
		 : CLOCK_NEVER;
}

/* When the guest's TSC reaches the deadline; at once if it is past. */
static u64 deadline_ns(const struct lapic *lapic, u64 now_ns)
{
	u64 ticks = clock_ticks(now_ns, lapic->config.tsc_hz);
	u64 tsc = ticks + lapic->tsc_offset;
	u64 due;

	if (lapic->tsc_deadline <= tsc)
		return now_ns;
	if (__builtin_add_overflow(ticks, lapic->tsc_deadline - tsc, &due))
		return CLOCK_NEVER;
	return clock_ns(due, lapic->config.tsc_hz);
}

static void arm_deadline(struct lapic *lapic, u64 now_ns)
{
	lapic->timer_due_ns =
	    lapic->tsc_deadline ? deadline_ns(lapic, now_ns) : CLOCK_NEVER;
}

static void set_lvt(struct lapic *lapic, u32 value)
{
	lapic->timer_lvt = value;
	lapic_set(lapic, LAPIC_LVT_TIMER, value);
}

static void set_initial(struct lapic *lapic, u32 value)
{
	lapic->timer_initial = value;
	lapic_set(lapic, LAPIC_TIMER_INITIAL, value);
}

static void set_divide(struct lapic *lapic, u32 value)
{
	lapic->timer_divide = value;
	lapic_set(lapic, LAPIC_TIMER_DIVIDE, value);
}

static void disarm(struct lapic *lapic)
{
	lapic->tsc_deadline = 0;
	lapic->timer_due_ns = CLOCK_NEVER;
	set_initial(lapic, 0);
}

void lapic_timer_reset(struct lapic *lapic)
{
	lapic->timer_start = 0;
	set_lvt(lapic, (u32)LVT_MASKED);
	set_divide(lapic, 0);
	disarm(lapic);
}

void lapic_timer_mask(struct lapic *lapic)
{
	set_lvt(lapic, lapic->timer_lvt | (u32)LVT_MASKED);
}

void lapic_timer_restored(struct lapic *lapic, enum lapic_timer timer,
			  u64 now_ns)
{
	lapic->timer_lvt = lapic_get(lapic, LAPIC_LVT_TIMER);
	lapic->timer_initial = lapic_get(lapic, LAPIC_TIMER_INITIAL);
	lapic->timer_divide = lapic_get(lapic, LAPIC_TIMER_DIVIDE);
	lapic->timer_due_ns = CLOCK_NEVER;
	if (timer == LAPIC_TIMER_STANDS)
		return;
	if (mode_of(lapic) == TIMER_TSC_DEADLINE)
		arm_deadline(lapic, now_ns);
	else
		arm_count(lapic);
}

/*
 * Changing between TSC-deadline and the counting modes disarms. From one-shot
 * to periodic and back the count goes on; a one-shot that had expired has
 * nothing to go on with.
 */
void lapic_timer_set_lvt(struct lapic *lapic, u32 value, u64 now_ns)
{
	enum lapic_timer_mode before = mode_of(lapic);

	lapic_tick(lapic, now_ns);
	set_lvt(lapic, value);
	if ((before == TIMER_TSC_DEADLINE) !=
	    (mode_of(lapic) == TIMER_TSC_DEADLINE))
		disarm(lapic);
}

void lapic_timer_set_initial(struct lapic *lapic, u32 value, u64 now_ns)
{
	if (mode_of(lapic) == TIMER_TSC_DEADLINE)
		value = lapic->timer_initial;
	set_initial(lapic, value);
	if (mode_of(lapic) == TIMER_TSC_DEADLINE)
		return;
	lapic->timer_start = clock_ticks(now_ns, lapic->config.timer_hz);
	arm_count(lapic);
}

/* The count that has been reached goes on at the new speed. */
void lapic_timer_set_divide(struct lapic *lapic, u32 value, u64 now_ns)
{
	u64 done;

	lapic_tick(lapic, now_ns);
	done = elapsed(lapic, now_ns) / divisor_of(lapic);
	set_divide(lapic, value);
	if (lapic->timer_due_ns == CLOCK_NEVER ||
	    mode_of(lapic) == TIMER_TSC_DEADLINE)
		return;
	lapic->timer_start = clock_ticks(now_ns, lapic->config.timer_hz) -
			     done * divisor_of(lapic);
	arm_count(lapic);
}

u32 lapic_timer_current(const struct lapic *lapic, u64 now_ns)
{
	u64 initial = lapic->timer_initial;
	u64 done = elapsed(lapic, now_ns) / divisor_of(lapic);

	if (lapic->timer_due_ns == CLOCK_NEVER || !initial ||
	    mode_of(lapic) == TIMER_TSC_DEADLINE)
		return 0;
	if (mode_of(lapic) == TIMER_PERIODIC)
		return (u32)(initial - done % initial);
	return done < initial ? (u32)(initial - done) : 0;
}

u64 lapic_timer_deadline(const struct lapic *lapic)
{
	return mode_of(lapic) == TIMER_TSC_DEADLINE ? lapic->tsc_deadline : 0;
}

void lapic_timer_set_deadline(struct lapic *lapic, u64 deadline, u64 now_ns)
{
	if (mode_of(lapic) != TIMER_TSC_DEADLINE)
		return;
	lapic->tsc_deadline = deadline;
	arm_deadline(lapic, now_ns);
	lapic_tick(lapic, now_ns);
}

void lapic_set_tsc_offset(struct lapic *lapic, u64 offset, u64 now_ns)
{
	lapic->tsc_offset = offset;
	if (mode_of(lapic) == TIMER_TSC_DEADLINE)
		arm_deadline(lapic, now_ns);
}

/* Periods that have gone by unseen count as one interrupt. */
static void rearm(struct lapic *lapic, u64 now_ns)
{
	u64 span = span_of(lapic);

	if (mode_of(lapic) == TIMER_PERIODIC && span) {
		lapic->timer_start += elapsed(lapic, now_ns) / span * span;
		arm_count(lapic);
	} else {
		lapic->timer_due_ns = CLOCK_NEVER;
		lapic->tsc_deadline = 0;
	}
}

void lapic_tick(struct lapic *lapic, u64 now_ns)
{
	u32 lvt = lapic->timer_lvt;

	if (likely(now_ns < lapic->timer_due_ns) ||
	    lapic->timer_due_ns == CLOCK_NEVER)
		return;
	rearm(lapic, now_ns);
	if (!(lvt & LVT_MASKED))
		lapic_post(lapic, LAPIC_FIXED, (u8)bits_get(lvt, LVT_VECTOR),
			   LAPIC_EDGE_TRIGGERED);
}
