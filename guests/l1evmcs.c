/* SPDX-License-Identifier: MIT */
/*
 * A hypervisor that runs its L2 by an enlightened VMCS (hyperv=on).
 *
 *	n=N     how many exits are made of each kind (default 20)
 *	ticks   says what they cost, as bench_print() writes it
 *	hide    while L2 runs, L2 takes the eVMCS out of the VP-assist page
 *
 * The figures:
 *
 *	vmcs_cpuid        L2's CPUID by a VMCS: L1 reads three fields and writes
 *	                  one, to skip it
 *	evmcs_cpuid       the same by an eVMCS; what L1 has not written is clean
 *	evmcs_no_field    no field is touched, all is clean
 *	evmcs_none_clean  the same, and L1 calls nothing clean
 */
#include "guests/lib/bench.h"
#include "guests/lib/ept12.h"
#include "guests/lib/evmcs.h"
#include "guests/lib/guest.h"
#include "guests/lib/pages.h"

#define REGIONS   8u /* of 2M; each has its shadow table, or leaf */
#define REGION    (2 * MIB)
#define CALL_NEXT (L2_CALL_USER + 0) /* RCX: what L2 has computed */
#define CALL_DONE (L2_CALL_USER + 1)
#define FACTOR    0x9e3779b97f4a7c15ull
#define HIDDEN    1u /* no page begins there */

static struct l2 l2;
static struct ept12 ept;
static volatile u8 *evmcs, *area;
static u64 count;
static bool hides;

/* --- L2 ------------------------------------------------------------------- */

static void do_cpuids(u64 left)
{
	__asm__ volatile("1: cpuid\n\t"
			 "dec %0\n\t"
			 "jnz 1b"
			 : "+S"(left)
			 :
			 : "rax", "rbx", "rcx", "rdx");
}

/* A write that only Umbra handles, and L1's answer to it. */
static void program(void)
{
	u64 value = 1;

	for (u32 i = 0; i < REGIONS; i++) {
		area[i * REGION] = (u8)i;
		value = l2_call(CALL_NEXT, value);
	}
	l2_call(CALL_DONE, value);
	for (;;)
		do_cpuids(count);
}

/* --- L1 ------------------------------------------------------------------- */

static u32 exit_reason(void)
{
	return evmcs_get32(evmcs, EVMCS_EXIT_REASON);
}

static void skip(void)
{
	evmcs_put64(evmcs, EVMCS_GUEST_RIP,
		    evmcs_get64(evmcs, EVMCS_GUEST_RIP) +
			evmcs_get32(evmcs, EVMCS_INSTRUCTION_LENGTH));
}

static bool is_exit(u32 did, u32 reason, const char *when)
{
	bool is = !did && exit_reason() == reason;

	check(is, when, "did %u, exit reason %#x, error %u", did, exit_reason(),
	      evmcs_get32(evmcs, EVMCS_INSTRUCTION_ERROR));
	return is;
}

/* What it calls clean, and what not, takes turns. */
static bool answer_calls(void)
{
	u64 value = 1;

	for (u32 i = 0; i < REGIONS; i++) {
		if (!is_exit(l2_enter(&l2), EXIT_VMCALL, "call"))
			return false;
		check(l2.rcx == value, "argument", "%#lx, wanted %#lx", l2.rcx,
		      value);
		value = value * FACTOR + i;
		l2.rax = value;
		evmcs_say_clean(evmcs, i % 2 ? EVMCS_ALL_CLEAN : 0);
		skip();
	}
	if (!is_exit(l2_enter(&l2), EXIT_VMCALL, "last_call"))
		return false;
	check(l2.rax == CALL_DONE && l2.rcx == value, "result", "%#lx", l2.rcx);
	skip();
	for (u32 i = 0; i < REGIONS; i++)
		check(area[i * REGION] == i, "written", "%u", i);
	return true;
}

