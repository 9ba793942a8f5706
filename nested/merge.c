/* SPDX-License-Identifier: MIT */
/* The values of vmcs02's controls, and of its CR0 and CR4. */
#include "nested/merge.h"
#include "lib/check.h"
#include "lib/x86.h"
#include "nested/checks.h"

/* What L1 may switch on in L2's CPU; the rest of the words is Umbra's. */
#define PRIMARY_OF_L1                                                       \
	(PRIMARY_INTERRUPT_WINDOW | PRIMARY_HLT | PRIMARY_INVLPG |          \
	 PRIMARY_MWAIT | PRIMARY_RDPMC | PRIMARY_RDTSC | PRIMARY_CR3_LOAD | \
	 PRIMARY_CR3_STORE | PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE |         \
	 PRIMARY_TPR_SHADOW | PRIMARY_NMI_WINDOW | PRIMARY_MOV_DR |         \
	 PRIMARY_MONITOR_TRAP | PRIMARY_MONITOR | PRIMARY_PAUSE)
/* VMFUNC is enabled without any function: it exits. */
#define SECONDARY_OF_L1                                                \
	(SECONDARY_APIC_ACCESSES | SECONDARY_DESCRIPTOR_TABLES |       \
	 SECONDARY_RDTSCP | SECONDARY_X2APIC_MODE | SECONDARY_WBINVD | \
	 SECONDARY_UNRESTRICTED_GUEST | SECONDARY_APIC_REGISTERS |     \
	 SECONDARY_INTERRUPT_DELIVERY | SECONDARY_PAUSE_LOOP |         \
	 SECONDARY_RDRAND | SECONDARY_INVPCID | SECONDARY_VMFUNC |     \
	 SECONDARY_RDSEED | SECONDARY_XSAVES | SECONDARY_TSC_SCALING)
/* Umbra's for its own guests; for L2 it is L1 who decides. */
#define SECONDARY_NOT_OURS                                                     \
	(SECONDARY_UNRESTRICTED_GUEST | SECONDARY_RDTSCP | SECONDARY_INVPCID | \
	 SECONDARY_PML | SECONDARY_XSAVES | SECONDARY_TSC_SCALING |            \
	 SECONDARY_INTERRUPT_DELIVERY | SECONDARY_APIC_REGISTERS |             \
	 SECONDARY_VMCS_SHADOWING | SECONDARY_X2APIC_MODE |                    \
	 SECONDARY_APIC_ACCESSES)

#define TSC_FRACTION_BITS 48

/* x2APIC registers by MSR, and the bitmap's words that they are in. */
#define X2APIC_WORD       (MSR_X2APIC_FIRST / 64)
#define X2APIC_WORDS      4
#define X2APIC_TPR        0x08
#define X2APIC_EOI        0x0b
#define X2APIC_SELF_IPI   0x3f
#define WRITE_WORD        256u /* where the half for writes begins */

#define ALWAYS(field)                \
	{                            \
		field, MERGED_PIN, 0 \
	}
#define IF_PRIMARY(field, b)             \
	{                                \
		field, MERGED_PRIMARY, b \
	}
#define IF(field, b)                       \
	{                                  \
		field, MERGED_SECONDARY, b \
	}

