/* SPDX-License-Identifier: MIT */
/* Reading a VM exit and finding its handler. */
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/nested_exit.h"
#include "arch/x86/vmx/vcpu_apic.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vcpu_sync.h"
#include "arch/x86/vmx/vmx_insn.h"

/* What else an exit reason leaves to be read. All but the first two leave the
 * exit qualification, too (or what is not defined in its place, and nobody
 * looks at), and all below that an event whose delivery may have been cut
 * short. */
enum exit_reads {
	READS_UNKNOWN, /* nobody handles it */
	READS_NOTHING,
	READS_QUALIFICATION,
	READS_DELIVERY,
	READS_PHYSICAL,
	READS_INTERRUPTION,
};

struct exit_entry {
	exit_handler *handler;
	const char *text;
	enum exit_reads reads;
} ALIGNED(32); /* to find one is a shift */

/* What is missing here cannot happen with our controls: it is fatal to the
 * guest, with the number. */
static const struct exit_entry entries[EXIT_REASON_COUNT] = {
    [EXIT_EXCEPTION_OR_NMI] = {on_exception_or_nmi, "exception or NMI",
			       READS_INTERRUPTION},
    [EXIT_EXTERNAL_INTERRUPT] = {on_external_interrupt, "external interrupt",
				 READS_INTERRUPTION},
    [EXIT_TRIPLE_FAULT] = {on_triple_fault, "triple fault", READS_NOTHING},
    [EXIT_INTERRUPT_WINDOW] = {on_interrupt_window, "interrupt window",
			       READS_NOTHING},
    [EXIT_NMI_WINDOW] = {on_nmi_window, "NMI window", READS_NOTHING},
    [EXIT_TASK_SWITCH] = {on_task_switch, "task switch", READS_DELIVERY},
    [EXIT_CPUID] = {on_cpuid, "CPUID", READS_NOTHING},
    [EXIT_GETSEC] = {on_undefined, "GETSEC", READS_NOTHING},
    [EXIT_HLT] = {on_hlt, "HLT", READS_NOTHING},
    [EXIT_INVD] = {on_invd, "INVD", READS_NOTHING},
    [EXIT_RDPMC] = {on_rdpmc, "RDPMC", READS_NOTHING},
    [EXIT_VMCALL] = {on_vmx_instruction, "VMCALL", READS_NOTHING},
    [EXIT_VMCLEAR] = {on_l1_vmclear, "VMCLEAR", READS_NOTHING},
    [EXIT_VMLAUNCH] = {on_vmx_instruction, "VMLAUNCH", READS_NOTHING},
    [EXIT_VMPTRLD] = {on_l1_vmptrld, "VMPTRLD", READS_NOTHING},
    [EXIT_VMPTRST] = {on_vmx_instruction, "VMPTRST", READS_NOTHING},
    [EXIT_VMREAD] = {on_l1_vmread, "VMREAD", READS_NOTHING},
    [EXIT_VMRESUME] = {on_l1_vmresume, "VMRESUME", READS_NOTHING},
    [EXIT_VMWRITE] = {on_l1_vmwrite, "VMWRITE", READS_NOTHING},
    [EXIT_VMXOFF] = {on_vmx_instruction, "VMXOFF", READS_NOTHING},
    [EXIT_VMXON] = {on_vmx_instruction, "VMXON", READS_NOTHING},
    [EXIT_CONTROL_REGISTER] = {on_control_register, "control-register access",
			       READS_QUALIFICATION},
    [EXIT_IO] = {on_io, "I/O instruction", READS_QUALIFICATION},
    [EXIT_RDMSR] = {on_rdmsr, "RDMSR", READS_NOTHING},
    [EXIT_WRMSR] = {on_wrmsr, "WRMSR", READS_NOTHING},
    [EXIT_ENTRY_GUEST_STATE] = {on_entry_failure,
				"VM-entry failure, invalid guest state",
				READS_QUALIFICATION},
    [EXIT_ENTRY_MSR_LOADING] = {on_entry_failure,
				"VM-entry failure, MSR loading",
				READS_QUALIFICATION},
    [EXIT_MWAIT] = {on_undefined, "MWAIT", READS_NOTHING},
    [EXIT_PAUSE] = {on_pause, "PAUSE loop", READS_NOTHING},
    [EXIT_MONITOR] = {on_undefined, "MONITOR", READS_NOTHING},
    [EXIT_ENTRY_MACHINE_CHECK] = {on_entry_machine_check,
				  "VM-entry failure, machine check", 0},
    [EXIT_TPR_BELOW_THRESHOLD] = {on_tpr_below_threshold,
				  "TPR below its threshold", READS_NOTHING},
    [EXIT_APIC_ACCESS] = {on_apic_access, "access to the APIC's page",
			  READS_DELIVERY},
    [EXIT_VIRTUALIZED_EOI] = {on_virtual_eoi, "virtual EOI",
			      READS_QUALIFICATION},
    [EXIT_APIC_WRITE] = {on_apic_write, "write of an APIC register",
			 READS_QUALIFICATION},
    [EXIT_EPT_VIOLATION] = {on_ept_violation, "EPT violation", READS_PHYSICAL},
    [EXIT_EPT_MISCONFIGURATION] = {on_ept_misconfiguration,
				   "EPT misconfiguration", READS_PHYSICAL},
    [EXIT_INVEPT] = {on_l1_invept, "INVEPT", READS_NOTHING},
    [EXIT_PREEMPTION_TIMER] = {on_preemption_timer, "preemption timer",
			       READS_NOTHING},
    [EXIT_INVVPID] = {on_vmx_instruction, "INVVPID", READS_NOTHING},
    [EXIT_WBINVD] = {on_invd, "WBINVD", READS_NOTHING},
    [EXIT_RDRAND] = {on_undefined, "RDRAND", READS_NOTHING},
    [EXIT_RDSEED] = {on_undefined, "RDSEED", READS_NOTHING},
    [EXIT_PML_FULL] = {on_pml_full, "page-modification log full",
		       READS_DELIVERY},
    [EXIT_XSETBV] = {on_xsetbv, "XSETBV", READS_NOTHING},
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

/* Its calls are all last ones: nothing has to be kept for after them. */
static ALWAYS_INLINE enum exit_action handle(struct vcpu *vcpu, u64 basic)
{
	const struct exit_entry *entry = &entries[basic];
	struct vmx_exit *exit = &vcpu->exit;
	exit_handler *handler;

	if (unlikely(basic >= EXIT_REASON_COUNT))
		return fail_unknown(vcpu);
	handler = entry->handler;
	if (entry->reads == READS_NOTHING)
		return handler(vcpu, exit);
	exit->qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);
	if (likely(entry->reads == READS_PHYSICAL))
		exit->physical = gpa(vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS));
	else if (entry->reads == READS_QUALIFICATION)
		return handler(vcpu, exit);
	else if (entry->reads == READS_INTERRUPTION)
		read_interruption(exit);
	else if (unlikely(entry->reads == READS_UNKNOWN))
		return fail_unknown(vcpu);
	exit->idt_vectoring = (u32)vmcs_read(VMCS_IDT_VECTORING_INFO);
	if (unlikely(exit->idt_vectoring & EVENT_VALID))
		return redeliver_and_handle(vcpu, handler);
	return handler(vcpu, exit);
}

enum exit_action exit_handle_ours(struct vcpu *vcpu)
{
	return handle(vcpu, vcpu->exit.reason & EXIT_REASON_BASIC);
}

static NOINLINE enum exit_action handle_in_l2(struct vcpu *vcpu)
{
	return nested_exit_handle(vcpu, vcpu->exit.reason);
}

enum exit_action exit_handle(struct vcpu *vcpu)
{
	u64 reason = vmcs_read(VMCS_EXIT_REASON);
	u64 basic = reason & EXIT_REASON_BASIC;

	vcpu->exit.reason = (u32)reason;
	if (likely(basic < EXIT_REASON_COUNT))
		vcpu->exits_by_reason[basic]++;
	if (unlikely(vcpu->in_l2))
		return handle_in_l2(vcpu);
	return handle(vcpu, basic);
}
