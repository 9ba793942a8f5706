/* SPDX-License-Identifier: MIT */
/*
 * The VMX that Umbra offers to a guest hypervisor (L1): the values of its
 * capability MSRs, and IA32_FEATURE_CONTROL.
 * SDM vol. 3, "VMX Capability Reporting Facility".
 *
 * The offer is chosen once per VM and does not change while it lives. It is
 * made of
 *
 *	what Umbra's nested code carries out	the table in capability.c
 *	and what the CPU has			nested_hardware
 *
 * except for what Umbra does in software whatever the CPU: VMCS shadowing, PML,
 * VMWRITE to read-only fields, CR3-target values. Bits that must be 1 are those
 * of the manual's default1 class, less the ones that any CPU with the TRUE MSRs
 * lets be 0; so a peer's offer differs only in what may be 1.
 *
 * A caller that knows of a defect of its CPU or emulator clears the bit in
 * nested_hardware: what is not there is not offered.
 *
 * Everything that L1 chooses is judged by this value and by nothing else, so
 * what a restored VM may use is what its record says, if the CPU of the peer
 * can do it (nested_capability_fits).
 */
#ifndef NESTED_CAPABILITY_H
#define NESTED_CAPABILITY_H

#include "lib/err.h"
#include "lib/vmx.h"

/* Bits 30:0 of a VMCS region's first word: "U", "L1", version of the layout. */
#define NESTED_REVISION  0x554c3101u

#define NESTED_MSR_FIRST 0x480u
#define NESTED_MSR_COUNT 18u /* IA32_VMX_BASIC to IA32_VMX_VMFUNC */

/* What the CPU says; controls from the TRUE MSRs where it has them. */
struct nested_hardware {
	u64 basic, misc, ept_vpid, vmfunc;
	struct control_capability words[CONTROLS_COUNT];
	/*
	 * CR4 bits that the guest may use at all: its CPUID and the CPU's
	 * IA32_VMX_CR4_FIXED1. VMXE is added here.
	 */
	u64 cr4_allowed;
};

/* What L1 is told, and held to. */
struct nested_capability {
	u64 basic, misc, ept_vpid, vmfunc;
	u64 cr0_fixed0, cr0_fixed1;
	u64 cr4_fixed0, cr4_fixed1;
	struct control_capability words[CONTROLS_COUNT]; /* the TRUE MSRs */
};

/*
 * ERR_UNSUPPORTED: the CPU lacks what L1 hypervisors take for granted
 * (secondary controls, MSR bitmaps, a 64-bit host), or what Umbra needs to run an
 * L2 (a preemption timer, INVEPT of all contexts); offer no VMX.
 */
MUST_CHECK enum err
nested_capability_choose(const struct nested_hardware *hardware,
			 struct nested_capability *offer);

/* RDMSR of NESTED_MSR_FIRST and up. ERR_NOT_FOUND: there is no such MSR. */
MUST_CHECK enum err nested_capability_read(const struct nested_capability *c,
					   u32 msr, u64 *value);

/*
 * May a VM that was offered `wanted` run where `here` would be offered? Writes
 * the first MSR that stands against it to *msr with ERR_UNSUPPORTED.
 */
MUST_CHECK enum err
nested_capability_fits(const struct nested_capability *wanted,
		       const struct nested_capability *here, u32 *msr);

static inline bool nested_capability_allows(const struct nested_capability *c,
					    enum control_word word, u64 bit)
{
	return (c->words[word].may_be_1 & bit) != 0;
}

/* How many CR3-target values, how many entries of an MSR list. */
u32 nested_capability_cr3_targets(const struct nested_capability *c);
u32 nested_capability_msr_limit(const struct nested_capability *c);

/*
 * IA32_FEATURE_CONTROL (SDM vol. 3, "Enabling and Entering VMX Operation"): a
 * guest starts as firmware would leave it, VMX allowed and the MSR locked. A
 * write to a locked MSR, or of bits that do not exist, is ERR_STATE: #GP(0).
 */
#define NESTED_FEATURE_CONTROL_RESET \
	(FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX)
MUST_CHECK enum err nested_feature_control_write(u64 *msr, u64 value);

#endif