const struct nested_merged_rule nested_merged_rules[MERGED_COUNT] = {
    [MERGED_PIN] = ALWAYS(VMCS_PIN_CONTROLS),
    [MERGED_PRIMARY] = ALWAYS(VMCS_PRIMARY_CONTROLS),
    [MERGED_SECONDARY] = ALWAYS(VMCS_SECONDARY_CONTROLS),
    [MERGED_EXIT] = ALWAYS(VMCS_EXIT_CONTROLS),
    [MERGED_ENTRY] = ALWAYS(VMCS_ENTRY_CONTROLS),
    [MERGED_EXCEPTIONS] = ALWAYS(VMCS_EXCEPTION_BITMAP),
    [MERGED_PAGE_FAULT_MASK] = ALWAYS(VMCS_PAGE_FAULT_ERROR_MASK),
    [MERGED_PAGE_FAULT_MATCH] = ALWAYS(VMCS_PAGE_FAULT_ERROR_MATCH),
    [MERGED_CR0_MASK] = ALWAYS(VMCS_CR0_MASK),
    [MERGED_CR4_MASK] = ALWAYS(VMCS_CR4_MASK),
    [MERGED_CR3_TARGET_COUNT] = ALWAYS(VMCS_CR3_TARGET_COUNT),
    [MERGED_CR3_TARGET_0] = ALWAYS(VMCS_CR3_TARGET_0),
    [MERGED_CR3_TARGET_1] = ALWAYS(VMCS_CR3_TARGET_1),
    [MERGED_CR3_TARGET_2] = ALWAYS(VMCS_CR3_TARGET_2),
    [MERGED_CR3_TARGET_3] = ALWAYS(VMCS_CR3_TARGET_3),
    [MERGED_TSC_OFFSET] = ALWAYS(VMCS_TSC_OFFSET),
    [MERGED_TSC_MULTIPLIER] = IF(VMCS_TSC_MULTIPLIER, SECONDARY_TSC_SCALING),
    [MERGED_VIRTUAL_APIC] =
	IF_PRIMARY(VMCS_VIRTUAL_APIC_ADDRESS, PRIMARY_TPR_SHADOW),
    [MERGED_TPR_THRESHOLD] = IF_PRIMARY(VMCS_TPR_THRESHOLD, PRIMARY_TPR_SHADOW),
    [MERGED_APIC_ACCESS] =
	IF(VMCS_APIC_ACCESS_ADDRESS, SECONDARY_APIC_ACCESSES),
    [MERGED_EOI_EXIT_0] =
	IF(VMCS_EOI_EXIT_BITMAP_0, SECONDARY_INTERRUPT_DELIVERY),
    [MERGED_EOI_EXIT_1] =
	IF(VMCS_EOI_EXIT_BITMAP_1, SECONDARY_INTERRUPT_DELIVERY),
    [MERGED_EOI_EXIT_2] =
	IF(VMCS_EOI_EXIT_BITMAP_2, SECONDARY_INTERRUPT_DELIVERY),
    [MERGED_EOI_EXIT_3] =
	IF(VMCS_EOI_EXIT_BITMAP_3, SECONDARY_INTERRUPT_DELIVERY),
    [MERGED_XSS_EXITING] = IF(VMCS_XSS_EXITING_BITMAP, SECONDARY_XSAVES),
    [MERGED_PLE_GAP] = IF(VMCS_PLE_GAP, SECONDARY_PAUSE_LOOP),
    [MERGED_PLE_WINDOW] = IF(VMCS_PLE_WINDOW, SECONDARY_PAUSE_LOOP),
    [MERGED_VMFUNC_CONTROLS] = IF(VMCS_VMFUNC_CONTROLS, SECONDARY_VMFUNC),
};

bool nested_merged_is_used(const struct nested_merged *merged,
			   enum nested_merged_field field)
{
	const struct nested_merged_rule *rule = &nested_merged_rules[field];

	if (field >= MERGED_CR3_TARGET_0 && field <= MERGED_CR3_TARGET_3)
		return field - (u32)MERGED_CR3_TARGET_0 <
		       merged->values[MERGED_CR3_TARGET_COUNT];
	return !rule->bit || (merged->values[rule->control] & rule->bit);
}

bool nested_merge_moves_apic(const struct nested_merged *before,
			     const struct nested_merged *after)
{
	return nested_merged_is_used(after, MERGED_APIC_ACCESS) &&
	       (!nested_merged_is_used(before, MERGED_APIC_ACCESS) ||
		before->values[MERGED_APIC_ACCESS] !=
		    after->values[MERGED_APIC_ACCESS]);
}

