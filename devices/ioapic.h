/* SPDX-License-Identifier: MIT */
/*
 * An I/O APIC of 24 pins (Intel 82093AA data sheet), with the EOI register of
 * version 20H (ICH and later).
 *
 * Pins carry "asserted or not": whoever drives one means the same by it as the
 * guest that programs its polarity, so polarity bits are kept but not used.
 *
 *	pin --edge or level--> pending --ioapic_next()--> message to local APICs
 *	                          ^                            |
 *	                          +-- ioapic_eoi() <--- EOI of a level interrupt
 */
#ifndef DEVICES_IOAPIC_H
#define DEVICES_IOAPIC_H

#include "lib/bits.h"
#include "lib/types.h"

#define IOAPIC_PIN_COUNT       24

/* A redirection entry; bits 15:0 are those of the ICR in devices/lapic.h. */
#define IOAPIC_DELIVERY_STATUS BIT(12)
#define IOAPIC_POLARITY        BIT(13)
#define IOAPIC_REMOTE_IRR      BIT(14)
#define IOAPIC_LEVEL           BIT(15)
#define IOAPIC_MASKED          BIT(16)
#define IOAPIC_DESTINATION     BITS(63, 56)

struct ioapic_state {
	u64 entries[IOAPIC_PIN_COUNT];
	u32 lines;   /* pins that are asserted now */
	u32 pending; /* edges seen and not yet sent */
	u32 select;
	u32 id;
};

enum ioapic_line { IOAPIC_LOW, IOAPIC_ASSERTED };

void ioapic_reset(struct ioapic_state *ioapic);

/* The registers at offsets 0 to 0xff of its page. */
u32 ioapic_read(const struct ioapic_state *ioapic, u32 offset);
void ioapic_write(struct ioapic_state *ioapic, u32 offset, u32 value);

/* A pin (below IOAPIC_PIN_COUNT) gets this level. */
void ioapic_set_line(struct ioapic_state *ioapic, u32 pin,
		     enum ioapic_line line);

/* A local APIC has broadcast the end of a level-triggered interrupt. */
void ioapic_eoi(struct ioapic_state *ioapic, u8 vector);

/*
 * To be called after each of the above until there is none: the next message
 * to send, as the redirection entry that says where. At most one per pin.
 */
enum ioapic_message { IOAPIC_NO_MESSAGE, IOAPIC_MESSAGE };

enum ioapic_message ioapic_next(struct ioapic_state *ioapic, u64 *entry);

#endif
