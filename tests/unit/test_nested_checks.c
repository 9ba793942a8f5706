/* SPDX-License-Identifier: MIT */
/*
 * VM-entry checks: a valid state with one rule broken fails by that rule, with
 * the number that the manual gives it; every rule has such a row.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nested/checks.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/nested_state.h"
#include "tests/unit/support.h"

#define WRITES     5
#define VPID_FIELD 0x10000u /* its encoding is 0, which ends a list */
#define LIMIT      BIT(L1_PHYS_BITS)
#define BAD        0x0000800000000000UL /* not canonical */

/* What L2 is before the writes of a row. */
enum mode {
	LONG,
	PROTECTED,    /* 32-bit, PAE paging */
	V86,          /* a protected-mode guest's virtual-8086 code */
	REAL,         /* unrestricted */
	SHADOWING,    /* LONG, with a shadow VMCS */
	HOST_32,      /* a 32-bit L1 and L2 */
	DELIVERY,     /* LONG, with posted interrupts */
	UNRESTRICTED, /* LONG */
};

struct write {
	u32 field;
	u64 value;
};

struct row {
	enum nested_rule rule;
	enum mode mode;
	struct write writes[WRITES];
};

#define PIN_BASE            (0x16UL | 0x29)
#define PRIMARY_BASE        (0x04006172UL | 0x92200080)
#define SECONDARY_BASE      0x22022UL
#define EXIT_BASE           (0x36dfbUL | 0x388200)
#define ENTRY_BASE          (0x11fbUL | 0xc204)
#define EVENT(type, vector) (BIT(31) | (type) << 8 | (vector))
#define INFO                VMCS_ENTRY_INTERRUPTION_INFO

