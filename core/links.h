/* SPDX-License-Identifier: MIT */
/* The link to a peer that the command line chose: `link=uart` and so on. */
#ifndef CORE_LINKS_H
#define CORE_LINKS_H

#include "loader/options.h"
#include "migrate/link.h"

/*
 * Finds the device and readies it; the link is then to be connected. NULL,
 * after saying why, if this machine has no such device. Once, on the first CPU,
 * whose interrupts the device gets.
 */
struct link *links_open(const struct link_options *options);

/*
 * Lets interrupts in; until one comes, or for a few milliseconds, where the
 * link's device has one. For who has nothing to do but to wait for the link.
 * Interrupts are off before and after.
 */
void links_wait(void);

/* For measuring the devices themselves: what carries the link. */
struct serial *links_serial(void);
struct virtio_link *links_virtio(void);

#endif