/* Without its page there is no TPR shadow: CR8 exits, and is L1's own. */
static u32 merge_primary(const struct vmcs12 *v, const struct nested_base *base)
{
	u32 wanted = v->primary_controls & (u32)PRIMARY_OF_L1;
	u32 ours = base->words[CONTROLS_PRIMARY];

	if (!hpa_raw(base->virtual_apic))
		wanted &= ~(u32)PRIMARY_TPR_SHADOW;
	if (wanted & PRIMARY_TPR_SHADOW)
		ours &= ~(u32)(PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE);
	return ours | wanted;
}

static u32 merge_secondary(const struct vmcs12 *v,
			   const struct nested_base *base)
{
	u32 wanted = nested_secondary_controls(v) & (u32)SECONDARY_OF_L1;

	if (!hpa_raw(base->apic_access))
		wanted &= ~(u32)SECONDARY_APIC_ACCESSES;
	if (!hpa_raw(base->virtual_apic))
		wanted &=
		    ~(u32)(SECONDARY_X2APIC_MODE | SECONDARY_APIC_REGISTERS |
			   SECONDARY_INTERRUPT_DELIVERY);
	return (base->words[CONTROLS_SECONDARY] & ~(u32)SECONDARY_NOT_OURS) |
	       wanted;
}

static void merge_words(const struct vmcs12 *v, const struct nested_base *base,
			u64 *values)
{
	values[MERGED_PIN] = base->words[CONTROLS_PIN];
	values[MERGED_PRIMARY] = merge_primary(v, base);
	values[MERGED_SECONDARY] = merge_secondary(v, base);
	values[MERGED_EXIT] = base->words[CONTROLS_EXIT];
	values[MERGED_ENTRY] =
	    (base->words[CONTROLS_ENTRY] & ~(u32)ENTRY_IA32E_MODE_GUEST) |
	    (v->entry_controls & (u32)ENTRY_IA32E_MODE_GUEST);
}

/*
 * L2's TSC = (TSC * L1's multiplier + L1's offset) * multiplier + offset. As
 * the CPU does, products are cut off behind the fraction.
 */
static void merge_tsc(const struct vmcs12 *v, const struct nested_base *base,
		      u64 *values)
{
	const u64 one = 1UL << TSC_FRACTION_BITS;
	bool offsets = v->primary_controls & PRIMARY_TSC_OFFSETTING;
	u64 factor =
	    offsets && (values[MERGED_SECONDARY] & SECONDARY_TSC_SCALING)
		? v->tsc_multiplier
		: one;
	u64 of_l1 = base->tsc_multiplier ? base->tsc_multiplier : one;
	__int128 offset = (i64)base->tsc_offset;

	values[MERGED_TSC_MULTIPLIER] =
	    (u64)((unsigned __int128)of_l1 * factor >> TSC_FRACTION_BITS);
	if (!values[MERGED_TSC_MULTIPLIER])
		values[MERGED_TSC_MULTIPLIER] = 1; /* no VM entry takes 0 */
	values[MERGED_TSC_OFFSET] =
	    (u64)(offset * factor >> TSC_FRACTION_BITS) +
	    (offsets ? v->tsc_offset : 0);
	if (base->tsc_multiplier)
		values[MERGED_SECONDARY] |= SECONDARY_TSC_SCALING;
}

static void merge_apic(const struct vmcs12 *v, const struct nested_base *base,
		       u64 *values)
{
	values[MERGED_VIRTUAL_APIC] = hpa_raw(base->virtual_apic);
	values[MERGED_TPR_THRESHOLD] = v->tpr_threshold;
	values[MERGED_APIC_ACCESS] = hpa_raw(base->apic_access);
	for (u32 i = 0; i < ARRAY_COUNT(v->eoi_exit_bitmap); i++)
		values[MERGED_EOI_EXIT_0 + i] = v->eoi_exit_bitmap[i];
}

/* CR3 targets that the CPU does not compare are compared by Umbra. */
static void merge_cr3_targets(const struct vmcs12 *v,
			      const struct nested_base *base, u64 *values)
{
	u32 count = v->cr3_target_count < base->cr3_targets
			? v->cr3_target_count
			: base->cr3_targets;

	values[MERGED_CR3_TARGET_COUNT] = count;
	for (u32 i = 0; i < ARRAY_COUNT(v->cr3_target); i++)
		values[MERGED_CR3_TARGET_0 + i] = v->cr3_target[i];
}

