/* SPDX-License-Identifier: MIT */
/*
 * The enlightened VMCS, version 1 (Hyper-V Top-Level Functional Specification,
 * "Nested Virtualization", HV_VMX_ENLIGHTENED_VMCS): a page of L1's memory that
 * L1 reads and writes without VMREAD and VMWRITE, and that Umbra reads at VM
 * entries and writes at VM exits.
 *
 *	VP-assist page --current_nested_vmcs--> eVMCS --evmcs_read--> vmcs12
 *	                                              <-evmcs_write--
 *
 * Each field belongs to at most one clean group. L1 says which groups it has
 * not written since the last entry; what it says counts only if Umbra has the
 * groups from this very page: not after another VMCS, not after VMLAUNCH, not
 * after a failure, and not on a machine that the vCPU has just come to.
 *
 * The page is L1's memory: other vCPUs write it while it is read. Each field is
 * fetched once, and nothing in it is believed before nested/checks.h has looked
 * at the copy.
 */
#ifndef NESTED_EVMCS_H
#define NESTED_EVMCS_H

#include "nested/fields.h"
#include "nested/vmcs12.h"

#define EVMCS_VERSION      1u
#define EVMCS_BYTES        1024u /* that have a meaning */
#define EVMCS_REGION_BYTES 4096u

/* Clean groups, as bits; EVMCS_ALL: fields for which there is none. */
enum evmcs_clean {
	EVMCS_NONE = 0, /* read at every entry */
	EVMCS_IO_BITMAP = 1 << 0,
	EVMCS_MSR_BITMAP = 1 << 1,
	EVMCS_CONTROL_GROUP2 = 1 << 2,
	EVMCS_CONTROL_GROUP1 = 1 << 3,
	EVMCS_CONTROL_PROCESSOR = 1 << 4,
	EVMCS_CONTROL_EVENT = 1 << 5,
	EVMCS_CONTROL_ENTRY = 1 << 6,
	EVMCS_CONTROL_EXCEPTION = 1 << 7,
	EVMCS_CRDR = 1 << 8,
	EVMCS_CONTROL_TRANSLATION = 1 << 9,
	EVMCS_GUEST_BASIC = 1 << 10,
	EVMCS_GUEST_GROUP1 = 1 << 11,
	EVMCS_GUEST_GROUP2 = 1 << 12,
	EVMCS_HOST_POINTER = 1 << 13,
	EVMCS_HOST_GROUP1 = 1 << 14,
	EVMCS_ENLIGHTENMENTS = 1 << 15,
	EVMCS_ALL = 0xffff,
};

/* Bits of the enlightenments. */
#define EVMCS_USES_MSR_BITMAP BIT(1) /* and says when it has changed */

struct evmcs {
	u32 version;
	u32 abort;

	u16 host_selector[SEG12_LDTR];
	u16 host_tr_selector;
	u16 reserved1;
	u64 host_pat, host_efer;
	u64 host_cr0, host_cr3, host_cr4;
	u64 host_sysenter_esp, host_sysenter_eip;
	u64 host_rip;
	u32 host_sysenter_cs;

	u32 pin_controls, exit_controls, secondary_controls;
	u64 io_bitmap_a, io_bitmap_b, msr_bitmap;

	u16 guest_selector[SEG12_COUNT];
	u32 guest_limit[SEG12_BASES];
	u32 guest_rights[SEG12_COUNT];
	u64 guest_base[SEG12_BASES];
	u64 reserved2[3];

	u64 exit_msr_store_address, exit_msr_load_address;
	u64 entry_msr_load_address;
	u64 cr3_target[4];
	u32 page_fault_error_mask, page_fault_error_match;
	u32 cr3_target_count;
	u32 exit_msr_store_count, exit_msr_load_count, entry_msr_load_count;
	u64 tsc_offset;
	u64 virtual_apic_address;

	u64 link_pointer;
	u64 guest_debugctl, guest_pat, guest_efer;
	u64 guest_pdpte[4];
	u64 guest_pending_debug;
	u64 guest_sysenter_esp, guest_sysenter_eip;
	u32 guest_activity;
	u32 guest_sysenter_cs;

	u64 cr0_mask, cr4_mask, cr0_shadow, cr4_shadow;
	u64 guest_cr0, guest_cr3, guest_cr4;
	u64 guest_dr7;

