/* SPDX-License-Identifier: MIT */
/* CPU models with names: see guest_cpu.h. */
#include "arch/x86/vmx/guest_cpu.h"
#include "lib/bits.h"
#include "lib/fmt.h"
#include "lib/string.h"

/* SDM vol. 2, "CPUID-CPU Identification". */
#define SSE3           BIT(0)
#define PCLMULQDQ      BIT(1)
#define SSSE3          BIT(9)
#define FMA            BIT(12)
#define CX16           BIT(13)
#define PCID           BIT(17)
#define SSE4_1         BIT(19)
#define SSE4_2         BIT(20)
#define MOVBE          BIT(22)
#define POPCNT         BIT(23)
#define AES            BIT(25)
#define XSAVE          BIT(26)
#define AVX            BIT(28)
#define F16C           BIT(29)
#define RDRAND         BIT(30)

#define FSGSBASE       BIT(0)
#define BMI1           BIT(3)
#define AVX2           BIT(5)
#define SMEP           BIT(7)
#define BMI2           BIT(8)
#define INVPCID        BIT(10)
#define RDSEED         BIT(18)
#define ADX            BIT(19)
#define SMAP           BIT(20)
#define CLFLUSHOPT     BIT(23)
#define CLWB           BIT(24)
#define SHA            BIT(29)

#define UMIP           BIT(2)
#define RDPID          BIT(22)

#define XSAVEOPT       BIT(0)

#define LAHF           BIT(0)
#define LZCNT          BIT(5)
#define PREFETCHW      BIT(8)

#define SYSCALL        BIT(11)
#define NX             BIT(20)
#define PAGES_1G       BIT(26)
#define RDTSCP         BIT(27)
#define LONG_MODE      BIT(29)

/* FPU VME DE PSE TSC MSR PAE MCE CX8, SEP MTRR PGE MCA CMOV PAT PSE36, CLFSH,
 * MMX FXSR SSE SSE2: what every CPU with 64 bits has. */
#define EDX_OF_64_BITS (BITS(8, 0) | BITS(17, 11) | BIT(19) | BITS(26, 23))
#define SELF_SNOOP     BIT(27) /* lent, but in no model */

/* Each generation's own, on top of what came before. */
#define NEHALEM_1_ECX  (SSE3 | SSSE3 | CX16 | SSE4_1 | SSE4_2 | POPCNT)
#define WESTMERE_1_ECX (NEHALEM_1_ECX | PCLMULQDQ | AES)
#define HASWELL_1_ECX \
	(WESTMERE_1_ECX | FMA | PCID | MOVBE | XSAVE | AVX | F16C | RDRAND)
#define HASWELL_7_EBX   (FSGSBASE | BMI1 | AVX2 | SMEP | BMI2 | INVPCID)
#define SKYLAKE_7_EBX   (HASWELL_7_EBX | RDSEED | ADX | SMAP | CLFLUSHOPT)
#define ICELAKE_7_EBX   (SKYLAKE_7_EBX | CLWB | SHA)
#define ICELAKE_7_ECX   (UMIP | RDPID)
#define NEHALEM_EXT_EDX (SYSCALL | NX | RDTSCP | LONG_MODE)
#define HASWELL_EXT_EDX (NEHALEM_EXT_EDX | PAGES_1G)
#define HASWELL_EXT_ECX (LAHF | LZCNT)
#define SKYLAKE_EXT_ECX (HASWELL_EXT_ECX | PREFETCHW)

const struct guest_cpu guest_cpus[] = {
    {"nehalem",
     0x106a5,
     {NEHALEM_1_ECX, EDX_OF_64_BITS, 0, 0, 0, LAHF, NEHALEM_EXT_EDX}},
    {"westmere",
     0x206c2,
     {WESTMERE_1_ECX, EDX_OF_64_BITS, 0, 0, 0, LAHF, NEHALEM_EXT_EDX}},
    {"haswell",
     0x306c3,
     {HASWELL_1_ECX, EDX_OF_64_BITS, HASWELL_7_EBX, 0, XSAVEOPT,
      HASWELL_EXT_ECX, HASWELL_EXT_EDX}},
    {"skylake",
     0x506e3,
     {HASWELL_1_ECX, EDX_OF_64_BITS, SKYLAKE_7_EBX, 0, XSAVEOPT,
      SKYLAKE_EXT_ECX, HASWELL_EXT_EDX}},
    {"icelake",
     0x606a6,
     {HASWELL_1_ECX, EDX_OF_64_BITS, ICELAKE_7_EBX, ICELAKE_7_ECX, XSAVEOPT,
      SKYLAKE_EXT_ECX, HASWELL_EXT_EDX}},
};
const u32 guest_cpu_count = ARRAY_COUNT(guest_cpus);

