/* SPDX-License-Identifier: MIT */
/* The host's side of a VMCS. */
#include "arch/x86/vmx/vmcs_host.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/descriptors.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/paging.h"
#include "arch/x86/vmx/mitigate.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/x86.h"

#define VMCS_LINK_NONE UINT64_MAX

/* Fields that are 0 for as long as the VMCS lives. */
static const u16 zero_fields[] = {
    VMCS_PAGE_FAULT_ERROR_MASK,
    VMCS_PAGE_FAULT_ERROR_MATCH,
    VMCS_CR3_TARGET_COUNT,
    VMCS_EXIT_MSR_STORE_COUNT,
    VMCS_EXIT_MSR_LOAD_COUNT,
    VMCS_ENTRY_MSR_LOAD_COUNT,
    VMCS_ENTRY_INTERRUPTION_INFO,
    VMCS_GUEST_ACTIVITY_STATE,
    VMCS_HOST_ES_SELECTOR,
    VMCS_HOST_DS_SELECTOR,
    VMCS_HOST_FS_SELECTOR,
    VMCS_HOST_GS_SELECTOR,
    VMCS_HOST_FS_BASE,
    VMCS_HOST_SYSENTER_CS,
    VMCS_HOST_SYSENTER_ESP,
    VMCS_HOST_SYSENTER_EIP,
};

void vmcs_host_write_constants(const struct vcpu *vcpu)
{
	for (u32 i = 0; i < ARRAY_COUNT(zero_fields); i++)
		vmcs_write((enum vmcs_field)zero_fields[i], 0);
	vmcs_write(VMCS_LINK_POINTER, VMCS_LINK_NONE);
	vmcs_write(VMCS_HOST_CS_SELECTOR, SELECTOR_CODE);
	vmcs_write(VMCS_HOST_SS_SELECTOR, SELECTOR_DATA);
	vmcs_write(VMCS_HOST_TR_SELECTOR, SELECTOR_TSS);
	vmcs_write(VMCS_HOST_IDTR_BASE, descriptors_idt_base());
	vmcs_write(VMCS_HOST_PAT, PAT_RESET);
	vmcs_write(VMCS_HOST_EFER, insn_rdmsr(MSR_EFER));
	vmcs_write(VMCS_HOST_RIP, mitigate_exit_point(vcpu));
}

void vmcs_host_write_this_cpu(void)
{
	const struct cpu *cpu = cpu_this();

	vmcs_write(VMCS_HOST_CR0, insn_read_cr0());
	vmcs_write(VMCS_HOST_CR3, hpa_raw(paging_root()));
	vmcs_write(VMCS_HOST_CR4, insn_read_cr4());
	vmcs_write(VMCS_HOST_GS_BASE, (u64)cpu);
	vmcs_write(VMCS_HOST_TR_BASE, (u64)&cpu->tss);
	vmcs_write(VMCS_HOST_GDTR_BASE, (u64)cpu->gdt);
}
