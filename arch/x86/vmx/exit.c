/* SPDX-License-Identifier: MIT */
/* Reading a VM exit and finding its handler. */
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/nested_exit.h"
#include "arch/x86/vmx/vcpu_apic.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vcpu_sync.h"
#include "arch/x86/vmx/vmx_insn.h"

/* What else an exit reason leaves to be read. All but the first leave the
 * exit qualification, too (or what is not defined in its place, and nobody
 * looks at), and all below that an event whose delivery may have been cut
 * short. */
enum exit_reads {
	READS_NOTHING,
	READS_QUALIFICATION,
	READS_DELIVERY,
	READS_PHYSICAL,
	READS_INTERRUPTION,
};

struct exit_entry {
	exit_handler *first;   /* NULL: nobody handles it */
	exit_handler *handler; /* that read_first goes to */
	const char *text;
	enum exit_reads reads;
} ALIGNED(32); /* to find one is a shift */

/* What is missing here cannot happen with our controls: it is fatal to the
 * guest, with the number. */
#define DIRECT(handler, text)                      \
	{                                          \
		handler, NULL, text, READS_NOTHING \
	}
#define AFTER(handler, text, reads)              \
	{                                        \
		read_first, handler, text, reads \
	}

static exit_handler read_first, read_violation;

static const struct exit_entry entries[EXIT_REASON_COUNT] = {
    [EXIT_EXCEPTION_OR_NMI] =
	AFTER(on_exception_or_nmi, "exception or NMI", READS_INTERRUPTION),
    [EXIT_EXTERNAL_INTERRUPT] =
	AFTER(on_external_interrupt, "external interrupt", READS_INTERRUPTION),
    [EXIT_TRIPLE_FAULT] = DIRECT(on_triple_fault, "triple fault"),
    [EXIT_INTERRUPT_WINDOW] = DIRECT(on_interrupt_window, "interrupt window"),
    [EXIT_NMI_WINDOW] = DIRECT(on_nmi_window, "NMI window"),
    [EXIT_TASK_SWITCH] = AFTER(on_task_switch, "task switch", READS_DELIVERY),
    [EXIT_CPUID] = DIRECT(on_cpuid, "CPUID"),
    [EXIT_GETSEC] = DIRECT(on_undefined, "GETSEC"),
    [EXIT_HLT] = DIRECT(on_hlt, "HLT"),
    [EXIT_INVD] = DIRECT(on_invd, "INVD"),
    [EXIT_RDPMC] = DIRECT(on_rdpmc, "RDPMC"),
    [EXIT_VMCALL] = DIRECT(on_vmx_instruction, "VMCALL"),
    [EXIT_VMCLEAR] = DIRECT(on_l1_vmclear, "VMCLEAR"),
    [EXIT_VMLAUNCH] = DIRECT(on_vmx_instruction, "VMLAUNCH"),
    [EXIT_VMPTRLD] = DIRECT(on_l1_vmptrld, "VMPTRLD"),
    [EXIT_VMPTRST] = DIRECT(on_vmx_instruction, "VMPTRST"),
    [EXIT_VMREAD] = DIRECT(on_l1_vmread, "VMREAD"),
    [EXIT_VMRESUME] = DIRECT(on_l1_vmresume, "VMRESUME"),
    [EXIT_VMWRITE] = DIRECT(on_l1_vmwrite, "VMWRITE"),
    [EXIT_VMXOFF] = DIRECT(on_vmx_instruction, "VMXOFF"),
    [EXIT_VMXON] = DIRECT(on_vmx_instruction, "VMXON"),
    [EXIT_CONTROL_REGISTER] = AFTER(
	on_control_register, "control-register access", READS_QUALIFICATION),
    [EXIT_IO] = DIRECT(on_io, "I/O instruction"),
    [EXIT_RDMSR] = DIRECT(on_rdmsr, "RDMSR"),
    [EXIT_WRMSR] = DIRECT(on_wrmsr, "WRMSR"),
    [EXIT_ENTRY_GUEST_STATE] =
	AFTER(on_entry_failure, "VM-entry failure, invalid guest state",
	      READS_QUALIFICATION),
    [EXIT_ENTRY_MSR_LOADING] = AFTER(
	on_entry_failure, "VM-entry failure, MSR loading", READS_QUALIFICATION),
    [EXIT_MWAIT] = DIRECT(on_undefined, "MWAIT"),
    [EXIT_PAUSE] = DIRECT(on_pause, "PAUSE loop"),
    [EXIT_MONITOR] = DIRECT(on_undefined, "MONITOR"),
    [EXIT_ENTRY_MACHINE_CHECK] =
	DIRECT(on_entry_machine_check, "VM-entry failure, machine check"),
    [EXIT_TPR_BELOW_THRESHOLD] =
	DIRECT(on_tpr_below_threshold, "TPR below its threshold"),
    [EXIT_APIC_ACCESS] =
	AFTER(on_apic_access, "access to the APIC's page", READS_DELIVERY),
    [EXIT_VIRTUALIZED_EOI] =
	AFTER(on_virtual_eoi, "virtual EOI", READS_QUALIFICATION),
    [EXIT_APIC_WRITE] =
	AFTER(on_apic_write, "write of an APIC register", READS_QUALIFICATION),
    [EXIT_EPT_VIOLATION] = DIRECT(read_violation, "EPT violation"),
    [EXIT_EPT_MISCONFIGURATION] =
	AFTER(on_ept_misconfiguration, "EPT misconfiguration", READS_PHYSICAL),
    [EXIT_INVEPT] = DIRECT(on_l1_invept, "INVEPT"),
    [EXIT_PREEMPTION_TIMER] = DIRECT(on_preemption_timer, "preemption timer"),
    [EXIT_INVVPID] = DIRECT(on_vmx_instruction, "INVVPID"),
    [EXIT_WBINVD] = DIRECT(on_invd, "WBINVD"),
    [EXIT_RDRAND] = DIRECT(on_undefined, "RDRAND"),
    [EXIT_RDSEED] = DIRECT(on_undefined, "RDSEED"),
    [EXIT_PML_FULL] =
	AFTER(on_pml_full, "page-modification log full", READS_DELIVERY),
    [EXIT_XSETBV] = DIRECT(on_xsetbv, "XSETBV"),
};

