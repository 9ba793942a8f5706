/* SPDX-License-Identifier: MIT */
/* APIC virtualization: what is used of it, and when. */
#include "arch/x86/vmx/apicv.h"
#include "arch/x86/vmx/msr_bitmap.h"
#include "lib/bits.h"
#include "lib/x86.h"
#include "mm/addr.h"

#define PRIMARY_CR8 (PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE)
#define SECONDARY_APICV                                    \
	(SECONDARY_APIC_ACCESSES | SECONDARY_X2APIC_MODE | \
	 SECONDARY_APIC_REGISTERS | SECONDARY_INTERRUPT_DELIVERY)
#define SECONDARY_DELIVERY \
	(SECONDARY_APIC_REGISTERS | SECONDARY_INTERRUPT_DELIVERY)

#define ACCESS_TYPE     BITS(15, 12)

#define XAPIC_BASE      0xfee00000ULL

/* SDM vol. 3, "x2APIC Register Address Space". */
#define X2APIC_ID       0x802
#define X2APIC_VERSION  0x803
#define X2APIC_TPR      0x808
#define X2APIC_PPR      0x80a
#define X2APIC_EOI      0x80b
#define X2APIC_LDR      0x80d
#define X2APIC_SVR      0x80f
#define X2APIC_IRR_LAST 0x827 /* from SVR on: ISR, TMR, IRR */
#define X2APIC_ESR      0x828
#define X2APIC_ICR      0x830
#define X2APIC_LVT      0x832 /* to LVT ERROR and the initial count */
#define X2APIC_INITIAL  0x838
#define X2APIC_DIVIDE   0x83e
#define X2APIC_SELF_IPI 0x83f

static bool has(const struct control_capability *capability, u64 bits)
{
	return (capability->may_be_1 & bits) == bits;
}

struct apicv
apicv_choose(const struct control_capability capabilities[CONTROLS_COUNT],
	     enum apicv_choice choice)
{
	const struct control_capability *primary =
	    &capabilities[CONTROLS_PRIMARY];
	const struct control_capability *secondary =
	    &capabilities[CONTROLS_SECONDARY];
	struct apicv a = {.tpr_shadow = false};

	/* A CPU on which MOV to CR8 cannot but exit gains nothing. */
	if (choice == APICV_OFF || !has(primary, PRIMARY_TPR_SHADOW) ||
	    (primary->must_be_1 & PRIMARY_CR8))
		return a;
	a.tpr_shadow = true;
	a.accesses = has(secondary, SECONDARY_APIC_ACCESSES);
	a.x2apic = has(secondary, SECONDARY_X2APIC_MODE);
	a.delivery =
	    choice != APICV_NO_DELIVERY && has(secondary, SECONDARY_DELIVERY);
	/* It asks for interrupts that are acknowledged by VM exits, as vmcs01
	 * does always. */
	a.posted = a.delivery &&
		   has(&capabilities[CONTROLS_PIN], PIN_POSTED_INTERRUPTS);
	return a;
}

enum apicv_mode apicv_mode(u64 apic_base)
{
	if (!(apic_base & APIC_BASE_ENABLE))
		return APICV_ELSEWHERE;
	if (apic_base & APIC_BASE_X2APIC)
		return APICV_X2APIC;
	return apic_base >> PAGE_SHIFT == XAPIC_BASE >> PAGE_SHIFT
		   ? APICV_XAPIC
		   : APICV_ELSEWHERE;
}

u32 apicv_pin(const struct apicv *apicv, u32 plain)
{
	return apicv->posted ? plain | (u32)PIN_POSTED_INTERRUPTS : plain;
}

u32 apicv_primary(const struct apicv *apicv, u32 plain)
{
	if (!apicv->tpr_shadow)
		return plain;
	return (plain & ~(u32)PRIMARY_CR8) | (u32)PRIMARY_TPR_SHADOW;
}

u32 apicv_secondary(const struct apicv *apicv, enum apicv_mode mode, u32 plain)
{
	u64 word = plain & ~SECONDARY_APICV;

	if (apicv->delivery)
		word |= SECONDARY_DELIVERY;
	if (apicv->accesses && mode == APICV_XAPIC)
		word |= SECONDARY_APIC_ACCESSES;
	if (apicv->x2apic && mode == APICV_X2APIC)
		word |= SECONDARY_X2APIC_MODE;
	return (u32)word;
}

/*
 * Registers that a CPU with delivery reads from the page, where they stand as
 * the guest has to see them; the current count is nowhere, and what does not
 * exist must fault. First and last.
 */
static const struct {
	u16 first, last;
} readable[] = {
    {X2APIC_ID, X2APIC_VERSION},  {X2APIC_TPR, X2APIC_TPR},
    {X2APIC_PPR, X2APIC_PPR}, /* the CPU keeps it up to date */
    {X2APIC_LDR, X2APIC_LDR},     {X2APIC_SVR, X2APIC_IRR_LAST},
    {X2APIC_ESR, X2APIC_ESR},     {X2APIC_ICR, X2APIC_ICR}, /* 64 bits */
    {X2APIC_LVT, X2APIC_INITIAL}, {X2APIC_DIVIDE, X2APIC_DIVIDE},
};

static void set_reads(u8 *bitmap, enum msr_exits exits)
{
	for (u32 i = 0; i < ARRAY_COUNT(readable); i++)
		for (u32 msr = readable[i].first; msr <= readable[i].last;
		     msr++)
			msr_bitmap_set(bitmap, msr, MSR_READS, exits);
}

void apicv_set_msr_bitmap(const struct apicv *apicv, enum apicv_mode mode,
			  u8 *bitmap)
{
	bool on = apicv->x2apic && mode == APICV_X2APIC;
	enum msr_exits shadow = on ? MSR_PASSES : MSR_EXITS;
	enum msr_exits delivery =
	    on && apicv->delivery ? MSR_PASSES : MSR_EXITS;

	set_reads(bitmap, delivery);
	msr_bitmap_set(bitmap, X2APIC_EOI, MSR_WRITES, delivery);
	msr_bitmap_set(bitmap, X2APIC_SELF_IPI, MSR_WRITES, delivery);
	msr_bitmap_set(bitmap, X2APIC_TPR, MSR_READS, shadow);
	msr_bitmap_set(bitmap, X2APIC_TPR, MSR_WRITES, shadow);
}

/* SDM vol. 3, "Exit Qualification for APIC-Access VM Exits". */
enum apicv_access apicv_access(u64 qualification)
{
	switch (bits_get(qualification, ACCESS_TYPE)) {
	case 0: /* linear, read */
	case 1: /* linear, write */
		return APICV_ACCESS_DATA;
	case 2:
		return APICV_ACCESS_FETCH;
	case 3:  /* linear */
	case 10: /* guest-physical */
		return APICV_ACCESS_DELIVERY;
	default:
		return APICV_ACCESS_PHYSICAL;
	}
}
