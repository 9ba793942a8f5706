/* SPDX-License-Identifier: MIT */
/* The machine's RAM: from the loader's map to page tables and free frames. */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H

#include "lib/err.h"
#include "loader/boot_info.h"

/*
 * Maps all memory that the loader listed and gives what is free, and neither
 * the image nor a boot module, to the frame allocator. Afterwards the final
 * page tables are in force on the calling CPU.
 */
MUST_CHECK enum err memory_init(const struct boot_info *boot);

/*
 * From now on a null pointer faults. Page 0 also holds what the BIOS tells of
 * its tables, which must have been read by then.
 */
void memory_guard_null(void);

#endif
