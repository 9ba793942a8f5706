/* SPDX-License-Identifier: MIT */
/*
 * Multiboot kernels as guests: the boot loader's side of both versions.
 *
 * Such a kernel starts in 32-bit protected mode with EAX = the magic and EBX
 * = the information: command line, memory map, modules (page aligned, above
 * the kernel), and "Umbra" as the loader's name.
 */
#ifndef LOADER_MULTIBOOT_GUEST_H
#define LOADER_MULTIBOOT_GUEST_H

#include "loader/guest_load.h"

/* Errors as guest_place (loader/guest_place.h) gives them. */
MUST_CHECK enum err multiboot_guest_plan(struct guest_load *load,
					 const struct guest_plan *plan,
					 const struct boot_info *boot);

#endif
