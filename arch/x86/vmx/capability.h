/* SPDX-License-Identifier: MIT */
/*
 * What VMX can do on this machine, read once from the capability MSRs.
 * SDM vol. 3, "VMX Capability Reporting Facility".
 *
 * All CPUs are taken to be equal, as the manual demands of a system; each CPU
 * is checked against the first when it switches VMX on.
 */
#ifndef ARCH_X86_VMX_CAPABILITY_H
#define ARCH_X86_VMX_CAPABILITY_H

#include "arch/x86/ept/ept_entry.h"
#include "arch/x86/vmx/apicv.h"
#include "arch/x86/vmx/controls.h"
#include "arch/x86/vmx/guest_cpuid.h"
#include "lib/err.h"
#include "nested/capability.h"

/* Whether guest hypervisors are offered the monitor trap flag. */
enum mtf_choice {
	MTF_IF_PRESENT,
	MTF_OFF,
	MTF_DEFECTIVE, /* the CPU says that it has it, and does nothing */
};

struct vmx_capability {
	bool usable; /* guests can run */
	u64 basic;   /* IA32_VMX_BASIC */
	u64 misc;    /* IA32_VMX_MISC */
	u64 ept_vpid;
	u64 vmfunc; /* IA32_VMX_VMFUNC */
	u64 cr0_fixed0, cr0_fixed1;
	u64 cr4_fixed0, cr4_fixed1;
	struct control_capability words[CONTROLS_COUNT];
	struct controls controls; /* of vmcs01, but for its APIC */
	struct apicv apicv;       /* what of it is used for guests */
	struct ept_format ept;
	u32 preemption_shift; /* its rate is the TSC's >> this */
	bool has_pml;
	bool has_vpid;
	bool has_vmcs_shadowing;
	bool has_preemption_timer;
	bool offers_monitor_trap; /* to guest hypervisors */
	bool delivery_is_wrong;   /* nobody's, Umbra's or theirs */
};

extern struct vmx_capability vmx_capability;

/*
 * Reads everything and prints one line per capability that Umbra uses or goes
 * without; if guests cannot run, one line that says why and what to do.
 */
void vmx_capability_read(enum apicv_choice apicv, enum mtf_choice mtf);

/*
 * Does the CPU that asks report what was read? Not where cores of several kinds
 * share a package. When vmx_capability_read() has been called.
 */
bool vmx_capability_is_this_cpus(void);

/* What of it a guest hypervisor that sees this CPUID may be offered. */
struct nested_hardware
vmx_capability_for_guest(const struct guest_cpuid *cpuid);

#endif
