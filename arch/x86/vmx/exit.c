/* SPDX-License-Identifier: MIT */
/* Reading a VM exit and finding its handler. */
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vcpu_sync.h"
#include "arch/x86/vmx/vmx_insn.h"

/* What else an exit reason leaves to be read. */
enum exit_reads {
	READS_QUALIFICATION = 1,
	READS_LENGTH = 2,
	READS_INTERRUPTION = 4,
	READS_PHYSICAL = 8,
};

struct exit_entry {
	exit_handler *handler;
	const char *text;
	u32 reads;
};

/* What is missing here cannot happen with our controls: it is fatal to the
 * guest, with the number. */
static const struct exit_entry entries[EXIT_REASON_COUNT] = {
    [EXIT_EXCEPTION_OR_NMI] = {on_exception_or_nmi, "exception or NMI",
			       READS_QUALIFICATION | READS_INTERRUPTION},
    [EXIT_EXTERNAL_INTERRUPT] = {on_external_interrupt, "external interrupt",
				 READS_INTERRUPTION},
    [EXIT_TRIPLE_FAULT] = {on_triple_fault, "triple fault", 0},
    [EXIT_INTERRUPT_WINDOW] = {on_interrupt_window, "interrupt window", 0},
    [EXIT_NMI_WINDOW] = {on_nmi_window, "NMI window", 0},
    [EXIT_TASK_SWITCH] = {on_task_switch, "task switch", READS_QUALIFICATION},
    [EXIT_CPUID] = {on_cpuid, "CPUID", 0},
    [EXIT_GETSEC] = {on_undefined, "GETSEC", 0},
    [EXIT_HLT] = {on_hlt, "HLT", 0},
    [EXIT_INVD] = {on_invd, "INVD", 0},
    [EXIT_RDPMC] = {on_rdpmc, "RDPMC", 0},
    [EXIT_VMCALL] = {on_vmcall, "VMCALL", 0},
    [EXIT_VMCLEAR] = {on_undefined, "VMCLEAR", 0},
    [EXIT_VMLAUNCH] = {on_undefined, "VMLAUNCH", 0},
    [EXIT_VMPTRLD] = {on_undefined, "VMPTRLD", 0},
    [EXIT_VMPTRST] = {on_undefined, "VMPTRST", 0},
    [EXIT_VMREAD] = {on_undefined, "VMREAD", 0},
    [EXIT_VMRESUME] = {on_undefined, "VMRESUME", 0},
    [EXIT_VMWRITE] = {on_undefined, "VMWRITE", 0},
    [EXIT_VMXOFF] = {on_undefined, "VMXOFF", 0},
    [EXIT_VMXON] = {on_undefined, "VMXON", 0},
    [EXIT_CONTROL_REGISTER] = {on_control_register, "control-register access",
			       READS_QUALIFICATION},
    [EXIT_IO] = {on_io, "I/O instruction", READS_QUALIFICATION | READS_LENGTH},
    [EXIT_RDMSR] = {on_rdmsr, "RDMSR", 0},
    [EXIT_WRMSR] = {on_wrmsr, "WRMSR", 0},
    [EXIT_ENTRY_GUEST_STATE] = {on_entry_failure,
				"VM-entry failure, invalid guest state",
				READS_QUALIFICATION},
    [EXIT_ENTRY_MSR_LOADING] = {on_entry_failure,
				"VM-entry failure, MSR loading",
				READS_QUALIFICATION},
    [EXIT_MWAIT] = {on_undefined, "MWAIT", 0},
    [EXIT_MONITOR] = {on_undefined, "MONITOR", 0},
    [EXIT_ENTRY_MACHINE_CHECK] = {on_entry_failure,
				  "VM-entry failure, machine check",
				  READS_QUALIFICATION},
    [EXIT_EPT_VIOLATION] = {on_ept_violation, "EPT violation",
			    READS_QUALIFICATION | READS_PHYSICAL},
    [EXIT_EPT_MISCONFIGURATION] = {on_ept_misconfiguration,
				   "EPT misconfiguration", READS_PHYSICAL},
    [EXIT_INVEPT] = {on_undefined, "INVEPT", 0},
    [EXIT_PREEMPTION_TIMER] = {on_preemption_timer, "preemption timer", 0},
    [EXIT_INVVPID] = {on_undefined, "INVVPID", 0},
    [EXIT_WBINVD] = {on_invd, "WBINVD", 0},
    [EXIT_PML_FULL] = {on_pml_full, "page-modification log full",
		       READS_QUALIFICATION},
    [EXIT_XSETBV] = {on_xsetbv, "XSETBV", 0},
};

static void read_exit(struct vmx_exit *exit, u32 reads)
{
	exit->idt_vectoring = (u32)vmcs_read(VMCS_IDT_VECTORING_INFO);
	if (reads & READS_QUALIFICATION)
		exit->qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);
	if (reads & READS_LENGTH)
		exit->instruction_length =
		    (u32)vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);
	if (reads & READS_INTERRUPTION) {
		exit->interruption =
		    (u32)vmcs_read(VMCS_EXIT_INTERRUPTION_INFO);
		exit->error_code =
		    (u32)vmcs_read(VMCS_EXIT_INTERRUPTION_ERROR_CODE);
	}
	if (reads & READS_PHYSICAL) {
		exit->physical = gpa(vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS));
		exit->linear = gva(vmcs_read(VMCS_GUEST_LINEAR_ADDRESS));
	}
}

const char *exit_reason_text(u32 reason)
{
	u32 basic = reason & (u32)EXIT_REASON_BASIC;

	if (basic < EXIT_REASON_COUNT && entries[basic].text)
		return entries[basic].text;
	return "exit that Umbra does not know";
}

enum exit_action exit_handle(struct vcpu *vcpu)
{
	struct vmx_exit exit = {.reason = (u32)vmcs_read(VMCS_EXIT_REASON)};
	u32 basic = exit.reason & (u32)EXIT_REASON_BASIC;
	const struct exit_entry *entry;

	if (basic >= EXIT_REASON_COUNT || !entries[basic].handler) {
		vcpu_fail(vcpu, "%s (exit reason %#x)",
			  exit_reason_text(exit.reason), exit.reason);
		return ACTION_STOP;
	}
	entry = &entries[basic];
	vcpu->exits_by_reason[basic]++;
	read_exit(&exit, entry->reads);
	if (unlikely(exit.idt_vectoring & EVENT_VALID))
		vcpu_events_redeliver(vcpu, exit.idt_vectoring);
	return entry->handler(vcpu, &exit);
}
