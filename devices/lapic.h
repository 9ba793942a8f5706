/* SPDX-License-Identifier: MIT */
/*
 * A virtual CPU's local APIC, xAPIC and x2APIC (SDM Vol. 3, "Advanced
 * Programmable Interrupt Controller (APIC)").
 *
 * The registers live in a page laid out as the manual lays them out: a CPU
 * with APIC virtualization has it as its virtual-APIC page. What arrives from
 * elsewhere goes into a posted-interrupt descriptor of the manual's format,
 * whether or not hardware looks at it; what is level-triggered goes beside it,
 * because hardware would not know that its EOI has to be told:
 *
 *	any CPU:   lapic_post() --atomic--> posted, level, events
 *	own vCPU:  lapic_sync()  posted --> IRR --lapic_accept()--> ISR
 *
 * With virtual-interrupt delivery (LAPIC_BY_CPU) it is the CPU that
 * moves vectors from IRR to ISR and ends them, in the page, while the guest
 * runs. It goes by a copy of the highest of each, lapic_interrupt_status(),
 * which whoever changes the page by software has to renew.
 *
 * Hence one rule of concurrency: the functions below "From anywhere" may be
 * called on any CPU at any time; all others only by who runs this vCPU (or
 * holds it stopped).
 *
 * Plain data without pointers: after lapic_sync() it is the whole state.
 */
#ifndef DEVICES_LAPIC_H
#define DEVICES_LAPIC_H

#include "lib/bits.h"
#include "lib/err.h"
#include "lib/types.h"
#include "lib/x86.h"
#include "mm/addr.h"

/* Register offsets in the page; the x2APIC MSR is 0x800 + offset / 16. */
enum lapic_register {
	LAPIC_ID = 0x020,
	LAPIC_VERSION = 0x030,
	LAPIC_TPR = 0x080,
	LAPIC_APR = 0x090,
	LAPIC_PPR = 0x0a0,
	LAPIC_EOI = 0x0b0,
	LAPIC_RRD = 0x0c0,
	LAPIC_LDR = 0x0d0,
	LAPIC_DFR = 0x0e0,
	LAPIC_SVR = 0x0f0,
	LAPIC_ISR = 0x100, /* eight registers each, 16 bytes apart */
	LAPIC_TMR = 0x180,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_LVT_CMCI = 0x2f0,
	LAPIC_ICR = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PERFORMANCE = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_CURRENT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
	LAPIC_SELF_IPI = 0x3f0,
};

#define LAPIC_BASE_DEFAULT 0xfee00000ULL

/* Interrupt command register; MSI data and I/O APIC entries are alike. */
#define ICR_VECTOR         BITS(7, 0)
#define ICR_DELIVERY_MODE  BITS(10, 8)
#define ICR_LOGICAL        BIT(11)
#define ICR_ASSERT         BIT(14)
#define ICR_LEVEL          BIT(15)
#define ICR_SHORTHAND      BITS(19, 18)
#define ICR_DESTINATION    BITS(63, 32)

enum lapic_delivery_mode {
	LAPIC_FIXED = 0,
	LAPIC_LOWEST_PRIORITY = 1,
	LAPIC_SMI = 2,
	LAPIC_NMI = 4,
	LAPIC_INIT = 5,
	LAPIC_SIPI = 6,
	LAPIC_EXTINT = 7,
};

enum lapic_trigger { LAPIC_EDGE_TRIGGERED, LAPIC_LEVEL_TRIGGERED };

/* The posted-interrupt descriptor (SDM Vol. 3, "Posted-Interrupt
 * Processing"): 256 vectors, then ON, SN, notification vector, target. */
struct lapic_posted {
	u64 vectors[4];
	u64 control;
	u64 reserved[3];
} ALIGNED(64);

#define LAPIC_POSTED_ON BIT(0)

/* Level-triggered vectors that have been posted; `waiting` is set last. */
struct lapic_level {
	u64 vectors[4];
	u64 waiting;
};

/* What does not change while the VM lives. */
struct lapic_config {
	u64 timer_hz;  /* the timer's clock before division: CPUID 15H.ECX */
	u64 tsc_hz;    /* the guest's time-stamp counter */
	u32 apic_id;   /* below 255 */
	u32 phys_bits; /* the guest's MAXPHYADDR */
};

struct lapic {
	u32 page[PAGE_4K / 4] ALIGNED(PAGE_4K);

	/* Written by anyone, atomically. */
	struct lapic_posted posted;
	struct lapic_level level;
	u32 events; /* pending NMI, INIT, SIPI with its vector */
	u32 errors; /* gathered for ESR until it is written */

