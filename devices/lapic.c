/* SPDX-License-Identifier: MIT */
/*
 * The registers of the local APIC, by MMIO and by MSR, and its modes (SDM
 * Vol. 3, "Advanced Programmable Interrupt Controller (APIC)": "Local APIC
 * Register Address Map", "Extended XAPIC (x2APIC)", "x2APIC State
 * Transitions").
 *
 * One table says who may access what. In xAPIC mode what is not allowed reads
 * zero, is dropped, and is recorded in ESR; in x2APIC mode it is a #GP.
 */
#include "devices/lapic_page.h"
#include "lib/string.h"

/* Who may do what; X is x2APIC mode, by MSR. */
#define R                   BIT(0)
#define W                   BIT(1)
#define XR                  BIT(2)
#define XW                  BIT(3)
#define ALL                 (R | W | XR | XW)

#define LVT_DELIVERY_STATUS BIT(12)
#define LVT_REMOTE_IRR      BIT(14)
#define ICR_DELIVERY_STATUS BIT(12)

/* 21 (14H): integrated APIC; entries 0-5 of the LVT; software may suppress
 * EOI broadcasts. */
#define VERSION_VALUE       (BIT(24) | (5 << 16) | 0x14)

#define LVT_TIMER_BITS      (LVT_VECTOR | LVT_MASKED | LVT_TIMER_MODE)
#define LVT_ERROR_BITS      (LVT_VECTOR | LVT_MASKED)
#define LVT_INTERNAL_BITS   (LVT_VECTOR | LVT_DELIVERY_MODE | LVT_MASKED)
#define LVT_PIN_BITS        (LVT_INTERNAL_BITS | LVT_POLARITY | LVT_LEVEL)
#define ICR_BITS                                                     \
	(ICR_VECTOR | ICR_DELIVERY_MODE | ICR_LOGICAL | ICR_ASSERT | \
	 ICR_LEVEL | ICR_SHORTHAND)

struct rule {
	u32 access;
	u32 kept;    /* bits that a write stores */
	u32 ignored; /* read-only bits that a write may set nevertheless */
};

#define RULE(offset)  [(offset) >> 4]
#define RULES(offset) [(offset) >> 4 ...((offset) >> 4) + 7]

static const struct rule rules[64] = {
    RULE(LAPIC_ID) = {R | XR, 0, 0},
    RULE(LAPIC_VERSION) = {R | XR, 0, 0},
    RULE(LAPIC_TPR) = {ALL, 0xff, 0},
    RULE(LAPIC_APR) = {R, 0, 0},
    RULE(LAPIC_PPR) = {R | XR, 0, 0},
    RULE(LAPIC_EOI) = {W | XW, 0, 0},
    RULE(LAPIC_RRD) = {R, 0, 0},
    RULE(LAPIC_LDR) = {R | W | XR, 0xff000000, 0},
    RULE(LAPIC_DFR) = {R | W, 0xf0000000, 0},
    RULE(LAPIC_SVR) =
	{ALL, SVR_VECTOR | SVR_ENABLE | SVR_FOCUS_OFF | SVR_SUPPRESS_EOI, 0},
    RULES(LAPIC_ISR) = {R | XR, 0, 0},
    RULES(LAPIC_TMR) = {R | XR, 0, 0},
    RULES(LAPIC_IRR) = {R | XR, 0, 0},
    RULE(LAPIC_ESR) = {ALL, 0, 0},
    RULE(LAPIC_ICR) = {ALL, ICR_BITS, ICR_DELIVERY_STATUS},
    RULE(LAPIC_ICR_HIGH) = {R | W, 0xff000000, 0},
    RULE(LAPIC_LVT_TIMER) = {ALL, LVT_TIMER_BITS, LVT_DELIVERY_STATUS},
    RULE(LAPIC_LVT_THERMAL) = {ALL, LVT_INTERNAL_BITS, LVT_DELIVERY_STATUS},
    RULE(LAPIC_LVT_PERFORMANCE) = {ALL, LVT_INTERNAL_BITS, LVT_DELIVERY_STATUS},
    RULE(LAPIC_LVT_LINT0) = {ALL, LVT_PIN_BITS,
			     LVT_DELIVERY_STATUS | LVT_REMOTE_IRR},
    RULE(LAPIC_LVT_LINT1) = {ALL, LVT_PIN_BITS,
			     LVT_DELIVERY_STATUS | LVT_REMOTE_IRR},
    RULE(LAPIC_LVT_ERROR) = {ALL, LVT_ERROR_BITS, LVT_DELIVERY_STATUS},
    RULE(LAPIC_TIMER_INITIAL) = {ALL, ~0U, 0},
    RULE(LAPIC_TIMER_CURRENT) = {R | XR, 0, 0},
    RULE(LAPIC_TIMER_DIVIDE) = {ALL, 0xb, 0},
    RULE(LAPIC_SELF_IPI) = {XW, 0xff, 0},
};