const char *exit_reason_text(u32 reason)
{
	u64 basic = reason & EXIT_REASON_BASIC;

	if (basic < EXIT_REASON_COUNT && entries[basic].text)
		return entries[basic].text;
	return "exit that Umbra does not know";
}

static NOINLINE enum exit_action redeliver_and_handle(struct vcpu *vcpu,
						      exit_handler *handler)
{
	vcpu_events_redeliver(vcpu, vcpu->exit.idt_vectoring);
	return handler(vcpu, &vcpu->exit);
}

static COLD enum exit_action fail_unknown(struct vcpu *vcpu)
{
	vcpu_fail(vcpu, "%s (exit reason %#x)",
		  exit_reason_text(vcpu->exit.reason), vcpu->exit.reason);
	return ACTION_STOP;
}

static inline void read_interruption(struct vmx_exit *exit)
{
	exit->interruption = (u32)vmcs_read(VMCS_EXIT_INTERRUPTION_INFO);
	exit->error_code = (u32)vmcs_read(VMCS_EXIT_INTERRUPTION_ERROR_CODE);
}

static inline void read_physical(struct vmx_exit *exit)
{
	exit->physical = gpa(vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS));
}

/* All calls are last ones: nothing has to be kept for after them. */
static ALWAYS_INLINE enum exit_action
handle_behind_delivery(struct vcpu *vcpu, exit_handler *handler)
{
	struct vmx_exit *exit = &vcpu->exit;

	exit->idt_vectoring = (u32)vmcs_read(VMCS_IDT_VECTORING_INFO);
	if (unlikely(exit->idt_vectoring & EVENT_VALID))
		return redeliver_and_handle(vcpu, handler);
	return handler(vcpu, exit);
}

static enum exit_action read_first(struct vcpu *vcpu,
				   const struct vmx_exit *unread)
{
	struct vmx_exit *exit = &vcpu->exit;
	const struct exit_entry *entry =
	    &entries[exit->reason & EXIT_REASON_BASIC];

	(void)unread;
	exit->qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);
	if (entry->reads == READS_QUALIFICATION)
		return entry->handler(vcpu, exit);
	if (entry->reads == READS_PHYSICAL)
		read_physical(exit);
	else if (entry->reads == READS_INTERRUPTION)
		read_interruption(exit);
	return handle_behind_delivery(vcpu, entry->handler);
}

/* The same for what every write to a protected page goes through. */
static enum exit_action read_violation(struct vcpu *vcpu,
				       const struct vmx_exit *unread)
{
	struct vmx_exit *exit = &vcpu->exit;

	(void)unread;
	exit->qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);
	read_physical(exit);
	return handle_behind_delivery(vcpu, on_ept_violation);
}

static ALWAYS_INLINE enum exit_action handle(struct vcpu *vcpu, u64 basic)
{
	exit_handler *first;

	if (unlikely(basic >= EXIT_REASON_COUNT))
		return fail_unknown(vcpu);
	first = entries[basic].first;
	if (unlikely(!first))
		return fail_unknown(vcpu);
	return first(vcpu, &vcpu->exit);
}

enum exit_action exit_handle_ours(struct vcpu *vcpu)
{
	return handle(vcpu, vcpu->exit.reason & EXIT_REASON_BASIC);
}

enum exit_action exit_handle(struct vcpu *vcpu)
{
	u64 reason = vmcs_read(VMCS_EXIT_REASON);
	u64 basic = reason & EXIT_REASON_BASIC;

	vcpu->exit.reason = (u32)reason;
	if (likely(basic < EXIT_REASON_COUNT))
		vcpu->exits_by_reason[basic]++;
	if (unlikely(vcpu->in_l2))
		return nested_exit_handle(vcpu, (u32)reason);
	return handle(vcpu, basic);
}