	/* Written by the own vCPU only. */
	u8 irr_words; /* bit n: register n of IRR may hold a vector */
	u8 isr_words; /* the same for ISR */
	bool by_cpu;  /* the CPU changes IRR and ISR, too */
	bool changed; /* IRR, ISR, TMR or mode, by software */
	u32 isr_top;  /* highest vector in service, or 0: none */
	/* The timer's registers as it goes by them: in the page the guest may
	 * have written others, of which lapic_written() has not been told. */
	u32 timer_lvt, timer_initial, timer_divide;
	u64 base;         /* IA32_APIC_BASE */
	u64 timer_start;  /* tick of the timer clock when counting began */
	u64 timer_due_ns; /* when the armed timer fires, or CLOCK_NEVER */
	u64 tsc_deadline; /* 0: disarmed */
	u64 tsc_offset;   /* guest TSC = clock_ticks(now, tsc_hz) + this */
	struct lapic_config config;
};

_Static_assert(sizeof(struct lapic_posted) == 64, "SDM: 64 bytes");
_Static_assert(sizeof(struct lapic) == 2 * PAGE_4K, "one page, and the rest");

/* What a register write asks the platform to do. */
enum lapic_effect {
	LAPIC_EFFECT_NONE,
	LAPIC_EFFECT_FAULT, /* MSR access only: raise #GP(0) */
	LAPIC_EFFECT_IPI,   /* send what `icr` says */
	LAPIC_EFFECT_EOI,   /* tell the I/O APICs the end of `vector` */
};

struct lapic_outcome {
	enum lapic_effect effect;
	u8 vector;
	u64 icr; /* bits as in x2APIC mode: destination in 63:32 */
};

enum lapic_role { LAPIC_IS_BSP, LAPIC_IS_AP };

/* Power-on state: enabled, xAPIC mode, software-disabled. */
void lapic_reset(struct lapic *lapic, const struct lapic_config *config,
		 enum lapic_role role);

/* After INIT was taken: as after reset, but ID and IA32_APIC_BASE stay. */
void lapic_on_init(struct lapic *lapic);

/* --- Registers ------------------------------------------------------------
 * By MMIO in xAPIC mode; `offset` may be anything below 4096. */
u32 lapic_mmio_read(struct lapic *lapic, u32 offset, u64 now_ns);
struct lapic_outcome lapic_mmio_write(struct lapic *lapic, u32 offset,
				      u32 value, u64 now_ns);

/* Is `address` in the page at which this APIC answers to MMIO? */
static inline bool lapic_claims(const struct lapic *lapic, gpa_t address)
{
	return (lapic->base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) ==
		   APIC_BASE_ENABLE &&
	       gpa_page(address) == lapic->base >> PAGE_SHIFT;
}

/* The MSRs named above. LAPIC_EFFECT_FAULT: nothing has changed, #GP(0). */
MUST_CHECK enum lapic_effect lapic_msr_read(struct lapic *lapic, u32 msr,
					    u64 now_ns, u64 *value);
MUST_CHECK struct lapic_outcome lapic_msr_write(struct lapic *lapic, u32 msr,
						u64 value, u64 now_ns);

/* CR8 is bits 7:4 of the TPR; the caller has refused values above 15. */
u64 lapic_cr8(const struct lapic *lapic);
void lapic_set_cr8(struct lapic *lapic, u64 cr8);

/* The guest moved its TSC: WRMSR to IA32_TIME_STAMP_COUNTER, TSC_ADJUST. */
void lapic_set_tsc_offset(struct lapic *lapic, u64 offset, u64 now_ns);

/* --- On the way into the guest -------------------------------------------- */

#define LAPIC_NO_VECTOR (-1)

/* Moves what was posted into IRR and TMR. Cheap when nothing was. */
void lapic_sync(struct lapic *lapic);

/* Has anything come that is not in IRR yet? */
static inline bool lapic_has_posted(const struct lapic *lapic)
{
	return (__atomic_load_n(&lapic->posted.control, __ATOMIC_RELAXED) &
		LAPIC_POSTED_ON) ||
	       __atomic_load_n(&lapic->level.waiting, __ATOMIC_RELAXED);
}

/* False: nothing is posted, IRR is empty, and the CPU knows what is in it. */
static inline bool lapic_may_have_vector(const struct lapic *lapic)
{
	return lapic->irr_words || lapic->changed || lapic_has_posted(lapic);
}

/* Highest vector above the processor priority, after a sync, or none. */
int lapic_pending_vector(struct lapic *lapic);

/* The CPU takes `vector`, which lapic_pending_vector() has just named. */
void lapic_accept(struct lapic *lapic, u8 vector);

/*
 * For the TPR threshold: the priority class (1-15) of the highest request
 * that only the TPR holds back, 0 when there is none.
 */
u32 lapic_tpr_threshold(struct lapic *lapic);

/* --- With a CPU that virtualizes APICs ------------------------------------ */

enum lapic_deliverer { LAPIC_BY_SOFTWARE, LAPIC_BY_CPU };

/* From now on this is who delivers what is in IRR; at first it is software. */
void lapic_delivered_by(struct lapic *lapic, enum lapic_deliverer deliverer);

/* Does the CPU have to be told what follows? */
static inline bool lapic_is_news(const struct lapic *lapic)
{
	return lapic->changed || lapic_has_posted(lapic);
}

/*
 * Takes what was posted, and says what the CPU goes by: the guest interrupt
 * status, SVI in bits 15:8 and RVI in 7:0, and the vectors whose EOI has to
 * exit, which are those that came level-triggered.
 */
