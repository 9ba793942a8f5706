/* SPDX-License-Identifier: MIT */
/* What vmcs02 is made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nested/fields.h"
#include "nested/merge.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/nested_state.h"
#include "tests/unit/support.h"

#define RANDOM_ROUNDS 2000

static struct vmcs12 v;
static struct nested_base base;
static struct nested_merged merged;

static int set_up(void **state)
{
	(void)state;
	make_vmcs12(&v);
	base = (struct nested_base){
	    .words =
		{
		    [CONTROLS_PIN] =
			0x16 | (u32)(PIN_EXTERNAL_INTERRUPT | PIN_NMI |
				     PIN_VIRTUAL_NMIS | PIN_PREEMPTION_TIMER),
		    [CONTROLS_PRIMARY] =
			0x04006172 |
			(u32)(PRIMARY_HLT | PRIMARY_TSC_OFFSETTING |
			      PRIMARY_ALL_IO | PRIMARY_MSR_BITMAPS |
			      PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE |
			      PRIMARY_SECONDARY),
		    [CONTROLS_SECONDARY] =
			(u32)(SECONDARY_EPT | SECONDARY_UNRESTRICTED_GUEST |
			      SECONDARY_WBINVD | SECONDARY_VPID |
			      SECONDARY_RDTSCP | SECONDARY_INVPCID |
			      SECONDARY_PML),
		    [CONTROLS_EXIT] = 0x00036dfb | 0x7c8000,
		    [CONTROLS_ENTRY] =
			0x000011fb | 0xc004 | (u32)ENTRY_IA32E_MODE_GUEST,
		},
	    .exception_bitmap = (u32)BIT(EXCEPTION_MC),
	    .cr0_mask = ~0x8005000fUL,
	    .cr4_mask = ~(CR4_PAE | CR4_PSE),
	    .cr0_fixed0 = CR0_PE | CR0_NE | CR0_PG,
	    .cr4_fixed0 = CR4_VMXE,
	    .tsc_offset = 0 - 1000UL,
	    .l1_cr0 = 0x80050033,
	    .cr3_targets = 4,
	    .virtual_apic = hpa(0x5000),
	    .apic_access = hpa(0x6000),
	};
	return 0;
}

static u64 merge(enum nested_merged_field field)
{
	nested_merge(&v, &base, &merged);
	return merged.values[field];
}

/* Whatever L1 wants: what keeps Umbra in control stays. */
static void umbras_controls_are_always_there(void **state)
{
	const u64 never = SECONDARY_PML | SECONDARY_VMCS_SHADOWING |
			  SECONDARY_EPT_VIOLATION_VE;
	struct random random = random_from(1);

	(void)state;
	for (u32 i = 0; i < RANDOM_ROUNDS; i++) {
		for (u32 at = 0; at < sizeof(v) / 8; at++)
			((u64 *)&v)[at] = random_next(&random);
		nested_merge(&v, &base, &merged);
		assert_int_equal(merged.values[MERGED_PIN],
				 base.words[CONTROLS_PIN]);
		assert_int_equal(merged.values[MERGED_EXIT],
				 base.words[CONTROLS_EXIT]);
		assert_int_equal(base.words[CONTROLS_PRIMARY] &
				     ~merged.values[MERGED_PRIMARY] &
				     ~(PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE),
				 0);
		assert_int_equal(
		    merged.values[MERGED_PRIMARY] & PRIMARY_IO_BITMAPS, 0);
		assert_int_equal(
		    merged.values[MERGED_SECONDARY] &
			(SECONDARY_EPT | SECONDARY_VPID | SECONDARY_WBINVD),
		    SECONDARY_EPT | SECONDARY_VPID | SECONDARY_WBINVD);
		assert_int_equal(merged.values[MERGED_SECONDARY] & never, 0);
		assert_int_equal(merged.values[MERGED_VMFUNC_CONTROLS], 0);
		assert_int_equal(base.exception_bitmap &
				     ~merged.values[MERGED_EXCEPTIONS],
				 0);
		assert_int_equal(
		    base.cr0_mask & ~merged.values[MERGED_CR0_MASK], 0);
		assert_int_equal(
		    base.cr4_mask & ~merged.values[MERGED_CR4_MASK], 0);
		assert_true(merged.values[MERGED_CR3_TARGET_COUNT] <= 4);
	}
}

