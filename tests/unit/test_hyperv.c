/* SPDX-License-Identifier: MIT */
/* The interface of Hyper-V against the Top-Level Functional Specification. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/hyperv.h"
#include "mm/frame_alloc.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

#define RAM_BYTES   (16 * PAGE_4K)
#define PAGE_CALL   0x1000UL
#define PAGE_ASSIST 0x2000UL
#define PAGE_TSC    0x3000UL
#define ON          1UL
#define HZ          2500000000UL

static struct guest_mem mem;
static struct hyperv vm;
static struct hyperv_vcpu vcpu;
static struct hyperv_asker asker;

static int make(void **state)
{
	(void)state;
	frame_alloc_init();
	if (frame_alloc_add(hpa(MIB), MIB) != OK ||
	    guest_mem_create(&mem, gpa(GIB), "test") != OK ||
	    guest_mem_add(&mem, gpa(0), RAM_BYTES) != OK)
		abort();
	vm = (struct hyperv){.on = true};
	vcpu = (struct hyperv_vcpu){0};
	asker = (struct hyperv_asker){
	    .vm = &vm,
	    .vcpu = &vcpu,
	    .mem = &mem,
	    .index = 3,
	    .tsc = 5 * HZ,
	    .tsc_hz = HZ,
	    .apic_timer_hz = 1000000000,
	};
	return 0;
}

static u64 get(u32 msr)
{
	u64 value = 0x5a;

	assert_int_equal(hyperv_msr_read(&asker, msr, &value), HYPERV_DONE);
	return value;
}

static void set(u32 msr, u64 value)
{
	assert_int_equal(hyperv_msr_write(&asker, msr, value), HYPERV_DONE);
}

/* #GP, and all is as before. */
static void faults(u32 msr, u64 value)
{
	struct hyperv before = vm;
	struct hyperv_vcpu vcpu_before = vcpu;

	assert_int_equal(hyperv_msr_write(&asker, msr, value), HYPERV_FAULT);
	assert_memory_equal(&before, &vm, sizeof(vm));
	assert_memory_equal(&vcpu_before, &vcpu, sizeof(vcpu));
}

static u64 in_memory(u64 address, u32 bytes)
{
	u64 value = 0;

	assert_int_equal(guest_mem_read(&mem, gpa(address), &value, bytes), OK);
	return value;
}

static void put(u64 address, u64 value, u32 bytes)
{
	assert_int_equal(guest_mem_write(&mem, gpa(address), &value, bytes),
			 OK);
}

/* --- CPUID ---------------------------------------------------------------- */

static void leaves_tell_the_interface(void **state)
{
	const struct hyperv_offer offer = {.vcpu_max = 16, .nested = true};
	struct hyperv_leaf leaf = hyperv_cpuid(&offer, 0x40000000);

	(void)state;
	assert_int_equal(leaf.eax, 0x4000000a);
	assert_memory_equal(&leaf.ebx, "Microsoft Hv", 12);
	assert_int_equal(hyperv_cpuid(&offer, 0x40000001).eax, 0x31237648);
	/* Time count, APIC MSRs, hypercalls, VP index, reference TSC, the
	 * frequencies' MSRs, the invariant TSC's control. */
	leaf = hyperv_cpuid(&offer, 0x40000003);
	assert_int_equal(leaf.eax, 0x8a72);
	assert_int_equal(leaf.ebx, 0);
	assert_int_equal(leaf.edx, 0x100);
	leaf = hyperv_cpuid(&offer, 0x40000004);
	assert_int_equal(leaf.eax, 0x4020);
	assert_int_equal(leaf.ebx, ~0u);
	assert_int_equal(hyperv_cpuid(&offer, 0x40000005).eax, 16);
	assert_int_equal(hyperv_cpuid(&offer, 0x4000000a).eax, 0x80101);
}

static void who_has_no_vmx_is_told_of_no_evmcs(void **state)
{
	const struct hyperv_offer offer = {.vcpu_max = 16, .nested = false};

	(void)state;
	assert_int_equal(hyperv_cpuid(&offer, 0x40000004).eax, 0x20);
	assert_int_equal(hyperv_cpuid(&offer, 0x4000000a).eax, 0);
}

