/* SPDX-License-Identifier: MIT */
/*
 * The model of the guest's CPU (SDM vol. 2, "CPUID-CPU Identification").
 *
 * Left out on purpose, whatever the host has: MONITOR (no idle state that an
 * emulator gets right), performance monitoring and PDCM, debug store, TSX, MPX,
 * AVX-512, AMX, protection keys, CET, SGX and LA57: state or behaviour that is
 * not saved, restored and moved to a peer yet. So there is no state that only
 * XSAVES keeps, and IA32_XSS is 0.
 */
#include "arch/x86/vmx/guest_cpuid.h"
#include "arch/x86/vmx/mitigation.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "lib/vmx.h"
#include "lib/x86.h"

#define LEAF1_ECX_X2APIC       BIT(21)
#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_ECX_XSAVE        BIT(26)
#define LEAF1_ECX_OSXSAVE      BIT(27)
#define LEAF1_ECX_AVX          BIT(28)
#define LEAF1_ECX_HYPERVISOR   BIT(31)
#define LEAF1_EDX_APIC         BIT(9)
#define LEAF1_EDX_HTT          BIT(28)
#define LEAF1_ECX_PCID         BIT(17)

/* SSE3 PCLMULQDQ SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX
 * F16C RDRAND */
#define LEAF1_ECX_FROM_HOST                                                  \
	(BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | LEAF1_ECX_PCID |     \
	 BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(25) | LEAF1_ECX_XSAVE | \
	 LEAF1_ECX_AVX | BIT(29) | BIT(30))
/* What is emulated, so that the host need not have it. */
#define LEAF1_ECX_ALWAYS \
	(LEAF1_ECX_X2APIC | LEAF1_ECX_TSC_DEADLINE | LEAF1_ECX_HYPERVISOR)

/* FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36
 * CLFSH MMX FXSR SSE SSE2 SS */
#define LEAF1_EDX_FROM_HOST  (BITS(9, 0) | BITS(17, 11) | BIT(19) | BITS(27, 23))

#define LEAF7_EBX_FSGSBASE   BIT(0)
#define LEAF7_EBX_TSC_ADJUST BIT(1)
#define LEAF7_EBX_SMEP       BIT(7)
#define LEAF7_EBX_INVPCID    BIT(10)
#define LEAF7_EBX_RDSEED     BIT(18)
#define LEAF1_ECX_RDRAND     BIT(30)
#define LEAF7_EBX_SMAP       BIT(20)
/* FSGSBASE BMI1 AVX2 SMEP BMI2 RDSEED ADX SMAP CLFLUSHOPT CLWB SHA */
#define LEAF7_EBX_FROM_HOST                                               \
	(LEAF7_EBX_FSGSBASE | BIT(3) | BIT(5) | LEAF7_EBX_SMEP | BIT(8) | \
	 BIT(18) | BIT(19) | LEAF7_EBX_SMAP | BIT(23) | BIT(24) | BIT(29))
#define LEAF7_ECX_UMIP      BIT(2)
#define LEAF7_ECX_RDPID     BIT(22)
#define LEAF7_ECX_FROM_HOST LEAF7_ECX_UMIP

/* What speculation needs: the guest protects itself as on the host. */
#define LEAF7_EDX_FROM_HOST                                      \
	(LEAF7_EDX_MD_CLEAR | LEAF7_EDX_IBRS | LEAF7_EDX_STIBP | \
	 LEAF7_EDX_L1D_FLUSH | LEAF7_EDX_ARCH_CAPABILITIES | LEAF7_EDX_SSBD)

#define LEAF6_EAX_ARAT           BIT(2) /* the APIC timer never stops */

/* LAHF in 64-bit mode, LZCNT, PREFETCHW */
#define EXT1_ECX_FROM_HOST       (BIT(0) | BIT(5) | BIT(8))
#define EXT1_EDX_SYSCALL         BIT(11)
#define EXT1_EDX_NX              BIT(20)
#define EXT1_EDX_RDTSCP          BIT(27)
/* SYSCALL NX 1G-pages LM */
#define EXT1_EDX_FROM_HOST       (EXT1_EDX_SYSCALL | EXT1_EDX_NX | BIT(26) | BIT(29))
#define EXT7_EDX_INVARIANT_TSC   BIT(8)

#define KVM_FEATURE_NOP_IO_DELAY BIT(1)

#define XSAVE_LEGACY_BYTES       576u /* 512 of FXSAVE, and the header */

