/* SPDX-License-Identifier: MIT */
/* Speculative execution: reading the CPU, and the work around entries. */
#include "arch/x86/vmx/mitigate.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/vmx/msr_bitmap.h"
#include "arch/x86/vmx/vcpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/log.h"
#include "lib/x86.h"
#include "mm/phys.h"

#define TEXT_BYTES 200

extern const u8 vmx_exit_point[], vmx_exit_point_guarded[]; /* enter.asm */

_Static_assert(offsetof(struct vcpu_registers, entry_work) == 8UL * 18 &&
		   offsetof(struct vcpu_registers, exit_work) == 8UL * 18 + 4 &&
		   offsetof(struct vcpu_registers, guest_spec_ctrl) ==
		       8UL * 19 &&
		   offsetof(struct vcpu_registers, host_spec_ctrl) == 8UL * 20,
	       "enter.asm");

static struct mitigation_plan plan;
static u64 arch_capabilities;
static const struct vm *last_vm[CPU_MAX]; /* each its CPU's own */

static void read_cpu(struct mitigation_cpu *cpu)
{
	struct cpuid_result leaf = {0}, leaf2 = {0};

	if (cpu_features.max_leaf >= 7)
		leaf = insn_cpuid(7, 0);
	if (leaf.eax >= 2)
		leaf2 = insn_cpuid(7, 2);
	if (leaf.edx & LEAF7_EDX_ARCH_CAPABILITIES)
		arch_capabilities = insn_rdmsr(MSR_ARCH_CAPABILITIES);
	*cpu = (struct mitigation_cpu){
	    .family = cpu_features.family,
	    .model = cpu_features.model,
	    .leaf7_ebx = leaf.ebx,
	    .leaf7_edx = leaf.edx,
	    .leaf7_2_edx = leaf2.edx,
	    .arch_capabilities = arch_capabilities,
	    .hyper_threads = cpu_features.max_leaf >= 0xb &&
			     (insn_cpuid(0xb, 0).ebx & 0xffff) > 1,
	};
}

static void report(enum mitigation_mode mode)
{
	char text[TEXT_BYTES];

	mitigation_describe(&plan, text, sizeof(text));
	log_info("mitigations: %s%s", text,
		 mode == MITIGATION_OFF ? " (mitigations=off)" : "");
	mitigation_describe_missing(&plan, text, sizeof(text));
	if (plan.without)
		log_warn("mitigations: guests may read what is not theirs by "
			 "%s; a microcode update is needed",
			 text);
	if (plan.siblings_leak)
		log_warn("mitigations: guests on two threads of one core may "
			 "read each other's data; switch hyper-threading off");
}

void mitigate_init(enum mitigation_mode mode)
{
	struct mitigation_cpu cpu;

	read_cpu(&cpu);
	mitigation_choose(&cpu, mode, &plan);
	report(mode);
}

u64 mitigate_arch_capabilities(void)
{
	return arch_capabilities;
}

void mitigate_this_cpu(void)
{
	if (plan.host_spec_ctrl)
		insn_wrmsr(MSR_SPEC_CTRL, plan.host_spec_ctrl);
}

void mitigate_prepare(struct vcpu *vcpu)
{
	vcpu->registers.entry_work = plan.entry;
	vcpu->registers.exit_work = plan.exit;
	vcpu->registers.host_spec_ctrl = plan.host_spec_ctrl;
}

u64 mitigate_exit_point(const struct vcpu *vcpu)
{
	bool plain = !(vcpu->registers.entry_work | vcpu->registers.exit_work);

	return (u64)(plain ? vmx_exit_point : vmx_exit_point_guarded);
}

void mitigate_load(const struct vcpu *vcpu)
{
	const struct vm **last = &last_vm[cpu_this()->index];

	if (*last == vcpu->vm)
		return;
	if (*last && plan.barrier_between_guests)
		insn_wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
	*last = vcpu->vm;
}

void mitigate_entry_failed(const struct vcpu *vcpu)
{
	if (vcpu->registers.entry_work & ENTRY_SPEC_CTRL)
		insn_wrmsr(MSR_SPEC_CTRL, vcpu->registers.host_spec_ctrl);
}

u64 mitigate_read_spec_ctrl(const struct vcpu *vcpu)
{
	return vcpu->registers.guest_spec_ctrl;
}

void mitigate_restore_spec_ctrl(struct vcpu *vcpu, u64 value)
{
	vcpu->registers.guest_spec_ctrl = value;
	vcpu->registers.entry_work |= (u32)ENTRY_SPEC_CTRL;
	vcpu->registers.exit_work |=
	    (u32)(EXIT_READ_SPEC_CTRL | EXIT_WRITE_SPEC_CTRL);
	msr_bitmap_free(phys_ptr(vcpu->msr_bitmap), MSR_SPEC_CTRL);
	vcpu->msr_bitmap_changes++;
}

void mitigate_write_spec_ctrl(struct vcpu *vcpu, u64 value)
{
	mitigate_restore_spec_ctrl(vcpu, value);
	vmcs_write(VMCS_HOST_RIP, mitigate_exit_point(vcpu));
}
