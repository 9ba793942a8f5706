/* SPDX-License-Identifier: MIT */
/*
 * Numbers that C and assembly share: the Makefile turns every #define of this
 * file into a %define of layout.inc, so each stands on one line and is plain.
 */
#ifndef GUESTS_LIB_LAYOUT_H
#define GUESTS_LIB_LAYOUT_H

#define CPUS_MAX             64
#define STACK_BYTES          8192

#define SELECTOR_CODE64      0x08
#define SELECTOR_DATA        0x10
#define SELECTOR_CODE32      0x18
#define SELECTOR_TSS64       0x20
#define SELECTOR_USER_DATA   0x33
#define SELECTOR_USER_CODE64 0x3b

/* Real-mode code of starting CPUs: below 640 KiB, on a page boundary. */
#define SMP_TRAMPOLINE       0x8000

#endif
