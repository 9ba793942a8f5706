/* SPDX-License-Identifier: MIT */
/*
 * What a VM entry checks: for each rule a VMCS that breaks it and nothing else,
 * and states that look odd and are allowed.
 * SDM vol. 3, "Checks on VMX Controls and Host-State Area", "Checks on the
 * Guest State Area", "Loading MSRs".
 */
#include "guests/vmx/suite.h"

#define NOT_CANONICAL 0x0000900000000000ull
#define TOO_FAR       (1ull << 52) /* above any physical address */
#define UNALIGNED     8u
#define CHANGES       4

enum operation {
	NONE,
	PUT,     /* the field is this value */
	SET,     /* these bits are 1 */
	CLEAR,   /* these bits are 0 */
	CONTROL, /* the same as SET; without this control there is no case */
	PAGE,    /* the address of an empty page, plus this */
	STRICT,  /* no case where any exception may have an error code */
};

struct change {
	enum operation operation;
	enum vmcs_field field;
	u64 value;
};

enum outcome {
	RUNS,
	FAILS,   /* VMfailValid with this number */
	REFUSED, /* exit 33 with this qualification */
};

struct entry_case {
	const char *name;
	struct change changes[CHANGES];
	enum outcome outcome;
	u64 number;
	const char *defect;
};

#define CONTROLS(...)                     {__VA_ARGS__}, FAILS, VMX_ERROR_ENTRY_CONTROLS, NULL
#define HOST(...)                         {__VA_ARGS__}, FAILS, VMX_ERROR_ENTRY_HOST_STATE, NULL
#define GUEST(...)                        {__VA_ARGS__}, REFUSED, 0, NULL
#define GOOD(...)                         {__VA_ARGS__}, RUNS, 0, NULL
#define BOCHS(word, outcome, number, ...) {__VA_ARGS__}, outcome, number, word

#define USE_PRIMARY(bits)                            \
	{                                            \
		CONTROL, VMCS_PRIMARY_CONTROLS, bits \
	}
#define USE_SECONDARY(bits)                            \
	{                                              \
		CONTROL, VMCS_SECONDARY_CONTROLS, bits \
	}
#define USE_PIN(bits)                            \
	{                                        \
		CONTROL, VMCS_PIN_CONTROLS, bits \
	}
#define USE_EXIT(bits)                            \
	{                                         \
		CONTROL, VMCS_EXIT_CONTROLS, bits \
	}
#define USE_ENTRY(bits)                            \
	{                                          \
		CONTROL, VMCS_ENTRY_CONTROLS, bits \
	}
#define INJECT(info)                                                    \
	{                                                               \
		PUT, VMCS_ENTRY_INTERRUPTION_INFO, (info) | EVENT_VALID \
	}
#define INJECT_TYPE(type) ((u64)(type) << 8)
#define NO_EPT                                                \
	{                                                     \
		CLEAR, VMCS_SECONDARY_CONTROLS, SECONDARY_EPT \
	}

static void program(void)
{
}

/* --- The rules ------------------------------------------------------------ */