static const u32 lvt_offsets[] = {
    LAPIC_LVT_TIMER, LAPIC_LVT_THERMAL, LAPIC_LVT_PERFORMANCE,
    LAPIC_LVT_LINT0, LAPIC_LVT_LINT1,   LAPIC_LVT_ERROR,
};

static const struct lapic_outcome nothing = {.effect = LAPIC_EFFECT_NONE};
static const struct lapic_outcome fault = {.effect = LAPIC_EFFECT_FAULT};

/* --- Reset ---------------------------------------------------------------- */

static void set_identity(struct lapic *lapic)
{
	u32 id = lapic->config.apic_id;

	if (lapic_is_x2apic(lapic)) {
		lapic_set(lapic, LAPIC_ID, id);
		lapic_set(lapic, LAPIC_LDR, (id >> 4) << 16 | 1U << id % 16);
	} else {
		lapic_set(lapic, LAPIC_ID, id << 24);
	}
}

static void drop_posted(struct lapic *lapic)
{
	__atomic_store_n(&lapic->posted.control, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&lapic->level.waiting, 0, __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < 4; i++) {
		__atomic_store_n(&lapic->posted.vectors[i], 0,
				 __ATOMIC_SEQ_CST);
		__atomic_store_n(&lapic->level.vectors[i], 0, __ATOMIC_SEQ_CST);
	}
}

static void reset_registers(struct lapic *lapic)
{
	for (u32 offset = 0; offset < PAGE_4K; offset += 4)
		lapic_set(lapic, offset, 0);
	for (u32 i = 0; i < ARRAY_COUNT(lvt_offsets); i++)
		lapic_set(lapic, lvt_offsets[i], (u32)LVT_MASKED);
	lapic_set(lapic, LAPIC_VERSION, VERSION_VALUE);
	lapic_set(lapic, LAPIC_DFR, ~0U);
	lapic_set(lapic, LAPIC_SVR, 0xff);
	set_identity(lapic);
	drop_posted(lapic);
	__atomic_store_n(&lapic->errors, 0, __ATOMIC_RELAXED);
	lapic->irr_words = 0;
	lapic->isr_words = 0;
	lapic->isr_top = 0;
	lapic_note_change(lapic);
	lapic_timer_reset(lapic);
}

void lapic_reset(struct lapic *lapic, const struct lapic_config *config,
		 enum lapic_role role)
{
	memset(lapic, 0, sizeof(*lapic));
	lapic->config = *config;
	lapic->base = LAPIC_BASE_DEFAULT | APIC_BASE_ENABLE;
	if (role == LAPIC_IS_BSP)
		lapic->base |= APIC_BASE_BSP;
	reset_registers(lapic);
}

void lapic_on_init(struct lapic *lapic)
{
	reset_registers(lapic);
}

/* --- Interrupt command register ------------------------------------------- */

static struct lapic_outcome send(struct lapic *lapic, u64 icr)
{
	u64 mode = bits_get(icr, ICR_DELIVERY_MODE);
	bool has_vector = mode == LAPIC_FIXED || mode == LAPIC_LOWEST_PRIORITY;

	if (has_vector && (icr & ICR_VECTOR) < LAPIC_FIRST_VECTOR) {
		lapic_error(lapic, ESR_SEND_ILLEGAL);
		return nothing;
	}
	/* INIT level de-assert only mattered to APICs of the P6 family. */
	if (mode == LAPIC_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
		return nothing;
	return (struct lapic_outcome){.effect = LAPIC_EFFECT_IPI, .icr = icr};
}

static struct lapic_outcome send_xapic(struct lapic *lapic)
{
	u64 low = lapic_get(lapic, LAPIC_ICR);
	u64 destination = lapic_get(lapic, LAPIC_ICR_HIGH) >> 24;

