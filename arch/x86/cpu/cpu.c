/* SPDX-License-Identifier: MIT */
/* What the CPUs can do, and bringing one under our control. */
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/descriptors.h"
#include "lib/string.h"
#include "lib/x86.h"

#define CPUID_LIMIT             3
#define CPUID_1_ECX_VMX         BIT(5)
#define MISC_ENABLE_LIMIT_CPUID BIT(22)

struct cpu cpus[CPU_MAX];
u32 cpu_count = 1;
struct cpu_features cpu_features;

/*
 * Firmware for old systems hides the leaves above 2 or 3 (SDM vol. 2,
 * "CPUID-CPU Identification"). Every CPU with VMX has the MSR, and more leaves.
 */
static void lift_cpuid_limit(void)
{
	u64 enabled;

	if (insn_cpuid(0, 0).eax > CPUID_LIMIT ||
	    !(insn_cpuid(1, 0).ecx & CPUID_1_ECX_VMX))
		return;
	enabled = insn_rdmsr(MSR_MISC_ENABLE);
	if (enabled & MISC_ENABLE_LIMIT_CPUID)
		insn_wrmsr(MSR_MISC_ENABLE, enabled & ~MISC_ENABLE_LIMIT_CPUID);
}

static void read_vendor(struct cpu_features *features)
{
	struct cpuid_result r = insn_cpuid(0, 0);

	features->max_leaf = r.eax;
	memcpy(features->vendor, &r.ebx, 4);
	memcpy(features->vendor + 4, &r.edx, 4);
	memcpy(features->vendor + 8, &r.ecx, 4);
}

static void read_brand(struct cpu_features *features)
{
	if (insn_cpuid(0x80000000, 0).eax < 0x80000004)
		return;
	for (u64 i = 0; i < 3; i++) {
		struct cpuid_result r = insn_cpuid((u32)(0x80000002 + i), 0);

		memcpy(features->brand + 16 * i, &r, 16);
	}
}

/* SDM vol. 2, "CPUID-CPU Identification": the version information. */
static void read_version(struct cpu_features *features)
{
	u32 eax = insn_cpuid(1, 0).eax;
	u32 family = (u32)bits_get(eax, BITS(11, 8));
	u32 model = (u32)bits_get(eax, BITS(7, 4));

	if (family == 6 || family == 15)
		model |= (u32)bits_get(eax, BITS(19, 16)) << 4;
	if (family == 15)
		family += (u32)bits_get(eax, BITS(27, 20));
	features->family = family;
	features->model = model;
	features->stepping = (u32)bits_get(eax, BITS(3, 0));
}

static void read_feature_bits(struct cpu_features *features)
{
	struct cpuid_result r = insn_cpuid(1, 0);

	features->vmx = r.ecx & CPUID_1_ECX_VMX;
	features->crc32 = r.ecx & BIT(20);
	features->x2apic = r.ecx & BIT(21);
	features->tsc_deadline = r.ecx & BIT(24);
	features->xsave = r.ecx & BIT(26);
	features->xsaves = features->xsave && (insn_cpuid(0xd, 1).eax & BIT(3));
	features->hypervisor = r.ecx & BIT(31);
	if (features->max_leaf >= 7) {
		r = insn_cpuid(7, 0);
		features->fsgsbase = r.ebx & BIT(0);
		features->smep = r.ebx & BIT(7);
		features->smap = r.ebx & BIT(20);
		features->umip = r.ecx & BIT(2);
		/* Below another hypervisor each XSETBV is an exit to it. */
		features->vectors =
		    !features->hypervisor && features->xsave &&
		    (r.ebx & BIT(16)) && (r.ebx & BIT(30)) &&
		    (r.ecx & BIT(10)) &&
		    (insn_cpuid(0xd, 0).eax & XCR0_VECTORS) == XCR0_VECTORS;
	}
	r = insn_cpuid(0x80000001, 0);
	features->pages_1g = r.edx & BIT(26);
	features->physical_bits = 36;
	if (insn_cpuid(0x80000000, 0).eax >= 0x80000008) {
		features->invariant_tsc =
		    insn_cpuid(0x80000007, 0).edx & BIT(8);
		features->physical_bits = insn_cpuid(0x80000008, 0).eax & 0xff;
	}
}

void cpu_read_features(void)
{
	lift_cpuid_limit();
	read_vendor(&cpu_features);
	read_brand(&cpu_features);
	read_version(&cpu_features);
	read_feature_bits(&cpu_features);
}

static u64 wanted_cr4(void)
{
	u64 cr4 = CR4_PAE | CR4_MCE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	if (cpu_features.smep)
		cr4 |= CR4_SMEP;
	if (cpu_features.smap)
		cr4 |= CR4_SMAP;
	if (cpu_features.umip)
		cr4 |= CR4_UMIP;
	if (cpu_features.fsgsbase)
		cr4 |= CR4_FSGSBASE;
	if (cpu_features.xsave)
		cr4 |= CR4_OSXSAVE;
	return cr4;
}

void cpu_init(struct cpu *cpu)
{
	lift_cpuid_limit();
	cpu->self = cpu;
	descriptors_load(cpu);
	insn_wrmsr(MSR_GS_BASE, (u64)cpu);
	insn_write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	insn_write_cr4(wanted_cr4());
	insn_wrmsr(MSR_PAT, PAT_RESET);
	if (cpu_features.xsaves)
		insn_wrmsr(MSR_XSS, 0);
}
