/* SPDX-License-Identifier: MIT */
/* Accesses that EPT does not allow: dirty logging, devices, and mistakes. */
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/exit_emulate.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vmx_insn.h"

/* SDM vol. 3, "Exit Qualification for EPT Violations". */
#define EPT_WRITE          BIT(1)
#define EPT_FETCH          BIT(2)
#define EPT_LINEAR_VALID   BIT(7)
#define EPT_TRANSLATED     BIT(8) /* not an access to a paging structure */
#define EPT_NMI_UNBLOCKING BIT(12)

/*
 * What cannot be emulated as an instruction's access to a device: the guest
 * has its code, its page tables, or what an exception needs (descriptors, a
 * stack) where it has no memory.
 */
static const char *lost_reason(const struct vmx_exit *exit)
{
	if (exit->qualification & EPT_FETCH)
		return "it runs code";
	if (!(exit->qualification & EPT_LINEAR_VALID) ||
	    !(exit->qualification & EPT_TRANSLATED))
		return "its page tables are";
	if (exit->idt_vectoring & EVENT_VALID)
		return "an exception or interrupt needs its stack or tables";
	return NULL;
}

static bool is_memory(const struct vm *vm, gpa_t address)
{
	return guest_mem_ptr(&vm->memory, address, 1) != NULL;
}

/* A write to one of L1's tables that the shadow watches: no longer. */
static bool is_watched_write(struct vm *vm, const struct vmx_exit *exit)
{
	return vm->nested && (exit->qualification & EPT_WRITE) &&
	       shadow_table_written(&vm->shadow, exit->physical) ==
		   SHADOW_WAS_WATCHED &&
	       track_write_fault(&vm->track, exit->physical) ==
		   TRACK_FAULT_FIXED;
}

/* An IRET had unblocked NMIs before it faulted: they are blocked again. */
static void undo_nmi_unblocking(const struct vmx_exit *exit)
{
	if ((exit->qualification & EPT_NMI_UNBLOCKING) &&
	    !(exit->idt_vectoring & EVENT_VALID))
		vcpu_events_block_nmi();
}

static ALWAYS_INLINE bool is_tracked_write(struct vcpu *vcpu,
					   const struct vmx_exit *exit)
{
	return (exit->qualification & EPT_WRITE) &&
	       track_write_fault(&vcpu->vm->track, exit->physical) ==
		   TRACK_FAULT_FIXED;
}

enum exit_action exit_ept_device(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	const char *lost = lost_reason(exit);

	if (!lost)
		return exit_emulate(vcpu);
	vcpu_fail(vcpu, "%s at %#lx, where it has no %s", lost,
		  gpa_raw(exit->physical),
		  is_memory(vcpu->vm, exit->physical) ? "right to" : "memory");
	return ACTION_STOP;
}

static NOINLINE enum exit_action on_other_violation(struct vcpu *vcpu,
						    const struct vmx_exit *exit)
{
	undo_nmi_unblocking(exit);
	nested_vcpu_leave_guest(vcpu);
	if (is_tracked_write(vcpu, exit) || is_watched_write(vcpu->vm, exit))
		return ACTION_RESUME;
	vcpu->untracked_violations++;
	return exit_ept_device(vcpu, exit);
}

/*
 * Nearly always a first write to a page while writes are tracked by write
 * protection: that way is short, and needs no frame.
 */
enum exit_action on_ept_violation(struct vcpu *vcpu,
				  const struct vmx_exit *exit)
{
	if (likely(!(exit->qualification & EPT_NMI_UNBLOCKING)) &&
	    is_tracked_write(vcpu, exit))
		return ACTION_RESUME;
	return on_other_violation(vcpu, exit);
}

enum exit_action on_ept_misconfiguration(struct vcpu *vcpu,
					 const struct vmx_exit *exit)
{
	vcpu_fail(vcpu, "EPT misconfiguration at %#lx: a mistake in Umbra",
		  gpa_raw(exit->physical));
	return ACTION_STOP;
}