static void print_cost(const char *name, const struct bench_cost *cost)
{
	if (boot_has_word("ticks"))
		bench_print(name, cost, count);
}

/* L2 stays at its CPUID. */
static void measure_untouched(const char *name, u32 clean)
{
	struct bench_cost cost;
	u64 wrong = 0;

	evmcs_say_clean(evmcs, 0);
	l2_enter(&l2);
	evmcs_say_clean(evmcs, clean);
	bench_begin(&cost);
	for (u64 i = 0; i < count; i++)
		wrong += l2_enter(&l2) != 0;
	bench_end(&cost);
	print_cost(name, &cost);
	check(!wrong, name, "%lu failed", wrong);
	is_exit(0, EXIT_CPUID, name);
}

static void measure_answered(const char *name)
{
	struct bench_cost cost;
	u64 wrong = 0;

	evmcs_say_clean(evmcs, 0);
	l2_enter(&l2);
	evmcs_say_clean(evmcs, EVMCS_ALL_CLEAN);
	bench_begin(&cost);
	for (u64 i = 0; i < count; i++) {
		l2_enter(&l2);
		wrong += exit_reason() != EXIT_CPUID;
		skip();
	}
	bench_end(&cost);
	print_cost(name, &cost);
	check(!wrong, name, "%lu other exits", wrong);
}

static void measure_by_vmcs(void)
{
	struct bench_cost cost;
	u64 wrong = 0;

	l2_enter(&l2);
	bench_begin(&cost);
	for (u64 i = 0; i < count; i++) {
		l2_enter(&l2);
		wrong += vmread(VMCS_EXIT_REASON) != EXIT_CPUID;
		l2_skip(&l2);
	}
	bench_end(&cost);
	print_cost("vmcs_cpuid", &cost);
	check(!wrong, "vmcs_cpuid", "%lu other exits", wrong);
}

static void cpuids_for_ever(void)
{
	for (;;)
		do_cpuids(1);
}

static void hide_and_work(void)
{
	evmcs_announce(HIDDEN);
	for (u64 i = 0; i < count; i++)
		area[i % REGIONS * REGION] = (u8)i;
}

static void make(void (*function)(void))
{
	l2_make(&l2, &(struct l2_controls){.secondary =
					       SECONDARY_EPT | SECONDARY_VPID,
					   .ept_pointer = ept.pointer});
	l2_begin(&l2, function);
}

static void without_a_vmcs(void)
{
	u64 value = 0;

	check(vmread_try(VMCS_GUEST_RIP, &value) == VMX_FAIL_INVALID,
	      "no_current_vmcs", "VMREAD finds one");
}

static void run_by_evmcs(void)
{
	make(hides ? hide_and_work : program);
	evmcs = evmcs_use(&l2);
	check(evmcs, "vp_assist", "cannot be enabled");
	if (!evmcs)
		return;
	evmcs_say_clean(evmcs, 0);
	if (hides) {
		is_exit(l2_enter(&l2), EXIT_VMCALL, "end");
		return;
	}
	if (!answer_calls())
		return;
	without_a_vmcs();
	measure_answered("evmcs_cpuid");
	measure_untouched("evmcs_no_field", EVMCS_ALL_CLEAN);
	measure_untouched("evmcs_none_clean", 0);
}

u8 guest_main(void)
{
	count = boot_number("n", 20);
	hides = boot_has_word("hide");
	check(evmcs_is_there(), "offered", "no eVMCS of version 1");
	if (!vmx_is_there() || !evmcs_is_there() || vmx_on() != VMX_OK)
		return result_print();
	ept12_make(&ept);
	ept12_identity(&ept, 4 * GIB, EPT12_2M);
	area = (volatile u8 *)pages_take_aligned(REGIONS * REGION / PAGE_BYTES,
						 REGION);
	if (boot_has_word("ticks")) {
		make(cpuids_for_ever);
		measure_by_vmcs();
	}
	run_by_evmcs();
	return result_print();
}
