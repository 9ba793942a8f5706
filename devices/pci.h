/* SPDX-License-Identifier: MIT */
/*
 * Configuration space of a conventional PCI function (PCI Local Bus
 * Specification 3.0, "Configuration Space"), and MSI-X ("MSI-X Capability and
 * Table Structures").
 *
 * A function is 256 bytes and, beside them, which of their bits the guest may
 * write: sizing a BAR is nothing more than that. Functions are made once and
 * never removed.
 */
#ifndef DEVICES_PCI_H
#define DEVICES_PCI_H

#include "lib/bits.h"
#include "lib/types.h"

#define PCI_CONFIG_BYTES 256
#define PCI_BAR_COUNT    6

/* Offsets in configuration space. */
enum pci_register {
	PCI_VENDOR_ID = 0x00,
	PCI_DEVICE_ID = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x09,
	PCI_BAR_0 = 0x10,
	PCI_SUBSYSTEM_VENDOR = 0x2c,
	PCI_SUBSYSTEM = 0x2e,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
};

#define PCI_COMMAND_IO        BIT(0)
#define PCI_COMMAND_MEMORY    BIT(1)
#define PCI_COMMAND_MASTER    BIT(2)
#define PCI_COMMAND_NO_INTX   BIT(10)

#define PCI_CAPABILITY_VENDOR 0x09
#define PCI_CAPABILITY_MSIX   0x11

struct pci_function_state {
	u8 config[PCI_CONFIG_BYTES];
};

struct pci_function {
	struct pci_function_state state;
	u8 writable[PCI_CONFIG_BYTES];
	u32 capability_end; /* where the next capability goes */
	u32 last_capability;
};

struct pci_identity {
	u16 vendor, device;
	u16 subsystem_vendor, subsystem;
	u32 class_code; /* base class, subclass, interface */
	u8 revision;
	u8 interrupt_pin;  /* 1 is INTA#; 0: none */
	u8 interrupt_line; /* what firmware puts there */
};

void pci_init(struct pci_function *function,
	      const struct pci_identity *identity);

enum pci_space { PCI_MEMORY_32, PCI_IO };

/*
 * Gives BAR `index` a size, a power of two of at least 16, and an address at
 * which it answers at once, as after firmware.
 */
void pci_set_bar(struct pci_function *function, u32 index, enum pci_space space,
		 u32 bytes, u32 address);

/* Appends a capability with this body; returns its offset. */
u32 pci_add_capability(struct pci_function *function, u8 id, const u8 *body,
		       u32 body_bytes);

/* Lets the guest write these bits of the 16-bit word at `offset`. */
void pci_let_write(struct pci_function *function, u32 offset, u16 bits);

/* Bytes 1, 2 or 4 at any offset below 256; what lies beyond reads ones. */
u32 pci_config_read(const struct pci_function *function, u32 offset, u32 bytes);
void pci_config_write(struct pci_function *function, u32 offset, u32 bytes,
		      u32 value);

u16 pci_config_word(const struct pci_function *function, u32 offset);

/* Does BAR `index` answer at `address` now? Then `offset` is where in it. */
bool pci_bar_claims(const struct pci_function *function, u32 index, u64 address,
		    u32 *offset);

/* --- MSI-X ---------------------------------------------------------------- */

#define MSIX_VECTOR_COUNT 8
#define MSIX_TABLE_OFFSET 0x000
#define MSIX_PBA_OFFSET   0x800
#define MSIX_BAR_BYTES    0x1000

struct msix_entry_state {
	u64 address;
	u32 data;
	u32 masked; /* 0 or 1 */
};

struct msix_state {
	struct msix_entry_state entries[MSIX_VECTOR_COUNT];
	u32 pending;
};

struct msix_message {
	u64 address;
	u32 data;
};

void msix_reset(struct msix_state *msix);

/* Adds the capability for a table and PBA in this BAR; returns its offset. */
u32 msix_add_capability(struct pci_function *function, u32 bar);

/* Has the guest turned MSI-X on? `capability` is what was added above. */
bool msix_is_enabled(const struct pci_function *function, u32 capability);

/* Four bytes at a multiple of four, below MSIX_BAR_BYTES. */
u32 msix_read(const struct msix_state *msix, u32 offset);
void msix_write(struct msix_state *msix, u32 offset, u32 value);

/* The device wants this interrupt. Vectors that do not exist are none. */
void msix_raise(struct msix_state *msix, u32 vector);

/* The next message that may be sent now; call until there is none. */
enum msix_next { MSIX_NOTHING, MSIX_MESSAGE };

enum msix_next msix_take(struct msix_state *msix,
			 const struct pci_function *function, u32 capability,
			 struct msix_message *message);

#endif
