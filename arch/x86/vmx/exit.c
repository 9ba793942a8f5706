/* SPDX-License-Identifier: MIT */
/* Reading a VM exit and finding its handler. */
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/nested_exit.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vcpu_sync.h"
#include "arch/x86/vmx/vmx_insn.h"

/* What else an exit reason leaves to be read. */
enum exit_reads {
	READS_QUALIFICATION = 1,
	READS_INTERRUPTION = 2,
	READS_PHYSICAL = 4,
	READS_DELIVERY = 8, /* it may have cut the delivery of an event short */
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
			       READS_QUALIFICATION | READS_INTERRUPTION |
				   READS_DELIVERY},
    [EXIT_EXTERNAL_INTERRUPT] = {on_external_interrupt, "external interrupt",
				 READS_INTERRUPTION},
    [EXIT_TRIPLE_FAULT] = {on_triple_fault, "triple fault", 0},
    [EXIT_INTERRUPT_WINDOW] = {on_interrupt_window, "interrupt window", 0},
    [EXIT_NMI_WINDOW] = {on_nmi_window, "NMI window", 0},
    [EXIT_TASK_SWITCH] = {on_task_switch, "task switch",
			  READS_QUALIFICATION | READS_DELIVERY},
    [EXIT_CPUID] = {on_cpuid, "CPUID", 0},
    [EXIT_GETSEC] = {on_undefined, "GETSEC", 0},
    [EXIT_HLT] = {on_hlt, "HLT", 0},
    [EXIT_INVD] = {on_invd, "INVD", 0},
    [EXIT_RDPMC] = {on_rdpmc, "RDPMC", 0},
    [EXIT_VMCALL] = {on_vmx_instruction, "VMCALL", 0},
    [EXIT_VMCLEAR] = {on_vmx_instruction, "VMCLEAR", 0},
    [EXIT_VMLAUNCH] = {on_vmx_instruction, "VMLAUNCH", 0},
    [EXIT_VMPTRLD] = {on_vmx_instruction, "VMPTRLD", 0},
    [EXIT_VMPTRST] = {on_vmx_instruction, "VMPTRST", 0},
    [EXIT_VMREAD] = {on_vmx_instruction, "VMREAD", 0},
    [EXIT_VMRESUME] = {on_vmx_instruction, "VMRESUME", 0},
    [EXIT_VMWRITE] = {on_vmx_instruction, "VMWRITE", 0},
    [EXIT_VMXOFF] = {on_vmx_instruction, "VMXOFF", 0},
    [EXIT_VMXON] = {on_vmx_instruction, "VMXON", 0},
    [EXIT_CONTROL_REGISTER] = {on_control_register, "control-register access",
			       READS_QUALIFICATION},
    [EXIT_IO] = {on_io, "I/O instruction", READS_QUALIFICATION},
    [EXIT_RDMSR] = {on_rdmsr, "RDMSR", 0},
    [EXIT_WRMSR] = {on_wrmsr, "WRMSR", 0},
    [EXIT_ENTRY_GUEST_STATE] = {on_entry_failure,
				"VM-entry failure, invalid guest state",
				READS_QUALIFICATION},
    [EXIT_ENTRY_MSR_LOADING] = {on_entry_failure,
				"VM-entry failure, MSR loading",
				READS_QUALIFICATION},
    [EXIT_MWAIT] = {on_undefined, "MWAIT", 0},
    [EXIT_PAUSE] = {on_pause, "PAUSE loop", 0},
    [EXIT_MONITOR] = {on_undefined, "MONITOR", 0},
    [EXIT_ENTRY_MACHINE_CHECK] = {on_entry_failure,
				  "VM-entry failure, machine check",
				  READS_QUALIFICATION},
    [EXIT_EPT_VIOLATION] = {on_ept_violation, "EPT violation",
			    READS_QUALIFICATION | READS_PHYSICAL |
				READS_DELIVERY},
    [EXIT_EPT_MISCONFIGURATION] = {on_ept_misconfiguration,
				   "EPT misconfiguration",
				   READS_PHYSICAL | READS_DELIVERY},
    [EXIT_INVEPT] = {on_vmx_instruction, "INVEPT", 0},
    [EXIT_PREEMPTION_TIMER] = {on_preemption_timer, "preemption timer", 0},
    [EXIT_INVVPID] = {on_vmx_instruction, "INVVPID", 0},
    [EXIT_WBINVD] = {on_invd, "WBINVD", 0},
    [EXIT_PML_FULL] = {on_pml_full, "page-modification log full",
		       READS_QUALIFICATION | READS_DELIVERY},
    [EXIT_XSETBV] = {on_xsetbv, "XSETBV", 0},
};

static inline void read_exit(struct vmx_exit *exit, u32 reads)
{
	if (reads & READS_QUALIFICATION)
		exit->qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);
	if (reads & READS_PHYSICAL)
		exit->physical = gpa(vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS));
	else if (reads & READS_INTERRUPTION) {
		exit->interruption =
		    (u32)vmcs_read(VMCS_EXIT_INTERRUPTION_INFO);
		exit->error_code =
		    (u32)vmcs_read(VMCS_EXIT_INTERRUPTION_ERROR_CODE);
	}
}

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

/* Its calls are all last ones: nothing has to be kept for after them. */
static ALWAYS_INLINE enum exit_action handle(struct vcpu *vcpu, u64 basic)
{
	const struct exit_entry *entry = &entries[basic];

	if (unlikely(basic >= EXIT_REASON_COUNT || !entry->handler))
		return fail_unknown(vcpu);
	if (!entry->reads)
		return entry->handler(vcpu, &vcpu->exit);
	read_exit(&vcpu->exit, entry->reads);
	if (entry->reads & READS_DELIVERY) {
		vcpu->exit.idt_vectoring =
		    (u32)vmcs_read(VMCS_IDT_VECTORING_INFO);
		if (unlikely(vcpu->exit.idt_vectoring & EVENT_VALID))
			return redeliver_and_handle(vcpu, entry->handler);
	}
	return entry->handler(vcpu, &vcpu->exit);
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