void nested_merge(const struct vmcs12 *v, const struct nested_base *base,
		  struct nested_merged *merged)
{
	u64 *values = merged->values;

	merge_words(v, base, values);
	merge_tsc(v, base, values);
	merge_apic(v, base, values);
	merge_cr3_targets(v, base, values);
	values[MERGED_EXCEPTIONS] =
	    v->exception_bitmap | base->exception_bitmap;
	values[MERGED_PAGE_FAULT_MASK] = v->page_fault_error_mask;
	values[MERGED_PAGE_FAULT_MATCH] = v->page_fault_error_match;
	values[MERGED_CR0_MASK] = v->cr0_mask | base->cr0_mask;
	values[MERGED_CR4_MASK] = v->cr4_mask | base->cr4_mask;
	values[MERGED_XSS_EXITING] = v->xss_exiting_bitmap;
	values[MERGED_PLE_GAP] = v->ple_gap;
	values[MERGED_PLE_WINDOW] = v->ple_window;
	values[MERGED_VMFUNC_CONTROLS] = 0;
}

/* What L2 reads: L1's shadow where the bit is L1's, else the bit itself. */
static u64 seen(u64 guest, u64 mask, u64 shadow)
{
	return (guest & ~mask) | (shadow & mask);
}

static bool injects_nmi(const struct vmcs12 *v)
{
	u32 info = v->entry_interruption_info;

	return (info & EVENT_VALID) && event_type(info) == EVENT_NMI;
}

u32 nested_interruptibility_enter(const struct vmcs12 *v)
{
	if (injects_nmi(v) || nested_held_nmis(v))
		return v->guest_interruptibility & ~(u32)BLOCKING_BY_NMI;
	return v->guest_interruptibility;
}

u32 nested_held_nmis(const struct vmcs12 *v)
{
	bool blocked =
	    (v->guest_interruptibility & BLOCKING_BY_NMI) || injects_nmi(v);

	if (!(v->pin_controls & PIN_NMI) ||
	    (v->pin_controls & PIN_VIRTUAL_NMIS) || !blocked)
		return 0;
	return (u32)BLOCKING_BY_NMI;
}

struct nested_cr nested_cr0_enter(const struct vmcs12 *v,
				  const struct nested_base *base)
{
	u64 cr0 = (v->guest_cr0 & ~NESTED_CR0_KEPT) |
		  (base->l1_cr0 & NESTED_CR0_KEPT);

	/* One VM must not switch off caches for all. */
	return (struct nested_cr){
	    .guest = (cr0 & ~(CR0_CD | CR0_NW)) |
		     (base->cr0_fixed0 & ~(CR0_PE | CR0_PG)),
	    .shadow = seen(cr0, v->cr0_mask, v->cr0_shadow),
	};
}

struct nested_cr nested_cr4_enter(const struct vmcs12 *v,
				  const struct nested_base *base)
{
	return (struct nested_cr){
	    .guest = v->guest_cr4 | base->cr4_fixed0,
	    .shadow = seen(v->guest_cr4, v->cr4_mask, v->cr4_shadow),
	};
}

u64 nested_cr_leave(u64 guest12, u64 mask12, u64 ours, struct nested_cr cr)
{
	u64 of_l2 = ~(mask12 | ours);

	return (cr.guest & of_l2) | (guest12 & mask12) |
	       (cr.shadow & ours & ~mask12);
}

u64 nested_cr0_kept(u64 shadow, u64 mask12, u64 l1_cr0)
{
	return ((shadow & ~mask12) | (l1_cr0 & mask12)) & NESTED_CR0_KEPT;
}

