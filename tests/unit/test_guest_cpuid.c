/* SPDX-License-Identifier: MIT */
/* The CPU that a guest sees, on hosts that have everything, nothing, or some
 * of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/vmx/guest_cpuid.h"
#include "lib/vmx.h"
#include "lib/x86.h"
#include "tests/unit/support.h"

#define RANDOM_HOSTS 200

/* --- Hosts ---------------------------------------------------------------- */

static u64 host_seed; /* 0: every bit of every leaf is 1 */
static bool host_is_empty;

/* The same leaf always says the same, as a CPU does. */
static struct cpuid_leaf read_host(u32 leaf, u32 subleaf)
{
	struct random random =
	    random_from(host_seed ^ ((u64)leaf << 32 | subleaf));
	struct cpuid_leaf result = {~0u, ~0u, ~0u, ~0u};

	if (host_is_empty)
		memset(&result, 0, sizeof(result));
	else if (host_seed)
		result = (struct cpuid_leaf){
		    (u32)random_next(&random), (u32)random_next(&random),
		    (u32)random_next(&random), (u32)random_next(&random)};
	if (leaf == 0)
		result.eax = host_is_empty ? 1 : 0x20;
	if (leaf == 0xd && subleaf == 2)
		result.eax = 256; /* the upper halves of 16 YMM registers */
	return result;
}

static struct guest_cpuid_config config;
static struct guest_cpuid cpuid;

/* What asks, unless a test says otherwise: an APIC that is on, no OSXSAVE. */
static struct guest_cpuid_asker asker;

static void build(void)
{
	guest_cpuid_build(&cpuid, &config);
}

static int on_a_host_with_everything(void **state)
{
	(void)state;
	host_seed = 0;
	host_is_empty = false;
	config = (struct guest_cpuid_config){
	    .vcpu_count = 1,
	    .tsc_hz = 2400000000,
	    .apic_timer_hz = 24000000,
	    .physical_bits = 40,
	    .rdtscp = true,
	    .invpcid = true,
	    .host = read_host,
	};
	asker =
	    (struct guest_cpuid_asker){.apic_enabled = true, .xcr0 = XCR0_X87};
	build();
	return 0;
}

static struct cpuid_leaf ask(u32 leaf, u32 subleaf)
{
	return guest_cpuid_read(&cpuid, leaf, subleaf, &asker);
}

static void assert_leaf(struct cpuid_leaf found, struct cpuid_leaf expected)
{
	assert_int_equal(found.eax, expected.eax);
	assert_int_equal(found.ebx, expected.ebx);
	assert_int_equal(found.ecx, expected.ecx);
	assert_int_equal(found.edx, expected.edx);
}

static void assert_empty(struct cpuid_leaf found)
{
	assert_leaf(found, (struct cpuid_leaf){0});
}

/* --- Features ------------------------------------------------------------- */

enum leaf_register { EAX, EBX, ECX, EDX };

static u32 register_of(struct cpuid_leaf leaf, enum leaf_register number)
{
	const u32 registers[] = {leaf.eax, leaf.ebx, leaf.ecx, leaf.edx};

	return registers[number];
}

struct feature {
	const char *name;
	u32 leaf, subleaf;
	enum leaf_register where;
	u32 bit;
};

/*
 * By the manual's numbers. Each would let a guest use state that is neither
 * switched nor moved to a peer, or an instruction that reaches the machine.
 */