	u64 host_fs_base, host_gs_base, host_tr_base;
	u64 host_gdtr_base, host_idtr_base;
	u64 host_rsp;

	u64 ept_pointer;
	u16 vpid;
	u16 reserved3[3];
	u64 reserved4[5];

	u64 guest_physical_address;
	u32 instruction_error;
	u32 exit_reason;
	u32 exit_interruption_info, exit_interruption_error_code;
	u32 idt_vectoring_info, idt_vectoring_error_code;
	u32 exit_instruction_length, exit_instruction_info;
	u64 exit_qualification;
	u64 io_rcx, io_rsi, io_rdi, io_rip;
	u64 guest_linear_address;

	u64 guest_rsp, guest_rflags;
	u32 guest_interruptibility;
	u32 primary_controls;
	u32 exception_bitmap;
	u32 entry_controls;
	u32 entry_interruption_info;
	u32 entry_exception_error_code;
	u32 entry_instruction_length;
	u32 tpr_threshold;
	u64 guest_rip;

	u32 clean_fields;
	u32 reserved5;
	u32 synthetic_controls;
	u32 enlightenments;
	u32 vp_id;
	u32 reserved6;
	u64 vm_id;
	u64 partition_assist_page;
	u64 reserved7[4];
	u64 guest_bndcfgs, guest_perf_global_ctrl;
	u64 guest_s_cet, guest_ssp, guest_ssp_table, guest_lbr_ctl;
	u64 reserved8[2];
	u64 xss_exiting_bitmap;
	u64 encls_exiting_bitmap;
	u64 host_perf_global_ctrl;
	u64 tsc_multiplier;
	u64 host_s_cet, host_ssp, host_ssp_table;
	u64 reserved9;
};

_Static_assert(sizeof(struct evmcs) == EVMCS_BYTES, "no gap of the compiler's");

enum evmcs_way {
	EVMCS_IN,   /* L1's: read at entries */
	EVMCS_OUT,  /* exits write it, and L1 has no say */
	EVMCS_BOTH, /* L1's, and changed by exits */
};

struct evmcs_field {
	u16 field; /* its encoding in a VMCS */
	u16 at;    /* in struct evmcs */
	u16 in12;  /* in struct vmcs12 */
	u16 clean;
	u8 bytes; /* 2, 4 or 8 */
	u8 way;   /* enum evmcs_way */
};

/* In the order of struct evmcs. */
#define EVMCS_FIELDS 130
extern const struct evmcs_field evmcs_fields[EVMCS_FIELDS];

/* What an entry has found in the page. */
struct evmcs_read {
	u32 changed; /* BIT(enum nested_group): groups whose fields differ */
	/* L1 says that its MSR bitmap is as it was at the last entry. */
	bool msr_bitmap_is_clean;
};

/*
 * From L1's memory into `v`. `trusts_clean`: groups that L1 calls clean are in
 * `v` already; else all fields are read, and those that an eVMCS has not are 0.
 * ERR_RANGE: no memory is there, or not at a page's beginning; ERR_BAD_FORMAT:
 * another version. On an error `v` is as it was.
 */
enum evmcs_trust { EVMCS_READ_ALL, EVMCS_TRUST_CLEAN };
MUST_CHECK enum err evmcs_read(struct vmcs12 *v, const struct guest_mem *mem,
			       gpa_t page, enum evmcs_trust trust,
			       struct evmcs_read *read);

/* What an exit leaves for L1. What is no memory any more swallows it. */
void evmcs_write(const struct vmcs12 *v, struct guest_mem *mem, gpa_t page);
void evmcs_write_error(struct guest_mem *mem, gpa_t page, u32 error);
void evmcs_write_abort(struct guest_mem *mem, gpa_t page, u32 indicator);

/*
 * Takes the controls from an offer whose fields an eVMCS has not: an L1 that is
 * offered eVMCSs is not offered those, for it would set them and write nothing
 * that goes with them. VM entries check controls against the offer as ever.
 */
void evmcs_limit_offer(struct nested_capability *offer);
/* Does the offer lack all of them? */
bool evmcs_can_serve(const struct nested_capability *offer);

/* May that be the first word of an eVMCS? Hyper-V writes the VMX revision. */
static inline bool evmcs_is_version(u32 word)
{
	return word == EVMCS_VERSION || word == NESTED_REVISION;
}

#endif
