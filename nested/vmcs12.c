/* SPDX-License-Identifier: MIT */
/* The fields of a vmcs12: where they are and when they exist. */
#include "nested/vmcs12.h"
#include "lib/string.h"

/*
 * Most fields exist only where a control does (SDM vol. 3, "Field Encoding in
 * VMCS", the notes under its tables).
 */
enum need {
	NEED_NOTHING,
	NEED_VPID,
	NEED_POSTED_INTERRUPTS,
	NEED_INTERRUPT_DELIVERY,
	NEED_PML,
	NEED_MSR_BITMAPS,
	NEED_TPR_SHADOW,
	NEED_APIC_ACCESSES,
	NEED_VMFUNC,
	NEED_EPT,
	NEED_VMCS_SHADOWING,
	NEED_XSAVES,
	NEED_TSC_SCALING,
	NEED_PAUSE_LOOP,
	NEED_PREEMPTION_TIMER,
	NEED_GUEST_PAT,
	NEED_GUEST_EFER,
	NEED_HOST_PAT,
	NEED_HOST_EFER,
	NEED_CR3_TARGETS, /* counted in IA32_VMX_MISC, not a control */
	NEED_COUNT,
};

#define ONE(control_word, control_bit)                       \
	{                                                    \
		.word = (control_word), .bit = (control_bit) \
	}

/* Either of two controls will do; most have only one. */
static const struct {
	enum control_word word;
	u32 bit;
	enum control_word other_word;
	u32 other_bit;
} needs[NEED_COUNT] = {
    [NEED_VPID] = ONE(CONTROLS_SECONDARY, SECONDARY_VPID),
    [NEED_POSTED_INTERRUPTS] = ONE(CONTROLS_PIN, PIN_POSTED_INTERRUPTS),
    [NEED_INTERRUPT_DELIVERY] =
	ONE(CONTROLS_SECONDARY, SECONDARY_INTERRUPT_DELIVERY),
    [NEED_PML] = ONE(CONTROLS_SECONDARY, SECONDARY_PML),
    [NEED_MSR_BITMAPS] = ONE(CONTROLS_PRIMARY, PRIMARY_MSR_BITMAPS),
    [NEED_TPR_SHADOW] = ONE(CONTROLS_PRIMARY, PRIMARY_TPR_SHADOW),
    [NEED_APIC_ACCESSES] = ONE(CONTROLS_SECONDARY, SECONDARY_APIC_ACCESSES),
    [NEED_VMFUNC] = ONE(CONTROLS_SECONDARY, SECONDARY_VMFUNC),
    [NEED_EPT] = ONE(CONTROLS_SECONDARY, SECONDARY_EPT),
    [NEED_VMCS_SHADOWING] = ONE(CONTROLS_SECONDARY, SECONDARY_VMCS_SHADOWING),
    [NEED_XSAVES] = ONE(CONTROLS_SECONDARY, SECONDARY_XSAVES),
    [NEED_TSC_SCALING] = ONE(CONTROLS_SECONDARY, SECONDARY_TSC_SCALING),
    [NEED_PAUSE_LOOP] = ONE(CONTROLS_SECONDARY, SECONDARY_PAUSE_LOOP),
    [NEED_PREEMPTION_TIMER] = ONE(CONTROLS_PIN, PIN_PREEMPTION_TIMER),
    [NEED_GUEST_PAT] = {CONTROLS_ENTRY, ENTRY_LOAD_PAT, CONTROLS_EXIT,
			EXIT_SAVE_PAT},
    [NEED_GUEST_EFER] = {CONTROLS_ENTRY, ENTRY_LOAD_EFER, CONTROLS_EXIT,
			 EXIT_SAVE_EFER},
    [NEED_HOST_PAT] = ONE(CONTROLS_EXIT, EXIT_LOAD_PAT),
    [NEED_HOST_EFER] = ONE(CONTROLS_EXIT, EXIT_LOAD_EFER),
};

