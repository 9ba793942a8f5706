/* SPDX-License-Identifier: MIT */
/*
 * The runtime of Umbra's own guests, all of it.
 *
 * A guest is one C file with a guest_main and this runtime: a multiboot 1
 * kernel, 64-bit, identity mapped below 4 GiB, with exceptions, COM1, local
 * APIC, time and other CPUs. It runs as a guest of Umbra and just the same on
 * the bare machine or emulator, where nothing may be taken for granted.
 */
#ifndef GUESTS_LIB_GUEST_H
#define GUESTS_LIB_GUEST_H

#include "guests/lib/apic.h"
#include "guests/lib/bench.h"
#include "guests/lib/boot.h"
#include "guests/lib/console.h"
#include "guests/lib/cpu.h"
#include "guests/lib/layout.h"
#include "guests/lib/result.h"
#include "guests/lib/smp.h"
#include "guests/lib/time.h"
#include "guests/lib/trap.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "lib/types.h"

/*
 * What the guest does. Runs on the first CPU with interrupts off; what it
 * returns is the exit code.
 */
u8 guest_main(void);

#endif
