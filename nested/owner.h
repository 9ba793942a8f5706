/* SPDX-License-Identifier: MIT */
/*
 * L2 has exited. Whose exit is it: L1's, because its controls ask for it or
 * because the manual has it happen always, or Umbra's own?
 *
 *	L2 -> VM exit -> nested_exit_is_l1s -> yes: vmcs12, L1's host state
 *	                                    -> no:  as an exit of any guest
 *
 * What exits only because Umbra's controls ask for more than L1's is ours; so
 * are events of the machine (interrupts, NMIs, machine checks, the preemption
 * timer): what of them L1 gets to know comes through its local APIC. EPT
 * violations and misconfigurations are for shadow/ to judge, and VMFUNC,
 * VMREAD and VMWRITE for nested/instruction.h, before they are asked about
 * here.
 *
 * SDM vol. 3, "Instructions That Cause VM Exits", "Other Causes of VM Exits".
 */
#ifndef NESTED_OWNER_H
#define NESTED_OWNER_H

#include "nested/vmcs12.h"

/* What a VM exit leaves, from the CPU or made by Umbra, for L1 to read. */
struct nested_exit {
	u32 reason; /* with its flags */
	u32 interruption, error_code;
	u32 idt_vectoring, idt_error_code;
	u32 instruction_length, instruction_information;
	u64 qualification;
	gva_t linear;
	ngpa_t physical;
};

/*
 * Instructions that do not fault nor are interrupted on their way, and of which
 * an exit tells its reason and the instruction's length: of all else the
 * manual says that it is 0, or nothing.
 */
#define NESTED_PLAIN_EXITS                                                     \
	(BIT(EXIT_CPUID) | BIT(EXIT_HLT) | BIT(EXIT_RDPMC) | BIT(EXIT_RDTSC) | \
	 BIT(EXIT_VMCALL) | BIT(EXIT_VMLAUNCH) | BIT(EXIT_VMRESUME) |          \
	 BIT(EXIT_VMXOFF) | BIT(EXIT_RDMSR) | BIT(EXIT_WRMSR) |                \
	 BIT(EXIT_PAUSE) | BIT(EXIT_RDTSCP) | BIT(EXIT_WBINVD) |               \
	 BIT(EXIT_XSETBV))
_Static_assert((u32)EXIT_XSETBV < 64, "bits of one word");

static inline bool nested_exit_is_plain(u32 reason)
{
	return reason < 64 && (NESTED_PLAIN_EXITS >> reason & 1);
}

/* Of them, those that are L1's whatever its controls say. */
#define NESTED_ALWAYS_L1S                                          \
	(BIT(EXIT_CPUID) | BIT(EXIT_VMCALL) | BIT(EXIT_VMLAUNCH) | \
	 BIT(EXIT_VMRESUME) | BIT(EXIT_VMXOFF) | BIT(EXIT_XSETBV))

static inline bool nested_exit_is_always_l1s(u32 reason)
{
	return reason < 64 && (NESTED_ALWAYS_L1S >> reason & 1);
}

/*
 * An exit by an access, which Umbra makes of one of another kind: is RF 1, as of
 * a fault? In the delivery of an event it is what the event would push, which
 * the CPU has saved. SDM vol. 3, "Saving RIP, RSP, RFLAGS, and SSP".
 */
static inline bool nested_exit_sets_rf(const struct nested_exit *exit,
				       u32 injection)
{
	return !((exit->idt_vectoring | injection) & EVENT_VALID);
}

struct nested_l2 {
	const struct vmcs12 *v;
	const struct guest_mem *mem; /* L1's */
	const u64 *gpr;              /* L2's 16, with RSP */
};

bool nested_exit_is_l1s(const struct nested_l2 *l2,
			const struct nested_exit *exit);

/*
 * Does an exception of L2 exit to L1? Exceptions that Umbra raises in L2 on
 * its own account are asked about, too.
 */
bool nested_exception_is_l1s(const struct vmcs12 *v, u32 vector,
			     u32 error_code);

/*
 * With virtual-interrupt delivery: would a VM entry with this guest interrupt
 * status recognise a virtual interrupt? Then it ends HLT.
 */
bool nested_virtual_interrupt_waits(const struct nested_l2 *l2, u16 status);

/*
 * Does a VM entry exit at once because the virtual TPR is below its threshold?
 * SDM vol. 3, "VM Exits Induced by the TPR Threshold".
 */
bool nested_tpr_is_below(const struct nested_l2 *l2);

/*
 * Does the CPU refuse the entry for that reason? It does without an APIC-access
 * page: SDM vol. 3, "VM-Execution Control Fields", among the checks.
 */
bool nested_tpr_is_refused(const struct nested_l2 *l2);

/* Does L1 want the exit of an RDMSR, or of a WRMSR, of L2? */
enum nested_msr_access { NESTED_RDMSR, NESTED_WRMSR };
bool nested_msr_is_l1s(const struct nested_l2 *l2, u32 msr,
		       enum nested_msr_access access);

#endif
