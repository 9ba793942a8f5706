/* SPDX-License-Identifier: MIT */
/*
 * For the files of the local APIC only: its register page, and what they
 * tell each other.
 *
 * Every register is a relaxed atomic, which costs nothing: senders on other
 * CPUs read the ID, LDR, DFR, SVR, TPR and LVT registers while their owner
 * may be writing them.
 */
#ifndef DEVICES_LAPIC_PAGE_H
#define DEVICES_LAPIC_PAGE_H

#include "devices/lapic.h"

#define LVT_VECTOR           BITS(7, 0)
#define LVT_DELIVERY_MODE    BITS(10, 8)
#define LVT_POLARITY         BIT(13)
#define LVT_LEVEL            BIT(15)
#define LVT_MASKED           BIT(16)
#define LVT_TIMER_MODE       BITS(18, 17)

#define SVR_VECTOR           BITS(7, 0)
#define SVR_ENABLE           BIT(8)
#define SVR_FOCUS_OFF        BIT(9)
#define SVR_SUPPRESS_EOI     BIT(12)

#define ESR_SEND_ILLEGAL     BIT(5)
#define ESR_RECEIVE_ILLEGAL  BIT(6)
#define ESR_ILLEGAL_REGISTER BIT(7)

#define LAPIC_FIRST_VECTOR   16 /* 0-15 are illegal */

enum lapic_timer_mode {
	TIMER_ONE_SHOT = 0,
	TIMER_PERIODIC = 1,
	TIMER_TSC_DEADLINE = 2,
	TIMER_RESERVED = 3,
};

static inline u32 lapic_get(const struct lapic *lapic, u32 offset)
{
	return __atomic_load_n(&lapic->page[offset / 4], __ATOMIC_RELAXED);
}

static inline void lapic_set(struct lapic *lapic, u32 offset, u32 value)
{
	__atomic_store_n(&lapic->page[offset / 4], value, __ATOMIC_RELAXED);
}

/* ISR, TMR and IRR: 256 bits in eight registers, 16 bytes apart. */
static inline u32 lapic_bit_register(u32 base, u8 vector)
{
	return base + vector / 32U * 16;
}

static inline bool lapic_bit(const struct lapic *lapic, u32 base, u8 vector)
{
	return lapic_get(lapic, lapic_bit_register(base, vector)) >>
		   (vector % 32) &
	       1;
}

static inline u64 lapic_base(const struct lapic *lapic)
{
	return __atomic_load_n(&lapic->base, __ATOMIC_RELAXED);
}

static inline bool lapic_is_x2apic(const struct lapic *lapic)
{
	return lapic_base(lapic) & APIC_BASE_X2APIC;
}

/* Processor priority: from TPR and what is in service. */
u32 lapic_priority(const struct lapic *lapic);

/* Records an error for ESR and raises the error interrupt. */
enum lapic_kick lapic_error(struct lapic *lapic, u32 bit);

/* What follows from IRR and ISR, when anything may be in them. */
void lapic_look_at_all(struct lapic *lapic);

/* The CPU may have changed them. */
static inline void lapic_look_afresh(struct lapic *lapic)
{
	if (unlikely(lapic->by_cpu))
		lapic_look_at_all(lapic);
}

/* Software has changed what the CPU delivers by, if it does. */
static inline void lapic_note_change(struct lapic *lapic)
{
	lapic->changed = lapic->by_cpu;
}

/* Ends the highest vector in service. */
struct lapic_outcome lapic_eoi(struct lapic *lapic);

/* The timer's registers, already stored or about to be (lapic_timer.c). */
void lapic_timer_reset(struct lapic *lapic);
/* Its registers, start and deadline are in place: when does it fire? */
enum lapic_timer { LAPIC_TIMER_STANDS, LAPIC_TIMER_RUNS };
void lapic_timer_restored(struct lapic *lapic, enum lapic_timer timer,
			  u64 now_ns);
void lapic_timer_set_lvt(struct lapic *lapic, u32 value, u64 now_ns);
/* The APIC was disabled by software, which masks it. */
void lapic_timer_mask(struct lapic *lapic);
void lapic_timer_set_initial(struct lapic *lapic, u32 value, u64 now_ns);
void lapic_timer_set_divide(struct lapic *lapic, u32 value, u64 now_ns);
u32 lapic_timer_current(const struct lapic *lapic, u64 now_ns);
u64 lapic_timer_deadline(const struct lapic *lapic);
void lapic_timer_set_deadline(struct lapic *lapic, u64 deadline, u64 now_ns);

#endif
