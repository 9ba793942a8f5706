/* SPDX-License-Identifier: MIT */
/*
 * Looks closely at the interface of Hyper-V: leaves, MSRs, hypercalls, the two
 * ways to tell the time, the local APIC by MSRs, on each CPU.
 *
 *	none     there must be none of it
 *	apic=x   the local APIC is in xAPIC mode
 *	cpus=N   how many CPUs must answer (default: what CPUID says)
 */
#include "guests/lib/guest.h"

#define MSR_GUEST_OS_ID   0x40000000u
#define MSR_HYPERCALL     0x40000001u
#define MSR_VP_INDEX      0x40000002u
#define MSR_TIME_COUNT    0x40000020u
#define MSR_REFERENCE_TSC 0x40000021u
#define MSR_TSC_HZ        0x40000022u
#define MSR_EOI           0x40000070u
#define MSR_ICR           0x40000071u
#define MSR_TPR           0x40000072u
#define MSR_VP_ASSIST     0x40000073u
#define MSR_SYNIC         0x40000080u
#define ENABLE            1u
#define LOCKED            2u
#define INTERFACE         0x31237648u /* "Hv#1" */
#define SLOWEST_HZ        10000000u   /* that has a reference TSC page */
#define SMP_TIMEOUT_US    1000000

struct reference_page {
	u32 sequence, reserved;
	u64 scale, offset;
};

static u8 call_page[4096] ALIGNED(4096);
static u32 assist_page[1024] ALIGNED(4096);
static struct reference_page time_page ALIGNED(4096);

static u64 address_of(const volatile void *page)
{
	return (u64)(uintptr_t)page;
}

static void reads_fault(u32 msr)
{
	u64 value;
	u32 fault = rdmsr_try(msr, &value);

	check(fault == VECTOR_GP, "rdmsr_faults", "MSR %#x: %u", msr, fault);
}

static void writes_fault(u32 msr, u64 value)
{
	u32 fault = wrmsr_try(msr, value);

	check(fault == VECTOR_GP, "wrmsr_faults", "MSR %#x, %#lx: %u", msr,
	      value, fault);
}

static void reads(u32 msr, u64 wanted)
{
	u64 value = 0;
	u32 fault = rdmsr_try(msr, &value);

	check(fault == NO_FAULT && value == wanted, "rdmsr",
	      "MSR %#x: %u, %#lx instead of %#lx", msr, fault, value, wanted);
}

static void writes(u32 msr, u64 value)
{
	u32 fault = wrmsr_try(msr, value);

	check(fault == NO_FAULT, "wrmsr", "MSR %#x, %#lx: %u", msr, value,
	      fault);
	reads(msr, value);
}

static u32 vmcall(void)
{
	register u32 fault __asm__("r8");
	u64 rax = ~0ull;

	__asm__ volatile(TRY("vmcall")
			 : "=&r"(fault), "+a"(rax)
			 : "c"(0ul), "d"(0ul)
			 : "memory");
	return fault;
}

/* --- Hypercalls ----------------------------------------------------------- */

static u64 hypercall(u64 input, u64 address)
{
	u64 result;

	__asm__ volatile("call *%1"
			 : "=a"(result)
			 : "r"(call_page), "c"(input), "d"(address)
			 : "memory");
	return result;
}

static void calls_with(u64 input, u64 address, u64 wanted)
{
	u64 result = hypercall(input, address);

	check(result == wanted, "hypercall", "%#lx, %#lx: %#lx", input, address,
	      result);
}

static void check_hypercalls(void)
{
	check(vmcall() == VECTOR_UD, "no_calls_without_the_page", "-");
	writes(MSR_GUEST_OS_ID, 0x8100000000000001);
	writes_fault(MSR_HYPERCALL, 0x7ffffffffffff000 | ENABLE);
	writes(MSR_HYPERCALL, address_of(call_page) | ENABLE);
	calls_with(0x10008, 0, 0); /* a long spin wait */
	calls_with(0x8, 4, 4);
	calls_with(0x10008 | 1ul << 32, 0, 3);
	calls_with(0x2, 0, 2);
	calls_with(~0ul, 0, 2);
	wrmsr(MSR_GUEST_OS_ID, 0);
	reads(MSR_HYPERCALL, address_of(call_page));
	check(vmcall() == VECTOR_UD, "no_calls_without_a_name", "-");
	wrmsr(MSR_GUEST_OS_ID, 1);
	writes(MSR_HYPERCALL, address_of(call_page) | ENABLE | LOCKED);
	writes_fault(MSR_HYPERCALL, 0);
}

/* --- Time ----------------------------------------------------------------- */

static u64 time_by_page(void)
{
	return (u64)((u128)rdtsc() * time_page.scale >> 64) + time_page.offset;
}

