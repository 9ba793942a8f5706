/* SPDX-License-Identifier: MIT */
/* Choosing, reading and comparing the capability MSRs of an L1. */
#include "nested/capability.h"
#include "lib/x86.h"
#include "nested/vmcs12.h"

#define PIN_SUPPORTED                                          \
	(PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMIS | \
	 PIN_PREEMPTION_TIMER | PIN_POSTED_INTERRUPTS)

#define PRIMARY_SUPPORTED                                                  \
	(PRIMARY_INTERRUPT_WINDOW | PRIMARY_TSC_OFFSETTING | PRIMARY_HLT | \
	 PRIMARY_INVLPG | PRIMARY_MWAIT | PRIMARY_RDPMC | PRIMARY_RDTSC |  \
	 PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE | PRIMARY_CR8_LOAD |         \
	 PRIMARY_CR8_STORE | PRIMARY_TPR_SHADOW | PRIMARY_NMI_WINDOW |     \
	 PRIMARY_MOV_DR | PRIMARY_ALL_IO | PRIMARY_IO_BITMAPS |            \
	 PRIMARY_MONITOR_TRAP | PRIMARY_MSR_BITMAPS | PRIMARY_MONITOR |    \
	 PRIMARY_PAUSE | PRIMARY_SECONDARY)

#define SECONDARY_SUPPORTED                                          \
	(SECONDARY_APIC_ACCESSES | SECONDARY_EPT |                   \
	 SECONDARY_DESCRIPTOR_TABLES | SECONDARY_RDTSCP |            \
	 SECONDARY_X2APIC_MODE | SECONDARY_VPID | SECONDARY_WBINVD | \
	 SECONDARY_UNRESTRICTED_GUEST | SECONDARY_APIC_REGISTERS |   \
	 SECONDARY_INTERRUPT_DELIVERY | SECONDARY_PAUSE_LOOP |       \
	 SECONDARY_RDRAND | SECONDARY_INVPCID | SECONDARY_VMFUNC |   \
	 SECONDARY_RDSEED | SECONDARY_XSAVES | SECONDARY_TSC_SCALING)

#define EXIT_SUPPORTED                                                \
	(EXIT_SAVE_DEBUG_CONTROLS | EXIT_HOST_ADDRESS_SPACE_SIZE |    \
	 EXIT_ACKNOWLEDGE_INTERRUPT | EXIT_SAVE_PAT | EXIT_LOAD_PAT | \
	 EXIT_SAVE_EFER | EXIT_LOAD_EFER | EXIT_SAVE_PREEMPTION_TIMER)

#define ENTRY_SUPPORTED                                                        \
	(ENTRY_LOAD_DEBUG_CONTROLS | ENTRY_IA32E_MODE_GUEST | ENTRY_LOAD_PAT | \
	 ENTRY_LOAD_EFER)

/*
 * must: the default1 class less what may be 0 wherever the TRUE MSRs exist
 * (CR3 exits; saving and loading debug controls). default1: what the MSRs
 * without TRUE report (SDM vol. 3, "VM-Execution Controls", "VM-Exit Controls"
 * and "VM-Entry Controls").
 */
static const struct {
	u32 must, default1;
	u64 supported;
} words[CONTROLS_COUNT] = {
    [CONTROLS_PIN] = {0x00000016, 0x00000016, PIN_SUPPORTED},
    [CONTROLS_PRIMARY] = {0x04006172, 0x0401e172, PRIMARY_SUPPORTED},
    [CONTROLS_SECONDARY] = {0, 0, SECONDARY_SUPPORTED},
    [CONTROLS_EXIT] = {0x00036dfb, 0x00036dff, EXIT_SUPPORTED},
    [CONTROLS_ENTRY] = {0x000011fb, 0x000011ff, ENTRY_SUPPORTED},
};

#define EPT_SUPPORTED                                                        \
	(EPT_CAP_EXECUTE_ONLY | EPT_CAP_4_LEVELS | EPT_CAP_UC | EPT_CAP_WB | \
	 EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_INVEPT | EPT_CAP_ACCESSED_DIRTY | \
	 EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL)
#define VPID_SUPPORTED                                                        \
	(EPT_CAP_INVVPID | EPT_CAP_INVVPID_ADDRESS | EPT_CAP_INVVPID_SINGLE | \
	 EPT_CAP_INVVPID_ALL | EPT_CAP_INVVPID_GLOBALS)