static void build_version(struct guest_cpuid *cpuid,
			  const struct guest_cpuid_config *config)
{
	struct cpuid_leaf host0 = config->host(0, 0);
	struct cpuid_leaf host1 = config->host(1, 0);
	struct cpuid_leaf *leaf = &cpuid->basic[1];

	cpuid->basic[0] = host0; /* the vendor */
	cpuid->basic[0].eax = GUEST_CPUID_BASIC_MAX;
	leaf->eax = host1.eax;
	/* CLFLUSH line size; logical processors; the APIC id comes later. */
	leaf->ebx = (host1.ebx & (u32)BITS(15, 8)) | (config->vcpu_count & 0xff)
							 << 16;
	leaf->ecx =
	    (host1.ecx & (u32)LEAF1_ECX_FROM_HOST) | (u32)LEAF1_ECX_ALWAYS;
	leaf->edx =
	    (host1.edx & (u32)LEAF1_EDX_FROM_HOST) | (u32)LEAF1_EDX_APIC;
	if (config->vcpu_count > 1)
		leaf->edx |= (u32)LEAF1_EDX_HTT;
	if (!config->invpcid)
		leaf->ecx &= ~(u32)LEAF1_ECX_PCID;
	if (config->vmx)
		leaf->ecx |= (u32)GUEST_CPUID_1_ECX_VMX;
}

static void build_features(struct guest_cpuid *cpuid,
			   const struct guest_cpuid_config *config)
{
	struct cpuid_leaf host = {0};
	struct cpuid_leaf *leaf = &cpuid->basic[7];

	if (config->host(0, 0).eax >= 7)
		host = config->host(7, 0);
	leaf->ebx =
	    (host.ebx & (u32)LEAF7_EBX_FROM_HOST) | (u32)LEAF7_EBX_TSC_ADJUST;
	leaf->ecx = host.ecx & (u32)LEAF7_ECX_FROM_HOST;
	leaf->edx = host.edx & (u32)LEAF7_EDX_FROM_HOST;
	cpuid->arch_capabilities =
	    mitigation_guest_capabilities(config->arch_capabilities);
	if (config->invpcid)
		leaf->ebx |= host.ebx & (u32)LEAF7_EBX_INVPCID;
	if (config->rdtscp)
		leaf->ecx |= host.ecx & (u32)LEAF7_ECX_RDPID;
	cpuid->basic[6].eax = (u32)LEAF6_EAX_ARAT;
}

static void build_xsave(struct guest_cpuid *cpuid,
			const struct guest_cpuid_config *config)
{
	struct cpuid_leaf *features = &cpuid->basic[1];

	if (!(features->ecx & LEAF1_ECX_XSAVE)) {
		features->ecx &= ~(u32)LEAF1_ECX_AVX;
		return;
	}
	cpuid->xcr0_allowed = XCR0_X87 | XCR0_SSE;
	if (features->ecx & LEAF1_ECX_AVX) {
		cpuid->xcr0_allowed |= XCR0_AVX;
		cpuid->avx_state = config->host(0xd, 2);
		cpuid->avx_state.ecx = 0;
		cpuid->avx_state.edx = 0;
	}
	cpuid->basic[0xd].eax = (u32)cpuid->xcr0_allowed;
	cpuid->basic[0xd].ecx = XSAVE_LEGACY_BYTES + cpuid->avx_state.eax;
	/* XSAVES is a matter of one's VMCS. */
	cpuid->xsave_features.eax =
	    config->host(0xd, 1).eax &
	    (u32)(GUEST_CPUID_XSAVEOPT | GUEST_CPUID_XSAVEC |
		  (config->xsaves ? GUEST_CPUID_XSAVES : 0));
}

/* Leaf 4: the host's caches, each shared by no other vCPU. */
static void build_caches(struct guest_cpuid *cpuid,
			 const struct guest_cpuid_config *config)
{
	u32 max = config->host(0, 0).eax;

	if (max >= 2)
		cpuid->basic[2] = config->host(2, 0);
	for (u32 i = 0; max >= 4 && i < GUEST_CPUID_CACHES; i++) {
		cpuid->caches[i] = config->host(4, i);
		cpuid->caches[i].eax &= (u32)BITS(13, 0);
	}
}

/* Leaf 0x15: TSC = crystal * EBX / EAX; leaf 0x16: MHz, for display. */
static void build_frequencies(struct guest_cpuid *cpuid,
			      const struct guest_cpuid_config *config)
{
	u32 mhz = (u32)((config->tsc_hz + 500000) / 1000000);

	cpuid->basic[0x15] = (struct cpuid_leaf){
	    .eax = 1,
	    .ebx = (u32)(config->tsc_hz / config->apic_timer_hz),
	    .ecx = (u32)config->apic_timer_hz,
	};
	cpuid->basic[0x16].eax = mhz;
	cpuid->basic[0x16].ebx = mhz;
}

