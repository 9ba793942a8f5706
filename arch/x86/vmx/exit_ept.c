/* SPDX-License-Identifier: MIT */
/* Accesses that EPT does not allow: dirty logging, devices, and mistakes. */
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/vmx_insn.h"

/* SDM vol. 3, "Exit Qualification for EPT Violations". */
#define EPT_READ           BIT(0)
#define EPT_WRITE          BIT(1)
#define EPT_FETCH          BIT(2)
#define EPT_NMI_UNBLOCKING BIT(12)

static const char *access_text(u64 qualification)
{
	if (qualification & EPT_WRITE)
		return "writes";
	return qualification & EPT_FETCH ? "runs code" : "reads";
}

enum exit_action on_ept_violation(struct vcpu *vcpu,
				  const struct vmx_exit *exit)
{
	/* An IRET had unblocked NMIs before it faulted: block them again. */
	if ((exit->qualification & EPT_NMI_UNBLOCKING) &&
	    !(exit->idt_vectoring & EVENT_VALID))
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
			   vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) |
			       BLOCKING_BY_NMI);
	if ((exit->qualification & EPT_WRITE) &&
	    track_write_fault(&vcpu->vm->track, exit->physical) ==
		TRACK_FAULT_FIXED)
		return ACTION_RESUME;
	vcpu_fail(vcpu,
		  "it %s at %#lx, where it has no memory and no device "
		  "that Umbra emulates",
		  access_text(exit->qualification), gpa_raw(exit->physical));
	return ACTION_STOP;
}

enum exit_action on_ept_misconfiguration(struct vcpu *vcpu,
					 const struct vmx_exit *exit)
{
	vcpu_fail(vcpu, "EPT misconfiguration at %#lx: a mistake in Umbra",
		  gpa_raw(exit->physical));
	return ACTION_STOP;
}
