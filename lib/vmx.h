/* SPDX-License-Identifier: MIT */
/*
 * VMX as the manual defines it, whoever uses it: Umbra for its guests
 * (arch/x86/vmx), a guest for guests of its own (nested). Controls,
 * capabilities, exit reasons, events, access rights and instruction errors;
 * the fields of a VMCS are in lib/vmcs.h.
 */
#ifndef LIB_VMX_H
#define LIB_VMX_H

#include "lib/bits.h"
#include "lib/types.h"

#define PIN_EXTERNAL_INTERRUPT       BIT(0)
#define PIN_NMI                      BIT(3)
#define PIN_VIRTUAL_NMIS             BIT(5)
#define PIN_PREEMPTION_TIMER         BIT(6)
#define PIN_POSTED_INTERRUPTS        BIT(7)

#define PRIMARY_INTERRUPT_WINDOW     BIT(2)
#define PRIMARY_TSC_OFFSETTING       BIT(3)
#define PRIMARY_HLT                  BIT(7)
#define PRIMARY_INVLPG               BIT(9)
#define PRIMARY_MWAIT                BIT(10)
#define PRIMARY_RDPMC                BIT(11)
#define PRIMARY_RDTSC                BIT(12)
#define PRIMARY_CR3_LOAD             BIT(15)
#define PRIMARY_CR3_STORE            BIT(16)
#define PRIMARY_SECONDARY            BIT(31)
#define PRIMARY_CR8_LOAD             BIT(19)
#define PRIMARY_CR8_STORE            BIT(20)
#define PRIMARY_TPR_SHADOW           BIT(21)
#define PRIMARY_NMI_WINDOW           BIT(22)
#define PRIMARY_MOV_DR               BIT(23)
#define PRIMARY_ALL_IO               BIT(24)
#define PRIMARY_IO_BITMAPS           BIT(25)
#define PRIMARY_MONITOR_TRAP         BIT(27)
#define PRIMARY_MSR_BITMAPS          BIT(28)
#define PRIMARY_MONITOR              BIT(29)
#define PRIMARY_PAUSE                BIT(30)

#define SECONDARY_APIC_ACCESSES      BIT(0)
#define SECONDARY_EPT                BIT(1)
#define SECONDARY_DESCRIPTOR_TABLES  BIT(2)
#define SECONDARY_RDTSCP             BIT(3)
#define SECONDARY_X2APIC_MODE        BIT(4)
#define SECONDARY_VPID               BIT(5)
#define SECONDARY_WBINVD             BIT(6)
#define SECONDARY_UNRESTRICTED_GUEST BIT(7)
#define SECONDARY_APIC_REGISTERS     BIT(8)
#define SECONDARY_INTERRUPT_DELIVERY BIT(9)
#define SECONDARY_PAUSE_LOOP         BIT(10)
#define SECONDARY_RDRAND             BIT(11)
#define SECONDARY_INVPCID            BIT(12)
#define SECONDARY_VMFUNC             BIT(13)
#define SECONDARY_VMCS_SHADOWING     BIT(14)
#define SECONDARY_RDSEED             BIT(16)
#define SECONDARY_PML                BIT(17)
#define SECONDARY_EPT_VIOLATION_VE   BIT(18)
#define SECONDARY_XSAVES             BIT(20)
#define SECONDARY_TSC_SCALING        BIT(25)

#define EXIT_SAVE_DEBUG_CONTROLS     BIT(2)
#define EXIT_HOST_ADDRESS_SPACE_SIZE BIT(9)
#define EXIT_LOAD_PERF_GLOBAL_CTRL   BIT(12)
#define EXIT_ACKNOWLEDGE_INTERRUPT   BIT(15)
#define EXIT_SAVE_PAT                BIT(18)
#define EXIT_LOAD_PAT                BIT(19)
#define EXIT_SAVE_EFER               BIT(20)
#define EXIT_LOAD_EFER               BIT(21)
#define EXIT_SAVE_PREEMPTION_TIMER   BIT(22)

#define ENTRY_LOAD_DEBUG_CONTROLS    BIT(2)
#define ENTRY_IA32E_MODE_GUEST       BIT(9)
#define ENTRY_TO_SMM                 BIT(10)
#define ENTRY_LOAD_PERF_GLOBAL_CTRL  BIT(13)
#define ENTRY_LOAD_PAT               BIT(14)
#define ENTRY_LOAD_EFER              BIT(15)

