/* SPDX-License-Identifier: MIT */
/*
 * What has been typed for a guest and waits until it takes it: a UART holds 16
 * bytes, and a virtio console what buffers its driver gives.
 *
 * Nothing is lost before TYPED_BYTES wait. The first CPU's work, all of it.
 */
#ifndef CORE_TYPED_H
#define CORE_TYPED_H

#include "arch/x86/vmx/vm.h"
#include "lib/types.h"

#define TYPED_BYTES 4096

/* More bytes for the guest; what does not fit any more is lost. */
void typed_add(const struct vm *vm, const u8 *bytes, size_t count);

/* Offers a guest what waits for it, at the console where it listens. */
void typed_offer(struct vm *vm, enum platform_console console);

/* When to offer again, host TSC; UINT64_MAX while nothing waits. */
u64 typed_next_tsc(void);

#endif