static void what_l1_does_not_give_l2_has_not(void **state)
{
	(void)state;
	v.secondary_controls = 0;
	assert_int_equal(merge(MERGED_SECONDARY),
			 SECONDARY_EPT | SECONDARY_WBINVD | SECONDARY_VPID);
	v.secondary_controls =
	    (u32)(SECONDARY_RDTSCP | SECONDARY_UNRESTRICTED_GUEST);
	assert_true(merge(MERGED_SECONDARY) & SECONDARY_RDTSCP);
	assert_true(merged.values[MERGED_SECONDARY] &
		    SECONDARY_UNRESTRICTED_GUEST);
	v.primary_controls &= ~(u32)PRIMARY_SECONDARY;
	assert_false(merge(MERGED_SECONDARY) & SECONDARY_RDTSCP);
	v.entry_controls &= ~(u32)ENTRY_IA32E_MODE_GUEST;
	assert_false(merge(MERGED_ENTRY) & ENTRY_IA32E_MODE_GUEST);
}

/* With a TPR shadow CR8 is in the page; without it is L1's own, and exits. */
static void cr8_exits_without_tpr_shadow(void **state)
{
	(void)state;
	assert_true(merge(MERGED_PRIMARY) & PRIMARY_TPR_SHADOW);
	assert_false(merged.values[MERGED_PRIMARY] & PRIMARY_CR8_LOAD);
	v.primary_controls |= (u32)PRIMARY_CR8_LOAD;
	assert_true(merge(MERGED_PRIMARY) & PRIMARY_CR8_LOAD);
	v.primary_controls &= ~(u32)(PRIMARY_CR8_LOAD | PRIMARY_TPR_SHADOW);
	assert_true(merge(MERGED_PRIMARY) & PRIMARY_CR8_LOAD);
	assert_true(merged.values[MERGED_PRIMARY] & PRIMARY_CR8_STORE);
}

static void pages_that_are_no_memory_are_not_used(void **state)
{
	(void)state;
	v.secondary_controls |=
	    (u32)(SECONDARY_APIC_ACCESSES | SECONDARY_APIC_REGISTERS |
		  SECONDARY_INTERRUPT_DELIVERY);
	base.virtual_apic = base.apic_access = hpa(0);
	assert_false(merge(MERGED_SECONDARY) &
		     (SECONDARY_APIC_ACCESSES | SECONDARY_APIC_REGISTERS |
		      SECONDARY_INTERRUPT_DELIVERY));
	assert_false(merged.values[MERGED_PRIMARY] & PRIMARY_TPR_SHADOW);
	assert_false(nested_merged_is_used(&merged, MERGED_VIRTUAL_APIC));
	assert_false(nested_merged_is_used(&merged, MERGED_APIC_ACCESS));
}

/* Merged again after a change of L1's: has its APIC-access page moved? */
static bool moves_apic(u64 secondary, u64 page)
{
	struct nested_merged before = merged;

	v.secondary_controls = (u32)(SECONDARY_EPT | secondary);
	base.apic_access = hpa(page);
	nested_merge(&v, &base, &merged);
	return nested_merge_moves_apic(&before, &merged);
}

static void apic_page_that_moves_is_noticed(void **state)
{
	const u64 on = SECONDARY_APIC_ACCESSES;

	(void)state;
	merged = (struct nested_merged){.values = {0}};
	assert_false(moves_apic(0, 0));
	assert_true(moves_apic(on, 0x6000));
	assert_false(moves_apic(on, 0x6000));
	assert_false(moves_apic(on | SECONDARY_VPID, 0x6000));
	assert_true(moves_apic(on, 0x7000));
	assert_false(moves_apic(0, 0x7000));
	assert_true(moves_apic(on, 0x7000));
	assert_false(moves_apic(on, 0)); /* no memory: not used */
}

static void offsets_add_up_and_are_scaled(void **state)
{
	(void)state;
	v.tsc_offset = 300;
	assert_int_equal(merge(MERGED_TSC_OFFSET), 0 - 1000UL);
	v.primary_controls |= (u32)PRIMARY_TSC_OFFSETTING;
	assert_int_equal(merge(MERGED_TSC_OFFSET), 0 - 700UL);
	v.tsc_multiplier = 3UL << 47; /* 1.5 */
	v.secondary_controls |= (u32)SECONDARY_TSC_SCALING;
	assert_int_equal(merge(MERGED_TSC_OFFSET), 0 - 1200UL);
	assert_int_equal(merged.values[MERGED_TSC_MULTIPLIER], 3UL << 47);
	/* Scaling is of no effect without offsetting. */
	v.primary_controls &= ~(u32)PRIMARY_TSC_OFFSETTING;
	assert_int_equal(merge(MERGED_TSC_OFFSET), 0 - 1000UL);
	assert_int_equal(merged.values[MERGED_TSC_MULTIPLIER], 1UL << 48);
}