/* IA32_VMX_EPT_VPID_CAP (SDM vol. 3, "VPID and EPT Capabilities"). */
#define EPT_CAP_EXECUTE_ONLY         BIT(0)
#define EPT_CAP_4_LEVELS             BIT(6)
#define EPT_CAP_UC                   BIT(8)
#define EPT_CAP_WB                   BIT(14)
#define EPT_CAP_2M                   BIT(16)
#define EPT_CAP_1G                   BIT(17)
#define EPT_CAP_INVEPT               BIT(20)
#define EPT_CAP_ACCESSED_DIRTY       BIT(21)
#define EPT_CAP_INVEPT_SINGLE        BIT(25)
#define EPT_CAP_INVEPT_ALL           BIT(26)
#define EPT_CAP_INVVPID              BIT(32)
#define EPT_CAP_INVVPID_ADDRESS      BIT(40)
#define EPT_CAP_INVVPID_SINGLE       BIT(41)
#define EPT_CAP_INVVPID_ALL          BIT(42)
#define EPT_CAP_INVVPID_GLOBALS      BIT(43) /* single, global pages stay */

/* IA32_VMX_BASIC (SDM vol. 3, "Basic VMX Information"). */
#define BASIC_REVISION               BITS(30, 0)
#define BASIC_REGION_BYTES           BITS(44, 32)
#define BASIC_MEMORY_TYPE            BITS(53, 50)
#define BASIC_INS_OUTS               BIT(54)
#define BASIC_TRUE_CONTROLS          BIT(55)
#define BASIC_ANY_ERROR_CODE         BIT(56)

/* IA32_VMX_MISC (SDM vol. 3, "Miscellaneous Data"). */
#define MISC_PREEMPTION_SHIFT        BITS(4, 0)
#define MISC_SAVES_LMA               BIT(5)
#define MISC_HLT                     BIT(6)
#define MISC_SHUTDOWN                BIT(7)
#define MISC_WAIT_FOR_SIPI           BIT(8)
#define MISC_CR3_TARGETS             BITS(24, 16)
#define MISC_MSR_LIST                BITS(27, 25) /* 512 entries * (this + 1) */
#define MISC_VMWRITE_ANY             BIT(29)
#define MISC_INJECT_LENGTH_0         BIT(30)

/* IA32_VMX_VMFUNC, and a VMCS's VM-function controls. */
#define VMFUNC_EPTP_SWITCHING        BIT(0)

enum control_word {
	CONTROLS_PIN,
	CONTROLS_PRIMARY,
	CONTROLS_SECONDARY,
	CONTROLS_EXIT,
	CONTROLS_ENTRY,
	CONTROLS_COUNT,
};

/* A capability MSR of a control word: bits that must and that may be 1. */
struct control_capability {
	u32 must_be_1;
	u32 may_be_1;
};

static inline struct control_capability control_capability(u64 msr)
{
	return (struct control_capability){low32(msr), high32(msr)};
}

/* SDM vol. 3, "VMX Basic Exit Reasons". */
enum exit_reason {
	EXIT_EXCEPTION_OR_NMI = 0,
	EXIT_EXTERNAL_INTERRUPT = 1,
	EXIT_TRIPLE_FAULT = 2,
	EXIT_INIT = 3,
	EXIT_SIPI = 4,
	EXIT_INTERRUPT_WINDOW = 7,
	EXIT_NMI_WINDOW = 8,
	EXIT_TASK_SWITCH = 9,
	EXIT_CPUID = 10,
	EXIT_GETSEC = 11,
	EXIT_HLT = 12,
	EXIT_INVD = 13,
	EXIT_INVLPG = 14,
	EXIT_RDPMC = 15,
	EXIT_RDTSC = 16,
	EXIT_RSM = 17,
	EXIT_VMCALL = 18,
	EXIT_VMCLEAR = 19,
	EXIT_VMLAUNCH = 20,
	EXIT_VMPTRLD = 21,
	EXIT_VMPTRST = 22,
	EXIT_VMREAD = 23,
	EXIT_VMRESUME = 24,
	EXIT_VMWRITE = 25,
	EXIT_VMXOFF = 26,
	EXIT_VMXON = 27,
	EXIT_CONTROL_REGISTER = 28,
	EXIT_DEBUG_REGISTER = 29,
	EXIT_IO = 30,
	EXIT_RDMSR = 31,
	EXIT_WRMSR = 32,
	EXIT_ENTRY_GUEST_STATE = 33,
	EXIT_ENTRY_MSR_LOADING = 34,
	EXIT_MWAIT = 36,
	EXIT_MONITOR_TRAP = 37,
	EXIT_MONITOR = 39,
	EXIT_PAUSE = 40,
	EXIT_ENTRY_MACHINE_CHECK = 41,
	EXIT_TPR_BELOW_THRESHOLD = 43,
	EXIT_APIC_ACCESS = 44,
	EXIT_VIRTUALIZED_EOI = 45,
	EXIT_GDTR_IDTR = 46,
	EXIT_LDTR_TR = 47,
	EXIT_EPT_VIOLATION = 48,
	EXIT_EPT_MISCONFIGURATION = 49,
	EXIT_INVEPT = 50,
	EXIT_RDTSCP = 51,
	EXIT_PREEMPTION_TIMER = 52,
	EXIT_INVVPID = 53,
	EXIT_WBINVD = 54,
	EXIT_XSETBV = 55,
	EXIT_APIC_WRITE = 56,
	EXIT_RDRAND = 57,
	EXIT_INVPCID = 58,
	EXIT_VMFUNC = 59,
	EXIT_ENCLS = 60,
	EXIT_RDSEED = 61,
	EXIT_PML_FULL = 62,
	EXIT_XSAVES = 63,
	EXIT_XRSTORS = 64,
	EXIT_REASON_COUNT,
};