static const struct entry_case control_cases[] = {
    {"nothing_wrong", GOOD({NONE, 0, 0})},
    {"io_bitmap_a_unaligned",
     CONTROLS(USE_PRIMARY(PRIMARY_IO_BITMAPS), {PAGE, VMCS_IO_BITMAP_A, 8})},
    {"io_bitmap_b_too_far", CONTROLS(USE_PRIMARY(PRIMARY_IO_BITMAPS),
				     {PUT, VMCS_IO_BITMAP_B, TOO_FAR})},
    {"io_bitmap_unused",
     GOOD({PUT, VMCS_IO_BITMAP_A, 8}, {PUT, VMCS_IO_BITMAP_B, TOO_FAR})},
    {"msr_bitmap_unaligned",
     CONTROLS(USE_PRIMARY(PRIMARY_MSR_BITMAPS), {PAGE, VMCS_MSR_BITMAP, 1})},
    {"msr_bitmap_too_far", CONTROLS(USE_PRIMARY(PRIMARY_MSR_BITMAPS),
				    {PUT, VMCS_MSR_BITMAP, TOO_FAR})},
    {"virtual_nmis_alone", CONTROLS(USE_PIN(PIN_VIRTUAL_NMIS))},
    {"nmi_window_alone", CONTROLS(USE_PRIMARY(PRIMARY_NMI_WINDOW))},
    {"nmi_window_with_nmi_exiting_only",
     CONTROLS(USE_PRIMARY(PRIMARY_NMI_WINDOW), USE_PIN(PIN_NMI))},
    {"virtual_apic_unaligned", CONTROLS(USE_PRIMARY(PRIMARY_TPR_SHADOW),
					{PAGE, VMCS_VIRTUAL_APIC_ADDRESS, 16})},
    {"virtual_apic_too_far",
     CONTROLS(USE_PRIMARY(PRIMARY_TPR_SHADOW),
	      {PUT, VMCS_VIRTUAL_APIC_ADDRESS, TOO_FAR})},
    {"tpr_threshold_reserved", CONTROLS(USE_PRIMARY(PRIMARY_TPR_SHADOW),
					{PAGE, VMCS_VIRTUAL_APIC_ADDRESS, 0},
					{PUT, VMCS_TPR_THRESHOLD, 0x10})},
    {"tpr_threshold_above_tpr", CONTROLS(USE_PRIMARY(PRIMARY_TPR_SHADOW),
					 {PAGE, VMCS_VIRTUAL_APIC_ADDRESS, 0},
					 {PUT, VMCS_TPR_THRESHOLD, 1})},
    {"x2apic_without_tpr_shadow",
     CONTROLS(USE_SECONDARY(SECONDARY_X2APIC_MODE))},
    {"apic_registers_without_tpr_shadow",
     CONTROLS(USE_SECONDARY(SECONDARY_APIC_REGISTERS))},
    {"delivery_without_tpr_shadow",
     CONTROLS(USE_SECONDARY(SECONDARY_INTERRUPT_DELIVERY),
	      USE_PIN(PIN_EXTERNAL_INTERRUPT))},
    {"delivery_without_interrupt_exiting",
     CONTROLS(USE_SECONDARY(SECONDARY_INTERRUPT_DELIVERY),
	      USE_PRIMARY(PRIMARY_TPR_SHADOW),
	      {PAGE, VMCS_VIRTUAL_APIC_ADDRESS, 0})},
    {"x2apic_and_apic_accesses",
     CONTROLS(USE_SECONDARY(SECONDARY_X2APIC_MODE | SECONDARY_APIC_ACCESSES),
	      USE_PRIMARY(PRIMARY_TPR_SHADOW),
	      {PAGE, VMCS_VIRTUAL_APIC_ADDRESS, 0},
	      {PAGE, VMCS_APIC_ACCESS_ADDRESS, 0})},
    {"apic_access_unaligned",
     CONTROLS(USE_SECONDARY(SECONDARY_APIC_ACCESSES),
	      {PAGE, VMCS_APIC_ACCESS_ADDRESS, 0x800})},
    {"apic_access_too_far", CONTROLS(USE_SECONDARY(SECONDARY_APIC_ACCESSES),
				     {PUT, VMCS_APIC_ACCESS_ADDRESS, TOO_FAR})},
    {"posted_interrupts_alone", CONTROLS(USE_PIN(PIN_POSTED_INTERRUPTS))},
    {"vpid_zero", CONTROLS(USE_SECONDARY(SECONDARY_VPID), {PUT, VMCS_VPID, 0})},
    {"eptp_type_1",
     CONTROLS(USE_SECONDARY(SECONDARY_EPT), {CLEAR, VMCS_EPT_POINTER, 7},
	      {SET, VMCS_EPT_POINTER, 1})},
    {"eptp_3_levels",
     CONTROLS(USE_SECONDARY(SECONDARY_EPT), {CLEAR, VMCS_EPT_POINTER, BIT(3)})},
    {"eptp_reserved_bit",
     CONTROLS(USE_SECONDARY(SECONDARY_EPT), {SET, VMCS_EPT_POINTER, BIT(11)})},
    {"eptp_too_far",
     CONTROLS(USE_SECONDARY(SECONDARY_EPT), {SET, VMCS_EPT_POINTER, TOO_FAR})},
    {"pml_without_ept", CONTROLS(USE_SECONDARY(SECONDARY_PML), NO_EPT,
				 {PAGE, VMCS_PML_ADDRESS, 0})},
    {"pml_unaligned",
     CONTROLS(USE_SECONDARY(SECONDARY_PML), {PAGE, VMCS_PML_ADDRESS, 0x10})},
    {"pml_too_far",
     CONTROLS(USE_SECONDARY(SECONDARY_PML), {PUT, VMCS_PML_ADDRESS, TOO_FAR})},
    {"unrestricted_without_ept",
     CONTROLS(USE_SECONDARY(SECONDARY_UNRESTRICTED_GUEST), NO_EPT)},
    {"vmfunc_reserved", CONTROLS(USE_SECONDARY(SECONDARY_VMFUNC),
				 {PUT, VMCS_VMFUNC_CONTROLS, BIT(63)})},
    {"eptp_switching_without_ept",
     CONTROLS(USE_SECONDARY(SECONDARY_VMFUNC), NO_EPT,
	      {PUT, VMCS_VMFUNC_CONTROLS, VMFUNC_EPTP_SWITCHING},
	      {PAGE, VMCS_EPTP_LIST_ADDRESS, 0})},
    {"eptp_list_unaligned",
     CONTROLS(USE_SECONDARY(SECONDARY_VMFUNC),
	      {PUT, VMCS_VMFUNC_CONTROLS, VMFUNC_EPTP_SWITCHING},
	      {PAGE, VMCS_EPTP_LIST_ADDRESS, 8})},
    {"vmread_bitmap_unaligned",
     CONTROLS(USE_SECONDARY(SECONDARY_VMCS_SHADOWING),
	      {PAGE, VMCS_VMREAD_BITMAP, 8}, {PAGE, VMCS_VMWRITE_BITMAP, 0})},
    {"vmwrite_bitmap_too_far", CONTROLS(USE_SECONDARY(SECONDARY_VMCS_SHADOWING),
					{PAGE, VMCS_VMREAD_BITMAP, 0},
					{PUT, VMCS_VMWRITE_BITMAP, TOO_FAR})},
    {"tsc_multiplier_zero", CONTROLS(USE_SECONDARY(SECONDARY_TSC_SCALING),
				     {PUT, VMCS_TSC_MULTIPLIER, 0})},
    {"save_timer_without_timer",
     CONTROLS(USE_EXIT(EXIT_SAVE_PREEMPTION_TIMER))},
    {"store_area_unaligned", CONTROLS({PUT, VMCS_EXIT_MSR_STORE_COUNT, 1},
				      {PAGE, VMCS_EXIT_MSR_STORE_ADDRESS, 8})},
    {"store_area_too_far",
     CONTROLS({PUT, VMCS_EXIT_MSR_STORE_COUNT, 1},
	      {PUT, VMCS_EXIT_MSR_STORE_ADDRESS, TOO_FAR})},
    {"exit_load_area_unaligned",
     CONTROLS({PUT, VMCS_EXIT_MSR_LOAD_COUNT, 1},
	      {PAGE, VMCS_EXIT_MSR_LOAD_ADDRESS, 4})},
    {"entry_load_area_unaligned",
     CONTROLS({PUT, VMCS_ENTRY_MSR_LOAD_COUNT, 1},
	      {PAGE, VMCS_ENTRY_MSR_LOAD_ADDRESS, 1})},
    {"empty_areas_have_any_address",
     GOOD({PUT, VMCS_EXIT_MSR_STORE_ADDRESS, 3},
	  {PUT, VMCS_EXIT_MSR_LOAD_ADDRESS, TOO_FAR},
	  {PUT, VMCS_ENTRY_MSR_LOAD_ADDRESS, ~0ull})},
    {"entry_to_smm_from_outside",
     BOCHS("smm-entry", FAILS, VMX_ERROR_ENTRY_CONTROLS,
	   {SET, VMCS_ENTRY_CONTROLS, ENTRY_TO_SMM})},
};

