/* SPDX-License-Identifier: MIT */
/* Where boot/start.asm leads. */
#ifndef CORE_MAIN_H
#define CORE_MAIN_H

#include "lib/types.h"

/* The loader's magic number and the address of its information. */
NORETURN void boot_main(u32 magic, u32 info);

#endif
