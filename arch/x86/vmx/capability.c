/* SPDX-License-Identifier: MIT */
/* Reading and reporting the VMX capabilities. */
#include "arch/x86/vmx/capability.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/vmx/refusal.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/x86.h"

struct vmx_capability vmx_capability;

static u64 read_if(bool exists, u32 msr)
{
	return exists ? insn_rdmsr(msr) : 0;
}

/*
 * IA32_VMX_BASIC bit 55: the TRUE MSRs exist, in which some default-1 bits
 * may be switched off.
 */
static void read_control_words(struct vmx_capability *c)
{
	bool have_true = c->basic & BIT(55);

	c->words[CONTROLS_PIN] = control_capability(
	    insn_rdmsr(have_true ? MSR_VMX_TRUE_PIN : MSR_VMX_PIN));
	c->words[CONTROLS_PRIMARY] = control_capability(
	    insn_rdmsr(have_true ? MSR_VMX_TRUE_PRIMARY : MSR_VMX_PRIMARY));
	c->words[CONTROLS_EXIT] = control_capability(
	    insn_rdmsr(have_true ? MSR_VMX_TRUE_EXIT : MSR_VMX_EXIT));
	c->words[CONTROLS_ENTRY] = control_capability(
	    insn_rdmsr(have_true ? MSR_VMX_TRUE_ENTRY : MSR_VMX_ENTRY));
	c->words[CONTROLS_SECONDARY] = control_capability(
	    read_if(c->words[CONTROLS_PRIMARY].may_be_1 & PRIMARY_SECONDARY,
		    MSR_VMX_SECONDARY));
}

static void read_ept_format(struct vmx_capability *c)
{
	c->ept = (struct ept_format){
	    .largest_leaf = EPT_4K,
	    .physical_bits = (u8)cpu_features.physical_bits,
	    .accessed_dirty = c->ept_vpid & EPT_CAP_ACCESSED_DIRTY,
	    .execute_only = c->ept_vpid & EPT_CAP_EXECUTE_ONLY,
	    .uncacheable_tables = !(c->ept_vpid & EPT_CAP_WB),
	};
	if (c->ept_vpid & EPT_CAP_2M)
		c->ept.largest_leaf = EPT_2M;
	if ((c->ept_vpid & EPT_CAP_2M) && (c->ept_vpid & EPT_CAP_1G))
		c->ept.largest_leaf = EPT_1G;
}

static void read_all(struct vmx_capability *c)
{
	u32 secondary;

	c->basic = insn_rdmsr(MSR_VMX_BASIC);
	c->misc = insn_rdmsr(MSR_VMX_MISC);
	c->cr0_fixed0 = insn_rdmsr(MSR_VMX_CR0_FIXED0);
	c->cr0_fixed1 = insn_rdmsr(MSR_VMX_CR0_FIXED1);
	c->cr4_fixed0 = insn_rdmsr(MSR_VMX_CR4_FIXED0);
	c->cr4_fixed1 = insn_rdmsr(MSR_VMX_CR4_FIXED1);
	read_control_words(c);
	secondary = c->words[CONTROLS_SECONDARY].may_be_1;
	c->ept_vpid = read_if(secondary & (SECONDARY_EPT | SECONDARY_VPID),
			      MSR_VMX_EPT_VPID_CAP);
	c->vmfunc = read_if(secondary & SECONDARY_VMFUNC, MSR_VMX_VMFUNC);
	read_ept_format(c);
	c->preemption_shift = (u32)bits_get(c->misc, BITS(4, 0));
	c->has_pml = (secondary & SECONDARY_PML) && c->ept.accessed_dirty;
	/* A VPID is of use only if its entries can be dropped. */
	c->has_vpid = (secondary & SECONDARY_VPID) &&
		      (c->ept_vpid & EPT_CAP_INVVPID) &&
		      (c->ept_vpid & EPT_CAP_INVVPID_SINGLE);
	c->has_vmcs_shadowing = (secondary & SECONDARY_VMCS_SHADOWING) &&
				(c->misc & MISC_VMWRITE_ANY);
	c->has_preemption_timer =
	    c->words[CONTROLS_PIN].may_be_1 & PIN_PREEMPTION_TIMER;
}

