/* SPDX-License-Identifier: MIT */
/*
 * Which of the CPU's ways to virtualize an APIC a guest runs with (SDM vol. 3,
 * "APIC Virtualization and Virtual Interrupts").
 *
 *	TPR shadow            CR8 and TPR without exits
 *	  APIC accesses       xAPIC: the page at 0xfee00000 is the guest's
 *	  x2APIC mode         x2APIC: the same for MSRs
 *	  delivery            IRR, ISR, EOI and self-IPIs without exits, and
 *	                      registers can be read (two controls, used
 *	                      together)
 *	    posted            vectors from other CPUs without exits
 *
 * What stands further in needs what stands around it. A guest hypervisor's
 * guest has none of it but what L1 gives it (nested/merge.h).
 *
 * Pure: capabilities and the APIC's base come in as numbers.
 */
#ifndef ARCH_X86_VMX_APICV_H
#define ARCH_X86_VMX_APICV_H

#include "lib/types.h"
#include "lib/vmx.h"

struct apicv {
	bool tpr_shadow;
	bool accesses;
	bool x2apic;
	bool delivery;
	bool posted;
};

enum apicv_choice {
	APICV_ALL,         /* what the CPU has */
	APICV_NO_DELIVERY, /* the same, but Umbra delivers */
	APICV_OFF,         /* all of it emulated */
};

struct apicv
apicv_choose(const struct control_capability capabilities[CONTROLS_COUNT],
	     enum apicv_choice choice);

/* How the guest reaches its APIC, by IA32_APIC_BASE. */
enum apicv_mode {
	APICV_ELSEWHERE, /* it is off, or at another address */
	APICV_XAPIC,
	APICV_X2APIC,
};

enum apicv_mode apicv_mode(u64 apic_base);

/* The control words of vmcs01, made of those without any of it. */
u32 apicv_pin(const struct apicv *apicv, u32 plain);
u32 apicv_primary(const struct apicv *apicv, u32 plain);
u32 apicv_secondary(const struct apicv *apicv, enum apicv_mode mode, u32 plain);

/* Lets pass, or exit, what of the x2APIC's MSRs the CPU does by itself. */
void apicv_set_msr_bitmap(const struct apicv *apicv, enum apicv_mode mode,
			  u8 *bitmap);

/* Why an APIC-access VM exit happened, by its qualification. */
enum apicv_access {
	APICV_ACCESS_DATA,     /* an instruction reads or writes */
	APICV_ACCESS_FETCH,    /* it runs code there */
	APICV_ACCESS_DELIVERY, /* an event needs its tables or stack there */
	APICV_ACCESS_PHYSICAL, /* paging structures, or others like them */
};

enum apicv_access apicv_access(u64 qualification);

#endif
