/* SPDX-License-Identifier: MIT */
/*
 * The architecture's registers, bit by bit, as far as Umbra uses them.
 * Names are the manual's (SDM vol. 3, "Control Registers", "Model-Specific
 * Registers (MSRs)"). The assembly files' share is arch/x86/cpu/x86.inc.
 */
#ifndef LIB_X86_H
#define LIB_X86_H

#include "lib/bits.h"

#define CR0_PE                          BIT(0)
#define CR0_MP                          BIT(1)
#define CR0_EM                          BIT(2)
#define CR0_TS                          BIT(3)
#define CR0_ET                          BIT(4)
#define CR0_NE                          BIT(5)
#define CR0_WP                          BIT(16)
#define CR0_AM                          BIT(18)
#define CR0_NW                          BIT(29)
#define CR0_CD                          BIT(30)
#define CR0_PG                          BIT(31)

#define CR4_VME                         BIT(0)
#define CR4_PVI                         BIT(1)
#define CR4_TSD                         BIT(2)
#define CR4_DE                          BIT(3)
#define CR4_PSE                         BIT(4)
#define CR4_PAE                         BIT(5)
#define CR4_MCE                         BIT(6)
#define CR4_PGE                         BIT(7)
#define CR4_PCE                         BIT(8)
#define CR4_OSFXSR                      BIT(9)
#define CR4_OSXMMEXCPT                  BIT(10)
#define CR4_UMIP                        BIT(11)
#define CR4_LA57                        BIT(12)
#define CR4_VMXE                        BIT(13)
#define CR4_SMXE                        BIT(14)
#define CR4_FSGSBASE                    BIT(16)
#define CR4_PCIDE                       BIT(17)
#define CR4_OSXSAVE                     BIT(18)
#define CR4_SMEP                        BIT(20)
#define CR4_SMAP                        BIT(21)
#define CR4_PKE                         BIT(22)
#define CR4_CET                         BIT(23)

#define EFER_SCE                        BIT(0)
#define EFER_LME                        BIT(8)
#define EFER_LMA                        BIT(10)
#define EFER_NXE                        BIT(11)

#define RFLAGS_FIXED                    BIT(1)
#define RFLAGS_TF                       BIT(8)
#define RFLAGS_IF                       BIT(9)
#define RFLAGS_RF                       BIT(16)
#define RFLAGS_VM                       BIT(17)

#define DR6_BREAKPOINTS                 BITS(3, 0)
#define DR6_SINGLE_STEP                 BIT(14)
/* Of the field of pending debug exceptions: a breakpoint that is enabled. */
#define PENDING_DEBUG_ENABLED           BIT(12)
#define DR6_RESET                       0xffff0ff0ULL

#define MSR_TSC                         0x10u
#define MSR_IA32_APIC_BASE              0x1bu
#define MSR_FEATURE_CONTROL             0x3au
#define MSR_TSC_ADJUST                  0x3bu
#define MSR_SPEC_CTRL                   0x48u
#define MSR_PRED_CMD                    0x49u
#define MSR_BIOS_SIGN_ID                0x8bu
#define MSR_MTRRCAP                     0xfeu
#define MSR_ARCH_CAPABILITIES           0x10au
#define MSR_FLUSH_CMD                   0x10bu
#define MSR_SYSENTER_CS                 0x174u
#define MSR_SYSENTER_ESP                0x175u
#define MSR_SYSENTER_EIP                0x176u
#define MSR_MISC_ENABLE                 0x1a0u
#define MSR_DEBUGCTL                    0x1d9u
#define DEBUGCTL_LBR                    BIT(0)
#define DEBUGCTL_BTF                    BIT(1) /* TF steps over branches */
/* What a guest may set. */
#define DEBUGCTL_OF_GUESTS              (DEBUGCTL_LBR | DEBUGCTL_BTF)
#define MSR_PAT                         0x277u
#define MSR_MTRR_PHYSBASE0              0x200u
#define MSR_MTRR_DEF_TYPE               0x2ffu
#define MSR_VMX_BASIC                   0x480u
#define MSR_VMX_PIN                     0x481u
#define MSR_VMX_PRIMARY                 0x482u
#define MSR_VMX_EXIT                    0x483u
#define MSR_VMX_ENTRY                   0x484u
#define MSR_VMX_MISC                    0x485u
#define MSR_VMX_CR0_FIXED0              0x486u
#define MSR_VMX_CR0_FIXED1              0x487u
#define MSR_VMX_CR4_FIXED0              0x488u
#define MSR_VMX_CR4_FIXED1              0x489u
#define MSR_VMX_VMCS_ENUM               0x48au
#define MSR_VMX_SECONDARY               0x48bu
#define MSR_VMX_EPT_VPID_CAP            0x48cu
#define MSR_VMX_TRUE_PIN                0x48du
#define MSR_VMX_TRUE_PRIMARY            0x48eu
#define MSR_VMX_TRUE_EXIT               0x48fu
#define MSR_VMX_TRUE_ENTRY              0x490u
#define MSR_VMX_VMFUNC                  0x491u
#define MSR_IA32_TSC_DEADLINE           0x6e0u
#define MSR_X2APIC_FIRST                0x800u
#define MSR_X2APIC_LAST                 0x8ffu
#define MSR_XSS                         0xda0u
#define MSR_EFER                        0xc0000080u
#define MSR_STAR                        0xc0000081u
#define MSR_LSTAR                       0xc0000082u
#define MSR_CSTAR                       0xc0000083u
#define MSR_FMASK                       0xc0000084u
#define MSR_FS_BASE                     0xc0000100u
#define MSR_GS_BASE                     0xc0000101u
#define MSR_KERNEL_GS_BASE              0xc0000102u
#define MSR_TSC_AUX                     0xc0000103u

/* SDM vol. 3, "Enabling and Entering VMX Operation". */
#define FEATURE_CONTROL_LOCK            BIT(0)
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX BIT(2)

#define APIC_BASE_BSP                   BIT(8)
#define APIC_BASE_X2APIC                BIT(10)
#define APIC_BASE_ENABLE                BIT(11)
#define APIC_BASE_ADDRESS               BITS(51, 12)

/*
 * The PAT that Umbra runs with is the one after reset (SDM vol. 3, "Page
 * Attribute Table (PAT)"): index 0 is WB, index 3 (PCD and PWT) is UC.
 */
#define PAT_RESET                       0x0007040600070406ULL

/* Selectors in every CPU's GDT (arch/x86/cpu/descriptors.c). */
#define SELECTOR_CODE                   0x08
#define SELECTOR_DATA                   0x10
#define SELECTOR_TSS                    0x18

enum exception {
	EXCEPTION_DE = 0,
	EXCEPTION_DB = 1,
	EXCEPTION_NMI = 2,
	EXCEPTION_BP = 3,
	EXCEPTION_OF = 4,
	EXCEPTION_BR = 5,
	EXCEPTION_UD = 6,
	EXCEPTION_NM = 7,
	EXCEPTION_DF = 8,
	EXCEPTION_TS = 10,
	EXCEPTION_NP = 11,
	EXCEPTION_SS = 12,
	EXCEPTION_GP = 13,
	EXCEPTION_PF = 14,
	EXCEPTION_MF = 16,
	EXCEPTION_AC = 17,
	EXCEPTION_MC = 18,
	EXCEPTION_XM = 19,
	EXCEPTION_VE = 20,
	EXCEPTION_CP = 21,
};
#define EXCEPTION_COUNT 32

#endif