static const struct entry_case injection_cases[] = {
    {"inject_nothing", GOOD({PUT, VMCS_ENTRY_INTERRUPTION_INFO, 0x7fffffff})},
    {"inject_reserved_type", CONTROLS(INJECT(INJECT_TYPE(1)))},
    {"inject_reserved_bit",
     CONTROLS(
	 INJECT(INJECT_TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_UD | BIT(12)))},
    {"inject_bit_30", CONTROLS(INJECT(INJECT_TYPE(EVENT_HARDWARE_EXCEPTION) |
				      VECTOR_UD | BIT(30)))},
    {"inject_nmi_of_vector_3", CONTROLS(INJECT(INJECT_TYPE(EVENT_NMI) | 3))},
    {"inject_exception_of_vector_32",
     CONTROLS(INJECT(INJECT_TYPE(EVENT_HARDWARE_EXCEPTION) | 32))},
    {"inject_other_of_vector_1",
     CONTROLS(INJECT(INJECT_TYPE(EVENT_OTHER) | 1))},
    {"inject_gp_without_error_code",
     CONTROLS({STRICT, 0, 0},
	      INJECT(INJECT_TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_GP))},
    {"inject_interrupt_with_error_code",
     BOCHS("error-code", FAILS, VMX_ERROR_ENTRY_CONTROLS,
	   INJECT(EVENT_HAS_ERROR_CODE | 0x40))},
    {"inject_error_code_of_17_bits",
     CONTROLS(INJECT(INJECT_TYPE(EVENT_HARDWARE_EXCEPTION) | VECTOR_GP |
		     EVENT_HAS_ERROR_CODE),
	      {PUT, VMCS_ENTRY_EXCEPTION_ERROR_CODE, 0x10000})},
    {"inject_int_of_16_bytes",
     CONTROLS(INJECT(INJECT_TYPE(EVENT_SOFTWARE_INTERRUPT) | 0x40),
	      {PUT, VMCS_ENTRY_INSTRUCTION_LENGTH, 16})},
    {"inject_interrupt_with_if_clear", GUEST(INJECT(0x40))},
    {"inject_interrupt_behind_sti",
     GUEST(INJECT(0x40), {SET, VMCS_GUEST_RFLAGS, RFLAGS_IF},
	   {PUT, VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI})},
    {"inject_interrupt_behind_mov_ss",
     GUEST(INJECT(0x40), {SET, VMCS_GUEST_RFLAGS, RFLAGS_IF},
	   {PUT, VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_MOV_SS})},
    {"inject_nmi_behind_mov_ss",
     GUEST(INJECT(INJECT_TYPE(EVENT_NMI) | 2),
	   {PUT, VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_MOV_SS})},
    {"inject_nmi_behind_sti",
     BOCHS("nmi-sti", REFUSED, 3, INJECT(INJECT_TYPE(EVENT_NMI) | 2),
	   {SET, VMCS_GUEST_RFLAGS, RFLAGS_IF},
	   {PUT, VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI})},
    {"inject_nmi_while_virtual_nmis_are_blocked",
     BOCHS("nmi-state", REFUSED, 0, INJECT(INJECT_TYPE(EVENT_NMI) | 2),
	   USE_PIN(PIN_NMI | PIN_VIRTUAL_NMIS),
	   {PUT, VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_NMI})},
};

#define HOST_SELECTOR(name, field)                \
	{name "_rpl", HOST({SET, field, 1})},     \
	{                                         \
		name "_ti", HOST({SET, field, 4}) \
	}

static const struct entry_case host_cases[] = {
    {"host_cr0_pe", HOST({CLEAR, VMCS_HOST_CR0, CR0_PE})},
    {"host_cr0_ne", HOST({CLEAR, VMCS_HOST_CR0, CR0_NE})},
    {"host_cr0_pg", HOST({CLEAR, VMCS_HOST_CR0, CR0_PG})},
    {"host_cr0_high", HOST({SET, VMCS_HOST_CR0, BIT(32)})},
    {"host_cr4_vmxe", HOST({CLEAR, VMCS_HOST_CR4, CR4_VMXE})},
    {"host_cr4_pae", HOST({CLEAR, VMCS_HOST_CR4, CR4_PAE})},
    {"host_cr4_reserved", HOST({SET, VMCS_HOST_CR4, BIT(15)})},
    {"host_cr4_high", HOST({SET, VMCS_HOST_CR4, BIT(40)})},
    {"host_cr3_too_far", HOST({SET, VMCS_HOST_CR3, TOO_FAR})},
    {"host_sysenter_esp", HOST({PUT, VMCS_HOST_SYSENTER_ESP, NOT_CANONICAL})},
    {"host_sysenter_eip", HOST({PUT, VMCS_HOST_SYSENTER_EIP, NOT_CANONICAL})},
    {"host_pat_2", HOST(USE_EXIT(EXIT_LOAD_PAT), {PUT, VMCS_HOST_PAT, 2})},
    {"host_pat_8", HOST(USE_EXIT(EXIT_LOAD_PAT),
			{PUT, VMCS_HOST_PAT, 0x0800000000000000ull})},
    {"host_pat_not_loaded",
     GOOD({CLEAR, VMCS_EXIT_CONTROLS, EXIT_LOAD_PAT}, {PUT, VMCS_HOST_PAT, 2})},
    {"host_efer_reserved",
     HOST(USE_EXIT(EXIT_LOAD_EFER), {SET, VMCS_HOST_EFER, BIT(1)})},
    {"host_efer_lma",
     HOST(USE_EXIT(EXIT_LOAD_EFER), {CLEAR, VMCS_HOST_EFER, EFER_LMA})},
    {"host_efer_lme",
     HOST(USE_EXIT(EXIT_LOAD_EFER), {CLEAR, VMCS_HOST_EFER, EFER_LME})},
    HOST_SELECTOR("host_es", VMCS_HOST_ES_SELECTOR),
    HOST_SELECTOR("host_cs", VMCS_HOST_CS_SELECTOR),
    HOST_SELECTOR("host_ss", VMCS_HOST_SS_SELECTOR),
    HOST_SELECTOR("host_ds", VMCS_HOST_DS_SELECTOR),
    HOST_SELECTOR("host_fs", VMCS_HOST_FS_SELECTOR),
    HOST_SELECTOR("host_gs", VMCS_HOST_GS_SELECTOR),
    HOST_SELECTOR("host_tr", VMCS_HOST_TR_SELECTOR),
    {"host_cs_null", HOST({PUT, VMCS_HOST_CS_SELECTOR, 0})},
    {"host_tr_null", HOST({PUT, VMCS_HOST_TR_SELECTOR, 0})},
    {"host_ss_null_in_64_bits", GOOD({PUT, VMCS_HOST_SS_SELECTOR, 0})},
    {"host_fs_base", HOST({PUT, VMCS_HOST_FS_BASE, NOT_CANONICAL})},
    {"host_gs_base", HOST({PUT, VMCS_HOST_GS_BASE, NOT_CANONICAL})},
    {"host_tr_base", HOST({PUT, VMCS_HOST_TR_BASE, NOT_CANONICAL})},
    {"host_gdtr_base", HOST({PUT, VMCS_HOST_GDTR_BASE, NOT_CANONICAL})},
    {"host_idtr_base", HOST({PUT, VMCS_HOST_IDTR_BASE, NOT_CANONICAL})},
    {"host_rip", HOST({PUT, VMCS_HOST_RIP, NOT_CANONICAL})},
    {"host_of_32_bits",
     HOST({CLEAR, VMCS_EXIT_CONTROLS, EXIT_HOST_ADDRESS_SPACE_SIZE})},
};