static const struct row rows[] = {
    /* clang-format off */
    {RULE_PIN_RESERVED, LONG, {{VMCS_PIN_CONTROLS, PIN_BASE & ~2UL}}},
    {RULE_PIN_RESERVED, LONG, {{VMCS_PIN_CONTROLS, PIN_BASE | BIT(8)}}},
    {RULE_PRIMARY_RESERVED, LONG, {{VMCS_PRIMARY_CONTROLS, PRIMARY_BASE & ~2UL}}},
    {RULE_PRIMARY_RESERVED, LONG, {{VMCS_PRIMARY_CONTROLS, PRIMARY_BASE | BIT(18)}}},
    {RULE_SECONDARY_RESERVED, LONG, {{VMCS_SECONDARY_CONTROLS, SECONDARY_BASE | BIT(31)}}},
    {RULE_CR3_TARGETS, LONG, {{VMCS_CR3_TARGET_COUNT, 5}}},
    {RULE_NONE, LONG, {{VMCS_CR3_TARGET_COUNT, 4}}},
    {RULE_IO_BITMAP_A, LONG, {{VMCS_IO_BITMAP_A, 0x3800}}},
    {RULE_IO_BITMAP_A, LONG, {{VMCS_IO_BITMAP_A, LIMIT}}},
    {RULE_IO_BITMAP_B, LONG, {{VMCS_IO_BITMAP_B, 0x3001}}},
    {RULE_MSR_BITMAP, LONG, {{VMCS_MSR_BITMAP, LIMIT}}},
    {RULE_NMI_EXITING, LONG, {{VMCS_PIN_CONTROLS, PIN_BASE & ~8UL}}},
    {RULE_NMI_WINDOW, LONG, {{VMCS_PIN_CONTROLS, PIN_BASE & ~32UL}, {VMCS_PRIMARY_CONTROLS, PRIMARY_BASE | BIT(22)}}},
    {RULE_NONE, LONG, {{VMCS_PRIMARY_CONTROLS, PRIMARY_BASE | BIT(22)}}},
    {RULE_VIRTUAL_APIC, LONG, {{VMCS_VIRTUAL_APIC_ADDRESS, PAGE_APIC + 8}}},
    {RULE_VIRTUAL_APIC, LONG, {{VMCS_VIRTUAL_APIC_ADDRESS, LIMIT}}},
    {RULE_NONE, LONG, {{VMCS_VIRTUAL_APIC_ADDRESS, LIMIT - PAGE_4K}, {VMCS_TPR_THRESHOLD, 15}}},
    {RULE_TPR_THRESHOLD_RESERVED, LONG, {{VMCS_TPR_THRESHOLD, 0x10}}},
    {RULE_TPR_THRESHOLD, LONG, {{VMCS_TPR_THRESHOLD, 6}}},
    {RULE_NONE, LONG, {{VMCS_TPR_THRESHOLD, 5}}},
    {RULE_NONE, LONG, {{VMCS_TPR_THRESHOLD, 6}, {VMCS_SECONDARY_CONTROLS, SECONDARY_BASE | 1}}},
    {RULE_NO_TPR_SHADOW, LONG, {{VMCS_PRIMARY_CONTROLS, PRIMARY_BASE & ~BIT(21)}, {VMCS_SECONDARY_CONTROLS, SECONDARY_BASE | BIT(4)}}},
    {RULE_NO_TPR_SHADOW, LONG, {{VMCS_PRIMARY_CONTROLS, PRIMARY_BASE & ~BIT(21)}, {VMCS_SECONDARY_CONTROLS, SECONDARY_BASE | BIT(8)}}},
    {RULE_NO_TPR_SHADOW, LONG, {{VMCS_PRIMARY_CONTROLS, PRIMARY_BASE & ~BIT(21)}, {VMCS_SECONDARY_CONTROLS, SECONDARY_BASE | BIT(9)}}},
    {RULE_APIC_ACCESS, LONG, {{VMCS_SECONDARY_CONTROLS, SECONDARY_BASE | 1}, {VMCS_APIC_ACCESS_ADDRESS, 1}}},
    {RULE_X2APIC_AND_ACCESSES, LONG, {{VMCS_SECONDARY_CONTROLS, SECONDARY_BASE | 1 | BIT(4)}}},
    {RULE_DELIVERY_EXITING, DELIVERY, {{VMCS_PIN_CONTROLS, (PIN_BASE | BIT(7)) & ~1UL}}},
    {RULE_NONE, DELIVERY, {{VMCS_TPR_THRESHOLD, 0x10}}},
    {RULE_POSTED_DELIVERY, DELIVERY, {{VMCS_SECONDARY_CONTROLS, SECONDARY_BASE}}},
    {RULE_POSTED_ACKNOWLEDGE, DELIVERY, {{VMCS_EXIT_CONTROLS, EXIT_BASE & ~BIT(15)}}},
    {RULE_POSTED_VECTOR, DELIVERY, {{VMCS_POSTED_INTERRUPT_VECTOR, 256}}},
    {RULE_POSTED_DESCRIPTOR, DELIVERY, {{VMCS_POSTED_INTERRUPT_DESCRIPTOR, 0x20}}},
    {RULE_POSTED_DESCRIPTOR, DELIVERY, {{VMCS_POSTED_INTERRUPT_DESCRIPTOR, LIMIT}}},
    {RULE_NONE, DELIVERY, {{VMCS_POSTED_INTERRUPT_DESCRIPTOR, 0x40}}},
    {RULE_VPID, LONG, {{VPID_FIELD, 0}}},
    {RULE_EPT_POINTER, LONG, {{VMCS_EPT_POINTER, 0x1001f}}},
    {RULE_EPT_POINTER, LONG, {{VMCS_EPT_POINTER, 0x10026}}},
    {RULE_EPT_POINTER, LONG, {{VMCS_EPT_POINTER, 0x1009e}}},
    {RULE_EPT_POINTER, LONG, {{VMCS_EPT_POINTER, LIMIT | 0x1e}}},
    {RULE_NONE, LONG, {{VMCS_EPT_POINTER, 0x10018}}},
    {RULE_PML_EPT, LONG, {{VMCS_SECONDARY_CONTROLS, SECONDARY_BASE & ~2UL}}},
    {RULE_PML_ADDRESS, LONG, {{VMCS_PML_ADDRESS, 0x11008}}},
    {RULE_PML_ADDRESS, LONG, {{VMCS_PML_ADDRESS, LIMIT}}},
    {RULE_UNRESTRICTED_EPT, LONG, {{VMCS_SECONDARY_CONTROLS, BIT(7)}}},
    {RULE_VMFUNC_RESERVED, LONG, {{VMCS_VMFUNC_CONTROLS, 2}}},
    {RULE_EPTP_SWITCHING_EPT, LONG, {{VMCS_SECONDARY_CONTROLS, BIT(13)}}},
    {RULE_EPTP_LIST, LONG, {{VMCS_EPTP_LIST_ADDRESS, 0xa010}}},
    {RULE_VMREAD_BITMAP, SHADOWING, {{VMCS_VMREAD_BITMAP, 8}}},
    {RULE_VMWRITE_BITMAP, SHADOWING, {{VMCS_VMWRITE_BITMAP, LIMIT}}},
    {RULE_TSC_MULTIPLIER, LONG, {{VMCS_SECONDARY_CONTROLS, SECONDARY_BASE | BIT(25)}, {VMCS_TSC_MULTIPLIER, 0}}},
    {RULE_NONE, LONG, {{VMCS_SECONDARY_CONTROLS, SECONDARY_BASE | BIT(25)}, {VMCS_TSC_MULTIPLIER, 1}}},
    {RULE_EXIT_RESERVED, LONG, {{VMCS_EXIT_CONTROLS, EXIT_BASE & ~1UL}}},
    {RULE_EXIT_RESERVED, LONG, {{VMCS_EXIT_CONTROLS, EXIT_BASE | BIT(12)}}},
    {RULE_SAVE_TIMER, LONG, {{VMCS_EXIT_CONTROLS, EXIT_BASE | BIT(22)}}},
    {RULE_NONE, LONG, {{VMCS_EXIT_CONTROLS, EXIT_BASE | BIT(22)}, {VMCS_PIN_CONTROLS, PIN_BASE | BIT(6)}}},
    {RULE_EXIT_STORE_AREA, LONG, {{VMCS_EXIT_MSR_STORE_COUNT, 1}, {VMCS_EXIT_MSR_STORE_ADDRESS, 8}}},
    {RULE_EXIT_STORE_AREA, LONG, {{VMCS_EXIT_MSR_STORE_COUNT, 2}, {VMCS_EXIT_MSR_STORE_ADDRESS, LIMIT - 16}}},
    {RULE_NONE, LONG, {{VMCS_EXIT_MSR_STORE_COUNT, 1}, {VMCS_EXIT_MSR_STORE_ADDRESS, LIMIT - 16}}},
    {RULE_NONE, LONG, {{VMCS_EXIT_MSR_STORE_ADDRESS, 8}}},
    {RULE_EXIT_LOAD_AREA, LONG, {{VMCS_EXIT_MSR_LOAD_COUNT, 1}, {VMCS_EXIT_MSR_LOAD_ADDRESS, LIMIT}}},
    {RULE_EXIT_LOAD_AREA, LONG, {{VMCS_EXIT_MSR_LOAD_COUNT, ~0u}, {VMCS_EXIT_MSR_LOAD_ADDRESS, ~15UL}}},
    {RULE_ENTRY_RESERVED, LONG, {{VMCS_ENTRY_CONTROLS, ENTRY_BASE & ~1UL}}},
    {RULE_ENTRY_RESERVED, LONG, {{VMCS_ENTRY_CONTROLS, ENTRY_BASE | BIT(10)}}},
    {RULE_ENTRY_RESERVED, LONG, {{VMCS_ENTRY_CONTROLS, ENTRY_BASE | BIT(11)}}},
    {RULE_INJECT_TYPE, LONG, {{INFO, EVENT(1, 0)}}},
    {RULE_NONE, LONG, {{INFO, EVENT(1, 0) & ~BIT(31)}}},
    {RULE_NONE, LONG, {{INFO, EVENT(7, 0)}}},
    {RULE_INJECT_VECTOR, LONG, {{INFO, EVENT(2, 3)}}},
    {RULE_INJECT_VECTOR, LONG, {{INFO, EVENT(3, 32)}}},
    {RULE_INJECT_VECTOR, LONG, {{INFO, EVENT(7, 1)}}},
    {RULE_INJECT_ERROR_CODE, LONG, {{INFO, EVENT(3, 13)}}},
    {RULE_INJECT_ERROR_CODE, LONG, {{INFO, EVENT(3, 6) | BIT(11)}}},
    {RULE_INJECT_ERROR_CODE, LONG, {{INFO, EVENT(0, 13) | BIT(11)}}},
    {RULE_INJECT_ERROR_CODE, REAL, {{INFO, EVENT(3, 13) | BIT(11)}}},
    {RULE_NONE, REAL, {{INFO, EVENT(3, 13)}}},
    {RULE_NONE, LONG, {{INFO, EVENT(3, 13) | BIT(11)}, {VMCS_ENTRY_EXCEPTION_ERROR_CODE, 0xffff}}},
    {RULE_INJECT_RESERVED, LONG, {{INFO, EVENT(2, 2) | BIT(12)}}},
    {RULE_INJECT_RESERVED, LONG, {{INFO, EVENT(2, 2) | BIT(30)}}},
    {RULE_INJECT_ERROR_VALUE, LONG, {{INFO, EVENT(3, 13) | BIT(11)}, {VMCS_ENTRY_EXCEPTION_ERROR_CODE, 0x10000}}},
    {RULE_NONE, LONG, {{VMCS_ENTRY_EXCEPTION_ERROR_CODE, 0x10000}}},
    {RULE_INJECT_LENGTH, LONG, {{INFO, EVENT(4, 0x80)}, {VMCS_ENTRY_INSTRUCTION_LENGTH, 16}}},
    {RULE_INJECT_LENGTH, LONG, {{INFO, EVENT(5, 1)}, {VMCS_ENTRY_INSTRUCTION_LENGTH, 16}}},
    {RULE_INJECT_LENGTH, LONG, {{INFO, EVENT(6, 3)}, {VMCS_ENTRY_INSTRUCTION_LENGTH, 16}}},
    {RULE_NONE, LONG, {{INFO, EVENT(6, 3)}, {VMCS_ENTRY_INSTRUCTION_LENGTH, 15}}},
    {RULE_NONE, LONG, {{INFO, EVENT(4, 3)}, {VMCS_ENTRY_INSTRUCTION_LENGTH, 0}}},
    {RULE_ENTRY_LOAD_AREA, LONG, {{VMCS_ENTRY_MSR_LOAD_COUNT, 1}, {VMCS_ENTRY_MSR_LOAD_ADDRESS, 4}}},

    {RULE_HOST_CR0, LONG, {{VMCS_HOST_CR0, 0x80000001}}},
    {RULE_HOST_CR0, LONG, {{VMCS_HOST_CR0, 0x00000021}}},
    {RULE_HOST_CR0, LONG, {{VMCS_HOST_CR0, 0x180000021}}},
    {RULE_HOST_CR4, LONG, {{VMCS_HOST_CR4, CR4_PAE}}},
    {RULE_HOST_CR4, LONG, {{VMCS_HOST_CR4, CR4_PAE | CR4_VMXE | CR4_SMXE}}},
    {RULE_HOST_CR3, LONG, {{VMCS_HOST_CR3, LIMIT}}},
    {RULE_HOST_SYSENTER_ESP, LONG, {{VMCS_HOST_SYSENTER_ESP, BAD}}},
    {RULE_HOST_SYSENTER_EIP, LONG, {{VMCS_HOST_SYSENTER_EIP, BAD}}},
    {RULE_HOST_PAT, LONG, {{VMCS_HOST_PAT, 2}}},
    {RULE_HOST_PAT, LONG, {{VMCS_HOST_PAT, 0x0300000000000000}}},
    {RULE_HOST_PAT, LONG, {{VMCS_HOST_PAT, 8}}},
    {RULE_NONE, LONG, {{VMCS_HOST_PAT, 0x0706050401000000}}},
    {RULE_HOST_EFER_RESERVED, LONG, {{VMCS_HOST_EFER, L1_EFER | BIT(1)}}},
    {RULE_HOST_EFER_MODE, LONG, {{VMCS_HOST_EFER, EFER_LMA}}},
    {RULE_HOST_EFER_MODE, LONG, {{VMCS_HOST_EFER, EFER_LME}}},
    {RULE_HOST_SELECTORS, LONG, {{VMCS_HOST_ES_SELECTOR, 4}}},
    {RULE_HOST_SELECTORS, LONG, {{VMCS_HOST_CS_SELECTOR, 9}}},
    {RULE_HOST_SELECTORS, LONG, {{VMCS_HOST_SS_SELECTOR, 0x12}}},
    {RULE_HOST_SELECTORS, LONG, {{VMCS_HOST_DS_SELECTOR, 1}}},
    {RULE_HOST_SELECTORS, LONG, {{VMCS_HOST_FS_SELECTOR, 1}}},
    {RULE_HOST_SELECTORS, LONG, {{VMCS_HOST_GS_SELECTOR, 2}}},
    {RULE_HOST_SELECTORS, LONG, {{VMCS_HOST_TR_SELECTOR, 0x1c}}},
    {RULE_HOST_CS, LONG, {{VMCS_HOST_CS_SELECTOR, 0}}},
    {RULE_HOST_TR, LONG, {{VMCS_HOST_TR_SELECTOR, 0}}},
    {RULE_HOST_SS, HOST_32, {{VMCS_HOST_SS_SELECTOR, 0}}},
    {RULE_NONE, LONG, {{VMCS_HOST_SS_SELECTOR, 0}}},
    {RULE_HOST_BASES, LONG, {{VMCS_HOST_FS_BASE, BAD}}},
    {RULE_HOST_BASES, LONG, {{VMCS_HOST_GS_BASE, BAD}}},
    {RULE_HOST_BASES, LONG, {{VMCS_HOST_TR_BASE, BAD}}},
    {RULE_HOST_BASES, LONG, {{VMCS_HOST_GDTR_BASE, BAD}}},
    {RULE_HOST_BASES, LONG, {{VMCS_HOST_IDTR_BASE, BAD}}},
    {RULE_HOST_SIZE_NOW, LONG, {{VMCS_EXIT_CONTROLS, EXIT_BASE & ~(BIT(9) | BIT(21))}}},
    {RULE_HOST_SIZE_GUEST, HOST_32, {{VMCS_ENTRY_CONTROLS, ENTRY_BASE}}},
    {RULE_HOST_SIZE_PCIDE, HOST_32, {{VMCS_HOST_CR4, CR4_VMXE | CR4_PCIDE}}},
    {RULE_HOST_SIZE_RIP, HOST_32, {{VMCS_HOST_RIP, 0x100000000}}},
    {RULE_HOST_SIZE_PAE, LONG, {{VMCS_HOST_CR4, CR4_VMXE}}},
    {RULE_HOST_RIP, LONG, {{VMCS_HOST_RIP, BAD}}},

    {RULE_GUEST_CR0, LONG, {{VMCS_GUEST_CR0, 0x80000011}}},
    {RULE_GUEST_CR0, LONG, {{VMCS_GUEST_CR0, 0x180050033}}},
    {RULE_GUEST_CR0, PROTECTED, {{VMCS_GUEST_CR0, 0x31}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_CR0, 0xe0050033}}},
    {RULE_GUEST_CR0_PAGING, REAL, {{VMCS_GUEST_CR0, 0x80000030}}},
    {RULE_GUEST_CR4, LONG, {{VMCS_GUEST_CR4, CR4_PAE}}},
    {RULE_GUEST_CR4, LONG, {{VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE | CR4_LA57}}},
    {RULE_GUEST_DEBUGCTL, LONG, {{VMCS_GUEST_DEBUGCTL, 4}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_DEBUGCTL, 4}, {VMCS_ENTRY_CONTROLS, ENTRY_BASE & ~4UL}}},
    {RULE_GUEST_LONG_PAGING, LONG, {{VMCS_GUEST_CR4, CR4_VMXE}}},
    {RULE_GUEST_LONG_PAGING, UNRESTRICTED, {{VMCS_GUEST_CR0, 0x31}}},
    {RULE_GUEST_PCIDE, PROTECTED, {{VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE | CR4_PCIDE}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE | CR4_PCIDE}}},
    {RULE_GUEST_CR3, LONG, {{VMCS_GUEST_CR3, LIMIT}}},
    {RULE_GUEST_CR3, LONG, {{VMCS_GUEST_CR3, BIT(63)}}},
    {RULE_GUEST_DR7, LONG, {{VMCS_GUEST_DR7, BIT(32)}}},
    {RULE_GUEST_SYSENTER_ESP, LONG, {{VMCS_GUEST_SYSENTER_ESP, BAD}}},
    {RULE_GUEST_SYSENTER_EIP, LONG, {{VMCS_GUEST_SYSENTER_EIP, BAD}}},
    {RULE_GUEST_PAT, LONG, {{VMCS_GUEST_PAT, 3}}},
    {RULE_GUEST_EFER_RESERVED, LONG, {{VMCS_GUEST_EFER, 0x502}}},
    {RULE_GUEST_EFER_LMA, LONG, {{VMCS_GUEST_EFER, EFER_LME}}},
    {RULE_GUEST_EFER_LMA, PROTECTED, {{VMCS_GUEST_EFER, EFER_LMA}}},
    {RULE_GUEST_EFER_LME, LONG, {{VMCS_GUEST_EFER, EFER_LMA}}},
    {RULE_GUEST_EFER_LME, PROTECTED, {{VMCS_GUEST_EFER, EFER_LME}}},
    {RULE_NONE, REAL, {{VMCS_GUEST_EFER, EFER_LME}}},
    {RULE_TR_TI, LONG, {{VMCS_GUEST_TR_SELECTOR, 0x1c}}},
    {RULE_LDTR_TI, LONG, {{VMCS_GUEST_LDTR_SELECTOR, 4}, {VMCS_GUEST_LDTR_ACCESS_RIGHTS, 0x82}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_LDTR_SELECTOR, 4}}},
    {RULE_SS_RPL, LONG, {{VMCS_GUEST_CS_SELECTOR, 0xb}}},
    {RULE_NONE, UNRESTRICTED, {{VMCS_GUEST_CS_SELECTOR, 0xb}}},
    {RULE_V86_BASE, V86, {{VMCS_GUEST_ES_BASE, 0x101}}},
    {RULE_V86_BASE, V86, {{VMCS_GUEST_GS_BASE, 0x110}}},
    {RULE_SYSTEM_BASE, LONG, {{VMCS_GUEST_TR_BASE, BAD}}},
    {RULE_SYSTEM_BASE, LONG, {{VMCS_GUEST_FS_BASE, BAD}}},
    {RULE_SYSTEM_BASE, LONG, {{VMCS_GUEST_GS_BASE, BAD}}},
    {RULE_SYSTEM_BASE, LONG, {{VMCS_GUEST_LDTR_BASE, BAD}, {VMCS_GUEST_LDTR_ACCESS_RIGHTS, 0x82}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_LDTR_BASE, BAD}}},
    {RULE_CS_BASE, LONG, {{VMCS_GUEST_CS_BASE, BIT(32)}}},
    {RULE_DATA_BASE, LONG, {{VMCS_GUEST_SS_BASE, BIT(32)}}},
    {RULE_DATA_BASE, LONG, {{VMCS_GUEST_DS_BASE, BIT(32)}}},
    {RULE_DATA_BASE, LONG, {{VMCS_GUEST_ES_BASE, BIT(63)}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_ES_BASE, BIT(63)}, {VMCS_GUEST_ES_ACCESS_RIGHTS, BIT(16)}}},
    {RULE_V86_LIMIT, V86, {{VMCS_GUEST_CS_LIMIT, 0xfffe}}},
    {RULE_V86_RIGHTS, V86, {{VMCS_GUEST_SS_ACCESS_RIGHTS, 0x93}}},
    {RULE_V86_RIGHTS, V86, {{VMCS_GUEST_FS_ACCESS_RIGHTS, 0x100f3}}},
    {RULE_CS_TYPE, LONG, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa09a}}},
    {RULE_CS_TYPE, LONG, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa093}}},
    {RULE_CS_TYPE, REAL, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0x97}}},
    {RULE_SS_TYPE, LONG, {{VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc091}}},
    {RULE_SS_TYPE, LONG, {{VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc09b}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc097}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_SS_ACCESS_RIGHTS, BIT(16)}}},
    {RULE_DATA_TYPE, LONG, {{VMCS_GUEST_DS_ACCESS_RIGHTS, 0xc092}}},
    {RULE_DATA_TYPE, LONG, {{VMCS_GUEST_ES_ACCESS_RIGHTS, 0xc099}}},
    {RULE_DATA_TYPE, LONG, {{VMCS_GUEST_FS_ACCESS_RIGHTS, 0xc090}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_GS_ACCESS_RIGHTS, 0xc09b}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_GS_ACCESS_RIGHTS, BIT(16)}}},
    {RULE_SEGMENT_S, LONG, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa08b}}},
    {RULE_SEGMENT_S, LONG, {{VMCS_GUEST_DS_ACCESS_RIGHTS, 0xc083}}},
    {RULE_CS_DPL, LONG, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa0fb}}},
    {RULE_CS_DPL, LONG, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa0ff}}},
    {RULE_CS_DPL, UNRESTRICTED, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0xc0f3}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa09f}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa09f}, {VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc0f3}, {VMCS_GUEST_SS_SELECTOR, 0x13}, {VMCS_GUEST_CS_SELECTOR, 0xb}}},
    {RULE_SS_DPL, LONG, {{VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc0f3}, {VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa0fb}}},
    {RULE_NONE, UNRESTRICTED, {{VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc0f3}, {VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa0fb}}},
    {RULE_SS_DPL_REAL, REAL, {{VMCS_GUEST_SS_ACCESS_RIGHTS, 0xf3}}},
    {RULE_SS_DPL_REAL, REAL, {{VMCS_GUEST_SS_ACCESS_RIGHTS, 0x10060}}},
    {RULE_SS_DPL_REAL, UNRESTRICTED, {{VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc0f3}, {VMCS_GUEST_CS_ACCESS_RIGHTS, 0xc093}}},
    {RULE_DATA_DPL, LONG, {{VMCS_GUEST_DS_SELECTOR, 0x13}}},
    {RULE_DATA_DPL, LONG, {{VMCS_GUEST_GS_SELECTOR, 0x13}, {VMCS_GUEST_GS_ACCESS_RIGHTS, 0xc09b}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_GS_SELECTOR, 0x13}, {VMCS_GUEST_GS_ACCESS_RIGHTS, 0xc09f}}},
    {RULE_NONE, UNRESTRICTED, {{VMCS_GUEST_DS_SELECTOR, 0x13}}},
    {RULE_SEGMENT_PRESENT, LONG, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa01b}}},
    {RULE_SEGMENT_PRESENT, LONG, {{VMCS_GUEST_FS_ACCESS_RIGHTS, 0xc013}}},
    {RULE_SEGMENT_RESERVED, LONG, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa19b}}},
    {RULE_SEGMENT_RESERVED, LONG, {{VMCS_GUEST_ES_ACCESS_RIGHTS, 0x2c093}}},
    {RULE_SEGMENT_RESERVED, LONG, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0x8000a09b}}},
    {RULE_CS_BIG, LONG, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0xe09b}}},
    {RULE_NONE, PROTECTED, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0xe09b}}},
    {RULE_SEGMENT_LIMIT, LONG, {{VMCS_GUEST_CS_LIMIT, 0xfffffffe}}},
    {RULE_SEGMENT_LIMIT, LONG, {{VMCS_GUEST_DS_LIMIT, 0xffffefff & ~1UL}}},
    {RULE_SEGMENT_LIMIT, LONG, {{VMCS_GUEST_GS_ACCESS_RIGHTS, 0x4093}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_GS_ACCESS_RIGHTS, 0x4093}, {VMCS_GUEST_GS_LIMIT, 0xfffff}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_GS_LIMIT, 0xfff}}},
    {RULE_TR_TYPE, LONG, {{VMCS_GUEST_TR_ACCESS_RIGHTS, 0x83}}},
    {RULE_TR_TYPE, LONG, {{VMCS_GUEST_TR_ACCESS_RIGHTS, 0x89}}},
    {RULE_NONE, PROTECTED, {{VMCS_GUEST_TR_ACCESS_RIGHTS, 0x83}}},
    {RULE_TR_RIGHTS, LONG, {{VMCS_GUEST_TR_ACCESS_RIGHTS, 0x9b}}},
    {RULE_TR_RIGHTS, LONG, {{VMCS_GUEST_TR_ACCESS_RIGHTS, 0x0b}}},
    {RULE_TR_RIGHTS, LONG, {{VMCS_GUEST_TR_ACCESS_RIGHTS, 0x1008b}}},
    {RULE_TR_RIGHTS, LONG, {{VMCS_GUEST_TR_ACCESS_RIGHTS, 0x18b}}},
    {RULE_TR_LIMIT, LONG, {{VMCS_GUEST_TR_LIMIT, 0x100000}}},
    {RULE_LDTR_TYPE, LONG, {{VMCS_GUEST_LDTR_ACCESS_RIGHTS, 0x83}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_LDTR_ACCESS_RIGHTS, 0x82}}},
    {RULE_LDTR_RIGHTS, LONG, {{VMCS_GUEST_LDTR_ACCESS_RIGHTS, 0x02}}},
    {RULE_LDTR_RIGHTS, LONG, {{VMCS_GUEST_LDTR_ACCESS_RIGHTS, 0x92}}},
    {RULE_LDTR_RIGHTS, LONG, {{VMCS_GUEST_LDTR_ACCESS_RIGHTS, 0x882}}},
    {RULE_LDTR_LIMIT, LONG, {{VMCS_GUEST_LDTR_ACCESS_RIGHTS, 0x8082}}},
    {RULE_TABLE_BASE, LONG, {{VMCS_GUEST_GDTR_BASE, BAD}}},
    {RULE_TABLE_BASE, LONG, {{VMCS_GUEST_IDTR_BASE, BAD}}},
    {RULE_TABLE_LIMIT, LONG, {{VMCS_GUEST_GDTR_LIMIT, 0x10000}}},
    {RULE_TABLE_LIMIT, LONG, {{VMCS_GUEST_IDTR_LIMIT, 0x10000}}},
    {RULE_RIP_32, PROTECTED, {{VMCS_GUEST_RIP, BIT(32)}}},
    {RULE_RIP_32, LONG, {{VMCS_GUEST_CS_ACCESS_RIGHTS, 0xc09b}}},
    {RULE_RIP_64, LONG, {{VMCS_GUEST_RIP, BIT(48)}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_RIP, BIT(47)}}},
    {RULE_FLAGS_RESERVED, LONG, {{VMCS_GUEST_RFLAGS, 0x200}}},
    {RULE_FLAGS_RESERVED, LONG, {{VMCS_GUEST_RFLAGS, 0x202 | BIT(3)}}},
    {RULE_FLAGS_RESERVED, LONG, {{VMCS_GUEST_RFLAGS, 0x202 | BIT(15)}}},
    {RULE_FLAGS_RESERVED, LONG, {{VMCS_GUEST_RFLAGS, 0x202 | BIT(22)}}},
    {RULE_FLAGS_RESERVED, LONG, {{VMCS_GUEST_RFLAGS, 0x202 | BIT(63)}}},
    {RULE_FLAGS_VM, V86, {{VMCS_SECONDARY_CONTROLS, SECONDARY_BASE | BIT(7)}, {VMCS_GUEST_CR0, 0x30}}},
    {RULE_FLAGS_IF, LONG, {{VMCS_GUEST_RFLAGS, 2}, {INFO, EVENT(0, 0x30)}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_RFLAGS, 2}, {INFO, EVENT(2, 2)}}},
    {RULE_ACTIVITY, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 4}}},
    {RULE_ACTIVITY_HLT, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 1}, {VMCS_GUEST_CS_ACCESS_RIGHTS, 0xa0fb}, {VMCS_GUEST_SS_ACCESS_RIGHTS, 0xc0f3}, {VMCS_GUEST_CS_SELECTOR, 0xb}, {VMCS_GUEST_SS_SELECTOR, 0x13}}},
    {RULE_ACTIVITY_BLOCKING, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 2}, {VMCS_GUEST_INTERRUPTIBILITY, 1}}},
    {RULE_ACTIVITY_BLOCKING, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 1}, {VMCS_GUEST_INTERRUPTIBILITY, 2}}},
    {RULE_ACTIVITY_EVENT, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 1}, {INFO, EVENT(3, 6)}}},
    {RULE_ACTIVITY_EVENT, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 1}, {INFO, EVENT(4, 6)}}},
    {RULE_ACTIVITY_EVENT, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 2}, {INFO, EVENT(0, 32)}}},
    {RULE_ACTIVITY_EVENT, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 3}, {INFO, EVENT(2, 2)}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 1}, {INFO, EVENT(0, 32)}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 1}, {INFO, EVENT(3, 1)}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 1}, {INFO, EVENT(7, 0)}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 2}, {INFO, EVENT(3, 18)}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 2}, {INFO, EVENT(2, 2)}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 3}}},
    {RULE_BLOCKING_RESERVED, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, BIT(4)}}},
    {RULE_BLOCKING_RESERVED, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, BIT(31)}}},
    {RULE_BLOCKING_BOTH, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, 3}}},
    {RULE_BLOCKING_STI_IF, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, 1}, {VMCS_GUEST_RFLAGS, 2}}},
    {RULE_BLOCKING_INTERRUPT, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, 1}, {INFO, EVENT(0, 32)}}},
    {RULE_BLOCKING_INTERRUPT, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, 2}, {INFO, EVENT(0, 32)}}},
    {RULE_BLOCKING_NMI_MOV_SS, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, 2}, {INFO, EVENT(2, 2)}}},
    {RULE_BLOCKING_SMI, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, 4}}},
    {RULE_BLOCKING_NMI_STI, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, 1}, {INFO, EVENT(2, 2)}}},
    {RULE_BLOCKING_NMI, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, 8}, {INFO, EVENT(2, 2)}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, 8}, {INFO, EVENT(2, 2)}, {VMCS_PIN_CONTROLS, PIN_BASE & ~32UL}}},
    {RULE_DEBUG_RESERVED, LONG, {{VMCS_GUEST_PENDING_DEBUG, BIT(4)}}},
    {RULE_DEBUG_RESERVED, LONG, {{VMCS_GUEST_PENDING_DEBUG, BIT(11)}}},
    {RULE_DEBUG_RESERVED, LONG, {{VMCS_GUEST_PENDING_DEBUG, BIT(13)}}},
    {RULE_DEBUG_RESERVED, LONG, {{VMCS_GUEST_PENDING_DEBUG, BIT(15)}}},
    {RULE_DEBUG_RESERVED, LONG, {{VMCS_GUEST_PENDING_DEBUG, BIT(16)}}},
    {RULE_DEBUG_RESERVED, LONG, {{VMCS_GUEST_PENDING_DEBUG, BIT(63)}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_PENDING_DEBUG, 0x500f}}},
    {RULE_DEBUG_BS, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, 1}, {VMCS_GUEST_RFLAGS, 0x302}}},
    {RULE_DEBUG_BS, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, 2}, {VMCS_GUEST_PENDING_DEBUG, BIT(14)}}},
    {RULE_DEBUG_BS, LONG, {{VMCS_GUEST_ACTIVITY_STATE, 1}, {VMCS_GUEST_RFLAGS, 0x302}, {VMCS_GUEST_PENDING_DEBUG, BIT(14)}, {VMCS_GUEST_DEBUGCTL, 2}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_INTERRUPTIBILITY, 1}, {VMCS_GUEST_RFLAGS, 0x302}, {VMCS_GUEST_PENDING_DEBUG, BIT(14)}}},
    {RULE_LINK_ADDRESS, LONG, {{VMCS_LINK_POINTER, 0x8001}}},
    {RULE_LINK_ADDRESS, LONG, {{VMCS_LINK_POINTER, LIMIT}}},
    {RULE_LINK_REVISION, LONG, {{VMCS_LINK_POINTER, PAGE_NO_VMCS}}},
    {RULE_LINK_REVISION, LONG, {{VMCS_LINK_POINTER, LIMIT - PAGE_4K}}},
    {RULE_LINK_SHADOW, LONG, {{VMCS_LINK_POINTER, PAGE_SHADOW}}},
    {RULE_LINK_SHADOW, SHADOWING, {{VMCS_LINK_POINTER, PAGE_OTHER_VMCS}}},
    {RULE_LINK_CURRENT, LONG, {{VMCS_LINK_POINTER, PAGE_VMCS}}},
    {RULE_NONE, LONG, {{VMCS_LINK_POINTER, PAGE_OTHER_VMCS}}},
    {RULE_PDPTE, PROTECTED, {{VMCS_GUEST_PDPTE0, 3}}},
    {RULE_PDPTE, PROTECTED, {{VMCS_GUEST_PDPTE1, 0x21}}},
    {RULE_PDPTE, PROTECTED, {{VMCS_GUEST_PDPTE2, LIMIT | 1}}},
    {RULE_PDPTE, PROTECTED, {{VMCS_GUEST_PDPTE3, BIT(63) | 1}}},
    {RULE_NONE, PROTECTED, {{VMCS_GUEST_PDPTE3, BIT(63) | 6}}},
    {RULE_NONE, LONG, {{VMCS_GUEST_PDPTE0, 3}}},
    /* clang-format on */
};