#define REGION_BYTES 4096UL
#define MEMORY_WB    6UL
#define CR3_TARGETS  4UL

/*
 * What L1s use without asking; and what Umbra needs to run their L2s: the timer
 * ends a stay in L2, and INVEPT drops all EPT02s at once.
 */
static bool has_the_basics(const struct nested_hardware *hardware)
{
	return (hardware->words[CONTROLS_PIN].may_be_1 &
		PIN_PREEMPTION_TIMER) &&
	       (hardware->ept_vpid & EPT_CAP_INVEPT_ALL) &&
	       (hardware->words[CONTROLS_PRIMARY].may_be_1 &
		PRIMARY_SECONDARY) &&
	       (hardware->words[CONTROLS_PRIMARY].may_be_1 &
		PRIMARY_MSR_BITMAPS) &&
	       (hardware->words[CONTROLS_PRIMARY].may_be_1 &
		PRIMARY_IO_BITMAPS) &&
	       (hardware->words[CONTROLS_EXIT].may_be_1 &
		EXIT_HOST_ADDRESS_SPACE_SIZE);
}

static void choose_words(const struct nested_hardware *hardware,
			 struct nested_capability *offer)
{
	for (u32 i = 0; i < CONTROLS_COUNT; i++) {
		u32 usable =
		    hardware->words[i].may_be_1 & (u32)words[i].supported;

		offer->words[i] = (struct control_capability){
		    .must_be_1 =
			words[i].must | (hardware->words[i].must_be_1 & usable),
		    .may_be_1 = words[i].default1 | usable,
		};
	}
}

static void drop(struct nested_capability *offer, enum control_word word,
		 u64 bits)
{
	offer->words[word].may_be_1 &= ~(u32)bits;
}

/* What hangs together is offered together. */
static void settle_secondary(struct nested_capability *offer)
{
	const u32 *may = &offer->words[CONTROLS_SECONDARY].may_be_1;

	if (!(offer->ept_vpid & EPT_CAP_4_LEVELS) ||
	    !(offer->ept_vpid & EPT_CAP_INVEPT))
		drop(offer, CONTROLS_SECONDARY, SECONDARY_EPT);
	if (!(offer->ept_vpid & EPT_CAP_INVVPID))
		drop(offer, CONTROLS_SECONDARY, SECONDARY_VPID);
	if (!(*may & SECONDARY_EPT)) {
		drop(offer, CONTROLS_SECONDARY, SECONDARY_UNRESTRICTED_GUEST);
		offer->ept_vpid &= ~EPT_SUPPORTED;
	}
	if (!(*may & SECONDARY_VPID))
		offer->ept_vpid &= ~VPID_SUPPORTED;
	if (!(*may & SECONDARY_EPT) || !(offer->vmfunc & VMFUNC_EPTP_SWITCHING))
		drop(offer, CONTROLS_SECONDARY, SECONDARY_VMFUNC);
	if (!(*may & SECONDARY_VMFUNC))
		offer->vmfunc = 0;
	/*
	 * PML is emulated, but the CPU must take its own walks of L2's page
	 * tables for writes, or those pages would never be logged: A/D.
	 */
	offer->words[CONTROLS_SECONDARY].may_be_1 |=
	    SECONDARY_VMCS_SHADOWING |
	    (offer->ept_vpid & EPT_CAP_ACCESSED_DIRTY ? SECONDARY_PML : 0);
}

static void settle_interrupts(struct nested_capability *offer)
{
	if (!nested_capability_allows(offer, CONTROLS_PRIMARY,
				      PRIMARY_TPR_SHADOW))
		drop(offer, CONTROLS_SECONDARY,
		     SECONDARY_X2APIC_MODE | SECONDARY_APIC_REGISTERS |
			 SECONDARY_INTERRUPT_DELIVERY);
	if (!nested_capability_allows(offer, CONTROLS_SECONDARY,
				      SECONDARY_INTERRUPT_DELIVERY))
		drop(offer, CONTROLS_PIN, PIN_POSTED_INTERRUPTS);
	if (!nested_capability_allows(offer, CONTROLS_PIN, PIN_VIRTUAL_NMIS))
		drop(offer, CONTROLS_PRIMARY, PRIMARY_NMI_WINDOW);
}

static u64 offered_basic(u64 hardware)
{
	return NESTED_REVISION | REGION_BYTES << 32 | MEMORY_WB << 50 |
	       BASIC_TRUE_CONTROLS |
	       (hardware & (BASIC_INS_OUTS | BASIC_ANY_ERROR_CODE));
}

