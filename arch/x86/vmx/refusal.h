/* SPDX-License-Identifier: MIT */
/*
 * Why a machine cannot run guests, in words that say what to do. Pure: what the
 * CPU and its firmware say comes in as numbers.
 */
#ifndef ARCH_X86_VMX_REFUSAL_H
#define ARCH_X86_VMX_REFUSAL_H

#include "lib/types.h"

enum vmx_presence { VMX_ABSENT, VMX_PRESENT };

/*
 * Whether VMX can be switched on; NULL if it can. `feature_control` is
 * IA32_FEATURE_CONTROL, which exists only where VMX is present.
 */
const char *refusal_of_vmx(enum vmx_presence presence, u64 feature_control);

/*
 * Whether EPT is what Umbra needs; NULL if it is. `secondary` are the secondary
 * controls that may be 1, `ept_vpid` is IA32_VMX_EPT_VPID_CAP.
 */
const char *refusal_of_ept(u32 secondary, u64 ept_vpid);

#endif
