/* SPDX-License-Identifier: MIT */
/*
 * vmcs12: the VMCS that a guest hypervisor (L1) keeps for its guest (L2), as
 * Umbra lays it out in L1's memory, and access to its fields by encoding.
 *
 *	 0	revision identifier; bit 31: it is a shadow VMCS
 *	 4	VMX-abort indicator
 *	 8	launch state
 *	12	0
 *	16	fields of 64 bits and of natural width, then of 32, then of 16
 *
 * The first two words are the manual's; software may touch nothing else
 * (SDM vol. 3, "Format of the VMCS Region"). The rest is struct vmcs12, byte
 * for byte; the region has 4 KiB, of which what follows the struct is not used.
 * The layout is part of what migrates: whoever changes it changes
 * NESTED_REVISION, and tests/unit/test_vmcs12.c, which knows it by heart.
 *
 * L1 can write any bytes there. Nothing in a vmcs12 is to be believed before
 * nested/checks.h has looked at it; the functions here are safe with any.
 */
#ifndef NESTED_VMCS12_H
#define NESTED_VMCS12_H

#include "lib/vmcs.h"
#include "mm/addr.h"
#include "mm/guest_mem.h"
#include "nested/capability.h"

#define VMCS12_REGION_BYTES 4096u
#define VMCS12_SHADOW       BIT(31) /* in the revision identifier */

enum vmcs12_launch_state {
	VMCS12_CLEAR,
	VMCS12_LAUNCHED,
};

/* In the order of the encodings; the last two have base and limit only. */
enum vmcs12_segment {
	SEG12_ES,
	SEG12_CS,
	SEG12_SS,
	SEG12_DS,
	SEG12_FS,
	SEG12_GS,
	SEG12_LDTR,
	SEG12_TR,
	SEG12_COUNT,
	SEG12_GDTR = SEG12_COUNT,
	SEG12_IDTR,
	SEG12_BASES,
};

struct vmcs12 {
	u32 revision;
	u32 abort;
	u32 launch_state;
	u32 reserved;

	/* Controls. */
	u64 io_bitmap_a, io_bitmap_b, msr_bitmap;
	u64 exit_msr_store_address, exit_msr_load_address;
	u64 entry_msr_load_address;
	u64 executive_vmcs_pointer;
	u64 pml_address;
	u64 tsc_offset;
	u64 virtual_apic_address, apic_access_address;
	u64 posted_interrupt_descriptor;
	u64 vmfunc_controls;
	u64 ept_pointer;
	u64 eoi_exit_bitmap[4];
	u64 eptp_list_address;
	u64 vmread_bitmap, vmwrite_bitmap;
	u64 xss_exiting_bitmap;
	u64 tsc_multiplier;
	u64 cr0_mask, cr4_mask, cr0_shadow, cr4_shadow;
	u64 cr3_target[4];
	/* Exit information. */
	u64 guest_physical_address;
	u64 exit_qualification;
	u64 io_rcx, io_rsi, io_rdi, io_rip;
	u64 guest_linear_address;
	/* Guest state. */
	u64 link_pointer;
	u64 guest_debugctl, guest_pat, guest_efer;
	u64 guest_pdpte[4];
	u64 guest_cr0, guest_cr3, guest_cr4;
	u64 guest_base[SEG12_BASES];
	u64 guest_dr7, guest_rsp, guest_rip, guest_rflags;
	u64 guest_pending_debug;
	u64 guest_sysenter_esp, guest_sysenter_eip;
	/* Host state. */
	u64 host_pat, host_efer;
	u64 host_cr0, host_cr3, host_cr4;
	u64 host_fs_base, host_gs_base, host_tr_base;
	u64 host_gdtr_base, host_idtr_base;
	u64 host_sysenter_esp, host_sysenter_eip;
	u64 host_rsp, host_rip;

	/* Controls. */
	u32 pin_controls, primary_controls, secondary_controls;
	u32 exception_bitmap;
	u32 page_fault_error_mask, page_fault_error_match;
	u32 cr3_target_count;
	u32 exit_controls;
	u32 exit_msr_store_count, exit_msr_load_count;
	u32 entry_controls;
	u32 entry_msr_load_count;
	u32 entry_interruption_info;
	u32 entry_exception_error_code;
	u32 entry_instruction_length;
	u32 tpr_threshold;
	u32 ple_gap, ple_window;
	/* Exit information. */
	u32 instruction_error;
	u32 exit_reason;
	u32 exit_interruption_info, exit_interruption_error_code;
	u32 idt_vectoring_info, idt_vectoring_error_code;
	u32 exit_instruction_length, exit_instruction_info;
	/* Guest state. */
	u32 guest_limit[SEG12_BASES];
	u32 guest_rights[SEG12_COUNT];
	u32 guest_interruptibility;
	u32 guest_activity;
	u32 guest_smbase;
	u32 guest_sysenter_cs;
	u32 preemption_timer;
	/* Host state. */
	u32 host_sysenter_cs;

	/* Controls. */
	u16 vpid;
	u16 posted_interrupt_vector;
	/* Guest state. */
	u16 guest_selector[SEG12_COUNT];
	u16 guest_interrupt_status;
	u16 pml_index;
	/* Host state: there is no LDTR. */
	u16 host_selector[SEG12_LDTR];
	u16 host_tr_selector;
	u16 padding[3];
};

_Static_assert(sizeof(struct vmcs12) <= VMCS12_REGION_BYTES, "fits");
_Static_assert(sizeof(struct vmcs12) % 8 == 0, "no padding of the compiler's");

/*
 * VMREAD and VMWRITE of any encoding. VMX_ERROR_UNSUPPORTED_FIELD,
 * and VMX_ERROR_READ_ONLY_FIELD where the offer lacks MISC_VMWRITE_ANY; then
 * nothing is read or written. Values wider than the field lose their upper
 * bits, narrower fields are zero-extended.
 */
MUST_CHECK enum vmx_error vmcs12_read(const struct vmcs12 *v,
				      const struct nested_capability *offer,
				      u64 encoding, u64 *value);
MUST_CHECK enum vmx_error vmcs12_write(struct vmcs12 *v,
				       const struct nested_capability *offer,
				       u64 encoding, u64 value);

/* Would a VMWRITE be refused, and how? */
enum vmx_error vmcs12_may_write(const struct nested_capability *offer,
				u64 encoding);

/*
 * The field of an encoding (of its full, not its high access) as an offset into
 * the struct, for tables and tests; 0: the offer has no such field.
 */
u32 vmcs12_field_offset(const struct nested_capability *offer, u64 encoding);
u32 vmcs12_field_bytes(u64 encoding);

/* IA32_VMX_VMCS_ENUM: the highest index of any field that exists. */
u64 vmcs12_enum(const struct nested_capability *offer);

/*
 * From and to L1's memory. What is no memory reads as ones and swallows writes,
 * as on a bus where nobody answers. A launch state that Umbra has not written
 * is "clear".
 */
void vmcs12_load(struct vmcs12 *v, const struct guest_mem *mem, gpa_t region);
void vmcs12_store(const struct vmcs12 *v, struct guest_mem *mem, gpa_t region);
u32 vmcs12_load_revision(const struct guest_mem *mem, gpa_t region);
void vmcs12_store_clear(struct guest_mem *mem, gpa_t region);

#endif