static struct guest_mem mem;
static struct nested_capability offer;
static struct vmcs12 v;

static int make_memory(void **state)
{
	(void)state;
	make_l1_memory(&mem);
	offer = full_offer();
	offer.basic &= ~BASIC_ANY_ERROR_CODE;
	return 0;
}

static void make_protected(void)
{
	v.entry_controls &= ~(u32)ENTRY_IA32E_MODE_GUEST;
	v.guest_efer = 0;
	v.guest_rights[SEG12_CS] = 0xc09b;
	v.guest_rip = 0x1000;
}

static void make_v86(void)
{
	make_protected();
	v.guest_rflags |= RFLAGS_VM;
	for (u32 i = 0; i <= SEG12_GS; i++) {
		v.guest_rights[i] = 0xf3;
		v.guest_limit[i] = 0xffff;
		v.guest_base[i] = (u64)v.guest_selector[i] << 4;
	}
}

static void make_real(void)
{
	make_protected();
	v.secondary_controls |= (u32)SECONDARY_UNRESTRICTED_GUEST;
	v.guest_cr0 = 0x30;
	for (u32 i = 0; i <= SEG12_GS; i++) {
		v.guest_rights[i] = 0x93;
		v.guest_limit[i] = 0xffff;
	}
}

static void make_host_32(void)
{
	make_protected();
	v.exit_controls &= ~(u32)EXIT_HOST_ADDRESS_SPACE_SIZE;
	v.host_efer = 0;
	v.host_rip = 0x1000;
}