static u64 offered_misc(u64 hardware)
{
	return (hardware &
		(MISC_PREEMPTION_SHIFT | MISC_SAVES_LMA | MISC_HLT |
		 MISC_SHUTDOWN | MISC_WAIT_FOR_SIPI | MISC_INJECT_LENGTH_0)) |
	       CR3_TARGETS << 16 | MISC_VMWRITE_ANY;
}

enum err nested_capability_choose(const struct nested_hardware *hardware,
				  struct nested_capability *offer)
{
	if (!has_the_basics(hardware))
		return ERR_UNSUPPORTED;
	*offer = (struct nested_capability){
	    .basic = offered_basic(hardware->basic),
	    .misc = offered_misc(hardware->misc),
	    .ept_vpid = hardware->ept_vpid & (EPT_SUPPORTED | VPID_SUPPORTED),
	    .vmfunc = hardware->vmfunc & VMFUNC_EPTP_SWITCHING,
	    .cr0_fixed0 = CR0_PE | CR0_NE | CR0_PG,
	    .cr0_fixed1 = BITS(31, 0),
	    .cr4_fixed0 = CR4_VMXE,
	    .cr4_fixed1 = hardware->cr4_allowed | CR4_VMXE,
	};
	choose_words(hardware, offer);
	settle_interrupts(offer);
	settle_secondary(offer);
	return OK;
}

static u64 control_msr(const struct nested_capability *c,
		       enum control_word word, u32 must_be_1)
{
	return (u64)c->words[word].may_be_1 << 32 | must_be_1;
}

static u64 true_msr(const struct nested_capability *c, enum control_word word)
{
	return control_msr(c, word, c->words[word].must_be_1);
}

static u64 plain_msr(const struct nested_capability *c, enum control_word word)
{
	return control_msr(c, word,
			   c->words[word].must_be_1 | words[word].default1);
}

enum err nested_capability_read(const struct nested_capability *c, u32 msr,
				u64 *value)
{
	const u64 values[NESTED_MSR_COUNT] = {
	    [MSR_VMX_BASIC - NESTED_MSR_FIRST] = c->basic,
	    [MSR_VMX_PIN - NESTED_MSR_FIRST] = plain_msr(c, CONTROLS_PIN),
	    [MSR_VMX_PRIMARY - NESTED_MSR_FIRST] =
		plain_msr(c, CONTROLS_PRIMARY),
	    [MSR_VMX_EXIT - NESTED_MSR_FIRST] = plain_msr(c, CONTROLS_EXIT),
	    [MSR_VMX_ENTRY - NESTED_MSR_FIRST] = plain_msr(c, CONTROLS_ENTRY),
	    [MSR_VMX_MISC - NESTED_MSR_FIRST] = c->misc,
	    [MSR_VMX_CR0_FIXED0 - NESTED_MSR_FIRST] = c->cr0_fixed0,
	    [MSR_VMX_CR0_FIXED1 - NESTED_MSR_FIRST] = c->cr0_fixed1,
	    [MSR_VMX_CR4_FIXED0 - NESTED_MSR_FIRST] = c->cr4_fixed0,
	    [MSR_VMX_CR4_FIXED1 - NESTED_MSR_FIRST] = c->cr4_fixed1,
	    [MSR_VMX_SECONDARY - NESTED_MSR_FIRST] =
		true_msr(c, CONTROLS_SECONDARY),
	    [MSR_VMX_EPT_VPID_CAP - NESTED_MSR_FIRST] = c->ept_vpid,
	    [MSR_VMX_TRUE_PIN - NESTED_MSR_FIRST] = true_msr(c, CONTROLS_PIN),
	    [MSR_VMX_TRUE_PRIMARY - NESTED_MSR_FIRST] =
		true_msr(c, CONTROLS_PRIMARY),
	    [MSR_VMX_TRUE_EXIT - NESTED_MSR_FIRST] = true_msr(c, CONTROLS_EXIT),
	    [MSR_VMX_TRUE_ENTRY - NESTED_MSR_FIRST] =
		true_msr(c, CONTROLS_ENTRY),
	    [MSR_VMX_VMFUNC - NESTED_MSR_FIRST] = c->vmfunc,
	};
	bool has_ept_vpid = nested_capability_allows(
	    c, CONTROLS_SECONDARY, SECONDARY_EPT | SECONDARY_VPID);

	if (msr < NESTED_MSR_FIRST ||
	    msr - NESTED_MSR_FIRST >= NESTED_MSR_COUNT)
		return ERR_NOT_FOUND;
	if ((msr == MSR_VMX_EPT_VPID_CAP && !has_ept_vpid) ||
	    (msr == MSR_VMX_VMFUNC &&
	     !nested_capability_allows(c, CONTROLS_SECONDARY,
				       SECONDARY_VMFUNC)))
		return ERR_NOT_FOUND;
	*value = msr == MSR_VMX_VMCS_ENUM ? vmcs12_enum(c)
					  : values[msr - NESTED_MSR_FIRST];
	return OK;
}

