/* SPDX-License-Identifier: MIT */
/*
 * Every rule that a VM entry checks, by name and in words, in the order in
 * which Umbra checks them. The manual fixes that controls and host state come
 * before guest state and that before the MSR-load area; among the rules of one
 * area any order is allowed (SDM vol. 3, "Checks on VMX Controls and Host-State
 * Area", "Checks on the Guest State Area").
 *
 * A name stands for one entry of nested/checks_*.c, and each has a test that
 * breaks exactly it.
 */
#ifndef NESTED_RULES_H
#define NESTED_RULES_H

#define NESTED_CONTROL_RULES(X)                                                \
	X(PIN_RESERVED, "pin-based controls: reserved bits")                   \
	X(PRIMARY_RESERVED, "primary controls: reserved bits")                 \
	X(SECONDARY_RESERVED, "secondary controls: reserved bits")             \
	X(CR3_TARGETS, "too many CR3 targets")                                 \
	X(IO_BITMAP_A, "I/O bitmap A: bad address")                            \
	X(IO_BITMAP_B, "I/O bitmap B: bad address")                            \
	X(MSR_BITMAP, "MSR bitmap: bad address")                               \
	X(NMI_EXITING, "virtual NMIs without NMI exiting")                     \
	X(NMI_WINDOW, "NMI-window exiting without virtual NMIs")               \
	X(VIRTUAL_APIC, "virtual-APIC page: bad address")                      \
	X(TPR_THRESHOLD_RESERVED, "TPR threshold: bits 31:4")                  \
	X(TPR_THRESHOLD, "TPR threshold is above the virtual TPR")             \
	X(NO_TPR_SHADOW, "virtual x2APIC, registers or delivery without TPR "  \
			 "shadow")                                             \
	X(APIC_ACCESS, "APIC-access page: bad address")                        \
	X(X2APIC_AND_ACCESSES, "virtual x2APIC with APIC-access page")         \
	X(DELIVERY_EXITING, "virtual-interrupt delivery without "              \
			    "external-interrupt exiting")                      \
	X(POSTED_DELIVERY, "posted interrupts without virtual-interrupt "      \
			   "delivery")                                         \
	X(POSTED_ACKNOWLEDGE, "posted interrupts without acknowledge on exit") \
	X(POSTED_VECTOR, "posted-interrupt vector above 255")                  \
	X(POSTED_DESCRIPTOR, "posted-interrupt descriptor: bad address")       \
	X(VPID, "VPID is 0")                                                   \
	X(EPT_POINTER, "EPT pointer is invalid")                               \
	X(PML_EPT, "PML without EPT")                                          \
	X(PML_ADDRESS, "PML page: bad address")                                \
	X(UNRESTRICTED_EPT, "unrestricted guest without EPT")                  \
	X(VMFUNC_RESERVED, "VM-function controls: reserved bits")              \
	X(EPTP_SWITCHING_EPT, "EPTP switching without EPT")                    \
	X(EPTP_LIST, "EPTP list: bad address")                                 \
	X(VMREAD_BITMAP, "VMREAD bitmap: bad address")                         \
	X(VMWRITE_BITMAP, "VMWRITE bitmap: bad address")                       \
	X(TSC_MULTIPLIER, "TSC multiplier is 0")                               \
	X(EXIT_RESERVED, "exit controls: reserved bits")                       \
	X(SAVE_TIMER, "saves the preemption timer that is not active")         \
	X(EXIT_STORE_AREA, "exit MSR-store area: bad address")                 \
	X(EXIT_LOAD_AREA, "exit MSR-load area: bad address")                   \
	X(ENTRY_RESERVED, "entry controls: reserved bits")                     \
	X(INJECT_TYPE, "injected event: reserved type")                        \
	X(INJECT_VECTOR, "injected event: vector does not fit its type")       \
	X(INJECT_ERROR_CODE, "injected event: error code does not fit")        \
	X(INJECT_RESERVED, "injected event: reserved bits")                    \
	X(INJECT_ERROR_VALUE, "injected event: error code above 0xffff")       \
	X(INJECT_LENGTH, "injected event: instruction length")                 \
	X(ENTRY_LOAD_AREA, "entry MSR-load area: bad address")