static void make_delivery(void)
{
	v.secondary_controls |= (u32)SECONDARY_INTERRUPT_DELIVERY;
	v.pin_controls |= (u32)PIN_POSTED_INTERRUPTS;
	v.posted_interrupt_vector = 255;
}

static void make_mode(enum mode mode)
{
	make_vmcs12(&v);
	switch (mode) {
	case LONG:
		break;
	case PROTECTED:
		make_protected();
		break;
	case V86:
		make_v86();
		break;
	case REAL:
		make_real();
		break;
	case SHADOWING:
		v.secondary_controls |= (u32)SECONDARY_VMCS_SHADOWING;
		v.link_pointer = PAGE_SHADOW;
		break;
	case HOST_32:
		make_host_32();
		break;
	case DELIVERY:
		make_delivery();
		break;
	case UNRESTRICTED:
		v.secondary_controls |= (u32)SECONDARY_UNRESTRICTED_GUEST;
		break;
	}
}

static void apply(const struct row *row)
{
	for (u32 i = 0; i < WRITES && row->writes[i].field; i++)
		assert_int_equal(vmcs12_write(&v, &offer,
					      row->writes[i].field & 0xffff,
					      row->writes[i].value),
				 VMX_ERROR_NONE);
}

static struct nested_verdict judge(enum mode mode)
{
	struct nested_entry e = entry_of(&v, &offer, &mem);