static const struct entry_case guest_register_cases[] = {
    {"guest_cr0_ne", GUEST({CLEAR, VMCS_GUEST_CR0, CR0_NE})},
    {"guest_cr0_high", GUEST({SET, VMCS_GUEST_CR0, BIT(35)})},
    {"guest_cr0_pg_without_pe", GUEST({CLEAR, VMCS_GUEST_CR0, CR0_PE})},
    {"guest_cr0_paging_off_in_64_bits", GUEST({CLEAR, VMCS_GUEST_CR0, CR0_PG})},
    {"guest_cr0_paging_off_in_64_bits_unrestricted",
     BOCHS("long-paging", REFUSED, 0,
	   USE_SECONDARY(SECONDARY_UNRESTRICTED_GUEST | SECONDARY_EPT),
	   {CLEAR, VMCS_GUEST_CR0, CR0_PG})},
    {"guest_cr4_vmxe", GUEST({CLEAR, VMCS_GUEST_CR4, CR4_VMXE})},
    {"guest_cr4_reserved", GUEST({SET, VMCS_GUEST_CR4, BIT(15)})},
    {"guest_cr4_pae", GUEST({CLEAR, VMCS_GUEST_CR4, CR4_PAE})},
    {"guest_cr3_too_far", GUEST({SET, VMCS_GUEST_CR3, TOO_FAR})},
    {"guest_debugctl",
     BOCHS("debugctl", REFUSED, 0, USE_ENTRY(ENTRY_LOAD_DEBUG_CONTROLS),
	   {PUT, VMCS_GUEST_DEBUGCTL, BIT(5) | BIT(40)})},
    {"guest_debugctl_not_loaded",
     GOOD({CLEAR, VMCS_ENTRY_CONTROLS, ENTRY_LOAD_DEBUG_CONTROLS},
	  {PUT, VMCS_GUEST_DEBUGCTL, BIT(40)})},
    {"guest_dr7_high", GUEST(USE_ENTRY(ENTRY_LOAD_DEBUG_CONTROLS),
			     {SET, VMCS_GUEST_DR7, BIT(32)})},
    {"guest_sysenter_esp",
     GUEST({PUT, VMCS_GUEST_SYSENTER_ESP, NOT_CANONICAL})},
    {"guest_sysenter_eip",
     GUEST({PUT, VMCS_GUEST_SYSENTER_EIP, NOT_CANONICAL})},
    {"guest_pat", GUEST(USE_ENTRY(ENTRY_LOAD_PAT),
			{PUT, VMCS_GUEST_PAT, 0x0000000300000000ull})},
    {"guest_efer_reserved",
     GUEST(USE_ENTRY(ENTRY_LOAD_EFER), {SET, VMCS_GUEST_EFER, BIT(9)})},
    {"guest_efer_lma",
     GUEST(USE_ENTRY(ENTRY_LOAD_EFER), {CLEAR, VMCS_GUEST_EFER, EFER_LMA})},
    {"guest_efer_lme",
     GUEST(USE_ENTRY(ENTRY_LOAD_EFER), {CLEAR, VMCS_GUEST_EFER, EFER_LME})},
    {"guest_rflags_bit_1", GUEST({CLEAR, VMCS_GUEST_RFLAGS, RFLAGS_FIXED})},
    {"guest_rflags_bit_3", GUEST({SET, VMCS_GUEST_RFLAGS, BIT(3)})},
    {"guest_rflags_bit_5", GUEST({SET, VMCS_GUEST_RFLAGS, BIT(5)})},
    {"guest_rflags_bit_15", GUEST({SET, VMCS_GUEST_RFLAGS, BIT(15)})},
    {"guest_rflags_bit_22", GUEST({SET, VMCS_GUEST_RFLAGS, BIT(22)})},
    {"guest_rflags_bit_63", GUEST({SET, VMCS_GUEST_RFLAGS, BIT(63)})},
    {"guest_rflags_vm_in_64_bits", GUEST({SET, VMCS_GUEST_RFLAGS, RFLAGS_VM})},
    {"guest_rip_beyond_32_bits",
     GUEST({CLEAR, VMCS_GUEST_CS_ACCESS_RIGHTS, RIGHTS_LONG},
	   {SET, VMCS_GUEST_CS_ACCESS_RIGHTS, RIGHTS_32},
	   {SET, VMCS_GUEST_RIP, BIT(32)})},
    {"guest_rip_beyond_48_bits",
     BOCHS("entry-rip", REFUSED, 0, {PUT, VMCS_GUEST_RIP, BIT(48)})},
    {"guest_gdtr_base", GUEST({PUT, VMCS_GUEST_GDTR_BASE, NOT_CANONICAL})},
    {"guest_idtr_base", GUEST({PUT, VMCS_GUEST_IDTR_BASE, NOT_CANONICAL})},
    {"guest_gdtr_limit", GUEST({PUT, VMCS_GUEST_GDTR_LIMIT, 0x10000})},
    {"guest_idtr_limit", GUEST({PUT, VMCS_GUEST_IDTR_LIMIT, 0x10000})},
};