static void leaves_that_do_not_exist_are_zero(void **state)
{
	const struct hyperv_offer offer = {.vcpu_max = 16, .nested = true};
	static const u32 leaves[] = {0x40000007, 0x40000009, 0x4000000b,
				     0x400000ff, 0x3fffffff, 0xffffffff};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(leaves); i++) {
		struct hyperv_leaf leaf = hyperv_cpuid(&offer, leaves[i]);

		assert_int_equal(leaf.eax | leaf.ebx | leaf.ecx | leaf.edx, 0);
	}
}

/* --- MSRs ----------------------------------------------------------------- */

static void hypercall_page_needs_an_id(void **state)
{
	(void)state;
	set(HYPERV_MSR_HYPERCALL, PAGE_CALL | ON);
	assert_int_equal(get(HYPERV_MSR_HYPERCALL), PAGE_CALL);
	assert_false(hyperv_may_call(&vm));
	assert_int_equal(in_memory(PAGE_CALL, 8), 0);
	set(HYPERV_MSR_GUEST_OS_ID, 0x8100060192000000);
	set(HYPERV_MSR_HYPERCALL, PAGE_CALL | ON);
	assert_int_equal(get(HYPERV_MSR_HYPERCALL), PAGE_CALL | ON);
	assert_true(hyperv_may_call(&vm));
	/* VMCALL, RET. */
	assert_int_equal(in_memory(PAGE_CALL, 4), 0xc3c1010f);
	set(HYPERV_MSR_GUEST_OS_ID, 0);
	assert_int_equal(get(HYPERV_MSR_HYPERCALL), PAGE_CALL);
	assert_false(hyperv_may_call(&vm));
}

static void locked_hypercall_page_stays(void **state)
{
	(void)state;
	set(HYPERV_MSR_GUEST_OS_ID, 1);
	set(HYPERV_MSR_HYPERCALL, PAGE_CALL | ON | HYPERV_HYPERCALL_LOCKED);
	faults(HYPERV_MSR_HYPERCALL, 0);
	faults(HYPERV_MSR_HYPERCALL, PAGE_TSC | ON);
}

static void pages_that_are_no_memory_fault(void **state)
{
	static const u64 bad[] = {RAM_BYTES, BIT(40), BIT(52), ~0xfffUL,
				  0x7ffffffffffff000};

	(void)state;
	set(HYPERV_MSR_GUEST_OS_ID, 1);
	for (u32 i = 0; i < ARRAY_COUNT(bad); i++) {
		faults(HYPERV_MSR_HYPERCALL, bad[i] | ON);
		faults(HYPERV_MSR_REFERENCE_TSC, bad[i] | ON);
		faults(HYPERV_MSR_VP_ASSIST, bad[i] | ON);
		/* Not enabled, it is a number. */
		set(HYPERV_MSR_VP_ASSIST, bad[i]);
		set(HYPERV_MSR_VP_ASSIST, 0);
	}
}

static void what_only_tells_is_read_only(void **state)
{
	static const u32 msrs[] = {HYPERV_MSR_VP_INDEX, HYPERV_MSR_TIME_COUNT,
				   HYPERV_MSR_TSC_HZ, HYPERV_MSR_APIC_HZ};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(msrs); i++)
		faults(msrs[i], 0);
	assert_int_equal(get(HYPERV_MSR_VP_INDEX), 3);
	assert_int_equal(get(HYPERV_MSR_TSC_HZ), HZ);
	assert_int_equal(get(HYPERV_MSR_APIC_HZ), 1000000000);
	faults(HYPERV_MSR_TSC_INVARIANT, 2);
	set(HYPERV_MSR_TSC_INVARIANT, 1);
	assert_int_equal(get(HYPERV_MSR_TSC_INVARIANT), 1);
}

