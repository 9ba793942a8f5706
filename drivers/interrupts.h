/* SPDX-License-Identifier: MIT */
/*
 * The machine's interrupt controllers: the legacy PIC, which is silenced, and
 * the I/O APICs, which bring device interrupts to a CPU.
 */
#ifndef DRIVERS_INTERRUPTS_H
#define DRIVERS_INTERRUPTS_H

#include "lib/err.h"
#include "lib/types.h"
#include "mm/addr.h"

/* Masks all of the 8259s and moves them away from the exception vectors. */
void interrupts_silence_pic(void);

enum interrupt_polarity { INTERRUPT_ACTIVE_HIGH, INTERRUPT_ACTIVE_LOW };
enum interrupt_trigger { INTERRUPT_EDGE, INTERRUPT_LEVEL };

struct interrupt_route {
	u32 gsi; /* global system interrupt, as ACPI numbers them */
	enum interrupt_polarity polarity;
	enum interrupt_trigger trigger;
	u32 vector;
	u32 apic_id; /* physical destination, below 255 */
};

/*
 * Adds an I/O APIC and masks all its pins. `gsi_base` is the number of its
 * first pin. ERR_NO_MEMORY if there are more than Umbra expects.
 */
enum err interrupts_add_ioapic(hpa_t base, u32 gsi_base);

/* Delivers an interrupt as `route` says. ERR_NOT_FOUND: no such pin. */
enum err interrupts_route(const struct interrupt_route *route);

#endif