/* Where a number, not a set of features, stands: it must be the same. */
static bool same_numbers(const struct nested_capability *a,
			 const struct nested_capability *b, u32 *msr)
{
	const u64 basic = BASIC_INS_OUTS | BASIC_ANY_ERROR_CODE;
	const u64 misc = MISC_HLT | MISC_SHUTDOWN | MISC_WAIT_FOR_SIPI |
			 MISC_INJECT_LENGTH_0 | MISC_SAVES_LMA;

	*msr = MSR_VMX_BASIC;
	if ((a->basic ^ b->basic) & ~basic)
		return false;
	*msr = MSR_VMX_MISC;
	if ((a->misc ^ b->misc) & ~misc)
		return false;
	*msr = MSR_VMX_CR0_FIXED0;
	return a->cr0_fixed0 == b->cr0_fixed0 &&
	       a->cr0_fixed1 == b->cr0_fixed1 && a->cr4_fixed0 == b->cr4_fixed0;
}

/* Every feature that was promised is here. */
static bool has_features(const struct nested_capability *wanted,
			 const struct nested_capability *here, u32 *msr)
{
	*msr = MSR_VMX_BASIC;
	if (wanted->basic & ~here->basic)
		return false;
	*msr = MSR_VMX_MISC;
	if (wanted->misc & ~here->misc)
		return false;
	*msr = MSR_VMX_EPT_VPID_CAP;
	if (wanted->ept_vpid & ~here->ept_vpid)
		return false;
	*msr = MSR_VMX_VMFUNC;
	if (wanted->vmfunc & ~here->vmfunc)
		return false;
	*msr = MSR_VMX_CR4_FIXED1;
	return !(wanted->cr4_fixed1 & ~here->cr4_fixed1);
}

static bool has_controls(const struct nested_capability *wanted,
			 const struct nested_capability *here, u32 *msr)
{
	static const u32 msrs[CONTROLS_COUNT] = {
	    [CONTROLS_PIN] = MSR_VMX_TRUE_PIN,
	    [CONTROLS_PRIMARY] = MSR_VMX_TRUE_PRIMARY,
	    [CONTROLS_SECONDARY] = MSR_VMX_SECONDARY,
	    [CONTROLS_EXIT] = MSR_VMX_TRUE_EXIT,
	    [CONTROLS_ENTRY] = MSR_VMX_TRUE_ENTRY,
	};

	for (u32 i = 0; i < CONTROLS_COUNT; i++) {
		*msr = msrs[i];
		if ((wanted->words[i].may_be_1 & ~here->words[i].may_be_1) ||
		    (here->words[i].must_be_1 & ~wanted->words[i].must_be_1))
			return false;
	}
	return true;
}

enum err nested_capability_fits(const struct nested_capability *wanted,
				const struct nested_capability *here, u32 *msr)
{
	u32 against;

	if (same_numbers(wanted, here, &against) &&
	    has_features(wanted, here, &against) &&
	    has_controls(wanted, here, &against))
		return OK;
	*msr = against;
	return ERR_UNSUPPORTED;
}

u32 nested_capability_cr3_targets(const struct nested_capability *c)
{
	return (u32)bits_get(c->misc, MISC_CR3_TARGETS);
}

u32 nested_capability_msr_limit(const struct nested_capability *c)
{
	return 512 * ((u32)bits_get(c->misc, MISC_MSR_LIST) + 1);
}

enum err nested_feature_control_write(u64 *msr, u64 value)
{
	if (*msr & FEATURE_CONTROL_LOCK)
		return ERR_STATE;
	if (value & ~(FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX))
		return ERR_STATE;
	*msr = value;
	return OK;
}