static const struct feature left_out[] = {
    {"DTES64", 1, 0, ECX, 2},
    {"MONITOR", 1, 0, ECX, 3},
    {"DS-CPL", 1, 0, ECX, 4},
    {"SMX", 1, 0, ECX, 6},
    {"EIST", 1, 0, ECX, 7},
    {"TM2", 1, 0, ECX, 8},
    {"SDBG", 1, 0, ECX, 11},
    {"PDCM", 1, 0, ECX, 15},
    {"DCA", 1, 0, ECX, 18},
    {"PSN", 1, 0, EDX, 18},
    {"debug store", 1, 0, EDX, 21},
    {"thermal monitor", 1, 0, EDX, 22},
    {"TM", 1, 0, EDX, 29},
    {"PBE", 1, 0, EDX, 31},
    {"digital thermal sensor", 6, 0, EAX, 0},
    {"turbo boost", 6, 0, EAX, 1},
    {"HWP", 6, 0, EAX, 7},
    {"SGX", 7, 0, EBX, 2},
    {"HLE", 7, 0, EBX, 4},
    {"RTM", 7, 0, EBX, 11},
    {"RDT monitoring", 7, 0, EBX, 12},
    {"MPX", 7, 0, EBX, 14},
    {"RDT allocation", 7, 0, EBX, 15},
    {"AVX512F", 7, 0, EBX, 16},
    {"AVX512DQ", 7, 0, EBX, 17},
    {"AVX512IFMA", 7, 0, EBX, 21},
    {"processor trace", 7, 0, EBX, 25},
    {"AVX512PF", 7, 0, EBX, 26},
    {"AVX512ER", 7, 0, EBX, 27},
    {"AVX512CD", 7, 0, EBX, 28},
    {"AVX512BW", 7, 0, EBX, 30},
    {"AVX512VL", 7, 0, EBX, 31},
    {"AVX512VBMI", 7, 0, ECX, 1},
    {"PKU", 7, 0, ECX, 3},
    {"OSPKE", 7, 0, ECX, 4},
    {"WAITPKG", 7, 0, ECX, 5},
    {"CET shadow stacks", 7, 0, ECX, 7},
    {"TME", 7, 0, ECX, 13},
    {"LA57", 7, 0, ECX, 16},
    {"key locker", 7, 0, ECX, 23},
    {"ENQCMD", 7, 0, ECX, 29},
    {"SGX launch configuration", 7, 0, ECX, 30},
    {"PKS", 7, 0, ECX, 31},
    {"UINTR", 7, 0, EDX, 5},
    {"PCONFIG", 7, 0, EDX, 18},
    {"architectural LBR", 7, 0, EDX, 19},
    {"CET indirect branches", 7, 0, EDX, 20},
    {"AMX-BF16", 7, 0, EDX, 22},
    {"AMX-TILE", 7, 0, EDX, 24},
    {"AMX-INT8", 7, 0, EDX, 25},
    {"AVX-VNNI", 7, 1, EAX, 4},
    {"LAM", 7, 1, EAX, 26},
    {"XGETBV with ECX = 1", 0xd, 1, EAX, 2},
    {"XFD", 0xd, 1, EAX, 4},
    {"SVM", 0x80000001, 0, ECX, 2},
};

static void check_nothing_left_out_is_there(void)
{
	for (u32 i = 0; i < ARRAY_COUNT(left_out); i++) {
		const struct feature *f = &left_out[i];
		u32 found = register_of(ask(f->leaf, f->subleaf), f->where);

		if (found >> f->bit & 1)
			fail_msg("%s is offered", f->name);
	}
	/* Performance monitoring, cache and memory quality, trace, SGX, key
	 * locker, tiles: nothing at all in their leaves. */
	assert_empty(ask(0x5, 0));
	assert_empty(ask(0xa, 0));
	assert_empty(ask(0xf, 0));
	assert_empty(ask(0x10, 0));
	assert_empty(ask(0x12, 0));
	assert_empty(ask(0x14, 0));
	/* State components beyond AVX. */
	for (u32 subleaf = 3; subleaf < 64; subleaf++)
		assert_empty(ask(0xd, subleaf));
	assert_int_equal(ask(0xd, 0).eax & ~7u, 0);
	assert_int_equal(ask(0xd, 0).edx, 0);
}

static void host_with_everything_leaks_nothing(void **state)
{
	(void)state;
	check_nothing_left_out_is_there();
	asker = (struct guest_cpuid_asker){
	    .apic_id = 63, .cr4 = ~0ull, .xcr0 = ~0ull, .apic_enabled = true};
	check_nothing_left_out_is_there();
}

/* Emulated or made by VMX, so that no host need have it. */
static const struct feature always[] = {
    {"x2APIC", 1, 0, ECX, 21},
    {"TSC deadline", 1, 0, ECX, 24},
    {"OSXSAVE", 1, 0, ECX, 27},
    {"hypervisor", 1, 0, ECX, 31},
    {"APIC", 1, 0, EDX, 9},
    {"HTT", 1, 0, EDX, 28},
    {"APIC timer runs", 6, 0, EAX, 2},
    {"TSC_ADJUST", 7, 0, EBX, 1},
    {"invariant TSC", 0x80000007, 0, EDX, 8},
};

