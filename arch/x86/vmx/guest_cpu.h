/* SPDX-License-Identifier: MIT */
/*
 * CPU models with names: a guest with one of them sees the same CPU on every
 * host that can carry it, today and after a move (docs/GUESTS.md).
 *
 * A model says everything that CPUID says but for this: the width of physical
 * addresses, the TSC's frequency, what mitigates speculative execution, and
 * whether there is VMX. Those are the host's, and a move compares them.
 *
 * A released model never changes; a new one gets a new name.
 *
 * Pure.
 */
#ifndef ARCH_X86_VMX_GUEST_CPU_H
#define ARCH_X86_VMX_GUEST_CPU_H

#include "arch/x86/vmx/guest_cpuid.h"
#include "lib/types.h"

/* The registers of CPUID that hold a model's features. */
enum guest_cpu_word {
	GUEST_CPU_1_ECX,
	GUEST_CPU_1_EDX,
	GUEST_CPU_7_EBX,
	GUEST_CPU_7_ECX,
	GUEST_CPU_D1_EAX,
	GUEST_CPU_80000001_ECX,
	GUEST_CPU_80000001_EDX,
	GUEST_CPU_WORDS,
};

struct guest_cpu {
	const char *name;
	u32 signature; /* family, model and stepping, as leaf 1 gives them */
	u32 features[GUEST_CPU_WORDS];
};

/* From the oldest to the newest; each has all that those before it have. */
extern const struct guest_cpu guest_cpus[];
extern const u32 guest_cpu_count;

/* NULL: none is called that. */
const struct guest_cpu *guest_cpu_find(const char *name);

/* The newest that a host can carry whose CPUID, as far as Umbra lends it, is
 * `host`; NULL: not even the oldest. */
const struct guest_cpu *guest_cpu_best(const struct guest_cpuid *host);

/* Names of the features that the host lacks for the model; "" if none. */
void guest_cpu_describe_missing(const struct guest_cpu *cpu,
				const struct guest_cpuid *host, char *text,
				size_t size);

/* Makes `cpuid`, which was built for a host that can carry the model, show it.
 */
void guest_cpu_apply(const struct guest_cpu *cpu, struct guest_cpuid *cpuid);

#endif