/* What a model decides about: all that the newest has, and what none has. */
static u32 governed(enum guest_cpu_word word)
{
	u32 bits = guest_cpus[guest_cpu_count - 1].features[word];

	if (word == GUEST_CPU_1_EDX)
		bits |= (u32)SELF_SNOOP;
	if (word == GUEST_CPU_D1_EAX)
		bits |= (u32)(GUEST_CPUID_XSAVEC | GUEST_CPUID_XSAVES);
	return bits;
}

struct feature_name {
	enum guest_cpu_word word;
	u32 bit;
	const char *name;
};

static const struct feature_name names[] = {
    {GUEST_CPU_1_ECX, SSE3, "SSE3"},
    {GUEST_CPU_1_ECX, PCLMULQDQ, "PCLMULQDQ"},
    {GUEST_CPU_1_ECX, SSSE3, "SSSE3"},
    {GUEST_CPU_1_ECX, FMA, "FMA"},
    {GUEST_CPU_1_ECX, CX16, "CMPXCHG16B"},
    {GUEST_CPU_1_ECX, PCID, "PCID"},
    {GUEST_CPU_1_ECX, SSE4_1, "SSE4.1"},
    {GUEST_CPU_1_ECX, SSE4_2, "SSE4.2"},
    {GUEST_CPU_1_ECX, MOVBE, "MOVBE"},
    {GUEST_CPU_1_ECX, POPCNT, "POPCNT"},
    {GUEST_CPU_1_ECX, AES, "AES"},
    {GUEST_CPU_1_ECX, XSAVE, "XSAVE"},
    {GUEST_CPU_1_ECX, AVX, "AVX"},
    {GUEST_CPU_1_ECX, F16C, "F16C"},
    {GUEST_CPU_1_ECX, RDRAND, "RDRAND"},
    {GUEST_CPU_1_EDX, EDX_OF_64_BITS, "one of leaf 1's EDX"},
    {GUEST_CPU_7_EBX, FSGSBASE, "FSGSBASE"},
    {GUEST_CPU_7_EBX, BMI1, "BMI1"},
    {GUEST_CPU_7_EBX, AVX2, "AVX2"},
    {GUEST_CPU_7_EBX, SMEP, "SMEP"},
    {GUEST_CPU_7_EBX, BMI2, "BMI2"},
    {GUEST_CPU_7_EBX, INVPCID, "INVPCID"},
    {GUEST_CPU_7_EBX, RDSEED, "RDSEED"},
    {GUEST_CPU_7_EBX, ADX, "ADX"},
    {GUEST_CPU_7_EBX, SMAP, "SMAP"},
    {GUEST_CPU_7_EBX, CLFLUSHOPT, "CLFLUSHOPT"},
    {GUEST_CPU_7_EBX, CLWB, "CLWB"},
    {GUEST_CPU_7_EBX, SHA, "SHA"},
    {GUEST_CPU_7_ECX, UMIP, "UMIP"},
    {GUEST_CPU_7_ECX, RDPID, "RDPID"},
    {GUEST_CPU_D1_EAX, XSAVEOPT, "XSAVEOPT"},
    {GUEST_CPU_80000001_ECX, LAHF, "LAHF"},
    {GUEST_CPU_80000001_ECX, LZCNT, "LZCNT"},
    {GUEST_CPU_80000001_ECX, PREFETCHW, "PREFETCHW"},
    {GUEST_CPU_80000001_EDX, SYSCALL, "SYSCALL"},
    {GUEST_CPU_80000001_EDX, NX, "NX"},
    {GUEST_CPU_80000001_EDX, PAGES_1G, "1G-pages"},
    {GUEST_CPU_80000001_EDX, RDTSCP, "RDTSCP"},
    {GUEST_CPU_80000001_EDX, LONG_MODE, "64-bit-mode"},
};

static u32 *word_of(struct guest_cpuid *cpuid, enum guest_cpu_word word)
{
	switch (word) {
	case GUEST_CPU_1_ECX:
		return &cpuid->basic[1].ecx;
	case GUEST_CPU_1_EDX:
		return &cpuid->basic[1].edx;
	case GUEST_CPU_7_EBX:
		return &cpuid->basic[7].ebx;
	case GUEST_CPU_7_ECX:
		return &cpuid->basic[7].ecx;
	case GUEST_CPU_D1_EAX:
		return &cpuid->xsave_features.eax;
	case GUEST_CPU_80000001_ECX:
		return &cpuid->extended[1].ecx;
	case GUEST_CPU_80000001_EDX:
	case GUEST_CPU_WORDS:
		break;
	}
	return &cpuid->extended[1].edx;
}

static u32 missing(const struct guest_cpu *cpu, const struct guest_cpuid *host,
		   enum guest_cpu_word word)
{
	const u32 has[GUEST_CPU_WORDS] = {
	    [GUEST_CPU_1_ECX] = host->basic[1].ecx,
	    [GUEST_CPU_1_EDX] = host->basic[1].edx,
	    [GUEST_CPU_7_EBX] = host->basic[7].ebx,
	    [GUEST_CPU_7_ECX] = host->basic[7].ecx,
	    [GUEST_CPU_D1_EAX] = host->xsave_features.eax,
	    [GUEST_CPU_80000001_ECX] = host->extended[1].ecx,
	    [GUEST_CPU_80000001_EDX] = host->extended[1].edx,
	};

