/* SPDX-License-Identifier: MIT */
/*
 * RDMSR and WRMSR of what is not free in the MSR bitmap.
 *
 * Unknown MSRs raise #GP(0), as on a CPU that does not have them.
 */
#include "arch/x86/vmx/exit_msr.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/exit_hyperv.h"
#include "arch/x86/vmx/mitigate.h"
#include "arch/x86/vmx/msr_value.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vmcs02.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "devices/mtrr.h"
#include "lib/log.h"
#include "lib/x86.h"

#define MSR_PLATFORM_ID   0x17u
#define MSR_MCG_CAP       0x179u
#define MSR_MCG_STATUS    0x17au

#define MISC_FAST_STRINGS BIT(0)

#define UNKNOWN_MSRS_SAID 8 /* lines per VM, then silence */

/*
 * The guest's TSC moves by the difference (SDM vol. 3, "Time-Stamp Counter
 * Adjustment"). The offset is this vCPU's alone.
 */
static void move_tsc(struct vcpu *vcpu, u64 difference)
{
	lapic_set_tsc_offset(vcpu->lapic, vcpu->lapic->tsc_offset + difference,
			     vm_now_ns(vcpu->vm));
	vcpu_load_tsc(vcpu);
	vcpu->tsc_adjust += difference;
	/* L1's preemption timer counts increments, and this is none. */
	if (vcpu->in_l2)
		vcpu->nested->state.timer_deadline += difference;
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

/*
 * MSRs that a guest reads and writes without an exit, for the MSR areas of VM
 * entries and exits: those with a field in the VMCS, and those that are live.
 */
static bool field_of(u32 msr, enum vmcs_field *field)
{
	switch (msr) {
	case MSR_FS_BASE:
		*field = VMCS_GUEST_FS_BASE;
		return true;
	case MSR_GS_BASE:
		*field = VMCS_GUEST_GS_BASE;
		return true;
	case MSR_SYSENTER_CS:
		*field = VMCS_GUEST_SYSENTER_CS;
		return true;
	case MSR_SYSENTER_ESP:
		*field = VMCS_GUEST_SYSENTER_ESP;
		return true;
	case MSR_SYSENTER_EIP:
		*field = VMCS_GUEST_SYSENTER_EIP;
		return true;
	case MSR_PAT:
		*field = VMCS_GUEST_PAT;
		return true;
	case MSR_EFER:
		*field = VMCS_GUEST_EFER;
		return true;
	default:
		return false;
	}
}

static bool is_canonical(u64 address)
{
	u64 upper = address >> 47;

	return upper == 0 || upper == ~0UL >> 47;
}

static bool is_live(u32 msr)
{
	return (msr >= MSR_STAR && msr <= MSR_FMASK) ||
	       msr == MSR_KERNEL_GS_BASE;
}

/* SDM vol. 2, "WRMSR-Write to Model Specific Register". */
static bool live_value_fits(u32 msr, u64 value)
{
	if (msr == MSR_FMASK)
		return !high32(value);
	return msr == MSR_STAR || is_canonical(value);
}

static enum msr_verdict write_free(u32 msr, u64 value)
{
	enum vmcs_field field;

	if (field_of(msr, &field)) {
		if (msr == MSR_SYSENTER_CS)
			value = low32(value);
		else if (!is_canonical(value))
			return MSR_FAULT;
		vmcs_write(field, value);
		return MSR_DONE;
	}
	if (!is_live(msr) || !live_value_fits(msr, value))
		return MSR_FAULT;
	insn_wrmsr(msr, value);
	return MSR_DONE;
}

static enum msr_verdict read_free(u32 msr, u64 *value)
{
	enum vmcs_field field;

	if (field_of(msr, &field))
		*value = vmcs_read(field);
	else if (is_live(msr))
		*value = insn_rdmsr(msr);
	else
		return MSR_FAULT;
	return MSR_DONE;
}

/* Memory-type ranges, and what most guests reach without an exit. */
static enum msr_verdict read_rest(const struct vcpu *vcpu, u32 msr, u64 *value)
{
	switch (mtrr_read(&vcpu->mtrr, msr, value)) {
	case MTRR_DONE:
		return MSR_DONE;
	case MTRR_FAULT:
		return MSR_FAULT;
	case MTRR_ABSENT:
		break;
	}
	return read_free(msr, value);
}

static enum msr_verdict write_rest(struct vcpu *vcpu, u32 msr, u64 value)
{
	switch (mtrr_write(&vcpu->mtrr, vcpu->vm->platform.config.phys_bits,
			   msr, value)) {
	case MTRR_DONE:
		return MSR_DONE;
	case MTRR_FAULT:
		return MSR_FAULT;
	case MTRR_ABSENT:
		break;
	}
	return write_free(msr, value);
}

static enum msr_verdict read_vmx(const struct vcpu *vcpu, u32 msr, u64 *value)
{
	if (!vcpu->nested)
		return MSR_FAULT;
	if (msr == MSR_FEATURE_CONTROL) {
		*value = vcpu->nested->state.feature_control;
		return MSR_DONE;
	}
	return nested_capability_read(&vcpu->vm->offer, msr, value) == OK
		   ? MSR_DONE
		   : MSR_FAULT;
}

static enum msr_verdict write_feature_control(struct vcpu *vcpu, u64 value)
{
	if (!vcpu->nested ||
	    nested_feature_control_write(&vcpu->nested->state.feature_control,
					 value) != OK)
		return MSR_FAULT;
	return MSR_DONE;
}

static bool is_vmx(u32 msr)
{
	return msr == MSR_FEATURE_CONTROL ||
	       (msr >= NESTED_MSR_FIRST &&
		msr < NESTED_MSR_FIRST + NESTED_MSR_COUNT);
}

/* No state is kept by it alone: it is 0, here and in the CPU (cpu_init). */
static enum msr_verdict read_xss(const struct vcpu *vcpu, u64 *value)
{
	*value = 0;
	return vcpu->vm->cpuid.xsave_features.eax & GUEST_CPUID_XSAVES
		   ? MSR_DONE
		   : MSR_FAULT;
}

/* The other bits say what there is, and stay as they are. */
static void write_misc_enable(struct vcpu *vcpu, u64 value)
{
	vcpu->misc_enable = (vcpu->misc_enable & ~MISC_FAST_STRINGS) |
			    (value & MISC_FAST_STRINGS);
}

static enum msr_verdict write_xss(const struct vcpu *vcpu, u64 value)
{
	u64 now;

	return value ? MSR_FAULT : read_xss(vcpu, &now);
}

static enum msr_verdict read_other(struct vcpu *vcpu, u32 msr, u64 *value)
{
	switch (msr) {
	case MSR_TSC_ADJUST:
		*value = vcpu->tsc_adjust;
		return MSR_DONE;
	case MSR_MISC_ENABLE:
		*value = vcpu->misc_enable;
		return MSR_DONE;
	case MSR_TSC_AUX:
		if (!vcpu_has_tsc_aux())
			return MSR_FAULT;
		*value = insn_rdmsr(MSR_TSC_AUX);
		return MSR_DONE;
	case MSR_XSS:
		return read_xss(vcpu, value);
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
	case MSR_MCG_CAP: /* no machine-check banks */
	case MSR_MCG_STATUS:
	case MSR_PLATFORM_ID:
	case MSR_BIOS_SIGN_ID: /* no microcode update loaded */
		*value = 0;
		return MSR_DONE;
	case MSR_TSC:
		*value = vcpu_tsc(vcpu);
		return MSR_DONE;
	default:
		if (exit_hyperv_has_msr(vcpu, msr))
			return exit_hyperv_read(vcpu, msr, value);
		return is_vmx(msr) ? read_vmx(vcpu, msr, value)
				   : read_rest(vcpu, msr, value);
	}
}

static enum msr_verdict write_other(struct vcpu *vcpu, u32 msr, u64 value)
{
	switch (msr) {
	case MSR_TSC:
		move_tsc(vcpu, value - vcpu_tsc(vcpu));
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
		if (!vcpu_has_tsc_aux() || high32(value))
			return MSR_FAULT;
		insn_wrmsr(MSR_TSC_AUX, value);
		return MSR_DONE;
	case MSR_XSS:
		return write_xss(vcpu, value);
	case MSR_MISC_ENABLE:
		write_misc_enable(vcpu, value);
		return MSR_DONE;
	case MSR_DEBUGCTL:
		/* Branch records are kept, and in no MSR of the guest's. */
		if (value & ~DEBUGCTL_OF_GUESTS)
			return MSR_FAULT;
		vmcs_write(VMCS_GUEST_DEBUGCTL, value);
		return MSR_DONE;
	case MSR_BIOS_SIGN_ID:
	case MSR_MCG_STATUS:
		return MSR_DONE; /* writable, without effect */
	case MSR_FEATURE_CONTROL:
		return write_feature_control(vcpu, value);
	default:
		if (exit_hyperv_has_msr(vcpu, msr))
			return exit_hyperv_write(vcpu, msr, value);
		return write_rest(vcpu, msr, value);
	}
}

enum msr_verdict exit_msr_read(struct vcpu *vcpu, u32 msr, u64 *value)
{
	switch (platform_msr_read(&vcpu->vm->platform, vcpu->index, msr, value,
				  vm_now_ns(vcpu->vm))) {
	case PLATFORM_MSR_DONE:
		return MSR_DONE;
	case PLATFORM_MSR_FAULT:
		return MSR_FAULT;
	case PLATFORM_MSR_ABSENT:
		break;
	}
	return read_other(vcpu, msr, value);
}

enum msr_verdict exit_msr_write(struct vcpu *vcpu, u32 msr, u64 value)
{
	switch (platform_msr_write(&vcpu->vm->platform, vcpu->index, msr, value,
				   vm_now_ns(vcpu->vm))) {
	case PLATFORM_MSR_DONE:
		vcpu_events_check(vcpu);
		if (msr == MSR_IA32_APIC_BASE)
			vcpu->attention = 1; /* vcpu_apic_look */
		return MSR_DONE;
	case PLATFORM_MSR_FAULT:
		return MSR_FAULT;
	case PLATFORM_MSR_ABSENT:
		break;
	}
	return write_other(vcpu, msr, value);
}

static enum exit_action finish(struct vcpu *vcpu, enum msr_verdict verdict,
			       const char *what, u32 msr)
{
	if (verdict == MSR_DONE)
		return ACTION_SKIP;
	if (vcpu->vm->faulting_msrs < UNKNOWN_MSRS_SAID) {
		vcpu->vm->faulting_msrs++;
		log_info("guest %s: %s of MSR %#x raises #GP%s", vcpu->vm->name,
			 what, msr,
			 vcpu->vm->faulting_msrs == UNKNOWN_MSRS_SAID
			     ? "; no more of these are told"
			     : "");
	}
	vcpu_raise_with_code(vcpu, EXCEPTION_GP, 0);
	return ACTION_RESUME;
}

enum exit_action on_rdmsr(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	u64 *gpr = vcpu->registers.gpr;
	u32 msr = low32(gpr[REG_RCX]);
	u64 value = 0;
	enum msr_verdict verdict = exit_msr_read(vcpu, msr, &value);

	(void)exit;
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

	(void)exit;
	return finish(vcpu, exit_msr_write(vcpu, msr, value), "write", msr);
}
