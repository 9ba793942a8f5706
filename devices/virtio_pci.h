/* SPDX-License-Identifier: MIT */
/*
 * A virtio device on PCI, modern interface only (virtio 1.1, "Virtio Over PCI
 * Bus"): configuration structures in BAR 0, MSI-X in BAR 1, and a notification
 * port in BAR 2, so that a notification is a plain I/O exit.
 *
 * What the queues mean is somebody else's: see devices/virtio_console.h.
 */
#ifndef DEVICES_VIRTIO_PCI_H
#define DEVICES_VIRTIO_PCI_H

#include "devices/pci.h"
#include "devices/virtqueue.h"
#include "lib/types.h"

#define VIRTIO_QUEUE_COUNT_MAX 6

#define VIRTIO_F_VERSION_1     BIT(32)

/* Device status. */
#define VIRTIO_DRIVER_OK       BIT(2)
#define VIRTIO_FEATURES_OK     BIT(3)
#define VIRTIO_NEEDS_RESET     BIT(6)

/* Structures in BAR 0. */
#define VIRTIO_COMMON_OFFSET   0x0000
#define VIRTIO_ISR_OFFSET      0x1000
#define VIRTIO_DEVICE_OFFSET   0x2000
#define VIRTIO_NOTIFY_OFFSET   0x3000
#define VIRTIO_BAR_BYTES       0x4000
#define VIRTIO_NOTIFY_BYTES    16 /* BAR 2 */

enum virtio_bar { VIRTIO_BAR, VIRTIO_MSIX_BAR, VIRTIO_NOTIFY_BAR };

struct virtio_state {
	u64 driver_features;
	u32 device_feature_select;
	u32 driver_feature_select;
	u16 config_vector;
	u16 queue_select;
	u8 status;
	u8 isr;
	u8 config_generation;
	struct virtqueue_state queues[VIRTIO_QUEUE_COUNT_MAX];
	struct msix_state msix;
};

struct virtio_pci {
	struct virtio_state state;
	struct pci_function function;
	u64 features; /* what is offered beside VIRTIO_F_VERSION_1 */
	u32 queue_count;
	u32 msix_capability;
	u32 window_capability; /* VIRTIO_PCI_CAP_PCI_CFG */
};

struct virtio_config {
	u16 device_type; /* 3: console */
	u32 class_code;
	u32 bar;         /* 20 KiB from here on, 16 KiB aligned */
	u16 notify_port; /* 16 aligned */
	u8 interrupt_line;
	u64 features;
	u32 queue_count;
	u32 device_bytes; /* of the device-specific configuration */
};

void virtio_pci_init(struct virtio_pci *virtio,
		     const struct virtio_config *config);

/* What an access asks the device behind to do. */
enum virtio_effect {
	VIRTIO_NOTHING,
	VIRTIO_RESET,    /* forget everything: the driver starts over */
	VIRTIO_NOTIFIED, /* look at queue `notified` */
};

/* The common configuration structure: 1, 2 or 4 bytes at an offset. */
u32 virtio_common_read(const struct virtio_pci *virtio, u32 offset);
enum virtio_effect virtio_common_write(struct virtio_pci *virtio, u32 offset,
				       u32 bytes, u32 value);

/* ISR status: reading clears it and ends the INTx interrupt. */
u32 virtio_isr_read(struct virtio_pci *virtio);

/* May the device use its queues now, and this one? */
bool virtio_is_running(const struct virtio_pci *virtio);
bool virtio_queue_is_ready(const struct virtio_pci *virtio, u32 queue);

/* Something was given back in this queue, and the driver wants to know. */
void virtio_interrupt_queue(struct virtio_pci *virtio, u32 queue);

/* The driver has broken its rings: nothing more until it resets. */
void virtio_break(struct virtio_pci *virtio);

/* The level of INTA#. */
bool virtio_intx(const struct virtio_pci *virtio);

#endif