struct field {
	u16 offset; /* 0: there is none */
	u16 need;
};

/* Width and kind, then the index, of which we use five bits. */
#define INDEX_LIMIT 32u
#define KEY(encoding)                                                \
	(((encoding) >> 13 & 3) << 7 | ((encoding) >> 10 & 3) << 5 | \
	 ((encoding) >> 1 & (INDEX_LIMIT - 1)))
#define KEY_COUNT (16u * INDEX_LIMIT)

#define FIELD(encoding, member, need) \
	[KEY(encoding)] = {offsetof(struct vmcs12, member), need}

static const struct field fields[KEY_COUNT] = {
    FIELD(VMCS_VPID, vpid, NEED_VPID),
    FIELD(VMCS_POSTED_INTERRUPT_VECTOR, posted_interrupt_vector,
	  NEED_POSTED_INTERRUPTS),
    FIELD(VMCS_GUEST_ES_SELECTOR, guest_selector[SEG12_ES], NEED_NOTHING),
    FIELD(VMCS_GUEST_CS_SELECTOR, guest_selector[SEG12_CS], NEED_NOTHING),
    FIELD(VMCS_GUEST_SS_SELECTOR, guest_selector[SEG12_SS], NEED_NOTHING),
    FIELD(VMCS_GUEST_DS_SELECTOR, guest_selector[SEG12_DS], NEED_NOTHING),
    FIELD(VMCS_GUEST_FS_SELECTOR, guest_selector[SEG12_FS], NEED_NOTHING),
    FIELD(VMCS_GUEST_GS_SELECTOR, guest_selector[SEG12_GS], NEED_NOTHING),
    FIELD(VMCS_GUEST_LDTR_SELECTOR, guest_selector[SEG12_LDTR], NEED_NOTHING),
    FIELD(VMCS_GUEST_TR_SELECTOR, guest_selector[SEG12_TR], NEED_NOTHING),
    FIELD(VMCS_GUEST_INTERRUPT_STATUS, guest_interrupt_status,
	  NEED_INTERRUPT_DELIVERY),
    FIELD(VMCS_PML_INDEX, pml_index, NEED_PML),
    FIELD(VMCS_HOST_ES_SELECTOR, host_selector[SEG12_ES], NEED_NOTHING),
    FIELD(VMCS_HOST_CS_SELECTOR, host_selector[SEG12_CS], NEED_NOTHING),
    FIELD(VMCS_HOST_SS_SELECTOR, host_selector[SEG12_SS], NEED_NOTHING),
    FIELD(VMCS_HOST_DS_SELECTOR, host_selector[SEG12_DS], NEED_NOTHING),
    FIELD(VMCS_HOST_FS_SELECTOR, host_selector[SEG12_FS], NEED_NOTHING),
    FIELD(VMCS_HOST_GS_SELECTOR, host_selector[SEG12_GS], NEED_NOTHING),
    FIELD(VMCS_HOST_TR_SELECTOR, host_tr_selector, NEED_NOTHING),
    FIELD(VMCS_IO_BITMAP_A, io_bitmap_a, NEED_NOTHING),
    FIELD(VMCS_IO_BITMAP_B, io_bitmap_b, NEED_NOTHING),
    FIELD(VMCS_MSR_BITMAP, msr_bitmap, NEED_MSR_BITMAPS),
    FIELD(VMCS_EXIT_MSR_STORE_ADDRESS, exit_msr_store_address, NEED_NOTHING),
    FIELD(VMCS_EXIT_MSR_LOAD_ADDRESS, exit_msr_load_address, NEED_NOTHING),
    FIELD(VMCS_ENTRY_MSR_LOAD_ADDRESS, entry_msr_load_address, NEED_NOTHING),
    FIELD(VMCS_EXECUTIVE_VMCS_POINTER, executive_vmcs_pointer, NEED_NOTHING),
    FIELD(VMCS_PML_ADDRESS, pml_address, NEED_PML),
    FIELD(VMCS_TSC_OFFSET, tsc_offset, NEED_NOTHING),
    FIELD(VMCS_VIRTUAL_APIC_ADDRESS, virtual_apic_address, NEED_TPR_SHADOW),
    FIELD(VMCS_APIC_ACCESS_ADDRESS, apic_access_address, NEED_APIC_ACCESSES),
    FIELD(VMCS_POSTED_INTERRUPT_DESCRIPTOR, posted_interrupt_descriptor,
	  NEED_POSTED_INTERRUPTS),
    FIELD(VMCS_VMFUNC_CONTROLS, vmfunc_controls, NEED_VMFUNC),
    FIELD(VMCS_EPT_POINTER, ept_pointer, NEED_EPT),
    FIELD(VMCS_EOI_EXIT_BITMAP_0, eoi_exit_bitmap[0], NEED_INTERRUPT_DELIVERY),
    FIELD(VMCS_EOI_EXIT_BITMAP_1, eoi_exit_bitmap[1], NEED_INTERRUPT_DELIVERY),
    FIELD(VMCS_EOI_EXIT_BITMAP_2, eoi_exit_bitmap[2], NEED_INTERRUPT_DELIVERY),
    FIELD(VMCS_EOI_EXIT_BITMAP_3, eoi_exit_bitmap[3], NEED_INTERRUPT_DELIVERY),
    FIELD(VMCS_EPTP_LIST_ADDRESS, eptp_list_address, NEED_VMFUNC),
    FIELD(VMCS_VMREAD_BITMAP, vmread_bitmap, NEED_VMCS_SHADOWING),
    FIELD(VMCS_VMWRITE_BITMAP, vmwrite_bitmap, NEED_VMCS_SHADOWING),
    FIELD(VMCS_XSS_EXITING_BITMAP, xss_exiting_bitmap, NEED_XSAVES),
    FIELD(VMCS_TSC_MULTIPLIER, tsc_multiplier, NEED_TSC_SCALING),
    FIELD(VMCS_GUEST_PHYSICAL_ADDRESS, guest_physical_address, NEED_EPT),
    FIELD(VMCS_LINK_POINTER, link_pointer, NEED_NOTHING),
    FIELD(VMCS_GUEST_DEBUGCTL, guest_debugctl, NEED_NOTHING),
    FIELD(VMCS_GUEST_PAT, guest_pat, NEED_GUEST_PAT),
    FIELD(VMCS_GUEST_EFER, guest_efer, NEED_GUEST_EFER),
    FIELD(VMCS_GUEST_PDPTE0, guest_pdpte[0], NEED_EPT),
    FIELD(VMCS_GUEST_PDPTE1, guest_pdpte[1], NEED_EPT),
    FIELD(VMCS_GUEST_PDPTE2, guest_pdpte[2], NEED_EPT),
    FIELD(VMCS_GUEST_PDPTE3, guest_pdpte[3], NEED_EPT),
    FIELD(VMCS_HOST_PAT, host_pat, NEED_HOST_PAT),
    FIELD(VMCS_HOST_EFER, host_efer, NEED_HOST_EFER),
    FIELD(VMCS_PIN_CONTROLS, pin_controls, NEED_NOTHING),
    FIELD(VMCS_PRIMARY_CONTROLS, primary_controls, NEED_NOTHING),
    FIELD(VMCS_EXCEPTION_BITMAP, exception_bitmap, NEED_NOTHING),
    FIELD(VMCS_PAGE_FAULT_ERROR_MASK, page_fault_error_mask, NEED_NOTHING),
    FIELD(VMCS_PAGE_FAULT_ERROR_MATCH, page_fault_error_match, NEED_NOTHING),
    FIELD(VMCS_CR3_TARGET_COUNT, cr3_target_count, NEED_NOTHING),
    FIELD(VMCS_EXIT_CONTROLS, exit_controls, NEED_NOTHING),
    FIELD(VMCS_EXIT_MSR_STORE_COUNT, exit_msr_store_count, NEED_NOTHING),
    FIELD(VMCS_EXIT_MSR_LOAD_COUNT, exit_msr_load_count, NEED_NOTHING),
    FIELD(VMCS_ENTRY_CONTROLS, entry_controls, NEED_NOTHING),
    FIELD(VMCS_ENTRY_MSR_LOAD_COUNT, entry_msr_load_count, NEED_NOTHING),
    FIELD(VMCS_ENTRY_INTERRUPTION_INFO, entry_interruption_info, NEED_NOTHING),
    FIELD(VMCS_ENTRY_EXCEPTION_ERROR_CODE, entry_exception_error_code,
	  NEED_NOTHING),
    FIELD(VMCS_ENTRY_INSTRUCTION_LENGTH, entry_instruction_length,
	  NEED_NOTHING),
    FIELD(VMCS_TPR_THRESHOLD, tpr_threshold, NEED_TPR_SHADOW),
    FIELD(VMCS_SECONDARY_CONTROLS, secondary_controls, NEED_NOTHING),
    FIELD(VMCS_PLE_GAP, ple_gap, NEED_PAUSE_LOOP),
    FIELD(VMCS_PLE_WINDOW, ple_window, NEED_PAUSE_LOOP),
    FIELD(VMCS_INSTRUCTION_ERROR, instruction_error, NEED_NOTHING),
    FIELD(VMCS_EXIT_REASON, exit_reason, NEED_NOTHING),
    FIELD(VMCS_EXIT_INTERRUPTION_INFO, exit_interruption_info, NEED_NOTHING),
    FIELD(VMCS_EXIT_INTERRUPTION_ERROR_CODE, exit_interruption_error_code,
	  NEED_NOTHING),
    FIELD(VMCS_IDT_VECTORING_INFO, idt_vectoring_info, NEED_NOTHING),
    FIELD(VMCS_IDT_VECTORING_ERROR_CODE, idt_vectoring_error_code,
	  NEED_NOTHING),
    FIELD(VMCS_EXIT_INSTRUCTION_LENGTH, exit_instruction_length, NEED_NOTHING),
    FIELD(VMCS_EXIT_INSTRUCTION_INFO, exit_instruction_info, NEED_NOTHING),
    FIELD(VMCS_GUEST_ES_LIMIT, guest_limit[SEG12_ES], NEED_NOTHING),
    FIELD(VMCS_GUEST_CS_LIMIT, guest_limit[SEG12_CS], NEED_NOTHING),
    FIELD(VMCS_GUEST_SS_LIMIT, guest_limit[SEG12_SS], NEED_NOTHING),
    FIELD(VMCS_GUEST_DS_LIMIT, guest_limit[SEG12_DS], NEED_NOTHING),
    FIELD(VMCS_GUEST_FS_LIMIT, guest_limit[SEG12_FS], NEED_NOTHING),
    FIELD(VMCS_GUEST_GS_LIMIT, guest_limit[SEG12_GS], NEED_NOTHING),
    FIELD(VMCS_GUEST_LDTR_LIMIT, guest_limit[SEG12_LDTR], NEED_NOTHING),
    FIELD(VMCS_GUEST_TR_LIMIT, guest_limit[SEG12_TR], NEED_NOTHING),
    FIELD(VMCS_GUEST_GDTR_LIMIT, guest_limit[SEG12_GDTR], NEED_NOTHING),
    FIELD(VMCS_GUEST_IDTR_LIMIT, guest_limit[SEG12_IDTR], NEED_NOTHING),
    FIELD(VMCS_GUEST_ES_ACCESS_RIGHTS, guest_rights[SEG12_ES], NEED_NOTHING),
    FIELD(VMCS_GUEST_CS_ACCESS_RIGHTS, guest_rights[SEG12_CS], NEED_NOTHING),
    FIELD(VMCS_GUEST_SS_ACCESS_RIGHTS, guest_rights[SEG12_SS], NEED_NOTHING),
    FIELD(VMCS_GUEST_DS_ACCESS_RIGHTS, guest_rights[SEG12_DS], NEED_NOTHING),
    FIELD(VMCS_GUEST_FS_ACCESS_RIGHTS, guest_rights[SEG12_FS], NEED_NOTHING),
    FIELD(VMCS_GUEST_GS_ACCESS_RIGHTS, guest_rights[SEG12_GS], NEED_NOTHING),
    FIELD(VMCS_GUEST_LDTR_ACCESS_RIGHTS, guest_rights[SEG12_LDTR],
	  NEED_NOTHING),
    FIELD(VMCS_GUEST_TR_ACCESS_RIGHTS, guest_rights[SEG12_TR], NEED_NOTHING),
    FIELD(VMCS_GUEST_INTERRUPTIBILITY, guest_interruptibility, NEED_NOTHING),
    FIELD(VMCS_GUEST_ACTIVITY_STATE, guest_activity, NEED_NOTHING),
    FIELD(VMCS_GUEST_SMBASE, guest_smbase, NEED_NOTHING),
    FIELD(VMCS_GUEST_SYSENTER_CS, guest_sysenter_cs, NEED_NOTHING),
    FIELD(VMCS_PREEMPTION_TIMER, preemption_timer, NEED_PREEMPTION_TIMER),
    FIELD(VMCS_HOST_SYSENTER_CS, host_sysenter_cs, NEED_NOTHING),
    FIELD(VMCS_CR0_MASK, cr0_mask, NEED_NOTHING),
    FIELD(VMCS_CR4_MASK, cr4_mask, NEED_NOTHING),
    FIELD(VMCS_CR0_SHADOW, cr0_shadow, NEED_NOTHING),
    FIELD(VMCS_CR4_SHADOW, cr4_shadow, NEED_NOTHING),
    FIELD(VMCS_CR3_TARGET_0, cr3_target[0], NEED_CR3_TARGETS),
    FIELD(VMCS_CR3_TARGET_1, cr3_target[1], NEED_CR3_TARGETS),
    FIELD(VMCS_CR3_TARGET_2, cr3_target[2], NEED_CR3_TARGETS),
    FIELD(VMCS_CR3_TARGET_3, cr3_target[3], NEED_CR3_TARGETS),
    FIELD(VMCS_EXIT_QUALIFICATION, exit_qualification, NEED_NOTHING),
    FIELD(VMCS_IO_RCX, io_rcx, NEED_NOTHING),
    FIELD(VMCS_IO_RSI, io_rsi, NEED_NOTHING),
    FIELD(VMCS_IO_RDI, io_rdi, NEED_NOTHING),
    FIELD(VMCS_IO_RIP, io_rip, NEED_NOTHING),
    FIELD(VMCS_GUEST_LINEAR_ADDRESS, guest_linear_address, NEED_NOTHING),
    FIELD(VMCS_GUEST_CR0, guest_cr0, NEED_NOTHING),
    FIELD(VMCS_GUEST_CR3, guest_cr3, NEED_NOTHING),
    FIELD(VMCS_GUEST_CR4, guest_cr4, NEED_NOTHING),
    FIELD(VMCS_GUEST_ES_BASE, guest_base[SEG12_ES], NEED_NOTHING),
    FIELD(VMCS_GUEST_CS_BASE, guest_base[SEG12_CS], NEED_NOTHING),
    FIELD(VMCS_GUEST_SS_BASE, guest_base[SEG12_SS], NEED_NOTHING),
    FIELD(VMCS_GUEST_DS_BASE, guest_base[SEG12_DS], NEED_NOTHING),
    FIELD(VMCS_GUEST_FS_BASE, guest_base[SEG12_FS], NEED_NOTHING),
    FIELD(VMCS_GUEST_GS_BASE, guest_base[SEG12_GS], NEED_NOTHING),
    FIELD(VMCS_GUEST_LDTR_BASE, guest_base[SEG12_LDTR], NEED_NOTHING),
    FIELD(VMCS_GUEST_TR_BASE, guest_base[SEG12_TR], NEED_NOTHING),
    FIELD(VMCS_GUEST_GDTR_BASE, guest_base[SEG12_GDTR], NEED_NOTHING),
    FIELD(VMCS_GUEST_IDTR_BASE, guest_base[SEG12_IDTR], NEED_NOTHING),
    FIELD(VMCS_GUEST_DR7, guest_dr7, NEED_NOTHING),
    FIELD(VMCS_GUEST_RSP, guest_rsp, NEED_NOTHING),
    FIELD(VMCS_GUEST_RIP, guest_rip, NEED_NOTHING),
    FIELD(VMCS_GUEST_RFLAGS, guest_rflags, NEED_NOTHING),
    FIELD(VMCS_GUEST_PENDING_DEBUG, guest_pending_debug, NEED_NOTHING),
    FIELD(VMCS_GUEST_SYSENTER_ESP, guest_sysenter_esp, NEED_NOTHING),
    FIELD(VMCS_GUEST_SYSENTER_EIP, guest_sysenter_eip, NEED_NOTHING),
    FIELD(VMCS_HOST_CR0, host_cr0, NEED_NOTHING),
    FIELD(VMCS_HOST_CR3, host_cr3, NEED_NOTHING),
    FIELD(VMCS_HOST_CR4, host_cr4, NEED_NOTHING),
    FIELD(VMCS_HOST_FS_BASE, host_fs_base, NEED_NOTHING),
    FIELD(VMCS_HOST_GS_BASE, host_gs_base, NEED_NOTHING),
    FIELD(VMCS_HOST_TR_BASE, host_tr_base, NEED_NOTHING),
    FIELD(VMCS_HOST_GDTR_BASE, host_gdtr_base, NEED_NOTHING),
    FIELD(VMCS_HOST_IDTR_BASE, host_idtr_base, NEED_NOTHING),
    FIELD(VMCS_HOST_SYSENTER_ESP, host_sysenter_esp, NEED_NOTHING),
    FIELD(VMCS_HOST_SYSENTER_EIP, host_sysenter_eip, NEED_NOTHING),
    FIELD(VMCS_HOST_RSP, host_rsp, NEED_NOTHING),
    FIELD(VMCS_HOST_RIP, host_rip, NEED_NOTHING),
};

