/* SPDX-License-Identifier: MIT */
/* See devices/pci.h. Offsets that a guest chooses are checked here. */
#include "devices/pci.h"
#include "lib/check.h"
#include "lib/string.h"

#define STATUS_CAPABILITIES BIT(4)
#define FIRST_CAPABILITY    0x40
#define COMMAND_BITS                                                         \
	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | BIT(6) | \
	 BIT(8) | PCI_COMMAND_NO_INTX)

#define BAR_IS_IO     BIT(0)
#define BAR_BYTES_MIN 16

/* --- Making a function ---------------------------------------------------- */

static void put_word(u8 *bytes, u32 offset, u32 value)
{
	bytes[offset] = (u8)value;
	bytes[offset + 1] = (u8)(value >> 8);
}

static void put_long(u8 *bytes, u32 offset, u32 value)
{
	put_word(bytes, offset, value & 0xffff);
	put_word(bytes, offset + 2, value >> 16);
}

static u32 get_long(const u8 *bytes, u32 offset)
{
	return bytes[offset] | (u32)bytes[offset + 1] << 8 |
	       (u32)bytes[offset + 2] << 16 | (u32)bytes[offset + 3] << 24;
}

void pci_init(struct pci_function *function,
	      const struct pci_identity *identity)
{
	u8 *config = function->state.config;

	memset(function, 0, sizeof(*function));
	put_word(config, PCI_VENDOR_ID, identity->vendor);
	put_word(config, PCI_DEVICE_ID, identity->device);
	put_long(config, PCI_REVISION,
		 identity->class_code << 8 | identity->revision);
	put_word(config, PCI_SUBSYSTEM_VENDOR, identity->subsystem_vendor);
	put_word(config, PCI_SUBSYSTEM, identity->subsystem);
	config[PCI_INTERRUPT_LINE] = identity->interrupt_line;
	config[PCI_INTERRUPT_PIN] = identity->interrupt_pin;
	put_word(function->writable, PCI_COMMAND, COMMAND_BITS);
	function->writable[PCI_INTERRUPT_LINE] = 0xff;
	function->capability_end = FIRST_CAPABILITY;
}

void pci_set_bar(struct pci_function *function, u32 index, enum pci_space space,
		 u32 bytes, u32 address)
{
	u8 *config = function->state.config;
	u32 offset = PCI_BAR_0 + index * 4;
	u64 enable = space == PCI_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;

	CHECK(index < PCI_BAR_COUNT && bytes >= BAR_BYTES_MIN);
	CHECK((bytes & (bytes - 1)) == 0 && address % bytes == 0);
	put_long(function->writable, offset, ~(bytes - 1));
	put_long(config, offset,
		 address | (space == PCI_IO ? (u32)BAR_IS_IO : 0));
	config[PCI_COMMAND] |= (u8)enable;
}

/* The list is in the order of its making: who comes first is preferred. */
u32 pci_add_capability(struct pci_function *function, u8 id, const u8 *body,
		       u32 body_bytes)
{
	u8 *config = function->state.config;
	u32 offset = function->capability_end;

	CHECK(offset + 2 + body_bytes <= PCI_CONFIG_BYTES);
	config[offset] = id;
	memcpy(config + offset + 2, body, body_bytes);
	config[function->last_capability ? function->last_capability + 1
					 : PCI_CAPABILITIES] = (u8)offset;
	config[PCI_STATUS] |= STATUS_CAPABILITIES;
	function->last_capability = offset;
	function->capability_end = (u32)align_up(offset + 2 + body_bytes, 4);
	return offset;
}

void pci_let_write(struct pci_function *function, u32 offset, u16 bits)
{
	CHECK(offset + 2 <= PCI_CONFIG_BYTES);
	put_word(function->writable, offset, bits);
}

/* --- Accesses ------------------------------------------------------------- */

u32 pci_config_read(const struct pci_function *function, u32 offset, u32 bytes)
{
	u32 value = 0;

	for (u32 i = 0; i < bytes && i < 4; i++) {
		u32 byte = offset + i < PCI_CONFIG_BYTES
			       ? function->state.config[offset + i]
			       : 0xff;

		value |= byte << i * 8;
	}
	return value;
}

void pci_config_write(struct pci_function *function, u32 offset, u32 bytes,
		      u32 value)
{
	for (u32 i = 0; i < bytes && i < 4; i++, value >>= 8) {
		u8 *byte, mask;

		if (offset + i >= PCI_CONFIG_BYTES)
			return;
		byte = &function->state.config[offset + i];
		mask = function->writable[offset + i];
		*byte = (u8)((*byte & ~mask) | (value & mask));
	}
}

u16 pci_config_word(const struct pci_function *function, u32 offset)
{
	return (u16)pci_config_read(function, offset, 2);
}

bool pci_bar_claims(const struct pci_function *function, u32 index, u64 address,
		    u32 *offset)
{
	u32 at = PCI_BAR_0 + index % PCI_BAR_COUNT * 4;
	u32 bar = get_long(function->state.config, at);
	u32 mask = get_long(function->writable, at);
	u64 enable = bar & BAR_IS_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;

	if (!mask || !(pci_config_word(function, PCI_COMMAND) & enable) ||
	    address >> 32 || (address & mask) != (bar & mask))
		return false;
	*offset = (u32)address & ~mask;
	return true;
}