	if (mode == HOST_32)
		e.l1_efer = 0;
	return nested_check_entry(&e);
}

static void check_number(const struct nested_verdict *verdict)
{
	bool is_guest = verdict->rule > RULE_HOST_END;
	bool is_host = !is_guest && verdict->rule > RULE_CONTROLS_END;
	u64 qualification = verdict->rule == RULE_PDPTE              ? 2
			    : verdict->rule == RULE_BLOCKING_NMI_STI ? 3
			    : verdict->rule >= RULE_LINK_ADDRESS     ? 4
								     : 0;

	if (verdict->rule == RULE_NONE) {
		assert_int_equal(verdict->kind, NESTED_ENTRY_OK);
	} else if (is_guest) {
		assert_int_equal(verdict->kind, NESTED_ENTRY_EXIT);
		assert_int_equal(verdict->number, 33);
		assert_int_equal(verdict->qualification, qualification);
	} else {
		assert_int_equal(verdict->kind, NESTED_ENTRY_VMFAIL);
		assert_int_equal(verdict->number, is_host ? 8 : 7);
	}
}

static void one_broken_rule_is_the_verdict(void **state)
{
	u32 wrong = 0;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(rows); i++) {
		struct nested_verdict verdict;

		make_mode(rows[i].mode);
		apply(&rows[i]);
		verdict = judge(rows[i].mode);
		if (verdict.rule == rows[i].rule) {
			check_number(&verdict);
			continue;
		}
		wrong++;
		print_message("row %u: \"%s\" instead of \"%s\"\n", i,
			      nested_rule_text(verdict.rule),
			      nested_rule_text(rows[i].rule));
	}
	assert_int_equal(wrong, 0);
}