static u32 bits_that_are_always_there(u32 leaf, enum leaf_register where)
{
	u32 bits = 0;

	for (u32 i = 0; i < ARRAY_COUNT(always); i++)
		if (always[i].leaf == leaf && always[i].where == where)
			bits |= 1u << always[i].bit;
	return bits;
}

/* Every feature bit that a guest sees, the host has, or Umbra makes it. */
static void check_subset_of_host(void)
{
	static const struct {
		u32 leaf;
		enum leaf_register where;
	} words[] = {
	    {1, ECX},          {1, EDX},          {6, EAX},
	    {7, EBX},          {7, ECX},          {7, EDX},
	    {0x80000001, ECX}, {0x80000001, EDX}, {0xd, EAX},
	};

	for (u32 i = 0; i < ARRAY_COUNT(words); i++) {
		u32 leaf = words[i].leaf;
		enum leaf_register where = words[i].where;
		u32 offered = register_of(ask(leaf, leaf == 0xd), where);
		u32 has = register_of(read_host(leaf, leaf == 0xd), where) |
			  bits_that_are_always_there(leaf, where);

		if (offered & ~has)
			fail_msg("leaf %#x, register %u: %#x is not there",
				 leaf, where, offered & ~has);
	}
}

static void check_random_hosts(u64 seed)
{
	struct random random = random_from(seed);

	for (u32 i = 0; i < RANDOM_HOSTS; i++) {
		host_seed = random_next(&random) | 1;
		config.rdtscp = random_below(&random, 2);
		config.invpcid = random_below(&random, 2);
		config.xsaves = random_below(&random, 2);
		config.vcpu_count = 1 + (u32)random_below(&random, 64);
		asker.cr4 = random_next(&random);
		asker.xcr0 = random_next(&random) | XCR0_X87;
		build();
		check_nothing_left_out_is_there();
		check_subset_of_host();
	}
}

static void random_hosts_leak_nothing_and_lend_only_what_they_have(void **state)
{
	(void)state;
	for_seeds(3, check_random_hosts);
}

static void host_with_nothing_still_has_what_umbra_makes(void **state)
{
	struct cpuid_leaf version;

	(void)state;
	host_is_empty = true;
	build();
	check_nothing_left_out_is_there();
	check_subset_of_host();
	version = ask(1, 0);
	assert_int_equal(version.ecx, BIT(21) | BIT(24) | BIT(31));
	assert_int_equal(version.edx, BIT(9));
	assert_int_equal(ask(7, 0).ebx, BIT(1));
	assert_int_equal(cpuid.xcr0_allowed, 0);
	assert_empty(ask(0xd, 0));
	assert_empty(ask(0xd, 1));
	assert_empty(ask(0xd, 2));
}

static void controls_that_vmx_lacks_hide_their_instructions(void **state)
{
	(void)state;
	assert_true(ask(0x80000001, 0).edx & BIT(27));
	assert_true(ask(7, 0).ecx & BIT(22));
	assert_true(ask(7, 0).ebx & BIT(10));
	assert_true(ask(1, 0).ecx & BIT(17));
	config.rdtscp = false;
	config.invpcid = false;
	build();
	assert_false(ask(0x80000001, 0).edx & BIT(27));
	assert_false(ask(7, 0).ecx & BIT(22));
	assert_false(ask(7, 0).ebx & BIT(10));
	assert_false(ask(1, 0).ecx & BIT(17));
}

static void xsaves_needs_its_control_and_keeps_nothing_more(void **state)
{
	(void)state;
	config.xsaves = false;
	build();
	assert_int_equal(ask(0xd, 1).eax, BIT(0) | BIT(1));
	assert_int_equal(
	    guest_cpuid_secondary(&cpuid, 0, ~0u) & SECONDARY_XSAVES, 0);
	config.xsaves = true;
	build();
	assert_int_equal(ask(0xd, 1).eax, BIT(0) | BIT(1) | BIT(3));
	assert_int_equal(guest_cpuid_secondary(&cpuid, 0, ~0u) &
			     SECONDARY_XSAVES,
			 SECONDARY_XSAVES);
	/* No state for IA32_XSS; the size of the compacted form. */
	assert_int_equal(ask(0xd, 1).ecx, 0);
	assert_int_equal(ask(0xd, 1).edx, 0);
	asker.xcr0 = XCR0_X87 | XCR0_SSE;
	assert_int_equal(ask(0xd, 1).ebx, 576);
	asker.xcr0 |= XCR0_AVX;
	assert_int_equal(ask(0xd, 1).ebx, 576 + 256);
}

