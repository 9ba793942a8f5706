/* SPDX-License-Identifier: MIT */
/*
 * Which vCPU runs on which CPU, and when.
 *
 *	           vcpu_run: idle                vcpu_kick, timer
 *	RUNNING ---------------------> BLOCKED ----------------> READY
 *	   |  ^                                                    |
 *	   |  +----------------------- picked ---------------------+
 *	   +--> READY (its time is over)     RUNNING --> GONE (VM ended)
 *
 * Every CPU runs sched_run() for ever: it takes the ready vCPU that has had
 * the least time, runs it for a slice, or idles. A vCPU's VMCS stays loaded
 * on the CPU that ran it last until that CPU runs another one; while it is
 * loaded only that CPU may pick it, so no CPU ever has to reach into another.
 *
 * One lock protects the queue. It may be taken inside a device's lock (a
 * device kicks a vCPU), and nothing else is taken inside it.
 */
#ifndef CORE_SCHED_H
#define CORE_SCHED_H

#include "lib/types.h"

struct vcpu;
struct vm;

/* Before any other function of this file, on the first CPU. */
void sched_init(void);

/* Hands over a vCPU that is not loaded anywhere. */
void sched_add(struct vcpu *vcpu);

/*
 * The VM is paused. Brings all of its vCPUs out of the CPUs on which they are
 * still loaded, so that anybody may load one. First CPU, not from a handler.
 */
void sched_unload(const struct vm *vm);

/* Takes them out of the schedule for good; they are loaded nowhere. */
void sched_remove(const struct vm *vm);

/*
 * The loop of the calling CPU, which switches VMX on there first if guests can
 * run on this machine.
 */
NORETURN void sched_run(void);

/* The same for the first CPU, which has more to do in its loop than guests. */
void sched_poke_first_cpu(void);

/* Makes the calling CPU leave its guest and go round its loop. */
void sched_poke_this_cpu(void);

/* What the calling CPU runs; guest is NULL if nothing. Also in an NMI. */
struct sched_place {
	const char *guest; /* its name, as long as it is there */
	u32 vcpu;
};
struct sched_place sched_place(void);

#endif
