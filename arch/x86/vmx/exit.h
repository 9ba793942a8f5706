/* SPDX-License-Identifier: MIT */
/*
 * A VM exit: read once into a value, dispatched once.
 *
 * Handlers say what is to happen next and do not move RIP themselves. They
 * look at the exit through this struct; other fields of the VMCS are guest
 * state, which they may read and change.
 */
#ifndef ARCH_X86_VMX_EXIT_H
#define ARCH_X86_VMX_EXIT_H

#include "arch/x86/vmx/vcpu.h"
#include "lib/vmx.h"
#include "mm/addr.h"

_Static_assert(EXIT_REASON_COUNT <= EXIT_REASONS_MAX, "room to count each");

enum exit_action {
	ACTION_RESUME, /* the guest goes on where it is */
	ACTION_SKIP,   /* the instruction has been carried out */
	ACTION_STOP,   /* this vCPU does not go on; its VM has been ended */
};

typedef enum exit_action exit_handler(struct vcpu *vcpu,
				      const struct vmx_exit *exit);

/* Reads the exit that has just happened and handles it. */
enum exit_action exit_handle(struct vcpu *vcpu);

/* An exit that is Umbra's own business, whichever guest has exited. */
enum exit_action exit_handle_ours(struct vcpu *vcpu);

/* "EPT violation" and so on, never NULL. */
const char *exit_reason_text(u32 reason);

/*
 * An access of L1's or L2's to where L1 has no memory, at vcpu->exit.physical:
 * an instruction's access to a device, or the end of the guest. exit_ept.c
 */
exit_handler exit_ept_device;

/* The handlers, by file. */
exit_handler on_cpuid, on_xsetbv;                          /* exit_cpuid.c */
exit_handler on_io;                                        /* exit_io.c */
exit_handler on_rdmsr, on_wrmsr;                           /* exit_msr.c */
exit_handler on_control_register;                          /* exit_cr.c */
exit_handler on_ept_violation, on_ept_misconfiguration;    /* exit_ept.c */
exit_handler on_exception_or_nmi, on_external_interrupt;   /* exit_event.c */
exit_handler on_entry_machine_check;                       /* exit_event.c */
exit_handler on_interrupt_window, on_nmi_window;           /* exit_event.c */
exit_handler on_triple_fault, on_hlt, on_preemption_timer; /* exit_misc.c */
exit_handler on_invd, on_undefined;                        /* exit_misc.c */
exit_handler on_task_switch;                               /* exit_task.c */
exit_handler on_vmx_instruction;                           /* exit_vmx.c */
exit_handler on_l1_vmread, on_l1_vmwrite, on_l1_invept;    /* exit_vmx_fast.c */
exit_handler on_l1_vmclear, on_l1_vmptrld, on_l1_vmresume; /* exit_vmx_fast.c */
exit_handler on_entry_failure, on_rdpmc, on_pause;         /* exit_misc.c */

#endif
