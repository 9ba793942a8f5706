/* SPDX-License-Identifier: MIT */
/*
 * VMX operation on the calling CPU: switching it on, flushing what EPT and
 * VPID have cached.
 */
#ifndef ARCH_X86_VMX_VMX_CPU_H
#define ARCH_X86_VMX_VMX_CPU_H

#include "lib/err.h"
#include "mm/addr.h"

/*
 * Enters VMX operation. ERR_UNSUPPORTED, after one line in the log: this CPU
 * differs from the first, or its firmware refuses. Needs
 * vmx_capability.usable.
 */
MUST_CHECK enum err vmx_cpu_enable(void);

/* Whether the calling CPU is in VMX operation. */
bool vmx_cpu_is_enabled(void);

/*
 * Writes the revision identifier that VMXON and VMPTRLD look for into a
 * zeroed frame.
 */
void vmx_write_revision(hpa_t region);

/* Drops what the calling CPU has cached of this EPT, or of this VPID. */
void vmx_flush_ept(u64 eptp);
void vmx_flush_vpid(u16 vpid);

/* Of all EPTs. */
void vmx_flush_all_ept(void);

#endif