/* --- What depends on who asks --------------------------------------------- */

static void osxsave_follows_cr4(void **state)
{
	(void)state;
	assert_false(ask(1, 0).ecx & BIT(27));
	asker.cr4 = CR4_OSXSAVE;
	assert_true(ask(1, 0).ecx & BIT(27));
	asker.cr4 = ~CR4_OSXSAVE;
	assert_false(ask(1, 0).ecx & BIT(27));
}

static void apic_id_is_that_of_who_asks(void **state)
{
	(void)state;
	for (u32 id = 0; id < 64; id++) {
		asker.apic_id = id;
		assert_int_equal(ask(1, 0).ebx >> 24, id);
		for (u32 subleaf = 0; subleaf < 4; subleaf++)
			assert_int_equal(ask(0xb, subleaf).edx, id);
	}
}

static void apic_that_is_off_is_not_shown(void **state)
{
	(void)state;
	assert_true(ask(1, 0).edx & BIT(9));
	asker.apic_enabled = false;
	assert_false(ask(1, 0).edx & BIT(9));
}

/* SDM vol. 2, "CPUID-CPU Identification", leaf 0DH. */
static void xsave_size_follows_xcr0(void **state)
{
	(void)state;
	assert_int_equal(ask(0xd, 0).eax, 7);
	assert_int_equal(ask(0xd, 0).ebx, 576);
	assert_int_equal(ask(0xd, 0).ecx, 576 + 256);
	asker.xcr0 = XCR0_X87 | XCR0_SSE;
	assert_int_equal(ask(0xd, 0).ebx, 576);
	asker.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	assert_int_equal(ask(0xd, 0).ebx, 576 + 256);
	assert_int_equal(ask(0xd, 0).ecx, 576 + 256);
	assert_int_equal(ask(0xd, 2).eax, 256);
	assert_int_equal(ask(0xd, 2).ecx, 0);
}

static void avx_needs_xsave(void **state)
{
	(void)state;
	assert_true(ask(1, 0).ecx & BIT(28));
	for (host_seed = 1; host_seed < 100; host_seed++) {
		bool has_xsave, has_avx;

		build();
		has_xsave = ask(1, 0).ecx & BIT(26);
		has_avx = ask(1, 0).ecx & BIT(28);
		assert_true(has_xsave || !has_avx);
		assert_int_equal(cpuid.xcr0_allowed, has_avx     ? 7
						     : has_xsave ? 3
								 : 0);
	}
}

/* --- Leaves that say how many --------------------------------------------- */

static void topology_is_one_package_of_cores(void **state)
{
	static const struct {
		u32 vcpus, bits;
	} cases[] = {{1, 0}, {2, 1}, {3, 2}, {4, 2}, {5, 3}, {64, 6}};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		u32 count = cases[i].vcpus;

		config.vcpu_count = count;
		build();
		asker.apic_id = count - 1;
		assert_leaf(ask(0xb, 0),
			    (struct cpuid_leaf){0, 1, 1 << 8, count - 1});
		assert_leaf(ask(0xb, 1),
			    (struct cpuid_leaf){cases[i].bits, count,
						2 << 8 | 1, count - 1});
		/* Invalid levels have type 0 and count nothing. */
		for (u32 level = 2; level < 6; level++)
			assert_leaf(
			    ask(0xb, level),
			    (struct cpuid_leaf){0, 0, level, count - 1});
		/* Every id is below 2^bits: the package number is 0. */
		assert_int_equal((count - 1) >> cases[i].bits, 0);
		assert_int_equal(ask(1, 0).ebx >> 16 & 0xff, count);
		assert_int_equal((ask(1, 0).edx & BIT(28)) != 0, count > 1);
	}
}

static void caches_are_shared_by_nobody(void **state)
{
	(void)state;
	for (u32 i = 0; i < GUEST_CPUID_CACHES; i++)
		assert_int_equal(ask(4, i).eax >> 14, 0);
	for (u32 i = GUEST_CPUID_CACHES; i < 8; i++)
		assert_empty(ask(4, i));
}

