/* SPDX-License-Identifier: MIT */
/* A vmcs12 that every rule accepts, in L1's memory as far as it lies there. */
#ifndef TESTS_UNIT_NESTED_STATE_H
#define TESTS_UNIT_NESTED_STATE_H

#include "mm/frame_alloc.h"
#include "nested/checks.h"
#include "tests/unit/nested_host.h"

/* L1's memory, by page. */
#define L1_RAM_BYTES    (32 * PAGE_4K)
#define PAGE_VMXON      0x1000UL
#define PAGE_VMCS       0x2000UL
#define PAGE_BITMAPS    0x3000UL /* and the next two */
#define PAGE_APIC       0x6000UL
#define PAGE_SHADOW     0x7000UL /* a shadow VMCS */
#define PAGE_OTHER_VMCS 0x8000UL
#define PAGE_MSRS       0x9000UL
#define PAGE_EPTP_LIST  0xa000UL
#define PAGE_PDPTES     0xb000UL
#define PAGE_OPERAND    0xc000UL
#define PAGE_NO_VMCS    0xd000UL /* a foreign revision identifier */
#define L1_PHYS_BITS    40u
#define L1_EFER         (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

UNUSED static void put_u32(struct guest_mem *mem, u64 address, u32 value)
{
	if (guest_mem_write_u32(mem, gpa(address), value) != OK)
		abort();
}

UNUSED static void make_l1_memory(struct guest_mem *mem)
{
	frame_alloc_init();
	if (frame_alloc_add(hpa(MIB), MIB) != OK ||
	    guest_mem_create(mem, gpa(GIB), "test") != OK ||
	    guest_mem_add(mem, gpa(0), L1_RAM_BYTES) != OK)
		abort();
	put_u32(mem, PAGE_VMXON, NESTED_REVISION);
	put_u32(mem, PAGE_VMCS, NESTED_REVISION);
	put_u32(mem, PAGE_OTHER_VMCS, NESTED_REVISION);
	put_u32(mem, PAGE_SHADOW, NESTED_REVISION | (u32)VMCS12_SHADOW);
	put_u32(mem, PAGE_NO_VMCS, NESTED_REVISION + 1);
	put_u32(mem, PAGE_APIC + 0x80, 0x50);
}

UNUSED static void make_controls(struct vmcs12 *v)
{
	v->pin_controls =
	    0x16 | (u32)(PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMIS);
	v->primary_controls =
	    0x04006172 |
	    (u32)(PRIMARY_HLT | PRIMARY_IO_BITMAPS | PRIMARY_MSR_BITMAPS |
		  PRIMARY_TPR_SHADOW | PRIMARY_SECONDARY);
	v->secondary_controls = (u32)(SECONDARY_EPT | SECONDARY_VPID |
				      SECONDARY_PML | SECONDARY_VMFUNC);
	v->exit_controls =
	    0x00036dfb |
	    (u32)(EXIT_HOST_ADDRESS_SPACE_SIZE | EXIT_ACKNOWLEDGE_INTERRUPT |
		  EXIT_LOAD_PAT | EXIT_LOAD_EFER | EXIT_SAVE_EFER);
	v->entry_controls =
	    0x000011fb |
	    (u32)(ENTRY_LOAD_DEBUG_CONTROLS | ENTRY_IA32E_MODE_GUEST |
		  ENTRY_LOAD_PAT | ENTRY_LOAD_EFER);
	v->io_bitmap_a = PAGE_BITMAPS;
	v->io_bitmap_b = PAGE_BITMAPS + 0x1000;
	v->msr_bitmap = PAGE_BITMAPS + 0x2000;
	v->virtual_apic_address = PAGE_APIC;
	v->vpid = 1;
	v->ept_pointer = 0x10000 | 3 << 3 | 6 | BIT(6);
	v->pml_address = 0x11000;
	v->vmfunc_controls = VMFUNC_EPTP_SWITCHING;
	v->eptp_list_address = PAGE_EPTP_LIST;
	v->vmread_bitmap = v->vmwrite_bitmap = 0x12000;
}

UNUSED static void make_host(struct vmcs12 *v)
{
	v->host_cr0 = 0x80050033;
	v->host_cr3 = 0x13000;
	v->host_cr4 = CR4_PAE | CR4_VMXE;
	v->host_pat = PAT_RESET;
	v->host_efer = L1_EFER;
	v->host_selector[SEG12_CS] = 8;
	v->host_selector[SEG12_SS] = 0x10;
	v->host_tr_selector = 0x18;
	v->host_rip = 0xffff800000001000;
}

UNUSED static void make_guest(struct vmcs12 *v)
{
	v->guest_cr0 = 0x80050033;
	v->guest_cr3 = 0x14000;
	v->guest_cr4 = CR4_PAE | CR4_VMXE;
	v->guest_pat = PAT_RESET;
	v->guest_efer = EFER_LME | EFER_LMA;
	v->guest_dr7 = 0x400;
	v->guest_rflags = RFLAGS_FIXED | RFLAGS_IF;
	v->guest_rip = 0xffff800000002000;
	v->link_pointer = ~0UL;
	for (u32 i = 0; i <= SEG12_GS; i++) {
		v->guest_rights[i] = 0xc093;
		v->guest_limit[i] = 0xffffffff;
		v->guest_selector[i] = 0x10;
	}
	v->guest_rights[SEG12_CS] = 0xa09b;
	v->guest_selector[SEG12_CS] = 8;
	v->guest_rights[SEG12_TR] = 0x8b;
	v->guest_limit[SEG12_TR] = 0x67;
	v->guest_selector[SEG12_TR] = 0x18;
	v->guest_rights[SEG12_LDTR] = (u32)RIGHTS_UNUSABLE;
	v->guest_limit[SEG12_GDTR] = v->guest_limit[SEG12_IDTR] = 0xffff;
}

UNUSED static void make_vmcs12(struct vmcs12 *v)
{
	*v = (struct vmcs12){.revision = NESTED_REVISION};
	make_controls(v);
	make_host(v);
	make_guest(v);
}

UNUSED static struct nested_entry
entry_of(const struct vmcs12 *v, const struct nested_capability *offer,
	 const struct guest_mem *mem)
{
	return (struct nested_entry){
	    .v = v,
	    .offer = offer,
	    .mem = mem,
	    .region = gpa(PAGE_VMCS),
	    .l1_efer = L1_EFER,
	    .efer_defined = L1_EFER,
	    .debugctl_defined = BITS(1, 0),
	    .phys_bits = L1_PHYS_BITS,
	    .linear_bits = 48,
	};
}

#endif
