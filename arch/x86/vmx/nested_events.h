/* SPDX-License-Identifier: MIT */
/*
 * Events while L2 runs or sleeps: which of them end it, and which go in.
 * SDM vol. 3, "Prioritization of Concurrent Events", "Other Causes of VM
 * Exits".
 */
#ifndef ARCH_X86_VMX_NESTED_EVENTS_H
#define ARCH_X86_VMX_NESTED_EVENTS_H

#include "arch/x86/vmx/vcpu.h"

/*
 * Before an entry of L2. May leave it: vcpu->in_l2 tells. If not, does as
 * choose_event of vcpu_events.c does for other guests: returns whether
 * something goes in.
 */
bool nested_events_choose(struct vcpu *vcpu);

/* INIT and start-up IPIs of a vCPU in VMX operation. */
void nested_events_init_and_sipi(struct vcpu *vcpu);

/* VMXOFF: an INIT that is pending is no longer blocked; a SIPI is lost. */
void nested_events_end(struct vcpu *vcpu);

/* Umbra raises an exception in L2: it goes in, or to L1. */
void nested_events_raise(struct vcpu *vcpu, const struct vcpu_event *exception,
			 u64 qualification);

/* Does L1 step L2, by the monitor trap flag? */
bool nested_events_are_stepped(const struct vcpu *vcpu);

/*
 * An instruction of L2, or an iteration of one, has been carried out by Umbra:
 * if L1 steps it, it exits before anything else happens. Pending, that exit is
 * an event to be injected, as L1 itself can inject it: so a record needs no
 * word of its own for it. SDM vol. 3, "Monitor Trap Flag".
 */
void nested_events_step(struct vcpu *vcpu);

/*
 * L2 runs or sleeps, and is to exit to L1 before its next instruction, or as
 * soon as what is being delivered has been: as of host TSC `now`. Loaded or not.
 */
bool nested_events_exit_waits(const struct vcpu *vcpu, u64 now);

/*
 * The CPU has refused to enter L2. True: because the virtual TPR has fallen
 * below L1's threshold where L2 or another vCPU has written it in memory, which
 * a CPU need not notice before the next entry of L1's (SDM vol. 3, "Software
 * Access to Related Structures"). Then L2 has exited, as by that TPR.
 */
bool nested_events_take_refusal(struct vcpu *vcpu);

/* There is nothing to be looked at. */
bool nested_events_none(const struct vcpu *vcpu);

#endif
