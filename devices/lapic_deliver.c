/* SPDX-License-Identifier: MIT */
/*
 * How interrupts get into a local APIC, wait, and get to the CPU (SDM Vol. 3,
 * "Handling Interrupts" in the chapter on the APIC; for the descriptor,
 * "Posted-Interrupt Processing").
 *
 * A sender sets the vector's bit, then ON; the owner clears ON, then takes
 * the bits. So a bit set too late for one lapic_sync() leaves ON set for the
 * next, and only the sender that turned ON has to kick.
 */
#include "devices/lapic_page.h"

/*
 * The highest set vector of IRR or ISR, or LAPIC_NO_VECTOR. Registers that
 * turn out to be empty are struck off `words`.
 */
static int highest(const struct lapic *lapic, u32 base, u8 *words)
{
	while (*words) {
		u32 index = 31 - (u32)__builtin_clz(*words);
		u32 bits = lapic_get(lapic, base + index * 16);

		if (bits)
			return (int)(index * 32) + 31 - __builtin_clz(bits);
		*words &= (u8) ~(1U << index);
	}
	return LAPIC_NO_VECTOR;
}

u32 lapic_priority(const struct lapic *lapic)
{
	u32 task = lapic_get(lapic, LAPIC_TPR) & 0xff;
	u32 service = lapic->isr_top & 0xf0;

	return (task & 0xf0) >= service ? task : service;
}

/* --- From anywhere -------------------------------------------------------- */

static bool takes_vectors(const struct lapic *lapic)
{
	return (lapic_base(lapic) & APIC_BASE_ENABLE) &&
	       (lapic_get(lapic, LAPIC_SVR) & SVR_ENABLE);
}

static enum lapic_kick post_level(struct lapic *lapic, u32 word, u64 bit)
{
	__atomic_fetch_or(&lapic->level.vectors[word], bit, __ATOMIC_RELEASE);
	return __atomic_exchange_n(&lapic->level.waiting, 1, __ATOMIC_SEQ_CST)
		   ? LAPIC_KICK_NOT_NEEDED
		   : LAPIC_KICK_NEEDED;
}

static enum lapic_kick post_vector(struct lapic *lapic, u8 vector,
				   enum lapic_trigger trigger)
{
	u64 bit = BIT(vector % 64);

	if (!takes_vectors(lapic))
		return LAPIC_KICK_NOT_NEEDED;
	if (vector < LAPIC_FIRST_VECTOR)
		return lapic_error(lapic, ESR_RECEIVE_ILLEGAL);
	if (trigger == LAPIC_LEVEL_TRIGGERED)
		return post_level(lapic, vector / 64, bit);
	__atomic_fetch_or(&lapic->posted.vectors[vector / 64], bit,
			  __ATOMIC_RELEASE);
	return __atomic_fetch_or(&lapic->posted.control, LAPIC_POSTED_ON,
				 __ATOMIC_SEQ_CST) &
		       LAPIC_POSTED_ON
		   ? LAPIC_KICK_NOT_NEEDED
		   : LAPIC_KICK_NOTIFY;
}

#define ALL_OF_SIPI (LAPIC_EVENT_SIPI | LAPIC_EVENT_SIPI_VECTOR)

/* INIT discards a SIPI that waits; of two SIPIs the first one counts. */
static enum lapic_kick post_event(struct lapic *lapic, u32 event, u8 vector)
{
	u32 before = __atomic_load_n(&lapic->events, __ATOMIC_RELAXED);
	u32 after;

