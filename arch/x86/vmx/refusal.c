/* SPDX-License-Identifier: MIT */
/* The reasons for which Umbra runs no guest. */
#include "arch/x86/vmx/refusal.h"
#include "arch/x86/vmx/controls.h"
#include "lib/x86.h"

const char *refusal_of_vmx(enum vmx_presence presence, u64 feature_control)
{
	if (presence == VMX_ABSENT)
		return "this CPU has no VMX. Use an Intel CPU with VT-x, QEMU "
		       "with -accel kvm -cpu host,+vmx on one, or Bochs";
	if ((feature_control & FEATURE_CONTROL_LOCK) &&
	    !(feature_control & FEATURE_CONTROL_VMX_OUTSIDE_SMX))
		return "the firmware has disabled VMX and locked it. Enable "
		       "\"Virtualization Technology\" in the firmware setup "
		       "and switch the machine off and on";
	return NULL;
}

const char *refusal_of_ept(u32 secondary, u64 ept_vpid)
{
	if (!(secondary & SECONDARY_EPT))
		return "this CPU has VMX but no EPT. Umbra needs a CPU of 2010 "
		       "or later";
	if (!(ept_vpid & EPT_CAP_4_LEVELS) || !(ept_vpid & EPT_CAP_INVEPT) ||
	    !(ept_vpid & (EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL)))
		return "this CPU's EPT has no 4-level tables or no INVEPT. "
		       "Umbra needs both";
	return NULL;
}