static void other_msrs_are_absent(void **state)
{
	u64 value = 0x5a;

	(void)state;
	for (u32 msr = HYPERV_MSR_FIRST; msr < HYPERV_MSR_END; msr++) {
		enum hyperv_verdict read = hyperv_msr_read(&asker, msr, &value);

		if (read == HYPERV_ABSENT)
			assert_int_equal(hyperv_msr_write(&asker, msr, 0),
					 HYPERV_ABSENT);
	}
	value = 0x5a;
	assert_int_equal(hyperv_msr_read(&asker, 0x40000003, &value),
			 HYPERV_ABSENT); /* reset */
	assert_int_equal(hyperv_msr_read(&asker, 0x40000080, &value),
			 HYPERV_ABSENT); /* SynIC */
	assert_int_equal(hyperv_msr_read(&asker, 0x400000b0, &value),
			 HYPERV_ABSENT); /* synthetic timers */
	assert_int_equal(value, 0x5a);
}

/* --- Time ----------------------------------------------------------------- */

static void page_and_counter_tell_the_same_time(u64 seed)
{
	struct random random = random_from(seed);
	u64 scale;

	make(NULL);
	asker.tsc_hz = 10000001 + random_below(&random, 8000000000);
	asker.tsc = random_next(&random) >> random_below(&random, 40);
	set(HYPERV_MSR_REFERENCE_TSC, PAGE_TSC | ON);
	assert_int_not_equal(in_memory(PAGE_TSC, 4), 0);
	scale = in_memory(PAGE_TSC + 8, 8);
	assert_int_equal(in_memory(PAGE_TSC + 16, 8), 0);
	assert_int_equal(get(HYPERV_MSR_TIME_COUNT),
			 (u64)((unsigned __int128)asker.tsc * scale >> 64));
}

static void reference_page_agrees_with_the_counter(void **state)
{
	(void)state;
	for_seeds(50, page_and_counter_tell_the_same_time);
}

static void reference_time_is_in_100_ns(void **state)
{
	(void)state;
	assert_in_range(hyperv_reference_time(5 * HZ, HZ), 49999999, 50000000);
	/* As slow as its unit or slower: no page, but the counter goes on. */
	assert_int_equal(hyperv_reference_time(30, 10000000), 30);
	assert_int_equal(hyperv_reference_time(3000000, 1000000), 30000000);
	assert_int_equal(hyperv_reference_time(7, 0), 0);
	asker.tsc_hz = 10000000;
	put(PAGE_TSC, 7, 4);
	set(HYPERV_MSR_REFERENCE_TSC, PAGE_TSC | ON);
	assert_int_equal(in_memory(PAGE_TSC, 4), 0);
}

static void no_time_overflows(void **state)
{
	(void)state;
	for (u64 hz = 1; hz; hz <<= 1)
		(void)hyperv_reference_time(~0UL, hz);
	assert_int_equal(hyperv_tsc_scale(0), 0);
	assert_int_equal(hyperv_tsc_scale(10000000), 0);
	assert_int_not_equal(hyperv_tsc_scale(10000001), 0);
	assert_int_not_equal(hyperv_tsc_scale(~0UL), 0);
}

/* --- Hypercalls ----------------------------------------------------------- */

static void calls_are_judged(u64 input, u64 address, u64 status)
{
	enum hyperv_action action = HYPERV_YIELD;

	assert_int_equal(hyperv_call(input, address, &action), status);
	assert_int_equal(action, status ? HYPERV_NOTHING : (u32)HYPERV_YIELD);
}

static void hypercalls_answer_as_specified(void **state)
{
	(void)state;
	calls_are_judged(0x10008, 0, HYPERV_STATUS_SUCCESS);
	calls_are_judged(0x8, 0x1000, HYPERV_STATUS_SUCCESS);
	calls_are_judged(0x8, 0x1001, HYPERV_STATUS_INVALID_ALIGNMENT);
	calls_are_judged(0x2, 0x1000, HYPERV_STATUS_INVALID_CODE);
	calls_are_judged(0xffff, 0, HYPERV_STATUS_INVALID_CODE);
	calls_are_judged(0x10008 | BIT(17), 0, HYPERV_STATUS_INVALID_INPUT);
	calls_are_judged(0x10008 | BIT(27), 0, HYPERV_STATUS_INVALID_INPUT);
	calls_are_judged(0x10008 | BIT(32), 0, HYPERV_STATUS_INVALID_INPUT);
	calls_are_judged(0x10008 | BIT(63), 0, HYPERV_STATUS_INVALID_INPUT);
}