	do {
		after = before | event;
		if (event == LAPIC_EVENT_INIT)
			after &= ~(u32)ALL_OF_SIPI;
		if (event == LAPIC_EVENT_SIPI && !(before & LAPIC_EVENT_SIPI))
			after = (u32)bits_set(after, LAPIC_EVENT_SIPI_VECTOR,
					      vector);
	} while (!__atomic_compare_exchange_n(&lapic->events, &before, after,
					      false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return LAPIC_KICK_NEEDED;
}

enum lapic_kick lapic_post(struct lapic *lapic, enum lapic_delivery_mode mode,
			   u8 vector, enum lapic_trigger trigger)
{
	if (!(lapic_base(lapic) & APIC_BASE_ENABLE))
		return LAPIC_KICK_NOT_NEEDED;
	switch (mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST_PRIORITY:
		return post_vector(lapic, vector, trigger);
	case LAPIC_NMI:
		return post_event(lapic, LAPIC_EVENT_NMI, 0);
	case LAPIC_INIT:
		return post_event(lapic, LAPIC_EVENT_INIT, 0);
	case LAPIC_SIPI:
		return post_event(lapic, LAPIC_EVENT_SIPI, vector);
	case LAPIC_SMI:    /* no system-management mode in a guest */
	case LAPIC_EXTINT: /* the PIC is wired to LINT0 only */
	default:
		return LAPIC_KICK_NOT_NEEDED;
	}
}

enum lapic_kick lapic_error(struct lapic *lapic, u32 bit)
{
	u32 lvt = lapic_get(lapic, LAPIC_LVT_ERROR);
	u32 before = __atomic_fetch_or(&lapic->errors, bit, __ATOMIC_RELAXED);

	/* One interrupt until ESR is written: so this recursion ends, too. */
	if (before || (lvt & LVT_MASKED))
		return LAPIC_KICK_NOT_NEEDED;
	return lapic_post(lapic, LAPIC_FIXED, (u8)bits_get(lvt, LVT_VECTOR),
			  LAPIC_EDGE_TRIGGERED);
}

enum lapic_kick lapic_lint(struct lapic *lapic, u32 pin)
{
	u32 lvt = lapic_get(lapic, pin ? LAPIC_LVT_LINT1 : LAPIC_LVT_LINT0);

	if (lvt & LVT_MASKED)
		return LAPIC_KICK_NOT_NEEDED;
	return lapic_post(
	    lapic, (enum lapic_delivery_mode)bits_get(lvt, LVT_DELIVERY_MODE),
	    (u8)bits_get(lvt, LVT_VECTOR), LAPIC_EDGE_TRIGGERED);
}

/* Logical ID in x2APIC mode: a cluster of 16, and one bit in it. */
static bool x2apic_logical_match(const struct lapic *lapic, u32 destination)
{
	u32 logical_id = lapic_get(lapic, LAPIC_LDR);

	return logical_id >> 16 == destination >> 16 &&
	       (logical_id & destination & 0xffff);
}

/* In xAPIC mode the DFR chooses: eight flat bits, or cluster and 4 bits. */
static bool xapic_logical_match(const struct lapic *lapic, u32 destination)
{
	u32 logical_id = lapic_get(lapic, LAPIC_LDR) >> 24;
	u32 model = lapic_get(lapic, LAPIC_DFR) >> 28;

	if (model == 0xf)
		return logical_id & destination & 0xff;
	if (model != 0)
		return false;
	return (logical_id >> 4 == (destination >> 4 & 0xf) ||
		(destination >> 4 & 0xf) == 0xf) &&
	       (logical_id & destination & 0xf);
}

bool lapic_is_addressed(const struct lapic *lapic, enum lapic_destination mode,
			u32 destination)
{
	if (!(lapic_base(lapic) & APIC_BASE_ENABLE))
		return false;
	if (destination == LAPIC_EVERYBODY)
		return true;
	if (mode == LAPIC_PHYSICAL)
		return destination == lapic->config.apic_id;
	return lapic_is_x2apic(lapic) ? x2apic_logical_match(lapic, destination)
				      : xapic_logical_match(lapic, destination);
}

bool lapic_is_enabled(const struct lapic *lapic)
{
	return takes_vectors(lapic);
}

bool lapic_is_requested(const struct lapic *lapic, u8 vector)
{
	return lapic_bit(lapic, LAPIC_IRR, vector) ||
	       (__atomic_load_n(&lapic->posted.vectors[vector / 64],
				__ATOMIC_RELAXED) &
		BIT(vector % 64));
}

u32 lapic_arbitration_priority(const struct lapic *lapic)
{
	return lapic_get(lapic, LAPIC_TPR) & 0xff;
}

/* --- Own vCPU ------------------------------------------------------------- */

static bool take_event(struct lapic *lapic, u32 event)
{
	if (!(lapic_events(lapic) & event))
		return false;
	__atomic_fetch_and(&lapic->events, ~event, __ATOMIC_ACQ_REL);
	return true;
}

bool lapic_take_nmi(struct lapic *lapic)
{
	return take_event(lapic, (u32)LAPIC_EVENT_NMI);
}

bool lapic_take_init(struct lapic *lapic)
{
	return take_event(lapic, (u32)LAPIC_EVENT_INIT);
}

/* An INIT that arrives in between takes the SIPI with it. */
static bool take_sipi(struct lapic *lapic, u64 blocked_by, u8 *vector)
{
	u32 before = lapic_events(lapic);

	do {
		if (!(before & LAPIC_EVENT_SIPI) || (before & blocked_by))
			return false;
	} while (!__atomic_compare_exchange_n(
	    &lapic->events, &before, before & ~(u32)ALL_OF_SIPI, false,
	    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	*vector = (u8)bits_get(before, LAPIC_EVENT_SIPI_VECTOR);
	return true;
}

bool lapic_take_sipi(struct lapic *lapic, u8 *vector)
{
	return take_sipi(lapic, LAPIC_EVENT_INIT, vector);
}

bool lapic_take_sipi_past_init(struct lapic *lapic, u8 *vector)
{
	return take_sipi(lapic, 0, vector);
}

void lapic_await_sipi(struct lapic *lapic)
{
	__atomic_fetch_or(&lapic->events, (u32)LAPIC_EVENT_AWAITED,
			  __ATOMIC_ACQ_REL);
}

void lapic_await_sipi_no_more(struct lapic *lapic)
{
	(void)take_event(lapic, (u32)LAPIC_EVENT_AWAITED);
}

/* 32 vectors that were posted into their IRR and TMR registers. */
static void merge(struct lapic *lapic, u32 index, u32 bits,
		  enum lapic_trigger trigger)
{
	u32 irr = LAPIC_IRR + index * 16;
	u32 tmr = LAPIC_TMR + index * 16;
	u32 others = lapic_get(lapic, tmr) & ~bits;

	if (!bits)
		return;
	lapic_set(lapic, irr, lapic_get(lapic, irr) | bits);
	lapic->irr_words |= (u8)(1U << index);
	lapic_set(lapic, tmr,
		  trigger == LAPIC_LEVEL_TRIGGERED ? others | bits : others);
}

static void take_vectors(struct lapic *lapic, u64 vectors[4],
			 enum lapic_trigger trigger)
{
	for (u32 i = 0; i < 4; i++) {
		u64 bits;

		if (!__atomic_load_n(&vectors[i], __ATOMIC_RELAXED))
			continue;
		bits = __atomic_exchange_n(&vectors[i], 0, __ATOMIC_ACQUIRE);
		merge(lapic, i * 2, low32(bits), trigger);
		merge(lapic, i * 2 + 1, high32(bits), trigger);
	}
}

/* What is level-triggered comes last: its EOI must not be missed. */
static void sync_posted(struct lapic *lapic)
{
	__atomic_fetch_and(&lapic->posted.control, ~LAPIC_POSTED_ON,
			   __ATOMIC_SEQ_CST);
	take_vectors(lapic, lapic->posted.vectors, LAPIC_EDGE_TRIGGERED);
	if (__atomic_load_n(&lapic->level.waiting, __ATOMIC_RELAXED)) {
		__atomic_store_n(&lapic->level.waiting, 0, __ATOMIC_SEQ_CST);
		take_vectors(lapic, lapic->level.vectors,
			     LAPIC_LEVEL_TRIGGERED);
	}
	lapic_note_change(lapic);
}

void lapic_sync(struct lapic *lapic)
{
	if (lapic_has_posted(lapic))
		sync_posted(lapic);
}

static int highest_request(struct lapic *lapic)
{
	lapic_look_afresh(lapic);
	return highest(lapic, LAPIC_IRR, &lapic->irr_words);
}

int lapic_pending_vector(struct lapic *lapic)
{
	int vector = highest_request(lapic);

	if (vector == LAPIC_NO_VECTOR ||
	    (u32)vector >> 4 <= lapic_priority(lapic) >> 4)
		return LAPIC_NO_VECTOR;
	return vector;
}

u32 lapic_tpr_threshold(struct lapic *lapic)
{
	int vector = highest_request(lapic);

	if (vector == LAPIC_NO_VECTOR ||
	    (u32)vector >> 4 > lapic_priority(lapic) >> 4 ||
	    (u32)vector >> 4 <= lapic->isr_top >> 4)
		return 0;
	return (u32)vector >> 4;
}

void lapic_accept(struct lapic *lapic, u8 vector)
{
	u32 irr = lapic_bit_register(LAPIC_IRR, vector);
	u32 isr = lapic_bit_register(LAPIC_ISR, vector);
	u32 bit = 1U << vector % 32;

	lapic_set(lapic, irr, lapic_get(lapic, irr) & ~bit);
	lapic_set(lapic, isr, lapic_get(lapic, isr) | bit);
	lapic->isr_words |= (u8)(1U << vector / 32);
	if (vector > lapic->isr_top)
		lapic->isr_top = vector;
	lapic_note_change(lapic);
}

static void find_isr_top(struct lapic *lapic)
{
	int vector = highest(lapic, LAPIC_ISR, &lapic->isr_words);

	lapic->isr_top = vector == LAPIC_NO_VECTOR ? 0 : (u32)vector;
}

void lapic_look_at_all(struct lapic *lapic)
{
	lapic->irr_words = 0xff;
	lapic->isr_words = 0xff;
	find_isr_top(lapic);
}

void lapic_delivered_by(struct lapic *lapic, enum lapic_deliverer deliverer)
{
	lapic_look_afresh(lapic);
	lapic->by_cpu = deliverer == LAPIC_BY_CPU;
	lapic_note_change(lapic);
}

u16 lapic_interrupt_status(struct lapic *lapic, u64 eoi_exits[4])
{
	int request;

	lapic_sync(lapic);
	request = highest_request(lapic);
	lapic->changed = false;
	for (u32 i = 0; i < 4; i++)
		eoi_exits[i] = lapic_get(lapic, LAPIC_TMR + i * 32) |
			       (u64)lapic_get(lapic, LAPIC_TMR + i * 32 + 16)
				   << 32;
	return (u16)(lapic->isr_top << 8 |
		     (request == LAPIC_NO_VECTOR ? 0 : (u32)request));
}

/* Level-triggered vectors are ended at the I/O APICs too, unless software
 * does that itself through their EOI registers. */
static struct lapic_outcome end_of(const struct lapic *lapic, u8 vector)
{
	bool broadcast = lapic_bit(lapic, LAPIC_TMR, vector) &&
			 !(lapic_get(lapic, LAPIC_SVR) & SVR_SUPPRESS_EOI);

	return (struct lapic_outcome){
	    .effect = broadcast ? LAPIC_EFFECT_EOI : LAPIC_EFFECT_NONE,
	    .vector = vector,
	};
}

struct lapic_outcome lapic_eoi(struct lapic *lapic)
{
	u8 vector;
	u32 isr;

	lapic_look_afresh(lapic);
	vector = (u8)lapic->isr_top;
	isr = lapic_bit_register(LAPIC_ISR, vector);
	if (!vector)
		return (struct lapic_outcome){.effect = LAPIC_EFFECT_NONE};
	lapic_note_change(lapic);
	lapic_set(lapic, isr, lapic_get(lapic, isr) & ~(1U << vector % 32));
	find_isr_top(lapic);
	return end_of(lapic, vector);
}

struct lapic_outcome lapic_on_virtual_eoi(struct lapic *lapic, u8 vector)
{
	lapic_look_at_all(lapic);
	return end_of(lapic, vector);
}

bool lapic_accepts_extint(const struct lapic *lapic)
{
	u32 lvt = lapic_get(lapic, LAPIC_LVT_LINT0);

	/* Without an APIC, LINT0 is the CPU's INTR pin. */
	if (!(lapic_base(lapic) & APIC_BASE_ENABLE))
		return lapic_base(lapic) & APIC_BASE_BSP;
	return !(lvt & LVT_MASKED) &&
	       bits_get(lvt, LVT_DELIVERY_MODE) == LAPIC_EXTINT;
}