static void tsc_frequency_is_told_exactly(void **state)
{
	struct cpuid_leaf leaf = ask(0x15, 0);

	(void)state;
	assert_int_equal((u64)leaf.ecx * leaf.ebx / leaf.eax, config.tsc_hz);
	assert_int_equal(ask(0x16, 0).eax, 2400);
	/* The slowest that an emulator runs at. */
	config.tsc_hz = config.apic_timer_hz = 1000005;
	build();
	leaf = ask(0x15, 0);
	assert_int_equal((u64)leaf.ecx * leaf.ebx / leaf.eax, 1000005);
}

static void address_sizes_and_brand(void **state)
{
	char brand[49] = "";
	u32 leaf;

	(void)state;
	assert_int_equal(ask(0x80000008, 0).eax, 40 | 48 << 8);
	for (leaf = 0; leaf < 3; leaf++) {
		struct cpuid_leaf part = ask(0x80000002 + leaf, 0);

		memcpy(&brand[leaf * 16], &part, sizeof(part));
	}
	assert_string_equal(brand, "Umbra Virtual CPU");
}

/* --- Leaves that do not exist --------------------------------------------- */

static void highest_leaves_are_announced(void **state)
{
	(void)state;
	assert_int_equal(ask(0, 0).eax, GUEST_CPUID_BASIC_MAX);
	assert_int_equal(ask(0x80000000, 0).eax, GUEST_CPUID_EXTENDED_MAX);
	assert_int_equal(ask(0x40000000, 0).eax, 0x40000000);
}

/* SDM vol. 2, "CPUID-CPU Identification": too high a leaf, basic or extended,
 * gives the highest basic leaf. */
static void leaf_above_the_highest_reads_as_the_highest_basic(void **state)
{
	static const u32 leaves[] = {GUEST_CPUID_BASIC_MAX + 1,
				     0x1000,
				     0x3fffffff,
				     0x40010000,
				     0x7fffffff,
				     GUEST_CPUID_EXTENDED_MAX + 1,
				     0x8fffffff,
				     0xffffffff};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(leaves); i++)
		assert_leaf(ask(leaves[i], 0), ask(GUEST_CPUID_BASIC_MAX, 0));
}

static void hypervisor_is_named_and_has_no_more_to_say(void **state)
{
	struct cpuid_leaf leaf = ask(0x40000000, 0);

	(void)state;
	assert_memory_equal(&leaf.ebx, "UmbraUmbra\0\0", 12);
	for (u32 i = 0x40000001; i < 0x40000100; i++)
		assert_empty(ask(i, 0));
}

/* As Linux looks for it: every 0x100 leaves. */
static void kvm_interface_stands_behind_with_one_feature(void **state)
{
	struct cpuid_leaf leaf = ask(0x40000100, 0);

	(void)state;
	assert_int_equal(leaf.eax, 0x40000101);
	assert_memory_equal(&leaf.ebx, "KVMKVMKVM\0\0\0", 12);
	assert_leaf(ask(0x40000101, 0), (struct cpuid_leaf){.eax = 1 << 1});
	for (u32 i = 0x40000102; i < 0x40010000; i++)
		assert_empty(ask(i, 0));
}

/* For as many who ask as there are ways to ask. */
static void fixed_leaves_say_what_the_full_answer_says(void **state)
{
	struct random random = random_from(1);

	(void)state;
	for (u32 leaf = 0; leaf < 0x40; leaf++) {
		const struct cpuid_leaf *fixed =
		    guest_cpuid_fixed_leaf(&cpuid, leaf);

		assert_true(fixed || leaf > 0x16 || leaf == 1 || leaf == 4 ||
			    leaf == 7 || leaf == 0xb || leaf == 0xd);
		for (u32 i = 0; fixed && i < 100; i++) {
			asker = (struct guest_cpuid_asker){
			    .apic_id = (u32)random_below(&random, 64),
			    .cr4 = random_next(&random),
			    .xcr0 = random_next(&random),
			    .apic_enabled = random_below(&random, 2)};
			assert_leaf(ask(leaf, (u32)random_below(&random, 70)),
				    *fixed);
		}
	}
	assert_null(guest_cpuid_fixed_leaf(&cpuid, 0x40000000));
	assert_null(guest_cpuid_fixed_leaf(&cpuid, 0x80000000));
	assert_null(guest_cpuid_fixed_leaf(&cpuid, ~0u));
}

