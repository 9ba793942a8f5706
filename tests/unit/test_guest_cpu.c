/* SPDX-License-Identifier: MIT */
/* CPU models: the same on every host that can carry them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/vmx/guest_cpu.h"
#include "lib/fmt.h"

/* --- A host: everything, less what a test takes away ---------------------- */

static const struct guest_cpu *host_has; /* exactly these; NULL: everything */
static u32 host_lacks[GUEST_CPU_WORDS];
static u32 host_signature;

static u32 bits_of(enum guest_cpu_word word)
{
	return (host_has ? host_has->features[word] : ~0u) & ~host_lacks[word];
}

static struct cpuid_leaf read_host(u32 leaf, u32 subleaf)
{
	switch (leaf) {
	case 0:
		return (struct cpuid_leaf){0x20, 0x756e6547, 0x6c65746e,
					   0x49656e69};
	case 1:
		return (struct cpuid_leaf){host_signature, host_signature << 8,
					   bits_of(GUEST_CPU_1_ECX),
					   bits_of(GUEST_CPU_1_EDX)};
	case 2:
	case 4:
		return (struct cpuid_leaf){host_signature, 1, 2, 3};
	case 7:
		return (struct cpuid_leaf){0, bits_of(GUEST_CPU_7_EBX),
					   bits_of(GUEST_CPU_7_ECX), 0};
	case 0xd:
		if (subleaf == 1)
			return (struct cpuid_leaf){bits_of(GUEST_CPU_D1_EAX), 0,
						   0, 0};
		return (struct cpuid_leaf){256, 576, 0, 0};
	case 0x80000001:
		return (struct cpuid_leaf){0, 0,
					   bits_of(GUEST_CPU_80000001_ECX),
					   bits_of(GUEST_CPU_80000001_EDX)};
	default:
		return (struct cpuid_leaf){0};
	}
}

static int on_a_host_with_everything(void **state)
{
	(void)state;
	host_has = NULL;
	host_signature = 0x806c1;
	memset(host_lacks, 0, sizeof(host_lacks));
	return 0;
}

static void build(struct guest_cpuid *cpuid)
{
	const struct guest_cpuid_config config = {
	    .vcpu_count = 2,
	    .tsc_hz = 2400000000,
	    .apic_timer_hz = 24000000,
	    .physical_bits = 40,
	    .rdtscp = true,
	    .invpcid = true,
	    .xsaves = true,
	    .host = read_host,
	};

	guest_cpuid_build(cpuid, &config);
}

/* --- Tests ---------------------------------------------------------------- */

static void model_is_the_same_on_every_host(void **state)
{
	static struct guest_cpuid rich, poor;

	(void)state;
	for (u32 i = 0; i < guest_cpu_count; i++) {
		host_has = NULL;
		host_signature = 0x806c1;
		build(&rich);
		guest_cpu_apply(&guest_cpus[i], &rich);
		host_has = &guest_cpus[i];
		host_signature = guest_cpus[i].signature ^ 0xff0;
		build(&poor);
		guest_cpu_apply(&guest_cpus[i], &poor);
		assert_memory_equal(&rich, &poor, sizeof(rich));
	}
}

static void each_model_has_what_the_one_before_has(void **state)
{
	(void)state;
	for (u32 i = 1; i < guest_cpu_count; i++)
		for (u32 word = 0; word < GUEST_CPU_WORDS; word++)
			assert_int_equal(guest_cpus[i - 1].features[word] &
					     ~guest_cpus[i].features[word],
					 0);
}

static void newest_that_fits_is_chosen(void **state)
{
	static struct guest_cpuid cpuid;

	(void)state;
	build(&cpuid);
	assert_ptr_equal(guest_cpu_best(&cpuid),
			 &guest_cpus[guest_cpu_count - 1]);
	for (u32 i = 0; i < guest_cpu_count; i++) {
		host_has = &guest_cpus[i];
		build(&cpuid);
		assert_ptr_equal(guest_cpu_best(&cpuid), &guest_cpus[i]);
	}
	host_lacks[GUEST_CPU_1_ECX] = 1; /* SSE3 */
	build(&cpuid);
	assert_null(guest_cpu_best(&cpuid));
}

/* Whatever single feature a host lacks, the choice is a model without it. */
static void choice_never_promises_what_is_not_there(void **state)
{
	static struct guest_cpuid cpuid;
	char text[128];

	(void)state;
	for (u32 word = 0; word < GUEST_CPU_WORDS; word++)
		for (u32 bit = 0; bit < 32; bit++) {
			const struct guest_cpu *best;
			const struct guest_cpu *newest =
			    &guest_cpus[guest_cpu_count - 1];

			memset(host_lacks, 0, sizeof(host_lacks));
			host_lacks[word] = 1u << bit;
			build(&cpuid);
			best = guest_cpu_best(&cpuid);
			if (best)
				assert_int_equal(
				    best->features[word] & host_lacks[word], 0);
			guest_cpu_describe_missing(newest, &cpuid, text,
						   sizeof(text));
			/* A lack shows in the choice and is called by name. */
			assert_int_equal(best != newest, text[0] != 0);
		}
}