/* L1 itself has come from a machine of another frequency. */
static void scaling_of_l1_is_scaling_of_l2(void **state)
{
	(void)state;
	base.tsc_multiplier = 2UL << 48;
	assert_int_equal(merge(MERGED_TSC_MULTIPLIER), 2UL << 48);
	assert_true(merged.values[MERGED_SECONDARY] & SECONDARY_TSC_SCALING);
	v.primary_controls |= (u32)PRIMARY_TSC_OFFSETTING;
	v.secondary_controls |= (u32)SECONDARY_TSC_SCALING;
	v.tsc_multiplier = 3UL << 47;
	assert_int_equal(merge(MERGED_TSC_MULTIPLIER), 3UL << 48);
	assert_int_equal(merged.values[MERGED_TSC_OFFSET], 0 - 1500UL);
}

static void cr3_targets_beyond_the_count_are_not_written(void **state)
{
	(void)state;
	v.cr3_target_count = 3;
	base.cr3_targets = 2;
	assert_int_equal(merge(MERGED_CR3_TARGET_COUNT), 2);
	assert_true(nested_merged_is_used(&merged, MERGED_CR3_TARGET_1));
	assert_false(nested_merged_is_used(&merged, MERGED_CR3_TARGET_2));
}

/* L2 owns what neither side masks; reads come from whoever masks. */
static void l2_reads_what_its_owner_says(void **state)
{
	struct nested_cr cr;

	(void)state;
	v.guest_cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_CD;
	v.cr0_mask = CR0_TS;
	v.cr0_shadow = CR0_TS | CR0_MP;
	cr = nested_cr0_enter(&v, &base);
	assert_int_equal(cr.guest, CR0_PE | CR0_PG | CR0_NE | CR0_ET);
	/* CD is not loaded, and TS is what L1 says. */
	assert_int_equal(cr.shadow, CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_TS);
	assert_int_equal(
	    nested_cr_leave(v.guest_cr0, v.cr0_mask, base.cr0_mask, cr),
	    CR0_PE | CR0_PG | CR0_NE | CR0_ET);
}

/* CD and NW are as the CPU would have them: L1's, and L2's once it writes. */
static void cache_bits_go_with_l2_and_back_to_l1(void **state)
{
	const u64 cache = CR0_CD | CR0_NW;
	struct nested_cr cr;
	u64 kept;

	(void)state;
	v.guest_cr0 = CR0_PE | CR0_PG | CR0_NE;
	base.l1_cr0 |= CR0_CD;
	cr = nested_cr0_enter(&v, &base);
	assert_int_equal(cr.guest & cache, 0);
	assert_int_equal(cr.shadow & cache, CR0_CD);
	cr = nested_cr_write(cr.shadow | CR0_NW, v.cr0_mask, 0, cr);
	kept = nested_cr0_kept(cr.shadow, v.cr0_mask, base.l1_cr0);
	assert_int_equal(kept, cache | CR0_ET);
	assert_int_equal(nested_cr0_leave(&v, base.cr0_mask, cr, kept),
			 v.guest_cr0 | cache | CR0_ET);
}

/* What L1 masks L2 cannot change; what it reads there is L1's shadow. */
static void cache_bits_that_l1_masks_stay_as_they_were(void **state)
{
	struct nested_cr cr;
	u64 kept;

	(void)state;
	v.guest_cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_NW | BIT(20);
	v.cr0_mask = v.cr0_shadow = CR0_CD | CR0_NW | BIT(20);
	cr = nested_cr0_enter(&v, &base);
	assert_int_equal(cr.shadow & v.cr0_mask, v.cr0_mask);
	cr = nested_cr_write(CR0_PE | CR0_PG | CR0_NE, v.cr0_mask, 0, cr);
	kept = nested_cr0_kept(cr.shadow, v.cr0_mask, base.l1_cr0);
	assert_int_equal(nested_cr0_leave(&v, base.cr0_mask, cr, kept),
			 CR0_PE | CR0_PG | CR0_NE | (kept & CR0_ET));
}

