/* SPDX-License-Identifier: MIT */
/* CPUID and XSETBV. */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/exit_hyperv.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/bench.h"
#include "lib/x86.h"

static inline void answer(u64 *gpr, const struct cpuid_leaf *leaf)
{
	gpr[REG_RAX] = leaf->eax;
	gpr[REG_RBX] = leaf->ebx;
	gpr[REG_RCX] = leaf->ecx;
	gpr[REG_RDX] = leaf->edx;
}

static NOINLINE void answer_to_asker(struct vcpu *vcpu)
{
	u64 *gpr = vcpu->registers.gpr;
	const struct guest_cpuid_asker asker = {
	    .apic_id = vcpu->index,
	    /* OSXSAVE is the guest's own bit: the field has it. */
	    .cr4 = vmcs_read(VMCS_GUEST_CR4),
	    .xcr0 = vcpu->xcr0,
	    .apic_enabled = vcpu->lapic->base & APIC_BASE_ENABLE,
	};
	u32 number = low32(gpr[REG_RAX]), subleaf = low32(gpr[REG_RCX]);
	struct cpuid_leaf leaf;

	if (exit_hyperv_cpuid(vcpu, number, &leaf)) {
		answer(gpr, &leaf);
		return;
	}
	if (number == BENCH_LEAF)
		vcpu_answer_bench_leaf(vcpu, subleaf, &leaf);
	else
		leaf =
		    guest_cpuid_read(&vcpu->vm->cpuid, number, subleaf, &asker);
	answer(gpr, &leaf);
}

enum exit_action on_cpuid(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	u64 *gpr = vcpu->registers.gpr;
	const struct guest_cpuid *cpuid = &vcpu->vm->cpuid;
	const struct cpuid_leaf *leaf =
	    guest_cpuid_fixed_leaf(cpuid, low32(gpr[REG_RAX]));

	(void)exit;
	if (leaf)
		answer(gpr, leaf);
	else
		answer_to_asker(vcpu);
	return ACTION_SKIP;
}

/* SDM vol. 2, "XSETBV-Set Extended Control Register": what may be switched on,
 * and with what. */
static bool xcr0_is_valid(const struct vm *vm, u64 xcr0)
{
	if (!(xcr0 & XCR0_X87) || (xcr0 & ~vm->xcr0_allowed))
		return false;
	return !(xcr0 & XCR0_AVX) || (xcr0 & XCR0_SSE);
}

enum exit_action on_xsetbv(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	const u64 *gpr = vcpu->registers.gpr;
	u64 value = gpr[REG_RDX] << 32 | low32(gpr[REG_RAX]);

	(void)exit;
	/* #UD and the privilege check came before the exit. */
	if (low32(gpr[REG_RCX]) != 0 || !xcr0_is_valid(vcpu->vm, value)) {
		vcpu_raise_with_code(vcpu, EXCEPTION_GP, 0);
		return ACTION_RESUME;
	}
	vcpu->xcr0 = value;
	insn_xsetbv(0, value);
	return ACTION_SKIP;
}
