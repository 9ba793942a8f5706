/* SPDX-License-Identifier: MIT */
/*
 * An event on its way into a guest, and what becomes of it when an exception
 * is raised before it has arrived.
 *
 *	nothing			the exception
 *	an exception		one of the two, or #DF; in #DF: shutdown
 *	a software interrupt	the exception: RIP is still at the INT
 *	an interrupt, an NMI	the exception, and the other one later: no APIC
 *				would send it again
 *
 * Of two exceptions SDM vol. 3, "Conditions for Generating a Double Fault".
 * Pure.
 */
#ifndef ARCH_X86_VMX_EVENT_H
#define ARCH_X86_VMX_EVENT_H

#include "lib/types.h"
#include "lib/vmx.h"

/* SDM vol. 3, "Event Injection". */
struct vcpu_event {
	u32 info; /* as the VM-entry interruption-information field; 0: none */
	u32 error_code;
	u32 instruction_length; /* of software interrupts and exceptions */
};

enum event_outcome {
	EVENT_GOES_IN,
	EVENT_SHUTDOWN, /* a fault in the delivery of #DF: a triple fault */
	EVENT_EXITS,    /* in L2: it is L1's */
};

/*
 * Puts `exception` on top of *current, which becomes what goes in. *later is
 * the information field of what has to go in after it, or 0.
 */
enum event_outcome event_raise(struct vcpu_event *current,
			       const struct vcpu_event *exception, u32 *later);

/*
 * The same in L2, of an exception that is not L1's. EVENT_EXITS: what became of
 * both is, as a double fault, by L1's exception bitmap. Then, and after
 * EVENT_SHUTDOWN, *current is none: that exit is in no delivery (SDM vol. 3,
 * "Information for VM Exits That Occur During Event Delivery").
 */
enum event_outcome event_raise_in_l2(struct vcpu_event *current,
				     const struct vcpu_event *exception,
				     u32 bitmap, struct vcpu_event *exits,
				     u32 *later);

#endif