	return cpu->features[word] & ~has[word];
}

const struct guest_cpu *guest_cpu_find(const char *name)
{
	for (u32 i = 0; i < guest_cpu_count; i++)
		if (strcmp(guest_cpus[i].name, name) == 0)
			return &guest_cpus[i];
	return NULL;
}

static bool fits(const struct guest_cpu *cpu, const struct guest_cpuid *host)
{
	for (u32 word = 0; word < GUEST_CPU_WORDS; word++)
		if (missing(cpu, host, (enum guest_cpu_word)word))
			return false;
	return true;
}

const struct guest_cpu *guest_cpu_best(const struct guest_cpuid *host)
{
	for (u32 i = guest_cpu_count; i > 0; i--)
		if (fits(&guest_cpus[i - 1], host))
			return &guest_cpus[i - 1];
	return NULL;
}

void guest_cpu_describe_missing(const struct guest_cpu *cpu,
				const struct guest_cpuid *host, char *text,
				size_t size)
{
	size_t used = 0;

	text[0] = 0;
	for (u32 i = 0; i < ARRAY_COUNT(names) && used < size; i++)
		if (missing(cpu, host, names[i].word) & names[i].bit)
			used += fmt(text + used, size - used, "%s%s",
				    used ? " " : "", names[i].name);
}

/* --- What a model shows --------------------------------------------------- */

#define LEAF1_EBX_CLFLUSH  BITS(15, 8)
#define CLFLUSH_64_BYTES   (8 << 8)
#define LEGACY_BYTES       576u /* of XSAVE: FXSAVE's and the header */

/* SDM vol. 2, "CPUID-CPU Identification", leaf 4: type and level, self
 * initialising; ways, partitions, line of 64 bytes; sets. */
#define CACHE(type, level) ((type) | (level) << 5 | 1 << 8)
#define CACHE_WAYS(ways)   (((ways)-1) << 22 | 63)
#define CACHE_OF_DATA      1
#define CACHE_OF_CODE      2
#define CACHE_OF_BOTH      3

/* 32K for data and 32K for code, 1M, 16M. */
static const struct cpuid_leaf caches[GUEST_CPUID_CACHES] = {
    {CACHE(CACHE_OF_DATA, 1), CACHE_WAYS(8), 63, 0},
    {CACHE(CACHE_OF_CODE, 1), CACHE_WAYS(8), 63, 0},
    {CACHE(CACHE_OF_BOTH, 2), CACHE_WAYS(16), 1023, 0},
    {CACHE(CACHE_OF_BOTH, 3), CACHE_WAYS(16), 16383, 0},
};
/* Leaf 2: TLBs of 64 entries, a second level of 1024; caches are in leaf 4. */
static const struct cpuid_leaf tlbs = {0x76036301, 0x00f0b5ff, 0, 0x00c10000};

static void apply_xsave(struct guest_cpuid *cpuid)
{
	if (!(cpuid->basic[1].ecx & AVX)) {
		cpuid->xcr0_allowed &= XCR0_X87 | XCR0_SSE;
		memset(&cpuid->avx_state, 0, sizeof(cpuid->avx_state));
	}
	if (!(cpuid->basic[1].ecx & XSAVE))
		cpuid->xcr0_allowed = 0;
	memset(&cpuid->basic[0xd], 0, sizeof(cpuid->basic[0xd]));
	cpuid->basic[0xd].eax = (u32)cpuid->xcr0_allowed;
	if (cpuid->xcr0_allowed)
		cpuid->basic[0xd].ecx = LEGACY_BYTES + cpuid->avx_state.eax;
}

void guest_cpu_apply(const struct guest_cpu *cpu, struct guest_cpuid *cpuid)
{
	struct cpuid_leaf *basic = cpuid->basic;
	char brand[48] = {0};

	for (u32 i = 0; i < GUEST_CPU_WORDS; i++) {
		enum guest_cpu_word word = (enum guest_cpu_word)i;
		u32 *bits = word_of(cpuid, word);

		*bits = (*bits & ~governed(word)) | cpu->features[word];
	}
	memcpy(&basic[0].ebx, "Genu", 4);
	memcpy(&basic[0].edx, "ineI", 4);
	memcpy(&basic[0].ecx, "ntel", 4);
	basic[1].eax = cpu->signature;
	basic[1].ebx &= ~(u32)LEAF1_EBX_CLFLUSH;
	basic[1].ebx |= CLFLUSH_64_BYTES;
	basic[2] = tlbs;
	memcpy(cpuid->caches, caches, sizeof(caches));
	apply_xsave(cpuid);
	fmt(brand, sizeof(brand), "Umbra Virtual CPU (%s)", cpu->name);
	memcpy(&cpuid->extended[2], brand, sizeof(brand));
}
