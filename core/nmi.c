/* SPDX-License-Identifier: MIT */
/* See core/nmi.h. */
#include "core/nmi.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/traps.h"
#include "arch/x86/cpu/tsc.h"
#include "core/backtrace.h"
#include "core/panic.h"
#include "core/sched.h"
#include "lib/log.h"

#define WAIT_NS 100000000ULL

/* What an NMI has interrupted: for each CPU, which alone writes it. */
static struct answer {
	u32 is_wanted; /* set by who asks, cleared with the answer */
	struct backtrace calls;
	struct sched_place place;
} answers[CPU_MAX];

/*
 * On the NMI's own stack, and anywhere: where a lock is held, and where
 * another handler is at work. So it neither waits nor prints.
 */
void trap_nmi(const struct trap_frame *frame)
{
	struct cpu *cpu = cpu_this();
	struct answer *answer = &answers[cpu->index];

	panic_stop_if_another_does();
	cpu->nmi_count++;
	if (!__atomic_load_n(&answer->is_wanted, __ATOMIC_ACQUIRE))
		return;
	backtrace_take(&answer->calls, frame->rip, frame->rbp);
	answer->place = sched_place();
	__atomic_store_n(&answer->is_wanted, 0, __ATOMIC_RELEASE);
}

static void say(u32 index, const struct answer *answer)
{
	if (answer->place.guest)
		log_info("CPU %u runs guest %s, vCPU %u", index,
			 answer->place.guest, answer->place.vcpu);
	else
		log_info("CPU %u runs no guest", index);
	backtrace_say(&answer->calls, LOG_INFO);
}

void nmi_ask(u32 index)
{
	u64 end = tsc_now_ns() + WAIT_NS;
	struct answer *answer;

	if (index >= cpu_count || !cpus[index].online) {
		log_info("nmi CPU, one that runs: \"cpus\" lists them");
		return;
	}
	answer = &answers[index];
	__atomic_store_n(&answer->is_wanted, 1, __ATOMIC_SEQ_CST);
	apic_send_nmi(cpus[index].apic_id);
	while (__atomic_load_n(&answer->is_wanted, __ATOMIC_ACQUIRE)) {
		if (tsc_now_ns() >= end) {
			log_warn("CPU %u has not taken an NMI for 100 ms: it "
				 "is in SMM, shut down, or at another one",
				 index);
			return;
		}
		insn_pause();
	}
	say(index, answer);
}
