/* SPDX-License-Identifier: MIT */
/*
 * The machine's PCI functions, through the configuration ports 0xcf8/0xcfc
 * (PCI Local Bus Specification 3.0, "Configuration Space Access Mechanism").
 *
 * Buses are found behind bridges that the firmware has set up. First CPU only:
 * the ports are a pair.
 */
#ifndef DRIVERS_PCI_H
#define DRIVERS_PCI_H

#include "lib/err.h"
#include "lib/types.h"
#include "mm/addr.h"

enum pci_register {
	PCI_VENDOR = 0x00,
	PCI_DEVICE = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x0a,
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR_0 = 0x10,
	PCI_SUBSYSTEM_ID = 0x2e,
	PCI_CAPABILITIES = 0x34,
};

struct pci_function {
	u8 bus, device, function;
	u16 vendor, id;
};

u8 pci_read8(const struct pci_function *at, u32 offset);
u16 pci_read16(const struct pci_function *at, u32 offset);
u32 pci_read32(const struct pci_function *at, u32 offset);
void pci_write16(const struct pci_function *at, u32 offset, u16 value);
void pci_write32(const struct pci_function *at, u32 offset, u32 value);

struct pci_id {
	u16 vendor, id;
};

/*
 * The first function, in the order of buses, that is one of `ids`.
 * ERR_NOT_FOUND: there is none.
 */
MUST_CHECK enum err pci_find(const struct pci_id *ids, u32 id_count,
			     struct pci_function *found);

enum pci_space { PCI_SPACE_NONE, PCI_SPACE_MEMORY, PCI_SPACE_PORTS };

struct pci_bar {
	enum pci_space space; /* NONE: not there, or not set up */
	u64 base, bytes;
};

/* Measures by writing ones: before the function is used. */
struct pci_bar pci_read_bar(const struct pci_function *at, u32 number);

/*
 * Lets it answer in ports and memory, and reach memory by itself or not; its INTx
 * stays off. What the firmware drove may still have buffers: only a device that
 * has been reset may reach memory.
 */
enum pci_reach { PCI_ANSWERS, PCI_REACHES_MEMORY };

void pci_enable(const struct pci_function *at, enum pci_reach reach);

/* The next capability with that number after `from` (0: the first), or 0. */
u32 pci_capability(const struct pci_function *at, u8 number, u32 from);

#endif
