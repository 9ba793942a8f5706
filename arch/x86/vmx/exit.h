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
#include "mm/addr.h"

/* SDM vol. 3, "VMX Basic Exit Reasons". */
enum exit_reason {
	EXIT_EXCEPTION_OR_NMI = 0,
	EXIT_EXTERNAL_INTERRUPT = 1,
	EXIT_TRIPLE_FAULT = 2,
	EXIT_INIT = 3,
	EXIT_SIPI = 4,
	EXIT_INTERRUPT_WINDOW = 7,
	EXIT_NMI_WINDOW = 8,
	EXIT_TASK_SWITCH = 9,
	EXIT_CPUID = 10,
	EXIT_GETSEC = 11,
	EXIT_HLT = 12,
	EXIT_INVD = 13,
	EXIT_INVLPG = 14,
	EXIT_RDPMC = 15,
	EXIT_RDTSC = 16,
	EXIT_RSM = 17,
	EXIT_VMCALL = 18,
	EXIT_VMCLEAR = 19,
	EXIT_VMLAUNCH = 20,
	EXIT_VMPTRLD = 21,
	EXIT_VMPTRST = 22,
	EXIT_VMREAD = 23,
	EXIT_VMRESUME = 24,
	EXIT_VMWRITE = 25,
	EXIT_VMXOFF = 26,
	EXIT_VMXON = 27,
	EXIT_CONTROL_REGISTER = 28,
	EXIT_DEBUG_REGISTER = 29,
	EXIT_IO = 30,
	EXIT_RDMSR = 31,
	EXIT_WRMSR = 32,
	EXIT_ENTRY_GUEST_STATE = 33,
	EXIT_ENTRY_MSR_LOADING = 34,
	EXIT_MWAIT = 36,
	EXIT_MONITOR_TRAP = 37,
	EXIT_MONITOR = 39,
	EXIT_PAUSE = 40,
	EXIT_ENTRY_MACHINE_CHECK = 41,
	EXIT_TPR_BELOW_THRESHOLD = 43,
	EXIT_APIC_ACCESS = 44,
	EXIT_VIRTUALIZED_EOI = 45,
	EXIT_GDTR_IDTR = 46,
	EXIT_LDTR_TR = 47,
	EXIT_EPT_VIOLATION = 48,
	EXIT_EPT_MISCONFIGURATION = 49,
	EXIT_INVEPT = 50,
	EXIT_RDTSCP = 51,
	EXIT_PREEMPTION_TIMER = 52,
	EXIT_INVVPID = 53,
	EXIT_WBINVD = 54,
	EXIT_XSETBV = 55,
	EXIT_APIC_WRITE = 56,
	EXIT_RDRAND = 57,
	EXIT_INVPCID = 58,
	EXIT_VMFUNC = 59,
	EXIT_ENCLS = 60,
	EXIT_RDSEED = 61,
	EXIT_PML_FULL = 62,
	EXIT_XSAVES = 63,
	EXIT_XRSTORS = 64,
	EXIT_REASON_COUNT,
};

_Static_assert(EXIT_REASON_COUNT <= EXIT_REASONS_MAX, "room to count each");

#define EXIT_REASON_BASIC        BITS(15, 0)
#define EXIT_REASON_ENTRY_FAILED BIT(31)

/* SDM vol. 3, "Information for VM Exits Due to Vectored Events". */
#define EVENT_VECTOR             BITS(7, 0)
#define EVENT_TYPE               BITS(10, 8)
#define EVENT_HAS_ERROR_CODE     BIT(11)
#define EVENT_NMI_UNBLOCKING     BIT(12)
#define EVENT_VALID              BIT(31)

enum event_type {
	EVENT_EXTERNAL_INTERRUPT = 0,
	EVENT_NMI = 2,
	EVENT_HARDWARE_EXCEPTION = 3,
	EVENT_SOFTWARE_INTERRUPT = 4,
	EVENT_PRIVILEGED_SOFTWARE_EXCEPTION = 5,
	EVENT_SOFTWARE_EXCEPTION = 6,
};

static inline enum event_type event_type(u32 info)
{
	return (enum event_type)bits_get(info, EVENT_TYPE);
}

/* Guest interruptibility state. */
#define BLOCKING_BY_STI    BIT(0)
#define BLOCKING_BY_MOV_SS BIT(1)
#define BLOCKING_BY_NMI    BIT(3)

struct vmx_exit {
	u32 reason;             /* with its flags */
	u32 instruction_length; /* where the exit is due to an instruction */
	u64 qualification;
	u32 interruption; /* exceptions, NMIs and interrupts */
	u32 error_code;
	u32 idt_vectoring; /* the event whose delivery was cut short, or 0 */
	gpa_t physical;    /* EPT violations and misconfigurations */
	gva_t linear;      /* EPT violations, if the qualification says so */
};

enum exit_action {
	ACTION_RESUME, /* the guest goes on where it is */
	ACTION_SKIP,   /* the instruction has been carried out */
	ACTION_STOP,   /* this vCPU does not go on; its VM has been ended */
	ACTION_IDLE,   /* skip the instruction; vcpu->activity has changed */
};

typedef enum exit_action exit_handler(struct vcpu *vcpu,
				      const struct vmx_exit *exit);

/* Reads the exit that has just happened and handles it. */
enum exit_action exit_handle(struct vcpu *vcpu);

/* "EPT violation" and so on, never NULL. */
const char *exit_reason_text(u32 reason);

/* The handlers, by file. */
exit_handler on_cpuid, on_xsetbv;                          /* exit_cpuid.c */
exit_handler on_io;                                        /* exit_io.c */
exit_handler on_rdmsr, on_wrmsr;                           /* exit_msr.c */
exit_handler on_control_register;                          /* exit_cr.c */
exit_handler on_ept_violation, on_ept_misconfiguration;    /* exit_ept.c */
exit_handler on_exception_or_nmi, on_external_interrupt;   /* exit_event.c */
exit_handler on_interrupt_window, on_nmi_window;           /* exit_event.c */
exit_handler on_triple_fault, on_hlt, on_preemption_timer; /* exit_misc.c */
exit_handler on_invd, on_undefined, on_task_switch;        /* exit_misc.c */
exit_handler on_entry_failure, on_vmcall, on_rdpmc;        /* exit_misc.c */

#endif
