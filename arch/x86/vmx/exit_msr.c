/* SPDX-License-Identifier: MIT */
/*
 * RDMSR and WRMSR of what is not free in the MSR bitmap.
 *
 * Unknown MSRs raise #GP(0), as on a CPU that does not have them.
 */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/mitigate.h"
#include "arch/x86/vmx/msr_value.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/log.h"
#include "lib/x86.h"

#define MSR_PLATFORM_ID   0x17u
#define MSR_MCG_CAP       0x179u
#define MSR_MCG_STATUS    0x17au

#define MISC_FAST_STRINGS BIT(0)

#define UNKNOWN_MSRS_SAID 8 /* lines per VM, then silence */

enum msr_verdict { MSR_DONE, MSR_FAULT };

/*
 * The guest's TSC moves by the difference (SDM vol. 3, "Time-Stamp Counter
 * Adjustment"). The offset is this vCPU's alone.
 */
static void move_tsc(struct vcpu *vcpu, u64 difference)
{
	u64 offset = vcpu->lapic->tsc_offset + difference;

	vmcs_write(VMCS_TSC_OFFSET, vcpu->vm->time.offset + offset);
	vcpu->tsc_adjust += difference;
	lapic_set_tsc_offset(vcpu->lapic, offset, vm_now_ns(vcpu->vm));
	vcpu->attention = 1;
}

static u32 guest_leaf7_edx(const struct vcpu *vcpu)
{
	return vcpu->vm->cpuid.basic[7].edx;
}

static u64 spec_ctrl_bits(const struct vcpu *vcpu)
{
	return mitigation_guest_spec_ctrl(guest_leaf7_edx(vcpu));
}

/* A command: it acts when it is written, and holds nothing. */
static enum msr_verdict command(const struct vcpu *vcpu, u32 msr, u64 value)
{
	u64 feature =
	    msr == MSR_PRED_CMD ? LEAF7_EDX_IBRS : LEAF7_EDX_L1D_FLUSH;

	if (!(guest_leaf7_edx(vcpu) & feature) || (value & ~BIT(0)))
		return MSR_FAULT;
	if (value)
		insn_wrmsr(msr, value);
	return MSR_DONE;
}

static enum msr_verdict write_spec_ctrl(struct vcpu *vcpu, u64 value)
{
	if (value & ~spec_ctrl_bits(vcpu))
		return MSR_FAULT;
	if (value != mitigate_read_spec_ctrl(vcpu))
		mitigate_write_spec_ctrl(vcpu, value);
	return MSR_DONE;
}

static enum msr_verdict read_other(const struct vcpu *vcpu, u32 msr, u64 *value)
{
	switch (msr) {
	case MSR_TSC_ADJUST:
		*value = vcpu->tsc_adjust;
		return MSR_DONE;
	case MSR_MISC_ENABLE:
		*value = vcpu->misc_enable;
		return MSR_DONE;
	case MSR_MTRR_DEF_TYPE:
		*value = vcpu->mtrr_def_type;
		return MSR_DONE;
	case MSR_TSC_AUX:
		*value = insn_rdmsr(MSR_TSC_AUX);
		return MSR_DONE;
	case MSR_DEBUGCTL:
		*value = vmcs_read(VMCS_GUEST_DEBUGCTL);
		return MSR_DONE;
	case MSR_SPEC_CTRL:
		if (!spec_ctrl_bits(vcpu))
			return MSR_FAULT;
		*value = mitigate_read_spec_ctrl(vcpu);
		return MSR_DONE;
	case MSR_ARCH_CAPABILITIES:
		*value = vcpu->vm->cpuid.arch_capabilities;
		return guest_leaf7_edx(vcpu) & LEAF7_EDX_ARCH_CAPABILITIES
			   ? MSR_DONE
			   : MSR_FAULT;
	case MSR_MTRRCAP: /* no variable ranges, no fixed ones */
	case MSR_MCG_CAP: /* no machine-check banks */
	case MSR_MCG_STATUS:
	case MSR_PLATFORM_ID:
	case MSR_BIOS_SIGN_ID: /* no microcode update loaded */
		*value = 0;
		return MSR_DONE;
	default:
		return MSR_FAULT;
	}
}

