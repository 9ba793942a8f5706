/* SPDX-License-Identifier: MIT */
/*
 * The first guest: says hello, shows what machine it sees, sleeps until a
 * timer wakes it, counts the CPUs.
 *
 *	exit=V   the exit code (default 0)
 *	ms=N     how long to sleep (default 10)
 *	cpus=N   how many CPUs must answer (default: what CPUID says)
 *	apic=x   use the memory-mapped APIC also where there is an x2APIC
 */
#include "guests/lib/guest.h"

#define SMP_TIMEOUT_US         1000000

#define CPUID_1_ECX_HYPERVISOR BIT(31)

static void print_text_of(const char *label, u32 a, u32 b, u32 c)
{
	char text[13] = {0};

	memcpy(text, &a, 4);
	memcpy(text + 4, &b, 4);
	memcpy(text + 8, &c, 4);
	print("%s %s\n", label, text);
}

static void show_machine(void)
{
	struct cpuid vendor = cpuid(0, 0);
	struct cpuid hypervisor = cpuid(0x40000000, 0);
	struct boot_range range = boot_free_range();

	print_text_of("cpu", vendor.ebx, vendor.edx, vendor.ecx);
	if (cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR)
		print_text_of("hypervisor", hypervisor.ebx, hypervisor.ecx,
			      hypervisor.edx);
	else
		print("hypervisor none\n");
	print("command line \"%s\"\n", boot_command_line());
	print("memory %lu KiB, largest free range %#lx + %#lx, modules %u\n",
	      boot_memory_bytes() >> 10, range.base, range.bytes,
	      boot_module_count());
	print("tsc %lu Hz (%s)\n", time_tsc_hz(), time_tsc_source());
	print("apic %s, id %u\n", apic_mode_text(), apic_id());
}

static volatile u32 timer_count;

static void on_timer(struct trap_frame *frame)
{
	(void)frame;
	timer_count++;
	apic_end_of_interrupt();
}

static void sleep_until_timer(void)
{
	u64 us = boot_number("ms", 10) * 1000;
	u64 start = rdtsc();
	u64 slept_us;
	enum timer_kind kind;

	if (apic_mode() == APIC_NONE)
		return;
	trap_handle(VECTOR_TIMER, on_timer);
	kind = timer_start(TIMER_BEST, us);
	while (!timer_count)
		cpu_sleep();
	slept_us = time_tsc_to_us(rdtsc() - start);
	print("timer %s, %lu us asked, %lu us slept\n",
	      kind == TIMER_TSC_DEADLINE ? "tsc-deadline" : "one-shot", us,
	      slept_us);
	check(timer_count == 1, "timer_fires_once", "%u times", timer_count);
	check(slept_us + slept_us / 8 + 100 >= us, "timer_not_early",
	      "%lu us instead of %lu", slept_us, us);
}

static void greet(u32 index)
{
	print("cpu %u answers, apic id %u\n", index, apic_id());
}

static void count_cpus(void)
{
	u32 expected = smp_expected();
	u32 running = 1;

	if (expected > 1) {
		running = smp_start(greet, SMP_TIMEOUT_US);
		while (!smp_all_done())
			cpu_pause();
	}
	print("cpus %u of %u\n", running, expected);
	check(running == expected, "all_cpus_answer", "%u of %u", running,
	      expected);
}

u8 guest_main(void)
{
	u8 code;

	print("hello from a guest\n");
	show_machine();
	check(boot_memory_bytes() >= MIB, "memory_is_there", "%lu bytes",
	      boot_memory_bytes());
	sleep_until_timer();
	count_cpus();
	code = result_print();
	return code ? code : (u8)boot_number("exit", EXIT_OK);
}