static void build_extended(struct guest_cpuid *cpuid,
			   const struct guest_cpuid_config *config)
{
	/* 48 characters; what is not written is 0. */
	static const char brand[48] = "Umbra Virtual CPU";
	struct cpuid_leaf host = config->host(0x80000001, 0);
	struct cpuid_leaf *leaves = cpuid->extended;

	leaves[0].eax = GUEST_CPUID_EXTENDED_MAX;
	leaves[1].ecx = host.ecx & (u32)EXT1_ECX_FROM_HOST;
	leaves[1].edx = host.edx & (u32)EXT1_EDX_FROM_HOST;
	if (config->rdtscp)
		leaves[1].edx |= host.edx & (u32)EXT1_EDX_RDTSCP;
	memcpy(&leaves[2], brand, sizeof(brand));
	leaves[7].edx = (u32)EXT7_EDX_INVARIANT_TSC;
	leaves[8].eax = config->physical_bits | 48 << 8;
}

void guest_cpuid_build(struct guest_cpuid *cpuid,
		       const struct guest_cpuid_config *config)
{
	memset(cpuid, 0, sizeof(*cpuid));
	cpuid->vcpu_count = config->vcpu_count;
	build_version(cpuid, config);
	build_features(cpuid, config);
	build_xsave(cpuid, config);
	build_caches(cpuid, config);
	build_frequencies(cpuid, config);
	build_extended(cpuid, config);
}

void guest_cpuid_hide_vmx(struct guest_cpuid *cpuid)
{
	cpuid->basic[1].ecx &= ~(u32)GUEST_CPUID_1_ECX_VMX;
}

static struct cpuid_leaf read_version(const struct guest_cpuid *cpuid,
				      const struct guest_cpuid_asker *asker)
{
	struct cpuid_leaf leaf = cpuid->basic[1];

	leaf.ebx |= asker->apic_id << 24;
	if (asker->cr4 & CR4_OSXSAVE)
		leaf.ecx |= (u32)LEAF1_ECX_OSXSAVE;
	if (!asker->apic_enabled)
		leaf.edx &= ~(u32)LEAF1_EDX_APIC;
	return leaf;
}

/* One package of cores without hyper-threads. */
static struct cpuid_leaf read_topology(const struct guest_cpuid *cpuid,
				       u32 subleaf,
				       const struct guest_cpuid_asker *asker)
{
	struct cpuid_leaf leaf = {.ecx = subleaf & 0xff, .edx = asker->apic_id};
	u32 bits = 0;

	while (1u << bits < cpuid->vcpu_count)
		bits++;
	if (subleaf == 0) {
		leaf.ebx = 1;
		leaf.ecx |= 1 << 8; /* level type: SMT */
	} else if (subleaf == 1) {
		leaf.eax = bits;
		leaf.ebx = cpuid->vcpu_count;
		leaf.ecx |= 2 << 8; /* level type: core */
	}
	return leaf;
}

/* What XSAVE, and XSAVEC, store of what is switched on. There is no gap. */
static u32 xsave_bytes(const struct guest_cpuid *cpuid, u64 xcr0)
{
	return XSAVE_LEGACY_BYTES +
	       (xcr0 & XCR0_AVX ? cpuid->avx_state.eax : 0);
}

static struct cpuid_leaf read_xsave(const struct guest_cpuid *cpuid,
				    u32 subleaf,
				    const struct guest_cpuid_asker *asker)
{
	struct cpuid_leaf leaf = cpuid->basic[0xd];

	switch (subleaf) {
	case 0:
		if (!cpuid->xcr0_allowed)
			return leaf;
		leaf.ebx = xsave_bytes(cpuid, asker->xcr0);
		return leaf;
	case 1:
		leaf = cpuid->xsave_features;
		if (leaf.eax & (GUEST_CPUID_XSAVEC | GUEST_CPUID_XSAVES))
			leaf.ebx = xsave_bytes(cpuid, asker->xcr0);
		return leaf;
	case 2:
		return cpuid->avx_state;
	default:
		return (struct cpuid_leaf){0};
	}
}

