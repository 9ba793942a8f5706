/* SPDX-License-Identifier: MIT */
/* The values that a VM exit loads: nested/host_state.h. */
#include "nested/host_state.h"
#include "lib/x86.h"

#define DR7_RESET      0x400
#define LIMIT_4G       0xffffffffu
#define LIMIT_TSS      0x67
#define LIMIT_TABLE    0xffff
#define PAE_CR3        BITS(31, 5)
#define PDPTE_PRESENT  BIT(0)
#define PDPTE_RESERVED (BITS(8, 5) | BITS(2, 1))
#define DATA_RIGHTS    (RIGHTS_DATA | RIGHTS_32 | RIGHTS_4K_LIMIT)

#define VALUE(name)    host->values[HOST_STATE_VMCS_GUEST_##name]

/* SDM vol. 3, "Loading Host Segment and Descriptor-Table Registers". */
#define LOAD_SEGMENT(name, selector, base, rights)    \
	do {                                          \
		VALUE(name##_SELECTOR) = selector;    \
		VALUE(name##_BASE) = base;            \
		VALUE(name##_LIMIT) = LIMIT_4G;       \
		VALUE(name##_ACCESS_RIGHTS) = rights; \
	} while (0)
#define LOAD_DATA(name, base)                                    \
	LOAD_SEGMENT(name, v->host_selector[SEG12_##name], base, \
		     v->host_selector[SEG12_##name]              \
			 ? DATA_RIGHTS                           \
			 : DATA_RIGHTS | RIGHTS_UNUSABLE)

static void make_segments(const struct vmcs12 *v,
			  struct nested_host_state *host)
{
	bool is_64_bit = v->exit_controls & EXIT_HOST_ADDRESS_SPACE_SIZE;

	LOAD_SEGMENT(CS, v->host_selector[SEG12_CS], 0,
		     RIGHTS_CODE | RIGHTS_4K_LIMIT |
			 (is_64_bit ? RIGHTS_LONG : RIGHTS_32));
	LOAD_DATA(ES, 0);
	LOAD_DATA(SS, 0);
	LOAD_DATA(DS, 0);
	LOAD_DATA(FS, v->host_fs_base);
	LOAD_DATA(GS, v->host_gs_base);
	VALUE(TR_SELECTOR) = v->host_tr_selector;
	VALUE(TR_BASE) = v->host_tr_base;
	VALUE(TR_LIMIT) = LIMIT_TSS;
	VALUE(TR_ACCESS_RIGHTS) = RIGHTS_TSS_BUSY;
	VALUE(LDTR_SELECTOR) = 0;
	VALUE(LDTR_ACCESS_RIGHTS) = RIGHTS_UNUSABLE;
	VALUE(GDTR_BASE) = v->host_gdtr_base;
	VALUE(GDTR_LIMIT) = LIMIT_TABLE;
	VALUE(IDTR_BASE) = v->host_idtr_base;
	VALUE(IDTR_LIMIT) = LIMIT_TABLE;
}

/*
 * SDM vol. 3, "Loading Host Control Registers, Debug Registers, MSRs" and
 * "Loading Host RIP, RSP, RFLAGS, and SSP".
 */
void nested_host_make(const struct vmcs12 *v, struct nested_host_state *host)
{
	make_segments(v, host);
	VALUE(CR3) = v->host_cr3;
	VALUE(DR7) = DR7_RESET;
	VALUE(DEBUGCTL) = 0;
	VALUE(SYSENTER_CS) = v->host_sysenter_cs;
	VALUE(SYSENTER_ESP) = v->host_sysenter_esp;
	VALUE(SYSENTER_EIP) = v->host_sysenter_eip;
	VALUE(RSP) = v->host_rsp;
	VALUE(RFLAGS) = RFLAGS_FIXED;
	VALUE(PENDING_DEBUG) = 0;
	VALUE(RIP) = v->host_rip;
}

enum nested_abort nested_host_find_pdptes(const struct vmcs12 *v,
					  const struct guest_mem *mem,
					  u32 phys_bits, u64 pdptes[4],
					  bool *has_pdptes)
{
	u64 reserved = BITS(63, phys_bits) | PDPTE_RESERVED;

	*has_pdptes = false;
	if (v->exit_controls & EXIT_HOST_ADDRESS_SPACE_SIZE)
		return NESTED_ABORT_NONE;
	/* The exit has saved IA32_EFER.LMA there. */
	if (v->entry_controls & ENTRY_IA32E_MODE_GUEST)
		return NESTED_ABORT_IA32E_MODE;
	if (!(v->host_cr4 & CR4_PAE))
		return NESTED_ABORT_NONE;
	if (guest_mem_read(mem, gpa(v->host_cr3 & PAE_CR3), pdptes,
			   4 * sizeof(*pdptes)) != OK)
		return NESTED_ABORT_PDPTES;
	for (u32 i = 0; i < 4; i++)
		if ((pdptes[i] & PDPTE_PRESENT) && (pdptes[i] & reserved))
			return NESTED_ABORT_PDPTES;
	*has_pdptes = true;
	return NESTED_ABORT_NONE;
}