bool vmx_capability_is_this_cpus(void)
{
	const struct vmx_capability *c = &vmx_capability;
	struct vmx_capability here = {.usable = false};

	read_all(&here);
	return here.basic == c->basic && here.misc == c->misc &&
	       here.ept_vpid == c->ept_vpid && here.vmfunc == c->vmfunc &&
	       here.cr0_fixed0 == c->cr0_fixed0 &&
	       here.cr0_fixed1 == c->cr0_fixed1 &&
	       here.cr4_fixed0 == c->cr4_fixed0 &&
	       here.cr4_fixed1 == c->cr4_fixed1 &&
	       !memcmp(here.words, c->words, sizeof(here.words));
}

static void report(const char *name, bool present, const char *without)
{
	if (present)
		log_info("VMX: %s: yes", name);
	else
		log_info("VMX: %s: no; %s", name, without);
}

static void report_delivery(const struct vmx_capability *c,
			    enum apicv_choice choice)
{
	if (choice == APICV_NO_DELIVERY &&
	    apicv_choose(c->words, APICV_ALL).delivery)
		log_info("VMX: virtual-interrupt delivery: yes; left out, as "
			 "Bochs delivers while interrupts are off (apicv=on: "
			 "used all the same)");
	else
		report("virtual-interrupt delivery", c->apicv.delivery,
		       "Umbra delivers interrupts, and each EOI exits");
}

static void report_monitor_trap(const struct vmx_capability *c,
				enum mtf_choice choice)
{
	const char *why = "guest hypervisors have none";

	if (choice == MTF_DEFECTIVE)
		why = "left out, as that of Bochs 2.7 does nothing (mtf=on: "
		      "offered all the same)";
	else if (choice == MTF_OFF)
		why = "switched off (mtf=off)";
	report("monitor trap flag for guest hypervisors",
	       c->offers_monitor_trap, why);
}

static void report_all(const struct vmx_capability *c, enum apicv_choice choice)
{
	u32 secondary = c->words[CONTROLS_SECONDARY].may_be_1;

	report("EPT", secondary & SECONDARY_EPT, "required");
	report("unrestricted guest", secondary & SECONDARY_UNRESTRICTED_GUEST,
	       "required");
	report("EPT 2M pages", c->ept.largest_leaf >= EPT_2M,
	       "4K pages are used, more TLB misses");
	report("EPT 1G pages", c->ept.largest_leaf >= EPT_1G,
	       "2M pages are used");
	report("EPT accessed and dirty bits", c->ept.accessed_dirty,
	       "dirty logging by write protection");
	report("PML", c->has_pml, "dirty logging by write protection");
	report("VPID", c->has_vpid, "each entry and exit flushes the TLB");
	report("preemption timer", c->has_preemption_timer,
	       "the local APIC's timer preempts guests");
	report("TSC scaling", secondary & SECONDARY_TSC_SCALING,
	       "a migrated guest sees this machine's TSC rate");
	report("VMCS shadowing", secondary & SECONDARY_VMCS_SHADOWING,
	       "a guest hypervisor's VMREAD and VMWRITE exit");
	report("virtual APIC", c->apicv.tpr_shadow,
	       "each access to one exits and is emulated");
	report_delivery(c, choice);
	report("posted interrupts", c->apicv.posted,
	       "an interrupt for a running guest exits it");
	if (choice == APICV_OFF)
		log_info("VMX: virtual APICs are switched off (apicv=off)");
}