/* A write is judged by this, whatever L2 reads of L1's bits. */
static void l1s_bits_are_not_written(void **state)
{
	(void)state;
	assert_int_equal(nested_cr_written(CR0_PE | CR0_CD, CR0_NE | CR0_CD,
					   CR0_PE | CR0_NE | CR0_TS),
			 CR0_PE | CR0_NE);
	assert_int_equal(nested_cr_written(CR0_PE | CR0_CD, 0, CR0_NE),
			 CR0_PE | CR0_CD);
}

static void l2s_writes_reach_vmcs12_and_l1s_bits_stay(void **state)
{
	struct nested_cr cr;
	struct random random = random_from(7);

	(void)state;
	for (u32 i = 0; i < RANDOM_ROUNDS; i++) {
		u64 mask12 = random_next(&random), value = random_next(&random);
		u64 ours = random_next(&random);
		u64 before = random_next(&random);
		u64 shadow12 = random_next(&random);

		cr.guest = before;
		cr.shadow = (before & ~mask12) | (shadow12 & mask12);
		cr = nested_cr_write(value, mask12, 0, cr);
		assert_int_equal(nested_cr_leave(before, mask12, ours, cr),
				 (before & mask12) | (value & ~mask12));
		/* What L2 reads of L1's bits is still L1's shadow. */
		assert_int_equal(cr.shadow & mask12, shadow12 & mask12);
	}
}

/* --- The MSR bitmap ------------------------------------------------------- */

static u64 ours[NESTED_BITMAP_WORDS], l1s[NESTED_BITMAP_WORDS],
    both[NESTED_BITMAP_WORDS];
static struct nested_free_words words;

static void prepare_bitmaps(void)
{
	memset(ours, 0xff, sizeof(ours));
	memset(both, 0xff, sizeof(both));
	memset(l1s, 0, sizeof(l1s));
	ours[0] &= ~BIT(0x10);
	ours[128 + 2] &= ~BIT(5);
	nested_free_words_find(ours, &words);
	nested_merge(&v, &base, &merged);
}

static bool is_free(u32 word, u32 bit)
{
	return !(both[word] >> bit & 1);
}

static void free_is_what_both_leave_free(void **state)
{
	u64 bits = 0;

	(void)state;
	prepare_bitmaps();
	assert_int_equal(words.count, 2);
	l1s[128 + 2] |= BIT(5);
	nested_merge_msr_bitmap(both, ours, l1s, &words, &merged);
	assert_true(is_free(0, 0x10));
	assert_false(is_free(128 + 2, 5));
	for (u32 i = 0; i < NESTED_BITMAP_WORDS; i++)
		bits += bits_count(~both[i]);
	assert_int_equal(bits, 1);
	nested_merge_msr_bitmap(both, ours, NULL, &words, &merged);
	assert_false(is_free(0, 0x10));
}

/* L1 says nothing when it changes a bit; another bitmap has other bits. */
static void changed_bitmap_is_merged_anew(void **state)
{
	static u64 another[NESTED_BITMAP_WORDS];

	(void)state;
	prepare_bitmaps();
	memset(another, 0xff, sizeof(another));
	for (u32 i = 0; i < 2; i++) {
		nested_merge_msr_bitmap(both, ours, l1s, &words, &merged);
		assert_true(is_free(0, 0x10) && is_free(128 + 2, 5));
		l1s[128 + 2] |= BIT(5);
		nested_merge_msr_bitmap(both, ours, l1s, &words, &merged);
		assert_true(is_free(0, 0x10) && !is_free(128 + 2, 5));
		l1s[128 + 2] = 0;
		nested_merge_msr_bitmap(both, ours, another, &words, &merged);
		assert_false(is_free(0, 0x10) || is_free(128 + 2, 5));
		nested_merge_msr_bitmap(both, ours, NULL, &words, &merged);
		nested_merge_msr_bitmap(both, ours, NULL, &words, &merged);
		assert_false(is_free(0, 0x10) || is_free(128 + 2, 5));
	}
}