static const struct entry_case guest_segment_cases[] = {
    {"tr_ti", GUEST({SET, VMCS_GUEST_TR_SELECTOR, 4})},
    {"tr_base", GUEST({PUT, VMCS_GUEST_TR_BASE, NOT_CANONICAL})},
    {"tr_available", GUEST({CLEAR, VMCS_GUEST_TR_ACCESS_RIGHTS, 2})},
    {"tr_16_bit_busy", GUEST({CLEAR, VMCS_GUEST_TR_ACCESS_RIGHTS, 8})},
    {"tr_code_or_data", GUEST({SET, VMCS_GUEST_TR_ACCESS_RIGHTS, RIGHTS_S})},
    {"tr_not_present",
     GUEST({CLEAR, VMCS_GUEST_TR_ACCESS_RIGHTS, RIGHTS_PRESENT})},
    {"tr_reserved", GUEST({SET, VMCS_GUEST_TR_ACCESS_RIGHTS, BIT(8)})},
    {"tr_reserved_high", GUEST({SET, VMCS_GUEST_TR_ACCESS_RIGHTS, BIT(17)})},
    {"tr_unusable", GUEST({SET, VMCS_GUEST_TR_ACCESS_RIGHTS, RIGHTS_UNUSABLE})},
    {"tr_4k_with_small_limit",
     GUEST({SET, VMCS_GUEST_TR_ACCESS_RIGHTS, RIGHTS_4K_LIMIT})},
    {"tr_bytes_with_large_limit", GUEST({PUT, VMCS_GUEST_TR_LIMIT, 0x100000})},
    {"ldtr_usable", GOOD({PUT, VMCS_GUEST_LDTR_ACCESS_RIGHTS, RIGHTS_LDT},
			 {PUT, VMCS_GUEST_LDTR_SELECTOR, 0x08})},
    {"ldtr_ti", GUEST({PUT, VMCS_GUEST_LDTR_ACCESS_RIGHTS, RIGHTS_LDT},
		      {PUT, VMCS_GUEST_LDTR_SELECTOR, 0x0c})},
    {"ldtr_base", GUEST({PUT, VMCS_GUEST_LDTR_ACCESS_RIGHTS, RIGHTS_LDT},
			{PUT, VMCS_GUEST_LDTR_BASE, NOT_CANONICAL})},
    {"ldtr_type", GUEST({PUT, VMCS_GUEST_LDTR_ACCESS_RIGHTS, RIGHTS_LDT | 1})},
    {"ldtr_not_present",
     GUEST({PUT, VMCS_GUEST_LDTR_ACCESS_RIGHTS, RIGHTS_LDT & 0x7f})},
    {"ldtr_unusable_holds_anything",
     GOOD({PUT, VMCS_GUEST_LDTR_ACCESS_RIGHTS, RIGHTS_UNUSABLE | 0xfff},
	  {PUT, VMCS_GUEST_LDTR_SELECTOR, 0xffff})},
    {"cs_base_high", GUEST({PUT, VMCS_GUEST_CS_BASE, BIT(32)})},
    {"cs_data",
     GUEST({CLEAR, VMCS_GUEST_CS_ACCESS_RIGHTS, 8},
	   {CLEAR, VMCS_SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED_GUEST})},
    {"cs_not_accessed", GUEST({CLEAR, VMCS_GUEST_CS_ACCESS_RIGHTS, 1})},
    {"cs_system", GUEST({CLEAR, VMCS_GUEST_CS_ACCESS_RIGHTS, RIGHTS_S})},
    {"cs_not_present",
     GUEST({CLEAR, VMCS_GUEST_CS_ACCESS_RIGHTS, RIGHTS_PRESENT})},
    {"cs_long_and_32",
     GUEST({SET, VMCS_GUEST_CS_ACCESS_RIGHTS, RIGHTS_32 | RIGHTS_LONG})},
    {"cs_dpl_is_not_that_of_ss",
     GUEST({SET, VMCS_GUEST_CS_ACCESS_RIGHTS, RIGHTS_DPL})},
    {"cs_dpl_is_not_that_of_ss_unrestricted",
     BOCHS("code-dpl", REFUSED, 0,
	   USE_SECONDARY(SECONDARY_UNRESTRICTED_GUEST | SECONDARY_EPT),
	   {SET, VMCS_GUEST_SS_ACCESS_RIGHTS, RIGHTS_DPL})},
    {"cs_reserved", GUEST({SET, VMCS_GUEST_CS_ACCESS_RIGHTS, BIT(11)})},
    {"cs_limit", GUEST({PUT, VMCS_GUEST_CS_LIMIT, 0xffff0000})},
    {"ss_base_high", GUEST({PUT, VMCS_GUEST_SS_BASE, BIT(33)})},
    {"ss_read_only", GUEST({CLEAR, VMCS_GUEST_SS_ACCESS_RIGHTS, 2})},
    {"ss_rpl_is_not_that_of_cs",
     GUEST({SET, VMCS_GUEST_SS_SELECTOR, 3},
	   {CLEAR, VMCS_SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED_GUEST})},
    {"ss_dpl_is_not_its_rpl",
     GUEST({SET, VMCS_GUEST_SS_ACCESS_RIGHTS, RIGHTS_DPL},
	   {CLEAR, VMCS_SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED_GUEST})},
    {"ss_unusable", GOOD({PUT, VMCS_GUEST_SS_ACCESS_RIGHTS, RIGHTS_UNUSABLE},
			 {PUT, VMCS_GUEST_SS_SELECTOR, 0})},
    {"ds_base_high", GUEST({PUT, VMCS_GUEST_DS_BASE, BIT(32)})},
    {"ds_execute_only", GUEST({SET, VMCS_GUEST_DS_ACCESS_RIGHTS, 8},
			      {CLEAR, VMCS_GUEST_DS_ACCESS_RIGHTS, 2})},
    {"ds_not_accessed", GUEST({CLEAR, VMCS_GUEST_DS_ACCESS_RIGHTS, 1})},
    {"ds_system", GUEST({CLEAR, VMCS_GUEST_DS_ACCESS_RIGHTS, RIGHTS_S})},
    {"es_not_present",
     GUEST({CLEAR, VMCS_GUEST_ES_ACCESS_RIGHTS, RIGHTS_PRESENT})},
    {"es_limit_without_4k",
     GUEST({CLEAR, VMCS_GUEST_ES_ACCESS_RIGHTS, RIGHTS_4K_LIMIT})},
    {"fs_base", GUEST({PUT, VMCS_GUEST_FS_BASE, NOT_CANONICAL})},
    {"gs_base", GUEST({PUT, VMCS_GUEST_GS_BASE, NOT_CANONICAL})},
    {"fs_unusable_holds_anything",
     GOOD({PUT, VMCS_GUEST_FS_ACCESS_RIGHTS, 0xffffffff},
	  {PUT, VMCS_GUEST_FS_LIMIT, 0x12345})},
};

