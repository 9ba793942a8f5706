/* SPDX-License-Identifier: MIT */
/*
 * The CPU that a guest sees: CPUID leaves chosen once per VM, never passed
 * through.
 *
 * A feature is offered if Umbra supports it for guests (the masks in
 * guest_cpuid.c are the model's definition) and the host CPU has it. What a
 * leaf says may still depend on the vCPU that asks (its APIC id) or its state
 * (OSXSAVE, the XSAVE size in use): guest_cpuid_read() fills that in.
 *
 * Pure: host leaves come through a function.
 */
#ifndef ARCH_X86_VMX_GUEST_CPUID_H
#define ARCH_X86_VMX_GUEST_CPUID_H

#include "lib/bits.h"
#include "lib/types.h"

struct cpuid_leaf {
	u32 eax, ebx, ecx, edx;
};

#define GUEST_CPUID_BASIC_MAX      0x16u
#define GUEST_CPUID_EXTENDED_MAX   0x80000008u
#define GUEST_CPUID_HYPERVISOR     0x40000000u
#define GUEST_CPUID_KVM            0x40000100u
#define GUEST_CPUID_HYPERVISOR_END 0x40010000u
#define GUEST_CPUID_1_ECX_VMX      BIT(5)
#define GUEST_CPUID_CACHES         4 /* subleaves of leaf 4 */

/* Leaf 0xd, subleaf 1, EAX. */
#define GUEST_CPUID_XSAVEOPT       BIT(0)
#define GUEST_CPUID_XSAVEC         BIT(1)
#define GUEST_CPUID_XSAVES         BIT(3)

#define XCR0_X87                   1ULL
#define XCR0_SSE                   2ULL
#define XCR0_AVX                   4ULL

struct guest_cpuid {
	struct cpuid_leaf basic[GUEST_CPUID_BASIC_MAX + 1];
	struct cpuid_leaf extended[(GUEST_CPUID_EXTENDED_MAX & 0xff) + 1];
	struct cpuid_leaf caches[GUEST_CPUID_CACHES];
	struct cpuid_leaf avx_state;      /* leaf 0xd, subleaf 2 */
	struct cpuid_leaf xsave_features; /* leaf 0xd, subleaf 1 */
	u32 vcpu_count;
	u64 xcr0_allowed;
	u64 arch_capabilities; /* the MSR, where leaf 7 shows it */
};

struct guest_cpuid_config {
	u32 vcpu_count;
	u64 tsc_hz;
	u64 apic_timer_hz; /* the "crystal" of leaf 0x15 */
	u32 physical_bits;
	/* Host instructions that guests may use because VMX lets them. */
	bool rdtscp, invpcid, xsaves;
	u64 arch_capabilities; /* the host's MSR */
	bool vmx;              /* the guest may be a hypervisor */
	struct cpuid_leaf (*host)(u32 leaf, u32 subleaf);
};

void guest_cpuid_build(struct guest_cpuid *cpuid,
		       const struct guest_cpuid_config *config);

/* Nobody has been told yet that there is VMX. */
void guest_cpuid_hide_vmx(struct guest_cpuid *cpuid);

/* What of a leaf's answer depends on who asks. */
struct guest_cpuid_asker {
	u32 apic_id;
	u64 cr4, xcr0;
	/* How the APIC is switched: IA32_APIC_BASE's enable bit. */
	bool apic_enabled;
};

/* Any leaf; what does not exist reads as the manual says. */
struct cpuid_leaf guest_cpuid_read(const struct guest_cpuid *cpuid, u32 leaf,
				   u32 subleaf,
				   const struct guest_cpuid_asker *asker);

/*
 * The leaf if its answer depends neither on who asks nor on the subleaf, else
 * NULL: then guest_cpuid_read() knows. Where both answer they say the same.
 */
#define GUEST_CPUID_ASKED_LEAVES \
	(BIT(0x1) | BIT(0x4) | BIT(0x7) | BIT(0xb) | BIT(0xd))

static inline const struct cpuid_leaf *
guest_cpuid_fixed_leaf(const struct guest_cpuid *cpuid, u32 leaf)
{
	if (leaf <= GUEST_CPUID_BASIC_MAX &&
	    !(GUEST_CPUID_ASKED_LEAVES >> leaf & 1))
		return &cpuid->basic[leaf];
	return NULL;
}

/* CR4 bits that the offered features allow the guest to set. */
u64 guest_cpuid_cr4_allowed(const struct guest_cpuid *cpuid);

/*
 * The secondary controls of a guest that sees this CPUID: instructions that it
 * hides raise #UD where the CPU has a control for it, by not enabling them or
 * by an exit (RDRAND, RDSEED). `word` is what every guest has, `may_be_1` what
 * the CPU allows.
 */
u32 guest_cpuid_secondary(const struct guest_cpuid *cpuid, u32 word,
			  u32 may_be_1);

#endif