/* Only what the CPU takes from the virtual-APIC page, and all that. */
static void x2apic_registers_are_free_if_virtual(void **state)
{
	const u32 first = 0x800 / 64, writes = 256 + first;

	(void)state;
	prepare_bitmaps();
	nested_merge_msr_bitmap(both, ours, l1s, &words, &merged);
	assert_int_equal(both[first], UINT64_MAX);
	v.secondary_controls |= (u32)SECONDARY_X2APIC_MODE;
	nested_merge(&v, &base, &merged);
	nested_merge_msr_bitmap(both, ours, l1s, &words, &merged);
	assert_int_equal(both[first], ~BIT(8));
	assert_int_equal(both[writes], ~BIT(8));
	v.secondary_controls |=
	    (u32)(SECONDARY_APIC_REGISTERS | SECONDARY_INTERRUPT_DELIVERY);
	nested_merge(&v, &base, &merged);
	l1s[first] = BIT(0x39);
	nested_merge_msr_bitmap(both, ours, l1s, &words, &merged);
	assert_int_equal(both[first], BIT(0x39));
	assert_int_equal(both[first + 3], 0);
	assert_int_equal(both[writes], ~(BIT(8) | BIT(0xb) | BIT(0x3f)));
	v.secondary_controls = 0;
	nested_merge(&v, &base, &merged);
	nested_merge_msr_bitmap(both, ours, l1s, &words, &merged);
	assert_int_equal(both[first + 3], UINT64_MAX);
	assert_int_equal(both[writes], UINT64_MAX);
}

/* --- The lists of fields -------------------------------------------------- */

static bool is_saved(u64 field)
{
	return field == VMCS_GUEST_CS_ACCESS_RIGHTS ||
	       field == VMCS_GUEST_SS_ACCESS_RIGHTS;
}

static void check_list(const struct nested_field *list, u32 count, u32 bytes)
{
	struct nested_capability offer = full_offer();

	for (u32 i = 0; i < count; i++) {
		assert_int_equal(vmcs12_field_offset(&offer, list[i].field),
				 list[i].offset);
		assert_true(vmcs12_field_bytes(list[i].field) == bytes);
		assert_int_equal(nested_field_group(list[i].field),
				 is_saved(list[i].field) ? NESTED_GROUP_SAVED
							 : NESTED_GROUP_COLD);
		for (u32 j = 0; j < i; j++)
			assert_int_not_equal(list[i].field, list[j].field);
	}
}

static void lists_name_each_field_once_where_it_is(void **state)
{
	(void)state;
	check_list(nested_cold_16, NESTED_COLD_16, 2);
	check_list(nested_cold_32, NESTED_COLD_32, 4);
	check_list(nested_cold_64, NESTED_COLD_64, 8);
}

/* Narrow fields would be copied as wide ones. */
static void shadowed_fields_are_where_they_are(void **state)
{
	struct nested_capability offer = full_offer();

	(void)state;
	for (u32 i = 0; i < NESTED_SHADOWED; i++) {
		u64 field = nested_shadowed[i].field;
		bool is_32 = field >= VMCS_PIN_CONTROLS &&
			     field < VMCS_EXIT_QUALIFICATION;

		assert_int_equal(vmcs12_field_offset(&offer, field),
				 nested_shadowed[i].offset);
		assert_int_equal(vmcs12_field_bytes(field), is_32 ? 4 : 8);
		if (i < NESTED_SHADOWED_WRITABLE)
			assert_int_equal(nested_field_group(field),
					 NESTED_GROUP_HOT);
		else
			assert_int_not_equal(nested_field_group(field),
					     NESTED_GROUP_COLD);
	}
}

static bool is_listed(u64 field)
{
	for (u32 i = 0; i < NESTED_COLD_16; i++)
		if (nested_cold_16[i].field == field)
			return true;
	for (u32 i = 0; i < NESTED_COLD_32; i++)
		if (nested_cold_32[i].field == field)
			return true;
	for (u32 i = 0; i < NESTED_COLD_64; i++)
		if (nested_cold_64[i].field == field)
			return true;
	return false;
}