static enum vmcs_width width_of(u64 encoding)
{
	return (enum vmcs_width)bits_get(encoding, VMCS_ENCODING_WIDTH);
}

static bool is_high(u64 encoding)
{
	return encoding & VMCS_ENCODING_HIGH;
}

static bool is_offered(const struct nested_capability *offer, u32 need,
		       u64 encoding)
{
	if (need == NEED_NOTHING)
		return true;
	if (need == NEED_CR3_TARGETS)
		return bits_get(encoding - VMCS_CR3_TARGET_0,
				VMCS_ENCODING_INDEX) <
		       nested_capability_cr3_targets(offer);
	return nested_capability_allows(offer, needs[need].word,
					needs[need].bit) ||
	       nested_capability_allows(offer, needs[need].other_word,
					needs[need].other_bit);
}

u32 vmcs12_field_offset(const struct nested_capability *offer, u64 encoding)
{
	const struct field *field = &fields[KEY(encoding)];

	if ((encoding & VMCS_ENCODING_RESERVED) ||
	    bits_get(encoding, VMCS_ENCODING_INDEX) >= INDEX_LIMIT)
		return 0;
	/* Only fields of 64 bits have halves. */
	if (is_high(encoding) && width_of(encoding) != VMCS_WIDTH_64)
		return 0;
	if (!field->offset || !is_offered(offer, field->need, encoding))
		return 0;
	return field->offset;
}

