/* SPDX-License-Identifier: MIT */
/*
 * L2's memory as Umbra accesses it on L2's behalf: through EPT12, with all that
 * such an access does there (A and D bits, L1's page-modification log).
 *
 *	L2-linear --L2's page tables--> ngpa_t --EPT12--> gpa_t
 */
#ifndef ARCH_X86_VMX_NESTED_MEMORY_H
#define ARCH_X86_VMX_NESTED_MEMORY_H

#include "arch/x86/vmx/vcpu.h"
#include "mm/guest_walk.h"
#include "nested/owner.h"

struct nested_memory {
	struct vcpu *vcpu;
	struct guest_below below;
	/*
	 * If its reason is not 0: L1's, after ERR_STATE of a walk. The linear
	 * address is the caller's to fill in.
	 */
	struct nested_exit exit;
};

/* For the loaded vCPU. What struct guest_paging wants: NULL, unless L2 runs on
 * an EPT12. */
const struct guest_below *nested_memory_init(struct nested_memory *memory,
					     struct vcpu *vcpu);

/*
 * Reads the table of PDPTEs at a physical address of the guest that runs, as
 * MOV CR does (SDM vol. 3, "Exit Qualification for EPT Violations": there is no
 * linear address). Answers as guest_walk does; ERR_STATE: memory->exit has
 * become L1's.
 */
MUST_CHECK enum err nested_memory_read_pdptes(struct nested_memory *memory,
					      struct vcpu *vcpu, u64 physical,
					      u64 pdptes[4]);

/*
 * Is L2's access, of which exit->qualification tells as an EPT violation does,
 * one to the APIC-access page? Then the exit becomes the one that a CPU makes of
 * it without a TPR shadow (SDM vol. 3, "Virtualizing Memory-Mapped APIC
 * Accesses"). For accesses by Umbra, and where L1 has chosen a page that is no
 * memory: the CPU knows that page by its frame.
 */
bool nested_memory_is_apic(const struct vcpu *vcpu, gpa_t address,
			   struct nested_exit *exit);

#endif
