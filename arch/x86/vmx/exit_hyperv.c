/* SPDX-License-Identifier: MIT */
/* See arch/x86/vmx/exit_hyperv.h. */
#include "arch/x86/vmx/exit_hyperv.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/string.h"
#include "lib/x86.h"

/* Umbra's own name, which the interface has moved to the next place. */
static void own_leaf(struct cpuid_leaf *leaf)
{
	*leaf = (struct cpuid_leaf){.eax = HYPERV_CPUID_END};
	memcpy(&leaf->ebx, "UmbraUmbra\0\0", 12);
}

bool exit_hyperv_cpuid(const struct vcpu *vcpu, u32 number,
		       struct cpuid_leaf *leaf)
{
	const struct hyperv_offer offer = {
	    .vcpu_max = PLATFORM_VCPU_MAX,
	    .nested = vcpu->vm->nested,
	};
	struct hyperv_leaf found;

	if (!vcpu->vm->hyperv.on || number < HYPERV_CPUID_FIRST ||
	    number >= GUEST_CPUID_HYPERVISOR_END)
		return false;
	if (number == HYPERV_CPUID_END) {
		own_leaf(leaf);
		return true;
	}
	found = hyperv_cpuid(&offer, number);
	*leaf = (struct cpuid_leaf){found.eax, found.ebx, found.ecx, found.edx};
	return true;
}

/* --- MSRs ----------------------------------------------------------------- */

static struct hyperv_asker describe(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	return (struct hyperv_asker){
	    .vm = &vm->hyperv,
	    .vcpu = &vcpu->hyperv,
	    .mem = &vm->memory,
	    .index = vcpu->index,
	    .tsc = guest_time_tsc(&vm->time, insn_rdtsc()),
	    .tsc_hz = vm->time.hz,
	    .apic_timer_hz = vm->platform.config.apic_timer_hz,
	};
}

/* Of the local APIC, by its register; 0: it is none of those. */
static u32 apic_register(u32 msr)
{
	switch (msr) {
	case HYPERV_MSR_EOI:
		return LAPIC_EOI;
	case HYPERV_MSR_ICR:
		return LAPIC_ICR;
	case HYPERV_MSR_TPR:
		return LAPIC_TPR;
	default:
		return 0;
	}
}

enum msr_verdict exit_hyperv_read(struct vcpu *vcpu, u32 msr, u64 *value)
{
	const struct hyperv_asker asker = describe(vcpu);
	u32 in_apic = apic_register(msr);

	if (in_apic == LAPIC_EOI) /* is only written */
		return MSR_FAULT;
	if (in_apic)
		return platform_apic_read(
			   &vcpu->vm->platform, vcpu->index, in_apic, value,
			   vm_now_ns(vcpu->vm)) == PLATFORM_MSR_DONE
			   ? MSR_DONE
			   : MSR_FAULT;
	return hyperv_msr_read(&asker, msr, value) == HYPERV_DONE ? MSR_DONE
								  : MSR_FAULT;
}

enum msr_verdict exit_hyperv_write(struct vcpu *vcpu, u32 msr, u64 value)
{
	const struct hyperv_asker asker = describe(vcpu);
	u32 in_apic = apic_register(msr);

	if (!in_apic)
		return hyperv_msr_write(&asker, msr, value) == HYPERV_DONE
			   ? MSR_DONE
			   : MSR_FAULT;
	if (platform_apic_write(&vcpu->vm->platform, vcpu->index, in_apic,
				value,
				vm_now_ns(vcpu->vm)) != PLATFORM_MSR_DONE)
		return MSR_FAULT;
	vcpu_events_check(vcpu);
	return MSR_DONE;
}

/* --- Hypercalls ----------------------------------------------------------- */

static u64 pair(u64 high, u64 low)
{
	return high << 32 | low32(low);
}

/* In 64-bit code RCX and RDX, and RAX for the result; else pairs. */
static void call(struct vcpu *vcpu, bool is_64_bit)
{
	u64 *gpr = vcpu->registers.gpr;
	u64 input = is_64_bit ? gpr[REG_RCX] : pair(gpr[REG_RDX], gpr[REG_RAX]);
	u64 address =
	    is_64_bit ? gpr[REG_RDX] : pair(gpr[REG_RBX], gpr[REG_RCX]);
	enum hyperv_action action;
	u64 result = hyperv_call(input, address, &action);

	gpr[REG_RAX] = is_64_bit ? result : low32(result);
	if (!is_64_bit)
		gpr[REG_RDX] = high32(result);
	if (action == HYPERV_YIELD)
		vcpu_yield(vcpu);
}

enum exit_action exit_hyperv_call(struct vcpu *vcpu)
{
	u64 ss = vmcs_read(VMCS_GUEST_SS_ACCESS_RIGHTS);
	u64 cs = vmcs_read(VMCS_GUEST_CS_ACCESS_RIGHTS);

	if (bits_get(ss, RIGHTS_DPL) > 0 ||
	    !(control_registers_read_cr0() & CR0_PE)) {
		vcpu_raise(vcpu, EXCEPTION_UD);
		return ACTION_RESUME;
	}
	call(vcpu,
	     (vmcs_read(VMCS_GUEST_EFER) & EFER_LMA) && (cs & RIGHTS_LONG));
	return ACTION_SKIP;
}

/* --- VM entries ----------------------------------------------------------- */

void exit_hyperv_read_assist(const struct vcpu *vcpu, struct nested_cpu *cpu)
{
	cpu->wants_evmcs = hyperv_wants_evmcs(&vcpu->vm->hyperv, &vcpu->hyperv,
					      &vcpu->vm->memory, &cpu->evmcs);
}