u32 vmcs12_field_bytes(u64 encoding)
{
	switch (width_of(encoding)) {
	case VMCS_WIDTH_16:
		return 2;
	case VMCS_WIDTH_32:
		return 4;
	case VMCS_WIDTH_64:
	case VMCS_WIDTH_NATURAL:
		break;
	}
	return 8;
}

enum vmx_error vmcs12_read(const struct vmcs12 *v,
			   const struct nested_capability *offer, u64 encoding,
			   u64 *value)
{
	u32 offset = vmcs12_field_offset(offer, encoding);
	u64 field = 0;

	if (!offset)
		return VMX_ERROR_UNSUPPORTED_FIELD;
	memcpy(&field, (const u8 *)v + offset, vmcs12_field_bytes(encoding));
	*value = is_high(encoding) ? high32(field) : field;
	return VMX_ERROR_NONE;
}

enum vmx_error vmcs12_may_write(const struct nested_capability *offer,
				u64 encoding)
{
	if (!vmcs12_field_offset(offer, encoding))
		return VMX_ERROR_UNSUPPORTED_FIELD;
	if (bits_get(encoding, VMCS_ENCODING_KIND) == VMCS_KIND_READ_ONLY &&
	    !(offer->misc & MISC_VMWRITE_ANY))
		return VMX_ERROR_READ_ONLY_FIELD;
	return VMX_ERROR_NONE;
}