	if (destination == 0xff && !(low & ICR_LOGICAL))
		destination = LAPIC_EVERYBODY;
	return send(lapic, destination << 32 | low);
}

static struct lapic_outcome send_self(struct lapic *lapic, u8 vector)
{
	if (vector < LAPIC_FIRST_VECTOR)
		lapic_error(lapic, ESR_SEND_ILLEGAL);
	else
		lapic_post(lapic, LAPIC_FIXED, vector, LAPIC_EDGE_TRIGGERED);
	return nothing;
}

/* --- Registers, both modes ------------------------------------------------ */

static bool is_enabled(const struct lapic *lapic)
{
	return lapic_get(lapic, LAPIC_SVR) & SVR_ENABLE;
}

/* While the APIC is disabled by software, all LVT entries stay masked. */
static void set_svr(struct lapic *lapic, u32 value)
{
	lapic_set(lapic, LAPIC_SVR, value);
	if (is_enabled(lapic))
		return;
	for (u32 i = 0; i < ARRAY_COUNT(lvt_offsets); i++)
		lapic_set(lapic, lvt_offsets[i],
			  lapic_get(lapic, lvt_offsets[i]) | (u32)LVT_MASKED);
	lapic_timer_mask(lapic);
}

static u32 read_register(struct lapic *lapic, u32 offset, u64 now_ns)
{
	switch (offset) {
	case LAPIC_PPR:
		lapic_look_afresh(lapic);
		return lapic_priority(lapic);
	case LAPIC_TIMER_CURRENT:
		return lapic_timer_current(lapic, now_ns);
	default:
		return lapic_get(lapic, offset);
	}
}

/* `value` has only bits that the register keeps. */
static struct lapic_outcome write_register(struct lapic *lapic, u32 offset,
					   u32 value, u64 now_ns)
{
	switch (offset) {
	case LAPIC_EOI:
		return lapic_eoi(lapic);
	case LAPIC_SELF_IPI:
		return send_self(lapic, (u8)value);
	case LAPIC_DFR:
		lapic_set(lapic, offset, value | 0x0fffffff);
		return nothing;
	case LAPIC_SVR:
		set_svr(lapic, value);
		return nothing;
	case LAPIC_ESR:
		lapic_set(
		    lapic, offset,
		    __atomic_exchange_n(&lapic->errors, 0, __ATOMIC_RELAXED));
		return nothing;
	case LAPIC_TIMER_INITIAL:
		lapic_timer_set_initial(lapic, value, now_ns);
		return nothing;
	case LAPIC_TIMER_DIVIDE:
		lapic_timer_set_divide(lapic, value, now_ns);
		return nothing;
	case LAPIC_LVT_TIMER:
		lapic_timer_set_lvt(
		    lapic, is_enabled(lapic) ? value : value | (u32)LVT_MASKED,
		    now_ns);
		return nothing;
	case LAPIC_LVT_THERMAL:
	case LAPIC_LVT_PERFORMANCE:
	case LAPIC_LVT_LINT0:
	case LAPIC_LVT_LINT1:
	case LAPIC_LVT_ERROR:
		lapic_set(lapic, offset,
			  is_enabled(lapic) ? value : value | (u32)LVT_MASKED);
		return nothing;
	default:
		lapic_set(lapic, offset, value);
		return nothing;
	}
}

/* --- By MMIO -------------------------------------------------------------- */

static const struct rule *rule_of(u32 offset)
{
	static const struct rule none = {0, 0, 0};

	return offset < ARRAY_COUNT(rules) * 16 && offset % 16 == 0
		   ? &rules[offset / 16]
		   : &none;
}

static void check_exists(struct lapic *lapic, const struct rule *rule)
{
	if (!(rule->access & (R | W)))
		lapic_error(lapic, ESR_ILLEGAL_REGISTER);
}

u32 lapic_mmio_read(struct lapic *lapic, u32 offset, u64 now_ns)
{
	const struct rule *rule = rule_of(offset);

	if (!(rule->access & R)) {
		check_exists(lapic, rule);
		return 0;
	}
	lapic_tick(lapic, now_ns);
	lapic_sync(lapic);
	return read_register(lapic, offset, now_ns);
}

struct lapic_outcome lapic_mmio_write(struct lapic *lapic, u32 offset,
				      u32 value, u64 now_ns)
{
	const struct rule *rule = rule_of(offset);
	struct lapic_outcome outcome;

	if (!(rule->access & W)) {
		check_exists(lapic, rule);
		return nothing;
	}
	outcome = write_register(lapic, offset, value & rule->kept, now_ns);
	return offset == LAPIC_ICR ? send_xapic(lapic) : outcome;
}

/* What the CPU has stored is the guest's value; ID does not take one. */
struct lapic_outcome lapic_written(struct lapic *lapic, u32 offset, u64 now_ns)
{
	u32 value = lapic_get(lapic, offset & 0xffc);