static const struct entry_case guest_state_cases[] = {
    {"activity_4", GUEST({PUT, VMCS_GUEST_ACTIVITY_STATE, 4})},
    {"activity_high", GUEST({PUT, VMCS_GUEST_ACTIVITY_STATE, BIT(16)})},
    {"halted_behind_sti",
     GUEST({PUT, VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT},
	   {SET, VMCS_GUEST_RFLAGS, RFLAGS_IF},
	   {PUT, VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI})},
    {"halted_and_software_interrupt_injected",
     BOCHS("activity-events", REFUSED, 0,
	   {PUT, VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT},
	   INJECT(INJECT_TYPE(EVENT_SOFTWARE_INTERRUPT) | 0x40),
	   {PUT, VMCS_ENTRY_INSTRUCTION_LENGTH, 2})},
    {"shutdown_and_interrupt_injected",
     GUEST({PUT, VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_SHUTDOWN},
	   {SET, VMCS_GUEST_RFLAGS, RFLAGS_IF}, INJECT(0x40))},
    {"waiting_for_sipi_and_nmi_injected",
     GUEST({PUT, VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_WAIT_FOR_SIPI},
	   INJECT(INJECT_TYPE(EVENT_NMI) | 2))},
    {"blocking_reserved", GUEST({PUT, VMCS_GUEST_INTERRUPTIBILITY, BIT(5)})},
    {"blocking_reserved_high",
     GUEST({PUT, VMCS_GUEST_INTERRUPTIBILITY, BIT(31)})},
    {"blocking_by_both", GUEST({SET, VMCS_GUEST_RFLAGS, RFLAGS_IF},
			       {PUT, VMCS_GUEST_INTERRUPTIBILITY,
				BLOCKING_BY_STI | BLOCKING_BY_MOV_SS})},
    {"blocking_by_sti_with_if_clear",
     GUEST({PUT, VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI})},
    {"blocking_by_smi_outside_smm",
     GUEST({PUT, VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_SMI})},
    {"blocking_by_mov_ss_is_allowed",
     GOOD({PUT, VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_MOV_SS})},
    {"blocking_by_nmi_is_allowed",
     GOOD({PUT, VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_NMI})},
    {"pending_debug_reserved", GUEST({PUT, VMCS_GUEST_PENDING_DEBUG, BIT(4)})},
    {"pending_debug_bit_13", GUEST({PUT, VMCS_GUEST_PENDING_DEBUG, BIT(13)})},
    {"pending_debug_high", BOCHS("pending-debug", REFUSED, 0,
				 {PUT, VMCS_GUEST_PENDING_DEBUG, BIT(40)})},
    {"single_step_not_pending_behind_mov_ss",
     BOCHS("pending-debug", REFUSED, 0, {SET, VMCS_GUEST_RFLAGS, RFLAGS_TF},
	   {PUT, VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_MOV_SS})},
    {"single_step_pending_without_tf_behind_mov_ss",
     BOCHS("pending-debug", REFUSED, 0,
	   {PUT, VMCS_GUEST_PENDING_DEBUG, BIT(14)},
	   {PUT, VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_MOV_SS})},
    {"link_pointer_unaligned",
     {{PAGE, VMCS_LINK_POINTER, 8}},
     REFUSED,
     4,
     NULL},
    {"link_pointer_too_far",
     {{PUT, VMCS_LINK_POINTER, TOO_FAR}},
     REFUSED,
     4,
     NULL},
    {"link_pointer_to_wrong_revision",
     {{PAGE, VMCS_LINK_POINTER, 0}},
     REFUSED,
     4,
     NULL},
};

static const struct entry_case order_cases[] = {
    {"controls_before_host_state",
     CONTROLS({PUT, VMCS_TPR_THRESHOLD, 0}, USE_PIN(PIN_VIRTUAL_NMIS),
	      {PUT, VMCS_HOST_CS_SELECTOR, 0})},
    {"controls_before_guest_state",
     CONTROLS(USE_PIN(PIN_VIRTUAL_NMIS), {PUT, VMCS_GUEST_RFLAGS, 0})},
    {"host_state_before_guest_state",
     HOST({PUT, VMCS_HOST_CS_SELECTOR, 0}, {PUT, VMCS_GUEST_RFLAGS, 0})},
    {"guest_state_before_msrs",
     GUEST({PUT, VMCS_GUEST_RFLAGS, 0}, {PUT, VMCS_ENTRY_MSR_LOAD_COUNT, 1},
	   {PAGE, VMCS_ENTRY_MSR_LOAD_ADDRESS, 0})},
};

/* --- One case ------------------------------------------------------------- */

static enum control_word word_of(enum vmcs_field field)
{
	switch ((u32)field) {
	case VMCS_PIN_CONTROLS:
		return CONTROLS_PIN;
	case VMCS_PRIMARY_CONTROLS:
		return CONTROLS_PRIMARY;
	case VMCS_EXIT_CONTROLS:
		return CONTROLS_EXIT;
	case VMCS_ENTRY_CONTROLS:
		return CONTROLS_ENTRY;
	default:
		return CONTROLS_SECONDARY;
	}
}