static void every_leaf_and_subleaf_can_be_asked(void **state)
{
	static const u32 starts[] = {0, 0x40000000, 0x80000000, 0xfffffe00};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(starts); i++)
		for (u32 leaf = 0; leaf < 0x200; leaf++)
			for (u32 subleaf = 0; subleaf < 70; subleaf++) {
				(void)ask(starts[i] + leaf, subleaf);
				(void)ask(starts[i] + leaf, ~subleaf);
			}
}

/* --- CR4 ------------------------------------------------------------------ */

static void cr4_allows_what_cpuid_offers(void **state)
{
	static const struct {
		struct feature feature;
		u64 cr4;
	} pairs[] = {
	    {{"PCID", 1, 0, ECX, 17}, CR4_PCIDE},
	    {{"XSAVE", 1, 0, ECX, 26}, CR4_OSXSAVE},
	    {{"FSGSBASE", 7, 0, EBX, 0}, CR4_FSGSBASE},
	    {{"SMEP", 7, 0, EBX, 7}, CR4_SMEP},
	    {{"SMAP", 7, 0, EBX, 20}, CR4_SMAP},
	    {{"UMIP", 7, 0, ECX, 2}, CR4_UMIP},
	};
	const u64 base = BITS(10, 0);
	u64 conditional = 0;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(pairs); i++)
		conditional |= pairs[i].cr4;
	for (host_seed = 0; host_seed < 50; host_seed++) {
		u64 allowed;

		build();
		allowed = guest_cpuid_cr4_allowed(&cpuid);
		assert_int_equal(allowed & ~conditional, base);
		for (u32 i = 0; i < ARRAY_COUNT(pairs); i++) {
			const struct feature *f = &pairs[i].feature;
			u32 offered =
			    register_of(ask(f->leaf, f->subleaf), f->where);

			assert_int_equal((allowed & pairs[i].cr4) != 0,
					 offered >> f->bit & 1);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup(name, on_a_host_with_everything)

/* An instruction is undefined where its feature is hidden, and only there. */
static void hidden_instructions_are_not_enabled(void **state)
{
	const u32 enabled = (u32)(SECONDARY_RDTSCP | SECONDARY_INVPCID);
	const u32 exits = (u32)(SECONDARY_RDRAND | SECONDARY_RDSEED);

	(void)state;
	build();
	assert_int_equal(guest_cpuid_secondary(&cpuid, enabled, ~0u), enabled);
	cpuid.basic[1].ecx &= ~(1u << 30);
	cpuid.basic[7].ebx &= ~(1u << 10);
	assert_int_equal(guest_cpuid_secondary(&cpuid, enabled, ~0u),
			 SECONDARY_RDTSCP | SECONDARY_RDRAND);
	cpuid.basic[7].ebx &= ~(1u << 18);
	cpuid.extended[1].edx &= ~(1u << 27);
	assert_int_equal(guest_cpuid_secondary(&cpuid, enabled | 1, ~0u),
			 exits | 1);
	/* The CPU may not have the exits. */
	assert_int_equal(guest_cpuid_secondary(&cpuid, enabled, enabled), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(host_with_everything_leaks_nothing),
	    TEST(random_hosts_leak_nothing_and_lend_only_what_they_have),
	    TEST(host_with_nothing_still_has_what_umbra_makes),
	    TEST(controls_that_vmx_lacks_hide_their_instructions),
	    TEST(xsaves_needs_its_control_and_keeps_nothing_more),
	    TEST(hidden_instructions_are_not_enabled),
	    TEST(osxsave_follows_cr4),
	    TEST(apic_id_is_that_of_who_asks),
	    TEST(apic_that_is_off_is_not_shown),
	    TEST(xsave_size_follows_xcr0),
	    TEST(avx_needs_xsave),
	    TEST(topology_is_one_package_of_cores),
	    TEST(caches_are_shared_by_nobody),
	    TEST(tsc_frequency_is_told_exactly),
	    TEST(address_sizes_and_brand),
	    TEST(highest_leaves_are_announced),
	    TEST(leaf_above_the_highest_reads_as_the_highest_basic),
	    TEST(hypervisor_is_named_and_has_no_more_to_say),
	    TEST(kvm_interface_stands_behind_with_one_feature),
	    TEST(fixed_leaves_say_what_the_full_answer_says),
	    TEST(every_leaf_and_subleaf_can_be_asked),
	    TEST(cr4_allows_what_cpuid_offers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
