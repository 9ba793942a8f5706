/* SPDX-License-Identifier: MIT */
/* What vmcs01 needs, and how the CPU answers. */
#include "arch/x86/vmx/controls.h"

/*
 * Bits that nobody names here are what the CPU insists on (the default1
 * class), else 0.
 *
 * CR3 and INVLPG exits belong to CPUs without EPT; that the TRUE capability
 * MSRs let us switch them off is required.
 */
const struct control_wish control_wishes[] = {
    {CONTROLS_PIN, CONTROL_REQUIRED, PIN_EXTERNAL_INTERRUPT,
     "external-interrupt exiting"},
    {CONTROLS_PIN, CONTROL_REQUIRED, PIN_NMI, "NMI exiting"},
    {CONTROLS_PIN, CONTROL_REQUIRED, PIN_VIRTUAL_NMIS, "virtual NMIs"},
    {CONTROLS_PIN, CONTROL_WANTED, PIN_PREEMPTION_TIMER, "preemption timer"},

    {CONTROLS_PRIMARY, CONTROL_REQUIRED, PRIMARY_HLT, "HLT exiting"},
    {CONTROLS_PRIMARY, CONTROL_REQUIRED, PRIMARY_TSC_OFFSETTING,
     "TSC offsetting"},
    {CONTROLS_PRIMARY, CONTROL_REQUIRED, PRIMARY_MWAIT, "MWAIT exiting"},
    {CONTROLS_PRIMARY, CONTROL_REQUIRED, PRIMARY_MONITOR, "MONITOR exiting"},
    {CONTROLS_PRIMARY, CONTROL_REQUIRED, PRIMARY_RDPMC, "RDPMC exiting"},
    {CONTROLS_PRIMARY, CONTROL_REQUIRED, PRIMARY_ALL_IO,
     "unconditional I/O exiting"},
    {CONTROLS_PRIMARY, CONTROL_REQUIRED, PRIMARY_MSR_BITMAPS, "MSR bitmaps"},
    {CONTROLS_PRIMARY, CONTROL_REQUIRED, PRIMARY_CR8_LOAD, "CR8-load exiting"},
    {CONTROLS_PRIMARY, CONTROL_REQUIRED, PRIMARY_CR8_STORE,
     "CR8-store exiting"},
    {CONTROLS_PRIMARY, CONTROL_REQUIRED, PRIMARY_SECONDARY,
     "secondary controls"},
    {CONTROLS_PRIMARY, CONTROL_FORBIDDEN, PRIMARY_CR3_LOAD, "CR3-load exiting"},
    {CONTROLS_PRIMARY, CONTROL_FORBIDDEN, PRIMARY_CR3_STORE,
     "CR3-store exiting"},
    {CONTROLS_PRIMARY, CONTROL_FORBIDDEN, PRIMARY_INVLPG, "INVLPG exiting"},

    {CONTROLS_SECONDARY, CONTROL_REQUIRED, SECONDARY_EPT, "EPT"},
    {CONTROLS_SECONDARY, CONTROL_REQUIRED, SECONDARY_UNRESTRICTED_GUEST,
     "unrestricted guest"},
    {CONTROLS_SECONDARY, CONTROL_REQUIRED, SECONDARY_WBINVD, "WBINVD exiting"},
    {CONTROLS_SECONDARY, CONTROL_WANTED, SECONDARY_VPID, "VPID"},
    {CONTROLS_SECONDARY, CONTROL_WANTED, SECONDARY_PAUSE_LOOP,
     "PAUSE-loop exiting"},
    {CONTROLS_SECONDARY, CONTROL_WANTED, SECONDARY_RDTSCP, "RDTSCP"},
    {CONTROLS_SECONDARY, CONTROL_WANTED, SECONDARY_INVPCID, "INVPCID"},

    {CONTROLS_EXIT, CONTROL_REQUIRED, EXIT_HOST_ADDRESS_SPACE_SIZE,
     "64-bit host"},
    {CONTROLS_EXIT, CONTROL_REQUIRED, EXIT_ACKNOWLEDGE_INTERRUPT,
     "acknowledge interrupt on exit"},
    {CONTROLS_EXIT, CONTROL_REQUIRED, EXIT_SAVE_DEBUG_CONTROLS,
     "save debug controls"},
    {CONTROLS_EXIT, CONTROL_REQUIRED, EXIT_SAVE_EFER, "save EFER"},
    {CONTROLS_EXIT, CONTROL_REQUIRED, EXIT_LOAD_EFER, "load host EFER"},
    {CONTROLS_EXIT, CONTROL_REQUIRED, EXIT_SAVE_PAT, "save PAT"},
    {CONTROLS_EXIT, CONTROL_REQUIRED, EXIT_LOAD_PAT, "load host PAT"},

    {CONTROLS_ENTRY, CONTROL_REQUIRED, ENTRY_LOAD_DEBUG_CONTROLS,
     "load debug controls"},
    {CONTROLS_ENTRY, CONTROL_REQUIRED, ENTRY_LOAD_EFER, "load EFER"},
    {CONTROLS_ENTRY, CONTROL_REQUIRED, ENTRY_LOAD_PAT, "load PAT"},
};
const u32 control_wish_count = ARRAY_COUNT(control_wishes);

static bool can_be_met(const struct control_wish *wish,
		       const struct control_capability *capability)
{
	if (wish->need == CONTROL_FORBIDDEN)
		return !(capability->must_be_1 & wish->bit);
	return wish->need == CONTROL_WANTED ||
	       (capability->may_be_1 & wish->bit);
}

enum err
controls_choose(const struct control_capability capabilities[CONTROLS_COUNT],
		struct controls *controls, const struct control_wish **unmet)
{
	struct controls chosen;

	for (u32 word = 0; word < CONTROLS_COUNT; word++)
		chosen.words[word] = capabilities[word].must_be_1;
	for (u32 i = 0; i < control_wish_count; i++) {
		const struct control_wish *wish = &control_wishes[i];
		const struct control_capability *capability =
		    &capabilities[wish->word];

		if (!can_be_met(wish, capability)) {
			*unmet = wish;
			return ERR_UNSUPPORTED;
		}
		if (wish->need != CONTROL_FORBIDDEN)
			chosen.words[wish->word] |=
			    (u32)wish->bit & capability->may_be_1;
	}
	*controls = chosen;
	return OK;
}