/* Guest state is copied by a list, at each entry, or one by one. */
static void no_guest_field_is_forgotten(void **state)
{
	static const u16 one_by_one[] = {
	    VMCS_GUEST_CR0,    VMCS_GUEST_CR4,    VMCS_GUEST_EFER,
	    VMCS_GUEST_PAT,    VMCS_GUEST_DR7,    VMCS_GUEST_DEBUGCTL,
	    VMCS_GUEST_PDPTE0, VMCS_GUEST_PDPTE1, VMCS_GUEST_PDPTE2,
	    VMCS_GUEST_PDPTE3, VMCS_GUEST_SMBASE, VMCS_GUEST_INTERRUPT_STATUS,
	};
	struct nested_capability offer = full_offer();

	(void)state;
	for (u64 field = 0; field < 0x8000; field++) {
		bool known = is_listed(field);

		if (bits_get(field, VMCS_ENCODING_KIND) != VMCS_KIND_GUEST ||
		    (field & VMCS_ENCODING_HIGH) ||
		    !vmcs12_field_offset(&offer, field) ||
		    nested_field_group(field) == NESTED_GROUP_HOT)
			continue;
		for (u32 i = 0; i < ARRAY_COUNT(one_by_one); i++)
			known |= one_by_one[i] == field;
		assert_true(known);
	}
}

static void nmi_of_l1_goes_in_where_nmis_are_blocked(void **state)
{
	(void)state;
	v.guest_interruptibility = (u32)(BLOCKING_BY_NMI | BLOCKING_BY_STI);
	assert_int_equal(nested_interruptibility_enter(&v),
			 v.guest_interruptibility);
	v.entry_interruption_info =
	    (u32)(EVENT_VALID | (u32)EVENT_NMI << 8 | EXCEPTION_NMI);
	assert_int_equal(nested_interruptibility_enter(&v), BLOCKING_BY_STI);
	v.entry_interruption_info &= ~(u32)EVENT_VALID;
	assert_int_equal(nested_interruptibility_enter(&v),
			 v.guest_interruptibility);
	v.entry_interruption_info =
	    (u32)(EVENT_VALID | (u32)EVENT_EXTERNAL_INTERRUPT << 8 | 0x60);
	assert_int_equal(nested_interruptibility_enter(&v),
			 v.guest_interruptibility);
}

/* Virtual NMIs, or those that L2 takes itself, are unblocked by its IRET. */
static void nmis_without_virtual_ones_are_held(void **state)
{
	const u32 nmi =
	    (u32)(EVENT_VALID | (u32)EVENT_NMI << 8 | EXCEPTION_NMI);

	(void)state;
	v.guest_interruptibility = (u32)(BLOCKING_BY_NMI | BLOCKING_BY_STI);
	v.pin_controls &= ~(u32)(PIN_NMI | PIN_VIRTUAL_NMIS);
	assert_int_equal(nested_held_nmis(&v), 0);
	v.pin_controls |= (u32)PIN_NMI;
	assert_int_equal(nested_held_nmis(&v), BLOCKING_BY_NMI);
	assert_int_equal(nested_interruptibility_enter(&v), BLOCKING_BY_STI);
	v.guest_interruptibility = 0;
	assert_int_equal(nested_held_nmis(&v), 0);
	v.entry_interruption_info = nmi;
	assert_int_equal(nested_held_nmis(&v), BLOCKING_BY_NMI);
	v.pin_controls |= (u32)PIN_VIRTUAL_NMIS;
	assert_int_equal(nested_held_nmis(&v), 0);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(umbras_controls_are_always_there),
	    TEST(what_l1_does_not_give_l2_has_not),
	    TEST(cr8_exits_without_tpr_shadow),
	    TEST(pages_that_are_no_memory_are_not_used),
	    TEST(apic_page_that_moves_is_noticed),
	    TEST(offsets_add_up_and_are_scaled),
	    TEST(scaling_of_l1_is_scaling_of_l2),
	    TEST(cr3_targets_beyond_the_count_are_not_written),
	    TEST(nmi_of_l1_goes_in_where_nmis_are_blocked),
	    TEST(nmis_without_virtual_ones_are_held),
	    TEST(l2_reads_what_its_owner_says),
	    TEST(cache_bits_go_with_l2_and_back_to_l1),
	    TEST(cache_bits_that_l1_masks_stay_as_they_were),
	    TEST(l1s_bits_are_not_written),
	    TEST(l2s_writes_reach_vmcs12_and_l1s_bits_stay),
	    TEST(free_is_what_both_leave_free),
	    TEST(changed_bitmap_is_merged_anew),
	    TEST(x2apic_registers_are_free_if_virtual),
	    TEST(lists_name_each_field_once_where_it_is),
	    TEST(shadowed_fields_are_where_they_are),
	    TEST(no_guest_field_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
