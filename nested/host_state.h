/* SPDX-License-Identifier: MIT */
/*
 * What a VM exit to L1 loads from the host state of vmcs12, as values for
 * vmcs01's guest state: made once, when L1's entry has been checked, and good
 * until L1 writes a field that it depends on. SDM vol. 3, "Loading Host State".
 *
 *	host fields of vmcs12, exit controls
 *	  -> nested_host_make -> values, by the names below
 *	  -> one VMWRITE each, at every exit
 *
 * Not among them, because they depend on more: CR0, CR4, IA32_EFER, IA32_PAT,
 * PDPTEs, the mode, and the interruptibility.
 */
#ifndef NESTED_HOST_STATE_H
#define NESTED_HOST_STATE_H

#include "nested/vmcs12.h"

/* One register with all that belongs to it. */
#define NESTED_HOST_SEGMENT(X, name)    \
	X(VMCS_GUEST_##name##_SELECTOR) \
	X(VMCS_GUEST_##name##_BASE)     \
	X(VMCS_GUEST_##name##_LIMIT)    \
	X(VMCS_GUEST_##name##_ACCESS_RIGHTS)

#define NESTED_HOST_FIELDS(X)            \
	NESTED_HOST_SEGMENT(X, CS)       \
	NESTED_HOST_SEGMENT(X, ES)       \
	NESTED_HOST_SEGMENT(X, SS)       \
	NESTED_HOST_SEGMENT(X, DS)       \
	NESTED_HOST_SEGMENT(X, FS)       \
	NESTED_HOST_SEGMENT(X, GS)       \
	NESTED_HOST_SEGMENT(X, TR)       \
	X(VMCS_GUEST_LDTR_SELECTOR)      \
	X(VMCS_GUEST_LDTR_ACCESS_RIGHTS) \
	X(VMCS_GUEST_GDTR_BASE)          \
	X(VMCS_GUEST_GDTR_LIMIT)         \
	X(VMCS_GUEST_IDTR_BASE)          \
	X(VMCS_GUEST_IDTR_LIMIT)         \
	X(VMCS_GUEST_CR3)                \
	X(VMCS_GUEST_DR7)                \
	X(VMCS_GUEST_DEBUGCTL)           \
	X(VMCS_GUEST_SYSENTER_CS)        \
	X(VMCS_GUEST_SYSENTER_ESP)       \
	X(VMCS_GUEST_SYSENTER_EIP)       \
	X(VMCS_GUEST_RSP)                \
	X(VMCS_GUEST_RFLAGS)             \
	X(VMCS_GUEST_PENDING_DEBUG)      \
	X(VMCS_GUEST_RIP)

#define NESTED_HOST_NAME(field) HOST_STATE_##field,
enum nested_host_field {
	NESTED_HOST_FIELDS(NESTED_HOST_NAME) HOST_STATE_COUNT,
};
#undef NESTED_HOST_NAME

struct nested_host_state {
	u64 values[HOST_STATE_COUNT];
};

/*
 * Can L1 go on? If not, the VM exit ends in a VMX abort, with a number as its
 * indicator: SDM vol. 3, "VMX Aborts".
 */
enum nested_abort {
	NESTED_ABORT_NONE,
	NESTED_ABORT_STORING_MSR = 1,
	NESTED_ABORT_PDPTES = 2,
	NESTED_ABORT_LOADING_MSR = 4,
	NESTED_ABORT_IA32E_MODE = 6,
};

/*
 * The PDPTEs of a 32-bit L1 with PAE paging, and whether there may be such an
 * L1: L2 can have gone to IA-32e mode by itself. *has_pdptes: they are to be
 * loaded.
 */
enum nested_abort nested_host_find_pdptes(const struct vmcs12 *v,
					  const struct guest_mem *mem,
					  u32 phys_bits, u64 pdptes[4],
					  bool *has_pdptes);

/* `v` has passed the checks of the host state. */
void nested_host_make(const struct vmcs12 *v, struct nested_host_state *host);

#endif