static struct cpuid_leaf read_basic(const struct guest_cpuid *cpuid, u32 leaf,
				    u32 subleaf,
				    const struct guest_cpuid_asker *asker)
{
	switch (leaf) {
	case 1:
		return read_version(cpuid, asker);
	case 4:
		if (subleaf < GUEST_CPUID_CACHES)
			return cpuid->caches[subleaf];
		return (struct cpuid_leaf){0};
	case 7:
		if (subleaf == 0)
			return cpuid->basic[7];
		return (struct cpuid_leaf){0};
	case 0xb:
		return read_topology(cpuid, subleaf, asker);
	case 0xd:
		return read_xsave(cpuid, subleaf, asker);
	default:
		return cpuid->basic[leaf];
	}
}

/*
 * Leaves for software that looks for a hypervisor. Umbra's own name comes
 * first, with nothing more to say. Behind it stands the interface of KVM
 * (Linux, "KVM CPUID bits"), without which Linux leaves x2APIC alone where
 * there is no interrupt remapping; of its features the one that is true here:
 * ports need no delay.
 */
static struct cpuid_leaf read_hypervisor(u32 leaf)
{
	struct cpuid_leaf name = {0};

	switch (leaf) {
	case GUEST_CPUID_HYPERVISOR:
		name.eax = GUEST_CPUID_HYPERVISOR;
		memcpy(&name.ebx, "UmbraUmbra\0\0", 12);
		break;
	case GUEST_CPUID_KVM:
		name.eax = GUEST_CPUID_KVM + 1;
		memcpy(&name.ebx, "KVMKVMKVM\0\0\0", 12);
		break;
	case GUEST_CPUID_KVM + 1:
		name.eax = (u32)KVM_FEATURE_NOP_IO_DELAY;
		break;
	default:
		break;
	}
	return name;
}

struct cpuid_leaf guest_cpuid_read(const struct guest_cpuid *cpuid, u32 leaf,
				   u32 subleaf,
				   const struct guest_cpuid_asker *asker)
{
	if (leaf <= GUEST_CPUID_BASIC_MAX)
		return read_basic(cpuid, leaf, subleaf, asker);
	if (leaf >= 0x80000000 && leaf <= GUEST_CPUID_EXTENDED_MAX)
		return cpuid->extended[leaf & 0xff];
	if (leaf >= GUEST_CPUID_HYPERVISOR && leaf < GUEST_CPUID_HYPERVISOR_END)
		return read_hypervisor(leaf);
	/* Above the highest leaf: what the highest basic leaf says. */
	return read_basic(cpuid, GUEST_CPUID_BASIC_MAX, subleaf, asker);
}

u64 guest_cpuid_cr4_allowed(const struct guest_cpuid *cpuid)
{
	u64 cr4 = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE |
		  CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	if (cpuid->basic[1].ecx & GUEST_CPUID_1_ECX_VMX)
		cr4 |= CR4_VMXE;
	if (cpuid->basic[1].ecx & LEAF1_ECX_PCID)
		cr4 |= CR4_PCIDE;
	if (cpuid->basic[1].ecx & LEAF1_ECX_XSAVE)
		cr4 |= CR4_OSXSAVE;
	if (cpuid->basic[7].ebx & LEAF7_EBX_FSGSBASE)
		cr4 |= CR4_FSGSBASE;
	if (cpuid->basic[7].ebx & LEAF7_EBX_SMEP)
		cr4 |= CR4_SMEP;
	if (cpuid->basic[7].ebx & LEAF7_EBX_SMAP)
		cr4 |= CR4_SMAP;
	if (cpuid->basic[7].ecx & LEAF7_ECX_UMIP)
		cr4 |= CR4_UMIP;
	return cr4;
}

u32 guest_cpuid_secondary(const struct guest_cpuid *cpuid, u32 word,
			  u32 may_be_1)
{
	u64 exits = 0, hidden = 0;

	if (!(cpuid->basic[1].ecx & LEAF1_ECX_RDRAND))
		exits |= SECONDARY_RDRAND;
	if (!(cpuid->basic[7].ebx & LEAF7_EBX_RDSEED))
		exits |= SECONDARY_RDSEED;
	if (!(cpuid->basic[7].ebx & LEAF7_EBX_INVPCID))
		hidden |= SECONDARY_INVPCID;
	if (!(cpuid->extended[1].edx & EXT1_EDX_RDTSCP))
		hidden |= SECONDARY_RDTSCP;
	/* Exits by no bit, since the bitmap has none. */
	if (cpuid->xsave_features.eax & GUEST_CPUID_XSAVES)
		exits |= SECONDARY_XSAVES;
	return (word & ~(u32)hidden) | ((u32)exits & may_be_1);
}