static u64 empty_page;

static bool can_be(const struct change *change)
{
	if (change->operation == STRICT)
		return !(vmx_basic() & BASIC_ANY_ERROR_CODE);
	return change->operation != CONTROL ||
	       vmx_allows(word_of(change->field), change->value);
}

static void make(const struct change *change)
{
	u64 kept = 0;

	if (change->operation == NONE)
		return;
	vmread_try(change->field, &kept);
	switch (change->operation) {
	case PUT:
		vmwrite_try(change->field, change->value);
		break;
	case SET:
	case CONTROL:
		vmwrite_try(change->field, kept | change->value);
		break;
	case CLEAR:
		vmwrite_try(change->field, kept & ~change->value);
		break;
	case PAGE:
		vmwrite_try(change->field, empty_page + change->value);
		break;
	case NONE:
	case STRICT:
		break;
	}
}

static void expect_outcome(const struct entry_case *c)
{
	u32 found = l2_run(&suite_l2);

	if (c->outcome == FAILS) {
		suite_expect(found, L2_NOT_ENTERED + VMX_FAIL_VALID,
			     "the entry");
		suite_expect(vmread(VMCS_INSTRUCTION_ERROR), c->number,
			     "the VM-instruction error");
	} else if (c->outcome == REFUSED) {
		suite_expect(found,
			     EXIT_ENTRY_GUEST_STATE | EXIT_REASON_ENTRY_FAILED,
			     "the entry");
		suite_expect(vmread(VMCS_EXIT_QUALIFICATION), c->number,
			     "the qualification");
	} else {
		suite_expect(found, EXIT_VMCALL, "the entry");
		if (found == L2_NOT_ENTERED + VMX_FAIL_VALID)
			suite_expect(vmread(VMCS_INSTRUCTION_ERROR), 0,
				     "the VM-instruction error");
	}
}

static void run_case(const struct entry_case *c)
{
	suite_case(c->name);
	for (u32 i = 0; i < CHANGES; i++)
		if (!can_be(&c->changes[i]))
			return;
	suite_make_l2(&(struct l2_controls){.secondary = SECONDARY_VPID},
		      program);
	/* Where L2 runs that should not, this ends it. */
	vmwrite(VMCS_EXCEPTION_BITMAP, 0xffffffff);
	for (u32 i = 0; i < CHANGES; i++)
		make(&c->changes[i]);
	if (c->defect)
		suite_defect(c->defect);
	expect_outcome(c);
}

/* --- Reserved bits of the control words, each of them --------------------- */

static void flip_control(enum control_word word, u32 bit)
{
	static const enum vmcs_field fields[CONTROLS_COUNT] = {
	    VMCS_PIN_CONTROLS, VMCS_PRIMARY_CONTROLS, VMCS_SECONDARY_CONTROLS,
	    VMCS_EXIT_CONTROLS, VMCS_ENTRY_CONTROLS};
	u64 kept = vmread(fields[word]);

	vmwrite(fields[word], kept ^ BIT(bit));
	suite_expect(l2_run(&suite_l2), L2_NOT_ENTERED + VMX_FAIL_VALID,
		     "the entry");
	suite_expect(vmread(VMCS_INSTRUCTION_ERROR), VMX_ERROR_ENTRY_CONTROLS,
		     "the VM-instruction error");
	vmwrite(fields[word], kept);
}

static void reserved_controls(void)
{
	suite_make_l2(&(struct l2_controls){.secondary = SECONDARY_VPID},
		      program);
	for (u32 word = 0; word < CONTROLS_COUNT; word++) {
		struct control_capability c =
		    vmx_capability((enum control_word)word);
		u32 fixed = c.must_be_1 | ~c.may_be_1;

		for (u32 bit = 0; bit < 32; bit++) {
			char name[40];

			fmt(name, sizeof(name), "control_word_%u_bit_%u", word,
			    bit);
			suite_case(name);
			if (fixed & BIT(bit))
				flip_control((enum control_word)word, bit);
		}
	}
}

static void too_many_cr3_targets(void)
{
	u64 most = bits_get(rdmsr(MSR_VMX_MISC), MISC_CR3_TARGETS);

	suite_case("cr3_targets");
	suite_make_l2(&(struct l2_controls){0}, program);
	vmwrite(VMCS_CR3_TARGET_COUNT, most + 1);
	suite_expect(l2_run(&suite_l2), L2_NOT_ENTERED + VMX_FAIL_VALID,
		     "the entry");
	suite_expect(vmread(VMCS_INSTRUCTION_ERROR), VMX_ERROR_ENTRY_CONTROLS,
		     "the VM-instruction error");
	vmwrite(VMCS_CR3_TARGET_COUNT, most);
	suite_finish();
}

/* --- The MSR-load area ---------------------------------------------------- */

struct msr_entry {
	u32 index, reserved;
	u64 value;
};

static const struct {
	const char *name;
	struct msr_entry entry;
} bad_msrs[] = {
    {"load_fs_base", {MSR_FS_BASE, 0, 0}},
    {"load_gs_base", {MSR_GS_BASE, 0, 0}},
    {"load_x2apic_register", {MSR_X2APIC_FIRST + 8, 0, 0}},
    {"load_with_reserved_bits", {MSR_SYSENTER_ESP, 1, 0}},
    {"load_unknown_msr", {0x0badc0de, 0, 0}},
    {"load_pat_of_bad_type", {MSR_PAT, 0, 2}},
    {"load_reserved_efer_bits", {MSR_EFER, 0, BIT(1)}},
    {"load_address_that_is_not_canonical", {MSR_LSTAR, 0, NOT_CANONICAL}},
    {"load_capability_msr", {MSR_VMX_BASIC, 0, 0}},
};

