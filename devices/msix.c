/* SPDX-License-Identifier: MIT */
/* MSI-X: see devices/pci.h. */
#include "devices/pci.h"
#include "lib/string.h"

#define CONTROL          2 /* offset of message control in the capability */
#define CONTROL_ENABLE   BIT(15)
#define CONTROL_MASK_ALL BIT(14)

#define ENTRY_BYTES      16
#define ENTRY_MASKED     BIT(0)

_Static_assert(MSIX_VECTOR_COUNT <= 32, "pending bits are 32");

void msix_reset(struct msix_state *msix)
{
	memset(msix, 0, sizeof(*msix));
	for (u32 i = 0; i < MSIX_VECTOR_COUNT; i++)
		msix->entries[i].masked = 1;
}

u32 msix_add_capability(struct pci_function *function, u32 bar)
{
	const u8 body[10] = {
	    [0] = MSIX_VECTOR_COUNT - 1,
	    [2] = (u8)(MSIX_TABLE_OFFSET | bar),
	    [3] = MSIX_TABLE_OFFSET >> 8,
	    [6] = (u8)((MSIX_PBA_OFFSET & 0xff) | bar),
	    [7] = MSIX_PBA_OFFSET >> 8,
	};
	u32 offset = pci_add_capability(function, PCI_CAPABILITY_MSIX, body,
					sizeof(body));

	pci_let_write(function, offset + CONTROL,
		      CONTROL_ENABLE | CONTROL_MASK_ALL);
	return offset;
}

static u16 control_of(const struct pci_function *function, u32 capability)
{
	return pci_config_word(function, capability + CONTROL);
}

bool msix_is_enabled(const struct pci_function *function, u32 capability)
{
	return control_of(function, capability) & CONTROL_ENABLE;
}

u32 msix_read(const struct msix_state *msix, u32 offset)
{
	const struct msix_entry_state *entry =
	    &msix->entries[offset / ENTRY_BYTES % MSIX_VECTOR_COUNT];

	if (offset == MSIX_PBA_OFFSET)
		return msix->pending;
	if (offset >= MSIX_VECTOR_COUNT * ENTRY_BYTES)
		return 0;
	switch (offset % ENTRY_BYTES) {
	case 0:
		return low32(entry->address);
	case 4:
		return high32(entry->address);
	case 8:
		return entry->data;
	default:
		return entry->masked;
	}
}

void msix_write(struct msix_state *msix, u32 offset, u32 value)
{
	struct msix_entry_state *entry =
	    &msix->entries[offset / ENTRY_BYTES % MSIX_VECTOR_COUNT];

	if (offset >= MSIX_VECTOR_COUNT * ENTRY_BYTES)
		return;
	switch (offset % ENTRY_BYTES) {
	case 0:
		entry->address = bits_set(entry->address, BITS(31, 0), value);
		break;
	case 4:
		entry->address = bits_set(entry->address, BITS(63, 32), value);
		break;
	case 8:
		entry->data = value;
		break;
	default:
		entry->masked = value & ENTRY_MASKED;
		break;
	}
}

void msix_raise(struct msix_state *msix, u32 vector)
{
	if (vector < MSIX_VECTOR_COUNT)
		msix->pending |= 1U << vector;
}

/* MSI-X messages are memory writes: without bus mastering they wait, too. */
enum msix_next msix_take(struct msix_state *msix,
			 const struct pci_function *function, u32 capability,
			 struct msix_message *message)
{
	u16 control;

	if (likely(!msix->pending))
		return MSIX_NOTHING;
	control = control_of(function, capability);
	if ((control & CONTROL_MASK_ALL) || !(control & CONTROL_ENABLE) ||
	    !(pci_config_word(function, PCI_COMMAND) & PCI_COMMAND_MASTER))
		return MSIX_NOTHING;
	for (u32 i = 0; i < MSIX_VECTOR_COUNT; i++) {
		const struct msix_entry_state *entry = &msix->entries[i];

		if (!(msix->pending >> i & 1) || entry->masked)
			continue;
		msix->pending &= ~(1U << i);
		message->address = entry->address;
		message->data = entry->data;
		return MSIX_MESSAGE;
	}
	return MSIX_NOTHING;
}