static void every_rule_has_a_row(void **state)
{
	bool seen[RULE_COUNT] = {[RULE_NONE] = true,
				 [RULE_CONTROLS_END] = true,
				 [RULE_HOST_END] = true};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(rows); i++)
		seen[rows[i].rule] = true;
	for (u32 rule = 0; rule < RULE_COUNT; rule++)
		if (!seen[rule])
			fail_msg("no row breaks \"%s\"",
				 nested_rule_text((enum nested_rule)rule));
}

static void every_mode_is_accepted(void **state)
{
	(void)state;
	for (u32 mode = LONG; mode <= UNRESTRICTED; mode++) {
		make_mode((enum mode)mode);
		assert_string_equal(
		    nested_rule_text(judge((enum mode)mode).rule),
		    nested_rule_text(RULE_NONE));
	}
}

static bool write_same_field(const struct row *a, const struct row *b)
{
	for (u32 i = 0; i < WRITES; i++)
		for (u32 j = 0; j < WRITES; j++)
			if (a->writes[i].field &&
			    a->writes[i].field == b->writes[j].field)
				return true;
	return false;
}

/* Controls before host state before guest state: the kinds of failure. */
static u32 area(enum nested_rule rule)
{
	return rule < RULE_CONTROLS_END ? 0 : rule < RULE_HOST_END ? 1 : 2;
}