static const char *refusal_of_controls(struct vmx_capability *c)
{
	const struct control_wish *unmet;

	if (controls_choose(c->words, &c->controls, &unmet) == OK) {
		if (!c->has_vpid)
			c->controls.words[CONTROLS_SECONDARY] &=
			    ~(u32)SECONDARY_VPID;
		return NULL;
	}
	log_error("VMX: this CPU %s \"%s\"",
		  unmet->need == CONTROL_FORBIDDEN ? "insists on"
						   : "does not offer",
		  unmet->name);
	return "a VMX control that Umbra depends on (named above) is not as "
	       "it must be";
}

void vmx_capability_read(enum apicv_choice apicv, enum mtf_choice mtf)
{
	struct vmx_capability *c = &vmx_capability;
	const char *refusal =
	    refusal_of_vmx(cpu_features.vmx ? VMX_PRESENT : VMX_ABSENT,
			   read_if(cpu_features.vmx, MSR_FEATURE_CONTROL));

	if (!refusal) {
		read_all(c);
		c->apicv = apicv_choose(c->words, apicv);
		c->delivery_is_wrong = apicv == APICV_NO_DELIVERY;
		c->offers_monitor_trap = mtf == MTF_IF_PRESENT &&
					 (c->words[CONTROLS_PRIMARY].may_be_1 &
					  PRIMARY_MONITOR_TRAP);
		report_all(c, apicv);
		report_monitor_trap(c, mtf);
		refusal = refusal_of_ept(c->words[CONTROLS_SECONDARY].may_be_1,
					 c->ept_vpid);
	}
	if (!refusal)
		refusal = refusal_of_controls(c);
	if (refusal)
		log_error("guests cannot run: %s (%s %s)", refusal,
			  cpu_features.vendor, cpu_features.brand);
	c->usable = !refusal;
}

#define CPUID_7_EBX_INVPCID BIT(10)
#define CPUID_EXT1_RDTSCP   BIT(27)

struct nested_hardware vmx_capability_for_guest(const struct guest_cpuid *cpuid)
{
	const struct vmx_capability *c = &vmx_capability;
	struct nested_hardware hardware = {
	    .basic = c->basic,
	    .misc = c->misc,
	    .ept_vpid = c->ept_vpid,
	    .vmfunc = c->vmfunc,
	    .cr4_allowed = guest_cpuid_cr4_allowed(cpuid) & c->cr4_fixed1,
	};

	for (u32 i = 0; i < CONTROLS_COUNT; i++)
		hardware.words[i] = c->words[i];
	/* Of L2's posted interrupts only the delivery is the CPU's. */
	hardware.words[CONTROLS_PIN].may_be_1 &= ~(u32)PIN_POSTED_INTERRUPTS;
	if (c->apicv.delivery)
		hardware.words[CONTROLS_PIN].may_be_1 |=
		    (u32)PIN_POSTED_INTERRUPTS;
	if (!c->offers_monitor_trap)
		hardware.words[CONTROLS_PRIMARY].may_be_1 &=
		    ~(u32)PRIMARY_MONITOR_TRAP;
	if (c->delivery_is_wrong)
		hardware.words[CONTROLS_SECONDARY].may_be_1 &=
		    ~(u32)SECONDARY_INTERRUPT_DELIVERY;
	if (!(cpuid->basic[7].ebx & CPUID_7_EBX_INVPCID))
		hardware.words[CONTROLS_SECONDARY].may_be_1 &=
		    ~(u32)SECONDARY_INVPCID;
	if (!(cpuid->extended[1].edx & CPUID_EXT1_RDTSCP))
		hardware.words[CONTROLS_SECONDARY].may_be_1 &=
		    ~(u32)SECONDARY_RDTSCP;
	if (!(cpuid->xsave_features.eax & GUEST_CPUID_XSAVES))
		hardware.words[CONTROLS_SECONDARY].may_be_1 &=
		    ~(u32)SECONDARY_XSAVES;
	/* VPIDs that cannot be emptied are of no use: capability.h. */
	if (!c->has_vpid)
		hardware.words[CONTROLS_SECONDARY].may_be_1 &=
		    ~(u32)SECONDARY_VPID;
	return hardware;
}