u64 nested_cr0_leave(const struct vmcs12 *v, u64 ours, struct nested_cr cr,
		     u64 kept)
{
	u64 loaded = nested_cr_leave(v->guest_cr0, v->cr0_mask, ours, cr);

	return (loaded & ~NESTED_CR0_KEPT) | (kept & NESTED_CR0_KEPT);
}

u64 nested_cr_written(u64 value, u64 mask12, u64 in_force)
{
	return (in_force & mask12) | (value & ~mask12);
}

struct nested_cr nested_cr_write(u64 value, u64 mask12, u64 must_be_1,
				 struct nested_cr cr)
{
	return (struct nested_cr){
	    .guest = (cr.guest & mask12) | (value & ~mask12) | must_be_1,
	    .shadow = (cr.shadow & mask12) | (value & ~mask12),
	};
}

/* Those are merged by a rule of their own. */
static bool is_x2apic_word(u32 i)
{
	return (i & ~WRITE_WORD) >= X2APIC_WORD &&
	       (i & ~WRITE_WORD) < X2APIC_WORD + X2APIC_WORDS;
}

void nested_free_words_find(const u64 *ours, struct nested_free_words *words)
{
	*words = (struct nested_free_words){.count = 0};
	for (u16 i = 0; i < NESTED_BITMAP_WORDS; i++) {
		if (ours[i] == UINT64_MAX || is_x2apic_word(i))
			continue;
		CHECK(words->count < NESTED_FREE_MAX);
		words->at[words->count++] = i;
	}
}

/*
 * SDM vol. 3, "Virtualizing MSR-Based APIC Accesses": what the CPU takes from
 * the virtual-APIC page. Anything else would reach the machine's own APIC.
 */
static void merge_x2apic(u64 *to, const u64 *l1s,
			 const struct nested_merged *merged)
{
	u64 secondary = merged->values[MERGED_SECONDARY];
	u64 read = BIT(X2APIC_TPR), write = BIT(X2APIC_TPR);
	u64 others = 0;

	if (!l1s || !(secondary & SECONDARY_X2APIC_MODE))
		read = write = 0;
	else if (secondary & SECONDARY_APIC_REGISTERS)
		read = others = UINT64_MAX;
	if (write && (secondary & SECONDARY_INTERRUPT_DELIVERY))
		write |= BIT(X2APIC_EOI) | BIT(X2APIC_SELF_IPI);
	for (u32 i = 0; i < X2APIC_WORDS; i++) {
		u32 at = X2APIC_WORD + i;
		u64 seen_here = i ? others : read;

		to[at] = l1s ? l1s[at] | ~seen_here : UINT64_MAX;
	}
	to[WRITE_WORD + X2APIC_WORD] =
	    l1s ? l1s[WRITE_WORD + X2APIC_WORD] | ~write : UINT64_MAX;
}

/* Has L1 changed none of its words since they were merged? */
static bool is_merged(const struct nested_free_words *words, const u64 *l1s)
{
	u64 differ = 0;

	if (!words->is_merged || l1s != words->merged_from)
		return false;
	if (!l1s)
		return true;
#pragma GCC unroll 8
	for (u32 i = 0; i < words->count; i++)
		differ |=
		    __atomic_load_n(&l1s[words->at[i]], __ATOMIC_RELAXED) ^
		    words->merged[i];
	return !differ;
}

void nested_merge_msr_bitmap(u64 *to, const u64 *ours, const u64 *l1s,
			     struct nested_free_words *words,
			     const struct nested_merged *merged)
{
	bool x2apic =
	    l1s && (merged->values[MERGED_SECONDARY] & SECONDARY_X2APIC_MODE);

	if (!is_merged(words, l1s))
		for (u32 i = 0; i < words->count; i++) {
			u32 at = words->at[i];

			words->merged[i] =
			    l1s ? __atomic_load_n(&l1s[at], __ATOMIC_RELAXED)
				: UINT64_MAX;
			to[at] = ours[at] | words->merged[i];
		}
	words->merged_from = l1s;
	words->is_merged = true;
	if (x2apic || words->x2apic)
		merge_x2apic(to, l1s, merged);
	words->x2apic = x2apic;
}
