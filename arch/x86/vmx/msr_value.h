/* SPDX-License-Identifier: MIT */
/*
 * What may be written to MSRs of the guest that hold more than flags.
 *
 * Pure: values in, verdicts out.
 */
#ifndef ARCH_X86_VMX_MSR_VALUE_H
#define ARCH_X86_VMX_MSR_VALUE_H

#include "lib/types.h"

/* IA32_PAT: eight memory types. */
bool msr_value_is_pat(u64 value);

#endif
