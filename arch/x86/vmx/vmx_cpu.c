/* SPDX-License-Identifier: MIT */
/* VMX operation of one CPU. */
#include "arch/x86/vmx/vmx_cpu.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/mitigate.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/log.h"
#include "lib/x86.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

static bool enabled[CPU_MAX];

void vmx_write_revision(hpa_t region)
{
	/* IA32_VMX_BASIC bits 30:0; bit 31 of the region must be 0. */
	*(u32 *)phys_ptr(region) =
	    (u32)bits_get(vmx_capability.basic, BITS(30, 0));
}

/* SDM vol. 3, "Enabling and Entering VMX Operation": the firmware's say. */
static enum err unlock(void)
{
	const u64 on = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX;
	u64 control = insn_rdmsr(MSR_FEATURE_CONTROL);

	if (!(control & FEATURE_CONTROL_LOCK)) {
		insn_wrmsr(MSR_FEATURE_CONTROL, control | on);
		control = insn_rdmsr(MSR_FEATURE_CONTROL);
	}
	if ((control & on) == on)
		return OK;
	log_error("CPU %u: the firmware has VMX disabled on this CPU only; no "
		  "guest runs on it",
		  cpu_this()->index);
	return ERR_UNSUPPORTED;
}

static enum err check_like_first_cpu(void)
{
	if (vmx_capability_is_this_cpus())
		return OK;
	log_error("CPU %u: its VMX capabilities differ from the first CPU's; "
		  "no guest runs on it",
		  cpu_this()->index);
	return ERR_UNSUPPORTED;
}

enum err vmx_cpu_enable(void)
{
	hpa_t region;
	enum err err = unlock();

	if (err == OK)
		err = check_like_first_cpu();
	if (err == OK)
		err = frame_alloc_zeroed(FRAME_4K, "a CPU's VMXON region",
					 &region);
	if (err != OK)
		return err;
	vmx_write_revision(region);
	insn_write_cr0((insn_read_cr0() | vmx_capability.cr0_fixed0) &
		       vmx_capability.cr0_fixed1);
	insn_write_cr4(
	    (insn_read_cr4() | CR4_VMXE | vmx_capability.cr4_fixed0) &
	    vmx_capability.cr4_fixed1);
	if (insn_vmxon(region) != VMX_SUCCEED) {
		insn_write_cr4(insn_read_cr4() & ~CR4_VMXE);
		frame_free(region, FRAME_4K);
		log_error("CPU %u: VMXON fails; no guest runs on it",
			  cpu_this()->index);
		return ERR_UNSUPPORTED;
	}
	enabled[cpu_this()->index] = true;
	mitigate_this_cpu();
	/* Nothing from before, not even the firmware's, may be found again. */
	if (vmx_capability.ept_vpid & EPT_CAP_INVEPT_ALL)
		CHECK(insn_invept(INVEPT_ALL_CONTEXTS, 0) == VMX_SUCCEED);
	if (vmx_capability.has_vpid &&
	    (vmx_capability.ept_vpid & EPT_CAP_INVVPID_ALL))
		CHECK(insn_invvpid(INVVPID_ALL_CONTEXTS, 0) == VMX_SUCCEED);
	return OK;
}

bool vmx_cpu_is_enabled(void)
{
	return enabled[cpu_this()->index];
}

void vmx_flush_ept(u64 eptp)
{
	enum invept_type type = vmx_capability.ept_vpid & EPT_CAP_INVEPT_SINGLE
				    ? INVEPT_SINGLE_CONTEXT
				    : INVEPT_ALL_CONTEXTS;

	cpu_this()->flush_count++;
	CHECK(insn_invept(type, eptp) == VMX_SUCCEED);
}

void vmx_flush_all_ept(void)
{
	cpu_this()->flush_count++;
	CHECK(insn_invept(INVEPT_ALL_CONTEXTS, 0) == VMX_SUCCEED);
}

void vmx_flush_vpid(u16 vpid)
{
	cpu_this()->flush_count++;
	CHECK(insn_invvpid(INVVPID_SINGLE_CONTEXT, vpid) == VMX_SUCCEED);
}
