/* SPDX-License-Identifier: MIT */
/* The VMs of this machine: made from boot modules, watched, ended. */
#ifndef CORE_GUESTS_H
#define CORE_GUESTS_H

#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/mitigation.h"
#include "lib/log.h"
#include "lib/types.h"
#include "loader/boot_info.h"

struct vcpu;
struct vm;

/* Reads and reports what VMX can do, and what guests must be kept from. First
 * CPU, once. */
void guests_init_vmx(enum mitigation_mode mitigations, enum apicv_choice apicv,
		     enum mtf_choice mtf);

/*
 * Makes and starts all guests that the boot modules ask for. A guest that
 * cannot be made costs one line and counts as failed; the others run.
 */
void guests_start(const struct boot_info *boot);

/* Can a peer send one more? */
bool guests_have_room(void);

/* A VM that has come from a peer, complete: it runs from now on. */
void guests_adopt(struct vm *vm);

/* The VM is stopped, unloaded, and runs at a peer: nothing of it stays. */
void guests_moved(struct vm *vm);

/* For the monitor: lets a guest run that was loaded with start=no. */
void guests_run(u32 index);

/* The scheduler has let go of a vCPU whose VM has ended. Any CPU. */
void guests_vcpu_gone(struct vcpu *vcpu);

/*
 * Says the end of VMs whose vCPUs are all gone, and leaves the machine after
 * the last one if the command line says so. The first CPU's loop.
 */
void guests_reap(void);

/* What guests could not take when it was typed: tries again. */
void guests_offer_input(void);

/* When guests_reap() has something to do that waits; host TSC. */
u64 guests_next_tsc(void);

/* Bytes typed for the console of guest `index`; dropped if there is none. */
void guests_console_input(u32 index, const u8 *bytes, size_t count);

/* How often the guest has exited, and why. */
void guests_log_exits(const struct vm *vm, enum log_level level);

/* For the monitor: guest `index`, or NULL. */
struct vm *guests_find(u32 index);

/* For a panic: what the guests have printed, and no console has yet. No locks. */
void guests_print_in_panic(void);

#endif