#define NESTED_HOST_RULES(X)                                            \
	X(HOST_CR0, "host CR0: not for VMX operation")                  \
	X(HOST_CR4, "host CR4: not for VMX operation")                  \
	X(HOST_CR3, "host CR3: beyond the physical-address width")      \
	X(HOST_SYSENTER_ESP, "host SYSENTER_ESP: not canonical")        \
	X(HOST_SYSENTER_EIP, "host SYSENTER_EIP: not canonical")        \
	X(HOST_PAT, "host PAT: bad type")                               \
	X(HOST_EFER_RESERVED, "host EFER: reserved bits")               \
	X(HOST_EFER_MODE, "host EFER: LMA, LME and address-space size") \
	X(HOST_SELECTORS, "host selectors: TI or RPL")                  \
	X(HOST_CS, "host CS is null")                                   \
	X(HOST_TR, "host TR is null")                                   \
	X(HOST_SS, "host SS is null in a 32-bit host")                  \
	X(HOST_BASES, "host bases: not canonical")                      \
	X(HOST_SIZE_NOW, "address-space size differs from L1's mode")   \
	X(HOST_SIZE_GUEST, "64-bit guest of a 32-bit host")             \
	X(HOST_SIZE_PCIDE, "host CR4.PCIDE in a 32-bit host")           \
	X(HOST_SIZE_RIP, "host RIP above 4G in a 32-bit host")          \
	X(HOST_SIZE_PAE, "host CR4.PAE is 0 in a 64-bit host")          \
	X(HOST_RIP, "host RIP: not canonical")