/* `good` entries before the bad one. */
static void bad_msr(const char *name, const struct msr_entry *entry, u32 good)
{
	struct msr_entry *area = (struct msr_entry *)pages_take(1);

	suite_case(name);
	suite_make_l2(&(struct l2_controls){0}, program);
	for (u32 i = 0; i < good; i++)
		area[i] = (struct msr_entry){MSR_SYSENTER_CS, 0, i};
	area[good] = *entry;
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDRESS, (u64)area);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, good + 1);
	suite_run((u32)(EXIT_ENTRY_MSR_LOADING | EXIT_REASON_ENTRY_FAILED));
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION), good + 1,
		     "the qualification");
	/* Neither makes the VMCS launched. */
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	suite_expect_error(vmresume(), VMX_ERROR_VMRESUME_NOT_LAUNCHED);
	suite_l2.launched = 0;
	suite_finish();
}

static void msr_load_area(void)
{
	for (u32 i = 0; i < ARRAY_COUNT(bad_msrs); i++)
		bad_msr(bad_msrs[i].name, &bad_msrs[i].entry, i % 3);
}

/* --- What a failed entry leaves ------------------------------------------ */

static void load_null_es(void)
{
	__asm__ volatile("mov %w0, %%es" ::"r"(0));
	l2_call(L2_CALL_USER, 0);
}

/* The guest state is as the exit before has saved it. */
static void refused_entry_keeps_guest_state(void)
{
	suite_case("refused_entry_keeps_guest_state");
	suite_make_l2(&(struct l2_controls){0}, load_null_es);
	suite_run(EXIT_VMCALL);
	l2_skip(&suite_l2);
	l2_set(VMCS_GUEST_RFLAGS, BIT(3));
	suite_run((u32)(EXIT_ENTRY_GUEST_STATE | EXIT_REASON_ENTRY_FAILED));
	suite_expect(vmread(VMCS_GUEST_ES_SELECTOR), 0, "ES");
	l2_reset(VMCS_GUEST_RFLAGS, BIT(3));
	suite_finish();
}

static void call_and_cpuid(void)
{
	l2_call(L2_CALL_USER, 0);
	__asm__ volatile("cpuid" ::: "rax", "rbx", "rcx", "rdx");
}

#define LSTAR_OF_L1 0x0000123456789000ull
#define UD_INFO     (EVENT_VALID | (u64)EVENT_HARDWARE_EXCEPTION << 8 | VECTOR_UD)

/* The exit before says more than a failure does, which must stay. */
static void make_failing(struct msr_entry *area)
{
	suite_make_l2(&(struct l2_controls){0}, call_and_cpuid);
	suite_run(EXIT_VMCALL);
	l2_skip(&suite_l2);
	area[0] = (struct msr_entry){MSR_LSTAR, 0, LSTAR_OF_L1};
	area[1] = (struct msr_entry){MSR_LSTAR, 0, 1};
	area[2] = (struct msr_entry){MSR_FS_BASE, 0, 0};
	vmwrite(VMCS_EXIT_MSR_LOAD_ADDRESS, (u64)&area[0]);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 1);
	vmwrite(VMCS_EXIT_MSR_STORE_ADDRESS, (u64)&area[1]);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 1);
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDRESS, (u64)&area[2]);
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, UD_INFO);
	vmwrite(VMCS_HOST_SYSENTER_CS, 0x77);
	wrmsr(MSR_SYSENTER_CS, 0);
	wrmsr(MSR_LSTAR, 0);
}

/*
 * SDM vol. 3, "VM-Entry Failures During or After Loading Guest State": as a VM
 * exit, but that nothing of L2's is saved, and only the reason and the
 * qualification are told.
 */
static void failed_entry_loads_and_saves_nothing(const char *name, u32 reason,
						 enum vmcs_field field,
						 u64 wrong)
{
	struct msr_entry *area = (struct msr_entry *)pages_take(1);
	u64 right;

	suite_case(name);
	make_failing(area);
	right = vmread(field);
	vmwrite(field, wrong);
	suite_run(reason | (u32)EXIT_REASON_ENTRY_FAILED);
	vmwrite(field, right);
	suite_defect("msr-failure");
	suite_expect(vmread(VMCS_EXIT_INSTRUCTION_LENGTH), 3, "the length");
	suite_expect(vmread(VMCS_ENTRY_INTERRUPTION_INFO), UD_INFO,
		     "the event");
	suite_expect(area[1].value, 1, "the MSR-store area");
	suite_expect(rdmsr(MSR_LSTAR), LSTAR_OF_L1, "the MSR-load area");
	suite_expect(rdmsr(MSR_SYSENTER_CS), 0x77, "the host state");
	/* It stays launched, as it was. */
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, 0);
	suite_run(EXIT_CPUID);
	suite_true(area[1].value != 1, "the MSR-store area of an exit");
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
	l2_skip(&suite_l2);
	suite_finish();
}

/* Where an injection is accepted that should not be. */
static void ignore(struct trap_frame *frame)
{
	(void)frame;
}

static void run_cases(const struct entry_case *cases, u64 count)
{
	for (u64 i = 0; i < count; i++)
		run_case(&cases[i]);
}

void suite_entry(void)
{
	static const u8 injected[] = {2, 3, 6, 32, 0x40};

	empty_page = pages_take(1);
	for (u32 i = 0; i < ARRAY_COUNT(injected); i++)
		trap_handle(injected[i], ignore);
	run_cases(control_cases, ARRAY_COUNT(control_cases));
	run_cases(injection_cases, ARRAY_COUNT(injection_cases));
	run_cases(host_cases, ARRAY_COUNT(host_cases));
	run_cases(guest_register_cases, ARRAY_COUNT(guest_register_cases));
	run_cases(guest_segment_cases, ARRAY_COUNT(guest_segment_cases));
	run_cases(guest_state_cases, ARRAY_COUNT(guest_state_cases));
	run_cases(order_cases, ARRAY_COUNT(order_cases));
	reserved_controls();
	too_many_cr3_targets();
	msr_load_area();
	refused_entry_keeps_guest_state();
	failed_entry_loads_and_saves_nothing("refused_entry_saves_nothing",
					     EXIT_ENTRY_GUEST_STATE,
					     VMCS_GUEST_RFLAGS, 0);
	failed_entry_loads_and_saves_nothing(
	    "entry_without_its_msrs_saves_nothing", EXIT_ENTRY_MSR_LOADING,
	    VMCS_ENTRY_MSR_LOAD_COUNT, 1);
}
