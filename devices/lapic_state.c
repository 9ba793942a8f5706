/* SPDX-License-Identifier: MIT */
/*
 * A local APIC as a value that can be moved: taken from a stopped vCPU, and
 * put into another one after everything in it has been looked at.
 *
 * What follows from the registers (which IRR words are in use, the highest
 * vector in service, when the timer fires) is not part of it.
 */
#include "devices/lapic_page.h"
#include "lib/string.h"

#define ICR_X2APIC_HIGH (LAPIC_ICR + 4)
#define RARE_BITS       (BITS(7, 0) | BITS(10, 8) | BIT(13) | BIT(15) | BIT(16))

/* Registers that keep something, and which bits. */
static const struct {
	u16 offset, count;
	u32 bits;
} kept[] = {
    {LAPIC_ID, 1, ~0U}, /* these two and VERSION: see is_identity */
    {LAPIC_VERSION, 1, ~0U},
    {LAPIC_LDR, 1, ~0U},
    {LAPIC_TPR, 1, 0xff},
    {LAPIC_DFR, 1, ~0U},
    {LAPIC_SVR, 1,
     (u32)(SVR_VECTOR | SVR_ENABLE | SVR_FOCUS_OFF | SVR_SUPPRESS_EOI)},
    {LAPIC_ISR, 8, ~0U},
    {LAPIC_TMR, 8, ~0U},
    {LAPIC_IRR, 8, ~0U},
    {LAPIC_ESR, 1, 0xff},
    {LAPIC_ICR, 1,
     (u32)(ICR_VECTOR | ICR_DELIVERY_MODE | ICR_LOGICAL | ICR_ASSERT |
	   ICR_LEVEL | ICR_SHORTHAND)},
    {LAPIC_ICR_HIGH, 1, 0xff000000},
    {LAPIC_LVT_TIMER, 1, (u32)(LVT_VECTOR | LVT_MASKED | LVT_TIMER_MODE)},
    {LAPIC_LVT_THERMAL, 1, (u32)RARE_BITS},
    {LAPIC_LVT_PERFORMANCE, 1, (u32)RARE_BITS},
    {LAPIC_LVT_LINT0, 1, (u32)RARE_BITS},
    {LAPIC_LVT_LINT1, 1, (u32)RARE_BITS},
    {LAPIC_LVT_ERROR, 1, (u32)(LVT_VECTOR | LVT_MASKED)},
    {LAPIC_TIMER_INITIAL, 1, ~0U},
    {LAPIC_TIMER_DIVIDE, 1, 0xb},
};

static u32 kept_bits(u32 offset)
{
	for (u32 i = 0; i < ARRAY_COUNT(kept); i++)
		if (offset >= kept[i].offset &&
		    offset < kept[i].offset + kept[i].count * 16U)
			return kept[i].bits;
	return 0;
}

void lapic_save(struct lapic *lapic, struct lapic_state *state, u64 now_ns)
{
	lapic_tick(lapic, now_ns);
	lapic_sync(lapic);
	memset(state, 0, sizeof(*state));
	for (u32 i = 0; i < LAPIC_STATE_REGISTERS; i++)
		state->registers[i] =
		    lapic_get(lapic, i * 16) & kept_bits(i * 16);
	state->icr_high = lapic_get(lapic, ICR_X2APIC_HIGH);
	state->events = lapic_events(lapic);
	state->errors = __atomic_load_n(&lapic->errors, __ATOMIC_RELAXED);
	state->base = lapic_base(lapic);
	state->timer_start = lapic->timer_start;
	state->tsc_deadline = lapic->tsc_deadline;
	state->tsc_offset = lapic->tsc_offset;
	state->timer_armed = lapic->timer_due_ns != ~0ULL;
}

static u32 at(const struct lapic_state *state, u32 offset)
{
	return state->registers[offset / 16];
}

static bool is_base(const struct lapic_state *state,
		    const struct lapic_config *config)
{
	u64 bits = APIC_BASE_BSP | APIC_BASE_X2APIC | APIC_BASE_ENABLE |
		   BITS(config->phys_bits - 1, PAGE_SHIFT);

	return !(state->base & ~bits) && ((state->base & APIC_BASE_ENABLE) ||
					  !(state->base & APIC_BASE_X2APIC));
}

/* What software cannot choose is what a fresh APIC of this vCPU shows. */
static bool is_identity(const struct lapic_state *state,
			const struct lapic *fresh)
{
	u32 id = fresh->config.apic_id;
	u32 destination = at(state, LAPIC_DFR);

	if (at(state, LAPIC_VERSION) != lapic_get(fresh, LAPIC_VERSION) ||
	    (destination && (destination & BITS(27, 0)) != BITS(27, 0)))
		return false;
	if (state->base & APIC_BASE_X2APIC)
		return at(state, LAPIC_ID) == id &&
		       at(state, LAPIC_LDR) ==
			   ((id >> 4) << 16 | 1U << id % 16);
	return at(state, LAPIC_ID) == id << 24 &&
	       !(at(state, LAPIC_LDR) & BITS(23, 0)) && !state->icr_high;
}

static bool are_registers(const struct lapic_state *state)
{
	for (u32 i = 0; i < LAPIC_STATE_REGISTERS; i++)
		if (state->registers[i] & ~kept_bits(i * 16))
			return false;
	/* Vectors 0-15 do not exist. */
	return !((at(state, LAPIC_ISR) | at(state, LAPIC_IRR) |
		  at(state, LAPIC_TMR)) &
		 (BIT(LAPIC_FIRST_VECTOR) - 1));
}

static bool are_events(const struct lapic_state *state)
{
	u64 known = LAPIC_EVENT_NMI | LAPIC_EVENT_INIT | LAPIC_EVENT_SIPI |
		    LAPIC_EVENT_AWAITED | LAPIC_EVENT_SIPI_VECTOR;

	return !(state->events & ~known) && !(state->errors & ~0xffU) &&
	       state->timer_armed <= 1;
}

enum err lapic_restore(struct lapic *lapic, const struct lapic_state *state,
		       u64 now_ns)
{
	if (!is_base(state, &lapic->config) || !are_registers(state) ||
	    !is_identity(state, lapic) || !are_events(state))
		return ERR_BAD_FORMAT;
	for (u32 i = 0; i < LAPIC_STATE_REGISTERS; i++)
		lapic_set(lapic, i * 16, state->registers[i]);
	lapic_set(lapic, ICR_X2APIC_HIGH, state->icr_high);
	lapic->events = state->events;
	lapic->errors = state->errors;
	lapic->base = state->base;
	lapic->timer_start = state->timer_start;
	lapic->tsc_deadline = state->tsc_deadline;
	lapic->tsc_offset = state->tsc_offset;
	lapic_look_at_all(lapic);
	lapic_note_change(lapic);
	lapic_timer_restored(
	    lapic, state->timer_armed ? LAPIC_TIMER_RUNS : LAPIC_TIMER_STANDS,
	    now_ns);
	return OK;
}