#define NESTED_GUEST_RULES(X)                                                \
	X(GUEST_CR0, "guest CR0: not for VMX operation")                     \
	X(GUEST_CR0_PAGING, "guest CR0: PG without PE")                      \
	X(GUEST_CR4, "guest CR4: not for VMX operation")                     \
	X(GUEST_DEBUGCTL, "guest DEBUGCTL: reserved bits")                   \
	X(GUEST_LONG_PAGING, "64-bit guest without PG or PAE")               \
	X(GUEST_PCIDE, "guest CR4.PCIDE outside IA-32e mode")                \
	X(GUEST_CR3, "guest CR3: beyond the physical-address width")         \
	X(GUEST_DR7, "guest DR7: bits 63:32")                                \
	X(GUEST_SYSENTER_ESP, "guest SYSENTER_ESP: not canonical")           \
	X(GUEST_SYSENTER_EIP, "guest SYSENTER_EIP: not canonical")           \
	X(GUEST_PAT, "guest PAT: bad type")                                  \
	X(GUEST_EFER_RESERVED, "guest EFER: reserved bits")                  \
	X(GUEST_EFER_LMA, "guest EFER.LMA is not the entry control")         \
	X(GUEST_EFER_LME, "guest EFER: LME is not LMA with paging on")       \
	X(TR_TI, "guest TR: TI")                                             \
	X(LDTR_TI, "guest LDTR: TI")                                         \
	X(SS_RPL, "guest SS: RPL is not that of CS")                         \
	X(V86_BASE, "virtual-8086: base is not 16 * selector")               \
	X(SYSTEM_BASE, "guest TR, FS, GS or LDTR base: not canonical")       \
	X(CS_BASE, "guest CS base above 4G")                                 \
	X(DATA_BASE, "guest SS, DS or ES base above 4G")                     \
	X(V86_LIMIT, "virtual-8086: limit is not 0xffff")                    \
	X(V86_RIGHTS, "virtual-8086: rights are not 0xf3")                   \
	X(CS_TYPE, "guest CS: type")                                         \
	X(SS_TYPE, "guest SS: type")                                         \
	X(DATA_TYPE, "guest DS, ES, FS or GS: type")                         \
	X(SEGMENT_S, "guest segment: S is 0")                                \
	X(CS_DPL, "guest CS: DPL")                                           \
	X(SS_DPL, "guest SS: DPL is not its RPL")                            \
	X(SS_DPL_REAL, "guest SS: DPL is not 0 with real-mode CS")           \
	X(DATA_DPL, "guest DS, ES, FS or GS: DPL below RPL")                 \
	X(SEGMENT_PRESENT, "guest segment: not present")                     \
	X(SEGMENT_RESERVED, "guest segment: reserved rights")                \
	X(CS_BIG, "guest CS: D/B in 64-bit code")                            \
	X(SEGMENT_LIMIT, "guest segment: G does not fit the limit")          \
	X(TR_TYPE, "guest TR: type")                                         \
	X(TR_RIGHTS, "guest TR: S, P, unusable or reserved bits")            \
	X(TR_LIMIT, "guest TR: G does not fit the limit")                    \
	X(LDTR_TYPE, "guest LDTR: type")                                     \
	X(LDTR_RIGHTS, "guest LDTR: S, P or reserved bits")                  \
	X(LDTR_LIMIT, "guest LDTR: G does not fit the limit")                \
	X(TABLE_BASE, "guest GDTR or IDTR base: not canonical")              \
	X(TABLE_LIMIT, "guest GDTR or IDTR limit above 0xffff")              \
	X(RIP_32, "guest RIP above 4G outside 64-bit code")                  \
	X(RIP_64, "guest RIP: beyond the linear-address width")              \
	X(FLAGS_RESERVED, "guest RFLAGS: reserved bits")                     \
	X(FLAGS_VM, "virtual-8086 in IA-32e or real mode")                   \
	X(FLAGS_IF, "injected interrupt with RFLAGS.IF=0")                   \
	X(ACTIVITY, "activity state is not supported")                       \
	X(ACTIVITY_HLT, "HLT with CPL above 0")                              \
	X(ACTIVITY_BLOCKING, "not active with STI or MOV-SS blocking")       \
	X(ACTIVITY_EVENT, "injected event is blocked by the activity state") \
	X(BLOCKING_RESERVED, "interruptibility: reserved bits")              \
	X(BLOCKING_BOTH, "blocking by STI and by MOV SS")                    \
	X(BLOCKING_STI_IF, "blocking by STI with RFLAGS.IF=0")               \
	X(BLOCKING_INTERRUPT, "injected interrupt with blocking")            \
	X(BLOCKING_NMI_MOV_SS, "injected NMI with MOV-SS blocking")          \
	X(BLOCKING_SMI, "blocking by SMI outside SMM")                       \
	X(BLOCKING_NMI_STI, "injected NMI with STI blocking")                \
	X(BLOCKING_NMI, "injected NMI with virtual-NMI blocking")            \
	X(DEBUG_RESERVED, "pending debug exceptions: reserved bits")         \
	X(DEBUG_BS, "pending debug exceptions: BS does not fit TF and BTF")  \
	X(LINK_ADDRESS, "VMCS link pointer: bad address")                    \
	X(LINK_REVISION, "VMCS link pointer: revision identifier")           \
	X(LINK_SHADOW, "VMCS link pointer: shadow indicator")                \
	X(LINK_CURRENT, "VMCS link pointer: the current VMCS")               \
	X(PDPTE, "PDPTE: reserved bits")

#define NESTED_RULE_NAME(name, text) RULE_##name,

enum nested_rule {
	RULE_NONE, /* all are kept */
	NESTED_CONTROL_RULES(NESTED_RULE_NAME) RULE_CONTROLS_END,
	NESTED_HOST_RULES(NESTED_RULE_NAME) RULE_HOST_END,
	NESTED_GUEST_RULES(NESTED_RULE_NAME) RULE_COUNT,
};

#endif