static void of_two_broken_areas_the_earlier_is_the_verdict(void **state)
{
	u32 pairs = 0;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(rows); i++)
		for (u32 j = 0; j < ARRAY_COUNT(rows); j++) {
			enum nested_rule first = rows[i].rule;

			if (!first || area(first) >= area(rows[j].rule) ||
			    rows[i].mode != rows[j].mode ||
			    write_same_field(&rows[i], &rows[j]))
				continue;
			pairs++;
			make_mode(rows[i].mode);
			apply(&rows[i]);
			apply(&rows[j]);
			if (area(judge(rows[i].mode).rule) != area(first))
				fail_msg(
				    "rows %u and %u: \"%s\"", i, j,
				    nested_rule_text(judge(rows[i].mode).rule));
		}
	assert_true(pairs > 5000);
}

/* A control switches rules on and off, so it is not alone. */
static bool writes_controls(const struct row *row)
{
	switch (row->writes[0].field) {
	case VMCS_PIN_CONTROLS:
	case VMCS_PRIMARY_CONTROLS:
	case VMCS_SECONDARY_CONTROLS:
	case VMCS_EXIT_CONTROLS:
	case VMCS_ENTRY_CONTROLS:
		return true;
	default:
		return false;
	}
}

/* Within an area: one write, which breaks one rule and touches no other. */
static void of_two_broken_rules_the_earlier_is_the_verdict(void **state)
{
	u32 pairs = 0, wrong = 0;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(rows); i++)
		for (u32 j = i + 1; j < ARRAY_COUNT(rows); j++) {
			enum nested_rule a = rows[i].rule, b = rows[j].rule;
			enum nested_rule verdict;

			if (!a || !b || writes_controls(&rows[i]) ||
			    writes_controls(&rows[j]) ||
			    rows[i].writes[1].field ||
			    rows[j].writes[1].field ||
			    rows[i].mode != rows[j].mode ||
			    write_same_field(&rows[i], &rows[j]))
				continue;
			pairs++;
			make_mode(rows[i].mode);
			apply(&rows[i]);
			apply(&rows[j]);
			verdict = judge(rows[i].mode).rule;
			if (verdict > (a < b ? a : b)) {
				wrong++;
				print_message("rows %u and %u: \"%s\"\n", i, j,
					      nested_rule_text(verdict));
			}
		}
	assert_true(pairs > 5000);
	assert_int_equal(wrong, 0);
}

static void offers_change_what_is_allowed(void **state)
{
	(void)state;
	/* BASIC bit 56: the vector does not decide about error codes. */
	make_mode(LONG);
	offer.basic |= BASIC_ANY_ERROR_CODE;
	v.entry_interruption_info = (u32)(EVENT(3, 6) | BIT(11));
	assert_int_equal(judge(LONG).rule, RULE_NONE);
	v.entry_interruption_info = (u32)(EVENT(0, 6) | BIT(11));
	assert_int_equal(judge(LONG).rule, RULE_INJECT_ERROR_CODE);

	make_mode(LONG);
	offer.misc &= ~MISC_INJECT_LENGTH_0;
	v.entry_interruption_info = (u32)EVENT(4, 6);
	assert_int_equal(judge(LONG).rule, RULE_INJECT_LENGTH);

	v.entry_interruption_info = (u32)EVENT(7, 0);
	offer.words[CONTROLS_PRIMARY].may_be_1 &= ~(u32)PRIMARY_MONITOR_TRAP;
	assert_int_equal(judge(LONG).rule, RULE_INJECT_TYPE);

	make_mode(LONG);
	offer.misc &= ~(MISC_HLT | MISC_SHUTDOWN | MISC_WAIT_FOR_SIPI);
	for (v.guest_activity = 1; v.guest_activity < 4; v.guest_activity++)
		assert_int_equal(judge(LONG).rule, RULE_ACTIVITY);

	make_mode(LONG);
	offer.ept_vpid &= ~EPT_CAP_ACCESSED_DIRTY;
	assert_int_equal(judge(LONG).rule, RULE_EPT_POINTER);
	offer.ept_vpid &= ~EPT_CAP_WB;
	v.ept_pointer &= ~BIT(6);
	assert_int_equal(judge(LONG).rule, RULE_EPT_POINTER);
}

static void secondary_controls_can_be_off(void **state)
{
	(void)state;
	make_mode(LONG);
	v.primary_controls &= ~(u32)PRIMARY_SECONDARY;
	v.secondary_controls = ~0u;
	assert_int_equal(nested_secondary_controls(&v), 0);
	assert_int_equal(judge(LONG).rule, RULE_NONE);
}

static void pdptes_without_ept_come_from_memory(void **state)
{
	const u64 good[4] = {0x1001, 0x2001, 6, 0x4001};
	const u64 bad = 0x1003;
	struct nested_verdict verdict;

	(void)state;
	make_mode(PROTECTED);
	v.secondary_controls = 0;
	v.guest_cr3 = PAGE_PDPTES + 0x7f; /* bits 4:0 are ignored */
	assert_int_equal(
	    guest_mem_write(&mem, gpa(PAGE_PDPTES + 0x60), good, sizeof(good)),
	    OK);
	verdict = judge(PROTECTED);
	assert_int_equal(verdict.rule, RULE_NONE);
	assert_memory_equal(verdict.pdptes, good, sizeof(good));
	assert_int_equal(
	    guest_mem_write(&mem, gpa(PAGE_PDPTES + 0x68), &bad, 8), OK);
	assert_int_equal(judge(PROTECTED).rule, RULE_PDPTE);
	v.guest_cr3 = L1_RAM_BYTES;
	assert_int_equal(judge(PROTECTED).rule, RULE_PDPTE);
}

static enum err get(enum nested_msr_area which, u64 first, u64 second)
{
	const u64 words[2] = {first, second};
	struct nested_entry e = entry_of(&v, &offer, &mem);
	struct nested_msr msr = {0};
	enum err err;

	assert_int_equal(guest_mem_write(&mem, gpa(PAGE_MSRS + 16), words, 16),
			 OK);
	err = nested_msr_get(&e, which, 1, &msr);
	if (err == OK) {
		assert_int_equal(msr.index, first);
		assert_int_equal(msr.value, second);
	}
	return err;
}

