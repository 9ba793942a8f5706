/* SPDX-License-Identifier: MIT */
/*
 * The VMX controls: their bits, and computing what a VMCS may have.
 *
 * Each control word has bits that the CPU requires to be 1 and bits that it
 * allows to be 1 (SDM vol. 3, "VMX Capability Reporting Facility"). We state
 * what we need, what we would like and what must be off; controls_choose()
 * answers with the word, or names the first need that the CPU does not meet.
 *
 * Pure: the capability MSRs' values come in as numbers.
 */
#ifndef ARCH_X86_VMX_CONTROLS_H
#define ARCH_X86_VMX_CONTROLS_H

#include "lib/bits.h"
#include "lib/err.h"
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
#define ENTRY_LOAD_PERF_GLOBAL_CTRL  BIT(13)
#define ENTRY_LOAD_PAT               BIT(14)
#define ENTRY_LOAD_EFER              BIT(15)

/* IA32_VMX_EPT_VPID_CAP (SDM vol. 3, "VPID and EPT Capabilities"). */
#define EPT_CAP_EXECUTE_ONLY         BIT(0)
#define EPT_CAP_4_LEVELS             BIT(6)
#define EPT_CAP_WB                   BIT(14)
#define EPT_CAP_2M                   BIT(16)
#define EPT_CAP_1G                   BIT(17)
#define EPT_CAP_INVEPT               BIT(20)
#define EPT_CAP_ACCESSED_DIRTY       BIT(21)
#define EPT_CAP_INVEPT_SINGLE        BIT(25)
#define EPT_CAP_INVEPT_ALL           BIT(26)
#define EPT_CAP_INVVPID              BIT(32)
#define EPT_CAP_INVVPID_SINGLE       BIT(41)
#define EPT_CAP_INVVPID_ALL          BIT(42)

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

enum control_need {
	CONTROL_REQUIRED,  /* without it Umbra runs no guest */
	CONTROL_WANTED,    /* used where the CPU has it */
	CONTROL_FORBIDDEN, /* must be 0: a CPU that insists is not supported */
};

struct control_wish {
	enum control_word word;
	enum control_need need;
	u64 bit;
	const char *name; /* in words, as the user is told */
};

/* All wishes of vmcs01; what the start-up lines are printed from. */
extern const struct control_wish control_wishes[];
extern const u32 control_wish_count;

struct controls {
	u32 words[CONTROLS_COUNT];
};

/*
 * Chooses all words. ERR_UNSUPPORTED names the unmet need in *unmet, and
 * writes no control.
 */
MUST_CHECK enum err
controls_choose(const struct control_capability capabilities[CONTROLS_COUNT],
		struct controls *controls, const struct control_wish **unmet);

static inline bool controls_have(const struct controls *controls,
				 enum control_word word, u64 bit)
{
	return (controls->words[word] & bit) != 0;
}

#endif