#define EXIT_REASON_BASIC        BITS(15, 0)
#define EXIT_REASON_ENTRY_FAILED BIT(31)

/* SDM vol. 3, "Information for VM Exits Due to Vectored Events". */
#define EVENT_VECTOR             BITS(7, 0)
#define EVENT_TYPE               BITS(10, 8)
#define EVENT_HAS_ERROR_CODE     BIT(11)
#define EVENT_NMI_UNBLOCKING     BIT(12)
#define EVENT_VALID              BIT(31)

enum event_type {
	EVENT_EXTERNAL_INTERRUPT = 0,
	EVENT_NMI = 2,
	EVENT_HARDWARE_EXCEPTION = 3,
	EVENT_SOFTWARE_INTERRUPT = 4,
	EVENT_PRIVILEGED_SOFTWARE_EXCEPTION = 5,
	EVENT_SOFTWARE_EXCEPTION = 6,
	EVENT_OTHER = 7, /* an MTF exit after the entry */
};

static inline enum event_type event_type(u32 info)
{
	return (enum event_type)bits_get(info, EVENT_TYPE);
}

/* Guest interruptibility state. */
#define BLOCKING_BY_STI       BIT(0)
#define BLOCKING_BY_MOV_SS    BIT(1)
#define BLOCKING_BY_SMI       BIT(2)
#define BLOCKING_BY_NMI       BIT(3)

/* Pending debug exceptions; for the rest as DR6. */
#define PENDING_DEBUG_ENABLED BIT(12) /* a breakpoint that is on was met */

enum guest_activity {
	ACTIVITY_ACTIVE,
	ACTIVITY_HLT,
	ACTIVITY_SHUTDOWN,
	ACTIVITY_WAIT_FOR_SIPI,
};

/* SDM vol. 3, "VM Instruction Error Numbers". */
enum vmx_error {
	VMX_ERROR_NONE = 0,
	VMX_ERROR_VMCALL_IN_ROOT = 1,
	VMX_ERROR_VMCLEAR_ADDRESS = 2,
	VMX_ERROR_VMCLEAR_VMXON_POINTER = 3,
	VMX_ERROR_VMLAUNCH_NOT_CLEAR = 4,
	VMX_ERROR_VMRESUME_NOT_LAUNCHED = 5,
	VMX_ERROR_ENTRY_CONTROLS = 7,
	VMX_ERROR_ENTRY_HOST_STATE = 8,
	VMX_ERROR_VMPTRLD_ADDRESS = 9,
	VMX_ERROR_VMPTRLD_VMXON_POINTER = 10,
	VMX_ERROR_VMPTRLD_REVISION = 11,
	VMX_ERROR_UNSUPPORTED_FIELD = 12,
	VMX_ERROR_READ_ONLY_FIELD = 13,
	VMX_ERROR_VMXON_IN_ROOT = 15,
	VMX_ERROR_BLOCKED_BY_MOV_SS = 26,
	VMX_ERROR_INVALIDATE_OPERAND = 28,
};

/* SDM vol. 3, "Format of Access Rights". */
#define RIGHTS_CODE     0x9b /* present, code, readable, accessed */
#define RIGHTS_DATA     0x93 /* present, data, writable, accessed */
#define RIGHTS_LDT      0x82
#define RIGHTS_TSS_BUSY 0x8b
#define RIGHTS_TYPE     BITS(3, 0)
#define RIGHTS_S        BIT(4) /* code or data */
#define RIGHTS_DPL      BITS(6, 5)
#define RIGHTS_PRESENT  BIT(7)
#define RIGHTS_LONG     BIT(13)
#define RIGHTS_32       BIT(14)
#define RIGHTS_4K_LIMIT BIT(15)
#define RIGHTS_UNUSABLE BIT(16)

#endif
