/* SPDX-License-Identifier: MIT */
/* See devices/ioapic.h. */
#include "devices/ioapic.h"
#include "lib/string.h"

/* Memory-mapped registers. */
#define IOREGSEL      0x00
#define IOWIN         0x10
#define IOEOI         0x40

/* Registers behind IOREGSEL. */
#define IOAPIC_ID     0x00
#define IOAPIC_VER    0x01
#define IOAPIC_ARB    0x02
#define IOAPIC_REDTBL 0x10 /* two per pin: low, high */

#define VERSION       ((IOAPIC_PIN_COUNT - 1) << 16 | 0x20)
#define ID_FIELD      BITS(27, 24)
#define READ_ONLY     (IOAPIC_DELIVERY_STATUS | IOAPIC_REMOTE_IRR)
#define ENTRY_LOW     (BITS(16, 0) & ~READ_ONLY)

void ioapic_reset(struct ioapic_state *ioapic)
{
	memset(ioapic, 0, sizeof(*ioapic));
	for (u32 pin = 0; pin < IOAPIC_PIN_COUNT; pin++)
		ioapic->entries[pin] = IOAPIC_MASKED;
}

static u32 read_window(const struct ioapic_state *ioapic)
{
	u32 pin = (ioapic->select - IOAPIC_REDTBL) / 2;

	switch (ioapic->select) {
	case IOAPIC_ID:
	case IOAPIC_ARB:
		return ioapic->id;
	case IOAPIC_VER:
		return VERSION;
	default:
		break;
	}
	if (ioapic->select < IOAPIC_REDTBL || pin >= IOAPIC_PIN_COUNT)
		return 0;
	return ioapic->select % 2 ? high32(ioapic->entries[pin])
				  : low32(ioapic->entries[pin]);
}

/*
 * Remote IRR belongs to level-triggered entries: making an entry edge-triggered
 * clears it, which is how software without the EOI register resets a pin.
 */
static void write_entry(struct ioapic_state *ioapic, u32 pin, u32 value,
			u32 high)
{
	u64 entry = ioapic->entries[pin];

	if (high)
		entry = bits_set(entry, IOAPIC_DESTINATION, value >> 24);
	else
		entry = (entry & ~ENTRY_LOW) | (value & ENTRY_LOW);
	if (!(entry & IOAPIC_LEVEL))
		entry &= ~IOAPIC_REMOTE_IRR;
	ioapic->entries[pin] = entry;
}

static void write_window(struct ioapic_state *ioapic, u32 value)
{
	u32 pin = (ioapic->select - IOAPIC_REDTBL) / 2;

	if (ioapic->select == IOAPIC_ID)
		ioapic->id = value & (u32)ID_FIELD;
	else if (ioapic->select >= IOAPIC_REDTBL && pin < IOAPIC_PIN_COUNT)
		write_entry(ioapic, pin, value, ioapic->select % 2);
}

u32 ioapic_read(const struct ioapic_state *ioapic, u32 offset)
{
	switch (offset) {
	case IOREGSEL:
		return ioapic->select;
	case IOWIN:
		return read_window(ioapic);
	default:
		return 0;
	}
}

void ioapic_write(struct ioapic_state *ioapic, u32 offset, u32 value)
{
	switch (offset) {
	case IOREGSEL:
		ioapic->select = value & 0xff;
		break;
	case IOWIN:
		write_window(ioapic, value);
		break;
	case IOEOI:
		ioapic_eoi(ioapic, (u8)value);
		break;
	default:
		break;
	}
}

/* The data sheet: an edge at a masked pin is neither delivered nor held. */
void ioapic_set_line(struct ioapic_state *ioapic, u32 pin,
		     enum ioapic_line line)
{
	u32 bit = 1U << pin % 32;
	u64 entry = pin < IOAPIC_PIN_COUNT ? ioapic->entries[pin] : 0;
	bool rises = line == IOAPIC_ASSERTED && !(ioapic->lines & bit);

	if (pin >= IOAPIC_PIN_COUNT)
		return;
	if (rises && !(entry & (IOAPIC_LEVEL | IOAPIC_MASKED)))
		ioapic->pending |= bit;
	if (line == IOAPIC_ASSERTED)
		ioapic->lines |= bit;
	else
		ioapic->lines &= ~bit;
}

void ioapic_eoi(struct ioapic_state *ioapic, u8 vector)
{
	for (u32 pin = 0; pin < IOAPIC_PIN_COUNT; pin++) {
		u64 *entry = &ioapic->entries[pin];

		if ((*entry & IOAPIC_LEVEL) && (*entry & 0xff) == vector)
			*entry &= ~IOAPIC_REMOTE_IRR;
	}
}

/* A level is sent when nobody is serving it; an edge once. */
static bool is_due(const struct ioapic_state *ioapic, u32 pin)
{
	u64 entry = ioapic->entries[pin];

	if (entry & IOAPIC_MASKED)
		return false;
	if (entry & IOAPIC_LEVEL)
		return (ioapic->lines >> pin & 1) &&
		       !(entry & IOAPIC_REMOTE_IRR);
	return ioapic->pending >> pin & 1;
}

enum ioapic_message ioapic_next(struct ioapic_state *ioapic, u64 *entry)
{
	u32 candidates = ioapic->lines | ioapic->pending;

	for (; candidates; candidates &= candidates - 1) {
		u32 pin = (u32)__builtin_ctz(candidates);

		if (!is_due(ioapic, pin))
			continue;
		*entry = ioapic->entries[pin];
		ioapic->pending &= ~(1U << pin);
		if (*entry & IOAPIC_LEVEL)
			ioapic->entries[pin] |= IOAPIC_REMOTE_IRR;
		return IOAPIC_MESSAGE;
	}
	return IOAPIC_NO_MESSAGE;
}