static void what_is_missing_is_named(void **state)
{
	static struct guest_cpuid cpuid;
	char text[128], little[8];

	(void)state;
	host_lacks[GUEST_CPU_1_ECX] = 1u << 28;
	host_lacks[GUEST_CPU_7_EBX] = 1u << 20 | 1u << 5;
	build(&cpuid);
	guest_cpu_describe_missing(guest_cpu_find("skylake"), &cpuid, text,
				   sizeof(text));
	assert_string_equal(text, "AVX AVX2 SMAP");
	guest_cpu_describe_missing(guest_cpu_find("westmere"), &cpuid, text,
				   sizeof(text));
	assert_string_equal(text, "");
	guest_cpu_describe_missing(guest_cpu_find("skylake"), &cpuid, little,
				   sizeof(little));
	assert_string_equal(little, "AVX AVX");
}

static struct cpuid_leaf ask(const struct guest_cpuid *cpuid, u32 leaf,
			     u32 subleaf, u64 xcr0)
{
	const struct guest_cpuid_asker asker = {.apic_enabled = true,
						.xcr0 = xcr0};

	return guest_cpuid_read(cpuid, leaf, subleaf, &asker);
}

static void model_without_avx_has_no_state_of_it(void **state)
{
	static struct guest_cpuid cpuid;

	(void)state;
	build(&cpuid);
	guest_cpu_apply(guest_cpu_find("westmere"), &cpuid);
	assert_int_equal(cpuid.xcr0_allowed, 0);
	for (u32 subleaf = 0; subleaf < 4; subleaf++) {
		struct cpuid_leaf leaf = ask(&cpuid, 0xd, subleaf, 1);

		assert_int_equal(leaf.eax | leaf.ebx | leaf.ecx | leaf.edx, 0);
	}
	build(&cpuid);
	guest_cpu_apply(guest_cpu_find("haswell"), &cpuid);
	assert_int_equal(cpuid.xcr0_allowed, 7);
	assert_int_equal(ask(&cpuid, 0xd, 0, 3).ebx, 576);
	assert_int_equal(ask(&cpuid, 0xd, 0, 7).ebx, 832);
	assert_int_equal(ask(&cpuid, 0xd, 0, 7).ecx, 832);
}

/* Sizes as leaf 4 tells them (SDM vol. 2, "CPUID-CPU Identification"). */
static void caches_have_their_sizes(void **state)
{
	static const u32 kilobytes[] = {32, 32, 1024, 16384};
	static struct guest_cpuid cpuid;

	(void)state;
	build(&cpuid);
	guest_cpu_apply(&guest_cpus[0], &cpuid);
	for (u32 i = 0; i < ARRAY_COUNT(kilobytes); i++) {
		struct cpuid_leaf leaf = ask(&cpuid, 4, i, 1);
		u64 bytes = (u64)((leaf.ebx >> 22) + 1) *
			    ((leaf.ebx >> 12 & 0x3ff) + 1) *
			    ((leaf.ebx & 0xfff) + 1) * (leaf.ecx + 1);

		assert_int_equal(bytes, kilobytes[i] * KIB);
	}
	assert_int_equal(ask(&cpuid, 4, 4, 1).eax, 0);
}

static void signature_and_name_are_the_models(void **state)
{
	static struct guest_cpuid cpuid;
	char brand[49] = {0};

	(void)state;
	build(&cpuid);
	guest_cpu_apply(guest_cpu_find("skylake"), &cpuid);
	assert_int_equal(ask(&cpuid, 1, 0, 1).eax, 0x506e3);
	assert_int_equal(ask(&cpuid, 1, 0, 1).ebx >> 8 & 0xff, 8);
	assert_int_equal(ask(&cpuid, 1, 0, 1).ebx >> 16 & 0xff, 2);
	for (u32 i = 0; i < 3; i++) {
		struct cpuid_leaf leaf = ask(&cpuid, 0x80000002 + i, 0, 1);

		memcpy(brand + 16 * i, &leaf, 16);
	}
	assert_string_equal(brand, "Umbra Virtual CPU (skylake)");
	/* No model has XSAVEC and XSAVES; the host has. */
	assert_int_equal(ask(&cpuid, 0xd, 1, 1).eax, 1);
	assert_null(guest_cpu_find("pentium"));
	assert_null(guest_cpu_find(""));
}

/* What is not the model's to decide stays as it was built. */
static void what_umbra_makes_itself_stays(void **state)
{
	static struct guest_cpuid before, after;

	(void)state;
	build(&before);
	after = before;
	guest_cpu_apply(&guest_cpus[0], &after);
	assert_true(after.basic[1].ecx & 1u << 21); /* x2APIC */
	assert_true(after.basic[1].ecx & 1u << 24); /* TSC deadline */
	assert_true(after.basic[1].ecx & 1u << 31); /* hypervisor */
	assert_true(after.basic[1].edx & 1u << 9);  /* APIC */
	assert_true(after.basic[1].edx & 1u << 28); /* several CPUs */
	assert_true(after.basic[7].ebx & 1u << 1);  /* TSC_ADJUST */
	assert_memory_equal(&before.basic[0x15], &after.basic[0x15],
			    2 * sizeof(struct cpuid_leaf));
	assert_memory_equal(&before.extended[8], &after.extended[8],
			    sizeof(struct cpuid_leaf));
}

#define TEST(name) cmocka_unit_test_setup(name, on_a_host_with_everything)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(model_is_the_same_on_every_host),
	    TEST(each_model_has_what_the_one_before_has),
	    TEST(newest_that_fits_is_chosen),
	    TEST(choice_never_promises_what_is_not_there),
	    TEST(what_is_missing_is_named),
	    TEST(model_without_avx_has_no_state_of_it),
	    TEST(caches_have_their_sizes),
	    TEST(signature_and_name_are_the_models),
	    TEST(what_umbra_makes_itself_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
