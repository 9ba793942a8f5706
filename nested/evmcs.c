/* SPDX-License-Identifier: MIT */
/* See nested/evmcs.h. */
#include "nested/evmcs.h"
#include "lib/check.h"
#include "lib/string.h"

#define FIELD(encoding, member, group, direction)                          \
	{                                                                  \
		(encoding), offsetof(struct evmcs, member),                \
		    offsetof(struct vmcs12, member), EVMCS_##group,        \
		    sizeof(((struct evmcs *)0)->member), EVMCS_##direction \
	}

const struct evmcs_field evmcs_fields[EVMCS_FIELDS] = {
    FIELD(VMCS_HOST_ES_SELECTOR, host_selector[SEG12_ES], HOST_GROUP1, IN),
    FIELD(VMCS_HOST_CS_SELECTOR, host_selector[SEG12_CS], HOST_GROUP1, IN),
    FIELD(VMCS_HOST_SS_SELECTOR, host_selector[SEG12_SS], HOST_GROUP1, IN),
    FIELD(VMCS_HOST_DS_SELECTOR, host_selector[SEG12_DS], HOST_GROUP1, IN),
    FIELD(VMCS_HOST_FS_SELECTOR, host_selector[SEG12_FS], HOST_GROUP1, IN),
    FIELD(VMCS_HOST_GS_SELECTOR, host_selector[SEG12_GS], HOST_GROUP1, IN),
    FIELD(VMCS_HOST_TR_SELECTOR, host_tr_selector, HOST_GROUP1, IN),
    FIELD(VMCS_HOST_PAT, host_pat, HOST_GROUP1, IN),
    FIELD(VMCS_HOST_EFER, host_efer, HOST_GROUP1, IN),
    FIELD(VMCS_HOST_CR0, host_cr0, HOST_GROUP1, IN),
    FIELD(VMCS_HOST_CR3, host_cr3, HOST_GROUP1, IN),
    FIELD(VMCS_HOST_CR4, host_cr4, HOST_GROUP1, IN),
    FIELD(VMCS_HOST_SYSENTER_ESP, host_sysenter_esp, HOST_GROUP1, IN),
    FIELD(VMCS_HOST_SYSENTER_EIP, host_sysenter_eip, HOST_GROUP1, IN),
    FIELD(VMCS_HOST_RIP, host_rip, HOST_GROUP1, IN),
    FIELD(VMCS_HOST_SYSENTER_CS, host_sysenter_cs, HOST_GROUP1, IN),
    FIELD(VMCS_PIN_CONTROLS, pin_controls, CONTROL_GROUP1, IN),
    FIELD(VMCS_EXIT_CONTROLS, exit_controls, CONTROL_GROUP1, IN),
    FIELD(VMCS_SECONDARY_CONTROLS, secondary_controls, CONTROL_GROUP1, IN),
    FIELD(VMCS_IO_BITMAP_A, io_bitmap_a, IO_BITMAP, IN),
    FIELD(VMCS_IO_BITMAP_B, io_bitmap_b, IO_BITMAP, IN),
    FIELD(VMCS_MSR_BITMAP, msr_bitmap, MSR_BITMAP, IN),
    FIELD(VMCS_GUEST_ES_SELECTOR, guest_selector[SEG12_ES], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_CS_SELECTOR, guest_selector[SEG12_CS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_SS_SELECTOR, guest_selector[SEG12_SS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_DS_SELECTOR, guest_selector[SEG12_DS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_FS_SELECTOR, guest_selector[SEG12_FS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_GS_SELECTOR, guest_selector[SEG12_GS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_LDTR_SELECTOR, guest_selector[SEG12_LDTR], GUEST_GROUP2,
	  BOTH),
    FIELD(VMCS_GUEST_TR_SELECTOR, guest_selector[SEG12_TR], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_ES_LIMIT, guest_limit[SEG12_ES], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_CS_LIMIT, guest_limit[SEG12_CS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_SS_LIMIT, guest_limit[SEG12_SS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_DS_LIMIT, guest_limit[SEG12_DS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_FS_LIMIT, guest_limit[SEG12_FS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_GS_LIMIT, guest_limit[SEG12_GS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_LDTR_LIMIT, guest_limit[SEG12_LDTR], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_TR_LIMIT, guest_limit[SEG12_TR], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_GDTR_LIMIT, guest_limit[SEG12_GDTR], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_IDTR_LIMIT, guest_limit[SEG12_IDTR], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_ES_ACCESS_RIGHTS, guest_rights[SEG12_ES], GUEST_GROUP2,
	  BOTH),
    FIELD(VMCS_GUEST_CS_ACCESS_RIGHTS, guest_rights[SEG12_CS], GUEST_GROUP2,
	  BOTH),
    FIELD(VMCS_GUEST_SS_ACCESS_RIGHTS, guest_rights[SEG12_SS], GUEST_GROUP2,
	  BOTH),
    FIELD(VMCS_GUEST_DS_ACCESS_RIGHTS, guest_rights[SEG12_DS], GUEST_GROUP2,
	  BOTH),
    FIELD(VMCS_GUEST_FS_ACCESS_RIGHTS, guest_rights[SEG12_FS], GUEST_GROUP2,
	  BOTH),
    FIELD(VMCS_GUEST_GS_ACCESS_RIGHTS, guest_rights[SEG12_GS], GUEST_GROUP2,
	  BOTH),
    FIELD(VMCS_GUEST_LDTR_ACCESS_RIGHTS, guest_rights[SEG12_LDTR], GUEST_GROUP2,
	  BOTH),
    FIELD(VMCS_GUEST_TR_ACCESS_RIGHTS, guest_rights[SEG12_TR], GUEST_GROUP2,
	  BOTH),
    FIELD(VMCS_GUEST_ES_BASE, guest_base[SEG12_ES], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_CS_BASE, guest_base[SEG12_CS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_SS_BASE, guest_base[SEG12_SS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_DS_BASE, guest_base[SEG12_DS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_FS_BASE, guest_base[SEG12_FS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_GS_BASE, guest_base[SEG12_GS], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_LDTR_BASE, guest_base[SEG12_LDTR], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_TR_BASE, guest_base[SEG12_TR], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_GDTR_BASE, guest_base[SEG12_GDTR], GUEST_GROUP2, BOTH),
    FIELD(VMCS_GUEST_IDTR_BASE, guest_base[SEG12_IDTR], GUEST_GROUP2, BOTH),
    FIELD(VMCS_EXIT_MSR_STORE_ADDRESS, exit_msr_store_address, NONE, IN),
    FIELD(VMCS_EXIT_MSR_LOAD_ADDRESS, exit_msr_load_address, NONE, IN),
    FIELD(VMCS_ENTRY_MSR_LOAD_ADDRESS, entry_msr_load_address, NONE, IN),
    FIELD(VMCS_CR3_TARGET_0, cr3_target[0], NONE, IN),
    FIELD(VMCS_CR3_TARGET_1, cr3_target[1], NONE, IN),
    FIELD(VMCS_CR3_TARGET_2, cr3_target[2], NONE, IN),
    FIELD(VMCS_CR3_TARGET_3, cr3_target[3], NONE, IN),
    FIELD(VMCS_PAGE_FAULT_ERROR_MASK, page_fault_error_mask, NONE, IN),
    FIELD(VMCS_PAGE_FAULT_ERROR_MATCH, page_fault_error_match, NONE, IN),
    FIELD(VMCS_CR3_TARGET_COUNT, cr3_target_count, NONE, IN),
    FIELD(VMCS_EXIT_MSR_STORE_COUNT, exit_msr_store_count, NONE, IN),
    FIELD(VMCS_EXIT_MSR_LOAD_COUNT, exit_msr_load_count, NONE, IN),
    FIELD(VMCS_ENTRY_MSR_LOAD_COUNT, entry_msr_load_count, NONE, IN),
    FIELD(VMCS_TSC_OFFSET, tsc_offset, CONTROL_GROUP2, IN),
    FIELD(VMCS_VIRTUAL_APIC_ADDRESS, virtual_apic_address, CONTROL_GROUP2, IN),
    FIELD(VMCS_LINK_POINTER, link_pointer, GUEST_GROUP1, IN),
    FIELD(VMCS_GUEST_DEBUGCTL, guest_debugctl, GUEST_GROUP1, BOTH),
    FIELD(VMCS_GUEST_PAT, guest_pat, GUEST_GROUP1, BOTH),
    FIELD(VMCS_GUEST_EFER, guest_efer, GUEST_GROUP1, BOTH),
    FIELD(VMCS_GUEST_PDPTE0, guest_pdpte[0], GUEST_GROUP1, BOTH),
    FIELD(VMCS_GUEST_PDPTE1, guest_pdpte[1], GUEST_GROUP1, BOTH),
    FIELD(VMCS_GUEST_PDPTE2, guest_pdpte[2], GUEST_GROUP1, BOTH),
    FIELD(VMCS_GUEST_PDPTE3, guest_pdpte[3], GUEST_GROUP1, BOTH),
    FIELD(VMCS_GUEST_PENDING_DEBUG, guest_pending_debug, GUEST_GROUP1, BOTH),
    FIELD(VMCS_GUEST_SYSENTER_ESP, guest_sysenter_esp, GUEST_GROUP1, BOTH),
    FIELD(VMCS_GUEST_SYSENTER_EIP, guest_sysenter_eip, GUEST_GROUP1, BOTH),
    FIELD(VMCS_GUEST_ACTIVITY_STATE, guest_activity, GUEST_GROUP1, BOTH),
    FIELD(VMCS_GUEST_SYSENTER_CS, guest_sysenter_cs, GUEST_GROUP1, BOTH),
    FIELD(VMCS_CR0_MASK, cr0_mask, CRDR, IN),
    FIELD(VMCS_CR4_MASK, cr4_mask, CRDR, IN),
    FIELD(VMCS_CR0_SHADOW, cr0_shadow, CRDR, IN),
    FIELD(VMCS_CR4_SHADOW, cr4_shadow, CRDR, IN),
    FIELD(VMCS_GUEST_CR0, guest_cr0, CRDR, BOTH),
    FIELD(VMCS_GUEST_CR3, guest_cr3, CRDR, BOTH),
    FIELD(VMCS_GUEST_CR4, guest_cr4, CRDR, BOTH),
    FIELD(VMCS_GUEST_DR7, guest_dr7, CRDR, BOTH),
    FIELD(VMCS_HOST_FS_BASE, host_fs_base, HOST_POINTER, IN),
    FIELD(VMCS_HOST_GS_BASE, host_gs_base, HOST_POINTER, IN),
    FIELD(VMCS_HOST_TR_BASE, host_tr_base, HOST_POINTER, IN),
    FIELD(VMCS_HOST_GDTR_BASE, host_gdtr_base, HOST_POINTER, IN),
    FIELD(VMCS_HOST_IDTR_BASE, host_idtr_base, HOST_POINTER, IN),
    FIELD(VMCS_HOST_RSP, host_rsp, HOST_POINTER, IN),
    FIELD(VMCS_EPT_POINTER, ept_pointer, CONTROL_TRANSLATION, IN),
    FIELD(VMCS_VPID, vpid, CONTROL_TRANSLATION, IN),
    FIELD(VMCS_GUEST_PHYSICAL_ADDRESS, guest_physical_address, NONE, OUT),
    FIELD(VMCS_INSTRUCTION_ERROR, instruction_error, NONE, OUT),
    FIELD(VMCS_EXIT_REASON, exit_reason, NONE, OUT),
    FIELD(VMCS_EXIT_INTERRUPTION_INFO, exit_interruption_info, NONE, OUT),
    FIELD(VMCS_EXIT_INTERRUPTION_ERROR_CODE, exit_interruption_error_code, NONE,
	  OUT),
    FIELD(VMCS_IDT_VECTORING_INFO, idt_vectoring_info, NONE, OUT),
    FIELD(VMCS_IDT_VECTORING_ERROR_CODE, idt_vectoring_error_code, NONE, OUT),
    FIELD(VMCS_EXIT_INSTRUCTION_LENGTH, exit_instruction_length, NONE, OUT),
    FIELD(VMCS_EXIT_INSTRUCTION_INFO, exit_instruction_info, NONE, OUT),
    FIELD(VMCS_EXIT_QUALIFICATION, exit_qualification, NONE, OUT),
    FIELD(VMCS_IO_RCX, io_rcx, NONE, OUT),
    FIELD(VMCS_IO_RSI, io_rsi, NONE, OUT),
    FIELD(VMCS_IO_RDI, io_rdi, NONE, OUT),
    FIELD(VMCS_IO_RIP, io_rip, NONE, OUT),
    FIELD(VMCS_GUEST_LINEAR_ADDRESS, guest_linear_address, NONE, OUT),
    FIELD(VMCS_GUEST_RSP, guest_rsp, GUEST_BASIC, BOTH),
    FIELD(VMCS_GUEST_RFLAGS, guest_rflags, GUEST_BASIC, BOTH),
    FIELD(VMCS_GUEST_INTERRUPTIBILITY, guest_interruptibility, GUEST_BASIC,
	  BOTH),
    FIELD(VMCS_PRIMARY_CONTROLS, primary_controls, CONTROL_PROCESSOR, IN),
    FIELD(VMCS_EXCEPTION_BITMAP, exception_bitmap, CONTROL_EXCEPTION, IN),
    FIELD(VMCS_ENTRY_CONTROLS, entry_controls, CONTROL_ENTRY, BOTH),
    FIELD(VMCS_ENTRY_INTERRUPTION_INFO, entry_interruption_info, CONTROL_EVENT,
	  BOTH),
    FIELD(VMCS_ENTRY_EXCEPTION_ERROR_CODE, entry_exception_error_code,
	  CONTROL_EVENT, IN),
    FIELD(VMCS_ENTRY_INSTRUCTION_LENGTH, entry_instruction_length,
	  CONTROL_EVENT, IN),
    FIELD(VMCS_TPR_THRESHOLD, tpr_threshold, NONE, IN),
    FIELD(VMCS_GUEST_RIP, guest_rip, NONE, BOTH),
    FIELD(VMCS_XSS_EXITING_BITMAP, xss_exiting_bitmap, CONTROL_GROUP2, IN),
    FIELD(VMCS_TSC_MULTIPLIER, tsc_multiplier, CONTROL_GROUP2, IN),
};

/*
 * Controls that need fields which an eVMCS has not. APIC-register
 * virtualization needs none, but goes with virtual-interrupt delivery; the TSC
 * multiplier's field came later than the first hypervisors that use eVMCSs, and
 * they do not write it.
 */
#define PIN_WITHOUT (PIN_PREEMPTION_TIMER | PIN_POSTED_INTERRUPTS)
#define SECONDARY_WITHOUT                                                  \
	(SECONDARY_APIC_ACCESSES | SECONDARY_APIC_REGISTERS |              \
	 SECONDARY_INTERRUPT_DELIVERY | SECONDARY_PML | SECONDARY_VMFUNC | \
	 SECONDARY_VMCS_SHADOWING | SECONDARY_PAUSE_LOOP |                 \
	 SECONDARY_TSC_SCALING)
#define EXIT_WITHOUT EXIT_SAVE_PREEMPTION_TIMER

/* As many bytes as a field may have. */
static ALWAYS_INLINE void copy_field(u8 *to, const void *from, u32 bytes)
{
	if (bytes == sizeof(u64))
		__builtin_memcpy(to, from, sizeof(u64));
	else if (bytes == sizeof(u32))
		__builtin_memcpy(to, from, sizeof(u32));
	else
		__builtin_memcpy(to, from, sizeof(u16));
}

/* Once: who writes the page meanwhile is not to be seen twice. */
static ALWAYS_INLINE u64 fetch(const u8 *at, u32 bytes)
{
	switch (bytes) {
	case 2:
		return __atomic_load_n((const u16 *)at, __ATOMIC_RELAXED);
	case 4:
		return __atomic_load_n((const u32 *)at, __ATOMIC_RELAXED);
	default:
		return __atomic_load_n((const u64 *)at, __ATOMIC_RELAXED);
	}
}

static u32 fetch_u32(const u8 *page, u64 at)
{
	return (u32)fetch(page + at, sizeof(u32));
}

/* Into vmcs12; true if something else was there. */
static ALWAYS_INLINE bool take(struct vmcs12 *v, const u8 *page,
			       const struct evmcs_field *field)
{
	u64 value = fetch(page + field->at, field->bytes);
	u8 *to = (u8 *)v + field->in12;
	u64 before = 0;

	copy_field((u8 *)&before, to, field->bytes);
	copy_field(to, &value, field->bytes);
	return before != value;
}

static void take_all(struct vmcs12 *v, const u8 *page, struct evmcs_read *read)
{
	u32 launch_state = v->launch_state;

	memset(v, 0, sizeof(*v));
	v->revision = NESTED_REVISION;
	v->launch_state = launch_state;
	for (u32 i = 0; i < EVMCS_FIELDS; i++)
		if (evmcs_fields[i].way != EVMCS_OUT)
			take(v, page, &evmcs_fields[i]);
	read->changed = ~0u;
}

static void take_dirty(struct vmcs12 *v, const u8 *page,
		       struct evmcs_read *read)
{
	u32 clean = fetch_u32(page, offsetof(struct evmcs, clean_fields));
	u32 uses = fetch_u32(page, offsetof(struct evmcs, enlightenments));

#pragma GCC unroll 130
	for (u32 i = 0; i < EVMCS_FIELDS; i++) {
		const struct evmcs_field *field = &evmcs_fields[i];

		if (field->way != EVMCS_OUT && !(field->clean & clean) &&
		    take(v, page, field))
			read->changed |=
			    (u32)BIT(nested_field_group(field->field));
	}
	read->msr_bitmap_is_clean =
	    (uses & EVMCS_USES_MSR_BITMAP) && (clean & EVMCS_MSR_BITMAP);
}

enum err evmcs_read(struct vmcs12 *v, const struct guest_mem *mem, gpa_t page,
		    enum evmcs_trust trust, struct evmcs_read *read)
{
	const u8 *from = NULL;

	if (is_aligned(gpa_raw(page), EVMCS_REGION_BYTES))
		from = guest_mem_ptr(mem, page, EVMCS_REGION_BYTES);
	if (!from)
		return ERR_RANGE;
	if (!evmcs_is_version(fetch_u32(from, 0)))
		return ERR_BAD_FORMAT;
	*read = (struct evmcs_read){0};
	if (trust == EVMCS_TRUST_CLEAN)
		take_dirty(v, from, read);
	else
		take_all(v, from, read);
	return OK;
}

/* What L1 calls an eVMCS need not be memory any more, or may be ROM. */
static void store(struct guest_mem *mem, gpa_t at, const void *from, u64 bytes)
{
	enum err ignored = guest_mem_write(mem, at, from, bytes);

	(void)ignored;
}

/* What exits write: all fields that are not EVMCS_IN, and nothing between. */
#define RUN(first, last)                                    \
	{                                                   \
		offsetof(struct evmcs, first),              \
		    offsetof(struct evmcs, last) +          \
			sizeof(((struct evmcs *)0)->last) - \
			offsetof(struct evmcs, first)       \
	}

static const struct {
	u16 at, bytes;
} runs[] = {
    RUN(guest_selector, guest_base),
    RUN(guest_debugctl, guest_sysenter_cs),
    RUN(guest_cr0, guest_dr7),
    RUN(guest_physical_address, guest_interruptibility),
    RUN(entry_controls, entry_interruption_info),
    RUN(guest_rip, guest_rip),
};

/* The loop is unrolled: of each field a load and a store are left. */
void evmcs_write(const struct vmcs12 *v, struct guest_mem *mem, gpa_t page)
{
	u8 image[EVMCS_BYTES];

#pragma GCC unroll 130
	for (u32 i = 0; i < EVMCS_FIELDS; i++) {
		const struct evmcs_field *field = &evmcs_fields[i];

		if (field->way != EVMCS_IN)
			copy_field(image + field->at,
				   (const u8 *)v + field->in12, field->bytes);
	}
	for (u32 i = 0; i < ARRAY_COUNT(runs); i++)
		store(mem, gpa_add(page, runs[i].at), image + runs[i].at,
		      runs[i].bytes);
}

void evmcs_write_error(struct guest_mem *mem, gpa_t page, u32 error)
{
	store(mem, gpa_add(page, offsetof(struct evmcs, instruction_error)),
	      &error, sizeof(error));
}

void evmcs_write_abort(struct guest_mem *mem, gpa_t page, u32 indicator)
{
	store(mem, gpa_add(page, offsetof(struct evmcs, abort)), &indicator,
	      sizeof(indicator));
}

void evmcs_limit_offer(struct nested_capability *offer)
{
	offer->words[CONTROLS_PIN].may_be_1 &= ~(u32)PIN_WITHOUT;
	offer->words[CONTROLS_SECONDARY].may_be_1 &= ~(u32)SECONDARY_WITHOUT;
	offer->words[CONTROLS_EXIT].may_be_1 &= ~(u32)EXIT_WITHOUT;
	offer->vmfunc = 0;
}

bool evmcs_can_serve(const struct nested_capability *offer)
{
	return !(offer->words[CONTROLS_PIN].may_be_1 & PIN_WITHOUT) &&
	       !(offer->words[CONTROLS_SECONDARY].may_be_1 &
		 SECONDARY_WITHOUT) &&
	       !(offer->words[CONTROLS_EXIT].may_be_1 & EXIT_WITHOUT);
}
