/* SPDX-License-Identifier: MIT */
/*
 * Is VMX as the manual says? Parts of the suite in guests/vmx/, by name on the
 * command line; all of them without one.
 *
 *	instructions	faults, failures and their numbers
 *	entry		what a VM entry checks
 *	exits		exits of instructions, all that they say
 *	ept		EPT: rights, misconfigurations, A/D bits, PML, switching
 *	events		injection, exceptions, interrupts, windows, timer
 *	state		what entry and exit load and save; MSR areas
 *	step		the monitor trap flag
 *	posted		posted interrupts
 *	order		which of two exits comes first; what wakes a sleeping L2
 *	vapic		the APIC that L2 sees
 *	init		INIT and start-up IPIs, on two CPUs
 *
 *	bochs		what only the CPU can tell may be wrong as in Bochs 2.7
 *	early		no start-up IPI is lost behind an INIT exit, as by Umbra
 *	verbose		names each case before it begins
 */
#include "guests/vmx/suite.h"

static const struct {
	const char *name;
	void (*run)(void);
} parts[] = {
    {"instructions", suite_instructions},
    {"entry", suite_entry},
    {"exits", suite_exits},
    {"ept", suite_ept},
    {"events", suite_events},
    {"state", suite_state},
    {"step", suite_step},
    {"posted", suite_posted},
    {"order", suite_order},
    {"vapic", suite_apic},
    {"init", suite_init},
};

u8 guest_main(void)
{
	bool chosen = false;

	if (!vmx_is_there() || vmx_on() != VMX_OK) {
		check(false, "vmx_on", "this CPU has no VMX to use");
		return result_print();
	}
	for (u32 i = 0; i < ARRAY_COUNT(parts); i++)
		chosen = chosen || boot_has_word(parts[i].name);
	for (u32 i = 0; i < ARRAY_COUNT(parts); i++)
		if (!chosen || boot_has_word(parts[i].name))
			parts[i].run();
	return result_print();
}
