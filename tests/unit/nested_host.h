/* SPDX-License-Identifier: MIT */
/* A CPU whose VMX has everything, for the tests of nested/. */
#ifndef TESTS_UNIT_NESTED_HOST_H
#define TESTS_UNIT_NESTED_HOST_H

#include "lib/x86.h"
#include "nested/capability.h"

#define FULL_CR4                                                              \
	(CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | \
	 CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP |         \
	 CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP)

UNUSED static struct nested_hardware full_hardware(void)
{
	return (struct nested_hardware){
	    .basic = 0x01d8100000000004,
	    .misc = 0x600401e5,
	    .ept_vpid = 0x00000f0106b34141,
	    .vmfunc = 1,
	    .words =
		{
		    [CONTROLS_PIN] = {0x16, 0xff},
		    [CONTROLS_PRIMARY] = {0x04006172, 0xfff9fffe},
		    [CONTROLS_SECONDARY] = {0, 0xffffffff},
		    [CONTROLS_EXIT] = {0x00036dfb, 0xffffffff},
		    [CONTROLS_ENTRY] = {0x000011fb, 0xffffffff},
		},
	    .cr4_allowed = FULL_CR4,
	};
}

UNUSED static struct nested_capability full_offer(void)
{
	struct nested_hardware hardware = full_hardware();
	struct nested_capability offer;

	if (nested_capability_choose(&hardware, &offer) != OK)
		abort();
	return offer;
}

#endif