	if (offset == LAPIC_SELF_IPI && lapic_is_x2apic(lapic))
		return send_self(lapic, (u8)value);
	if (offset == LAPIC_ID)
		set_identity(lapic);
	return lapic_mmio_write(lapic, offset, value, now_ns);
}

/* --- By MSR --------------------------------------------------------------- */

#define ICR_X2APIC_HIGH (LAPIC_ICR + 4)

static struct lapic_outcome write_x2apic(struct lapic *lapic, u32 msr,
					 u64 value, u64 now_ns)
{
	u32 offset = (msr - MSR_X2APIC_FIRST) * 16;
	const struct rule *rule = rule_of(offset);
	u64 allowed = rule->kept | rule->ignored;

	if (offset == LAPIC_ICR)
		allowed |= ICR_DESTINATION;
	if (!lapic_is_x2apic(lapic) || !(rule->access & XW) ||
	    (value & ~allowed))
		return fault;
	if (offset != LAPIC_ICR)
		return write_register(lapic, offset, low32(value) & rule->kept,
				      now_ns);
	value &= ICR_DESTINATION | rule->kept;
	lapic_set(lapic, LAPIC_ICR, low32(value));
	lapic_set(lapic, ICR_X2APIC_HIGH, high32(value));
	return send(lapic, value);
}

static enum lapic_effect read_x2apic(struct lapic *lapic, u32 msr, u64 now_ns,
				     u64 *value)
{
	u32 offset = (msr - MSR_X2APIC_FIRST) * 16;

	if (!lapic_is_x2apic(lapic) || !(rule_of(offset)->access & XR))
		return LAPIC_EFFECT_FAULT;
	lapic_tick(lapic, now_ns);
	lapic_sync(lapic);
	*value = read_register(lapic, offset, now_ns);
	if (offset == LAPIC_ICR)
		*value |= (u64)lapic_get(lapic, ICR_X2APIC_HIGH) << 32;
	return LAPIC_EFFECT_NONE;
}

/*
 *	disabled <--> xAPIC --> x2APIC --> disabled
 *
 * are the only ways; EXTD without EN does not exist.
 */
static bool may_become(u64 from, u64 to)
{
	bool from_x2apic = from & APIC_BASE_X2APIC;
	bool to_x2apic = to & APIC_BASE_X2APIC;

	if (!(to & APIC_BASE_ENABLE))
		return !to_x2apic;
	if (!(from & APIC_BASE_ENABLE))
		return !to_x2apic;
	return to_x2apic || !from_x2apic;
}

static struct lapic_outcome write_base(struct lapic *lapic, u64 value)
{
	u64 kept = APIC_BASE_BSP | APIC_BASE_X2APIC | APIC_BASE_ENABLE |
		   BITS(lapic->config.phys_bits - 1, PAGE_SHIFT);
	u64 before = lapic->base;

	if ((value & ~kept) || !may_become(before, value))
		return fault;
	__atomic_store_n(&lapic->base, value, __ATOMIC_RELAXED);
	lapic_note_change(lapic);
	if ((before & APIC_BASE_ENABLE) && !(value & APIC_BASE_ENABLE))
		reset_registers(lapic);
	if (!(before & APIC_BASE_X2APIC) && (value & APIC_BASE_X2APIC)) {
		lapic_set(lapic, LAPIC_ICR_HIGH, 0);
		lapic_set(lapic, LAPIC_DFR, 0);
		set_identity(lapic);
	}
	return nothing;
}

enum lapic_effect lapic_msr_read(struct lapic *lapic, u32 msr, u64 now_ns,
				 u64 *value)
{
	switch (msr) {
	case MSR_IA32_APIC_BASE:
		*value = lapic->base;
		return LAPIC_EFFECT_NONE;
	case MSR_IA32_TSC_DEADLINE:
		lapic_tick(lapic, now_ns);
		*value = lapic_timer_deadline(lapic);
		return LAPIC_EFFECT_NONE;
	case MSR_X2APIC_FIRST ... MSR_X2APIC_LAST:
		return read_x2apic(lapic, msr, now_ns, value);
	default:
		return LAPIC_EFFECT_FAULT;
	}
}

struct lapic_outcome lapic_msr_write(struct lapic *lapic, u32 msr, u64 value,
				     u64 now_ns)
{
	switch (msr) {
	case MSR_IA32_APIC_BASE:
		return write_base(lapic, value);
	case MSR_IA32_TSC_DEADLINE:
		lapic_timer_set_deadline(lapic, value, now_ns);
		return nothing;
	case MSR_X2APIC_FIRST ... MSR_X2APIC_LAST:
		return write_x2apic(lapic, msr, value, now_ns);
	default:
		return fault;
	}
}

/* --- CR8 ------------------------------------------------------------------ */

u64 lapic_cr8(const struct lapic *lapic)
{
	return lapic_get(lapic, LAPIC_TPR) >> 4 & 0xf;
}

void lapic_set_cr8(struct lapic *lapic, u64 cr8)
{
	lapic_set(lapic, LAPIC_TPR, (u32)(cr8 << 4 & 0xf0));
}