u16 lapic_interrupt_status(struct lapic *lapic, u64 eoi_exits[4]);

/* The guest ended `vector` by a virtual EOI that the hardware completed. */
MUST_CHECK struct lapic_outcome lapic_on_virtual_eoi(struct lapic *lapic,
						     u8 vector);

/*
 * An APIC-write VM exit: the guest has written the register at `offset`, by
 * MMIO or (SELF IPI) by MSR, and its value stands in the page.
 */
MUST_CHECK struct lapic_outcome lapic_written(struct lapic *lapic, u32 offset,
					      u64 now_ns);

/* When LINT0 gives way to the PIC's INTR: the "virtual wire". */
bool lapic_accepts_extint(const struct lapic *lapic);

/* Fires the timer if timer_due_ns has come. */
void lapic_tick(struct lapic *lapic, u64 now_ns);

/* --- From anywhere -------------------------------------------------------- */

/*
 * NOTIFY: an edge-triggered vector, for which it is enough that a CPU with
 * posted interrupts looks at the descriptor.
 */
enum lapic_kick {
	LAPIC_KICK_NOT_NEEDED,
	LAPIC_KICK_NOTIFY,
	LAPIC_KICK_NEEDED,
};

/*
 * An interrupt message has reached this APIC. Vectors 0-15 are recorded as
 * the error that they are; a disabled APIC takes only NMI, INIT and SIPI.
 */
enum lapic_kick lapic_post(struct lapic *lapic, enum lapic_delivery_mode mode,
			   u8 vector, enum lapic_trigger trigger);

/* An edge at a LINT pin (0, 1), delivered as its LVT entry says. */
enum lapic_kick lapic_lint(struct lapic *lapic, u32 pin);

enum lapic_destination { LAPIC_PHYSICAL, LAPIC_LOGICAL };

/*
 * Is this APIC addressed by `destination`? I/O APIC, MSI and the ICR in xAPIC
 * mode have eight bits; who sends for them turns a physical 0xff into this:
 */
#define LAPIC_EVERYBODY (~0U)
bool lapic_is_addressed(const struct lapic *lapic, enum lapic_destination mode,
			u32 destination);

/* Does it take vectors, that is, is it on and enabled by software? */
bool lapic_is_enabled(const struct lapic *lapic);

/*
 * Does this vector wait for the CPU? May be a little old: who asks must know that
 * its handler, if it has begun meanwhile, still waits for the asker.
 */
bool lapic_is_requested(const struct lapic *lapic, u8 vector);

/* Task priority, for lowest-priority arbitration; may be a little old. */
u32 lapic_arbitration_priority(const struct lapic *lapic);

/* --- Moving to another machine (lapic_state.c) ---------------------------- */

#define LAPIC_STATE_REGISTERS 64 /* of the page, at multiples of 16 */

struct lapic_state {
	u32 registers[LAPIC_STATE_REGISTERS];
	u32 icr_high; /* ICR bits 63:32 in x2APIC mode */
	u32 events, errors;
	u64 base;
	u64 timer_start, tsc_deadline, tsc_offset;
	u8 timer_armed; /* 0 or 1 */
};

/* The vCPU is stopped, and so is time: what is due by now has happened. */
void lapic_save(struct lapic *lapic, struct lapic_state *state, u64 now_ns);

/*
 * Into a fresh APIC of the same vCPU. ERR_BAD_FORMAT: no APIC can be in that
 * state; nothing has changed.
 */
MUST_CHECK enum err lapic_restore(struct lapic *lapic,
				  const struct lapic_state *state, u64 now_ns);

/* --- Events --------------------------------------------------------------- */

#define LAPIC_EVENT_NMI         BIT(0)
#define LAPIC_EVENT_INIT        BIT(1)
#define LAPIC_EVENT_SIPI        BIT(2)
#define LAPIC_EVENT_AWAITED     BIT(3) /* see lapic_await_sipi */
#define LAPIC_EVENT_SIPI_VECTOR BITS(15, 8)

/* Pending NMI, INIT, SIPI: for a look on the way into the guest. */
static inline u32 lapic_events(const struct lapic *lapic)
{
	return __atomic_load_n(&lapic->events, __ATOMIC_ACQUIRE);
}

/* Each takes its event; false when it is not pending. INIT goes first: a
 * SIPI that was pending before an INIT has been discarded. */
bool lapic_take_nmi(struct lapic *lapic);
bool lapic_take_init(struct lapic *lapic);
bool lapic_take_sipi(struct lapic *lapic, u8 *vector);

/* Where INIT is blocked and a SIPI is not: leaves an INIT that is pending. */
bool lapic_take_sipi_past_init(struct lapic *lapic, u8 *vector);

/*
 * INIT has been taken by who will do what a CPU does, but later: until then a
 * SIPI is not to be lost. Only remembered: LAPIC_EVENT_AWAITED.
 */
void lapic_await_sipi(struct lapic *lapic);
void lapic_await_sipi_no_more(struct lapic *lapic);

#endif
