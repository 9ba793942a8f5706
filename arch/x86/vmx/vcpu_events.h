/* SPDX-License-Identifier: MIT */
/*
 * What reaches a vCPU from outside, and how it goes in: timers, INIT, start-up
 * IPIs, NMIs, interrupts, and events whose delivery an exit cut short.
 */
#ifndef ARCH_X86_VMX_VCPU_EVENTS_H
#define ARCH_X86_VMX_VCPU_EVENTS_H

#include "arch/x86/vmx/vcpu.h"
#include "lib/types.h"

enum vcpu_look {
	VCPU_LOOK_ENTER, /* go into the guest */
	VCPU_LOOK_STOP,  /* do not, for the reason in *stop */
};

/*
 * Looks at everything that may have changed for this vCPU, prepares the next
 * entry, and clears `attention`.
 */
enum vcpu_look vcpu_events_look(struct vcpu *vcpu, u64 until_tsc,
				enum vcpu_stop *stop);

/* After an access to the platform: has it changed anything for this vCPU? */
static inline void vcpu_events_check(struct vcpu *vcpu)
{
	const struct platform *platform = &vcpu->vm->platform;

	if (platform_interrupt_possible(platform, vcpu->index) ||
	    platform_next_event_ns(platform, vcpu->index) !=
		vcpu->next_event_ns)
		vcpu->attention = 1;
}

/*
 * The exit that has just happened interrupted the delivery of an event, as
 * the IDT-vectoring information says: it is delivered again with the next
 * entry (SDM vol. 3, "Information for VM Exits That Occur During Event
 * Delivery").
 */
void vcpu_events_redeliver(struct vcpu *vcpu, u32 idt_vectoring);

/*
 * An instruction has been carried out for the guest behind which a debug trap
 * waits: `step` is the BS bit of DR6 if it was being single-stepped, or 0; data
 * breakpoints that the shadow of MOV SS has held back come with it.
 */
void vcpu_events_debug_trap(struct vcpu *vcpu, u64 step);

/* The NMI that an IRET has unblocked is blocked again: the IRET faulted. */
void vcpu_events_block_nmi(void);

/* What an exception has taken the place of: an interrupt, or an NMI. */
void vcpu_events_postpone(struct vcpu *vcpu, u32 info);

/* A debug exception, and what it leaves in DR6; or only the latter. */
void vcpu_events_raise_debug(struct vcpu *vcpu, u64 what);
void vcpu_events_set_dr6(u64 what);

/* By the guest's interruptibility, and RFLAGS.IF. */
bool vcpu_events_can_take_nmi(u64 blocking);
bool vcpu_events_can_take_interrupt(u64 blocking);

#endif