static void check_time(void)
{
	u64 hz = rdmsr(MSR_TSC_HZ), start = rdmsr(MSR_TIME_COUNT), units;

	writes_fault(MSR_TIME_COUNT, 0);
	time_delay_us(1000);
	units = rdmsr(MSR_TIME_COUNT) - start;
	check(units >= 9000 && units < 1000000, "counter_is_in_100_ns",
	      "1 ms is %lu", units);
	writes_fault(MSR_REFERENCE_TSC, 1ul << 62 | ENABLE);
	writes(MSR_REFERENCE_TSC, address_of(&time_page) | ENABLE);
	check(!time_page.sequence == (hz <= SLOWEST_HZ), "page_is_valid",
	      "sequence %u at %lu Hz", time_page.sequence, hz);
	if (!time_page.sequence)
		return;
	for (u32 i = 0; i < 100; i++) {
		u64 before = rdmsr(MSR_TIME_COUNT), now = time_by_page(),
		    after = rdmsr(MSR_TIME_COUNT);

		if (before <= now && now <= after)
			continue;
		check(false, "page_and_counter", "%lu, %lu, %lu", before, now,
		      after);
		return;
	}
	check(true, "page_and_counter", "-");
}

/* --- The local APIC ------------------------------------------------------- */

static volatile u32 taken[64];

static void on_ipi(struct trap_frame *frame)
{
	(void)frame;
	taken[apic_id() % ARRAY_COUNT(taken)]++;
	wrmsr(MSR_EOI, 0);
}

static void take_what_waits(void)
{
	interrupts_on();
	cpu_pause();
	interrupts_off();
}

static void send_to_self(void)
{
	u64 to = (u64)apic_id() << (apic_mode() == APIC_X2APIC ? 32 : 56);

	wrmsr(MSR_ICR, to | 0x4000 | VECTOR_IPI);
	check((rdmsr(MSR_ICR) & ~0x1000ul & ~0x4000ul) == (to | VECTOR_IPI),
	      "icr_is_read_back", "%#lx", rdmsr(MSR_ICR));
}

static void check_apic(void)
{
	volatile u32 *count = &taken[apic_id() % ARRAY_COUNT(taken)];

	reads_fault(MSR_EOI);
	for (u32 i = 1; i <= 3; i++) { /* without an EOI there is one only */
		send_to_self();
		take_what_waits();
		check(*count == i, "interrupts_come", "%u of %u", *count, i);
	}
	writes(MSR_TPR, 0x50);
	check(apic_read(APIC_TPR) == 0x50, "tpr", "%#x", apic_read(APIC_TPR));
	send_to_self();
	take_what_waits();
	check(*count == 3, "tpr_holds_back", "%u", *count);
	writes(MSR_TPR, 0);
	take_what_waits();
	check(*count == 4, "tpr_lets_through", "%u", *count);
}

/* --- All of it ------------------------------------------------------------ */

static void check_cpu(u32 index)
{
	reads(MSR_VP_INDEX, index);
	writes_fault(MSR_VP_INDEX, index);
	writes_fault(MSR_VP_ASSIST, 1ul << 51 | ENABLE);
	writes(MSR_VP_ASSIST, address_of(assist_page) | ENABLE);
	check(!assist_page[0], "every_eoi_counts", "%#x", assist_page[0]);
	writes(MSR_VP_ASSIST, 0);
	check_apic();
}

static void check_interface(void)
{
	static const char name[] = "Microsoft Hv";
	struct cpuid leaf = cpuid(0x40000000, 0);

	check(!memcmp(&leaf.ebx, name, 4) && leaf.eax >= 0x40000005,
	      "leaf_40000000", "up to %#x", leaf.eax);
	check(cpuid(0x40000001, 0).eax == INTERFACE, "leaf_40000001", "-");
	reads_fault(MSR_SYNIC);
	writes_fault(MSR_SYNIC, 0);
	reads(MSR_TSC_HZ, time_tsc_hz());
	check_hypercalls();
	check_time();
}

static void check_none(void)
{
	check(cpuid(0x40000001, 0).eax != INTERFACE, "no_interface", "-");
	for (u32 msr = MSR_GUEST_OS_ID; msr <= MSR_VP_INDEX; msr++)
		reads_fault(msr);
	writes_fault(MSR_GUEST_OS_ID, 1);
	writes_fault(MSR_VP_ASSIST, address_of(assist_page) | ENABLE);
}

u8 guest_main(void)
{
	u32 cpus = smp_expected();

	if (boot_has_word("none")) {
		check_none();
		return result_print();
	}
	trap_handle(VECTOR_IPI, on_ipi);
	assist_page[0] = ~0u;
	check_interface();
	check_cpu(0);
	if (cpus > 1) {
		check(smp_start(check_cpu, SMP_TIMEOUT_US) == cpus, "cpus",
		      "not all answer");
		while (!smp_all_done())
			cpu_pause();
	}
	return result_print();
}
