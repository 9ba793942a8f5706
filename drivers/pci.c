/* SPDX-License-Identifier: MIT */
/* PCI configuration space: see drivers/pci.h. */
#include "drivers/pci.h"
#include "arch/x86/cpu/insn.h"
#include "lib/bits.h"

#define CONFIG_ADDRESS       0xcf8
#define CONFIG_DATA          0xcfc
#define CONFIG_ENABLE        BIT(31)

#define NO_VENDOR            0xffff
#define DEVICES              32U
#define FUNCTIONS            8U
#define BUSES                256U
#define BARS                 6U

#define HEADER_MULTIFUNCTION BIT(7)

#define COMMAND_PORTS        BIT(0)
#define COMMAND_MEMORY       BIT(1)
#define COMMAND_MASTER       BIT(2)
#define COMMAND_INTX_OFF     BIT(10)
#define STATUS_CAPABILITIES  BIT(4)

#define BAR_PORTS            BIT(0)
#define BAR_PORT_BASE        BITS(31, 2)
#define BAR_64_BIT           BIT(2)
#define BAR_MEMORY_BASE      BITS(31, 4)

#define CAPABILITIES_MAX     48 /* a ring of them ends, too */

static void select(const struct pci_function *at, u32 offset)
{
	insn_out32(CONFIG_ADDRESS,
		   (u32)(CONFIG_ENABLE | (u32)at->bus << 16 |
			 (u32)at->device << 11 | (u32)at->function << 8 |
			 (offset & 0xfc)));
}

u8 pci_read8(const struct pci_function *at, u32 offset)
{
	select(at, offset);
	return insn_in8((u16)(CONFIG_DATA + (offset & 3)));
}

u16 pci_read16(const struct pci_function *at, u32 offset)
{
	select(at, offset);
	return insn_in16((u16)(CONFIG_DATA + (offset & 2)));
}

u32 pci_read32(const struct pci_function *at, u32 offset)
{
	select(at, offset);
	return insn_in32(CONFIG_DATA);
}

void pci_write16(const struct pci_function *at, u32 offset, u16 value)
{
	select(at, offset);
	insn_out16((u16)(CONFIG_DATA + (offset & 2)), value);
}

void pci_write32(const struct pci_function *at, u32 offset, u32 value)
{
	select(at, offset);
	insn_out32(CONFIG_DATA, value);
}

/* --- Finding -------------------------------------------------------------- */

struct search {
	const struct pci_id *ids;
	u32 id_count;
};

static bool is_wanted(const struct search *search,
		      const struct pci_function *at)
{
	for (u32 i = 0; i < search->id_count; i++)
		if (search->ids[i].vendor == at->vendor &&
		    search->ids[i].id == at->id)
			return true;
	return false;
}

static enum err look_at(const struct search *search, struct pci_function *at,
			struct pci_function *found)
{
	at->vendor = pci_read16(at, PCI_VENDOR);
	if (at->vendor == NO_VENDOR)
		return ERR_NOT_FOUND;
	at->id = pci_read16(at, PCI_DEVICE);
	if (!is_wanted(search, at))
		return ERR_NOT_FOUND;
	*found = *at;
	return OK;
}

static enum err look_at_device(const struct search *search,
			       struct pci_function at,
			       struct pci_function *found)
{
	u32 functions = FUNCTIONS;

	for (u32 i = 0; i < functions; i++) {
		at.function = (u8)i;
		if (look_at(search, &at, found) == OK)
			return OK;
		if (i == 0 &&
		    (at.vendor == NO_VENDOR ||
		     !(pci_read8(&at, PCI_HEADER_TYPE) & HEADER_MULTIFUNCTION)))
			functions = 1;
	}
	return ERR_NOT_FOUND;
}

/*
 * All buses, not only those behind bridges of bus 0: a server has several host
 * bridges, and which buses are theirs only its ACPI methods know. Where no bus
 * is, all ones are read.
 */
enum err pci_find(const struct pci_id *ids, u32 id_count,
		  struct pci_function *found)
{
	const struct search search = {ids, id_count};

	for (u32 bus = 0; bus < BUSES; bus++)
		for (u32 i = 0; i < DEVICES; i++) {
			const struct pci_function at = {.bus = (u8)bus,
							.device = (u8)i};

			if (look_at_device(&search, at, found) == OK)
				return OK;
		}
	return ERR_NOT_FOUND;
}

/* --- Resources ------------------------------------------------------------ */

/* The bits that do not stick are the size; decoding is off meanwhile. */
static u32 probe(const struct pci_function *at, u32 offset)
{
	u32 value = pci_read32(at, offset), mask;

	pci_write32(at, offset, ~0U);
	mask = pci_read32(at, offset);
	pci_write32(at, offset, value);
	return mask;
}

static struct pci_bar memory_bar(const struct pci_function *at, u32 offset)
{
	u64 value = pci_read32(at, offset);
	u64 mask = probe(at, offset) & BAR_MEMORY_BASE;
	struct pci_bar bar = {.space = PCI_SPACE_MEMORY};

	if (value & BAR_64_BIT) {
		value |= (u64)pci_read32(at, offset + 4) << 32;
		mask |= (u64)probe(at, offset + 4) << 32;
	} else if (mask) {
		mask |= BITS(63, 32);
	}
	bar.base = value & ~15UL;
	bar.bytes = mask ? ~mask + 1 : 0;
	return bar;
}

static struct pci_bar port_bar(const struct pci_function *at, u32 offset)
{
	u64 mask = probe(at, offset) & BAR_PORT_BASE;

	/* Hardware may leave the upper half of the mask zero. */
	return (struct pci_bar){
	    .space = PCI_SPACE_PORTS,
	    .base = pci_read32(at, offset) & BAR_PORT_BASE,
	    .bytes = mask ? (~mask + 1) & 0xffff : 0,
	};
}

struct pci_bar pci_read_bar(const struct pci_function *at, u32 number)
{
	u32 offset = PCI_BAR_0 + 4 * number;
	u16 command = pci_read16(at, PCI_COMMAND);
	struct pci_bar bar;

	if (number >= BARS)
		return (struct pci_bar){0};
	pci_write16(at, PCI_COMMAND,
		    (u16)(command & ~(COMMAND_PORTS | COMMAND_MEMORY)));
	bar = pci_read32(at, offset) & BAR_PORTS ? port_bar(at, offset)
						 : memory_bar(at, offset);
	pci_write16(at, PCI_COMMAND, command);
	if (!bar.base || !bar.bytes)
		bar.space = PCI_SPACE_NONE;
	return bar;
}

void pci_enable(const struct pci_function *at, enum pci_reach reach)
{
	u32 command = pci_read16(at, PCI_COMMAND) & ~(u32)COMMAND_MASTER;

	command |= COMMAND_PORTS | COMMAND_MEMORY | COMMAND_INTX_OFF;
	if (reach == PCI_REACHES_MEMORY)
		command |= COMMAND_MASTER;
	pci_write16(at, PCI_COMMAND, (u16)command);
}

u32 pci_capability(const struct pci_function *at, u8 number, u32 from)
{
	u32 next = from ? from + 1 : PCI_CAPABILITIES;

	if (!(pci_read16(at, PCI_STATUS) & STATUS_CAPABILITIES))
		return 0;
	for (u32 i = 0; i < CAPABILITIES_MAX; i++) {
		u32 offset = pci_read8(at, next) & 0xfcU;

		if (offset < 0x40)
			return 0;
		if (pci_read8(at, offset) == number)
			return offset;
		next = offset + 1;
	}
	return 0;
}