static enum msr_verdict write_other(struct vcpu *vcpu, u32 msr, u64 value)
{
	switch (msr) {
	case MSR_TSC:
		move_tsc(vcpu, value - (guest_time_tsc(&vcpu->vm->time,
						       insn_rdtsc()) +
					vcpu->lapic->tsc_offset));
		return MSR_DONE;
	case MSR_TSC_ADJUST:
		move_tsc(vcpu, value - vcpu->tsc_adjust);
		return MSR_DONE;
	case MSR_EFER:
		return control_registers_set_efer(vcpu, value) ==
			       CONTROL_REGISTER_OK
			   ? MSR_DONE
			   : MSR_FAULT;
	case MSR_PAT:
		if (!msr_value_is_pat(value))
			return MSR_FAULT;
		vmcs_write(VMCS_GUEST_PAT, value);
		return MSR_DONE;
	case MSR_SPEC_CTRL:
		return write_spec_ctrl(vcpu, value);
	case MSR_PRED_CMD:
	case MSR_FLUSH_CMD:
		return command(vcpu, msr, value);
	case MSR_TSC_AUX:
		if (high32(value))
			return MSR_FAULT;
		insn_wrmsr(MSR_TSC_AUX, value);
		return MSR_DONE;
	case MSR_MISC_ENABLE:
		/* The others say what there is, and stay as they are. */
		vcpu->misc_enable = (vcpu->misc_enable & ~MISC_FAST_STRINGS) |
				    (value & MISC_FAST_STRINGS);
		return MSR_DONE;
	case MSR_MTRR_DEF_TYPE:
		/* Enable bits and type; memory is write-back all the same. */
		if (!msr_value_is_mtrr_def_type(value))
			return MSR_FAULT;
		vcpu->mtrr_def_type = value;
		return MSR_DONE;
	case MSR_DEBUGCTL:
		/* No branch records, no BTF: neither is moved to a peer. */
		return value ? MSR_FAULT : MSR_DONE;
	case MSR_BIOS_SIGN_ID:
	case MSR_MCG_STATUS:
		return MSR_DONE; /* writable, without effect */
	default:
		return MSR_FAULT;
	}
}

static enum exit_action finish(struct vcpu *vcpu, enum msr_verdict verdict,
			       const char *what, u32 msr)
{
	if (verdict == MSR_DONE)
		return ACTION_SKIP;
	if (vcpu->vm->faulting_msrs < UNKNOWN_MSRS_SAID) {
		vcpu->vm->faulting_msrs++;
		log_debug("%s: %s of MSR %#x raises #GP", vcpu->vm->name, what,
			  msr);
	}
	vcpu_raise_with_code(vcpu, EXCEPTION_GP, 0);
	return ACTION_RESUME;
}

enum exit_action on_rdmsr(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	u64 *gpr = vcpu->registers.gpr;
	u32 msr = low32(gpr[REG_RCX]);
	u64 value = 0;
	enum msr_verdict verdict = MSR_DONE;

	(void)exit;
	switch (platform_msr_read(&vcpu->vm->platform, vcpu->index, msr, &value,
				  vm_now_ns(vcpu->vm))) {
	case PLATFORM_MSR_DONE:
		break;
	case PLATFORM_MSR_FAULT:
		verdict = MSR_FAULT;
		break;
	case PLATFORM_MSR_ABSENT:
		verdict = read_other(vcpu, msr, &value);
		break;
	}
	if (verdict == MSR_DONE) {
		gpr[REG_RAX] = low32(value);
		gpr[REG_RDX] = high32(value);
	}
	return finish(vcpu, verdict, "read", msr);
}

enum exit_action on_wrmsr(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	const u64 *gpr = vcpu->registers.gpr;
	u32 msr = low32(gpr[REG_RCX]);
	u64 value = gpr[REG_RDX] << 32 | low32(gpr[REG_RAX]);
	enum msr_verdict verdict = MSR_DONE;

	(void)exit;
	switch (platform_msr_write(&vcpu->vm->platform, vcpu->index, msr, value,
				   vm_now_ns(vcpu->vm))) {
	case PLATFORM_MSR_DONE:
		vcpu_events_check(vcpu);
		break;
	case PLATFORM_MSR_FAULT:
		verdict = MSR_FAULT;
		break;
	case PLATFORM_MSR_ABSENT:
		verdict = write_other(vcpu, msr, value);
		break;
	}
	return finish(vcpu, verdict, "write", msr);
}
