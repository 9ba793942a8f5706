/* SPDX-License-Identifier: MIT */
/* Capabilities and VMX operation: see vmx.h. */
#include "guests/lib/vmx.h"
#include "guests/lib/layout.h"
#include "guests/lib/pages.h"
#include "guests/lib/trap.h"
#include "lib/bits.h"
#include "lib/x86.h"

#define CPUID_1_ECX_VMX BIT(5)

static u64 vmxon_regions[CPUS_MAX];

bool vmx_is_there(void)
{
	u64 control;

	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_VMX) ||
	    rdmsr_try(MSR_FEATURE_CONTROL, &control) != NO_FAULT)
		return false;
	return !(control & FEATURE_CONTROL_LOCK) ||
	       control & FEATURE_CONTROL_VMX_OUTSIDE_SMX;
}

u64 vmx_basic(void)
{
	return rdmsr(MSR_VMX_BASIC);
}

struct control_capability vmx_capability(enum control_word word)
{
	static const u32 msrs[2][CONTROLS_COUNT] = {
	    {MSR_VMX_PIN, MSR_VMX_PRIMARY, MSR_VMX_SECONDARY, MSR_VMX_EXIT,
	     MSR_VMX_ENTRY},
	    {MSR_VMX_TRUE_PIN, MSR_VMX_TRUE_PRIMARY, MSR_VMX_SECONDARY,
	     MSR_VMX_TRUE_EXIT, MSR_VMX_TRUE_ENTRY},
	};

	if (word == CONTROLS_SECONDARY &&
	    !vmx_allows(CONTROLS_PRIMARY, PRIMARY_SECONDARY))
		return (struct control_capability){0, 0};
	return control_capability(
	    rdmsr(msrs[!!(vmx_basic() & BASIC_TRUE_CONTROLS)][word]));
}

bool vmx_allows(enum control_word word, u64 bits)
{
	return (vmx_capability(word).may_be_1 & bits) == bits;
}

u32 vmx_adjust(enum control_word word, u64 wanted)
{
	struct control_capability c = vmx_capability(word);

	return ((u32)wanted & c.may_be_1) | c.must_be_1;
}

u64 vmx_ept_capability(void)
{
	if (!vmx_allows(CONTROLS_SECONDARY, SECONDARY_EPT) &&
	    !vmx_allows(CONTROLS_SECONDARY, SECONDARY_VPID))
		return 0;
	return rdmsr(MSR_VMX_EPT_VPID_CAP);
}

u64 vmx_region(void)
{
	u64 region = pages_take(1);

	*(u32 *)region = (u32)(vmx_basic() & BASIC_REVISION);
	return region;
}

enum vmx_did vmx_on(void)
{
	u64 *region = &vmxon_regions[cpu_index()];
	u64 control = rdmsr(MSR_FEATURE_CONTROL);

	if (!(control & FEATURE_CONTROL_LOCK))
		wrmsr(MSR_FEATURE_CONTROL, control | FEATURE_CONTROL_LOCK |
					       FEATURE_CONTROL_VMX_OUTSIDE_SMX);
	if (!*region)
		*region = vmx_region();
	write_cr0((read_cr0() | rdmsr(MSR_VMX_CR0_FIXED0)) &
		  rdmsr(MSR_VMX_CR0_FIXED1));
	write_cr4((read_cr4() | CR4_VMXE | rdmsr(MSR_VMX_CR4_FIXED0)) &
		  rdmsr(MSR_VMX_CR4_FIXED1));
	return (enum vmx_did)vmxon(*region);
}

void vmx_off(void)
{
	vmxoff();
	write_cr4(read_cr4() & ~CR4_VMXE);
}