enum vmx_error vmcs12_write(struct vmcs12 *v,
			    const struct nested_capability *offer, u64 encoding,
			    u64 value)
{
	enum vmx_error error = vmcs12_may_write(offer, encoding);
	u32 bytes = vmcs12_field_bytes(encoding);
	u8 *field = (u8 *)v + vmcs12_field_offset(offer, encoding);

	if (error != VMX_ERROR_NONE)
		return error;
	if (is_high(encoding)) {
		bytes = 4;
		field += 4;
	}
	memcpy(field, &value, bytes);
	return VMX_ERROR_NONE;
}

static bool has_index(const struct nested_capability *offer, u64 index)
{
	for (u32 group = 0; group < 16; group++) {
		u64 encoding = bits_set(index, VMCS_ENCODING_WIDTH, group / 4);

		encoding = bits_set(encoding, VMCS_ENCODING_KIND, group % 4);
		if (vmcs12_field_offset(offer, encoding))
			return true;
	}
	return false;
}

u64 vmcs12_enum(const struct nested_capability *offer)
{
	u64 index = bits_set(0, VMCS_ENCODING_INDEX, INDEX_LIMIT);

	while (index && !has_index(offer, index))
		index -= 2;
	return index;
}

void vmcs12_load(struct vmcs12 *v, const struct guest_mem *mem, gpa_t region)
{
	if (guest_mem_read(mem, region, v, sizeof(*v)) != OK)
		memset(v, 0xff, sizeof(*v));
	if (v->launch_state != VMCS12_LAUNCHED)
		v->launch_state = VMCS12_CLEAR;
}

/* What L1 calls a region need not be memory, or may be ROM. */
static void store(struct guest_mem *mem, gpa_t address, const void *from,
		  u64 bytes)
{
	enum err ignored = guest_mem_write(mem, address, from, bytes);

	(void)ignored;
}

void vmcs12_store(const struct vmcs12 *v, struct guest_mem *mem, gpa_t region)
{
	store(mem, region, v, sizeof(*v));
}

u32 vmcs12_load_revision(const struct guest_mem *mem, gpa_t region)
{
	u32 revision;

	return guest_mem_read_u32(mem, region, &revision) == OK ? revision
								: ~0u;
}

void vmcs12_store_clear(struct guest_mem *mem, gpa_t region)
{
	enum err ignored = guest_mem_write_u32(
	    mem, gpa_add(region, offsetof(struct vmcs12, launch_state)),
	    VMCS12_CLEAR);

	(void)ignored; /* as above */
}