static void msr_areas_refuse_what_the_manual_names(void **state)
{
	(void)state;
	make_mode(LONG);
	v.entry_msr_load_address = v.exit_msr_load_address =
	    v.exit_msr_store_address = PAGE_MSRS;
	v.entry_msr_load_count = v.exit_msr_load_count =
	    v.exit_msr_store_count = 2;
	for (u32 area = 0; area < 3; area++) {
		enum nested_msr_area which = (enum nested_msr_area)area;
		enum err fs = which == NESTED_MSR_EXIT_STORE ? OK : ERR_STATE;

		assert_int_equal(get(which, MSR_KERNEL_GS_BASE, 7), OK);
		assert_int_equal(get(which, MSR_X2APIC_FIRST, 0), ERR_STATE);
		assert_int_equal(get(which, MSR_X2APIC_LAST, 0), ERR_STATE);
		assert_int_equal(get(which, MSR_X2APIC_LAST + 1, 0), OK);
		assert_int_equal(get(which, BIT(32) | MSR_STAR, 0), ERR_STATE);
		assert_int_equal(get(which, MSR_FS_BASE, 0), fs);
		assert_int_equal(get(which, MSR_GS_BASE, 0), fs);
		assert_int_equal(get(which, 0x9b, 0), fs);
		assert_int_equal(get(which, 0x79, 0), fs);
		assert_int_equal(get(which, MSR_BIOS_SIGN_ID, 0), fs);
		assert_int_equal(get(which, 0x9e, 0),
				 fs == OK ? ERR_STATE : OK);
	}
}

static void msr_areas_end(void **state)
{
	struct nested_entry e = entry_of(&v, &offer, &mem);
	struct nested_msr msr;

	(void)state;
	make_mode(LONG);
	v.entry_msr_load_address = PAGE_MSRS;
	v.entry_msr_load_count = 1;
	assert_int_equal(nested_msr_get(&e, NESTED_MSR_ENTRY_LOAD, 0, &msr),
			 OK);
	assert_int_equal(nested_msr_get(&e, NESTED_MSR_ENTRY_LOAD, 1, &msr),
			 ERR_NOT_FOUND);
	v.entry_msr_load_count = ~0u;
	assert_int_equal(nested_msr_get(&e, NESTED_MSR_ENTRY_LOAD, 511, &msr),
			 OK);
	assert_int_equal(nested_msr_get(&e, NESTED_MSR_ENTRY_LOAD, 512, &msr),
			 ERR_STATE);
	v.entry_msr_load_address = L1_RAM_BYTES - 8;
	assert_int_equal(nested_msr_get(&e, NESTED_MSR_ENTRY_LOAD, 0, &msr),
			 ERR_STATE);
}

static void stored_msr_is_in_its_entry(void **state)
{
	u64 value = 0;

	(void)state;
	make_mode(LONG);
	v.exit_msr_store_address = PAGE_MSRS;
	nested_msr_put(&v, &mem, 2, 0x1122334455667788);
	assert_int_equal(guest_mem_read_u64(&mem, gpa(PAGE_MSRS + 40), &value),
			 OK);
	assert_int_equal(value, 0x1122334455667788);
	v.exit_msr_store_address = L1_RAM_BYTES;
	nested_msr_put(&v, &mem, 0, 1);
}

/* --- Checking again ------------------------------------------------------- */

/* Hot fields, and the virtual TPR, become anything; half the time unlikely. */
static void disturb(struct random *random)
{
	static const u32 infos[] = {
	    0,          0,          0x80000040, 0x80000202, 0x80000306,
	    0x80000b0d, 0x80000440, 0x80000603, 0x80000701, 0xffffffff,
	};
	u64 bits = random_next(random);

	v.guest_rip = bits & 1 ? random_next(random) : 0x1000;
	v.guest_rsp = random_next(random);
	if (bits & 2)
		v.guest_rflags ^= BIT(random_next(random) % 64);
	if (bits & 4)
		v.guest_interruptibility = (u32)(random_next(random) % 32);
	if (bits & 8)
		v.guest_activity = (u32)(random_next(random) % 5);
	v.entry_interruption_info =
	    infos[random_next(random) % ARRAY_COUNT(infos)];
	v.entry_exception_error_code = (u32)(random_next(random) >> 44);
	v.entry_instruction_length = (u32)(random_next(random) % 18);
	v.tpr_threshold = 5;
	put_u32(&mem, PAGE_APIC + 0x80, bits & 16 ? 0x40 : 0x50);
}

static void checking_again_finds_what_checking_finds(void **state)
{
	struct random random = random_from(5);
	u32 compared = 0, refused = 0;

	(void)state;
	for (u32 i = 0; i < 20000; i++) {
		struct nested_entry entry = entry_of(&v, &offer, &mem);
		struct nested_verdict all, again;

		make_vmcs12(&v);
		disturb(&random);
		if (!nested_can_check_again(&v))
			continue;
		all = nested_check_entry(&entry);
		again = nested_check_entry_again(&entry);
		assert_int_equal(again.kind, all.kind);
		assert_int_equal(again.rule, all.rule);
		assert_int_equal(again.number, all.number);
		assert_int_equal(again.qualification, all.qualification);
		compared++;
		refused += all.kind != NESTED_ENTRY_OK;
	}
	assert_true(compared > 3000 && refused > 1000 &&
		    refused < compared - 300);
}

/* Nor is anything refused that is not checked at all. */
static void what_needs_no_check_is_ok(void **state)
{
	struct random random = random_from(12);
	u32 unchecked = 0;

	(void)state;
	for (u32 i = 0; i < 20000; i++) {
		struct nested_entry entry = entry_of(&v, &offer, &mem);
		struct nested_verdict all;

		make_vmcs12(&v);
		v.primary_controls &= ~(u32)PRIMARY_TPR_SHADOW;
		v.secondary_controls &=
		    ~(u32)(SECONDARY_INTERRUPT_DELIVERY |
			   SECONDARY_APIC_REGISTERS | SECONDARY_X2APIC_MODE);
		v.tpr_threshold = 0;
		disturb(&random);
		if (!nested_needs_no_check(&v, entry.linear_bits))
			continue;
		unchecked++;
		all = nested_check_entry(&entry);
		assert_int_equal(all.rule, RULE_NONE);
		assert_int_equal(all.kind, NESTED_ENTRY_OK);
	}
	assert_true(unchecked > 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(one_broken_rule_is_the_verdict, make_memory),
	    cmocka_unit_test(every_rule_has_a_row),
	    cmocka_unit_test_setup(every_mode_is_accepted, make_memory),
	    cmocka_unit_test_setup(
		of_two_broken_areas_the_earlier_is_the_verdict, make_memory),
	    cmocka_unit_test_setup(
		of_two_broken_rules_the_earlier_is_the_verdict, make_memory),
	    cmocka_unit_test_setup(offers_change_what_is_allowed, make_memory),
	    cmocka_unit_test_setup(secondary_controls_can_be_off, make_memory),
	    cmocka_unit_test_setup(pdptes_without_ept_come_from_memory,
				   make_memory),
	    cmocka_unit_test_setup(msr_areas_refuse_what_the_manual_names,
				   make_memory),
	    cmocka_unit_test_setup(msr_areas_end, make_memory),
	    cmocka_unit_test_setup(stored_msr_is_in_its_entry, make_memory),
	    cmocka_unit_test_setup(checking_again_finds_what_checking_finds,
				   make_memory),
	    cmocka_unit_test_setup(what_needs_no_check_is_ok, make_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
