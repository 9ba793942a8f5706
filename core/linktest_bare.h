/* SPDX-License-Identifier: MIT */
/*
 * What the link's device carries without a protocol, between two machines: the
 * yardstick for the links (core/linktest.h).
 *
 *	uart	bytes into the FIFO whenever it is empty
 *	net	frames of full size, WINDOW of them ahead of what the receiver
 *		says that it has seen; lost ones are not sent again
 *	virtio	buffers of eight pages, as many as the queue holds
 */
#ifndef CORE_LINKTEST_BARE_H
#define CORE_LINKTEST_BARE_H

#include "loader/options.h"

void linktest_bare_send(const struct options *options);
void linktest_bare_receive(const struct options *options);

#endif