/* --- The VP-assist page --------------------------------------------------- */

static bool wants(u64 *address)
{
	gpa_t evmcs = gpa(0x5a);
	bool result = hyperv_wants_evmcs(&vm, &vcpu, &mem, &evmcs);

	*address = gpa_raw(evmcs);
	return result;
}

static void assist_page_asks_for_an_evmcs(void **state)
{
	u64 address;

	(void)state;
	put(PAGE_ASSIST, ~0UL, 4);
	put(PAGE_ASSIST + 40, 1, 1);
	put(PAGE_ASSIST + 48, 0x123456789abcdef0, 8);
	assert_false(wants(&address));
	set(HYPERV_MSR_VP_ASSIST, PAGE_ASSIST | ON);
	/* No EOI may be left out. */
	assert_int_equal(in_memory(PAGE_ASSIST, 4), 0);
	/* As L1 wrote it: who uses it judges it. */
	assert_true(wants(&address));
	assert_int_equal(address, 0x123456789abcdef0);
	put(PAGE_ASSIST + 40, 0, 1);
	assert_false(wants(&address));
	put(PAGE_ASSIST + 40, 2, 1);
	assert_false(wants(&address));
	put(PAGE_ASSIST + 40, 1, 1);
	set(HYPERV_MSR_VP_ASSIST, PAGE_ASSIST);
	assert_false(wants(&address));
	assert_int_equal(address, 0x5a);
}

/* As a record can bring it, which looks at no memory. */
static void assist_page_that_is_no_memory_asks_for_nothing(void **state)
{
	static const u64 bad[] = {RAM_BYTES, BIT(52), ~0xfffUL};
	u64 address;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(bad); i++) {
		vcpu.vp_assist = bad[i] | ON;
		assert_false(wants(&address));
	}
}

static void without_the_setting_nothing_is_asked(void **state)
{
	u64 address;

	(void)state;
	put(PAGE_ASSIST + 40, 1, 1);
	set(HYPERV_MSR_VP_ASSIST, PAGE_ASSIST | ON);
	set(HYPERV_MSR_GUEST_OS_ID, 1);
	set(HYPERV_MSR_HYPERCALL, PAGE_CALL | ON);
	vm.on = false;
	assert_false(wants(&address));
	assert_false(hyperv_may_call(&vm));
}

/* What the guest names is the guest's memory: it moves, so it is marked. */
static void pages_that_are_written_are_dirty(void **state)
{
	(void)state;
	mem.log.dirty[0] = 0;
	set(HYPERV_MSR_VP_ASSIST, PAGE_ASSIST | ON);
	set(HYPERV_MSR_REFERENCE_TSC, PAGE_TSC | ON);
	assert_int_equal(mem.log.dirty[0],
			 BIT(PAGE_ASSIST / PAGE_4K) | BIT(PAGE_TSC / PAGE_4K));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(leaves_tell_the_interface, make),
	    cmocka_unit_test_setup(who_has_no_vmx_is_told_of_no_evmcs, make),
	    cmocka_unit_test_setup(leaves_that_do_not_exist_are_zero, make),
	    cmocka_unit_test_setup(hypercall_page_needs_an_id, make),
	    cmocka_unit_test_setup(locked_hypercall_page_stays, make),
	    cmocka_unit_test_setup(pages_that_are_no_memory_fault, make),
	    cmocka_unit_test_setup(what_only_tells_is_read_only, make),
	    cmocka_unit_test_setup(other_msrs_are_absent, make),
	    cmocka_unit_test_setup(reference_page_agrees_with_the_counter,
				   make),
	    cmocka_unit_test_setup(reference_time_is_in_100_ns, make),
	    cmocka_unit_test_setup(no_time_overflows, make),
	    cmocka_unit_test_setup(hypercalls_answer_as_specified, make),
	    cmocka_unit_test_setup(assist_page_asks_for_an_evmcs, make),
	    cmocka_unit_test_setup(
		assist_page_that_is_no_memory_asks_for_nothing, make),
	    cmocka_unit_test_setup(without_the_setting_nothing_is_asked, make),
	    cmocka_unit_test_setup(pages_that_are_written_are_dirty, make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
