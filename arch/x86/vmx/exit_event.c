/* SPDX-License-Identifier: MIT */
/* Exits by exceptions, NMIs, interrupts and their windows. */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/traps.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/x86.h"

#define DR6_TRAP_BITS    (DR6_BREAKPOINTS | BITS(15, 13))
#define DR7_GD           BIT(13)
#define PENDING_DEBUG_BS BIT(14)

/*
 * A #DB exit has changed neither DR6 nor DR7 (SDM vol. 3, "Architectural
 * State Before a VM Exit"): deliver the exception as the CPU would have.
 */
static void deliver_debug_exception(struct vcpu *vcpu, u64 qualification)
{
	u64 blocking = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

	vmcs_write(VMCS_GUEST_DR7, vmcs_read(VMCS_GUEST_DR7) & ~DR7_GD);
	vcpu_events_raise_debug(vcpu, qualification & DR6_TRAP_BITS);
	/*
	 * The entry refuses TF without BS in the shadow of STI or MOV SS (SDM
	 * vol. 3, "Checks on Guest Non-Register State").
	 */
	if ((vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_TF) &&
	    (blocking & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)))
		vmcs_write(VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS);
}

/*
 * INT1 (F1) is an instruction: the exit is from before it, and the exception
 * is one that returns behind it and tells nothing in DR6.
 */
static void deliver_int1(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	vmcs_write(VMCS_GUEST_DR7, vmcs_read(VMCS_GUEST_DR7) & ~DR7_GD);
	vcpu->injection = (struct vcpu_event){
	    .info = exit->interruption & ~(u32)EVENT_NMI_UNBLOCKING,
	    .instruction_length = (u32)vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH),
	};
	vcpu->attention = 1;
}

static void on_debug_exception(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	if (event_type(exit->interruption) ==
	    EVENT_PRIVILEGED_SOFTWARE_EXCEPTION)
		deliver_int1(vcpu, exit);
	else
		deliver_debug_exception(vcpu, exit->qualification);
}

enum exit_action on_exception_or_nmi(struct vcpu *vcpu,
				     const struct vmx_exit *exit)
{
	u32 vector = (u32)bits_get(exit->interruption, EVENT_VECTOR);

	if (event_type(exit->interruption) == EVENT_NMI) {
		insn_int_nmi(); /* the machine's, not the guest's */
		vcpu->attention = 1;
		return ACTION_RESUME;
	}
	if ((exit->interruption & EVENT_NMI_UNBLOCKING) &&
	    !(exit->idt_vectoring & EVENT_VALID))
		vcpu_events_block_nmi();
	switch (vector) {
	case EXCEPTION_MC:
		insn_int_machine_check();
		return ACTION_RESUME;
	case EXCEPTION_DB:
		on_debug_exception(vcpu, exit);
		return ACTION_RESUME;
	case EXCEPTION_AC:
		vcpu_raise_with_code(vcpu, vector, exit->error_code);
		return ACTION_RESUME;
	default:
		vcpu_fail(vcpu, "%s exits, which Umbra did not ask for",
			  exception_name(vector));
		return ACTION_STOP;
	}
}

/* It is the machine's, as in a guest: SDM vol. 3, "Machine-Check Events During
 * VM Entry". */
enum exit_action on_entry_machine_check(struct vcpu *vcpu,
					const struct vmx_exit *exit)
{
	(void)vcpu;
	(void)exit;
	insn_int_machine_check();
	return ACTION_RESUME;
}

enum exit_action on_external_interrupt(struct vcpu *vcpu,
				       const struct vmx_exit *exit)
{
	interrupt_dispatch((u32)bits_get(exit->interruption, EVENT_VECTOR));
	vcpu->attention = 1;
	return ACTION_RESUME;
}

enum exit_action on_interrupt_window(struct vcpu *vcpu,
				     const struct vmx_exit *exit)
{
	(void)exit;
	vcpu->attention = 1;
	return ACTION_RESUME;
}

enum exit_action on_nmi_window(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	return on_interrupt_window(vcpu, exit);
}
